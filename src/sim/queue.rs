//! What will happen, in the order of its time; at one time in the order in which it was planned.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// What will happen. Small, because the heap moves it about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// A host's node wants to be woken.
    Timer { host: u32 },
    /// A datagram arrives at one host.
    Arrive { host: u32, packet: u32 },
    /// A multicast datagram arrives at all hosts that listen: one plan for all where nothing tells them apart.
    Fan { packet: u32 },
    /// A store's write is durable.
    Synced { host: u32, run: u32, seq: u32 },
    /// A paused process goes on.
    Wake { host: u32, pause: u32 },
    /// Something about a stream.
    Stream { pipe: u32, step: Step },
}

/// What happens to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The n-th request to connect arrives.
    Syn(u8),
    /// The answer to it arrives: the connection stands.
    SynAck,
    /// The answer to it arrives: nobody listens.
    Refused,
    /// The dialler gives up.
    GiveUp,
    /// What was sent by this end arrives at the other, or is tried again.
    Flow(u8),
    /// This end learns that the other is gone.
    Reset(u8),
}

#[derive(Debug, Clone, Copy)]
struct Planned {
    at: u64,
    order: u64,
    plan: Plan,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    // The other way round: the heap's greatest is the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// The queue of plans.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Planned>,
    order: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: u64, plan: Plan) {
        self.order += 1;
        self.heap.push(Planned { at, order: self.order, plan });
    }

    /// The next plan, where its time is no later than `until`.
    pub(super) fn pop(&mut self, until: u64) -> Option<(u64, Plan)> {
        let top = self.heap.peek_mut()?;
        if top.at > until {
            return None;
        }
        let planned = std::collections::binary_heap::PeekMut::pop(top);
        Some((planned.at, planned.plan))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_time_then_by_order() {
        let mut q = Queue::default();
        for (at, host) in [(5, 1), (3, 2), (5, 3), (3, 4), (9, 5)] {
            q.push(at, Plan::Timer { host });
        }
        let mut got = vec![];
        while let Some((at, Plan::Timer { host })) = q.pop(5) {
            got.push((at, host));
        }
        assert_eq!(got, [(3, 2), (3, 4), (5, 1), (5, 3)]);
        assert!(q.pop(8).is_none() && q.pop(9).is_some() && q.pop(u64::MAX).is_none());
    }
}
