//! The roll's entries, its image in a snapshot, and what a store keeps. The layout stands in [`crate::wire`].

use super::asking::{Begun, Closed, Ledger};
use super::broadcast::Said;
use super::merger::Merger;
use crate::types::{
    Capabilities, Generation, Identity, Incarnation, Index, LeftReason, Line, Lineage, MemberInfo, Name, NodeId,
    Position, Seat, Slot, Standing, Term,
};
use bytes::Bytes;

/// The most voters that one [`super::Muster`] or [`super::Recover`] names.
pub const MAX_VOTERS: usize = 64;

/// How many of its ancestors a lineage names.
pub const MAX_PARENTS: usize = 4;

/// One entry of the roll's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub index: Index,
    /// The term of the leader that made it.
    pub term: Term,
    /// What it changes.
    pub change: Change,
}

impl Entry {
    /// The entry as plain members are told it: of requests only that they are some.
    #[must_use]
    pub fn condensed(&self) -> Self {
        let kind = match &self.change {
            Change::Begun(_) => Change::BEGUN,
            Change::Answered(_) => Change::ANSWERED,
            _ => return self.clone(),
        };
        Self { change: Change::Other { kind, body: Bytes::new() }, ..*self }
    }

    /// True where it is about requests, in whatever form.
    #[must_use]
    pub fn is_of_requests(&self) -> bool {
        let kind = |kind: u8| kind == Change::BEGUN || kind == Change::ANSWERED;
        match &self.change {
            Change::Begun(_) | Change::Answered(_) => true,
            Change::Other { kind: k, .. } => kind(*k),
            _ => false,
        }
    }

    /// Its index and term.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { term: self.term, index: self.index }
    }
}

/// What an entry changes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A leadership begins; nothing else changes.
    Led {
        /// The voter that leads.
        identity: Identity,
    },
    /// A member registered.
    Joined {
        /// Its slot.
        slot: Slot,
        /// The slot's generation.
        generation: Generation,
        /// What it told of itself.
        info: MemberInfo,
    },
    /// A member's capabilities changed.
    Updated {
        /// Its slot.
        slot: Slot,
        /// The slot's generation.
        generation: Generation,
        /// The revision of the capabilities.
        revision: u32,
        /// The new ones.
        capabilities: Capabilities,
    },
    /// A member is off the roll.
    Left {
        /// Its slot.
        slot: Slot,
        /// The slot's generation.
        generation: Generation,
        /// Why.
        reason: LeftReason,
    },
    /// A seat of the line is taken, or its addresses change.
    Seated(Seat),
    /// A voter is taken off the line.
    Unseated {
        /// Whose seat.
        id: NodeId,
        /// The voter that no longer counts.
        identity: Identity,
        /// True where the place in the line is kept for the id.
        keep: bool,
    },
    /// An id is taken off the line for good: it stays a member, whatever it asks for, until it is restored.
    Retired {
        /// Who.
        id: NodeId,
    },
    /// The priority of an id from now on, in place of the one that it is configured with.
    Ranked {
        /// Whose.
        id: NodeId,
        /// Larger ones come first.
        priority: i32,
    },
    /// A member asked, while it runs, to be something else to the line. Restores one that was retired.
    Restood {
        /// Its slot.
        slot: Slot,
        /// The slot's generation.
        generation: Generation,
        /// The revision of its description that asks for it.
        revision: u32,
        /// What it is from now on.
        standing: Standing,
        /// The random number that votes for it.
        identity: Identity,
    },
    /// A member claims a name: it is its own from then on, where nobody has it.
    Claimed {
        /// The member's slot.
        slot: Slot,
        /// The slot's generation.
        generation: Generation,
        /// The name.
        name: Name,
    },
    /// A member gives a name up.
    Released {
        /// The member's slot.
        slot: Slot,
        /// The slot's generation.
        generation: Generation,
        /// The name.
        name: Name,
    },
    /// Another lineage was taken in: its members stand in the slots that are named, each with the next incarnation.
    Absorbed(Merger),
    /// A name was claimed in a lineage that is being taken in, and here.
    Conflict {
        /// That lineage.
        lineage: Lineage,
        /// The name.
        name: Name,
        /// Who has it here, and keeps it.
        kept: NodeId,
        /// Who had it there.
        lost: NodeId,
    },
    /// A member told all others something: its place among the broadcasts follows from that of this entry.
    Said {
        /// The member's slot.
        slot: Slot,
        /// The slot's generation.
        generation: Generation,
        /// Larger than that of its broadcasts before: else nothing is changed by it.
        number: u64,
        /// What it says, at most [`super::MAX_BROADCAST`] bytes.
        body: Bytes,
    },
    /// Requests are about to be given to the embedder of a leader's node.
    Begun(Begun),
    /// Requests are over.
    Answered(Vec<Closed>),
    /// A kind that this version doesn't know: kept and passed on as it is, changes nothing. Plain members are told so of
    /// requests, without a body.
    Other {
        /// The kind's number.
        kind: u8,
        /// Its content.
        body: Bytes,
    },
}

impl Change {
    pub(super) const BEGUN: u8 = 30;
    pub(super) const ANSWERED: u8 = 31;
}

/// One slot of the roll's image: `info` is missing where the slot is free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotImage {
    /// The generation of the present or last owner.
    pub generation: Generation,
    /// The present owner.
    pub info: Option<MemberInfo>,
    /// The place of the last broadcast before it was put on the roll.
    pub since: Position,
}

/// The whole roll as of one position: what a snapshot carries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Image {
    /// The lineage.
    pub lineage: Lineage,
    /// What it was founded out of, the nearest first: at most [`MAX_PARENTS`].
    pub parents: Vec<Lineage>,
    /// The last entry that it contains.
    pub position: Position,
    /// The line.
    pub line: Line,
    /// The slots, from 0 on.
    pub slots: Vec<SlotImage>,
    /// The last incarnation of ids that left, in the order in which they are to be forgotten.
    pub departed: Vec<(NodeId, Incarnation)>,
    /// Who was taken off the line for good, in the order of the ids.
    pub retired: Vec<NodeId>,
    /// The priorities that were decided while running, in the order of the ids.
    pub ranked: Vec<(NodeId, i32)>,
    /// The names that are taken, in their order, each with its owner's slot.
    pub names: Vec<(Name, Slot)>,
    /// The place right before the oldest broadcast that is kept.
    pub said_before: Position,
    /// The newest broadcasts, each whole, in their order.
    pub said: Vec<Said>,
    /// The number of the last broadcast of each member that ever sent one, by slots.
    pub speakers: Vec<(Slot, u64)>,
    /// What is kept of requests, in the order of the senders' slots; nothing in what plain members are given.
    pub requests: Vec<Ledger>,
    /// The lineages that were taken in, the latest last: at most [`super::MAX_ABSORBED`].
    pub absorbed: Vec<Merger>,
}

/// What a voter must not forget. Small; written as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Promise {
    /// The voter's random number, drawn when the store was created.
    pub identity: Identity,
    /// The incarnation of the node's latest start.
    pub incarnation: Incarnation,
    /// The lineage that it belongs to, or has accepted the founding of.
    pub lineage: Lineage,
    /// The highest term that it has promised.
    pub term: Term,
    /// To whom it promised that term, where it did.
    pub granted: Option<Identity>,
    /// The highest term that it has ever reported or seen, in any lineage.
    pub seen: Term,
    /// It never acts in its lineage again: it grants and follows only what is founded out of it. A grant is then the
    /// acceptance of a recovery.
    pub sealed: bool,
    /// Whose founding of the lineage it accepted, where that binds it: it takes part in no other.
    pub founder: Option<Identity>,
    /// Whom that founding names.
    pub party: Vec<Seat>,
    /// The lineage that it stepped down in: it is no voter of it any more, but knows that it is there. Zero: none.
    pub former: Lineage,
}

/// One record of a store's journal. Replayed in order, the records give the voter's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Replaces the promise.
    Promise(Promise),
    /// Appends an entry, in place of all from its index on.
    Entry(Entry),
    /// Replaces the roll by this image and forgets all entries: after it, or in its place, everything is begun anew.
    Image(Image),
}
