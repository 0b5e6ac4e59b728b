//! What once went wrong in the core, distilled to the shortest way there: each test names the rule that was missing.
//!
//! All checkers run in each world; a test that says nothing else only wants them to be silent.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use convoke::proto::{Config, Founding, Role};
use convoke::sim::{Conditions, Faults, HostId, NodeOptions, Options, Run, World};
use convoke::types::{ConventionId, NodeId};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn builder(name: &str) -> convoke::proto::ConfigBuilder {
    Config::builder(ConventionId::new("site").unwrap(), NodeId::new(name).unwrap())
}

/// A node that told who had left, and then gave up its roll, handed on what that one said afterwards.
#[test]
fn who_left_stays_silent_for_one_who_has_no_roll_any_more() {
    let options = Options { faults: Faults::all(), ..Options::default() };
    let report = Run::seed(383).options(options).execute();
    assert!(report.is_clean(), "{report}");
}

/// A convention of candidates that agrees; the first one leads. Heartbeats each second, gone after three.
fn site(names: &[&str], store: bool) -> (World, Vec<HostId>) {
    let mut world = World::builder(7).twins(true).keep_events(false).build();
    let options = NodeOptions { store, ..NodeOptions::default() };
    let founding = Founding::Expect(names.len());
    let hosts: Vec<_> = names
        .iter()
        .map(|n| world.add_node(builder(n).candidate().found(founding.clone()).build().unwrap(), options.clone()))
        .collect();
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    assert!(leads(hosts[0])(&world));
    (world, hosts)
}

fn leads(host: HostId) -> impl Fn(&World) -> bool {
    move |w| w.node(host).is_some_and(|n| n.role() == Role::Leader)
}

fn until(world: &mut World, what: &str, done: impl FnMut(&World) -> bool) {
    let came = world.run_until(SECOND * 30, done);
    assert!(world.violations().is_empty(), "{}", world.violations()[0]);
    assert!(came, "{what}: not until {:?}", world.now());
}

fn position(world: &World, host: HostId) -> u64 {
    world.node(host).unwrap().position().index.0
}

fn member(world: &mut World, name: &str) -> HostId {
    world.add_node(builder(name).build().unwrap(), NodeOptions::default())
}

/// Five with stores that name each other in a list; the first and the last aren't started yet.
fn list_of_five() -> (World, Vec<HostId>) {
    let mut world = World::builder(7).twins(true).keep_events(false).build();
    let ids: Vec<_> = ["a", "b", "c", "d", "e"].iter().map(|n| NodeId::new(n).unwrap()).collect();
    let hosts: Vec<_> = ids
        .iter()
        .map(|id| {
            let config = builder(id.as_str()).candidate().found(Founding::List(ids.clone())).build().unwrap();
            let stopped = ["a", "e"].contains(&id.as_str());
            world.add_node(config, NodeOptions { store: true, stopped, ..NodeOptions::default() })
        })
        .collect();
    (world, hosts)
}

/// A snapshot of what a follower's log holds anyway takes nothing away from it: what it acknowledged stays.
#[test]
fn a_snapshot_of_a_prefix_discards_nothing() {
    let (mut world, hosts) = site(&["a", "b", "c"], true);
    let [a, b, c] = hosts[..] else { unreachable!() };
    // c gets its roll by a snapshot, so its own begins later than b's.
    world.kill(c);
    world.wipe(c);
    world.start(c);
    until(&mut world, "c is back", |w| w.disagreement().is_none());
    member(&mut world, "m");
    until(&mut world, "m is on the roll", |w| w.disagreement().is_none());
    // An entry more at a and c than at b.
    world.cut(a, b);
    let held = position(&world, b);
    let m = member(&mut world, "n");
    until(&mut world, "n is on the roll", |w| w.node(m).unwrap().registration().is_some());
    world.power_off(a);
    world.restart(b);
    world.restart(c);
    until(&mut world, "c leads", leads(c));
    until(&mut world, "b follows", |w| {
        assert!(position(w, b) >= held, "b has the roll up to {} and had it up to {held}", position(w, b));
        position(w, b) == position(w, c)
    });
}

/// An acceptance that binds beyond restarts is let go even where the release of it was lost: the acceptor reminds its
/// proposer of it.
#[test]
fn a_lost_release_binds_nobody_for_ever() {
    let (mut world, hosts) = list_of_five();
    let [a, b, c, d, e] = hosts[..] else { unreachable!() };
    // Three of the five have met. After three seconds b proposes to the others; their answers are lost, as is its release.
    world.run_for(SECOND * 29 / 10);
    world.cut_one_way(c, b, convoke::sim::Cut::All);
    world.cut_one_way(d, b, convoke::sim::Cut::All);
    world.run_for(SECOND * 10);
    assert_eq!(world.leaders().count(), 0, "nothing was to be founded yet");
    // Now the first of the list is there, and proposes.
    world.cut(b, c);
    world.cut(b, d);
    world.run_for(SECOND * 10);
    world.heal();
    world.start(a);
    world.start(e);
    until(&mut world, "agreement", |w| w.disagreement().is_none() && w.leaders().count() == 1);
}

/// A part of a list has founded, and one of it has nothing but its word: that word must not make another part a majority
/// while the first one is away.
#[test]
fn two_parts_of_a_list_don_t_both_found() {
    let (mut world, hosts) = list_of_five();
    let [a, b, c, d, e] = hosts[..] else { unreachable!() };
    // b founds with c and d, and leads by c's word before d gets the roll.
    let slow = Conditions { delay: Duration::from_millis(50), ..Conditions::default() };
    world.set_link(b, d, Some(slow));
    until(&mut world, "b leads", leads(b));
    world.cut(b, d);
    world.power_off(b);
    world.power_off(c);
    world.start(a);
    world.start(e);
    for _ in 0..2 {
        world.run_for(SECOND * 60);
        assert_eq!(world.leaders().count(), 0, "d is bound to what b founded");
        world.restart(d);
    }
    world.heal();
    for host in [b, c] {
        world.power_on(host);
        world.start(host);
    }
    until(&mut world, "agreement", |w| w.disagreement().is_none() && w.leaders().count() == 1);
}
