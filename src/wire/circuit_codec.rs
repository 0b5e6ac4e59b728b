//! Circuits and asks to bytes and back. The layout stands in [`crate::wire`].

use super::circuit::{Answered, Ask, AskPart, Call, CallOutcome, Carried, Circuit, HangUp, More, Ring};
use super::codec::{Body, FixedOut, PADDING, Sink, once, put_body, put_field, required};
use super::datagram::{Note, View};
use super::datagram_codec::{note, put_note};
use super::frame::{self, MAX_PIECE};
use super::message::Message;
use super::parts::{
    flag, put_capabilities, put_id, put_sender, put_view, read_capabilities, read_id, read_sender, read_view,
    tag as field,
};
use super::reject::Reject;
use crate::types::{Incarnation, Lineage};
use bytes::{Bytes, BytesMut};

/// The second byte of each kind.
pub(super) mod kind {
    pub(in crate::wire) const CALL: u8 = 150;
    pub(in crate::wire) const RING: u8 = 151;
    pub(in crate::wire) const ANSWERED: u8 = 152;
    pub(in crate::wire) const CARRIED: u8 = 153;
    pub(in crate::wire) const MORE: u8 = 154;
    pub(in crate::wire) const HANG_UP: u8 = 155;
    pub(in crate::wire) const LEADS: u8 = 156;
    pub(in crate::wire) const NOTE: u8 = 157;
}

const BY_RELAY: u8 = 1;

/// All of a frame but its length and its checksum.
pub(super) fn put_circuit(circuit: &Circuit, tag: u32, buf: &mut BytesMut) {
    match circuit {
        Circuit::Call(c) => {
            frame::begin(buf, kind::CALL, tag, FixedOut::<16>::new().u64(c.number).u64(c.lineage.0));
            put_id(buf, &c.id);
        }
        Circuit::Ring(c) => {
            let fixed = FixedOut::<24>::new().u64(c.number).u64(c.lineage.0).u64(c.credit);
            frame::begin(buf, kind::RING, tag, fixed);
            put_sender(buf, &c.from);
        }
        Circuit::Answered(c) => {
            let code = match c.outcome {
                CallOutcome::Taken => 1,
                CallOutcome::DialledBack => 2,
                CallOutcome::NotHere => 3,
                CallOutcome::Busy => 4,
                CallOutcome::Refused => 5,
                CallOutcome::Other(code) => code,
            };
            let fixed = FixedOut::<20>::new().u64(c.number).u64(c.credit).u8(code).u8(flag(c.relay, BY_RELAY));
            frame::begin(buf, kind::ANSWERED, tag, fixed.spare(2));
        }
        Circuit::Carried(c) => {
            debug_assert!((1..=MAX_PIECE).contains(&c.data.len()), "{} bytes are carried", c.data.len());
            let fixed = FixedOut::<12>::new().u64(c.number).u8(flag(c.relay, BY_RELAY)).spare(3);
            frame::begin(buf, kind::CARRIED, tag, fixed);
            put_field(buf, field::DATA, |s| s.put(&c.data));
        }
        Circuit::More(c) => {
            frame::begin(buf, kind::MORE, tag, FixedOut::<16>::new().u64(c.number).u64(c.credit));
        }
        Circuit::HangUp(c) => {
            let fixed = FixedOut::<12>::new().u64(c.number).u8(flag(c.relay, BY_RELAY)).spare(3);
            frame::begin(buf, kind::HANG_UP, tag, fixed);
        }
    }
}

/// Who leads, told over a connection.
pub(super) fn put_leads(view: &View, tag: u32, buf: &mut BytesMut) {
    // How much of a line fits is measured from the beginning of a frame.
    let mut whole = BytesMut::new();
    frame::begin(&mut whole, kind::LEADS, tag, FixedOut::<0>::new());
    put_view(&mut whole, view);
    buf.put(&whole);
}

pub(super) fn put_stream_note(d: &Note, tag: u32, buf: &mut BytesMut) {
    put_note(d, kind::NOTE, tag, buf);
}

/// What a frame of these kinds means; nothing where it is none of them.
pub(super) fn decode(kind: u8, body: &Body<'_>, frame: &Bytes) -> Result<Option<Message>, Reject> {
    let circuit = match kind {
        kind::CALL => Circuit::Call(call(body)?),
        kind::RING => Circuit::Ring(ring(body)?),
        kind::ANSWERED => Circuit::Answered(answered(body)?),
        kind::CARRIED => Circuit::Carried(carried(body, frame)?),
        kind::MORE => {
            let mut c = body.fixed::<16>()?;
            Circuit::More(More { number: c.count()?, credit: c.count()? })
        }
        kind::HANG_UP => {
            let mut c = body.fixed::<12>()?;
            Circuit::HangUp(HangUp { number: c.count()?, relay: c.u8()? & BY_RELAY != 0 })
        }
        kind::LEADS => return leads(body).map(|view| Some(Message::Leads(view))),
        kind::NOTE => return note(body).map(|note| Some(Message::Note(note))),
        _ => return Ok(None),
    };
    Ok(Some(Message::Circuit(circuit)))
}

fn call(body: &Body<'_>) -> Result<Call, Reject> {
    let mut c = body.fixed::<16>()?;
    let (number, lineage) = (c.count()?, Lineage(c.u64()?));
    let (mut id, mut fields) = (None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == field::ID {
            once(&mut id, read_id(content)?)?;
        }
    }
    Ok(Call { number, lineage, id: required(id)? })
}

fn ring(body: &Body<'_>) -> Result<Ring, Reject> {
    let mut c = body.fixed::<24>()?;
    let (number, lineage, credit) = (c.count()?, Lineage(c.u64()?), c.count()?);
    let (mut from, mut fields) = (None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == field::SENDER {
            once(&mut from, read_sender(content)?)?;
        }
    }
    Ok(Ring { number, lineage, credit, from: required(from)? })
}

fn answered(body: &Body<'_>) -> Result<Answered, Reject> {
    let mut c = body.fixed::<20>()?;
    let (number, credit, code, flags) = (c.count()?, c.count()?, c.u8()?, c.u8()?);
    let outcome = match code {
        1 => CallOutcome::Taken,
        2 => CallOutcome::DialledBack,
        3 => CallOutcome::NotHere,
        4 => CallOutcome::Busy,
        5 => CallOutcome::Refused,
        other => CallOutcome::Other(other),
    };
    Ok(Answered { number, relay: flags & BY_RELAY != 0, outcome, credit })
}

fn carried(body: &Body<'_>, frame: &Bytes) -> Result<Carried, Reject> {
    let mut c = body.fixed::<12>()?;
    let (number, flags) = (c.count()?, c.u8()?);
    let (mut data, mut fields) = (None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == field::DATA {
            once(&mut data, frame.slice_ref(content))?;
        }
    }
    let data = required(data)?;
    if data.is_empty() || data.len() > MAX_PIECE {
        return Err(Reject::Malformed);
    }
    Ok(Carried { number, relay: flags & BY_RELAY != 0, data })
}

fn leads(body: &Body<'_>) -> Result<View, Reject> {
    let (mut view, mut fields) = (None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == field::VIEW {
            once(&mut view, read_view(content)?)?;
        }
    }
    required(view)
}

// Asks.

const QUESTION: u8 = 1;
const REPLY: u8 = 2;
const NOT_MINE: u8 = 3;
const BUSY: u8 = 4;

/// The most bytes that an ask's record has besides what the embedder says.
pub const ASK_COST: usize = 1 + 20 + 3 + 2 + 64 + 255 + 1;

/// Writes the body of a record.
#[must_use]
pub fn encode_ask(ask: &Ask) -> Bytes {
    let nothing = Bytes::new();
    let (what, wanted, body) = match &ask.what {
        AskPart::Question(wanted, body) => (QUESTION, Some(wanted), body),
        AskPart::Reply(body) => (REPLY, None, body),
        AskPart::NotMine => (NOT_MINE, None, &nothing),
        AskPart::Busy => (BUSY, None, &nothing),
    };
    let mut buf = BytesMut::with_capacity(ASK_COST + body.len());
    put_body(&mut buf, FixedOut::<20>::new().u64(ask.number).u64(ask.incarnation.0).u8(what).spare(3));
    if let Some(wanted) = wanted {
        put_capabilities(&mut buf, wanted);
    }
    // The fields end here; the rest is what the embedder says.
    buf.put(&[PADDING]);
    buf.put(body);
    buf.freeze()
}

/// What the body of a record says.
///
/// # Errors
/// [`Reject`] where it says nothing that this version knows.
pub fn decode_ask(bytes: &Bytes) -> Result<Ask, Reject> {
    let body = Body::nested(bytes)?;
    let mut c = body.fixed::<20>()?;
    let (number, incarnation, what) = (c.count()?, Incarnation(c.count()?), c.u8()?);
    let (mut wanted, mut fields) = (None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == field::CAPABILITIES {
            once(&mut wanted, read_capabilities(content)?)?;
        }
    }
    let says = bytes.slice_ref(fields.rest());
    let what = match what {
        QUESTION => {
            let wanted = required(wanted)?;
            if wanted.iter().len() != 1 {
                return Err(Reject::Malformed);
            }
            AskPart::Question(wanted, says)
        }
        REPLY => AskPart::Reply(says),
        NOT_MINE => AskPart::NotMine,
        BUSY => AskPart::Busy,
        other => return Err(Reject::UnknownKind(other)),
    };
    Ok(Ask { number, incarnation, what })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::types::Capabilities;
    use proptest::prelude::*;

    fn wanted(key: &str, value: &str) -> Capabilities {
        let mut wanted = Capabilities::new();
        wanted.set(key, value).unwrap();
        wanted
    }

    #[test]
    fn asks_come_back_as_they_were() {
        let says = Bytes::from_static(b"\0what?");
        let parts = [
            AskPart::Question(wanted("source", "yes"), says.clone()),
            AskPart::Question(wanted(&"k".repeat(64), &"v".repeat(255)), Bytes::new()),
            AskPart::Reply(says),
            AskPart::Reply(Bytes::new()),
            AskPart::NotMine,
            AskPart::Busy,
        ];
        for what in parts {
            let ask = Ask { number: 7, incarnation: Incarnation(8), what };
            let bytes = encode_ask(&ask);
            assert!(bytes.len() <= ASK_COST + 6, "{} bytes", bytes.len());
            assert_eq!(decode_ask(&bytes), Ok(ask));
        }
    }

    #[test]
    fn a_question_wants_one_capability() {
        let mut two = wanted("a", "1");
        two.set("b", "2").unwrap();
        let ask = Ask { number: 7, incarnation: Incarnation(8), what: AskPart::Question(two, Bytes::new()) };
        assert_eq!(decode_ask(&encode_ask(&ask)), Err(Reject::Malformed));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_ask(&bytes.into());
        }
    }
}
