use super::super::{Config, Founding, StreamInput, StreamOutput};
use super::*;
use crate::types::{ConventionId, Seat, Standing, Term, member};
use crate::wire::encode_message;
use bytes::BytesMut;

const TAG: u32 = 7;

fn info(id: &str, incarnation: u64) -> MemberInfo {
    MemberInfo {
        incarnation: Incarnation(incarnation),
        identity: Identity(incarnation),
        standing: Standing::Candidate,
        addrs: vec!["10.0.0.9:9".parse().unwrap()],
        ..member::tests::info(id)
    }
}

fn hello(id: &str, incarnation: u64) -> Hello {
    Hello {
        convention: "site".into(),
        lineage: Lineage::ZERO,
        parents: vec![],
        term: Term::ZERO,
        info: info(id, incarnation),
    }
}

/// Node a with its peers, and what it wanted of its streams.
struct Rig {
    peers: Peers,
    out: Outbox,
    told: Vec<PeerEvent>,
}

impl Rig {
    fn new() -> Self {
        let (site, id) = (ConventionId::new("site").unwrap(), NodeId::new("a").unwrap());
        let config = Config::builder(site, id).candidate().found(Founding::Expect(2)).build().unwrap();
        Self { peers: Peers::new(hello("a", 1), &config, Time::ZERO), out: Outbox::new(TAG, false), told: Vec::new() }
    }

    /// Feeds one input; returns what was dialled for it.
    fn feed(&mut self, conn: u64, input: StreamInput<'_>) -> Vec<u64> {
        let (now, conn, mut told) = (Time::from_micros(1_000), ConnId(conn), Vec::new());
        self.peers.handle(now, conn, input, &mut self.out, &mut told);
        while !told.is_empty() {
            self.told.append(&mut told);
            self.peers.frames(now, conn, &mut self.out, &mut told);
        }
        std::iter::from_fn(|| self.out.poll_stream())
            .filter_map(|out| if let StreamOutput::Connect(conn, _) = out { Some(conn.0) } else { None })
            .collect()
    }

    /// The incarnations of its own that a has told over a connection since it was asked last.
    fn told_over(&mut self, conn: u64) -> Vec<u64> {
        let mut reader = crate::wire::FrameReader::new();
        while let Some(out) = self.out.poll_stream() {
            if let StreamOutput::Send(c, bytes) = out
                && c.0 == conn
            {
                reader.push(&bytes);
            }
        }
        std::iter::from_fn(|| reader.next(TAG).unwrap())
            .filter_map(|m| if let Message::Hello(hello) = m { Some(hello.info.incarnation.0) } else { None })
            .collect()
    }

    fn greet(&mut self, conn: u64, incarnation: u64) -> Vec<u64> {
        self.hear(conn, hello("b", incarnation))
    }

    fn hear(&mut self, conn: u64, hello: Hello) -> Vec<u64> {
        let mut bytes = BytesMut::new();
        encode_message(&Message::Hello(hello), TAG, &mut bytes);
        self.feed(conn, StreamInput::Bytes(&bytes))
    }

    /// The incarnations of b that are proven dead.
    fn dead(&self) -> Vec<u64> {
        let dead = |e: &PeerEvent| if let PeerEvent::Dead { incarnation, .. } = e { Some(incarnation.0) } else { None };
        self.told.iter().filter_map(dead).collect()
    }

    /// b's first incarnation was connected, its second one is: a dials to learn whether the first is dead.
    fn succeeded() -> (Self, u64) {
        let mut rig = Self::new();
        let accepted = StreamInput::Accepted("10.0.0.9:1".parse().unwrap());
        rig.feed(1, accepted);
        rig.greet(1, 1);
        rig.feed(3, accepted);
        let dialled = rig.greet(3, 2);
        assert_eq!(dialled.len(), 1, "a new incarnation's word alone proves nothing about the old one");
        assert_eq!(rig.dead(), []);
        let proof = dialled[0];
        assert_eq!(rig.feed(proof, StreamInput::Connected), []);
        (rig, proof)
    }
}

/// The other end takes each dial for a new connection and closes the one before: two ends that go on dialling because
/// of it never keep one.
#[test]
fn a_connection_replaced_by_the_dial_of_a_proof_begins_no_other() {
    let (mut rig, proof) = Rig::succeeded();
    assert_eq!(rig.feed(3, StreamInput::Closed), [], "the answer to the dial that stands decides");
    assert_eq!(rig.greet(proof, 2), []);
    assert_eq!(rig.dead(), [1]);
    assert_eq!(rig.peers.ready().map(|(_, c)| c.0).collect::<Vec<_>>(), [proof]);
}

#[test]
fn one_proof_serves_both_incarnations() {
    let (mut rig, proof) = Rig::succeeded();
    assert_eq!(rig.feed(3, StreamInput::Closed), []);
    let again = rig.feed(proof, StreamInput::Closed);
    assert_eq!(again.len(), 1, "the connection may have been taken by a process that was about to die");
    assert_eq!(rig.dead(), []);
    rig.feed(again[0], StreamInput::Refused);
    assert_eq!(rig.dead(), [1, 2]);
}

/// What a dial from before the end of a connection finds out is no evidence about that end.
#[test]
fn a_dial_from_before_proves_nothing() {
    let mut rig = Rig::new();
    let accepted = StreamInput::Accepted("10.0.0.9:1".parse().unwrap());
    rig.feed(1, accepted);
    rig.greet(1, 1);
    rig.feed(3, accepted);
    let early = rig.greet(3, 2)[0];
    let fresh = rig.feed(3, StreamInput::Closed);
    assert_eq!(fresh.len(), 1);
    rig.feed(early, StreamInput::Refused);
    assert_eq!(rig.dead(), []);
    rig.feed(fresh[0], StreamInput::Refused);
    assert_eq!(rig.dead(), [1, 2]);
}

/// The refusal comes from something in front of the process, so it says nothing about it.
#[test]
fn who_says_that_refusal_proves_nothing_is_not_proven_dead() {
    let mut rig = Rig::new();
    rig.feed(1, StreamInput::Accepted("10.0.0.9:1".parse().unwrap()));
    let mut mapped = hello("b", 1);
    mapped.info.provable = false;
    rig.hear(1, mapped);
    assert_eq!(rig.feed(1, StreamInput::Closed), []);
    assert_eq!(rig.dead(), []);
}

/// Its own address changes between its Hello and the answer to it: the other end would go on with the old one for good.
#[test]
fn who_was_greeted_and_has_not_answered_learns_what_changed() {
    let mut rig = Rig::new();
    rig.peers.note(Time::ZERO, &info("b", 1), Lineage::ZERO, true);
    rig.peers.tick(Time::from_micros(500), &mut rig.out, &mut rig.told);
    let dialled = std::iter::from_fn(|| rig.out.poll_stream()).find_map(|out| match out {
        StreamOutput::Connect(conn, _) => Some(conn),
        _ => None,
    });
    let conn = dialled.unwrap();
    rig.peers.handle(Time::from_micros(1_000), conn, StreamInput::Connected, &mut rig.out, &mut rig.told);
    assert_eq!(rig.told_over(conn.0), [1]);
    rig.peers.introduce(hello("a", 2), &mut rig.out);
    assert_eq!(rig.told_over(conn.0), [2]);
}

/// A host that can't be reached keeps a dial waiting; who is heard to listen elsewhere meanwhile is dialled there.
#[test]
fn a_dial_to_an_address_that_was_left_is_given_up() {
    let mut rig = Rig::new();
    let (now, elsewhere): (_, SocketAddr) = (Time::from_micros(1_000), "10.0.0.9:10".parse().unwrap());
    rig.peers.note(now, &info("b", 1), Lineage::ZERO, true);
    let streams = |rig: &mut Rig, now| {
        rig.peers.tick(now, &mut rig.out, &mut rig.told);
        std::iter::from_fn(|| rig.out.poll_stream()).collect::<Vec<_>>()
    };
    let first = streams(&mut rig, now);
    let [StreamOutput::Connect(old, _)] = first[..] else { panic!("{first:?}") };
    let second = MemberInfo { addrs: vec![elsewhere], ..info("b", 2) };
    rig.peers.note(now, &second, Lineage::ZERO, true);
    let then = streams(&mut rig, now);
    let [StreamOutput::Close(closed), StreamOutput::Connect(_, to)] = then[..] else { panic!("{then:?}") };
    assert_eq!((closed, to), (old, elsewhere));
}

/// A suspect that led again was heard for seconds, and not connected: its host tried the dial that was begun while it was
/// cut off ever more seldom (all, 60 s, seed 100064).
#[test]
fn a_suspect_that_is_heard_is_dialled_anew() {
    let mut rig = Rig::new();
    rig.feed(1, StreamInput::Accepted("10.0.0.9:1".parse().unwrap()));
    rig.greet(1, 1);
    let dialled = rig.feed(1, StreamInput::Closed);
    assert_eq!(dialled.len(), 1, "is it dead?");
    let b = NodeId::new("b").unwrap();
    let heard = |rig: &mut Rig, at_ms: u64| {
        rig.peers.heard(Time::from_micros(at_ms * 1_000), &b, &mut rig.out);
        std::iter::from_fn(|| rig.out.poll_stream()).collect::<Vec<_>>()
    };
    assert_eq!(heard(&mut rig, 2), [], "it was dialled just now");
    let again = heard(&mut rig, 10_000);
    let [StreamOutput::Close(old), StreamOutput::Connect(new, _)] = again[..] else { panic!("{again:?}") };
    assert_eq!(old.0, dialled[0]);
    rig.feed(old.0, StreamInput::Refused);
    assert_eq!(rig.dead(), [], "of the dial that was given up nothing counts");
    rig.feed(new.0, StreamInput::Refused);
    assert_eq!(rig.dead(), [1]);
}

fn seat(id: &str, identity: u64, incarnation: u64) -> Seat {
    let MemberInfo { id, addrs, .. } = info(id, incarnation);
    let (identity, incarnation) = (Identity(identity), Incarnation(incarnation));
    let (priority, admitted, witness, durable, voting, slot) = (0, 0, false, false, true, crate::types::Slot(0));
    Seat { id, identity, incarnation, priority, admitted, witness, durable, voting, slot, addrs }
}

/// What was proven of a process at one address says nothing of the same voter at its next one.
#[test]
fn a_voter_that_lives_on_elsewhere_is_not_gone() {
    let (mut rig, proof) = Rig::succeeded();
    rig.feed(3, StreamInput::Closed);
    rig.greet(proof, 2);
    assert_eq!(rig.dead(), [1]);
    let replaced = |rig: &Rig, identity, incarnation| {
        rig.peers.get(&info("b", 1).id).unwrap().replaced(&seat("b", identity, incarnation), true)
    };
    assert!(replaced(&rig, 1, 1));
    assert!(!replaced(&rig, 1, 2), "a later incarnation of that voter");
    assert!(!replaced(&rig, 2, 2), "the one that is there");
    assert!(!replaced(&rig, 3, 1), "another one");
}

/// The former voter of a node's own id is proven gone by the node itself, at the address that is recorded of it.
#[test]
fn the_former_voter_of_the_own_id_is_gone_once_its_address_refuses() {
    let mut rig = Rig::new();
    let former = seat("a", 5, 0);
    let dial = |rig: &mut Rig, seat: &Seat| {
        rig.peers.prove(Time::from_micros(1_000), seat, &mut rig.out);
        let dialled = |out| if let StreamOutput::Connect(conn, _) = out { Some(conn.0) } else { None };
        std::iter::from_fn(|| rig.out.poll_stream()).filter_map(dialled).collect::<Vec<_>>()
    };
    assert_eq!(dial(&mut rig, &seat("a", 1, 1)), [], "it is this node");
    assert_eq!(dial(&mut rig, &former), [], "it listened where this node does");
    let former = Seat { addrs: vec!["10.0.0.9:8".parse().unwrap()], ..former };
    let conn = dial(&mut rig, &former)[0];
    assert!(!rig.peers.is_former(&former));
    rig.feed(conn, StreamInput::Failed);
    assert!(!rig.peers.is_former(&former), "nothing was learned");
    let conn = dial(&mut rig, &former)[0];
    rig.feed(conn, StreamInput::Refused);
    assert!(rig.peers.is_former(&former));
    assert_eq!(dial(&mut rig, &former), [], "it is known");
}

/// Who was demoted doesn't vote for anybody again, and those that recover needn't wait for it.
#[test]
fn the_process_itself_says_that_its_voter_is_no_more() {
    let mut rig = Rig::new();
    let accepted = StreamInput::Accepted("10.0.0.9:1".parse().unwrap());
    let plain = |incarnation| {
        let info = MemberInfo { standing: Standing::Member, ..info("b", incarnation) };
        Hello { info, ..hello("b", incarnation) }
    };
    let stepped_down = |rig: &Rig, identity, incarnation| {
        rig.peers.get(&info("b", 1).id).unwrap().has_stepped_down(&seat("b", identity, incarnation))
    };
    rig.peers.note(Time::ZERO, &info("b", 1), Lineage(7), true);
    rig.feed(1, accepted);
    rig.hear(1, plain(2));
    assert!(!stepped_down(&rig, 1, 1), "another process, which may have found a voter's store");
    rig.feed(3, accepted);
    rig.hear(3, plain(1));
    assert!(stepped_down(&rig, 1, 1));
    assert!(!stepped_down(&rig, 2, 1) && !stepped_down(&rig, 1, 2));
}

/// Anybody can say that it is there: that takes no place of those that a line names.
#[test]
fn many_that_only_seek_crowd_out_nobody_of_the_line() {
    let mut rig = Rig::new();
    rig.peers.note(Time::ZERO, &info("b", 1), Lineage(7), true);
    for n in 0..1_000 {
        rig.peers.note(Time::from_micros(n), &info(&format!("x{n}"), 1), Lineage(7), false);
    }
    let known = |rig: &Rig, id: &str| rig.peers.get(&NodeId::new(id).unwrap()).is_some();
    assert!(known(&rig, "b") && known(&rig, "x999") && !known(&rig, "x1"));
    for n in 0..100 {
        rig.peers.note(Time::from_micros(2_000 + n), &info(&format!("y{n}"), 1), Lineage(7), true);
    }
    assert!(!known(&rig, "x999") && known(&rig, "y99"));
}

#[test]
fn a_connection_belongs_to_one_node() {
    let mut rig = Rig::new();
    rig.feed(1, StreamInput::Accepted("10.0.0.9:1".parse().unwrap()));
    rig.greet(1, 1);
    rig.told.clear();
    rig.hear(1, hello("c", 1));
    let (b, c) = (NodeId::new("b").unwrap(), NodeId::new("c").unwrap());
    assert!(rig.told.iter().any(|e| matches!(e, PeerEvent::Down(id) if *id == b)), "{:?}", rig.told);
    assert!(rig.peers.conns.is_empty() && rig.peers.get(&b).unwrap().conn.is_none());
    assert!(rig.peers.get(&c).is_none_or(|c| c.conn.is_none()));
}

/// The address of b is another candidate's now: the dial was taken for one of b as long as that connection stood, and b was never
/// dialled again, nor its death ever proven.
#[test]
fn a_dial_that_another_answers_is_none_of_b() {
    let (mut rig, proof) = Rig::succeeded();
    let (_, other) = (rig.hear(proof, hello("c", 7)), NodeId::new("c").unwrap());
    assert!(rig.peers.get(&other).unwrap().conn == Some(ConnId(proof)));
    let b = rig.peers.get(&NodeId::new("b").unwrap()).unwrap();
    assert!(b.dialing != Some(ConnId(proof)) && b.suspect.is_none());
    rig.feed(proof, StreamInput::Closed);
    assert_eq!(rig.dead(), [0u64; 0]);
}
