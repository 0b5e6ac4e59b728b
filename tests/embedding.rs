//! The ways to embed a node, with real sockets on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use convoke::driver::{Driver, DriverEvent, FileStore, Handle, Setup};
use convoke::net::{NetConfig, NetConfigBuilder};
use convoke::proto::{Command, Config, ConfigBuilder, Event, Founding, Role};
use convoke::types::{ConventionId, NodeId};
use mio::{Events, Poll, Token};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(15);

/// A group whose port no other test uses.
fn group() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 12_000 + (std::process::id() % 400) as u16 * 40;
    SocketAddr::new([239, 192, 67, 90].into(), base + NEXT.fetch_add(2, Ordering::Relaxed))
}

fn config(name: &str) -> ConfigBuilder {
    Config::builder(ConventionId::new("embedding").unwrap(), NodeId::new(name).unwrap())
        .heartbeat(Duration::from_millis(100))
}

fn candidate(name: &str, of: usize) -> ConfigBuilder {
    config(name).candidate().found(Founding::Expect(of))
}

fn setup(config: ConfigBuilder, net: NetConfigBuilder) -> Setup {
    Setup { config: config.build().unwrap(), net: net.build().unwrap(), store: None }
}

fn by_multicast(config: ConfigBuilder, group: SocketAddr) -> Handle {
    Handle::spawn(setup(config, NetConfig::builder().multicast(group))).unwrap()
}

/// What a node is and whom it follows, for the messages of failed tests.
fn look(handle: &Handle) -> (Role, Option<NodeId>, u64) {
    handle.inspect(|n| (n.role(), n.leader().map(|l| l.id), n.term().0)).unwrap()
}

/// Waits until all of them follow the same leader, other than `not`.
fn agreed(handles: &[&Handle], not: Option<&NodeId>) -> NodeId {
    let start = Instant::now();
    loop {
        let views: Vec<_> = handles.iter().map(|h| look(h)).collect();
        if let Some(leader) = views[0].1.clone()
            && Some(&leader) != not
            && views.iter().all(|v| v.1.as_ref() == Some(&leader))
        {
            return leader;
        }
        assert!(start.elapsed() < PATIENCE, "they don't agree: {views:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a node is registered.
fn registered(handle: &Handle) {
    let start = Instant::now();
    while handle.inspect(|n| n.registration().is_none()).unwrap() {
        assert!(start.elapsed() < PATIENCE, "it isn't registered: {:?}", look(handle));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn three_drivers_in_one_poll_of_the_caller() {
    let mut poll = Poll::new().unwrap();
    let group = group();
    let mut drivers: Vec<Driver> = ["a", "b", "c"]
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let setup = setup(candidate(name, 3), NetConfig::builder().multicast(group));
            Driver::bind(setup, poll.registry(), Token(i)).unwrap()
        })
        .collect();
    let start = Instant::now();
    let mut events = Events::with_capacity(8);
    let mut first: Option<NodeId> = None;
    let mut stopped = false;
    loop {
        let timeout = drivers.iter().filter_map(Driver::timeout).min();
        poll.poll(&mut events, timeout).unwrap();
        for driver in &mut drivers {
            driver.advance();
            while let Some(event) = driver.poll_event() {
                stopped |= matches!(event, DriverEvent::Node(Event::Stopped(_)));
            }
        }
        let leader = |d: &Driver| d.node().leader().map(|l| l.id);
        match &first {
            None => {
                let one = leader(&drivers[0]);
                if one.is_some() && drivers.iter().all(|d| leader(d) == one) {
                    let at = drivers.iter().position(|d| Some(d.node().config().id()) == one.as_ref()).unwrap();
                    drivers[at].command(Command::Leave).unwrap();
                    first = one;
                }
            }
            Some(first) => {
                let mut others = drivers.iter().filter(|d| d.node().config().id() != first);
                if stopped && others.all(|d| leader(d).is_some_and(|l| l != *first)) {
                    break;
                }
            }
        }
        let views = || drivers.iter().map(|d| (d.node().role(), leader(d))).collect::<Vec<_>>();
        assert!(start.elapsed() < PATIENCE, "first {first:?}, stopped {stopped}, now {:?}", views());
    }
    // Agreed, they do little: a heartbeat a tenth of a second, its acknowledgements, now and then a timer.
    let (start, mut turns) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_millis(500) {
        let timeout = drivers.iter().filter_map(Driver::timeout).min();
        poll.poll(&mut events, timeout).unwrap();
        for driver in &mut drivers {
            driver.advance();
            while driver.poll_event().is_some() {}
        }
        turns += 1;
    }
    assert!(turns < 500, "{turns} turns in half a second: it spins");
    eprintln!("{turns} turns in half a second");
}

#[test]
fn threads_register_and_a_lost_leader_is_replaced() {
    let group = group();
    let mut candidates: Vec<Handle> = ["a", "b", "c"].iter().map(|n| by_multicast(candidate(n, 3), group)).collect();
    let member = by_multicast(config("m"), group);
    let first = agreed(&[&candidates[0], &candidates[1], &candidates[2], &member], None);
    candidates.iter().for_each(registered);
    registered(&member);
    // Its thread stops without a word, its sockets close: as if it were killed.
    let at = candidates.iter().position(|h| h.inspect(|n| n.role() == Role::Leader).unwrap()).unwrap();
    let before = Instant::now();
    drop(candidates.remove(at));
    let second = agreed(&[&candidates[0], &candidates[1], &member], Some(&first));
    eprintln!("{first} was replaced by {second} within {:?}", before.elapsed());
    // The member is still on the roll: it need not register again.
    registered(&member);
}

#[test]
fn nodes_leave_in_order() {
    let group = group();
    let mut a = by_multicast(config("a").candidate().found(Founding::Alone), group);
    let mut m = by_multicast(config("m"), group);
    registered(&a);
    registered(&m);
    m.shutdown(Duration::from_secs(5)).unwrap();
    let start = Instant::now();
    loop {
        match a.recv_timeout(PATIENCE).unwrap() {
            Some(DriverEvent::Node(Event::Left { id, reason, .. })) => {
                assert_eq!((id.as_str(), reason.as_str()), ("m", "left"));
                break;
            }
            _ => assert!(start.elapsed() < PATIENCE, "it didn't hear that the member left"),
        }
    }
    a.shutdown(Duration::from_secs(5)).unwrap();
    assert!(
        std::iter::from_fn(|| a.try_recv().ok().flatten()).any(|e| matches!(e, DriverEvent::Node(Event::Stopped(_))))
    );
}

/// Seeds only, by name and by number, IPv4 and IPv6.
fn by_seeds(ip: &str, seed: impl Fn(SocketAddr) -> String) {
    let net = |n: NetConfigBuilder| n.no_multicast().admin(&SocketAddr::new(ip.parse().unwrap(), 0).to_string());
    let alone = config("a").candidate().found(Founding::Alone).multicast(false);
    let a = Handle::spawn(setup(alone, net(NetConfig::builder()))).unwrap();
    let seeded = net(NetConfig::builder()).seed(&seed(a.local_addr()));
    let m = Handle::spawn(setup(config("m").multicast(false).seeds(true), seeded)).unwrap();
    registered(&m);
    assert_eq!(agreed(&[&a, &m], None).as_str(), "a");
}

#[test]
fn without_multicast_a_seed_is_enough() {
    by_seeds("127.0.0.1", |addr| addr.to_string());
    by_seeds("127.0.0.1", |addr| format!("localhost:{}", addr.port()));
}

#[test]
fn seeds_by_ipv6() {
    by_seeds("::1", |addr| addr.to_string());
}

#[test]
fn limited_broadcast_finds_candidates() {
    let group = group();
    // The floor's multicast is turned off: only its port, and the bench's above, are used.
    let net = || NetConfig::builder().multicast(group).broadcast(true);
    let nodes: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|n| Handle::spawn(setup(candidate(n, 3).multicast(false).broadcast(true), net())).unwrap())
        .collect();
    agreed(&nodes.iter().collect::<Vec<_>>(), None);
}

#[test]
fn a_shutdown_without_anybody_to_tell_is_short() {
    let mut lonely = by_multicast(config("m"), group());
    let start = Instant::now();
    lonely.shutdown(Duration::from_secs(5)).unwrap();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn a_leader_leaves_in_order() {
    let group = group();
    let mut nodes: Vec<Handle> = ["a", "b", "c"].iter().map(|n| by_multicast(candidate(n, 3), group)).collect();
    let leader = agreed(&nodes.iter().collect::<Vec<_>>(), None);
    nodes.iter().for_each(registered);
    let at = nodes.iter().position(|h| h.inspect(|n| n.role() == Role::Leader).unwrap()).unwrap();
    let mut leaving = nodes.remove(at);
    let start = Instant::now();
    leaving.shutdown(Duration::from_secs(5)).unwrap();
    let took = start.elapsed();
    agreed(&nodes.iter().collect::<Vec<_>>(), Some(&leader));
    let mut lines = 0;
    let reason = loop {
        match nodes[0].recv_timeout(PATIENCE).unwrap() {
            Some(DriverEvent::Node(Event::Line { .. })) => lines += 1,
            Some(DriverEvent::Node(Event::Left { id, reason, .. })) if id == leader => break reason,
            _ => assert!(start.elapsed() < PATIENCE, "it didn't hear that the leader left"),
        }
    };
    assert_eq!((reason.as_str(), took < Duration::from_millis(300)), ("left", true), "it took {took:?}");
    assert!(lines < 10, "the line changed {lines} times");
}

/// A directory that goes with the test.
struct Dir(std::path::PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_store_keeps_the_voter_across_restarts() {
    let (group, convention) = (group(), ConventionId::new("embedding").unwrap());
    let dir = Dir(std::env::temp_dir().join(format!("convoke-embedding-{}", std::process::id())));
    let open = |name: &str| {
        let store = FileStore::open(&dir.0.join(name), &convention, &NodeId::new(name).unwrap()).unwrap();
        let setup = setup(candidate(name, 3), NetConfig::builder().multicast(group));
        Handle::spawn(Setup { store: Some(Box::new(store)), ..setup }).unwrap()
    };
    let look = |h: &Handle| h.inspect(|n| (n.identity(), n.term(), n.lineage(), n.incarnation())).unwrap();
    let nodes: Vec<Handle> = ["a", "b", "c"].map(open).into();
    agreed(&nodes.iter().collect::<Vec<_>>(), None);
    let before: Vec<_> = nodes.iter().map(look).collect();
    // All of them stop at once, and start again: the same convention goes on, in a higher term.
    drop(nodes);
    let nodes: Vec<Handle> = ["a", "b", "c"].map(open).into();
    agreed(&nodes.iter().collect::<Vec<_>>(), None);
    for (node, before) in nodes.iter().zip(before) {
        let now = look(node);
        assert_eq!((now.0, now.2), (before.0, before.2), "the same voter, the same lineage");
        assert!(now.1 > before.1 && now.3 > before.3, "a higher term and incarnation: {before:?}, {now:?}");
    }
}
