//! How a world is made.

use super::super::net::{Conditions, Net};
use super::super::packet::Packets;
use super::super::process::Plant;
use super::super::queue::Queue;
use super::super::rng::Rng;
use super::super::trace::{Detail, Trace};
use super::observe::Watch;
use super::streams::Pipes;
use super::{Counts, World};
use std::time::Duration;

/// How long a dial may hang, unless the builder is told otherwise.
pub(in crate::sim) const CONNECT_PATIENCE: Duration = Duration::from_secs(3);

/// How a [`World`] is made.
#[derive(Debug, Clone)]
#[must_use]
pub struct WorldBuilder {
    pub(super) seed: u64,
    pub(super) conditions: Conditions,
    pub(super) detail: Detail,
    pub(super) keep_lines: usize,
    pub(super) keep_events: bool,
    pub(super) checks: bool,
    pub(super) twins: bool,
    pub(super) echo: bool,
    pub(super) fsync: Duration,
    pub(super) wake_late: Duration,
    pub(super) connect_patience: Duration,
    pub(super) stream_patience: Duration,
    pub(super) receive_buffer: usize,
    pub(super) halt: bool,
    pub(super) collect_asked: bool,
    pub(in crate::sim) plant: Plant,
}

impl WorldBuilder {
    /// What the network does to what passes over it (delay 100 µs, no faults).
    pub fn conditions(mut self, conditions: Conditions) -> Self {
        self.conditions = conditions;
        self
    }

    /// How much of the run is written down as lines, and how many of the last ones are kept (nothing).
    pub fn trace(mut self, detail: Detail, keep: usize) -> Self {
        (self.detail, self.keep_lines) = (detail, keep);
        self
    }

    /// Whether events are kept for [`World::take_events`] (yes).
    pub fn keep_events(mut self, keep: bool) -> Self {
        self.keep_events = keep;
        self
    }

    /// Whether it is checked, after each input of each node, what must always hold (yes).
    pub fn checks(mut self, on: bool) -> Self {
        self.checks = on;
        self
    }

    /// Whether each node has a twin that gets the same inputs and has to give the same outputs (no).
    pub fn twins(mut self, on: bool) -> Self {
        self.twins = on;
        self
    }

    /// Whether a sender receives its own multicast, where it listens to that group (no).
    pub fn echo(mut self, on: bool) -> Self {
        self.echo = on;
        self
    }

    /// How long it takes at most until a write is durable, drawn for each write (at once).
    pub fn fsync(mut self, at_most: Duration) -> Self {
        self.fsync = at_most;
        self
    }

    /// How late a node is woken at most, drawn for each deadline (in time).
    pub fn wake_late(mut self, at_most: Duration) -> Self {
        self.wake_late = at_most;
        self
    }

    /// How long a dialled connection waits for an answer (3 s).
    pub fn connect_patience(mut self, patience: Duration) -> Self {
        self.connect_patience = patience;
        self
    }

    /// How long a stream's bytes may stay without acknowledgement until the stream dies (3 s).
    pub fn stream_patience(mut self, patience: Duration) -> Self {
        self.stream_patience = patience;
        self
    }

    /// How many datagrams wait at most for a paused process (256).
    pub fn receive_buffer(mut self, datagrams: usize) -> Self {
        self.receive_buffer = datagrams;
        self
    }

    /// Whether time stands still once something forbidden happened (no).
    pub fn halt(mut self, on: bool) -> Self {
        self.halt = on;
        self
    }

    /// Whether the requests that embedders are given are collected for [`World::take_asked`] (no).
    pub fn collect_asked(mut self, on: bool) -> Self {
        self.collect_asked = on;
        self
    }

    /// Plants a bug in all nodes, at each of their starts: for tests of the checkers.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(mut self, bug: crate::proto::Bug) -> Self {
        self.plant = Plant(Some(bug));
        self
    }

    /// An empty world.
    #[must_use]
    pub fn build(self) -> World {
        World {
            now: 0,
            queue: Queue::default(),
            hosts: Vec::new(),
            bench: Vec::new(),
            net: Net::new(self.conditions),
            packets: Packets::default(),
            pipes: Pipes::default(),
            rng: Rng::new(self.seed),
            trace: Trace::new(self.detail, self.keep_lines),
            watch: self.checks.then(Watch::default),
            events: Vec::new(),
            asked: Vec::new(),
            counts: Counts::default(),
            violations: Vec::new(),
            options: self,
        }
    }
}

impl World {
    /// A world in which chance follows from `seed`.
    pub fn builder(seed: u64) -> WorldBuilder {
        WorldBuilder {
            seed,
            conditions: Conditions::default(),
            detail: Detail::Nothing,
            keep_lines: 0,
            keep_events: true,
            checks: true,
            twins: false,
            echo: false,
            fsync: Duration::ZERO,
            wake_late: Duration::ZERO,
            connect_patience: CONNECT_PATIENCE,
            stream_patience: Duration::from_secs(3),
            receive_buffer: 256,
            halt: false,
            collect_asked: false,
            plant: Plant::default(),
        }
    }
}
