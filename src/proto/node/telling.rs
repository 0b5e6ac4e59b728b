//! What the embedder is told: each thing once, when it changed.

use super::super::event::{Event, Notice, Role};
use super::{Apart, Node};
use crate::types::{Identity, Lineage, NodeId, Seat, Standing, Term, Time};
use std::collections::BTreeSet;
use std::time::Duration;

impl Node {
    /// When a voter without a leader says that it is isolated.
    pub(super) fn isolated_at(&self) -> Time {
        let could = matches!(self.told.role, Role::Supporter | Role::Witness | Role::Leader);
        let told = self.told.leader.is_some() && self.follower.registration.is_some();
        if could && !told && self.lead.is_none() && self.voter.followed().is_none() {
            // Where it is plain that there is no majority nobody has to be waited for.
            let patience = match (self.lease_lost, self.log.line().has_majority(|s| self.reaches(s))) {
                (true, _) => Duration::ZERO,
                (false, false) => self.round(),
                (false, true) => self.config.detection() + self.round() * 4,
            };
            self.leaderless_since + patience
        } else {
            Time::NEVER
        }
    }

    /// True where there is a connection to this voter, or it is this node.
    fn reaches(&self, seat: &Seat) -> bool {
        seat.identity == self.voter.identity() || self.peers.conn_of(&seat.id, seat.identity).is_some()
    }

    /// When a plain member takes its leader for gone: later than the candidates, who replace it meanwhile.
    pub(super) fn member_silent_at(&self) -> Time {
        match self.follower.bond() {
            Some(b) if self.told.leader.is_some() => b.heard + self.config.detection() + self.round() * 2,
            _ => Time::NEVER,
        }
    }

    /// Whom this node believes to lead now, and in which term. The inner nothing: nobody. The outer nothing: it hears a
    /// leader whose name it doesn't know yet.
    fn believes(&self, now: Time) -> Option<Option<(NodeId, Term)>> {
        if let Some(lead) = &self.lead {
            let leads = !lead.leadership.founding || self.is_ready();
            return Some(leads.then(|| (self.me.id.clone(), lead.leadership.term)));
        }
        if self.me.standing.votes() && !self.log.is_empty() {
            let Some(f) = self.voter.followed() else { return Some(None) };
            let id = f.leader.as_ref().map(|(id, _)| id.clone()).or_else(|| self.seat_of(f.tag));
            return id.map(|id| Some((id, f.term)));
        }
        let Some(bond) = self.follower.bond() else { return Some(None) };
        if now >= bond.heard + self.config.detection() + self.round() * 2 {
            return Some(None);
        }
        if self.follower.registration.is_none() {
            // Not a part of it yet: what was only told about is not yet followed.
            return if self.told.leader.is_some() { None } else { Some(None) };
        }
        self.seat_of(bond.leader).map(|id| Some((id, bond.term)))
    }

    pub(super) fn tell(&mut self, now: Time) {
        let lineage = self.lineage();
        if lineage != self.told.lineage && lineage != Lineage::ZERO {
            // Terms are compared among lineages that have something to do with each other. One that was left counts until
            // there is another. Where sides go on by themselves and meet again, terms go up wherever a node goes.
            let other = self.told.lineage != Lineage::ZERO && !self.descends(lineage, self.told.lineage);
            if other && !self.is_available() && self.begins_anew() {
                self.told.term = Term::ZERO;
            }
            self.told.lineage = lineage;
        }
        self.tell_leader(now);
        self.tell_registration();
        self.tell_line();
        self.tell_role(now);
        self.tell_deafness(now);
    }

    fn tell_leader(&mut self, now: Time) {
        let Some(believed) = self.believes(now) else { return };
        let (leader, term) = match believed {
            Some((id, term)) => (Some(id), term),
            None => (None, self.told.term),
        };
        // In another lineage the same one may lead in the same term.
        let same = term == self.told.term && self.told.led_in == self.told.lineage;
        if leader == self.told.leader && (leader.is_none() || same) {
            return;
        }
        if term < self.told.term {
            return;
        }
        self.told.leader = leader.clone();
        (self.told.term, self.told.led_in) = (term, self.told.lineage);
        self.voter.see(term, &mut self.out);
        if leader.is_none() {
            self.leaderless_since = now;
        } else {
            self.told.waiting = None;
            self.lease_lost = false;
        }
        self.out.event(Event::Leader { leader, term, lineage: self.told.lineage });
    }

    fn tell_registration(&mut self) {
        let Some(r) = self.follower.registration else {
            self.told.registered = None;
            return;
        };
        let now_is = Some((r.lineage, r.slot, r.generation));
        if now_is == self.told.registered {
            return;
        }
        // The leader is named in it, so it waits until one is told.
        let Some(leader) = self.told.leader.clone() else { return };
        self.told.registered = now_is;
        let term = self.told.term;
        self.out.event(Event::Registered {
            slot: r.slot,
            generation: r.generation,
            incarnation: self.me.incarnation,
            leader,
            term,
        });
    }

    fn tell_line(&mut self) {
        let (by_roll, by_view) =
            (self.held().roll().line().version(), self.follower.view.as_ref().map(|v| v.line_version));
        // A subscriber may hear of a change either way first.
        let newer = |v: u32| self.log.is_empty() && (v.wrapping_sub(by_roll) as i32) > 0;
        let version = by_view.filter(|v| newer(*v)).unwrap_or(by_roll);
        if self.told.line_version == Some(version) || version == 0 {
            return;
        }
        let (version, line) = self.line_places();
        if self.lead.as_ref().is_some_and(|l| l.leadership.founding) && !self.is_ready() {
            return;
        }
        self.told.line_version = Some(version);
        self.out.event(Event::Line { version, line });
    }

    /// Tells the whole roll, once: at the start from a store, and to the founder once its founding stands.
    pub(super) fn tell_roll(&mut self, now: Time) {
        self.tell_inherited(now);
        if self.log.is_empty() || std::mem::replace(&mut self.told.roll, true) {
            return;
        }
        let members: Vec<_> = self.log.roll().members().map(|(slot, _, i)| (slot, i.clone())).collect();
        for (slot, info) in members {
            self.tell_joined(now, slot, info);
        }
        for (name, owner) in self.log.roll().names().map(|(n, i)| (n.clone(), i.id.clone())) {
            self.out.event(Event::Name { name, owner: Some(owner) });
        }
    }

    fn role_now(&self, now: Time) -> Role {
        if self.lead.as_ref().is_some_and(|l| !l.leadership.founding) || self.is_ready() {
            return Role::Leader;
        }
        let home = match self.me.standing {
            Standing::Member => Role::Member,
            Standing::Candidate => Role::Supporter,
            Standing::Witness => Role::Witness,
        };
        if self.told.leader.is_some() && self.follower.registration.is_some() {
            return home;
        }
        match self.told.role {
            Role::Supporter | Role::Witness | Role::Leader if now >= self.isolated_at() => Role::Isolated,
            Role::Leader => home,
            Role::Member => Role::Seeking,
            other => other,
        }
    }

    fn tell_role(&mut self, now: Time) {
        let role = self.role_now(now);
        if role != self.told.role {
            self.told.role = role;
            self.out.event(Event::Role { role, term: self.term() });
            if role == Role::Isolated {
                self.tell_isolated();
            }
        }
        self.tell_merged();
        self.tell_waiting(now);
    }

    /// The voters that this leader hasn't heard for as long as a lease lasts.
    pub(super) fn mute_voters(&self, now: Time) -> Vec<Identity> {
        let Some(lead) = &self.lead else { return Vec::new() };
        let (me, lease) = (self.voter.identity(), self.config.lease());
        let mute =
            |s: &&Seat| s.identity != me && lead.leadership.acked_at(s.identity).is_none_or(|at| now - at >= lease);
        self.log.line().voters().filter(mute).map(|s| s.identity).collect()
    }

    fn tell_isolated(&mut self) {
        let seats = self.log.line().seats().iter();
        // A connection that has died may still stand.
        let mute = |s: &Seat| self.lease_lost && self.mute.contains(&s.identity);
        let lost = seats.filter(|s| s.voting && (!self.reaches(s) || mute(s)));
        let lost: Vec<NodeId> = lost.map(|s| s.id.clone()).collect();
        match &mut self.told.apart {
            // Once more, before it was merged: what it knew when it began still counts.
            Some(apart) => apart.lost.extend(lost.iter().cloned()),
            None => {
                let members = self.log.roll().members().map(|(_, _, info)| info.id.clone()).collect();
                self.told.apart = Some(Apart { lost: lost.clone(), members });
            }
        }
        self.out.event(Event::Isolated { lost });
    }

    /// An isolation is over once this node leads or follows, and its roll has caught up.
    fn tell_merged(&mut self) {
        let back = match (&self.lead, self.told.role) {
            (Some(_), _) => self.is_ready(),
            (None, Role::Supporter | Role::Witness) => {
                self.told.leader.is_some() && self.log.commit() >= self.heard_commit
            }
            _ => false,
        };
        if !back {
            return;
        }
        let Some(apart) = self.told.apart.take() else { return };
        let present: BTreeSet<NodeId> = self.log.roll().members().map(|(_, _, info)| info.id.clone()).collect();
        let was_there = |id: &NodeId| apart.members.contains(id) && !apart.lost.contains(id);
        let gained = present.iter().filter(|id| !was_there(id)).cloned().collect();
        let lost = apart.members.difference(&present).cloned().collect();
        let lineage = self.lineage();
        self.out.event(Event::Merged { lineage, absorbed: None, gained, lost, conflicts: Vec::new() });
    }

    /// A convention that waits for somebody names whom.
    fn tell_waiting(&mut self, now: Time) {
        let notice = if self.told.role == Role::Isolated {
            if self.recovery.lacks_heir {
                Notice::WaitingForCandidates(1, 0)
            } else {
                Notice::WaitingFor(self.awaited())
            }
        } else if self.voter.promise.lineage == Lineage::ZERO && self.follower.attempts() >= 3 && self.founding.founds()
        {
            if let Some(ids) = self.awaited_by_bound() {
                Notice::WaitingFor(ids)
            } else if self.voter.knows_another() {
                Notice::WaitingForConvention(self.voter.promise.former)
            } else {
                let Some((expected, known)) = self.founding_waits(now) else { return };
                Notice::WaitingForCandidates(expected, known)
            }
        } else {
            return;
        };
        let nobody = matches!(&notice, Notice::WaitingFor(ids) if ids.is_empty());
        if !nobody && self.told.waiting.as_ref() != Some(&notice) {
            self.told.waiting = Some(notice.clone());
            self.out.event(Event::Network(notice));
        }
    }

    fn tell_deafness(&mut self, now: Time) {
        let deaf = self.config.multicast && self.follower.is_deaf(now);
        if deaf != self.follower.told_deaf && (deaf || self.follower.hears(now, self.config.detection())) {
            self.follower.told_deaf = deaf;
            let notice = if deaf { Notice::MulticastDeaf } else { Notice::MulticastHeard };
            self.out.event(Event::Network(notice));
        }
    }
}
