//! However a stream is cut on its way, the node does the same: a session up to some point, then the same bytes to two copies
//! of the node, once in one piece and once in many. What both give out, and what they are afterwards, must be equal.

use super::*;

/// The most frames of the stream.
const FRAMES: u8 = 12;

/// How far such a session came, for tests of the sessions themselves.
#[derive(Debug, Default, Clone, Copy)]
#[allow(unreachable_pub)] // The fuzzer has this file in a library.
pub struct Compared {
    /// The bytes of the stream.
    pub bytes: usize,
    /// Datagrams, frames, records and events that came of it.
    pub outputs: usize,
}

/// All that a node gives out, and what can be seen of it. Pieces to one stream that follow each other are one.
#[derive(Debug, PartialEq)]
struct Outcome {
    datagrams: Vec<(Dest, Vec<u8>)>,
    streams: Vec<(ConnId, Said)>,
    records: Vec<Record>,
    events: Vec<Event>,
    timeout: Option<Time>,
    role: Role,
    term: (Lineage, Term),
    roll: (Index, Position, u64),
    incarnation: Incarnation,
}

#[derive(Debug, PartialEq)]
enum Said {
    Connect(SocketAddr),
    Bytes(Vec<u8>),
    Close,
}

impl Outcome {
    fn of(node: &mut Node) -> Self {
        let (mut datagrams, mut buf) = (Vec::new(), Vec::new());
        while let Some(dest) = node.poll_transmit(&mut buf) {
            datagrams.push((dest, buf.clone()));
        }
        let mut streams = streams(node);
        let mut records = Vec::new();
        while let Some(write) = node.poll_store() {
            records.extend(write.records);
        }
        let events = std::iter::from_fn(|| node.poll_event()).collect();
        // Messages that were taken are acknowledged.
        streams.extend(self::streams(node));
        Self {
            datagrams,
            streams,
            records,
            events,
            timeout: node.poll_timeout(),
            role: node.role(),
            term: (node.lineage(), node.term()),
            roll: (node.commit_index(), node.position(), node.roll_digest()),
            incarnation: node.incarnation(),
        }
    }

    fn outputs(&self) -> usize {
        self.datagrams.len() + self.streams.len() + self.records.len() + self.events.len()
    }
}

fn streams(node: &mut Node) -> Vec<(ConnId, Said)> {
    let mut said: Vec<(ConnId, Said)> = Vec::new();
    while let Some(output) = node.poll_stream() {
        match output {
            StreamOutput::Connect(conn, to) => said.push((conn, Said::Connect(to))),
            StreamOutput::Close(conn) => said.push((conn, Said::Close)),
            StreamOutput::Send(conn, new) | StreamOutput::Bulk(conn, new) => match said.last_mut() {
                Some((last, Said::Bytes(bytes))) if *last == conn => bytes.extend_from_slice(&new),
                _ => said.push((conn, Said::Bytes(new.to_vec()))),
            },
        }
    }
    said
}

/// Runs the session that these bytes are.
///
/// # Panics
/// Where it makes a difference how the stream is cut.
#[allow(unreachable_pub)] // As above.
pub fn run(bytes: &[u8]) -> Compared {
    let mut session = Session::new(Input(bytes));
    session.drain();
    let (operations, known, cuts) = (session.input.below(64), session.input.yes(), session.input.take(4).to_vec());
    for _ in 0..operations {
        session.operation();
        session.drain();
    }
    let stands = |session: &Session<'_>, conn| session.conns.get(&conn).is_some_and(|c: &Conn| c.open);
    let picked = session.pick_conn().filter(|conn| known && stands(&session, *conn));
    let mut stream = Vec::new();
    let conn = picked.unwrap_or_else(|| {
        let conn = session.accept();
        let (info, lineage, term, parents) = (session.info_(), session.lineage_(), session.term_(), session.parents_());
        session.put_rightly(
            &Message::Hello(Hello { convention: "fuzz".into(), lineage, parents, term, info }),
            &mut stream,
        );
        conn
    });
    session.drain();
    if !stands(&session, conn) {
        return Compared::default();
    }
    for _ in 0..=session.input.below(FRAMES) {
        let message = session.a_message();
        session.put_rightly(&message, &mut stream);
    }
    if session.input.yes() {
        let n = session.input.u8().into();
        stream.extend_from_slice(session.input.take(n));
    }
    let (now, mut whole, mut cut) = (session.now, session.node.clone(), session.node);
    whole.handle_stream(now, conn, StreamInput::Bytes(&stream));
    let mut turn = cuts.iter().cycle();
    let mut rest = &stream[..];
    while !rest.is_empty() {
        let n = turn.next().map_or(1, |n| usize::from(*n)).clamp(1, rest.len());
        cut.handle_stream(now, conn, StreamInput::Bytes(&rest[..n]));
        rest = &rest[n..];
    }
    let (whole, cut) = (Outcome::of(&mut whole), Outcome::of(&mut cut));
    assert!(whole == cut, "in one piece:\n{whole:#?}\nin pieces of {cuts:?} bytes:\n{cut:#?}");
    Compared { bytes: stream.len(), outputs: whole.outputs() }
}

impl Session<'_> {
    /// Adds a message to a stream, changed now and then: mostly the whole of it is to be heard.
    fn put_rightly(&mut self, message: &Message, stream: &mut Vec<u8>) {
        if self.input.below(8) == 7 {
            self.put(message, stream);
        } else {
            let mut buf = BytesMut::new();
            encode_message(message, self.tag, &mut buf);
            stream.extend_from_slice(&buf);
        }
    }

    /// Adds a message to a stream, changed quite often.
    pub(super) fn put(&mut self, message: &Message, stream: &mut Vec<u8>) {
        let mut buf = BytesMut::new();
        encode_message(message, self.tag, &mut buf);
        let mut frame = buf.to_vec();
        self.change(&mut frame, 4);
        let len = (frame.len() - 4) as u32;
        frame[..4].copy_from_slice(&len.to_be_bytes());
        stream.extend_from_slice(&frame);
    }
}
