//! Requests to whoever leads: what stands of them in the roll, and what goes between sender and leader. The layout stands in
//! [`crate::wire`].

use crate::types::{Generation, Incarnation, Lineage, Slot};
use bytes::Bytes;

/// So many numbers behind its oldest open request a sender may use: what the roll keeps of it at most.
pub const REQUEST_WINDOW: u64 = 256;

/// The most bytes of an answer that the roll keeps.
pub const MAX_ANSWER: usize = 16 * 1024;

/// Requests that a leader's node is about to give to its embedder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The slot of the node that gives them.
    pub slot: Slot,
    /// The slot's generation.
    pub generation: Generation,
    /// Whose they are.
    pub opened: Vec<Opened>,
}

/// Requests of one sender that begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The sender's slot.
    pub slot: Slot,
    /// The slot's generation.
    pub generation: Generation,
    /// The sender knows the outcome of all with smaller numbers: nothing is kept of them.
    pub below: u64,
    /// Their numbers, ascending, each less than [`REQUEST_WINDOW`] above `below`; none where only that is told.
    pub numbers: Vec<u64>,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The sender's slot.
    pub slot: Slot,
    /// The slot's generation.
    pub generation: Generation,
    /// The request's number.
    pub number: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a request, as the roll keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was given to an embedder, which answered this: at most [`MAX_ANSWER`] bytes.
    Answered(Bytes),
    /// Nobody knows.
    Unknown(Lost),
}

/// Why the outcome of a request is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Lost {
    /// The node to whose embedder it was given is off the roll, or holds no roll any more.
    Gone,
    /// The embedder to which it was given gave it up.
    Forgotten,
    /// The node that began it led no longer when that was committed. It was not given to anybody.
    NotGiven,
    /// It was offered in another lineage, and nothing of it is kept in this one.
    NotKept,
    /// A reason that this version doesn't know.
    Other(u8),
}

/// How far a request is, in the roll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// The node in this slot gives it to its embedder, and nobody else ever does.
    Begun(Slot, Generation),
    /// It is over.
    Done(Outcome),
}

/// What the roll keeps of one sender's requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// The sender's slot.
    pub slot: Slot,
    /// Nothing is kept of those with smaller numbers.
    pub below: u64,
    /// The others, in the order of their numbers.
    pub requests: Vec<(u64, Stage)>,
}

/// A request, from its sender to the leader: a record of the lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The lineage in which it was offered first.
    pub lineage: Lineage,
    /// The sender's incarnation.
    pub incarnation: Incarnation,
    /// Its number; zero: there is no request, only `below` is told.
    pub number: u64,
    /// The sender knows the outcome of all with smaller numbers.
    pub below: u64,
    /// It may run twice: nothing of it is kept in the roll.
    pub again: bool,
    /// What it says.
    pub body: Bytes,
}

/// An answer on its way: a record of the lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The lineage of who says it.
    pub lineage: Lineage,
    /// The incarnation of the request's sender.
    pub incarnation: Incarnation,
    /// The request's number.
    pub number: u64,
    /// Nothing: from the leader to the request's sender. Else from a node that led before to the leader, about the request of
    /// the member in this slot: what its embedder said.
    pub late: Option<(Slot, Generation)>,
    /// What came of it.
    pub said: Response,
}

/// What an [`Answer`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// It is over.
    Done(Outcome),
    /// Nothing came of it yet, and nothing is kept of it here: offer it again in a moment.
    Later,
}
