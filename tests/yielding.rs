//! One lineage is told to yield to another: what becomes of its voters while the roll of the other one is on its way.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use convoke::proto::{Command, Config, ConfigBuilder, Founding};
use convoke::sim::{Conditions, HostId, NodeOptions, World};
use convoke::types::{Capabilities, ConventionId, Lineage, NodeId};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn builder(name: &str) -> ConfigBuilder {
    Config::builder(ConventionId::new("site").unwrap(), NodeId::new(name).unwrap()).heartbeat(100 * MS)
}

/// Two conventions of one name that were founded apart and meet: a, b, c with their members, and the others.
fn two(one_way: Duration, members: u32, others: &[&str]) -> (World, [HostId; 3], Vec<HostId>) {
    let conditions = Conditions { delay: one_way, ..Conditions::default() };
    let mut world = World::builder(3).conditions(conditions).build();
    let mut candidate = |name: &str, of: usize| {
        let config = builder(name).candidate().found(Founding::Expect(of)).build().unwrap();
        world.add_node(config, NodeOptions::default())
    };
    let ours = ["a", "b", "c"].map(|name| candidate(name, 3));
    let theirs: Vec<_> = others.iter().map(|name| candidate(name, others.len())).collect();
    let mut capabilities = Capabilities::new();
    for key in ["here", "there", "elsewhere"] {
        capabilities.set(key, &"x".repeat(200)).unwrap();
    }
    for n in 0..members {
        let config = builder(&format!("m{n}")).capabilities(capabilities.clone()).build().unwrap();
        world.add_node(config, NodeOptions::default());
    }
    for host in world.hosts().filter(|h| !theirs.contains(h)) {
        theirs.iter().for_each(|other| world.cut(host, *other));
    }
    let on_roll = |w: &World, h: HostId| w.node(h).unwrap().members().count();
    let all = |w: &World, side: &[HostId], n: usize| side.iter().all(|h| on_roll(w, *h) == n);
    let founded =
        |w: &World| w.leaders().count() == 2 && all(w, &ours, 3 + members as usize) && all(w, &theirs, theirs.len());
    until(&mut world, "two conventions", founded);
    world.heal();
    world.run_for(2_000 * MS);
    assert!(founded(&world));
    (world, ours, theirs)
}

/// The leader of these is told to yield to the other one.
fn yields(world: &mut World, ours: [HostId; 3]) -> Lineage {
    let (leader, other): (Vec<_>, Vec<_>) = world.leaders().partition(|l| ours.contains(l));
    let into = world.node(other[0]).unwrap().lineage();
    world.command(leader[0], Command::Yield(into)).unwrap();
    into
}

/// One of them that doesn't lead.
fn supporter(world: &World, ours: [HostId; 3]) -> HostId {
    ours.into_iter().find(|h| world.leaders().all(|l| l != *h)).unwrap()
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
    let (mut world, ours, _) = two(60 * MS, 1_300, &["x"]);
    yields(&mut world, ours);
    world.run_for(20_000 * MS);
    assert_eq!(world.disagreement(), None);
    assert_eq!(world.lineages().count(), 2, "nobody founded anything");
}

/// To take it in takes longer than the leader that yields waited: it went on, the members were sent to places that nobody had given
/// them the second time, and each had to register anew.
#[test]
fn a_large_roll_is_taken_in_at_the_first_try() {
    let (mut world, ours, theirs) = two(25 * MS, 1_800, &["x", "y", "z"]);
    yields(&mut world, ours);
    world.run_for(20_000 * MS);
    assert_eq!(world.disagreement(), None);
    let joins = |h: &HostId| world.node(*h).unwrap().stats().mergers;
    assert_eq!(theirs.iter().map(joins).max(), Some(1));
}

/// One voter reaches the others, who went over, and not the one that has the roll for it: it founded its lineage anew, alone,
/// since those others are other voters now.
#[test]
fn who_does_not_reach_the_heir_founds_nothing() {
    let (mut world, ours, theirs) = two(MS, 3, &["x"]);
    world.cut(supporter(&world, ours), theirs[0]);
    yields(&mut world, ours);
    world.run_for(10_000 * MS);
    assert_eq!(world.leaders().collect::<Vec<_>>(), theirs);
    world.heal();
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    assert_eq!(world.lineages().count(), 2);
}

/// As before, and the leader that has the roll is gone, too: those who went over give it.
#[test]
fn who_went_over_gives_the_roll_to_who_did_not() {
    let (mut world, ours, theirs) = two(MS, 3, &["x"]);
    world.cut(supporter(&world, ours), theirs[0]);
    let into = yields(&mut world, ours);
    let over = |w: &World, h: HostId| {
        let node = w.node(h).unwrap();
        node.lineage() == into && node.line().voters().count() > 2
    };
    until(&mut world, "two are over", |w| ours.into_iter().filter(|h| over(w, *h)).count() == 2);
    world.kill(theirs[0]);
    until(&mut world, "one leads", |w| w.leaders().count() == 1 && w.disagreement().is_none());
    assert_eq!(world.lineages().count(), 2);
}
