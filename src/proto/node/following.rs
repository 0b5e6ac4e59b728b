//! Following: the roll as it comes from the leader, this node's own registration, and leaving.

use super::super::border::Dest;
use super::super::event::Event;
use super::super::follower::{Need, Registration};
use super::super::leadership::Sending;
use super::super::log::Accepted;
use super::super::planted::Bug;
use super::super::roll::Roll;
use super::leading::piece;
use super::streams::Origin;
use super::{Incoming, Leaving, Node, members};
use crate::types::{
    Identity, Incarnation, Index, LeftReason, Lineage, MemberInfo, Name, NodeId, Position, Slot, Term, Time, VoterTag,
};
use crate::wire::{
    self, Append, AppendReply, Datagram, Fetch, Image, Join, Leave, MAX_ENTRIES, Message, Overruled, Record, Seek,
    Snapshot, SnapshotReply, View,
};
use bytes::BytesMut;

/// Bytes of entries that answer one fetch.
const FETCH_BUDGET: usize = 64 * 1024;
/// The largest image of a roll that is taken: a million members' worth would be larger, and is refused.
pub(super) const MAX_IMAGE: u32 = 512 * 1024 * 1024;

impl Node {
    /// Whether a stream frame of a term comes from whom this voter may follow in it; an older one is overruled.
    fn attends(&mut self, now: Time, from: &Origin, lineage: Lineage, term: Term) -> bool {
        if !self.enter_lineage(now, lineage) {
            return false;
        }
        if self.voter.is_sealed() {
            self.out.stats.dropped_unexpected += 1;
            return false;
        }
        if !self.voter.credible(term) {
            self.out.stats.dropped_term_leap += 1;
            return false;
        }
        if term < self.voter.promise.term && !self.bug.has(Bug::TakeOldEntries) {
            let overruled = Overruled { lineage, term: self.voter.promise.term };
            self.out.send_durably(from.conn, Message::Overruled(overruled));
            return false;
        }
        if let Some(lead) = &self.lead {
            if term <= lead.leadership.term {
                self.out.stats.dropped_unexpected += 1;
                return false;
            }
            self.resign(now, false);
        }
        let leader = (from.id.clone(), from.identity);
        self.voter.attend(now, term, leader, from.incarnation, &mut self.out);
        true
    }

    pub(super) fn on_append(&mut self, now: Time, from: &Origin, append: Append) {
        if append.fetched {
            return self.on_fetched(now, from, &append);
        }
        if self.may_follow_to(now, &from.id, append.lineage) {
            // Of the child nothing is here yet: the whole roll is needed.
            let (lineage, term, identity) = (append.lineage, append.term, self.voter.identity());
            let reply = AppendReply { lineage, term, identity, matched: false, index: Index::ZERO };
            self.out.send_durably(from.conn, Message::AppendReply(reply));
            return;
        }
        if !self.attends(now, from, append.lineage, append.term) {
            return;
        }
        let (matched, index) = match self.accept(append.prev, &append.entries) {
            Accepted::Matched { upto, .. } => (true, upto),
            Accepted::Gap { hint } => (false, hint),
            Accepted::Contradiction => {
                self.out.stats.dropped_unexpected += 1;
                return;
            }
        };
        let identity = self.voter.identity();
        let reply = AppendReply { lineage: append.lineage, term: append.term, identity, matched, index };
        self.out.send_durably(from.conn, Message::AppendReply(reply));
        if matched {
            let upto = if self.bug.has(Bug::ApplyUncommitted) { index } else { append.commit.min(index) };
            self.commit(now, upto);
        }
    }

    /// Takes entries into the log and gives what is new to the store.
    fn accept(&mut self, prev: Position, entries: &[wire::Entry]) -> Accepted {
        let accepted = self.log.accept(prev, entries);
        if let Accepted::Matched { stored_from: Some(first), .. } = accepted {
            // What stood there before is replaced: its durability says nothing any more.
            let before = Index(first.0.saturating_sub(1));
            self.durable_index = self.durable_index.min(before);
            for (_, index) in &mut self.storing {
                *index = (*index).min(before);
            }
            if !self.bug.has(Bug::RollNotStored) {
                for entry in entries.iter().filter(|e| e.index >= first) {
                    self.out.store(Record::Entry(entry.clone()));
                }
            }
            self.note_storing();
        }
        accepted
    }

    /// True where this node bids for this term and has promised nothing since: only then may it take what it fetched.
    fn bids_for(&self, term: Term) -> bool {
        let promise = &self.voter.promise;
        self.calls_for(term)
            || self.campaign.bidding() == Some(term)
                && promise.term == term
                && promise.granted == Some(promise.identity)
    }

    /// True where this voter asked that one for its newer roll, and neither bids nor follows a leader, nor took anything
    /// from one since: what it acknowledged meanwhile may be committed, and an answer that was long under way lacks it.
    fn catches_up_with(&self, from: Identity) -> bool {
        self.catching_up == Some((from, self.log.last()))
            && !self.voter.is_sealed()
            && self.lead.is_none()
            && self.voter.followed().is_none()
            && self.campaign.bidding().is_none()
    }

    /// What this bidder lacked, from the voter that is ahead.
    fn on_fetched(&mut self, now: Time, from: &Origin, append: &Append) {
        let catches_up = append.term == Term::ZERO && self.catches_up_with(from.identity);
        if append.lineage != self.voter.promise.lineage || !(catches_up || self.bids_for(append.term)) {
            self.out.stats.dropped_stale += 1;
            return;
        }
        let Accepted::Matched { upto, .. } = self.accept(append.prev, &append.entries) else {
            self.out.stats.dropped_unexpected += 1;
            return;
        };
        if catches_up {
            self.catching_up = Some((from.identity, self.log.last()));
        }
        self.fetch_goes_on(now);
        self.decide_bid(now);
        self.decide_recovery(now);
        let term_there = self.log.term_at(upto);
        let bid = self.fetches_for().or(catches_up.then_some(Term::ZERO));
        if let (Some(bid), Some(term), false) = (bid, term_there, append.entries.is_empty()) {
            // Still not enough: ask for what follows.
            let after = Position { term, index: upto };
            let fetch = Fetch { lineage: append.lineage, term: bid, after };
            self.out.send(from.conn, Message::Fetch(fetch));
        }
    }

    /// Gives a bidder that was granted what it lacks.
    pub(super) fn on_fetch(&mut self, from: &Origin, fetch: Fetch) {
        let promise = &self.voter.promise;
        let granted = fetch.term == promise.term && promise.granted == Some(from.identity);
        // Without a term: a voter that couldn't be elected by the older line that it has.
        let catches_up = fetch.term == Term::ZERO
            && !self.voter.is_sealed()
            && self.lead.is_none()
            && self.voter.followed().is_none();
        if fetch.lineage != promise.lineage || !(granted || catches_up) || self.log.is_empty() {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        if self.log.has(fetch.after) {
            let entries = self.log.after(fetch.after.index, FETCH_BUDGET, MAX_ENTRIES);
            let append = Append {
                lineage: fetch.lineage,
                term: fetch.term,
                prev: fetch.after,
                commit: self.log.commit(),
                fetched: true,
                entries,
            };
            self.out.send_durably(from.conn, Message::Append(append));
        } else {
            let sending =
                Sending { position: self.log.committed(), image: wire::encode_image(&self.log.image()), offset: 0 };
            let first = piece(&sending, fetch.lineage, fetch.term, true);
            self.serving = Some((from.identity, sending));
            self.out.send_durably(from.conn, Message::Snapshot(first));
        }
    }

    pub(super) fn on_snapshot(&mut self, now: Time, from: &Origin, snapshot: Snapshot) {
        // Offered, not fetched: what is committed, for a voter that holds less.
        let offered = snapshot.fetched && snapshot.term == Term::ZERO;
        let child = self.may_follow_to(now, &from.id, snapshot.lineage);
        if offered {
            let elsewhere = !self.log.is_empty() && snapshot.lineage != self.voter.promise.lineage;
            let parents = elsewhere || self.voter.is_sealed() || snapshot.position.index <= self.log.commit();
            // Who follows a leader has the roll from it: an offer that comes late must not take the place of its pieces.
            if self.lead.is_some() || self.voter.followed().is_some() || !child && parents {
                self.out.stats.dropped_stale += 1;
                return;
            }
        } else if snapshot.fetched {
            if snapshot.lineage != self.voter.promise.lineage || !self.bids_for(snapshot.term) {
                self.out.stats.dropped_stale += 1;
                return;
            }
            self.fetch_goes_on(now);
        } else if child {
            if !self.voter.credible(snapshot.term) {
                self.out.stats.dropped_term_leap += 1;
                return;
            }
        } else if !self.attends(now, from, snapshot.lineage, snapshot.term) {
            return;
        }
        if snapshot.total > MAX_IMAGE || snapshot.total == 0 {
            self.out.stats.dropped_oversized += 1;
            return;
        }
        if snapshot.offset == 0 {
            let (term, position, total) = (snapshot.term, snapshot.position, snapshot.total);
            self.incoming = Some(Incoming { from: from.identity, term, position, total, data: BytesMut::new() });
        }
        let heir = self.is_heir(snapshot.lineage);
        let Some(incoming) = &mut self.incoming else { return };
        let same =
            incoming.from == from.identity && incoming.term == snapshot.term && incoming.position == snapshot.position;
        if !same || incoming.total != snapshot.total || incoming.data.len() != snapshot.offset as usize {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        incoming.data.extend_from_slice(&snapshot.data);
        let offset = incoming.data.len() as u32;
        if heir {
            // As long as it comes it is waited for.
            self.leaderless_since = now;
        }
        if offset < incoming.total {
            let (lineage, term, position) = (snapshot.lineage, snapshot.term, snapshot.position);
            let reply = SnapshotReply { lineage, term, position, offset };
            self.out.send(from.conn, Message::SnapshotReply(reply));
            return;
        }
        let Some(incoming) = self.incoming.take() else { return };
        match wire::decode_image(&incoming.data) {
            Ok(image) if image.lineage == snapshot.lineage && image.position == snapshot.position => {
                let mine = image.line.votes(self.voter.identity());
                if child {
                    return self.take_child(now, from, &image, &snapshot);
                }
                if offered && !(mine && self.enter_lineage(now, image.lineage)) {
                    self.out.stats.dropped_unexpected += 1;
                    return;
                }
                self.take_image(now, from, &image, &snapshot);
            }
            _ => self.out.stats.dropped_malformed += 1,
        }
    }

    /// The roll of a child of this voter's lineage, from its leader, or offered where it has none.
    fn take_child(&mut self, now: Time, from: &Origin, image: &Image, last: &Snapshot) {
        if !self.adopt_child(now, image) || last.fetched || !self.attends(now, from, last.lineage, last.term) {
            return;
        }
        let identity = self.voter.identity();
        let (lineage, term, index) = (last.lineage, last.term, image.position.index);
        let reply = AppendReply { lineage, term, identity, matched: true, index };
        self.out.send_durably(from.conn, Message::AppendReply(reply));
    }

    /// The term for which this node asks others for what they have more.
    fn fetches_for(&self) -> Option<Term> {
        self.campaign.bidding().or(self.recovery.called())
    }

    fn fetch_goes_on(&mut self, now: Time) {
        self.campaign.progressed(now);
        self.recovery.progressed(now + self.recovery.patience(self.round() * 2));
    }

    fn take_image(&mut self, now: Time, from: &Origin, image: &Image, last: &Snapshot) {
        if self.log.has(image.position) {
            // A prefix of what is here: it is committed, and what follows it stays, for it was acknowledged.
            self.commit(now, image.position.index);
        } else if image.position.index > self.log.commit() {
            self.tell_inherited(now);
            // What was never told is no loss.
            let told = std::mem::replace(&mut self.told.roll, true);
            let mut further = None;
            if !told && self.is_overtaken_by_told(image) {
                // Of requests what was told says nothing: a newer image is needed.
                self.told.roll = false;
                return self.refuse_image(from, last);
            }
            if !told {
                let available = self.is_available();
                let before = self.abandoned.take().filter(|log| available || log.is_before(image));
                // What was told before goes further than this image: it was as committed, so it counts.
                let log = before
                    .as_ref()
                    .filter(|log| log.lineage() == image.lineage && log.committed().index > image.position.index);
                further = log.map(|log| {
                    // A plain member's log has nothing of requests. Where nothing was done about them since, this image has all.
                    let requests = log.requests_after(image);
                    Image { requests, ..log.image() }
                });
                // After a move nothing counts as told.
                self.log = before.filter(|_| !self.told.anew).unwrap_or_else(super::Log::empty);
            }
            let old = self.log.roll().clone();
            let left = self.log.lineage();
            self.install(further.as_ref().unwrap_or(image));
            // What the lineage was founded out of is known only now.
            self.introduce();
            if self.is_available() && left != Lineage::ZERO && left != image.lineage {
                // It went over alone.
                let new = self.log.roll().clone();
                self.tell_crossing(now, left, &old, &new);
            } else {
                self.tell_outcome(now, &old);
                if told {
                    self.tell_missed_mergers(&old);
                }
            }
            self.line_changed(now);
        }
        if last.fetched {
            self.decide_bid(now);
            self.decide_recovery(now);
            if let Some(bid) = self.fetches_for() {
                let fetch = Fetch { lineage: last.lineage, term: bid, after: self.log.committed() };
                self.out.send(from.conn, Message::Fetch(fetch));
            }
            return;
        }
        let (identity, index) = (self.voter.identity(), self.log.commit().min(image.position.index));
        let reply = AppendReply { lineage: last.lineage, term: last.term, identity, matched: true, index };
        self.out.send_durably(from.conn, Message::AppendReply(reply));
    }

    /// True where this node told more of this lineage, as a plain member, than this image has, and there were requests in it.
    fn is_overtaken_by_told(&self, image: &Image) -> bool {
        let before = self.abandoned.as_ref().filter(|log| log.lineage() == image.lineage);
        before.is_some_and(|log| log.committed().index > image.position.index && log.condensed() > image.position.index)
    }

    /// The leader has to make another one.
    fn refuse_image(&mut self, from: &Origin, last: &Snapshot) {
        if !last.fetched {
            let identity = self.voter.identity();
            let (lineage, term) = (last.lineage, last.term);
            let reply = AppendReply { lineage, term, identity, matched: false, index: Index::ZERO };
            self.out.send_durably(from.conn, Message::AppendReply(reply));
        }
    }

    /// Tells what changed in a roll; who left has sent nothing that is still to be handed on.
    pub(super) fn tell_changes(&mut self, now: Time, changes: Vec<Event>) {
        for event in changes {
            match event {
                Event::Joined { info, slot } => self.tell_joined(now, slot, info),
                Event::Left { ref id, incarnation, .. } => {
                    self.sender_left(now, id, incarnation);
                    self.out.event(event);
                }
                event => self.out.event(event),
            }
        }
    }

    /// What came of this incarnation, or an earlier one, and wasn't handed on is handed on no more.
    pub(super) fn sender_left(&mut self, now: Time, id: &NodeId, incarnation: Incarnation) {
        self.lanes.left(now, id, incarnation, &mut self.out);
        self.asks.sender_left(id, incarnation);
        self.requests_before(id, Incarnation(incarnation.0.saturating_add(1)));
    }

    /// Tells of a member. It may have been told to have left in a lineage that this one was founded out of, or took in; and
    /// what it sent as an earlier incarnation, which may never have been on a roll here, is handed on no more.
    pub(super) fn tell_joined(&mut self, now: Time, slot: Slot, info: MemberInfo) {
        self.lanes.back(now, &info.id, info.incarnation, &mut self.out);
        self.requests_before(&info.id, info.incarnation);
        self.asks.sender_left(&info.id, Incarnation(info.incarnation.0.saturating_sub(1)));
        self.out.event(Event::Joined { info, slot });
    }

    /// What happened between an older roll and the present one is told as its outcome.
    pub(super) fn tell_outcome(&mut self, now: Time, old: &Roll) {
        self.hear_before(old);
        self.tell_changes(now, outcome(old, self.log.roll()));
        self.out.messages_wait();
    }

    /// True where this node tells the leader by beats that it lives. Voters do so too, besides their acknowledgements:
    /// a beat that finds no entry is answered.
    pub(super) fn beats(&self) -> bool {
        self.lead.is_none()
    }

    /// True where the roll says all of this node that it should.
    pub(super) fn joined(&self) -> bool {
        self.lead.is_some()
            || self.leaving.is_some()
            || self.follower.registration.is_some_and(|r| r.revision >= self.me.revision)
    }

    pub(super) fn tick_follower(&mut self, now: Time) {
        if self.lead.is_some() {
            return;
        }
        let (beats, joined) = (self.beats(), self.joined());
        let mut needs = Vec::new();
        let out = &mut self.out;
        self.follower.tick(now, beats, joined, |dest, datagram| out.datagram(dest, datagram), |need| needs.push(need));
        for need in needs {
            match need {
                Need::Seek(attempt) => self.seek(now, attempt),
                Need::Refresh(addr) => {
                    let seek = self.question(0);
                    self.out.datagram(Dest::Addr(addr), seek);
                }
                // What it accepted may have come about: it is heard of, or its proposer frees it.
                Need::Join(_) if self.follower.view.as_ref().is_some_and(|v| self.is_bound_elsewhere(v)) => {}
                Need::Join(addr) => {
                    self.out.stats.joins_out += 1;
                    let join = Join {
                        nonce: self.follower.nonce,
                        lineage: self.lineage(),
                        heard: self.follower.heard_multicast(),
                        info: self.description(),
                    };
                    self.out.datagram(Dest::Addr(addr), Datagram::Join(join));
                }
            }
        }
    }

    fn question(&self, attempt: u16) -> Datagram {
        Datagram::Seek(Seek {
            from: members::sender(&self.me),
            nonce: self.follower.nonce,
            attempt,
            lineage: self.lineage(),
            term: self.voter.promise.seen.max(self.told.term),
        })
    }

    /// Asks everywhere that is configured, and some of those who led or could.
    pub(super) fn seek(&mut self, _now: Time, attempt: u16) {
        let seek = self.question(attempt);
        if self.config.multicast {
            self.out.datagram(Dest::Bench, seek.clone());
        }
        if self.config.broadcast {
            self.out.datagram(Dest::Broadcast, seek.clone());
        }
        if self.config.seeds {
            self.out.datagram(Dest::Seeds, seek.clone());
        }
        let mut addrs: Vec<_> = self
            .log
            .line()
            .seats()
            .iter()
            .filter(|s| s.id != self.me.id)
            .filter_map(|s| s.addrs.first().copied())
            .collect();
        if addrs.is_empty() {
            addrs.extend(self.follower.view.iter().flat_map(|v| &v.line).map(|s| s.addr));
        }
        let turn = (!addrs.is_empty()).then(|| addrs[usize::from(attempt) % addrs.len()]);
        if let Some(addr) = turn {
            self.out.datagram(Dest::Addr(addr), seek.clone());
        }
        if let Some(addr) = self.follower.hint.take() {
            self.follower.asked_back = Some(addr);
            if turn != Some(addr) {
                self.out.datagram(Dest::Addr(addr), seek);
            }
        }
    }

    /// A leadership that is new to this node.
    pub(super) fn leader_is_new(&mut self, now: Time) {
        let known = self.follower.bond().and_then(|b| self.seat_of(b.leader)).is_some();
        if !known && self.follower.registration.is_some() {
            self.follower.refresh(now, true);
        }
    }

    /// Which voter of the line this is, as far as this node knows the line.
    pub(super) fn seat_of(&self, tag: VoterTag) -> Option<crate::types::NodeId> {
        let by_roll = self.log.line().by_tag(tag).or_else(|| self.log.roll().line().by_tag(tag));
        by_roll.map(|s| s.id.clone()).or_else(|| self.follower.seat(tag).map(|s| s.id.clone()))
    }

    pub(super) fn take_view(&mut self, now: Time, view: View) {
        // Who answers first may be a plain member; and the line that a voter holds may be older than its members' addresses.
        for seat in &view.line {
            self.peers.note(now, &super::members::seat_ref_info(seat), view.lineage, false);
        }
        let older =
            self.follower.view.as_ref().is_some_and(|v| {
                v.lineage == view.lineage && (v.line_version.wrapping_sub(view.line_version) as i32) > 0
            });
        if !older {
            self.follower.view = Some(view);
        }
    }

    /// A voter learns from the line whom it follows, and from the roll that it is on it.
    pub(super) fn follow_line(&mut self, now: Time) {
        if !self.me.standing.votes() {
            return;
        }
        let tag = self.voter.followed().filter(|f| f.leader.is_none()).map(|f| f.tag);
        let leader = tag.and_then(|tag| self.log.line().by_tag(tag)).map(|s| (s.id.clone(), s.identity));
        if let (Some(f), Some(leader)) = (self.voter.followed_mut(), leader) {
            f.leader = Some(leader);
        }
        if self.log.is_empty() {
            return self.step_back(now);
        }
        if self.is_namesake_of_itself() {
            // It was put on the roll as the voter that it would have been, had it gone over from elsewhere.
            self.renew_incarnation(now, self.me.incarnation);
        }
        match (self.log.roll().find(&self.me.id), self.follower.registration) {
            (Some((slot, generation, info)), registered) if info.incarnation == self.me.incarnation => {
                let lineage = self.log.lineage();
                // The leader's answer may come before the entry.
                let same = |r: &Registration| (r.lineage, r.slot, r.generation) == (lineage, slot, generation);
                let answered = registered.filter(same).map_or(0, |r| r.revision);
                let revision = info.revision.max(answered);
                let since = self.log.roll().since(slot);
                let now_is = Registration { lineage, slot, generation, revision, since };
                let restands = info.standing != self.wanted && !self.log.roll().is_retired(&self.me.id);
                if info.revision >= self.me.revision && (info.capabilities != self.me.capabilities || restands) {
                    // Taken in with its lineage by an older roll.
                    self.me.revision = info.revision.saturating_add(1);
                }
                if registered != Some(now_is) && !self.follower.is_disowned(&now_is) {
                    self.follower.registered(now, now_is);
                }
            }
            (_, Some(r)) if r.lineage == self.log.lineage() && self.lead.is_none() => {
                // The answer may have come before the entry; the entry is then on its way. A roll that names another
                // incarnation, or none, after that is a registration undone.
                let gone = self.log.roll().departed(&self.me.id).is_some_and(|i| i >= self.me.incarnation);
                let other =
                    self.log.roll().find(&self.me.id).is_some_and(|(_, _, i)| i.incarnation > self.me.incarnation);
                if self.leaving.is_some() && (gone || other) {
                    return self.left(now);
                }
                if gone && !other {
                    // Taken off the roll while alive: only a larger incarnation may come back.
                    self.renew_incarnation(now, self.me.incarnation);
                } else if other {
                    self.follower.unregister(now);
                }
            }
            _ => {}
        }
        self.follow_decisions(now);
    }

    pub(super) fn leave(&mut self, now: Time) {
        if self.leaving.is_some() {
            return;
        }
        let until = now + self.config.detection() * 2 + self.round() * 8;
        // A leader hands over first, where somebody is in sync; what follows, follows when that has ended.
        let hands_over = self.handover.is_some() || self.hand_over(now, None).is_ok();
        self.leaving = Some(Leaving { next: until, until });
        if !hands_over {
            self.depart(now, until);
        }
    }

    /// Goes, as no leader any more.
    pub(super) fn depart(&mut self, now: Time, until: Time) {
        let others = self.log.line().voters().filter(|s| s.identity != self.voter.identity()).count();
        let was_leader = self.lead.is_some();
        self.resign(now, true);
        if self.follower.registration.is_none() || (was_leader && others == 0) {
            return self.left(now);
        }
        self.leaving = Some(Leaving { next: now, until });
    }

    pub(super) fn tick_leaving(&mut self, now: Time) {
        let Some(leaving) = self.leaving else { return };
        if now >= leaving.until {
            return self.left(now);
        }
        if now < leaving.next {
            return;
        }
        let pause = (self.config.heartbeat() / 8).max(std::time::Duration::from_millis(5));
        self.leaving = Some(Leaving { next: now + pause, ..leaving });
        if self.follower.registration.is_none() {
            return self.left(now);
        }
        let Some((r, addr)) = self.follower.farewell() else { return };
        let leave =
            Leave { lineage: r.lineage, slot: r.slot, generation: r.generation, incarnation: self.me.incarnation };
        self.out.datagram(Dest::Addr(addr), Datagram::Leave(leave));
    }
}

/// What happened between an older roll and a newer one, told as its outcome.
pub(super) fn outcome(old: &Roll, roll: &Roll) -> Vec<Event> {
    let stayed = |other: &Roll, info: &MemberInfo| {
        other.find(&info.id).filter(|(_, _, o)| o.incarnation == info.incarnation).map(|(_, _, o)| o.revision)
    };
    let same_owner = |other: &Roll, name: &Name, info: &MemberInfo| {
        other.owner(name).is_some_and(|(_, o)| (&o.id, o.incarnation) == (&info.id, info.incarnation))
    };
    let mut events = Vec::new();
    for (name, _) in old.names().filter(|(name, info)| !same_owner(roll, name, info)) {
        events.push(Event::Name { name: name.clone(), owner: None });
    }
    for (_, _, info) in old.members().filter(|(_, _, i)| stayed(roll, i).is_none()) {
        let (id, incarnation, reason) = (info.id.clone(), info.incarnation, LeftReason::Left);
        events.push(Event::Left { id, incarnation, reason });
    }
    for (slot, _, info) in roll.members() {
        match stayed(old, info) {
            None => events.push(Event::Joined { info: info.clone(), slot }),
            Some(revision) if revision != info.revision => {
                let MemberInfo { id, incarnation, standing, capabilities, .. } = info.clone();
                events.push(Event::Updated { id, incarnation, slot, standing, capabilities });
            }
            Some(_) => {}
        }
    }
    for (name, info) in roll.names().filter(|(name, info)| !same_owner(old, name, info)) {
        events.push(Event::Name { name: name.clone(), owner: Some(info.id.clone()) });
    }
    events
}
