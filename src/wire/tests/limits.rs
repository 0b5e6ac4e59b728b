//! Bounds: what fits, what is cut, what is refused.

use super::*;
use bytes::BytesMut;

fn worst_addrs() -> Vec<std::net::SocketAddr> {
    (0..MAX_ADDRS).map(|i| format!("[2001:db8::ffff:ffff:ffff:fff{i}]:65535").parse().unwrap()).collect()
}

fn long_id(n: usize) -> NodeId {
    NodeId::new(&format!("{n:x>63}")).unwrap()
}

fn worst_info() -> MemberInfo {
    let mut capabilities = Capabilities::new();
    let mut n = 0;
    while capabilities.wire_len() < MAX_CAPABILITY_BYTES {
        let value = "v".repeat(255.min(MAX_CAPABILITY_BYTES - capabilities.wire_len() - 3));
        capabilities.set(&n.to_string(), &value).unwrap();
        n += 1;
    }
    assert_eq!(capabilities.wire_len(), MAX_CAPABILITY_BYTES);
    MemberInfo { id: long_id(0), addrs: worst_addrs(), capabilities, ..sample::info() }
}

fn worst_view(leader: u32) -> View {
    let seat = |n: u32| SeatRef {
        id: long_id(n as usize),
        voter: VoterTag(n),
        incarnation: Incarnation(u64::MAX >> 1),
        priority: i32::MIN,
        voting: true,
        addr: worst_addrs()[0],
    };
    let line = (0..MAX_SEATS as u32).map(seat).collect();
    View {
        lineage: Lineage(u64::MAX),
        parents: vec![Lineage(u64::MAX); MAX_PARENTS],
        term: Term(u64::MAX >> 1),
        leader: Some(VoterTag(leader)),
        line_version: u32::MAX,
        line,
    }
}

fn worst_announce(leader: u32) -> Announce {
    let from = Sender {
        id: long_id(0),
        incarnation: Incarnation(1),
        identity: Identity(1),
        standing: Standing::Witness,
        priority: 1,
        durable: true,
        outbound: false,
        addrs: worst_addrs(),
    };
    let place = Some(Place { slot: Slot(u32::MAX), generation: Generation(u16::MAX), revision: u32::MAX });
    Announce { from, nonce: u64::MAX, place, view: worst_view(leader) }
}

#[test]
fn the_lengths_that_were_promised() {
    let lengths: Vec<usize> = sample::datagrams().iter().map(|d| encode(d).len()).collect();
    assert_eq!(lengths[..4], [64, 24, 40, MAX_DATAGRAM]);
    assert_eq!(lengths[5], MAX_DATAGRAM);
    assert_eq!(lengths[7..14], [44, 24, 24, 24, 36, 36, 36]);
    assert_eq!(lengths[16], 320);
    assert_eq!((lengths[18], lengths[21], lengths[22]), (128, MAX_DATAGRAM, MAX_DATAGRAM));
}

#[test]
fn no_answer_is_larger_than_its_question() {
    let (nonce, lineage) = (u64::MAX, Lineage(u64::MAX));
    let question = encode(&Datagram::WhereIs(WhereIs { nonce, lineage, id: long_id(0) }));
    let found = Some(worst_announce(0).from);
    let answer = encode(&Datagram::Whereabouts(Whereabouts { nonce, lineage, id: long_id(0), found, leads: true }));
    assert!(answer.len() <= question.len(), "{} bytes", answer.len());
    let body = vec![0; MAX_NOTE].into();
    let (incarnation, to) = (Incarnation(1), Incarnation(2));
    let note = encode(&Datagram::Note(Note { lineage, from: long_id(0), incarnation, to, body }));
    assert!(note.len() <= MAX_DATAGRAM, "{} bytes", note.len());
}

#[test]
fn the_largest_member_fits_a_join_and_an_entry() {
    let join = Datagram::Join(Join { nonce: 1, lineage: Lineage(2), heard: 3, info: worst_info() });
    let bytes = encode(&join);
    assert_eq!(bytes.len(), MAX_DATAGRAM);
    assert_eq!(decode(&bytes), Ok(join));
    let change = Change::Joined { slot: Slot(1), generation: Generation(1), info: worst_info() };
    let entry = Entry { index: Index(1), term: Term(1), change };
    assert!(entry_len(&entry) < 1_000, "{} bytes", entry_len(&entry));
}

#[test]
fn what_is_asked_about_the_roll_is_answered_by_no_more() {
    let name = Name::new(&format!("{:x>63}", "")).unwrap();
    let (lineage, term, incarnation) = (Lineage(u64::MAX), Term(1), Incarnation(1));
    let (slot, generation) = (Slot(1), Generation(1));
    let claim = Claim { lineage, term, incarnation, number: 1, slot, generation, release: false, name };
    assert_eq!(encode(&Datagram::Claim(claim.clone())).len(), 128);
    assert_eq!(decode(&encode(&Datagram::Claim(claim.clone()))), Ok(Datagram::Claim(claim)));
    let reply =
        ClaimReply { lineage, term, incarnation, number: 1, answer: ClaimAnswer::Taken, owner: Some(long_id(0)) };
    assert!(encode(&Datagram::ClaimReply(reply)).len() <= 128);
    let mut short = encode(&sample::datagrams()[18])[..124].to_vec();
    fix_checksum(&mut short);
    assert_eq!(decode(&short), Err(Reject::Malformed));
    let found = Found { nonce: 1, lineage, total: 99, members: (0..99).map(long_id).collect() };
    let bytes = encode(&Datagram::Found(found));
    assert!(bytes.len() <= MAX_DATAGRAM);
    let Ok(Datagram::Found(found)) = decode(&bytes) else { panic!() };
    assert!(found.members.len() > 10 && found.total == 99);
    let change = Change::Joined { slot, generation, info: worst_info() };
    let entry = Entry { index: Index(1), term, change };
    assert!(entry_len(&entry) <= MAX_NEWS_BYTES);
    let prev = Position::default();
    let news = Datagram::News(News { nonce: 1, lineage, term, prev, commit: Index(1), entries: vec![entry] });
    assert_eq!(decode(&encode(&news)), Ok(news));
}

#[test]
fn a_long_line_is_cut_at_its_end_but_keeps_the_leader() {
    for leader in 0..MAX_SEATS as u32 {
        let bytes = encode(&Datagram::Announce(worst_announce(leader)));
        assert!(bytes.len() <= MAX_DATAGRAM && bytes.len() > MAX_DATAGRAM - 120, "{} bytes", bytes.len());
        let Ok(Datagram::Announce(read)) = decode(&bytes) else { panic!("an announcement") };
        let slots: Vec<u32> = read.view.line.iter().map(|s| s.voter.0).collect();
        let n = slots.len() as u32;
        assert!(n >= 8, "{n} seats");
        let expected: Vec<u32> = if leader < n { (0..n).collect() } else { (0..n - 1).chain([leader]).collect() };
        assert_eq!(slots, expected, "the beginning of the line, and the leader");
    }
    let registered = Registered {
        nonce: 1,
        incarnation: Incarnation(1),
        slot: Slot(1),
        generation: Generation(1),
        revision: 1,
        since: Position { term: Term(1), index: Index(1) },
        view: worst_view(14),
    };
    let bytes = encode(&Datagram::Registered(registered));
    let Ok(Datagram::Registered(read)) = decode(&bytes) else { panic!("a registration") };
    assert_eq!(read.view.line.last().map(|s| s.voter), Some(VoterTag(14)));
    assert!(read.view.line.len() >= 9);
}

#[test]
fn an_ordinary_line_is_not_cut() {
    let mut announce = worst_announce(3);
    for (n, seat) in announce.view.line.iter_mut().enumerate() {
        seat.id = sample::id(&format!("candidate-{n}.site"));
        seat.addr = "192.0.2.1:1919".parse().unwrap();
    }
    let datagram = Datagram::Announce(announce);
    assert_eq!(decode(&encode(&datagram)), Ok(datagram));
}

#[test]
fn questions_that_are_not_padded_are_refused() {
    for n in [3, 5] {
        let bytes = encode(&sample::datagrams()[n]);
        let mut short = bytes[..MAX_DATAGRAM - 1].to_vec();
        fix_checksum(&mut short);
        assert_eq!(decode(&short), Err(Reject::Malformed));
    }
}

#[test]
fn encoding_allocates_nothing_where_there_is_room() {
    let mut buf = Vec::with_capacity(MAX_DATAGRAM);
    let place = buf.as_ptr();
    for datagram in sample::datagrams().iter().chain([&Datagram::Announce(worst_announce(14))]) {
        encode_datagram(datagram, TAG, &mut buf);
        assert_eq!((buf.as_ptr(), buf.capacity()), (place, MAX_DATAGRAM));
    }
}

#[test]
fn a_full_append_and_a_full_piece_fit_a_frame() {
    let mut entries = Vec::new();
    let mut used = 0;
    for index in 1.. {
        let change = Change::Joined { slot: Slot(1), generation: Generation(1), info: worst_info() };
        let entry = Entry { index: Index(index), term: Term(1), change };
        if used + entry_len(&entry) > MAX_ENTRY_BYTES {
            break;
        }
        used += entry_len(&entry);
        entries.push(entry);
    }
    let Message::Append(append) = sample::messages().remove(9) else { panic!("an append") };
    let message = Message::Append(Append { entries, prev: Position::default(), ..append });
    assert_eq!(decode_stream(&encode_stream(&message)), Ok(vec![message]));

    let small = |index| Entry { index: Index(index), term: Term(1), change: Change::Led { identity: Identity(1) } };
    let most: Vec<Entry> = (1..=MAX_ENTRIES as u64).map(small).collect();
    assert!(most.iter().map(entry_len).sum::<usize>() <= MAX_ENTRY_BYTES, "the smallest entries fit in full number");

    let Message::Snapshot(snapshot) = sample::messages().remove(10) else { panic!("a snapshot") };
    let data = bytes::Bytes::from(vec![7; MAX_PIECE]);
    let message = Message::Snapshot(Snapshot { offset: 0, total: MAX_PIECE as u32, data, ..snapshot });
    assert_eq!(decode_stream(&encode_stream(&message)), Ok(vec![message]));
}

#[test]
fn lists_out_of_bounds_are_refused() {
    let Message::Propose(propose) = sample::messages().remove(1) else { panic!("a proposal") };
    let seats = |n: usize| (0..n).map(|i| Seat { id: long_id(i), ..sample::seat() }).collect::<Vec<_>>();
    let with = |seats| decode_stream(&encode_stream(&Message::Propose(Propose { seats, ..propose.clone() })));
    assert!(with(seats(MAX_SEATS)).is_ok());
    assert_eq!(with(seats(MAX_SEATS + 1)), Err(Reject::Malformed));
    assert_eq!(with([seats(1), seats(1)].concat()), Err(Reject::Malformed), "one id has one seat");

    let Message::Append(append) = sample::messages().remove(9) else { panic!("an append") };
    let mut gap = append.entries.clone();
    gap.remove(1);
    let message = Message::Append(Append { entries: gap, ..append });
    assert_eq!(decode_stream(&encode_stream(&message)), Err(Reject::Malformed), "indexes are consecutive");

    let Message::Snapshot(snapshot) = sample::messages().remove(10) else { panic!("a snapshot") };
    let message = Message::Snapshot(Snapshot { total: 9, ..snapshot });
    assert_eq!(decode_stream(&encode_stream(&message)), Err(Reject::Malformed), "a piece lies in its image");
}

#[test]
fn a_promise_for_a_founding_names_its_founder() {
    let encoded = |founder, party: &[Seat]| {
        let mut buf = BytesMut::new();
        let party = party.to_vec();
        encode_record(&Record::Promise(Promise { founder, party, ..Promise::default() }), &mut buf);
        buf
    };
    let (bound, of) = (encoded(Some(Identity(7)), &[]), encoded(Some(Identity(7)), &[sample::seat()]));
    let mut stray = encoded(None, &[]);
    stray.extend_from_slice(&of[bound.len()..]);
    assert!(decode_record(&of).is_ok());
    assert_eq!(decode_record(&stray), Err(Reject::Malformed));
}

#[test]
fn numbers_that_nobody_counts_to_are_refused() {
    let with = |term, commit| {
        let Datagram::Heartbeat(heartbeat) = sample::datagrams().remove(0) else { panic!("a heartbeat") };
        decode(&encode(&Datagram::Heartbeat(Heartbeat { term: Term(term), commit: Index(commit), ..heartbeat })))
    };
    assert!(with(u64::MAX >> 1, u64::MAX >> 1).is_ok());
    assert_eq!(with((u64::MAX >> 1) + 1, 0), Err(Reject::Malformed));
    assert_eq!(with(0, u64::MAX), Err(Reject::Malformed));
}

#[test]
fn an_image_has_each_member_once() {
    let mut image = sample::image();
    image.slots[1].info = image.slots[0].info.clone();
    assert_eq!(decode_image(&encode_image(&image)), Err(Reject::Malformed));
}

#[test]
fn names_addresses_and_capabilities_are_checked() {
    // A probe for somebody: the fields of a stream's frame by hand.
    let probe_for = |fields: &[u8]| {
        let bytes = frame(78, &[0; 8], fields);
        let mut stream = (bytes.len() as u32).to_be_bytes().to_vec();
        stream.extend(bytes);
        decode_stream(&stream)
    };
    let addr = [2, 0, 6, 192, 0, 2, 1, 0, 1];
    assert!(probe_for(&addr).is_ok());
    assert_eq!(probe_for(&[]), Err(Reject::Malformed), "the address is missing");
    assert_eq!(probe_for(&[addr, addr].concat()), Err(Reject::Malformed), "twice");
    assert_eq!(probe_for(&[2, 0, 5, 192, 0, 2, 1, 0]), Err(Reject::Malformed), "no family has such a length");
    assert_eq!(probe_for(&addr[..8]), Err(Reject::Malformed), "a field beyond the end");
    assert_eq!(probe_for(&[&addr[..], &[9, 0]].concat()), Err(Reject::Malformed), "half a head of a field");
    assert!(probe_for(&[&addr[..], &[0, 9, 9]].concat()).is_ok(), "padding");

    let unseated = |id: &[u8]| {
        let mut bytes = vec![0; 16];
        bytes.extend([6, 3]);
        bytes.extend([0; 12]);
        bytes.extend([1, 0, id.len() as u8]);
        bytes.extend(id);
        decode_entry(&bytes)
    };
    assert!(unseated(b"n").is_ok());
    assert_eq!(unseated(b""), Err(Reject::Malformed));
    assert_eq!(unseated(b"a b"), Err(Reject::Malformed));
    assert_eq!(unseated(&[b'x'; 64]), Err(Reject::Malformed));
    assert_eq!(unseated(&[0xFF]), Err(Reject::Malformed));

    let updated = |pairs: &[u8]| {
        let mut bytes = vec![0; 16];
        bytes.extend([3, 3]);
        bytes.extend([0; 12]);
        bytes.extend([3, 0, pairs.len() as u8]);
        bytes.extend(pairs);
        decode_entry(&bytes)
    };
    assert!(updated(b"").is_ok());
    assert!(updated(b"\x01a\x00\x01b\x01x").is_ok());
    assert_eq!(updated(b"\x01b\x00\x01a\x00"), Err(Reject::Malformed), "out of order");
    assert_eq!(updated(b"\x01a\x00\x01a\x00"), Err(Reject::Malformed), "twice");
    assert_eq!(updated(b"\x00\x00"), Err(Reject::Malformed), "an empty key");
    assert_eq!(updated(b"\x01a"), Err(Reject::Malformed), "no value");

    let mut unknown_reason = BytesMut::new();
    encode_entry(&sample::entries(1).remove(3), &mut unknown_reason);
    unknown_reason[16 + 1 + 1 + 6] = 99;
    assert_eq!(decode_entry(&unknown_reason), Err(Reject::Malformed));
    assert_eq!(decode_record(&[9]), Err(Reject::UnknownKind(9)));
    assert_eq!(decode_record(&[]), Err(Reject::Truncated));
}
