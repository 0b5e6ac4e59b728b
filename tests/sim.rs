//! Bands of seeds, and what a run promises of itself.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use convoke::sim::{Detail, Faults, Options, Run};
use std::time::Duration;

fn faults(words: &str) -> Options {
    Options { faults: words.parse().unwrap(), ..Options::default() }
}

fn band(seeds: std::ops::Range<u64>, options: &Options) {
    let mut unrecoverable = 0;
    for seed in seeds.clone() {
        let report = Run::seed(seed).options(options.clone()).execute();
        if !report.is_clean() {
            report.lines.iter().for_each(|line| println!("{line}"));
            panic!("{report}\nreplay with: convoke sim --seed {seed} --faults {}", options.faults);
        }
        unrecoverable += u64::from(!report.recoverable);
    }
    let all = seeds.end - seeds.start;
    assert!(unrecoverable * 10 <= all, "{unrecoverable} of {all} runs could not demand agreement");
}

#[test]
fn seeds_with_all_faults() {
    band(0..60, &Options::default());
}

#[test]
fn seeds_with_each_fault_alone() {
    for fault in Faults::all().iter() {
        band(1_000..1_006, &faults(fault.word()));
    }
}

#[test]
fn without_faults_the_first_leader_stays() {
    for seed in 0..10 {
        let options = Options { duration: Some(Duration::from_secs(60)), ..faults("none") };
        let report = Run::seed(seed).options(options).execute();
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.leaderships, 1);
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..10 {
        let run = |detail| Run::seed(seed).trace(detail, 1_000).execute();
        let (first, second) = (run(Detail::Nothing), run(Detail::Everything));
        assert_eq!((first.hash, first.counts), (second.hash, second.counts), "seed {seed}");
        assert_eq!(first.agreed_after, second.agreed_after);
        assert_ne!(first.hash, Run::seed(seed + 1_000).execute().hash);
    }
}

/// A story is only told when asked for, and it tells what matters.
#[test]
fn a_run_tells_its_story() {
    let report = Run::seed(3).options(faults("crash,restart")).trace(Detail::Story, usize::MAX).execute();
    let story = report.lines.join("\n");
    for part in ["starts anew", "is now leader", "the network is whole"] {
        assert!(story.contains(part), "the story lacks {part:?}:\n{story}");
    }
}
