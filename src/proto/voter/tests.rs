#![allow(clippy::unwrap_used)]
use super::*;
use crate::types::{Index, Position};

const D: Duration = Duration::from_millis(300);
const ROUND: Duration = Duration::from_millis(40);
const ME: Identity = Identity(1);
const A: Identity = Identity(10);
const B: Identity = Identity(11);

fn ms(n: u64) -> Time {
    Time::from_micros(n * 1_000)
}

fn dur(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

/// A voter of lineage 7 that has promised term 5, and saw 6.
fn voter(restored: bool) -> (Voter, Outbox) {
    let promise = Promise {
        identity: ME,
        lineage: Lineage(7),
        term: Term(5),
        granted: Some(A),
        seen: Term(6),
        ..Promise::default()
    };
    (Voter::new(promise, restored, ms(0), D, ROUND), Outbox::new(0, true))
}

fn heartbeat(term: u64, number: u32, leader: Identity) -> Heartbeat {
    let (lineage, term, commit) = (Lineage(7), Term(term), Index(0));
    Heartbeat { lineage, term, number, commit, leader: leader.tag(), line_version: 0, said: Position::default() }
}

fn bid(term: u64, blessing: Option<u64>) -> Bid {
    Bid { lineage: Lineage(7), term: Term(term), position: Default::default(), blessing: blessing.map(Term) }
}

/// How many writes of the promise were made since.
fn writes(out: &mut Outbox) -> usize {
    let mut n = 0;
    while let Some(write) = out.poll_store() {
        n += write.records.len();
    }
    n
}

#[test]
fn a_restarted_voter_waits_for_the_detection_time() {
    let (v, _) = voter(true);
    assert_eq!(v.free_at(ms(0)), ms(300));
    assert_eq!(v.would_grant(ms(299), B, Term(7), None), Err(dur(1)));
    assert_eq!(v.would_grant(ms(300), B, Term(7), None), Ok(()));
    let (v, _) = voter(false);
    assert_eq!(v.would_grant(ms(0), B, Term(7), None), Ok(()));
}

#[test]
fn terms_beyond_belief_are_refused() {
    let (mut v, mut out) = voter(false);
    let most = 6 + (1 << 32);
    assert!(v.credible(Term(most)) && !v.credible(Term(most + 1)));
    assert_eq!(v.would_grant(ms(0), B, Term(most + 1), None), Err(D));
    assert_eq!(v.would_grant(ms(0), B, Term(most), None), Ok(()));
    v.see(Term(most + 1), &mut out);
    assert_eq!((v.promise.seen, writes(&mut out)), (Term(6), 0));
    v.see(Term(6), &mut out);
    assert_eq!(writes(&mut out), 0, "nothing new");
    v.see(Term(9), &mut out);
    assert_eq!((v.promise.seen, writes(&mut out)), (Term(9), 1));
    assert_eq!(v.promise.term, Term(5), "to see is not to promise");
}

#[test]
fn one_grant_a_term() {
    let (mut v, mut out) = voter(false);
    assert_eq!(v.would_grant(ms(0), A, Term(5), None), Ok(()), "again");
    assert_eq!(v.would_grant(ms(0), B, Term(5), None), Err(Duration::ZERO));
    assert_eq!(v.would_grant(ms(0), A, Term(4), None), Err(Duration::ZERO));
    assert!(v.grant(ms(0), A, &bid(5, None), &mut out));
    assert_eq!((writes(&mut out), out.stats.grants), (0, 0), "it was granted before");
    assert!(!v.grant(ms(0), B, &bid(5, None), &mut out));
    assert!(v.grant(ms(10), B, &bid(9, None), &mut out));
    assert_eq!((v.promise.term, v.promise.granted, v.promise.seen), (Term(9), Some(B), Term(9)));
    assert_eq!((writes(&mut out), out.stats.grants), (1, 1));
    // Whoever was granted is protected for a round, from others only.
    assert_eq!(v.free_at(ms(10)), ms(50));
    assert_eq!(v.would_grant(ms(49), A, Term(10), None), Err(dur(1)));
    assert_eq!(v.would_grant(ms(49), B, Term(9), None), Ok(()));
    assert!(!v.grant(ms(49), A, &bid(10, None), &mut out));
    assert!(v.grant(ms(50), A, &bid(10, None), &mut out));
    assert_eq!(v.promise.seen, Term(10));
}

#[test]
fn a_heartbeat_protects_its_leader_for_the_detection_time() {
    let (mut v, mut out) = voter(false);
    assert!(!v.heard(ms(0), &heartbeat(4, 1, A), &mut out), "of an older term");
    assert!(v.followed().is_none());
    assert!(v.heard(ms(100), &heartbeat(5, 3, A), &mut out));
    assert_eq!((v.promise.granted, writes(&mut out)), (Some(A), 0), "of the term that it promised");
    assert!(v.heard(ms(150), &heartbeat(5, 3, A), &mut out), "a copy");
    assert!(!v.heard(ms(160), &heartbeat(5, 2, A), &mut out), "an older one");
    assert_eq!(v.followed().unwrap().heard, ms(100));
    assert_eq!((v.silent_at(), v.free_at(ms(160))), (ms(400), ms(400)));
    assert!(v.heard(ms(200), &heartbeat(5, 4, A), &mut out));
    assert_eq!((v.silent_at(), v.followed().unwrap().heard), (ms(500), ms(200)));
    assert!(!v.silence(ms(499)) && v.followed().is_some());
    assert!(v.silence(ms(500)) && !v.silence(ms(501)));
    assert_eq!(v.silent_at(), Time::NEVER);
    // A newer leader's term is taken over.
    assert!(v.heard(ms(600), &heartbeat(8, 1, B), &mut out));
    assert_eq!((v.promise.term, v.promise.granted, v.promise.seen), (Term(8), None, Term(8)));
    assert_eq!(writes(&mut out), 1);
    assert_eq!(v.followed().map(|f| (f.term, f.number, f.tag)), Some((Term(8), 1, B.tag())));
}

#[test]
fn what_a_leader_sends_protects_it_too() {
    let (mut v, mut out) = voter(false);
    v.attend(ms(100), Term(6), (id("a"), A), Incarnation(3), &mut out);
    let f = v.followed().unwrap();
    assert_eq!((f.term, f.number, f.heard, f.tag), (Term(6), 0, ms(100), A.tag()));
    assert_eq!((f.leader.clone(), f.incarnation), (Some((id("a"), A)), Some(Incarnation(3))));
    assert_eq!((v.promise.term, writes(&mut out), v.free_at(ms(100))), (Term(6), 1, ms(400)));
    assert!(v.heard(ms(150), &heartbeat(6, 1, A), &mut out));
    v.attend(ms(200), Term(6), (id("a"), A), Incarnation(4), &mut out);
    let f = v.followed().unwrap();
    assert_eq!((f.number, f.heard, f.incarnation), (1, ms(150), Some(Incarnation(4))), "the same leadership");
    assert_eq!(v.free_at(ms(200)), ms(500));
    // After evidence about that term nothing of it counts any more, until the evidence is old.
    assert!(v.accuse(ms(210), Term(6)));
    v.attend(ms(220), Term(6), (id("a"), A), Incarnation(4), &mut out);
    assert!(v.followed().is_none());
    v.attend(ms(510), Term(6), (id("a"), A), Incarnation(4), &mut out);
    assert!(v.followed().is_some(), "the evidence counts for the detection time");
    assert!(v.accuse(ms(520), Term(6)));
    v.attend(ms(530), Term(7), (id("b"), B), Incarnation(1), &mut out);
    assert_eq!(v.followed().unwrap().term, Term(7), "a later leadership");
}

#[test]
fn evidence_concerns_one_leadership_and_is_spent_by_a_grant() {
    let (mut v, mut out) = voter(false);
    assert!(!v.accuse(ms(0), Term(5)), "nobody is followed");
    v.heard(ms(100), &heartbeat(6, 1, A), &mut out);
    assert!(!v.accuse(ms(110), Term(5)) && !v.accuse(ms(110), Term(7)));
    assert_eq!(v.free_at(ms(110)), ms(400));
    assert!(v.accuse(ms(110), Term(6)));
    assert!(!v.accuse(ms(110), Term(6)), "no news");
    assert_eq!(v.free_at(ms(111)), Time::ZERO);
    assert_eq!(v.free_at(ms(409)), Time::ZERO);
    assert_eq!(v.free_at(ms(410)), ms(400), "it is old");
    assert!(!v.heard(ms(120), &heartbeat(6, 2, A), &mut out), "of the dead");
    assert!(!v.heard(ms(409), &heartbeat(6, 3, A), &mut out));
    assert!(v.grant(ms(120), B, &bid(7, None), &mut out));
    assert_eq!(v.free_at(ms(120)), ms(160), "a round, and the evidence is spent");
    // Without evidence what protected before goes on.
    let (mut v, mut out) = voter(false);
    v.heard(ms(100), &heartbeat(6, 1, A), &mut out);
    v.adopt(Term(9), &mut out);
    assert!(!v.accuse(ms(110), Term(6)), "of an older term than was promised");
    assert!(!v.grant(ms(399), B, &bid(10, None), &mut out));
    assert!(v.grant(ms(400), B, &bid(10, None), &mut out));
    assert_eq!(v.free_at(ms(400)), ms(440));
}

#[test]
fn evidence_of_an_older_term_than_was_promised_frees_nobody() {
    let (mut v, mut out) = voter(false);
    v.heard(ms(100), &heartbeat(6, 1, A), &mut out);
    assert!(v.accuse(ms(110), Term(6)));
    v.adopt(Term(7), &mut out);
    assert_eq!(v.free_at(ms(111)), ms(400));
}

#[test]
fn a_term_is_adopted_once() {
    let (mut v, mut out) = voter(false);
    v.adopt(Term(5), &mut out);
    v.adopt(Term(4), &mut out);
    assert_eq!((v.promise.term, v.promise.granted, writes(&mut out)), (Term(5), Some(A), 0));
    v.adopt(Term(8), &mut out);
    assert_eq!((v.promise.term, v.promise.granted, v.promise.seen), (Term(8), None, Term(8)));
    assert_eq!(writes(&mut out), 1);
    v.promise.seen = Term(20);
    v.adopt(Term(9), &mut out);
    assert_eq!(v.promise.seen, Term(20));
}

#[test]
fn a_blessing_counts_for_whoever_leads_the_promised_term() {
    let (mut v, mut out) = voter(false);
    v.attend(ms(0), Term(5), (id("a"), A), Incarnation(1), &mut out);
    let ask = |v: &Voter, who, blessing| v.would_grant(ms(1), who, Term(6), blessing);
    assert_eq!(ask(&v, A, Some(Term(5))), Ok(()));
    assert_eq!(ask(&v, A, None), Err(dur(299)));
    assert_eq!(ask(&v, B, Some(Term(5))), Err(dur(299)), "of another");
    assert_eq!(ask(&v, A, Some(Term(4))), Err(dur(299)), "of another term");
    v.adopt(Term(7), &mut out);
    assert_eq!(v.would_grant(ms(1), A, Term(8), Some(Term(5))), Err(dur(299)), "of a term that is over");
    // Not within a restart.
    let (mut v, mut out) = voter(true);
    v.attend(ms(0), Term(5), (id("a"), A), Incarnation(1), &mut out);
    assert_eq!(ask(&v, A, Some(Term(5))), Err(dur(299)));
    // Nor where the leader isn't known.
    let (mut v, mut out) = voter(false);
    v.heard(ms(0), &heartbeat(5, 1, A), &mut out);
    assert_eq!(ask(&v, A, Some(Term(5))), Err(dur(299)));
}

#[test]
fn own_lateness_gives_others_time_but_no_more_than_once() {
    let (mut v, mut out) = voter(false);
    v.excuse(dur(50));
    assert_eq!(v.free_at(ms(0)), ms(0), "nobody is followed");
    v.heard(ms(100), &heartbeat(5, 1, A), &mut out);
    v.excuse(dur(50));
    assert_eq!(v.silent_at(), ms(450));
    v.excuse(dur(1_000));
    assert_eq!(v.silent_at(), ms(700), "two detection times since it was heard");
    v.excuse(dur(1));
    assert_eq!(v.silent_at(), ms(700));
}

#[test]
fn its_own_leadership_protects_for_a_round_and_ends_with_it() {
    let (mut v, mut out) = voter(false);
    v.heard(ms(0), &heartbeat(5, 1, A), &mut out);
    v.lead(ms(290), Term(5));
    assert!(v.followed().is_none());
    assert_eq!(v.free_at(ms(290)), ms(330));
    v.resigned(ms(300));
    assert_eq!(v.free_at(ms(300)), ms(300));
}

#[test]
fn who_accepted_a_recovery_never_acts_in_its_lineage_again() {
    let (mut v, mut out) = voter(false);
    assert_eq!(v.would_accept(ms(0), A, Term(6)), Err(Duration::ZERO), "not above what it saw");
    assert_eq!(v.would_accept(ms(0), A, Term(7 + (1 << 32))), Err(Duration::ZERO), "beyond belief");
    assert!(!v.is_sealed());
    assert!(v.accept_recovery(ms(100), A, Term(7), &mut out));
    assert!(v.is_sealed());
    assert_eq!((v.promise.term, v.promise.granted, v.promise.seen), (Term(7), Some(A), Term(7)));
    assert_eq!(writes(&mut out), 1);
    assert!(!v.heard(ms(110), &heartbeat(9, 1, B), &mut out));
    assert_eq!(v.would_grant(ms(500), B, Term(9), None), Err(D));
    // The same founder again at once; another one after two rounds, for a later term.
    assert_eq!(v.would_accept(ms(110), A, Term(7)), Ok(()));
    assert_eq!(v.would_accept(ms(110), A, Term(8)), Ok(()));
    assert_eq!(v.would_accept(ms(110), B, Term(7)), Err(Duration::ZERO));
    assert_eq!(v.would_accept(ms(110), B, Term(8)), Err(dur(70)));
    assert_eq!(v.would_accept(ms(179), B, Term(8)), Err(dur(1)));
    assert_eq!(v.would_accept(ms(180), B, Term(8)), Ok(()));
    assert!(!v.accept_recovery(ms(110), B, Term(8), &mut out));
    assert!(v.accept_recovery(ms(180), B, Term(8), &mut out));
    // Who wasn't sealed is asked by anybody at any time.
    let (mut v, mut out) = voter(false);
    v.heard(ms(0), &heartbeat(6, 1, A), &mut out);
    assert_eq!(v.would_accept(ms(1), B, Term(7)), Ok(()));
    v.promise.granted = Some(A);
    v.promise.term = Term(7);
    assert_eq!(v.would_accept(ms(1), A, Term(6)), Err(Duration::ZERO), "only a sealed promise counts again");
}

#[test]
fn what_was_accepted_is_stored_until_the_lineage_is_left() {
    let (mut v, mut out) = voter(false);
    v.promise.lineage = Lineage::ZERO;
    let bound = Bound { lineage: Lineage(9), term: Term(8), proposer: A, party: Vec::new() };
    v.accept(Some(bound.clone()), &mut out);
    assert_eq!((writes(&mut out), v.promise.seen), (1, Term(8)));
    v.accept(Some(bound.clone()), &mut out);
    assert_eq!(writes(&mut out), 0, "it is stored already");
    let record = v.record();
    assert_eq!((record.lineage, record.term, record.founder), (Lineage(9), Term(8), Some(A)));
    assert_eq!(Bound::of(&record), Some(bound.clone()));
    v.enter(Lineage(9), Term(8), None, &mut out);
    assert_eq!((v.bound(), v.promise.founder), (Some(&bound), Some(A)));
    assert_eq!(v.record(), v.promise, "in a lineage its promises there");
    v.step_out(&mut out);
    assert_eq!((v.promise.lineage, v.promise.founder, v.record().founder), (Lineage::ZERO, None, Some(A)));
    v.enter(Lineage(3), Term(2), Some(B), &mut out);
    assert_eq!((v.bound(), v.promise.founder, v.promise.seen), (None, None, Term(8)));
    assert_eq!((v.promise.term, v.promise.granted), (Term(2), Some(B)));
    v.accept(None, &mut out);
    v.renounce(Promise { identity: B, ..Promise::default() });
    assert_eq!((v.identity(), v.bound(), v.followed().is_none()), (B, None, true));
}

#[test]
fn who_stepped_down_knows_of_its_lineage() {
    let (mut v, _) = voter(false);
    assert!(!v.knows_another());
    v.promise.former = Lineage(7);
    assert!(v.knows_another());
    v.forget_former();
    assert!(!v.knows_another());
}

#[test]
fn another_term_is_another_leadership_however_few_heartbeats_it_had() {
    let (mut v, mut out) = voter(false);
    assert!(v.heard(ms(0), &heartbeat(5, 900, A), &mut out));
    assert!(v.heard(ms(10), &heartbeat(6, 1, B), &mut out), "its numbers begin anew");
    let f = v.followed().unwrap();
    assert_eq!((f.term, f.number, f.tag, f.leader.clone()), (Term(6), 1, B.tag(), None));
    // By a connection it is heard of just as well.
    v.attend(ms(20), Term(7), (id("a"), A), Incarnation(3), &mut out);
    let f = v.followed().unwrap();
    assert_eq!((f.term, f.number, f.tag, f.leader.clone()), (Term(7), 0, A.tag(), Some((id("a"), A))));
    assert_eq!((v.promise.term, f.incarnation), (Term(7), Some(Incarnation(3))));
    assert!(v.heard(ms(30), &heartbeat(7, 1, A), &mut out));
}

#[test]
fn evidence_holds_until_its_time_and_no_longer() {
    let (mut v, mut out) = voter(false);
    assert!(v.heard(ms(0), &heartbeat(5, 1, A), &mut out));
    assert!(v.accuse(ms(10), Term(5)));
    assert!(!v.heard(ms(309), &heartbeat(5, 2, A), &mut out));
    assert!(v.heard(ms(310), &heartbeat(5, 2, A), &mut out));
    // The same by a connection.
    assert!(v.accuse(ms(400), Term(5)));
    v.attend(ms(699), Term(5), (id("a"), A), Incarnation(3), &mut out);
    assert!(v.followed().is_none());
    v.attend(ms(700), Term(5), (id("a"), A), Incarnation(3), &mut out);
    assert!(v.followed().is_some());
}

#[test]
fn what_was_accepted_is_stored_only_while_it_belongs_to_no_lineage() {
    let (mut v, mut out) = voter(false);
    let bound = Bound { lineage: Lineage(9), term: Term(8), proposer: B, party: Vec::new() };
    v.accept(Some(bound), &mut out);
    assert_eq!(
        (v.record().lineage, v.record().term, v.record().founder),
        (Lineage(7), Term(5), None),
        "of its lineage"
    );
    v.promise.lineage = Lineage::ZERO;
    let record = v.record();
    assert_eq!((record.lineage, record.term, record.founder), (Lineage(9), Term(8), Some(B)));
}
