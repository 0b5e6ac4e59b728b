//! Hosts that nobody can connect to, as behind a firewall that keeps track, or a translation of addresses: what comes in
//! has to answer something that went out.

use crate::proto::Lane;
use std::collections::BTreeMap;

/// How a host is closed off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wall {
    /// True: connections to it are refused; else they get no answer.
    pub refuses: bool,
    /// True: multicast gets in.
    pub multicast: bool,
}

/// For how long answers get in after the last datagram that went out to there: half a minute, as firewalls have it.
const HOLE_US: u64 = 30_000_000;

/// Which hosts are closed off, and whom they let in.
#[derive(Debug, Default)]
pub(super) struct Walls {
    walls: BTreeMap<u32, Wall>,
    /// From whom datagrams get in to whom, and until when.
    holes: BTreeMap<(u32, u32), u64>,
}

impl Walls {
    pub(super) fn put(&mut self, host: u32, wall: Option<Wall>) {
        match wall {
            Some(wall) => self.walls.insert(host, wall),
            None => self.walls.remove(&host),
        };
    }

    pub(super) fn of(&self, host: u32) -> Option<Wall> {
        self.walls.get(&host).copied()
    }

    /// A datagram goes out.
    pub(super) fn goes_out(&mut self, now: u64, from: u32, to: u32) {
        if self.walls.contains_key(&from) {
            self.holes.insert((from, to), now + HOLE_US);
        }
    }

    /// Whether a datagram gets in.
    pub(super) fn lets_in(&self, now: u64, from: u32, to: u32, lane: Lane) -> bool {
        let Some(wall) = self.walls.get(&to).filter(|_| from != to) else { return true };
        match lane {
            Lane::Unicast => self.holes.get(&(to, from)).is_some_and(|until| now < *until),
            Lane::Floor | Lane::Bench => wall.multicast,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_get_in_and_not_for_ever() {
        let mut walls = Walls::default();
        walls.put(1, Some(Wall { refuses: true, multicast: false }));
        assert!(walls.lets_in(0, 1, 0, Lane::Unicast) && !walls.lets_in(0, 0, 1, Lane::Unicast));
        assert!(!walls.lets_in(0, 0, 1, Lane::Floor) && walls.lets_in(0, 1, 1, Lane::Floor));
        walls.goes_out(5, 1, 0);
        walls.goes_out(5, 0, 2);
        assert!(walls.lets_in(6, 0, 1, Lane::Unicast) && !walls.lets_in(6, 2, 1, Lane::Unicast));
        assert!(!walls.lets_in(5 + HOLE_US, 0, 1, Lane::Unicast));
    }
}
