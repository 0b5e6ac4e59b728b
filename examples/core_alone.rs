//! Three cores without a socket, a thread or a clock: what one gives is handed to the others by hand, and time is a
//! number. It is how the core can be put on any other transport, and how it is tested.
//!
//! Run it: `cargo run --example core_alone`. It simulates a minute in no time.

use bytes::Bytes;
use convoke::proto::{Command, Config, Dest, Event, Founding, Lane, Node, Start, StreamInput, StreamOutput};
use convoke::types::{ConnId, ConventionId, NodeId, Time};
use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

/// How long anything is on its way.
const DELAY: Duration = Duration::from_micros(300);

/// What is on its way to a node.
enum Parcel {
    Datagram(SocketAddr, Lane, Vec<u8>),
    Accepted(ConnId, SocketAddr),
    Connected(ConnId),
    Refused(ConnId),
    Bytes(ConnId, Bytes),
    Closed(ConnId),
}

struct World {
    now: Time,
    nodes: Vec<(SocketAddr, Node)>,
    /// All takes equally long, so that what is sent first arrives first.
    underway: VecDeque<(Time, usize, Parcel)>,
    /// The two ends of each stream: a node and its number for it.
    streams: BTreeMap<(usize, ConnId), (usize, ConnId)>,
    accepted: u64,
}

impl World {
    fn new(names: &[&str]) -> Result<Self, Box<dyn Error>> {
        let now = Time::from_micros(1_000_000);
        let mut nodes = Vec::new();
        for (i, name) in names.iter().enumerate() {
            let addr = SocketAddr::new([10, 0, 0, 1 + i as u8].into(), 7_000);
            let config = Config::builder(ConventionId::new("by-hand")?, NodeId::new(name)?)
                .candidate()
                .found(Founding::Expect(names.len()))
                .build()?;
            let start = Start {
                seed: 1 + i as u64,
                wall_clock_us: 1_000_000 + i as u64,
                addrs: vec![addr],
                durable: false,
                restored: None,
            };
            nodes.push((addr, Node::new(config, start, now)));
        }
        Ok(Self { now, nodes, underway: VecDeque::new(), streams: BTreeMap::new(), accepted: 1 })
    }

    fn post(&mut self, to: usize, parcel: Parcel) {
        self.underway.push_back((self.now + DELAY, to, parcel));
    }

    /// Takes out all that node `i` gives.
    fn drain(&mut self, i: usize) {
        let mut buffer = Vec::new();
        while let Some(write) = self.nodes[i].1.poll_store() {
            self.nodes[i].1.handle_stored(self.now, write.seq);
        }
        while let Some(dest) = self.nodes[i].1.poll_transmit(&mut buffer) {
            let from = self.nodes[i].0;
            for to in 0..self.nodes.len() {
                let lane = match dest {
                    Dest::Floor if to != i => Lane::Floor,
                    Dest::Bench if to != i => Lane::Bench,
                    Dest::Addr(addr) if addr == self.nodes[to].0 => Lane::Unicast,
                    _ => continue,
                };
                self.post(to, Parcel::Datagram(from, lane, buffer.clone()));
            }
        }
        while let Some(output) = self.nodes[i].1.poll_stream() {
            self.stream(i, output);
        }
        while let Some(event) = self.nodes[i].1.poll_event() {
            if let Event::Role { role, term } = event {
                println!("{:?}  {} is {} (term {term})", self.now, self.nodes[i].1.config().id(), role.as_str());
            }
        }
    }

    fn stream(&mut self, i: usize, output: StreamOutput) {
        match output {
            StreamOutput::Connect(id, addr) => match self.nodes.iter().position(|(a, _)| *a == addr) {
                Some(to) => {
                    let theirs = ConnId(self.accepted);
                    self.accepted += 2;
                    self.streams.insert((i, id), (to, theirs));
                    self.streams.insert((to, theirs), (i, id));
                    self.post(to, Parcel::Accepted(theirs, self.nodes[i].0));
                    self.post(i, Parcel::Connected(id));
                }
                None => self.post(i, Parcel::Refused(id)),
            },
            StreamOutput::Bulk(id, bytes) => {
                // Here nothing waits to be written.
                self.nodes[i].1.handle_stream(self.now, id, StreamInput::Written(bytes.len()));
                self.stream(i, StreamOutput::Send(id, bytes));
            }
            StreamOutput::Send(id, bytes) => {
                if let Some(&(to, theirs)) = self.streams.get(&(i, id)) {
                    self.post(to, Parcel::Bytes(theirs, bytes));
                }
            }
            StreamOutput::Close(id) => {
                if let Some((to, theirs)) = self.streams.remove(&(i, id)) {
                    self.post(to, Parcel::Closed(theirs));
                }
            }
        }
    }

    fn deliver(&mut self, to: usize, parcel: Parcel) {
        let (now, node) = (self.now, &mut self.nodes[to].1);
        match parcel {
            Parcel::Datagram(from, lane, bytes) => node.handle_datagram(now, from, lane, &bytes),
            Parcel::Accepted(id, peer) => node.handle_stream(now, id, StreamInput::Accepted(peer)),
            Parcel::Connected(id) => node.handle_stream(now, id, StreamInput::Connected),
            Parcel::Refused(id) => node.handle_stream(now, id, StreamInput::Refused),
            // What was closed here meanwhile gets no input any more.
            Parcel::Bytes(id, bytes) if self.streams.contains_key(&(to, id)) => {
                node.handle_stream(now, id, StreamInput::Bytes(&bytes));
            }
            Parcel::Closed(id) if self.streams.remove(&(to, id)).is_some() => {
                node.handle_stream(now, id, StreamInput::Closed);
            }
            Parcel::Bytes(..) | Parcel::Closed(_) => {}
        }
    }

    /// Lets the world go on until this time.
    fn run(&mut self, until: Time) {
        loop {
            for i in 0..self.nodes.len() {
                self.drain(i);
            }
            let arrival = self.underway.front().map(|(at, ..)| *at);
            let timeout = self.nodes.iter().filter_map(|(_, n)| n.poll_timeout()).min();
            let Some(next) = arrival.into_iter().chain(timeout).min().filter(|at| *at <= until) else { break };
            self.now = self.now.max(next);
            // What has arrived comes first: nobody is judged before it is read.
            if arrival.is_some_and(|at| at <= self.now) {
                if let Some((_, to, parcel)) = self.underway.pop_front() {
                    self.deliver(to, parcel);
                }
                continue;
            }
            for (_, node) in &mut self.nodes {
                if node.poll_timeout().is_some_and(|at| at <= self.now) {
                    node.handle_timeout(self.now);
                }
            }
        }
        self.now = until;
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut world = World::new(&["alice", "bob", "carol"])?;
    world.run(world.now + Duration::from_secs(30));
    let leader = world.nodes[0].1.leader().ok_or("nobody leads after 30 s")?.id;
    if let Some((_, node)) = world.nodes.iter_mut().find(|(_, n)| *n.config().id() == leader) {
        println!("{:?}  {leader} is asked to leave", world.now);
        node.handle_command(world.now, Command::Leave)?;
    }
    world.run(world.now + Duration::from_secs(30));
    let others = world.nodes.iter().filter(|(_, n)| *n.config().id() != leader);
    let successors: Vec<_> = others.map(|(_, n)| n.leader().map(|l| l.id)).collect();
    match &successors[..] {
        [Some(a), Some(b)] if a == b && *a != leader => println!("{:?}  {a} leads now", world.now),
        other => return Err(format!("the others don't agree: {other:?}").into()),
    }
    Ok(())
}
