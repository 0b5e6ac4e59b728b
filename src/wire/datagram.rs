//! What the datagrams mean. The layout stands in [`crate::wire`].

use super::broadcast::{Broadcast, Unheard};
use super::merger::Run;
use super::request::{Claim, ClaimReply, Find, Found, Missed, News};
use crate::types::{
    Generation, Identity, Incarnation, Index, Lineage, MemberInfo, NodeId, Position, Slot, Standing, Term, VoterTag,
};
use bytes::Bytes;
use std::net::SocketAddr;

/// A datagram's meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Datagram {
    /// Leader to all: I lead.
    Heartbeat(Heartbeat),
    /// Member to leader: I am here.
    Beat(Beat),
    /// Voter to leader: I heard this very heartbeat. The only thing that renews a lease.
    Ack(Ack),
    /// Who leads?
    Seek(Seek),
    /// The answer to a [`Seek`].
    Announce(Announce),
    /// Put me on the roll. Idempotent.
    Join(Join),
    /// You are on the roll, it is committed.
    Registered(Registered),
    /// You are not, for this reason.
    Refused(Refused),
    /// Are you there?
    Probe(Probe),
    /// I am.
    ProbeReply(Probe),
    /// Leader to a node whose beat finds no entry: register again.
    Stranger(Stranger),
    /// Member to leader: take me off the roll.
    Leave(Leave),
    /// Leader to member: that is committed.
    Gone(Leave),
    /// A leader to all: I no longer lead. Immediate evidence.
    Resigned(Resigned),
    /// A message of the sender's embedder.
    Note(Note),
    /// Where is this member?
    WhereIs(WhereIs),
    /// The answer to a [`WhereIs`].
    Whereabouts(Whereabouts),
    /// Member to leader: a name shall be mine, or no longer. Idempotent.
    Claim(Claim),
    /// What came of it.
    ClaimReply(ClaimReply),
    /// Committed entries of the roll: from the leader to all, or as the answer to [`Missed`].
    News(News),
    /// A subscriber to a candidate: I have the roll up to here, and there is more.
    Missed(Missed),
    /// Member to leader: who has this capability?
    Find(Find),
    /// They do.
    Found(Found),
    /// Committed broadcasts: from the leader to all, or as the answer to [`Unheard`].
    Broadcast(Broadcast),
    /// A member to a candidate: I have the broadcasts up to here, and there are more.
    Unheard(Unheard),
    /// The leader of a lineage that ended, to its members: go on in another.
    Absorbed(Absorbed),
}

/// A message of the sender's embedder: unordered, and acknowledged by nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The lineage that both belong to.
    pub lineage: Lineage,
    /// The sender.
    pub from: NodeId,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The incarnation that it is meant for.
    pub to: Incarnation,
    /// The body, at most [`super::MAX_NOTE`] bytes.
    pub body: Bytes,
}

/// Where is this member? Padded to the size of the largest answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhereIs {
    /// Which question it is.
    pub nonce: u64,
    /// The asker's lineage.
    pub lineage: Lineage,
    /// Who is looked for.
    pub id: NodeId,
}

/// Where a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// Echo of the question's number.
    pub nonce: u64,
    /// The lineage of the roll that was looked at.
    pub lineage: Lineage,
    /// Who was looked for.
    pub id: NodeId,
    /// What the roll says of it; nothing where it isn't on it.
    pub found: Option<Sender>,
    /// True where a leader says so, whose roll nobody's is ahead of.
    pub leads: bool,
}

/// The leader's heartbeat, at most 64 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// The lineage that it leads.
    pub lineage: Lineage,
    /// The term that it leads in.
    pub term: Term,
    /// Counts the heartbeats of this term, from 1.
    pub number: u32,
    /// How far the roll is committed.
    pub commit: Index,
    /// The voter that leads: the line tells who it is.
    pub leader: VoterTag,
    /// The low 16 bits of the version of the committed line.
    pub line_version: u16,
    /// The place of the last broadcast that went out.
    pub said: Position,
}

/// A member's heartbeat, at most 24 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// Its slot.
    pub slot: Slot,
    /// The generation of its slot.
    pub generation: Generation,
    /// The low 32 bits of its lineage.
    pub lineage: u32,
    /// The low 16 bits of the number of the last leader heartbeat that came by multicast.
    pub heard: u16,
}

/// A voter's acknowledgement of one heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// Echo of the heartbeat's lineage.
    pub lineage: Lineage,
    /// Echo of the heartbeat's term.
    pub term: Term,
    /// Echo of the heartbeat's number.
    pub number: u32,
    /// The voter that says so.
    pub identity: Identity,
}

/// Who sends, in the frames of discovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// Its name.
    pub id: NodeId,
    /// Which start of it this is.
    pub incarnation: Incarnation,
    /// What votes for it.
    pub identity: Identity,
    /// Whether it may lead or vote.
    pub standing: Standing,
    /// Its priority.
    pub priority: i32,
    /// True where it has a store.
    pub durable: bool,
    /// True where nobody can connect to it.
    pub outbound: bool,
    /// Where it listens, 1 to [`crate::types::MAX_ADDRS`].
    pub addrs: Vec<SocketAddr>,
}

/// "Who leads?" Padded to [`crate::wire::MAX_DATAGRAM`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seek {
    /// Who asks.
    pub from: Sender,
    /// Comes back in the answer.
    pub nonce: u64,
    /// How often it asked before: the supporter of rank r answers from attempt r + 1 on.
    pub attempt: u16,
    /// The lineage that it belongs to; zero where it knows none.
    pub lineage: Lineage,
    /// The highest term that it has seen.
    pub term: Term,
}

/// What a node believes of the convention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The lineage.
    pub lineage: Lineage,
    /// What it was founded out of, the nearest first: at most [`crate::wire::MAX_PARENTS`].
    pub parents: Vec<Lineage>,
    /// The term of the leader, or the highest known where none leads.
    pub term: Term,
    /// The voter that leads, where one is known.
    pub leader: Option<VoterTag>,
    /// The version of the committed line.
    pub line_version: u32,
    /// The line, as much of it as fits the frame: the leader's seat always, then in order of succession.
    pub line: Vec<SeatRef>,
}

/// A seat of the line, as members need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatRef {
    /// Whose seat.
    pub id: NodeId,
    /// The voter in it.
    pub voter: VoterTag,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Its priority.
    pub priority: i32,
    /// True where it counts as a voter.
    pub voting: bool,
    /// The first of its addresses.
    pub addr: SocketAddr,
}

/// The answer to a seek. Never larger than the seek.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announce {
    /// Who answers.
    pub from: Sender,
    /// The nonce of the question.
    pub nonce: u64,
    /// Where the one who asked stands on the roll, where it came from another lineage and does.
    pub place: Option<Place>,
    /// What it believes.
    pub view: View,
}

/// A member's place on a roll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its slot.
    pub slot: Slot,
    /// The slot's generation.
    pub generation: Generation,
    /// The revision of the capabilities that is committed.
    pub revision: u32,
}

/// "Put me on the roll." Padded to [`crate::wire::MAX_DATAGRAM`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// Comes back in the answer.
    pub nonce: u64,
    /// The lineage that it wants to be in; zero where any will do.
    pub lineage: Lineage,
    /// The low 16 bits of the number of the last leader heartbeat that came by multicast; zero where none did.
    pub heard: u16,
    /// What the roll shall keep.
    pub info: MemberInfo,
}

/// "You are on the roll."
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The nonce of the question.
    pub nonce: u64,
    /// The incarnation that is on the roll.
    pub incarnation: Incarnation,
    /// Its slot.
    pub slot: Slot,
    /// The slot's generation.
    pub generation: Generation,
    /// The revision of the capabilities that is committed.
    pub revision: u32,
    /// The place of the last broadcast before it was registered: what follows is for it.
    pub since: Position,
    /// The convention.
    pub view: View,
}

/// Why a registration was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefuseReason {
    /// A larger incarnation of the id is on the roll, or was.
    Superseded,
    /// This incarnation was taken off the roll: come with a larger one.
    Departed,
    /// The roll is full.
    Full,
    /// Not now: come again after the time given.
    Busy,
    /// Another reason that this version doesn't know.
    Other(u8),
}

/// "You are not on the roll."
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The nonce of the question.
    pub nonce: u64,
    /// The lineage that refuses.
    pub lineage: Lineage,
    /// The incarnation that stands in the way; zero where none does.
    pub incarnation: Incarnation,
    /// Why.
    pub reason: RefuseReason,
    /// When to come again, in milliseconds.
    pub retry_ms: u32,
}

/// A probe of a silent member, and its answer. 24 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The slot that is meant.
    pub slot: Slot,
    /// The generation of the slot.
    pub generation: Generation,
    /// The low 32 bits of the lineage.
    pub lineage: u32,
    /// Which probe this is.
    pub token: u16,
}

/// A leader's answer to a beat that finds no entry. At most 24 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stranger {
    /// Echo of the beat's slot.
    pub slot: Slot,
    /// Echo of the beat's generation.
    pub generation: Generation,
    /// The low 32 bits of the leader's lineage.
    pub lineage: u32,
}

/// A member says goodbye, and the leader's confirmation of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leave {
    /// The member's lineage.
    pub lineage: Lineage,
    /// The member's slot.
    pub slot: Slot,
    /// The slot's generation.
    pub generation: Generation,
    /// The member's incarnation.
    pub incarnation: Incarnation,
}

/// A leader no longer leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resigned {
    /// The lineage.
    pub lineage: Lineage,
    /// The term that is over.
    pub term: Term,
    /// The voter that led in it.
    pub identity: Identity,
}

/// The leader of a lineage that ended, to its members: you are in that one now, each with the next incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absorbed {
    /// The lineage that ended.
    pub lineage: Lineage,
    /// The term of its last leader.
    pub term: Term,
    /// The generation of all the new slots.
    pub generation: Generation,
    /// The place of the last broadcast there before its members came.
    pub since: Position,
    /// Whose slot is which: some of the members.
    pub runs: Vec<Run>,
    /// The lineage that goes on.
    pub view: View,
}
