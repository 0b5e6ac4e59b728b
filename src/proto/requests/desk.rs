//! The leader's side: what waits to be begun, and what waits to be written down as answered.
//!
//! Properties: one batch is under way at a time, so that whatever comes meanwhile costs one round to the supporters together;
//! no more than a bounded number of bytes waits; senders take turns.

use super::{Key, Place};
use crate::types::{Generation, Index, Slot, Time};
use crate::wire::{Begun, Change, Closed, Opened, Outcome};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// So many requests begin with one batch at most.
const MAX_BEGUN: usize = 1_024;
/// The most bytes of answers in one entry, and in one batch.
const ENTRY_BYTES: usize = 32 << 10;
const BATCH_BYTES: usize = 512 << 10;
/// So many senders in one entry: it has to fit a field.
const ENTRY_SENDERS: usize = 512;
/// What a request costs besides its body.
const COST: usize = 256;

/// A request that waits to be begun.
#[derive(Debug, Clone)]
pub(in crate::proto) struct Offer {
    pub(in crate::proto) key: Key,
    pub(in crate::proto) generation: Generation,
    /// Its sender knows the outcome of all with smaller numbers.
    pub(in crate::proto) below: u64,
    /// It was offered in this lineage only.
    pub(in crate::proto) home: bool,
    pub(in crate::proto) body: Bytes,
}

#[derive(Debug, Clone, Default)]
pub(in crate::proto) struct Desk {
    offers: BTreeMap<(Slot, u64), Offer>,
    bytes: usize,
    /// Those to be looked at; those that may begin; those whose entry is under way.
    fresh: VecDeque<(Slot, u64)>,
    ready: BTreeSet<(Slot, u64)>,
    proposed: Vec<(Slot, u64)>,
    /// Whose turn it is.
    turn: (Slot, u64),
    /// Below which numbers senders say that they know all, where the roll doesn't know that.
    below: BTreeMap<Slot, (Generation, u64)>,
    /// They alone are worth an entry at this time.
    prune_at: Option<Time>,
    answers: BTreeMap<(Slot, u64), (Generation, Outcome)>,
    answered: BTreeSet<(Slot, u64)>,
    /// A batch is under way, and where it ends.
    waits: bool,
    upto: Index,
}

impl Desk {
    /// What it all counts.
    pub(in crate::proto) fn bytes(&self) -> usize {
        self.bytes
    }

    /// True where something may have to be done.
    pub(in crate::proto) fn is_idle(&self) -> bool {
        self.fresh.is_empty() && self.ready.is_empty() && self.answers.is_empty() && self.below.is_empty()
    }

    /// True where a batch is under way, as far as is known.
    pub(in crate::proto) fn is_under_way(&self) -> bool {
        self.waits
    }

    /// When what senders know is worth an entry.
    pub(in crate::proto) fn deadline(&self) -> Time {
        if self.below.is_empty() { Time::NEVER } else { self.prune_at.unwrap_or(Time::NEVER) }
    }

    /// Takes a request; one that is here already only says where.
    pub(in crate::proto) fn offer(&mut self, slot: Slot, offer: Offer) {
        let at = (slot, offer.key.number);
        let cost = offer.body.len() + COST;
        if let Some(old) = self.offers.insert(at, offer) {
            self.bytes -= old.body.len() + COST;
        } else {
            self.fresh.push_back(at);
        }
        self.bytes += cost;
    }

    /// A sender says what it knows.
    pub(in crate::proto) fn knows(&mut self, place: Place, below: u64, prune_at: Time) {
        let known = self.below.entry(place.0).or_insert((place.1, below));
        *known = if known.0 == place.1 { (place.1, known.1.max(below)) } else { (place.1, below) };
        self.prune_at.get_or_insert(prune_at);
    }

    /// What a request came to: by this node's embedder, or by that of one which led before.
    pub(in crate::proto) fn answer(&mut self, place: Place, number: u64, outcome: Outcome) {
        self.answers.insert((place.0, number), (place.1, outcome));
    }

    /// The next that is to be looked at, and is taken out.
    pub(in crate::proto) fn next_fresh(&mut self) -> Option<(Slot, Offer)> {
        loop {
            let at = self.fresh.pop_front()?;
            if let Some(offer) = self.take(at) {
                return Some((at.0, offer));
            }
        }
    }

    /// Takes a request out, to be given or refused.
    pub(in crate::proto) fn take(&mut self, at: (Slot, u64)) -> Option<Offer> {
        self.ready.remove(&at);
        let offer = self.offers.remove(&at)?;
        self.bytes -= offer.body.len() + COST;
        Some(offer)
    }

    /// It was looked at and may begin.
    pub(in crate::proto) fn admit(&mut self, slot: Slot, offer: Offer) {
        let at = (slot, offer.key.number);
        self.bytes += offer.body.len() + COST;
        self.offers.insert(at, offer);
        self.ready.insert(at);
    }

    /// A member is gone, with all that it asked. `present`: under which generation another has its slot by now.
    pub(in crate::proto) fn gone(&mut self, slot: Slot, present: Option<Generation>) {
        let all = self.offers.range((slot, 0)..=(slot, u64::MAX));
        let gone: Vec<_> = all.filter(|(_, o)| Some(o.generation) != present).map(|(at, _)| *at).collect();
        gone.into_iter().for_each(|at| drop(self.take(at)));
        self.answers.retain(|at, (generation, _)| at.0 != slot || Some(*generation) == present);
        self.below.retain(|at, (generation, _)| *at != slot || Some(*generation) == present);
    }

    /// It is over.
    pub(in crate::proto) fn over(&mut self, at: (Slot, u64)) {
        self.answers.remove(&at);
        self.answered.remove(&at);
    }

    /// The roll is committed up to here: where that is the whole batch, those of it that were not begun are looked at again.
    pub(in crate::proto) fn committed(&mut self, commit: Index) -> bool {
        if commit < self.upto {
            return false;
        }
        self.waits = false;
        for at in std::mem::take(&mut self.proposed) {
            if self.offers.contains_key(&at) {
                self.fresh.push_back(at);
            }
        }
        // What of these is still here came to nothing: the roll had no use for it.
        for at in std::mem::take(&mut self.answered) {
            self.answers.remove(&at);
        }
        true
    }

    /// The next batch, of which the last entry will have this index plus as many as there are; nothing where it isn't worth one.
    pub(in crate::proto) fn batch(&mut self, now: Time, last: Index, me: Place, room: usize) -> Vec<Change> {
        let mut changes = self.closing();
        // Without room what is known to be needed no more goes at once.
        let begins = !self.ready.is_empty() && (room > 0 || !self.below.is_empty());
        if begins || !changes.is_empty() || self.deadline() <= now {
            changes.extend(self.opening(me, room));
        }
        if !changes.is_empty() {
            self.waits = true;
            self.upto = Index(last.0.saturating_add(changes.len() as u64));
        }
        changes
    }

    fn closing(&mut self) -> Vec<Change> {
        let (mut changes, mut list, mut bytes, mut all) = (Vec::new(), Vec::new(), 0, 0);
        for (at, (generation, outcome)) in &self.answers {
            let cost = 32 + if let Outcome::Answered(body) = outcome { body.len() } else { 0 };
            if all + cost > BATCH_BYTES {
                break;
            }
            if bytes + cost > ENTRY_BYTES && !list.is_empty() {
                changes.push(Change::Answered(std::mem::take(&mut list)));
                bytes = 0;
            }
            (bytes, all) = (bytes + cost, all + cost);
            let (slot, generation, number, outcome) = (at.0, *generation, at.1, outcome.clone());
            list.push(Closed { slot, generation, number, outcome });
            self.answered.insert(*at);
        }
        if !list.is_empty() {
            changes.push(Change::Answered(list));
        }
        changes
    }

    fn opening(&mut self, me: Place, room: usize) -> Vec<Change> {
        let turn = self.turn;
        let after = self.ready.range(turn..).chain(self.ready.range(..turn));
        let chosen: Vec<_> = after.take(room.min(MAX_BEGUN)).copied().collect();
        let mut items: BTreeMap<Slot, Opened> = BTreeMap::new();
        for (slot, (generation, below)) in std::mem::take(&mut self.below) {
            items.insert(slot, Opened { slot, generation, below, numbers: Vec::new() });
        }
        self.prune_at = None;
        for at in &chosen {
            self.ready.remove(at);
            let Some(offer) = self.offers.get(at) else { continue };
            let (generation, below) = (offer.generation, offer.below);
            let item = items.entry(at.0).or_insert(Opened { slot: at.0, generation, below, numbers: Vec::new() });
            item.below = item.below.max(below);
            item.numbers.push(at.1);
            self.proposed.push(*at);
        }
        for item in items.values_mut() {
            // What its sender needs no more isn't begun.
            item.numbers.retain(|n| *n >= item.below);
            item.numbers.sort_unstable();
        }
        if let Some((slot, number)) = chosen.last() {
            self.turn = (*slot, number.saturating_add(1));
        }
        let mut items: Vec<Opened> = items.into_values().collect();
        let mut changes = Vec::new();
        while !items.is_empty() {
            let rest = items.split_off(items.len().min(ENTRY_SENDERS));
            changes.push(Change::Begun(Begun {
                slot: me.0,
                generation: me.1,
                opened: std::mem::replace(&mut items, rest),
            }));
        }
        changes
    }
}
