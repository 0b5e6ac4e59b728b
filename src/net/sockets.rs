//! All sockets of one node behind one descriptor.

use super::config::NetConfig;
use super::iface::Iface;
use super::notice::{NetError, NetNotice};
use super::own::{self, Own};
use super::seeds::Seeds;
use super::stats::NetStats;
use super::sys;
use super::tcp::{STREAM_TOKENS, StreamEvent, StreamLimits, Streams};
use super::udp::Way;
use crate::types::{ConnId, Time};
use bytes::Bytes;
use mio::net::{TcpListener, UdpSocket};
use mio::{Events, Interest, Poll, Token, Waker};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

pub(super) const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
const TIMER: Token = Token(2);
/// UDP sockets from here on, up to the streams'.
const UDP_TOKENS: usize = 16;

/// How many of the process's descriptors are left to what isn't a connection.
const RESERVED: usize = 64;
/// How many notices wait for their reader; more are dropped.
const MAX_NOTICES: usize = 1_024;

/// A UDP socket and what is known of it.
pub(super) struct Udp {
    pub(super) socket: UdpSocket,
    pub(super) way: Way,
    pub(super) v6: bool,
    /// True for the one that receives limited broadcasts: whose senders have to be looked at.
    pub(super) broadcast: bool,
    /// In the queue of those to be read.
    pub(super) queued: bool,
    /// What the kernel reported last as dropped.
    pub(super) drops: u32,
    /// The kernel has dropped something; not to be asked for the number before this time.
    pub(super) ask_drops_at: Option<Time>,
    /// By which interface it sends multicast at present.
    pub(super) sends_by: Option<u32>,
}

/// One chosen interface.
pub(super) struct Link {
    pub(super) iface: Iface,
    /// The socket that sends by it, and receives what is sent to its address.
    pub(super) own: usize,
    /// The sockets that were made for it.
    pub(super) sockets: Vec<usize>,
    /// Sending by it failed the last time.
    pub(super) failing: bool,
}

/// All sockets of one node.
pub struct Net {
    pub(super) config: NetConfig,
    /// Whether this node listens on the bench.
    pub(super) bench: bool,
    pub(super) poll: Poll,
    pub(super) events: Events,
    pub(super) waker: Arc<Waker>,
    pub(super) timer: Option<sys::Timer>,
    pub(super) listener: TcpListener,
    pub(super) accepting: bool,
    /// Where it listened before, for so many more looks at the interfaces: nobody shall be refused there, for that would prove
    /// a death, before all have heard of the new address. Nobody is accepted either.
    pub(super) former: Option<(TcpListener, u32)>,
    /// For how many looks in a row the interface with this node's address was down.
    pub(super) down_for: u32,
    pub(super) local: SocketAddr,
    pub(super) advertised: Option<SocketAddr>,
    pub(super) udps: Vec<Option<Udp>>,
    /// The socket bound to the address where this node listens.
    pub(super) own: usize,
    pub(super) links: Vec<Link>,
    /// Reasons for which interfaces are skipped, told once.
    pub(super) skipped: Vec<(String, String)>,
    /// UDP sockets that have something to read.
    pub(super) ready: VecDeque<usize>,
    pub(super) streams: Streams,
    pub(super) seeds: Seeds,
    pub(super) stats: NetStats,
    pub(super) notices: VecDeque<NetNotice>,
    pub(super) refresh_at: Time,
    /// True where a family other than the floor's is needed, for seeds.
    pub(super) both_families: bool,
    /// Drops that were not yet told.
    pub(super) untold_drops: u64,
    pub(super) accept_fails_told: bool,
}

impl Net {
    /// Sets up all sockets.
    ///
    /// `bench`: whether to listen on the bench, which candidates and witnesses do. `timer`: whether to use a timer that
    /// is finer than the poll's whole milliseconds, where the system has one.
    ///
    /// # Errors
    /// [`NetError`], naming the thing that stands in the way.
    pub fn bind(config: NetConfig, bench: bool, timer: bool, now: Time) -> Result<Self, NetError> {
        let system = |what| move |e| NetError::System(what, e);
        let poll = Poll::new().map_err(system("make a poll"))?;
        let timer = if timer { sys::Timer::new(poll.registry(), TIMER) } else { Ok(None) };
        let timer = timer.map_err(system("make a timer"))?;
        let admin = own::first_address(&config)?;
        let Own { mut listener, socket, local, granted } = own::bind_own(admin, &config)?;
        let registry = poll.registry();
        registry.register(&mut listener, LISTENER, Interest::READABLE).map_err(system("watch the listener"))?;
        let limits = StreamLimits {
            connect_timeout: config.connect_timeout,
            user_timeout: config.user_timeout,
            max_output: config.max_output,
            max_outputs: config.max_outputs,
            max_streams: config.max_streams.min(sys::descriptors().saturating_sub(RESERVED)).max(1),
        };
        let streams = Streams::new(registry.try_clone().map_err(system("share the poll"))?, limits);
        let waker = Arc::new(Waker::new(registry, WAKER).map_err(system("make a waker"))?);
        let seeds = Seeds::new(&config.seeds, &waker).map_err(system("start the resolver"))?;
        let both_families = seeds.families().any(|v6| v6 != own::is_v6(&config));
        let mut net = Self {
            advertised: own::advertised(&config, local)?,
            bench,
            poll,
            events: Events::with_capacity(256),
            waker,
            timer,
            listener,
            accepting: true,
            former: None,
            down_for: 0,
            local,
            udps: Vec::new(),
            own: 0,
            links: Vec::new(),
            skipped: Vec::new(),
            ready: VecDeque::new(),
            streams,
            both_families,
            seeds,
            stats: NetStats::default(),
            notices: VecDeque::new(),
            refresh_at: now + config.refresh,
            untold_drops: 0,
            accept_fails_told: false,
            config,
        };
        net.own = net.add_udp(socket, Way::Own, false).map_err(system("watch a socket"))?;
        if granted < net.config.receive_buffer {
            net.notify(NetNotice::ReceiveBuffer(net.config.receive_buffer, granted));
        }
        if net.config.broadcast && bench {
            net.listen_broadcast()?;
        }
        net.refresh_links();
        Ok(net)
    }

    /// Where this node listens, by TCP and UDP.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The address that others shall be told.
    #[must_use]
    pub fn advertised(&self) -> SocketAddr {
        self.advertised.unwrap_or(self.local)
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> &NetStats {
        &self.stats
    }

    /// How many streams there are.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// True while bytes wait to be sent on a connection that is being closed.
    #[must_use]
    pub fn is_flushing(&self) -> bool {
        self.streams.is_flushing()
    }

    /// Ends a [`Net::poll`] that waits, from whichever thread.
    #[must_use]
    pub fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// The next notice.
    pub fn poll_notice(&mut self) -> Option<NetNotice> {
        self.notices.pop_front()
    }

    pub(super) fn notify(&mut self, notice: NetNotice) {
        if self.notices.len() < MAX_NOTICES {
            self.notices.push_back(notice);
        }
    }

    pub(super) fn add_udp(&mut self, mut socket: UdpSocket, way: Way, broadcast: bool) -> io::Result<usize> {
        let slot = self.udps.iter().position(Option::is_none).unwrap_or(self.udps.len());
        self.poll.registry().register(&mut socket, Token(UDP_TOKENS + slot), Interest::READABLE)?;
        let v6 = socket.local_addr()?.is_ipv6();
        let udp = Udp { socket, way, v6, broadcast, queued: true, drops: 0, ask_drops_at: None, sends_by: None };
        // Something may have come before it was registered.
        self.ready.push_back(slot);
        if slot == self.udps.len() {
            self.udps.push(Some(udp));
        } else {
            self.udps[slot] = Some(udp);
        }
        Ok(slot)
    }

    pub(super) fn remove_udp(&mut self, slot: usize) {
        if let Some(mut udp) = self.udps.get_mut(slot).and_then(Option::take) {
            let _ = self.poll.registry().deregister(&mut udp.socket);
        }
    }

    /// Takes note of what is ready, waiting for it at most so long.
    ///
    /// # Errors
    /// Where the poll itself fails.
    pub fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let mut timeout = timeout;
        loop {
            match self.poll.poll(&mut self.events, timeout) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(()),
                result => result?,
            }
            let mut count = 0;
            for event in &self.events {
                count += 1;
                match event.token() {
                    LISTENER => self.accepting = true,
                    WAKER | TIMER => {}
                    Token(t) if t >= STREAM_TOKENS => self.streams.note(t - STREAM_TOKENS, event),
                    Token(t) => {
                        if let Some(Some(udp)) = self.udps.get_mut(t - UDP_TOKENS)
                            && !std::mem::replace(&mut udp.queued, true)
                        {
                            self.ready.push_back(t - UDP_TOKENS);
                        }
                    }
                }
            }
            if count < self.events.capacity() {
                return Ok(());
            }
            timeout = Some(Duration::ZERO);
        }
    }

    /// Takes one batch of datagrams from one socket: who sent it, by which way it came, its bytes (more than 1,200 where
    /// it was larger than ours are). How many; nothing where no socket has any.
    pub fn receive(&mut self, now: Time, mut take: impl FnMut(SocketAddr, Way, &[u8])) -> Option<usize> {
        let slot = loop {
            let slot = self.ready.pop_front()?;
            if self.udps.get(slot).is_some_and(Option::is_some) {
                break slot;
            }
        };
        let (Some(Some(udp)), stats, links) = (self.udps.get_mut(slot), &mut self.stats, &self.links) else {
            return Some(0);
        };
        let (own, way, broadcast) = (self.local, udp.way, udp.broadcast);
        let mut checked = |from: SocketAddr, bytes: &[u8]| {
            stats.datagrams_in += 1;
            if way != Way::Own && (from == own || links.iter().any(|l| l.iface.socket_addr(own.port()) == from)) {
                stats.datagrams_own += 1;
            } else if broadcast && !links.iter().any(|l| l.iface.reaches(from.ip())) {
                stats.datagrams_foreign += 1;
            } else {
                take(from, way, bytes);
            }
        };
        let asks = udp.ask_drops_at.is_some_and(|at| at <= now);
        let received = if asks {
            let dropped = sys::with_receiver(|r| r.receive_drops(&udp.socket, udp.v6, &mut checked));
            dropped.map(|total| {
                let new = total.map_or(0, |total| total.wrapping_sub(udp.drops));
                udp.drops = total.unwrap_or(udp.drops);
                udp.ask_drops_at = Some(now + Duration::from_secs(1));
                self.untold_drops += u64::from(new);
                sys::Received { count: sys::BATCH, drops: false }
            })
        } else {
            sys::with_receiver(|r| r.receive(&udp.socket, udp.v6, &mut checked))
        };
        match received {
            Ok(r) => {
                if r.drops && udp.ask_drops_at.is_none() {
                    udp.ask_drops_at = Some(now);
                }
                // A full batch: there may be more, after the other sockets' turn.
                udp.queued = r.count == sys::BATCH;
                if udp.queued {
                    self.ready.push_back(slot);
                }
                Some(r.count)
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                udp.queued = false;
                Some(0)
            }
            Err(_) => {
                // A pending error is taken away by the call that reports it: read on.
                self.stats.receive_errors += 1;
                self.ready.push_back(slot);
                Some(0)
            }
        }
    }

    /// Takes some of the connections that wait to be accepted; [`Net::next_stream`] tells of them. Called once a turn: however
    /// much comes in on those that are there, others get in.
    pub fn accept(&mut self, now: Time) {
        if !self.accepting || self.streams.accept_again.is_some() {
            return;
        }
        self.accepting = self.streams.accept(now, &self.listener, &mut self.stats);
        if self.streams.accept_again.is_some() && !std::mem::replace(&mut self.accept_fails_told, true) {
            self.notify(NetNotice::AcceptFails);
        }
    }

    /// Tells one thing that happened to a stream. False where there is nothing to tell.
    pub fn next_stream(&mut self, now: Time, mut tell: impl FnMut(ConnId, StreamEvent<'_>)) -> bool {
        if self.streams.next(&mut self.stats, &mut tell) {
            return true;
        }
        self.accept(now);
        self.streams.next(&mut self.stats, &mut tell)
    }

    /// True where [`Net::receive`] or [`Net::next_stream`] may have more without another [`Net::poll`].
    #[must_use]
    pub fn has_input(&self) -> bool {
        let accepting = self.accepting && self.streams.accept_again.is_none();
        !self.ready.is_empty() || self.streams.has_work() || accepting
    }

    /// True where there may be input, or output that [`Net::flush`] can write.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.has_input() || self.streams.wants_flush()
    }

    /// Begins to connect; what becomes of it comes by [`Net::next_stream`]. The number must not have been used before.
    pub fn connect(&mut self, now: Time, id: ConnId, to: SocketAddr) {
        self.streams.connect(now, id, to);
    }

    /// Adds to what shall be sent on a stream. It goes out at the next [`Net::flush`].
    pub fn write(&mut self, id: ConnId, bytes: Bytes) {
        self.streams.write(id, bytes, false, &mut self.stats);
    }

    /// As [`Net::write`]; [`Net::take_written`] tells when the bytes have been given to the system.
    pub fn write_bulk(&mut self, id: ConnId, bytes: Bytes) {
        self.streams.write(id, bytes, true, &mut self.stats);
    }

    /// A stream, and how many bytes given by [`Net::write_bulk`] were written to it since this was asked.
    pub fn take_written(&mut self) -> Option<(ConnId, usize)> {
        self.streams.take_written()
    }

    /// Closes a stream once all is sent.
    pub fn close(&mut self, now: Time, id: ConnId) {
        self.streams.close(now, id);
    }

    /// Writes to the streams what was given since the last time.
    pub fn flush(&mut self) {
        self.streams.flush(&mut self.stats);
    }

    /// When [`Net::handle_timeout`] has something to do.
    #[must_use]
    pub fn next_timeout(&self) -> Time {
        self.streams.next_timeout().map_or(self.refresh_at, |at| at.min(self.refresh_at))
    }

    /// Does what is due: gives up connections that take too long, reads the interfaces again.
    pub fn handle_timeout(&mut self, now: Time) {
        self.streams.expire(now);
        if self.streams.accept_again.is_some_and(|at| at <= now) {
            self.streams.accept_again = None;
            self.accepting = true;
        }
        self.take_answers(now);
        if now < self.refresh_at {
            return;
        }
        self.refresh_at = now + self.config.refresh;
        self.accept_fails_told = false;
        if self.untold_drops > 0 {
            let new = std::mem::take(&mut self.untold_drops);
            self.stats.receive_drops += new;
            self.notify(NetNotice::ReceiveDrops(new, self.stats.receive_drops));
        }
        self.refresh_links();
    }

    /// Has the descriptor become readable at that time at the latest, where there is a timer.
    pub fn arm(&mut self, now: Time, at: Time) {
        if let Some(timer) = &mut self.timer
            && at != Time::NEVER
        {
            timer.arm(now.as_micros(), at.as_micros());
        }
    }
}

impl AsRawFd for Net {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Net").field("local", &self.local).field("links", &self.links.len()).finish_non_exhaustive()
    }
}
