//! What a member that doesn't hold the roll asks the leader about it.
//!
//! Properties: each question is answered once, however often it was asked; it is asked at a bounded rate until it is
//! answered, of whoever leads; so many wait at most.

use super::rng::Rng;
use crate::types::{Capabilities, Index, Lineage, NodeId, Time};
use std::time::Duration;

/// Questions that wait for their answers.
const MAX_WAITING: usize = 64;
/// Answers that a leader remembers, and so often it looks through its roll in a step at most: whoever isn't answered asks
/// again.
const MAX_FINDINGS: usize = 64;

/// What a leader found in its roll as that is: many that ask for the same cost one look, and many that ask for something else
/// each no more than a bounded number.
#[derive(Debug, Clone, Default)]
pub(super) struct Findings {
    at: (Lineage, Index),
    known: Vec<(Capabilities, (u32, Vec<NodeId>))>,
    looks: usize,
    until: Time,
}

impl Findings {
    /// Who has this capability; nothing where it looked too often lately. `look` looks through the roll, which is at `at`.
    pub(super) fn find(
        &mut self,
        now: Time,
        step: Duration,
        at: (Lineage, Index),
        wanted: &Capabilities,
        look: impl FnOnce() -> (u32, Vec<NodeId>),
    ) -> Option<(u32, Vec<NodeId>)> {
        if self.at != at {
            (self.at, self.known) = (at, Vec::new());
        }
        if let Some((_, found)) = self.known.iter().find(|(w, _)| w == wanted) {
            return Some(found.clone());
        }
        if now >= self.until {
            (self.looks, self.until) = (0, now + step);
        }
        if self.looks >= MAX_FINDINGS {
            return None;
        }
        self.looks += 1;
        let found = look();
        if self.known.len() < MAX_FINDINGS {
            self.known.push((wanted.clone(), found.clone()));
        }
        Some(found)
    }
}

#[derive(Debug, Clone)]
struct Question {
    /// The embedder's number for it.
    number: u64,
    nonce: u64,
    wanted: Capabilities,
    next: Time,
    pause: Duration,
}

#[derive(Debug, Clone)]
pub(super) struct Questions {
    waiting: Vec<Question>,
    interval: Duration,
    rng: Rng,
}

impl Questions {
    pub(super) fn new(interval: Duration, rng: Rng) -> Self {
        Self { waiting: Vec::new(), interval, rng }
    }

    /// False where too many wait.
    pub(super) fn ask(&mut self, number: u64, wanted: Capabilities) -> bool {
        let room = self.waiting.len() < MAX_WAITING;
        if room {
            let (nonce, pause) = (self.rng.nonzero(), self.interval / 8);
            self.waiting.push(Question { number, nonce, wanted, next: Time::ZERO, pause });
        }
        room
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When to ask again, as long as there is somebody to ask.
    pub(super) fn deadline(&self) -> Time {
        self.waiting.iter().map(|q| q.next).fold(Time::NEVER, Time::min)
    }

    /// What is due to be asked: nonce and capability.
    pub(super) fn due(&mut self, now: Time) -> Option<(u64, Capabilities)> {
        let interval = self.interval;
        let question = self.waiting.iter_mut().find(|q| q.next <= now)?;
        question.next = now + question.pause;
        question.pause = (question.pause * 2).min(interval * 2);
        Some((question.nonce, question.wanted.clone()))
    }

    /// An answer came: the embedder's number for the question; nothing where nobody asked that, or it is answered.
    pub(super) fn answered(&mut self, nonce: u64) -> Option<u64> {
        let at = self.waiting.iter().position(|q| q.nonce == nonce)?;
        Some(self.waiting.remove(at).number)
    }

    /// All questions, where this node can answer them itself by now.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (u64, Capabilities)> + use<> {
        std::mem::take(&mut self.waiting).into_iter().map(|q| (q.number, q.wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_questions_cost_few_looks() {
        let (mut findings, step, mut looks) = (Findings::default(), Duration::from_millis(10), 0);
        let wanted = |n: usize| {
            let mut wanted = Capabilities::new();
            wanted.set("n", &n.to_string()).map(|()| wanted).unwrap_or_default()
        };
        let mut find = |now, commit, n| {
            let look = || {
                looks += 1;
                (7, Vec::new())
            };
            let found = findings.find(Time::from_micros(now), step, (Lineage(1), Index(commit)), &wanted(n), look);
            (found.is_some(), looks)
        };
        assert_eq!((find(0, 1, 0), find(0, 1, 0)), ((true, 1), (true, 1)));
        assert_eq!(find(0, 2, 0), (true, 2), "the roll has changed");
        for n in 1..1_000 {
            let _ = find(0, 2, n);
        }
        assert_eq!(find(9_999, 2, 1_000), (false, MAX_FINDINGS));
        assert_eq!(find(9_999, 2, 0), (true, MAX_FINDINGS));
        assert_eq!(find(10_000, 2, 1_000), (true, MAX_FINDINGS + 1));
    }
}
