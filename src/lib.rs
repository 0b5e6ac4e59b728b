//! convoke: transport and membership for actor runtimes.

pub mod driver;
pub mod net;
pub mod proto;
pub mod types;
pub mod wire;
