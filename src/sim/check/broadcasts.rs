//! Broadcasts: one order for all, each once, none lost unsaid, committed before it is given to anybody; and each that was
//! accepted has an outcome.

use super::{Observer, Verdict};
use crate::types::{Incarnation, Lineage, NodeId, Position};
use crate::wire::digest;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// A broadcast as it was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    from: NodeId,
    incarnation: Incarnation,
    number: u64,
    body: u64,
}

/// What one run of a node was given at one place on the roll.
#[derive(Debug, Clone, Default)]
struct Given {
    /// Where it is, as whoever feeds this names it; anything that differs after a new registration.
    home: u64,
    /// The place of the last one; nothing right after a new registration: what was given before it may be told after it.
    at: Option<Position>,
    /// What it was told to have missed, and that isn't accounted for.
    missed: u64,
}

#[derive(Debug, Clone, Default)]
struct Fate {
    body: u64,
    committed: bool,
    /// It came back, and whether it may have been sent all the same.
    returned: Option<bool>,
    given: bool,
}

/// All broadcasts of all lineages; those that were founded out of others are named by the first of them.
#[derive(Debug, Default)]
pub struct Broadcasts {
    /// By family, in their order.
    committed: BTreeMap<Lineage, BTreeMap<Position, Said>>,
    /// Where a body stands.
    places: BTreeMap<(Lineage, u64), Position>,
    given: BTreeMap<(Observer, Lineage), Given>,
    /// The last number of each sender's incarnation that was given to each.
    numbers: BTreeMap<(Observer, NodeId, Incarnation), u64>,
    /// By sender's process and number.
    fates: BTreeMap<(Observer, u64), Fate>,
    /// Who said what: a body is said once. Bodies stand as their digests.
    sayers: BTreeMap<u64, (Observer, u64)>,
    /// What is committed anywhere.
    known: BTreeSet<u64>,
    count: u64,
}

/// Where a receiver is on a roll.
#[derive(Debug, Clone, Copy)]
pub struct Seat {
    /// Differs after a new registration.
    pub home: u64,
    /// The lineage that it is in.
    pub lineage: Lineage,
    /// The first of those that it was founded out of, or itself.
    pub family: Lineage,
    /// The place of the last broadcast that wasn't for it.
    pub since: Position,
}

impl Broadcasts {
    /// A broadcast was accepted, as this number. No two may say the same.
    pub fn accepted(&mut self, who: Observer, number: u64, body: &[u8]) {
        self.count += 1;
        let body = digest(body);
        self.sayers.insert(body, (who, number));
        self.fates.insert((who, number), Fate { body, ..Fate::default() });
    }

    /// Somebody who holds the roll has this committed. `alone`: the lineage has neither parents nor children.
    ///
    /// # Errors
    /// The sentence that says what stands there by another's word, or that it is said for a second time.
    pub fn committed(
        &mut self,
        (family, alone): (Lineage, bool),
        place: Position,
        (from, incarnation, number): (&NodeId, Incarnation, u64),
        body: &[u8],
    ) -> Verdict {
        let body = digest(body);
        let said = Said { from: from.clone(), incarnation, number, body };
        if let Some(known) = self.committed.entry(family).or_default().get(&place) {
            return if *known == said {
                Ok(())
            } else {
                Err(format!(
                    "the broadcast at {place:?} is number {number} of {from}, and number {} of {}",
                    known.number, known.from
                ))
            };
        }
        let key = (family, body);
        if let Some(before) = self.places.get(&key).filter(|_| alone) {
            return Err(format!("broadcast number {number} of {from} is committed at {before:?} and at {place:?}"));
        }
        self.places.insert(key, place);
        self.known.insert(body);
        self.committed.entry(family).or_default().insert(place, said);
        Ok(())
    }

    /// The newest place that is known of a family.
    #[must_use]
    pub fn newest(&self, family: Lineage) -> Position {
        self.committed.get(&family).and_then(|all| all.keys().next_back()).copied().unwrap_or_default()
    }

    /// Where this is committed in this family.
    #[must_use]
    pub fn place(&self, family: Lineage, body: &[u8]) -> Option<Position> {
        self.places.get(&(family, digest(body))).copied()
    }

    fn at(&mut self, who: Observer, seat: Seat) -> &mut Given {
        let fresh = Given { home: seat.home, at: None, missed: 0 };
        let given = self.given.entry((who, seat.family)).or_insert_with(|| fresh.clone());
        if given.home != seat.home {
            *given = Given { missed: given.missed, ..fresh };
        }
        given
    }

    /// The number of the last broadcast of this sender that was given there, in whichever lineage.
    fn last_of(&self, who: Observer, from: &NodeId, incarnation: Incarnation) -> u64 {
        self.numbers.get(&(who, from.clone(), incarnation)).copied().unwrap_or_default()
    }

    /// How many lie there that weren't given already in a lineage that this receiver was in before.
    fn unheard(&self, who: Observer, family: Lineage, places: (Bound<Position>, Bound<Position>)) -> u64 {
        let all = self.committed.get(&family).into_iter().flat_map(|all| all.range(places));
        all.filter(|(_, said)| said.number > self.last_of(who, &said.from, said.incarnation)).count() as u64
    }

    /// A receiver was told that it missed so many.
    pub fn missed(&mut self, who: Observer, seat: Seat, count: u64) {
        self.at(who, seat).missed += count;
    }

    /// A broadcast was given to a receiver. `alone`: its lineage has neither parents nor children.
    ///
    /// # Errors
    /// The sentence that says why it should not have been.
    pub fn given(
        &mut self,
        who: Observer,
        seat: Seat,
        alone: bool,
        (from, incarnation): (&NodeId, Incarnation),
        body: &[u8],
    ) -> Verdict {
        let body = digest(body);
        let place = self.places.get(&(seat.family, body)).copied();
        let by = |s: &Said| s.from == *from && s.incarnation == incarnation;
        let Some(place) = place.filter(|place| by(&self.committed[&seat.family][place])) else {
            return Err(format!("{who} is given a broadcast of {from} that nobody has committed"));
        };
        let number = self.committed[&seat.family][&place].number;
        if let Some(fate) = self.sayers.get(&body).and_then(|sayer| self.fates.get_mut(sayer)) {
            fate.given = true;
            if fate.returned == Some(false) {
                return Err(format!("{who} is given broadcast {number} of {from}, which came back for sure"));
            }
        }
        let last = self.last_of(who, from, incarnation);
        if number <= last {
            return Err(format!("{who} is given broadcast {number} of {from} after its broadcast {last}"));
        }
        let (last, missed) = (self.at(who, seat).at, self.at(who, seat).missed);
        if let Some(last) = last.filter(|last| alone && place <= *last) {
            return Err(format!("{who} is given the broadcast at {place:?} after that at {last:?}"));
        }
        let after = last.unwrap_or(seat.since);
        let bounds = (Bound::Excluded(after), Bound::Excluded(place));
        let between = if after < place { self.unheard(who, seat.family, bounds) } else { 0 };
        self.numbers.insert((who, from.clone(), incarnation), number);
        if alone && between > missed {
            return Err(format!(
                "{who} is given the broadcast at {place:?} after that at {after:?}: {between} lie between, and it was told \
                 of {missed}"
            ));
        }
        let given = self.at(who, seat);
        given.at = last.max(Some(place));
        given.missed = missed.saturating_sub(between);
        Ok(())
    }

    /// A sender was told that its broadcast is committed.
    ///
    /// # Errors
    /// The sentence that says that it isn't, or that it was told something before.
    pub fn confirmed(&mut self, who: Observer, number: u64) -> Verdict {
        let Some(fate) = self.fates.get_mut(&(who, number)) else {
            return Err(format!("{who} is told of its broadcast {number}, which it never sent"));
        };
        if fate.committed || fate.returned.is_some() {
            return Err(format!("{who} is told twice of its broadcast {number}"));
        }
        fate.committed = true;
        if !self.known.contains(&fate.body) {
            return Err(format!("{who} is told that its broadcast {number} is committed, and nobody has it"));
        }
        Ok(())
    }

    /// A sender's broadcast came back.
    ///
    /// # Errors
    /// The sentence that says why it should not have.
    pub fn returned(&mut self, who: Observer, number: u64, uncertain: bool) -> Verdict {
        let Some(fate) = self.fates.get_mut(&(who, number)) else {
            return Err(format!("{who} gets its broadcast {number} back, which it never sent"));
        };
        if fate.committed || fate.returned.is_some() {
            return Err(format!("{who} is told twice of its broadcast {number}"));
        }
        fate.returned = Some(uncertain);
        if fate.given && !uncertain {
            return Err(format!("{who} gets its broadcast {number} back for sure, and it was given to somebody"));
        }
        Ok(())
    }

    /// A broadcast of this process that has no outcome, though there was time.
    #[must_use]
    pub fn open(&self, who: Observer) -> Option<String> {
        let all = self.fates.range((who, 0)..=(who, u64::MAX));
        let mut open = all.filter(|(_, fate)| !fate.committed && fate.returned.is_none());
        open.next().map(|((_, number), _)| format!("broadcast {number} of {who} has no outcome"))
    }

    /// What a receiver that was there all the time wasn't given and not told of, though there was time.
    #[must_use]
    pub fn lacks(&mut self, who: Observer, seat: Seat) -> Option<String> {
        let given = self.at(who, seat).clone();
        let at = given.at.unwrap_or(seat.since);
        let rest = self.unheard(who, seat.family, (Bound::Excluded(at), Bound::Unbounded));
        let text = || format!("{who} was given all up to {at:?}, and {rest} follow; it was told of {}", given.missed);
        (rest > given.missed).then(text)
    }

    /// How many were accepted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::types::{Index, Term};

    const A: Observer = Observer { node: 0, run: 1 };
    const B: Observer = Observer { node: 1, run: 1 };
    const L: Lineage = Lineage(7);
    const SEAT: Seat = Seat { home: 1, lineage: L, family: L, since: Position { term: Term(0), index: Index(0) } };

    /// What happens, a letter and a number each: sent, committed as the next, given to another, missed so many, confirmed, came
    /// back for sure, came back perhaps sent.
    fn history(steps: &[(char, u64)]) -> (Verdict, Option<String>, Option<String>) {
        let a = NodeId::new("a").unwrap();
        let (mut c, mut last, mut places) = (Broadcasts::default(), Ok(()), 0);
        for (what, n) in steps {
            let body = [*n as u8];
            last = match what {
                's' => {
                    c.accepted(A, *n, &body);
                    Ok(())
                }
                'c' => {
                    places += 1;
                    let place = Position { term: Term(1), index: Index(places) };
                    c.committed((L, true), place, (&a, Incarnation(1), *n), &body)
                }
                'g' => c.given(B, SEAT, true, (&a, Incarnation(1)), &body),
                'm' => {
                    c.missed(B, SEAT, *n);
                    Ok(())
                }
                'o' => c.confirmed(A, *n),
                'r' => c.returned(A, *n, false),
                _ => c.returned(A, *n, true),
            };
        }
        (last, c.open(A), c.lacks(B, SEAT))
    }

    #[test]
    fn histories_that_must_not_be_are_seen() {
        let cases: &[(&[(char, u64)], bool)] = &[
            (&[('s', 1), ('c', 1), ('g', 1)], true),
            (&[('s', 1), ('g', 1)], false),
            (&[('s', 1), ('c', 1), ('g', 1), ('g', 1)], false),
            (&[('s', 1), ('c', 1), ('c', 1)], false),
            (&[('s', 1), ('s', 2), ('c', 1), ('c', 2), ('g', 2)], false),
            (&[('s', 1), ('s', 2), ('c', 1), ('c', 2), ('m', 1), ('g', 2)], true),
            (&[('s', 1), ('s', 2), ('c', 1), ('c', 2), ('m', 1), ('g', 2), ('g', 1)], false),
            (&[('s', 1), ('s', 2), ('c', 2), ('c', 1), ('g', 2), ('g', 1)], false),
            (&[('s', 1), ('o', 1)], false),
            (&[('s', 1), ('c', 1), ('o', 1)], true),
            (&[('s', 1), ('c', 1), ('o', 1), ('o', 1)], false),
            (&[('s', 1), ('u', 1), ('o', 1)], false),
            (&[('s', 1), ('c', 1), ('g', 1), ('r', 1)], false),
            (&[('s', 1), ('c', 1), ('g', 1), ('u', 1)], true),
            (&[('s', 1), ('r', 1), ('c', 1), ('g', 1)], false),
            (&[('r', 1)], false),
        ];
        for (steps, allowed) in cases {
            let (verdict, ..) = history(steps);
            assert_eq!(verdict.is_ok(), *allowed, "{steps:?}: {verdict:?}");
        }
    }

    #[test]
    fn what_has_no_outcome_and_what_is_lacking_is_seen_at_the_end() {
        let (_, open, lacks) = history(&[('s', 1), ('s', 2), ('c', 1), ('o', 1), ('g', 1)]);
        assert!(open.is_some() && lacks.is_none());
        let (_, open, lacks) = history(&[('s', 1), ('c', 1), ('o', 1)]);
        assert!(open.is_none() && lacks.is_some());
        assert!(history(&[('s', 1), ('c', 1), ('o', 1), ('m', 1)]).2.is_none());
    }
}
