//! One process of the `convoke` command in a namespace.

use serde_json::Value;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The most lines of stderr that are kept.
const KEPT_LOG_LINES: usize = 200;

/// A line of a process's stdout: whose, and what.
pub struct Told {
    pub serial: usize,
    pub event: Result<Value, String>,
}

pub struct Process {
    child: Child,
    stdin: ChildStdin,
    log: Arc<Mutex<VecDeque<String>>>,
}

impl Process {
    /// Starts `convoke COMMAND --json`, a node or a swarm, in a namespace. `ip netns exec` becomes the command, so that the
    /// process's number is the node's own.
    pub fn start(namespace: &str, serial: usize, command: &str, options: &[String], teller: Sender<Told>) -> Self {
        let mut child = Command::new("ip")
            .args(["netns", "exec", namespace, env!("CARGO_BIN_EXE_convoke"), command, "--json", "--until-eof"])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = child.stdout.take().unwrap();
        let err = child.stderr.take().unwrap();
        let stdin = child.stdin.take().unwrap();
        thread::spawn(move || {
            for line in BufReader::new(out).lines() {
                let Ok(line) = line else { return };
                let event = serde_json::from_str(&line).map_err(|_| line);
                if teller.send(Told { serial, event }).is_err() {
                    return;
                }
            }
        });
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let kept = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(err).lines() {
                let Ok(line) = line else { return };
                let mut kept = kept.lock().unwrap();
                if kept.len() == KEPT_LOG_LINES {
                    kept.pop_front();
                }
                kept.push_back(line);
            }
        });
        Self { child, stdin, log }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Any other signal, by its name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap();
        assert!(status.success(), "kill -{name} {pid}");
    }

    pub fn reap(&mut self) {
        self.child.wait().unwrap();
    }

    pub fn say(&mut self, command: &str) {
        writeln!(self.stdin, "{command}").unwrap();
        self.stdin.flush().unwrap();
    }

    pub fn end_within(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the process doesn't end within {limit:?}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().iter().cloned().collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Errors only mean that it has ended. A stopped process dies of SIGKILL as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
