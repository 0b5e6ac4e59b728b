//! The kinds of faults, and sets of them.

use super::rng::Rng;
use std::fmt;
use std::str::FromStr;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word for it on the command line.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

faults! {
    /// Datagrams are lost.
    Loss = "loss",
    /// Datagrams come twice.
    Duplicate = "dup",
    /// Datagrams overtake each other, by much.
    Reorder = "reorder",
    /// Datagrams and streams take long, and not always as long.
    Delay = "delay",
    /// Datagrams come with flipped bits or cut short.
    Corrupt = "corrupt",
    /// Groups of hosts, or single links, are cut.
    Partition = "partition",
    /// Links are cut in one direction.
    OneWay = "oneway",
    /// Small datagrams pass and streams don't.
    Hole = "hole",
    /// A process is killed and stays away for a while.
    Crash = "crash",
    /// A host loses its power for a while: nobody hears of it.
    Power = "power",
    /// A process is killed and started again at once.
    Restart = "restart",
    /// A node leaves in order and comes back.
    Leave = "leave",
    /// A process stands still for a while.
    Pause = "pause",
    /// Clocks run at different rates, and the rates change.
    Clock = "clock",
    /// A host hears no multicast.
    Deaf = "deaf",
    /// No fault, but it happens in the midst of them: a leader is ordered to hand over; and in some of the runs earlier
    /// candidates preempt.
    Handover = "handover",
    /// A host's links, or one of them, go and come many times in a row.
    Flap = "flap",
    /// A host's addresses change while its node runs.
    Renumber = "renumber",
    /// The line is changed while all else goes on: retired, ranked, promoted, demoted.
    Line = "line",
    /// A node is pointed at another convention address, and back again.
    Move = "move",
    /// No fault: embedders send each other messages, and some don't take theirs for a while.
    Traffic = "traffic",
    /// No fault either: members claim names and give them up.
    Names = "names",
    /// No fault: some of the members follow the whole roll.
    Follow = "follow",
    /// No fault, but a way of the world: some of the members can't be connected to.
    Outbound = "outbound",
    /// No fault: nodes ask whoever leads, and its embedder answers, sooner or later.
    Requests = "requests",
    /// No fault: embedders ask whoever has a capability.
    Asks = "asks",
    /// Some voters are started late, and partitions run between those that were admitted first and those that came later.
    Late = "late",
}

/// A set of kinds of faults.
///
/// ```
/// use convoke::sim::{Fault, Faults};
/// let some: Faults = "loss,crash".parse().unwrap();
/// assert!(some.has(Fault::Crash) && !some.has(Fault::Pause));
/// assert_eq!(some.to_string(), "loss,crash");
/// assert!("none".parse::<Faults>().unwrap().is_empty());
/// assert!("lost".parse::<Faults>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults(u32);

impl Faults {
    /// No faults.
    pub const NONE: Self = Self(0);

    /// All kinds of faults.
    #[must_use]
    pub fn all() -> Self {
        Fault::ALL.iter().fold(Self::NONE, |set, f| set.with(*f))
    }

    /// The set with one kind more.
    #[must_use]
    pub fn with(self, fault: Fault) -> Self {
        Self(self.0 | 1 << fault as u32)
    }

    /// True where the kind is in the set.
    #[must_use]
    pub fn has(self, fault: Fault) -> bool {
        self.0 & 1 << fault as u32 != 0
    }

    /// True where nothing is in the set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kinds in the set.
    pub fn iter(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.iter().copied().filter(move |f| self.has(*f))
    }

    /// A random part of the set: runs in which few kinds act find what runs in which all act drown.
    pub(super) fn some(self, rng: &mut Rng) -> Self {
        // Drawn apart, so that the runs without these stay what they were before there were these kinds.
        let apart = [
            (Fault::Line, rng.fork(0x11fe).one_in(4)),
            (Fault::Handover, rng.fork(0x4a0d).one_in(2)),
            (Fault::Move, rng.fork(0x30fe).one_in(5)),
            (Fault::Traffic, rng.fork(0x7af1).one_in(3)),
            (Fault::Names, rng.fork(0x4a3e).one_in(3)),
            (Fault::Follow, rng.fork(0xf011).one_in(3)),
            (Fault::Outbound, rng.fork(0x0b0d).one_in(3)),
            (Fault::Requests, rng.fork(0x4e9e).one_in(3)),
            (Fault::Asks, rng.fork(0xa5c0).one_in(4)),
            // The salt is one by which no seed that a test names has it.
            (Fault::Late, rng.fork(0x1c48).one_in(16)),
        ];
        let together = self.iter().filter(|f| apart.iter().all(|(other, _)| other != f));
        let some = together.filter(|_| rng.one_in(2)).fold(Self::NONE, Self::with);
        apart.iter().filter(|(f, drawn)| *drawn && self.has(*f)).fold(some, |set, (f, _)| set.with(*f))
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (at, fault) in self.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            f.write_str(fault.word())?;
        }
        Ok(())
    }
}

/// A word that names no fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownFault(String);

impl fmt::Display for UnknownFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no fault {:?}: say all, none, or some of {}", self.0, Faults::all())
    }
}

impl std::error::Error for UnknownFault {}

impl FromStr for Faults {
    type Err = UnknownFault;
    fn from_str(s: &str) -> Result<Self, UnknownFault> {
        match s {
            "all" => return Ok(Self::all()),
            "none" => return Ok(Self::NONE),
            _ => {}
        }
        s.split(',').try_fold(Self::NONE, |set, word| {
            let fault = Fault::ALL.iter().find(|f| f.word() == word.trim());
            fault.map(|f| set.with(*f)).ok_or_else(|| UnknownFault(word.trim().into()))
        })
    }
}
