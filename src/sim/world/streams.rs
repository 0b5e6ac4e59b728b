//! Streams between processes: reliable, ordered, delayed, cut in pieces, and mortal.
//!
//! What is modelled after TCP: a connection to a port where nobody listens is refused after one round trip; to a host
//! that can't be reached it fails after a while; a process that dies closes its connections, and what it had sent still
//! arrives; across a partition bytes stall and are tried again with growing pauses, and after a while without
//! acknowledgement the connection dies, at each end by itself.

use super::super::host::{addr_of, host_of};
use super::super::net::{Conditions, travel};
use super::super::newer;
use super::super::process::{Arrived, Process};
use super::super::queue::{Plan, Step};
use super::super::trace::Detail;
use super::World;
use crate::proto::StreamOutput;
use crate::types::ConnId;
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::SocketAddr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Opening,
    Open,
    Closed,
}

/// One end of a connection.
#[derive(Debug, Clone, Copy)]
struct End {
    host: u32,
    run: u32,
    conn: ConnId,
    state: State,
}

#[derive(Debug)]
enum Item {
    Bytes(Bytes),
    Fin,
}

/// What is on its way in one direction.
#[derive(Debug, Default)]
struct Flow {
    queue: VecDeque<Item>,
    /// Bytes of messages that were given and not told to be written.
    bulk: usize,
    /// A plan to deliver it is made.
    planned: bool,
    /// Since when nothing of it was acknowledged.
    stalled: Option<u64>,
    /// Delivered, but the acknowledgement can't come back.
    unacked: bool,
    tries: u32,
}

/// A connection; end 0 dialled.
#[derive(Debug)]
struct Pipe {
    ends: [End; 2],
    flows: [Flow; 2],
    to: SocketAddr,
    /// Plans that refer to it: its place is used again only when there are none.
    plans: u32,
    in_use: bool,
}

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    slots: Vec<Pipe>,
    free: Vec<u32>,
}

/// The pause before the first retransmission; it doubles.
const RETRY_US: u64 = 200_000;
/// The pause before the second request to connect.
const SYN_RETRY_US: u64 = 1_000_000;

impl World {
    /// A node wants something of its streams.
    pub(super) fn stream_output(&mut self, h: u32, p: &mut Process, out: StreamOutput) {
        match &out {
            StreamOutput::Send(conn, bytes) | StreamOutput::Bulk(conn, bytes) => {
                self.trace.number(conn.0);
                self.trace.bytes(bytes);
            }
            other => self.trace.debug(other),
        }
        if self.trace.tells(Detail::Everything) && !matches!(out, StreamOutput::Send(..) | StreamOutput::Bulk(..)) {
            self.say(h, format_args!("{out:?}"));
        }
        match out {
            StreamOutput::Connect(conn, to) => self.dial(h, p, conn, to),
            StreamOutput::Bulk(conn, bytes) => {
                if let Some(&pipe) = p.conns.get(&conn) {
                    let end = self.end_at(pipe, h, conn);
                    self.pipes.slots[pipe as usize].flows[end].bulk += bytes.len();
                }
                self.push(h, p, conn, bytes);
            }
            StreamOutput::Send(conn, bytes) => {
                let newer = self.hosts[h as usize].is_newer();
                let bytes = if newer { newer::stream(&bytes, self.counts.stream_bytes) } else { bytes };
                self.push(h, p, conn, bytes);
            }
            StreamOutput::Close(conn) => {
                let Some(pipe) = p.conns.remove(&conn) else { return };
                let end = self.end_at(pipe, h, conn);
                self.close_end(pipe, end);
            }
        }
    }

    fn push(&mut self, h: u32, p: &Process, conn: ConnId, bytes: bytes::Bytes) {
        let Some(&pipe) = p.conns.get(&conn) else { return };
        self.counts.stream_bytes += bytes.len() as u64;
        let end = self.end_at(pipe, h, conn);
        self.pipes.slots[pipe as usize].flows[end].queue.push_back(Item::Bytes(bytes));
        self.start_flow(pipe, end);
    }

    fn dial(&mut self, h: u32, p: &mut Process, conn: ConnId, to: SocketAddr) {
        if !conn.is_dialled() || p.conns.contains_key(&conn) {
            self.violated(9, format!("{} dials with the used or odd number {conn}", p.node.config().id()));
            return;
        }
        let dialler = End { host: h, run: p.run, conn, state: State::Opening };
        let acceptor = End { host: u32::MAX, run: 0, conn: ConnId(0), state: State::Opening };
        let pipe = Pipe { ends: [dialler, acceptor], flows: Default::default(), to, plans: 0, in_use: true };
        let at = match self.pipes.free.pop() {
            Some(at) => {
                self.pipes.slots[at as usize] = pipe;
                at
            }
            None => {
                self.pipes.slots.push(pipe);
                self.pipes.slots.len() as u32 - 1
            }
        };
        p.conns.insert(conn, at);
        let patience = self.options.connect_patience.as_micros() as u64;
        self.plan(at, patience, Step::GiveUp);
        let delay = self.passage(h, host_of(&to).unwrap_or(h));
        self.plan(at, delay, Step::Syn(0));
        if patience > SYN_RETRY_US {
            self.plan(at, SYN_RETRY_US + delay, Step::Syn(1));
        }
    }

    fn plan(&mut self, pipe: u32, delay: u64, step: Step) {
        self.pipes.slots[pipe as usize].plans += 1;
        self.queue.push(self.now + delay, Plan::Stream { pipe, step });
    }

    /// How long bytes take now: a lost segment comes a retransmission later.
    fn passage(&mut self, from: u32, to: u32) -> u64 {
        let c: Conditions = *self.net.on(from, to);
        travel(&c, &mut self.rng) + if self.rng.chance(c.loss_ppm) { RETRY_US } else { 0 }
    }

    fn end_at(&self, pipe: u32, h: u32, conn: ConnId) -> usize {
        let ends = &self.pipes.slots[pipe as usize].ends;
        // A node may dial itself: then only the number tells the ends apart.
        usize::from(!(ends[0].host == h && ends[0].conn == conn))
    }

    fn reaches(&self, from: u32, to: u32) -> bool {
        let up = |h: u32| self.hosts.get(h as usize).is_some_and(|h| h.powered);
        from == to && up(from) || up(from) && up(to) && self.net.passes_streams(from, to)
    }

    pub(super) fn stream_step(&mut self, pipe: u32, step: Step) {
        self.pipes.slots[pipe as usize].plans -= 1;
        match step {
            Step::Syn(_) => self.syn(pipe),
            Step::SynAck => self.syn_ack(pipe),
            Step::Refused => self.dial_ends(pipe, Arrived::Refused),
            Step::GiveUp => self.dial_ends(pipe, Arrived::Failed),
            Step::Flow(end) => self.flow(pipe, usize::from(end)),
            Step::Reset(end) => self.reset(pipe, usize::from(end)),
        }
        let p = &mut self.pipes.slots[pipe as usize];
        let over = p.ends[0].state == State::Closed && p.ends[1].state != State::Open;
        if over && p.plans == 0 && p.in_use {
            p.in_use = false;
            p.flows = Default::default();
            self.pipes.free.push(pipe);
        }
    }

    fn syn(&mut self, pipe: u32) {
        let p = &self.pipes.slots[pipe as usize];
        let [dialler, acceptor] = p.ends;
        if dialler.state != State::Opening || acceptor.state != State::Opening {
            return; // Given up, or this is a second request after the first was answered.
        }
        let port = p.to.port();
        let Some(to) = host_of(&p.to).filter(|t| (*t as usize) < self.hosts.len()) else { return };
        if !self.reaches(dialler.host, to) || !self.reaches(to, dialler.host) {
            return;
        }
        let wall = self.net.walls.of(to).filter(|_| dialler.host != to);
        if wall.is_some_and(|wall| !wall.refuses) {
            return;
        }
        let back = self.passage(to, dialler.host);
        let host = &mut self.hosts[to as usize];
        let listens = host.port == port && wall.is_none();
        let Some(process) = host.process.as_mut().filter(|_| listens) else {
            self.plan(pipe, back, Step::Refused);
            return;
        };
        let conn = process.next_accepted();
        process.conns.insert(conn, pipe);
        let run = process.run;
        let p = &mut self.pipes.slots[pipe as usize];
        p.ends[1] = End { host: to, run, conn, state: State::Open };
        self.counts.streams_opened += 1;
        self.plan(pipe, back, Step::SynAck);
        let from = addr_of(dialler.host, 40_000 + (pipe % 20_000) as u16);
        self.stream_input(to, conn, Arrived::Accepted(from));
    }

    fn syn_ack(&mut self, pipe: u32) {
        let p = &mut self.pipes.slots[pipe as usize];
        let dialler = p.ends[0];
        if dialler.state != State::Opening {
            return; // Closed meanwhile: the end of the stream is on its way to the acceptor.
        }
        p.ends[0].state = State::Open;
        // What the acceptor sent may have come before this answer.
        self.start_flow(pipe, 1);
        self.stream_input(dialler.host, dialler.conn, Arrived::Connected);
    }

    /// The dialler learns that there will be no connection.
    fn dial_ends(&mut self, pipe: u32, why: Arrived) {
        let dialler = self.pipes.slots[pipe as usize].ends[0];
        if dialler.state != State::Opening {
            return;
        }
        match why {
            Arrived::Refused => self.counts.streams_refused += 1,
            _ => self.counts.streams_failed += 1,
        }
        self.end_dies(pipe, 0, why);
    }

    /// An end learns that its connection is over.
    fn end_dies(&mut self, pipe: u32, end: usize, why: Arrived) {
        let p = &mut self.pipes.slots[pipe as usize];
        let e = p.ends[end];
        p.ends[end].state = State::Closed;
        p.flows[end].queue.clear();
        if e.state == State::Closed {
            return;
        }
        // The accepting end has no host before the connection came there.
        let Some(host) = self.hosts.get_mut(e.host as usize) else { return };
        if let Some(process) = host.process.as_mut().filter(|x| x.run == e.run) {
            process.conns.remove(&e.conn);
            self.stream_input(e.host, e.conn, why);
        }
    }

    /// An end closes by itself: what it sent still arrives, then the end of the stream.
    fn close_end(&mut self, pipe: u32, end: usize) {
        let p = &mut self.pipes.slots[pipe as usize];
        p.ends[end].state = State::Closed;
        p.flows[end].queue.push_back(Item::Fin);
        self.start_flow(pipe, end);
        if p_is_unanswered(&self.pipes.slots[pipe as usize]) {
            self.pipes.slots[pipe as usize].flows[end].queue.clear();
        }
    }

    fn start_flow(&mut self, pipe: u32, end: usize) {
        let p = &self.pipes.slots[pipe as usize];
        let (from, to) = (p.ends[end], p.ends[1 - end]);
        if p.flows[end].planned || to.state == State::Opening || p.flows[end].queue.is_empty() {
            return;
        }
        let delay = self.passage(from.host, to.host);
        self.pipes.slots[pipe as usize].flows[end].planned = true;
        self.plan(pipe, delay, Step::Flow(end as u8));
    }

    /// What one end sent arrives at the other, or doesn't.
    fn flow(&mut self, pipe: u32, end: usize) {
        let p = &mut self.pipes.slots[pipe as usize];
        let (from, to) = (p.ends[end], p.ends[1 - end]);
        p.flows[end].planned = false;
        if p.flows[end].queue.is_empty() && !p.flows[end].unacked {
            return;
        }
        let there = self.reaches(from.host, to.host);
        let back = self.reaches(to.host, from.host);
        if !there {
            self.stalls(pipe, end);
            return;
        }
        if to.state == State::Closed {
            // The other end is gone: its host says so, where its answer can come back.
            if !back {
                self.stalls(pipe, end);
                return;
            }
            self.pipes.slots[pipe as usize].flows[end].queue.clear();
            let delay = self.passage(to.host, from.host);
            self.plan(pipe, delay, Step::Reset(end as u8));
            return;
        }
        let item = self.take_item(pipe, end);
        let flow = &mut self.pipes.slots[pipe as usize].flows[end];
        if back {
            (flow.stalled, flow.unacked, flow.tries) = (None, false, 0);
        } else {
            flow.unacked = true;
        }
        let flow = &mut self.pipes.slots[pipe as usize].flows[end];
        let written = if flow.queue.is_empty() { std::mem::take(&mut flow.bulk) } else { 0 };
        if written > 0 {
            let same = self.hosts[from.host as usize].process.as_ref().is_some_and(|p| p.run == from.run);
            if same && from.state == State::Open {
                self.stream_input(from.host, from.conn, Arrived::Written(written));
            }
        }
        match item {
            Some(Item::Bytes(bytes)) => self.stream_input(to.host, to.conn, Arrived::Bytes(bytes)),
            Some(Item::Fin) => self.end_dies(pipe, 1 - end, Arrived::Closed),
            None => {}
        }
        if !back {
            self.stalls(pipe, end);
        } else if !self.pipes.slots[pipe as usize].flows[end].queue.is_empty()
            && !self.pipes.slots[pipe as usize].flows[end].planned
        {
            // More was sent meanwhile, or the rest of a piece: it follows close behind.
            let gap = if self.net.conditions.segmented { self.rng.below(300) } else { 0 };
            self.pipes.slots[pipe as usize].flows[end].planned = true;
            self.plan(pipe, gap, Step::Flow(end as u8));
        }
    }

    /// The next thing to deliver: whole sends, or where streams are segmented pieces that don't respect them.
    fn take_item(&mut self, pipe: u32, end: usize) -> Option<Item> {
        let flow = &mut self.pipes.slots[pipe as usize].flows[end];
        let item = flow.queue.pop_front()?;
        let Item::Bytes(mut bytes) = item else { return Some(item) };
        if !self.net.conditions.segmented {
            return Some(Item::Bytes(bytes));
        }
        if self.rng.one_in(2) {
            // Joined with what follows.
            let mut joined = bytes.to_vec();
            while let Some(Item::Bytes(next)) = flow.queue.front() {
                joined.extend_from_slice(next);
                flow.queue.pop_front();
            }
            bytes = joined.into();
        }
        if bytes.len() > 1 && self.rng.one_in(2) {
            let rest = bytes.split_off(self.rng.range(1, bytes.len() as u64 - 1) as usize);
            flow.queue.push_front(Item::Bytes(rest));
        }
        Some(Item::Bytes(bytes))
    }

    /// Nothing comes through: it is tried again later, or given up.
    fn stalls(&mut self, pipe: u32, end: usize) {
        let patience = self.options.stream_patience.as_micros() as u64;
        let flow = &mut self.pipes.slots[pipe as usize].flows[end];
        let since = *flow.stalled.get_or_insert(self.now);
        let gives_up_at = since + patience;
        if self.now >= gives_up_at {
            flow.queue.clear();
            flow.unacked = false;
            self.counts.streams_died += 1;
            self.end_dies(pipe, end, Arrived::Closed);
            // The other end finds out when it says something, or when it looks whether anybody is there.
            self.plan(pipe, patience, Step::Reset(1 - end as u8));
            return;
        }
        let pause = RETRY_US << flow.tries.min(4);
        flow.tries += 1;
        flow.planned = true;
        self.plan(pipe, pause.min(gives_up_at - self.now), Step::Flow(end as u8));
    }

    fn reset(&mut self, pipe: u32, end: usize) {
        self.end_dies(pipe, end, Arrived::Closed);
    }

    /// A process is gone. `silently`: its host with it, so that nobody tells the other ends.
    pub(super) fn streams_end(&mut self, h: u32, p: &mut Process, silently: bool) {
        let patience = self.options.stream_patience.as_micros() as u64;
        for (conn, pipe) in std::mem::take(&mut p.conns) {
            let end = self.end_at(pipe, h, conn);
            if silently {
                let slot = &mut self.pipes.slots[pipe as usize];
                slot.ends[end].state = State::Closed;
                slot.flows[end].queue.clear();
                self.plan(pipe, 2 * patience, Step::Reset(1 - end as u8));
                continue;
            }
            // A process that dies with unread bytes resets: what it had sent may then be lost.
            if !self.hosts[h as usize].inbox.is_empty() || self.rng.one_in(4) {
                self.pipes.slots[pipe as usize].flows[end].queue.clear();
            }
            self.close_end(pipe, end);
        }
    }
}

/// True where the dialler is gone before anybody accepted: nobody has to be told.
fn p_is_unanswered(p: &Pipe) -> bool {
    p.ends[0].state == State::Closed && p.ends[1].state == State::Opening
}

#[cfg(test)]
mod tests;
