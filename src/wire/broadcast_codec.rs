//! Broadcasts to bytes and back. The layout stands in [`crate::wire`].

use super::broadcast::{BROADCAST_PIECE, Broadcast, BroadcastRecord, MAX_BROADCAST, Said, Unheard};
use super::codec::{Body, Counter, Cursor, FixedOut, PADDING, Sink, once, put_body, put_field, required};
use super::frame::{self, CHECKSUM, HEADER, MAX_DATAGRAM};
use super::parts::{position, put_id, read_id, read_position, tag as field};
use super::reject::Reject;
use crate::types::{Generation, Incarnation, Index, Lineage, Position, Slot, Term};
use bytes::{Bytes, BytesMut};

/// The most bytes that the broadcasts in one [`Broadcast`] may take, by [`said_len`].
pub const MAX_SAID_BYTES: usize = MAX_DATAGRAM - HEADER - 56 - CHECKSUM;

/// The second byte of each kind.
pub(super) mod kind {
    pub(in crate::wire) const BROADCAST: u8 = 50;
    pub(in crate::wire) const UNHEARD: u8 = 51;
}

/// What stands in a record between a sender and a leader.
mod what {
    pub(super) const SAY: u8 = 1;
    pub(super) const HEARD: u8 = 2;
}

/// A place alone in a field.
pub(super) fn put_only_place<S: Sink>(sink: &mut S, tag: u8, place: Position) {
    if place != Position::default() {
        put_field(sink, tag, |s| s.put(&position(FixedOut::<16>::new(), place).done()));
    }
}

pub(super) fn read_only_place(bytes: &[u8]) -> Result<Position, Reject> {
    let mut c = Cursor(bytes);
    let place = read_position(&mut c)?;
    if c.0.is_empty() { Ok(place) } else { Err(Reject::Malformed) }
}

pub(super) fn put_said<S: Sink>(sink: &mut S, said: &Said) {
    put_field(sink, field::SAID, |s| {
        let fixed = position(FixedOut::<40>::new(), said.place).u64(said.incarnation.0).u64(said.number);
        put_body(s, fixed.u32(said.offset).u32(said.total));
        put_id(s, &said.from);
        put_field(s, field::DATA, |s| s.put(&said.data));
    });
}

/// What a broadcast, or a piece of one, takes in a frame, in bytes.
#[must_use]
pub fn said_len(said: &Said) -> usize {
    let mut counter = Counter::default();
    put_said(&mut counter, said);
    counter.0
}

pub(super) fn read_said(bytes: &[u8]) -> Result<Said, Reject> {
    let body = Body::nested(bytes)?;
    let mut c = body.fixed::<40>()?;
    let (place, incarnation, number) = (read_position(&mut c)?, Incarnation(c.count()?), c.count()?);
    let (offset, total) = (c.u32()?, c.u32()?);
    let (mut from, mut data, mut fields) = (None, None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        match tag {
            field::ID => once(&mut from, read_id(content)?)?,
            field::DATA => once(&mut data, content)?,
            _ => {}
        }
    }
    let data = required(data)?;
    if total as usize > MAX_BROADCAST || offset as usize + data.len() > total as usize || place.index == Index::ZERO {
        return Err(Reject::Malformed);
    }
    let data = Bytes::copy_from_slice(data);
    Ok(Said { place, from: required(from)?, incarnation, number, offset, total, data })
}

/// True where a broadcast in a datagram is a piece as they are cut.
fn is_piece(said: &Said) -> bool {
    let (offset, total) = (said.offset as usize, said.total as usize);
    let rest = total.saturating_sub(offset).min(BROADCAST_PIECE);
    offset.is_multiple_of(BROADCAST_PIECE) && said.data.len() == rest && (rest > 0 || offset == 0)
}

pub(super) fn put_broadcast(d: &Broadcast, tag: u32, buf: &mut Vec<u8>) {
    let fixed = FixedOut::<56>::new().u64(d.nonce).u64(d.lineage.0).u64(d.term.0);
    frame::begin(buf, kind::BROADCAST, tag, position(position(fixed, d.prev), d.newest));
    d.said.iter().for_each(|said| put_said(buf, said));
}

pub(super) fn broadcast(body: &Body<'_>) -> Result<Broadcast, Reject> {
    let mut c = body.fixed::<56>()?;
    let (nonce, lineage, term) = (c.u64()?, Lineage(c.u64()?), Term(c.count()?));
    let (prev, newest) = (read_position(&mut c)?, read_position(&mut c)?);
    let (mut said, mut fields): (Vec<Said>, _) = (Vec::new(), body.fields());
    // As many as one frame holds.
    while let Some((tag, content)) = fields.next()? {
        if tag == field::SAID {
            let next = read_said(content)?;
            let fits = match said.last() {
                None => next.place > prev,
                Some(last) if last.place == next.place => {
                    last.total == next.total && last.offset as usize + last.data.len() == next.offset as usize
                }
                Some(last) => {
                    last.offset as usize + last.data.len() == last.total as usize
                        && next.offset == 0
                        && last.place.term <= next.place.term
                        && last.place.index.next() == Some(next.place.index)
                }
            };
            if !fits || !is_piece(&next) || next.place > newest {
                return Err(Reject::Malformed);
            }
            said.push(next);
        }
    }
    Ok(Broadcast { nonce, lineage, term, prev, newest, said })
}

pub(super) fn put_unheard(d: &Unheard, tag: u32, buf: &mut Vec<u8>) {
    let fixed = position(FixedOut::<44>::new().u64(d.nonce).u64(d.lineage.0), d.after);
    frame::begin(buf, kind::UNHEARD, tag, fixed.u32(d.slot.0).u16(d.generation.0).spare(2).u32(d.offset));
    buf.resize(MAX_DATAGRAM - CHECKSUM, PADDING);
}

pub(super) fn unheard(body: &Body<'_>) -> Result<Unheard, Reject> {
    let mut c = body.fixed::<44>()?;
    let (nonce, lineage, after) = (c.u64()?, Lineage(c.u64()?), read_position(&mut c)?);
    let (slot, generation, _, offset) = (Slot(c.u32()?), Generation(c.u16()?), c.u16()?, c.u32()?);
    Ok(Unheard { nonce, lineage, after, slot, generation, offset })
}

/// The body of a record between a sender of broadcasts and a leader.
#[must_use]
pub fn encode_broadcast_record(record: &BroadcastRecord) -> Bytes {
    let mut buf = BytesMut::with_capacity(64);
    match record {
        BroadcastRecord::Say { incarnation, number, before, body } => {
            debug_assert!(body.len() <= MAX_BROADCAST, "a broadcast of {} bytes", body.len());
            let fixed = FixedOut::<28>::new().u8(what::SAY).spare(3).u64(incarnation.0).u64(*number).u64(*before);
            put_body(&mut buf, fixed);
            put_field(&mut buf, field::DATA, |s| s.put(body));
        }
        BroadcastRecord::Heard { incarnation, number, refused } => {
            let fixed = FixedOut::<28>::new().u8(what::HEARD).spare(3).u64(incarnation.0).u64(*number).u64(*refused);
            put_body(&mut buf, fixed);
        }
    }
    buf.freeze()
}

/// Reads what a sender of broadcasts and a leader tell each other.
///
/// # Errors
/// [`Reject::UnknownKind`] for what a newer version says, [`Reject::Malformed`] where the content breaks the layout or a
/// bound.
pub fn decode_broadcast_record(bytes: &[u8]) -> Result<BroadcastRecord, Reject> {
    let body = Body::nested(bytes)?;
    let mut c = body.fixed::<28>()?;
    let (what, _, incarnation) = (c.u8()?, c.bytes(3)?, Incarnation(c.count()?));
    let (number, other) = (c.count()?, c.count()?);
    match what {
        what::SAY => {
            let (mut data, mut fields) = (None, body.fields());
            while let Some((tag, content)) = fields.next()? {
                if tag == field::DATA {
                    once(&mut data, content)?;
                }
            }
            let data = required(data)?;
            if data.len() > MAX_BROADCAST || number == 0 || other >= number {
                return Err(Reject::Malformed);
            }
            Ok(BroadcastRecord::Say { incarnation, number, before: other, body: Bytes::copy_from_slice(data) })
        }
        what::HEARD => Ok(BroadcastRecord::Heard { incarnation, number, refused: other }),
        unknown => Err(Reject::UnknownKind(unknown)),
    }
}
