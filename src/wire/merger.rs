//! How two lineages of one convention become one. The layout stands in [`crate::wire`].

use crate::types::{Generation, Lineage, Position, Seat, Slot, Term, VoterTag};
use bytes::Bytes;

/// How many absorbed lineages a roll remembers.
pub const MAX_ABSORBED: usize = 16;

/// How many runs one [`super::Absorbed`] names.
pub const MAX_RUNS: usize = 27;

/// Leader to another lineage's leader: mine may take yours in. Holds for the detection time, by the sender's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// The sender's lineage.
    pub lineage: Lineage,
    /// The term that it leads in.
    pub term: Term,
    /// How many candidates vote in it, as long as the offer holds.
    pub candidates: u32,
    /// Which offer.
    pub number: u32,
    /// The other way round: the sender's lineage is to be taken in, an operator decided it.
    pub asks: bool,
}

/// The acceptance of an [`Offer`], with a piece of the roll of the lineage that yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bequest {
    /// The lineage that yields.
    pub lineage: Lineage,
    /// The one that goes on.
    pub into: Lineage,
    /// The term of the leader that yields.
    pub term: Term,
    /// The last entry of the roll, which is committed.
    pub position: Position,
    /// Which offer is accepted.
    pub number: u32,
    /// How many candidates were offered.
    pub candidates: u32,
    /// Where the piece begins.
    pub offset: u32,
    /// The bytes of the whole image.
    pub total: u32,
    /// The piece.
    pub data: Bytes,
}

/// The answer to a [`Bequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BequestReply {
    /// Echo.
    pub lineage: Lineage,
    /// Echo.
    pub into: Lineage,
    /// Echo.
    pub number: u32,
    /// How many bytes of the image are there.
    pub offset: u32,
    /// The offer holds no longer: nothing will come of it.
    pub void: bool,
}

/// A lineage was taken into another: that is committed there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The lineage that ended.
    pub lineage: Lineage,
    /// The one that goes on.
    pub into: Lineage,
    /// What that was founded out of.
    pub parents: Vec<Lineage>,
    /// The term of its leader.
    pub term: Term,
    /// Its leader.
    pub leader: VoterTag,
    /// The version of its line.
    pub line_version: u32,
    /// Which offer; zero where a voter tells one that missed it.
    pub number: u32,
    /// The slot there of the first member: the others follow in the order of their old ones.
    pub base: Slot,
    /// The generation of all of these slots.
    pub generation: Generation,
    /// The place of the last broadcast there before they came.
    pub since: Position,
    /// How far the roll was that was handed over: whoever holds more knows that the lineage went on.
    pub upto: Position,
    /// Its line; nothing where a voter tells one that missed it.
    pub seats: Vec<Seat>,
}

/// Slots in a row that were given equally often, and those that they become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first of the old ones.
    pub old: Slot,
    /// How many.
    pub count: u32,
    /// The first of the new ones.
    pub new: Slot,
    /// How often the old ones were given: whoever had one of them before has no place.
    pub generation: Generation,
}

impl Run {
    /// What an old slot of it becomes, as it was given then.
    #[must_use]
    pub fn place(&self, old: Slot, generation: Generation) -> Option<Slot> {
        if generation != self.generation {
            return None;
        }
        let at = old.0.checked_sub(self.old.0).filter(|at| *at < self.count)?;
        self.new.0.checked_add(at).map(Slot)
    }
}

/// What a roll says of a lineage that was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merger {
    /// Which one.
    pub lineage: Lineage,
    /// The term of its last leader.
    pub term: Term,
    /// The slot of the first member: the others follow in the order of their old slots.
    pub base: Slot,
    /// The generation of all the slots.
    pub generation: Generation,
    /// The place of the last broadcast before: known once it is applied.
    pub since: Position,
    /// How far its roll was that was handed over.
    pub upto: Position,
    /// How many slots.
    pub count: u32,
}
