//! What goes wrong, and when.

use super::faults::{Fault, Faults};
use super::host::{Host, HostId};
use super::net::Cut;
use super::rng::{Rng, mix};
use super::scenario::{DRIFT_PPM, Scenario};
use super::world::World;
use crate::proto::Command;
use crate::types::{Capabilities, Line, Lineage, Name, Seat, Standing};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What ends a fault.
#[derive(Debug, Clone)]
enum Remedy {
    Start(HostId),
    Mend(Vec<(HostId, HostId)>),
    Cut(Vec<(HostId, HostId)>),
    Hear(HostId),
    Home(HostId),
}

/// Plays the faults of a scenario.
#[derive(Debug)]
pub(super) struct Nemesis {
    rng: Rng,
    /// What is done with names is drawn apart, so that runs without it stay what they are.
    names: Option<Rng>,
    /// So is what is asked.
    questions: Option<Rng>,
    asked: u64,
    faults: Vec<Fault>,
    beat_us: u64,
    next: u64,
    remedies: Vec<(u64, Remedy)>,
    /// Voters without a store that were lost before any line was committed.
    early_losses: BTreeSet<HostId>,
    voters: usize,
    /// How many of them are there from the beginning.
    founders: usize,
    /// So many of them can found.
    founding_quorum: usize,
    reckless: bool,
    /// Who was pointed elsewhere, and has not been called home since.
    away: BTreeSet<HostId>,
    available: bool,
    /// Partitions run along the line, and those that were admitted first are demoted.
    late: bool,
    pub(super) injected: BTreeMap<&'static str, u64>,
}

impl Nemesis {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let acts = |f: &Fault| {
            use Fault as F;
            let quiet = matches!(f, F::Traffic | F::Names | F::Follow | F::Requests | F::Late);
            !quiet && !matches!(f, F::Loss | F::Duplicate | F::Reorder | F::Delay | F::Corrupt)
        };
        Self {
            rng: Rng::new(mix(scenario.seed) ^ 0xfa17),
            questions: scenario.faults.has(Fault::Names).then(|| Rng::new(mix(scenario.seed) ^ 0xf19d)),
            asked: 0,
            names: scenario.faults.has(Fault::Names).then(|| Rng::new(mix(scenario.seed) ^ 0x4a3e)),
            faults: scenario.faults.iter().filter(acts).collect(),
            beat_us: scenario.detection().as_micros() as u64,
            next: 0,
            remedies: Vec::new(),
            early_losses: BTreeSet::new(),
            voters: scenario.voters,
            founders: scenario.founders,
            founding_quorum: if scenario.founding == "list" { scenario.voters / 2 + 1 } else { scenario.founders },
            reckless: scenario.reckless,
            away: BTreeSet::new(),
            available: scenario.available,
            late: scenario.faults.has(Fault::Late),
            injected: BTreeMap::new(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.injected.entry(what).or_default() += 1;
    }

    /// Sets the network's conditions for the phase of faults.
    pub(super) fn begin(&mut self, world: &mut World, scenario: &Scenario) {
        if !scenario.faults.is_empty() {
            let conditions = scenario.conditions(&mut self.rng);
            if conditions.loss_ppm >= 250_000 {
                self.count("heavy loss");
            }
            world.set_conditions(conditions);
        }
        let newer = scenario.cast.iter().filter(|c| c.options.newer_from.is_some()).count();
        if newer > 0 {
            self.injected.insert("newer", newer as u64);
        }
    }

    /// When something happens next.
    pub(super) fn next_at(&self) -> u64 {
        self.remedies.iter().map(|(at, _)| *at).min().unwrap_or(u64::MAX).min(self.next)
    }

    /// Does what is due.
    pub(super) fn act(&mut self, world: &mut World, faults: Faults) {
        let now = world.now().as_micros();
        let due: Vec<_> = self.remedies.extract_if(.., |(at, _)| *at <= now).collect();
        for (_, remedy) in due {
            self.apply(world, remedy);
        }
        if now < self.next {
            return;
        }
        // Sometimes blow upon blow, mostly with time to recover in between.
        let pause = if self.rng.one_in(4) { self.beat_us / 10 } else { self.beat_us * 4 };
        self.next = now + 1 + self.rng.below(pause);
        if faults.is_empty() {
            self.next = u64::MAX;
            return;
        }
        self.claim(world);
        self.ask(world);
        if self.rng.one_in(4) || self.faults.is_empty() {
            self.work(world);
            return;
        }
        let fault = self.faults[self.rng.below(self.faults.len() as u64) as usize];
        if self.inject(world, fault) {
            self.count(fault.word());
        }
    }

    /// Ends the phase of faults: everything heals and runs.
    pub(super) fn end(&mut self, world: &mut World) {
        self.remedies.clear();
        self.next = u64::MAX;
        world.heal();
        for host in world.hosts() {
            self.starts_at_home(world, host);
            world.power_on(host);
            world.resume(host);
        }
        self.call_home(world);
    }

    /// Whoever was pointed elsewhere is pointed back, until it goes.
    pub(super) fn call_home(&mut self, world: &mut World) {
        let away: Vec<_> = self.away.iter().copied().collect();
        for host in away {
            self.bring_home(world, host);
        }
    }

    /// Who was pointed elsewhere and died there is configured for its home by its next start. Else it would be of its old
    /// convention again, which reaches it by unicast, and come home as another one later.
    fn starts_at_home(&mut self, world: &mut World, host: HostId) {
        if self.away.contains(&host) && !world.is_running(host) {
            self.bring_home(world, host);
        }
    }

    fn bring_home(&mut self, world: &mut World, host: HostId) {
        if world.go_home(host) {
            self.away.remove(&host);
        }
    }

    /// A node is pointed at an address where nobody else is, for a while. Voters go one at a time: enough of them together
    /// would found a convention of their own there.
    fn move_away(&mut self, world: &mut World) -> bool {
        let Some(host) = self.victim(world).filter(|h| !world.is_paused(*h) && !self.away.contains(h)) else {
            return false;
        };
        let of_line = |h: HostId| {
            let host = &world.hosts[h.at()];
            h.at() < self.voters || host.config.standing().votes() || host.standing().votes()
        };
        let alone = self.voters > 2 && self.away.iter().all(|h| !of_line(*h));
        let votes = of_line(host);
        if votes && !(alone && self.founders_survive(world, host) && self.may_lose_anew(world, host)) {
            return false;
        }
        // Who alone has a founding of which nothing is committed takes it along: those that accepted it wait for it.
        let lineage = world.node(host).map_or(Lineage::ZERO, |n| n.lineage());
        let takes_along = lineage != Lineage::ZERO && world.last_line(lineage).is_none();
        if votes && takes_along {
            return false;
        }
        let seeds = Vec::new();
        let moved = world.move_to(host, 1, seeds).is_ok();
        if moved {
            self.away.insert(host);
            let span = self.span(8);
            self.later(world, span, Remedy::Home(host));
        }
        moved
    }

    /// No fault: an embedder's doing.
    fn work(&mut self, world: &mut World) {
        let Some(host) = self.victim(world) else { return };
        let mut capabilities = Capabilities::new();
        let n = self.rng.below(1_000);
        if capabilities.set("n", &n.to_string()).is_ok() {
            // A node that is stopped says so, and nothing changes.
            let _ = world.command(host, Command::SetCapabilities(capabilities));
        }
    }

    /// Some nodes claim one of a few names, or give one up.
    fn claim(&mut self, world: &mut World) {
        let Some(rng) = &mut self.names else { return };
        for _ in 0..rng.below(4) {
            let host = HostId(rng.below(world.hosts().len() as u64) as u32);
            let (name, release) = (rng.below(3), rng.one_in(3));
            let Ok(name) = Name::new(&format!("name-{name}")) else { return };
            // What waits for long leaves all orders possible, and nothing to be checked.
            if world.node(host).is_none_or(|n| n.registration().is_none()) || world.claims_waiting(host) > 1 {
                continue;
            }
            world.say(host.0, format_args!("{} {name}", if release { "gives up" } else { "claims" }));
            // A node that is stopped says so, and nothing changes.
            let _ = world.command(host, if release { Command::Release(name) } else { Command::Claim(name) });
        }
    }

    /// Somebody asks who can do something.
    fn ask(&mut self, world: &mut World) {
        let Some(rng) = &mut self.questions else { return };
        if rng.one_in(2) {
            return;
        }
        let host = HostId(rng.below(world.hosts().len() as u64) as u32);
        let leads = rng.one_in(4);
        // Something that somebody has, as far as a leader knows.
        let roll = world.leaders().last().and_then(|l| world.node(l));
        let said = roll.into_iter().flat_map(|n| n.members()).filter_map(|(_, _, i)| i.capabilities.get("n"));
        let said: Vec<_> = said.collect();
        let value = match said.get(rng.below(said.len() as u64 + 1) as usize) {
            _ if leads => "yes".into(),
            Some(value) => (*value).into(),
            None => "0".into(),
        };
        let key = if leads { "leader" } else { "n" }.into();
        self.asked += 1;
        // A node that is stopped says so, and nothing changes.
        let _ = world.command(host, Command::Find { number: self.asked, key, value });
    }

    fn span(&mut self, most: u64) -> u64 {
        1 + self.rng.below(self.beat_us * most)
    }

    /// A running node: the leader in a third of the cases, otherwise a voter in half of them.
    fn victim(&mut self, world: &World) -> Option<HostId> {
        if self.rng.one_in(3) {
            return world.leaders().last();
        }
        let hosts = if self.rng.one_in(2) { self.voters } else { world.hosts().len() };
        let host = HostId(self.rng.below(hosts as u64) as u32);
        world.is_running(host).then_some(host)
    }

    fn inject(&mut self, world: &mut World, fault: Fault) -> bool {
        match fault {
            Fault::Partition => self.partition(world),
            Fault::OneWay => self.one_way(world, Cut::All),
            Fault::Hole => self.one_way(world, Cut::Streams),
            Fault::Crash | Fault::Power | Fault::Restart | Fault::Leave => self.lose(world, fault),
            Fault::Flap => self.flap(world),
            Fault::Renumber => {
                let Some(host) = self.victim(world).filter(|h| !world.is_paused(*h)) else { return false };
                world.renumber(host);
                true
            }
            Fault::Pause => {
                let Some(host) = self.victim(world).filter(|h| !world.is_paused(*h)) else { return false };
                let most = [1, 1, 4, 40][self.rng.below(4) as usize];
                let span = self.span(most);
                if span >= 100_000 {
                    self.count(if span < 1_000_000 { "pause of 0.1 to 1 s" } else { "pause of 1 s and more" });
                }
                world.pause(host, Duration::from_micros(span));
                true
            }
            Fault::Clock => {
                let host = HostId(self.rng.below(world.hosts().len() as u64) as u32);
                let ppm = self.rng.range(0, 2 * u64::from(DRIFT_PPM)) as i32 - DRIFT_PPM as i32;
                world.say(host.0, format_args!("has a clock that now runs {ppm} ppm too fast"));
                world.set_clock_rate(host, ppm);
                true
            }
            Fault::Handover => self.hand_over(world),
            Fault::Deaf => {
                let host = HostId(self.rng.below(world.hosts().len() as u64) as u32);
                world.say(host.0, format_args!("hears no multicast any more"));
                world.deafen(host, true);
                let span = self.span(8);
                self.later(world, span, Remedy::Hear(host));
                true
            }
            Fault::Line => self.change_line(world),
            Fault::Move => self.move_away(world),
            Fault::Loss | Fault::Duplicate | Fault::Reorder | Fault::Delay | Fault::Corrupt => false,
            Fault::Traffic | Fault::Names | Fault::Follow | Fault::Outbound | Fault::Requests | Fault::Asks => false,
            Fault::Late => false,
        }
    }

    /// Orders a handover, mostly of a leader, to whom it may decide or to anybody, who may have gone.
    fn hand_over(&mut self, world: &mut World) -> bool {
        let leader = world.leaders().last().filter(|_| !self.rng.one_in(8));
        let Some(host) = leader.or_else(|| self.victim(world)) else { return false };
        let heir = HostId(self.rng.below(world.hosts().len() as u64) as u32);
        let to = self.rng.one_in(2).then(|| world.name(heir).clone());
        world.say(
            host.0,
            format_args!("is ordered to hand over to {}", to.as_ref().map_or("anybody", |id| id.as_str())),
        );
        let result = world.command(host, Command::Handover(to));
        if let Err(why) = &result {
            world.say(host.0, format_args!("can't: {why}"));
        }
        // Blow upon blow: in the midst of it one of the two is lost, or the link between them.
        if result.is_ok() && self.rng.one_in(3) {
            self.next = world.now().as_micros() + self.rng.below(5_000);
        }
        result.is_ok()
    }

    /// An operator's doing: somebody is retired, ranked, promoted or demoted. True where the node took the command.
    fn change_line(&mut self, world: &mut World) -> bool {
        let oldest = (self.late && self.rng.one_in(2)).then(|| by_admission(world).first().copied()).flatten();
        let host = oldest.unwrap_or_else(|| HostId(self.rng.below(world.hosts().len() as u64) as u32));
        let of = |h: HostId| world.hosts[h.at()].process.as_ref().map(|p| p.node.standing());
        let own = |standing| (host, Command::SetStanding(standing));
        let (at, command) = match (self.rng.below(4), of(host)) {
            (0, Some(Standing::Member)) => {
                let room =
                    world.leaders().last().and_then(|l| world.node(l)).is_some_and(|n| n.line().seats().len() < 9);
                if !room {
                    return false;
                }
                own(if self.rng.one_in(4) { Standing::Witness } else { Standing::Candidate })
            }
            (1, Some(Standing::Candidate)) if self.late && self.rng.one_in(3) => own(Standing::Witness),
            (1, Some(standing)) if standing.votes() => own(Standing::Member),
            (kind, _) => {
                let Some(leader) = world.leaders().last() else { return false };
                let seats = world.node(leader).map_or(&[][..], |n| n.line().seats());
                let Some(seat) = seats.get(self.rng.below(seats.len() as u64) as usize) else { return false };
                let id = seat.id.clone();
                let priority = self.rng.below(4) as i32;
                (leader, if kind == 2 { Command::Retire(id) } else { Command::SetPriority { id, priority } })
            }
        };
        world.say(at.0, format_args!("is told: {command:?}"));
        world.command(at, command).is_ok()
    }

    fn later(&mut self, world: &World, span: u64, remedy: Remedy) {
        self.remedies.push((world.now().as_micros() + span, remedy));
    }

    fn partition(&mut self, world: &mut World) -> bool {
        let mut hosts: Vec<_> = world.hosts().collect();
        if hosts.len() < 2 {
            return false;
        }
        let mut pairs = Vec::new();
        let along_line = self.late && self.rng.one_in(2);
        match self.rng.below(3) {
            _ if along_line => {
                let line = by_admission(world);
                if line.len() < 2 {
                    return false;
                }
                let (old, new) = line.split_at(self.rng.range(1, line.len() as u64 - 1) as usize);
                let (mut old, mut new) = (old.to_vec(), new.to_vec());
                for host in hosts.into_iter().filter(|h| !line.contains(h)) {
                    if self.rng.one_in(2) { &mut old } else { &mut new }.push(host);
                }
                pairs = between(&old, &new);
                self.count("old from new");
                world.say(old[0].0, format_args!("and {} others, the oldest of the line, are cut off", old.len() - 1));
            }
            // Two groups.
            0 => {
                self.rng.shuffle(&mut hosts);
                let at = self.rng.range(1, hosts.len() as u64 - 1) as usize;
                let (left, right) = hosts.split_at(at);
                pairs = between(left, right);
                world.say(left[0].0, format_args!("and {} others are cut off", left.len() - 1));
            }
            // One against all: the leader for choice.
            1 => {
                let Some(host) = self.victim(world) else { return false };
                pairs.extend(hosts.iter().filter(|h| **h != host).map(|h| (host, *h)));
                world.say(host.0, format_args!("is cut off"));
            }
            // Single links among the voters: who reaches whom is not transitive any more.
            _ => {
                for a in 0..self.voters as u32 {
                    for b in 0..a {
                        if self.rng.one_in(3) {
                            pairs.push((HostId(a), HostId(b)));
                        }
                    }
                }
                if !pairs.is_empty() {
                    self.count("not transitive");
                }
                world.say(0, format_args!("and other voters lose the links {pairs:?}"));
            }
        }
        for (a, b) in &pairs {
            world.cut(*a, *b);
        }
        let span = self.span(6);
        self.later(world, span, Remedy::Mend(pairs));
        true
    }

    fn flap(&mut self, world: &mut World) -> bool {
        let Some(host) = self.victim(world) else { return false };
        let all = self.rng.one_in(2);
        let others: Vec<_> = world.hosts().filter(|h| *h != host).collect();
        let pairs: Vec<_> =
            others.into_iter().filter(|_| all || self.rng.one_in(4)).map(|other| (host, other)).collect();
        let times = self.rng.range(4, 20);
        world.say(host.0, format_args!("has {} links that go and come {times} times", pairs.len()));
        let mut at = 0;
        for _ in 0..times {
            at += 1 + self.rng.below(self.beat_us / 2);
            self.later(world, at, Remedy::Cut(pairs.clone()));
            at += 1 + self.rng.below(self.beat_us / 2);
            self.later(world, at, Remedy::Mend(pairs.clone()));
        }
        true
    }

    fn one_way(&mut self, world: &mut World, what: Cut) -> bool {
        let Some(host) = self.victim(world) else { return false };
        let out = self.rng.one_in(2);
        let all = self.rng.one_in(2);
        let mut pairs = Vec::new();
        for other in world.hosts().filter(|h| *h != host) {
            if all || self.rng.one_in(3) {
                let (from, to) = if out { (host, other) } else { (other, host) };
                world.cut_one_way(from, to, what);
                pairs.push((from, to));
            }
        }
        let way = if out { "out" } else { "in" };
        world.say(host.0, format_args!("loses its way {way} ({what:?}) on {} links", pairs.len()));
        let span = self.span(6);
        self.later(world, span, Remedy::Mend(pairs));
        true
    }

    fn lose(&mut self, world: &mut World, fault: Fault) -> bool {
        let Some(host) = self.victim(world) else { return false };
        if !self.may_lose(world, host) {
            return false;
        }
        let span = match fault {
            Fault::Restart => self.rng.below(self.beat_us / 4),
            _ => self.span(6),
        };
        match fault {
            Fault::Power => world.power_off(host),
            Fault::Leave => {
                world.say(host.0, format_args!("is asked to leave"));
                // It runs, so it can be asked.
                let _ = world.command(host, Command::Leave);
            }
            _ => world.kill(host),
        }
        self.later(world, span, Remedy::Start(host));
        true
    }

    /// True where so many of those who could found stay who belong to a lineage that the rest is too few: enough of them
    /// together, started anew beyond a partition, found another one, as they are configured, where others go on with the
    /// old one.
    fn founders_survive(&self, world: &World, host: HostId) -> bool {
        // Who is on its way elsewhere comes back as one that knows nothing.
        let stays = |h: &HostId| *h != host && !self.away.contains(h);
        let remembers = |h: &HostId| stays(h) && world.node(*h).is_some_and(|n| n.lineage() != Lineage::ZERO);
        let remembering = (0..self.voters as u32).map(HostId).filter(remembers).count();
        host.at() >= self.voters || self.voters - remembering < self.founding_quorum
    }

    fn apply(&mut self, world: &mut World, remedy: Remedy) {
        match remedy {
            Remedy::Start(host) => {
                self.starts_at_home(world, host);
                world.power_on(host);
                // Where it was asked to leave and hasn't yet, it goes on.
                world.start(host);
            }
            Remedy::Cut(pairs) => {
                for (a, b) in pairs {
                    world.cut(a, b);
                }
            }
            Remedy::Mend(pairs) => {
                world.say(pairs.first().map_or(0, |p| p.0.0), format_args!("is reached again"));
                for (a, b) in pairs {
                    world.mend(a, b);
                }
            }
            Remedy::Hear(host) => {
                world.deafen(host, false);
            }
            Remedy::Home(host) => self.bring_home(world, host),
        }
    }

    /// A candidate without a store that restarts is a new voter. A majority has to stay what it is, or nothing can be
    /// committed ever again, by design: so nobody is taken away before the one taken before is let in again.
    fn may_lose(&mut self, world: &World, host: HostId) -> bool {
        let h = &world.hosts[host.at()];
        let standing = h.process.as_ref().map_or(h.config.standing(), |p| p.node.standing());
        // Who was promoted or demoted while it runs is a new voter after each start, whatever it has.
        let same_after = h.disk.is_some() && standing == h.config.standing();
        self.may_replace(world, host, standing, same_after)
    }

    /// The same for a voter that comes back as another one in any case.
    fn may_lose_anew(&mut self, world: &World, host: HostId) -> bool {
        let h = &world.hosts[host.at()];
        let standing = h.process.as_ref().map_or(h.config.standing(), |p| p.node.standing());
        self.may_replace(world, host, standing, false)
    }

    fn may_replace(&mut self, world: &World, host: HostId, standing: Standing, same_after: bool) -> bool {
        let h = &world.hosts[host.at()];
        let few_found = self.faults.contains(&Fault::Line) || self.founders < self.voters;
        if few_found && !same_after && !self.founders_survive(world, host) {
            return false;
        }
        if !(standing.votes() || h.config.standing().votes()) || same_after || self.reckless {
            return true;
        }
        if self.faults.contains(&Fault::Line) && !in_force_survives(world, host) {
            return false;
        }
        let mut lines =
            world.lineages().filter_map(|l| world.last_line(l)).filter(|l| l.voters().count() > 0).peekable();
        if lines.peek().is_none() {
            self.early_losses.insert(host);
            let allowed = self.early_losses.len() <= (self.founders - 1) / 2;
            if !allowed {
                self.early_losses.remove(&host);
            }
            return allowed;
        }
        lines.all(|line| intact(world, line, Some(host)) >= line.majority())
    }
}

/// All links from one group to another.
fn between(some: &[HostId], others: &[HostId]) -> Vec<(HostId, HostId)> {
    some.iter().flat_map(|a| others.iter().map(|b| (*a, *b))).collect()
}

/// Who has a seat, as far as a leader knows; those that were admitted first come first.
fn by_admission(world: &World) -> Vec<HostId> {
    let line = world.leaders().last().and_then(|l| world.node(l)).map(|n| n.line_in_force());
    let mut seats: Vec<_> = line.into_iter().flat_map(|l| l.seats()).collect();
    seats.sort_unstable_by_key(|s| s.admitted);
    seats.into_iter().filter_map(|s| world.find(s.id.as_str())).collect()
}

/// True where no line that any node has in force loses its majority with this host.
fn in_force_survives(world: &World, host: HostId) -> bool {
    let lines = world.hosts.iter().filter_map(|h| h.process.as_ref()).map(|p| p.node.line_in_force());
    lines.filter(|l| l.voters().count() > 0).all(|l| intact(world, l, Some(host)) >= l.majority())
}

/// True where this voter is still what it was: its process runs and stays, or its store holds it.
fn is_intact(world: &World, seat: &Seat, without: Option<HostId>) -> bool {
    world.find(seat.id.as_str()).is_some_and(|h| {
        let host = &world.hosts[h.at()];
        Some(h) != without && host.identity == seat.identity && host.stays()
    })
}

/// How many voters of a line are still what they were, without one host.
fn intact(world: &World, line: &Line, without: Option<HostId>) -> usize {
    line.voters().filter(|s| is_intact(world, s, without)).count()
}

/// True where the convention can recover by design, now that all hosts run: of each lineage of which anybody holds the roll
/// a majority of the voters of the last committed line is what it was, or else those that are left found a child of it.
///
/// They can't where somebody may be a voter, by what any of them knows, that neither is what it was nor answers as another
/// voter: one that was promoted and came back as the plain member that it is configured to be, or was demoted. That it is
/// gone nobody can prove to them, so they wait, and name it. Where nobody holds anything a convention is founded as at
/// first: that takes as many candidates as the founding is configured for, and who was demoted is none.
pub(super) fn is_recoverable(world: &World, nemesis: &Nemesis) -> bool {
    let lines =
        || world.lineages().filter_map(|l| Some((l, world.last_line(l)?))).filter(|(_, l)| l.voters().count() > 0);
    if lines().next().is_none() {
        return nemesis.early_losses.len() <= (nemesis.founders - 1) / 2;
    }
    let held: Vec<_> = lines().filter(|(l, _)| world.hosts.iter().any(|h| h.holds_roll(*l))).collect();
    // Two conventions that have nothing to do with each other stay two.
    let newest = held.iter().max_by_key(|(l, _)| held.iter().filter(|(other, _)| world.descends(*l, *other)).count());
    let Some((newest, _)) = newest else {
        // Who stepped down in a lineage founds no other as long as its store knows of that one: it may live.
        let founds = |h: &&Host| h.process.as_ref().is_none_or(|p| !p.node.knows_another());
        let votes = |h: &&Host| h.standing().votes();
        return world.hosts.iter().take(nemesis.voters).filter(votes).filter(founds).count() == nemesis.voters;
    };
    let may_lead = world.hosts.iter().any(|h| h.standing() == Standing::Candidate);
    if nemesis.available {
        // Whoever holds some of a roll and may lead goes on, and takes the others in.
        let goes_on = |l: Lineage| {
            world.hosts.iter().any(|h| h.holds_roll(l) && h.standing() == Standing::Candidate && h.stays())
        };
        return held.iter().any(|(l, _)| goes_on(*l));
    }
    let recovers = |l: Lineage| {
        let left = || world.hosts.iter().filter(move |h| h.holds_roll(l) && h.standing().votes() && h.stays());
        left().next().is_some() && left().flat_map(|h| h.process.as_ref()).all(|p| all_told(world, &p.node))
    };
    let wins = |line: &Line| {
        let host = |s: &Seat| world.find(s.id.as_str()).map(|h| &world.hosts[h.at()]);
        // Who is about to go elsewhere may go before the others agree.
        let stays = |s: &Seat| is_intact(world, s, None) && host(s).is_some_and(|h| !h.is_elsewhere());
        let leads = |s: &Seat| !s.witness && host(s).is_some_and(|h| h.standing() == Standing::Candidate) && stays(s);
        line.voters().filter(|s| stays(s)).count() >= line.majority() && line.voters().any(leads)
    };
    held.iter().all(|(l, line)| {
        // A change of the line counts from the moment that it is in a log, committed or not.
        let nodes = world.hosts.iter().filter_map(|h| h.process.as_ref()).map(|p| &p.node);
        let mut in_force = nodes.filter(|n| n.lineage() == *l).map(|n| n.line_in_force());
        let majority = wins(line) && in_force.all(|line| line.voters().count() == 0 || wins(line));
        world.descends(*newest, *l) && (majority || may_lead && recovers(*l))
    })
}

/// True where everybody that may be a voter, by what this node knows, is what it was or answers as another voter.
fn all_told(world: &World, node: &crate::proto::Node) -> bool {
    let seats = node.line_in_force().seats().iter().chain(node.line().voters()).map(|s| (&s.id, s.identity));
    let members = node.members().filter(|(_, _, i)| i.standing.votes()).map(|(_, _, i)| (&i.id, i.identity));
    // What isn't committed here may have been committed by those that are gone.
    let possible = node.possible_voters();
    let others = possible.iter().map(|s| (&s.id, s.identity));
    seats.chain(members).chain(others).all(|(id, identity)| {
        let host = world.find(id.as_str()).map(|h| &world.hosts[h.at()]);
        // Who is about to go elsewhere comes home as what it is configured to be.
        let votes = |h: &Host| if h.is_elsewhere() { h.config.standing().votes() } else { h.standing().votes() };
        host.is_some_and(|h| votes(h) || h.identity == identity && h.stays() && !h.is_elsewhere())
    })
}
