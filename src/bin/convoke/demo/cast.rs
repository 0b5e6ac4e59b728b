//! The demo's processes: started, followed by their events, and killed on every way out.

use super::scene::Scene;
use crate::Failure;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// The most lines of a child's stderr that are kept.
const KEPT_LOG_LINES: usize = 40;

/// What a child's threads tell: which child, and a line of its stdout or stderr.
enum Told {
    Event(usize, Value),
    Log(usize, String),
}

/// One process.
struct Actor {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    log: Vec<String>,
}

/// All processes of a demo.
pub(super) struct Cast {
    /// Their arguments, beyond those that name one of them.
    common: Vec<String>,
    actors: Vec<Actor>,
    told: Receiver<Told>,
    teller: Sender<Told>,
    interrupted: Arc<AtomicBool>,
}

impl Cast {
    pub(super) fn new(common: Vec<String>) -> Result<Self, Failure> {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
            signal_hook::flag::register(signal, interrupted.clone()).map_err(Failure::failed)?;
        }
        let (teller, told) = channel();
        Ok(Self { common, actors: Vec::new(), told, teller, interrupted })
    }

    /// Starts a node as a process of its own. The number that comes back names this process in all that follows.
    pub(super) fn start(&mut self, name: &str, options: &[String]) -> Result<usize, Failure> {
        let program = std::env::current_exe().map_err(Failure::failed)?;
        let mut child = Command::new(program)
            .args(["node", "--json", "--until-eof", "--id", name])
            .args(&self.common)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| Failure::failed(format!("{name} can't be started: {e}")))?;
        let serial = self.actors.len();
        if let Some(out) = child.stdout.take() {
            follow(out, self.teller.clone(), move |line| {
                serde_json::from_str(&line).map_or_else(|_| Told::Log(serial, line), |v| Told::Event(serial, v))
            });
        }
        if let Some(err) = child.stderr.take() {
            follow(err, self.teller.clone(), move |line| Told::Log(serial, line));
        }
        let stdin = child.stdin.take();
        self.actors.push(Actor { name: name.into(), child, stdin, log: Vec::new() });
        Ok(serial)
    }

    pub(super) fn pid(&self, serial: usize) -> u32 {
        self.actors[serial].child.id()
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self, serial: usize) -> Result<(), Failure> {
        let actor = &mut self.actors[serial];
        actor.child.kill().map_err(|e| Failure::failed(format!("{} can't be killed: {e}", actor.name)))
    }

    /// Takes note of a killed child's end, so that no zombie stays.
    pub(super) fn reap(&mut self, serial: usize) {
        // It was killed: there is no status to learn, and an error only means that it is gone already.
        let _ = self.actors[serial].child.wait();
    }

    /// A command on its stdin.
    pub(super) fn tell(&mut self, serial: usize, command: &str) -> Result<(), Failure> {
        let actor = &mut self.actors[serial];
        let written = actor.stdin.as_mut().map(|s| writeln!(s, "{command}").and_then(|()| s.flush()));
        match written {
            Some(Ok(())) => Ok(()),
            _ => Err(Failure::failed(format!("{} doesn't read its stdin any more", actor.name))),
        }
    }

    /// Waits until it ended by itself with status 0.
    pub(super) fn ended_well(&mut self, serial: usize, within: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + within;
        let actor = &mut self.actors[serial];
        loop {
            match actor.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(Failure::failed(format!("{} ended with {status}", actor.name))),
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
                Ok(None) => return Err(Failure::failed(format!("{} doesn't end", actor.name))),
                Err(e) => return Err(Failure::failed(format!("{}: {e}", actor.name))),
            }
        }
    }

    /// Follows the events until something holds.
    pub(super) fn until(
        &mut self,
        scene: &mut Scene,
        what: &str,
        within: Duration,
        holds: impl Fn(&Scene) -> bool,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + within;
        while !holds(scene) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure::failed(format!("not within {:.1} s: {what}", within.as_secs_f64())));
            }
            self.take_one(scene, left)?;
        }
        Ok(())
    }

    /// Follows the events for a while.
    pub(super) fn follow(&mut self, scene: &mut Scene, time: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + time;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            self.take_one(scene, left)?;
        }
        Ok(())
    }

    /// Takes the next event in, where one comes in time, and looks whether it is to go on at all.
    fn take_one(&mut self, scene: &mut Scene, within: Duration) -> Result<(), Failure> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(Failure::failed("interrupted"));
        }
        match self.told.recv_timeout(within.min(Duration::from_millis(50))) {
            Ok(Told::Event(serial, event)) => scene.note(serial, &event),
            Ok(Told::Log(serial, line)) => self.keep(serial, line),
            Err(RecvTimeoutError::Timeout) => {}
            // This struct holds a sender itself.
            Err(RecvTimeoutError::Disconnected) => return Err(Failure::failed("the processes are gone")),
        }
        Ok(())
    }

    fn keep(&mut self, serial: usize, line: String) {
        let log = &mut self.actors[serial].log;
        if log.len() < KEPT_LOG_LINES {
            log.push(line);
        }
    }

    /// What the processes wrote to stderr, for the report of a failure.
    pub(super) fn logs(&mut self) -> Vec<String> {
        while let Ok(told) = self.told.try_recv() {
            if let Told::Log(serial, line) = told {
                self.keep(serial, line);
            }
        }
        self.actors.iter().flat_map(|a| a.log.iter().map(|line| format!("{}: {line}", a.name))).collect()
    }
}

impl Drop for Cast {
    /// Should this process be killed itself, the children see the end of their stdin, which `--until-eof` makes an
    /// order to stop.
    fn drop(&mut self) {
        for actor in &mut self.actors {
            // Errors only mean that it has ended.
            let _ = actor.child.kill();
            let _ = actor.child.wait();
        }
    }
}

fn follow(from: impl Read + Send + 'static, teller: Sender<Told>, make: impl Fn(String) -> Told + Send + 'static) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            if teller.send(make(line)).is_err() {
                return;
            }
        }
    });
}
