//! Embedders that ask whoever leads, and that answer: at once, or later, or not at all.
//!
//! All of it is drawn apart, so that runs without it stay what they were before there was any.

use super::faults::Fault;
use super::host::HostId;
use super::process::Asked;
use super::rng::{Rng, mix};
use super::scenario::{LARGEST, Scenario};
use super::world::World;
use bytes::Bytes;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Asking {
    rng: Rng,
    on: bool,
    next: u64,
    next_asked: u64,
    beat_us: u64,
    count: u64,
    /// What is to be answered when, by which run of which host.
    given: Vec<(u64, HostId, u32, Asked)>,
}

impl Asking {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let on = scenario.faults.has(Fault::Requests);
        let beat_us = scenario.detection().as_micros() as u64;
        let rng = Rng::new(mix(scenario.seed) ^ 0x4e9e_57ed);
        let next = if on { 0 } else { u64::MAX };
        Self { rng, on, next, next_asked: next, beat_us, count: 0, given: Vec::new() }
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
        // Looks often: what was given is to be answered soon, mostly.
        self.next = now + 1 + self.rng.below(self.beat_us / 8);
        self.answer(world, now, false);
        if now >= self.next_asked {
            self.next_asked = now + 1 + self.rng.below(self.beat_us);
            self.ask(world);
        }
    }

    fn ask(&mut self, world: &mut World) {
        let host = HostId(self.rng.below(world.hosts().len() as u64) as u32);
        let again = self.rng.one_in(6);
        let burst = if self.rng.one_in(16) { 300 } else { 4 };
        for _ in 0..self.rng.range(1, burst) {
            let body = self.body(burst > 4);
            // Where there is no room the embedder gives up.
            let _ = world.request(host, body, again);
        }
    }

    /// A body that no other is like.
    fn body(&mut self, small: bool) -> Bytes {
        self.count += 1;
        let mut body = self.count.to_be_bytes().to_vec();
        let more = match self.rng.below(32) {
            _ if small => 0,
            0 => self.rng.below(LARGEST as u64 - 8),
            1..4 => self.rng.below(2_000),
            _ => self.rng.below(64),
        };
        body.resize(8 + more as usize, self.count as u8);
        body.into()
    }

    /// Answers what is due, or `all`.
    fn answer(&mut self, world: &mut World, now: u64, all: bool) {
        for (host, run, asked) in world.take_asked() {
            let delay = match self.rng.below(16) {
                0 => self.rng.below(self.beat_us * 8),
                1..5 => self.rng.below(self.beat_us),
                _ => 0,
            };
            self.given.push((now + delay, host, run, asked));
        }
        for (_, host, run, asked) in self.given.extract_if(.., |(at, ..)| all || *at <= now).collect::<Vec<_>>() {
            if world.run_of(host) != run || !world.is_running(host) {
                continue;
            }
            if world.is_paused(host) {
                self.given.push((now + self.beat_us, host, run, asked));
                continue;
            }
            let mut answer = b"echo:".to_vec();
            answer.extend_from_slice(&asked.body[..asked.body.len().min(1_000)]);
            let answer = if self.rng.one_in(32) { None } else { Some(answer.into()) };
            // Its sender may be gone.
            let _ = world.answer(host, &asked, answer);
        }
    }

    /// Nothing more is asked. What was asked has to have an outcome within a bound.
    pub(super) fn end(&mut self, world: &mut World, patience: Duration) {
        if !self.on || !world.violations().is_empty() {
            return;
        }
        (self.next, self.next_asked) = (u64::MAX, u64::MAX);
        // The wait for a way, a silence after which it is offered again, and those behind a full window.
        let until = world.now() + patience * 4 + Duration::from_secs(30);
        while world.now() < until && world.violations().is_empty() {
            world.run_for(Duration::from_micros(self.beat_us.max(100_000)));
            let now = world.now().as_micros();
            self.answer(world, now, true);
            if world.open_request().is_none() {
                return;
            }
        }
        if let Some(why) = world.open_request() {
            world.violated(6, why);
        }
    }
}
