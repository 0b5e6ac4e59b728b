//! What members ask about the roll, and what they are told of it, by datagrams: what it means, and its bytes. The layout
//! stands in [`crate::wire`].

use super::codec::{Body, Cursor, FixedOut, PADDING, once, put_field, required};
use super::frame::{self, CHECKSUM, HEADER, MAX_DATAGRAM};
use super::parts::{flag, only_name, put_capabilities, put_id, put_name, read_capabilities, read_id, tag as field};
use super::reject::Reject;
use super::roll::Entry;
use super::roll_codec::{decode_entry, put_entry};
use crate::types::{Capabilities, Generation, Incarnation, Index, Lineage, Name, NodeId, Position, Slot, Term};

/// The bytes of a claim, padding included: at least as many as any answer to it has.
pub(super) const CLAIM: usize = 128;

/// The most bytes that the entries of one [`News`] may take, by [`crate::wire::entry_len`].
pub const MAX_NEWS_BYTES: usize = MAX_DATAGRAM - HEADER - 48 - CHECKSUM;

/// A name shall be mine, or no longer. Padded to 128 bytes at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The lineage.
    pub lineage: Lineage,
    /// The term of the leader that is asked: no other one takes it.
    pub term: Term,
    /// The claimer's incarnation.
    pub incarnation: Incarnation,
    /// Counts the requests of this incarnation: the next one is sent when this one is answered.
    pub number: u32,
    /// The claimer's slot.
    pub slot: Slot,
    /// The slot's generation.
    pub generation: Generation,
    /// True: the name is given up.
    pub release: bool,
    /// The name.
    pub name: Name,
}

/// What came of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimAnswer {
    /// The claimer has the name.
    Yours,
    /// The claimer doesn't have it any more.
    Released,
    /// Somebody else has it.
    Taken,
    /// The claimer, or the convention, has as many names as are kept.
    TooMany,
    /// An answer that this version doesn't know.
    Other(u8),
}

/// The answer to a [`Claim`]. Never larger than it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimReply {
    /// Echo.
    pub lineage: Lineage,
    /// Echo.
    pub term: Term,
    /// Echo.
    pub incarnation: Incarnation,
    /// Echo.
    pub number: u32,
    /// What came of it.
    pub answer: ClaimAnswer,
    /// Who has the name, where it is taken.
    pub owner: Option<NodeId>,
}

/// Committed entries of the roll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The nonce of the question; zero where this answers none.
    pub nonce: u64,
    /// The lineage.
    pub lineage: Lineage,
    /// The term of the leader, as the sender knows it.
    pub term: Term,
    /// The position right before the first entry.
    pub prev: Position,
    /// How far the roll is committed.
    pub commit: Index,
    /// The entries, with consecutive indexes. None in an answer: the sender doesn't hold what follows any more, or nothing does.
    pub entries: Vec<Entry>,
}

/// A subscriber's question for what follows. Padded to [`crate::wire::MAX_DATAGRAM`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// Comes back in the answer.
    pub nonce: u64,
    /// The lineage.
    pub lineage: Lineage,
    /// The last entry that it has.
    pub after: Position,
    /// Its slot.
    pub slot: Slot,
    /// The slot's generation.
    pub generation: Generation,
}

/// Who has this capability? Padded to [`crate::wire::MAX_DATAGRAM`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Find {
    /// Comes back in the answer.
    pub nonce: u64,
    /// The lineage.
    pub lineage: Lineage,
    /// The key and the value, as the only pair.
    pub wanted: Capabilities,
}

/// Who has it. Never larger than the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The nonce of the question.
    pub nonce: u64,
    /// The lineage.
    pub lineage: Lineage,
    /// How many have it.
    pub total: u32,
    /// Who, in the order of the slots, as many as fit the frame.
    pub members: Vec<NodeId>,
}

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

fn position<const N: usize>(out: FixedOut<N>, position: Position) -> FixedOut<N> {
    out.u64(position.term.0).u64(position.index.0)
}

fn read_position(c: &mut Cursor<'_>) -> Result<Position, Reject> {
    Ok(Position { term: Term(c.count()?), index: Index(c.count()?) })
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
