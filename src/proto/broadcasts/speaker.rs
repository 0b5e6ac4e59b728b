//! What this node's embedder wants to tell all, until a leader has it committed.
//!
//! Properties: what was accepted is confirmed or comes back; it is handed to each leader in the order of its numbers, and
//! each only after the one before it; a bounded number of bytes waits, a smaller one is under way.

use super::cost;
use crate::proto::border::SendError;
use crate::types::{Lineage, NodeId, Term, Time};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;

/// So many bytes wait at most, and so many are under way to the leader.
const MAX_WAITING: usize = 1 << 20;
const MAX_UNDER_WAY: usize = 128 << 10;

#[derive(Debug, Clone)]
struct Waiting {
    number: u64,
    body: Bytes,
    /// A leader may have it.
    begun: bool,
}

/// What to hand to the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::proto) struct Say {
    pub(in crate::proto) number: u64,
    /// The one that has to be taken before it; zero where it is the first.
    pub(in crate::proto) before: u64,
    pub(in crate::proto) body: Bytes,
}

#[derive(Debug, Clone)]
pub(in crate::proto) struct Speaker {
    queue: VecDeque<Waiting>,
    bytes: usize,
    /// So many of the first are under way, of so many bytes.
    sent: usize,
    under_way: usize,
    /// The last number that was given.
    number: u64,
    /// The leader that they are handed to: in another lineage the same node may lead in the same term.
    to: Option<(NodeId, Lineage, Term)>,
    /// Nothing is sent before.
    next: Time,
    /// When all that is under way is sent again.
    stale_at: Time,
    pause: Duration,
    interval: Duration,
    patience: Duration,
    /// The embedder waits for room.
    refused: bool,
}

impl Speaker {
    /// `patience`: how long a leader may be silent about what it was given.
    pub(in crate::proto) fn new(interval: Duration, patience: Duration) -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            sent: 0,
            under_way: 0,
            number: 0,
            to: None,
            next: Time::ZERO,
            stale_at: Time::NEVER,
            pause: interval / 8,
            interval,
            patience,
            refused: false,
        }
    }

    /// Accepts a broadcast of at most so many bytes: its number.
    pub(in crate::proto) fn accept(&mut self, body: Bytes, most: usize) -> Result<u64, SendError> {
        if body.len() > most {
            return Err(SendError::TooLarge(most));
        }
        if self.bytes + cost(body.len()) > MAX_WAITING {
            self.refused = true;
            return Err(SendError::Full);
        }
        self.number += 1;
        self.bytes += cost(body.len());
        self.queue.push_back(Waiting { number: self.number, body, begun: false });
        Ok(self.number)
    }

    pub(in crate::proto) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// True once, when there is room again after there was none.
    pub(in crate::proto) fn has_room_again(&mut self) -> bool {
        let due = self.refused && self.bytes <= MAX_WAITING / 2;
        if due {
            self.refused = false;
        }
        due
    }

    fn has_more(&self) -> bool {
        self.sent < self.queue.len() && (self.sent == 0 || self.under_way < MAX_UNDER_WAY)
    }

    /// When something is due, as long as there is a leader.
    pub(in crate::proto) fn deadline(&self) -> Time {
        let stale = if self.sent > 0 { self.stale_at } else { Time::NEVER };
        if self.has_more() { self.next.min(stale) } else { stale }
    }

    fn rewind(&mut self) {
        (self.sent, self.under_way, self.stale_at) = (0, 0, Time::NEVER);
    }

    /// What is due to be handed to this leader.
    pub(in crate::proto) fn due(&mut self, now: Time, to: &(NodeId, Lineage, Term)) -> Option<Say> {
        if self.to.as_ref() != Some(to) {
            self.to = Some(to.clone());
            self.rewind();
            (self.next, self.pause) = (Time::ZERO, self.interval / 8);
        }
        if self.sent > 0 && now >= self.stale_at {
            self.rewind();
        }
        if now < self.next || !self.has_more() {
            return None;
        }
        let before = self.sent.checked_sub(1).and_then(|at| self.queue.get(at)).map_or(0, |w| w.number);
        let waiting = self.queue.get_mut(self.sent)?;
        waiting.begun = true;
        if self.sent == 0 {
            self.stale_at = now + self.patience;
        }
        self.sent += 1;
        self.under_way += cost(waiting.body.len());
        Some(Say { number: waiting.number, before, body: waiting.body.clone() })
    }

    /// What is under way didn't get there, or wasn't taken: from this number on it is sent again, a little later.
    pub(in crate::proto) fn refused(&mut self, now: Time, number: u64) {
        let before = self.queue.partition_point(|w| w.number < number);
        if before < self.sent && self.queue.get(before).is_some_and(|w| w.number == number) {
            self.sent = before;
            self.under_way = self.queue.iter().take(before).map(|w| cost(w.body.len())).sum();
            self.next = now + self.pause;
            self.pause = (self.pause * 2).min(self.interval);
        }
    }

    /// There was no room for it on its way.
    pub(in crate::proto) fn blocked(&mut self, now: Time) {
        self.rewind();
        self.next = now + self.pause;
    }

    /// All up to this number are committed.
    pub(in crate::proto) fn confirmed(&mut self, now: Time, number: u64) -> Vec<u64> {
        let mut done = Vec::new();
        while self.queue.front().is_some_and(|w| w.number <= number && w.begun) {
            let Some(waiting) = self.queue.pop_front() else { break };
            self.bytes -= cost(waiting.body.len());
            if self.sent > 0 {
                self.sent -= 1;
                self.under_way = self.under_way.saturating_sub(cost(waiting.body.len()));
            }
            self.stale_at = now + self.patience;
            self.pause = self.interval / 8;
            done.push(waiting.number);
        }
        done
    }

    /// This node has another incarnation: what a leader may have comes back, the rest is sent under the new one.
    pub(in crate::proto) fn renewed(&mut self) -> Vec<(u64, Bytes)> {
        self.rewind();
        self.to = None;
        let begun = self.queue.iter().take_while(|w| w.begun).count();
        self.take(begun).into_iter().map(|(number, body, _)| (number, body)).collect()
    }

    fn take(&mut self, n: usize) -> Vec<(u64, Bytes, bool)> {
        let taken: Vec<_> = self.queue.drain(..n).map(|w| (w.number, w.body, w.begun)).collect();
        self.bytes -= taken.iter().map(|(_, body, _)| cost(body.len())).sum::<usize>();
        taken
    }

    /// One that no leader takes.
    pub(in crate::proto) fn give_up(&mut self, number: u64) -> Option<Bytes> {
        let at = self.queue.iter().position(|w| w.number == number).filter(|at| *at >= self.sent)?;
        let waiting = self.queue.remove(at)?;
        self.bytes -= cost(waiting.body.len());
        Some(waiting.body)
    }

    /// Everything comes back, each with whether a leader may have it.
    pub(in crate::proto) fn stop(&mut self) -> Vec<(u64, Bytes, bool)> {
        self.rewind();
        self.take(self.queue.len())
    }

    /// The node begins anew: numbers go on.
    pub(in crate::proto) fn go_on_after(&mut self, before: &Self) {
        (self.number, self.refused) = (before.number, before.refused);
    }
}
