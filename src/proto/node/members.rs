//! The leader's side of membership, and the descriptions of nodes.

use super::super::border::Dest;
use super::super::event::{Event, LinePlace, Notice};
use super::super::registrar::{Answer, Asker};
use super::super::succession;
use super::streams::Origin;
use super::{Lead, Node};
use crate::types::{
    Capabilities, Generation, Incarnation, Index, LeftReason, Line, MemberInfo, NodeId, Seat, Slot, Standing, Time,
};
use crate::wire::{
    Change, Datagram, Join, Leave, Message, Probe, ProbeFor, RefuseReason, Refused, Registered, SeatRef, Sender, View,
};
use std::net::SocketAddr;

/// Members that a candidate probes for the leader at one time.
const MAX_ASKED: usize = 256;

pub(super) fn sender(info: &MemberInfo) -> Sender {
    Sender {
        id: info.id.clone(),
        incarnation: info.incarnation,
        identity: info.identity,
        standing: info.standing,
        priority: info.priority,
        durable: info.durable,
        outbound: info.outbound,
        addrs: info.addrs.clone(),
    }
}

pub(super) fn sender_info(sender: &Sender) -> MemberInfo {
    MemberInfo {
        id: sender.id.clone(),
        incarnation: sender.incarnation,
        identity: sender.identity,
        standing: sender.standing,
        priority: sender.priority,
        durable: sender.durable,
        multicast: true,
        provable: true,
        follows: false,
        outbound: sender.outbound,
        addrs: sender.addrs.clone(),
        revision: 0,
        capabilities: Capabilities::new(),
    }
}

pub(super) fn seat_info(seat: &Seat) -> MemberInfo {
    MemberInfo {
        id: seat.id.clone(),
        incarnation: seat.incarnation,
        identity: seat.identity,
        standing: if seat.witness { Standing::Witness } else { Standing::Candidate },
        priority: seat.priority,
        durable: false,
        multicast: true,
        provable: true,
        follows: false,
        outbound: false,
        addrs: seat.addrs.clone(),
        revision: 0,
        capabilities: Capabilities::new(),
    }
}

/// What a place in a view says of its owner; which voter it is will be told by its handshake.
pub(super) fn seat_ref_info(seat: &SeatRef) -> MemberInfo {
    MemberInfo {
        id: seat.id.clone(),
        incarnation: seat.incarnation,
        identity: crate::types::Identity::ZERO,
        standing: Standing::Candidate,
        priority: seat.priority,
        durable: false,
        provable: true,
        follows: false,
        outbound: false,
        multicast: true,
        addrs: vec![seat.addr],
        revision: 0,
        capabilities: Capabilities::new(),
    }
}

/// A place as a view shows it.
pub(super) fn place_ref(s: &SeatRef) -> LinePlace {
    LinePlace { id: s.id.clone(), incarnation: s.incarnation, priority: s.priority, active: s.voting }
}

pub(super) fn places(line: &Line) -> Vec<LinePlace> {
    let place =
        |s: &Seat| LinePlace { id: s.id.clone(), incarnation: s.incarnation, priority: s.priority, active: s.voting };
    line.seats().iter().map(place).collect()
}

impl Node {
    /// What this node believes of the convention; nothing where it has no roll.
    pub(super) fn view(&self, now: Time) -> Option<View> {
        if self.log.is_empty() {
            return self.member_view(now);
        }
        let line = self.log.roll().line();
        let followed = self.voter.followed().filter(|_| now < self.voter.silent_at());
        let (leader, term) = match (&self.lead, followed) {
            (Some(lead), _) => (Some(self.voter.identity().tag()), lead.leadership.term),
            (None, Some(f)) => (Some(f.tag), f.term),
            (None, None) => (None, self.voter.promise.term),
        };
        let seat = |s: &Seat| {
            let addr = *s.addrs.first()?;
            let (id, voter, incarnation) = (s.id.clone(), s.identity.tag(), s.incarnation);
            let (priority, voting) = (s.priority, s.voting);
            Some(SeatRef { id, voter, incarnation, priority, voting, addr })
        };
        Some(View {
            lineage: self.log.lineage(),
            parents: self.log.parents().to_vec(),
            term,
            leader,
            line_version: line.version(),
            line: line.seats().iter().filter_map(seat).collect(),
        })
    }

    /// What a plain member was told, with the leader that it hears.
    fn member_view(&self, now: Time) -> Option<View> {
        let (r, bond) = (self.follower.registration?, self.follower.bond()?);
        let view = self.follower.view.as_ref().filter(|v| v.lineage == r.lineage && bond.lineage == r.lineage)?;
        let hears = self.follower.hears(now, self.config.detection());
        let heard = !self.me.standing.votes() && hears && bond.term >= view.term;
        heard.then(|| View { leader: Some(bond.leader), term: bond.term, ..view.clone() })
    }

    pub(super) fn on_join(&mut self, now: Time, from: SocketAddr, join: Join) {
        let ours = self.voter.promise.lineage;
        if self.lead.is_none() {
            // Not the leader: the answer says who is, as far as this node knows.
            if self.lineage() != crate::types::Lineage::ZERO {
                self.announce(now, from, join.nonce, None);
            }
            return;
        }
        if join.lineage != crate::types::Lineage::ZERO && join.lineage != ours {
            self.out.stats.dropped_other_lineage += 1;
            return;
        }
        if join.info.id == self.me.id {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        if !self.decides() {
            // It comes again: to this leader or to the next.
            return self.refuse(from, join.nonce, RefuseReason::Busy, Incarnation::ZERO);
        }
        self.peers.note(now, &join.info, join.lineage, false);
        let asker = Asker { addr: from, nonce: join.nonce };
        self.register(now, &join.info, Some(asker));
    }

    fn refuse(&mut self, to: SocketAddr, nonce: u64, reason: RefuseReason, incarnation: Incarnation) {
        let retry_ms = (self.config.heartbeat().as_millis() / 4).min(60_000) as u32;
        let lineage = self.voter.promise.lineage;
        self.out.datagram(Dest::Addr(to), Datagram::Refused(Refused { nonce, lineage, incarnation, reason, retry_ms }));
    }

    pub(super) fn register(&mut self, now: Time, info: &MemberInfo, asker: Option<Asker>) {
        let Some(lead) = &mut self.lead else { return };
        let Lead { registrar, detector, .. } = lead;
        match registrar.join(now, self.log.roll(), info, asker, |slot| detector.has_spoken(slot)) {
            Answer::Wait => {}
            Answer::Propose(changes) => {
                if lead.registrar.contended(&info.id) {
                    self.out.event(Event::Network(Notice::Contended(info.id.clone())));
                }
                self.propose(now, changes);
            }
            Answer::Refuse(reason, incarnation) => match asker {
                Some(asker) => self.refuse(asker.addr, asker.nonce, reason, incarnation),
                // The leader itself stands on the roll as gone, though it looked before it began to lead.
                None if reason == RefuseReason::Departed || reason == RefuseReason::Superseded => {
                    self.renew_incarnation(now, incarnation);
                }
                None => {}
            },
            Answer::Standing(slot, generation, _) => {
                lead.detector.alive(now, slot, generation);
                if let Some(asker) = asker {
                    self.confirm(now, slot, asker);
                }
            }
        }
    }

    /// Tells a member that it is on the roll.
    fn confirm(&mut self, now: Time, slot: Slot, asker: Asker) {
        let Some(view) = self.view(now) else { return };
        let Some((generation, info)) = self.log.roll().get(slot) else { return };
        let (incarnation, revision) = (info.incarnation, info.revision);
        let since = self.log.roll().since(slot);
        let registered = Registered { nonce: asker.nonce, incarnation, slot, generation, revision, since, view };
        self.out.datagram(Dest::Addr(asker.addr), Datagram::Registered(registered));
    }

    pub(super) fn member_joined(&mut self, now: Time, slot: Slot, generation: Generation, info: MemberInfo) {
        if let Some(lead) = &mut self.lead {
            if info.id != self.me.id {
                lead.detector.add(now, slot, generation, info.hears_multicast());
            }
            if info.follows && !info.standing.votes() {
                lead.telling.followers.insert(slot);
            }
            // It is back, whatever it was about to do before.
            lead.retiring.remove(&info.id);
            if let Some(asker) = lead.registrar.committed(&info.id, info.revision) {
                self.confirm(now, slot, asker);
            }
        }
        if info.standing.votes() {
            self.peers.note(now, &info, self.voter.promise.lineage, true);
        }
        self.tell_joined(now, slot, info);
    }

    pub(super) fn member_updated(&mut self, now: Time, slot: Slot, info: MemberInfo) {
        let MemberInfo { id, incarnation, standing, capabilities, revision, .. } = info;
        if let Some(asker) = self.lead.as_mut().and_then(|l| l.registrar.committed(&id, revision)) {
            self.confirm(now, slot, asker);
        }
        self.out.event(Event::Updated { id, incarnation, slot, standing, capabilities });
    }

    pub(super) fn member_left(
        &mut self,
        now: Time,
        slot: Slot,
        id: &NodeId,
        incarnation: Incarnation,
        reason: LeftReason,
    ) {
        if let Some(lead) = &mut self.lead {
            lead.detector.remove(slot);
            lead.registrar.freed(now, slot);
            lead.claims.gone(slot);
            lead.sayings.gone(slot);
            lead.telling.followers.remove(&slot);
        }
        if *id == self.me.id && incarnation == self.me.incarnation && self.leaving.is_none() {
            if reason == LeftReason::Replaced {
                // By another process of this id, that started later. The leader's answer to this one says so.
                self.resign(now, true);
                self.follower.unregister(now);
            } else {
                // Taken off the roll while alive: a larger incarnation asks anew.
                self.renew_incarnation(now, incarnation);
            }
        }
        self.sender_left(now, id, incarnation);
        self.out.event(Event::Left { id: id.clone(), incarnation, reason });
    }

    pub(super) fn line_changed(&mut self, now: Time) {
        for seat in self.log.roll().line().seats() {
            self.peers.note(now, &seat_info(seat), self.voter.promise.lineage, true);
        }
        let gone: Vec<NodeId> = self.peers.unconnected().filter(|id| !self.may_vote(id)).cloned().collect();
        gone.iter().for_each(|id| self.peers.dismiss(id));
    }

    /// False where this id is on the roll and neither in the line nor on its way there, or was retired.
    pub(super) fn may_vote(&self, id: &NodeId) -> bool {
        let (roll, line) = (self.log.roll(), self.log.line());
        let asks = !roll.is_retired(id) && roll.find(id).is_none_or(|(_, _, info)| info.standing.votes());
        asks || line.seat(id).is_some() || roll.line().seat(id).is_some()
    }

    /// A candidate's process is proven dead: it needs no probing.
    pub(super) fn strike_off_dead(&mut self, now: Time, id: &NodeId, incarnation: Incarnation) {
        let ready = self.decides();
        let Some(lead) = &mut self.lead else { return };
        if !ready || !lead.leadership.has_lease(now) {
            return;
        }
        let Some((slot, _, info)) = self.log.roll().find(id) else { return };
        if info.incarnation != incarnation {
            return;
        }
        if let Some(change) = lead.registrar.leave(self.log.roll(), slot, LeftReason::Crashed) {
            self.propose(now, vec![change]);
        }
    }

    pub(super) fn on_leave(&mut self, now: Time, from: SocketAddr, leave: Leave) {
        let ready = self.decides();
        let Some(lead) = &mut self.lead else { return };
        if !ready || leave.lineage != self.voter.promise.lineage {
            return;
        }
        let member = self
            .log
            .roll()
            .get(leave.slot)
            .filter(|(g, i)| *g == leave.generation && i.incarnation == leave.incarnation);
        let Some((_, info)) = member else {
            // Gone already: say so again.
            self.out.datagram(Dest::Addr(from), Datagram::Gone(leave));
            return;
        };
        let seat = self.log.line().seat(&info.id).filter(|s| s.voting && s.identity == info.identity && !info.durable);
        if let Some(seat) = seat {
            // A diskless voter is taken off the line first, so that a rolling restart uses up no majority. The member
            // repeats its leave until it is off the roll.
            lead.retiring.insert(seat.id.clone());
            let (roll, line) = (self.log.roll(), self.log.line());
            let rest_suffices = succession::rest_suffices(roll, line, seat, |who| self.is_level(now, who));
            if !self.log.line_pending() && rest_suffices {
                let change = Change::Unseated { id: seat.id.clone(), identity: seat.identity, keep: true };
                self.propose(now, vec![change]);
            }
            return;
        }
        if let Some(change) = lead.registrar.leave(self.log.roll(), leave.slot, LeftReason::Left) {
            let at = Index(self.log.last().index.0 + 1);
            self.propose(now, vec![change]);
            if self.log.commit() >= at {
                self.out.datagram(Dest::Addr(from), Datagram::Gone(leave));
            }
        }
    }

    /// Probes a member for the leader.
    pub(super) fn on_probe_for(&mut self, now: Time, from: &Origin, ask: ProbeFor) {
        if self.leader_conn() != Some(from.conn) {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        let same = self.log.roll().get(ask.slot).is_some_and(|(generation, _)| generation == ask.generation);
        if same && self.vouches(now, ask.slot) {
            self.out.send(from.conn, Message::ProbeResult(ask));
            return;
        }
        if self.asked.len() >= MAX_ASKED {
            self.asked.pop_front();
        }
        self.asked.push_back((ask.slot, ask.generation, ask.addr, from.id.clone()));
        let lineage = self.voter.promise.lineage.0 as u32;
        let probe = Probe { slot: ask.slot, generation: ask.generation, lineage, token: 1 };
        self.out.stats.probes_sent += 1;
        self.out.datagram(Dest::Addr(ask.addr), Datagram::Probe(probe));
    }

    pub(super) fn report_probed(&mut self, probe: Probe) {
        let Some(at) = self.asked.iter().position(|(s, g, ..)| *s == probe.slot && *g == probe.generation) else {
            return;
        };
        let Some((slot, generation, addr, id)) = self.asked.remove(at) else { return };
        if let Some(conn) = self.peers.get(&id).and_then(|p| p.conn) {
            self.out.send(conn, Message::ProbeResult(ProbeFor { slot, generation, addr }));
        }
    }
}
