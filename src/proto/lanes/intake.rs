//! The receiving half of a pair: what came from one sender, until the embedder takes it.
//!
//! Properties: messages are handed on in the order of their numbers and each number once, over any number of connections;
//! nothing beyond the credit is taken, and credit is given only for memory that the pool promised; what is claimed and not
//! sent takes no memory. What isn't for the embedder is handed on at once, in its order among itself: messages that nobody
//! takes don't hold it up, but for the credit that they use.

use super::super::limits::{self, cost};
use super::super::planted::Bug;
use super::courier::{BEGIN, Record};
use super::pool::Pool;
use crate::types::{Incarnation, Time};
use crate::wire::{Data, DeclineReason, Declined, RECORD_COST, RecordKind, Resume, Taken};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;

/// The first window of a connection; it grows as it is used.
const FIRST_WINDOW: usize = 32 << 10;

/// So many that were declined are remembered until their sender has heard of it.
const MAX_DECLINED: usize = 1_024;

/// What is wrong with a frame: its sender doesn't keep to the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// More than there was credit for.
    Credit,
    /// It continues what wasn't begun.
    Sequence,
}

/// A message that is not whole yet.
#[derive(Debug, Clone)]
struct Partial {
    number: u64,
    kind: RecordKind,
    /// Its body's length, once that is there.
    len: Option<usize>,
    /// How much of the record came.
    came: usize,
    /// The head, as far as it came; then the body.
    buf: BytesMut,
    /// It isn't wanted: what comes of it is thrown away.
    skipped: bool,
    /// How much of it was promised beyond the window.
    large: usize,
}

#[derive(Debug, Clone)]
struct Received {
    number: u64,
    /// Nothing where it was handed on already: only its number waits for those before it.
    body: Option<Bytes>,
    /// What it counts, and how much of that is beyond the window.
    cost: usize,
    large: usize,
}

/// What most senders have nothing of most of the time.
#[derive(Debug, Clone, Default)]
struct Seldom {
    /// What came and isn't for the embedder.
    records: VecDeque<Record>,
    /// What the sender may not have heard of.
    declined: VecDeque<Declined>,
}

#[derive(Debug, Clone)]
pub(super) struct Intake {
    /// Whose messages these are.
    pub(super) incarnation: Incarnation,
    /// All up to this number came, or won't be waited for.
    have: u64,
    taken: u64,
    /// The last that isn't for the embedder, and was handed on.
    handed: u64,
    /// Apart: most senders have none most of the time.
    partial: Option<Box<Partial>>,
    inbox: VecDeque<Received>,
    seldom: Option<Box<Seldom>>,
    /// Open on the present connection.
    pub(super) open: bool,
    granted: u64,
    received: u64,
    window: usize,
    most: usize,
    /// The largest window.
    widest: usize,
    /// What the pool promised.
    windows: usize,
    large: usize,
    /// What the sender knows.
    told: Taken,
    /// When something last came of a partial message.
    pub(super) last: Time,
}

impl Intake {
    /// `most`: the largest message, `widest`: the largest window.
    pub(super) fn new(most: usize, widest: usize) -> Self {
        Self {
            incarnation: Incarnation::ZERO,
            have: 0,
            taken: 0,
            handed: 0,
            partial: None,
            inbox: VecDeque::new(),
            seldom: None,
            open: false,
            granted: 0,
            received: 0,
            window: FIRST_WINDOW.min(widest),
            most,
            widest,
            windows: 0,
            large: 0,
            told: Taken { number: 0, credit: 0 },
            last: Time::ZERO,
        }
    }

    /// Where there is anything in the inbox, its first is a message.
    pub(super) fn has_message(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// The next that isn't for the embedder.
    pub(super) fn take_record(&mut self) -> Option<Record> {
        self.seldom.as_mut()?.records.pop_front()
    }

    pub(super) fn has_partial(&self) -> bool {
        self.partial.as_ref().is_some_and(|p| !p.skipped)
    }

    /// Another incarnation sends: what is left of the former is of no use to anybody.
    pub(super) fn begin(&mut self, incarnation: Incarnation, pool: &mut Pool) {
        pool.give_back(self.windows, self.large);
        *self = Self { incarnation, ..Self::new(self.most, self.widest) };
    }

    /// Nothing is heard of this sender any more, but should it turn out that it is there after all: then it goes on with what
    /// the embedder hasn't taken, and what was handed on comes again and isn't handed on again.
    pub(super) fn leave_off(&mut self, pool: &mut Pool) {
        let (incarnation, taken, handed) = (self.incarnation, self.taken, self.handed);
        self.begin(incarnation, pool);
        if pool.bug.has(Bug::ForgetTheGone) {
            return;
        }
        (self.have, self.taken, self.handed) = (taken, taken, handed);
    }

    /// The connection is gone, and with it what wasn't whole.
    pub(super) fn detach(&mut self, pool: &mut Pool) {
        self.open = false;
        self.partial = None;
        let large = self.inbox.iter().map(|r| r.large).sum();
        let windows = self.inbox.iter().map(|r| r.cost.saturating_sub(r.large)).sum();
        pool.give_back(self.windows.saturating_sub(windows), self.large.saturating_sub(large));
        (self.windows, self.large) = (windows, large);
        (self.granted, self.received) = (0, 0);
        self.window = FIRST_WINDOW.min(self.widest);
    }

    /// The sender wants to send.
    /// `base`: what is below is of no interest to it any more.
    pub(super) fn resume(&mut self, pool: &mut Pool, base: u64, forgetful: bool) -> Resume {
        if self.open && self.received == 0 {
            // It asks again, and may have the first answer by now: what that gave it stands.
            return Resume { incarnation: self.incarnation, have: self.have, credit: self.granted };
        }
        self.detach(pool);
        if let Some(seldom) = &mut self.seldom {
            seldom.declined.retain(|d| d.number >= base);
        }
        self.open = true;
        let granted = pool.some(self.window);
        self.windows += granted;
        self.granted = granted as u64;
        let have = if forgetful { 0 } else { self.have };
        // What the sender heard of on an earlier connection isn't known.
        self.told = Taken { number: 0, credit: self.granted };
        Resume { incarnation: self.incarnation, have, credit: self.granted }
    }

    /// What was declined on earlier connections: that may not have come through.
    pub(super) fn declined(&self) -> impl Iterator<Item = Declined> + use<> {
        self.seldom.iter().flat_map(|s| &s.declined).copied().collect::<Vec<_>>().into_iter()
    }

    /// True where the sender lacks credit, and there is room for more.
    pub(super) fn is_short(&self) -> bool {
        self.open && self.window.saturating_sub(self.windows) >= self.window / 2
    }

    /// Takes a frame; what isn't taken of it is declined, each by itself. `lax`: takes twice what comes twice.
    pub(super) fn data(&mut self, now: Time, data: Data, pool: &mut Pool, lax: bool) -> Result<Vec<Declined>, Fault> {
        let Data { mut number, offset, mut records } = data;
        if offset > 0 {
            if self.partial.as_ref().is_none_or(|p| p.number != number || p.came != offset as usize) {
                return Err(Fault::Sequence);
            }
        } else if let Some(given_up) = self.partial.take() {
            if given_up.number >= number {
                return Err(Fault::Sequence);
            }
            // It came back to its sender in the middle.
            self.forget(&given_up, pool);
        }
        self.last = now;
        records = limits::apart(records);
        let mut declined = Vec::new();
        while !records.is_empty() {
            if self.partial.is_none() {
                self.spend(RECORD_COST)?;
                // Whole in this frame, as most are: a slice of it will do.
                if let Some((kind, len)) = records.first_chunk::<4>().map(|head| RecordKind::of_head(*head))
                    && len <= self.most
                    && records.len() - 4 >= len
                {
                    self.spend(4 + len)?;
                    records.advance(4);
                    let body = records.split_to(len);
                    self.complete(number, Record { kind, body }, 0, pool, lax);
                    number = number.saturating_add(1);
                    continue;
                }
                let buf = BytesMut::new();
                let kind = RecordKind::Message;
                let partial = Partial { number, kind, len: None, came: 0, buf, skipped: false, large: 0 };
                self.partial = Some(Box::new(partial));
            }
            declined.extend(self.go_on(&mut records, pool, lax)?);
            number = number.saturating_add(1);
        }
        Ok(declined)
    }

    fn spend(&mut self, n: usize) -> Result<(), Fault> {
        self.received += n as u64;
        if self.received > self.granted { Err(Fault::Credit) } else { Ok(()) }
    }

    /// More of the partial message.
    fn go_on(&mut self, records: &mut Bytes, pool: &mut Pool, lax: bool) -> Result<Option<Declined>, Fault> {
        let Some(mut p) = self.partial.take() else { return Ok(None) };
        let mut declined = None;
        if p.len.is_none() {
            let n = records.len().min(4 - p.came);
            self.spend(n)?;
            p.buf.extend_from_slice(&records.split_to(n));
            p.came += n;
            if let Some(head) = p.buf.first_chunk::<4>() {
                let (kind, len) = RecordKind::of_head(*head);
                (p.kind, p.len) = (kind, Some(len));
                p.buf.clear();
                if len > self.most {
                    declined = Some(self.decline(&mut p, DeclineReason::TooLarge, pool));
                }
            }
        }
        if let Some(len) = p.len {
            let n = records.len().min(len + 4 - p.came);
            self.spend(n)?;
            let piece = records.split_to(n);
            p.came += n;
            if p.skipped {
                self.release(n, 0, pool);
            } else {
                p.buf.extend_from_slice(&piece);
            }
            if p.came == len + 4 {
                if !p.skipped {
                    let record = Record { kind: p.kind, body: p.buf.freeze() };
                    self.complete(p.number, record, p.large, pool, lax);
                }
                return Ok(declined);
            }
        }
        self.partial = Some(p);
        Ok(declined)
    }

    fn decline(&mut self, p: &mut Partial, reason: DeclineReason, pool: &mut Pool) -> Declined {
        self.forget(p, pool);
        p.skipped = true;
        p.buf = BytesMut::new();
        p.large = 0;
        // It won't be waited for.
        self.have = self.have.max(p.number);
        if self.inbox.is_empty() {
            self.taken = self.have;
        }
        let declined = Declined { number: p.number, reason };
        let seldom = self.seldom.get_or_insert_default();
        if seldom.declined.len() >= MAX_DECLINED {
            seldom.declined.pop_front();
        }
        seldom.declined.push_back(declined);
        declined
    }

    /// What came of it is thrown away.
    fn forget(&mut self, p: &Partial, pool: &mut Pool) {
        if !p.skipped {
            let came = p.came + RECORD_COST;
            // What was promised beyond the window and didn't come stays with the sender as its credit.
            self.release(came.saturating_sub(p.large), p.large.min(came), pool);
        }
    }

    fn release(&mut self, windows: usize, large: usize, pool: &mut Pool) {
        // A credit that was promised as large may have been used for something else meanwhile.
        let l = large.min(self.large);
        let w = (windows + large - l).min(self.windows);
        let l = l + (windows + large - l - w).min(self.large - l);
        self.windows -= w;
        self.large -= l;
        pool.give_back(w, l);
    }

    fn complete(&mut self, number: u64, record: Record, large: usize, pool: &mut Pool, lax: bool) {
        let Record { kind, body } = record;
        let cost = cost(body.len());
        if number <= self.have && !lax {
            // It came before, over another connection.
            return self.release(cost.saturating_sub(large), large.min(cost), pool);
        }
        self.have = self.have.max(number);
        if kind == RecordKind::Message {
            self.inbox.push_back(Received { number, body: Some(body), cost, large });
        } else {
            if number > self.handed || lax {
                self.handed = number;
                self.seldom.get_or_insert_default().records.push_back(Record { kind, body });
            }
            self.inbox.push_back(Received { number, body: None, cost, large });
            self.pass(pool);
        }
    }

    /// Passes over what was handed on already.
    fn pass(&mut self, pool: &mut Pool) {
        while self.inbox.front().is_some_and(|r| r.body.is_none()) {
            self.next(pool);
        }
    }

    fn next(&mut self, pool: &mut Pool) -> Option<Received> {
        let received = self.inbox.pop_front()?;
        self.taken =
            if self.inbox.is_empty() { self.have.max(received.number) } else { self.taken.max(received.number) };
        let Received { cost, large, .. } = received;
        self.release(cost.saturating_sub(large), large.min(cost), pool);
        Some(received)
    }

    /// The rest of a partial message doesn't come.
    pub(super) fn give_up(&mut self, pool: &mut Pool) -> Option<Declined> {
        let mut p = self.partial.take().filter(|p| !p.skipped)?;
        // What was handed on before its sender was told to have left comes again, and must not be taken for lost.
        let known = p.kind != RecordKind::Message && p.number <= self.handed;
        let declined = self.decline(&mut p, DeclineReason::Stalled, pool);
        if known && let Some(seldom) = &mut self.seldom {
            seldom.declined.pop_back();
        }
        self.partial = Some(p);
        (!known).then_some(declined)
    }

    /// The embedder takes the next one.
    pub(super) fn take(&mut self, pool: &mut Pool) -> Option<Bytes> {
        let body = self.next(pool)?.body;
        self.pass(pool);
        body
    }

    /// Gives the sender more credit, where there is memory for it; true where it still lacks some.
    pub(super) fn top_up(&mut self, pool: &mut Pool) -> bool {
        if !self.open {
            return false;
        }
        let outstanding = usize::try_from(self.granted.saturating_sub(self.received)).unwrap_or(usize::MAX);
        // A message that is larger than a window has to come in whole before anybody can take it.
        let rest = match self.partial.as_deref() {
            Some(Partial { len: Some(len), came, skipped: false, .. }) => (len + 4).saturating_sub(*came),
            _ => 0,
        };
        let large = rest + RECORD_COST > self.window || outstanding == 0;
        let need = if large { rest.saturating_sub(outstanding) } else { 0 };
        if need > 0 && pool.all(need) {
            self.large += need;
            self.granted += need as u64;
            if let Some(p) = &mut self.partial {
                p.large += need;
            }
            return false;
        }
        let room = self.window.saturating_sub(self.windows);
        if room < self.window / 2 {
            return need > 0;
        }
        self.window = (self.window * 2).min(self.widest);
        let given = pool.some(self.window.saturating_sub(self.windows));
        self.windows += given;
        self.granted += given as u64;
        // Where others hold all windows and say nothing, it can begin at least: the rest of that message follows as that of a
        // large one.
        let lacks = BEGIN.saturating_sub(outstanding + given);
        if lacks > 0 && !pool.bug.has(Bug::NoCreditToBegin) && pool.all(lacks) {
            self.large += lacks;
            self.granted += lacks as u64;
        }
        need > 0 || given < room / 2
    }

    /// What the sender has to hear, where it doesn't know it; `now`: also what can wait.
    pub(super) fn news(&mut self, now: bool) -> Option<Taken> {
        let is = Taken { number: self.taken, credit: self.granted };
        let more = is.credit.saturating_sub(self.told.credit) as usize;
        // Where its sender has little left it may be waiting already.
        let low = self.told.credit.saturating_sub(self.received) < self.window as u64 / 4;
        if !self.open || is == self.told || !(now || more >= self.window / 4 || more > 0 && low) {
            return None;
        }
        self.told = is;
        Some(is)
    }

    /// Gives back the memory that nothing is in.
    pub(super) fn rest(&mut self) {
        if self.inbox.is_empty() {
            self.inbox = VecDeque::new();
        }
        self.seldom.take_if(|s| s.records.is_empty() && s.declined.is_empty());
    }

    /// True where the sender will have to hear something.
    pub(super) fn has_news(&self) -> bool {
        self.open && (self.told.number != self.taken || self.told.credit != self.granted)
    }
}
