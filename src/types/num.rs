//! Numbers that must not be mixed up.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl $name {
            /// The number before any other.
            pub const ZERO: Self = Self(0);

            /// The next one, or nothing where the numbers are used up.
            #[must_use]
            pub fn next(self) -> Option<Self> {
                self.0.checked_add(1).map(Self)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number!(
    /// Grows with each leadership; the fencing token that the embedder gets.
    Term, u64
);
number!(
    /// Grows with each start of a node; the larger one of an id replaces the smaller.
    Incarnation, u64
);
number!(
    /// The place of an entry in the roll's log; the first entry has index 1.
    Index, u64
);
number!(
    /// A random number drawn when a convention is founded. Zero: none known.
    Lineage, u64
);
number!(
    /// A random number drawn when a store is created, or at each start without one: with the id it is what votes.
    Identity, u64
);
number!(
    /// The low half of a voter's [`Identity`]: names a leader in the frames of a fixed size. Of the seats of one line no
    /// two have the same.
    VoterTag, u32
);
number!(
    /// The short number that the roll gives a member: a heartbeat finds its entry by it, without hashing.
    Slot, u32
);
number!(
    /// How often a slot was given before, modulo 65,536.
    Generation, u16
);
number!(
    /// A stream connection, as the driver and the core name it. Even numbers are dialled, odd ones accepted.
    ConnId, u64
);

impl Identity {
    /// The low half of it.
    #[must_use]
    pub fn tag(self) -> VoterTag {
        VoterTag(self.0 as u32)
    }
}

impl ConnId {
    /// True where this node dialled.
    #[must_use]
    pub fn is_dialled(self) -> bool {
        self.0.is_multiple_of(2)
    }
}

/// How far a roll reaches: the term and the index of its last entry. Ordered as Raft orders logs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Position {
    /// The term of the last entry.
    pub term: Term,
    /// The index of the last entry.
    pub index: Index,
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.term)
    }
}
