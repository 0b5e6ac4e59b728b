//! How fast the simulator is: simulated time over real time, on one processor.
//!
//! `cargo bench --features sim --bench sim` (`-- --seeds N`; `-- --test` is a short one).

#[path = "common/args.rs"]
mod args;

use args::Args;
use convoke::sim::{Faults, Options, Report, Run};
use convoke::types::Time;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What is promised: so many times real time with five candidates and so many members.
const WANTED_SPEED: f64 = 5_000.0;
const WANTED_MEMBERS: usize = 50;

fn main() -> ExitCode {
    let args = Args::read();
    let seeds: u64 = args.value("--seeds").unwrap_or(args.pick(10, 300));
    let hour = Duration::from_secs(args.pick(60, 3_600));

    let mut clean = true;
    for members in [0, WANTED_MEMBERS, 200] {
        let options = Options {
            candidates: Some(5),
            members: Some(members),
            duration: Some(hour),
            faults: Faults::NONE,
            ..Options::default()
        };
        let report = Run::seed(1).options(options).execute();
        println!(
            "in peace, 5 candidates and {members:>3} members, heartbeat 1 s: {:>7.0} times real time, {:.2} million events a second",
            report.speed(),
            report.counts.events as f64 / report.real.as_secs_f64() / 1e6
        );
        if members == WANTED_MEMBERS {
            println!("  to what is wanted: {:.1} times {WANTED_SPEED:.0}", report.speed() / WANTED_SPEED);
        }
        clean &= is_clean(&report);
    }

    let began = Instant::now();
    let mut simulated = Duration::ZERO;
    for seed in 0..seeds {
        let report = Run::seed(seed).execute();
        simulated += report.simulated - Time::ZERO;
        clean &= is_clean(&report);
    }
    let real = began.elapsed().as_secs_f64();
    println!(
        "under faults, {seeds} seeds: {:>7.0} times real time, {:.1} seeds a second",
        simulated.as_secs_f64() / real,
        seeds as f64 / real
    );
    if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn is_clean(report: &Report) -> bool {
    if !report.is_clean() {
        println!("{report}");
    }
    report.is_clean()
}
