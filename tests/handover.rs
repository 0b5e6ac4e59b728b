//! Handovers: how fast, to whom, and what refuses or ends them.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use convoke::proto::{Command, CommandError, Config, Event, Founding, HandoverFailure, HandoverStep, Notice, Role};
use convoke::sim::{Conditions, HostId, NodeOptions, World};
use convoke::types::{ConventionId, NodeId, Time};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

/// Candidates with heartbeats each second, gone after three; the first one leads. The last of them may be a witness.
fn site(n: usize, preempt: Option<Duration>, witness: bool) -> (World, Vec<HostId>) {
    let mut world = World::builder(7).twins(true).build();
    let hosts: Vec<_> = ["a", "b", "c", "d", "e"][..n]
        .iter()
        .map(|name| {
            let builder = Config::builder(ConventionId::new("site").unwrap(), id(name));
            let last = witness && *name == ["a", "b", "c", "d", "e"][n - 1];
            let builder = if last { builder.witness() } else { builder.candidate() };
            let config = builder.found(Founding::Expect(n)).preempt(preempt).build().unwrap();
            world.add_node(config, NodeOptions::default())
        })
        .collect();
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    world.run_for(SECOND * 5);
    assert!(leads(&world, hosts[0]));
    (world, hosts)
}

fn leads(world: &World, host: HostId) -> bool {
    world.node(host).is_some_and(|n| n.role() == Role::Leader)
}

fn until(world: &mut World, what: &str, done: impl FnMut(&World) -> bool) {
    let came = world.run_until(SECOND * 30, done);
    assert!(world.violations().is_empty(), "{}", world.violations()[0]);
    assert!(came, "{what}: not until {:?}", world.now());
}

fn steps(world: &mut World) -> Vec<(Time, HostId, HandoverStep)> {
    let step = |(at, host, event)| match event {
        Event::Network(Notice::Handover(_, step)) => Some((at, host, step)),
        _ => None,
    };
    world.take_events().into_iter().filter_map(step).collect()
}

/// From the old leader's end to the new leader's beginning, on links that take a fixed time.
#[test]
fn nobody_leads_for_less_than_one_and_a_half_round_trips() {
    for n in [2, 3, 4, 5] {
        let (mut world, hosts) = site(n, None, false);
        let delay = Duration::from_millis(20);
        world.set_conditions(Conditions { delay, ..Conditions::default() });
        world.run_for(SECOND * 5);
        world.take_events();
        world.command(hosts[0], Command::Handover(None)).unwrap();
        world.run_for(SECOND);
        let told: Vec<_> = world
            .take_events()
            .into_iter()
            .filter_map(|(at, host, event)| match event {
                Event::Leader { leader, .. } => Some((at, host, leader)),
                _ => None,
            })
            .collect();
        let end = told.iter().find(|t| t.1 == hosts[0] && t.2.is_none()).unwrap().0;
        let begin = told.iter().find(|t| t.1 == hosts[1] && t.2 == Some(id("b"))).unwrap().0;
        let round_trip = delay * 2;
        println!("{n} candidates: {:?} without a leader, a round trip takes {round_trip:?}", begin - end);
        assert!(begin - end < round_trip * 3 / 2, "{n} candidates: {:?}", begin - end);
        assert!(world.violations().is_empty() && world.disagreement().is_none());
    }
}

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    let (mut world, hosts) = site(4, None, true);
    let [a, b, c, d] = hosts[..] else { unreachable!() };
    let mut order = |host, to: Option<&str>| world.command(host, Command::Handover(to.map(id)));
    assert_eq!(order(b, None), Err(CommandError::NotLeader(Some(id("a")))));
    assert_eq!(order(a, Some("a")), Err(CommandError::LeadsAlready));
    assert_eq!(order(a, Some("x")), Err(CommandError::NotACandidate(id("x"))));
    assert_eq!(order(a, Some("d")), Err(CommandError::NotACandidate(id("d"))), "a witness never leads");
    world.isolate(c);
    world.run_for(SECOND * 5 / 2);
    assert_eq!(world.command(a, Command::Handover(Some(id("c")))), Err(CommandError::NotInSync(id("c"))));
    world.command(a, Command::Handover(None)).unwrap();
    until(&mut world, "b leads", |w| leads(w, b));
    world.run_for(SECOND);
    let lease = world.node(b).unwrap().lease_until();
    until(&mut world, "a renewed lease", |w| w.node(b).unwrap().lease_until() != lease);
    world.isolate(a);
    world.run_for(SECOND * 22 / 10);
    assert_eq!(world.command(b, Command::Handover(None)), Err(CommandError::NoSuccessor), "only the witness is there");
    assert!(world.is_running(d));
}

/// It acknowledged the last heartbeat, and is gone since: it is not blessed, and the leader leads on in its term.
#[test]
fn a_successor_that_is_gone_for_a_moment_only_is_not_blessed() {
    let (mut world, hosts) = site(3, None, false);
    let (before, term) = (world.leaderships(), world.node(hosts[0]).unwrap().term());
    world.isolate(hosts[1]);
    world.take_events();
    world.command(hosts[0], Command::Handover(Some(id("b")))).unwrap();
    world.run_for(SECOND);
    let told: Vec<_> = steps(&mut world).into_iter().map(|(_, _, step)| step).collect();
    assert_eq!(told, [HandoverStep::Begun, HandoverStep::Aborted(HandoverFailure::NoAnswer)]);
    assert!(leads(&world, hosts[0]) && world.node(hosts[0]).unwrap().term() == term);
    assert_eq!(world.leaderships(), before);
    world.command(hosts[0], Command::Handover(Some(id("c")))).unwrap();
    until(&mut world, "c leads", |w| leads(w, hosts[2]));
}

/// The leader reaches it, but it reaches nobody else: it says so, and is not blessed.
#[test]
fn a_successor_that_reaches_no_majority_is_not_blessed() {
    let (mut world, hosts) = site(5, None, false);
    let term = world.node(hosts[0]).unwrap().term();
    hosts[2..].iter().for_each(|h| world.cut(hosts[1], *h));
    world.run_for(SECOND * 30);
    assert!(leads(&world, hosts[0]));
    world.take_events();
    world.command(hosts[0], Command::Handover(Some(id("b")))).unwrap();
    world.run_for(SECOND);
    let told: Vec<_> = steps(&mut world).into_iter().map(|(_, _, step)| step).collect();
    assert_eq!(told, [HandoverStep::Begun, HandoverStep::Aborted(HandoverFailure::Unable)]);
    assert!(leads(&world, hosts[0]) && world.node(hosts[0]).unwrap().term() == term);
}

#[test]
fn a_leader_that_leaves_hands_over_first() {
    let (mut world, hosts) = site(3, None, false);
    world.take_events();
    let begun = world.now();
    world.command(hosts[0], Command::Leave).unwrap();
    until(&mut world, "it has left", |w| !w.is_running(hosts[0]));
    assert!(world.now() - begun < SECOND, "{:?}", world.now() - begun);
    assert!(leads(&world, hosts[1]));
    assert!(matches!(steps(&mut world).last(), Some((_, _, HandoverStep::Done(_)))));
}

#[test]
fn an_earlier_candidate_preempts_when_it_has_been_in_sync_for_long_enough() {
    let (mut world, hosts) = site(3, Some(SECOND * 10), false);
    world.kill(hosts[0]);
    until(&mut world, "b leads", |w| leads(w, hosts[1]));
    world.start(hosts[0]);
    until(&mut world, "a is back", |w| w.disagreement().is_none());
    let back = world.now();
    world.run_for(SECOND * 8);
    assert!(leads(&world, hosts[1]), "not yet");
    until(&mut world, "a leads", |w| leads(w, hosts[0]));
    assert!(world.now() - back < SECOND * 13, "{:?}", world.now() - back);
    let before = world.leaderships();
    world.run_for(SECOND * 100);
    assert_eq!(world.leaderships(), before, "and it stays");
}

#[test]
fn nobody_preempts_by_default() {
    let (mut world, hosts) = site(3, None, false);
    world.kill(hosts[0]);
    until(&mut world, "b leads", |w| leads(w, hosts[1]));
    world.start(hosts[0]);
    world.run_for(SECOND * 100);
    assert!(leads(&world, hosts[1]));
}

/// One that is on its way off the line stands before its leader and is in sync: it would only have to hand over again, and did,
/// again and again, as long as the rest of the line couldn't do without it.
#[test]
fn nobody_is_preempted_for_one_that_leaves_the_line() {
    let (mut world, hosts) = site(3, Some(SECOND * 4), false);
    world.command(hosts[0], Command::Handover(Some(id("b")))).unwrap();
    until(&mut world, "b leads", |w| leads(w, hosts[1]));
    world.run_for(SECOND);
    world.kill(hosts[2]);
    world.command(hosts[1], Command::Retire(id("a"))).unwrap();
    world.run_for(SECOND * 60);
    assert!(leads(&world, hosts[1]));
    assert!(world.leaderships() <= 2, "{}", world.leaderships());
}

/// It has just restarted from its store, and may vote for nobody yet: blessed, it could not even bid for itself.
#[test]
fn a_successor_that_has_just_restarted_is_not_blessed() {
    let mut world = World::builder(7).build();
    let hosts = ["a", "b", "c"].map(|name| {
        let builder = Config::builder(ConventionId::new("site").unwrap(), id(name)).candidate();
        let config = builder.found(Founding::Expect(3)).build().unwrap();
        world.add_node(config, NodeOptions { store: true, ..NodeOptions::default() })
    });
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    world.run_for(SECOND * 5);
    world.restart(hosts[1]);
    until(&mut world, "it is in sync", |w| w.disagreement().is_none());
    world.take_events();
    world.command(hosts[0], Command::Handover(Some(id("b")))).unwrap();
    world.run_for(SECOND / 2);
    let told: Vec<_> = steps(&mut world).into_iter().map(|(_, _, step)| step).collect();
    assert_eq!(told, [HandoverStep::Begun, HandoverStep::Aborted(HandoverFailure::Unable)]);
    assert!(leads(&world, hosts[0]));
}
