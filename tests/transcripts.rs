//! Elections as readable transcripts: a text file of commands, with everything that was told after each.
//!
//! A file of `tests/transcripts` is run line by line. Lines that begin with `> ` are commands, what follows is their
//! output, `#` begins a comment. `CONVOKE_UPDATE_TRANSCRIPTS=1` writes the outputs anew; a change of them is then read
//! in the diff, as any change of the protocol's behaviour should be.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use convoke::proto::{Command, Config, Founding, Policy, Role};
use convoke::sim::{Cut, Detail, HostId, NodeOptions, World};
use convoke::types::{ConventionId, Name, NodeId, Standing};
use std::fmt::Write;
use std::time::Duration;

struct Script {
    world: World,
    policy: Policy,
}

impl Script {
    fn new() -> Self {
        Self { world: World::builder(1).trace(Detail::Story, usize::MAX).build(), policy: Policy::Quorum }
    }

    fn host(&self, name: &str) -> HostId {
        self.world.find(name).unwrap_or_else(|| panic!("no node {name}"))
    }

    fn add(&mut self, names: &[&str], candidate: bool, store: bool) {
        for name in names {
            let builder = Config::builder(ConventionId::new("site").unwrap(), NodeId::new(name).unwrap());
            let mut builder = builder.policy(self.policy);
            if candidate {
                builder = builder.candidate().found(Founding::Expect(names.len()));
            }
            let options = NodeOptions { store, stopped: true, ..NodeOptions::default() };
            self.world.add_node(builder.build().unwrap(), options);
        }
    }

    /// Carries a command out and returns what is to be shown for it.
    fn command(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (verb, args) = words.split_first().expect("a command");
        let hosts = |s: &Self| args.iter().map(|n| s.host(n)).collect::<Vec<_>>();
        match *verb {
            "policy" => self.policy = if args == ["available"] { Policy::Available } else { Policy::Quorum },
            "part" => self.part(&hosts(self)),
            "claim" => return self.order(self.host(args[0]), Command::Claim(Name::new(args[1]).unwrap())),
            "candidates" => self.add(args, true, false),
            "stored" => self.add(args, true, true),
            "members" => self.add(args, false, false),
            "start" => hosts(self).into_iter().for_each(|h| self.world.start(h)),
            "kill" => hosts(self).into_iter().for_each(|h| self.world.kill(h)),
            "off" => hosts(self).into_iter().for_each(|h| self.world.power_off(h)),
            "on" => hosts(self).into_iter().for_each(|h| self.world.power_on(h)),
            "isolate" => hosts(self).into_iter().for_each(|h| self.world.isolate(h)),
            "leave" => hosts(self).into_iter().for_each(|h| self.world.command(h, Command::Leave).unwrap()),
            "handover" => {
                let to = args.get(1).map(|id| NodeId::new(id).unwrap());
                return self.order(self.host(args[0]), Command::Handover(to));
            }
            "retire" => return self.order(self.host(args[0]), Command::Retire(NodeId::new(args[1]).unwrap())),
            "priority" => {
                let (id, priority) = (NodeId::new(args[1]).unwrap(), args[2].parse().unwrap());
                return self.order(self.host(args[0]), Command::SetPriority { id, priority });
            }
            "promote" => return self.order(self.host(args[0]), Command::SetStanding(Standing::Candidate)),
            "demote" => return self.order(self.host(args[0]), Command::SetStanding(Standing::Member)),
            "cut" => self.world.cut(self.host(args[0]), self.host(args[1])),
            "cut-one-way" => self.world.cut_one_way(self.host(args[0]), self.host(args[1]), Cut::All),
            "heal" => self.world.heal(),
            "pause" => self.world.pause(self.host(args[0]), duration(args[1])),
            "run" => self.world.run_for(duration(args[0])),
            "show" => return self.show(),
            other => panic!("no command {other}"),
        }
        let lines = self.world.take_lines();
        lines.iter().fold(String::new(), |text, line| text + line + "\n")
    }

    /// Cuts these off from all others.
    fn part(&mut self, side: &[HostId]) {
        for host in self.world.hosts() {
            for other in side.iter().filter(|_| !side.contains(&host)) {
                self.world.cut(host, *other);
            }
        }
    }

    /// Gives a command that may be refused.
    fn order(&mut self, host: HostId, command: Command) -> String {
        match self.world.command(host, command) {
            Ok(()) => self.world.take_lines().iter().fold(String::new(), |text, line| text + line + "\n"),
            Err(why) => format!("refused: {why}\n"),
        }
    }

    fn show(&self) -> String {
        let mut text = String::new();
        for host in self.world.hosts() {
            let name = self.world.name(host);
            let Some(node) = self.world.node(host) else {
                writeln!(text, "{name}: not running").unwrap();
                continue;
            };
            let leader = node.leader().map_or("nobody".to_string(), |l| l.id.to_string());
            write!(text, "{name}: {}, term {}, follows {leader}", node.role().as_str(), node.term()).unwrap();
            if let Some((slot, generation)) = node.registration() {
                write!(text, ", slot {slot}.{generation}").unwrap();
            }
            if node.standing().votes() && node.role() != Role::Seeking {
                write!(text, ", roll up to {} committed up to {}", dbg_of(node.position()), node.commit_index())
                    .unwrap();
                text += ", line";
                for seat in node.line().seats() {
                    write!(text, " {}{}", if seat.voting { "" } else { "-" }, seat.id).unwrap();
                }
                text += ", members";
                for (slot, _, member) in node.members() {
                    write!(text, " {slot}:{}", member.id).unwrap();
                }
            }
            text += "\n";
        }
        match self.world.disagreement() {
            None => text += "all agree\n",
            Some(why) => writeln!(text, "they differ: {why}").unwrap(),
        }
        for violation in self.world.violations() {
            writeln!(text, "VIOLATION: {violation}").unwrap();
        }
        text
    }
}

fn dbg_of(value: impl std::fmt::Debug) -> String {
    format!("{value:?}")
}

fn duration(text: &str) -> Duration {
    match text.strip_suffix("ms") {
        Some(n) => Duration::from_secs_f64(n.parse::<f64>().unwrap() / 1_000.0),
        None => Duration::from_secs_f64(text.strip_suffix('s').expect("a time in s or ms").parse().unwrap()),
    }
}

fn replay(text: &str) -> String {
    let mut script = Script::new();
    let mut out = String::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            if !out.is_empty() && !out.ends_with("\n\n") && !out.ends_with("#\n") {
                out += "\n";
            }
            out += line;
            out += "\n";
            out += &script.command(command);
        } else if line.starts_with('#') {
            out += line;
            out += "\n";
        }
    }
    assert!(script.world.violations().is_empty(), "{:?}", script.world.violations());
    out
}

#[test]
fn the_transcripts_are_still_true() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
    let update = std::env::var_os("CONVOKE_UPDATE_TRANSCRIPTS").is_some();
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let expected = std::fs::read_to_string(&file).unwrap();
        let actual = replay(&expected);
        if update {
            std::fs::write(&file, actual).unwrap();
            continue;
        }
        for (number, (is, should)) in actual.lines().zip(expected.lines()).enumerate() {
            assert_eq!(is, should, "{}:{}", file.display(), number + 1);
        }
        assert_eq!(actual.lines().count(), expected.lines().count(), "{}", file.display());
    }
}
