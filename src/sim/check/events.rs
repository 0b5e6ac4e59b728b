//! Property 5: what each observer is told of members makes sense. Property 4 as it is told: a name has one owner, who is
//! here.

use super::{Observer, Verdict};
use crate::types::{Incarnation, Lineage, Name, NodeId};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy)]
struct Told {
    incarnation: Incarnation,
    here: bool,
    /// It was told in a lineage that was taken into this one: where it is said to leave now, it left there.
    carried: bool,
}

/// What each run of each node was told about the members of each lineage.
#[derive(Debug, Default)]
pub struct Events {
    observers: BTreeMap<(Observer, Lineage), BTreeMap<NodeId, Told>>,
    names: BTreeMap<(Observer, Lineage), BTreeMap<Name, NodeId>>,
}

impl Events {
    /// `joined` was told.
    ///
    /// # Errors
    /// The sentence that says what was told before and forbids it.
    pub fn joined(&mut self, who: Observer, lineage: Lineage, id: &NodeId, incarnation: Incarnation) -> Verdict {
        let told = self.observers.entry((who, lineage)).or_default();
        match told.get(id) {
            Some(t) if t.here => Err(format!(
                "{who}: joined {id} incarnation {incarnation}, but incarnation {} has joined and not left",
                t.incarnation
            )),
            Some(t) if t.incarnation >= incarnation => {
                Err(format!("{who}: joined {id} incarnation {incarnation}, but incarnation {} has left", t.incarnation))
            }
            _ => {
                told.insert(id.clone(), Told { incarnation, here: true, carried: false });
                Ok(())
            }
        }
    }

    /// The departure of this incarnation is not part of the lineage that it is told to be in now.
    pub fn revived(&mut self, who: Observer, lineage: Lineage, id: &NodeId, incarnation: Incarnation) {
        if let Some(told) = self.observers.get_mut(&(who, lineage)) {
            told.retain(|other, t| other != id || t.here || t.incarnation != incarnation);
        }
    }

    /// `updated` was told.
    ///
    /// # Errors
    /// The sentence that says what was told before and forbids it.
    pub fn updated(&mut self, who: Observer, lineage: Lineage, id: &NodeId, incarnation: Incarnation) -> Verdict {
        self.here(who, lineage, id, incarnation, "updated").map(|_| ())
    }

    /// `left` was told.
    ///
    /// # Errors
    /// The sentence that says what was told before and forbids it.
    pub fn left(&mut self, who: Observer, lineage: Lineage, id: &NodeId, incarnation: Incarnation) -> Verdict {
        let mut names = self.names.get(&(who, lineage)).into_iter().flatten();
        if let Some((name, _)) = names.find(|(_, owner)| *owner == id) {
            return Err(format!("{who}: left {id} incarnation {incarnation}, which still has the name {name}"));
        }
        let carried = self.here(who, lineage, id, incarnation, "left").map(|t| {
            t.here = false;
            t.carried
        })?;
        if carried && let Some(told) = self.observers.get_mut(&(who, lineage)) {
            told.remove(id);
        }
        Ok(())
    }

    /// `name` was told.
    ///
    /// # Errors
    /// The sentence that says what was told before and forbids it.
    pub fn name(&mut self, who: Observer, lineage: Lineage, name: &Name, owner: Option<&NodeId>) -> Verdict {
        let here = |id: &NodeId| self.observers.get(&(who, lineage)).and_then(|m| m.get(id)).is_some_and(|t| t.here);
        let absent = owner.is_some_and(|id| !here(id));
        let names = self.names.entry((who, lineage)).or_default();
        match (names.get(name), owner) {
            (_, Some(id)) if absent => Err(format!("{who}: {id} has the name {name}, and isn't here")),
            (Some(before), Some(id)) => Err(format!("{who}: {id} has the name {name}, but {before} has it")),
            (None, None) => Err(format!("{who}: nobody has the name {name} any more, and nobody had it")),
            (None, Some(id)) => {
                names.insert(name.clone(), id.clone());
                Ok(())
            }
            (Some(_), None) => {
                names.remove(name);
                Ok(())
            }
        }
    }

    /// What this observer was told adds up to exactly these members and names.
    ///
    /// # Errors
    /// The sentence that says what differs.
    pub fn adds_up<'a>(
        &self,
        who: Observer,
        lineage: Lineage,
        members: impl Iterator<Item = (&'a NodeId, Incarnation)>,
        names: impl Iterator<Item = (&'a Name, &'a NodeId)>,
    ) -> Verdict {
        let told = self.observers.get(&(who, lineage)).into_iter().flatten().filter(|(_, t)| t.here);
        let told: BTreeMap<_, _> = told.map(|(id, t)| (id, t.incarnation)).collect();
        let members: BTreeMap<_, _> = members.collect();
        if told != members {
            return Err(format!("{who} was told of the members {told:?}, and holds {members:?}"));
        }
        let told: BTreeMap<_, _> = self.names.get(&(who, lineage)).into_iter().flatten().collect();
        let names: BTreeMap<_, _> = names.collect();
        if told != names {
            return Err(format!("{who} was told of the names {told:?}, and holds {names:?}"));
        }
        Ok(())
    }

    fn here(
        &mut self,
        who: Observer,
        lineage: Lineage,
        id: &NodeId,
        incarnation: Incarnation,
        what: &str,
    ) -> Result<&mut Told, String> {
        match self.observers.entry((who, lineage)).or_default().get_mut(id) {
            Some(t) if t.here && t.incarnation == incarnation => Ok(t),
            Some(t) => Err(format!(
                "{who}: {what} {id} incarnation {incarnation}, but incarnation {} has {}",
                t.incarnation,
                if t.here { "joined" } else { "left" }
            )),
            None => Err(format!("{who}: {what} {id} incarnation {incarnation}, which never joined")),
        }
    }

    /// A message of a member was handed on.
    ///
    /// # Errors
    /// The sentence that says that this incarnation has left.
    pub fn message(&mut self, who: Observer, lineage: Lineage, id: &NodeId, incarnation: Incarnation) -> Verdict {
        let told = self.observers.get(&(who, lineage)).and_then(|told| told.get(id));
        match told {
            Some(t) if incarnation < t.incarnation || incarnation == t.incarnation && !t.here => Err(format!(
                "{who}: a message of {id} incarnation {incarnation}, but incarnation {} has {}",
                t.incarnation,
                if t.here { "joined" } else { "left" }
            )),
            _ => Ok(()),
        }
    }

    /// It went over to another address: who is there is told anew wherever it comes. Who left is gone all the same.
    pub fn moved(&mut self, who: Observer) {
        for (_, told) in self.observers.iter_mut().filter(|((w, _), _)| *w == who) {
            told.retain(|_, t| !t.here);
        }
        self.names.retain(|(w, _), _| *w != who);
    }

    /// Who has which name, as this observer was told.
    pub fn names(&self, who: Observer, lineage: Lineage) -> impl Iterator<Item = (&Name, &NodeId)> {
        self.names.get(&(who, lineage)).into_iter().flatten()
    }

    /// It went over from one lineage to another, which took the first one in: what is here is told on, and who left in the
    /// first may be in the other. `from` and `to` are their families.
    pub fn crossed(&mut self, who: Observer, from: Lineage, to: Lineage) {
        let mut told = self.observers.remove(&(who, from)).unwrap_or_default();
        told.retain(|_, t| t.here);
        told.values_mut().for_each(|t| t.carried = true);
        let names = self.names.remove(&(who, from)).unwrap_or_default();
        // Of what was told of the other one before, by a node that was in it once, only departures count.
        let before = self.observers.remove(&(who, to)).unwrap_or_default();
        for (id, departed) in before.into_iter().filter(|(_, t)| !t.here && from != to) {
            told.entry(id).or_insert(departed);
        }
        self.observers.insert((who, to), told);
        self.names.insert((who, to), names);
    }

    /// What had to be said of the lineage that ended is said: from now on all that is told is of the other.
    pub fn settled(&mut self, who: Observer, lineage: Lineage) {
        if let Some(told) = self.observers.get_mut(&(who, lineage)) {
            told.values_mut().for_each(|t| t.carried = false);
        }
    }

    /// This run is over: nothing more comes from it.
    pub fn ended(&mut self, who: Observer) {
        self.observers.retain(|(w, _), _| *w != who);
        self.names.retain(|(w, _), _| *w != who);
    }

    /// How many members this observer holds for present.
    #[must_use]
    pub fn present(&self, who: Observer, lineage: Lineage) -> usize {
        self.observers.get(&(who, lineage)).map_or(0, |m| m.values().filter(|t| t.here).count())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const L: Lineage = Lineage(7);
    const A: Observer = Observer { node: 0, run: 1 };

    #[test]
    fn histories_that_make_no_sense_are_seen() {
        let m = NodeId::new("m").unwrap();
        // (history of (what, incarnation), whether the last step is allowed)
        let cases: &[(&[(char, u64)], bool)] = &[
            (&[('j', 1)], true),
            (&[('l', 1)], false),
            (&[('u', 1)], false),
            (&[('j', 1), ('j', 1)], false),
            (&[('j', 1), ('j', 2)], false),
            (&[('j', 1), ('u', 1)], true),
            (&[('j', 1), ('u', 2)], false),
            (&[('j', 1), ('l', 1), ('u', 1)], false),
            (&[('j', 1), ('l', 1), ('l', 1)], false),
            (&[('j', 1), ('l', 1), ('j', 1)], false),
            (&[('j', 2), ('l', 2), ('j', 1)], false),
            (&[('j', 1), ('l', 1), ('j', 2)], true),
            (&[('j', 1), ('l', 1), ('j', 2), ('l', 1)], false),
            (&[('m', 1)], true),
            (&[('j', 1), ('m', 1)], true),
            (&[('j', 1), ('l', 1), ('m', 1)], false),
            (&[('j', 1), ('l', 1), ('m', 2)], true),
            (&[('j', 1), ('l', 1), ('j', 2), ('m', 1)], false),
        ];
        for (history, allowed) in cases {
            let mut c = Events::default();
            let mut last = Ok(());
            for (what, n) in *history {
                let n = Incarnation(*n);
                last = match what {
                    'j' => c.joined(A, L, &m, n),
                    'u' => c.updated(A, L, &m, n),
                    'm' => c.message(A, L, &m, n),
                    _ => c.left(A, L, &m, n),
                };
            }
            assert_eq!(last.is_ok(), *allowed, "{history:?}: {last:?}");
        }
    }

    #[test]
    fn names_that_make_no_sense_are_seen() {
        let [m, n] = ["m", "n"].map(|id| NodeId::new(id).unwrap());
        let name = Name::new("x").unwrap();
        let mut c = Events::default();
        assert!(c.name(A, L, &name, Some(&m)).is_err(), "it is not here");
        c.joined(A, L, &m, Incarnation(1)).unwrap();
        c.joined(A, L, &n, Incarnation(1)).unwrap();
        assert!(c.name(A, L, &name, None).is_err(), "nobody had it");
        assert!(c.name(A, L, &name, Some(&m)).is_ok());
        assert!(c.name(A, L, &name, Some(&n)).is_err(), "another has it");
        assert!(c.left(A, L, &m, Incarnation(1)).is_err(), "it has a name yet");
        let present = || [(&m, Incarnation(1)), (&n, Incarnation(1))].into_iter();
        assert!(c.adds_up(A, L, present(), [(&name, &m)].into_iter()).is_ok());
        assert!(c.adds_up(A, L, present(), [].into_iter()).is_err());
        assert!(c.adds_up(A, L, present().take(1), [(&name, &m)].into_iter()).is_err());
        assert!(c.name(A, L, &name, None).is_ok() && c.left(A, L, &m, Incarnation(1)).is_ok());
    }

    #[test]
    fn what_was_told_before_a_move_is_told_anew_but_for_those_who_left() {
        let [m, n] = ["m", "n"].map(|id| NodeId::new(id).unwrap());
        let mut c = Events::default();
        c.joined(A, L, &m, Incarnation(1)).unwrap();
        c.joined(A, L, &n, Incarnation(1)).unwrap();
        c.left(A, L, &n, Incarnation(1)).unwrap();
        c.moved(A);
        assert!(c.left(A, L, &m, Incarnation(1)).is_err(), "it was not told of since");
        assert!(c.joined(A, L, &n, Incarnation(1)).is_err(), "it is gone for good");
        assert!(c.joined(A, L, &m, Incarnation(1)).is_ok());
    }

    #[test]
    fn another_run_or_lineage_begins_anew() {
        let m = NodeId::new("m").unwrap();
        let mut c = Events::default();
        c.joined(A, L, &m, Incarnation(1)).unwrap();
        assert!(c.joined(A, Lineage(8), &m, Incarnation(1)).is_ok());
        assert!(c.joined(Observer { node: 0, run: 2 }, L, &m, Incarnation(1)).is_ok());
        c.ended(A);
        assert!(c.joined(A, L, &m, Incarnation(1)).is_ok());
        assert_eq!(c.present(A, L), 1);
    }
}
