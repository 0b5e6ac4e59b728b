use crate::rig::*;
use convoke::proto::*;
use convoke::types::*;
use convoke::wire::*;
const N5: [&str; 5] = ["a", "b", "c", "d", "e"];
const L: u64 = 77;

fn restored_b(entries: Vec<Entry>, names: &[&str]) -> Restored {
    Restored {
        promise: Promise {
            founder: None,
            identity: Identity(101),
            incarnation: Incarnation(1),
            lineage: Lineage(L),
            term: Term(1),
            granted: None,
            seen: Term(1),
            sealed: false,
            ..Promise::default()
        },
        image: Some(image(L, 1, 1, names)),
        entries,
    }
}

fn seeker(name: &str, incarnation: u64, addrs: Vec<std::net::SocketAddr>) -> Sender {
    Sender {
        id: nid(name),
        incarnation: Incarnation(incarnation),
        identity: Identity(5),
        standing: Standing::Candidate,
        priority: 0,
        durable: false,
        outbound: false,
        addrs,
    }
}

/// b, a restarted voter, bids; returns the term.
fn to_bid(r: &mut Rig, voters: &[ConnId], _pos: Position) -> Term {
    for _ in 0..2000 {
        let t = r.node.poll_timeout().unwrap();
        r.now = t;
        r.node.handle_timeout(t);
        r.drain();
        for (c, m) in r.take() {
            match m {
                Message::Canvass(k) if voters.contains(&c) => {
                    r.send(
                        c,
                        Message::CanvassReply(CanvassReply {
                            lineage: k.lineage,
                            round: k.round,
                            term: Term(1),
                            granted: true,
                            wait_us: 0,
                            position: Position { term: Term(1), index: Index(1) },
                        }),
                    );
                }
                Message::Bid(b) => return b.term,
                Message::Ping(n) if n != 0xdead => r.send(c, Message::Pong(n)),
                _ => {}
            }
        }
        let g: Vec<_> = r.take();
        for (_, m) in g {
            if let Message::Bid(b) = m {
                return b.term;
            }
        }
    }
    panic!("never bid");
}

#[test]
fn f1_late_fetch_overwrites_newer_leaders_entries() {
    let mut r = Rig::new(
        cfg("b", Founding::Expect(5)).death_evidence(false).build().unwrap(),
        start(1, 1, Some(restored_b(vec![led(2, 1, 100)], &N5))),
        ms(0),
    );
    let c = r.connect(info(2, "c", 102), L, 1);
    let d = r.connect(info(3, "d", 103), L, 1);
    let e = r.connect(info(4, "e", 104), L, 1);
    let t = to_bid(&mut r, &[c, d, e], Position::default());
    let ahead = Position { term: Term(2), index: Index(3) };
    for (x, p) in [(c, ahead), (e, ahead)] {
        r.send(
            x,
            Message::BidReply(BidReply { lineage: Lineage(L), term: t, granted: true, promised: t, position: p }),
        );
    }
    let f = r
        .take()
        .into_iter()
        .find_map(|(c, m)| if let Message::Fetch(f) = m { Some((c, f)) } else { None })
        .expect("fetches");
    println!("bid {t}, fetch {f:?}");
    // d leads in a later term: with b's acknowledgement of 3@T' it commits.
    let t2 = Term(t.0 + 1);
    r.send(
        d,
        Message::Append(Append {
            lineage: Lineage(L),
            term: t2,
            prev: Position { term: Term(1), index: Index(2) },
            commit: Index(2),
            fetched: false,
            entries: vec![led(3, t2.0, 103)],
        }),
    );
    let acked = r.take().into_iter().find_map(|(_, m)| if let Message::AppendReply(a) = m { Some(a) } else { None });
    println!("{acked:?} position {:?}", r.node.position());
    assert_eq!(r.node.position(), Position { term: t2, index: Index(3) });
    // The late answer of the voter that was asked.
    r.send(
        f.0,
        Message::Append(Append {
            lineage: Lineage(L),
            term: t,
            prev: f.1.after,
            commit: Index(2),
            fetched: true,
            entries: vec![led(2, 1, 100), led(3, 2, 102)],
        }),
    );
    println!("after: {:?}", r.node.position());
    assert_eq!(
        r.node.position(),
        Position { term: t2, index: Index(3) },
        "LOST an acknowledged entry of a newer leader"
    );
}

#[test]
fn f2_snapshot_truncates_acknowledged_suffix() {
    let entries: Vec<_> = std::iter::once(led(2, 1, 100)).chain((3..=99).map(|n| joined(n, 1, n + 10))).collect();
    let mut r =
        Rig::new(cfg("b", Founding::Expect(3)).build().unwrap(), start(1, 1, Some(restored_b(entries, &N5))), ms(0));
    assert_eq!(r.node.position().index, Index(99));
    let c = r.connect(info(2, "c", 102), L, 1);
    r.send(
        c,
        Message::Append(Append {
            lineage: Lineage(L),
            term: Term(2),
            prev: Position { term: Term(1), index: Index(100) },
            commit: Index(50),
            fetched: false,
            entries: vec![led(101, 2, 102)],
        }),
    );
    println!("{:?}", r.take().into_iter().filter(|(_, m)| matches!(m, Message::AppendReply(_))).collect::<Vec<_>>());
    // The leader's log begins at 50 (it was admitted by a snapshot): it sends its committed state.
    let img = image(L, 1, 50, &N5);
    let data = encode_image(&img);
    r.send(
        c,
        Message::Snapshot(Snapshot {
            lineage: Lineage(L),
            term: Term(2),
            position: img.position,
            fetched: false,
            offset: 0,
            total: data.len() as u32,
            data,
        }),
    );
    println!("after: {:?}", r.node.position());
    assert_eq!(
        r.node.position().index,
        Index(99),
        "LOST durable acknowledged entries that its log shares with the snapshot"
    );
}

#[test]
fn f4_fetch_stops_at_a_chunk_that_is_known() {
    let entries: Vec<_> = std::iter::once(led(2, 1, 100)).chain((3..=1500).map(|n| joined(n, 1, n + 10))).collect();
    let mut all = entries.clone();
    all.push(joined(1501, 1, 9000));
    let mut r = Rig::new(
        cfg("b", Founding::Expect(3)).death_evidence(false).build().unwrap(),
        start(1, 1, Some(restored_b(entries, &["a", "b", "c"]))),
        ms(0),
    );
    let c = r.connect(info(2, "c", 102), L, 1);
    let t = to_bid(&mut r, &[c], Position::default());
    r.send(
        c,
        Message::BidReply(BidReply {
            lineage: Lineage(L),
            term: t,
            granted: true,
            promised: t,
            position: Position { term: Term(1), index: Index(1501) },
        }),
    );
    let mut fetches = 0;
    for _ in 0..40 {
        let Some(f) = r.take().into_iter().find_map(|(_, m)| if let Message::Fetch(f) = m { Some(f) } else { None })
        else {
            break;
        };
        fetches += 1;
        println!("fetch after {:?}", f.after);
        // what a voter gives: 64 KiB from there on
        let mut bytes = 0;
        let chunk: Vec<_> = all
            .iter()
            .filter(|e| e.index > f.after.index)
            .take_while(|e| {
                bytes += entry_len(e);
                bytes <= 64 * 1024
            })
            .cloned()
            .collect();
        println!("  gives {} entries to {:?}", chunk.len(), chunk.last().map(|e| e.index));
        r.send(
            c,
            Message::Append(Append {
                lineage: Lineage(L),
                term: t,
                prev: f.after,
                commit: Index(1),
                fetched: true,
                entries: chunk,
            }),
        );
    }
    println!("fetches {fetches}, position {:?}, role {:?}", r.node.position(), r.node.role());
    assert_eq!(r.node.role(), Role::Leader);
}

#[test]
fn f5_acks_of_strangers_fill_the_leaders_memory() {
    let mut r = Rig::new(
        cfg("a", Founding::Alone).build().unwrap(),
        Start { seed: 1, wall_clock_us: 1, addrs: vec![addr(1)], durable: false, restored: None },
        ms(0),
    );
    r.run_to(ms(3_000));
    assert_eq!(r.node.role(), Role::Leader);
    let term = r.node.term();
    let lineage = r.node.lineage();
    // the number of a recent heartbeat
    let number = r
        .sent
        .iter()
        .rev()
        .find_map(|(_, b)| match DatagramView::parse(b, tag()).unwrap().meaning().unwrap() {
            Datagram::Heartbeat(h) => Some(h.number),
            _ => None,
        })
        .unwrap();
    let before = format!("{:?}", r.node).len();
    for i in 0..20_000u64 {
        r.datagram(
            addr(9),
            Lane::Unicast,
            &Datagram::Ack(Ack { lineage, term, number, identity: Identity(1_000_000 + i) }),
        );
    }
    let after = format!("{:?}", r.node).len();
    println!("debug size {before} -> {after}");
    assert!(after < before + 10_000);
}

#[test]
fn f6_one_forged_seek_is_dialled_for_ever() {
    let mut r = Rig::new(
        cfg("a", Founding::Expect(3)).build().unwrap(),
        Start { seed: 1, wall_clock_us: 1, addrs: vec![addr(1)], durable: false, restored: None },
        ms(0),
    );
    r.run_to(ms(100));
    let from = seeker("zz", 1, vec![addr(66), addr(67)]);
    let seek = Datagram::Seek(Seek { from, nonce: 1, attempt: 0, lineage: Lineage(0), term: Term(0) });
    r.datagram(addr(66), Lane::Bench, &seek);
    let mut dials = 0;
    while r.now < ms(600_000) {
        let t = r.node.poll_timeout().unwrap();
        r.now = t;
        r.node.handle_timeout(t);
        let mut buf = vec![];
        while r.node.poll_transmit(&mut buf).is_some() {}
        while let Some(o) = r.node.poll_stream() {
            if let StreamOutput::Connect(c, a) = o {
                if a == addr(66) {
                    dials += 1;
                }
                r.node.handle_stream(t, c, StreamInput::Failed);
            }
        }
        while r.node.poll_event().is_some() {}
    }
    println!("dials in 10 min: {dials}");
    assert!(dials < 20);
}

#[test]
fn f7_alternating_lineages_make_an_event_per_packet() {
    let mut r = Rig::new(
        cfg("a", Founding::Alone).build().unwrap(),
        Start { seed: 1, wall_clock_us: 1, addrs: vec![addr(1)], durable: false, restored: None },
        ms(0),
    );
    r.run_to(ms(3_000));
    r.events.clear();
    for i in 0..1000u64 {
        r.datagram(
            addr(9),
            Lane::Floor,
            &Datagram::Heartbeat(Heartbeat {
                lineage: Lineage(5 + i % 2),
                term: Term(1),
                number: 1,
                commit: Index(1),
                leader: VoterTag(1),
                line_version: 1,
                said: Position::default(),
            }),
        );
    }
    println!("events {}", r.events.len());
    assert!(r.events.len() < 10);
}

#[test]
fn f8_forged_join_costs() {
    // detect=100: what goes to an address that never said anything
    let mut r = Rig::new(
        Config::builder(ConventionId::new(CONV).unwrap(), nid("a"))
            .candidate()
            .found(Founding::Alone)
            .heartbeat(std::time::Duration::from_millis(100))
            .detect(100)
            .build()
            .unwrap(),
        Start { seed: 1, wall_clock_us: 1, addrs: vec![addr(1)], durable: false, restored: None },
        ms(0),
    );
    r.run_to(ms(20_000));
    assert_eq!(r.node.role(), Role::Leader);
    r.sent.clear();
    let mut i = member(1);
    i.addrs = vec![addr(66)];
    r.datagram(addr(66), Lane::Unicast, &Datagram::Join(Join { nonce: 3, lineage: Lineage(0), heard: 0, info: i }));
    r.run_to(ms(60_000));
    let bytes: usize = r.sent.iter().filter(|(d, _)| *d == Dest::Addr(addr(66))).map(|(_, b)| b.len()).sum();
    println!("bytes to it: {bytes} for 1200");
    assert!(bytes <= 1200);
}

#[test]
fn f10_identities_of_one_peer_fill_the_progress_map() {
    let mut r = Rig::new(
        cfg("a", Founding::Alone).build().unwrap(),
        Start { seed: 1, wall_clock_us: 1, addrs: vec![addr(1)], durable: false, restored: None },
        ms(0),
    );
    r.run_to(ms(3_000));
    let l = r.node.lineage().0;
    let c = r.connect(info(2, "c", 102), l, 1);
    let before = format!("{:?}", r.node).len();
    for i in 0..5000u64 {
        let mut h = info(2, "c", 1000 + i);
        h.incarnation = Incarnation(2 + i);
        r.send(
            c,
            Message::Hello(Hello {
                convention: CONV.into(),
                lineage: Lineage(l),
                parents: vec![],
                term: Term(1),
                info: h,
            }),
        );
    }
    let after = format!("{:?}", r.node).len();
    println!("debug size {before} -> {after}");
    assert!(after < before + 20_000);
}

#[test]
fn f11_one_datagram_locks_a_voter_out() {
    let mut r = Rig::new(
        cfg("b", Founding::Expect(3)).build().unwrap(),
        start(1, 1, Some(restored_b(vec![led(2, 1, 100)], &["a", "b", "c"]))),
        ms(0),
    );
    r.run_to(ms(20));
    let from = seeker("c", u64::MAX / 2, vec![addr(66)]);
    r.datagram(
        addr(66),
        Lane::Bench,
        &Datagram::Seek(Seek { from, nonce: 1, attempt: 0, lineage: Lineage(0), term: Term(0) }),
    );
    r.take();
    let c = r.connect(info(2, "c", 102), L, 1);
    let cut = r.take().iter().any(|(k, m)| *k == c && matches!(m, Message::Ping(0xdead)));
    println!("cut: {cut}");
    assert!(!cut);
}

#[test]
fn f8b_forged_join_default_detect() {
    let mut r = Rig::new(
        cfg("a", Founding::Alone).build().unwrap(),
        Start { seed: 1, wall_clock_us: 1, addrs: vec![addr(1)], durable: false, restored: None },
        ms(0),
    );
    r.run_to(ms(5_000));
    r.sent.clear();
    let mut i = member(1);
    i.addrs = vec![addr(66); 1];
    i.standing = Standing::Candidate;
    i.multicast = false;
    r.datagram(addr(66), Lane::Unicast, &Datagram::Join(Join { nonce: 3, lineage: Lineage(0), heard: 0, info: i }));
    r.run_to(ms(30_000));
    let bytes: usize = r.sent.iter().filter(|(d, _)| *d == Dest::Addr(addr(66))).map(|(_, b)| b.len()).sum();
    println!("bytes to it: {bytes} for 1200");
}

/// What b is asked or told from here on is its answer to a canvass: c's roll is ahead. The question that b asks then.
fn asks_to_catch_up(r: &mut Rig, c: ConnId, ahead: Position) -> Fetch {
    let reply = CanvassReply {
        lineage: Lineage(L),
        round: 0,
        term: Term(2),
        granted: false,
        wait_us: 1_000_000,
        position: ahead,
    };
    r.send(c, Message::CanvassReply(reply));
    let asked = r.take().into_iter().find_map(|(_, m)| if let Message::Fetch(f) = m { Some(f) } else { None });
    asked.expect("it asks for the newer roll")
}

/// As f1, but for a voter that asked outside of any bid.
#[test]
fn f12_a_late_answer_to_who_caught_up_overwrites_newer_leaders_entries() {
    let config = cfg("b", Founding::Expect(5)).death_evidence(false).build().unwrap();
    let mut r = Rig::new(config, start(1, 1, Some(restored_b(vec![led(2, 1, 100)], &N5))), ms(0));
    r.run_to(ms(1_000));
    let c = r.connect(info(2, "c", 102), L, 1);
    let d = r.connect(info(3, "d", 103), L, 1);
    let ahead = Position { term: Term(2), index: Index(3) };
    let fetch = asks_to_catch_up(&mut r, c, ahead);
    // d leads in a later term: with b's acknowledgement of the entry it commits, and resigns before b learns that.
    let newer = Position { term: Term(5), index: Index(3) };
    let prev = Position { term: Term(1), index: Index(2) };
    r.send(
        d,
        Message::Append(Append {
            lineage: Lineage(L),
            term: newer.term,
            prev,
            commit: Index(2),
            fetched: false,
            entries: vec![led(3, 5, 103)],
        }),
    );
    let acked = r.take().into_iter().any(|(_, m)| matches!(m, Message::AppendReply(a) if a.matched && a.index.0 == 3));
    assert!(acked && r.node.position() == newer);
    r.send(d, Message::Resigned(Resigned { lineage: Lineage(L), term: newer.term, identity: Identity(103) }));
    // The late answer of the voter that was asked.
    r.send(
        c,
        Message::Append(Append {
            lineage: Lineage(L),
            term: fetch.term,
            prev: fetch.after,
            commit: fetch.after.index,
            fetched: true,
            entries: [led(2, 1, 100), led(3, 2, 102)].into_iter().filter(|e| e.index > fetch.after.index).collect(),
        }),
    );
    assert_eq!(r.node.position(), newer, "LOST an acknowledged entry of a newer leader");
}

/// b follows a leader that its line doesn't know yet; c, who isn't that one, says that it resigned.
#[test]
fn f13_nobody_resigns_for_a_leader_that_is_not_known_yet() {
    let config = cfg("b", Founding::Expect(5)).death_evidence(false).build().unwrap();
    let mut r = Rig::new(config, start(1, 1, Some(restored_b(vec![led(2, 1, 100)], &N5))), ms(0));
    r.run_to(ms(1_000));
    let c = r.connect(info(2, "c", 102), L, 1);
    let (lineage, term) = (Lineage(L), Term(5));
    let leader = Identity(999).tag();
    let heartbeat =
        Heartbeat { lineage, term, number: 1, commit: Index(2), leader, line_version: 2, said: Position::default() };
    r.datagram(addr(9), Lane::Floor, &Datagram::Heartbeat(heartbeat));
    r.send(c, Message::Resigned(Resigned { lineage, term, identity: Identity(102) }));
    r.take();
    let position = Position { term, index: Index(9) };
    r.send(c, Message::Canvass(Canvass { lineage, term: Term(6), position, line_version: 2, round: 1 }));
    let granted = r.take().into_iter().find_map(|(_, m)| match m {
        Message::CanvassReply(reply) => Some(reply.granted),
        _ => None,
    });
    assert_eq!(granted, Some(false), "it protects the leader that it heard just now");
}

/// Who knows no leader asks a seeker of another lineage back: that is its answer, and no larger than what came.
#[test]
fn f14_who_asks_back_answers_nothing_beside() {
    let config = cfg("b", Founding::Expect(3)).build().unwrap();
    let mut r = Rig::new(config, start(3, 1, Some(restored_b(vec![], &["a", "b", "c"]))), ms(0));
    let from = seeker("zz", 1, vec![addr(66)]);
    let seek = Datagram::Seek(Seek { from, nonce: 1, attempt: 0, lineage: Lineage(5), term: Term(0) });
    let (mut came, mut asked) = (0, false);
    for at in [5_000, 9_000, 13_000, 17_000] {
        r.run_to(ms(at));
        let to_it = || r.sent.iter().filter(|(to, _)| *to == Dest::Addr(addr(66)));
        let sent: usize = to_it().map(|(_, bytes)| bytes.len()).sum();
        assert!(sent <= came, "{sent} of {came} at {at} ms");
        asked |= to_it().any(|(_, bytes)| bytes.len() == MAX_DATAGRAM);
        r.datagram(addr(66), Lane::Unicast, &seek);
        came += MAX_DATAGRAM;
    }
    assert!(asked, "it was never asked back");
}
