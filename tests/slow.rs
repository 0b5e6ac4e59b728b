//! Where a message, or a write, takes longer than the election step was chosen for: everything takes longer, and nothing stands
//! still.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use convoke::proto::{Command, Config, Founding, Policy};
use convoke::sim::{Conditions, HostId, NodeOptions, World};
use convoke::types::{ConventionId, NodeId};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// Three candidates and two members with a heartbeat each 100 ms, so with steps of 10 ms and rounds of 40 ms, and a leader that is
/// gone after a second.
fn site(seed: u64, one_way: Duration, write: Duration, policy: Policy) -> World {
    let conditions = Conditions { delay: one_way, ..Conditions::default() };
    let mut world = World::builder(seed).fsync(write).conditions(conditions).build();
    let id = |n: usize| NodeId::new(&format!("n{n}")).unwrap();
    for n in 0..5 {
        let builder = Config::builder(ConventionId::new("site").unwrap(), id(n)).heartbeat(100 * MS).detect(10);
        let candidate = n < 3;
        let builder = if candidate {
            builder.candidate().found(Founding::Expect(3)).policy(policy)
        } else {
            builder.policy(policy)
        };
        let store = candidate && !write.is_zero();
        world.add_node(builder.build().unwrap(), NodeOptions { store, ..NodeOptions::default() });
    }
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    world
}

fn until(world: &mut World, what: &str, done: impl FnMut(&World) -> bool) {
    let came = world.run_until(20_000 * MS, done);
    assert!(world.violations().is_empty(), "{}", world.violations()[0]);
    assert!(came, "{what}: not until {:?}; {:?}", world.now(), world.disagreement());
}

/// One way, and a write at most, in milliseconds. A bid there and back takes up to 280 ms, seven rounds.
const SLOW: [(u32, u32); 5] = [(0, 30), (0, 100), (25, 0), (60, 0), (80, 60)];

#[test]
fn a_leader_that_dies_is_replaced() {
    for (one_way, write) in SLOW {
        for seed in 0..5 {
            let mut world = site(seed, one_way * MS, write * MS, Policy::Quorum);
            let leader = world.leaders().next().unwrap();
            world.kill(leader);
            until(&mut world, "a successor", |w| w.leaders().next().is_some_and(|l| l != leader));
            world.run_for(1_000 * MS);
            world.start(leader);
            until(&mut world, "agreement", |w| w.disagreement().is_none());
        }
    }
}

#[test]
fn a_leader_hands_over() {
    for (one_way, write) in SLOW {
        let mut world = site(1, one_way * MS, write * MS, Policy::Quorum);
        world.run_for(3_000 * MS);
        let leader = world.leaders().next().unwrap();
        world.command(leader, Command::Handover(None)).unwrap();
        until(&mut world, "a successor", |w| w.leaders().next().is_some_and(|l| l != leader));
    }
}

#[test]
fn sides_that_went_on_by_themselves_merge() {
    for (one_way, write) in SLOW {
        let mut world = site(1, one_way * MS, write * MS, Policy::Available);
        world.run_for(3_000 * MS);
        world.isolate(HostId(0));
        until(&mut world, "two leaders", |w| w.leaders().count() == 2);
        world.run_for(3_000 * MS);
        world.heal();
        until(&mut world, "agreement", |w| w.disagreement().is_none());
        world.run_for(5_000 * MS);
        assert_eq!(world.disagreement(), None);
    }
}
