//! A node's configuration: checked once, by the builder; nothing later fails because of it.

use super::limits::MessageLimits;
use crate::types::{Capabilities, ConventionId, NodeId, Standing};
use std::fmt;
use std::time::Duration;

/// How a convention begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Founding {
    /// When this many candidates have found each other and all of them accept. Say how many there are in all: where it is half of
    /// them or less, both sides of a partition can found; where it is less than all, two parts still can, one after the other,
    /// by a candidate that each of them reached for a while (what it accepted binds it for a detection time only).
    Expect(usize),
    /// By the candidates named here, in this order. The first is the default leader. A majority of them is enough where these have
    /// stores; no two parts of the list ever found.
    List(Vec<NodeId>),
    /// By this candidate alone, when it finds nobody.
    Alone,
}

/// What a side without a majority of the voters does. All nodes of a convention have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// It decides nothing, and waits.
    #[default]
    Quorum,
    /// It goes on in a child lineage, once it has waited for [`Config::parting`]; when the sides meet again they become one.
    /// What was decided on both and can't stand on both is told ([`super::Conflict`]): names. A request that may not run twice
    /// is given on one side at most, and its sender hears of its answer or that the outcome is unknown.
    Available,
}

/// What is wrong with a configuration, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// A configuration that can work. Made by [`Config::builder`].
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) convention: ConventionId,
    pub(crate) id: NodeId,
    pub(crate) standing: Standing,
    pub(crate) priority: i32,
    pub(crate) founding: Option<Founding>,
    pub(crate) heartbeat: Duration,
    pub(crate) detect: u32,
    pub(crate) drift_ppm: u32,
    pub(crate) death_evidence: bool,
    pub(crate) multicast: bool,
    pub(crate) broadcast: bool,
    pub(crate) seeds: bool,
    pub(crate) max_members: usize,
    pub(crate) max_strangers: usize,
    pub(crate) subscribe: bool,
    pub(crate) outbound_only: bool,
    pub(crate) capabilities: Capabilities,
    pub(crate) preempt: Option<Duration>,
    pub(crate) policy: Policy,
    pub(crate) messages: MessageLimits,
    pub(crate) request_patience: Option<Duration>,
    pub(crate) warnings: Vec<String>,
}

impl Config {
    /// A builder with the defaults: a plain member, found by multicast, heartbeat 1 s, gone after 3 intervals.
    ///
    /// ```
    /// use convoke::proto::{Config, Founding};
    /// use convoke::types::{ConventionId, NodeId};
    /// let config = Config::builder(ConventionId::new("site").unwrap(), NodeId::new("host-1").unwrap())
    ///     .candidate()
    ///     .found(Founding::Expect(3))
    ///     .build()
    ///     .unwrap();
    /// assert!(config.warnings().is_empty());
    /// ```
    pub fn builder(convention: ConventionId, id: NodeId) -> ConfigBuilder {
        ConfigBuilder(Self {
            convention,
            id,
            standing: Standing::Member,
            priority: 0,
            founding: None,
            heartbeat: Duration::from_secs(1),
            detect: 3,
            drift_ppm: 1_000,
            death_evidence: true,
            multicast: true,
            broadcast: false,
            seeds: false,
            max_members: 65_536,
            max_strangers: 1_024,
            subscribe: false,
            outbound_only: false,
            capabilities: Capabilities::new(),
            preempt: None,
            policy: Policy::Quorum,
            messages: MessageLimits::default(),
            request_patience: None,
            warnings: Vec::new(),
        })
    }

    /// What will work but probably isn't meant, a sentence each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The convention's name.
    #[must_use]
    pub fn convention(&self) -> &ConventionId {
        &self.convention
    }

    /// This node's name.
    #[must_use]
    pub fn id(&self) -> &NodeId {
        &self.id
    }

    /// Whether this node may lead or vote.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether this node follows the whole roll as a plain member.
    #[must_use]
    pub fn subscribes(&self) -> bool {
        self.subscribe
    }

    /// Whether others can't connect to this node.
    #[must_use]
    pub fn outbound_only(&self) -> bool {
        self.outbound_only
    }

    /// The interval of heartbeats.
    #[must_use]
    pub fn heartbeat(&self) -> Duration {
        self.heartbeat
    }

    /// D: the silence after which a node is taken for gone, interval × misses.
    #[must_use]
    pub fn detection(&self) -> Duration {
        self.heartbeat * self.detect
    }

    /// How long a leader's lease lasts from the sending of the newest heartbeat that a majority acknowledged:
    /// D·(1−ρ)/(1+ρ) less a margin of D/50.
    #[must_use]
    pub fn lease(&self) -> Duration {
        let d = self.detection().as_micros() as u64;
        let rho = u64::from(self.drift_ppm);
        let shrunk = d / 1_000 * (1_000_000 - rho) / (1_000_000 + rho) * 1_000;
        Duration::from_micros(shrunk - d / 50)
    }

    /// What a side without a majority does.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Under [`Policy::Available`]: how long a side has no leader, beyond the silence that showed it, until it gives up the
    /// voters that it doesn't reach. Twice the detection time, in which those that do reach each other elect one if they
    /// can, and four election rounds.
    #[must_use]
    pub fn parting(&self) -> Duration {
        self.detection() * 2 + self.step() * 16
    }

    /// One election step: how much later each further rank bids, and the round of a canvass. A tenth of the heartbeat
    /// interval, from 5 ms to 100 ms.
    #[must_use]
    pub fn step(&self) -> Duration {
        (self.heartbeat / 10).clamp(Duration::from_millis(5), Duration::from_millis(100))
    }
}

/// Builds a [`Config`].
#[derive(Debug, Clone)]
#[must_use]
pub struct ConfigBuilder(Config);

impl ConfigBuilder {
    /// May lead, and votes. Needs [`ConfigBuilder::found`].
    pub fn candidate(mut self) -> Self {
        self.0.standing = Standing::Candidate;
        self
    }

    /// Votes, holds the whole roll, never leads. Needs [`ConfigBuilder::found`].
    pub fn witness(mut self) -> Self {
        self.0.standing = Standing::Witness;
        self
    }

    /// The place in the line: larger first, equal ones by admission (0).
    pub fn priority(mut self, priority: i32) -> Self {
        self.0.priority = priority;
        self
    }

    /// How a convention begins; candidates and witnesses have to say it.
    pub fn found(mut self, founding: Founding) -> Self {
        self.0.founding = Some(founding);
        self
    }

    /// The interval of heartbeats (1 s): 5 ms to 1 h.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.0.heartbeat = interval;
        self
    }

    /// How many intervals of silence until a node is taken for gone (3): 2 to 100.
    pub fn detect(mut self, intervals: u32) -> Self {
        self.0.detect = intervals;
        self
    }

    /// ρ, the bound on how much the rates of two clocks differ from true time, in parts per million (1,000): 0 to 100,000.
    pub fn drift_ppm(mut self, ppm: u32) -> Self {
        self.0.drift_ppm = ppm;
        self
    }

    /// Whether a refused connection proves a dead process (true). Turn it off where a firewall refuses in the name of
    /// hosts, or where an advertised address differs from the bound one (a driver does that by itself): this node then takes no refusal for a proof, and
    /// tells all others that none of its own addresses is one.
    pub fn death_evidence(mut self, on: bool) -> Self {
        self.0.death_evidence = on;
        self
    }

    /// Whether there is multicast to find others by (true).
    pub fn multicast(mut self, on: bool) -> Self {
        self.0.multicast = on;
        self
    }

    /// Whether to seek by limited broadcast as well (false).
    pub fn broadcast(mut self, on: bool) -> Self {
        self.0.broadcast = on;
        self
    }

    /// Whether there are seeds to seek at (false). Their addresses are the driver's matter.
    pub fn seeds(mut self, on: bool) -> Self {
        self.0.seeds = on;
        self
    }

    /// The most members that the roll takes (65,536): 1 to 1,000,000. A leader that was struck off while it was away has a place
    /// beyond that.
    pub fn max_members(mut self, n: usize) -> Self {
        self.0.max_members = n;
        self
    }

    /// The most connections that others made and that have not said yet who they are (1,024): 16 to 1,000,000. For one
    /// more the oldest is closed and counted (`streams_cut_crowded` in [`super::Stats`]), and so is each that says nothing
    /// within the detection time (`streams_cut_silent`). How many there may be in all is the driver's matter
    /// ([`crate::net`], `NetConfigBuilder::max_streams`).
    pub fn max_strangers(mut self, n: usize) -> Self {
        self.0.max_strangers = n;
        self
    }

    /// Whether to follow the whole roll as a plain member: [`super::Event::Joined`], `Left`, `Updated`, `Line` and `Name` for
    /// every member (false). Candidates and witnesses always do.
    pub fn subscribe(mut self, on: bool) -> Self {
        self.0.subscribe = on;
        self
    }

    /// Others can't connect to this node, and no datagram reaches it that answers none of its own: it is behind a firewall
    /// or a translation of addresses. It is a full member: it keeps a connection to a supporter, over which it is called by
    /// those who have something to say to it, and connects to them; with another one like it, it talks through that
    /// supporter. A voter has to be connected to by all others, so candidates and witnesses can't be of this kind.
    pub fn outbound_only(mut self) -> Self {
        self.0.outbound_only = true;
        self
    }

    /// Whether this node, while it leads, hands over to a candidate of earlier rank that has been in sync for so long
    /// (never): at least the detection time, at most a day. After a handover that failed it waits longer, twice as long
    /// each time.
    pub fn preempt(mut self, after: Option<Duration>) -> Self {
        self.0.preempt = after;
        self
    }

    /// What a side without a majority of the voters does ([`Policy::Quorum`]: it waits). The same at all nodes.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.0.policy = policy;
        self
    }

    /// What this node says that it can do. The key `leader` is derived: who leads has `leader=yes`, and nobody else is found by it.
    pub fn capabilities(mut self, capabilities: Capabilities) -> Self {
        self.0.capabilities = capabilities;
        self
    }

    /// How much memory and time messages may take.
    pub fn messages(mut self, limits: MessageLimits) -> Self {
        self.0.messages = limits;
        self
    }

    /// How long this node's requests to the leader wait for their answers, a leader included, until it is told that their
    /// outcome is unknown (for ever): at least 1 ms. It may be given to an embedder after that.
    pub fn request_patience(mut self, patience: Option<Duration>) -> Self {
        self.0.request_patience = patience.map(|p| p.max(Duration::from_millis(1)));
        self
    }

    /// Checks it all.
    ///
    /// # Errors
    /// [`ConfigError`], a sentence that says what to do.
    pub fn build(mut self) -> Result<Config, ConfigError> {
        self.check().map_err(ConfigError)?;
        self.warn();
        Ok(self.0)
    }

    fn check(&self) -> Result<(), String> {
        let c = &self.0;
        if c.heartbeat < Duration::from_millis(5) || c.heartbeat > Duration::from_secs(3_600) {
            return Err(format!("heartbeat is {:?}: choose 5 ms to 1 h", c.heartbeat));
        }
        if !(2..=100).contains(&c.detect) {
            return Err(format!("detect is {}: choose 2 to 100 intervals", c.detect));
        }
        if c.drift_ppm > 100_000 {
            return Err(format!("drift is {} ppm: choose at most 100,000", c.drift_ppm));
        }
        let longest = Duration::from_secs(86_400);
        if let Some(after) = c.preempt.filter(|p| *p < c.detection() || *p > longest) {
            return Err(format!(
                "preempt is {after:?}: choose never, or {:?} (the detection time) to {longest:?}",
                c.detection()
            ));
        }
        if !(1..=1_000_000).contains(&c.max_members) {
            return Err(format!("max_members is {}: choose 1 to 1,000,000", c.max_members));
        }
        if !(16..=1_000_000).contains(&c.max_strangers) {
            return Err(format!("max_strangers is {}: choose 16 to 1,000,000", c.max_strangers));
        }
        c.messages.check()?;
        if !(c.multicast || c.broadcast || c.seeds || matches!(c.founding, Some(Founding::Alone))) {
            return Err("there is no way to find others: allow multicast or broadcast, or name a seed".into());
        }
        if c.outbound_only && c.standing.votes() {
            return Err("a candidate or witness has to be connected to by the others: make it a plain member, or let \
                        it be reached (not outbound-only)"
                .into());
        }
        match (&c.founding, c.standing.votes()) {
            (None, true) => {
                Err("a candidate or witness has to say how a convention begins: expect=N, list=… or alone".into())
            }
            (Some(_), false) => {
                Err("a plain member founds nothing: make it a candidate, or leave the founding out".into())
            }
            (Some(Founding::Expect(0)), _) => Err("expect=0 would found without anybody: say at least expect=1".into()),
            (Some(Founding::Expect(n)), _) if *n > crate::types::MAX_SEATS => {
                Err(format!("expect={n}: a line holds at most {} seats; 3 to 7 are usual", crate::types::MAX_SEATS))
            }
            (Some(Founding::List(l)), _) => self.check_list(l),
            (Some(Founding::Alone), _) if c.standing == Standing::Witness => {
                Err("a witness never leads, so it can't found alone: make it a candidate".into())
            }
            _ => Ok(()),
        }
    }

    fn check_list(&self, list: &[NodeId]) -> Result<(), String> {
        let distinct: std::collections::BTreeSet<_> = list.iter().collect();
        if list.is_empty() || list.len() > crate::types::MAX_SEATS {
            return Err(format!("the list names {} candidates: name 1 to {}", list.len(), crate::types::MAX_SEATS));
        }
        if distinct.len() != list.len() {
            return Err("the list names a candidate twice: name each once".into());
        }
        if !list.contains(&self.0.id) {
            return Err(format!("the list doesn't name this candidate ({}): add it", self.0.id));
        }
        Ok(())
    }

    fn warn(&mut self) {
        if self.0.outbound_only && !self.0.seeds {
            self.0.warnings.push(
                "an outbound-only node may hear neither multicast nor an answer to it: name a seed or two as well"
                    .into(),
            );
        }
        let n = match &self.0.founding {
            Some(Founding::Expect(n)) => *n,
            Some(Founding::List(l)) => l.len(),
            _ => return,
        };
        if n.is_multiple_of(2) {
            self.0.warnings.push(format!(
                "{n} candidates tolerate the loss of no more than {} would: an odd number is better",
                n - 1
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> ConfigBuilder {
        Config::builder(ConventionId::new("c").unwrap(), NodeId::new("a").unwrap())
    }

    #[test]
    fn what_cannot_work_is_refused_with_a_sentence() {
        let cases = [
            (builder().heartbeat(Duration::ZERO), "heartbeat"),
            (builder().detect(1), "detect"),
            (builder().drift_ppm(100_001), "drift"),
            (builder().max_members(0), "max_members"),
            (builder().preempt(Some(Duration::from_millis(2_999))), "preempt"),
            (builder().multicast(false), "no way to find"),
            (builder().candidate(), "has to say how"),
            (builder().candidate().found(Founding::Alone).outbound_only(), "be connected to"),
            (builder().found(Founding::Alone), "plain member"),
            (builder().candidate().found(Founding::Expect(0)), "expect=0"),
            (builder().candidate().found(Founding::Expect(16)), "at most 15"),
            (builder().witness().found(Founding::Alone), "witness never leads"),
            (builder().candidate().found(Founding::List(vec![])), "names 0"),
            (builder().candidate().found(Founding::List(vec![NodeId::new("b").unwrap()])), "doesn't name this"),
        ];
        for (builder, part) in cases {
            let error = builder.build().unwrap_err().to_string();
            assert!(error.contains(part), "{error:?} should say {part:?}");
        }
    }

    #[test]
    fn an_even_number_of_candidates_is_worth_a_warning() {
        let config = builder().candidate().found(Founding::Expect(4)).build().unwrap();
        assert_eq!(config.warnings().len(), 1);
    }

    #[test]
    fn the_lease_is_shorter_than_the_detection_time() {
        for (ms, ppm) in [(5, 0), (100, 1_000), (1_000, 100_000), (3_600_000, 5)] {
            let config = builder().heartbeat(Duration::from_millis(ms)).drift_ppm(ppm).build().unwrap();
            let d = config.detection().as_secs_f64();
            let rho = f64::from(ppm) / 1e6;
            assert!(config.lease().as_secs_f64() <= d * (1.0 - rho) / (1.0 + rho));
            assert!(config.lease().as_secs_f64() > d * 0.75);
        }
    }
}
