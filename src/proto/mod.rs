//! The sans-I/O core: one small machine for each concern, and [`Node`], which routes between them.

mod border;
mod config;
mod event;
mod node;

pub use border::{
    Command, CommandError, Dest, Lane, LeaderView, Restored, Start, Stats, StoreWrite, StreamInput, StreamOutput,
};
pub use config::{Config, ConfigBuilder, ConfigError, Founding};
pub use event::{Accusation, Event, LinePlace, Notice, Role, StopReason};
pub use node::Node;
