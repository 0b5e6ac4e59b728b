//! What the roll says of a member.

use super::{Identity, Incarnation, NodeId};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

/// The most bytes that a member's capabilities may take on the wire: keys and values, two bytes more for each pair.
pub const MAX_CAPABILITY_BYTES: usize = 640;

/// The most addresses that a node proclaims.
pub const MAX_ADDRS: usize = 4;

/// What a member is to the line of succession.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Standing {
    /// Neither leads nor votes.
    #[default]
    Member,
    /// May lead, and votes.
    Candidate,
    /// Votes, holds the whole roll, never leads.
    Witness,
}

impl Standing {
    /// True for those that vote.
    #[must_use]
    pub fn votes(self) -> bool {
        self != Self::Member
    }
}

/// Why a member is no longer on the roll.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeftReason {
    /// It said goodbye.
    Left,
    /// Its process is known to be dead.
    Crashed,
    /// It answered neither the leader nor another candidate.
    Silent,
    /// A larger incarnation of the same id took its place.
    Replaced,
}

impl LeftReason {
    /// The word that the command line prints.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Crashed => "crashed",
            Self::Silent => "silent",
            Self::Replaced => "replaced",
        }
    }
}

/// Why capabilities were refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CapabilityError {
    /// A key has no characters or more than 64 bytes.
    BadKey(String),
    /// A value has more than 255 bytes.
    LongValue(String),
    /// Together they exceed [`MAX_CAPABILITY_BYTES`].
    TooMany(usize),
}

impl fmt::Display for CapabilityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadKey(k) => write!(f, "the capability key {k:?} must have 1 to 64 bytes"),
            Self::LongValue(k) => write!(f, "the value of capability {k:?} has more than 255 bytes"),
            Self::TooMany(n) => write!(f, "the capabilities take {n} bytes: {MAX_CAPABILITY_BYTES} are the most"),
        }
    }
}

impl std::error::Error for CapabilityError {}

/// A member's capabilities: pairs of key and value, in the order of the keys.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Capabilities(BTreeMap<String, String>);

impl Capabilities {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces a pair.
    ///
    /// # Errors
    /// [`CapabilityError`] where the key or the value is too long, or all together would be; nothing is changed then.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), CapabilityError> {
        if key.is_empty() || key.len() > 64 {
            return Err(CapabilityError::BadKey(key.into()));
        }
        if value.len() > 255 {
            return Err(CapabilityError::LongValue(key.into()));
        }
        let replaced = self.0.get(key).map_or(0, |v| 2 + key.len() + v.len());
        let total = self.wire_len() - replaced + 2 + key.len() + value.len();
        if total > MAX_CAPABILITY_BYTES {
            return Err(CapabilityError::TooMany(total));
        }
        self.0.insert(key.into(), value.into());
        Ok(())
    }

    /// Takes a pair away; true where there was one.
    pub fn unset(&mut self, key: &str) -> bool {
        self.0.remove(key).is_some()
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All pairs, in the order of the keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// What they take on the wire, in bytes.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        self.0.iter().map(|(k, v)| 2 + k.len() + v.len()).sum()
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// What a node tells of itself when it registers, and what the roll keeps of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberInfo {
    /// Its stable name.
    pub id: NodeId,
    /// Which start of it this is.
    pub incarnation: Incarnation,
    /// The random number that votes for it.
    pub identity: Identity,
    /// Whether it may lead or vote.
    pub standing: Standing,
    /// Its place in the line: larger first.
    pub priority: i32,
    /// True where its promises and its roll survive a restart.
    pub durable: bool,
    /// False where it has no multicast at all: it is always spoken to by unicast.
    pub multicast: bool,
    /// True where a connection that each of its addresses refuses proves its process dead.
    pub provable: bool,
    /// True where it follows the whole roll: the leader tells changes by multicast while somebody does.
    pub follows: bool,
    /// True where nobody can connect to it, nor send it a datagram that answers none of its own: it is reached over the
    /// connections that it makes itself.
    pub outbound: bool,
    /// Where it listens (UDP and TCP on the same port), 1 to [`MAX_ADDRS`]; the first is the one to use.
    pub addrs: Vec<SocketAddr>,
    /// Grows with each change of the capabilities within an incarnation: a late copy of older ones changes nothing.
    pub revision: u32,
    /// What it says that it can do.
    pub capabilities: Capabilities,
}

impl MemberInfo {
    /// True where multicast may reach it.
    pub(crate) fn hears_multicast(&self) -> bool {
        self.multicast && !self.outbound
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A plain member at one address.
    pub(crate) fn info(id: &str) -> MemberInfo {
        MemberInfo {
            id: NodeId::new(id).unwrap(),
            incarnation: Incarnation(1),
            identity: Identity(1),
            standing: Standing::Member,
            priority: 0,
            durable: false,
            multicast: true,
            provable: true,
            follows: false,
            outbound: false,
            addrs: vec!["192.0.2.1:1".parse().unwrap()],
            revision: 0,
            capabilities: Capabilities::new(),
        }
    }

    #[test]
    fn capabilities_are_bounded() {
        let mut c = Capabilities::new();
        assert!(c.set("", "x").is_err());
        assert!(c.set("k", &"v".repeat(256)).is_err());
        for i in 0..2 {
            c.set(&format!("k{i}"), &"v".repeat(255)).unwrap();
        }
        assert!(matches!(c.set("k9", &"v".repeat(255)), Err(CapabilityError::TooMany(_))));
        assert_eq!(c.iter().len(), 2);
        c.set("k1", "short").unwrap();
        assert_eq!(c.get("k1"), Some("short"));
        assert!(c.unset("k1"));
        assert!(!c.unset("k1"));
    }
}
