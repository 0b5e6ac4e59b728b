//! Members that can't be connected to: how they keep reachable, how others reach them, and what is passed on for them.
//!
//! Such a member keeps a connection to one of the voters, its *keeper*: of those that vote, and don't lead, the one that
//! follows from both names (the highest weight), so that who looks for it asks the right one first, nothing of it has to
//! stand in the roll, and the connections of ten thousand members spread over the supporters: the leader has them only
//! where it votes alone. Where the keeper goes, or begins to lead, the next one takes its place. Over that connection the
//! member is told who leads (it may hear no multicast, and no heartbeat of a leader that it has sent nothing to), vouched
//! for where the leader hears nothing of it, and rung.

use super::super::event::{Event, Notice, Path};
use super::super::lanes::{Answer, Keeper};
use super::Node;
use super::members;
use crate::types::{ConnId, Incarnation, Lineage, NodeId, Slot, Term, Time, VoterTag};
use crate::wire::{Call, CallOutcome, Message, Ring, View};
use std::net::SocketAddr;
use std::time::Duration;

/// How a member that can't be connected to keeps reachable.
#[derive(Debug, Clone, Default)]
pub(super) struct Keeping {
    keeper: Option<NodeId>,
    failures: u32,
    next: Time,
    /// What was told of the leadership to those that this node keeps.
    told: Option<(Lineage, Term, Option<VoterTag>, u32)>,
}

/// The keeper of a member is the voter of the highest weight.
fn weight(member: &NodeId, voter: &NodeId) -> u64 {
    // FNV-1a, and a last mix, for names that differ in their last letter only.
    let bytes = member.as_str().bytes().chain([0]).chain(voter.as_str().bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let z = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 27)
}

impl Node {
    /// The way that the messages of this node and another one take at present; nothing where there is none.
    #[must_use]
    pub fn path(&self, id: &NodeId) -> Option<Path> {
        self.lanes.path(id)
    }

    /// Between whom this node passes on what they say, each with its incarnation, and how many bytes of it wait here.
    pub fn relayed(&self) -> impl Iterator<Item = ([(&NodeId, Incarnation); 2], usize)> {
        self.lanes.relay.pairs()
    }

    /// Another roll is in place of the one that was, or none.
    pub(super) fn relays_of_roll(&mut self) {
        let roll = self.log.roll();
        self.lanes.relay.keep(|id, incarnation| roll.find(id).is_some_and(|(_, _, i)| i.incarnation <= incarnation));
    }

    /// Who may have the connection of a member that can't be connected to, the likeliest first.
    fn keepers(&self, member: &NodeId) -> Vec<(NodeId, SocketAddr)> {
        let votes = self.me.standing.votes() && !self.log.is_empty();
        let mut seats: Vec<(bool, u64, NodeId, SocketAddr)> = if votes {
            let leader = match (&self.lead, self.voter.followed()) {
                (Some(_), _) => Some(self.voter.identity().tag()),
                (None, followed) => followed.map(|f| f.tag),
            };
            let voters = self.log.roll().line().seats().iter().filter(|s| s.voting);
            let seat = |s: &crate::types::Seat| {
                let leads = Some(s.identity.tag()) == leader;
                Some((leads, weight(member, &s.id), s.id.clone(), *s.addrs.first()?))
            };
            voters.filter_map(seat).collect()
        } else {
            let leader = self.follower.bond().map(|b| b.leader);
            let line = self.follower.view.as_ref().map_or(&[][..], |view| &view.line);
            let seat =
                |s: &crate::wire::SeatRef| (Some(s.voter) == leader, weight(member, &s.id), s.id.clone(), s.addr);
            line.iter().filter(|s| s.voting).map(seat).collect()
        };
        // The leader last: it has enough to do.
        seats.sort_by(|a, b| (a.0, std::cmp::Reverse(a.1), &a.2).cmp(&(b.0, std::cmp::Reverse(b.1), &b.2)));
        seats.into_iter().map(|(_, _, id, addr)| (id, addr)).collect()
    }

    /// The way to a member that can't be connected to.
    pub(super) fn way_by_keeper(&self, id: &NodeId, incarnation: Incarnation, addrs: Vec<SocketAddr>) -> Answer {
        let others = self.keepers(id).into_iter().filter(|(keeper, _)| *keeper != self.me.id);
        let keeper = |(id, addr): (NodeId, SocketAddr)| {
            let lent = self.peers.get(&id).and_then(|p| Some((p.conn?, p.info.incarnation)));
            Keeper { id, addr, lent }
        };
        let keepers: Vec<Keeper> = others.map(keeper).collect();
        // Where this node is the only one, it is connected to, or will be.
        if keepers.is_empty() { Answer::Wait } else { Answer::Via { incarnation, addrs, keepers } }
    }

    /// What came about circuits and is to be looked at by who knows the roll.
    pub(super) fn take_calls(&mut self, now: Time) {
        let greeted = self.lanes.take_greeted();
        self.greeted(now, greeted);
        while let Some((conn, call)) = self.lanes.poll_call() {
            let number = call.number;
            if let Err(outcome) = self.on_call(now, conn, &call) {
                self.out.stats.circuits_refused += 1;
                self.lanes.relay.answer(conn, number, outcome);
            }
        }
        while let Some((conn, ring)) = self.lanes.poll_ring() {
            self.on_ring(now, conn, ring);
        }
        while let Some((from, view)) = self.lanes.poll_leads() {
            self.on_leads(now, &from, view);
        }
        self.lanes.say_as_relay(&mut self.out);
    }

    /// Connects two members of the roll; both of them, at the incarnations that the roll has.
    fn on_call(&mut self, now: Time, conn: ConnId, call: &Call) -> Result<(), CallOutcome> {
        let holds = self.me.standing.votes() && !self.log.is_empty() && call.lineage == self.lineage();
        let caller = self.lanes.who(conn).filter(|_| holds).ok_or(CallOutcome::Refused)?;
        let roll = self.log.roll();
        let of = |id: &NodeId| roll.find(id).map(|(_, _, info)| info);
        let from = of(&caller.0).filter(|info| info.incarnation == caller.1).ok_or(CallOutcome::Refused)?;
        let to = of(&call.id).map(|info| info.incarnation).ok_or(CallOutcome::NotHere)?;
        let sender = members::sender(from);
        if !self.lanes.connect_call(now, (conn, call.number), (&call.id, to), sender)? {
            return Err(CallOutcome::Busy);
        }
        self.out.stats.circuits_opened += 1;
        Ok(())
    }

    /// Somebody calls: only who keeps this node's connection, a voter, may say so.
    fn on_ring(&mut self, now: Time, conn: ConnId, ring: Ring) {
        let by = self.lanes.who(conn);
        let voter = by.is_some_and(|(id, _)| self.keepers(&self.me.id).iter().any(|(keeper, _)| *keeper == id));
        let gone = self.is_gone(&ring.from.id, ring.from.incarnation);
        if !voter || gone || ring.lineage != self.lineage() {
            self.out.stats.dropped_unexpected += 1;
            self.lanes.answer_ring(conn, ring.number, CallOutcome::Refused, &mut self.out);
        } else {
            self.lanes.ring(now, conn, ring, &mut self.out);
        }
    }

    /// The keeper tells who leads.
    fn on_leads(&mut self, now: Time, from: &NodeId, view: View) {
        let keeps = self.config.outbound_only && self.keepers(&self.me.id).iter().any(|(keeper, _)| keeper == from);
        if !keeps || self.follower.registration.is_none() || view.lineage != self.lineage() {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        let before = self.follower.bond().map(|b| (b.addr, b.leader));
        self.follower.told(now, &view);
        self.take_view(now, view);
        if self.follower.bond().map(|b| (b.addr, b.leader)) != before {
            // What the new leader sends comes in only once it has heard something.
            self.follower.beat_soon(now);
        }
    }

    /// Called after each input: keeps this node's connection to its keeper, and tells those that it keeps who leads.
    pub(super) fn tick_keeping(&mut self, now: Time) {
        if self.config.outbound_only {
            self.keep_reachable(now);
        }
        if self.me.standing.votes() && self.lanes.keeps_any() {
            self.tell_kept(now);
        }
    }

    pub(super) fn keeping_deadline(&self) -> Time {
        if self.config.outbound_only { self.keeping.next } else { Time::NEVER }
    }

    fn keep_reachable(&mut self, now: Time) {
        let registered = self.follower.registration.is_some_and(|r| r.lineage == self.lineage());
        if !registered || self.is_going() {
            self.keeping.next = Time::NEVER;
            self.keeping.keeper = None;
            self.lanes.keep(None);
            return;
        }
        if self.keeping.next == Time::NEVER && self.keeping.keeper.is_none() {
            self.keeping.next = now;
        }
        let keepers = self.keepers(&self.me.id);
        let leads = |at: usize| at + 1 == keepers.len() && keepers.len() > 1;
        let at = self.keeping.keeper.as_ref().and_then(|keeper| keepers.iter().position(|(id, _)| id == keeper));
        let fine = at.is_some_and(|at| !leads(at) || self.follower.bond().is_none());
        let connected = self.keeping.keeper.as_ref().is_some_and(|keeper| self.lanes.is_connected(keeper));
        if fine && connected {
            self.keeping.failures = 0;
            self.keeping.next = Time::NEVER;
            return;
        }
        if self.keeping.next == Time::NEVER {
            self.keeping.next = now;
        }
        if now < self.keeping.next || keepers.is_empty() {
            if keepers.is_empty() {
                self.keeping.next = now + self.config.heartbeat();
            }
            return;
        }
        let tries = self.keeping.failures;
        let (id, addr) = keepers[tries as usize % keepers.len()].clone();
        self.keeping.failures = tries.saturating_add(1);
        // A connection takes a moment; where none comes about the next one is tried, ever more slowly.
        let pause = (self.config.step() * 4).max(Duration::from_millis(100)) * (1 << (tries / 4).min(4));
        self.keeping.next = now + pause;
        self.keeping.keeper = Some(id.clone());
        self.lanes.keep_with(now, &id, addr, &mut self.out);
    }

    fn tell_kept(&mut self, now: Time) {
        let leader = match (&self.lead, self.voter.followed().filter(|_| now < self.voter.silent_at())) {
            (Some(lead), _) => (lead.leadership.term, Some(self.voter.identity().tag())),
            (None, Some(f)) => (f.term, Some(f.tag)),
            (None, None) => (self.voter.promise.term, None),
        };
        let version = self.log.roll().line().version();
        let is = Some((self.lineage(), leader.0, leader.1, version));
        if is == self.keeping.told {
            return;
        }
        self.keeping.told = is;
        if let Some(view) = self.view(now).filter(|view| view.leader.is_some()) {
            for conn in self.lanes.kept_conns() {
                self.out.send(conn, Message::Leads(view.clone()));
            }
        }
    }

    /// A pair has a way.
    pub(super) fn way_is_there(&mut self, now: Time, id: &NodeId) {
        if let Some(Path::Relayed(via)) = self.lanes.path(id) {
            self.out.event(Event::Network(Notice::Relayed(id.clone(), via)));
        }
        if let Some(conn) = self.lanes.kept_conn(id)
            && self.me.standing.votes()
            && let Some(view) = self.view(now).filter(|view| view.leader.is_some())
        {
            self.out.send(conn, Message::Leads(view));
        }
    }

    /// True where this member can't be connected to, and was heard over the connection that it keeps to this node.
    pub(super) fn vouches(&self, now: Time, slot: Slot) -> bool {
        let member = self.log.roll().get(slot).filter(|(_, info)| info.outbound);
        member.is_some_and(|(_, info)| self.lanes.vouches(now, &info.id, info.incarnation, self.config.detection()))
    }
}
