//! Datagrams to bytes and back. The layout stands in [`crate::wire`].

use super::broadcast_codec::{self as spoken, kind as said};
use super::codec::{Body, FixedOut, Sink, once, put_field, required};
use super::datagram::{
    Ack, Announce, Beat, Datagram, Heartbeat, Join, Leave, Note, Probe, RefuseReason, Refused, Registered, Resigned,
    Seek, Stranger, WhereIs, Whereabouts,
};
use super::frame::{self, CHECKSUM, MAX_DATAGRAM};
use super::merger_codec::{self as merger, kind as merges};
use super::parts::{
    flag, put_id, put_member, put_place, put_sender, put_view, read_id, read_member, read_place, read_sender,
    read_view, tag as field,
};
use super::reject::Reject;
use super::request_codec::{self as request, kind as asked};
use crate::types::{Generation, Identity, Incarnation, Index, Lineage, Position, Slot, Term, VoterTag};
use bytes::Bytes;

/// The second byte of each kind of datagram.
pub(super) mod kind {
    pub(in crate::wire) const HEARTBEAT: u8 = 1;
    pub(in crate::wire) const BEAT: u8 = 2;
    pub(in crate::wire) const ACK: u8 = 3;
    pub(in crate::wire) const SEEK: u8 = 4;
    pub(in crate::wire) const ANNOUNCE: u8 = 5;
    pub(in crate::wire) const JOIN: u8 = 6;
    pub(in crate::wire) const REGISTERED: u8 = 7;
    pub(in crate::wire) const REFUSED: u8 = 8;
    pub(in crate::wire) const PROBE: u8 = 9;
    pub(in crate::wire) const PROBE_REPLY: u8 = 10;
    pub(in crate::wire) const STRANGER: u8 = 11;
    pub(in crate::wire) const LEAVE: u8 = 12;
    pub(in crate::wire) const GONE: u8 = 13;
    pub(in crate::wire) const RESIGNED: u8 = 14;
    pub(in crate::wire) const NOTE: u8 = 30;
    pub(in crate::wire) const WHERE_IS: u8 = 31;
    pub(in crate::wire) const WHEREABOUTS: u8 = 32;
}

/// The most bytes of the body of a [`Note`]: with the longest id it fits [`MAX_DATAGRAM`].
pub const MAX_NOTE: usize = 1_024;

/// The least size of a [`WhereIs`]: no answer is larger.
const WHERE_IS_LEN: usize = 320;

const KNOWN_BY_LEADER: u8 = 1;

/// A datagram whose frame is whole: length, version, convention and checksum are right. What it means comes second.
#[derive(Clone, Copy)]
pub struct DatagramView<'a> {
    kind: u8,
    body: Body<'a>,
    len: usize,
}

impl std::fmt::Debug for DatagramView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatagramView").field("kind", &self.kind).field("len", &self.len).finish_non_exhaustive()
    }
}

impl<'a> DatagramView<'a> {
    /// Checks the frame, cheapest first. `tag` is the own convention's.
    ///
    /// # Errors
    /// [`Reject`]: the first check that failed, in the order length, magic, version, key, convention, checksum.
    #[inline]
    pub fn parse(bytes: &'a [u8], tag: u32) -> Result<Self, Reject> {
        if bytes.len() > MAX_DATAGRAM {
            return Err(Reject::Oversized);
        }
        let (kind, body) = frame::open(bytes, tag)?;
        Ok(Self { kind, body, len: bytes.len() })
    }

    /// The number of the kind, as the layout's table has it; it may be one that this version doesn't know.
    #[inline]
    #[must_use]
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// True for entries of the roll, which only subscribers read.
    #[inline]
    #[must_use]
    pub fn is_news(&self) -> bool {
        self.kind == asked::NEWS
    }

    /// What it means. Allocates only for frames with names or addresses in them.
    ///
    /// # Errors
    /// [`Reject::UnknownKind`], and [`Reject::Malformed`] where the content breaks the layout or a bound.
    #[inline]
    pub fn meaning(&self) -> Result<Datagram, Reject> {
        match self.kind {
            kind::HEARTBEAT => heartbeat(&self.body).map(Datagram::Heartbeat),
            kind::BEAT => beat(&self.body).map(Datagram::Beat),
            kind::ACK => ack(&self.body).map(Datagram::Ack),
            _ => self.rare_meaning(),
        }
    }

    /// The beat, where it is one: the shortest way for the frame that comes most often. Where it is none, or a malformed
    /// one, [`DatagramView::meaning`] says which.
    #[inline]
    #[must_use]
    pub fn as_beat(&self) -> Option<Beat> {
        if self.kind == kind::BEAT { beat(&self.body).ok() } else { None }
    }

    /// The heartbeat, where it is one, as [`DatagramView::as_beat`].
    #[inline]
    #[must_use]
    pub fn as_heartbeat(&self) -> Option<Heartbeat> {
        if self.kind == kind::HEARTBEAT { heartbeat(&self.body).ok() } else { None }
    }

    /// The acknowledgement, where it is one, as [`DatagramView::as_beat`].
    #[inline]
    #[must_use]
    pub fn as_ack(&self) -> Option<Ack> {
        if self.kind == kind::ACK { ack(&self.body).ok() } else { None }
    }

    /// Apart, so that the frequent kinds stay small enough to be inlined.
    fn rare_meaning(&self) -> Result<Datagram, Reject> {
        let body = &self.body;
        match self.kind {
            kind::SEEK => seek(body, self.len).map(Datagram::Seek),
            kind::ANNOUNCE => announce(body).map(Datagram::Announce),
            kind::JOIN => join(body, self.len).map(Datagram::Join),
            kind::REGISTERED => registered(body).map(Datagram::Registered),
            kind::REFUSED => refused(body).map(Datagram::Refused),
            kind::PROBE => probe(body).map(Datagram::Probe),
            kind::PROBE_REPLY => probe(body).map(Datagram::ProbeReply),
            kind::STRANGER => stranger(body).map(Datagram::Stranger),
            kind::LEAVE => leave(body).map(Datagram::Leave),
            kind::GONE => leave(body).map(Datagram::Gone),
            kind::RESIGNED => read_resigned(body).map(Datagram::Resigned),
            kind::NOTE => note(body).map(Datagram::Note),
            kind::WHERE_IS => where_is(body, self.len).map(Datagram::WhereIs),
            kind::WHEREABOUTS => whereabouts(body).map(Datagram::Whereabouts),
            asked::CLAIM => request::claim(body, self.len).map(Datagram::Claim),
            asked::CLAIM_REPLY => request::claim_reply(body).map(Datagram::ClaimReply),
            asked::NEWS => request::news(body).map(Datagram::News),
            asked::MISSED => padded(self.len).and_then(|()| request::missed(body)).map(Datagram::Missed),
            asked::FIND => padded(self.len).and_then(|()| request::find(body)).map(Datagram::Find),
            asked::FOUND => request::found(body).map(Datagram::Found),
            said::BROADCAST => spoken::broadcast(body).map(Datagram::Broadcast),
            said::UNHEARD => padded(self.len).and_then(|()| spoken::unheard(body)).map(Datagram::Unheard),
            merges::ABSORBED => merger::absorbed(body).map(Datagram::Absorbed),
            unknown => Err(Reject::UnknownKind(unknown)),
        }
    }
}

#[inline]
fn heartbeat(body: &Body<'_>) -> Result<Heartbeat, Reject> {
    let mut c = body.fixed::<52>()?;
    Ok(Heartbeat {
        lineage: Lineage(c.u64()?),
        term: Term(c.count()?),
        number: c.u32()?,
        commit: Index(c.count()?),
        leader: VoterTag(c.u32()?),
        line_version: c.u16()?,
        said: {
            c.u16()?;
            Position { term: Term(c.count()?), index: Index(c.count()?) }
        },
    })
}

#[inline]
fn beat(body: &Body<'_>) -> Result<Beat, Reject> {
    let mut c = body.fixed::<12>()?;
    let (slot, generation) = (Slot(c.u32()?), Generation(c.u16()?));
    Ok(Beat { slot, generation, heard: c.u16()?, lineage: c.u32()? })
}

#[inline]
fn ack(body: &Body<'_>) -> Result<Ack, Reject> {
    let mut c = body.fixed::<28>()?;
    let (lineage, term) = (Lineage(c.u64()?), Term(c.count()?));
    Ok(Ack { lineage, term, number: c.u32()?, identity: Identity(c.u64()?) })
}

/// What is answered by something larger has to be padded, whoever sent it: else it could be turned against others.
fn padded(len: usize) -> Result<(), Reject> {
    if len == MAX_DATAGRAM { Ok(()) } else { Err(Reject::Malformed) }
}

fn seek(body: &Body<'_>, len: usize) -> Result<Seek, Reject> {
    padded(len)?;
    let mut c = body.fixed::<28>()?;
    let (nonce, lineage, term, attempt) = (c.u64()?, Lineage(c.u64()?), Term(c.count()?), c.u16()?);
    let (mut from, mut fields) = (None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == field::SENDER {
            once(&mut from, read_sender(content)?)?;
        }
    }
    Ok(Seek { from: required(from)?, nonce, attempt, lineage, term })
}

fn announce(body: &Body<'_>) -> Result<Announce, Reject> {
    let nonce = body.fixed::<8>()?.u64()?;
    let (mut from, mut place, mut view, mut fields) = (None, None, None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        match tag {
            field::PLACE => once(&mut place, read_place(content)?)?,
            field::SENDER => once(&mut from, read_sender(content)?)?,
            field::VIEW => once(&mut view, read_view(content)?)?,
            _ => {}
        }
    }
    Ok(Announce { from: required(from)?, nonce, place, view: required(view)? })
}

fn join(body: &Body<'_>, len: usize) -> Result<Join, Reject> {
    padded(len)?;
    let mut c = body.fixed::<20>()?;
    let (nonce, lineage, heard) = (c.u64()?, Lineage(c.u64()?), c.u16()?);
    let (mut info, mut fields) = (None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == field::MEMBER {
            once(&mut info, read_member(content)?)?;
        }
    }
    Ok(Join { nonce, lineage, heard, info: required(info)? })
}

fn registered(body: &Body<'_>) -> Result<Registered, Reject> {
    let mut c = body.fixed::<28>()?;
    let (nonce, incarnation, slot) = (c.u64()?, Incarnation(c.count()?), Slot(c.u32()?));
    let (generation, _, revision) = (Generation(c.u16()?), c.u16()?, c.u32()?);
    let (mut view, mut since, mut fields) = (None, None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        match tag {
            field::VIEW => once(&mut view, read_view(content)?)?,
            field::SINCE => once(&mut since, spoken::read_only_place(content)?)?,
            _ => {}
        }
    }
    let (since, view) = (since.unwrap_or_default(), required(view)?);
    Ok(Registered { nonce, incarnation, slot, generation, revision, since, view })
}

fn refused(body: &Body<'_>) -> Result<Refused, Reject> {
    let mut c = body.fixed::<32>()?;
    let (nonce, lineage, incarnation) = (c.u64()?, Lineage(c.u64()?), Incarnation(c.count()?));
    let (retry_ms, code) = (c.u32()?, c.u8()?);
    let reason = match code {
        1 => RefuseReason::Superseded,
        2 => RefuseReason::Departed,
        3 => RefuseReason::Full,
        4 => RefuseReason::Busy,
        other => RefuseReason::Other(other),
    };
    Ok(Refused { nonce, lineage, incarnation, reason, retry_ms })
}

fn probe(body: &Body<'_>) -> Result<Probe, Reject> {
    let mut c = body.fixed::<12>()?;
    let (slot, generation, token) = (Slot(c.u32()?), Generation(c.u16()?), c.u16()?);
    Ok(Probe { slot, generation, lineage: c.u32()?, token })
}

fn stranger(body: &Body<'_>) -> Result<Stranger, Reject> {
    let mut c = body.fixed::<12>()?;
    let (slot, generation, _) = (Slot(c.u32()?), Generation(c.u16()?), c.u16()?);
    Ok(Stranger { slot, generation, lineage: c.u32()? })
}

fn leave(body: &Body<'_>) -> Result<Leave, Reject> {
    let mut c = body.fixed::<24>()?;
    let (lineage, incarnation) = (Lineage(c.u64()?), Incarnation(c.count()?));
    Ok(Leave { lineage, slot: Slot(c.u32()?), generation: Generation(c.u16()?), incarnation })
}

pub(super) fn note(body: &Body<'_>) -> Result<Note, Reject> {
    let mut c = body.fixed::<24>()?;
    let (lineage, incarnation, to) = (Lineage(c.u64()?), Incarnation(c.count()?), Incarnation(c.count()?));
    let (mut from, mut data, mut fields) = (None, None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        match tag {
            field::ID => once(&mut from, read_id(content)?)?,
            field::DATA => once(&mut data, content)?,
            _ => {}
        }
    }
    let data = required(data)?;
    if data.len() > MAX_NOTE {
        return Err(Reject::Malformed);
    }
    Ok(Note { lineage, from: required(from)?, incarnation, to, body: Bytes::copy_from_slice(data) })
}

fn where_is(body: &Body<'_>, len: usize) -> Result<WhereIs, Reject> {
    if len < WHERE_IS_LEN {
        return Err(Reject::Malformed);
    }
    let mut c = body.fixed::<16>()?;
    let (nonce, lineage) = (c.u64()?, Lineage(c.u64()?));
    let (mut id, mut fields) = (None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == field::ID {
            once(&mut id, read_id(content)?)?;
        }
    }
    Ok(WhereIs { nonce, lineage, id: required(id)? })
}

fn whereabouts(body: &Body<'_>) -> Result<Whereabouts, Reject> {
    let mut c = body.fixed::<20>()?;
    let (nonce, lineage, flags) = (c.u64()?, Lineage(c.u64()?), c.u8()?);
    let (mut id, mut found, mut fields) = (None, None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        match tag {
            field::ID => once(&mut id, read_id(content)?)?,
            field::SENDER => once(&mut found, read_sender(content)?)?,
            _ => {}
        }
    }
    Ok(Whereabouts { nonce, lineage, id: required(id)?, found, leads: flags & KNOWN_BY_LEADER != 0 })
}

pub(super) fn read_resigned(body: &Body<'_>) -> Result<Resigned, Reject> {
    let mut c = body.fixed::<24>()?;
    Ok(Resigned { lineage: Lineage(c.u64()?), term: Term(c.count()?), identity: Identity(c.u64()?) })
}

/// Clears `buf` and writes a datagram into it. Does not allocate where `buf` has room for [`MAX_DATAGRAM`] bytes.
///
/// The line in an announcement or a registration is cut where it doesn't fit; the leader's seat stays.
pub fn encode_datagram(datagram: &Datagram, tag: u32, buf: &mut Vec<u8>) {
    buf.clear();
    match datagram {
        Datagram::Heartbeat(d) => put_heartbeat(d, tag, buf),
        Datagram::Beat(d) => {
            let fixed = FixedOut::<12>::new().u32(d.slot.0).u16(d.generation.0).u16(d.heard).u32(d.lineage);
            frame::begin(buf, kind::BEAT, tag, fixed);
        }
        Datagram::Ack(d) => {
            let fixed = FixedOut::<28>::new().u64(d.lineage.0).u64(d.term.0).u32(d.number).u64(d.identity.0);
            frame::begin(buf, kind::ACK, tag, fixed);
        }
        Datagram::Seek(d) => put_seek(d, tag, buf),
        Datagram::Announce(d) => {
            frame::begin(buf, kind::ANNOUNCE, tag, FixedOut::<8>::new().u64(d.nonce));
            put_sender(buf, &d.from);
            if let Some(place) = &d.place {
                put_place(buf, place);
            }
            put_view(buf, &d.view);
        }
        Datagram::Join(d) => put_join(d, tag, buf),
        Datagram::Registered(d) => put_registered(d, tag, buf),
        Datagram::Refused(d) => put_refused(d, tag, buf),
        Datagram::Probe(d) => put_probe(d, kind::PROBE, tag, buf),
        Datagram::ProbeReply(d) => put_probe(d, kind::PROBE_REPLY, tag, buf),
        Datagram::Stranger(d) => {
            let fixed = FixedOut::<12>::new().u32(d.slot.0).u16(d.generation.0).spare(2).u32(d.lineage);
            frame::begin(buf, kind::STRANGER, tag, fixed);
        }
        Datagram::Leave(d) => put_leave(d, kind::LEAVE, tag, buf),
        Datagram::Gone(d) => put_leave(d, kind::GONE, tag, buf),
        Datagram::Resigned(d) => {
            frame::begin(buf, kind::RESIGNED, tag, fixed_resigned(d));
        }
        Datagram::Note(d) => put_note(d, kind::NOTE, tag, buf),
        Datagram::WhereIs(d) => {
            frame::begin(buf, kind::WHERE_IS, tag, FixedOut::<16>::new().u64(d.nonce).u64(d.lineage.0));
            put_id(buf, &d.id);
            buf.resize(WHERE_IS_LEN - CHECKSUM, super::codec::PADDING);
        }
        Datagram::Whereabouts(d) => put_whereabouts(d, tag, buf),
        Datagram::Claim(d) => request::put_claim(d, tag, buf),
        Datagram::ClaimReply(d) => request::put_claim_reply(d, tag, buf),
        Datagram::News(d) => request::put_news(d, tag, buf),
        Datagram::Missed(d) => request::put_missed(d, tag, buf),
        Datagram::Find(d) => request::put_find(d, tag, buf),
        Datagram::Found(d) => request::put_found(d, tag, buf),
        Datagram::Broadcast(d) => spoken::put_broadcast(d, tag, buf),
        Datagram::Unheard(d) => spoken::put_unheard(d, tag, buf),
        Datagram::Absorbed(d) => merger::put_absorbed(d, tag, buf),
    }
    let check = frame::checksum(buf);
    buf.extend_from_slice(&check);
    debug_assert!(buf.len() <= MAX_DATAGRAM, "{} bytes of {datagram:?}", buf.len());
}

pub(super) fn put_note<S: Sink>(d: &Note, kind: u8, tag: u32, buf: &mut S) {
    debug_assert!(d.body.len() <= MAX_NOTE, "a body of {} bytes", d.body.len());
    let fixed = FixedOut::<24>::new().u64(d.lineage.0).u64(d.incarnation.0).u64(d.to.0);
    frame::begin(buf, kind, tag, fixed);
    put_id(buf, &d.from);
    put_field(buf, field::DATA, |s| s.put(&d.body));
}

fn put_whereabouts(d: &Whereabouts, tag: u32, buf: &mut Vec<u8>) {
    let fixed = FixedOut::<20>::new().u64(d.nonce).u64(d.lineage.0).u8(flag(d.leads, KNOWN_BY_LEADER)).spare(3);
    frame::begin(buf, kind::WHEREABOUTS, tag, fixed);
    put_id(buf, &d.id);
    if let Some(found) = &d.found {
        put_sender(buf, found);
    }
    debug_assert!(buf.len() + CHECKSUM <= WHERE_IS_LEN, "an answer of {} bytes", buf.len());
}

fn put_heartbeat(d: &Heartbeat, tag: u32, buf: &mut Vec<u8>) {
    let fixed = FixedOut::<52>::new()
        .u64(d.lineage.0)
        .u64(d.term.0)
        .u32(d.number)
        .u64(d.commit.0)
        .u32(d.leader.0)
        .u16(d.line_version)
        .spare(2)
        .u64(d.said.term.0)
        .u64(d.said.index.0);
    frame::begin(buf, kind::HEARTBEAT, tag, fixed);
}

fn put_seek(d: &Seek, tag: u32, buf: &mut Vec<u8>) {
    let fixed = FixedOut::<28>::new().u64(d.nonce).u64(d.lineage.0).u64(d.term.0).u16(d.attempt).spare(2);
    frame::begin(buf, kind::SEEK, tag, fixed);
    put_sender(buf, &d.from);
    buf.resize(MAX_DATAGRAM - CHECKSUM, super::codec::PADDING);
}

fn put_join(d: &Join, tag: u32, buf: &mut Vec<u8>) {
    let fixed = FixedOut::<20>::new().u64(d.nonce).u64(d.lineage.0).u16(d.heard).spare(2);
    frame::begin(buf, kind::JOIN, tag, fixed);
    put_member(buf, &d.info);
    buf.resize(MAX_DATAGRAM - CHECKSUM, super::codec::PADDING);
}

fn put_registered(d: &Registered, tag: u32, buf: &mut Vec<u8>) {
    let fixed = FixedOut::<28>::new()
        .u64(d.nonce)
        .u64(d.incarnation.0)
        .u32(d.slot.0)
        .u16(d.generation.0)
        .spare(2)
        .u32(d.revision);
    frame::begin(buf, kind::REGISTERED, tag, fixed);
    spoken::put_only_place(buf, field::SINCE, d.since);
    put_view(buf, &d.view);
}

fn put_refused(d: &Refused, tag: u32, buf: &mut Vec<u8>) {
    let code = match d.reason {
        RefuseReason::Superseded => 1,
        RefuseReason::Departed => 2,
        RefuseReason::Full => 3,
        RefuseReason::Busy => 4,
        RefuseReason::Other(code) => code,
    };
    let fixed =
        FixedOut::<32>::new().u64(d.nonce).u64(d.lineage.0).u64(d.incarnation.0).u32(d.retry_ms).u8(code).spare(3);
    frame::begin(buf, kind::REFUSED, tag, fixed);
}

fn put_probe(d: &Probe, kind: u8, tag: u32, buf: &mut Vec<u8>) {
    let fixed = FixedOut::<12>::new().u32(d.slot.0).u16(d.generation.0).u16(d.token).u32(d.lineage);
    frame::begin(buf, kind, tag, fixed);
}

fn put_leave(d: &Leave, kind: u8, tag: u32, buf: &mut Vec<u8>) {
    let fixed = FixedOut::<24>::new().u64(d.lineage.0).u64(d.incarnation.0).u32(d.slot.0).u16(d.generation.0).spare(2);
    frame::begin(buf, kind, tag, fixed);
}

pub(super) fn fixed_resigned(d: &Resigned) -> FixedOut<24> {
    FixedOut::new().u64(d.lineage.0).u64(d.term.0).u64(d.identity.0)
}
