//! A process without descriptors: what a node already holds has to do. Alone in its process, for the limit is the process's.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use convoke::driver::{FileStore, Store};
use convoke::proto::StoreWrite;
use convoke::types::{ConventionId, Identity, Incarnation, Index, Lineage, NodeId, Position, Term};
use convoke::wire::{Change, Entry, Image, Promise, Record};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::fs::File;

fn promise(term: u64) -> Record {
    let (identity, incarnation, lineage) = (Identity(1), Incarnation(2), Lineage(3));
    Record::Promise(Promise {
        identity,
        incarnation,
        lineage,
        term: Term(term),
        seen: Term(term),
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

/// Takes all descriptors that are left.
fn take_all() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[test]
fn a_store_goes_on_where_the_process_has_no_descriptors_left() {
    let dir = std::env::temp_dir().join(format!("convoke-descriptors-{}", std::process::id()));
    let (site, id) = (ConventionId::new("site").unwrap(), NodeId::new("n").unwrap());
    let mut store = FileStore::open(&dir, &site, &id).unwrap();
    store.load().unwrap();
    let hard = getrlimit(Resource::RLIMIT_NOFILE).unwrap().1;
    setrlimit(Resource::RLIMIT_NOFILE, 64, hard).unwrap();
    let size = || std::fs::metadata(dir.join("journal")).unwrap().len();
    let mut seq = 0;
    let mut write = |store: &mut FileStore, replace: bool, records: Vec<Record>| {
        seq += 1;
        store.write(&StoreWrite { seq, replace, records })
    };
    let mut taken = take_all();
    let long: Vec<Record> = (1..100).map(entry).collect();
    write(&mut store, false, [vec![promise(1)], long].concat()).unwrap();
    // One was kept for this, and is kept again.
    for index in [99, 100] {
        let before = size();
        write(&mut store, true, vec![image(index), promise(2)]).unwrap();
        assert!(size() <= before, "it began anew");
        taken.extend(take_all());
    }
    // Another thread takes whatever is free for a moment: then it is appended, and means the same.
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                let held = take_all();
                std::thread::yield_now();
                drop(held);
            }
        });
        for index in 101..400 {
            let written = write(&mut store, true, vec![image(index), promise(index)]);
            let written = written.and_then(|()| write(&mut store, false, vec![entry(index + 1)]));
            over.store(written.is_err() || index == 399, std::sync::atomic::Ordering::Relaxed);
            written.unwrap();
        }
    });
    drop(taken);
    drop(store);
    let restored = FileStore::open(&dir, &site, &id).unwrap().load().unwrap().unwrap();
    assert_eq!((restored.promise.term, restored.entries.len()), (Term(399), 1));
    assert_eq!(restored.image.unwrap().position.index, Index(399));
    std::fs::remove_dir_all(&dir).unwrap();
}
