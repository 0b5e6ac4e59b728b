//! Real processes on hosts of their own, and whatever can happen to them, at random: killed, told to leave, frozen, cut
//! off both ways or one, a pair that can't hear each other, a handover, a candidate retired, another one admitted; where
//! each side goes on by itself, also the network cut in two.
//! After each of it all have to agree again, and what all of them told is held against what must always hold.
//!
//! `CONVOKE_CHAOS=5000 cargo test --release --all-features --test chaos -- --nocapture`; `CONVOKE_CHAOS_SEED=N` draws the
//! same things again. Needs root, `ip` and `nft`; says so where they are missing, and passes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Options, Site, View, check_leaderships, check_terms, loudly, unix_us};
use serde_json::json;
use std::time::{Duration, Instant};

/// More than any single step takes, also on a busy machine.
const LONG: Duration = Duration::from_secs(30);

/// Drawn from a seed (SplitMix64: Steele, Lea, Flood 2014).
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// What is done to a host, and undone after a while.
#[derive(Debug, Clone, Copy)]
enum Harm {
    Kill(usize),
    Leave(usize),
    Freeze(usize),
    Cut(usize),
    Mute(usize),
    Deafen(usize),
    /// These two can't hear each other; all others can.
    Part(usize, usize),
    Handover,
    Retire(usize),
    /// The late candidate comes, or goes for good.
    Admit(usize),
    /// These hosts, a bit each, and the others reach each other, and not those of the other side.
    Sides(usize),
}

struct Chaos {
    site: Site,
    rng: Rng,
    story: Vec<String>,
    started_us: u64,
}

impl Drop for Chaos {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let from = self.story.len().saturating_sub(12);
            self.story[from..].iter().for_each(|line| loudly(&format!("chaos: {line}")));
        }
    }
}

impl Chaos {
    fn draw(&mut self) -> Harm {
        let running: Vec<usize> = self.site.present().collect();
        let candidates: Vec<usize> = self.site.present_candidates().collect();
        let host = running[self.rng.below(running.len())];
        let candidate = candidates[self.rng.below(candidates.len())];
        let leader = self.site.leader().0;
        // The leader is what most things turn on.
        let someone = if self.rng.below(3) == 0 { leader } else { host };
        let sides = self.site.late().is_empty();
        match self.rng.below(11) {
            // Neither side is empty.
            _ if sides && self.rng.below(2) == 0 => {
                Harm::Sides(1 + self.rng.below((1 << self.site.everywhere().count()) - 2))
            }
            0 | 1 => Harm::Kill(someone),
            2 => Harm::Leave(someone),
            3 => Harm::Freeze(someone),
            4 => Harm::Cut(someone),
            5 => Harm::Mute(someone),
            6 => Harm::Deafen(someone),
            7 if candidate != someone => Harm::Part(candidate, someone),
            8 => Harm::Handover,
            9 if candidate != leader && candidates.len() > 3 => Harm::Retire(candidate),
            _ if sides => Harm::Cut(someone),
            // Who leads can't be retired.
            _ if self.site.late().contains(&leader) => Harm::Kill(leader),
            _ => Harm::Admit(self.site.late().start),
        }
    }

    fn say(&mut self, what: String) {
        let at = (unix_us() - self.started_us) as f64 / 1e6;
        self.story.push(format!("{at:9.3} s  {what}"));
    }

    fn begin(&mut self, harm: Harm) {
        let leader = self.site.agreed().map(|(h, _)| self.site.id(h).to_owned());
        self.say(format!("{harm:?}, leader {leader:?}"));
        match harm {
            Harm::Kill(h) => {
                self.site.kill(h);
            }
            Harm::Leave(h) => {
                self.site.set_present(h, false);
                self.site.signal(h, "TERM");
            }
            Harm::Freeze(h) => self.site.signal(h, "STOP"),
            Harm::Cut(h) => self.site.hosts().cut(h),
            Harm::Mute(h) => self.site.hosts().mute(h),
            Harm::Deafen(h) => self.site.hosts().deafen(h, &[]),
            Harm::Part(a, b) => {
                self.site.hosts().deafen(a, &[b]);
                self.site.hosts().deafen(b, &[a]);
            }
            Harm::Handover => {
                if let Some((leader, _)) = self.site.agreed() {
                    self.site.say(leader, "handover");
                }
            }
            Harm::Retire(h) => {
                let id = self.site.id(h).to_owned();
                if let Some((leader, _)) = self.site.agreed() {
                    self.site.say(leader, &format!("retire {id}"));
                }
            }
            Harm::Admit(h) if self.site.present().any(|p| p == h) => {
                // Retired first: a candidate with a store keeps its vote else.
                let id = self.site.id(h).to_owned();
                let off = |s: &Site| s.agreed().is_some_and(|(l, _)| s.view(l).line.iter().all(|place| place.0 != id));
                // Who leads may lose it at that very moment, and the order with it.
                for _ in 0..40 {
                    if let Some((leader, _)) = self.site.agreed().filter(|_| !off(&self.site)) {
                        self.site.say(leader, &format!("retire {id}"));
                    }
                    self.site.pass(Duration::from_millis(250));
                    if off(&self.site) {
                        break;
                    }
                }
                self.site.wait("the late one is off the line", LONG, off);
                self.site.kill(h);
            }
            Harm::Admit(h) => self.site.start(h, &[]),
            Harm::Sides(bits) => self.site.hosts().part(&side(bits)),
        }
    }

    fn end(&mut self, harm: Harm) {
        self.say(format!("end of {harm:?}"));
        match harm {
            Harm::Kill(h) => self.site.start(h, &[]),
            Harm::Leave(h) => {
                self.site.ended(h, LONG);
                self.site.start(h, &[]);
            }
            Harm::Freeze(h) => self.site.signal(h, "CONT"),
            Harm::Cut(h) => self.site.hosts().heal(h),
            Harm::Mute(h) => self.site.hosts().unmute(h),
            Harm::Deafen(h) => self.site.hosts().undeafen(h),
            Harm::Part(a, b) => {
                self.site.hosts().undeafen(a);
                self.site.hosts().undeafen(b);
            }
            Harm::Sides(bits) => self.site.hosts().unite(&side(bits)),
            Harm::Handover | Harm::Retire(_) | Harm::Admit(_) => {}
        }
    }

    fn iterate(&mut self) {
        let mut harms = vec![self.draw()];
        // Sometimes two at once: of five candidates two may be gone.
        if self.rng.below(3) == 0 && !matches!(harms[0], Harm::Admit(_) | Harm::Retire(_) | Harm::Sides(_)) {
            let other = self.draw();
            let hosts = |harm: &Harm| match *harm {
                Harm::Part(a, b) => vec![a, b],
                Harm::Handover | Harm::Sides(_) => vec![],
                Harm::Kill(h) | Harm::Leave(h) | Harm::Freeze(h) | Harm::Cut(h) => vec![h],
                Harm::Mute(h) | Harm::Deafen(h) | Harm::Retire(h) | Harm::Admit(h) => vec![h],
            };
            if !hosts(&other).iter().any(|h| hosts(&harms[0]).contains(h))
                && !matches!(other, Harm::Admit(_) | Harm::Retire(_) | Harm::Sides(_))
            {
                harms.push(other);
            }
        }
        for harm in &harms {
            self.begin(*harm);
            let pause = Duration::from_millis(self.rng.below(40) as u64);
            self.site.pass(pause);
        }
        // Long enough for both sides to go on.
        let times = if matches!(harms[0], Harm::Sides(_)) { 12 } else { 3 };
        let most = self.site.options.detection() * times;
        let span = most.mul_f64(self.rng.below(100) as f64 / 100.0);
        self.site.pass(span);
        for harm in harms {
            self.end(harm);
        }
        self.recover();
    }

    /// Until all agree again. Who learns that it was retired asks for its place.
    fn recover(&mut self) {
        let until = Instant::now() + LONG;
        let mut asked: Vec<(usize, Instant)> = Vec::new();
        while !self.site.is_settled() {
            assert!(Instant::now() < until, "not within {LONG:?}: all agree again");
            let retired: Vec<usize> =
                self.site.present_candidates().filter(|h| self.site.view(*h).role == "member").collect();
            asked.retain(|(h, at)| retired.contains(h) && at.elapsed() < Duration::from_secs(1));
            for h in retired {
                if asked.iter().all(|(other, _)| *other != h) {
                    self.site.say(h, "promote");
                    asked.push((h, Instant::now()));
                }
            }
            self.site.pass(Duration::from_millis(10));
        }
    }
}

/// The hosts of which the bit is set.
fn side(bits: usize) -> Vec<usize> {
    (0..usize::BITS as usize).filter(|h| bits >> h & 1 == 1).collect()
}

#[test]
fn whatever_happens_all_agree_again() {
    // With stores: without them two kills may leave a line of which no majority is what it was, and then all wait.
    run("chaos", Options { stores: true, late: 1, members: 3, ..Options::default() }, 50);
}

#[test]
fn sides_that_go_on_by_themselves_become_one_again() {
    let more = vec!["--policy".into(), "available".into()];
    run("chaossides", Options { stores: true, members: 3, more, ..Options::default() }, 20);
}

fn run(name: &str, options: Options, few: u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let iterations = number("CONVOKE_CHAOS").unwrap_or(few);
    let seed = number("CONVOKE_CHAOS_SEED").unwrap_or_else(|| unix_us() % 1_000_000);
    let Some(site) = Site::founded(name, options) else { return };
    loudly(&format!("{name}: {iterations} iterations; again: CONVOKE_CHAOS={iterations} CONVOKE_CHAOS_SEED={seed}"));
    let mut chaos = Chaos { site, rng: Rng(seed), story: Vec::new(), started_us: unix_us() };
    for _ in 0..iterations {
        chaos.iterate();
    }
    let took = (unix_us() - chaos.started_us) as f64 / 1e6;
    let (_, term) = chaos.site.leader();
    loudly(&format!("{name}: {iterations} iterations in {took:.1} s, now in term {term}: nothing was violated"));
    let Chaos { site, .. } = &mut chaos;
    site.check();
}

/// What the check of leaderships is for: it has to see it.
#[test]
#[should_panic(expected = "too long")]
fn two_that_lead_at_one_time_are_seen() {
    let led = |id: &str, from: u64, to: u64| {
        let mut view = View::new(id);
        view.note(json!({"event": "started", "id": id, "unix_us": 0}));
        view.note(json!({"event": "role", "id": id, "role": "leader", "unix_us": from}));
        view.note(json!({"event": "role", "id": id, "role": "supporter", "unix_us": to}));
        view
    };
    let clean = [led("a", 1_000, 2_000), led("b", 2_000, 3_000)];
    check_leaderships(clean.iter(), 0);
    let mut frozen = led("a", 1_000, 9_000);
    frozen.silenced_us.push(1_500);
    check_leaderships([frozen, led("b", 2_000, 3_000)].iter(), 0);
    check_leaderships([led("a", 1_000, 2_500), led("b", 2_000, 3_000)].iter(), 400);
}

#[test]
#[should_panic(expected = "two leaders in term 3")]
fn two_leaders_of_a_term_are_seen() {
    let follows = |id: &str, leader: &str| {
        let mut view = View::new(id);
        view.note(json!({"event": "started", "id": id, "unix_us": 0}));
        view.note(json!({"event": "leader", "id": id, "leader": leader, "term": 3, "lineage": "1", "unix_us": 1}));
        view
    };
    check_terms([follows("a", "x"), follows("b", "x"), follows("c", "y")].iter());
}
