//! Broadcasts to all members. The layout stands in [`crate::wire`].

use crate::types::{Generation, Incarnation, Lineage, NodeId, Position, Slot, Term};
use bytes::Bytes;

/// The most bytes of one broadcast's body, 60 KiB: its entry of the roll has to fit a field.
pub const MAX_BROADCAST: usize = 60 << 10;

/// A body that is longer than this goes out in pieces of this size, the last one what is left: one piece fits a
/// [`super::MAX_DATAGRAM`] with the longest id.
pub const BROADCAST_PIECE: usize = 1_000;

/// A broadcast that is committed, or a piece of it.
///
/// Its place is the term of its entry, and how many broadcasts there were in the lineage and those that it was founded out
/// of, with this one. Places grow along a roll, and no two rolls of a family have another broadcast at the same place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Its place in the order of all broadcasts.
    pub place: Position,
    /// Who sent it.
    pub from: NodeId,
    /// The incarnation that sent it.
    pub incarnation: Incarnation,
    /// Its number among those of this incarnation: it grows, and may leave numbers out.
    pub number: u64,
    /// Where in the body this piece begins: a multiple of [`BROADCAST_PIECE`].
    pub offset: u32,
    /// The length of the whole body, at most [`MAX_BROADCAST`].
    pub total: u32,
    /// The piece; the whole body in an image.
    pub data: Bytes,
}

/// Committed broadcasts: from the leader to all, or as the answer to [`Unheard`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broadcast {
    /// The nonce of the question; zero where this answers none.
    pub nonce: u64,
    /// The lineage.
    pub lineage: Lineage,
    /// The term of the leader, as the sender knows it.
    pub term: Term,
    /// The place right before the first of these.
    pub prev: Position,
    /// The newest place that is committed.
    pub newest: Position,
    /// Pieces in the order of their places and offsets, and none left out between them. None in an answer: nothing follows, as far
    /// as the sender knows.
    pub said: Vec<Said>,
}

/// A member's question for what follows. Padded to [`crate::wire::MAX_DATAGRAM`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unheard {
    /// Comes back in the answer.
    pub nonce: u64,
    /// The lineage.
    pub lineage: Lineage,
    /// The last place that it needs nothing of any more.
    pub after: Position,
    /// Its slot.
    pub slot: Slot,
    /// The slot's generation.
    pub generation: Generation,
    /// From where on it lacks the one that follows.
    pub offset: u32,
}

/// What a sender of broadcasts and a leader tell each other: the body of a [`super::RecordKind::Broadcast`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BroadcastRecord {
    /// Sender to leader: this shall be told to all.
    Say {
        /// The sender's incarnation.
        incarnation: Incarnation,
        /// The broadcast's number.
        number: u64,
        /// The number of the one before it, where that goes to this leader as well and has to be taken first; else zero.
        before: u64,
        /// What it says.
        body: Bytes,
    },
    /// Leader to sender: so far they are committed.
    Heard {
        /// The sender's incarnation.
        incarnation: Incarnation,
        /// All up to this number are committed, or were before.
        number: u64,
        /// This one isn't taken now, nor what follows it: it has to come again. Zero: none.
        refused: u64,
    },
}
