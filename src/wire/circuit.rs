//! What the frames mean that reach members who can't be connected to: circuits through a relay, and what is asked of
//! whoever has a capability. The layout stands in [`crate::wire`].

use super::datagram::Sender;
use crate::types::{Capabilities, Incarnation, Lineage, NodeId};
use bytes::Bytes;

/// About a circuit: a connection of two members whose bytes a third one, the relay, passes on.
///
/// A circuit has a number on each of the two connections that it uses: on the caller's one the caller chose it (it is
/// even), on the other one the relay (it is odd).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Circuit {
    /// Caller to relay: connect me with this member.
    Call(Call),
    /// Relay to the one who is called: this one calls.
    Ring(Ring),
    /// The answer to a ring, and then to the call.
    Answered(Answered),
    /// A piece of the circuit's bytes.
    Carried(Carried),
    /// So many bytes may be given to the relay, counted from the beginning.
    More(More),
    /// The circuit is over.
    HangUp(HangUp),
}

/// A call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The circuit's number on this connection.
    pub number: u64,
    /// The caller's lineage.
    pub lineage: Lineage,
    /// Who is called.
    pub id: NodeId,
}

/// Somebody calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    /// The circuit's number on this connection.
    pub number: u64,
    /// The relay's lineage.
    pub lineage: Lineage,
    /// How many bytes the one who is called may send.
    pub credit: u64,
    /// Who calls, as the roll knows it: where it can be connected to, it should be.
    pub from: Sender,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// The circuit stands.
    Taken,
    /// The one who is called has connected to the caller.
    DialledBack,
    /// The relay has no connection to that one.
    NotHere,
    /// Too much is relayed already.
    Busy,
    /// The one who is called doesn't want it, or the caller isn't on the roll.
    Refused,
    /// A later version's.
    Other(u8),
}

/// The answer to a ring or a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The circuit's number on this connection.
    pub number: u64,
    /// The relay says so.
    pub relay: bool,
    /// What came of it.
    pub outcome: CallOutcome,
    /// How many bytes the caller may send; zero where the relay is the one that reads this.
    pub credit: u64,
}

/// A piece of a circuit's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// The circuit's number on this connection.
    pub number: u64,
    /// The relay passes them on.
    pub relay: bool,
    /// 1 to [`crate::wire::MAX_PIECE`] bytes.
    pub data: Bytes,
}

/// More may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct More {
    /// The circuit's number on this connection.
    pub number: u64,
    /// How many bytes may be sent in all.
    pub credit: u64,
}

/// A circuit's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HangUp {
    /// The circuit's number on this connection.
    pub number: u64,
    /// The relay says so.
    pub relay: bool,
}

/// What stands in a record of the kind [`super::RecordKind::Ask`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Counts the asker's questions, within its incarnation.
    pub number: u64,
    /// The asker's incarnation.
    pub incarnation: Incarnation,
    /// What this is.
    pub what: AskPart,
}

/// A question by capability, or what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskPart {
    /// A question for whoever has this capability (one pair), and what it says.
    Question(Capabilities, Bytes),
    /// The answer of the embedder that was given it.
    Reply(Bytes),
    /// It was given to nobody here: the capability is gone.
    NotMine,
    /// It was given to nobody here: too many wait.
    Busy,
}
