//! How long nobody leads while the leadership is handed over. Five candidates and twenty members, each a process on a
//! host of its own (network namespaces; needs root), heartbeats each 100 ms, and members that register anew all the
//! while: the leader is told to hand over, again and again.
//!
//! `cargo bench --features cli --bench handover` (`-- --runs N`; `-- --test` is a short one).
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

/// What is promised of the time without a leader, as the median.
const LIMIT_MS: f64 = 2.0;

fn main() {
    let args = Args::read();
    let runs = args.value("--runs").unwrap_or(args.pick(2, 40));
    let options = Options { members: args.pick(3, 20), ..Options::default() };
    let nodes = options.candidates + options.members;
    let Some(mut site) = Site::founded("bench-handover", options) else { return };
    let (mut between, mut lasts) = (Vec::new(), Vec::new());
    for run in 1..=runs {
        let (old, term) = site.leader();
        // Registrations are under way meanwhile.
        let members: Vec<usize> = site.members().collect();
        let restless = members[run % members.len()];
        site.kill(restless);
        site.start(restless, &[]);
        site.set_present(restless, false);
        site.pass(Duration::from_millis(20 + run as u64 % 7 * 10));
        let told_us = unix_us();
        site.say(old, "handover");
        let times = site.successor(term, told_us, LONG);
        let (new, _) = site.leader();
        let ended = role_since(&site, old, "supporter", told_us);
        let began = role_since(&site, new, "leader", told_us);
        between.push(began.saturating_sub(ended) as f64 / 1_000.0);
        lasts.push(times[times.len() - 1] - (ended - told_us) as f64 / 1_000.0);
        site.set_present(restless, true);
        site.settle("all are registered", LONG);
        site.pass(Duration::from_millis(300));
    }
    println!("The leader hands over, {nodes} nodes, heartbeat 100 ms, a member registering meanwhile, {runs} runs:");
    show("from the last leader's end to the next one's beginning", &mut between, Some(LIMIT_MS));
    show("from the last leader's end until the last node knows the next one", &mut lasts, None);
    site.close();
}

/// When a host's node took this role, after this time.
fn role_since(site: &Site, host: usize, role: &str, since_us: u64) -> u64 {
    let at = |e: &serde_json::Value| e["unix_us"].as_u64().unwrap_or(0);
    let events = site.view(host).events.iter();
    let mut taken = events.filter(|e| e["event"] == "role" && e["role"] == role).map(at).filter(|at| *at >= since_us);
    taken.next().expect("it told of its role")
}

fn show(what: &str, times_ms: &mut [f64], limit: Option<f64>) {
    times_ms.sort_by(f64::total_cmp);
    let (median, max) = (times_ms[times_ms.len() / 2], times_ms[times_ms.len() - 1]);
    println!("  {what}: median {median:.2} ms, largest {max:.2} ms");
    let Some(limit) = limit else { return };
    println!("  to the limit: median {:.2} of {limit} ms", median / limit);
    if median > limit {
        loudly(&format!("bench: MISSED: {what}: median {median:.2} of {limit} ms"));
    }
}
