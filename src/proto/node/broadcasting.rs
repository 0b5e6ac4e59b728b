//! Broadcasts, on their way between a sender, the leader, the roll and all members.

use super::super::border::{Dest, SendError};
use super::super::broadcasts::{Heard, Home, Say, Taking};
use super::super::event::{Event, MessageLane, Undelivered};
use super::super::lanes::{Arrived, Failed, Record};
use super::super::planted::Bug;
use super::super::roll::Roll;
use super::Node;
use crate::types::{Generation, Index, Lineage, NodeId, Position, Slot, Term, Time};
use crate::wire::{
    Broadcast, BroadcastRecord, Change, Datagram, RecordKind, Said, Unheard, decode_broadcast_record,
    encode_broadcast_record,
};
use bytes::Bytes;
use std::net::SocketAddr;

/// So many who are deaf to multicast are told by unicast; others ask.
const MAX_DEAF: usize = 256;

impl Node {
    /// Tells all members of the convention something, this node included: each that is on the roll when it is committed is
    /// given it once, in one order for all. Told afterwards is [`Event::BroadcastCommitted`] with the number that is returned
    /// here, or [`Event::BroadcastFailed`], however long that takes: it is handed to whoever leads until it is confirmed.
    ///
    /// # Errors
    /// [`SendError`]; nothing changed then, but that [`Event::BroadcastWritable`] follows a `Full`.
    pub fn broadcast(&mut self, now: Time, body: Bytes) -> Result<u64, SendError> {
        // One that begins anew has its new numbers already: each that is refused would be counted by the embedder alone.
        if self.stopped {
            return Err(SendError::Stopped);
        }
        let number = self.speaker.accept(body, self.config.messages.broadcast())?;
        self.out.stats.broadcasts_out += 1;
        if self.begin(now) {
            self.settle(now);
        }
        Ok(number)
    }

    // ---- The sender ----

    /// To whom this node hands its broadcasts.
    fn hears_broadcasts(&self) -> Option<(NodeId, Lineage, Term)> {
        let lineage = self.lineage();
        if let Some(lead) = &self.lead {
            return Some((self.me.id.clone(), lineage, lead.leadership.term));
        }
        self.follower.registration.filter(|r| r.lineage == lineage)?;
        let (leader, term) = (self.told.leader.clone()?, self.told.term);
        (leader != self.me.id).then_some((leader, lineage, term))
    }

    /// Called after each input, before anything is told: what is due to be handed to the leader, and what a leader has to
    /// answer.
    pub(super) fn settle_broadcasts(&mut self, now: Time) {
        if self.spoke_as != self.me.incarnation {
            self.spoke_as = self.me.incarnation;
            for (number, body) in self.speaker.renewed() {
                self.broadcast_failed(number, body, Undelivered::Renewed, true);
            }
        }
        if !self.speaker.is_idle()
            && let Some(to) = self.hears_broadcasts()
        {
            let mut taken = Vec::new();
            while let Some(say) = self.speaker.due(now, &to) {
                if to.0 == self.me.id {
                    self.take_own(now, say, &mut taken);
                } else if !self.hand_to(now, &to.0, say) {
                    break;
                }
            }
            self.propose_said(now, taken);
        }
        self.answer_speakers(now);
        if self.speaker.has_room_again() {
            self.out.event(Event::BroadcastWritable);
        }
    }

    /// False where there is no room for it.
    fn hand_to(&mut self, now: Time, to: &NodeId, say: Say) -> bool {
        let Say { number, before, body } = say;
        let record = BroadcastRecord::Say { incarnation: self.me.incarnation, number, before, body };
        let record = Record { kind: RecordKind::Broadcast, body: encode_broadcast_record(&record) };
        let sent = self.lanes.send_record(now, to, record).is_ok();
        if !sent {
            self.speaker.blocked(now);
        }
        sent
    }

    fn take_own(&mut self, now: Time, say: Say, taken: &mut Vec<Change>) {
        let place = self.log.roll().find(&self.me.id).filter(|(_, _, i)| i.incarnation == self.me.incarnation);
        let place = place.map(|(slot, generation, _)| (slot, generation));
        let number = say.number;
        match place.map(|place| self.take_said(now, place, (number, say.before), say.body, taken)) {
            Some(Taking::Committed) => self.broadcasts_confirmed(now, number),
            Some(Taking::Refuse) | None => self.speaker.blocked(now),
            Some(Taking::Take | Taking::Known) => {}
        }
    }

    fn broadcast_failed(&mut self, number: u64, body: Bytes, reason: Undelivered, uncertain: bool) {
        self.out.event(Event::BroadcastFailed { number, body, reason, uncertain });
    }

    fn broadcasts_confirmed(&mut self, now: Time, number: u64) {
        for number in self.speaker.confirmed(now, number) {
            self.out.event(Event::BroadcastCommitted { number });
        }
    }

    /// The node stops, or begins anew: what isn't confirmed comes back.
    pub(super) fn return_broadcasts(&mut self) {
        for (number, body, uncertain) in self.speaker.stop() {
            self.broadcast_failed(number, body, Undelivered::Stopped, uncertain);
        }
    }

    // ---- The leader ----

    /// Whether a leader takes a broadcast of the member in this place now; then it is added to what is proposed.
    fn take_said(
        &mut self,
        now: Time,
        (slot, generation): (Slot, Generation),
        (number, before): (u64, u64),
        body: Bytes,
        taken: &mut Vec<Change>,
    ) -> Taking {
        let committed = self.log.roll().said().number(slot);
        let decides = self.decides();
        let next = Index(self.log.last().index.0 + 1 + taken.len() as u64);
        let forgetful = self.bug.has(Bug::ForgetSaid);
        let Some(lead) = self.lead.as_mut().filter(|_| decides) else { return Taking::Refuse };
        let known = if forgetful { 0 } else { committed };
        let taking = lead.sayings.take(now, (slot, generation), (number, before), known, body.len());
        if taking == Taking::Take {
            lead.sayings.took(next, body.len());
            taken.push(Change::Said { slot, generation, number, body });
        }
        taking
    }

    fn propose_said(&mut self, now: Time, taken: Vec<Change>) {
        if !taken.is_empty() {
            self.propose(now, taken);
        }
    }

    /// All that came by the lanes at once: many are one batch of entries.
    pub(super) fn on_broadcast_records(&mut self, now: Time, arrived: Vec<Arrived>) {
        let mut taken = Vec::new();
        for Arrived { from, incarnation, record } in arrived {
            match decode_broadcast_record(&record.body) {
                Ok(BroadcastRecord::Say { incarnation: of, number, before, body }) if of == incarnation => {
                    let known = self.log.roll().find(&from).filter(|(_, _, info)| info.incarnation == of);
                    let place = known.map(|(slot, generation, _)| (slot, generation));
                    let taking = place.map(|place| self.take_said(now, place, (number, before), body, &mut taken));
                    self.answer_say(now, (&from, incarnation), number, taking.unwrap_or(Taking::Refuse));
                }
                Ok(BroadcastRecord::Heard { incarnation: of, number, refused }) if of == self.me.incarnation => {
                    self.broadcasts_confirmed(now, number);
                    if refused > 0 {
                        self.speaker.refused(now, refused);
                    }
                }
                Ok(_) => self.out.stats.dropped_stale += 1,
                Err(reject) => self.out.stats.reject(reject),
            }
        }
        self.propose_said(now, taken);
    }

    fn answer_say(&mut self, now: Time, of: (&NodeId, crate::types::Incarnation), number: u64, taking: Taking) {
        let (from, incarnation) = of;
        match (&mut self.lead, taking) {
            (_, Taking::Take | Taking::Known) => {}
            (Some(lead), Taking::Committed) => lead.sayings.committed(from, incarnation, number),
            (Some(lead), Taking::Refuse) => lead.sayings.refused(from, incarnation, number),
            // Not the leader, or no longer.
            (None, _) => {
                self.tell_speaker(now, from, BroadcastRecord::Heard { incarnation, number: 0, refused: number })
            }
        }
    }

    fn tell_speaker(&mut self, now: Time, to: &NodeId, record: BroadcastRecord) {
        let record = Record { kind: RecordKind::Broadcast, body: encode_broadcast_record(&record) };
        // Where there is no room for it the sender asks again.
        let _ = self.lanes.send_record(now, to, record);
    }

    fn answer_speakers(&mut self, now: Time) {
        while let Some(owed) = self.lead.as_mut().and_then(|l| l.sayings.poll_owed()) {
            if owed.to == self.me.id {
                // Those of an earlier incarnation have numbers of their own.
                if owed.incarnation == self.me.incarnation {
                    self.broadcasts_confirmed(now, owed.number);
                }
            } else {
                let (incarnation, number, refused) = (owed.incarnation, owed.number, owed.refused);
                self.tell_speaker(now, &owed.to, BroadcastRecord::Heard { incarnation, number, refused });
            }
        }
    }

    pub(super) fn on_broadcast_failed(&mut self, now: Time, failed: &Failed) {
        let gone = matches!(failed.reason, Undelivered::Left | Undelivered::Replaced | Undelivered::NoSuchMember);
        match (decode_broadcast_record(&failed.record.body), &mut self.lead) {
            (Ok(BroadcastRecord::Say { incarnation, number, .. }), _) if incarnation == self.me.incarnation => {
                self.speaker.refused(now, number);
                if failed.reason == Undelivered::TooLarge
                    && let Some(body) = self.speaker.give_up(number)
                {
                    // This leader doesn't take it; an earlier one may have.
                    self.broadcast_failed(number, body, Undelivered::TooLarge, true);
                }
            }
            (Ok(BroadcastRecord::Heard { incarnation, number, refused }), Some(lead)) if !gone => {
                // It waits for this.
                lead.sayings.committed(&failed.to, incarnation, number);
                if refused > 0 {
                    lead.sayings.refused(&failed.to, incarnation, refused);
                }
            }
            _ => {}
        }
    }

    /// A broadcast is committed: `prev` is the place before it.
    pub(super) fn said_committed(&mut self, prev: Position, said: &Said) {
        if let Some(lead) = &mut self.lead {
            lead.sayings.committed(&said.from, said.incarnation, said.number);
        }
        self.hear_at_once(prev, said);
    }

    /// Sends what is committed and didn't go out yet, in bounded bursts.
    pub(super) fn send_said(&mut self, now: Time) {
        if !self.is_ready() {
            return;
        }
        let early = self.bug.has(Bug::BroadcastBeforeCommit).then(|| self.said_uncommitted());
        let kept = early.as_ref().unwrap_or(self.log.roll()).said();
        let (lineage, newest, deaf) = (self.log.lineage(), kept.last(), self.deaf_to_broadcasts(kept.last()));
        let Some(lead) = &mut self.lead else { return };
        let term = lead.leadership.term;
        while lead.sayings.upto() < newest {
            let Some((after, offset)) = lead.sayings.next(now) else { return };
            let Some(pieces) = kept.pieces(after, offset) else { return };
            lead.sayings.went_out(pieces.next);
            let frame = Broadcast { nonce: 0, lineage, term, prev: pieces.prev, newest, said: pieces.said };
            for addr in &deaf {
                self.out.stats.said_unicast += 1;
                self.out.datagram(Dest::Addr(*addr), Datagram::Broadcast(frame.clone()));
            }
            if self.config.multicast {
                self.out.stats.said_multicast += 1;
                self.out.datagram(Dest::Floor, Datagram::Broadcast(frame));
            }
        }
        lead.sayings.all_out(self.log.commit());
    }

    /// The planted way: what isn't committed goes out as well.
    fn said_uncommitted(&self) -> Roll {
        let mut roll = self.log.roll().clone();
        self.log.uncommitted().for_each(|entry| drop(roll.apply(entry)));
        roll
    }

    /// Members that are told by unicast, where anything is to be told: those that hold the roll have it from there.
    fn deaf_to_broadcasts(&self, newest: Position) -> Vec<SocketAddr> {
        let Some(lead) = self.lead.as_ref().filter(|l| l.sayings.upto() < newest) else { return Vec::new() };
        let listens = |slot: Slot| {
            let (_, info) = self.log.roll().get(slot)?;
            let seated = self.log.line().seat(&info.id).is_some();
            info.addrs.first().copied().filter(|_| !seated)
        };
        lead.detector.deaf_for_sure().filter_map(listens).take(MAX_DEAF).collect()
    }

    pub(super) fn on_unheard(&mut self, from: SocketAddr, question: Unheard) {
        let Unheard { nonce, lineage, after, slot, generation, offset } = question;
        let known = self.log.roll().get(slot).is_some_and(|(g, _)| g == generation);
        if self.log.is_empty() || !self.told.roll || lineage != self.log.lineage() || !known || nonce == 0 {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        let kept = self.log.roll().said();
        let (prev, said) = kept.pieces(after, offset).map_or((after, Vec::new()), |p| (p.prev, p.said));
        let term = self.lead.as_ref().map_or(self.voter.promise.term, |l| l.leadership.term);
        // A question from further on than this roll reaches gets nothing, and asks another.
        let newest = kept.last().max(prev);
        let frame = Broadcast { nonce, lineage, term, prev, newest, said };
        self.out.stats.said_unicast += 1;
        self.out.datagram(Dest::Addr(from), Datagram::Broadcast(frame));
    }

    // ---- The member ----

    /// Where this node is on the roll by its registration.
    fn home(&self) -> Option<(Home, Position)> {
        let r = self.follower.registration.filter(|r| r.lineage == self.lineage() && r.lineage != Lineage::ZERO)?;
        Some(((r.lineage, r.slot, r.generation, self.me.incarnation), r.since))
    }

    /// Begins to listen where this node is registered; false where it isn't.
    fn listens(&mut self) -> bool {
        let Some((home, since)) = self.home() else { return false };
        let before = self.listener.home().map(|((lineage, ..), _)| lineage);
        let kin = before.is_some_and(|before| before != home.0 && self.descends(home.0, before));
        self.settle_down();
        if let Some(missed) = self.listener.enter(home, since, kin) {
            self.tell_heard(missed);
        }
        true
    }

    /// True where this node has broadcasts from the roll that it holds.
    fn hears_by_roll(&self) -> bool {
        let log = self.held();
        !log.is_empty() && log.lineage() == self.lineage() && (!self.me.standing.votes() || self.told.roll)
    }

    fn tell_heard(&mut self, heard: Heard) {
        match heard {
            Heard::Said { from, incarnation, .. }
                if (self.is_gone(&from, incarnation) || self.subscriber.told_gone(&from, incarnation))
                    && !self.bug.has(Bug::SaidAfterLeft) =>
            {
                self.out.missed(1);
            }
            heard => self.hand_on(heard),
        }
    }

    fn hand_on(&mut self, heard: Heard) {
        match heard {
            Heard::Missed(count) => self.out.missed(count),
            Heard::Said { from, incarnation, body } => {
                self.out.stats.broadcasts_in += 1;
                self.out.event(Event::Message { from, incarnation, body, lane: MessageLane::Broadcast });
            }
        }
    }

    /// One from the roll, as it is applied: in its order among all that is told of the roll. Where there is no room, or
    /// others before it wait, it is got from the roll later.
    pub(super) fn hear_at_once(&mut self, prev: Position, said: &Said) {
        let late = self.bug.has(Bug::SaidAfterLeft);
        if !late && self.listens() && self.hears_by_roll() && self.listener.at() >= prev && self.out.has_room() {
            for heard in self.listener.whole(prev, said).into_iter().flatten() {
                self.hand_on(heard);
            }
        }
    }

    /// A roll came in place of the one that was told: what it keeps and wasn't heard comes before what it changed.
    pub(super) fn hear_before(&mut self, old: &Roll) {
        if !self.listens() || !self.hears_by_roll() {
            return;
        }
        let gone = |said: &Said| {
            old.departed(&said.from).is_some_and(|gone| gone >= said.incarnation)
                || old.find(&said.from).is_some_and(|(_, _, info)| info.incarnation > said.incarnation)
        };
        while self.out.has_room() {
            let next = self.held().roll().said().after(self.listener.at());
            let Some((prev, said)) = next.map(|(prev, said)| (prev, said.clone())) else { return };
            for heard in self.listener.whole(prev, &said).into_iter().flatten() {
                if matches!(heard, Heard::Said { .. }) && gone(&said) {
                    self.out.missed(1)
                } else {
                    self.hand_on(heard)
                }
            }
        }
    }

    /// Hands on what is due, as far as there is room, and asks for what is missing.
    pub(super) fn listen(&mut self, now: Time) {
        self.waits_for_room = false;
        if !self.listens() {
            return;
        }
        let by_roll = self.hears_by_roll();
        loop {
            if !self.out.has_room() {
                self.waits_for_room = true;
                return;
            }
            if by_roll {
                let next = self.held().roll().said().after(self.listener.at());
                let Some((prev, said)) = next.map(|(prev, said)| (prev, said.clone())) else { break };
                for heard in self.listener.whole(prev, &said).into_iter().flatten() {
                    self.tell_heard(heard);
                }
            } else {
                let Some(heard) = self.listener.next() else { break };
                heard.into_iter().for_each(|heard| self.tell_heard(heard));
            }
        }
        if !by_roll && !self.is_going() {
            self.ask_for_said(now);
        }
    }

    fn ask_for_said(&mut self, now: Time) {
        let room = self.out.has_room();
        let Some((nonce, after, offset)) = self.listener.due(now, room) else { return };
        let (tries, draw) = (self.listener.tries(), self.listener.draw());
        let addr = self.supporter(tries, draw);
        let (Some(addr), Some(r)) = (addr, self.follower.registration) else {
            return self.listener.failed(now);
        };
        self.out.stats.repairs += 1;
        let question = Unheard { nonce, lineage: r.lineage, after, slot: r.slot, generation: r.generation, offset };
        self.out.datagram(Dest::Addr(addr), Datagram::Unheard(question));
    }

    /// When a member asks, or a leader goes on sending.
    pub(super) fn broadcasts_deadline(&self) -> Time {
        let said = self.log.roll().said().last();
        let lead = self.lead.as_ref().filter(|_| self.is_ready());
        let sends = lead.map_or(Time::NEVER, |l| l.sayings.deadline(said));
        let asks = !self.hears_by_roll() && !self.is_going() && self.home().is_some();
        let asks = if asks { self.listener.deadline(self.out.has_room()) } else { Time::NEVER };
        let speaks = if self.hears_broadcasts().is_some() { self.speaker.deadline() } else { Time::NEVER };
        sends.min(asks).min(speaks)
    }

    pub(super) fn on_broadcast(&mut self, now: Time, from: SocketAddr, frame: Broadcast) {
        if self.hears_by_roll() {
            return;
        }
        let bond = self.follower.bond();
        let by_leader =
            |b: &super::super::follower::Bond| b.lineage == frame.lineage && b.term == frame.term && b.addr == from;
        let asked =
            self.listener.is_answer(frame.nonce) || frame.nonce == 0 && bond.as_ref().is_some_and(|b| by_leader(b));
        let ours = frame.lineage == self.lineage() && frame.lineage != Lineage::ZERO;
        if !asked || !ours || !self.listens() {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        let room = self.out.has_room();
        if let Some(missed) = self.listener.take(now, frame, room) {
            self.tell_heard(missed);
        }
    }

    /// The leader's heartbeat says how far broadcasts went out.
    pub(super) fn hear_of_said(&mut self, now: Time, lineage: Lineage, said: Position) {
        if self.home().is_some_and(|((home, ..), _)| home == lineage) && self.listens() && !self.hears_by_roll() {
            self.listener.heard(now, said);
        }
    }

    // ---- Looks ----

    /// The committed broadcasts behind a place, as far as this node holds the roll: for checkers.
    #[cfg(feature = "sim")]
    pub(crate) fn broadcasts_after(&self, place: Position) -> impl Iterator<Item = &Said> {
        let shown = self.hears_by_roll().then(|| self.held().roll().said());
        // One that commits its own departure from the line gives its roll up with it.
        let lineage = self.lineage();
        let left = self.abandoned.as_ref().filter(|log| log.lineage() == lineage).map(|log| log.roll().said());
        shown.into_iter().chain(left).flat_map(move |kept| kept.iter_after(place))
    }

    /// Where it listens to broadcasts, since which place, and how far it has come: for checkers.
    #[cfg(feature = "sim")]
    pub(crate) fn listening(&self) -> Option<(Home, Position, Position)> {
        let (home, since) = self.listener.home()?;
        Some((home, since, self.listener.at()))
    }
}
