//! Requests to whoever leads, in the simulator: at most once, answered or unknown, whatever fails.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use convoke::proto::{
    AnswerError, Command, Config, Event, Founding, Policy, RequestError, RequestOutcome, UnknownReason,
};
use convoke::sim::{Asked, Detail, HostId, NodeOptions, Options, Run, World};
use convoke::types::{ConventionId, NodeId};
use std::collections::BTreeMap;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Three candidates, of which the first leads, and some members; heartbeats each 100 ms, gone after three.
struct Site {
    world: World,
    members: Vec<HostId>,
}

impl Site {
    fn new(candidates: usize, members: usize, store: bool) -> Self {
        Self::with(candidates, members, store, |b| b)
    }

    fn with(
        candidates: usize,
        members: usize,
        store: bool,
        set: impl Fn(convoke::proto::ConfigBuilder) -> convoke::proto::ConfigBuilder,
    ) -> Self {
        let mut world = World::builder(7).collect_asked(true).trace(Detail::Story, 400).build();
        let node = |name: String| {
            let (convention, id) = (ConventionId::new("site").unwrap(), NodeId::new(&name).unwrap());
            set(Config::builder(convention, id).heartbeat(ms(100)))
        };
        for n in 0..candidates {
            let config = node(format!("c{n}")).candidate().found(Founding::Expect(candidates)).build().unwrap();
            world.add_node(config, NodeOptions { store, ..NodeOptions::default() });
        }
        let all = (0..members).map(|n| node(format!("m{n}")).build().unwrap());
        let members = all.map(|config| world.add_node(config, NodeOptions::default())).collect();
        let mut site = Self { world, members };
        site.until("all are registered", |w| w.hosts().all(|h| w.node(h).is_some_and(|n| n.registration().is_some())));
        site.world.run_for(SECOND);
        site.world.take_events();
        site
    }

    fn leader(&self) -> HostId {
        self.world.leaders().next().expect("somebody leads")
    }

    fn until(&mut self, what: &str, done: impl FnMut(&World) -> bool) {
        let done = self.world.run_until(SECOND * 60, done);
        if !done {
            self.world.lines().for_each(|line| println!("{line}"));
            panic!("not within a minute: {what}");
        }
    }

    /// What embedders were given within this time, none of them answering.
    fn given(&mut self, time: Duration) -> Vec<(HostId, Asked)> {
        self.world.run_for(time);
        self.world.take_asked().into_iter().map(|(host, _, asked)| (host, asked)).collect()
    }

    /// Lets time pass, each embedder answering what it is given at once.
    fn answering(&mut self, time: Duration) {
        let until = self.world.now() + time;
        while self.world.now() < until {
            for (host, asked) in self.given(ms(10)) {
                let answer = [b"echo:", &asked.body[..]].concat();
                let _ = self.world.answer(host, &asked, Some(answer.into()));
            }
        }
    }

    /// What senders were told, by the sender and the number.
    fn told(&mut self) -> BTreeMap<(u32, u64), RequestOutcome> {
        let mut told = BTreeMap::new();
        for (_, host, event) in self.world.take_events() {
            if let Event::Answer { number, outcome } = event {
                assert!(told.insert((host.0, number), outcome).is_none(), "told twice");
            }
        }
        told
    }

    fn end(&self) {
        if !self.world.violations().is_empty() {
            self.world.lines().for_each(|line| println!("{line}"));
            panic!("{:?}", self.world.violations());
        }
    }
}

fn answered(text: &str) -> RequestOutcome {
    RequestOutcome::Answered(text.to_string().into())
}

#[test]
fn a_request_is_given_to_the_leader_and_answered() {
    for store in [false, true] {
        let mut s = Site::new(3, 2, store);
        let (m, leader) = (s.members[0], s.leader());
        let other = s.world.hosts().find(|h| *h != leader).unwrap();
        for host in [m, other, leader] {
            assert_eq!(s.world.request(host, format!("q{}", host.0).into(), false), Ok(1));
        }
        s.answering(SECOND);
        let told = s.told();
        for host in [m, other, leader] {
            assert_eq!(told[&(host.0, 1)], answered(&format!("echo:q{}", host.0)));
        }
        s.end();
        // The answers are kept until their senders say that they know, and no longer.
        let kept = s.world.node(leader).unwrap().requests_kept();
        assert_eq!(kept, (0, 0));
    }
}

/// One round for what is under way together, not one for each.
#[test]
fn a_thousand_requests_cost_few_rounds() {
    let mut s = Site::new(3, 50, true);
    let leader = s.leader();
    let before = *s.world.node(leader).unwrap().stats();
    let commit = s.world.node(leader).unwrap().commit_index();
    for member in s.members.clone() {
        for n in 0..20 {
            s.world.request(member, format!("{member:?} {n}").into(), false).unwrap();
        }
    }
    s.answering(SECOND * 2);
    let told = s.told();
    assert_eq!(told.len(), 1_000);
    assert!(told.values().all(|o| matches!(o, RequestOutcome::Answered(_))));
    let after = *s.world.node(leader).unwrap().stats();
    let batches = after.request_batches - before.request_batches;
    let entries = s.world.node(leader).unwrap().commit_index().0 - commit.0;
    println!("1,000 requests: {batches} batches, {entries} entries");
    assert!(batches <= 60 && entries <= 120, "{batches} batches, {entries} entries");
    s.end();
}

#[test]
fn what_a_leader_that_died_had_begun_is_unknown_and_runs_no_more() {
    let mut s = Site::new(3, 2, false);
    let (m, leader) = (s.members[0], s.leader());
    s.world.request(m, "q".into(), false).unwrap();
    s.world.request(m, "twice".into(), true).unwrap();
    let given = s.given(ms(200));
    assert!(given.len() == 2 && given.iter().all(|(host, _)| *host == leader), "{given:?}");
    s.world.kill(leader);
    let given = s.given(SECOND * 5);
    assert_eq!(given.len(), 1, "{given:?}");
    let (host, asked) = &given[0];
    assert!(asked.body == "twice" && *host != leader);
    s.world.answer(*host, asked, Some("done".into())).unwrap();
    s.world.run_for(SECOND);
    let told = s.told();
    assert_eq!(told[&(m.0, 1)], RequestOutcome::Unknown(UnknownReason::LeaderGone));
    assert_eq!(told[&(m.0, 2)], answered("done"));
    s.end();
}

/// Nobody knows of it when its leader dies: the next one begins it. And what was answered stays answered.
#[test]
fn what_was_not_begun_is_begun_by_the_next_leader() {
    let mut s = Site::new(3, 2, false);
    let (m, leader) = (s.members[0], s.leader());
    s.world.kill(leader);
    s.world.request(m, "q".into(), false).unwrap();
    s.answering(SECOND * 5);
    assert_eq!(s.told()[&(m.0, 1)], answered("echo:q"));
    s.end();
}

#[test]
fn who_has_handed_over_may_still_answer() {
    for store in [false, true] {
        let mut s = Site::new(3, 2, store);
        let (m, leader) = (s.members[0], s.leader());
        for n in 0..40 {
            s.world.request(m, format!("q{n}").into(), false).unwrap();
        }
        let given = s.given(ms(200));
        assert_eq!(given.len(), 40);
        s.world.command(leader, Command::Handover(None)).unwrap();
        s.world.run_for(SECOND);
        let next = s.leader();
        assert_ne!(next, leader);
        assert!(s.told().is_empty(), "nothing is lost by a handover");
        for (host, asked) in &given {
            assert_eq!(*host, leader);
            s.world.answer(*host, asked, Some("late".into())).unwrap();
            assert_eq!(s.world.answer(*host, asked, Some("twice".into())), Err(AnswerError::NotOpen));
        }
        s.world.run_for(SECOND);
        let told = s.told();
        assert_eq!(told.len(), 40);
        assert!(told.values().all(|o| *o == answered("late")), "{told:?}");
        s.end();
    }
}

#[test]
fn what_is_forgotten_is_unknown() {
    let mut s = Site::new(3, 1, false);
    let (m, leader) = (s.members[0], s.leader());
    s.world.request(m, "q".into(), false).unwrap();
    let given = s.given(ms(200));
    let too_large = vec![0; convoke::wire::MAX_ANSWER + 1];
    assert_eq!(s.world.answer(leader, &given[0].1, Some(too_large.into())), Err(AnswerError::TooLarge(16_384)));
    s.world.answer(leader, &given[0].1, None).unwrap();
    s.world.run_for(SECOND);
    assert_eq!(s.told()[&(m.0, 1)], RequestOutcome::Unknown(UnknownReason::Forgotten));
    s.end();
}

/// A leader's embedder that never answers holds up its askers, and nobody else.
#[test]
fn a_full_window_holds_up_one_sender() {
    let mut s = Site::new(3, 2, false);
    let (a, b) = (s.members[0], s.members[1]);
    for n in 0..1_024 {
        s.world.request(a, format!("a{n}").into(), false).unwrap();
    }
    assert_eq!(s.world.request(a, "more".into(), false), Err(RequestError::Full));
    s.world.request(b, "b".into(), false).unwrap();
    let given = s.given(SECOND * 2);
    assert_eq!(given.len(), 257, "a window of the one, and all of the other's");
    for (host, asked) in &given {
        s.world.answer(*host, asked, Some("r".into())).unwrap();
    }
    s.answering(SECOND * 5);
    assert_eq!(s.told().len(), 1_025);
    s.end();
}

#[test]
fn who_is_impatient_or_stops_is_told_so() {
    let mut s = Site::with(3, 1, false, |b| b.request_patience(Some(SECOND)));
    let m = s.members[0];
    s.world.request(m, "q".into(), false).unwrap();
    s.world.run_for(SECOND * 2);
    assert_eq!(s.told()[&(m.0, 1)], RequestOutcome::Unknown(UnknownReason::Patience));
    s.world.request(m, "r".into(), false).unwrap();
    s.world.run_for(ms(200));
    s.world.command(m, Command::Leave).unwrap();
    s.world.run_for(SECOND * 2);
    assert_eq!(s.told()[&(m.0, 2)], RequestOutcome::Unknown(UnknownReason::Stopped));
    assert_eq!(s.world.request(m, "s".into(), false), Err(RequestError::Stopped));
    s.end();
}

/// All candidates but one restart without a store: of what was begun in the lineage that is lost nobody can tell.
#[test]
fn in_a_child_lineage_nothing_runs_again() {
    let mut s = Site::new(3, 2, false);
    let (m, leader) = (s.members[0], s.leader());
    s.world.request(m, "q".into(), false).unwrap();
    assert_eq!(s.given(ms(200)).len(), 1);
    let lineage = s.world.node(leader).unwrap().lineage();
    let others: Vec<HostId> = s.world.hosts().take(3).filter(|h| *h != leader).collect();
    for host in s.world.hosts().take(3).filter(|h| *h != others[0]).collect::<Vec<_>>() {
        s.world.kill(host);
    }
    s.world.run_for(ms(50));
    for host in s.world.hosts().collect::<Vec<_>>() {
        s.world.start(host);
    }
    s.until("a child is founded", |w| w.leaders().any(|h| w.node(h).is_some_and(|n| n.lineage() != lineage)));
    s.answering(SECOND * 10);
    assert!(matches!(s.told()[&(m.0, 1)], RequestOutcome::Unknown(_)));
    s.world.request(m, "next".into(), false).unwrap();
    s.answering(SECOND * 2);
    assert_eq!(s.told()[&(m.0, 2)], answered("echo:next"));
    s.end();
}

/// How much of a band: little where the build is not optimized.
fn much(little: usize, much: usize) -> usize {
    if cfg!(debug_assertions) { little } else { much }
}

/// Seeds until there were so many failovers.
fn band(options: &Options, enough: usize) {
    let (mut seed, mut failovers, mut counts) = (0, 0, [0; 4]);
    while failovers < enough {
        let report = Run::seed(seed).options(options.clone()).execute();
        if !report.is_clean() {
            report.lines.iter().for_each(|line| println!("{line}"));
            panic!("{report}\nreplay with: convoke sim --seed {seed} --faults {}", options.faults);
        }
        failovers += report.leaderships.saturating_sub(1);
        counts.iter_mut().zip(report.requests).for_each(|(sum, n)| *sum += n);
        seed += 1;
    }
    let [asked, given, answered, unknown] = counts;
    println!(
        "{seed} seeds, {failovers} failovers: {asked} asked, {given} given, {answered} answered, {unknown} unknown"
    );
    assert!(answered > asked / 4, "{counts:?}");
}

fn faults(words: &str) -> Options {
    Options { faults: words.parse().unwrap(), policy: Some(Policy::Quorum), ..Options::default() }
}

/// Under requests and messages: nothing acknowledged is lost or delivered twice, and all is accounted for. 1,000 failovers in an
/// optimized build.
#[test]
fn failovers_under_traffic() {
    let options =
        Options { members: Some(4), heartbeat: Some(ms(100)), ..faults("requests,traffic,crash,restart,power") };
    band(&options, much(20, 1_000));
}

#[test]
fn handovers_under_traffic() {
    let options = Options { members: Some(4), heartbeat: Some(ms(100)), ..faults("requests,handover,line,partition") };
    band(&options, much(10, 300));
}

#[test]
fn with_whatever_else_may_happen() {
    // All but the names, whose checker has a band of its own.
    let all = convoke::sim::Fault::ALL.iter().map(|f| f.word()).filter(|w| *w != "names");
    let options = faults(&all.collect::<Vec<_>>().join(","));
    for seed in 0..much(3, 60) as u64 {
        let report = Run::seed(seed).options(options.clone()).execute();
        assert!(report.is_clean(), "{report}");
    }
}

/// There is room for one request. Who goes on asking said what it is done with only by what waited for that room: nobody's
/// requests were begun any more.
#[test]
fn who_goes_on_asking_frees_the_room_that_it_waits_for() {
    let one = |b: convoke::proto::ConfigBuilder| {
        let limits = convoke::proto::MessageLimits { requests: 1, ..Default::default() };
        b.messages(limits)
    };
    let mut site = Site::with(3, 2, false, one);
    let [one, other] = [site.members[0], site.members[1]];
    let mut outcomes = 0;
    site.world.request(other, "other".into(), false).unwrap();
    site.world.request(one, "first".into(), false).unwrap();
    for _ in 0..40 {
        site.answering(ms(50));
        let told = site.told();
        outcomes += told.len();
        // The next question comes with the answer to the last one.
        if told.keys().any(|(host, _)| *host == one.0) {
            site.world.request(one, "next".into(), false).unwrap();
        }
    }
    assert!(outcomes >= 5, "{outcomes}");
}
