//! Foundings that hang, and candidates that know of a convention that isn't there: who waits for whom, what frees them,
//! and that nobody founds beside what may live.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use convoke::proto::{Command, CommandError, Config, Event, Founding, Notice};
use convoke::sim::{HostId, NodeOptions, World};
use convoke::types::{ConventionId, Lineage, NodeId, Standing};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn config(name: &str, list: &[&str]) -> Config {
    let list = list.iter().map(|n| id(n)).collect();
    let builder = Config::builder(ConventionId::new("site").unwrap(), id(name)).heartbeat(ms(100));
    builder.candidate().found(Founding::List(list)).build().unwrap()
}

fn stored(stopped: bool) -> NodeOptions {
    NodeOptions { store: true, stopped, ..NodeOptions::default() }
}

/// The list's candidates, all with stores; the first `running` are started.
fn site(seed: u64, list: &[&str], running: usize, prepare: impl Fn(&mut World, HostId)) -> (World, Vec<HostId>) {
    let mut w = World::builder(seed).fsync(ms(2)).build();
    let hosts: Vec<_> = list.iter().map(|n| w.add_node(config(n, list), stored(true))).collect();
    hosts.iter().for_each(|h| prepare(&mut w, *h));
    hosts[..running].iter().for_each(|h| w.start(*h));
    (w, hosts)
}

fn told(w: &mut World, host: HostId, notice: &Notice) -> bool {
    let is = |e: &Event| matches!(e, Event::Network(n) if n == notice);
    w.take_events().iter().any(|(_, h, e)| *h == host && is(e))
}

fn lineage(w: &World, host: HostId) -> Lineage {
    w.node(host).unwrap().lineage()
}

fn clean(w: &World) {
    assert!(w.violations().is_empty(), "{}", w.violations()[0]);
}

/// A founding was proposed to one that was promoted while it ran: it is configured for none, never answered, and the others
/// waited for it for ever (seed 4001944).
#[test]
fn who_was_promoted_accepts_a_founding() {
    let mut w = World::builder(1).build();
    let builder = |name| Config::builder(ConventionId::new("site").unwrap(), id(name)).heartbeat(ms(100));
    let first = builder("x").candidate().found(Founding::Alone).build().unwrap();
    let first = w.add_node(first, NodeOptions::default());
    let promoted = w.add_node(builder("m").build().unwrap(), NodeOptions::default());
    assert!(w.run_until(SECOND * 10, |w| w.disagreement().is_none()), "{:?}", w.disagreement());
    // It is promoted when its leader is no more.
    w.kill(first);
    w.command(promoted, Command::SetStanding(Standing::Candidate)).unwrap();
    w.run_for(SECOND);
    for name in ["a", "b"] {
        let config = builder(name).candidate().found(Founding::Expect(2)).build().unwrap();
        w.add_node(config, NodeOptions::default());
        w.run_for(SECOND);
    }
    let agreed = |w: &World| w.node(promoted).unwrap().line().voters().count() == 3;
    assert!(w.run_until(SECOND * 10, agreed), "{:?}", w.disagreement());
    clean(&w);
}

// ---- Who stepped down ----

/// Three of five stepped down, then all went, and those three are back first.
fn the_retired_are_back(prepare: impl Fn(&mut World, HostId)) -> (World, Vec<HostId>) {
    let (mut w, hosts) = site(1, &["a", "b", "c", "d", "e"], 5, prepare);
    w.run_for(SECOND * 10);
    for name in ["c", "d", "e"] {
        w.command(hosts[0], Command::Retire(id(name))).unwrap();
        w.run_for(SECOND * 3);
    }
    assert_eq!(w.node(hosts[0]).unwrap().line().voters().count(), 2);
    hosts.iter().for_each(|h| w.kill(*h));
    hosts[2..].iter().for_each(|h| w.start(*h));
    w.run_for(SECOND * 20);
    (w, hosts)
}

#[test]
fn who_stepped_down_waits_for_its_convention() {
    let (mut w, hosts) = the_retired_are_back(|_, _| {});
    assert_eq!(w.leaders().count(), 0);
    let known = w.lineages().next().unwrap();
    assert!(told(&mut w, hosts[3], &Notice::WaitingForConvention(known)));
    hosts[..2].iter().for_each(|h| w.start(*h));
    assert!(w.run_until(SECOND * 20, |w| w.disagreement().is_none() && w.leaders().count() == 1));
    assert_eq!(lineage(&w, hosts[0]), known);
    assert_eq!(w.node(hosts[0]).unwrap().line().voters().count(), 2, "the retired stay retired");
    clean(&w);
}

/// The line is gone for good: an operator says so to those that are left.
#[test]
fn an_order_frees_who_stepped_down() {
    let (mut w, hosts) = the_retired_are_back(|_, _| {});
    let known = w.lineages().next().unwrap();
    assert_eq!(w.command(hosts[2], Command::Recover { without: vec![id("d")] }), Err(CommandError::NotToRecover));
    for host in &hosts[2..] {
        w.command(*host, Command::Recover { without: vec![id("a"), id("b")] }).unwrap();
        // Once it is durable it counts across a restart.
        w.run_for(ms(10));
        w.restart(*host);
    }
    assert!(w.run_until(SECOND * 30, |w| w.leaders().count() == 1));
    assert_ne!(lineage(&w, hosts[2]), known);
    clean(&w);
}

#[cfg(feature = "planted-bugs")]
#[test]
fn who_forgets_where_it_stepped_down_is_seen_to_found() {
    use convoke::proto::Bug;
    let (w, _) = the_retired_are_back(|w, host| w.plant(host, Bug::ForgetFormerLineage));
    assert!(w.violations().iter().any(|v| v.property == 1), "nobody saw it");
}

// ---- Who is bound to a founding ----

/// a proposes to b and founds; before b hears of that a is killed. c starts.
fn the_proposer_goes(wipe: bool) -> (World, Vec<HostId>) {
    let (mut w, hosts) = site(1, &["a", "b", "c"], 2, |_, _| {});
    assert!(w.run_until(SECOND * 20, |w| lineage(w, hosts[0]) != Lineage(0)));
    assert_eq!(lineage(&w, hosts[1]), Lineage(0));
    assert!(w.node(hosts[1]).unwrap().bound_to().is_some());
    w.cut(hosts[0], hosts[1]);
    // Until it is durable.
    w.run_for(ms(10));
    w.kill(hosts[0]);
    w.heal();
    if wipe {
        w.wipe(hosts[0]);
    }
    w.start(hosts[2]);
    (w, hosts)
}

#[test]
fn who_is_bound_is_free_once_the_proposer_lost_its_store() {
    let (mut w, hosts) = the_proposer_goes(true);
    w.run_for(SECOND * 5);
    assert_eq!(w.leaders().count(), 0, "it may come back with what it founded");
    assert!(told(&mut w, hosts[1], &Notice::WaitingFor(vec![id("a")])));
    w.start(hosts[0]);
    assert!(w.run_until(SECOND * 20, |w| w.leaders().count() == 1));
    assert_eq!(w.node(hosts[1]).unwrap().bound_to(), None);
    clean(&w);
}

#[test]
fn a_proposer_that_kept_its_store_comes_back_with_what_it_founded() {
    let (mut w, hosts) = the_proposer_goes(false);
    let bound = w.node(hosts[1]).unwrap().bound_to();
    w.run_for(SECOND * 5);
    w.restart(hosts[1]);
    w.run_for(SECOND * 5);
    assert_eq!(w.node(hosts[1]).unwrap().bound_to(), bound, "its store knows");
    assert_eq!(w.leaders().count(), 0);
    w.start(hosts[0]);
    assert!(w.run_until(SECOND * 20, |w| w.disagreement().is_none()));
    assert_eq!(Some(lineage(&w, hosts[2])), bound);
    clean(&w);
}

#[test]
fn an_order_frees_who_is_bound_to_one_that_stays_away() {
    let (mut w, hosts) = the_proposer_goes(true);
    w.run_for(SECOND * 5);
    assert_eq!(w.command(hosts[1], Command::Recover { without: vec![id("c")] }), Err(CommandError::NotToRecover));
    w.command(hosts[1], Command::Recover { without: vec![id("a")] }).unwrap();
    w.run_for(ms(10));
    w.restart(hosts[1]);
    assert!(w.run_until(SECOND * 20, |w| w.leaders().count() == 1));
    assert_eq!(lineage(&w, hosts[1]), lineage(&w, hosts[2]));
    clean(&w);
}

/// a founds with b and c, and commits with c while b hears nothing. Then a dies with its store, and is back without it
/// where b, d and e are; c, with all of it, is beyond a partition.
fn one_holds_what_was_founded(prepare: impl Fn(&mut World, HostId)) -> (World, Vec<HostId>) {
    let (mut w, hosts) = site(1, &["a", "b", "c", "d", "e"], 3, prepare);
    assert!(w.run_until(SECOND * 20, |w| lineage(w, hosts[0]) != Lineage(0)));
    assert_eq!(lineage(&w, hosts[1]), Lineage(0));
    w.isolate(hosts[1]);
    w.run_for(SECOND * 5);
    assert_eq!(w.leaders().collect::<Vec<_>>(), [hosts[0]]);
    assert_eq!(lineage(&w, hosts[2]), lineage(&w, hosts[0]));
    w.kill(hosts[0]);
    w.wipe(hosts[0]);
    w.heal();
    w.isolate(hosts[2]);
    [0, 3, 4].iter().for_each(|n| w.start(hosts[*n]));
    w.run_for(SECOND * 20);
    (w, hosts)
}

#[test]
fn who_may_hold_what_was_founded_is_waited_for() {
    let (mut w, hosts) = one_holds_what_was_founded(|_, _| {});
    assert_eq!(w.leaders().count(), 0);
    let founded = w.node(hosts[1]).unwrap().bound_to().unwrap();
    assert_eq!(lineage(&w, hosts[2]), founded);
    assert!(told(&mut w, hosts[1], &Notice::WaitingFor(vec![id("c")])));
    w.heal();
    assert!(w.run_until(SECOND * 20, |w| w.leaders().count() == 1 && w.disagreement().is_none()));
    hosts.iter().for_each(|h| assert_eq!(lineage(&w, *h), founded));
    clean(&w);
}

#[cfg(feature = "planted-bugs")]
#[test]
fn who_frees_itself_without_asking_is_seen() {
    use convoke::proto::Bug;
    let (w, _) = one_holds_what_was_founded(|w, host| w.plant(host, Bug::FreeWithoutAsking));
    assert!(w.violations().iter().any(|v| v.property == 1), "nobody saw it");
}

/// a has founded with b and c, and is cut off before they hear of it. A second process of its name, on another host,
/// is about. b is told by c that nothing came there; then c restarts, on a's side.
fn a_namesake_of_the_proposer(prepare: impl Fn(&mut World, HostId)) -> World {
    let list = ["a", "b", "c", "d", "e"];
    let (mut w, hosts) = site(1, &list, 3, prepare);
    assert!(w.run_until(SECOND * 20, |w| lineage(w, hosts[0]) != Lineage(0)));
    assert_eq!((lineage(&w, hosts[1]), lineage(&w, hosts[2])), (Lineage(0), Lineage(0)));
    w.isolate(hosts[0]);
    let namesake = w.add_node(config("a", &list), stored(false));
    w.cut(hosts[0], namesake);
    w.run_until(SECOND * 5, |w| [1, 2].iter().any(|n| w.node(hosts[*n]).unwrap().bound_to().is_none()));
    let free = if w.node(hosts[1]).unwrap().bound_to().is_none() { 1 } else { 2 };
    let other = hosts[3 - free];
    w.kill(other);
    w.heal();
    for one in [hosts[0], other] {
        [hosts[free], hosts[3], hosts[4], namesake].iter().for_each(|other| w.cut(one, *other));
    }
    // It knows nothing of the namesake any more.
    [other, hosts[3], hosts[4]].iter().for_each(|h| w.start(*h));
    w.run_for(SECOND * 20);
    w
}

#[test]
fn a_namesake_frees_nobody() {
    let w = a_namesake_of_the_proposer(|_, _| {});
    clean(&w);
    assert_eq!(w.leaders().count(), 1);
}

#[cfg(feature = "planted-bugs")]
#[test]
fn who_frees_itself_without_proof_is_seen() {
    use convoke::proto::Bug;
    let w = a_namesake_of_the_proposer(|w, host| w.plant(host, Bug::FreeWithoutProof));
    assert!(w.violations().iter().any(|v| v.property == 1), "nobody saw it: {:?}", w.lineages().collect::<Vec<_>>());
}
