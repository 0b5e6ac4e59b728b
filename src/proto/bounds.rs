//! The worst case as a function of the configuration: how long until a leader is replaced, and what a quiet convention
//! costs each role.
//!
//! With o the time of a datagram or a stream's piece one way, l the lateness of a node's loop, w the time of a durable
//! write, D the detection time, s the election step, h the interval:
//!
//! | figure | formula |
//! | --- | --- |
//! | detection of a crash | 3·o + 2·l: the end of the stream, then a refused dial |
//! | detection of silence | o + l + D + l: the last heartbeat came that late |
//! | election | 6·(o + l) + 2·w: canvass, bid and fetch, each a round; own promise and the voters' |
//! | failover after a crash | detection of a crash + election + o + l: the new leader's heartbeat |
//! | failover after silence | detection of silence + s + election + o + l: the silent one's turn passes first |
//!
//! They hold where only the leader fails, a majority of the voters and its first successor are connected and keep to the
//! assumption, and the roll that the successor may have to fetch fits one append. Each further candidate that is gone
//! but not yet known to be costs a step, each collision of two bidders a round of four steps. They hold where a bid there and
//! back fits a round (2·(o + l) + 2·w ≤ 4·s): where it doesn't, rounds double from the third try on, up to D.

use super::config::Config;
use std::fmt;
use std::time::Duration;

/// Payload bytes of the datagrams that come all the time; IPv4 and UDP add 28 to each.
const HEARTBEAT: f64 = 64.0;
const ACK: f64 = 40.0;
const BEAT: f64 = 24.0;
/// What a default receive buffer of Linux holds, in small datagrams.
const DEFAULT_BUFFER: usize = 256;

/// What is assumed of network and machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkAssumption {
    /// The longest that a datagram, or a stream's piece, takes from one node to another.
    pub one_way: Duration,
    /// The longest from when something comes, or is due, until the node handles it.
    pub loop_lateness: Duration,
    /// The longest that a write takes until it is durable; zero without stores.
    pub store_write: Duration,
}

/// What one node of a role sends and receives in a quiet convention, a second. A multicast counts once at its sender.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Traffic {
    /// Datagrams sent a second.
    pub packets_out: f64,
    /// Datagrams received a second.
    pub packets_in: f64,
    /// Payload bytes of those sent.
    pub bytes_out: f64,
    /// Payload bytes of those received.
    pub bytes_in: f64,
}

/// The worst cases of a configuration; see [`Config::bounds`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Bounds {
    /// From a leader's crash until its first successor has evidence of it; where evidence of death is off, as of
    /// silence.
    pub detection_crash: Duration,
    /// From a leader's falling silent until all voters that hear each other take it for gone.
    pub detection_silence: Duration,
    /// From evidence until the successor leads.
    pub election: Duration,
    /// From a leader's crash until its successor leads and all that hear it know.
    pub failover_crash: Duration,
    /// The same from a leader's falling silent.
    pub failover_silence: Duration,
    /// How long a leader's lease lasts, from the sending of the heartbeat that a majority acknowledged.
    pub lease: Duration,
    /// How much later each further rank bids.
    pub election_step: Duration,
    /// The leader's traffic.
    pub leader: Traffic,
    /// A supporter's or witness's.
    pub supporter: Traffic,
    /// A plain member's.
    pub member: Traffic,
    /// Settings that work but contradict each other or the assumption, a sentence each.
    pub warnings: Vec<String>,
}

impl Config {
    /// The worst cases for so many candidates and witnesses, and so many plain members besides.
    ///
    /// ```
    /// use convoke::proto::{Config, LinkAssumption};
    /// use convoke::types::{ConventionId, NodeId};
    /// use std::time::Duration;
    /// let config = Config::builder(ConventionId::new("site").unwrap(), NodeId::new("a").unwrap()).build().unwrap();
    /// let ms = Duration::from_millis(1);
    /// let link = LinkAssumption { one_way: ms, loop_lateness: ms, store_write: Duration::ZERO };
    /// let bounds = config.bounds(5, 1_000, &link);
    /// assert_eq!(bounds.failover_crash, 19 * ms);
    /// println!("{bounds}");
    /// ```
    #[must_use]
    pub fn bounds(&self, candidates: usize, members: usize, link: &LinkAssumption) -> Bounds {
        let (o, l) = (link.one_way, link.loop_lateness);
        let hop = o + l;
        let detection_silence = hop + self.detection() + l;
        let detection_crash = if self.death_evidence { o * 3 + l * 2 } else { detection_silence };
        let election = hop * 6 + link.store_write * 2;
        let step = self.step();
        let turn = if self.death_evidence { Duration::ZERO } else { step };
        let (leader, supporter, member) = self.traffic(candidates.max(1), members);
        Bounds {
            detection_crash,
            detection_silence,
            election,
            failover_crash: detection_crash + turn + election + hop,
            failover_silence: detection_silence + step + election + hop,
            lease: self.lease(),
            election_step: step,
            leader,
            supporter,
            member,
            warnings: self.contradictions(members, link),
        }
    }

    /// Each heartbeat goes by multicast, where there is any, and to each candidate by unicast as well; a voter
    /// acknowledges each copy. All but the leader beat once an interval.
    fn traffic(&self, candidates: usize, members: usize) -> (Traffic, Traffic, Traffic) {
        let rate = 1.0 / self.heartbeat().as_secs_f64();
        let (others, members) = ((candidates - 1) as f64, members as f64);
        let copies = if self.multicast { 2.0 } else { 1.0 };
        let heartbeats = others + if self.multicast { 1.0 } else { members };
        let (acks, beats) = (others * copies, others + members);
        let traffic = |out: f64, into: f64, bytes_out: f64, bytes_in: f64| Traffic {
            packets_out: out * rate,
            packets_in: into * rate,
            bytes_out: bytes_out * rate,
            bytes_in: bytes_in * rate,
        };
        (
            traffic(heartbeats, acks + beats, heartbeats * HEARTBEAT, acks * ACK + beats * BEAT),
            traffic(copies + 1.0, copies, copies * ACK + BEAT, copies * HEARTBEAT),
            traffic(1.0, 1.0, BEAT, HEARTBEAT),
        )
    }

    fn contradictions(&self, members: usize, link: &LinkAssumption) -> Vec<String> {
        let mut said = Vec::new();
        let (o, l, h) = (link.one_way, link.loop_lateness, self.heartbeat());
        let round_trip = (o + l) * 2;
        if self.lease() <= h + round_trip {
            said.push(format!(
                "the lease of {:?} ends before a heartbeat each {h:?} is acknowledged within {round_trip:?}: one lost \
                 heartbeat, or none, costs the leadership; choose a larger detect or heartbeat",
                self.lease()
            ));
        } else if self.lease() <= h * 2 + round_trip {
            said.push("one lost heartbeat costs the leader its lease: choose a larger detect".into());
        }
        if self.step() <= o + l {
            said.push(format!(
                "the election step of {:?} is shorter than a message takes ({:?}): successors bid against each other",
                self.step(),
                o + l
            ));
        }
        let (bid, round) = (round_trip + link.store_write * 2, self.step() * 4);
        if bid > round {
            said.push(format!(
                "a bid there and back, with the writes of both, takes up to {bid:?}, an election round is {round:?}: a \
                 succession takes several tries, of which each lasts longer; choose a larger heartbeat"
            ));
        }
        if l > h / 4 {
            said.push(format!(
                "loops late by {l:?} are no sign of trouble only up to a quarter of the heartbeat ({h:?})"
            ));
        }
        if h < Duration::from_millis(10) {
            said.push(format!(
                "a heartbeat each {h:?} rests on timers of whole milliseconds: three in a row may be late"
            ));
        }
        let burst = members as f64 * l.as_secs_f64() / h.as_secs_f64();
        if burst > DEFAULT_BUFFER as f64 {
            said.push(format!(
                "while the leader's loop is late by {l:?}, {burst:.0} heartbeats come, and a default receive buffer holds \
                 {DEFAULT_BUFFER}: raise it"
            ));
        }
        if members > self.max_members {
            said.push(format!("{members} members don't fit: max_members is {}", self.max_members));
        }
        said
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut time = |what: &str, d: Duration| writeln!(f, "{what:<36}{:>12.1} ms", d.as_secs_f64() * 1e3);
        time("detection of a crash, at most", self.detection_crash)?;
        time("detection of silence, at most", self.detection_silence)?;
        time("election, at most", self.election)?;
        time("failover after a crash, at most", self.failover_crash)?;
        time("failover after silence, at most", self.failover_silence)?;
        time("lease", self.lease)?;
        time("election step", self.election_step)?;
        writeln!(f, "a second        packets out  packets in   bytes out    bytes in")?;
        for (role, t) in [("leader", self.leader), ("supporter", self.supporter), ("member", self.member)] {
            let Traffic { packets_out, packets_in, bytes_out, bytes_in } = t;
            writeln!(f, "{role:<14}{packets_out:>13.1}{packets_in:>12.1}{bytes_out:>12.0}{bytes_in:>12.0}")?;
        }
        self.warnings.iter().try_for_each(|w| writeln!(f, "warning: {w}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::types::{ConventionId, NodeId};

    fn warnings(heartbeat_ms: u64, detect: u32, members: usize, one_way_us: u64, late_us: u64) -> Vec<String> {
        let builder = Config::builder(ConventionId::new("c").unwrap(), NodeId::new("a").unwrap());
        let config = builder.heartbeat(Duration::from_millis(heartbeat_ms)).detect(detect).build().unwrap();
        let (one_way, loop_lateness) = (Duration::from_micros(one_way_us), Duration::from_micros(late_us));
        config.bounds(3, members, &LinkAssumption { one_way, loop_lateness, store_write: Duration::ZERO }).warnings
    }

    #[test]
    fn what_contradicts_is_said() {
        assert_eq!(warnings(1_000, 3, 1_000, 500, 500), [""; 0]);
        for (said, part) in [
            (warnings(100, 2, 0, 60_000, 100), "costs the leadership"),
            (warnings(1_000, 2, 0, 100, 100), "one lost heartbeat"),
            (warnings(1_000, 3, 0, 200_000, 100), "bid against each other"),
            (warnings(100, 10, 0, 25_000, 100), "several tries"),
            (warnings(100, 3, 0, 100, 40_000), "quarter"),
            (warnings(5, 3, 0, 100, 100), "whole milliseconds"),
            (warnings(1_000, 3, 50_000, 100, 10_000), "receive buffer"),
            (warnings(1_000, 3, 100_000, 100, 100), "max_members"),
        ] {
            assert!(said.iter().any(|s| s.contains(part)), "{part}: {said:?}");
        }
    }
}
