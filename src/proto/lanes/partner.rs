//! One other node, as far as messages are concerned: both halves of the pair, and the connection that carries them.

use super::courier::Courier;
use super::intake::Intake;
use crate::types::{ConnId, Incarnation, NodeId, Time};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Duration;

/// The connection that carries a pair's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) conn: ConnId,
    /// True where it is one of those between candidates, which this machine neither makes nor closes.
    pub(super) lent: bool,
    /// Who is at its other end.
    pub(super) incarnation: Incarnation,
}

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) incarnation: Incarnation,
    pub(super) addrs: Vec<SocketAddr>,
    /// Nobody can connect to it there.
    pub(super) outbound: bool,
    /// When it was learned.
    pub(super) since: Time,
}

/// How far the sending half is on the present connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing was said.
    Idle,
    /// It asked how far the receiver is.
    Opening,
    /// It sends.
    Flowing,
}

#[derive(Debug, Clone)]
pub(super) struct Partner {
    pub(super) id: NodeId,
    pub(super) courier: Courier,
    pub(super) intake: Intake,
    pub(super) line: Option<Line>,
    pub(super) phase: Phase,
    /// When it was asked last how far it is.
    pub(super) asked: Time,
    /// When it last said anything of this pair's messages.
    pub(super) heard: Time,
    /// A connection that is being made, or whose handshake isn't over.
    pub(super) dialing: Option<ConnId>,
    pub(super) place: Option<Place>,
    /// All up to this incarnation are off the roll: nothing is heard of them.
    pub(super) gone: Option<Incarnation>,
    /// A smaller incarnation than was heard of may be the one that is on the roll: where its wall clock was set back, and that
    /// larger one was in another lineage, or on no roll.
    pub(super) afar: bool,
    /// Since when what waits has waited for a way.
    pub(super) since: Time,
    /// The same before the connection that it has now, or had last; when that one came; and how far the sender was then.
    spell: (Time, Time, u64),
    pub(super) next_try: Time,
    pub(super) backoff: Duration,
    /// How often its place was asked for in vain.
    pub(super) attempts: u16,
    /// How often it was called in vain.
    pub(super) called: usize,
    /// The number of the question, where one is open.
    pub(super) nonce: u64,
    /// Datagrams that wait for a place.
    pub(super) notes: Vec<Bytes>,
    /// When its connection was last used.
    pub(super) used: Time,
    /// Since when its connection is in doubt: the other end made another one, as if it knew nothing of this one.
    pub(super) doubted: Option<Time>,
    /// In the set of those to be looked after.
    pub(super) busy: bool,
    /// In the list of those that may send.
    pub(super) listed: bool,
    /// In the list of those with something for the embedder.
    pub(super) ready: bool,
    /// In the list of those that lack credit.
    pub(super) starving: bool,
    /// In the list of those that have to hear how far their messages were taken.
    pub(super) owes: bool,
    /// Nobody can connect to it, by its handshake.
    pub(super) outbound: bool,
    /// Its last way was a circuit; that, or the one before it.
    pub(super) by_circuit: bool,
    pub(super) moved: bool,
}

impl Partner {
    pub(super) fn new(id: NodeId, intake: Intake, now: Time) -> Self {
        Self {
            id,
            courier: Courier::new(),
            intake,
            line: None,
            phase: Phase::Idle,
            asked: now,
            heard: now,
            dialing: None,
            place: None,
            gone: None,
            afar: false,
            since: now,
            spell: (now, now, 0),
            next_try: now,
            backoff: Duration::ZERO,
            attempts: 0,
            called: 0,
            nonce: 0,
            notes: Vec::new(),
            used: now,
            doubted: None,
            busy: false,
            listed: false,
            ready: false,
            starving: false,
            owes: false,
            outbound: false,
            by_circuit: false,
            moved: false,
        }
    }

    /// True where this incarnation of it is over: it is off the roll, or a larger one was heard.
    pub(super) fn is_past(&self, incarnation: Incarnation) -> bool {
        self.gone.is_some_and(|gone| gone >= incarnation) || incarnation < self.intake.incarnation && !self.afar
    }

    /// On the roll it is this incarnation.
    pub(super) fn stands_as(&mut self, incarnation: Incarnation) {
        self.afar = incarnation < self.intake.incarnation;
    }

    /// Something waits, where nothing did.
    pub(super) fn waits_since(&mut self, now: Time) {
        (self.since, self.spell.0) = (now, now);
    }

    /// Time until then doesn't count.
    pub(super) fn excuse(&mut self, until: Time) {
        (self.since, self.spell.0) = (self.since.max(until), self.spell.0.max(until));
    }

    /// It has a connection.
    pub(super) fn attached(&mut self, now: Time) {
        self.spell = (self.since, now, self.courier.base());
        (self.used, self.since, self.backoff, self.attempts, self.called) = (now, now, Duration::ZERO, 0, 0);
    }

    /// It has it no more. Where it stood no longer than `long` and nothing was taken over it, it was no way: handshakes pass
    /// where more doesn't, and what waits would wait for ever.
    pub(super) fn detached(&mut self, now: Time, long: Duration) {
        let (before, came, base) = self.spell;
        let stuck = !self.courier.is_empty() && self.courier.base() == base && now - came <= long;
        (self.phase, self.doubted) = (Phase::Idle, None);
        (self.since, self.next_try) = (if stuck { before } else { now }, now);
    }

    /// True where something waits for it to be reached.
    pub(super) fn wants_way(&self) -> bool {
        !self.courier.is_empty() && self.line.is_none() || !self.notes.is_empty()
    }

    /// True where its connection is one of those between candidates.
    pub(super) fn is_lent(&self) -> bool {
        self.line.is_some_and(|line| line.lent)
    }

    /// True where it has to be looked after.
    pub(super) fn needs_care(&self) -> bool {
        !self.courier.is_empty() || !self.notes.is_empty() || self.intake.has_partial() || self.doubted.is_some()
    }

    /// True where nothing is lost if it is forgotten, but how far it was.
    pub(super) fn is_idle(&self) -> bool {
        !self.needs_care() && self.line.is_none() && self.dialing.is_none() && !self.intake.has_message()
    }
}
