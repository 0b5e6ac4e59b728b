//! A node in a harness: what it gets and what it says, by hand.
use bytes::BytesMut;
use convoke::proto::*;
use convoke::types::*;
use convoke::wire::*;
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) const CONV: &str = "site";
pub(crate) fn ms(n: u64) -> Time {
    Time::from_micros(n * 1000)
}
pub(crate) fn nid(s: &str) -> NodeId {
    NodeId::new(s).unwrap()
}
pub(crate) fn tag() -> u32 {
    ConventionId::new(CONV).unwrap().tag()
}
pub(crate) fn addr(i: u16) -> std::net::SocketAddr {
    format!("10.0.0.{}:7000", i).parse().unwrap()
}
pub(crate) fn cfg(id: &str, f: Founding) -> ConfigBuilder {
    Config::builder(ConventionId::new(CONV).unwrap(), nid(id))
        .candidate()
        .found(f)
        .heartbeat(Duration::from_millis(100))
}
pub(crate) fn seat(i: u16, id: &str, identity: u64) -> Seat {
    Seat {
        id: nid(id),
        identity: Identity(identity),
        incarnation: Incarnation(1),
        priority: 0,
        admitted: u32::from(i),
        witness: false,
        durable: false,
        voting: true,
        slot: Slot(u32::from(i)),
        addrs: vec![addr(i + 1)],
    }
}
pub(crate) fn info(i: u16, id: &str, identity: u64) -> MemberInfo {
    MemberInfo {
        id: nid(id),
        incarnation: Incarnation(1),
        identity: Identity(identity),
        standing: Standing::Candidate,
        priority: 0,
        durable: true,
        multicast: true,
        provable: true,
        follows: false,
        outbound: false,
        addrs: vec![addr(i + 1)],
        revision: 0,
        capabilities: Capabilities::new(),
    }
}
pub(crate) fn image(lineage: u64, term: u64, index: u64, names: &[&str]) -> Image {
    let seats: Vec<_> = names.iter().enumerate().map(|(i, n)| seat(i as u16, n, 100 + i as u64)).collect();
    let slots = names
        .iter()
        .enumerate()
        .map(|(i, n)| SlotImage {
            generation: Generation(1),
            info: Some(info(i as u16, n, 100 + i as u64)),
            since: Position::default(),
        })
        .collect();
    Image {
        lineage: Lineage(lineage),
        parents: vec![],
        position: Position { term: Term(term), index: Index(index) },
        line: Line::new(1, seats),
        slots,
        departed: vec![],
        retired: vec![],
        ranked: vec![],
        names: vec![],
        said_before: Position::default(),
        said: vec![],
        speakers: vec![],
        requests: vec![],
        absorbed: vec![],
    }
}
pub(crate) fn member(n: u64) -> MemberInfo {
    MemberInfo {
        id: nid(&format!("m{n}-{}", "x".repeat(40))),
        incarnation: Incarnation(1),
        identity: Identity(10_000 + n),
        standing: Standing::Member,
        priority: 0,
        durable: false,
        multicast: true,
        provable: true,
        follows: false,
        outbound: false,
        addrs: vec![addr(200)],
        revision: 0,
        capabilities: Capabilities::new(),
    }
}
pub(crate) fn joined(index: u64, term: u64, n: u64) -> Entry {
    Entry {
        index: Index(index),
        term: Term(term),
        change: Change::Joined { slot: Slot(n as u32), generation: Generation(1), info: member(n) },
    }
}
pub(crate) fn led(index: u64, term: u64, who: u64) -> Entry {
    Entry { index: Index(index), term: Term(term), change: Change::Led { identity: Identity(who) } }
}
/// A node under test with fake peers over streams.
pub(crate) struct Rig {
    pub(crate) node: Node,
    pub(crate) now: Time,
    pub(crate) readers: BTreeMap<ConnId, FrameReader>,
    pub(crate) got: Vec<(ConnId, Message)>,
    pub(crate) sent: Vec<(Dest, Vec<u8>)>,
    pub(crate) records: Vec<Record>,
    pub(crate) next: u64,
    pub(crate) auto_store: bool,
    pub(crate) events: Vec<Event>,
}
impl Rig {
    pub(crate) fn new(config: Config, start: Start, now: Time) -> Self {
        let node = Node::new(config, start, now);
        let mut r = Rig {
            node,
            now,
            readers: BTreeMap::new(),
            got: vec![],
            sent: vec![],
            records: vec![],
            next: 1,
            auto_store: true,
            events: vec![],
        };
        r.drain();
        r
    }
    pub(crate) fn drain(&mut self) {
        loop {
            let mut any = false;
            while let Some(w) = self.node.poll_store() {
                if w.replace {
                    self.records.clear();
                }
                self.records.extend(w.records);
                if self.auto_store {
                    self.node.handle_stored(self.now, w.seq);
                }
                any = true;
            }
            let mut buf = Vec::new();
            while let Some(d) = self.node.poll_transmit(&mut buf) {
                self.sent.push((d, buf.clone()));
            }
            while let Some(o) = self.node.poll_stream() {
                any = true;
                match o {
                    StreamOutput::Send(c, b) | StreamOutput::Bulk(c, b) => {
                        let r = self.readers.entry(c).or_default();
                        r.push(&b);
                        while let Ok(Some(m)) = r.next(tag()) {
                            self.got.push((c, m));
                        }
                    }
                    StreamOutput::Connect(c, _) => self.node.handle_stream(self.now, c, StreamInput::Failed),
                    StreamOutput::Close(c) => self.got.push((c, Message::Ping(0xdead))),
                }
            }
            while let Some(e) = self.node.poll_event() {
                self.events.push(e);
            }
            if !any {
                break;
            }
        }
    }
    pub(crate) fn run_to(&mut self, until: Time) {
        while let Some(t) = self.node.poll_timeout() {
            if t > until {
                break;
            }
            self.now = t.max(self.now);
            self.node.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }
    pub(crate) fn connect(&mut self, i: MemberInfo, lineage: u64, term: u64) -> ConnId {
        let c = ConnId(self.next);
        self.next += 2;
        self.node.handle_stream(self.now, c, StreamInput::Accepted(i.addrs[0]));
        self.send(
            c,
            Message::Hello(Hello {
                convention: CONV.into(),
                lineage: Lineage(lineage),
                parents: vec![],
                term: Term(term),
                info: i,
            }),
        );
        c
    }
    pub(crate) fn send(&mut self, c: ConnId, m: Message) {
        let mut b = BytesMut::new();
        encode_message(&m, tag(), &mut b);
        self.node.handle_stream(self.now, c, StreamInput::Bytes(&b));
        self.drain();
    }
    pub(crate) fn datagram(&mut self, from: std::net::SocketAddr, lane: Lane, d: &Datagram) {
        let mut b = Vec::new();
        encode_datagram(d, tag(), &mut b);
        self.node.handle_datagram(self.now, from, lane, &b);
        self.drain();
    }
    pub(crate) fn take(&mut self) -> Vec<(ConnId, Message)> {
        std::mem::take(&mut self.got)
    }
}
pub(crate) fn start(seed: u64, i: u16, restored: Option<Restored>) -> Start {
    Start { seed, wall_clock_us: 1, addrs: vec![addr(i + 1)], durable: true, restored }
}
