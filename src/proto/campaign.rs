//! Bidding for the leadership: canvass, bid, and what is missing fetched before leading.
//!
//! Properties: a canvass changes nothing at any voter; a bidder leads only with grants of a majority of the voters of
//! its line in force whose positions its own roll covers; rank delays a bid, never a grant. As Viewstamped Replication
//! (Liskov and Cowling 2012) and Raft (Ongaro and Ousterhout 2014, with the pre-vote of Ongaro's thesis §9.6), but for
//! the winner that is agreed beforehand.

mod canvassers;

pub(super) use canvassers::Canvassers;

use crate::types::{Identity, Line, NodeId, Position, Term, Time};
use crate::wire::{Bid, BidReply, Canvass, CanvassReply, Fetch};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Clone)]
enum Phase {
    /// Nothing to do before this time.
    Waiting(Time),
    Canvassing {
        replies: BTreeMap<Identity, bool>,
        until: Time,
        again: bool,
    },
    Bidding {
        grants: BTreeMap<Identity, Position>,
        until: Time,
        fetching: Option<Identity>,
    },
}

/// What the campaign wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask all voters.
    Canvass(Canvass),
    /// Promise oneself this term, and ask all voters for it.
    Bid(Bid),
    /// Ask this voter for what follows one's committed position.
    Fetch(Identity, Fetch),
    /// Lead.
    Lead(Term),
}

/// What the campaign has to know of the node at this moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standpoint<'a> {
    pub(super) now: Time,
    pub(super) me: Identity,
    pub(super) line: &'a Line,
    pub(super) position: Position,
    pub(super) committed: Position,
    /// The highest term that this voter promised or saw in this lineage.
    pub(super) promised: Term,
    /// True where this node's own voter would grant.
    pub(super) free: bool,
    /// True where this node's own promise of the bid is durable.
    pub(super) own_durable: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Campaign {
    phase: Phase,
    round: u32,
    term: Term,
    highest: Term,
    failures: u32,
    step: Duration,
    round_time: Duration,
    most: Duration,
    pub(super) skip_fetch: bool,
    pub(super) never_again: bool,
}

impl Campaign {
    pub(super) fn new(step: Duration, round_time: Duration, most: Duration) -> Self {
        Self {
            phase: Phase::Waiting(Time::NEVER),
            round: 0,
            term: Term::ZERO,
            highest: Term::ZERO,
            failures: 0,
            step,
            round_time,
            most,
            skip_fetch: false,
            never_again: false,
        }
    }

    /// Not before this time; gives up what is under way.
    pub(super) fn wait_until(&mut self, at: Time) {
        self.phase = Phase::Waiting(at);
    }

    /// A leader is there: nothing to do, and past failures are forgotten.
    pub(super) fn idle(&mut self) {
        self.failures = 0;
        self.wait_until(Time::NEVER);
    }

    /// True where nothing is scheduled, and something may be.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Waiting(Time::NEVER)) && (self.failures == 0 || !self.never_again)
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Waiting(_))
    }

    /// True where this is the number of the last canvass.
    pub(super) fn is_round(&self, round: u32) -> bool {
        self.round == round
    }

    pub(super) fn bidding(&self) -> Option<Term> {
        matches!(self.phase, Phase::Bidding { .. }).then_some(self.term)
    }

    /// True where a canvass is to be repeated because voters said when they would be free.
    pub(super) fn repeats(&self) -> bool {
        matches!(self.phase, Phase::Canvassing { again: true, .. })
    }

    pub(super) fn deadline(&self) -> Time {
        match &self.phase {
            Phase::Waiting(at) => *at,
            Phase::Canvassing { until, .. } | Phase::Bidding { until, .. } => *until,
        }
    }

    fn patience(&self) -> Duration {
        patience(self.round_time, self.failures, self.most)
    }

    /// Withdraws for a round, longer after each failure. `chance` spreads the tries of several bidders.
    pub(super) fn fail(&mut self, now: Time, chance: u64) {
        self.failures = self.failures.saturating_add(1);
        if self.never_again {
            return self.wait_until(Time::NEVER);
        }
        let pause = (self.step * (1 << self.failures.min(8))).min(self.most);
        let jitter = Duration::from_micros(chance % (pause.as_micros() as u64).max(1));
        self.wait_until(now + pause / 2 + jitter);
    }

    /// Begins a canvass.
    pub(super) fn canvass(&mut self, at: Standpoint<'_>, lineage: crate::types::Lineage) -> Option<Step> {
        self.round = self.round.wrapping_add(1);
        self.highest = self.highest.max(at.promised);
        self.term = self.highest.next()?;
        let replies = BTreeMap::from([(at.me, at.free)]);
        self.phase = Phase::Canvassing { replies, until: at.now + self.patience(), again: false };
        Some(Step::Canvass(Canvass {
            lineage,
            term: self.term,
            position: at.position,
            line_version: at.line.version(),
            round: self.round,
        }))
    }

    /// Takes a voter's opinion. Where it waits, the canvass is repeated then.
    pub(super) fn opinion(&mut self, at: Standpoint<'_>, from: Identity, reply: &CanvassReply) -> Option<Step> {
        self.highest = self.highest.max(reply.term);
        let Phase::Canvassing { replies, .. } = &mut self.phase else { return None };
        if reply.round != self.round {
            return None;
        }
        replies.insert(from, reply.granted);
        if !reply.granted {
            let patience = Duration::from_micros(reply.wait_us).clamp(self.step / 4, self.most);
            let again = at.now + patience;
            if let Phase::Canvassing { until, again: repeat, .. } = &mut self.phase
                && again < *until
            {
                *until = again;
                *repeat = true;
            }
        }
        self.decide_canvass(at, reply.lineage)
    }

    /// Bids where a majority would grant.
    pub(super) fn decide_canvass(&mut self, at: Standpoint<'_>, lineage: crate::types::Lineage) -> Option<Step> {
        let Phase::Canvassing { replies, .. } = &self.phase else { return None };
        if !at.free || !at.line.has_majority(|s| replies.get(&s.identity) == Some(&true)) {
            return None;
        }
        self.bid(at, lineage, None)
    }

    /// Bids for the next term at once: after a canvass, or by a leader's own blessing.
    pub(super) fn bid(
        &mut self,
        at: Standpoint<'_>,
        lineage: crate::types::Lineage,
        blessing: Option<Term>,
    ) -> Option<Step> {
        self.term = self.highest.max(at.promised).next()?;
        self.highest = self.term;
        // Where it is blessed nobody else bids, and the grants come, however slowly.
        let least = blessing.map_or(Duration::ZERO, |_| self.most / 4);
        let until = at.now + self.patience().max(least);
        self.phase = Phase::Bidding { grants: BTreeMap::new(), until, fetching: None };
        Some(Step::Bid(Bid { lineage, term: self.term, position: at.position, blessing }))
    }

    /// Bids for the term after the one whose leader blessed this node: that one, which the others grant unasked.
    pub(super) fn succeed(
        &mut self,
        at: Standpoint<'_>,
        lineage: crate::types::Lineage,
        blessing: Term,
    ) -> Option<Step> {
        let term = blessing.next()?;
        let highest = self.highest.max(term);
        self.highest = blessing;
        let step = self.bid(Standpoint { promised: blessing, ..at }, lineage, Some(blessing));
        self.highest = highest;
        step
    }

    /// Takes a voter's grant or refusal.
    pub(super) fn answer(&mut self, at: Standpoint<'_>, from: Identity, reply: &BidReply) -> Option<Step> {
        self.highest = self.highest.max(reply.promised);
        if reply.term != self.term || !reply.granted {
            return None;
        }
        let Phase::Bidding { grants, .. } = &mut self.phase else { return None };
        grants.insert(from, reply.position);
        self.decide(at, reply.lineage)
    }

    /// Whether to lead, to fetch, or to wait: after a grant, after fetched entries, after the own promise is durable.
    pub(super) fn decide(&mut self, at: Standpoint<'_>, lineage: crate::types::Lineage) -> Option<Step> {
        let skip_fetch = self.skip_fetch;
        let (term, patience) = (self.term, self.patience());
        let Phase::Bidding { grants, until, fetching } = &mut self.phase else { return None };
        let granted = |s: &crate::types::Seat| {
            if s.identity == at.me { at.own_durable.then_some(at.position) } else { grants.get(&s.identity).copied() }
        };
        if at.line.has_majority(|s| granted(s).is_some_and(|p| skip_fetch || p <= at.position)) {
            return Some(Step::Lead(term));
        }
        if !at.line.has_majority(|s| granted(s).is_some()) {
            return None;
        }
        let ahead = grants.iter().filter(|(_, p)| **p > at.position).max_by_key(|(_, p)| **p)?;
        let source = *ahead.0;
        if *fetching == Some(source) {
            return None;
        }
        *fetching = Some(source);
        *until = at.now + patience * 2;
        Some(Step::Fetch(source, Fetch { lineage, term, after: at.committed }))
    }

    /// The source of what is missing is gone: its grant doesn't count any more.
    pub(super) fn lost(
        &mut self,
        at: Standpoint<'_>,
        source: Identity,
        lineage: crate::types::Lineage,
    ) -> Option<Step> {
        let Phase::Bidding { grants, fetching, .. } = &mut self.phase else { return None };
        if *fetching != Some(source) {
            return None;
        }
        *fetching = None;
        grants.remove(&source);
        self.decide(at, lineage)
    }

    /// Fetched entries came: gives the rest of them time.
    pub(super) fn progressed(&mut self, now: Time) {
        let more = now + self.patience() * 2;
        if let Phase::Bidding { until, fetching: Some(_), .. } = &mut self.phase {
            *until = more;
        }
    }
}

/// How long answers are waited for after so many tries that came to nothing: twice as long each time from the third one on,
/// for then it may be that an answer, or a durable write, takes longer. `most` limits it, but for the first tries.
pub(super) fn patience(first: Duration, tries: u32, most: Duration) -> Duration {
    (first * (1 << tries.saturating_sub(2).min(16))).min(most.max(first))
}

/// Of two that bid at once the better goes on: by position, then by rank in the newer line, then by id.
pub(super) fn is_better(mine: (Position, &Line, &NodeId), theirs: (Position, u32, &NodeId)) -> bool {
    let (position, line, me) = mine;
    if position != theirs.0 {
        return position > theirs.0;
    }
    match (line.rank(me), line.rank(theirs.2)) {
        // Where the other has the newer line, its judgement of the ranks is not known here: equal positions and
        // different versions can't be, but for a forgery, so the own line will do.
        (Some(a), Some(b)) if a != b => a < b,
        (Some(_), None) => true,
        (None, Some(_)) => false,
        _ => me < theirs.2,
    }
}

#[cfg(test)]
mod tests;
