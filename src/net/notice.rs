//! What goes wrong or changes below the protocol, and why a node can't start.

use std::fmt;
use std::io;
use std::net::SocketAddr;

/// What the sockets' layer finds out about the network.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetNotice {
    /// A chosen interface is in use: its name, and this node's address there.
    InterfaceUp(String, SocketAddr),
    /// A chosen interface went away, went down, or changed its address: its name, and the address that is gone.
    InterfaceDown(String, SocketAddr),
    /// A chosen interface can't be used at present: its name, and why.
    InterfaceSkipped(String, String),
    /// The address where this node listens changed: from, to.
    AddressChanged(SocketAddr, SocketAddr),
    /// The receive buffer is smaller than asked for, in bytes: asked, granted. Bursts may be dropped.
    ReceiveBuffer(usize, usize),
    /// The kernel dropped datagrams because this node was too slow to read them: since the last notice, in all.
    ReceiveDrops(u64, u64),
    /// A seed's name can't be resolved: the seed, and why.
    SeedUnresolved(String, String),
    /// A seed's name can be resolved again.
    SeedResolved(String),
    /// Datagrams can't be sent by an interface: its name, and why.
    SendFails(String, String),
    /// They can again.
    SendWorks(String),
    /// Connections can't be accepted for want of descriptors or memory.
    AcceptFails,
}

impl NetNotice {
    /// The word that the command line prints.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::InterfaceUp(..) => "interface_up",
            Self::InterfaceDown(..) => "interface_down",
            Self::InterfaceSkipped(..) => "interface_skipped",
            Self::AddressChanged(..) => "address_changed",
            Self::ReceiveBuffer(..) => "receive_buffer",
            Self::ReceiveDrops(..) => "receive_drops",
            Self::SeedUnresolved(..) => "seed_unresolved",
            Self::SeedResolved(..) => "seed_resolved",
            Self::SendFails(..) => "send_fails",
            Self::SendWorks(..) => "send_works",
            Self::AcceptFails => "accept_fails",
        }
    }
}

impl fmt::Display for NetNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InterfaceUp(name, addr) => write!(f, "{name} is in use, with {addr}"),
            Self::InterfaceDown(name, addr) => write!(f, "{name} with {addr} is gone"),
            Self::InterfaceSkipped(name, why) => write!(f, "{name} can't be used: {why}"),
            Self::AddressChanged(from, to) => write!(f, "listening at {to}, no longer at {from}"),
            Self::ReceiveBuffer(asked, granted) => {
                write!(f, "a receive buffer of {asked} bytes was asked for, {granted} were granted: raise rmem_max")
            }
            Self::ReceiveDrops(new, total) => write!(f, "{new} datagrams dropped unread, {total} in all"),
            Self::SeedUnresolved(seed, why) => write!(f, "the seed {seed} can't be resolved: {why}"),
            Self::SeedResolved(seed) => write!(f, "the seed {seed} can be resolved again"),
            Self::SendFails(name, why) => write!(f, "can't send by {name}: {why}"),
            Self::SendWorks(name) => write!(f, "sending by {name} works again"),
            Self::AcceptFails => f.write_str("connections can't be accepted for want of descriptors or memory"),
        }
    }
}

/// Why a node's sockets could not be set up. Nothing is left behind.
#[derive(Debug)]
#[non_exhaustive]
pub enum NetError {
    /// No interface that is up matches this; these are there.
    NoInterface {
        /// What was asked for.
        pattern: String,
        /// The names of those that are up.
        there: Vec<String>,
    },
    /// The interfaces that were chosen have no address of the family that is needed.
    NoAddress {
        /// True where an IPv6 address is needed.
        v6: bool,
    },
    /// The node can't listen at this address.
    Listen(SocketAddr, io::Error),
    /// This name for the node's own or advertised address can't be resolved.
    Resolve(String, io::Error),
    /// An address that says nothing to others would be told to them, such as 0.0.0.0.
    Unspecified(SocketAddr),
    /// This multicast group can't be joined.
    Join(SocketAddr, io::Error),
    /// A node that runs can't go over to a group of the other family.
    OtherFamily {
        /// The group.
        group: SocketAddr,
        /// Where the node listens.
        local: SocketAddr,
    },
    /// Something else that the system denied: what.
    System(&'static str, io::Error),
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInterface { pattern, there } => {
                write!(f, "no interface that is up matches {pattern:?}: there are {}", there.join(", "))
            }
            Self::NoAddress { v6 } => {
                let family = if *v6 { "IPv6" } else { "IPv4" };
                write!(f, "none of the chosen interfaces has an {family} address: choose another interface or group")
            }
            Self::Listen(addr, e) => write!(f, "can't listen at {addr}: {e}"),
            Self::Resolve(name, e) => write!(f, "can't resolve {name}: {e}"),
            Self::Unspecified(addr) => {
                write!(f, "others can't connect to {addr}: name the address that they shall use (advertise)")
            }
            Self::Join(group, e) => write!(f, "can't join {group}: {e}"),
            Self::OtherFamily { group, local } => {
                write!(
                    f,
                    "the group {group} is not of the family of {local}, where this node listens: start it anew there"
                )
            }
            Self::System(what, e) => write!(f, "can't {what}: {e}"),
        }
    }
}

impl std::error::Error for NetError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen(_, e) | Self::Resolve(_, e) | Self::Join(_, e) | Self::System(_, e) => Some(e),
            Self::NoInterface { .. } | Self::NoAddress { .. } | Self::Unspecified(_) | Self::OtherFamily { .. } => None,
        }
    }
}
