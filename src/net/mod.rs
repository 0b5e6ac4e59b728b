//! The sockets: interfaces, multicast, batches of datagrams, streams. It knows nothing of the protocol.
//!
//! A [`Net`] holds all sockets of one node behind one descriptor. Who drives it calls [`Net::poll`], then
//! [`Net::receive`] and [`Net::next_stream`] until nothing is left, sends, and calls [`Net::flush`].
//!
//! - Only chosen interfaces are used, loopback alone where none is named.
//! - The floor and the bench are joined on each interface by a socket of its own, so that an interface that goes away
//!   and comes back is simply joined anew. They share their port with other nodes of the host.
//! - Everything is sent from this node's own port, which it shares with nobody: answers find it. Multicast leaves by
//!   an interface that is named, never by the routing table's guess, with a TTL of 1.
//! - On Linux the kernel's drops are counted, at no cost while there are none; elsewhere they are not.

mod config;
mod iface;
mod links;
mod moving;
mod notice;
mod own;
mod resolve;
mod seeds;
mod send;
mod sockets;
mod stats;
pub(crate) mod sys;
mod tcp;
mod udp;

pub use config::{DEFAULT_GROUP, Discovery, NetConfig, NetConfigBuilder, NetConfigError};
pub use notice::{NetError, NetNotice};
pub use sockets::Net;
pub use stats::NetStats;
pub use tcp::StreamEvent;
pub use udp::Way;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
