//! Both halves of a pair against each other and against a peer that doesn't keep to the protocol.
#![allow(clippy::unwrap_used)]

use super::super::limits::cost;
use super::super::{StreamInput, StreamOutput};
use super::courier::Courier;
use super::intake::{Fault, Intake};
use super::links::Greeted;
use super::*;
use crate::types::{ConventionId, Identity, MemberInfo, Standing};
use crate::wire::{Data, DeclineReason, FrameReader, encode_message};
use bytes::{BufMut, BytesMut};

const TAG: u32 = 7;

fn incarnation(n: u64) -> Incarnation {
    Incarnation(n)
}

/// A pair over a connection that can break anywhere.
struct Pair {
    courier: Courier,
    intake: Intake,
    pool: Pool,
    wire: VecDeque<Bytes>,
    got: Vec<Bytes>,
    records: Vec<Bytes>,
}

impl Pair {
    fn new(most: usize, window: usize) -> Self {
        let mut courier = Courier::new();
        courier.rebind(Some(incarnation(2)));
        let mut pool = Pool::new(1 << 20);
        let mut intake = Intake::new(most, window);
        intake.begin(incarnation(1), &mut pool);
        Self { courier, intake, pool, wire: VecDeque::new(), got: Vec::new(), records: Vec::new() }
    }

    fn connect(&mut self) -> Vec<Record> {
        self.wire.clear();
        self.courier.detach();
        let base = self.courier.base();
        let resume = self.intake.resume(&mut self.pool, base, false);
        let lost = self.courier.resume(resume.have, resume.credit);
        for declined in self.intake.declined() {
            self.courier.declined(declined.number);
        }
        lost
    }

    fn send(&mut self) -> bool {
        let can = self.courier.can_send();
        if can {
            let frame = self.courier.frame(TAG);
            self.courier.written(frame.len());
            self.wire.push_back(frame);
        }
        can
    }

    fn receive(&mut self) -> bool {
        let Some(bytes) = self.wire.pop_front() else { return false };
        let mut reader = FrameReader::new();
        reader.push(&bytes);
        let Some(Message::Data(data)) = reader.next(TAG).unwrap() else { panic!() };
        for declined in self.intake.data(Time::ZERO, data, &mut self.pool, false).unwrap() {
            self.courier.declined(declined.number).unwrap();
        }
        self.records.extend(std::iter::from_fn(|| self.intake.take_record()).map(|r| r.body));
        true
    }

    fn take(&mut self) -> bool {
        let body = self.intake.take(&mut self.pool);
        self.got.extend(body.clone());
        self.intake.top_up(&mut self.pool);
        let news = self.intake.news(true);
        if let Some(taken) = news {
            self.courier.taken(taken.number, taken.credit);
        }
        body.is_some() || news.is_some()
    }

    fn settle(&mut self) {
        while self.send() | self.receive() | self.take() {}
    }
}

fn message(n: u32, len: usize) -> Record {
    Record { kind: RecordKind::Message, body: body(n, len) }
}

fn body(n: u32, len: usize) -> Bytes {
    let mut body = n.to_be_bytes().to_vec();
    body.resize(len.max(4), n as u8);
    body.into()
}

/// All orders of small steps, drawn from a small generator, with breaks in between.
#[test]
fn each_comes_once_and_in_order_whatever_breaks() {
    for seed in 1..200_u64 {
        let mut state = seed;
        let mut draw = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        let mut pair = Pair::new(100_000, 64 << 10);
        pair.connect();
        let (mut expected, mut others) = (Vec::new(), Vec::new());
        for n in 0..200 {
            let len = [4, 60, 3_000, 70_000][draw(4) as usize];
            // Each second band has a third of something else in between.
            let kind = if seed % 2 == 0 && draw(3) == 0 { RecordKind::Request } else { RecordKind::Message };
            if kind == RecordKind::Message { &mut expected } else { &mut others }.push(body(n, len));
            pair.courier.push(Record { kind, body: body(n, len) });
            for _ in 0..draw(6) {
                match draw(12) {
                    0 => assert!(pair.connect().is_empty(), "nothing is forgotten"),
                    1..5 => drop(pair.send()),
                    5..9 => drop(pair.receive()),
                    _ => drop(pair.take()),
                }
            }
        }
        pair.settle();
        assert!(pair.courier.is_empty(), "seed {seed}");
        assert!(pair.got == expected, "seed {seed}: {} of {}", pair.got.len(), expected.len());
        assert!(pair.records == others, "seed {seed}: {} of {}", pair.records.len(), others.len());
        assert_eq!(pair.courier.bytes(), 0);
        pair.intake.begin(incarnation(9), &mut pair.pool);
        assert_eq!(format!("{:?}", pair.pool), format!("{:?}", Pool::new(1 << 20)), "what was promised is given back");
    }
}

/// An embedder that takes no messages holds up nothing else, and what was handed on is acknowledged once its turn comes.
#[test]
fn what_is_not_for_the_embedder_does_not_wait_for_it() {
    let mut pair = Pair::new(10_000, 64 << 10);
    pair.connect();
    let request = |n| Record { kind: RecordKind::Request, body: body(n, 10) };
    for record in [request(0), message(1, 10), request(2), request(3)] {
        pair.courier.push(record);
    }
    while pair.send() | pair.receive() {}
    assert_eq!(pair.records, [body(0, 10), body(2, 10), body(3, 10)]);
    assert_eq!(pair.intake.news(true).map(|t| t.number), Some(1), "the message is not taken");
    pair.settle();
    assert_eq!(pair.got, [body(1, 10)]);
    assert!(pair.courier.is_empty());
}

/// It was told to have left, and is there after all: what was taken of it isn't taken again, nor what isn't for the embedder.
#[test]
fn who_comes_back_goes_on_where_it_was() {
    let mut pair = Pair::new(10_000, 64 << 10);
    pair.connect();
    let request = |n| Record { kind: RecordKind::Request, body: body(n, 10) };
    for record in [message(0, 10), request(1), message(2, 10), request(3), message(4, 10)] {
        pair.courier.push(record);
    }
    while pair.send() | pair.receive() {}
    pair.got.extend(pair.intake.take(&mut pair.pool));
    pair.intake.leave_off(&mut pair.pool);
    assert!(!pair.intake.has_message(), "nothing is heard of it");
    assert!(pair.connect().is_empty(), "it never heard how far that was");
    pair.courier.push(request(5));
    pair.settle();
    assert_eq!(pair.got, [body(0, 10), body(2, 10), body(4, 10)]);
    assert_eq!(pair.records, [body(1, 10), body(3, 10), body(5, 10)]);
    assert!(pair.courier.is_empty());
}

#[test]
fn what_is_too_large_there_comes_back_alone() {
    let mut pair = Pair::new(10_000, 64 << 10);
    pair.connect();
    for (n, len) in [(0, 100), (1, 50_000), (2, 100), (3, 10_001), (4, 10_000)] {
        pair.courier.push(message(n, len));
    }
    pair.settle();
    assert_eq!(pair.got, [body(0, 100), body(2, 100), body(4, 10_000)]);
    assert!(pair.courier.is_empty());
}

/// Several in one frame: each comes back, and none is taken for delivered.
#[test]
fn all_that_are_too_large_in_one_frame_come_back() {
    let mut pair = Pair::new(1_000, 64 << 10);
    pair.connect();
    for n in 0..5 {
        pair.courier.push(message(n, if n == 4 { 10 } else { 1_001 }));
    }
    assert!(pair.send() && pair.wire.len() == 1, "all of them fit in one frame");
    assert!(pair.receive());
    assert_eq!(pair.courier.bytes(), cost(10), "four came back");
    pair.settle();
    assert_eq!(pair.got, [body(4, 10)]);
    assert!(pair.courier.is_empty());
}

/// What was declined counted as there, and its sender heard nothing of it where the connection broke just then.
#[test]
fn what_was_declined_when_the_connection_broke_is_declined_again() {
    let mut pair = Pair::new(10_000, 64 << 10);
    pair.connect();
    pair.courier.push(message(0, 20_000));
    pair.courier.push(message(1, 10));
    while pair.send() {}
    while let Some(frame) = pair.wire.pop_front() {
        let mut reader = FrameReader::new();
        reader.push(&frame);
        let Ok(Some(Message::Data(data))) = reader.next(TAG) else { panic!() };
        pair.intake.data(Time::ZERO, data, &mut pair.pool, false).unwrap();
    }
    assert_eq!(pair.courier.base(), 1);
    let large = cost(20_000);
    let before = pair.courier.bytes();
    pair.connect();
    assert_eq!(pair.courier.bytes(), before - large, "it came back");
    pair.settle();
    assert_eq!(pair.got, [body(1, 10)]);
    assert!(pair.courier.is_empty());
}

#[test]
fn who_forgot_how_far_it_was_gets_nothing_twice() {
    let mut pair = Pair::new(1_000, 64 << 10);
    pair.connect();
    pair.courier.push(message(0, 10));
    pair.settle();
    pair.courier.push(message(1, 10));
    pair.send();
    pair.courier.push(message(2, 10));
    pair.intake = Intake::new(1_000, 64 << 10);
    pair.intake.begin(incarnation(1), &mut pair.pool);
    assert_eq!(pair.connect(), [message(1, 10)], "it may have come, and nobody knows any more");
    pair.settle();
    assert_eq!(pair.got, [body(0, 10), body(2, 10)]);
}

fn record(len: u32, bytes: usize) -> Bytes {
    let mut records = BytesMut::new();
    records.put_u32(len);
    records.put_bytes(7, bytes);
    records.freeze()
}

#[test]
fn a_sender_that_breaks_the_rules_is_seen() {
    let fresh = || {
        let mut pair = Pair::new(1 << 20, 64 << 10);
        pair.connect();
        pair
    };
    let take = |pair: &mut Pair, number, offset, records| {
        pair.intake.data(Time::ZERO, Data { number, offset, records }, &mut pair.pool, false)
    };
    let mut pair = fresh();
    assert_eq!(take(&mut pair, 1, 5, record(10, 10)), Err(Fault::Sequence), "nothing was begun");
    let mut pair = fresh();
    assert_eq!(take(&mut pair, 1, 0, record(1_000, 10)), Ok(vec![]));
    assert_eq!(take(&mut pair, 1, 15, record(10, 10)), Err(Fault::Sequence), "a hole");
    let mut pair = fresh();
    for _ in 0..10 {
        pair.intake
            .data(Time::ZERO, Data { number: 1, offset: 0, records: record(4, 4) }, &mut pair.pool, false)
            .unwrap();
    }
    pair.take();
    assert!(pair.got.len() == 1 && !pair.intake.has_message(), "the same number again is the same message");
    let mut pair = fresh();
    let mut result = Ok(vec![]);
    for n in 1..10_000 {
        result = take(&mut pair, n, 0, record(0, 0));
        if result.is_err() {
            break;
        }
    }
    assert_eq!(result, Err(Fault::Credit), "messages without end, and each of nothing");
    let mut pair = fresh();
    let declined = take(&mut pair, 1, 0, record(u32::MAX, 10)).unwrap().remove(0);
    assert_eq!(declined.reason, DeclineReason::TooLarge, "4 GB are claimed");
    assert_eq!(take(&mut pair, 2, 0, record(5, 5)), Ok(vec![]), "what follows is heard");
    pair.take();
    assert_eq!(pair.got.len(), 1);
}

fn hello(name: &str, n: u64, standing: Standing) -> Hello {
    let info = MemberInfo {
        incarnation: Incarnation(n),
        identity: Identity(n),
        standing,
        addrs: vec!["127.0.0.1:1".parse().unwrap()],
        ..crate::types::member::tests::info(name)
    };
    Hello { convention: "c".into(), lineage: Lineage(1), parents: vec![], term: crate::types::Term(1), info }
}

/// A plain member, and those who connect to it.
struct Rig {
    lanes: Lanes,
    out: Outbox,
    told: Vec<Greeted>,
    now: Time,
}

impl Rig {
    fn new() -> Self {
        let config = Config::builder(ConventionId::new("c").unwrap(), NodeId::new("m").unwrap()).build().unwrap();
        let lanes = Lanes::new(hello("m", 2, Standing::Member), &config, Time::ZERO);
        Self { lanes, out: Outbox::new(TAG, false), told: Vec::new(), now: Time::from_micros(1_000) }
    }

    fn input(&mut self, conn: u64, input: StreamInput<'_>) {
        let mut told = Vec::new();
        self.lanes.handle(self.now, ConnId(conn), input, &mut self.out, &mut told);
        while !told.is_empty() {
            self.told.append(&mut told);
            self.lanes.frames(self.now, ConnId(conn), &mut self.out, &mut told);
        }
    }

    fn say(&mut self, conn: u64, message: &Message) {
        let mut bytes = BytesMut::new();
        encode_message(message, TAG, &mut bytes);
        self.input(conn, StreamInput::Bytes(&bytes));
    }

    fn greet(&mut self, conn: u64, name: &str) {
        self.input(conn, StreamInput::Accepted("127.0.0.1:9".parse().unwrap()));
        self.say(conn, &Message::Hello(hello(name, 5, Standing::Member)));
        self.say(conn, &Message::Open(Open { incarnation: Incarnation(5), to: Incarnation(2), base: 1 }));
    }

    fn closed(&mut self) -> Vec<u64> {
        let orders = std::iter::from_fn(|| self.lanes.poll_stream(&mut self.out));
        orders.filter_map(|o| if let StreamOutput::Close(conn) = o { Some(conn.0) } else { None }).collect()
    }

    fn pass(&mut self, time: Duration) {
        for _ in 0..1_000 {
            self.now = self.now + time / 1_000;
            self.lanes.tick(self.now, &mut self.out);
            for conn in 0..4 {
                if self.lanes.owns(ConnId(conn)) && !self.told.is_empty() {
                    self.say(conn, &Message::Pong(0));
                }
            }
        }
    }
}

#[test]
fn who_says_nothing_is_cut_and_so_is_one_too_many() {
    let mut rig = Rig::new();
    for n in 0..1_100 {
        rig.input(n * 2 + 1, StreamInput::Accepted("127.0.0.1:9".parse().unwrap()));
    }
    assert_eq!(rig.closed().len(), 1_100 - 1_024);
    rig.pass(Duration::from_secs(10));
    assert_eq!(rig.closed().len(), 1_024);
    let stats = &rig.out.stats;
    assert_eq!((stats.streams_cut, stats.streams_cut_crowded, stats.streams_cut_silent), (1_100, 76, 1_024));
}

#[test]
fn who_breaks_the_rules_is_cut_and_others_are_not() {
    let mut rig = Rig::new();
    rig.greet(1, "x");
    rig.greet(3, "y");
    assert!(rig.closed().is_empty());
    rig.say(1, &Message::Data(Data { number: 3, offset: 9, records: record(5, 5) }));
    assert_eq!(rig.closed(), [1]);
    rig.greet(5, "z");
    rig.input(5, StreamInput::Bytes(&[0xFF; 40]));
    assert_eq!(rig.closed(), [5], "4 GB are claimed for a frame");
    rig.say(3, &Message::Data(Data { number: 1, offset: 0, records: record(5, 5) }));
    assert!(matches!(rig.lanes.poll_event(&mut rig.out), Some(Event::Message { .. })));
}

#[test]
fn a_message_whose_rest_stays_away_is_given_up() {
    let mut rig = Rig::new();
    rig.greet(1, "x");
    rig.say(1, &Message::Data(Data { number: 1, offset: 0, records: record(30_000, 1_000) }));
    rig.pass(Duration::from_secs(30));
    let orders: Vec<_> = std::iter::from_fn(|| rig.lanes.poll_stream(&mut rig.out)).collect();
    let mut reader = FrameReader::new();
    for order in orders {
        if let StreamOutput::Send(_, bytes) = order {
            reader.push(&bytes);
        }
    }
    let said: Vec<_> = std::iter::from_fn(|| reader.next(TAG).unwrap()).collect();
    let declined = |m: &Message| matches!(m, Message::Declined(d) if d.reason == DeclineReason::Stalled);
    assert!(said.iter().any(declined), "{said:?}");
}

#[test]
fn who_sends_frames_of_control_without_end_is_cut_and_counted() {
    let mut rig = Rig::new();
    rig.greet(1, "x");
    let mut pings = BytesMut::new();
    for _ in 0..1_000 {
        encode_message(&Message::Ping(1), TAG, &mut pings);
    }
    for n in 0.. {
        assert!(n < 300, "it is heard for ever");
        rig.input(1, StreamInput::Bytes(&pings));
        if !rig.closed().is_empty() {
            break;
        }
    }
    assert_eq!((rig.out.stats.streams_cut, rig.out.stats.streams_cut_flooding), (1, 1));
}

#[test]
fn frames_of_unknown_kinds_and_data_that_nobody_opened_count_as_a_flood_too() {
    let frame = |message: &Message| {
        let mut bytes = BytesMut::new();
        encode_message(message, TAG, &mut bytes);
        bytes
    };
    let mut unknown = frame(&Message::Ping(1));
    // The kind comes after the length and the version; the checksum is the frame's end.
    unknown[5] = 0xEE;
    let end = unknown.len() - 4;
    let check = crc32fast::hash(&unknown[4..end]);
    unknown[end..].copy_from_slice(&check.to_be_bytes());
    let data = frame(&Message::Data(Data { number: 1, offset: 0, records: record(1, 0) }));
    for bytes in [unknown, data] {
        let mut rig = Rig::new();
        rig.greet(1, "x");
        let at = rig.lanes.by_id[&NodeId::new("x").unwrap()];
        rig.lanes.get(at).unwrap().intake.open = false;
        let many = bytes.repeat(1_000);
        let cut = (0..300).any(|_| {
            rig.input(1, StreamInput::Bytes(&many));
            !rig.closed().is_empty()
        });
        assert!(cut, "it is read for ever");
        assert_eq!((rig.out.stats.streams_cut, rig.out.stats.streams_cut_flooding), (1, 1));
    }
}

#[test]
fn who_comes_next_finds_room_however_many_say_nothing() {
    let mut rig = Rig::new();
    for n in 0..2_000 {
        rig.input(n * 2 + 1, StreamInput::Accepted("127.0.0.1:9".parse().unwrap()));
    }
    rig.closed();
    rig.greet(4_001, "x");
    assert_eq!(rig.closed(), [(2_000 - 1_024) * 2 + 1], "the oldest one made room");
}

#[test]
fn a_first_frame_that_is_longer_than_any_is_not_waited_for() {
    let mut rig = Rig::new();
    rig.input(1, StreamInput::Accepted("127.0.0.1:9".parse().unwrap()));
    rig.input(1, StreamInput::Bytes(&[&[0, 1, 0, 0][..], &[0xC1; 9_000]].concat()));
    assert_eq!(rig.closed(), [1]);
}

/// Over a connection that isn't the lanes' own nothing breaks where the other end has stopped listening: it is asked again.
#[test]
fn who_says_nothing_over_a_lent_connection_is_asked_how_far_it_is() {
    let mut rig = Rig::new();
    let (x, conn) = (NodeId::new("x").unwrap(), ConnId(1));
    rig.lanes.send(rig.now, &x, Bytes::from_static(b"?")).unwrap();
    let at = rig.lanes.by_id[&x];
    rig.lanes.lend(rig.now, at, conn, Incarnation(5), &mut rig.out);
    let resume = Message::Resume(crate::wire::Resume { incarnation: Incarnation(2), have: 0, credit: 9_000 });
    let opens = |rig: &mut Rig| {
        let mut reader = FrameReader::new();
        while let Some(order) = rig.lanes.poll_stream(&mut rig.out) {
            if let StreamOutput::Send(_, bytes) | StreamOutput::Bulk(_, bytes) = order {
                reader.push(&bytes);
            }
        }
        let said = std::iter::from_fn(move || reader.next(TAG).unwrap());
        said.filter(|m| matches!(m, Message::Open(_))).count()
    };
    assert_eq!(opens(&mut rig), 1);
    rig.lanes.lent(rig.now, (&x, Incarnation(5), conn), resume, &mut rig.out);
    rig.pass(rig.lanes.patience / 2);
    assert_eq!(opens(&mut rig), 0, "it may take its time");
    rig.pass(rig.lanes.patience);
    assert_eq!(opens(&mut rig), 1);
}

impl Rig {
    /// Tells where x is, as often as that is asked, until it is dialled; returns the connection that is made.
    fn dialled(&mut self, addr: &str) -> u64 {
        for _ in 0..1_000 {
            self.now = self.now + Duration::from_millis(10);
            self.lanes.tick(self.now, &mut self.out);
            while let Some(need) = self.lanes.next_need(self.now, &mut self.out) {
                let answer =
                    Answer::At { incarnation: Incarnation(5), addrs: vec![addr.parse().unwrap()], paired: false };
                self.lanes.answer(self.now, &need, answer, &mut self.out);
            }
            while let Some(order) = self.lanes.poll_stream(&mut self.out) {
                if let StreamOutput::Connect(conn, _) = order {
                    return conn.0;
                }
            }
        }
        panic!("nobody dials");
    }
}

/// Whoever has the address of x now is another one: x was never dialled again, wherever it was.
#[test]
fn a_dial_that_another_answers_is_ended_and_made_again() {
    let mut rig = Rig::new();
    rig.lanes.send(rig.now, &NodeId::new("x").unwrap(), Bytes::from_static(b"?")).unwrap();
    let first = rig.dialled("127.0.0.1:7");
    rig.input(first, StreamInput::Connected);
    rig.say(first, &Message::Hello(hello("y", 5, Standing::Member)));
    assert_eq!(rig.closed(), [first]);
    let second = rig.dialled("127.0.0.1:8");
    rig.input(second, StreamInput::Connected);
    rig.say(second, &Message::Hello(hello("x", 5, Standing::Member)));
    assert!(rig.closed().is_empty() && rig.told.len() == 1);
}

/// Handshakes pass and what is larger doesn't (a path's MTU is told to nobody): each connection began the wait anew.
#[test]
fn what_no_connection_carries_comes_back() {
    let mut rig = Rig::new();
    rig.lanes.send(rig.now, &NodeId::new("x").unwrap(), Bytes::from_static(b"?")).unwrap();
    let patience = rig.lanes.patience;
    let begun = rig.now;
    for _ in 0..100 {
        let conn = rig.dialled("127.0.0.1:7");
        rig.input(conn, StreamInput::Connected);
        rig.say(conn, &Message::Hello(hello("x", 5, Standing::Member)));
        rig.say(conn, &Message::Resume(crate::wire::Resume { incarnation: Incarnation(2), have: 0, credit: 9_000 }));
        rig.now = rig.now + patience / 4;
        rig.input(conn, StreamInput::Closed);
        rig.lanes.tick(rig.now, &mut rig.out);
        if let Some(Event::Undeliverable { reason, .. }) = rig.lanes.poll_event(&mut rig.out) {
            assert_eq!(reason, Undelivered::Unreachable);
            assert!(rig.now - begun < patience * 2);
            return;
        }
    }
    panic!("it never comes back");
}
