//! How much memory and time messages may take.

use crate::wire::{MAX_BROADCAST, MAX_RECORD, RECORD_COST};
use bytes::Bytes;
use std::time::Duration;

/// How much memory and time the messages of embedders may take. Each message counts as its body and 68 bytes.
///
/// A node has one connection with each node that it talks to, which costs the kernel about 4 kB and a descriptor: a
/// leader that talks with thousands of members needs a larger `RLIMIT_NOFILE` and `NetConfigBuilder::max_streams`. Above
/// 1,024 neighbours on one segment the kernel's neighbour table has to grow as well (`gc_thresh3` on Linux), or each
/// packet costs microseconds more. [`MessageLimits::idle`] keeps the number small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageLimits {
    /// The most bytes of one message (16 MiB): 1 to [`crate::wire::MAX_RECORD`], 256 MiB less a byte. A larger one is refused here, and declined where it comes in.
    /// Broadcasts are 32 bytes shorter at most, and never longer than [`crate::wire::MAX_BROADCAST`].
    pub message: usize,
    /// The most bytes that wait for one receiver (32 MiB): at least a message. What is not acknowledged waits.
    pub queue: usize,
    /// The most bytes that wait for all receivers together, those included that came back and weren't taken (128 MiB): at
    /// least a queue.
    pub queues: usize,
    /// The most bytes that one sender may have under way or untaken at this node, but for a message that is larger by
    /// itself (1 MiB): 64 KiB to 1 GiB. It bounds the throughput by one window for each round trip.
    pub window: usize,
    /// The most bytes that all senders together may have under way or untaken (128 MiB): at least four messages, and two
    /// windows.
    pub windows: usize,
    /// For how long a connection stays that nobody uses (30 s): 10 ms to 1 day. Those between candidates stay always.
    pub idle: Duration,
    /// How long a receiver may be out of reach until what is for it comes back, and how long the rest of a message may stay
    /// away (nothing: five detection times, at least 2 s).
    pub patience: Option<Duration>,
    /// The most bytes that this node holds, as a candidate or witness, of what it passes on between members that can't reach
    /// each other (16 MiB): nothing, or 512 KiB and more. Each such pair takes 128 KiB, and one member at most a quarter.
    pub relay: usize,
    /// How long an answer to an `ask` is waited for (1 min): 10 ms to 1 day.
    pub answer: Duration,
    /// How many requests that may not run twice this node, as the leader, lets be open at a time, of all senders together
    /// (16,384): 1 to 24,576, so that the roll can be given whole. Room is kept for the answer of each,
    /// [`crate::wire::MAX_ANSWER`]: the roll takes 16.4 kB for each of these at most, with every candidate. Answers count
    /// until their senders have them. Beyond it requests wait: one whose answer depends on another should be let run twice,
    /// or this be large enough for both.
    pub requests: usize,
}

/// What stands before the body of a broadcast on its way to the leader.
const SAY_HEAD: usize = 32;

impl Default for MessageLimits {
    fn default() -> Self {
        Self {
            message: 16 << 20,
            queue: 32 << 20,
            queues: 128 << 20,
            window: 1 << 20,
            windows: 128 << 20,
            idle: Duration::from_secs(30),
            patience: None,
            relay: 16 << 20,
            answer: Duration::from_secs(60),
            requests: 16_384,
        }
    }
}

/// What a message of this size counts.
pub(super) fn cost(body: usize) -> usize {
    body + 4 + RECORD_COST
}

/// What came in, so that it holds no more memory than it counts: below this a copy costs less than the read buffer of which
/// it is a slice.
const APART: usize = 4 << 10;

pub(super) fn apart(bytes: Bytes) -> Bytes {
    if bytes.len() < APART { Bytes::copy_from_slice(&bytes) } else { bytes }
}

impl MessageLimits {
    /// The most bytes of a broadcast: it travels to the leader as a message does.
    pub(crate) fn broadcast(&self) -> usize {
        MAX_BROADCAST.min(self.message.saturating_sub(SAY_HEAD))
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let Self { message, queue, queues, window, windows, idle, patience, relay, answer, requests } = self;
        if !(1..=MAX_RECORD).contains(message) {
            return Err(format!("message is {message} bytes: choose 1 to {MAX_RECORD}"));
        }
        if *queue < cost(*message) {
            return Err(format!("queue is {queue} bytes: a message needs {}", cost(*message)));
        }
        if queues < queue {
            return Err(format!("queues is {queues} bytes: one queue may take {queue}"));
        }
        if !(64 << 10..=1 << 30).contains(window) {
            return Err(format!("window is {window} bytes: choose 64 KiB to 1 GiB"));
        }
        if *windows < (cost(*message) * 4).max(window * 2) {
            return Err(format!("windows is {windows} bytes: choose at least four messages, and two windows"));
        }
        if *idle < Duration::from_millis(10) || *idle > Duration::from_secs(86_400) {
            return Err(format!("idle is {idle:?}: choose 10 ms to a day"));
        }
        if patience.is_some_and(|p| p < Duration::from_millis(10) || p > Duration::from_secs(86_400)) {
            return Err(format!("patience is {patience:?}: choose 10 ms to a day"));
        }
        if (1..512 << 10).contains(relay) {
            return Err(format!("relay is {relay} bytes: choose nothing, or at least 512 KiB"));
        }
        if *answer < Duration::from_millis(10) || *answer > Duration::from_secs(86_400) {
            return Err(format!("answer is {answer:?}: choose 10 ms to a day"));
        }
        if !(1..=24_576).contains(requests) {
            return Err(format!("requests is {requests}: choose 1 to 24,576"));
        }
        Ok(())
    }
}
