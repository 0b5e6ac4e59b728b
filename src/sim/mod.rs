//! A deterministic simulator.
pub mod check;
mod clock;
mod control;
mod disk;
mod host;
mod net;
mod observe;
mod packet;
mod process;
mod queue;
mod rng;
mod streams;
mod trace;
mod world;

pub use host::{HostId, NodeOptions};
pub use net::{Conditions, Cut};
pub use observe::{Checked, Violation};
pub use trace::Detail;
pub use world::{Counts, World, WorldBuilder};
