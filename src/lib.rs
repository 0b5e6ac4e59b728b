//! convoke: transport and membership for actor runtimes.

pub mod driver;
pub mod net;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod proto;
#[cfg(feature = "sim")]
#[deny(clippy::disallowed_types)]
pub mod sim;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod types;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod wire;
