//! A host's store: what a node wrote is durable only some time later, and a crash loses what isn't yet.

use super::rng::Rng;
use crate::proto::{Restored, StoreWrite};
use crate::types::{Identity, Index, Lineage, Term};
use std::collections::VecDeque;

/// The store of one host.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// What is durable, replayed already: the journal itself would grow without bound in a long run.
    durable: Option<Restored>,
    pending: VecDeque<StoreWrite>,
    /// The last crash lost writes, or a part of one.
    lost: bool,
    /// The first write that could not be replayed: the core wrote a gap.
    damage: Option<String>,
}

impl Disk {
    /// A write is on its way.
    pub(super) fn write(&mut self, write: StoreWrite) {
        self.pending.push_back(write);
    }

    /// All writes up to `seq` are durable.
    pub(super) fn synced(&mut self, seq: u64) {
        while self.pending.front().is_some_and(|w| w.seq <= seq) {
            if let Some(write) = self.pending.pop_front() {
                self.apply(write, usize::MAX);
            }
        }
    }

    /// The first `keep` records of a write reach the disk. A replacing write is atomic: all or none.
    fn apply(&mut self, write: StoreWrite, keep: usize) {
        if write.replace && keep < write.records.len() {
            return;
        }
        if write.replace {
            self.durable = None;
        }
        let state = self.durable.get_or_insert_default();
        for record in write.records.into_iter().take(keep) {
            if let Err(record) = state.replay(record)
                && self.damage.is_none()
            {
                self.damage = Some(format!("write {} can't be replayed: {record:?}", write.seq));
            }
        }
    }

    /// The process or the host died: a random part of what was under way, from its beginning, survives.
    /// Returns how many writes were lost, wholly or in part.
    pub(super) fn crash(&mut self, rng: &mut Rng) -> usize {
        let pending = std::mem::take(&mut self.pending);
        self.lost = !pending.is_empty();
        let survive = rng.below(pending.len() as u64 + 1) as usize;
        let lost = pending.len() - survive;
        for (at, write) in pending.into_iter().enumerate() {
            if at < survive {
                self.apply(write, usize::MAX);
            } else if at == survive {
                let torn = rng.below(write.records.len() as u64 + 1) as usize;
                if torn > 0 {
                    self.apply(write, torn);
                }
            }
        }
        lost
    }

    /// The process ended in order: what it gave to the store gets there.
    pub(super) fn flush(&mut self) {
        self.synced(u64::MAX);
        self.lost = false;
    }

    /// What is wrong with what a node finds at its start, where it showed a roll up to `commit` before and no write
    /// was lost since. (Where writes were lost it may have shown more than its store holds: others held it.)
    pub(super) fn lacks(&self, lineage: Lineage, commit: Index) -> Option<String> {
        if self.lost || commit == Index::ZERO || lineage == Lineage::ZERO {
            return None;
        }
        let held = self.durable.as_ref().and_then(|d| {
            let image = d.image.as_ref().filter(|i| i.lineage == lineage)?;
            Some(d.entries.last().map_or(image.position.index, |e| e.index))
        });
        match held {
            Some(index) if index >= commit => None,
            Some(index) => {
                Some(format!("the store holds the roll up to {index}, the node had shown {commit} committed"))
            }
            None => {
                Some(format!("the store holds no roll of lineage {lineage}, the node had shown {commit} committed"))
            }
        }
    }

    /// True where it holds the entry of this index and term.
    pub(super) fn holds(&self, lineage: Lineage, index: Index, term: Option<Term>) -> bool {
        self.durable.as_ref().is_some_and(|d| {
            let image = d.image.as_ref().filter(|i| i.lineage == lineage);
            let entry = d.entries.iter().find(|e| e.index == index);
            image.is_some_and(|i| i.position.index >= index || entry.is_some_and(|e| Some(e.term) == term))
        })
    }

    /// True where it holds a roll of this lineage.
    pub(super) fn holds_roll(&self, lineage: Lineage) -> bool {
        self.durable.as_ref().is_some_and(|d| d.image.as_ref().is_some_and(|i| i.lineage == lineage))
    }

    /// True where it says that there is a lineage for which `kin` holds: it has a roll of it, or stepped down in it.
    pub(super) fn knows(&self, kin: impl Fn(Lineage) -> bool) -> bool {
        self.durable.as_ref().is_some_and(|d| d.image.as_ref().is_some_and(|i| kin(i.lineage)) || kin(d.promise.former))
    }

    /// The voter that promised never again to act in its lineage, by what survived of it.
    pub(super) fn sealed(&self) -> Option<(Identity, Lineage)> {
        let promise = self.durable.as_ref().map(|d| &d.promise).filter(|p| p.sealed)?;
        Some((promise.identity, promise.lineage))
    }

    /// What a node finds at its start.
    pub(super) fn restored(&self) -> Option<Restored> {
        self.durable.clone()
    }

    /// What the core wrote wrong, once.
    pub(super) fn take_damage(&mut self) -> Option<String> {
        self.damage.take()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::types::Position;
    use crate::wire::{Change, Entry, Image, Promise, Record};

    fn promise(term: u64) -> Record {
        Record::Promise(Promise { term: Term(term), ..Promise::default() })
    }

    fn entry(index: u64) -> Record {
        Record::Entry(Entry { index: Index(index), term: Term(1), change: Change::Led { identity: Identity(1) } })
    }

    #[test]
    fn what_was_synced_survives_and_the_rest_by_chance_from_its_beginning() {
        let mut outcomes = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut disk = Disk::default();
            for seq in 1..=4 {
                disk.write(StoreWrite { seq, replace: false, records: vec![entry(seq * 2 - 1), entry(seq * 2)] });
            }
            disk.synced(2);
            disk.crash(&mut Rng::new(seed));
            outcomes.insert(disk.restored().unwrap().entries.len());
            assert!(disk.take_damage().is_none());
        }
        assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), [4, 5, 6, 7, 8]);
    }

    #[test]
    fn a_replacing_write_is_atomic() {
        for seed in 0..50 {
            let mut disk = Disk::default();
            disk.write(StoreWrite { seq: 1, replace: false, records: vec![promise(1), entry(1)] });
            disk.synced(1);
            disk.write(StoreWrite { seq: 2, replace: true, records: vec![promise(2), entry(1), entry(2)] });
            disk.crash(&mut Rng::new(seed));
            let restored = disk.restored().unwrap();
            assert!(matches!((restored.promise.term.0, restored.entries.len()), (1, 1) | (2, 2)));
        }
    }

    #[test]
    fn a_gap_is_noticed() {
        let mut disk = Disk::default();
        assert_eq!(disk.restored(), None);
        disk.write(StoreWrite { seq: 1, replace: false, records: vec![entry(2)] });
        disk.synced(1);
        assert!(disk.take_damage().unwrap().contains("write 1"));
    }

    #[test]
    fn a_roll_that_was_shown_and_is_not_in_the_store_is_noticed() {
        let lineage = Lineage(7);
        let mut disk = Disk::default();
        assert_eq!(disk.lacks(lineage, Index::ZERO), None);
        assert!(disk.lacks(lineage, Index(1)).unwrap().contains("no roll"));
        let image = Image { lineage, position: Position { term: Term(1), index: Index(1) }, ..Image::default() };
        disk.write(StoreWrite { seq: 1, replace: true, records: vec![Record::Image(image), entry(2)] });
        disk.flush();
        assert_eq!(disk.lacks(lineage, Index(2)), None);
        assert!(disk.lacks(lineage, Index(3)).unwrap().contains("up to 2"));
        assert!(disk.lacks(Lineage(8), Index(1)).is_some());
        disk.write(StoreWrite { seq: 2, replace: false, records: vec![entry(3)] });
        disk.crash(&mut Rng::new(1));
        assert_eq!(disk.lacks(lineage, Index(3)), None, "what was lost in a crash was durable at others");
    }
}
