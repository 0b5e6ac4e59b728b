//! For each bug that can be planted in requests to the leader: a checker bites. As in `tests/planted.rs`, the same seeds and the
//! same script are clean without the bug.

#![cfg(feature = "planted-bugs")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use convoke::proto::{Bug, Config, Founding, Policy};
use convoke::sim::{HostId, NodeOptions, Options, Run, World};
use convoke::types::{ConventionId, NodeId};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn faults(words: &str) -> Options {
    let faults = words.parse().unwrap();
    Options {
        faults,
        candidates: Some(3),
        members: Some(2),
        heartbeat: Some(ms(100)),
        policy: Some(Policy::Quorum),
        ..Options::default()
    }
}

/// How many of the seeds show the bug as a violation of this property. Without the bug all of them are clean.
fn caught(bug: Bug, property: u8, seeds: std::ops::Range<u64>, options: &Options) -> usize {
    let first = |run: Run| run.execute().violations.first().map(|v| (v.property, v.what.clone()));
    let mut caught = 0;
    for seed in seeds.clone() {
        let run = Run::seed(seed).options(options.clone());
        assert_eq!(first(run.clone()), None, "seed {seed} without {bug:?}");
        caught += usize::from(first(run.plant(bug)).is_some_and(|(p, _)| p == property));
    }
    println!("{bug:?}: property {property} in {caught} of {} seeds", seeds.end - seeds.start);
    caught
}

/// Three candidates and a member.
fn site(bug: Option<Bug>) -> World {
    let mut builder = World::builder(7).collect_asked(true);
    if let Some(bug) = bug {
        builder = builder.plant(bug);
    }
    let mut world = builder.build();
    let node = |name: &str| {
        let (convention, id) = (ConventionId::new("site").unwrap(), NodeId::new(name).unwrap());
        Config::builder(convention, id).heartbeat(ms(100))
    };
    for name in ["a", "b", "c"] {
        let config = node(name).candidate().found(Founding::Expect(3)).build().unwrap();
        world.add_node(config, NodeOptions::default());
    }
    world.add_node(node("m").build().unwrap(), NodeOptions::default());
    world.run_for(SECOND * 5);
    world
}

/// It is given to a leader's embedder, the leader is gone before the others know, and the next one gives it again.
#[test]
fn a_request_given_before_it_is_begun_is_seen() {
    assert!(caught(Bug::GiveBeforeBegun, 6, 0..8, &faults("requests,partition,oneway")) >= 1);
}

#[test]
fn an_answer_that_goes_out_before_it_is_committed_is_seen() {
    assert!(caught(Bug::AnswerBeforeCommit, 6, 0..4, &faults("requests,partition")) >= 3);
}

#[test]
fn a_request_that_a_new_leader_gives_again_is_seen() {
    assert!(caught(Bug::BeginAgain, 6, 0..6, &faults("requests,crash,handover")) >= 2);
}

#[test]
fn a_snapshot_without_requests_is_seen() {
    assert!(caught(Bug::SnapshotWithoutRequests, 3, 0..5, &faults("requests,restart")) >= 2);
}

/// One that was declared gone lives, and its embedder answers what is known to be unknown by then.
#[test]
fn an_answer_of_one_that_is_gone_is_seen() {
    let violated = |bug: Option<Bug>| {
        let mut world = site(bug);
        let (leader, member) = (world.leaders().next().unwrap(), world.find("m").unwrap());
        world.request(member, "q".into(), false).unwrap();
        world.run_for(ms(100));
        let (host, _, asked) = world.take_asked().remove(0);
        assert_eq!(host, leader);
        let name = world.name(leader).clone();
        world.isolate(leader);
        let struck_off = world.run_until(SECOND * 10, |w| {
            w.leaders().any(|h| h != leader && w.node(h).is_some_and(|n| n.member(&name).is_none()))
        });
        assert!(struck_off);
        // The sender doesn't hear of it for a while: the roll keeps it.
        let next = world.leaders().find(|h| *h != leader).unwrap();
        world.heal();
        world.cut(next, member);
        world.run_until(SECOND * 2, |w| {
            w.node(leader).is_some_and(|n| n.lease_until().is_none() && n.leader().is_some())
        });
        let _ = world.answer(leader, &asked, Some("late".into()));
        world.run_for(ms(400));
        world.heal();
        world.run_for(SECOND * 5);
        world.violations().first().map(|v| v.property)
    };
    assert_eq!(violated(None), None);
    assert_eq!(violated(Some(Bug::AnswerOfTheGone)), Some(6));
}

/// What was begun in the parent is lost with all who had it; in the child it must not begin again.
#[test]
fn a_request_that_begins_again_in_a_child_is_seen() {
    let given = |bug: Option<Bug>| {
        let mut world = site(bug);
        let (hosts, member): (Vec<_>, _) = (world.hosts().take(3).collect(), world.find("m").unwrap());
        let leader = world.leaders().next().unwrap();
        let lineage = world.node(leader).unwrap().lineage();
        let others: Vec<HostId> = hosts.iter().copied().filter(|h| *h != leader).collect();
        // One of the voters never hears that it begins.
        world.isolate(others[0]);
        world.request(member, "q".into(), false).unwrap();
        world.run_for(ms(100));
        let first = world.take_asked().len();
        for host in [leader, others[1]] {
            world.kill(host);
        }
        world.heal();
        world.run_for(ms(20));
        for host in [leader, others[1]] {
            world.start(host);
        }
        world.run_for(SECOND * 20);
        let child = world.leaders().next().unwrap();
        assert_ne!(world.node(child).unwrap().lineage(), lineage, "it is another lineage");
        (first, first + world.take_asked().len(), world.violations().first().map(|v| v.property))
    };
    assert_eq!(given(None), (1, 1, None));
    assert_eq!(given(Some(Bug::ParentForgotten)), (1, 2, Some(6)));
}
