//! Writes inputs to begin from: one of each frame, and sessions that get somewhere.

use bytes::{Bytes, BytesMut};
use convoke::types::*;
use convoke::wire::*;
use convoke_fuzz::TAG;
use convoke_fuzz::session::{cuts, run};
use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let write = |target: &str, n: usize, bytes: &[u8]| {
        let dir = corpus.join(target);
        fs::create_dir_all(&dir)?;
        fs::write(dir.join(format!("seed-{n:03}")), bytes)
    };
    for (n, datagram) in datagrams().iter().enumerate() {
        let mut buf = Vec::new();
        encode_datagram(datagram, TAG, &mut buf);
        write("datagram", n, &buf)?;
    }
    let mut all = vec![1, 2, 3, 200];
    for (n, message) in messages().iter().enumerate() {
        let mut buf = BytesMut::new();
        encode_message(message, TAG, &mut buf);
        all.extend(&buf);
        write("stream", n, &[&[9, 9, 9, 9], &buf[..]].concat())?;
    }
    write("stream", 999, &all)?;
    for (n, record) in records().iter().enumerate() {
        let mut buf = BytesMut::new();
        encode_record(record, &mut buf);
        write("record", 2 * n, &buf)?;
        // Without the record's kind: an entry or an image.
        write("record", 2 * n + 1, &buf[1..])?;
    }
    let mut kept = 0;
    for seed in 0..3_000_u64 {
        let bytes = random(seed);
        let reached = run(&bytes);
        let far = reached.shook_hands > 2 && reached.committed > 2 || reached.member && reached.shook_hands > 0;
        if far && kept < 100 {
            write("node", kept, &bytes)?;
            kept += 1;
        }
    }
    kept = 0;
    for seed in 3_000..6_000_u64 {
        let bytes = random(seed);
        if kept < 100 && cuts::run(&bytes).outputs > 3 {
            write("cuts", kept, &bytes)?;
            kept += 1;
        }
    }
    println!("seeds are in {}", corpus.display());
    Ok(())
}

/// Bytes that are the same each time (splitmix64).
fn random(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..200 + next() % 1_000).map(|_| next() as u8).collect()
}

fn info() -> MemberInfo {
    let mut capabilities = Capabilities::new();
    capabilities.set("gpu", "2").expect("short");
    MemberInfo {
        id: NodeId::new("host-7").expect("a name"),
        incarnation: Incarnation(5),
        identity: Identity(6),
        standing: Standing::Witness,
        priority: 1,
        durable: true,
        multicast: true,
        provable: true,
        follows: false,
        outbound: false,
        addrs: vec![SocketAddr::from(([192, 0, 2, 7], 1)), SocketAddr::from(([7; 16], 1))],
        revision: 9,
        capabilities,
    }
}

use std::net::SocketAddr;

fn seat() -> Seat {
    let MemberInfo { id, identity, incarnation, priority, durable, addrs, .. } = info();
    Seat { id, identity, incarnation, priority, admitted: 4, witness: false, durable, voting: true, slot: Slot(5), addrs }
}

fn datagrams() -> Vec<Datagram> {
    let (lineage, term, slot, generation) = (Lineage(1), Term(2), Slot(3), Generation(4));
    let (incarnation, identity, index) = (Incarnation(5), Identity(6), Index(7));
    let MemberInfo { id, standing, priority, durable, addrs, .. } = info();
    let from = Sender { id, incarnation, identity, standing, priority, durable, outbound: false, addrs };
    let Seat { id, priority, voting, addrs, .. } = seat();
    let line = vec![SeatRef { id, voter: identity.tag(), incarnation, priority, voting, addr: addrs[0] }];
    let view = View { lineage, parents: vec![], term, leader: Some(identity.tag()), line_version: 8, line };
    let absorbing = View { lineage: Lineage(2), ..view.clone() };
    let probe = Probe { slot, generation, lineage: 1, token: 9 };
    let leave = Leave { lineage, slot, generation, incarnation };
    vec![
        Datagram::Heartbeat(Heartbeat {
            lineage,
            term,
            number: 9,
            commit: index,
            leader: identity.tag(),
            line_version: 8,
            said: Position { term, index },
        }),
        Datagram::Beat(Beat { slot, generation, lineage: 1, heard: 2 }),
        Datagram::Ack(Ack { lineage, term, number: 9, identity }),
        Datagram::Seek(Seek { from: from.clone(), nonce: 1, attempt: 2, lineage, term }),
        Datagram::Announce(Announce { from, nonce: 1, place: None, view: view.clone() }),
        Datagram::Join(Join { nonce: 1, lineage, heard: 2, info: info() }),
        Datagram::Registered(Registered { nonce: 1, incarnation, slot, generation, revision: 2, since: Position { term, index }, view }),
        Datagram::Refused(Refused { nonce: 1, lineage, incarnation, reason: RefuseReason::Busy, retry_ms: 2 }),
        Datagram::Probe(probe),
        Datagram::ProbeReply(probe),
        Datagram::Stranger(Stranger { slot, generation, lineage: 1 }),
        Datagram::Leave(leave),
        Datagram::Gone(leave),
        Datagram::Resigned(Resigned { lineage, term, identity }),
        Datagram::Claim(Claim {
            lineage,
            term,
            incarnation,
            number: 1,
            slot,
            generation,
            release: false,
            name: Name::new("printer").unwrap(),
        }),
        Datagram::ClaimReply(ClaimReply {
            lineage,
            term,
            incarnation,
            number: 1,
            answer: ClaimAnswer::Taken,
            owner: Some(info().id),
        }),
        Datagram::News(News {
            nonce: 0,
            lineage,
            term,
            prev: Position { term, index: Index(4) },
            commit: index,
            entries: entries()[..1].to_vec(),
        }),
        Datagram::Missed(Missed { nonce: 1, lineage, after: Position { term, index }, slot, generation }),
        Datagram::Find(Find { nonce: 1, lineage, wanted: wanted() }),
        Datagram::Found(Found { nonce: 1, lineage, total: 2, members: vec![info().id] }),
        Datagram::Broadcast(Broadcast {
            nonce: 0,
            lineage,
            term,
            prev: Position { term, index: Index(0) },
            newest: Position { term, index },
            said: vec![said()],
        }),
        Datagram::Unheard(Unheard { nonce: 1, lineage, after: Position { term, index }, slot, generation, offset: 0 }),
        Datagram::Absorbed(Absorbed {
            lineage,
            term,
            generation,
            since: Position { term, index },
            runs: vec![Run { old: slot, count: 2, new: Slot(9), generation }],
            view: absorbing,
        }),
    ]
}

fn said() -> Said {
    let place = Position { term: Term(2), index: Index(1) };
    let (data, total) = (Bytes::from_static(b"hello"), 5);
    Said { place, from: info().id, incarnation: Incarnation(3), number: 1, offset: 0, total, data }
}

fn wanted() -> Capabilities {
    let mut wanted = Capabilities::new();
    wanted.set("gpu", "2").unwrap();
    wanted
}

fn entries() -> Vec<Entry> {
    let (slot, generation, identity) = (Slot(1), Generation(2), Identity(3));
    let changes = [
        Change::Led { identity },
        Change::Joined { slot, generation, info: info() },
        Change::Updated { slot, generation, revision: 3, capabilities: info().capabilities },
        Change::Left { slot, generation, reason: LeftReason::Silent },
        Change::Seated(seat()),
        Change::Unseated { id: seat().id, identity, keep: true },
        Change::Other { kind: 200, body: Bytes::from_static(b"later") },
        Change::Claimed { slot, generation, name: Name::new("printer").unwrap() },
        Change::Released { slot, generation, name: Name::new("printer").unwrap() },
        Change::Said { slot, generation, number: 1, body: Bytes::from_static(b"hello") },
        Change::Begun(Begun { slot, generation, opened: vec![Opened { slot, generation, below: 5, numbers: vec![5, 7] }] }),
        Change::Answered(vec![Closed { slot, generation, number: 5, outcome: Outcome::Answered("yes".into()) }]),
        Change::Absorbed(merger()),
        Change::Conflict {
            lineage: Lineage(1),
            name: Name::new("printer").unwrap(),
            kept: info().id,
            lost: seat().id,
        },
    ];
    (5..).zip(changes).map(|(n, change)| Entry { index: Index(n), term: Term(2), change }).collect()
}

fn merger() -> Merger {
    
    let (since, upto) = (Position::default(), Position::default());
    Merger { lineage: Lineage(1), term: Term(2), base: Slot(3), generation: Generation(4), since, upto, count: 5 }
}

fn image() -> Image {
    let position = Position { term: Term(2), index: Index(4) };
    let slots = vec![
        SlotImage { generation: Generation(5), info: Some(info()), since: Position::default() },
        SlotImage { generation: Generation(6), info: None, since: Position::default() },
    ];
    Image {
        lineage: Lineage(1),
        parents: vec![Lineage(5)],
        position,
        line: Line::new(4, vec![seat()]),
        slots,
        departed: vec![(seat().id, Incarnation(7))],
        retired: vec![],
        ranked: vec![],
        names: vec![(Name::new("printer").unwrap(), Slot(0))],
        said_before: Position::default(),
        said: vec![said()],
        speakers: vec![(Slot(0), 1)],
        requests: vec![Ledger {
            slot: Slot(0),
            below: 5,
            requests: vec![
                (5, Stage::Begun(Slot(0), Generation(5))),
                (6, Stage::Done(Outcome::Answered("yes".into()))),
                (7, Stage::Done(Outcome::Unknown(Lost::Gone))),
            ],
        }],
        absorbed: vec![merger()],
    }
}

fn messages() -> Vec<Message> {
    let (lineage, term, identity, index, round) = (Lineage(1), Term(2), Identity(3), Index(4), 6);
    let position = Position { term, index };
    let probe = ProbeFor { slot: Slot(1), generation: Generation(2), addr: info().addrs[0] };
    let data = encode_image(&image());
    vec![
        Message::Hello(Hello { convention: "site".into(), lineage, parents: vec![Lineage(5)], term, info: info() }),
        Message::Propose(Propose { lineage, round, term, seats: vec![seat()] }),
        Message::ProposeReply(ProposeReply { lineage, round, accepted: true, durable: true, term }),
        Message::Release(Release { lineage }),
        Message::Canvass(Canvass { lineage, term, position, line_version: 5, round }),
        Message::CanvassReply(CanvassReply { lineage, round, term, granted: true, wait_us: 5, position }),
        Message::Bid(Bid { lineage, term, position, blessing: Some(term) }),
        Message::BidReply(BidReply { lineage, term, granted: true, promised: term, position }),
        Message::Fetch(Fetch { lineage, term, after: position }),
        Message::Append(Append { lineage, term, prev: position, commit: index, fetched: true, entries: entries() }),
        Message::Snapshot(Snapshot {
            lineage,
            term,
            position,
            fetched: true,
            offset: 0,
            total: data.len() as u32,
            data,
        }),
        Message::AppendReply(AppendReply { lineage, term, identity, matched: true, index }),
        Message::Overruled(Overruled { lineage, term }),
        Message::Resigned(Resigned { lineage, term, identity }),
        Message::ProbeFor(probe),
        Message::ProbeResult(probe),
        Message::Ping(1),
        Message::Pong(1),
        Message::Bless(Bless { lineage, term, identity, heir: Identity(4) }),
        Message::Invite(Invite { lineage, term, round: 5 }),
        Message::InviteReply(InviteReply { lineage, term, round: 5, able: true }),
        Message::Follow(Follow {
            convention: "site".into(),
            lineage,
            incarnation: Incarnation(5),
            after: position,
            slot: Slot(1),
            generation: Generation(2),
        }),
        Message::TurnedAway(TurnedAway { lineage }),
        Message::Offer(Offer { lineage, term, candidates: 3, number: 4, asks: false }),
        Message::Bequest(Bequest {
            lineage,
            into: Lineage(2),
            term,
            position,
            number: 5,
            candidates: 3,
            offset: 0,
            total: 5,
            data: Bytes::from_static(b"image"),
        }),
        Message::BequestReply(BequestReply { lineage, into: Lineage(2), number: 4, offset: 5, void: false }),
        Message::Ended(Ended {
            lineage,
            into: Lineage(2),
            parents: vec![Lineage(5)],
            term,
            leader: identity.tag(),
            line_version: 6,
            number: 7,
            base: Slot(8),
            generation: Generation(9),
            since: position,
            upto: position,
            seats: vec![seat()],
        }),
        Message::Circuit(Circuit::Call(Call { number: 2, lineage, id: info().id })),
        Message::Circuit(Circuit::Ring(Ring { number: 3, lineage, credit: 1 << 16, from: caller() })),
        Message::Circuit(Circuit::Answered(Answered { number: 3, relay: false, outcome: CallOutcome::Taken, credit: 0 })),
        Message::Circuit(Circuit::Carried(Carried { number: 3, relay: true, data: Bytes::from_static(b"data") })),
        Message::Circuit(Circuit::More(More { number: 2, credit: 1 << 17 })),
        Message::Circuit(Circuit::HangUp(HangUp { number: 3, relay: true })),
    ]
}

fn caller() -> Sender {
    let MemberInfo { id, incarnation, identity, priority, durable, addrs, .. } = info();
    Sender { id, incarnation, identity, standing: Standing::Member, priority, durable, outbound: true, addrs }
}

fn records() -> Vec<Record> {
    let promise = Promise {
        founder: None,
        identity: Identity(1),
        incarnation: Incarnation(2),
        lineage: Lineage(3),
        term: Term(4),
        granted: Some(Identity(5)),
        seen: Term(6),
        ..Promise::default()
    };
    entries().into_iter().map(Record::Entry).chain([Record::Promise(promise), Record::Image(image())]).collect()
}
