//! The streams by themselves: two hosts whose nodes are kept out of it.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::proto::Config;
use crate::sim::{Cut, HostId, NodeOptions};
use crate::types::{ConventionId, NodeId, Time};
use std::time::Duration;

const A: HostId = HostId(0);
const B: HostId = HostId(1);

fn world(segmented: bool) -> World {
    let conditions = Conditions { segmented, ..Conditions::default() };
    let mut world = World::builder(7).conditions(conditions).build();
    for name in ["a", "b"] {
        let config = Config::builder(ConventionId::new("c").unwrap(), NodeId::new(name).unwrap()).build().unwrap();
        world.add_node(config, NodeOptions::default());
    }
    mute(&mut world);
    world
}

/// Keeps the nodes of all processes out of it, and forgets what was logged.
fn mute(world: &mut World) {
    for host in &mut world.hosts {
        if let Some(process) = host.process.as_mut() {
            process.instead = Some(Vec::new());
        }
    }
}

fn asks(world: &mut World, host: HostId, out: StreamOutput) {
    let mut process = world.hosts[host.at()].process.take().unwrap();
    world.stream_output(host.0, &mut process, out);
    world.hosts[host.at()].process = Some(process);
}

fn send(world: &mut World, host: HostId, conn: u64, bytes: &'static [u8]) {
    asks(world, host, StreamOutput::Send(ConnId(conn), Bytes::from_static(bytes)));
}

/// What a node got since the last look: milliseconds and the input, shortened.
fn got(world: &mut World, host: HostId) -> Vec<(u64, String)> {
    let Some(process) = world.hosts[host.at()].process.as_mut() else { return vec![] };
    let log = process.instead.as_mut().unwrap();
    let short = |s: String| s.trim_start_matches("Stream(").trim_end_matches(')').to_string();
    // What the node wanted to be woken for before it was kept out is no matter of the streams.
    let streams = std::mem::take(log).into_iter().filter(|(_, s)| s != "Timeout");
    streams.map(|(at, s)| (at.as_micros() / 1_000, short(s))).collect()
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A dials B, and both know it.
fn connected(segmented: bool) -> World {
    let mut w = world(segmented);
    let to = w.addr(B);
    asks(&mut w, A, StreamOutput::Connect(ConnId(0), to));
    w.run_for(ms(1));
    assert_eq!(got(&mut w, A), [(0, "0, Connected".into())]);
    assert!(got(&mut w, B)[0].1.starts_with("1, Accepted(10.0.0.1:4"));
    w
}

#[test]
fn bytes_go_both_ways_then_the_end() {
    let mut w = connected(false);
    send(&mut w, A, 0, b"one");
    send(&mut w, A, 0, b"two");
    send(&mut w, B, 1, b"three");
    asks(&mut w, A, StreamOutput::Close(ConnId(0)));
    w.run_for(ms(5));
    let b: Vec<_> = got(&mut w, B).into_iter().map(|(_, s)| s).collect();
    assert_eq!(b, ["1, Bytes(b\"one\"", "1, Bytes(b\"two\"", "1, Closed"]);
    assert_eq!(got(&mut w, A), [], "who closes hears nothing more");
    assert_eq!(w.pipes.free.len(), 0, "the dialling's patience is still planned");
    w.run_for(ms(5_000));
    assert_eq!((w.pipes.free.len(), got(&mut w, A), got(&mut w, B)), (1, vec![], vec![]));
}

#[test]
fn nothing_is_lost_or_reordered_by_cutting_in_pieces() {
    let mut w = connected(true);
    let mut sent = String::new();
    for i in 0..200 {
        let part = format!("{i:05}");
        sent += &part;
        asks(&mut w, A, StreamOutput::Send(ConnId(0), part.into()));
        w.run_for(Duration::from_micros(i % 7 * 40));
    }
    w.run_for(ms(1_000));
    let pieces = got(&mut w, B);
    let text: String = pieces.iter().map(|(_, s)| s["1, Bytes(b\"".len()..].trim_end_matches('"')).collect();
    assert_eq!(text, sent);
    assert_ne!(pieces.len(), 200);
}

#[test]
fn nobody_listens() {
    let mut w = world(false);
    let to = w.addr(B);
    w.kill(B);
    asks(&mut w, A, StreamOutput::Connect(ConnId(0), to));
    w.run_for(ms(1));
    assert_eq!(got(&mut w, A), [(0, "0, Refused".into())]);
    w.start(B);
    mute(&mut w);
    asks(&mut w, A, StreamOutput::Connect(ConnId(2), SocketAddr::new(to.ip(), 1)));
    w.run_for(ms(1));
    assert_eq!(got(&mut w, A), [(1, "2, Refused".into())], "another port");
}

#[test]
fn a_host_that_cannot_be_reached_answers_nothing() {
    for case in 0..4 {
        let mut w = world(false);
        let to = w.addr(B);
        match case {
            0 => w.cut(A, B),
            1 => w.cut_one_way(A, B, Cut::All),
            2 => w.cut_one_way(B, A, Cut::Streams),
            _ => w.power_off(B),
        }
        asks(&mut w, A, StreamOutput::Connect(ConnId(0), to));
        w.run_for(ms(2_999));
        assert_eq!(got(&mut w, A), []);
        w.run_for(ms(2));
        assert_eq!(got(&mut w, A), [(3_000, "0, Failed".into())]);
        assert_eq!(got(&mut w, B), []);
    }
    let mut w = world(false);
    let to = w.addr(B);
    w.cut(A, B);
    asks(&mut w, A, StreamOutput::Connect(ConnId(0), to));
    w.run_for(ms(500));
    w.heal();
    w.run_for(ms(1_000));
    assert_eq!(got(&mut w, A), [(1_000, "0, Connected".into())], "the second request comes through");
}

#[test]
fn a_killed_process_is_seen_at_once() {
    let mut w = connected(false);
    w.kill(B);
    w.run_for(ms(1));
    assert_eq!(got(&mut w, A), [(1, "0, Closed".into())]);
}

#[test]
fn a_process_that_dies_beyond_a_partition_is_seen_when_the_other_speaks() {
    let mut w = connected(false);
    w.power_off(B);
    w.power_on(B);
    w.start(B);
    mute(&mut w);
    w.run_for(ms(1_000));
    assert_eq!(got(&mut w, A), []);
    send(&mut w, A, 0, b"hello?");
    w.run_for(ms(1));
    assert_eq!(got(&mut w, A), [(1_001, "0, Closed".into())]);
    assert_eq!(got(&mut w, B), []);
}

#[test]
fn what_stalls_in_a_partition_comes_later() {
    let mut w = connected(false);
    w.cut(A, B);
    send(&mut w, A, 0, b"late");
    w.run_for(ms(1_000));
    assert_eq!(got(&mut w, B), []);
    w.heal();
    w.run_for(ms(1_000));
    let b = got(&mut w, B);
    assert_eq!((b.len(), b[0].1.as_str()), (1, "1, Bytes(b\"late\""));
    assert!((1_000..2_000).contains(&b[0].0), "at a retransmission: {b:?}");
    assert_eq!(got(&mut w, A), []);
}

#[test]
fn what_stalls_for_long_kills_the_stream_at_each_end() {
    for one_way in [false, true] {
        let mut w = connected(false);
        if one_way {
            w.cut_one_way(B, A, Cut::All)
        } else {
            w.cut(A, B)
        }
        send(&mut w, A, 0, b"never");
        w.run_for(ms(20_000));
        let a = got(&mut w, A);
        assert_eq!((a.len(), a[0].1.as_str()), (1, "0, Closed"), "one way: {one_way}");
        assert!((3_000..3_010).contains(&a[0].0), "{a:?}");
        let b: Vec<_> = got(&mut w, B).into_iter().map(|(_, s)| s).collect();
        if one_way {
            assert_eq!(b, ["1, Bytes(b\"never\"", "1, Closed"], "it came, but its acknowledgement didn't");
        } else {
            assert_eq!(b, ["1, Closed"]);
        }
    }
}

#[test]
fn a_paused_process_accepts_and_reads_when_it_goes_on() {
    let mut w = world(false);
    let to = w.addr(B);
    w.pause(B, ms(500));
    asks(&mut w, A, StreamOutput::Connect(ConnId(0), to));
    w.run_for(ms(10));
    assert_eq!(got(&mut w, A), [(0, "0, Connected".into())], "the kernel accepts in its name");
    send(&mut w, A, 0, b"x");
    w.run_for(ms(400));
    assert_eq!(got(&mut w, B), []);
    w.run_for(ms(100));
    let b = got(&mut w, B);
    assert_eq!(b.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [500, 500]);
    assert!(b[0].1.contains("Accepted") && b[1].1.contains("Bytes"));
}

#[test]
fn the_same_calls_give_the_same_trace() {
    let run = || {
        let mut w = connected(true);
        for _ in 0..50 {
            send(&mut w, A, 0, b"some bytes");
            w.run_for(ms(1));
        }
        (w.trace_hash(), w.now())
    };
    assert_eq!(run(), run());
    assert!(run().1 > Time::ZERO);
}
