//! A store in a directory.

use super::journal::{Journal, header, unit, units};
use super::store::{Store, StoreError};
use crate::proto::{Restored, StoreWrite};
use crate::types::{ConventionId, NodeId};
use crate::wire::Record;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
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
///
/// It holds four descriptors. Where the process has no more of them a new file can't be made: then the write that replaces is
/// appended, which means the same, and the next one tries again.
#[derive(Debug)]
pub struct FileStore {
    dir: PathBuf,
    header: Vec<u8>,
    state: State,
    /// Holds the lock; the system frees it with the process.
    lock: File,
    names: Names,
    /// Keeps a descriptor for the next new file.
    spare: Option<File>,
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
        let (header, lock, names) = (header(convention, id), lock(dir)?, Names::open(dir)?);
        let mut store = Self { dir: dir.into(), header, state: State::Unread, lock, names, spare: None };
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
    fn create(&mut self, content: &[u8]) -> Result<File, StoreError> {
        let (journal, unfinished) = (self.dir.join(JOURNAL), self.dir.join(JOURNAL_NEW));
        let error = |e| StoreError::io(&unfinished, "write", e);
        self.spare = None;
        let mut file = File::create(&unfinished).map_err(error)?;
        file.write_all(&self.header).map_err(error)?;
        file.write_all(content).map_err(error)?;
        file.sync_all().map_err(error)?;
        fs::rename(&unfinished, &journal).map_err(|e| StoreError::io(&journal, "replace", e))?;
        self.names.sync(&self.dir)?;
        // The handle stays with the file, whatever its name: it is at its end.
        Ok(file)
    }

    /// Begins anew with these records.
    fn replace(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let content = units(records).map_err(too_long)?;
        match self.create(&content) {
            Ok(file) => self.state = State::Ready(file),
            // Nothing was touched. An image and a promise replace what was before them wherever they stand.
            Err(StoreError::Io { source, .. }) if lacks_descriptors(&source) && stand_alone(records) => {
                tracing::warn!("no descriptor for a new file in {}: the old one grows on", self.dir.display());
                self.append(&unit(records).map_err(too_long)?)?;
            }
            Err(e) => return Err(e),
        }
        // For the next time, where there is one.
        self.spare = self.lock.try_clone().ok();
        Ok(())
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
        self.spare = self.lock.try_clone().ok();
        Ok(restored)
    }

    fn write(&mut self, write: &StoreWrite) -> Result<(), StoreError> {
        match self.state {
            State::Unread => return Err(StoreError::NotLoaded { file: self.dir.join(JOURNAL) }),
            State::Failed => return Err(StoreError::Failed { file: self.dir.join(JOURNAL) }),
            State::Ready(_) => {}
        }
        let written = if write.replace {
            self.replace(&write.records)
        } else {
            unit(&write.records).map_err(too_long).and_then(|unit| self.append(&unit))
        };
        if written.is_err() {
            self.state = State::Failed;
        }
        written
    }
}

fn too_long(bytes: usize) -> StoreError {
    StoreError::TooLong { bytes }
}

/// True where the process, or the system, has no more descriptors.
fn lacks_descriptors(e: &io::Error) -> bool {
    // EMFILE and ENFILE have these numbers on all systems that have them.
    cfg!(unix) && matches!(e.raw_os_error(), Some(23 | 24))
}

/// True where these records mean the same, whatever was written before them.
fn stand_alone(records: &[Record]) -> bool {
    let image = records.iter().position(|r| matches!(r, Record::Image(_)));
    let entry = records.iter().position(|r| matches!(r, Record::Entry(_)));
    let first = image.is_some_and(|image| entry.is_none_or(|entry| image < entry));
    first && records.iter().any(|r| matches!(r, Record::Promise(_)))
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
fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    Names::open(dir)?.sync(dir)
}

/// An open directory, whose names can be made durable without another descriptor. Only Unix opens directories as files; elsewhere
/// renaming has to do.
#[derive(Debug)]
struct Names(Option<File>);

impl Names {
    fn open(dir: &Path) -> Result<Self, StoreError> {
        if !cfg!(unix) {
            return Ok(Self(None));
        }
        File::open(dir).map(|dir| Self(Some(dir))).map_err(|e| StoreError::io(dir, "open", e))
    }

    fn sync(&self, dir: &Path) -> Result<(), StoreError> {
        let synced = self.0.as_ref().map_or(Ok(()), File::sync_all);
        synced.map_err(|e| StoreError::io(dir, "sync", e))
    }
}

#[cfg(test)]
mod tests;
