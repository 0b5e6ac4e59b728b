//! The world: hosts, a network, and one queue of what will happen.

use super::host::{Host, HostId, NEVER, NodeOptions, Waiting, addr_of, host_of};
use super::net::{Conditions, Net};
use super::observe::{Violation, Watch};
use super::packet::Packets;
use super::process::{Arrived, Input, Process};
use super::queue::{Plan, Queue};
use super::rng::{Rng, mix};
use super::streams::Pipes;
use super::trace::{Detail, Trace};
use crate::proto::{Config, Dest, Event, Lane, Node, StoreWrite};
use crate::types::{ConnId, Time};
use std::time::Duration;

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
            counts: Counts::default(),
            violations: Vec::new(),
            options: self,
        }
    }
}

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
    bench: Vec<u32>,
    pub(super) net: Net,
    pub(super) packets: Packets,
    pub(super) pipes: Pipes,
    pub(super) rng: Rng,
    pub(super) trace: Trace,
    pub(super) watch: Option<Watch>,
    pub(super) events: Vec<(Time, HostId, Event)>,
    pub(super) counts: Counts,
    pub(super) violations: Vec<Violation>,
    pub(super) options: WorldBuilder,
}

/// A node that wants to be woken at once, so often in a row that it can't be meant.
const SPIN: u32 = 10_000;

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
            connect_patience: Duration::from_secs(3),
            stream_patience: Duration::from_secs(3),
            receive_buffer: 256,
            halt: false,
        }
    }

    /// Adds a host with a node, and starts the node unless the options say otherwise.
    pub fn add_node(&mut self, config: Config, options: NodeOptions) -> HostId {
        let id = HostId(self.hosts.len() as u32);
        if config.standing().votes() {
            self.bench.push(id.0);
        }
        let stopped = options.stopped;
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

    fn fan_arrives(&mut self, packet: u32) {
        let p = self.packets.get(packet);
        let (from, lane) = (p.from, p.lane);
        if lane == Lane::Floor {
            for host in 0..self.hosts.len() as u32 {
                if host != from || self.options.echo {
                    self.arrive(host, packet);
                }
            }
        } else {
            for at in 0..self.bench.len() {
                let host = self.bench[at];
                if host != from || self.options.echo {
                    self.arrive(host, packet);
                }
            }
        }
    }

    fn arrive(&mut self, h: u32, packet: u32) {
        let host = &mut self.hosts[h as usize];
        let p = self.packets.get(packet);
        if p.from != h && !(host.powered && self.net.passes_datagrams(p.from, h)) {
            self.counts.datagrams_cut += 1;
            return;
        }
        if host.process.is_none() || p.port != 0 && p.port != host.port {
            self.counts.datagrams_unheard += 1;
            return;
        }
        if host.is_paused() {
            if host.datagrams_waiting >= self.options.receive_buffer {
                self.counts.datagrams_overflowed += 1;
                return;
            }
            host.datagrams_waiting += 1;
            host.inbox.push_back(Waiting::Datagram(packet));
            self.packets.hold(packet);
            return;
        }
        self.read(h, packet);
    }

    /// The process reads a datagram.
    pub(super) fn read(&mut self, h: u32, packet: u32) {
        let p = self.packets.get(packet);
        let (from, lane, len) = (p.from_addr, p.lane, p.bytes.len());
        self.counts.datagrams_delivered += 1;
        self.trace.number(u64::from(h) << 32 | len as u64);
        if self.trace.tells(Detail::Everything) {
            let what = format_args!("hears {from} {lane:?} {}", Hex(&p.bytes));
            self.trace.line(Detail::Everything, self.now, self.hosts[h as usize].config.id().as_str(), what);
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
            self.trace.line(Detail::Everything, self.now, host.config.id().as_str(), format_args!("{conn} {what:?}"));
        }
        self.feed(h, Input::Stream(conn, &what));
    }

    /// Gives a node an input and takes what comes of it.
    pub(super) fn feed(&mut self, h: u32, input: Input<'_>) {
        let host = &mut self.hosts[h as usize];
        let Some(mut process) = host.process.take() else { return };
        let now = host.clock.local(self.now);
        self.trace.number(self.now);
        if !matches!(input, Input::Timeout) {
            process.wakes = 0;
        } else if process.wakes > SPIN {
            process.wakes = 0;
            self.violated(9, format!("{} asks to be woken at once, {SPIN} times in a row", process.node.config().id()));
        }
        process.handle(now, input);
        self.drain(h, process);
    }

    /// Takes everything out of a node and puts the process back.
    pub(super) fn drain(&mut self, h: u32, mut process: Box<Process>) {
        let p = &mut *process;
        loop {
            while let Some(write) = p.poll_store() {
                self.store(h, p.run, write);
            }
            loop {
                let mut buffer = self.packets.buffer();
                match p.poll_transmit(&mut buffer) {
                    Some(dest) => self.send(h, dest, buffer),
                    None => {
                        self.packets.give_back(buffer);
                        break;
                    }
                }
            }
            while let Some(out) = p.poll_stream() {
                self.stream_output(h, p, out);
            }
            while let Some(event) = p.poll_event() {
                self.told(h, p, event);
            }
            let host = &mut self.hosts[h as usize];
            let Some(seq) = host.synced_now.take() else { break };
            let now = host.clock.local(self.now);
            p.handle(now, Input::Stored(seq));
        }
        self.observe(h, p);
        self.hosts[h as usize].process = Some(process);
        if self.hosts[h as usize].stopped.is_some() {
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
        self.trace.debug(&write);
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

    /// A node sends a datagram.
    fn send(&mut self, h: u32, dest: Dest, bytes: Vec<u8>) {
        self.counts.datagrams_sent += 1;
        self.trace.bytes(&bytes);
        if self.trace.tells(Detail::Everything) {
            let what = format_args!("sends {dest:?} {}", Hex(&bytes));
            self.trace.line(Detail::Everything, self.now, self.hosts[h as usize].config.id().as_str(), what);
        }
        let addr = addr_of(h, self.hosts[h as usize].port);
        match dest {
            Dest::Addr(to) => {
                let packet = self.packets.put(h, addr, Lane::Unicast, to.port(), bytes);
                match host_of(&to).filter(|t| (*t as usize) < self.hosts.len()) {
                    Some(to) => self.launch(h, to, packet, false),
                    None => self.counts.datagrams_unheard += 1,
                }
                self.packets.release(packet);
            }
            Dest::Seeds => {
                for at in 0..self.hosts[h as usize].options.seeds.len() {
                    let to = self.hosts[h as usize].options.seeds[at];
                    let mut copy = self.packets.buffer();
                    copy.clear();
                    copy.extend_from_slice(&bytes);
                    let port = self.hosts[to.at()].port;
                    let packet = self.packets.put(h, addr, Lane::Unicast, port, copy);
                    self.launch(h, to.0, packet, false);
                    self.packets.release(packet);
                }
                self.packets.give_back(bytes);
            }
            Dest::Floor | Dest::Bench | Dest::Broadcast => {
                let lane = if dest == Dest::Floor { Lane::Floor } else { Lane::Bench };
                let packet = self.packets.put(h, addr, lane, 0, bytes);
                self.fan(h, packet);
            }
        }
    }

    fn fan(&mut self, h: u32, packet: u32) {
        if self.net.is_uniform() {
            let at = self.now + self.net.conditions.delay.as_micros() as u64;
            self.queue.push(at, Plan::Fan { packet });
            return;
        }
        let hosts = if self.packets.get(packet).lane == Lane::Floor { self.hosts.len() } else { self.bench.len() };
        for at in 0..hosts {
            let to = if hosts == self.hosts.len() { at as u32 } else { self.bench[at] };
            if self.net.is_deaf(to) {
                self.counts.datagrams_cut += 1;
            } else if to != h {
                self.launch(h, to, packet, true);
            } else if self.options.echo {
                self.packets.hold(packet);
                self.queue.push(self.now, Plan::Arrive { host: to, packet });
            }
        }
        self.packets.release(packet);
    }

    /// Decides what becomes of a datagram on its way to one host.
    fn launch(&mut self, h: u32, to: u32, packet: u32, multicast: bool) {
        if !self.net.passes_datagrams(h, to) {
            self.counts.datagrams_cut += 1;
            return;
        }
        let fate = self.net.fate(&mut self.rng, h, to, multicast);
        self.counts.datagrams_lost += u64::from(fate.first.is_none());
        self.counts.datagrams_reordered += u64::from(fate.straggles);
        self.counts.datagrams_duplicated += u64::from(fate.second.is_some());
        for (delay, corrupt) in [(fate.first, fate.corrupt), (fate.second, false)] {
            let Some(delay) = delay else { continue };
            let packet = if corrupt {
                self.corrupted(packet)
            } else {
                self.packets.hold(packet);
                packet
            };
            self.queue.push(self.now + delay, Plan::Arrive { host: to, packet });
        }
    }

    /// A copy of a datagram with up to eight bits flipped, or cut short.
    fn corrupted(&mut self, packet: u32) -> u32 {
        self.counts.datagrams_corrupted += 1;
        let mut copy = self.packets.buffer();
        let p = self.packets.get(packet);
        copy.clear();
        copy.extend_from_slice(&p.bytes);
        let (from, addr, lane, port) = (p.from, p.from_addr, p.lane, p.port);
        if self.rng.one_in(8) {
            copy.truncate(self.rng.below(copy.len() as u64 + 1) as usize);
        }
        if !copy.is_empty() {
            for _ in 0..self.rng.range(1, 8) {
                let bit = self.rng.below(copy.len() as u64 * 8) as usize;
                copy[bit / 8] ^= 1 << (bit % 8);
            }
        }
        self.packets.put(from, addr, lane, port, copy)
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

/// Bytes for a line of the trace.
struct Hex<'a>(&'a [u8]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes ", self.0.len())?;
        self.0.iter().take(48).try_for_each(|b| write!(f, "{b:02x}"))
    }
}
