//! The stream connections of a node: dialled and accepted, read within a budget, written once for each turn of the loop.

use super::stats::NetStats;
use super::sys;
use crate::types::{ConnId, Time};
use bytes::Bytes;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{SockRef, TcpKeepalive};
use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

/// What happened to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEvent<'a> {
    /// Somebody connected.
    Accepted(SocketAddr),
    /// The connection that was asked for stands.
    Connected,
    /// The peer's host refused it: nobody listens there.
    Refused,
    /// It could not be made for another reason, or took too long.
    Failed,
    /// Bytes came in.
    Bytes(&'a [u8]),
    /// It ended. Nothing follows for it.
    Closed,
}

/// What is known of streams without reading.
enum Pending {
    Accepted(SocketAddr),
    Refused,
    Failed,
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not made yet; given up at this time.
    Connecting(Time),
    Open,
    /// To be closed once all is written, at the latest at this time.
    Flushing(Time),
    /// All is written and the end is told: what still comes is thrown away, until the peer's end or this time. Closing
    /// at once could have the kernel throw away what the peer hasn't read yet.
    Lingering(Time),
}

struct Conn {
    id: ConnId,
    stream: TcpStream,
    state: State,
    readable: bool,
    /// The poll told of its end: it is read up to there, whatever a short read may mean otherwise.
    ends: bool,
    writable: bool,
    /// In the queue of those to be read.
    queued: bool,
    /// In the list of those to be written.
    dirty: bool,
    output: VecDeque<Piece>,
    output_bytes: usize,
    /// Bytes of messages that were written and not told yet.
    written: usize,
    /// Something was written: the peer may not have read it yet.
    spoke: bool,
}

/// What waits to be written.
struct Piece {
    bytes: Bytes,
    /// Its writing is told.
    bulk: bool,
}

/// Limits of streams.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamLimits {
    pub(crate) connect_timeout: Duration,
    pub(crate) user_timeout: Duration,
    pub(crate) max_output: usize,
    pub(crate) max_outputs: usize,
    pub(crate) max_streams: usize,
}

/// The streams' tokens in the poll begin here.
pub(crate) const STREAM_TOKENS: usize = 1 << 24;
/// How many bytes are read at a time.
const READ: usize = 64 << 10;
/// How many bytes the kernel takes that it can't send yet: what is urgent doesn't wait behind more.
const UNSENT: u32 = 128 << 10;
/// How many connections are accepted at a time.
const ACCEPTS: usize = 16;
/// How many pieces are written in one call.
const PIECES: usize = 64;
/// How long a connection may take to be closed in order.
const CLOSING: Duration = Duration::from_secs(2);
/// How long no connections are accepted where there are no descriptors for them.
const BREATH: Duration = Duration::from_millis(100);

/// All streams of a node.
pub(crate) struct Streams {
    registry: Registry,
    limits: StreamLimits,
    conns: Vec<Option<Box<Conn>>>,
    free: Vec<usize>,
    by_id: HashMap<ConnId, usize>,
    /// Those that have something to read.
    ready: VecDeque<usize>,
    /// Those that have something to write.
    dirty: Vec<usize>,
    pending: VecDeque<(ConnId, Pending)>,
    /// Those of whose messages bytes were written.
    written: Vec<usize>,
    /// The bytes that wait to be written to all of them.
    output_bytes: usize,
    next_accepted: u64,
    /// Those that are being made, and those that are being closed, each in the order of their times.
    connecting: VecDeque<(Time, usize, ConnId)>,
    closing: VecDeque<(Time, usize, ConnId)>,
    buffer: Box<[u8]>,
    /// Where accepting failed for want of descriptors: when to go on.
    pub(crate) accept_again: Option<Time>,
}

impl Streams {
    pub(crate) fn new(registry: Registry, limits: StreamLimits) -> Self {
        Self {
            registry,
            limits,
            conns: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            ready: VecDeque::new(),
            dirty: Vec::new(),
            pending: VecDeque::new(),
            written: Vec::new(),
            output_bytes: 0,
            next_accepted: 1,
            connecting: VecDeque::new(),
            closing: VecDeque::new(),
            buffer: Box::default(),
            accept_again: None,
        }
    }

    fn add(&mut self, id: ConnId, mut stream: TcpStream, state: State) -> io::Result<()> {
        let slot = self.free.pop().unwrap_or(self.conns.len());
        let token = Token(STREAM_TOKENS + slot);
        if let Err(e) = self.registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE) {
            if slot < self.conns.len() {
                self.free.push(slot);
            }
            return Err(e);
        }
        if let State::Connecting(until) = state {
            self.connecting.push_back((until, slot, id));
        }
        let (output, dirty) = (VecDeque::new(), false);
        let conn = Box::new(Conn {
            id,
            stream,
            state,
            readable: false,
            ends: false,
            writable: false,
            queued: false,
            dirty,
            output,
            output_bytes: 0,
            written: 0,
            spoke: false,
        });
        if slot == self.conns.len() {
            self.conns.push(Some(conn));
        } else {
            self.conns[slot] = Some(conn);
        }
        self.by_id.insert(id, slot);
        Ok(())
    }

    fn remove(&mut self, slot: usize) {
        let Some(mut conn) = self.conns.get_mut(slot).and_then(Option::take) else { return };
        let _ = self.registry.deregister(&mut conn.stream);
        self.by_id.remove(&conn.id);
        self.output_bytes -= conn.output_bytes;
        self.free.push(slot);
        self.forget_times();
    }

    fn end(&mut self, slot: usize, how: Pending) {
        let Some(Some(conn)) = self.conns.get(slot) else { return };
        let told = matches!(conn.state, State::Connecting(_) | State::Open);
        if told {
            self.pending.push_back((conn.id, how));
        }
        self.remove(slot);
    }

    /// Begins to connect. What becomes of it comes by [`Streams::next`].
    pub(crate) fn connect(&mut self, now: Time, id: ConnId, to: SocketAddr) {
        let made = TcpStream::connect(to).and_then(|stream| {
            configure(&SockRef::from(&stream), self.limits.user_timeout)?;
            self.add(id, stream, State::Connecting(now + self.limits.connect_timeout))
        });
        if let Err(e) = made {
            let refused = e.kind() == ErrorKind::ConnectionRefused;
            self.pending.push_back((id, if refused { Pending::Refused } else { Pending::Failed }));
        }
    }

    /// Adds to what shall be sent. What isn't known any more is dropped. `bulk`: [`Streams::take_written`] tells when it
    /// has been given to the system.
    pub(crate) fn write(&mut self, id: ConnId, bytes: Bytes, bulk: bool, stats: &mut NetStats) {
        let Some(&slot) = self.by_id.get(&id) else { return };
        let Some(Some(conn)) = self.conns.get_mut(slot) else { return };
        if bytes.is_empty() || !matches!(conn.state, State::Connecting(_) | State::Open) {
            return;
        }
        conn.output_bytes += bytes.len();
        self.output_bytes += bytes.len();
        if conn.output_bytes > self.limits.max_output {
            stats.streams_overflowed += 1;
            return self.end(slot, Pending::Closed);
        }
        conn.output.push_back(Piece { bytes, bulk });
        if !std::mem::replace(&mut conn.dirty, true) {
            self.dirty.push(slot);
        }
        if self.output_bytes > self.limits.max_outputs {
            // Who takes least of what is for it goes, whoever it is that was written to last.
            let waiting = |slot: &usize| self.conns[*slot].as_ref().map_or(0, |c| c.output_bytes);
            if let Some(most) = (0..self.conns.len()).max_by_key(waiting) {
                stats.streams_overflowed += 1;
                self.end(most, Pending::Closed);
            }
        }
    }

    /// Closes once all is sent. Nothing comes in for it any more.
    pub(crate) fn close(&mut self, now: Time, id: ConnId) {
        // What was known of it before isn't of interest any more either.
        self.pending.retain(|(other, _)| *other != id);
        let Some(&slot) = self.by_id.get(&id) else { return };
        let Some(Some(conn)) = self.conns.get_mut(slot) else { return };
        match conn.state {
            State::Connecting(_) => self.remove(slot),
            State::Open => {
                conn.state = State::Flushing(now + CLOSING);
                self.closing.push_back((now + CLOSING, slot, id));
                if !std::mem::replace(&mut conn.dirty, true) {
                    self.dirty.push(slot);
                }
            }
            State::Flushing(_) | State::Lingering(_) => {}
        }
    }

    /// Writes what waits, as far as the kernel takes it.
    pub(crate) fn flush(&mut self, stats: &mut NetStats) {
        let mut slots = std::mem::take(&mut self.dirty);
        for slot in slots.drain(..) {
            let Some(Some(conn)) = self.conns.get_mut(slot) else { continue };
            conn.dirty = false;
            if matches!(conn.state, State::Connecting(_)) {
                continue;
            }
            let before = conn.output_bytes;
            let written = conn.write_out();
            self.output_bytes -= before - conn.output_bytes;
            match written {
                Ok((n, told)) => {
                    stats.stream_bytes_out += n;
                    if told > 0 && conn.written == 0 {
                        self.written.push(slot);
                    }
                    conn.written += told;
                    conn.spoke |= n > 0;
                }
                Err(_) => {
                    self.end(slot, Pending::Closed);
                    continue;
                }
            }
            if let State::Flushing(until) = conn.state
                && conn.output.is_empty()
            {
                if !conn.spoke {
                    self.remove(slot);
                    continue;
                }
                let _ = conn.stream.shutdown(Shutdown::Write);
                conn.state = State::Lingering(until);
                if !std::mem::replace(&mut conn.queued, true) {
                    self.ready.push_back(slot);
                }
            }
        }
        // Its memory serves the next time; nothing became dirty meanwhile.
        if self.dirty.is_empty() {
            self.dirty = slots;
        }
    }

    /// How many bytes of messages were written to a stream since this was asked.
    pub(crate) fn take_written(&mut self) -> Option<(ConnId, usize)> {
        while let Some(slot) = self.written.pop() {
            if let Some(Some(conn)) = self.conns.get_mut(slot)
                && conn.written > 0
            {
                return Some((conn.id, std::mem::take(&mut conn.written)));
            }
        }
        None
    }

    /// True where something would be written now.
    pub(crate) fn wants_flush(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Takes note of what the poll told of a stream.
    pub(crate) fn note(&mut self, slot: usize, event: &mio::event::Event) {
        let Some(Some(conn)) = self.conns.get_mut(slot) else { return };
        conn.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        conn.ends |= event.is_read_closed() || event.is_error();
        conn.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
        if !std::mem::replace(&mut conn.queued, true) {
            self.ready.push_back(slot);
        }
        if conn.writable && !conn.output.is_empty() && !std::mem::replace(&mut conn.dirty, true) {
            self.dirty.push(slot);
        }
    }

    /// Drops the connection that waits longest for its peer's end: it has been told all. False where there is none.
    fn make_room(&mut self) -> bool {
        let lingers =
            |slot: &usize| matches!(self.conns.get(*slot), Some(Some(c)) if matches!(c.state, State::Lingering(_)));
        let oldest = self.closing.iter().map(|(_, slot, _)| *slot).find(lingers);
        oldest.inspect(|slot| self.remove(*slot)).is_some()
    }

    /// Accepts some connections; true where more may wait.
    pub(crate) fn accept(&mut self, now: Time, listener: &TcpListener, stats: &mut NetStats) -> bool {
        for _ in 0..ACCEPTS {
            match listener.accept() {
                Ok((stream, peer)) => {
                    if self.by_id.len() >= self.limits.max_streams && !self.make_room() {
                        stats.accepts_refused += 1;
                        continue;
                    }
                    let id = ConnId(self.next_accepted);
                    let made = if sys::ACCEPTED_INHERIT {
                        Ok(())
                    } else {
                        configure(&SockRef::from(&stream), self.limits.user_timeout)
                    };
                    if made.and_then(|()| self.add(id, stream, State::Open)).is_ok() {
                        self.next_accepted += 2;
                        stats.accepts += 1;
                        self.pending.push_back((id, Pending::Accepted(peer)));
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return false,
                // The peer was gone before we took it.
                Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(_) => {
                    stats.accepts_failed += 1;
                    self.accept_again = Some(now + BREATH);
                    return false;
                }
            }
        }
        true
    }

    /// Tells one thing that happened. False where nothing is left to tell.
    pub(crate) fn next(&mut self, stats: &mut NetStats, tell: &mut dyn FnMut(ConnId, StreamEvent<'_>)) -> bool {
        if let Some((id, what)) = self.pending.pop_front() {
            match what {
                Pending::Accepted(peer) => tell(id, StreamEvent::Accepted(peer)),
                Pending::Refused => tell(id, StreamEvent::Refused),
                Pending::Failed => tell(id, StreamEvent::Failed),
                Pending::Closed => tell(id, StreamEvent::Closed),
            }
            return true;
        }
        while let Some(slot) = self.ready.pop_front() {
            let Some(Some(conn)) = self.conns.get_mut(slot) else { continue };
            conn.queued = false;
            let told = match conn.state {
                State::Connecting(_) => self.finish_connect(slot, tell),
                _ if conn.readable => self.read(slot, stats, tell),
                _ => false,
            };
            if told {
                return true;
            }
        }
        // What was found while reading.
        !self.pending.is_empty() && self.next(stats, tell)
    }

    fn finish_connect(&mut self, slot: usize, tell: &mut dyn FnMut(ConnId, StreamEvent<'_>)) -> bool {
        let Some(Some(conn)) = self.conns.get_mut(slot) else { return false };
        if !conn.writable && !conn.readable {
            return false;
        }
        let id = conn.id;
        let outcome = match conn.stream.take_error() {
            Ok(Some(e)) | Err(e) if e.kind() == ErrorKind::ConnectionRefused => StreamEvent::Refused,
            Ok(Some(_)) | Err(_) => StreamEvent::Failed,
            Ok(None) => match (conn.stream.local_addr(), conn.stream.peer_addr()) {
                // TCP lets a socket connect to itself where it drew the very port that it calls: nobody listens there.
                (Ok(local), Ok(peer)) if local == peer => StreamEvent::Refused,
                (_, Ok(_)) => StreamEvent::Connected,
                (_, Err(_)) => {
                    // Not yet: another event will come, or the time runs out.
                    (conn.readable, conn.writable) = (false, false);
                    return false;
                }
            },
        };
        if outcome == StreamEvent::Connected {
            conn.state = State::Open;
            if conn.readable {
                conn.queued = true;
                self.ready.push_back(slot);
            }
            if !conn.output.is_empty() && !std::mem::replace(&mut conn.dirty, true) {
                self.dirty.push(slot);
            }
            self.forget_times();
        } else {
            self.remove(slot);
        }
        tell(id, outcome);
        true
    }

    fn read(&mut self, slot: usize, stats: &mut NetStats, tell: &mut dyn FnMut(ConnId, StreamEvent<'_>)) -> bool {
        if self.buffer.is_empty() {
            // Only nodes that have streams pay for it.
            self.buffer = vec![0; READ].into_boxed_slice();
        }
        let Some(Some(conn)) = self.conns.get_mut(slot) else { return false };
        loop {
            match conn.stream.read(&mut self.buffer) {
                Ok(0) => {
                    self.end(slot, Pending::Closed);
                    return false;
                }
                Ok(n) => {
                    if n == self.buffer.len() || conn.ends {
                        // There may be more: its turn comes again after the others'.
                        conn.queued = true;
                        self.ready.push_back(slot);
                    } else {
                        // The kernel has no more: what comes from now on the poll tells anew.
                        conn.readable = false;
                    }
                    stats.stream_bytes_in += n as u64;
                    if conn.state == State::Open {
                        tell(conn.id, StreamEvent::Bytes(&self.buffer[..n]));
                    }
                    return true;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    conn.readable = false;
                    return false;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.end(slot, Pending::Closed);
                    return false;
                }
            }
        }
    }

    /// True where [`Streams::next`] has something to do.
    pub(crate) fn has_work(&self) -> bool {
        !self.pending.is_empty() || !self.ready.is_empty()
    }

    /// When [`Streams::expire`] has something to do.
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        let first = [self.connecting.front(), self.closing.front()];
        first.into_iter().flatten().map(|(at, ..)| *at).chain(self.accept_again).min()
    }

    /// Takes away the times of what has come about meanwhile, as far as they are the first ones.
    fn forget_times(&mut self) {
        let conns = &self.conns;
        let stands = |(at, slot, id): &(Time, usize, ConnId)| {
            let conn = conns.get(*slot).and_then(Option::as_ref);
            conn.is_some_and(|c| c.id == *id && c.deadline() == Some(*at))
        };
        for times in [&mut self.connecting, &mut self.closing] {
            while times.front().is_some_and(|first| !stands(first)) {
                times.pop_front();
            }
        }
    }

    /// Gives up what took too long.
    pub(crate) fn expire(&mut self, now: Time) {
        loop {
            self.forget_times();
            let first = [self.connecting.front(), self.closing.front()].into_iter().flatten().min();
            let Some((_, slot, _)) = first.copied().filter(|(at, ..)| *at <= now) else { return };
            self.end(slot, Pending::Failed);
        }
    }

    /// How many there are, those included that are being closed.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// True while bytes wait to be sent on a connection that is being closed.
    pub(crate) fn is_flushing(&self) -> bool {
        let flushes =
            |slot: usize| matches!(self.conns.get(slot), Some(Some(c)) if matches!(c.state, State::Flushing(_)));
        self.closing.iter().any(|(_, slot, _)| flushes(*slot))
    }
}

impl Conn {
    fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Connecting(at) | State::Flushing(at) | State::Lingering(at) => Some(at),
            State::Open => None,
        }
    }

    /// Writes until all is written or the kernel takes no more; how many bytes, and how many of messages.
    fn write_out(&mut self) -> io::Result<(u64, usize)> {
        let (mut written, mut told) = (0, 0);
        while self.writable && !self.output.is_empty() {
            let mut pieces = [IoSlice::new(&[]); PIECES];
            let count = self.output.len().min(PIECES);
            for (slice, piece) in pieces.iter_mut().zip(&self.output) {
                *slice = IoSlice::new(&piece.bytes);
            }
            match self.stream.write_vectored(&pieces[..count]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => {
                    written += n as u64;
                    told += self.consume(n);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        if self.output.is_empty() {
            // Most streams are idle most of the time, and shall not hold what they needed once.
            self.output = VecDeque::new();
        }
        Ok((written, told))
    }

    /// Takes away what was written; how much of it was of messages.
    fn consume(&mut self, mut n: usize) -> usize {
        self.output_bytes -= n;
        let mut told = 0;
        while let Some(front) = self.output.front_mut() {
            let taken = n.min(front.bytes.len());
            told += if front.bulk { taken } else { 0 };
            if taken < front.bytes.len() {
                bytes::Buf::advance(&mut front.bytes, taken);
                break;
            }
            n -= taken;
            self.output.pop_front();
        }
        told
    }
}

/// How all streams are set up.
pub(super) fn configure(socket: &SockRef<'_>, user_timeout: Duration) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    sys::set_user_timeout(socket, user_timeout)?;
    sys::set_unsent_limit(socket, UNSENT);
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(15)).with_interval(Duration::from_secs(5));
    socket.set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests;
