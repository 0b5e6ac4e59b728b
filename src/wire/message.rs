//! What the frames on a stream between two candidates mean. The layout stands in [`crate::wire`].

use super::Resigned;
use super::circuit::Circuit;
use super::datagram::{Note, View};
use super::roll::Entry;
use crate::types::{Generation, Identity, Incarnation, Index, Lineage, MemberInfo, Position, Seat, Slot, Term};
use bytes::Bytes;
use std::net::SocketAddr;

/// A frame's meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// The first frame of both sides.
    Hello(Hello),
    /// Founding: will you found with these?
    Propose(Propose),
    /// Founding: the answer.
    ProposeReply(ProposeReply),
    /// Founding: I withdraw, you are free.
    Release(Release),
    /// Would you grant me this term? Changes nothing at the voter.
    Canvass(Canvass),
    /// What the voter would do.
    CanvassReply(CanvassReply),
    /// Grant me this term.
    Bid(Bid),
    /// The voter's answer.
    BidReply(BidReply),
    /// Give me what follows this position of my roll.
    Fetch(Fetch),
    /// Entries of the roll, from the leader or as the answer to a fetch.
    Append(Append),
    /// A piece of a snapshot of the roll, from the leader or as the answer to a fetch.
    Snapshot(Snapshot),
    /// How much of a snapshot has come: the next piece may be sent.
    SnapshotReply(SnapshotReply),
    /// How far the follower's roll matches the leader's.
    AppendReply(AppendReply),
    /// A voter that promised a higher term says so to a leader of a lower one.
    Overruled(Overruled),
    /// A leader no longer leads.
    Resigned(Resigned),
    /// A leader would hand over to this candidate: could it lead?
    Invite(Invite),
    /// The answer.
    InviteReply(InviteReply),
    /// A leader no longer leads, and names its successor.
    Bless(Bless),
    /// Leader to another candidate: probe this member for me.
    ProbeFor(ProbeFor),
    /// The answer, where the member spoke.
    ProbeResult(ProbeFor),
    /// Among the voters that are left of a line: who I am, what I hold and whom I know to be gone.
    Muster(Muster),
    /// Recovery: will you never act in the parent again, and let me found a lineage out of it?
    Recover(Recover),
    /// Recovery: the answer.
    RecoverReply(RecoverReply),
    /// In place of a Hello, before the connection is closed: I am this one, and another connection of this pair is kept.
    Elsewhere(Hello),
    /// A subscriber's first frame, and its next ones: give me what is committed after this.
    Follow(Follow),
    /// No: I don't hold that, or don't know you, or too many ask.
    TurnedAway(TurnedAway),
    /// Are you there?
    Ping(u64),
    /// I am.
    Pong(u64),
    /// Messages of the sender's embedder are to follow: how much of them is there?
    Open(Open),
    /// So much is there, and so much may come.
    Resume(Resume),
    /// A piece of the embedder's messages.
    Data(Data),
    /// So far they were taken, and so much more may come.
    Taken(Taken),
    /// One of them isn't taken at all.
    Declined(Declined),
    /// About a connection through a relay.
    Circuit(Circuit),
    /// To a member that can't be connected to: who leads, and the line. Nobody else could tell it unasked.
    Leads(View),
    /// A datagram of the embedder's, where datagrams don't get through.
    Note(Note),
}

/// The question before the first message to a peer on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// The sender's incarnation: messages are numbered within it.
    pub incarnation: Incarnation,
    /// The incarnation that they are meant for.
    pub to: Incarnation,
    /// What has a smaller number is acknowledged, or came back.
    pub base: u64,
}

/// The answer to an [`Open`]. What was sent on earlier connections and isn't counted in it never came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// Echo of the incarnation.
    pub incarnation: Incarnation,
    /// All messages up to this number are there, or won't be waited for.
    pub have: u64,
    /// The credit of this connection, from its first [`Data`] on.
    pub credit: u64,
}

/// A piece of the messages to a peer, which follow each other as records: what it is for (4 bits) and the body's length (28
/// bits), then the body. The
/// last record may go on in the next frame. It uses up as much credit as it has bytes of records, and
/// [`RECORD_COST`] for each record that begins in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// The number of the record at the beginning.
    pub number: u64,
    /// How much of that record, its length included, came before.
    pub offset: u32,
    /// The records: 1 to [`super::MAX_PIECE`] bytes.
    pub records: Bytes,
}

/// What a record costs besides its bytes: about what its receiver needs to remember it.
pub const RECORD_COST: usize = 64;

/// The longest body of a record, in bytes.
pub const MAX_RECORD: usize = (1 << 28) - 1;

/// What a record is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RecordKind {
    /// A message of one embedder to another.
    Message,
    /// A request to whoever leads.
    Request,
    /// The answer to a request.
    Answer,
    /// A broadcast, on its way to who spreads it or to who can't hear it otherwise.
    Broadcast,
    /// A question for whoever has a capability, or what came of it: an [`super::Ask`].
    Ask,
    /// One that this version doesn't know: taken, counted and dropped.
    Other(u8),
}

impl RecordKind {
    /// The head of a record: its kind and its body's length, which is at most [`MAX_RECORD`].
    #[must_use]
    pub fn head(self, len: usize) -> [u8; 4] {
        debug_assert!(len <= MAX_RECORD, "{len} bytes");
        let number = match self {
            Self::Message => 0,
            Self::Request => 1,
            Self::Answer => 2,
            Self::Broadcast => 3,
            Self::Ask => 4,
            Self::Other(number) => u32::from(number & 15),
        };
        (number << 28 | len as u32 & MAX_RECORD as u32).to_be_bytes()
    }

    /// What a head says.
    #[must_use]
    pub fn of_head(head: [u8; 4]) -> (Self, usize) {
        let word = u32::from_be_bytes(head);
        let kind = match word >> 28 {
            0 => Self::Message,
            1 => Self::Request,
            2 => Self::Answer,
            3 => Self::Broadcast,
            4 => Self::Ask,
            number => Self::Other(number as u8),
        };
        (kind, word as usize & MAX_RECORD)
    }
}

/// How far messages were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// All messages up to this number were given to the embedder, or never will be.
    pub number: u64,
    /// The credit of this connection, from its first [`Data`] on; it never shrinks.
    pub credit: u64,
}

/// A message isn't taken; the others are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declined {
    /// Which.
    pub number: u64,
    /// Why.
    pub reason: DeclineReason,
}

/// Why a message isn't taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeclineReason {
    /// It is larger than the receiver takes.
    TooLarge,
    /// Its rest didn't come in time.
    Stalled,
    /// A reason that this version doesn't know.
    Other(u8),
}

/// The first frame of both sides of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The convention's full name, 1 to 63 bytes.
    pub convention: String,
    /// The lineage that the sender belongs to; zero where it knows none.
    pub lineage: Lineage,
    /// What that was founded out of, the nearest first: at most [`crate::wire::MAX_PARENTS`].
    pub parents: Vec<Lineage>,
    /// The highest term that it has seen.
    pub term: Term,
    /// Who it is.
    pub info: MemberInfo,
}

/// A founding is proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Propose {
    /// The lineage that it shall have.
    pub lineage: Lineage,
    /// Which try of this founding it is: only answers to the newest count.
    pub round: u32,
    /// The first term.
    pub term: Term,
    /// The line that it shall begin with; each of them is asked.
    pub seats: Vec<Seat>,
}

/// The answer to a [`Propose`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProposeReply {
    /// Echo.
    pub lineage: Lineage,
    /// Echo.
    pub round: u32,
    /// Accepted, or refused.
    pub accepted: bool,
    /// True where the acceptance is durable.
    pub durable: bool,
    /// The highest term that the acceptor has seen.
    pub term: Term,
}

/// A proposer withdraws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// The founding that is off.
    pub lineage: Lineage,
}

/// Would you grant me this term?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canvass {
    /// The lineage.
    pub lineage: Lineage,
    /// The term that it would bid for.
    pub term: Term,
    /// How far its roll reaches.
    pub position: Position,
    /// The version of its line.
    pub line_version: u32,
    /// Comes back in the reply.
    pub round: u32,
}

/// What a voter would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CanvassReply {
    /// Echo.
    pub lineage: Lineage,
    /// Echo.
    pub round: u32,
    /// The highest term that the voter has promised.
    pub term: Term,
    /// Yes or no.
    pub granted: bool,
    /// Where no: how long the voter still waits, in microseconds.
    pub wait_us: u64,
    /// How far its roll reaches.
    pub position: Position,
}

/// Grant me this term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bid {
    /// The lineage.
    pub lineage: Lineage,
    /// The term.
    pub term: Term,
    /// How far the bidder's roll reaches.
    pub position: Position,
    /// The term in which the bidder was itself the leader and which it gives up: a voter that follows that leadership
    /// may grant although it hears it.
    pub blessing: Option<Term>,
}

/// The answer to a [`Bid`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BidReply {
    /// Echo.
    pub lineage: Lineage,
    /// Echo.
    pub term: Term,
    /// Granted or refused.
    pub granted: bool,
    /// The highest term that the voter has promised.
    pub promised: Term,
    /// How far the voter's roll reaches: the bidder's has to cover it before it leads.
    pub position: Position,
}

/// Give me what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetch {
    /// The lineage.
    pub lineage: Lineage,
    /// The term that was granted to the one who fetches.
    pub term: Term,
    /// A position of its own roll that it believes to be shared.
    pub after: Position,
}

/// Entries of the roll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The lineage.
    pub lineage: Lineage,
    /// The leader's term, or the term of the fetch that this answers.
    pub term: Term,
    /// The position right before the first entry.
    pub prev: Position,
    /// How far the roll is committed.
    pub commit: Index,
    /// True where this answers a fetch.
    pub fetched: bool,
    /// The entries, with consecutive indexes.
    pub entries: Vec<Entry>,
}

/// A piece of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The lineage.
    pub lineage: Lineage,
    /// The leader's term, or the term of the fetch that this answers.
    pub term: Term,
    /// The last entry that the snapshot contains.
    pub position: Position,
    /// True where this answers a fetch.
    pub fetched: bool,
    /// Where in the image this piece begins.
    pub offset: u32,
    /// How long the image is.
    pub total: u32,
    /// The piece.
    pub data: Bytes,
}

/// How much of a snapshot has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotReply {
    /// The lineage.
    pub lineage: Lineage,
    /// Echo of the snapshot's term.
    pub term: Term,
    /// Echo of the snapshot's position.
    pub position: Position,
    /// Where the next piece has to begin.
    pub offset: u32,
}

/// How far a follower's roll matches the leader's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendReply {
    /// The lineage.
    pub lineage: Lineage,
    /// Echo of the append's term.
    pub term: Term,
    /// The voter that says so.
    pub identity: Identity,
    /// True: matches, durably where there is a store, up to `index`. False: doesn't match; try from `index`.
    pub matched: bool,
    /// The index.
    pub index: Index,
}

/// A subscriber asks for what is committed. Answered by one [`Append`], by one [`Snapshot`] after another where its
/// position lies too far back, or by [`TurnedAway`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follow {
    /// The convention's full name, 1 to 63 bytes.
    pub convention: String,
    /// The lineage that it is registered in.
    pub lineage: Lineage,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The last entry that it has; zero where it has nothing.
    pub after: Position,
    /// Its slot.
    pub slot: Slot,
    /// The slot's generation.
    pub generation: Generation,
}

/// A subscriber has to ask elsewhere, or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnedAway {
    /// The lineage that it asked for.
    pub lineage: Lineage,
}

/// A higher term was promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overruled {
    /// The lineage.
    pub lineage: Lineage,
    /// The term that was promised.
    pub term: Term,
}

/// A leader would hand over to the one that gets this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invite {
    /// The lineage.
    pub lineage: Lineage,
    /// The term that would end.
    pub term: Term,
    /// Which of its invitations this is.
    pub round: u32,
}

/// The answer to an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InviteReply {
    /// The lineage.
    pub lineage: Lineage,
    /// The term of the invitation.
    pub term: Term,
    /// Its number.
    pub round: u32,
    /// True where it could lead now: it may bid, and reaches a majority of the line.
    pub able: bool,
}

/// A leader ended its leadership for good, in favour of another candidate: whoever followed it grants that one the next
/// term at once, unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bless {
    /// The lineage.
    pub lineage: Lineage,
    /// The term that is over.
    pub term: Term,
    /// The voter that led in it.
    pub identity: Identity,
    /// The voter that shall lead in the next one.
    pub heir: Identity,
}

/// Probe this member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeFor {
    /// The member's slot.
    pub slot: Slot,
    /// The slot's generation.
    pub generation: Generation,
    /// Where it listens.
    pub addr: SocketAddr,
}

/// What a voter without a leader tells the others of its lineage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Muster {
    /// The lineage.
    pub lineage: Lineage,
    /// The highest term that it has seen or heard of.
    pub term: Term,
    /// How far its roll reaches.
    pub position: Position,
    /// True where it has promised never to act in the lineage again.
    pub sealed: bool,
    /// Who may vote in the lineage, by all that its roll says: those of the line in force are marked as voting. One id
    /// may stand more than once. At most [`crate::wire::MAX_VOTERS`].
    pub voters: Vec<Seat>,
    /// The voters of which it knows that they are no more: at most [`crate::wire::MAX_VOTERS`].
    pub gone: Vec<Identity>,
}

/// A child lineage shall be founded by the voters that are left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recover {
    /// The lineage that it shall have.
    pub lineage: Lineage,
    /// The lineage that nobody acts in any more.
    pub parent: Lineage,
    /// Its first term.
    pub term: Term,
    /// All of those that are left; each of them is asked.
    pub voters: Vec<Identity>,
    /// Those that are no more.
    pub gone: Vec<Identity>,
}

/// The answer to a [`Recover`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoverReply {
    /// Echo.
    pub lineage: Lineage,
    /// Echo.
    pub term: Term,
    /// Granted or refused.
    pub granted: bool,
    /// The highest term that the voter has seen.
    pub seen: Term,
    /// How far its roll reaches: the founder's has to cover it.
    pub position: Position,
}
