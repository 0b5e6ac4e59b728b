//! The roll's entries, images and records to bytes and back. The layout stands in [`crate::wire`].

use super::asking::Ledger;
use super::asking_codec::{put_answered, put_begun, put_ledger, read_answered, read_begun, read_ledger, read_stage};
use super::broadcast::{MAX_BROADCAST, Said};
use super::broadcast_codec::{put_only_place, put_said, read_only_place, read_said};
use super::codec::{Body, Counter, Cursor, FixedOut, Sink, once, push_bounded, put_body, put_field, required};
use super::merger::MAX_ABSORBED;
use super::merger_codec::{put_conflict, put_merger, read_conflict, read_merger};
use super::parts::{
    flag, only_name, push_seat, put_capabilities, put_id, put_lineages, put_member, put_name, put_seat, put_seat_body,
    read_capabilities, read_id, read_lineages, read_member, read_seat, read_standing, standing_code, tag,
};
use super::reject::Reject;
use super::roll::{Change, Entry, Image, Promise, Record, SlotImage};
use crate::types::{
    Generation, Identity, Incarnation, Index, LeftReason, Line, Lineage, Name, NodeId, Position, Slot, Term,
};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeSet;

/// The numbers of changes.
mod change {
    pub(super) const LED: u8 = 1;
    pub(super) const JOINED: u8 = 2;
    pub(super) const UPDATED: u8 = 3;
    pub(super) const LEFT: u8 = 4;
    pub(super) const SEATED: u8 = 5;
    pub(super) const UNSEATED: u8 = 6;
    pub(super) const RETIRED: u8 = 10;
    pub(super) const RANKED: u8 = 11;
    pub(super) const RESTOOD: u8 = 12;
    pub(super) const CLAIMED: u8 = 20;
    pub(super) const RELEASED: u8 = 21;
    pub(super) const SAID: u8 = 40;
    pub(super) const ABSORBED: u8 = 50;
    pub(super) const CONFLICT: u8 = 51;
}

/// The numbers of a store's records.
mod record {
    pub(super) const PROMISE: u8 = 1;
    pub(super) const ENTRY: u8 = 2;
    pub(super) const IMAGE: u8 = 3;
}

const KEEP: u8 = 1;
const GRANTED: u8 = 1;
const SEALED: u8 = 2;

// Entries.

/// Writes an entry behind what is in `buf`: its index, its term, the number of its change, and the change.
pub fn encode_entry(entry: &Entry, buf: &mut BytesMut) {
    put_entry(buf, entry);
}

/// What an entry takes in a frame, in bytes, with the three bytes of its field's head.
#[must_use]
pub fn entry_len(entry: &Entry) -> usize {
    let mut counter = Counter::default();
    put_field(&mut counter, tag::ENTRY, |s| put_entry(s, entry));
    counter.0
}

pub(super) fn put_entry<S: Sink>(sink: &mut S, entry: &Entry) {
    sink.put(&entry.index.0.to_be_bytes());
    sink.put(&entry.term.0.to_be_bytes());
    let owner = |slot: &Slot, generation: &Generation| FixedOut::<8>::new().u32(slot.0).u16(generation.0);
    match &entry.change {
        Change::Led { identity } => {
            sink.put(&[change::LED]);
            put_body(sink, FixedOut::<8>::new().u64(identity.0));
        }
        Change::Joined { slot, generation, info } => {
            sink.put(&[change::JOINED]);
            put_body(sink, owner(slot, generation).spare(2));
            put_member(sink, info);
        }
        Change::Updated { slot, generation, revision, capabilities } => {
            sink.put(&[change::UPDATED]);
            put_body(sink, FixedOut::<12>::new().u32(slot.0).u16(generation.0).spare(2).u32(*revision));
            put_capabilities(sink, capabilities);
        }
        Change::Left { slot, generation, reason } => {
            let code = match reason {
                LeftReason::Left => 1,
                LeftReason::Crashed => 2,
                LeftReason::Silent => 3,
                LeftReason::Replaced => 4,
            };
            sink.put(&[change::LEFT]);
            put_body(sink, owner(slot, generation).u8(code).spare(1));
        }
        Change::Seated(seat) => {
            sink.put(&[change::SEATED]);
            put_seat_body(sink, seat);
        }
        Change::Unseated { id, identity, keep } => {
            sink.put(&[change::UNSEATED]);
            put_body(sink, FixedOut::<12>::new().u64(identity.0).u8(flag(*keep, KEEP)).spare(3));
            put_id(sink, id);
        }
        Change::Retired { id } => {
            sink.put(&[change::RETIRED]);
            put_body(sink, FixedOut::<0>::new());
            put_id(sink, id);
        }
        Change::Ranked { id, priority } => {
            sink.put(&[change::RANKED]);
            put_body(sink, FixedOut::<4>::new().i32(*priority));
            put_id(sink, id);
        }
        Change::Restood { slot, generation, revision, standing, identity } => {
            sink.put(&[change::RESTOOD]);
            let fixed = FixedOut::<20>::new().u32(slot.0).u16(generation.0).u8(standing_code(*standing)).spare(1);
            put_body(sink, fixed.u32(*revision).u64(identity.0));
        }
        Change::Claimed { slot, generation, name } => {
            sink.put(&[change::CLAIMED]);
            put_body(sink, owner(slot, generation).spare(2));
            put_name(sink, name);
        }
        Change::Released { slot, generation, name } => {
            sink.put(&[change::RELEASED]);
            put_body(sink, owner(slot, generation).spare(2));
            put_name(sink, name);
        }
        Change::Said { slot, generation, number, body } => {
            sink.put(&[change::SAID]);
            put_body(sink, FixedOut::<16>::new().u32(slot.0).u16(generation.0).spare(2).u64(*number));
            put_field(sink, tag::DATA, |s| s.put(body));
        }
        Change::Begun(begun) => {
            sink.put(&[Change::BEGUN]);
            put_begun(sink, begun);
        }
        Change::Answered(closed) => {
            sink.put(&[Change::ANSWERED]);
            put_answered(sink, closed);
        }
        Change::Absorbed(merger) => {
            sink.put(&[change::ABSORBED]);
            put_merger(sink, merger);
        }
        Change::Conflict { lineage, name, kept, lost } => {
            sink.put(&[change::CONFLICT]);
            put_conflict(sink, *lineage, name, kept, lost);
        }
        Change::Other { kind, body } => {
            sink.put(&[*kind]);
            sink.put(body);
        }
    }
}

/// Reads an entry that takes all of `bytes`.
///
/// # Errors
/// [`Reject::Malformed`] where the content breaks the layout or a bound. An unknown change is none: it is kept as
/// [`Change::Other`].
pub fn decode_entry(bytes: &[u8]) -> Result<Entry, Reject> {
    let mut c = Cursor(bytes);
    let (index, term, kind) = (Index(c.count()?), Term(c.count()?), c.u8()?);
    Ok(Entry { index, term, change: read_change(kind, c.0)? })
}

fn read_change(kind: u8, bytes: &[u8]) -> Result<Change, Reject> {
    match kind {
        change::LED => Ok(Change::Led { identity: Identity(Body::nested(bytes)?.fixed::<8>()?.u64()?) }),
        change::JOINED => read_joined(&Body::nested(bytes)?),
        change::UPDATED => read_updated(&Body::nested(bytes)?),
        change::LEFT => read_left(&Body::nested(bytes)?),
        change::SEATED => read_seat(bytes).map(Change::Seated),
        change::UNSEATED => read_unseated(&Body::nested(bytes)?),
        change::RETIRED => Ok(Change::Retired { id: read_only_id(&Body::nested(bytes)?)? }),
        change::RANKED => read_ranked(&Body::nested(bytes)?).map(|(id, priority)| Change::Ranked { id, priority }),
        change::RESTOOD => read_restood(&Body::nested(bytes)?),
        change::CLAIMED => read_claim(bytes).map(|(slot, generation, name)| Change::Claimed { slot, generation, name }),
        change::RELEASED => {
            read_claim(bytes).map(|(slot, generation, name)| Change::Released { slot, generation, name })
        }
        change::SAID => read_say(&Body::nested(bytes)?),
        // Of these plain members are told no more than that there are some.
        Change::BEGUN if !bytes.is_empty() => read_begun(bytes).map(Change::Begun),
        Change::ANSWERED if !bytes.is_empty() => read_answered(bytes).map(Change::Answered),
        change::ABSORBED => read_merger(bytes).map(Change::Absorbed),
        change::CONFLICT => read_conflict(bytes),
        // Copied: a slice would keep the whole frame that it came in.
        _ => Ok(Change::Other { kind, body: Bytes::copy_from_slice(bytes) }),
    }
}

fn read_joined(body: &Body<'_>) -> Result<Change, Reject> {
    let mut c = body.fixed::<8>()?;
    let (slot, generation) = (Slot(c.u32()?), Generation(c.u16()?));
    let (mut info, mut fields) = (None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == tag::MEMBER {
            once(&mut info, read_member(content)?)?;
        }
    }
    Ok(Change::Joined { slot, generation, info: required(info)? })
}

fn read_updated(body: &Body<'_>) -> Result<Change, Reject> {
    let mut c = body.fixed::<12>()?;
    let (slot, generation, _, revision) = (Slot(c.u32()?), Generation(c.u16()?), c.u16()?, c.u32()?);
    let (mut capabilities, mut fields) = (None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == tag::CAPABILITIES {
            once(&mut capabilities, read_capabilities(content)?)?;
        }
    }
    Ok(Change::Updated { slot, generation, revision, capabilities: required(capabilities)? })
}

fn read_left(body: &Body<'_>) -> Result<Change, Reject> {
    let mut c = body.fixed::<8>()?;
    let (slot, generation) = (Slot(c.u32()?), Generation(c.u16()?));
    let reason = match c.u8()? {
        1 => LeftReason::Left,
        2 => LeftReason::Crashed,
        3 => LeftReason::Silent,
        4 => LeftReason::Replaced,
        // Not `Other`: a voter that skips a departure would hold another roll than the rest.
        _ => return Err(Reject::Malformed),
    };
    Ok(Change::Left { slot, generation, reason })
}

fn read_unseated(body: &Body<'_>) -> Result<Change, Reject> {
    let mut c = body.fixed::<12>()?;
    let (identity, flags) = (Identity(c.u64()?), c.u8()?);
    let id = read_only_id(body)?;
    Ok(Change::Unseated { id, identity, keep: flags & KEEP != 0 })
}

fn read_ranked(body: &Body<'_>) -> Result<(NodeId, i32), Reject> {
    let priority = body.fixed::<4>()?.i32()?;
    Ok((read_only_id(body)?, priority))
}

fn read_restood(body: &Body<'_>) -> Result<Change, Reject> {
    let mut c = body.fixed::<20>()?;
    let (slot, generation, standing) = (Slot(c.u32()?), Generation(c.u16()?), read_standing(c.u8()?)?);
    let (_, revision, identity) = (c.u8()?, c.u32()?, Identity(c.u64()?));
    Ok(Change::Restood { slot, generation, revision, standing, identity })
}

fn read_claim(bytes: &[u8]) -> Result<(Slot, Generation, Name), Reject> {
    let body = Body::nested(bytes)?;
    let mut c = body.fixed::<8>()?;
    let (slot, generation) = (Slot(c.u32()?), Generation(c.u16()?));
    Ok((slot, generation, only_name(&body)?))
}

fn read_say(body: &Body<'_>) -> Result<Change, Reject> {
    let mut c = body.fixed::<16>()?;
    let (slot, generation, _, number) = (Slot(c.u32()?), Generation(c.u16()?), c.u16()?, c.count()?);
    let (mut data, mut fields) = (None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == tag::DATA {
            once(&mut data, content)?;
        }
    }
    let data = required(data)?;
    if data.len() > MAX_BROADCAST {
        return Err(Reject::Malformed);
    }
    Ok(Change::Said { slot, generation, number, body: Bytes::copy_from_slice(data) })
}

fn read_only_id(body: &Body<'_>) -> Result<NodeId, Reject> {
    let (mut id, mut fields) = (None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == tag::ID {
            once(&mut id, read_id(content)?)?;
        }
    }
    required(id)
}

// Images.

/// The bytes of a whole roll, as snapshots carry them in pieces.
#[must_use]
pub fn encode_image(image: &Image) -> Bytes {
    let mut buf = BytesMut::with_capacity(256 + 96 * (image.slots.len() + image.line.seats().len()));
    put_image(&mut buf, image);
    buf.freeze()
}

fn put_image<S: Sink>(sink: &mut S, image: &Image) {
    let fixed = FixedOut::<28>::new()
        .u64(image.lineage.0)
        .u64(image.position.term.0)
        .u64(image.position.index.0)
        .u32(image.line.version());
    put_body(sink, fixed);
    put_lineages(sink, &image.parents);
    for seat in image.line.seats() {
        put_seat(sink, seat);
    }
    for slot in &image.slots {
        put_field(sink, tag::SLOT, |s| {
            put_body(s, FixedOut::<4>::new().u16(slot.generation.0).spare(2));
            if let Some(info) = &slot.info {
                put_member(s, info);
            }
            put_only_place(s, tag::SINCE, slot.since);
        });
    }
    for (id, incarnation) in &image.departed {
        put_field(sink, tag::DEPARTED, |s| {
            put_body(s, FixedOut::<8>::new().u64(incarnation.0));
            put_id(s, id);
        });
    }
    for id in &image.retired {
        put_field(sink, tag::RETIRED, |s| {
            put_body(s, FixedOut::<0>::new());
            put_id(s, id);
        });
    }
    for (id, priority) in &image.ranked {
        put_field(sink, tag::RANKED, |s| {
            put_body(s, FixedOut::<4>::new().i32(*priority));
            put_id(s, id);
        });
    }
    for (name, slot) in &image.names {
        put_field(sink, tag::NAMED, |s| {
            put_body(s, FixedOut::<4>::new().u32(slot.0));
            put_name(s, name);
        });
    }
    put_only_place(sink, tag::SINCE, image.said_before);
    image.said.iter().for_each(|said| put_said(sink, said));
    for (slot, number) in &image.speakers {
        put_field(sink, tag::SPEAKER, |s| put_body(s, FixedOut::<16>::new().u32(slot.0).spare(4).u64(*number)));
    }
    for ledger in &image.requests {
        put_ledger(sink, ledger);
    }
    for merger in &image.absorbed {
        put_field(sink, tag::MERGER, |s| put_merger(s, merger));
    }
}

/// Reads a whole roll that takes all of `bytes`. No id may stand twice among its seats or among its members, and each name
/// once, in order, with the slot of a member; ledgers likewise.
///
/// # Errors
/// [`Reject::Malformed`] where the content breaks the layout or a bound.
pub fn decode_image(bytes: &[u8]) -> Result<Image, Reject> {
    let body = Body::nested(bytes)?;
    let mut c = body.fixed::<28>()?;
    let lineage = Lineage(c.u64()?);
    let position = Position { term: Term(c.count()?), index: Index(c.count()?) };
    let line_version = c.u32()?;
    let (mut parents, mut seats, mut slots, mut departed) = (None, Vec::new(), Vec::new(), Vec::new());
    let mut absorbed = Vec::new();
    let (mut retired, mut ranked, mut names, mut requests) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut said_before, mut said, mut speakers) = (None, Vec::new(), Vec::new());
    let mut fields = body.fields();
    // The lists grow by what was read, each element from bytes that are there, never by a number that was claimed.
    while let Some((tag, content)) = fields.next()? {
        match tag {
            tag::LINEAGES => once(&mut parents, read_lineages(content)?)?,
            tag::SEAT => push_seat(&mut seats, read_seat(content)?)?,
            tag::SLOT => slots.push(read_slot(content)?),
            tag::DEPARTED => departed.push(read_departed(content)?),
            tag::RETIRED => retired.push(read_only_id(&Body::nested(content)?)?),
            tag::RANKED => ranked.push(read_ranked(&Body::nested(content)?)?),
            tag::NAMED => names.push(read_named(&Body::nested(content)?)?),
            tag::SINCE => once(&mut said_before, read_only_place(content)?)?,
            tag::SAID => said.push(read_said(content)?),
            tag::SPEAKER => speakers.push(read_speaker(&Body::nested(content)?)?),
            tag::LEDGER => requests.push(read_ledger(content)?),
            tag::STAGE => read_stage(content, &mut requests)?,
            tag::MERGER => push_bounded(&mut absorbed, read_merger(content)?, MAX_ABSORBED)?,
            _ => {}
        }
    }
    let mut ids = BTreeSet::new();
    if !slots.iter().filter_map(|s| s.info.as_ref()).all(|info| ids.insert(&info.id)) {
        return Err(Reject::Malformed);
    }
    let owned = |slot: &Slot| slots.get(slot.0 as usize).is_some_and(|s: &SlotImage| s.info.is_some());
    if !names.is_sorted_by(|(a, _), (b, _)| a < b) || !names.iter().all(|(_, slot)| owned(slot)) {
        return Err(Reject::Malformed);
    }
    let spoke = speakers.is_sorted_by(|(a, _), (b, _)| a < b) && speakers.iter().all(|(slot, _)| owned(slot));
    let said_before = said_before.unwrap_or_default();
    if !spoke || !follow_each_other(said_before, &said) {
        return Err(Reject::Malformed);
    }
    if !requests.is_sorted_by(|a, b| a.slot < b.slot) || !requests.iter().all(|ledger| owned(&ledger.slot)) {
        return Err(Reject::Malformed);
    }
    let (parents, line) = (parents.unwrap_or_default(), Line::new(line_version, seats));
    Ok(Image {
        lineage,
        parents,
        position,
        line,
        slots,
        departed,
        retired,
        ranked,
        names,
        absorbed,
        said_before,
        said,
        speakers,
        requests,
    })
}

/// True where broadcasts are whole, and in their order without a gap.
fn follow_each_other(before: Position, said: &[Said]) -> bool {
    let mut last = before;
    said.iter().all(|s| {
        let next = last.index.next() == Some(s.place.index) && last.term <= s.place.term;
        last = s.place;
        next && s.offset == 0 && s.data.len() == s.total as usize
    })
}

fn read_speaker(body: &Body<'_>) -> Result<(Slot, u64), Reject> {
    let mut c = body.fixed::<16>()?;
    let (slot, _, number) = (Slot(c.u32()?), c.u32()?, c.count()?);
    Ok((slot, number))
}

fn read_named(body: &Body<'_>) -> Result<(Name, Slot), Reject> {
    let slot = Slot(body.fixed::<4>()?.u32()?);
    Ok((only_name(body)?, slot))
}

fn read_slot(bytes: &[u8]) -> Result<SlotImage, Reject> {
    let body = Body::nested(bytes)?;
    let generation = Generation(body.fixed::<4>()?.u16()?);
    let (mut info, mut since, mut fields) = (None, None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        match tag {
            tag::MEMBER => once(&mut info, read_member(content)?)?,
            tag::SINCE => once(&mut since, read_only_place(content)?)?,
            _ => {}
        }
    }
    Ok(SlotImage { generation, info, since: since.unwrap_or_default() })
}

fn read_departed(bytes: &[u8]) -> Result<(NodeId, Incarnation), Reject> {
    let body = Body::nested(bytes)?;
    let incarnation = Incarnation(body.fixed::<8>()?.count()?);
    Ok((read_only_id(&body)?, incarnation))
}

// Records.

/// Writes a store's record behind what is in `buf`.
pub fn encode_record(record: &Record, buf: &mut BytesMut) {
    match record {
        Record::Promise(promise) => {
            buf.put(&[record::PROMISE]);
            let fixed = FixedOut::<52>::new()
                .u64(promise.identity.0)
                .u64(promise.incarnation.0)
                .u64(promise.lineage.0)
                .u64(promise.term.0)
                .u64(promise.granted.unwrap_or_default().0)
                .u64(promise.seen.0)
                .u8(flag(promise.granted.is_some(), GRANTED) | flag(promise.sealed, SEALED))
                .spare(3);
            put_body(buf, fixed);
            if let Some(founder) = promise.founder {
                put_field(buf, tag::FOUNDER, |s| put_body(s, FixedOut::<8>::new().u64(founder.0)));
                promise.party.iter().for_each(|seat| put_seat(buf, seat));
            }
            if promise.former != Lineage::ZERO {
                put_lineages(buf, &[promise.former]);
            }
        }
        Record::Entry(entry) => {
            buf.put(&[record::ENTRY]);
            put_entry(buf, entry);
        }
        Record::Image(image) => {
            buf.put(&[record::IMAGE]);
            put_image(buf, image);
        }
    }
}

/// Reads a store's record that takes all of `bytes`.
///
/// # Errors
/// [`Reject::UnknownKind`] for a record of a newer version, [`Reject::Truncated`] where there is nothing, and
/// [`Reject::Malformed`] where the content breaks the layout or a bound.
pub fn decode_record(bytes: &[u8]) -> Result<Record, Reject> {
    let (kind, rest) = bytes.split_first().ok_or(Reject::Truncated)?;
    match *kind {
        record::PROMISE => read_promise(rest).map(Record::Promise),
        record::ENTRY => decode_entry(rest).map(Record::Entry),
        record::IMAGE => decode_image(rest).map(Record::Image),
        unknown => Err(Reject::UnknownKind(unknown)),
    }
}

fn read_promise(bytes: &[u8]) -> Result<Promise, Reject> {
    let body = Body::nested(bytes)?;
    let mut c = body.fixed::<52>()?;
    let (identity, incarnation) = (Identity(c.u64()?), Incarnation(c.count()?));
    let (lineage, term) = (Lineage(c.u64()?), Term(c.count()?));
    let (granted, seen, flags) = (Identity(c.u64()?), Term(c.count()?), c.u8()?);
    let (mut founder, mut party, mut former) = (None, Vec::new(), None);
    let mut fields = body.fields();
    while let Some((tag, content)) = fields.next()? {
        match tag {
            tag::FOUNDER => once(&mut founder, Identity(Body::nested(content)?.fixed::<8>()?.u64()?))?,
            tag::SEAT => push_seat(&mut party, read_seat(content)?)?,
            tag::LINEAGES => once(&mut former, read_lineages(content)?)?,
            _ => {}
        }
    }
    if founder.is_none() && !party.is_empty() {
        return Err(Reject::Malformed);
    }
    let former = former.and_then(|lineages| lineages.first().copied()).unwrap_or_default();
    let (granted, sealed) = ((flags & GRANTED != 0).then_some(granted), flags & SEALED != 0);
    Ok(Promise { identity, incarnation, lineage, term, granted, seen, founder, party, former, sealed })
}

// Digests.

/// A number that tells different bytes apart and is the same on every machine. It protects nothing.
#[must_use]
pub fn digest(bytes: &[u8]) -> u64 {
    let mix = |state: u64, word: u64| {
        let product = (state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        product ^ (product >> 29)
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let state = words.iter().fold(bytes.len() as u64, |state, word| mix(state, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(mix(state, u64::from_le_bytes(last)), 0x6a09_e667_f3bc_c909)
}

/// The [`digest`] of an entry's bytes.
#[must_use]
pub fn entry_digest(entry: &Entry) -> u64 {
    let mut buf = BytesMut::with_capacity(128);
    put_entry(&mut buf, entry);
    digest(&buf)
}

/// The [`digest`] of an image's bytes.
#[must_use]
pub fn image_digest(image: &Image) -> u64 {
    digest(&encode_image(image))
}

/// The [`digest`] of what is kept of requests.
#[must_use]
pub fn ledgers_digest(ledgers: &[Ledger]) -> u64 {
    let mut buf = BytesMut::new();
    ledgers.iter().for_each(|ledger| put_ledger(&mut buf, ledger));
    digest(&buf)
}
