//! What the roll keeps of broadcasts.
//!
//! Properties: the same on all nodes that have applied the same entries; places grow by one; a sender's number takes effect
//! once and only upwards; bounded in number and bytes.

use super::cost;
use crate::types::{Incarnation, Index, NodeId, Position, Slot, Term};
use crate::wire::{self, BROADCAST_PIECE, MAX_SAID_BYTES, Said};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// So many of the newest are kept, of so many bytes. Part of the protocol: all have to keep the same.
const MAX_KEPT: usize = 8_192;
const MAX_KEPT_BYTES: usize = 4 << 20;

#[derive(Debug, Clone, Default)]
pub(in crate::proto) struct Kept {
    /// The place right before the oldest that is kept.
    before: Position,
    window: VecDeque<Said>,
    bytes: usize,
    /// The last number of each member that sent any.
    numbers: BTreeMap<Slot, u64>,
}

/// What goes into one datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::proto) struct Pieces {
    /// The place right before the first.
    pub(in crate::proto) prev: Position,
    pub(in crate::proto) said: Vec<Said>,
    /// Where to go on: behind this place, from this offset on.
    pub(in crate::proto) next: (Position, u32),
}

impl Kept {
    pub(in crate::proto) fn new(before: Position, said: &[Said], numbers: &[(Slot, u64)]) -> Self {
        let window: VecDeque<Said> = said.iter().cloned().collect();
        let bytes = window.iter().map(|s| cost(s.data.len())).sum();
        Self { before, window, bytes, numbers: numbers.iter().copied().collect() }
    }

    /// The place right before the oldest that is kept.
    pub(in crate::proto) fn before(&self) -> Position {
        self.before
    }

    /// The place of the newest.
    pub(in crate::proto) fn last(&self) -> Position {
        self.window.back().map_or(self.before, |said| said.place)
    }

    pub(in crate::proto) fn iter(&self) -> impl Iterator<Item = &Said> {
        self.window.iter()
    }

    /// Those behind a place.
    #[cfg(feature = "sim")]
    pub(in crate::proto) fn iter_after(&self, place: Position) -> impl Iterator<Item = &Said> {
        self.window.range(self.window.partition_point(|said| said.place <= place)..)
    }

    pub(in crate::proto) fn numbers(&self) -> impl Iterator<Item = (Slot, u64)> {
        self.numbers.iter().map(|(slot, number)| (*slot, *number))
    }

    /// The last number of this member; zero where it sent none.
    pub(in crate::proto) fn number(&self, slot: Slot) -> u64 {
        self.numbers.get(&slot).copied().unwrap_or(0)
    }

    /// Takes the next one, in the term of its entry: it and the place before it. Nothing where its number was there before.
    pub(in crate::proto) fn say(
        &mut self,
        term: Term,
        slot: Slot,
        (from, incarnation): (NodeId, Incarnation),
        number: u64,
        body: &Bytes,
        forgetful: bool,
    ) -> Option<(Position, Said)> {
        if number <= self.number(slot) && !forgetful {
            return None;
        }
        let prev = self.last();
        let place = Position { term, index: Index(prev.index.0.saturating_add(1)) };
        self.numbers.insert(slot, number);
        let (total, data) = (body.len() as u32, body.clone());
        let said = Said { place, from, incarnation, number, offset: 0, total, data };
        self.bytes += cost(body.len());
        self.window.push_back(said.clone());
        while self.window.len() > MAX_KEPT || self.bytes > MAX_KEPT_BYTES {
            let Some(oldest) = self.window.pop_front() else { break };
            self.bytes -= cost(oldest.data.len());
            self.before = oldest.place;
        }
        Some((prev, said))
    }

    /// The member is off the roll: its slot may get another owner.
    pub(in crate::proto) fn gone(&mut self, slot: Slot) {
        self.numbers.remove(&slot);
    }

    /// The first behind a place, and the place right before it.
    pub(in crate::proto) fn after(&self, place: Position) -> Option<(Position, &Said)> {
        let at = self.window.partition_point(|said| said.place <= place);
        let prev = at.checked_sub(1).and_then(|i| self.window.get(i)).map_or(self.before, |said| said.place);
        Some((prev, self.window.get(at)?))
    }

    /// What follows a place, from an offset on, as much as fits a datagram.
    pub(in crate::proto) fn pieces(&self, after: Position, offset: u32) -> Option<Pieces> {
        let (prev, first) = self.after(after)?;
        let begun = prev <= after && offset < first.total && (offset as usize).is_multiple_of(BROADCAST_PIECE);
        let mut at = (after.max(prev), if begun { offset } else { 0 });
        let (mut room, mut said) = (MAX_SAID_BYTES, Vec::new());
        while let Some((_, whole)) = self.after(at.0) {
            let from = at.1 as usize;
            let to = (from + BROADCAST_PIECE).min(whole.data.len());
            let piece = Said { offset: at.1, data: whole.data.slice(from..to), ..whole.clone() };
            let Some(left) = room.checked_sub(wire::said_len(&piece)) else { break };
            room = left;
            at = if to == whole.data.len() { (whole.place, 0) } else { (at.0, to as u32) };
            said.push(piece);
        }
        Some(Pieces { prev, said, next: at })
    }
}
