//! What becomes of a convention that falls apart, under both policies, and when its parts meet again.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use convoke::proto::{ClaimOutcome, Command, CommandError, Config, Conflict, Event, Founding, Notice, Policy, Role};
use convoke::sim::{HostId, NodeOptions, World};
use convoke::types::{ConventionId, Lineage, Name, NodeId};
use std::collections::BTreeSet;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// The interval of heartbeats in all of these.
const BEAT: Duration = Duration::from_millis(500);

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

struct Site {
    world: World,
    /// Candidates, then members.
    hosts: Vec<HostId>,
    candidates: usize,
}

#[derive(Clone, Copy)]
struct Terms {
    policy: Policy,
    multicast: bool,
    subscribe: bool,
}

const AVAILABLE: Terms = Terms { policy: Policy::Available, multicast: true, subscribe: false };
const QUORUM: Terms = Terms { policy: Policy::Quorum, multicast: true, subscribe: false };

fn config(name: &str, terms: Terms, found: Option<Founding>) -> Config {
    let builder = Config::builder(ConventionId::new("site").unwrap(), id(name))
        .heartbeat(BEAT)
        .policy(terms.policy)
        .multicast(terms.multicast)
        .seeds(!terms.multicast)
        .subscribe(terms.subscribe && found.is_none());
    match found {
        Some(found) => builder.candidate().found(found),
        None => builder,
    }
    .build()
    .unwrap()
}

impl Site {
    /// Candidates a, b, c…, of whom the first leads, and members m0, m1…; all agree.
    fn new(candidates: usize, members: usize, terms: Terms) -> Self {
        let mut world = World::builder(7).twins(true).build();
        let options = |n: usize| NodeOptions {
            seeds: (0..candidates as u32).map(HostId).filter(|h| h.0 as usize != n).collect(),
            ..NodeOptions::default()
        };
        let mut hosts = Vec::new();
        for n in 0..candidates {
            let name = char::from(b'a' + n as u8).to_string();
            hosts.push(world.add_node(config(&name, terms, Some(Founding::Expect(candidates))), options(n)));
        }
        for n in 0..members {
            hosts.push(world.add_node(config(&format!("m{n}"), terms, None), options(usize::MAX)));
        }
        let mut site = Self { world, hosts, candidates };
        site.until("agreement", SECOND * 30, |w| w.disagreement().is_none());
        site.world.take_events();
        site
    }

    fn until(&mut self, what: &str, within: Duration, done: impl FnMut(&World) -> bool) {
        let came = self.world.run_until(within, done);
        assert!(self.world.violations().is_empty(), "{}", self.world.violations()[0]);
        assert!(came, "{what}: not by {:?}: {:?}", self.world.now(), self.world.disagreement());
    }

    fn host(&self, name: &str) -> HostId {
        self.world.find(name).unwrap()
    }

    /// Cuts these off from all others, and them from these.
    fn part(&mut self, side: &[&str]) {
        let side: Vec<HostId> = side.iter().map(|n| self.host(n)).collect();
        for a in self.hosts.clone() {
            for b in &side {
                if !side.contains(&a) {
                    self.world.cut(a, *b);
                }
            }
        }
    }

    fn leads(&self, name: &str) -> bool {
        self.world.node(self.host(name)).is_some_and(|n| n.role() == Role::Leader)
    }

    fn lineage(&self, name: &str) -> Lineage {
        self.world.node(self.host(name)).unwrap().lineage()
    }

    fn events(&mut self) -> Vec<(String, Event)> {
        let events = self.world.take_events();
        events.into_iter().map(|(_, h, e)| (self.world.name(h).to_string(), e)).collect()
    }

    fn claim(&mut self, name: &str, what: &str) {
        let host = self.host(name);
        self.world.command(host, Command::Claim(Name::new(what).unwrap())).unwrap();
        self.world.run_for(BEAT);
    }

    /// The side of d, e and the members m5 to m9 goes on by itself.
    fn fall_apart(&mut self) {
        self.part(&["d", "e", "m5", "m6", "m7", "m8", "m9"]);
        self.until("d leads", SECOND * 20, |w| w.leaders().count() == 2);
        self.world.run_for(SECOND * 8);
    }
}

fn who<'a>(events: &'a [(String, Event)], which: impl Fn(&Event) -> bool + 'a) -> BTreeSet<&'a str> {
    events.iter().filter(|(_, e)| which(e)).map(|(n, _)| n.as_str()).collect()
}

#[test]
fn a_side_without_a_majority_goes_on_and_says_so() {
    let mut site = Site::new(5, 10, AVAILABLE);
    let (parent, before) = (site.lineage("a"), site.world.now());
    site.part(&["d", "e", "m5", "m6", "m7", "m8", "m9"]);
    site.until("d leads", SECOND * 20, |w| w.leaders().count() == 2);
    // Silence, patience, and what those that are left say to each other.
    let config = config("x", AVAILABLE, None);
    assert!(site.world.now() - before < config.detection() + config.parting() + BEAT * 2);
    site.world.run_for(SECOND * 10);
    assert!(site.leads("a") && site.leads("d"));
    assert_eq!((site.lineage("a"), site.lineage("d")), (parent, site.lineage("e")));
    assert_ne!(site.lineage("d"), parent);
    assert_eq!(site.lineage("m7"), site.lineage("d"), "members follow the side that they hear");
    let events = site.events();
    let parted = |e: &Event| matches!(e, Event::Parted { without, .. } if *without == ["a", "b", "c"].map(id));
    assert_eq!(who(&events, parted), BTreeSet::from(["d", "e"]));
    let registered = |e: &Event| matches!(e, Event::Registered { .. });
    assert_eq!(who(&events, registered), BTreeSet::new(), "nobody registers again");
}

#[test]
fn two_sides_become_one_within_two_heartbeats_and_nobody_registers_again() {
    for terms in [AVAILABLE, Terms { multicast: false, ..AVAILABLE }] {
        let mut site = Site::new(5, 10, terms);
        site.fall_apart();
        let (joins, term) = (joins(&site), site.world.node(site.host("d")).unwrap().term());
        site.events();
        site.world.heal();
        let healed = site.world.now();
        site.until("agreement", SECOND * 10, |w| w.disagreement().is_none());
        let took = site.world.now() - healed;
        assert!(took <= BEAT * 2, "{took:?}, multicast {}", terms.multicast);
        assert!(site.leads("a") && site.world.node(site.host("a")).unwrap().term() > term);
        let events = site.events();
        let gained = ["d", "e", "m5", "m6", "m7", "m8", "m9"].map(id);
        let won = |e: &Event| {
            matches!(e, Event::Merged { gained: g, absorbed: Some(_), .. }
                if g.iter().collect::<BTreeSet<_>>() == gained.iter().collect())
        };
        assert_eq!(who(&events, won), BTreeSet::from(["a", "b", "c"]));
        let lost = |e: &Event| matches!(e, Event::Merged { gained, absorbed: Some(_), .. } if gained.len() == 8);
        assert_eq!(who(&events, lost), BTreeSet::from(["d", "e"]), "all that it had declared gone");
        assert_eq!(joins_of(&site, 5..), joins[5..], "no member asks for a place");
        site.world.run_for(SECOND * 20);
        assert_eq!(site.world.disagreement(), None);
        assert_eq!(site.world.adds_up(), Ok(()));
    }
}

/// How often each node asked to be registered, by what the leader counted of it: its own datagrams of that kind.
fn joins(site: &Site) -> Vec<u64> {
    joins_of(site, 0..)
}

fn joins_of(site: &Site, which: std::ops::RangeFrom<usize>) -> Vec<u64> {
    site.hosts[which].iter().map(|h| site.world.node(*h).unwrap().stats().joins_out).collect()
}

#[test]
fn a_name_that_both_sides_have_is_a_conflict_with_both_owners() {
    let mut site = Site::new(5, 10, Terms { subscribe: true, ..AVAILABLE });
    site.claim("m0", "old");
    site.claim("m5", "kept");
    site.fall_apart();
    for (name, what) in [("m1", "both"), ("m6", "both"), ("m7", "theirs"), ("d", "of-d"), ("m2", "ours")] {
        site.claim(name, what);
    }
    // What its own side declared gone with its owner is free there.
    site.claim("m8", "old");
    site.claim("m3", "kept");
    site.events();
    site.world.heal();
    site.until("agreement", SECOND * 10, |w| w.disagreement().is_none());
    site.world.run_for(SECOND * 5);
    let events = site.events();
    let conflict = |name: &str, kept: &str, lost: &str| Conflict::Name {
        name: Name::new(name).unwrap(),
        kept: id(kept),
        lost: id(lost),
    };
    let all = [conflict("both", "m1", "m6"), conflict("kept", "m3", "m5"), conflict("old", "m0", "m8")];
    let told = |e: &Event| matches!(e, Event::Merged { absorbed: Some(_), conflicts, .. } if *conflicts == all);
    let holders = ["a", "b", "c", "d", "e", "m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9"];
    assert_eq!(who(&events, told), BTreeSet::from(holders));
    let lost = |e: &Event| matches!(e, Event::Claimed { outcome: ClaimOutcome::Lost, .. });
    assert_eq!(who(&events, lost), BTreeSet::from(["m5", "m6", "m8"]));
    let a = site.world.node(site.host("a")).unwrap();
    let owners: Vec<_> = a.names().map(|(n, o)| (n.as_str(), o.as_str())).collect();
    assert_eq!(
        owners,
        [("both", "m1"), ("kept", "m3"), ("of-d", "d"), ("old", "m0"), ("ours", "m2"), ("theirs", "m7")]
    );
}

/// Either leader, or the link between them, is lost at any moment of a merger: all agree in the end.
#[test]
fn a_merger_that_is_broken_up_at_any_moment_comes_about_later() {
    for (n, at) in (0..24_u32).map(|n| (n, Duration::from_micros(u64::from(n) * 23_000 / 24 * 20))) {
        let mut site = Site::new(5, 4, AVAILABLE);
        site.part(&["d", "e", "m2", "m3"]);
        site.until("d leads", SECOND * 20, |w| w.leaders().count() == 2);
        site.world.run_for(SECOND * 2);
        let (a, d) = (site.host("a"), site.host("d"));
        site.world.heal();
        site.world.run_for(at);
        match n % 3 {
            0 => site.world.kill(a),
            1 => site.world.kill(d),
            _ => site.part(&["d", "e", "m2", "m3"]),
        }
        site.world.run_for(SECOND * 3);
        site.world.heal();
        site.world.start(a);
        site.world.start(d);
        site.until("agreement", SECOND * 60, |w| w.disagreement().is_none());
        assert_eq!(site.world.adds_up(), Ok(()), "broken at {at:?}");
    }
}

/// Three sides, none with a majority: all three go on, and become one.
#[test]
fn three_sides_become_one() {
    let mut site = Site::new(5, 6, AVAILABLE);
    site.part(&["b", "c", "m0", "m1"]);
    site.part(&["d", "e", "m2", "m3"]);
    site.until("three lead", SECOND * 20, |w| w.leaders().count() == 3);
    site.world.run_for(SECOND * 5);
    site.world.heal();
    site.until("agreement", SECOND * 10, |w| w.disagreement().is_none());
    assert_eq!(site.world.adds_up(), Ok(()));
}

/// The other side's founder died before anybody belonged to its child: who promised it comes back as another voter.
#[test]
fn a_promise_for_a_child_that_never_was_is_no_prison() {
    let mut site = Site::new(5, 2, AVAILABLE);
    let (d, e) = (site.host("d"), site.host("e"));
    let parent = site.lineage("a");
    site.part(&["d", "e"]);
    site.until("d founds", SECOND * 20, |w| w.node(d).unwrap().lineage() != parent);
    assert_eq!(site.world.node(e).unwrap().lineage(), parent);
    let before = site.world.node(e).unwrap().identity();
    site.world.kill(d);
    site.world.heal();
    site.until("e is back", SECOND * 20, |w| w.node(e).unwrap().role() == Role::Supporter);
    assert_ne!(site.world.node(e).unwrap().identity(), before);
    site.world.start(d);
    site.until("agreement", SECOND * 30, |w| w.disagreement().is_none());
}

/// A single candidate with a member, and three that go on: it comes as one that is taken in.
#[test]
fn one_alone_goes_on_and_is_taken_in() {
    let mut site = Site::new(3, 4, AVAILABLE);
    site.part(&["a", "m0"]);
    site.until("both lead", SECOND * 20, |w| w.leaders().count() == 2);
    site.world.run_for(SECOND * 5);
    site.world.heal();
    site.until("agreement", SECOND * 10, |w| w.disagreement().is_none());
    assert!(site.leads("b"), "it had the line of three");
}

/// Members of a side whose only candidate dies find the other side, though it is their lineage's parent.
#[test]
fn members_of_a_side_that_died_are_not_lost() {
    let mut site = Site::new(3, 6, AVAILABLE);
    site.part(&["c", "m3", "m4", "m5"]);
    site.until("both lead", SECOND * 20, |w| w.leaders().count() == 2);
    site.world.run_for(SECOND * 5);
    let c = site.host("c");
    site.world.power_off(c);
    site.world.heal();
    let others: Vec<HostId> = site.hosts.iter().copied().filter(|h| *h != c).collect();
    site.until("the others agree", SECOND * 60, |w| {
        others.iter().all(|h| w.node(*h).unwrap().leader().is_some_and(|l| l.id == id("a")))
    });
}

// ---- Policy quorum ----

#[test]
fn under_quorum_the_minority_waits_and_is_back_within_two_heartbeats() {
    let mut site = Site::new(5, 10, QUORUM);
    let lineage = site.lineage("a");
    site.part(&["a", "b", "m5", "m6", "m7", "m8", "m9"]);
    site.until("c leads", SECOND * 20, |w| {
        w.leaders().count() == 1 && w.node(HostId(2)).unwrap().role() == Role::Leader
    });
    site.world.run_for(SECOND * 20);
    assert_eq!(site.world.leaders().count(), 1);
    for name in ["a", "b"] {
        let node = site.world.node(site.host(name)).unwrap();
        assert_eq!((node.role(), node.lineage()), (Role::Isolated, lineage), "{name}");
        assert_eq!(node.members().count(), 15, "{name} keeps its state");
    }
    let events = site.events();
    let isolated = |e: &Event| matches!(e, Event::Isolated { lost } if *lost == ["c", "d", "e"].map(id));
    assert_eq!(who(&events, isolated), BTreeSet::from(["a", "b"]));
    let left = |e: &Event| matches!(e, Event::Left { .. });
    assert_eq!(who(&events, left), BTreeSet::from(["c", "d", "e"]), "an isolated side tells of nobody that it left");
    let traffic = |s: &Site, n: &str| s.world.node(s.host(n)).unwrap().stats().datagrams_out;
    let before = traffic(&site, "a");
    site.world.run_for(SECOND * 20);
    assert!(traffic(&site, "a") - before < 20 * 20, "it searches at a bounded rate");
    site.events();
    site.world.heal();
    let healed = site.world.now();
    let hosts: Vec<HostId> = site.hosts[..site.candidates].to_vec();
    site.until("they follow", SECOND * 10, |w| {
        hosts.iter().all(|h| w.node(*h).unwrap().leader().is_some_and(|l| l.id == id("c")))
    });
    let took = site.world.now() - healed;
    assert!(took <= BEAT * 2, "{took:?}");
    site.until("agreement", SECOND * 10, |w| w.disagreement().is_none());
    site.world.run_for(BEAT * 2);
    let events = site.events();
    let merged = |e: &Event| matches!(e, Event::Merged { absorbed: None, conflicts, .. } if conflicts.is_empty());
    assert_eq!(who(&events, merged), BTreeSet::from(["a", "b"]));
    // Each member that was declared gone and came back: on the side that went on, one by one.
    for name in ["a", "b", "m5", "m6", "m7", "m8", "m9"] {
        let joined = |e: &Event| matches!(e, Event::Joined { info, .. } if info.id == id(name));
        assert!(who(&events, joined).is_superset(&BTreeSet::from(["c", "d", "e"])), "{name}");
    }
}

/// Members follow whichever side they can hear that has a majority of the candidates, though it is the smaller one.
#[test]
fn under_quorum_members_follow_the_side_that_has_a_majority_of_candidates() {
    let mut site = Site::new(5, 40, QUORUM);
    site.part(&["c", "d", "e", "m0"]);
    site.until("c leads", SECOND * 20, |w| {
        w.leaders().count() == 1 && w.node(HostId(2)).unwrap().role() == Role::Leader
    });
    site.world.run_for(SECOND * 20);
    let follows = |s: &Site, n: &str| s.world.node(s.host(n)).unwrap().leader().map(|l| l.id);
    assert_eq!(follows(&site, "m0"), Some(id("c")));
    assert_eq!(follows(&site, "m20"), None, "it hears a and b, who have none");
    // They can hear the other side now, but a and b can't.
    let (minority, members) = (site.hosts[..2].to_vec(), site.hosts[6..].to_vec());
    site.world.heal();
    for a in &minority {
        for b in [HostId(2), HostId(3), HostId(4)] {
            site.world.cut(*a, b);
        }
    }
    site.until("they follow c", SECOND * 30, |w| {
        members.iter().all(|m| w.node(*m).unwrap().leader().is_some_and(|l| l.id == id("c")))
    });
}

/// Two foundings of one name under policy quorum: both say so, and nothing happens until somebody decides.
#[test]
fn two_foundings_stay_two_until_one_is_told_to_yield() {
    let mut world = World::builder(5).twins(true).build();
    let hosts: Vec<_> = ["a", "b", "x", "y"]
        .iter()
        .map(|n| world.add_node(config(n, QUORUM, Some(Founding::Expect(2))), NodeOptions::default()))
        .collect();
    let sides = [hosts[..2].to_vec(), hosts[2..].to_vec()];
    for a in &sides[0] {
        for b in &sides[1] {
            world.cut(*a, *b);
        }
    }
    let agree = |w: &World, side: &[HostId]| w.disagreement_among(side.iter().copied()).is_none();
    assert!(world.run_until(SECOND * 30, |w| sides.iter().all(|s| agree(w, s))));
    world.heal();
    world.run_for(SECOND * 30);
    assert!(sides.iter().all(|s| agree(&world, s)), "nothing is thrown away");
    let told = world.take_events();
    let foreign = |e: &Event| matches!(e, Event::Network(Notice::ForeignLineage(..)));
    for side in &sides {
        assert!(told.iter().any(|(_, h, e)| side.contains(h) && foreign(e)), "both sides say so");
    }
    let (a, x) = (hosts[0], hosts[2]);
    let (ours, theirs) = (world.node(x).unwrap().lineage(), world.node(a).unwrap().lineage());
    assert_eq!(world.command(x, Command::Yield(ours)), Err(CommandError::NoOther));
    assert_eq!(world.command(hosts[3], Command::Yield(theirs)), Err(CommandError::NotLeader(Some(id("x")))));
    world.command(x, Command::Yield(theirs)).unwrap();
    let came = world.run_until(SECOND * 10, |w| w.disagreement().is_none());
    assert!(world.violations().is_empty(), "{}", world.violations()[0]);
    assert!(came, "{:?}", world.disagreement());
    assert_eq!(world.node(x).unwrap().lineage(), theirs);
}
