//! What two lineages say that become one, to bytes and back. The layout stands in [`crate::wire`].

use super::codec::{Body, Cursor, FixedOut, Sink, once, put_body, put_field, required};
use super::datagram::Absorbed;
use super::frame::{self, MAX_PIECE};
use super::merger::{Bequest, BequestReply, Ended, MAX_RUNS, Merger, Offer, Run};
use super::parts::{
    flag, position, push_seat, put_id, put_lineages, put_name, put_seat, put_view, read_id, read_lineages, read_name,
    read_position, read_seat, read_view, tag as field,
};
use super::reject::Reject;
use super::roll::Change;
use crate::types::{Generation, Lineage, Name, NodeId, Slot, Term, VoterTag};
use bytes::{Bytes, BytesMut};

/// The second byte of each kind of datagram and of frame.
pub(super) mod kind {
    pub(in crate::wire) const ABSORBED: u8 = 33;
    pub(in crate::wire) const OFFER: u8 = 94;
    pub(in crate::wire) const BEQUEST: u8 = 95;
    pub(in crate::wire) const BEQUEST_REPLY: u8 = 96;
    pub(in crate::wire) const ENDED: u8 = 97;
}

const ASKS: u8 = 1;
const VOID: u8 = 1;

pub(super) fn put_absorbed(d: &Absorbed, tag: u32, buf: &mut Vec<u8>) {
    debug_assert!(d.runs.len() <= MAX_RUNS, "{} runs", d.runs.len());
    let fixed = position(FixedOut::<36>::new().u64(d.lineage.0).u64(d.term.0), d.since).u16(d.generation.0).spare(2);
    frame::begin(buf, kind::ABSORBED, tag, fixed);
    put_field(buf, field::RUNS, |s| {
        for run in &d.runs {
            for n in [run.old.0, run.count, run.new.0] {
                s.put(&n.to_be_bytes());
            }
            s.put(&run.generation.0.to_be_bytes());
        }
    });
    put_view(buf, &d.view);
}

pub(super) fn absorbed(body: &Body<'_>) -> Result<Absorbed, Reject> {
    let mut c = body.fixed::<36>()?;
    let (lineage, term) = (Lineage(c.u64()?), Term(c.count()?));
    let since = read_position(&mut c)?;
    let generation = Generation(c.u16()?);
    let (mut runs, mut view, mut fields) = (None, None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        match tag {
            field::RUNS => once(&mut runs, read_runs(content)?)?,
            field::VIEW => once(&mut view, read_view(content)?)?,
            _ => {}
        }
    }
    Ok(Absorbed { lineage, term, generation, since, runs: required(runs)?, view: required(view)? })
}

fn read_runs(bytes: &[u8]) -> Result<Vec<Run>, Reject> {
    let (runs, rest) = bytes.as_chunks::<14>();
    if !rest.is_empty() || runs.len() > MAX_RUNS {
        return Err(Reject::Malformed);
    }
    let run = |bytes: &[u8; 14]| {
        let mut c = Cursor(bytes);
        Ok(Run { old: Slot(c.u32()?), count: c.u32()?, new: Slot(c.u32()?), generation: Generation(c.u16()?) })
    };
    runs.iter().map(run).collect()
}

pub(super) fn put_offer(m: &Offer, tag: u32, buf: &mut BytesMut) {
    let fixed = FixedOut::<28>::new().u64(m.lineage.0).u64(m.term.0).u32(m.candidates).u32(m.number);
    frame::begin(buf, kind::OFFER, tag, fixed.u8(flag(m.asks, ASKS)).spare(3));
}

pub(super) fn offer(body: &Body<'_>) -> Result<Offer, Reject> {
    let mut c = body.fixed::<28>()?;
    let (lineage, term) = (Lineage(c.u64()?), Term(c.count()?));
    let (candidates, number) = (c.u32()?, c.u32()?);
    Ok(Offer { lineage, term, candidates, number, asks: c.u8()? & ASKS != 0 })
}

pub(super) fn put_bequest(m: &Bequest, tag: u32, buf: &mut BytesMut) {
    debug_assert!(m.data.len() <= MAX_PIECE, "a piece of {} bytes", m.data.len());
    let fixed = FixedOut::<56>::new().u64(m.lineage.0).u64(m.into.0).u64(m.term.0).u64(m.position.term.0);
    let fixed = fixed.u64(m.position.index.0).u32(m.number).u32(m.candidates).u32(m.offset).u32(m.total);
    frame::begin(buf, kind::BEQUEST, tag, fixed);
    put_field(buf, field::DATA, |s| s.put(&m.data));
}

pub(super) fn bequest(body: &Body<'_>, frame: &Bytes) -> Result<Bequest, Reject> {
    let mut c = body.fixed::<56>()?;
    let (lineage, into, term) = (Lineage(c.u64()?), Lineage(c.u64()?), Term(c.count()?));
    let position = read_position(&mut c)?;
    let (number, candidates, offset, total) = (c.u32()?, c.u32()?, c.u32()?, c.u32()?);
    let (mut data, mut fields) = (None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == field::DATA {
            once(&mut data, frame.slice_ref(content))?;
        }
    }
    let data = required(data)?;
    if u64::from(offset) + data.len() as u64 > u64::from(total) || data.len() > MAX_PIECE {
        return Err(Reject::Malformed);
    }
    Ok(Bequest { lineage, into, term, position, number, candidates, offset, total, data })
}

pub(super) fn put_bequest_reply(m: &BequestReply, tag: u32, buf: &mut BytesMut) {
    let fixed = FixedOut::<28>::new().u64(m.lineage.0).u64(m.into.0).u32(m.number).u32(m.offset);
    frame::begin(buf, kind::BEQUEST_REPLY, tag, fixed.u8(flag(m.void, VOID)).spare(3));
}

pub(super) fn bequest_reply(body: &Body<'_>) -> Result<BequestReply, Reject> {
    let mut c = body.fixed::<28>()?;
    let (lineage, into, number, offset) = (Lineage(c.u64()?), Lineage(c.u64()?), c.u32()?, c.u32()?);
    Ok(BequestReply { lineage, into, number, offset, void: c.u8()? & VOID != 0 })
}

pub(super) fn put_ended(m: &Ended, tag: u32, buf: &mut BytesMut) {
    let fixed = FixedOut::<76>::new().u64(m.lineage.0).u64(m.into.0).u64(m.term.0);
    let fixed = position(position(fixed, m.since), m.upto)
        .u32(m.leader.0)
        .u32(m.line_version)
        .u32(m.number)
        .u32(m.base.0)
        .u16(m.generation.0)
        .spare(2);
    frame::begin(buf, kind::ENDED, tag, fixed);
    put_lineages(buf, &m.parents);
    m.seats.iter().for_each(|seat| put_seat(buf, seat));
}

pub(super) fn ended(body: &Body<'_>) -> Result<Ended, Reject> {
    let mut c = body.fixed::<76>()?;
    let (lineage, into, term) = (Lineage(c.u64()?), Lineage(c.u64()?), Term(c.count()?));
    let (since, upto) = (read_position(&mut c)?, read_position(&mut c)?);
    let (leader, line_version, number) = (VoterTag(c.u32()?), c.u32()?, c.u32()?);
    let (base, generation) = (Slot(c.u32()?), Generation(c.u16()?));
    let (mut parents, mut seats, mut fields) = (None, Vec::new(), body.fields());
    while let Some((tag, content)) = fields.next()? {
        match tag {
            field::LINEAGES => once(&mut parents, read_lineages(content)?)?,
            field::SEAT => push_seat(&mut seats, read_seat(content)?)?,
            _ => {}
        }
    }
    let parents = parents.unwrap_or_default();
    Ok(Ended { lineage, into, parents, term, leader, line_version, number, base, generation, since, upto, seats })
}

pub(super) fn put_merger<S: Sink>(sink: &mut S, m: &Merger) {
    let fixed = FixedOut::<60>::new().u64(m.lineage.0).u64(m.term.0);
    let fixed = position(position(fixed, m.since), m.upto).u32(m.base.0);
    put_body(sink, fixed.u16(m.generation.0).spare(2).u32(m.count));
}

pub(super) fn read_merger(bytes: &[u8]) -> Result<Merger, Reject> {
    let mut c = Body::nested(bytes)?.fixed::<60>()?;
    let (lineage, term) = (Lineage(c.u64()?), Term(c.count()?));
    let (since, upto) = (read_position(&mut c)?, read_position(&mut c)?);
    let base = Slot(c.u32()?);
    let (generation, _, count) = (Generation(c.u16()?), c.u16()?, c.u32()?);
    Ok(Merger { lineage, term, base, generation, since, upto, count })
}

pub(super) fn put_conflict<S: Sink>(sink: &mut S, lineage: Lineage, name: &Name, kept: &NodeId, lost: &NodeId) {
    put_body(sink, FixedOut::<8>::new().u64(lineage.0));
    put_name(sink, name);
    put_id(sink, kept);
    put_field(sink, field::LOSER, |s| s.put(lost.as_str().as_bytes()));
}

pub(super) fn read_conflict(bytes: &[u8]) -> Result<Change, Reject> {
    let body = Body::nested(bytes)?;
    let lineage = Lineage(body.fixed::<8>()?.u64()?);
    let (mut name, mut kept, mut lost, mut fields) = (None, None, None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        match tag {
            field::NAME => once(&mut name, read_name(content)?)?,
            field::ID => once(&mut kept, read_id(content)?)?,
            field::LOSER => once(&mut lost, read_id(content)?)?,
            _ => {}
        }
    }
    Ok(Change::Conflict { lineage, name: required(name)?, kept: required(kept)?, lost: required(lost)? })
}
