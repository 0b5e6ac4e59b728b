//! Property 3: what is committed stays, in every later leader's roll, in the same order.

use super::{Observer, Verdict};
use crate::types::{Index, Lineage, Position, Term};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy)]
struct Committed {
    term: Term,
    digest: u64,
    by: Observer,
}

#[derive(Debug, Default)]
struct History {
    entries: BTreeMap<Index, Committed>,
    rolls: BTreeMap<Index, (u64, Observer)>,
    /// Up to which index leaders of up to this term are known to have committed.
    reach: BTreeMap<Term, Index>,
}

/// The committed entries of each lineage, as all nodes together have shown them.
#[derive(Debug, Default)]
pub struct Commits {
    lineages: BTreeMap<Lineage, History>,
}

impl Commits {
    /// A node holds this entry for committed.
    ///
    /// # Errors
    /// The sentence that says what another node, or this one earlier, holds in its place.
    pub fn entry(&mut self, by: Observer, lineage: Lineage, at: Position, digest: u64) -> Verdict {
        let history = self.lineages.entry(lineage).or_default();
        let first = history.entries.entry(at.index).or_insert(Committed { term: at.term, digest, by });
        if (first.term, first.digest) != (at.term, digest) {
            return Err(format!(
                "entry {} of lineage {lineage}: {} committed one of term {} (digest {:016x}), {by} one of term {} \
                 (digest {digest:016x})",
                at.index, first.by, first.term, first.digest, at.term
            ));
        }
        Ok(())
    }

    /// A node that follows or leads in `term` holds the roll for committed up to `index`, and this is its roll's digest.
    ///
    /// # Errors
    /// The sentence that says whose roll was another one at the same index.
    pub fn roll(&mut self, by: Observer, lineage: Lineage, term: Term, index: Index, digest: Option<u64>) -> Verdict {
        let history = self.lineages.entry(lineage).or_default();
        let reach = history.reach.entry(term).or_default();
        *reach = (*reach).max(index);
        let Some(digest) = digest else { return Ok(()) };
        self.shown(by, lineage, index, digest)
    }

    /// A node holds the committed roll up to `index`, as a subscriber perhaps, and this is its digest.
    ///
    /// # Errors
    /// The sentence that says whose roll was another one at the same index.
    pub fn shown(&mut self, by: Observer, lineage: Lineage, index: Index, digest: u64) -> Verdict {
        let history = self.lineages.entry(lineage).or_default();
        let (first, first_by) = *history.rolls.entry(index).or_insert((digest, by));
        if first != digest {
            return Err(format!(
                "the roll of lineage {lineage} at {index} differs: {first:016x} at {first_by}, {digest:016x} at {by}"
            ));
        }
        Ok(())
    }

    /// A node began to lead in `term`, and its roll reaches to `position`.
    ///
    /// # Errors
    /// The sentence that says what it lacks.
    pub fn leads(&mut self, by: Observer, lineage: Lineage, term: Term, position: Position) -> Verdict {
        let Some(history) = self.lineages.get(&lineage) else { return Ok(()) };
        let Some((earlier, reach)) = history.reach.range(..term).max_by_key(|(_, index)| **index) else {
            return Ok(());
        };
        if position.index < *reach {
            return Err(format!(
                "{by} leads lineage {lineage} in term {term} with a roll up to {position:?}, but up to {reach} was \
                 committed in term {earlier}"
            ));
        }
        Ok(())
    }

    /// The highest index that anybody held for committed.
    #[must_use]
    pub fn reach(&self, lineage: Lineage) -> Index {
        self.lineages.get(&lineage).and_then(|h| h.reach.values().max().copied()).unwrap_or_default()
    }

    /// The term of the committed entry at an index, where anybody showed it.
    #[must_use]
    pub fn term_at(&self, lineage: Lineage, index: Index) -> Option<Term> {
        self.lineages.get(&lineage)?.entries.get(&index).map(|e| e.term)
    }

    /// How many entries were seen.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.lineages.values().map(|h| h.entries.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const L: Lineage = Lineage(7);
    const A: Observer = Observer { node: 0, run: 1 };
    const B: Observer = Observer { node: 1, run: 1 };

    fn at(index: u64, term: u64) -> Position {
        Position { index: Index(index), term: Term(term) }
    }

    #[test]
    fn a_committed_entry_that_changes_is_seen() {
        let mut c = Commits::default();
        assert!(c.entry(A, L, at(1, 1), 11).is_ok() && c.entry(B, L, at(1, 1), 11).is_ok());
        assert!(c.entry(B, Lineage(8), at(1, 1), 12).is_ok(), "another lineage");
        assert!(c.entry(B, L, at(1, 1), 12).is_err(), "other content");
        assert!(c.entry(A, L, at(1, 2), 11).is_err(), "another term, at the same node later");
    }

    #[test]
    fn a_leader_without_a_committed_entry_is_seen() {
        let mut c = Commits::default();
        c.roll(A, L, Term(2), Index(5), Some(1)).unwrap();
        assert!(c.leads(B, L, Term(1), at(3, 1)).is_ok(), "an earlier term need not have it");
        assert!(c.leads(B, L, Term(2), at(3, 2)).is_ok(), "nor the leader that committed it, seen late");
        assert!(c.leads(B, L, Term(3), at(5, 2)).is_ok());
        assert!(c.leads(B, L, Term(3), at(4, 2)).is_err());
        assert_eq!(c.reach(L), Index(5));
    }

    #[test]
    fn rolls_that_differ_at_one_index_are_seen() {
        let mut c = Commits::default();
        assert!(c.roll(A, L, Term(2), Index(5), Some(1)).is_ok());
        assert!(c.roll(B, L, Term(3), Index(6), Some(2)).is_ok());
        assert!(c.roll(B, L, Term(3), Index(5), None).is_ok());
        assert!(c.roll(B, L, Term(3), Index(5), Some(2)).is_err());
    }
}
