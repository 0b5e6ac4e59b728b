//! The command line's arguments.

use crate::options::{DemoOptions, Found, NodeOptions, Settings, SimOptions, SwarmOptions, duration};
use crate::{Failure, help};
use convoke::proto::{Bounds, Config, LinkAssumption, Policy};
use convoke::sim::Faults;
use convoke::types::{Capabilities, ConventionId, NodeId, Standing};
use lexopt::prelude::*;
use std::str::FromStr;
use std::time::Duration;

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Order {
    Node(Box<NodeOptions>),
    Swarm(Box<SwarmOptions>),
    Demo(DemoOptions),
    Sim(SimOptions),
    Bounds(Box<Bounds>),
    Help(&'static str),
    Version,
}

/// Parses the arguments.
pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Order, Failure> {
    let first = parser.next().map_err(Failure::usage)?;
    let word = match first {
        Some(Long("help") | Short('h')) => return Ok(Order::Help(help::GENERAL)),
        Some(Long("version") | Short('V')) => return Ok(Order::Version),
        Some(Value(word)) => word.string().map_err(Failure::usage)?,
        Some(other) => {
            return Err(Failure::usage(format!("{}: say a command first: node, demo or sim", shown(&other))));
        }
        None => return Err(Failure::usage("say a command: node, demo or sim (convoke --help)")),
    };
    match word.as_str() {
        "node" => node(&mut parser, None),
        "swarm" => node(&mut parser, Some(Crowd { members: 100, subscribers: 0, time: None })),
        "demo" => demo(&mut parser),
        "sim" => sim(&mut parser),
        "bounds" => bounds(&mut parser),
        "help" => Ok(Order::Help(help::GENERAL)),
        "probe" => Err(Failure::usage("not yet: convoke probe (to listen without joining)")),
        other => Err(Failure::usage(format!("there is no command {other:?}: say node, demo or sim (convoke --help)"))),
    }
}

fn shown(arg: &lexopt::Arg<'_>) -> String {
    match arg {
        Long(name) => format!("--{name}"),
        Short(c) => format!("-{c}"),
        Value(value) => format!("{value:?}"),
    }
}

fn unknown(command: &str, arg: &lexopt::Arg<'_>) -> Failure {
    Failure::usage(format!("convoke {command} has no {}: convoke {command} --help lists what it has", shown(arg)))
}

/// The value of an option, as text.
fn text(parser: &mut lexopt::Parser) -> Result<String, Failure> {
    parser.value().and_then(|v| v.string()).map_err(Failure::usage)
}

/// The value of an option, as something that parses.
fn value<T: FromStr>(parser: &mut lexopt::Parser, option: &str, what: &str) -> Result<T, Failure> {
    let text = text(parser)?;
    text.parse().map_err(|_| Failure::usage(format!("{option} {text}: say {what}")))
}

fn millis(parser: &mut lexopt::Parser, option: &str) -> Result<Duration, Failure> {
    value(parser, option, "milliseconds, a whole number").map(Duration::from_millis)
}

/// `KEY=VALUE`.
pub(crate) fn pair(text: &str) -> Option<(&str, &str)> {
    text.split_once('=').filter(|(key, _)| !key.is_empty())
}

fn not_yet(option: &str, what: &str) -> Failure {
    Failure::usage(format!("not yet: {option}: {what}"))
}

/// What a swarm has beyond the options of a node.
struct Crowd {
    members: usize,
    subscribers: usize,
    time: Option<Duration>,
}

/// One node, or a crowd of them.
fn node(parser: &mut lexopt::Parser, mut crowd: Option<Crowd>) -> Result<Order, Failure> {
    let command = if crowd.is_some() { "swarm" } else { "node" };
    let mut convention = None;
    let mut id = None;
    let mut o = Settings::default();
    while let Some(arg) = parser.next().map_err(Failure::usage)? {
        match arg {
            Long("help") | Short('h') => {
                return Ok(Order::Help(if crowd.is_some() { help::SWARM } else { help::NODE }));
            }
            Long("convention") => {
                let name = text(parser)?;
                convention =
                    Some(ConventionId::new(&name).map_err(|e| Failure::usage(format!("--convention {name:?}: {e}")))?);
            }
            Long("id") => {
                let name = text(parser)?;
                id = Some(NodeId::new(&name).map_err(|e| Failure::usage(format!("--id {name:?}: {e}")))?);
            }
            Long("candidate") => stand(&mut o, Standing::Candidate)?,
            Long("witness") => stand(&mut o, Standing::Witness)?,
            Long("priority") => o.priority = value(parser, "--priority", "a whole number")?,
            Long("interface") => o.interfaces.push(text(parser)?),
            Long("multicast") => o.multicast = Some(value(parser, "--multicast", "ADDR:PORT, such as 239.1.2.3:4567")?),
            Long("no-multicast") => o.no_multicast = true,
            Long("seed") => o.seeds.push(text(parser)?),
            Long("broadcast") => o.broadcast = true,
            Long("found") => o.found = Some(Found::parse(&text(parser)?)?),
            Long("admin") => o.admin = Some(text(parser)?),
            Long("advertise") => o.advertise = Some(text(parser)?),
            Long("heartbeat") => o.heartbeat = Some(millis(parser, "--heartbeat")?),
            Long("detect") => o.detect = Some(value(parser, "--detect", "a number of intervals")?),
            Long("store") => o.store = Some(parser.value().map_err(Failure::usage)?.into()),
            Long("repair-store") => o.repair_store = true,
            Long("give-up") => o.give_up = Some(millis(parser, "--give-up")?),
            Long("capability") => capability(&mut o.capabilities, &text(parser)?)?,
            Long("subscribe") => o.subscribe = true,
            Long("until-eof") => o.until_eof = true,
            Long("json") => o.json = true,
            Long("outbound-only") => o.outbound_only = true,
            Long("secret-file") => return Err(not_yet("--secret-file", "frames are not signed so far")),
            Long("policy") => o.policy = policy(&text(parser)?)?,
            Long("preempt") => o.preempt = preempt(&text(parser)?)?,
            other => match (&mut crowd, other) {
                (Some(c), Long("members")) => c.members = value(parser, "--members", "a number, 1 to 100000")?,
                (Some(c), Long("subscribers")) => c.subscribers = value(parser, "--subscribers", "a number")?,
                (Some(c), Long("for")) => c.time = Some(duration("--for", &text(parser)?)?),
                (_, other) => return Err(unknown(command, &other)),
            },
        }
    }
    check(&o)?;
    let convention = convention.ok_or_else(|| Failure::usage("say which convention: --convention NAME"))?;
    let id = id.map_or_else(host_name, Ok)?;
    let node = NodeOptions { convention, id, set: o };
    let Some(Crowd { members, subscribers, time }) = crowd else { return Ok(Order::Node(Box::new(node))) };
    check_swarm(&node.set, members)?;
    Ok(Order::Swarm(Box::new(SwarmOptions { node, members, subscribers, time })))
}

/// What many members in one process can't have.
fn check_swarm(o: &Settings, members: usize) -> Result<(), Failure> {
    if !(1..=100_000).contains(&members) {
        return Err(Failure::usage(format!("--members {members}: say 1 to 100000")));
    }
    if o.standing != Standing::Member || o.found.is_some() {
        return Err(Failure::usage("a swarm is of plain members: leave --candidate, --witness and --found to nodes"));
    }
    if o.store.is_some() || o.advertise.is_some() || o.give_up.is_some() {
        return Err(Failure::usage("--store, --advertise and --give-up are for one node each, not for a swarm"));
    }
    Ok(())
}

fn stand(o: &mut Settings, standing: Standing) -> Result<(), Failure> {
    if o.standing != Standing::Member && o.standing != standing {
        return Err(Failure::usage("--candidate and --witness: say one of them"));
    }
    o.standing = standing;
    Ok(())
}

fn capability(capabilities: &mut Capabilities, text: &str) -> Result<(), Failure> {
    let (key, value) = pair(text).ok_or_else(|| Failure::usage(format!("--capability {text}: say KEY=VALUE")))?;
    capabilities.set(key, value).map_err(|e| Failure::usage(format!("--capability {text}: {e}")))
}

fn policy(text: &str) -> Result<Policy, Failure> {
    match text {
        "quorum" => Ok(Policy::Quorum),
        "available" => Ok(Policy::Available),
        other => Err(Failure::usage(format!("--policy {other}: say quorum or available"))),
    }
}

fn preempt(text: &str) -> Result<Option<Duration>, Failure> {
    if text == "never" {
        return Ok(None);
    }
    let ms = text.parse().map_err(|_| Failure::usage(format!("--preempt {text}: say never, or milliseconds")))?;
    Ok(Some(Duration::from_millis(ms)))
}

/// What the options say against each other.
fn check(o: &Settings) -> Result<(), Failure> {
    if o.repair_store && o.store.is_none() {
        return Err(Failure::usage("--repair-store: say which: --store DIR"));
    }
    if o.no_multicast && o.multicast.is_some() {
        return Err(Failure::usage("--multicast and --no-multicast: say one of them"));
    }
    Ok(())
}

fn host_name() -> Result<NodeId, Failure> {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_default();
    NodeId::new(text.trim()).map_err(|e| Failure::usage(format!("the host's name won't do ({e}): say --id ID")))
}

fn demo(parser: &mut lexopt::Parser) -> Result<Order, Failure> {
    let mut o = DemoOptions { candidates: 5, members: 3, json: false };
    while let Some(arg) = parser.next().map_err(Failure::usage)? {
        match arg {
            Long("help") | Short('h') => return Ok(Order::Help(help::DEMO)),
            Long("nodes") => o.candidates = value(parser, "--nodes", "a number, 3 to 15")?,
            Long("members") => o.members = value(parser, "--members", "a number, 0 to 50")?,
            Long("json") => o.json = true,
            other => return Err(unknown("demo", &other)),
        }
    }
    if !(3..=15).contains(&o.candidates) {
        return Err(Failure::usage(format!("--nodes {}: say 3 to 15, fewer can't replace a leader", o.candidates)));
    }
    if o.members > 50 {
        return Err(Failure::usage(format!("--members {}: say at most 50, each is a process", o.members)));
    }
    Ok(Order::Demo(o))
}

fn sim(parser: &mut lexopt::Parser) -> Result<Order, Failure> {
    let mut o = SimOptions {
        seeds: 1..2,
        story: true,
        candidates: None,
        members: None,
        time: None,
        policy: None,
        faults: Faults::all(),
    };
    while let Some(arg) = parser.next().map_err(Failure::usage)? {
        match arg {
            Long("help") | Short('h') => return Ok(Order::Help(help::SIM)),
            Long("seed") => {
                let seed: u64 = value(parser, "--seed", "a number")?;
                (o.seeds, o.story) = (seed..seed.saturating_add(1), true);
            }
            Long("seeds") => (o.seeds, o.story) = (band(&text(parser)?)?, false),
            Long("candidates") => o.candidates = Some(value(parser, "--candidates", "a number, 1 to 15")?),
            Long("members") => o.members = Some(value(parser, "--members", "a number")?),
            Long("for") => o.time = Some(duration("--for", &text(parser)?)?),
            Long("policy") => o.policy = Some(policy(&text(parser)?)?),
            Long("faults") => o.faults = text(parser)?.parse().map_err(|e| Failure::usage(format!("--faults: {e}")))?,
            other => return Err(unknown("sim", &other)),
        }
    }
    if o.candidates.is_some_and(|n| !(1..=15).contains(&n)) {
        return Err(Failure::usage("--candidates: a line of succession holds 1 to 15"));
    }
    Ok(Order::Sim(o))
}

fn bounds(parser: &mut lexopt::Parser) -> Result<Order, Failure> {
    let mut builder =
        Config::builder(ConventionId::new("c").map_err(Failure::usage)?, NodeId::new("n").map_err(Failure::usage)?)
            .seeds(true);
    let (mut candidates, mut members) = (3, 0);
    let us = Duration::from_micros;
    let mut link = LinkAssumption { one_way: us(500), loop_lateness: us(1_000), store_write: us(0) };
    let micros = |parser: &mut lexopt::Parser, option: &str| value(parser, option, "microseconds").map(us);
    while let Some(arg) = parser.next().map_err(Failure::usage)? {
        match arg {
            Long("help") | Short('h') => return Ok(Order::Help(help::BOUNDS)),
            Long("candidates") => candidates = value(parser, "--candidates", "a number, 1 to 15")?,
            Long("members") => members = value(parser, "--members", "a number")?,
            Long("heartbeat") => builder = builder.heartbeat(millis(parser, "--heartbeat")?),
            Long("detect") => builder = builder.detect(value(parser, "--detect", "a number of intervals")?),
            Long("one-way") => link.one_way = micros(parser, "--one-way")?,
            Long("late") => link.loop_lateness = micros(parser, "--late")?,
            Long("write") => link.store_write = micros(parser, "--write")?,
            Long("no-multicast") => builder = builder.multicast(false),
            other => return Err(unknown("bounds", &other)),
        }
    }
    if !(1..=15).contains(&candidates) {
        return Err(Failure::usage("--candidates: a line of succession holds 1 to 15"));
    }
    let config = builder.build().map_err(Failure::usage)?;
    Ok(Order::Bounds(Box::new(config.bounds(candidates, members, &link))))
}

/// `A..B`, B excluded.
fn band(text: &str) -> Result<std::ops::Range<u64>, Failure> {
    let band = text.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
    band.filter(|band| !band.is_empty())
        .ok_or_else(|| Failure::usage(format!("--seeds {text}: say A..B, such as 0..1000")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn order(line: &str) -> Result<Order, Failure> {
        parse(lexopt::Parser::from_args(line.split_whitespace()))
    }

    fn options(line: &str) -> NodeOptions {
        match order(&format!("node --convention c --id a {line}")) {
            Ok(Order::Node(o)) => *o,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_contract_is_accepted() {
        let o = options(
            "--candidate --priority -3 --interface eth* --interface 10.0.0.0/8 --multicast [ff15::1]:4000 --seed h:1 \
             --broadcast --found list=a@h1:1,b@h2:2 --admin 127.0.0.1:0 --advertise pub:9 --heartbeat 100 --detect 4 \
             --policy available --preempt never --store /s --give-up 5000 --capability k=v=w --subscribe --json",
        );
        assert_eq!((o.set.priority, o.set.interfaces.len(), o.set.detect), (-3, 2, Some(4)));
        assert_eq!(o.set.capabilities.get("k"), Some("v=w"));
        assert_eq!(o.all_seeds(), ["h:1", "h2:2"], "the list's addresses are seeds, but not its own");
        assert_eq!(o.config().unwrap().detection(), Duration::from_millis(400));
    }

    #[test]
    fn what_is_wrong_is_told_in_a_line() {
        let cases = [
            ("", "say a command"),
            ("fly", "no command"),
            ("--json", "say a command first"),
            ("probe", "not yet"),
            ("swarm --members 5", "--convention"),
            ("swarm --convention c --members 0", "1 to 100000"),
            ("swarm --convention c --candidate", "plain members"),
            ("node --convention c --members 5", "has no --members"),
            ("node --id a", "--convention"),
            ("node --convention a/b\u{7}", "control"),
            ("node --convention c --what", "has no --what"),
            ("node --convention c extra", "extra"),
            ("node --convention c --heartbeat fast", "milliseconds"),
            ("node --convention c --candidate --witness", "one of them"),
            ("node --convention c --multicast 239.0.0.1:5 --no-multicast", "one of them"),
            ("node --convention c --repair-store", "--store DIR"),
            ("node --convention c --multicast 239.0.0.1", "ADDR:PORT"),
            ("node --convention c --capability k", "KEY=VALUE"),
            ("node --convention c --secret-file f", "not yet"),
            ("node --convention c --policy maybe", "quorum"),
            ("node --convention c --preempt soon", "never"),
            ("node --convention", "missing"),
            ("demo --nodes 2", "3 to 15"),
            ("demo --members 51", "50"),
            ("sim --seeds 5..5", "A..B"),
            ("bounds --heartbeat 1", "5 ms"),
            ("bounds --candidates 16", "1 to 15"),
            ("sim --for 60", "unit"),
            ("sim --faults wind", "wind"),
        ];
        for (line, part) in cases {
            match order(line) {
                Err(Failure::Usage(text)) => assert!(text.contains(part), "{line}: {text}"),
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn configuration_errors_are_usage_errors() {
        for line in ["--candidate", "--heartbeat 1", "--detect 1", "--no-multicast", "--found alone"] {
            assert!(matches!(options(line).config(), Err(Failure::Usage(_))), "{line}");
        }
        for line in
            ["--multicast 10.0.0.1:5", "--multicast 239.0.0.1:0", "--seed nowhere", "--admin x", "--interface 1/99"]
        {
            assert!(matches!(options(line).net(), Err(Failure::Usage(_))), "{line}");
        }
        options("--candidate --found alone --no-multicast").config().unwrap();
        options("--no-multicast --seed h:1").config().unwrap();
    }
}
