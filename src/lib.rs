//! convoke: transport and membership for actor runtimes.

pub mod proto;
pub mod types;
pub mod wire;
