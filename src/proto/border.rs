//! The types at the border of the core: what goes in and what comes out.

use crate::types::{Capabilities, CapabilityError, ConnId, Incarnation, Lineage, Name, NodeId, Standing};
use crate::wire::{Entry, Image, Promise, Record, Reject};
use bytes::Bytes;
use std::fmt;
use std::net::SocketAddr;

/// By which way a datagram came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// The multicast group that all members join and on which only a leader speaks.
    Floor,
    /// The multicast group (or port) of candidates and seekers; limited broadcast too.
    Bench,
    /// This node's own address.
    Unicast,
}

/// Where a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dest {
    /// The floor, on every chosen interface.
    Floor,
    /// The bench, on every chosen interface.
    Bench,
    /// Limited broadcast to the bench's port, on every chosen interface.
    Broadcast,
    /// Each of the configured seeds, their names resolved anew.
    Seeds,
    /// One address.
    Addr(SocketAddr),
}

/// What happened to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamInput<'a> {
    /// Somebody connected to this node. The driver chose an odd [`ConnId`] that was never used before.
    Accepted(SocketAddr),
    /// The connection that the core asked for stands.
    Connected,
    /// The connection that the core asked for was refused by the peer's host: nobody listens there.
    Refused,
    /// The connection that the core asked for could not be made for another reason, or took too long.
    Failed,
    /// Bytes came in.
    Bytes(&'a [u8]),
    /// So many bytes that were given by [`StreamOutput::Bulk`] were handed to the system. Tell it once for each turn.
    Written(usize),
    /// The connection ended (end of file, reset, or an error); nothing follows for it.
    Closed,
}

/// What to do with streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamOutput {
    /// Connect to this address; the core chose an even [`ConnId`] that was never used before.
    Connect(ConnId, SocketAddr),
    /// Send these bytes, in order. The core bounds what it gives for each connection.
    Send(ConnId, Bytes),
    /// As `Send`, and the core hears by [`StreamInput::Written`] when the bytes have left the driver: until then it gives no
    /// more than 128 KiB of these for a connection, so that what it has to send meanwhile doesn't wait behind them.
    Bulk(ConnId, Bytes),
    /// Send what was given before, then close. No input is expected for it any more.
    Close(ConnId),
}

/// Records to make durable.
///
/// The driver writes them in order, makes them durable, and calls [`super::Node::handle_stored`] with `seq`; until then
/// the core withholds everything that rests on them. Where that fails it calls [`super::Node::handle_store_failed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreWrite {
    /// Counts the writes, from 1.
    pub seq: u64,
    /// True: the records replace all that was written before (in one atomic step).
    pub replace: bool,
    /// The records.
    pub records: Vec<Record>,
}

/// What a store held when it was opened: the outcome of replaying its records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restored {
    /// The last promise.
    pub promise: Promise,
    /// The last image of the roll, where there was one.
    pub image: Option<Image>,
    /// The entries after it, with consecutive indexes.
    pub entries: Vec<Entry>,
}

impl Restored {
    /// Takes the next record.
    ///
    /// # Errors
    /// The record, where it can't follow (an entry that leaves a gap): the store is damaged.
    pub fn replay(&mut self, record: Record) -> Result<(), Box<Record>> {
        match record {
            Record::Promise(p) => self.promise = p,
            Record::Image(image) => {
                self.entries.clear();
                self.image = Some(image);
            }
            Record::Entry(entry) => {
                let base = self.image.as_ref().map_or(0, |i| i.position.index.0);
                let at = entry
                    .index
                    .0
                    .checked_sub(base)
                    .and_then(|n| n.checked_sub(1))
                    .and_then(|n| usize::try_from(n).ok());
                match at {
                    Some(at) if at <= self.entries.len() => {
                        self.entries.truncate(at);
                        self.entries.push(entry);
                    }
                    _ => return Err(Box::new(Record::Entry(entry))),
                }
            }
        }
        Ok(())
    }
}

/// What the core is told at its start.
#[derive(Debug, Clone)]
pub struct Start {
    /// The seed of all its random choices, and of its voter identity where it has no store. Must differ between nodes and starts.
    pub seed: u64,
    /// The wall clock, microseconds since 1970: the incarnation, where the store holds no larger one. Where it was set back, and
    /// a larger one is on the roll, the node takes the next one after that: the process that was started last stays.
    pub wall_clock_us: u64,
    /// Where it listens, as others shall know it: 1 to [`crate::types::MAX_ADDRS`] addresses.
    pub addrs: Vec<SocketAddr>,
    /// True where a store makes its promises and its roll durable.
    pub durable: bool,
    /// What the store held; nothing where there is no store or it is new.
    pub restored: Option<Restored>,
}

/// What an embedder can ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Leave in order: a leader hands over first (or resigns, where nobody is in sync), a diskless candidate is taken off
    /// the line first. Ends with [`super::Event::Stopped`].
    Leave,
    /// Sets this node's capabilities.
    SetCapabilities(Capabilities),
    /// Go on without these: the voters that are left shall found a child lineage although it isn't proven that these are
    /// gone. What they alone hold is lost, and should one of them live, there are two conventions. Said to one of those
    /// left, and only while nobody leads; where one that left in order, or was given up before, is waited for, to that one of
    /// them that says so ([`super::Notice::WaitingFor`]). Said to a candidate that is bound to a founding which these may
    /// have completed ([`super::Notice::WaitingFor`]), or that waits for the convention in which it stepped down
    /// ([`super::Notice::WaitingForConvention`]), it frees that one to take part in another founding.
    Recover {
        /// Whom to give up.
        without: Vec<NodeId>,
    },
    /// As leader: this lineage is to end, and to be taken into that one, which is about as well
    /// ([`super::Notice::ForeignLineage`]): its members get new places there, names that both have are those of the other.
    /// What [`super::Policy::Available`] decides by itself is under [`super::Policy::Quorum`] decided by this alone. It
    /// stands for as long as this node leads. [`super::Event::Merged`] tells that it is done.
    Yield(Lineage),
    /// Hand the leadership over: to this candidate, or to the first of the line that is in sync. How it went is told in
    /// [`super::Notice::Handover`].
    Handover(Option<NodeId>),
    /// As leader: takes a candidate or witness off the line for good. It stays a member. The decision stands in the roll:
    /// later leaders keep to it, and a restart changes nothing, until that node is promoted by
    /// [`Command::SetStanding`]. It is carried out once the rest of the line has a majority that is in sync. Not the
    /// leader itself: it has to hand over first.
    Retire(NodeId),
    /// As leader: the priority of a candidate or witness from now on, in place of the one that it is configured with,
    /// across its restarts as well.
    SetPriority {
        /// Whose.
        id: NodeId,
        /// Larger ones come first.
        priority: i32,
    },
    /// What this node is to the line from now on. A member that is promoted is put on the line as a new voter once it is
    /// level; a voter that is demoted votes until the line does without it. Nothing of it outlives a restart, but that
    /// a promotion ends a retirement.
    SetStanding(Standing),
    /// Leaves its convention in order and begins anew, as after a restart but in the same process, where the embedder's
    /// discovery points by then: [`super::Node::poll_move`] tells when to swap it, [`super::Event::Moved`] that it is done.
    /// A leader resigns, a voter is taken off the line, then the member leaves; what nobody confirms within 5 detection
    /// times and 16 election rounds is done without. With a driver this is `Driver::move_to`.
    ///
    /// It comes back with a larger incarnation, as another voter, and as what it is configured to be: a candidate founds
    /// there where it would at a start. Of the lineage that it left it hears nothing any more, unless that is found anew:
    /// by its heartbeats on the floor, or by an answer to a question asked after the move.
    Move {
        /// Whether the new address has a floor and a bench.
        multicast: bool,
        /// Whether it has seeds.
        seeds: bool,
    },
    /// Claims a name for this node. Names are unique in the convention; a name is its owner's until it is released, or its
    /// owner is off the roll. The outcome is [`super::Event::Claimed`], however long that takes: it is asked until the
    /// leader has answered, across failovers. At most 256 requests wait for their turn.
    Claim(Name),
    /// Gives a name up. Answered likewise.
    Release(Name),
    /// Asks who has a capability. Answered by [`super::Event::Found`]: at once where this node holds the roll, by the leader
    /// otherwise, who is asked until it has answered. At most 64 questions wait. Who leads has `leader=yes`.
    Find {
        /// Comes back in the answer.
        number: u64,
        /// The capability's key.
        key: String,
        /// Its value.
        value: String,
    },
    /// Asks whoever has a capability: the question is given to *one* member that has it (the one in the lowest slot, and always
    /// the same as long as it has it), in order among all that this node says to that member, and to one embedder at most,
    /// whatever fails. What came of it is told by [`super::Event::Reply`], once, within [`super::MessageLimits::answer`]. At most
    /// 1,024 questions are open, and [`super::MessageLimits::queue`] bytes of them.
    Ask {
        /// Comes back with the outcome.
        number: u64,
        /// The capability's key.
        key: String,
        /// Its value.
        value: String,
        /// What is asked.
        body: Bytes,
    },
    /// Answers an [`super::Event::Asked`].
    Reply {
        /// Who asked.
        to: NodeId,
        /// As which incarnation.
        incarnation: Incarnation,
        /// The question's number.
        number: u64,
        /// The answer.
        body: Bytes,
    },
    /// The addresses where this node listens changed. A leader that loses one resigns first.
    Addresses(Vec<SocketAddr>),
}

/// Why a message was not accepted. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The node has stopped, or leaves for another address.
    Stopped,
    /// So many bytes are the most ([`super::MessageLimits::message`]; for datagrams [`crate::wire::MAX_NOTE`]).
    TooLarge(usize),
    /// Too much waits for this receiver, or for all: [`super::Event::Writable`] tells when there is room.
    Full,
    /// It is this very node.
    Itself,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("the node has stopped"),
            Self::TooLarge(most) => write!(f, "the message is too large: {most} bytes are the most"),
            Self::Full => f.write_str("too much waits to be sent: try again when there is room"),
            Self::Itself => f.write_str("a node sends no messages to itself"),
        }
    }
}

impl std::error::Error for SendError {}

/// Why a request was not accepted. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// The node has stopped, or leaves for another address.
    Stopped,
    /// So many bytes are the most: [`super::MessageLimits::message`] less 64.
    TooLarge(usize),
    /// 1,024 requests are open, or their bytes, and those of answers that weren't taken, are more than
    /// [`super::MessageLimits::queue`]: there is room again when one is answered.
    Full,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("the node has stopped"),
            Self::TooLarge(most) => write!(f, "the request is too large: {most} bytes are the most"),
            Self::Full => f.write_str("too many requests are open: try again when one is answered"),
        }
    }
}

impl std::error::Error for RequestError {}

/// Why an answer was not accepted. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerError {
    /// The node has stopped.
    Stopped,
    /// So many bytes are the most: [`crate::wire::MAX_ANSWER`], or, where the request may run twice,
    /// [`super::MessageLimits::message`] less 64. More goes by message.
    TooLarge(usize),
    /// Nobody waits for it: this node wasn't given such a request, it was answered, or its sender is gone, or knows that its
    /// outcome is unknown.
    NotOpen,
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("the node has stopped"),
            Self::TooLarge(most) => write!(f, "the answer is too large: {most} bytes are the most"),
            Self::NotOpen => f.write_str("nobody waits for this answer"),
        }
    }
}

impl std::error::Error for AnswerError {}

/// Why a command was not carried out. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// The node has stopped.
    Stopped,
    /// There must be 1 to [`crate::types::MAX_ADDRS`] addresses.
    BadAddresses,
    /// A recovery can be ordered only while nobody leads, and without voters of the line that aren't there.
    NotToRecover,
    /// Only a leader can do that: who leads, where that is known.
    NotLeader(Option<NodeId>),
    /// Not while something else is under way: a leadership that has committed nothing yet, a handover, or a change of this
    /// node's own.
    NotReady,
    /// Not with the leader itself: it has to hand over first.
    Leads,
    /// Nobody of this name is in the line, or waits for a place in it.
    NoSeat(NodeId),
    /// Nobody else of the line could lead.
    LastCandidate,
    /// So many decisions of this kind aren't kept, or so many requests don't wait.
    TooMany,
    /// This node isn't registered anywhere yet.
    NotRegistered,
    /// There can be no such capability.
    BadCapability(CapabilityError),
    /// What it says was not accepted.
    NotSent(SendError),
    /// There would be no way to find others: neither multicast nor broadcast, and no seed.
    NoWay,
    /// Nobody can connect to this node, so it can't be a voter.
    OutboundOnly,
    /// It is the lineage that this node leads, or none.
    NoOther,
    /// A handover to this very leader.
    LeadsAlready,
    /// No other candidate is in sync.
    NoSuccessor,
    /// This candidate's roll isn't level with the leader's, it isn't connected, or it wasn't heard lately.
    NotInSync(NodeId),
    /// There is no such candidate in the line: unknown, a witness, on its way out, or not admitted yet.
    NotACandidate(NodeId),
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("the node has stopped"),
            Self::NotToRecover => f.write_str(
                "there is nothing to recover: say it to a voter while nobody leads, and name voters of the line that aren't there",
            ),
            Self::NoSuccessor => f.write_str("no other candidate is in sync"),
            Self::OutboundOnly => f.write_str("nobody can connect to this node, so it can't vote"),
            Self::NoOther => f.write_str("a lineage can be taken into another one only"),
            Self::LeadsAlready => f.write_str("it leads already"),
            Self::NotInSync(id) => write!(f, "{id} is not in sync"),
            Self::NotACandidate(id) => write!(f, "{id} is no candidate in the line that may lead"),
            Self::BadAddresses => write!(f, "a node has 1 to {} addresses", crate::types::MAX_ADDRS),
            Self::NotLeader(None) => f.write_str("only the leader can do that, and none is known"),
            Self::NotLeader(Some(id)) => write!(f, "only the leader can do that: ask {id}"),
            Self::NotReady => f.write_str("another change is under way: try again in a moment"),
            Self::Leads => f.write_str("this node leads: hand over first"),
            Self::NoSeat(id) => write!(f, "{id} is not in the line"),
            Self::LastCandidate => f.write_str("nobody else in the line could lead"),
            Self::TooMany => f.write_str("there are too many of that kind already"),
            Self::BadCapability(why) => why.fmt(f),
            Self::NotSent(why) => why.fmt(f),
            Self::NoWay => f.write_str("there would be no way to find others: name a multicast group or a seed"),
            Self::NotRegistered => f.write_str("this node is not registered yet"),
        }
    }
}

impl std::error::Error for CommandError {}

/// A look at a node, for embedders that ask instead of following events, and for checkers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderView {
    /// Who leads.
    pub id: NodeId,
    /// Where it is spoken to.
    pub addr: Option<SocketAddr>,
}

/// Counters. They only grow; what is dropped is counted by its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
#[allow(missing_docs)] // The names say it, and a sentence each would only repeat them.
pub struct Stats {
    pub datagrams_in: u64,
    pub datagrams_out: u64,
    pub stream_bytes_in: u64,
    pub stream_bytes_out: u64,
    pub beats_in: u64,
    pub heartbeats_in: u64,
    pub dropped_truncated: u64,
    pub dropped_oversized: u64,
    pub dropped_not_ours: u64,
    pub dropped_other_version: u64,
    pub dropped_other_convention: u64,
    pub dropped_other_lineage: u64,
    pub dropped_checksum: u64,
    pub dropped_unknown_kind: u64,
    pub dropped_malformed: u64,
    pub dropped_keyed: u64,
    pub dropped_stale: u64,
    pub dropped_unexpected: u64,
    pub dropped_term_leap: u64,
    pub streams_cut: u64,
    pub streams_cut_crowded: u64,
    pub streams_cut_silent: u64,
    pub streams_cut_malformed: u64,
    pub streams_cut_flooding: u64,
    pub canvasses: u64,
    pub bids: u64,
    pub grants: u64,
    pub leaderships: u64,
    pub leases_lost: u64,
    pub probes_sent: u64,
    pub news_in: u64,
    pub news_out: u64,
    pub repairs: u64,
    pub joins_out: u64,
    pub mergers: u64,
    pub late: u64,
    pub messages_out: u64,
    pub messages_in: u64,
    pub messages_returned: u64,
    pub messages_dropped: u64,
    pub broadcasts_out: u64,
    pub broadcasts_in: u64,
    pub broadcasts_missed: u64,
    pub said_multicast: u64,
    pub said_unicast: u64,
    pub requests_out: u64,
    pub requests_in: u64,
    /// Questions who has a capability that this leader left to be asked again: too many different ones came at once.
    pub finds_dropped: u64,
    /// Requests that this leader had no room for, told to be offered again.
    pub requests_delayed: u64,
    /// Batches of what began and what was answered that this leader put on the roll.
    pub request_batches: u64,
    /// Answers that were not sent for want of room; their senders ask again.
    pub answers_dropped: u64,
    pub lanes_opened: u64,
    pub lanes_closed: u64,
    pub calls: u64,
    pub calls_failed: u64,
    pub circuits_opened: u64,
    pub circuits_refused: u64,
    pub circuits_cut: u64,
    pub relayed_bytes: u64,
}

impl Stats {
    /// Counts bytes that were not taken, by the reason.
    pub(super) fn reject(&mut self, reject: Reject) {
        match reject {
            Reject::Truncated => self.dropped_truncated += 1,
            Reject::Oversized => self.dropped_oversized += 1,
            Reject::NotOurs => self.dropped_not_ours += 1,
            Reject::OtherVersion(_) => self.dropped_other_version += 1,
            Reject::OtherConvention => self.dropped_other_convention += 1,
            Reject::Checksum => self.dropped_checksum += 1,
            Reject::Keyed => self.dropped_keyed += 1,
            Reject::UnknownKind(_) => self.dropped_unknown_kind += 1,
            _ => self.dropped_malformed += 1,
        }
    }
}
