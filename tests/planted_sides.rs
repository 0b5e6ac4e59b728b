//! Bugs that few random seeds show: each breaks a rule that a seed once demanded, and that seed is the test. Without the bug
//! it is clean.

#![cfg(feature = "planted-bugs")]
#![allow(clippy::unwrap_used)]

use convoke::proto::{Bug, Policy};
use convoke::sim::{Options, Run};

/// The properties that the seed violates with the bug; nothing without it.
fn violated(bug: Bug, seed: u64, policy: Policy) -> Vec<u8> {
    let run = Run::seed(seed).options(Options { policy: Some(policy), ..Options::default() });
    let report = run.execute();
    assert!(report.is_clean(), "without {bug:?}: {report}");
    let report = run.plant(bug).execute();
    println!("{bug:?}: {:?}", report.violations.first().map(|v| v.what.clone()));
    report.violations.iter().map(|v| v.property).collect()
}

#[test]
fn what_was_taken_of_one_that_comes_back_is_not_forgotten() {
    assert!(violated(Bug::ForgetTheGone, 61_168, Policy::Available).contains(&6));
}

#[test]
fn a_sender_that_never_gets_credit_is_seen() {
    assert!(violated(Bug::NoCreditToBegin, 3335, Policy::Available).contains(&7));
}

#[test]
fn a_question_how_far_the_receiver_is_that_was_lost_is_seen() {
    assert!(violated(Bug::AskOnceHowFar, 10_854, Policy::Available).contains(&7));
}

#[test]
fn a_request_that_its_giver_knows_nothing_of_is_seen() {
    assert!(violated(Bug::DisownNothing, 8695, Policy::Available).contains(&7));
}

#[test]
fn a_slot_of_somebody_before_is_seen() {
    assert!(!violated(Bug::SlotOfAnyGeneration, 268, Policy::Available).is_empty());
}

#[test]
fn a_voter_that_goes_over_though_its_lineage_went_on_is_seen() {
    assert!(violated(Bug::CrossWithMore, 71_757, Policy::Available).contains(&4));
}

#[test]
fn a_recovery_that_waits_for_ever_for_one_without_a_seat_is_seen() {
    assert!(violated(Bug::RecoverWithoutUnseated, 70_912, Policy::Available).contains(&7));
}
