//! `convoke sim`: the deterministic simulator.

use crate::Failure;
use crate::options::SimOptions;
use convoke::proto::Policy;
use convoke::sim::{Detail, Faults, Options, Report, Run};
use convoke::types::Time;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// The most lines of a story that are told.
const STORY: usize = 2_000;

/// How often a band's progress is told.
const PROGRESS: Duration = Duration::from_secs(5);

pub(crate) fn run(options: &SimOptions) -> Result<(), Failure> {
    if options.story { story(options) } else { band(options) }
}

fn say(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{text}").map_err(Failure::failed)
}

fn fixed(options: &SimOptions) -> Options {
    let SimOptions { candidates, members, time, policy, faults, .. } = *options;
    Options { candidates, members, duration: time, policy, faults, ..Options::default() }
}

/// How to make the run of this seed again.
fn replay(seed: u64, options: &SimOptions) -> String {
    let mut text = format!("convoke sim --seed {seed}");
    if let Some(n) = options.candidates {
        text += &format!(" --candidates {n}");
    }
    if let Some(n) = options.members {
        text += &format!(" --members {n}");
    }
    if let Some(time) = options.time {
        text += &format!(" --for {}ms", time.as_millis());
    }
    if let Some(policy) = options.policy {
        text += if policy == Policy::Available { " --policy available" } else { " --policy quorum" };
    }
    if options.faults != Faults::all() {
        text += &format!(" --faults {}", options.faults);
    }
    text
}

/// One run, told as a story.
fn story(options: &SimOptions) -> Result<(), Failure> {
    let report = Run::seed(options.seeds.start).options(fixed(options)).trace(Detail::Story, STORY).execute();
    for line in &report.lines {
        say(line)?;
    }
    say(&format!("\n{report}"))?;
    verdict(&report, options)
}

fn verdict(report: &Report, options: &SimOptions) -> Result<(), Failure> {
    match report.violations.first() {
        None => Ok(()),
        Some(violation) => {
            Err(Failure::failed(format!("violation of {violation}; again: {}", replay(report.seed, options))))
        }
    }
}

/// What came of all runs together.
#[derive(Default)]
struct Total {
    runs: u64,
    simulated: Duration,
    leaderships: usize,
    recoveries: usize,
    unrecoverable: u64,
    /// How many runs agreed, and the largest share of its bound that one needed, with its seed.
    agreed: u64,
    slowest: (f64, u64),
    faults: BTreeMap<&'static str, u64>,
    checked: BTreeMap<usize, u64>,
    failed: Option<Report>,
}

impl Total {
    fn add(&mut self, report: Report) {
        self.runs += 1;
        self.simulated += report.simulated - Time::ZERO;
        self.leaderships += report.leaderships;
        self.recoveries += report.recoveries;
        self.unrecoverable += u64::from(!report.recoverable);
        if let Some(share) = report.bound_share() {
            self.agreed += 1;
            if share > self.slowest.0 {
                self.slowest = (share, report.seed);
            }
        }
        for (word, n) in report.faults() {
            *self.faults.entry(word).or_default() += n;
        }
        for (property, n) in report.checked.iter().enumerate().filter(|(_, n)| **n > 0) {
            *self.checked.entry(property).or_default() += *n;
        }
        if !report.is_clean() && self.failed.as_ref().is_none_or(|f| report.seed < f.seed) {
            self.failed = Some(report);
        }
    }

    fn progress(&self, of: u64, real: Duration) -> String {
        let simulated = self.simulated.as_secs_f64();
        format!(
            "{} of {of} seeds, {simulated:.0} s simulated in {:.1} s: {:.0} times real time",
            self.runs,
            real.as_secs_f64(),
            simulated / real.as_secs_f64().max(1e-9)
        )
    }
}

/// A band of seeds, on all processors.
fn band(options: &SimOptions) -> Result<(), Failure> {
    let began = Instant::now();
    let of = options.seeds.end - options.seeds.start;
    let mut total = Total::default();
    let mut told = began;
    let (next, stop) = (AtomicU64::new(options.seeds.start), AtomicBool::new(false));
    let (reports, received) = channel();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            let (reports, next, stop) = (reports.clone(), &next, &stop);
            scope.spawn(move || work(options, next, stop, &reports));
        }
        drop(reports);
        for report in received {
            // Runs that have begun are finished, so that the smallest failing seed of those is found.
            if !report.is_clean() {
                stop.store(true, Ordering::Relaxed);
            }
            total.add(report);
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                // Where nobody reads, the end will tell.
                let _ = say(&total.progress(of, began.elapsed()));
            }
        }
    });
    if let Some(report) = &total.failed {
        for line in &report.lines {
            say(line)?;
        }
        say(&format!("\n{report}"))?;
    }
    say(&total.progress(of, began.elapsed()))?;
    say(&format!("faults: {}", pairs(&total.faults)))?;
    let (led, recovered) = (total.leaderships, total.recoveries);
    say(&format!("checked, by property: {}; leaderships: {led}, recoveries: {recovered}", pairs(&total.checked)))?;
    if total.agreed > 0 {
        let (agreed, (share, seed)) = (total.agreed, total.slowest);
        let percent = share * 100.0;
        say(&format!("agreement in {agreed} runs, after at most {percent:.0} % of the computed bound (seed {seed})"))?;
    }
    if total.unrecoverable > 0 {
        let n = total.unrecoverable;
        say(&format!("not recoverable by design (too many candidates without a store were lost): {n}"))?;
    }
    total.failed.as_ref().map_or(Ok(()), |report| verdict(report, options))
}

fn work(options: &SimOptions, next: &AtomicU64, stop: &AtomicBool, reports: &Sender<Report>) {
    while !stop.load(Ordering::Relaxed) {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= options.seeds.end || reports.send(Run::seed(seed).options(fixed(options)).execute()).is_err() {
            return;
        }
    }
}

fn pairs<K: std::fmt::Display>(counts: &BTreeMap<K, u64>) -> String {
    let told: Vec<String> = counts.iter().map(|(key, n)| format!("{key} {n}")).collect();
    if told.is_empty() { "none".into() } else { told.join(", ") }
}
