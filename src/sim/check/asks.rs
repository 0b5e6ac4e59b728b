//! Property 6, as far as questions by capability are concerned: each is given to one embedder at most, ends with one
//! outcome, and one that is told to have been given to nobody never is.

use super::{Observer, Verdict};
use crate::proto::AskOutcome;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, Default)]
struct Question {
    given: bool,
    ended: bool,
    /// It was told to have been given to nobody.
    nobody: bool,
}

/// All questions, by what they say: no two say the same.
#[derive(Debug, Default)]
pub struct Asks {
    all: BTreeMap<Vec<u8>, Question>,
    /// Who asked what, by the number.
    numbers: BTreeMap<(Observer, u64), Vec<u8>>,
}

impl Asks {
    /// A question was accepted.
    pub fn asked(&mut self, who: Observer, number: u64, body: &[u8]) {
        self.all.entry(body.to_vec()).or_default();
        self.numbers.insert((who, number), body.to_vec());
    }

    /// It wasn't accepted after all.
    pub fn refused(&mut self, who: Observer, number: u64) {
        self.numbers.remove(&(who, number));
    }

    /// A question was given to an embedder.
    ///
    /// # Errors
    /// The sentence that says why it should not have been.
    pub fn given(&mut self, who: Observer, body: &[u8]) -> Verdict {
        let shown = String::from_utf8_lossy(body).into_owned();
        let Some(question) = self.all.get_mut(body) else {
            return Err(format!("{who} is given a question that nobody asked: {shown}"));
        };
        if question.nobody {
            return Err(format!("{who} is given the question {shown}, which came back for sure"));
        }
        if std::mem::replace(&mut question.given, true) {
            return Err(format!("{who} is given the question {shown}, which was given before"));
        }
        Ok(())
    }

    /// An outcome was told.
    ///
    /// # Errors
    /// The sentence that says why it should not have been.
    pub fn ended(&mut self, who: Observer, number: u64, outcome: &AskOutcome) -> Verdict {
        let question = self.numbers.get(&(who, number)).and_then(|body| self.all.get_mut(body));
        let Some(question) = question else {
            return Err(format!("{who} hears of question {number}, which it never asked"));
        };
        if std::mem::replace(&mut question.ended, true) {
            return Err(format!("{who} hears a second time what came of question {number}"));
        }
        match outcome {
            AskOutcome::Answered { .. } if !question.given => {
                Err(format!("question {number} of {who} is answered by nobody"))
            }
            AskOutcome::Undelivered(..) if question.given => {
                Err(format!("question {number} of {who} comes back for sure, and was given"))
            }
            AskOutcome::Undelivered(..) => {
                question.nobody = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A question of this process of whose outcome nothing was told.
    #[must_use]
    pub fn open(&self, who: Observer) -> Option<String> {
        let of = self.numbers.range((who, 0)..=(who, u64::MAX));
        let ended = |body: &Vec<u8>| self.all.get(body).is_none_or(|q| q.ended);
        of.into_iter().find(|(_, body)| !ended(body)).map(|((_, n), _)| format!("question {n} of {who} never ended"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::proto::Undelivered;
    use crate::types::NodeId;

    #[test]
    fn histories_that_must_not_be_are_seen() {
        let who = Observer { node: 0, run: 1 };
        let answered = || AskOutcome::Answered { from: NodeId::new("b").unwrap(), body: "!".into() };
        let nobody = || AskOutcome::Undelivered(Undelivered::NoSuchMember, "?".into());
        let fresh = || {
            let mut asks = Asks::default();
            asks.asked(who, 1, b"?");
            asks
        };
        let mut a = fresh();
        assert!(a.given(who, b"?").is_ok() && a.open(who).is_some() && a.ended(who, 1, &answered()).is_ok());
        assert!(a.open(who).is_none() && a.ended(who, 1, &answered()).is_err(), "twice");
        assert!(a.given(who, b"?").is_err() && a.given(who, b"!").is_err());
        assert!(fresh().ended(who, 1, &answered()).is_err(), "by nobody");
        let mut a = fresh();
        assert!(a.given(who, b"?").is_ok() && a.ended(who, 1, &nobody()).is_err());
        let mut a = fresh();
        assert!(a.ended(who, 1, &nobody()).is_ok() && a.given(who, b"?").is_err());
    }
}
