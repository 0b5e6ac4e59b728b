//! Handing over: the node's side of it, at the leader, at its successor, and at the other voters.
//!
//! The blessing is a resignation that names the successor. The leader ends its leadership, then tells all voters; each
//! that still follows it in that very term takes this as evidence about that leadership, as it would a resignation, and
//! at once grants the successor the next term, unasked: one message's time later the successor has its majority. That
//! a leadership is over stays true for ever, so it does no harm where the blessing is late, comes twice, or overtakes the
//! successor's bid or is overtaken by it; a voter that follows anybody else by then drops it. Nobody takes the
//! successor's word for it. To abort, the old leader bids for a higher term, like others.

use super::super::border::CommandError;
use super::super::event::{Event, HandoverFailure, HandoverStep, Notice};
use super::super::handover::{Handover, Phase};
use super::super::planted::Bug;
use super::Node;
use super::streams::Origin;
use crate::types::{ConnId, Identity, NodeId, Position, Seat, Time};
use crate::wire::{Bid, Bless, Invite, InviteReply, Message};
use std::time::Duration;

impl Node {
    /// True where this node leads, has committed an entry of its own term, waits for no successor, and is about to become
    /// one with nobody: only then does it decide anything.
    pub(super) fn decides(&self) -> bool {
        let handing = self.handover.as_ref().is_some_and(|h| h.phase != Phase::Asking);
        self.is_ready() && !handing && !self.merging.binds()
    }

    /// True where this seat's voter may be handed the leadership at all.
    fn may_succeed(&self, seat: &Seat) -> bool {
        let retiring = self.lead.as_ref().is_some_and(|l| l.retiring.contains(&seat.id));
        // Who is on its way off the line would only have to hand over again.
        let may = !retiring && self.may_lead(seat);
        seat.voting && may && seat.identity != self.voter.identity()
    }

    /// True where this voter's roll follows this leader's without a gap, and it answers.
    fn is_in_sync(&self, now: Time, seat: &Seat) -> bool {
        self.keeps_up(now, seat.identity) && self.peers.conn_of(&seat.id, seat.identity).is_some()
    }

    /// True where a voter was heard lately, and all that it lacks of what is committed is on its way to it, in one append.
    fn keeps_up(&self, now: Time, voter: Identity) -> bool {
        let Some(lead) = &self.lead else { return false };
        let lately = (self.config.heartbeat() * 2).max(self.config.detection() / 2);
        // Of who isn't in the line yet no acknowledgement is noted.
        let acked = lead.leadership.acked_at(voter);
        let heard = acked.map_or(self.log.line().by_identity(voter).is_none(), |at| now - at < lately);
        let follows = lead.leadership.progress.get(&voter).is_some_and(|p| {
            let moves = p.in_flight.is_none_or(|since| now - since < self.long_round());
            p.snapshot.is_none() && p.matched >= lead.leadership.first && p.next >= self.log.commit() && moves
        });
        heard && follows
    }

    /// True where a voter's roll is level with this leader's. Of one that is slower than a majority that is never so to the
    /// letter while entries come.
    pub(super) fn is_level(&self, now: Time, voter: Identity) -> bool {
        let commit = self.log.commit();
        let progress = self.lead.as_ref().and_then(|l| l.leadership.progress.get(&voter));
        voter == self.voter.identity() || progress.is_some_and(|p| p.matched >= commit) || self.keeps_up(now, voter)
    }

    /// How long a handover waits for an answer: messages, and writes, may be slower than elections are made for.
    fn long_round(&self) -> Duration {
        self.round().max(self.config.detection() / 4)
    }

    /// Begins a handover, to this candidate or to the first of the line that is in sync.
    pub(super) fn hand_over(&mut self, now: Time, to: Option<NodeId>) -> Result<(), CommandError> {
        self.may_decide()?;
        let Some(term) = self.lead.as_ref().map(|l| l.leadership.term) else { return Err(CommandError::NotReady) };
        if self.handover.is_some() || self.is_going() || term.next().is_none() {
            return Err(CommandError::NotReady);
        }
        let line = self.log.line();
        let seat = match to {
            Some(id) if id == self.me.id => return Err(CommandError::LeadsAlready),
            Some(id) => match line.seat(&id).filter(|s| self.may_succeed(s)) {
                None => return Err(CommandError::NotACandidate(id)),
                Some(seat) if !self.is_in_sync(now, seat) => return Err(CommandError::NotInSync(id)),
                Some(seat) => seat,
            },
            None => {
                let mut seats = line.seats().iter();
                let first = seats.find(|s| self.may_succeed(s) && self.is_in_sync(now, s));
                first.ok_or(CommandError::NoSuccessor)?
            }
        };
        let (heir, identity) = (seat.id.clone(), seat.identity);
        let Some(conn) = self.peers.conn_of(&heir, identity) else { return Err(CommandError::NotInSync(heir)) };
        // What it acknowledged may be two heartbeats old. It has to be there now, by the way that the blessing goes.
        self.invitations = self.invitations.wrapping_add(1);
        let round = self.invitations;
        self.out.send(conn, Message::Invite(Invite { lineage: self.voter.promise.lineage, term, round }));
        let until = now + self.long_round();
        self.tell_handover(&heir, HandoverStep::Begun);
        self.handover =
            Some(Handover { heir, identity, term, round, since: now, phase: Phase::Asking, until, patient: false });
        Ok(())
    }

    /// A leader asks whether this node could lead: it has to reach a majority itself.
    pub(super) fn on_invite(&mut self, now: Time, from: &Origin, invite: Invite) {
        let Invite { lineage, term, round } = invite;
        let led = self.voter.followed().is_some_and(|f| f.term == term && f.tag == from.identity.tag());
        let reaches = |s: &Seat| s.identity == self.voter.identity() || self.peers.conn_of(&s.id, s.identity).is_some();
        let able = led
            && lineage == self.voter.promise.lineage
            && self.may_bid()
            && !self.voter.is_quarantined(now)
            && self.log.line().has_majority(reaches);
        self.out.send(from.conn, Message::InviteReply(InviteReply { lineage, term, round, able }));
    }

    /// The successor answers.
    pub(super) fn on_invite_reply(&mut self, from: &Origin, reply: InviteReply) {
        let detection = self.config.detection();
        if let Some(handover) = &mut self.handover
            && handover.phase == Phase::Asking
            && (handover.identity, handover.term, handover.round) == (from.identity, reply.term, reply.round)
            && reply.lineage == self.voter.promise.lineage
        {
            if reply.able {
                handover.phase = Phase::Levelling;
                handover.until = handover.since + detection;
            } else {
                handover.phase = Phase::Declined;
            }
        }
    }

    fn tell_handover(&mut self, heir: &NodeId, step: HandoverStep) {
        self.out.event(Event::Network(Notice::Handover(heir.clone(), step)));
    }

    /// Does the next step of a handover, where it is due.
    pub(super) fn drive_handover(&mut self, now: Time) {
        let Some(handover) = self.handover.clone() else { return };
        match handover.phase {
            Phase::Asking | Phase::Levelling => self.level(now, &handover),
            Phase::Declined => self.end_handover(now, HandoverStep::Aborted(HandoverFailure::Unable)),
            Phase::Blessed => self.await_successor(now, handover),
        }
    }

    fn level(&mut self, now: Time, handover: &Handover) {
        let failed = |failure| HandoverStep::Aborted(failure);
        let Some(lead) = self.lead.as_ref().filter(|l| l.leadership.term == handover.term) else {
            return self.end_handover(now, failed(HandoverFailure::Deposed));
        };
        let seat = self.log.line().by_identity(handover.identity).filter(|s| self.may_succeed(s));
        let Some(conn) = seat.and_then(|s| self.peers.conn_of(&s.id, s.identity)) else {
            return self.end_handover(now, failed(HandoverFailure::Lost));
        };
        let last = self.log.last();
        let settled = self.log.commit() == last.index && self.durable_index >= last.index;
        let level = lead.leadership.progress.get(&handover.identity).is_some_and(|p| p.matched == last.index);
        let answered = handover.phase == Phase::Levelling;
        if answered && settled && level || self.bug.has(Bug::BlessUnlevel) {
            self.bless(now, handover, conn, last);
        } else if now >= handover.until {
            let why = if answered { HandoverFailure::NotLevel } else { HandoverFailure::NoAnswer };
            self.end_handover(now, failed(why));
        }
    }

    /// Ends this leadership for good, and tells all voters who shall have the next one. This node's own voter grants it.
    fn bless(&mut self, now: Time, handover: &Handover, conn: ConnId, last: Position) {
        let (heir, term) = (handover.identity, handover.term);
        let Some(next) = term.next() else { return };
        let (lineage, identity) = (self.voter.promise.lineage, self.voter.identity());
        // Before anybody hears of it: from here on nothing that was acknowledged in this term is a lease.
        let leads_on = self.bug.has(Bug::BlesserLeadsOn);
        if !leads_on {
            self.lead = None;
            self.voter.resigned(now);
            self.leaderless_since = now;
        }
        self.tell_handover(&handover.heir, HandoverStep::Blessed(heir, last));
        let bless = Message::Bless(Bless { lineage, term, identity, heir });
        self.out.send(conn, bless.clone());
        let others: Vec<ConnId> = (self.log.line().voters())
            .filter(|s| s.identity != identity && s.identity != heir)
            .filter_map(|s| self.peers.conn_of(&s.id, s.identity))
            .collect();
        for other in others {
            self.out.send(other, bless.clone());
        }
        // Twice as long as its own try lasts: that has failed by then.
        let until = now + self.long_round() * 2 + self.config.step() / 2;
        self.handover = Some(Handover { phase: Phase::Blessed, until, patient: true, ..handover.clone() });
        if !leads_on {
            let bid = Bid { lineage, term: next, position: last, blessing: Some(term) };
            let reply = self.answer_bid(now, heir, &bid);
            self.out.send_durably(conn, Message::BidReply(reply));
            self.abstain_until = until;
            self.campaign.wait_until(until);
        }
    }

    /// A successor that is gone is waited for no longer than it is protected.
    fn give_successor_up(&mut self, now: Time, handover: &mut Handover) {
        if handover.patient && self.peers.conn_of(&handover.heir, handover.identity).is_none() {
            let spared = self.long_round() * 2 - self.round();
            let until = (handover.until - spared).max(now);
            (handover.until, handover.patient) = (until, false);
            self.handover = Some(handover.clone());
            self.abstain_until = until;
            self.campaign.wait_until(until);
        }
    }

    fn await_successor(&mut self, now: Time, mut handover: Handover) {
        self.give_successor_up(now, &mut handover);
        let led = self.lead.as_ref().map(|l| l.leadership.term).filter(|t| *t > handover.term);
        let followed = self.voter.followed().filter(|f| f.term > handover.term).map(|f| (f.tag, f.term));
        let step = match (followed, led) {
            (Some((tag, term)), _) if tag == handover.identity.tag() => HandoverStep::Done(term),
            (Some((_, term)), _) => HandoverStep::Aborted(HandoverFailure::Overtaken(term)),
            (None, Some(_)) => HandoverStep::Aborted(HandoverFailure::Silent),
            (None, None) if now >= handover.until => HandoverStep::Aborted(HandoverFailure::Silent),
            (None, None) => return,
        };
        self.end_handover(now, step);
    }

    fn end_handover(&mut self, now: Time, step: HandoverStep) {
        let Some(handover) = self.handover.take() else { return };
        self.tell_handover(&handover.heir, step);
        self.preemption.ended(now, matches!(step, HandoverStep::Done(_)));
        if let Some(leaving) = self.leaving {
            return self.depart(now, leaving.until);
        }
        if self.is_ready() {
            // What it said of itself meanwhile it puts on the roll now, and the line goes on.
            self.register_itself(now);
            self.reconcile_line(now);
        }
    }

    /// A leader resigned in favour of this node or of another one.
    pub(super) fn on_bless(&mut self, now: Time, from: &Origin, bless: Bless) {
        let mut over = bless.term;
        let mut meant = bless.lineage == self.voter.promise.lineage
            && bless.identity == from.identity
            && self.voter.followed().is_some_and(|f| {
                let known = f.leader.as_ref().map(|(_, who)| *who == from.identity);
                f.term == bless.term && known.unwrap_or(f.tag == from.identity.tag())
            });
        if self.bug.has(Bug::BlessingOutlivesTerm) {
            (over, meant) = (self.voter.promise.term, self.voter.followed().is_some());
        }
        let next = over.next().filter(|_| meant && self.lead.is_none());
        let Some(next) = next.filter(|_| self.voter.accuse(now, over)) else {
            self.out.stats.dropped_stale += 1;
            return;
        };
        self.follower.unbind(now);
        self.leaderless_since = now;
        let succeeds = if bless.heir == self.voter.identity() {
            self.succeed(now, over)
        } else {
            let bid = Bid { lineage: bless.lineage, term: next, position: self.log.last(), blessing: Some(over) };
            self.grant_heir(now, bless.heir, &bid)
        };
        if !succeeds {
            // It is a resignation all the same.
            self.answer_canvassers(now);
            self.bid_soon(now);
        }
    }

    /// Bids for the next term, which the other voters grant unasked.
    fn succeed(&mut self, now: Time, over: crate::types::Term) -> bool {
        if !self.may_bid() {
            return false;
        }
        let lineage = self.voter.promise.lineage;
        let mut campaign = self.campaign.clone();
        let step = campaign.succeed(self.standpoint(now), lineage, over);
        self.campaign = campaign;
        self.campaign_step(now, step);
        true
    }

    /// Grants the successor what it is about to ask for.
    fn grant_heir(&mut self, now: Time, heir: Identity, bid: &Bid) -> bool {
        let Some(seat) = self.log.line().by_identity(heir).filter(|s| s.voting && !s.witness) else { return false };
        let conn = self.peers.conn_of(&seat.id, heir);
        let reply = self.answer_bid(now, heir, bid);
        if let Some(conn) = conn {
            self.out.send_durably(conn, Message::BidReply(reply));
        }
        reply.granted
    }

    /// Hands over to an earlier candidate that has been in sync for long enough, where that is wanted.
    pub(super) fn consider_preemption(&mut self, now: Time) {
        let Some(lead) = self.lead.as_ref().filter(|_| self.preemption.is_on()) else { return };
        let (me, term) = (self.voter.identity(), lead.leadership.term);
        let able = self.decides() && self.leaving.is_none() && self.log.line().votes(me);
        let mut before = self.log.line().seats().iter().take_while(|s| s.identity != me).filter(|_| able);
        let earliest = before.find(|s| self.may_succeed(s) && self.is_in_sync(now, s));
        let earliest = earliest.map(|s| (s.id.clone(), s.identity));
        if self.preemption.due(now, term, earliest.as_ref().map(|(_, identity)| *identity))
            && let Some((id, _)) = earliest
        {
            // It was looked at just now: nothing keeps it from beginning.
            let _ = self.hand_over(now, Some(id));
        }
    }
}
