//! How long until the two sides of a healed partition are one again. Five candidates and twenty members, each a process
//! on a host of its own (network namespaces; needs root), heartbeats each 500 ms, policy available: two candidates and
//! half of the members are cut off together, go on by themselves, and are connected again, again and again.
//!
//! `cargo bench --features cli --bench merge` (`-- --runs N`; `-- --test` is a short one).
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Options, Site, loudly, unix_us};
use std::time::Duration;

/// More than any single step takes.
const LONG: Duration = Duration::from_secs(60);

const HEARTBEAT_MS: u64 = 500;

/// What is promised. (JGroups as shipped: 48 s to 101 s.)
const LIMIT_MS: f64 = 1_000.0;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let short = args.iter().any(|a| a == "--test") || !args.iter().any(|a| a == "--bench");
    let wanted = args.iter().position(|a| a == "--runs").and_then(|at| args.get(at + 1)?.parse().ok());
    let runs = wanted.unwrap_or(if short { 1 } else { 20 });
    let more = ["--policy", "available"].map(String::from).to_vec();
    let members = if short { 4 } else { 20 };
    let options = Options { members, heartbeat_ms: HEARTBEAT_MS, more, ..Options::default() };
    let nodes = options.candidates + options.members;
    let Some(mut site) = Site::founded("bench-merge", options) else { return };
    let (mut one, mut whole) = (Vec::new(), Vec::new());
    for run in 1..=runs {
        let leader = site.leader().0;
        let others: Vec<usize> = site.candidates().filter(|h| *h != leader).collect();
        let side: Vec<usize> = others[..2].iter().copied().chain(site.members().step_by(2)).collect();
        site.hosts().part(&side);
        let led = |s: &Site| side.iter().take(2).any(|h| s.view(*h).role == "leader");
        site.wait("the cut off go on", LONG, |s| led(s) && s.view(leader).role == "leader");
        // Each side has declared the other gone by then; and the moment of healing lies anywhere between two heartbeats.
        site.pass(Duration::from_millis(4_000 + run as u64 * 170 % HEARTBEAT_MS));
        let term = site.present().filter_map(|h| site.view(h).belief()).map(|b| b.term).max().unwrap_or(0);
        let healed_us = unix_us();
        site.hosts().unite(&side);
        let times = site.successor(term, healed_us, LONG);
        one.push(times[times.len() - 1]);
        site.settle("all are in the line", LONG);
        whole.push((unix_us() - healed_us) as f64 / 1_000.0);
        site.pass(Duration::from_millis(HEARTBEAT_MS * 4));
    }
    println!("A partition heals, {nodes} nodes, heartbeat {HEARTBEAT_MS} ms, policy available, {runs} runs:");
    show("until the last node follows the one leader", &mut one, Some(LIMIT_MS));
    show("until all candidates are in the line again", &mut whole, None);
    site.close();
}

fn show(what: &str, times_ms: &mut [f64], limit: Option<f64>) {
    times_ms.sort_by(f64::total_cmp);
    let (median, max) = (times_ms[times_ms.len() / 2], times_ms[times_ms.len() - 1]);
    let beats = |ms: f64| ms / HEARTBEAT_MS as f64;
    println!("  {what}: median {median:.1} ms, largest {max:.1} ms");
    println!("  in heartbeats: median {:.2}, largest {:.2}", beats(median), beats(max));
    let Some(limit) = limit else { return };
    println!("  to the limit: largest {:.2} of {limit} ms", max / limit);
    if max > limit {
        loudly(&format!("bench: MISSED: {what}: largest {max:.1} of {limit} ms"));
    }
}
