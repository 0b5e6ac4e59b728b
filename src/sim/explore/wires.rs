//! What is under way between the nodes: connections, each direction in order, and datagrams in none.

use super::super::process::Arrived;
use super::print::Printer;
use crate::types::ConnId;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// One end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) host: u32,
    pub(super) run: u32,
    pub(super) conn: ConnId,
    pub(super) open: bool,
}

/// A connection; end 0 dialled. The flow of each end is what it sent.
#[derive(Debug, Clone)]
pub(super) struct Pipe {
    pub(super) ends: [End; 2],
    pub(super) flows: [VecDeque<Arrived>; 2],
}

/// A connection's name: the dialler's host, its run, and its name for the connection.
pub type PipeId = (u32, u32, u64);

/// A datagram under way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Packet {
    pub(super) to: u32,
    pub(super) from: u32,
    pub(super) bytes: Rc<[u8]>,
}

/// What is blocked from one host to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Block {
    /// Datagrams are lost; streams pass.
    Datagrams,
    /// Datagrams are lost, and what is on streams waits.
    All,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Wires {
    pub(super) pipes: BTreeMap<PipeId, Rc<Pipe>>,
    /// In order, so that equal states are equal.
    pub(super) packets: Vec<Packet>,
    pub(super) blocked: BTreeMap<(u32, u32), Block>,
}

impl Wires {
    pub(super) fn dial(&mut self, host: u32, run: u32, conn: ConnId, to: u32, from: std::net::SocketAddr) {
        let ends = [End { host, run, conn, open: true }, End { host: to, run: 0, conn: ConnId(u64::MAX), open: true }];
        let flows = [VecDeque::from([Arrived::Accepted(from)]), VecDeque::new()];
        self.pipes.insert((host, run, conn.0), Rc::new(Pipe { ends, flows }));
    }

    fn at(&mut self, host: u32, run: u32, conn: ConnId) -> Option<(PipeId, usize)> {
        self.pipes.iter().find_map(|(id, p)| {
            let end = p.ends.iter().position(|e| (e.host, e.run, e.conn) == (host, run, conn))?;
            Some((*id, end))
        })
    }

    pub(super) fn pipe(&mut self, id: PipeId) -> Option<&mut Pipe> {
        self.pipes.get_mut(&id).map(Rc::make_mut)
    }

    pub(super) fn send(&mut self, host: u32, run: u32, conn: ConnId, bytes: bytes::Bytes) {
        if let Some((id, end)) = self.at(host, run, conn)
            && let Some(pipe) = self.pipe(id).filter(|p| p.ends[end].open)
        {
            pipe.flows[end].push_back(Arrived::Bytes(bytes));
        }
    }

    /// An end closes: what it sent still arrives, then the end of the stream.
    pub(super) fn close(&mut self, host: u32, run: u32, conn: ConnId) {
        if let Some((id, end)) = self.at(host, run, conn) {
            self.close_end(id, end);
        }
    }

    fn close_end(&mut self, id: PipeId, end: usize) {
        if let Some(pipe) = self.pipe(id).filter(|p| p.ends[end].open) {
            pipe.ends[end].open = false;
            pipe.flows[end].push_back(Arrived::Closed);
        }
        self.tidy(id);
    }

    /// A process died: its ends close.
    pub(super) fn died(&mut self, host: u32, run: u32) {
        let ids: Vec<PipeId> = self.pipes.keys().copied().collect();
        for id in ids {
            for end in 0..2 {
                if self.pipes.get(&id).is_some_and(|p| (p.ends[end].host, p.ends[end].run) == (host, run)) {
                    self.close_end(id, end);
                }
            }
        }
    }

    /// The connection breaks: what was under way on it is lost, and each end learns of it in its time.
    pub(super) fn cut(&mut self, id: PipeId) {
        if let Some(pipe) = self.pipe(id) {
            pipe.flows = [VecDeque::from([Arrived::Closed]), VecDeque::from([Arrived::Closed])];
        }
    }

    /// Forgets a connection that neither end has any more.
    pub(super) fn tidy(&mut self, id: PipeId) {
        if self.pipes.get(&id).is_some_and(|p| p.ends.iter().all(|e| !e.open)) {
            self.pipes.remove(&id);
        }
    }

    pub(super) fn passes(&self, from: u32, to: u32, stream: bool) -> bool {
        match self.blocked.get(&(from, to)) {
            None => true,
            Some(Block::Datagrams) => stream,
            Some(Block::All) => false,
        }
    }

    pub(super) fn datagram(&mut self, from: u32, to: u32, bytes: Vec<u8>) {
        if from != to && self.passes(from, to, false) {
            let packet = Packet { to, from, bytes: bytes.into() };
            let at = self.packets.partition_point(|p| *p <= packet);
            self.packets.insert(at, packet);
        }
    }

    /// Streams whose next piece can arrive: the connection, and whose sending.
    pub(super) fn deliverable(&self) -> impl Iterator<Item = (PipeId, usize)> {
        self.pipes.iter().flat_map(move |(id, p)| {
            (0..2).filter_map(move |end| {
                let (from, to) = (p.ends[end].host, p.ends[1 - end].host);
                (!p.flows[end].is_empty() && self.passes(from, to, true)).then_some((*id, end))
            })
        })
    }

    pub(super) fn print(&self, printer: &mut Printer) {
        for (id, pipe) in &self.pipes {
            printer.debug(id);
            printer.debug(&(pipe.ends, pipe.flows[0].len()));
            for item in pipe.flows.iter().flatten() {
                match item {
                    Arrived::Bytes(bytes) => printer.bytes(bytes),
                    other => printer.debug(other),
                }
            }
        }
        for packet in &self.packets {
            printer.number(u64::from(packet.to) << 32 | u64::from(packet.from));
            printer.bytes(&packet.bytes);
        }
        printer.debug(&self.blocked);
    }
}
