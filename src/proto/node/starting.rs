//! How a node begins: at its start, and anew where it was pointed at another convention.

use super::super::asks::Asks;
use super::super::border::Start;
use super::super::broadcasts::{Listener, Speaker};
use super::super::campaign::{Campaign, Canvassers};
use super::super::follower::Follower;
use super::super::founding::{Bound, Founding};
use super::super::handover::Preemption;
use super::super::lanes::Lanes;
use super::super::log::Log;
use super::super::merging::Merging;
use super::super::names::Claimant;
use super::super::outbox::Outbox;
use super::super::peers::Peers;
use super::super::planted::Planted;
use super::super::questions::{Findings, Questions};
use super::super::recovery::Recovery;
use super::super::rng::Rng;
use super::super::subscriber::Subscriber;
use super::super::voter::Voter;
use super::hosting::Hosting;
use super::lineages::family;
use super::requesting::Requesting;
use super::{Config, Event, Node, Role, Told, members};
use crate::types::{Identity, Incarnation, Index, Lineage, MAX_ADDRS, MemberInfo, Term, Time};
use crate::wire::{Hello, Promise, Record};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// What is there already when a node begins.
pub(super) struct Beginning {
    pub(super) promise: Promise,
    /// It voted before, and goes on as the voter that it was.
    pub(super) was_voter: bool,
    pub(super) log: Log,
    /// The founding that it accepted and that still binds it.
    pub(super) bound: Option<Bound>,
    pub(super) addrs: Vec<SocketAddr>,
    pub(super) durable: bool,
}

impl Told {
    /// Nothing yet.
    fn at_first(term: Term, lineage: Lineage) -> Self {
        Self {
            role: Role::Seeking,
            leader: None,
            term,
            lineage,
            led_in: lineage,
            line_version: None,
            roll: false,
            registered: None,
            foreign: Vec::new(),
            waiting: None,
            version_mismatch: false,
            apart: None,
            anew: false,
        }
    }
}

impl Node {
    /// A node that begins to look for its convention at `now`.
    ///
    /// With a store, what [`Start::restored`] holds is taken up: the voter keeps its identity, its promises and its roll.
    #[must_use]
    pub fn new(config: Config, start: Start, now: Time) -> Self {
        let mut rng = Rng::new(start.seed);
        let fresh = rng.nonzero();
        let restored = start.restored.filter(|_| start.durable).unwrap_or_default();
        let mut promise = restored.promise;
        let was_voter = promise.identity != Identity::ZERO;
        if !was_voter {
            promise = Promise { identity: Identity(fresh), ..Promise::default() };
        }
        let log = restored.image.as_ref().map_or_else(Log::empty, |image| Log::restore(image, restored.entries));
        let mut bound = None;
        // A sealed promise stands, even of one that holds nothing of the lineage.
        if log.is_empty() && promise.lineage != Lineage::ZERO && !promise.sealed {
            // Nothing of it came here. Where its founding was accepted for good, this node takes part in no other.
            bound = Bound::of(&promise);
            promise.founder = None;
            promise.party.clear();
            promise.lineage = Lineage::ZERO;
            promise.granted = None;
        }
        promise.term = promise.term.max(log.last().term);
        promise.seen = promise.seen.max(promise.term);
        // A plain member that was a candidate before neither keeps a roll up nor votes. Its store stays as it is, for the
        // case that it is configured as a candidate again.
        let log = if config.standing.votes() { log } else { Log::empty() };
        promise.incarnation = Incarnation(start.wall_clock_us.max(promise.incarnation.0.saturating_add(1)));
        let out = Outbox::new(config.convention().tag(), start.durable);
        let beginning = Beginning { promise, was_voter, log, bound, addrs: start.addrs, durable: start.durable };
        let mut node = Self::assemble(config, beginning, rng, out, now);
        node.out.event(Event::Role { role: Role::Seeking, term: node.term() });
        node.tell_founding_again();
        node.tell_roll(now);
        node
    }

    /// All that a node is at its beginning, from what is known of earlier ones. Nothing of it is told yet.
    pub(super) fn assemble(config: Config, b: Beginning, mut rng: Rng, mut out: Outbox, now: Time) -> Self {
        let Beginning { promise, was_voter, log, bound, addrs, durable } = b;
        let me = Self::self_description(&config, &promise, addrs, durable);
        let (round, interval, detection) = (Self::round_of(&config), config.heartbeat(), config.detection());
        if bound.is_none() {
            // Else it is stored with what it is bound to, below.
            out.store(Record::Promise(promise.clone()));
        }
        let hello = Hello {
            convention: config.convention().as_str().into(),
            lineage: promise.lineage,
            parents: log.parents().to_vec(),
            term: promise.seen,
            info: me.clone(),
        };
        let lanes = Lanes::new(hello.clone(), &config, now);
        let mut peers = Peers::new(hello, &config, now);
        for seat in log.line().seats() {
            peers.note(now, &members::seat_info(seat), log.lineage(), true);
        }
        let mut founding = Founding::new(config.founding.clone(), now, interval, detection);
        bound.iter().for_each(|bound| founding.bind(bound));
        let follower = Follower::new(now, interval, detection, me.standing.votes(), Rng::new(rng.next()));
        // Drawn apart, so that who doesn't follow the roll draws what it always drew.
        let salt = promise.identity.0 ^ promise.incarnation.0.rotate_left(32);
        let mut node = Self {
            recovery: Recovery::new(now, interval, detection),
            merging: Merging::new(now, interval, detection),
            inherited: None,
            #[cfg(feature = "sim")]
            answers_founded: Vec::new(),
            #[cfg(feature = "sim")]
            crossed_at: Index::ZERO,
            campaign: Campaign::new(config.step(), round, detection),
            told: Told::at_first(promise.seen, promise.lineage),
            spoke_as: promise.incarnation,
            family: family(promise.lineage, log.parents()),
            voter: Voter::new(promise, was_voter, now, detection, round),
            durable_index: log.last().index,
            preemption: Preemption::new(config.preempt),
            requesting: Requesting::new(interval, config.request_patience),
            asks: Asks::new(config.messages.answer, config.messages.queue),
            config,
            wanted: me.standing,
            me,
            out,
            rng,
            log,
            lanes,
            peers,
            follower,
            founding,
            lead: None,
            abandoned: None,
            incoming: None,
            next_offer: now,
            catching_up: None,
            serving: None,
            canvassers: Canvassers::default(),
            asked: VecDeque::new(),
            claimant: Claimant::new(interval),
            keeping: Default::default(),
            questions: Questions::new(interval, Rng::new(salt ^ 1)),
            seekers: Questions::new(interval, Rng::new(salt ^ 2)),
            findings: Findings::default(),
            seeking: Vec::new(),
            subscriber: Subscriber::new(interval, Rng::new(salt)),
            subscribed: Lineage::ZERO,
            hosting: Hosting::default(),
            speaker: Speaker::new(interval, detection * 6 + std::time::Duration::from_secs(2)),
            listener: Listener::new(interval, Rng::new(salt ^ 2)),
            waits_for_room: false,
            storing: VecDeque::new(),
            bid_ticket: 0,
            abstain_until: Time::ZERO,
            leaderless_since: now,
            lease_lost: false,
            mute: Vec::new(),
            heard_commit: Index::ZERO,
            lineage_seen: now,
            leaving: None,
            handover: None,
            invitations: 0,
            moving: None,
            came_anew: false,
            overtook: 0,
            stopped: false,
            deadline: now,
            late_noted: now,
            sought: Term::ZERO,
            bug: Planted::default(),
        };
        node.voter.accept(bound, &mut node.out);
        node.find_deadline(now);
        node
    }

    /// What it says of itself at the beginning of a connection.
    pub(super) fn hello(&self) -> Hello {
        Hello {
            convention: self.config.convention().as_str().into(),
            lineage: self.voter.promise.lineage,
            parents: self.log.parents().to_vec(),
            term: self.voter.promise.seen,
            info: self.me.clone(),
        }
    }

    /// Says it again to all, for it has changed.
    pub(super) fn introduce(&mut self) {
        let hello = self.hello();
        self.peers.introduce(hello, &mut self.out);
    }

    fn self_description(config: &Config, promise: &Promise, mut addrs: Vec<SocketAddr>, durable: bool) -> MemberInfo {
        addrs.truncate(MAX_ADDRS);
        let listed = match &config.founding {
            // The order of the list is the line.
            Some(super::super::config::Founding::List(list)) => {
                list.iter().position(|id| *id == config.id).map(|n| -(n as i32))
            }
            _ => None,
        };
        MemberInfo {
            id: config.id.clone(),
            incarnation: promise.incarnation,
            identity: promise.identity,
            standing: config.standing,
            priority: listed.unwrap_or(config.priority),
            durable,
            multicast: config.multicast,
            provable: config.death_evidence,
            follows: config.subscribe,
            outbound: config.outbound_only,
            addrs,
            revision: 0,
            capabilities: config.capabilities.clone(),
        }
    }
}
