//! The shell around the core: sockets, a clock and a store, in the caller's loop or on a thread of its own.
//!
//! ```text
//!   your mio::Poll ── one token ──> Driver ─┬─ Node   (the core: decides)
//!   or: your thread, in Driver::wait ───────┼─ Net    (sockets behind one descriptor)
//!   or: Handle ── queues ── thread ─────────┴─ Store  (where there is one)
//! ```
//!
//! # In a loop of your own
//! 1. [`Driver::bind`] with your [`mio::Registry`] and a token.
//! 2. Poll for at most [`Driver::timeout`].
//! 3. Call [`Driver::advance`], at each turn, whichever token was reported: the descriptor tells each change once, and
//!    timers run here too. It works within a budget; while work is left, the time-out is zero.
//! 4. Take the events by [`Driver::poll_event`] until there is none.
//! 5. [`Driver::command`] and [`Driver::send`] at any time between turns ([`Driver::flush`] where an answer shall go out at
//!    once); then go on with step 2.
//!
//! A thread that does nothing else needs no poll: [`Driver::open`] instead of step 1, [`Driver::wait`] instead of step 2, and
//! [`Driver::waker`] for those who want something of it.
//!
//! # On a thread of its own
//! [`Handle::spawn`] gives a handle with bounded queues, and a descriptor that becomes readable when events wait, for any
//! other kind of loop.
//!
//! # Thousands of connections
//! What a node's process needs of its system grows with the number of those that it talks to:
//! - **Descriptors.** Eight for the node, four for its store, one for each connection. `RLIMIT_NOFILE` is often 1,024 as shipped, while the hard
//!   limit is far above: raise the soft one at the start of the process (`setrlimit`, `ulimit -n`, `LimitNOFILE=` of
//!   systemd). Where there are none left the node goes on, accepts nobody for a moment, and says
//!   [`crate::net::NetNotice::AcceptFails`].
//! - **How many at all**: [`crate::net::NetConfigBuilder::max_streams`] (4,096); how many of them that have not said who they
//!   are: [`crate::proto::ConfigBuilder::max_strangers`] (1,024). Both are counted where they bite.
//! - **Neighbours.** Above `net.ipv4.neigh.default.gc_thresh3` (1,024) neighbours on one segment Linux throws out the ones
//!   that are in use, and each packet costs microseconds more: set it to at least twice the number of hosts on the segment
//!   (and `net.ipv6...` likewise). A leader speaks to its members by multicast, which needs none.
//! - **Memory**: about 1 kB of user memory for each idle connection, 4 kB of the kernel's.
//! - **Idle ones are closed** after [`crate::proto::MessageLimits::idle`] (30 s), so that a leader of ten thousand has few.
//!
//! # Time
//! Both read `CLOCK_BOOTTIME` on Linux, which counts suspension, and a monotonic clock elsewhere.

mod file_store;
mod handle;
mod journal;
mod outgoing;
mod shell;
mod store;

pub use file_store::FileStore;
pub use handle::{Handle, QueueError, ShutdownError};
pub use shell::Driver;
pub use store::{Store, StoreError};

use crate::net::{NetConfig, NetError, NetNotice};
use crate::proto::{Command, CommandError, Config, Event};
use std::fmt;
use std::io;

/// What a node is made of.
pub struct Setup {
    /// What it is in the convention.
    pub config: Config,
    /// Where it listens, and by which ways it looks for others.
    pub net: NetConfig,
    /// Where its promises and its roll survive a restart; without one a restarted candidate is a new voter.
    pub store: Option<Box<dyn Store + Send>>,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, net, store } = self;
        f.debug_struct("Setup").field("config", config).field("net", net).field("store", &store.is_some()).finish()
    }
}

/// What a driver tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DriverEvent {
    /// From the core.
    Node(Event),
    /// From the sockets.
    Net(NetNotice),
    /// The store can't be written, for this reason: the node stops.
    StoreFailed(String),
    /// A command given to a [`Handle`] could not be carried out.
    CommandFailed(Command, CommandError),
    /// So many events were lost here, because nobody took them: ask for the present state by [`Handle::inspect`].
    Lost(u64),
}

/// The thread is over; in the words of its panic where it panicked, which is a bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed(pub Option<String>);

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("the node has stopped"),
            Some(why) => write!(f, "the node's thread failed: {why}"),
        }
    }
}

impl std::error::Error for Closed {}

/// Why a node can't go over to another convention address. Nothing changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum MoveError {
    /// The sockets for it can't be had.
    Net(NetError),
    /// The core refuses.
    Command(CommandError),
    /// The node's thread is over.
    Closed(Closed),
}

impl fmt::Display for MoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(e) => e.fmt(f),
            Self::Command(e) => e.fmt(f),
            Self::Closed(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for MoveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Net(e) => e.source(),
            Self::Command(_) | Self::Closed(_) => None,
        }
    }
}

/// Why a node can't start. Nothing is left behind.
#[derive(Debug)]
#[non_exhaustive]
pub enum BindError {
    /// The two configurations contradict each other; a sentence that says what to do.
    Mismatch(String),
    /// The network.
    Net(NetError),
    /// The store.
    Store(StoreError),
    /// Something else that the system denied: what.
    System(&'static str, io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mismatch(sentence) => f.write_str(sentence),
            Self::Net(e) => e.fmt(f),
            Self::Store(e) => e.fmt(f),
            Self::System(what, e) => write!(f, "can't {what}: {e}"),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Mismatch(_) => None,
            Self::Net(e) => e.source(),
            Self::Store(e) => e.source(),
            Self::System(_, e) => Some(e),
        }
    }
}

impl From<NetError> for BindError {
    fn from(e: NetError) -> Self {
        Self::Net(e)
    }
}

impl From<StoreError> for BindError {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}

#[cfg(test)]
mod tests;
