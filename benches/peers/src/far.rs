//! The other process: it says where it listens, then what it counted, a line each.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Says a line to the process that started this one.
pub fn say(what: impl Display) {
    println!("{what}");
    std::io::stdout().flush().unwrap();
}

/// Counts what comes: after a warm-up, for a while; then says the rate.
pub struct Meter {
    time: Duration,
    begun: Option<Instant>,
    counts: bool,
    count: u64,
}

impl Meter {
    pub fn new(time: Duration) -> Self {
        Self { time, begun: None, counts: false, count: 0 }
    }

    /// So many more came; false once it has counted enough.
    pub fn goes_on(&mut self, more: u64) -> bool {
        if more == 0 && self.begun.is_none() {
            return true;
        }
        let begun = *self.begun.get_or_insert_with(Instant::now);
        self.count += more;
        let took = begun.elapsed();
        if !self.counts && took >= self.time / 4 {
            (self.counts, self.begun, self.count) = (true, Some(Instant::now()), 0);
        } else if self.counts && took >= self.time {
            say(self.count as f64 / took.as_secs_f64());
            return false;
        }
        true
    }
}

/// The other process, seen from here. It ends with this.
pub struct Far {
    child: Child,
    lines: Receiver<String>,
    rate: Arc<AtomicU64>,
    /// A port for what both share.
    pub port: u16,
}

impl Far {
    pub fn start(what: &str, peer: &str, time: Duration) -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let port = crate::common::nodes::port() + NEXT.fetch_add(2, Ordering::Relaxed) % 10;
        let me = std::env::current_exe().unwrap();
        let mut child = Command::new(me)
            .args(["--far", what, peer, &port.to_string(), &time.as_millis().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (teller, lines) = channel();
        let rate = Arc::new(AtomicU64::new(0));
        let told = rate.clone();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Ok(rate) = line.parse::<f64>() {
                    told.store(rate as u64, Ordering::Relaxed);
                }
                if teller.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, rate, port }
    }

    /// The next line that it says.
    pub fn line(&mut self) -> String {
        self.lines.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    /// Whether it has counted enough.
    pub fn is_over(&self) -> bool {
        self.rate.load(Ordering::Relaxed) > 0
    }

    /// Messages a second. Whoever sends may see the end of the connection before it hears the rate.
    pub fn outcome(&self) -> f64 {
        let begun = Instant::now();
        while !self.is_over() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the other process says no rate");
            std::thread::sleep(Duration::from_millis(1));
        }
        self.rate.load(Ordering::Relaxed) as f64
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
