//! What goes out, and what has to wait until the store holds what it rests on.
//!
//! Property: nothing that rests on a promise, an entry or a term leaves the node before the record of it is durable.
//! Typed values all the way; bytes are made when the driver takes them.

use super::border::{Dest, Stats, StoreWrite, StreamOutput};
use super::event::{Event, MessageLane};
use crate::types::ConnId;
use crate::wire::{self, Datagram, Message, Record};
use bytes::BytesMut;
use std::collections::VecDeque;

/// Bytes given to the driver in one piece: messages to one peer that follow each other are joined up to this size.
const COALESCE: usize = 64 * 1024;

/// Most messages, or some that follow each other, fit without growing.
const USUAL: usize = 256;

/// So many bytes of broadcasts wait for the embedder; further ones stay where they are kept.
const MAX_SAID: usize = 256 << 10;

/// Messages that wait for the store; more are dropped.
const MAX_WITHHELD: usize = 8_192;

/// A thing that goes on a stream.
#[derive(Debug, Clone)]
enum StreamItem {
    Connect(ConnId, std::net::SocketAddr),
    Send(ConnId, Message),
    Close(ConnId),
}

#[derive(Debug, Clone)]
pub(super) struct Outbox {
    tag: u32,
    datagrams: VecDeque<(Dest, Datagram)>,
    /// The node moves to another address: so many datagrams are still meant for the old one.
    before_move: Option<usize>,
    streams: VecDeque<StreamItem>,
    events: VecDeque<(u64, Event)>,
    /// What the broadcasts among them count.
    said: usize,
    /// There was no room for more of them: there is when half of it is taken.
    full: bool,
    records: Vec<Record>,
    replace: bool,
    /// The number of the last write that was asked for (or will be, where `records` wait) and of the last durable one.
    written: u64,
    durable: u64,
    /// No messages are given before this is durable.
    quiet_until: u64,
    withheld: VecDeque<(u64, ConnId, Message)>,
    has_store: bool,
    /// Set when the store failed: what rests on it never leaves.
    pub(super) store_failed: bool,
    pub(super) stats: Stats,
}

impl Outbox {
    pub(super) fn new(tag: u32, has_store: bool) -> Self {
        Self {
            tag,
            datagrams: VecDeque::new(),
            before_move: None,
            streams: VecDeque::new(),
            events: VecDeque::new(),
            said: 0,
            full: false,
            records: Vec::new(),
            replace: false,
            written: 0,
            durable: 0,
            quiet_until: 0,
            withheld: VecDeque::new(),
            has_store,
            store_failed: false,
            stats: Stats::default(),
        }
    }

    pub(super) fn tag(&self) -> u32 {
        self.tag
    }

    pub(super) fn datagram(&mut self, dest: Dest, datagram: Datagram) {
        self.datagrams.push_back((dest, datagram));
    }

    pub(super) fn connect(&mut self, conn: ConnId, addr: std::net::SocketAddr) {
        self.streams.push_back(StreamItem::Connect(conn, addr));
    }

    pub(super) fn close(&mut self, conn: ConnId) {
        self.withheld.retain(|(_, c, _)| *c != conn);
        self.streams.push_back(StreamItem::Close(conn));
    }

    /// Sends, in the order in which messages for this connection were given.
    pub(super) fn send(&mut self, conn: ConnId, message: Message) {
        match self.withheld.iter().rev().find(|(_, c, _)| *c == conn).map(|(ticket, ..)| *ticket) {
            Some(_) => self.withhold(self.withheld.back().map_or(0, |(last, ..)| *last), conn, message),
            None => self.streams.push_back(StreamItem::Send(conn, message)),
        }
    }

    fn withhold(&mut self, ticket: u64, conn: ConnId, message: Message) {
        if self.withheld.len() < MAX_WITHHELD {
            self.withheld.push_back((ticket, conn, message));
        } else {
            // The store hangs. What is dropped is repeated by the protocol, as after a broken connection.
            self.stats.dropped_unexpected += 1;
        }
    }

    /// Sends when everything that was given to the store so far is durable.
    pub(super) fn send_durably(&mut self, conn: ConnId, message: Message) {
        let ticket = self.ticket();
        if ticket <= self.durable {
            self.send(conn, message);
        } else if !self.store_failed {
            self.withhold(ticket, conn, message);
        }
    }

    /// Events are told in order, each when the term that it names is durable.
    pub(super) fn event(&mut self, event: Event) {
        let ticket = self.ticket();
        self.said += said_cost(&event);
        self.full |= self.said >= MAX_SAID;
        self.events.push_back((ticket, event));
    }

    /// Who is here is told anew, once that is stored: no message comes before it, for it may be of one who was told to have left.
    pub(super) fn messages_wait(&mut self) {
        self.quiet_until = self.ticket();
    }

    /// True where no message is to be given yet.
    pub(super) fn is_quiet(&self) -> bool {
        self.durable < self.quiet_until
    }

    /// True where there is room for another broadcast.
    pub(super) fn has_room(&self) -> bool {
        !self.full
    }

    /// So many broadcasts are missed: those that follow each other are told together.
    pub(super) fn missed(&mut self, more: u64) {
        self.stats.broadcasts_missed += more;
        match self.events.back_mut() {
            Some((_, Event::BroadcastsMissed { count })) => *count += more,
            _ => self.event(Event::BroadcastsMissed { count: more }),
        }
    }

    pub(super) fn store(&mut self, record: Record) {
        if self.has_store && !self.store_failed {
            self.records.push(record);
        }
    }

    /// From here on the store holds nothing but what is stored afterwards.
    pub(super) fn store_anew(&mut self) {
        if self.has_store && !self.store_failed {
            self.records.clear();
            self.replace = true;
        }
    }

    /// The number of the write after which everything stored so far is durable; never reached after a failure.
    pub(super) fn ticket(&self) -> u64 {
        if self.records.is_empty() && !self.replace { self.written } else { self.written + 1 }
    }

    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    pub(super) fn stored(&mut self, seq: u64) {
        if self.store_failed || seq > self.written || seq <= self.durable {
            return;
        }
        self.durable = seq;
        while self.withheld.front().is_some_and(|(ticket, ..)| *ticket <= seq) {
            if let Some((_, conn, message)) = self.withheld.pop_front() {
                self.streams.push_back(StreamItem::Send(conn, message));
            }
        }
    }

    pub(super) fn fail_store(&mut self) {
        self.store_failed = true;
        self.records.clear();
        self.replace = false;
        self.withheld.clear();
        // Events about what isn't durable are never told. What became of what this node gave out rests on no store.
        let durable = self.durable;
        self.events.retain_mut(|(ticket, event)| {
            let told = *ticket <= durable || is_outcome(event);
            *ticket = durable.min(*ticket);
            told
        });
        self.said = self.events.iter().map(|(_, event)| said_cost(event)).sum();
        self.written = durable;
    }

    pub(super) fn poll_store(&mut self) -> Option<StoreWrite> {
        if self.records.is_empty() && !self.replace {
            return None;
        }
        self.written += 1;
        let replace = std::mem::take(&mut self.replace);
        Some(StoreWrite { seq: self.written, replace, records: std::mem::take(&mut self.records) })
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        match self.events.front() {
            Some((ticket, _)) if *ticket <= self.durable => {
                let (_, event) = self.events.pop_front()?;
                self.said -= said_cost(&event);
                self.full &= self.said > MAX_SAID / 2;
                Some(event)
            }
            _ => None,
        }
    }

    #[cfg(feature = "sim")]
    pub(super) fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    /// The next event, where it is no message.
    pub(super) fn poll_notice(&mut self) -> Option<Event> {
        if self.events.front().is_some_and(|(_, event)| said_cost(event) > 0) {
            return None;
        }
        self.poll_event()
    }

    pub(super) fn poll_transmit(&mut self, buf: &mut Vec<u8>) -> Option<Dest> {
        if self.before_move == Some(0) {
            return None;
        }
        let (dest, datagram) = self.datagrams.pop_front()?;
        self.before_move = self.before_move.map(|n| n - 1);
        wire::encode_datagram(&datagram, self.tag, buf);
        self.stats.datagrams_out += 1;
        Some(dest)
    }

    /// What comes from here on is meant for another address.
    pub(super) fn moves(&mut self) {
        self.before_move = Some(self.datagrams.len());
    }

    /// True until the move was taken note of.
    pub(super) fn is_moving(&self) -> bool {
        self.before_move.is_some()
    }

    /// True once, when all is taken that was meant for the old address.
    pub(super) fn poll_move(&mut self) -> bool {
        let due = self.before_move == Some(0);
        if due {
            self.before_move = None;
        }
        due
    }

    pub(super) fn poll_stream(&mut self) -> Option<StreamOutput> {
        Some(match self.streams.pop_front()? {
            StreamItem::Connect(conn, addr) => StreamOutput::Connect(conn, addr),
            StreamItem::Close(conn) => StreamOutput::Close(conn),
            StreamItem::Send(conn, message) => {
                let mut buf = BytesMut::with_capacity(USUAL);
                wire::encode_message(&message, self.tag, &mut buf);
                while buf.len() < COALESCE {
                    match self.streams.front() {
                        Some(StreamItem::Send(c, m)) if *c == conn => {
                            wire::encode_message(m, self.tag, &mut buf);
                            self.streams.pop_front();
                        }
                        _ => break,
                    }
                }
                self.stats.stream_bytes_out += buf.len() as u64;
                StreamOutput::Send(conn, buf.freeze())
            }
        })
    }
}

/// True where it tells what became of something that this node's embedder gave, or that the node stops.
fn is_outcome(event: &Event) -> bool {
    matches!(
        event,
        Event::Undeliverable { .. }
            | Event::BroadcastCommitted { .. }
            | Event::BroadcastFailed { .. }
            | Event::BroadcastsMissed { .. }
            | Event::Answer { .. }
            | Event::Reply { .. }
            | Event::Stopped(_)
    )
}

/// What a broadcast counts; other events count nothing.
fn said_cost(event: &Event) -> usize {
    match event {
        Event::Message { body, lane: MessageLane::Broadcast, .. } => super::broadcasts::cost(body.len()),
        _ => 0,
    }
}
