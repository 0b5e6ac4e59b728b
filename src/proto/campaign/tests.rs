#![allow(clippy::unwrap_used)]
use super::*;
use crate::types::{Incarnation, Index, Lineage, Seat, Slot};

const L: Lineage = Lineage(7);
const STEP: Duration = Duration::from_millis(10);
const ROUND: Duration = Duration::from_millis(40);
const MOST: Duration = Duration::from_millis(300);

fn ms(n: u64) -> Time {
    Time::from_micros(n * 1_000)
}

fn at(term: u64, index: u64) -> Position {
    Position { term: Term(term), index: Index(index) }
}

fn line(voters: u64) -> Line {
    let seat = |n: u64| Seat {
        id: NodeId::new(&format!("n{n}")).unwrap(),
        identity: Identity(n),
        incarnation: Incarnation(1),
        priority: 0,
        admitted: n as u32,
        witness: false,
        durable: false,
        voting: true,
        slot: Slot(n as u32),
        addrs: vec![],
    };
    Line::new(3, (1..=voters).map(seat).collect())
}

fn here(line: &Line, now: u64) -> Standpoint<'_> {
    Standpoint {
        now: ms(now),
        me: Identity(1),
        line,
        position: at(4, 9),
        committed: at(4, 8),
        promised: Term(5),
        free: true,
        own_durable: true,
    }
}

fn campaign() -> Campaign {
    Campaign::new(STEP, ROUND, MOST)
}

fn opinion(round: u32, granted: bool, wait_ms: u64) -> CanvassReply {
    CanvassReply { lineage: L, round, term: Term(5), granted, wait_us: wait_ms * 1_000, position: at(4, 9) }
}

fn grant(term: u64, granted: bool, position: Position) -> BidReply {
    BidReply { lineage: L, term: Term(term), granted, promised: Term(term), position }
}

fn term_of(step: Option<Step>) -> u64 {
    match step {
        Some(Step::Bid(bid)) => bid.term.0,
        other => panic!("no bid: {other:?}"),
    }
}

#[test]
fn it_waits_until_it_is_told_to() {
    let mut c = campaign();
    assert!(c.is_idle() && c.is_waiting() && !c.repeats());
    assert_eq!(c.deadline(), Time::NEVER);
    c.wait_until(ms(5));
    assert!(!c.is_idle() && c.is_waiting());
    assert_eq!(c.deadline(), ms(5));
    c.idle();
    assert!(c.is_idle());
}

/// Doubled each time, within half and one and a half of it by chance, and bounded.
#[test]
fn failures_wait_longer_each_time() {
    let mut c = campaign();
    for (n, pause) in [20u64, 40, 80, 160, 300, 300, 300, 300, 300, 300].into_iter().enumerate() {
        let mut other = c.clone();
        c.fail(ms(1_000), 0);
        other.fail(ms(1_000), pause * 1_000 - 1);
        assert_eq!(c.deadline(), ms(1_000 + pause / 2), "failure {}", n + 1);
        assert_eq!(other.deadline(), ms(1_000 + pause / 2 + pause) - Duration::from_micros(1));
        assert_eq!(c.failures, n as u32 + 1);
    }
    c.idle();
    assert_eq!(c.failures, 0);
}

#[test]
fn a_majority_of_opinions_makes_a_bid() {
    let line = line(5);
    let mut c = campaign();
    let Some(Step::Canvass(canvass)) = c.canvass(here(&line, 0), L) else { panic!("no canvass") };
    assert_eq!((canvass.term, canvass.position, canvass.line_version, canvass.lineage), (Term(6), at(4, 9), 3, L));
    assert!(c.is_round(canvass.round) && !c.is_round(canvass.round + 1) && !c.is_waiting());
    assert_eq!((c.deadline(), c.bidding()), (ms(40), None));
    let round = canvass.round;
    assert_eq!(c.opinion(here(&line, 1), Identity(2), &opinion(round + 1, true, 0)), None, "of another round");
    assert_eq!(c.opinion(here(&line, 1), Identity(2), &opinion(round, true, 0)), None);
    assert_eq!(c.opinion(here(&line, 1), Identity(2), &opinion(round, true, 0)), None, "the same one again");
    let busy = Standpoint { free: false, ..here(&line, 1) };
    assert_eq!(c.clone().opinion(busy, Identity(3), &opinion(round, true, 0)), None, "its own voter isn't free");
    assert_eq!(term_of(c.opinion(here(&line, 2), Identity(3), &opinion(round, true, 0))), 6);
    assert_eq!((c.bidding(), c.deadline()), (Some(Term(6)), ms(42)));
    // What comes late is nothing any more.
    assert_eq!(c.opinion(here(&line, 3), Identity(4), &opinion(round, true, 0)), None);
}

#[test]
fn who_is_not_free_itself_is_no_vote_for_itself() {
    let line = line(3);
    let mut c = campaign();
    let busy = Standpoint { free: false, ..here(&line, 0) };
    c.canvass(busy, L);
    assert_eq!(c.opinion(here(&line, 1), Identity(2), &opinion(1, true, 0)), None, "one of three");
    assert_eq!(term_of(c.opinion(here(&line, 1), Identity(3), &opinion(1, true, 0))), 6);
}

#[test]
fn a_refusal_says_when_to_ask_again() {
    let line = line(3);
    let mut c = campaign();
    c.canvass(here(&line, 0), L);
    c.opinion(here(&line, 10), Identity(2), &opinion(1, false, 100));
    assert_eq!((c.deadline(), c.repeats()), (ms(40), false), "later than the round ends");
    c.opinion(here(&line, 10), Identity(2), &opinion(1, false, 30));
    assert_eq!((c.deadline(), c.repeats()), (ms(40), false), "as it ends");
    c.opinion(here(&line, 10), Identity(2), &opinion(1, false, 20));
    assert_eq!((c.deadline(), c.repeats()), (ms(30), true));
    c.opinion(here(&line, 10), Identity(3), &opinion(1, false, 0));
    assert_eq!(c.deadline(), ms(12) + Duration::from_micros(500), "a quarter of a step at least");
    // A refusal names a higher term: the next bid is above it.
    let reply = CanvassReply { term: Term(9), ..opinion(1, false, 0) };
    c.opinion(here(&line, 11), Identity(3), &reply);
    let Some(Step::Canvass(canvass)) = c.canvass(here(&line, 20), L) else { panic!("no canvass") };
    assert_eq!((canvass.term, canvass.round), (Term(10), 2));
}

fn bidding(line: &Line) -> Campaign {
    let mut c = campaign();
    assert_eq!(term_of(c.bid(here(line, 0), L, None)), 6);
    c
}

#[test]
fn it_leads_with_grants_of_a_majority_that_its_roll_covers() {
    let line = line(5);
    let mut c = bidding(&line);
    assert_eq!(c.answer(here(&line, 1), Identity(2), &grant(5, true, at(4, 9))), None, "of another term");
    assert_eq!(c.answer(here(&line, 1), Identity(2), &grant(6, false, at(4, 9))), None, "a refusal");
    assert_eq!(c.answer(here(&line, 1), Identity(3), &grant(6, true, at(4, 9))), None, "two of five, its own one");
    let waits = Standpoint { own_durable: false, ..here(&line, 1) };
    assert_eq!(c.clone().answer(waits, Identity(4), &grant(6, true, at(4, 8))), None, "its own promise isn't durable");
    assert_eq!(c.answer(here(&line, 1), Identity(4), &grant(6, true, at(4, 8))), Some(Step::Lead(Term(6))));
    // A refusal names a higher term.
    let mut c = bidding(&line);
    c.answer(here(&line, 1), Identity(2), &BidReply { promised: Term(11), ..grant(6, false, at(0, 0)) });
    assert_eq!(term_of(c.bid(here(&line, 2), L, None)), 12);
    assert_eq!(term_of(c.bid(Standpoint { promised: Term(20), ..here(&line, 2) }, L, None)), 21);
}

#[test]
fn what_is_missing_is_fetched_from_the_one_that_is_furthest() {
    let line = line(5);
    let mut c = bidding(&line);
    assert_eq!(c.answer(here(&line, 1), Identity(2), &grant(6, true, at(4, 12))), None, "no majority yet");
    let fetch = Some(Step::Fetch(Identity(3), Fetch { lineage: L, term: Term(6), after: at(4, 8) }));
    assert_eq!(c.answer(here(&line, 10), Identity(3), &grant(6, true, at(5, 2))), fetch);
    assert_eq!(c.deadline(), ms(90), "two rounds for it");
    assert_eq!(c.answer(here(&line, 20), Identity(3), &grant(6, true, at(5, 2))), None, "it is asked already");
    assert_eq!(c.deadline(), ms(90));
    c.progressed(ms(30));
    assert_eq!(c.deadline(), ms(110));
    // The other one's position is covered; with its own that is two.
    let further = Standpoint { position: at(4, 12), ..here(&line, 40) };
    assert_eq!(c.clone().decide(further, L), None);
    let level = Standpoint { position: at(5, 2), ..here(&line, 40) };
    assert_eq!(c.clone().decide(level, L), Some(Step::Lead(Term(6))));
    // A majority that it covers is enough, whatever others have.
    c.answer(here(&line, 41), Identity(4), &grant(6, true, at(4, 9)));
    assert_eq!(c.answer(here(&line, 41), Identity(5), &grant(6, true, at(4, 9))), Some(Step::Lead(Term(6))));
}

#[test]
fn a_source_that_is_lost_counts_no_more() {
    let line = line(3);
    let mut c = bidding(&line);
    assert!(matches!(c.answer(here(&line, 1), Identity(2), &grant(6, true, at(5, 2))), Some(Step::Fetch(..))));
    assert_eq!(c.lost(here(&line, 2), Identity(3), L), None, "another one");
    assert!(c.clone().answer(here(&line, 2), Identity(3), &grant(6, true, at(4, 9))).is_some());
    assert_eq!(c.lost(here(&line, 2), Identity(2), L), None);
    assert_eq!(c.answer(here(&line, 3), Identity(3), &grant(6, true, at(4, 9))), Some(Step::Lead(Term(6))));
    // With what is left of a majority it goes on at once.
    let mut c = bidding(&line);
    assert!(matches!(c.answer(here(&line, 1), Identity(2), &grant(6, true, at(5, 2))), Some(Step::Fetch(..))));
    c.answer(here(&line, 1), Identity(3), &grant(6, true, at(5, 1)));
    assert!(matches!(c.lost(here(&line, 2), Identity(2), L), Some(Step::Fetch(Identity(3), _))));
}

#[test]
fn progress_without_a_fetch_gives_no_time() {
    let line = line(3);
    let mut c = bidding(&line);
    c.progressed(ms(30));
    assert_eq!(c.deadline(), ms(40));
    assert_eq!(c.lost(here(&line, 2), Identity(2), L), None);
}

#[test]
fn a_blessed_one_bids_for_the_very_next_term() {
    let line = line(3);
    let mut c = campaign();
    c.canvass(Standpoint { promised: Term(9), ..here(&line, 0) }, L);
    let step = c.succeed(here(&line, 1), L, Term(5));
    let Some(Step::Bid(bid)) = step else { panic!("no bid") };
    assert_eq!((bid.term, bid.blessing), (Term(6), Some(Term(5))));
    assert_eq!(c.bidding(), Some(Term(6)));
    assert_eq!(term_of(c.bid(here(&line, 2), L, None)), 10, "what it saw before it doesn't forget");
    let mut c = campaign();
    assert_eq!(term_of(c.succeed(Standpoint { promised: Term(8), ..here(&line, 1) }, L, Term(5))), 6);
    assert_eq!(term_of(c.bid(here(&line, 2), L, None)), 7);
}

#[test]
fn of_two_bidders_the_better_goes_on() {
    let line = line(3);
    let id = |n: &str| NodeId::new(n).unwrap();
    let better = |mine: (Position, &str), theirs: (Position, &str)| {
        is_better((mine.0, &line, &id(mine.1)), (theirs.0, 3, &id(theirs.1)))
    };
    let (p, q) = (at(4, 9), at(5, 1));
    // By position.
    assert!(better((q, "n3"), (p, "n1")) && !better((p, "n1"), (q, "n3")));
    // By rank.
    assert!(better((p, "n1"), (p, "n2")) && !better((p, "n2"), (p, "n1")));
    // Who has a rank before who has none, whatever their names.
    assert!(better((p, "n1"), (p, "a")) && !better((p, "a"), (p, "n1")));
    // By id where neither has one, or both are the same.
    assert!(better((p, "a"), (p, "b")) && !better((p, "b"), (p, "a")) && !better((p, "a"), (p, "a")));
    assert!(!better((p, "n1"), (p, "n1")));
}

#[test]
fn of_two_bidders_the_one_goes_on_that_all_others_would_choose() {
    // The line has another order than the ids.
    let mut seats = line(3).seats().to_vec();
    for seat in &mut seats {
        seat.admitted = 10 - seat.admitted;
    }
    let line = Line::new(3, seats);
    let id = |n: u64| NodeId::new(&format!("n{n}")).unwrap();
    let better = |mine: Position, me: u64, theirs: Position, other: u64| {
        let one = is_better((mine, &line, &id(me)), (theirs, 3, &id(other)));
        assert_ne!(one, is_better((theirs, &line, &id(other)), (mine, 3, &id(me))), "one of them");
        one
    };
    assert!(better(at(4, 9), 1, at(4, 8), 3) && better(at(5, 1), 1, at(4, 9), 3), "who holds more");
    assert!(better(at(4, 9), 3, at(4, 9), 1) && better(at(4, 9), 2, at(4, 9), 1), "else the earlier in the line");
    assert!(better(at(4, 9), 1, at(4, 9), 0), "else who is on it");
    assert!(better(at(4, 9), 7, at(4, 9), 8), "else the smaller id");
}
