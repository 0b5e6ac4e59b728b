//! What goes out: control frames first, then messages and what goes by circuits, in turn; and what senders hear of how far
//! their messages were taken.

use super::super::border::StreamOutput;
use super::super::outbox::Outbox;
use super::circuits::is_circuit;
use super::partner::Phase;
use super::{ACK_DELAY, Lanes};
use crate::types::{ConnId, Time};
use crate::wire::Message;
use bytes::Bytes;

impl Lanes {
    /// The next order about streams.
    pub(in crate::proto) fn poll_stream(&mut self, out: &mut Outbox) -> Option<StreamOutput> {
        self.tell_news(false, out);
        loop {
            self.say_as_relay(out);
            match out.poll_stream() {
                Some(StreamOutput::Send(conn, bytes)) if is_circuit(conn) => self.say_on_circuit(conn, bytes, out),
                Some(StreamOutput::Close(conn)) if is_circuit(conn) => self.hang_up(conn, out),
                Some(order) => return Some(order),
                None => {
                    let (conn, bytes) = self.poll_bulk(out)?;
                    if is_circuit(conn) {
                        self.bulk_on_circuit(conn, bytes);
                    } else {
                        out.stats.stream_bytes_out += bytes.len() as u64;
                        return Some(StreamOutput::Bulk(conn, bytes));
                    }
                }
            }
        }
    }

    /// What the relay has to say. It is said before a connection is closed for what came behind.
    pub(in crate::proto) fn say_as_relay(&mut self, out: &mut Outbox) {
        while let Some((conn, order)) = self.relay.poll_order() {
            out.send(conn, order);
        }
    }

    /// What goes behind control frames: the node's own messages, and what goes by circuits, in turn.
    fn poll_bulk(&mut self, out: &mut Outbox) -> Option<(ConnId, Bytes)> {
        self.pieces_first = !self.pieces_first;
        if self.pieces_first {
            self.next_piece(out).or_else(|| self.next_frame(out))
        } else {
            self.next_frame(out).or_else(|| self.next_piece(out))
        }
    }

    /// The next frame of this node's own messages.
    fn next_frame(&mut self, out: &mut Outbox) -> Option<(ConnId, Bytes)> {
        if let Some(note) = self.note_frames.pop_front() {
            return Some(note);
        }
        while let Some(at) = self.sendable.pop_front() {
            let Some(p) = self.partners.get_mut(at).and_then(Option::as_mut) else { continue };
            let line = p.line.filter(|_| p.phase == Phase::Flowing && p.courier.can_send());
            let Some(line) = line else {
                p.listed = false;
                continue;
            };
            let bytes = p.courier.frame(out.tag());
            p.used = self.now;
            self.sendable.push_back(at);
            return Some((line.conn, bytes));
        }
        None
    }

    pub(super) fn list(&mut self, at: usize) {
        if let Some(p) = self.get(at)
            && p.phase == Phase::Flowing
            && !p.listed
        {
            p.listed = true;
            self.sendable.push_back(at);
        }
    }

    /// Tells senders how far their messages were taken.
    pub(super) fn tell_news(&mut self, all: bool, out: &mut Outbox) {
        // Asked before each order: only what came of somebody changes what is to be told.
        if !std::mem::take(&mut self.fresh) && !all || self.owing.is_empty() {
            return;
        }
        let pool = &mut self.pool;
        let mut released = false;
        let mut starving = Vec::new();
        let partners = &mut self.partners;
        self.owing.retain(|at| {
            let Some(p) = partners.get_mut(*at).and_then(Option::as_mut) else { return false };
            released = true;
            if p.intake.top_up(pool) && !p.starving {
                p.starving = true;
                starving.push(*at);
            }
            if let (Some(line), Some(taken)) = (p.line, p.intake.news(all)) {
                out.send(line.conn, Message::Taken(taken));
            }
            p.owes = p.intake.has_news();
            p.owes
        });
        self.starving.extend(starving);
        if self.owing.is_empty() {
            self.news_at = Time::NEVER;
        } else if all {
            self.news_at = self.now + ACK_DELAY;
        }
        if released {
            self.feed_starving();
        }
    }

    /// Those that lack credit get some, where there is memory again.
    pub(super) fn feed_starving(&mut self) {
        for _ in 0..self.starving.len() {
            let Some(at) = self.starving.pop_front() else { return };
            let pool = &mut self.pool;
            let Some(p) = self.partners.get_mut(at).and_then(Option::as_mut) else { continue };
            p.starving = p.intake.top_up(pool);
            let (starving, news) = (p.starving, p.intake.has_news() && !p.owes);
            if news {
                p.owes = true;
                self.fresh = true;
                self.owing.push(at);
                self.news_at = self.news_at.min(self.now);
            }
            if starving {
                self.starving.push_back(at);
                return;
            }
        }
    }
}
