//! Names, on their way between a member, the leader and the roll.

use super::super::border::{CommandError, Dest};
use super::super::event::Event;
use super::super::names::{Answered, Question, Ruling};
use super::super::planted::Bug;
use super::super::roll::Claimed;
use super::Node;
use crate::types::{Generation, Name, NodeId, Slot, Time};
use crate::wire::{Claim, ClaimAnswer, ClaimReply, Datagram};
use std::net::SocketAddr;

impl Node {
    pub(super) fn wish(&mut self, name: Name, release: bool) -> Result<(), CommandError> {
        if self.claimant.wish(name, release) { Ok(()) } else { Err(CommandError::TooMany) }
    }

    /// Asks for what is due to be asked. Called after each input: who the leader is may just have become known.
    pub(super) fn tick_claims(&mut self, now: Time) {
        let Some(r) = self.follower.registration else { return };
        let (place, out) = ((r.lineage, r.slot, r.generation, self.me.incarnation), &mut self.out);
        self.claimant.settle_at(place, |name, outcome| out.event(Event::Claimed { name, outcome }));
        // One at a time, each answered before the next: the bound is on how many wait.
        while !self.claimant.is_idle() {
            if self.lead.is_some() {
                if !self.claim_as_leader(now, (r.slot, r.generation)) {
                    return;
                }
                continue;
            }
            let Some((addr, term)) = self.follower.addressee() else { return };
            let Some(Question { number, name, release }) = self.claimant.due(now, term) else { return };
            let (lineage, incarnation, slot, generation) = (r.lineage, self.me.incarnation, r.slot, r.generation);
            let claim = Claim { lineage, term, incarnation, number, slot, generation, release, name };
            self.out.datagram(Dest::Addr(addr), Datagram::Claim(claim));
            return;
        }
    }

    /// A leader asks itself; true where it had an answer at once.
    fn claim_as_leader(&mut self, now: Time, place: (Slot, Generation)) -> bool {
        if !self.may_rule(now) {
            return false;
        }
        let Some(term) = self.lead.as_ref().map(|l| l.leadership.term) else { return false };
        let Some(question) = self.claimant.due(now, term) else { return false };
        let number = question.number;
        self.rule(now, place, question, None);
        !self.claimant.is_asking(number)
    }

    /// Only then is what it reads in its roll the truth for all.
    fn may_rule(&self, now: Time) -> bool {
        self.decides() && self.lead.as_ref().is_some_and(|l| l.leadership.has_lease(now))
    }

    pub(super) fn on_claim(&mut self, now: Time, from: SocketAddr, claim: Claim) {
        let term = self.lead.as_ref().map(|l| l.leadership.term);
        let ours = claim.lineage == self.voter.promise.lineage && term == Some(claim.term);
        let of_member = |(g, i): (Generation, &crate::types::MemberInfo)| {
            g == claim.generation && i.incarnation == claim.incarnation && i.id != self.me.id
        };
        if !ours || !self.may_rule(now) || !self.log.roll().get(claim.slot).is_some_and(of_member) {
            self.out.stats.dropped_stale += 1;
            return;
        }
        let question = Question { number: claim.number, name: claim.name, release: claim.release };
        self.rule(now, (claim.slot, claim.generation), question, Some(from));
    }

    fn rule(&mut self, now: Time, place: (Slot, Generation), question: Question, asker: Option<SocketAddr>) {
        let number = question.number;
        let Some(lead) = &mut self.lead else { return };
        match lead.claims.ask(self.log.roll(), place, question, asker) {
            Ruling::Nothing => {}
            Ruling::Answer(answer, owner) => self.answer_claim(place.0, (asker, number, answer, owner)),
            Ruling::Propose(change) => {
                self.propose(now, vec![change]);
                if self.bug.has(Bug::ClaimBeforeCommit) {
                    self.answer_claim(place.0, (asker, number, ClaimAnswer::Yours, None));
                }
            }
        }
    }

    fn answer_claim(&mut self, slot: Slot, (asker, number, answer, owner): Answered) {
        let Some(term) = self.lead.as_ref().map(|l| l.leadership.term) else { return };
        let Some(addr) = asker else {
            return self.claim_answered(term, number, answer, owner);
        };
        let Some((_, info)) = self.log.roll().get(slot) else { return };
        let (lineage, incarnation) = (self.voter.promise.lineage, info.incarnation);
        let reply = ClaimReply { lineage, term, incarnation, number, answer, owner };
        self.out.datagram(Dest::Addr(addr), Datagram::ClaimReply(reply));
    }

    pub(super) fn on_claim_reply(&mut self, reply: ClaimReply) {
        if reply.lineage != self.lineage() || reply.incarnation != self.me.incarnation {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        self.claim_answered(reply.term, reply.number, reply.answer, reply.owner);
    }

    fn claim_answered(&mut self, term: crate::types::Term, number: u32, answer: ClaimAnswer, owner: Option<NodeId>) {
        match self.claimant.answered(term, number, answer, owner) {
            Some(Some((name, outcome))) => self.out.event(Event::Claimed { name, outcome }),
            Some(None) => {}
            None => self.out.stats.dropped_stale += 1,
        }
    }

    /// A claim or a release is committed.
    pub(super) fn name_claimed(&mut self, claimed: Claimed) {
        let Claimed { slot, generation, name, answer, owner, changed } = claimed;
        if changed {
            self.out.event(Event::Name { name: name.clone(), owner: owner.clone() });
        }
        let owner = owner.filter(|_| answer == ClaimAnswer::Taken);
        let answered = self.lead.as_mut().and_then(|l| l.claims.committed((slot, generation), &name, answer, owner));
        if let Some(answered) = answered {
            self.answer_claim(slot, answered);
        }
    }

    /// Who has this name, as far as this node holds the roll.
    #[must_use]
    pub fn owner(&self, name: &Name) -> Option<&NodeId> {
        self.held().roll().owner(name).map(|(_, info)| &info.id)
    }

    /// All names of the committed roll, in their order, each with its owner. (Those who hold the roll only.)
    pub fn names(&self) -> impl Iterator<Item = (&Name, &NodeId)> {
        self.held().roll().names().map(|(name, info)| (name, &info.id))
    }
}
