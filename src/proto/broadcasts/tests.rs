#![allow(clippy::unwrap_used)]
use super::*;
use crate::proto::border::SendError;
use crate::proto::rng::Rng;
use crate::types::{Generation, Incarnation, Index, Lineage, NodeId, Position, Slot, Term, Time};
use crate::wire::{BROADCAST_PIECE, Broadcast, MAX_BROADCAST, MAX_SAID_BYTES, Said, said_len};
use bytes::Bytes;
use std::time::Duration;

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn ms(n: u64) -> Time {
    Time::from_micros(n * 1_000)
}

fn place(term: u64, index: u64) -> Position {
    Position { term: Term(term), index: Index(index) }
}

fn body(n: u64, len: usize) -> Bytes {
    vec![n as u8; len].into()
}

/// What the roll keeps after these bodies, all of one sender.
fn kept(lens: &[usize]) -> Kept {
    let mut kept = Kept::default();
    for (n, len) in (1..).zip(lens) {
        kept.say(Term(1), Slot(0), (id("a"), Incarnation(1)), n, &body(n, *len), false).unwrap();
    }
    kept
}

fn listener() -> Listener {
    let mut listener = Listener::new(Duration::from_secs(1), Rng::new(1));
    assert_eq!(listener.enter((Lineage(1), Slot(3), Generation(1), Incarnation(1)), Position::default(), false), None);
    listener
}

/// The datagrams that go out for all that is kept behind a place.
fn frames(kept: &Kept, after: Position) -> Vec<Broadcast> {
    let (mut at, mut frames) = ((after, 0), Vec::new());
    while let Some(pieces) = kept.pieces(at.0, at.1) {
        let frame = |nonce| Broadcast {
            nonce,
            lineage: Lineage(1),
            term: Term(1),
            prev: pieces.prev,
            newest: kept.last(),
            said: pieces.said.clone(),
        };
        assert!(pieces.said.iter().map(said_len).sum::<usize>() <= MAX_SAID_BYTES);
        frames.push(frame(0));
        at = pieces.next;
    }
    frames
}

/// What a listener hands on of what it has: the first byte of each, and what it says to be missed.
fn heard(listener: &mut Listener) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(next) = listener.next() {
        match next {
            Some(Heard::Said { body, .. }) => all.push(body.first().copied().unwrap_or(0)),
            Some(Heard::Missed(_)) | None => {}
        }
    }
    all
}

#[test]
fn the_newest_are_kept_and_numbers_count_once() {
    let mut kept = kept(&[10; 9_000]);
    assert_eq!((kept.last(), kept.iter().count()), (place(1, 9_000), 8_192));
    assert_eq!(kept.before(), place(1, 808));
    let again = kept.say(Term(2), Slot(0), (id("a"), Incarnation(1)), 9_000, &body(1, 1), false);
    assert_eq!(again, None);
    assert_eq!(kept.number(Slot(0)), 9_000);
    kept.gone(Slot(0));
    let (prev, said) = kept.say(Term(2), Slot(0), (id("b"), Incarnation(1)), 1, &body(1, 1), false).unwrap();
    assert_eq!((prev, said.place), (place(1, 9_000), place(2, 9_001)));
    let large = self::kept(&[MAX_BROADCAST; 100]);
    assert!(large.iter().map(|s| s.data.len()).sum::<usize>() <= 4 << 20);
    let parts: Vec<Said> = large.iter().cloned().collect();
    let numbers: Vec<_> = large.numbers().collect();
    let again = Kept::new(large.before(), &parts, &numbers);
    assert_eq!((again.last(), again.before()), (large.last(), large.before()));
}

#[test]
fn small_ones_share_a_datagram_and_large_ones_take_several() {
    assert_eq!(frames(&kept(&[20; 10]), Position::default()).len(), 1);
    assert_eq!(frames(&kept(&[BROADCAST_PIECE]), Position::default()).len(), 1);
    assert_eq!(frames(&kept(&[BROADCAST_PIECE + 1]), Position::default()).len(), 1);
    assert_eq!(frames(&kept(&[2 * BROADCAST_PIECE]), Position::default()).len(), 2);
    assert_eq!(frames(&kept(&[MAX_BROADCAST]), Position::default()).len(), MAX_BROADCAST.div_ceil(BROADCAST_PIECE));
    assert_eq!(frames(&kept(&[0, 0]), Position::default()).len(), 1);
}

#[test]
fn what_comes_in_any_order_is_handed_on_in_one() {
    let kept = kept(&[5, 2_500, 0, 7, 1_000, 60, 3_001, 4]);
    let all = frames(&kept, Position::default());
    let mut rng = Rng::new(7);
    for _ in 0..200 {
        let mut listener = listener();
        let mut order = all.clone();
        for i in (1..order.len()).rev() {
            order.swap(i, (rng.next() % (i as u64 + 1)) as usize);
        }
        let mut got = Vec::new();
        for frame in order.iter().chain(&all[..2]) {
            assert_eq!(listener.take(ms(0), frame.clone(), true), None);
            got.extend(heard(&mut listener));
        }
        assert_eq!(got, [1, 2, 0, 4, 5, 6, 7, 8]);
        assert!(!listener.lacks());
    }
}

#[test]
fn what_is_missing_is_asked_for_piece_by_piece_and_what_is_not_kept_is_said() {
    let kept = kept(&[5, 2_500, 6]);
    let mut listener = listener();
    listener.heard(ms(0), kept.last());
    let (mut got, mut asked) = (Vec::new(), 0);
    while listener.lacks() {
        let now = listener.deadline(true);
        assert!(now < ms(3_000), "one after the other, at once");
        if let Some((nonce, after, offset)) = listener.due(now, true) {
            asked += 1;
            let pieces = kept.pieces(after, offset).unwrap();
            let newest = kept.last();
            let frame =
                Broadcast { nonce, lineage: Lineage(1), term: Term(1), prev: pieces.prev, newest, said: pieces.said };
            assert!(listener.is_answer(nonce));
            listener.take(now, frame, true);
            got.extend(heard(&mut listener));
        }
    }
    assert_eq!(got, [1, 2, 3]);
    assert!(asked <= 4, "{asked} questions");
    // Much later, much is gone.
    let kept = self::kept(&[5; 8_300]);
    listener.heard(ms(9_000), kept.last());
    let now = listener.deadline(true);
    let (nonce, after, offset) = listener.due(now, true).unwrap();
    let pieces = kept.pieces(after, offset).unwrap();
    let frame = Broadcast {
        nonce,
        lineage: Lineage(1),
        term: Term(1),
        prev: pieces.prev,
        newest: kept.last(),
        said: pieces.said,
    };
    assert_eq!(listener.take(now, frame, true), Some(Heard::Missed(8_300 - 8_192 - 3)));
    assert_eq!(listener.at(), place(1, 8_300 - 8_192));
}

#[test]
fn an_empty_answer_sends_it_elsewhere_later_each_time() {
    let mut listener = listener();
    listener.heard(ms(0), place(1, 1));
    let mut before = ms(0);
    for _ in 0..6 {
        let now = listener.deadline(true);
        assert!(now >= before);
        let (nonce, after, _) = listener.due(now, true).unwrap();
        let newest = after;
        let frame = Broadcast { nonce, lineage: Lineage(1), term: Term(1), prev: after, newest, said: vec![] };
        assert_eq!(listener.take(now, frame, true), None);
        before = now + Duration::from_millis(125);
    }
    assert_eq!(listener.tries(), 6);
    assert_eq!(listener.deadline(false), Time::NEVER, "nobody asks for what there is no room for");
}

#[test]
fn what_waits_is_bounded() {
    let mut listener = listener();
    for n in 0..100_000 {
        let at = place(1, 2 + n);
        let said = Said {
            place: at,
            from: id("a"),
            incarnation: Incarnation(1),
            number: n + 1,
            offset: 0,
            total: 900,
            data: body(0, 900),
        };
        let prev = place(1, 1 + n);
        let frame = Broadcast { nonce: 0, lineage: Lineage(1), term: Term(1), prev, newest: at, said: vec![said] };
        listener.take(ms(0), frame, true);
    }
    assert!(heard(&mut listener).is_empty());
    assert!(listener.waiting() <= 256 << 10, "{}", listener.waiting());
}

#[test]
fn in_a_child_it_goes_on_where_it_was_and_takes_nothing_twice() {
    let mut parent = kept(&[5; 3]);
    let mut listener = listener();
    for frame in frames(&parent, Position::default()) {
        listener.take(ms(0), frame, true);
    }
    assert_eq!(heard(&mut listener), [1, 2, 3]);
    // The child lost the third, and its sender said it again, behind another one.
    parent = kept(&[5; 2]);
    parent.say(Term(4), Slot(1), (id("b"), Incarnation(1)), 1, &body(9, 5), false).unwrap();
    parent.say(Term(4), Slot(0), (id("a"), Incarnation(1)), 3, &body(3, 5), false).unwrap();
    parent.say(Term(4), Slot(0), (id("a"), Incarnation(1)), 4, &body(4, 5), false).unwrap();
    let home = (Lineage(2), Slot(3), Generation(1), Incarnation(1));
    assert_eq!(listener.enter(home, Position::default(), true), None);
    for frame in frames(&parent, place(1, 2)) {
        listener.take(ms(0), frame, true);
    }
    assert_eq!(heard(&mut listener), [9, 4]);
    // Somewhere else nothing counts of where it was before.
    assert_eq!(listener.enter((Lineage(8), Slot(0), Generation(1), Incarnation(1)), place(9, 50), false), None);
    assert_eq!(listener.at(), place(9, 50));
    // Evicted and back, it says what it can't get any more.
    let back = (Lineage(8), Slot(0), Generation(2), Incarnation(2));
    assert_eq!(listener.enter(back, place(9, 57), false), Some(Heard::Missed(7)));
}

/// What was still to come where it was, and doesn't come any more, is said when it is somewhere else.
#[test]
fn what_was_still_to_come_from_another_lineage_is_missed() {
    let (mut by_heartbeat, mut by_roll) = (listener(), listener());
    by_heartbeat.heard(ms(0), place(1, 4));
    by_roll.ended(Lineage(9), place(1, 7));
    by_roll.ended(Lineage(1), place(1, 3));
    let home = (Lineage(8), Slot(0), Generation(1), Incarnation(2));
    assert_eq!(by_heartbeat.enter(home, place(9, 50), false), Some(Heard::Missed(4)));
    assert_eq!(by_roll.enter(home, place(9, 50), false), Some(Heard::Missed(3)));
    assert!(!by_roll.lacks() && by_roll.at() == place(9, 50));
}

fn said(say: Option<Say>) -> Option<(u64, u64)> {
    say.map(|s| (s.number, s.before))
}

#[test]
fn a_sender_hands_over_in_order_and_again_to_the_next_leader() {
    let mut speaker = Speaker::new(Duration::from_secs(1), Duration::from_secs(10));
    let (a, b) = ((id("a"), Lineage(7), Term(1)), (id("b"), Lineage(7), Term(2)));
    for n in 1..=4 {
        assert_eq!(speaker.accept(body(n, 10), MAX_BROADCAST), Ok(n));
    }
    assert_eq!(said(speaker.due(ms(0), &a)), Some((1, 0)));
    assert_eq!(said(speaker.due(ms(0), &a)), Some((2, 1)));
    assert_eq!(said(speaker.due(ms(0), &a)), Some((3, 2)));
    assert_eq!(speaker.confirmed(ms(1), 2), [1, 2]);
    assert_eq!(said(speaker.due(ms(1), &a)), Some((4, 3)));
    assert_eq!(said(speaker.due(ms(1), &a)), None);
    assert_eq!(said(speaker.due(ms(2), &b)), Some((3, 0)), "from the first that isn't confirmed on");
    speaker.refused(ms(2), 3);
    assert_eq!(said(speaker.due(ms(2), &b)), None, "not at once");
    let later = speaker.deadline();
    assert_eq!(said(speaker.due(later, &b)), Some((3, 0)));
    assert_eq!(said(speaker.due(later, &b)), Some((4, 3)));
    let stale = later + Duration::from_secs(10);
    assert_eq!(speaker.deadline(), stale);
    assert_eq!(said(speaker.due(stale, &b)), Some((3, 0)), "an answer that doesn't come is asked for");
    assert_eq!(speaker.accept(body(5, 10), MAX_BROADCAST), Ok(5));
    let back: Vec<u64> = speaker.renewed().into_iter().map(|(n, _)| n).collect();
    assert_eq!(back, [3, 4], "what a leader may have comes back");
    assert_eq!(said(speaker.due(stale, &b)), Some((5, 0)));
    let back: Vec<(u64, bool)> = speaker.stop().into_iter().map(|(n, _, begun)| (n, begun)).collect();
    assert_eq!(back, [(5, true)]);
    assert!(speaker.is_idle());
}

#[test]
fn what_a_leader_refused_comes_again_with_what_followed_it() {
    let mut speaker = Speaker::new(Duration::from_secs(1), Duration::from_secs(10));
    let leader = (id("a"), Lineage(7), Term(1));
    for n in 1..=4 {
        assert_eq!(speaker.accept(body(n, 10), MAX_BROADCAST), Ok(n));
        assert_eq!(said(speaker.due(ms(0), &leader)), Some((n, n - 1)));
    }
    // The third was refused while the first two weren't confirmed yet.
    speaker.refused(ms(1), 3);
    speaker.refused(ms(1), 4);
    assert_eq!(speaker.confirmed(ms(2), 2), [1, 2]);
    let later = speaker.deadline();
    assert!(later > ms(1) && later < ms(1_000));
    assert_eq!(said(speaker.due(later, &leader)), Some((3, 0)));
    assert_eq!(said(speaker.due(later, &leader)), Some((4, 3)));
    assert_eq!(speaker.confirmed(later, 4), [3, 4]);
    assert_eq!(speaker.deadline(), Time::NEVER);
}

#[test]
fn a_sender_s_queue_is_bounded() {
    let mut speaker = Speaker::new(Duration::from_secs(1), Duration::from_secs(10));
    assert_eq!(speaker.accept(body(0, MAX_BROADCAST + 1), MAX_BROADCAST), Err(SendError::TooLarge(MAX_BROADCAST)));
    let mut n = 0;
    while speaker.accept(body(1, 1_000), MAX_BROADCAST).is_ok() {
        n += 1;
    }
    assert_eq!(n, (1 << 20) / (1_000 + 128));
    assert!(!speaker.has_room_again());
    let leader = (id("a"), Lineage(7), Term(1));
    let mut under_way = 0;
    while speaker.due(ms(0), &leader).is_some() {
        under_way += 1;
    }
    assert!(under_way <= (128 << 10) / 1_000, "{under_way}");
    while !speaker.has_room_again() {
        assert!(speaker.due(ms(0), &leader).is_some() || !speaker.confirmed(ms(0), u64::MAX).is_empty());
    }
    assert!(speaker.accept(body(1, 1_000), MAX_BROADCAST).is_ok());
}

#[test]
fn a_leader_takes_each_once_in_order_and_not_without_bound() {
    let mut sayings = Sayings::new(Position::default(), Duration::from_secs(1));
    let place = (Slot(1), Generation(1));
    assert_eq!(sayings.take(ms(0), place, (2, 1), 0, 10), Taking::Refuse, "the one before it isn't there");
    assert_eq!(sayings.take(ms(0), place, (1, 0), 0, 10), Taking::Take);
    assert_eq!(sayings.take(ms(0), place, (1, 0), 0, 10), Taking::Known);
    assert_eq!(sayings.take(ms(0), place, (2, 1), 0, 10), Taking::Take);
    assert_eq!(sayings.take(ms(0), place, (2, 1), 2, 10), Taking::Committed);
    assert_eq!(sayings.take(ms(0), (Slot(1), Generation(2)), (1, 0), 0, 10), Taking::Take, "another owner of the slot");
    for n in 3..9 {
        sayings.took(Index(n), 50_000);
    }
    assert_eq!(sayings.take(ms(0), place, (9, 0), 2, 10), Taking::Refuse);
    sayings.all_out(Index(8));
    assert_eq!(sayings.take(ms(0), place, (9, 0), 2, 10), Taking::Take);
    // The answer is about the first of those that were refused.
    sayings.refused(&id("m"), Incarnation(1), 7);
    sayings.refused(&id("m"), Incarnation(1), 8);
    sayings.committed(&id("m"), Incarnation(1), 6);
    let owed = sayings.poll_owed().unwrap();
    assert_eq!((owed.number, owed.refused), (6, 7));
    assert_eq!(sayings.poll_owed(), None);
}

#[test]
fn what_goes_out_goes_in_bursts() {
    let mut sayings = Sayings::new(Position::default(), Duration::from_secs(1));
    let burst = |s: &mut Sayings, now| std::iter::from_fn(|| s.next(now)).take(1_000).count();
    assert_eq!(burst(&mut sayings, ms(5)), 32);
    assert_eq!(burst(&mut sayings, ms(5)), 0);
    assert_eq!(sayings.deadline(place(1, 1)), ms(6));
    assert_eq!(burst(&mut sayings, ms(6)), 32);
    sayings.went_out((place(1, 1), 0));
    assert_eq!(sayings.deadline(place(1, 1)), Time::NEVER);
}
