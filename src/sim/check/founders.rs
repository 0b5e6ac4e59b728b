//! Foundings: whoever knows of a lineage founds no other, and none is founded by a part of a list, where all have stores,
//! beside one that lives.

use super::Verdict;
use crate::types::Lineage;
use std::collections::{BTreeMap, BTreeSet};

/// Who knows of which lineage, as one that has come about, and which were founded.
#[derive(Debug, Default)]
pub struct Founders {
    knows: BTreeMap<u32, Lineage>,
    founded: BTreeSet<Lineage>,
}

impl Founders {
    /// As a voter of this lineage a node has something that was committed after its founding.
    pub fn holds(&mut self, node: u32, lineage: Lineage) {
        self.knows.insert(node, lineage);
    }

    /// A node knows nothing any more: its process ended and it has no store, its store was lost, it was pointed elsewhere,
    /// or an operator said so.
    pub fn forgets(&mut self, node: u32) {
        self.knows.remove(&node);
    }

    /// The lineage that a node knows of.
    #[must_use]
    pub fn known(&self, node: u32) -> Option<Lineage> {
        self.knows.get(&node).copied()
    }

    /// True where this lineage, nobody's child, is seen for the first time.
    pub fn is_new(&mut self, lineage: Lineage) -> bool {
        self.founded.insert(lineage)
    }

    /// These nodes founded a lineage; `others` are those that live.
    ///
    /// # Errors
    /// The sentence that says who should have joined another.
    pub fn founded(&self, lineage: Lineage, party: &[u32], mut others: impl Iterator<Item = Lineage>) -> Verdict {
        for node in party {
            if let Some(known) = self.known(*node).filter(|known| *known != lineage) {
                return Err(format!("node {node} takes part in the founding of {lineage}, and knows of {known}"));
            }
        }
        match others.find(|other| *other != lineage) {
            Some(other) => Err(format!("lineage {lineage} is founded beside {other}, which lives")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_knows_of_another_lineage_is_seen_to_found() {
        let (one, two) = (Lineage(1), Lineage(2));
        let mut c = Founders::default();
        assert!(c.is_new(one) && !c.is_new(one));
        assert!(c.founded(one, &[0, 1], std::iter::empty()).is_ok());
        c.holds(0, one);
        c.holds(1, one);
        assert!(c.founded(one, &[0, 1], [one].into_iter()).is_ok());
        assert!(c.founded(two, &[2, 0], std::iter::empty()).is_err());
        c.forgets(0);
        assert!(c.founded(two, &[2, 0], std::iter::empty()).is_ok());
        assert!(c.founded(two, &[2, 0], [one].into_iter()).is_err());
    }
}
