//! Property 6, as far as messages are concerned: each that was accepted is delivered or comes back, is delivered at most
//! once, and in order.

use super::{Observer, Verdict};
use crate::types::NodeId;
use std::collections::BTreeMap;

/// What became of a message.
#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    number: u64,
    delivered: bool,
    /// It came back, and whether it may have been delivered all the same.
    returned: Option<bool>,
    /// For it is larger than what the receiver takes.
    too_large: bool,
}

/// A receiver and a body.
type Sent = (NodeId, Vec<u8>);

/// All messages that were sent by the stream lane, and by the datagram lane.
#[derive(Debug, Default)]
pub struct Messages {
    /// By sender; of messages that are alike the oldest counts first.
    sent: BTreeMap<(NodeId, Observer), BTreeMap<Sent, Vec<Fate>>>,
    /// Those that can't come back any more, and may yet be delivered.
    runs: BTreeMap<NodeId, Vec<Observer>>,
    /// Each sender's messages that a receiver was given last.
    last: BTreeMap<(Observer, Observer), u64>,
    notes: BTreeMap<(NodeId, Sent), u64>,
    count: u64,
}

impl Messages {
    /// A message was accepted.
    pub fn accepted(&mut self, who: Observer, from: &NodeId, to: &NodeId, body: &[u8]) {
        self.count += 1;
        let runs = self.runs.entry(from.clone()).or_default();
        if !runs.contains(&who) {
            runs.push(who);
        }
        let fates = self.sent.entry((from.clone(), who)).or_default().entry((to.clone(), body.to_vec())).or_default();
        fates.push(Fate { number: self.count, ..Fate::default() });
    }

    /// A datagram was accepted.
    pub fn note_accepted(&mut self, from: &NodeId, to: &NodeId, body: &[u8]) {
        *self.notes.entry((from.clone(), (to.clone(), body.to_vec()))).or_default() += 1;
    }

    /// A message was delivered.
    ///
    /// # Errors
    /// The sentence that says why it should not have been.
    pub fn delivered(&mut self, who: Observer, at: &NodeId, from: &NodeId, body: &[u8]) -> Verdict {
        let key = (at.clone(), body.to_vec());
        let mut twice = false;
        for run in self.runs.get(from).into_iter().flatten() {
            let Some(fates) = self.sent.get_mut(&(from.clone(), *run)).and_then(|sent| sent.get_mut(&key)) else {
                continue;
            };
            let Some(fate) = fates.iter_mut().find(|f| !f.delivered) else {
                twice = true;
                continue;
            };
            fate.delivered = true;
            if fate.returned == Some(false) {
                return Err(format!("{at} is given message {} of {from}, which came back for sure", fate.number));
            }
            let last = self.last.entry((*run, who)).or_default();
            if fate.number < *last {
                return Err(format!("{at} is given message {} of {from} after its message {last}", fate.number));
            }
            *last = fate.number;
            return Ok(());
        }
        let how = if twice { "twice" } else { "though it was never sent to it" };
        Err(format!("{at} is given a message of {from} {how}: {:02x?}", &body[..body.len().min(16)]))
    }

    /// A datagram was delivered: perhaps twice, but not one that was never sent.
    ///
    /// # Errors
    /// The sentence that says that it wasn't.
    pub fn note_delivered(&mut self, at: &NodeId, from: &NodeId, body: &[u8]) -> Verdict {
        if self.notes.contains_key(&(from.clone(), (at.clone(), body.to_vec()))) {
            return Ok(());
        }
        Err(format!("{at} is given a datagram that {from} never sent to it"))
    }

    /// A message came back.
    ///
    /// # Errors
    /// The sentence that says why it should not have.
    pub fn returned(&mut self, who: Observer, from: &NodeId, to: &NodeId, body: &[u8], uncertain: bool) -> Verdict {
        let key = (to.clone(), body.to_vec());
        let fates = self.sent.get_mut(&(from.clone(), who)).and_then(|sent| sent.get_mut(&key));
        let Some(fate) = fates.and_then(|fates| fates.iter_mut().find(|f| f.returned.is_none())) else {
            return Err(format!("a message to {to} comes back to {from} that it hadn't sent, or a second time"));
        };
        fate.returned = Some(uncertain);
        if fate.delivered && !uncertain {
            return Err(format!("message {} of {from} comes back for sure, and {to} was given it", fate.number));
        }
        Ok(())
    }

    /// What came back last of these was too large for its receiver: wherever that is, it never gets there.
    pub fn too_large(&mut self, who: Observer, from: &NodeId, to: &NodeId, body: &[u8]) {
        let fates = self.sent.get_mut(&(from.clone(), who)).and_then(|sent| sent.get_mut(&(to.clone(), body.to_vec())));
        fates.into_iter().flatten().filter(|f| f.returned.is_some()).for_each(|f| f.too_large = true);
    }

    /// A message of this process that was neither delivered nor came back, though there was time.
    #[must_use]
    pub fn open(&self, who: Observer, from: &NodeId) -> Option<String> {
        let sent = self.sent.get(&(from.clone(), who))?;
        for ((to, body), fates) in sent {
            if let Some(fate) = fates.iter().find(|f| !f.delivered && f.returned.is_none()) {
                let (n, len) = (fate.number, body.len());
                return Some(format!(
                    "message {n} of {from} to {to}, {len} bytes, was neither delivered nor came back"
                ));
            }
        }
        None
    }

    /// A message after the first so many that was not delivered.
    #[must_use]
    pub fn undelivered(&self, after: u64) -> Option<String> {
        for ((from, _), sent) in &self.sent {
            for ((to, _), fates) in sent {
                if let Some(fate) = fates.iter().find(|f| f.number > after && !f.delivered && !f.too_large) {
                    let n = fate.number - after;
                    let how = if fate.returned.is_some() { "came back" } else { "was not delivered" };
                    return Some(format!("message {n} of them, of {from} to {to}, {how}"));
                }
            }
        }
        None
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

    const A: Observer = Observer { node: 0, run: 1 };
    const B: Observer = Observer { node: 1, run: 1 };

    /// What happens, a letter and a message each: accepted, delivered, came back for sure, came back perhaps delivered.
    fn history(steps: &[(char, u8)]) -> (Verdict, Option<String>) {
        let [a, b] = ["a", "b"].map(|id| NodeId::new(id).unwrap());
        let mut c = Messages::default();
        let mut last = Ok(());
        for (what, n) in steps {
            last = match what {
                's' => {
                    c.accepted(A, &a, &b, &[*n]);
                    Ok(())
                }
                'd' => c.delivered(B, &b, &a, &[*n]),
                'r' => c.returned(A, &a, &b, &[*n], false),
                _ => c.returned(A, &a, &b, &[*n], true),
            };
        }
        (last, c.open(A, &a))
    }

    #[test]
    fn histories_that_must_not_be_are_seen() {
        let cases: &[(&[(char, u8)], bool)] = &[
            (&[('s', 1), ('d', 1)], true),
            (&[('d', 1)], false),
            (&[('s', 1), ('d', 1), ('d', 1)], false),
            (&[('s', 1), ('s', 1), ('d', 1), ('d', 1)], true),
            (&[('s', 1), ('s', 2), ('d', 2), ('d', 1)], false),
            (&[('s', 1), ('s', 2), ('u', 1), ('d', 2)], true),
            (&[('s', 1), ('r', 1), ('d', 1)], false),
            (&[('s', 1), ('u', 1), ('d', 1)], true),
            (&[('s', 1), ('d', 1), ('r', 1)], false),
            (&[('s', 1), ('d', 1), ('u', 1)], true),
            (&[('s', 1), ('u', 1), ('u', 1)], false),
            (&[('r', 1)], false),
        ];
        for (steps, allowed) in cases {
            let (verdict, _) = history(steps);
            assert_eq!(verdict.is_ok(), *allowed, "{steps:?}: {verdict:?}");
        }
    }

    #[test]
    fn what_is_lost_is_seen_at_the_end() {
        assert!(history(&[('s', 1), ('s', 2), ('d', 1)]).1.is_some());
        assert!(history(&[('s', 1), ('s', 2), ('d', 1), ('u', 2)]).1.is_none());
    }
}
