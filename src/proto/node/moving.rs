//! Moving: a node is pointed at another convention address while it runs, and goes over without a restart.
//!
//! Properties: it leaves in order, within a bounded time, before anything goes to the new address; what begins there is
//! what a restart with an empty store would be, but for the highest term that it ever saw: a larger incarnation, another
//! voter, which has promised nothing and holds nothing; it acts in the lineage that it left no more, and hears of it only
//! where it is found anew.

use super::super::border::CommandError;
use super::super::event::{StopReason, Undelivered};
use super::super::log::Log;
use super::super::outbox::Outbox;
use super::super::planted::Bug;
use super::super::rng::Rng;
use super::starting::Beginning;
use super::{Event, Leaving, Moving, Node, Role};
use crate::types::{Identity, Incarnation, Lineage, Standing, Term, Time};
use crate::wire::Promise;

impl Node {
    pub(super) fn begin_move(&mut self, now: Time, multicast: bool, seeds: bool) -> Result<(), CommandError> {
        // Once what was accepted has come about, it is left like any other convention.
        let bound = self.log.is_empty() && self.founding.accepted(now).is_some();
        // Nobody else has anything of what it founds: the others would wait for it.
        let unready = self.lead.as_ref().is_some_and(|l| l.leadership.founding) && !self.is_ready();
        let founds = unready || self.founded_for_others();
        let busy = self.leaving.is_some() || self.moving.is_some() || self.handover.is_some();
        if busy || self.out.is_moving() || bound || founds {
            return Err(CommandError::NotReady);
        }
        let alone = matches!(self.config.founding, Some(super::super::config::Founding::Alone));
        if !(multicast || seeds || self.config.broadcast || alone) {
            return Err(CommandError::NoWay);
        }
        let others = self.log.line().voters().any(|s| s.identity != self.voter.identity());
        let led_alone = self.lead.is_some() && !others;
        self.resign(now, true);
        let step = self.founding.withdraw(now);
        self.founding_step(now, step);
        let until = now + self.config.detection() * 3 + self.round() * 8;
        self.moving = Some(Moving { multicast, seeds, until });
        if self.me.standing.votes() && self.lineage() != Lineage::ZERO && !led_alone {
            // Off the line first, and for good: a retirement would keep its place for its return.
            self.me.revision = self.me.revision.saturating_add(1);
            self.wanted = Standing::Member;
        } else if led_alone || self.follower.registration.is_none() {
            self.begin_anew(now);
        }
        Ok(())
    }

    /// Once it is off the line, or in vain for too long, the member leaves.
    pub(super) fn tick_moving(&mut self, now: Time) {
        let Some(moving) = self.moving.filter(|_| self.leaving.is_none() && !self.stopped) else { return };
        // A bid that was under way may have been won.
        self.resign(now, true);
        if self.me.standing.votes() && now < moving.until {
            return;
        }
        if self.follower.registration.is_none() {
            return self.begin_anew(now);
        }
        self.leaving = Some(Leaving { next: now, until: now + self.config.detection() * 2 + self.round() * 8 });
    }

    /// True where it is about to leave.
    pub(super) fn is_going(&self) -> bool {
        self.leaving.is_some() || self.moving.is_some()
    }

    /// It has left: it stops, or begins anew elsewhere.
    pub(super) fn left(&mut self, now: Time) {
        if self.moving.is_some() {
            self.begin_anew(now);
        } else {
            self.stop(StopReason::Left);
        }
    }

    /// The next start of this node, so to say, without the process ending.
    fn begin_anew(&mut self, now: Time) {
        let Some(moving) = self.moving.take() else { return };
        let mut config = self.config.clone();
        (config.multicast, config.seeds) = (moving.multicast, moving.seeds);
        config.capabilities = self.me.capabilities.clone();
        let left = self.lineage();
        let family = self.family_of(left);
        let mut out = std::mem::replace(&mut self.out, Outbox::new(0, false));
        self.peers.shut(&mut out);
        self.lanes.stop(&mut out);
        for (number, body, uncertain) in self.speaker.stop() {
            out.event(Event::BroadcastFailed { number, body, reason: Undelivered::Stopped, uncertain });
        }
        self.subscriber.rest(&mut out);
        out.moves();
        // Nothing of the lineage that it left is in the store any more; the promise follows, in the same write.
        out.store_anew();
        let seen = if self.bug.has(Bug::MoveForgetsTerm) { Term::ZERO } else { self.voter.promise.seen };
        let promise = Promise {
            identity: Identity(self.rng.nonzero()),
            incarnation: Incarnation(self.me.incarnation.0.saturating_add(1)),
            seen,
            ..Promise::default()
        };
        let (addrs, durable) = (std::mem::take(&mut self.me.addrs), self.me.durable);
        let beginning = Beginning { promise, was_voter: false, log: Log::empty(), bound: None, addrs, durable };
        let fresh = Self::assemble(config, beginning, Rng::new(self.rng.next()), out, now);
        let told_of = (self.held().lineage(), self.held().commit());
        let mut old = std::mem::replace(self, fresh);
        self.bug = old.bug;
        self.voter.plant(old.bug);
        (self.claimant, self.questions) = (old.claimant, old.questions);
        self.requesting.go_on_after(&mut old.requesting);
        self.subscriber.bug = old.bug;
        self.subscriber.hold_above(told_of.0, told_of.1);
        (self.peers.bug, self.follower.bug, self.recovery.bug) = (old.bug, old.bug, old.bug);
        self.merging.bug = old.bug;
        self.peers.go_on_after(&old.peers, family);
        self.lanes.go_on_after(&mut old.lanes);
        self.speaker.go_on_after(&old.speaker);
        self.listener.go_on_after(&mut old.listener);
        self.family = std::mem::take(&mut old.family);
        old.asks.stop();
        self.asks.go_on_after(&mut old.asks);
        self.abandoned = if old.told.roll { Some(old.log) } else { old.abandoned };
        // The terms that it tells go on until it is in another lineage. What it saw in earlier ones is no matter: it may come
        // back to this one.
        self.told.lineage = old.told.lineage;
        self.told.term = if self.bug.has(Bug::MoveForgetsTerm) { Term::ZERO } else { old.told.term };
        self.told.anew = true;
        self.told.version_mismatch = old.told.version_mismatch;
        let (term, lineage) = (self.told.term, self.told.lineage);
        if old.told.leader.is_some() {
            self.out.event(Event::Leader { leader: None, term, lineage });
        }
        if old.told.role != Role::Seeking {
            self.out.event(Event::Role { role: Role::Seeking, term });
        }
        self.out.event(Event::Moved { left, incarnation: self.me.incarnation });
    }
}
