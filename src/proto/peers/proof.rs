//! Proofs of death: every address of an incarnation refuses a connection, or is answered by a larger one.

use super::super::outbox::Outbox;
use super::super::planted::Bug;
use super::{Conn, Met, Peer, PeerEvent, Peers, State, Suspect};
use crate::types::{ConnId, Identity, Incarnation, MemberInfo, NodeId, Seat, Time};
use crate::wire::Hello;
use std::net::SocketAddr;

/// A dying process may still take a connection before its listener is closed: so often it is tried again at once.
const MAX_RESETS: u8 = 8;
/// Voters of one id that are remembered as gone.
const MAX_GONE: usize = 8;

impl Peer {
    /// All addresses of these refused, or were answered by a larger incarnation.
    fn bury(&mut self, suspect: &Suspect) {
        for (identity, incarnation) in suspect.who.iter().filter(|(i, _)| !suspect.lives.contains(i)) {
            if !self.is_buried(*identity, *incarnation) {
                self.gone.retain(|(other, _)| other != identity);
                if self.gone.len() >= MAX_GONE {
                    self.gone.remove(0);
                }
                self.gone.push((*identity, *incarnation));
            }
        }
    }

    fn is_buried(&self, identity: Identity, incarnation: Incarnation) -> bool {
        self.gone.iter().any(|(who, upto)| *who == identity && *upto >= incarnation)
    }

    /// True where another voter is there in place of this one.
    fn is_another(&self, seat: &Seat) -> bool {
        self.conn.is_some() && self.info.identity != seat.identity
    }

    /// True where this voter's own process said that it votes no more.
    pub(in crate::proto) fn has_stepped_down(&self, seat: &Seat) -> bool {
        self.plain.is_some_and(|(who, at)| who == seat.identity && at >= seat.incarnation)
    }

    /// True where this voter of its id is known to be no more, and another one is there in its place.
    pub(in crate::proto) fn replaced(&self, seat: &Seat, proven: bool) -> bool {
        self.is_another(seat) && (!proven || self.is_buried(seat.identity, seat.incarnation))
    }
}

impl Peers {
    /// The peer of this id, this node's own among them.
    fn known(&mut self, id: &NodeId) -> Option<&mut Peer> {
        if *id == self.hello.info.id { self.own.as_mut() } else { self.peers.get_mut(id) }
    }

    /// Looks for proof that a voter is no more: another one answers to its id, or this node itself does.
    pub(in crate::proto) fn prove(&mut self, now: Time, seat: &Seat, out: &mut Outbox) {
        let me = &self.hello.info;
        let own = seat.id == me.id;
        if own && seat.identity != me.identity && self.own.is_none() {
            self.own = Some(Peer::of(now, me, self.hello.lineage));
        }
        let another = own && seat.identity != me.identity;
        // Where this node listens now nobody else does.
        let addrs: Vec<SocketAddr> = seat.addrs.iter().filter(|a| !(own && me.addrs.contains(a))).copied().collect();
        let Some(peer) = self.known(&seat.id).filter(|_| !addrs.is_empty()) else { return };
        let open = peer.suspect.is_none() && !peer.is_buried(seat.identity, seat.incarnation);
        if open && (another || peer.is_another(seat)) && self.death_evidence {
            let (identity, incarnation) = (seat.identity, seat.incarnation);
            self.suspect(now, &seat.id, Met { identity, incarnation, addrs, provable: true }, out);
        }
    }

    /// Somebody shook hands as a plain member. The very process that was a voter gave that vote up for good, and its store
    /// knows it no more: it says so no sooner. It is dialled more seldom: should it vote again it dials as well.
    pub(super) fn stepped_down(&mut self, now: Time, info: &MemberInfo) {
        let pause = self.detection;
        let Some(peer) = self.peers.get_mut(&info.id) else { return };
        if peer.info.incarnation == info.incarnation {
            peer.plain = Some((info.identity, info.incarnation));
        }
        peer.next_dial = peer.next_dial.max(now + pause);
    }

    /// True where this voter, of this node's own id, is known to be no more.
    pub(in crate::proto) fn is_former(&self, seat: &Seat) -> bool {
        self.own.as_ref().is_some_and(|p| p.is_buried(seat.identity, seat.incarnation))
    }

    pub(super) fn dial_ended(&mut self, now: Time, conn: ConnId, refused: bool, told: &mut Vec<PeerEvent>) {
        let Some(Conn { state: State::Dialing(id), .. }) = self.conns.remove(&conn) else { return };
        self.dialed_in_vain(now, conn);
        let hasty = self.bug.has(Bug::DeathByOneRefusal);
        let Some(peer) = self.known(&id) else { return };
        let Some(suspect) = &mut peer.suspect else { return };
        let Some(at) = suspect.open.iter().position(|(c, _)| *c == conn) else { return };
        if !refused {
            peer.suspect = None;
            return;
        }
        suspect.open.swap_remove(at);
        if hasty {
            suspect.open.clear();
        }
        Self::conclude(peer, told);
    }

    /// All dials that were to prove a death have proven it.
    fn conclude(peer: &mut Peer, told: &mut Vec<PeerEvent>) {
        let Some(suspect) = peer.suspect.take_if(|s| s.open.is_empty()) else { return };
        peer.bury(&suspect);
        for (identity, incarnation) in suspect.who {
            peer.dead = peer.dead.max(Some(incarnation));
            told.push(PeerEvent::Dead { id: peer.info.id.clone(), identity, incarnation });
        }
    }

    /// Dials every address that an incarnation proclaimed, to learn whether it is dead.
    pub(super) fn suspect(&mut self, now: Time, id: &NodeId, who: Met, out: &mut Outbox) {
        let Met { identity, incarnation, addrs, .. } = who;
        let before = self.known(id).and_then(|p| p.suspect.take());
        let mut suspect = before.unwrap_or(Suspect { who: Vec::new(), open: Vec::new(), resets: 0, lives: Vec::new() });
        if suspect.who.iter().all(|(_, other)| *other < incarnation) {
            suspect.who.push((identity, incarnation));
            for addr in addrs {
                let Some(at) = suspect.open.iter().position(|(_, a)| *a == addr) else {
                    suspect.open.push((self.dial(now, id, addr, out), addr));
                    continue;
                };
                // A connection that stands, and may be answered yet, is as good as another one: two that dial because the
                // other's dial replaced their connection would go on for ever. A dial from before proves nothing.
                self.dial_again(now, id, &mut suspect.open[at], now, out);
            }
        }
        if let Some(peer) = self.known(id) {
            if peer.conn.is_none() {
                peer.dialing = suspect.open.first().map(|(conn, _)| *conn);
            }
            peer.suspect = Some(suspect);
        }
    }

    /// Ends a dial that nobody answered yet, and was begun by then, for another one.
    fn dial_again(&mut self, now: Time, id: &NodeId, open: &mut (ConnId, SocketAddr), by: Time, out: &mut Outbox) {
        let dials = |c: &Conn| matches!(c.state, State::Dialing(_)) && c.opened <= by;
        if self.conns.get(&open.0).is_some_and(dials) {
            self.conns.remove(&open.0);
            self.dialed_in_vain(now, open.0);
            out.close(open.0);
            open.0 = self.dial(now, id, open.1, out);
        }
    }

    /// A suspect is heard: it may live. What was dialled when it could not be reached, and its host tries again ever more
    /// seldom, is dialled anew; that proves as much.
    pub(super) fn renew_proof(&mut self, now: Time, id: &NodeId, out: &mut Outbox) {
        let Some(mut suspect) = self.known(id).and_then(|p| p.suspect.take()) else { return };
        let by = now - self.step * 4;
        for open in &mut suspect.open {
            self.dial_again(now, id, open, by, out);
        }
        if let Some(peer) = self.known(id) {
            if peer.conn.is_none() {
                peer.dialing = suspect.open.first().map(|(conn, _)| *conn);
            }
            peer.suspect = Some(suspect);
        }
    }

    /// A connection ended before its handshake. Where it was to prove a death it is dialled again: the first one may
    /// have been taken by a process that was about to die.
    pub(super) fn proof_ended(&mut self, now: Time, conn: ConnId, by_peer: bool, out: &mut Outbox) {
        let proves = |p: &Peer| p.suspect.as_ref().is_some_and(|s| s.open.iter().any(|(c, _)| *c == conn));
        let Some(id) = self.peers.values().chain(&self.own).find(|p| proves(p)).map(|p| p.info.id.clone()) else {
            return;
        };
        let Some(mut suspect) = self.known(&id).and_then(|p| p.suspect.take()) else { return };
        if !by_peer || suspect.resets >= MAX_RESETS {
            return;
        }
        suspect.resets += 1;
        for (old, addr) in suspect.open.iter_mut().filter(|(c, _)| *c == conn) {
            *old = self.dial(now, &id, *addr, out);
        }
        if let Some(peer) = self.known(&id) {
            if peer.dialing == Some(conn) {
                peer.dialing = suspect.open.first().map(|(conn, _)| *conn);
            }
            peer.suspect = Some(suspect);
        }
    }

    /// Somebody answers on this connection. Where it was dialled for another one, that one isn't there, and nothing is proven.
    pub(super) fn answered_by_another(&mut self, now: Time, id: &NodeId, conn: ConnId) {
        self.dialed_in_vain(now, conn);
        for peer in self.peers.values_mut().chain(&mut self.own).filter(|p| p.info.id != *id) {
            peer.suspect.take_if(|s| s.open.iter().any(|(c, _)| *c == conn));
        }
    }

    /// A dial that was to prove a death was answered: by the suspect itself, or by a larger incarnation in its place.
    pub(super) fn proof_answered(&mut self, conn: ConnId, hello: &Hello, told: &mut Vec<PeerEvent>) {
        let Some(peer) = self.peers.get_mut(&hello.info.id) else { return };
        let Some(suspect) = &mut peer.suspect else { return };
        suspect.who.retain(|(_, incarnation)| *incarnation < hello.info.incarnation);
        if suspect.who.is_empty() {
            peer.suspect = None;
            return;
        }
        let Some(at) = suspect.open.iter().position(|(c, _)| *c == conn) else { return };
        suspect.open.swap_remove(at);
        suspect.lives.push(hello.info.identity);
        Self::conclude(peer, told);
    }
}
