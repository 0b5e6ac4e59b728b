//! One node: the router between the machines of the core.
//!
//! Every input first expires what has ended by its `now` (a lease above all), then goes to the machines it concerns, then
//! [`Node::settle`] tells what changed and finds the next deadline.

mod asking;
mod broadcasting;
mod commands;
mod crossing;
mod datagrams;
mod electing;
mod finding;
mod following;
mod founder;
mod handing;
mod hosting;
mod leading;
mod lineages;
mod looks;
mod members;
mod merging;
mod messages;
mod moving;
mod naming;
mod recovering;
mod relaying;
mod requesting;
mod standing;
mod starting;
mod streams;
mod subscribing;
mod telling;
mod unbinding;

use super::asks::Asks;
#[cfg(feature = "sim")]
use super::border::Stats;
use super::border::{Dest, Lane, StoreWrite, StreamInput, StreamOutput};
use super::broadcasts::{Listener, Sayings, Speaker};
use super::campaign::{Campaign, Canvassers};
use super::config::Config;
use super::detector::Detector;
use super::event::{Event, Notice, Role, StopReason};
use super::follower::Follower;
use super::founding::Founding;
use super::handover::{Handover, Preemption};
use super::lanes::Lanes;
use super::leadership::{Leadership, Sending};
use super::log::Log;
use super::merging::Merging;
use super::names::{Claimant, Claims};
use super::outbox::Outbox;
use super::peers::Peers;
#[cfg(feature = "planted-bugs")]
use super::planted::Bug;
use super::planted::Planted;
use super::questions::{Findings, Questions};
use super::recovery::Recovery;
use super::registrar::Registrar;
use super::requests::desk::Desk;
use super::rng::Rng;
use super::subscriber::Subscriber;
use super::voter::Voter;
use crate::types::{
    Capabilities, ConnId, Generation, Identity, Incarnation, Index, Lineage, MemberInfo, NodeId, Position, Slot,
    Standing, Term, Time,
};
use crate::wire::Resigned;
use bytes::BytesMut;
use hosting::{Hosting, Telling};
use requesting::Requesting;
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// What a node has only while it leads.
#[derive(Debug, Clone)]
struct Lead {
    leadership: Leadership,
    detector: Detector,
    registrar: Registrar,
    /// Diskless voters that leave: off the line first, and not put back on it meanwhile.
    retiring: BTreeSet<NodeId>,
    claims: Claims,
    desk: Desk,
    telling: Telling,
    sayings: Sayings,
}

/// A snapshot that comes in.
#[derive(Debug, Clone)]
struct Incoming {
    from: Identity,
    term: Term,
    position: Position,
    total: u32,
    data: BytesMut,
}

/// An orderly leave under way.
#[derive(Debug, Clone, Copy)]
struct Leaving {
    next: Time,
    until: Time,
}

/// A move to another address under way.
#[derive(Debug, Clone, Copy)]
struct Moving {
    /// By which ways others are found there: multicast, seeds.
    multicast: bool,
    seeds: bool,
    /// A voter is off the line by then, or goes without it.
    until: Time,
}

/// What was told to the embedder last.
#[derive(Debug, Clone)]
struct Told {
    role: Role,
    leader: Option<NodeId>,
    term: Term,
    lineage: Lineage,
    /// The lineage of the leader that was told last.
    led_in: Lineage,
    line_version: Option<u32>,
    /// Whether the roll as it was installed was told: a founder waits with it for the first commit.
    roll: bool,
    registered: Option<(Lineage, Slot, Generation)>,
    foreign: Vec<Lineage>,
    waiting: Option<Notice>,
    version_mismatch: bool,
    /// Since this node said that it is isolated, until it is merged again.
    apart: Option<Apart>,
    /// It moved: what is known of a lineage from before that counts as never told.
    anew: bool,
}

/// What a node knew when it was isolated.
#[derive(Debug, Clone)]
struct Apart {
    lost: Vec<NodeId>,
    members: BTreeSet<NodeId>,
}

/// One node of a convention: give it time and bytes, take sends, deadlines and events from it.
///
/// `handle_*` may be called any number of times before draining; the `poll_*` calls only take out what is there. It reads
/// no clock, no random device and no socket: the same inputs at the same times give the same outputs. A panic is a bug.
///
/// ```
/// use convoke::proto::{Config, Founding, Node, Role, Start};
/// use convoke::types::{ConventionId, NodeId, Time};
///
/// let config = Config::builder(ConventionId::new("site").unwrap(), NodeId::new("a").unwrap())
///     .candidate()
///     .found(Founding::Alone)
///     .build()
///     .unwrap();
/// let addrs = vec!["127.0.0.1:7000".parse().unwrap()];
/// let start = Start { seed: 1, wall_clock_us: 1, addrs, durable: false, restored: None };
/// let mut node = Node::new(config, start, Time::ZERO);
/// while node.role() != Role::Leader {
///     let now = node.poll_timeout().unwrap();
///     node.handle_timeout(now);
///     while node.poll_transmit(&mut Vec::new()).is_some() {}
///     while node.poll_event().is_some() {}
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Node {
    config: Config,
    /// What it is. It says of itself what it wants to be ([`Node::description`]).
    me: MemberInfo,
    wanted: Standing,
    out: Outbox,
    rng: Rng,
    log: Log,
    voter: Voter,
    peers: Peers,
    lanes: Lanes,
    campaign: Campaign,
    follower: Follower,
    founding: Founding,
    lead: Option<Lead>,
    /// The roll of the lineage that was left last, as far as it was told: where that lineage lives after all, and is
    /// entered again, only what changed is told.
    abandoned: Option<Log>,
    incoming: Option<Incoming>,
    /// What is left of a line that can't go on.
    recovery: Recovery,
    merging: Merging,
    /// The roll of the parent, and the one that was told (that one, as a rule), until the first entry of the child is committed.
    inherited: Option<(Log, Option<Log>)>,
    /// The answers that its founding of a child put on the roll: in the parent they may not have been committed.
    #[cfg(feature = "sim")]
    pub(crate) answers_founded: Vec<(NodeId, u64, bytes::Bytes)>,
    /// How far the roll was with which it went over to another lineage last.
    #[cfg(feature = "sim")]
    pub(crate) crossed_at: Index,
    /// No roll is offered to a voter that holds none before this.
    next_offer: Time,
    /// Whose newer roll this voter asked for, outside of any bid, and where its own one ended then.
    catching_up: Option<(Identity, Position)>,
    /// A snapshot that is given to a bidder.
    serving: Option<(Identity, Sending)>,
    /// Those who canvassed lately and were refused: told when this voter gets free.
    canvassers: Canvassers,
    /// Members that this candidate probes for the leader: where the answer goes.
    asked: VecDeque<(Slot, Generation, SocketAddr, NodeId)>,
    claimant: Claimant,
    keeping: relaying::Keeping,
    requesting: Requesting,
    questions: Questions,
    asks: Asks,
    /// Who has what is asked for: what the leader was asked, and for which question.
    seekers: Questions,
    findings: Findings,
    seeking: Vec<(u64, Capabilities)>,
    subscriber: Subscriber,
    /// The lineage whose roll it follows.
    subscribed: Lineage,
    hosting: Hosting,
    speaker: Speaker,
    /// The incarnation under which it hands its broadcasts over.
    spoke_as: Incarnation,
    listener: Listener,
    /// The lineage that it was on the roll of last, and what that was founded out of.
    family: Vec<Lineage>,
    /// That had nothing to do with the one before it.
    came_anew: bool,
    /// There is more for the embedder than there is room for.
    waits_for_room: bool,
    /// The writes that are under way, with the last index that each makes durable.
    storing: VecDeque<(u64, Index)>,
    durable_index: Index,
    /// The write after which the own promise of the present bid is durable.
    bid_ticket: u64,
    /// No bid of its own before this: it resigned.
    abstain_until: Time,
    leaderless_since: Time,
    /// Its lease ended, though it was there in time to see it renewed: it has no majority. Until it knows a leader.
    lease_lost: bool,
    /// The voters whose acknowledgements were missing when the lease ended.
    mute: Vec<Identity>,
    /// How far the leader's roll was committed by its latest heartbeat.
    heard_commit: Index,
    /// When somebody with a roll last spoke of this node's lineage.
    lineage_seen: Time,
    leaving: Option<Leaving>,
    handover: Option<Handover>,
    /// How often it invited somebody to succeed it.
    invitations: u32,
    preemption: Preemption,
    moving: Option<Moving>,
    /// How often it took the place of another process of its id.
    overtook: u8,
    stopped: bool,
    told: Told,
    deadline: Time,
    late_noted: Time,
    /// The highest term that seekers named: a founding begins above it.
    sought: Term,
    bug: Planted,
}

impl Node {
    /// An election round: how long one that was granted is protected, and a canvass waits for answers.
    fn round_of(config: &Config) -> Duration {
        config.step() * 4
    }

    fn round(&self) -> Duration {
        Self::round_of(&self.config)
    }

    /// Plants a bug on purpose, right after [`Node::new`]: for tests of the checkers.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(&mut self, bug: Bug) {
        self.bug = Planted::new(bug);
        self.voter.plant(self.bug);
        self.recovery.bug = self.bug;
        self.merging.bug = self.bug;
        self.peers.bug = self.bug;
        self.lanes.plant(self.bug);
        self.listener.bug = self.bug;
        self.follower.bug = self.bug;
        self.asks.bug = self.bug;
        self.log.plant(self.bug);
        self.subscriber.bug = self.bug;
        self.campaign.skip_fetch = bug == Bug::LeadWithoutFetching;
        self.campaign.never_again = bug == Bug::NeverBidAgain;
        if bug == Bug::ForgetSeenTerm {
            self.voter.promise.seen = Term::ZERO;
            self.voter.promise.term = Term::ZERO;
            self.told.term = Term::ZERO;
        }
    }

    /// Forgets its counters: for explorers of states, to whom two nodes that differ in nothing else are the same.
    #[cfg(feature = "sim")]
    pub(crate) fn forget_counters(&mut self) {
        self.out.stats = Stats::default();
    }

    // ---- Inputs ----

    /// Takes a datagram. Hostile bytes are counted in [`Node::stats`] and change nothing.
    pub fn handle_datagram(&mut self, now: Time, from: SocketAddr, lane: Lane, bytes: &[u8]) {
        if self.begin(now) {
            self.datagram(now, from, lane, bytes);
            self.settle(now);
        }
    }

    /// Takes what happened to a stream.
    pub fn handle_stream(&mut self, now: Time, conn: ConnId, input: StreamInput<'_>) {
        if let StreamInput::Written(n) = input {
            self.touch(now);
            return self.lanes.written(conn, n);
        }
        if !self.begin(now) {
            return;
        }
        let accepted = matches!(input, StreamInput::Accepted(_));
        if self.subscriber.owns(conn) {
            self.subscription_stream(now, conn, input);
        } else if self.lanes.owns(conn) || accepted && !self.me.standing.votes() {
            self.lanes_stream(now, conn, input);
        } else {
            self.peers_stream(now, conn, input);
        }
        self.settle(now);
    }

    /// Does what is due. Read what waits in the sockets first: a node that was late judges nobody before it has.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.begin(now) {
            self.tick(now);
            self.settle(now);
        }
    }

    /// The write of this number, and all before it, are durable.
    pub fn handle_stored(&mut self, now: Time, seq: u64) {
        // Also of a node that has stopped: its last events wait for it.
        self.out.stored(seq);
        if !self.begin(now) {
            return;
        }
        while self.storing.front().is_some_and(|(ticket, _)| *ticket <= self.out.durable()) {
            if let Some((_, index)) = self.storing.pop_front() {
                self.durable_index = self.durable_index.max(index.min(self.log.last().index));
            }
        }
        self.advance_commit(now);
        self.decide_bid(now);
        self.decide_recovery(now);
        self.settle(now);
    }

    /// The store can't be written: this node grants nothing and decides nothing any more. A leader resigns.
    pub fn handle_store_failed(&mut self, now: Time) {
        // Also where it has stopped: what it still had to tell waits for no store any more.
        self.out.fail_store();
        if self.begin(now) {
            self.resign(now, false);
            self.stop(StopReason::Store);
        }
    }

    // ---- Outputs ----

    /// Takes the next datagram: `buf` is cleared and holds its bytes.
    pub fn poll_transmit(&mut self, buf: &mut Vec<u8>) -> Option<Dest> {
        self.out.poll_transmit(buf)
    }

    /// True once where this node has left its convention and begins anew by [`crate::proto::Command::Move`]: what it gives out from now on
    /// is meant for the new address, and nothing of it comes before this was asked.
    pub fn poll_move(&mut self) -> bool {
        self.out.poll_move()
    }

    /// Takes the next order about streams.
    pub fn poll_stream(&mut self) -> Option<StreamOutput> {
        self.lanes.poll_stream(&mut self.out)
    }

    /// Takes the next records to make durable. Nothing without a store.
    pub fn poll_store(&mut self) -> Option<StoreWrite> {
        self.out.poll_store()
    }

    /// When [`Node::handle_timeout`] is due; nothing where the node has stopped.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let room = self.waits_for_room && self.out.has_room();
        let held_up = if room { Time::ZERO } else { Time::NEVER };
        (!self.stopped).then(|| self.deadline.min(self.lanes.deadline()).min(held_up))
    }

    /// Takes the next event. One that is a message is acknowledged by that: what isn't taken holds up its sender, and
    /// nobody else.
    pub fn poll_event(&mut self) -> Option<Event> {
        let first = self.out.poll_event().or_else(|| self.requesting.poll_event()).or_else(|| self.asks.poll_outcome());
        if self.out.is_quiet() {
            return first.or_else(|| self.lanes.poll_outcome(&mut self.out));
        }
        first.or_else(|| self.lanes.poll_event(&mut self.out)).or_else(|| self.asks.poll_asked())
    }

    /// Takes the next event that is no message, none that came back, no request, no answer, and no room for more: for those
    /// who have no room for messages themselves.
    pub fn poll_notice(&mut self) -> Option<Event> {
        // A broadcast has its place among other events: those behind it wait with it, but at the end.
        if self.stopped { self.out.poll_event() } else { self.out.poll_notice() }
    }

    /// True where events wait: behind a broadcast, or for what has to be stored first.
    #[cfg(feature = "sim")]
    pub(crate) fn has_event(&self) -> bool {
        self.out.has_event()
    }

    /// True where a message waits, or a request, or an answer.
    #[must_use]
    pub fn has_message(&self) -> bool {
        !self.out.is_quiet() && (self.lanes.has_message() || self.asks.has_any()) || self.requesting.has_event()
    }

    // ---- What every input goes through ----

    /// Expires what has ended; false where the node has stopped.
    fn begin(&mut self, now: Time) -> bool {
        if self.stopped {
            return false;
        }
        if self.lead.as_ref().is_some_and(|l| l.leadership.expired(now)) {
            self.out.stats.leases_lost += 1;
            self.mute = self.mute_voters(now);
            self.resign(now, true);
            self.lease_lost = now - self.deadline <= self.tolerated_lateness();
        }
        self.note_lateness(now);
        true
    }

    fn tolerated_lateness(&self) -> Duration {
        (self.config.heartbeat() / 4).max(Duration::from_millis(10))
    }

    fn note_lateness(&mut self, now: Time) {
        let late = now - self.deadline;
        if late <= self.tolerated_lateness() || self.deadline <= self.late_noted {
            return;
        }
        self.late_noted = self.deadline;
        self.out.stats.late += 1;
        self.out.event(Event::Network(Notice::Late(late.as_micros() as u64)));
        self.voter.excuse(late);
        self.peers.excuse(now);
        self.lanes.excuse(now);
        self.follower.excuse(now, late);
        if let Some(lead) = &mut self.lead {
            lead.detector.excuse(now, late);
        }
    }

    /// What is due by time alone.
    fn tick(&mut self, now: Time) {
        let mut told = Vec::new();
        self.peers.tick(now, &mut self.out, &mut told);
        self.peer_events(now, told);
        self.lanes.tick(now, &mut self.out);
        self.tick_follower(now);
        self.tick_founding(now);
        self.tick_campaign(now);
        self.tick_recovery(now);
        self.tick_leader(now);
        self.tick_merging(now);
        self.tick_leaving(now);
    }

    /// Tells what changed and finds the next deadline.
    fn settle(&mut self, now: Time) {
        if self.stopped {
            return;
        }
        self.drive_handover(now);
        self.drive_merging(now);
        if self.stopped {
            return;
        }
        self.follow_line(now);
        self.tick_moving(now);
        if self.stopped {
            return;
        }
        self.lanes_settle(now);
        self.settle_broadcasts(now);
        self.send_said(now);
        self.tick_keeping(now);
        self.find_ways(now);
        self.schedule_campaign(now);
        self.tick_claims(now);
        self.tick_subscription(now);
        self.tick_questions(now);
        self.tick_asks(now);
        self.tell(now);
        self.listen(now);
        self.find_deadline(now);
    }

    fn find_deadline(&mut self, now: Time) {
        let mut at = self.peers.deadline().min(self.lanes.deadline()).min(self.merging_deadline());
        if self.lead.is_none() {
            at = at.min(self.follower.deadline(self.beats(), self.joined()));
        }
        if self.me.standing.votes() && self.voter.promise.lineage == Lineage::ZERO {
            at = at.min(self.founding.deadline());
        }
        if self.me.standing.votes() {
            at = at.min(self.campaign.deadline()).min(self.voter.silent_at());
            at = at.min(self.isolated_at()).min(self.recovery_deadline());
        } else {
            at = at.min(self.member_silent_at());
        }
        if let Some(lead) = &self.lead {
            at = at.min(lead.leadership.next_heartbeat).min(lead.detector.deadline()).min(lead.leadership.expires_at());
            at = at.min(self.stalled_at()).min(lead.telling.deadline());
        }
        if self.follows_now() {
            at = at.min(self.subscriber.deadline());
        }
        if self.lead.is_none() && self.follower.addressee().is_some() {
            at = at.min(self.claimant.deadline()).min(self.questions.deadline());
        }
        at = at.min(self.keeping_deadline()).min(self.asks_deadline());
        at = at.min(self.broadcasts_deadline());
        at = at.min(self.requests_deadline());
        if let Some(handover) = &self.handover {
            at = at.min(handover.until);
        }
        if let Some(leaving) = self.leaving {
            at = at.min(leaving.next).min(leaving.until);
        }
        if let (Some(moving), None) = (&self.moving, self.leaving) {
            at = at.min(moving.until);
        }
        // A deadline that its own handling doesn't move must not spin.
        self.deadline = at.max(now + Duration::from_micros(200));
    }

    fn is_candidate(&self) -> bool {
        self.me.standing == Standing::Candidate
    }

    fn stop(&mut self, reason: StopReason) {
        if self.stopped {
            return;
        }
        self.lead = None;
        self.stopped = true;
        self.told.role = Role::Stopped;
        self.return_broadcasts();
        self.lanes.stop(&mut self.out);
        while let Some(event) = self.lanes.poll_outcome(&mut self.out) {
            // Who was refused may not send any more, whatever room there is.
            if !matches!(event, Event::Writable { .. }) {
                self.out.event(event);
            }
        }
        self.end_requests();
        self.asks.stop();
        while let Some(event) = self.asks.poll_outcome() {
            self.out.event(event);
        }
        self.out.event(Event::Role { role: Role::Stopped, term: self.term() });
        self.out.event(Event::Stopped(reason));
    }

    /// Ends this node's leadership, if any; `tell` says so to all.
    fn resign(&mut self, now: Time, tell: bool) {
        let Some(lead) = self.lead.take() else { return };
        let term = lead.leadership.term;
        self.voter.resigned(now);
        self.abstain_until = now + self.round() * 2;
        self.leaderless_since = now;
        self.campaign.wait_until(self.abstain_until);
        if !tell {
            return;
        }
        let resigned = Resigned { lineage: self.voter.promise.lineage, term, identity: self.voter.identity() };
        let conns: Vec<ConnId> = self.peers.ready().map(|(_, c)| c).collect();
        for conn in conns {
            self.out.send(conn, crate::wire::Message::Resigned(resigned));
        }
        if self.config.multicast {
            self.out.datagram(Dest::Floor, crate::wire::Datagram::Resigned(resigned));
        }
    }
}
