//! The sans-I/O core: one small machine for each concern, and [`Node`], which routes between them.

mod border;
mod bounds;
mod broadcasts;
mod campaign;
mod config;
mod detector;
mod event;
mod follower;
mod founding;
mod handover;
mod lanes;
mod leadership;
mod limits;
mod log;
mod names;
mod node;
mod outbox;
mod peers;
mod planted;
mod questions;
mod recovery;
mod registrar;
mod rng;
mod roll;
mod subscriber;
mod succession;
mod voter;

pub use border::{
    Command, CommandError, Dest, Lane, LeaderView, Restored, SendError, Start, Stats, StoreWrite, StreamInput,
    StreamOutput,
};
pub use bounds::{Bounds, LinkAssumption, Traffic};
pub use config::{Config, ConfigBuilder, ConfigError, Founding};
pub use event::{
    Accusation, ClaimOutcome, Event, HandoverFailure, HandoverStep, LinePlace, MessageLane, Notice, Role, StopReason,
    Undelivered,
};
pub use limits::MessageLimits;
pub use node::Node;
#[cfg(feature = "planted-bugs")]
pub use planted::Bug;
