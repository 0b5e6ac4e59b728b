//! Bugs that few random seeds show: each breaks a rule that a seed once demanded, and a seed that shows it is the test. Without
//! the bug it is clean.

#![cfg(feature = "planted-bugs")]
#![allow(clippy::unwrap_used)]

use convoke::proto::{Bug, Policy};
use convoke::sim::{Options, Run};

/// The properties that the seed violates with the bug; nothing without it.
fn violated(bug: Bug, seed: u64) -> Vec<u8> {
    let run = Run::seed(seed).options(Options { policy: Some(Policy::Available), ..Options::default() });
    let report = run.execute();
    assert!(report.is_clean(), "without {bug:?}: {report}");
    let report = run.plant(bug).execute();
    println!("{bug:?}: {:?}", report.violations.first().map(|v| v.what.clone()));
    report.violations.iter().map(|v| v.property).collect()
}

#[test]
fn a_request_that_its_giver_knows_nothing_of_is_seen() {
    assert!(violated(Bug::DisownNothing, 1_269).contains(&6));
}

#[test]
fn a_voter_that_goes_over_though_its_lineage_went_on_is_seen() {
    assert!(violated(Bug::CrossWithMore, 71_757).contains(&4));
}
