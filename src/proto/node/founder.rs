//! Founding: the node's side of it.

use super::super::follower::Registration;
use super::super::founding::{Bound, Known, Step};
use super::super::log::Log;
use super::super::peers::Peer;
use super::super::planted::Bug;
use super::streams::Origin;
use super::{Node, members};
use crate::types::{
    ConnId, Generation, Identity, Index, Line, Lineage, MemberInfo, Position, Seat, Standing, Term, Time,
};
use crate::wire::{Fetch, Image, Message, Promise, Propose, ProposeReply, Record, Release, SlotImage, View};

impl Node {
    fn with_known<R>(&mut self, act: impl FnOnce(&mut super::Founding, &[Known<'_>]) -> R) -> R {
        let mut known = vec![Known { info: &self.me, free: true }];
        known.extend(self.peers.ready().map(|(p, _)| Known { info: &p.info, free: p.lineage == Lineage::ZERO }));
        act(&mut self.founding, &known)
    }

    pub(super) fn tick_founding(&mut self, now: Time) {
        if !self.me.standing.votes() {
            return;
        }
        if self.voter.promise.lineage != Lineage::ZERO || self.is_going() {
            self.offer_roll(now);
            self.ask_for_roll(now);
            self.tick_bound(now);
            return self.leave_stillborn(now);
        }
        self.tick_bound(now);
        if self.follower.is_bound(now) || self.voter.knows_another() {
            // A convention is there, or was and may be: join it.
            self.founding.reset(now);
            return;
        }
        let seen = self.voter.promise.seen.max(self.sought);
        let (me, draw) = (self.me.clone(), self.rng.nonzero());
        let step = self.with_known(|f, known| f.tick(now, &me, seen, known, draw));
        self.founding_step(now, step);
    }

    /// How many candidates are missing for a founding: expected, known.
    pub(super) fn founding_waits(&mut self, now: Time) -> Option<(usize, usize)> {
        self.with_known(|f, known| f.missing(now, known))
    }

    pub(super) fn founding_step(&mut self, now: Time, step: Option<Step>) {
        match step {
            None => {}
            Some(Step::Propose(proposal)) => {
                let conns: Vec<ConnId> =
                    proposal.seats.iter().filter_map(|s| self.peers.conn_of(&s.id, s.identity)).collect();
                for conn in conns {
                    self.out.send(conn, Message::Propose(proposal.clone()));
                }
            }
            Some(Step::Release(lineage, asked)) => {
                let conns: Vec<ConnId> = asked.iter().filter_map(|id| self.peers.get(id)?.conn).collect();
                for conn in conns {
                    self.out.send(conn, Message::Release(Release { lineage }));
                }
            }
            Some(Step::Found { lineage, term, seats }) => self.found(now, lineage, term, seats),
            Some(Step::Remind(lineage, whom)) => {
                let conns = self.peers.ready().filter(|(p, _)| whom.contains(&p.info.identity)).map(|(_, conn)| conn);
                for conn in conns.collect::<Vec<_>>() {
                    let (durable, term) = (self.me.durable, self.voter.promise.seen);
                    let reply = ProposeReply { lineage, round: 0, accepted: true, durable, term };
                    self.out.send_durably(conn, Message::ProposeReply(reply));
                }
            }
        }
    }

    pub(super) fn on_propose(&mut self, now: Time, from: &MemberInfo, conn: ConnId, proposal: &Propose) {
        if self.voter.promise.lineage != Lineage::ZERO || !self.voter.credible(proposal.term) || self.is_going() {
            // Whoever hears of an existing lineage joins: the handshake told this node's.
            return;
        }
        if self.follower.is_bound(now) || self.voter.knows_another() {
            return;
        }
        if !self.me.standing.votes() {
            return;
        }
        let (accepted, step) = self.founding.proposed(now, &self.me, from, proposal);
        let founding_binds = self.founding.is_bound();
        if accepted {
            // Where it binds it is stored, as a promise in that lineage.
            let (lineage, term, proposer) = (proposal.lineage, proposal.term, from.identity);
            let bound = founding_binds.then(|| Bound { lineage, term, proposer, party: proposal.seats.clone() });
            self.voter.accept(bound, &mut self.out);
            self.voter.see(proposal.term, &mut self.out);
        }
        self.founding_step(now, step);
        let reply = ProposeReply {
            lineage: proposal.lineage,
            round: proposal.round,
            accepted,
            durable: self.me.durable,
            term: self.voter.promise.seen,
        };
        self.out.send_durably(conn, Message::ProposeReply(reply));
    }

    /// Nothing is stored of an acceptance that binds no longer.
    pub(super) fn forget_acceptance(&mut self, now: Time) {
        if self.founding.accepted(now).is_none() {
            self.voter.accept(None, &mut self.out);
        }
    }

    pub(super) fn on_propose_reply(&mut self, now: Time, from: &Origin, reply: ProposeReply) {
        self.voter.see(reply.term, &mut self.out);
        let lineage = self.voter.promise.lineage;
        let proposes = self.founding.proposes(reply.lineage);
        if reply.accepted && lineage != reply.lineage && !proposes {
            // The release was lost, or went down with this node's last start; or another one proposed it, who is no more.
            self.disclaim(from, &reply);
        }
        if lineage != Lineage::ZERO {
            return;
        }
        let step = self.founding.answered(now, from.identity, &reply);
        self.founding_step(now, step);
    }

    /// All have accepted: this node leads the new lineage, though nobody is told before its first entry is committed.
    fn found(&mut self, now: Time, lineage: Lineage, term: Term, seats: Vec<Seat>) {
        let seen = self.voter.promise.seen;
        let term = if seen <= term { term } else { seen.next().unwrap_or(term) };
        let mut slots = Vec::new();
        for seat in &seats {
            let info = if seat.identity == self.me.identity { Some(self.me.clone()) } else { None };
            let info = info.or_else(|| self.peers.get(&seat.id).map(|p| p.info.clone()));
            let info = info.unwrap_or_else(|| members::seat_info(seat));
            slots.push(SlotImage { generation: Generation(1), info: Some(info), since: Position::default() });
        }
        let position = Position { term, index: Index(1) };
        let image = Image { lineage, position, line: Line::new(1, seats), slots, ..Image::default() };
        self.install(&image);
        self.told.roll = false;
        let me = self.voter.identity();
        self.voter.enter(lineage, term, Some(me), &mut self.out);
        // Else others would take it for one that belongs nowhere.
        self.introduce();
        self.become_leader(now, term, true);
    }

    /// Replaces the roll by an image, in memory and in the store.
    pub(super) fn install(&mut self, image: &Image) {
        self.log = Log::from_image(image);
        self.log.plant(self.bug);
        self.voter.forget_former();
        self.out.store_anew();
        let promise = Promise { lineage: image.lineage, ..self.voter.promise.clone() };
        self.out.store(Record::Promise(promise));
        if !self.bug.has(Bug::RollNotStored) {
            self.out.store(Record::Image(image.clone()));
        }
        self.storing.clear();
        self.durable_index = Index::ZERO;
        self.note_storing();
        self.requests_of_roll();
        self.relays_of_roll();
    }

    /// Remembers how far the roll will be durable once all that was given to the store so far is.
    pub(super) fn note_storing(&mut self) {
        let (ticket, index) = (self.out.ticket(), self.log.last().index);
        if ticket <= self.out.durable() {
            self.durable_index = index;
        } else {
            match self.storing.back_mut() {
                Some(last) if last.0 == ticket => last.1 = index,
                _ => self.storing.push_back((ticket, index)),
            }
        }
    }

    /// A founding that came to nothing is left, so that another can be: its founder died before anybody got its roll.
    fn leave_stillborn(&mut self, now: Time) {
        let patience = self.config.detection() * 2;
        let none = self.voter.promise.lineage == Lineage::ZERO;
        if none || self.is_going() || self.lead.is_some() || self.voter.followed().is_some() {
            return;
        }
        if self.voter.bound().is_some() {
            // A part of the list founded it, or may have: free, this node could make another part a majority.
            return;
        }
        let hollow = self.log.is_empty()
            // Who is on the roll and has none of it was never seated: whoever could tell it of the roll is gone.
            && now - self.lineage_seen > if self.follower.registration.is_some() { patience * 2 } else { patience }
            && self.follower.attempts() >= 3;
        if hollow && !self.follower.hears(now, patience) {
            self.abandon(now);
        }
    }

    /// True where nobody has led for so long that what this node holds may be what others lack.
    pub(super) fn may_offer(&self, now: Time) -> bool {
        self.lead.is_none()
            && self.voter.followed().is_none()
            && !self.log.is_empty()
            && now >= self.next_offer
            && now - self.leaderless_since > self.config.detection() * 2
    }

    /// Gives the committed roll to a voter of the line that holds nothing of it: where only witnesses have it, nobody could
    /// lead otherwise. What is committed may come from anybody.
    pub(super) fn offer_roll(&mut self, now: Time) {
        if self.may_offer(now) {
            self.give_roll(now);
        }
    }

    /// Gives it to the first of them, a candidate for choice.
    pub(super) fn give_roll(&mut self, now: Time) {
        let roll = self.log.roll();
        // Of a lineage that is part of this one now it is here as another voter. (It may go on there, and take nothing.)
        let taken_in = |p: &Peer| {
            roll.merger_of(p.lineage).is_some()
                && roll.find(&p.info.id).is_some_and(|(_, _, info)| roll.standing(info).votes())
        };
        let hollow = |p: &Peer| {
            let seat = self.log.line().seat(&p.info.id);
            let outside = p.lineage == Lineage::ZERO || self.log.parents().contains(&p.lineage);
            outside && seat.is_some_and(|s| s.voting && s.identity == p.info.identity)
        };
        let hollow = self.peers.ready().filter(|(p, _)| hollow(p) || taken_in(p));
        let first = hollow.min_by_key(|(p, _)| (taken_in(p), p.info.standing != Standing::Candidate));
        let Some((to, lineage, conn)) = first.map(|(p, c)| (p.info.identity, p.lineage, c)) else { return };
        self.next_offer = now + self.config.detection() * 2;
        self.tell_ended(lineage, conn);
        self.offer_to(to, conn);
    }

    /// A voter that holds nothing of its own lineage, which nobody leads, asks those around in turn for what they know to be
    /// committed: they may be witnesses, and can't lead themselves.
    fn ask_for_roll(&mut self, now: Time) {
        let lineage = self.voter.promise.lineage;
        let patience = self.config.detection() * 2;
        if lineage == Lineage::ZERO
            || !self.log.is_empty()
            || self.voter.is_sealed()
            || self.voter.followed().is_some()
            || now < self.next_offer
            || now - self.leaderless_since <= patience
        {
            return;
        }
        self.next_offer = now + patience;
        let others: Vec<_> =
            self.peers.ready().filter(|(p, _)| p.lineage == lineage).map(|(p, c)| (p.info.identity, c)).collect();
        let draw = self.rng.next() as usize;
        if let Some((identity, conn)) = others.get(draw % others.len().max(1)) {
            self.catching_up = Some((*identity, self.log.last()));
            let fetch = Fetch { lineage, term: Term::ZERO, after: Position::default() };
            self.out.send(*conn, Message::Fetch(fetch));
        }
    }

    /// True where this node belongs to a lineage that it may leave for another by itself: a plain member that hears
    /// nothing of its own; a founding of which nothing was ever committed here.
    pub(super) fn may_abandon(&self, now: Time, into: &View) -> bool {
        // Of a founding that came about nobody frees it any more, nor needs to.
        let pending = |lineage| self.has_nothing_of(lineage) && !into.parents.contains(&lineage);
        let bound = self.voter.bound().is_some_and(|b| pending(b.lineage));
        if self.is_stranded(now) && !bound && !self.is_going() && self.me.standing.votes() {
            return !self.follower.hears(now, self.config.detection()) && self.follower.attempts() >= 2;
        }
        if self.voter.bound().is_some()
            || self.lead.is_some()
            || self.is_going()
            || self.follower.hears(now, self.config.detection())
            || self.follower.attempts() < 2
        {
            return false;
        }
        // By what is in the roll, not by what is known to be committed: after a restart that is little.
        !self.me.standing.votes() || self.log.last().index <= Index(2) && !self.voter.is_sealed()
    }

    /// Leaves its lineage. A voter that holds some of its roll does so for good, as another voter. One that holds nothing
    /// of it stays the voter that it is: what it promised there lies below the highest term that it saw (unless it promised
    /// never to act there again).
    pub(super) fn abandon(&mut self, now: Time) {
        self.follower.reset(now);
        if !self.me.standing.votes() {
            return;
        }
        let hollow = self.log.is_empty() && !self.voter.is_sealed();
        self.merging.heir = None;
        self.forget_roll();
        let promise = Promise {
            identity: if hollow { self.voter.identity() } else { Identity(self.rng.nonzero()) },
            lineage: Lineage::ZERO,
            term: Term::ZERO,
            granted: None,
            sealed: false,
            ..self.voter.promise.clone()
        };
        self.me.identity = promise.identity;
        self.voter.renounce(promise);
        self.out.store_anew();
        self.out.store(Record::Promise(self.voter.record()));
        self.founding.reset(now);
        if hollow {
            self.introduce();
        } else {
            self.renew_incarnation(now, self.me.incarnation);
        }
    }

    /// Enters a lineage that a handshaken peer belongs to, where this candidate belongs to none and is not bound to
    /// another founding. True where it belongs to `lineage` now.
    pub(super) fn enter_lineage(&mut self, now: Time, lineage: Lineage) -> bool {
        if self.voter.promise.lineage == lineage {
            return lineage != Lineage::ZERO;
        }
        let bound = self.founding.accepted(now);
        let elsewhere = self.follower.registration.is_some_and(|r: Registration| r.lineage != lineage);
        if self.voter.promise.lineage != Lineage::ZERO || bound.is_some_and(|b| b != lineage) || elsewhere {
            self.out.stats.dropped_other_lineage += 1;
            return false;
        }
        // Whatever it may once have promised in this lineage lies at or below the highest term that it saw.
        self.voter.enter(lineage, self.voter.promise.seen, None, &mut self.out);
        self.lineage_seen = now;
        self.introduce();
        true
    }
}
