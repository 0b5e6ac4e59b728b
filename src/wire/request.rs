//! What members ask about the roll, and what they are told of it, by datagrams. The layout stands in [`crate::wire`].

use super::roll::Entry;
use crate::types::{Capabilities, Generation, Incarnation, Index, Lineage, Name, NodeId, Position, Slot, Term};

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
