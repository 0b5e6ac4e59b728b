//! Property 1: one leader for each term, one lease at each instant.

use super::{Observer, Verdict};
use crate::types::{Lineage, Term, Time};
use std::collections::BTreeMap;

/// At most one leader for each (lineage, term), and a leadership that ended is not taken up again in its term.
#[derive(Debug, Default)]
pub struct Leaders {
    by_term: BTreeMap<(Lineage, Term), (Observer, bool)>,
}

impl Leaders {
    /// This node began to lead.
    ///
    /// # Errors
    /// The sentence that says which other node led in this term, or that it had led and stopped.
    pub fn leads(&mut self, who: Observer, lineage: Lineage, term: Term) -> Verdict {
        match self.by_term.entry((lineage, term)).or_insert((who, false)) {
            (first, _) if *first != who => {
                Err(format!("two leaders of lineage {lineage} in term {term}: {first} and {who}"))
            }
            (_, true) => Err(format!("{who} leads lineage {lineage} again in term {term}, which it had given up")),
            _ => Ok(()),
        }
    }

    /// This node no longer leads.
    pub fn stopped(&mut self, who: Observer, lineage: Lineage, term: Term) {
        if let Some((first, over)) = self.by_term.get_mut(&(lineage, term))
            && *first == who
        {
            *over = true;
        }
    }

    /// How many leaderships there were.
    #[must_use]
    pub fn leaderships(&self) -> usize {
        self.by_term.len()
    }
}

#[derive(Debug, Clone, Copy)]
struct Held {
    lineage: Lineage,
    term: Term,
    by: Observer,
    until: Time,
}

/// At no instant do two nodes hold an unexpired lease of one lineage, and one that ended is never held again in its
/// term. All times are true time.
#[derive(Debug, Default)]
pub struct Leases {
    /// The latest of each holder, whether it has ended or not.
    held: Vec<Held>,
}

impl Leases {
    /// From `now` on this node, which leads in `term`, holds the lease of the lineage until `until`.
    ///
    /// # Errors
    /// The sentence that says who else holds it, or that it had ended in this term.
    pub fn holds(&mut self, now: Time, who: Observer, lineage: Lineage, term: Term, until: Time) -> Verdict {
        let before = self.held.iter().find(|h| h.by == who).copied();
        self.released(who);
        self.held.push(Held { lineage, term, by: who, until });
        if until <= now {
            return Ok(());
        }
        if let Some(old) = before.filter(|b| (b.lineage, b.term) == (lineage, term) && b.until <= now) {
            return Err(format!(
                "the lease of {who} of lineage {lineage} in term {term} ended at {:?}, and at {now:?} it holds it again",
                old.until
            ));
        }
        let other = self.held.iter().find(|h| h.lineage == lineage && h.by != who && h.until > now);
        match other {
            Some(other) => Err(format!(
                "two leases of lineage {lineage} at {now:?}: {} holds one until {:?}, {who} until {until:?}",
                other.by, other.until
            )),
            None => Ok(()),
        }
    }

    /// This node got an input at `now`, holds itself for the leader after it, and shows this lease.
    ///
    /// # Errors
    /// The sentence that says that the lease has ended: each input has to expire it first.
    pub fn acts(&self, now: Time, who: Observer, until: Time) -> Verdict {
        if until <= now {
            return Err(format!("{who} leads on at {now:?}, though its lease ended at {until:?}"));
        }
        Ok(())
    }

    /// This node gave its lease up, or died.
    pub fn released(&mut self, who: Observer) {
        self.held.retain(|h| h.by != who);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const L: Lineage = Lineage(7);
    const A: Observer = Observer { node: 0, run: 1 };
    const A2: Observer = Observer { node: 0, run: 2 };
    const B: Observer = Observer { node: 1, run: 1 };

    fn at(s: u64) -> Time {
        Time::from_micros(s * 1_000_000)
    }

    #[test]
    fn two_leaders_of_a_term_are_seen() {
        let mut c = Leaders::default();
        assert!(c.leads(A, L, Term(1)).is_ok() && c.leads(A, L, Term(1)).is_ok());
        assert!(c.leads(B, Lineage(8), Term(1)).is_ok(), "another lineage");
        assert!(c.leads(B, L, Term(2)).is_ok());
        assert!(c.leads(B, L, Term(1)).is_err());
        assert!(c.leads(A2, L, Term(1)).is_err(), "a later run of the same node is another leader");
    }

    #[test]
    fn a_term_given_up_is_not_led_again() {
        let mut c = Leaders::default();
        c.leads(A, L, Term(1)).unwrap();
        c.stopped(B, L, Term(1));
        assert!(c.leads(A, L, Term(1)).is_ok());
        c.stopped(A, L, Term(1));
        assert!(c.leads(A, L, Term(1)).unwrap_err().contains("given up"));
    }

    #[test]
    fn leases_that_overlap_are_seen() {
        let mut c = Leases::default();
        assert!(c.holds(at(0), A, L, Term(1), at(3)).is_ok());
        assert!(c.holds(at(1), A, L, Term(1), at(4)).is_ok(), "renewed");
        assert!(c.holds(at(2), B, Lineage(8), Term(1), at(9)).is_ok(), "another lineage");
        assert!(c.holds(at(4), B, L, Term(2), at(7)).is_ok(), "it ended at this very instant");
        assert!(c.holds(at(5), A, L, Term(3), at(6)).unwrap_err().contains("node 1 run 1"));
    }

    #[test]
    fn a_lease_that_ended_is_not_held_again_in_its_term() {
        let mut c = Leases::default();
        c.holds(at(0), A, L, Term(1), at(3)).unwrap();
        assert!(c.acts(at(2), A, at(3)).is_ok());
        assert!(c.acts(at(3), A, at(3)).unwrap_err().contains("leads on"));
        assert!(c.holds(at(3), A, L, Term(1), at(5)).unwrap_err().contains("again"));
        assert!(c.holds(at(6), A, L, Term(2), at(8)).is_ok(), "in another term it is another one");
    }

    #[test]
    fn a_lease_given_up_is_free() {
        let mut c = Leases::default();
        c.holds(at(0), A, L, Term(1), at(3)).unwrap();
        c.released(A);
        assert!(c.holds(at(1), B, L, Term(2), at(4)).is_ok());
        assert!(c.holds(at(1), A, L, Term(1), at(1)).is_ok(), "an expired one is none");
    }
}
