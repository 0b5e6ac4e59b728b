//! Requests to the leader, in the roll and on their way, to bytes and back. The layout stands in [`crate::wire`].

use super::asking::{
    Answer, Begun, Closed, Ledger, Lost, MAX_ANSWER, Opened, Outcome, REQUEST_WINDOW, Request, Response, Stage,
};
use super::codec::{Body, Cursor, FixedOut, MAX_COUNT, PADDING, Sink, once, put_body, put_field, required};
use super::parts::{flag, tag};
use super::reject::Reject;
use crate::types::{Generation, Incarnation, Lineage, Slot};
use bytes::{Bytes, BytesMut};

const AGAIN: u8 = 1;
const LATE: u8 = 1;

/// What came of a request; zero stands for "not yet".
mod code {
    pub(super) const BEGUN: u8 = 0;
    pub(super) const LATER: u8 = 0;
    pub(super) const ANSWERED: u8 = 1;
}

fn outcome_code(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Answered(_) => code::ANSWERED,
        Outcome::Unknown(Lost::Gone) => 2,
        Outcome::Unknown(Lost::Forgotten) => 3,
        Outcome::Unknown(Lost::NotGiven) => 4,
        Outcome::Unknown(Lost::NotKept) => 5,
        Outcome::Unknown(Lost::Other(code)) => *code,
    }
}

/// What a code other than zero means. The answer is there where there is one.
fn outcome(code: u8, answer: Option<Bytes>) -> Result<Outcome, Reject> {
    let lost = match code {
        code::ANSWERED => return required(answer).map(Outcome::Answered),
        2 => Lost::Gone,
        3 => Lost::Forgotten,
        4 => Lost::NotGiven,
        5 => Lost::NotKept,
        other => Lost::Other(other),
    };
    if answer.is_some() { Err(Reject::Malformed) } else { Ok(Outcome::Unknown(lost)) }
}

fn put_answer<S: Sink>(sink: &mut S, outcome: &Outcome) {
    if let Outcome::Answered(body) = outcome {
        put_field(sink, tag::DATA, |s| s.put(body));
    }
}

/// The only answer among the fields, where there is one. Copied: a slice would keep the whole frame.
fn read_answer(body: &Body<'_>) -> Result<Option<Bytes>, Reject> {
    let (mut answer, mut fields) = (None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == tag::DATA {
            if content.len() > MAX_ANSWER {
                return Err(Reject::Malformed);
            }
            once(&mut answer, Bytes::copy_from_slice(content))?;
        }
    }
    Ok(answer)
}

/// The number of a request, which is never zero.
fn number(c: &mut Cursor<'_>) -> Result<u64, Reject> {
    let n = c.count()?;
    if n == 0 { Err(Reject::Malformed) } else { Ok(n) }
}

// Changes of the roll.

pub(super) fn put_begun<S: Sink>(sink: &mut S, begun: &Begun) {
    put_body(sink, FixedOut::<8>::new().u32(begun.slot.0).u16(begun.generation.0).spare(2));
    for opened in &begun.opened {
        put_field(sink, tag::OPENED, |s| {
            let fixed = FixedOut::<16>::new().u32(opened.slot.0).u16(opened.generation.0).spare(2);
            put_body(s, fixed.u64(opened.below));
            if !opened.numbers.is_empty() {
                put_field(s, tag::NUMBERS, |s| {
                    for number in &opened.numbers {
                        s.put(&(number.saturating_sub(opened.below) as u16).to_be_bytes());
                    }
                });
            }
        });
    }
}

pub(super) fn read_begun(bytes: &[u8]) -> Result<Begun, Reject> {
    let body = Body::nested(bytes)?;
    let mut c = body.fixed::<8>()?;
    let (slot, generation) = (Slot(c.u32()?), Generation(c.u16()?));
    let (mut opened, mut fields) = (Vec::new(), body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == tag::OPENED {
            opened.push(read_opened(&Body::nested(content)?)?);
        }
    }
    Ok(Begun { slot, generation, opened })
}

fn read_opened(body: &Body<'_>) -> Result<Opened, Reject> {
    let mut c = body.fixed::<16>()?;
    let (slot, generation, _) = (Slot(c.u32()?), Generation(c.u16()?), c.u16()?);
    let below = number(&mut c)?;
    let (mut numbers, mut fields) = (None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == tag::NUMBERS {
            once(&mut numbers, read_numbers(below, content)?)?;
        }
    }
    Ok(Opened { slot, generation, below, numbers: numbers.unwrap_or_default() })
}

fn read_numbers(below: u64, bytes: &[u8]) -> Result<Vec<u64>, Reject> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let offsets = pairs.iter().map(|pair| u64::from(u16::from_be_bytes(*pair)));
    let numbers: Vec<u64> = offsets.map(|offset| below + offset).collect();
    let last = numbers.last().copied().unwrap_or(below);
    let fits = last < below + REQUEST_WINDOW && last <= MAX_COUNT;
    if rest.is_empty() && fits && numbers.is_sorted_by(|a, b| a < b) { Ok(numbers) } else { Err(Reject::Malformed) }
}

pub(super) fn put_answered<S: Sink>(sink: &mut S, closed: &[Closed]) {
    put_body(sink, FixedOut::<0>::new());
    for closed in closed {
        put_field(sink, tag::CLOSED, |s| {
            let code = outcome_code(&closed.outcome);
            let fixed = FixedOut::<16>::new().u32(closed.slot.0).u16(closed.generation.0).u8(code).spare(1);
            put_body(s, fixed.u64(closed.number));
            put_answer(s, &closed.outcome);
        });
    }
}

pub(super) fn read_answered(bytes: &[u8]) -> Result<Vec<Closed>, Reject> {
    let body = Body::nested(bytes)?;
    let (mut all, mut fields) = (Vec::new(), body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == tag::CLOSED {
            let body = Body::nested(content)?;
            let mut c = body.fixed::<16>()?;
            let (slot, generation, code, _) = (Slot(c.u32()?), Generation(c.u16()?), c.u8()?, c.u8()?);
            let number = number(&mut c)?;
            if code == code::BEGUN {
                return Err(Reject::Malformed);
            }
            all.push(Closed { slot, generation, number, outcome: outcome(code, read_answer(&body)?)? });
        }
    }
    Ok(all)
}

// The image.

pub(super) fn put_ledger<S: Sink>(sink: &mut S, ledger: &Ledger) {
    put_field(sink, tag::LEDGER, |s| put_body(s, FixedOut::<12>::new().u32(ledger.slot.0).u64(ledger.below)));
    for (number, stage) in &ledger.requests {
        put_field(sink, tag::STAGE, |s| {
            let (code, slot, generation) = match stage {
                Stage::Begun(slot, generation) => (code::BEGUN, *slot, *generation),
                Stage::Done(outcome) => (outcome_code(outcome), Slot(0), Generation(0)),
            };
            put_body(s, FixedOut::<16>::new().u64(*number).u32(slot.0).u16(generation.0).u8(code).spare(1));
            if let Stage::Done(outcome) = stage {
                put_answer(s, outcome);
            }
        });
    }
}

pub(super) fn read_ledger(bytes: &[u8]) -> Result<Ledger, Reject> {
    let mut c = Body::nested(bytes)?.fixed::<12>()?;
    Ok(Ledger { slot: Slot(c.u32()?), below: number(&mut c)?, requests: Vec::new() })
}

/// The next request of the last ledger.
pub(super) fn read_stage(bytes: &[u8], ledgers: &mut [Ledger]) -> Result<(), Reject> {
    let body = Body::nested(bytes)?;
    let mut c = body.fixed::<16>()?;
    let (number, slot, generation, code) = (number(&mut c)?, Slot(c.u32()?), Generation(c.u16()?), c.u8()?);
    let ledger = ledgers.last_mut().ok_or(Reject::Malformed)?;
    let before = ledger.requests.last().map_or(ledger.below.saturating_sub(1), |(n, _)| *n);
    if number <= before || number >= ledger.below + REQUEST_WINDOW {
        return Err(Reject::Malformed);
    }
    let stage = if code == code::BEGUN {
        Stage::Begun(slot, generation)
    } else {
        Stage::Done(outcome(code, read_answer(&body)?)?)
    };
    ledger.requests.push((number, stage));
    Ok(())
}

// Records.

fn head<const N: usize>(fixed: FixedOut<N>, body: &[u8]) -> Bytes {
    let mut buf = BytesMut::with_capacity(N + 2 + body.len());
    put_body(&mut buf, fixed);
    // There are no fields: what follows is the body, to the end.
    buf.put(&[PADDING]);
    buf.put(body);
    buf.freeze()
}

/// What follows the fields: a slice of the record.
fn rest(record: &Bytes, body: &Body<'_>) -> Result<Bytes, Reject> {
    let mut fields = body.fields();
    while fields.next()?.is_some() {}
    Ok(record.slice(record.len() - fields.rest().len()..))
}

/// The record of a request.
#[must_use]
pub fn encode_request(request: &Request) -> Bytes {
    let fixed = FixedOut::<36>::new()
        .u64(request.lineage.0)
        .u64(request.incarnation.0)
        .u64(request.number)
        .u64(request.below)
        .u8(flag(request.again, AGAIN))
        .spare(3);
    head(fixed, &request.body)
}

/// Reads the record of a request; its body is a slice of it.
///
/// # Errors
/// [`Reject::Malformed`] where it breaks the layout or a bound.
pub fn decode_request(record: &Bytes) -> Result<Request, Reject> {
    let body = Body::nested(record)?;
    let mut c = body.fixed::<36>()?;
    let (lineage, incarnation, n) = (Lineage(c.u64()?), Incarnation(c.count()?), c.count()?);
    let below = number(&mut c)?;
    let again = c.u8()? & AGAIN != 0;
    if n != 0 && !again && !(below..below + REQUEST_WINDOW).contains(&n) {
        return Err(Reject::Malformed);
    }
    Ok(Request { lineage, incarnation, number: n, below, again, body: rest(record, &body)? })
}

/// The record of an answer.
#[must_use]
pub fn encode_answer(answer: &Answer) -> Bytes {
    let (code, body) = match &answer.said {
        Response::Later => (code::LATER, &[][..]),
        Response::Done(outcome) => match outcome {
            Outcome::Answered(body) => (code::ANSWERED, &body[..]),
            Outcome::Unknown(_) => (outcome_code(outcome), &[][..]),
        },
    };
    let (slot, generation) = answer.late.unwrap_or_default();
    let fixed = FixedOut::<32>::new()
        .u64(answer.lineage.0)
        .u64(answer.incarnation.0)
        .u64(answer.number)
        .u32(slot.0)
        .u16(generation.0)
        .u8(code)
        .u8(flag(answer.late.is_some(), LATE));
    head(fixed, body)
}

/// Reads the record of an answer; its body is a slice of it.
///
/// # Errors
/// [`Reject::Malformed`] where it breaks the layout or a bound.
pub fn decode_answer(record: &Bytes) -> Result<Answer, Reject> {
    let body = Body::nested(record)?;
    let mut c = body.fixed::<32>()?;
    let (lineage, incarnation) = (Lineage(c.u64()?), Incarnation(c.count()?));
    let number = number(&mut c)?;
    let (slot, generation, code, flags) = (Slot(c.u32()?), Generation(c.u16()?), c.u8()?, c.u8()?);
    let late = (flags & LATE != 0).then_some((slot, generation));
    let answer = rest(record, &body)?;
    let said = match code {
        code::LATER if late.is_some() || !answer.is_empty() => return Err(Reject::Malformed),
        code::LATER => Response::Later,
        code::ANSWERED if late.is_some() && answer.len() > MAX_ANSWER => return Err(Reject::Malformed),
        _ => Response::Done(outcome(code, (code == code::ANSWERED || !answer.is_empty()).then_some(answer))?),
    };
    Ok(Answer { lineage, incarnation, number, late, said })
}
