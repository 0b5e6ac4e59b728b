#![allow(clippy::unwrap_used)]

use crate::net::testing::{free_port, wait_until};
use crate::net::{Net, NetConfig, NetConfigBuilder, StreamEvent};
use crate::types::{ConnId, Time};
use bytes::Bytes;
use socket2::SockRef;
use std::net::SocketAddr;
use std::time::Duration;

/// A happening without borrowed bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Accepted,
    Connected,
    Refused,
    Failed,
    Bytes(Vec<u8>),
    Closed,
}

fn now() -> Time {
    Time::from_micros(crate::net::sys::clock_us())
}

fn net(change: impl FnOnce(NetConfigBuilder) -> NetConfigBuilder) -> Net {
    let builder = NetConfig::builder().multicast(SocketAddr::new([239, 192, 67, 81].into(), free_port()));
    Net::bind(change(builder).build().unwrap(), false, false, now()).unwrap()
}

/// One turn; what was told, bytes of one stream joined.
fn turn(net: &mut Net, told: &mut Vec<(ConnId, Told)>) {
    net.poll(Some(Duration::ZERO)).unwrap();
    net.handle_timeout(now());
    while net.next_stream(now(), |id, event| {
        let new = match event {
            StreamEvent::Accepted(_) => Told::Accepted,
            StreamEvent::Connected => Told::Connected,
            StreamEvent::Refused => Told::Refused,
            StreamEvent::Failed => Told::Failed,
            StreamEvent::Closed => Told::Closed,
            StreamEvent::Bytes(b) => match told.last_mut() {
                Some((last, Told::Bytes(bytes))) if *last == id => return bytes.extend_from_slice(b),
                _ => Told::Bytes(b.to_vec()),
            },
        };
        told.push((id, new));
    }) {}
    net.flush();
}

#[test]
fn streams_carry_bytes_both_ways_and_close_after_the_last() {
    let (mut a, mut b) = (net(|n| n), net(|n| n));
    let (mut at_a, mut at_b) = (vec![], vec![]);
    a.connect(now(), ConnId(2), b.local_addr());
    let big: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    // Given before the connection stands: it is sent all the same.
    for chunk in big.chunks(10_000) {
        a.write(ConnId(2), Bytes::copy_from_slice(chunk));
    }
    wait_until(|| {
        turn(&mut a, &mut at_a);
        turn(&mut b, &mut at_b);
        matches!(at_b.last(), Some((_, Told::Bytes(got))) if *got == big)
    });
    assert_eq!(at_a, [(ConnId(2), Told::Connected)]);
    assert_eq!(at_b[0], (ConnId(1), Told::Accepted), "accepted ones have odd numbers");
    b.write(ConnId(1), Bytes::from_static(b"farewell"));
    b.close(now(), ConnId(1));
    wait_until(|| {
        turn(&mut a, &mut at_a);
        turn(&mut b, &mut at_b);
        at_a.last() == Some(&(ConnId(2), Told::Closed)) && a.streams() + b.streams() == 0
    });
    assert_eq!(at_a[1], (ConnId(2), Told::Bytes(b"farewell".to_vec())));
    assert_eq!(at_b.len(), 2, "nothing is told of a stream that was closed here");
}

#[test]
fn a_refusal_is_told_apart_from_other_failures() {
    let mut a = net(|n| n.connect_timeout(Duration::from_millis(50)));
    let mut told = vec![];
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap();
    drop(nobody);
    a.connect(now(), ConnId(2), port);
    wait_until(|| {
        turn(&mut a, &mut told);
        told == [(ConnId(2), Told::Refused)]
    });
    told.clear();
    // A listener whose backlog is full neither takes nor refuses: the time runs out.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    full.listen(0).unwrap();
    let addr = full.local_addr().unwrap().as_socket().unwrap();
    let _taken: Vec<_> =
        (0..4).map(|_| std::net::TcpStream::connect_timeout(&addr, Duration::from_millis(20))).collect();
    a.connect(now(), ConnId(4), addr);
    wait_until(|| {
        turn(&mut a, &mut told);
        told == [(ConnId(4), Told::Failed)]
    });
    assert_eq!(a.streams(), 0);
}

#[test]
fn a_connection_to_oneself_by_accident_counts_as_refused() {
    // A socket bound to the port that it calls meets itself: provoked here, drawn by chance in life.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let addr = socket.local_addr().unwrap();
    socket.set_nonblocking(true).unwrap();
    let _ = socket.connect(&addr);
    let mut a = net(|n| n);
    a.streams
        .add(ConnId(2), mio::net::TcpStream::from_std(socket.into()), super::State::Connecting(Time::NEVER))
        .unwrap();
    let mut told = vec![];
    wait_until(|| {
        turn(&mut a, &mut told);
        !told.is_empty()
    });
    assert_eq!(told, [(ConnId(2), Told::Refused)]);
}

#[test]
fn what_is_not_read_by_the_peer_is_bounded_here() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut a = net(|n| n.max_output(100_000));
    let mut told = vec![];
    a.connect(now(), ConnId(2), listener.local_addr().unwrap());
    wait_until(|| {
        turn(&mut a, &mut told);
        !told.is_empty()
    });
    let mut written = 0u64;
    wait_until(|| {
        a.write(ConnId(2), Bytes::from(vec![0; 50_000]));
        written += 50_000;
        turn(&mut a, &mut told);
        told.len() == 2
    });
    assert_eq!(told[1], (ConnId(2), Told::Closed));
    assert_eq!(a.stats().streams_overflowed, 1);
    assert!(written > 100_000);
}

#[test]
fn a_killed_peer_is_seen_and_more_than_the_limit_are_turned_away() {
    let mut a = net(|n| n.max_streams(1));
    let mut told = vec![];
    let first = std::net::TcpStream::connect(a.local_addr()).unwrap();
    let _second = std::net::TcpStream::connect(a.local_addr()).unwrap();
    wait_until(|| {
        turn(&mut a, &mut told);
        a.stats().accepts_refused == 1
    });
    socket2::SockRef::from(&first).set_linger(Some(Duration::ZERO)).unwrap();
    drop(first);
    wait_until(|| {
        turn(&mut a, &mut told);
        told.len() == 2
    });
    assert_eq!(told, [(ConnId(1), Told::Accepted), (ConnId(1), Told::Closed)]);
}

#[test]
fn accepted_streams_are_set_up_as_those_that_are_made() {
    let (mut a, mut b) = (net(|n| n), net(|n| n));
    let (mut at_a, mut at_b) = (vec![], vec![]);
    a.connect(now(), ConnId(2), b.local_addr());
    wait_until(|| {
        turn(&mut a, &mut at_a);
        turn(&mut b, &mut at_b);
        at_a.iter().any(|t| t.1 == Told::Connected) && at_b.iter().any(|t| t.1 == Told::Accepted)
    });
    let set_up = |net: &Net| {
        let conn = net.streams.conns.iter().flatten().next().unwrap();
        let socket = SockRef::from(&conn.stream);
        let keepalive = (socket.keepalive().unwrap(), socket.tcp_keepalive_time().unwrap());
        (socket.tcp_nodelay().unwrap(), keepalive)
    };
    assert_eq!(set_up(&a), (true, (true, Duration::from_secs(15))));
    assert_eq!(set_up(&b), set_up(&a));
}

#[test]
fn what_waits_for_all_is_bounded_and_who_has_most_of_it_goes() {
    let (mut a, b) = (net(|n| n.max_output(1 << 20).max_outputs(1 << 20)), net(|n| n));
    for id in [2, 4] {
        a.connect(now(), ConnId(id), b.local_addr());
    }
    a.write(ConnId(2), Bytes::from(vec![0; 700_000]));
    a.write(ConnId(4), Bytes::from(vec![0; 300_000]));
    assert_eq!((a.stats().streams_overflowed, a.streams()), (0, 2));
    a.write(ConnId(4), Bytes::from(vec![0; 100_000]));
    assert_eq!((a.stats().streams_overflowed, a.streams()), (1, 1));
    let mut told = vec![];
    turn(&mut a, &mut told);
    assert!(told.contains(&(ConnId(2), Told::Closed)), "{told:?}");
    // What the one that went had waiting counts no more.
    a.write(ConnId(4), Bytes::from(vec![0; 500_000]));
    assert_eq!(a.stats().streams_overflowed, 1);
}

/// Those that say nothing and never end must not keep others out for as long as it takes to close in order.
#[test]
fn a_connection_that_only_waits_for_its_peers_end_makes_room() {
    let mut a = net(|n| n.max_streams(2));
    let at = a.local_addr();
    let mut told = vec![];
    let mut accepted = |a: &mut Net, n: usize| {
        wait_until(|| {
            turn(a, &mut told);
            told.iter().filter(|(_, t)| *t == Told::Accepted).count() == n
        });
    };
    let mut peers: Vec<_> = (0..2).map(|_| std::net::TcpStream::connect(at).unwrap()).collect();
    accepted(&mut a, 2);
    a.write(ConnId(1), Bytes::from_static(b"farewell"));
    a.close(now(), ConnId(1));
    accepted(&mut a, 2);
    peers.push(std::net::TcpStream::connect(at).unwrap());
    accepted(&mut a, 3);
    assert_eq!((a.streams(), a.stats().accepts_refused), (2, 0));
    let mut got = Vec::new();
    std::io::Read::read_to_end(&mut peers[0], &mut got).unwrap();
    assert_eq!(got, b"farewell");
    // Who was told nothing has nothing to wait for.
    a.close(now(), ConnId(3));
    a.flush();
    assert_eq!(a.streams(), 1);
}
