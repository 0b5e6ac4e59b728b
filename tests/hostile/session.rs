//! One node against everything that bytes can say: a session of operations, read from bytes.
//!
//! The bytes choose the operations, valid frames that fit what the node believes just then, and what is changed in them
//! (the checksum is put right again). So a fuzzer gets past the checks of the frames, and small changes of the input
//! are small changes of the session. After each operation everything is drained and held to what must always hold.

/// The same session, with a stream in other cuts.
#[path = "cuts.rs"]
#[allow(unreachable_pub)] // The fuzzer has this file in a library.
pub mod cuts;

use bytes::{Bytes, BytesMut};
use convoke::proto::{
    Command, Config, Dest, Event, Founding, Lane, Node, Policy, Restored, Role, Start, StoreWrite, StreamInput,
    StreamOutput,
};
use convoke::types::{
    Capabilities, ConnId, ConventionId, Generation, Identity, Incarnation, Index, LeftReason, Line, Lineage,
    MemberInfo, Name, NodeId, Position, Seat, Slot, Standing, Term, Time, VoterTag,
};
use convoke::wire::*;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// The most operations of a session.
const OPERATIONS: usize = 300;
/// The most outputs of one kind that one operation may cause, in a convention of at most [`MEMBERS`] members.
const OUTPUTS: usize = 2_000;
/// The most bytes that one operation may cause on the streams.
const STREAM_BYTES: usize = 8 << 20;
const MEMBERS: usize = 64;
const PEERS: u8 = 4;

/// How far a session came, for tests of the sessions themselves.
#[derive(Debug, Default, Clone, Copy)]
#[allow(unreachable_pub)] // The fuzzer has this file in a library.
pub struct Reached {
    /// It led.
    pub led: bool,
    /// It followed as a candidate or witness.
    pub supported: bool,
    /// It was registered as a plain member.
    pub member: bool,
    /// The most peers that shook hands.
    pub shook_hands: usize,
    /// The highest index that was committed.
    pub committed: u64,
}

/// Choices, taken from bytes; zeros where they end.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        head
    }
    fn u8(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }
    fn u64(&mut self) -> u64 {
        self.take(8).iter().fold(0, |n, b| n << 8 | u64::from(*b))
    }
    fn below(&mut self, n: u8) -> u8 {
        self.u8() % n
    }
    fn yes(&mut self) -> bool {
        self.u8() & 1 == 1
    }
    /// One of these, or now and then any number.
    fn number(&mut self, near: &[u64]) -> u64 {
        match usize::from(self.u8()) {
            255 => self.u64(),
            254 => u64::MAX,
            n => near[n % near.len()],
        }
    }
}

/// What the driver knows of a connection.
#[derive(Default)]
struct Conn {
    open: bool,
    reader: FrameReader,
}

/// An address that no member proclaims: whoever sends from it may have put somebody else's there.
#[derive(Default)]
struct Unknown {
    /// Bytes that came from it.
    from: u64,
    /// Bytes that were sent to it.
    to: u64,
    /// What it was sent to be echoed.
    tokens: Vec<u16>,
    /// It echoed what only the owner of the address could know.
    verified: bool,
}

struct Session<'a> {
    input: Input<'a>,
    node: Node,
    tag: u32,
    now: Time,
    conns: BTreeMap<ConnId, Conn>,
    accepted: u64,
    /// Writes that are to be acknowledged.
    writes: VecDeque<u64>,
    last_write: u64,
    /// What the node said last, to be answered.
    said: VecDeque<(ConnId, Message)>,
    sent: VecDeque<Datagram>,
    nonce: u64,
    /// Addresses that nobody proclaims.
    strangers: BTreeMap<SocketAddr, Unknown>,
    before: (Lineage, Term, Index),
    reached: Reached,
    /// Tell all datagrams: `CONVOKE_TRACE` is set.
    trace: bool,
}

/// Runs the session that these bytes are.
///
/// # Panics
/// Where the node does what it must not.
#[allow(unreachable_pub)] // As above.
pub fn run(bytes: &[u8]) -> Reached {
    let mut session = Session::new(Input(bytes));
    session.drain();
    for _ in 0..OPERATIONS {
        if session.input.is_empty() {
            break;
        }
        session.operation();
        session.drain();
        session.check();
    }
    session.reached
}

fn id(n: u8) -> NodeId {
    // The last is the node's own: a namesake.
    NodeId::new(&format!("p{n}")).expect("a short name")
}

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 1))
}

fn stranger(n: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, n], 9))
}

fn info(n: u8) -> MemberInfo {
    MemberInfo {
        id: id(n),
        incarnation: Incarnation(10),
        identity: Identity(100 + u64::from(n)),
        standing: Standing::Candidate,
        priority: 0,
        durable: false,
        multicast: n.is_multiple_of(2),
        provable: true,
        follows: false,
        outbound: false,
        addrs: vec![addr(n)],
        revision: 0,
        capabilities: Capabilities::new(),
    }
}

fn seat(n: u8) -> Seat {
    let MemberInfo { id, incarnation, identity, priority, durable, addrs, .. } = info(n);
    let admitted = u32::from(n) + 1;
    Seat {
        id,
        identity,
        incarnation,
        priority,
        admitted,
        witness: false,
        durable,
        voting: true,
        slot: Slot(n.into()),
        addrs,
    }
}

impl<'a> Session<'a> {
    fn new(mut input: Input<'a>) -> Self {
        let convention = ConventionId::new("fuzz").expect("a short name");
        let tag = convention.tag();
        let (kind, durable) = (input.below(8), input.yes());
        let builder = Config::builder(convention, id(PEERS)).max_members(MEMBERS).seeds(true).broadcast(input.yes());
        let builder = builder.policy(if input.yes() { Policy::Available } else { Policy::Quorum });
        let list = || Founding::List((0..3).map(id).chain([id(PEERS)]).collect());
        let builder = match kind {
            0 | 1 => builder.candidate().found(Founding::Alone),
            2 | 3 => builder.candidate().found(Founding::Expect(3)),
            4 => builder.candidate().found(list()),
            5 => builder.witness().found(Founding::Expect(3)),
            6 => builder.candidate().found(Founding::Expect(2)).priority(-1).death_evidence(false),
            _ => builder.subscribe(true),
        };
        let config = builder.build().expect("a right configuration");
        let restored = (durable && input.yes()).then(|| restored(&mut input));
        let start = Start { seed: 7, wall_clock_us: 20, addrs: vec![addr(PEERS)], durable, restored };
        let node = Node::new(config, start, Time::ZERO);
        Self {
            input,
            tag,
            now: Time::ZERO,
            conns: BTreeMap::new(),
            accepted: 0,
            writes: VecDeque::new(),
            last_write: 0,
            said: VecDeque::new(),
            sent: VecDeque::new(),
            nonce: 0,
            strangers: BTreeMap::new(),
            before: (node.lineage(), node.term(), node.commit_index()),
            reached: Reached::default(),
            trace: std::env::var_os("CONVOKE_TRACE").is_some(),
            node,
        }
    }

    fn operation(&mut self) {
        match self.input.below(16) {
            0 | 1 => self.pass_time(),
            2 => self.raw_datagram(),
            3..=5 => self.datagram(),
            6 => self.answer_datagram(),
            7 => self.handshake(),
            8 => self.outcome(),
            9 | 10 => self.message(),
            11 | 12 => self.answer_message(),
            13 => self.raw_stream(),
            14 => self.stored(),
            _ => self.command(),
        }
    }

    fn pass_time(&mut self) {
        let n = self.input.u8();
        self.now = match n {
            // To the next deadline, as a driver does that is never late.
            0..=127 => self.node.poll_timeout().unwrap_or(self.now).max(self.now),
            _ => self.now + Duration::from_millis(1 << (n & 15)),
        };
        // A deadline is passed by being handled; it is not told again and again.
        for turn in 0.. {
            assert!(turn < 16, "the deadline {:?} doesn't pass at {:?}", self.node.poll_timeout(), self.now);
            self.node.handle_timeout(self.now);
            if self.node.poll_timeout().is_none_or(|t| t > self.now) {
                break;
            }
        }
    }

    // Datagrams.

    fn receive(&mut self, bytes: &[u8]) {
        let n = self.input.u8();
        let lane = [Lane::Unicast, Lane::Bench, Lane::Floor][usize::from(n >> 4) % 3];
        let from = if n & 8 == 0 { addr(n & 3) } else { stranger(n & 1) };
        if n & 8 != 0 {
            let meaning = DatagramView::parse(bytes, self.tag).and_then(|v| v.meaning());
            let stranger = self.strangers.entry(from).or_default();
            stranger.from += bytes.len() as u64;
            stranger.verified |= match meaning {
                Ok(Datagram::Announce(a)) => a.nonce == self.nonce,
                Ok(Datagram::Registered(r)) => r.nonce == self.nonce,
                Ok(Datagram::Refused(r)) => r.nonce == self.nonce,
                Ok(Datagram::ProbeReply(p)) => stranger.tokens.contains(&p.token),
                _ => false,
            };
        }
        if self.trace {
            let meaning = DatagramView::parse(bytes, self.tag).and_then(|v| v.meaning());
            eprintln!("{:?} from {from} {lane:?} {meaning:?}", self.now);
        }
        self.node.handle_datagram(self.now, from, lane, bytes);
    }

    fn raw_datagram(&mut self) {
        let n = self.input.u8().into();
        let bytes = self.input.take(n).to_vec();
        self.receive(&bytes);
    }

    fn datagram(&mut self) {
        let datagram = self.a_datagram();
        self.receive_changed(&datagram);
    }

    fn receive_changed(&mut self, datagram: &Datagram) {
        let mut bytes = Vec::new();
        encode_datagram(datagram, self.tag, &mut bytes);
        self.change(&mut bytes, 0);
        self.receive(&bytes);
    }

    /// Mostly nothing; else some bytes other, or the end cut, and the checksum right again or not.
    fn change(&mut self, frame: &mut Vec<u8>, start: usize) {
        let how = self.input.u8();
        if how < 192 {
            return;
        }
        for _ in 0..how & 3 {
            let (at, value) = (usize::from(self.input.u8()) * 5 % (frame.len() - start) + start, self.input.u8());
            frame[at] = value;
        }
        if how & 4 != 0 {
            frame.truncate(start + 12 + usize::from(self.input.u8()) * 5 % (frame.len() - start - 11));
        }
        if how & 8 == 0 {
            let end = frame.len() - 4;
            let check = crc32fast::hash(&frame[start..end]).to_be_bytes();
            frame[end..].copy_from_slice(&check);
        }
    }

    fn lineage_(&mut self) -> Lineage {
        let ours = self.node.lineage().0;
        Lineage(self.input.number(&[ours, ours, ours, 7, 8, 0]))
    }

    fn term_(&mut self) -> Term {
        let t = self.node.term().0;
        Term(self.input.number(&[t, t, t.saturating_add(1), t.saturating_sub(1), t.saturating_add(5), 0]))
    }

    fn index_(&mut self) -> Index {
        let (commit, last) = (self.node.commit_index().0, self.node.position().index.0);
        let near = [last, commit, last.saturating_add(1), last.saturating_sub(1), commit.saturating_sub(1), 0];
        Index(self.input.number(&near))
    }

    fn position_(&mut self) -> Position {
        if self.input.yes() { self.node.position() } else { Position { term: self.term_(), index: self.index_() } }
    }

    fn identity_(&mut self) -> Identity {
        Identity(self.input.number(&[self.node.identity().0, 100, 101, 102, 103, 0]))
    }

    fn slot_(&mut self) -> Slot {
        let own = self.node.registration().map_or(0, |(slot, _)| slot.0);
        Slot(self.input.number(&[own.into(), 0, 1, 2, 3, 4, 63, 64]) as u32)
    }

    fn generation_(&mut self) -> Generation {
        Generation(self.input.number(&[0, 0, 1, 2]) as u16)
    }

    fn incarnation_(&mut self) -> Incarnation {
        let own = self.node.incarnation().0;
        Incarnation(self.input.number(&[10, 10, 11, own, own.saturating_add(1), own.saturating_sub(1)]))
    }

    fn info_(&mut self) -> MemberInfo {
        let n = self.input.u8();
        let mut info = info(n % (PEERS + 1));
        if n >= 128 {
            info.incarnation = self.incarnation_();
            info.identity = self.identity_();
            info.standing = [Standing::Member, Standing::Candidate, Standing::Witness][usize::from(n >> 4) % 3];
            info.durable = n & 8 != 0;
            info.revision = u32::from(n & 7);
        }
        if n % 16 == 15 {
            // Many members.
            info.id = NodeId::new(&format!("m{}", self.input.u8())).expect("a short name");
            info.standing = Standing::Member;
        }
        info
    }

    fn seats_(&mut self) -> Vec<Seat> {
        let mut n = self.input.u8();
        let mut seats: Vec<Seat> = (0..=PEERS).filter(|i| n >> i & 1 == 1).map(seat).collect();
        if n & 0x80 != 0 {
            n = self.input.u8();
            if let Some(own) = seats.iter_mut().find(|s| s.id == id(PEERS)) {
                own.identity = self.node.identity();
                own.incarnation = self.node.incarnation();
            }
            seats.iter_mut().for_each(|s| s.voting = n >> (s.slot.0 & 7) & 1 == 0);
        }
        seats
    }

    fn view_(&mut self) -> View {
        let lineage = self.lineage_();
        let term = self.term_();
        let leader = self.input.yes().then(|| VoterTag(100 + self.input.below(PEERS) as u32));
        let line_version = self.input.u8().into();
        let line = self.seats_().into_iter().map(|s| SeatRef {
            id: s.id,
            voter: s.identity.tag(),
            incarnation: s.incarnation,
            priority: s.priority,
            voting: s.voting,
            addr: s.addrs[0],
        });
        View { lineage, parents: self.parents_(), term, leader, line_version, line: line.collect() }
    }

    fn place_(&mut self) -> Option<Place> {
        let (slot, generation) = (Slot(self.input.below(9).into()), Generation(self.input.below(3).into()));
        self.input.yes().then_some(Place { slot, generation, revision: 0 })
    }

    /// Now and then a child of the node's lineage is about.
    fn parents_(&mut self) -> Vec<Lineage> {
        if self.input.yes() { vec![Lineage(7), self.node.lineage()] } else { vec![] }
    }

    fn sender_(&mut self) -> Sender {
        let MemberInfo { id, incarnation, identity, standing, priority, durable, addrs, .. } = self.info_();
        Sender { id, incarnation, identity, standing, priority, durable, outbound: false, addrs }
    }

    fn nonce_(&mut self) -> u64 {
        self.input.number(&[self.nonce])
    }

    fn a_datagram(&mut self) -> Datagram {
        let lineage = self.lineage_();
        match self.input.below(26) {
            25 => {
                let (term, generation, view) = (self.term_(), self.generation_(), self.view_());
                let (old, new) = (self.slot_(), self.slot_());
                let runs = vec![Run { old, count: self.input.u8().into(), new, generation: self.generation_() }];
                let since = Position { term, index: Index(self.input.below(8).into()) };
                Datagram::Absorbed(Absorbed { lineage, term, generation, since, runs, view })
            }
            20 => {
                let (from, incarnation, to) =
                    (id(self.input.below(PEERS + 2)), self.incarnation_(), self.incarnation_());
                Datagram::Note(Note { lineage, from, incarnation, to, body: Bytes::from_static(b"note") })
            }
            21 => Datagram::WhereIs(WhereIs { nonce: self.nonce_(), lineage, id: id(self.input.below(PEERS + 2)) }),
            22 => {
                let found = self.input.yes().then(|| self.sender_());
                let (nonce, id, leads) =
                    (self.input.below(8).into(), id(self.input.below(PEERS + 2)), self.input.yes());
                Datagram::Whereabouts(Whereabouts { nonce, lineage, id, found, leads })
            }
            0 => {
                let (term, number, commit) = (self.term_(), self.input.u8().into(), self.index_());
                let (leader, line_version) = (VoterTag(100 + self.input.below(PEERS) as u32), self.input.u8().into());
                let said = self.position_();
                Datagram::Heartbeat(Heartbeat { lineage, term, number, commit, leader, line_version, said })
            }
            1 => {
                let (slot, generation, heard) = (self.slot_(), self.generation_(), self.input.u8().into());
                Datagram::Beat(Beat { slot, generation, lineage: lineage.0 as u32, heard })
            }
            2 => {
                let (term, number, identity) = (self.term_(), self.input.u8().into(), self.identity_());
                Datagram::Ack(Ack { lineage, term, number, identity })
            }
            3 => {
                let (from, nonce, attempt, term) =
                    (self.sender_(), self.nonce_(), self.input.u8().into(), self.term_());
                Datagram::Seek(Seek { from, nonce, attempt, lineage, term })
            }
            4 => Datagram::Announce(Announce {
                from: self.sender_(),
                nonce: self.nonce_(),
                place: self.place_(),
                view: self.view_(),
            }),
            5 => {
                let (nonce, heard, info) = (self.nonce_(), self.input.u8().into(), self.info_());
                Datagram::Join(Join { nonce, lineage, heard, info })
            }
            6 => {
                let (nonce, incarnation, slot) = (self.nonce_(), self.incarnation_(), self.slot_());
                let (generation, revision, view) = (self.generation_(), self.input.u8().into(), self.view_());
                let since = if self.input.yes() { Position::default() } else { self.position_() };
                Datagram::Registered(Registered { nonce, incarnation, slot, generation, revision, since, view })
            }
            7 => {
                let (nonce, incarnation, n) = (self.nonce_(), self.incarnation_(), self.input.u8());
                use RefuseReason as R;
                let reason = [R::Superseded, R::Departed, R::Full, R::Busy, R::Other(9)][usize::from(n) % 5];
                Datagram::Refused(Refused { nonce, lineage, incarnation, reason, retry_ms: u32::from(n) << 4 })
            }
            n @ (8 | 9) => {
                let (slot, generation, token) = (self.slot_(), self.generation_(), self.input.u8().into());
                let probe = Probe { slot, generation, lineage: lineage.0 as u32, token };
                if n == 8 { Datagram::Probe(probe) } else { Datagram::ProbeReply(probe) }
            }
            10 => {
                let (slot, generation) = (self.slot_(), self.generation_());
                Datagram::Stranger(Stranger { slot, generation, lineage: lineage.0 as u32 })
            }
            n @ (11 | 12) => {
                let (slot, generation, incarnation) = (self.slot_(), self.generation_(), self.incarnation_());
                let leave = Leave { lineage, slot, generation, incarnation };
                if n == 11 { Datagram::Leave(leave) } else { Datagram::Gone(leave) }
            }
            13 => Datagram::Resigned(Resigned { lineage, term: self.term_(), identity: self.identity_() }),
            23 => self.a_broadcast(lineage),
            24 => {
                let (nonce, after, offset) = (self.nonce_(), self.position_(), self.input.u8());
                let (slot, generation, offset) = (self.slot_(), self.generation_(), u32::from(offset) * 1_000);
                Datagram::Unheard(Unheard { nonce, lineage, after, slot, generation, offset })
            }
            n => self.a_request(n, lineage),
        }
    }

    /// Broadcasts, small ones and pieces, from anywhere on.
    fn a_broadcast(&mut self, lineage: Lineage) -> Datagram {
        let (nonce, term) = (if self.input.yes() { 0 } else { self.nonce_() }, self.term_());
        let index = u64::from(self.input.below(8));
        let prev = Position { term, index: Index(index) };
        let (from, incarnation) = (id(self.input.below(PEERS + 2)), self.incarnation_());
        let (offset, total) = if self.input.yes() { (u32::from(self.input.below(3)) * 1_000, 2_500) } else { (0, 5) };
        let data = Bytes::from(vec![1; (total - offset).min(1_000) as usize]);
        let place = Position { term, index: Index(index + 1) };
        let said = Said { place, from, incarnation, number: self.input.u8().into(), offset, total, data };
        let newest = Position { term, index: Index(index + 1 + u64::from(self.input.below(3))) };
        Datagram::Broadcast(Broadcast { nonce, lineage, term, prev, newest, said: vec![said] })
    }

    /// What is asked about the roll, and the answers.
    fn a_request(&mut self, n: u8, lineage: Lineage) -> Datagram {
        let (slot, generation, nonce) = (self.slot_(), self.generation_(), self.nonce_());
        let (term, incarnation, number) = (self.term_(), self.incarnation_(), self.input.u8().into());
        match n {
            14 => {
                let name = Name::new(["x", "y"][usize::from(self.input.yes())]).expect("a short name");
                let release = self.input.yes();
                Datagram::Claim(Claim { lineage, term, incarnation, number, slot, generation, release, name })
            }
            15 => {
                use ClaimAnswer as A;
                let answer =
                    [A::Yours, A::Released, A::Taken, A::TooMany, A::Other(9)][usize::from(self.input.below(5))];
                let owner = self.input.yes().then(|| self.info_().id);
                Datagram::ClaimReply(ClaimReply { lineage, term, incarnation, number, answer, owner })
            }
            16 => {
                let prev = if self.input.yes() { self.node.committed() } else { self.position_() };
                let first = prev.index.0.min(1 << 60);
                let entries =
                    (1..=self.input.below(3).into()).map(|n: u64| self.entry_(Index(first + n), term)).collect();
                let (prev, commit) = (Position { index: Index(first), ..prev }, Index(first + 2));
                let nonce = if self.input.yes() { 0 } else { nonce };
                Datagram::News(News { nonce, lineage, term, prev, commit, entries })
            }
            17 => Datagram::Missed(Missed { nonce, lineage, after: self.position_(), slot, generation }),
            18 => {
                let mut wanted = Capabilities::new();
                wanted.set(["leader", "k"][usize::from(self.input.yes())], "yes").expect("a short value");
                Datagram::Find(Find { nonce, lineage, wanted })
            }
            _ => Datagram::Found(Found { nonce, lineage, total: number, members: vec![self.info_().id] }),
        }
    }

    /// Answers what the node sent last, as it hopes for.
    fn answer_datagram(&mut self) {
        let Some(sent) = self.sent.pop_back() else { return };
        let peer = self.input.below(PEERS);
        let view = |line: Vec<SeatRef>| View {
            lineage: Lineage(7),
            parents: vec![],
            term: Term(3),
            leader: Some(VoterTag(100)),
            line_version: 1,
            line,
        };
        let seats = || {
            (0..3)
                .map(seat)
                .map(|s| SeatRef {
                    id: s.id,
                    voter: s.identity.tag(),
                    incarnation: s.incarnation,
                    priority: 0,
                    voting: true,
                    addr: s.addrs[0],
                })
                .collect()
        };
        let answer = match sent {
            Datagram::Heartbeat(h) => {
                let identity = Identity(100 + u64::from(peer));
                Datagram::Ack(Ack { lineage: h.lineage, term: h.term, number: h.number, identity })
            }
            Datagram::Seek(s) => {
                let MemberInfo { id, incarnation, identity, standing, priority, durable, addrs, .. } = info(peer);
                let from = Sender { id, incarnation, identity, standing, priority, durable, outbound: false, addrs };
                Datagram::Announce(Announce { from, nonce: s.nonce, place: None, view: view(seats()) })
            }
            Datagram::Join(j) => Datagram::Registered(Registered {
                nonce: j.nonce,
                incarnation: j.info.incarnation,
                slot: Slot(9),
                generation: Generation(1),
                revision: j.info.revision,
                since: Position::default(),
                view: view(seats()),
            }),
            Datagram::Probe(p) => Datagram::ProbeReply(p),
            Datagram::Leave(l) => Datagram::Gone(l),
            other => other,
        };
        self.receive_changed(&answer);
    }

    // Streams.

    fn handshake(&mut self) {
        let info = self.info_();
        let conn = self.accept();
        let (lineage, term) = (self.lineage_(), self.term_());
        let parents = self.parents_();
        self.say(conn, &Message::Hello(Hello { convention: "fuzz".into(), lineage, parents, term, info }));
        let standing = self.conns.values().filter(|c| c.open).count();
        self.reached.shook_hands = self.reached.shook_hands.max(standing);
    }

    fn accept(&mut self) -> ConnId {
        let conn = ConnId(self.accepted * 2 + 1);
        self.accepted += 1;
        let from = if self.input.yes() { addr(9) } else { stranger(2) };
        self.conns.insert(conn, Conn { open: true, reader: FrameReader::new() });
        self.node.handle_stream(self.now, conn, StreamInput::Accepted(from));
        conn
    }

    fn pick_conn(&mut self) -> Option<ConnId> {
        let n = usize::from(self.input.u8());
        self.conns.keys().copied().nth(n.checked_rem(self.conns.len())?)
    }

    /// What becomes of a dial, or the end of a connection.
    fn outcome(&mut self) {
        let Some(conn) = self.pick_conn() else { return };
        let n = self.input.u8();
        let open = self.conns.get(&conn).is_some_and(|c| c.open);
        let input = match (open, n % 4) {
            (true, 0) => StreamInput::Closed,
            (true, _) => return,
            (false, 0) => StreamInput::Refused,
            (false, 1) => StreamInput::Failed,
            (false, _) => StreamInput::Connected,
        };
        if input == StreamInput::Connected {
            self.conns.insert(conn, Conn { open: true, reader: FrameReader::new() });
        } else {
            self.conns.remove(&conn);
        }
        self.node.handle_stream(self.now, conn, input);
    }

    fn say(&mut self, conn: ConnId, message: &Message) {
        let mut frame = Vec::new();
        self.put(message, &mut frame);
        self.bytes(conn, &frame);
    }

    fn bytes(&mut self, conn: ConnId, bytes: &[u8]) {
        // The core may have closed it since.
        if self.conns.get(&conn).is_some_and(|c| c.open) {
            self.node.handle_stream(self.now, conn, StreamInput::Bytes(bytes));
        }
    }

    fn raw_stream(&mut self) {
        let Some(conn) = self.pick_conn() else { return };
        let n = self.input.u8().into();
        let bytes = self.input.take(n).to_vec();
        self.bytes(conn, &bytes);
    }

    fn message(&mut self) {
        let Some(conn) = self.pick_conn() else { return };
        let message = self.a_message();
        self.say(conn, &message);
    }

    fn entry_(&mut self, index: Index, term: Term) -> Entry {
        let slot = self.slot_();
        let generation = self.generation_();
        use LeftReason as L;
        let change = match self.input.below(8) {
            0 => Change::Led { identity: self.identity_() },
            1 | 2 => Change::Joined { slot, generation, info: self.info_() },
            3 => Change::Updated {
                slot,
                generation,
                revision: self.input.u8().into(),
                capabilities: Capabilities::new(),
            },
            4 => {
                let reason = [L::Left, L::Crashed, L::Silent, L::Replaced][usize::from(self.input.below(4))];
                Change::Left { slot, generation, reason }
            }
            5 => Change::Seated(seat(self.input.below(PEERS + 1))),
            6 => {
                let n = self.input.below(PEERS + 1);
                Change::Unseated { id: id(n), identity: self.identity_(), keep: self.input.yes() }
            }
            7 if self.input.yes() => {
                let name = Name::new(["x", "y"][usize::from(self.input.yes())]).expect("a short name");
                if self.input.yes() {
                    Change::Claimed { slot, generation, name }
                } else {
                    Change::Released { slot, generation, name }
                }
            }
            7 => self.about_requests(slot, generation),
            8 => {
                let count = self.input.number(&[1, 4, u64::from(u32::MAX)]) as u32;
                let (since, upto) = (Position::default(), Position::default());
                Change::Absorbed(Merger { lineage: self.lineage_(), term, base: slot, generation, since, upto, count })
            }
            _ => Change::Other { kind: 99, body: Bytes::from_static(b"later") },
        };
        Entry { index, term, change }
    }

    fn about_requests(&mut self, slot: Slot, generation: Generation) -> Change {
        let number = self.input.number(&[1, 2, 3, 1 << 62]).clamp(1, 1 << 62);
        if self.input.yes() {
            let below = self.input.number(&[1, 2, number]).clamp(1, number).max(number.saturating_sub(200));
            let opened =
                vec![Opened { slot: self.slot_(), generation: self.generation_(), below, numbers: vec![number] }];
            Change::Begun(Begun { slot, generation, opened })
        } else {
            let outcome =
                if self.input.yes() { Outcome::Answered("yes".into()) } else { Outcome::Unknown(Lost::Forgotten) };
            Change::Answered(vec![Closed { slot, generation, number, outcome }])
        }
    }

    /// What asks a leader, or answers somebody who asked.
    fn a_record_about_requests(&mut self) -> (RecordKind, Bytes) {
        let (lineage, incarnation) = (self.lineage_(), self.incarnation_());
        let number = self.input.number(&[0, 4, 8, 12]) >> 2;
        if self.input.yes() {
            let below = self.input.number(&[4, 8, number << 2]) >> 2;
            let (again, body) = (self.input.yes(), Bytes::from_static(b"do"));
            return (
                RecordKind::Request,
                encode_request(&Request { lineage, incarnation, number, below, again, body }),
            );
        }
        let late = self.input.yes().then(|| (self.slot_(), self.generation_()));
        let said = match self.input.below(3) {
            0 => Response::Later,
            1 => Response::Done(Outcome::Answered("done".into())),
            _ => Response::Done(Outcome::Unknown(Lost::NotKept)),
        };
        (RecordKind::Answer, encode_answer(&Answer { lineage, incarnation, number, late, said }))
    }

    fn a_message(&mut self) -> Message {
        let (lineage, term) = (self.lineage_(), self.term_());
        match self.input.below(35) {
            31..=34 => self.a_merger(lineage, term),
            22..=26 => self.a_lane_message(),
            0 => {
                let (parents, info) = (self.parents_(), self.info_());
                Message::Hello(Hello { convention: "fuzz".into(), lineage, parents, term, info })
            }
            1 => Message::Propose(Propose { lineage, round: self.input.u8().into(), term, seats: self.seats_() }),
            2 => {
                let n = self.input.u8();
                let (accepted, durable) = (n & 1 == 0, n & 2 == 0);
                Message::ProposeReply(ProposeReply { lineage, round: (n >> 2).into(), accepted, durable, term })
            }
            3 => Message::Release(Release { lineage }),
            4 => {
                let (position, line_version, round) =
                    (self.position_(), self.input.u8().into(), self.input.u8().into());
                Message::Canvass(Canvass { lineage, term, position, line_version, round })
            }
            5 => {
                let (round, granted, position) = (self.input.u8().into(), self.input.yes(), self.position_());
                let wait_us = self.input.number(&[0, 1_000, 1_000_000]);
                Message::CanvassReply(CanvassReply { lineage, round, term, granted, wait_us, position })
            }
            6 => {
                let (position, blessing) = (self.position_(), self.input.yes().then(|| self.term_()));
                Message::Bid(Bid { lineage, term, position, blessing })
            }
            7 => {
                let (granted, promised, position) = (self.input.yes(), self.term_(), self.position_());
                Message::BidReply(BidReply { lineage, term, granted, promised, position })
            }
            8 => Message::Fetch(Fetch { lineage, term, after: self.position_() }),
            9 | 10 => self.an_append(lineage, term),
            11 => self.a_snapshot(lineage, term),
            12 => {
                let (identity, matched, index) = (self.identity_(), self.input.yes(), self.index_());
                Message::AppendReply(AppendReply { lineage, term, identity, matched, index })
            }
            13 => Message::Overruled(Overruled { lineage, term }),
            14 => Message::Resigned(Resigned { lineage, term, identity: self.identity_() }),
            n @ (15 | 16) => {
                let (slot, generation, addr) = (self.slot_(), self.generation_(), addr(self.input.below(PEERS)));
                let probe = ProbeFor { slot, generation, addr };
                if n == 15 { Message::ProbeFor(probe) } else { Message::ProbeResult(probe) }
            }
            18 => Message::Invite(Invite { lineage, term, round: self.input.u8().into() }),
            19 => Message::InviteReply(InviteReply { lineage, term, round: self.input.u8().into(), able: true }),
            17 => Message::Bless(Bless { lineage, term, identity: self.identity_(), heir: self.identity_() }),
            20 => Message::TurnedAway(TurnedAway { lineage }),
            21 => {
                let (incarnation, after) = (self.incarnation_(), self.position_());
                let (slot, generation) = (self.slot_(), self.generation_());
                Message::Follow(Follow { convention: "fuzz".into(), lineage, incarnation, after, slot, generation })
            }
            27 => {
                let (position, voters) = (self.position_(), self.seats_());
                let gone = (0..self.input.below(3)).map(|_| self.identity_()).collect();
                Message::Muster(Muster { lineage, term, position, sealed: self.input.yes(), voters, gone })
            }
            28 => {
                let parent = self.node.lineage();
                let voters = vec![self.node.identity(), self.identity_()];
                let gone = (0..self.input.below(5)).map(|_| self.identity_()).collect();
                Message::Recover(Recover { lineage, parent, term, voters, gone })
            }
            29 => {
                let (granted, seen, position) = (self.input.yes(), self.term_(), self.position_());
                Message::RecoverReply(RecoverReply { lineage, term, granted, seen, position })
            }
            _ => Message::Ping(self.input.u8().into()),
        }
    }

    /// About two lineages that become one.
    fn a_merger(&mut self, lineage: Lineage, term: Term) -> Message {
        let (into, number) = (self.lineage_(), self.input.below(4).into());
        match self.input.below(4) {
            0 => {
                let (candidates, asks) = (self.input.below(8).into(), self.input.yes());
                Message::Offer(Offer { lineage, term, candidates, number, asks })
            }
            1 => {
                let position = self.position_();
                let data = encode_image(&an_image(&mut self.input, lineage, position));
                let (candidates, total) = (self.input.below(8).into(), data.len() as u32);
                Message::Bequest(Bequest { lineage, into, term, position, number, candidates, offset: 0, total, data })
            }
            2 => {
                let (offset, void) = (self.input.u8().into(), self.input.yes());
                Message::BequestReply(BequestReply { lineage, into, number, offset, void })
            }
            _ => {
                let (base, generation, seats) = (self.slot_(), self.generation_(), self.seats_());
                let (leader, parents) = (VoterTag(100), self.parents_());
                let line_version = self.input.u8().into();
                Message::Ended(Ended {
                    lineage,
                    into,
                    parents,
                    term,
                    leader,
                    line_version,
                    number,
                    base,
                    generation,
                    since: Position::default(),
                    upto: self.position_(),
                    seats,
                })
            }
        }
    }

    /// About messages of embedders.
    fn a_lane_message(&mut self) -> Message {
        let (incarnation, to, number) = (self.incarnation_(), self.incarnation_(), self.input.number(&[1, 2, 3]) >> 1);
        match self.input.below(8) {
            0 => Message::Open(Open { incarnation, to, base: number }),
            1 => Message::Resume(Resume {
                incarnation,
                have: number,
                credit: self.input.number(&[0, 100, 1 << 20]) >> 1,
            }),
            2 => {
                let len = self.input.number(&[0, 4, 1 << 16, u64::from(u32::MAX)]) as u32;
                let mut records = len.to_be_bytes().to_vec();
                records.resize(4 + usize::from(self.input.u8()) * 16, 7);
                if len == 0 || len == 4 {
                    let (kind, body) = self.a_record_about_requests();
                    records = [&kind.head(body.len())[..], &body].concat();
                }
                Message::Data(Data {
                    number: number.max(1),
                    offset: self.input.below(3).into(),
                    records: records.into(),
                })
            }
            3 => Message::Taken(Taken { number, credit: self.input.number(&[0, 1 << 20]) >> 1 }),
            4 => Message::Declined(Declined { number, reason: DeclineReason::TooLarge }),
            _ => self.a_circuit(number),
        }
    }

    /// About connections through a relay.
    fn a_circuit(&mut self, number: u64) -> Message {
        let (lineage, credit, relay) = (self.lineage_(), self.input.number(&[0, 1 << 16]) >> 1, self.input.yes());
        Message::Circuit(match self.input.below(8) {
            0 => Circuit::Call(Call { number, lineage, id: id(self.input.below(PEERS + 2)) }),
            1 => Circuit::Ring(Ring { number, lineage, credit, from: Sender { outbound: relay, ..self.sender_() } }),
            2 => {
                let all = [
                    CallOutcome::Taken,
                    CallOutcome::DialledBack,
                    CallOutcome::NotHere,
                    CallOutcome::Busy,
                    CallOutcome::Other(9),
                ];
                let outcome = all[usize::from(self.input.below(5))];
                Circuit::Answered(Answered { number, relay, outcome, credit })
            }
            3 => {
                Circuit::Carried(Carried { number, relay, data: vec![7; 1 + usize::from(self.input.u8()) * 16].into() })
            }
            4 => Circuit::More(More { number, credit }),
            5 => Circuit::HangUp(HangUp { number, relay }),
            6 => return Message::Leads(self.view_()),
            _ => {
                let (from, incarnation) = (id(self.input.below(PEERS + 2)), self.incarnation_());
                let to = self.node.incarnation();
                return Message::Note(Note { lineage, from, incarnation, to, body: Bytes::from_static(b"note") });
            }
        })
    }

    fn an_append(&mut self, lineage: Lineage, term: Term) -> Message {
        let (prev, commit, fetched) = (self.position_(), self.index_(), self.input.u8() > 191);
        let mut entries = Vec::new();
        let mut last = prev.index;
        for _ in 0..self.input.below(5) {
            let Some(next) = last.next() else { break };
            let term = if self.input.u8() < 192 { term } else { self.term_() };
            entries.push(self.entry_(next, term));
            last = next;
        }
        Message::Append(Append { lineage, term, prev, commit, fetched, entries })
    }

    fn a_snapshot(&mut self, lineage: Lineage, term: Term) -> Message {
        let position = self.position_();
        let image = an_image(&mut self.input, lineage, position);
        let data = encode_image(&image);
        let cut = usize::from(self.input.u8()) * 3 % (data.len() + 1);
        let (offset, data, total) = match self.input.below(8) {
            0 => (0, data.slice(..cut), data.len() as u32),
            1 => (cut as u32, data.slice(cut..), data.len() as u32),
            2 => (0, data.slice(..cut), u32::MAX),
            _ => (0, data.clone(), data.len() as u32),
        };
        Message::Snapshot(Snapshot { lineage, term, position, fetched: self.input.yes(), offset, total, data })
    }

    /// Gives a subscriber the roll, and then what follows it.
    fn answer_follow(&mut self, conn: ConnId, f: &Follow) {
        let (lineage, term) = (f.lineage, Term::ZERO);
        if f.after.index == Index::ZERO || self.input.yes() {
            let position = Position { term: Term(2), index: Index(f.after.index.0.min(1 << 60) + 5) };
            let data = encode_image(&an_image(&mut self.input, lineage, position));
            let total = data.len() as u32;
            return self.say(
                conn,
                &Message::Snapshot(Snapshot { lineage, term, position, fetched: true, offset: 0, total, data }),
            );
        }
        let next = Index(f.after.index.0.min(1 << 60) + 1);
        let entries = vec![self.entry_(next, f.after.term)];
        self.say(conn, &Message::Append(Append { lineage, term, prev: f.after, commit: next, fetched: true, entries }));
    }

    /// Answers what the node said last on a stream, as it hopes for.
    fn answer_message(&mut self) {
        let Some((conn, said)) = self.said.pop_back() else { return };
        let identity = Identity(100 + u64::from(self.input.below(PEERS)));
        let (lineage, term, position) = (self.node.lineage(), self.node.term(), self.node.position());
        let answer = match said {
            Message::Hello(h) => Message::Hello(Hello { info: self.info_(), ..h }),
            Message::Propose(p) => {
                let (lineage, round, term) = (p.lineage, p.round, p.term);
                Message::ProposeReply(ProposeReply { lineage, round, accepted: true, durable: false, term })
            }
            Message::Canvass(c) => Message::CanvassReply(CanvassReply {
                lineage: c.lineage,
                round: c.round,
                term: Term(c.term.0.saturating_sub(1)),
                granted: true,
                wait_us: 0,
                position: c.position,
            }),
            Message::Bid(b) => Message::BidReply(BidReply {
                lineage: b.lineage,
                term: b.term,
                granted: true,
                promised: b.term,
                position: b.position,
            }),
            Message::Append(a) => {
                let index = a.entries.last().map_or(a.prev.index, |e| e.index);
                Message::AppendReply(AppendReply { lineage: a.lineage, term: a.term, identity, matched: true, index })
            }
            Message::Snapshot(s) => Message::AppendReply(AppendReply {
                lineage: s.lineage,
                term: s.term,
                identity,
                matched: s.offset as usize + s.data.len() == s.total as usize,
                index: s.position.index,
            }),
            Message::Offer(o) => Message::Bequest(Bequest {
                lineage,
                into: o.lineage,
                term,
                position,
                number: o.number,
                candidates: o.candidates,
                offset: 0,
                total: 1,
                data: Bytes::from_static(&[0]),
            }),
            Message::Recover(r) => Message::RecoverReply(RecoverReply {
                lineage: r.lineage,
                term: r.term,
                granted: true,
                seen: r.term,
                position,
            }),
            Message::Fetch(f) => return self.answer_fetch(conn, f),
            Message::Follow(f) => return self.answer_follow(conn, &f),
            Message::Ping(n) => Message::Pong(n),
            _ => Message::Canvass(Canvass { lineage, term, position, line_version: 1, round: 1 }),
        };
        self.say(conn, &answer);
    }

    fn answer_fetch(&mut self, conn: ConnId, fetch: Fetch) {
        let Some(index) = fetch.after.index.next() else { return };
        let entry = self.entry_(index, fetch.term);
        let Fetch { lineage, term, after: prev } = fetch;
        self.say(
            conn,
            &Message::Append(Append { lineage, term, prev, commit: prev.index, fetched: true, entries: vec![entry] }),
        );
    }

    // Store and commands.

    fn stored(&mut self) {
        let n = self.input.u8();
        if n == 255 {
            self.writes.clear();
            return self.node.handle_store_failed(self.now);
        }
        for _ in 0..=n % 8 {
            if let Some(seq) = self.writes.pop_front() {
                self.node.handle_stored(self.now, seq);
            }
        }
    }

    fn command(&mut self) {
        let n = self.input.below(13);
        if n >= 11 {
            let (to, body) = (id(self.input.below(PEERS + 2)), Bytes::from(vec![n; usize::from(self.input.u8()) * 32]));
            let _ = if n == 11 {
                if self.input.below(4) == 3 {
                    let _ = self.node.request(self.now, body.clone(), self.input.yes());
                    let _ = self.node.answer(self.now, &to, Incarnation(11), 1, body.clone());
                }
                self.node.send(self.now, &to, body)
            } else {
                self.node.send_datagram(self.now, &to, body)
            };
            return;
        }
        let command = match n {
            0 => Command::Leave,
            8 => Command::Claim(Name::new("x").expect("a short name")),
            9 => Command::Release(Name::new("x").expect("a short name")),
            10 => Command::Find { number: 1, key: "load".into(), value: "1".into() },
            1..=3 => {
                let mut capabilities = Capabilities::new();
                let value = self.input.u8().to_string();
                capabilities.set("load", &value).expect("a short value");
                Command::SetCapabilities(capabilities)
            }
            _ => Command::Addresses((0..self.input.below(6)).map(addr).collect()),
        };
        // A refused command changes nothing; which are refused is tested elsewhere.
        let _ = self.node.handle_command(self.now, command);
    }

    // What must always hold.

    fn drain(&mut self) {
        self.drain_datagrams();
        self.drain_streams();
        let mut writes = 0;
        while let Some(StoreWrite { seq, records, .. }) = self.node.poll_store() {
            writes += records.len();
            assert!(writes < OUTPUTS, "too much to store");
            assert_eq!(seq, self.last_write + 1, "writes are counted");
            self.last_write = seq;
            self.writes.push_back(seq);
        }
        let mut events = 0;
        while let Some(event) = self.node.poll_event() {
            events += 1;
            assert!(events < OUTPUTS, "too many events");
            self.reached.led |= matches!(event, Event::Role { role: Role::Leader, .. });
            self.reached.supported |= matches!(event, Event::Role { role: Role::Supporter | Role::Witness, .. });
            self.reached.member |= matches!(event, Event::Role { role: Role::Member, .. });
        }
    }

    fn drain_datagrams(&mut self) {
        let mut buf = Vec::new();
        let mut count = 0;
        while let Some(dest) = self.node.poll_transmit(&mut buf) {
            count += 1;
            assert!(count < OUTPUTS, "too many datagrams");
            assert!(buf.len() <= MAX_DATAGRAM, "a long datagram");
            let datagram = DatagramView::parse(&buf, self.tag).and_then(|v| v.meaning());
            let datagram = datagram.unwrap_or_else(|e| panic!("the node wrote a frame that is {e}: {buf:02x?}"));
            if self.trace {
                eprintln!("{:?} to {dest:?} {datagram:?}", self.now);
            }
            if let Dest::Addr(to) = dest {
                self.sent_to(to, buf.len() as u64, &datagram);
            }
            match &datagram {
                Datagram::Seek(s) => self.nonce = s.nonce,
                Datagram::Join(j) => self.nonce = j.nonce,
                _ => {}
            }
            self.sent.push_back(datagram);
            self.sent.truncate(16);
        }
    }

    /// Nothing sent to an unverified source is larger than what came from it.
    fn sent_to(&mut self, to: SocketAddr, bytes: u64, datagram: &Datagram) {
        let Some(stranger) = self.strangers.get_mut(&to) else { return };
        if let Datagram::Probe(probe) = datagram {
            stranger.tokens.push(probe.token);
        }
        stranger.to += bytes;
        let Unknown { from, to, verified, .. } = *stranger;
        assert!(verified || to <= from, "a stranger sent {from} bytes and got {to}, lastly {datagram:?}");
    }

    fn drain_streams(&mut self) {
        let (mut count, mut bytes) = (0, 0);
        while let Some(output) = self.node.poll_stream() {
            count += 1;
            assert!(count < OUTPUTS, "too many outputs for streams");
            match output {
                StreamOutput::Connect(conn, _) => {
                    assert!(conn.is_dialled(), "the core's numbers are even");
                    let old = self.conns.insert(conn, Conn::default());
                    assert!(old.is_none(), "a number is used once");
                }
                StreamOutput::Send(conn, data) | StreamOutput::Bulk(conn, data) => {
                    bytes += data.len();
                    assert!(bytes < STREAM_BYTES, "too many bytes for streams");
                    // The driver drops what goes to a connection that ended meanwhile.
                    let Some(state) = self.conns.get_mut(&conn) else { continue };
                    assert!(state.open, "nothing is sent before the connection stands");
                    state.reader.push(&data);
                    while let Some(message) = state.reader.next(self.tag).expect("right frames") {
                        self.said.push_back((conn, message));
                        self.said.truncate(16);
                    }
                }
                StreamOutput::Close(conn) => {
                    self.conns.remove(&conn);
                }
            }
        }
    }

    fn check(&mut self) {
        let (lineage, term, commit) = self.before;
        if self.node.lineage() == lineage && lineage != Lineage::ZERO {
            assert!(self.node.term() >= term, "the term went back from {term} to {}", self.node.term());
            assert!(self.node.commit_index() >= commit, "what is committed stays so");
        }
        assert!(self.node.commit_index() <= self.node.position().index, "what is committed is on the roll");
        assert!(self.node.members().count() <= MEMBERS + usize::from(PEERS), "the roll is bounded");
        self.before = (self.node.lineage(), self.node.term(), self.node.commit_index());
        self.reached.committed = self.reached.committed.max(self.node.commit_index().0);
    }
}

fn an_image(input: &mut Input<'_>, lineage: Lineage, position: Position) -> Image {
    let n = input.u8();
    let seats = (0..=PEERS).filter(|i| n >> i & 1 == 1).map(seat).collect();
    let slots = (0..=PEERS).map(|i| SlotImage {
        generation: Generation(0),
        info: (n >> i & 1 == 1).then(|| info(i)),
        since: Position::default(),
    });
    Image {
        lineage,
        parents: if n == 255 { vec![Lineage(7)] } else { vec![] },
        position,
        line: Line::new(input.u8().into(), seats),
        slots: slots.collect(),
        departed: vec![(id(9), Incarnation(3))],
        retired: vec![],
        ranked: vec![],
        names: vec![],
        said_before: Position::default(),
        said: vec![],
        speakers: vec![],
        requests: (0..=PEERS).filter(|i| n & 3 == 3 && n >> i & 1 == 1).map(|i| ledger(input, i)).collect(),
        absorbed: vec![],
    }
}

fn ledger(input: &mut Input<'_>, slot: u8) -> Ledger {
    let stage = |n| match n {
        0 => Stage::Begun(Slot(0), Generation(0)),
        1 => Stage::Done(Outcome::Answered("kept".into())),
        _ => Stage::Done(Outcome::Unknown(Lost::Gone)),
    };
    let (a, b) = (stage(input.below(3)), stage(input.below(3)));
    Ledger { slot: Slot(slot.into()), below: 1, requests: vec![(1, a), (3, b)] }
}

fn restored(input: &mut Input<'_>) -> Restored {
    let position = Position { term: Term(2), index: Index(input.number(&[5, 0, 1]).min(1 << 60)) };
    let promise = Promise {
        founder: None,
        identity: Identity(104),
        incarnation: Incarnation(10),
        lineage: Lineage(7),
        term: Term(input.number(&[2, 3]).min(1 << 60)),
        granted: input.yes().then_some(Identity(100)),
        seen: Term(3),
        sealed: input.below(16) == 15,
        ..Promise::default()
    };
    let image = input.yes().then(|| an_image(input, Lineage(7), position));
    Restored { promise, image, entries: Vec::new() }
}
