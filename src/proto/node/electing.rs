//! Elections: the node's side of canvass, bid and grant.

use super::super::broadcasts::Sayings;
use super::super::campaign::{Standpoint, Step, is_better};
use super::super::detector::Detector;
use super::super::leadership::Leadership;
use super::super::names::Claims;
use super::super::planted::Bug;
use super::super::registrar::Registrar;
use super::super::requests::desk::Desk;
use super::hosting::Telling;
use super::streams::Origin;
use super::{Lead, Node};
use crate::types::{ConnId, Identity, Lineage, Position, Standing, Term, Time};
use crate::wire::{Bid, BidReply, Canvass, CanvassReply, Change, Fetch, Message, Overruled};
use std::collections::BTreeSet;
use std::time::Duration;

impl Node {
    pub(super) fn standpoint(&self, now: Time) -> Standpoint<'_> {
        Standpoint {
            now,
            me: self.voter.identity(),
            line: self.log.line(),
            position: self.log.last(),
            committed: self.log.committed(),
            promised: self.voter.promise.term,
            free: self.lead.is_none() && now >= self.voter.free_at(now),
            own_durable: self.bid_ticket <= self.out.durable(),
        }
    }

    /// True where this node may bid at all.
    pub(super) fn may_bid(&self) -> bool {
        self.is_candidate()
            && self.lead.is_none()
            && !self.voter.is_sealed()
            && self.leaving.is_none()
            && self.moving.is_none()
            && self.voter.promise.lineage != Lineage::ZERO
            && !self.log.is_empty()
            && self.log.line().votes(self.voter.identity())
            && !self.out.store_failed
    }

    /// How many steps this node leaves to candidates before it in the line that are there.
    fn rank_delay(&self) -> Duration {
        let me = self.voter.identity();
        let before = self.log.line().seats().iter().take_while(|s| s.identity != me);
        let active = before.filter(|s| s.voting && !s.witness && self.peers.conn_of(&s.id, s.identity).is_some());
        // Who is on its way off the line leads only where nobody else does.
        let late = if self.wanted == Standing::Candidate { Duration::ZERO } else { self.round() * 2 };
        self.config.step() * active.count() as u32 + late
    }

    /// When it is this node's turn to canvass.
    fn turn(&self, now: Time) -> Time {
        now.max(self.voter.free_at(now)).max(self.abstain_until) + self.rank_delay()
    }

    /// Sees to it that a candidate without a leader bids in its turn.
    pub(super) fn schedule_campaign(&mut self, now: Time) {
        if !self.may_bid() || self.voter.followed().is_some() {
            self.campaign.idle();
        } else if self.campaign.is_idle() {
            let at = self.turn(now);
            self.campaign.wait_until(at);
        }
    }

    /// Evidence came: the first active successor canvasses at once.
    pub(super) fn bid_soon(&mut self, now: Time) {
        if self.may_bid() && self.campaign.is_waiting() {
            let at = self.turn(now);
            self.campaign.wait_until(at);
            self.tick_campaign(now);
        }
    }

    pub(super) fn tick_campaign(&mut self, now: Time) {
        if self.voter.silence(now) {
            self.follower.unbind(now);
            self.leaderless_since = now;
            self.answer_canvassers(now);
        }
        self.schedule_campaign(now);
        if now < self.campaign.deadline() {
            return;
        }
        if self.campaign.is_waiting() || self.campaign.repeats() {
            if now < self.voter.free_at(now) {
                let at = self.turn(now);
                return self.campaign.wait_until(at);
            }
            let lineage = self.voter.promise.lineage;
            let mut campaign = self.campaign.clone();
            let step = campaign.canvass(self.standpoint(now), lineage);
            self.campaign = campaign;
            self.campaign_step(now, step);
            self.decide_canvass(now);
        } else {
            let chance = self.bug.chance(self.rng.next());
            self.campaign.fail(now, chance);
        }
    }

    /// One voter alone is a majority of one.
    fn decide_canvass(&mut self, now: Time) {
        let lineage = self.voter.promise.lineage;
        let mut campaign = self.campaign.clone();
        let step = campaign.decide_canvass(self.standpoint(now), lineage);
        self.campaign = campaign;
        self.campaign_step(now, step);
    }

    pub(super) fn decide_bid(&mut self, now: Time) {
        if self.campaign.bidding().is_none() {
            return;
        }
        let lineage = self.voter.promise.lineage;
        let mut campaign = self.campaign.clone();
        let step = campaign.decide(self.standpoint(now), lineage);
        self.campaign = campaign;
        self.campaign_step(now, step);
    }

    pub(super) fn campaign_step(&mut self, now: Time, step: Option<Step>) {
        match step {
            None => {}
            Some(Step::Canvass(canvass)) => {
                self.out.stats.canvasses += 1;
                self.tell_voters(|_| Message::Canvass(canvass));
                self.ask_beyond_line(now, canvass);
            }
            Some(Step::Bid(bid)) => self.bid(now, bid),
            Some(Step::Fetch(from, fetch)) => {
                let id = self.log.line().by_identity(from).map(|s| s.id.clone());
                if let Some(conn) = id.and_then(|id| self.peers.conn_of(&id, from)) {
                    self.out.send(conn, Message::Fetch(fetch));
                }
            }
            Some(Step::Lead(term)) => self.become_leader(now, term, false),
        }
    }

    /// Where nobody has led for long, a canvass goes to those as well who aren't in the line that this node knows: a newer
    /// one, of which they know, may have them. Their word counts for nothing but what it says of their roll.
    fn ask_beyond_line(&mut self, now: Time, canvass: Canvass) {
        if !self.may_offer(now) {
            return;
        }
        let beyond: Vec<ConnId> = (self.peers.ready())
            .filter(|(p, _)| p.lineage == canvass.lineage && !self.log.line().votes(p.info.identity))
            .map(|(_, conn)| conn)
            .collect();
        for conn in beyond {
            self.out.send_durably(conn, Message::Canvass(canvass));
        }
    }

    fn tell_voters(&mut self, message: impl Fn(Identity) -> Message) {
        let me = self.voter.identity();
        let voters: Vec<(Identity, ConnId)> = (self.log.line().voters())
            .filter(|s| s.identity != me)
            .filter_map(|s| Some((s.identity, self.peers.conn_of(&s.id, s.identity)?)))
            .collect();
        for (identity, conn) in voters {
            self.out.send_durably(conn, message(identity));
        }
    }

    /// Promises this node's own vote to itself, then asks the others.
    fn bid(&mut self, now: Time, bid: Bid) {
        self.out.stats.bids += 1;
        let me = self.voter.identity();
        if !self.voter.grant(now, me, &bid, &mut self.out) {
            let chance = self.bug.chance(self.rng.next());
            return self.campaign.fail(now, chance);
        }
        self.bid_ticket = self.out.ticket();
        self.tell_voters(|_| Message::Bid(bid));
        self.decide_bid(now);
    }

    /// What this voter would answer to a canvass now.
    fn opinion(&mut self, now: Time, from: &Origin, canvass: &Canvass) -> CanvassReply {
        let verdict = match &self.lead {
            Some(lead) => Err(lead.leadership.expires_at() - now),
            None => self.voter.would_grant(now, from.identity, canvass.term, None),
        };
        let verdict = verdict.and_then(|()| {
            let mine = (self.log.last(), self.log.line(), &self.me.id);
            let busy = !self.campaign.is_waiting() && self.may_bid();
            if busy && is_better(mine, (canvass.position, canvass.line_version, &from.id)) {
                Err(self.round())
            } else {
                Ok(())
            }
        });
        CanvassReply {
            lineage: canvass.lineage,
            round: canvass.round,
            term: self.voter.promise.term,
            granted: verdict.is_ok(),
            wait_us: verdict.err().map_or(0, |w| w.as_micros() as u64),
            position: self.log.last(),
        }
    }

    pub(super) fn on_canvass(&mut self, now: Time, from: &Origin, canvass: Canvass) {
        if !self.enter_lineage(now, canvass.lineage) {
            return;
        }
        // Of two that bid at once the lesser withdraws for a round.
        let mine = (self.log.last(), self.log.line(), &self.me.id);
        if !self.campaign.is_waiting()
            && !is_better(mine, (canvass.position, canvass.line_version, &from.id))
            && self.campaign.bidding().is_none()
        {
            let pause = self.round() + self.rng.up_to(self.config.step());
            self.campaign.wait_until(now + pause);
        }
        let reply = self.opinion(now, from, &canvass);
        if !reply.granted {
            self.canvassers.refused(now, (&from.id, from.identity), canvass, self.config.detection());
        }
        self.out.send_durably(from.conn, Message::CanvassReply(reply));
    }

    /// This voter got free: who canvassed it in vain is told, instead of asking again after a while.
    pub(super) fn answer_canvassers(&mut self, now: Time) {
        for (id, identity, canvass) in self.canvassers.take() {
            let Some(peer) = self.peers.get(&id).filter(|p| p.info.identity == identity) else { continue };
            let Some(conn) = peer.conn else { continue };
            let incarnation = peer.info.incarnation;
            let origin = Origin { id, identity, incarnation, conn };
            let reply = self.opinion(now, &origin, &canvass);
            self.out.send_durably(conn, Message::CanvassReply(reply));
        }
    }

    pub(super) fn on_canvass_reply(&mut self, now: Time, from: &Origin, reply: CanvassReply) {
        if reply.lineage != self.voter.promise.lineage || !self.voter.credible(reply.term) || self.lead.is_some() {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        if reply.granted && self.campaign.is_waiting() && self.campaign.is_round(reply.round) {
            // It got free after this node had given that canvass up.
            return self.bid_soon(now);
        }
        self.catch_up(now, from, reply.position);
        let mut campaign = self.campaign.clone();
        let step = campaign.opinion(self.standpoint(now), from.identity, &reply);
        self.campaign = campaign;
        self.campaign_step(now, step);
    }

    /// A voter holds a newer roll than this one, and for long nobody could lead: by the older line there may be no majority
    /// any more, and who holds the newer one may be a witness. A roll whose last entry is of a later term holds all that is
    /// committed of an earlier one, so it may be taken from whom it is; nobody counts it as an acknowledgement.
    fn catch_up(&mut self, now: Time, from: &Origin, its: Position) {
        // Who has promised never to act in the lineage again takes nothing of it.
        let acts =
            !self.voter.is_sealed() && self.campaign.bidding().is_none() && !self.bug.has(Bug::RecoverWithoutFetching);
        if acts && self.may_offer(now) && its > self.log.last() {
            self.next_offer = now + self.config.detection() * 2;
            self.catching_up = Some((from.identity, self.log.last()));
            let (lineage, after) = (self.voter.promise.lineage, self.log.committed());
            self.out.send(from.conn, Message::Fetch(Fetch { lineage, term: Term::ZERO, after }));
        }
    }

    pub(super) fn on_bid(&mut self, now: Time, from: &Origin, bid: Bid) {
        if !self.enter_lineage(now, bid.lineage) {
            return;
        }
        if self.lead.as_ref().is_some_and(|l| bid.term > l.leadership.term && !l.leadership.has_lease(now)) {
            // It has no lease to protect any more, and another one asks: let go.
            self.resign(now, true);
        }
        let reply = self.answer_bid(now, from.identity, &bid);
        self.out.send_durably(from.conn, Message::BidReply(reply));
    }

    /// Grants a bid, or doesn't. The answer has to go out durably.
    pub(super) fn answer_bid(&mut self, now: Time, bidder: Identity, bid: &Bid) -> BidReply {
        let granted =
            self.lead.is_none() && !self.out.store_failed && self.voter.grant(now, bidder, bid, &mut self.out);
        if granted {
            self.follower.unbind(now);
            self.incoming = None;
            let pause = self.round() + self.rank_delay() + self.rng.up_to(self.config.step());
            self.campaign.wait_until(now + pause);
        }
        BidReply {
            lineage: bid.lineage,
            term: bid.term,
            granted,
            promised: self.voter.promise.term,
            position: self.log.last(),
        }
    }

    pub(super) fn on_bid_reply(&mut self, now: Time, from: &Origin, reply: BidReply) {
        if reply.lineage != self.voter.promise.lineage || !self.voter.credible(reply.promised) || self.lead.is_some() {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        let mut campaign = self.campaign.clone();
        let step = campaign.answer(self.standpoint(now), from.identity, &reply);
        self.campaign = campaign;
        self.campaign_step(now, step);
    }

    /// A voter promised a higher term than this leader's: the leader bids above it at once, by its own blessing, so that
    /// a bid that was lost leaves no voter stuck.
    pub(super) fn on_overruled(&mut self, now: Time, from: &Origin, overruled: Overruled) {
        let lineage = self.voter.promise.lineage;
        // A newcomer that saw higher terms elsewhere could never follow else, so those on the roll count too.
        let kin = self.peers.get(&from.id).is_some_and(|p| self.log.parents().contains(&p.lineage));
        let ours = kin || self.log.line().votes(from.identity) || self.log.roll().identity(from.identity).is_some();
        if overruled.lineage != lineage || !self.voter.credible(overruled.term) || !ours {
            return;
        }
        self.bid_above(now, overruled.term);
    }

    /// A leader bids at once above a term that was seen elsewhere, by its own blessing.
    pub(super) fn bid_above(&mut self, now: Time, seen: Term) {
        if self.lead.as_ref().is_none_or(|l| seen <= l.leadership.term) {
            return;
        }
        if self.is_going() {
            // It bids for nothing any more.
            return self.resign(now, true);
        }
        self.bid_anew(now, seen);
    }

    /// True where the roll, as far as it reaches, says that this incarnation has left.
    fn is_struck_off(&self) -> bool {
        let me = &self.me;
        let mut place =
            self.log.roll().find(&me.id).filter(|(_, _, i)| i.incarnation == me.incarnation).map(|(s, g, _)| (s, g));
        let mut gone = self.log.roll().departed(&me.id).is_some_and(|i| i >= me.incarnation);
        for entry in self.log.uncommitted() {
            match &entry.change {
                Change::Joined { slot, generation, info } if info.id == me.id && info.incarnation == me.incarnation => {
                    place = Some((*slot, *generation));
                }
                Change::Left { slot, generation, .. } if place == Some((*slot, *generation)) => gone = true,
                _ => {}
            }
        }
        gone
    }

    /// Watches all members of the roll, none of whom it heard yet.
    fn new_detector(&mut self, now: Time) -> Detector {
        let interval = self.config.heartbeat();
        self.merging.deals_from = now + interval + interval / 4;
        let mut detector = Detector::new(now, interval, self.config.detection());
        detector.bug = self.bug;
        for (slot, generation, info) in self.log.roll().members() {
            if info.id != self.me.id {
                detector.add(now, slot, generation, info.hears_multicast());
            }
        }
        detector
    }

    /// Leads from now on: a majority granted this term, and the own roll covers theirs.
    pub(super) fn become_leader(&mut self, now: Time, term: Term, founding: bool) {
        if term != self.voter.promise.term
            || self.voter.promise.granted != Some(self.voter.identity())
            || self.lead.is_some()
        {
            return;
        }
        if self.is_struck_off() {
            // Before it leads: while it does, a larger incarnation would prove it dead.
            self.renew_incarnation(now, self.me.incarnation);
        }
        self.out.stats.leaderships += 1;
        self.voter.lead(now, term);
        self.campaign.idle();
        self.follower.unbind(now);
        self.incoming = None;
        self.serving = None;
        let detection = self.config.detection();
        let detector = match self.merging.watch.take().filter(|(at, _)| *at == self.log.last()) {
            Some((_, detector)) => detector,
            None => self.new_detector(now),
        };
        let followers = self.log.roll().members().filter(|(_, _, i)| i.follows && !i.standing.votes());
        let telling = Telling::new(self.log.commit(), followers.map(|(slot, ..)| slot).collect());
        let first = self.log.last().index.next().unwrap_or_default();
        let mut leadership = Leadership::new(term, now, first, self.config.lease());
        leadership.founding = founding;
        leadership.bug = self.bug;
        let mut registrar = Registrar::new(now, self.log.roll(), detection, self.config.max_members);
        registrar.bug = self.bug;
        self.lead = Some(Lead {
            leadership,
            detector,
            registrar,
            retiring: BTreeSet::new(),
            claims: Claims::default(),
            desk: Desk::default(),
            telling,
            sayings: Sayings::new(self.log.roll().said().last(), self.config.heartbeat()),
        });
        let identity = self.voter.identity();
        self.propose(now, vec![Change::Led { identity }]);
        self.heartbeat(now);
    }
}
