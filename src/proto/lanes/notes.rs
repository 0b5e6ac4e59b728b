//! The datagram lane: one datagram for a message, unordered, acknowledged by nobody.
//!
//! Properties: what could be sent nowhere comes back; what was sent to another incarnation, or by one that left, is not
//! handed on; what the embedder doesn't take is bounded, and dropped and counted beyond that.

use super::super::border::Dest;
use super::super::limits;
use super::super::outbox::Outbox;
use super::Lanes;
use crate::types::{Incarnation, NodeId, Time};
use crate::wire::{Datagram, Message, Note, encode_message};
use bytes::{Bytes, BytesMut};

/// Datagrams to one receiver that wait until it is found.
pub(super) const MAX_WAITING: usize = 64;
/// Datagrams that wait for the embedder.
const MAX_ARRIVED: usize = 4_096;

/// A datagram that came in.
#[derive(Debug, Clone)]
pub(super) struct Arrived {
    pub(super) from: NodeId,
    pub(super) incarnation: Incarnation,
    pub(super) body: Bytes,
}

impl Lanes {
    /// Sends what waits for a receiver whose place is known.
    pub(super) fn flush_notes(&mut self, at: usize, out: &mut Outbox) {
        let (lineage, incarnation) = (self.hello.lineage, self.hello.info.incarnation);
        let from = self.hello.info.id.clone();
        let Some(p) = self.get(at) else { return };
        let Some(place) = &p.place else { return };
        if place.outbound {
            return self.notes_by_line(at, out);
        }
        let Some(addr) = place.addrs.first().copied() else { return };
        let to = place.incarnation;
        for body in std::mem::take(&mut p.notes) {
            self.waiting -= limits::cost(body.len());
            out.stats.messages_out += 1;
            let note = Note { lineage, from: from.clone(), incarnation, to, body };
            out.datagram(Dest::Addr(addr), Datagram::Note(note));
        }
        self.make_writable();
    }

    /// Datagrams don't get there: they go over the connection, where there is one, as long as that takes them.
    fn notes_by_line(&mut self, at: usize, out: &mut Outbox) {
        let (lineage, incarnation) = (self.hello.lineage, self.hello.info.incarnation);
        let from = self.hello.info.id.clone();
        let Some(p) = self.partners.get_mut(at).and_then(Option::as_mut) else { return };
        let Some(line) = p.line else { return };
        for body in std::mem::take(&mut p.notes) {
            self.waiting -= limits::cost(body.len());
            let note = Note { lineage, from: from.clone(), incarnation, to: line.incarnation, body };
            let mut buf = BytesMut::new();
            encode_message(&Message::Note(note), out.tag(), &mut buf);
            if p.courier.hold(buf.len()) {
                out.stats.messages_out += 1;
                self.note_frames.push_back((line.conn, buf.freeze()));
            } else {
                out.stats.messages_dropped += 1;
            }
        }
        self.make_writable();
    }

    /// Takes one that came in.
    pub(in crate::proto) fn note_arrived(&mut self, now: Time, note: Note, out: &mut Outbox) {
        self.now = self.now.max(now);
        let partner = self.by_id.get(&note.from).and_then(|at| self.partners.get(*at)?.as_ref());
        let gone = partner.is_some_and(|p| p.is_past(note.incarnation));
        let mine = note.lineage == self.hello.lineage && note.to == self.hello.info.incarnation;
        if gone || !mine || note.from == self.hello.info.id {
            out.stats.dropped_stale += 1;
        } else if self.notes.len() >= MAX_ARRIVED {
            out.stats.messages_dropped += 1;
        } else {
            let Note { from, incarnation, body, .. } = note;
            self.notes.push_back(Arrived { from, incarnation, body });
        }
    }
}
