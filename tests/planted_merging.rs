//! The bugs that can be planted in merging: a checker bites, and it is the one that should.

#![cfg(feature = "planted-bugs")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use convoke::proto::{Bug, Policy};
use convoke::sim::{Faults, Options, Run};
use std::time::Duration;

/// How many of the seeds show the bug as a violation of this property. Without the bug all of them are clean.
fn caught(bug: Bug, property: u8, seeds: std::ops::Range<u64>, faults: &str) -> usize {
    let faults: Faults = faults.parse().unwrap();
    let options = Options {
        faults,
        candidates: Some(3),
        members: Some(4),
        heartbeat: Some(Duration::from_millis(100)),
        duration: Some(Duration::from_secs(20)),
        policy: Some(Policy::Available),
        ..Options::default()
    };
    let first = |run: Run| run.execute().violations.first().map(|v| (v.property, v.what.clone()));
    let mut caught = 0;
    for seed in seeds.clone() {
        let run = Run::seed(seed).options(options.clone());
        assert_eq!(first(run.clone()), None, "seed {seed} without {bug:?}");
        let seen = first(run.plant(bug));
        println!("{bug:?} seed {seed}: {seen:?}");
        caught += usize::from(seen.is_some_and(|(p, _)| p == property));
    }
    println!("{bug:?}: property {property} in {caught} of {} seeds", seeds.end - seeds.start);
    caught
}

/// Who kept its slot has that of somebody else.
#[test]
fn members_taken_in_without_new_slots_are_seen() {
    assert!(caught(Bug::MergeWithoutNewSlots, 4, 0..4, "partition") >= 1);
}

#[test]
fn a_conflict_that_nobody_tells_is_seen() {
    assert!(caught(Bug::ConflictNotTold, 4, 0..6, "partition,names") >= 1);
}

/// A voter that went into a child, and came back as the voter that it was.
#[test]
fn a_voter_that_acts_in_its_parent_again_is_seen() {
    assert!(caught(Bug::SameVoterAfterMerge, 1, 0..4, "partition") >= 1);
}
