//! What once went wrong where each side of a partition goes on by itself ([`Policy::Available`]): each test names the rule that
//! was missing, and stands for it by the seed that showed it.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used)]

use convoke::proto::Policy;
use convoke::sim::{Faults, Options, Report, Run};
use std::time::Duration;

fn run(seed: u64, faults: Faults, duration: Option<Duration>) -> Report {
    let options = Options { faults, policy: Some(Policy::Available), duration, ..Options::default() };
    let report = Run::seed(seed).options(options).execute();
    assert!(report.is_clean(), "{report}");
    report
}

/// Partitions alone, for 40 s.
fn parted(seed: u64) {
    let report = run(seed, "partition".parse().unwrap(), Some(Duration::from_secs(40)));
    assert!(report.recoverable, "{report}");
}

fn all(seed: u64) {
    run(seed, Faults::all(), None);
}

/// A founder had the place that the parent gave it, of which its own roll knew nothing: the child gave the same place to
/// another.
#[test]
fn a_founder_has_the_place_that_its_own_roll_says() {
    parted(2);
}

/// Voters waited for ever for one that had gone on in a child; an answer of one who knows no leader closed the question that
/// another could have answered.
#[test]
fn who_went_on_elsewhere_is_not_waited_for() {
    parted(131);
}

/// A witness is alone in its lineage: it leads nothing, and is free to go where somebody does, though it once accepted the
/// founding of that lineage.
#[test]
fn a_witness_that_is_left_alone_goes_where_somebody_leads() {
    parted(424);
}

/// Who entered a founding of which nothing came, while its founder went on in a child of it, is bound to it no longer.
#[test]
fn a_founding_that_went_on_in_a_child_binds_nobody() {
    all(2136);
}

/// A member slept while its slot was given to another: it took that one's new place for its own when the lineage was taken
/// into another.
#[test]
fn only_the_present_owner_of_a_slot_goes_over_with_it() {
    all(268);
}

/// A lineage took one in as its next incarnation: what it had sent as the one before, which was never on a roll there, was
/// still handed on.
#[test]
fn nothing_is_heard_of_an_incarnation_before_the_one_that_joined() {
    all(898);
}

/// Requests that waited for the embedder were given to it, though the roll that had them begun was replaced.
#[test]
fn what_another_roll_does_not_have_is_not_given() {
    all(748);
}

/// What was passed on between two members went on after the roll was replaced by one that doesn't have them.
#[test]
fn what_another_roll_does_not_have_is_not_relayed() {
    all(329);
}

/// One end of a lent connection took the other for gone and began anew; the other one never answered, for to it nothing had
/// ended.
#[test]
fn who_is_asked_once_more_how_far_it_is_says_so() {
    all(564);
}

/// Who asked how far the other end is, while that one took it for gone, waited for ever.
#[test]
fn who_is_not_answered_asks_once_more() {
    all(10_854);
}

/// A request was begun by a leader that has a roll from elsewhere since, and never heard of it: nobody said what came of it.
#[test]
fn what_a_node_began_by_the_roll_and_does_not_know_is_disowned() {
    all(8695);
}

/// Senders that said nothing held all the credit that there was, and another one never got any.
#[test]
fn who_has_no_credit_may_begin_all_the_same() {
    all(3335);
}

/// A member that missed the merger came as the incarnation as which it was taken in, at another address: the leader spoke to
/// the old one.
#[test]
fn who_moved_before_it_was_taken_in_comes_anew() {
    all(1969);
    all(11_256);
}

/// A founder crashed before its child's first entry was committed and went on from its store: it never said what the founding
/// may have cost.
#[test]
fn a_founding_is_told_by_whoever_goes_on_from_its_store() {
    all(448);
}

/// The same node led in the same term in another lineage, and its followers didn't say so.
#[test]
fn the_same_leader_in_another_lineage_is_told() {
    all(22_336);
}

/// The checkers took what waited to be told, as a node went over, for news of where it is now.
#[test]
fn what_is_told_late_is_about_where_it_happened() {
    all(102);
    all(2407);
    all(5728);
}

/// The founding of a child commits what was uncommitted in the parent, and its founder may answer and forget it in one go: the
/// checker missed it.
#[test]
fn what_a_founding_commits_is_committed() {
    all(57);
}

/// A node that was told to have left, and was there after all once the sides were one again, sent what had been taken of it once
/// more: how far it was had been forgotten, and questions were given twice.
#[test]
fn who_comes_back_goes_on_where_it_was() {
    all(61_168);
}

/// A name that was a node's own in a lineage that it left is claimed by the node itself in the next: the checker knew of no claim.
#[test]
fn names_that_nodes_claim_by_themselves_are_claims() {
    all(65_968);
    all(66_475);
}

/// Broadcasts that waited for an embedder were given when their receiver had left and joined again: the checker counted them
/// among those that are for the member it is now.
#[test]
fn a_broadcast_is_for_the_member_that_it_was_given_to() {
    all(63_713);
}

/// A candidate without a seat held the roll: no order of a recovery named it, and nobody promised what left it out.
#[test]
fn who_holds_the_roll_without_a_seat_promises_too() {
    all(70_912);
}

/// A node that isn't told what came of its claim gives the name up by itself: the checker knew of no release.
#[test]
fn names_that_nodes_give_up_by_themselves_are_given_up() {
    all(71_528);
}

/// Who is here was told anew only once that was stored: a message of one who had been told to have left came before.
#[test]
fn no_message_comes_before_its_sender_is_told_to_be_back() {
    all(72_124);
}

/// A node that had told nothing of its lineage tells who is in the next one first: the checker took it for news of the one before.
#[test]
fn who_told_nothing_tells_of_where_it_is() {
    all(72_789);
}

/// A voter that went over as a plain member without the roll refused its own leader, which it had been told had left where it was
/// before: nobody tells such a member who comes.
#[test]
fn without_the_roll_nobody_is_gone_elsewhere() {
    all(75_180);
}

/// A subscriber that parted with its side heard of yet another lineage before the roll of the first was here: it told that roll
/// as if it had been there all the time.
#[test]
fn that_a_side_parted_is_told_however_late_its_roll_comes() {
    all(81_881);
}

/// A subscriber came back to a lineage in which somebody had left, and was given what that one said since before it was told
/// that it is there again.
#[test]
fn nobody_speaks_before_it_is_told_to_be_there_again() {
    all(82_821);
}

/// A leader that couldn't deal yet asked to be woken for its offers again and again.
#[test]
fn who_cannot_deal_does_not_wake_for_it() {
    all(87_310);
}

/// What an offer had come to was on its way for so long that the offer, which came late as well, had been accepted again, with
/// another roll: two members were told the same place.
#[test]
fn what_ended_is_the_roll_that_was_handed_over() {
    run(4_000_290, "late,partition,line,crash,loss,oneway,handover".parse().unwrap(), None);
}

/// What a founder told of another lineage before it came into the parent of its child was forgotten, where nothing of the parent
/// was told: those that were told to be there joined once more.
#[test]
fn a_founder_tells_what_differs_from_what_it_told_last() {
    run(4_104_915, "late,partition,line,crash,loss,oneway,handover".parse().unwrap(), None);
}

/// A leader sought from a member that knew no leader any more, and heard nobody else: it was told nothing, and asked nothing.
#[test]
fn who_is_sought_from_asks_back() {
    run(4_301_959, "late,partition,line,crash,loss,oneway,handover".parse().unwrap(), None);
}

/// A voter that was to be a plain member was put on the roll as the voter that it would have been, had it gone over from elsewhere:
/// it took the registration for its own, and was neither.
#[test]
fn who_is_on_the_roll_as_another_voter_asks_anew_also_where_it_wants_no_vote() {
    run(4_400_675, "late,partition,flap,crash,handover,move,line,dup,reorder,delay".parse().unwrap(), None);
}
