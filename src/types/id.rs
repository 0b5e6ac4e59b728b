//! Names of nodes and of conventions.

use std::fmt;
use std::sync::Arc;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdError {
    /// The name has no characters.
    Empty,
    /// The name has more than 63 bytes.
    TooLong(usize),
    /// The name has white space or a control character in it.
    BadCharacter(char),
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the name is empty: give it 1 to 63 bytes"),
            Self::TooLong(n) => write!(f, "the name has {n} bytes: 63 are the most"),
            Self::BadCharacter(c) => write!(f, "the name holds {c:?}: no white space and no control characters"),
        }
    }
}

impl std::error::Error for IdError {}

/// The most bytes that a name may have.
const MAX_NAME: usize = 63;

fn check(name: &str) -> Result<(), IdError> {
    if name.is_empty() {
        return Err(IdError::Empty);
    }
    if name.len() > MAX_NAME {
        return Err(IdError::TooLong(name.len()));
    }
    match name.chars().find(|c| c.is_control() || c.is_whitespace()) {
        Some(c) => Err(IdError::BadCharacter(c)),
        None => Ok(()),
    }
}

/// What all checked names can do.
macro_rules! checked_name {
    ($name:ident) => {
        impl $name {
            /// Takes a name, or says what is wrong with it.
            ///
            /// # Errors
            /// [`IdError`] where the name is empty, longer than 63 bytes, or holds white space or control characters.
            pub fn new(name: &str) -> Result<Self, IdError> {
                check(name)?;
                Ok(Self(name.into()))
            }

            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(s: &str) -> Result<Self, IdError> {
                Self::new(s)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// A node's stable name, unique in its convention: 1 to 63 bytes of UTF-8 without white space.
///
/// ```
/// use convoke::types::NodeId;
/// let id: NodeId = "host-7".parse().unwrap();
/// assert_eq!(id.as_str(), "host-7");
/// assert!("".parse::<NodeId>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Arc<str>);

checked_name!(NodeId);

/// A name that a member claims, and that one member of a convention at a time has: 1 to 63 bytes of UTF-8 without white
/// space.
///
/// ```
/// use convoke::types::Name;
/// let name: Name = "printer".parse().unwrap();
/// assert_eq!(name.as_str(), "printer");
/// assert!("the printer".parse::<Name>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

checked_name!(Name);

/// A convention's name, and the 32-bit tag of it that every frame carries.
///
/// Several conventions may share one multicast group and port: a frame of another convention is dropped by its tag,
/// and the full name is compared in the handshake of a connection.
#[derive(Clone, PartialEq, Eq)]
pub struct ConventionId {
    name: Arc<str>,
    tag: u32,
}

impl ConventionId {
    /// Takes a name under the same rules as [`NodeId::new`].
    ///
    /// # Errors
    /// [`IdError`] where the name is empty, longer than 63 bytes, or holds white space or control characters.
    pub fn new(name: &str) -> Result<Self, IdError> {
        check(name)?;
        // FNV-1a, 32 bits: it only tells neighbours apart, it protects nothing.
        let tag = name.bytes().fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
        Ok(Self { name: name.into(), tag })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The tag of the name that frames carry.
    #[must_use]
    pub fn tag(&self) -> u32 {
        self.tag
    }
}

impl fmt::Debug for ConventionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert_eq!(NodeId::new(""), Err(IdError::Empty));
        assert_eq!(NodeId::new(&"x".repeat(64)), Err(IdError::TooLong(64)));
        assert_eq!(NodeId::new("a b"), Err(IdError::BadCharacter(' ')));
        assert!(NodeId::new(&"x".repeat(63)).is_ok());
    }

    #[test]
    fn the_tag_of_a_convention_is_fnv1a() {
        assert_eq!(ConventionId::new("a").unwrap().tag(), 0xe40c_292c);
    }
}
