//! `convoke node`: one node, in the foreground.

use crate::commands::{self, Command};
use crate::inputs::{self, Input};
use crate::options::NodeOptions;
use crate::report::{Line, Reporter};
use crate::{Failure, events, notices};
use convoke::driver::{BindError, Closed, DriverEvent, FileStore, Handle, Setup, Store, StoreError};
use convoke::net::Discovery;
use convoke::proto::{self, AnswerError, Event, Node, StopReason};
use convoke::types::{Capabilities, MemberInfo, NodeId};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

const NODE: Token = Token(0);
const INPUTS: Token = Token(1);

/// A node that runs.
struct Running {
    handle: Handle,
    inputs: Receiver<Input>,
    poll: Poll,
    reporter: Reporter,
    capabilities: Capabilities,
    /// How many questions were asked.
    asked: u64,
    /// The floor's group, where there is one.
    multicast: Option<SocketAddr>,
    until_eof: bool,
    /// D, of which the patience with a leave is made.
    detection: Duration,
    /// Until when a leader has to be known, and the time that this was.
    give_up: Option<(Instant, Duration)>,
    /// Until when an orderly leave may take.
    leaving: Option<Instant>,
}

/// How it ended.
enum End {
    /// The node stopped by itself, or at a command.
    Stopped(StopReason),
    /// At once, at a command or a second signal.
    Quit,
    /// No leader within this time.
    GaveUp(Duration),
    /// Its thread failed, which is a bug.
    Failed(Closed),
}

pub(crate) fn run(options: NodeOptions) -> Result<(), Failure> {
    crate::start_logs()?;
    let config = options.config()?;
    let net = options.net()?;
    let multicast = net.multicast();
    let warnings = config.warnings().to_vec();
    let detection = config.detection();
    let store = options.set.store.as_ref().map(|dir| open_store(dir, &options)).transpose()?;
    let poll = Poll::new().map_err(Failure::failed)?;
    // Before there is a node: a signal must never find it without a listener.
    let inputs = inputs::start(Waker::new(poll.registry(), INPUTS).map_err(Failure::failed)?)?;
    let handle = Handle::spawn(Setup { config, net, store }).map_err(|e| match e {
        BindError::Mismatch(sentence) => Failure::Usage(sentence),
        BindError::Store(e @ StoreError::Torn { .. }) => Failure::failed(format!("{e} (--repair-store)")),
        other => Failure::failed(other),
    })?;
    poll.registry().register(&mut SourceFd(&handle.as_raw_fd()), NODE, Interest::READABLE).map_err(Failure::failed)?;
    let mut running = Running {
        handle,
        inputs,
        poll,
        reporter: Reporter::new(options.id, options.set.json),
        capabilities: options.set.capabilities,
        asked: 0,
        multicast,
        until_eof: options.set.until_eof,
        detection,
        give_up: options.set.give_up.map(|limit| (Instant::now() + limit, limit)),
        leaving: None,
    };
    running.started(&warnings);
    let end = running.follow()?;
    running.stopped(end)
}

fn open_store(dir: &Path, options: &NodeOptions) -> Result<Box<dyn Store + Send>, Failure> {
    let open = || FileStore::open(dir, &options.convention, &options.id).map_err(Failure::failed);
    if options.set.repair_store {
        // Opened first: what belongs to another node is not cut, and what isn't there yet is made.
        drop(open()?);
        match FileStore::repair(dir).map_err(Failure::failed)? {
            0 => {}
            bytes => {
                eprintln!("convoke: warning: {bytes} bytes of an unfinished write were cut off in {}", dir.display())
            }
        }
    }
    Ok(Box::new(open()?))
}

impl Running {
    fn started(&mut self, warnings: &[String]) {
        // Where its thread is over already, what follows tells why.
        // The term is told by the events that follow: the node may know a later one than the first of them by now.
        let incarnation = self.handle.inspect(Node::incarnation).unwrap_or_default();
        let admin = self.handle.local_addr().to_string();
        let line = Line::new("started", format!("listens at {admin}, incarnation {incarnation}"))
            .with("admin", admin)
            .with("incarnation", incarnation.0)
            .with("version", env!("CARGO_PKG_VERSION"));
        self.reporter.print(&line);
        for warning in warnings {
            eprintln!("convoke: warning: {warning}");
            self.reporter.print(&notices::line("warning", warning.as_str()));
        }
    }

    fn follow(&mut self) -> Result<End, Failure> {
        let mut ready = Events::with_capacity(4);
        loop {
            match self.poll.poll(&mut ready, self.patience()) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                result => result.map_err(Failure::failed)?,
            }
            if let Some(end) = self.take_events().or_else(|| self.take_inputs()).or_else(|| self.look_at_clock()) {
                return Ok(end);
            }
            if self.reporter.is_broken() && self.leaving.is_none() {
                // Nobody reads any more.
                self.leave();
            }
        }
    }

    /// How long may be waited for events and inputs.
    fn patience(&self) -> Option<Duration> {
        let next = [self.give_up.map(|(at, _)| at), self.leaving].into_iter().flatten().min();
        next.map(|at| at.saturating_duration_since(Instant::now()))
    }

    fn look_at_clock(&mut self) -> Option<End> {
        let now = Instant::now();
        if let Some(at) = self.leaving {
            // Without a majority nobody can confirm a leave.
            return (now >= at).then_some(End::Stopped(StopReason::Left));
        }
        self.give_up.filter(|(at, _)| now >= *at).map(|(_, limit)| End::GaveUp(limit))
    }

    fn take_events(&mut self) -> Option<End> {
        loop {
            match self.handle.try_recv() {
                Ok(Some(event)) => {
                    if let Some(end) = self.on_event(event) {
                        return Some(end);
                    }
                }
                Ok(None) => return None,
                Err(closed) => return Some(End::Failed(closed)),
            }
        }
    }

    fn take_inputs(&mut self) -> Option<End> {
        while let Ok(input) = self.inputs.try_recv() {
            if let Some(end) = self.on_input(input) {
                return Some(end);
            }
        }
        None
    }

    fn on_event(&mut self, event: DriverEvent) -> Option<End> {
        match event {
            DriverEvent::Node(event) => {
                events::report(&mut self.reporter, &event);
                match event {
                    Event::Asked { from: to, incarnation, number, body, .. } => {
                        let body = [b"echo:", &body[..]].concat().into();
                        if let Err(e) = self.order(proto::Command::Reply { to, incarnation, number, body }) {
                            self.reporter.print(&Line::error(format!("reply: {e}")));
                        }
                    }
                    Event::Leader { leader: Some(_), .. } => self.give_up = None,
                    Event::Request { from, incarnation, number, body, .. } => {
                        let echo = [b"echo:", &body[..]].concat();
                        // Where its sender is gone nobody waits for either.
                        if let Err(AnswerError::TooLarge(_)) =
                            self.handle.answer(&from, incarnation, number, echo.into())
                        {
                            let _ = self.handle.forget(&from, incarnation, number);
                        }
                    }
                    Event::Stopped(reason) => return Some(End::Stopped(reason)),
                    _ => {}
                }
            }
            DriverEvent::Net(notice) => self.reporter.print(&notices::net(&notice)),
            DriverEvent::StoreFailed(why) => self.reporter.print(&notices::line("store_failed", why)),
            DriverEvent::CommandFailed(_, why) => self.reporter.print(&Line::error(why.to_string())),
            DriverEvent::Lost(count) => {
                self.reporter
                    .print(&notices::line("events_lost", format!("{count} events were lost here: stdout is slow")));
            }
            other => self.reporter.print(&notices::line("other", format!("{other:?}"))),
        }
        None
    }

    fn on_input(&mut self, input: Input) -> Option<End> {
        match input {
            // Who asks twice doesn't want to wait.
            Input::Signal if self.leaving.is_some() => return Some(End::Quit),
            Input::Signal => self.leave(),
            Input::End if self.until_eof => return Some(End::Quit),
            Input::End => {}
            Input::Line(line) => match commands::parse(&line) {
                Ok(None) => {}
                Ok(Some(Command::Quit)) => return Some(End::Quit),
                Ok(Some(command)) => {
                    if let Err(message) = self.carry_out(command) {
                        self.reporter.print(&Line::error(message));
                    }
                }
                Err(message) => self.reporter.print(&Line::error(message)),
            },
        }
        None
    }

    fn leave(&mut self) {
        // The core retires a candidate, then waits for a confirmation; where there is nobody to give it, this ends it.
        self.leaving = Some(Instant::now() + 2 * self.detection + Duration::from_secs(2));
        if let Err(e) = self.handle.command(proto::Command::Leave) {
            self.reporter.print(&Line::error(e.to_string()));
        }
    }

    fn carry_out(&mut self, command: Command) -> Result<(), String> {
        match command {
            Command::Set(key, value) => {
                let mut changed = self.capabilities.clone();
                changed.set(&key, &value).map_err(|e| e.to_string())?;
                self.set_capabilities(changed)?;
            }
            Command::Unset(key) => {
                let mut changed = self.capabilities.clone();
                if !changed.unset(&key) {
                    return Err(format!("unset: there is no capability {key:?}"));
                }
                self.set_capabilities(changed)?;
            }
            Command::Members => {
                let found = self.roll(|_| true)?;
                self.reporter.print(&events::members("members", &found));
            }
            Command::Find(key, value) => {
                let (k, v) = (key.clone(), value.clone());
                let found = self.ask(move |node| {
                    let found = node.find(&k, &v).map(|(slot, info)| (slot, info.clone(), node.path(&info.id)));
                    node.holds_roll().then(|| found.collect::<Vec<_>>())
                })?;
                match found {
                    Some(found) => self.reporter.print(&events::members("find", &found)),
                    None => self.order(proto::Command::Find { number: 0, key, value })?,
                }
            }
            Command::Line => {
                let (version, places) = self.ask(Node::line_places)?;
                if places.is_empty() {
                    return Err("no line of succession is known".into());
                }
                self.reporter.print(&events::places(version, &places));
            }
            Command::Send(id, text) => self.handle.send(&id, text.into()).map_err(|e| format!("send: {e}"))?,
            Command::Datagram(id, text) => {
                self.handle.send_datagram(&id, text.into()).map_err(|e| format!("datagram: {e}"))?;
            }
            Command::Broadcast(text) => {
                self.handle.broadcast(text.into()).map_err(|e| format!("broadcast: {e}"))?;
            }
            Command::Ask(key, value, text) => {
                self.asked += 1;
                self.order(proto::Command::Ask { number: self.asked, key, value, body: text.into() })?;
            }
            Command::Path(id) => {
                let asked = id.clone();
                let way = self.ask(move |node| node.path(&asked))?;
                self.reporter.print(&events::path(&id, way.as_ref()));
            }
            Command::Request(text) => {
                self.handle.request(text.into(), false).map_err(|e| format!("request: {e}"))?;
            }
            Command::Claim(name) => self.order(proto::Command::Claim(name))?,
            Command::Release(name) => self.order(proto::Command::Release(name))?,
            Command::Retire(id) => self.order(proto::Command::Retire(id))?,
            Command::Priority(id, priority) => self.order(proto::Command::SetPriority { id, priority })?,
            Command::Stand(standing) => self.order(proto::Command::SetStanding(standing))?,
            Command::Move(group, seeds) => self.move_to(group, &seeds)?,
            Command::Stats => self.stats()?,
            Command::Yield(into) => {
                self.handle.command(proto::Command::Yield(into)).map_err(|e| e.to_string())?;
            }
            Command::Recover(without) => {
                let asked = without.clone();
                self.ask(move |node| node.check_recovery(&asked))?.map_err(|e| format!("recover: {e}"))?;
                self.handle.command(proto::Command::Recover { without }).map_err(|e| e.to_string())?;
            }
            Command::Handover(to) => {
                let to = to.map(|id| NodeId::new(&id)).transpose().map_err(|e| format!("handover: {e}"))?;
                self.handle.command(proto::Command::Handover(to)).map_err(|e| e.to_string())?;
            }
            Command::Leave => self.leave(),
            // Taken out before, since it ends the loop.
            Command::Quit => {}
        }
        Ok(())
    }

    /// Gives the core a command; that it can't be carried out comes as an event.
    fn order(&self, command: proto::Command) -> Result<(), String> {
        self.handle.command(command).map_err(|e| e.to_string())
    }

    /// Points the node at another convention address.
    fn move_to(&mut self, group: Option<Option<SocketAddr>>, seeds: &[String]) -> Result<(), String> {
        let group = group.unwrap_or(self.multicast);
        let seeds: Vec<&str> = seeds.iter().map(String::as_str).collect();
        let to = Discovery::new(group, &seeds).map_err(|e| format!("move: {e}"))?;
        self.handle.move_to(to).map_err(|e| format!("move: {e}"))?;
        self.multicast = group;
        Ok(())
    }

    fn set_capabilities(&mut self, changed: Capabilities) -> Result<(), String> {
        self.handle.command(proto::Command::SetCapabilities(changed.clone())).map_err(|e| e.to_string())?;
        self.capabilities = changed;
        Ok(())
    }

    /// Looks at the node.
    fn ask<T: Send + 'static>(&self, look: impl FnOnce(&Node) -> T + Send + 'static) -> Result<T, String> {
        self.handle.inspect(look).map_err(|e| e.to_string())
    }

    /// The members of the roll for which `keep` holds.
    fn roll(&self, keep: impl Fn(&MemberInfo) -> bool + Send + 'static) -> Result<Vec<events::Entry>, String> {
        let found = self.ask(move |node| {
            node.holds_roll().then(|| {
                let kept = node.members().filter(|(_, _, info)| keep(info));
                kept.map(|(slot, _, info)| (slot, info.clone(), node.path(&info.id))).collect()
            })
        })?;
        found.ok_or_else(|| "a plain member holds no roll: start it with --subscribe, or ask a candidate".into())
    }

    fn stats(&mut self) -> Result<(), String> {
        let (stats, members, commit) = self.ask(|n| (*n.stats(), n.members().count(), n.commit_index()))?;
        let sockets = self.handle.net_stats().map_err(|e| e.to_string())?;
        let counters = [notices::counters(&stats), notices::socket_counters(&sockets)].concat();
        let told: Vec<String> =
            counters.iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {n}")).collect();
        let line = counters.iter().fold(Line::new("stats", told.join(", ")), |line, (name, n)| line.with(name, *n));
        self.reporter.print(&line.with("members", members).with("commit", commit.0));
        Ok(())
    }

    fn stopped(mut self, end: End) -> Result<(), Failure> {
        // The node's end before the last line: whoever reads that may count on the ports and the store to be free.
        drop(self.handle);
        let (line, result) = match end {
            End::Quit => (events::stopped(None), Ok(())),
            End::Stopped(reason) => {
                let line = events::stopped(Some(reason));
                let result = if reason == StopReason::Left { Ok(()) } else { Err(Failure::failed(&line.text)) };
                (line, result)
            }
            End::GaveUp(limit) => {
                let text = format!("gave up: no leader within {} ms", limit.as_millis());
                (Line::new("stopped", &*text).with("reason", "gave_up"), Err(Failure::failed(text)))
            }
            End::Failed(closed) => {
                let text = closed.to_string();
                (Line::new("stopped", &*text).with("reason", "failed"), Err(Failure::failed(text)))
            }
        };
        self.reporter.print(&line);
        result
    }
}
