//! Dials: when one is begun anew, and when it is given up.

use super::super::outbox::Outbox;
use super::{Conn, Peers, State};
use crate::types::{ConnId, NodeId, Time};

impl Peers {
    /// The leader is heard: a connection to it that is missing is made at once. One that has long been in the making may
    /// have been begun when it could not be reached, and its host tries again ever more seldom: it is begun anew, later each
    /// time, for the way there and back may be that long.
    pub(in crate::proto) fn heard(&mut self, now: Time, id: &NodeId, out: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(id).filter(|p| p.conn.is_none()) else { return };
        if peer.suspect.is_some() {
            return self.renew_proof(now, id, out);
        }
        if let Some(conn) = peer.dialing {
            let long = self.step * (4 << peer.redials.min(8));
            let old = self.conns.get(&conn).is_some_and(|c| now - c.opened >= long);
            if !old || !matches!(self.conns.get(&conn), Some(Conn { state: State::Dialing(_), .. })) {
                return;
            }
            self.conns.remove(&conn);
            peer.dialing = None;
            peer.redials = peer.redials.saturating_add(1);
            out.close(conn);
        }
        peer.next_dial = now;
        self.deadline = self.deadline.min(now);
    }

    /// A dialled connection came to nothing: it is tried again, later each time.
    pub(super) fn dialed_in_vain(&mut self, now: Time, conn: ConnId) {
        let (step, most) = (self.step, self.interval.max(self.step));
        if let Some(peer) = self.peers.values_mut().find(|p| p.dialing == Some(conn)) {
            peer.dialing = None;
            peer.backoff = (peer.backoff * 2).clamp(step, most);
            peer.next_dial = now + peer.backoff;
            self.deadline = self.deadline.min(peer.next_dial);
        }
    }

    /// A dial to an address that a later incarnation has left may wait for long: it is given up for one to the new address.
    pub(super) fn end_old_dials(&mut self, out: &mut Outbox) {
        for peer in self.peers.values_mut().filter(|p| p.moved) {
            peer.moved = false;
            let Some(conn) = peer.dialing.filter(|_| peer.suspect.is_none()) else { continue };
            if matches!(self.conns.get(&conn), Some(Conn { state: State::Dialing(_), .. })) {
                self.conns.remove(&conn);
                peer.dialing = None;
                out.close(conn);
            }
        }
    }
}
