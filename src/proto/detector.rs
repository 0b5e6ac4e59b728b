//! The leader's watch over its members: an array by slot, swept a slice at a time.
//!
//! Properties: no allocation, no hashing and no timer for each member on the heartbeat path; a silent member is first
//! probed directly, then through another candidate, and only then named as gone; a beat counts for the owner of exactly
//! its slot and generation.

use super::planted::{Bug, Planted};
use crate::types::{Generation, Slot, Time};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// A sweep goes over the whole table in this many slices an interval.
const SLICES: u32 = 8;
/// Heartbeats by unicast to a member that never spoke in this leadership: it may be deaf to the new leader's multicast. A
/// few only, for nobody else vouches for its address.
const CREDIT: u8 = 4;
/// At most so many probes are sent for each slice of a sweep: mass silence is a matter of the network, not of its members.
const PROBES_PER_SLICE: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No member here.
    Free,
    /// Heard lately, as far as is known.
    Fine,
    /// Probed by the leader since then.
    Probed(Time),
    /// Probed through another candidate since then.
    Asked(Time),
    /// Named as gone.
    Condemned,
}

#[derive(Debug, Clone, Copy)]
struct Watch {
    last: Time,
    /// When the number of the multicast heartbeat that it echoes moved last, and that number.
    moved: Time,
    generation: Generation,
    heard: u16,
    state: State,
    /// It spoke since this leadership began: its address is its own.
    verified: bool,
    /// How many heartbeats it may get by unicast before it speaks.
    credit: u8,
}

const FREE: Watch = Watch {
    last: Time::ZERO,
    moved: Time::ZERO,
    generation: Generation(0),
    heard: 0,
    state: State::Free,
    verified: false,
    credit: 0,
};

/// What the sweep wants done about a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Probe it.
    Probe(Slot),
    /// Have another candidate probe it.
    Ask(Slot),
    /// It is gone.
    Gone(Slot),
}

#[derive(Debug, Clone)]
pub(super) struct Detector {
    watch: Vec<Watch>,
    /// Those who don't hear the multicast: they get heartbeats by unicast.
    deaf: BTreeSet<u32>,
    cursor: usize,
    next_slice: Time,
    interval: Duration,
    detection: Duration,
    /// Nobody is accused before this: the node was late itself.
    lenient_until: Time,
    verdicts: VecDeque<Verdict>,
    pub(super) bug: Planted,
}

impl Detector {
    /// All members start as heard just now.
    pub(super) fn new(now: Time, interval: Duration, detection: Duration) -> Self {
        Self {
            watch: Vec::new(),
            deaf: BTreeSet::new(),
            cursor: 0,
            next_slice: now + interval / SLICES,
            interval,
            detection,
            lenient_until: now,
            verdicts: VecDeque::new(),
            bug: Planted::default(),
        }
    }

    /// A member is on the roll. `multicast` is false where it can't hear any.
    pub(super) fn add(&mut self, now: Time, slot: Slot, generation: Generation, multicast: bool) {
        let at = slot.0 as usize;
        if at >= self.watch.len() {
            self.watch.resize(at + 1, FREE);
        }
        self.watch[at] =
            Watch { last: now, moved: now, generation, heard: 0, state: State::Fine, verified: false, credit: CREDIT };
        if multicast {
            self.deaf.remove(&slot.0);
        } else {
            self.deaf.insert(slot.0);
        }
    }

    pub(super) fn remove(&mut self, slot: Slot) {
        if let Some(w) = self.watch.get_mut(slot.0 as usize) {
            *w = FREE;
        }
        self.deaf.remove(&slot.0);
    }

    /// True where the owner of a slot spoke in this leadership, and was heard within the detection time.
    pub(super) fn hears(&self, now: Time, slot: Slot) -> bool {
        self.watch.get(slot.0 as usize).is_some_and(|w| w.verified && now - w.last <= self.detection)
    }

    /// True where the owner of a slot spoke at any time in this leadership.
    pub(super) fn has_spoken(&self, slot: Slot) -> bool {
        self.watch.get(slot.0 as usize).is_some_and(|w| w.verified)
    }

    /// A member's beat; false where it is nobody's.
    #[inline]
    pub(super) fn beat(&mut self, now: Time, slot: Slot, generation: Generation, heard: u16) -> bool {
        let Some(w) = self.watch.get_mut(slot.0 as usize) else { return false };
        let another = w.generation != generation && !self.bug.has(Bug::BeatOfFormerOwner);
        if another || w.state == State::Free {
            return false;
        }
        w.last = now;
        w.verified = true;
        if w.state != State::Condemned {
            w.state = State::Fine;
        }
        if w.heard != heard {
            w.heard = heard;
            w.moved = now;
            if !self.deaf.is_empty() {
                self.deaf.remove(&slot.0);
            }
        }
        true
    }

    /// Any other sign of life of the owner of a slot.
    pub(super) fn alive(&mut self, now: Time, slot: Slot, generation: Generation) -> bool {
        match self.watch.get_mut(slot.0 as usize) {
            Some(w) if w.generation == generation && w.state != State::Free => {
                w.last = now;
                w.verified = true;
                // A voter that acknowledges heartbeats hears them: it is spoken to by unicast anyway.
                w.moved = now;
                if w.state != State::Condemned {
                    w.state = State::Fine;
                }
                true
            }
            _ => false,
        }
    }

    /// It is not gone after all, or couldn't be struck off now: judged anew.
    pub(super) fn pardon(&mut self, now: Time, slot: Slot) {
        if let Some(w) = self.watch.get_mut(slot.0 as usize)
            && w.state != State::Free
        {
            w.state = State::Fine;
            w.last = now;
        }
    }

    /// Waits longer for the others, by the node's own lateness.
    pub(super) fn excuse(&mut self, now: Time, lateness: Duration) {
        self.lenient_until = self.lenient_until.max(now + lateness.min(self.detection) + self.interval);
    }

    /// Whom to send heartbeats by unicast, besides the candidates.
    pub(super) fn deaf(&mut self) -> impl Iterator<Item = Slot> {
        let watch = &mut self.watch;
        self.deaf.iter().filter_map(|s| {
            let w = watch.get_mut(*s as usize)?;
            let pays = w.verified || w.credit > 0;
            w.credit = w.credit.saturating_sub(u8::from(!w.verified));
            pays.then_some(Slot(*s))
        })
    }

    /// Whom to send anything else by unicast: those whose address is their own.
    pub(super) fn deaf_for_sure(&self) -> impl Iterator<Item = Slot> {
        self.deaf.iter().map(|s| Slot(*s)).filter(|slot| self.needs_unicast(*slot))
    }

    /// True where a subscriber has to be told changes by unicast, and its address is its own.
    pub(super) fn needs_unicast(&self, slot: Slot) -> bool {
        self.deaf.contains(&slot.0) && self.watch.get(slot.0 as usize).is_some_and(|w| w.verified)
    }

    pub(super) fn deadline(&self) -> Time {
        self.next_slice
    }

    pub(super) fn poll(&mut self) -> Option<Verdict> {
        self.verdicts.pop_front()
    }

    /// Looks at the next slice of the table. Those that turned deaf are told through `deafened`.
    pub(super) fn sweep(&mut self, now: Time, mut deafened: impl FnMut(Slot)) {
        if now < self.next_slice {
            return;
        }
        self.next_slice = now + self.interval / SLICES;
        let count = self.watch.len().div_ceil(SLICES as usize);
        let lenient = now < self.lenient_until;
        let mut probes = 0;
        for _ in 0..count {
            if self.cursor >= self.watch.len() {
                self.cursor = 0;
            }
            let at = self.cursor;
            self.cursor += 1;
            let slot = Slot(at as u32);
            let w = &mut self.watch[at];
            if w.state == State::Free {
                continue;
            }
            if now - w.moved > self.interval * 2 && !self.deaf.contains(&slot.0) {
                self.deaf.insert(slot.0);
                deafened(slot);
            }
            if lenient {
                continue;
            }
            let verdict = match w.state {
                State::Fine if now - w.last > self.detection && probes < PROBES_PER_SLICE => {
                    probes += 1;
                    w.state = State::Probed(now);
                    Verdict::Probe(slot)
                }
                State::Probed(since) if now - since > self.interval => {
                    w.state = State::Asked(now);
                    Verdict::Ask(slot)
                }
                State::Asked(since) if now - since > self.interval => {
                    w.state = State::Condemned;
                    Verdict::Gone(slot)
                }
                _ => continue,
            };
            self.verdicts.push_back(verdict);
        }
    }
}

#[cfg(test)]
mod tests;
