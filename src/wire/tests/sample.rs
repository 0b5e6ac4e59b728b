//! One of each kind, and strategies for all of them.

use super::*;
use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::net::SocketAddr;

pub(super) fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

fn wanted(key: &str, value: &str) -> Capabilities {
    let mut wanted = Capabilities::new();
    wanted.set(key, value).unwrap();
    wanted
}

fn position(term: u64, index: u64) -> Position {
    Position { term: Term(term), index: Index(index) }
}

fn sender() -> Sender {
    Sender {
        id: id("host-7"),
        incarnation: Incarnation(0x0102_0304_0506_0708),
        identity: Identity(0x1112_1314_1516_1718),
        standing: Standing::Candidate,
        priority: -2,
        durable: true,
        outbound: false,
        addrs: vec!["192.0.2.7:1919".parse().unwrap()],
    }
}

pub(super) fn info() -> MemberInfo {
    let mut capabilities = Capabilities::new();
    capabilities.set("gpu", "2").unwrap();
    capabilities.set("zone", "").unwrap();
    MemberInfo {
        id: id("host-7"),
        incarnation: Incarnation(5),
        identity: Identity(6),
        standing: Standing::Witness,
        priority: 1,
        durable: false,
        multicast: true,
        provable: true,
        follows: false,
        outbound: false,
        addrs: vec!["192.0.2.7:1919".parse().unwrap(), "[2001:db8::7]:1920".parse().unwrap()],
        revision: 9,
        capabilities,
    }
}

pub(super) fn seat() -> Seat {
    Seat {
        id: id("a"),
        identity: Identity(0xA),
        incarnation: Incarnation(0xB),
        priority: 3,
        admitted: 4,
        witness: false,
        durable: false,
        voting: true,
        slot: Slot(5),
        addrs: vec!["192.0.2.1:1".parse().unwrap()],
    }
}

fn view() -> View {
    let seat = |name: &str, slot| SeatRef {
        id: id(name),
        voter: VoterTag(slot),
        incarnation: Incarnation(7),
        priority: 0,
        voting: slot == 1,
        addr: "192.0.2.1:1".parse().unwrap(),
    };
    View {
        lineage: Lineage(2),
        parents: vec![],
        term: Term(3),
        leader: Some(VoterTag(1)),
        line_version: 4,
        line: vec![seat("a", 1), seat("b", 2)],
    }
}

/// One of each kind of datagram, in the order of the kinds.
pub(super) fn datagrams() -> Vec<Datagram> {
    let probe = Probe { slot: Slot(1), generation: Generation(2), lineage: 3, token: 4 };
    let leave = Leave { lineage: Lineage(1), slot: Slot(2), generation: Generation(3), incarnation: Incarnation(4) };
    vec![
        Datagram::Heartbeat(Heartbeat {
            lineage: Lineage(0x0102_0304_0506_0708),
            term: Term(9),
            number: 10,
            commit: Index(11),
            leader: VoterTag(12),
            line_version: 13,
            said: position(14, 15),
        }),
        Datagram::Beat(Beat { slot: Slot(1), generation: Generation(2), lineage: 3, heard: 4 }),
        Datagram::Ack(Ack { lineage: Lineage(1), term: Term(2), number: 3, identity: Identity(4) }),
        Datagram::Seek(Seek { from: sender(), nonce: 1, attempt: 2, lineage: Lineage(3), term: Term(4) }),
        Datagram::Announce(Announce { from: sender(), nonce: 1, place: None, view: view() }),
        Datagram::Join(Join { nonce: 1, lineage: Lineage(2), heard: 3, info: info() }),
        Datagram::Registered(Registered {
            nonce: 1,
            incarnation: Incarnation(2),
            slot: Slot(3),
            generation: Generation(4),
            revision: 5,
            since: position(6, 7),
            view: View { leader: None, ..view() },
        }),
        Datagram::Refused(Refused {
            nonce: 1,
            lineage: Lineage(2),
            incarnation: Incarnation(3),
            reason: RefuseReason::Busy,
            retry_ms: 5,
        }),
        Datagram::Probe(probe),
        Datagram::ProbeReply(probe),
        Datagram::Stranger(Stranger { slot: Slot(1), generation: Generation(2), lineage: 3 }),
        Datagram::Leave(leave),
        Datagram::Gone(leave),
        Datagram::Resigned(Resigned { lineage: Lineage(1), term: Term(2), identity: Identity(3) }),
        Datagram::Announce(Announce {
            from: sender(),
            nonce: 1,
            place: Some(Place { slot: Slot(5), generation: Generation(6), revision: 7 }),
            view: View { parents: vec![Lineage(8)], ..view() },
        }),
        Datagram::Note(Note {
            lineage: Lineage(1),
            from: id("a"),
            incarnation: Incarnation(2),
            to: Incarnation(3),
            body: Bytes::from_static(b"hello"),
        }),
        Datagram::WhereIs(WhereIs { nonce: 1, lineage: Lineage(2), id: id("a") }),
        Datagram::Whereabouts(Whereabouts {
            nonce: 1,
            lineage: Lineage(2),
            id: id("host-7"),
            found: Some(sender()),
            leads: true,
        }),
        Datagram::Claim(Claim {
            lineage: Lineage(1),
            term: Term(2),
            incarnation: Incarnation(3),
            number: 4,
            slot: Slot(5),
            generation: Generation(6),
            release: true,
            name: name("printer"),
        }),
        Datagram::ClaimReply(ClaimReply {
            lineage: Lineage(1),
            term: Term(2),
            incarnation: Incarnation(3),
            number: 4,
            answer: ClaimAnswer::Taken,
            owner: Some(id("a")),
        }),
        Datagram::News(News {
            nonce: 1,
            lineage: Lineage(2),
            term: Term(3),
            prev: position(2, 4),
            commit: Index(9),
            entries: entries(5)[..1].to_vec(),
        }),
        Datagram::Missed(Missed {
            nonce: 1,
            lineage: Lineage(2),
            after: position(3, 4),
            slot: Slot(5),
            generation: Generation(6),
        }),
        Datagram::Find(Find { nonce: 1, lineage: Lineage(2), wanted: wanted("gpu", "2") }),
        Datagram::Found(Found { nonce: 1, lineage: Lineage(2), total: 3, members: vec![id("a"), id("b")] }),
        Datagram::Broadcast(Broadcast {
            nonce: 1,
            lineage: Lineage(2),
            term: Term(3),
            prev: position(4, 5),
            newest: position(4, 9),
            said: vec![said(6, b"hello"), said(7, b"")],
        }),
        Datagram::Unheard(Unheard {
            nonce: 1,
            lineage: Lineage(2),
            after: position(3, 4),
            slot: Slot(5),
            generation: Generation(6),
            offset: 2_000,
        }),
        Datagram::Absorbed(Absorbed {
            lineage: Lineage(1),
            term: Term(2),
            generation: Generation(3),
            since: position(4, 5),
            runs: vec![Run { old: Slot(4), count: 5, new: Slot(6), generation: Generation(3) }],
            view: view(),
        }),
    ]
}

/// A whole broadcast, the index-th one.
pub(super) fn said(index: u64, body: &'static [u8]) -> Said {
    let (total, data) = (body.len() as u32, Bytes::from_static(body));
    let place = position(4, index);
    Said { place, from: id("a"), incarnation: Incarnation(8), number: index + 3, offset: 0, total, data }
}

/// One of each kind of change, in the order of the kinds, as consecutive entries from `first` on.
pub(super) fn entries(first: u64) -> Vec<Entry> {
    let (slot, generation) = (Slot(1), Generation(2));
    let changes = [
        Change::Led { identity: Identity(3) },
        Change::Joined { slot, generation, info: info() },
        Change::Updated { slot, generation, revision: 3, capabilities: info().capabilities },
        Change::Left { slot, generation, reason: LeftReason::Silent },
        Change::Seated(seat()),
        Change::Unseated { id: id("a"), identity: Identity(3), keep: true },
        Change::Other { kind: 200, body: Bytes::from_static(b"later") },
        // What came later stands last, so that what was before keeps its bytes.
        Change::Retired { id: id("a") },
        Change::Ranked { id: id("a"), priority: -4 },
        Change::Restood {
            slot,
            generation,
            revision: 9,
            standing: crate::types::Standing::Witness,
            identity: Identity(3),
        },
        Change::Claimed { slot, generation, name: name("printer") },
        Change::Released { slot, generation, name: name("printer") },
        Change::Said { slot, generation, number: 9, body: Bytes::from_static(b"hello") },
        Change::Absorbed(merger()),
        Change::Conflict { lineage: Lineage(1), name: name("printer"), kept: id("a"), lost: id("b") },
    ];
    (first..).zip(changes).map(|(index, change)| Entry { index: Index(index), term: Term(2), change }).collect()
}

/// One of each kind of message, in the order of the kinds.
pub(super) fn messages() -> Vec<Message> {
    let (lineage, term) = (Lineage(1), Term(2));
    let position = position(3, 4);
    let probe = ProbeFor { slot: Slot(1), generation: Generation(2), addr: "[2001:db8::7]:1920".parse().unwrap() };
    let rest = vec![
        Message::Hello(Hello { convention: "site".into(), lineage, parents: vec![], term, info: info() }),
        Message::Propose(Propose { lineage, round: 3, term, seats: vec![seat()] }),
        Message::ProposeReply(ProposeReply { lineage, round: 3, accepted: true, durable: true, term }),
        Message::Release(Release { lineage }),
        Message::Canvass(Canvass { lineage, term, position, line_version: 5, round: 6 }),
        Message::CanvassReply(CanvassReply { lineage, round: 6, term, granted: true, wait_us: 5, position }),
        Message::Bid(Bid { lineage, term, position, blessing: Some(Term(5)) }),
        Message::BidReply(BidReply { lineage, term, granted: true, promised: Term(5), position }),
        Message::Fetch(Fetch { lineage, term, after: position }),
        Message::Append(Append {
            lineage,
            term,
            prev: position,
            commit: Index(4),
            fetched: true,
            entries: entries(5)[..7].to_vec(),
        }),
        Message::Snapshot(Snapshot {
            lineage,
            term,
            position,
            fetched: false,
            offset: 5,
            total: 10,
            data: Bytes::from_static(b"image"),
        }),
        Message::AppendReply(AppendReply { lineage, term, identity: Identity(3), matched: true, index: Index(4) }),
        Message::Overruled(Overruled { lineage, term }),
        Message::Resigned(Resigned { lineage, term, identity: Identity(3) }),
        Message::ProbeFor(probe),
        Message::ProbeResult(probe),
        Message::Ping(1),
        Message::Pong(1),
        Message::Bless(Bless { lineage, term, identity: Identity(3), heir: Identity(4) }),
        Message::Invite(Invite { lineage, term, round: 5 }),
        Message::InviteReply(InviteReply { lineage, term, round: 5, able: true }),
        Message::Muster(Muster {
            lineage,
            term,
            position,
            sealed: true,
            voters: vec![seat(), seat()],
            gone: vec![Identity(5)],
        }),
        Message::Recover(Recover {
            lineage,
            parent: Lineage(3),
            term,
            voters: vec![Identity(4)],
            gone: vec![Identity(5), Identity(6)],
        }),
        Message::RecoverReply(RecoverReply { lineage, term, granted: true, seen: Term(5), position }),
        Message::Hello(Hello {
            convention: "site".into(),
            lineage,
            parents: vec![Lineage(3), Lineage(4)],
            term,
            info: info(),
        }),
        Message::Elsewhere(Hello { convention: "site".into(), lineage, parents: vec![], term, info: info() }),
        Message::Open(Open { incarnation: Incarnation(1), to: Incarnation(2), base: 3 }),
        Message::Resume(Resume { incarnation: Incarnation(1), have: 2, credit: 3 }),
        Message::Data(Data { number: 1, offset: 2, records: Bytes::from_static(b"\0\0\0\x05hello") }),
        Message::Taken(Taken { number: 1, credit: 2 }),
        Message::Declined(Declined { number: 1, reason: DeclineReason::TooLarge }),
        Message::Follow(Follow {
            convention: "site".into(),
            lineage,
            incarnation: Incarnation(3),
            after: position,
            slot: Slot(5),
            generation: Generation(6),
        }),
        Message::TurnedAway(TurnedAway { lineage }),
        Message::Offer(Offer { lineage, term, candidates: 3, number: 4, asks: true }),
        Message::Bequest(Bequest {
            lineage,
            into: Lineage(3),
            term,
            position,
            number: 5,
            candidates: 6,
            offset: 5,
            total: 10,
            data: Bytes::from_static(b"image"),
        }),
        Message::BequestReply(BequestReply { lineage, into: Lineage(3), number: 4, offset: 5, void: true }),
        Message::Ended(Ended {
            lineage,
            into: Lineage(3),
            parents: vec![Lineage(4)],
            term,
            leader: VoterTag(5),
            line_version: 6,
            number: 7,
            base: Slot(8),
            generation: Generation(9),
            since: Position { term: Term(10), index: Index(11) },
            upto: Position { term: Term(12), index: Index(13) },
            seats: vec![seat()],
        }),
    ];
    [rest, circuits(lineage)].concat()
}

fn circuits(lineage: Lineage) -> Vec<Message> {
    vec![
        Message::Circuit(Circuit::Call(Call { number: 2, lineage, id: id("a") })),
        Message::Circuit(Circuit::Ring(Ring {
            number: 3,
            lineage,
            credit: 4,
            from: Sender { outbound: true, ..sender() },
        })),
        Message::Circuit(Circuit::Answered(Answered {
            number: 3,
            relay: true,
            outcome: CallOutcome::DialledBack,
            credit: 4,
        })),
        Message::Circuit(Circuit::Carried(Carried { number: 3, relay: true, data: Bytes::from_static(b"hello") })),
        Message::Circuit(Circuit::More(More { number: 3, credit: 4 })),
        Message::Circuit(Circuit::HangUp(HangUp { number: 3, relay: true })),
        Message::Leads(view()),
        Message::Note(Note {
            lineage,
            from: id("a"),
            incarnation: Incarnation(2),
            to: Incarnation(3),
            body: Bytes::from_static(b"hello"),
        }),
    ]
}

fn merger() -> Merger {
    Merger {
        lineage: Lineage(1),
        term: Term(2),
        base: Slot(3),
        generation: Generation(4),
        since: position(6, 7),
        upto: position(8, 9),
        count: 5,
    }
}

pub(super) fn image() -> Image {
    Image {
        lineage: Lineage(1),
        parents: vec![],
        position: position(2, 3),
        line: Line::new(4, vec![seat(), Seat { id: id("b"), priority: 9, ..seat() }]),
        slots: vec![
            SlotImage { generation: Generation(5), info: Some(info()), since: Position::default() },
            SlotImage { generation: Generation(6), info: None, since: Position::default() },
        ],
        departed: vec![(id("c"), Incarnation(7))],
        retired: vec![],
        ranked: vec![],
        names: vec![],
        said_before: Position::default(),
        said: vec![],
        speakers: vec![],
        requests: vec![],
        absorbed: vec![],
    }
}

/// One of each kind of record, in the order of the kinds.
pub(super) fn records() -> Vec<Record> {
    vec![
        Record::Promise(Promise {
            identity: Identity(1),
            incarnation: Incarnation(2),
            lineage: Lineage(3),
            term: Term(4),
            granted: Some(Identity(5)),
            seen: Term(6),
            sealed: false,
            founder: None,
            party: vec![],
            former: Lineage::ZERO,
        }),
        Record::Promise(Promise { founder: Some(Identity(7)), ..Promise::default() }),
        Record::Promise(Promise {
            founder: Some(Identity(7)),
            party: image().line.seats().to_vec(),
            ..Promise::default()
        }),
        Record::Promise(Promise { former: Lineage(8), ..Promise::default() }),
        Record::Entry(entries(1).remove(0)),
        Record::Image(image()),
        Record::Promise(Promise { granted: Some(Identity(5)), sealed: true, ..Promise::default() }),
        Record::Image(Image { parents: vec![Lineage(3)], ..Image::default() }),
        Record::Image(Image { names: vec![(name("printer"), Slot(0)), (name("scanner"), Slot(0))], ..image() }),
        Record::Image(Image {
            slots: vec![SlotImage { generation: Generation(5), info: Some(info()), since: position(3, 4) }],
            said_before: position(3, 5),
            said: vec![said(6, b"hello"), said(7, b"")],
            speakers: vec![(Slot(0), 10)],
            ..image()
        }),
        Record::Image(Image { absorbed: vec![merger()], ..Image::default() }),
    ]
}

// Strategies.

fn any_id() -> impl Strategy<Value = NodeId> {
    "[a-z0-9é-]{1,31}".prop_map(|name| id(&name))
}

fn any_addr() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        (any::<[u8; 4]>(), any::<u16>()).prop_map(SocketAddr::from),
        (any::<[u8; 16]>(), any::<u16>()).prop_map(SocketAddr::from),
    ]
}

fn any_addrs() -> impl Strategy<Value = Vec<SocketAddr>> {
    vec(any_addr(), 1..=MAX_ADDRS)
}

fn any_standing() -> impl Strategy<Value = Standing> {
    prop_oneof![Just(Standing::Member), Just(Standing::Candidate), Just(Standing::Witness)]
}

fn any_capabilities() -> impl Strategy<Value = Capabilities> {
    vec(("[a-z]{1,64}", "[a-zé]{0,100}"), 0..8).prop_map(|pairs| {
        let mut capabilities = Capabilities::new();
        for (key, value) in pairs {
            // What is too much is left out: the bound has tests of its own.
            let _ = capabilities.set(&key, &value);
        }
        capabilities
    })
}

fn any_position() -> impl Strategy<Value = Position> {
    any::<(u64, u64)>().prop_map(|(term, index)| position(term >> 1, index >> 1))
}

fn any_sender() -> impl Strategy<Value = Sender> {
    (any_id(), any::<(u64, u64, i32, bool, bool)>(), any_standing(), any_addrs()).prop_map(
        |(id, (incarnation, identity, priority, durable, outbound), standing, addrs)| Sender {
            id,
            incarnation: Incarnation(incarnation >> 1),
            identity: Identity(identity),
            standing,
            priority,
            durable,
            outbound,
            addrs,
        },
    )
}

pub(super) fn any_info() -> impl Strategy<Value = MemberInfo> {
    (any_sender(), any_capabilities(), any::<(bool, bool, bool, u32)>()).prop_map(
        |(s, capabilities, (multicast, provable, follows, revision))| MemberInfo {
            id: s.id,
            incarnation: s.incarnation,
            identity: s.identity,
            standing: s.standing,
            priority: s.priority,
            durable: s.durable,
            multicast,
            provable,
            follows,
            outbound: s.outbound,
            addrs: s.addrs,
            revision,
            capabilities,
        },
    )
}

fn any_seat() -> impl Strategy<Value = Seat> {
    (any_sender(), any::<(u32, u32, bool, bool)>()).prop_map(|(s, (admitted, slot, witness, voting))| Seat {
        durable: s.durable,
        id: s.id,
        identity: s.identity,
        incarnation: s.incarnation,
        priority: s.priority,
        admitted,
        witness,
        voting,
        slot: Slot(slot),
        addrs: s.addrs,
    })
}

fn any_seats(max: usize) -> impl Strategy<Value = Vec<Seat>> {
    vec(any_seat(), 0..=max).prop_map(|seats| {
        let mut once = Vec::<Seat>::new();
        for seat in seats {
            if once.iter().all(|s| s.id != seat.id) {
                once.push(seat);
            }
        }
        once
    })
}

fn any_view() -> impl Strategy<Value = View> {
    (any::<(u64, u64, Option<u32>, u32)>(), any_seats(4)).prop_map(|((lineage, term, leader, line_version), seats)| {
        let seat = |s: Seat| SeatRef {
            id: s.id,
            voter: VoterTag(s.slot.0),
            incarnation: s.incarnation,
            priority: s.priority,
            voting: s.voting,
            addr: s.addrs[0],
        };
        View {
            lineage: Lineage(lineage),
            parents: parents(lineage),
            term: Term(term >> 1),
            leader: leader.map(VoterTag),
            line_version,
            line: seats.into_iter().map(seat).collect(),
        }
    })
}

/// Up to as many parents as a lineage names.
fn parents(n: u64) -> Vec<Lineage> {
    (0..n % (MAX_PARENTS as u64 + 1)).map(|i| Lineage(n ^ i)).collect()
}

fn any_leave() -> impl Strategy<Value = Leave> {
    any::<(u64, u32, u16, u64)>().prop_map(|(lineage, slot, generation, incarnation)| Leave {
        lineage: Lineage(lineage),
        slot: Slot(slot),
        generation: Generation(generation),
        incarnation: Incarnation(incarnation >> 1),
    })
}

fn any_resigned() -> impl Strategy<Value = Resigned> {
    any::<(u64, u64, u64)>().prop_map(|(lineage, term, identity)| Resigned {
        lineage: Lineage(lineage),
        term: Term(term >> 1),
        identity: Identity(identity),
    })
}

fn any_small_datagram() -> impl Strategy<Value = Datagram> {
    let probe = || {
        any::<(u32, u16, u32, u16)>().prop_map(|(slot, generation, lineage, token)| Probe {
            slot: Slot(slot),
            generation: Generation(generation),
            lineage,
            token,
        })
    };
    prop_oneof![
        any::<(u64, u64, u32, u64, u32, u16)>().prop_map(|(l, t, number, c, s, line_version)| Datagram::Heartbeat(
            Heartbeat {
                said: position(c >> 3, t >> 2),
                lineage: Lineage(l),
                term: Term(t >> 1),
                number,
                commit: Index(c >> 1),
                leader: VoterTag(s),
                line_version
            }
        )),
        any::<(u32, u16, u32, u16)>().prop_map(|(s, g, lineage, heard)| Datagram::Beat(Beat {
            slot: Slot(s),
            generation: Generation(g),
            lineage,
            heard
        })),
        any::<(u64, u64, u32, u64)>().prop_map(|(l, t, number, i)| Datagram::Ack(Ack {
            lineage: Lineage(l),
            term: Term(t >> 1),
            number,
            identity: Identity(i)
        })),
        any::<(u64, u64, u64, u8, u32)>().prop_map(|(nonce, l, i, code, retry_ms)| Datagram::Refused(Refused {
            nonce,
            lineage: Lineage(l),
            incarnation: Incarnation(i >> 1),
            reason: match code {
                1 => RefuseReason::Superseded,
                2 => RefuseReason::Departed,
                3 => RefuseReason::Full,
                4 => RefuseReason::Busy,
                other => RefuseReason::Other(other),
            },
            retry_ms
        })),
        probe().prop_map(Datagram::Probe),
        probe().prop_map(Datagram::ProbeReply),
        any::<(u32, u16, u32)>().prop_map(|(s, g, lineage)| Datagram::Stranger(Stranger {
            slot: Slot(s),
            generation: Generation(g),
            lineage
        })),
        any_leave().prop_map(Datagram::Leave),
        any_leave().prop_map(Datagram::Gone),
        any_resigned().prop_map(Datagram::Resigned),
    ]
}

fn any_name() -> impl Strategy<Value = Name> {
    "[a-z0-9é-]{1,31}".prop_map(|n| name(&n))
}

fn any_request() -> impl Strategy<Value = Datagram> {
    let place = || any::<(u32, u16)>().prop_map(|(s, g)| (Slot(s), Generation(g)));
    prop_oneof![
        (any::<(u64, u64, u64, u32, bool)>(), place(), any_name()).prop_map(
            |((l, t, i, number, release), (slot, generation), name)| {
                let (lineage, term, incarnation) = (Lineage(l), Term(t >> 1), Incarnation(i >> 1));
                Datagram::Claim(Claim { lineage, term, incarnation, number, slot, generation, release, name })
            }
        ),
        (any::<(u64, u64, u64, u32, u8)>(), option::of(any_id())).prop_map(|((l, t, i, number, answer), owner)| {
            let (lineage, term, incarnation) = (Lineage(l), Term(t >> 1), Incarnation(i >> 1));
            let known = [ClaimAnswer::Yours, ClaimAnswer::Released, ClaimAnswer::Taken, ClaimAnswer::TooMany];
            let answer = known.get(usize::from(answer)).copied().unwrap_or(ClaimAnswer::Other(answer.max(5)));
            Datagram::ClaimReply(ClaimReply { lineage, term, incarnation, number, answer, owner })
        }),
        (any::<(u64, u64, u64, u32)>(), vec(any_entry(), 0..2), 0..9_u64).prop_map(
            |((nonce, l, t, first), mut entries, more)| {
                entries.retain(|e| entry_len(e) < MAX_NEWS_BYTES / 2);
                (u64::from(first)..).zip(&mut entries).for_each(|(at, entry)| entry.index = Index(at + 1));
                Datagram::News(News {
                    nonce,
                    lineage: Lineage(l),
                    term: Term(t >> 1),
                    prev: position(t >> 2, first.into()),
                    commit: Index(u64::from(first) + entries.len() as u64 + more),
                    entries,
                })
            }
        ),
        (any::<(u64, u64)>(), any_position(), place()).prop_map(|((nonce, l), after, (slot, generation))| {
            Datagram::Missed(Missed { nonce, lineage: Lineage(l), after, slot, generation })
        }),
        (any::<(u64, u64)>(), "[a-z]{1,64}", "[a-zé]{0,100}").prop_map(|((nonce, l), key, value)| {
            Datagram::Find(Find { nonce, lineage: Lineage(l), wanted: wanted(&key, &value) })
        }),
        (any::<(u64, u64, u32)>(), vec(any_id(), 0..9)).prop_map(|((nonce, l, total), members)| {
            Datagram::Found(Found { nonce, lineage: Lineage(l), total, members })
        }),
        (any::<(u64, u64, u64)>(), any_position(), any_pieces()).prop_map(|((nonce, l, t), newest, said)| {
            let first = said.first().map_or(position(2, 3), |s: &Said| s.place);
            let (prev, last) = (position(0, first.index.0 - 1), said.last().map_or(first, |s| s.place));
            let newest = newest.max(last);
            Datagram::Broadcast(Broadcast { nonce, lineage: Lineage(l), term: Term(t >> 1), prev, newest, said })
        }),
        (any::<(u64, u64, u32)>(), any_position(), place()).prop_map(
            |((nonce, l, offset), after, (slot, generation))| {
                Datagram::Unheard(Unheard { nonce, lineage: Lineage(l), after, slot, generation, offset })
            }
        ),
    ]
}

pub(super) fn any_datagram() -> impl Strategy<Value = Datagram> {
    prop_oneof![
        2 => any_small_datagram(),
        1 => any_message_datagram(),
        1 => any_request(),
        1 => (any_sender(), any::<(u64, u16, u64, u64)>()).prop_map(|(from, (nonce, attempt, l, t))| {
            Datagram::Seek(Seek { from, nonce, attempt, lineage: Lineage(l), term: Term(t >> 1) })
        }),
        1 => (any_sender(), any::<u64>(), any_view())
            .prop_map(|(from, nonce, view)| {
                let (slot, generation) = (Slot(nonce as u32), Generation(nonce as u16));
                let place = (nonce & 1 == 1).then_some(Place { slot, generation, revision: 7 });
                Datagram::Announce(Announce { from, nonce, place, view })
            }),
        1 => (any_info(), any::<(u64, u64, u16)>())
            .prop_map(|(info, (nonce, l, heard))| Datagram::Join(Join { nonce, lineage: Lineage(l), heard, info })),
        1 => (any::<(u64, u64, u32, u16, u32)>(), any_view()).prop_map(|((nonce, i, s, g, revision), view)| {
            Datagram::Registered(Registered {
                nonce,
                since: if s & 1 == 0 { Position::default() } else { position(i >> 2, 7) },
                incarnation: Incarnation(i >> 1),
                slot: Slot(s),
                generation: Generation(g),
                revision,
                view,
            })
        }),
    ]
}

/// What is left of one that is too large for a datagram, and small ones behind it.
fn any_pieces() -> impl Strategy<Value = Vec<Said>> {
    (any_id(), any::<(u16, u64, u64)>(), vec(0..40_usize, 0..4)).prop_map(|(from, (first, i, number), lens)| {
        let mut all = Vec::new();
        for (at, len) in lens.into_iter().enumerate() {
            let offset = if at == 0 { usize::from(first % 3) * BROADCAST_PIECE } else { 0 };
            let len = if offset > 0 { len.max(1) } else { len };
            all.push(Said {
                place: position(u64::from(first), u64::from(first) + 1 + at as u64),
                from: from.clone(),
                incarnation: Incarnation(i >> 1),
                number: number >> 1,
                offset: offset as u32,
                total: (offset + len) as u32,
                data: Bytes::from(vec![7; len]),
            });
        }
        all
    })
}

fn any_change() -> impl Strategy<Value = Change> {
    let owner = || any::<(u32, u16)>().prop_map(|(s, g)| (Slot(s), Generation(g)));
    let reason = prop_oneof![
        Just(LeftReason::Left),
        Just(LeftReason::Crashed),
        Just(LeftReason::Silent),
        Just(LeftReason::Replaced)
    ];
    prop_oneof![
        any::<u64>().prop_map(|i| Change::Led { identity: Identity(i) }),
        (owner(), any_info()).prop_map(|((slot, generation), info)| Change::Joined { slot, generation, info }),
        (owner(), any::<u32>(), any_capabilities()).prop_map(|((slot, generation), revision, capabilities)| {
            Change::Updated { slot, generation, revision, capabilities }
        }),
        (owner(), reason).prop_map(|((slot, generation), reason)| Change::Left { slot, generation, reason }),
        any_seat().prop_map(Change::Seated),
        (any_id(), any::<(u64, bool)>()).prop_map(|(id, (i, keep))| Change::Unseated {
            id,
            identity: Identity(i),
            keep
        }),
        any_id().prop_map(|id| Change::Retired { id }),
        (any_id(), any::<i32>()).prop_map(|(id, priority)| Change::Ranked { id, priority }),
        (owner(), any::<(u32, u64)>()).prop_map(|((slot, generation), (revision, i))| Change::Restood {
            slot,
            generation,
            revision,
            standing: crate::types::Standing::Candidate,
            identity: Identity(i),
        }),
        (owner(), any_name()).prop_map(|((slot, generation), name)| Change::Claimed { slot, generation, name }),
        (owner(), any_name()).prop_map(|((slot, generation), name)| Change::Released { slot, generation, name }),
        super::asking::any_begun().prop_map(Change::Begun),
        vec(super::asking::any_closed(), 0..4).prop_map(Change::Answered),
        (owner(), any::<u64>(), vec(any::<u8>(), 0..200)).prop_map(|((slot, generation), number, body)| Change::Said {
            slot,
            generation,
            number: number >> 1,
            body: body.into(),
        }),
        (owner(), any::<(u64, u64, u32)>()).prop_map(|((base, generation), (l, t, count))| {
            let (lineage, term) = (Lineage(l), Term(t >> 1));
            let (since, upto) = (position(l >> 1, t >> 1), position(t >> 1, l >> 1));
            Change::Absorbed(Merger { lineage, term, base, generation, since, upto, count })
        }),
        (any::<u64>(), any_name(), any_id(), any_id()).prop_map(|(l, name, kept, lost)| Change::Conflict {
            lineage: Lineage(l),
            name,
            kept,
            lost
        }),
        (60..=u8::MAX, vec(any::<u8>(), 0..40)).prop_map(|(kind, body)| Change::Other { kind, body: body.into() }),
    ]
}

pub(super) fn any_entry() -> impl Strategy<Value = Entry> {
    (any::<(u64, u64)>(), any_change()).prop_map(|((index, term), change)| Entry {
        index: Index(index >> 1),
        term: Term(term >> 1),
        change,
    })
}

pub(super) fn any_image() -> impl Strategy<Value = Image> {
    let slots = vec((any::<u16>(), option::of(any_info())), 0..5);
    let departed = vec((any_id(), any::<u64>()), 0..4);
    let (retired, ranked) = (vec((any_id(), any::<bool>()), 0..3), vec((any_id(), any::<i32>()), 0..3));
    (any::<(u64, u32)>(), any_position(), any_seats(5), slots, departed, retired, ranked).prop_map(
        |((lineage, line_version), position, seats, slots, departed, retired, ranked)| {
            let mut ids = std::collections::BTreeSet::new();
            let slots = slots.into_iter().map(|(generation, info)| SlotImage {
                generation: Generation(generation),
                info: info.filter(|i| ids.insert(i.id.clone())),
                since: if generation & 1 == 0 {
                    Position::default()
                } else {
                    Position { term: Term(3), index: Index(generation.into()) }
                },
            });
            let slots: Vec<_> = slots.collect();
            let taken = slots.iter().position(|s: &SlotImage| s.info.is_some());
            let names = taken.map(|at| (name(&format!("n{position:?}").replace(' ', "")[..8]), Slot(at as u32)));
            Image {
                lineage: Lineage(lineage),
                parents: parents(lineage),
                position,
                line: Line::new(line_version, seats),
                slots,
                names: names.into_iter().collect(),
                departed: departed.into_iter().map(|(id, i)| (id, Incarnation(i >> 1))).collect(),
                retired: retired.into_iter().map(|(id, _)| id).collect(),
                ranked,
                said_before: Position { term: Term(0), index: Index(5) },
                said: (0..lineage % 3).map(|n| said(6 + n, b"hello")).collect(),
                speakers: taken.map(|at| (Slot(at as u32), lineage >> 1)).into_iter().collect(),
                requests: taken.map(|at| super::asking::ledger_of(Slot(at as u32), lineage)).into_iter().collect(),
                absorbed: (0..line_version % 3).map(|n| Merger { count: n, ..merger() }).collect(),
            }
        },
    )
}

pub(super) fn any_record() -> impl Strategy<Value = Record> {
    prop_oneof![
        (any::<(u64, u64, u64)>(), any::<(u64, Option<u64>, u64, Option<u64>)>()).prop_map(
            |((i, n, l), (t, granted, seen, founder))| {
                Record::Promise(Promise {
                    identity: Identity(i),
                    incarnation: Incarnation(n >> 1),
                    lineage: Lineage(l),
                    term: Term(t >> 1),
                    granted: granted.map(Identity),
                    seen: Term(seen >> 1),
                    sealed: seen & 1 == 1,
                    founder: founder.map(Identity),
                    party: vec![],
                    former: Lineage(seen & t),
                })
            }
        ),
        any_entry().prop_map(Record::Entry),
        any_image().prop_map(Record::Image),
    ]
}

fn any_bulk_message() -> impl Strategy<Value = Message> {
    prop_oneof![
        ("[a-z]{1,63}", any::<(u64, u64)>(), any_info()).prop_map(|(convention, (l, t), info)| Message::Hello(Hello {
            convention,
            lineage: Lineage(l),
            parents: parents(l),
            term: Term(t >> 1),
            info
        })),
        (any::<(u64, u64, u32)>(), any_seats(MAX_SEATS)).prop_map(|((l, t, round), seats)| Message::Propose(Propose {
            lineage: Lineage(l),
            round,
            term: Term(t >> 1),
            seats
        })),
        (any::<(u64, u64)>(), any_position(), vec(any_seat(), 0..6)).prop_map(|((l, t), position, voters)| {
            let gone = parents(t).into_iter().map(|l| Identity(l.0)).collect();
            Message::Muster(Muster {
                lineage: Lineage(l),
                term: Term(t >> 1),
                position,
                sealed: l & 1 == 1,
                voters,
                gone,
            })
        }),
        (any::<(u64, u64, u64, u32, u64, bool)>(), vec(any_entry(), 0..6)).prop_map(
            |((l, t, prev_term, first, commit, fetched), mut entries)| {
                (u64::from(first)..).zip(&mut entries).for_each(|(at, entry)| entry.index = Index(at + 1));
                Message::Append(Append {
                    lineage: Lineage(l),
                    term: Term(t >> 1),
                    prev: position(prev_term >> 1, u64::from(first)),
                    commit: Index(commit >> 1),
                    fetched,
                    entries,
                })
            }
        ),
        (any::<(u64, u64, bool, u16, u16)>(), any_position(), vec(any::<u8>(), 0..3_000)).prop_map(
            |((l, t, fetched, before, after), position, data)| Message::Snapshot(Snapshot {
                lineage: Lineage(l),
                term: Term(t >> 1),
                position,
                fetched,
                offset: before.into(),
                total: u32::from(before) + u32::from(after) + data.len() as u32,
                data: data.into(),
            })
        ),
    ]
}

fn any_founding_message() -> impl Strategy<Value = Message> {
    prop_oneof![
        any::<(u64, u64, u32, bool, bool)>().prop_map(|(l, t, round, accepted, durable)| Message::ProposeReply(
            ProposeReply { lineage: Lineage(l), round, accepted, durable, term: Term(t >> 1) }
        )),
        any::<u64>().prop_map(|l| Message::Release(Release { lineage: Lineage(l) })),
        any::<u64>().prop_map(Message::Ping),
        any::<u64>().prop_map(Message::Pong),
        any::<u64>().prop_map(|l| Message::TurnedAway(TurnedAway { lineage: Lineage(l) })),
        ("[a-z]{1,63}", any::<(u64, u64, u32, u16)>(), any_position()).prop_map(|(convention, (l, n, s, g), after)| {
            Message::Follow(Follow {
                convention,
                lineage: Lineage(l),
                incarnation: Incarnation(n >> 1),
                after,
                slot: Slot(s),
                generation: Generation(g),
            })
        }),
        any_resigned().prop_map(Message::Resigned),
        any::<(u64, u64)>()
            .prop_map(|(l, t)| Message::Overruled(Overruled { lineage: Lineage(l), term: Term(t >> 1) })),
        any::<(u64, u64, u64, u64)>().prop_map(|(l, t, i, h)| {
            Message::Bless(Bless { lineage: Lineage(l), term: Term(t >> 1), identity: Identity(i), heir: Identity(h) })
        }),
        any::<(u64, u64, u32, Option<bool>)>().prop_map(|(l, t, round, reply)| {
            let (lineage, term) = (Lineage(l), Term(t >> 1));
            match reply {
                None => Message::Invite(Invite { lineage, term, round }),
                Some(able) => Message::InviteReply(InviteReply { lineage, term, round, able }),
            }
        }),
        (any::<(u32, u16, bool)>(), any_addr()).prop_map(|((s, g, result), addr)| {
            let probe = ProbeFor { slot: Slot(s), generation: Generation(g), addr };
            if result { Message::ProbeResult(probe) } else { Message::ProbeFor(probe) }
        }),
    ]
}

fn any_election_message() -> impl Strategy<Value = Message> {
    let numbers = any::<(u64, u64, u32, u32, bool, u64, Option<u64>)>();
    (0..8_u8, numbers, any_position()).prop_map(|(which, (l, t, round, line_version, yes, n, blessing), position)| {
        let (lineage, term) = (Lineage(l), Term(t >> 1));
        match which {
            0 => Message::Canvass(Canvass { lineage, term, position, line_version, round }),
            1 => Message::CanvassReply(CanvassReply { lineage, round, term, granted: yes, wait_us: n, position }),
            2 => Message::Bid(Bid { lineage, term, position, blessing: blessing.map(|t| Term(t >> 1)) }),
            3 => Message::BidReply(BidReply { lineage, term, granted: yes, promised: Term(n >> 1), position }),
            4 => Message::Fetch(Fetch { lineage, term, after: position }),
            5 => Message::RecoverReply(RecoverReply { lineage, term, granted: yes, seen: Term(n >> 1), position }),
            6 => Message::Recover(Recover {
                lineage,
                parent: Lineage(n),
                term,
                voters: parents(n).into_iter().map(|l| Identity(l.0)).collect(),
                gone: parents(l).into_iter().map(|l| Identity(l.0)).collect(),
            }),
            _ => Message::AppendReply(AppendReply {
                lineage,
                term,
                identity: Identity(n),
                matched: yes,
                index: position.index,
            }),
        }
    })
}

fn any_lane_message() -> impl Strategy<Value = Message> {
    let numbers = any::<(u64, u64, u64, u32, u8)>();
    (0..5_u8, numbers, vec(any::<u8>(), 1..2_000)).prop_map(|(which, (a, b, c, offset, code), records)| {
        let (incarnation, number) = (Incarnation(a >> 1), (a >> 1).max(1));
        match which {
            0 => Message::Open(Open { incarnation, to: Incarnation(b >> 1), base: c >> 1 }),
            1 => Message::Resume(Resume { incarnation, have: b >> 1, credit: c >> 1 }),
            2 => Message::Data(Data { number, offset, records: records.into() }),
            3 => Message::Taken(Taken { number, credit: b >> 1 }),
            _ => {
                let reason = match code {
                    1 => DeclineReason::TooLarge,
                    2 => DeclineReason::Stalled,
                    other => DeclineReason::Other(other),
                };
                Message::Declined(Declined { number, reason })
            }
        }
    })
}

fn any_circuit() -> impl Strategy<Value = Message> {
    let numbers = any::<(u64, u64, bool, u8)>();
    (0..8_u8, numbers, any_sender(), vec(any::<u8>(), 1..2_000)).prop_map(|(which, (a, b, relay, code), from, data)| {
        let (number, lineage, credit) = (a >> 1, Lineage(a), b >> 1);
        Message::Circuit(match which {
            0 => Circuit::Call(Call { number, lineage, id: from.id }),
            1 => Circuit::Ring(Ring { number, lineage, credit, from }),
            2 => {
                let known = [
                    CallOutcome::Taken,
                    CallOutcome::DialledBack,
                    CallOutcome::NotHere,
                    CallOutcome::Busy,
                    CallOutcome::Refused,
                ];
                let outcome = match code {
                    1..=5 => known[usize::from(code) - 1],
                    other => CallOutcome::Other(other),
                };
                Circuit::Answered(Answered { number, relay, outcome, credit })
            }
            3 => Circuit::Carried(Carried { number, relay, data: data.into() }),
            4 => Circuit::More(More { number, credit }),
            5 => Circuit::HangUp(HangUp { number, relay }),
            6 => return Message::Leads(View { leader: relay.then_some(VoterTag(7)), ..view() }),
            _ => {
                let (incarnation, to) = (Incarnation(a >> 1), Incarnation(b >> 1));
                let body = data[..data.len().min(MAX_NOTE)].to_vec().into();
                return Message::Note(Note { lineage, from: from.id, incarnation, to, body });
            }
        })
    })
}

fn any_message_datagram() -> impl Strategy<Value = Datagram> {
    let numbers = any::<(u64, u64, u64, bool)>();
    (0..3_u8, numbers, option::of(any_sender()), vec(any::<u8>(), 0..=MAX_NOTE)).prop_map(
        |(which, (a, b, c, leads), found, body)| match which {
            0 => Datagram::Note(Note {
                lineage: Lineage(a),
                from: id("n"),
                incarnation: Incarnation(b >> 1),
                to: Incarnation(c >> 1),
                body: body.into(),
            }),
            1 => Datagram::WhereIs(WhereIs { nonce: a, lineage: Lineage(b), id: id("n") }),
            _ => Datagram::Whereabouts(Whereabouts { nonce: a, lineage: Lineage(b), id: id("n"), found, leads }),
        },
    )
}

fn any_merger_message() -> impl Strategy<Value = Message> {
    let numbers = any::<(u64, u64, u64, u32, u32, bool)>();
    (0..4_u8, numbers, any_position(), any_seats(MAX_SEATS), vec(any::<u8>(), 0..2_000)).prop_map(
        |(which, (l, k, t, n, m, yes), position, seats, data)| {
            let (lineage, into, term) = (Lineage(l), Lineage(k), Term(t >> 1));
            match which {
                0 => Message::Offer(Offer { lineage, term, candidates: n, number: m, asks: yes }),
                1 => Message::Bequest(Bequest {
                    lineage,
                    into,
                    term,
                    position,
                    number: n,
                    candidates: m,
                    offset: n / 2,
                    total: n / 2 + data.len() as u32,
                    data: data.into(),
                }),
                2 => Message::BequestReply(BequestReply { lineage, into, number: n, offset: m, void: yes }),
                _ => Message::Ended(Ended {
                    lineage,
                    into,
                    parents: parents(k),
                    term,
                    leader: VoterTag(n),
                    line_version: m,
                    number: n,
                    base: Slot(m),
                    generation: Generation(n as u16),
                    since: position,
                    upto: position,
                    seats,
                }),
            }
        },
    )
}

pub(super) fn any_message() -> impl Strategy<Value = Message> {
    prop_oneof![
        any_bulk_message(),
        any_founding_message(),
        any_election_message(),
        any_lane_message(),
        any_merger_message(),
        any_circuit()
    ]
}
