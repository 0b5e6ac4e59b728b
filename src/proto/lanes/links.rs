//! The connections that only messages need: between two nodes of which at least one is a plain member.
//!
//! Properties: of two connections of a pair both ends keep the same one; nothing is taken before a handshake; a connection
//! that says nothing, or that nobody uses, costs bounded time and memory.

use super::super::StreamInput;
use super::super::flood::Flood;
use super::super::outbox::Outbox;
use super::super::peers::MAX_GREETING;
use super::super::planted::Bug;
use super::partner::{Line, Phase, Place};
use super::{Arrived, Lanes, Undelivered, is_circuit};
use crate::types::{ConnId, Incarnation, NodeId, Time};
use crate::wire::{DeclineReason, FrameReader, Hello, Message};
use std::net::SocketAddr;
use std::time::Duration;

/// Far above those of the connections between candidates, which count from zero.
pub(super) const FIRST_CONN: u64 = 1 << 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Dialled or called for this partner; no answer yet.
    Dialing(usize),
    /// Open, no Hello yet; for whom it was dialled.
    Open(Option<usize>),
    /// Handshaken.
    Ready(usize),
}

#[derive(Debug, Clone)]
pub(super) struct Link {
    state: State,
    reader: FrameReader,
    opened: Time,
    last_in: Time,
    pinged: Time,
    flood: Flood,
}

impl Link {
    /// When something was last heard over it.
    pub(super) fn last_in(&self) -> Time {
        self.last_in
    }

    /// True where the other end was told who this node is.
    pub(super) fn is_greeted(&self, conn: ConnId) -> bool {
        matches!(self.state, State::Ready(_)) || matches!(self.state, State::Open(_)) && conn.is_dialled()
    }
}

/// Somebody shook hands: whether it is still on the roll isn't known here.
pub(in crate::proto) type Greeted = (NodeId, Incarnation);

impl Lanes {
    /// True for a connection of this machine's own.
    pub(in crate::proto) fn owns(&self, conn: ConnId) -> bool {
        self.links.contains_key(&conn)
    }

    pub(in crate::proto) fn handle(
        &mut self,
        now: Time,
        conn: ConnId,
        input: StreamInput<'_>,
        out: &mut Outbox,
        told: &mut Vec<Greeted>,
    ) {
        use StreamInput as In;
        self.now = self.now.max(now);
        match input {
            In::Accepted(_) => {
                if self.links.contains_key(&conn) || conn.is_dialled() {
                    out.stats.streams_cut += 1;
                    out.close(conn);
                } else {
                    self.make_room(now, out);
                    self.unnamed.push_back(conn);
                    self.link(now, conn, State::Open(None), FrameReader::default());
                }
            }
            In::Connected => {
                if let Some(link) = self.links.get_mut(&conn)
                    && let State::Dialing(at) = link.state
                {
                    (link.state, link.opened, link.last_in) = (State::Open(Some(at)), now, now);
                    out.send_durably(conn, Message::Hello(self.hello.clone()));
                }
            }
            In::Refused | In::Failed | In::Closed => self.closed(now, conn, out),
            In::Bytes(bytes) => self.bytes(now, conn, bytes, out, told),
            In::Written(n) => self.written(conn, n),
        }
    }

    /// Of too many that haven't said who they are the oldest goes: who comes next has a chance to say it, however many others
    /// come and say nothing.
    fn make_room(&mut self, now: Time, out: &mut Outbox) {
        while let Some(conn) = self.unnamed.front().copied() {
            let stranger = self.links.get(&conn).is_some_and(|link| link.state == State::Open(None));
            if stranger && self.strangers < self.max_strangers {
                return;
            }
            self.unnamed.pop_front();
            if stranger {
                out.stats.streams_cut_crowded += 1;
                self.cut(now, conn, out);
            }
        }
    }

    /// Whose messages a connection carries.
    pub(super) fn of_conn(&self, conn: ConnId) -> Option<usize> {
        match self.links.get(&conn).map(|link| link.state) {
            Some(State::Ready(at)) => Some(at),
            _ => self.by_conn.get(&conn).copied(),
        }
    }

    /// Bytes of messages have left the driver.
    pub(in crate::proto) fn written(&mut self, conn: ConnId, n: usize) {
        let n = self.carried_written(conn, n);
        let Some(at) = self.of_conn(conn) else { return };
        if let Some(p) = self.get(at) {
            p.courier.written(n);
        }
        self.list(at);
    }

    pub(super) fn link(&mut self, now: Time, conn: ConnId, state: State, reader: FrameReader) {
        self.strangers += usize::from(state == State::Open(None));
        let link = Link { state, reader, opened: now, last_in: now, pinged: now, flood: Flood::new(now) };
        self.links.insert(conn, Box::new(link));
        self.scan_at = self.scan_at.min(now + self.scan_pause());
    }

    fn scan_pause(&self) -> Duration {
        (self.limits.idle / 4).min(self.silence / 2)
    }

    /// A connection between candidates that turned out to lead to a plain member.
    pub(in crate::proto) fn adopt(
        &mut self,
        now: Time,
        conn: ConnId,
        hello: Hello,
        reader: FrameReader,
        out: &mut Outbox,
        told: &mut Vec<Greeted>,
    ) {
        self.now = self.now.max(now);
        self.link(now, conn, State::Open(None), reader);
        self.greet(now, conn, hello, out, told);
        self.frames(now, conn, out, told);
    }

    pub(super) fn dial(&mut self, now: Time, at: usize, to: SocketAddr, out: &mut Outbox) -> ConnId {
        let conn = ConnId(self.next_conn);
        self.next_conn += 2;
        self.link(now, conn, State::Dialing(at), FrameReader::default());
        if let Some(p) = self.get(at) {
            p.dialing = Some(conn);
        }
        out.connect(conn, to);
        conn
    }

    pub(super) fn bytes(&mut self, now: Time, conn: ConnId, bytes: &[u8], out: &mut Outbox, told: &mut Vec<Greeted>) {
        if !is_circuit(conn) {
            out.stats.stream_bytes_in += bytes.len() as u64;
        }
        let Some(link) = self.links.get_mut(&conn) else { return };
        link.last_in = now;
        link.reader.push(bytes);
        self.frames(now, conn, out, told);
    }

    /// True where something came that the node has to deal with.
    pub(in crate::proto) fn tells(&self) -> bool {
        let quiet = self.calls.is_empty() && self.rings.is_empty() && self.leads.is_empty() && self.greeted.is_empty();
        !quiet || !self.records.is_empty() || !self.failed.is_empty()
    }

    /// Takes the frames that are there, up to one that tells of somebody or is for the node: that is dealt with first.
    pub(in crate::proto) fn frames(&mut self, now: Time, conn: ConnId, out: &mut Outbox, told: &mut Vec<Greeted>) {
        while told.is_empty() && !self.tells() {
            let Some(link) = self.links.get_mut(&conn) else { return };
            let next = link.reader.next(out.tag());
            if link.flood.is_one_unknown(now, link.reader.skipped()) {
                return self.cut_flooding(now, conn, out);
            }
            let message = match next {
                Ok(Some(message)) => message,
                Ok(None) if matches!(link.state, State::Open(_)) && link.reader.buffered() > MAX_GREETING => {
                    out.stats.streams_cut_malformed += 1;
                    return self.cut(now, conn, out);
                }
                Ok(None) => return,
                Err(reject) => {
                    out.stats.reject(reject);
                    out.stats.streams_cut_malformed += 1;
                    return self.cut(now, conn, out);
                }
            };
            if link.flood.is_one_with(now, &message) {
                return self.cut_flooding(now, conn, out);
            }
            match (link.state, message) {
                (State::Dialing(_), _) => return self.cut(now, conn, out),
                (_, Message::Hello(hello)) => self.greet(now, conn, hello, out, told),
                (State::Open(_), _) => return self.cut(now, conn, out),
                (State::Ready(_), Message::Ping(token)) => out.send(conn, Message::Pong(token)),
                (State::Ready(_), Message::Pong(_)) => {}
                (State::Ready(at), message) => {
                    if self.frame(now, at, conn, message, out).is_err() {
                        return self.cut(now, conn, out);
                    }
                }
            }
        }
        if is_circuit(conn) && !self.unread.contains(&conn) {
            self.unread.push(conn);
        }
    }

    /// True where more of what came is to be looked at, once what was told is dealt with. Of a connection by itself whoever
    /// reads it goes on; of one that another carries nobody else does.
    pub(in crate::proto) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    pub(in crate::proto) fn read_on(&mut self, now: Time, out: &mut Outbox, told: &mut Vec<Greeted>) {
        for conn in std::mem::take(&mut self.unread) {
            self.frames(now, conn, out, told);
        }
    }

    /// Ends a connection whose other end misbehaves, is silent, or isn't to be talked to.
    pub(super) fn cut(&mut self, now: Time, conn: ConnId, out: &mut Outbox) {
        out.stats.streams_cut += 1;
        out.close(conn);
        self.closed(now, conn, out);
    }

    fn cut_flooding(&mut self, now: Time, conn: ConnId, out: &mut Outbox) {
        out.stats.streams_cut_flooding += 1;
        self.cut(now, conn, out);
    }

    pub(super) fn closed(&mut self, now: Time, conn: ConnId, out: &mut Outbox) {
        let Some(link) = self.links.remove(&conn) else { return };
        let at = match link.state {
            State::Dialing(at) | State::Open(Some(at)) | State::Ready(at) => at,
            State::Open(None) => {
                self.strangers -= 1;
                return;
            }
        };
        let (step, most) = (self.step, self.interval.max(self.step));
        let Some(p) = self.get(at) else { return };
        if p.dialing == Some(conn) {
            p.dialing = None;
            // Where it was is where it isn't any more, as far as this node knows. Who was only called may be there.
            p.place.take_if(|_| !is_circuit(conn));
            p.backoff = (p.backoff * 2).clamp(step, most);
            p.next_try = now + p.backoff;
            p.attempts = p.attempts.saturating_add(1);
            self.dial_failed(now, at, conn, out);
        }
        if self.get(at).is_some_and(|p| p.line.is_some_and(|line| line.conn == conn)) {
            self.detach(now, at, out);
        }
    }

    fn greet(&mut self, now: Time, conn: ConnId, hello: Hello, out: &mut Outbox, told: &mut Vec<Greeted>) {
        let Some(state) = self.links.get(&conn).map(|l| l.state) else { return };
        let ours = self.hello.lineage;
        let foreign = ours != hello.lineage && ours.0 != 0 && hello.lineage.0 != 0;
        // Two candidates have a connection of their own.
        let paired = self.votes() && hello.info.standing.votes();
        if hello.convention != self.hello.convention || foreign || paired || hello.info.id == self.hello.info.id {
            out.stats.dropped_other_convention += 1;
            return self.cut(now, conn, out);
        }
        let incarnation = hello.info.incarnation;
        let Some(at) = self.partner(now, &hello.info.id) else { return self.cut(now, conn, out) };
        let called = self.circuit_via(conn).map(|(_, whose)| whose);
        let dialled = if let State::Open(who) = state { who } else { None };
        if called.or(dialled).is_some_and(|who| who != at) {
            // It was another one that was called or dialled, or that called.
            return self.cut(now, conn, out);
        }
        let keep = self.keeps(at, conn, incarnation);
        let Some(p) = self.get(at) else { return };
        let stale = p.is_past(incarnation);
        if !stale && !keep {
            p.doubted = Some(now);
            self.look_after(now, at);
            return self.cut(now, conn, out);
        }
        if stale || matches!(state, State::Ready(other) if other != at) {
            return self.cut(now, conn, out);
        }
        p.outbound = hello.info.outbound;
        p.place = Some(Place { incarnation, addrs: hello.info.addrs, outbound: hello.info.outbound, since: now });
        // One that is being made will be given up by the other end too, where this one goes before it.
        let dialed = p.dialing.take_if(|d| *d == conn || !conn.is_dialled());
        let old = p.line.filter(|line| !line.lent && line.conn != conn);
        if let Some(dialed) = dialed.filter(|d| *d != conn) {
            // A circuit gives way to a connection; of two alike the one goes that the other end gives up too.
            let gives_way = match (is_circuit(dialed), is_circuit(conn)) {
                (true, false) => true,
                (false, true) => false,
                _ => self.hello.info.id > hello.info.id,
            };
            if gives_way {
                self.links.remove(&dialed);
                out.close(dialed);
            } else if let Some(p) = self.get(at) {
                p.dialing = Some(dialed);
            }
        }
        if let Some(link) = self.links.get_mut(&conn) {
            self.strangers -= usize::from(link.state == State::Open(None));
            link.state = State::Ready(at);
        }
        if matches!(state, State::Open(_)) {
            out.stats.lanes_opened += 1;
            if !conn.is_dialled() {
                out.send_durably(conn, Message::Hello(self.hello.clone()));
            }
        }
        let line = Line { conn, lent: false, incarnation };
        self.attach(now, at, line, out);
        if let Some(old) = old {
            self.links.remove(&old.conn);
            out.close(old.conn);
        }
        told.push((hello.info.id, incarnation));
        self.flush_notes(at, out);
    }

    /// Whether this connection is the one to keep of its pair: that which the smaller id dialled; of equals the newer.
    fn keeps(&self, at: usize, conn: ConnId, incarnation: Incarnation) -> bool {
        let Some(p) = self.partners.get(at).and_then(Option::as_ref) else { return true };
        let Some(old) = p.line.filter(|line| !line.lent) else { return true };
        if incarnation == old.incarnation && is_circuit(conn) != is_circuit(old.conn) {
            return is_circuit(old.conn);
        }
        if old.conn == conn || incarnation > old.incarnation || old.conn.is_dialled() == conn.is_dialled() {
            return true;
        }
        conn.is_dialled() == (self.hello.info.id < p.id)
    }

    /// A frame about messages. An error: the other end doesn't keep to the protocol.
    fn frame(&mut self, now: Time, at: usize, conn: ConnId, message: Message, out: &mut Outbox) -> Result<(), ()> {
        let (me, bug) = (self.hello.info.incarnation, self.bug);
        let pool = &mut self.pool;
        let Some(p) = self.partners.get_mut(at).and_then(Option::as_mut) else { return Ok(()) };
        let Some(line) = p.line.filter(|line| line.conn == conn) else { return Ok(()) };
        (p.used, p.heard) = (now, now);
        let twice = bug.has(Bug::DeliverTwice);
        match message {
            // Once more where its sender took it for ended, as one does who is told that this node has left where it was.
            Message::Open(m) if m.incarnation == line.incarnation && m.to == me => {
                out.send(conn, Message::Resume(p.intake.resume(pool, m.base, twice)));
                for declined in p.intake.declined() {
                    out.send(conn, Message::Declined(declined));
                }
                // It may begin at least, also where nobody who holds credit says anything.
                if p.intake.is_short() && p.intake.top_up(pool) && !p.starving {
                    p.starving = true;
                    self.starving.push_back(at);
                }
                self.owe(now, at);
            }
            Message::Data(data) if p.intake.open => {
                let declined = p.intake.data(now, data, pool, twice).map_err(|_| ())?;
                while let Some(record) = p.intake.take_record() {
                    let (from, incarnation) = (p.id.clone(), line.incarnation);
                    self.records.push_back(Arrived { from, incarnation, record });
                }
                for declined in declined {
                    out.send(conn, Message::Declined(declined));
                }
                let (has, partial) = (p.intake.has_message() && !p.ready, p.intake.has_partial());
                if has {
                    p.ready = true;
                    self.ready.push_back(at);
                }
                if p.intake.top_up(pool) && !p.starving {
                    p.starving = true;
                    self.starving.push_back(at);
                }
                self.owe(now, at);
                if partial {
                    self.look_after(now, at);
                }
            }
            Message::Resume(m) if m.incarnation == me && p.phase == Phase::Opening => {
                p.phase = Phase::Flowing;
                let have = if bug.has(Bug::PathForgetsOrder) && p.moved { u64::MAX } else { m.have };
                let lost = p.courier.resume(have, m.credit);
                if bug.has(Bug::OutOfOrder) {
                    p.courier.shuffle();
                }
                let lost = lost.into_iter().map(|record| (record, true)).collect();
                self.give_back(at, lost, Undelivered::ConnectionLost);
                self.list(at);
            }
            Message::Taken(m) if p.phase == Phase::Flowing => {
                let before = p.courier.bytes();
                p.courier.taken(m.number, m.credit);
                self.waiting -= before - p.courier.bytes();
                self.list(at);
                self.make_writable();
            }
            Message::Declined(m) if p.phase == Phase::Flowing => {
                let reason = match m.reason {
                    DeclineReason::Stalled => Undelivered::Stalled,
                    _ => Undelivered::TooLarge,
                };
                if let Some(record) = p.courier.declined(m.number) {
                    self.give_back(at, vec![(record, false)], reason);
                }
                self.list(at);
            }
            Message::Open(_) | Message::Data(_) | Message::Resume(_) | Message::Taken(_) | Message::Declined(_) => {
                // Of a former incarnation, or after it was said that it has left.
                out.stats.dropped_stale += 1;
                // What is dropped costs its sender no credit.
                if self.links.get_mut(&conn).is_some_and(|link| link.flood.adds(now, 1)) {
                    out.stats.streams_cut_flooding += 1;
                    return Err(());
                }
            }
            Message::Circuit(m) if !is_circuit(conn) => return self.circuit(now, conn, m, out),
            Message::Leads(view) if !is_circuit(conn) => {
                let id = p.id.clone();
                self.leads.push_back((id, view));
            }
            Message::Note(note) if note.from == p.id => self.note_arrived(now, note, out),
            // Between candidates only.
            _ => return Err(()),
        }
        Ok(())
    }

    /// The sender has to hear something, soon.
    fn owe(&mut self, now: Time, at: usize) {
        self.fresh = true;
        if let Some(p) = self.get(at).filter(|p| p.intake.has_news() && !p.owes) {
            p.owes = true;
            self.owing.push(at);
            self.news_at = self.news_at.min(now + super::ACK_DELAY);
        }
    }

    /// A frame about messages over a connection between candidates.
    pub(in crate::proto) fn lent(
        &mut self,
        now: Time,
        from: (&NodeId, Incarnation, ConnId),
        message: Message,
        out: &mut Outbox,
    ) {
        let (id, incarnation, conn) = from;
        self.now = self.now.max(now);
        let Some(at) = self.partner(now, id) else { return };
        self.lend(now, at, conn, incarnation, out);
        if self.frame(now, at, conn, message, out).is_err() {
            // The connection isn't this machine's to close; nothing more of it is taken.
            out.stats.dropped_unexpected += 1;
            let pool = &mut self.pool;
            if let Some(p) = self.partners.get_mut(at).and_then(Option::as_mut) {
                p.intake.detach(pool);
            }
        }
    }

    /// A connection between candidates carries this pair's messages.
    pub(super) fn lend(&mut self, now: Time, at: usize, conn: ConnId, incarnation: Incarnation, out: &mut Outbox) {
        let Some(p) = self.get(at) else { return };
        if p.is_past(incarnation) {
            return;
        }
        let (own, line) =
            (p.line.filter(|line| !line.lent).map(|line| line.conn), Line { conn, lent: true, incarnation });
        if p.line == Some(line) {
            // It says something else of itself: the other end goes on where it was.
            return;
        }
        let dialing = p.dialing.take();
        self.attach(now, at, line, out);
        for conn in own.into_iter().chain(dialing) {
            self.links.remove(&conn);
            out.close(conn);
        }
    }

    /// A connection between candidates stands, or stands no more.
    pub(in crate::proto) fn candidate(
        &mut self,
        now: Time,
        id: &NodeId,
        conn: Option<(ConnId, Incarnation)>,
        out: &mut Outbox,
    ) {
        let Some(at) = self.by_id.get(id).copied() else { return };
        match conn {
            Some((conn, incarnation)) => self.lend(now, at, conn, incarnation, out),
            None => {
                if self.get(at).is_some_and(|p| p.line.is_some_and(|line| line.lent)) {
                    self.detach(now, at, out);
                }
            }
        }
    }

    /// Closes what nobody uses, and what doesn't say who it is.
    pub(super) fn scan(&mut self, now: Time, out: &mut Outbox) {
        if now < self.scan_at {
            return;
        }
        let (idle, silence) = (self.limits.idle, self.silence);
        self.probe_kept(now, out);
        let mut over = Vec::new();
        for (conn, link) in &self.links {
            let ends = match link.state {
                State::Dialing(_) => false,
                State::Open(_) => now >= link.opened + silence,
                State::Ready(at) => {
                    let kept = self.is_kept(at, *conn);
                    self.partners.get_mut(at).and_then(Option::as_mut).is_none_or(|p| {
                        if now >= p.used + silence {
                            p.courier.rest();
                            p.intake.rest();
                        }
                        let used = p.needs_care() || p.intake.has_message() || p.owes;
                        now >= p.used + idle && !used && !kept
                    })
                }
            };
            if ends {
                over.push((*conn, matches!(link.state, State::Ready(_))));
            }
        }
        for (conn, unused) in over {
            if unused {
                out.stats.lanes_closed += 1;
                out.close(conn);
                self.closed(now, conn, out);
            } else {
                out.stats.streams_cut_silent += 1;
                self.cut(now, conn, out);
            }
        }
        debug_assert_eq!(
            self.strangers,
            self.links.values().filter(|l| l.state == State::Open(None)).count(),
            "the count of those that have not said who they are"
        );
        self.scan_at = if self.links.is_empty() { Time::NEVER } else { now + self.scan_pause() };
    }

    /// True where this connection stays though nobody uses it: this node is reached by it, or its other end is, or others
    /// talk over it.
    fn is_kept(&self, at: usize, conn: ConnId) -> bool {
        let outbound = self.partners.get(at).and_then(Option::as_ref).is_some_and(|p| p.outbound);
        self.kept == Some(at) || outbound && self.votes() && !is_circuit(conn) || self.carries(conn)
    }

    /// Those that are kept have to be alive.
    fn probe_kept(&mut self, now: Time, out: &mut Outbox) {
        let kept = |conn: &ConnId, link: &Link| matches!(link.state, State::Ready(at) if self.is_kept(at, *conn));
        let all = self.links.iter().filter(|(conn, link)| kept(conn, link));
        for conn in all.map(|(conn, _)| *conn).collect::<Vec<_>>() {
            if self.probe(now, conn, out) {
                self.cut(now, conn, out);
            }
        }
    }

    /// True where something was heard of this member over its own connection within this time.
    pub(in crate::proto) fn vouches(&self, now: Time, id: &NodeId, incarnation: Incarnation, within: Duration) -> bool {
        let line = self.by_id.get(id).and_then(|at| self.partners.get(*at)?.as_ref()?.line);
        let line = line.filter(|line| line.incarnation == incarnation && !is_circuit(line.conn));
        line.and_then(|line| self.links.get(&line.conn)).is_some_and(|link| now - link.last_in <= within)
    }

    /// Asks whether the other end is there, where something is waited for; true where it is silent for too long.
    pub(super) fn probe(&mut self, now: Time, conn: ConnId, out: &mut Outbox) -> bool {
        let silence = self.silence;
        let Some(link) = self.links.get_mut(&conn) else { return false };
        if now >= link.last_in + silence && link.pinged > link.last_in {
            return now >= link.pinged + silence / 2;
        }
        if now >= link.last_in.max(link.pinged) + silence / 2 {
            link.pinged = now;
            out.send(conn, Message::Ping(now.as_micros()));
        }
        false
    }

    /// This node was late itself: silence until now proves nothing.
    pub(in crate::proto) fn excuse(&mut self, now: Time) {
        let grace = now - self.silence / 2;
        for link in self.links.values_mut() {
            link.last_in = link.last_in.max(grace);
            link.opened = link.opened.max(grace);
        }
        let grace = now - self.patience / 2;
        for p in self.partners.iter_mut().flatten() {
            p.excuse(grace);
            p.intake.last = p.intake.last.max(grace);
        }
    }
}
