//! Whether somebody sends frames of control without end.
//!
//! Property: frames that carry no data cost a node no more than a bounded part of its time, whoever sends them: a connection
//! on which more of them come is cut.

use crate::types::Time;
use crate::wire::Message;
use std::time::Duration;

/// So many within a second are more than any node sends: the busiest lane needs some ten thousand.
const MOST: u32 = 200_000;

/// What came over one connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flood {
    frames: u32,
    since: Time,
    /// How many frames of unknown kinds came.
    unknown: u64,
}

impl Flood {
    pub(super) fn new(now: Time) -> Self {
        Self { frames: 0, since: now, unknown: 0 }
    }

    /// Takes note of a frame; true where that is one too many.
    pub(super) fn is_one_with(&mut self, now: Time, message: &Message) -> bool {
        // What carries something costs its sender credit.
        if matches!(message, Message::Data(data) if !data.records.is_empty()) {
            return false;
        }
        self.adds(now, 1)
    }

    /// Takes note of how many frames of unknown kinds came in all: they carry nothing that this node could take.
    pub(super) fn is_one_unknown(&mut self, now: Time, in_all: u64) -> bool {
        let new = in_all - std::mem::replace(&mut self.unknown, in_all);
        new > 0 && self.adds(now, u32::try_from(new).unwrap_or(u32::MAX))
    }

    /// So many more frames that cost their sender nothing.
    pub(super) fn adds(&mut self, now: Time, frames: u32) -> bool {
        self.frames = self.frames.saturating_add(frames);
        if self.frames <= MOST {
            return false;
        }
        let floods = now - self.since < Duration::from_secs(1);
        (self.frames, self.since) = (0, now);
        floods
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many frames, spread evenly over a time, are too many.
    fn too_many(frames: u64, over: Duration) -> usize {
        let mut flood = Flood::new(Time::ZERO);
        let at = |n: u64| Time::from_micros(over.as_micros() as u64 * n / frames);
        (0..frames).filter(|n| flood.is_one_with(at(*n), &Message::Ping(1))).count()
    }

    #[test]
    fn who_sends_without_end_is_found_and_who_is_busy_is_not() {
        assert_eq!(too_many(1_000_000, Duration::from_secs(6)), 0);
        assert_eq!(too_many(1_000_000, Duration::from_secs(4)), 4);
        assert_eq!(too_many(200_000, Duration::ZERO), 0);
        assert_eq!(too_many(200_001, Duration::ZERO), 1);
    }
}
