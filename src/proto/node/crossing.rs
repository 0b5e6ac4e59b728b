//! Going over: a lineage ends and goes on in another; what its voters and members become there, and what they are told.

use super::super::border::Dest;
use super::super::event::{Conflict, Event};
use super::super::follower::Registration;
use super::super::merging::{Stage, reborn};
use super::super::planted::Bug;
use super::super::roll::{MAX_SLOT, Roll};
use super::Node;
use super::streams::Origin;
use crate::types::{Incarnation, Index, Lineage, MemberInfo, NodeId, Seat, Slot, Term, Time};
use crate::wire::{
    self, Absorbed, AppendReply, Datagram, Ended, Heartbeat, MAX_RUNS, Merger, Message, Promise, Run, SeatRef, View,
};
use std::net::SocketAddr;

impl Node {
    /// A lineage was taken into another.
    pub(super) fn on_ended(&mut self, now: Time, from: &Origin, ended: Ended) {
        let ours = self.voter.promise.lineage;
        if ours == Lineage::ZERO || ended.lineage != ours || ended.into == ours || ended.into == Lineage::ZERO {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        let term = self.lead.as_ref().map(|l| l.leadership.term);
        let by_partner = match &self.merging.stage {
            Stage::Yielding(y) => {
                // One offer may be accepted twice, where it comes late: what ended is the roll that was handed over.
                let handed_over = y.image.is_some() && y.position == ended.upto;
                let that_offer = (y.to.1, y.number, y.into) == (from.identity, ended.number, ended.into);
                handed_over && that_offer && term == Some(y.term)
            }
            _ => false,
        };
        if by_partner {
            return self.end_lineage(now, ended);
        }
        let leader = self.voter.followed().and_then(|f| f.leader.as_ref().map(|(_, who)| *who));
        let by_leader = leader == Some(from.identity);
        let theirs = self.peers.get(&from.id).is_some_and(|p| p.lineage == ended.into);
        let orphan = self.lead.is_none()
            && self.voter.followed().is_none()
            && !self.follower.hears(now, self.config.detection())
            && theirs
            && (self.log.last() <= ended.upto || self.bug.has(Bug::CrossWithMore));
        if self.out.store_failed || !(by_leader || orphan) {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        if self.is_heir(ended.into) {
            // It is waited for: the roll may be on its way.
            self.leaderless_since = now;
            return;
        }
        if !by_leader && self.awaits_heir(now) && self.incoming.is_some() {
            // One of two that both have its lineage: the roll of the first is on its way.
            return;
        }
        self.await_heir(now, &ended);
    }

    /// This leader's lineage is part of another one now: it tells all, and acts in it no more.
    fn end_lineage(&mut self, now: Time, ended: Ended) {
        let (ours, into, done) = (self.voter.promise.lineage, ended.into, ended.clone());
        let Some(mut lead) = self.lead.take() else { return };
        let told = Ended { number: 0, ..ended.clone() };
        let voters: Vec<_> = self.peers.ready().filter(|(p, _)| p.lineage == ours).map(|(_, conn)| conn).collect();
        for conn in voters {
            self.out.send(conn, Message::Ended(told.clone()));
        }
        let seat_ref = |s: &Seat| {
            let (id, voter, addr) = (s.id.clone(), s.identity.tag(), *s.addrs.first()?);
            Some(SeatRef { id, voter, incarnation: s.incarnation, priority: s.priority, voting: s.voting, addr })
        };
        let view = View {
            lineage: into,
            parents: ended.parents,
            term: ended.term,
            leader: Some(ended.leader),
            line_version: ended.line_version,
            line: ended.seats.iter().filter_map(seat_ref).collect(),
        };
        let deaf = lead.detector.deaf().filter_map(|slot| self.log.roll().get(slot)?.1.addrs.first().copied());
        let (deaf, term, generation) = (deaf.collect(), lead.leadership.term, ended.generation);
        let some = |runs: &[Run]| Absorbed {
            lineage: ours,
            term,
            generation,
            since: ended.since,
            runs: runs.to_vec(),
            view: view.clone(),
        };
        let datagrams = runs(self.log.roll(), ended.base).chunks(MAX_RUNS).map(some).collect();
        self.merging.part(now, datagrams, deaf);
        self.merging.rest(now);
        self.voter.resigned(now);
        self.await_heir(now, &done);
        while let Some((datagrams, deaf)) = self.merging.farewell(now) {
            self.say_farewell(&datagrams, &deaf);
        }
    }

    pub(super) fn say_farewell(&mut self, datagrams: &[Absorbed], deaf: &[SocketAddr]) {
        for datagram in datagrams {
            if self.config.multicast {
                self.out.datagram(Dest::Floor, Datagram::Absorbed(datagram.clone()));
            }
            for addr in deaf {
                self.out.datagram(Dest::Addr(*addr), Datagram::Absorbed(datagram.clone()));
            }
        }
    }

    /// Promises never to act in its lineage again, and waits for the roll of the one that took it in.
    fn await_heir(&mut self, now: Time, ended: &Ended) {
        let into = ended.into;
        self.merging.heir = Some((self.voter.promise.lineage, into));
        self.voter.seal(&mut self.out);
        self.campaign.idle();
        self.follower.unbind(now);
        self.leaderless_since = now;
        self.incoming = None;
        // What the other leader sent before this voter knew was for nothing: it is ready now.
        let leads = |p: &super::super::peers::Peer| p.lineage == into && p.info.identity.tag() == ended.leader;
        let leader = self.peers.ready().find(|(p, _)| leads(p)).map(|(_, conn)| conn);
        if let Some(conn) = leader {
            let (term, identity) = (ended.term, self.voter.identity());
            let reply = AppendReply { lineage: into, term, identity, matched: false, index: Index::ZERO };
            self.out.send_durably(conn, Message::AppendReply(reply));
        }
    }

    /// True where this voter's lineage has just ended, and it waits for the roll of the one that took it in.
    pub(super) fn awaits_heir(&self, now: Time) -> bool {
        self.merging.heir.is_some() && now - self.leaderless_since <= self.config.parting()
    }

    /// True where this voter's lineage ended in that one, as far as it was told.
    pub(super) fn is_heir(&self, lineage: Lineage) -> bool {
        self.merging.heir == Some((self.voter.promise.lineage, lineage))
    }

    /// True where this voter's lineage ended in the one whose roll this is: that roll says so itself.
    pub(super) fn is_absorbed_by(&self, image: &wire::Image) -> bool {
        let ours = self.voter.promise.lineage;
        self.is_heir(image.lineage) && image.absorbed.iter().any(|m| m.lineage == ours)
    }

    /// What this node is where its lineage was taken in: the next incarnation, and where it votes another voter, that has
    /// promised nothing.
    pub(super) fn be_reborn(&mut self, into: Lineage) {
        let behind = self.follower.registration.is_none_or(|r| r.revision < self.me.revision);
        self.me.incarnation = Incarnation(self.me.incarnation.0.saturating_add(1));
        self.me.revision = u32::from(behind);
        let mut promise = Promise { incarnation: self.me.incarnation, ..self.voter.promise.clone() };
        if self.me.standing.votes() {
            promise = Promise {
                identity: if self.bug.has(Bug::SameVoterAfterMerge) {
                    self.me.identity
                } else {
                    reborn(self.me.identity, into)
                },
                lineage: Lineage::ZERO,
                term: Term::ZERO,
                granted: None,
                sealed: false,
                founder: None,
                ..promise
            };
            self.me.identity = promise.identity;
            self.voter.renounce(promise);
        } else {
            self.voter.promise = promise;
            self.out.store(wire::Record::Promise(self.voter.record()));
        }
        self.merging.heir = None;
        self.claimant.pass_over();
    }

    /// The lineage of this plain member was taken into another: so its leader says, and where this member is on the roll
    /// there.
    pub(super) fn on_absorbed(&mut self, now: Time, from: SocketAddr, absorbed: Absorbed) {
        let Absorbed { lineage, term, generation, since, runs, view } = absorbed;
        let by_leader = self.follower.bond().is_some_and(|b| (b.lineage, b.term, b.addr) == (lineage, term, from));
        let registration = self.follower.registration.filter(|r| r.lineage == lineage);
        let sane = view.lineage != Lineage::ZERO && view.lineage != lineage && view.term >= self.told.term;
        let slot = registration
            .and_then(|r| {
                let any = self.bug.has(Bug::SlotOfAnyGeneration);
                let generation = |run: &Run| if any { run.generation } else { r.generation };
                runs.iter().find_map(|run| run.place(r.slot, generation(run)))
            })
            .filter(|s| s.0 < MAX_SLOT);
        let (Some(slot), true) = (slot, by_leader && sane && !self.me.standing.votes() && !self.is_going()) else {
            self.out.stats.dropped_unexpected += 1;
            return;
        };
        let into = view.lineage;
        self.be_reborn(into);
        self.merging.crossed = Some((lineage, into));
        self.told.lineage = into;
        self.follower.unbind(now);
        self.follower.move_to(into);
        let place = Registration { lineage: into, slot, generation, revision: 0, since };
        self.follower.registered(now, place);
        self.follower.told(now, &view);
        self.follower.spread(now);
        self.take_view(now, view);
    }

    // ---- What is told ----

    /// What a voter that was taken in is told: first that it was, then what the other roll says otherwise.
    pub(super) fn tell_crossing(&mut self, now: Time, from: Lineage, old: &Roll, new: &Roll) {
        let lineage = self.lineage();
        let (gained, lost) = difference(old, new);
        let conflicts = if self.bug.has(Bug::ConflictNotTold) { Vec::new() } else { conflicts(old, new) };
        #[cfg(feature = "sim")]
        {
            self.crossed_at = self.held().commit();
        }
        self.out.event(Event::Merged { lineage, absorbed: Some(from), gained, lost, conflicts });
        self.tell_other_roll(now, old, new);
    }

    /// What the roll of another lineage says otherwise: who isn't there left with the lineage that it was in; who was told to
    /// have left there may be here.
    pub(super) fn tell_other_roll(&mut self, now: Time, old: &Roll, new: &Roll) {
        let changes = super::following::outcome(old, new);
        let (left, joined): (Vec<Event>, Vec<Event>) = changes.into_iter().partition(is_departure);
        self.tell_changes(now, left);
        self.tell_changes(now, joined);
        self.out.messages_wait();
    }

    /// That another lineage is part of this one is committed.
    pub(super) fn lineage_absorbed(&mut self, now: Time, merger: &Merger) {
        if let Some(lead) = &mut self.lead {
            let block = merger.base.0..merger.base.0.saturating_add(merger.count).min(MAX_SLOT);
            // Who left behind it, and was committed along with it, frees its slot itself.
            for slot in block.map(Slot) {
                if self.log.roll().get(slot).is_none() && !lead.registrar.is_leaving(slot) {
                    lead.registrar.freed(now, slot);
                }
            }
        }
        self.tell_absorbed(merger);
    }

    pub(super) fn tell_absorbed(&mut self, merger: &Merger) {
        self.out.stats.mergers += 1;
        let conflicts = self.merging.take_conflicts();
        let range = merger.base.0..merger.base.0.saturating_add(merger.count);
        let ours = |(slot, g, _): &(Slot, crate::types::Generation, &MemberInfo)| {
            range.contains(&slot.0) && *g == merger.generation
        };
        let roll = self.held().roll();
        let gained = roll.members().filter(ours).map(|(_, _, info)| info.id.clone()).collect();
        let lineage = self.lineage();
        self.out.event(Event::Merged { lineage, absorbed: Some(merger.lineage), gained, lost: Vec::new(), conflicts });
    }

    /// Mergers that a whole roll brought along.
    pub(super) fn tell_missed_mergers(&mut self, old: &Roll) {
        let new: Vec<Merger> =
            self.held().roll().absorbed().iter().filter(|m| !old.absorbed().contains(m)).copied().collect();
        for merger in new {
            self.merging.take_conflicts();
            self.tell_absorbed(&merger);
        }
    }

    // ---- Those who lost their way ----

    /// A voter promised never to act in its lineage again, for a child of it that never came about or for one that took it
    /// in and isn't found, and hears that the lineage lives: it comes back, as another voter.
    pub(super) fn comes_back(&mut self, now: Time, from: SocketAddr, beat: &Heartbeat) -> bool {
        let ours = self.voter.promise.lineage;
        let child = self.peers.ready().any(|(p, _)| p.parents.contains(&ours));
        let idle = !self.recovery.is_calling(now) && now >= self.voter.free_at(now) && !self.awaits_heir(now);
        // Where no side goes on by itself the lineage of a founding is dead as a rule: a late heartbeat says nothing yet.
        let late = now - self.leaderless_since > self.config.parting() + self.config.detection() * 3;
        (self.is_available() || late)
            && self.voter.is_sealed()
            && beat.lineage == ours
            && idle
            && !child
            && !self.is_going()
            && self.leader_addr_known(beat, from)
    }

    /// True where the roll has this incarnation as another voter than it is.
    pub(super) fn is_namesake_of_itself(&self) -> bool {
        let me = &self.me;
        let other = |i: &MemberInfo| {
            i.incarnation == me.incarnation && i.revision >= me.revision && i.identity != self.voter.identity()
        };
        let votes = me.standing.votes() && self.lead.is_none() && self.leaving.is_none();
        self.is_available() && votes && self.log.roll().find(&me.id).is_some_and(|(_, _, i)| other(i))
    }

    /// True where a voter has had no leader for so long that those that it reaches can't go on by themselves.
    pub(super) fn is_stranded(&self, now: Time) -> bool {
        self.is_available()
            && self.lead.is_none()
            && self.voter.followed().is_none()
            && !self.recovery.is_calling(now)
            && now - self.leaderless_since > self.config.parting() + self.config.detection() * 3
    }

    /// True where a leader looks for others, and this is one.
    pub(super) fn courts_foreign(&self, view: &View) -> bool {
        self.courts() && view.lineage != self.voter.promise.lineage && view.leader.is_some()
    }

    /// True where a node may go to a lineage that its own was founded out of, or to another child: it is left alone, there is
    /// a leader, and no term goes back.
    pub(super) fn goes_back(&self, now: Time, view: &View) -> bool {
        let alone = if self.me.standing.votes() { self.is_stranded(now) } else { self.follower.attempts() >= 4 };
        self.is_available() && alone && view.leader.is_some() && view.term >= self.told.term
    }
}

fn is_departure(event: &Event) -> bool {
    matches!(event, Event::Left { .. } | Event::Name { owner: None, .. })
}

/// Which slots the members of a roll have where they are taken in: in a row, in the order of their old ones.
fn runs(roll: &Roll, base: Slot) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (at, (slot, generation, _)) in (0u32..).zip(roll.members()) {
        match runs.last_mut() {
            Some(run) if (run.old.0 + run.count, run.generation) == (slot.0, generation) => run.count += 1,
            _ => runs.push(Run { old: slot, count: 1, new: Slot(base.0.saturating_add(at)), generation }),
        }
    }
    runs
}

/// Who is on the second roll and not on the first, and the other way round.
fn difference(old: &Roll, new: &Roll) -> (Vec<NodeId>, Vec<NodeId>) {
    let lacks = |roll: &Roll, id: &NodeId| roll.find(id).is_none();
    let ids = |roll: &Roll, other: &Roll| -> Vec<NodeId> {
        roll.members().map(|(_, _, i)| i.id.clone()).filter(|id| lacks(other, id)).collect()
    };
    (ids(new, old), ids(old, new))
}

/// Names that somebody else has in the roll of the lineage that went on.
fn conflicts(old: &Roll, new: &Roll) -> Vec<Conflict> {
    let other = |(name, lost): (&crate::types::Name, &MemberInfo)| {
        let (_, kept) = new.owner(name).filter(|(_, kept)| kept.id != lost.id)?;
        Some(Conflict::Name { name: name.clone(), kept: kept.id.clone(), lost: lost.id.clone() })
    };
    old.names().filter_map(other).collect()
}
