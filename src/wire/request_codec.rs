//! Requests about the roll, and their answers, to bytes and back. The layout stands in [`crate::wire`].

use super::codec::{Body, FixedOut, PADDING, once, put_field, required};
use super::frame::{self, CHECKSUM, HEADER, MAX_DATAGRAM};
use super::parts::{
    flag, only_name, position, put_capabilities, put_id, put_name, read_capabilities, read_id, read_position,
    tag as field,
};
use super::reject::Reject;
use super::request::{Claim, ClaimAnswer, ClaimReply, Find, Found, Missed, News};
use super::roll_codec::{decode_entry, put_entry};
use crate::types::{Generation, Incarnation, Index, Lineage, Slot, Term};

/// The bytes of a claim, padding included: at least as many as any answer to it has.
const CLAIM: usize = 128;

/// The most bytes that the entries of one [`News`] may take, by [`crate::wire::entry_len`].
pub const MAX_NEWS_BYTES: usize = MAX_DATAGRAM - HEADER - 48 - CHECKSUM;

const RELEASE: u8 = 1;

/// The second byte of each kind.
pub(super) mod kind {
    pub(in crate::wire) const CLAIM: u8 = 20;
    pub(in crate::wire) const CLAIM_REPLY: u8 = 21;
    pub(in crate::wire) const NEWS: u8 = 22;
    pub(in crate::wire) const MISSED: u8 = 23;
    pub(in crate::wire) const FIND: u8 = 24;
    pub(in crate::wire) const FOUND: u8 = 25;
}

pub(super) fn put_claim(d: &Claim, tag: u32, buf: &mut Vec<u8>) {
    let fixed = FixedOut::<36>::new()
        .u64(d.lineage.0)
        .u64(d.term.0)
        .u64(d.incarnation.0)
        .u32(d.number)
        .u32(d.slot.0)
        .u16(d.generation.0)
        .u8(flag(d.release, RELEASE))
        .spare(1);
    frame::begin(buf, kind::CLAIM, tag, fixed);
    put_name(buf, &d.name);
    buf.resize(CLAIM - CHECKSUM, PADDING);
}

pub(super) fn claim(body: &Body<'_>, len: usize) -> Result<Claim, Reject> {
    if len < CLAIM {
        return Err(Reject::Malformed);
    }
    let mut c = body.fixed::<36>()?;
    let (lineage, term, incarnation) = (Lineage(c.u64()?), Term(c.count()?), Incarnation(c.count()?));
    let (number, slot, generation, flags) = (c.u32()?, Slot(c.u32()?), Generation(c.u16()?), c.u8()?);
    let (release, name) = (flags & RELEASE != 0, only_name(body)?);
    Ok(Claim { lineage, term, incarnation, number, slot, generation, release, name })
}

pub(super) fn put_claim_reply(d: &ClaimReply, tag: u32, buf: &mut Vec<u8>) {
    let code = match d.answer {
        ClaimAnswer::Yours => 1,
        ClaimAnswer::Released => 2,
        ClaimAnswer::Taken => 3,
        ClaimAnswer::TooMany => 4,
        ClaimAnswer::Other(code) => code,
    };
    let fixed =
        FixedOut::<32>::new().u64(d.lineage.0).u64(d.term.0).u64(d.incarnation.0).u32(d.number).u8(code).spare(3);
    frame::begin(buf, kind::CLAIM_REPLY, tag, fixed);
    if let Some(owner) = &d.owner {
        put_id(buf, owner);
    }
}

pub(super) fn claim_reply(body: &Body<'_>) -> Result<ClaimReply, Reject> {
    let mut c = body.fixed::<32>()?;
    let (lineage, term, incarnation) = (Lineage(c.u64()?), Term(c.count()?), Incarnation(c.count()?));
    let (number, code) = (c.u32()?, c.u8()?);
    let (mut owner, mut fields) = (None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == field::ID {
            once(&mut owner, read_id(content)?)?;
        }
    }
    let answer = match code {
        1 => ClaimAnswer::Yours,
        2 => ClaimAnswer::Released,
        3 => ClaimAnswer::Taken,
        4 => ClaimAnswer::TooMany,
        other => ClaimAnswer::Other(other),
    };
    Ok(ClaimReply { lineage, term, incarnation, number, answer, owner })
}

pub(super) fn put_news(d: &News, tag: u32, buf: &mut Vec<u8>) {
    let fixed = FixedOut::<48>::new().u64(d.nonce).u64(d.lineage.0).u64(d.term.0);
    frame::begin(buf, kind::NEWS, tag, position(fixed, d.prev).u64(d.commit.0));
    for entry in &d.entries {
        put_field(buf, field::ENTRY, |s| put_entry(s, entry));
    }
}

pub(super) fn news(body: &Body<'_>) -> Result<News, Reject> {
    let mut c = body.fixed::<48>()?;
    let (nonce, lineage, term) = (c.u64()?, Lineage(c.u64()?), Term(c.count()?));
    let (prev, commit) = (read_position(&mut c)?, Index(c.count()?));
    let (mut entries, mut fields, mut last) = (Vec::new(), body.fields(), prev.index);
    // As many as one frame holds.
    while let Some((tag, content)) = fields.next()? {
        if tag == field::ENTRY {
            let entry = decode_entry(content)?;
            if last.next() != Some(entry.index) || entry.index > commit {
                return Err(Reject::Malformed);
            }
            last = entry.index;
            entries.push(entry);
        }
    }
    Ok(News { nonce, lineage, term, prev, commit, entries })
}

pub(super) fn put_missed(d: &Missed, tag: u32, buf: &mut Vec<u8>) {
    let fixed = position(FixedOut::<40>::new().u64(d.nonce).u64(d.lineage.0), d.after);
    frame::begin(buf, kind::MISSED, tag, fixed.u32(d.slot.0).u16(d.generation.0).spare(2));
    buf.resize(MAX_DATAGRAM - CHECKSUM, PADDING);
}

pub(super) fn missed(body: &Body<'_>) -> Result<Missed, Reject> {
    let mut c = body.fixed::<40>()?;
    let (nonce, lineage, after) = (c.u64()?, Lineage(c.u64()?), read_position(&mut c)?);
    Ok(Missed { nonce, lineage, after, slot: Slot(c.u32()?), generation: Generation(c.u16()?) })
}

pub(super) fn put_find(d: &Find, tag: u32, buf: &mut Vec<u8>) {
    frame::begin(buf, kind::FIND, tag, FixedOut::<16>::new().u64(d.nonce).u64(d.lineage.0));
    put_capabilities(buf, &d.wanted);
    buf.resize(MAX_DATAGRAM - CHECKSUM, PADDING);
}

pub(super) fn find(body: &Body<'_>) -> Result<Find, Reject> {
    let mut c = body.fixed::<16>()?;
    let (nonce, lineage) = (c.u64()?, Lineage(c.u64()?));
    let (mut wanted, mut fields) = (None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == field::CAPABILITIES {
            once(&mut wanted, read_capabilities(content)?)?;
        }
    }
    let wanted = required(wanted)?;
    if wanted.iter().len() != 1 {
        return Err(Reject::Malformed);
    }
    Ok(Find { nonce, lineage, wanted })
}

/// Writes as many of the ids as fit.
pub(super) fn put_found(d: &Found, tag: u32, buf: &mut Vec<u8>) {
    frame::begin(buf, kind::FOUND, tag, FixedOut::<20>::new().u64(d.nonce).u64(d.lineage.0).u32(d.total));
    for id in &d.members {
        if buf.len() + 3 + id.as_str().len() + CHECKSUM > MAX_DATAGRAM {
            break;
        }
        put_id(buf, id);
    }
}

pub(super) fn found(body: &Body<'_>) -> Result<Found, Reject> {
    let mut c = body.fixed::<20>()?;
    let (nonce, lineage, total) = (c.u64()?, Lineage(c.u64()?), c.u32()?);
    let (mut members, mut fields) = (Vec::new(), body.fields());
    // As many as one frame holds.
    while let Some((tag, content)) = fields.next()? {
        if tag == field::ID {
            members.push(read_id(content)?);
        }
    }
    Ok(Found { nonce, lineage, total, members })
}
