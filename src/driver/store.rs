//! Where a voter's promises and its roll survive a restart: the trait, and a store in a directory.

use super::journal::{Journal, header, units};
use crate::proto::{Restored, StoreWrite};
use crate::types::{ConventionId, NodeId};
use crate::wire::Reject;
use std::error::Error;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
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
    /// The last write isn't whole, as after a crash in the middle of it: see [`FileStore::repair`].
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

const JOURNAL: &str = "journal";
const JOURNAL_NEW: &str = "journal.new";
const LOCK: &str = "lock";

/// How far a store is.
#[derive(Debug)]
enum State {
    /// Nobody knows yet whether the journal's end is whole.
    Unread,
    /// The journal is open for appending.
    Ready(File),
    /// A write failed: what the journal's end looks like is unknown.
    Failed,
}

/// A store in a directory of its own, which is locked while it is open.
///
/// All writes go to one file and are made durable by `fdatasync`. A write that [replaces](StoreWrite::replace) makes a
/// new file and renames it over the old one. Nothing is ever begun anew by itself: what can't be read whole is an error
/// that names the file and the place.
#[derive(Debug)]
pub struct FileStore {
    dir: PathBuf,
    header: Vec<u8>,
    state: State,
    /// Holds the lock; the system frees it with the process.
    _lock: File,
}

impl FileStore {
    /// Opens the store in a directory, or makes one where there is none.
    ///
    /// ```
    /// use convoke::driver::{FileStore, Store};
    /// use convoke::types::{ConventionId, NodeId};
    /// let dir = std::env::temp_dir().join(format!("convoke-doc-{}", std::process::id()));
    /// let (site, id) = (ConventionId::new("site").unwrap(), NodeId::new("host-1").unwrap());
    /// let mut store = FileStore::open(&dir, &site, &id).unwrap();
    /// assert_eq!(store.load().unwrap(), None, "it is new");
    /// # drop(store);
    /// # std::fs::remove_dir_all(&dir).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`StoreError`] where it is in use, belongs to another convention or node, has another format, or can't be
    /// made. The content is read by [`Store::load`].
    pub fn open(dir: &Path, convention: &ConventionId, id: &NodeId) -> Result<Self, StoreError> {
        create_dir(dir)?;
        let store = Self { dir: dir.into(), header: header(convention, id), state: State::Unread, _lock: lock(dir)? };
        let (journal, unfinished) = (dir.join(JOURNAL), dir.join(JOURNAL_NEW));
        // Left by a crash before it took effect.
        if exists(&unfinished)? {
            fs::remove_file(&unfinished).map_err(|e| StoreError::io(&unfinished, "remove", e))?;
        }
        if exists(&journal)? {
            Journal::open(&journal)?.belongs_to(convention, id)?;
        } else {
            store.create(&[])?;
        }
        Ok(store)
    }

    /// Cuts off a last write that isn't whole, and says how many bytes that were: 0 where there was nothing to cut.
    ///
    /// After a crash in the middle of a write nothing is lost by it: nobody was told that it had been made. But where
    /// the disk itself spoiled the last write, a promise may be lost: then rather take the voter off the line and let
    /// it come back as a new one, with a new directory.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where something whole follows the part that isn't: no crash does that, and nothing is
    /// cut. The others as for [`FileStore::open`] and [`Store::load`].
    pub fn repair(dir: &Path) -> Result<u64, StoreError> {
        let _lock = lock(dir)?;
        let path = dir.join(JOURNAL);
        let mut journal = Journal::open(&path)?;
        loop {
            match journal.next_unit() {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(0),
                Err(StoreError::Torn { offset, bytes, .. }) => {
                    let error = |e| StoreError::io(&path, "cut", e);
                    let file = OpenOptions::new().write(true).open(&path).map_err(error)?;
                    file.set_len(offset).map_err(error)?;
                    file.sync_all().map_err(error)?;
                    return Ok(bytes);
                }
                Err(other) => return Err(other),
            }
        }
    }

    /// Makes a journal with this content, which takes effect as a whole, and opens it for appending.
    fn create(&self, content: &[u8]) -> Result<File, StoreError> {
        let (journal, unfinished) = (self.dir.join(JOURNAL), self.dir.join(JOURNAL_NEW));
        let error = |e| StoreError::io(&unfinished, "write", e);
        let mut file = File::create(&unfinished).map_err(error)?;
        file.write_all(&self.header).map_err(error)?;
        file.write_all(content).map_err(error)?;
        file.sync_all().map_err(error)?;
        fs::rename(&unfinished, &journal).map_err(|e| StoreError::io(&journal, "replace", e))?;
        sync_dir(&self.dir)?;
        // The handle stays with the file, whatever its name: it is at its end.
        Ok(file)
    }

    fn append(&mut self, content: &[u8]) -> Result<(), StoreError> {
        let journal = self.dir.join(JOURNAL);
        let error = |e| StoreError::io(&journal, "write", e);
        match &mut self.state {
            State::Ready(file) => {
                file.write_all(content).map_err(error)?;
                file.sync_data().map_err(error)
            }
            State::Unread => Err(StoreError::NotLoaded { file: journal }),
            State::Failed => Err(StoreError::Failed { file: journal }),
        }
    }
}

impl Store for FileStore {
    fn load(&mut self) -> Result<Option<Restored>, StoreError> {
        let path = self.dir.join(JOURNAL);
        if matches!(self.state, State::Failed) {
            return Err(StoreError::Failed { file: path });
        }
        let restored = Journal::open(&path)?.replay()?;
        let file = OpenOptions::new().append(true).open(&path).map_err(|e| StoreError::io(&path, "open", e))?;
        self.state = State::Ready(file);
        Ok(restored)
    }

    fn write(&mut self, write: &StoreWrite) -> Result<(), StoreError> {
        let units = units(write).map_err(|bytes| StoreError::TooLong { bytes });
        let written = match (&self.state, units) {
            (State::Unread, _) => return Err(StoreError::NotLoaded { file: self.dir.join(JOURNAL) }),
            (State::Failed, _) => return Err(StoreError::Failed { file: self.dir.join(JOURNAL) }),
            (State::Ready(_), Err(too_long)) => Err(too_long),
            (State::Ready(_), Ok(units)) if write.replace => {
                self.create(&units).map(|file| self.state = State::Ready(file))
            }
            (State::Ready(_), Ok(units)) => self.append(&units),
        };
        if written.is_err() {
            self.state = State::Failed;
        }
        written
    }
}

fn exists(path: &Path) -> Result<bool, StoreError> {
    path.try_exists().map_err(|e| StoreError::io(path, "look for", e))
}

/// Makes a directory and what is missing above it, durably.
fn create_dir(dir: &Path) -> Result<(), StoreError> {
    let mut missing = Vec::new();
    for above in dir.ancestors().filter(|p| !p.as_os_str().is_empty()) {
        if exists(above)? {
            break;
        }
        missing.push(above);
    }
    fs::create_dir_all(dir).map_err(|e| StoreError::io(dir, "make", e))?;
    for made in missing {
        sync_dir(made.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|e| StoreError::io(&path, "open", e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { file: path }),
        Err(TryLockError::Error(e)) => Err(StoreError::io(&path, "lock", e)),
    }
}

/// Makes the names in a directory durable.
#[cfg(unix)]
fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| StoreError::io(dir, "sync", e))
}

/// Other systems don't open directories as files; renaming has to do.
#[cfg(not(unix))]
fn sync_dir(_: &Path) -> Result<(), StoreError> {
    Ok(())
}

#[cfg(test)]
mod tests;
