//! Two candidates and a plain member, each on a thread of its own, and one loop that waits for the events of all three by
//! their descriptors. Any other kind of loop can do that too: tokio's `AsyncFd`, for one.
//!
//! Run it: `cargo run --example thread`. It ends by itself.

use convoke::driver::{DriverEvent, Handle, Setup};
use convoke::net::NetConfig;
use convoke::proto::{Config, Event, Founding};
use convoke::types::{ConventionId, NodeId};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::error::Error;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

fn spawn(name: &str, candidate: bool) -> Result<Handle, Box<dyn Error>> {
    let convention = ConventionId::new(&format!("thread-{}", std::process::id()))?;
    let mut config = Config::builder(convention, NodeId::new(name)?).heartbeat(Duration::from_millis(100));
    if candidate {
        config = config.candidate().found(Founding::Expect(2));
    }
    // What stands in the way is told here, before there is a thread.
    Ok(Handle::spawn(Setup { config: config.build()?, net: NetConfig::builder().build()?, store: None })?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut handles = [spawn("alice", true)?, spawn("bob", true)?, spawn("minnie", false)?];
    let mut poll = Poll::new()?;
    for (token, handle) in handles.iter().enumerate() {
        poll.registry().register(&mut SourceFd(&handle.as_raw_fd()), Token(token), Interest::READABLE)?;
    }
    let start = Instant::now();
    let mut events = Events::with_capacity(8);
    let mut registered = 0;
    while registered < handles.len() {
        if start.elapsed() > Duration::from_secs(20) {
            return Err("they did not register within 20 s".into());
        }
        poll.poll(&mut events, Some(Duration::from_millis(500)))?;
        for event in &events {
            let handle = &handles[event.token().0];
            // Until there is none: mio tells each change once.
            while let Some(told) = handle.try_recv()? {
                if let DriverEvent::Node(Event::Registered { slot, leader, term, .. }) = told {
                    let name = handle.inspect(|node| node.config().id().clone())?;
                    let at = start.elapsed().as_secs_f64();
                    println!("{at:>6.3} s  {name} is registered in slot {slot}; {leader} leads in term {term}");
                    registered += 1;
                }
            }
        }
    }
    // A look at a node costs a question to its thread.
    let members =
        handles[0].inspect(|node| node.members().map(|(.., info)| info.id.to_string()).collect::<Vec<_>>())?;
    println!("the roll: {}", members.join(", "));
    // Members leave before candidates, so that there is somebody to say goodbye to.
    for handle in handles.iter_mut().rev() {
        let outcome = handle.shutdown(Duration::from_secs(3));
        println!("{}: {}", handle.local_addr(), outcome.map_or_else(|e| e.to_string(), |()| "left".into()));
    }
    Ok(())
}
