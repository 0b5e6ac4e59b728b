//! Embedders that ask whoever has a capability, and those that answer at once, or never.

use super::faults::Fault;
use super::host::HostId;
use super::process::ANSWER;
use super::rng::{Rng, mix};
use super::scenario::{SOURCE, Scenario};
use super::world::World;
use crate::proto::Command;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Inquiring {
    rng: Rng,
    next: u64,
    beat_us: u64,
    count: u64,
}

impl Inquiring {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let on = scenario.faults.has(Fault::Asks);
        let beat_us = scenario.detection().as_micros() as u64;
        Self { rng: Rng::new(mix(scenario.seed) ^ 0xa5c0), next: if on { 0 } else { u64::MAX }, beat_us, count: 0 }
    }

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
        let host = HostId(self.rng.below(world.hosts().len() as u64) as u32);
        for _ in 0..self.rng.range(1, 6) {
            self.count += 1;
            let answers = if self.rng.one_in(16) { "silence" } else { ANSWER };
            let body = format!("{answers} {}", self.count).into();
            let (key, value) = if self.rng.one_in(16) { ("nobody", "has") } else { SOURCE };
            let _ = world.ask(host, Command::Ask { number: self.count, key: key.into(), value: value.into(), body });
        }
    }

    /// Nothing more is asked: each question has to end.
    pub(super) fn end(&mut self, world: &mut World, patience: Duration) {
        if self.next == u64::MAX || !world.violations().is_empty() {
            return;
        }
        self.next = u64::MAX;
        world.run_for(patience + Duration::from_secs(1));
        if let Some(why) = world.open_question() {
            world.violated(6, why);
        }
    }
}
