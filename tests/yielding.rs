//! One lineage is told to yield to another: what becomes of its voters while the roll of the other one is on its way.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use convoke::proto::{Command, Config, ConfigBuilder, Founding};
use convoke::sim::{Conditions, HostId, NodeOptions, World};
use convoke::types::{Capabilities, ConventionId, NodeId};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn builder(name: &str) -> ConfigBuilder {
    Config::builder(ConventionId::new("site").unwrap(), NodeId::new(name).unwrap()).heartbeat(100 * MS)
}

/// Two conventions of one name that were founded apart and meet: a, b, c and their members, and x, which leads alone.
fn two(one_way: Duration, members: u32) -> (World, [HostId; 4]) {
    let conditions = Conditions { delay: one_way, ..Conditions::default() };
    let mut world = World::builder(3).conditions(conditions).build();
    let voters = ["a", "b", "c", "x"].map(|name| {
        let founding = if name == "x" { Founding::Alone } else { Founding::Expect(3) };
        world.add_node(builder(name).candidate().found(founding).build().unwrap(), NodeOptions::default())
    });
    voters[..3].iter().for_each(|h| world.cut(*h, voters[3]));
    let mut capabilities = Capabilities::new();
    for key in ["here", "there", "elsewhere"] {
        capabilities.set(key, &"x".repeat(200)).unwrap();
    }
    for n in 0..members {
        let config = builder(&format!("m{n}")).capabilities(capabilities.clone()).build().unwrap();
        let member = world.add_node(config, NodeOptions::default());
        world.cut(member, voters[3]);
    }
    let on_roll = |w: &World, h: HostId| w.node(h).unwrap().members().count();
    until(&mut world, "two conventions", |w| {
        w.leaders().count() == 2 && voters[..3].iter().all(|h| on_roll(w, *h) == 3 + members as usize)
    });
    world.heal();
    world.run_for(2_000 * MS);
    assert_eq!((world.leaders().count(), on_roll(&world, voters[3])), (2, 1));
    (world, voters)
}

/// The leader of a, b and c is told to yield to x.
fn yields(world: &mut World, [a, b, c, x]: [HostId; 4]) {
    let into = world.node(x).unwrap().lineage();
    let leader = world.leaders().find(|l| [a, b, c].contains(l)).unwrap();
    world.command(leader, Command::Yield(into)).unwrap();
}

fn until(world: &mut World, what: &str, done: impl FnMut(&World) -> bool) {
    let came = world.run_until(30_000 * MS, done);
    assert!(world.violations().is_empty(), "{}", world.violations()[0]);
    assert!(came, "{what}: not until {:?}; {:?}", world.now(), world.disagreement());
}

/// The roll takes longer than voters wait for a leader: they waited so long for what was on its way, and founded their
/// lineage anew.
#[test]
fn a_large_roll_is_waited_for() {
    let (mut world, voters) = two(60 * MS, 1_300);
    yields(&mut world, voters);
    world.run_for(20_000 * MS);
    assert_eq!(world.disagreement(), None);
    assert_eq!(world.lineages().count(), 2, "nobody founded anything");
}

/// One voter reaches the others, who went over, and not the one that has the roll for it: it founded its lineage anew, alone,
/// since those others are other voters now.
#[test]
fn who_does_not_reach_the_heir_founds_nothing() {
    let (mut world, [a, b, c, x]) = two(MS, 3);
    let leader = world.leaders().find(|l| *l != x).unwrap();
    let apart = [a, b, c].into_iter().find(|h| *h != leader).unwrap();
    world.cut(apart, x);
    yields(&mut world, [a, b, c, x]);
    world.run_for(10_000 * MS);
    assert_eq!(world.leaders().collect::<Vec<_>>(), [x]);
    world.heal();
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    assert_eq!(world.lineages().count(), 2);
}

/// As before, and the leader that has the roll is gone, too: those who went over give it.
#[test]
fn who_went_over_gives_the_roll_to_who_did_not() {
    let (mut world, [a, b, c, x]) = two(MS, 3);
    let leader = world.leaders().find(|l| *l != x).unwrap();
    let apart = [a, b, c].into_iter().find(|h| *h != leader).unwrap();
    world.cut(apart, x);
    yields(&mut world, [a, b, c, x]);
    let into = world.node(x).unwrap().lineage();
    let over =
        |w: &World, h: HostId| w.node(h).unwrap().lineage() == into && w.node(h).unwrap().line().voters().count() > 2;
    until(&mut world, "two are over", |w| [a, b, c].into_iter().filter(|h| over(w, *h)).count() == 2);
    world.kill(x);
    until(&mut world, "one leads", |w| w.leaders().count() == 1 && w.disagreement().is_none());
    let lineages: Vec<_> = world.lineages().collect();
    assert_eq!(lineages.len(), 2, "{lineages:?}");
}
