//! The checkers: what must always hold, as small machines that are fed observations.
//!
//! They know nothing of the simulator, so that they can be fed from elsewhere too: from the events of real processes,
//! or from a history that is broken on purpose, to see that they bite.

mod agreement;
mod asks;
mod broadcasts;
mod claims;
mod commits;
mod events;
mod family;
mod findings;
mod founders;
mod leaders;
mod lines;
mod members;
mod mergers;
mod messages;
mod requests;
mod terms;

pub use agreement::{Listed, RollView, Standpoint, disagreement};
pub use asks::Asks;
pub use broadcasts::{Broadcasts, Seat};
pub use claims::{Answer, Claims};
pub use commits::Commits;
pub use events::Events;
pub use family::Family;
pub use findings::Findings;
pub use founders::Founders;
pub use leaders::{Leaders, Leases};
pub use lines::{LineView, Lines};
pub use members::{OnRoll, Slots};
pub use mergers::{Mergers, Voters};
pub use messages::Messages;
pub use requests::Requests;
pub use terms::Terms;

/// One run of one node: what a restart ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Observer {
    /// Which node.
    pub node: u32,
    /// Which run of it.
    pub run: u32,
}

impl std::fmt::Display for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {} run {}", self.node, self.run)
    }
}

/// What a checker says: nothing, or what is wrong, in a sentence.
pub type Verdict = Result<(), String>;
