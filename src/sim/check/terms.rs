//! Property 2: the terms that a node reports never go back.

use super::{Observer, Verdict};
use crate::types::{Lineage, Term};
use std::collections::BTreeMap;

#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    lineage: Lineage,
    /// The highest that this run knew: it may not have been durable yet.
    known: Term,
    /// The highest that an embedder was told: it has to survive where there is a store.
    told: Term,
}

/// The terms of each node.
#[derive(Debug, Default)]
pub struct Terms {
    nodes: BTreeMap<u32, Seen>,
}

impl Terms {
    /// The node knows this term (asked for by a look at the node).
    ///
    /// # Errors
    /// The sentence that says from where it went back.
    pub fn knows(&mut self, who: Observer, lineage: Lineage, term: Term) -> Verdict {
        let seen = self.seen(who.node, lineage);
        if term < seen.known.max(seen.told) {
            let high = seen.known.max(seen.told);
            return Err(format!("{who} was in term {high} of lineage {lineage} and is now in term {term}"));
        }
        seen.known = term;
        Ok(())
    }

    /// The node told its embedder this term, in an event.
    ///
    /// # Errors
    /// The sentence that says from where it went back.
    pub fn tells(&mut self, who: Observer, lineage: Lineage, term: Term) -> Verdict {
        let seen = self.seen(who.node, lineage);
        if term < seen.told {
            let told = seen.told;
            return Err(format!("{who} reported term {told} of lineage {lineage} and now reports term {term}"));
        }
        seen.told = term;
        Ok(())
    }

    /// The node starts anew; `stored`: with the store that it had.
    pub fn restarted(&mut self, node: u32, stored: bool) {
        match self.nodes.get_mut(&node) {
            Some(seen) if stored => seen.known = seen.told,
            _ => {
                self.nodes.remove(&node);
            }
        }
    }

    /// A node that belongs to no lineage yet goes on with its terms when it finds one; between two lineages that have
    /// nothing to do with each other there is no order of terms.
    fn seen(&mut self, node: u32, lineage: Lineage) -> &mut Seen {
        let seen = self.nodes.entry(node).or_default();
        if lineage != Lineage::ZERO && seen.lineage != lineage {
            if seen.lineage != Lineage::ZERO {
                *seen = Seen::default();
            }
            seen.lineage = lineage;
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const L: Lineage = Lineage(7);
    const A: Observer = Observer { node: 0, run: 1 };

    #[test]
    fn a_term_that_goes_back_is_seen() {
        let mut c = Terms::default();
        assert!(c.knows(A, Lineage::ZERO, Term(2)).is_ok());
        assert!(c.knows(A, L, Term(1)).is_err(), "the first lineage goes on from what was seen before");
        assert!(c.knows(A, L, Term(3)).is_ok() && c.tells(A, L, Term(3)).is_ok());
        assert!(c.tells(A, L, Term(2)).is_err());
        assert!(c.knows(A, Lineage(8), Term(1)).is_ok(), "another lineage");
    }

    #[test]
    fn a_store_keeps_what_was_told_and_no_store_keeps_nothing() {
        let mut c = Terms::default();
        c.tells(A, L, Term(3)).unwrap();
        c.knows(A, L, Term(5)).unwrap();
        c.restarted(0, true);
        assert!(c.knows(A, L, Term(3)).is_ok(), "term 5 was never told to anybody");
        c.restarted(0, true);
        assert!(c.knows(A, L, Term(2)).is_err());
        c.restarted(0, false);
        assert!(c.knows(A, L, Term(1)).is_ok());
    }
}
