//! A thousand members join at once: one process hosts them all, five candidates and three subscribers are processes on
//! hosts of their own (network namespaces; needs root). How long until all are registered, and until each candidate and
//! each subscriber knows all of them.
//!
//! Two clocks are told: from the start of the process, which has a thousand members to make first, and from the moment when
//! the first of them was on the roll.
//!
//! `cargo bench --features cli --bench join` (`-- --members N`, `-- --runs N`; `-- --test` is a short one).
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "common/args.rs"]
mod args;
#[path = "../tests/common/mod.rs"]
mod common;

use args::Args;
use common::{Options, Site, View, loudly, unix_us};
use serde_json::Value;
use std::time::Duration;

/// More than any single step takes.
const LONG: Duration = Duration::from_secs(120);

/// What is promised for a thousand.
const LIMIT_MS: f64 = 2_000.0;

const SUBSCRIBERS: usize = 3;

fn main() {
    let args = Args::read();
    let members: usize = args.value("--members").unwrap_or(args.pick(100, 1_000));
    let runs = args.value("--runs").unwrap_or(args.pick(1, 5));
    let heartbeat_ms = args.value("--heartbeat").unwrap_or(1_000);
    let options = Options { members: SUBSCRIBERS + 1, heartbeat_ms, ..Options::default() };
    let Some(mut site) = Site::open("bench-join", options) else { return };
    let swarm = site.everywhere().end - 1;
    for host in 0..swarm {
        let follows: &[&str] = if site.candidates().contains(&host) { &[] } else { &["--subscribe"] };
        site.start(host, follows);
    }
    site.settle("the candidates and subscribers find each other", LONG);
    let (mut wholes, mut firsts) = (Vec::new(), Vec::new());
    for run in 1..=runs {
        let prefix = format!("{}-", site.id(swarm));
        let began_us = unix_us();
        site.start_swarm(swarm, members, &[]);
        let seen = |view: &View, event: &str| times(view, event, &prefix, began_us);
        site.wait("all are registered, and known everywhere", LONG, |site| {
            let known = |h: usize| seen(site.view(h), "joined").len() >= members;
            // The cheap look first: what was told is looked through each time.
            site.view(swarm).last("all_registered").is_some() && (0..swarm).all(known)
        });
        let registered = site.view(swarm).last("all_registered").unwrap()["unix_us"].as_u64().unwrap();
        let joined: Vec<Vec<u64>> = (0..swarm).map(|h| seen(site.view(h), "joined")).collect();
        let first = joined.iter().flatten().copied().min().unwrap_or(began_us);
        let last = joined.iter().flatten().copied().max().unwrap_or(began_us).max(registered);
        let ms = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1_000.0;
        println!(
            "  run {run:>2}: first on the roll after {:.0} ms, all registered after {:.0} ms, known everywhere after {:.0} ms",
            ms(began_us, first),
            ms(began_us, registered),
            ms(began_us, last)
        );
        wholes.push(ms(began_us, last));
        firsts.push(ms(first, last));
        let gone_us = unix_us();
        site.signal(swarm, "TERM");
        let left = |site: &Site, h: usize| times(site.view(h), "left", &prefix, gone_us).len() >= members;
        site.wait("all have left", LONG, |site| (0..swarm).all(|h| left(site, h)));
        site.ended(swarm, LONG);
        site.pass(Duration::from_millis(500));
    }
    println!("{members} members of one process join at once, 5 candidates, {SUBSCRIBERS} subscribers, {runs} runs:");
    show("from the first on the roll until all are registered and known everywhere", &mut firsts, None);
    let limit = (members <= 1_000 && !args.is_short()).then_some(LIMIT_MS);
    show("from the start of their process until that", &mut wholes, limit);
    site.close();
}

/// When a node told this of the swarm's members, since then.
fn times(view: &View, event: &str, prefix: &str, since_us: u64) -> Vec<u64> {
    let member = |e: &Value| e["member"].as_str().is_some_and(|m| m.starts_with(prefix));
    let newest_first = view.events.iter().rev().map(|e| (e["unix_us"].as_u64().unwrap_or(0), e));
    let since = newest_first.take_while(|(at, _)| *at >= since_us);
    since.filter(|(_, e)| e["event"] == event && member(e)).map(|(at, _)| at).collect()
}

fn show(what: &str, times_ms: &mut [f64], limit: Option<f64>) {
    times_ms.sort_by(f64::total_cmp);
    let (median, max) = (times_ms[times_ms.len() / 2], times_ms[times_ms.len() - 1]);
    println!("  {what}: median {median:.0} ms, largest {max:.0} ms");
    let Some(limit) = limit else { return };
    println!("  to the limit: median {:.2} of {limit} ms", median / limit);
    if median > limit {
        loudly(&format!("bench: MISSED: {what}: median {median:.0} of {limit} ms"));
    }
}
