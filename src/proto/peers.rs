//! Connections between candidates: one for each pair, kept up, and what their end proves.
//!
//! Properties: of two connections of a pair both ends keep the same one; what arrives is handed on only after a
//! handshake; an accepted connection that says nothing costs bounded time and memory; a peer's incarnation is told dead
//! only when its connection ended and afterwards each of its addresses refused, or a larger incarnation answered.

mod dialing;
mod proof;

use super::flood::Flood;
use super::outbox::Outbox;
use super::planted::Planted;
use crate::types::{ConnId, Identity, Incarnation, Lineage, MemberInfo, NodeId, Term, Time};
use crate::wire::{Follow, FrameReader, Hello, Message, SnapshotReply};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// The most bytes of a first frame, which says who its sender is.
pub(super) const MAX_GREETING: usize = 8 << 10;
/// Subscribers that are given what they lack at one time; one more has to ask elsewhere, or later.
const MAX_GUESTS: usize = 64;
/// Candidates that a node remembers.
const MAX_PEERS: usize = 64;

/// What happened among the peers.
#[derive(Debug)]
pub(super) enum PeerEvent {
    /// A handshaken connection stands (told again where the peer's lineage or incarnation changed).
    Up(NodeId),
    /// The connection is gone.
    Down(NodeId),
    /// This incarnation is proven dead.
    Dead { id: NodeId, identity: Identity, incarnation: Incarnation },
    /// A message over a handshaken connection, with who its sender was when it came.
    Message(Box<MemberInfo>, ConnId, Message),
    /// A plain member shook hands: what it said and says is for messages alone, and no concern of this machine any more.
    Plain(ConnId, Box<Hello>, Box<FrameReader>),
    /// Another node carries this node's id, with this incarnation.
    Namesake(Incarnation),
    /// What a subscriber wants, who connected for that alone.
    Guest(ConnId, GuestSays),
}

#[derive(Debug)]
pub(super) enum GuestSays {
    Follow(Box<Follow>),
    Received(SnapshotReply),
    Gone,
}

#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) info: MemberInfo,
    /// What it said last of its lineage.
    pub(super) lineage: Lineage,
    /// What that was founded out of, by its handshake.
    pub(super) parents: Vec<Lineage>,
    /// The highest term that it named in its handshake.
    pub(super) term: Term,
    /// The handshaken connection.
    pub(super) conn: Option<ConnId>,
    /// Which voter and incarnation shook hands last, and where that incarnation listens.
    met: Option<Met>,
    /// It is in the line or on the roll; others are forgotten where they never shake hands.
    listed: bool,
    dialing: Option<ConnId>,
    /// That dial was begun before it was heard that the node listens elsewhere now.
    moved: bool,
    next_dial: Time,
    backoff: Duration,
    /// How often a dial was begun anew because its answer took long, since the last handshake.
    redials: u32,
    noted: Time,
    /// The largest incarnation whose process is known to be dead.
    dead: Option<Incarnation>,
    /// The voters of this id that are known to be no more, the last ones only, up to which incarnation: the process that
    /// lives on at another address is a larger one.
    gone: Vec<(Identity, Incarnation)>,
    /// The last voter that the process itself, which runs, said to be none any more.
    plain: Option<(Identity, Incarnation)>,
    /// The incarnations whose connections ended, with the dials that are to prove their death.
    suspect: Option<Suspect>,
}

impl Peer {
    fn of(now: Time, info: &MemberInfo, lineage: Lineage) -> Self {
        Self {
            info: info.clone(),
            lineage,
            parents: Vec::new(),
            term: Term::ZERO,
            conn: None,
            met: None,
            listed: false,
            dead: None,
            gone: Vec::new(),
            dialing: None,
            moved: false,
            next_dial: now,
            backoff: Duration::ZERO,
            redials: 0,
            noted: now,
            plain: None,
            suspect: None,
        }
    }
}

#[derive(Debug, Clone)]
struct Met {
    identity: Identity,
    incarnation: Incarnation,
    addrs: Vec<SocketAddr>,
    provable: bool,
}

#[derive(Debug, Clone)]
struct Suspect {
    /// In growing order. What proves the death of one proves that of those before it.
    who: Vec<(Identity, Incarnation)>,
    open: Vec<(ConnId, SocketAddr)>,
    /// How often a dial was accepted and ended before its handshake.
    resets: u8,
    /// Who answered in their place: a larger incarnation may vote as the same.
    lives: Vec<Identity>,
}

#[derive(Debug, Clone)]
enum State {
    /// Dialled for this peer; no answer yet.
    Dialing(NodeId),
    /// Open, no Hello yet.
    Open,
    /// Handshaken.
    Ready(NodeId),
    /// A subscriber's, which says so in its first frame.
    Guest,
}

#[derive(Debug, Clone)]
struct Conn {
    state: State,
    reader: FrameReader,
    opened: Time,
    last_in: Time,
    last_ping: Time,
    flood: Flood,
}

#[derive(Debug, Clone)]
pub(super) struct Peers {
    hello: Hello,
    enabled: bool,
    death_evidence: bool,
    /// Connections that have not said who they are; beyond it the oldest one goes.
    max_strangers: usize,
    detection: Duration,
    step: Duration,
    interval: Duration,
    peers: BTreeMap<NodeId, Peer>,
    /// What is known of the voters that this node's own id had before.
    own: Option<Peer>,
    conns: BTreeMap<ConnId, Conn>,
    next_conn: u64,
    deadline: Time,
    /// The lineage that this node left for another address, and what that was founded out of: nobody of them is heard.
    shunned: Vec<Lineage>,
    pub(super) bug: Planted,
}

impl Peers {
    pub(super) fn new(hello: Hello, config: &super::Config, now: Time) -> Self {
        Self {
            enabled: hello.info.standing.votes(),
            hello,
            death_evidence: config.death_evidence,
            max_strangers: config.max_strangers,
            detection: config.detection(),
            step: config.step(),
            interval: config.heartbeat(),
            peers: BTreeMap::new(),
            own: None,
            conns: BTreeMap::new(),
            next_conn: 0,
            shunned: Vec::new(),
            deadline: now,
            bug: Planted::default(),
        }
    }

    /// Takes connections from now on, and makes them.
    pub(super) fn open(&mut self, now: Time, hello: Hello) {
        self.hello = hello;
        self.enabled = true;
        self.deadline = now;
    }

    /// Closes all connections, and neither takes nor makes any more. What was learned of others is forgotten.
    pub(super) fn shut(&mut self, out: &mut Outbox) {
        for conn in std::mem::take(&mut self.conns).into_keys() {
            out.close(conn);
        }
        self.peers.clear();
        self.own = None;
        self.enabled = false;
    }

    /// The node begins anew after a move: numbers of connections are never used again, and nobody of the lineage that it
    /// left is heard.
    pub(super) fn go_on_after(&mut self, before: &Self, left: Vec<Lineage>) {
        self.next_conn = before.next_conn;
        self.shunned = left;
    }

    /// True where the node left this lineage, or one that it was founded out of.
    pub(super) fn shuns(&self, lineage: Lineage) -> bool {
        self.shunned.contains(&lineage)
    }

    /// The same of one of which it is known what that was founded out of.
    pub(super) fn shuns_family(&self, lineage: Lineage, parents: &[Lineage]) -> bool {
        self.shuns(lineage) || parents.iter().any(|l| self.shuns(*l))
    }

    /// What was left is found at the new address.
    pub(super) fn pardon(&mut self) {
        self.shunned.clear();
    }

    fn me(&self) -> &NodeId {
        &self.hello.info.id
    }

    pub(super) fn get(&self, id: &NodeId) -> Option<&Peer> {
        self.peers.get(id)
    }

    /// Who listens at this address, as far as this node knows.
    pub(super) fn listening_at(&self, addr: SocketAddr) -> Option<NodeId> {
        self.peers.values().find(|p| p.info.addrs.contains(&addr)).map(|p| p.info.id.clone())
    }

    /// Those known to be dead, with the incarnation that is.
    pub(super) fn dead(&self) -> impl Iterator<Item = (&NodeId, Incarnation)> {
        self.peers.iter().filter_map(|(id, p)| p.dead.map(|incarnation| (id, incarnation)))
    }

    /// Those without a connection.
    pub(super) fn unconnected(&self) -> impl Iterator<Item = &NodeId> {
        self.peers.iter().filter(|(_, p)| p.conn.is_none()).map(|(id, _)| id)
    }

    /// Those with a handshaken connection.
    pub(super) fn ready(&self) -> impl Iterator<Item = (&Peer, ConnId)> {
        self.peers.values().filter_map(|p| p.conn.map(|c| (p, c)))
    }

    /// The handshaken connection to the node that now votes as `identity`.
    pub(super) fn conn_of(&self, id: &NodeId, identity: Identity) -> Option<ConnId> {
        self.peers.get(id).filter(|p| p.info.identity == identity).and_then(|p| p.conn)
    }

    /// Says something else of this node from now on, to those connected as well.
    pub(super) fn introduce(&mut self, hello: Hello, out: &mut Outbox) {
        if hello == self.hello {
            return;
        }
        self.hello = hello;
        // Those too that were dialled and got the former one, but have not answered yet.
        let waiting = self.conns.iter().filter(|(id, c)| matches!(c.state, State::Open) && id.is_dialled());
        let waiting = waiting.map(|(id, _)| *id);
        for conn in self.peers.values().filter_map(|p| p.conn).chain(waiting) {
            out.send_durably(conn, Message::Hello(self.hello.clone()));
        }
    }

    /// A candidate was heard of.
    /// `listed`: by the line or the roll, not by its own word alone.
    pub(super) fn note(&mut self, now: Time, info: &MemberInfo, lineage: Lineage, listed: bool) {
        if !self.enabled || info.id == *self.me() || !info.standing.votes() || self.shuns(lineage) {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&info.id) {
            peer.noted = now;
            peer.listed |= listed;
            if peer.conn.is_some() {
                // What a handshake said is not overruled by a datagram.
            } else if info.incarnation > peer.info.incarnation {
                peer.info = info.clone();
                peer.lineage = lineage;
                peer.moved = peer.dialing.is_some();
                peer.backoff = Duration::ZERO;
                peer.next_dial = now;
                self.deadline = self.deadline.min(now);
            } else if peer.dialing.is_none() {
                // It is heard, so it is worth another try soon, whatever the back-off says.
                peer.next_dial = peer.next_dial.min(now + self.step * 2);
                self.deadline = self.deadline.min(peer.next_dial);
            }
            return;
        }
        if self.peers.len() >= MAX_PEERS && !self.make_room(listed) {
            return;
        }
        // One of the two dials at once; the other only where that doesn't come about.
        let patience = if *self.me() < info.id { Duration::ZERO } else { self.interval };
        let peer = Peer { listed, next_dial: now + patience, ..Peer::of(now, info, lineage) };
        self.deadline = self.deadline.min(peer.next_dial);
        self.peers.insert(info.id.clone(), peer);
    }

    /// This one votes no longer: it is no longer called, once its connection is gone.
    pub(super) fn dismiss(&mut self, id: &NodeId) {
        if self.peers.get(id).is_some_and(|p| p.conn.is_none()) {
            self.peers.remove(id);
        }
    }

    /// Who only says that it is there takes no place of one that a line names or that this node met: anybody can say so.
    fn make_room(&mut self, listed: bool) -> bool {
        let may_go = |p: &Peer| p.conn.is_none() && (listed || !p.listed && p.met.is_none() && p.suspect.is_none());
        let free = self.peers.iter().filter(|(_, p)| may_go(p));
        let oldest = free.min_by_key(|(_, p)| (p.listed, p.met.is_some(), p.noted));
        match oldest.map(|(id, _)| id.clone()) {
            Some(id) => self.peers.remove(&id).is_some(),
            None => false,
        }
    }

    fn conn(&mut self, now: Time, conn: ConnId, state: State) {
        let reader = FrameReader::default();
        self.conns
            .insert(conn, Conn { state, reader, opened: now, last_in: now, last_ping: now, flood: Flood::new(now) });
    }

    /// The number of a new connection.
    pub(super) fn new_conn(&mut self) -> ConnId {
        let conn = ConnId(self.next_conn);
        self.next_conn += 2;
        conn
    }

    fn dial(&mut self, now: Time, id: &NodeId, addr: SocketAddr, out: &mut Outbox) -> ConnId {
        let conn = self.new_conn();
        self.conn(now, conn, State::Dialing(id.clone()));
        out.connect(conn, addr);
        conn
    }

    pub(super) fn handle(
        &mut self,
        now: Time,
        conn: ConnId,
        input: super::StreamInput<'_>,
        out: &mut Outbox,
        told: &mut Vec<PeerEvent>,
    ) {
        use super::StreamInput as In;
        match input {
            In::Accepted(_) => {
                if !self.enabled || self.conns.contains_key(&conn) || conn.is_dialled() {
                    out.stats.streams_cut += 1;
                    out.close(conn);
                } else {
                    self.make_room_for_stranger(now, out, told);
                    self.conn(now, conn, State::Open);
                    self.deadline = self.deadline.min(now + self.patience());
                }
            }
            In::Connected => {
                if let Some(c) = self.conns.get_mut(&conn) {
                    // Not yet a sign of life: a dying process's listener accepts too. Its Hello is one.
                    if let State::Dialing(_) = &c.state {
                        c.state = State::Open;
                        c.last_in = now;
                        out.send_durably(conn, Message::Hello(self.hello.clone()));
                        self.deadline = self.deadline.min(now + self.patience());
                    }
                }
            }
            In::Refused => self.dial_ended(now, conn, true, told),
            In::Failed => self.dial_ended(now, conn, false, told),
            In::Closed => self.closed(now, conn, true, out, told),
            In::Written(_) => {}
            In::Bytes(bytes) => self.bytes(now, conn, bytes, out, told),
        }
    }

    /// Of too many that haven't said who they are the oldest goes: who comes next has a chance to say it, however many others
    /// come and say nothing.
    fn make_room_for_stranger(&mut self, now: Time, out: &mut Outbox, told: &mut Vec<PeerEvent>) {
        let strangers = || self.conns.iter().filter(|(id, c)| matches!(c.state, State::Open) && !id.is_dialled());
        if self.conns.len() >= self.max_strangers
            && strangers().count() >= self.max_strangers
            && let Some(oldest) = strangers().next().map(|(id, _)| *id)
        {
            out.stats.streams_cut_crowded += 1;
            self.cut(now, oldest, out, told);
        }
    }

    /// How long a connection may be silent, or a handshake may take.
    fn patience(&self) -> Duration {
        self.detection.max(Duration::from_millis(200))
    }

    /// `by_peer`: the other end closed, or its host did; only that starts a proof of death.
    fn closed(&mut self, now: Time, conn: ConnId, by_peer: bool, out: &mut Outbox, told: &mut Vec<PeerEvent>) {
        match self.conns.get(&conn).map(|c| c.state.clone()) {
            None => return,
            Some(State::Dialing(_)) => return self.dial_ended(now, conn, false, told),
            Some(State::Open) => self.proof_ended(now, conn, by_peer, out),
            Some(State::Guest) => told.push(PeerEvent::Guest(conn, GuestSays::Gone)),
            Some(State::Ready(id)) => {
                let Some(peer) = self.peers.get_mut(&id) else { return };
                if peer.conn == Some(conn) {
                    peer.conn = None;
                    peer.next_dial = now + self.step;
                    peer.backoff = Duration::ZERO;
                    self.deadline = self.deadline.min(peer.next_dial);
                    told.push(PeerEvent::Down(id.clone()));
                    let met = peer.met.clone();
                    if let Some(who) = met.filter(|met| by_peer && met.provable && self.death_evidence) {
                        self.suspect(now, &id, who, out);
                    }
                }
            }
        }
        self.conns.remove(&conn);
        self.dialed_in_vain(now, conn);
    }

    fn bytes(&mut self, now: Time, conn: ConnId, bytes: &[u8], out: &mut Outbox, told: &mut Vec<PeerEvent>) {
        out.stats.stream_bytes_in += bytes.len() as u64;
        let Some(c) = self.conns.get_mut(&conn) else { return };
        c.last_in = now;
        c.reader.push(bytes);
        self.frames(now, conn, out, told);
    }

    /// Takes the frames that are there, up to one that tells of something: that is dealt with first.
    pub(super) fn frames(&mut self, now: Time, conn: ConnId, out: &mut Outbox, told: &mut Vec<PeerEvent>) {
        let tag = out.tag();
        while told.is_empty() {
            let Some(c) = self.conns.get_mut(&conn) else { return };
            let message = match c.reader.next(tag) {
                Ok(Some(message)) => message,
                Ok(None) if matches!(c.state, State::Open) && c.reader.buffered() > MAX_GREETING => {
                    out.stats.streams_cut_malformed += 1;
                    return self.cut(now, conn, out, told);
                }
                Ok(None) => return,
                Err(reject) => {
                    out.stats.reject(reject);
                    out.stats.streams_cut_malformed += 1;
                    return self.cut(now, conn, out, told);
                }
            };
            if c.flood.is_one_with(now, &message) {
                out.stats.streams_cut_flooding += 1;
                return self.cut(now, conn, out, told);
            }
            match (&c.state, message) {
                (State::Dialing(_), _) => return self.cut(now, conn, out, told),
                (State::Open | State::Guest, Message::Follow(follow)) if !conn.is_dialled() => {
                    if !self.admits(now, conn) {
                        return self.cut(now, conn, out, told);
                    }
                    told.push(PeerEvent::Guest(conn, GuestSays::Follow(Box::new(follow))));
                }
                (State::Guest, Message::SnapshotReply(reply)) => {
                    told.push(PeerEvent::Guest(conn, GuestSays::Received(reply)));
                }
                (State::Guest, _) => return self.cut(now, conn, out, told),
                (State::Ready(id), Message::Hello(h)) if *id != h.info.id => return self.cut(now, conn, out, told),
                (_, Message::Hello(hello)) => self.hello(now, conn, hello, out, told),
                (State::Open, Message::Elsewhere(hello)) => {
                    if conn.is_dialled() && hello.convention == self.hello.convention {
                        self.proof_answered(conn, &hello, told);
                    }
                    return self.cut(now, conn, out, told);
                }
                (State::Open, _) => return self.cut(now, conn, out, told),
                (State::Ready(_), Message::Ping(token)) => out.send(conn, Message::Pong(token)),
                (State::Ready(_), Message::Pong(_)) => {}
                (State::Ready(id), message) => {
                    if let Some(peer) = self.peers.get(id) {
                        told.push(PeerEvent::Message(Box::new(peer.info.clone()), conn, message));
                    }
                }
            }
        }
    }

    /// True where there is room for this subscriber.
    fn admits(&mut self, now: Time, conn: ConnId) -> bool {
        let others = self.conns.iter().filter(|(id, c)| **id != conn && matches!(c.state, State::Guest)).count();
        let Some(c) = self.conns.get_mut(&conn).filter(|_| others < MAX_GUESTS) else { return false };
        c.state = State::Guest;
        self.deadline = self.deadline.min(now + self.patience());
        true
    }

    /// Ends a connection whose other end misbehaves or is silent.
    fn cut(&mut self, now: Time, conn: ConnId, out: &mut Outbox, told: &mut Vec<PeerEvent>) {
        out.stats.streams_cut += 1;
        out.close(conn);
        self.closed(now, conn, false, out, told);
    }

    fn hello(&mut self, now: Time, conn: ConnId, hello: Hello, out: &mut Outbox, told: &mut Vec<PeerEvent>) {
        let first = matches!(self.conns.get(&conn), Some(Conn { state: State::Open, .. }));
        if first && hello.convention == self.hello.convention && !hello.info.standing.votes() {
            let reader = self.conns.get_mut(&conn).map(|c| std::mem::take(&mut c.reader)).unwrap_or_default();
            self.closed(now, conn, false, out, told);
            self.stepped_down(now, &hello.info);
            told.push(PeerEvent::Plain(conn, Box::new(hello), Box::new(reader)));
            return;
        }
        let shunned = self.shuns_family(hello.lineage, &hello.parents);
        if hello.convention != self.hello.convention || !hello.info.standing.votes() || shunned {
            out.stats.dropped_other_convention += 1;
            return self.cut(now, conn, out, told);
        }
        if hello.info.id == *self.me() {
            if hello.info.incarnation != self.hello.info.incarnation {
                told.push(PeerEvent::Namesake(hello.info.incarnation));
            }
            if !conn.is_dialled() {
                out.send_durably(conn, Message::Hello(self.hello.clone()));
            }
            return self.cut(now, conn, out, told);
        }
        self.note(now, &hello.info, hello.lineage, false);
        let id = hello.info.id.clone();
        self.proof_answered(conn, &hello, told);
        let keep = self.keeps(conn, &hello);
        let Some(peer) = self.peers.get_mut(&id) else { return self.cut(now, conn, out, told) };
        let (identity, incarnation) = (hello.info.identity, hello.info.incarnation);
        if peer.met.as_ref().is_some_and(|met| incarnation < met.incarnation) {
            // A smaller incarnation of one that is known: it learns of the larger one, and stops.
            let newer = Hello { info: peer.info.clone(), ..self.hello.clone() };
            out.send_durably(conn, Message::Hello(newer));
            return self.cut(now, conn, out, told);
        }
        if !keep {
            if first && !conn.is_dialled() {
                // The other end may have dialled to learn who answers here.
                out.send_durably(conn, Message::Elsewhere(self.hello.clone()));
            }
            return self.cut(now, conn, out, told);
        }
        let met = Met { identity, incarnation, addrs: hello.info.addrs.clone(), provable: hello.info.provable };
        // It lives, whatever its former addresses seemed to prove.
        peer.gone.retain(|(who, _)| *who != identity);
        let replaced = peer.met.replace(met).filter(|old| old.incarnation < incarnation);
        peer.info = hello.info;
        peer.lineage = hello.lineage;
        peer.parents = hello.parents;
        peer.term = hello.term;
        (peer.backoff, peer.redials) = (Duration::ZERO, 0);
        if peer.dialing == Some(conn) {
            peer.dialing = None;
        }
        let old = peer.conn.replace(conn).filter(|old| *old != conn);
        if let Some(c) = self.conns.get_mut(&conn) {
            c.state = State::Ready(id.clone());
        }
        self.answered_by_another(now, &id, conn);
        if first && !conn.is_dialled() {
            out.send_durably(conn, Message::Hello(self.hello.clone()));
        }
        if let Some(old) = old {
            self.conns.remove(&old);
            self.dialed_in_vain(now, old);
            out.close(old);
        }
        if let Some(old) = replaced.filter(|old| old.provable && self.death_evidence && first) {
            // A larger incarnation says that it is there. That proves nothing about the smaller one before each address of
            // that one refuses, or is answered by the larger.
            self.suspect(now, &id, old, out);
        }
        told.push(PeerEvent::Up(id));
        self.deadline = self.deadline.min(now + self.patience() / 2);
    }

    /// Whether this connection is the one to keep of its pair: that which the smaller id dialled; of equals the newer.
    fn keeps(&self, conn: ConnId, hello: &Hello) -> bool {
        let Some(peer) = self.peers.get(&hello.info.id) else { return true };
        let Some(old) = peer.conn else { return true };
        if old == conn || hello.info.incarnation > peer.info.incarnation || old.is_dialled() == conn.is_dialled() {
            return true;
        }
        let mine_is_kept = *self.me() < hello.info.id;
        conn.is_dialled() == mine_is_kept
    }

    /// This node was late itself: silence until now proves nothing.
    pub(super) fn excuse(&mut self, now: Time) {
        let grace = now - self.patience() / 2;
        for c in self.conns.values_mut() {
            c.last_in = c.last_in.max(grace);
            c.opened = c.opened.max(grace);
        }
    }

    pub(super) fn deadline(&self) -> Time {
        if self.enabled { self.deadline } else { Time::NEVER }
    }

    /// Dials, pings, and cuts what is silent.
    pub(super) fn tick(&mut self, now: Time, out: &mut Outbox, told: &mut Vec<PeerEvent>) {
        if !self.enabled || now < self.deadline {
            return;
        }
        let patience = self.patience();
        let mut next = Time::NEVER;
        let mut silent = Vec::new();
        for (conn, c) in &mut self.conns {
            match c.state {
                State::Dialing(_) => {}
                State::Open if now >= c.opened + patience => silent.push(*conn),
                State::Open => next = next.min(c.opened + patience),
                State::Ready(_) | State::Guest if now >= c.last_in + patience => silent.push(*conn),
                State::Guest => next = next.min(c.last_in + patience),
                State::Ready(_) => {
                    let ping_at = c.last_in.max(c.last_ping) + patience / 2;
                    if now >= ping_at {
                        c.last_ping = now;
                        out.send(*conn, Message::Ping(now.as_micros()));
                    }
                    next = next.min(c.last_in + patience).min(c.last_in.max(c.last_ping) + patience / 2);
                }
            }
        }
        self.deadline = next;
        out.stats.streams_cut_silent += silent.len() as u64;
        for conn in silent {
            self.cut(now, conn, out, told);
        }
        let forget_after = (self.detection * 2).max(self.interval * 8);
        self.peers.retain(|_, p| {
            p.listed || p.met.is_some() || p.conn.is_some() || p.dialing.is_some() || now - p.noted < forget_after
        });
        self.end_old_dials(out);
        let due: Vec<(NodeId, SocketAddr)> = self
            .peers
            .iter()
            .filter(|(_, p)| p.conn.is_none() && p.dialing.is_none() && p.next_dial <= now)
            .filter_map(|(id, p)| Some((id.clone(), *p.info.addrs.first()?)))
            .collect();
        for (id, addr) in due {
            let conn = self.dial(now, &id, addr, out);
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.dialing = Some(conn);
            }
        }
        let waiting = self.peers.values().filter(|p| p.conn.is_none() && p.dialing.is_none());
        self.deadline = waiting.map(|p| p.next_dial).fold(self.deadline, Time::min);
    }
}

#[cfg(test)]
mod tests;
