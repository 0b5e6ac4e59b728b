//! `convoke swarm`: many real members in one process on one thread, each with its own socket, in one poll.

use crate::inputs::{self, Input};
use crate::options::{NodeOptions, SwarmOptions};
use crate::report::{Line, Reporter};
use crate::{Failure, notices};
use convoke::driver::{Driver, DriverEvent, Setup};
use convoke::proto::{Command, Event};
use convoke::types::NodeId;
use mio::{Events, Poll, Token, Waker};
use std::collections::BTreeSet;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

const INPUTS: Token = Token(usize::MAX);

/// How often the figures are told.
const PERIOD: Duration = Duration::from_secs(1);

/// Descriptors that one member needs: its poll, its timer, its listener, its own UDP socket, the floor's, and a connection.
const DESCRIPTORS: u64 = 6;

/// What has come about so far, in all of them together.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    registrations: u64,
    registered: u64,
    sent: u64,
    heard: u64,
    drops: u64,
    processor_us: u64,
}

struct Swarm {
    poll: Poll,
    members: Vec<Driver>,
    /// When each is due at the latest.
    due: Vec<Instant>,
    by_due: BTreeSet<(Instant, usize)>,
    /// Those that this node's events say are registered.
    registered: Vec<bool>,
    registrations: u64,
    subscribers: usize,
    inputs: Receiver<Input>,
    reporter: Reporter,
    until_eof: bool,
    started: Instant,
    told: (Instant, Totals),
    all_registered: bool,
    /// Until when an orderly leave may take.
    leaving: Option<Instant>,
    ends: Option<Instant>,
    detection: Duration,
}

pub(crate) fn run(options: SwarmOptions) -> Result<(), Failure> {
    crate::start_logs()?;
    raise_limit(options.members as u64 * DESCRIPTORS + 64);
    let poll = Poll::new().map_err(Failure::failed)?;
    let inputs = inputs::start(Waker::new(poll.registry(), INPUTS).map_err(Failure::failed)?)?;
    let (id, set) = (options.node.id.clone(), options.node.set.clone());
    let mut reporter = Reporter::new(id.clone(), set.json);
    let line = Line::new("started", format!("{} members", options.members)).with("members", options.members);
    reporter.print(&line.with("version", env!("CARGO_PKG_VERSION")));
    let started = Instant::now();
    let mut detection = Duration::ZERO;
    let mut members = Vec::with_capacity(options.members);
    for n in 0..options.members {
        let name = format!("{id}-{n}");
        let id = NodeId::new(&name).map_err(|e| Failure::usage(format!("--id {name}: {e}")))?;
        let mut set = set.clone();
        set.subscribe |= n < options.subscribers;
        let node = NodeOptions { convention: options.node.convention.clone(), id, set };
        let (config, net) = (node.config()?, node.net()?);
        detection = config.detection();
        let bound = Driver::bind(Setup { config, net, store: None }, poll.registry(), Token(n));
        members.push(bound.map_err(|e| Failure::failed(format!("member {n} of {}: {e}", options.members)))?);
    }
    let now = Instant::now();
    let mut swarm = Swarm {
        poll,
        due: vec![now; members.len()],
        by_due: (0..members.len()).map(|n| (now, n)).collect(),
        registered: vec![false; members.len()],
        registrations: 0,
        subscribers: if set.subscribe { options.members } else { options.subscribers },
        members,
        inputs,
        reporter,
        until_eof: set.until_eof,
        started,
        told: (now, Totals::default()),
        all_registered: false,
        leaving: None,
        ends: options.time.map(|time| now + time),
        detection,
    };
    swarm.follow()
}

/// Each process may have so many descriptors more, where the system allows it.
#[cfg(target_os = "linux")]
fn raise_limit(wanted: u64) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < wanted
    {
        // Where that isn't enough, binding fails and says so.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard);
    }
}

#[cfg(not(target_os = "linux"))]
fn raise_limit(_wanted: u64) {}

/// The processor time of this process so far, where the system tells it.
#[cfg(target_os = "linux")]
fn processor_us() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID);
    time.map_or(0, |t| t.tv_sec().unsigned_abs() * 1_000_000 + t.tv_nsec().unsigned_abs() / 1_000)
}

#[cfg(not(target_os = "linux"))]
fn processor_us() -> u64 {
    0
}

impl Swarm {
    fn follow(&mut self) -> Result<(), Failure> {
        let mut ready = Events::with_capacity(1_024);
        let mut turn = Vec::new();
        loop {
            let now = Instant::now();
            let next = self.by_due.first().map(|(at, _)| *at).into_iter();
            let next = next.chain([self.told.0 + PERIOD]).chain(self.leaving).chain(self.ends).min();
            match self.poll.poll(&mut ready, next.map(|at| at.saturating_duration_since(now))) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                result => result.map_err(Failure::failed)?,
            }
            let now = Instant::now();
            turn.clear();
            turn.extend(ready.iter().map(|event| event.token().0).filter(|n| *n < self.members.len()));
            turn.extend(self.by_due.iter().take_while(|(at, _)| *at <= now).map(|(_, n)| *n));
            turn.sort_unstable();
            turn.dedup();
            for n in turn.iter().copied() {
                self.advance(n);
            }
            if now >= self.told.0 + PERIOD {
                self.tell(now);
            }
            if self.take_inputs() || self.is_over(now) {
                self.tell(Instant::now());
                self.reporter.print(&Line::new("stopped", "the swarm has left").with("reason", "left"));
                return Ok(());
            }
        }
    }

    /// One turn of one member.
    fn advance(&mut self, n: usize) {
        let Some(driver) = self.members.get_mut(n) else { return };
        driver.advance();
        while let Some(event) = driver.poll_event() {
            match event {
                DriverEvent::Node(Event::Registered { .. }) => {
                    self.registrations += 1;
                    self.registered[n] = true;
                }
                // What one of them finds out about the network the others find out as well.
                DriverEvent::Net(notice) if n == 0 => self.reporter.print(&notices::net(&notice)),
                _ => {}
            }
        }
        let due = Instant::now() + driver.timeout().unwrap_or(PERIOD);
        self.by_due.remove(&(self.due[n], n));
        self.by_due.insert((due, n));
        self.due[n] = due;
        if !self.all_registered && self.registrations >= self.members.len() as u64 {
            self.all_registered = self.registered.iter().all(|r| *r);
            if self.all_registered {
                let ms = self.started.elapsed().as_secs_f64() * 1_000.0;
                let line = Line::new("all_registered", format!("all are registered, after {ms:.0} ms"));
                self.reporter.print(&line.with("after_ms", ms));
            }
        }
    }

    fn totals(&self) -> Totals {
        let mut totals =
            Totals { registrations: self.registrations, processor_us: processor_us(), ..Totals::default() };
        for driver in &self.members {
            let (node, net) = (driver.node(), driver.net_stats());
            totals.registered += u64::from(node.registration().is_some());
            totals.sent += node.stats().datagrams_out;
            totals.heard += node.stats().heartbeats_in;
            totals.drops += net.receive_drops;
        }
        totals
    }

    /// The figures of the last second.
    fn tell(&mut self, now: Instant) {
        let is = self.totals();
        let (since, before) = std::mem::replace(&mut self.told, (now, is));
        let seconds = now.saturating_duration_since(since).as_secs_f64().max(1e-3);
        let rate = |new: u64, old: u64| (new - old) as f64 / seconds;
        let processor = rate(is.processor_us, before.processor_us) / 10_000.0;
        let registrations = rate(is.registrations, before.registrations);
        let (sent, heard) = (rate(is.sent, before.sent), rate(is.heard, before.heard));
        // What each subscriber knows at least.
        let known = self.members.iter().take(self.subscribers).map(|d| d.node().members().count()).min();
        let text = format!(
            "{} of {} registered, {registrations:.0} registrations a second, {sent:.0} datagrams sent and {heard:.0} \
             heartbeats heard a second, {processor:.1} % of a processor, {} datagrams dropped",
            is.registered,
            self.members.len(),
            is.drops
        );
        let line = Line::new("swarm", text)
            .with("registered", is.registered)
            .with("registrations", is.registrations)
            .with("registrations_per_s", registrations)
            .with("sent_per_s", sent)
            .with("heartbeats_per_s", heard)
            .with("cpu_percent", processor)
            .with("drops", is.drops)
            .with("known", known);
        self.reporter.print(&line);
    }

    /// True where it is to end at once.
    fn take_inputs(&mut self) -> bool {
        while let Ok(input) = self.inputs.try_recv() {
            match input {
                Input::Signal if self.leaving.is_some() => return true,
                Input::Signal => self.leave(),
                Input::End if self.until_eof => return true,
                Input::End => {}
                Input::Line(line) => match line.trim() {
                    "" => {}
                    "leave" => self.leave(),
                    "quit" => return true,
                    "stats" => self.tell(Instant::now()),
                    other => self.reporter.print(&Line::error(format!("{other}: say leave, quit or stats"))),
                },
            }
        }
        false
    }

    fn is_over(&mut self, now: Instant) -> bool {
        if self.ends.is_some_and(|at| now >= at) {
            self.ends = None;
            self.leave();
        }
        if self.reporter.is_broken() && self.leaving.is_none() {
            // Nobody reads any more.
            self.leave();
        }
        self.leaving.is_some_and(|at| now >= at || self.members.iter().all(Driver::is_stopped))
    }

    /// All leave in order, within a bounded time.
    fn leave(&mut self) {
        if self.leaving.is_some() {
            return;
        }
        let now = Instant::now();
        self.leaving = Some(now + 2 * self.detection + Duration::from_secs(2));
        for n in 0..self.members.len() {
            // The only error is that it has stopped.
            let _ = self.members[n].command(Command::Leave);
            self.by_due.remove(&(self.due[n], n));
            self.by_due.insert((now, n));
            self.due[n] = now;
        }
    }
}
