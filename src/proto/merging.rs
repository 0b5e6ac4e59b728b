//! Two lineages of one convention become one: an offer, an acceptance, and who is bound by what.
//!
//! Properties:
//!
//! 1. Of two lineages that meet one yields, by what both see alike: the one in which fewer candidates vote; where they are
//!    equal, the one with the larger number. A leader counts by the offer that it has made, for as long as that holds.
//! 2. Who yields decides nothing more until it knows what came of it, so that the roll that it hands over is all of its
//!    lineage. It ends its lineage only by the word of the very leader that it accepted, about that very offer and that very
//!    roll: then the other has committed every member, and its later leaders hold them too. Without that word it goes on as
//!    before. So there is no moment in which nobody may act for its members: an acceptance binds for a bounded time, an
//!    absorption that nobody was told of is repeated, and members that were put on the roll by it and never came are gone like
//!    others.
//! 3. Who wins leads in a term above those of both before it takes anybody in.
//! 4. A lineage that was absorbed goes on in the other: its voters promise never to act in it again before they take the
//!    other's roll, and they come as voters that were never there before. Until they hold that roll they keep their own,
//!    so that those who lose touch in between can go on by themselves.
//! 5. A member that is taken in has the next incarnation, and a slot in a row of new ones, in the order of the old ones. So
//!    a few datagrams to all tell each its place, and nobody registers again.

use super::detector::Detector;
use super::event::Conflict;
use super::planted::{Bug, Planted};
use crate::types::{Identity, Index, Lineage, NodeId, Position, Term, Time};
use crate::wire::{Absorbed, Image};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// Conflicts that wait to be told: no roll has more names.
const MAX_CONFLICTS: usize = 65_536;

/// An offer of one's own, as long as it holds.
#[derive(Debug, Clone, Copy)]
struct Stake {
    candidates: u32,
    until: Time,
}

/// This leader accepted an offer.
#[derive(Debug, Clone)]
pub(super) struct Yielding {
    pub(super) into: Lineage,
    /// Whose offer.
    pub(super) to: (NodeId, Identity),
    pub(super) number: u32,
    pub(super) candidates: u32,
    /// In which term it led when it did.
    pub(super) term: Term,
    pub(super) position: Position,
    /// The roll, once all of it is committed.
    pub(super) image: Option<Bytes>,
    pub(super) until: Time,
}

/// This leader takes another lineage in.
#[derive(Debug, Clone)]
pub(super) struct Absorbing {
    pub(super) lineage: Lineage,
    pub(super) from: (NodeId, Identity),
    /// The term of the leader that yields.
    pub(super) term: Term,
    pub(super) position: Position,
    pub(super) number: u32,
    pub(super) total: u32,
    pub(super) data: BytesMut,
    /// Who is on both rolls, and is heard here: what the other roll says of it is old.
    pub(super) here: BTreeSet<NodeId>,
    /// All of it has come, and this node's term has to be above that one before any of it counts.
    pub(super) image: Option<(Box<Image>, Term)>,
    /// All is proposed: the entry that ends it.
    pub(super) done_at: Option<Index>,
    /// So far it was committed when the other leader was last told that it goes on, and when to tell it again.
    pub(super) told: (Index, Time),
    pub(super) until: Time,
}

#[derive(Debug, Clone)]
pub(super) enum Stage {
    Idle,
    Yielding(Yielding),
    Absorbing(Box<Absorbing>),
}

/// The members are told more than once that their lineage has ended.
#[derive(Debug, Clone)]
pub(super) struct Farewell {
    pub(super) datagrams: Vec<Absorbed>,
    /// Those who are deaf to multicast.
    pub(super) deaf: Vec<SocketAddr>,
    left: u32,
    next: Time,
}

#[derive(Debug, Clone)]
pub(super) struct Merging {
    pub(super) stage: Stage,
    stake: Option<Stake>,
    number: u32,
    pub(super) next_offer: Time,
    pub(super) next_seek: Time,
    /// An operator decided that this lineage ends in that one.
    pub(super) yields_to: Option<Lineage>,
    /// This voter's lineage, and the one in which it ended.
    pub(super) heir: Option<(Lineage, Lineage)>,
    /// A leader that bids anew knows whom it heard, as long as its roll is what it was.
    pub(super) watch: Option<(Position, Detector)>,
    /// A leader that is new has to hear its members first.
    pub(super) deals_from: Time,
    /// A plain member went over from the first to the second.
    pub(super) crossed: Option<(Lineage, Lineage)>,
    /// The same, to a child of it.
    pub(super) parted: Option<(Lineage, Lineage)>,
    /// Into which lineage it went as one of those that parted, where that roll isn't here yet.
    pub(super) parts: Option<Lineage>,
    farewell: Option<Farewell>,
    /// Of the lineage that is being taken in.
    conflicts: Vec<Conflict>,
    interval: Duration,
    detection: Duration,
    pub(super) bug: Planted,
}

impl Merging {
    pub(super) fn new(now: Time, interval: Duration, detection: Duration) -> Self {
        Self {
            stage: Stage::Idle,
            stake: None,
            number: 0,
            next_offer: now,
            next_seek: now + interval,
            yields_to: None,
            heir: None,
            watch: None,
            deals_from: now,
            crossed: None,
            parted: None,
            parts: None,
            farewell: None,
            conflicts: Vec::new(),
            interval,
            detection,
            bug: Planted::default(),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle)
    }

    /// True where the leader decides nothing because of it: it has accepted an offer, or is about to take others in.
    pub(super) fn binds(&self) -> bool {
        match &self.stage {
            Stage::Idle => false,
            Stage::Yielding(_) => true,
            Stage::Absorbing(a) => a.image.is_some() && a.done_at.is_none(),
        }
    }

    /// What comes of it is over, one way or the other.
    pub(super) fn rest(&mut self, now: Time) {
        self.stage = Stage::Idle;
        self.stake = None;
        self.next_offer = now;
    }

    /// What this leader offers now: how many candidates, and which offer it is.
    pub(super) fn stake(&mut self, now: Time, candidates: u32) -> (u32, u32) {
        match self.stake {
            Some(stake) if now < stake.until => (stake.candidates, self.number),
            _ => {
                self.number = self.number.checked_add(1).unwrap_or(1);
                self.stake = Some(Stake { candidates, until: now + self.detection });
                (candidates, self.number)
            }
        }
    }

    /// True where this offer of one's own holds.
    pub(super) fn holds(&self, now: Time, number: u32, candidates: u32) -> bool {
        number == self.number && self.stake.is_some_and(|s| now < s.until && s.candidates == candidates)
    }

    /// Offers are due.
    pub(super) fn offers(&mut self, now: Time) -> bool {
        let due = now >= self.next_offer;
        if due {
            self.next_offer = now + self.interval / 2;
        }
        due
    }

    /// Somebody of another lineage is there.
    pub(super) fn hurry(&mut self, now: Time) {
        self.next_offer = self.next_offer.min(now);
    }

    pub(super) fn deadline(&self) -> Time {
        let stage = match &self.stage {
            Stage::Idle => Time::NEVER,
            Stage::Yielding(y) => y.until,
            Stage::Absorbing(a) => a.until,
        };
        self.farewell.as_ref().map_or(stage, |f| stage.min(f.next))
    }

    /// Says goodbye to the members, now and twice more.
    pub(super) fn part(&mut self, now: Time, datagrams: Vec<Absorbed>, deaf: Vec<SocketAddr>) {
        self.farewell = Some(Farewell { datagrams, deaf, left: 3, next: now });
    }

    /// What is to be said now.
    pub(super) fn farewell(&mut self, now: Time) -> Option<(Vec<Absorbed>, Vec<SocketAddr>)> {
        let farewell = self.farewell.as_mut().filter(|f| now >= f.next)?;
        farewell.left -= 1;
        farewell.next = now + self.interval / (4 << farewell.left);
        let said = (farewell.datagrams.clone(), farewell.deaf.clone());
        if farewell.left == 0 {
            self.farewell = None;
        }
        Some(said)
    }

    pub(super) fn conflict(&mut self, conflict: Conflict) {
        if self.conflicts.len() < MAX_CONFLICTS && !self.bug.has(Bug::ConflictNotTold) {
            self.conflicts.push(conflict);
        }
    }

    pub(super) fn take_conflicts(&mut self) -> Vec<Conflict> {
        std::mem::take(&mut self.conflicts)
    }
}

/// True where a lineage with so many candidates goes on, and the other one yields.
pub(super) fn wins(one: (u32, Lineage), other: (u32, Lineage)) -> bool {
    one.0 > other.0 || one.0 == other.0 && one.1 < other.1
}

/// Which voter a voter of an absorbed lineage is from then on (splitmix64 of both numbers): both sides know it.
pub(super) fn reborn(identity: Identity, into: Lineage) -> Identity {
    let mut z = identity.0 ^ into.0.rotate_left(31);
    for _ in 0..2 {
        z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
    }
    Identity(z.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::from_micros(ms * 1_000)
    }

    #[test]
    fn of_two_one_wins() {
        let (a, b, c) = ((3, Lineage(7)), (3, Lineage(8)), (2, Lineage(1)));
        for (one, other) in [(a, b), (a, c), (b, c)] {
            assert!(wins(one, other) && !wins(other, one));
        }
    }

    #[test]
    fn an_offer_is_frozen_while_it_holds() {
        let mut m = Merging::new(at(0), Duration::from_millis(100), Duration::from_millis(300));
        assert_eq!(m.stake(at(0), 3), (3, 1));
        assert_eq!(m.stake(at(299), 5), (3, 1));
        assert!(m.holds(at(299), 1, 3) && !m.holds(at(300), 1, 3) && !m.holds(at(0), 1, 5));
        assert_eq!(m.stake(at(300), 5), (5, 2));
        assert!(!m.holds(at(300), 1, 3));
    }

    #[test]
    fn a_reborn_voter_is_another_one_in_each_lineage() {
        let (x, l, k) = (Identity(5), Lineage(9), Lineage(10));
        assert_eq!(reborn(x, l), reborn(x, l));
        assert!(reborn(x, l) != x && reborn(x, l) != reborn(x, k) && reborn(reborn(x, l), l) != reborn(x, l));
    }
}
