//! The chosen interfaces as they come and go.

use super::config::Place;
use super::iface::{self, Iface};
use super::notice::{NetError, NetNotice};
use super::own::{self, Own};
use super::sockets::{LISTENER, Link, Net};
use super::udp::{self, GROUP_BUFFER, Way};
use mio::Interest;
use std::net::SocketAddr;
use std::time::Duration;

/// How old the list of interfaces may be that a refresh looks at: it is shared by all nodes of the process.
const SHARED: Duration = Duration::from_millis(400);
/// For how many looks at the interfaces the one with this node's address may be down before the node listens at another; and
/// for how many it still listens at the former address then.
const LOOKS: u32 = 4;

impl Net {
    /// From now on this family is used as well.
    pub(super) fn want_family(&mut self, v6: bool) {
        if !self.both_families && v6 != own::is_v6(&self.config) {
            self.both_families = true;
            self.refresh_links();
        }
    }

    /// Reads the interfaces, and makes and drops links as they came and went.
    pub(super) fn refresh_links(&mut self) {
        // Where they can't be read, all stays as it is until the next time.
        let Ok(all) = iface::list(SHARED) else { return };
        let v6 = own::is_v6(&self.config);
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
        if let Some((_, looks)) = &mut self.former {
            *looks -= 1;
            self.former.take_if(|(_, looks)| *looks == 0);
        }
        self.follow_broadcast();
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
                Err(why) => self.skip(name, why),
            }
        }
        // A name may come and go with ever new reasons: only the newest are remembered.
        let excess = self.skipped.len().saturating_sub(64);
        self.skipped.drain(..excess);
    }

    /// Listens on the bench from now on, or no longer: as its node votes, or doesn't.
    pub fn listen_bench(&mut self, on: bool) {
        if on == self.bench {
            return;
        }
        self.bench = on;
        self.follow_broadcast();
        // From the last one on: one that can't be had takes its link with it.
        for at in (0..self.links.len()).rev() {
            self.follow_bench(at);
        }
    }

    /// Tells once that something can't be used, and why. The next look at the interfaces tries it again.
    fn skip(&mut self, name: String, why: String) {
        let told = (name, why);
        if !self.skipped.contains(&told) {
            self.notify(NetNotice::InterfaceSkipped(told.0.clone(), told.1.clone()));
            self.skipped.push(told);
        }
    }

    pub(super) fn listen_broadcast(&mut self) -> Result<(), NetError> {
        let socket = own::bind_broadcast(self.config.bench_port())?;
        let added = self.add_udp(socket, Way::Bench, true);
        added.map(|_| ()).map_err(|e| NetError::System("watch a socket", e))
    }

    /// Makes the socket that receives limited broadcasts, where it is wanted, or takes it. Where its port is taken the node finds
    /// others by its other ways meanwhile.
    pub(super) fn follow_broadcast(&mut self) {
        let slot = self.udps.iter().position(|u| u.as_ref().is_some_and(|u| u.broadcast));
        match (self.config.broadcast && self.bench, slot) {
            (true, None) => {
                if let Err(e) = self.listen_broadcast() {
                    self.skip("broadcast".into(), e.to_string());
                } else {
                    self.skipped.retain(|(n, _)| n != "broadcast");
                }
            }
            (false, Some(slot)) => self.remove_udp(slot),
            _ => {}
        }
    }

    /// Gives a link its socket of the bench, or takes it.
    fn follow_bench(&mut self, at: usize) {
        let addr = self.links[at].iface.socket_addr(self.local.port());
        let Some(floor) = self.config.multicast.filter(|g| g.is_ipv6() == addr.is_ipv6()) else { return };
        if self.bench {
            let bench = SocketAddr::new(floor.ip(), self.config.bench_port());
            let made = udp::group_socket(bench, &self.links[at].iface, GROUP_BUFFER);
            match made.and_then(|socket| self.add_udp(socket, Way::Bench, false)) {
                Ok(slot) => self.links[at].sockets.push(slot),
                Err(e) => {
                    let name = self.links[at].iface.name.clone();
                    self.drop_link(at);
                    self.skip(name, format!("can't join {bench}: {e}"));
                }
            }
            return;
        }
        let bench =
            |n: &Net, slot: usize| n.udps.get(slot).is_some_and(|u| u.as_ref().is_some_and(|u| u.way == Way::Bench));
        let slots: Vec<usize> = self.links[at].sockets.iter().copied().filter(|s| bench(self, *s)).collect();
        self.links[at].sockets.retain(|s| !slots.contains(s));
        slots.into_iter().for_each(|slot| self.remove_udp(slot));
    }

    pub(super) fn drop_link(&mut self, at: usize) {
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
        self.join_groups(iface, sockets)?;
        Ok(own)
    }

    /// Joins the floor, and where this node listens to it the bench. The sockets made stand in `sockets` also where one
    /// fails.
    pub(super) fn join_groups(&mut self, iface: &Iface, sockets: &mut Vec<usize>) -> Result<(), String> {
        let Some(floor) = self.config.multicast.filter(|g| g.is_ipv6() == iface.ip.is_ipv6()) else { return Ok(()) };
        let bench = SocketAddr::new(floor.ip(), self.config.bench_port());
        let ways = [Some((floor, Way::Floor)), self.bench.then_some((bench, Way::Bench))];
        for (group, way) in ways.into_iter().flatten() {
            let made = udp::group_socket(group, iface, GROUP_BUFFER);
            let slot = made.and_then(|socket| self.add_udp(socket, way, false));
            sockets.push(slot.map_err(|e| format!("can't join {group}: {e}"))?);
        }
        Ok(())
    }

    /// Where the interface that gave this node its address has another one now, listens there; also where it was down for some
    /// looks in a row, and another chosen one isn't. Not where the address was named.
    fn follow_address(&mut self, chosen: &[Iface], all: &[Iface]) {
        let there = |up: bool| all.iter().any(|i| i.ip == self.local.ip() && (i.up || !up));
        self.down_for = if there(true) { 0 } else { self.down_for + 1 };
        let gone = !there(false) || self.down_for >= LOOKS;
        let next = chosen.iter().find(|i| i.ip.is_ipv6() == self.local.is_ipv6());
        let (None, true, Some(next)) = (&self.config.admin, gone, next) else { return };
        // A link's own socket has the address; where it can't be taken the link comes again.
        if let Some(at) = self.links.iter().position(|l| l.iface == *next) {
            self.drop_link(at);
        }
        // The same port, so that those who remember it have to learn the address only; another where it is taken.
        let old = self.local;
        let made = own::bind_own(next.socket_addr(old.port()), &self.config)
            .or_else(|_| own::bind_own(next.socket_addr(0), &self.config));
        let Ok(Own { mut listener, socket, local, .. }) = made else { return };
        let registry = self.poll.registry();
        if registry.register(&mut listener, LISTENER, Interest::READABLE).is_err() {
            return;
        }
        let Ok(slot) = self.add_udp(socket, Way::Own, false) else { return };
        let mut former = std::mem::replace(&mut self.listener, listener);
        let _ = self.poll.registry().deregister(&mut former);
        self.former = Some((former, LOOKS));
        self.remove_udp(self.own);
        self.own = slot;
        self.local = local;
        (self.accepting, self.down_for) = (true, 0);
        if let (Some(told), Some(0)) = (&mut self.advertised, self.config.advertise.as_ref().map(Place::port)) {
            told.set_port(local.port());
        }
        // The links' own sockets were bound to the old port.
        for at in (0..self.links.len()).rev() {
            self.drop_link(at);
        }
        self.notify(NetNotice::AddressChanged(old, local));
    }
}
