//! The parts that several frames have in common: members, seats, addresses, capabilities, the view of a convention.

use super::codec::{Body, Counter, Cursor, FixedOut, Sink, once, push_bounded, put_body, put_field, required};
use super::datagram::{Place, SeatRef, Sender, View};
use super::frame::{CHECKSUM, MAX_DATAGRAM};
use super::reject::Reject;
use super::roll::{MAX_PARENTS, MAX_VOTERS};
use crate::types::{
    Capabilities, Generation, Identity, Incarnation, Index, Lineage, MAX_ADDRS, MAX_SEATS, MemberInfo, Name, NodeId,
    Position, Seat, Slot, Standing, Term, VoterTag,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The tags of fields. One tag means the same in whatever body it stands.
pub(super) mod tag {
    pub(in crate::wire) const ID: u8 = 1;
    pub(in crate::wire) const ADDR: u8 = 2;
    pub(in crate::wire) const CAPABILITIES: u8 = 3;
    pub(in crate::wire) const SENDER: u8 = 4;
    pub(in crate::wire) const MEMBER: u8 = 5;
    pub(in crate::wire) const VIEW: u8 = 6;
    pub(in crate::wire) const SEAT_REF: u8 = 7;
    pub(in crate::wire) const SEAT: u8 = 8;
    pub(in crate::wire) const CONVENTION: u8 = 9;
    pub(in crate::wire) const ENTRY: u8 = 10;
    pub(in crate::wire) const DATA: u8 = 11;
    pub(in crate::wire) const SLOT: u8 = 12;
    pub(in crate::wire) const DEPARTED: u8 = 13;
    pub(in crate::wire) const RETIRED: u8 = 16;
    pub(in crate::wire) const RANKED: u8 = 17;
    pub(in crate::wire) const FOUNDER: u8 = 24;
    pub(in crate::wire) const LINEAGES: u8 = 20;
    pub(in crate::wire) const VOTERS: u8 = 21;
    pub(in crate::wire) const GONE: u8 = 22;
    pub(in crate::wire) const PLACE: u8 = 23;
    pub(in crate::wire) const NAME: u8 = 25;
    pub(in crate::wire) const NAMED: u8 = 26;
    pub(in crate::wire) const SINCE: u8 = 35;
    pub(in crate::wire) const SAID: u8 = 36;
    pub(in crate::wire) const SPEAKER: u8 = 37;
    pub(in crate::wire) const OPENED: u8 = 30;
    pub(in crate::wire) const NUMBERS: u8 = 31;
    pub(in crate::wire) const CLOSED: u8 = 32;
    pub(in crate::wire) const LEDGER: u8 = 33;
    pub(in crate::wire) const STAGE: u8 = 34;
    pub(in crate::wire) const LOSER: u8 = 40;
    pub(in crate::wire) const MERGER: u8 = 41;
    pub(in crate::wire) const RUNS: u8 = 42;
}

pub(super) fn position<const N: usize>(out: FixedOut<N>, position: Position) -> FixedOut<N> {
    out.u64(position.term.0).u64(position.index.0)
}

pub(super) fn read_position(c: &mut Cursor<'_>) -> Result<Position, Reject> {
    Ok(Position { term: Term(c.count()?), index: Index(c.count()?) })
}

const DURABLE: u8 = 1;
const MULTICAST: u8 = 2;
const UNPROVABLE: u8 = 4;
const FOLLOWS: u8 = 8;
const OUTBOUND: u8 = 16;
const WITNESS: u8 = 1;
const VOTING: u8 = 2;
const STORED: u8 = 4;
const LEADER: u8 = 1;

/// A bit of a flags byte.
pub(super) fn flag(on: bool, bit: u8) -> u8 {
    if on { bit } else { 0 }
}

// Ids and addresses.

pub(super) fn put_id<S: Sink>(sink: &mut S, id: &NodeId) {
    put_field(sink, tag::ID, |s| s.put(id.as_str().as_bytes()));
}

pub(super) fn read_str(bytes: &[u8]) -> Result<&str, Reject> {
    std::str::from_utf8(bytes).map_err(|_| Reject::Malformed)
}

pub(super) fn read_id(bytes: &[u8]) -> Result<NodeId, Reject> {
    NodeId::new(read_str(bytes)?).map_err(|_| Reject::Malformed)
}

pub(super) fn put_name<S: Sink>(sink: &mut S, name: &Name) {
    put_field(sink, tag::NAME, |s| s.put(name.as_str().as_bytes()));
}

pub(super) fn read_name(bytes: &[u8]) -> Result<Name, Reject> {
    Name::new(read_str(bytes)?).map_err(|_| Reject::Malformed)
}

/// The only field of a body that has to be there: the name.
pub(super) fn only_name(body: &Body<'_>) -> Result<Name, Reject> {
    let (mut name, mut fields) = (None, body.fields());
    while let Some((tag, content)) = fields.next()? {
        if tag == tag::NAME {
            once(&mut name, read_name(content)?)?;
        }
    }
    required(name)
}

/// An address's family is told by the field's length. Scope and flow of IPv6 mean nothing to others and don't travel.
pub(super) fn put_addr<S: Sink>(sink: &mut S, addr: SocketAddr) {
    put_field(sink, tag::ADDR, |s| {
        match addr.ip() {
            IpAddr::V4(ip) => s.put(&ip.octets()),
            IpAddr::V6(ip) => s.put(&ip.octets()),
        }
        s.put(&addr.port().to_be_bytes());
    });
}

pub(super) fn read_addr(bytes: &[u8]) -> Result<SocketAddr, Reject> {
    let (ip, port) = bytes.split_last_chunk::<2>().ok_or(Reject::Malformed)?;
    let ip = if let Ok(four) = <[u8; 4]>::try_from(ip) {
        IpAddr::V4(Ipv4Addr::from(four))
    } else if let Ok(sixteen) = <[u8; 16]>::try_from(ip) {
        IpAddr::V6(Ipv6Addr::from(sixteen))
    } else {
        return Err(Reject::Malformed);
    };
    Ok(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

fn put_addrs<S: Sink>(sink: &mut S, addrs: &[SocketAddr]) {
    debug_assert!((1..=MAX_ADDRS).contains(&addrs.len()), "{} addresses", addrs.len());
    for addr in addrs.iter().take(MAX_ADDRS) {
        put_addr(sink, *addr);
    }
}

/// The fields that senders, members and seats have: an id and 1 to [`MAX_ADDRS`] addresses.
#[derive(Default)]
struct Named {
    id: Option<NodeId>,
    addrs: Vec<SocketAddr>,
}

impl Named {
    /// Takes the field where it is one of these; others are skipped.
    fn take(&mut self, tag: u8, content: &[u8]) -> Result<(), Reject> {
        match tag {
            tag::ID => once(&mut self.id, read_id(content)?),
            tag::ADDR => push_bounded(&mut self.addrs, read_addr(content)?, MAX_ADDRS),
            _ => Ok(()),
        }
    }

    fn done(mut self) -> Result<(NodeId, Vec<SocketAddr>), Reject> {
        if self.addrs.is_empty() {
            return Err(Reject::Malformed);
        }
        // They are kept for as long as their owner is there, by everybody.
        self.addrs.shrink_to_fit();
        Ok((required(self.id)?, self.addrs))
    }

    fn of(body: &Body<'_>) -> Result<(NodeId, Vec<SocketAddr>), Reject> {
        let mut named = Self::default();
        let mut fields = body.fields();
        while let Some((tag, content)) = fields.next()? {
            named.take(tag, content)?;
        }
        named.done()
    }
}

// Capabilities.

pub(super) fn put_capabilities<S: Sink>(sink: &mut S, capabilities: &Capabilities) {
    put_field(sink, tag::CAPABILITIES, |s| {
        for (key, value) in capabilities.iter() {
            // Both lengths fit a byte: `Capabilities::set` saw to it.
            s.put(&[key.len() as u8]);
            s.put(key.as_bytes());
            s.put(&[value.len() as u8]);
            s.put(value.as_bytes());
        }
    });
}

pub(super) fn read_capabilities(bytes: &[u8]) -> Result<Capabilities, Reject> {
    let mut capabilities = Capabilities::new();
    let mut cursor = super::codec::Cursor(bytes);
    let mut last = "";
    while !cursor.0.is_empty() {
        let len = usize::from(cursor.u8()?);
        let key = read_str(cursor.bytes(len)?)?;
        let len = usize::from(cursor.u8()?);
        let value = read_str(cursor.bytes(len)?)?;
        // In order and once each, so that equal capabilities have equal bytes. (An empty key is refused by `set`.)
        if key <= last {
            return Err(Reject::Malformed);
        }
        capabilities.set(key, value).map_err(|_| Reject::Malformed)?;
        last = key;
    }
    Ok(capabilities)
}

// Lists of numbers.

fn read_numbers(bytes: &[u8], max: usize) -> Result<impl Iterator<Item = u64>, Reject> {
    let (numbers, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() || numbers.len() > max {
        return Err(Reject::Malformed);
    }
    Ok(numbers.iter().map(|n| u64::from_be_bytes(*n)))
}

/// Writes the ancestors of a lineage; nothing where there are none.
pub(super) fn put_lineages<S: Sink>(sink: &mut S, lineages: &[Lineage]) {
    debug_assert!(lineages.len() <= MAX_PARENTS, "{} parents", lineages.len());
    if !lineages.is_empty() {
        put_field(sink, tag::LINEAGES, |s| lineages.iter().for_each(|l| s.put(&l.0.to_be_bytes())));
    }
}

pub(super) fn read_lineages(bytes: &[u8]) -> Result<Vec<Lineage>, Reject> {
    Ok(read_numbers(bytes, MAX_PARENTS)?.map(Lineage).collect())
}

pub(super) fn put_identities<S: Sink>(sink: &mut S, tag: u8, identities: &[Identity]) {
    debug_assert!(identities.len() <= MAX_VOTERS, "{} identities", identities.len());
    put_field(sink, tag, |s| identities.iter().for_each(|i| s.put(&i.0.to_be_bytes())));
}

pub(super) fn read_identities(bytes: &[u8]) -> Result<Vec<Identity>, Reject> {
    Ok(read_numbers(bytes, MAX_VOTERS)?.map(Identity).collect())
}

// Standing.

pub(super) fn standing_code(standing: Standing) -> u8 {
    match standing {
        Standing::Member => 0,
        Standing::Candidate => 1,
        Standing::Witness => 2,
    }
}

pub(super) fn read_standing(code: u8) -> Result<Standing, Reject> {
    match code {
        0 => Ok(Standing::Member),
        1 => Ok(Standing::Candidate),
        2 => Ok(Standing::Witness),
        _ => Err(Reject::Malformed),
    }
}

// Senders and members.

pub(super) fn put_sender<S: Sink>(sink: &mut S, sender: &Sender) {
    put_field(sink, tag::SENDER, |s| {
        let fixed = FixedOut::<24>::new()
            .u64(sender.incarnation.0)
            .u64(sender.identity.0)
            .i32(sender.priority)
            .u8(standing_code(sender.standing))
            .u8(flag(sender.durable, DURABLE) | flag(sender.outbound, OUTBOUND))
            .spare(2);
        put_body(s, fixed);
        put_id(s, &sender.id);
        put_addrs(s, &sender.addrs);
    });
}

pub(super) fn read_sender(bytes: &[u8]) -> Result<Sender, Reject> {
    let body = Body::nested(bytes)?;
    let mut c = body.fixed::<24>()?;
    let (incarnation, identity, priority) = (Incarnation(c.count()?), Identity(c.u64()?), c.i32()?);
    let (standing, flags) = (read_standing(c.u8()?)?, c.u8()?);
    let (id, addrs) = Named::of(&body)?;
    let (durable, outbound) = (flags & DURABLE != 0, flags & OUTBOUND != 0);
    Ok(Sender { id, incarnation, identity, standing, priority, durable, outbound, addrs })
}

pub(super) fn put_member<S: Sink>(sink: &mut S, info: &MemberInfo) {
    let flags = flag(info.durable, DURABLE)
        | flag(info.multicast, MULTICAST)
        | flag(!info.provable, UNPROVABLE)
        | flag(info.follows, FOLLOWS)
        | flag(info.outbound, OUTBOUND);
    put_field(sink, tag::MEMBER, |s| {
        let fixed = FixedOut::<28>::new()
            .u64(info.incarnation.0)
            .u64(info.identity.0)
            .i32(info.priority)
            .u8(standing_code(info.standing))
            .u8(flags)
            .spare(2)
            .u32(info.revision);
        put_body(s, fixed);
        put_id(s, &info.id);
        put_addrs(s, &info.addrs);
        if info.capabilities.wire_len() > 0 {
            put_capabilities(s, &info.capabilities);
        }
    });
}

pub(super) fn read_member(bytes: &[u8]) -> Result<MemberInfo, Reject> {
    let body = Body::nested(bytes)?;
    let mut c = body.fixed::<28>()?;
    let (incarnation, identity, priority) = (Incarnation(c.count()?), Identity(c.u64()?), c.i32()?);
    let (standing, flags, _, revision) = (read_standing(c.u8()?)?, c.u8()?, c.u16()?, c.u32()?);
    let (mut named, mut capabilities) = (Named::default(), None);
    let mut fields = body.fields();
    while let Some((tag, content)) = fields.next()? {
        match tag {
            tag::CAPABILITIES => once(&mut capabilities, read_capabilities(content)?)?,
            _ => named.take(tag, content)?,
        }
    }
    let (id, addrs) = named.done()?;
    Ok(MemberInfo {
        id,
        incarnation,
        identity,
        standing,
        priority,
        durable: flags & DURABLE != 0,
        multicast: flags & MULTICAST != 0,
        provable: flags & UNPROVABLE == 0,
        follows: flags & FOLLOWS != 0,
        outbound: flags & OUTBOUND != 0,
        addrs,
        revision,
        capabilities: capabilities.unwrap_or_default(),
    })
}

// Seats.

pub(super) fn put_seat<S: Sink>(sink: &mut S, seat: &Seat) {
    put_field(sink, tag::SEAT, |s| put_seat_body(s, seat));
}

pub(super) fn put_seat_body<S: Sink>(sink: &mut S, seat: &Seat) {
    let fixed = FixedOut::<32>::new()
        .u64(seat.identity.0)
        .u64(seat.incarnation.0)
        .i32(seat.priority)
        .u32(seat.admitted)
        .u32(seat.slot.0)
        .u8(flag(seat.witness, WITNESS) | flag(seat.voting, VOTING) | flag(seat.durable, STORED))
        .spare(3);
    put_body(sink, fixed);
    put_id(sink, &seat.id);
    put_addrs(sink, &seat.addrs);
}

pub(super) fn read_seat(bytes: &[u8]) -> Result<Seat, Reject> {
    let body = Body::nested(bytes)?;
    let mut c = body.fixed::<32>()?;
    let (identity, incarnation) = (Identity(c.u64()?), Incarnation(c.count()?));
    let (priority, admitted, slot, flags) = (c.i32()?, c.u32()?, Slot(c.u32()?), c.u8()?);
    let (id, addrs) = Named::of(&body)?;
    let (witness, voting, durable) = (flags & WITNESS != 0, flags & VOTING != 0, flags & STORED != 0);
    Ok(Seat { id, identity, incarnation, priority, admitted, witness, durable, voting, slot, addrs })
}

/// Adds a seat of a line: at most [`MAX_SEATS`], each id once.
pub(super) fn push_seat(seats: &mut Vec<Seat>, seat: Seat) -> Result<(), Reject> {
    if seats.iter().any(|s| s.id == seat.id) {
        return Err(Reject::Malformed);
    }
    push_bounded(seats, seat, MAX_SEATS)
}

// A member's place.

pub(super) fn put_place<S: Sink>(sink: &mut S, place: &Place) {
    put_field(sink, tag::PLACE, |s| {
        put_body(s, FixedOut::<12>::new().u32(place.slot.0).u16(place.generation.0).spare(2).u32(place.revision));
    });
}

pub(super) fn read_place(bytes: &[u8]) -> Result<Place, Reject> {
    let mut c = Body::nested(bytes)?.fixed::<12>()?;
    let (slot, generation, _, revision) = (Slot(c.u32()?), Generation(c.u16()?), c.u16()?, c.u32()?);
    Ok(Place { slot, generation, revision })
}

// The view of a convention.

fn put_seat_ref<S: Sink>(sink: &mut S, seat: &SeatRef) {
    put_field(sink, tag::SEAT_REF, |s| {
        let fixed = FixedOut::<20>::new()
            .u64(seat.incarnation.0)
            .u32(seat.voter.0)
            .i32(seat.priority)
            .u8(flag(seat.voting, VOTING))
            .spare(3);
        put_body(s, fixed);
        put_id(s, &seat.id);
        put_addr(s, seat.addr);
    });
}

fn read_seat_ref(bytes: &[u8]) -> Result<SeatRef, Reject> {
    let body = Body::nested(bytes)?;
    let mut c = body.fixed::<20>()?;
    let (incarnation, voter) = (Incarnation(c.count()?), VoterTag(c.u32()?));
    let (priority, flags) = (c.i32()?, c.u8()?);
    let (id, addrs) = Named::of(&body)?;
    let addr = required(addrs.first().copied())?;
    Ok(SeatRef { id, voter, incarnation, priority, voting: flags & VOTING != 0, addr })
}

/// Writes a view as the last field of a datagram that begins at the sink's start, as much of its line as fits: the
/// leader's seat always, then in order of succession.
pub(super) fn put_view<S: Sink>(sink: &mut S, view: &View) {
    put_field(sink, tag::VIEW, |s| {
        let fixed = FixedOut::<28>::new()
            .u64(view.lineage.0)
            .u64(view.term.0)
            .u32(view.leader.unwrap_or_default().0)
            .u32(view.line_version)
            .u8(flag(view.leader.is_some(), LEADER))
            .spare(3);
        put_body(s, fixed);
        put_lineages(s, &view.parents);
        let cost = |seat: &SeatRef| {
            let mut counter = Counter::default();
            put_seat_ref(&mut counter, seat);
            counter.0
        };
        let leader = view.line.iter().position(|seat| Some(seat.voter) == view.leader);
        let reserved = leader.map_or(0, |at| cost(&view.line[at]));
        let mut room = (MAX_DATAGRAM - CHECKSUM).saturating_sub(s.at() + reserved);
        let mut seats_left = MAX_SEATS - usize::from(leader.is_some());
        for (at, seat) in view.line.iter().enumerate() {
            let cost = cost(seat);
            if Some(at) == leader {
                put_seat_ref(s, seat);
            } else if cost <= room && seats_left > 0 {
                put_seat_ref(s, seat);
                room -= cost;
                seats_left -= 1;
            } else {
                // From the first that doesn't fit on all are dropped, so that what is there is the line's beginning.
                seats_left = 0;
            }
        }
    });
}

pub(super) fn read_view(bytes: &[u8]) -> Result<View, Reject> {
    let body = Body::nested(bytes)?;
    let mut c = body.fixed::<28>()?;
    let (lineage, term, leader) = (Lineage(c.u64()?), Term(c.count()?), VoterTag(c.u32()?));
    let (line_version, flags) = (c.u32()?, c.u8()?);
    let mut line: Vec<SeatRef> = Vec::new();
    let mut parents = None;
    let mut fields = body.fields();
    while let Some((tag, content)) = fields.next()? {
        if tag == tag::LINEAGES {
            once(&mut parents, read_lineages(content)?)?;
        } else if tag == tag::SEAT_REF {
            let seat = read_seat_ref(content)?;
            if line.iter().any(|s| s.id == seat.id) {
                return Err(Reject::Malformed);
            }
            push_bounded(&mut line, seat, MAX_SEATS)?;
        }
    }
    let (leader, parents) = ((flags & LEADER != 0).then_some(leader), parents.unwrap_or_default());
    Ok(View { lineage, parents, term, leader, line_version, line })
}
