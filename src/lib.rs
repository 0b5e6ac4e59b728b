//! convoke: transport and membership for actor runtimes.

pub mod driver;
pub mod net;
pub mod proto;
#[cfg(feature = "sim")]
pub mod sim;
pub mod types;
pub mod wire;
