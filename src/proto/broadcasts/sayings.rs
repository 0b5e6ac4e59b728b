//! A leader's part: what it takes of its members, and what goes out when.
//!
//! Properties: of each member it takes the numbers in order, each only after that which the sender says to be before it; it
//! takes no more than a bounded number of bytes until what it has went out, and in each heartbeat interval no more than a
//! quarter of what the roll keeps, so that whoever lost something has time to ask for it; what goes out is committed, in
//! order, and in bounded bursts.

use super::cost;
use crate::types::{Generation, Incarnation, Index, NodeId, Position, Slot, Time};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// So many bytes may wait to be committed and to go out.
const MAX_TAKEN: usize = 256 << 10;
/// So many are taken in one heartbeat interval, of so many bytes.
const MAX_IN_INTERVAL: usize = 2_048;
const MAX_BYTES_IN_INTERVAL: usize = 1 << 20;
/// So many datagrams go out in one burst, and so long is the pause between two.
const BURST: u32 = 32;
const PAUSE: Duration = Duration::from_millis(1);

/// What to do with a broadcast that a member hands over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proto) enum Taking {
    /// It becomes an entry.
    Take,
    /// It is one already, and the sender hears when that is committed.
    Known,
    /// It is committed.
    Committed,
    /// Not now.
    Refuse,
}

/// What a member has to hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::proto) struct Owed {
    pub(in crate::proto) to: NodeId,
    pub(in crate::proto) incarnation: Incarnation,
    /// All up to this one are committed.
    pub(in crate::proto) number: u64,
    /// This one wasn't taken.
    pub(in crate::proto) refused: u64,
}

#[derive(Debug, Clone)]
pub(in crate::proto) struct Sayings {
    /// The last number of each member that was proposed in this leadership.
    proposed: BTreeMap<Slot, (Generation, u64)>,
    /// The entries that were taken, with what they count.
    taken: VecDeque<(Index, usize)>,
    bytes: usize,
    /// How many were taken in the present interval, of how many bytes, and when it ends.
    lately: (usize, usize),
    lately_until: Time,
    interval: Duration,
    owed: BTreeMap<NodeId, Owed>,
    /// All up to this place went out, and so much of what follows.
    upto: (Position, u32),
    budget: u32,
    renewed_at: Time,
}

impl Sayings {
    /// What is committed up to this place went out before.
    pub(in crate::proto) fn new(upto: Position, interval: Duration) -> Self {
        Self {
            proposed: BTreeMap::new(),
            taken: VecDeque::new(),
            bytes: 0,
            lately: (0, 0),
            lately_until: Time::ZERO,
            interval,
            owed: BTreeMap::new(),
            upto: (upto, 0),
            budget: BURST,
            renewed_at: Time::ZERO,
        }
    }

    /// Whether to take this number of a member, of whom all up to `committed` are committed.
    pub(in crate::proto) fn take(
        &mut self,
        now: Time,
        (slot, generation): (Slot, Generation),
        (number, before): (u64, u64),
        committed: u64,
        body: usize,
    ) -> Taking {
        if now >= self.lately_until {
            (self.lately, self.lately_until) = ((0, 0), now + self.interval);
        }
        let many = self.lately.0 >= MAX_IN_INTERVAL || self.lately.1 + cost(body) > MAX_BYTES_IN_INTERVAL;
        let proposed = self.proposed.get(&slot).filter(|(g, _)| *g == generation).map_or(0, |(_, n)| *n);
        if number <= committed {
            Taking::Committed
        } else if number <= proposed {
            Taking::Known
        } else if before > committed.max(proposed) || many || self.bytes + cost(body) > MAX_TAKEN {
            Taking::Refuse
        } else {
            self.proposed.insert(slot, (generation, number));
            self.lately = (self.lately.0 + 1, self.lately.1 + cost(body));
            Taking::Take
        }
    }

    /// What was taken became this entry.
    pub(in crate::proto) fn took(&mut self, index: Index, body: usize) {
        self.bytes += cost(body);
        self.taken.push_back((index, cost(body)));
    }

    /// A broadcast of this member is committed, or was before.
    pub(in crate::proto) fn committed(&mut self, to: &NodeId, incarnation: Incarnation, number: u64) {
        let owed = self.owe(to, incarnation);
        owed.number = owed.number.max(number);
    }

    /// It has to come again.
    pub(in crate::proto) fn refused(&mut self, to: &NodeId, incarnation: Incarnation, number: u64) {
        let owed = self.owe(to, incarnation);
        // The first of those that follow each other is the one that the sender waits for.
        owed.refused = if owed.refused == 0 { number } else { owed.refused.min(number) };
    }

    fn owe(&mut self, to: &NodeId, incarnation: Incarnation) -> &mut Owed {
        let owed = Owed { to: to.clone(), incarnation, number: 0, refused: 0 };
        let place = self.owed.entry(to.clone()).or_insert_with(|| owed.clone());
        if place.incarnation != incarnation {
            *place = owed;
        }
        place
    }

    pub(in crate::proto) fn poll_owed(&mut self) -> Option<Owed> {
        self.owed.pop_first().map(|(_, owed)| owed)
    }

    /// The member is gone.
    pub(in crate::proto) fn gone(&mut self, slot: Slot) {
        self.proposed.remove(&slot);
    }

    /// All up to this place went out.
    pub(in crate::proto) fn upto(&self) -> Position {
        self.upto.0
    }

    /// Where to go on, where a datagram may go out now.
    pub(in crate::proto) fn next(&mut self, now: Time) -> Option<(Position, u32)> {
        if now >= self.renewed_at {
            (self.budget, self.renewed_at) = (BURST, now + PAUSE);
        }
        self.budget = self.budget.checked_sub(1)?;
        Some(self.upto)
    }

    pub(in crate::proto) fn went_out(&mut self, upto: (Position, u32)) {
        self.upto = upto;
    }

    /// Nothing more was to go out: what is committed up to this index is done.
    pub(in crate::proto) fn all_out(&mut self, commit: Index) {
        while let Some((_, bytes)) = self.taken.front().filter(|(index, _)| *index <= commit) {
            self.bytes -= bytes;
            self.taken.pop_front();
        }
    }

    /// When the next burst is due; `last`: the place of the last that is committed.
    pub(in crate::proto) fn deadline(&self, last: Position) -> Time {
        if self.upto.0 < last { self.renewed_at } else { Time::NEVER }
    }
}
