//! A state: nodes, what is under way between them, their stores, the time.

use super::super::host::{addr_of, host_of, port_of};
use super::super::process::{Arrived, Plant};
use super::super::rng::mix;
use super::facts::{Broken, Facts};
use super::print::Printer;
use super::wires::{Block, PipeId, Wires};
use crate::proto::{
    Command, Config, Dest, Event, Founding, Lane, Node, Restored, Role, Start, StoreWrite, StreamOutput,
};
use crate::types::{ConnId, ConventionId, NodeId, Time};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// The wall clock at the beginning, microseconds since 1970.
const EPOCH_US: u64 = 1_800_000_000_000_000;

/// What a host's store holds, and what was written and isn't durable yet.
#[derive(Debug, Clone, Default)]
struct Disk {
    durable: Option<Restored>,
    pending: VecDeque<StoreWrite>,
}

#[derive(Debug, Clone)]
struct Host {
    config: Rc<Config>,
    node: Option<Rc<Node>>,
    /// The fingerprint of the node and of its store.
    print: u128,
    deadline: Option<Time>,
    disk: Option<Rc<Disk>>,
    run: u32,
    accepted: u64,
}

/// Candidates, what is under way between them, and the time: one state, and how to come to others.
///
/// All clocks show the same; nothing takes time but waiting. A stage is cheap to copy: only what an input changes is.
#[derive(Debug, Clone)]
pub struct Stage {
    now: Time,
    hosts: Vec<Host>,
    pub(super) wires: Wires,
    facts: Facts,
    pub(super) broken: Option<Broken>,
    plant: Plant,
    slow_sync: bool,
}

impl Stage {
    /// `candidates` nodes named n0, n1, …, with stores or without, that have founded a convention and agree; n0 leads.
    /// Heartbeats each second, gone after two. They find each other by seeds, so that nothing is sent by multicast:
    /// heartbeats to candidates go by unicast anyway.
    ///
    /// # Panics
    /// Where they don't come to agree: that would be a bug.
    #[must_use]
    pub fn founded(candidates: usize, stores: bool) -> Self {
        Self::found(candidates, stores, Plant::default())
    }

    /// The same with a bug planted in each node, at each start.
    ///
    /// # Panics
    /// As [`Stage::founded`].
    #[cfg(feature = "planted-bugs")]
    #[must_use]
    pub fn founded_with(candidates: usize, stores: bool, bug: Option<crate::proto::Bug>) -> Self {
        Self::found(candidates, stores, Plant(bug))
    }

    fn found(candidates: usize, stores: bool, plant: Plant) -> Self {
        let mut stage = Self {
            now: Time::from_micros(1_000_000),
            hosts: Vec::new(),
            wires: Wires::default(),
            facts: Facts::default(),
            broken: None,
            plant,
            slow_sync: false,
        };
        for n in 0..candidates {
            stage.add(&format!("n{n}"), candidates, stores);
        }
        for h in 0..candidates as u32 {
            stage.start(h);
        }
        stage.until("they agree, and n0 leads", |s| {
            let agree = |h: &Host| {
                h.node.as_ref().is_some_and(|n| {
                    n.line().voters().count() == candidates
                        && n.leader().is_some_and(|l| l.id.as_str() == "n0")
                        && n.registration().is_some()
                        && n.commit_index() == n.position().index
                })
            };
            s.hosts.iter().all(agree)
        });
        // The first heartbeats follow each other quickly.
        stage.pass(Duration::from_secs(3));
        stage
    }

    /// Adds a host for a candidate of this name, not started yet. A second one of a name is a replacement elsewhere.
    ///
    /// # Panics
    /// Where the name is no name.
    pub fn add(&mut self, name: &str, candidates: usize, store: bool) -> u32 {
        #[allow(clippy::expect_used)]
        let config = Config::builder(
            ConventionId::new("explored").expect("the name is valid"),
            NodeId::new(name).expect("a candidate has a valid name"),
        )
        .candidate()
        .found(Founding::Expect(candidates))
        .detect(2)
        .multicast(false)
        .seeds(true)
        .build()
        .expect("the configuration is valid");
        let disk = store.then(|| Rc::new(Disk::default()));
        let host = Host { config: Rc::new(config), node: None, print: 0, deadline: None, disk, run: 0, accepted: 0 };
        self.hosts.push(host);
        self.hosts.len() as u32 - 1
    }

    /// Whether writes to stores become durable only by a move of their own (no: at once).
    pub fn slow_sync(&mut self, slow: bool) {
        self.slow_sync = slow;
    }

    /// How many hosts there are.
    #[must_use]
    pub fn hosts(&self) -> u32 {
        self.hosts.len() as u32
    }

    /// A look at a node, where it runs.
    #[must_use]
    pub fn node(&self, host: u32) -> Option<&Node> {
        self.hosts.get(host as usize).and_then(|h| h.node.as_deref())
    }

    /// True where this node leads.
    #[must_use]
    pub fn leads(&self, host: u32) -> bool {
        self.node(host).is_some_and(|n| n.role() == Role::Leader)
    }

    /// The time of all clocks.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// What is broken: the property's number, and a sentence.
    #[must_use]
    pub fn broken(&self) -> Option<(u8, &str)> {
        self.broken.as_ref().map(|(n, what)| (*n, what.as_str()))
    }

    // ---- What can be done to it ----

    /// Starts the node of a host, with what its store holds.
    pub fn start(&mut self, h: u32) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(h as usize).filter(|host| host.node.is_none()) else { return };
        host.run += 1;
        host.accepted = 0;
        let start = Start {
            seed: mix(mix(u64::from(h) << 32 | u64::from(host.run))),
            wall_clock_us: EPOCH_US + now.as_micros() + u64::from(host.run),
            addrs: vec![addr_of(h, port_of(host.run, false))],
            durable: host.disk.is_some(),
            restored: host.disk.as_ref().and_then(|d| d.durable.clone()),
        };
        let mut node = Node::new((*host.config).clone(), start, now);
        self.plant.put_in(&mut node);
        host.node = Some(Rc::new(node));
        self.feed(h, |_, _| ());
    }

    /// Kills the process of a host, as SIGKILL does; what was written and is not durable is lost.
    pub fn crash(&mut self, h: u32) {
        if self.end(h)
            && let Some(disk) = &mut self.hosts[h as usize].disk
        {
            Rc::make_mut(disk).pending.clear();
        }
    }

    fn end(&mut self, h: u32) -> bool {
        let Some(host) = self.hosts.get_mut(h as usize) else { return false };
        if host.node.take().is_none() {
            return false;
        }
        (host.print, host.deadline) = (0, None);
        self.wires.died(h, host.run);
        self.wires.packets.retain(|p| p.to != h);
        self.facts.ended(h);
        true
    }

    /// Blocks what goes from one host to another, or lets it pass again.
    pub fn block(&mut self, from: u32, to: u32, what: Option<Block>) {
        match what {
            Some(what) => {
                self.wires.blocked.insert((from, to), what);
                self.wires.packets.retain(|p| (p.from, p.to) != (from, to));
            }
            None => drop(self.wires.blocked.remove(&(from, to))),
        }
    }

    /// Cuts two hosts off from each other, or mends it.
    pub fn part(&mut self, a: u32, b: u32, apart: bool) {
        let what = apart.then_some(Block::All);
        self.block(a, b, what);
        self.block(b, a, what);
    }

    /// Gives a node a command. What it says of it counts for nothing here.
    pub fn command(&mut self, h: u32, command: Command) {
        self.feed(h, |node, now| drop(node.handle_command(now, command)));
    }

    /// A datagram comes to a node from somewhere else.
    pub fn inject(&mut self, h: u32, from: SocketAddr, bytes: &[u8]) {
        self.feed(h, |node, now| node.handle_datagram(now, from, Lane::Unicast, bytes));
    }

    /// Lets the node with this deadline be woken, in time or late. True where anything came of it that others can see.
    pub(super) fn fire(&mut self, h: u32) -> bool {
        let Some(at) = self.hosts[h as usize].deadline else { return false };
        self.now = self.now.max(at);
        self.feed(h, |node, now| node.handle_timeout(now))
    }

    /// What the host wrote is durable.
    pub(super) fn sync(&mut self, h: u32) {
        let Some(disk) = &mut self.hosts[h as usize].disk else { return };
        let seq = Rc::make_mut(disk).sync();
        self.feed(h, |node, now| node.handle_stored(now, seq));
    }

    /// The next piece of a stream arrives.
    pub(super) fn deliver(&mut self, id: PipeId, end: usize) {
        let Some(pipe) = self.wires.pipe(id) else { return };
        let Some(item) = pipe.flows[end].pop_front() else { return };
        let mut to = pipe.ends[1 - end];
        if let Arrived::Accepted(_) = item {
            let Some(host) = self.hosts.get_mut(to.host as usize).filter(|h| h.node.is_some()) else {
                pipe.flows = [VecDeque::new(), VecDeque::from([Arrived::Refused])];
                pipe.ends[1].open = false;
                return self.wires.tidy(id);
            };
            host.accepted += 1;
            (to.run, to.conn) = (host.run, ConnId(host.accepted * 2 - 1));
            pipe.ends[1] = to;
            pipe.flows[1].push_front(Arrived::Connected);
        }
        if matches!(item, Arrived::Refused | Arrived::Closed) {
            pipe.ends[1 - end].open = false;
            pipe.flows[1 - end].clear();
        }
        let here = to.open && self.hosts[to.host as usize].run == to.run;
        if here {
            self.feed(to.host, |node, now| node.handle_stream(now, to.conn, item.input()));
        }
        self.wires.tidy(id);
    }

    /// A datagram arrives.
    pub(super) fn hear(&mut self, at: usize) {
        let packet = self.wires.packets.remove(at);
        let from = addr_of(packet.from, port_of(1, false));
        self.feed(packet.to, |node, now| node.handle_datagram(now, from, Lane::Unicast, &packet.bytes));
    }

    // ---- What goes on by itself ----

    /// The hosts whose stores have something to make durable.
    pub(super) fn unsynced(&self) -> impl Iterator<Item = u32> {
        (0u32..).zip(&self.hosts).filter(|(_, h)| h.unsynced()).map(|(n, _)| n)
    }

    /// The running nodes by their deadlines, the earliest first.
    pub(super) fn deadlines(&self) -> Vec<(Time, u32)> {
        let mut at: Vec<_> =
            (0u32..).zip(&self.hosts).filter_map(|(n, h)| h.deadline.map(|d| (d.max(self.now), n))).collect();
        at.sort_unstable();
        at
    }

    /// True where something could arrive now.
    pub(super) fn is_busy(&self) -> bool {
        self.wires.deliverable().next().is_some() || !self.wires.packets.is_empty() || self.unsynced().next().is_some()
    }

    /// The one thing that happens next where nothing goes wrong: what can arrive arrives, in a fixed order, before time
    /// passes. True where anything came of it that others can see.
    pub fn step(&mut self) -> bool {
        let sync = self.unsynced().next();
        let next = self.wires.deliverable().next();
        if let Some(h) = sync {
            self.sync(h);
        } else if let Some((id, end)) = next {
            self.deliver(id, end);
        } else if !self.wires.packets.is_empty() {
            self.hear(0);
        } else if let Some((_, h)) = self.deadlines().first() {
            return self.fire(*h);
        } else {
            return false;
        }
        true
    }

    /// Steps until `done`.
    ///
    /// # Panics
    /// Where that takes more than 100,000 steps: the script doesn't fit.
    pub fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..100_000 {
            if done(self) || self.broken.is_some() {
                return;
            }
            self.step();
        }
        panic!("{what}: never");
    }

    /// Steps until so much time has passed.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.broken.is_none() && (self.is_busy() || self.deadlines().first().is_some_and(|(at, _)| *at <= until))
        {
            self.step();
        }
        self.now = self.now.max(until);
    }

    // ---- Inputs and outputs of a node ----

    fn feed(&mut self, h: u32, input: impl FnOnce(&mut Node, Time)) -> bool {
        let now = self.now;
        let Some(mut node) = self.hosts[h as usize].node.take() else { return false };
        let n = Rc::make_mut(&mut node);
        input(n, now);
        let mut seen = false;
        let mut stopped = false;
        loop {
            let mut durable = None;
            while let Some(write) = n.poll_store() {
                seen = true;
                durable = self.hosts[h as usize].write(write, self.slow_sync).or(durable);
            }
            let mut buf = Vec::new();
            while let Some(dest) = n.poll_transmit(&mut buf) {
                seen = true;
                self.transmit(h, dest, &buf);
            }
            while let Some(out) = n.poll_stream() {
                seen = true;
                self.stream(h, out);
            }
            while let Some(event) = n.poll_event() {
                seen = true;
                stopped |= matches!(event, Event::Stopped(_));
            }
            match durable {
                Some(seq) => n.handle_stored(now, seq),
                None => break,
            }
        }
        n.forget_counters();
        let host = &mut self.hosts[h as usize];
        host.deadline = n.poll_timeout().filter(|t| *t != Time::NEVER);
        let mut printer = Printer::new();
        printer.debug(&node);
        printer.debug(&host.disk);
        host.print = printer.print();
        let verdict = self.facts.see(now, (h, host.run), &node);
        host.node = Some(node);
        if stopped {
            self.end(h);
        }
        self.judge(verdict);
        seen
    }

    /// Two leases at once are no single node's fault.
    fn judge(&mut self, verdict: Result<(), Broken>) {
        let mut holder: Option<(&Node, usize)> = None;
        let mut leases = Ok(());
        for (at, node) in self.hosts.iter().enumerate().filter_map(|(at, h)| Some((at, h.node.as_deref()?))) {
            if node.lease_until().is_none_or(|until| until <= self.now) {
                continue;
            }
            match holder {
                Some((other, n)) if other.lineage() == node.lineage() => {
                    leases = Err((1, format!("two leases at once: n{n} and n{at}")));
                }
                _ => holder = Some((node, at)),
            }
        }
        if self.broken.is_none() {
            self.broken = verdict.and(leases).err();
        }
    }

    fn transmit(&mut self, h: u32, dest: Dest, bytes: &[u8]) {
        for to in 0..self.hosts() {
            let meant = match dest {
                Dest::Addr(addr) => host_of(&addr) == Some(to),
                // There are seeds only; all others are.
                Dest::Seeds | Dest::Floor | Dest::Bench | Dest::Broadcast => true,
            };
            if meant && self.hosts[to as usize].node.is_some() {
                self.wires.datagram(h, to, bytes.to_vec());
            }
        }
    }

    fn stream(&mut self, h: u32, out: StreamOutput) {
        let run = self.hosts[h as usize].run;
        match out {
            StreamOutput::Connect(conn, to) => {
                if let Some(to) = host_of(&to).filter(|t| (*t as usize) < self.hosts.len()) {
                    self.wires.dial(h, run, conn, to, addr_of(h, port_of(run, false)));
                }
            }
            StreamOutput::Send(conn, bytes) | StreamOutput::Bulk(conn, bytes) => self.wires.send(h, run, conn, bytes),
            StreamOutput::Close(conn) => self.wires.close(h, run, conn),
        }
    }

    /// The fingerprint of all that can matter for what comes.
    pub(super) fn print(&self) -> u128 {
        let mut printer = Printer::new();
        printer.number(self.now.as_micros());
        for host in &self.hosts {
            printer.wide(host.print);
            printer.number(u64::from(host.run));
            if host.node.is_none() {
                printer.debug(&host.disk);
            }
        }
        self.wires.print(&mut printer);
        self.facts.print(&mut printer);
        printer.print()
    }
}

impl Host {
    fn unsynced(&self) -> bool {
        self.node.is_some() && self.disk.as_ref().is_some_and(|d| !d.pending.is_empty())
    }

    /// Takes a write; where it is durable at once, its number.
    fn write(&mut self, write: StoreWrite, slow: bool) -> Option<u64> {
        let seq = write.seq;
        let Some(disk) = &mut self.disk else { return Some(seq) };
        let disk = Rc::make_mut(disk);
        disk.pending.push_back(write);
        (!slow).then(|| disk.sync())
    }
}

impl Disk {
    /// All that is pending becomes durable; the number of the last write.
    fn sync(&mut self) -> u64 {
        let mut seq = 0;
        while let Some(write) = self.pending.pop_front() {
            seq = write.seq;
            if write.replace {
                self.durable = None;
            }
            let state = self.durable.get_or_insert_default();
            for record in write.records {
                // A gap would be a bug of the core; the whole runs look for it.
                let _ = state.replay(record);
            }
        }
        seq
    }
}
