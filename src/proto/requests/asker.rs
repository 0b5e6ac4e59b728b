//! The sender's side: what was asked, to whom it is offered, and what came of it.
//!
//! Properties: each request that was accepted has exactly one outcome; it is offered to each leader that comes, as the same
//! one, until it has that; what was offered and can't be offered as the same one any more is unknown.

use super::super::event::{Event, RequestOutcome, UnknownReason};
use super::super::lanes::Record;
use crate::types::{Incarnation, Lineage, NodeId, Term, Time};
use crate::wire::{self, Answer, Lost, Outcome, REQUEST_WINDOW, RecordKind, Request, Response};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// So many requests may be open.
const MAX_OPEN: usize = 1_024;
/// So many leaders are remembered: an answer of the one before may come after the next one leads.
const MAX_LEADERS: usize = 16;
/// After such a silence a request is offered once more to the same leader; then after twice as long, and so on.
const SILENCE: Duration = Duration::from_secs(10);
/// What a request costs besides its body.
const COST: usize = 128;

#[derive(Debug, Clone)]
struct Open {
    body: Bytes,
    again: bool,
    /// In which lineage it was offered first.
    home: Option<Lineage>,
    /// To whose leadership it is offered.
    at: Option<Leadership>,
    /// It was offered only once: where that came to nothing, it never was.
    offers: u32,
    /// How often it was offered to that leadership.
    tries: u32,
    /// How often that one had no room for it: it is asked more seldom each time.
    full: u32,
    retry: Time,
    until: Time,
}

/// Who leads where: in another lineage the same node may lead in the same term.
type Leadership = (NodeId, Lineage, Term);

/// The leader, as far as this node knows it, and as whom it asks.
#[derive(Debug, Clone, Copy)]
pub(in crate::proto) struct Addressee<'a> {
    pub(in crate::proto) leader: &'a NodeId,
    pub(in crate::proto) term: Term,
    pub(in crate::proto) lineage: Lineage,
    pub(in crate::proto) incarnation: Incarnation,
}

#[derive(Debug, Clone)]
pub(in crate::proto) struct Asker {
    open: BTreeMap<u64, Open>,
    next: u64,
    bytes: usize,
    incarnation: Incarnation,
    leaders: VecDeque<NodeId>,
    /// The leader that was looked at last.
    seen: Option<Leadership>,
    /// When to look at what is open.
    due: Time,
    /// Below which number the leader was told that all outcomes are known, and since when that isn't all.
    told: u64,
    tell_at: Time,
    /// Until then what was told may be lost with the leader that was told it.
    sure_at: Time,
    events: VecDeque<Event>,
    interval: Duration,
    patience: Option<Duration>,
}

impl Asker {
    pub(in crate::proto) fn new(interval: Duration, patience: Option<Duration>) -> Self {
        Self {
            open: BTreeMap::new(),
            next: 1,
            bytes: 0,
            incarnation: Incarnation::ZERO,
            leaders: VecDeque::new(),
            seen: None,
            due: Time::NEVER,
            told: 1,
            tell_at: Time::NEVER,
            sure_at: Time::ZERO,
            events: VecDeque::new(),
            interval,
            patience,
        }
    }

    /// Accepts a request; nothing where too many are open, or their bytes are too many.
    pub(in crate::proto) fn accept(&mut self, now: Time, body: Bytes, again: bool, most: usize) -> Option<u64> {
        let cost = body.len() + COST;
        if self.open.len() >= MAX_OPEN || self.bytes + cost > most {
            return None;
        }
        let number = self.next;
        self.next = self.next.checked_add(1)?;
        self.bytes += cost;
        let until = self.patience.map_or(Time::NEVER, |p| now + p);
        if again && self.told == number {
            // Of this one the roll needn't hear.
            self.told += 1;
        }
        self.open.insert(
            number,
            Open { body, again, home: None, at: None, offers: 0, tries: 0, full: 0, retry: now, until },
        );
        self.due = self.due.min(now);
        Some(number)
    }

    /// The smallest number whose outcome is to come from the roll.
    fn below(&self) -> u64 {
        self.open.iter().find(|(_, o)| !o.again).map_or(self.next, |(n, _)| *n)
    }

    pub(in crate::proto) fn is_idle(&self) -> bool {
        self.open.is_empty() && self.tell_at == Time::NEVER && self.due == Time::NEVER
    }

    /// When something is to be done, as long as there is a leader; and when in any case.
    pub(in crate::proto) fn deadline(&self, led: bool) -> Time {
        let patience = if self.patience.is_some() { self.open.values().map(|o| o.until).min() } else { None };
        let patience = patience.unwrap_or(Time::NEVER);
        if led { self.due.min(self.tell_at).min(patience) } else { patience }
    }

    fn end(&mut self, number: u64, outcome: RequestOutcome) {
        let Some(open) = self.open.remove(&number) else { return };
        self.bytes -= open.body.len() + COST;
        self.bytes += Self::cost(&outcome);
        self.events.push_back(Event::Answer { number, outcome });
        if !open.again {
            // Those behind the window may be offered now.
            self.due = Time::ZERO;
        }
    }

    fn cost(outcome: &RequestOutcome) -> usize {
        if let RequestOutcome::Answered(body) = outcome { body.len() } else { 0 }
    }

    pub(in crate::proto) fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if let Event::Answer { outcome, .. } = &event {
            self.bytes -= Self::cost(outcome);
        }
        Some(event)
    }

    pub(in crate::proto) fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    /// Nobody will answer any more.
    pub(in crate::proto) fn end_all(&mut self, reason: UnknownReason) {
        let all: Vec<u64> = self.open.keys().copied().collect();
        all.into_iter().for_each(|n| self.end(n, RequestOutcome::Unknown(reason)));
    }

    /// What was offered as an incarnation that this node is no more is offered to nobody else.
    pub(in crate::proto) fn renew(&mut self, incarnation: Incarnation, reason: UnknownReason) {
        if self.incarnation == incarnation {
            return;
        }
        self.incarnation = incarnation;
        // Nothing is kept of this one anywhere.
        (self.told, self.tell_at, self.sure_at, self.seen) = (self.next, Time::NEVER, Time::ZERO, None);
        let offered = |o: &Open| !o.again && o.home.is_some();
        let lost: Vec<u64> = self.open.iter().filter(|(_, o)| offered(o)).map(|(n, _)| *n).collect();
        lost.into_iter().for_each(|n| self.end(n, RequestOutcome::Unknown(reason)));
        self.open.values_mut().for_each(|o| (o.at, o.retry) = (None, Time::ZERO));
        self.due = if self.open.is_empty() { Time::NEVER } else { Time::ZERO };
    }

    /// Those that nobody answered in time.
    pub(in crate::proto) fn expire(&mut self, now: Time) {
        if self.patience.is_none() {
            return;
        }
        let late: Vec<u64> = self.open.iter().filter(|(_, o)| o.until <= now).map(|(n, _)| *n).collect();
        late.into_iter().for_each(|n| self.end(n, RequestOutcome::Unknown(UnknownReason::Patience)));
    }

    /// What is due to be offered. `send` takes a record to the leader; false where there is no room for it.
    pub(in crate::proto) fn tick(&mut self, now: Time, to: Addressee<'_>, mut send: impl FnMut(&Request) -> bool) {
        let is_it = |(id, lineage, term): &Leadership| (id, *lineage, *term) == (to.leader, to.lineage, to.term);
        let is_new = !self.seen.as_ref().is_some_and(is_it);
        if !is_new && now < self.due.min(self.tell_at) {
            return;
        }
        let now_is = (to.leader.clone(), to.lineage, to.term);
        if is_new {
            self.seen = Some(now_is.clone());
            if !self.leaders.contains(to.leader) {
                self.leaders.truncate(MAX_LEADERS - 1);
                self.leaders.push_front(to.leader.clone());
            }
            for open in self.open.values_mut().filter(|open| open.full > 0) {
                (open.full, open.retry) = (0, now);
            }
        }
        self.due = if now < self.sure_at { self.sure_at } else { Time::NEVER };
        let below = self.below();
        if is_new && now < self.sure_at {
            self.told = self.told.min(below.saturating_sub(1));
            // All who asked lately do so.
            self.tell_at = now + self.interval * (1 + (to.incarnation.0 % 8) as u32);
        }
        let (lineage, incarnation) = (to.lineage, to.incarnation);
        for (number, open) in &mut self.open {
            if !open.again && *number >= below + REQUEST_WINDOW {
                continue;
            }
            let offered = open.at.as_ref().is_some_and(is_it);
            if open.retry > now && (offered || open.at.is_none()) {
                self.due = self.due.min(open.retry);
                continue;
            }
            let (home, number, body) = (open.home.unwrap_or(lineage), *number, open.body.clone());
            if !send(&Request { lineage: home, incarnation, number, below, again: open.again, body }) {
                open.retry = now + self.interval / 8;
                self.due = self.due.min(open.retry);
                break;
            }
            if !offered {
                open.tries = 0;
            }
            (open.home, open.at) = (Some(home), Some(now_is.clone()));
            // Nothing is known to get lost there; should it be, it isn't lost for ever.
            open.retry = now + (self.interval * 64).max(SILENCE) * (1 << open.tries.min(6));
            self.due = self.due.min(open.retry);
            (open.offers, open.tries) = (open.offers.saturating_add(1), open.tries.saturating_add(1));
            if self.told < below {
                self.sure_at = now + self.interval * 64;
            }
            self.told = self.told.max(below);
            self.tell_at = Time::NEVER;
        }
        self.tell(now, below, to, send);
    }

    /// Who has nothing more to ask says at some time that it knows all.
    fn tell(&mut self, now: Time, below: u64, to: Addressee<'_>, mut send: impl FnMut(&Request) -> bool) {
        if self.told >= below {
            self.tell_at = Time::NEVER;
            return;
        }
        if self.tell_at == Time::NEVER {
            self.tell_at = now + self.interval;
        }
        if now < self.tell_at {
            return;
        }
        let (lineage, incarnation) = (to.lineage, to.incarnation);
        if send(&Request { lineage, incarnation, number: 0, below, again: false, body: Bytes::new() }) {
            (self.told, self.tell_at) = (below, Time::NEVER);
            self.sure_at = now + self.interval * 64;
            self.due = self.due.min(self.sure_at);
        } else {
            self.tell_at = now + self.interval;
        }
    }

    /// What was offered didn't get there; `uncertain`: it may have.
    pub(in crate::proto) fn failed(&mut self, now: Time, to: &NodeId, request: &Request, uncertain: bool) {
        if request.number == 0 {
            self.told = self.told.min(request.below.saturating_sub(1));
            self.tell_at = now + self.interval;
            return;
        }
        let pause = self.interval / 8;
        let Some(open) = self.open.get_mut(&request.number).filter(|_| request.incarnation == self.incarnation) else {
            return;
        };
        if !uncertain && open.offers == 1 {
            // It never was.
            (open.home, open.offers) = (None, 0);
        }
        if open.at.as_ref().is_some_and(|(id, ..)| id == to) {
            (open.at, open.retry) = (None, now + pause);
            self.due = self.due.min(open.retry);
        }
    }

    /// Somebody answers; false where nobody waits for it, or that one wasn't asked.
    pub(in crate::proto) fn answered(&mut self, now: Time, from: &NodeId, answer: Answer) -> bool {
        let pause = self.interval / 8;
        let known = answer.incarnation == self.incarnation && self.leaders.contains(from);
        let Some(open) = self.open.get_mut(&answer.number).filter(|o| known && o.home.is_some()) else { return false };
        let outcome = match answer.said {
            Response::Later => {
                if open.at.as_ref().is_some_and(|(id, ..)| id == from) {
                    (open.at, open.retry) = (None, now + pause * (1 << open.full.min(6)));
                    open.full += 1;
                    self.due = self.due.min(open.retry);
                }
                return true;
            }
            Response::Done(Outcome::Answered(body)) => RequestOutcome::Answered(body),
            Response::Done(Outcome::Unknown(lost)) => RequestOutcome::Unknown(match lost {
                Lost::Gone => UnknownReason::LeaderGone,
                Lost::Forgotten => UnknownReason::Forgotten,
                Lost::NotKept => UnknownReason::NotKept,
                _ => UnknownReason::NotGiven,
            }),
        };
        self.end(answer.number, outcome);
        true
    }

    /// The record of a request.
    pub(in crate::proto) fn record(request: &Request) -> Record {
        Record { kind: RecordKind::Request, body: wire::encode_request(request) }
    }

    /// Takes up what an earlier beginning of this node had to tell.
    pub(in crate::proto) fn go_on_after(&mut self, before: &mut Self) {
        before.end_all(UnknownReason::Moved);
        self.events = std::mem::take(&mut before.events);
        self.bytes = self
            .events
            .iter()
            .map(|e| if let Event::Answer { outcome, .. } = e { Self::cost(outcome) } else { 0 })
            .sum();
        self.next = before.next;
        self.told = before.next;
    }
}
