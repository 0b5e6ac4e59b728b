//! The node's side of a recovery: who is left of a line that is dead, and what they found.

use super::super::border::CommandError;
use super::super::event::{Event, Notice};
use super::super::peers::Peer;
use super::super::planted::Bug;
use super::super::recovery::{self, Outlook, Step};
use super::Node;
use super::streams::Origin;
use crate::types::{ConnId, Identity, Line, Lineage, MemberInfo, NodeId, Position, Seat, Slot, Standing, Term, Time};
use crate::wire::{self, Change, Entry, Fetch, Image, Message, Muster, Recover, RecoverReply};
use std::collections::BTreeSet;

impl Node {
    /// True where this voter may be one of those that are left of a line.
    fn musters(&self, now: Time) -> bool {
        let leaderless = self.lead.is_none() && self.voter.followed().is_none();
        let waited = self.voter.promise.sealed || now - self.leaderless_since > self.config.detection() * 2;
        self.me.standing.votes()
            && self.voter.promise.lineage != Lineage::ZERO
            && !self.out.store_failed
            && leaderless
            && waited
            && !self.awaits_heir(now)
    }

    pub(super) fn recovery_deadline(&self) -> Time {
        if self.lead.is_some() || self.voter.followed().is_some() || self.voter.promise.lineage == Lineage::ZERO {
            return Time::NEVER;
        }
        if self.merging.heir.is_some() {
            return self.recovery.deadline().max(self.leaderless_since + self.config.parting());
        }
        if self.voter.promise.sealed {
            return self.recovery.deadline();
        }
        self.recovery.deadline().max(self.leaderless_since + self.config.detection() * 2)
    }

    /// Who may vote in the lineage, by all that this roll says; those of the line in force are marked. An id that has a seat
    /// and doesn't vote is among them without an identity.
    pub(crate) fn possible_voters(&self) -> Vec<Seat> {
        let mut all: Vec<Seat> = self.log.line().voters().cloned().collect();
        // A line that isn't known to be committed may not be: then the one before it is in force.
        let lines: Vec<Line> = self.log.line_before().into_iter().chain([self.log.roll().line().clone()]).collect();
        let seated = lines.iter().flat_map(|line| line.voters().cloned());
        let member = |slot, info: &MemberInfo| Seat { voting: false, ..Seat::of(info, slot, 0) };
        let slots: Vec<Seat> = (self.log.roll().members())
            .filter(|(_, _, i)| self.log.roll().standing(i).votes())
            .map(|(slot, _, info)| member(slot, info))
            .collect();
        // What isn't known to be committed may be: after a restart that is all since the snapshot, and who has left since.
        let mut newer: Vec<Seat> = Vec::new();
        for entry in self.log.uncommitted() {
            match &entry.change {
                Change::Joined { slot, info, .. } if info.standing.votes() => newer.push(member(*slot, info)),
                Change::Restood { slot, standing, identity, .. } if standing.votes() => {
                    let info = self.log.roll().get(*slot).map(|(_, info)| info);
                    newer.extend(info.map(|i| Seat { identity: *identity, ..member(*slot, i) }));
                }
                // Where its retirement isn't carried out yet it is on the line.
                Change::Retired { id } => newer.retain(|s| s.id != *id),
                Change::Left { slot, .. } | Change::Restood { slot, .. } => newer.retain(|s| s.slot != *slot),
                _ => {}
            }
        }
        for seat in seated.chain(slots).chain(newer) {
            if all.iter().all(|s| s.identity != seat.identity) {
                all.push(Seat { voting: false, ..seat });
            }
        }
        for seat in &mut all {
            // The roll knows it by its last address, the line by that with which it was admitted.
            if let Some((_, info)) =
                self.log.roll().identity(seat.identity).filter(|(_, i)| i.incarnation > seat.incarnation)
            {
                (seat.incarnation, seat.addrs) = (info.incarnation, info.addrs.clone());
            }
        }
        for seat in self.log.line().seats().iter().filter(|s| !s.voting) {
            if all.iter().all(|s| s.id != seat.id) {
                all.push(Seat { identity: Identity::ZERO, ..seat.clone() });
            }
        }
        all
    }

    /// Whether it is proven to this node that a voter is no more. One that had a store may come back with it, unless the
    /// store that its id has now belongs to another voter.
    fn is_voter_gone(&self, seat: &Seat) -> bool {
        let proven = !self.bug.has(Bug::CountWithoutProof);
        let has_store =
            self.me.durable && seat.id == self.me.id || self.peers.get(&seat.id).is_some_and(|p| p.info.durable);
        if seat.identity == Identity::ZERO {
            return false;
        }
        // Where this node listens itself nobody else does.
        let replaced = if seat.id == self.me.id {
            seat.addrs.iter().all(|a| self.me.addrs.contains(a)) || self.peers.is_former(seat)
        } else {
            self.peers.get(&seat.id).is_some_and(|p| p.replaced(seat, proven))
        };
        // It gave its vote up once a line without it was committed. Where the newest line that those left hold has it yet, there
        // is a newer one, of which nobody here knows who votes in it: so that says nothing of who is left. Nor does a line
        // that is older than what somebody knows of it.
        let off_line = !self.log.line().voters().any(|s| s.identity == seat.identity)
            && !self.recovery.is_known_beyond(seat.identity, self.log.last());
        let stepped_down = off_line && self.peers.get(&seat.id).is_some_and(|p| p.has_stepped_down(seat));
        seat.identity != self.voter.identity() && (replaced && (!seat.durable || has_store) || stepped_down)
    }

    /// True where a side without a majority goes on by itself: nobody led for long.
    fn is_patient_no_more(&self, now: Time) -> bool {
        self.is_available() && now - self.leaderless_since > self.config.parting()
    }

    /// True where a side without a majority goes on without this voter: it isn't reached, or went on elsewhere already.
    fn is_given_up(&self, now: Time, seat: &Seat) -> bool {
        self.is_patient_no_more(now)
            && seat.identity != Identity::ZERO
            && seat.identity != self.voter.identity()
            && !self.peers.ready().any(|(p, _)| p.info.identity == seat.identity && !self.is_elsewhere(p))
    }

    /// True where a peer belongs to another lineage than this voter: in this one it never acts again.
    fn is_elsewhere(&self, peer: &Peer) -> bool {
        peer.lineage != Lineage::ZERO && peer.lineage != self.voter.promise.lineage
    }

    /// True where a peer belongs to the lineage of which this voter's own is part: from there its roll comes.
    fn is_of_heir(&self, peer: &Peer) -> bool {
        let ordered = self.recovery.ordered.contains(&peer.info.id);
        !ordered && (self.is_heir(peer.lineage) || peer.parents.iter().any(|parent| self.is_heir(*parent)))
    }

    fn account(&self, now: Time) -> Muster {
        let mut voters = self.possible_voters();
        let ordered =
            |s: &&Seat| self.recovery.ordered.contains(&s.id) && self.peers.conn_of(&s.id, s.identity).is_none();
        // What others know of may be told apart here as well.
        let all = voters.iter().chain(self.recovery.named());
        let gone: BTreeSet<Identity> = all
            .filter(|s| self.is_voter_gone(s) || ordered(s) || self.is_given_up(now, s))
            .map(|s| s.identity)
            .take(wire::MAX_VOTERS)
            .collect();
        let gone = gone.into_iter().collect();
        if let Some(mine) = voters.iter_mut().find(|s| s.identity == self.voter.identity()) {
            // Whatever its seat says, it leads only where it is a candidate.
            mine.witness |= !self.is_candidate();
        }
        let heard = self.peers.ready().map(|(p, _)| p.term).max().unwrap_or_default();
        let term = self.voter.promise.seen.max(self.sought).max(heard).max(self.recovery.highest);
        Muster {
            lineage: self.voter.promise.lineage,
            term,
            position: self.log.last(),
            sealed: self.voter.promise.sealed,
            voters,
            gone,
        }
    }

    /// How it stands with the line of this lineage, as far as this node knows.
    fn outlook(&self, now: Time) -> (Muster, Outlook) {
        let own = self.account(now);
        let me = self.voter.identity();
        let hollow = |who| self.peers.ready().any(|(p, _)| p.info.identity == who && p.lineage == Lineage::ZERO);
        let parts = self.is_patient_no_more(now);
        let given_up = |id: &NodeId| parts || self.recovery.ordered.contains(id);
        let here =
            |id: &NodeId| given_up(id) || *id == self.me.id || self.peers.get(id).is_some_and(|p| p.conn.is_some());
        let outlook = self.recovery.outlook(me, &own, hollow, here);
        // Who belongs to the lineage, or already to a child of it, may know of a newer line: it has to be heard.
        let unheard = |p: &&Peer| {
            let mute = p.lineage == own.lineage && !self.recovery.has_told(p.info.identity);
            mute || p.parents.contains(&own.lineage) && !parts || self.is_of_heir(p)
        };
        let unheard: Vec<NodeId> =
            self.peers.ready().map(|(p, _)| p).filter(unheard).map(|p| p.info.id.clone()).collect();
        match outlook {
            Outlook::Ready { .. } if !unheard.is_empty() => (own, Outlook::Waits(unheard)),
            outlook => (own, outlook),
        }
    }

    /// Whom a convention without a leader waits for.
    pub(super) fn awaited(&self) -> Vec<NodeId> {
        if !self.recovery.waits.is_empty() {
            return self.recovery.waits.clone();
        }
        let me = self.voter.identity();
        let absent =
            |s: &&Seat| s.identity != me && self.peers.conn_of(&s.id, s.identity).is_none() && !self.is_voter_gone(s);
        self.log.line().voters().filter(absent).map(|s| s.id.clone()).collect()
    }

    pub(super) fn tick_recovery(&mut self, now: Time) {
        if !self.musters(now) {
            if self.lead.is_some() || self.voter.followed().is_some() {
                self.recovery.reset();
            }
            return;
        }
        let pause = self.round() + self.rng.up_to(self.round() * 2);
        if self.recovery.expire(now, pause) {
            self.recovery.hurry(now);
        }
        if !self.recovery.is_due(now) {
            return;
        }
        let lineage = self.voter.promise.lineage;
        let present: Vec<Identity> =
            self.peers.ready().filter(|(p, _)| p.lineage == lineage).map(|(p, _)| p.info.identity).collect();
        self.recovery.forget(now, |who| present.contains(&who));
        let provable = |s: &&Seat| {
            s.identity != Identity::ZERO && self.log.roll().identity(s.identity).is_none_or(|(_, i)| i.provable)
        };
        for seat in self.possible_voters().iter().chain(self.recovery.named()).filter(provable) {
            // Who is off the line doesn't dial, and may be the one that is waited for.
            if self.peers.get(&seat.id).is_none() {
                self.peers.note(now, &super::members::seat_info(seat), lineage, false);
            }
            self.peers.prove(now, seat, &mut self.out);
        }
        let (own, outlook) = self.outlook(now);
        let conns: Vec<ConnId> = self.peers.ready().filter(|(p, _)| p.lineage == lineage).map(|(_, c)| c).collect();
        let mut told = own.clone();
        // Where there are more nobody can name all of them, and this node promises nothing to whoever doesn't.
        told.voters.truncate(wire::MAX_VOTERS);
        for conn in conns {
            self.out.send_durably(conn, Message::Muster(told.clone()));
        }
        self.recovery.waits = match &outlook {
            Outlook::Waits(ids) => ids.clone(),
            _ => Vec::new(),
        };
        let founds =
            matches!(&outlook, Outlook::Ready { founder, .. } if *founder == self.voter.identity()) && !self.is_going();
        self.recovery.lacks_heir = founds && !self.may_lead_child() && self.heir().is_none();
        let Outlook::Ready { voters, gone, .. } = outlook else { return };
        if founds && !self.recovery.lacks_heir && !self.recovery.is_calling(now) {
            self.call_survivors(now, own.term, voters, gone);
        }
    }

    pub(super) fn on_muster(&mut self, now: Time, from: &Origin, muster: Muster) {
        if muster.lineage != self.voter.promise.lineage
            || muster.lineage == Lineage::ZERO
            || !self.voter.credible(muster.term)
        {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        if self.musters(now) {
            self.recovery.told(now, from.identity, muster);
        }
    }

    /// Asks all that are left, after this node itself has promised.
    fn call_survivors(&mut self, now: Time, seen: Term, voters: Vec<Identity>, gone: Vec<Identity>) {
        let me = self.voter.identity();
        let above = if self.bug.has(Bug::RecoveryTermTooLow) { self.log.last().term } else { seen };
        let Some(term) = above.next() else { return };
        if !self.voter.accept_recovery(now, me, term, &mut self.out) {
            return;
        }
        self.campaign.idle();
        let order = Recover {
            lineage: Lineage(self.rng.nonzero()),
            parent: self.voter.promise.lineage,
            term,
            voters: voters.clone(),
            gone,
        };
        let conns: Vec<ConnId> =
            self.peers.ready().filter(|(p, _)| voters.contains(&p.info.identity)).map(|(_, c)| c).collect();
        let until = now + self.recovery.patience(self.round() * 2);
        self.recovery.call(order.clone(), until, self.out.ticket());
        for conn in conns {
            self.out.send_durably(conn, Message::Recover(order.clone()));
        }
        self.decide_recovery(now);
    }

    pub(super) fn on_recover(&mut self, now: Time, from: &Origin, order: &Recover) {
        let me = self.voter.identity();
        let named = order.voters.contains(&me) && order.voters.contains(&from.identity);
        if !named || order.parent == Lineage::ZERO || order.lineage == Lineage::ZERO {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        // Who holds nothing of the parent promises as well.
        if !self.enter_lineage(now, order.parent) {
            return;
        }
        // Where each side goes on by itself, those that did are gone.
        let parts = self.is_available();
        let forgotten = |p: &Peer| {
            p.lineage == order.parent && !order.voters.contains(&p.info.identity)
                || p.parents.contains(&order.parent) && !parts
                || self.is_of_heir(p)
        };
        let gone = |p: &Peer| order.gone.contains(&p.info.identity) && !(parts && self.is_elsewhere(p));
        let lives = self.peers.ready().any(|(p, _)| gone(p) || forgotten(p));
        let quiet = self.lead.is_none()
            && self.voter.followed().is_none()
            && !self.awaits_heir(now)
            && (self.voter.promise.sealed || !self.follower.hears(now, self.config.detection()));
        let complete = recovery::names_all(order, &self.possible_voters()) || self.bug.has(Bug::RecoverWithoutAll);
        let granted = quiet
            && complete
            && !lives
            && !self.out.store_failed
            && self.voter.accept_recovery(now, from.identity, order.term, &mut self.out);
        if granted {
            self.campaign.idle();
            let pause = self.round() * 2 + self.rng.up_to(self.round());
            self.recovery.withdraw(now, pause);
        }
        let reply = RecoverReply {
            lineage: order.lineage,
            term: order.term,
            granted,
            seen: self.voter.promise.seen,
            position: self.log.last(),
        };
        self.out.send_durably(from.conn, Message::RecoverReply(reply));
    }

    pub(super) fn on_recover_reply(&mut self, now: Time, from: &Origin, reply: &RecoverReply) {
        if !self.voter.credible(reply.seen) {
            self.out.stats.dropped_term_leap += 1;
            return;
        }
        self.recovery.answered(from.identity, reply);
        self.decide_recovery(now);
    }

    /// True where this node asks for this founding and has promised nothing since.
    pub(super) fn calls_for(&self, term: Term) -> bool {
        let promise = &self.voter.promise;
        self.recovery.called() == Some(term) && promise.term == term && promise.granted == Some(promise.identity)
    }

    pub(super) fn decide_recovery(&mut self, now: Time) {
        let me = self.voter.identity();
        match self.recovery.decide(me, self.log.last(), self.out.durable()) {
            None => {}
            Some(Step::Fetch(source, term)) => {
                let conn = self.peers.ready().find(|(p, _)| p.info.identity == source).map(|(_, c)| c);
                let fetch = Fetch { lineage: self.voter.promise.lineage, term, after: self.log.committed() };
                if let Some(conn) = conn {
                    self.out.send(conn, Message::Fetch(fetch));
                }
            }
            Some(Step::Found(order)) => {
                let promise = &self.voter.promise;
                if promise.term == order.term && promise.granted == Some(me) && promise.lineage == order.parent {
                    self.found_child(now, &order);
                }
            }
        }
    }

    /// All that are left have promised: this node leads the child, though nobody is told before its first entry is
    /// committed.
    fn found_child(&mut self, now: Time, order: &Recover) {
        let whole = self.log.whole_image();
        let mut seats: Vec<Seat> = whole.line.seats().to_vec();
        for seat in &mut seats {
            seat.voting &= order.voters.contains(&seat.identity);
        }
        let (me, leads) = (self.voter.identity(), self.may_lead_child());
        if self.is_off() {
            // Retired, and off the line already: it stays so.
        } else if let Some(mine) = seats.iter_mut().find(|s| s.id == self.me.id) {
            // Off the line by a change that nobody else knows of, or on it again.
            (mine.voting, mine.identity, mine.durable) = (true, me, self.me.durable);
        } else {
            let mine = self.possible_voters().into_iter().find(|s| s.identity == me);
            if let Some(mine) = mine.or_else(|| leads.then(|| self.newcomer(&self.me))) {
                seats.truncate(crate::types::MAX_SEATS - 1);
                seats.push(Seat { voting: true, admitted: whole.line.next_admission(), ..mine });
            }
        }
        if let Some(heir) = self.heir().filter(|_| !leads) {
            seats.retain(|s| s.id != heir.id);
            seats.truncate(crate::types::MAX_SEATS - 1);
            seats.push(Seat { admitted: whole.line.seat(&heir.id).map_or(heir.admitted, |s| s.admitted), ..heir });
        }
        let index = whole.position.index.next().unwrap_or(whole.position.index);
        let image = Image {
            lineage: order.lineage,
            parents: recovery::parents_of_child(order.parent, &whole.parents),
            position: Position { term: order.term, index },
            line: Line::new(whole.line.version().wrapping_add(1), seats),
            ..whole
        };
        #[cfg(feature = "sim")]
        {
            self.answers_founded = self.log.uncommitted().flat_map(|e| self.answers_at(e.index)).collect();
        }
        let before = self.log.clone();
        self.install(&image);
        // What of it was told, and what is news, is told with its first commit. Where that of a child before this one never
        // came, what was told is still as it was before that.
        let told = std::mem::replace(&mut self.told.roll, false);
        if self.inherited.is_none() {
            // Where nothing of the parent was told, what was told before counts.
            let told = if told { Some(before.clone()) } else { self.told_before(&image) };
            self.inherited = Some((before, told));
        }
        self.belong_to_child(now, order.lineage, order.term, Some(me));
        if leads {
            self.become_leader(now, order.term, true);
        } else {
            // It never leads: the heir does, once it has the roll.
            self.tell_inherited(now);
            self.line_changed(now);
            self.give_roll(now);
        }
    }

    /// True where this node was taken off the line for good, by all that it holds, and is off it.
    fn is_off(&self) -> bool {
        let retired = |e: &&Entry| matches!(&e.change, Change::Retired { id } if *id == self.me.id);
        let decided = self.log.roll().is_retired(&self.me.id) || self.log.uncommitted().any(|e| retired(&e));
        decided && !self.log.line().votes(self.voter.identity())
    }

    /// True where this node may lead a child that it founds.
    fn may_lead_child(&self) -> bool {
        self.is_candidate() && !self.is_off()
    }

    /// A candidate that restarted and holds nothing: where only witnesses are left, it gets the roll and may lead.
    fn heir(&self) -> Option<Seat> {
        let ours = self.voter.promise.lineage;
        // It may have come into the lineage already, by its registration or by its promise for what this node founds.
        let hollow = |p: &Peer| {
            p.lineage == Lineage::ZERO || p.lineage == ours && !self.recovery.holds_something(p.info.identity)
        };
        let free = |p: &&Peer| hollow(p) && p.info.standing == Standing::Candidate;
        let first = self
            .peers
            .ready()
            .map(|(p, _)| p)
            .filter(free)
            .max_by(|a, b| (a.info.priority, &b.info.id).cmp(&(b.info.priority, &a.info.id)))?;
        Some(self.newcomer(&first.info))
    }

    /// The seat of a candidate that the roll knows no seat of.
    fn newcomer(&self, info: &MemberInfo) -> Seat {
        let admitted = self.log.line().next_admission();
        let known = self.log.roll().find(&info.id).filter(|(_, _, known)| known.incarnation == info.incarnation);
        let slot = known.map_or(Slot(u32::MAX), |(slot, _, _)| slot);
        Seat::of(info, slot, admitted)
    }

    /// Whether [`Command::Recover`](super::super::Command::Recover) could be carried out now.
    ///
    /// # Errors
    /// [`CommandError::NotToRecover`] where there is a leader, or one of these is there, or is no voter of the line.
    pub fn check_recovery(&self, without: &[NodeId]) -> Result<(), CommandError> {
        let known = self.possible_voters();
        let dropped = |id: &NodeId| {
            let mut voters = known.iter().filter(|s| s.id == *id).peekable();
            voters.peek().is_some() && voters.all(|s| self.peers.conn_of(&s.id, s.identity).is_none())
        };
        let leaderless = self.me.standing.votes() && self.lead.is_none() && self.voter.followed().is_none();
        let recovers = leaderless && !without.is_empty() && !without.contains(&self.me.id);
        if recovers && without.iter().all(dropped) || self.may_be_freed(without) {
            Ok(())
        } else {
            Err(CommandError::NotToRecover)
        }
    }

    /// An operator drops voters: what they alone hold is lost, and should one of them live, there are two conventions.
    pub(super) fn order_recovery(&mut self, now: Time, without: Vec<NodeId>) {
        if self.may_be_freed(&without) {
            self.free_by_order(now);
        } else {
            self.recovery.ordered = without.iter().cloned().collect();
            self.recovery.hurry(now);
        }
        self.out.event(Event::Network(Notice::RecoveryOrdered(without)));
    }
}
