//! This node's own ends of circuits: connections to others that a relay passes on.
//!
//! To the rest of the lanes a circuit is a connection like any other, with a number of its own: what is said on it is put
//! into pieces here, and sent on the connection to the relay behind that one's own control frames.
//!
//! Properties: a circuit's bytes come out at the other end as they went in, each once, until it ends; no more of them leave
//! than the relay gave credit for; control frames go before messages, frame by frame; what waits is bounded, and a circuit
//! whose relay takes nothing is given up beyond that.

use super::super::StreamInput;
use super::super::event::Path;
use super::super::outbox::Outbox;
use super::relay::{CHUNK, HOLD, Party, ring_patience};
use super::{Lanes, links};
use crate::types::{ConnId, Incarnation, NodeId, Time};
use crate::wire::{Answered, Call, CallOutcome, Carried, Circuit, HangUp, Message, More, Ring, Sender, View};
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// The first number of a circuit: far above those of connections.
const FIRST: u64 = 1 << 42;
/// Control frames that wait for the relay's credit, in bytes.
const MAX_CONTROL: usize = 256 << 10;
/// Those who ring at one time.
const MAX_RINGING: usize = 256;
/// Circuits of this node's own.
const MAX_CIRCUITS: usize = 4_096;

/// A piece for a carrier; of the node's own circuits with the circuit, and how much of it are messages.
type Piece = (ConnId, Message, Option<(ConnId, usize)>);

/// True for the number of a circuit.
pub(super) fn is_circuit(conn: ConnId) -> bool {
    conn.0 >= FIRST
}

/// One end of a circuit.
#[derive(Debug, Clone)]
struct End {
    carrier: ConnId,
    number: u64,
    via: NodeId,
    /// Whose it is.
    at: usize,
    /// Called, and not answered yet: since when.
    called: Option<Time>,
    control: VecDeque<Bytes>,
    /// How much that is.
    controls: usize,
    bulk: VecDeque<Bytes>,
    /// The first of these is a frame of which a part is out.
    begun: bool,
    sent: u64,
    credit: u64,
    listed: bool,
}

/// Somebody who is being connected to, as it asked.
#[derive(Debug, Clone)]
struct Ringing {
    carrier: ConnId,
    ring: Ring,
    at: usize,
    dial: ConnId,
    until: Time,
}

/// Somebody through whom a member can be reached that can't be connected to.
#[derive(Debug, Clone)]
pub(in crate::proto) struct Keeper {
    pub(in crate::proto) id: NodeId,
    pub(in crate::proto) addr: SocketAddr,
    /// The connection between candidates, where there is one.
    pub(in crate::proto) lent: Option<(ConnId, Incarnation)>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Circuits {
    ends: BTreeMap<ConnId, End>,
    by_number: BTreeMap<(ConnId, u64), ConnId>,
    /// Those that have something to send, in turn.
    ready: VecDeque<ConnId>,
    /// Those to be called, and through whom, once there is a connection to that one.
    waiting: Vec<(usize, usize)>,
    ringing: Vec<Ringing>,
    made: u64,
    /// What the driver holds of circuits, by the connection that carries them.
    held: BTreeMap<ConnId, usize>,
}

impl Circuits {
    /// Numbers are never used again.
    pub(super) fn go_on_after(&mut self, before: &Self) {
        self.made = before.made;
    }

    /// The driver has written bulk of a carrier: how much of it was not of circuits.
    fn written(&mut self, carrier: ConnId, n: usize) -> usize {
        let Some(held) = self.held.get_mut(&carrier) else { return n };
        let ours = n.min(*held);
        *held -= ours;
        if *held == 0 {
            self.held.remove(&carrier);
        }
        n - ours
    }

    fn on(&self, carrier: ConnId) -> impl Iterator<Item = ConnId> + '_ {
        self.by_number.range((carrier, 0)..=(carrier, u64::MAX)).map(|(_, conn)| *conn)
    }

    fn list(&mut self, conn: ConnId) {
        if let Some(end) = self.ends.get_mut(&conn)
            && !std::mem::replace(&mut end.listed, true)
        {
            self.ready.push_back(conn);
        }
    }

    fn remove(&mut self, conn: ConnId) -> Option<End> {
        let end = self.ends.remove(&conn)?;
        self.by_number.remove(&(end.carrier, end.number));
        Some(end)
    }

    /// The next piece: the carrier, the piece, and which circuit's messages have left with it.
    fn next(&mut self) -> Option<(ConnId, Carried, ConnId, usize)> {
        while let Some(conn) = self.ready.pop_front() {
            let Some(end) = self.ends.get_mut(&conn) else { continue };
            end.listed = false;
            let held = self.held.get(&end.carrier).copied().unwrap_or_default();
            let credit = usize::try_from(end.credit.saturating_sub(end.sent)).unwrap_or(usize::MAX);
            if held >= HOLD || credit == 0 || end.called.is_some() {
                // Listed again when there is room.
                continue;
            }
            let (data, bulk) = end.take(credit.min(CHUNK));
            if data.is_empty() {
                continue;
            }
            end.sent += data.len() as u64;
            let (carrier, number) = (end.carrier, end.number);
            self.list(conn);
            return Some((carrier, Carried { number, relay: false, data }, conn, bulk));
        }
        None
    }
}

impl End {
    /// Takes up to so many bytes of what waits, and tells how many of them are messages.
    fn take(&mut self, most: usize) -> (Bytes, usize) {
        let mut data = BytesMut::new();
        let mut bulk = 0;
        while data.len() < most {
            // Control frames go between messages' frames, not into them.
            let from_bulk = self.begun || self.control.is_empty();
            let queue = if from_bulk { &mut self.bulk } else { &mut self.control };
            let Some(first) = queue.front_mut() else { break };
            let n = first.len().min(most - data.len());
            data.extend_from_slice(&first.split_to(n));
            let whole = first.is_empty();
            if whole {
                queue.pop_front();
            }
            if from_bulk {
                bulk += n;
                self.begun = !whole;
            } else {
                self.controls -= n;
            }
        }
        (data.freeze(), bulk)
    }
}

impl Lanes {
    // ---- Calling ----

    /// Somebody is to be reached who can't be connected to.
    pub(super) fn call(&mut self, now: Time, at: usize, keepers: &[Keeper], out: &mut Outbox) {
        let Some(p) = self.get(at) else { return };
        // The likeliest first, then the others in turn.
        let Some(keeper) = keepers.get(p.called % keepers.len().max(1)) else { return };
        p.called = p.called.wrapping_add(1);
        let Some(via) = self.partner(now, &keeper.id) else { return };
        if let Some((conn, incarnation)) = keeper.lent {
            self.lend(now, via, conn, incarnation, out);
        }
        match self.carrier(via) {
            Some(carrier) => self.place_call(now, at, via, carrier, out),
            None => {
                if !self.circuits.waiting.contains(&(at, via)) {
                    self.circuits.waiting.push((at, via));
                }
                // Over a circuit to it nothing of others goes: it needs a connection of its own.
                let dials = self.get(via).is_some_and(|v| v.dialing.is_none());
                if dials && keeper.lent.is_none() {
                    self.dial(now, via, keeper.addr, out);
                }
                let step = self.step;
                let waits = self.silence + step * 2;
                if let Some(p) = self.get(at) {
                    p.next_try = now + waits;
                }
            }
        }
    }

    /// The connection to a node, where it is one that bytes of others can go over.
    fn carrier(&self, at: usize) -> Option<ConnId> {
        let line = self.partners.get(at)?.as_ref()?.line?;
        (!is_circuit(line.conn)).then_some(line.conn)
    }

    fn place_call(&mut self, now: Time, at: usize, via: usize, carrier: ConnId, out: &mut Outbox) {
        let Some(via) = self.partners.get(via).and_then(Option::as_ref).map(|p| p.id.clone()) else { return };
        let lineage = self.hello.lineage;
        self.circuits.made += 2;
        let (conn, number) = (ConnId(FIRST + self.circuits.made), self.circuits.made);
        let full = self.circuits.ends.len() >= MAX_CIRCUITS;
        let free = |p: &&mut super::Partner| p.line.is_none() && p.dialing.is_none() && !full;
        let Some(p) = self.get(at).filter(free) else { return };
        p.dialing = Some(conn);
        let call = Call { number, lineage, id: p.id.clone() };
        self.end_of(conn, carrier, number, via, at);
        if let Some(end) = self.circuits.ends.get_mut(&conn) {
            end.called = Some(now);
        }
        self.link(now, conn, links::State::Dialing(at), Default::default());
        out.stats.calls += 1;
        out.send(carrier, Message::Circuit(Circuit::Call(call)));
    }

    fn end_of(&mut self, conn: ConnId, carrier: ConnId, number: u64, via: NodeId, at: usize) {
        let end = End {
            carrier,
            number,
            via,
            at,
            called: None,
            control: VecDeque::new(),
            controls: 0,
            bulk: VecDeque::new(),
            begun: false,
            sent: 0,
            credit: 0,
            listed: false,
        };
        self.circuits.by_number.insert((carrier, number), conn);
        self.circuits.ends.insert(conn, end);
    }

    /// A pair has a way: those who wait for this one as their relay are called, and who rang is told.
    pub(super) fn way_found(&mut self, now: Time, at: usize, out: &mut Outbox) {
        let Some(carrier) = self.carrier(at) else { return };
        for (who, via) in self.circuits.waiting.extract_if(.., |(_, via)| *via == at).collect::<Vec<_>>() {
            if self.get(who).is_some_and(|p| p.wants_way() && p.line.is_none()) {
                self.place_call(now, who, via, carrier, out);
            }
        }
        for rung in self.circuits.ringing.extract_if(.., |r| r.at == at).collect::<Vec<_>>() {
            self.answer_ring(rung.carrier, rung.ring.number, CallOutcome::DialledBack, out);
        }
    }

    /// A connection that was to be made came to nothing.
    pub(super) fn dial_failed(&mut self, now: Time, at: usize, conn: ConnId, out: &mut Outbox) {
        for (who, _) in self.circuits.waiting.extract_if(.., |(_, via)| *via == at).collect::<Vec<_>>() {
            let step = self.step;
            if let Some(p) = self.get(who) {
                p.next_try = now + step;
            }
            self.look_after(now, who);
        }
        for rung in self.circuits.ringing.extract_if(.., |r| r.dial == conn).collect::<Vec<_>>() {
            self.pick_up(now, &rung, out);
        }
    }

    // ---- Being called ----

    /// Somebody calls, who was found to be no one that has left.
    pub(in crate::proto) fn ring(&mut self, now: Time, carrier: ConnId, ring: Ring, out: &mut Outbox) {
        self.now = self.now.max(now);
        let number = ring.number;
        let Some(at) = self.partner(now, &ring.from.id) else {
            return self.answer_ring(carrier, number, CallOutcome::Busy, out);
        };
        let incarnation = ring.from.incarnation;
        let Some(p) = self.get(at) else { return };
        let stale = p.is_past(incarnation);
        let direct = p.line.is_some_and(|l| l.incarnation == incarnation && !is_circuit(l.conn));
        if stale || self.circuits.by_number.contains_key(&(carrier, number)) || ring.from.id == self.hello.info.id {
            return self.answer_ring(carrier, number, CallOutcome::Refused, out);
        }
        if direct {
            return self.answer_ring(carrier, number, CallOutcome::DialledBack, out);
        }
        if self.circuits.ringing.len() >= MAX_RINGING || self.circuits.ends.len() >= MAX_CIRCUITS {
            return self.answer_ring(carrier, number, CallOutcome::Busy, out);
        }
        let until = now + self.silence.min(self.patience / 4);
        let mut ringing = Ringing { carrier, ring, at, dial: ConnId(0), until };
        let Some(addr) = ringing.ring.from.addrs.first().copied().filter(|_| !ringing.ring.from.outbound) else {
            return self.pick_up(now, &ringing, out);
        };
        let dialing = self.get(at).and_then(|p| p.dialing).filter(|conn| !is_circuit(*conn));
        match dialing {
            Some(conn) => ringing.dial = conn,
            None => ringing.dial = self.dial(now, at, addr, out),
        }
        self.care_at = self.care_at.min(until);
        self.circuits.ringing.push(ringing);
    }

    /// The caller couldn't be connected to, or can't be: its circuit is taken.
    fn pick_up(&mut self, now: Time, rung: &Ringing, out: &mut Outbox) {
        let Ringing { carrier, ring, at, .. } = rung;
        let Some(via) = self.carrier_at(*carrier).map(|p| p.id.clone()) else { return };
        self.circuits.made += 2;
        // Odd: the other end made it.
        let conn = ConnId(FIRST + self.circuits.made + 1);
        self.end_of(conn, *carrier, ring.number, via, *at);
        if let Some(end) = self.circuits.ends.get_mut(&conn) {
            end.credit = ring.credit;
        }
        self.answer_ring(*carrier, ring.number, CallOutcome::Taken, out);
        self.link(now, conn, links::State::Open(None), Default::default());
    }

    fn carrier_at(&self, carrier: ConnId) -> Option<&super::Partner> {
        self.of_conn(carrier).and_then(|at| self.partners.get(at)?.as_deref())
    }

    /// Says what comes of a ring.
    pub(in crate::proto) fn answer_ring(
        &mut self,
        carrier: ConnId,
        number: u64,
        outcome: CallOutcome,
        out: &mut Outbox,
    ) {
        let answered = Answered { number, relay: false, outcome, credit: 0 };
        out.send(carrier, Message::Circuit(Circuit::Answered(answered)));
    }

    /// Calls that nobody answers are given up, and who can't be connected to in time is taken by circuit.
    pub(super) fn tick_circuits(&mut self, now: Time, out: &mut Outbox) {
        for rung in self.circuits.ringing.extract_if(.., |r| now >= r.until).collect::<Vec<_>>() {
            self.pick_up(now, &rung, out);
        }
        let longest = ring_patience(self.silence) + self.step * 4;
        let late = |end: &End| end.called.is_some_and(|since| now >= since + longest);
        let late: Vec<ConnId> = self.circuits.ends.iter().filter(|(_, end)| late(end)).map(|(conn, _)| *conn).collect();
        for conn in late {
            out.stats.calls_failed += 1;
            self.hang_up(conn, out);
            self.closed(now, conn, out);
        }
    }

    pub(super) fn circuits_due(&self) -> Time {
        self.circuits.ringing.iter().map(|r| r.until).min().unwrap_or(Time::NEVER)
    }

    // ---- What comes ----

    /// A frame about circuits, over the connection that carries them. Carried bytes are those of another connection.
    pub(super) fn circuit(&mut self, now: Time, carrier: ConnId, circuit: Circuit, out: &mut Outbox) -> Result<(), ()> {
        match circuit {
            Circuit::Call(call) => self.calls.push_back((carrier, call)),
            Circuit::Ring(ring) => self.rings.push_back((carrier, ring)),
            Circuit::Answered(Answered { relay: false, .. })
            | Circuit::Carried(Carried { relay: false, .. })
            | Circuit::HangUp(HangUp { relay: false, .. }) => {
                return self.relay.take(carrier, circuit).map_err(|_| ());
            }
            Circuit::Answered(answered) => self.answered(now, carrier, answered, out),
            Circuit::Carried(carried) => {
                if let Some(conn) = self.circuits.by_number.get(&(carrier, carried.number)).copied() {
                    let mut greeted = Vec::new();
                    self.bytes(now, conn, &carried.data, out, &mut greeted);
                    self.greeted.extend(greeted);
                }
            }
            Circuit::More(More { number, credit }) => {
                if let Some(conn) = self.circuits.by_number.get(&(carrier, number)).copied() {
                    if let Some(end) = self.circuits.ends.get_mut(&conn) {
                        end.credit = end.credit.max(credit);
                    }
                    self.circuits.list(conn);
                }
            }
            Circuit::HangUp(hung_up) => {
                // Who rang has given up.
                self.circuits.ringing.retain(|r| (r.carrier, r.ring.number) != (carrier, hung_up.number));
                if let Some(conn) = self.circuits.by_number.get(&(carrier, hung_up.number)).copied() {
                    self.circuits.remove(conn);
                    self.closed(now, conn, out);
                }
            }
        }
        Ok(())
    }

    fn answered(&mut self, now: Time, carrier: ConnId, answered: Answered, out: &mut Outbox) {
        let Some(conn) = self.circuits.by_number.get(&(carrier, answered.number)).copied() else { return };
        let Some(end) = self.circuits.ends.get_mut(&conn).filter(|end| end.called.is_some()) else { return };
        if answered.outcome == CallOutcome::Taken {
            (end.called, end.credit) = (None, answered.credit);
            let mut greeted = Vec::new();
            self.handle(now, conn, StreamInput::Connected, out, &mut greeted);
            return;
        }
        if answered.outcome != CallOutcome::DialledBack {
            out.stats.calls_failed += 1;
        }
        self.circuits.remove(conn);
        self.closed(now, conn, out);
    }

    /// A connection is gone, and with it what it carried.
    pub(super) fn carrier_lost(&mut self, now: Time, carrier: ConnId, out: &mut Outbox) {
        self.circuits.held.remove(&carrier);
        self.circuits.ringing.retain(|r| r.carrier != carrier);
        self.relay.lost(carrier);
        for conn in self.circuits.on(carrier).collect::<Vec<_>>() {
            self.circuits.remove(conn);
            self.closed(now, conn, out);
        }
    }

    /// What a connection carried ends, and it stands: its other end is told.
    pub(super) fn end_carried(&mut self, now: Time, carrier: ConnId, out: &mut Outbox) {
        self.relay.end_on(carrier);
        for conn in self.circuits.on(carrier).collect::<Vec<_>>() {
            self.hang_up(conn, out);
            self.closed(now, conn, out);
        }
    }

    // ---- What goes ----

    /// Control frames that are meant for a circuit.
    pub(super) fn say_on_circuit(&mut self, conn: ConnId, bytes: Bytes, out: &mut Outbox) {
        let Some(end) = self.circuits.ends.get_mut(&conn) else { return };
        end.controls += bytes.len();
        let over = end.controls > MAX_CONTROL;
        end.control.push_back(bytes);
        self.circuits.list(conn);
        if over {
            self.cut(self.now, conn, out);
        }
    }

    /// A frame of messages for a circuit.
    pub(super) fn bulk_on_circuit(&mut self, conn: ConnId, bytes: Bytes) {
        if let Some(end) = self.circuits.ends.get_mut(&conn) {
            end.bulk.push_back(bytes);
            self.circuits.list(conn);
        }
    }

    /// This node ends a circuit.
    pub(super) fn hang_up(&mut self, conn: ConnId, out: &mut Outbox) {
        if let Some(end) = self.circuits.remove(conn) {
            let hang_up = HangUp { number: end.number, relay: false };
            out.send(end.carrier, Message::Circuit(Circuit::HangUp(hang_up)));
        }
    }

    /// The next piece of this node's own circuits, or of those that it relays, in turn.
    pub(super) fn next_piece(&mut self, out: &mut Outbox) -> Option<(ConnId, Bytes)> {
        self.relay_first = !self.relay_first;
        let (carrier, message, own) = if self.relay_first {
            self.relayed_piece().or_else(|| self.own_piece())?
        } else {
            self.own_piece().or_else(|| self.relayed_piece())?
        };
        if let Some((conn, bulk)) = own {
            self.written(conn, bulk);
        }
        let mut buf = BytesMut::new();
        crate::wire::encode_message(&message, out.tag(), &mut buf);
        *self.circuits.held.entry(carrier).or_default() += buf.len();
        Some((carrier, buf.freeze()))
    }

    fn relayed_piece(&mut self) -> Option<Piece> {
        let held = &self.circuits.held;
        let (conn, message) = self.relay.next(|conn| held.get(&conn).copied().unwrap_or_default())?;
        Some((conn, message, None))
    }

    fn own_piece(&mut self) -> Option<Piece> {
        let (carrier, carried, conn, bulk) = self.circuits.next()?;
        Some((carrier, Message::Circuit(Circuit::Carried(carried)), Some((conn, bulk))))
    }

    /// Bulk has left the driver: what of it was not carried for circuits.
    pub(super) fn carried_written(&mut self, conn: ConnId, n: usize) -> usize {
        let before = self.circuits.held.contains_key(&conn);
        if !before {
            return n;
        }
        let rest = self.circuits.written(conn, n);
        self.relay.written(conn);
        for circuit in self.circuits.on(conn).collect::<Vec<_>>() {
            self.circuits.list(circuit);
        }
        rest
    }

    /// True where something goes over this connection that isn't its own.
    pub(super) fn carries(&self, conn: ConnId) -> bool {
        self.circuits.on(conn).next().is_some() || self.relay.uses(conn)
    }

    /// Through whom a circuit goes, and whose it is.
    pub(super) fn circuit_via(&self, conn: ConnId) -> Option<(&NodeId, usize)> {
        self.circuits.ends.get(&conn).map(|end| (&end.via, end.at))
    }

    // ---- What the node has to look at ----

    pub(in crate::proto) fn poll_call(&mut self) -> Option<(ConnId, Call)> {
        self.calls.pop_front()
    }

    pub(in crate::proto) fn poll_ring(&mut self) -> Option<(ConnId, Ring)> {
        self.rings.pop_front()
    }

    pub(in crate::proto) fn poll_leads(&mut self) -> Option<(NodeId, View)> {
        self.leads.pop_front()
    }

    pub(in crate::proto) fn take_greeted(&mut self) -> Vec<links::Greeted> {
        std::mem::take(&mut self.greeted)
    }

    /// Who is at the other end of a connection.
    pub(in crate::proto) fn who(&self, conn: ConnId) -> Option<(NodeId, Incarnation)> {
        let p = self.carrier_at(conn)?;
        Some((p.id.clone(), p.line?.incarnation))
    }

    /// Rings a member for a caller that is on the roll; false where too much is relayed already.
    pub(in crate::proto) fn connect_call(
        &mut self,
        now: Time,
        (conn, number): (ConnId, u64),
        (id, incarnation): (&NodeId, Incarnation),
        from: Sender,
    ) -> Result<bool, CallOutcome> {
        let at = self.by_id.get(id).copied().ok_or(CallOutcome::NotHere)?;
        let line = self.partners.get(at).and_then(Option::as_ref).and_then(|p| p.line);
        let line = line.filter(|line| line.incarnation == incarnation && !line.lent && !is_circuit(line.conn));
        let to = line.ok_or(CallOutcome::NotHere)?.conn;
        let caller = Party { conn, id: from.id.clone(), incarnation: from.incarnation };
        let called = Party { conn: to, id: id.clone(), incarnation };
        let until = now + ring_patience(self.silence);
        self.circuits_at = self.circuits_at.min(until);
        let ring = self.relay.ring(self.hello.lineage, from);
        Ok(self.relay.connect(until, (caller, number), called, ring))
    }

    // ---- Keeping reachable ----

    /// From now on the connection to this one stays, though nobody uses it; that of the one before doesn't.
    pub(in crate::proto) fn keep_with(&mut self, now: Time, id: &NodeId, addr: SocketAddr, out: &mut Outbox) {
        self.now = self.now.max(now);
        let Some(at) = self.partner(now, id) else { return };
        self.kept = Some(at);
        if self.get(at).is_some_and(|p| p.line.is_none() && p.dialing.is_none()) {
            self.dial(now, at, addr, out);
        }
    }

    pub(in crate::proto) fn keep(&mut self, none: Option<usize>) {
        self.kept = none;
    }

    /// True where there is a connection to this one, by no other.
    pub(in crate::proto) fn is_connected(&self, id: &NodeId) -> bool {
        self.by_id.get(id).is_some_and(|at| self.carrier(*at).is_some())
    }

    /// The connection of a member that can't be connected to.
    pub(in crate::proto) fn kept_conn(&self, id: &NodeId) -> Option<ConnId> {
        let at = *self.by_id.get(id)?;
        let outbound = self.partners.get(at)?.as_ref()?.outbound;
        self.carrier(at).filter(|_| outbound)
    }

    pub(in crate::proto) fn kept_conns(&self) -> Vec<ConnId> {
        let kept = self.partners.iter().enumerate().filter(|(_, p)| p.as_ref().is_some_and(|p| p.outbound));
        kept.filter_map(|(at, _)| self.carrier(at)).collect()
    }

    pub(in crate::proto) fn keeps_any(&self) -> bool {
        !self.links.is_empty()
    }

    /// The way that a pair's messages take.
    pub(in crate::proto) fn path(&self, id: &NodeId) -> Option<Path> {
        let p = self.by_id.get(id).and_then(|at| self.partners.get(*at)?.as_ref())?;
        let line = p.line?;
        Some(match self.circuit_via(line.conn) {
            Some((via, _)) => Path::Relayed(via.clone()),
            None if p.outbound && !line.lent && !line.conn.is_dialled() => Path::DialledBack,
            None => Path::Direct,
        })
    }

    pub(super) fn end_circuits(&mut self) {
        self.relay.stop();
        let made = self.circuits.made;
        self.circuits = Circuits { made, ..Circuits::default() };
    }
}
