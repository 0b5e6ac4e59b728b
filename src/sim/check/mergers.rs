//! Merging: what both sides tell of it, and voters that belong to one lineage at a time.

use super::{Observer, Verdict};
use crate::proto::Conflict;
use crate::types::{Identity, Index, Lineage, Name, NodeId};
use std::collections::{BTreeMap, BTreeSet};

/// A voter that held some of a lineage's roll and belongs to another lineage now never belongs to the first one again:
/// who moves into a child promises never to act in the parent, and a lineage that was taken in is not taken up again.
#[derive(Debug, Default)]
pub struct Voters {
    voters: BTreeMap<Identity, (Lineage, BTreeSet<Lineage>)>,
}

impl Voters {
    /// This voter belongs to a lineage, and `holds` some of its roll.
    ///
    /// # Errors
    /// The sentence that says that it had left it.
    pub fn belongs(&mut self, who: Observer, voter: Identity, lineage: Lineage, holds: bool) -> Verdict {
        if lineage == Lineage::ZERO || !holds {
            return Ok(());
        }
        let (at, left) = self.voters.entry(voter).or_insert_with(|| (lineage, BTreeSet::new()));
        if *at != lineage {
            left.insert(std::mem::replace(at, lineage));
        }
        if left.contains(&lineage) {
            return Err(format!("{who}: voter {voter} is in lineage {lineage} again, which it had left for another"));
        }
        Ok(())
    }

    /// A crash took what this voter wrote of a lineage that it had gone to: it is where it promised never to act again, and
    /// may go from there once more.
    pub fn fell_back(&mut self, voter: Identity, lineage: Lineage) {
        if let Some((at, left)) = self.voters.get_mut(&voter) {
            left.remove(&lineage);
            *at = lineage;
        }
    }
}

#[derive(Debug, Default)]
struct Told {
    conflicts: BTreeSet<Conflict>,
    /// Names whose owner changed since.
    changed: BTreeSet<Name>,
    /// How far its roll was committed then.
    at: Index,
}

/// The mergers of lineages, as both sides tell them.
#[derive(Debug, Default)]
pub struct Mergers {
    told: BTreeMap<(Lineage, Lineage), Told>,
}

impl Mergers {
    /// The leader of `into` took a lineage in, and told these conflicts.
    pub fn won(&mut self, into: Lineage, absorbed: Lineage, conflicts: &[Conflict], at: Index) {
        let conflicts = conflicts.iter().cloned().collect();
        self.told.insert((into, absorbed), Told { conflicts, changed: BTreeSet::new(), at });
    }

    /// A name has another owner in a lineage.
    pub fn named(&mut self, lineage: Lineage, name: &Name) {
        for (_, told) in self.told.iter_mut().filter(|((into, _), _)| *into == lineage) {
            told.changed.insert(name.clone());
        }
    }

    /// One that was taken in tells these conflicts. `before` and `now`: who had and who has which name, by its own roll.
    /// `led`: it was the leader of the lineage that ended, so its roll was all of it; how far the roll was that it took over,
    /// for names may have been claimed since.
    ///
    /// # Errors
    /// The sentence that says which conflict was not told.
    pub fn lost<'a>(
        &self,
        who: Observer,
        (into, absorbed): (Lineage, Lineage),
        conflicts: &[Conflict],
        before: impl Iterator<Item = (&'a Name, &'a NodeId)>,
        now: impl Fn(&Name) -> Option<&'a NodeId>,
        led: Option<Index>,
    ) -> Verdict {
        for (name, lost) in before {
            let kept = now(name).filter(|kept| *kept != lost);
            let Some(kept) = kept else { continue };
            let conflict = Conflict::Name { name: name.clone(), kept: kept.clone(), lost: lost.clone() };
            if !conflicts.contains(&conflict) {
                return Err(format!("{who} was taken into {into} and didn't tell the conflict about {conflict}"));
            }
        }
        let (Some(told), Some(upto)) = (self.told.get(&(into, absorbed)), led) else { return Ok(()) };
        let settled = |c: &Conflict| matches!(c, Conflict::Name { name, .. } if told.changed.contains(name));
        let untold = |c: &&Conflict| !settled(c) && !conflicts.contains(c);
        if let Some(conflict) = told.conflicts.iter().find(untold) {
            return Err(format!("{who}, which led {absorbed}, didn't tell the conflict about {conflict}; {into} did"));
        }
        let later = upto > told.at;
        if let Some(conflict) = conflicts.iter().find(|c| !later && !settled(c) && !told.conflicts.contains(c)) {
            return Err(format!("{into} didn't tell the conflict about {conflict}; {who}, which led {absorbed}, did"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const A: Observer = Observer { node: 0, run: 1 };
    const P: Lineage = Lineage(1);
    const C: Lineage = Lineage(2);

    #[test]
    fn a_voter_that_goes_back_is_seen() {
        let mut c = Voters::default();
        assert!(c.belongs(A, Identity(5), P, true).is_ok() && c.belongs(A, Identity(5), C, true).is_ok());
        assert!(c.belongs(A, Identity(5), P, false).is_ok(), "it holds nothing of it yet");
        assert!(c.belongs(A, Identity(6), P, true).is_ok(), "another voter");
        assert!(c.belongs(A, Identity(5), P, true).is_err());
    }

    #[test]
    fn a_voter_that_a_crash_threw_back_may_go_once_more() {
        let mut c = Voters::default();
        assert!(c.belongs(A, Identity(5), P, true).is_ok() && c.belongs(A, Identity(5), C, true).is_ok());
        c.fell_back(Identity(5), P);
        assert!(c.belongs(A, Identity(5), P, true).is_ok(), "what it wrote of the child is lost, its promise is not");
        assert!(c.belongs(A, Identity(5), C, true).is_ok() && c.belongs(A, Identity(5), P, true).is_err());
    }

    #[test]
    fn a_conflict_that_one_side_conceals_is_seen() {
        let [kept, lost] = ["k", "l"].map(|id| NodeId::new(id).unwrap());
        let name = Name::new("x").unwrap();
        let conflict = [Conflict::Name { name: name.clone(), kept: kept.clone(), lost: lost.clone() }];
        let mut c = Mergers::default();
        let tell = |c: &Mergers, told: &[Conflict], owner: &NodeId, led: bool| {
            c.lost(A, (P, C), told, [(&name, owner)].into_iter(), |_| Some(&kept), led.then_some(Index(5))).is_ok()
        };
        assert!(tell(&c, &conflict, &lost, true) && tell(&c, &[], &kept, true));
        assert!(!tell(&c, &[], &lost, false), "its own roll says so");
        c.won(P, C, &conflict, Index(5));
        assert!(tell(&c, &conflict, &lost, true));
        assert!(!tell(&c, &[], &kept, true), "the winner told it");
        assert!(tell(&c, &[], &kept, false), "it needn't have held all of it");
        c.won(P, C, &[], Index(5));
        assert!(!tell(&c, &conflict, &lost, true), "the winner didn't");
        c.named(P, &name);
        assert!(tell(&c, &conflict, &lost, true), "that came later");
    }
}
