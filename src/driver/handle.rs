//! One node on a thread of its own.

use super::outgoing::{Feeder, Outgoing};
use super::{BindError, Closed, Driver, DriverEvent, MoveError, Setup};
use crate::net::{Discovery, NetStats};
use crate::proto::{AnswerError, Command, Event, MessageLane, Node, RequestError, RequestOutcome, SendError};
use crate::types::{Incarnation, NodeId};
use bytes::Bytes;
use mio::Waker;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How many commands wait for the thread.
const MAX_COMMANDS: usize = 1_024;
/// How many events wait for their reader; more are counted and lost.
const MAX_EVENTS: usize = 65_536;
/// How many bytes of messages wait for their reader until no more are taken out of the core.
const MAX_MESSAGES: usize = 16 << 20;
/// How many commands are carried out in one turn.
const COMMANDS: usize = 64;
/// How many events are handed over at a time.
const TOLD: usize = 1_024;
/// How long a thread that was told to stop may take for it.
const STOPPING: Duration = Duration::from_secs(2);

/// Why a command was not taken. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueError {
    /// Too many commands wait: try again later.
    Full,
    /// The thread is over.
    Closed(Closed),
}

impl fmt::Display for QueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("too many commands wait: try again later"),
            Self::Closed(closed) => closed.fmt(f),
        }
    }
}

impl std::error::Error for QueueError {}

/// Why a shutdown was not in order. The thread doesn't take part any more in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShutdownError {
    /// The node could not leave within the time given, and was stopped without it: others see it as crashed.
    TimedOut,
    /// The thread failed before.
    Failed(String),
}

impl fmt::Display for ShutdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("the node could not leave in time and was stopped without it"),
            Self::Failed(why) => write!(f, "the node's thread failed: {why}"),
        }
    }
}

impl std::error::Error for ShutdownError {}

/// Which request: the sender, its incarnation, its number.
type Asked = (NodeId, Incarnation, u64);

enum Order {
    Command(Command),
    Inspect(Box<dyn FnOnce(&Driver) + Send>),
    Move(Discovery, SyncSender<Result<(), MoveError>>),
    Request(Bytes, bool, SyncSender<Result<u64, RequestError>>),
    /// Without an answer: it is forgotten.
    Answer(Asked, Option<Bytes>, SyncSender<Result<(), AnswerError>>),
}

/// What both sides share.
struct Shared {
    queue: Mutex<Queue>,
    outgoing: Mutex<Outgoing>,
    arrived: Condvar,
    stop: AtomicBool,
}

struct Queue {
    events: VecDeque<DriverEvent>,
    /// What the messages among them count.
    messages: usize,
    /// The thread leaves messages in the core until there is room.
    held: bool,
    lost: u64,
    ended: Option<Closed>,
    /// A byte lies in the pipe: the descriptor is readable.
    signalled: bool,
    signal: UnixStream,
}

impl Queue {
    fn push(&mut self, event: DriverEvent) {
        let message = cost(&event);
        self.messages += message;
        // Two places: one may be taken by the note of those that were lost. Messages are never lost.
        if self.events.len() + 2 > MAX_EVENTS && message == 0 {
            self.lost += 1;
        } else {
            if self.lost > 0 {
                self.events.push_back(DriverEvent::Lost(std::mem::take(&mut self.lost)));
            }
            self.events.push_back(event);
        }
        self.signal();
    }

    fn signal(&mut self) {
        if !self.signalled {
            // One byte always fits into an empty pipe.
            self.signalled = self.signal.write(&[1]).is_ok();
        }
    }

    fn pop(&mut self, mut read_end: &UnixStream) -> Option<DriverEvent> {
        let event = self.events.pop_front();
        self.messages -= event.as_ref().map_or(0, cost);
        let event = event.or_else(|| (self.lost > 0).then(|| DriverEvent::Lost(std::mem::take(&mut self.lost))));
        if self.events.is_empty() && self.lost == 0 && self.ended.is_none() && self.signalled {
            let _ = read_end.read(&mut [0; 8]);
            self.signalled = false;
        }
        event
    }
}

/// What a message, or one that came back, counts; other events count nothing.
fn cost(event: &DriverEvent) -> usize {
    match event {
        DriverEvent::Node(
            Event::Message { body, .. }
            | Event::Undeliverable { body, .. }
            | Event::BroadcastFailed { body, .. }
            | Event::Request { body, .. }
            | Event::Asked { body, .. },
        ) => body.len() + 256,
        DriverEvent::Node(Event::Answer { outcome, .. }) => match outcome {
            RequestOutcome::Answered(body) => body.len() + 256,
            _ => 256,
        },
        _ => 0,
    }
}

impl Shared {
    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it is held; if it did, the queue would still be whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One node on a thread of its own.
///
/// Its descriptor is readable while events wait, and from the thread's end on: wait for it in any other loop, then take
/// events by [`Handle::try_recv`] until there is none.
///
/// Dropping it stops the thread without leaving in order: others see a crashed node. [`Handle::shutdown`] leaves.
pub struct Handle {
    orders: SyncSender<Order>,
    waker: Arc<Waker>,
    shared: Arc<Shared>,
    readable: UnixStream,
    thread: Option<JoinHandle<()>>,
    local: SocketAddr,
}

impl Handle {
    /// Starts a node on a thread of its own.
    ///
    /// # Errors
    /// [`BindError`], before there is a thread.
    pub fn spawn(setup: Setup) -> Result<Self, BindError> {
        let system = |what| move |e| BindError::System(what, e);
        let (readable, signal) = UnixStream::pair().map_err(system("make a pair of sockets"))?;
        readable
            .set_nonblocking(true)
            .and_then(|()| signal.set_nonblocking(true))
            .map_err(system("set up a socket"))?;
        let name = format!("convoke-{}", setup.config.id());
        let (limits, own) = (setup.config.messages.clone(), setup.config.id().clone());
        let driver = Driver::open(setup)?;
        let (local, waker) = (driver.local_addr(), driver.waker());
        let queue =
            Queue { events: VecDeque::new(), messages: 0, held: false, lost: 0, ended: None, signalled: false, signal };
        let shared = Arc::new(Shared {
            queue: Mutex::new(queue),
            outgoing: Mutex::new(Outgoing::new(limits, own)),
            arrived: Condvar::new(),
            stop: AtomicBool::new(false),
        });
        let (orders, ordered) = sync_channel(MAX_COMMANDS);
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name(name).spawn(move || thread(driver, ordered, &theirs));
        let thread = Some(thread.map_err(system("start a thread"))?);
        Ok(Self { orders, waker, shared, readable, thread, local })
    }

    /// Where the node listened when it started, by TCP and UDP.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Gives a command to the node. Where the core refuses it, [`DriverEvent::CommandFailed`] tells.
    ///
    /// # Errors
    /// [`QueueError`]; nothing changed then.
    pub fn command(&self, command: Command) -> Result<(), QueueError> {
        match self.orders.try_send(Order::Command(command)) {
            Ok(()) => {
                self.wake();
                Ok(())
            }
            Err(TrySendError::Full(_)) => Err(QueueError::Full),
            Err(TrySendError::Disconnected(_)) => Err(QueueError::Closed(self.closed())),
        }
    }

    /// Sends a message to another node's embedder, as [`Node::send`] does.
    ///
    /// # Errors
    /// [`SendError`]; nothing changed then. [`Event::Writable`] tells when there is room again.
    pub fn send(&self, to: &NodeId, body: Bytes) -> Result<(), SendError> {
        self.give(to, body, MessageLane::Stream)
    }

    /// Sends a message as one datagram, as [`Node::send_datagram`] does.
    ///
    /// # Errors
    /// [`SendError`]; nothing changed then.
    pub fn send_datagram(&self, to: &NodeId, body: Bytes) -> Result<(), SendError> {
        self.give(to, body, MessageLane::Datagram)
    }

    /// Tells all members something, as [`Node::broadcast`] does: its number.
    ///
    /// # Errors
    /// [`SendError`]; nothing changed then. [`Event::BroadcastWritable`] tells when there is room again.
    pub fn broadcast(&self, body: Bytes) -> Result<u64, SendError> {
        let (number, wake) = self.shared.outgoing().push_broadcast(body)?;
        if wake {
            self.wake();
        }
        Ok(number)
    }

    /// Asks whoever leads, as [`Node::request`] does, and waits until that is taken up: not for its answer, which is
    /// [`Event::Answer`] with the number that this returns.
    ///
    /// # Errors
    /// [`RequestError`]; nothing changed then.
    pub fn request(&self, body: Bytes, again: bool) -> Result<u64, RequestError> {
        let (give, result) = sync_channel(1);
        self.orders.send(Order::Request(body, again, give)).map_err(|_| RequestError::Stopped)?;
        self.wake();
        result.recv().map_err(|_| RequestError::Stopped)?
    }

    /// Answers a request that was taken as [`Event::Request`], as [`Node::answer`] does, and waits until that is taken up.
    ///
    /// # Errors
    /// [`AnswerError`]; nothing changed then.
    pub fn answer(&self, from: &NodeId, incarnation: Incarnation, number: u64, body: Bytes) -> Result<(), AnswerError> {
        self.close_request((from.clone(), incarnation, number), Some(body))
    }

    /// Gives a request up, as [`Node::forget`] does.
    ///
    /// # Errors
    /// [`AnswerError`]; nothing changed then.
    pub fn forget(&self, from: &NodeId, incarnation: Incarnation, number: u64) -> Result<(), AnswerError> {
        self.close_request((from.clone(), incarnation, number), None)
    }

    fn close_request(&self, whose: Asked, answer: Option<Bytes>) -> Result<(), AnswerError> {
        let (give, result) = sync_channel(1);
        self.orders.send(Order::Answer(whose, answer, give)).map_err(|_| AnswerError::Stopped)?;
        self.wake();
        result.recv().map_err(|_| AnswerError::Stopped)?
    }

    fn give(&self, to: &NodeId, body: Bytes, lane: MessageLane) -> Result<(), SendError> {
        let wake = self.shared.outgoing().push(to, body, lane)?;
        if wake {
            self.wake();
        }
        Ok(())
    }

    /// The next event of the queue. A thread that waits for room is woken.
    fn pop(&self, queue: &mut Queue) -> Option<DriverEvent> {
        let event = queue.pop(&self.readable);
        if queue.held && queue.messages < MAX_MESSAGES / 2 {
            queue.held = false;
            self.wake();
        }
        event
    }

    /// Points the node at another convention address, as [`Driver::move_to`] does, and waits until that is taken up.
    ///
    /// # Errors
    /// [`MoveError`]; nothing changed then.
    pub fn move_to(&self, to: Discovery) -> Result<(), MoveError> {
        let (give, result) = sync_channel(1);
        let closed = || MoveError::Closed(self.closed());
        self.orders.send(Order::Move(to, give)).map_err(|_| closed())?;
        self.wake();
        result.recv().map_err(|_| closed())?
    }

    fn wake(&self) {
        // It fails only where the thread's poll is gone, and then there is nobody to wake.
        let _ = self.waker.wake();
    }

    /// Why the thread is over. It takes no orders any more a moment before it has told why.
    fn closed(&self) -> Closed {
        self.wait_ended(STOPPING);
        self.shared.queue().ended.clone().unwrap_or(Closed(None))
    }

    /// The next event, waiting for it.
    ///
    /// # Errors
    /// [`Closed`] after the last event.
    pub fn recv(&self) -> Result<DriverEvent, Closed> {
        let mut queue = self.shared.queue();
        loop {
            if let Some(event) = self.pop(&mut queue) {
                return Ok(event);
            }
            if let Some(closed) = &queue.ended {
                return Err(closed.clone());
            }
            queue = self.shared.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next event, waiting for it at most so long; nothing where none came.
    ///
    /// # Errors
    /// [`Closed`] after the last event.
    pub fn recv_timeout(&self, limit: Duration) -> Result<Option<DriverEvent>, Closed> {
        // Longer than the clock goes is for ever.
        let Some(until) = Instant::now().checked_add(limit) else { return self.recv().map(Some) };
        let mut queue = self.shared.queue();
        loop {
            if let Some(event) = self.pop(&mut queue) {
                return Ok(Some(event));
            }
            if let Some(closed) = &queue.ended {
                return Err(closed.clone());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            queue = self.shared.arrived.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The next event, where one waits.
    ///
    /// # Errors
    /// [`Closed`] after the last event.
    pub fn try_recv(&self) -> Result<Option<DriverEvent>, Closed> {
        self.recv_timeout(Duration::ZERO)
    }

    /// Runs a closure on the node's thread and waits for what it returns. It should be short: the node waits for it.
    ///
    /// # Errors
    /// [`Closed`] where the thread is over.
    pub fn inspect<R: Send + 'static>(&self, look: impl FnOnce(&Node) -> R + Send + 'static) -> Result<R, Closed> {
        self.inspect_driver(|driver| look(driver.node()))
    }

    /// The counters of the sockets' layer.
    ///
    /// # Errors
    /// [`Closed`] where the thread is over.
    pub fn net_stats(&self) -> Result<NetStats, Closed> {
        self.inspect_driver(|driver| *driver.net_stats())
    }

    fn inspect_driver<R: Send + 'static>(&self, look: impl FnOnce(&Driver) -> R + Send + 'static) -> Result<R, Closed> {
        let (give, result) = sync_channel(1);
        // Where the closure panics the thread ends, and `give` with it.
        let order = Order::Inspect(Box::new(move |driver| drop(give.send(look(driver)))));
        self.orders.send(order).map_err(|_| self.closed())?;
        self.wake();
        result.recv().map_err(|_| self.closed())
    }

    /// Waits until the thread is over; false where it isn't within the time.
    fn wait_ended(&self, limit: Duration) -> bool {
        let queue = self.shared.queue();
        let waited = self.shared.arrived.wait_timeout_while(queue, limit, |q| q.ended.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.ended.is_some()
    }

    /// Leaves in order and ends the thread, within this time. Events that wait can still be taken afterwards.
    ///
    /// # Errors
    /// [`ShutdownError`] where the node could not leave, or had failed before.
    pub fn shutdown(&mut self, within: Duration) -> Result<(), ShutdownError> {
        let left = match self.command(Command::Leave) {
            Ok(()) => self.wait_ended(within),
            Err(QueueError::Full) => false,
            Err(QueueError::Closed(_)) => true,
        };
        self.stop();
        match (self.shared.queue().ended.clone(), left) {
            (Some(Closed(Some(why))), _) => Err(ShutdownError::Failed(why)),
            (_, true) => Ok(()),
            (_, false) => Err(ShutdownError::TimedOut),
        }
    }

    /// Ends the thread without leaving.
    fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.wake();
        let Some(thread) = self.thread.take() else { return };
        if self.wait_ended(STOPPING) {
            // It caught its panic, where there was one, and told it.
            let _ = thread.join();
        } else {
            tracing::warn!("the node's thread doesn't stop (a store that hangs?): it is left behind");
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.thread.is_some() {
            tracing::debug!("a node is stopped without leaving: its handle was dropped");
            self.stop();
        }
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}

impl AsRawFd for Handle {
    fn as_raw_fd(&self) -> RawFd {
        self.readable.as_raw_fd()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("local", &self.local).finish_non_exhaustive()
    }
}

/// The thread, from its first to its last breath.
fn thread(driver: Driver, orders: Receiver<Order>, shared: &Shared) {
    let result = catch_unwind(AssertUnwindSafe(|| run(driver, &orders, shared)));
    // Before the end is told: nothing is taken any more after it.
    drop(orders);
    let why = match result {
        Ok(Ok(())) => None,
        Ok(Err(e)) => Some(format!("can't poll: {e}")),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|s| (*s).to_string());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Some(text.unwrap_or_else(|| "it panicked without a word".into()))
        }
    };
    let mut queue = shared.queue();
    queue.ended = Some(Closed(why));
    queue.signal();
    drop(queue);
    shared.arrived.notify_all();
}

fn run(mut driver: Driver, orders: &Receiver<Order>, shared: &Shared) -> io::Result<()> {
    let mut orders_left = false;
    let (mut feeder, mut full) = (Feeder::default(), false);
    loop {
        driver.wait(orders_left.then_some(Duration::ZERO))?;
        if shared.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut told = Vec::new();
        orders_left = carry_out(&mut driver, orders, &mut told);
        feeder.feed(&mut driver, &mut told, || shared.outgoing());
        driver.advance();
        full = full && shared.queue().held;
        while let Some(event) = if full { driver.poll_notice() } else { driver.poll_event() } {
            match &event {
                DriverEvent::Node(Event::Writable { to }) => {
                    feeder.writable(&mut driver, to, &mut told, || shared.outgoing());
                    continue;
                }
                DriverEvent::Node(Event::BroadcastWritable) => {
                    let own = driver.node().config().id().clone();
                    feeder.writable(&mut driver, &own, &mut told, || shared.outgoing());
                    continue;
                }
                DriverEvent::Node(Event::Stopped(_)) => told.extend(feeder.close(|| shared.outgoing())),
                _ => {}
            }
            told.push(event);
            if told.len() >= TOLD {
                full |= hand_over(&mut told, shared);
            }
        }
        full |= hand_over(&mut told, shared);
        if driver.is_stopped() {
            return Ok(());
        }
    }
}

/// Gives events to their reader; true where there is no room for more messages.
fn hand_over(told: &mut Vec<DriverEvent>, shared: &Shared) -> bool {
    if told.is_empty() {
        return false;
    }
    let mut queue = shared.queue();
    told.drain(..).for_each(|event| queue.push(event));
    // Who takes events away ends it and wakes the thread: nobody else may, or the thread isn't woken.
    queue.held |= queue.messages >= MAX_MESSAGES;
    let held = queue.held;
    drop(queue);
    shared.arrived.notify_all();
    held
}

/// Carries out some orders; true where more may wait.
fn carry_out(driver: &mut Driver, orders: &Receiver<Order>, told: &mut Vec<DriverEvent>) -> bool {
    for _ in 0..COMMANDS {
        match orders.try_recv() {
            Ok(Order::Command(command)) => {
                if let Err(e) = driver.command(command.clone()) {
                    told.push(DriverEvent::CommandFailed(command, e));
                }
            }
            Ok(Order::Inspect(look)) => look(driver),
            // Who asked may be gone.
            Ok(Order::Move(to, give)) => drop(give.send(driver.move_to(to))),
            Ok(Order::Request(body, again, give)) => drop(give.send(driver.request(body, again))),
            Ok(Order::Answer((from, incarnation, number), answer, give)) => {
                let taken = match answer {
                    Some(body) => driver.answer(&from, incarnation, number, body),
                    None => driver.forget(&from, incarnation, number),
                };
                let _ = give.send(taken);
            }
            Err(_) => return false,
        }
    }
    true
}
