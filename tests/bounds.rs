//! What is computed from a configuration, held against the simulator.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used)]

use convoke::proto::{Config, Founding, LinkAssumption, Traffic};
use convoke::sim::{Conditions, HostId, NodeOptions, World};
use convoke::types::{ConventionId, NodeId, Time};
use std::time::Duration;

fn config(n: usize, candidates: usize, heartbeat: Duration, detect: u32) -> Config {
    let builder = Config::builder(ConventionId::new("site").unwrap(), NodeId::new(&format!("n{n}")).unwrap());
    let builder = builder.heartbeat(heartbeat).detect(detect);
    match n < candidates {
        true => builder.candidate().found(Founding::Expect(candidates)).build().unwrap(),
        false => builder.build().unwrap(),
    }
}

/// A convention that agrees. Its links take up to `one_way`.
fn world(seed: u64, candidates: usize, members: usize, heartbeat: Duration, detect: u32, one_way: Duration) -> World {
    let jitter = one_way / 2;
    let conditions = Conditions { delay: one_way - jitter, jitter, ..Conditions::default() };
    let mut world = World::builder(seed).conditions(conditions).keep_events(false).build();
    for n in 0..candidates + members {
        world.add_node(config(n, candidates, heartbeat, detect), NodeOptions::default());
    }
    assert!(world.run_until(heartbeat * 60, |w| w.disagreement().is_none()), "{:?}", world.disagreement());
    world.run_for(heartbeat * 8);
    world
}

/// How long it takes until another leads and all candidates know.
fn failover(world: &mut World, candidates: usize, old: HostId) -> Duration {
    let began = world.now();
    let done = |w: &World| {
        (0..candidates as u32)
            .map(HostId)
            .filter(|h| *h != old)
            .all(|h| w.node(h).and_then(|n| n.leader()).is_some_and(|l| l.id.as_str() != format!("n{}", old.0)))
    };
    assert!(world.run_until(Duration::from_secs(60), done));
    world.now() - began
}

#[test]
fn no_failover_takes_longer_than_computed() {
    let ms = Duration::from_millis;
    for (candidates, heartbeat, detect, one_way) in [
        (3, ms(100), 3, ms(1)),
        (5, ms(1_000), 3, ms(2)),
        (7, ms(50), 4, Duration::from_micros(300)),
        (3, ms(500), 2, ms(5)),
    ] {
        let link = LinkAssumption { one_way, loop_lateness: Duration::ZERO, store_write: Duration::ZERO };
        let bounds = config(0, candidates, heartbeat, detect).bounds(candidates, 2, &link);
        let (mut crash, mut silence) = (Duration::ZERO, Duration::ZERO);
        for seed in 0..20 {
            for silent in [false, true] {
                let mut w = world(seed, candidates, 2, heartbeat, detect, one_way);
                w.run_for(heartbeat * (seed as u32) / 20);
                let leader = w.leaders().next().unwrap();
                if silent {
                    w.power_off(leader);
                } else {
                    w.kill(leader);
                }
                let took = failover(&mut w, candidates, leader);
                let (worst, most) = match silent {
                    true => (&mut silence, bounds.failover_silence),
                    false => (&mut crash, bounds.failover_crash),
                };
                assert!(took <= most, "seed {seed}, silent {silent}: {took:?}, at most {most:?}");
                *worst = took.max(*worst);
            }
        }
        println!(
            "{candidates} candidates, {heartbeat:?} × {detect}, {one_way:?}: crash {crash:?} of {:?}, silence {silence:?} \
             of {:?}",
            bounds.failover_crash, bounds.failover_silence
        );
    }
}

#[test]
fn a_quiet_convention_sends_what_is_computed() {
    let heartbeat = Duration::from_millis(200);
    let (candidates, members) = (5, 20);
    let one_way = Duration::from_micros(200);
    let mut w = world(3, candidates, members, heartbeat, 3, one_way);
    w.run_for(Duration::from_secs(10));
    let link = LinkAssumption { one_way, loop_lateness: Duration::ZERO, store_write: Duration::ZERO };
    let bounds = config(0, candidates, heartbeat, 3).bounds(candidates, members, &link);
    let leader = w.leaders().next().unwrap();
    let supporter = (0..candidates as u32).map(HostId).find(|h| *h != leader).unwrap();
    let count = |w: &World, h| w.node(h).map(|n| (n.stats().datagrams_out, n.stats().datagrams_in)).unwrap();
    let hosts = [(leader, bounds.leader), (supporter, bounds.supporter), (HostId(candidates as u32), bounds.member)];
    let before: Vec<_> = hosts.iter().map(|(h, _)| count(&w, *h)).collect();
    let from: Time = w.now();
    w.run_for(Duration::from_secs(100));
    let seconds = (w.now() - from).as_secs_f64();
    for ((host, traffic), was) in hosts.into_iter().zip(before) {
        let is = count(&w, host);
        let Traffic { packets_out, packets_in, .. } = traffic;
        for (counted, computed) in [(is.0 - was.0, packets_out), (is.1 - was.1, packets_in)] {
            let counted = counted as f64 / seconds;
            println!("{host:?}: {counted:.2} a second, computed {computed:.2}");
            assert!((counted - computed).abs() <= computed * 0.03, "{host:?}: {counted}, computed {computed}");
        }
    }
}
