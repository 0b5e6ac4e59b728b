//! What becomes of a convention whose diskless voters restarted in such numbers that its line could never go on.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use convoke::proto::{Command, CommandError, Config, Event, Founding, Notice, Role};
use convoke::sim::{HostId, NodeOptions, World};
use convoke::types::{ConventionId, NodeId, Standing};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

/// Candidates that agree, the first leads, and as many members as asked for. Heartbeats each second, gone after three.
fn site(names: &[&str], stores: &[&str], members: usize) -> (World, Vec<HostId>) {
    site_in(World::builder(11).twins(true).build(), names, stores, members)
}

fn site_in(mut world: World, names: &[&str], stores: &[&str], members: usize) -> (World, Vec<HostId>) {
    let builder = |name: &str| Config::builder(ConventionId::new("site").unwrap(), id(name));
    let hosts: Vec<_> = names
        .iter()
        .map(|n| {
            let config = builder(n).candidate().found(Founding::Expect(names.len())).build().unwrap();
            world.add_node(config, NodeOptions { store: stores.contains(n), ..NodeOptions::default() })
        })
        .collect();
    for n in 0..members {
        world.add_node(builder(&format!("m{n}")).build().unwrap(), NodeOptions::default());
    }
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    world.take_events();
    (world, hosts)
}

fn until(world: &mut World, what: &str, done: impl FnMut(&World) -> bool) {
    let came = world.run_until(SECOND * 40, done);
    assert!(world.violations().is_empty(), "{}", world.violations()[0]);
    assert!(came, "{what}: not until {:?}: {:?}", world.now(), world.disagreement());
}

fn replace(world: &mut World, hosts: &[HostId]) {
    hosts.iter().for_each(|h| world.kill(*h));
    hosts.iter().for_each(|h| world.start(*h));
}

/// Who was told of a recovery, and without whom.
fn recoveries(world: &mut World) -> Vec<(HostId, Vec<NodeId>)> {
    let told = world.take_events().into_iter().filter_map(|(_, host, event)| match event {
        Event::Recovered { lost, .. } => Some((host, lost)),
        _ => None,
    });
    told.collect()
}

/// One of three is left: it goes on with its roll, in a later term, and nobody but the restarted registers again.
#[test]
fn the_one_that_is_left_goes_on_and_the_members_with_it() {
    let (mut world, hosts) = site(&["a", "b", "c"], &[], 20);
    let (lineage, term) = (world.node(hosts[2]).unwrap().lineage(), world.node(hosts[2]).unwrap().term());
    let slots: Vec<_> = (3..23).map(|h| world.node(HostId(h)).unwrap().registration()).collect();
    replace(&mut world, &hosts[..2]);
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    let c = world.node(hosts[2]).unwrap();
    assert_eq!(c.parents(), [lineage]);
    assert!(c.term() > term);
    assert_eq!((3..23).map(|h| world.node(HostId(h)).unwrap().registration()).collect::<Vec<_>>(), slots);
    let events = world.take_events();
    let again = |e: &Event| matches!(e, Event::Registered { .. });
    assert!(!events.iter().any(|(_, host, e)| host.0 >= 3 && again(e)), "no member registers again");
    let joined = |e: &Event| matches!(e, Event::Joined { info, .. } if info.id.as_str().starts_with('m'));
    assert!(!events.iter().any(|(_, host, e)| *host == hosts[2] && joined(e)), "nobody joins who was there");
    let told: Vec<_> = events.iter().filter(|(_, _, e)| matches!(e, Event::Recovered { .. })).collect();
    assert_eq!(told.len(), 1);
    assert!(matches!(&told[0], (_, host, Event::Recovered { lost, .. }) if *host == hosts[2] && lost.len() == 2));
}

/// Two of five are left: both have to promise, both go on.
#[test]
fn two_that_are_left_go_on_together() {
    let (mut world, hosts) = site(&["a", "b", "c", "d", "e"], &["e"], 3);
    replace(&mut world, &hosts[..3]);
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    let mut told = recoveries(&mut world);
    told.sort();
    assert_eq!(told.iter().map(|(host, _)| *host).collect::<Vec<_>>(), hosts[3..]);
    assert!(told.iter().all(|(_, lost)| *lost == ["a", "b", "c"].map(id)));
}

/// All candidates restart together: nobody is left of the old line, and another convention is founded.
#[test]
fn a_site_whose_candidates_all_restart_simply_works() {
    let (mut world, hosts) = site(&["a", "b", "c"], &[], 5);
    replace(&mut world, &hosts);
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    assert_eq!(recoveries(&mut world), []);
}

/// One with a store is away: it is waited for, by name, and the convention goes on with it.
#[test]
fn who_may_come_back_is_waited_for() {
    let (mut world, hosts) = site(&["a", "b", "c", "d", "e"], &["d"], 2);
    world.power_off(hosts[3]);
    replace(&mut world, &hosts[..3]);
    world.run_for(SECOND * 40);
    assert_eq!(world.leaders().count(), 0);
    let waits = |e: &Event| *e == Event::Network(Notice::WaitingFor(vec![id("d")]));
    assert!(world.take_events().iter().any(|(_, host, e)| *host == hosts[4] && waits(e)));
    world.power_on(hosts[3]);
    world.start(hosts[3]);
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    assert_eq!(recoveries(&mut world).len(), 2);
}

/// An operator gives up the one that won't come back; when it does, it follows.
#[test]
fn an_operator_decides() {
    let (mut world, hosts) = site(&["a", "b", "c"], &["a", "b", "c"], 2);
    let recover = |names: &[&str]| Command::Recover { without: names.iter().map(|n| id(n)).collect() };
    assert_eq!(world.command(hosts[2], recover(&["a"])), Err(CommandError::NotToRecover), "there is a leader");
    world.power_off(hosts[0]);
    world.power_off(hosts[1]);
    world.run_for(SECOND * 20);
    assert_eq!(world.leaders().count(), 0);
    assert_eq!(world.command(hosts[2], recover(&["x"])), Err(CommandError::NotToRecover), "who is that?");
    assert_eq!(world.command(hosts[2], recover(&["c"])), Err(CommandError::NotToRecover), "itself");
    world.command(hosts[2], recover(&["a", "b"])).unwrap();
    until(&mut world, "c leads", |w| w.node(hosts[2]).unwrap().role() == Role::Leader);
    let events = world.take_events();
    let ordered = Event::Network(Notice::RecoveryOrdered(vec![id("a"), id("b")]));
    assert!(events.iter().any(|(_, _, e)| *e == ordered));
    for host in &hosts[..2] {
        world.power_on(*host);
        world.start(*host);
    }
    until(&mut world, "agreement", |w| w.disagreement().is_none());
}

/// The founder dies when only it belongs to the child: the other one that is left founds another.
#[test]
fn a_child_that_died_with_its_founder_is_replaced() {
    let (mut world, hosts) = site(&["a", "b", "c", "d", "e"], &[], 2);
    replace(&mut world, &hosts[..3]);
    let parent = world.node(hosts[4]).unwrap().lineage();
    until(&mut world, "d founds", |w| w.node(hosts[3]).unwrap().lineage() != parent);
    assert_eq!(world.node(hosts[4]).unwrap().lineage(), parent);
    replace(&mut world, &hosts[3..4]);
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    let told = recoveries(&mut world);
    assert_eq!(told, [(hosts[4], ["a", "b", "c", "d"].map(id).to_vec())]);
}

/// A member that was promoted came back as the plain member that it is configured to be. Nobody can prove that the voter
/// that it was is gone: it is waited for, by name, and an operator decides.
#[test]
fn who_came_back_as_a_plain_member_is_waited_for() {
    let (mut world, hosts) = site(&["a"], &[], 2);
    let m0 = HostId(1);
    world.command(m0, Command::SetStanding(Standing::Candidate)).unwrap();
    let a = hosts[0];
    until(&mut world, "m0 is on the line", |w| w.node(a).unwrap().line().voters().count() == 2);
    replace(&mut world, &[m0]);
    world.run_for(SECOND * 40);
    assert_eq!(world.leaders().count(), 0);
    let waits = |e: &Event| *e == Event::Network(Notice::WaitingFor(vec![id("m0")]));
    assert!(world.take_events().iter().any(|(_, host, e)| *host == a && waits(e)));
    world.command(a, Command::Recover { without: vec![id("m0")] }).unwrap();
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    assert_eq!(recoveries(&mut world), [(a, vec![id("m0")])]);
}

/// Two voters became plain members and two others took their places while the third was away: when it comes back it reaches the two
/// only. That they vote no more says that its roll is old, not that its line is dead.
#[test]
fn who_holds_an_old_line_founds_nothing_on_the_word_of_those_that_stepped_down() {
    let (mut world, hosts) = site(&["a", "b", "c"], &["a", "b", "c"], 2);
    world.power_off(hosts[0]);
    until(&mut world, "a leader", |w| w.leaders().any(|h| h != hosts[0]));
    let builder = |name: &str| Config::builder(ConventionId::new("site").unwrap(), id(name));
    let newer: Vec<_> = ["d", "e"]
        .iter()
        .map(|n| {
            let config = builder(n).candidate().found(Founding::Expect(3)).build().unwrap();
            world.add_node(config, NodeOptions::default())
        })
        .collect();
    let votes = |w: &World, h: HostId| {
        let (node, me) = (w.leaders().next().and_then(|l| w.node(l)), w.node(h).unwrap().config().id().clone());
        node.is_some_and(|n| n.line().voters().any(|s| s.id == me))
    };
    until(&mut world, "seats", |w| newer.iter().all(|h| votes(w, *h)));
    let leader = world.leaders().next().unwrap();
    world.command(leader, Command::Handover(Some(id("d")))).unwrap();
    until(&mut world, "handover", |w| w.leaders().next() == Some(newer[0]));
    for h in &hosts[1..] {
        world.command(*h, Command::SetStanding(Standing::Member)).unwrap();
    }
    until(&mut world, "neither votes", |w| {
        let role = |h: &HostId| w.node(*h).is_some_and(|n| n.role() == Role::Member);
        hosts[1..].iter().all(role) && w.leaders().any(|l| newer.contains(&l))
    });
    let lineage = world.node(newer[0]).unwrap().lineage();
    newer.iter().for_each(|h| world.cut(hosts[0], *h));
    world.power_on(hosts[0]);
    world.start(hosts[0]);
    world.take_events();
    world.run_for(SECOND * 60);
    assert_eq!(recoveries(&mut world), []);
    assert!(world.leaders().all(|l| newer.contains(&l)) && world.leaders().count() == 1);
    world.heal();
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    assert_eq!(world.node(hosts[0]).unwrap().lineage(), lineage);
}

/// An operator gave up three that live. The fourth hears the fifth for so long, then those three again. Whether the fifth founded with
/// it; if not, whether it came back as another voter.
fn ordered_in_error(after: Duration) -> Result<(), bool> {
    let names = ["a", "b", "c", "d", "e"];
    // Where the founding comes about there are two conventions, as was ordered: no checker approves of that.
    let (mut world, hosts) = site_in(World::builder(11).checks(false).build(), &names, &names, 0);
    let lineage = world.node(hosts[0]).unwrap().lineage();
    let voter =
        |w: &World| w.node(hosts[1]).unwrap().line().seats().iter().find(|s| s.id == id("a")).map(|s| s.identity);
    let before = voter(&world);
    world.partition(&hosts[..1]);
    world.partition(&hosts[3..4]);
    until(&mut world, "another leader", |w| w.leaders().any(|l| l != hosts[0]) && w.leaders().count() == 1);
    world.run_for(SECOND * 20);
    world.command(hosts[0], Command::Recover { without: ["b", "c", "e"].map(id).to_vec() }).unwrap();
    world.mend(hosts[0], hosts[3]);
    world.run_for(after);
    world.cut(hosts[0], hosts[3]);
    for host in [1, 2, 4].map(|at| hosts[at]) {
        world.mend(hosts[3], host);
    }
    world.run_for(SECOND * 20);
    if world.node(hosts[0]).unwrap().lineage() != lineage {
        return Ok(());
    }
    world.heal();
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    Err(voter(&world) != before)
}

/// Who promised for a founding that came to nothing never to act in the lineage again comes back to it as another voter.
#[test]
fn a_promise_for_a_founding_that_came_to_nothing_strands_nobody() {
    let (mut without, mut with) = (Duration::ZERO, SECOND * 10);
    assert_eq!((ordered_in_error(without), ordered_in_error(with)), (Err(false), Ok(())));
    let mut came_back = false;
    while with - without > Duration::from_micros(1) {
        let middle = (without + with) / 2;
        match ordered_in_error(middle) {
            Ok(()) => with = middle,
            Err(back) => (without, came_back) = (middle, came_back || back),
        }
    }
    assert!(came_back, "it promised in none of the runs");
}

/// A process that starts by a wall clock that was set back, as where no battery keeps it, takes the place that its former one
/// has on the roll, whether that is noticed to be gone or not: a member, a supporter, the leader, and all of them.
#[test]
fn who_starts_with_its_clock_set_back_is_on_the_roll_again() {
    for (round, back) in [SECOND * 5, SECOND * 1_799_000_000].into_iter().enumerate() {
        let (mut world, hosts) = site(&["a", "b", "c"], &[], 2);
        let member = HostId(hosts.len() as u32);
        let all: Vec<_> = world.hosts().collect();
        for group in [vec![member], vec![hosts[2]], vec![hosts[0]], vec![hosts[1], member], all] {
            for host in &group {
                world.set_wall_back(*host, back * (round as u32 + 1));
            }
            replace(&mut world, &group);
            world.run_for(SECOND);
            until(&mut world, "agreement", |w| w.disagreement().is_none());
            assert!(world.hosts().all(|h| world.node(h).is_some()), "{group:?} came back, and nobody stopped for it");
        }
    }
}

/// Of two processes of one id the one that started last stays, whatever their clocks say; the other one stops, and says why.
#[test]
fn of_two_processes_of_one_id_the_later_one_stays() {
    for candidate in [false, true] {
        let (mut world, _) = site(&["a", "b", "c"], &[], 0);
        let builder = || Config::builder(ConventionId::new("site").unwrap(), id("d"));
        let voter = || builder().candidate().found(Founding::Expect(3));
        let config = |yes: bool| if yes { voter().build() } else { builder().build() }.unwrap();
        let first = world.add_node(config(candidate), NodeOptions::default());
        world.run_for(SECOND * 5);
        let second = world.add_node(config(candidate), NodeOptions::default());
        world.set_wall_back(second, SECOND * 3_600);
        world.kill(second);
        world.start(second);
        world.run_for(SECOND * 10);
        let stopped = |(_, host, event): &(_, HostId, Event)| *host == first && matches!(event, Event::Stopped(_));
        assert!(world.take_events().iter().any(stopped), "candidate {candidate}: the first one stops");
        assert!(world.node(first).is_none() && world.node(second).is_some_and(|n| n.role() != Role::Seeking));
    }
}

/// The seat of one that left in order is waited for where those that knew of it are gone: it may have been let in again. An
/// operator who knows better says so.
#[test]
fn an_operator_gives_up_a_seat_that_nobody_has() {
    let (mut world, hosts) = site(&["a", "b", "c", "d"], &[], 2);
    world.command(hosts[3], Command::Leave).unwrap();
    until(&mut world, "d has left", |w| w.node(hosts[3]).is_none());
    world.run_for(SECOND * 5);
    replace(&mut world, &hosts[..2]);
    world.run_for(SECOND * 20);
    assert_eq!(recoveries(&mut world), [], "d may have been let in by a and b");
    let without = vec![id("d")];
    world.command(hosts[2], Command::Recover { without }).unwrap();
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    assert!(recoveries(&mut world).iter().any(|(host, _)| *host == hosts[2]));
}

/// Of six without stores three restarted, and the others founded a child, of which one saw no more than that it was to be. When
/// all but that one had restarted as well, it founded another child of the same parent: its first terms had been led in the
/// first child, whose members are among its own.
#[test]
fn terms_go_up_from_a_child_to_its_sibling() {
    let mut founded = 0;
    for late in [0u32, 15, 29] {
        let (mut world, hosts) = site(&["a", "b", "c", "d", "e", "f"], &[], 2);
        replace(&mut world, &hosts[..3]);
        world.run_until(SECOND * 20, |w| w.node(hosts[3]).is_some_and(|n| n.role() == Role::Leader));
        // Back to just before the child was led, and the last one sees a little more of it each time.
        let at = world.now();
        let (mut world, hosts) = site(&["a", "b", "c", "d", "e", "f"], &[], 2);
        replace(&mut world, &hosts[..3]);
        let cut = at - convoke::types::Time::from_micros(3_000 - u64::from(late) * 100);
        world.run_until(SECOND * 40, |w| w.now() - convoke::types::Time::ZERO >= cut);
        world.isolate(hosts[5]);
        world.run_for(SECOND * 15);
        for to in ["e", "d", "e", "d"] {
            let Some(leader) = world.leaders().next() else { break };
            let _ = world.command(leader, Command::Handover(Some(id(to))));
            world.run_for(SECOND * 5);
        }
        replace(&mut world, &hosts[..5]);
        world.heal();
        until(&mut world, "agreement", |w| w.disagreement().is_none());
        founded += usize::from(recoveries(&mut world).iter().any(|(host, _)| *host == hosts[5]));
    }
    assert!(founded > 0);
}

/// An operator dropped voters that lived. The child that came of it is given up again: its nodes are sent to where their parent
/// is, which was led in fewer terms.
#[test]
fn who_is_sent_back_to_the_parent_is_let_in() {
    // Two leaders in one family are what the order may cost: nobody counts them.
    let (mut world, hosts) = site_in(World::builder(11).checks(false).build(), &["a", "b", "c"], &[], 0);
    world.isolate(hosts[2]);
    world.run_for(SECOND * 10);
    let without = vec![id("a"), id("b")];
    world.command(hosts[2], Command::Recover { without }).unwrap();
    until(&mut world, "c leads the child", |w| w.node(hosts[2]).is_some_and(|n| n.role() == Role::Leader));
    world.run_for(SECOND * 5);
    world.heal();
    world.run_for(SECOND * 10);
    let [a, c] = [hosts[0], hosts[2]].map(|h| world.node(h).unwrap().term());
    assert!(a < c);
    world.move_to(hosts[2], 0, Vec::new()).unwrap();
    until(&mut world, "agreement", |w| w.disagreement().is_none());
}

/// A candidate is told to be a witness, and its leader dies before its seat says so: by its seat it could lead, so all waited for
/// a bid that it never makes.
#[test]
fn who_is_a_witness_by_now_leads_nothing_whatever_its_seat_says() {
    let (mut world, hosts) = site(&["a", "b"], &[], 2);
    let builder = Config::builder(ConventionId::new("site").unwrap(), id("w"));
    let config = builder.witness().found(Founding::Expect(3)).build().unwrap();
    world.add_node(config, NodeOptions::default());
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    world.command(hosts[1], Command::SetStanding(Standing::Witness)).unwrap();
    replace(&mut world, &hosts[..1]);
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    assert_eq!(world.leaders().next(), Some(hosts[0]));
}

/// A witness founds for the one candidate that there is, which restarted: one child, not a second one out of the first because
/// that one had no leader yet.
#[test]
fn what_a_witness_founds_is_given_to_its_heir_at_once() {
    let mut world = World::builder(11).twins(true).build();
    let builder = |name: &str| Config::builder(ConventionId::new("site").unwrap(), id(name)).found(Founding::Expect(2));
    let hosts = [world.add_node(builder("a").candidate().build().unwrap(), NodeOptions::default())];
    world.add_node(builder("w").witness().build().unwrap(), NodeOptions::default());
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    let lineage = world.node(hosts[0]).unwrap().lineage();
    replace(&mut world, &hosts);
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    assert_eq!(world.node(hosts[0]).unwrap().parents(), [lineage]);
}

/// A voter with a store was off the roll for a while, and on again while another one was away. The roll of that one knows it by its
/// seat alone: that somebody without a store has its name proves nothing.
#[test]
fn who_has_a_store_is_waited_for_by_those_whose_roll_lacks_it() {
    let (mut world, hosts) = site(&["a", "b", "c"], &["c"], 2);
    world.kill(hosts[2]);
    until(&mut world, "c is off the roll", |w| {
        let off = |h: &HostId| w.node(*h).unwrap().members().all(|(_, _, i)| i.id != id("c"));
        hosts[..2].iter().all(off)
    });
    world.isolate(hosts[0]);
    world.start(hosts[2]);
    until(&mut world, "b and c go on", |w| w.leaders().any(|h| h != hosts[0]) && w.leaders().count() == 1);
    world.run_for(SECOND * 5);
    world.kill(hosts[2]);
    replace(&mut world, &hosts[1..2]);
    let builder = Config::builder(ConventionId::new("site").unwrap(), id("c"));
    let namesake = builder.candidate().found(Founding::Expect(3)).build().unwrap();
    world.add_node(namesake, NodeOptions::default());
    world.heal();
    world.take_events();
    world.run_for(SECOND * 60);
    assert_eq!(recoveries(&mut world), []);
    assert_eq!(world.leaders().count(), 0);
}

/// Two are left of three lines. One of them holds the second and knows that a voter of it is a plain member now, so that there is
/// a third line, which it doesn't hold. The other one holds the first, of which that voter was none: its word counts nothing.
#[test]
fn who_holds_an_older_line_does_not_tell_who_stepped_down_from_a_newer_one() {
    let (mut world, hosts) = site(&["a", "c", "d"], &["a"], 0);
    let [a, c, d] = [hosts[0], hosts[1], hosts[2]];
    let add = |world: &mut World, name: &str| {
        let builder = Config::builder(ConventionId::new("site").unwrap(), id(name));
        let config = builder.candidate().found(Founding::Expect(9)).build().unwrap();
        let host = world.add_node(config, NodeOptions::default());
        let seated = |w: &World| {
            let node = w.leaders().next().and_then(|l| w.node(l));
            node.is_some_and(|n| n.line().voters().any(|s| s.id == id(name)) && !n.line_in_force().seats().is_empty())
        };
        until(world, name, seated);
        host
    };
    world.run_for(SECOND * 5);
    world.command(a, Command::Handover(Some(id("c")))).unwrap();
    until(&mut world, "handover", |w| w.leaders().next() == Some(c));
    world.power_off(a);
    let (b, x) = (add(&mut world, "b"), add(&mut world, "x"));
    world.isolate(b);
    let later: Vec<_> = ["y", "z", "v"].iter().map(|n| add(&mut world, n)).collect();
    for gone in ["a", "b"] {
        let leader = world.leaders().next().unwrap();
        world.command(leader, Command::Retire(id(gone))).unwrap();
        world.run_for(SECOND * 5);
    }
    world.command(x, Command::SetStanding(Standing::Member)).unwrap();
    until(&mut world, "x has stepped down", |w| w.node(x).unwrap().role() == Role::Member);
    world.run_for(SECOND * 5);
    world.command(c, Command::Handover(Some(id("y")))).unwrap();
    until(&mut world, "handover", |w| w.leaders().next() == Some(later[0]));
    let voters: Vec<_> = world.node(later[0]).unwrap().line().voters().map(|s| s.id.clone()).collect();
    assert_eq!(voters.len(), 5, "{voters:?}");
    for other in &later {
        [a, b, c, d, x].iter().for_each(|h| world.cut(*other, *h));
    }
    replace(&mut world, &[c, d]);
    [a, c, d, x].iter().for_each(|h| world.mend(b, *h));
    world.power_on(a);
    world.start(a);
    world.take_events();
    world.run_for(SECOND * 60);
    assert_eq!(recoveries(&mut world), []);
    assert!(world.leaders().eq(later[..1].iter().copied()), "{:?}", world.leaders().collect::<Vec<_>>());
    world.heal();
    until(&mut world, "agreement", |w| w.disagreement().is_none());
}
