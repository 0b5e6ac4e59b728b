//! Linux: batches by recvmmsg, counted drops, a clock that counts suspension, timers finer than a millisecond.

use super::{BATCH, BUFFER, Received};
use mio::net::UdpSocket;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, recvmmsg, recvmsg, setsockopt,
    sockopt,
};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use socket2::Socket;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// Microseconds on a clock that never goes back and counts suspension.
pub(crate) fn clock_us() -> u64 {
    // This can only fail for a clock that the kernel doesn't know; it knows this one since 2.6.39.
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).unwrap_or(TimeSpec::new(0, 0));
    (now.tv_sec() as u64) * 1_000_000 + (now.tv_nsec() as u64) / 1_000
}

/// Buffers and headers for batches, one set for all sockets of a node.
pub(crate) struct Receiver {
    // One for each family: the kernel writes the length of the address it found into the header, and would cut a
    // longer one later.
    v4: MultiHeaders<SockaddrIn>,
    v6: MultiHeaders<SockaddrIn6>,
    buffers: Box<[[u8; BUFFER]; BATCH]>,
}

impl Receiver {
    pub(crate) fn new() -> Self {
        Self {
            v4: MultiHeaders::preallocate(BATCH, None),
            v6: MultiHeaders::preallocate(BATCH, None),
            buffers: Box::new([[0; BUFFER]; BATCH]),
        }
    }

    /// Takes up to [`BATCH`] datagrams from a socket of the family that `v6` tells.
    ///
    /// # Errors
    /// What the call gave; `WouldBlock` where nothing waits.
    pub(crate) fn receive(
        &mut self,
        socket: &UdpSocket,
        v6: bool,
        take: &mut dyn FnMut(SocketAddr, &[u8]),
    ) -> io::Result<Received> {
        if v6 {
            batch(socket, &mut self.v6, &mut self.buffers, |a| SocketAddrV6::from(a).into(), take)
        } else {
            batch(socket, &mut self.v4, &mut self.buffers, |a| SocketAddrV4::from(a).into(), take)
        }
    }

    /// Takes one datagram, and with it how many the kernel has dropped before it.
    ///
    /// It asks for control data, which costs as much as half the datagram: for once in a while.
    ///
    /// # Errors
    /// What the call gave; `WouldBlock` where nothing waits.
    pub(crate) fn receive_drops(
        &mut self,
        socket: &UdpSocket,
        v6: bool,
        take: &mut dyn FnMut(SocketAddr, &[u8]),
    ) -> io::Result<Option<u32>> {
        let buffer = &mut self.buffers[0];
        if v6 {
            single::<SockaddrIn6>(socket, buffer, |a| SocketAddrV6::from(a).into(), take)
        } else {
            single::<SockaddrIn>(socket, buffer, |a| SocketAddrV4::from(a).into(), take)
        }
    }
}

fn batch<S: SockaddrLike + Copy>(
    socket: &UdpSocket,
    headers: &mut MultiHeaders<S>,
    buffers: &mut [[u8; BUFFER]; BATCH],
    addr: impl Fn(S) -> SocketAddr,
    take: &mut dyn FnMut(SocketAddr, &[u8]),
) -> io::Result<Received> {
    let mut slices = buffers.each_mut().map(|b| [IoSliceMut::new(b)]);
    let found = recvmmsg(socket.as_raw_fd(), headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
    let mut received = Received::default();
    for message in found {
        received.count += 1;
        // Where drops are counted and there were some, the kernel wants to add control data, for which we gave no room.
        received.drops |= message.flags.contains(MsgFlags::MSG_CTRUNC);
        if let Some(from) = message.address {
            take(addr(from), message.iovs().next().unwrap_or(&[]));
        }
    }
    Ok(received)
}

fn single<S: SockaddrLike + Copy>(
    socket: &UdpSocket,
    buffer: &mut [u8; BUFFER],
    addr: impl Fn(S) -> SocketAddr,
    take: &mut dyn FnMut(SocketAddr, &[u8]),
) -> io::Result<Option<u32>> {
    let mut control = nix::cmsg_space!(u32);
    let mut slices = [IoSliceMut::new(buffer)];
    let found = recvmsg::<S>(socket.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
    let drops = found.cmsgs().ok().into_iter().flatten().find_map(|c| match c {
        ControlMessageOwned::RxqOvfl(n) => Some(n),
        _ => None,
    });
    let (from, len) = (found.address, found.bytes);
    if let Some(from) = from {
        take(addr(from), &buffer[..len.min(BUFFER)]);
    }
    Ok(drops)
}

/// Lets the kernel count what it drops of a socket's datagrams. Costs nothing while nothing is dropped.
pub(crate) fn count_drops(socket: &Socket) -> io::Result<()> {
    Ok(setsockopt(&socket.as_fd(), sockopt::RxqOvfl, &1)?)
}

/// Asks for a receive buffer of so many bytes; what was granted. Beyond the system's bound where we have the privilege.
pub(crate) fn raise_receive_buffer(socket: &Socket, asked: usize) -> usize {
    // The kernel doubles what it grants, for its own overhead, and reports the double.
    let granted = || socket.recv_buffer_size().unwrap_or(0) / 2;
    let _ = socket.set_recv_buffer_size(asked);
    if granted() < asked {
        let _ = setsockopt(&socket.as_fd(), sockopt::RcvBufForce, &asked);
    }
    granted()
}

/// Receives what comes to groups that this very socket joined, not what other sockets of the host joined.
pub(crate) fn only_own_groups(socket: &Socket, v6: bool) -> io::Result<()> {
    if v6 { socket.set_multicast_all_v6(false) } else { socket.set_multicast_all_v4(false) }
}

/// Where a socket binds that shall receive what comes to `to` (a group, or the broadcast address): there, so that
/// nothing else comes in by it.
pub(crate) fn receive_at(to: SocketAddr) -> SocketAddr {
    to
}

/// How many descriptors this process may have.
pub(crate) fn descriptors() -> usize {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(usize::MAX, |(soft, _)| usize::try_from(soft).unwrap_or(usize::MAX))
}

/// An accepted stream has the options of its listener.
pub(crate) const ACCEPTED_INHERIT: bool = true;

/// Ends a connection when sent bytes stay unacknowledged for so long.
pub(crate) fn set_user_timeout(socket: &Socket, limit: Duration) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(limit))
}

/// How much of what is written to a stream the kernel may hold before it is sent. A hint: where it can't be set all works.
pub(crate) fn set_unsent_limit(socket: &Socket, bytes: u32) {
    let _ = socket.set_tcp_notsent_lowat(bytes);
}

/// A timer whose descriptor becomes readable at a time of [`clock_us`], late by a tenth of a millisecond.
#[derive(Debug)]
pub(crate) struct Timer {
    fd: TimerFd,
    armed_us: Option<u64>,
}

impl Timer {
    /// A timer, where the system has such.
    pub(crate) fn new(registry: &mio::Registry, token: mio::Token) -> io::Result<Option<Self>> {
        let fd = TimerFd::new(ClockId::CLOCK_BOOTTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        let raw = fd.as_fd().as_raw_fd();
        registry.register(&mut mio::unix::SourceFd(&raw), token, mio::Interest::READABLE)?;
        Ok(Some(Self { fd, armed_us: None }))
    }

    /// Sees to it that it fires at `at_us` at the latest. An earlier alarm that is still to come stays: moving it back
    /// would cost a call each time, and a wake-up too many costs less.
    pub(crate) fn arm(&mut self, now_us: u64, at_us: u64) {
        if self.armed_us.is_some_and(|armed| armed > now_us && armed <= at_us) {
            return;
        }
        // Zero would disarm it.
        let at_us = at_us.max(1);
        let at = TimeSpec::new((at_us / 1_000_000) as i64, (at_us % 1_000_000 * 1_000) as i64);
        let set = self.fd.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME);
        self.armed_us = set.is_ok().then_some(at_us);
    }
}
