//! This node's own address, and the chosen interfaces as they come and go.

use super::config::Place;
use super::iface::{self, Iface, Pattern};
use super::{LISTENER, Link, Net, NetConfig, NetError, NetNotice, Way, udp};
use mio::Interest;
use mio::net::{TcpListener, UdpSocket};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// How old the list of interfaces may be that a refresh looks at: it is shared by all nodes of the process.
const SHARED: Duration = Duration::from_millis(400);
/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1_024;
/// The receive buffer of a group's socket: a few heartbeats at a time come in there, or a burst of seekers.
const GROUP_BUFFER: usize = 1 << 20;

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
        if !all.iter().any(|i| pattern.matches(i)) {
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
    let mut there: Vec<String> = all.iter().map(|i| i.name.clone()).collect();
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
pub(super) fn bind_own(addr: SocketAddr, receive_buffer: usize) -> Result<Own, NetError> {
    let mut last = None;
    // The port that TCP draws may be taken by UDP: then another one.
    for _ in 0..if addr.port() == 0 { 32 } else { 1 } {
        let listener = listen(addr).map_err(|e| NetError::Listen(addr, e))?;
        let local = listener.local_addr().map_err(|e| NetError::Listen(addr, e))?;
        match udp::own_socket(local, receive_buffer) {
            Ok((socket, granted)) => return Ok(Own { listener, socket, local, granted }),
            Err(e) => last = Some(NetError::Listen(local, e)),
        }
    }
    Err(last.unwrap_or(NetError::Listen(addr, io::ErrorKind::AddrInUse.into())))
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // So that a restarted node finds its port free while connections of the old one fade away.
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&SockAddr::from(addr))?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

impl Net {
    pub(super) fn open_broadcast(&mut self) -> Result<(), NetError> {
        if self.config.broadcast && self.bench {
            let port = self.config.bench_port();
            let at = SocketAddr::new(std::net::Ipv4Addr::BROADCAST.into(), port);
            let socket = udp::broadcast_socket(port, GROUP_BUFFER).map_err(|e| NetError::Listen(at, e))?;
            self.add_udp(socket, Way::Bench, true).map_err(|e| NetError::Listen(at, e))?;
        }
        Ok(())
    }

    /// From now on this family is used as well.
    pub(super) fn want_family(&mut self, v6: bool) {
        if !self.both_families && v6 != is_v6(&self.config) {
            self.both_families = true;
            self.refresh_links();
        }
    }

    /// Reads the interfaces, and makes and drops links as they came and went.
    pub(super) fn refresh_links(&mut self) {
        // Where they can't be read, all stays as it is until the next time.
        let Ok(all) = iface::list(SHARED) else { return };
        let v6 = is_v6(&self.config);
        let mut chosen = iface::choose(&self.config.interfaces, &all, v6);
        if self.both_families || (chosen.is_empty() && self.config.multicast.is_none()) {
            chosen.extend(iface::choose(&self.config.interfaces, &all, !v6));
        }
        for at in (0..self.links.len()).rev() {
            if !chosen.contains(&self.links[at].iface) {
                self.drop_link(at);
            }
        }
        self.follow_address(&chosen, &all);
        for iface in chosen {
            if self.links.iter().any(|l| l.iface == iface) {
                continue;
            }
            let (name, addr) = (iface.name.clone(), iface.socket_addr(self.local.port()));
            match self.add_link(iface) {
                Ok(()) => {
                    self.skipped.retain(|(n, _)| *n != name);
                    self.notify(NetNotice::InterfaceUp(name, addr));
                }
                Err(why) => {
                    let told = (name, why);
                    if !self.skipped.contains(&told) {
                        self.notify(NetNotice::InterfaceSkipped(told.0.clone(), told.1.clone()));
                        self.skipped.push(told);
                    }
                }
            }
        }
        // A name may come and go with ever new reasons: only the newest are remembered.
        let excess = self.skipped.len().saturating_sub(64);
        self.skipped.drain(..excess);
    }

    fn drop_link(&mut self, at: usize) {
        let link = self.links.remove(at);
        for slot in link.sockets {
            self.remove_udp(slot);
        }
        let addr = link.iface.socket_addr(self.local.port());
        self.notify(NetNotice::InterfaceDown(link.iface.name, addr));
    }

    fn add_link(&mut self, iface: Iface) -> Result<(), String> {
        let mut sockets = Vec::new();
        let made = self.make_sockets(&iface, &mut sockets);
        match made {
            Ok(own) => {
                self.links.push(Link { iface, own, sockets, failing: false });
                Ok(())
            }
            Err(why) => {
                for slot in sockets {
                    self.remove_udp(slot);
                }
                Err(why)
            }
        }
    }

    /// Makes a link's sockets; which one sends. Those made stand in `sockets` also where one fails.
    fn make_sockets(&mut self, iface: &Iface, sockets: &mut Vec<usize>) -> Result<usize, String> {
        let addr = iface.socket_addr(self.local.port());
        let any = self.local.ip().is_unspecified() && self.local.is_ipv6() == addr.is_ipv6();
        let own = if any || addr == self.local {
            self.own
        } else {
            let made = udp::own_socket(addr, self.config.receive_buffer);
            let slot = made.and_then(|(socket, _)| self.add_udp(socket, Way::Own, false));
            let slot = slot.map_err(|e| format!("can't bind {addr}: {e}"))?;
            sockets.push(slot);
            slot
        };
        let Some(floor) = self.config.multicast.filter(|g| g.is_ipv6() == addr.is_ipv6()) else { return Ok(own) };
        let bench = SocketAddr::new(floor.ip(), self.config.bench_port());
        let ways = [Some((floor, Way::Floor)), self.bench.then_some((bench, Way::Bench))];
        for (group, way) in ways.into_iter().flatten() {
            let made = udp::group_socket(group, iface, GROUP_BUFFER);
            let slot = made.and_then(|socket| self.add_udp(socket, way, false));
            sockets.push(slot.map_err(|e| format!("can't join {group}: {e}"))?);
        }
        Ok(own)
    }

    /// Where the interface that gave this node its address has another one now, listens there.
    ///
    /// Only where the address was not named, and is gone for good: an interface that is merely down keeps the sockets.
    fn follow_address(&mut self, chosen: &[Iface], all: &[Iface]) {
        let gone = !all.iter().any(|i| i.ip == self.local.ip());
        let next = chosen.iter().find(|i| i.ip.is_ipv6() == self.local.is_ipv6());
        let (None, true, Some(next)) = (&self.config.admin, gone, next) else { return };
        // The same port, so that those who remember it have to learn the address only; another where it is taken.
        let old = self.local;
        let made = bind_own(next.socket_addr(old.port()), self.config.receive_buffer)
            .or_else(|_| bind_own(next.socket_addr(0), self.config.receive_buffer));
        let Ok(Own { mut listener, socket, local, .. }) = made else { return };
        let registry = self.poll.registry();
        if registry.register(&mut listener, LISTENER, Interest::READABLE).is_err() {
            return;
        }
        let Ok(slot) = self.add_udp(socket, Way::Own, false) else { return };
        let mut old_listener = std::mem::replace(&mut self.listener, listener);
        let _ = self.poll.registry().deregister(&mut old_listener);
        self.remove_udp(self.own);
        self.own = slot;
        self.local = local;
        self.accepting = true;
        // The links' own sockets were bound to the old port.
        for at in (0..self.links.len()).rev() {
            self.drop_link(at);
        }
        self.notify(NetNotice::AddressChanged(old, local));
    }
}
