//! What this node passes on between two members of which at least one can't be connected to.
//!
//! A junction joins two connections that stand: what comes from one side's circuit goes to the other's, and nothing of it
//! is looked at. The lane's own frames travel in it, so order, acknowledgement and credit hold between the two ends, and a
//! junction that is gone is a connection that ended.
//!
//! Properties: what is relayed is between two members of the roll; so many junctions at most, a quarter of them for one
//! member; each holds no more than [`WINDOW`] bytes for either side, and gets credit for what left it only, so that a side
//! that takes nothing stops the one that sends to it, and nobody else; what is relayed goes behind this node's own control
//! frames, junction by junction in turn.

use super::super::limits;
use super::super::planted::{Bug, Planted};
use crate::types::{ConnId, Incarnation, NodeId, Time};
use crate::wire::{Answered, CallOutcome, Carried, Circuit, HangUp, Message, More, Ring, Sender};
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// What a junction holds for either side at most.
pub(super) const WINDOW: usize = 64 << 10;
/// The most bytes of one frame: what a control frame waits behind at most.
pub(super) const CHUNK: usize = 16 << 10;
/// The most relayed bytes that the driver holds for a connection.
pub(super) const HOLD: usize = 64 << 10;

/// Pieces below this are joined while they wait, so that what they cost beside their bytes is bounded too.
const SMALL: usize = 1 << 10;

/// One end of a junction.
#[derive(Debug, Clone)]
struct Side {
    conn: ConnId,
    number: u64,
    id: NodeId,
    incarnation: Incarnation,
    /// What is to go there.
    queue: VecDeque<Bytes>,
    /// What this side may send, has sent, and was told that it may send.
    granted: u64,
    received: u64,
    told: u64,
    /// It is in the list of those to whom something may go.
    listed: bool,
    /// A bug on purpose: the last piece went there twice.
    again: bool,
}

impl Side {
    fn new(conn: ConnId, number: u64, id: NodeId, incarnation: Incarnation) -> Self {
        let granted = WINDOW as u64;
        Self {
            conn,
            number,
            id,
            incarnation,
            queue: VecDeque::new(),
            granted,
            received: 0,
            told: granted,
            listed: false,
            again: false,
        }
    }
}

#[derive(Debug, Clone)]
struct Junction {
    /// The caller, and the one who is called.
    sides: [Side; 2],
    /// Until when the one who is called may answer; nothing once it has.
    rings_until: Option<Time>,
}

/// Who takes part in a call: a connection, and who is at its other end.
#[derive(Debug, Clone)]
pub(super) struct Party {
    pub(super) conn: ConnId,
    pub(super) id: NodeId,
    pub(super) incarnation: Incarnation,
}

/// The other end doesn't keep to the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault;

#[derive(Debug, Clone)]
pub(in crate::proto) struct Relay {
    junctions: BTreeMap<u64, Junction>,
    /// Which side of which junction a number on a connection stands for.
    ends: BTreeMap<(ConnId, u64), (u64, usize)>,
    /// Sides to which something may go, in turn.
    ready: VecDeque<(u64, usize)>,
    /// What is to be said about circuits.
    orders: VecDeque<(ConnId, Message)>,
    most: usize,
    next: u64,
    pub(super) bytes: u64,
    pub(super) cut: u64,
    pub(in crate::proto) bug: Planted,
}

/// Adds a piece; a small one to the last, where that is small as well.
fn push(queue: &mut VecDeque<Bytes>, data: Bytes) {
    let joined = data.len() < SMALL && queue.back().is_some_and(|last| last.len() < SMALL);
    if !joined {
        return queue.push_back(limits::apart(data));
    }
    let Some(last) = queue.pop_back() else { return };
    // Nobody else holds it, so nothing is copied but what is new.
    let mut last = last.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    last.extend_from_slice(&data);
    queue.push_back(last.freeze());
}

impl Relay {
    /// `memory`: what it may hold in all.
    pub(super) fn new(memory: usize) -> Self {
        Self {
            junctions: BTreeMap::new(),
            ends: BTreeMap::new(),
            ready: VecDeque::new(),
            orders: VecDeque::new(),
            most: memory / (2 * WINDOW),
            next: 0,
            bytes: 0,
            cut: 0,
            bug: Planted::default(),
        }
    }

    fn say(&mut self, conn: ConnId, circuit: Circuit) {
        self.orders.push_back((conn, Message::Circuit(circuit)));
    }

    /// The next thing that is to be said.
    pub(super) fn poll_order(&mut self) -> Option<(ConnId, Message)> {
        self.orders.pop_front()
    }

    /// Tells a caller what came of its call.
    pub(in crate::proto) fn answer(&mut self, conn: ConnId, number: u64, outcome: CallOutcome) {
        let credit = if outcome == CallOutcome::Taken { WINDOW as u64 } else { 0 };
        self.say(conn, Circuit::Answered(Answered { number, relay: true, outcome, credit }));
    }

    /// Rings the one who is called; false where too much is relayed already, or the number is taken.
    pub(super) fn connect(&mut self, until: Time, (from, number): (Party, u64), to: Party, ring: Ring) -> bool {
        let of = |conn: ConnId| self.ends.range((conn, 0)..=(conn, u64::MAX)).count();
        let share = (self.most / 4).max(1);
        let busy = self.junctions.len() >= self.most || of(from.conn) >= share || of(to.conn) >= share;
        if busy || self.ends.contains_key(&(from.conn, number)) || from.conn == to.conn {
            return false;
        }
        let at = self.next;
        self.next += 1;
        let sides = [
            Side::new(from.conn, number, from.id, from.incarnation),
            Side::new(to.conn, ring.number, to.id, to.incarnation),
        ];
        self.ends.insert((from.conn, number), (at, 0));
        self.ends.insert((to.conn, ring.number), (at, 1));
        self.junctions.insert(at, Junction { sides, rings_until: Some(until) });
        self.say(to.conn, Circuit::Ring(ring));
        true
    }

    /// The ring for the next junction.
    pub(super) fn ring(&self, lineage: crate::types::Lineage, from: Sender) -> Ring {
        Ring { number: self.next * 2 + 1, lineage, credit: WINDOW as u64, from }
    }

    /// Takes a frame of one of the two ends.
    pub(super) fn take(&mut self, conn: ConnId, circuit: Circuit) -> Result<(), Fault> {
        match circuit {
            Circuit::Answered(a) => self.answered(conn, a),
            Circuit::Carried(c) => return self.carried(conn, c),
            Circuit::HangUp(h) => {
                if let Some((at, _)) = self.ends.get(&(conn, h.number)).copied() {
                    self.end(at, Some(conn));
                }
            }
            Circuit::Call(_) | Circuit::Ring(_) | Circuit::More(_) => {}
        }
        Ok(())
    }

    fn answered(&mut self, conn: ConnId, answer: Answered) {
        let Some((at, 1)) = self.ends.get(&(conn, answer.number)).copied() else { return };
        let Some(junction) = self.junctions.get_mut(&at).filter(|j| j.rings_until.is_some()) else { return };
        let (to, number) = (junction.sides[0].conn, junction.sides[0].number);
        if answer.outcome == CallOutcome::Taken {
            junction.rings_until = None;
        } else {
            self.remove(at);
        }
        self.answer(to, number, answer.outcome);
    }

    fn carried(&mut self, conn: ConnId, carried: Carried) -> Result<(), Fault> {
        // What was under way when it ended is of no use to anybody.
        let Some((at, side)) = self.ends.get(&(conn, carried.number)).copied() else { return Ok(()) };
        let Some(junction) = self.junctions.get_mut(&at) else { return Ok(()) };
        let from = &mut junction.sides[side];
        from.received += carried.data.len() as u64;
        if from.received > from.granted || junction.rings_until.is_some() {
            return Err(Fault);
        }
        let to = &mut junction.sides[1 - side];
        push(&mut to.queue, carried.data);
        if !std::mem::replace(&mut to.listed, true) {
            self.ready.push_back((at, 1 - side));
        }
        Ok(())
    }

    /// The next piece that goes on; `held`: what the driver holds for a connection already.
    pub(super) fn next(&mut self, mut held: impl FnMut(ConnId) -> usize) -> Option<(ConnId, Message)> {
        for _ in 0..self.ready.len() {
            let (at, side) = self.ready.pop_front()?;
            let bug = self.bug;
            let Some(junction) = self.junctions.get_mut(&at) else { continue };
            let [a, b] = &mut junction.sides;
            let (to, from) = if side == 0 { (a, b) } else { (b, a) };
            to.listed = false;
            if held(to.conn) >= HOLD {
                // Listed again when some of it is written.
                continue;
            }
            if bug.has(Bug::RelayOutOfOrder) && to.queue.len() > 1 {
                to.queue.swap(0, 1);
            }
            let Some(mut data) = to.queue.pop_front() else { continue };
            if data.len() > CHUNK {
                let rest = data.split_off(CHUNK);
                to.queue.push_front(rest);
            }
            to.again = bug.has(Bug::RelayTwice) && !to.again;
            if to.again {
                to.queue.push_front(data.clone());
            }
            self.bytes += data.len() as u64;
            from.granted += data.len() as u64;
            // Told in good time, and not for each piece.
            if from.granted - from.told >= WINDOW as u64 / 4 {
                from.told = from.granted;
                let (conn, more) = (from.conn, More { number: from.number, credit: from.granted });
                self.orders.push_back((conn, Message::Circuit(Circuit::More(more))));
            }
            if !to.queue.is_empty() {
                to.listed = true;
                self.ready.push_back((at, side));
            }
            let carried = Carried { number: to.number, relay: true, data };
            return Some((to.conn, Message::Circuit(Circuit::Carried(carried))));
        }
        None
    }

    /// Some of what the driver held for a connection is written.
    pub(super) fn written(&mut self, conn: ConnId) {
        for (at, side) in self.ends.range((conn, 0)..=(conn, u64::MAX)).map(|(_, end)| *end) {
            let Some(junction) = self.junctions.get_mut(&at) else { continue };
            let to = &mut junction.sides[side];
            if !to.queue.is_empty() && !std::mem::replace(&mut to.listed, true) {
                self.ready.push_back((at, side));
            }
        }
    }

    fn remove(&mut self, at: u64) -> Option<Junction> {
        let junction = self.junctions.remove(&at)?;
        for side in &junction.sides {
            self.ends.remove(&(side.conn, side.number));
        }
        Some(junction)
    }

    /// A junction is over; those ends are told whose connection this isn't.
    fn end(&mut self, at: u64, by: Option<ConnId>) {
        let Some(junction) = self.remove(at) else { return };
        for (n, side) in junction.sides.into_iter().enumerate().filter(|(_, side)| Some(side.conn) != by) {
            if n == 0 && junction.rings_until.is_some() {
                self.answer(side.conn, side.number, CallOutcome::NotHere);
            } else {
                self.say(side.conn, Circuit::HangUp(HangUp { number: side.number, relay: true }));
            }
        }
    }

    /// A connection is gone.
    pub(super) fn lost(&mut self, conn: ConnId) {
        self.on(conn).into_iter().for_each(|at| self.end(at, Some(conn)));
    }

    /// What went over a connection is over, and the connection is not.
    pub(super) fn end_on(&mut self, conn: ConnId) {
        self.on(conn).into_iter().for_each(|at| self.end(at, None));
    }

    fn on(&self, conn: ConnId) -> Vec<u64> {
        self.ends.range((conn, 0)..=(conn, u64::MAX)).map(|(_, (at, _))| *at).collect()
    }

    /// This incarnation, and all before it, are off the roll.
    pub(super) fn left(&mut self, id: &NodeId, incarnation: Incarnation) {
        if self.bug.has(Bug::RelayAfterLeft) {
            return;
        }
        self.keep(|who, of| who != id || of > incarnation);
    }

    /// Only between those that are here anything is passed on.
    pub(in crate::proto) fn keep(&mut self, mut here: impl FnMut(&NodeId, Incarnation) -> bool) {
        let mut of = |j: &Junction| j.sides.iter().any(|s| !here(&s.id, s.incarnation));
        let over: Vec<u64> = self.junctions.iter().filter(|(_, j)| of(j)).map(|(at, _)| *at).collect();
        self.cut += over.len() as u64;
        over.into_iter().for_each(|at| self.end(at, None));
    }

    /// Ends what was never answered. When to look again.
    pub(super) fn tick(&mut self, now: Time) -> Time {
        let late = |j: &Junction| j.rings_until.is_some_and(|until| now >= until);
        let over: Vec<u64> = self.junctions.iter().filter(|(_, j)| late(j)).map(|(at, _)| *at).collect();
        over.into_iter().for_each(|at| self.end(at, None));
        self.junctions.values().filter_map(|j| j.rings_until).min().unwrap_or(Time::NEVER)
    }

    /// Everything ends: this node relays no more.
    pub(super) fn stop(&mut self) {
        let all: Vec<u64> = self.junctions.keys().copied().collect();
        all.into_iter().for_each(|at| self.end(at, None));
    }

    /// True where anything is passed on over this connection.
    pub(super) fn uses(&self, conn: ConnId) -> bool {
        self.ends.range((conn, 0)..=(conn, u64::MAX)).next().is_some()
    }

    /// Between whom it passes on, and how many bytes wait.
    pub(in crate::proto) fn pairs(&self) -> impl Iterator<Item = ([(&NodeId, Incarnation); 2], usize)> {
        self.junctions.values().map(|j| {
            let [a, b] = &j.sides;
            let waiting = j.sides.iter().flat_map(|s| &s.queue).map(Bytes::len).sum();
            ([(&a.id, a.incarnation), (&b.id, b.incarnation)], waiting)
        })
    }
}

/// How long one who is called may take to answer.
pub(super) fn ring_patience(silence: Duration) -> Duration {
    silence * 2
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::types::{Identity, Lineage, Standing};

    const LATER: Time = Time::from_micros(1_000);

    fn party(n: u64) -> Party {
        let id = NodeId::new(&format!("n{n}")).unwrap();
        Party { conn: ConnId(n), id, incarnation: Incarnation(n) }
    }

    fn call(relay: &mut Relay, from: u64, number: u64, to: u64) -> bool {
        let Party { id, incarnation, .. } = party(from);
        let (identity, standing) = (Identity(1), Standing::Member);
        let addrs = vec![([10, 0, 0, 1], 1).into()];
        let sender = Sender { id, incarnation, identity, standing, priority: 0, durable: false, outbound: true, addrs };
        let ring = relay.ring(Lineage(1), sender);
        relay.connect(LATER, (party(from), number), party(to), ring)
    }

    /// A relay with one junction through which the called one was reached: its number there.
    fn through() -> (Relay, u64) {
        let mut relay = Relay::new(16 << 20);
        assert!(call(&mut relay, 1, 2, 3));
        let Some((ConnId(3), Message::Circuit(Circuit::Ring(ring)))) = relay.poll_order() else { panic!("no ring") };
        let taken = Answered { number: ring.number, relay: false, outcome: CallOutcome::Taken, credit: 0 };
        relay.take(ConnId(3), Circuit::Answered(taken)).unwrap();
        assert!(matches!(relay.poll_order(), Some((ConnId(1), Message::Circuit(Circuit::Answered(_))))));
        (relay, ring.number)
    }

    fn give(relay: &mut Relay, conn: u64, number: u64, data: &[u8]) -> Result<(), Fault> {
        relay.take(ConnId(conn), Circuit::Carried(Carried { number, relay: false, data: data.to_vec().into() }))
    }

    #[test]
    fn bytes_go_on_in_order_and_bring_credit() {
        let (mut relay, there) = through();
        let mut came = Vec::new();
        let sent: Vec<u8> = (0..400_000u32).map(|n| (n / 7) as u8).collect();
        let (mut at, mut credit) = (0, WINDOW);
        while came.len() < sent.len() {
            let n = (credit - at).min(30_000).min(sent.len() - at);
            if n > 0 {
                give(&mut relay, 1, 2, &sent[at..at + n]).unwrap();
                at += n;
            }
            while let Some((conn, message)) = relay.next(|_| 0) {
                let Message::Circuit(Circuit::Carried(c)) = message else { panic!("{message:?}") };
                assert_eq!((conn, c.number, c.relay), (ConnId(3), there, true));
                came.extend_from_slice(&c.data);
            }
            while let Some((_, message)) = relay.poll_order() {
                let Message::Circuit(Circuit::More(more)) = message else { panic!("{message:?}") };
                credit = more.credit as usize;
            }
        }
        assert!(came == sent);
    }

    #[test]
    fn who_takes_nothing_stops_the_one_that_sends_to_it_and_nobody_else() {
        let (mut relay, there) = through();
        for _ in 0..WINDOW / 1_000 {
            give(&mut relay, 1, 2, &[7; 1_000]).unwrap();
        }
        assert!(relay.next(|conn| if conn == ConnId(3) { HOLD } else { 0 }).is_none());
        assert_eq!(give(&mut relay, 1, 2, &[7; 1_000]), Err(Fault), "there was no credit for it");
        give(&mut relay, 3, there, &[8; 10]).unwrap();
        assert!(relay.next(|conn| if conn == ConnId(3) { HOLD } else { 0 }).is_some_and(|(conn, _)| conn == ConnId(1)));
        relay.written(ConnId(3));
        assert!(relay.next(|_| 0).is_some_and(|(conn, _)| conn == ConnId(3)), "written: it goes on");
    }

    #[test]
    fn junctions_are_bounded_and_one_member_has_a_part_of_them() {
        let mut relay = Relay::new(16 * 2 * WINDOW);
        let taken = (0..100).filter(|n| call(&mut relay, 1, n * 2, 3)).count();
        assert_eq!(taken, 4, "a quarter of 16");
        let taken = (0..100).filter(|n| call(&mut relay, 100 + n, 2, 1_000 + n)).count();
        assert_eq!(taken, 12);
        assert!(!call(&mut Relay::new(0), 1, 2, 3), "one that relays nothing");
    }

    #[test]
    fn who_leaves_or_loses_its_connection_or_does_not_answer_ends_them() {
        let (mut relay, there) = through();
        relay.lost(ConnId(1));
        assert_eq!(
            relay.poll_order(),
            Some((ConnId(3), Message::Circuit(Circuit::HangUp(HangUp { number: there, relay: true }))))
        );
        let (mut relay, _) = through();
        relay.left(&party(3).id, Incarnation(2));
        assert_eq!(relay.pairs().count(), 1, "an earlier one has left");
        relay.left(&party(3).id, Incarnation(3));
        assert_eq!((relay.pairs().count(), relay.orders.len(), relay.ends.len()), (0, 2, 0));
        let mut relay = Relay::new(16 << 20);
        call(&mut relay, 1, 2, 3);
        assert_eq!(relay.tick(Time::ZERO), LATER);
        assert_eq!(relay.tick(LATER), Time::NEVER);
        assert_eq!(relay.pairs().count(), 0);
    }

    #[test]
    fn small_pieces_that_wait_are_joined() {
        let mut queue = VecDeque::new();
        (0..5_000u32).for_each(|n| push(&mut queue, Bytes::copy_from_slice(&[n as u8])));
        push(&mut queue, Bytes::from(vec![9; SMALL]));
        push(&mut queue, Bytes::from_static(b"x"));
        assert!(queue.len() <= 5_000 / SMALL + 3, "{} pieces", queue.len());
        let all: Vec<u8> = queue.iter().flatten().copied().collect();
        let sent: Vec<u8> = (0..5_000u32).map(|n| n as u8).chain(vec![9; SMALL]).chain(*b"x").collect();
        assert_eq!(all, sent);
    }
}
