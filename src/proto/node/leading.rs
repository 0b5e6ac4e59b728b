//! Leading: heartbeats, replication, commit.

use super::super::border::Dest;
use super::super::detector::Verdict;
use super::super::event::{Accusation, Event, Notice};
use super::super::leadership::{Progress, Sending};
use super::super::planted::Bug;
use super::super::registrar::Registrar;
use super::super::roll::Applied;
use super::super::succession;
use super::Node;
use super::streams::Origin;
use crate::types::{ConnId, Identity, Index, LeftReason, NodeId, Position, Slot, Term, Time};
use crate::wire::{
    self, Append, AppendReply, Change, Datagram, Heartbeat, MAX_ENTRIES, MAX_PIECE, Message, Probe, ProbeFor, Record,
    Snapshot, SnapshotReply,
};

/// Bytes of entries in one append.
const APPEND_BUDGET: usize = 64 * 1024;

impl Node {
    /// True where this node leads and has committed an entry of its own term: only then does it decide anything.
    pub(super) fn is_ready(&self) -> bool {
        self.lead.as_ref().is_some_and(|l| self.log.commit() >= l.leadership.first)
    }

    /// When a leader that can't commit has to give up: acknowledgements pass, entries don't.
    pub(super) fn stalled_at(&self) -> Time {
        if self.bug.has(Bug::NeverGivesUp) {
            return Time::NEVER;
        }
        let since = self.lead.as_ref().and_then(|l| l.leadership.uncommitted_since);
        since.map_or(Time::NEVER, |s| s + self.config.detection() * 3)
    }

    pub(super) fn tick_leader(&mut self, now: Time) {
        let spent = self.lead.as_ref().is_some_and(|l| l.leadership.number >= u32::MAX - 1);
        if now >= self.stalled_at() || spent {
            self.resign(now, true);
            self.abstain_until = now + self.config.detection();
            return;
        }
        self.tick_telling(now);
        let Some(lead) = &mut self.lead else { return };
        let due = now >= lead.leadership.next_heartbeat;
        let mut deafened = Vec::new();
        lead.detector.sweep(now, |slot| deafened.push(slot));
        for slot in deafened {
            if let Some((_, info)) = self.log.roll().get(slot) {
                self.out.event(Event::Network(Notice::UnicastFallback(info.id.clone())));
            }
        }
        if due {
            self.heartbeat(now);
            self.replicate(now);
            self.reconcile_line(now);
            self.consider_preemption(now);
            self.tell_all_ended();
            if self.leaving.is_none() {
                self.register_itself(now);
            }
            // Who died while this node didn't lead yet, the leader before it above all.
            let dead: Vec<_> = self.peers.dead().map(|(id, incarnation)| (id.clone(), incarnation)).collect();
            dead.iter().for_each(|(id, incarnation)| self.strike_off_dead(now, id, *incarnation));
        }
        self.judge(now);
    }

    /// One heartbeat to all: by multicast, to candidates by unicast as well, and to those who are deaf to multicast.
    pub(super) fn heartbeat(&mut self, now: Time) {
        let interval = self.config.heartbeat();
        let Some(lead) = &mut self.lead else { return };
        let number = lead.leadership.beat(now);
        // The first few follow each other quickly: a lost one then costs no interval.
        let pause = if lead.leadership.burst > 0 {
            lead.leadership.burst -= 1;
            interval / (8 << lead.leadership.burst)
        } else {
            interval
        };
        lead.leadership.next_heartbeat = now + pause;
        let leader = self.voter.identity().tag();
        let heartbeat = Datagram::Heartbeat(Heartbeat {
            lineage: self.voter.promise.lineage,
            term: lead.leadership.term,
            number,
            commit: self.log.commit(),
            leader,
            line_version: self.log.roll().line().version() as u16,
            said: lead.sayings.upto(),
        });
        if self.config.multicast {
            self.out.datagram(Dest::Floor, heartbeat.clone());
        }
        for (peer, _) in self.peers.ready().filter(|(p, _)| p.info.id != self.me.id) {
            if let Some(addr) = peer.info.addrs.first() {
                self.out.datagram(Dest::Addr(*addr), heartbeat.clone());
            }
        }
        for seat in self.log.line().seats() {
            let unconnected = seat.id != self.me.id && self.peers.get(&seat.id).is_none_or(|p| p.conn.is_none());
            if let Some(addr) = seat.addrs.first().filter(|_| unconnected) {
                self.out.datagram(Dest::Addr(*addr), heartbeat.clone());
            }
        }
        for slot in lead.detector.deaf() {
            let Some((_, info)) = self.log.roll().get(slot) else { continue };
            let served =
                self.log.line().seat(&info.id).is_some() || self.peers.get(&info.id).is_some_and(|p| p.conn.is_some());
            if let Some(addr) = info.addrs.first().filter(|_| !served) {
                self.out.datagram(Dest::Addr(*addr), heartbeat.clone());
            }
        }
        let me = self.voter.identity();
        if self.log.line().voters().count() == 1 {
            // Alone in the line: its own word is the majority.
            lead.leadership.renew(now, me, self.log.line());
        }
    }

    /// Carries out what the sweep found: probe, have probed, strike off.
    fn judge(&mut self, now: Time) {
        while let Some(verdict) = self.lead.as_mut().and_then(|l| l.detector.poll()) {
            match verdict {
                Verdict::Probe(slot) => self.probe(now, slot),
                Verdict::Ask(slot) => self.ask_probe(now, slot),
                Verdict::Gone(slot) => self.condemn(now, slot),
            }
        }
    }

    fn probe(&mut self, now: Time, slot: Slot) {
        let vouched = self.vouches(now, slot);
        let Some((generation, info)) = self.log.roll().get(slot) else { return };
        if let Some(lead) = self.lead.as_mut().filter(|_| vouched) {
            lead.detector.alive(now, slot, generation);
            return;
        }
        self.out.stats.probes_sent += 1;
        let lineage = self.voter.promise.lineage.0 as u32;
        let probe = Probe { slot, generation, lineage, token: 0 };
        for addr in &info.addrs {
            self.out.datagram(Dest::Addr(*addr), Datagram::Probe(probe));
        }
        self.out.event(Event::Network(Notice::Accused(info.id.clone(), Accusation::Silent)));
    }

    fn ask_probe(&mut self, now: Time, slot: Slot) {
        let Some((generation, info)) = self.log.roll().get(slot) else { return };
        let Some(addr) = info.addrs.first().copied() else { return };
        // Others would say nothing, and nobody is struck off on this leader's word alone.
        let helps = |identity: Identity| {
            let at = self.lead.as_ref().and_then(|l| l.leadership.acked_at(identity));
            at.is_some_and(|at| now - at <= self.config.detection())
        };
        let helpers: Vec<ConnId> = (self.peers.ready())
            .filter(|(p, _)| p.info.id != info.id && helps(p.info.identity))
            .map(|(_, c)| c)
            .collect();
        let (id, outbound) = (info.id.clone(), info.outbound);
        if outbound && !helpers.is_empty() {
            // One of them keeps its connection, and which one isn't known here.
            for helper in helpers {
                self.out.send(helper, Message::ProbeFor(ProbeFor { slot, generation, addr }));
            }
        } else if let Some(helper) = helpers.get((slot.0 as usize) % helpers.len().max(1)) {
            self.out.send(*helper, Message::ProbeFor(ProbeFor { slot, generation, addr }));
        } else if self.log.line().voters().count() > 1 {
            // Nobody is there to ask, so nobody is condemned.
            if let Some(lead) = &mut self.lead {
                lead.detector.pardon(now, slot);
            }
            return;
        }
        self.out.event(Event::Network(Notice::Accused(id, Accusation::Unreachable)));
    }

    fn condemn(&mut self, now: Time, slot: Slot) {
        let ready = self.decides();
        let Some(lead) = &mut self.lead else { return };
        if !ready || !lead.leadership.has_lease(now) {
            return lead.detector.pardon(now, slot);
        }
        if let Some(change) = lead.registrar.leave(self.log.roll(), slot, LeftReason::Silent) {
            self.propose(now, vec![change]);
        }
    }

    pub(super) fn on_probe_result(&mut self, now: Time, result: ProbeFor) {
        if let Some(lead) = &mut self.lead {
            lead.detector.alive(now, result.slot, result.generation);
        }
    }

    /// Adds entries to the roll and sends them on.
    pub(super) fn propose(&mut self, now: Time, changes: Vec<Change>) {
        let Some(term) = self.lead.as_ref().map(|l| l.leadership.term) else { return };
        for change in changes {
            let Some(entry) = self.log.append(term, change) else { return };
            if !self.bug.has(Bug::RollNotStored) {
                self.out.store(Record::Entry(entry));
            }
        }
        self.note_storing();
        if let Some(lead) = &mut self.lead {
            lead.leadership.uncommitted_since.get_or_insert(now);
        }
        self.replicate(now);
        self.advance_commit(now);
    }

    /// Sends each connected candidate what it lacks; one append is under way to each, and what comes meanwhile goes with
    /// the next: so a storm of registrations is a few batches.
    pub(super) fn replicate(&mut self, now: Time) {
        if self.lead.is_none() {
            return;
        }
        // All of this lineage, those that are off the roll as well: that is how they learn that they are.
        let lineage = self.voter.promise.lineage;
        let on_roll = |identity| self.log.roll().identity(identity).is_some();
        let targets: Vec<(Identity, ConnId)> = (self.peers.ready())
            .map(|(p, c)| (p.info.identity, p.lineage, c))
            .filter(|(i, l, _)| {
                *l == lineage
                    || self.log.parents().contains(l)
                    || self.log.roll().merger_of(*l).is_some()
                    || self.log.line().by_identity(*i).is_some()
                    || on_roll(*i)
            })
            .map(|(i, _, c)| (i, c))
            .collect();
        for (identity, conn) in targets {
            self.replicate_to(now, identity, conn);
        }
    }

    fn replicate_to(&mut self, now: Time, identity: Identity, conn: ConnId) {
        let (last, commit, patience) = (self.log.last().index, self.log.commit(), self.config.detection());
        let Some(lead) = &mut self.lead else { return };
        let before = Index(lead.leadership.first.0.saturating_sub(1));
        // Where that isn't kept any more it may be level all the same: it says where it is.
        let before = if self.log.term_at(before).is_some() { before } else { self.log.commit() };
        let fresh = !lead.leadership.progress.contains_key(&identity);
        let progress = lead.leadership.progress.entry(identity).or_insert_with(|| Progress::new(conn, before));
        match progress.in_flight {
            Some(since) if now - since < patience => return,
            // No answer: begin again at what is known to match.
            Some(_) => progress.next = if progress.matched == Index::ZERO { before } else { progress.matched },
            None => {}
        }
        if !fresh && progress.next >= last && progress.told_commit >= commit && progress.snapshot.is_none() {
            return;
        }
        let (lineage, term) = (self.voter.promise.lineage, lead.leadership.term);
        let Some(prev_term) = self.log.term_at(progress.next).filter(|_| progress.snapshot.is_none()) else {
            return self.send_piece(now, identity, conn);
        };
        let prev = Position { term: prev_term, index: progress.next };
        let entries = self.log.after(prev.index, APPEND_BUDGET, MAX_ENTRIES);
        progress.in_flight = (!entries.is_empty() || fresh).then_some(now);
        progress.next = entries.last().map_or(prev.index, |e| e.index);
        progress.told_commit = commit;
        let append = Append { lineage, term, prev, commit, fetched: false, entries };
        self.out.send_durably(conn, Message::Append(append));
    }

    /// The next piece of a snapshot, of a new one where none is under way.
    fn send_piece(&mut self, now: Time, identity: Identity, conn: ConnId) {
        let Some(lead) = &mut self.lead else { return };
        let Some(progress) = lead.leadership.progress.get_mut(&identity) else { return };
        let sending = progress.snapshot.get_or_insert_with(|| Sending {
            position: self.log.committed(),
            image: wire::encode_image(&self.log.image()),
            offset: 0,
        });
        progress.in_flight = Some(now);
        let (lineage, term) = (self.voter.promise.lineage, lead.leadership.term);
        let piece = piece(sending, lineage, term, false);
        self.out.send_durably(conn, Message::Snapshot(piece));
    }

    pub(super) fn on_snapshot_reply(&mut self, now: Time, from: &Origin, reply: SnapshotReply) {
        if reply.lineage != self.voter.promise.lineage {
            return;
        }
        if let Some((who, sending)) = &mut self.serving {
            let ours = reply.term == self.voter.promise.term || reply.term == Term::ZERO;
            if *who == from.identity && ours && reply.position == sending.position {
                if reply.offset as usize >= sending.image.len() {
                    self.serving = None;
                    // There may be more of them.
                    self.next_offer = now;
                    return;
                }
                sending.offset = reply.offset;
                let piece = piece(sending, reply.lineage, reply.term, true);
                self.out.send_durably(from.conn, Message::Snapshot(piece));
            }
            return;
        }
        let Some(lead) = &mut self.lead else { return };
        if reply.term != lead.leadership.term {
            return;
        }
        let Some(progress) = lead.leadership.progress.get_mut(&from.identity) else { return };
        let Some(sending) = &mut progress.snapshot else { return };
        if sending.position == reply.position && (reply.offset as usize) < sending.image.len() {
            sending.offset = reply.offset;
            self.send_piece(now, from.identity, from.conn);
        }
    }

    pub(super) fn on_append_reply(&mut self, now: Time, from: &Origin, reply: AppendReply) {
        let last = self.log.last().index;
        let Some(lead) = &mut self.lead else { return };
        if reply.lineage != self.voter.promise.lineage
            || reply.term != lead.leadership.term
            || reply.identity != from.identity
        {
            return;
        }
        let Some(progress) = lead.leadership.progress.get_mut(&from.identity) else {
            // One of a lineage that was taken in is ready.
            if !reply.matched {
                self.replicate_to(now, from.identity, from.conn);
            }
            return;
        };
        progress.in_flight = None;
        if reply.matched {
            progress.snapshot = None;
            progress.matched = progress.matched.max(reply.index.min(last));
            progress.next = progress.next.max(progress.matched);
        } else {
            // An image that is refused is of no use any more.
            progress.snapshot = None;
            progress.next = reply.index.min(Index(progress.next.0.saturating_sub(1)));
            progress.told_commit = Index::ZERO;
        }
        self.advance_commit(now);
        if self.peers.conn_of(&from.id, from.identity) == Some(from.conn) {
            self.replicate_to(now, from.identity, from.conn);
        }
        self.reconcile_line(now);
    }

    /// Commits what a majority holds, and acts on what that changed.
    pub(super) fn advance_commit(&mut self, now: Time) {
        let me = self.voter.identity();
        let Some(lead) = &self.lead else { return };
        let index = lead.leadership.committable(me, self.log.line(), self.durable_index, |i| self.log.term_at(i));
        let Some(index) = index.filter(|i| *i > self.log.commit()) else { return };
        let was_ready = self.is_ready();
        self.commit(now, index);
        let last = self.log.last().index;
        if let Some(lead) = &mut self.lead {
            lead.leadership.uncommitted_since = (self.log.commit() < last).then_some(now);
            lead.leadership.renew(now, me, self.log.line());
        }
        if !was_ready && self.is_ready() {
            self.leader_is_ready(now);
        }
        self.replicate(now);
        self.reconcile_line(now);
    }

    /// A leader puts itself on the roll as what it is now: a restarted one stands there as it was.
    fn leader_is_ready(&mut self, now: Time) {
        // Entries of earlier terms were committed just now: slots and members are those of this roll.
        let (quarantine, most) = (self.config.detection(), self.config.max_members);
        let Some(lead) = &mut self.lead else { return };
        lead.registrar = Registrar::new(now, self.log.roll(), quarantine, most);
        lead.registrar.bug = self.bug;
        self.register_itself(now);
    }

    /// A leader asks nobody: where the roll lacks what it says of itself, it puts that there.
    pub(super) fn register_itself(&mut self, now: Time) {
        let known = self.log.roll().find(&self.me.id).is_some_and(|(_, _, info)| {
            info.incarnation == self.me.incarnation
                && info.identity == self.me.identity
                && info.revision >= self.me.revision
        });
        if self.decides() && !known {
            let me = self.description();
            self.register(now, &me, None);
        }
    }

    /// Applies committed entries: events, and at the leader its tables and answers.
    pub(super) fn commit(&mut self, now: Time, index: Index) {
        if index > self.log.commit() {
            self.tell_roll(now);
        }
        let mut applied = Vec::new();
        self.log.commit_to(index, |change| applied.push(change));
        for change in applied {
            match change {
                Applied::Nothing => {}
                Applied::Joined { slot, generation, info } => self.member_joined(now, slot, generation, info),
                Applied::Updated { slot, info } => self.member_updated(now, slot, info),
                Applied::Restood { slot, info, over } => {
                    self.member_restood(now, slot, info);
                    self.requests_over(now, over);
                }
                Applied::Left { slot, id, incarnation, reason, names, over } => {
                    names.into_iter().for_each(|name| self.out.event(Event::Name { name, owner: None }));
                    self.requests_of_gone(slot, &id, incarnation);
                    self.member_left(now, slot, &id, incarnation, reason);
                    self.requests_over(now, over);
                }
                Applied::Begun { giver, opened, dropped } => self.requests_begun(giver, opened, &dropped),
                Applied::Over(over) => self.requests_over(now, over),
                Applied::Claim(claimed) => self.name_claimed(claimed),
                Applied::Said { prev, said } => self.said_committed(prev, &said),
                Applied::Absorbed(merger) => self.lineage_absorbed(now, &merger),
                Applied::Conflict(_, conflict) => self.merging.conflict(conflict),
                Applied::Line(over) => {
                    self.line_changed(now);
                    self.requests_over(now, over);
                }
            }
        }
        if self.log.commit() == self.log.last().index
            && let Some(lead) = &mut self.lead
        {
            lead.registrar.settled();
        }
        if self.log.compact() {
            self.rewrite_store();
        }
        self.note_news(now);
    }

    /// The store holds what is still needed, and nothing else.
    fn rewrite_store(&mut self) {
        self.out.store_anew();
        self.out.store(Record::Promise(self.voter.record()));
        if !self.bug.has(Bug::RollNotStored) {
            self.out.store(Record::Image(self.log.image()));
            for entry in self.log.uncommitted() {
                self.out.store(Record::Entry(entry.clone()));
            }
        }
        self.note_storing();
    }

    /// Makes the next change that brings the line nearer to the roll, where one is due.
    pub(super) fn reconcile_line(&mut self, now: Time) {
        let early = !self.is_ready() && !self.bug.has(Bug::EarlyLineChange);
        let busy = self.handover.is_some() || self.merging.binds();
        if early || busy || self.log.line_pending() && !self.bug.has(Bug::TwoLineChanges) {
            return;
        }
        let Some(lead) = &self.lead else { return };
        let me = self.voter.identity();
        let level = |identity: Identity| self.is_level(now, identity);
        let retiring = |id: &NodeId| lead.retiring.contains(id);
        let change = succession::next_change(self.log.roll(), self.log.line(), me, level, retiring, self.bug);
        if let Some(change) = change.filter(|change| !self.is_overtaken(change)) {
            self.propose(now, vec![change]);
        }
    }

    /// True where a seat is for somebody of whom it was decided meanwhile, though that isn't committed yet, to be retired.
    fn is_overtaken(&self, change: &Change) -> bool {
        let Change::Seated(seat) = change else { return false };
        self.log.uncommitted().any(|e| matches!(&e.change, Change::Retired { id } if *id == seat.id))
    }
}

/// The piece of an image that begins where the other side is.
pub(super) fn piece(
    sending: &Sending,
    lineage: crate::types::Lineage,
    term: crate::types::Term,
    fetched: bool,
) -> Snapshot {
    let from = (sending.offset as usize).min(sending.image.len());
    let to = (from + MAX_PIECE).min(sending.image.len());
    Snapshot {
        lineage,
        term,
        position: sending.position,
        fetched,
        offset: sending.offset,
        total: sending.image.len() as u32,
        data: sending.image.slice(from..to),
    }
}
