//! What a member that doesn't hold the roll asks the leader about it.
//!
//! Properties: each question is answered once, however often it was asked; it is asked at a bounded rate until it is
//! answered, of whoever leads; so many wait at most.

use super::rng::Rng;
use crate::types::{Capabilities, Time};
use std::time::Duration;

/// Questions that wait for their answers.
const MAX_WAITING: usize = 64;

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
