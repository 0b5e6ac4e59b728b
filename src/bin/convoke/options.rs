//! The options' values: plain data, as they were given.

use crate::Failure;
use convoke::net::NetConfig;
use convoke::proto::{Config, Founding, Policy};
use convoke::sim::Faults;
use convoke::types::{Capabilities, ConventionId, NodeId, Standing};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The options of `convoke node`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeOptions {
    pub(crate) convention: ConventionId,
    pub(crate) id: NodeId,
    pub(crate) set: Settings,
}

/// The options that may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Settings {
    pub(crate) standing: Standing,
    pub(crate) priority: i32,
    pub(crate) interfaces: Vec<String>,
    /// Nothing: the default group.
    pub(crate) multicast: Option<SocketAddr>,
    pub(crate) no_multicast: bool,
    pub(crate) seeds: Vec<String>,
    pub(crate) broadcast: bool,
    pub(crate) found: Option<Found>,
    pub(crate) admin: Option<String>,
    pub(crate) advertise: Option<String>,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) detect: Option<u32>,
    /// Nothing: never.
    pub(crate) policy: Policy,
    pub(crate) preempt: Option<Duration>,
    pub(crate) store: Option<PathBuf>,
    pub(crate) repair_store: bool,
    pub(crate) give_up: Option<Duration>,
    pub(crate) capabilities: Capabilities,
    pub(crate) subscribe: bool,
    pub(crate) outbound_only: bool,
    pub(crate) until_eof: bool,
    pub(crate) json: bool,
}

/// The option `--found`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Expect(usize),
    /// The candidates and where they listen.
    List(Vec<(NodeId, String)>),
    Alone,
}

impl Found {
    /// Parses `expect=N`, `list=ID@HOST:PORT,…` and `alone`.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        if text == "alone" {
            return Ok(Self::Alone);
        }
        if let Some(n) = text.strip_prefix("expect=") {
            return n
                .parse()
                .map(Self::Expect)
                .map_err(|_| Failure::usage(format!("--found expect={n}: say how many candidates, such as expect=3")));
        }
        if let Some(list) = text.strip_prefix("list=") {
            return list.split(',').map(place).collect::<Result<_, _>>().map(Self::List);
        }
        Err(Failure::usage(format!("--found {text}: say expect=N, list=ID@HOST:PORT,... or alone")))
    }
}

/// One `ID@HOST:PORT` of a list.
fn place(text: &str) -> Result<(NodeId, String), Failure> {
    let Some((id, addr)) = text.rsplit_once('@') else {
        return Err(Failure::usage(format!("--found list: {text:?} is no ID@HOST:PORT")));
    };
    let id = NodeId::new(id).map_err(|e| Failure::usage(format!("--found list: {text:?}: {e}")))?;
    Ok((id, addr.into()))
}

impl NodeOptions {
    /// The seeds that were named, and the other candidates of a founding list: whoever is to found with us can also
    /// tell us that it is done already.
    pub(crate) fn all_seeds(&self) -> Vec<String> {
        let listed = match &self.set.found {
            Some(Found::List(list)) => list.as_slice(),
            _ => &[],
        };
        let others = listed.iter().filter(|(id, _)| *id != self.id).map(|(_, addr)| addr.clone());
        let mut seeds: Vec<String> = Vec::new();
        for seed in self.set.seeds.iter().cloned().chain(others) {
            if !seeds.contains(&seed) {
                seeds.push(seed);
            }
        }
        seeds
    }

    /// The core's configuration.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        let mut builder = Config::builder(self.convention.clone(), self.id.clone())
            .policy(self.set.policy)
            .preempt(self.set.preempt)
            .priority(self.set.priority)
            .multicast(!self.set.no_multicast)
            .broadcast(self.set.broadcast)
            .seeds(!self.all_seeds().is_empty())
            .subscribe(self.set.subscribe)
            .capabilities(self.set.capabilities.clone());
        builder = match self.set.standing {
            Standing::Candidate => builder.candidate(),
            Standing::Witness => builder.witness(),
            Standing::Member => builder,
        };
        if let Some(found) = &self.set.found {
            builder = builder.found(match found {
                Found::Expect(n) => Founding::Expect(*n),
                Found::List(list) => Founding::List(list.iter().map(|(id, _)| id.clone()).collect()),
                Found::Alone => Founding::Alone,
            });
        }
        if self.set.outbound_only {
            builder = builder.outbound_only();
        }
        if let Some(interval) = self.set.heartbeat {
            builder = builder.heartbeat(interval);
        }
        if let Some(intervals) = self.set.detect {
            builder = builder.detect(intervals);
        }
        builder.build().map_err(Failure::usage)
    }

    /// The sockets' configuration.
    pub(crate) fn net(&self) -> Result<NetConfig, Failure> {
        let mut builder = NetConfig::builder().broadcast(self.set.broadcast);
        for interface in &self.set.interfaces {
            builder = builder.interface(interface);
        }
        for seed in self.all_seeds() {
            builder = builder.seed(&seed);
        }
        if self.set.no_multicast {
            builder = builder.no_multicast();
        } else if let Some(group) = self.set.multicast {
            builder = builder.multicast(group);
        }
        if let Some(admin) = &self.set.admin {
            builder = builder.admin(admin);
        }
        if let Some(advertise) = &self.set.advertise {
            builder = builder.advertise(advertise);
        }
        builder.build().map_err(Failure::usage)
    }
}

/// The options of `convoke swarm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SwarmOptions {
    /// What all members have in common; their names begin with its id.
    pub(crate) node: NodeOptions,
    pub(crate) members: usize,
    /// So many of them follow the whole roll.
    pub(crate) subscribers: usize,
    /// Nothing: until it is told to leave.
    pub(crate) time: Option<Duration>,
}

/// The options of `convoke demo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DemoOptions {
    pub(crate) candidates: usize,
    pub(crate) members: usize,
    pub(crate) json: bool,
}

/// The options of `convoke sim`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SimOptions {
    pub(crate) seeds: std::ops::Range<u64>,
    /// One seed was named: tell its story.
    pub(crate) story: bool,
    pub(crate) candidates: Option<usize>,
    pub(crate) members: Option<usize>,
    /// Of the phase of faults.
    pub(crate) time: Option<Duration>,
    /// Nothing: drawn.
    pub(crate) policy: Option<Policy>,
    pub(crate) faults: Faults,
}

/// A time with its unit: `500ms`, `60s`, `10m`, `1h`.
pub(crate) fn duration(option: &str, text: &str) -> Result<Duration, Failure> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit_ms = match &text[digits..] {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let number: Option<u64> = text[..digits].parse().ok();
    match number.zip(unit_ms).and_then(|(n, unit)| n.checked_mul(unit)) {
        Some(ms) if ms > 0 => Ok(Duration::from_millis(ms)),
        _ => Err(Failure::usage(format!("{option} {text}: say a time with its unit, such as 500ms, 60s, 10m or 1h"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn foundings() {
        assert_eq!(Found::parse("alone"), Ok(Found::Alone));
        assert_eq!(Found::parse("expect=5"), Ok(Found::Expect(5)));
        let list = Found::parse("list=a@h1:1,b@[::1]:2").unwrap();
        let id = |s| NodeId::new(s).unwrap();
        assert_eq!(list, Found::List(vec![(id("a"), "h1:1".into()), (id("b"), "[::1]:2".into())]));
        for bad in ["", "expect", "expect=", "expect=x", "list=", "list=a", "list=@h:1", "x"] {
            assert!(matches!(Found::parse(bad), Err(Failure::Usage(_))), "{bad:?}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(duration("--for", "500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("--for", "1h"), Ok(Duration::from_secs(3_600)));
        for bad in ["", "5", "s", "0s", "-1s", "1.5s", "99999999999999999999s", "18446744073709551615h", "5µs"] {
            assert!(duration("--for", bad).is_err(), "{bad:?}");
        }
    }
}
