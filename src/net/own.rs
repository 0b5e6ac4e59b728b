//! The address where a node listens, and the sockets there.

use super::config::{NetConfig, Place};
use super::iface::{self, Iface, Pattern};
use super::notice::NetError;
use super::udp::{self, GROUP_BUFFER};
use super::{sys, tcp};
use mio::net::{TcpListener, UdpSocket};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1_024;

/// The sockets at this node's own address.
pub(super) struct Own {
    pub(super) listener: TcpListener,
    pub(super) socket: UdpSocket,
    pub(super) local: SocketAddr,
    /// The receive buffer that was granted.
    pub(super) granted: usize,
}

/// True where the floor, or else the node's address, is IPv6.
pub(super) fn is_v6(config: &NetConfig) -> bool {
    match (config.multicast, &config.admin) {
        (Some(group), _) => group.is_ipv6(),
        (None, Some(Place::Addr(addr))) => addr.is_ipv6(),
        _ => false,
    }
}

/// The address to listen at: the one that was named, or that of the first chosen interface.
pub(super) fn first_address(config: &NetConfig) -> Result<SocketAddr, NetError> {
    let all = iface::list(Duration::ZERO).map_err(|e| NetError::System("read the interfaces", e))?;
    for pattern in &config.interfaces {
        if !all.iter().any(|i| i.up && pattern.matches(i)) {
            return Err(no_interface(pattern, &all));
        }
    }
    if let Some(place) = &config.admin {
        return resolve(place);
    }
    let v6 = is_v6(config);
    let own = |v6| iface::choose(&config.interfaces, &all, v6).first().map(|i| i.socket_addr(0));
    // Without multicast the family is free.
    let either = || if config.multicast.is_none() { own(!v6) } else { None };
    own(v6).or_else(either).ok_or(NetError::NoAddress { v6 })
}

fn no_interface(pattern: &Pattern, all: &[Iface]) -> NetError {
    let mut there: Vec<String> = all.iter().filter(|i| i.up).map(|i| i.name.clone()).collect();
    there.sort_unstable();
    there.dedup();
    NetError::NoInterface { pattern: pattern.to_string(), there }
}

fn resolve(place: &Place) -> Result<SocketAddr, NetError> {
    match place {
        Place::Addr(addr) => Ok(*addr),
        Place::Name(host, port) => {
            let found = (host.as_str(), *port).to_socket_addrs();
            let first = found.and_then(|mut a| a.next().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into()));
            first.map_err(|e| NetError::Resolve(place.to_string(), e))
        }
    }
}

/// The address that others are told, where it isn't the local one.
pub(super) fn advertised(config: &NetConfig, local: SocketAddr) -> Result<Option<SocketAddr>, NetError> {
    let told = match &config.advertise {
        None => None,
        Some(place) => {
            let mut addr = resolve(place)?;
            if addr.port() == 0 {
                addr.set_port(local.port());
            }
            Some(addr)
        }
    };
    let tell = told.unwrap_or(local);
    if tell.ip().is_unspecified() { Err(NetError::Unspecified(tell)) } else { Ok(told) }
}

/// Listens by TCP and UDP on the same port.
pub(super) fn bind_own(addr: SocketAddr, config: &NetConfig) -> Result<Own, NetError> {
    let mut last = None;
    // The port that TCP draws may be taken by UDP: then another one.
    for _ in 0..if addr.port() == 0 { 32 } else { 1 } {
        let listener = listen(addr, config).map_err(|e| NetError::Listen(addr, e))?;
        let local = listener.local_addr().map_err(|e| NetError::Listen(addr, e))?;
        match udp::own_socket(local, config.receive_buffer) {
            Ok((socket, granted)) => return Ok(Own { listener, socket, local, granted }),
            Err(e) => last = Some(NetError::Listen(local, e)),
        }
    }
    Err(last.unwrap_or(NetError::Listen(addr, io::ErrorKind::AddrInUse.into())))
}

fn listen(addr: SocketAddr, config: &NetConfig) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // So that a restarted node finds its port free while connections of the old one fade away.
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&SockAddr::from(addr))?;
    if sys::ACCEPTED_INHERIT {
        // Once for all of them instead of six calls for each.
        tcp::configure(&SockRef::from(&socket), config.user_timeout)?;
    }
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// A socket for limited broadcasts to this port.
pub(super) fn bind_broadcast(port: u16) -> Result<UdpSocket, NetError> {
    let at = SocketAddr::new(Ipv4Addr::BROADCAST.into(), port);
    udp::broadcast_socket(port, GROUP_BUFFER).map_err(|e| NetError::Listen(at, e))
}
