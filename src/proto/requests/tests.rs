//! The machines of requests, each by itself.
#![allow(clippy::unwrap_used)]

use super::super::event::{Event, RequestOutcome, UnknownReason};
use super::asker::{Addressee, Asker};
use super::desk::{Desk, Offer};
use super::table::Table;
use super::*;
use crate::types::{Index, Lineage, Term, Time};
use crate::wire::{
    Answer, Begun, Change, Ledger, Lost, MAX_ANSWER, Opened, Outcome, REQUEST_WINDOW, Request, Response, Stage,
};
use proptest::prelude::*;
use std::time::Duration;

const LEADER: Place = (Slot(0), Generation(1));
const SENDER: Place = (Slot(1), Generation(1));

fn begun(by: Place, below: u64, numbers: &[u64]) -> Begun {
    let opened = Opened { slot: SENDER.0, generation: SENDER.1, below, numbers: numbers.to_vec() };
    Begun { slot: by.0, generation: by.1, opened: vec![opened] }
}

fn all(_: Place) -> bool {
    true
}

#[test]
fn a_number_begins_once() {
    let mut t = Table::default();
    assert_eq!(t.begin(&begun(LEADER, 1, &[1, 2]), all).opened, [(SENDER.0, 1), (SENDER.0, 2)]);
    let other = (Slot(2), Generation(1));
    assert_eq!(t.begin(&begun(other, 1, &[1, 3]), all).opened, [(SENDER.0, 3)]);
    assert!(t.close(SENDER.0, 1, &Outcome::Answered("a".into())));
    assert!(!t.close(SENDER.0, 1, &Outcome::Answered("b".into())), "what is over stays");
    assert!(t.begin(&begun(other, 1, &[1]), all).opened.is_empty());
    // Its sender knows: nothing is kept of it, and it doesn't begin any more.
    let opening = t.begin(&begun(other, 3, &[]), all);
    assert_eq!(opening.dropped, [(SENDER.0, 2)], "its sender gave it up");
    assert_eq!(t.stage(SENDER.0, 1), None);
    assert!(t.begin(&begun(other, 1, &[1, 2]), all).opened.is_empty());
    assert!(t.begin(&begun(other, 3, &[3 + REQUEST_WINDOW]), all).opened.is_empty(), "beyond the window");
    assert!(t.is_counted_right());
}

#[test]
fn what_a_node_began_that_is_gone_is_unknown() {
    let mut t = Table::default();
    t.begin(&begun(LEADER, 1, &[1, 2]), all);
    t.close(SENDER.0, 1, &Outcome::Answered("a".into()));
    assert_eq!(t.giver_left(LEADER), [(SENDER.0, 2, Outcome::Unknown(Lost::Gone))]);
    assert_eq!(t.stage(SENDER.0, 1), Some(&Stage::Done(Outcome::Answered("a".into()))));
    assert!(t.begun_by(LEADER).is_empty());
    t.sender_left(SENDER.0);
    assert_eq!(t.image(), []);
    assert!(t.is_counted_right());
    // Of somebody who isn't there nothing begins, nor by somebody.
    assert_eq!(t.begin(&begun(LEADER, 1, &[1]), |place| place != LEADER).opened, []);
    assert_eq!(t.begin(&begun(LEADER, 1, &[1]), |place| place != SENDER).opened, []);
}

#[test]
fn there_is_room_for_every_answer() {
    let mut t = Table::default();
    let room = 4_000;
    assert_eq!(t.room(room), room);
    let answer = Outcome::Answered(vec![0; MAX_ANSWER].into());
    let mut number = 0;
    // A sender that never says what it knows can't fill it, and many can, but not beyond.
    for slot in 1..=20 {
        let numbers: Vec<u64> = (1..=REQUEST_WINDOW.min(t.room(room) as u64)).collect();
        number += numbers.len();
        let opened = vec![Opened { slot: Slot(slot), generation: Generation(1), below: 1, numbers: numbers.clone() }];
        t.begin(&Begun { slot: LEADER.0, generation: LEADER.1, opened }, all);
        numbers.iter().for_each(|n| assert!(t.close(Slot(slot), *n, &answer)));
    }
    assert_eq!((t.room(room), number), (0, room));
    assert!(t.is_counted_right());
}

proptest! {
    /// An image says all: who goes on by it does as who has seen everything.
    #[test]
    fn an_image_is_as_good_as_the_entries(steps in proptest::collection::vec((0..5u8, 0..3u32, 1..6u64, 1..6u64), 0..40)) {
        let mut whole = Table::default();
        let mut parts = Table::default();
        for (what, slot, n, below) in steps {
            let place = (Slot(slot), Generation(1));
            let opened = vec![Opened { slot: place.0, generation: place.1, below, numbers: vec![below, below + n] }];
            let begun = Begun { slot: Slot((n % 3) as u32), generation: Generation(1), opened };
            for t in [&mut whole, &mut parts] {
                match what {
                    0 | 1 => drop(t.begin(&begun, all)),
                    2 => { t.close(place.0, n, &Outcome::Answered("x".into())); }
                    3 => drop(t.giver_left(place)),
                    _ => t.sender_left(place.0),
                }
            }
            let image: Vec<Ledger> = parts.image();
            parts = Table::from_image(&image);
            prop_assert_eq!(whole.image(), image);
            prop_assert!(whole.is_counted_right());
        }
    }
}

fn offer(slot: u32, number: u64) -> Offer {
    let key = Key { from: NodeId::new(&format!("m{slot}")).unwrap(), incarnation: Incarnation(1), number };
    Offer { key, generation: Generation(1), below: 1, home: true, body: "body".into() }
}

/// What comes while a batch is under way goes with the next one.
#[test]
fn a_thousand_requests_are_few_batches() {
    let mut desk = Desk::default();
    let (mut batches, mut began, mut last) = (0, 0, Index(10));
    let ask = |desk: &mut Desk, round: u64| {
        (1..=50).for_each(|slot| desk.offer(Slot(slot), offer(slot, round)));
    };
    for round in 1..=20 {
        ask(&mut desk, round);
        if round % 10 != 0 {
            // The batch before is still under way.
            continue;
        }
        assert!(desk.committed(last));
        while let Some((slot, offer)) = desk.next_fresh() {
            desk.admit(slot, offer);
        }
        let changes = desk.batch(Time::ZERO, last, LEADER, 4_000);
        assert!(!desk.committed(last), "one batch at a time");
        last = Index(last.0 + changes.len() as u64);
        batches += 1;
        for change in changes {
            let Change::Begun(begun) = change else { panic!("{change:?}") };
            for opened in begun.opened {
                assert!(opened.numbers.is_sorted());
                began += opened.numbers.len();
                opened.numbers.iter().for_each(|n| drop(desk.take((opened.slot, *n)).unwrap()));
            }
        }
    }
    assert_eq!((batches, began, desk.bytes()), (2, 1_000, 0));
    assert!(desk.committed(last) && desk.is_idle());
}

#[test]
fn those_that_found_no_room_are_looked_at_again() {
    let mut desk = Desk::default();
    (1..=3).for_each(|n| desk.offer(Slot(1), offer(1, n)));
    // Without room what is done with makes some.
    desk.knows((Slot(2), Generation(1)), 9, Time::from_micros(1_000_000));
    assert!(desk.batch(Time::ZERO, Index(0), LEADER, 0).is_empty(), "nobody waits for it");
    while let Some((slot, offer)) = desk.next_fresh() {
        desk.admit(slot, offer);
    }
    assert_eq!(desk.batch(Time::ZERO, Index(0), LEADER, 0).len(), 1);
    assert!(desk.committed(Index(1)));
    assert!(desk.batch(Time::ZERO, Index(1), LEADER, 0).is_empty());
    assert_eq!(desk.batch(Time::ZERO, Index(1), LEADER, 2).len(), 1);
    assert!(desk.committed(Index(2)));
    // The roll began none of them: they are told why.
    assert!(desk.next_fresh().is_some() && desk.next_fresh().is_some() && desk.next_fresh().is_none());
    assert_eq!(desk.batch(Time::ZERO, Index(2), LEADER, 2).len(), 1, "the third one");
    desk.gone(Slot(1), None);
    assert_eq!(desk.bytes(), 0);
}

fn asker() -> Asker {
    let mut asker = Asker::new(Duration::from_millis(100), None);
    asker.renew(Incarnation(1), UnknownReason::Renewed);
    asker
}

/// Offers what is due to this leader and returns it.
fn tick(asker: &mut Asker, now: Time, leader: &str, lineage: u64) -> Vec<Request> {
    let leader = NodeId::new(leader).unwrap();
    let to = Addressee { leader: &leader, term: Term(1), lineage: Lineage(lineage), incarnation: Incarnation(1) };
    let mut sent = Vec::new();
    asker.tick(now, to, |request| {
        sent.push(request.clone());
        true
    });
    sent
}

fn say(asker: &mut Asker, from: &str, number: u64, said: Response) -> bool {
    let answer = Answer { lineage: Lineage(1), incarnation: Incarnation(1), number, late: None, said };
    asker.answered(Time::ZERO, &NodeId::new(from).unwrap(), answer)
}

fn told(asker: &mut Asker) -> Vec<(u64, RequestOutcome)> {
    let event = |e| if let Event::Answer { number, outcome } = e { (number, outcome) } else { panic!("{e:?}") };
    std::iter::from_fn(|| asker.poll_event()).map(event).collect()
}

#[test]
fn each_leader_is_offered_the_same_and_one_outcome_is_told() {
    let mut a = asker();
    assert_eq!(a.accept(Time::ZERO, "q".into(), false, 1_000), Some(1));
    let first = tick(&mut a, Time::ZERO, "x", 1);
    assert_eq!((first[0].number, first[0].below, first[0].lineage), (1, 1, Lineage(1)));
    assert!(tick(&mut a, Time::ZERO, "x", 1).is_empty());
    // In a child lineage it is still the request that was offered in the parent.
    assert_eq!(tick(&mut a, Time::ZERO, "y", 2), first);
    let answer = || Response::Done(Outcome::Answered("r".into()));
    assert!(!say(&mut a, "z", 1, answer()), "it was never asked");
    assert!(!say(&mut a, "x", 2, answer()));
    assert!(say(&mut a, "x", 1, answer()), "the one before may be late");
    assert!(!say(&mut a, "y", 1, answer()));
    assert_eq!(told(&mut a), [(1, RequestOutcome::Answered("r".into()))]);
    // Once it has nothing more to ask it says what it knows.
    let soon = Time::ZERO + Duration::from_millis(100);
    assert!(tick(&mut a, Time::ZERO, "y", 2).is_empty());
    let knows = tick(&mut a, soon, "y", 2);
    assert_eq!(knows.iter().map(|r| (r.number, r.below)).collect::<Vec<_>>(), [(0, 2)]);
    // That leader may die with it.
    assert!(tick(&mut a, soon, "z", 2).is_empty());
    let later = soon + Duration::from_millis(200);
    assert_eq!(tick(&mut a, later, "z", 2), knows);
    assert!(tick(&mut a, later + Duration::from_secs(8), "z", 2).is_empty() && a.is_idle());
    assert!(tick(&mut a, later + Duration::from_secs(8), "x", 2).is_empty() && a.is_idle(), "by now it is known");
}

#[test]
fn what_was_offered_as_somebody_else_is_unknown() {
    let mut a = asker();
    for again in [false, true, false] {
        a.accept(Time::ZERO, "q".into(), again, 1_000).unwrap();
        if !again {
            // The last one is offered to nobody.
            continue;
        }
        tick(&mut a, Time::ZERO, "x", 1);
    }
    a.renew(Incarnation(2), UnknownReason::Renewed);
    assert_eq!(told(&mut a), [(1, RequestOutcome::Unknown(UnknownReason::Renewed))]);
    let leader = NodeId::new("x").unwrap();
    let to = Addressee { leader: &leader, term: Term(1), lineage: Lineage(1), incarnation: Incarnation(2) };
    let mut numbers = Vec::new();
    a.tick(Time::ZERO, to, |r| {
        numbers.push(r.number);
        true
    });
    assert_eq!(numbers, [2, 3]);
}

#[test]
fn the_window_and_the_bounds_hold() {
    let mut a = asker();
    let n = (0..2_000).take_while(|_| a.accept(Time::ZERO, "q".into(), false, 1 << 20).is_some()).count();
    assert_eq!(n, 1_024);
    assert_eq!(tick(&mut a, Time::ZERO, "x", 1).len() as u64, REQUEST_WINDOW);
    assert!(say(&mut a, "x", 1, Response::Done(Outcome::Unknown(Lost::Gone))));
    let next = tick(&mut a, Time::ZERO, "x", 1);
    assert_eq!(next.iter().map(|r| (r.number, r.below)).collect::<Vec<_>>(), [(1 + REQUEST_WINDOW, 2)]);
    // Refused for now: it comes again, a little later.
    assert!(say(&mut a, "x", 2, Response::Later));
    assert!(tick(&mut a, Time::ZERO, "x", 1).is_empty());
    assert_eq!(tick(&mut a, Time::ZERO + Duration::from_millis(13), "x", 1).len(), 1);
    let mut b = asker();
    assert_eq!(b.accept(Time::ZERO, vec![0; 900].into(), false, 1_000), None, "by bytes");
}

#[test]
fn who_is_impatient_is_told_in_time() {
    let mut a = Asker::new(Duration::from_millis(100), Some(Duration::from_secs(1)));
    a.accept(Time::ZERO, "q".into(), false, 1_000).unwrap();
    assert_eq!(a.deadline(false), Time::ZERO + Duration::from_secs(1));
    a.expire(Time::ZERO + Duration::from_secs(1));
    assert_eq!(told(&mut a), [(1, RequestOutcome::Unknown(UnknownReason::Patience))]);
}

/// A leader without room is not asked again and again; the next one is asked at once.
#[test]
fn a_leader_without_room_is_asked_more_seldom_each_time() {
    let mut a = asker();
    a.accept(Time::ZERO, "q".into(), false, 1_000);
    let mut offers = 0;
    for ms in 0..10_000 {
        let now = Time::from_micros(ms * 1_000);
        for request in tick(&mut a, now, "x", 1) {
            offers += 1;
            let later = Answer {
                lineage: Lineage(1),
                incarnation: Incarnation(1),
                number: request.number,
                late: None,
                said: Response::Later,
            };
            assert!(a.answered(now, &NodeId::new("x").unwrap(), later));
        }
    }
    assert!((10..30).contains(&offers), "{offers}");
    assert_eq!(tick(&mut a, Time::from_micros(10_000_000), "y", 1).len(), 1);
}

/// An answer that the next leader finds too large would be sent again and again.
#[test]
fn an_answer_that_nobody_takes_becomes_one_that_nobody_knows() {
    let mut bearer = super::bearer::Bearer::default();
    let key = Key { from: NodeId::new("x").unwrap(), incarnation: Incarnation(1), number: 4 };
    bearer.answer(key.clone(), SENDER, Outcome::Answered(vec![0; 9_000].into()));
    bearer.unsent = false;
    bearer.failed(4, SENDER, None);
    assert!(bearer.unsent && matches!(bearer.answering[&key].outcome, Outcome::Answered(_)));
    bearer.failed(4, SENDER, Some(Outcome::Unknown(Lost::Forgotten)));
    assert_eq!(bearer.answering[&key].outcome, Outcome::Unknown(Lost::Forgotten));
}
