//! How the UDP sockets are made.

use super::iface::Iface;
use super::sys;
use mio::net::UdpSocket;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

/// The receive buffer of a group's socket: a few heartbeats at a time come in there, or a burst of seekers.
pub(crate) const GROUP_BUFFER: usize = 1 << 20;

/// By which way a datagram came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// The floor: the group that all members join.
    Floor,
    /// The bench: the same group, one port above; limited broadcast too.
    Bench,
    /// One of this node's own addresses.
    Own,
}

fn new_socket(v6: bool) -> io::Result<Socket> {
    let domain = if v6 { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if v6 {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// A socket of this node's own, for what comes by unicast and for all that it sends. Its port is not shared.
pub(crate) fn own_socket(addr: SocketAddr, receive_buffer: usize) -> io::Result<(UdpSocket, usize)> {
    let socket = new_socket(addr.is_ipv6())?;
    let granted = sys::raise_receive_buffer(&socket, receive_buffer);
    sys::count_drops(&socket)?;
    // A TTL of 1: discovery stays on its link. Loop: others on this host shall hear it.
    if addr.is_ipv6() {
        socket.set_multicast_hops_v6(1)?;
        socket.set_multicast_loop_v6(true)?;
    } else {
        socket.set_multicast_ttl_v4(1)?;
        socket.set_multicast_loop_v4(true)?;
        socket.set_broadcast(true)?;
    }
    socket.bind(&SockAddr::from(addr))?;
    Ok((UdpSocket::from_std(socket.into()), granted))
}

/// Has a socket send multicast by this interface from now on.
pub(crate) fn send_by(socket: &UdpSocket, iface: &Iface) -> io::Result<()> {
    let socket = socket2::SockRef::from(socket);
    match iface.ip {
        IpAddr::V4(ip) => socket.set_multicast_if_v4(&ip),
        IpAddr::V6(_) => socket.set_multicast_if_v6(iface.index),
    }
}

/// A socket that receives what comes to a group by one interface, whatever other sockets do: other nodes on this host
/// share the port, and each of them gets all of it.
pub(crate) fn group_socket(group: SocketAddr, iface: &Iface, receive_buffer: usize) -> io::Result<UdpSocket> {
    let socket = new_socket(group.is_ipv6())?;
    socket.set_reuse_address(true)?;
    // Elsewhere than on Linux the port is shared by this option.
    #[cfg(not(target_os = "linux"))]
    socket.set_reuse_port(true)?;
    sys::raise_receive_buffer(&socket, receive_buffer);
    sys::count_drops(&socket)?;
    sys::only_own_groups(&socket, group.is_ipv6())?;
    match group.ip() {
        IpAddr::V4(ip) => {
            socket.bind(&SockAddr::from(sys::receive_at(group)))?;
            socket.join_multicast_v4_n(&ip, &InterfaceIndexOrAddress::Index(iface.index))?;
        }
        IpAddr::V6(ip) => {
            // A group of link-local scope is one on each link.
            let scoped = SocketAddrV6::new(ip, group.port(), 0, iface.index).into();
            socket.bind(&SockAddr::from(sys::receive_at(scoped)))?;
            socket.join_multicast_v6(&ip, iface.index)?;
        }
    }
    Ok(UdpSocket::from_std(socket.into()))
}

/// A socket that receives limited broadcasts to this port, by whichever interface: their senders have to be looked at.
pub(crate) fn broadcast_socket(port: u16, receive_buffer: usize) -> io::Result<UdpSocket> {
    let socket = new_socket(false)?;
    socket.set_reuse_address(true)?;
    #[cfg(not(target_os = "linux"))]
    socket.set_reuse_port(true)?;
    socket.set_broadcast(true)?;
    sys::raise_receive_buffer(&socket, receive_buffer);
    let to = SocketAddr::new(IpAddr::V4(Ipv4Addr::BROADCAST), port);
    socket.bind(&SockAddr::from(sys::receive_at(to)))?;
    Ok(UdpSocket::from_std(socket.into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::net::iface::{choose, list};
    use crate::net::sys::Receiver;
    use crate::net::testing::{free_port, wait_until};
    use std::time::Duration;

    fn loopback(v6: bool) -> Option<Iface> {
        choose(&[], &list(Duration::ZERO).unwrap(), v6).into_iter().next()
    }

    /// Sends to a group on loopback and counts how many of two joined sockets hear it, each exactly once.
    fn heard_by_two(group: SocketAddr) -> io::Result<usize> {
        let v6 = group.is_ipv6();
        let lo = loopback(v6).ok_or(io::ErrorKind::AddrNotAvailable)?;
        let sockets = [group_socket(group, &lo, 65_536)?, group_socket(group, &lo, 65_536)?];
        let other = SocketAddr::new(group.ip(), free_port());
        let unrelated = group_socket(other, &lo, 65_536)?;
        let (sender, _) = own_socket(lo.socket_addr(0), 65_536)?;
        send_by(&sender, &lo)?;
        sender.send_to(b"one", group)?;
        sender.send_to(b"two", group)?;
        let mut receiver = Receiver::new();
        let mut heard = [Vec::new(), Vec::new()];
        let deadline = std::time::Instant::now() + Duration::from_millis(300);
        while std::time::Instant::now() < deadline {
            for (i, socket) in sockets.iter().enumerate() {
                let _ = receiver.receive(socket, v6, &mut |from, b| {
                    assert_eq!(from, sender.local_addr().unwrap());
                    heard[i].push(b.to_vec());
                });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(receiver.receive(&unrelated, v6, &mut |_, _| {}).is_err(), "another port hears nothing");
        for h in heard.iter().filter(|h| !h.is_empty()) {
            assert_eq!(*h, [b"one", b"two"]);
        }
        Ok(heard.iter().filter(|h| !h.is_empty()).count())
    }

    #[test]
    fn multicast_on_loopback_reaches_every_socket_that_joined() {
        let group = SocketAddr::new([239, 192, 67, 80].into(), free_port());
        assert_eq!(heard_by_two(group).unwrap(), 2);
    }

    #[test]
    fn multicast_by_ipv6_on_loopback() {
        for ip in ["ff15::6780", "ff12::6780", "ff02::6780"] {
            let group = SocketAddr::new(ip.parse().unwrap(), free_port());
            match heard_by_two(group) {
                Ok(2) => {}
                Ok(n) => eprintln!("SKIPPED: {ip} on loopback reached {n} of 2 sockets: no IPv6 multicast there"),
                Err(e) => eprintln!("SKIPPED: {ip} on loopback: {e}: no IPv6 multicast there"),
            }
        }
    }

    #[test]
    fn a_limited_broadcast_reaches_every_socket_on_the_port() {
        let lo = loopback(false).unwrap();
        let port = free_port();
        let sockets = [broadcast_socket(port, 65_536).unwrap(), broadcast_socket(port, 65_536).unwrap()];
        let (sender, _) = own_socket(lo.socket_addr(0), 65_536).unwrap();
        if let Err(e) = sender.send_to(b"all", SocketAddr::new(Ipv4Addr::BROADCAST.into(), port)) {
            eprintln!("SKIPPED: no limited broadcast on loopback: {e}");
            return;
        }
        let mut receiver = Receiver::new();
        for socket in &sockets {
            wait_until(|| receiver.receive(socket, false, &mut |_, b| assert_eq!(b, b"all")).is_ok());
        }
    }

    #[test]
    fn drops_are_counted_without_control_data_on_each_datagram() {
        if cfg!(any(not(target_os = "linux"), convoke_portable)) {
            eprintln!("SKIPPED: drops are counted on Linux only");
            return;
        }
        let (to, granted) = own_socket("127.0.0.1:0".parse().unwrap(), 65_536).unwrap();
        assert!(granted >= 32_768, "granted {granted}");
        let from = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..2_000 {
            from.send_to(&[0; 1_000], to.local_addr().unwrap()).unwrap();
        }
        let (mut receiver, mut count, mut seen) = (Receiver::new(), 0, None);
        while let Ok(r) = receiver.receive(&to, false, &mut |_, _| count += 1) {
            assert!(!r.drops, "what was queued before the first drop knows of none");
        }
        from.send_to(b"after", to.local_addr().unwrap()).unwrap();
        from.send_to(b"later", to.local_addr().unwrap()).unwrap();
        wait_until(|| receiver.receive(&to, false, &mut |_, _| count += 1).is_ok_and(|r| r.drops));
        from.send_to(b"last", to.local_addr().unwrap()).unwrap();
        wait_until(|| {
            seen = receiver.receive_drops(&to, false, &mut |_, _| count += 1).ok().flatten();
            seen.is_some()
        });
        assert_eq!(count + seen.unwrap(), 2_003);
    }
}
