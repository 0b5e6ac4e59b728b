//! Property 4: a member is on the roll once; a slot's generation has one owner.

use super::{Observer, Verdict};
use crate::types::{Generation, Incarnation, Lineage, NodeId, Slot};
use std::collections::{BTreeMap, BTreeSet};

/// One line of a roll.
#[derive(Debug, Clone, Copy)]
pub struct OnRoll<'a> {
    /// Its slot.
    pub slot: Slot,
    /// Whose.
    pub id: &'a NodeId,
    /// Its incarnation.
    pub incarnation: Incarnation,
}

/// Who was ever given which slot, under which generation.
#[derive(Debug, Default)]
pub struct Slots {
    owners: BTreeMap<(Lineage, Slot, Generation), (NodeId, Incarnation)>,
}

impl Slots {
    /// A node was told that this is its slot.
    ///
    /// # Errors
    /// The sentence that says who owned it before under the same generation.
    pub fn registered(
        &mut self,
        lineage: Lineage,
        slot: Slot,
        generation: Generation,
        id: &NodeId,
        incarnation: Incarnation,
    ) -> Verdict {
        let owner = self.owners.entry((lineage, slot, generation)).or_insert_with(|| (id.clone(), incarnation));
        if owner.0 != *id || owner.1 != incarnation {
            return Err(format!(
                "slot {slot} generation {generation} of lineage {lineage} was given to {} incarnation {} and to {id} \
                 incarnation {incarnation}",
                owner.0, owner.1
            ));
        }
        Ok(())
    }

    /// This is the committed roll of a node, whole.
    ///
    /// # Errors
    /// The sentence that says who is on it twice.
    pub fn roll<'a>(&mut self, by: Observer, roll: impl Iterator<Item = OnRoll<'a>>) -> Verdict {
        let (mut ids, mut slots) = (BTreeSet::new(), BTreeSet::new());
        for entry in roll {
            if !ids.insert(entry.id) {
                return Err(format!("{} is twice on the roll of {by}", entry.id));
            }
            if !slots.insert(entry.slot) {
                return Err(format!("slot {} is twice on the roll of {by}", entry.slot));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const L: Lineage = Lineage(7);
    const A: Observer = Observer { node: 0, run: 1 };

    fn id(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    #[test]
    fn a_slot_given_twice_under_one_generation_is_seen() {
        let mut c = Slots::default();
        let mut give = |slot, generation, name, incarnation| {
            c.registered(L, Slot(slot), Generation(generation), &id(name), Incarnation(incarnation)).is_ok()
        };
        assert!(give(1, 0, "a", 5) && give(1, 0, "a", 5), "told again");
        assert!(give(1, 1, "b", 5) && give(2, 0, "b", 6));
        assert!(!give(1, 0, "b", 5), "another member");
        assert!(!give(1, 0, "a", 6), "another incarnation");
    }

    #[test]
    fn a_member_twice_on_the_roll_is_seen() {
        let mut c = Slots::default();
        let mut roll = |lines: &[(u32, &str)]| {
            let lines: Vec<_> = lines.iter().map(|(s, n)| (Slot(*s), id(n))).collect();
            let roll = lines.iter().map(|(slot, id)| OnRoll { slot: *slot, id, incarnation: Incarnation(1) });
            c.roll(A, roll).is_ok()
        };
        assert!(roll(&[(0, "a"), (1, "b")]));
        assert!(!roll(&[(0, "a"), (1, "b"), (2, "a")]));
        assert!(!roll(&[(0, "a"), (0, "b")]));
    }
}
