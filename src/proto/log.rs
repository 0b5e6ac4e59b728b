//! The roll's log over its snapshot.
//!
//! Property: what is committed is never truncated or replaced, and of two logs of one lineage that hold an entry of the
//! same index and term all earlier entries are alike (Raft's log matching, Ongaro and Ousterhout 2014, §5.3).

use super::roll::{Applied, Roll, apply_to_line};
use crate::types::{Index, Line, Lineage, Position, Term};
use crate::wire::{Change, Entry, Image, Ledger};
use std::collections::VecDeque;

/// How many committed entries are kept for followers that lag; those further behind get a snapshot.
const KEEP_COMMITTED: usize = 512;
/// Above this many committed entries the oldest are dropped, down to [`KEEP_COMMITTED`].
const COMPACT_ABOVE: usize = 2_048;
/// Above so many bytes of broadcasts in entries as well, down to half of them.
const COMPACT_ABOVE_BYTES: usize = 8 << 20;

#[derive(Debug, Clone)]
pub(super) struct Log {
    lineage: Lineage,
    /// What the lineage was founded out of, the nearest first.
    parents: Vec<Lineage>,
    /// The latest known child of it, for one who holds it no longer and goes on there.
    heir: Lineage,
    /// The position right before the first entry kept.
    base: Position,
    entries: VecDeque<Entry>,
    /// The bytes of broadcasts in them.
    bulk: usize,
    commit: Index,
    /// The state at `commit`.
    roll: Roll,
    /// The line of the last entry, committed or not: the one that counts for majorities.
    line: Line,
    /// Of requests this log has nothing up to here but that there were some: it was told as a plain member is.
    condensed: Index,
}

/// What became of entries offered by a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepted {
    /// The log matches up to here; `changed` tells whether anything new has to be stored, from this index on.
    Matched { upto: Index, stored_from: Option<Index> },
    /// The entry before them isn't here: try from this index.
    Gap { hint: Index },
    /// They contradict a committed entry: refused, and a bug or a forgery somewhere.
    Contradiction,
}

impl Log {
    pub(super) fn empty() -> Self {
        Self {
            lineage: Lineage::ZERO,
            parents: Vec::new(),
            heir: Lineage::ZERO,
            base: Position::default(),
            entries: VecDeque::new(),
            bulk: 0,
            commit: Index::ZERO,
            roll: Roll::default(),
            line: Line::default(),
            condensed: Index::ZERO,
        }
    }

    pub(super) fn from_image(image: &Image) -> Self {
        let roll = Roll::from_image(image);
        Self {
            lineage: image.lineage,
            parents: image.parents.clone(),
            heir: Lineage::ZERO,
            base: image.position,
            entries: VecDeque::new(),
            bulk: 0,
            commit: image.position.index,
            line: roll.line().clone(),
            roll,
            condensed: Index::ZERO,
        }
    }

    pub(super) fn restore(image: &Image, entries: Vec<Entry>) -> Self {
        let mut log = Self::from_image(image);
        log.entries = entries.into();
        log.bulk = log.entries.iter().map(bulk).sum();
        log.refresh_line();
        log
    }

    pub(super) fn lineage(&self) -> Lineage {
        self.lineage
    }

    /// What the lineage was founded out of, the nearest first.
    pub(super) fn parents(&self) -> &[Lineage] {
        &self.parents
    }

    /// Who held this went over from one lineage to a child of it.
    pub(super) fn goes_on(&mut self, from: Lineage, child: Lineage) {
        if from == self.lineage || from == self.heir {
            self.heir = child;
        }
    }

    /// True where this is of the lineage of an image, or of one that it was founded out of.
    pub(super) fn is_before(&self, image: &Image) -> bool {
        let known = |l: Lineage| l != Lineage::ZERO && (l == image.lineage || image.parents.contains(&l));
        known(self.lineage) || known(self.heir)
    }

    pub(super) fn plant(&mut self, bug: super::planted::Planted) {
        self.roll.plant(bug);
    }

    /// The image that it is made of was one for plain members.
    pub(super) fn note_condensed(&mut self) {
        self.condensed = self.base.index;
    }

    /// Up to here it lacks what is kept of requests, or what was done about them.
    pub(super) fn condensed(&self) -> Index {
        self.condensed
    }

    /// What is kept of requests as of this log's commit, where it was told as a plain member is, and knows that nothing was
    /// done about them since this older image; its own where it has all of it.
    pub(super) fn requests_after(&self, image: &Image) -> Vec<Ledger> {
        if self.condensed == Index::ZERO {
            return self.roll.image(self.lineage, self.base).requests;
        }
        self.roll.requests_since(image)
    }

    /// True where there is no roll at all.
    pub(super) fn is_empty(&self) -> bool {
        self.base == Position::default() && self.entries.is_empty()
    }

    pub(super) fn last(&self) -> Position {
        self.entries.back().map_or(self.base, Entry::position)
    }

    pub(super) fn commit(&self) -> Index {
        self.commit
    }

    pub(super) fn roll(&self) -> &Roll {
        &self.roll
    }

    /// The line in force.
    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// True while a change of the line waits for its commit.
    pub(super) fn line_pending(&self) -> bool {
        self.line.version() != self.roll.line().version()
    }

    /// The line before the last change of it, where that isn't known to be committed: changes come one by one, so all before
    /// it are.
    pub(super) fn line_before(&self) -> Option<Line> {
        let (mut line, mut before) = (self.roll.line().clone(), None);
        for entry in self.uncommitted() {
            let old = line.clone();
            if apply_to_line(&mut line, &entry.change) {
                before = Some(old);
            }
        }
        before
    }

    /// Where the first change of the line stands that waits for its commit.
    pub(super) fn line_change(&self) -> Option<Position> {
        let mut line = self.roll.line().clone();
        self.uncommitted().find(|e| apply_to_line(&mut line, &e.change)).map(Entry::position)
    }

    fn offset(&self, index: Index) -> Option<usize> {
        usize::try_from(index.0.checked_sub(self.base.index.0 + 1)?).ok()
    }

    pub(super) fn get(&self, index: Index) -> Option<&Entry> {
        self.entries.get(self.offset(index)?)
    }

    pub(super) fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base.index { Some(self.base.term) } else { self.get(index).map(|e| e.term) }
    }

    /// True where this very position is in the log.
    pub(super) fn has(&self, position: Position) -> bool {
        self.term_at(position.index) == Some(position.term)
    }

    /// The position of the committed part.
    pub(super) fn committed(&self) -> Position {
        // The commit index never lies before the base nor behind the last entry.
        Position { term: self.term_at(self.commit).unwrap_or_default(), index: self.commit }
    }

    /// Makes an entry, as the leader of a term. Nothing where the index is used up.
    pub(super) fn append(&mut self, term: Term, change: Change) -> Option<Entry> {
        let entry = Entry { index: self.last().index.next()?, term, change };
        apply_to_line(&mut self.line, &entry.change);
        self.bulk += bulk(&entry);
        self.entries.push_back(entry.clone());
        Some(entry)
    }

    /// Takes entries that follow `prev`, in place of whatever contradicts them.
    pub(super) fn accept(&mut self, prev: Position, entries: &[Entry]) -> Accepted {
        let (prev, entries) = match self.skip_known_prefix(prev, entries) {
            Ok(rest) => rest,
            Err(refused) => return refused,
        };
        if !self.follows(prev, entries) {
            return Accepted::Contradiction;
        }
        let mut upto = prev.index;
        let mut stored_from = None;
        for entry in entries {
            if self.term_at(entry.index) != Some(entry.term) {
                if let Some(at) = self.offset(entry.index) {
                    self.entries.truncate(at);
                    self.bulk = self.entries.iter().map(bulk).sum();
                }
                self.bulk += bulk(entry);
                self.entries.push_back(entry.clone());
                stored_from = stored_from.or(Some(entry.index));
            }
            upto = entry.index;
        }
        if stored_from.is_some() {
            self.refresh_line();
        }
        Accepted::Matched { upto, stored_from }
    }

    /// True where the entries follow each other and contradict nothing that is committed.
    fn follows(&self, prev: Position, entries: &[Entry]) -> bool {
        let mut before = prev;
        entries.iter().all(|e| {
            let next = Some(e.index) == before.index.next() && e.term >= before.term;
            before = e.position();
            next && (e.index > self.commit || self.term_at(e.index) == Some(e.term))
        })
    }

    /// Entries up to the base are in the snapshot and committed: they can't be compared any more, and needn't be.
    fn skip_known_prefix<'a>(&self, prev: Position, entries: &'a [Entry]) -> Result<(Position, &'a [Entry]), Accepted> {
        if prev.index >= self.base.index {
            return if self.has(prev) {
                Ok((prev, entries))
            } else if prev.index <= self.commit {
                Err(Accepted::Contradiction)
            } else {
                // What lies behind the commit may differ; what is committed is shared with every leader.
                Err(Accepted::Gap { hint: self.commit.min(self.last().index) })
            };
        }
        match entries.iter().position(|e| e.index == self.base.index) {
            Some(at) if entries[at].term == self.base.term => Ok((self.base, &entries[at + 1..])),
            Some(_) => Err(Accepted::Contradiction),
            None => Ok((self.base, &[])),
        }
    }

    fn refresh_line(&mut self) {
        let mut line = self.roll.line().clone();
        let from = self.offset(Index(self.commit.0 + 1)).unwrap_or(0);
        for entry in self.entries.iter().skip(from) {
            apply_to_line(&mut line, &entry.change);
        }
        self.line = line;
    }

    /// Commits up to `index` (at most to the last entry) and tells what each entry changed, in order.
    pub(super) fn commit_to(&mut self, index: Index, mut told: impl FnMut(Applied)) -> bool {
        let target = index.min(self.last().index);
        let before = self.commit;
        while self.commit < target {
            let next = Index(self.commit.0 + 1);
            let Some(at) = self.offset(next) else { break };
            let Some(entry) = self.entries.get(at) else { break };
            let applied = self.roll.apply(entry);
            if entry.is_of_requests() && matches!(entry.change, Change::Other { .. }) {
                self.condensed = next;
            }
            self.commit = next;
            told(applied);
        }
        self.commit > before
    }

    /// Drops old committed entries where there are many; true where it did, so that the store is rewritten as well.
    pub(super) fn compact(&mut self) -> bool {
        let committed = (self.commit.0 - self.base.index.0) as usize;
        let heavy = self.bulk > COMPACT_ABOVE_BYTES;
        if committed <= COMPACT_ABOVE && !heavy {
            return false;
        }
        let few = if heavy { 0 } else { KEEP_COMMITTED };
        let mut dropped = false;
        for left in (few..committed).rev() {
            if left < KEEP_COMMITTED && self.bulk <= COMPACT_ABOVE_BYTES / 2 {
                break;
            }
            if let Some(entry) = self.entries.pop_front() {
                self.bulk -= bulk(&entry);
                self.base = entry.position();
                dropped = true;
            }
        }
        dropped
    }

    pub(super) fn image(&self) -> Image {
        Image { parents: self.parents.clone(), ..self.roll.image(self.lineage, self.committed()) }
    }

    /// The image as plain members are told it: nothing of requests.
    pub(super) fn public_image(&self) -> Image {
        Image { requests: Vec::new(), ..self.image() }
    }

    /// The image as it would be if all entries were committed.
    pub(super) fn whole_image(&self) -> Image {
        let mut roll = self.roll.clone();
        self.uncommitted().for_each(|entry| drop(roll.apply(entry)));
        Image { parents: self.parents.clone(), ..roll.image(self.lineage, self.last()) }
    }

    /// The entries behind `after` up to `upto`, as plain members are told them, likewise.
    pub(super) fn condensed_after(&self, after: Index, budget: usize, max: usize, upto: Index) -> Vec<Entry> {
        let Some(from) = self.offset(Index(after.0.saturating_add(1))) else { return Vec::new() };
        let mut bytes = 0;
        let mut out = Vec::new();
        for entry in self.entries.iter().skip(from).take(max).take_while(|e| e.index <= upto) {
            let entry = entry.condensed();
            bytes += crate::wire::entry_len(&entry);
            if !out.is_empty() && bytes > budget {
                break;
            }
            out.push(entry);
        }
        out
    }

    /// The entries behind `after`, at least one where there is one, up to a budget in bytes.
    pub(super) fn after(&self, after: Index, budget: usize, max: usize) -> Vec<Entry> {
        let Some(from) = self.offset(Index(after.0.saturating_add(1))) else { return Vec::new() };
        let mut bytes = 0;
        let mut out = Vec::new();
        for entry in self.entries.iter().skip(from).take(max) {
            bytes += crate::wire::entry_len(entry);
            if !out.is_empty() && bytes > budget {
                break;
            }
            out.push(entry.clone());
        }
        out
    }

    /// All entries behind the committed part: what a rewritten store keeps besides the image.
    pub(super) fn uncommitted(&self) -> impl Iterator<Item = &Entry> {
        let from = self.offset(Index(self.commit.0 + 1)).unwrap_or(0);
        self.entries.iter().skip(from)
    }
}

/// The bytes of the broadcast in an entry.
fn bulk(entry: &Entry) -> usize {
    match &entry.change {
        Change::Said { body, .. } => body.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::types::{Identity, Seat, Term, line};

    fn seat(n: u32) -> Seat {
        line::tests::seat(n, 0)
    }

    /// A change of the line begins once the one before it is committed, so only the last one may not be: whoever restarted and
    /// knows of no commit has to reckon with the line before it, and with none before that.
    #[test]
    fn the_line_before_the_last_change_may_be_in_force() {
        let position = Position { term: Term(1), index: Index(1) };
        let line = Line::new(1, vec![seat(1), seat(2)]);
        let mut log = Log::from_image(&Image { lineage: Lineage(7), position, line, ..Image::default() });
        assert_eq!(log.line_before(), None);
        let gone = |n: u32| {
            let Seat { id, identity, .. } = seat(n);
            Change::Unseated { id, identity, keep: false }
        };
        log.append(Term(1), Change::Seated(seat(3)));
        log.append(Term(1), gone(2));
        log.append(Term(2), Change::Led { identity: Identity(1) });
        log.append(Term(2), gone(3));
        let voters = |line: Line| line.voters().map(|s| s.admitted).collect::<Vec<_>>();
        assert_eq!(voters(log.line_before().unwrap()), [1, 3]);
        assert_eq!(voters(log.line().clone()), [1]);
        log.commit_to(log.last().index, |_| {});
        assert_eq!(log.line_before(), None);
    }
}
