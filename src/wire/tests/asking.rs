//! Requests to the leader: in the roll, in its image, and as records of the lane.

use super::sample::image;
use super::*;
use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// What a roll keeps of requests: one in each stage.
fn ledger() -> Ledger {
    let requests = vec![
        (5, Stage::Begun(Slot(1), Generation(2))),
        (6, Stage::Done(Outcome::Answered(Bytes::from_static(b"yes")))),
        (8, Stage::Done(Outcome::Unknown(Lost::Gone))),
        (9, Stage::Done(Outcome::Answered(Bytes::new()))),
    ];
    Ledger { slot: Slot(0), below: 5, requests }
}

/// One of each kind of record about requests.
fn asked() -> (Vec<Request>, Vec<Answer>) {
    let (lineage, incarnation) = (Lineage(1), Incarnation(2));
    let request = Request { lineage, incarnation, number: 5, below: 4, again: false, body: Bytes::from_static(b"do") };
    let done = |outcome| Said::Done(outcome);
    let answer = Answer { lineage, incarnation, number: 5, late: None, said: Said::Later };
    let place = Some((Slot(3), Generation(4)));
    let requests = vec![
        request.clone(),
        Request { number: 0, body: Bytes::new(), ..request.clone() },
        Request { again: true, number: 1_000, ..request },
    ];
    let answers = vec![
        answer.clone(),
        Answer { said: done(Outcome::Answered(Bytes::from_static(b"done"))), ..answer.clone() },
        Answer { said: done(Outcome::Unknown(Lost::NotKept)), ..answer.clone() },
        Answer { late: place, said: done(Outcome::Answered(Bytes::new())), ..answer.clone() },
        Answer { late: place, said: done(Outcome::Unknown(Lost::Other(77))), ..answer },
    ];
    (requests, answers)
}

/// What a roll keeps of requests, drawn by a number.
pub(super) fn ledger_of(slot: Slot, seed: u64) -> Ledger {
    Ledger { slot, below: 5 + (seed >> 2), ..ledger() }.shifted(seed >> 2)
}

impl Ledger {
    fn shifted(mut self, by: u64) -> Self {
        self.requests.iter_mut().for_each(|(number, _)| *number += by);
        self
    }
}

fn changes() -> Vec<Change> {
    let (slot, generation) = (Slot(1), Generation(2));
    let opened = |below, numbers: &[u64]| Opened { slot, generation, below, numbers: numbers.to_vec() };
    let closed = |number, outcome| Closed { slot, generation, number, outcome };
    vec![
        Change::Begun(Begun {
            slot: Slot(3),
            generation: Generation(4),
            opened: vec![opened(5, &[5, 7]), opened(9, &[])],
        }),
        Change::Answered(vec![
            closed(5, Outcome::Answered(Bytes::from_static(b"yes"))),
            closed(7, Outcome::Unknown(Lost::Forgotten)),
        ]),
    ]
}

fn entry(change: Change) -> Entry {
    Entry { index: Index(1), term: Term(2), change }
}

fn entry_bytes(entry: &Entry) -> Vec<u8> {
    let mut buf = BytesMut::new();
    encode_entry(entry, &mut buf);
    buf.to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn one_of_each_comes_back() {
    for change in changes() {
        let entry = entry(change);
        assert_eq!(decode_entry(&entry_bytes(&entry)), Ok(entry));
    }
    let (requests, answers) = asked();
    for request in requests {
        assert_eq!(decode_request(&encode_request(&request)), Ok(request));
    }
    for answer in answers {
        assert_eq!(decode_answer(&encode_answer(&answer)), Ok(answer));
    }
    let image = Image { requests: vec![ledger()], ..image() };
    assert_eq!(decode_image(&encode_image(&image)), Ok(image));
}

/// They change only with [`VERSION`].
#[test]
fn the_bytes_are_these() {
    let [begun, answered] = [0, 1].map(|n| hex(&entry_bytes(&entry(changes()[n].clone()))));
    let head = "00000000000000010000000000000002";
    let (opened, other) =
        ("1e001804000000010002000000000000000000051f000400000002", "1e0011040000000100020000000000000000000 9");
    assert_eq!(begun, format!("{head}1e020000000300040000{opened}{}", other.replace(' ', "")));
    let (yes, forgotten) =
        ("20001704000000010002010000000000000000050b0003796573", "200011040000000100020300000000 0000000007");
    assert_eq!(answered, format!("{head}1f00{yes}{}", forgotten.replace(' ', "")));
    let (requests, answers) = asked();
    assert_eq!(
        hex(&encode_request(&requests[0])),
        "0900000000000000010000000000000002000000000000000500000000000000040000000000646f"
    );
    assert_eq!(
        hex(&encode_answer(&answers[1])),
        "0800000000000000010000000000000002000000000000000500000000000001000 0646f6e65".replace(' ', "")
    );
}

/// Plain members are told only that there was something.
#[test]
fn what_plain_members_are_told_is_short_and_comes_back() {
    for change in changes() {
        let told = entry(change).condensed();
        assert!(told.is_of_requests() && entry_len(&told) == 3 + 17);
        assert_eq!(decode_entry(&entry_bytes(&told)), Ok(told.clone()));
        assert_eq!(told.condensed(), told);
    }
}

#[test]
fn what_breaks_a_bound_is_refused() {
    let (requests, answers) = asked();
    let bad = |request: Request| assert_eq!(decode_request(&encode_request(&request)), Err(Reject::Malformed));
    let first = requests[0].clone();
    bad(Request { below: 0, ..first.clone() });
    bad(Request { number: 3, ..first.clone() });
    bad(Request { number: 4 + REQUEST_WINDOW, ..first.clone() });
    bad(Request { number: 1 << 63, below: 1 << 63, ..first });
    let large = || Said::Done(Outcome::Answered(vec![0; MAX_ANSWER + 1].into()));
    let late = Answer { said: large(), late: Some((Slot(1), Generation(1))), ..answers[0].clone() };
    assert_eq!(decode_answer(&encode_answer(&late)), Err(Reject::Malformed));
    // One that may run twice is answered with as much as a message holds.
    assert!(decode_answer(&encode_answer(&Answer { late: None, ..late })).is_ok());
    let refused = |ledger: Ledger| {
        let image = Image { requests: vec![ledger], ..image() };
        assert_eq!(decode_image(&encode_image(&image)), Err(Reject::Malformed));
    };
    refused(Ledger { slot: Slot(1), ..ledger() });
    refused(Ledger { below: 6, ..ledger() });
    refused(Ledger { below: 0, requests: vec![], ..ledger() });
    let unordered = ledger().requests.into_iter().rev().collect();
    refused(Ledger { requests: unordered, ..ledger() });
    let twice = Image { requests: vec![ledger(), ledger()], ..image() };
    assert_eq!(decode_image(&encode_image(&twice)), Err(Reject::Malformed));
}

fn any_place() -> impl Strategy<Value = (Slot, Generation)> {
    any::<(u32, u16)>().prop_map(|(slot, generation)| (Slot(slot), Generation(generation)))
}

pub(super) fn any_outcome() -> impl Strategy<Value = Outcome> {
    let lost = [Lost::Gone, Lost::Forgotten, Lost::NotGiven, Lost::NotKept, Lost::Other(9)];
    option::of(vec(any::<u8>(), 0..40)).prop_flat_map(move |answer| {
        let lost = lost;
        (0..5usize).prop_map(move |n| match &answer {
            Some(body) => Outcome::Answered(body.clone().into()),
            None => Outcome::Unknown(lost[n]),
        })
    })
}

pub(super) fn any_closed() -> impl Strategy<Value = Closed> {
    (any_place(), 1..u64::MAX / 2, any_outcome()).prop_map(|((slot, generation), number, outcome)| Closed {
        slot,
        generation,
        number,
        outcome,
    })
}

pub(super) fn any_begun() -> impl Strategy<Value = Begun> {
    let numbers = proptest::collection::btree_set(0..REQUEST_WINDOW, 0..5);
    let opened = (any_place(), 1..u64::MAX / 4, numbers).prop_map(|((slot, generation), below, numbers)| Opened {
        slot,
        generation,
        below,
        numbers: numbers.into_iter().map(|n| below + n).collect(),
    });
    (any_place(), vec(opened, 0..4)).prop_map(|((slot, generation), opened)| Begun { slot, generation, opened })
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        let record = Bytes::from(bytes);
        if let Ok(request) = decode_request(&record) {
            prop_assert_eq!(decode_request(&encode_request(&request)), Ok(request));
        }
        if let Ok(answer) = decode_answer(&record) {
            prop_assert_eq!(decode_answer(&encode_answer(&answer)), Ok(answer));
        }
    }

    #[test]
    fn changed_records_do_not_panic(which in 0..8usize, at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
        let (requests, answers) = asked();
        let mut all: Vec<Vec<u8>> = requests.iter().map(|r| encode_request(r).to_vec()).collect();
        all.extend(answers.iter().map(|a| encode_answer(a).to_vec()));
        let mut bytes = all[which % all.len()].clone();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(cut.index(bytes.len() + 1));
        let record = Bytes::from(bytes);
        if let Ok(answer) = decode_answer(&record) {
            prop_assert_eq!(decode_answer(&encode_answer(&answer)), Ok(answer));
        }
        let _ = decode_request(&record);
    }
}
