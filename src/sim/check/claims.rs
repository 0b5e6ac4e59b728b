//! Property 4 for names: what all claimers were told can be put in one order, each claim and each release taking effect
//! at a moment between its asking and its answer (Herlihy and Wing 1990). What was never answered may have taken effect
//! at any time until its asker was off the roll, or not at all. That somebody is off the roll takes effect when the first
//! node holds it for committed, which is the leader.
//!
//! Each name is checked by itself, for what is asked of one says nothing of another. Known at any time are all states that
//! can explain the answers so far (Lowe 2017, just-in-time linearization): who has the name, and which of the open
//! operations have taken effect, with what outcome.

use super::{Observer, Verdict};
use crate::types::{Incarnation, Lineage, Name, NodeId};
use std::collections::{BTreeMap, BTreeSet};

/// So many states of one name are kept; a history that needs more is not checked any further.
const MAX_STATES: usize = 4_096;

/// What an asker was told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// The name is its own.
    Yours,
    /// It isn't any more.
    Released,
    /// This one has it.
    Taken(NodeId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Claim,
    Release,
    /// Off the roll, with all its names.
    Depart,
}

#[derive(Debug, Clone)]
struct Op {
    id: NodeId,
    kind: Kind,
}

/// Who has the name, and what the open operations that took effect came to.
type State = (Option<NodeId>, BTreeMap<u32, Answer>);

#[derive(Debug)]
struct History {
    open: BTreeMap<u32, Op>,
    states: BTreeSet<State>,
    next: u32,
    spoiled: bool,
}

impl Default for History {
    fn default() -> Self {
        Self { open: BTreeMap::new(), states: BTreeSet::from([(None, BTreeMap::new())]), next: 0, spoiled: false }
    }
}

impl History {
    fn open(&mut self, id: &NodeId, kind: Kind) -> u32 {
        self.next += 1;
        self.open.insert(self.next, Op { id: id.clone(), kind });
        self.next
    }

    fn effect(owner: Option<&NodeId>, op: &Op) -> (Option<NodeId>, Answer) {
        let mine = owner == Some(&op.id);
        match (op.kind, owner) {
            (Kind::Claim, None) => (Some(op.id.clone()), Answer::Yours),
            (Kind::Claim, Some(_)) if mine => (owner.cloned(), Answer::Yours),
            (Kind::Claim, Some(other)) => (owner.cloned(), Answer::Taken(other.clone())),
            (Kind::Release | Kind::Depart, _) => (owner.filter(|_| !mine).cloned(), Answer::Released),
        }
    }

    /// The operation has taken effect by now, with this outcome. False where nothing explains that.
    fn close(&mut self, key: u32, answer: &Answer) -> bool {
        if self.spoiled {
            self.open.remove(&key);
            return true;
        }
        let (mut explained, mut seen) = (BTreeSet::new(), BTreeSet::new());
        let mut stack: Vec<State> = std::mem::take(&mut self.states).into_iter().collect();
        while let Some((owner, done)) = stack.pop() {
            if seen.len() > MAX_STATES {
                self.spoiled = true;
                self.open.remove(&key);
                return true;
            }
            if !seen.insert((owner.clone(), done.clone())) {
                continue;
            }
            if let Some(came) = done.get(&key) {
                if came == answer {
                    let mut rest = done;
                    rest.remove(&key);
                    explained.insert((owner, rest));
                }
                continue;
            }
            for (other, op) in self.open.iter().filter(|(other, _)| !done.contains_key(other)) {
                let (owner, came) = Self::effect(owner.as_ref(), op);
                let mut done = done.clone();
                done.insert(*other, came);
                stack.push((owner, done));
            }
        }
        self.open.remove(&key);
        self.states = explained;
        !self.states.is_empty()
    }

    /// The operation takes no effect any more where it has taken none.
    fn forget(&mut self, key: u32) {
        self.open.remove(&key);
        let states = std::mem::take(&mut self.states);
        self.states = states
            .into_iter()
            .map(|(owner, mut done)| {
                done.remove(&key);
                (owner, done)
            })
            .collect();
    }
}

#[derive(Debug)]
struct Pending {
    who: Observer,
    id: NodeId,
    incarnation: Incarnation,
    lineage: Lineage,
    name: Name,
    key: u32,
    /// No answer will come.
    orphan: bool,
}

/// What was asked and answered of all names in each lineage.
#[derive(Debug, Default)]
pub struct Claims {
    histories: BTreeMap<(Lineage, Name), History>,
    pending: Vec<Pending>,
    /// As which incarnation each asker stands on the roll.
    present: BTreeMap<(Lineage, NodeId), Option<Incarnation>>,
    departed: BTreeSet<(Lineage, NodeId, Incarnation)>,
    /// Lineages that took others in: whose names came along nobody asked for there.
    mixed: BTreeSet<Lineage>,
}

impl Claims {
    /// A node asks for a name, or gives it up.
    pub fn invoked(
        &mut self,
        lineage: Lineage,
        (who, id, incarnation): (Observer, &NodeId, Incarnation),
        name: &Name,
        release: bool,
    ) {
        let mixed = self.mixed.contains(&lineage);
        let history = self.histories.entry((lineage, name.clone())).or_default();
        history.spoiled |= mixed;
        self.present.entry((lineage, id.clone())).or_insert(Some(incarnation));
        let key = history.open(id, if release { Kind::Release } else { Kind::Claim });
        let (id, name) = (id.clone(), name.clone());
        self.pending.push(Pending { who, id, incarnation, lineage, name, key, orphan: false });
    }

    /// A node claims a name by itself, which was its own in another lineage, or gives up by itself what it can't be sure of:
    /// nobody is told what comes of that.
    pub fn by_itself(
        &mut self,
        lineage: Lineage,
        (who, id, incarnation): (Observer, &NodeId, Incarnation),
        name: &Name,
        release: bool,
    ) {
        let kind = if release { Kind::Release } else { Kind::Claim };
        let open = |p: &Pending| self.histories.get(&(p.lineage, p.name.clone())).and_then(|h| h.open.get(&p.key));
        let same = |p: &Pending| p.orphan && p.who == who && p.incarnation == incarnation && p.lineage == lineage;
        let known = |p: &Pending| same(p) && p.name == *name && open(p).is_some_and(|op| op.kind == kind);
        if !self.pending.iter().any(known) {
            self.invoked(lineage, (who, id, incarnation), name, release);
            self.pending.iter_mut().rev().take(1).for_each(|p| p.orphan = true);
        }
    }

    /// It went over to another lineage: what it asked and wasn't told of it asks there too. In the first one that may have
    /// taken effect all the same.
    pub fn went_over(&mut self, who: Observer, lineage: Lineage, incarnation: Incarnation) {
        let mixed = self.mixed.contains(&lineage);
        let mut left = Vec::new();
        for p in self.pending.iter_mut().filter(|p| p.who == who && !p.orphan && p.lineage != lineage) {
            let kind =
                self.histories.get(&(p.lineage, p.name.clone())).and_then(|h| h.open.get(&p.key)).map(|op| op.kind);
            let Some(kind) = kind else { continue };
            let history = self.histories.entry((lineage, p.name.clone())).or_default();
            history.spoiled |= mixed;
            let key = history.open(&p.id, kind);
            let id = p.id.clone();
            self.present.entry((lineage, id.clone())).or_insert(Some(incarnation));
            let before = Pending {
                who,
                id,
                incarnation: p.incarnation,
                lineage: p.lineage,
                name: p.name.clone(),
                key: p.key,
                orphan: true,
            };
            (p.lineage, p.incarnation, p.key) = (lineage, incarnation, key);
            left.push(before);
        }
        self.pending.extend(left);
    }

    /// It came back as another incarnation: what it asked and wasn't told of it asks as that one.
    pub fn renewed(&mut self, who: Observer, incarnation: Incarnation) {
        self.pending.iter_mut().filter(|p| p.who == who && !p.orphan).for_each(|p| p.incarnation = incarnation);
    }

    /// This lineage took another one in: nothing is known of its names from here on.
    pub fn merged(&mut self, lineage: Lineage) {
        self.mixed.insert(lineage);
        self.histories.iter_mut().filter(|((l, _), _)| *l == lineage).for_each(|(_, h)| h.spoiled = true);
    }

    /// It was told what came of its oldest request about this name; nothing: it will never know.
    ///
    /// # Errors
    /// The sentence that says that nothing explains the answer.
    pub fn answered(
        &mut self,
        lineage: Lineage,
        (who, id): (Observer, &NodeId),
        name: &Name,
        answer: Option<Answer>,
    ) -> Verdict {
        let asked = self.pending.iter().position(|p| p.who == who && p.name == *name && !p.orphan);
        let Some(at) = asked else { return Err(format!("{who} was told about {name}, and asked nothing")) };
        let Some(answer) = answer else {
            self.pending[at].orphan = true;
            self.drop_orphans();
            return Ok(());
        };
        let pending = self.pending.remove(at);
        let Some(history) = self.histories.get_mut(&(pending.lineage, name.clone())) else { return Ok(()) };
        if pending.lineage != lineage {
            // Asked in one lineage and done in another one: neither's history is known any more.
            history.spoiled = true;
            self.histories.entry((lineage, name.clone())).or_default().spoiled = true;
            return Ok(());
        }
        if history.close(pending.key, &answer) {
            return Ok(());
        }
        Err(format!("no order of the claims explains that {id} was told of {name} in lineage {lineage}: {answer:?}"))
    }

    /// The committed roll of whoever holds it furthest: `find` tells as which incarnation a member stands on it.
    ///
    /// # Errors
    /// The sentence that says that nothing explains who is gone.
    pub fn roll(&mut self, lineage: Lineage, find: impl Fn(&NodeId) -> Option<Incarnation>) -> Verdict {
        let changed = |(l, id): &(Lineage, NodeId), was: &Option<Incarnation>| *l == lineage && find(id) != *was;
        let changed: Vec<_> =
            self.present.iter().filter(|(k, was)| changed(k, was)).map(|((_, id), was)| (id.clone(), *was)).collect();
        for (id, was) in changed {
            if let Some(was) = was {
                self.departed(lineage, &id, was)?;
            }
            let is = find(&id);
            self.present.insert((lineage, id), is);
        }
        Ok(())
    }

    /// Somebody knows that this incarnation is off the roll.
    ///
    /// # Errors
    /// The sentence that says that nothing explains it.
    pub fn departed(&mut self, lineage: Lineage, id: &NodeId, incarnation: Incarnation) -> Verdict {
        let Some(present) = self.present.get_mut(&(lineage, id.clone())) else { return Ok(()) };
        self.departed.insert((lineage, id.clone(), incarnation));
        if *present == Some(incarnation) {
            *present = None;
            for ((_, name), history) in self.histories.iter_mut().filter(|((l, _), _)| *l == lineage) {
                let key = history.open(id, Kind::Depart);
                if !history.close(key, &Answer::Released) {
                    return Err(format!("no order of the claims of {name} explains that {id} is gone"));
                }
            }
        }
        self.drop_orphans();
        Ok(())
    }

    /// How many of its requests wait for their answers.
    #[must_use]
    pub fn waiting(&self, who: Observer) -> usize {
        self.pending.iter().filter(|p| p.who == who && !p.orphan).count()
    }

    /// How many names are checked to their end, and how many are not, for too much was possible.
    #[must_use]
    pub fn histories(&self) -> (usize, usize) {
        let spoiled = self.histories.values().filter(|h| h.spoiled).count();
        (self.histories.len() - spoiled, spoiled)
    }

    /// This run is over: no answer comes to it.
    pub fn ended(&mut self, who: Observer) {
        self.pending.iter_mut().filter(|p| p.who == who).for_each(|p| p.orphan = true);
        self.drop_orphans();
    }

    fn drop_orphans(&mut self) {
        let (histories, departed) = (&mut self.histories, &self.departed);
        self.pending.retain(|p| {
            let over = p.orphan && departed.contains(&(p.lineage, p.id.clone(), p.incarnation));
            if let Some(history) = histories.get_mut(&(p.lineage, p.name.clone())).filter(|_| over) {
                history.forget(p.key);
            }
            !over
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const L: Lineage = Lineage(7);

    fn id(n: u32) -> NodeId {
        NodeId::new(&format!("m{n}")).unwrap()
    }

    /// What happens to one name: a member asks (`c`laim, `r`elease), is told (`y`ours, `f`reed, `t`aken by the other), is
    /// `g`one, or its run `e`nds.
    fn explained(history: &[(char, u32)]) -> bool {
        let (mut c, name) = (Claims::default(), Name::new("x").unwrap());
        for (what, n) in history {
            let (who, me) = (Observer { node: *n, run: 1 }, id(*n));
            let asker = (who, &me, Incarnation(1));
            let verdict = match what {
                'c' | 'r' => {
                    c.invoked(L, asker, &name, *what == 'r');
                    Ok(())
                }
                'y' => c.answered(L, (who, &me), &name, Some(Answer::Yours)),
                'f' => c.answered(L, (who, &me), &name, Some(Answer::Released)),
                't' => c.answered(L, (who, &me), &name, Some(Answer::Taken(id(1 - *n)))),
                'g' => c.departed(L, &me, Incarnation(1)),
                _ => {
                    c.ended(who);
                    Ok(())
                }
            };
            if verdict.is_err() {
                return false;
            }
        }
        true
    }

    /// What was asked in one lineage and not answered there is asked in the next: that explains what others are told there.
    #[test]
    fn what_is_open_goes_over_with_its_asker() {
        let (mut c, name, b) = (Claims::default(), Name::new("x").unwrap(), Lineage(8));
        let [first, second] = [0, 1].map(|node| Observer { node, run: 0 });
        let taken = Some(Answer::Taken(id(0)));
        c.invoked(L, (first, &id(0), Incarnation(1)), &name, false);
        c.invoked(b, (second, &id(1), Incarnation(1)), &name, false);
        c.went_over(first, b, Incarnation(1));
        assert_eq!(c.answered(b, (second, &id(1)), &name, taken), Ok(()));
        assert_eq!(c.answered(b, (first, &id(0)), &name, Some(Answer::Yours)), Ok(()));
        assert_eq!((c.waiting(first), c.histories().1), (0, 0));
    }

    /// What was asked as one incarnation may take effect as the next one of the same process, after that process has ended too.
    #[test]
    fn what_is_open_is_asked_again_by_the_next_incarnation() {
        let (mut c, name) = (Claims::default(), Name::new("x").unwrap());
        let [first, second] = [0, 1].map(|node| Observer { node, run: 0 });
        c.invoked(L, (first, &id(0), Incarnation(1)), &name, false);
        c.renewed(first, Incarnation(2));
        c.ended(first);
        assert_eq!(c.departed(L, &id(0), Incarnation(1)), Ok(()));
        c.invoked(L, (second, &id(1), Incarnation(1)), &name, false);
        assert_eq!(c.answered(L, (second, &id(1)), &name, Some(Answer::Taken(id(0)))), Ok(()));
    }

    #[test]
    fn histories_that_nothing_explains_are_seen() {
        let cases: &[(&[(char, u32)], bool)] = &[
            (&[('c', 0), ('y', 0), ('c', 1), ('t', 1)], true),
            (&[('c', 0), ('y', 0), ('c', 1), ('y', 1)], false),
            (&[('c', 0), ('c', 1), ('t', 0), ('y', 1)], true),
            (&[('c', 0), ('c', 1), ('t', 0), ('t', 1)], false),
            (&[('c', 1), ('t', 1)], false),
            (&[('c', 0), ('y', 0), ('r', 0), ('c', 1), ('t', 1), ('f', 0)], true),
            (&[('c', 0), ('y', 0), ('r', 0), ('f', 0), ('c', 1), ('t', 1)], false),
            (&[('c', 0), ('y', 0), ('g', 0), ('c', 1), ('y', 1)], true),
            (&[('c', 0), ('y', 0), ('g', 0), ('c', 1), ('t', 1)], false),
            (&[('c', 0), ('y', 0), ('c', 1), ('y', 1), ('g', 0)], false),
            (&[('c', 0), ('y', 0), ('c', 1), ('g', 0), ('y', 1)], true),
            (&[('c', 0), ('y', 0), ('c', 1), ('g', 0), ('t', 1)], true),
            // Never answered: it may have taken effect, or may not, until it is gone.
            (&[('c', 0), ('e', 0), ('c', 1), ('t', 1), ('g', 0), ('c', 1), ('y', 1)], true),
            (&[('c', 0), ('e', 0), ('g', 0), ('c', 1), ('t', 1)], false),
        ];
        for (history, allowed) in cases {
            assert_eq!(explained(history), *allowed, "{history:?}");
        }
    }
}
