//! What the core tells its embedder.

use crate::types::{
    Capabilities, Generation, Identity, Incarnation, Index, LeftReason, Lineage, MemberInfo, Name, NodeId, Position,
    Slot, Standing, Term,
};
use bytes::Bytes;

/// What a node is at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It looks for a convention, or for its way back into one.
    Seeking,
    /// A plain member, registered.
    Member,
    /// A candidate that doesn't lead.
    Supporter,
    /// A witness.
    Witness,
    /// It leads.
    Leader,
    /// A candidate or witness that hears no leader and finds no majority.
    Isolated,
    /// It takes no part any more.
    Stopped,
}

impl Role {
    /// The word that the command line prints.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seeking => "seeking",
            Self::Member => "member",
            Self::Supporter => "supporter",
            Self::Witness => "witness",
            Self::Leader => "leader",
            Self::Isolated => "isolated",
            Self::Stopped => "stopped",
        }
    }
}

/// A place in the line, as it is reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinePlace {
    /// Whose place.
    pub id: NodeId,
    /// The incarnation that last took it.
    pub incarnation: Incarnation,
    /// Its priority.
    pub priority: i32,
    /// True where a voter sits in it that counts.
    pub active: bool,
}

/// Why a node stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// It was asked to leave.
    Left,
    /// A larger incarnation of its id took its place: another process, which was started later. (One whose wall clock was set
    /// back before it started takes a larger incarnation than the one that it finds.)
    Superseded(Incarnation),
    /// Its store can't be written.
    Store,
}

/// What became known of a silent member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accusation {
    /// The leader heard nothing of it and probes it.
    Silent,
    /// It didn't answer the leader: another candidate is asked.
    Unreachable,
}

/// How a handover goes, as the one who hands over tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandoverStep {
    /// The leader decides nothing more, and brings the successor level.
    Begun,
    /// The leader leads no more: its roll reached this position, all of it committed and at this voter, its successor.
    Blessed(Identity, Position),
    /// The successor leads, in this term.
    Done(Term),
    /// It came to nothing.
    Aborted(HandoverFailure),
}

/// Why a handover was aborted. What happened before the blessing leaves the leader what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandoverFailure {
    /// The successor, asked when the handover began, didn't answer within an election round: the leader goes on.
    NoAnswer,
    /// The successor could not lead: it doesn't reach a majority of the line, or is about to go. The leader goes on.
    Unable,
    /// The successor wasn't level within the detection time: the leader goes on.
    NotLevel,
    /// The successor is no longer a candidate in the line, or not connected: the leader goes on.
    Lost,
    /// The leader lost its leadership before the blessing.
    Deposed,
    /// The successor, though blessed, didn't lead within an election round: the old leader bids again, like others.
    Silent,
    /// Another one leads, in this term.
    Overtaken(Term),
}

impl std::fmt::Display for HandoverFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoAnswer => f.write_str("it did not answer"),
            Self::Unable => f.write_str("it could not lead now"),
            Self::NotLevel => f.write_str("it was not level in time"),
            Self::Lost => f.write_str("it was lost before it was level"),
            Self::Deposed => f.write_str("the leadership ended before"),
            Self::Silent => f.write_str("it did not begin to lead"),
            Self::Overtaken(term) => write!(f, "another one leads, in term {term}"),
        }
    }
}

/// What a node finds out about its network or its neighbours.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The leader's heartbeats come, but not by multicast.
    MulticastDeaf,
    /// They come by multicast again.
    MulticastHeard,
    /// As leader: this member is sent heartbeats by unicast.
    UnicastFallback(NodeId),
    /// Frames of another wire version arrive: ours, theirs.
    VersionMismatch(u8, u8),
    /// Another lineage of the same convention's name is about: ours, theirs.
    ForeignLineage(Lineage, Lineage),
    /// Two nodes fight for this id.
    Contended(NodeId),
    /// No founding, or no leader, without these.
    WaitingFor(Vec<NodeId>),
    /// An operator ordered a recovery without these: what they alone hold is lost, and should one of them live, there are
    /// two conventions from here on.
    RecoveryOrdered(Vec<NodeId>),
    /// This candidate stepped down in this lineage, as its store says: it founds nothing, and waits until it finds that
    /// convention, or another one, or an operator gives it up ([`super::Command::Recover`]).
    WaitingForConvention(Lineage),
    /// A founding waits until so many candidates are there: expected, known.
    WaitingForCandidates(usize, usize),
    /// This node's loop was late by so many microseconds.
    Late(u64),
    /// This node was taken off the line for good: it becomes a plain member.
    Retired,
    /// A member is accused: who, of what.
    Accused(NodeId, Accusation),
    /// Messages to and from this node go through that one from now on.
    Relayed(NodeId, NodeId),
    /// A handover of this node's to this candidate: how it goes. Each one that begins is done or aborted in the end.
    Handover(NodeId, HandoverStep),
}

/// The way that the messages of a pair of nodes take.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Path {
    /// A connection between them.
    Direct,
    /// A connection between them that the other one made, which can't be connected to.
    DialledBack,
    /// Through this one, since neither can be connected to, or the one that can wasn't reached.
    Relayed(NodeId),
}

/// By which lane a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageLane {
    /// Ordered and acknowledged: [`super::Node::send`].
    Stream,
    /// One datagram: [`super::Node::send_datagram`].
    Datagram,
    /// To all members: [`super::Node::broadcast`].
    Broadcast,
}

impl MessageLane {
    /// The word that the command line prints.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Datagram => "datagram",
            Self::Broadcast => "broadcast",
        }
    }
}

/// Why a message came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Undelivered {
    /// Nobody of this id is on the roll.
    NoSuchMember,
    /// The receiver left, or was declared gone.
    Left,
    /// Another incarnation took the place of the one that it was sent to.
    Replaced,
    /// The receiver could not be reached in time.
    Unreachable,
    /// The connection ended, and afterwards the receiver no longer knew how far it had come.
    ConnectionLost,
    /// This node was taken off the roll while it was alive and came back as another incarnation.
    Renewed,
    /// The receiver takes no messages as large as this one.
    TooLarge,
    /// The receiver gave it up, since its rest didn't come in time.
    Stalled,
    /// This node stops, or goes to another address.
    Stopped,
}

impl Undelivered {
    /// The word that the command line prints.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoSuchMember => "no_such_member",
            Self::Left => "left",
            Self::Replaced => "replaced",
            Self::Unreachable => "unreachable",
            Self::ConnectionLost => "connection_lost",
            Self::Renewed => "renewed",
            Self::TooLarge => "too_large",
            Self::Stalled => "stalled",
            Self::Stopped => "stopped",
        }
    }
}

/// What came of a request to the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestOutcome {
    /// It was given to a leader's embedder, once, and this is what that answered.
    Answered(Bytes),
    /// It was given to one embedder or to none, and may yet be given to one; nobody knows.
    Unknown(UnknownReason),
}

/// Why nobody knows what came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnknownReason {
    /// The node to whose embedder it was given is off the roll, or no candidate any more, and had not answered.
    LeaderGone,
    /// The embedder to which it was given gave it up ([`super::Node::forget`]).
    Forgotten,
    /// The leader that began it lost its leadership at that moment: it was given to nobody.
    NotGiven,
    /// It was offered in another lineage, and in this one nothing is kept of it.
    NotKept,
    /// This node was taken off the roll while it was alive and came back as another incarnation.
    Renewed,
    /// It was not answered within [`super::ConfigBuilder::request_patience`].
    Patience,
    /// This node went to another address.
    Moved,
    /// This node stops.
    Stopped,
}

impl UnknownReason {
    /// The word that the command line prints.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LeaderGone => "leader_gone",
            Self::Forgotten => "forgotten",
            Self::NotGiven => "not_given",
            Self::NotKept => "not_kept",
            Self::Renewed => "renewed",
            Self::Patience => "patience",
            Self::Moved => "moved",
            Self::Stopped => "stopped",
        }
    }
}

/// What was decided on both sides, and could not stand on both.
///
/// Names are all that there is. Requests are none of it: one that may not run twice keeps the lineage in which it was offered
/// first, and elsewhere it is given only where that lineage's roll has come along. So of all sides one at most gives it; where
/// that isn't the sender's own, the sender hears that the outcome is unknown ([`UnknownReason`]).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Conflict {
    /// A name was claimed on both sides.
    Name {
        /// The name.
        name: Name,
        /// Who had it on the side that took the other in, and keeps it.
        kept: NodeId,
        /// Who had it on the side that was taken in. It is told [`ClaimOutcome::Lost`].
        lost: NodeId,
    },
}

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name { name, kept, lost } => write!(f, "the name {name}: {kept} keeps it, {lost} loses it"),
        }
    }
}

/// What came of a claim, or of what was claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimOutcome {
    /// The name is this node's own: that is committed.
    Yours,
    /// It isn't any more, as was asked: that is committed.
    Released,
    /// This one has it.
    Taken(NodeId),
    /// This node has 64 names, or all together have 65,536: more aren't kept.
    TooMany,
    /// This node had to register anew before it had an answer. Where the name was its own meanwhile, it isn't any more.
    Unknown,
    /// The name was this node's own, and isn't any more: it was taken off the roll while alive, or is in another lineage,
    /// in which somebody else has it.
    Lost,
}

/// What came of an [`super::Command::Ask`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AskOutcome {
    /// It was answered.
    Answered {
        /// By whom.
        from: NodeId,
        /// What it says.
        body: Bytes,
    },
    /// It was given to this one, or may have been, and no answer will come: it left, or the time is up.
    Unknown(NodeId),
    /// It was given to nobody, and never will be: why, and what was asked. Nobody has the capability
    /// ([`Undelivered::NoSuchMember`]), who has it wasn't reached in time, or has no room for more
    /// ([`Undelivered::Stalled`]).
    Undelivered(Undelivered, Bytes),
}

/// What the core tells its embedder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// What this node is changed.
    Role {
        /// What it is now.
        role: Role,
        /// The highest term it knows.
        term: Term,
    },
    /// Whom this node believes to lead changed; told once for each change. The term is the fencing token.
    Leader {
        /// The leader, where there is one.
        leader: Option<NodeId>,
        /// Its term.
        term: Term,
        /// Its lineage.
        lineage: Lineage,
    },
    /// This node's registration is committed.
    Registered {
        /// Its slot.
        slot: Slot,
        /// The slot's generation.
        generation: Generation,
        /// The incarnation that was registered.
        incarnation: Incarnation,
        /// Who leads.
        leader: NodeId,
        /// In which term.
        term: Term,
    },
    /// The committed line changed.
    Line {
        /// Its version.
        version: u32,
        /// The places in order of succession.
        line: Vec<LinePlace>,
    },
    /// A member is on the roll. (Told by those who hold the roll: candidates and witnesses.)
    Joined {
        /// What it told of itself.
        info: MemberInfo,
        /// Its slot.
        slot: Slot,
    },
    /// A member's capabilities changed, or what it is to the line by its own wish.
    Updated {
        /// Who.
        id: NodeId,
        /// Its incarnation.
        incarnation: Incarnation,
        /// Its slot.
        slot: Slot,
        /// What it is to the line, unless it was retired.
        standing: Standing,
        /// Its capabilities.
        capabilities: Capabilities,
    },
    /// A member is off the roll. Nothing about this incarnation follows.
    Left {
        /// Who.
        id: NodeId,
        /// Its incarnation.
        incarnation: Incarnation,
        /// Why.
        reason: LeftReason,
    },
    /// So many voters were gone that the lineage could never go on: those that were left founded a child of it, with the
    /// furthest of their rolls. Told by those who hold the roll.
    Recovered {
        /// The child.
        lineage: Lineage,
        /// What it was founded out of.
        parent: Lineage,
        /// The voters of the old line that count no more. What they alone held is lost; whether there was anything nobody
        /// can know.
        lost: Vec<NodeId>,
        /// How far this node's own roll of the old lineage reached: all of it is in the child's.
        kept: Index,
    },
    /// This side has no majority, and goes on without: in a child of the lineage, with the furthest roll of those that are
    /// here ([`super::Policy::Available`]). The others may go on as well; what is decided on both sides is put together when
    /// they meet ([`Event::Merged`]). Told by those who hold the roll.
    Parted {
        /// The child.
        lineage: Lineage,
        /// What it was founded out of.
        parent: Lineage,
        /// The voters that are not here.
        without: Vec<NodeId>,
        /// How far this node's own roll of the old lineage reached: all of it is in the child's.
        kept: Index,
    },
    /// A name has another owner, or none. (Told by those who hold the roll, before the `Left` of who had it.)
    Name {
        /// The name.
        name: Name,
        /// Who has it.
        owner: Option<NodeId>,
    },
    /// Who has a capability: the answer to [`super::Command::Find`].
    Found {
        /// The number that was given with the question.
        number: u64,
        /// Who, in the order of their slots: as many as fit a datagram (18 of the longest names, about 100 of usual ones),
        /// or 400 where this node holds the roll.
        members: Vec<NodeId>,
        /// How many have it.
        total: usize,
    },
    /// What came of this node's own claims and releases: told once for each, in their order.
    Claimed {
        /// The name.
        name: Name,
        /// What came of it.
        outcome: ClaimOutcome,
    },
    /// This candidate or witness lost its majority: it decides nothing, and keeps what it has. Nobody is told to have left
    /// while it lasts.
    Isolated {
        /// Who of the line it doesn't reach, in the order of the line.
        lost: Vec<NodeId>,
    },
    /// Two sides are one again. Either this node was isolated, and follows or leads its lineage again and holds the roll up
    /// to where the leader was then; or two lineages became one. Those of the lineage that was taken in are told this
    /// first, then what the roll of the other says otherwise: who was told to have left in the lineage that ended may so
    /// join again. Those of the other are told it after the joins.
    Merged {
        /// The lineage that goes on.
        lineage: Lineage,
        /// The one that was taken in; nothing after an isolation.
        absorbed: Option<Lineage>,
        /// Who is on the roll now, and was lost or not on it when the isolation began; whom the other side brought.
        gained: Vec<NodeId>,
        /// Who was on the roll then, and is not now.
        lost: Vec<NodeId>,
        /// What was decided on both sides. Nothing where a side without a majority decides nothing.
        conflicts: Vec<Conflict>,
    },
    /// It has left its convention and begins anew at another address ([`super::Command::Move`]). What was told of members,
    /// line and leader before counts no more, and nothing more is told of it; where the same lineage is found again, all of
    /// it is told once more.
    Moved {
        /// The lineage that it left; zero where it belonged to none.
        left: Lineage,
        /// What it is now: the next start, so to say.
        incarnation: Incarnation,
    },
    /// A message from another node's embedder. Taking this event is what acknowledges it.
    Message {
        /// Who sent it.
        from: NodeId,
        /// The incarnation that sent it.
        incarnation: Incarnation,
        /// What it says: a slice of the buffer in which it came. Copy what is small and kept for long.
        body: Bytes,
        /// By which lane.
        lane: MessageLane,
    },
    /// A message that [`super::Node::send`] had accepted comes back.
    Undeliverable {
        /// Whom it was for.
        to: NodeId,
        /// What it says.
        body: Bytes,
        /// By which lane.
        lane: MessageLane,
        /// Why it comes back.
        reason: Undelivered,
        /// True where it was sent and not acknowledged: it may have been delivered all the same. False: it was not, and
        /// never will be.
        uncertain: bool,
    },
    /// This node's own broadcast of that number is committed: each member that is on the roll is given it.
    BroadcastCommitted {
        /// As [`super::Node::broadcast`] returned it.
        number: u64,
    },
    /// This node's own broadcast comes back.
    BroadcastFailed {
        /// As [`super::Node::broadcast`] returned it.
        number: u64,
        /// What it says.
        body: Bytes,
        /// Why it comes back.
        reason: Undelivered,
        /// True where a leader may have it: it may have been sent all the same. False: it was not, and never will be.
        uncertain: bool,
    },
    /// Broadcasts that were for this node will never be given to it: it was out of reach, or took none, for longer than they
    /// are kept; or their sender had left before there was room for them. Its place among the messages is theirs.
    BroadcastsMissed {
        /// How many; at least as many, where a recovery lies between.
        count: u64,
    },
    /// There is room again for broadcasts, after [`super::SendError::Full`].
    BroadcastWritable,
    /// A request to whoever leads, which is this node. Answer it by [`super::Node::answer`], now or later, as a leader or no
    /// more: who began it is asked, and nobody else is given it. (One that may run twice is given to the next leader too.)
    Request {
        /// Who asks.
        from: NodeId,
        /// The incarnation that asks.
        incarnation: Incarnation,
        /// Its number of this request.
        number: u64,
        /// The term in which this node led when it began: the fencing token.
        term: Term,
        /// It may run twice.
        again: bool,
        /// What it says.
        body: Bytes,
    },
    /// What came of a request of this node's embedder: told exactly once for each, in whatever order.
    Answer {
        /// The number that [`super::Node::request`] gave it.
        number: u64,
        /// What came of it.
        outcome: RequestOutcome,
    },
    /// Another node, or this one, asks whoever has a capability, and chose this node. Answered by [`super::Command::Reply`]
    /// with the same id, incarnation and number; once, and in time ([`super::MessageLimits::answer`]), or the one who asks is told
    /// that the outcome isn't known.
    Asked {
        /// Who asks.
        from: NodeId,
        /// As which incarnation.
        incarnation: Incarnation,
        /// The question's number, among those of that incarnation.
        number: u64,
        /// The capability that it wanted.
        key: String,
        /// Its value.
        value: String,
        /// What it says.
        body: Bytes,
    },
    /// What came of a question of this node's own ([`super::Command::Ask`]): told once for each.
    Reply {
        /// The number that was given with the question.
        number: u64,
        /// What came of it.
        outcome: AskOutcome,
    },
    /// There is room again for messages to this node, after [`super::SendError::Full`].
    Writable {
        /// To whom.
        to: NodeId,
    },
    /// Something about the network.
    Network(Notice),
    /// The last event.
    Stopped(StopReason),
}
