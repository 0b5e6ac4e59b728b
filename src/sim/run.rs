//! One run: a phase of faults in which nothing forbidden may happen, then a phase in which all heals and progress is due.

use super::asking::Asking;
use super::faults::Fault;
use super::inquiring::Inquiring;
use super::nemesis::{Nemesis, is_recoverable};
use super::net::Conditions;
use super::process::Plant;
use super::scenario::{Options, Scenario};
use super::trace::Detail;
use super::traffic::Traffic;
use super::world::{Checked, Counts, Violation, World};
use crate::types::Time;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// A run to be made.
///
/// ```
/// use convoke::sim::{Options, Run};
/// let report = Run::seed(1).options(Options { faults: "none".parse().unwrap(), ..Options::default() }).execute();
/// println!("{report}");
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Run {
    seed: u64,
    options: Options,
    detail: Detail,
    keep: usize,
    plant: Plant,
}

/// How many lines of the trace go with a violation.
const EXCERPT: usize = 120;

impl Run {
    /// The run of this seed.
    pub fn seed(seed: u64) -> Self {
        Self { seed, options: Options::default(), detail: Detail::Nothing, keep: usize::MAX, plant: Plant::default() }
    }

    /// What is not drawn from the seed.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// How much is written down, and how many lines of it are kept.
    pub fn trace(mut self, detail: Detail, keep: usize) -> Self {
        (self.detail, self.keep) = (detail, keep);
        self
    }

    /// Plants a bug in all nodes: for tests of the checkers.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(mut self, bug: crate::proto::Bug) -> Self {
        self.plant = Plant(Some(bug));
        self
    }

    /// Makes the run. Where it ends in a violation and nothing was written down, it is made again with an excerpt.
    #[must_use]
    pub fn execute(&self) -> Report {
        let report = self.once(self.detail, self.keep);
        if report.violations.is_empty() || self.detail != Detail::Nothing {
            return report;
        }
        let again = self.once(Detail::Everything, EXCERPT);
        let mut report = Report { lines: again.lines, ..report };
        if again.hash != report.hash {
            let what = "the same seed gave another run when it was repeated".into();
            report.violations.push(Violation { property: 9, at: report.simulated, what });
        }
        report
    }

    fn once(&self, detail: Detail, keep: usize) -> Report {
        let begun = Instant::now();
        let scenario = Scenario::draw(self.seed, &self.options);
        let mut world = scenario.world(detail, keep, self.plant);
        let mut course = Course::new(&scenario);
        let outcome = catch_unwind(AssertUnwindSafe(|| course.play(&mut world, &scenario)));
        if let Err(panic) = outcome {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
            world.violated(8, format!("panic: {text}"));
        }
        Report {
            seed: self.seed,
            scenario: scenario.to_string(),
            simulated: world.now(),
            real: begun.elapsed(),
            counts: *world.counts(),
            injected: course.nemesis.injected,
            checked: world.checked(),
            leaderships: world.leaderships(),
            recoveries: world.recoveries(),
            agreed_after: course.agreed_after,
            agreement_bound: scenario.agreement(),
            recoverable: course.recoverable,
            violations: world.violations().to_vec(),
            claims: world.claims_checked(),
            requests: world.requests(),
            hash: world.trace_hash(),
            lines: world.take_lines(),
        }
    }
}

/// The course of a run.
struct Course {
    nemesis: Nemesis,
    traffic: Traffic,
    asking: Asking,
    inquiring: Inquiring,
    starts: Vec<(u64, super::HostId)>,
    agreed_after: Option<Duration>,
    recoverable: bool,
}

impl Course {
    fn new(scenario: &Scenario) -> Self {
        let mut starts: Vec<_> =
            scenario.cast.iter().zip(0..).map(|(c, at)| (c.starts_at, super::HostId(at))).collect();
        starts.sort_unstable();
        starts.reverse();
        Self {
            nemesis: Nemesis::new(scenario),
            traffic: Traffic::new(scenario),
            asking: Asking::new(scenario),
            inquiring: Inquiring::new(scenario),
            starts,
            agreed_after: None,
            recoverable: true,
        }
    }

    fn play(&mut self, world: &mut World, scenario: &Scenario) {
        self.nemesis.begin(world, scenario);
        let end = scenario.safety.as_micros() as u64;
        while world.violations().is_empty() {
            let now = world.now().as_micros();
            while self.starts.last().is_some_and(|(at, _)| *at <= now) {
                if let Some((_, host)) = self.starts.pop() {
                    world.start(host);
                }
            }
            self.nemesis.act(world, scenario.faults);
            self.traffic.act(world);
            self.asking.act(world);
            self.inquiring.act(world);
            if now >= end {
                break;
            }
            let next = self.nemesis.next_at().min(self.traffic.next_at()).min(self.asking.next_at());
            let next = next.min(self.inquiring.next_at());
            let next = next.min(self.starts.last().map_or(u64::MAX, |(at, _)| *at));
            world.run_for(Duration::from_micros(next.min(end).saturating_sub(now).max(1)));
        }
        if world.violations().is_empty() {
            self.heal(world, scenario);
            self.traffic.end(world, scenario.patience(), self.agreed_after.is_some());
            self.inquiring.end(world, super::scenario::ANSWER);
            if scenario.faults.has(Fault::Outbound) && self.agreed_after.is_some() && world.violations().is_empty() {
                super::reach::check(world, scenario);
            }
            // Where nobody can lead any more all wait, by design.
            if self.agreed_after.is_some() {
                self.asking.end(world, scenario.patience());
            }
        }
    }

    fn heal(&mut self, world: &mut World, scenario: &Scenario) {
        world.say(0, format_args!("and all others: the network is whole, and all processes run"));
        self.nemesis.end(world);
        world.set_conditions(Conditions { segmented: !scenario.faults.is_empty(), ..Conditions::default() });
        let quiet = scenario.faults.is_empty();
        for host in world.hosts() {
            world.start(host);
        }
        self.recoverable = is_recoverable(world, &self.nemesis);
        let detection = scenario.detection();
        let bound = scenario.agreement();
        let begun = world.now();
        // What was cut off just before may still cost a leader its lease, or its patience with what it can't commit.
        let aftermath = detection * 4;
        let (mut open, mut since) = (unsettled(world), begun);
        while (open.is_some() && world.now() - begun < bound || world.now() - begun < aftermath)
            && world.violations().is_empty()
        {
            // Whoever left in order, or gave way, is started again.
            for host in world.hosts() {
                world.start(host);
            }
            self.nemesis.call_home(world);
            self.traffic.act(world);
            self.asking.act(world);
            // To look at all rolls takes longer than to live through that time.
            world.run_for((detection / if open.is_some() { 8 } else { 2 }).max(Duration::from_millis(10)));
            open = unsettled(world);
            if open.is_some() {
                since = world.now();
            }
        }
        if !world.violations().is_empty() {
            return;
        }
        if let Some(why) = open {
            if self.recoverable {
                world.violated(7, format!("no agreement within {bound:?}: {why}"));
            }
            return;
        }
        self.agreed_after = Some(since - begun);
        self.traffic.take_all(world);
        self.rest(world, scenario);
        if quiet && world.leaderships() != 1 {
            let n = world.leaderships();
            world.violated(7, format!("{n} leaderships in a run without faults"));
        }
    }

    /// What agreed stays so while nothing happens, but that earlier candidates take over where they may.
    fn rest(&mut self, world: &mut World, scenario: &Scenario) {
        // Each takeover goes up the line: there are no more of them than places.
        while Self::is_taken_over(world, scenario) {}
    }

    /// Looks on for a while; true where an earlier candidate took over meanwhile, in order.
    fn is_taken_over(world: &mut World, scenario: &Scenario) -> bool {
        let (leaders, terms) = (world.leaders().collect::<Vec<_>>(), world.leaderships());
        let detection = scenario.detection();
        world.run_for(detection * 5);
        if world.violations().is_empty() {
            // An entry may be on its way right now; or, where earlier ones take over, a handover.
            let patience = if scenario.preempts { detection * 4 } else { detection };
            world.run_until(patience, |w| w.disagreement().is_none());
        }
        if !world.violations().is_empty() {
            return false;
        }
        if let Some(why) = world.disagreement() {
            world.violated(7, format!("agreement was lost again without a reason: {why}"));
            return false;
        }
        if let Err(why) = world.adds_up() {
            world.violated(5, why);
            return false;
        }
        let now = (world.leaders().collect::<Vec<_>>(), world.leaderships());
        if now == (leaders.clone(), terms) {
            return false;
        }
        // By the line of the one that leads now: there may be lines of other lineages, given up since.
        let heir = now.0.first().copied();
        let line = heir.and_then(|h| world.node(h)).map(crate::proto::Node::line);
        let rank = |h: Option<super::HostId>| line?.rank(world.name(h?));
        // One leadership for each place gone up at most: no handover failed, nobody led in between.
        let places = rank(leaders.first().copied()).zip(rank(heir)).map_or(0, |(old, new)| old.saturating_sub(new));
        let in_order = scenario.preempts && places > 0 && now.1 - terms <= places;
        if !in_order {
            world.violated(7, "the leader changed without a reason".into());
        }
        in_order
    }
}

/// The first reason why it isn't over yet: who was asked to leave goes still, who has left comes back, and all have to
/// agree after that.
fn unsettled(world: &World) -> Option<String> {
    let stays = |h: &super::HostId| world.hosts[h.at()].process.as_ref().is_some_and(|p| !p.leaving);
    let absent = world.hosts().find(|h| !stays(h) || world.hosts[h.at()].is_elsewhere());
    absent.map(|h| format!("{} leaves or has left", world.name(h))).or_else(|| world.disagreement())
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What was drawn from it, in a sentence.
    pub scenario: String,
    /// How long it lasted in the simulated world.
    pub simulated: Time,
    /// How long it took.
    pub real: Duration,
    /// What happened how often.
    pub counts: Counts,
    /// Which faults acted how often; those that act on single datagrams are in the counts.
    pub injected: BTreeMap<&'static str, u64>,
    /// How often which property was checked.
    pub checked: Checked,
    /// How many leaderships there were.
    pub leaderships: usize,
    /// How many lineages were founded out of others, because too many voters were gone.
    pub recoveries: usize,
    /// How long it took until all agreed, once the network was whole.
    pub agreed_after: Option<Duration>,
    /// Within which time they had to ([`crate::proto::Config::agreement`]).
    pub agreement_bound: Duration,
    /// False where so many candidates without a store were lost that no agreement can be demanded.
    pub recoverable: bool,
    /// What should never have happened.
    pub violations: Vec<Violation>,
    /// How many names' claims were checked to their end, and how many were not, for too much was possible.
    pub claims: (usize, usize),
    /// How many requests to the leader were asked, given to an embedder, answered, and told to be unknown.
    pub requests: [u64; 4],
    /// Stands for everything that happened.
    pub hash: u64,
    /// The trace, where one was asked for; its end, where there was a violation.
    pub lines: Vec<String>,
}

impl Report {
    /// True where nothing forbidden happened.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// How many times faster than real time the run was.
    #[must_use]
    pub fn speed(&self) -> f64 {
        (self.simulated - Time::ZERO).as_secs_f64() / self.real.as_secs_f64().max(1e-9)
    }

    /// Which share of its bound the agreement took; nothing where there was none.
    #[must_use]
    pub fn bound_share(&self) -> Option<f64> {
        Some(self.agreed_after?.as_secs_f64() / self.agreement_bound.as_secs_f64().max(1e-9))
    }

    /// The faults that occurred, by kind.
    #[must_use]
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        let mut all = self.injected.clone();
        let c = &self.counts;
        let single = [
            ("loss", c.datagrams_lost),
            ("dup", c.datagrams_duplicated),
            ("reorder", c.datagrams_reordered),
            ("corrupt", c.datagrams_corrupted),
            ("torn", c.writes_lost),
        ];
        all.extend(single.into_iter().filter(|(_, n)| *n > 0));
        all
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.scenario)?;
        writeln!(
            f,
            "simulated {:?} in {:.3?}: {:.0} times real time; {} datagrams, {} stream bytes, {} events; trace {:016x}",
            self.simulated,
            self.real,
            self.speed(),
            self.counts.datagrams_delivered,
            self.counts.stream_bytes,
            self.counts.events,
            self.hash
        )?;
        write!(f, "faults:")?;
        for (word, n) in self.faults() {
            write!(f, " {word} {n}")?;
        }
        write!(f, "\nchecked:")?;
        for (property, n) in self.checked.iter().enumerate().filter(|(_, n)| **n > 0) {
            write!(f, " property {property}: {n},")?;
        }
        write!(f, " leaderships: {}, recoveries: {}", self.leaderships, self.recoveries)?;
        match (self.agreed_after, self.recoverable) {
            (Some(after), _) => {
                let bound = self.agreement_bound;
                write!(f, "; all agreed {after:?} after the network was whole, the bound was {bound:?}")?;
            }
            (None, false) => write!(f, "; not recoverable by design: too many candidates without a store were lost")?,
            (None, true) => {}
        }
        for violation in &self.violations {
            write!(f, "\nVIOLATION of {violation}")?;
        }
        Ok(())
    }
}
