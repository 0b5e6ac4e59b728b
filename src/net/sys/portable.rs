//! The way that works on every Unix, with what it can't do: no batches, no counted drops, no fine timers, and a clock
//! that stops in suspension where the system's monotonic clock does.

use super::{BATCH, BUFFER, Received};
use mio::net::UdpSocket;
use socket2::Socket;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Microseconds on a clock that never goes back.
pub(crate) fn clock_us() -> u64 {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    // Not zero at the start: the core may subtract from it.
    let passed = ORIGIN.get_or_init(Instant::now).elapsed() + Duration::from_secs(3_600);
    u64::try_from(passed.as_micros()).unwrap_or(u64::MAX)
}

/// The buffer for one datagram.
pub(crate) struct Receiver {
    buffer: Box<[u8; BUFFER]>,
}

impl Receiver {
    pub(crate) fn new() -> Self {
        Self { buffer: Box::new([0; BUFFER]) }
    }

    /// Takes up to [`BATCH`] datagrams from a socket.
    ///
    /// # Errors
    /// What the first call gave; `WouldBlock` where nothing waits.
    pub(crate) fn receive(
        &mut self,
        socket: &UdpSocket,
        _v6: bool,
        take: &mut dyn FnMut(SocketAddr, &[u8]),
    ) -> io::Result<Received> {
        let mut received = Received::default();
        while received.count < BATCH {
            match socket.recv_from(&mut self.buffer[..]) {
                Ok((len, from)) => take(from, &self.buffer[..len]),
                Err(e) if received.count == 0 => return Err(e),
                Err(_) => break,
            }
            received.count += 1;
        }
        Ok(received)
    }

    /// Never called: [`Receiver::receive`] tells of no drops.
    pub(crate) fn receive_drops(
        &mut self,
        socket: &UdpSocket,
        _v6: bool,
        take: &mut dyn FnMut(SocketAddr, &[u8]),
    ) -> io::Result<Option<u32>> {
        let (len, from) = socket.recv_from(&mut self.buffer[..])?;
        take(from, &self.buffer[..len]);
        Ok(None)
    }
}

/// Drops aren't counted here.
#[allow(clippy::unnecessary_wraps)] // Elsewhere it can fail.
pub(crate) fn count_drops(_socket: &Socket) -> io::Result<()> {
    Ok(())
}

/// Asks for a receive buffer of so many bytes; what was granted.
pub(crate) fn raise_receive_buffer(socket: &Socket, asked: usize) -> usize {
    let _ = socket.set_recv_buffer_size(asked);
    socket.recv_buffer_size().unwrap_or(0).min(asked)
}

/// Elsewhere a socket receives only what it joined, or else what others joined is dropped by its tag.
#[allow(clippy::unnecessary_wraps)] // Elsewhere it can fail.
pub(crate) fn only_own_groups(_socket: &Socket, _v6: bool) -> io::Result<()> {
    Ok(())
}

/// Where a socket binds that shall receive what comes to `to`: not every system can bind to a group.
pub(crate) fn receive_at(to: SocketAddr) -> SocketAddr {
    let any = match to.ip() {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(any, to.port())
}

/// How many descriptors this process may have: nobody asks here.
pub(crate) fn descriptors() -> usize {
    usize::MAX
}

/// Whether an accepted stream has the options of its listener differs from system to system.
pub(crate) const ACCEPTED_INHERIT: bool = false;

/// Left to the system's own limits.
#[allow(clippy::unnecessary_wraps)] // Elsewhere it can fail.
pub(crate) fn set_user_timeout(_socket: &Socket, _limit: Duration) -> io::Result<()> {
    Ok(())
}

/// There is no such limit here.
pub(crate) fn set_unsent_limit(_socket: &Socket, _bytes: u32) {}

/// There is none here: the poll's own time-out has to do.
#[derive(Debug)]
pub(crate) enum Timer {}

impl Timer {
    /// None.
    #[allow(clippy::unnecessary_wraps)] // Elsewhere it can fail.
    pub(crate) fn new(_registry: &mio::Registry, _token: mio::Token) -> io::Result<Option<Self>> {
        Ok(None)
    }

    /// Never called.
    pub(crate) fn arm(&mut self, _now_us: u64, _at_us: u64) {
        match *self {}
    }
}
