//! A deterministic simulator: real [`crate::proto::Node`]s on a simulated network, in simulated time.
//!
//! Public for embedders who want to see how *their* code behaves when leaders fail over. Nothing here sleeps, opens a
//! socket or reads a clock; the same seed and the same calls give the same run, byte for byte
//! ([`World::trace_hash`]).
//!
//! ```text
//!   World ── hosts (address, clock, store) ── process ── Node, and where wanted its twin
//!     │                                                    │ datagrams, streams, writes, events
//!     ├── the network: delay, loss, cuts ──────────────────┤
//!     ├── one queue of what will happen, by time           │
//!     └── checkers: what must always hold ── look at it after each input
//! ```
//!
//! # Testing one's own reaction to a failover
//!
//! Build a [`World`], let it run, kill the leader, and give the events to the code under test:
//!
//! ```
//! use convoke::proto::{Config, Event, Founding, Role};
//! use convoke::sim::{NodeOptions, World};
//! use convoke::types::{ConventionId, NodeId, Term};
//! use std::time::Duration;
//!
//! // The code under test: a service that works only while its node leads, and fences by the term.
//! #[derive(Default)]
//! struct Service { works_in: Option<Term> }
//! impl Service {
//!     fn on(&mut self, event: &Event) {
//!         if let Event::Role { role, term } = event {
//!             self.works_in = (*role == Role::Leader).then_some(*term);
//!         }
//!     }
//! }
//!
//! let mut world = World::builder(42).build();
//! let hosts: Vec<_> = ["a", "b", "c"].iter().map(|name| {
//!     let config = Config::builder(ConventionId::new("site").unwrap(), NodeId::new(name).unwrap())
//!         .candidate()
//!         .found(Founding::Expect(3))
//!         .build()
//!         .unwrap();
//!     world.add_node(config, NodeOptions::default())
//! }).collect();
//! let mut services: Vec<Service> = hosts.iter().map(|_| Service::default()).collect();
//! let mut pass = |world: &mut World, services: &mut Vec<Service>, time| {
//!     world.run_for(time);
//!     for (_, host, event) in world.take_events() {
//!         services[host.0 as usize].on(&event);
//!     }
//! };
//!
//! pass(&mut world, &mut services, Duration::from_secs(20));
//! let leader = world.leaders().next().expect("one leads");
//! let term = services[leader.0 as usize].works_in.expect("its service works");
//!
//! world.kill(leader);
//! services[leader.0 as usize] = Service::default();
//! pass(&mut world, &mut services, Duration::from_secs(5));
//! let next = world.leaders().next().expect("another leads");
//! assert!(services[next.0 as usize].works_in > Some(term), "in a later term");
//! assert!(world.violations().is_empty());
//! ```
//!
//! # Whole runs
//!
//! [`Run`] draws everything from a seed: how many candidates and members, with stores or without, what the network is
//! like, and which faults occur when. A phase of faults, in which nothing forbidden may happen, is followed by one in
//! which the network heals and all processes run: then all have to agree within the bound that
//! [`crate::proto::Config::agreement`] computes, and stay so. Agreement
//! is demanded only where the design can give it: a majority of the voters of the last line, committed or in force, has to
//! be what it was; or one of those that are left holds the roll, somebody may lead, and whoever may be a voter is what it
//! was or answers as another voter; or nobody holds anything, and as many candidates are there as a founding takes
//! ([`Report::recoverable`]).
//!
//! # What is checked
//!
//! After each input of each node, by small machines that can be fed from elsewhere too ([`check`]). The numbers are
//! those of the properties on the crate's front page:
//!
//! 1. one leader for each lineage and term, never again in a term that it gave up; no two unexpired leases of a lineage
//!    and its children at one instant of true time; one that ended is noticed by the first input after it, and never held
//!    again in its term;
//! 2. terms never go back, from a lineage to its children neither: within a run neither what a node knows nor what it
//!    tells, across restarts with a store not what it told;
//! 3. committed entries never change, at no node and at no time; each leader's roll reaches as far as everything that
//!    leaders of earlier terms committed; equal commit index, equal roll; what a store holds can be replayed, and
//!    is what its node had shown, where no write was lost; where a child lineage is founded, nobody that is left, running
//!    or stored, has a committed entry that it lacks, and its founding is told with whom it lost;
//! 4. each member is once on the roll; each generation of a slot has one owner; in the end the roll names exactly the
//!    running nodes, each in the slot that the node itself knows (so nobody lives on by another's heartbeats);
//! 5. for each observer and lineage: `joined`, then `updated`, then `left`, each incarnation once, larger ones only; what a
//!    node relays is between two members of its roll;
//! 6. each message that was accepted is delivered or comes back, once and in order; each request to the leader is given to one
//!    embedder at most, and once; its sender is told one outcome, and an answer only where that was committed;
//! 7. agreement in the end, and no change of leader without a reason after it; messages from, to and between those that
//!    can't be connected to get there then;
//! 8. no panic, whatever the network does to the bytes;
//! 9. the same inputs give the same outputs: nodes are run with a twin that gets the same inputs, a failing run is made
//!    twice, and no node asks to be woken at a time that has passed over and over.

mod asking;
pub mod check;
mod clock;
mod disk;
pub mod explore;
mod faults;
mod host;
mod inquiring;
mod nemesis;
mod net;
mod newer;
mod packet;
mod process;
mod queue;
mod reach;
mod rng;
mod run;
mod scenario;
mod trace;
mod traffic;
mod walls;
mod world;

pub use faults::{Fault, Faults, UnknownFault};
pub use host::{HostId, NodeOptions};
pub use net::{Conditions, Cut};
pub use process::Asked;
pub use run::{Report, Run};
pub use scenario::{Options, Scenario};
pub use trace::Detail;
pub use walls::Wall;
pub use world::{Checked, Counts, Violation, World, WorldBuilder};
