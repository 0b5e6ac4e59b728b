//! A stream's frames to bytes and back. The layout stands in [`crate::wire`].

use super::codec::{Body, Cursor, FixedOut, Sink, once, push_bounded, put_field, required};
use super::datagram_codec::{fixed_resigned, read_resigned};
use super::frame::{self, CHECKSUM, HEADER, MAX_FRAME, MAX_PIECE};
use super::merger_codec::{self as merger, kind as merges};
use super::message::{
    Append, AppendReply, Bid, BidReply, Bless, Canvass, CanvassReply, Data, DeclineReason, Declined, Fetch, Follow,
    Hello, Invite, InviteReply, Message, Muster, Open, Overruled, ProbeFor, Propose, ProposeReply, Recover,
    RecoverReply, Release, Resume, Snapshot, SnapshotReply, Taken, TurnedAway,
};
use super::parts::{
    flag, push_seat, put_addr, put_identities, put_lineages, put_member, put_seat, read_addr, read_identities,
    read_lineages, read_member, read_seat, read_str, tag as field,
};
use super::reject::Reject;
use super::roll::MAX_VOTERS;
use super::roll_codec::{decode_entry, put_entry};
use crate::types::{ConventionId, Generation, Identity, Incarnation, Index, Lineage, Position, Slot, Term};
use bytes::{Bytes, BytesMut};

/// The most entries that one [`Append`] may carry.
pub const MAX_ENTRIES: usize = 4_096;

/// The most bytes that the entries of one [`Append`] may take, by [`crate::wire::entry_len`].
pub const MAX_ENTRY_BYTES: usize = MAX_FRAME - HEADER - 44 - CHECKSUM;

/// The second byte of each kind of frame. Apart from those of datagrams, so that neither is taken for the other.
pub(super) mod kind {
    pub(in crate::wire) const HELLO: u8 = 64;
    pub(in crate::wire) const PROPOSE: u8 = 65;
    pub(in crate::wire) const PROPOSE_REPLY: u8 = 66;
    pub(in crate::wire) const RELEASE: u8 = 67;
    pub(in crate::wire) const CANVASS: u8 = 68;
    pub(in crate::wire) const CANVASS_REPLY: u8 = 69;
    pub(in crate::wire) const BID: u8 = 70;
    pub(in crate::wire) const BID_REPLY: u8 = 71;
    pub(in crate::wire) const FETCH: u8 = 72;
    pub(in crate::wire) const APPEND: u8 = 73;
    pub(in crate::wire) const SNAPSHOT: u8 = 74;
    pub(in crate::wire) const APPEND_REPLY: u8 = 75;
    pub(in crate::wire) const OVERRULED: u8 = 76;
    pub(in crate::wire) const RESIGNED: u8 = 77;
    pub(in crate::wire) const PROBE_FOR: u8 = 78;
    pub(in crate::wire) const PROBE_RESULT: u8 = 79;
    pub(in crate::wire) const PING: u8 = 80;
    pub(in crate::wire) const PONG: u8 = 81;
    pub(in crate::wire) const SNAPSHOT_REPLY: u8 = 82;
    pub(in crate::wire) const BLESS: u8 = 83;
    pub(in crate::wire) const INVITE: u8 = 84;
    pub(in crate::wire) const INVITE_REPLY: u8 = 85;
    pub(in crate::wire) const MUSTER: u8 = 90;
    pub(in crate::wire) const RECOVER: u8 = 91;
    pub(in crate::wire) const RECOVER_REPLY: u8 = 92;
    pub(in crate::wire) const ELSEWHERE: u8 = 93;
    pub(in crate::wire) const FOLLOW: u8 = 100;
    pub(in crate::wire) const TURNED_AWAY: u8 = 101;
    pub(in crate::wire) const OPEN: u8 = 120;
    pub(in crate::wire) const RESUME: u8 = 121;
    pub(in crate::wire) const DATA: u8 = 122;
    pub(in crate::wire) const TAKEN: u8 = 123;
    pub(in crate::wire) const DECLINED: u8 = 124;
}

const ABLE: u8 = 1;
const ACCEPTED: u8 = 1;
const DURABLE: u8 = 2;
const GRANTED: u8 = 1;
const BLESSED: u8 = 1;
const FETCHED: u8 = 1;
const MATCHED: u8 = 1;
const SEALED: u8 = 1;

/// Writes a frame, with its length in front, behind what is in `buf`.
///
/// The caller keeps to [`MAX_ENTRIES`], [`MAX_ENTRY_BYTES`] and [`MAX_PIECE`]; the other side cuts the connection at a
/// frame that is larger.
pub fn encode_message(message: &Message, tag: u32, buf: &mut BytesMut) {
    let start = buf.len();
    buf.put(&[0; 4]);
    put_message(message, tag, buf);
    let check = frame::checksum(&buf[start + 4..]);
    buf.put(&check);
    let len = buf.len() - start - 4;
    debug_assert!(len <= MAX_FRAME, "a frame of {len} bytes");
    buf.patch(start, &(len as u32).to_be_bytes());
}

fn position<const N: usize>(out: FixedOut<N>, position: Position) -> FixedOut<N> {
    out.u64(position.term.0).u64(position.index.0)
}

/// All of a frame but its length and its checksum.
fn put_message(message: &Message, tag: u32, buf: &mut BytesMut) {
    match message {
        Message::Hello(m) => put_hello(m, kind::HELLO, tag, buf),
        Message::Elsewhere(m) => put_hello(m, kind::ELSEWHERE, tag, buf),
        Message::Propose(m) => {
            let fixed = FixedOut::<20>::new().u64(m.lineage.0).u64(m.term.0).u32(m.round);
            frame::begin(buf, kind::PROPOSE, tag, fixed);
            m.seats.iter().for_each(|seat| put_seat(buf, seat));
        }
        Message::ProposeReply(m) => {
            let flags = flag(m.accepted, ACCEPTED) | flag(m.durable, DURABLE);
            let fixed = FixedOut::<24>::new().u64(m.lineage.0).u64(m.term.0).u32(m.round).u8(flags).spare(3);
            frame::begin(buf, kind::PROPOSE_REPLY, tag, fixed);
        }
        Message::Release(m) => frame::begin(buf, kind::RELEASE, tag, FixedOut::<8>::new().u64(m.lineage.0)),
        Message::Canvass(m) => put_canvass(m, tag, buf),
        Message::CanvassReply(m) => put_canvass_reply(m, tag, buf),
        Message::Bid(m) => put_bid(m, tag, buf),
        Message::BidReply(m) => put_bid_reply(m, tag, buf),
        Message::Fetch(m) => {
            let fixed = FixedOut::<32>::new().u64(m.lineage.0).u64(m.term.0);
            frame::begin(buf, kind::FETCH, tag, position(fixed, m.after));
        }
        Message::Append(m) => put_append(m, tag, buf),
        Message::Snapshot(m) => put_snapshot(m, tag, buf),
        Message::SnapshotReply(m) => {
            let fixed = position(FixedOut::<36>::new().u64(m.lineage.0).u64(m.term.0), m.position);
            frame::begin(buf, kind::SNAPSHOT_REPLY, tag, fixed.u32(m.offset));
        }
        Message::AppendReply(m) => put_append_reply(m, tag, buf),
        Message::Overruled(m) => {
            frame::begin(buf, kind::OVERRULED, tag, FixedOut::<16>::new().u64(m.lineage.0).u64(m.term.0));
        }
        Message::Resigned(m) => frame::begin(buf, kind::RESIGNED, tag, fixed_resigned(m)),
        Message::Bless(m) => put_bless(m, tag, buf),
        Message::Invite(m) => {
            let fixed = FixedOut::<20>::new().u64(m.lineage.0).u64(m.term.0).u32(m.round);
            frame::begin(buf, kind::INVITE, tag, fixed);
        }
        Message::InviteReply(m) => {
            let fixed = FixedOut::<24>::new().u64(m.lineage.0).u64(m.term.0).u32(m.round);
            frame::begin(buf, kind::INVITE_REPLY, tag, fixed.u8(flag(m.able, ABLE)).spare(3));
        }
        Message::ProbeFor(m) => put_probe_for(m, kind::PROBE_FOR, tag, buf),
        Message::ProbeResult(m) => put_probe_for(m, kind::PROBE_RESULT, tag, buf),
        Message::Muster(m) => put_muster(m, tag, buf),
        Message::Recover(m) => put_recover(m, tag, buf),
        Message::RecoverReply(m) => {
            let fixed = FixedOut::<44>::new().u64(m.lineage.0).u64(m.term.0).u64(m.seen.0);
            let fixed = position(fixed, m.position).u8(flag(m.granted, GRANTED)).spare(3);
            frame::begin(buf, kind::RECOVER_REPLY, tag, fixed);
        }
        Message::Offer(m) => merger::put_offer(m, tag, buf),
        Message::Bequest(m) => merger::put_bequest(m, tag, buf),
        Message::BequestReply(m) => merger::put_bequest_reply(m, tag, buf),
        Message::Ended(m) => merger::put_ended(m, tag, buf),
        Message::Follow(m) => put_follow(m, tag, buf),
        Message::TurnedAway(m) => frame::begin(buf, kind::TURNED_AWAY, tag, FixedOut::<8>::new().u64(m.lineage.0)),
        Message::Ping(n) => frame::begin(buf, kind::PING, tag, FixedOut::<8>::new().u64(*n)),
        Message::Pong(n) => frame::begin(buf, kind::PONG, tag, FixedOut::<8>::new().u64(*n)),
        Message::Open(m) => {
            frame::begin(buf, kind::OPEN, tag, FixedOut::<24>::new().u64(m.incarnation.0).u64(m.to.0).u64(m.base));
        }
        Message::Resume(m) => {
            let fixed = FixedOut::<24>::new().u64(m.incarnation.0).u64(m.have).u64(m.credit);
            frame::begin(buf, kind::RESUME, tag, fixed);
        }
        Message::Data(m) => {
            put_data(m.number, m.offset, tag, buf);
            put_field(buf, field::DATA, |s| s.put(&m.records));
        }
        Message::Taken(m) => {
            frame::begin(buf, kind::TAKEN, tag, FixedOut::<16>::new().u64(m.number).u64(m.credit));
        }
        Message::Declined(m) => {
            let code = match m.reason {
                DeclineReason::TooLarge => 1,
                DeclineReason::Stalled => 2,
                DeclineReason::Other(code) => code,
            };
            frame::begin(buf, kind::DECLINED, tag, FixedOut::<12>::new().u64(m.number).u8(code).spare(3));
        }
    }
}

fn put_data(number: u64, offset: u32, tag: u32, buf: &mut BytesMut) {
    frame::begin(buf, kind::DATA, tag, FixedOut::<16>::new().u64(number).u32(offset).spare(4));
}

/// Writes a [`Data`] frame, its records put together on the spot.
#[derive(Debug)]
pub struct DataWriter<'a> {
    buf: &'a mut BytesMut,
    start: usize,
    records: usize,
}

impl<'a> DataWriter<'a> {
    /// Begins a frame behind what is in `buf`.
    pub fn begin(number: u64, offset: u32, tag: u32, buf: &'a mut BytesMut) -> Self {
        let start = buf.len();
        buf.put(&[0; 4]);
        put_data(number, offset, tag, buf);
        buf.put(&[field::DATA, 0, 0]);
        let records = buf.len();
        Self { buf, start, records }
    }

    /// Adds bytes of records. The caller keeps to [`MAX_PIECE`].
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        self.buf.put(bytes);
    }

    /// How many bytes of records there are.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.buf.len() - self.records
    }

    /// True where there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends the frame.
    pub fn end(self) {
        let len = self.len();
        debug_assert!((1..=MAX_PIECE).contains(&len), "{len} bytes of records");
        self.buf.patch(self.records - 2, &(len as u16).to_be_bytes());
        let check = frame::checksum(&self.buf[self.start + 4..]);
        self.buf.put(&check);
        let len = self.buf.len() - self.start - 4;
        self.buf.patch(self.start, &(len as u32).to_be_bytes());
    }
}

fn put_hello(m: &Hello, kind: u8, tag: u32, buf: &mut BytesMut) {
    frame::begin(buf, kind, tag, FixedOut::<16>::new().u64(m.lineage.0).u64(m.term.0));
    put_field(buf, field::CONVENTION, |s| s.put(m.convention.as_bytes()));
    put_lineages(buf, &m.parents);
    put_member(buf, &m.info);
}

fn put_muster(m: &Muster, tag: u32, buf: &mut BytesMut) {
    let fixed = position(FixedOut::<36>::new().u64(m.lineage.0).u64(m.term.0), m.position);
    frame::begin(buf, kind::MUSTER, tag, fixed.u8(flag(m.sealed, SEALED)).spare(3));
    m.voters.iter().for_each(|seat| put_seat(buf, seat));
    put_identities(buf, field::GONE, &m.gone);
}

fn put_recover(m: &Recover, tag: u32, buf: &mut BytesMut) {
    let fixed = FixedOut::<24>::new().u64(m.lineage.0).u64(m.parent.0).u64(m.term.0);
    frame::begin(buf, kind::RECOVER, tag, fixed);
    put_identities(buf, field::VOTERS, &m.voters);
    put_identities(buf, field::GONE, &m.gone);
}

fn put_follow(m: &Follow, tag: u32, buf: &mut BytesMut) {
    let fixed = position(FixedOut::<40>::new().u64(m.lineage.0).u64(m.incarnation.0), m.after);
    frame::begin(buf, kind::FOLLOW, tag, fixed.u32(m.slot.0).u16(m.generation.0).spare(2));
    put_field(buf, field::CONVENTION, |s| s.put(m.convention.as_bytes()));
}

fn put_canvass(m: &Canvass, tag: u32, buf: &mut BytesMut) {
    let fixed = position(FixedOut::<40>::new().u64(m.lineage.0).u64(m.term.0), m.position);
    frame::begin(buf, kind::CANVASS, tag, fixed.u32(m.line_version).u32(m.round));
}

fn put_canvass_reply(m: &CanvassReply, tag: u32, buf: &mut BytesMut) {
    let fixed = position(FixedOut::<48>::new().u64(m.lineage.0).u64(m.term.0), m.position);
    let fixed = fixed.u64(m.wait_us).u32(m.round).u8(flag(m.granted, GRANTED)).spare(3);
    frame::begin(buf, kind::CANVASS_REPLY, tag, fixed);
}

fn put_bid(m: &Bid, tag: u32, buf: &mut BytesMut) {
    let fixed = position(FixedOut::<44>::new().u64(m.lineage.0).u64(m.term.0), m.position);
    let fixed = fixed.u64(m.blessing.unwrap_or_default().0).u8(flag(m.blessing.is_some(), BLESSED)).spare(3);
    frame::begin(buf, kind::BID, tag, fixed);
}

fn put_bid_reply(m: &BidReply, tag: u32, buf: &mut BytesMut) {
    let fixed = FixedOut::<44>::new().u64(m.lineage.0).u64(m.term.0).u64(m.promised.0);
    let fixed = position(fixed, m.position).u8(flag(m.granted, GRANTED)).spare(3);
    frame::begin(buf, kind::BID_REPLY, tag, fixed);
}

fn put_append(m: &Append, tag: u32, buf: &mut BytesMut) {
    debug_assert!(m.entries.len() <= MAX_ENTRIES, "{} entries", m.entries.len());
    let fixed = position(FixedOut::<44>::new().u64(m.lineage.0).u64(m.term.0), m.prev);
    frame::begin(buf, kind::APPEND, tag, fixed.u64(m.commit.0).u8(flag(m.fetched, FETCHED)).spare(3));
    for entry in &m.entries {
        put_field(buf, field::ENTRY, |s| put_entry(s, entry));
    }
}

fn put_snapshot(m: &Snapshot, tag: u32, buf: &mut BytesMut) {
    debug_assert!(m.data.len() <= MAX_PIECE, "a piece of {} bytes", m.data.len());
    let fixed = position(FixedOut::<44>::new().u64(m.lineage.0).u64(m.term.0), m.position);
    let fixed = fixed.u32(m.offset).u32(m.total).u8(flag(m.fetched, FETCHED)).spare(3);
    frame::begin(buf, kind::SNAPSHOT, tag, fixed);
    put_field(buf, field::DATA, |s| s.put(&m.data));
}

fn put_append_reply(m: &AppendReply, tag: u32, buf: &mut BytesMut) {
    let fixed = FixedOut::<36>::new().u64(m.lineage.0).u64(m.term.0).u64(m.identity.0).u64(m.index.0);
    frame::begin(buf, kind::APPEND_REPLY, tag, fixed.u8(flag(m.matched, MATCHED)).spare(3));
}

fn put_bless(m: &Bless, tag: u32, buf: &mut BytesMut) {
    let fixed = FixedOut::<32>::new().u64(m.lineage.0).u64(m.term.0).u64(m.identity.0).u64(m.heir.0);
    frame::begin(buf, kind::BLESS, tag, fixed);
}

fn put_probe_for(m: &ProbeFor, kind: u8, tag: u32, buf: &mut BytesMut) {
    frame::begin(buf, kind, tag, FixedOut::<8>::new().u32(m.slot.0).u16(m.generation.0).spare(2));
    put_addr(buf, m.addr);
}

/// What a whole frame means: `bytes` is what follows the length.
pub(super) fn decode_message(bytes: &Bytes, tag: u32) -> Result<Message, Reject> {
    let (kind, body) = frame::open(bytes, tag)?;
    match kind {
        kind::HELLO => hello(&body).map(Message::Hello),
        kind::PROPOSE => propose(&body).map(Message::Propose),
        kind::PROPOSE_REPLY => propose_reply(&body).map(Message::ProposeReply),
        kind::RELEASE => Ok(Message::Release(Release { lineage: Lineage(body.fixed::<8>()?.u64()?) })),
        kind::CANVASS => canvass(&body).map(Message::Canvass),
        kind::CANVASS_REPLY => canvass_reply(&body).map(Message::CanvassReply),
        kind::BID => bid(&body).map(Message::Bid),
        kind::BID_REPLY => bid_reply(&body).map(Message::BidReply),
        kind::FETCH => fetch(&body).map(Message::Fetch),
        kind::APPEND => append(&body).map(Message::Append),
        kind::SNAPSHOT => snapshot(&body, bytes).map(Message::Snapshot),
        kind::SNAPSHOT_REPLY => snapshot_reply(&body).map(Message::SnapshotReply),
        kind::APPEND_REPLY => append_reply(&body).map(Message::AppendReply),
        kind::OVERRULED => overruled(&body).map(Message::Overruled),
        kind::RESIGNED => read_resigned(&body).map(Message::Resigned),
        kind::BLESS => bless(&body).map(Message::Bless),
        kind::INVITE => invite(&body).map(Message::Invite),
        kind::INVITE_REPLY => invite_reply(&body).map(Message::InviteReply),
        kind::PROBE_FOR => probe_for(&body).map(Message::ProbeFor),
        kind::PROBE_RESULT => probe_for(&body).map(Message::ProbeResult),
        kind::ELSEWHERE => hello(&body).map(Message::Elsewhere),
        kind::MUSTER => muster(&body).map(Message::Muster),
        kind::RECOVER => recover(&body).map(Message::Recover),
        kind::RECOVER_REPLY => recover_reply(&body).map(Message::RecoverReply),
        merges::OFFER => merger::offer(&body).map(Message::Offer),
        merges::BEQUEST => merger::bequest(&body, bytes).map(Message::Bequest),
        merges::BEQUEST_REPLY => merger::bequest_reply(&body).map(Message::BequestReply),
        merges::ENDED => merger::ended(&body).map(Message::Ended),
        kind::FOLLOW => follow(&body).map(Message::Follow),
        kind::TURNED_AWAY => Ok(Message::TurnedAway(TurnedAway { lineage: Lineage(body.fixed::<8>()?.u64()?) })),
        kind::PING => Ok(Message::Ping(body.fixed::<8>()?.u64()?)),
        kind::PONG => Ok(Message::Pong(body.fixed::<8>()?.u64()?)),
        kind::OPEN => {
            let mut c = body.fixed::<24>()?;
            let (incarnation, to) = (Incarnation(c.count()?), Incarnation(c.count()?));
            Ok(Message::Open(Open { incarnation, to, base: c.count()? }))
        }
        kind::RESUME => resume(&body).map(Message::Resume),
        kind::DATA => data(&body, bytes).map(Message::Data),
        kind::TAKEN => {
            let mut c = body.fixed::<16>()?;
            Ok(Message::Taken(Taken { number: c.count()?, credit: c.count()? }))
        }
        kind::DECLINED => declined(&body).map(Message::Declined),
        unknown => Err(Reject::UnknownKind(unknown)),
    }
}

fn resume(body: &Body<'_>) -> Result<Resume, Reject> {
    let mut c = body.fixed::<24>()?;
    Ok(Resume { incarnation: Incarnation(c.count()?), have: c.count()?, credit: c.count()? })
}

fn data(body: &Body<'_>, frame: &Bytes) -> Result<Data, Reject> {
    let mut c = body.fixed::<16>()?;
    let (number, offset) = (c.count()?, c.u32()?);
    let (mut records, mut fields) = (None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == field::DATA {
            once(&mut records, frame.slice_ref(content))?;
        }
    }
    let records = required(records)?;
    if number == 0 || records.is_empty() || records.len() > MAX_PIECE {
        return Err(Reject::Malformed);
    }
    Ok(Data { number, offset, records })
}

fn declined(body: &Body<'_>) -> Result<Declined, Reject> {
    let mut c = body.fixed::<12>()?;
    let (number, code) = (c.count()?, c.u8()?);
    let reason = match code {
        1 => DeclineReason::TooLarge,
        2 => DeclineReason::Stalled,
        other => DeclineReason::Other(other),
    };
    Ok(Declined { number, reason })
}

fn read_position(c: &mut Cursor<'_>) -> Result<Position, Reject> {
    Ok(Position { term: Term(c.count()?), index: Index(c.count()?) })
}

fn hello(body: &Body<'_>) -> Result<Hello, Reject> {
    let mut c = body.fixed::<16>()?;
    let (lineage, term) = (Lineage(c.u64()?), Term(c.count()?));
    let (mut convention, mut parents, mut info, mut fields) = (None, None, None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        match tag {
            field::CONVENTION => once(&mut convention, read_convention(content)?)?,
            field::LINEAGES => once(&mut parents, read_lineages(content)?)?,
            field::MEMBER => once(&mut info, read_member(content)?)?,
            _ => {}
        }
    }
    let (convention, parents) = (required(convention)?, parents.unwrap_or_default());
    Ok(Hello { convention, lineage, parents, term, info: required(info)? })
}

fn muster(body: &Body<'_>) -> Result<Muster, Reject> {
    let mut c = body.fixed::<36>()?;
    let (lineage, term, position) = (Lineage(c.u64()?), Term(c.count()?), read_position(&mut c)?);
    let sealed = c.u8()? & SEALED != 0;
    let (mut voters, mut gone, mut fields) = (Vec::new(), None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        match tag {
            field::SEAT => push_bounded(&mut voters, read_seat(content)?, MAX_VOTERS)?,
            field::GONE => once(&mut gone, read_identities(content)?)?,
            _ => {}
        }
    }
    Ok(Muster { lineage, term, position, sealed, voters, gone: gone.unwrap_or_default() })
}

fn recover(body: &Body<'_>) -> Result<Recover, Reject> {
    let mut c = body.fixed::<24>()?;
    let (lineage, parent, term) = (Lineage(c.u64()?), Lineage(c.u64()?), Term(c.count()?));
    let (mut voters, mut gone, mut fields) = (None, None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        match tag {
            field::VOTERS => once(&mut voters, read_identities(content)?)?,
            field::GONE => once(&mut gone, read_identities(content)?)?,
            _ => {}
        }
    }
    Ok(Recover { lineage, parent, term, voters: required(voters)?, gone: required(gone)? })
}

fn recover_reply(body: &Body<'_>) -> Result<RecoverReply, Reject> {
    let mut c = body.fixed::<44>()?;
    let (lineage, term, seen) = (Lineage(c.u64()?), Term(c.count()?), Term(c.count()?));
    let (position, flags) = (read_position(&mut c)?, c.u8()?);
    Ok(RecoverReply { lineage, term, granted: flags & GRANTED != 0, seen, position })
}

fn read_convention(content: &[u8]) -> Result<String, Reject> {
    let name = read_str(content)?;
    ConventionId::new(name).map_err(|_| Reject::Malformed)?;
    Ok(name.to_owned())
}

fn follow(body: &Body<'_>) -> Result<Follow, Reject> {
    let mut c = body.fixed::<40>()?;
    let (lineage, incarnation, after) = (Lineage(c.u64()?), Incarnation(c.count()?), read_position(&mut c)?);
    let (slot, generation) = (Slot(c.u32()?), Generation(c.u16()?));
    let (mut convention, mut fields) = (None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == field::CONVENTION {
            once(&mut convention, read_convention(content)?)?;
        }
    }
    Ok(Follow { convention: required(convention)?, lineage, incarnation, after, slot, generation })
}

fn propose(body: &Body<'_>) -> Result<Propose, Reject> {
    let mut c = body.fixed::<20>()?;
    let (lineage, term, round) = (Lineage(c.u64()?), Term(c.count()?), c.u32()?);
    let (mut seats, mut fields) = (Vec::new(), body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == field::SEAT {
            push_seat(&mut seats, read_seat(content)?)?;
        }
    }
    Ok(Propose { lineage, round, term, seats })
}

fn propose_reply(body: &Body<'_>) -> Result<ProposeReply, Reject> {
    let mut c = body.fixed::<24>()?;
    let (lineage, term, round, flags) = (Lineage(c.u64()?), Term(c.count()?), c.u32()?, c.u8()?);
    Ok(ProposeReply { lineage, round, accepted: flags & ACCEPTED != 0, durable: flags & DURABLE != 0, term })
}

fn canvass(body: &Body<'_>) -> Result<Canvass, Reject> {
    let mut c = body.fixed::<40>()?;
    let (lineage, term, position) = (Lineage(c.u64()?), Term(c.count()?), read_position(&mut c)?);
    Ok(Canvass { lineage, term, position, line_version: c.u32()?, round: c.u32()? })
}

fn canvass_reply(body: &Body<'_>) -> Result<CanvassReply, Reject> {
    let mut c = body.fixed::<48>()?;
    let (lineage, term, position) = (Lineage(c.u64()?), Term(c.count()?), read_position(&mut c)?);
    let (wait_us, round, flags) = (c.u64()?, c.u32()?, c.u8()?);
    Ok(CanvassReply { lineage, round, term, granted: flags & GRANTED != 0, wait_us, position })
}

fn bid(body: &Body<'_>) -> Result<Bid, Reject> {
    let mut c = body.fixed::<44>()?;
    let (lineage, term, position) = (Lineage(c.u64()?), Term(c.count()?), read_position(&mut c)?);
    let (blessing, flags) = (Term(c.count()?), c.u8()?);
    Ok(Bid { lineage, term, position, blessing: (flags & BLESSED != 0).then_some(blessing) })
}

fn bid_reply(body: &Body<'_>) -> Result<BidReply, Reject> {
    let mut c = body.fixed::<44>()?;
    let (lineage, term, promised) = (Lineage(c.u64()?), Term(c.count()?), Term(c.count()?));
    let (position, flags) = (read_position(&mut c)?, c.u8()?);
    Ok(BidReply { lineage, term, granted: flags & GRANTED != 0, promised, position })
}

fn fetch(body: &Body<'_>) -> Result<Fetch, Reject> {
    let mut c = body.fixed::<32>()?;
    Ok(Fetch { lineage: Lineage(c.u64()?), term: Term(c.count()?), after: read_position(&mut c)? })
}

fn append(body: &Body<'_>) -> Result<Append, Reject> {
    let mut c = body.fixed::<44>()?;
    let (lineage, term, prev) = (Lineage(c.u64()?), Term(c.count()?), read_position(&mut c)?);
    let (commit, flags) = (Index(c.count()?), c.u8()?);
    let (mut entries, mut fields) = (Vec::new(), body.fields());
    let mut last = prev.index;
    while let Some((tag, content)) = fields.next()? {
        if tag == field::ENTRY {
            let entry = decode_entry(content)?;
            if last.next() != Some(entry.index) {
                return Err(Reject::Malformed);
            }
            last = entry.index;
            push_bounded(&mut entries, entry, MAX_ENTRIES)?;
        }
    }
    Ok(Append { lineage, term, prev, commit, fetched: flags & FETCHED != 0, entries })
}

fn snapshot(body: &Body<'_>, frame: &Bytes) -> Result<Snapshot, Reject> {
    let mut c = body.fixed::<44>()?;
    let (lineage, term, position) = (Lineage(c.u64()?), Term(c.count()?), read_position(&mut c)?);
    let (offset, total, flags) = (c.u32()?, c.u32()?, c.u8()?);
    let (mut data, mut fields) = (None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == field::DATA {
            once(&mut data, frame.slice_ref(content))?;
        }
    }
    let data = required(data)?;
    let end = u64::from(offset) + data.len() as u64;
    if end > u64::from(total) || data.len() > MAX_PIECE {
        return Err(Reject::Malformed);
    }
    Ok(Snapshot { lineage, term, position, fetched: flags & FETCHED != 0, offset, total, data })
}

fn snapshot_reply(body: &Body<'_>) -> Result<SnapshotReply, Reject> {
    let mut c = body.fixed::<36>()?;
    let (lineage, term, position) = (Lineage(c.u64()?), Term(c.count()?), read_position(&mut c)?);
    Ok(SnapshotReply { lineage, term, position, offset: c.u32()? })
}

fn append_reply(body: &Body<'_>) -> Result<AppendReply, Reject> {
    let mut c = body.fixed::<36>()?;
    let (lineage, term, identity) = (Lineage(c.u64()?), Term(c.count()?), Identity(c.u64()?));
    let (index, flags) = (Index(c.count()?), c.u8()?);
    Ok(AppendReply { lineage, term, identity, matched: flags & MATCHED != 0, index })
}

fn overruled(body: &Body<'_>) -> Result<Overruled, Reject> {
    let mut c = body.fixed::<16>()?;
    Ok(Overruled { lineage: Lineage(c.u64()?), term: Term(c.count()?) })
}

fn bless(body: &Body<'_>) -> Result<Bless, Reject> {
    let mut c = body.fixed::<32>()?;
    let (lineage, term) = (Lineage(c.u64()?), Term(c.count()?));
    Ok(Bless { lineage, term, identity: Identity(c.u64()?), heir: Identity(c.u64()?) })
}

fn invite(body: &Body<'_>) -> Result<Invite, Reject> {
    let mut c = body.fixed::<20>()?;
    Ok(Invite { lineage: Lineage(c.u64()?), term: Term(c.count()?), round: c.u32()? })
}

fn invite_reply(body: &Body<'_>) -> Result<InviteReply, Reject> {
    let mut c = body.fixed::<24>()?;
    let (lineage, term, round) = (Lineage(c.u64()?), Term(c.count()?), c.u32()?);
    Ok(InviteReply { lineage, term, round, able: c.u8()? & ABLE != 0 })
}

fn probe_for(body: &Body<'_>) -> Result<ProbeFor, Reject> {
    let mut c = body.fixed::<8>()?;
    let (slot, generation) = (Slot(c.u32()?), Generation(c.u16()?));
    let (mut addr, mut fields) = (None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == field::ADDR {
            once(&mut addr, read_addr(content)?)?;
        }
    }
    Ok(ProbeFor { slot, generation, addr: required(addr)? })
}
