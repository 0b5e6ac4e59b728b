//! Bytes to frames and back.

mod datagram;
mod message;
mod roll;

pub use datagram::*;
pub use message::*;
pub use roll::*;

/// The most bytes of a datagram's payload, checksum included: fits IPv6's least MTU.
pub const MAX_DATAGRAM: usize = 1_200;
