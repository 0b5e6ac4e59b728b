//! Messages between nodes, with real sockets on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use bytes::Bytes;
use convoke::driver::{DriverEvent, Handle, Setup};
use convoke::net::NetConfig;
use convoke::proto::{Config, ConfigBuilder, Event, Founding, MessageLane, MessageLimits, SendError, Undelivered};
use convoke::types::{ConventionId, NodeId};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// A group whose port no other test uses.
fn group() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 31_000 + (std::process::id() % 400) as u16 * 40;
    SocketAddr::new([239, 192, 67, 91].into(), base + NEXT.fetch_add(2, Ordering::Relaxed))
}

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn config(name: &str) -> ConfigBuilder {
    Config::builder(ConventionId::new("lanes").unwrap(), id(name)).heartbeat(Duration::from_millis(100))
}

fn spawn(config: ConfigBuilder, group: SocketAddr) -> Handle {
    let net = NetConfig::builder().multicast(group).build().unwrap();
    Handle::spawn(Setup { config: config.build().unwrap(), net, store: None }).unwrap()
}

/// The next event about messages.
fn next(handle: &Handle, within: Duration) -> Option<Event> {
    let until = Instant::now() + within;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        if let Ok(Some(DriverEvent::Node(
            event @ (Event::Message { .. } | Event::Undeliverable { .. } | Event::Writable { .. }),
        ))) = handle.recv_timeout(left)
        {
            return Some(event);
        }
    }
    None
}

fn message(handle: &Handle) -> (NodeId, Bytes, MessageLane) {
    match next(handle, PATIENCE) {
        Some(Event::Message { from, body, lane, .. }) => (from, body, lane),
        other => panic!("a message was expected: {other:?}"),
    }
}

fn registered(handles: &[&Handle]) {
    let start = Instant::now();
    while handles.iter().any(|h| h.inspect(|n| n.registration().is_none()).unwrap()) {
        assert!(start.elapsed() < PATIENCE, "they don't register");
        std::thread::sleep(Duration::from_millis(5));
    }
}

struct Site {
    candidates: Vec<Handle>,
    members: Vec<Handle>,
}

/// Two candidates, `a` and `b`, and two members, `m` and `n`.
fn site(limits: MessageLimits) -> Site {
    let group = group();
    let candidate = |name| config(name).candidate().found(Founding::Expect(2)).messages(limits.clone());
    let candidates: Vec<_> = ["a", "b"].into_iter().map(|name| spawn(candidate(name), group)).collect();
    let members = ["m", "n"].into_iter().map(|name| spawn(config(name).messages(limits.clone()), group)).collect();
    let site = Site { candidates, members };
    registered(&site.all());
    site
}

impl Site {
    fn all(&self) -> Vec<&Handle> {
        self.candidates.iter().chain(&self.members).collect()
    }

    fn get(&self, name: &str) -> &Handle {
        let at = ["a", "b", "m", "n"].iter().position(|n| *n == name).unwrap();
        self.all()[at]
    }
}

#[test]
fn between_any_two_in_order_and_by_one_connection() {
    let site = site(MessageLimits::default());
    for (from, to) in [("a", "b"), ("m", "n"), ("n", "m"), ("m", "a"), ("b", "m"), ("b", "a")] {
        for n in 0..200_u32 {
            site.get(from).send(&id(to), Bytes::copy_from_slice(&n.to_be_bytes())).unwrap();
        }
        for n in 0..200_u32 {
            assert_eq!(
                message(site.get(to)),
                (id(from), Bytes::copy_from_slice(&n.to_be_bytes()), MessageLane::Stream)
            );
        }
    }
    let opened = |name: &str| site.get(name).inspect(|n| n.stats().lanes_opened).unwrap();
    assert_eq!((opened("m"), opened("n")), (3, 1), "m talks with n, a and b, n with m");
    assert_eq!((opened("a"), opened("b")), (1, 1), "between candidates no further one is made");
    site.get("m").send_datagram(&id("n"), Bytes::from_static(b"quick")).unwrap();
    assert_eq!(message(site.get("n")), (id("m"), Bytes::from_static(b"quick"), MessageLane::Datagram));
}

#[test]
fn large_ones_come_whole_and_too_large_ones_not_at_all() {
    let site = site(MessageLimits::default());
    let large: Bytes = (0..12_000_000_u32).map(|n| (n / 7) as u8).collect::<Vec<_>>().into();
    for (from, to) in [("a", "m"), ("m", "b"), ("a", "b")] {
        site.get(from).send(&id(to), large.clone()).unwrap();
        site.get(from).send(&id(to), Bytes::from_static(b"after")).unwrap();
        let (_, body, _) = message(site.get(to));
        assert!(body == large, "{} bytes came of {from}'s", body.len());
        assert_eq!(message(site.get(to)).1, "after");
    }
    let refused = site.get("a").send(&id("m"), vec![0; (16 << 20) + 1].into());
    assert_eq!(refused, Err(SendError::TooLarge(16 << 20)));
}

#[test]
fn what_cannot_be_delivered_comes_back() {
    let mut site = site(MessageLimits::default());
    for from in ["a", "m"] {
        site.get(from).send(&id("nobody"), Bytes::from_static(b"hello?")).unwrap();
        site.get(from).send_datagram(&id("nobody"), Bytes::from_static(b"hello!")).unwrap();
        for _ in 0..2 {
            let event = next(site.get(from), PATIENCE);
            let Some(Event::Undeliverable { to, reason, uncertain, .. }) = event else { panic!("{event:?}") };
            assert_eq!((to, reason, uncertain), (id("nobody"), Undelivered::NoSuchMember, false), "to {from}");
        }
    }
    site.get("a").send(&id("n"), Bytes::from_static(b"one")).unwrap();
    assert_eq!(message(site.get("n")).1, "one");
    // Its acknowledgement may take a moment.
    std::thread::sleep(Duration::from_millis(100));
    drop(site.members.pop());
    site.get("a").send(&id("n"), Bytes::from_static(b"two")).unwrap();
    let event = next(site.get("a"), PATIENCE);
    let Some(Event::Undeliverable { body, reason, .. }) = event else { panic!("{event:?}") };
    assert_eq!(body, "two");
    assert!(matches!(reason, Undelivered::Left | Undelivered::Unreachable), "{reason:?}");
}

#[test]
fn who_does_not_read_holds_up_its_senders_and_nobody_else() {
    let limits = MessageLimits { message: 1 << 20, queue: 2 << 20, queues: 8 << 20, ..MessageLimits::default() };
    let site = site(limits);
    let body = Bytes::from(vec![7; 100_000]);
    let mut sent = 0;
    // Nobody takes events of n.
    let start = Instant::now();
    let full = loop {
        match site.get("m").send(&id("n"), body.clone()) {
            Ok(()) => sent += 1,
            Err(SendError::Full) if start.elapsed() > Duration::from_secs(1) => break sent,
            Err(SendError::Full) => std::thread::sleep(Duration::from_millis(1)),
            Err(e) => panic!("{e}"),
        }
    };
    assert!((20..1_000).contains(&full), "{full} messages of 100 kB were accepted");
    // Its other lanes, and its heartbeats, go on.
    site.get("m").send(&id("a"), Bytes::from_static(b"quick")).unwrap();
    let start = Instant::now();
    assert_eq!(message(site.get("a")).1, "quick");
    assert!(start.elapsed() < Duration::from_secs(1));
    assert!(site.get("n").inspect(|n| n.registration().is_some() && n.leader().is_some()).unwrap());
    for n in 0..full {
        assert_eq!(message(site.get("n")).1.len(), 100_000, "message {n} of {full}");
    }
    loop {
        match next(site.get("m"), PATIENCE) {
            Some(Event::Writable { to }) if to == id("n") => break,
            Some(_) => {}
            None => panic!("there is room, and nobody is told"),
        }
    }
    site.get("m").send(&id("n"), Bytes::from_static(b"last")).unwrap();
    assert_eq!(message(site.get("n")).1, "last");
}

#[test]
fn idle_connections_are_closed_and_made_again() {
    let limits = MessageLimits { idle: Duration::from_millis(200), ..MessageLimits::default() };
    let site = site(limits);
    for n in 1..=3_u64 {
        site.get("m").send(&id("n"), Bytes::from_static(b"again")).unwrap();
        assert_eq!(message(site.get("n")).1, "again");
        let start = Instant::now();
        let closed = || ["m", "n"].map(|name| site.get(name).inspect(|n| n.stats().lanes_closed).unwrap());
        while closed().iter().sum::<u64>() < n {
            assert!(start.elapsed() < PATIENCE, "it stays open");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The next event about broadcasts.
fn next_broadcast(handle: &Handle) -> Event {
    let until = Instant::now() + PATIENCE;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        if let Ok(Some(DriverEvent::Node(
            event @ (Event::Message { lane: MessageLane::Broadcast, .. }
            | Event::BroadcastCommitted { .. }
            | Event::BroadcastFailed { .. }
            | Event::BroadcastsMissed { .. }
            | Event::BroadcastWritable),
        ))) = handle.recv_timeout(left)
        {
            return event;
        }
    }
    panic!("an event about broadcasts was expected");
}

#[test]
fn a_broadcast_is_given_to_all_and_its_sender_knows() {
    let mut site = site(MessageLimits::default());
    for (n, from) in (1..).zip(["m", "a", "b", "m", "n"]) {
        let body = Bytes::from(vec![n as u8; n * 9_000]);
        let number = site.get(from).broadcast(body.clone()).unwrap();
        for to in ["a", "b", "m", "n"] {
            let (mut given, mut committed) = (None, to != from);
            while given.is_none() || !committed {
                match next_broadcast(site.get(to)) {
                    Event::Message { from, body, .. } => given = Some((from, body)),
                    Event::BroadcastCommitted { number: of } => committed = of == number,
                    other => panic!("{to}: {other:?}"),
                }
            }
            assert_eq!(given, Some((id(from), body.clone())), "at {to}");
        }
    }
    let most = convoke::wire::MAX_BROADCAST;
    assert_eq!(site.get("m").broadcast(vec![0; most + 1].into()), Err(SendError::TooLarge(most)));
    // Many at once, by two, though no more than are kept: in one order, and each sender's in its own.
    let mut order = Vec::new();
    thread::scope(|scope| {
        for from in ["m", "n"] {
            let handle = site.get(from);
            scope.spawn(move || {
                for n in 0..400_u32 {
                    while handle.broadcast(Bytes::copy_from_slice(&n.to_be_bytes())).is_err() {
                        thread::sleep(Duration::from_millis(1));
                    }
                }
            });
        }
        for to in ["a", "b", "m", "n"] {
            let mut given = Vec::new();
            while given.len() < 800 {
                if let Event::Message { from, body, .. } = next_broadcast(site.get(to)) {
                    given.push((from, body));
                }
            }
            for from in ["m", "n"] {
                let own = given.iter().filter(|(f, _)| *f == id(from)).map(|(_, b)| b.clone());
                assert!(own.eq((0..400_u32).map(|n| Bytes::copy_from_slice(&n.to_be_bytes()))), "{from} at {to}");
            }
            order.push(given);
        }
    });
    assert!(order.windows(2).all(|pair| pair[0] == pair[1]));
    // What waits when the node goes comes back.
    let mut n = site.members.pop().unwrap();
    n.shutdown(PATIENCE).unwrap();
    assert_eq!(n.broadcast(Bytes::new()), Err(SendError::Stopped));
}
