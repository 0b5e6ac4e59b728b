//! Why bytes were not taken.

use std::fmt;

/// Why bytes from outside were not taken. Nothing was changed by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reject {
    /// Shorter than a header and a checksum.
    Truncated,
    /// Longer than [`crate::wire::MAX_DATAGRAM`], or a claimed length above [`crate::wire::MAX_FRAME`].
    Oversized,
    /// Not a frame of this crate.
    NotOurs,
    /// A frame of another version of the layout: theirs.
    OtherVersion(u8),
    /// A frame of another convention.
    OtherConvention,
    /// The checksum doesn't match.
    Checksum,
    /// Closed by a key's tag: this version knows no keys.
    Keyed,
    /// A kind of frame, record or change that this version doesn't know.
    UnknownKind(u8),
    /// The checksum matches, but the content breaks the layout or a bound.
    Malformed,
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("too short for a frame"),
            Self::Oversized => f.write_str("longer than a frame may be"),
            Self::NotOurs => f.write_str("not a frame of convoke"),
            Self::OtherVersion(theirs) => write!(f, "a frame of version {theirs} of the layout"),
            Self::OtherConvention => f.write_str("a frame of another convention"),
            Self::Checksum => f.write_str("the checksum doesn't match"),
            Self::Keyed => f.write_str("a keyed frame, and this node has no keys"),
            Self::UnknownKind(kind) => write!(f, "the kind {kind} is unknown"),
            Self::Malformed => f.write_str("the content breaks the layout"),
        }
    }
}

impl std::error::Error for Reject {}
