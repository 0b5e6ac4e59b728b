//! The sending half of a pair: what was accepted for one receiver, until it is acknowledged or comes back.
//!
//! Properties: each message has a number, larger than that of each before it, that no other ever has; on a connection they
//! go out in order, none that the receiver said it has; what was begun and not acknowledged is told apart from what never
//! left; no more leaves than the receiver gave credit for, and no more waits in the driver than [`HOLD`].

use super::super::limits::cost;
use crate::types::Incarnation;
use crate::wire::{DataWriter, RECORD_COST, RecordKind};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// The most bytes of one frame's records: what a control frame waits behind at most where the driver waits for the kernel.
const CHUNK: usize = 32 << 10;
/// The most bytes of messages that the driver holds for a connection.
const HOLD: usize = 128 << 10;
/// The head of a record.
const LENGTH: usize = 4;
/// What is needed to begin a record.
pub(super) const BEGIN: usize = RECORD_COST + LENGTH;

/// What goes from one node to another, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::proto) struct Record {
    pub(in crate::proto) kind: RecordKind,
    pub(in crate::proto) body: Bytes,
}

#[derive(Debug, Clone)]
pub(super) struct Courier {
    /// What isn't acknowledged, by consecutive numbers; nothing where it came back meanwhile.
    queue: VecDeque<Option<Record>>,
    /// The number of the first.
    base: u64,
    /// What goes out next: how many of the queue are out, and how much of the next record.
    out: usize,
    offset: usize,
    /// All up to this number were begun, for the present receiver.
    begun: u64,
    /// The receiver said that it has all up to this number.
    confirmed: u64,
    bytes: usize,
    /// The incarnation that they are for; nothing where it isn't known yet.
    pub(super) bound: Option<Incarnation>,
    credit: u64,
    spent: u64,
    held: usize,
    /// The embedder was told that it is full.
    pub(super) refused: bool,
}

impl Courier {
    pub(super) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            base: 1,
            out: 0,
            offset: 0,
            begun: 0,
            confirmed: 0,
            bytes: 0,
            bound: None,
            credit: 0,
            spent: 0,
            held: 0,
            refused: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The number of the first that is neither acknowledged nor came back.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// What it all counts.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, record: Record) {
        self.bytes += cost(record.body.len());
        self.queue.push_back(Some(record));
    }

    /// A bug on purpose: what goes out next is not what was accepted next.
    pub(super) fn shuffle(&mut self) {
        if self.out + 1 < self.queue.len() {
            self.queue.swap(self.out, self.out + 1);
        }
    }

    /// There is no connection any more, or another one.
    pub(super) fn detach(&mut self) {
        (self.credit, self.spent, self.held) = (0, 0, 0);
    }

    /// The receiver says how far it is. What comes back: it has forgotten how far it was.
    pub(super) fn resume(&mut self, have: u64, credit: u64) -> Vec<Record> {
        // Nobody has what wasn't sent.
        let have = have.min(self.begun);
        let lost = if have < self.confirmed { self.take_begun() } else { Vec::new() };
        self.confirmed = have;
        self.out = usize::try_from((have + 1).saturating_sub(self.base)).unwrap_or(usize::MAX).min(self.queue.len());
        self.offset = 0;
        (self.credit, self.spent, self.held) = (credit, 0, 0);
        lost
    }

    /// All up to this number were taken.
    pub(super) fn taken(&mut self, number: u64, credit: u64) {
        self.credit = self.credit.max(credit);
        // Nobody takes what wasn't sent.
        let number = number.min(self.base + self.out as u64 - 1);
        self.confirmed = self.confirmed.max(number);
        while self.base <= number {
            self.pop();
        }
    }

    /// Takes the first away.
    fn pop(&mut self) -> Option<Record> {
        let record = self.queue.pop_front()?;
        self.base += 1;
        if self.out == 0 {
            self.offset = 0;
        }
        self.out = self.out.saturating_sub(1);
        self.bytes -= record.as_ref().map_or(0, |r| cost(r.body.len()));
        record
    }

    /// The receiver doesn't take this one: it comes back.
    pub(super) fn declined(&mut self, number: u64) -> Option<Record> {
        let at = usize::try_from(number.checked_sub(self.base)?).ok()?;
        let record = self.queue.get_mut(at).filter(|_| number <= self.begun)?.take()?;
        self.bytes -= cost(record.body.len());
        if at == self.out {
            (self.out, self.offset) = (at + 1, 0);
        }
        Some(record)
    }

    /// What was begun and not acknowledged comes back; the rest stays.
    pub(super) fn take_begun(&mut self) -> Vec<Record> {
        let mut back = Vec::new();
        while self.base <= self.begun && !self.queue.is_empty() {
            back.extend(self.pop());
        }
        (self.out, self.offset) = (0, 0);
        back
    }

    /// Everything comes back, each with whether it was begun.
    pub(super) fn take_all(&mut self) -> Vec<(Record, bool)> {
        let mut back = Vec::new();
        while !self.queue.is_empty() {
            let begun = self.base <= self.begun;
            back.extend(self.pop().map(|record| (record, begun)));
        }
        (self.out, self.offset) = (0, 0);
        back
    }

    /// What follows is for another incarnation, of this node or of the receiver: nothing of it has been begun there.
    pub(super) fn rebind(&mut self, bound: Option<Incarnation>) {
        self.bound = bound;
        self.confirmed = 0;
        self.begun = self.base - 1;
        self.detach();
    }

    /// A frame of another kind goes to the driver like messages; false where that holds too much already.
    pub(super) fn hold(&mut self, n: usize) -> bool {
        let fits = self.held < HOLD;
        self.held += if fits { n } else { 0 };
        fits
    }

    /// So many bytes have left the driver.
    pub(super) fn written(&mut self, n: usize) {
        self.held = self.held.saturating_sub(n);
    }

    /// Gives back the memory that nothing is in.
    pub(super) fn rest(&mut self) {
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }

    /// True where something may go out now.
    pub(super) fn can_send(&mut self) -> bool {
        while self.offset == 0 && matches!(self.queue.get(self.out), Some(None)) {
            self.out += 1;
        }
        let needed = if self.offset == 0 { BEGIN as u64 } else { 1 };
        self.out < self.queue.len() && self.credit - self.spent >= needed && self.held < HOLD
    }

    /// The next frame; only where something may go out.
    pub(super) fn frame(&mut self, tag: u32) -> Bytes {
        let rest = self.bytes.min(CHUNK);
        let mut buf = BytesMut::with_capacity(rest + 64);
        let mut frame = DataWriter::begin(self.base + self.out as u64, self.offset as u32, tag, &mut buf);
        // `taken` and `resume` keep `spent` at or below `credit`.
        let mut credit = usize::try_from(self.credit - self.spent).unwrap_or(usize::MAX);
        let before = credit;
        // Numbers within a frame are consecutive: it ends before one that came back.
        while let Some(Some(Record { kind, body })) = self.queue.get(self.out) {
            let room = CHUNK - frame.len();
            if self.offset == 0 {
                if credit < BEGIN || room < LENGTH {
                    break;
                }
                frame.put(&kind.head(body.len()));
                credit -= BEGIN;
                self.offset = LENGTH;
                self.begun = self.begun.max(self.base + self.out as u64);
            }
            let sent = self.offset - LENGTH;
            let n = (body.len() - sent).min(credit).min(CHUNK - frame.len());
            frame.put(&body[sent..sent + n]);
            credit -= n;
            self.offset += n;
            if sent + n < body.len() {
                break;
            }
            (self.out, self.offset) = (self.out + 1, 0);
        }
        frame.end();
        self.spent += (before - credit) as u64;
        self.held += buf.len();
        buf.freeze()
    }
}
