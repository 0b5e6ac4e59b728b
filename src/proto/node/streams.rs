//! What came over connections between candidates.

use super::super::border::StreamInput;
use super::super::leadership::Progress;
use super::super::peers::PeerEvent;
use super::Node;
use crate::types::{ConnId, Identity, Incarnation, Index, Lineage, MemberInfo, NodeId, Time};
use crate::wire::{Message, Resigned};

/// Who sent a message.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) id: NodeId,
    pub(super) identity: Identity,
    pub(super) incarnation: Incarnation,
    pub(super) conn: ConnId,
}

impl Node {
    /// What happened to a connection of candidates. However bytes were cut on their way, each frame is dealt with before
    /// the next one is read: as if it had come by itself.
    pub(super) fn peers_stream(&mut self, now: Time, conn: ConnId, input: StreamInput<'_>) {
        let mut told = Vec::new();
        self.peers.handle(now, conn, input, &mut self.out, &mut told);
        while !told.is_empty() {
            self.peer_events(now, std::mem::take(&mut told));
            self.settle(now);
            if self.stopped {
                return;
            }
            self.peers.frames(now, conn, &mut self.out, &mut told);
        }
    }

    pub(super) fn peer_events(&mut self, now: Time, told: Vec<PeerEvent>) {
        for event in told {
            if self.stopped {
                return;
            }
            match event {
                PeerEvent::Up(id) => {
                    self.candidate_conn(now, &id);
                    self.peer_up(now, &id);
                }
                PeerEvent::Down(id) => {
                    self.candidate_conn(now, &id);
                    self.peer_down(now, &id);
                }
                PeerEvent::Plain(conn, hello, reader) => self.plain_connection(now, conn, *hello, *reader),
                PeerEvent::Dead { id, identity, incarnation } => self.peer_dead(now, &id, identity, incarnation),
                PeerEvent::Message(from, conn, message) => {
                    if self.peers.get(&from.id).is_some_and(|p| p.conn == Some(conn)) {
                        self.message(now, &from, conn, message);
                    }
                }
                PeerEvent::Namesake(other) if other > self.me.incarnation => self.give_way(now, other),
                PeerEvent::Namesake(_) => {}
                PeerEvent::Guest(conn, says) => self.guest_says(conn, says),
            }
        }
    }

    fn peer_up(&mut self, now: Time, id: &NodeId) {
        let Some((info, lineage, conn)) = self.peers.get(id).map(|p| (p.info.clone(), p.lineage, p.conn)) else {
            return;
        };
        if lineage != Lineage::ZERO
            && self.voter.promise.lineage != Lineage::ZERO
            && lineage != self.voter.promise.lineage
            && !self.is_kin(lineage)
        {
            self.note_foreign(lineage);
        }
        if lineage != self.voter.promise.lineage {
            self.foreign_up(now, id);
        }
        if let Some(lead) = &mut self.lead {
            // Who says on a connection that stands only what is new about it goes on where it was.
            let goes_on = |p: &Progress| {
                let begun = p.matched > Index::ZERO || p.snapshot.as_ref().is_some_and(|s| s.offset > 0);
                begun && conn == Some(p.conn) && lineage == self.voter.promise.lineage
            };
            if lead.leadership.progress.get(&info.identity).is_some_and(|p| !goes_on(p)) {
                lead.leadership.progress.remove(&info.identity);
            }
            let present: Vec<Identity> = self.peers.ready().map(|(p, _)| p.info.identity).collect();
            lead.leadership.progress.retain(|identity, _| present.contains(identity));
        }
        self.replicate(now);
        self.reconcile_line(now);
    }

    fn peer_down(&mut self, now: Time, id: &NodeId) {
        let Some(identity) = self.peers.get(id).map(|p| p.info.identity) else { return };
        // While the old connection stood, a registration from elsewhere changed nothing here.
        if !self.may_vote(id) {
            self.peers.dismiss(id);
        } else if let Some(info) = self.log.roll().find(id).map(|(_, _, info)| info.clone()) {
            self.peers.note(now, &info, self.voter.promise.lineage, true);
        }
        if let Some(lead) = &mut self.lead {
            lead.leadership.progress.remove(&identity);
        }
        if self.serving.as_ref().is_some_and(|(who, _)| *who == identity) {
            self.serving = None;
        }
        if self.incoming.as_ref().is_some_and(|i| i.from == identity) {
            self.incoming = None;
        }
        let lineage = self.voter.promise.lineage;
        let mut campaign = self.campaign.clone();
        let step = campaign.lost(self.standpoint(now), identity, lineage);
        self.campaign = campaign;
        self.campaign_step(now, step);
    }

    fn peer_dead(&mut self, now: Time, id: &NodeId, identity: Identity, incarnation: Incarnation) {
        let about = self.voter.followed().and_then(|f| {
            let the_leader = f.leader.as_ref().is_some_and(|(_, who)| *who == identity);
            (the_leader && f.incarnation == Some(incarnation)).then_some(f.term)
        });
        if self.bug.has(super::super::planted::Bug::EvidenceUsedTwice) {
            let term = self.voter.promise.term;
            self.evidence(now, term);
        }
        if let Some(term) = about {
            self.evidence(now, term);
        }
        self.founding.proposer_died(identity);
        self.forget_acceptance(now);
        self.strike_off_dead(now, id, incarnation);
    }

    /// Immediate evidence about the leadership of a term.
    fn evidence(&mut self, now: Time, term: crate::types::Term) {
        if self.voter.accuse(now, term) {
            self.follower.unbind(now);
            self.leaderless_since = now;
            self.answer_canvassers(now);
            self.bid_soon(now);
        }
    }

    fn message(&mut self, now: Time, from: &MemberInfo, conn: ConnId, message: Message) {
        let origin = Origin { id: from.id.clone(), identity: from.identity, incarnation: from.incarnation, conn };
        match message {
            Message::Propose(m) => self.on_propose(now, from, conn, &m),
            Message::ProposeReply(m) => self.on_propose_reply(now, &origin, m),
            Message::Release(m) => self.on_release(now, &origin, m),
            Message::Canvass(m) => self.on_canvass(now, &origin, m),
            Message::CanvassReply(m) => self.on_canvass_reply(now, &origin, m),
            Message::Bid(m) => self.on_bid(now, &origin, m),
            Message::BidReply(m) => self.on_bid_reply(now, &origin, m),
            Message::Fetch(m) => self.on_fetch(&origin, m),
            Message::Append(m) => self.on_append(now, &origin, m),
            Message::Snapshot(m) => self.on_snapshot(now, &origin, m),
            Message::SnapshotReply(m) => self.on_snapshot_reply(now, &origin, m),
            Message::AppendReply(m) => self.on_append_reply(now, &origin, m),
            Message::Overruled(m) => self.on_overruled(now, &origin, m),
            Message::Resigned(m) => self.on_resigned(now, &origin, m),
            Message::Invite(m) => self.on_invite(now, &origin, m),
            Message::InviteReply(m) => self.on_invite_reply(&origin, m),
            Message::Bless(m) => self.on_bless(now, &origin, m),
            Message::Muster(m) => self.on_muster(now, &origin, m),
            Message::Recover(m) => self.on_recover(now, &origin, &m),
            Message::RecoverReply(m) => self.on_recover_reply(now, &origin, &m),
            Message::Offer(m) => self.on_offer(now, &origin, m),
            Message::Bequest(m) => self.on_bequest(now, &origin, &m),
            Message::BequestReply(m) => self.on_bequest_reply(now, &origin, m),
            Message::Ended(m) => self.on_ended(now, &origin, m),
            Message::ProbeFor(m) => self.on_probe_for(now, &origin, m),
            Message::ProbeResult(m) => self.on_probe_result(now, m),
            Message::Open(_)
            | Message::Resume(_)
            | Message::Data(_)
            | Message::Taken(_)
            | Message::Declined(_)
            | Message::Circuit(_) => {
                self.lane_message(now, from, conn, message);
            }
            // Handled where the connections are.
            Message::Hello(_) | Message::Elsewhere(_) | Message::Ping(_) | Message::Pong(_) => {}
            Message::Follow(_) | Message::TurnedAway(_) | Message::Leads(_) | Message::Note(_) => {
                self.out.stats.dropped_unexpected += 1
            }
        }
    }

    fn on_resigned(&mut self, now: Time, from: &Origin, resigned: Resigned) {
        let ours = resigned.lineage == self.voter.promise.lineage && resigned.identity == from.identity;
        let about = self.voter.followed().is_some_and(|f| {
            let known = f.leader.as_ref().map(|(_, who)| *who == from.identity);
            f.term == resigned.term && known.unwrap_or(f.tag == from.identity.tag())
        });
        if ours && about {
            self.evidence(now, resigned.term);
        }
    }
}
