//! A host: an address, a clock, perhaps a store, and the process that runs on it, if one does.

use super::clock::Clock;
use super::disk::Disk;
use super::process::{Arrived, Plant, Process};
use super::walls::Wall;
use crate::proto::{Config, Event, Role, StopReason};
use crate::types::{ConnId, Identity, Incarnation, Index, Lineage, Standing, Term, Time};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

/// A host and the node on it. Hosts are numbered from 0 in the order in which they were added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub u32);

impl HostId {
    pub(super) fn at(self) -> usize {
        self.0 as usize
    }
}

/// How a node's host is made.
#[derive(Debug, Clone, Default)]
pub struct NodeOptions {
    /// True: it has a store that survives its crashes.
    pub store: bool,
    /// The seeds that its `Dest::Seeds` goes to.
    pub seeds: Vec<HostId>,
    /// The multicast group (floor and bench) that it is in: hosts of different ones don't hear each other's multicast.
    pub group: u16,
    /// By how many millionths its clock runs too fast.
    pub clock_ppm: i32,
    /// What its clock shows at the world's beginning.
    pub clock_start: Time,
    /// By how much its wall clock is ahead of the world's, in microseconds.
    pub wall_ahead_us: u64,
    /// True: each start listens on another port.
    pub new_ports: bool,
    /// From its n-th start on it writes frames as a newer version would: longer, with fields and kinds that nobody knows
    /// (never). For rolling upgrades.
    pub newer_from: Option<u32>,
    /// How it is closed off from what others begin (not at all).
    pub wall: Option<Wall>,
    /// True: it isn't started yet.
    pub stopped: bool,
}

/// What waits for a paused process.
#[derive(Debug)]
pub(super) enum Waiting {
    Datagram(u32),
    Stream(ConnId, Arrived),
    Stored(u64),
}

/// What a look at the node showed last: nothing is checked again while it stays the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) role: Role,
    pub(super) term: Term,
    pub(super) lineage: Lineage,
    pub(super) incarnation: Incarnation,
    pub(super) commit: Index,
    /// How far it holds the roll as a subscriber.
    pub(super) followed: Index,
    pub(super) lease: Option<Time>,
    /// The versions of the committed line, and of the one in force.
    pub(super) lines: (u32, u32),
}

impl Seen {
    pub(super) const NOTHING: Self = Self {
        role: Role::Seeking,
        term: Term::ZERO,
        lineage: Lineage::ZERO,
        incarnation: Incarnation::ZERO,
        commit: Index::ZERO,
        followed: Index::ZERO,
        lease: None,
        lines: (0, 0),
    };
}

/// No plan to wake the node.
pub(super) const NEVER: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct Host {
    pub(super) config: Config,
    pub(super) options: NodeOptions,
    pub(super) clock: Clock,
    pub(super) disk: Option<Disk>,
    pub(super) process: Option<Box<Process>>,
    pub(super) powered: bool,
    /// Counts the starts.
    pub(super) run: u32,
    pub(super) port: u16,
    /// How often its address changed.
    pub(super) renumbered: u16,
    pub(super) last_wall: u64,
    /// By how much its wall clock was set back while it was down, in microseconds.
    pub(super) wall_back: u64,
    /// When the plan to wake the node fires, and for which of its deadlines it was made.
    pub(super) fires: u64,
    pub(super) deadline: u64,
    /// The deadline as the node named it last.
    pub(super) asked: Option<Time>,
    /// Counts the pauses; odd while paused.
    pub(super) pause: u32,
    pub(super) inbox: VecDeque<Waiting>,
    pub(super) datagrams_waiting: usize,
    /// When the last planned write is durable.
    pub(super) sync_at: u64,
    /// A write that became durable at once.
    pub(super) synced_now: Option<u64>,
    pub(super) seen: Seen,
    /// What the last process was, or the present one is.
    pub(super) incarnation: Incarnation,
    pub(super) identity: Identity,
    pub(super) stopped: Option<StopReason>,
    /// Where it moves to, once its node has left: the group and the seeds.
    pub(super) moves_to: Option<(u16, Vec<HostId>)>,
    /// Where it is by its configuration.
    pub(super) home: (u16, Vec<HostId>),
    /// The lineage that it left by a move, until it has told so: what it tells before is about that one.
    pub(super) leaves: Option<Lineage>,
    /// Its embedder takes no messages at present.
    pub(super) lazy: bool,
    /// The lineages that it has left, of which events wait (behind a broadcast that its embedder doesn't take, or for the
    /// disk): what is told is about the first of them.
    pub(super) behind: VecDeque<Lineage>,
    /// A bug of this host alone.
    pub(super) plant: Option<Plant>,
}

impl Host {
    pub(super) fn new(config: Config, options: NodeOptions) -> Self {
        let home = (options.group, options.seeds.clone());
        Self {
            clock: Clock::new(options.clock_start.as_micros(), options.clock_ppm),
            disk: options.store.then(Disk::default),
            config,
            options,
            process: None,
            powered: true,
            run: 0,
            port: PORT,
            renumbered: 0,
            last_wall: 0,
            wall_back: 0,
            fires: NEVER,
            deadline: NEVER,
            asked: None,
            pause: 0,
            inbox: VecDeque::new(),
            datagrams_waiting: 0,
            sync_at: 0,
            synced_now: None,
            seen: Seen::NOTHING,
            incarnation: Incarnation::ZERO,
            identity: Identity::ZERO,
            stopped: None,
            moves_to: None,
            home,
            leaves: None,
            lazy: false,
            behind: VecDeque::new(),
            plant: None,
        }
    }

    /// Its node belongs to this lineage now. What it tells before it says so is about the one before, if it told anything of
    /// that (`tells`).
    pub(super) fn goes_on_in(&mut self, lineage: Lineage, tells: bool) {
        if tells && self.seen.lineage != Lineage::ZERO && lineage != self.seen.lineage {
            self.behind.push_back(self.seen.lineage);
        }
    }

    /// The lineage that an event is about, where it is another one than that in which its node is now.
    pub(super) fn tells_of(&mut self, event: &Event) -> Option<Lineage> {
        if let Event::Leader { lineage, .. }
        | Event::Merged { lineage, .. }
        | Event::Parted { lineage, .. }
        | Event::Recovered { lineage, .. } = event
            && self.behind.front().is_some_and(|l| l != lineage)
        {
            self.behind.pop_front();
        }
        self.leaves.or(self.behind.front().copied())
    }

    pub(super) fn is_paused(&self) -> bool {
        self.pause % 2 == 1
    }

    /// True where the voter on it will be what it is: its process runs and stays, or its store keeps it.
    pub(super) fn stays(&self) -> bool {
        self.process.as_ref().is_some_and(|p| !p.leaving) || self.disk.is_some()
    }

    /// What its node is to the line, or will be from its next start on.
    pub(super) fn standing(&self) -> Standing {
        let runs = self.process.as_ref().filter(|p| !p.leaving);
        runs.map_or(self.config.standing(), |p| p.node.standing())
    }

    /// True where it holds a roll of this lineage, running or stored.
    pub(super) fn holds_roll(&self, lineage: Lineage) -> bool {
        match (&self.process, &self.disk) {
            (Some(p), _) => p.node.lineage() == lineage && p.node.position().index > Index::ZERO,
            (None, Some(disk)) => disk.holds_roll(lineage),
            (None, None) => false,
        }
    }

    /// True where its node is, or is about to go, where others aren't.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.options.group != self.home.0 || self.moves_to.is_some()
    }

    /// True where its node writes frames as a newer version would.
    pub(super) fn is_newer(&self) -> bool {
        self.options.newer_from.is_some_and(|n| self.run >= n)
    }

    pub(super) fn name(&self) -> &str {
        self.config.id().as_str()
    }
}

/// The port that nodes listen on.
const PORT: u16 = 7_400;
/// The first address: 10.0.0.1.
const NET: u32 = 10 << 24;

/// Where a host listens.
pub(super) fn addr_of(host: u32, port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(NET + host + 1), port))
}

/// Whose address this is; there may be no such host.
pub(super) fn host_of(addr: &SocketAddr) -> Option<u32> {
    match addr {
        SocketAddr::V4(v4) => u32::from(*v4.ip()).checked_sub(NET + 1),
        SocketAddr::V6(_) => None,
    }
}

/// The port after the n-th change of address: none that any start has.
pub(super) fn renumbered_port(n: u16) -> u16 {
    PORT + 20_000 + n % 20_000
}

/// The port of the n-th start.
pub(super) fn port_of(run: u32, new_ports: bool) -> u16 {
    if new_ports { PORT + (run % 20_000) as u16 } else { PORT }
}
