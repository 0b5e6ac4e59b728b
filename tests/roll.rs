//! The roll for everyone: subscribers, names, and who can do what, in the simulator.
//!
//! All checkers run in each world: what a subscriber holds is a prefix of what is committed, and what it is told makes sense.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use convoke::proto::{ClaimOutcome, Command, CommandError, Config, ConfigBuilder, Event, Founding, Role};
use convoke::sim::{Conditions, HostId, NodeOptions, World, WorldBuilder};
use convoke::types::{Capabilities, ConventionId, Name, NodeId, Standing};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

fn builder(name: &str) -> ConfigBuilder {
    Config::builder(ConventionId::new("site").unwrap(), id(name))
}

/// Three candidates; the first one leads.
struct Site {
    world: World,
    voters: [HostId; 3],
}

impl Site {
    fn new(builder: WorldBuilder) -> Self {
        let mut world = builder.build();
        let voters = ["a", "b", "c"].map(|n| {
            let config = self::builder(n).candidate().found(Founding::Expect(3)).build().unwrap();
            world.add_node(config, NodeOptions::default())
        });
        let mut site = Self { world, voters };
        site.until("agreement", |w| w.disagreement().is_none());
        assert_eq!(site.leader(), Some(site.voters[0]));
        site
    }

    fn small() -> Self {
        Self::new(World::builder(7).twins(true))
    }

    fn leader(&self) -> Option<HostId> {
        self.world.leaders().next()
    }

    fn until(&mut self, what: &str, done: impl FnMut(&World) -> bool) {
        let came = self.world.run_until(SECOND * 40, done);
        self.clean();
        assert!(came, "{what}: not until {:?}: {:?}", self.world.now(), self.world.disagreement());
    }

    fn clean(&self) {
        assert!(self.world.violations().is_empty(), "{}", self.world.violations()[0]);
        assert_eq!(self.world.adds_up(), Ok(()));
    }

    fn member(&mut self, name: &str) -> HostId {
        self.world.add_node(builder(name).build().unwrap(), NodeOptions::default())
    }

    fn subscriber(&mut self, name: &str) -> HostId {
        let host = self.world.add_node(builder(name).subscribe(true).build().unwrap(), NodeOptions::default());
        self.until("the subscriber is level", |w| w.disagreement().is_none());
        host
    }

    fn events_of(&mut self, host: HostId) -> Vec<Event> {
        self.world.take_events().into_iter().filter(|(_, h, _)| *h == host).map(|(.., e)| e).collect()
    }

    fn commit(&self, host: HostId) -> u64 {
        self.world.node(host).map_or(0, |n| n.commit_index().0)
    }

    fn claim(&mut self, host: HostId, n: &str) -> ClaimOutcome {
        self.world.command(host, Command::Claim(name(n))).unwrap();
        self.outcome(host)
    }

    fn outcome(&mut self, host: HostId) -> ClaimOutcome {
        let mut outcome = None;
        for _ in 0..400 {
            self.world.run_for(Duration::from_millis(50));
            let claimed = self.events_of(host).into_iter().find_map(|e| match e {
                Event::Claimed { outcome, .. } => Some(outcome),
                _ => None,
            });
            outcome = outcome.or(claimed);
            if outcome.is_some() {
                break;
            }
        }
        self.clean();
        outcome.expect("an answer")
    }
}

/// Of the roll only: what both are told.
fn of_roll(events: Vec<Event>) -> Vec<Event> {
    let roll =
        |e: &Event| matches!(e, Event::Joined { .. } | Event::Left { .. } | Event::Updated { .. } | Event::Name { .. });
    events.into_iter().filter(roll).collect()
}

#[test]
fn a_subscriber_is_told_what_candidates_are_told() {
    let mut site = Site::small();
    let s = site.subscriber("s");
    let asked = site.world.node(s).unwrap().stats().repairs;
    assert_eq!(asked, 1, "the roll itself");
    site.world.take_events();
    let m = site.member("m");
    site.until("m is here", |w| w.disagreement().is_none());
    let mut capabilities = Capabilities::new();
    capabilities.set("gpu", "2").unwrap();
    site.world.command(m, Command::SetCapabilities(capabilities)).unwrap();
    site.world.command(m, Command::Claim(name("printer"))).unwrap();
    site.world.run_for(SECOND * 2);
    site.world.command(m, Command::Leave).unwrap();
    site.world.run_for(SECOND * 2);
    site.clean();
    let mut told = [Vec::new(), Vec::new()];
    for (_, host, event) in site.world.take_events() {
        if host == s || host == site.voters[1] {
            told[usize::from(host == s)].push(event);
        }
    }
    let [candidate, subscriber] = told.map(of_roll);
    assert!(candidate.len() >= 5, "{candidate:?}");
    assert_eq!(subscriber, candidate);
    assert_eq!(site.world.node(s).unwrap().stats().repairs, asked, "all came by multicast");
    assert_eq!(site.world.node(site.leader().unwrap()).unwrap().stats().repairs, 0);
}

#[test]
fn who_is_deaf_is_told_by_unicast() {
    let mut site = Site::small();
    let s = site.subscriber("s");
    site.world.deafen(s, true);
    site.world.run_for(SECOND * 10);
    let asked = site.world.node(s).unwrap().stats().repairs;
    for n in 0..5 {
        site.member(&format!("m{n}"));
        site.world.run_for(SECOND);
    }
    site.until("level", |w| w.disagreement().is_none());
    assert_eq!(site.world.node(s).unwrap().stats().repairs, asked, "nothing had to be asked for");
}

#[test]
fn what_is_lost_is_asked_for_at_supporters() {
    let mut site = Site::small();
    let s = site.subscriber("s");
    let leader = site.leader().unwrap();
    let before = site.world.node(s).unwrap().stats().repairs;
    let lossy = Conditions { multicast_loss_ppm: 500_000, ..Conditions::default() };
    site.world.set_link(leader, s, Some(lossy));
    let given = site.world.node(leader).unwrap().stats().stream_bytes_out;
    let supporters =
        |site: &Site| site.voters[1..].iter().map(|v| site.world.node(*v).unwrap().stats().news_out).sum::<u64>();
    for n in 0..20 {
        site.member(&format!("m{n}"));
        site.world.run_for(SECOND);
    }
    site.until("level", |w| w.disagreement().is_none());
    let asked = site.world.node(s).unwrap().stats().repairs - before;
    assert!((1..40).contains(&asked), "{asked} questions");
    assert!(supporters(&site) >= asked / 2, "supporters answered {} of {asked}", supporters(&site));
    println!(
        "20 changes, half of the multicast lost: {asked} questions; the leader's streams gave {given} bytes before"
    );
}

/// A restart of the whole site with everybody subscribed: few batched changes, and the rolls from the supporters.
#[test]
fn thousands_that_join_at_once_arrive_as_few_changes() {
    const MEMBERS: usize = 2_000;
    const SUBSCRIBERS: usize = 300;
    let mut site = Site::new(World::builder(7).keep_events(false));
    let leader = site.leader().unwrap();
    let early = site.subscriber("early");
    let before = site.world.node(leader).unwrap().stats().news_out;
    let hosts: Vec<_> = (0..MEMBERS)
        .map(|n| {
            let config = builder(&format!("m{n}")).subscribe(n < SUBSCRIBERS).build().unwrap();
            site.world.add_node(config, NodeOptions::default())
        })
        .collect();
    let whole = |w: &World| w.node(leader).is_some_and(|n| n.members().count() == MEMBERS + 4);
    assert!(site.world.run_until(SECOND * 60, whole), "all are on the roll");
    let target = site.commit(leader);
    let level = |w: &World, h: &HostId| w.node(*h).is_some_and(|n| n.commit_index().0 >= target);
    assert!(site.world.run_until(SECOND * 60, |w| level(w, &early)), "the early one is level");
    let news = site.world.node(leader).unwrap().stats().news_out - before;
    let at = site.world.now();
    let came = site.world.run_until(SECOND * 120, |w| hosts[..SUBSCRIBERS].iter().all(|h| level(w, h)));
    assert!(
        came,
        "{} of {SUBSCRIBERS} are level",
        hosts[..SUBSCRIBERS].iter().filter(|h| level(&site.world, h)).count()
    );
    site.clean();
    let repairs: u64 = hosts[..SUBSCRIBERS].iter().map(|h| site.world.node(*h).unwrap().stats().repairs).sum();
    let cut = site.voters.map(|v| site.world.node(v).unwrap().stats().streams_cut);
    let bytes = site.voters.map(|v| site.world.node(v).unwrap().stats().stream_bytes_out);
    println!(
        "{MEMBERS} joined: {news} datagrams of changes; {SUBSCRIBERS} subscribers level {:?} later with {repairs} questions; \
         connections refused {cut:?}, stream bytes of the candidates {bytes:?}",
        site.world.now() - at
    );
    assert!(news < MEMBERS as u64 / 4, "{news} datagrams");
    assert!(site.world.leaders().eq([leader]), "nobody lost the leader over it");
}

#[test]
fn a_subscriber_goes_on_where_it_was_after_a_failover() {
    let mut site = Site::small();
    let s = site.subscriber("s");
    site.member("m");
    site.until("m is here", |w| w.disagreement().is_none());
    let leader = site.leader().unwrap();
    let before = site.commit(s);
    site.world.take_events();
    site.world.kill(leader);
    site.member("n");
    site.until("all go on", |w| w.leaders().next().is_some_and(|l| l != leader) && w.disagreement().is_none());
    assert!(site.commit(s) > before);
    let joined = of_roll(site.events_of(s)).into_iter().filter(|e| matches!(e, Event::Joined { .. })).count();
    assert_eq!(joined, 1, "only n is new to it");
}

/// Who follows the roll and is promoted tells nothing twice, nor when it is demoted again.
#[test]
fn a_subscriber_that_votes_for_a_while_goes_on() {
    let mut site = Site::small();
    let s = site.subscriber("s");
    site.member("m");
    site.until("m is here", |w| w.disagreement().is_none());
    site.world.take_events();
    for (standing, voters) in [(Standing::Candidate, 4), (Standing::Member, 3)] {
        site.world.command(s, Command::SetStanding(standing)).unwrap();
        let voting = |w: &World| w.node(HostId(0)).is_some_and(|n| n.line().voters().count() == voters);
        site.until("the line has changed", |w| voting(w) && w.disagreement().is_none());
    }
    site.member("n");
    site.until("n is here", |w| w.disagreement().is_none());
    let told = of_roll(site.events_of(s));
    let joined = told.iter().filter(|e| matches!(e, Event::Joined { .. })).count();
    assert_eq!(joined, 1, "{told:?}");
}

#[test]
fn names_are_one_member_s_until_it_gives_them_up_or_leaves() {
    let mut site = Site::small();
    let (m, n) = (site.member("m"), site.member("n"));
    site.until("both are here", |w| w.disagreement().is_none());
    assert_eq!(site.claim(m, "printer"), ClaimOutcome::Yours);
    assert_eq!(site.claim(m, "printer"), ClaimOutcome::Yours, "again");
    assert_eq!(site.claim(n, "printer"), ClaimOutcome::Taken(id("m")));
    assert_eq!(site.claim(site.voters[0], "printer"), ClaimOutcome::Taken(id("m")), "the leader is no better");
    assert_eq!(site.world.node(site.voters[1]).unwrap().owner(&name("printer")), Some(&id("m")));
    site.world.command(m, Command::Release(name("printer"))).unwrap();
    assert_eq!(site.outcome(m), ClaimOutcome::Released);
    assert_eq!(site.claim(n, "printer"), ClaimOutcome::Yours);
    site.world.kill(n);
    site.world.run_for(SECOND * 20);
    assert_eq!(site.claim(m, "printer"), ClaimOutcome::Yours, "its owner is gone");
    // Across a failover, by a claim that is made while nobody leads.
    site.world.kill(site.voters[0]);
    assert_eq!(site.claim(m, "scanner"), ClaimOutcome::Yours);
    assert_eq!(site.world.node(site.voters[1]).unwrap().names().count(), 2);
}

/// Evicted while it was cut off: its names are lost, and it is told so.
#[test]
fn who_was_evicted_while_alive_is_told_that_its_names_are_lost() {
    let mut site = Site::small();
    let m = site.member("m");
    site.until("m is here", |w| w.disagreement().is_none());
    assert_eq!(site.claim(m, "printer"), ClaimOutcome::Yours);
    site.world.isolate(m);
    site.world.command(m, Command::Claim(name("scanner"))).unwrap();
    site.world.run_for(SECOND * 20);
    site.world.heal();
    site.until("m is back", |w| w.disagreement().is_none());
    site.world.run_for(SECOND * 5);
    let told: Vec<_> = site
        .events_of(m)
        .into_iter()
        .filter_map(|e| match e {
            Event::Claimed { name, outcome } => Some((name, outcome)),
            _ => None,
        })
        .collect();
    let (lost, unknown) = ((name("printer"), ClaimOutcome::Lost), (name("scanner"), ClaimOutcome::Unknown));
    assert_eq!(told, [unknown, lost]);
    site.clean();
}

#[test]
fn who_can_do_what_is_found_by_all() {
    let mut site = Site::small();
    let s = site.subscriber("s");
    let mut capabilities = Capabilities::new();
    capabilities.set("gpu", "2").unwrap();
    capabilities.set("leader", "yes").unwrap();
    let config = builder("m").capabilities(capabilities).build().unwrap();
    let m = site.world.add_node(config, NodeOptions::default());
    site.until("m is here", |w| w.disagreement().is_none());
    site.world.take_events();
    let mut answer = |host: HostId, key: &str, value: &str| {
        let command = Command::Find { number: 9, key: key.into(), value: value.into() };
        site.world.command(host, command).unwrap();
        site.world.run_for(SECOND);
        site.events_of(host).into_iter().find_map(|e| match e {
            Event::Found { number: 9, members, total } => Some((members, total)),
            _ => None,
        })
    };
    for host in [HostId(0), HostId(1), s, m] {
        assert_eq!(answer(host, "gpu", "2"), Some((vec![id("m")], 1)), "{host:?}");
        assert_eq!(answer(host, "gpu", "3"), Some((vec![], 0)));
        assert_eq!(answer(host, "leader", "yes"), Some((vec![id("a")], 1)), "who leads, whoever says so of itself");
    }
    let bad = Command::Find { number: 1, key: String::new(), value: String::new() };
    assert!(matches!(site.world.command(m, bad), Err(CommandError::BadCapability(_))));
    // Asked while nobody leads, answered by the next leader.
    site.world.kill(HostId(0));
    let find = Command::Find { number: 10, key: "leader".into(), value: "yes".into() };
    site.world.command(m, find).unwrap();
    site.until("another leads", |w| w.leaders().next().is_some());
    site.world.run_for(SECOND * 10);
    let found =
        site.events_of(m).into_iter().any(|e| e == Event::Found { number: 10, members: vec![id("b")], total: 1 });
    assert!(found, "the next leader answers");
    assert_eq!(site.world.node(HostId(1)).unwrap().role(), Role::Leader);
}

/// Two changes within one round trip: nothing asked for the second one once the first was committed.
#[test]
fn what_a_leader_says_of_itself_is_on_the_roll() {
    let mut site = Site::small();
    let [a, ..] = site.voters;
    for load in 0..2 {
        let mut capabilities = Capabilities::new();
        capabilities.set("load", &load.to_string()).unwrap();
        site.world.command(a, Command::SetCapabilities(capabilities)).unwrap();
    }
    site.until("all see the second one", |w| w.disagreement().is_none());
    let (_, _, listed) = site.world.node(a).unwrap().member(&id("a")).unwrap();
    assert_eq!(listed.capabilities.get("load"), Some("1"));
}
