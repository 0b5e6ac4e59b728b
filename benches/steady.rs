//! Nothing happens, and shall: a convention with heartbeats of 100 ms beside four busy loops on the same cores. No
//! leader changes, nobody is taken for gone. Network namespaces; needs root.
//!
//! `cargo bench --features cli --bench steady` (`-- --seconds N`; `-- --test` is a short one).
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "common/args.rs"]
mod args;
#[path = "../tests/common/mod.rs"]
mod common;

use args::Args;
use common::{Options, Site};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Loops that do nothing, busily, until they are dropped.
struct Busy {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Busy {
    fn start(loops: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let spin = |stop: Arc<AtomicBool>| {
            move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::black_box((0..100_000u64).fold(0, |a, b| a ^ std::hint::black_box(b)));
                }
            }
        };
        let threads = (0..loops).map(|_| thread::spawn(spin(stop.clone()))).collect();
        Self { stop, threads }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn main() {
    let args = Args::read();
    let time = Duration::from_secs(args.value("--seconds").unwrap_or(args.pick(10, 600)));

    let options = Options { heartbeat_ms: 100, detect: 3, ..Options::default() };
    let Some(mut site) = Site::founded("bench-steady", options) else { return };
    let before = site.leader();
    let busy = Busy::start(4);
    site.pass(time);
    drop(busy);
    site.pump();
    let changes: usize = site.everywhere().map(|h| site.view(h).beliefs.len() - 1).sum();
    let gone: usize =
        site.everywhere().map(|h| site.view(h).events.iter().filter(|e| e["event"] == "left").count()).sum();
    let count = |kind: &str| -> usize {
        let of = |h: usize| site.view(h).events.iter().filter(|e| e["event"] == "network" && e["kind"] == kind).count();
        site.everywhere().map(of).sum()
    };
    println!(
        "steady: {} nodes, heartbeat 100 ms, detection 300 ms, {} s beside four busy loops: {changes} changes of leader, {gone} \
         taken for gone, {} late loops, {} accusations",
        site.everywhere().len(),
        time.as_secs(),
        count("late"),
        count("accused"),
    );
    assert_eq!((site.leader(), changes, gone), (before, 0, 0), "nothing was to happen");
    site.close();
}
