//! Where a voter's promises and its roll survive a restart: the trait.

use crate::proto::{Restored, StoreWrite};
use crate::wire::Reject;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Durable memory of a voter.
pub trait Store {
    /// What was written before; nothing where it is new. Called once, before any write.
    ///
    /// # Errors
    /// Where it can't be read, or isn't whole.
    fn load(&mut self) -> Result<Option<Restored>, StoreError>;

    /// Makes these records durable before it returns.
    ///
    /// # Errors
    /// Where it can't. What was written is unknown then, and all further writes are refused.
    fn write(&mut self, write: &StoreWrite) -> Result<(), StoreError>;
}

/// Why a store can't be used. Nothing was changed, except by a failed write.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// The system denied something.
    Io {
        /// The file or directory.
        file: PathBuf,
        /// What was to be done with it.
        verb: &'static str,
        /// Why it wasn't.
        source: io::Error,
    },
    /// Another process, or another store of this one, holds it.
    Locked {
        /// The file that is locked.
        file: PathBuf,
    },
    /// The file was not written by this crate.
    NotAStore {
        /// The file.
        file: PathBuf,
    },
    /// The file has another version of the format.
    OtherFormat {
        /// The file.
        file: PathBuf,
        /// Its version.
        theirs: u16,
        /// The version that this crate reads.
        ours: u16,
    },
    /// The file belongs to another convention.
    OtherConvention {
        /// The file.
        file: PathBuf,
        /// Its convention.
        theirs: String,
        /// The convention of this node.
        ours: String,
    },
    /// The file belongs to another node.
    OtherId {
        /// The file.
        file: PathBuf,
        /// Its node.
        theirs: String,
        /// This node.
        ours: String,
    },
    /// The last write isn't whole, as after a crash in the middle of it: see [`crate::driver::FileStore::repair`].
    Torn {
        /// The file.
        file: PathBuf,
        /// Where that write begins, in bytes.
        offset: u64,
        /// How many bytes there are of it.
        bytes: u64,
    },
    /// Bytes were changed, or are missing in the middle.
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where the part begins that isn't right, in bytes.
        offset: u64,
    },
    /// The checksums are right, but a record can't be read: a newer version may have written it.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Where the write begins that the record belongs to, in bytes.
        offset: u64,
        /// What is wrong with it.
        reject: Reject,
    },
    /// An entry is missing before this record.
    Gap {
        /// The file.
        file: PathBuf,
        /// Where the write begins that the record belongs to, in bytes.
        offset: u64,
    },
    /// The records of one write are too long for a file's format.
    TooLong {
        /// How long they are, in bytes.
        bytes: usize,
    },
    /// A write failed before: open the store anew.
    Failed {
        /// The file.
        file: PathBuf,
    },
    /// It must be loaded before it is written.
    NotLoaded {
        /// The file.
        file: PathBuf,
    },
    /// For stores of other kinds.
    Other(Box<dyn Error + Send + Sync>),
}

impl StoreError {
    pub(super) fn io(file: &Path, verb: &'static str, source: io::Error) -> Self {
        Self::Io { file: file.into(), verb, source }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { file, verb, source } => write!(f, "can't {verb} {}: {source}", file.display()),
            Self::Locked { file } => write!(f, "another node uses the store: {} is locked", file.display()),
            Self::NotAStore { file } => write!(f, "{} is not a store of convoke", file.display()),
            Self::OtherFormat { file, theirs, ours } => {
                write!(f, "{} has format {theirs}, and this version reads format {ours}", file.display())
            }
            Self::OtherConvention { file, theirs, ours } => {
                write!(f, "{} belongs to the convention {theirs:?}, not to {ours:?}", file.display())
            }
            Self::OtherId { file, theirs, ours } => {
                write!(f, "{} belongs to the node {theirs:?}, not to {ours:?}", file.display())
            }
            Self::Torn { file, offset, bytes } => write!(
                f,
                "{} ends in a write that isn't whole: {bytes} bytes from byte {offset} on; a repair cuts them off",
                file.display()
            ),
            Self::Damaged { file, offset } => write!(f, "{} is damaged at byte {offset}", file.display()),
            Self::Unreadable { file, offset, reject } => {
                write!(f, "{} holds a record at byte {offset} that can't be read: {reject}", file.display())
            }
            Self::Gap { file, offset } => write!(f, "{} lacks an entry before byte {offset}", file.display()),
            Self::TooLong { bytes } => write!(f, "{bytes} bytes are too many for one write"),
            Self::Failed { file } => write!(f, "a write to {} failed before", file.display()),
            Self::NotLoaded { file } => write!(f, "{} has to be loaded before it is written", file.display()),
            Self::Other(error) => error.fmt(f),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Unreadable { reject, .. } => Some(reject),
            Self::Other(error) => Some(&**error),
            _ => None,
        }
    }
}
