//! Merging: the node's side of it, at the leader that takes another lineage in, at the one that yields, and at the voters
//! and members that go over.

use super::super::border::CommandError;
use super::super::campaign::Step;
use super::super::config::Policy;
use super::super::merging::{Absorbing, Stage, Yielding, reborn, wins};
use super::super::planted::Bug;
use super::super::roll::Roll;
use super::Node;
use super::following::MAX_IMAGE;
use super::streams::Origin;
use crate::types::{
    ConnId, Incarnation, Index, LeftReason, Lineage, MemberInfo, NodeId, Position, Seat, Slot, Term, Time,
};
use crate::wire::{self, Bequest, BequestReply, Change, Ended, Heartbeat, MAX_PIECE, Merger, Message, Offer};
use bytes::BytesMut;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

impl Node {
    /// True where this side goes on without a majority.
    pub(super) fn is_available(&self) -> bool {
        self.config.policy == Policy::Available
    }

    /// True where this leader may begin a merger.
    fn deals(&self, now: Time) -> bool {
        self.may_deal() && now >= self.merging.deals_from
    }

    fn may_deal(&self) -> bool {
        self.decides() && self.handover.is_none() && !self.is_going() && self.merging.is_idle()
    }

    /// True where it looks for others to become one with.
    pub(super) fn courts(&self) -> bool {
        self.lead.is_some() && (self.is_available() || self.merging.yields_to.is_some())
    }

    pub(super) fn merging_deadline(&self) -> Time {
        let at = self.merging.deadline();
        if !self.courts() {
            return at;
        }
        let foreign = self.may_deal() && self.foreign_peers().next().is_some();
        let offer = if foreign { self.merging.next_offer.max(self.merging.deals_from) } else { Time::NEVER };
        at.min(self.merging.next_seek).min(offer)
    }

    /// Those of other lineages that are connected.
    fn foreign_peers(&self) -> impl Iterator<Item = (&super::super::peers::Peer, crate::types::ConnId)> {
        let ours = self.voter.promise.lineage;
        self.peers.ready().filter(move |(p, _)| p.lineage != Lineage::ZERO && p.lineage != ours)
    }

    pub(super) fn order_yield(&mut self, now: Time, into: Lineage) -> Result<(), CommandError> {
        self.may_decide()?;
        if into == Lineage::ZERO || into == self.voter.promise.lineage {
            return Err(CommandError::NoOther);
        }
        self.merging.yields_to = Some(into);
        self.merging.hurry(now);
        self.merging.next_seek = now;
        Ok(())
    }

    pub(super) fn tick_merging(&mut self, now: Time) {
        while let Some((datagrams, deaf)) = self.merging.farewell(now) {
            self.say_farewell(&datagrams, &deaf);
        }
        if self.voter.followed().is_some() {
            self.merging.yields_to = None;
        }
        if !self.courts() {
            return;
        }
        if now >= self.merging.next_seek {
            let me = self.voter.identity();
            let whole = self
                .log
                .line()
                .seats()
                .iter()
                .all(|s| s.identity == me || self.peers.conn_of(&s.id, s.identity).is_some());
            let pause = self.config.heartbeat() * if whole { 4 } else { 1 };
            self.merging.next_seek = now + pause + self.rng.up_to(pause / 4);
            self.seek(now, 0);
        }
        self.make_offers(now);
    }

    fn candidates(&self) -> u32 {
        self.log.line().voters().filter(|s| !s.witness).count() as u32
    }

    /// Offers to all that may lead another lineage: who doesn't, doesn't answer.
    fn make_offers(&mut self, now: Time) {
        if !self.courts() || !self.deals(now) || self.foreign_peers().next().is_none() || !self.merging.offers(now) {
            return;
        }
        let (all, yields_to) = (self.is_available(), self.merging.yields_to);
        let foreign: Vec<_> = self.foreign_peers().map(|(p, conn)| (p.lineage, conn)).collect();
        for (lineage, conn) in foreign {
            let asks = yields_to == Some(lineage);
            if asks || all {
                self.offer(now, conn, asks);
            }
        }
    }

    fn offer(&mut self, now: Time, conn: crate::types::ConnId, asks: bool) {
        let Some(term) = self.lead.as_ref().map(|l| l.leadership.term) else { return };
        let (candidates, number) = self.merging.stake(now, self.candidates());
        let offer = Offer { lineage: self.voter.promise.lineage, term, candidates, number, asks };
        self.out.send(conn, Message::Offer(offer));
    }

    /// A leader hears the heartbeat of another lineage's: it is called, or asked for.
    pub(super) fn meet(&mut self, now: Time, from: SocketAddr, beat: &Heartbeat) {
        if !self.courts() || !(self.is_available() || self.merging.yields_to == Some(beat.lineage)) {
            return;
        }
        let by_tag = self.log.line().by_tag(beat.leader).map(|s| s.id.clone());
        match self.peers.listening_at(from).or(by_tag) {
            Some(id) if self.peers.get(&id).is_some() => {
                self.peers.heard(now, &id, &mut self.out);
                self.merging.hurry(now);
                self.make_offers(now);
            }
            _ => {
                let soon = now + self.rng.up_to(self.config.heartbeat() / 8);
                self.merging.next_seek = self.merging.next_seek.min(soon);
            }
        }
    }

    /// A connection to somebody of another lineage stands.
    pub(super) fn foreign_up(&mut self, now: Time, id: &NodeId) {
        let Some(peer) = self.peers.get(id) else { return };
        let (lineage, Some(conn)) = (peer.lineage, peer.conn) else { return };
        self.tell_ended(lineage, conn);
        if self.courts() {
            self.merging.hurry(now);
            self.make_offers(now);
        }
    }

    /// Who belongs to a lineage that is part of this one may have missed that it has ended.
    pub(super) fn tell_ended(&mut self, lineage: Lineage, conn: ConnId) {
        if let Some(merger) = self.log.roll().merger_of(lineage).copied() {
            let ended = self.ended_by(&merger, 0, Vec::new());
            self.out.send(conn, Message::Ended(ended));
        }
    }

    /// The voters of those lineages that are connected.
    pub(super) fn tell_all_ended(&mut self) {
        let roll = self.log.roll();
        let ended = self.peers.ready().filter(|(p, _)| roll.merger_of(p.lineage).is_some());
        let others: Vec<_> = ended.map(|(p, conn)| (p.lineage, conn)).collect();
        others.into_iter().for_each(|(lineage, conn)| self.tell_ended(lineage, conn));
    }

    pub(super) fn on_offer(&mut self, now: Time, from: &Origin, offer: Offer) {
        let ours = self.voter.promise.lineage;
        let stranger = offer.lineage == Lineage::ZERO || offer.lineage == ours;
        if stranger || !self.voter.credible(offer.term) || !self.deals(now) {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        if offer.asks {
            if self.merging.yields_to == Some(offer.lineage) && ours < offer.lineage {
                // Both were told to yield.
                self.merging.yields_to = None;
            }
            return self.offer(now, from.conn, false);
        }
        let ordered = self.merging.yields_to == Some(offer.lineage);
        if !(ordered || self.is_available()) {
            return;
        }
        let (mine, _) = self.merging.stake(now, self.candidates());
        let loses = wins((offer.candidates, offer.lineage), (mine, ours));
        if !(ordered || loses) {
            self.merging.hurry(now);
            return self.make_offers(now);
        }
        let Some(term) = self.lead.as_ref().map(|l| l.leadership.term) else { return };
        self.merging.stage = Stage::Yielding(Yielding {
            into: offer.lineage,
            to: (from.id.clone(), from.identity),
            number: offer.number,
            candidates: offer.candidates,
            term,
            position: Position::default(),
            image: None,
            until: now + self.config.detection() * 2,
        });
        self.drive_merging(now);
    }

    /// Does the next step of a merger, where it is due. Called after each input.
    pub(super) fn drive_merging(&mut self, now: Time) {
        match &self.merging.stage {
            Stage::Idle => {}
            Stage::Yielding(y) => {
                let leads = self.lead.as_ref().is_some_and(|l| l.leadership.term == y.term);
                if !leads || now >= y.until || self.peers.conn_of(&y.to.0, y.to.1).is_none() {
                    return self.merging.rest(now);
                }
                let committed = self.log.committed();
                // What is in no datagram yet would never be sent.
                let told = |l: &super::Lead| l.sayings.upto() >= self.log.roll().said().last();
                if y.image.is_none() && committed == self.log.last() && self.lead.as_ref().is_some_and(told) {
                    let image = wire::encode_image(&self.log.image());
                    if let Stage::Yielding(y) = &mut self.merging.stage {
                        (y.position, y.image) = (committed, Some(image));
                    }
                    self.send_bequest(0);
                }
            }
            Stage::Absorbing(a) => {
                let conn = self.peers.conn_of(&a.from.0, a.from.1);
                if now >= a.until || a.done_at.is_none() && conn.is_none() {
                    return self.merging.rest(now);
                }
                if self.lead.is_none() && self.campaign.bidding().is_none() {
                    return self.merging.rest(now);
                }
                self.say_that_it_goes_on(now);
                self.absorb_when_ready(now);
            }
        }
    }

    /// A large roll takes long to be taken in: while that goes on the leader that yields waits.
    fn say_that_it_goes_on(&mut self, now: Time) {
        let (into, commit) = (self.voter.promise.lineage, self.log.commit());
        let Stage::Absorbing(a) = &mut self.merging.stage else { return };
        if now < a.told.1 || a.image.is_none() && a.done_at.is_none() {
            return;
        }
        if a.done_at.is_some() && commit > a.told.0 {
            a.until = now + self.config.detection() * 3;
        }
        a.told = (commit, now + self.config.heartbeat());
        let (lineage, number, offset) = (a.lineage, a.number, a.total);
        if let Some(conn) = self.peers.conn_of(&a.from.0, a.from.1) {
            self.out.send(conn, Message::BequestReply(BequestReply { lineage, into, number, offset, void: false }));
        }
    }

    fn send_bequest(&mut self, offset: u32) {
        let Stage::Yielding(y) = &self.merging.stage else { return };
        let (Some(image), Some(conn)) = (&y.image, self.peers.conn_of(&y.to.0, y.to.1)) else { return };
        let from = (offset as usize).min(image.len());
        let bequest = Bequest {
            lineage: self.voter.promise.lineage,
            into: y.into,
            term: y.term,
            position: y.position,
            number: y.number,
            candidates: y.candidates,
            offset,
            total: image.len() as u32,
            data: image.slice(from..(from + MAX_PIECE).min(image.len())),
        };
        self.out.send(conn, Message::Bequest(bequest));
    }

    pub(super) fn on_bequest_reply(&mut self, now: Time, from: &Origin, reply: BequestReply) {
        let (ours, patience) = (self.voter.promise.lineage, self.config.detection() * 2);
        let Stage::Yielding(y) = &mut self.merging.stage else { return };
        if (reply.lineage, reply.into, reply.number, from.identity) != (ours, y.into, y.number, y.to.1) {
            self.out.stats.dropped_stale += 1;
            return;
        }
        if reply.void {
            return self.merging.rest(now);
        }
        y.until = now + patience;
        if y.image.as_ref().is_some_and(|image| (reply.offset as usize) < image.len()) {
            self.send_bequest(reply.offset);
        }
    }

    /// A piece of the roll of a lineage whose leader accepted this one's offer.
    pub(super) fn on_bequest(&mut self, now: Time, from: &Origin, bequest: &Bequest) {
        let Bequest { lineage, into, term, number, candidates, offset, total, .. } = *bequest;
        let sane = lineage != Lineage::ZERO
            && into == self.voter.promise.lineage
            && lineage != into
            && self.voter.credible(term)
            && total > 0
            && total <= MAX_IMAGE;
        let takes = self.deals(now) && self.merging.holds(now, number, candidates);
        if sane && offset == 0 && takes {
            self.merging.stage = Stage::Absorbing(Box::new(Absorbing {
                lineage,
                from: (from.id.clone(), from.identity),
                term,
                position: bequest.position,
                number,
                total,
                data: BytesMut::new(),
                here: BTreeSet::new(),
                image: None,
                done_at: None,
                told: (Index::ZERO, now),
                until: now,
            }));
        }
        let until = now + self.config.detection() * 2;
        let reply = |offset, void| Message::BequestReply(BequestReply { lineage, into, number, offset, void });
        let Stage::Absorbing(a) = &mut self.merging.stage else {
            return self.out.send(from.conn, reply(0, true));
        };
        let same = (a.lineage, a.from.1, a.number, a.position, a.total)
            == (lineage, from.identity, number, bequest.position, total);
        if !same {
            return self.out.send(from.conn, reply(0, true));
        }
        if a.data.len() != offset as usize || a.image.is_some() {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        a.data.extend_from_slice(&bequest.data);
        a.until = until;
        let have = a.data.len() as u32;
        self.out.send(from.conn, reply(have, false));
        if have == total {
            self.bequeathed(now);
        }
    }

    /// The whole roll is here: this leader bids anew, above both terms, before it takes anybody in.
    fn bequeathed(&mut self, now: Time) {
        let Stage::Absorbing(a) = &mut self.merging.stage else { return };
        let image = wire::decode_image(&std::mem::take(&mut a.data)).ok();
        let image = image.filter(|i| i.lineage == a.lineage && i.position == a.position);
        let (Some(image), Some(mine)) = (image, self.lead.as_ref().map(|l| l.leadership.term)) else {
            self.out.stats.dropped_malformed += 1;
            return self.merging.rest(now);
        };
        let above = mine.max(a.term).max(image.position.term);
        let ours = self.voter.promise.lineage;
        let heard = |id: &NodeId| {
            let slot = self.log.roll().find(id).map(|(slot, ..)| slot);
            let beats = self.lead.as_ref().zip(slot).is_some_and(|(l, slot)| l.detector.hears(now, slot));
            beats || self.peers.get(id).is_some_and(|p| p.conn.is_some() && p.lineage == ours)
        };
        let ids = image.slots.iter().filter_map(|s| s.info.as_ref()).map(|i| &i.id);
        a.here = ids.filter(|id| heard(id)).cloned().collect();
        a.image = Some((Box::new(image), above));
        self.bid_anew(now, above);
        self.drive_merging(now);
    }

    /// Only then is the committed roll all that this leader has decided.
    fn is_free_to_absorb(&self) -> bool {
        self.is_ready() && self.handover.is_none() && self.log.committed() == self.log.last()
    }

    fn absorb_when_ready(&mut self, now: Time) {
        let Stage::Absorbing(a) = &self.merging.stage else { return };
        let Some(term) = self.lead.as_ref().map(|l| l.leadership.term) else { return };
        let (done_at, number) = (a.done_at, a.number);
        match (&a.image, done_at) {
            (_, Some(index)) if self.log.commit() >= index => {
                let conn = self.peers.conn_of(&a.from.0, a.from.1);
                let merger = self.log.roll().merger_of(a.lineage).copied();
                self.merging.rest(now);
                let seats = self.log.line().voters().cloned().collect();
                if let (Some(conn), Some(merger)) = (conn, merger) {
                    let ended = self.ended_by(&merger, number, seats);
                    self.out.send_durably(conn, Message::Ended(ended));
                }
            }
            (Some((image, above)), None) if term > *above && self.is_free_to_absorb() => {
                let (theirs, here, about) = (Roll::from_image(image), a.here.clone(), (a.lineage, a.term, a.position));
                let changes = self.absorption(now, &theirs, &here, about);
                let last = self.log.last().index.0 + changes.len() as u64;
                if let Stage::Absorbing(a) = &mut self.merging.stage {
                    a.done_at = Some(Index(last));
                    a.image = None;
                    a.until = now + self.config.detection() * 3;
                }
                self.propose(now, changes);
            }
            _ => {}
        }
    }

    fn ended_by(&self, merger: &Merger, number: u32, seats: Vec<Seat>) -> Ended {
        Ended {
            lineage: merger.lineage,
            into: self.log.lineage(),
            parents: self.log.parents().to_vec(),
            term: self.lead.as_ref().map_or(self.voter.promise.term, |l| l.leadership.term),
            leader: self.voter.identity().tag(),
            line_version: self.log.roll().line().version(),
            number,
            base: merger.base,
            generation: merger.generation,
            since: merger.since,
            upto: merger.upto,
            seats,
        }
    }

    /// What puts the members of another lineage on this roll, in its new slots; then their names, where nobody here has
    /// them; then that it is done.
    fn absorption(
        &mut self,
        now: Time,
        theirs: &Roll,
        heard: &BTreeSet<NodeId>,
        (lineage, term, upto): (Lineage, Term, Position),
    ) -> Vec<Change> {
        let (into, mut changes) = (self.voter.promise.lineage, Vec::new());
        let old_slots = self.bug.has(Bug::MergeWithoutNewSlots);
        let width = theirs.len() as u32;
        let most = self.config.max_members;
        let Some(lead) = &mut self.lead else { return changes };
        let roll = self.log.roll();
        let block = if old_slots {
            Some((Slot(0), crate::types::Generation(1)))
        } else {
            lead.registrar.block(now, roll, width)
        };
        let (base, generation) = block.unwrap_or_default();
        let (mut taken, mut room) = (BTreeMap::new(), most.saturating_sub(roll.len()));
        for (at, (old, _, info)) in (0u32..).zip(theirs.members()).filter(|_| block.is_some()) {
            let slot = if old_slots { old } else { Slot(base.0 + at) };
            let next = Incarnation(info.incarnation.0.saturating_add(1));
            let here = roll.find(&info.id);
            let newer = here.is_some_and(|(_, _, i)| i.incarnation >= next);
            let departed = roll.departed(&info.id).is_some_and(|gone| gone >= next);
            let asks = lead.registrar.is_pending(&info.id) || heard.contains(&info.id);
            if newer || departed || asks || info.id == self.me.id {
                // It is here already, or another one of its name, or it itself as it will be: it has to ask.
                continue;
            }
            match here {
                Some((old, ..)) => match lead.registrar.leave(roll, old, LeftReason::Replaced) {
                    Some(left) => changes.push(left),
                    None => continue,
                },
                None if room == 0 => continue,
                None => room -= 1,
            }
            let standing = theirs.standing(info);
            let same = !standing.votes() || self.bug.has(Bug::SameVoterAfterMerge);
            let identity = if same { info.identity } else { reborn(info.identity, into) };
            let info = MemberInfo { incarnation: next, identity, standing, revision: 0, ..info.clone() };
            lead.registrar.absorbs(&info.id, next);
            taken.insert(info.id.clone(), slot);
            changes.push(Change::Joined { slot, generation, info });
        }
        for (name, lost) in theirs.names() {
            match roll.owner(name).filter(|(_, owner)| !taken.contains_key(&owner.id) && owner.id != lost.id) {
                Some((_, kept)) => {
                    let (name, kept, lost) = (name.clone(), kept.id.clone(), lost.id.clone());
                    changes.push(Change::Conflict { lineage, name, kept, lost });
                }
                None => {
                    let slot = taken.get(&lost.id).copied();
                    changes.extend(slot.map(|slot| Change::Claimed { slot, generation, name: name.clone() }));
                }
            }
        }
        let count = if block.is_some() { width } else { 0 };
        let since = Position::default();
        changes.push(Change::Absorbed(Merger { lineage, term, base, generation, since, upto, count }));
        changes
    }

    /// A leader bids at once in a new term above this one, by its own blessing.
    pub(super) fn bid_anew(&mut self, now: Time, above: Term) {
        let lineage = self.voter.promise.lineage;
        let Some(term) = self.lead.as_ref().map(|l| l.leadership.term) else { return };
        // Its lease ends for good in the old term; what it does next rests on the grants for the new one.
        let before = self.lead.take();
        self.merging.watch = before.map(|l| (self.log.last(), l.detector));
        self.voter.resigned(now);
        self.leaderless_since = now;
        self.voter.see(above, &mut self.out);
        let mut campaign = self.campaign.clone();
        let promised = self.voter.promise.term.max(above);
        let at = super::super::campaign::Standpoint { promised, ..self.standpoint(now) };
        let step: Option<Step> = campaign.bid(at, lineage, Some(term));
        self.campaign = campaign;
        self.campaign_step(now, step);
    }
}
