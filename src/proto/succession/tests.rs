#![allow(clippy::unwrap_used)]
use super::*;
use crate::types::{Generation, Incarnation, Index, Lineage, MemberInfo, Position, Term, member};
use crate::wire::{Entry, Image};

fn info(n: u32, identity: u64, incarnation: u64) -> MemberInfo {
    MemberInfo {
        incarnation: Incarnation(incarnation),
        identity: Identity(identity),
        standing: Standing::Candidate,
        addrs: vec![],
        ..member::tests::info(&format!("n{n}"))
    }
}

#[test]
fn a_diskless_restart_takes_two_changes_and_keeps_its_place() {
    let mut roll = Roll::from_image(&Image { lineage: Lineage(1), position: Position::default(), ..Image::default() });
    let mut index = 0;
    let mut apply = |roll: &mut Roll, change: Change| {
        index += 1;
        roll.apply(&Entry { index: Index(index), term: Term(1), change });
    };
    for n in 0..3 {
        apply(
            &mut roll,
            Change::Joined { slot: Slot(n), generation: Generation(1), info: info(n, 10 + u64::from(n), 1) },
        );
        let line = roll.line().clone();
        let seated = next_change(&roll, &line, Identity(10), |_| true, |_| false, Planted::default()).unwrap();
        apply(&mut roll, seated);
    }
    assert_eq!(next_change(&roll, roll.line(), Identity(10), |_| true, |_| false, Planted::default()), None);
    apply(
        &mut roll,
        Change::Left { slot: Slot(1), generation: Generation(1), reason: crate::types::LeftReason::Replaced },
    );
    apply(&mut roll, Change::Joined { slot: Slot(3), generation: Generation(1), info: info(1, 99, 2) });
    let line = roll.line().clone();
    let first = next_change(&roll, &line, Identity(10), |_| true, |_| false, Planted::default()).unwrap();
    assert!(matches!(&first, Change::Unseated { identity: Identity(11), keep: true, .. }));
    apply(&mut roll, first);
    assert_eq!(roll.line().voters().count(), 2);
    assert_eq!(
        next_change(&roll, roll.line(), Identity(10), |_| false, |_| false, Planted::default()),
        None,
        "not before its roll is level"
    );
    let second = next_change(&roll, roll.line(), Identity(10), |_| true, |_| false, Planted::default()).unwrap();
    apply(&mut roll, second);
    assert_eq!(roll.line().rank(&NodeId::new("n1").unwrap()), Some(1));
    assert_eq!(roll.line().seats()[1].identity, Identity(99));
}

/// Three voters, n0 first, and n3 on the roll with or without a seat.
fn roll_of(seats: &[(u32, bool)], members: &[u32]) -> Roll {
    let seat = |(n, voting): &(u32, bool)| Seat {
        id: NodeId::new(&format!("n{n}")).unwrap(),
        identity: Identity(10 + u64::from(*n)),
        incarnation: Incarnation(1),
        priority: 0,
        admitted: *n,
        witness: false,
        durable: false,
        voting: *voting,
        slot: Slot(*n),
        addrs: vec![],
    };
    let line = Line::new(1, seats.iter().map(seat).collect());
    let mut roll = Roll::from_image(&Image { line, ..Image::default() });
    for n in members {
        let info = info(*n, 10 + u64::from(*n), 1);
        put(&mut roll, Change::Joined { slot: Slot(*n), generation: Generation(1), info });
    }
    roll
}

fn put(roll: &mut Roll, change: Change) {
    roll.apply(&Entry { index: Index(1), term: Term(1), change });
}

fn id(n: u32) -> NodeId {
    NodeId::new(&format!("n{n}")).unwrap()
}

fn next(roll: &Roll, level: impl Fn(Identity) -> bool, retiring: impl Fn(&NodeId) -> bool) -> Option<Change> {
    next_change(roll, roll.line(), Identity(10), level, retiring, Planted::default())
}

fn unseats(change: Option<Change>, n: u32) -> bool {
    matches!(change, Some(Change::Unseated { id: who, keep: false, .. }) if who == id(n))
}

#[test]
fn who_is_retired_goes_once_the_rest_suffices() {
    let three = [(0, true), (1, true), (2, true)];
    let mut roll = roll_of(&three, &[0, 1, 2]);
    put(&mut roll, Change::Retired { id: id(1) });
    assert!(unseats(next(&roll, |_| true, |_| false), 1));
    assert_eq!(next(&roll, |_| true, |who| *who == id(1)), None, "it leaves already");
    assert_eq!(next(&roll, |i| i == Identity(10), |_| false), None, "one of the two that are left");
    assert!(unseats(next(&roll, |i| i != Identity(11), |_| false), 1), "its own state is no matter");
    // Not the leader itself.
    let mut roll = roll_of(&three, &[0, 1, 2]);
    put(&mut roll, Change::Retired { id: id(0) });
    assert_eq!(next(&roll, |_| true, |_| false), None);
    // An empty seat of a retired one goes whatever the others are.
    let mut roll = roll_of(&[(0, true), (1, false), (2, true)], &[0, 1, 2]);
    put(&mut roll, Change::Retired { id: id(1) });
    assert!(unseats(next(&roll, |i| i == Identity(10), |_| false), 1));
}

#[test]
fn a_rest_of_witnesses_does_not_suffice() {
    let mut roll = roll_of(&[(0, true), (1, true), (2, true)], &[]);
    let witness = |n: u32| Seat { witness: true, ..roll_of(&[(n, true)], &[]).line().seats()[0].clone() };
    let line = Line::new(1, vec![roll.line().seats()[0].clone(), witness(1), witness(2)]);
    assert!(!rest_suffices(&roll, &line, &line.seats()[0].clone(), |_| true));
    let candidates = roll.line().clone();
    let first = candidates.seats()[0].clone();
    assert!(rest_suffices(&roll, &candidates, &first, |_| true));
    assert!(!rest_suffices(&roll, &candidates, &first, |i| i == Identity(11)), "one of two");
    assert!(!rest_suffices(&roll, &candidates, &first, |i| i == Identity(10)), "itself doesn't count");
    let five = roll_of(&[(0, true), (1, true), (2, true), (3, true), (4, true)], &[]);
    let first = five.line().seats()[0].clone();
    assert!(rest_suffices(&five, five.line(), &first, |i| i.0 <= 13), "three of four");
    assert!(!rest_suffices(&five, five.line(), &first, |i| i.0 <= 12), "two of four");
    put(&mut roll, Change::Retired { id: id(0) });
}

#[test]
fn who_is_demoted_goes_likewise() {
    let mut roll = roll_of(&[(0, true), (1, true), (2, true)], &[0, 2]);
    let member = MemberInfo { standing: Standing::Member, ..info(1, 11, 1) };
    put(&mut roll, Change::Joined { slot: Slot(1), generation: Generation(1), info: member });
    assert!(unseats(next(&roll, |_| true, |_| false), 1));
}

#[test]
fn what_was_decided_about_who_is_away_is_carried_out() {
    let mut roll = roll_of(&[(0, true), (1, true), (2, true)], &[0, 2]);
    assert_eq!(next(&roll, |_| true, |_| false), None, "nobody is there to say more of itself");
    put(&mut roll, Change::Ranked { id: id(1), priority: 0 });
    assert_eq!(next(&roll, |_| true, |_| false), None, "it is so already");
    put(&mut roll, Change::Ranked { id: id(1), priority: 4 });
    let Some(Change::Seated(seat)) = next(&roll, |_| true, |_| false) else { panic!("no change") };
    assert_eq!((seat.id, seat.priority, seat.identity, seat.voting), (id(1), 4, Identity(11), true));
    put(&mut roll, Change::Joined { slot: Slot(1), generation: Generation(1), info: info(1, 11, 1) });
    let Some(Change::Seated(seat)) = next(&roll, |_| true, |_| false) else { panic!("no change") };
    assert_eq!((seat.id, seat.priority), (id(1), 4));
}

/// Each thing that a member says of itself goes into its seat.
#[test]
fn what_changed_at_a_seat_is_put_on_the_line() {
    let before = info(1, 11, 1);
    let addr = "10.0.0.1:1".parse().unwrap();
    let changes: [MemberInfo; 4] = [
        MemberInfo { incarnation: Incarnation(2), ..before.clone() },
        MemberInfo { priority: 3, ..before.clone() },
        MemberInfo { standing: Standing::Witness, ..before.clone() },
        MemberInfo { addrs: vec![addr], ..before.clone() },
    ];
    for (at, info) in changes.into_iter().enumerate() {
        let mut roll = roll_of(&[(0, true), (1, true), (2, true)], &[0, 2]);
        put(&mut roll, Change::Joined { slot: Slot(1), generation: Generation(1), info: info.clone() });
        let Some(Change::Seated(seat)) = next(&roll, |_| false, |_| false) else { panic!("{at}") };
        let told = (seat.incarnation, seat.priority, seat.witness, seat.addrs.clone());
        let witness = info.standing == Standing::Witness;
        assert_eq!(told, (info.incarnation, info.priority, witness, info.addrs), "{at}");
        assert_eq!((seat.slot, seat.identity, seat.voting, seat.admitted), (Slot(1), Identity(11), true, 1));
    }
    let mut roll = roll_of(&[(0, true), (1, true), (2, true)], &[0, 2]);
    put(&mut roll, Change::Joined { slot: Slot(9), generation: Generation(1), info: before });
    let Some(Change::Seated(seat)) = next(&roll, |_| false, |_| false) else { panic!("another slot") };
    assert_eq!(seat.slot, Slot(9));
}

#[test]
fn an_empty_seat_is_taken_once_its_owner_is_level() {
    let roll = roll_of(&[(0, true), (1, false), (2, true)], &[0, 1, 2]);
    assert_eq!(next(&roll, |i| i != Identity(11), |_| false), None);
    let Some(Change::Seated(seat)) = next(&roll, |i| i == Identity(11), |_| false) else { panic!("no change") };
    assert!(seat.id == id(1) && seat.voting);
}

#[test]
fn a_newcomer_is_admitted_once_level_at_the_end() {
    let mut roll = roll_of(&[(0, true), (1, true), (2, true)], &[0, 1, 2, 3]);
    assert_eq!(next(&roll, |i| i != Identity(13), |_| false), None);
    assert_eq!(next(&roll, |_| true, |who| *who == id(3)), None, "it leaves");
    let Some(Change::Seated(seat)) = next(&roll, |_| true, |_| false) else { panic!("no change") };
    let want = Seat { admitted: 3, slot: Slot(3), identity: Identity(13), id: id(3), ..roll.line().seats()[0].clone() };
    assert_eq!(seat, want);
    put(&mut roll, Change::Retired { id: id(3) });
    assert_eq!(next(&roll, |_| true, |_| false), None);
    // A tag that another voter of the line has.
    let mut roll = roll_of(&[(0, true)], &[0]);
    let twin = info(3, 10, 1);
    put(&mut roll, Change::Joined { slot: Slot(3), generation: Generation(1), info: twin });
    assert_eq!(next(&roll, |_| true, |_| false), None);
    let mut roll = roll_of(&[(0, true)], &[0]);
    let witness = MemberInfo { standing: Standing::Witness, priority: 2, ..info(3, 13, 5) };
    put(&mut roll, Change::Joined { slot: Slot(3), generation: Generation(1), info: witness });
    let Some(Change::Seated(seat)) = next(&roll, |_| true, |_| false) else { panic!("no change") };
    assert_eq!((seat.witness, seat.priority, seat.incarnation), (true, 2, Incarnation(5)));
}

#[test]
fn a_full_line_makes_room_by_a_seat_that_nobody_sits_in() {
    let full = |empty: u32| (0..MAX_SEATS as u32).map(|n| (n, n != empty)).collect::<Vec<_>>();
    let there: Vec<u32> = (0..MAX_SEATS as u32).filter(|n| *n != 4).chain([40]).collect();
    let roll = roll_of(&full(4), &there);
    assert!(unseats(next(&roll, |_| true, |_| false), 4));
    // Its owner is on the roll, and may come level yet; or it is a voter, though away.
    let all: Vec<u32> = (0..MAX_SEATS as u32).chain([40]).collect();
    let roll = roll_of(&full(4), &all);
    assert_eq!(next(&roll, |i| i != Identity(14), |_| false), None);
    let roll = roll_of(&full(99), &there);
    assert_eq!(next(&roll, |_| true, |_| false), None);
    let one_less: Vec<_> = full(99).into_iter().skip(1).collect();
    let roll = roll_of(&one_less, &[1, 2, 40]);
    assert!(matches!(next(&roll, |_| true, |_| false), Some(Change::Seated(seat)) if seat.id == id(40)));
}
