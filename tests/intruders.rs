//! Bad input over real sockets: whoever doesn't keep to the protocol is cut off, counted by its reason, in bounded time and
//! memory, and the others don't notice.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use bytes::{Bytes, BytesMut};
use convoke::driver::{DriverEvent, Handle, Setup};
use convoke::net::NetConfig;
use convoke::proto::{Config, ConfigBuilder, Event, Founding, MessageLimits, SendError, Stats, Undelivered};
use convoke::types::{Capabilities, ConventionId, Identity, Incarnation, Lineage, MemberInfo, NodeId, Standing, Term};
use convoke::wire::{FrameReader, Hello, Message, Open, Resume, encode_message};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
const CONVENTION: &str = "intruders";
const STRANGERS: usize = 32;

/// A group whose port no other test uses.
fn group() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 47_100 + (std::process::id() % 300) as u16 * 40;
    SocketAddr::new([239, 192, 67, 93].into(), base + NEXT.fetch_add(2, Ordering::Relaxed))
}

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn convention() -> ConventionId {
    ConventionId::new(CONVENTION).unwrap()
}

/// A leader `a` and two members, `m` and `n`, who talk with each other all the while.
struct Site {
    leader: Handle,
    m: Handle,
    n: Handle,
    lineage: Lineage,
    sent: u32,
}

impl Site {
    fn new() -> Self {
        let group = group();
        let limits = MessageLimits {
            message: 1 << 20,
            queue: 4 << 20,
            queues: 8 << 20,
            windows: 8 << 20,
            idle: Duration::from_millis(1_500),
            patience: Some(Duration::from_secs(2)),
            ..MessageLimits::default()
        };
        let spawn = |change: fn(ConfigBuilder) -> ConfigBuilder, name: &str| {
            let config = Config::builder(convention(), id(name)).heartbeat(Duration::from_millis(100)).detect(30);
            let config = change(config).max_strangers(STRANGERS).messages(limits.clone()).build().unwrap();
            let net = NetConfig::builder().multicast(group).max_outputs(16 << 20).build().unwrap();
            Handle::spawn(Setup { config, net, store: None }).unwrap()
        };
        let leader = spawn(|c| c.candidate().found(Founding::Alone), "a");
        let (m, n) = (spawn(|c| c, "m"), spawn(|c| c, "n"));
        let start = Instant::now();
        while [&m, &n].iter().any(|h| h.inspect(|n| n.registration().is_none()).unwrap()) {
            assert!(start.elapsed() < PATIENCE, "they don't register");
            std::thread::sleep(Duration::from_millis(5));
        }
        let lineage = leader.inspect(|n| n.lineage()).unwrap();
        Self { leader, m, n, lineage, sent: 0 }
    }

    /// A message gets from one to the other; the leader leads; nobody has left.
    fn lives(&mut self) {
        self.sent += 1;
        let body = Bytes::copy_from_slice(&self.sent.to_be_bytes());
        self.m.send(&id("n"), body.clone()).unwrap();
        let start = Instant::now();
        loop {
            match self.n.recv_timeout(PATIENCE).unwrap() {
                Some(DriverEvent::Node(Event::Message { body: got, .. })) => {
                    assert_eq!(got, body);
                    break;
                }
                Some(DriverEvent::Node(Event::Leader { leader: None, .. })) => panic!("n lost its leader"),
                _ => assert!(start.elapsed() < PATIENCE, "no message gets through"),
            }
        }
        assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
        while let Ok(Some(event)) = self.leader.try_recv() {
            assert!(!matches!(event, DriverEvent::Node(Event::Left { .. })), "{event:?}");
        }
    }

    fn stats(&self, of: &str) -> Stats {
        self.get(of).inspect(|n| *n.stats()).unwrap()
    }

    fn get(&self, name: &str) -> &Handle {
        match name {
            "a" => &self.leader,
            "m" => &self.m,
            _ => &self.n,
        }
    }

    fn connect(&self, to: &str) -> TcpStream {
        let stream = TcpStream::connect(self.get(to).local_addr()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// A connection of a member `x`, after the handshake.
    fn greeted(&self, to: &str) -> (TcpStream, Incarnation) {
        let mut stream = self.connect(to);
        stream.write_all(&frame(&Message::Hello(hello(self.lineage)))).unwrap();
        let (mut reader, mut buffer) = (FrameReader::new(), [0; 4_096]);
        loop {
            match reader.next(convention().tag()).unwrap() {
                Some(Message::Hello(hello)) => return (stream, hello.info.incarnation),
                Some(_) => {}
                None => {
                    let n = stream.read(&mut buffer).unwrap();
                    assert!(n > 0, "no answer to the handshake");
                    reader.push(&buffer[..n]);
                }
            }
        }
    }

    /// Waits until the counters say so.
    fn until(&mut self, of: &str, what: &str, holds: impl Fn(&Stats) -> bool) {
        let start = Instant::now();
        while !holds(&self.stats(of)) {
            assert!(start.elapsed() < PATIENCE, "{what}: {:?}", self.stats(of));
            self.lives();
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn hello(lineage: Lineage) -> Hello {
    let info = MemberInfo {
        id: id("x"),
        incarnation: Incarnation(1),
        identity: Identity(1),
        standing: Standing::Member,
        priority: 0,
        durable: false,
        multicast: true,
        provable: true,
        follows: false,
        outbound: false,
        addrs: vec!["127.0.0.1:9".parse().unwrap()],
        revision: 0,
        capabilities: Capabilities::new(),
    };
    Hello { convention: CONVENTION.into(), lineage, parents: Vec::new(), term: Term::ZERO, info }
}

fn frame(message: &Message) -> Vec<u8> {
    let mut buf = BytesMut::new();
    encode_message(message, convention().tag(), &mut buf);
    buf.to_vec()
}

/// True once the other end has closed; what it says before that is thrown away.
fn is_closed(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 4_096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock || e.kind() == ErrorKind::TimedOut => return false,
            Err(_) => return true,
        }
    }
}

#[test]
fn many_connections_that_say_nothing() {
    let mut site = Site::new();
    for to in ["a", "n"] {
        let silent: Vec<TcpStream> = (0..STRANGERS * 4).map(|_| site.connect(to)).collect();
        site.until(to, "the oldest go first", |s| s.streams_cut_crowded >= STRANGERS as u64 * 3);
        // Who says who it is finds room all the same.
        let (_known, _) = site.greeted(to);
        site.until(to, "the rest go in time", |s| s.streams_cut_silent >= STRANGERS as u64 / 2);
        for mut stream in silent {
            assert!(is_closed(&mut stream), "it stays open");
        }
    }
}

#[test]
fn a_claim_of_four_gigabytes() {
    let mut site = Site::new();
    for to in ["a", "n"] {
        for greeted in [false, true] {
            let mut stream = if greeted { site.greeted(to).0 } else { site.connect(to) };
            let before = site.stats(to);
            stream.write_all(&[0xFF; 64]).unwrap();
            assert!(is_closed(&mut stream), "{to}: it stays open");
            let after = site.stats(to);
            assert_eq!(after.dropped_oversized, before.dropped_oversized + 1);
            assert_eq!(after.streams_cut_malformed, before.streams_cut_malformed + 1);
            site.lives();
        }
    }
}

#[test]
fn half_a_frame_and_nothing_more() {
    let mut site = Site::new();
    for to in ["a", "n"] {
        let hello = frame(&Message::Hello(hello(site.lineage)));
        let mut unnamed = site.connect(to);
        unnamed.write_all(&hello[..hello.len() / 2]).unwrap();
        let (mut named, _) = site.greeted(to);
        // The beginning of a frame of 100 kB, far more than a first frame has.
        named.write_all(&[&[0, 1, 0x86, 0xA0][..], &[0xC1; 50_000]].concat()).unwrap();
        let mut large = site.connect(to);
        large.write_all(&[&[0, 1, 0x86, 0xA0][..], &[0xC1; 50_000]].concat()).unwrap();
        assert!(is_closed(&mut large), "{to} waits for a first frame of 100 kB");
        site.until(to, "who doesn't say who it is is cut", |s| s.streams_cut_silent >= 1);
        assert!(is_closed(&mut unnamed));
        site.until(to, "who says nothing more is closed", |s| s.lanes_closed + s.streams_cut_silent >= 2);
        assert!(is_closed(&mut named));
    }
}

/// Writes as long as the other end takes it; false where it has closed.
fn flood(stream: &mut TcpStream, bytes: &[u8], reads: bool) -> bool {
    let mut buffer = [0; 64 << 10];
    if reads {
        stream.set_nonblocking(true).unwrap();
        while matches!(stream.read(&mut buffer), Ok(n) if n > 0) {}
        stream.set_nonblocking(false).unwrap();
    }
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    match stream.write_all(bytes) {
        Ok(()) => true,
        Err(e) => e.kind() == ErrorKind::WouldBlock || e.kind() == ErrorKind::TimedOut,
    }
}

#[test]
fn control_frames_without_end() {
    let mut site = Site::new();
    let pings = frame(&Message::Ping(1)).repeat(2_000);
    for to in ["a", "n"] {
        for reads in [true, false] {
            let before = site.stats(to);
            let (mut stream, _) = site.greeted(to);
            let start = Instant::now();
            while flood(&mut stream, &pings, reads) {
                assert!(start.elapsed() < PATIENCE, "{to} takes them for ever: {:?}", site.stats(to));
                if start.elapsed().subsec_millis() < 20 {
                    site.lives();
                }
            }
            // Who is too slow for a flood, or is heard too slowly, is closed as one who has nothing to say.
            let (after, overflowed) = (site.stats(to), site.get(to).net_stats().unwrap().streams_overflowed);
            let cut = after.streams_cut_flooding - before.streams_cut_flooding;
            let idle = after.lanes_closed - before.lanes_closed;
            assert!(cut + idle + overflowed > 0, "{to}: it is said why: {after:?}");
            site.lives();
        }
    }
}

#[test]
fn a_receiver_that_stops_reading() {
    let mut site = Site::new();
    let (mut stream, incarnation) = site.greeted("n");
    // It lets the node send as much as it likes.
    let body = Bytes::from(vec![7; 100_000]);
    site.n.send(&id("x"), body.clone()).unwrap();
    let resume = Resume { incarnation, have: 0, credit: 1 << 40 };
    let open = Open { incarnation: Incarnation(1), to: incarnation, base: 1 };
    stream.write_all(&[frame(&Message::Open(open)), frame(&Message::Resume(resume))].concat()).unwrap();
    let (start, mut accepted) = (Instant::now(), 1);
    loop {
        match site.n.send(&id("x"), body.clone()) {
            Ok(()) => accepted += 1,
            Err(SendError::Full) => break,
            Err(e) => panic!("{e}"),
        }
        assert!(start.elapsed() < PATIENCE && accepted < 1_000, "{accepted} messages were accepted");
    }
    assert!(accepted >= 20, "{accepted} were accepted");
    site.leader.send(&id("m"), Bytes::from_static(b"quick")).unwrap();
    // All of them come back, with a reason.
    let mut back = 0;
    while back < accepted {
        match site.n.recv_timeout(PATIENCE).unwrap() {
            Some(DriverEvent::Node(Event::Undeliverable { to, reason, .. })) => {
                assert_eq!(to, id("x"));
                assert!(reason != Undelivered::Stopped && reason != Undelivered::TooLarge, "{reason:?}");
                back += 1;
            }
            Some(_) => {}
            None => panic!("{back} of {accepted} came back"),
        }
    }
    assert!(site.stats("n").streams_cut_silent > 0);
    assert!(is_closed(&mut stream));
    site.lives();
}
