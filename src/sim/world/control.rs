//! What can be done to a [`World`]: start, kill, pause, cut, heal.

use super::super::host::{Host, HostId, NEVER, Seen, Waiting, addr_of, port_of, renumbered_port};
use super::super::net::{Conditions, Cut};
use super::super::process::{Asked, Input, Process};
use super::super::queue::Plan;
use super::super::trace::Detail;
use super::observe::Violation;
use super::{Counts, World};
use crate::proto::{AnswerError, Command, CommandError, Event, RequestError, SendError, Start, StopReason};
use crate::types::{NodeId, Time};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Duration;

/// The wall clock at the world's beginning, microseconds since 1970.
pub(super) const EPOCH_US: u64 = 1_800_000_000_000_000;

impl World {
    /// Starts the node of a host, with what its store holds, where it has one. Does nothing where it runs or where the
    /// host is without power.
    pub fn start(&mut self, host: HostId) {
        let h = &mut self.hosts[host.at()];
        if h.process.is_some() || !h.powered {
            return;
        }
        h.run += 1;
        h.port = port_of(h.run, h.options.new_ports);
        // Even where the clock stands still between two starts, the second one is later.
        let wall = (EPOCH_US + self.now + h.options.wall_ahead_us).saturating_sub(h.wall_back);
        h.last_wall = if h.wall_back > 0 { wall } else { wall.max(h.last_wall + 1) };
        // A store that failed is told to the node, and it doesn't come back with less than it had on its own.
        let intact = h.stopped != Some(StopReason::Store);
        let lacks = h.disk.as_ref().filter(|_| intact).and_then(|d| d.lacks(h.seen.lineage, h.seen.commit));
        h.stopped = None;
        h.leaves = None;
        h.behind.clear();
        // Who died on its way home starts there: its embedder's configuration says so by now.
        if let Some((group, seeds)) = h.moves_to.take().filter(|(group, _)| *group == h.home.0) {
            (h.options.group, h.options.seeds) = (group, seeds);
        }
        h.seen = Seen::NOTHING;
        let (run, port, wall_clock_us, durable) = (h.run, h.port, h.last_wall, h.disk.is_some());
        let plant = h.plant.unwrap_or(self.options.plant);
        let restored = h.disk.as_ref().and_then(|d| d.restored());
        let now = h.clock.local(self.now);
        let config = h.config.clone();
        let name = config.id().clone();
        if let Some(watch) = &mut self.watch {
            watch.terms.restarted(host.0, durable);
            watch.findings.says(&name, &config.capabilities);
        }
        if let Some(lacks) = lacks.filter(|_| self.watch.is_some()) {
            self.violated(3, format!("{name} starts anew, and {lacks}"));
        }
        let seed = self.start_seed(host, run);
        let addrs = vec![addr_of(host.0, port)];
        self.trace.number(seed);
        let how = if restored.is_some() { "with what its store holds" } else { "anew" };
        self.say(host.0, format_args!("{name} starts {how}"));
        let start = Start { seed, wall_clock_us, addrs, durable, restored };
        let process = Box::new(Process::new(config, start, now, run, self.options.twins, plant));
        let h = &mut self.hosts[host.at()];
        h.incarnation = process.node.incarnation();
        h.identity = process.node.identity();
        self.drain(host.0, process);
    }

    /// Sets the wall clock of a host back, by as much in all: the next start of its node sees it.
    pub fn set_wall_back(&mut self, host: HostId, by: Duration) {
        self.hosts[host.at()].wall_back = by.as_micros() as u64;
    }

    /// Plants a bug in the node of this host, at each of its starts from now on: for tests of the checkers.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(&mut self, host: HostId, bug: crate::proto::Bug) {
        self.hosts[host.at()].plant = Some(super::super::process::Plant(Some(bug)));
    }

    /// Kills the process, as SIGKILL does: peers that can be reached see its streams end at once.
    pub fn kill(&mut self, host: HostId) {
        if self.hosts[host.at()].process.is_some() {
            self.say(host.0, format_args!("is killed"));
        }
        self.crash_disk(host.0);
        self.end_process(host.0, false);
    }

    /// Kills the process and starts it again at once.
    pub fn restart(&mut self, host: HostId) {
        self.kill(host);
        self.start(host);
    }

    /// Cuts the host's power: nobody sees anything but silence. [`World::power_on`] gives it back, without a process.
    pub fn power_off(&mut self, host: HostId) {
        self.say(host.0, format_args!("loses its power"));
        self.crash_disk(host.0);
        self.end_process(host.0, true);
        self.hosts[host.at()].powered = false;
    }

    /// Gives the host its power back. [`World::start`] starts its node.
    pub fn power_on(&mut self, host: HostId) {
        self.hosts[host.at()].powered = true;
    }

    fn crash_disk(&mut self, h: u32) {
        if let Some(disk) = &mut self.hosts[h as usize].disk {
            self.counts.writes_lost += disk.crash(&mut self.rng) as u64;
            let damage = disk.take_damage();
            if let (Some(watch), Some((voter, lineage))) = (&mut self.watch, disk.sealed()) {
                watch.voters.fell_back(voter, lineage);
            }
            if let Some(damage) = damage {
                self.violated(3, damage);
            }
        }
    }

    /// Gives the host another address while its node runs: nothing listens at the old one any more. The node is told
    /// first, as a driver does before it closes a socket. Does nothing where no node runs.
    pub fn renumber(&mut self, host: HostId) {
        let h = &mut self.hosts[host.at()];
        h.renumbered = h.renumbered.wrapping_add(1);
        let port = renumbered_port(h.renumbered);
        let addr = addr_of(host.0, port);
        self.say(host.0, format_args!("gets another address: {addr}"));
        if self.command(host, Command::Addresses(vec![addr])).is_ok() {
            self.hosts[host.at()].port = port;
        }
    }

    /// Points a node at another convention address, a multicast group and some seeds, while it runs: it leaves where it is,
    /// then goes over.
    ///
    /// # Errors
    /// What the node says; nothing changed then.
    pub fn move_to(&mut self, host: HostId, group: u16, seeds: Vec<HostId>) -> Result<(), CommandError> {
        let multicast = self.hosts[host.at()].config.multicast;
        let command = Command::Move { multicast, seeds: !seeds.is_empty() };
        self.say(host.0, format_args!("is pointed at group {group}"));
        // It may go at once.
        let before = self.hosts[host.at()].moves_to.replace((group, seeds));
        let result = self.command(host, command);
        if result.is_err() {
            self.hosts[host.at()].moves_to = before;
        }
        result
    }

    /// Points a node that was moved back at the address that it began with; true where it is there, or on its way.
    pub(in crate::sim) fn go_home(&mut self, host: HostId) -> bool {
        let h = &mut self.hosts[host.at()];
        let (group, seeds) = h.home.clone();
        if h.process.is_none() {
            // The command line of the next start counts for that start.
            (h.options.group, h.options.seeds, h.moves_to) = (group, seeds, None);
            return true;
        }
        if let Some((to, _)) = &h.moves_to {
            return *to == group;
        }
        h.options.group == group || self.move_to(host, group, seeds).is_ok()
    }

    /// A node has left and begins anew: its host's discovery is swapped.
    pub(super) fn arrive_elsewhere(&mut self, h: u32, process: &Process) {
        let host = &mut self.hosts[h as usize];
        host.incarnation = process.node.incarnation();
        host.identity = process.node.identity();
        host.leaves.get_or_insert(host.seen.lineage);
        if let Some((group, seeds)) = host.moves_to.take() {
            (host.options.group, host.options.seeds) = (group, seeds);
        }
    }

    /// Wipes the store of a host whose node doesn't run: its next start is that of a new voter.
    pub fn wipe(&mut self, host: HostId) {
        let h = &mut self.hosts[host.at()];
        if h.process.is_none() && h.disk.is_some() {
            h.disk = Some(Default::default());
            h.seen = Seen::NOTHING;
            if let Some(watch) = &mut self.watch {
                watch.terms.restarted(host.0, false);
            }
            self.forget_lineage(host);
        }
    }

    /// The store of a host can't be written any more: its node is told so.
    pub fn break_store(&mut self, host: HostId) {
        self.say(host.0, format_args!("can't write its store"));
        self.feed(host.0, Input::StoreFailed);
    }

    /// Ends the process in whatever way; `silently`: the host with it.
    pub(super) fn end_process(&mut self, h: u32, silently: bool) {
        let Some(mut process) = self.hosts[h as usize].process.take() else { return };
        self.streams_end(h, &mut process, silently);
        let host = &mut self.hosts[h as usize];
        (host.fires, host.deadline, host.asked) = (NEVER, NEVER, None);
        host.pause += host.pause % 2;
        host.datagrams_waiting = 0;
        host.sync_at = 0;
        host.synced_now = None;
        for waiting in std::mem::take(&mut host.inbox) {
            if let Waiting::Datagram(packet) = waiting {
                self.packets.release(packet);
            }
        }
        if let Some(watch) = &mut self.watch {
            watch.process_ended(h, process.run, self.hosts[h as usize].seen);
        }
        self.remember_lineage(h);
    }

    /// Stops the process for a while, as SIGSTOP does: what comes meanwhile waits, up to the receive buffer.
    pub fn pause(&mut self, host: HostId, duration: Duration) {
        let h = &mut self.hosts[host.at()];
        if h.process.is_none() || h.is_paused() {
            return;
        }
        h.pause += 1;
        let pause = h.pause;
        self.queue.push(self.now + duration.as_micros() as u64, Plan::Wake { host: host.0, pause });
        self.say(host.0, format_args!("is paused for {duration:?}"));
    }

    /// Lets a paused process go on before its time, as SIGCONT does. Does nothing where it isn't paused.
    pub fn resume(&mut self, host: HostId) {
        let h = &self.hosts[host.at()];
        if h.is_paused() {
            self.wake(host.0, h.pause);
        }
    }

    /// A paused process goes on: it reads what waits, then looks at its clock.
    pub(super) fn wake(&mut self, h: u32, pause: u32) {
        let host = &mut self.hosts[h as usize];
        if host.pause != pause || !host.is_paused() {
            return;
        }
        host.pause += 1;
        host.datagrams_waiting = 0;
        self.say(h, format_args!("goes on"));
        let run = self.hosts[h as usize].run;
        for waiting in std::mem::take(&mut self.hosts[h as usize].inbox) {
            let same = self.hosts[h as usize].run == run && self.hosts[h as usize].process.is_some();
            match waiting {
                Waiting::Datagram(packet) => {
                    if same {
                        self.read(h, packet);
                    }
                    self.packets.release(packet);
                }
                Waiting::Stream(conn, what) if same => self.stream_input(h, conn, what),
                Waiting::Stored(seq) if same => self.feed(h, Input::Stored(seq)),
                Waiting::Stream(..) | Waiting::Stored(_) => {}
            }
        }
        let host = &mut self.hosts[h as usize];
        (host.fires, host.deadline) = (NEVER, NEVER);
        if host.asked.is_some_and(|t| t <= host.clock.local(self.now)) {
            self.feed(h, Input::Timeout);
        }
        self.rearm(h);
    }

    /// Cuts the link between two hosts.
    pub fn cut(&mut self, a: HostId, b: HostId) {
        self.cut_one_way(a, b, Cut::All);
        self.cut_one_way(b, a, Cut::All);
    }

    /// Cuts one direction of a link.
    pub fn cut_one_way(&mut self, from: HostId, to: HostId, what: Cut) {
        self.net.cut(from.0, to.0, what, true);
    }

    /// Repairs the link between two hosts.
    pub fn mend(&mut self, a: HostId, b: HostId) {
        self.net.cut(a.0, b.0, Cut::All, false);
        self.net.cut(b.0, a.0, Cut::All, false);
    }

    /// Cuts all links between a group of hosts and the rest.
    pub fn partition(&mut self, group: &[HostId]) {
        for a in 0..self.hosts.len() as u32 {
            for b in group.iter().map(|b| b.0) {
                if !group.contains(&HostId(a)) {
                    self.cut(HostId(a), HostId(b));
                }
            }
        }
    }

    /// Cuts a host off from all others.
    pub fn isolate(&mut self, host: HostId) {
        self.partition(&[host]);
    }

    /// Repairs all links and all ears; the general conditions stay.
    pub fn heal(&mut self) {
        self.net.heal();
    }

    /// A host that is deaf receives no multicast.
    pub fn deafen(&mut self, host: HostId, deaf: bool) {
        self.net.set_deaf(host.0, deaf);
    }

    /// The general conditions of the network, from now on.
    pub fn set_conditions(&mut self, conditions: Conditions) {
        self.net.conditions = conditions;
    }

    /// Gives one direction of a link conditions of its own; nothing: the general ones again.
    pub fn set_link(&mut self, from: HostId, to: HostId, conditions: Option<Conditions>) {
        self.net.link(from.0, to.0, conditions);
    }

    /// From now on a host's clock runs so many millionths too fast.
    pub fn set_clock_rate(&mut self, host: HostId, ppm: i32) {
        let h = &mut self.hosts[host.at()];
        h.clock.set_rate(self.now, ppm);
        // The deadline now falls on another true time.
        (h.fires, h.deadline, h.asked) = (NEVER, NEVER, None);
        self.rearm(host.0);
        self.observe_lease_anew(host.0);
    }

    /// As [`World::command`], of a question: what comes of it is checked.
    ///
    /// # Errors
    /// What the node says.
    pub(in crate::sim) fn ask(&mut self, host: HostId, command: Command) -> Result<(), CommandError> {
        let run = self.hosts[host.at()].run;
        self.question(host.0, run, &command);
        let result = self.command(host, command.clone());
        if result.is_err() {
            self.no_question(host.0, run, &command);
        }
        result
    }

    /// Gives a node a command.
    ///
    /// # Errors
    /// What the node says; [`CommandError::Stopped`] where it doesn't run.
    pub fn command(&mut self, host: HostId, command: Command) -> Result<(), CommandError> {
        let h = &mut self.hosts[host.at()];
        let Some(mut process) = h.process.take() else { return Err(CommandError::Stopped) };
        process.leaving |= command == Command::Leave;
        let now = h.clock.local(self.now);
        // It may be answered at once.
        let asks = matches!(
            command,
            Command::Claim(_) | Command::Release(_) | Command::Find { .. } | Command::SetCapabilities(_)
        );
        let claim = asks.then(|| command.clone());
        let result = process.command(now, command);
        if let (Ok(()), Some(claim)) = (&result, claim) {
            self.commanded(host.0, &process, &claim);
        }
        self.drain(host.0, process);
        result
    }

    /// Lets a node's embedder send a message.
    ///
    /// # Errors
    /// What the node says; [`SendError::Stopped`] where it doesn't run.
    pub fn send(&mut self, host: HostId, to: &NodeId, body: Bytes) -> Result<(), SendError> {
        self.send_by(host, to, body, true)
    }

    /// Lets a node's embedder send a datagram.
    ///
    /// # Errors
    /// As [`World::send`].
    pub fn send_datagram(&mut self, host: HostId, to: &NodeId, body: Bytes) -> Result<(), SendError> {
        self.send_by(host, to, body, false)
    }

    /// Lets a node's embedder tell all something.
    ///
    /// # Errors
    /// As [`World::send`].
    pub fn broadcast(&mut self, host: HostId, body: Bytes) -> Result<u64, SendError> {
        let h = &mut self.hosts[host.at()];
        let paused = h.is_paused();
        let Some(mut process) = h.process.take_if(|_| !paused) else { return Err(SendError::Stopped) };
        let result = process.broadcast(h.clock.local(self.now), body.clone());
        if let Ok(number) = result {
            self.said(host, &process, number, &body);
        }
        self.drain(host.0, process);
        result
    }

    fn send_by(&mut self, host: HostId, to: &NodeId, body: Bytes, stream: bool) -> Result<(), SendError> {
        let h = &mut self.hosts[host.at()];
        let paused = h.is_paused();
        let Some(mut process) = h.process.take_if(|_| !paused) else { return Err(SendError::Stopped) };
        let result = process.send(h.clock.local(self.now), to, body.clone(), stream);
        if result.is_ok() {
            self.accepted(host, &process, to, &body, stream);
        }
        self.drain(host.0, process);
        result
    }

    /// Lets a node's embedder ask whoever leads.
    ///
    /// # Errors
    /// What the node says; [`RequestError::Stopped`] where it doesn't run.
    pub fn request(&mut self, host: HostId, body: Bytes, again: bool) -> Result<u64, RequestError> {
        let h = &mut self.hosts[host.at()];
        let paused = h.is_paused();
        let Some(mut process) = h.process.take_if(|_| !paused) else { return Err(RequestError::Stopped) };
        let now = h.clock.local(self.now);
        let result = process.request(now, body.clone(), again);
        if let Ok(number) = result {
            self.asked(host, &process, number, &body, again);
        }
        self.drain(host.0, process);
        result
    }

    /// Lets a node's embedder answer a request that it was given; without an answer it forgets it.
    ///
    /// # Errors
    /// What the node says; [`AnswerError::Stopped`] where it doesn't run.
    pub fn answer(&mut self, host: HostId, whose: &Asked, answer: Option<Bytes>) -> Result<(), AnswerError> {
        let h = &mut self.hosts[host.at()];
        let paused = h.is_paused();
        let Some(mut process) = h.process.take_if(|_| !paused) else { return Err(AnswerError::Stopped) };
        let now = h.clock.local(self.now);
        let result = process.answer(now, whose, answer.clone());
        if let (Ok(()), Some(answer)) = (&result, &answer) {
            self.answered(whose, answer);
        }
        self.drain(host.0, process);
        result
    }

    /// The requests that embedders were given since this was last called: by which host, in which run of it.
    pub fn take_asked(&mut self) -> Vec<(HostId, u32, Asked)> {
        std::mem::take(&mut self.asked)
    }

    /// In which run a host is; it counts its starts.
    #[must_use]
    pub fn run_of(&self, host: HostId) -> u32 {
        self.hosts[host.at()].run
    }

    /// Whether a node's embedder leaves its messages where they are, and takes all other events.
    pub fn set_lazy(&mut self, host: HostId, lazy: bool) {
        // What waits is taken after the next input.
        self.hosts[host.at()].lazy = lazy;
    }

    /// What was told since this was last called: when (true time), by which node, and what.
    pub fn take_events(&mut self) -> Vec<(Time, HostId, Event)> {
        std::mem::take(&mut self.events)
    }

    /// All hosts.
    pub fn hosts(&self) -> impl ExactSizeIterator<Item = HostId> + use<> {
        (0..self.hosts.len() as u32).map(HostId)
    }

    /// The name of a host's node.
    #[must_use]
    pub fn name(&self, host: HostId) -> &NodeId {
        self.hosts[host.at()].config.id()
    }

    /// The host of the node with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<HostId> {
        self.hosts().find(|h| self.name(*h).as_str() == name)
    }

    /// Where a host's node listens, or last listened.
    #[must_use]
    pub fn addr(&self, host: HostId) -> SocketAddr {
        addr_of(host.0, self.hosts[host.at()].port)
    }

    /// True where the host's node runs, paused or not.
    #[must_use]
    pub fn is_running(&self, host: HostId) -> bool {
        self.hosts[host.at()].process.is_some()
    }

    /// True where the host's node is paused.
    #[must_use]
    pub fn is_paused(&self, host: HostId) -> bool {
        self.hosts[host.at()].is_paused()
    }

    /// True where the host has power.
    #[must_use]
    pub fn is_powered(&self, host: HostId) -> bool {
        self.hosts[host.at()].powered
    }

    /// The running nodes that hold themselves for the leader, in the order of the hosts.
    pub fn leaders(&self) -> impl Iterator<Item = HostId> {
        self.hosts().filter(|h| self.node(*h).is_some_and(|n| n.role() == crate::proto::Role::Leader))
    }

    /// What was found to be wrong.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// What happened how often.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// A number that stands for everything that happened: the same seed and calls give the same one.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    /// The last lines of the trace, as many as were asked for.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.trace.lines()
    }

    /// Takes the lines of the trace out.
    pub fn take_lines(&mut self) -> Vec<String> {
        self.trace.take_lines()
    }

    /// From now on this much is written down.
    pub fn set_detail(&mut self, detail: Detail) {
        self.trace.set_detail(detail);
    }

    /// Writes a line of the story.
    pub(in crate::sim) fn say(&mut self, h: u32, what: std::fmt::Arguments<'_>) {
        let name = self.hosts.get(h as usize).map_or("", Host::name);
        self.trace.line(Detail::Story, self.now, name, what);
    }
}
