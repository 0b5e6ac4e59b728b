//! A member's part: broadcasts in their order, what is missing between them, and asking for it.
//!
//! Properties: places are gone through upwards, each once; what is passed over was said to be missed; a sender's number is
//! handed on once, whatever lineage it comes in; one question is under way at a time, at a bounded rate, with jitter; what
//! waits for what is missing before it is bounded.

use crate::proto::planted::{Bug, Planted};
use crate::proto::rng::Rng;
use crate::types::{Generation, Incarnation, Lineage, NodeId, Position, Slot, Time};
use crate::wire::{Broadcast, Said};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use std::time::Duration;

/// So many bytes wait for what is missing before them; what is furthest away is given up first.
const MAX_AHEAD: usize = 256 << 10;
/// What a piece counts besides its bytes.
const PIECE_COST: usize = 128;
/// So many senders' numbers are remembered.
const MAX_SENDERS: usize = 65_536;

/// A place on a roll: what is broadcast there from then on is for this node.
pub(in crate::proto) type Home = (Lineage, Slot, Generation, Incarnation);

/// What to tell the embedder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::proto) enum Heard {
    Said { from: NodeId, incarnation: Incarnation, body: Bytes },
    Missed(u64),
}

/// A broadcast that isn't whole, or waits for what is before it.
#[derive(Debug, Clone)]
struct Ahead {
    prev: Position,
    from: NodeId,
    incarnation: Incarnation,
    number: u64,
    total: u32,
    pieces: BTreeMap<u32, Bytes>,
    came: usize,
}

impl Ahead {
    fn is_whole(&self) -> bool {
        self.came == self.total as usize
    }

    /// From where on something is missing.
    fn gap(&self) -> u32 {
        let mut at = 0;
        while let Some(piece) = self.pieces.get(&at).filter(|p| !p.is_empty()) {
            at += piece.len() as u32;
        }
        at
    }

    fn body(mut self) -> Bytes {
        if self.pieces.len() == 1 {
            return self.pieces.pop_first().map(|(_, piece)| piece).unwrap_or_default();
        }
        let mut body = BytesMut::with_capacity(self.came);
        self.pieces.values().for_each(|piece| body.extend_from_slice(piece));
        body.freeze()
    }
}

#[derive(Debug, Clone)]
pub(in crate::proto) struct Listener {
    home: Option<Home>,
    /// The place after which what was broadcast is for it.
    since: Position,
    /// All up to this place is handed on, or said to be missed.
    at: Position,
    /// The newest place that it heard of.
    newest: Position,
    ahead: BTreeMap<Position, Ahead>,
    bytes: usize,
    numbers: BTreeMap<NodeId, (Incarnation, u64)>,
    /// The question that is under way; zero: none.
    nonce: u64,
    /// When to ask, or to give up what was asked.
    next: Time,
    tries: u32,
    interval: Duration,
    rng: Rng,
    pub(in crate::proto) bug: Planted,
}

impl Listener {
    pub(in crate::proto) fn new(interval: Duration, rng: Rng) -> Self {
        Self {
            home: None,
            since: Position::default(),
            at: Position::default(),
            newest: Position::default(),
            ahead: BTreeMap::new(),
            bytes: 0,
            numbers: BTreeMap::new(),
            nonce: 0,
            next: Time::ZERO,
            tries: 0,
            interval,
            rng,
            bug: Planted::default(),
        }
    }

    /// Where it listens, and since which place.
    pub(in crate::proto) fn home(&self) -> Option<(Home, Position)> {
        self.home.map(|home| (home, self.since))
    }

    /// All up to here is handed on.
    pub(in crate::proto) fn at(&self) -> Position {
        self.at
    }

    /// It is on the roll here, since that place. `kin`: the lineage was founded out of the one where it was before. What it
    /// can't get any more of what was for it is said.
    pub(in crate::proto) fn enter(&mut self, home: Home, since: Position, kin: bool) -> Option<Heard> {
        if self.home == Some(home) {
            return None;
        }
        let before = self.home.replace(home);
        (self.nonce, self.tries) = (0, 0);
        let Some((lineage, _, _, incarnation)) = before.filter(|(lineage, ..)| kin || *lineage == home.0) else {
            // Nothing that was before concerns it, and what was still to come from there doesn't any more.
            let count = self.newest.index.0.saturating_sub(self.at.index.0).max(1);
            let missed = (before.is_some() && self.lacks()).then_some(Heard::Missed(count));
            (self.at, self.since) = (since, since);
            self.newest = since;
            self.ahead.clear();
            self.bytes = 0;
            return missed;
        };
        if lineage != home.0 {
            self.newest = self.at;
            if incarnation == home.3 {
                // The same registration, in the child: it goes on where it was.
                return None;
            }
        }
        self.since = since;
        self.miss(since)
    }

    /// Passes over all up to this place.
    fn miss(&mut self, upto: Position) -> Option<Heard> {
        if upto <= self.at {
            return None;
        }
        // Where it was on a branch that isn't continued it can't be told exactly.
        let count = upto.index.0.saturating_sub(self.at.index.0).max(1);
        self.reach(upto);
        (!self.bug.has(Bug::SkipBroadcasts)).then_some(Heard::Missed(count))
    }

    fn reach(&mut self, place: Position) {
        self.at = place;
        self.newest = self.newest.max(place);
        while let Some(entry) = self.ahead.first_entry().filter(|e| *e.key() <= place) {
            let gone = entry.remove();
            self.bytes -= gone.came + gone.pieces.len() * PIECE_COST;
        }
    }

    /// Hands on at most once.
    fn pass(&mut self, from: NodeId, incarnation: Incarnation, number: u64, body: Bytes) -> Option<Heard> {
        let last = self.numbers.get(&from).copied().unwrap_or_default();
        if (incarnation, number) <= last {
            return None;
        }
        if self.numbers.len() >= MAX_SENDERS && !self.numbers.contains_key(&from) {
            self.numbers.pop_first();
        }
        self.numbers.insert(from.clone(), (incarnation, number));
        Some(Heard::Said { from, incarnation, body })
    }

    /// A whole one from the roll, with the place before it: what is to be told, in order.
    pub(in crate::proto) fn whole(&mut self, prev: Position, said: &Said) -> [Option<Heard>; 2] {
        if said.place <= self.at {
            return [None, None];
        }
        let missed = self.miss(prev);
        self.reach(said.place);
        [missed, self.pass(said.from.clone(), said.incarnation, said.number, said.data.clone())]
    }

    /// The next that came by datagrams and is due. The inner nothing: it was handed on before.
    pub(in crate::proto) fn next(&mut self) -> Option<Option<Heard>> {
        let skips = self.bug.has(Bug::SkipBroadcasts);
        let first = self.ahead.first_entry().filter(|e| (skips || e.get().prev <= self.at) && e.get().is_whole())?;
        let (place, first) = first.remove_entry();
        self.bytes -= first.came + first.pieces.len() * PIECE_COST;
        self.reach(place);
        let (from, incarnation, number) = (first.from.clone(), first.incarnation, first.number);
        Some(self.pass(from, incarnation, number, first.body()))
    }

    /// The leader's heartbeat says how far they went out.
    pub(in crate::proto) fn heard(&mut self, now: Time, newest: Position) {
        let was_level = !self.lacks();
        self.newest = self.newest.max(newest);
        if was_level && self.lacks() && self.nonce == 0 {
            // All who missed it see so by the same heartbeat.
            self.next = now + self.interval / 16 + self.rng.up_to(self.interval / 4);
        }
    }

    /// The roll of this lineage, which it holds, ends for it at this place.
    pub(in crate::proto) fn ended(&mut self, lineage: Lineage, last: Position) {
        if self.home.is_some_and(|(home, ..)| home == lineage) {
            self.newest = self.newest.max(last);
        }
    }

    pub(in crate::proto) fn lacks(&self) -> bool {
        self.at < self.newest
    }

    /// True where this answers the question that is under way.
    pub(in crate::proto) fn is_answer(&self, nonce: u64) -> bool {
        nonce != 0 && nonce == self.nonce
    }

    /// Takes a datagram; `room`: what is due can be handed on.
    pub(in crate::proto) fn take(&mut self, now: Time, frame: Broadcast, room: bool) -> Option<Heard> {
        let answers = frame.nonce != 0;
        let (mut missed, was_level) = (None, !self.lacks());
        self.newest = self.newest.max(frame.newest);
        if answers {
            self.nonce = 0;
            if frame.said.is_empty() {
                // Whoever answered has no more: others may.
                self.failed(now);
                return None;
            }
            (self.tries, self.next) = (0, now);
            if room {
                // What isn't kept any more.
                missed = self.miss(frame.prev);
            }
        }
        let mut prev = frame.prev;
        let mut last: Option<Position> = None;
        for said in frame.said {
            if let Some(before) = last.filter(|l| *l != said.place) {
                prev = before;
            }
            last = Some(said.place);
            self.put(prev, said);
        }
        if !answers && self.nonce == 0 && self.tries == 0 && self.lacks() {
            // The rest may only be under way.
            let soon = now + self.interval / 32 + self.rng.up_to(self.interval / 8);
            self.next = if was_level { soon } else { self.next.min(soon) };
        }
        missed
    }

    fn put(&mut self, prev: Position, said: Said) {
        let Said { place, from, incarnation, number, offset, total, data } = said;
        if place <= self.at {
            return;
        }
        let new = || Ahead { prev, from, incarnation, number, total, pieces: BTreeMap::new(), came: 0 };
        let ahead = self.ahead.entry(place).or_insert_with(new);
        if ahead.total == total && !ahead.pieces.contains_key(&offset) {
            ahead.came += data.len();
            self.bytes += data.len() + PIECE_COST;
            ahead.pieces.insert(offset, data);
        }
        while self.bytes > MAX_AHEAD {
            let Some((_, furthest)) = self.ahead.pop_last() else { return };
            self.bytes -= furthest.came + furthest.pieces.len() * PIECE_COST;
        }
    }

    /// When something is due; `room`: what came can be handed on.
    pub(in crate::proto) fn deadline(&self, room: bool) -> Time {
        if self.lacks() && room { self.next } else { Time::NEVER }
    }

    /// What to ask now, where that is due: the nonce, and from where on.
    pub(in crate::proto) fn due(&mut self, now: Time, room: bool) -> Option<(u64, Position, u32)> {
        if now < self.deadline(room) {
            return None;
        }
        if self.nonce != 0 {
            self.nonce = 0;
            self.failed(now);
            return None;
        }
        self.nonce = self.rng.nonzero();
        self.next = now + self.interval / 4;
        let first = self.ahead.first_key_value().filter(|(_, ahead)| ahead.prev <= self.at);
        Some((self.nonce, self.at, first.map_or(0, |(_, ahead)| ahead.gap())))
    }

    /// Nobody is known to ask, or what was asked came to nothing: later, elsewhere.
    pub(in crate::proto) fn failed(&mut self, now: Time) {
        let pause = self.interval / 8 * (1 << self.tries.min(4));
        self.tries = self.tries.saturating_add(1);
        self.next = now + pause + self.rng.up_to(pause);
        self.nonce = 0;
    }

    /// How many bytes wait for what is missing before them.
    #[cfg(test)]
    pub(in crate::proto) fn waiting(&self) -> usize {
        self.bytes
    }

    /// How often it asked in vain.
    pub(in crate::proto) fn tries(&self) -> u32 {
        self.tries
    }

    /// A number to choose by.
    pub(in crate::proto) fn draw(&mut self) -> u64 {
        self.rng.next()
    }

    /// Where it goes nothing that was concerns it; a sender's numbers stay what they were.
    pub(in crate::proto) fn go_on_after(&mut self, before: &mut Self) {
        self.numbers = std::mem::take(&mut before.numbers);
        self.bug = before.bug;
    }
}
