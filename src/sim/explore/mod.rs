//! A model check of the real core: all states that a few candidates can come to, within stated bounds.
//!
//! The simulator draws runs by chance; this walks through *all* of them that are near: from a prepared state
//! ([`Stage`]: candidates that agree, or one that a script has led astray) every order of arrivals, loss, broken
//! connection, crash, start and command that the [`Budget`] allows, breadth first, each state once. The nodes are
//! [`crate::proto::Node`]s, copied; nothing of the protocol is modelled.
//!
//! # Two measures of depth
//!
//! - [`Depth::Steps`]: every thing that happens counts, the arrival of one message or one deadline. Exhaustive, and soon
//!   large: an election takes some 40 steps.
//! - [`Depth::Deviations`]: only what departs from the default counts, which is that everything arrives in a fixed
//!   order before time passes, and that nodes are woken in time. (Delay-bounded scheduling: Emmi, Qadeer and Rakamarić
//!   2011.) With two or three deviations, over several detection times, it sees what steps would never reach.
//!
//! In both the way that is found first has the fewest; it is told as a trace.
//!
//! # What is not explored
//!
//! Everything that is found can happen (no false alarm), but not everything that can happen is found: time passes from
//! deadline to deadline, and something arrives at an instant at which a node was woken and did something that others
//! see; all clocks show the same; datagrams are lost or late but not doubled; a stream's pieces are as they were sent;
//! chance is drawn from one seed for each start.
//!
//! # What is checked in each state
//!
//! 1. At most one leader in each term, never again in a term it gave up; at most one unexpired lease; no leader after its
//!    lease. 2. No node's term goes back. 3. What one holds for committed, nobody holds another entry for; a leader's roll
//!    holds all that was ever committed.
//!
//! ```
//! use convoke::sim::explore::{Budget, Depth, Explorer, Stage};
//!
//! let mut stage = Stage::founded(3, false);
//! stage.crash(0);
//! let budget = Budget { reorders: 2, ..Budget::default() };
//! let report = Explorer::new(stage).budget(budget).depth(Depth::Steps(6)).explore();
//! println!("{report}");
//! assert!(report.found.is_none() && report.complete);
//! ```

mod facts;
mod moves;
mod print;
mod stage;
mod walk;
mod wires;

pub use moves::Budget;
pub use stage::Stage;
pub use walk::{Depth, Explored, Explorer, Found};
pub use wires::{Block, PipeId};
