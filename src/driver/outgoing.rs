//! Messages on their way from a handle to its node's thread.
//!
//! Properties: what was accepted reaches the core in order, or is told to have come back; no more waits than the
//! configuration allows, for each receiver and in all; a receiver for whom the core has no room holds up nobody else.
//! Broadcasts wait as if they were for this node itself, and have the numbers that the core will give them.

use super::{Driver, DriverEvent};
use crate::proto::{Event, MessageLane, MessageLimits, SendError, Undelivered};
use crate::types::NodeId;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// What a message counts besides its body.
const COST: usize = 68;

type Waiting = (NodeId, Bytes, MessageLane);

/// The side of the handle: under a lock.
pub(super) struct Outgoing {
    limits: MessageLimits,
    fresh: Vec<Waiting>,
    /// What waits for each receiver, here and at the thread.
    bytes: BTreeMap<NodeId, usize>,
    total: usize,
    /// Those who were refused.
    refused: Vec<NodeId>,
    closed: bool,
    /// This node's own name.
    own: NodeId,
    /// How many broadcasts were accepted.
    broadcasts: u64,
}

/// The side of the thread.
#[derive(Default)]
pub(super) struct Feeder {
    /// What the core has no room for yet.
    stalled: BTreeMap<NodeId, VecDeque<(Bytes, MessageLane)>>,
    taken: Vec<Waiting>,
    /// How many broadcasts the core has, or came back.
    broadcasts: u64,
}

impl Outgoing {
    pub(super) fn new(limits: MessageLimits, own: NodeId) -> Self {
        Self {
            limits,
            fresh: Vec::new(),
            bytes: BTreeMap::new(),
            total: 0,
            refused: Vec::new(),
            closed: false,
            own,
            broadcasts: 0,
        }
    }

    /// Accepts a broadcast: its number, and whether the thread has to be woken for it.
    pub(super) fn push_broadcast(&mut self, body: Bytes) -> Result<(u64, bool), SendError> {
        let own = self.own.clone();
        let wake = self.push(&own, body, MessageLane::Broadcast)?;
        self.broadcasts += 1;
        Ok((self.broadcasts, wake))
    }

    /// Accepts a message; true where the thread has to be woken for it.
    pub(super) fn push(&mut self, to: &NodeId, body: Bytes, lane: MessageLane) -> Result<bool, SendError> {
        if self.closed {
            return Err(SendError::Stopped);
        }
        let most = match lane {
            MessageLane::Stream => self.limits.message,
            MessageLane::Datagram => crate::wire::MAX_NOTE,
            MessageLane::Broadcast => self.limits.broadcast(),
        };
        if body.len() > most {
            return Err(SendError::TooLarge(most));
        }
        let cost = body.len() + COST;
        let before = self.bytes.get(to).copied().unwrap_or(0);
        if before + cost > self.limits.queue || self.total + cost > self.limits.queues {
            if !self.refused.contains(to) {
                self.refused.push(to.clone());
            }
            return Err(SendError::Full);
        }
        match self.bytes.get_mut(to) {
            Some(bytes) => *bytes += cost,
            None => drop(self.bytes.insert(to.clone(), cost)),
        }
        self.total += cost;
        self.fresh.push((to.clone(), body, lane));
        Ok(self.fresh.len() == 1)
    }

    /// These are the core's now.
    fn settle(&mut self, done: &BTreeMap<NodeId, usize>, told: &mut Vec<DriverEvent>) {
        for (to, cost) in done {
            if let Some(bytes) = self.bytes.get_mut(to) {
                *bytes = bytes.saturating_sub(*cost);
                if *bytes == 0 {
                    self.bytes.remove(to);
                }
            }
            self.total = self.total.saturating_sub(*cost);
        }
        if self.total > self.limits.queues / 2 {
            return;
        }
        let (bytes, half) = (&self.bytes, self.limits.queue / 2);
        self.refused.retain(|to| {
            let full = bytes.get(to).is_some_and(|n| *n > half);
            if !full {
                let own = *to == self.own;
                let event = if own { Event::BroadcastWritable } else { Event::Writable { to: to.clone() } };
                told.push(DriverEvent::Node(event));
            }
            full
        });
    }
}

impl Feeder {
    /// Gives the core what it takes. `lock` gives the handle's side for a moment.
    pub(super) fn feed<'a, G>(&mut self, driver: &mut Driver, told: &mut Vec<DriverEvent>, lock: impl Fn() -> G)
    where
        G: std::ops::DerefMut<Target = Outgoing> + 'a,
    {
        std::mem::swap(&mut lock().fresh, &mut self.taken);
        if self.taken.is_empty() {
            return;
        }
        let mut done = BTreeMap::new();
        for (to, body, lane) in self.taken.drain(..) {
            if let Some(queue) = self.stalled.get_mut(&to) {
                queue.push_back((body, lane));
            } else if let Some(body) = give(driver, (&to, body, lane), &mut done, told, &mut self.broadcasts) {
                self.stalled.entry(to).or_default().push_back((body, lane));
            }
        }
        lock().settle(&done, told);
    }

    /// The core has room again for this receiver.
    pub(super) fn writable<'a, G>(
        &mut self,
        driver: &mut Driver,
        to: &NodeId,
        told: &mut Vec<DriverEvent>,
        lock: impl Fn() -> G,
    ) where
        G: std::ops::DerefMut<Target = Outgoing> + 'a,
    {
        let Some(mut queue) = self.stalled.remove(to) else { return };
        let mut done = BTreeMap::new();
        while let Some((body, lane)) = queue.pop_front() {
            if let Some(body) = give(driver, (to, body, lane), &mut done, told, &mut self.broadcasts) {
                queue.push_front((body, lane));
                self.stalled.insert(to.clone(), queue);
                break;
            }
        }
        lock().settle(&done, told);
    }

    /// The node has stopped: all that didn't reach the core comes back, and nothing more is accepted.
    pub(super) fn close<'a, G>(&mut self, lock: impl Fn() -> G) -> Vec<DriverEvent>
    where
        G: std::ops::DerefMut<Target = Outgoing> + 'a,
    {
        let mut outgoing = lock();
        outgoing.closed = true;
        let fresh = std::mem::take(&mut outgoing.fresh);
        drop(outgoing);
        let stalled = std::mem::take(&mut self.stalled).into_iter();
        let stalled =
            stalled.flat_map(|(to, queue)| queue.into_iter().map(move |(body, lane)| (to.clone(), body, lane)));
        let broadcasts = &mut self.broadcasts;
        let comes_back = |(to, body, lane)| match lane {
            MessageLane::Broadcast => not_broadcast(body, broadcasts),
            _ => returned(to, body, lane, Undelivered::Stopped),
        };
        stalled.chain(fresh).map(comes_back).collect()
    }
}

/// The next broadcast never reached the core.
fn not_broadcast(body: Bytes, broadcasts: &mut u64) -> DriverEvent {
    *broadcasts += 1;
    let (number, reason, uncertain) = (*broadcasts, Undelivered::Stopped, false);
    DriverEvent::Node(Event::BroadcastFailed { number, body, reason, uncertain })
}

fn returned(to: NodeId, body: Bytes, lane: MessageLane, reason: Undelivered) -> DriverEvent {
    DriverEvent::Node(Event::Undeliverable { to, body, lane, reason, uncertain: false })
}

/// Gives the core a message; gives it back where there is no room.
fn give(
    driver: &mut Driver,
    (to, body, lane): (&NodeId, Bytes, MessageLane),
    done: &mut BTreeMap<NodeId, usize>,
    told: &mut Vec<DriverEvent>,
    broadcasts: &mut u64,
) -> Option<Bytes> {
    let cost = body.len() + COST;
    let result = match lane {
        MessageLane::Stream => driver.send(to, body.clone()),
        MessageLane::Datagram => driver.send_datagram(to, body.clone()),
        MessageLane::Broadcast => driver.broadcast(body.clone()).map(|number| *broadcasts = number),
    };
    match result {
        Err(SendError::Full) => return Some(body),
        Ok(()) => {}
        Err(_) if lane == MessageLane::Broadcast => told.push(not_broadcast(body, broadcasts)),
        // It was this node itself, or it has stopped.
        Err(SendError::Itself) => told.push(returned(to.clone(), body, lane, Undelivered::NoSuchMember)),
        Err(_) => told.push(returned(to.clone(), body, lane, Undelivered::Stopped)),
    }
    match done.get_mut(to) {
        Some(bytes) => *bytes += cost,
        None => drop(done.insert(to.clone(), cost)),
    }
    None
}
