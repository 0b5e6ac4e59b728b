//! A founding that can never come about: whoever is bound to it frees itself.
//!
//! Who accepted a part of a list is bound to it, across restarts, until its proposer withdraws it. Where the proposer lost
//! its store it never will. Properties:
//!
//! 1. A voter frees itself of a founding only where nobody has anything of it, nor ever will: its proposer, who alone
//!    could complete it, is no more, nor is its store; each other voter that it names is there and said, after that, that
//!    nothing came there, or is no more itself; those that are no more are too few to have committed anything among
//!    themselves; and nobody in reach belongs to that lineage or to a child of it.
//! 2. Each says so only where its own connection to the proposer has ended in another voter's: nothing can come any more.
//!    Who isn't bound says so at once: what it didn't accept while the proposer lived was never founded.
//! 3. Whom a founding names doesn't change: a proposer that finds others there begins another one.
//!
//! Where that can't be shown (the proposer's host stays away) an operator may give voters up by
//! [`super::Command::Recover`], said to each that is bound. The same command frees a candidate of the lineage in which it
//! stepped down: as long as its store knows of one it founds nothing, for that lineage may live without it.

use super::super::founding::Bound;
use super::super::planted::Bug;
use super::Node;
use super::streams::Origin;
use crate::types::{Lineage, NodeId, Seat, Time};
use crate::wire::{Message, ProposeReply, Release, View};

impl Node {
    /// The founding that it accepted and that binds it: it takes part in no other until that is withdrawn, or can never
    /// come about.
    #[must_use]
    pub fn bound_to(&self) -> Option<Lineage> {
        self.voter.bound().map(|bound| bound.lineage)
    }

    /// True where nothing of that lineage came here.
    pub(super) fn has_nothing_of(&self, lineage: Lineage) -> bool {
        let belongs = self.voter.promise.lineage == lineage || self.log.parents().contains(&lineage);
        !belongs || self.log.is_empty() && !self.voter.is_sealed()
    }

    /// True where it is proven that this voter is no more, nor its store: another voter with a store has its id.
    fn is_lost(&self, seat: &Seat) -> bool {
        let Some(peer) = self.peers.get(&seat.id).filter(|p| p.info.durable) else { return false };
        // Refusal proves nothing of an id that says so of itself.
        let proven = !self.bug.has(Bug::FreeWithoutProof);
        peer.replaced(seat, proven) && (peer.info.provable || !proven)
    }

    fn is_proposer_lost(&self, bound: &Bound) -> bool {
        bound.party.iter().any(|s| s.identity == bound.proposer && self.is_lost(s))
    }

    /// Whom of a founding's voters this node waits for, until it is free of it.
    fn hindrances(&self, bound: &Bound) -> Vec<NodeId> {
        let me = self.voter.identity();
        let others = || bound.party.iter().filter(|s| s.identity != me);
        let lost = others().filter(|s| self.is_lost(s)).count();
        if !self.is_proposer_lost(bound) || lost * 2 > bound.party.len() {
            let awaits = |s: &&Seat| s.identity == bound.proposer || self.is_lost(s);
            return others().filter(awaits).map(|s| s.id.clone()).collect();
        }
        let clears = |s: &&Seat| {
            let here = self.peers.conn_of(&s.id, s.identity).is_some();
            let says = self.founding.has_disclaimed(s.identity);
            self.is_lost(s) || here && says || self.bug.has(Bug::FreeWithoutAsking)
        };
        others().filter(|s| !clears(s)).map(|s| s.id.clone()).collect()
    }

    /// True where somebody in reach belongs to that lineage, or to a child of it.
    fn is_lineage_about(&self, lineage: Lineage) -> bool {
        let of_it = |l: Lineage, parents: &[Lineage]| l == lineage || parents.contains(&lineage);
        self.peers.ready().any(|(p, _)| of_it(p.lineage, &p.parents))
            || self.follower.view.as_ref().is_some_and(|v| of_it(v.lineage, &v.parents))
    }

    /// Reminds those concerned that this node is bound to a founding, and frees it where that can never come about.
    pub(super) fn tick_bound(&mut self, now: Time) {
        if self.voter.bound().is_none() && self.founding.is_bound() {
            // It entered another lineage since, as a child's.
            self.founding.set_free(now);
        }
        let Some(bound) = self.voter.bound().filter(|b| self.has_nothing_of(b.lineage)).cloned() else { return };
        let lost = self.is_proposer_lost(&bound);
        for seat in bound.party.iter().filter(|s| s.identity != self.voter.identity()) {
            if self.peers.get(&seat.id).is_some_and(|p| p.info.provable) {
                self.peers.prove(now, seat, &mut self.out);
            }
        }
        if lost && self.voter.promise.lineage == bound.lineage && !self.follower.hears(now, self.config.detection()) {
            // It had entered, and nothing came.
            self.voter.step_out(&mut self.out);
            self.founding.bind(&bound);
            self.introduce();
        }
        let step = self.founding.remind(now, &bound, lost);
        self.founding_step(now, step);
        if lost
            && self.voter.promise.lineage == Lineage::ZERO
            && self.hindrances(&bound).is_empty()
            && !self.is_lineage_about(bound.lineage)
        {
            self.set_free(now);
        }
    }

    fn set_free(&mut self, now: Time) {
        self.founding.set_free(now);
        self.voter.accept(None, &mut self.out);
    }

    /// A reminder about a founding that this node doesn't propose (any more): it is off, as far as this node is concerned;
    /// unless it is bound itself, and can't know yet.
    pub(super) fn disclaim(&mut self, from: &Origin, reply: &ProposeReply) {
        let bound = self.voter.bound().filter(|b| b.lineage == reply.lineage);
        let knows = bound.is_none_or(|b| self.is_proposer_lost(b));
        if self.has_nothing_of(reply.lineage) && knows && self.voter.promise.lineage != reply.lineage {
            self.out.send_durably(from.conn, Message::Release(Release { lineage: reply.lineage }));
        }
    }

    pub(super) fn on_release(&mut self, now: Time, from: &Origin, release: Release) {
        self.founding.released(from.identity, release.lineage);
        self.forget_acceptance(now);
        let bound = self.voter.bound().filter(|b| b.lineage == release.lineage);
        let of_party = bound.is_some_and(|b| b.party.iter().any(|s| s.identity == from.identity));
        if of_party && bound.is_some_and(|b| self.is_proposer_lost(b)) {
            self.founding.disclaimed(from.identity, release.lineage);
            self.tick_bound(now);
        }
    }

    /// Whom this node waits for before it takes part in a founding: it is bound to one that hangs.
    pub(super) fn awaited_by_bound(&self) -> Option<Vec<NodeId>> {
        self.voter.bound().map(|bound| self.hindrances(bound)).filter(|ids| !ids.is_empty())
    }

    /// True where this node accepted a founding that binds it, and a lineage that it could go to is neither that nor a child of
    /// it.
    pub(super) fn is_bound_elsewhere(&self, view: &View) -> bool {
        let elsewhere = |l: Lineage| l != view.lineage && !view.parents.contains(&l) && self.has_nothing_of(l);
        self.me.standing.votes() && self.voter.bound().is_some_and(|b| elsewhere(b.lineage))
    }

    /// True where an operator may free this candidate of what it accepted, or of the lineage in which it stepped down, by
    /// giving these up: none of them is there.
    pub(super) fn may_be_freed(&self, without: &[NodeId]) -> bool {
        let me = self.voter.identity();
        let founds = self.founding.founds() && self.voter.promise.lineage == Lineage::ZERO && self.me.standing.votes();
        let away = |id: &NodeId| {
            *id != self.me.id && {
                let seat = self.voter.bound().and_then(|b| b.party.iter().find(|s| s.id == *id));
                match seat {
                    Some(seat) => self.peers.conn_of(id, seat.identity).is_none(),
                    None => self.voter.bound().is_none() && self.peers.get(id).is_none_or(|p| p.conn.is_none()),
                }
            }
        };
        let named = |s: &Seat| s.identity == me || without.contains(&s.id);
        let whole = self.voter.bound().is_none_or(|b| {
            // Those that aren't given up are here, and have nothing of it.
            let here = |s: &Seat| self.peers.conn_of(&s.id, s.identity).is_some();
            b.party.iter().all(|s| named(s) || here(s) && s.identity != b.proposer) && !self.is_lineage_about(b.lineage)
        });
        let held = self.voter.bound().is_some() || self.voter.knows_another();
        founds && held && whole && !without.is_empty() && without.iter().all(away)
    }

    /// An operator says so.
    pub(super) fn free_by_order(&mut self, now: Time) {
        self.voter.forget_former();
        self.set_free(now);
        // Stored in any case: of the lineage in which it stepped down it knows no more.
        self.voter.store(&mut self.out);
    }
}
