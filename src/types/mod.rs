//! The vocabulary: identifiers, numbers, time, and the plain data that the wire carries and the core decides on.
//!
//! This module imports nothing of ours; every other one may import it.

mod id;
pub(crate) mod line;
pub(crate) mod member;
mod num;
mod time;

pub use id::{ConventionId, IdError, Name, NodeId};
pub use line::{Line, MAX_SEATS, Seat};
pub use member::{Capabilities, CapabilityError, LeftReason, MAX_ADDRS, MAX_CAPABILITY_BYTES, MemberInfo, Standing};
pub use num::{ConnId, Generation, Identity, Incarnation, Index, Lineage, Position, Slot, Term, VoterTag};
pub use time::Time;
