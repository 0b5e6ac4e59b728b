//! Founding a convention.
//!
//! Properties: a founding needs the acceptance of all that it names (with `list`, of a majority of the list where all of
//! these are durable); each accepts one founding at a time; a proposer that meets an earlier-ranked one withdraws and
//! releases its acceptances; who belongs to a lineage never founds.

use super::campaign::patience;
use super::config::Founding as Rule;
use crate::types::{Identity, Lineage, MAX_SEATS, MemberInfo, NodeId, Seat, Slot, Standing, Term, Time};
use crate::wire::{Promise, Propose, ProposeReply};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Debug, Clone)]
enum Phase {
    Idle,
    Proposing {
        lineage: Lineage,
        round: u32,
        term: Term,
        seats: Vec<Seat>,
        accepted: BTreeMap<Identity, bool>,
        /// How often it was proposed before.
        tries: u32,
        again: Time,
        /// Those that accept are free again after the detection time: a proposer that was away has to ask again.
        fresh_until: Time,
    },
    Accepted {
        lineage: Lineage,
        proposer: Identity,
        until: Time,
        /// Where it binds until it is released: when the proposer is told of it again.
        remind: Time,
        /// Who of those that it names said, since the proposer was no more, that nothing of it came there.
        without: BTreeSet<Identity>,
    },
}

/// A candidate that could be founded with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) info: &'a MemberInfo,
    /// It belongs to no lineage.
    pub(super) free: bool,
}

impl Known<'_> {
    /// Who was demoted is none of those that found.
    fn may_found(&self) -> bool {
        self.free && self.info.standing.votes()
    }
}

/// A founding that a voter accepted and that binds it, across its restarts as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) lineage: Lineage,
    /// The first term.
    pub(super) term: Term,
    pub(super) proposer: Identity,
    /// All that it names.
    pub(super) party: Vec<Seat>,
}

impl Bound {
    /// What a stored promise says of it.
    pub(super) fn of(promise: &Promise) -> Option<Self> {
        let Promise { lineage, term, ref party, .. } = *promise;
        promise.founder.map(|proposer| Self { lineage, term, proposer, party: party.clone() })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask all seats but one's own.
    Propose(Propose),
    /// The founding is on: lead.
    Found { lineage: Lineage, term: Term, seats: Vec<Seat> },
    /// Tell those asked that it is off.
    Release(Lineage, Vec<NodeId>),
    /// Tell these that this node is still bound to that founding: the proposer, for its release may have been lost; and
    /// once it is no more the others that it names, for one of them may hold what it founded.
    Remind(Lineage, Vec<Identity>),
}

#[derive(Debug, Clone)]
pub(super) struct Founding {
    rule: Option<Rule>,
    phase: Phase,
    started: Time,
    interval: Duration,
    detection: Duration,
    /// No proposal before this.
    not_before: Time,
    round: u32,
}

impl Founding {
    /// Who is configured for no founding, but was promoted while it ran, proposes none and accepts those of others.
    pub(super) fn new(rule: Option<Rule>, now: Time, interval: Duration, detection: Duration) -> Self {
        Self { rule, phase: Phase::Idle, started: now, interval, detection, not_before: now, round: 0 }
    }

    /// True where this node is configured to found.
    pub(super) fn founds(&self) -> bool {
        self.rule.is_some()
    }

    /// Begins anew: the node belongs to no lineage any more.
    pub(super) fn reset(&mut self, now: Time) {
        if !self.is_bound() {
            self.phase = Phase::Idle;
        }
        self.started = now;
        self.not_before = now + self.interval;
    }

    /// The founding that this node has accepted and that still binds it.
    pub(super) fn accepted(&self, now: Time) -> Option<Lineage> {
        match &self.phase {
            Phase::Accepted { lineage, until, .. } if now < *until => Some(*lineage),
            _ => None,
        }
    }

    pub(super) fn deadline(&self) -> Time {
        match &self.phase {
            Phase::Idle => self.not_before,
            Phase::Proposing { again, .. } => *again,
            Phase::Accepted { until, remind, .. } => *until.min(remind),
        }
    }

    /// The order of proposers: by place in the list, or by priority, then by id.
    fn rank(&self, info: &MemberInfo) -> (i64, NodeId) {
        let place = match &self.rule {
            Some(Rule::List(list)) => list.iter().position(|id| *id == info.id).map_or(i64::MAX, |n| n as i64),
            _ => -i64::from(info.priority),
        };
        (place, info.id.clone())
    }

    /// Whether `known` (this node among them) can found now, and which of them. The error says how many there should be.
    fn party<'a>(&self, now: Time, known: &[Known<'a>]) -> Result<Vec<&'a MemberInfo>, usize> {
        let mut party: Vec<&MemberInfo> = known.iter().filter(|k| k.may_found()).map(|k| k.info).collect();
        party.sort_by_key(|i| self.rank(i));
        let settled = now >= self.started + self.detection;
        let Some(rule) = &self.rule else { return Err(0) };
        match rule {
            Rule::Expect(n) if party.len() < *n => return Err(*n),
            Rule::Expect(_) => {}
            Rule::Alone if party.len() == known.len() && settled => {}
            Rule::Alone => return Err(1),
            Rule::List(list) => {
                party.retain(|i| list.contains(&i.id));
                let majority = list.len() / 2 + 1;
                let durable = party.iter().all(|i| i.durable);
                if party.len() < list.len() && !(settled && durable && party.len() >= majority) {
                    return Err(list.len());
                }
            }
        }
        party.truncate(MAX_SEATS);
        Ok(party)
    }

    /// Says how many candidates are missing for a founding: expected, known.
    pub(super) fn missing(&self, now: Time, known: &[Known<'_>]) -> Option<(usize, usize)> {
        let free = known.iter().filter(|k| k.may_found()).count();
        self.party(now, known).err().map(|n| (n, free))
    }

    /// Proposes where it is this node's turn. `known` are the candidates connected now, this node among them.
    pub(super) fn tick(
        &mut self,
        now: Time,
        me: &MemberInfo,
        seen: Term,
        known: &[Known<'_>],
        draw: u64,
    ) -> Option<Step> {
        if now < self.deadline() {
            return None;
        }
        if self.accepted(now).is_some() {
            return None;
        }
        if me.standing == Standing::Witness || !self.founds() {
            // It accepts, but never proposes.
            self.not_before = now + self.interval;
            return self.withdraw(now);
        }
        if known.iter().any(|k| !k.free) {
            // A lineage exists: join it.
            self.not_before = now + self.interval;
            return self.withdraw(now);
        }
        let Ok(party) = self.party(now, known) else {
            self.not_before = now + self.interval / 4;
            return self.withdraw(now);
        };
        let first = party.iter().find(|i| i.standing == Standing::Candidate);
        if first.is_none_or(|i| i.id != me.id) {
            self.not_before = now + self.interval / 4;
            return self.withdraw(now);
        }
        let term = match &self.phase {
            // What the acceptors saw is this very proposal.
            Phase::Proposing { term, .. } if seen <= *term => *term,
            _ => seen.next()?,
        };
        self.round = self.round.wrapping_add(1);
        let seats = self.seats(&party);
        let (lineage, tries) = match &self.phase {
            // Who is bound to a founding knows all whom it names: with others it is another one.
            Phase::Proposing { lineage, seats: named, tries, .. } if *named == seats => {
                (*lineage, tries.saturating_add(1))
            }
            _ => (Lineage(draw.max(1)), 0),
        };
        let fresh = self.detection * 7 / 8;
        let round = self.round;
        self.phase = Phase::Proposing {
            lineage,
            round,
            term,
            seats: seats.clone(),
            accepted: BTreeMap::from([(me.identity, me.durable)]),
            tries,
            again: now + patience((self.interval / 2).max(Duration::from_millis(20)), tries, fresh).min(fresh),
            fresh_until: now + fresh,
        };
        if let Some(found) = self.complete() {
            return Some(found);
        }
        Some(Step::Propose(Propose { lineage, round, term, seats }))
    }

    fn seats(&self, party: &[&MemberInfo]) -> Vec<Seat> {
        let mut order: Vec<&&MemberInfo> = party.iter().collect();
        order.sort_by_key(|i| self.rank(i));
        order.iter().zip(0u32..).map(|(info, n)| Seat::of(info, Slot(n), n)).collect()
    }

    pub(super) fn withdraw(&mut self, now: Time) -> Option<Step> {
        let step = match &self.phase {
            Phase::Proposing { lineage, seats, .. } => {
                Some(Step::Release(*lineage, seats.iter().map(|s| s.id.clone()).collect()))
            }
            _ => None,
        };
        self.phase = Phase::Idle;
        self.not_before = self.not_before.max(now + self.interval / 4);
        step
    }

    /// Answers a proposal; with it comes what to tell others where an own proposal is withdrawn for it.
    pub(super) fn proposed(
        &mut self,
        now: Time,
        me: &MemberInfo,
        from: &MemberInfo,
        proposal: &Propose,
    ) -> (bool, Option<Step>) {
        let named = proposal.seats.iter().any(|s| s.identity == me.identity && s.id == me.id);
        let enough = match &self.rule {
            Some(Rule::Expect(n)) => proposal.seats.len() >= *n,
            Some(Rule::List(list)) => proposal.seats.len() > list.len() / 2,
            Some(Rule::Alone) | None => true,
        };
        if !named || !enough {
            return (false, None);
        }
        let mut step = None;
        match &self.phase {
            // A proposer that comes with another founding has given its former one up.
            Phase::Accepted { lineage, proposer, until, .. }
                if now < *until && *lineage != proposal.lineage && *proposer != from.identity =>
            {
                return (false, None);
            }
            Phase::Proposing { .. } if self.rank(me) < self.rank(from) => return (false, None),
            Phase::Proposing { .. } => step = self.withdraw(now),
            _ => {}
        }
        // A part of a list may found, and another part could too: what was accepted then binds until it is released. Two foundings that name the same candidates can't both find a majority of them.
        let binds = matches!(&self.rule, Some(Rule::List(list)) if proposal.seats.len() < list.len());
        let (until, remind) =
            if binds { (Time::NEVER, now + self.interval) } else { (now + self.detection, Time::NEVER) };
        let (lineage, proposer) = (proposal.lineage, from.identity);
        self.phase = Phase::Accepted { lineage, proposer, until, remind, without: BTreeSet::new() };
        (true, step)
    }

    /// Who is bound to a founding says so, once an interval: to its proposer, or where that is no more to all that it names.
    pub(super) fn remind(&mut self, now: Time, bound: &Bound, lost: bool) -> Option<Step> {
        let Phase::Accepted { lineage, remind, without, .. } = &mut self.phase else { return None };
        if !lost {
            without.clear();
        }
        if now < *remind {
            return None;
        }
        *remind = now + self.interval;
        let others = bound.party.iter().map(|s| s.identity).filter(|i| lost && *i != bound.proposer);
        Some(Step::Remind(*lineage, std::iter::once(bound.proposer).chain(others).collect()))
    }

    /// One that the founding names, other than its proposer, says that nothing of it came there.
    pub(super) fn disclaimed(&mut self, from: Identity, founding: Lineage) {
        if let Phase::Accepted { lineage, until: Time::NEVER, without, .. } = &mut self.phase
            && *lineage == founding
            && without.len() < MAX_SEATS
        {
            without.insert(from);
        }
    }

    /// True where this one said so.
    pub(super) fn has_disclaimed(&self, who: Identity) -> bool {
        matches!(&self.phase, Phase::Accepted { without, .. } if without.contains(&who))
    }

    /// Is free of what it accepted: it can never come about.
    pub(super) fn set_free(&mut self, now: Time) {
        self.phase = Phase::Idle;
        self.started = now;
        self.not_before = now;
    }

    /// True where what it accepted has to survive a restart.
    pub(super) fn is_bound(&self) -> bool {
        matches!(self.phase, Phase::Accepted { until: Time::NEVER, .. })
    }

    /// The proposer withdraws.
    pub(super) fn released(&mut self, from: Identity, lineage: Lineage) {
        if matches!(&self.phase, Phase::Accepted { lineage: l, proposer, .. } if *l == lineage && *proposer == from) {
            self.phase = Phase::Idle;
        }
    }

    /// The proposer is dead, and what it had not founded with it: but for a part of a list, where all have stores, and it may
    /// come back with what it founded.
    pub(super) fn proposer_died(&mut self, identity: Identity) {
        if !self.is_bound() && matches!(&self.phase, Phase::Accepted { proposer, .. } if *proposer == identity) {
            self.phase = Phase::Idle;
        }
    }

    /// Is bound by what it accepted before its restart.
    pub(super) fn bind(&mut self, bound: &Bound) {
        if matches!(self.rule, Some(Rule::List(_))) {
            let Bound { lineage, proposer, .. } = *bound;
            let (until, without) = (Time::NEVER, BTreeSet::new());
            self.phase = Phase::Accepted { lineage, proposer, until, remind: self.started, without };
        }
    }

    /// True where this node proposes this founding at present.
    pub(super) fn proposes(&self, founding: Lineage) -> bool {
        matches!(self.phase, Phase::Proposing { lineage, .. } if lineage == founding)
    }

    /// Takes an answer; founds where it was the last that was missing.
    pub(super) fn answered(&mut self, now: Time, from: Identity, reply: &ProposeReply) -> Option<Step> {
        let Phase::Proposing { lineage, round, accepted, fresh_until, .. } = &mut self.phase else { return None };
        if reply.lineage != *lineage || reply.round != *round || !reply.accepted || now >= *fresh_until {
            return None;
        }
        accepted.insert(from, reply.durable);
        self.complete()
    }

    fn complete(&mut self) -> Option<Step> {
        let Phase::Proposing { lineage, term, seats, accepted, .. } = &self.phase else { return None };
        if !seats.iter().all(|s| accepted.contains_key(&s.identity)) {
            return None;
        }
        if let Some(Rule::List(list)) = &self.rule
            && seats.len() < list.len()
            && !accepted.values().all(|durable| *durable)
        {
            return None;
        }
        let found = Step::Found { lineage: *lineage, term: *term, seats: seats.clone() };
        self.phase = Phase::Idle;
        Some(found)
    }
}
