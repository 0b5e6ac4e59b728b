//! A deterministic simulator.
pub mod check;
mod clock;
mod control;
mod disk;
mod faults;
mod host;
mod nemesis;
mod net;
mod observe;
mod packet;
mod process;
mod queue;
mod rng;
mod run;
mod scenario;
mod streams;
mod trace;
mod world;

pub use faults::{Fault, Faults, UnknownFault};
pub use host::{HostId, NodeOptions};
pub use net::{Conditions, Cut};
pub use observe::{Checked, Violation};
pub use run::{Report, Run};
pub use scenario::{Options, Scenario, liveness_bound};
pub use trace::Detail;
pub use world::{Counts, World, WorldBuilder};
