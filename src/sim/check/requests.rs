//! Property 6 for requests to the leader: each is given to one embedder at most, and only once; what its sender is told to be
//! the answer is what the one that was given it answered, and was committed before; each has one outcome.
//!
//! As each takes effect where it is given, that makes their history linearizable (Herlihy and Wing 1990): an answered one
//! takes effect between its asking and its answer, one whose outcome is unknown once after its asking, or never.
//!
//! Requests are told apart by what they say: no two may say the same.

use super::{Observer, Verdict};
use crate::types::{Incarnation, Index, Lineage, NodeId};
use crate::wire::Outcome;
use std::collections::{BTreeMap, BTreeSet};

/// Within so many microseconds of an answer somebody has shown that it is committed.
const SHOWN_WITHIN: u64 = 200_000;

#[derive(Debug)]
struct Asked {
    who: Observer,
    from: NodeId,
    number: u64,
    again: bool,
    given: u32,
    /// What embedders answered.
    answers: BTreeSet<Vec<u8>>,
    /// What its sender was told; the inner nothing: that it is unknown.
    outcome: Option<Option<Vec<u8>>>,
}

/// Whose answer, to which number, saying what.
type Response = (NodeId, u64, Vec<u8>);

/// All requests that were asked.
#[derive(Debug, Default)]
pub struct Requests {
    asked: BTreeMap<Vec<u8>, Asked>,
    by_number: BTreeMap<(Observer, u64), Vec<u8>>,
    /// The answers that stand in somebody's committed roll.
    committed: BTreeSet<Response>,
    /// Those that reached their sender at this time, and for which that is still to be seen.
    unproven: Vec<(u64, Response)>,
    tables: BTreeMap<(Lineage, Index), (u64, Observer)>,
    over: BTreeMap<(Lineage, NodeId, Incarnation, u64), Outcome>,
    counts: [u64; 4],
}

impl Requests {
    /// True where anything was asked.
    #[must_use]
    pub fn any(&self) -> bool {
        !self.asked.is_empty()
    }

    /// A node accepted a request.
    ///
    /// # Errors
    /// The sentence that says that it used this number before, or that another one says the same.
    pub fn asked(&mut self, who: Observer, from: &NodeId, number: u64, again: bool, body: &[u8]) -> Verdict {
        self.counts[0] += 1;
        let asked = Asked { who, from: from.clone(), number, again, given: 0, answers: BTreeSet::new(), outcome: None };
        let twice = self.by_number.insert((who, number), body.to_vec()).is_some();
        if twice || self.asked.insert(body.to_vec(), asked).is_some() {
            return Err(format!("{who} asks twice as number {number}, or what was asked before"));
        }
        Ok(())
    }

    /// An embedder was given a request.
    ///
    /// # Errors
    /// The sentence that says why it should not have been.
    pub fn given(&mut self, at: Observer, from: &NodeId, number: u64, again: bool, body: &[u8]) -> Verdict {
        let Some(asked) = self.asked.get_mut(body) else {
            return Err(format!("{at} was given request {number} of {from}, which nobody asked"));
        };
        if (&asked.from, asked.number, asked.again) != (from, number, again) {
            return Err(format!("{at} was given request {number} of {from}, which is another one's"));
        }
        asked.given += 1;
        self.counts[1] += 1;
        if !again && asked.given > 1 {
            return Err(format!("{at} was given request {number} of {from}, for the second time"));
        }
        if !again && matches!(asked.outcome, Some(Some(_))) {
            return Err(format!("{at} was given request {number} of {from}, which was answered before"));
        }
        Ok(())
    }

    /// An embedder answered, and its node took the answer.
    pub fn answered(&mut self, _from: &NodeId, body: &[u8], answer: &[u8]) {
        if let Some(asked) = self.asked.get_mut(body) {
            asked.answers.insert(answer.to_vec());
        }
    }

    /// An answer stands in the committed roll of a node.
    pub fn committed(&mut self, from: &NodeId, number: u64, answer: &[u8]) {
        self.committed.insert((from.clone(), number, answer.to_vec()));
    }

    /// What a node's committed roll keeps of requests; true where it is the first that shows this index.
    ///
    /// # Errors
    /// The sentence that says whose was another at the same index.
    pub fn table(&mut self, who: Observer, lineage: Lineage, index: Index, digest: u64) -> Result<bool, String> {
        match self.tables.insert((lineage, index), (digest, who)) {
            None => Ok(true),
            Some((first, _)) if first == digest => Ok(false),
            Some((_, by)) => {
                Err(format!("what {who} and {by} keep of requests in lineage {lineage} at {index} differs"))
            }
        }
    }

    /// A node's committed roll says that a request is over.
    ///
    /// # Errors
    /// The sentence that says that it was told to be over otherwise.
    pub fn over(
        &mut self,
        lineage: Lineage,
        (from, incarnation, number): (&NodeId, Incarnation, u64),
        outcome: &Outcome,
    ) -> Verdict {
        let key = (lineage, from.clone(), incarnation, number);
        let first = self.over.entry(key).or_insert_with(|| outcome.clone());
        if first != outcome {
            return Err(format!("request {number} of {from} was over, and is over otherwise now"));
        }
        Ok(())
    }

    /// A sender was told what came of a request: an answer, or that it is unknown.
    ///
    /// # Errors
    /// The sentence that says why it can't be.
    pub fn outcome(&mut self, who: Observer, number: u64, answer: Option<&[u8]>, now: u64) -> Verdict {
        let asked = self.by_number.get(&(who, number)).and_then(|body| self.asked.get_mut(body));
        let Some(asked) = asked else { return Err(format!("{who} was told of request {number}, and asked none")) };
        if asked.outcome.is_some() {
            return Err(format!("{who} was told twice what came of request {number}"));
        }
        asked.outcome = Some(answer.map(<[u8]>::to_vec));
        let Some(answer) = answer else {
            self.counts[3] += 1;
            return Ok(());
        };
        self.counts[2] += 1;
        if asked.given == 0 || !asked.answers.contains(answer) {
            let (given, told) = (asked.given, String::from_utf8_lossy(answer).into_owned());
            return Err(format!(
                "{who} was told an answer to request {number}, given {given} times, that nobody gave: {told:?}, not one of {:?}",
                asked.answers
            ));
        }
        if !asked.again {
            self.unproven.push((now, (asked.from.clone(), number, answer.to_vec())));
        }
        Ok(())
    }

    /// What reached its sender well before this time was committed: somebody has shown it by now. (Whoever committed it first may
    /// have stepped down in the same moment, and shows nothing.)
    ///
    /// # Errors
    /// The sentence that says which answer wasn't.
    pub fn prove(&mut self, now: u64) -> Verdict {
        let mut wrong = None;
        let committed = &self.committed;
        self.unproven.retain(|(at, said)| {
            let due = *at + SHOWN_WITHIN < now;
            if due && !committed.contains(said) {
                wrong.get_or_insert_with(|| said.clone());
            }
            !due
        });
        match wrong {
            None => Ok(()),
            Some((from, number, _)) => {
                Err(format!("{from} was told an answer to request {number} that nobody had committed"))
            }
        }
    }

    /// The first request of this run of which nobody was told what came of it.
    #[must_use]
    pub fn open(&self, who: Observer) -> Option<String> {
        let mut mine = self.by_number.range((who, 0)..=(who, u64::MAX));
        let open = mine.find(|(_, body)| self.asked.get(*body).is_some_and(|a| a.outcome.is_none()))?;
        let asked = self.asked.get(open.1)?;
        let (from, number, given) = (&asked.from, asked.number, asked.given);
        debug_assert_eq!(asked.who, who);
        Some(format!("request {number} of {from}, given {given} times, has no outcome"))
    }

    /// How many were asked, given, answered, unknown.
    #[must_use]
    pub fn counts(&self) -> [u64; 4] {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const A: Observer = Observer { node: 0, run: 1 };
    const B: Observer = Observer { node: 1, run: 1 };

    /// What happens to request 1: `a`sked, a`g`ain as one that may run twice, given (`d`elivered), its embedder `e`choes, the
    /// answer is `c`ommitted, its sender is told the answer (`t`), or that it is `u`nknown; time passes (`.`).
    fn allowed(history: &str) -> bool {
        let id = NodeId::new("a").unwrap();
        let mut c = Requests::default();
        let mut again = false;
        for (now, what) in (0..).zip(history.chars()) {
            let verdict = match what {
                'a' => c.asked(A, &id, 1, false, b"q"),
                'g' => {
                    again = true;
                    c.asked(A, &id, 1, true, b"q")
                }
                'd' => c.given(B, &id, 1, again, b"q"),
                'e' => {
                    c.answered(&id, b"q", b"r");
                    Ok(())
                }
                'c' => {
                    c.committed(&id, 1, b"r");
                    Ok(())
                }
                't' => c.outcome(A, 1, Some(b"r"), now),
                'u' => c.outcome(A, 1, None, now),
                _ => c.prove(now + 2 * SHOWN_WITHIN),
            };
            if verdict.is_err() {
                return false;
            }
        }
        true
    }

    #[test]
    fn histories_that_must_not_be_are_seen() {
        for (history, good) in [
            ("adect.", true),
            ("au", true),
            ("aud", true),
            ("adecu", true),
            ("d", false),
            ("add", false),
            ("at", false),
            ("adt", false),
            ("adet.", false),
            ("adectt", false),
            ("adectu", false),
            ("adectd", false),
            ("auu", false),
            ("t", false),
            ("gddet.", true),
            ("aa", false),
        ] {
            assert_eq!(allowed(history), good, "{history}");
        }
    }

    #[test]
    fn what_is_over_stays_and_what_is_open_is_seen() {
        let id = NodeId::new("a").unwrap();
        let mut c = Requests::default();
        c.asked(A, &id, 1, false, b"q").unwrap();
        assert!(c.open(A).is_some() && c.open(B).is_none());
        c.outcome(A, 1, None, 0).unwrap();
        assert!(c.open(A).is_none());
        let (key, l) = ((&id, Incarnation(1), 1), Lineage(7));
        c.over(l, key, &Outcome::Answered("r".into())).unwrap();
        assert!(c.over(l, key, &Outcome::Answered("s".into())).is_err());
        c.table(A, l, Index(3), 1).unwrap();
        assert!(c.table(B, l, Index(3), 2).is_err());
    }
}
