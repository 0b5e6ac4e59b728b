//! The sans-I/O core: one small machine for each concern, and [`Node`], which routes between them.

mod agreement;
mod asks;
mod border;
mod bounds;
mod broadcasts;
mod campaign;
mod config;
mod detector;
mod event;
mod flood;
mod follower;
mod founding;
mod handover;
mod lanes;
mod leadership;
mod limits;
mod log;
mod merging;
mod names;
mod node;
mod outbox;
mod peers;
mod planted;
mod questions;
mod recovery;
mod registrar;
mod requests;
mod rng;
mod roll;
mod subscriber;
mod succession;
mod voter;

pub use agreement::Agreement;
pub use border::{
    AnswerError, Command, CommandError, Dest, Lane, LeaderView, RequestError, Restored, SendError, Start, Stats,
    StoreWrite, StreamInput, StreamOutput,
};
pub use bounds::{Bounds, LinkAssumption, Traffic};
pub use config::{Config, ConfigBuilder, ConfigError, Founding, Policy};
pub use event::{
    Accusation, AskOutcome, ClaimOutcome, Conflict, Event, HandoverFailure, HandoverStep, LinePlace, MessageLane,
    Notice, Path, RequestOutcome, Role, StopReason, Undelivered, UnknownReason,
};
pub use limits::MessageLimits;
pub use node::Node;
#[cfg(feature = "planted-bugs")]
pub use planted::Bug;
