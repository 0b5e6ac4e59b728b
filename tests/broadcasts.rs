//! Broadcasts to all members, in the simulator: what they cost, and what becomes of them where things fail.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use bytes::Bytes;
use convoke::proto::{Config, ConfigBuilder, Event, Founding, MessageLane, SendError, Undelivered};
use convoke::sim::{Conditions, HostId, NodeOptions, World, WorldBuilder};
use convoke::types::{ConventionId, NodeId};
use convoke::wire::{BROADCAST_PIECE, MAX_BROADCAST};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn builder(name: &str) -> ConfigBuilder {
    Config::builder(ConventionId::new("site").unwrap(), id(name))
}

/// Three candidates, the first of which leads, and some members.
struct Site {
    world: World,
    voters: [HostId; 3],
    members: Vec<HostId>,
}

impl Site {
    fn new(builder: WorldBuilder, members: usize) -> Self {
        Self::patient(builder, members, 3)
    }

    /// Gone is who was silent for so many intervals.
    fn patient(builder: WorldBuilder, members: usize, detect: u32) -> Self {
        let mut world = builder.build();
        let voters = ["a", "b", "c"].map(|n| {
            let config = self::builder(n).candidate().found(Founding::Expect(3)).detect(detect).build().unwrap();
            world.add_node(config, NodeOptions::default())
        });
        let mut site = Self { world, voters, members: Vec::new() };
        site.until("agreement", |w| w.disagreement().is_none());
        for n in 0..members {
            let config = self::builder(&format!("m{n}")).detect(detect).build().unwrap();
            site.members.push(site.world.add_node(config, NodeOptions::default()));
        }
        let all = site.members.clone();
        site.until("all are registered", |w| all.iter().all(|m| w.node(*m).unwrap().registration().is_some()));
        site.world.take_events();
        site
    }

    fn small() -> Self {
        Self::new(World::builder(7).twins(true), 4)
    }

    fn until(&mut self, what: &str, done: impl FnMut(&World) -> bool) {
        let came = self.world.run_until(SECOND * 60, done);
        assert!(self.world.violations().is_empty(), "{}", self.world.violations()[0]);
        assert!(came, "{what}: not until {:?}: {:?}", self.world.now(), self.world.disagreement());
    }

    fn run(&mut self, time: Duration) {
        self.world.run_for(time);
        assert!(self.world.violations().is_empty(), "{}", self.world.violations()[0]);
    }

    fn say(&mut self, from: HostId, text: &str) -> u64 {
        self.world.broadcast(from, Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    fn everybody(&self) -> Vec<HostId> {
        self.voters.iter().chain(&self.members).copied().collect()
    }

    /// What each was given since this was last asked, as `sender:text`; `!n` where it missed n.
    fn given(&mut self) -> Vec<Vec<String>> {
        let events = self.world.take_events();
        let of = |host: HostId| {
            let text = |event: &Event| match event {
                Event::Message { from, body, lane: MessageLane::Broadcast, .. } => {
                    Some(format!("{from}:{}", String::from_utf8_lossy(&body[..body.len().min(40)])))
                }
                Event::BroadcastsMissed { count } => Some(format!("!{count}")),
                _ => None,
            };
            events.iter().filter(|(_, h, _)| *h == host).filter_map(|(.., e)| text(e)).collect()
        };
        self.everybody().into_iter().map(of).collect()
    }

    /// Each was given exactly this.
    fn all_were_given(&mut self, what: &[&str]) {
        for (host, given) in self.everybody().into_iter().zip(self.given()) {
            assert_eq!(given, what, "{}", self.world.name(host));
        }
        assert_eq!(self.world.open_broadcast(), None);
    }

    fn stats(&self, hosts: &[HostId], of: impl Fn(&convoke::proto::Stats) -> u64) -> u64 {
        hosts.iter().map(|h| of(self.world.node(*h).unwrap().stats())).sum()
    }
}

/// One datagram to all; nobody is spoken to by unicast but the sender, over its lane.
#[test]
fn one_broadcast_to_a_thousand_members_is_one_datagram() {
    let mut site = Site::new(World::builder(7), 1_000);
    site.run(SECOND * 20);
    let (everybody, sender) = (site.everybody(), site.members[17]);
    let quiet = {
        let before = site.world.counts().datagrams_sent;
        site.run(SECOND * 5);
        site.world.counts().datagrams_sent - before
    };
    site.given();
    let before = site.world.counts().datagrams_sent;
    let number = site.say(sender, "hello");
    site.run(SECOND * 5);
    let more = (site.world.counts().datagrams_sent - before) as i64 - quiet as i64;
    let events = site.world.take_events();
    let given =
        events.iter().filter(|(.., e)| matches!(e, Event::Message { lane: MessageLane::Broadcast, .. })).count();
    assert_eq!(given, 1_003, "each is given it, the sender too");
    assert!(events.iter().any(|(_, h, e)| *h == sender && *e == Event::BroadcastCommitted { number }));
    let multicast = site.stats(&everybody, |s| s.said_multicast);
    let (unicast, asked) = (site.stats(&everybody, |s| s.said_unicast), site.stats(&everybody, |s| s.repairs));
    println!(
        "one broadcast to 1,003 nodes: {multicast} multicast, {unicast} unicast, {asked} questions, {more} datagrams more"
    );
    assert_eq!((multicast, unicast, asked), (1, 0, 0));
    assert!(more <= 8, "{more} datagrams more than in a quiet time; the phases of heartbeats may differ by a few");
    let last = events.iter().filter(|(.., e)| matches!(e, Event::Message { .. })).map(|(at, ..)| *at).max();
    println!("the last was given it at {last:?}");
    // A hundred more, all at once, share datagrams.
    for n in 0..100 {
        site.say(sender, &format!("number {n}"));
    }
    site.run(SECOND * 5);
    let multicast = site.stats(&everybody, |s| s.said_multicast) - multicast;
    let asked = site.stats(&everybody, |s| s.repairs);
    println!("100 broadcasts of 9 bytes at once: {multicast} multicast, {asked} questions");
    assert!(multicast < 40 && asked == 0);
    assert_eq!(site.world.open_broadcast(), None);
}

#[test]
fn all_are_given_the_same_in_one_order() {
    let mut site = Site::small();
    let (leader, supporter, member) = (site.voters[0], site.voters[1], site.members[0]);
    for (from, text) in [(member, "1"), (leader, "2"), (supporter, "3"), (member, "4")] {
        site.say(from, text);
        site.run(Duration::from_millis(50));
    }
    site.all_were_given(&["m0:1", "a:2", "b:3", "m0:4"]);
    // At the same time: whatever the order, it is one.
    for n in 0..30 {
        for from in [member, leader, supporter, site.members[2]] {
            site.say(from, &format!("{n} of {from:?}"));
        }
    }
    site.run(SECOND * 2);
    let given = site.given();
    assert!(given.iter().all(|g| *g == given[0] && g.len() == 120), "{given:?}");
    assert_eq!(site.world.open_broadcast(), None);
}

#[test]
fn large_ones_come_whole_also_where_pieces_are_lost() {
    let mut site = Site::small();
    let lossy = Conditions { multicast_loss_ppm: 300_000, loss_ppm: 100_000, ..Conditions::default() };
    let leader = site.voters[0];
    for m in site.members.clone() {
        site.world.set_link(leader, m, Some(lossy));
    }
    for (n, len) in [1, BROADCAST_PIECE, BROADCAST_PIECE + 1, 10_000, MAX_BROADCAST].into_iter().enumerate() {
        let from = [site.members[0], site.voters[1], leader][n % 3];
        site.world.broadcast(from, vec![n as u8; len].into()).unwrap();
    }
    let too_large = site.world.broadcast(leader, vec![0; MAX_BROADCAST + 1].into());
    assert_eq!(too_large, Err(SendError::TooLarge(MAX_BROADCAST)));
    site.run(SECOND * 60);
    let given: Vec<usize> = site.given().iter().map(Vec::len).collect();
    assert_eq!(given, [5; 7]);
    assert_eq!(site.world.open_broadcast(), None);
    assert!(site.stats(&site.members, |s| s.repairs) > 0);
    let supporters = site.stats(&site.voters[1..], |s| s.said_unicast);
    assert!(
        supporters > site.stats(&site.voters[..1], |s| s.said_unicast),
        "supporters are asked rather than the leader"
    );
}

#[test]
fn who_is_deaf_to_multicast_is_given_it_by_unicast() {
    let mut site = Site::small();
    let deaf = site.members[3];
    site.world.deafen(deaf, true);
    site.run(SECOND * 15);
    let from = site.members[0];
    for text in ["1", "2"] {
        site.say(from, text);
        site.run(Duration::from_millis(20));
    }
    site.all_were_given(&["m0:1", "m0:2"]);
    assert_eq!(site.stats(&[deaf], |s| s.repairs), 0, "nothing had to be asked for");
    assert_eq!(site.stats(&site.voters[..1], |s| s.said_unicast), 2);
    site.say(deaf, "and from there");
    site.run(SECOND);
    site.all_were_given(&["m3:and from there"]);
}

#[test]
fn across_failovers_and_handovers_each_comes_once() {
    let mut site = Site::small();
    let from = site.members[0];
    let mut said = Vec::new();
    for round in 0..3 {
        for n in 0..20 {
            let text = format!("{round}.{n}");
            site.say(from, &text);
            said.push(format!("m0:{text}"));
            site.run(Duration::from_millis(30));
            if n == 10 {
                let leader = site.world.leaders().next().unwrap();
                if round == 1 {
                    site.world.command(leader, convoke::proto::Command::Handover(None)).unwrap();
                } else {
                    site.world.isolate(leader);
                }
            }
        }
        site.run(SECOND * 15);
        site.world.heal();
        site.until("agreement", |w| w.disagreement().is_none());
        site.run(SECOND * 5);
    }
    let given = site.given();
    for (host, given) in site.everybody().into_iter().zip(given) {
        // Who was cut off was declared gone while it lived: what was said meanwhile wasn't for it, and it is told so.
        let cut_off = site.voters.contains(&host);
        assert!(
            given == said || cut_off && given.iter().any(|g| g.starts_with('!')),
            "{}: {given:?}",
            site.world.name(host)
        );
    }
    assert_eq!(site.world.open_broadcast(), None);
}

#[test]
fn who_was_out_of_reach_for_too_long_is_told_how_many_it_missed() {
    let mut site = Site::patient(World::builder(7), 4, 30);
    let (from, away) = (site.members[0], site.members[1]);
    site.say(from, "before");
    site.run(SECOND);
    site.given();
    // Nothing gets in; its heartbeats get out, so that it stays a member.
    for other in site.everybody() {
        site.world.cut_one_way(other, away, convoke::sim::Cut::Datagrams);
    }
    for n in 0..9_500 {
        while site.world.broadcast(from, format!("{n}").into()).is_err() {
            site.run(Duration::from_millis(20));
        }
    }
    site.run(SECOND * 8);
    site.world.heal();
    site.run(SECOND * 60);
    let given = site.given();
    let (others, mine) = (&given[0], &given[4]);
    assert_eq!(others.len(), 9_500);
    let missed: usize = mine.iter().filter_map(|g| g.strip_prefix('!')).map(|n| n.parse::<usize>().unwrap()).sum();
    assert!(missed >= 1_308 && mine.len() - 1 + missed >= 9_500 && mine[0].starts_with('!'), "{} {missed}", mine.len());
    assert_eq!(mine.last(), others.last());
    assert_eq!(site.world.open_broadcast(), None);
}

#[test]
fn who_takes_none_holds_up_nobody_and_goes_on_from_what_is_kept() {
    let mut site = Site::small();
    let (from, lazy) = (site.members[0], [site.members[1], site.voters[2]]);
    for host in lazy {
        site.world.set_lazy(host, true);
    }
    for n in 0..700 {
        let mut text = format!("{n} ");
        text.push_str(&"x".repeat(500));
        while site.world.broadcast(from, text.clone().into()).is_err() {
            site.run(Duration::from_millis(20));
        }
    }
    site.run(SECOND * 10);
    let given = site.given();
    assert_eq!(given[0].len(), 700);
    assert!(given[2].is_empty() && given[4].is_empty());
    for host in lazy {
        site.world.set_lazy(host, false);
    }
    site.run(SECOND * 30);
    let after = site.given();
    assert_eq!((&after[2], &after[4]), (&given[0], &given[0]), "all of it was kept");
    assert_eq!(site.world.open_broadcast(), None);
}

#[test]
fn a_new_member_is_given_what_is_said_after_it_came() {
    let mut site = Site::small();
    let from = site.voters[1];
    site.say(from, "before");
    site.run(SECOND);
    for subscribe in [false, true] {
        let config = builder(&format!("new{subscribe}")).subscribe(subscribe).build().unwrap();
        let host = site.world.add_node(config, NodeOptions::default());
        site.members.push(host);
    }
    let new = site.members[4..].to_vec();
    site.until("they are registered", |w| new.iter().all(|m| w.node(*m).unwrap().registration().is_some()));
    site.run(SECOND * 3);
    site.given();
    site.say(from, "after");
    site.run(SECOND * 3);
    site.all_were_given(&["b:after"]);
}

/// Broadcast and gone: whoever is told that it left was given it before.
#[test]
fn what_was_said_right_before_leaving_comes_before_that_is_told() {
    let mut site = Site::small();
    let config = builder("s").subscribe(true).build().unwrap();
    site.members.push(site.world.add_node(config, NodeOptions::default()));
    site.until("the subscriber is level", |w| w.disagreement().is_none());
    let from = site.members[0];
    site.world.take_events();
    site.say(from, "farewell");
    site.run(Duration::from_millis(5));
    site.world.command(from, convoke::proto::Command::Leave).unwrap();
    site.run(SECOND * 5);
    let events = site.world.take_events();
    for host in site.everybody().into_iter().filter(|h| *h != from) {
        let of = events.iter().filter(|(_, h, _)| *h == host).map(|(.., e)| e);
        let said = of.clone().position(|e| matches!(e, Event::Message { .. }));
        let left = of.clone().position(|e| matches!(e, Event::Left { .. }));
        assert!(said.is_some(), "{}", site.world.name(host));
        assert!(left.is_none() || said < left, "{}", site.world.name(host));
    }
}

#[test]
fn what_has_no_room_is_refused_and_what_is_not_sent_comes_back() {
    let mut site = Site::small();
    let from = site.members[0];
    site.world.isolate(from);
    site.run(SECOND);
    site.world.take_events();
    let mut accepted = 0;
    let refused = loop {
        // No two say the same, or the checker would take them for one.
        let mut body = vec![7; 10_000];
        body[0] = accepted as u8;
        match site.world.broadcast(from, body.into()) {
            Ok(_) => accepted += 1,
            Err(e) => break e,
        }
    };
    assert_eq!((refused, accepted), (SendError::Full, (1 << 20) / (10_000 + 128)));
    site.world.heal();
    site.run(SECOND * 30);
    let events = site.world.take_events();
    let of = |kind: fn(&Event) -> bool| events.iter().filter(|(_, h, e)| *h == from && kind(e)).count();
    assert_eq!(of(|e| matches!(e, Event::BroadcastWritable)), 1);
    let (sent, back) = (
        of(|e| matches!(e, Event::BroadcastCommitted { .. })),
        of(|e| matches!(e, Event::BroadcastFailed { reason: Undelivered::Renewed, uncertain: true, .. })),
    );
    assert_eq!(sent + back, accepted);
    site.world.isolate(from);
    site.say(from, "in vain");
    site.world.command(from, convoke::proto::Command::Leave).unwrap();
    site.world.run_for(SECOND * 30);
    let events = site.world.take_events();
    let stopped = |e: &Event| matches!(e, Event::BroadcastFailed { reason: Undelivered::Stopped, .. });
    assert!(events.iter().any(|(_, h, e)| *h == from && stopped(e)));
}
