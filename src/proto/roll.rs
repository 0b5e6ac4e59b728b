//! The roll: what the committed entries add up to.
//!
//! Applying is deterministic and total: an entry that doesn't fit (a taken slot, an unknown generation, an incarnation
//! that already left) changes nothing, on every node alike.

use super::broadcasts::Kept;
use super::event::Conflict;
use super::planted::{Bug, Planted};
use super::requests::table::{Over, Table};
use super::requests::{Key, Place};
use crate::types::{
    Generation, Identity, Incarnation, LeftReason, Line, Lineage, MemberInfo, Name, NodeId, Position, Seat, Slot,
    Standing,
};
use crate::wire::{
    Change, ClaimAnswer, Entry, Image, Ledger, Lost, MAX_ABSORBED, Merger, Outcome, Said, SlotImage, Stage,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How many departed ids are remembered, so that a late copy of their registration revives nobody.
const MAX_DEPARTED: usize = 65_536;
/// How many ids may be retired, and how many may have a priority that was decided while running.
pub(super) const MAX_DECIDED: usize = 256;
/// How many names a member may have, and how many there may be of all members together.
const MAX_NAMES_EACH: usize = 64;
const MAX_NAMES: usize = 65_536;
/// No slot is ever larger than this: bounds the table whatever an entry says.
pub(super) const MAX_SLOT: u32 = 1 << 20;

/// What applying an entry changed, for events and for the leader's tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Applied {
    Nothing,
    Joined {
        slot: Slot,
        generation: Generation,
        info: MemberInfo,
    },
    Updated {
        slot: Slot,
        info: MemberInfo,
    },
    /// It had given requests that are unknown from now on, where it doesn't vote any more.
    Restood {
        slot: Slot,
        info: MemberInfo,
        over: Vec<Over>,
    },
    /// The names are those that it had; the requests of others those that it had given.
    Left {
        slot: Slot,
        id: NodeId,
        incarnation: Incarnation,
        reason: LeftReason,
        names: Vec<Name>,
        over: Vec<Over>,
    },
    /// The node in this place begins requests; those that its sender gave up are dropped.
    Begun {
        giver: Place,
        opened: Vec<(Slot, u64)>,
        dropped: Vec<Key>,
    },
    /// Requests are over.
    Over(Vec<Over>),
    Claim(Claimed),
    /// Somebody told all something: the place before it, and it.
    Said {
        prev: Position,
        said: Said,
    },
    /// Another lineage was taken in: before this its members joined.
    Absorbed(Merger),
    /// It belongs to a lineage that is being taken in.
    Conflict(Lineage, Conflict),
    /// The line changed; what a voter had begun that is off it is over.
    Line(Vec<Over>),
}

/// What came of a claim, or of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claimed {
    pub(super) slot: Slot,
    pub(super) generation: Generation,
    pub(super) name: Name,
    pub(super) answer: ClaimAnswer,
    /// Who has the name now.
    pub(super) owner: Option<NodeId>,
    /// True where that is somebody else than before.
    pub(super) changed: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Roll {
    line: Line,
    slots: Vec<SlotImage>,
    by_id: BTreeMap<NodeId, Slot>,
    departed: BTreeMap<NodeId, Incarnation>,
    /// The departed in the order in which they are forgotten; an id may stand in it more than once.
    forget: VecDeque<(NodeId, Incarnation)>,
    /// Off the line for good, by decision: it outlives leaders, registrations and restarts.
    retired: BTreeSet<NodeId>,
    /// The priorities that were decided, in place of the configured ones.
    ranked: BTreeMap<NodeId, i32>,
    /// Who has which name, and the same the other way round.
    names: BTreeMap<Name, Slot>,
    names_of: BTreeMap<Slot, BTreeSet<Name>>,
    said: Kept,
    requests: Table,
    /// The lineages that were taken in, the latest last.
    absorbed: Vec<Merger>,
    pub(super) bug: Planted,
}

impl Roll {
    pub(super) fn from_image(image: &Image) -> Self {
        let by_id =
            (0u32..).zip(&image.slots).filter_map(|(n, s)| s.info.as_ref().map(|i| (i.id.clone(), Slot(n)))).collect();
        let mut names_of = BTreeMap::<_, BTreeSet<_>>::new();
        for (name, slot) in &image.names {
            names_of.entry(*slot).or_default().insert(name.clone());
        }
        Self {
            requests: Table::from_image(&image.requests),
            names: image.names.iter().cloned().collect(),
            names_of,
            said: Kept::new(image.said_before, &image.said, &image.speakers),
            absorbed: image.absorbed.clone(),
            bug: Planted::default(),
            line: image.line.clone(),
            slots: image.slots.clone(),
            by_id,
            departed: image.departed.iter().cloned().collect(),
            forget: image.departed.iter().cloned().collect(),
            retired: image.retired.iter().cloned().collect(),
            ranked: image.ranked.iter().cloned().collect(),
        }
    }

    pub(super) fn image(&self, lineage: Lineage, position: Position) -> Image {
        Image {
            lineage,
            parents: Vec::new(),
            position,
            line: self.line.clone(),
            slots: self.slots.clone(),
            departed: self.forget.iter().cloned().collect(),
            retired: self.retired.iter().cloned().collect(),
            ranked: self.ranked.iter().map(|(id, priority)| (id.clone(), *priority)).collect(),
            names: self.names.iter().map(|(name, slot)| (name.clone(), *slot)).collect(),
            said_before: self.said.before(),
            said: self.said.iter().cloned().collect(),
            speakers: self.said.numbers().collect(),
            requests: self.requests.image(),
            absorbed: self.absorbed.clone(),
        }
    }

    /// What it keeps of requests.
    pub(super) fn requests(&self) -> &Table {
        &self.requests
    }

    /// What is kept of requests now, by an older image since which nothing was done about them: who left took theirs along.
    pub(super) fn requests_since(&self, image: &Image) -> Vec<Ledger> {
        let then = |slot: Slot| image.slots.get(slot.0 as usize).and_then(|s| Some((s.generation, s.info.as_ref()?)));
        let stays = |slot: Slot| {
            let same = |(g, i): &(Generation, &MemberInfo)| {
                self.get(slot).is_some_and(|(h, j)| (h, &j.id, j.incarnation) == (*g, &i.id, i.incarnation))
            };
            then(slot).filter(same)
        };
        let gives = |slot: Slot, generation: Generation| {
            let voter = |(_, i): &(Generation, &MemberInfo)| {
                let seated = self.line.votes(i.identity) || !image.line.votes(i.identity);
                seated && self.get(slot).is_some_and(|(_, j)| j.identity == i.identity && j.standing.votes())
            };
            stays(slot).filter(|(g, _)| *g == generation).filter(voter).is_some()
        };
        let mut ledgers: Vec<Ledger> = image.requests.iter().filter(|l| stays(l.slot).is_some()).cloned().collect();
        for (_, stage) in ledgers.iter_mut().flat_map(|l| &mut l.requests) {
            if let Stage::Begun(slot, generation) = stage
                && !gives(*slot, *generation)
            {
                *stage = Stage::Done(Outcome::Unknown(Lost::Gone));
            }
        }
        ledgers
    }

    /// True where the voter in this seat may lead: it may have become a witness since, or before that is in its seat.
    pub(super) fn may_lead(&self, seat: &Seat) -> bool {
        !seat.witness && self.find(&seat.id).is_none_or(|(_, _, info)| info.standing != Standing::Witness)
    }

    /// Whose request of this number it is that is kept for a slot now. A later entry may give the slot to another.
    pub(super) fn key(&self, slot: Slot, number: u64) -> Option<Key> {
        let (_, info) = self.get(slot)?;
        Some(Key { from: info.id.clone(), incarnation: info.incarnation, number })
    }

    fn whose(&self, over: Vec<(Slot, u64, Outcome)>) -> Vec<Over> {
        let over = over.into_iter();
        over.filter_map(|(slot, n, outcome)| Some(Over { slot, key: self.key(slot, n)?, outcome })).collect()
    }

    pub(super) fn plant(&mut self, bug: Planted) {
        (self.bug, self.requests.bug) = (bug, bug);
    }

    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn slots(&self) -> &[SlotImage] {
        &self.slots
    }

    pub(super) fn find(&self, id: &NodeId) -> Option<(Slot, Generation, &MemberInfo)> {
        let slot = *self.by_id.get(id)?;
        let s = self.slots.get(slot.0 as usize)?;
        Some((slot, s.generation, s.info.as_ref()?))
    }

    pub(super) fn get(&self, slot: Slot) -> Option<(Generation, &MemberInfo)> {
        let s = self.slots.get(slot.0 as usize)?;
        Some((s.generation, s.info.as_ref()?))
    }

    pub(super) fn members(&self) -> impl Iterator<Item = (Slot, Generation, &MemberInfo)> {
        (0u32..).zip(&self.slots).filter_map(|(n, s)| s.info.as_ref().map(|i| (Slot(n), s.generation, i)))
    }

    pub(super) fn departed(&self, id: &NodeId) -> Option<Incarnation> {
        self.departed.get(id).copied()
    }

    /// What is kept of broadcasts.
    pub(super) fn said(&self) -> &Kept {
        &self.said
    }

    /// The place of the last broadcast before the owner of this slot was put on the roll.
    pub(super) fn since(&self, slot: Slot) -> Position {
        self.slots.get(slot.0 as usize).map(|s| s.since).unwrap_or_default()
    }

    /// Who has this name.
    pub(super) fn owner(&self, name: &Name) -> Option<(Slot, &MemberInfo)> {
        let slot = *self.names.get(name)?;
        Some((slot, self.get(slot)?.1))
    }

    /// All names, each with its owner.
    pub(super) fn names(&self) -> impl Iterator<Item = (&Name, &MemberInfo)> {
        self.names.iter().filter_map(|(name, slot)| Some((name, self.get(*slot)?.1)))
    }

    /// True where this member can't have another name.
    pub(super) fn is_full_of_names(&self, slot: Slot) -> bool {
        self.names.len() >= MAX_NAMES || self.names_of.get(&slot).is_some_and(|n| n.len() >= MAX_NAMES_EACH)
    }

    /// True where the member in this slot came with a lineage that was taken in.
    pub(super) fn came_along(&self, slot: Slot) -> bool {
        let generation = self.slots.get(slot.0 as usize).map(|s| s.generation);
        let range = |m: &Merger| m.base.0..m.base.0.saturating_add(m.count);
        self.absorbed.iter().any(|m| range(m).contains(&slot.0) && generation == Some(m.generation))
    }

    /// The lineages that were taken in, the latest last.
    pub(super) fn absorbed(&self) -> &[Merger] {
        &self.absorbed
    }

    /// Where this lineage was taken in, if it was.
    pub(super) fn merger_of(&self, lineage: Lineage) -> Option<&Merger> {
        self.absorbed.iter().find(|m| m.lineage == lineage)
    }

    /// True where this id was taken off the line for good.
    pub(super) fn is_retired(&self, id: &NodeId) -> bool {
        self.retired.contains(id)
    }

    /// Everybody who was.
    pub(super) fn retired(&self) -> impl ExactSizeIterator<Item = &NodeId> {
        self.retired.iter()
    }

    /// The priority that was decided for this id, where one was.
    pub(super) fn ranked(&self, id: &NodeId) -> Option<i32> {
        self.ranked.get(id).copied()
    }

    /// True where no decision about another priority fits.
    pub(super) fn is_full_of_ranks(&self, id: &NodeId) -> bool {
        self.ranked.len() >= MAX_DECIDED && !self.ranked.contains_key(id)
    }

    /// What a member is to the line: as it says itself, unless it was decided otherwise.
    pub(super) fn standing(&self, info: &MemberInfo) -> Standing {
        if self.is_retired(&info.id) { Standing::Member } else { info.standing }
    }

    /// Its place in the line, likewise.
    pub(super) fn priority(&self, info: &MemberInfo) -> i32 {
        self.ranked(&info.id).unwrap_or(info.priority)
    }

    pub(super) fn identity(&self, identity: Identity) -> Option<(Slot, &MemberInfo)> {
        self.members().find(|(_, _, i)| i.identity == identity).map(|(s, _, i)| (s, i))
    }

    pub(super) fn apply(&mut self, entry: &Entry) -> Applied {
        match &entry.change {
            Change::Joined { slot, generation, info } => self.join(*slot, *generation, info),
            Change::Updated { slot, generation, revision, capabilities } => match self.owned(*slot, *generation) {
                Some(info) if *revision > info.revision => {
                    info.revision = *revision;
                    info.capabilities = capabilities.clone();
                    Applied::Updated { slot: *slot, info: info.clone() }
                }
                _ => Applied::Nothing,
            },
            Change::Left { slot, generation, reason } => self.leave(*slot, *generation, *reason),
            Change::Retired { id } => {
                if self.retired.len() < MAX_DECIDED {
                    self.retired.insert(id.clone());
                }
                Applied::Nothing
            }
            Change::Ranked { id, priority } => {
                if !self.is_full_of_ranks(id) {
                    self.ranked.insert(id.clone(), *priority);
                }
                Applied::Nothing
            }
            Change::Restood { slot, generation, revision, standing, identity } => {
                self.restand(*slot, *generation, *revision, *standing, *identity)
            }
            Change::Absorbed(merger) => {
                let merger = &Merger { since: self.said.last(), ..*merger };
                self.absorbed.retain(|m| m.lineage != merger.lineage);
                if self.absorbed.len() >= MAX_ABSORBED {
                    self.absorbed.remove(0);
                }
                self.absorbed.push(*merger);
                self.use_up(merger);
                Applied::Absorbed(*merger)
            }
            Change::Conflict { lineage, name, kept, lost } => {
                let (name, kept, lost) = (name.clone(), kept.clone(), lost.clone());
                Applied::Conflict(*lineage, Conflict::Name { name, kept, lost })
            }
            Change::Claimed { slot, generation, name } => self.claim(*slot, *generation, name),
            Change::Released { slot, generation, name } => self.release(*slot, *generation, name),
            Change::Said { slot, generation, number, body } => {
                let Some(info) = self.owned(*slot, *generation) else { return Applied::Nothing };
                let from = (info.id.clone(), info.incarnation);
                let forgetful = self.bug.has(Bug::ForgetSaid);
                match self.said.say(entry.term, *slot, from, *number, body, forgetful) {
                    Some((prev, said)) => Applied::Said { prev, said },
                    None => Applied::Nothing,
                }
            }
            Change::Begun(begun) => {
                let slots = &self.slots;
                let owned = |(slot, generation): Place| {
                    slots.get(slot.0 as usize).is_some_and(|s| s.generation == generation && s.info.is_some())
                };
                let opening = self.requests.begin(begun, owned);
                let dropped = opening.dropped.iter().filter_map(|(slot, number)| self.key(*slot, *number)).collect();
                Applied::Begun { giver: (begun.slot, begun.generation), opened: opening.opened, dropped }
            }
            Change::Answered(closed) => {
                let mut over = Vec::new();
                for c in closed {
                    if self.owned(c.slot, c.generation).is_some() && self.requests.close(c.slot, c.number, &c.outcome) {
                        over.push((c.slot, c.number, c.outcome.clone()));
                    }
                }
                Applied::Over(self.whose(over))
            }
            change => {
                if !apply_to_line(&mut self.line, change) {
                    return Applied::Nothing;
                }
                Applied::Line(self.unseated(change))
            }
        }
    }

    /// All slots of a merger are used up under its generation, those too whose members didn't come: they may believe that
    /// they have them.
    fn use_up(&mut self, m: &Merger) {
        let Some(end) = m.base.0.checked_add(m.count).filter(|end| *end <= MAX_SLOT) else { return };
        if self.slots.len() < end as usize {
            self.slots.resize(end as usize, SlotImage { generation: Generation(0), info: None, since: m.since });
        }
        for slot in &mut self.slots[m.base.0 as usize..end as usize] {
            if slot.info.is_none() {
                slot.generation = m.generation;
            }
            if slot.generation == m.generation {
                slot.since = m.since;
            }
        }
    }

    /// Who is off the line holds no roll any more, and so can't answer what it had begun.
    fn unseated(&mut self, change: &Change) -> Vec<Over> {
        let Change::Unseated { identity, .. } = change else { return Vec::new() };
        let Some(slot) = self.identity(*identity).map(|(slot, _)| slot) else { return Vec::new() };
        let Some((generation, _)) = self.get(slot) else { return Vec::new() };
        let over = self.requests.giver_left((slot, generation));
        self.whose(over)
    }

    fn owned(&mut self, slot: Slot, generation: Generation) -> Option<&mut MemberInfo> {
        let s = self.slots.get_mut(slot.0 as usize)?;
        if s.generation == generation { s.info.as_mut() } else { None }
    }

    fn claim(&mut self, slot: Slot, generation: Generation, name: &Name) -> Applied {
        let Some(id) = self.owned(slot, generation).map(|info| info.id.clone()) else { return Applied::Nothing };
        let before = self.owner(name).map(|(_, info)| info.id.clone());
        let (answer, changed) = match &before {
            Some(owner) if *owner == id => (ClaimAnswer::Yours, false),
            Some(_) => (ClaimAnswer::Taken, false),
            None if self.is_full_of_names(slot) => (ClaimAnswer::TooMany, false),
            None => (ClaimAnswer::Yours, true),
        };
        if changed {
            self.names.insert(name.clone(), slot);
            self.names_of.entry(slot).or_default().insert(name.clone());
        }
        let owner = if changed { Some(id) } else { before };
        Applied::Claim(Claimed { slot, generation, name: name.clone(), answer, owner, changed })
    }

    fn release(&mut self, slot: Slot, generation: Generation, name: &Name) -> Applied {
        if self.owned(slot, generation).is_none() {
            return Applied::Nothing;
        }
        let changed = self.names.get(name) == Some(&slot);
        if changed {
            self.names.remove(name);
            self.disown(slot, name);
        }
        let owner = self.owner(name).map(|(_, info)| info.id.clone());
        let answer = ClaimAnswer::Released;
        Applied::Claim(Claimed { slot, generation, name: name.clone(), answer, owner, changed })
    }

    fn disown(&mut self, slot: Slot, name: &Name) {
        if let Some(names) = self.names_of.get_mut(&slot) {
            names.remove(name);
            if names.is_empty() {
                self.names_of.remove(&slot);
            }
        }
    }

    /// The revision may be that of capabilities that changed along with it.
    fn restand(
        &mut self,
        slot: Slot,
        generation: Generation,
        revision: u32,
        standing: Standing,
        identity: Identity,
    ) -> Applied {
        match self.owned(slot, generation) {
            Some(info) if revision >= info.revision && (standing, identity) != (info.standing, info.identity) => {
                let steps_up = identity != info.identity || !info.standing.votes();
                (info.revision, info.standing, info.identity) = (revision, standing, identity);
                let info = info.clone();
                let over = if standing.votes() {
                    // A voter that becomes a witness, or the other way round, stays retired.
                    if steps_up {
                        self.retired.remove(&info.id);
                    }
                    Vec::new()
                } else {
                    let over = self.requests.giver_left((slot, generation));
                    self.whose(over)
                };
                Applied::Restood { slot, info, over }
            }
            _ => Applied::Nothing,
        }
    }

    fn join(&mut self, slot: Slot, generation: Generation, info: &MemberInfo) -> Applied {
        let taken = self.get(slot).is_some() || self.by_id.contains_key(&info.id);
        if taken || slot.0 >= MAX_SLOT || self.departed(&info.id).is_some_and(|gone| gone >= info.incarnation) {
            return Applied::Nothing;
        }
        let at = slot.0 as usize;
        if at >= self.slots.len() {
            self.slots.resize(at + 1, SlotImage { generation: Generation(0), info: None, since: Position::default() });
        }
        self.slots[at] = SlotImage { generation, info: Some(info.clone()), since: self.said.last() };
        self.by_id.insert(info.id.clone(), slot);
        self.departed.remove(&info.id);
        Applied::Joined { slot, generation, info: info.clone() }
    }

    fn leave(&mut self, slot: Slot, generation: Generation, reason: LeftReason) -> Applied {
        if self.owned(slot, generation).is_none() {
            return Applied::Nothing;
        }
        let Some(info) = self.slots[slot.0 as usize].info.take() else { return Applied::Nothing };
        self.by_id.remove(&info.id);
        self.said.gone(slot);
        let mut names = Vec::new();
        if !self.bug.has(Bug::NamesOutliveOwner) {
            names.extend(self.names_of.remove(&slot).unwrap_or_default());
            for name in &names {
                self.names.remove(name);
            }
        }
        self.departed.insert(info.id.clone(), info.incarnation);
        self.forget.push_back((info.id.clone(), info.incarnation));
        while self.forget.len() > MAX_DEPARTED {
            if let Some((id, incarnation)) = self.forget.pop_front()
                && self.departed.get(&id) == Some(&incarnation)
            {
                self.departed.remove(&id);
            }
        }
        self.requests.sender_left(slot);
        let over = self.requests.giver_left((slot, generation));
        let over = self.whose(over);
        Applied::Left { slot, id: info.id, incarnation: info.incarnation, reason, names, over }
    }
}

/// Applies what concerns the line; false where nothing changed. Also used for the line that is in force before it is
/// committed.
pub(super) fn apply_to_line(line: &mut Line, change: &Change) -> bool {
    match change {
        Change::Seated(seat) => line.put(seat.clone()),
        Change::Unseated { id, identity, keep } => line.unseat(id, *identity, *keep),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
