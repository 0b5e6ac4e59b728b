//! `convoke node`: one node, in the foreground.

use crate::commands::{self, Command};
use crate::inputs::{self, Input};
use crate::options::NodeOptions;
use crate::report::{Line, Reporter};
use crate::{Failure, events, notices};
use convoke::driver::{DriverEvent, Handle, Setup};
use convoke::proto::{self, Event, LinePlace, Node, StopReason};
use convoke::types::{Capabilities, MemberInfo, Slot};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// How long the node's events are waited for until stdin and the signals are looked at again.
const LOOK: Duration = Duration::from_millis(20);

/// A node that runs.
struct Running {
    handle: Handle,
    inputs: Receiver<Input>,
    reporter: Reporter,
    capabilities: Capabilities,
    until_eof: bool,
    /// D, of which the patience with a leave is made.
    detection: Duration,
    /// Until when a leader has to be known.
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
}

pub(crate) fn run(options: NodeOptions) -> Result<(), Failure> {
    crate::start_logs()?;
    let config = options.config()?;
    let net = options.net()?;
    let warnings = config.warnings().to_vec();
    let detection = config.detection();
    let store = match &options.set.store {
        Some(dir) => Some(open_store(dir, &options)?),
        None => None,
    };
    // Before there is a node: a signal must never find it without a listener.
    let inputs = inputs::start()?;
    let handle = Handle::spawn(Setup { config, net, store }).map_err(Failure::failed)?;
    let mut running = Running {
        handle,
        inputs,
        reporter: Reporter::new(options.id, options.set.json),
        capabilities: options.set.capabilities,
        until_eof: options.set.until_eof,
        detection,
        give_up: options.set.give_up.map(|limit| (Instant::now() + limit, limit)),
        leaving: None,
    };
    running.started(&warnings);
    let end = running.follow();
    running.stopped(end)
}

fn open_store(dir: &std::path::Path, options: &NodeOptions) -> Result<Box<dyn convoke::driver::Store + Send>, Failure> {
    let _ = options;
    Err(Failure::failed(format!("{}: there are no stores so far", dir.display())))
}

impl Running {
    fn started(&mut self, warnings: &[String]) {
        let (incarnation, term) = self.handle.inspect(|n| (n.incarnation(), n.term())).unwrap_or_default();
        if term.0 > 0 {
            self.reporter.set_term(term);
        }
        let admin = self.handle.addrs().first().map(ToString::to_string).unwrap_or_default();
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

    fn follow(&mut self) -> End {
        loop {
            let event = self.handle.recv_timeout(self.patience());
            if let Some(end) = event.and_then(|event| self.on_event(event)) {
                return end;
            }
            while let Ok(input) = self.inputs.try_recv() {
                if let Some(end) = self.on_input(input) {
                    return end;
                }
            }
            if self.reporter.is_broken() && self.leaving.is_none() {
                // Nobody reads any more.
                self.leave();
            }
            let now = Instant::now();
            if let Some((_, limit)) = self.give_up.filter(|(at, _)| now >= *at && self.leaving.is_none()) {
                return End::GaveUp(limit);
            }
            if self.leaving.is_some_and(|at| now >= at) {
                eprintln!("convoke: nobody confirmed the leave in time");
                return End::Stopped(StopReason::Left);
            }
        }
    }

    fn patience(&self) -> Duration {
        let now = Instant::now();
        let next = [self.give_up.map(|(at, _)| at), self.leaving].into_iter().flatten().min();
        next.map_or(LOOK, |at| at.saturating_duration_since(now).min(LOOK))
    }

    fn on_event(&mut self, event: DriverEvent) -> Option<End> {
        match event {
            DriverEvent::Node(event) => {
                events::report(&mut self.reporter, &event);
                match event {
                    Event::Leader { leader: Some(_), .. } => self.give_up = None,
                    Event::Stopped(reason) => return Some(End::Stopped(reason)),
                    _ => {}
                }
            }
            DriverEvent::Net(notice) => self.reporter.print(&notices::net(&notice)),
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
        // It can only say that it has stopped already, which its last event tells.
        let _ = self.handle.command(proto::Command::Leave);
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
                let found = self.roll(move |info| info.capabilities.get(&key) == Some(&value))?;
                self.reporter.print(&events::members("find", &found));
            }
            Command::Line => {
                let (version, places) = self.ask(places)?;
                if places.is_empty() {
                    return Err("no line of succession is known".into());
                }
                self.reporter.print(&events::places(version, &places));
            }
            Command::Stats => self.stats()?,
            Command::Leave => self.leave(),
            // Taken out before, since it ends the loop.
            Command::Quit => {}
        }
        Ok(())
    }

    fn set_capabilities(&mut self, changed: Capabilities) -> Result<(), String> {
        self.handle.command(proto::Command::SetCapabilities(changed.clone())).map_err(|e| e.to_string())?;
        self.capabilities = changed;
        Ok(())
    }

    /// Looks at the node.
    fn ask<T: Send + 'static>(&self, look: impl FnOnce(&Node) -> T + Send + 'static) -> Result<T, String> {
        self.handle.inspect(look).ok_or_else(|| "the node has stopped".into())
    }

    /// The members of the roll for which `keep` holds.
    fn roll(&self, keep: impl Fn(&MemberInfo) -> bool + Send + 'static) -> Result<Vec<(Slot, MemberInfo)>, String> {
        let found = self.ask(move |node| {
            node.config().standing().votes().then(|| {
                node.members().filter(|(_, info)| keep(info)).map(|(slot, info)| (slot, info.clone())).collect()
            })
        })?;
        found.ok_or_else(|| "a plain member holds no roll: ask a candidate".into())
    }

    fn stats(&mut self) -> Result<(), String> {
        let (stats, members, commit) = self.ask(|n| (*n.stats(), n.members().count(), n.commit_index()))?;
        let mut line = Line::new("stats", String::new());
        let mut text = Vec::new();
        for (name, count) in notices::counters(&stats) {
            line = line.with(name, count);
            if count > 0 {
                text.push(format!("{name} {count}"));
            }
        }
        line.text = text.join(", ");
        self.reporter.print(&line.with("members", members).with("commit", commit.0));
        Ok(())
    }

    fn stopped(mut self, end: End) -> Result<(), Failure> {
        self.handle.shutdown();
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
        };
        self.reporter.print(&line);
        result
    }
}

fn places(node: &Node) -> (u32, Vec<LinePlace>) {
    let line = node.line();
    let places = line.seats().iter().map(|s| LinePlace {
        id: s.id.clone(),
        incarnation: s.incarnation,
        priority: s.priority,
        active: s.voting,
    });
    (line.version(), places.collect())
}
