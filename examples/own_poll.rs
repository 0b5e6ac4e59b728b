//! Three candidates in one `mio::Poll` of your own, beside whatever else your loop does: they find each other by
//! multicast on loopback, agree on a leader, and replace it when it leaves.
//!
//! Run it: `cargo run --example own_poll`. It ends by itself.

use convoke::driver::{Driver, DriverEvent, Setup};
use convoke::net::NetConfig;
use convoke::proto::{Command, Config, Event, Founding};
use convoke::types::{ConventionId, NodeId};
use mio::{Events, Poll, Token};
use std::error::Error;
use std::time::{Duration, Instant};

fn setup(name: &str) -> Result<Setup, Box<dyn Error>> {
    // A name of our own for each run: other conventions on the same group don't disturb us.
    let convention = ConventionId::new(&format!("own-poll-{}", std::process::id()))?;
    let config = Config::builder(convention, NodeId::new(name)?)
        .candidate()
        .found(Founding::Expect(3))
        .heartbeat(Duration::from_millis(100))
        .build()?;
    Ok(Setup { config, net: NetConfig::builder().build()?, store: None })
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut poll = Poll::new()?;
    let mut drivers = Vec::new();
    for (token, name) in ["alice", "bob", "carol"].into_iter().enumerate() {
        drivers.push(Driver::bind(setup(name)?, poll.registry(), Token(token))?);
    }
    let start = Instant::now();
    let mut events = Events::with_capacity(64);
    let mut first_leader: Option<NodeId> = None;
    loop {
        // 1. Wait, at most as long as every driver allows. Your own sockets and timers would have their say here too.
        let timeout = drivers.iter().filter_map(Driver::timeout).min();
        poll.poll(&mut events, timeout)?;
        // 2. Each driver gets its turn, whichever token was reported; then take what it tells.
        for driver in &mut drivers {
            driver.advance();
            while let Some(event) = driver.poll_event() {
                if let DriverEvent::Node(Event::Leader { leader: Some(leader), term, .. }) = event {
                    println!(
                        "{:>6.3} s  {} follows {leader} in term {term}",
                        start.elapsed().as_secs_f64(),
                        driver.node().config().id()
                    );
                }
            }
        }
        // 3. Your own work: here, send the first leader away once all agree, and stop once all agree on the second.
        let leaders: Vec<_> = drivers.iter().filter_map(|d| d.node().leader().map(|l| l.id)).collect();
        let left: Vec<_> = drivers.iter().filter(|d| Some(d.node().config().id()) != first_leader.as_ref()).collect();
        match &first_leader {
            None if leaders.len() == 3 && leaders.iter().all(|l| *l == leaders[0]) => {
                println!("{:>6.3} s  all agree; {} leaves", start.elapsed().as_secs_f64(), leaders[0]);
                first_leader = Some(leaders[0].clone());
                if let Some(leader) = drivers.iter_mut().find(|d| *d.node().config().id() == leaders[0]) {
                    leader.command(Command::Leave)?;
                }
            }
            Some(first) if left.iter().all(|d| d.node().leader().is_some_and(|l| l.id != *first)) => {
                println!("{:>6.3} s  the other two agree on its successor", start.elapsed().as_secs_f64());
                return Ok(());
            }
            _ => {}
        }
        if start.elapsed() > Duration::from_secs(20) {
            return Err("they did not agree within 20 s".into());
        }
    }
}
