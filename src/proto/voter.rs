//! The voter: what it has promised, whom it protects, and when it would grant.
//!
//! Properties: it grants at most one bidder per term; it grants nothing for D after it received a heartbeat of the leader
//! it follows, nor for D after its own restart, unless it has evidence about that very leadership; a grant spends the
//! evidence and protects the one granted for a round; every promise is stored before it is told.

use super::founding::Bound;
use super::outbox::Outbox;
use super::planted::{Bug, Planted};
use crate::types::{Identity, Incarnation, Lineage, NodeId, Term, Time, VoterTag};
use crate::wire::{Bid, Heartbeat, Promise, Record};
use std::time::Duration;

/// Terms further above the highest one seen than this are refused: a forged term must not use the numbers up.
const MAX_LEAP: u64 = 1 << 32;

/// The leadership that a voter follows.
#[derive(Debug, Clone)]
pub(super) struct Followed {
    pub(super) term: Term,
    pub(super) tag: VoterTag,
    pub(super) number: u32,
    pub(super) heard: Time,
    /// Known from the line, once the line is known.
    pub(super) leader: Option<(NodeId, Identity)>,
    /// Known once the leader sent something of this term over a handshaken connection: what evidence of death is about.
    pub(super) incarnation: Option<Incarnation>,
}

#[derive(Debug, Clone)]
pub(super) struct Voter {
    pub(super) promise: Promise,
    followed: Option<Followed>,
    /// Grants nothing before this, by what it heard or granted.
    protected_until: Time,
    /// Grants nothing before this, whatever it knows: its own restart.
    restarted_until: Time,
    /// The founding that it accepted.
    accepted: Option<Bound>,
    /// The term about whose leadership it has immediate evidence (death or resignation), and until when it counts.
    evidence: Option<(Term, Time)>,
    detection: Duration,
    round: Duration,
    bug: Planted,
}

impl Voter {
    pub(super) fn new(promise: Promise, restored: bool, now: Time, detection: Duration, round: Duration) -> Self {
        Self {
            restarted_until: if restored { now + detection } else { now },
            accepted: Bound::of(&promise),
            promise,
            followed: None,
            protected_until: now,
            evidence: None,
            detection,
            round,
            bug: Planted::default(),
        }
    }

    pub(super) fn plant(&mut self, bug: Planted) {
        self.bug = bug;
        if bug.has(Bug::GrantAfterRestart) {
            self.restarted_until = Time::ZERO;
        }
    }

    pub(super) fn identity(&self) -> Identity {
        self.promise.identity
    }

    pub(super) fn followed(&self) -> Option<&Followed> {
        self.followed.as_ref()
    }

    pub(super) fn followed_mut(&mut self) -> Option<&mut Followed> {
        self.followed.as_mut()
    }

    /// True where it promised never to act in its lineage again.
    pub(super) fn is_sealed(&self) -> bool {
        self.promise.sealed && !self.bug.has(Bug::SealedActs)
    }

    /// True where `term` is credible after what was seen.
    pub(super) fn credible(&self, term: Term) -> bool {
        term.0.saturating_sub(self.promise.seen.0) <= MAX_LEAP || self.bug.has(Bug::BelieveAnyTerm)
    }

    pub(super) fn store(&self, out: &mut Outbox) {
        out.store(Record::Promise(self.record()));
    }

    /// What the store has to hold of it: in a lineage its promises there, else the founding that it accepted.
    pub(super) fn record(&self) -> Promise {
        match self.accepted.clone() {
            Some(Bound { lineage, term, proposer, party }) if self.promise.lineage == Lineage::ZERO => {
                Promise { lineage, term, founder: Some(proposer), party, ..self.promise.clone() }
            }
            _ => self.promise.clone(),
        }
    }

    /// Accepts a founding, or (with nothing) is free of the one that it accepted.
    pub(super) fn accept(&mut self, founding: Option<Bound>, out: &mut Outbox) {
        if self.accepted != founding {
            self.accepted = founding;
            if let Some(bound) = &self.accepted {
                self.promise.seen = self.promise.seen.max(bound.term);
            }
            self.store(out);
        }
    }

    /// The founding that it accepted and that binds it: its proposer's word frees it, or the proof that nobody ever got
    /// anything of it.
    pub(super) fn bound(&self) -> Option<&Bound> {
        self.accepted.as_ref()
    }

    /// Is out of the lineage that it entered, of which it holds nothing, and bound to its founding as before.
    pub(super) fn step_out(&mut self, out: &mut Outbox) {
        self.promise.lineage = Lineage::ZERO;
        self.promise.granted = None;
        self.promise.founder = None;
        self.promise.party.clear();
        self.followed = None;
        self.evidence = None;
        self.store(out);
    }

    /// True where it knows of a lineage that it is no voter of: it never founds another.
    pub(super) fn knows_another(&self) -> bool {
        self.promise.former != Lineage::ZERO && !self.bug.has(Bug::ForgetFormerLineage)
    }

    /// Whatever lineage it stepped down in counts no more: it holds the roll of another, or an operator says so.
    pub(super) fn forget_former(&mut self) {
        self.promise.former = Lineage::ZERO;
    }

    /// Remembers the highest term seen anywhere, so that it is never reported and then forgotten.
    pub(super) fn see(&mut self, term: Term, out: &mut Outbox) {
        if term > self.promise.seen && self.credible(term) {
            self.promise.seen = term;
            self.store(out);
        }
    }

    /// Belongs to this lineage from now on, with these promises.
    pub(super) fn enter(&mut self, lineage: Lineage, term: Term, granted: Option<Identity>, out: &mut Outbox) {
        // Whose founding was accepted counts for as long as it stays in that lineage.
        self.accepted = self.accepted.take().filter(|bound| bound.lineage == lineage);
        self.promise.founder = self.accepted.as_ref().map(|bound| bound.proposer);
        self.promise.party = self.accepted.as_ref().map(|bound| bound.party.clone()).unwrap_or_default();
        self.promise.sealed = false;
        self.promise.lineage = lineage;
        self.promise.term = term;
        self.promise.granted = granted;
        self.promise.seen = self.promise.seen.max(term);
        self.followed = None;
        self.evidence = None;
        self.store(out);
    }

    /// Leaves its lineage for good, as another voter.
    pub(super) fn renounce(&mut self, promise: Promise) {
        self.promise = promise;
        self.accepted = None;
        self.followed = None;
        self.evidence = None;
    }

    /// Takes a leader's heartbeat; false where it is of an older term, of a leadership that is over, or stale.
    pub(super) fn heard(&mut self, now: Time, heartbeat: &Heartbeat, out: &mut Outbox) -> bool {
        if heartbeat.term < self.promise.term || self.is_sealed() {
            return false;
        }
        if self.evidence.is_some_and(|(term, until)| heartbeat.term <= term && now < until) {
            return false;
        }
        match &mut self.followed {
            Some(f) if f.term == heartbeat.term => {
                if heartbeat.number <= f.number {
                    // A copy: acknowledged once more, for the first acknowledgement may be lost.
                    return heartbeat.number == f.number;
                }
                f.number = heartbeat.number;
                f.heard = now;
            }
            _ => {
                self.followed = Some(Followed {
                    term: heartbeat.term,
                    tag: heartbeat.leader,
                    number: heartbeat.number,
                    heard: now,
                    leader: None,
                    incarnation: None,
                });
                self.evidence = None;
                self.adopt(heartbeat.term, out);
            }
        }
        self.protected_until = self.protected_until.max(now + self.detection);
        true
    }

    /// Takes something that the leader of this term sent over a handshaken connection; the term is not below what was
    /// promised. It protects the leader like a heartbeat does, though it renews no lease.
    pub(super) fn attend(
        &mut self,
        now: Time,
        term: Term,
        leader: (NodeId, Identity),
        incarnation: Incarnation,
        out: &mut Outbox,
    ) {
        if self.evidence.is_some_and(|(about, until)| term <= about && now < until) {
            return;
        }
        match &mut self.followed {
            Some(f) if f.term == term => {
                f.leader = Some(leader);
                f.incarnation = Some(incarnation);
            }
            _ => {
                let tag = leader.1.tag();
                let (leader, incarnation) = (Some(leader), Some(incarnation));
                self.followed = Some(Followed { term, tag, number: 0, heard: now, leader, incarnation });
                self.evidence = None;
                self.adopt(term, out);
            }
        }
        self.protected_until = self.protected_until.max(now + self.detection);
    }

    /// Follows nobody any more where the leader was silent for too long; true where that is news.
    pub(super) fn silence(&mut self, now: Time) -> bool {
        self.followed.is_some() && now >= self.protected_until && self.followed.take().is_some()
    }

    /// When silence will be evidence, where a leader is followed.
    pub(super) fn silent_at(&self) -> Time {
        if self.followed.is_some() { self.protected_until } else { Time::NEVER }
    }

    /// Takes over a leader's term.
    pub(super) fn adopt(&mut self, term: Term, out: &mut Outbox) {
        if term > self.promise.term {
            self.promise.term = term;
            self.promise.granted = None;
            self.promise.seen = self.promise.seen.max(term);
            self.store(out);
        }
    }

    /// Immediate evidence about the leadership of this term: it is dead or has resigned. True where that is news.
    pub(super) fn accuse(&mut self, now: Time, term: Term) -> bool {
        let about = self.followed.as_ref().is_some_and(|f| f.term == term) || self.bug.has(Bug::EvidenceUsedTwice);
        if !about || term < self.promise.term {
            return false;
        }
        self.evidence = Some((term, now + self.detection));
        self.followed = None;
        true
    }

    /// From when on it would grant a bidder without blessing.
    pub(super) fn free_at(&self, now: Time) -> Time {
        let by_protection = match self.evidence {
            Some((term, until)) if now < until && term >= self.promise.term => Time::ZERO,
            _ => self.protected_until,
        };
        by_protection.max(self.restarted_until)
    }

    /// True where it may vote for nobody yet, not even for itself: it may have been bound before it restarted.
    pub(super) fn is_quarantined(&self, now: Time) -> bool {
        now < self.restarted_until
    }

    /// Waits longer for the others, by its own lateness; its own lease is no matter of the voter's.
    pub(super) fn excuse(&mut self, lateness: Duration) {
        if let Some(f) = &self.followed {
            let limit = f.heard + self.detection * 2;
            self.protected_until = (self.protected_until + lateness).min(limit).max(self.protected_until);
        }
    }

    /// What it would answer to a bid now; the error says how long it still waits.
    pub(super) fn would_grant(
        &self,
        now: Time,
        bidder: Identity,
        term: Term,
        blessing: Option<Term>,
    ) -> Result<(), Duration> {
        if !self.credible(term) || self.is_sealed() {
            return Err(self.detection);
        }
        let again = term == self.promise.term && self.promise.granted == Some(bidder);
        let twice = self.bug.has(Bug::GrantTwice) && term == self.promise.term;
        if !(term > self.promise.term || again || twice) {
            return Err(Duration::ZERO);
        }
        let blessed = blessing.is_some_and(|t| {
            self.followed.as_ref().is_some_and(|f| {
                f.term == t && t == self.promise.term && f.leader.as_ref().is_some_and(|(_, who)| *who == bidder)
            })
        });
        let blessed = blessed || blessing.is_some() && self.bug.has(Bug::BlessingOutlivesTerm);
        let free = if blessed { self.restarted_until } else { self.free_at(now) };
        if again || twice || now >= free { Ok(()) } else { Err(free - now) }
    }

    /// Answers a bid, by promise. The reply has to go out durably.
    pub(super) fn grant(&mut self, now: Time, bidder: Identity, bid: &Bid, out: &mut Outbox) -> bool {
        if self.would_grant(now, bidder, bid.term, bid.blessing).is_err() {
            return false;
        }
        if bid.term == self.promise.term && !self.bug.has(Bug::GrantTwice) {
            return true;
        }
        self.promise.term = bid.term;
        self.promise.granted = Some(bidder);
        self.promise.seen = self.promise.seen.max(bid.term);
        if !self.bug.has(Bug::PromiseNotStored) {
            self.store(out);
        }
        self.followed = None;
        if !self.bug.has(Bug::EvidenceUsedTwice) {
            self.protected_until = if self.evidence.take().is_some() {
                now + self.round
            } else {
                self.protected_until.max(now + self.round)
            };
        }
        out.stats.grants += 1;
        true
    }

    /// Whether it may promise `term` to the founder of a child lineage now; the error is how long it waits for another.
    pub(super) fn would_accept(&self, now: Time, founder: Identity, term: Term) -> Result<(), Duration> {
        let again = self.promise.sealed && term == self.promise.term && self.promise.granted == Some(founder);
        let other = self.promise.sealed && self.promise.granted != Some(founder) && now < self.protected_until;
        let above = term > self.promise.seen || self.bug.has(Bug::RecoveryTermTooLow);
        match () {
            () if again => Ok(()),
            () if !self.credible(term) || !above => Err(Duration::ZERO),
            () if other => Err(self.protected_until - now),
            () => Ok(()),
        }
    }

    /// Accepts that this founder makes a child of its lineage, and never acts in that lineage again. The reply has to go
    /// out durably.
    pub(super) fn accept_recovery(&mut self, now: Time, founder: Identity, term: Term, out: &mut Outbox) -> bool {
        if self.would_accept(now, founder, term).is_err() {
            return false;
        }
        self.promise.sealed = true;
        self.promise.term = term;
        self.promise.granted = Some(founder);
        self.promise.seen = self.promise.seen.max(term);
        self.followed = None;
        self.evidence = None;
        self.protected_until = now + self.round * 2;
        self.store(out);
        true
    }

    /// Never acts in its lineage again: that was taken into another one.
    pub(super) fn seal(&mut self, out: &mut Outbox) {
        self.promise.sealed = true;
        self.followed = None;
        self.evidence = None;
        self.store(out);
    }

    /// This node's own leadership of a term: it follows itself, and is free again when it resigns.
    pub(super) fn lead(&mut self, now: Time, term: Term) {
        self.followed = None;
        self.evidence = None;
        self.protected_until = self.protected_until.max(now + self.round);
        debug_assert!(term == self.promise.term, "one leads only in the term that one promised oneself");
    }

    /// This node's own leadership is over. Its voter protects it no longer.
    pub(super) fn resigned(&mut self, now: Time) {
        self.protected_until = now;
        self.followed = None;
    }
}

#[cfg(test)]
mod tests;
