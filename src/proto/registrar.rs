//! Registration at the leader: slots, generations, and who may be on the roll.
//!
//! Properties: idempotent by (id, incarnation); a member is on the roll once; a slot is given again only under a new
//! generation and after a quarantine that begins anew with each leadership; an incarnation that left never returns.

use super::planted::{Bug, Planted};
use super::roll::{MAX_SLOT, Roll};
use crate::types::{Generation, Incarnation, LeftReason, MemberInfo, NodeId, Slot, Time};
use crate::wire::{Change, RefuseReason};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// Registrations that wait for their commit.
const MAX_PENDING: usize = 8_192;
/// So many replacements of one id within [`CONTENTION_TIME`] are a fight.
const CONTENTION: u32 = 4;
const CONTENTION_TIME: Duration = Duration::from_secs(60);
/// Ids whose replacements are counted.
const MAX_CONTENDERS: usize = 1_024;

/// Who waits for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) addr: SocketAddr,
    pub(super) nonce: u64,
}

#[derive(Debug, Clone)]
struct Pending {
    incarnation: Incarnation,
    revision: u32,
    asker: Option<Asker>,
}

/// What to do about a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It stands, in this slot.
    Standing(Slot, Generation, u32),
    /// No.
    Refuse(RefuseReason, Incarnation),
    /// It stands once these are committed.
    Propose(Vec<Change>),
    /// It is under way.
    Wait,
}

#[derive(Debug, Clone)]
pub(super) struct Registrar {
    pending: BTreeMap<NodeId, Pending>,
    leaving: BTreeSet<Slot>,
    /// Free slots with the time from which on they may be given again, the longest free first.
    free: VecDeque<(Slot, Time)>,
    next_slot: u32,
    quarantine: Duration,
    max_members: usize,
    replaced: BTreeMap<NodeId, (u32, Time)>,
    pub(super) bug: Planted,
}

impl Registrar {
    /// Takes over a roll; all free slots begin their quarantine.
    pub(super) fn new(now: Time, roll: &Roll, quarantine: Duration, max_members: usize) -> Self {
        let free =
            (0u32..).zip(roll.slots()).filter(|(_, s)| s.info.is_none()).map(|(n, _)| (Slot(n), now + quarantine));
        Self {
            pending: BTreeMap::new(),
            leaving: BTreeSet::new(),
            free: free.collect(),
            next_slot: roll.slots().len() as u32,
            quarantine,
            max_members,
            replaced: BTreeMap::new(),
            bug: Planted::default(),
        }
    }

    fn take_slot(&mut self, now: Time, roll: &Roll) -> (Slot, Generation) {
        let ready = self.bug.has(Bug::SlotWithoutGeneration) || self.free.front().is_some_and(|(_, at)| *at <= now);
        let slot = match if ready { self.free.pop_front() } else { None } {
            Some((slot, _)) => slot,
            None => {
                let slot = Slot(self.next_slot);
                self.next_slot += 1;
                slot
            }
        };
        let before = roll.slots().get(slot.0 as usize).map_or(Generation(0), |s| s.generation);
        if self.bug.has(Bug::SlotWithoutGeneration) && before != Generation(0) {
            return (slot, before);
        }
        (slot, Generation(before.0.wrapping_add(1)))
    }

    /// Slots in a row for so many who come together, all under one generation: free ones where there are, else new ones.
    pub(super) fn block(&mut self, now: Time, roll: &Roll, width: u32) -> Option<(Slot, Generation)> {
        let before = |slot: u32| roll.slots().get(slot as usize).map_or(0, |s| s.generation.0);
        let ready: BTreeSet<u32> = self.free.iter().filter(|(_, at)| *at <= now).map(|(slot, _)| slot.0).collect();
        let (mut run, mut last) = (0, None);
        for slot in ready {
            run = if last.is_some_and(|l| l + 1 == slot) { run + 1 } else { 1 };
            last = Some(slot);
            // A generation that was used up is none.
            if before(slot) == u16::MAX {
                run = 0;
            }
            if run >= width && width > 0 {
                let base = slot + 1 - width;
                self.free.retain(|(s, _)| !(base..=slot).contains(&s.0));
                let highest = (base..=slot).map(before).max().unwrap_or(0);
                return Some((Slot(base), Generation(highest + 1)));
            }
        }
        let (base, next) = (self.next_slot, self.next_slot.checked_add(width).filter(|n| *n < MAX_SLOT)?);
        self.next_slot = next;
        Some((Slot(base), Generation(1)))
    }

    /// True where a registration of this id waits for its commit.
    pub(super) fn is_pending(&self, id: &NodeId) -> bool {
        self.pending.contains_key(id)
    }

    /// A member comes with others of its lineage: where it asks itself before that is committed, it waits.
    pub(super) fn absorbs(&mut self, id: &NodeId, incarnation: Incarnation) {
        self.pending.insert(id.clone(), Pending { incarnation, revision: 0, asker: None });
    }

    /// `spoke`: whether the member in this slot was ever heard by this leader.
    pub(super) fn join(
        &mut self,
        now: Time,
        roll: &Roll,
        info: &MemberInfo,
        asker: Option<Asker>,
        spoke: impl Fn(Slot) -> bool,
    ) -> Answer {
        if let Some(p) = self.pending.get_mut(&info.id) {
            if p.incarnation == info.incarnation && p.revision >= info.revision {
                p.asker = asker.or(p.asker);
            }
            return Answer::Wait;
        }
        let mut changes = Vec::new();
        match roll.find(&info.id) {
            Some((_, _, old)) if old.incarnation > info.incarnation && old.identity == info.identity => {
                // It was taken in with its lineage, and missed it: it is that incarnation itself, where it still is at the
                // same place.
                let moved = u64::from(old.addrs != info.addrs);
                return Answer::Refuse(RefuseReason::Departed, Incarnation(old.incarnation.0 - 1 + moved));
            }
            Some((slot, _, old)) if old.incarnation > info.incarnation && roll.came_along(slot) && !spoke(slot) => {
                // Who was to come with its lineage, and never came: it may be this one, elsewhere by then.
                return Answer::Refuse(RefuseReason::Departed, old.incarnation);
            }
            Some((_, _, old)) if old.incarnation > info.incarnation => {
                return Answer::Refuse(RefuseReason::Superseded, old.incarnation);
            }
            Some((slot, generation, old)) if old.incarnation == info.incarnation => {
                // Who steps up does so as a new voter.
                let steps_up = info.revision > old.revision && info.standing.votes();
                if old.identity != info.identity && !steps_up || old.addrs != info.addrs {
                    // Two starts within one microsecond of the wall clock, or one that is elsewhere than when it was taken in
                    // with its lineage: it has to come again.
                    return Answer::Refuse(RefuseReason::Departed, old.incarnation);
                }
                if self.leaving.contains(&slot) {
                    return Answer::Wait;
                }
                if info.revision <= old.revision {
                    return Answer::Standing(slot, generation, old.revision);
                }
                let (revision, capabilities) = (info.revision, info.capabilities.clone());
                let (standing, identity) = (info.standing, info.identity);
                let restands = (standing, identity) != (old.standing, old.identity);
                let updates = capabilities != old.capabilities || !restands;
                if restands {
                    // Where the other one is lost the roll still has the older revision, and it is asked for again.
                    let revision = if updates { old.revision } else { revision };
                    changes.push(Change::Restood { slot, generation, revision, standing, identity });
                }
                if updates {
                    changes.push(Change::Updated { slot, generation, revision, capabilities });
                }
            }
            Some((slot, generation, _)) => {
                if self.leaving.insert(slot) {
                    changes.push(Change::Left { slot, generation, reason: LeftReason::Replaced });
                }
                self.count_replacement(now, &info.id);
                changes.push(self.new_member(now, roll, info));
            }
            None => {
                let departed = roll.departed(&info.id).filter(|gone| *gone >= info.incarnation);
                if let Some(gone) = departed.filter(|_| !self.bug.has(Bug::DepartedRejoins)) {
                    return Answer::Refuse(RefuseReason::Departed, gone);
                }
                // Without a place of its own a leader could take nobody's requests.
                let full = asker.is_some() && roll.len() + self.pending.len() >= self.max_members;
                if full || self.next_slot >= MAX_SLOT && self.free.is_empty() {
                    return Answer::Refuse(RefuseReason::Full, Incarnation::ZERO);
                }
                let none_ready = self.next_slot >= MAX_SLOT && self.free.front().is_none_or(|(_, at)| *at > now);
                if none_ready || self.pending.len() >= MAX_PENDING {
                    return Answer::Refuse(RefuseReason::Busy, Incarnation::ZERO);
                }
                changes.push(self.new_member(now, roll, info));
            }
        }
        let pending = Pending { incarnation: info.incarnation, revision: info.revision, asker };
        self.pending.insert(info.id.clone(), pending);
        Answer::Propose(changes)
    }

    fn new_member(&mut self, now: Time, roll: &Roll, info: &MemberInfo) -> Change {
        let (slot, generation) = self.take_slot(now, roll);
        Change::Joined { slot, generation, info: info.clone() }
    }

    fn count_replacement(&mut self, now: Time, id: &NodeId) {
        if self.replaced.len() >= MAX_CONTENDERS {
            self.replaced.retain(|_, (_, since)| now - *since < CONTENTION_TIME);
        }
        let entry = self.replaced.entry(id.clone()).or_insert((0, now));
        if now - entry.1 >= CONTENTION_TIME {
            *entry = (0, now);
        }
        entry.0 += 1;
    }

    /// Whether an id's nodes fight, told once for each time that they do.
    pub(super) fn contended(&mut self, id: &NodeId) -> bool {
        match self.replaced.get_mut(id) {
            Some((n, _)) if *n >= CONTENTION => {
                *n = 0;
                true
            }
            _ => false,
        }
    }

    /// A member leaves, or is struck off. Nothing where that is under way.
    pub(super) fn leave(&mut self, roll: &Roll, slot: Slot, reason: LeftReason) -> Option<Change> {
        let (generation, _) = roll.get(slot)?;
        self.leaving.insert(slot).then_some(Change::Left { slot, generation, reason })
    }

    /// A registration is committed up to this revision: who waits for the answer.
    pub(super) fn committed(&mut self, id: &NodeId, revision: u32) -> Option<Asker> {
        self.pending.get(id).filter(|p| p.revision <= revision)?;
        self.pending.remove(id).and_then(|p| p.asker)
    }

    /// All that was proposed is committed. What came to nothing has to be asked for again.
    pub(super) fn settled(&mut self) {
        self.pending.clear();
        self.leaving.clear();
    }

    /// True where this slot's member is on its way off the roll.
    pub(super) fn is_leaving(&self, slot: Slot) -> bool {
        self.leaving.contains(&slot)
    }

    /// A slot is free.
    pub(super) fn freed(&mut self, now: Time, slot: Slot) {
        self.leaving.remove(&slot);
        self.free.push_back((slot, now + self.quarantine));
    }
}

#[cfg(test)]
mod tests;
