#![allow(clippy::unwrap_used)]

use super::*;
use crate::net::testing::{free_port, wait_until};
use crate::proto::{Command, Config, Restored, StoreWrite};
use crate::types::{ConventionId, NodeId};
use mio::{Events, Poll, Token};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

fn setup() -> Setup {
    let group = SocketAddr::new([239, 192, 67, 83].into(), free_port());
    Setup {
        config: Config::builder(ConventionId::new("c").unwrap(), NodeId::new("a").unwrap()).build().unwrap(),
        net: NetConfig::builder().multicast(group).build().unwrap(),
        store: None,
    }
}

struct Unreadable;

impl Store for Unreadable {
    fn load(&mut self) -> Result<Option<Restored>, StoreError> {
        Err(StoreError::Other("the store is damaged".into()))
    }
    fn write(&mut self, _: &StoreWrite) -> Result<(), StoreError> {
        Ok(())
    }
}

#[test]
fn what_stands_in_the_way_is_told_before_there_is_a_thread() {
    let other = |config: crate::proto::ConfigBuilder| Setup { config: config.build().unwrap(), ..setup() };
    let config = || Config::builder(ConventionId::new("c").unwrap(), NodeId::new("a").unwrap());
    let no_multicast = NetConfig::builder().no_multicast().build().unwrap();
    let cases = [
        (other(config().seeds(true)), "names none"),
        (other(config().broadcast(true)), "broadcast"),
        (Setup { net: no_multicast, ..setup() }, "multicast"),
        (Setup { net: NetConfig::builder().interface("nosuch0").build().unwrap(), ..setup() }, "nosuch0"),
        (Setup { store: Some(Box::new(Unreadable)), ..setup() }, "damaged"),
    ];
    for (setup, part) in cases {
        let error = Handle::spawn(setup).unwrap_err().to_string();
        assert!(error.contains(part), "{error:?} should say {part:?}");
    }
}

#[test]
fn a_driver_waits_when_nothing_is_left_to_do() {
    let mut poll = Poll::new().unwrap();
    let mut driver = Driver::bind(setup(), poll.registry(), Token(7)).unwrap();
    assert_eq!(driver.timeout(), Some(Duration::ZERO), "the first turn is due at once");
    let start = Instant::now();
    let mut turns = 0;
    let mut events = Events::with_capacity(8);
    while start.elapsed() < Duration::from_millis(300) {
        driver.advance();
        while driver.poll_event().is_some() {}
        poll.poll(&mut events, Some(driver.timeout().unwrap().min(Duration::from_millis(100)))).unwrap();
        turns += 1;
    }
    assert!(turns < 40, "{turns} turns in 300 ms: it spins");
}

#[test]
fn one_token_is_told_of_datagrams_and_connections() {
    let mut poll = Poll::new().unwrap();
    let mut driver = Driver::bind(setup(), poll.registry(), Token(7)).unwrap();
    let mut events = Events::with_capacity(8);
    let from = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for n in 1..=20 {
        while driver.advance() {}
        if n % 2 == 0 {
            from.send_to(b"noise", driver.local_addr()).unwrap();
        } else {
            drop(std::net::TcpStream::connect(driver.local_addr()).unwrap());
        }
        let start = Instant::now();
        poll.poll(&mut events, Some(Duration::from_secs(2))).unwrap();
        assert!(events.iter().any(|e| e.token() == Token(7)) && start.elapsed() < Duration::from_secs(1));
    }
    while driver.advance() {}
    assert_eq!(driver.net_stats().datagrams_in, 10);
}

#[test]
fn a_handle_shows_its_node_and_wakes_other_loops() {
    let handle = Handle::spawn(setup()).unwrap();
    assert_eq!(handle.inspect(|node| node.config().id().clone()).unwrap().as_str(), "a");
    let first = handle.recv().unwrap();
    let mut all = vec![first];
    while let Some(event) = handle.recv_timeout(Duration::from_millis(50)).unwrap() {
        all.push(event);
    }
    assert!(all.iter().any(|e| matches!(e, DriverEvent::Net(NetNotice::InterfaceUp(..)))), "{all:?}");
    assert!(handle.net_stats().is_ok());
    // Nothing waits: the descriptor is quiet. At the thread's end it is readable.
    let mut poll = Poll::new().unwrap();
    let fd = handle.as_fd().as_raw_fd();
    poll.registry().register(&mut mio::unix::SourceFd(&fd), Token(0), mio::Interest::READABLE).unwrap();
    let mut events = Events::with_capacity(8);
    let panicked = handle.inspect(|_| panic!("a planted panic"));
    let closed = Closed(Some("a planted panic".into()));
    assert_eq!(panicked, Err::<(), _>(closed.clone()));
    poll.poll(&mut events, Some(Duration::from_secs(2))).unwrap();
    assert!(!events.is_empty());
    wait_until(|| handle.try_recv().is_err());
    assert_eq!(handle.recv(), Err(closed.clone()));
    assert_eq!(handle.command(Command::Leave), Err(QueueError::Closed(closed)));
}

#[test]
fn a_shutdown_is_bounded() {
    let mut handle = Handle::spawn(setup()).unwrap();
    let start = Instant::now();
    // Whether a node without a leader can leave at once is the core's matter.
    let result = handle.shutdown(Duration::from_millis(300));
    assert!(matches!(result, Ok(()) | Err(ShutdownError::TimedOut)), "{result:?}");
    assert!(start.elapsed() < Duration::from_secs(2));
    wait_until(|| handle.try_recv().is_err());
    assert_eq!(handle.recv(), Err(Closed(None)));
}

#[test]
fn a_full_queue_says_so() {
    let handle = Handle::spawn(setup()).unwrap();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let handle = &handle;
        scope.spawn(move || handle.inspect(move |_| wait.recv().is_ok()).unwrap());
        let capabilities = || Command::SetCapabilities(crate::types::Capabilities::new());
        wait_until(|| (0..2_000).any(|_| handle.command(capabilities()) == Err(QueueError::Full)));
        go.send(()).unwrap();
        wait_until(|| handle.command(capabilities()).is_ok());
    });
}

/// A flood that never ends must not keep the core's timers from running: a node that seeks goes on seeking.
#[test]
fn timers_run_under_a_flood() {
    let mut poll = Poll::new().unwrap();
    let group = SocketAddr::new([239, 192, 67, 84].into(), free_port());
    let net = NetConfig::builder().multicast(group).build().unwrap();
    let mut driver = Driver::bind(Setup { net, ..setup() }, poll.registry(), Token(7)).unwrap();
    let (to, stop) = (driver.local_addr(), std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut stream = std::net::TcpStream::connect(to).unwrap();
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = socket.send_to(b"noise", to);
                if std::io::Write::write(&mut stream, &[0; 4_096]).is_err() {
                    stream = std::net::TcpStream::connect(to).unwrap();
                }
            }
        });
        let start = Instant::now();
        let mut events = Events::with_capacity(8);
        while driver.node().stats().datagrams_out < 3 && start.elapsed() < Duration::from_secs(20) {
            poll.poll(&mut events, driver.timeout()).unwrap();
            driver.advance();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let stats = (driver.node().stats().datagrams_out, driver.net_stats().datagrams_in);
    assert!(stats.0 >= 3 && stats.1 > 1_000, "seeks sent, datagrams received: {stats:?}");
}

#[test]
fn where_another_address_is_told_a_refusal_proves_nothing() {
    let at = |net: crate::net::NetConfigBuilder| {
        let group = SocketAddr::new([239, 192, 67, 83].into(), free_port());
        let driver = Driver::open(Setup { net: net.multicast(group).build().unwrap(), ..setup() }).unwrap();
        driver.node().config().death_evidence
    };
    assert!(at(NetConfig::builder()));
    assert!(!at(NetConfig::builder().advertise("203.0.113.9:0")));
}
