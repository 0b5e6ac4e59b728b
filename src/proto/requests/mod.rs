//! Requests to whoever leads: at most once, with an answer, whoever leads meanwhile.
//!
//! A request is known by its sender's id and incarnation and by a number. What the roll keeps of it stands in the sender's
//! *ledger*: that it is begun, by which node; then what came of it. The rules, and what rests on them:
//!
//! 1. A node gives a request to its embedder only once it leads and an entry that says that *it* begins it is committed. A
//!    number is begun once, and then only that node may ever give it: so it is given at most once in a lineage, and in all
//!    that is founded out of it as far as the ledger was kept.
//! 2. An answer goes out once it is committed. What was answered stays answered, whoever leads, until the sender has it.
//! 3. A request that was begun by a node that is off the roll, and not answered by then, is *unknown*: that follows from the
//!    entry that takes the node off, on all replicas alike. A node that lives and leads no longer (after a handover, say) may
//!    still answer: the leader takes its word, and nobody else's.
//! 4. A sender tells with each request below which number it knows all outcomes: nothing is kept of those, and none of them
//!    ever begins. It uses no number that is [`crate::wire::REQUEST_WINDOW`] or more above that.
//! 5. A sender names the lineage in which it offered the request first. In any other one, where the ledger says nothing of it,
//!    it may have been begun and lost: it is unknown, and not begun.
//! 6. A new incarnation offers nothing again that an older one had offered.
//!
//! Requests that may run twice skip all that: whoever leads gives them to its embedder, until one has answered.
//!
//! | part | concern |
//! | --- | --- |
//! | [`asker`] | the sender: what is open, what is offered to whom, outcomes |
//! | [`table`] | what the roll keeps: the same on all who hold it |
//! | [`desk`] | the leader: what waits to be begun or answered, in one batch at a time |
//! | [`bearer`] | the node whose embedder was given requests, while it leads and after |

pub(super) mod asker;
pub(super) mod bearer;
pub(super) mod desk;
pub(super) mod table;

#[cfg(test)]
mod tests;

use crate::types::{Generation, Incarnation, NodeId, Slot};

/// A member's place on the roll.
pub(super) type Place = (Slot, Generation);

/// Which request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) from: NodeId,
    pub(super) incarnation: Incarnation,
    pub(super) number: u64,
}
