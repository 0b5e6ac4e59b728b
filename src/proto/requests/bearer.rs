//! The node whose embedder was given requests: while it leads, and after.
//!
//! Properties: what was given is known until the roll says that it is over, so nothing is given twice by one process; an
//! answer is handed to each leader that comes, until one of them has committed it.

use super::super::event::Event;
use super::{Key, Place};
use crate::types::{Slot, Term};
use crate::wire::Outcome;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// So many requests that may run twice are with the embedder at most.
const MAX_AGAIN: usize = 4_096;

/// A request that the embedder has and has not answered.
#[derive(Debug, Clone)]
pub(in crate::proto) struct Given {
    /// Where its sender is on the roll; nothing where it may run twice, and the roll knows nothing of it.
    pub(in crate::proto) place: Option<Place>,
}

/// An answer that isn't committed yet.
#[derive(Debug, Clone)]
pub(in crate::proto) struct Answering {
    pub(in crate::proto) place: Place,
    pub(in crate::proto) outcome: Outcome,
    /// The leader of this term has it.
    pub(in crate::proto) sent: Option<Term>,
}

#[derive(Debug, Clone, Default)]
pub(in crate::proto) struct Bearer {
    given: BTreeMap<Key, Given>,
    again: usize,
    pub(in crate::proto) answering: BTreeMap<Key, Answering>,
    /// True where some of them may have to be sent.
    pub(in crate::proto) unsent: bool,
    /// What the embedder is to be given.
    events: VecDeque<Event>,
    bytes: usize,
    /// What this node began may have been committed without being given.
    pub(in crate::proto) unsure: bool,
}

impl Bearer {
    /// The bytes of what the embedder hasn't taken.
    pub(in crate::proto) fn bytes(&self) -> usize {
        self.bytes
    }

    /// True where no more of those that may run twice are taken.
    pub(in crate::proto) fn is_full(&self) -> bool {
        self.again >= MAX_AGAIN
    }

    /// True where this was given, or dropped, and the roll doesn't say yet that it is over.
    pub(in crate::proto) fn has(&self, key: &Key) -> bool {
        self.given.contains_key(key) || self.answering.contains_key(key)
    }

    /// Gives a request to the embedder.
    pub(in crate::proto) fn give(&mut self, key: Key, place: Option<Place>, term: Term, body: Bytes) {
        self.bytes += body.len();
        let again = place.is_none();
        self.again += usize::from(again && !self.given.contains_key(&key));
        let Key { from, incarnation, number } = key.clone();
        self.events.push_back(Event::Request { from, incarnation, number, term, again, body });
        self.given.insert(key, Given { place });
    }

    pub(in crate::proto) fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if let Event::Request { body, .. } = &event {
            self.bytes -= body.len();
        }
        Some(event)
    }

    pub(in crate::proto) fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    pub(in crate::proto) fn find(&self, key: &Key) -> Option<&Given> {
        self.given.get(key)
    }

    /// The embedder has answered it.
    pub(in crate::proto) fn take(&mut self, key: &Key) -> Option<Given> {
        let given = self.given.remove(key)?;
        self.again -= usize::from(given.place.is_none());
        Some(given)
    }

    /// What the leader is to be told of a request of a member in this place.
    pub(in crate::proto) fn answer(&mut self, key: Key, place: Place, outcome: Outcome) {
        self.answering.insert(key, Answering { place, outcome, sent: None });
        self.unsent = true;
    }

    /// The roll says that it is over, or knows it no more.
    pub(in crate::proto) fn over(&mut self, key: &Key) {
        self.answering.remove(key);
        if self.take(key).is_some() {
            self.withhold();
        }
    }

    /// What isn't begun by this node, by the roll as it is now, it needn't remember. What may run twice stands in no roll.
    pub(in crate::proto) fn keep(&mut self, mut begun: impl FnMut(&Key, Slot) -> bool) {
        self.answering.retain(|key, answering| begun(key, answering.place.0));
        let before = self.given.len();
        self.given.retain(|key, given| given.place.is_none_or(|place| begun(key, place.0)));
        if self.given.len() < before {
            self.withhold();
        }
    }

    /// Requests of an incarnation that is gone: nobody waits for their answers.
    pub(in crate::proto) fn sender_left(&mut self, gone: impl Fn(&Key) -> bool) {
        self.answering.retain(|key, _| !gone(key));
        self.given.retain(|key, _| !gone(key));
        self.again = self.given.values().filter(|given| given.place.is_none()).count();
        self.withhold();
    }

    /// What the embedder hasn't taken yet and is none of its business any more it isn't given.
    fn withhold(&mut self) {
        let (given, bytes) = (&self.given, &mut self.bytes);
        self.events.retain(|event| {
            let Event::Request { from, incarnation, number, body, .. } = event else { return true };
            let key = Key { from: from.clone(), incarnation: *incarnation, number: *number };
            let stays = given.contains_key(&key);
            *bytes -= if stays { 0 } else { body.len() };
            stays
        });
    }

    /// Whoever leads now has none of them: not even one that led in the same term elsewhere.
    pub(in crate::proto) fn hand_anew(&mut self) {
        self.answering.values_mut().for_each(|answering| answering.sent = None);
        self.unsent = !self.answering.is_empty();
    }

    /// This one has to be sent again, or another outcome instead of it.
    pub(in crate::proto) fn failed(&mut self, number: u64, place: Place, instead: Option<Outcome>) {
        for (key, answering) in &mut self.answering {
            if key.number == number && answering.place == place {
                answering.sent = None;
                answering.outcome = instead.clone().unwrap_or_else(|| answering.outcome.clone());
                self.unsent = true;
            }
        }
    }

    pub(in crate::proto) fn is_empty(&self) -> bool {
        self.given.is_empty() && self.answering.is_empty()
    }
}
