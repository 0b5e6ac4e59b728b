//! `convoke demo`: the main job in one command, on loopback, as real processes.

mod cast;
mod scene;
mod stage;

use crate::Failure;
use crate::options::DemoOptions;
use crate::report::unix_us;
use cast::Cast;
use scene::{Place, Scene};
use serde_json::{Value, json};
use stage::Stage;
use std::time::Duration;

/// The heartbeat of all nodes, in milliseconds: short enough for an audience, long enough to show that a killed
/// leader is not found by its silence.
const HEARTBEAT_MS: u64 = 500;

/// How long one step may take, and all of them together.
const STEP: Duration = Duration::from_secs(8);
const ALL: Duration = Duration::from_secs(28);

/// A pause between two acts: for the audience, and so that each begins in a convention at rest.
const PAUSE: Duration = Duration::from_millis(3 * HEARTBEAT_MS);

/// A demo under way.
struct Demo {
    cast: Cast,
    scene: Scene,
    stage: Stage,
    founding: Vec<String>,
    numbers: Vec<(&'static str, String)>,
    summary: Value,
}

pub(crate) fn run(options: &DemoOptions) -> Result<(), Failure> {
    // Two demos at once shall not meet.
    let pid = std::process::id();
    let group = format!("239.255.{}.{}:{}", pid >> 8 & 255, pid & 255, 20_000 + (pid % 6_000) * 2);
    let stage = Stage::new(options.json);
    stage.title(
        &format!(
            "convoke demo: {} candidates and {} members, real processes on loopback",
            options.candidates, options.members
        ),
        &format!("multicast {group}, heartbeat {HEARTBEAT_MS} ms, a silent node is taken for gone after 3 of them"),
    );
    let common =
        ["--convention", &format!("demo-{pid}"), "--multicast", &group, "--heartbeat", &HEARTBEAT_MS.to_string()];
    let mut demo = Demo {
        cast: Cast::new(common.map(Into::into).to_vec())?,
        scene: Scene::default(),
        stage,
        founding: ["--candidate", "--found", &format!("expect={}", options.candidates)].map(Into::into).to_vec(),
        numbers: Vec::new(),
        summary: json!({}),
    };
    match demo.play(options) {
        Ok(()) => {
            let text = format!("All of it happened, in {:.1} s.", demo.stage.started.elapsed().as_secs_f64());
            demo.stage.end(true, &text, demo.summary.clone());
            Ok(())
        }
        Err(failure) => {
            for line in demo.cast.logs() {
                eprintln!("  {line}");
            }
            demo.stage.end(false, "It did not all happen.", demo.summary.clone());
            Err(failure)
        }
    }
}

impl Demo {
    fn play(&mut self, options: &DemoOptions) -> Result<(), Failure> {
        let leader = self.discovery(options)?;
        self.pause()?;
        let killed = self.kill(leader)?;
        self.pause()?;
        self.comeback(&killed)?;
        self.pause()?;
        self.handover()?;
        self.pause()?;
        self.resignation()?;
        self.closing()
    }

    fn pause(&mut self) -> Result<(), Failure> {
        self.cast.follow(&mut self.scene, PAUSE)
    }

    fn enter(&mut self, name: &str, candidate: bool) -> Result<usize, Failure> {
        let options = if candidate { self.founding.clone() } else { Vec::new() };
        let serial = self.cast.start(name, &options)?;
        self.scene.enter(name, candidate);
        Ok(serial)
    }

    fn until(&mut self, what: &str, holds: impl Fn(&Scene) -> bool) -> Result<(), Failure> {
        let left = ALL.saturating_sub(self.stage.started.elapsed());
        self.cast.until(&mut self.scene, what, STEP.min(left), holds)
    }

    /// All on stage know one leader, in a term above `term`.
    fn until_agreed(&mut self, above: u64) -> Result<(usize, u64), Failure> {
        self.until("all know one leader", |scene| scene.agreed().is_some_and(|(_, term)| term > above))?;
        self.scene.agreed().ok_or_else(|| Failure::failed("the agreement didn't last"))
    }

    fn discovery(&mut self, options: &DemoOptions) -> Result<usize, Failure> {
        self.stage.act("They find each other");
        let begin_us = unix_us();
        for n in 1..=options.members {
            self.enter(&format!("member-{n}"), false)?;
        }
        for n in 1..=options.candidates {
            self.enter(&format!("host-{n}"), true)?;
        }
        let all = options.candidates + options.members;
        self.stage.say(&format!("{all} processes start; none is told where the others are"));
        let (leader, term) = self.until_agreed(0)?;
        let founded_ms = self.last_leader_ms(begin_us);
        let name = self.scene.players[leader].name.clone();
        self.stage.say(&format!("{name} leads in term {term}: all {all} know it"));
        self.until("all are registered", |s| s.on_stage().all(|(_, p)| p.registered_at_us.is_some()))?;
        self.until("all candidates are in the line", |s| {
            s.on_stage().filter(|(_, p)| p.candidate).all(|(serial, _)| s.is_in_line(serial))
        })?;
        let registered_us = self.scene.on_stage().filter_map(|(_, p)| p.registered_at_us).max().unwrap_or(begin_us);
        let registered_ms = ms(begin_us, registered_us);
        self.stage.say(&format!("all {all} are on the roll; the line of succession:"));
        self.stage.more(&shown(&self.scene.players[leader].line));
        self.number("founding", format!("{founded_ms:.0} ms from the first start until all {all} knew the leader"));
        self.number(
            "registered",
            format!("{registered_ms:.0} ms from the first start until all {all} were on the roll"),
        );
        self.step(
            "founded",
            json!({"leader": name, "term": term, "founded_ms": founded_ms, "registered_ms": registered_ms}),
        );
        Ok(leader)
    }

    fn kill(&mut self, leader: usize) -> Result<String, Failure> {
        let name = self.scene.players[leader].name.clone();
        let term = self.scene.players[leader].term;
        self.stage.act("The leader is killed");
        self.stage.say(&format!("SIGKILL to {name} (process {})", self.cast.pid(leader)));
        self.scene.players[leader].on_stage = false;
        let killed_us = unix_us();
        self.cast.kill(leader)?;
        self.cast.reap(leader);
        let (successor, next) = self.until_agreed(term)?;
        let (first, last) = self.show_successor(killed_us, successor, next);
        self.number(
            "failover",
            format!("{first:.2} ms from SIGKILL to the first, {last:.2} ms to the last survivor's new leader"),
        );
        let by = self.scene.players[successor].name.clone();
        self.step("killed", json!({"killed": name, "leader": by, "term": next, "first_ms": first, "last_ms": last}));
        Ok(name)
    }

    fn comeback(&mut self, name: &str) -> Result<(), Failure> {
        self.stage.act("The killed one comes back");
        let begin_us = unix_us();
        let serial = self.enter(name, true)?;
        self.stage.say(&format!("{name} starts again (process {}), without a memory", self.cast.pid(serial)));
        self.until("it is registered again", |s| s.players[serial].registered_at_us.is_some())?;
        let registered_ms = ms(begin_us, self.scene.players[serial].registered_at_us.unwrap_or(begin_us));
        self.stage.say(&format!("registered again after {registered_ms:.0} ms, as a new voter on its old place"));
        self.until("it counts in the line again", |s| s.is_in_line(serial))?;
        let back_us = self.scene.on_stage().filter(|(_, p)| p.candidate).map(|(_, p)| p.line_at_us).max();
        let back_ms = ms(begin_us, back_us.unwrap_or(begin_us));
        self.stage.say(&format!("back in the line after {back_ms:.0} ms, in the eyes of all candidates:"));
        self.stage.more(&shown(&self.scene.players[serial].line));
        let (leader, term) = self.until_agreed(0)?;
        let leader = self.scene.players[leader].name.clone();
        self.stage.more(&format!("{leader} goes on leading in term {term}: who returns disturbs nobody"));
        self.number("return", format!("{back_ms:.0} ms from its start until it counted in the line again"));
        self.step("returned", json!({"id": name, "registered_ms": registered_ms, "in_line_ms": back_ms}));
        Ok(())
    }

    fn handover(&mut self) -> Result<(), Failure> {
        let (leader, term) = self.until_agreed(0)?;
        let name = self.scene.players[leader].name.clone();
        self.stage.act("A handover");
        self.stage.say(&format!("{name} is told to hand over, to the next that is in sync"));
        let told_us = unix_us();
        self.cast.tell(leader, "handover")?;
        let (successor, next) = self.until_agreed(term)?;
        let (first, last) = self.show_successor(told_us, successor, next);
        self.stage.more(&format!("{name} goes on as a supporter"));
        self.number(
            "handover",
            format!("{first:.2} ms from the order to the first, {last:.2} ms to the last one's new leader"),
        );
        let by = self.scene.players[successor].name.clone();
        self.step("handover", json!({"from": name, "leader": by, "term": next, "first_ms": first, "last_ms": last}));
        Ok(())
    }

    fn resignation(&mut self) -> Result<(), Failure> {
        let (leader, term) = self.until_agreed(0)?;
        let name = self.scene.players[leader].name.clone();
        self.stage.act("The leader leaves in order");
        self.stage.say(&format!("{name} is told to leave"));
        self.scene.players[leader].on_stage = false;
        let told_us = unix_us();
        self.cast.tell(leader, "leave")?;
        let (successor, next) = self.until_agreed(term)?;
        let (first, last) = self.show_successor(told_us, successor, next);
        self.until("the one that leaves says that it stopped", |s| s.players[leader].stopped)?;
        self.cast.ended_well(leader, Duration::from_secs(2))?;
        self.stage.more(&format!("{name} ended with status 0"));
        self.number(
            "resignation",
            format!("{first:.2} ms from the order to the first, {last:.2} ms to the last other's new leader"),
        );
        let by = self.scene.players[successor].name.clone();
        self.step("resigned", json!({"left": name, "leader": by, "term": next, "first_ms": first, "last_ms": last}));
        Ok(())
    }

    fn closing(&mut self) -> Result<(), Failure> {
        let (leader, _) = self.until_agreed(0)?;
        self.cast.tell(leader, "stats")?;
        self.until("the leader tells its counters", |s| s.players[leader].stats.is_some())?;
        let stats = self.scene.players[leader].stats.clone().unwrap_or_default();
        let name = self.scene.players[leader].name.clone();
        let count = |key: &str| stats[key].as_u64().unwrap_or(0);
        self.number(
            "traffic",
            format!("{} datagrams in, {} out at {name}", count("datagrams_in"), count("datagrams_out")),
        );
        self.stage.act("The numbers");
        for (name, text) in &self.numbers {
            self.stage.more(&format!("{name:<12} {text}"));
        }
        Ok(())
    }

    /// When each on stage learned of its leader: the first and the last of the times, which are shown.
    fn show_successor(&mut self, since_us: u64, successor: usize, term: u64) -> (f64, f64) {
        let mut times: Vec<(String, f64)> =
            self.scene.on_stage().map(|(_, p)| (p.name.clone(), ms(since_us, p.leader_at_us))).collect();
        times.sort_by(|a, b| a.1.total_cmp(&b.1));
        let (first, last) = (times.first().map_or(0.0, |t| t.1), times.last().map_or(0.0, |t| t.1));
        let name = &self.scene.players[successor].name;
        self.stage.say(&format!("{name} leads in term {term}: the last of {} knew it after {last:.2} ms", times.len()));
        self.stage.bars(&times);
        (first, last)
    }

    fn last_leader_ms(&self, since_us: u64) -> f64 {
        ms(since_us, self.scene.on_stage().map(|(_, p)| p.leader_at_us).max().unwrap_or(since_us))
    }

    fn number(&mut self, name: &'static str, text: String) {
        self.numbers.push((name, text));
    }

    fn step(&mut self, name: &str, fields: Value) {
        self.summary[name] = fields.clone();
        self.stage.step(name, fields);
    }
}

/// Milliseconds between two times in microseconds.
fn ms(from_us: u64, to_us: u64) -> f64 {
    to_us.saturating_sub(from_us) as f64 / 1_000.0
}

fn shown(line: &[Place]) -> String {
    let places: Vec<String> =
        line.iter().map(|p| if p.active { p.id.clone() } else { format!("({})", p.id) }).collect();
    places.join(" > ")
}
