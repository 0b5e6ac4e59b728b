//! Embedders that send each other messages while all else goes on, and some that don't take theirs for a while.
//!
//! All of it is drawn apart, so that runs without it stay what they were before there was any.

use super::faults::Fault;
use super::host::HostId;
use super::rng::{Rng, mix};
use super::scenario::{LARGEST, Scenario};
use super::world::World;
use crate::types::NodeId;
use bytes::Bytes;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Traffic {
    rng: Rng,
    on: bool,
    next: u64,
    beat_us: u64,
    count: u64,
    /// Drawn apart.
    broadcasts: Rng,
    /// Those that don't take messages, and until when.
    lazy: Vec<(u64, HostId)>,
}

impl Traffic {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let on = scenario.faults.has(Fault::Traffic);
        let beat_us = scenario.detection().as_micros() as u64;
        let rng = Rng::new(mix(scenario.seed) ^ 0x7af1_c000);
        let broadcasts = Rng::new(mix(scenario.seed) ^ 0xb40a_dca5);
        Self { rng, on, next: if on { 0 } else { u64::MAX }, beat_us, count: 0, broadcasts, lazy: Vec::new() }
    }

    /// When something happens next.
    pub(super) fn next_at(&self) -> u64 {
        self.next
    }

    /// Does what is due.
    pub(super) fn act(&mut self, world: &mut World) {
        let now = world.now().as_micros();
        if now < self.next {
            return;
        }
        self.next = now + 1 + self.rng.below(self.beat_us / 2);
        for (_, host) in self.lazy.extract_if(.., |(at, _)| *at <= now).collect::<Vec<_>>() {
            world.set_lazy(host, false);
        }
        if self.rng.one_in(32) {
            let host = self.host(world);
            world.set_lazy(host, true);
            self.lazy.push((now + self.rng.below(self.beat_us * 4), host));
        }
        if self.broadcasts.one_in(8) {
            self.broadcast(world);
        }
        let (from, to) = (self.host(world), self.host(world));
        let to = if self.rng.one_in(64) { nobody() } else { world.name(to).clone() };
        let burst = if self.rng.one_in(8) { 40 } else { 4 };
        for _ in 0..self.rng.range(1, burst) {
            self.count += 1;
            let body = self.body();
            if self.rng.one_in(8) && body.len() <= crate::wire::MAX_NOTE {
                let _ = world.send_datagram(from, &to, body);
            } else {
                // Where there is no room the embedder gives up.
                let _ = world.send(from, &to, body);
            }
        }
    }

    /// Somebody tells all something, mostly small, sometimes a lot.
    fn broadcast(&mut self, world: &mut World) {
        let rng = &mut self.broadcasts;
        let host = HostId(rng.below(world.hosts().len() as u64) as u32);
        let burst = if rng.one_in(32) { 60 } else { 3 };
        for _ in 0..rng.range(1, burst) {
            self.count += 1;
            let more = match rng.below(48) {
                0 => rng.below(crate::wire::MAX_BROADCAST as u64 - 8),
                1..6 => rng.below(3_000),
                _ => rng.below(64),
            };
            let mut body = self.count.to_be_bytes().to_vec();
            body.resize(8 + more as usize, self.count as u8);
            let _ = world.broadcast(host, body.into());
        }
    }

    fn host(&mut self, world: &World) -> HostId {
        HostId(self.rng.below(world.hosts().len() as u64) as u32)
    }

    /// A body that no other is like.
    fn body(&mut self) -> Bytes {
        let mut body = self.count.to_be_bytes().to_vec();
        let more = match self.rng.below(16) {
            0 => self.rng.below(LARGEST as u64 - 8),
            1..4 => self.rng.below(2_000),
            _ => self.rng.below(64),
        };
        body.resize(8 + more as usize, self.count as u8);
        body.into()
    }

    /// All take what is for them from now on: what is told behind a broadcast waits until that is taken.
    pub(super) fn take_all(&mut self, world: &mut World) {
        self.lazy.clear();
        for host in world.hosts() {
            world.set_lazy(host, false);
        }
    }

    /// Nothing more is sent. What was sent has to be delivered, or to come back, within a bound.
    /// `agreed`: somebody leads; where nobody ever can, broadcasts wait for that.
    pub(super) fn end(&mut self, world: &mut World, patience: Duration, agreed: bool) {
        if !self.on || !world.violations().is_empty() {
            return;
        }
        self.next = u64::MAX;
        self.take_all(world);
        // The wait for a way, and after it that for an answer; streams that died unseen take their patience too.
        world.run_for(patience * 2 + Duration::from_secs(10));
        if let Some(why) = world.open_message().or_else(|| if agreed { world.open_broadcast() } else { None }) {
            world.violated(6, why);
        }
    }
}

fn nobody() -> NodeId {
    #[allow(clippy::expect_used)]
    NodeId::new("nobody").expect("the name is valid")
}
