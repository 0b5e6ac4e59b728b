//! One node in the caller's poll.

use super::{BindError, DriverEvent, MoveError, Setup, Store};
use crate::net::{Discovery, Net, NetConfig, NetStats, StreamEvent, Way, sys};
use crate::proto::{
    AnswerError, Command, CommandError, Config, Dest, Lane, Node, RequestError, Role, SendError, Start, StreamInput,
    StreamOutput,
};
use crate::types::{Incarnation, NodeId, Time};
use bytes::Bytes;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token, Waker};
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How many datagrams are read in one turn.
const DATAGRAMS: usize = 512;
/// How many pieces of streams, of up to 64 KiB, are read in one turn.
const PIECES: usize = 64;
/// How many bytes of streams are read in one turn: messages are taken, and room for more is told, while they still come.
const READ: usize = 256 << 10;
/// How many datagrams are sent before something else gets its turn.
const SENDS: usize = 4_096;
/// How often streams are written to in one turn: 128 KiB each time to each, before anything is read again.
const BURSTS: usize = 4;
/// How often the core's outputs are drained in one turn.
const ROUNDS: usize = 64;
/// How many turns a timeout waits for the sockets to be empty: in so many, all is read that a large receive buffer
/// holds. What came later is not what the timeout has to wait for.
const TURNS_BEFORE_TIMEOUT: usize = 16_384 / DATAGRAMS;
/// Heartbeats of at most this interval are worth a timer finer than a millisecond.
const FINE_HEARTBEAT: Duration = Duration::from_millis(100);

/// One node with its sockets, its clock and its store, in a [`mio::Poll`] of the caller or with a thread for itself.
///
/// How to run it stands in [`crate::driver`].
pub struct Driver {
    node: Node,
    net: Net,
    store: Option<Box<dyn Store + Send>>,
    events: VecDeque<DriverEvent>,
    /// Where the core writes a datagram that shall be sent.
    buffer: Vec<u8>,
    /// The last time that was read: good enough for what needn't be measured. A reading costs as much as a hundred
    /// instructions, so there is none for each step.
    latest: Time,
    /// That is long ago, maybe: the caller has slept since.
    slept: bool,
    /// Something is left to do without waiting.
    more: bool,
    /// That is only what was sent since the last turn.
    sent: bool,
    /// What is ready was noted by [`Driver::wait`].
    polled: bool,
    /// Turns since a timeout fell due that still waits for the sockets to be empty.
    turns_since_due: usize,
    /// The address that the core knows to be this node's.
    told: SocketAddr,
    /// Where others are looked for once the node has left where it is.
    moves_to: Option<Discovery>,
}

/// The time on the driver's clock.
fn now() -> Time {
    Time::from_micros(sys::clock_us())
}

/// A number that differs between nodes and starts: the hasher's keys come from the system's random source.
fn seed() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(sys::clock_us());
    hasher.write_u32(std::process::id());
    hasher.finish()
}

/// Whether what the core counts on is there.
fn check(config: &Config, net: &NetConfig) -> Result<(), BindError> {
    let missing = if config.multicast && net.multicast().is_none() {
        "the node counts on multicast, but the network has none: turn it off in both, or in neither"
    } else if config.broadcast && !net.broadcast() {
        "the node counts on broadcast, but the network doesn't use it: turn it on in both, or in neither"
    } else if config.seeds && !net.has_seeds() {
        "the node counts on seeds, but the network names none: name one"
    } else {
        return Ok(());
    };
    Err(BindError::Mismatch(missing.into()))
}

impl Driver {
    /// Opens the store and the sockets, and puts them into the caller's poll under one token.
    ///
    /// # Errors
    /// [`BindError`], naming the thing that stands in the way.
    pub fn bind(setup: Setup, registry: &Registry, token: Token) -> Result<Self, BindError> {
        let driver = Self::open(setup)?;
        let registered = registry.register(&mut SourceFd(&driver.as_raw_fd()), token, Interest::READABLE);
        registered.map_err(|e| BindError::System("watch the node's sockets", e))?;
        Ok(driver)
    }

    /// Opens the store and the sockets, for a thread that does nothing else: it sleeps in [`Driver::wait`]. Also for loops
    /// that aren't mio's: they watch the descriptor, which becomes readable when there is something to do.
    ///
    /// # Errors
    /// [`BindError`], naming the thing that stands in the way.
    pub fn open(setup: Setup) -> Result<Self, BindError> {
        let Setup { mut config, net, mut store } = setup;
        check(&config, &net)?;
        let restored = match &mut store {
            Some(store) => store.load()?,
            None => None,
        };
        let votes = config.standing().votes();
        let fine = votes || config.heartbeat() <= FINE_HEARTBEAT;
        let net = Net::bind(net, votes, fine, now())?;
        let told = net.advertised();
        // Who refuses there needn't be this process, nor its host.
        config.death_evidence &= told == net.local_addr();
        // A clock before 1970 counts as none.
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let start = Start {
            seed: seed(),
            wall_clock_us: u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX),
            addrs: vec![told],
            durable: store.is_some(),
            restored,
        };
        let latest = now();
        let node = Node::new(config, start, latest);
        let (events, buffer) = (VecDeque::new(), Vec::new());
        Ok(Self {
            node,
            net,
            store,
            events,
            buffer,
            latest,
            slept: false,
            more: true,
            sent: false,
            polled: false,
            turns_since_due: 0,
            told,
            moves_to: None,
        })
    }

    /// The core, to look at.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Where this node listens, by TCP and UDP.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.net.local_addr()
    }

    /// The address that others are told.
    #[must_use]
    pub fn advertised(&self) -> SocketAddr {
        self.told
    }

    /// The counters of the sockets' layer.
    #[must_use]
    pub fn net_stats(&self) -> &NetStats {
        self.net.stats()
    }

    /// Gives a command to the core. What follows from it goes out at the next [`Driver::advance`].
    ///
    /// # Errors
    /// [`CommandError`]; nothing changed then.
    pub fn command(&mut self, command: Command) -> Result<(), CommandError> {
        (self.more, self.sent) = (true, false);
        let now = self.now();
        self.node.handle_command(now, command)
    }

    /// Points the node at another convention address while it runs: it leaves its convention in order, then goes over, as
    /// [`Command::Move`] says; [`crate::proto::Event::Moved`] tells that it has. Only discovery changes: the node listens
    /// where it did, and broadcast stays on or off. Nothing of it outlives a restart.
    ///
    /// # Errors
    /// [`MoveError`]; nothing changed then.
    pub fn move_to(&mut self, to: Discovery) -> Result<(), MoveError> {
        self.net.prepare_move(&to).map_err(MoveError::Net)?;
        let command = Command::Move { multicast: to.multicast().is_some(), seeds: to.has_seeds() };
        self.command(command).map_err(MoveError::Command)?;
        self.moves_to = Some(to);
        Ok(())
    }

    /// Sends a message to another node's embedder, as [`Node::send`] does. It goes out at the next [`Driver::advance`].
    ///
    /// # Errors
    /// [`SendError`]; nothing changed then.
    pub fn send(&mut self, to: &NodeId, body: Bytes) -> Result<(), SendError> {
        let now = self.time();
        self.node.send(now, to, body)?;
        self.sent |= !std::mem::replace(&mut self.more, true);
        Ok(())
    }

    /// Sends a message as one datagram, as [`Node::send_datagram`] does.
    ///
    /// # Errors
    /// [`SendError`]; nothing changed then.
    pub fn send_datagram(&mut self, to: &NodeId, body: Bytes) -> Result<(), SendError> {
        let now = self.time();
        self.node.send_datagram(now, to, body)?;
        self.sent |= !std::mem::replace(&mut self.more, true);
        Ok(())
    }

    /// Tells all members something, as [`Node::broadcast`] does: its number.
    ///
    /// # Errors
    /// [`SendError`]; nothing changed then.
    pub fn broadcast(&mut self, body: Bytes) -> Result<u64, SendError> {
        let now = self.now();
        let number = self.node.broadcast(now, body)?;
        (self.more, self.sent) = (true, false);
        Ok(number)
    }

    /// Asks whoever leads, as [`Node::request`] does. It goes out at the next [`Driver::advance`].
    ///
    /// # Errors
    /// [`RequestError`]; nothing changed then.
    pub fn request(&mut self, body: Bytes, again: bool) -> Result<u64, RequestError> {
        let now = self.time();
        let number = self.node.request(now, body, again)?;
        self.sent |= !std::mem::replace(&mut self.more, true);
        Ok(number)
    }

    /// Answers a request, as [`Node::answer`] does.
    ///
    /// # Errors
    /// [`AnswerError`]; nothing changed then.
    pub fn answer(
        &mut self,
        from: &NodeId,
        incarnation: Incarnation,
        number: u64,
        body: Bytes,
    ) -> Result<(), AnswerError> {
        let now = self.time();
        self.node.answer(now, from, incarnation, number, body)?;
        self.sent |= !std::mem::replace(&mut self.more, true);
        Ok(())
    }

    /// Gives a request up, as [`Node::forget`] does.
    ///
    /// # Errors
    /// [`AnswerError`]; nothing changed then.
    pub fn forget(&mut self, from: &NodeId, incarnation: Incarnation, number: u64) -> Result<(), AnswerError> {
        let now = self.time();
        self.node.forget(now, from, incarnation, number)?;
        self.sent |= !std::mem::replace(&mut self.more, true);
        Ok(())
    }

    /// The next event that is neither a message nor about one, as [`Node::poll_notice`]: for those who have no room for
    /// messages now.
    pub fn poll_notice(&mut self) -> Option<DriverEvent> {
        let own = self.events.pop_front();
        own.or_else(|| self.node.poll_notice().map(DriverEvent::Node))
            .or_else(|| self.net.poll_notice().map(DriverEvent::Net))
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<DriverEvent> {
        let own = self.events.pop_front();
        own.or_else(|| self.node.poll_event().map(DriverEvent::Node))
            .or_else(|| self.net.poll_notice().map(DriverEvent::Net))
    }

    /// How long the caller may wait before the next [`Driver::advance`]: zero while work is left.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        if self.more {
            return Some(Duration::ZERO);
        }
        Some(self.deadline() - now())
    }

    /// Sleeps until there is something for [`Driver::advance`] to do, in the driver's own poll, and no longer than
    /// `at_most`. For a thread that has no other poll: each turn takes a system call less than one poll in the other.
    ///
    /// # Errors
    /// Where the poll itself fails.
    pub fn wait(&mut self, at_most: Option<Duration>) -> io::Result<()> {
        let timeout = [self.timeout(), at_most].into_iter().flatten().min();
        self.net.poll(timeout)?;
        (self.polled, self.slept) = (true, true);
        Ok(())
    }

    /// Ends [`Driver::wait`], or a poll that the driver is in, from whichever thread.
    #[must_use]
    pub fn waker(&self) -> Arc<Waker> {
        self.net.waker()
    }

    /// The time, read anew. All that the core is given has a time from here, so it never goes back.
    fn now(&mut self) -> Time {
        self.slept = false;
        self.latest = now();
        self.latest
    }

    /// The time, read once for all that is given between two turns.
    fn time(&mut self) -> Time {
        if self.slept { self.now() } else { self.latest }
    }

    fn deadline(&self) -> Time {
        self.node.poll_timeout().unwrap_or(Time::NEVER).min(self.net.next_timeout())
    }

    /// True once the node takes no part any more and all it had to say is sent.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.node.role() == Role::Stopped && !self.more && !self.net.is_flushing()
    }

    /// One turn: reads what is there, lets the core's timers run, carries out what the core wants. True where work is
    /// left.
    pub fn advance(&mut self) -> bool {
        if !std::mem::take(&mut self.polled) {
            // It can't fail with a descriptor of ours that is open; if it did, timers would still run.
            if let Err(e) = self.net.poll(Some(Duration::ZERO)) {
                tracing::error!("can't poll the node's sockets: {e}");
            }
        }
        (self.more, self.sent) = (false, false);
        let turn = self.now();
        self.net.handle_timeout(turn);
        self.follow_address();
        self.read_datagrams();
        self.read_streams();
        self.run_timers(!self.net.has_input());
        self.carry_out();
        self.net.listen_bench(self.node.standing().votes());
        self.write_out();
        let deadline = self.deadline();
        self.more |= self.net.has_work() || deadline <= self.latest;
        if !self.more {
            self.net.arm(self.latest, deadline);
        }
        self.slept = true;
        self.more
    }

    /// Sends what was given to [`Driver::send`] and [`Driver::command`] since the last turn at once, without a look at what
    /// came in: for those who answer and then wait. The next [`Driver::advance`] would do it too.
    pub fn flush(&mut self) {
        // What made a turn necessary otherwise still does.
        let more = std::mem::replace(&mut self.more, false) && !self.sent;
        self.sent = false;
        self.time();
        self.carry_out();
        self.write_out();
        let deadline = self.deadline();
        self.more |= more || self.net.has_work() || deadline <= self.latest;
        if !self.more {
            self.net.arm(self.latest, deadline);
        }
    }

    /// Writes to the streams, and goes on while the kernel takes what the core has.
    fn write_out(&mut self) {
        for _ in 0..BURSTS {
            self.net.flush();
            let mut written = false;
            while let Some((id, n)) = self.net.take_written() {
                self.node.handle_stream(self.latest, id, StreamInput::Written(n));
                written = true;
            }
            if !(written && self.serve_streams()) {
                return;
            }
        }
    }

    /// Tells the core where it listens, where that changed.
    fn follow_address(&mut self) {
        let addr = self.net.advertised();
        if addr != self.told {
            self.told = addr;
            // The only error is that the node has stopped, which makes it pointless.
            let _ = self.node.handle_command(self.latest, Command::Addresses(vec![addr]));
        }
    }

    fn read_datagrams(&mut self) {
        let mut read = 0;
        while read < DATAGRAMS {
            // Read after the datagrams, never before: what a voter promises for the time after it heard its leader must not begin
            // before that leader spoke, and between the two this thread may have slept.
            let (asked, latest, node) = (self.latest, &mut self.latest, &mut self.node);
            let mut read_at = None;
            let batch = self.net.receive(asked, |from, way, bytes| {
                let now = *read_at.get_or_insert_with(now);
                *latest = now;
                let lane = match way {
                    Way::Floor => Lane::Floor,
                    Way::Bench => Lane::Bench,
                    Way::Own => Lane::Unicast,
                };
                node.handle_datagram(now, from, lane, bytes);
            });
            match batch {
                // An empty one counts too, so that this ends.
                Some(n) => read += n.max(1),
                None => break,
            }
            // Answers go out after each batch, not after all of them: a leader's lease waits for them.
            self.send_datagrams();
        }
    }

    fn read_streams(&mut self) {
        self.net.accept(self.latest);
        let (latest, node) = (&mut self.latest, &mut self.node);
        let mut read = 0;
        for _ in 0..PIECES {
            if read >= READ {
                break;
            }
            let asked = *latest;
            let told = self.net.next_stream(asked, |id, event| {
                // As for datagrams: after it came.
                *latest = now();
                let input = match event {
                    StreamEvent::Accepted(peer) => StreamInput::Accepted(peer),
                    StreamEvent::Connected => StreamInput::Connected,
                    StreamEvent::Refused => StreamInput::Refused,
                    StreamEvent::Failed => StreamInput::Failed,
                    StreamEvent::Bytes(bytes) => {
                        read += bytes.len();
                        StreamInput::Bytes(bytes)
                    }
                    StreamEvent::Closed => StreamInput::Closed,
                };
                node.handle_stream(*latest, id, input);
            });
            if !told {
                return;
            }
        }
    }

    /// Runs the core's timers where they are due and all that was waiting is read: a loop that is late must not take
    /// others for silent whose datagrams lie in its own buffers. Under a flood that never ends they run all the same.
    fn run_timers(&mut self, emptied: bool) {
        if self.node.poll_timeout().is_none_or(|at| at > self.latest) {
            self.turns_since_due = 0;
            return;
        }
        self.turns_since_due += 1;
        if emptied || self.turns_since_due >= TURNS_BEFORE_TIMEOUT {
            self.turns_since_due = 0;
            let now = self.now();
            self.node.handle_timeout(now);
        } else {
            self.more = true;
        }
    }

    /// Stores, sends and connects as the core wants it, until it wants nothing more.
    fn carry_out(&mut self) {
        for _ in 0..ROUNDS {
            let stored = self.write_store();
            let sent = self.send_datagrams();
            let streamed = self.serve_streams();
            if !(stored || sent || streamed) {
                return;
            }
        }
        self.more = true;
    }

    fn write_store(&mut self) -> bool {
        let Some(write) = self.node.poll_store() else { return false };
        let result = match &mut self.store {
            Some(store) => store.write(&write),
            // A core that was told that it isn't durable rests nothing on a write.
            None => Ok(()),
        };
        // Writing takes its time: the core has to hear when it was over.
        let now = self.now();
        match result {
            Ok(()) => self.node.handle_stored(now, write.seq),
            Err(e) => {
                self.events.push_back(DriverEvent::StoreFailed(e.to_string()));
                self.node.handle_store_failed(now);
            }
        }
        true
    }

    fn send_datagrams(&mut self) -> bool {
        let now = self.latest;
        for sent in 0..SENDS {
            let Some(dest) = self.node.poll_transmit(&mut self.buffer) else {
                if !self.node.poll_move() {
                    return sent > 0;
                }
                if let Some(to) = self.moves_to.take() {
                    self.net.move_to(to);
                }
                continue;
            };
            match dest {
                Dest::Floor => self.net.send_floor(&self.buffer),
                Dest::Bench => self.net.send_bench(&self.buffer),
                Dest::Broadcast => self.net.send_broadcast(&self.buffer),
                Dest::Seeds => self.net.send_seeds(now, &self.buffer),
                Dest::Addr(to) => self.net.send_to(to, &self.buffer),
            }
        }
        self.more = true;
        true
    }

    fn serve_streams(&mut self) -> bool {
        let (now, mut served) = (self.latest, false);
        while let Some(output) = self.node.poll_stream() {
            served = true;
            match output {
                StreamOutput::Connect(id, to) => self.net.connect(now, id, to),
                StreamOutput::Send(id, bytes) => self.net.write(id, bytes),
                StreamOutput::Bulk(id, bytes) => self.net.write_bulk(id, bytes),
                StreamOutput::Close(id) => self.net.close(now, id),
            }
        }
        served
    }
}

/// Becomes readable when there is something to do; timers aside, where the node's heartbeat is longer than 100 ms:
/// wait no longer than [`Driver::timeout`].
impl AsRawFd for Driver {
    fn as_raw_fd(&self) -> RawFd {
        self.net.as_raw_fd()
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("net", &self.net).field("more", &self.more).finish_non_exhaustive()
    }
}
