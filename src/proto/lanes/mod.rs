//! Messages for the embedder, between any two nodes of a convention.
//!
//! What is guaranteed, for each pair of a sender's and a receiver's incarnation: messages are delivered in the order in
//! which they were accepted, each at most once, over any number of connections. A message that was accepted by
//! [`super::Node::send`] is delivered or comes back as [`super::Event::Undeliverable`], as long as its sender's process
//! lives; where it was sent and the receiver's acknowledgement didn't come it may have been delivered, and the event says
//! so (`uncertain`). Delivered means: taken out of the receiver by `poll_event`; the acknowledgement follows that. Of an
//! incarnation that was told to have left nothing is delivered any more.
//!
//! | part | concern |
//! | --- | --- |
//! | [`courier`] | what was accepted for one receiver: numbers, frames, acknowledgements |
//! | [`intake`] | what came from one sender: order, duplicates, credit |
//! | [`pool`] | the memory that all senders share |
//! | [`partner`] | both halves of a pair and its connection |
//! | [`links`] | connections of its own: handshake, which of two to keep, idle ones |
//! | [`flow`] | what goes out, and what senders hear of what was taken |
//! | [`care`] | what time brings: finding, dialling, giving up |
//! | [`notes`] | datagrams |
//! | [`circuits`] | ways to those who can't be connected to: calls, and connections through a relay |
//! | [`relay`] | what this node passes on for others |
//!
//! Between two candidates their standing connection carries messages too; all others make one when they have something to
//! say. What the receiver's embedder doesn't take uses up the credit of its senders, each by itself: neither control
//! frames nor other senders wait for it.

mod care;
mod circuits;
mod courier;
mod flow;
mod intake;
mod links;
mod notes;
mod partner;
mod pool;
mod relay;

use super::Config;
use super::border::SendError;
use super::event::{Event, MessageLane, Undelivered};
use super::limits::{self, MessageLimits};
use super::outbox::Outbox;
use super::planted::{Bug, Planted};
use crate::types::{ConnId, Incarnation, Lineage, NodeId, Time};
use crate::wire::{Call, Hello, MAX_NOTE, Message, Open, RecordKind, Ring, View};
use bytes::Bytes;
pub(super) use care::{Answer, Need};
pub(super) use circuits::Keeper;
use circuits::{Circuits, is_circuit};
pub(super) use courier::Record;
use intake::Intake;
pub(super) use links::Greeted;
use links::Link;
use partner::{Line, Partner, Phase};
use pool::Pool;
use relay::Relay;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Nodes that are remembered; beyond it those that have nothing under way are forgotten.
const MAX_PARTNERS: usize = 65_536;
/// How long an acknowledgement may wait for company.
const ACK_DELAY: Duration = Duration::from_millis(10);

/// What came from another node and isn't for the embedder.
#[derive(Debug, Clone)]
pub(super) struct Arrived {
    pub(super) from: NodeId,
    pub(super) incarnation: Incarnation,
    pub(super) record: Record,
}

/// What was accepted for another node, isn't a message, and won't get there.
#[derive(Debug, Clone)]
pub(super) struct Failed {
    pub(super) to: NodeId,
    pub(super) record: Record,
    pub(super) reason: Undelivered,
    /// It may have got there all the same.
    pub(super) uncertain: bool,
}

/// A message that comes back.
#[derive(Debug, Clone)]
struct Returned {
    to: NodeId,
    body: Bytes,
    lane: MessageLane,
    reason: Undelivered,
    uncertain: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Lanes {
    hello: Hello,
    limits: MessageLimits,
    patience: Duration,
    /// How long a connection may be silent while something is waited for.
    silence: Duration,
    step: Duration,
    interval: Duration,
    partners: Vec<Option<Box<Partner>>>,
    free: Vec<usize>,
    by_id: BTreeMap<NodeId, usize>,
    /// Whose messages a connection carries that isn't this machine's own.
    by_conn: BTreeMap<ConnId, usize>,
    /// Its own connections.
    links: BTreeMap<ConnId, Box<Link>>,
    /// Those of them that others made, and that have not said who they are: how many, and the order in which they came.
    strangers: usize,
    unnamed: VecDeque<ConnId>,
    max_strangers: usize,
    next_conn: u64,
    pool: Pool,
    /// What waits for all receivers, and what came back and wasn't taken.
    waiting: usize,
    /// Those to be looked after.
    busy: BTreeSet<usize>,
    /// Those that may send, in turn.
    sendable: VecDeque<usize>,
    /// Those with something for the embedder, in turn.
    ready: VecDeque<usize>,
    starving: VecDeque<usize>,
    owing: Vec<usize>,
    /// Something came of one of them, or was taken, since that was looked at.
    fresh: bool,
    /// When they have to hear it.
    news_at: Time,
    returned: VecDeque<Returned>,
    /// What came in, and what failed, that isn't for the embedder: taken by the node within the same input.
    records: VecDeque<Arrived>,
    failed: VecDeque<Failed>,
    /// Those who were refused for want of room.
    refused: VecDeque<usize>,
    /// Those for whom there wasn't even a place among the partners.
    crowded: BTreeSet<NodeId>,
    writable: VecDeque<NodeId>,
    notes: VecDeque<notes::Arrived>,
    /// Those whose way is to be found.
    wants: Vec<usize>,
    circuits: Circuits,
    pub(super) relay: Relay,
    /// Whose turn it is: the node's own messages, or what goes by circuits; and of those its own, or what it relays.
    pieces_first: bool,
    relay_first: bool,
    /// Frames with datagrams, for connections.
    note_frames: VecDeque<(ConnId, Bytes)>,
    /// What the node has to look at: calls, rings, who leads, and who shook hands.
    calls: VecDeque<(ConnId, Call)>,
    rings: VecDeque<(ConnId, Ring)>,
    leads: VecDeque<(NodeId, View)>,
    greeted: Vec<Greeted>,
    /// Circuits of which frames are here that weren't looked at yet.
    unread: Vec<ConnId>,
    /// Whose connection is kept, so that this node can be reached.
    kept: Option<usize>,
    circuits_at: Time,
    evict_at: usize,
    next_nonce: u64,
    care_at: Time,
    scan_at: Time,
    now: Time,
    pub(super) bug: Planted,
}

impl Lanes {
    pub(super) fn new(hello: Hello, config: &Config, now: Time) -> Self {
        let limits = config.messages.clone();
        let detection = config.detection();
        let patience = limits.patience.unwrap_or((detection * 5).max(Duration::from_secs(2)));
        Self {
            hello,
            patience,
            silence: detection.max(Duration::from_millis(200)),
            step: config.step(),
            interval: config.heartbeat(),
            partners: Vec::new(),
            free: Vec::new(),
            by_id: BTreeMap::new(),
            by_conn: BTreeMap::new(),
            links: BTreeMap::new(),
            strangers: 0,
            unnamed: VecDeque::new(),
            max_strangers: config.max_strangers,
            next_conn: links::FIRST_CONN,
            pool: Pool::new(limits.windows),
            circuits: Circuits::default(),
            relay: Relay::new(limits.relay),
            pieces_first: false,
            relay_first: false,
            note_frames: VecDeque::new(),
            calls: VecDeque::new(),
            rings: VecDeque::new(),
            leads: VecDeque::new(),
            greeted: Vec::new(),
            unread: Vec::new(),
            kept: None,
            circuits_at: Time::NEVER,
            limits,
            waiting: 0,
            busy: BTreeSet::new(),
            sendable: VecDeque::new(),
            ready: VecDeque::new(),
            starving: VecDeque::new(),
            owing: Vec::new(),
            fresh: false,
            news_at: Time::NEVER,
            returned: VecDeque::new(),
            records: VecDeque::new(),
            failed: VecDeque::new(),
            refused: VecDeque::new(),
            crowded: BTreeSet::new(),
            writable: VecDeque::new(),
            notes: VecDeque::new(),
            wants: Vec::new(),
            evict_at: 0,
            next_nonce: 0,
            care_at: Time::NEVER,
            scan_at: Time::NEVER,
            now,
            bug: Planted::default(),
        }
    }

    pub(super) fn plant(&mut self, bug: Planted) {
        (self.bug, self.relay.bug, self.pool.bug) = (bug, bug, bug);
    }

    /// The node began anew: numbers of connections are never used again, and what came back is told yet.
    pub(super) fn go_on_after(&mut self, before: &mut Self) {
        self.next_conn = before.next_conn;
        self.next_nonce = before.next_nonce;
        self.circuits.go_on_after(&before.circuits);
        self.returned = std::mem::take(&mut before.returned);
        self.writable = std::mem::take(&mut before.writable);
        self.waiting = self.returned.iter().map(|r| limits::cost(r.body.len())).sum();
        self.plant(before.bug);
    }

    fn get(&mut self, at: usize) -> Option<&mut Partner> {
        self.partners.get_mut(at)?.as_deref_mut()
    }

    fn partner(&mut self, now: Time, id: &NodeId) -> Option<usize> {
        if let Some(at) = self.by_id.get(id) {
            return Some(*at);
        }
        if self.by_id.len() >= MAX_PARTNERS && !self.forget_one() {
            return None;
        }
        let intake = Intake::new(self.limits.message, self.limits.window);
        let partner = Box::new(Partner::new(id.clone(), intake, now));
        let at = self.free.pop().unwrap_or(self.partners.len());
        if at == self.partners.len() {
            self.partners.push(Some(partner));
        } else {
            self.partners[at] = Some(partner);
        }
        self.by_id.insert(id.clone(), at);
        Some(at)
    }

    /// Forgets somebody who has nothing under way.
    fn forget_one(&mut self) -> bool {
        for _ in 0..self.partners.len() {
            self.evict_at = (self.evict_at + 1) % self.partners.len().max(1);
            let listed = |p: &Partner| p.busy || p.listed || p.ready || p.starving || p.owes || p.courier.refused;
            if let Some(p) = self.partners[self.evict_at].take_if(|p| p.is_idle() && !listed(p)) {
                self.by_id.remove(&p.id);
                self.free.push(self.evict_at);
                return true;
            }
        }
        false
    }

    // ---- The embedder ----

    /// Accepts a message.
    pub(super) fn send(&mut self, now: Time, to: &NodeId, body: Bytes) -> Result<(), SendError> {
        self.now = self.now.max(now);
        if body.len() > self.limits.message {
            return Err(SendError::TooLarge(self.limits.message));
        }
        let at = self.admit(now, to, body.len(), true)?;
        self.accept(now, at, Record { kind: RecordKind::Message, body });
        Ok(())
    }

    /// Accepts something that isn't a message, in its order among messages. It fails, sooner or later, by
    /// [`Lanes::poll_failed`], or gets there; nobody is told when there is room.
    pub(super) fn send_record(&mut self, now: Time, to: &NodeId, record: Record) -> Result<(), SendError> {
        self.now = self.now.max(now);
        if record.body.len() > self.limits.message {
            return Err(SendError::TooLarge(self.limits.message));
        }
        let at = self.admit(now, to, record.body.len(), false)?;
        self.accept(now, at, record);
        Ok(())
    }

    fn accept(&mut self, now: Time, at: usize, record: Record) {
        let Some(p) = self.partners.get_mut(at).and_then(Option::as_mut) else { return };
        let cost = limits::cost(record.body.len());
        if p.courier.is_empty() && p.notes.is_empty() {
            p.waits_since(now);
        }
        p.courier.push(record);
        self.waiting += cost;
        if p.phase == Phase::Flowing && !p.listed {
            p.listed = true;
            self.sendable.push_back(at);
        } else if p.phase == Phase::Idle {
            self.wants.push(at);
        }
        if !p.busy {
            self.look_after(now, at);
        }
    }

    /// The next that came and isn't a message.
    pub(super) fn poll_record(&mut self) -> Option<Arrived> {
        self.records.pop_front()
    }

    /// The next that won't get there and isn't a message.
    pub(super) fn poll_failed(&mut self) -> Option<Failed> {
        self.failed.pop_front()
    }

    /// Accepts a datagram.
    pub(super) fn send_note(&mut self, now: Time, to: &NodeId, body: Bytes) -> Result<(), SendError> {
        self.now = self.now.max(now);
        if body.len() > MAX_NOTE {
            return Err(SendError::TooLarge(MAX_NOTE));
        }
        let at = self.admit(now, to, body.len(), true)?;
        self.waiting += limits::cost(body.len());
        if let Some(p) = self.get(at) {
            if p.courier.is_empty() && p.notes.is_empty() {
                p.waits_since(now);
            }
            p.notes.push(body);
        }
        self.wants.push(at);
        self.look_after(now, at);
        Ok(())
    }

    /// Finds the receiver, and whether there is room; `tell`: who is refused hears when there is.
    fn admit(&mut self, now: Time, to: &NodeId, len: usize, tell: bool) -> Result<usize, SendError> {
        if *to == self.hello.info.id {
            return Err(SendError::Itself);
        }
        let Some(at) = self.partner(now, to) else { return Err(self.no_place(to, tell)) };
        let (cost, waiting, limits) = (limits::cost(len), self.waiting, &self.limits);
        let Some(p) = self.partners.get_mut(at).and_then(Option::as_mut) else { return Err(SendError::Full) };
        let full = p.courier.bytes() + cost > limits.queue || p.notes.len() >= notes::MAX_WAITING;
        if full || waiting + cost > limits.queues {
            if tell && !std::mem::replace(&mut p.courier.refused, true) {
                self.refused.push_back(at);
            }
            return Err(SendError::Full);
        }
        Ok(at)
    }

    /// What the embedder is told next.
    pub(super) fn poll_event(&mut self, out: &mut Outbox) -> Option<Event> {
        self.poll_outcome(out).or_else(|| self.poll_message(out))
    }

    /// What became of messages that were sent.
    pub(super) fn poll_outcome(&mut self, out: &mut Outbox) -> Option<Event> {
        if let Some(r) = self.returned.pop_front() {
            self.waiting -= limits::cost(r.body.len());
            out.stats.messages_returned += 1;
            self.make_writable();
            let Returned { to, body, lane, reason, uncertain } = r;
            return Some(Event::Undeliverable { to, body, lane, reason, uncertain });
        }
        self.writable.pop_front().map(|to| Event::Writable { to })
    }

    /// The next message.
    fn poll_message(&mut self, out: &mut Outbox) -> Option<Event> {
        if let Some(note) = self.notes.pop_front() {
            out.stats.messages_in += 1;
            let notes::Arrived { from, incarnation, body } = note;
            return Some(Event::Message { from, incarnation, body, lane: MessageLane::Datagram });
        }
        loop {
            let at = *self.ready.front()?;
            let pool = &mut self.pool;
            let Some(p) = self.partners.get_mut(at).and_then(Option::as_mut) else {
                self.ready.pop_front();
                continue;
            };
            let Some(body) = p.intake.take(pool) else {
                p.ready = false;
                self.ready.pop_front();
                continue;
            };
            // Each sender in turn; one alone needs no turns.
            if self.ready.len() > 1 {
                self.ready.rotate_left(1);
            }
            let (from, incarnation) = (p.id.clone(), p.intake.incarnation);
            self.fresh = true;
            if !p.owes {
                p.owes = true;
                self.owing.push(at);
                self.news_at = self.news_at.min(self.now + ACK_DELAY);
            }
            if p.intake.is_short() {
                // Its sender may be waiting.
                self.news_at = self.news_at.min(self.now);
            }
            out.stats.messages_in += 1;
            return Some(Event::Message { from, incarnation, body, lane: MessageLane::Stream });
        }
    }

    /// True where [`Lanes::poll_message`] has something.
    pub(super) fn has_message(&self) -> bool {
        !self.ready.is_empty() || !self.notes.is_empty()
    }

    /// Those that were refused hear that there is room.
    fn make_writable(&mut self) {
        if self.refused.is_empty() || self.waiting > self.limits.queues / 2 {
            return;
        }
        for _ in 0..self.refused.len() {
            let Some(at) = self.refused.pop_front() else { return };
            let half = self.limits.queue / 2;
            let Some(p) = self.get(at) else { continue };
            if p.courier.bytes() > half || p.notes.len() > notes::MAX_WAITING / 2 {
                self.refused.push_back(at);
                continue;
            }
            p.courier.refused = false;
            let id = p.id.clone();
            self.writable.push_back(id);
        }
    }

    fn give_back(&mut self, at: usize, records: Vec<(Record, bool)>, reason: Undelivered) {
        let Some(to) = self.partners.get(at).and_then(Option::as_ref).map(|p| p.id.clone()) else { return };
        for (record, uncertain) in records {
            let to = to.clone();
            if record.kind == RecordKind::Message {
                // They go on counting until the embedder takes them.
                let (body, lane) = (record.body, MessageLane::Stream);
                self.returned.push_back(Returned { to, body, lane, reason, uncertain });
            } else {
                self.waiting -= limits::cost(record.body.len());
                self.failed.push_back(Failed { to, record, reason, uncertain });
            }
        }
    }

    /// Everything for this receiver comes back.
    fn give_up(&mut self, at: usize, reason: Undelivered) {
        let Some(p) = self.get(at) else { return };
        let (records, notes, to) = (p.courier.take_all(), std::mem::take(&mut p.notes), p.id.clone());
        (p.attempts, p.nonce) = (0, 0);
        self.give_back(at, records, reason);
        let (lane, uncertain) = (MessageLane::Datagram, false);
        self.returned.extend(notes.into_iter().map(|body| Returned { to: to.clone(), body, lane, reason, uncertain }));
    }

    /// The node stops, or begins anew: everything comes back, and nothing is handed on any more.
    pub(super) fn stop(&mut self, out: &mut Outbox) {
        for conn in std::mem::take(&mut self.links).into_keys() {
            out.close(conn);
        }
        self.strangers = 0;
        self.unnamed.clear();
        self.end_circuits();
        self.say_as_relay(out);
        self.writable.extend(std::mem::take(&mut self.crowded));
        for at in std::mem::take(&mut self.refused) {
            // Should the node begin anew, there is room.
            let id = self.get(at).map(|p| p.id.clone());
            self.writable.extend(id);
        }
        for at in 0..self.partners.len() {
            self.give_up(at, Undelivered::Stopped);
        }
        let returned = std::mem::take(&mut self.returned);
        self.partners.clear();
        self.free.clear();
        self.by_id.clear();
        self.by_conn.clear();
        self.busy.clear();
        self.sendable.clear();
        self.ready.clear();
        self.notes.clear();
        self.records.clear();
        self.wants.clear();
        self.note_frames.clear();
        self.calls.clear();
        self.rings.clear();
        self.leads.clear();
        self.greeted.clear();
        self.unread.clear();
        self.kept = None;
        self.owing.clear();
        self.starving.clear();
        (self.care_at, self.scan_at, self.news_at) = (Time::NEVER, Time::NEVER, Time::NEVER);
        self.circuits_at = Time::NEVER;
        self.returned = returned;
    }

    // ---- The pair's connection ----

    /// From now on this connection carries the messages of a pair.
    fn attach(&mut self, now: Time, at: usize, line: Line, out: &mut Outbox) {
        let Some(p) = self.get(at) else { return };
        if p.line == Some(line) {
            return;
        }
        if p.line.is_some_and(|old| old.conn == line.conn) {
            // Another incarnation, over the same connection: that isn't gone, and those at the far ends of circuits have to hear.
            self.end_carried(now, line.conn, out);
        }
        self.detach(now, at, out);
        if line.lent {
            self.by_conn.insert(line.conn, at);
        }
        let pool = &mut self.pool;
        let Some(p) = self.partners.get_mut(at).and_then(Option::as_mut) else { return };
        (p.line, p.afar) = (Some(line), false);
        p.moved = p.by_circuit || is_circuit(line.conn);
        p.by_circuit = is_circuit(line.conn);
        p.attached(now);
        if p.intake.incarnation != line.incarnation {
            p.intake.begin(line.incarnation, pool);
        }
        let replaced = p.courier.bound.is_some_and(|bound| bound != line.incarnation);
        if replaced {
            self.give_up(at, Undelivered::Replaced);
        }
        if let Some(p) = self.get(at)
            && p.courier.bound != Some(line.incarnation)
        {
            p.courier.rebind(Some(line.incarnation));
        }
        self.open(at, out);
        self.way_found(now, at, out);
        self.make_writable();
    }

    /// Asks how far the receiver is, where there is something for it.
    fn open(&mut self, at: usize, out: &mut Outbox) {
        let (me, now) = (self.hello.info.incarnation, self.now);
        let Some(p) = self.get(at).filter(|p| p.phase == Phase::Idle && !p.courier.is_empty()) else { return };
        if let Some(line) = p.line {
            (p.phase, p.asked) = (Phase::Opening, now);
            let base = p.courier.base();
            out.send(line.conn, Message::Open(Open { incarnation: me, to: line.incarnation, base }));
        }
    }

    /// The pair has no connection any more.
    fn detach(&mut self, now: Time, at: usize, out: &mut Outbox) {
        let (pool, bug, long) = (&mut self.pool, self.bug, self.patience.max(self.silence * 2));
        let Some(p) = self.partners.get_mut(at).and_then(Option::as_mut) else { return };
        let Some(line) = p.line.take() else { return };
        p.detached(now, long);
        p.courier.detach();
        p.intake.detach(pool);
        self.by_conn.remove(&line.conn);
        if bug.has(Bug::DropSilently) {
            let lost = p.courier.take_begun();
            self.waiting -= lost.iter().map(|r| limits::cost(r.body.len())).sum::<usize>();
        }
        self.look_after(now, at);
        self.feed_starving();
        self.carrier_lost(now, line.conn, out);
    }

    /// As [`Lanes::left`], of one who speaks though it is gone.
    pub(super) fn bar(&mut self, now: Time, id: &NodeId, incarnation: Incarnation, out: &mut Outbox) {
        if self.partner(now, id).is_some() {
            self.left(now, id, incarnation, out);
        }
    }

    /// This incarnation is on the roll of the lineage that this node is in now, whatever was told in the one before; and none
    /// before it, though one may have spoken that never was on a roll here.
    pub(super) fn back(&mut self, now: Time, id: &NodeId, incarnation: Incarnation, out: &mut Outbox) {
        self.off(now, id, Incarnation(incarnation.0.saturating_sub(1)), Undelivered::Replaced, out);
        let Some(at) = self.by_id.get(id).copied() else { return };
        if let Some(p) = self.get(at) {
            p.gone = p.gone.filter(|gone| *gone < incarnation);
            p.stands_as(incarnation);
        }
    }

    /// This incarnation, and all before it, are off the roll.
    pub(super) fn left(&mut self, now: Time, id: &NodeId, incarnation: Incarnation, out: &mut Outbox) {
        self.off(now, id, incarnation, Undelivered::Left, out);
    }

    fn off(&mut self, now: Time, id: &NodeId, incarnation: Incarnation, why: Undelivered, out: &mut Outbox) {
        if self.bug.has(Bug::MessageAfterLeft) {
            return;
        }
        self.notes.retain(|n| n.from != *id || n.incarnation > incarnation);
        self.relay.left(id, incarnation);
        let lax = self.bug.has(Bug::RelayAfterLeft);
        let Some(at) = self.by_id.get(id).copied() else { return };
        let Some(p) = self.get(at) else { return };
        p.gone = p.gone.max(Some(incarnation));
        let line = p.line.filter(|line| line.incarnation <= incarnation && !lax);
        let to = p.courier.bound.or(p.place.as_ref().map(|place| place.incarnation));
        if p.place.as_ref().is_some_and(|place| place.incarnation <= incarnation) {
            p.place = None;
        }
        if let Some(line) = line {
            if !line.lent {
                self.links.remove(&line.conn);
                out.close(line.conn);
            }
            self.detach(now, at, out);
        }
        let pool = &mut self.pool;
        if let Some(p) = self.partners.get_mut(at).and_then(Option::as_mut)
            && p.intake.incarnation <= incarnation
        {
            p.intake.leave_off(pool);
        }
        if to.is_some_and(|to| to <= incarnation) {
            self.give_up(at, why);
            if let Some(p) = self.get(at) {
                p.courier.rebind(None);
            }
        }
        self.feed_starving();
        self.make_writable();
    }

    /// This node says something else of itself from now on. `anew`: it is in a lineage that has nothing to do with the one
    /// before.
    pub(super) fn introduce(&mut self, now: Time, hello: Hello, anew: bool, out: &mut Outbox) {
        let renewed = hello.info.incarnation != self.hello.info.incarnation;
        let demoted = self.votes() && !hello.info.standing.votes();
        let elsewhere = hello.lineage != self.hello.lineage && hello.lineage != Lineage::ZERO;
        // Who left where it was may be here, and without the roll it is told of nobody who comes.
        let untold = elsewhere && !hello.info.standing.votes() && !hello.info.follows;
        for p in self.partners.iter_mut().flatten() {
            p.afar |= anew;
            p.gone = p.gone.filter(|_| !untold);
        }
        self.hello = hello;
        for (conn, link) in &self.links {
            if link.is_greeted(*conn) {
                out.send_durably(*conn, Message::Hello(self.hello.clone()));
            }
        }
        for at in 0..self.partners.len() {
            let pool = &mut self.pool;
            let Some(p) = self.partners.get_mut(at).and_then(Option::as_mut) else { continue };
            if renewed {
                // What was begun may have come; nobody counts on the rest yet.
                let begun: Vec<_> = p.courier.take_begun().into_iter().map(|record| (record, true)).collect();
                let bound = p.courier.bound;
                p.courier.rebind(bound);
                p.intake.begin(p.intake.incarnation, pool);
                p.phase = Phase::Idle;
                self.give_back(at, begun, Undelivered::Renewed);
                self.open(at, out);
            }
            if demoted && self.get(at).is_some_and(|p| p.line.is_some_and(|l| l.lent)) {
                self.detach(now, at, out);
            }
        }
        if demoted {
            self.relay.stop();
        }
        self.make_writable();
    }

    /// True where this node says something else of itself than its connections were told.
    pub(super) fn differs(&self, info: &crate::types::MemberInfo, lineage: Lineage) -> bool {
        let h = &self.hello;
        (h.lineage, h.info.incarnation, h.info.standing) != (lineage, info.incarnation, info.standing)
            || h.info.addrs != info.addrs
    }

    fn votes(&self) -> bool {
        self.hello.info.standing.votes()
    }
}

#[cfg(test)]
mod tests;
