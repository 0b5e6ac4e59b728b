//! Lineages and the children that were founded out of them: for some properties they are one.

use crate::types::Lineage;
use std::collections::BTreeMap;

/// Which lineage was founded out of which.
#[derive(Debug, Default)]
pub struct Family {
    parents: BTreeMap<Lineage, Lineage>,
}

impl Family {
    /// A node named the parents of a lineage, the nearest first.
    pub fn names(&mut self, lineage: Lineage, parents: &[Lineage]) {
        let mut child = lineage;
        for parent in parents {
            if self.root(*parent) != child {
                self.parents.entry(child).or_insert(*parent);
            }
            child = *parent;
        }
    }

    /// The first ancestor of a lineage: itself where it is nobody's child.
    #[must_use]
    pub fn root(&self, lineage: Lineage) -> Lineage {
        let mut at = lineage;
        while let Some(parent) = self.parents.get(&at) {
            at = *parent;
        }
        at
    }

    /// True where a lineage has parents or children.
    #[must_use]
    pub fn has_children(&self, lineage: Lineage) -> bool {
        self.parents.iter().any(|(child, parent)| *child == lineage || *parent == lineage)
    }

    /// The ancestors of a lineage, itself first.
    pub fn ancestors(&self, lineage: Lineage) -> impl Iterator<Item = Lineage> {
        std::iter::successors(Some(lineage), |at| self.parents.get(at).copied())
    }

    /// True where one was founded out of the other, or out of a child of it.
    #[must_use]
    pub fn descends(&self, lineage: Lineage, from: Lineage) -> bool {
        let mut at = lineage;
        while at != from {
            match self.parents.get(&at) {
                Some(parent) => at = *parent,
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_have_the_root_of_their_parents() {
        let mut family = Family::default();
        family.names(Lineage(3), &[Lineage(2), Lineage(1)]);
        family.names(Lineage(4), &[Lineage(1)]);
        assert_eq!([1, 2, 3, 4, 5].map(|l| family.root(Lineage(l)).0), [1, 1, 1, 1, 5]);
        assert!(family.descends(Lineage(3), Lineage(1)) && !family.descends(Lineage(3), Lineage(4)));
        family.names(Lineage(1), &[Lineage(3)]);
        assert_eq!(family.root(Lineage(1)), Lineage(1), "nobody is its own ancestor");
    }
}
