//! Broadcasts: what a sender and a leader tell each other, and what isn't one.

use super::*;
use bytes::Bytes;
use proptest::prelude::*;

fn records() -> [BroadcastRecord; 2] {
    let incarnation = Incarnation(3);
    [
        BroadcastRecord::Say { incarnation, number: 9, before: 8, body: Bytes::from_static(b"hello") },
        BroadcastRecord::Heard { incarnation, number: 7, refused: 8 },
    ]
}

#[test]
fn records_come_back_and_have_these_bytes() {
    let golden = [
        "0701000000000000000000000300000000000000090000000000000008\
         0b000568656c6c6f",
        "0702000000000000000000000300000000000000070000000000000008",
    ];
    for (record, golden) in records().iter().zip(golden) {
        let bytes = encode_broadcast_record(record);
        assert_eq!(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>(), golden);
        assert_eq!(decode_broadcast_record(&bytes).as_ref(), Ok(record));
        for n in 0..bytes.len() {
            let cut = decode_broadcast_record(&bytes[..n]);
            assert!(cut.is_err(), "{n} of {} bytes", bytes.len());
        }
    }
    let mut later = encode_broadcast_record(&records()[1]).to_vec();
    later[1] = 9;
    assert_eq!(decode_broadcast_record(&later), Err(Reject::UnknownKind(9)));
    // A longer fixed part and another field are skipped.
    let mut longer = encode_broadcast_record(&records()[0]).to_vec();
    longer[0] = 8;
    longer.splice(29..29, [1, 2, 3, 4]);
    longer.extend([250, 0, 1, 7]);
    assert_eq!(decode_broadcast_record(&longer).as_ref(), Ok(&records()[0]));
}

#[test]
fn what_is_out_of_bounds_is_refused() {
    let say = |number, before, len| {
        let body = Bytes::from(vec![0; len]);
        BroadcastRecord::Say { incarnation: Incarnation(1), number, before, body }
    };
    assert!(decode_broadcast_record(&encode_broadcast_record(&say(1, 0, MAX_BROADCAST))).is_ok());
    for bad in [say(0, 0, 1), say(2, 2, 1), say(1, 7, 1), say(u64::MAX, 1, 1)] {
        assert_eq!(decode_broadcast_record(&encode_broadcast_record(&bad)), Err(Reject::Malformed));
    }
}

fn broadcast(prev: u64, newest: u64, said: Vec<Said>) -> Result<Datagram, Reject> {
    let place = |index| Position { term: Term(4), index: Index(index) };
    let (prev, newest) = (place(prev), place(newest));
    decode(&encode(&Datagram::Broadcast(Broadcast {
        nonce: 0,
        lineage: Lineage(1),
        term: Term(5),
        prev,
        newest,
        said,
    })))
}

#[test]
fn pieces_that_do_not_follow_each_other_are_refused() {
    let whole = |index| sample::said(index, b"hello");
    let piece = |index, offset: usize, total: usize| Said {
        offset: offset as u32,
        total: total as u32,
        data: vec![1; (total - offset).min(BROADCAST_PIECE)].into(),
        ..whole(index)
    };
    assert!(broadcast(5, 9, vec![whole(6), whole(7), whole(8)]).is_ok());
    assert!(broadcast(2, 9, vec![whole(6)]).is_ok(), "what lies before needn't be the number before");
    assert!(broadcast(5, 9, vec![piece(6, 2_000, 2_010), whole(7)]).is_ok());
    for bad in [
        vec![whole(6), whole(8)],
        vec![whole(7), whole(6)],
        vec![whole(6), whole(6)],
        vec![whole(5)],
        vec![whole(10)],
        vec![piece(6, 1_001, 1_500)],
        vec![Said { data: Bytes::from_static(b"shor"), ..whole(6) }],
        vec![Said { total: MAX_BROADCAST as u32 + 1, ..whole(6) }],
        vec![whole(6), piece(7, 1_000, 1_500)],
        vec![Said { offset: 1_000, total: 1_000, data: Bytes::new(), ..whole(6) }],
    ] {
        assert_eq!(broadcast(5, 9, bad.clone()), Err(Reject::Malformed), "{bad:?}");
    }
}

#[test]
fn one_piece_fits_a_datagram_with_the_longest_name_and_one_entry_its_field() {
    let from = sample::id(&"x".repeat(63));
    let data = vec![1; BROADCAST_PIECE];
    let said = Said { from, total: MAX_BROADCAST as u32, data: data.into(), ..sample::said(6, b"") };
    assert!(said_len(&said) <= MAX_SAID_BYTES);
    let bytes = encode(&Datagram::Broadcast(Broadcast {
        nonce: 1,
        lineage: Lineage(1),
        term: Term(1),
        prev: Position::default(),
        newest: said.place,
        said: vec![said],
    }));
    assert!(bytes.len() <= MAX_DATAGRAM, "{} bytes", bytes.len());
    let body = Bytes::from(vec![1; MAX_BROADCAST]);
    let change = Change::Said { slot: Slot(1), generation: Generation(1), number: 1, body };
    assert!(entry_len(&Entry { index: Index(1), term: Term(1), change }) <= 3 + usize::from(u16::MAX));
}

proptest! {
    #[test]
    fn records_of_any_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_broadcast_record(&bytes);
    }

    #[test]
    fn changed_records_do_not_panic(at in 0..40_usize, with in any::<u8>()) {
        for record in records() {
            let mut bytes = encode_broadcast_record(&record).to_vec();
            let n = bytes.len();
            bytes[at % n] = with;
            if let Ok(read) = decode_broadcast_record(&bytes) {
                prop_assert!(encode_broadcast_record(&read).len() <= n);
            }
        }
    }
}
