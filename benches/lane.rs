//! Messages over loopback, through real drivers on two threads, against what sockets alone can do in the same run.
//!
//! - one way: messages of 128 bytes, as many as go, against a loop that writes 64 framed ones with each writev and one
//!   that reads and counts them;
//! - there and back: one message at a time, against two loops of epoll that echo as many bytes;
//! - what is urgent: a change of the roll, which takes a frame each way between two candidates, while a transfer fills the
//!   same connection.
//!
//! `cargo bench --bench lane` (`-- --test` is a short one; `-- oneway`, `echo`, `urgent` is that part alone).
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use convoke::driver::{Driver, DriverEvent, Setup};
use convoke::net::NetConfig;
use convoke::proto::{Command, Config, Event, Founding, Role, SendError};
use convoke::types::{Capabilities, ConventionId, NodeId};
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const BODY: usize = 128;

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

/// A node in a poll of its own.
struct Side {
    poll: Poll,
    events: Events,
    driver: Driver,
}

impl Side {
    fn new(name: &str, candidates: usize, group: SocketAddr) -> Self {
        let poll = Poll::new().unwrap();
        let mut config = Config::builder(ConventionId::new("bench").unwrap(), id(name));
        if name < "m" {
            config = config.candidate().found(Founding::Expect(candidates));
        }
        let net = NetConfig::builder().multicast(group).build().unwrap();
        let config = config.heartbeat(Duration::from_millis(100)).build().unwrap();
        let driver = Driver::bind(Setup { config, net, store: None }, poll.registry(), Token(0)).unwrap();
        Self { poll, events: Events::with_capacity(8), driver }
    }

    fn turn(&mut self, wait: bool) {
        if wait {
            let timeout = self.driver.timeout();
            if timeout != Some(Duration::ZERO) {
                self.poll.poll(&mut self.events, timeout.map(|t| t.min(Duration::from_millis(50)))).unwrap();
            }
        }
        self.driver.advance();
    }
}

/// Two nodes that know each other: `a` leads.
fn pair(b: &str, port: u16) -> (Side, Side) {
    let group = SocketAddr::new([239, 192, 67, 92].into(), port);
    let candidates = if b < "m" { 2 } else { 1 };
    let (mut one, mut two) = (Side::new("a", candidates, group), Side::new(b, candidates, group));
    let start = Instant::now();
    while two.driver.node().registration().is_none() || two.driver.node().leader().is_none() {
        assert!(start.elapsed() < Duration::from_secs(20), "they don't find each other");
        for side in [&mut one, &mut two] {
            side.turn(false);
            while side.driver.poll_event().is_some() {}
        }
        thread::sleep(Duration::from_millis(1));
    }
    if two.driver.node().role() == Role::Leader { (two, one) } else { (one, two) }
}

fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let two = listener.accept().unwrap().0;
    for stream in [&one, &two] {
        stream.set_nodelay(true).unwrap();
    }
    (one, two)
}

/// Messages a second of a loop that writes 64 framed ones at a time.
fn raw_one_way(time: Duration) -> f64 {
    let (mut one, mut two) = tcp();
    let stop = Arc::new(AtomicBool::new(false));
    let reader = thread::spawn(move || {
        let (mut buffer, mut count, mut left) = (vec![0; 64 << 10], 0_u64, 0_usize);
        while let Ok(n) = two.read(&mut buffer) {
            if n == 0 {
                break;
            }
            left += n;
            count += (left / (BODY + 4)) as u64;
            left %= BODY + 4;
        }
        count
    });
    let mut framed = (BODY as u32).to_be_bytes().to_vec();
    framed.resize(BODY + 4, 7);
    let start = Instant::now();
    while start.elapsed() < time {
        let mut slices = [IoSlice::new(&framed); 64];
        let mut slices = &mut slices[..];
        while !slices.is_empty() {
            let n = one.write_vectored(slices).unwrap();
            IoSlice::advance_slices(&mut slices, n);
        }
    }
    stop.store(true, Ordering::Relaxed);
    drop(one);
    let count = reader.join().unwrap();
    count as f64 / start.elapsed().as_secs_f64()
}

/// Messages a second through two drivers.
fn lane_one_way(time: Duration, port: u16) -> f64 {
    let (mut one, mut two) = pair("m", port);
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (stopped, counted) = (stop.clone(), count.clone());
    let to = two.driver.node().config().id().clone();
    let reader = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            two.turn(true);
            let mut n = 0;
            while let Some(event) = two.driver.poll_event() {
                if let DriverEvent::Node(Event::Message { body, .. }) = event {
                    assert_eq!(body.len(), BODY);
                    n += 1;
                }
            }
            counted.fetch_add(n, Ordering::Relaxed);
        }
    });
    let body = Bytes::from(vec![7; BODY]);
    let (mut start, mut before, mut warm) = (Instant::now(), 0, false);
    let mut full = false;
    while !warm || start.elapsed() < time {
        if !warm && start.elapsed() > time / 4 {
            (warm, start, before) = (true, Instant::now(), count.load(Ordering::Relaxed));
        }
        for _ in 0..4_096 {
            full = match one.driver.send(&to, body.clone()) {
                Ok(()) => false,
                Err(SendError::Full) => true,
                Err(e) => panic!("{e}"),
            };
            if full {
                break;
            }
        }
        one.turn(full);
        while let Some(event) = one.driver.poll_event() {
            assert!(!matches!(event, DriverEvent::Node(Event::Undeliverable { .. })), "{event:?}");
        }
    }
    let rate = (count.load(Ordering::Relaxed) - before) as f64 / start.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    reader.join().unwrap();
    rate
}

/// One end of an echo by epoll: reads until a whole message is there.
struct Echo {
    poll: Poll,
    events: Events,
    stream: mio::net::TcpStream,
}

impl Echo {
    fn new(stream: TcpStream) -> Self {
        stream.set_nonblocking(true).unwrap();
        let (poll, mut stream) = (Poll::new().unwrap(), mio::net::TcpStream::from_std(stream));
        poll.registry().register(&mut stream, Token(0), Interest::READABLE).unwrap();
        Self { poll, events: Events::with_capacity(8), stream }
    }

    /// False at the end.
    fn read(&mut self) -> bool {
        let (mut buffer, mut come) = ([0; BODY + 4], 0);
        while come < buffer.len() {
            match self.stream.read(&mut buffer[come..]) {
                Ok(0) => return false,
                Ok(n) => come += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.poll.poll(&mut self.events, None).unwrap(),
                Err(_) => return false,
            }
        }
        true
    }
}

fn raw_echo(rounds: usize) -> Vec<Duration> {
    let (one, two) = tcp();
    let echo = thread::spawn(move || {
        let mut end = Echo::new(two);
        while end.read() {
            end.stream.write_all(&[7; BODY + 4]).unwrap();
        }
    });
    let mut end = Echo::new(one);
    let took = (0..rounds).map(|_| {
        let start = Instant::now();
        end.stream.write_all(&[7; BODY + 4]).unwrap();
        assert!(end.read());
        start.elapsed()
    });
    let took = took.collect();
    drop(end);
    echo.join().unwrap();
    took
}

fn lane_echo(rounds: usize, port: u16) -> Vec<Duration> {
    let (mut one, mut two) = pair("m", port);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let (from, to) = (one.driver.node().config().id().clone(), two.driver.node().config().id().clone());
    let echo = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            two.turn(true);
            while let Some(event) = two.driver.poll_event() {
                if let DriverEvent::Node(Event::Message { body, .. }) = event {
                    two.driver.send(&from, body).unwrap();
                    two.driver.flush();
                }
            }
        }
    });
    let body = Bytes::from(vec![7; BODY]);
    let mut round = || {
        let start = Instant::now();
        one.driver.send(&to, body.clone()).unwrap();
        one.driver.flush();
        loop {
            one.turn(true);
            while let Some(event) = one.driver.poll_event() {
                if let DriverEvent::Node(Event::Message { .. }) = event {
                    return start.elapsed();
                }
            }
        }
    };
    let took = (0..rounds + 100).map(|_| round()).skip(100).collect();
    stop.store(true, Ordering::Relaxed);
    echo.join().unwrap();
    took
}

/// How long changes of the roll take while a transfer fills the same connection; and the transfer's bytes a second.
fn urgent(rounds: usize, port: u16, bulk: bool) -> (Vec<Duration>, f64) {
    let (mut one, mut two) = pair("b", port);
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, taken) = (stop.clone(), Arc::new(AtomicU64::new(0)));
    let counted = taken.clone();
    let to = two.driver.node().config().id().clone();
    let reader = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            two.turn(true);
            while let Some(event) = two.driver.poll_event() {
                if let DriverEvent::Node(Event::Message { body, .. }) = event {
                    counted.fetch_add(body.len() as u64, Ordering::Relaxed);
                }
            }
        }
    });
    let body = Bytes::from(vec![7; 1 << 20]);
    let (mut took, begun) = (Vec::new(), Instant::now());
    let mut asked: Option<Instant> = None;
    let mut at = Instant::now() + Duration::from_millis(200);
    while took.len() < rounds {
        if bulk {
            while one.driver.send(&to, body.clone()).is_ok() {}
        }
        if asked.is_none() && Instant::now() >= at {
            let mut capabilities = Capabilities::new();
            capabilities.set("n", &took.len().to_string()).unwrap();
            one.driver.command(Command::SetCapabilities(capabilities)).unwrap();
            asked = Some(Instant::now());
        }
        one.turn(bulk || asked.is_some());
        while let Some(event) = one.driver.poll_event() {
            if let DriverEvent::Node(Event::Updated { .. }) = event
                && let Some(start) = asked.take()
            {
                took.push(start.elapsed());
                at = Instant::now() + Duration::from_millis(2);
            }
        }
    }
    let rate = taken.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    reader.join().unwrap();
    (took, rate)
}

/// The part of the sorted times that is given in thousandths.
fn part(took: &mut [Duration], thousandths: usize) -> Duration {
    took.sort_unstable();
    took[(took.len() * thousandths / 1_000).min(took.len() - 1)]
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    // `cargo bench` says --bench; without it this is a test run.
    let short = args.iter().any(|a| a == "--test") || !args.iter().any(|a| a == "--bench");
    let (time, rounds) = if short { (Duration::from_millis(400), 500) } else { (Duration::from_secs(3), 20_000) };
    let port = 21_000 + (std::process::id() % 1_000) as u16 * 10;

    let parts = ["oneway", "echo", "urgent"];
    let named = args.iter().any(|a| parts.contains(&a.as_str()));
    let runs = |part: &str| !named || args.iter().any(|a| a == part);
    for round in 0..if !runs("oneway") {
        0
    } else if short {
        1
    } else {
        3
    } {
        let (raw, lane) = (raw_one_way(time), lane_one_way(time, port + round));
        println!(
            "one way, {BODY} bytes: raw {:.2}, lane {:.2} million messages a second: {:.0} % of raw",
            raw / 1e6,
            lane / 1e6,
            lane / raw * 100.0
        );
    }
    if runs("echo") {
        echo(rounds, port + 4);
    }
    if runs("urgent") {
        beside(if short { 50 } else { 1_000 }, port + 6);
    }
}

fn echo(rounds: usize, port: u16) {
    let (mut raw, mut lane) = (raw_echo(rounds), lane_echo(rounds, port));
    let ratio = part(&mut lane, 500).as_secs_f64() / part(&mut raw, 500).as_secs_f64();
    println!(
        "there and back: raw {:?} (p99 {:?}), lane {:?} (p99 {:?}) in the median: {ratio:.2} times raw",
        part(&mut raw, 500),
        part(&mut raw, 990),
        part(&mut lane, 500),
        part(&mut lane, 990),
    );
}

fn beside(rounds: usize, port: u16) {
    let (mut alone, _) = urgent(rounds, port, false);
    let (mut beside, rate) = urgent(rounds, port + 2, true);
    println!(
        "a change of the roll: alone {:?} (p99 {:?}), beside a transfer of {:.0} MB a second {:?} (p99 {:?})",
        part(&mut alone, 500),
        part(&mut alone, 990),
        rate / 1e6,
        part(&mut beside, 500),
        part(&mut beside, 990),
    );
}
