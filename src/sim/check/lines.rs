//! Changes of the line: one voter at a time, each committed before the next, by a leader of an entry of its own term; who
//! was retired stays off it.

use super::{Observer, Verdict};
use crate::types::{Identity, Index, Line, Lineage, NodeId, Position, Term};
use std::collections::{BTreeMap, BTreeSet};

/// What a node shows of its line.
#[derive(Debug, Clone)]
pub struct LineView<'a> {
    /// The committed line.
    pub committed: &'a Line,
    /// The line in force: with the change that waits for its commit.
    pub in_force: &'a Line,
    /// Where that change stands.
    pub change: Option<Position>,
    /// The position of the committed part.
    pub upto: Position,
    /// In which term it leads, where it does.
    pub leads: Option<Term>,
    /// Who is retired by the committed roll.
    pub retired: Vec<&'a NodeId>,
}

#[derive(Debug, Default)]
struct History {
    /// The voters of each committed line, by its version.
    voters: BTreeMap<u32, BTreeSet<Identity>>,
    /// Who was seen retired and off the line, and in which version first.
    off: BTreeMap<NodeId, u32>,
    /// Up to where the roll is known to have ended a retirement: what a node shows that lags behind that is no news.
    promoted: BTreeMap<NodeId, Index>,
}

/// The lines of each lineage.
#[derive(Debug, Default)]
pub struct Lines {
    lineages: BTreeMap<Lineage, History>,
}

fn voters(line: &Line) -> BTreeSet<Identity> {
    line.voters().map(|s| s.identity).collect()
}

impl Lines {
    /// This is what a node shows now.
    ///
    /// # Errors
    /// The sentence that says which rule the line breaks.
    pub fn shows(&mut self, who: Observer, lineage: Lineage, view: &LineView<'_>) -> Verdict {
        if view.committed.version() == 0 {
            return Ok(());
        }
        let history = self.lineages.entry(lineage).or_default();
        let version = view.committed.version();
        let known = history.voters.entry(version).or_insert_with(|| voters(view.committed));
        if *known != voters(view.committed) {
            return Err(format!(
                "{who} has another committed line {version} of lineage {lineage} than was seen before"
            ));
        }
        history.steps(who, view)?;
        history.retired(who, view)
    }
}

impl History {
    fn steps(&self, who: Observer, view: &LineView<'_>) -> Verdict {
        let Some((newest, before)) = self.voters.last_key_value() else { return Ok(()) };
        let version = view.in_force.version();
        if version > newest + 1 {
            return Err(format!("{who} has the line {version} in force, but only {newest} is committed: two at once"));
        }
        if version == newest + 1 {
            let changed = voters(view.in_force).symmetric_difference(before).count();
            if changed > 1 {
                return Err(format!("{who}: the line {version} changes {changed} voters at once"));
            }
        }
        match (view.change, view.leads) {
            (Some(change), Some(term)) if change.term == term && view.upto.term != term => Err(format!(
                "{who} changes the line in term {term}, of which it has committed nothing yet (up to {:?})",
                view.upto
            )),
            _ => Ok(()),
        }
    }

    fn retired(&mut self, who: Observer, view: &LineView<'_>) -> Verdict {
        let version = view.committed.version();
        for id in &view.retired {
            let seated = view.committed.seat(id).is_some();
            // What a leader proposes rests on what it has committed; what others hold may rest on more than they know of.
            let own = view.leads.is_some() && view.change.map(|c| c.term) == view.leads;
            if own && !seated && view.in_force.seat(id).is_some() {
                return Err(format!("{who} puts {id} on the line, which is retired"));
            }
            if seated && self.off.get(*id).is_some_and(|since| version > *since) {
                return Err(format!("{who} has {id} on the line {version}, which is retired and was off it"));
            }
            if !seated && self.promoted.get(*id).is_none_or(|upto| view.upto.index > *upto) {
                self.off.entry((*id).clone()).or_insert(version);
            }
        }
        let promoted = &mut self.promoted;
        self.off.retain(|id, since| {
            let stays = version < *since || view.retired.contains(&id);
            if !stays {
                let upto = promoted.entry(id.clone()).or_default();
                *upto = view.upto.index.max(*upto);
            }
            stays
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::types::{Incarnation, Index, Seat, Slot};

    const L: Lineage = Lineage(7);
    const A: Observer = Observer { node: 0, run: 1 };

    fn line(version: u32, voters: &[u64]) -> Line {
        let seat = |n: &u64| Seat {
            id: NodeId::new(&format!("n{n}")).unwrap(),
            identity: Identity(*n),
            incarnation: Incarnation(1),
            priority: 0,
            admitted: *n as u32,
            witness: false,
            durable: false,
            voting: true,
            slot: Slot(0),
            addrs: vec![],
        };
        Line::new(version, voters.iter().map(seat).collect())
    }

    fn at(term: u64) -> Position {
        Position { term: Term(term), index: Index(9) }
    }

    fn show(c: &mut Lines, committed: &Line, in_force: &Line, terms: (u64, u64), retired: &[NodeId]) -> bool {
        let change = (committed != in_force).then(|| at(terms.0));
        let retired = retired.iter().collect();
        let view = LineView { committed, in_force, change, upto: at(terms.1), leads: Some(Term(2)), retired };
        c.shows(A, L, &view).is_ok()
    }

    #[test]
    fn more_than_one_change_at_once_is_seen() {
        let (one, two) = (line(1, &[1, 2, 3]), line(2, &[1, 2]));
        let mut c = Lines::default();
        assert!(show(&mut c, &one, &one, (2, 2), &[]));
        assert!(show(&mut c, &one, &two, (2, 2), &[]));
        assert!(!show(&mut c, &one, &line(3, &[1]), (2, 2), &[]), "two that wait");
        assert!(!show(&mut c, &one, &line(2, &[1]), (2, 2), &[]), "two in one");
        assert!(!show(&mut c, &one, &line(2, &[1, 2, 4]), (2, 2), &[]), "a swap");
        assert!(!show(&mut c, &one, &two, (2, 1), &[]), "nothing of its term is committed");
        assert!(show(&mut c, &one, &two, (1, 1), &[]), "what it took over");
        assert!(show(&mut c, &two, &line(3, &[1]), (2, 2), &[]));
        assert!(!show(&mut c, &line(2, &[1, 3]), &line(2, &[1, 3]), (2, 2), &[]), "another line of that version");
    }

    #[test]
    fn a_retired_one_that_returns_is_seen() {
        let (n3, all) = ([NodeId::new("n3").unwrap()], line(1, &[1, 2, 3]));
        let (without, again) = (line(2, &[1, 2]), line(3, &[1, 2, 3]));
        let mut c = Lines::default();
        assert!(show(&mut c, &all, &all, (2, 2), &n3), "not carried out yet");
        assert!(show(&mut c, &without, &without, (2, 2), &n3));
        assert!(show(&mut c, &all, &all, (2, 2), &n3), "one that lags");
        assert!(!show(&mut c, &without, &again, (2, 2), &n3));
        assert!(!show(&mut c, &again, &again, (2, 2), &n3));
        assert!(show(&mut c, &again, &again, (2, 2), &[]), "restored");
        assert!(show(&mut c, &without, &without, (2, 2), &n3), "one that lags");
        assert!(show(&mut c, &again, &again, (2, 2), &n3), "retired again, not carried out yet");
    }
}
