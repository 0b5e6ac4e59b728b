//! Sending datagrams: which socket, which interface.

use super::iface::same_network;
use super::notice::NetNotice;
use super::seeds::Answer;
use super::sockets::Net;
use super::udp;
use crate::types::Time;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

impl Net {
    /// Sends a datagram to one address.
    ///
    /// One call each: a batch of 64 would save up to a third, but the safe wrapper of sendmmsg doesn't tell how many went
    /// out, so that one address that can't be reached would silence those after it.
    pub fn send_to(&mut self, to: SocketAddr, bytes: &[u8]) {
        let Some(slot) = self.socket_for(to.ip()) else {
            self.stats.send_unroutable += 1;
            return;
        };
        let Some(Some(udp)) = self.udps.get(slot) else { return };
        match retry(|| udp.socket.send_to(bytes, to)) {
            Ok(_) => self.stats.datagrams_out += 1,
            Err(_) => self.stats.send_errors += 1,
        }
    }

    /// The socket to send to this address from: of the interface whose network it is in, else of the family.
    fn socket_for(&self, to: IpAddr) -> Option<usize> {
        if self.links.len() > 1
            && let Some(link) = self.links.iter().find(|l| l.iface.reaches(to))
        {
            return Some(link.own);
        }
        if self.local.is_ipv6() == to.is_ipv6() {
            return Some(self.own);
        }
        self.links.iter().find(|l| same_network(l.iface.ip, to, 0)).map(|l| l.own)
    }

    /// True where this is an address of this node.
    fn is_own(&self, addr: SocketAddr) -> bool {
        self.links.iter().any(|l| l.iface.socket_addr(self.local.port()) == addr)
    }

    /// Sends a datagram to the floor, by every chosen interface.
    pub fn send_floor(&mut self, bytes: &[u8]) {
        if let Some(group) = self.config.multicast {
            self.send_links(group, bytes);
        }
    }

    /// Sends a datagram to the bench, by every chosen interface.
    pub fn send_bench(&mut self, bytes: &[u8]) {
        if let Some(group) = self.config.multicast {
            self.send_links(SocketAddr::new(group.ip(), self.config.bench_port()), bytes);
        }
    }

    /// Sends a datagram to everybody on the networks of the chosen interfaces, at the bench's port.
    pub fn send_broadcast(&mut self, bytes: &[u8]) {
        if self.config.broadcast {
            self.send_links(SocketAddr::new(Ipv4Addr::BROADCAST.into(), self.config.bench_port()), bytes);
        }
    }

    /// Sends to each seed other than this node itself.
    pub fn send_seeds(&mut self, now: Time, bytes: &[u8]) {
        for addr in self.seeds.ask(now, bytes) {
            self.send_seed(addr, bytes);
        }
    }

    fn send_seed(&mut self, addr: SocketAddr, bytes: &[u8]) {
        let me = addr == self.local || Some(addr) == self.advertised || self.is_own(addr);
        if !me {
            self.send_to(addr, bytes);
        }
    }

    /// Takes what the resolver found, and sends what waited for it.
    pub(super) fn take_answers(&mut self, now: Time) {
        while let Some(Answer { addrs, waiting, notice }) = self.seeds.answer(now) {
            notice.into_iter().for_each(|n| self.notify(n));
            for addr in addrs {
                self.want_family(addr.is_ipv6());
                waiting.iter().for_each(|bytes| self.send_seed(addr, bytes));
            }
        }
    }

    fn send_links(&mut self, to: SocketAddr, bytes: &[u8]) {
        for at in 0..self.links.len() {
            if self.links[at].iface.ip.is_ipv6() != to.is_ipv6() {
                continue;
            }
            let sent = self.send_link(at, to, bytes);
            match &sent {
                Ok(()) => self.stats.datagrams_out += 1,
                Err(_) => self.stats.send_errors += 1,
            }
            let link = &mut self.links[at];
            let was_failing = std::mem::replace(&mut link.failing, sent.is_err());
            let name = link.iface.name.clone();
            match sent {
                Err(e) if !was_failing => self.notify(NetNotice::SendFails(name, e.to_string())),
                Ok(()) if was_failing => self.notify(NetNotice::SendWorks(name)),
                _ => {}
            }
        }
    }

    fn send_link(&mut self, at: usize, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let link = &self.links[at];
        let Some(Some(udp)) = self.udps.get_mut(link.own) else { return Err(io::ErrorKind::NotConnected.into()) };
        // Where the socket has the interface's address, the system sends limited broadcasts by it too. Where one
        // socket serves all interfaces, the network's own broadcast address chooses.
        let mut to = to;
        if to.ip() == IpAddr::V4(Ipv4Addr::BROADCAST) {
            let bound_to_all = udp.socket.local_addr()?.ip().is_unspecified();
            if let (true, Some(directed)) = (bound_to_all, link.iface.broadcast) {
                to.set_ip(directed.into());
            }
        } else if udp.sends_by != Some(link.iface.index) {
            udp::send_by(&udp.socket, &link.iface)?;
            udp.sends_by = Some(link.iface.index);
        }
        if let (SocketAddr::V6(v6), true) = (&mut to, link.iface.ip.is_ipv6()) {
            v6.set_scope_id(link.iface.index);
        }
        retry(|| udp.socket.send_to(bytes, to)).map(|_| ())
    }
}

fn retry(mut send: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match send() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
