//! The line while it runs: who is retired, ranked, promoted and demoted, and how soon a side that was cut off is back.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use bytes::Bytes;
use convoke::proto::{Command, CommandError, Config, ConfigBuilder, Event, Founding, Role};
use convoke::sim::{Conditions, HostId, NodeOptions, World};
use convoke::types::{Capabilities, ConventionId, NodeId, Standing};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn builder(name: &str) -> ConfigBuilder {
    Config::builder(ConventionId::new("site").unwrap(), id(name))
}

/// Candidates and members that agree; the first one leads. Heartbeats each second, gone after three.
fn site(seed: u64, candidates: &[&str], members: &[&str], store: bool) -> World {
    let mut world = World::builder(seed).twins(true).build();
    let founding = Founding::Expect(candidates.len());
    for name in candidates {
        let config = builder(name).candidate().found(founding.clone()).build().unwrap();
        world.add_node(config, NodeOptions { store, ..NodeOptions::default() });
    }
    for name in members {
        world.add_node(builder(name).build().unwrap(), NodeOptions::default());
    }
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    world.run_for(SECOND * 5);
    world.take_events();
    world
}

fn until(world: &mut World, what: &str, done: impl FnMut(&World) -> bool) {
    let came = world.run_until(SECOND * 60, done);
    assert!(world.violations().is_empty(), "{}", world.violations()[0]);
    assert!(came, "{what}: not until {:?}; {:?}", world.now(), world.disagreement());
}

fn agreed(world: &mut World) {
    until(world, "agreement", |w| w.disagreement().is_none());
    world.run_for(SECOND * 5);
    assert_eq!(world.disagreement(), None);
}

fn host(world: &World, name: &str) -> HostId {
    world.find(name).unwrap()
}

/// The line as the leader has it.
fn line(world: &World) -> String {
    let leader = world.leaders().last().expect("a leader");
    let seats = world.node(leader).unwrap().line().seats().iter();
    seats.map(|s| format!("{}{}", if s.voting { "" } else { "-" }, s.id)).collect::<Vec<_>>().join(" ")
}

fn retire(world: &mut World, name: &str) -> Result<(), CommandError> {
    let leader = world.leaders().last().expect("a leader");
    world.command(leader, Command::Retire(id(name)))
}

fn stand(world: &mut World, name: &str, standing: Standing) -> Result<(), CommandError> {
    let host = host(world, name);
    world.command(host, Command::SetStanding(standing))
}

#[test]
fn a_retired_candidate_stays_a_member_across_leaders_and_restarts_until_it_is_promoted() {
    for store in [false, true] {
        let mut world = site(1, &["a", "b", "c", "d"], &["m"], store);
        retire(&mut world, "d").unwrap();
        agreed(&mut world);
        assert_eq!(line(&world), "a b c");
        let (d, a) = (host(&world, "d"), host(&world, "a"));
        assert_eq!(
            (world.node(d).unwrap().role(), world.node(d).unwrap().standing()),
            (Role::Member, Standing::Member)
        );
        world.restart(d);
        agreed(&mut world);
        world.kill(a);
        agreed(&mut world);
        world.restart(d);
        world.start(a);
        agreed(&mut world);
        assert!(!line(&world).contains('d'), "{}", line(&world));
        stand(&mut world, "d", Standing::Candidate).unwrap();
        agreed(&mut world);
        assert!(line(&world).contains('d') && !line(&world).contains('-'), "{}", line(&world));
        world.restart(d);
        agreed(&mut world);
        assert!(line(&world).contains('d'), "{}", line(&world));
    }
}

#[test]
fn a_dead_candidate_can_be_retired_and_its_vote_counts_no_more() {
    let mut world = site(2, &["a", "b", "c"], &[], true);
    let (b, c) = (host(&world, "b"), host(&world, "c"));
    world.power_off(c);
    world.run_for(SECOND * 20);
    retire(&mut world, "c").unwrap();
    agreed(&mut world);
    assert_eq!(line(&world), "a b");
    retire(&mut world, "b").unwrap();
    agreed(&mut world);
    assert_eq!(line(&world), "a", "a alone is a majority of its line");
    world.kill(b);
    world.run_for(SECOND * 20);
    assert_eq!(world.leaders().count(), 1);
    world.power_on(c);
    world.start(c);
    world.start(b);
    agreed(&mut world);
    assert_eq!(line(&world), "a");
}

#[test]
fn what_cannot_be_done_is_refused() {
    let mut world = site(3, &["a", "b"], &["m"], false);
    let [a, b, m] = ["a", "b", "m"].map(|n| host(&world, n));
    let mut refuses = |host, command| world.command(host, command).unwrap_err();
    assert_eq!(refuses(b, Command::Retire(id("a"))), CommandError::NotLeader(Some(id("a"))));
    assert_eq!(refuses(m, Command::SetPriority { id: id("a"), priority: 1 }), CommandError::NotLeader(Some(id("a"))));
    assert_eq!(refuses(a, Command::Retire(id("a"))), CommandError::Leads);
    assert_eq!(refuses(a, Command::Retire(id("m"))), CommandError::NoSeat(id("m")));
    assert_eq!(refuses(a, Command::SetPriority { id: id("x"), priority: 1 }), CommandError::NoSeat(id("x")));
    assert_eq!(refuses(a, Command::SetStanding(Standing::Member)), CommandError::Leads);
}

#[test]
fn a_change_waits_while_the_rest_is_no_majority() {
    let mut world = site(4, &["a", "b", "c"], &[], true);
    let c = host(&world, "c");
    world.power_off(c);
    world.run_for(SECOND * 20);
    retire(&mut world, "b").unwrap();
    world.run_for(SECOND * 20);
    assert_eq!(line(&world), "a b c", "without b nothing could be committed");
    world.power_on(c);
    world.start(c);
    agreed(&mut world);
    assert_eq!(line(&world), "a c");
}

#[test]
fn priorities_reorder_the_line_and_outlive_a_restart() {
    let mut world = site(5, &["a", "b", "c"], &["m"], false);
    let (a, c) = (host(&world, "a"), host(&world, "c"));
    world.command(a, Command::SetPriority { id: id("c"), priority: 7 }).unwrap();
    agreed(&mut world);
    assert_eq!(line(&world), "c a b");
    world.restart(c);
    agreed(&mut world);
    assert_eq!(line(&world), "c a b");
    world.kill(a);
    agreed(&mut world);
    assert_eq!(world.leaders().last(), Some(c), "it is the first in the line");
}

#[test]
fn a_member_is_promoted_leads_and_is_demoted_again() {
    let mut world = site(6, &["a", "b"], &["m"], false);
    stand(&mut world, "m", Standing::Candidate).unwrap();
    agreed(&mut world);
    assert_eq!(line(&world), "a b m");
    let [a, b, m] = ["a", "b", "m"].map(|n| host(&world, n));
    world.command(a, Command::SetPriority { id: id("m"), priority: 1 }).unwrap();
    agreed(&mut world);
    world.kill(a);
    agreed(&mut world);
    assert_eq!(world.leaders().last(), Some(m));
    assert_eq!(stand(&mut world, "m", Standing::Member), Err(CommandError::Leads));
    world.start(a);
    agreed(&mut world);
    stand(&mut world, "b", Standing::Member).unwrap();
    agreed(&mut world);
    assert_eq!(line(&world), "m a");
    assert_eq!(world.node(b).unwrap().role(), Role::Member);
}

/// The leader dies right after it began: the next one carries the decision out, or nobody ever heard of it.
#[test]
fn a_leader_that_dies_in_the_middle_leaves_one_line() {
    for us in [0, 50, 150, 250, 350, 450, 600, 1_000] {
        let mut world = site(7, &["a", "b", "c", "d", "e"], &["m"], true);
        let a = host(&world, "a");
        retire(&mut world, "e").unwrap();
        world.run_for(Duration::from_micros(us));
        world.kill(a);
        agreed(&mut world);
        let e = host(&world, "e");
        let retired = world.node(world.leaders().last().unwrap()).unwrap().retired().count() == 1;
        assert_eq!(line(&world), if retired { "a b c d" } else { "a b c d e" }, "after {us} µs");
        assert_eq!(world.node(e).unwrap().standing() == Standing::Member, retired);
        world.start(a);
        agreed(&mut world);
    }
}

/// A minority says that it is isolated, tells nobody to have left, and is back within two heartbeats.
#[test]
fn a_minority_is_isolated_and_back_within_two_heartbeats() {
    let (mut worst, mut slowest) = (Duration::ZERO, Duration::ZERO);
    for seed in 0..12 {
        for away in [2, 4, 9, 30] {
            let mut world = site(seed, &["a", "b", "c", "d", "e"], &["m", "n"], seed % 2 == 0);
            let minority = ["a", "b", "m"].map(|n| host(&world, n));
            let majority = ["c", "d", "e", "n"].map(|n| host(&world, n));
            let cut_at = world.now();
            minority.iter().for_each(|x| majority.iter().for_each(|y| world.cut(*x, *y)));
            world.run_for(SECOND * away);
            let events = world.take_events();
            for (at, host, event) in &events {
                assert!(!minority.contains(host) || !matches!(event, Event::Left { .. }), "{event:?}");
                if let Event::Isolated { lost } = event {
                    assert!(minority[..2].contains(host), "{host:?}");
                    slowest = slowest.max(*at - cut_at);
                    assert!(away < 9 || host.0 != 0 || lost.len() <= 3);
                }
            }
            let isolated = |h| events.iter().any(|(_, x, e)| *x == h && matches!(e, Event::Isolated { .. }));
            assert!(away < 9 || isolated(minority[0]) && isolated(minority[1]), "seed {seed}, away {away}");
            let healed = world.now();
            world.heal();
            until(&mut world, "agreement", |w| w.disagreement().is_none());
            let took = world.now() - healed;
            worst = worst.max(took);
            assert!(took <= SECOND * 2 + Duration::from_millis(50), "seed {seed}, away {away} s: {took:?}");
            world.run_for(SECOND * 2);
            let back = world.take_events();
            for h in &minority[..2] {
                let told = events.iter().chain(&back).filter(|(_, x, _)| x == h).map(|(_, _, e)| e);
                let told: Vec<_> =
                    told.filter(|e| matches!(e, Event::Isolated { .. } | Event::Merged { .. })).collect();
                let balanced = told.last().is_none_or(|e| matches!(e, Event::Merged { .. }));
                assert!(balanced, "seed {seed}, away {away} s, {h:?}: {told:?}");
            }
        }
    }
    println!("isolated after at most {slowest:?}, back within at most {worst:?}");
}

/// A member asks for a vote and takes it back before anybody heard of it: nobody will ever give it the roll, so it must
/// not wait for it (seed 12316).
#[test]
fn who_changes_its_mind_before_it_got_a_place_is_a_member_again() {
    let mut world = site(5, &["a", "b", "c"], &["m"], false);
    let m = host(&world, "m");
    world.isolate(m);
    stand(&mut world, "m", Standing::Candidate).unwrap();
    stand(&mut world, "m", Standing::Member).unwrap();
    world.run_for(SECOND * 20);
    world.heal();
    agreed(&mut world);
    assert_eq!(world.node(m).unwrap().role(), Role::Member);
    assert_eq!(line(&world), "a b c");
}

/// Where the leader falls silent its first successor alone asks for votes: each of the others leaves it the time, and those behind
/// it theirs.
#[test]
fn successors_bid_in_their_turn() {
    let names = ["a", "b", "c", "d", "e"];
    for gone in 1..3 {
        let mut world = site(4, &names, &[], false);
        let hosts: Vec<_> = names.iter().map(|n| host(&world, n)).collect();
        let asked = |w: &World| -> Vec<u64> { hosts.iter().map(|h| w.node(*h).unwrap().stats().canvasses).collect() };
        let before = asked(&world);
        world.partition(&hosts[..gone]);
        until(&mut world, "a successor", |w| w.leaders().any(|l| l == hosts[gone]));
        let after = asked(&world);
        let once: Vec<_> = (0..names.len()).map(|n| after[n] - before[n]).skip(gone).collect();
        assert_eq!(once, [vec![1], vec![0; names.len() - gone - 1]].concat(), "{gone} gone");
    }
}

/// Entries come faster than the slower candidate answers: its roll is never level to the letter, and it is admitted all the same.
#[test]
fn a_slower_candidate_is_admitted_under_load() {
    let mut world = site(1, &["a", "b"], &[], false);
    let founding = Founding::Expect(3);
    let config = builder("c").candidate().found(founding).build().unwrap();
    let c = world.add_node(config, NodeOptions { stopped: true, ..NodeOptions::default() });
    let delay = Duration::from_millis(40);
    let [a, b] = ["a", "b"].map(|n| host(&world, n));
    for other in [a, b] {
        for (from, to) in [(other, c), (c, other)] {
            world.set_link(from, to, Some(Conditions { delay, ..Conditions::default() }));
        }
    }
    world.start(c);
    for n in 0..1_000_u32 {
        world.broadcast(a, Bytes::from(n.to_string())).unwrap();
        world.run_for(Duration::from_millis(10));
        if line(&world) == "a b c" {
            return;
        }
    }
    panic!("it is not admitted: {}", line(&world));
}

/// A diskless candidate leaves while another one is about to be back: without it the rest would be no majority, and the line dead.
#[test]
fn who_leaves_is_kept_until_the_rest_suffices() {
    let mut world = site(1, &["a", "b", "c"], &[], false);
    let [a, b, c] = ["a", "b", "c"].map(|n| host(&world, n));
    world.kill(c);
    world.run_for(Duration::from_millis(100));
    world.command(b, Command::Leave).unwrap();
    world.run_for(Duration::from_millis(500));
    assert_eq!(line(&world), "a b c");
    world.start(c);
    until(&mut world, "b is gone", |w| !w.is_running(b));
    agreed(&mut world);
    assert_eq!((world.leaders().next(), world.recoveries()), (Some(a), 0));
    assert_eq!(line(&world), "a -b c");
}

/// What it says of itself is no reason to be given the whole roll again.
#[test]
fn who_says_something_of_itself_is_sent_that_and_no_more() {
    let members: Vec<_> = (0..40).map(|n| format!("m{n}")).collect();
    let members: Vec<_> = members.iter().map(String::as_str).collect();
    let mut world = site(1, &["a", "b", "c"], &members, false);
    let [a, b] = ["a", "b"].map(|n| host(&world, n));
    for n in 0..2_500 {
        let m = host(&world, members[n % members.len()]);
        let mut capabilities = Capabilities::new();
        capabilities.set("n", &format!("{n:0>200}")).unwrap();
        world.command(m, Command::SetCapabilities(capabilities)).unwrap();
        world.run_for(Duration::from_millis(20));
    }
    let sent = world.node(a).unwrap().stats().stream_bytes_out;
    let mut capabilities = Capabilities::new();
    capabilities.set("n", "1").unwrap();
    world.command(b, Command::SetCapabilities(capabilities)).unwrap();
    world.run_for(Duration::from_millis(100));
    let sent = world.node(a).unwrap().stats().stream_bytes_out - sent;
    assert!((1..5_000).contains(&sent), "{sent} bytes");
    agreed(&mut world);
}
