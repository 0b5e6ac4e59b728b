//! A convention of real processes on hosts of its own.

use super::hosts::Hosts;
use super::process::{Process, Told};
use super::view::{self, View};
use super::{alone, loudly, missing, unix_us};
use std::process::ExitStatus;
use std::sync::MutexGuard;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// What all nodes of a site have in common.
#[derive(Debug, Clone)]
pub struct Options {
    pub candidates: usize,
    pub members: usize,
    /// Candidates beyond those that found: they are not started with the others.
    pub late: usize,
    pub heartbeat_ms: u64,
    pub detect: u64,
    /// The candidates keep their promises over a restart.
    pub stores: bool,
    /// What is said of each node beyond that.
    pub more: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { candidates: 5, members: 3, late: 0, heartbeat_ms: 100, detect: 3, stores: false, more: Vec::new() }
    }
}

impl Options {
    pub fn detection(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms * self.detect)
    }
}

/// A host, and the process that is or was last on it.
struct Place {
    id: String,
    candidate: bool,
    process: Option<Process>,
    /// Which of the views is that process's.
    serial: usize,
    /// True while it is meant to take part.
    present: bool,
}

pub struct Site {
    name: String,
    pub options: Options,
    places: Vec<Place>,
    views: Vec<View>,
    told: Receiver<Told>,
    teller: Sender<Told>,
    hosts: Hosts,
    store: std::path::PathBuf,
    _alone: MutexGuard<'static, ()>,
}

impl Site {
    /// Hosts without processes: candidates `c1`…, then members `m1`…. Nothing where namespaces can't be had, which is
    /// said loudly.
    pub fn open(name: &str, options: Options) -> Option<Self> {
        let guard = alone();
        if let Some(why) = missing() {
            loudly(&format!("netns: SKIPPED {name}: {why}"));
            return None;
        }
        let (teller, told) = channel();
        let ids = (1..=options.candidates + options.late).map(|n| (format!("c{n}"), true));
        let places = ids
            .chain((1..=options.members).map(|n| (format!("m{n}"), false)))
            .map(|(id, candidate)| Place { id, candidate, process: None, serial: usize::MAX, present: false })
            .collect();
        let store = std::env::temp_dir().join(format!("cvk{}-{name}", std::process::id()));
        let hosts = Hosts::new(options.candidates + options.late + options.members);
        Some(Self { name: name.into(), options, places, views: Vec::new(), told, teller, hosts, store, _alone: guard })
    }

    /// A site on which all have found each other.
    pub fn founded(name: &str, options: Options) -> Option<Self> {
        let mut site = Self::open(name, options)?;
        let late = site.late();
        for host in site.everywhere().filter(|h| !late.contains(h)) {
            site.start(host, &[]);
        }
        site.settle("all find each other", Duration::from_secs(20));
        Some(site)
    }

    pub fn everywhere(&self) -> std::ops::Range<usize> {
        0..self.places.len()
    }

    pub fn candidates(&self) -> std::ops::Range<usize> {
        0..self.options.candidates + self.options.late
    }

    pub fn late(&self) -> std::ops::Range<usize> {
        self.options.candidates..self.options.candidates + self.options.late
    }

    pub fn members(&self) -> std::ops::Range<usize> {
        self.options.candidates + self.options.late..self.places.len()
    }

    pub fn id(&self, host: usize) -> &str {
        &self.places[host].id
    }

    pub fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// Starts a node on this host.
    pub fn start(&mut self, host: usize, more: &[&str]) {
        self.run(host, "node", more);
        self.places[host].present = true;
    }

    /// Starts members on this host, many of them in one process. That isn't a node: it is never counted as present.
    pub fn start_swarm(&mut self, host: usize, members: usize, more: &[&str]) {
        let members = members.to_string();
        let more = [&["--members", &members], more].concat();
        self.run(host, "swarm", &more);
        self.places[host].present = false;
    }

    fn run(&mut self, host: usize, command: &str, more: &[&str]) {
        let place = &mut self.places[host];
        let mut options: Vec<String> = ["--convention", &self.name, "--id", &place.id].map(Into::into).to_vec();
        let heartbeat = self.options.heartbeat_ms.to_string();
        let detect = self.options.detect.to_string();
        options.extend(["--interface", "eth0", "--heartbeat", &heartbeat, "--detect", &detect].map(Into::into));
        if place.candidate {
            options.extend(["--candidate".into(), "--found".into(), format!("expect={}", self.options.candidates)]);
            if self.options.stores {
                options.extend(["--store".into(), self.store.join(&place.id).display().to_string()]);
            }
        }
        options.extend(self.options.more.iter().cloned());
        options.extend(more.iter().map(|s| (*s).to_owned()));
        place.serial = self.views.len();
        self.views.push(View::new(&place.id));
        let namespace = self.hosts.name(host);
        place.process = Some(Process::start(&namespace, place.serial, command, &options, self.teller.clone()));
    }

    fn process(&mut self, host: usize) -> &mut Process {
        self.places[host].process.as_mut().expect("a node was started on this host")
    }

    /// SIGKILL; tells when.
    pub fn kill(&mut self, host: usize) -> u64 {
        self.places[host].present = false;
        let at_us = unix_us();
        let serial = self.places[host].serial;
        self.views[serial].silenced_us.push(at_us);
        let process = self.process(host);
        process.kill();
        process.reap();
        at_us
    }

    pub fn signal(&mut self, host: usize, name: &str) {
        if name == "STOP" {
            let serial = self.places[host].serial;
            self.views[serial].silenced_us.push(unix_us());
        }
        self.process(host).signal(name);
    }

    pub fn say(&mut self, host: usize, command: &str) {
        self.process(host).say(command);
    }

    /// Waits for the end of a process that was told to leave.
    pub fn ended(&mut self, host: usize, within: Duration) -> ExitStatus {
        self.places[host].present = false;
        self.process(host).end_within(within)
    }

    /// Whether the host counts where agreement is asked for.
    pub fn set_present(&mut self, host: usize, present: bool) {
        self.places[host].present = present;
    }

    pub fn view(&self, host: usize) -> &View {
        &self.views[self.places[host].serial]
    }

    /// What all processes have told, those included that are no more.
    pub fn views(&self) -> &[View] {
        &self.views
    }

    /// Which of these is that of the process on a host.
    pub fn serial(&self, host: usize) -> usize {
        self.places[host].serial
    }

    pub fn present(&self) -> impl Iterator<Item = usize> + '_ {
        self.everywhere().filter(|h| self.places[*h].present)
    }

    pub fn present_candidates(&self) -> impl Iterator<Item = usize> + '_ {
        self.present().filter(|h| self.places[*h].candidate)
    }

    /// The leader's host and its term, where all present agree on it.
    pub fn agreed(&self) -> Option<(usize, u64)> {
        let first = self.view(self.present().next()?).belief()?;
        let leader = first.leader.as_deref()?;
        let host = self.present_candidates().find(|h| self.id(*h) == leader)?;
        let same = |h: usize| self.view(h).belief().is_some_and(|b| (&b.leader, b.term) == (&first.leader, first.term));
        (self.view(host).role == "leader" && self.present().all(same)).then_some((host, first.term))
    }

    /// Who leads; all have to agree at this moment.
    pub fn leader(&self) -> (usize, u64) {
        self.agreed().expect("all agree on a leader")
    }

    /// True where exactly the present candidates count as voters in the line of each of them, in their incarnations.
    pub fn lines_are_whole(&self) -> bool {
        let mut wanted: Vec<_> =
            self.present_candidates().map(|h| (self.id(h).to_owned(), self.view(h).incarnation)).collect();
        wanted.sort();
        self.present_candidates().all(|h| {
            let line = &self.view(h).line;
            let mut active: Vec<_> = line.iter().filter(|p| p.2).map(|p| (p.0.clone(), p.1)).collect();
            active.sort();
            active == wanted
        })
    }

    /// Takes in what was told so far.
    pub fn pump(&mut self) {
        while let Ok(told) = self.told.try_recv() {
            self.note(told);
        }
    }

    fn note(&mut self, told: Told) {
        match told.event {
            Ok(event) => self.views[told.serial].note(event),
            Err(line) => panic!("{}: no JSON on stdout: {line:?}", self.views[told.serial].id),
        }
    }

    /// Follows the events until something holds; tells after how long it did.
    pub fn wait(&mut self, what: &str, within: Duration, holds: impl Fn(&Self) -> bool) -> Duration {
        let began = Instant::now();
        loop {
            self.pump();
            if holds(self) {
                return began.elapsed();
            }
            let left = within.saturating_sub(began.elapsed());
            assert!(!left.is_zero(), "{}: not within {within:?}: {what}", self.name);
            if let Ok(told) = self.told.recv_timeout(left.min(Duration::from_millis(20))) {
                self.note(told);
            }
        }
    }

    /// Follows the events for a while.
    pub fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if let Ok(told) = self.told.recv_timeout(left) {
                self.note(told);
            }
        }
    }

    /// Until all present agree, are registered, and are in the line.
    pub fn settle(&mut self, what: &str, within: Duration) -> (usize, u64) {
        self.wait(what, within, Self::is_settled);
        self.leader()
    }

    /// True where all present agree, are registered, and are in the line.
    pub fn is_settled(&self) -> bool {
        self.agreed().is_some() && self.present().all(|h| self.view(h).registered > 0) && self.lines_are_whole()
    }

    /// Until all present have a leader of a later term; tells when each of them learned of it, from `since_us` on, in
    /// milliseconds, in ascending order.
    pub fn successor(&mut self, above: u64, since_us: u64, within: Duration) -> Vec<f64> {
        self.wait("a successor", within, |site| site.agreed().is_some_and(|(_, term)| term > above));
        let mut times: Vec<f64> = self
            .present()
            .filter_map(|h| self.view(h).belief())
            .map(|b| b.unix_us.saturating_sub(since_us) as f64 / 1_000.0)
            .collect();
        times.sort_by(f64::total_cmp);
        times
    }

    /// What the candidates told from a time on, a line each, with milliseconds since then.
    pub fn told_since(&self, since_us: u64) -> Vec<String> {
        let of = |h: usize| self.view(h).events.iter().map(move |e| (e["unix_us"].as_u64().unwrap_or(0), e));
        let mut told: Vec<_> = self.present_candidates().flat_map(of).filter(|(at, _)| *at >= since_us).collect();
        told.sort_by_key(|(at, _)| *at);
        told.iter().map(|(at, e)| format!("{:9.3} ms {e}", (at - since_us) as f64 / 1_000.0)).collect()
    }

    /// The end of a test.
    pub fn close(mut self) {
        self.check();
    }

    /// What must hold of all that was told.
    pub fn check(&mut self) {
        self.pump();
        view::check_terms(self.views.iter());
        // A lease is over when it is over; that it is, a busy process may tell later.
        let grace = self.options.detection() / 2;
        if !self.options.more.iter().any(|o| o == "available") {
            view::check_leaderships(self.views.iter(), u64::try_from(grace.as_micros()).unwrap_or(u64::MAX));
        }
        loudly(&format!("netns: ran {}", self.name));
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for place in &self.places {
                loudly(&format!("--- {} ({}present)", place.id, if place.present { "" } else { "not " }));
                let Some(view) = self.views.get(place.serial) else { continue };
                let from = view.events.len().saturating_sub(25);
                view.events[from..].iter().for_each(|e| loudly(&format!("  {e}")));
                place.process.iter().flat_map(Process::log).for_each(|line| loudly(&format!("  stderr: {line}")));
            }
        }
        // Processes before their namespaces.
        for place in &mut self.places {
            place.process = None;
        }
        let _ = std::fs::remove_dir_all(&self.store);
    }
}
