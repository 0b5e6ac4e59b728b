//! Datagrams, each kind to the machine that it concerns.

use super::super::border::{Dest, Lane};
use super::super::event::{Event, Notice, StopReason};
use super::super::follower::{Expected, Heard, Registration};
use super::super::planted::Bug;
use super::Node;
use crate::types::{ConnId, Incarnation, Lineage, Slot, Time};
use crate::wire::{
    Ack, Announce, Beat, Datagram, DatagramView, Heartbeat, Leave, Message, Overruled, Place, Probe, RefuseReason,
    Refused, Registered, Reject, Resigned, Seek, Stranger,
};
use std::net::SocketAddr;
use std::time::Duration;

/// An incarnation further above one's own than this (in microseconds, 142 years: a wall clock may begin in 1970 at each
/// start) is not believed: the numbers must not be used up.
const MAX_INCARNATION_LEAP: u64 = 1 << 52;
/// So often one that isn't on the roll yet takes the place of another process of its id.
const MAX_OVERTAKING: u8 = 3;

impl Node {
    pub(super) fn datagram(&mut self, now: Time, from: SocketAddr, lane: Lane, bytes: &[u8]) {
        self.out.stats.datagrams_in += 1;
        if self.out.is_moving() {
            // It came from the old address: at the new one nothing was asked yet.
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        let view = match DatagramView::parse(bytes, self.out.tag()) {
            Ok(view) => view,
            Err(reject) => return self.rejected(reject),
        };
        // The three that come all the time take the short way.
        if let Some(beat) = view.as_beat() {
            return self.on_beat(now, from, beat);
        }
        if let Some(ack) = view.as_ack() {
            return self.on_ack(now, ack);
        }
        if let Some(heartbeat) = view.as_heartbeat() {
            return self.on_heartbeat(now, from, lane, &heartbeat);
        }
        if view.is_news() && !self.config.subscribe {
            // Told to all, and meant for a few.
            return;
        }
        let datagram = match view.meaning() {
            Ok(datagram) => datagram,
            Err(reject) => return self.rejected(reject),
        };
        match datagram {
            Datagram::Heartbeat(d) => self.on_heartbeat(now, from, lane, &d),
            Datagram::Beat(d) => self.on_beat(now, from, d),
            Datagram::Ack(d) => self.on_ack(now, d),
            Datagram::Seek(d) => self.on_seek(now, from, lane, &d),
            Datagram::Announce(d) => self.on_announce(now, d),
            Datagram::Join(d) => self.on_join(now, from, d),
            Datagram::Registered(d) => self.on_registered(now, d),
            Datagram::Refused(d) => self.on_refused(now, d),
            Datagram::Probe(d) => self.on_probe(from, d),
            Datagram::ProbeReply(d) => self.on_probe_reply(now, from, d),
            Datagram::Stranger(d) => self.on_stranger(now, from, d),
            Datagram::Leave(d) => self.on_leave(now, from, d),
            Datagram::Gone(d) => self.on_gone(now, d),
            Datagram::Resigned(d) => self.on_resigned_datagram(now, d),
            Datagram::Note(d) => self.on_note(now, d),
            Datagram::WhereIs(d) => self.on_where_is(from, d),
            Datagram::Whereabouts(d) => self.on_whereabouts(now, d),
            Datagram::Claim(d) => self.on_claim(now, from, d),
            Datagram::ClaimReply(d) => self.on_claim_reply(d),
            Datagram::News(d) => self.on_news(now, from, &d),
            Datagram::Missed(d) => self.on_missed(from, d),
            Datagram::Find(d) => self.on_find(now, from, &d),
            Datagram::Found(d) => self.on_found(now, d),
            Datagram::Broadcast(d) => self.on_broadcast(now, from, d),
            Datagram::Unheard(d) => self.on_unheard(from, d),
            Datagram::Absorbed(d) => self.on_absorbed(now, from, d),
        }
    }

    fn rejected(&mut self, reject: Reject) {
        self.out.stats.reject(reject);
        if let Reject::OtherVersion(theirs) = reject
            && !std::mem::replace(&mut self.told.version_mismatch, true)
        {
            self.out.event(Event::Network(Notice::VersionMismatch(crate::wire::VERSION, theirs)));
        }
    }

    fn on_heartbeat(&mut self, now: Time, from: SocketAddr, lane: Lane, beat: &Heartbeat) {
        self.out.stats.heartbeats_in += 1;
        if beat.lineage == Lineage::ZERO {
            self.out.stats.dropped_malformed += 1;
            return;
        }
        if self.peers.shuns(beat.lineage) {
            if lane != Lane::Floor {
                self.out.stats.dropped_other_lineage += 1;
                return;
            }
            self.peers.pardon();
        }
        let ours = self.lineage();
        if ours != Lineage::ZERO && beat.lineage != ours {
            self.out.stats.dropped_other_lineage += 1;
            if !self.follower.hears(now, self.config.detection()) {
                // It may be a child of its own: whoever answers will say.
                self.follower.wonder(now);
            }
            if !self.is_kin(beat.lineage) {
                self.note_foreign(beat.lineage);
            }
            return self.meet(now, from, beat);
        }
        let elsewhere = self.is_available() || beat.lineage != self.told.lineage;
        if ours == Lineage::ZERO && beat.term < self.told.term && elsewhere {
            // It may not go there yet: its question says in which term it was, and the answer what lineage that is.
            self.follower.wonder(now);
            return;
        }
        if let Some(lead) = &self.lead {
            if beat.term <= lead.leadership.term {
                // Its own, come back by multicast, or that of a leadership that is over.
                return self.overrule_older(beat);
            }
            if !self.voter.credible(beat.term) {
                self.out.stats.dropped_term_leap += 1;
                return;
            }
            self.resign(now, false);
        }
        let votes = self.me.standing.votes() && ours != Lineage::ZERO && self.voter.promise.lineage == ours;
        if votes && self.comes_back(now, from, beat) {
            return self.abandon(now);
        }
        if votes && !self.voter_hears(now, from, beat) {
            return;
        }
        let known = self.leader_addr_known(beat, from);
        let seen = if self.me.standing.votes() { self.voter.promise.seen } else { self.told.term };
        match self.follower.heartbeat(now, beat, (from, lane), Expected { known, ours, seen }) {
            Heard::Fresh => {
                self.subscriber.heard(now, beat.commit);
                self.hear_of_said(now, beat.lineage, beat.said);
            }
            Heard::NewLeader => {
                self.subscriber.heard(now, beat.commit);
                self.hear_of_said(now, beat.lineage, beat.said);
                self.leader_is_new(now);
            }
            Heard::Stale => self.out.stats.dropped_stale += 1,
            Heard::Foreign => {
                self.out.stats.dropped_other_lineage += 1;
                self.note_foreign(beat.lineage);
            }
            Heard::Leap => self.out.stats.dropped_term_leap += 1,
        }
        if votes {
            self.heard_commit = self.heard_commit.max(beat.commit);
            match self.voter.followed().map(|f| (f.leader.clone(), f.tag)) {
                Some((Some((leader, _)), _)) => self.peers.heard(now, &leader, &mut self.out),
                // It holds no line yet: whom it heard of when it asked may be forgotten since.
                Some((None, tag)) => {
                    if let Some(info) = self.follower.seat(tag).map(super::members::seat_ref_info) {
                        self.peers.note(now, &info, beat.lineage, false);
                    }
                }
                None => {}
            }
            self.follower.acknowledged();
        }
        self.notice_line_version(now, beat);
    }

    /// The voter's part in a heartbeat: it protects the leader, and acknowledges. False where it doesn't follow it.
    fn voter_hears(&mut self, now: Time, from: SocketAddr, beat: &Heartbeat) -> bool {
        if !self.voter.credible(beat.term) {
            self.out.stats.dropped_term_leap += 1;
            return false;
        }
        if beat.term < self.voter.promise.term {
            self.out.stats.dropped_stale += 1;
            self.overrule_older(beat);
            return false;
        }
        if !self.voter.heard(now, beat, &mut self.out) {
            self.out.stats.dropped_stale += 1;
            return false;
        }
        let identity = self.voter.identity();
        let ack = Ack { lineage: beat.lineage, term: beat.term, number: beat.number, identity };
        self.out.datagram(Dest::Addr(from), Datagram::Ack(ack));
        true
    }

    /// Tells a leader of an older term what this voter has promised: a lost bid must not leave a voter stuck.
    fn overrule_older(&mut self, beat: &Heartbeat) {
        if beat.term >= self.voter.promise.term || beat.lineage != self.voter.promise.lineage {
            return;
        }
        let seat = self.log.line().by_tag(beat.leader).or_else(|| self.log.roll().line().by_tag(beat.leader));
        let conn = seat.and_then(|s| self.peers.conn_of(&s.id, s.identity));
        if let Some(conn) = conn {
            let overruled = Overruled { lineage: beat.lineage, term: self.voter.promise.term };
            self.out.send_durably(conn, Message::Overruled(overruled));
        }
    }

    pub(super) fn leader_addr_known(&self, beat: &Heartbeat, from: SocketAddr) -> bool {
        self.log.line().by_tag(beat.leader).is_some_and(|s| s.addrs.contains(&from))
            || self.follower.seat(beat.leader).is_some_and(|s| s.addr == from)
    }

    fn notice_line_version(&mut self, now: Time, beat: &Heartbeat) {
        let knows = self.follower.view.as_ref().is_some_and(|v| v.line_version as u16 == beat.line_version);
        let by_roll = self.me.standing.votes() && !self.log.is_empty();
        if !knows && !by_roll && self.follower.registration.is_some() {
            self.follower.refresh(now, false);
        }
    }

    fn on_beat(&mut self, now: Time, from: SocketAddr, beat: Beat) {
        let lineage = self.voter.promise.lineage.0 as u32;
        let Some(lead) = self.lead.as_mut().filter(|_| beat.lineage == lineage) else {
            self.out.stats.dropped_unexpected += 1;
            return;
        };
        self.out.stats.beats_in += 1;
        if lead.detector.beat(now, beat.slot, beat.generation, beat.heard) {
            return;
        }
        self.out.stats.dropped_stale += 1;
        if self.is_ready() {
            let stranger = Stranger { slot: beat.slot, generation: beat.generation, lineage };
            self.out.datagram(Dest::Addr(from), Datagram::Stranger(stranger));
        }
    }

    fn on_ack(&mut self, now: Time, ack: Ack) {
        let me = self.voter.identity();
        let Some(lead) = &mut self.lead else { return };
        let stale = self.bug.has(Bug::LeaseFromStaleAck);
        if (ack.lineage != self.voter.promise.lineage || ack.term != lead.leadership.term) && !stale {
            self.out.stats.dropped_stale += 1;
            return;
        }
        let number = if stale { lead.leadership.number } else { ack.number };
        lead.leadership.bug = self.bug;
        if !lead.leadership.acknowledged(now, me, self.log.line(), ack.identity, number) {
            self.out.stats.dropped_stale += 1;
            return;
        }
        // By the roll, and only where that slot is still its own: a seat may outlive its place there, and another one has it.
        let roll = self.log.roll();
        let seat = self.log.line().by_identity(ack.identity).map(|s| s.slot);
        let own = |s: &Slot| roll.get(*s).is_some_and(|(_, info)| info.identity == ack.identity);
        let slot = seat.filter(own).or_else(|| roll.identity(ack.identity).map(|(slot, _)| slot));
        if let Some((slot, (generation, _))) = slot.and_then(|s| Some((s, roll.get(s)?))) {
            lead.detector.alive(now, slot, generation);
        }
    }

    fn on_seek(&mut self, now: Time, from: SocketAddr, lane: Lane, seek: &Seek) {
        if seek.from.id == self.me.id {
            return;
        }
        if self.peers.shuns(seek.lineage) {
            // By the address that it knew: it isn't found here.
            self.out.stats.dropped_other_lineage += 1;
            return;
        }
        if self.voter.credible(seek.term) {
            self.sought = self.sought.max(seek.term);
        }
        self.peers.note(now, &super::members::sender_info(&seek.from), seek.lineage, false);
        self.outgrow(now, lane, seek);
        let foreign = seek.lineage != Lineage::ZERO && seek.lineage != self.lineage();
        let lost = self.lead.is_none() && !self.follower.is_bound(now);
        if foreign && lane == Lane::Unicast && lost && self.follower.hint.is_none() {
            // Asking back is the answer, by turns with a real one: both would be more than what came, and who sent it isn't known.
            if self.follower.asked_back.take() != Some(from) {
                self.follower.hint = Some(from);
                return;
            }
        }
        let rank = self.log.line().rank(&self.me.id);
        let answers = match (&self.lead, rank) {
            (Some(_), _) => self.is_ready(),
            // The leader answers the first; of the others the one of rank r only from attempt r + 1 on. Whoever asks one
            // address by name is answered by it.
            (None, Some(rank)) => lane == Lane::Unicast || usize::from(seek.attempt) > rank,
            // A seed may be a plain member by now: it knows whom it follows.
            (None, None) => lane == Lane::Unicast && !self.me.standing.votes(),
        };
        if answers {
            self.announce(now, from, seek.nonce, self.place_of(seek));
        }
    }

    /// The place on the roll of a seeker that comes from another lineage, where it has one here.
    fn place_of(&self, seek: &Seek) -> Option<Place> {
        let (slot, generation, info) = self.log.roll().find(&seek.from.id)?;
        let known = info.incarnation == seek.from.incarnation && info.identity == seek.from.identity;
        let elsewhere = seek.lineage != Lineage::ZERO && seek.lineage != self.log.lineage();
        (known && elsewhere).then_some(Place { slot, generation, revision: info.revision })
    }

    pub(super) fn announce(&mut self, now: Time, to: SocketAddr, nonce: u64, place: Option<Place>) {
        let Some(view) = self.view(now) else { return };
        let announce = Announce { from: super::members::sender(&self.me), nonce, place, view };
        self.out.datagram(Dest::Addr(to), Datagram::Announce(announce));
    }

    fn on_announce(&mut self, now: Time, announce: Announce) {
        if announce.nonce != self.follower.nonce {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        if self.peers.shuns_family(announce.view.lineage, &announce.view.parents) {
            // It answers a question that was asked after the move.
            self.peers.pardon();
        }
        let info = super::members::sender_info(&announce.from);
        self.peers.note(now, &info, announce.view.lineage, false);
        let (ours, theirs) = (self.lineage(), announce.view.lineage);
        if theirs == Lineage::ZERO {
            return;
        }
        if ours == Lineage::ZERO && self.would_go_back(&announce.view) {
            // Its next question says again in which term it was.
            return self.follower.wonder(now);
        }
        if self.courts_foreign(&announce.view) {
            let leader = announce.view.line.iter().find(|s| Some(s.voter) == announce.view.leader);
            if let Some(seat) = leader {
                self.peers.note(now, &super::members::seat_ref_info(seat), theirs, false);
            }
        }
        let moved = ours != Lineage::ZERO && ours != theirs && self.follow_child(now, &announce.view, announce.place);
        if ours != Lineage::ZERO && ours != theirs && !moved {
            if announce.view.parents.contains(&ours) || self.descends(ours, theirs) {
                // A voter moves with the roll, a member not to a lower term; and nobody goes back to a parent, unless it is
                // left alone.
                if !self.goes_back(now, &announce.view) {
                    return;
                }
            }
            self.note_foreign(theirs);
            if !self.may_abandon(now, &announce.view) {
                return;
            }
            if self.would_go_back(&announce.view) {
                return self.follower.wonder(now);
            }
            self.abandon(now);
        }
        self.lineage_seen = now;
        if announce.view.leader.is_some() {
            // Who knows no leader leaves the question open: another one may.
            self.follower.refreshed();
        }
        self.follower.told(now, &announce.view);
        self.take_view(now, announce.view);
    }

    fn on_registered(&mut self, now: Time, registered: Registered) {
        let Registered { nonce, incarnation, slot, generation, revision, since, view } = registered;
        if nonce != self.follower.nonce || incarnation != self.me.incarnation || view.lineage == Lineage::ZERO {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        let ours = self.lineage();
        if ours != Lineage::ZERO && ours != view.lineage {
            self.out.stats.dropped_other_lineage += 1;
            return;
        }
        if self.is_bound_elsewhere(&view) {
            // It would be free of what it accepted, of which others may hold more than it does.
            self.out.stats.dropped_other_lineage += 1;
            return;
        }
        if self.peers.shuns_family(view.lineage, &view.parents) {
            // It was found at the new address, by a heartbeat of a child.
            self.peers.pardon();
        }
        if self.me.standing.votes() && self.voter.promise.lineage == Lineage::ZERO {
            self.voter.enter(view.lineage, self.voter.promise.seen, None, &mut self.out);
            self.introduce();
        }
        let registration = Registration { lineage: view.lineage, slot, generation, revision, since };
        self.follower.told(now, &view);
        self.take_view(now, view);
        self.follower.registered(now, registration);
    }

    fn on_refused(&mut self, now: Time, refused: Refused) {
        if refused.nonce != self.follower.nonce {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        if self.leaps_to(refused.incarnation) {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        match refused.reason {
            RefuseReason::Superseded if refused.incarnation > self.me.incarnation => {
                self.give_way(now, refused.incarnation);
            }
            RefuseReason::Superseded | RefuseReason::Departed => self.renew_incarnation(now, refused.incarnation),
            _ => {
                let retry = Duration::from_millis(u64::from(refused.retry_ms)).min(Duration::from_secs(60));
                let spread = self.rng.up_to(self.config.heartbeat());
                self.follower.join_again(now + retry.max(self.config.heartbeat() / 4) + spread);
            }
        }
    }

    fn leaps_to(&self, other: Incarnation) -> bool {
        other.0.saturating_sub(self.me.incarnation.0) > MAX_INCARNATION_LEAP
    }

    /// A larger incarnation of its id is known. Who was on the roll since it started is the older of the two, and stops. Who
    /// wasn't started later, by a wall clock that was set back, and takes the other's place: a few times at most, for two
    /// that start at once would do so by turns.
    pub(super) fn give_way(&mut self, now: Time, other: Incarnation) {
        if self.leaps_to(other) {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        if self.follower.was_placed() || self.overtook >= MAX_OVERTAKING {
            return self.stop(StopReason::Superseded(other));
        }
        self.overtook += 1;
        self.renew_incarnation(now, other);
    }

    /// Comes back as a larger incarnation: the old one was taken off the roll while it was alive, or changed its address.
    ///
    /// To others a larger incarnation proves that the smaller one holds no lease any more. So a leader resigns first.
    pub(super) fn renew_incarnation(&mut self, now: Time, than: Incarnation) {
        self.resign(now, true);
        self.me.incarnation = Incarnation(self.me.incarnation.max(than).0.saturating_add(1));
        // A lineage that took this one's members in may have the next incarnation of this one already, as an old roll had it.
        self.me.revision = u32::from(!self.me.standing.votes());
        self.voter.promise.incarnation = self.me.incarnation;
        self.out.store(crate::wire::Record::Promise(self.voter.record()));
        self.follower.unregister(now);
        self.introduce();
    }

    fn on_probe(&mut self, from: SocketAddr, probe: Probe) {
        let mine = self.follower.registration.is_some_and(|r| {
            (r.slot, r.generation, r.lineage.0 as u32) == (probe.slot, probe.generation, probe.lineage)
        });
        // A leader also answers those who ask whether the address that they heard it from is its own.
        let asked_as_leader = self.lead.is_some() && probe.lineage == self.voter.promise.lineage.0 as u32;
        if mine || asked_as_leader {
            self.out.datagram(Dest::Addr(from), Datagram::ProbeReply(probe));
        }
    }

    fn on_probe_reply(&mut self, now: Time, from: SocketAddr, probe: Probe) {
        if self.follower.verify(from, &probe) {
            self.follower.hurry(now);
            return;
        }
        if probe.lineage != self.voter.promise.lineage.0 as u32 {
            return;
        }
        if let Some(lead) = &mut self.lead {
            lead.detector.alive(now, probe.slot, probe.generation);
            return;
        }
        self.report_probed(probe);
    }

    fn on_stranger(&mut self, now: Time, from: SocketAddr, stranger: Stranger) {
        let Some(r) = self.follower.registration else { return };
        let about_me =
            (r.slot, r.generation, r.lineage.0 as u32) == (stranger.slot, stranger.generation, stranger.lineage);
        // A leader doesn't watch itself: a beat of its own from before it led finds no entry, and that may be said when it
        // leads no longer.
        let other = self.follower.bond().is_some_and(|b| b.addr == from && b.leader != self.voter.identity().tag());
        if about_me && self.lead.is_none() && other {
            // Who took this one's lineage in may have it under this incarnation, by an older roll.
            self.me.revision = self.me.revision.saturating_add(1);
            self.follower.disown(now);
        }
    }

    fn on_gone(&mut self, now: Time, gone: Leave) {
        let Some(r) = self.follower.registration else { return };
        let about_me =
            gone.slot == r.slot && gone.generation == r.generation && gone.incarnation == self.me.incarnation;
        if self.leaving.is_some() && about_me {
            self.left(now);
        }
    }

    /// To a plain member a resignation only says that nobody leads for now; voters take it from connections alone.
    fn on_resigned_datagram(&mut self, now: Time, resigned: Resigned) {
        if !self.me.standing.votes()
            && self.follower.bond().is_some_and(|b| b.lineage == resigned.lineage && b.term == resigned.term)
        {
            self.follower.unbind(now);
        }
    }

    pub(super) fn note_foreign(&mut self, theirs: Lineage) {
        // A few only: whoever makes lineages up must not fill the queue of events.
        if theirs != Lineage::ZERO && self.told.foreign.len() < 8 && !self.told.foreign.contains(&theirs) {
            self.told.foreign.push(theirs);
            let ours = self.lineage();
            self.out.event(Event::Network(Notice::ForeignLineage(ours, theirs)));
        }
    }

    /// The connection to the leader that this candidate follows.
    pub(super) fn leader_conn(&self) -> Option<ConnId> {
        let (id, identity) = self.voter.followed()?.leader.clone()?;
        self.peers.conn_of(&id, identity)
    }
}
