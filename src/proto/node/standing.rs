//! The line while it runs: a leader's decisions about it, and a node that becomes a voter, or ceases to be one.
//!
//! Properties: what was decided about an id stands in the roll, so that every later leader keeps to it, whether its
//! leader lived to carry it out or not; a node votes until the committed line does without it, and what has ceased to
//! vote never votes again: whoever is promoted is a voter that was never there before.

use super::super::border::CommandError;
use super::super::event::Notice;
use super::super::log::Log;
use super::super::planted::Bug;
use super::super::roll::MAX_DECIDED;
use super::{Event, Node};
use crate::types::{Identity, Index, Lineage, MemberInfo, NodeId, Position, Seat, Slot, Standing, Term, Time};
use crate::wire::{Change, Promise, Record, View};

impl Node {
    /// What it is to the line at present: as configured, until it was retired, promoted or demoted.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.me.standing
    }

    /// Who was taken off the line for good. (Those who hold the roll only.)
    pub fn retired(&self) -> impl Iterator<Item = &NodeId> {
        self.held().roll().retired()
    }

    /// The position of the change of the line that is under way, if any.
    #[must_use]
    pub fn line_change(&self) -> Option<Position> {
        self.log.line_change()
    }

    /// The position of the committed part of its roll.
    #[must_use]
    pub fn committed(&self) -> Position {
        self.held().committed()
    }

    /// Nothing where this node may decide about the line.
    pub(super) fn may_decide(&self) -> Result<(), CommandError> {
        match &self.lead {
            None => Err(CommandError::NotLeader(self.told.leader.clone().filter(|id| *id != self.me.id))),
            Some(_) if !self.decides() => Err(CommandError::NotReady),
            Some(_) => Ok(()),
        }
    }

    /// Nothing where this id has a seat, or would be given one.
    fn is_of_the_line(&self, id: &NodeId) -> Result<(), CommandError> {
        let seated = self.log.line().seat(id).is_some();
        let waits = self.log.roll().find(id).is_some_and(|(_, _, info)| self.log.roll().standing(info).votes());
        if seated || waits { Ok(()) } else { Err(CommandError::NoSeat(id.clone())) }
    }

    /// True where somebody else of the line may lead.
    fn has_other_candidate(&self, than: &NodeId) -> bool {
        self.log.line().voters().any(|s| s.id != *than && self.may_lead(s))
    }

    /// True where the voter in this seat stays on the line and may lead, by what the roll says and it says itself by now.
    pub(super) fn may_lead(&self, seat: &Seat) -> bool {
        let says = self.peers.get(&seat.id).map(|p| p.info.standing);
        self.log.roll().may_lead(seat) && says != Some(Standing::Witness) && self.stays(&seat.id)
    }

    /// False where the roll says that this id is on its way off the line.
    fn stays(&self, id: &NodeId) -> bool {
        let roll = self.log.roll();
        !roll.is_retired(id) && roll.find(id).is_none_or(|(_, _, info)| info.standing.votes())
    }

    /// Takes an id off the line for good: that is decided by one entry, and carried out by another one, as soon as no
    /// other change is under way and the rest of the line can do without it.
    pub(super) fn retire(&mut self, now: Time, id: NodeId) -> Result<(), CommandError> {
        self.may_decide()?;
        if self.log.roll().is_retired(&id) {
            return Ok(());
        }
        self.is_of_the_line(&id)?;
        if id == self.me.id {
            return Err(CommandError::Leads);
        }
        if !self.has_other_candidate(&id) {
            return Err(CommandError::LastCandidate);
        }
        if self.log.roll().retired().len() >= MAX_DECIDED {
            return Err(CommandError::TooMany);
        }
        self.propose(now, vec![Change::Retired { id }]);
        Ok(())
    }

    /// Decides a priority, in place of the configured one.
    pub(super) fn set_priority(&mut self, now: Time, id: NodeId, priority: i32) -> Result<(), CommandError> {
        self.may_decide()?;
        self.is_of_the_line(&id)?;
        if self.log.roll().is_full_of_ranks(&id) {
            return Err(CommandError::TooMany);
        }
        if self.log.roll().ranked(&id) != Some(priority) {
            self.propose(now, vec![Change::Ranked { id, priority }]);
        }
        Ok(())
    }

    /// Asks for another standing of this node's own.
    pub(super) fn set_standing(&mut self, now: Time, standing: Standing) -> Result<(), CommandError> {
        if standing == self.wanted {
            return Ok(());
        }
        if standing.votes() && self.config.outbound_only {
            return Err(CommandError::OutboundOnly);
        }
        if self.lead.is_some() {
            return Err(CommandError::Leads);
        }
        // A bid that is under way may still be won: a witness would lead then.
        let bids = self.campaign.bidding().is_some();
        if self.leaving.is_some() || self.moving.is_some() || self.wanted != self.me.standing || bids {
            return Err(CommandError::NotReady);
        }
        if self.lineage() == Lineage::ZERO || self.follower.registration.is_none() {
            return Err(CommandError::NotRegistered);
        }
        let led = self.me.standing == Standing::Candidate;
        if led && !self.log.is_empty() && !self.has_other_candidate(&self.me.id) {
            return Err(CommandError::LastCandidate);
        }
        self.me.revision = self.me.revision.saturating_add(1);
        self.wanted = standing;
        if !self.me.standing.votes() {
            self.step_up(now);
        } else if standing.votes() {
            self.me.standing = standing;
            self.introduce();
        }
        Ok(())
    }

    /// What this node says of itself when it registers: what it wants to be.
    pub(super) fn description(&self) -> MemberInfo {
        MemberInfo { standing: self.wanted, ..self.me.clone() }
    }

    /// A plain member becomes a voter of its lineage: a new one, that has promised nothing and holds nothing of the roll.
    /// It counts once the leader has put it on the line.
    fn step_up(&mut self, now: Time) {
        let lineage = self.lineage();
        if self.voter.promise.lineage != Lineage::ZERO {
            // It was one before its restart.
            self.give_up_vote();
        }
        if let Some(log) = self.subscriber.give_up(&mut self.out) {
            // What was told so far counts.
            self.abandoned = Some(log);
            self.told.anew = false;
        }
        self.subscribed = Lineage::ZERO;
        self.me.standing = self.wanted;
        self.me.identity = self.voter.identity();
        self.follower.stand(true);
        self.voter.enter(lineage, self.voter.promise.seen, None, &mut self.out);
        self.lineage_seen = now;
        self.leaderless_since = now;
        let hello = self.hello();
        self.peers.open(now, hello);
        let seats: Vec<_> =
            self.follower.view.iter().flat_map(|v| &v.line).map(super::members::seat_ref_info).collect();
        for info in seats {
            self.peers.note(now, &info, lineage, false);
        }
    }

    /// Follows what the committed roll says of this node's own standing.
    pub(super) fn follow_decisions(&mut self, now: Time) {
        let (roll, me) = (self.log.roll(), &self.me);
        let known = roll.find(&me.id).filter(|(_, _, i)| i.incarnation == me.incarnation);
        let Some((_, _, info)) = known else { return };
        // Who is off the line gets no more of the roll: what it said of itself since the leader knows all the same.
        // (One that asked for a vote again since is another voter than the roll knows.)
        let same = info.identity == self.voter.identity() && roll.is_retired(&me.id);
        let told = info.revision >= me.revision || same && self.is_left_out();
        if !told || roll.standing(info).votes() {
            return;
        }
        if self.wanted.votes() {
            self.wanted = Standing::Member;
            self.out.event(Event::Network(Notice::Retired));
        }
        if self.lead.is_some() {
            return self.yield_lead(now);
        }
        let (line, committed) = (self.log.line(), roll.line());
        // That it is off the line it may hear from a new leader alone, which reaches it by datagrams: it dials nobody any more.
        let newer = |v: &View| v.line_version.wrapping_sub(committed.version()).cast_signed() > 0;
        let off = self.is_left_out() && self.follower.view.as_ref().is_some_and(newer);
        let seated = line.seat(&me.id).is_some() || committed.seat(&me.id).is_some() && !off;
        if !seated && !self.founded_for_others() && !self.bug.has(Bug::RetiredCounts) {
            self.step_down(now);
        }
    }

    /// True where it founded a child that none of the others has led yet: it holds its roll until then, for nobody else may
    /// have any of it.
    pub(super) fn founded_for_others(&self) -> bool {
        let promise = &self.voter.promise;
        let founded = promise.granted == Some(promise.identity) && promise.term == self.log.committed().term;
        self.lead.is_none() && founded && !self.log.parents().is_empty()
    }

    /// A member that asked for a vote, and changed its mind before it got a place: it is registered as a plain member, so
    /// that nobody will ever give it the roll.
    pub(super) fn step_back(&mut self, now: Time) {
        if self.is_left_out() && !self.wanted.votes() {
            self.step_down(now);
        }
    }

    /// True where the leader knows all that this node says of itself, and its line does without it.
    fn is_left_out(&self) -> bool {
        let lineage = self.voter.promise.lineage;
        let registered = self.follower.registration;
        let known = registered.is_some_and(|r| r.lineage == lineage && r.revision >= self.me.revision);
        let view = self.follower.view.as_ref().filter(|v| v.lineage == lineage);
        known && view.is_some_and(|v| v.line.iter().all(|s| s.id != self.me.id))
    }

    /// Who had to lead though it is on its way off the line resigns once another one can.
    fn yield_lead(&mut self, now: Time) {
        let me = self.voter.identity();
        let others = |s: &Seat| s.identity != me && self.is_level(now, s.identity) && self.may_lead(s);
        if self.is_ready() && self.log.line().voters().any(others) {
            self.resign(now, true);
            self.abstain_until = now + self.config.detection() * 2;
            self.campaign.wait_until(self.abstain_until);
        }
    }

    /// A voter that is off the line becomes a plain member: it keeps its registration and its leader, and gives up its
    /// roll, its connections, and its vote for good.
    fn step_down(&mut self, now: Time) {
        let view = self.view(now);
        self.me.standing = Standing::Member;
        self.requests_of_voter_end();
        self.forget_roll();
        self.peers.shut(&mut self.out);
        self.give_up_vote();
        self.follower.stand(false);
        self.follower.view = view.or(self.follower.view.take());
    }

    /// It never again votes as the voter that it is: not even its store knows that one any more, but for its lineage.
    fn give_up_vote(&mut self) {
        let promise = Promise {
            identity: Identity(self.rng.nonzero()),
            lineage: Lineage::ZERO,
            term: Term::ZERO,
            granted: None,
            sealed: false,
            // That it is there it doesn't forget: whoever knows of a lineage founds none.
            former: self.voter.promise.lineage,
            ..self.voter.promise.clone()
        };
        self.voter.renounce(promise);
        self.out.store_anew();
        self.out.store(Record::Promise(self.voter.record()));
    }

    /// Gives up what a voter holds of a lineage.
    pub(super) fn forget_roll(&mut self) {
        let left = std::mem::replace(&mut self.log, Log::empty());
        // Of a child that was founded and never committed anything nothing was told, but of its parent.
        let before = self.inherited.take().and_then(|(_, told)| told);
        let told = if std::mem::replace(&mut self.told.roll, false) { Some(left) } else { before };
        if told.is_some() {
            self.abandoned = told;
            self.told.anew = false;
        }
        self.relays_of_roll();
        self.told.apart = None;
        self.heard_commit = Index::ZERO;
        self.recovery.reset();
        self.incoming = None;
        self.serving = None;
        self.hosting = super::hosting::Hosting::default();
        self.canvassers = Default::default();
        self.asked.clear();
        self.storing.clear();
        self.durable_index = Index::ZERO;
        self.campaign.idle();
    }

    pub(super) fn member_restood(&mut self, now: Time, slot: Slot, info: MemberInfo) {
        if info.standing.votes() {
            self.peers.note(now, &info, self.voter.promise.lineage, true);
        }
        self.member_updated(now, slot, info);
    }
}
