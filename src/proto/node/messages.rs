//! Messages for the embedder: what the machine of the lanes needs of the rest of the node.

use super::super::border::{Dest, SendError, StreamInput};
use super::super::lanes::{Answer, Arrived, Failed, Greeted, Need};
use super::super::log::Log;
use super::Node;
use super::members;
use crate::types::{ConnId, Incarnation, Lineage, MemberInfo, NodeId, Time};
use crate::wire::{Datagram, Hello, Message, Note, RecordKind, WhereIs, Whereabouts};
use bytes::Bytes;
use std::net::SocketAddr;

impl Node {
    /// Sends a message to another node's embedder: in order, at most once, and it is delivered or comes back as
    /// [`super::Event::Undeliverable`], as long as this process lives. `to` need not be reachable yet, nor known.
    ///
    /// # Errors
    /// [`SendError`]; nothing changed then, but that [`super::Event::Writable`] follows a `Full`.
    pub fn send(&mut self, now: Time, to: &NodeId, body: Bytes) -> Result<(), SendError> {
        if self.stopped || self.out.is_moving() {
            return Err(SendError::Stopped);
        }
        self.touch(now);
        self.lanes.send(now, to, body)?;
        self.out.stats.messages_out += 1;
        self.find_ways(now);
        Ok(())
    }

    /// Sends a message of at most [`crate::wire::MAX_NOTE`] bytes as one datagram: it may be lost, come twice, or
    /// overtake others. It comes back only where nobody was found to send it to.
    ///
    /// # Errors
    /// [`SendError`]; nothing changed then.
    pub fn send_datagram(&mut self, now: Time, to: &NodeId, body: Bytes) -> Result<(), SendError> {
        if self.stopped || self.out.is_moving() {
            return Err(SendError::Stopped);
        }
        self.touch(now);
        self.lanes.send_note(now, to, body)?;
        self.find_ways(now);
        Ok(())
    }

    /// The short way of an input that concerns messages alone, and comes for each of them: what has ended ends all the same.
    pub(super) fn touch(&mut self, now: Time) {
        if self.lead.as_ref().is_some_and(|l| l.leadership.expired(now)) && self.begin(now) {
            self.settle(now);
        }
    }

    /// Finds ways to those for whom something waits.
    pub(super) fn find_ways(&mut self, now: Time) {
        while let Some(need) = self.lanes.next_need(now, &mut self.out) {
            let answer = self.way_to(now, &need);
            self.answer_need(now, &need, answer);
        }
    }

    fn answer_need(&mut self, now: Time, need: &Need, answer: Answer) {
        if let Some((addr, question)) = self.lanes.answer(now, need, answer, &mut self.out) {
            self.out.datagram(Dest::Addr(addr), Datagram::WhereIs(question));
        }
    }

    fn way_to(&mut self, now: Time, need: &Need) -> Answer {
        if !self.me.standing.votes() || self.log.is_empty() {
            return self.way_by_others(need);
        }
        if let Some((conn, info)) = self.peers.get(&need.id).and_then(|p| Some((p.conn?, &p.info))) {
            if self.is_gone(&need.id, info.incarnation) {
                return Answer::Wait;
            }
            return Answer::Lent(conn, info.incarnation, info.addrs.clone());
        }
        let roll = self.log.roll();
        let Some((_, _, info)) = roll.find(&need.id) else {
            return if self.is_ready() { Answer::Nobody } else { Answer::Wait };
        };
        let paired = roll.standing(info).votes();
        let (incarnation, addrs, info) = (info.incarnation, info.addrs.clone(), info.clone());
        if info.outbound && !paired {
            return self.way_by_keeper(&need.id, incarnation, addrs);
        }
        if paired {
            self.peers.note(now, &info, self.voter.promise.lineage, true);
        }
        Answer::At { incarnation, addrs, paired }
    }

    /// Who holds no roll knows the line, and asks the leader or another candidate for the rest.
    fn way_by_others(&self, need: &Need) -> Answer {
        let attempts = usize::from(need.attempts);
        let line = self.follower.view.as_ref().map_or(&[][..], |view| &view.line);
        if self.lineage() == Lineage::ZERO || self.me.standing.votes() {
            return Answer::Wait;
        }
        if let Some(seat) = line.iter().find(|s| s.id == need.id).filter(|_| attempts.is_multiple_of(2)) {
            return Answer::At { incarnation: seat.incarnation, addrs: vec![seat.addr], paired: false };
        }
        // The question is larger than a heartbeat: an address that nothing but one vouches for isn't asked.
        let leader = self.follower.bond().filter(|bond| bond.is_verified() && attempts.is_multiple_of(2));
        let leader = leader.map(|bond| bond.addr);
        let other = || (!line.is_empty()).then(|| line[attempts % line.len()].addr);
        leader.or_else(other).map_or(Answer::Wait, Answer::Ask)
    }

    pub(super) fn on_where_is(&mut self, from: SocketAddr, question: WhereIs) {
        let WhereIs { nonce, lineage, id } = question;
        if lineage != self.lineage() || !self.me.standing.votes() || self.log.is_empty() {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        let found = self.log.roll().find(&id).map(|(_, _, info)| members::sender(info));
        let leads = self.is_ready();
        if found.is_some() || leads {
            let answer = Whereabouts { nonce, lineage, id, found, leads };
            self.out.datagram(Dest::Addr(from), Datagram::Whereabouts(answer));
        }
    }

    pub(super) fn on_whereabouts(&mut self, now: Time, answer: Whereabouts) {
        let asked = if answer.lineage == self.lineage() { self.lanes.is_asked(&answer.id, answer.nonce) } else { None };
        let Some(need) = asked else {
            self.out.stats.dropped_unexpected += 1;
            return;
        };
        let way = match answer.found {
            Some(found) if found.outbound => self.way_by_keeper(&need.id, found.incarnation, found.addrs),
            Some(found) => {
                let paired = found.standing.votes() && self.me.standing.votes();
                Answer::At { incarnation: found.incarnation, addrs: found.addrs, paired }
            }
            None if answer.leads => Answer::Nobody,
            None => Answer::Wait,
        };
        self.answer_need(now, &need, way);
    }

    pub(super) fn on_note(&mut self, now: Time, note: Note) {
        if self.is_gone(&note.from, note.incarnation) {
            self.out.stats.dropped_stale += 1;
        } else {
            self.lanes.note_arrived(now, note, &mut self.out);
        }
    }

    /// True where the roll says that this incarnation is not there any more, or the one that this node held and told.
    pub(super) fn is_gone(&self, id: &NodeId, incarnation: Incarnation) -> bool {
        let ours = |log: &&Log| log.lineage() == self.lineage();
        let before = self.abandoned.as_ref().filter(ours);
        let followed = Some(self.subscriber.log()).filter(ours);
        [Some(&self.log), before, followed].into_iter().flatten().map(Log::roll).any(|roll| {
            roll.departed(id).is_some_and(|gone| gone >= incarnation)
                || roll.find(id).is_some_and(|(_, _, info)| info.incarnation > incarnation)
        })
    }

    /// Somebody shook hands: nothing is heard of an incarnation that was told to have left.
    pub(super) fn greeted(&mut self, now: Time, greeted: Vec<Greeted>) {
        for (id, incarnation) in greeted {
            if self.is_gone(&id, incarnation) {
                self.lanes.bar(now, &id, incarnation, &mut self.out);
            } else {
                self.way_is_there(now, &id);
            }
        }
    }

    /// A candidate's connection led to a plain member.
    pub(super) fn plain_connection(&mut self, now: Time, conn: ConnId, hello: Hello, reader: crate::wire::FrameReader) {
        let mut greeted = Vec::new();
        self.lanes.adopt(now, conn, hello, reader, &mut self.out, &mut greeted);
        self.after_greeting(now, conn, greeted);
    }

    /// What happened to a connection for messages alone. Who shook hands is looked up before more of it is heard.
    pub(super) fn lanes_stream(&mut self, now: Time, conn: ConnId, input: StreamInput<'_>) {
        let mut greeted = Vec::new();
        self.lanes.handle(now, conn, input, &mut self.out, &mut greeted);
        self.after_greeting(now, conn, greeted);
    }

    fn after_greeting(&mut self, now: Time, conn: ConnId, mut greeted: Vec<Greeted>) {
        while !greeted.is_empty() || self.lanes.tells() {
            self.greeted(now, std::mem::take(&mut greeted));
            self.settle(now);
            if self.stopped {
                return;
            }
            self.lanes.frames(now, conn, &mut self.out, &mut greeted);
            self.lanes.read_on(now, &mut self.out, &mut greeted);
        }
    }

    /// A frame about messages, over a connection between candidates.
    pub(super) fn lane_message(&mut self, now: Time, from: &MemberInfo, conn: ConnId, message: Message) {
        if matches!(message, Message::Open(_)) && self.is_gone(&from.id, from.incarnation) {
            self.lanes.bar(now, &from.id, from.incarnation, &mut self.out);
        }
        self.lanes.lent(now, (&from.id, from.incarnation, conn), message, &mut self.out);
        if self.lanes.has_unread() {
            self.settle(now);
            let mut greeted = Vec::new();
            self.lanes.read_on(now, &mut self.out, &mut greeted);
            self.after_greeting(now, conn, greeted);
        }
    }

    /// A candidate's connection stands, or stands no more.
    pub(super) fn candidate_conn(&mut self, now: Time, id: &NodeId) {
        let conn = self.peers.get(id).and_then(|p| Some((p.conn?, p.info.incarnation)));
        self.lanes.candidate(now, id, conn, &mut self.out);
    }

    /// What came over the lanes, and what won't get there, that isn't for the embedder.
    fn take_records(&mut self, now: Time) {
        let mut broadcasts = Vec::new();
        loop {
            if let Some(arrived) = self.lanes.poll_record() {
                match arrived.record.kind {
                    RecordKind::Broadcast => broadcasts.push(arrived),
                    _ => self.on_record(now, arrived),
                }
            } else if let Some(failed) = self.lanes.poll_failed() {
                self.on_failed(now, failed);
            } else {
                break;
            }
        }
        if !broadcasts.is_empty() {
            self.on_broadcast_records(now, broadcasts);
        }
    }

    fn on_record(&mut self, now: Time, arrived: Arrived) {
        match arrived.record.kind {
            RecordKind::Request => self.on_request(now, &arrived),
            RecordKind::Answer => self.on_answer(now, &arrived),
            RecordKind::Ask => self.on_ask(now, &arrived),
            // A later version's, or none of those that are for this node.
            _ => self.out.stats.dropped_unknown_kind += 1,
        }
    }

    fn on_failed(&mut self, now: Time, failed: Failed) {
        match failed.record.kind {
            RecordKind::Broadcast => self.on_broadcast_failed(now, &failed),
            RecordKind::Request => self.request_failed(now, &failed),
            RecordKind::Answer => self.answer_failed(now, &failed),
            RecordKind::Ask => self.on_ask_failed(now, &failed),
            _ => self.out.stats.messages_dropped += 1,
        }
    }

    /// What connections are told of this node is what it is.
    pub(super) fn lanes_settle(&mut self, now: Time) {
        self.take_calls(now);
        self.take_records(now);
        self.tick_requests(now);
        let lineage = self.lineage();
        if self.lanes.differs(&self.me, lineage) {
            let hello = Hello { lineage, ..self.hello() };
            let anew = self.is_among_strangers();
            self.lanes.introduce(now, hello, anew, &mut self.out);
        }
        self.find_ways(now);
    }
}
