//! The store in a directory: crashes at every byte, damage, locks, strangers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::types::{Identity, Incarnation, Index, Lineage, Position, Term};
use crate::wire::{Change, Entry, Image, Promise, Record, Reject};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that goes with the test.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("convoke-store-{}-{n}", std::process::id())))
    }

    fn open(&self) -> Result<FileStore, StoreError> {
        FileStore::open(&self.0, &convention("site"), &id("n1"))
    }

    fn load(&self) -> Result<Option<Restored>, StoreError> {
        self.open()?.load()
    }

    fn journal(&self) -> PathBuf {
        self.0.join(JOURNAL)
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.journal()).unwrap()
    }

    fn set_bytes(&self, bytes: &[u8]) {
        fs::write(self.journal(), bytes).unwrap();
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn convention(name: &str) -> ConventionId {
    ConventionId::new(name).unwrap()
}

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn promise(term: u64) -> Record {
    Record::Promise(Promise {
        founder: None,
        identity: Identity(1),
        incarnation: Incarnation(2),
        lineage: Lineage(3),
        term: Term(term),
        granted: Some(Identity(4)),
        seen: Term(term),
        sealed: false,
        ..Promise::default()
    })
}

fn entry(index: u64) -> Record {
    Record::Entry(Entry { index: Index(index), term: Term(1), change: Change::Led { identity: Identity(index) } })
}

fn image(index: u64) -> Record {
    let position = Position { term: Term(1), index: Index(index) };
    Record::Image(Image { lineage: Lineage(3), position, ..Image::default() })
}

fn write(replace: bool, records: impl Into<Vec<Record>>) -> StoreWrite {
    StoreWrite { seq: 1, replace, records: records.into() }
}

/// What these records come to.
fn replayed(records: &[Record]) -> Restored {
    let mut restored = Restored::default();
    records.iter().for_each(|r| restored.replay(r.clone()).unwrap());
    restored
}

/// Writes of different sizes, each with the length of the journal after it; the first is before any.
fn three_writes(dir: &Dir) -> Vec<(u64, Option<Restored>)> {
    let mut store = dir.open().unwrap();
    store.load().unwrap();
    let mut records = Vec::new();
    let mut states = vec![(dir.bytes().len() as u64, None)];
    for more in [vec![promise(1)], vec![entry(1), entry(2)], vec![entry(2), promise(2), entry(3)]] {
        store.write(&write(false, more.clone())).unwrap();
        records.extend(more);
        states.push((dir.bytes().len() as u64, Some(replayed(&records))));
    }
    states
}

#[test]
fn what_was_written_is_loaded() {
    let dir = Dir::new();
    assert_eq!(dir.load().unwrap(), None);
    assert_eq!(dir.load().unwrap(), None, "it stays new until the first write");
    let states = three_writes(&dir);
    assert_eq!(dir.load().unwrap(), states[3].1);
    let mut store = dir.open().unwrap();
    store.load().unwrap();
    store.write(&write(false, [promise(9)])).unwrap();
    drop(store);
    let restored = dir.load().unwrap().unwrap();
    assert_eq!((restored.promise.term, restored.entries.len()), (Term(9), 3));
}

#[test]
fn a_replacement_forgets_the_rest() {
    let dir = Dir::new();
    three_writes(&dir);
    let long = dir.bytes().len();
    let mut store = dir.open().unwrap();
    store.load().unwrap();
    store.write(&write(true, [promise(5), image(3)])).unwrap();
    assert!(dir.bytes().len() < long);
    store.write(&write(false, [entry(4)])).unwrap();
    store.write(&write(true, [promise(6), image(4), entry(5)])).unwrap();
    store.write(&write(false, [entry(6)])).unwrap();
    drop(store);
    let expected = replayed(&[promise(6), image(4), entry(5), entry(6)]);
    assert_eq!(dir.load().unwrap(), Some(expected));
    assert!(!dir.0.join(JOURNAL_NEW).exists());
}

#[test]
fn a_crash_before_a_replacement_took_effect_changes_nothing() {
    let dir = Dir::new();
    let states = three_writes(&dir);
    fs::write(dir.0.join(JOURNAL_NEW), b"half of a new journal").unwrap();
    assert_eq!(dir.load().unwrap(), states[3].1);
    assert!(!dir.0.join(JOURNAL_NEW).exists());
}

#[test]
fn a_crash_while_it_is_made_is_not_damage() {
    let dir = Dir::new();
    fs::create_dir_all(&dir.0).unwrap();
    fs::write(dir.0.join(JOURNAL_NEW), b"conv").unwrap();
    assert_eq!(dir.load().unwrap(), None);
}

/// Cut at every byte: either the cut lies between two writes, or it is torn and says where, and a repair brings back
/// the last whole write.
#[test]
fn torn_at_every_byte() {
    let dir = Dir::new();
    let states = three_writes(&dir);
    let bytes = dir.bytes();
    let header = states[0].0;
    for n in 0..bytes.len() {
        dir.set_bytes(&bytes[..n]);
        let n = n as u64;
        if n < header {
            assert!(matches!(dir.load(), Err(StoreError::Damaged { offset: 0, .. })), "{n} bytes");
            assert!(FileStore::repair(&dir.0).is_err());
            assert_eq!(dir.bytes().len() as u64, n, "nothing was made anew");
            continue;
        }
        let (whole, state) = states.iter().rfind(|(len, _)| *len <= n).unwrap();
        if *whole == n {
            assert_eq!(dir.load().unwrap(), *state);
            assert_eq!(FileStore::repair(&dir.0).unwrap(), 0);
            continue;
        }
        match dir.load() {
            Err(StoreError::Torn { offset, bytes, .. }) => assert_eq!((offset, bytes), (*whole, n - whole)),
            other => panic!("{n} bytes: {other:?}"),
        }
        assert_eq!(FileStore::repair(&dir.0).unwrap(), n - whole);
        assert_eq!(dir.load().unwrap(), *state);
        assert_eq!(FileStore::repair(&dir.0).unwrap(), 0);
    }
}

/// A file system may have made the file longer without the bytes.
#[test]
fn a_tail_of_zeros_is_torn() {
    let dir = Dir::new();
    let states = three_writes(&dir);
    for zeros in [1, 12, 13, 4_096, 200_000] {
        let mut bytes = dir.bytes();
        let whole = bytes.len();
        bytes.resize(whole + zeros, 0);
        dir.set_bytes(&bytes);
        assert!(matches!(dir.load(), Err(StoreError::Torn { .. })));
        assert_eq!(FileStore::repair(&dir.0).unwrap(), zeros as u64);
        assert_eq!(dir.load().unwrap(), states[3].1);
    }
}

/// No flipped bit is read as if it were right. In the last write it looks torn; before it, it is damage, and a repair
/// refuses to cut what is good.
#[test]
fn every_flipped_bit_is_seen() {
    let dir = Dir::new();
    let states = three_writes(&dir);
    let good = dir.bytes();
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        dir.set_bytes(&bytes);
        let at = (bit / 8) as u64;
        let error = dir.load().expect_err("a flipped bit");
        let repaired = FileStore::repair(&dir.0);
        if at < states[0].0 {
            assert!(repaired.is_err(), "bit {bit}");
        } else if at < states[2].0 {
            let start = states.iter().rfind(|(len, _)| *len <= at).unwrap().0;
            assert!(matches!(error, StoreError::Damaged { offset, .. } if offset == start), "bit {bit}: {error:?}");
            assert!(matches!(repaired, Err(StoreError::Damaged { .. })), "bit {bit}");
        } else {
            assert!(matches!(error, StoreError::Torn { offset, .. } if offset == states[2].0), "bit {bit}: {error:?}");
            continue;
        }
        assert_eq!(dir.bytes(), bytes, "nothing was changed");
    }
}

/// A good write far behind a spoiled head is found, also across the borders of what is read at once.
#[test]
fn damage_is_told_from_a_torn_end_at_any_distance() {
    for filler in (65_500..65_560).step_by(7) {
        let dir = Dir::new();
        let mut store = dir.open().unwrap();
        store.load().unwrap();
        let start = dir.bytes().len();
        let body = bytes::Bytes::from(vec![0xAB; filler]);
        let big = Entry { index: Index(1), term: Term(1), change: Change::Other { kind: 99, body } };
        store.write(&write(false, [Record::Entry(big)])).unwrap();
        store.write(&write(false, [promise(1)])).unwrap();
        drop(store);
        let mut bytes = dir.bytes();
        bytes[start] ^= 1;
        dir.set_bytes(&bytes);
        assert!(matches!(dir.load(), Err(StoreError::Damaged { .. })), "{filler}");
    }
}

#[test]
fn only_one_at_a_time() {
    let dir = Dir::new();
    let store = dir.open().unwrap();
    assert!(matches!(dir.open(), Err(StoreError::Locked { .. })));
    assert!(matches!(FileStore::repair(&dir.0), Err(StoreError::Locked { .. })));
    drop(store);
    assert!(dir.open().is_ok());
}

#[test]
fn strangers_are_told_by_name() {
    let dir = Dir::new();
    dir.load().unwrap();
    let other = FileStore::open(&dir.0, &convention("elsewhere"), &id("n1")).unwrap_err();
    assert!(matches!(&other, StoreError::OtherConvention { theirs, .. } if theirs == "site"));
    let other = FileStore::open(&dir.0, &convention("site"), &id("n2")).unwrap_err();
    assert!(matches!(&other, StoreError::OtherId { theirs, .. } if theirs == "n1"));
    assert!(other.to_string().contains("journal"), "{other}");

    let mut bytes = dir.bytes();
    bytes[9] = 2;
    dir.set_bytes(&bytes);
    assert!(matches!(dir.open(), Err(StoreError::OtherFormat { theirs: 2, ours: 1, .. })));
    dir.set_bytes(b"something else altogether");
    assert!(matches!(dir.open(), Err(StoreError::NotAStore { .. })));
    dir.set_bytes(b"");
    assert!(matches!(dir.open(), Err(StoreError::Damaged { offset: 0, .. })));
    assert_eq!(dir.bytes(), b"", "an empty file is no new store");
}

#[test]
fn records_of_the_future_and_gaps_are_named() {
    let dir = Dir::new();
    let start = three_writes(&dir)[3].0;
    let mut store = dir.open().unwrap();
    store.load().unwrap();
    store.write(&write(false, [entry(7)])).unwrap();
    drop(store);
    assert!(matches!(dir.load(), Err(StoreError::Gap { offset, .. }) if offset == start));

    let mut bytes = dir.bytes();
    bytes.truncate(start as usize);
    let content = [0, 0, 0, 2, 200, 1];
    let mut head = [6_u32.to_be_bytes(), crc32fast::hash(&content).to_be_bytes()].concat();
    head.extend(crc32fast::hash(&head).to_be_bytes());
    bytes.extend(head);
    bytes.extend(content);
    dir.set_bytes(&bytes);
    let error = dir.load().unwrap_err();
    assert!(
        matches!(error, StoreError::Unreadable { offset, reject: Reject::UnknownKind(200), .. } if offset == start)
    );
}

#[test]
fn it_is_loaded_before_it_is_written() {
    let dir = Dir::new();
    let mut store = dir.open().unwrap();
    assert!(matches!(store.write(&write(false, [promise(1)])), Err(StoreError::NotLoaded { .. })));
    store.load().unwrap();
    store.write(&write(false, [])).unwrap();
    store.write(&write(false, [promise(1)])).unwrap();
}

/// The directory goes away under the store: the replacement fails, and nothing is taken after it.
#[test]
fn after_a_failed_write_there_is_no_other() {
    let dir = Dir::new();
    let mut store = dir.open().unwrap();
    store.load().unwrap();
    store.write(&write(false, [promise(1)])).unwrap();
    let aside = dir.0.with_extension("aside");
    fs::rename(&dir.0, &aside).unwrap();
    assert!(matches!(store.write(&write(true, [promise(2)])), Err(StoreError::Io { .. })));
    fs::rename(&aside, &dir.0).unwrap();
    assert!(matches!(store.write(&write(true, [promise(2)])), Err(StoreError::Failed { .. })));
    assert!(matches!(store.write(&write(false, [promise(2)])), Err(StoreError::Failed { .. })));
    assert!(matches!(store.load(), Err(StoreError::Failed { .. })));
    drop(store);
    assert_eq!(dir.load().unwrap().unwrap().promise.term, Term(1));
}

/// A length in the file is never believed further than the file reaches.
#[test]
fn a_claimed_length_allocates_nothing() {
    let dir = Dir::new();
    dir.load().unwrap();
    let mut bytes = dir.bytes();
    let mut head = [u32::MAX.to_be_bytes(), [0; 4]].concat();
    head.extend(crc32fast::hash(&head).to_be_bytes());
    bytes.extend(head);
    dir.set_bytes(&bytes);
    assert!(matches!(dir.load(), Err(StoreError::Torn { bytes: 12, .. })));
}

#[test]
fn directories_above_are_made() {
    let dir = Dir::new();
    let deep = dir.0.join("a").join("b");
    drop(FileStore::open(&deep, &convention("site"), &id("n1")).unwrap());
    assert!(deep.join(JOURNAL).exists());
}

#[test]
fn what_replaces_means_the_same_where_it_is_appended() {
    let records = [image(7), promise(2), entry(8)];
    assert!(stand_alone(&records));
    assert!(
        !stand_alone(&records[1..]) && !stand_alone(&[promise(2)]) && !stand_alone(&[entry(6), image(7), promise(2)])
    );
    let dir = Dir::new();
    let mut store = dir.open().unwrap();
    store.load().unwrap();
    store.write(&write(false, [promise(9), entry(1), entry(2)])).unwrap();
    store.append(&unit(&records).unwrap()).unwrap();
    drop(store);
    assert_eq!(dir.load().unwrap(), Some(replayed(&records)));
}
