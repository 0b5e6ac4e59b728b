//! What the roll keeps of requests: a ledger for each sender that has any.
//!
//! Properties: it changes by committed entries alone, and each of them changes it in the same way everywhere; a number that
//! was begun is never begun again, and what is over never changes; no more than [`REQUEST_WINDOW`] numbers are kept of a
//! sender.

use super::super::planted::{Bug, Planted};
use super::{Key, Place};
use crate::types::Slot;
use crate::wire::{Begun, Ledger, Lost, MAX_ANSWER, Outcome, REQUEST_WINDOW, Stage};
use std::collections::BTreeMap;

/// What a request costs besides its answer.
const COST: usize = 64;

/// A request that is over: the slot that its sender had then, whose it is, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::proto) struct Over {
    pub(in crate::proto) slot: Slot,
    pub(in crate::proto) key: Key,
    pub(in crate::proto) outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Account {
    below: u64,
    requests: BTreeMap<u64, Stage>,
}

/// What an entry that begins requests came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::proto) struct Opening {
    /// Those that are begun.
    pub(in crate::proto) opened: Vec<(Slot, u64)>,
    /// Those that were begun, and of which nothing is kept any more: their senders gave them up.
    pub(in crate::proto) dropped: Vec<(Slot, u64)>,
}

#[derive(Debug, Clone, Default)]
pub(in crate::proto) struct Table {
    accounts: BTreeMap<Slot, Account>,
    /// How many each node has begun that are not over.
    givers: BTreeMap<Place, usize>,
    begun: usize,
    /// The bytes of what is over.
    kept: usize,
    pub(in crate::proto) bug: Planted,
}

fn cost(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Answered(body) => COST + body.len(),
        Outcome::Unknown(_) => COST,
    }
}

impl Table {
    pub(in crate::proto) fn from_image(ledgers: &[Ledger]) -> Self {
        let mut table = Self::default();
        for ledger in ledgers {
            let requests: BTreeMap<u64, Stage> = ledger.requests.iter().cloned().collect();
            requests.values().for_each(|stage| table.count(stage, true));
            table.accounts.insert(ledger.slot, Account { below: ledger.below, requests });
        }
        table
    }

    /// What a snapshot carries of it.
    pub(in crate::proto) fn image(&self) -> Vec<Ledger> {
        if self.bug.has(Bug::SnapshotWithoutRequests) { Vec::new() } else { self.ledgers() }
    }

    /// All of it.
    pub(in crate::proto) fn ledgers(&self) -> Vec<Ledger> {
        let requests = |a: &Account| a.requests.iter().map(|(n, stage)| (*n, stage.clone())).collect();
        let ledger = |(slot, a): (&Slot, &Account)| Ledger { slot: *slot, below: a.below, requests: requests(a) };
        self.accounts.iter().map(ledger).collect()
    }

    fn count(&mut self, stage: &Stage, more: bool) {
        match stage {
            Stage::Begun(slot, generation) => {
                let place = (*slot, *generation);
                let of_giver = self.givers.entry(place).or_default();
                if more {
                    (self.begun, *of_giver) = (self.begun + 1, *of_giver + 1);
                } else {
                    (self.begun, *of_giver) = (self.begun - 1, *of_giver - 1);
                }
                if *of_giver == 0 {
                    self.givers.remove(&place);
                }
            }
            Stage::Done(outcome) if more => self.kept += cost(outcome),
            Stage::Done(outcome) => self.kept -= cost(outcome),
        }
    }

    /// How many more may be begun, whatever their answers, where the answers of so many may be kept.
    pub(in crate::proto) fn room(&self, most: usize) -> usize {
        most.saturating_sub(self.kept.div_ceil(COST + MAX_ANSWER)).saturating_sub(self.begun)
    }

    /// How many are begun, and how many are over.
    pub(in crate::proto) fn counts(&self) -> (usize, usize) {
        let all: usize = self.accounts.values().map(|a| a.requests.len()).sum();
        (self.begun, all - self.begun)
    }

    pub(in crate::proto) fn stage(&self, slot: Slot, number: u64) -> Option<&Stage> {
        self.accounts.get(&slot)?.requests.get(&number)
    }

    /// Nothing is kept of this sender's requests with smaller numbers, and none of them begins.
    pub(in crate::proto) fn below(&self, slot: Slot) -> u64 {
        self.accounts.get(&slot).map_or(0, |a| a.below)
    }

    /// What this node has begun and isn't over.
    pub(in crate::proto) fn begun_by(&self, giver: Place) -> Vec<(Slot, u64)> {
        if !self.givers.contains_key(&giver) {
            return Vec::new();
        }
        let mine = |stage: &Stage| *stage == Stage::Begun(giver.0, giver.1);
        let all = self.accounts.iter().flat_map(|(slot, a)| a.requests.iter().map(|(n, stage)| (*slot, *n, stage)));
        all.filter(|(_, _, stage)| mine(stage)).map(|(slot, n, _)| (slot, n)).collect()
    }

    /// Begins what is begun for the first time. `owned`: whether this place is that of a member.
    pub(in crate::proto) fn begin(&mut self, begun: &Begun, owned: impl Fn(Place) -> bool) -> Opening {
        let (giver, mut opening) = ((begun.slot, begun.generation), Opening::default());
        let gives = owned(giver);
        for item in begun.opened.iter().filter(|item| owned((item.slot, item.generation))) {
            let account = self.accounts.entry(item.slot).or_insert(Account { below: 1, requests: BTreeMap::new() });
            if item.below > account.below {
                account.below = item.below;
                let kept = account.requests.split_off(&item.below);
                for (number, stage) in std::mem::replace(&mut account.requests, kept) {
                    if matches!(stage, Stage::Begun(..)) {
                        opening.dropped.push((item.slot, number));
                    }
                    self.count(&stage, false);
                }
            }
            let Some(account) = self.accounts.get_mut(&item.slot).filter(|_| gives) else { continue };
            let within = account.below..account.below + REQUEST_WINDOW;
            let mut added = 0;
            for number in item.numbers.iter().filter(|n| within.contains(n)) {
                if !account.requests.contains_key(number) {
                    account.requests.insert(*number, Stage::Begun(giver.0, giver.1));
                    opening.opened.push((item.slot, *number));
                    added += 1;
                }
            }
            if added > 0 {
                self.begun += added;
                *self.givers.entry(giver).or_default() += added;
            }
        }
        opening
    }

    /// One request is over, where it is begun.
    pub(in crate::proto) fn close(&mut self, slot: Slot, number: u64, outcome: &Outcome) -> bool {
        let overrides = self.bug.has(Bug::AnswerOfTheGone);
        let Some(stage) = self.accounts.get_mut(&slot).and_then(|a| a.requests.get_mut(&number)) else { return false };
        let open = matches!(stage, Stage::Begun(..));
        let overridden = overrides && *stage == Stage::Done(Outcome::Unknown(Lost::Gone));
        if !(open || overridden) {
            return false;
        }
        let done = Stage::Done(outcome.clone());
        let before = std::mem::replace(stage, done.clone());
        self.count(&before, false);
        self.count(&done, true);
        true
    }

    /// A member is off the roll: nothing is kept of its own requests.
    pub(in crate::proto) fn sender_left(&mut self, slot: Slot) {
        if let Some(account) = self.accounts.remove(&slot) {
            account.requests.values().for_each(|stage| self.count(stage, false));
        }
    }

    /// This node answers nothing any more: what it had begun is unknown.
    pub(in crate::proto) fn giver_left(&mut self, giver: Place) -> Vec<(Slot, u64, Outcome)> {
        let lost = Outcome::Unknown(Lost::Gone);
        let begun = self.begun_by(giver);
        for (slot, number) in &begun {
            self.close(*slot, *number, &lost);
        }
        begun.into_iter().map(|(slot, number)| (slot, number, lost.clone())).collect()
    }

    /// Whether the counts are what the ledgers say: for tests.
    #[cfg(test)]
    pub(super) fn is_counted_right(&self) -> bool {
        let fresh = Self::from_image(&self.image());
        (fresh.begun, fresh.kept, &fresh.givers) == (self.begun, self.kept, &self.givers)
    }
}
