//! One voter's elections, step by step: what it asks, grants, refuses and leaves to others.

use crate::rig::*;
use convoke::proto::*;
use convoke::types::*;
use convoke::wire::*;
use std::time::Duration;

/// The lineage, and the detection time, the round and the step of the heartbeats of 100 ms that the rig's nodes have.
const L: Lineage = Lineage(77);
const D: u64 = 300;
const ROUND: u64 = 40;
const STEP: u64 = 10;

/// b, the second of these, with the founding image alone.
fn restored(names: &[&str], sealed: bool) -> Restored {
    let promise = Promise {
        identity: Identity(101),
        incarnation: Incarnation(1),
        lineage: L,
        term: Term(1),
        seen: Term(1),
        sealed,
        ..Promise::default()
    };
    Restored { promise, image: Some(image(L.0, 1, 1, names)), entries: vec![] }
}

fn b(names: &[&str]) -> Rig {
    let config = cfg("b", Founding::Expect(3)).death_evidence(false).build().unwrap();
    Rig::new(config, start(1, 1, Some(restored(names, false))), ms(0))
}

/// Lets it go on until it says something that this takes: when, to whom and what. Pings are answered.
fn until<T>(r: &mut Rig, most: u64, take: impl Fn(&Message) -> Option<T>) -> Option<(u64, ConnId, T)> {
    let end = r.now + Duration::from_millis(most);
    loop {
        let said = r.take();
        for (conn, message) in &said {
            if let Message::Ping(n) = message
                && *n != 0xdead
            {
                r.send(*conn, Message::Pong(*n));
            }
        }
        let first = said.iter().find_map(|(conn, m)| take(m).map(|what| (*conn, what)));
        if let Some((conn, what)) = first {
            r.got.extend(said);
            return Some((r.now.as_micros() / 1_000, conn, what));
        }
        let next = r.node.poll_timeout().filter(|t| *t <= end)?;
        r.now = next.max(r.now);
        r.node.handle_timeout(r.now);
        r.drain();
    }
}

/// Lets it go on for so many milliseconds.
fn pass(r: &mut Rig, most: u64) {
    let end = r.now + Duration::from_millis(most);
    assert!(until(r, most, |_| None::<()>).is_none());
    r.now = end;
    r.take();
}

fn canvass(m: &Message) -> Option<Canvass> {
    if let Message::Canvass(canvass) = m { Some(*canvass) } else { None }
}

fn bid(m: &Message) -> Option<Bid> {
    if let Message::Bid(bid) = m { Some(*bid) } else { None }
}

fn fetch(m: &Message) -> Option<Fetch> {
    if let Message::Fetch(fetch) = m { Some(*fetch) } else { None }
}

fn canvass_reply(m: &Message) -> Option<CanvassReply> {
    if let Message::CanvassReply(reply) = m { Some(*reply) } else { None }
}

fn bid_reply(m: &Message) -> Option<BidReply> {
    if let Message::BidReply(reply) = m { Some(*reply) } else { None }
}

/// What it says about this at once, to that one.
fn answer<T>(r: &mut Rig, to: ConnId, take: impl Fn(&Message) -> Option<T>) -> Option<T> {
    r.take().iter().find_map(|(conn, m)| take(m).filter(|_| *conn == to))
}

fn place(term: u64, index: u64) -> Position {
    Position { term: Term(term), index: Index(index) }
}

fn agree(to: &Canvass, term: u64) -> Message {
    let (lineage, round, position) = (to.lineage, to.round, place(1, 1));
    Message::CanvassReply(CanvassReply { lineage, round, term: Term(term), granted: true, wait_us: 0, position })
}

fn ask(term: u64, position: Position) -> Message {
    Message::Canvass(Canvass { lineage: L, term: Term(term), position, line_version: 1, round: 9 })
}

fn grant(to: &Bid) -> Message {
    let (lineage, term, position) = (to.lineage, to.term, place(1, 1));
    Message::BidReply(BidReply { lineage, term, granted: true, promised: term, position })
}

fn want(term: u64) -> Message {
    Message::Bid(Bid { lineage: L, term: Term(term), position: place(1, 1), blessing: None })
}

const THREE: [&str; 3] = ["a", "b", "c"];

/// b bids; the connection to c, and the bid.
fn bidding(r: &mut Rig) -> (ConnId, Bid) {
    let c = r.connect(info(2, "c", 102), L.0, 1);
    let (_, _, asked) = until(r, 2_000, canvass).unwrap();
    r.send(c, agree(&asked, 1));
    let (_, _, bid) = until(r, 0, bid).expect("it bids at once");
    (c, bid)
}

/// b leads; the connection to c, and its term.
fn leading() -> (Rig, ConnId, Term) {
    let mut r = b(&THREE);
    let (c, bid) = bidding(&mut r);
    r.send(c, grant(&bid));
    assert_eq!(r.node.role(), Role::Leader);
    r.take();
    (r, c, bid.term)
}

#[test]
fn who_is_beyond_the_line_is_asked_once_nobody_has_led_for_long() {
    let mut r = b(&THREE);
    let c = r.connect(info(2, "c", 102), L.0, 1);
    let x = r.connect(info(5, "x", 105), L.0, 1);
    let y = r.connect(info(6, "y", 106), 5, 1);
    let mut asked = [c, x, y].map(|conn| (conn, None));
    while let Some((at, _, _)) = until(&mut r, D * 4, canvass) {
        for (conn, _) in r.take().iter().filter(|(_, m)| canvass(m).is_some()) {
            let (_, first) = asked.iter_mut().find(|(c, _)| c == conn).unwrap();
            first.get_or_insert(at);
        }
        if at > D * 3 {
            break;
        }
    }
    let [in_line, beyond, elsewhere] = asked.map(|(_, first)| first);
    assert_eq!(in_line, Some(D), "a restarted voter waits for a detection time");
    assert!(beyond.is_some_and(|at| (D * 2..D * 3).contains(&at)), "{beyond:?}");
    assert_eq!(elsewhere, None);
}

#[test]
fn a_newer_roll_is_asked_for_where_nobody_leads() {
    let late = |sealed| {
        let config = cfg("b", Founding::Expect(3)).death_evidence(false).build().unwrap();
        let mut r = Rig::new(config, start(1, 1, Some(restored(&THREE, sealed))), ms(0));
        let c = r.connect(info(2, "c", 102), L.0, 1);
        pass(&mut r, D * 4);
        (r, c)
    };
    let says = |position| {
        let (round, wait_us) = (0, 1_000_000);
        Message::CanvassReply(CanvassReply { lineage: L, round, term: Term(1), granted: false, wait_us, position })
    };
    let (mut r, c) = late(false);
    r.send(c, says(place(1, 1)));
    assert_eq!(answer(&mut r, c, fetch), None, "it is no newer");
    r.send(c, says(place(2, 2)));
    assert_eq!(answer(&mut r, c, fetch), Some(Fetch { lineage: L, term: Term::ZERO, after: place(1, 1) }));
    r.send(c, says(place(2, 2)));
    assert_eq!(answer(&mut r, c, fetch), None, "it has asked just now");
    pass(&mut r, D * 2 + STEP);
    r.send(c, says(place(2, 2)));
    assert!(answer(&mut r, c, fetch).is_some());
    let (mut r, c) = late(true);
    r.send(c, says(place(2, 2)));
    assert_eq!(answer(&mut r, c, fetch), None, "it acts in the lineage no more");
    // Somebody may lead yet.
    let mut r = b(&THREE);
    let c = r.connect(info(2, "c", 102), L.0, 1);
    pass(&mut r, D);
    r.send(c, says(place(2, 2)));
    assert_eq!(answer(&mut r, c, fetch), None);
    // Nor while it bids.
    pass(&mut r, D * 4);
    let (_, _, asked) = until(&mut r, D * 2, canvass).unwrap();
    r.send(c, agree(&asked, 1));
    assert!(answer(&mut r, c, bid).is_some());
    r.send(c, says(place(2, 2)));
    assert_eq!(answer(&mut r, c, fetch), None);
}

/// c acknowledges the newest heartbeat.
fn acknowledge(r: &mut Rig, term: Term) {
    let number = r.sent.iter().rev().find_map(|(_, bytes)| {
        match DatagramView::parse(bytes, tag()).unwrap().meaning().unwrap() {
            Datagram::Heartbeat(h) => Some(h.number),
            _ => None,
        }
    });
    let number = number.unwrap();
    let ack = Ack { lineage: L, term, number, identity: Identity(102) };
    r.datagram(addr(3), Lane::Unicast, &Datagram::Ack(ack));
}

#[test]
fn a_leader_without_a_lease_lets_go() {
    let (mut r, c, term) = leading();
    acknowledge(&mut r, term);
    assert!(r.node.lease_until().unwrap() > r.now);
    r.send(c, want(term.0 + 1));
    assert!(!answer(&mut r, c, bid_reply).unwrap().granted);
    assert_eq!(r.node.role(), Role::Leader, "it has its lease");
    // None was acknowledged yet.
    let (mut r, c, term) = leading();
    r.send(c, want(term.0));
    assert_eq!(r.node.role(), Role::Leader, "nobody bids for the term that it leads in");
    r.take();
    r.send(c, want(term.0 + 1));
    assert_ne!(r.node.role(), Role::Leader);
    assert!(answer(&mut r, c, bid_reply).unwrap().granted);
}

#[test]
fn of_two_that_canvass_the_lesser_withdraws() {
    for (position, from_c) in [(place(1, 1), true), (place(1, 2), true), (place(1, 1), false), (place(1, 0), false)] {
        // c is behind b in the line, a before it.
        let other = if from_c { info(2, "c", 102) } else { info(0, "a", 100) };
        let better = position > place(1, 1) || position == place(1, 1) && !from_c;
        let mut r = b(&["a", "b", "c", "d", "e"]);
        let other = r.connect(other, L.0, 1);
        let (d, e) = (r.connect(info(3, "d", 103), L.0, 1), r.connect(info(4, "e", 104), L.0, 1));
        let (at, _, asked) = until(&mut r, 2_000, canvass).unwrap();
        r.take();
        r.send(other, ask(2, position));
        let reply = answer(&mut r, other, canvass_reply).unwrap();
        assert_eq!(reply.granted, better, "{position:?} {from_c}");
        assert_eq!(reply.wait_us, if better { 0 } else { ROUND * 1_000 });
        if better {
            let (again, _, _) = until(&mut r, 2_000, canvass).unwrap();
            let ranks = if from_c { 0 } else { STEP };
            assert!((at + ROUND..=at + ROUND + STEP + ranks).contains(&again), "{at} {again}");
        } else {
            r.send(d, agree(&asked, 1));
            r.send(e, agree(&asked, 1));
            assert!(until(&mut r, 0, bid).is_some(), "it goes on");
        }
    }
}

#[test]
fn who_bids_goes_on_whoever_canvasses() {
    let mut r = b(&THREE);
    let (c, bid) = bidding(&mut r);
    r.send(c, ask(2, place(3, 3)));
    r.send(c, grant(&bid));
    assert_eq!(r.node.role(), Role::Leader);
}

#[test]
fn who_granted_leaves_time_to_the_bidder() {
    for before_it in [false, true] {
        let mut r = b(&THREE);
        let c = r.connect(info(2, "c", 102), L.0, 1);
        if before_it {
            r.connect(info(0, "a", 100), L.0, 1);
        }
        until(&mut r, 2_000, canvass).unwrap();
        let at = r.now.as_micros() / 1_000;
        r.take();
        r.send(c, want(5));
        assert!(answer(&mut r, c, bid_reply).unwrap().granted);
        let (again, _, _) = until(&mut r, 2_000, canvass).unwrap();
        let pause = ROUND + if before_it { STEP } else { 0 };
        // Then it is its turn, behind those before it.
        assert!((at + pause..=at + pause + STEP * 2).contains(&again), "{before_it}: {at} {again}");
    }
}

/// Its turn comes a step later for each candidate before it that is there and has a vote.
#[test]
fn who_cannot_lead_has_no_turn() {
    for (there, voting, witness, delay) in
        [(true, true, false, STEP), (false, true, false, 0), (true, false, false, 0), (true, true, true, 0)]
    {
        let mut before = restored(&["a", "b", "c", "d", "e"], false);
        let image = before.image.as_mut().unwrap();
        let mut seats = image.line.seats().to_vec();
        let a = seats.iter_mut().find(|s| s.id == nid("a")).unwrap();
        (a.voting, a.witness) = (voting, witness);
        image.line = Line::new(1, seats);
        let config = cfg("b", Founding::Expect(3)).death_evidence(false).build().unwrap();
        let mut r = Rig::new(config, start(1, 1, Some(before)), ms(0));
        if there {
            r.connect(info(0, "a", 100), L.0, 1);
        }
        let (c, d) = (r.connect(info(2, "c", 102), L.0, 1), r.connect(info(3, "d", 103), L.0, 1));
        let (at, _, asked) = until(&mut r, 2_000, canvass).unwrap();
        // It withdraws for a better one, and somebody gets free.
        r.send(c, ask(2, place(2, 2)));
        r.take();
        r.send(d, agree(&asked, 1));
        let (again, _, _) = until(&mut r, 2_000, canvass).unwrap();
        assert_eq!(again - at, delay, "{there} {voting} {witness}");
    }
}

/// The roll says that it has left, or will once what it holds is committed: it comes back as a larger incarnation before it
/// leads, and as the same where it says nothing of the kind.
#[test]
fn who_was_struck_off_is_another_incarnation_before_it_leads() {
    let leads = |change: &dyn Fn(&mut Restored, Incarnation)| {
        let started = |restored| {
            let config = cfg("b", Founding::Expect(3)).death_evidence(false).build().unwrap();
            Rig::new(config, start(1, 1, Some(restored)), ms(0))
        };
        let own = started(restored(&THREE, false)).node.incarnation();
        let mut of_store = restored(&THREE, false);
        change(&mut of_store, own);
        let mut r = started(of_store);
        let (c, bid) = bidding(&mut r);
        let Message::BidReply(reply) = grant(&bid) else { unreachable!() };
        r.send(c, Message::BidReply(reply));
        assert_eq!(r.node.role(), Role::Leader);
        r.node.incarnation().0 - own.0
    };
    // In the committed roll.
    let departed = |n: i64| {
        move |r: &mut Restored, own: Incarnation| {
            let image = r.image.as_mut().unwrap();
            image.slots[1] = SlotImage { info: None, ..image.slots[1].clone() };
            image.departed = vec![(nid("b"), Incarnation(own.0.checked_add_signed(n).unwrap()))];
        }
    };
    assert_eq!(leads(&departed(-1)), 0);
    assert_eq!(leads(&departed(0)), 1);
    assert_eq!(leads(&|_: &mut Restored, _| {}), 0, "its older one is on it");
    // In entries that aren't known to be committed: it joined, and left again, or another slot's owner did.
    for (slot, joins, struck) in [(1, true, 1), (2, true, 0), (1, false, 0)] {
        let gone = leads(&|r: &mut Restored, own| {
            let (slot, generation) = (Slot(slot), Generation(2));
            let info = MemberInfo { incarnation: own, ..info(1, "b", 101) };
            let image = r.image.as_mut().unwrap();
            image.slots[1] = SlotImage { info: None, ..image.slots[1].clone() };
            let joined = Change::Joined { slot: Slot(1), generation, info };
            let left = Change::Left { slot, generation, reason: LeftReason::Silent };
            let changes = if joins { vec![joined, left] } else { vec![left] };
            let entries = changes.into_iter().zip(2..);
            r.entries = entries.map(|(change, n)| Entry { index: Index(n), term: Term(1), change }).collect();
        });
        assert_eq!(gone, struck, "{slot} {joins}");
    }
}

#[test]
fn nothing_is_granted_that_cannot_be_stored() {
    let mut r = b(&THREE);
    let c = r.connect(info(2, "c", 102), L.0, 1);
    r.run_to(ms(D * 2));
    r.take();
    r.node.handle_store_failed(r.now);
    r.drain();
    r.send(c, want(7));
    assert!(answer(&mut r, c, bid_reply).is_none_or(|reply| !reply.granted));
    assert_ne!(r.node.term(), Term(7));
}

#[test]
fn a_leader_needs_its_own_promise_on_disk() {
    let mut r = b(&THREE);
    let (c, _) = {
        let c = r.connect(info(2, "c", 102), L.0, 1);
        let (_, _, asked) = until(&mut r, 2_000, canvass).unwrap();
        r.auto_store = false;
        r.send(c, agree(&asked, 1));
        (c, ())
    };
    // The bid goes out once it is stored, as all that is promised.
    let term = r.node.term();
    let early = Bid { lineage: L, term, position: place(1, 1), blessing: None };
    r.send(c, grant(&early));
    assert_ne!(r.node.role(), Role::Leader, "its own promise may be lost");
}

#[test]
fn answers_from_elsewhere_are_dropped() {
    let mut r = b(&THREE);
    let c = r.connect(info(2, "c", 102), L.0, 1);
    let (_, _, asked) = until(&mut r, 2_000, canvass).unwrap();
    let dropped = |r: &Rig| r.node.stats().dropped_unexpected;
    let before = dropped(&r);
    let foreign = Canvass { lineage: Lineage(5), ..asked };
    r.send(c, agree(&foreign, 1));
    r.send(c, agree(&asked, 1 << 40));
    assert_eq!((dropped(&r) - before, answer(&mut r, c, bid)), (2, None));
    r.send(c, agree(&asked, 1));
    let bid = answer(&mut r, c, bid).unwrap();
    let before = dropped(&r);
    r.send(c, grant(&Bid { lineage: Lineage(5), ..bid }));
    let BidReply { lineage, term, position, .. } = {
        let Message::BidReply(reply) = grant(&bid) else { unreachable!() };
        reply
    };
    let promised = Term(1 << 40);
    r.send(c, Message::BidReply(BidReply { lineage, term, granted: true, promised, position }));
    assert_eq!(dropped(&r) - before, 2);
    assert_ne!(r.node.role(), Role::Leader);
    r.send(c, grant(&bid));
    assert_eq!(r.node.role(), Role::Leader);
    // And what comes once it leads.
    let before = dropped(&r);
    r.send(c, grant(&bid));
    r.send(c, agree(&asked, 1));
    assert_eq!(dropped(&r) - before, 2);
}

#[test]
fn a_late_yes_is_taken_up_at_once() {
    let mut r = b(&["a", "b", "c", "d", "e"]);
    let conns = [(2, "c"), (3, "d")].map(|(i, name)| r.connect(info(i, name, 100 + u64::from(i)), L.0, 1));
    let (_, _, asked) = until(&mut r, 2_000, canvass).unwrap();
    // It withdraws for a better one.
    r.send(conns[0], ask(2, place(2, 2)));
    r.take();
    let stale = Canvass { round: asked.round.wrapping_sub(1), ..asked };
    r.send(conns[1], agree(&stale, 1));
    assert_eq!(until(&mut r, 0, canvass).map(|_| ()), None);
    r.send(conns[1], agree(&asked, 1));
    assert!(until(&mut r, 0, canvass).is_some(), "somebody got free");
}

#[test]
fn who_promised_higher_is_outbid_by_its_leader() {
    let overruled = |lineage, term| Message::Overruled(Overruled { lineage, term: Term(term) });
    let (mut r, c, term) = leading();
    let x = r.connect(info(5, "x", 105), L.0, 1);
    r.take();
    r.send(x, overruled(L, term.0 + 3));
    assert_eq!(until(&mut r, 0, bid).map(|_| ()), None, "a stranger");
    r.send(c, overruled(Lineage(5), term.0 + 3));
    r.send(c, overruled(L, term.0));
    r.send(c, overruled(L, term.0 + (1 << 40)));
    assert_eq!(until(&mut r, 0, bid).map(|_| ()), None);
    assert_eq!(r.node.term(), term);
    r.send(c, overruled(L, term.0 + 3));
    let (_, _, above) = until(&mut r, 0, bid).unwrap();
    assert_eq!((above.term, above.blessing), (Term(term.0 + 4), Some(term)));
}
