//! A store in a directory.

use super::journal::{Journal, header, units};
use super::store::{Store, StoreError};
use crate::proto::{Restored, StoreWrite};
use crate::types::{ConventionId, NodeId};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

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
