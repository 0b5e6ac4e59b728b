//! Following the whole roll as a plain member: what it holds, and when and how it asks for what it lacks.
//!
//! Properties: it holds committed entries only, in the order of their indexes and without a gap, so what it was told is
//! at any time what the committed roll was at one index; it never goes back behind what it was told in a lineage; it
//! asks one at a time, over at most one connection, at a bounded rate, with jitter.
//!
//! Changes come from the leader by multicast. What is missing shows by the commit index in the leader's heartbeat: little
//! is asked for by a datagram, more, and the roll itself at the beginning, over a connection, which is closed once it is
//! level. It asks supporters rather than the leader, a different one each time.

use super::log::{Accepted, Log};
use super::outbox::Outbox;
use super::planted::{Bug, Planted};
use super::rng::Rng;
use super::roll::{Applied, Roll};
use crate::types::{ConnId, Incarnation, Index, Lineage, NodeId, Position, Time};
use crate::wire::{self, Append, Entry, FrameReader, Message, Snapshot, SnapshotReply};
use bytes::BytesMut;
use std::time::Duration;

/// The largest image that is taken.
const MAX_IMAGE: u32 = 512 * 1024 * 1024;
/// Up to so many missing entries are asked for by datagrams.
const FEW: u64 = 64;
/// So often a datagram is tried before a connection is.
const DATAGRAMS: u32 = 2;

/// The connection that it asks over.
#[derive(Debug, Clone)]
struct Link {
    conn: ConnId,
    reader: FrameReader,
    /// A snapshot that comes in.
    incoming: Option<(Position, u32, BytesMut)>,
}

/// How to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// By a datagram with this nonce.
    Datagram(u64),
    /// Over a connection.
    Stream,
}

/// What to tell the embedder.
#[derive(Debug)]
pub(super) enum Told {
    Change(Applied),
    /// A whole roll came in place of this one.
    Replaced(Box<Roll>),
}

#[derive(Debug, Clone)]
pub(super) struct Subscriber {
    log: Log,
    /// What it holds of the lineage that it was in before.
    former: Option<Log>,
    /// It was told this roll of a parent of the lineage that it is in now: told is what the child's says otherwise.
    inherited: Option<Roll>,
    /// Nothing older than this is taken: it was told more before.
    floor: (Lineage, Index),
    /// How far the leader's roll is committed, by its latest heartbeat.
    wanted: Index,
    link: Option<Link>,
    nonce: u64,
    /// When to ask next, or to give up what was asked.
    next: Time,
    tries: u32,
    interval: Duration,
    rng: Rng,
    pub(super) bug: Planted,
}

impl Subscriber {
    pub(super) fn new(interval: Duration, rng: Rng) -> Self {
        Self {
            log: Log::empty(),
            former: None,
            inherited: None,
            floor: (Lineage::ZERO, Index::ZERO),
            wanted: Index::ZERO,
            link: None,
            nonce: 0,
            next: Time::ZERO,
            tries: 0,
            interval,
            rng,
            bug: Planted::default(),
        }
    }

    /// What it holds.
    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    /// Takes nothing that is older than this.
    pub(super) fn hold_above(&mut self, lineage: Lineage, index: Index) {
        self.floor = (lineage, index);
    }

    /// True where this is the lineage that was told of last, and nothing of the one since.
    pub(super) fn comes_back_to(&self, lineage: Lineage) -> bool {
        self.log.is_empty() && self.former.as_ref().is_some_and(|log| log.lineage() == lineage)
    }

    /// It is registered in this lineage: where that isn't the one of before, it goes on with what it holds of it.
    /// `known`: what this node held as a voter, and told. `kin`: true where the lineage was founded out of the one before.
    pub(super) fn enter(&mut self, now: Time, lineage: Lineage, known: Option<Log>, kin: bool) {
        let held = known.map(|log| Log::from_image(&log.image()));
        // Where it was told something else since, that counts.
        let held = held.or_else(|| self.former.take_if(|log| !kin && log.lineage() == lineage));
        let log = std::mem::replace(&mut self.log, held.unwrap_or_else(Log::empty));
        self.inherited = self.inherited.take().filter(|_| kin && self.log.is_empty());
        if !log.is_empty() {
            if kin && self.log.is_empty() {
                self.inherited = Some(log.roll().clone());
            }
            self.former = Some(log);
        }
        self.log.plant(self.bug);
        (self.wanted, self.nonce, self.tries) = (Index::ZERO, 0, 0);
        // A whole site registers at once, and all of them ask.
        self.next = now + self.rng.up_to(self.interval);
    }

    /// True where this incarnation left by the roll that was told last, and no other one is here yet: it may be here again, but
    /// that wasn't told.
    pub(super) fn told_gone(&self, id: &NodeId, incarnation: Incarnation) -> bool {
        let told = self.inherited.as_ref().filter(|_| self.log.is_empty());
        told.is_some_and(|roll| roll.departed(id).is_some_and(|gone| gone >= incarnation))
    }

    /// As a voter of another lineage this node was told this roll.
    pub(super) fn inherit(&mut self, log: Log) {
        if self.log.is_empty() {
            self.inherited = Some(log.roll().clone());
            self.former = Some(log);
        }
    }

    /// Gives up what it holds, to the voter that this node becomes.
    pub(super) fn give_up(&mut self, out: &mut Outbox) -> Option<Log> {
        self.rest(out);
        let log = std::mem::replace(&mut self.log, Log::empty());
        if log.is_empty() {
            // Nothing of this lineage was told yet: what was told of the one before counts.
            return self.inherited.take().and_then(|_| self.former.take());
        }
        Some(log)
    }

    /// Asks nobody any more.
    pub(super) fn rest(&mut self, out: &mut Outbox) {
        if let Some(link) = self.link.take() {
            out.close(link.conn);
        }
        self.nonce = 0;
    }

    pub(super) fn owns(&self, conn: ConnId) -> bool {
        self.link.as_ref().is_some_and(|l| l.conn == conn)
    }

    /// The leader's heartbeat says how far its roll is committed.
    pub(super) fn heard(&mut self, now: Time, commit: Index) {
        let was_level = !self.lacks();
        self.wanted = commit;
        if was_level && self.lacks() && self.is_free() {
            // What comes by multicast may only be late; and all who missed it see so by the same heartbeat.
            self.next = now + self.interval / 16 + self.rng.up_to(self.interval / 4);
        }
    }

    fn lacks(&self) -> bool {
        self.log.is_empty() || self.log.commit() < self.wanted
    }

    fn is_free(&self) -> bool {
        self.link.is_none() && self.nonce == 0
    }

    pub(super) fn deadline(&self) -> Time {
        if self.lacks() || !self.is_free() { self.next } else { Time::NEVER }
    }

    /// How often it asked in vain.
    pub(super) fn tries(&self) -> u32 {
        self.tries
    }

    /// How to ask now, where that is due. What was asked before is given up by then.
    pub(super) fn due(&mut self, now: Time, patience: Duration, out: &mut Outbox) -> Option<Ask> {
        if now < self.deadline() {
            return None;
        }
        if !self.is_free() {
            self.rest(out);
            self.failed(now);
            return None;
        }
        let few = !self.log.is_empty() && self.wanted.0.saturating_sub(self.log.commit().0) <= FEW;
        if few && self.tries < DATAGRAMS {
            self.nonce = self.rng.nonzero();
            self.next = now + self.interval / 4;
            return Some(Ask::Datagram(self.nonce));
        }
        self.next = now + patience;
        Some(Ask::Stream)
    }

    /// A number to choose by.
    pub(super) fn draw(&mut self) -> u64 {
        self.rng.next()
    }

    /// Nobody is known to ask, or what was asked came to nothing: later, elsewhere.
    pub(super) fn failed(&mut self, now: Time) {
        let pause = self.interval / 8 * (1 << self.tries.min(7));
        self.tries = self.tries.saturating_add(1);
        self.next = now + pause + self.rng.up_to(pause);
    }

    pub(super) fn dials(&mut self, conn: ConnId) {
        self.link = Some(Link { conn, reader: FrameReader::default(), incoming: None });
    }

    /// The connection is gone, or never came about.
    pub(super) fn unlinked(&mut self, now: Time) {
        self.link = None;
        self.failed(now);
    }

    /// It is level with whoever answered; it may know already that there is more.
    fn level(&mut self, now: Time) {
        self.tries = 0;
        if self.lacks() {
            self.failed(now);
        }
    }

    /// The next message that came over the connection; nothing where there is none, or where the connection is no good.
    pub(super) fn read(&mut self, bytes: &[u8], out: &mut Outbox) -> Vec<Message> {
        out.stats.stream_bytes_in += bytes.len() as u64;
        let Some(link) = &mut self.link else { return Vec::new() };
        link.reader.push(bytes);
        let mut messages = Vec::new();
        loop {
            match link.reader.next(out.tag()) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return messages,
                Err(reject) => {
                    out.stats.reject(reject);
                    out.stats.streams_cut += 1;
                    messages.push(Message::TurnedAway(wire::TurnedAway { lineage: self.log.lineage() }));
                    return messages;
                }
            }
        }
    }

    /// Takes entries that are committed; false where something is missing before them.
    fn take(&mut self, prev: Position, entries: &[Entry], out: &mut Outbox, told: &mut Vec<Told>) -> bool {
        if self.log.is_empty() {
            return false;
        }
        if self.bug.has(Bug::SkipsGap) && prev.index > self.log.commit() {
            let image = self.log.roll().image(self.log.lineage(), prev);
            self.log = Log::from_image(&image);
        }
        match self.log.accept(prev, entries) {
            Accepted::Matched { upto, .. } => {
                self.log.commit_to(upto, |applied| told.push(Told::Change(applied)));
                self.log.compact();
                true
            }
            Accepted::Gap { .. } => false,
            Accepted::Contradiction => {
                out.stats.dropped_unexpected += 1;
                false
            }
        }
    }

    /// Changes, from the leader to all, or as the answer to what was asked with this nonce. The lineage is this one's.
    pub(super) fn news(&mut self, now: Time, news: &wire::News, out: &mut Outbox, told: &mut Vec<Told>) {
        let before = self.log.commit();
        if news.nonce != 0 {
            if news.nonce != self.nonce {
                out.stats.dropped_unexpected += 1;
                return;
            }
            self.nonce = 0;
        } else if !self.log.is_empty() {
            self.wanted = self.wanted.max(news.commit);
        }
        let fits = self.take(news.prev, &news.entries, out, told);
        if news.nonce == 0 {
            // It doesn't fit, or what belongs to it is too large for a datagram.
            if (!fits || self.lacks()) && self.is_free() && self.tries == 0 {
                let soon = now + self.interval / 32 + self.rng.up_to(self.interval / 8);
                self.next = self.next.min(soon).max(now);
            }
        } else if self.log.commit() > before {
            // There may be more: it is asked for at once, each time something came.
            self.tries = 0;
            self.next = now;
        } else {
            // Whoever answered holds no more, or not what comes next: others may, or can send all of it.
            self.tries = self.tries.max(if news.commit > before { DATAGRAMS } else { 0 });
            self.failed(now);
        }
    }

    /// Entries over the connection: true where there are more.
    pub(super) fn append(
        &mut self,
        now: Time,
        append: &Append,
        patience: Duration,
        out: &mut Outbox,
        told: &mut Vec<Told>,
    ) -> bool {
        let before = self.log.commit();
        let fits = append.fetched
            && append.lineage == self.log.lineage()
            && append.entries.last().is_none_or(|e| e.index <= append.commit)
            && self.take(append.prev, &append.entries, out, told);
        let more = fits && self.log.commit() > before && self.log.commit() < append.commit;
        self.next = now + patience;
        if !more {
            self.rest(out);
            if fits { self.level(now) } else { self.failed(now) }
        }
        more
    }

    /// A piece of the roll's image: what to answer, and whether it was the last one.
    pub(super) fn piece(
        &mut self,
        now: Time,
        lineage: Lineage,
        piece: &Snapshot,
        patience: Duration,
        told: &mut Vec<Told>,
    ) -> Option<Option<SnapshotReply>> {
        let link = self.link.as_mut()?;
        let old = piece.position.index <= self.log.commit() && self.log.lineage() == lineage
            || self.floor.0 == lineage && piece.position.index < self.floor.1;
        if !piece.fetched || piece.lineage != lineage || piece.total == 0 || piece.total > MAX_IMAGE || old {
            return None;
        }
        if piece.offset == 0 {
            link.incoming = Some((piece.position, piece.total, BytesMut::new()));
        }
        let (position, total, data) = link.incoming.as_mut()?;
        if (*position, *total) != (piece.position, piece.total) || data.len() != piece.offset as usize {
            return None;
        }
        data.extend_from_slice(&piece.data);
        self.next = now + patience;
        let offset = data.len() as u32;
        if offset < *total {
            let (term, position) = (piece.term, piece.position);
            return Some(Some(SnapshotReply { lineage, term, position, offset }));
        }
        let (position, _, data) = link.incoming.take()?;
        let image = wire::decode_image(&data).ok().filter(|i| i.lineage == lineage && i.position == position)?;
        let old = std::mem::replace(&mut self.log, Log::from_image(&image));
        self.log.note_condensed();
        self.log.plant(self.bug);
        let told_of = self.inherited.take().unwrap_or_else(|| old.roll().clone());
        told.push(Told::Replaced(Box::new(told_of)));
        Some(None)
    }
}
