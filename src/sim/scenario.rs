//! A scenario: who takes part, on what network, and what goes wrong; all drawn from one seed.

use super::faults::{Fault, Faults};
use super::host::{HostId, NodeOptions};
use super::net::Conditions;
use super::process::Plant;
use super::rng::{Rng, mix};
use super::trace::Detail;
use super::walls::Wall;
use super::world::World;
use crate::proto::{Config, Founding, LinkAssumption, MessageLimits, Policy};
use crate::types::{Capabilities, ConventionId, NodeId, Time};
use std::fmt;
use std::time::Duration;

/// What is fixed of a run; the rest is drawn from its seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How many candidates there are (drawn: 1 to 7, mostly 3 and 5).
    pub candidates: Option<usize>,
    /// How many plain members there are (drawn: 0 to 12).
    pub members: Option<usize>,
    /// How long the phase of faults lasts (drawn: 30 to 120 detection times).
    pub duration: Option<Duration>,
    /// The interval of heartbeats (drawn: 20 ms to 1 s; without faults 1 s).
    pub heartbeat: Option<Duration>,
    /// Which faults may occur: all of them means a random part for each seed, any other set exactly that (all).
    pub faults: Faults,
    /// What a side without a majority does (drawn: mostly it waits; without faults it does).
    pub policy: Option<Policy>,
    /// Whether the candidates have stores (drawn: all, none, or some).
    pub stores: Option<bool>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            candidates: None,
            members: None,
            duration: None,
            heartbeat: None,
            faults: Faults::all(),
            policy: None,
            stores: None,
        }
    }
}

/// One node of a scenario.
#[derive(Debug, Clone)]
pub(super) struct Cast {
    pub(super) config: Config,
    pub(super) options: NodeOptions,
    /// When it is started first; the last member only when the network is whole again.
    pub(super) starts_at: u64,
}

/// All that is drawn from the seed.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub(super) seed: u64,
    pub(super) cast: Vec<Cast>,
    pub(super) voters: usize,
    /// So many of them found; the others are started late.
    pub(super) founders: usize,
    pub(super) faults: Faults,
    pub(super) safety: Duration,
    pub(super) fsync: Duration,
    pub(super) wake_late: Duration,
    pub(super) echo: bool,
    pub(super) twins: bool,
    /// True: candidates without stores may be lost until no majority is left. Those that are left then recover; agreement
    /// can't be demanded only where none of them may lead.
    pub(super) reckless: bool,
    pub(super) founding: &'static str,
    /// A side without a majority goes on.
    pub(super) available: bool,
    /// Earlier candidates take over.
    pub(super) preempts: bool,
    /// Some nodes write frames as a newer version would, from one of their starts on.
    pub(super) rolling: bool,
}

/// The largest body of a scenario's messages.
pub(super) const LARGEST: usize = 100_000;

/// How long an answer is waited for.
pub(super) const ANSWER: Duration = Duration::from_secs(8);

/// The bound on clocks that scenarios configure, and stay within.
pub(super) const DRIFT_PPM: u32 = 1_000;

impl Scenario {
    /// Draws a scenario.
    #[must_use]
    pub fn draw(seed: u64, options: &Options) -> Self {
        let mut rng = Rng::new(mix(seed) ^ 0x5ce7_a210);
        let quiet = options.faults.is_empty();
        let faults = if options.faults == Faults::all() { options.faults.some(&mut rng) } else { options.faults };
        let drawn = [1, 2, 3, 3, 3, 3, 4, 5, 5, 5, 7][rng.below(11) as usize];
        let candidates = options.candidates.unwrap_or(drawn).clamp(1, crate::types::MAX_SEATS);
        let witnesses =
            if quiet || options.candidates.is_some() || candidates > 5 || !rng.one_in(6) { 0 } else { rng.range(1, 2) };
        let members = options.members.unwrap_or(rng.below(13) as usize);
        let drawn = Duration::from_millis([20, 50, 100, 100, 250, 1_000][rng.below(6) as usize]);
        let heartbeat = options.heartbeat.unwrap_or(if quiet { Duration::from_secs(1) } else { drawn });
        let detect = if quiet { 3 } else { rng.range(2, 5) as u32 };
        let detection = heartbeat * detect;
        let safety = options.duration.unwrap_or_else(|| detection * rng.range(30, 120) as u32);
        // Drawn apart, so that the seeds that don't draw it stay what they are: writes that outlast an election round.
        let mut slow = Rng::new(mix(seed) ^ 0x510d_d15c);
        let slow = (!quiet && slow.one_in(20)).then(|| detection / 8 * slow.range(1, 8) as u32 / 8);
        // Drawn apart, so that the seeds that wait stay what they are.
        let drawn_available = !quiet && Rng::new(mix(seed) ^ 0x51de_5a9e).one_in(4);
        let quick = if quiet || rng.one_in(3) { Duration::ZERO } else { Duration::from_millis(rng.range(1, 5)) };
        let mut scenario = Self {
            seed,
            cast: Vec::new(),
            voters: candidates + witnesses as usize,
            founders: candidates + witnesses as usize,
            faults,
            safety,
            fsync: slow.unwrap_or_default().max(quick),
            wake_late: if quiet { Duration::ZERO } else { Duration::from_micros(rng.below(3_000)) },
            echo: !quiet && rng.one_in(2),
            twins: !quiet && rng.one_in(8),
            reckless: !quiet && rng.one_in(8),
            founding: if !quiet && rng.one_in(4) { "list" } else { "expect" },
            available: options.policy.map_or(drawn_available, |policy| policy == Policy::Available),
            preempts: false,
            rolling: false,
        };
        scenario.draw_cast(&mut rng, options, candidates, members, heartbeat, detect);
        scenario
    }

    fn draw_cast(
        &mut self,
        rng: &mut Rng,
        options: &Options,
        candidates: usize,
        members: usize,
        heartbeat: Duration,
        detect: u32,
    ) {
        let quiet = options.faults.is_empty();
        let (mut follow, mut walled) = (rng.fork(0xf011), rng.fork(0x0b0d));
        let late = self.draw_late();
        let names = || (0..self.voters).map(name).collect::<Vec<_>>();
        let founding = match self.founding {
            "list" => Founding::List(names()),
            _ => Founding::Expect(self.founders),
        };
        let stores = if quiet { 0 } else { rng.below(3) };
        let some_priorities = !quiet && rng.one_in(3);
        let new_ports = !quiet && rng.one_in(2);
        let no_multicast = !quiet && rng.one_in(8);
        // Drawn apart, so that the draws of a seed stay what they were before there was a handover.
        let mut apart = Rng::new(mix(self.seed) ^ 0x9ee3);
        let detection = heartbeat * detect;
        self.preempts = self.faults.has(Fault::Handover) && apart.one_in(2);
        let preempt = self.preempts.then(|| detection * apart.range(1, 8) as u32);
        self.rolling = !quiet && apart.one_in(4);
        let mut starts: Vec<u64> =
            (0..self.voters + members + 1).map(|_| rng.below((heartbeat * detect).as_micros() as u64 * 2)).collect();
        // Nobody joins late in a quiet run: it shows the resting state.
        starts[self.voters + members] = if quiet { 0 } else { u64::MAX };
        for (at, starts_at) in late {
            starts[at] = starts_at;
        }
        for (at, starts_at) in starts.into_iter().enumerate() {
            if quiet && at == self.voters + members {
                break;
            }
            let mut builder = Config::builder(convention(), name(at))
                .heartbeat(heartbeat)
                .detect(detect)
                .drift_ppm(DRIFT_PPM)
                .multicast(!no_multicast)
                .seeds(no_multicast || !quiet && rng.one_in(4))
                .policy(if self.available { Policy::Available } else { Policy::Quorum })
                .preempt(preempt)
                .messages(self.message_limits(rng));
            let votes = at < self.voters;
            if self.faults.has(Fault::Follow) {
                // Voters too: they may be demoted.
                builder = builder.subscribe(follow.one_in(2));
            }
            if votes {
                builder = if at < candidates { builder.candidate() } else { builder.witness() }.found(founding.clone());
                if some_priorities {
                    builder = builder.priority(rng.below(3) as i32);
                }
            }
            if self.faults.has(Fault::Asks) && walled.fork(at as u64).one_in(3) {
                builder = builder.capabilities(source());
            }
            let wall = (!votes && self.faults.has(Fault::Outbound) && walled.one_in(2))
                .then(|| Wall { refuses: walled.one_in(2), multicast: walled.one_in(2) });
            if wall.is_some() {
                // Multicast alone would never be answered.
                builder = builder.outbound_only().seeds(true);
            }
            // What is drawn here is valid by construction.
            #[allow(clippy::expect_used)]
            let config = builder.build().expect("a drawn configuration is valid");
            let store = votes && options.stores.unwrap_or(stores == 1 || stores == 2 && rng.one_in(2));
            let drift = if self.faults.has(Fault::Clock) { rng.below(2 * u64::from(DRIFT_PPM) + 1) as i32 } else { 0 };
            let options = NodeOptions {
                group: 0,
                store,
                seeds: (0..self.voters as u32).map(HostId).filter(|h| h.0 as usize != at).collect(),
                clock_ppm: if drift == 0 { 0 } else { drift - DRIFT_PPM as i32 },
                clock_start: Time::from_micros(rng.below(1 << 40)),
                wall_ahead_us: rng.below(2_000_000),
                new_ports,
                newer_from: (self.rolling && apart.one_in(2)).then(|| apart.range(1, 3) as u32),
                wall,
                stopped: true,
            };
            self.cast.push(Cast { config, options, starts_at });
        }
    }

    /// Which voters are started late, and when: never so many that they could found a convention of their own.
    fn draw_late(&mut self) -> Vec<(usize, u64)> {
        if !self.faults.has(Fault::Late) {
            return Vec::new();
        }
        let mut rng = Rng::new(mix(self.seed) ^ 0x1a7e);
        let mut all: Vec<_> = (0..self.voters).collect();
        rng.shuffle(&mut all);
        let most = self.voters.saturating_sub(1) / 2;
        all.truncate(rng.range(most.min(1) as u64, most as u64) as usize);
        self.founders -= all.len();
        let safety = self.safety.as_micros() as u64;
        all.into_iter().map(|at| (at, rng.range(safety / 10, safety / 2))).collect()
    }

    /// The world, with all hosts and nothing running.
    pub(super) fn world(&self, detail: Detail, keep: usize, plant: Plant) -> World {
        let mut builder = World::builder(self.seed);
        builder.plant = plant;
        let mut world = builder
            .trace(detail, keep)
            .keep_events(false)
            .collect_asked(self.faults.has(Fault::Requests))
            .halt(true)
            .twins(self.twins)
            .echo(self.echo)
            .fsync(self.fsync)
            .wake_late(self.wake_late)
            .build();
        for cast in &self.cast {
            world.add_node(cast.config.clone(), cast.options.clone());
        }
        world
    }

    /// So small that they matter. Drawn apart from all else.
    fn message_limits(&self, rng: &Rng) -> MessageLimits {
        if !self.faults.has(Fault::Traffic) {
            return MessageLimits { answer: ANSWER, ..MessageLimits::default() };
        }
        let mut rng = rng.fork(0x11b1);
        let mut apart = rng.fork(0x5a11);
        let message = if rng.one_in(4) { LARGEST / 2 } else { LARGEST };
        MessageLimits {
            message: if apart.one_in(12) { 2_000 } else { message },
            queue: LARGEST * 2,
            queues: LARGEST * 4,
            window: 64 << 10,
            windows: LARGEST * 5,
            idle: self.detection().max(Duration::from_secs(1)) * rng.range(1, 8) as u32,
            patience: None,
            relay: [8 << 20, 16 << 20][rng.below(2) as usize],
            answer: ANSWER,
            requests: if apart.one_in(4) { 64 } else { 16_384 },
        }
    }

    /// How long a message may wait for a way.
    pub(super) fn patience(&self) -> Duration {
        (self.detection() * 5).max(Duration::from_secs(2))
    }

    /// The detection time of all nodes.
    pub(super) fn detection(&self) -> Duration {
        self.cast.first().map_or(Duration::ZERO, |c| c.config.detection())
    }

    /// Within which time all have to agree, once the network is whole and all processes run.
    pub(super) fn agreement(&self) -> Duration {
        // What the healed network is, and what all hosts always are.
        let link = LinkAssumption {
            one_way: Conditions::default().delay * 2,
            loop_lateness: self.wake_late + Duration::from_millis(1),
            store_write: self.fsync,
        };
        // Members may have been promoted: all that may be on the line count.
        let bound = self.cast.first().map(|c| {
            c.config.agreement(
                if self.faults.has(Fault::Line) { self.voters.max(9) } else { self.voters },
                &link,
                super::world::CONNECT_PATIENCE,
            )
        });
        let moves = self.faults.has(Fault::Move);
        bound.map_or(Duration::ZERO, |b| if moves { b.with_arrivals() } else { b.total() })
    }

    /// What the network is like in the phase of faults.
    pub(super) fn conditions(&self, rng: &mut Rng) -> Conditions {
        let has = |f| self.faults.has(f);
        let most_loss = if rng.one_in(8) { 500_000 } else { 100_000 };
        let mut rate = |f, most| if has(f) { rng.below(most) as u32 } else { 0 };
        let (loss_ppm, multicast_loss_ppm) = (rate(Fault::Loss, most_loss), rate(Fault::Loss, most_loss * 2));
        let (duplicate_ppm, reorder_ppm) = (rate(Fault::Duplicate, 100_000), rate(Fault::Reorder, 100_000));
        let corrupt_ppm = rate(Fault::Corrupt, 50_000);
        let beat = self.detection().as_micros() as u64 / 4;
        let jitter = if has(Fault::Delay) { rng.below(beat.min(200_000)) } else { 200 };
        // Stragglers come late enough to be of another term, another owner of a slot, another run.
        let straggle = Duration::from_micros(rng.range(1_000, beat * 16));
        Conditions {
            delay: Duration::from_micros(rng.range(20, 500)),
            jitter: Duration::from_micros(jitter),
            loss_ppm,
            multicast_loss_ppm,
            duplicate_ppm,
            reorder_ppm,
            corrupt_ppm,
            straggle,
            segmented: true,
        }
    }
}

/// The capability that some have who are asked.
pub(super) const SOURCE: (&str, &str) = ("source", "yes");

/// What those have who are asked.
fn source() -> Capabilities {
    let mut capabilities = Capabilities::new();
    #[allow(clippy::expect_used)]
    capabilities.set(SOURCE.0, SOURCE.1).expect("it is short");
    capabilities
}

fn convention() -> ConventionId {
    #[allow(clippy::expect_used)]
    ConventionId::new("simulated").expect("the name is valid")
}

/// Candidates are c0, c1, …; the numbers go on with members.
fn name(at: usize) -> NodeId {
    #[allow(clippy::expect_used)]
    NodeId::new(&format!("n{at}")).expect("the name is valid")
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stores = self.cast.iter().filter(|c| c.options.store).count();
        let beat = self.cast.first().map_or(Duration::ZERO, |c| c.config.heartbeat());
        write!(
            f,
            "{} voters ({stores} with a store), {} members, policy {}, founded by {}, heartbeat {beat:?}, detection {:?}, {:?} of faults: {}",
            self.voters,
            self.cast.len() - self.voters,
            if self.available { "available" } else { "quorum" },
            self.founding,
            self.detection(),
            self.safety,
            self.faults,
        )
    }
}
