#![allow(clippy::unwrap_used)]
use super::*;
use crate::types::member::tests::info;
use crate::types::{Index, LeftReason};
use crate::wire::Entry;

fn name(n: &str) -> Name {
    Name::new(n).unwrap()
}

fn place(slot: u32) -> (Slot, Generation) {
    (Slot(slot), Generation(1))
}

fn apply(roll: &mut Roll, change: Change) -> super::super::roll::Applied {
    roll.apply(&Entry { index: Index(1), term: Term(1), change })
}

/// Members a and b in the slots 0 and 1.
fn roll() -> Roll {
    let mut roll = Roll::default();
    for (slot, id) in [(0, "a"), (1, "b")] {
        apply(&mut roll, Change::Joined { slot: Slot(slot), generation: Generation(1), info: info(id) });
    }
    roll
}

fn question(number: u32, n: &str, release: bool) -> Question {
    Question { number, name: name(n), release }
}

/// Asks, commits where that is needed, and gives the answer.
fn settle(claims: &mut Claims, roll: &mut Roll, slot: u32, q: Question) -> Option<ClaimAnswer> {
    match claims.ask(roll, place(slot), q.clone(), None) {
        Ruling::Nothing => None,
        Ruling::Answer(answer, _) => Some(answer),
        Ruling::Propose(change) => {
            assert_eq!(claims.ask(roll, place(slot), q, None), Ruling::Nothing, "a copy waits for the commit");
            let super::super::roll::Applied::Claim(c) = apply(roll, change) else { panic!("not applied") };
            claims.committed((c.slot, c.generation), &c.name, c.answer, c.owner).map(|(_, _, answer, _)| answer)
        }
    }
}

#[test]
fn a_name_has_one_owner_until_it_is_released_or_its_owner_leaves() {
    let (mut claims, mut roll) = (Claims::default(), roll());
    assert_eq!(settle(&mut claims, &mut roll, 0, question(1, "n", false)), Some(ClaimAnswer::Yours));
    assert_eq!(settle(&mut claims, &mut roll, 1, question(1, "n", false)), Some(ClaimAnswer::Taken));
    assert_eq!(settle(&mut claims, &mut roll, 0, question(2, "n", true)), Some(ClaimAnswer::Released));
    assert_eq!(settle(&mut claims, &mut roll, 1, question(2, "n", false)), Some(ClaimAnswer::Yours));
    let left = Change::Left { slot: Slot(1), generation: Generation(1), reason: LeftReason::Left };
    let super::super::roll::Applied::Left { names, .. } = apply(&mut roll, left) else { panic!("not applied") };
    assert_eq!(names, [name("n")]);
    assert_eq!(roll.names().count(), 0);
}

#[test]
fn a_late_copy_takes_no_effect() {
    let (mut claims, mut roll) = (Claims::default(), roll());
    settle(&mut claims, &mut roll, 0, question(1, "n", false));
    assert_eq!(settle(&mut claims, &mut roll, 1, question(1, "n", false)), Some(ClaimAnswer::Taken));
    settle(&mut claims, &mut roll, 0, question(2, "n", true));
    assert_eq!(settle(&mut claims, &mut roll, 1, question(1, "n", false)), Some(ClaimAnswer::Taken), "the same answer");
    assert_eq!(settle(&mut claims, &mut roll, 0, question(1, "n", false)), None, "it was given up since");
    assert_eq!(roll.names().count(), 0);
}

#[test]
fn two_that_claim_at_once_are_told_by_the_log() {
    let (mut claims, mut roll) = (Claims::default(), roll());
    let first = claims.ask(&roll, place(0), question(1, "n", false), None);
    let second = claims.ask(&roll, place(1), question(1, "n", false), None);
    let (Ruling::Propose(first), Ruling::Propose(second)) = (first, second) else { panic!("both are proposed") };
    let answers: Vec<_> = [second, first]
        .map(|change| {
            let super::super::roll::Applied::Claim(c) = apply(&mut roll, change) else { panic!("not applied") };
            claims.committed((c.slot, c.generation), &c.name, c.answer, c.owner).unwrap().2
        })
        .into();
    assert_eq!(answers, [ClaimAnswer::Yours, ClaimAnswer::Taken]);
}

#[test]
fn names_are_bounded() {
    let (mut claims, mut roll) = (Claims::default(), roll());
    for n in 1..=64 {
        assert_eq!(settle(&mut claims, &mut roll, 0, question(n, &n.to_string(), false)), Some(ClaimAnswer::Yours));
    }
    assert_eq!(settle(&mut claims, &mut roll, 0, question(65, "n", false)), Some(ClaimAnswer::TooMany));
    let change = Change::Claimed { slot: Slot(0), generation: Generation(1), name: name("n") };
    let super::super::roll::Applied::Claim(c) = apply(&mut roll, change) else { panic!("not applied") };
    assert_eq!((c.answer, c.changed), (ClaimAnswer::TooMany, false), "nor by an entry");
}

#[test]
fn a_member_asks_one_thing_at_a_time_and_of_each_leader_anew() {
    let interval = Duration::from_secs(1);
    let (mut c, at) = (Claimant::new(interval), |ms: u64| Time::from_micros(ms * 1_000));
    let home = (Lineage(1), Slot(1), Generation(1), Incarnation(1));
    c.settle_at(home, |_, _| panic!("nothing to tell"));
    assert!(c.wish(name("n"), false) && c.wish(name("n"), true));
    assert_eq!(c.due(at(0), Term(1)), Some(question(1, "n", false)));
    assert_eq!(c.due(at(1), Term(1)), None);
    assert_eq!(c.due(at(125), Term(1)), Some(question(1, "n", false)), "again");
    assert_eq!(c.due(at(126), Term(2)), Some(question(1, "n", false)), "of the next leader");
    assert_eq!(c.answered(Term(1), 1, ClaimAnswer::Taken, NodeId::new("b").ok()), None, "an answer of the former one");
    let answered = c.answered(Term(2), 1, ClaimAnswer::Yours, None);
    assert_eq!(answered, Some(Some((name("n"), ClaimOutcome::Yours))));
    assert_eq!(c.answered(Term(2), 1, ClaimAnswer::Yours, None), None, "a copy");
    assert_eq!(c.due(at(127), Term(2)), Some(question(2, "n", true)));
    let mut told = Vec::new();
    c.settle_at((Lineage(1), Slot(1), Generation(2), Incarnation(2)), |n, o| told.push((n, o)));
    assert_eq!(told, [(name("n"), ClaimOutcome::Unknown)]);
    assert!(c.is_idle());
}

#[test]
fn what_is_lost_in_another_lineage_is_given_up_there() {
    let (mut c, at) = (Claimant::new(Duration::from_secs(1)), Time::ZERO);
    let place = |lineage| (Lineage(lineage), Slot(1), Generation(1), Incarnation(1));
    c.settle_at(place(1), |_, _| panic!("nothing to tell"));
    c.wish(name("n"), false);
    c.due(at, Term(1));
    c.answered(Term(1), 1, ClaimAnswer::Yours, None);
    let mut told = Vec::new();
    c.settle_at(place(2), |n, o| told.push((n, o)));
    assert_eq!(told, [(name("n"), ClaimOutcome::Lost)]);
    assert_eq!(c.due(at, Term(5)), Some(question(2, "n", true)));
    assert_eq!(c.answered(Term(5), 2, ClaimAnswer::Released, None), Some(None), "nobody waits for it");
}
