//! Nodes that are pointed at another convention address while they run, and go over without a restart.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use convoke::proto::{Command, CommandError, Config, ConfigBuilder, Event, Founding, Policy, Role};
use convoke::sim::{Conditions, HostId, NodeOptions, World};
use convoke::types::{ConventionId, LeftReason, Lineage, NodeId};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const SEEDS: u64 = 24;

fn builder(name: &str) -> ConfigBuilder {
    Config::builder(ConventionId::new("site").unwrap(), NodeId::new(name).unwrap())
}

/// Two conventions of one name, each in a multicast group of its own, with heartbeats each second, gone after three.
struct Sites {
    world: World,
}

impl Sites {
    /// Candidates a1 to a3 with the member m (which follows the roll, with every second seed) in group 1, b1 to b3 in group 2; a1 and b1 lead.
    fn new(seed: u64, store: bool) -> Self {
        Self::with(seed, store, Policy::Quorum)
    }

    fn with(seed: u64, store: bool, policy: Policy) -> Self {
        let mut world = World::builder(seed).twins(true).build();
        let mut add = |name: &str, candidate: bool, group| {
            let builder = builder(name).policy(policy);
            let plain = builder.clone().subscribe(seed.is_multiple_of(2));
            let config = if candidate { builder.candidate().found(Founding::Expect(3)) } else { plain };
            let options = NodeOptions { store: store && candidate, group, ..NodeOptions::default() };
            world.add_node(config.build().unwrap(), options);
        };
        ["a1", "a2", "a3"].into_iter().for_each(|name| add(name, true, 1));
        ["b1", "b2", "b3"].into_iter().for_each(|name| add(name, true, 2));
        add("m", false, 1);
        let mut sites = Self { world };
        sites.agreed(&["a1", "a2", "a3", "m"], &["b1", "b2", "b3"]);
        sites.world.take_events();
        sites
    }

    fn host(&self, name: &str) -> HostId {
        self.world.find(name).unwrap()
    }

    fn hosts(&self, names: &[&str]) -> Vec<HostId> {
        names.iter().map(|name| self.host(name)).collect()
    }

    fn lineage(&self, name: &str) -> Lineage {
        self.world.node(self.host(name)).unwrap().lineage()
    }

    fn line(&self, name: &str) -> String {
        let seats = self.world.node(self.host(name)).unwrap().line().seats().iter();
        seats.map(|s| s.id.to_string()).collect::<Vec<_>>().join(" ")
    }

    fn go(&mut self, name: &str, group: u16) {
        self.world.move_to(self.host(name), group, Vec::new()).unwrap();
    }

    /// Both conventions agree, each within itself, and stay so for a while.
    fn agreed(&mut self, one: &[&str], two: &[&str]) {
        let (a, b) = (self.hosts(one), self.hosts(two));
        for wait in [SECOND * 60, SECOND * 10] {
            let agree = |w: &World| {
                w.disagreement_among(a.iter().copied()).is_none() && w.disagreement_among(b.iter().copied()).is_none()
            };
            let came = self.world.run_until(wait, agree);
            assert!(self.world.violations().is_empty(), "{}", self.world.violations()[0]);
            let first = self.world.disagreement_among(a.iter().copied());
            assert!(came, "{first:?}, {:?}", self.world.disagreement_among(b.iter().copied()));
            assert_eq!(self.world.adds_up(), Ok(()));
            self.world.run_for(SECOND * 10);
        }
        assert_ne!(self.lineage(one[0]), self.lineage(two[0]));
    }

    /// Which candidates told that `id` left, and why.
    fn left(&self, events: &[(convoke::types::Time, HostId, Event)], id: &str) -> Vec<(String, LeftReason)> {
        let m = self.host("m");
        let told = events.iter().filter(|(_, by, _)| *by != m).filter_map(|(_, by, event)| match event {
            Event::Left { id: who, reason, .. } if who.as_str() == id => {
                Some((self.world.name(*by).to_string(), *reason))
            }
            _ => None,
        });
        told.collect()
    }
}

fn all_left(by: &[&str]) -> Vec<(String, LeftReason)> {
    by.iter().map(|name| ((*name).to_string(), LeftReason::Left)).collect()
}

#[test]
fn a_member_moves() {
    for seed in 0..20 {
        let mut s = Sites::new(seed, false);
        let (m, before) = (s.host("m"), s.world.node(s.host("m")).unwrap().incarnation());
        s.go("m", 2);
        s.agreed(&["a1", "a2", "a3"], &["b1", "b2", "b3", "m"]);
        assert!(s.world.node(m).unwrap().incarnation() > before);
        assert_eq!(s.lineage("m"), s.lineage("b1"));
        let events = s.world.take_events();
        let mut left = s.left(&events, "m");
        left.sort();
        assert_eq!(left, all_left(&["a1", "a2", "a3"]), "told once by each of the old, by none of the new");
        let own: Vec<&Event> = events.iter().filter(|(_, by, _)| *by == m).map(|(_, _, e)| e).collect();
        assert!(own.iter().any(|e| matches!(e, Event::Moved { left, .. } if *left == s.lineage("a1"))));
        assert!(own.iter().any(|e| matches!(e, Event::Registered { leader, .. } if leader.as_str() == "b1")));
    }
}

#[test]
fn a_supporter_moves_with_its_vote() {
    for store in [false, true] {
        for seed in 0..20 {
            let mut s = Sites::new(seed, store);
            let identity = s.world.node(s.host("a3")).unwrap().identity();
            s.go("a3", 2);
            s.agreed(&["a1", "a2", "m"], &["b1", "b2", "b3", "a3"]);
            assert_eq!((s.line("a1"), s.line("b1")), ("a1 a2".into(), "b1 b2 b3 a3".into()));
            assert_ne!(s.world.node(s.host("a3")).unwrap().identity(), identity);
            let events = s.world.take_events();
            let mut left = s.left(&events, "a3");
            left.sort();
            assert_eq!(left, all_left(&["a1", "a2"]));
            // What it left is forgotten for good.
            s.world.restart(s.host("a3"));
            s.agreed(&["a1", "a2", "m"], &["b1", "b2", "b3", "a3"]);
        }
    }
}

#[test]
fn a_leader_moves_after_it_has_resigned() {
    for store in [false, true] {
        for seed in 0..20 {
            let mut s = Sites::new(seed, store);
            s.go("a1", 2);
            s.agreed(&["a2", "a3", "m"], &["b1", "b2", "b3", "a1"]);
            assert_eq!((s.line("a2"), s.line("b1")), ("a2 a3".into(), "b1 b2 b3 a1".into()));
            let events = s.world.take_events();
            let mut left = s.left(&events, "a1");
            left.sort();
            assert_eq!(left, all_left(&["a2", "a3"]));
        }
    }
}

#[test]
fn who_moves_on_and_back_is_told_everything_anew() {
    for store in [false, true] {
        let mut s = Sites::new(3, store);
        for _ in 0..2 {
            s.go("a2", 2);
            s.agreed(&["a1", "a3", "m"], &["b1", "b2", "b3", "a2"]);
            s.go("a2", 1);
            s.agreed(&["a1", "a2", "a3", "m"], &["b1", "b2", "b3"]);
        }
        // To where it is already.
        let (lineage, before) = (s.lineage("a2"), s.world.node(s.host("a2")).unwrap().incarnation());
        s.go("a2", 1);
        s.agreed(&["a1", "a2", "a3", "m"], &["b1", "b2", "b3"]);
        assert_eq!(s.lineage("a2"), lineage);
        assert!(s.world.node(s.host("a2")).unwrap().incarnation() > before);
    }
}

#[test]
fn the_rest_of_a_line_follows_to_where_it_was_founded_anew() {
    let mut s = Sites::new(4, true);
    let old = s.lineage("a1");
    // One at a time, to an address where nobody is: the third that comes makes the number that founds.
    for name in ["a1", "a2", "a3", "m"] {
        s.go(name, 3);
        s.world.run_for(SECOND * 30);
    }
    s.agreed(&["a1", "a2", "a3", "m"], &["b1", "b2", "b3"]);
    assert_ne!(s.lineage("a1"), old);
}

#[test]
fn what_nobody_confirms_is_done_without() {
    for (cut_off, store) in [("a3", true), ("a3", false), ("m", false)] {
        let mut s = Sites::new(5, store);
        let host = s.host(cut_off);
        for other in s.hosts(&["a1", "a2", "a3", "m"]).into_iter().filter(|o| *o != host) {
            s.world.cut(host, other);
        }
        s.world.run_for(SECOND);
        s.go(cut_off, 2);
        let moved = |w: &World| w.node(host).unwrap().lineage() == Lineage::ZERO;
        // 5 D, and 16 rounds of 400 ms.
        assert!(s.world.run_until(SECOND * 22, moved), "{cut_off}");
        s.world.heal();
        let old: Vec<&str> = ["a1", "a2", "a3", "m"].into_iter().filter(|n| *n != cut_off).collect();
        s.world.run_for(SECOND * 60);
        assert!(s.world.violations().is_empty(), "{}", s.world.violations()[0]);
        let new = s.hosts(&["b1", "b2", "b3", cut_off]);
        assert_eq!(s.world.disagreement_among(new), None);
        // The old line keeps the place of a voter that it never saw leave, until it is retired.
        assert_eq!(s.world.leaders().count(), 2);
        assert!(s.world.node(s.host(old[0])).unwrap().role() == Role::Leader);
        assert_eq!(s.lineage(cut_off), s.lineage("b1"));
    }
}

#[test]
fn what_cannot_be_done_is_refused() {
    let mut s = Sites::new(6, false);
    let (m, a2) = (s.host("m"), s.host("a2"));
    let nowhere = Command::Move { multicast: false, seeds: false };
    assert_eq!(s.world.command(m, nowhere), Err(CommandError::NoWay));
    s.go("a2", 2);
    assert_eq!(s.world.move_to(a2, 1, Vec::new()), Err(CommandError::NotReady));
    s.agreed(&["a1", "a3", "m"], &["b1", "b2", "b3", "a2"]);
    // Who is asked to leave meanwhile leaves for good.
    s.go("m", 2);
    s.world.command(m, Command::Leave).unwrap();
    s.world.run_for(SECOND * 20);
    assert!(!s.world.is_running(m));
}

/// A small source of choices, so that this test draws nothing from the world's.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Moves to and fro amid kills, cuts, loss and slow disks: nothing forbidden happens, whatever comes of them.
#[test]
fn moves_amid_faults_break_nothing() {
    for seed in 0..SEEDS {
        let mut draw = Draw(seed);
        let conditions = Conditions { loss_ppm: 50_000, jitter: Duration::from_millis(5), ..Conditions::default() };
        let fsync = if seed % 2 == 0 { Duration::ZERO } else { Duration::from_millis(30) };
        let mut world = World::builder(seed).twins(true).keep_events(false).conditions(conditions).fsync(fsync).build();
        for n in 0..8 {
            let config = if n < 6 {
                builder(&format!("c{n}")).candidate().found(Founding::Expect(3))
            } else {
                builder(&format!("m{n}"))
            };
            let options = NodeOptions { store: n % 3 != 0, group: n % 2, ..NodeOptions::default() };
            world.add_node(config.build().unwrap(), options);
        }
        world.run_for(SECOND * 20);
        for _ in 0..60 {
            let host = HostId(draw.below(8) as u32);
            match draw.below(8) {
                0 => world.restart(host),
                1 => world.kill(host),
                2 => world.isolate(host),
                3 => world.heal(),
                // Where it stops, stands still or moves already it is refused.
                _ => drop(world.move_to(host, draw.below(2) as u16, Vec::new())),
            }
            world.run_for(Duration::from_millis(100 << draw.below(7)));
            world.hosts().for_each(|h| world.start(h));
            assert!(world.violations().is_empty(), "seed {seed}: {}", world.violations()[0]);
        }
        world.heal();
        world.run_for(SECOND * 120);
        assert!(world.violations().is_empty(), "seed {seed}: {}", world.violations()[0]);
    }
}

/// Where sides go on by themselves one that was cut off leads on alone. Pointed at another address, it is neither drawn back by
/// those that it was with, who know its address and reach it again, nor are they drawn there.
#[test]
fn who_went_on_alone_and_moved_stays_where_it_is_sent() {
    for seed in 0..SEEDS {
        let mut sites = Sites::with(seed, seed % 3 == 0, Policy::Available);
        let (name, moves_cut) = ([("a1", true), ("a2", true), ("a3", false), ("a2", false)])[seed as usize % 4];
        let host = sites.host(name);
        let before = sites.lineage(name);
        sites.world.isolate(host);
        let came = sites.world.run_until(SECOND * 60, |w| {
            w.node(host).is_some_and(|n| n.role() == Role::Leader && n.lineage() != before)
        });
        assert!(came, "{name} leads alone");
        sites.world.run_for(SECOND * 3);
        sites.go(name, 2);
        if moves_cut {
            sites.world.run_for(SECOND * 5);
        }
        sites.world.heal();
        let others: Vec<_> = ["a1", "a2", "a3", "m"].into_iter().filter(|n| *n != name).collect();
        sites.agreed(&others, &["b1", "b2", "b3", name]);
        assert!(!sites.line("b1").contains("a1 a2") && sites.lineage("b1") != sites.lineage(others[0]));
    }
}

/// Terms go up wherever a node goes where sides go on by themselves: the leader of where it is sent hears in which term it was,
/// though the only one that it asks there is a supporter.
#[test]
fn a_supporter_tells_its_leader_in_which_term_a_newcomer_was() {
    for seed in 0..SEEDS {
        let mut sites = Sites::with(seed, false, Policy::Available);
        for _ in 0..3 {
            let leader = sites.world.leaders().find(|l| sites.world.name(*l).as_str().starts_with('a')).unwrap();
            sites.world.command(leader, Command::Handover(None)).unwrap();
            sites.world.run_for(SECOND * 5);
        }
        let (m, b2) = (sites.host("m"), sites.host("b2"));
        assert!(sites.world.node(m).unwrap().term() > sites.world.node(b2).unwrap().term());
        sites.world.move_to(m, 9, vec![b2]).unwrap();
        sites.agreed(&["a1", "a2", "a3"], &["b1", "b2", "b3", "m"]);
    }
}
