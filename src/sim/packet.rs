//! Datagrams in flight: kept once however many hosts they go to, their buffers used again.

use crate::proto::Lane;
use std::net::SocketAddr;

/// A datagram in flight.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) from: u32,
    pub(super) from_addr: SocketAddr,
    pub(super) lane: Lane,
    /// The port that it goes to where it goes to one address: a new process on another port doesn't get it.
    pub(super) port: u16,
    /// The multicast group that it goes to where it goes to one.
    pub(super) group: u16,
    pub(super) bytes: Vec<u8>,
    holders: u32,
}

/// All datagrams in flight.
#[derive(Debug, Default)]
pub(super) struct Packets {
    slots: Vec<Packet>,
    free: Vec<u32>,
    spare: Vec<Vec<u8>>,
}

impl Packets {
    /// An empty buffer to write a datagram into.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes back a buffer that was not put in.
    pub(super) fn give_back(&mut self, buffer: Vec<u8>) {
        self.spare.push(buffer);
    }

    /// Puts a datagram in, held once by the caller.
    pub(super) fn put(&mut self, from: u32, from_addr: SocketAddr, lane: Lane, port: u16, bytes: Vec<u8>) -> u32 {
        let packet = Packet { from, from_addr, lane, port, group: 0, bytes, holders: 1 };
        match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = packet;
                at
            }
            None => {
                self.slots.push(packet);
                self.slots.len() as u32 - 1
            }
        }
    }

    /// It goes to this multicast group.
    pub(super) fn set_group(&mut self, at: u32, group: u16) {
        self.slots[at as usize].group = group;
    }

    pub(super) fn get(&self, at: u32) -> &Packet {
        &self.slots[at as usize]
    }

    /// One more plan refers to it.
    pub(super) fn hold(&mut self, at: u32) {
        self.slots[at as usize].holders += 1;
    }

    /// One plan fewer refers to it.
    pub(super) fn release(&mut self, at: u32) {
        let packet = &mut self.slots[at as usize];
        packet.holders -= 1;
        if packet.holders == 0 {
            self.spare.push(std::mem::take(&mut packet.bytes));
            self.free.push(at);
        }
    }

    /// Takes the bytes out, so that a node can read them while the world changes. [`Packets::restore`] follows.
    pub(super) fn borrow(&mut self, at: u32) -> Vec<u8> {
        std::mem::take(&mut self.slots[at as usize].bytes)
    }

    pub(super) fn restore(&mut self, at: u32, bytes: Vec<u8>) {
        self.slots[at as usize].bytes = bytes;
    }

    /// How many are in flight.
    #[cfg(test)]
    pub(super) fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_once_nobody_holds_it() {
        let mut packets = Packets::default();
        let mut buffer = packets.buffer();
        buffer.extend_from_slice(b"abc");
        let capacity = buffer.capacity();
        let at = packets.put(1, SocketAddr::from(([10, 0, 0, 1], 1)), Lane::Floor, 0, buffer);
        packets.hold(at);
        packets.release(at);
        assert_eq!((packets.get(at).bytes.as_slice(), packets.in_flight()), (&b"abc"[..], 1));
        packets.release(at);
        assert_eq!((packets.in_flight(), packets.buffer().capacity()), (0, capacity));
    }
}
