//! The sans-I/O core: one small machine for each concern, and [`Node`], which routes between them.

mod border;
mod bounds;
mod campaign;
mod config;
mod detector;
mod event;
mod follower;
mod founding;
mod handover;
mod leadership;
mod log;
mod names;
mod node;
mod outbox;
mod peers;
mod planted;
mod questions;
mod registrar;
mod rng;
mod roll;
mod subscriber;
mod succession;
mod voter;

pub use border::{
    Command, CommandError, Dest, Lane, LeaderView, Restored, Start, Stats, StoreWrite, StreamInput, StreamOutput,
};
pub use bounds::{Bounds, LinkAssumption, Traffic};
pub use config::{Config, ConfigBuilder, ConfigError, Founding};
pub use event::{Accusation, ClaimOutcome, Event, HandoverFailure, HandoverStep, LinePlace, Notice, Role, StopReason};
pub use node::Node;
#[cfg(feature = "planted-bugs")]
pub use planted::Bug;
