//! What a node still tells when it ends, or begins anew elsewhere: the bare core, without a network.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use convoke::proto::{Command, Config, Event, Founding, MessageLimits, Node, SendError, Start, StopReason};
use convoke::types::{ConventionId, Name, NodeId, Time};
use std::time::Duration;

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

/// A candidate that leads alone, with a store whose writes are done as far as the test says.
struct Alone {
    node: Node,
    now: Time,
}

impl Alone {
    fn new() -> Self {
        let limits = MessageLimits { message: 1_000, queue: 10_000, ..MessageLimits::default() };
        let config = Config::builder(ConventionId::new("site").unwrap(), id("a")).candidate().messages(limits);
        let config = config.found(Founding::Alone).build().unwrap();
        let now = Time::from_micros(1_000_000);
        let addrs = vec!["127.0.0.1:1".parse().unwrap()];
        let start = Start { seed: 7, wall_clock_us: 1, addrs, durable: true, restored: None };
        let mut alone = Self { node: Node::new(config, start, now), now };
        alone.pass(Duration::from_secs(5));
        assert!(alone.events().iter().any(|e| matches!(e, Event::Leader { leader: Some(_), .. })));
        alone
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = self.node.poll_timeout().unwrap_or(Time::NEVER).clamp(self.now, end);
            self.node.handle_timeout(self.now);
            self.store();
            self.send();
            self.now = self.now + Duration::from_millis(1);
        }
    }

    fn store(&mut self) {
        while let Some(write) = self.node.poll_store() {
            self.node.handle_stored(self.now, write.seq);
        }
    }

    fn send(&mut self) {
        let mut buffer = Vec::new();
        while self.node.poll_transmit(&mut buffer).is_some() || self.node.poll_move() {}
        while self.node.poll_stream().is_some() {}
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.node.poll_event()).collect()
    }
}

#[test]
fn who_was_refused_hears_of_room_after_a_move() {
    let mut a = Alone::new();
    let body = Bytes::from(vec![1; 1_000]);
    while a.node.send(a.now, &id("x"), body.clone()).is_ok() {}
    assert_eq!(a.node.send(a.now, &id("x"), body), Err(SendError::Full));
    a.node.handle_command(a.now, Command::Move { multicast: true, seeds: false }).unwrap();
    a.pass(Duration::from_secs(5));
    let events = a.events();
    let back = events.iter().filter(|e| matches!(e, Event::Undeliverable { .. })).count();
    assert!(back > 5 && events.iter().any(|e| matches!(e, Event::Moved { .. })));
    assert!(events.contains(&Event::Writable { to: id("x") }), "it waits for ever");
}

#[test]
fn a_store_that_fails_after_the_end_swallows_nothing() {
    let mut a = Alone::new();
    a.node.send(a.now, &id("x"), Bytes::from_static(b"?")).unwrap();
    // Something is being written while it stops.
    a.node.handle_command(a.now, Command::Claim(Name::new("lamp").unwrap())).unwrap();
    a.node.handle_command(a.now, Command::Leave).unwrap();
    let mut told = Vec::new();
    for _ in 0..10_000 {
        a.now = a.node.poll_timeout().unwrap_or(a.now).max(a.now) + Duration::from_millis(1);
        a.node.handle_timeout(a.now);
        a.send();
        told.extend(a.events());
    }
    a.node.handle_store_failed(a.now);
    told.extend(a.events());
    assert!(matches!(told.last(), Some(Event::Stopped(StopReason::Left | StopReason::Store))), "{told:?}");
    assert!(told.iter().any(|e| matches!(e, Event::Undeliverable { .. })), "{told:?}");
}
