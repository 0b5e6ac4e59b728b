//! Bugs planted on purpose, so that the simulator's checkers are seen to bite. Nothing of them is in a build without the
//! feature `planted-bugs`: there [`Planted::has`] is always false, and what it guards is compiled away.

/// A rule of the protocol that a node breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "planted-bugs"), allow(dead_code, unreachable_pub))]
pub enum Bug {
    /// A voter grants a second bidder in a term.
    GrantTwice,
    /// A grant goes out without its promise being stored.
    PromiseNotStored,
    /// A restarted voter grants at once.
    GrantAfterRestart,
    /// The roll is not stored, though the promise is.
    RollNotStored,
    /// An entry of an older term is counted as committed by its copies alone.
    CommitOldTerm,
    /// The lease counts from the receipt of the acknowledgements.
    LeaseFromReceipt,
    /// Any acknowledgement renews the lease, whatever heartbeat it echoes.
    LeaseFromStaleAck,
    /// A leader goes on after its lease ended.
    LeaseNotExpired,
    /// A restarted diskless candidate is put in its old place in one change.
    ReadmitBySwap,
    /// Evidence of a death counts against whoever leads when it comes.
    EvidenceUsedTwice,
    /// A slot is given again under the same generation.
    SlotWithoutGeneration,
    /// A member that left is put on the roll again by a late registration.
    DepartedRejoins,
    /// A bidder leads without fetching what its voters have and it hasn't.
    LeadWithoutFetching,
    /// A voter that granted takes entries of an older term.
    TakeOldEntries,
    /// A restarted voter forgets the highest term that it had seen.
    ForgetSeenTerm,
    /// A supporter applies entries before they are committed.
    ApplyUncommitted,
    /// A leader begins a change of the line while another one is under way.
    TwoLineChanges,
    /// A leader changes the line before it has committed an entry of its own term.
    EarlyLineChange,
    /// Who was retired is put on the line again, as if nothing had been decided.
    ReadmitRetired,
    /// Who was retired goes on voting, and its word counts.
    RetiredCounts,
    /// Who moves to another address forgets the highest term that it had seen.
    MoveForgetsTerm,
    /// What isn't committed yet is broadcast already.
    BroadcastBeforeCommit,
    /// The numbers of senders' broadcasts are forgotten: each copy counts anew.
    ForgetSaid,
    /// A member hands on what comes, whatever is missing before it, and says nothing of what it missed.
    SkipBroadcasts,
    /// A broadcast of somebody who was told to have left is handed on.
    SaidAfterLeft,
    /// A losing bidder never tries again.
    NeverBidAgain,
    /// A child lineage is founded without the promise of voters that are not there.
    RecoverWithoutAll,
    /// A voter that promised never to act in a lineage again, because a child of it was to be founded, acts there.
    SealedActs,
    /// A voter counts for gone because another one answers to its name, wherever.
    CountWithoutProof,
    /// The first term of a child lineage follows the last entry's, whatever was seen since.
    RecoveryTermTooLow,
    /// A child lineage begins with the founder's roll, whatever the others hold.
    RecoverWithoutFetching,
    /// A leader that blesses its successor leads on.
    BlesserLeadsOn,
    /// A blessing counts against whoever leads when it comes.
    BlessingOutlivesTerm,
    /// A leader blesses a successor that is not level.
    BlessUnlevel,
    /// How long a bidder withdraws is drawn from something that is not the node's own, instead of the seed.
    RealRandomness,
    /// One address that refuses proves a death, whatever the others of that incarnation answer.
    DeathByOneRefusal,
    /// A beat counts for whoever has the slot now.
    BeatOfFormerOwner,
    /// A heartbeat that came by unicast counts as heard by multicast.
    UnicastIsMulticast,
    /// A leader whose entries don't get through leads on as long as its heartbeats are acknowledged.
    NeverGivesUp,
    /// Any term is believed, however far above all that were seen.
    BelieveAnyTerm,
    /// What was begun when a connection broke is dropped, and nobody hears of it.
    DropSilently,
    /// What was received over an earlier connection is taken again.
    DeliverTwice,
    /// After a new connection messages overtake each other.
    OutOfOrder,
    /// What came of a member is handed on after it was told to have left.
    MessageAfterLeft,
    /// How much of a sender was taken is forgotten where it is told to have left, and is there after all.
    ForgetTheGone,
    /// A sender without credit gets none where others hold all windows.
    NoCreditToBegin,
    /// How far the receiver is is asked once a connection.
    AskOnceHowFar,
    /// A node keeps silent about what it began by the roll of another lineage, and doesn't know of.
    DisownNothing,
    /// Whoever had a slot at any time goes over with it.
    SlotOfAnyGeneration,
    /// A voter whose lineage went on after it was handed over goes over all the same.
    CrossWithMore,
    /// No promise is asked of who holds the roll and has no seat.
    RecoverWithoutUnseated,
    /// A relay passes everything on twice.
    RelayTwice,
    /// A relay passes on what came later first.
    RelayOutOfOrder,
    /// A relay goes on for a member that has left.
    RelayAfterLeft,
    /// Where a pair gets another way, from a circuit or to one, the sender takes for granted that all it had sent on the
    /// former one comes.
    PathForgetsOrder,
    /// Who asked hears of an answer each time that it comes.
    AnswerTwice,
    /// A question that may have been given to one member is given to another one, where that is lost.
    AskAgain,
    /// A claim is confirmed when its entry is in the leader's log, before it is committed.
    ClaimBeforeCommit,
    /// Who leaves keeps its names.
    NamesOutliveOwner,
    /// A request is given to the embedder before it is committed that it begins.
    GiveBeforeBegun,
    /// An answer goes out before it is committed.
    AnswerBeforeCommit,
    /// A new leader gives a request again that one before it had begun.
    BeginAgain,
    /// A snapshot carries nothing of requests.
    SnapshotWithoutRequests,
    /// An answer counts though the node that gives it is off the roll, and the request is known to be unknown.
    AnswerOfTheGone,
    /// In a child lineage a request that was offered in its parent begins anew.
    ParentForgotten,
    /// Who stepped down forgets the lineage, and founds another one.
    ForgetFormerLineage,
    /// Who is bound to a founding is free once another one answers to its proposer's name, wherever.
    FreeWithoutProof,
    /// Who is bound to a founding is free once its proposer is no more, whatever others have of it.
    FreeWithoutAsking,
    /// Members that are taken in keep the slots that they had.
    MergeWithoutNewSlots,
    /// A name that both sides had is told by nobody.
    ConflictNotTold,
    /// A voter of a lineage that was taken in stays the voter that it was.
    SameVoterAfterMerge,
    /// A subscriber takes what comes though it missed what was before.
    SkipsGap,
}

/// The bug of this node, if any.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Planted(#[cfg(feature = "planted-bugs")] Option<Bug>);

impl Planted {
    #[cfg(feature = "planted-bugs")]
    pub(super) fn new(bug: Bug) -> Self {
        Self(Some(bug))
    }

    #[cfg(feature = "planted-bugs")]
    pub(super) fn has(self, bug: Bug) -> bool {
        self.0 == Some(bug)
    }

    /// What a machine drew from the seed, or in its place what the random device would give: here a counter that all
    /// nodes of the process share, which is as foreign to a node's inputs.
    #[cfg(feature = "planted-bugs")]
    pub(super) fn chance(self, drawn: u64) -> u64 {
        use std::sync::atomic::{AtomicU64, Ordering};
        static DEVICE: AtomicU64 = AtomicU64::new(0);
        if self.has(Bug::RealRandomness) {
            return super::rng::Rng::new(DEVICE.fetch_add(1, Ordering::Relaxed)).next();
        }
        drawn
    }

    #[cfg(not(feature = "planted-bugs"))]
    #[allow(clippy::unused_self)]
    pub(super) const fn chance(self, drawn: u64) -> u64 {
        drawn
    }

    #[cfg(not(feature = "planted-bugs"))]
    #[allow(clippy::unused_self)]
    pub(super) const fn has(self, _: Bug) -> bool {
        false
    }
}
