//! How long until the last survivor knows a successor. Five candidates and twenty members, each a process on a host of
//! its own (network namespaces; needs root): the leader is killed, then its host is cut off, again and again.
//!
//! `cargo bench --features cli --bench failover` (`-- --runs N`; `-- --test` is a short one).
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "common/args.rs"]
mod args;
#[path = "../tests/common/mod.rs"]
mod common;

use args::Args;
use common::{Options, Site, loudly, unix_us};
use std::time::Duration;

/// More than any single step takes.
const LONG: Duration = Duration::from_secs(60);

/// The heartbeat where a host is cut off, and what is promised then.
const CUT_HEARTBEAT_MS: u64 = 100;
const CUT_LIMIT_MS: f64 = 400.0;

/// What is promised for a killed leader: the median and the largest.
const KILL_MEDIAN_MS: f64 = 5.0;
const KILL_MAX_MS: f64 = 25.0;

fn main() {
    let args = Args::read();
    let runs = args.value("--runs").unwrap_or(args.pick(2, 20));
    let members = args.pick(3, 20);
    let options = Options { members, ..Options::default() };
    killed(runs, Options { heartbeat_ms: 1_000, ..options.clone() });
    cut_off(runs, Options { heartbeat_ms: CUT_HEARTBEAT_MS, ..options });
}

fn killed(runs: usize, options: Options) {
    let nodes = options.candidates + options.members;
    let Some(mut site) = Site::founded("bench-killed", options) else { return };
    let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
    for run in 1..=runs {
        let (leader, term) = site.leader();
        let killed_us = site.kill(leader);
        let times = site.successor(term, killed_us, LONG);
        firsts.push(times[0]);
        lasts.push(times[times.len() - 1]);
        println!(
            "  killed {run:>2}: {:7.2} ms to the first, {:7.2} ms to the last of {}",
            times[0],
            times[times.len() - 1],
            times.len()
        );
        if times[times.len() - 1] > KILL_MAX_MS {
            site.told_since(killed_us).iter().for_each(|line| println!("    {line}"));
        }
        site.start(leader, &[]);
        site.settle("the killed one is back in the line", LONG);
        rest(&mut site, run, runs);
    }
    println!("SIGKILL of the leader, {nodes} nodes, defaults (heartbeat 1 s, detection 3 s), {runs} runs:");
    show("until the first survivor's new leader", &mut firsts, None);
    show("until the last survivor's new leader", &mut lasts, Some((KILL_MEDIAN_MS, KILL_MAX_MS)));
    site.close();
}

fn cut_off(runs: usize, options: Options) {
    let nodes = options.candidates + options.members;
    let Some(mut site) = Site::founded("bench-cut-off", options) else { return };
    let mut lasts = Vec::new();
    for run in 1..=runs {
        let (leader, term) = site.leader();
        site.set_present(leader, false);
        // Taken before the cable is pulled out, which takes some milliseconds: these count as well.
        let cut_us = unix_us();
        site.hosts().cut(leader);
        let times = site.successor(term, cut_us, LONG);
        lasts.push(times[times.len() - 1]);
        println!("  cut off {run:>2}: {:7.2} ms to the last of {}", times[times.len() - 1], times.len());
        site.hosts().heal(leader);
        site.set_present(leader, true);
        site.settle("the one cut off is back in the line", LONG);
        rest(&mut site, run, runs);
    }
    println!(
        "The leader's host cut off, {nodes} nodes, heartbeat {CUT_HEARTBEAT_MS} ms, detection 300 ms, {runs} runs:"
    );
    show("until the last survivor's new leader", &mut lasts, Some((CUT_LIMIT_MS, CUT_LIMIT_MS)));
    site.close();
}

/// Plain members learn of the new line by the next heartbeats: each run begins with a convention at rest, and each at
/// another point between two heartbeats.
fn rest(site: &mut Site, run: usize, runs: usize) {
    let heartbeat = Duration::from_millis(site.options.heartbeat_ms);
    site.pass(heartbeat * 3 + heartbeat.mul_f64(run as f64 / runs as f64));
}

/// Median and largest, and how they stand to what is promised.
fn show(what: &str, times_ms: &mut [f64], limits: Option<(f64, f64)>) {
    times_ms.sort_by(f64::total_cmp);
    let median = times_ms[times_ms.len() / 2];
    let max = times_ms[times_ms.len() - 1];
    println!("  {what}: median {median:.2} ms, largest {max:.2} ms");
    let Some((median_limit, max_limit)) = limits else { return };
    println!(
        "  to the limit: median {:.2} of {median_limit} ms, largest {:.2} of {max_limit} ms",
        median / median_limit,
        max / max_limit
    );
    if median > median_limit || max > max_limit {
        loudly(&format!(
            "bench: MISSED: {what}: median {median:.2} of {median_limit} ms, largest {max:.2} of {max_limit} ms"
        ));
    }
}
