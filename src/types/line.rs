//! The line of succession.

use super::{Identity, Incarnation, MemberInfo, NodeId, Slot, Standing, VoterTag};
use std::net::SocketAddr;

/// The most candidates and witnesses that a line holds.
pub const MAX_SEATS: usize = 15;

/// A candidate's or witness's place in the line of succession.
///
/// A seat outlives the voter in it: a diskless candidate that restarts is a new voter on its old seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Whose seat it is.
    pub id: NodeId,
    /// The voter in it.
    pub identity: Identity,
    /// The incarnation of the node that last took it.
    pub incarnation: Incarnation,
    /// Larger ones come first.
    pub priority: i32,
    /// The order of admission: among equal priorities the smaller comes first.
    pub admitted: u32,
    /// Votes, but never leads.
    pub witness: bool,
    /// The voter in it has a store: it may come back with what it promised and holds.
    pub durable: bool,
    /// False while the seat is kept for a voter that was taken off the line or is not level yet: it doesn't count.
    pub voting: bool,
    /// The slot of the node's registration.
    pub slot: Slot,
    /// Where it listens.
    pub addrs: Vec<SocketAddr>,
}

impl Seat {
    /// The seat of the voter that this member is.
    pub(crate) fn of(info: &MemberInfo, slot: Slot, admitted: u32) -> Self {
        Self {
            id: info.id.clone(),
            identity: info.identity,
            incarnation: info.incarnation,
            priority: info.priority,
            admitted,
            witness: info.standing == Standing::Witness,
            durable: info.durable,
            voting: true,
            slot,
            addrs: info.addrs.clone(),
        }
    }
}

/// The line of succession: seats by priority, then by order of admission.
///
/// ```
/// use convoke::types::Line;
/// assert_eq!(Line::default().majority(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line {
    version: u32,
    seats: Vec<Seat>,
}

impl Line {
    /// A line of these seats, put in order. Seats beyond [`MAX_SEATS`] and further seats of one id are dropped.
    #[must_use]
    pub fn new(version: u32, seats: Vec<Seat>) -> Self {
        let mut line = Self { version, seats: Vec::new() };
        for seat in seats {
            if line.seats.len() < MAX_SEATS && line.seat(&seat.id).is_none() {
                line.seats.push(seat);
            }
        }
        line.sort();
        line
    }

    fn sort(&mut self) {
        self.seats.sort_by(|a, b| b.priority.cmp(&a.priority).then(a.admitted.cmp(&b.admitted)).then(a.id.cmp(&b.id)));
    }

    /// Grows with each change of the line.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// All seats, in order of succession.
    #[must_use]
    pub fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// The seat of this id.
    #[must_use]
    pub fn seat(&self, id: &NodeId) -> Option<&Seat> {
        self.seats.iter().find(|s| s.id == *id)
    }

    /// The rank of this id, counted from 0 over all seats.
    #[must_use]
    pub fn rank(&self, id: &NodeId) -> Option<usize> {
        self.seats.iter().position(|s| s.id == *id)
    }

    /// The seat that this voter holds, voting or not.
    #[must_use]
    pub fn by_identity(&self, identity: Identity) -> Option<&Seat> {
        self.seats.iter().find(|s| s.identity == identity)
    }

    /// The seat of the voter with this tag.
    #[must_use]
    pub fn by_tag(&self, tag: VoterTag) -> Option<&Seat> {
        self.seats.iter().find(|s| s.identity.tag() == tag)
    }

    /// The seats that count.
    pub fn voters(&self) -> impl Iterator<Item = &Seat> {
        self.seats.iter().filter(|s| s.voting)
    }

    /// True where this voter counts.
    #[must_use]
    pub fn votes(&self, identity: Identity) -> bool {
        self.voters().any(|s| s.identity == identity)
    }

    /// How many voters are a majority.
    #[must_use]
    pub fn majority(&self) -> usize {
        self.voters().count() / 2 + 1
    }

    /// True where the voters for which `has` holds are a majority.
    pub fn has_majority(&self, mut has: impl FnMut(&Seat) -> bool) -> bool {
        self.voters().filter(|s| has(s)).count() >= self.majority()
    }

    /// The largest value that a majority of the voters has reached; nothing where the line has no voters.
    pub fn reached_by_majority<T: Ord + Copy>(&self, value: impl FnMut(&Seat) -> T) -> Option<T> {
        let mut values: Vec<T> = self.voters().map(value).collect();
        values.sort_unstable_by(|a, b| b.cmp(a));
        values.get(self.majority() - 1).copied()
    }

    /// Puts a seat in, in place of an earlier one of the same id. False where the line is full; nothing changes then.
    pub fn put(&mut self, seat: Seat) -> bool {
        match self.rank(&seat.id) {
            Some(at) => self.seats[at] = seat,
            None if self.seats.len() < MAX_SEATS => self.seats.push(seat),
            None => return false,
        }
        self.version = self.version.wrapping_add(1);
        self.sort();
        true
    }

    /// Takes the voter off the line. Its seat stays for a successor of the same id where `keep` is set.
    /// False where no seat has this id and identity.
    pub fn unseat(&mut self, id: &NodeId, identity: Identity, keep: bool) -> bool {
        let Some(at) = self.seats.iter().position(|s| s.id == *id && s.identity == identity) else { return false };
        if keep {
            self.seats[at].voting = false;
        } else {
            self.seats.remove(at);
        }
        self.version = self.version.wrapping_add(1);
        true
    }

    /// The order of admission that a new seat gets.
    #[must_use]
    pub fn next_admission(&self) -> u32 {
        self.seats.iter().map(|s| s.admitted).max().unwrap_or(0).saturating_add(1)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn seat(n: u32, priority: i32) -> Seat {
        Seat {
            id: NodeId::new(&format!("n{n}")).unwrap(),
            identity: Identity(u64::from(n)),
            incarnation: Incarnation(1),
            priority,
            admitted: n,
            witness: false,
            durable: false,
            voting: true,
            slot: Slot(n),
            addrs: vec![],
        }
    }

    #[test]
    fn the_order_is_by_priority_then_admission() {
        let line = Line::new(1, vec![seat(1, 0), seat(2, 5), seat(3, 0)]);
        let ids: Vec<_> = line.seats().iter().map(|s| s.id.as_str()).collect();
        assert_eq!(ids, ["n2", "n1", "n3"]);
        assert_eq!(line.rank(&NodeId::new("n3").unwrap()), Some(2));
    }

    /// The quorum arithmetic against a twin that enumerates all subsets.
    #[test]
    fn majorities_meet() {
        for n in 1..=7u32 {
            let line = Line::new(1, (0..n).map(|i| seat(i, 0)).collect());
            let quorums: Vec<u32> =
                (0..1u32 << n).filter(|set| line.has_majority(|s| set & (1 << s.identity.0) != 0)).collect();
            assert!(
                quorums.iter().all(|a| quorums.iter().all(|b| a & b != 0)),
                "two majorities of {n} must share a voter"
            );
            assert!(quorums.contains(&((1 << n) - 1)));
            for set in 0..1u32 << n {
                let reached = line.reached_by_majority(|s| u8::from(set & (1 << s.identity.0) != 0));
                assert_eq!(reached == Some(1), quorums.contains(&set));
            }
        }
    }

    #[test]
    fn a_kept_seat_does_not_count() {
        let mut line = Line::new(1, (0..5).map(|i| seat(i, 0)).collect());
        let id = NodeId::new("n4").unwrap();
        assert!(!line.unseat(&id, Identity(9), true), "another voter of the id is not meant");
        assert!(line.unseat(&id, Identity(4), true));
        assert_eq!((line.version(), line.voters().count(), line.majority()), (2, 4, 3));
        assert!(line.put(Seat { identity: Identity(9), ..seat(4, 0) }));
        assert_eq!(line.rank(&id), Some(4), "the new voter has its old place");
    }
}
