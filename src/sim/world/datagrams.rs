//! Datagrams from a node to one host or to many, and what becomes of them on the way.

use super::super::host::{Waiting, addr_of, host_of};
use super::super::newer;
use super::super::queue::Plan;
use super::super::trace::{Detail, Meaning};
use super::World;
use crate::proto::{Dest, Lane};

impl World {
    /// A node sends a datagram.
    pub(super) fn transmit(&mut self, h: u32, dest: Dest, mut bytes: Vec<u8>) {
        self.counts.datagrams_sent += 1;
        if self.hosts[h as usize].is_newer() {
            newer::datagram(&mut bytes);
            if let Some(frame) = newer::unknown(self.counts.datagrams_sent, &bytes, false) {
                self.pass(h, dest, frame);
            }
        }
        self.pass(h, dest, bytes);
    }

    fn pass(&mut self, h: u32, dest: Dest, bytes: Vec<u8>) {
        self.trace.bytes(&bytes);
        if self.trace.tells(Detail::Everything) {
            let tag = self.tag(h);
            let what = format_args!("sends {dest:?} {}", Meaning(&bytes, tag));
            self.trace.line(Detail::Everything, self.now, self.hosts[h as usize].name(), what);
        }
        let addr = addr_of(h, self.hosts[h as usize].port);
        match dest {
            Dest::Addr(to) => {
                self.opens(h, host_of(&to));
                let packet = self.packets.put(h, addr, Lane::Unicast, to.port(), bytes);
                match host_of(&to).filter(|t| (*t as usize) < self.hosts.len()) {
                    Some(to) => self.launch(h, to, packet, false),
                    None => self.counts.datagrams_unheard += 1,
                }
                self.packets.release(packet);
            }
            Dest::Seeds => {
                for at in 0..self.hosts[h as usize].options.seeds.len() {
                    let to = self.hosts[h as usize].options.seeds[at];
                    self.opens(h, Some(to.0));
                    let mut copy = self.packets.buffer();
                    copy.clear();
                    copy.extend_from_slice(&bytes);
                    let port = self.hosts[to.at()].port;
                    let packet = self.packets.put(h, addr, Lane::Unicast, port, copy);
                    self.launch(h, to.0, packet, false);
                    self.packets.release(packet);
                }
                self.packets.give_back(bytes);
            }
            Dest::Floor | Dest::Bench | Dest::Broadcast => {
                let lane = if dest == Dest::Floor { Lane::Floor } else { Lane::Bench };
                let packet = self.packets.put(h, addr, lane, 0, bytes);
                self.packets.set_group(packet, self.hosts[h as usize].options.group);
                self.fan(h, packet);
            }
        }
    }

    /// Answers to this get in.
    fn opens(&mut self, h: u32, to: Option<u32>) {
        if let Some(to) = to {
            self.net.walls.goes_out(self.now, h, to);
        }
    }

    fn fan(&mut self, h: u32, packet: u32) {
        if self.net.is_uniform() {
            let at = self.now + self.net.conditions.delay.as_micros() as u64;
            self.queue.push(at, Plan::Fan { packet });
            return;
        }
        let hosts = if self.packets.get(packet).lane == Lane::Floor { self.hosts.len() } else { self.bench.len() };
        for at in 0..hosts {
            let to = if hosts == self.hosts.len() { at as u32 } else { self.bench[at] };
            if self.net.is_deaf(to) {
                self.counts.datagrams_cut += 1;
            } else if to != h {
                self.launch(h, to, packet, true);
            } else if self.options.echo {
                self.packets.hold(packet);
                self.queue.push(self.now, Plan::Arrive { host: to, packet });
            }
        }
        self.packets.release(packet);
    }

    /// Decides what becomes of a datagram on its way to one host.
    fn launch(&mut self, h: u32, to: u32, packet: u32, multicast: bool) {
        if !self.net.passes_datagrams(h, to) {
            self.counts.datagrams_cut += 1;
            return;
        }
        let fate = self.net.fate(&mut self.rng, h, to, multicast);
        self.counts.datagrams_lost += u64::from(fate.first.is_none());
        self.counts.datagrams_reordered += u64::from(fate.straggles);
        self.counts.datagrams_duplicated += u64::from(fate.second.is_some());
        for (delay, corrupt) in [(fate.first, fate.corrupt), (fate.second, false)] {
            let Some(delay) = delay else { continue };
            let packet = if corrupt {
                self.corrupted(packet)
            } else {
                self.packets.hold(packet);
                packet
            };
            self.queue.push(self.now + delay, Plan::Arrive { host: to, packet });
        }
    }

    /// A copy of a datagram with up to eight bits flipped, or cut short.
    fn corrupted(&mut self, packet: u32) -> u32 {
        self.counts.datagrams_corrupted += 1;
        let mut copy = self.packets.buffer();
        let p = self.packets.get(packet);
        copy.clear();
        copy.extend_from_slice(&p.bytes);
        let (from, addr, lane, port, group) = (p.from, p.from_addr, p.lane, p.port, p.group);
        if self.rng.one_in(8) {
            copy.truncate(self.rng.below(copy.len() as u64 + 1) as usize);
        }
        if !copy.is_empty() {
            for _ in 0..self.rng.range(1, 8) {
                let bit = self.rng.below(copy.len() as u64 * 8) as usize;
                copy[bit / 8] ^= 1 << (bit % 8);
            }
        }
        let packet = self.packets.put(from, addr, lane, port, copy);
        self.packets.set_group(packet, group);
        packet
    }

    pub(super) fn fan_arrives(&mut self, packet: u32) {
        let p = self.packets.get(packet);
        let (from, lane) = (p.from, p.lane);
        if lane == Lane::Floor {
            for host in 0..self.hosts.len() as u32 {
                if host != from || self.options.echo {
                    self.arrive(host, packet);
                }
            }
        } else {
            for at in 0..self.bench.len() {
                let host = self.bench[at];
                if host != from || self.options.echo {
                    self.arrive(host, packet);
                }
            }
        }
    }

    pub(super) fn arrive(&mut self, h: u32, packet: u32) {
        let host = &mut self.hosts[h as usize];
        let p = self.packets.get(packet);
        let lets_in = self.net.walls.lets_in(self.now, p.from, h, p.lane);
        if p.from != h && !(host.powered && self.net.passes_datagrams(p.from, h) && lets_in) {
            self.counts.datagrams_cut += 1;
            return;
        }
        let elsewhere = p.lane != Lane::Unicast && p.group != host.options.group;
        if host.process.is_none() || p.port != 0 && p.port != host.port || elsewhere {
            self.counts.datagrams_unheard += 1;
            return;
        }
        if host.is_paused() {
            if host.datagrams_waiting >= self.options.receive_buffer {
                self.counts.datagrams_overflowed += 1;
                return;
            }
            host.datagrams_waiting += 1;
            host.inbox.push_back(Waiting::Datagram(packet));
            self.packets.hold(packet);
            return;
        }
        self.read(h, packet);
    }
}
