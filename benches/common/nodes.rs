//! Nodes on threads of their own, and messages between them.

use super::BODY;
use bytes::Bytes;
use convoke::driver::{Driver, DriverEvent, Setup};
use convoke::net::NetConfig;
use convoke::proto::{Config, ConfigBuilder, Event, Founding, Role, SendError};
use convoke::types::{ConventionId, NodeId};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

pub fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

/// A group of this run's own.
pub fn group(port: u16) -> SocketAddr {
    SocketAddr::new([239, 192, 67, 92].into(), port)
}

/// A port for a group: others for each process, ten in a row.
pub fn port() -> u16 {
    21_000 + (std::process::id() % 1_000) as u16 * 10
}

/// The configuration of a node; a candidate where there are to be some.
pub fn config(name: &str, candidates: Option<usize>) -> ConfigBuilder {
    let config = Config::builder(ConventionId::new("bench").unwrap(), id(name)).heartbeat(Duration::from_millis(100));
    match candidates {
        Some(n) => config.candidate().found(Founding::Expect(n)),
        None => config,
    }
}

/// A node that its thread waits for.
pub struct Side {
    pub driver: Driver,
}

impl Side {
    pub fn new(config: ConfigBuilder, net: NetConfig) -> Self {
        let setup = Setup { config: config.build().unwrap(), net, store: None };
        Self { driver: Driver::open(setup).unwrap() }
    }

    /// By multicast on loopback.
    pub fn loopback(name: &str, candidates: Option<usize>, group: SocketAddr) -> Self {
        Self::new(config(name, candidates), NetConfig::builder().multicast(group).build().unwrap())
    }

    /// One turn of its loop; `wait`: it may sleep first.
    pub fn turn(&mut self, wait: bool) {
        if wait {
            self.driver.wait(Some(Duration::from_millis(50))).unwrap();
        }
        self.driver.advance();
    }

    /// Runs it until something holds; events are thrown away.
    pub fn until(&mut self, what: &str, holds: impl Fn(&Driver) -> bool) {
        let start = Instant::now();
        while !holds(&self.driver) {
            assert!(start.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
            self.turn(true);
            while self.driver.poll_event().is_some() {}
        }
    }
}

/// Two nodes that know each other: the first one leads. The second one is a candidate too where its name says so.
pub fn pair(b: &str, port: u16) -> (Side, Side) {
    let group = group(port);
    let candidates = if b < "m" { 2 } else { 1 };
    let mut one = Side::loopback("a", Some(candidates), group);
    let mut two = Side::loopback(b, (b < "m").then_some(candidates), group);
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

/// Takes and counts messages as long as `goes_on` says so to what came in a turn.
pub fn count(side: &mut Side, mut goes_on: impl FnMut(u64) -> bool) {
    loop {
        side.turn(true);
        let mut n = 0;
        while let Some(event) = side.driver.poll_event() {
            if let DriverEvent::Node(Event::Message { body, .. }) = event {
                assert_eq!(body.len(), BODY);
                n += 1;
            }
        }
        if !goes_on(n) {
            return;
        }
    }
}

/// Sends messages, as many as go, as long as `goes_on` says so.
pub fn pour(side: &mut Side, to: &NodeId, mut goes_on: impl FnMut() -> bool) {
    let body = Bytes::from(vec![7; BODY]);
    while goes_on() {
        let mut full = false;
        for _ in 0..4_096 {
            full = match side.driver.send(to, body.clone()) {
                Ok(()) => false,
                Err(SendError::Full) => true,
                Err(e) => panic!("{e}"),
            };
            if full {
                break;
            }
        }
        side.turn(full);
        while let Some(event) = side.driver.poll_event() {
            assert!(!matches!(event, DriverEvent::Node(Event::Undeliverable { .. })), "{event:?}");
        }
    }
}

/// Sends back what comes, as long as `goes_on` says so.
pub fn echo(side: &mut Side, mut goes_on: impl FnMut() -> bool) {
    while goes_on() {
        side.turn(true);
        while let Some(event) = side.driver.poll_event() {
            if let DriverEvent::Node(Event::Message { from, body, .. }) = event {
                side.driver.send(&from, body).unwrap();
                side.driver.flush();
            }
        }
    }
}

/// How long one message after the other took there and back; the first ones don't count.
pub fn ping(side: &mut Side, to: &NodeId, rounds: usize) -> Vec<Duration> {
    let body = Bytes::from(vec![7; BODY]);
    let mut round = || {
        let start = Instant::now();
        side.driver.send(to, body.clone()).unwrap();
        side.driver.flush();
        loop {
            side.turn(true);
            while let Some(event) = side.driver.poll_event() {
                if let DriverEvent::Node(Event::Message { .. }) = event {
                    return start.elapsed();
                }
            }
        }
    };
    (0..rounds + 100).map(|_| round()).skip(100).collect()
}
