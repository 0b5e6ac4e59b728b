//! The world: hosts, a network, and one queue of what will happen.

mod asked;
mod broadcasts;
mod builder;
mod control;
mod datagrams;
mod foundings;
mod looks;
mod narrate;
mod observe;
mod streams;
mod told;

pub(in crate::sim) use builder::CONNECT_PATIENCE;
pub use builder::WorldBuilder;
pub use observe::{Checked, Violation};

use super::host::{Host, HostId, NEVER, NodeOptions, Waiting};
use super::net::Net;
use super::packet::Packets;
use super::process::{Arrived, Asked, Input, Process, reply};
use super::queue::{Plan, Queue};
use super::rng::{Rng, mix};
use super::trace::{Detail, Frames, Meaning, Trace};
use crate::proto::{Config, Event, Node, StoreWrite};
use crate::types::{ConnId, Time};
use observe::Watch;
use std::time::Duration;
use streams::Pipes;

/// What happened how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
#[allow(missing_docs)] // The names say it.
pub struct Counts {
    pub datagrams_sent: u64,
    pub datagrams_delivered: u64,
    pub datagrams_lost: u64,
    pub datagrams_cut: u64,
    pub datagrams_duplicated: u64,
    pub datagrams_reordered: u64,
    pub datagrams_corrupted: u64,
    /// At a port where nobody listens, or at a host without a process.
    pub datagrams_unheard: u64,
    /// Because a paused process's buffer was full.
    pub datagrams_overflowed: u64,
    pub streams_opened: u64,
    pub streams_refused: u64,
    pub streams_failed: u64,
    pub streams_died: u64,
    pub stream_bytes: u64,
    pub wakes: u64,
    pub writes: u64,
    pub writes_lost: u64,
    pub events: u64,
}

/// A simulated network with nodes on it.
///
/// Everything that happens follows from the seed and from the calls: the same ones give the same
/// [`World::trace_hash`]. Time passes only in [`World::run_for`] and its kin.
#[derive(Debug)]
pub struct World {
    pub(super) now: u64,
    pub(super) queue: Queue,
    pub(super) hosts: Vec<Host>,
    /// The hosts whose nodes listen to the bench.
    pub(super) bench: Vec<u32>,
    pub(super) net: Net,
    pub(super) packets: Packets,
    pipes: Pipes,
    pub(super) rng: Rng,
    pub(super) trace: Trace,
    watch: Option<Watch>,
    pub(super) events: Vec<(Time, HostId, Event)>,
    pub(super) asked: Vec<(HostId, u32, Asked)>,
    pub(super) counts: Counts,
    pub(super) violations: Vec<Violation>,
    pub(super) options: WorldBuilder,
}

/// So often in a second no node needs to be woken: at the shortest heartbeat (5 ms) a leader is, for eight slices of its
/// sweep an interval, about 2,000 times; one that doesn't move its own deadline is, 5,000 times.
const SPIN: u32 = 4_000;

impl World {
    /// Adds a host with a node, and starts the node unless the options say otherwise.
    pub fn add_node(&mut self, config: Config, options: NodeOptions) -> HostId {
        let id = HostId(self.hosts.len() as u32);
        if config.standing().votes() {
            self.bench.push(id.0);
        }
        let stopped = options.stopped;
        self.net.walls.put(id.0, options.wall);
        self.hosts.push(Host::new(config, options));
        self.net.add_host();
        if !stopped {
            self.start(id);
        }
        id
    }

    /// The seed of a node's start: differs between nodes and starts.
    pub(super) fn start_seed(&self, host: HostId, run: u32) -> u64 {
        mix(self.options.seed ^ mix(u64::from(host.0) << 32 | u64::from(run)))
    }

    /// Lets time pass.
    pub fn run_for(&mut self, duration: Duration) {
        let until = self.now.saturating_add(duration.as_micros() as u64);
        while let Some((at, plan)) = self.queue.pop(until) {
            self.now = at;
            self.carry_out(plan);
            if self.options.halt && !self.violations.is_empty() {
                return;
            }
        }
        self.now = until;
    }

    /// Lets time pass until `done` holds, looking after each thing that happens, for `at_most` so long.
    /// Returns whether it holds.
    pub fn run_until(&mut self, at_most: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let until = self.now.saturating_add(at_most.as_micros() as u64);
        loop {
            if done(self) {
                return true;
            }
            match self.queue.pop(until) {
                Some((at, plan)) => {
                    self.now = at;
                    self.carry_out(plan);
                }
                None => {
                    self.now = until;
                    return false;
                }
            }
        }
    }

    fn carry_out(&mut self, plan: Plan) {
        match plan {
            Plan::Timer { host } => self.timer(host),
            Plan::Arrive { host, packet } => {
                self.arrive(host, packet);
                self.packets.release(packet);
            }
            Plan::Fan { packet } => {
                self.fan_arrives(packet);
                self.packets.release(packet);
            }
            Plan::Synced { host, run, seq } => self.synced(host, run, u64::from(seq)),
            Plan::Wake { host, pause } => self.wake(host, pause),
            Plan::Stream { pipe, step } => self.stream_step(pipe, step),
        }
    }

    fn timer(&mut self, h: u32) {
        let host = &mut self.hosts[h as usize];
        if host.fires != self.now {
            return; // An earlier deadline was made in the meantime, or the process that wanted this is gone.
        }
        (host.fires, host.deadline) = (NEVER, NEVER);
        let due = host.asked.is_some_and(|t| t <= host.clock.local(self.now));
        let Some(process) = host.process.as_mut() else { return };
        if host.pause % 2 == 1 {
            return; // It looks at its clock when it goes on.
        }
        if due {
            process.wakes += 1;
            self.counts.wakes += 1;
            self.feed(h, Input::Timeout);
        } else {
            self.rearm(h);
        }
    }

    /// The process reads a datagram.
    pub(super) fn read(&mut self, h: u32, packet: u32) {
        let p = self.packets.get(packet);
        let (from, lane, len) = (p.from_addr, p.lane, p.bytes.len());
        self.counts.datagrams_delivered += 1;
        self.trace.number(u64::from(h) << 32 | len as u64);
        if self.trace.tells(Detail::Everything) {
            let tag = self.tag(h);
            let what = format_args!("hears {from} {lane:?} {}", Meaning(&p.bytes, tag));
            self.trace.line(Detail::Everything, self.now, self.hosts[h as usize].name(), what);
        }
        let bytes = self.packets.borrow(packet);
        self.feed(h, Input::Datagram(from, lane, &bytes));
        self.packets.restore(packet, bytes);
    }

    /// Something about a stream reaches a process, or waits for it.
    pub(super) fn stream_input(&mut self, h: u32, conn: ConnId, what: Arrived) {
        let host = &mut self.hosts[h as usize];
        if host.process.is_none() {
            return;
        }
        if host.is_paused() {
            host.inbox.push_back(Waiting::Stream(conn, what));
            return;
        }
        self.trace.number(conn.0 ^ self.now);
        if self.trace.tells(Detail::Everything) {
            let (name, tag) = (host.name(), host.config.convention().tag());
            self.trace.line(Detail::Everything, self.now, name, format_args!("stream {conn}: {}", Frames(&what, tag)));
        }
        self.feed(h, Input::Stream(conn, &what));
    }

    /// Gives a node an input and takes what comes of it.
    pub(super) fn feed(&mut self, h: u32, input: Input<'_>) {
        let host = &mut self.hosts[h as usize];
        let Some(mut process) = host.process.take() else { return };
        let now = host.clock.local(self.now);
        self.trace.number(self.now);
        let second = self.now / 1_000_000;
        if second != process.second {
            process.second = second;
            process.wakes = 0;
        } else if process.wakes > SPIN {
            process.wakes = 0;
            self.violated(9, format!("{} asks to be woken {SPIN} times in a second", process.node.config().id()));
        }
        process.handle(now, input);
        self.drain(h, process);
    }

    /// Takes everything out of a node and puts the process back.
    pub(super) fn drain(&mut self, h: u32, mut process: Box<Process>) {
        let p = &mut *process;
        self.hosts[h as usize].goes_on_in(p.node.lineage(), p.tells);
        loop {
            while let Some(write) = p.poll_store() {
                self.store(h, p.run, write);
            }
            loop {
                let mut buffer = self.packets.buffer();
                match p.poll_transmit(&mut buffer) {
                    Some(dest) => self.transmit(h, dest, buffer),
                    None => {
                        self.packets.give_back(buffer);
                        break;
                    }
                }
            }
            if p.poll_move() {
                self.arrive_elsewhere(h, p);
                continue;
            }
            while let Some(out) = p.poll_stream() {
                self.stream_output(h, p, out);
            }
            let lazy = self.hosts[h as usize].lazy;
            let mut answered = false;
            while let Some(event) = p.poll_event(lazy) {
                let reply = reply(&event);
                self.told(h, p, event);
                if let Some(reply) = reply {
                    let now = self.hosts[h as usize].clock.local(self.now);
                    answered |= p.command(now, reply).is_ok();
                }
            }
            if answered {
                continue;
            }
            // Taking a message is acknowledged.
            while let Some(out) = p.poll_stream() {
                self.stream_output(h, p, out);
            }
            let host = &mut self.hosts[h as usize];
            let Some(seq) = host.synced_now.take() else { break };
            let now = host.clock.local(self.now);
            p.handle(now, Input::Stored(seq));
        }
        if !p.node.has_event() {
            self.hosts[h as usize].behind.clear();
        }
        self.observe_lease(h, p);
        self.observe(h, p);
        self.hosts[h as usize].process = Some(process);
        if self.hosts[h as usize].stopped.is_some() {
            if let Some(disk) = &mut self.hosts[h as usize].disk {
                disk.flush();
            }
            self.end_process(h, false);
        } else {
            self.rearm(h);
        }
    }

    /// Plans the node's next waking, where none is planned that is early enough.
    pub(super) fn rearm(&mut self, h: u32) {
        let host = &mut self.hosts[h as usize];
        let Some(process) = host.process.as_mut() else { return };
        let asked = process.poll_timeout();
        if asked == host.asked && host.fires != NEVER {
            return;
        }
        host.asked = asked;
        let Some(asked) = asked else { return };
        let deadline = host.clock.when(asked).max(self.now);
        if deadline >= host.deadline {
            return; // The earlier plan stands; when it fires, the node isn't woken but planned for anew.
        }
        let late = self.options.wake_late.as_micros() as u64;
        host.deadline = deadline;
        host.fires = deadline.saturating_add(if late == 0 { 0 } else { self.rng.below(late + 1) });
        self.queue.push(host.fires, Plan::Timer { host: h });
    }

    fn store(&mut self, h: u32, run: u32, write: StoreWrite) {
        self.counts.writes += 1;
        let host = &mut self.hosts[h as usize];
        let seq = write.seq;
        self.trace.write(&write);
        let late = self.options.fsync.as_micros() as u64;
        let Some(disk) = host.disk.as_mut() else {
            host.synced_now = Some(seq);
            return;
        };
        disk.write(write);
        if late == 0 {
            disk.synced(seq);
            host.synced_now = Some(seq);
        } else {
            host.sync_at = host.sync_at.max(self.now + self.rng.below(late + 1));
            self.queue.push(host.sync_at, Plan::Synced { host: h, run, seq: seq as u32 });
        }
        if let Some(damage) = self.hosts[h as usize].disk.as_mut().and_then(|d| d.take_damage()) {
            self.violated(3, damage);
        }
    }

    fn synced(&mut self, h: u32, run: u32, seq: u64) {
        let host = &mut self.hosts[h as usize];
        if host.run != run || host.process.is_none() {
            return;
        }
        if let Some(disk) = &mut host.disk {
            disk.synced(seq);
            if let Some(damage) = disk.take_damage() {
                self.violated(3, damage);
            }
        }
        if self.hosts[h as usize].is_paused() {
            self.hosts[h as usize].inbox.push_back(Waiting::Stored(seq));
        } else {
            self.feed(h, Input::Stored(seq));
        }
    }

    pub(super) fn tag(&self, h: u32) -> u32 {
        self.hosts[h as usize].config.convention().tag()
    }

    /// A look at a node, where it runs.
    #[must_use]
    pub fn node(&self, host: HostId) -> Option<&Node> {
        self.hosts[host.at()].process.as_ref().map(|p| &p.node)
    }

    /// True time since the world began.
    #[must_use]
    pub fn now(&self) -> Time {
        Time::from_micros(self.now)
    }
}
