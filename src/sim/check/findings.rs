//! Property 4 for questions: each is answered at most once, and nobody is named who never said that it can do that, nor
//! twice.

use super::{Observer, Verdict};
use crate::types::{Capabilities, NodeId};
use std::collections::{BTreeMap, BTreeSet};

/// The capability that the leader has, whatever it says of itself.
const LEADER: &str = "leader";

/// What was asked, and what all ever said of themselves.
#[derive(Debug, Default)]
pub struct Findings {
    said: BTreeSet<(NodeId, String, String)>,
    open: BTreeMap<(Observer, u64), (String, String)>,
}

impl Findings {
    /// A node says from now on that it can do this.
    pub fn says(&mut self, id: &NodeId, capabilities: &Capabilities) {
        for (key, value) in capabilities.iter() {
            self.said.insert((id.clone(), key.into(), value.into()));
        }
    }

    /// A node asks who can do something.
    pub fn asked(&mut self, who: Observer, number: u64, key: &str, value: &str) {
        self.open.insert((who, number), (key.into(), value.into()));
    }

    /// It is told.
    ///
    /// # Errors
    /// The sentence that says what can't be.
    pub fn answered(&mut self, who: Observer, number: u64, members: &[NodeId], total: usize) -> Verdict {
        let Some((key, value)) = self.open.remove(&(who, number)) else {
            return Err(format!("{who} is told an answer {number}, and nothing is open"));
        };
        if members.len() > total {
            return Err(format!("{who} is told {} members of {total}", members.len()));
        }
        let mut seen = BTreeSet::new();
        for id in members {
            if !seen.insert(id) {
                return Err(format!("{who} is told {id} twice"));
            }
            if key != LEADER && !self.said.contains(&(id.clone(), key.clone(), value.clone())) {
                return Err(format!("{who} is told that {id} has {key}={value}, which it never said"));
            }
        }
        Ok(())
    }

    /// A node's run ended: nothing is answered any more.
    pub fn ended(&mut self, who: Observer) {
        self.open.retain(|(asker, _), _| *asker != who);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::slice::from_ref;

    #[test]
    fn an_answer_that_cannot_be_is_seen() {
        let (who, other) = (Observer { node: 0, run: 1 }, Observer { node: 1, run: 1 });
        let (a, b) = (NodeId::new("a").unwrap(), NodeId::new("b").unwrap());
        let mut capabilities = Capabilities::new();
        capabilities.set("k", "v").unwrap();
        let mut c = Findings::default();
        c.says(&a, &capabilities);
        for _ in 0..2 {
            c.asked(who, 1, "k", "v");
            assert!(c.answered(who, 1, from_ref(&a), 1).is_ok());
            assert!(c.answered(who, 1, from_ref(&a), 1).is_err(), "told twice");
        }
        assert!(c.answered(other, 1, &[], 0).is_err(), "never asked");
        c.asked(who, 2, "k", "v");
        assert!(c.answered(who, 2, from_ref(&b), 1).is_err(), "it never said so");
        c.asked(who, 3, "k", "w");
        assert!(c.answered(who, 3, from_ref(&a), 1).is_err(), "of another value");
        c.asked(who, 4, "k", "v");
        assert!(c.answered(who, 4, &[a.clone(), a.clone()], 2).is_err(), "named twice");
        c.asked(who, 5, "k", "v");
        assert!(c.answered(who, 5, from_ref(&a), 0).is_err(), "more than all");
        c.asked(who, 6, "leader", "yes");
        assert!(c.answered(who, 6, from_ref(&b), 1).is_ok());
        c.asked(who, 7, "k", "v");
        c.ended(who);
        assert!(c.answered(who, 7, from_ref(&a), 1).is_err());
    }
}
