//! Questions for whoever has a capability: where each of them is, and what came of it.
//!
//! Properties: a question is given to one embedder at most, wherever it was sent; each ends with one outcome, within a
//! bound; one that was certainly given to nobody goes to another member that has the capability, and comes back where
//! there is none; what waits, here and there, is bounded.

use super::event::{AskOutcome, Event, Undelivered};
use super::limits;
use super::planted::{Bug, Planted};
use crate::types::{Capabilities, Incarnation, NodeId, Time};
use crate::wire::{Ask, AskPart};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Questions of this node that are open.
const MAX_OPEN: usize = 1_024;
/// Questions that wait for this node's embedder.
const MAX_WAITING: usize = 1_024;
/// Capabilities of which it is remembered who has them.
const MAX_CHOSEN: usize = 64;
/// To how many members a question goes, one after the other, that none of them took.
const MAX_TRIES: u32 = 8;

/// Where a question is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Nobody is chosen yet.
    Seeking,
    /// It is on its way to this one, or there, as the incarnation that the roll had then, where that is known.
    With(NodeId, Option<Incarnation>),
}

#[derive(Debug, Clone)]
struct Open {
    /// The embedder's number for it.
    number: u64,
    incarnation: Incarnation,
    wanted: Capabilities,
    body: Bytes,
    state: State,
    tries: u32,
    next: Time,
    until: Time,
}

/// A question that came in.
#[derive(Debug, Clone)]
struct Waiting {
    from: NodeId,
    /// Of the question, and of who sent it.
    asked_as: Incarnation,
    ask: u64,
    wanted: Capabilities,
    body: Bytes,
}

#[derive(Debug, Clone)]
pub(super) struct Asks {
    open: BTreeMap<u64, Open>,
    /// Counts the questions: numbers are never used again.
    asked: u64,
    /// What the open ones hold.
    held: usize,
    /// Who was chosen last for a capability, and until when that is good.
    chosen: Vec<(Capabilities, NodeId, Time)>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    me: Incarnation,
    outcomes: VecDeque<Event>,
    patience: Duration,
    most: usize,
    pub(super) bug: Planted,
}

impl Asks {
    /// `patience`: how long an answer is waited for; `most`: what may be held, of its own and of what came in.
    pub(super) fn new(patience: Duration, most: usize) -> Self {
        Self {
            open: BTreeMap::new(),
            asked: 0,
            held: 0,
            chosen: Vec::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            me: Incarnation::ZERO,
            outcomes: VecDeque::new(),
            patience,
            most,
            bug: Planted::default(),
        }
    }

    /// The node begins anew: what was told of its questions is told yet, and no number is used again.
    pub(super) fn go_on_after(&mut self, before: &mut Self) {
        self.asked = before.asked;
        self.outcomes = std::mem::take(&mut before.outcomes);
        self.bug = before.bug;
    }

    /// False where too many are open.
    pub(super) fn ask(&mut self, now: Time, me: Incarnation, number: u64, wanted: Capabilities, body: Bytes) -> bool {
        let cost = limits::cost(body.len());
        if self.open.len() >= MAX_OPEN || self.held + cost > self.most || self.outcomes.len() >= MAX_OPEN {
            return false;
        }
        self.held += cost;
        self.asked += 1;
        let until = now + self.patience;
        let (state, incarnation) = (State::Seeking, me);
        let open = Open { number, incarnation, wanted, body, state, tries: 0, next: now, until };
        self.open.insert(self.asked, open);
        true
    }

    fn end(&mut self, ask: u64, outcome: impl FnOnce(Bytes) -> AskOutcome) {
        let Some(open) = self.open.remove(&ask) else { return };
        self.held -= limits::cost(open.body.len());
        self.outcomes.push_back(Event::Reply { number: open.number, outcome: outcome(open.body) });
    }

    /// The next question for which somebody is to be chosen, and what it wants.
    pub(super) fn due(&self, now: Time) -> Vec<(u64, Capabilities)> {
        let due = |open: &Open| open.state == State::Seeking && now >= open.next;
        self.open.iter().filter(|(_, open)| due(open)).map(|(ask, open)| (*ask, open.wanted.clone())).collect()
    }

    /// Who was chosen for a capability, where that is still good.
    pub(super) fn chosen(&self, now: Time, wanted: &Capabilities) -> Option<&NodeId> {
        self.chosen.iter().find(|(w, _, until)| w == wanted && now < *until).map(|(_, id, _)| id)
    }

    pub(super) fn choose(&mut self, wanted: &Capabilities, id: NodeId, until: Time) {
        self.chosen.retain(|(w, ..)| w != wanted);
        if self.chosen.len() >= MAX_CHOSEN {
            self.chosen.remove(0);
        }
        self.chosen.push((wanted.clone(), id, until));
    }

    /// A question goes to this one; what it says.
    pub(super) fn sent(&mut self, ask: u64, to: &NodeId, incarnation: Option<Incarnation>) -> Option<Ask> {
        let open = self.open.get_mut(&ask)?;
        open.state = State::With(to.clone(), incarnation);
        open.tries += 1;
        let what = AskPart::Question(open.wanted.clone(), open.body.clone());
        Some(Ask { number: ask, incarnation: open.incarnation, what })
    }

    /// Not yet: it is tried again then.
    pub(super) fn later(&mut self, ask: u64, at: Time) {
        if let Some(open) = self.open.get_mut(&ask) {
            (open.state, open.next) = (State::Seeking, at);
        }
    }

    /// Nobody has the capability.
    pub(super) fn nobody(&mut self, ask: u64) {
        self.end(ask, |body| AskOutcome::Undelivered(Undelivered::NoSuchMember, body));
    }

    /// It didn't get to whom it was sent. `uncertain`: it may have.
    pub(super) fn failed(
        &mut self,
        now: Time,
        (to, ask): (&NodeId, &Ask),
        why: Undelivered,
        uncertain: bool,
        pause: Duration,
    ) {
        let number = ask.number;
        let Some(open) = self.open.get(&number).filter(|o| o.incarnation == ask.incarnation) else { return };
        if !matches!(&open.state, State::With(id, _) if id == to) {
            return;
        }
        if uncertain && !self.bug.has(Bug::AskAgain) {
            return self.end(number, |_| AskOutcome::Unknown(to.clone()));
        }
        self.chosen.retain(|(w, ..)| *w != open.wanted);
        if open.tries >= MAX_TRIES {
            self.end(number, |body| AskOutcome::Undelivered(why, body));
        } else {
            self.later(number, now + pause);
        }
    }

    /// What came of it at the one that it was sent to; false where that is of no interest any more.
    pub(super) fn answered(&mut self, now: Time, from: &NodeId, ask: Ask, pause: Duration) -> bool {
        let Some(open) = self.open.get(&ask.number).filter(|o| o.incarnation == ask.incarnation) else { return false };
        if !matches!(&open.state, State::With(id, _) if id == from) {
            return false;
        }
        match &ask.what {
            AskPart::Reply(body) => {
                let (from, body) = (from.clone(), body.clone());
                if self.bug.has(Bug::AnswerTwice) {
                    let outcome = AskOutcome::Answered { from: from.clone(), body: body.clone() };
                    self.outcomes.push_back(Event::Reply { number: open.number, outcome });
                }
                self.end(ask.number, |_| AskOutcome::Answered { from, body });
            }
            AskPart::NotMine => self.failed(now, (from, &ask), Undelivered::NoSuchMember, false, pause),
            AskPart::Busy => self.failed(now, (from, &ask), Undelivered::Stalled, false, pause),
            AskPart::Question(..) => return false,
        }
        true
    }

    /// True where nothing is open.
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// Who was given a question, or will be, as which incarnation.
    pub(super) fn with_whom(&self) -> impl Iterator<Item = (NodeId, Incarnation)> + '_ {
        self.open.values().filter_map(|open| match &open.state {
            State::With(id, Some(incarnation)) => Some((id.clone(), *incarnation)),
            _ => None,
        })
    }

    /// Whose outcome is known by time, or by who has left: `gone`.
    pub(super) fn expire(&mut self, now: Time, gone: impl Fn(&NodeId, Incarnation) -> bool) {
        let over = |open: &Open| match &open.state {
            State::With(id, Some(incarnation)) => now >= open.until || gone(id, *incarnation),
            _ => now >= open.until,
        };
        for ask in self.open.iter().filter(|(_, open)| over(open)).map(|(ask, _)| *ask).collect::<Vec<_>>() {
            match self.open.get(&ask).map(|open| open.state.clone()) {
                Some(State::With(id, _)) => self.end(ask, |_| AskOutcome::Unknown(id)),
                _ => self.end(ask, |body| AskOutcome::Undelivered(Undelivered::Unreachable, body)),
            }
        }
    }

    pub(super) fn deadline(&self) -> Time {
        let at = |open: &Open| if open.state == State::Seeking { open.until.min(open.next) } else { open.until };
        self.open.values().map(at).min().unwrap_or(Time::NEVER)
    }

    /// What the node is. Where that is another incarnation now, those that nobody has yet go out as that; of the others
    /// nobody tells this one.
    pub(super) fn renew(&mut self, me: Incarnation) {
        if std::mem::replace(&mut self.me, me) == me {
            return;
        }
        let mut lost = Vec::new();
        for (ask, open) in &mut self.open {
            match &open.state {
                State::With(id, _) => lost.push((*ask, id.clone())),
                State::Seeking => open.incarnation = me,
            }
        }
        lost.into_iter().for_each(|(ask, id)| self.end(ask, |_| AskOutcome::Unknown(id)));
    }

    /// The node stops, or begins anew.
    pub(super) fn stop(&mut self) {
        for ask in self.open.keys().copied().collect::<Vec<_>>() {
            match self.open.get(&ask).map(|open| open.state.clone()) {
                Some(State::With(id, _)) => self.end(ask, |_| AskOutcome::Unknown(id)),
                _ => self.end(ask, |body| AskOutcome::Undelivered(Undelivered::Stopped, body)),
            }
        }
        self.waiting.clear();
        self.waiting_bytes = 0;
    }

    // ---- What is asked of this node ----

    /// A question for this node's embedder; false where too many wait.
    pub(super) fn arrived(
        &mut self,
        from: &NodeId,
        ask: u64,
        as_: Incarnation,
        wanted: Capabilities,
        body: Bytes,
    ) -> bool {
        let cost = limits::cost(body.len());
        if self.waiting.len() >= MAX_WAITING || self.waiting_bytes + cost > self.most {
            return false;
        }
        self.waiting_bytes += cost;
        self.waiting.push_back(Waiting { from: from.clone(), asked_as: as_, ask, wanted, body });
        true
    }

    /// Who asked has left, up to this incarnation: nobody waits for what its questions come to.
    pub(super) fn sender_left(&mut self, id: &NodeId, incarnation: Incarnation) {
        let bytes = &mut self.waiting_bytes;
        self.waiting.retain(|w| {
            let stays = w.from != *id || w.asked_as > incarnation;
            *bytes -= if stays { 0 } else { limits::cost(w.body.len()) };
            stays
        });
    }

    /// What the embedder is told next of its own questions.
    pub(super) fn poll_outcome(&mut self) -> Option<Event> {
        self.outcomes.pop_front()
    }

    /// The next question.
    pub(super) fn poll_asked(&mut self) -> Option<Event> {
        let Waiting { from, asked_as, ask, wanted, body } = self.waiting.pop_front()?;
        self.waiting_bytes -= limits::cost(body.len());
        let (key, value) = wanted.iter().next().map(|(k, v)| (k.to_owned(), v.to_owned())).unwrap_or_default();
        Some(Event::Asked { from, incarnation: asked_as, number: ask, key, value, body })
    }

    pub(super) fn has_any(&self) -> bool {
        !self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PAUSE: Duration = Duration::from_millis(10);

    fn at(ms: u64) -> Time {
        Time::from_micros(ms * 1_000)
    }

    fn asked() -> (Asks, NodeId, Ask) {
        let mut wanted = Capabilities::new();
        wanted.set("source", "yes").unwrap();
        let mut asks = Asks::new(Duration::from_secs(1), 1 << 20);
        assert!(asks.ask(at(0), Incarnation(5), 77, wanted, Bytes::from_static(b"?")));
        let (ask, _) = asks.due(at(0)).remove(0);
        let id = NodeId::new("b").unwrap();
        let ask = asks.sent(ask, &id, Some(Incarnation(9))).unwrap();
        (asks, id, ask)
    }

    fn outcome(asks: &mut Asks) -> Option<AskOutcome> {
        match asks.poll_outcome()? {
            Event::Reply { number: 77, outcome } => Some(outcome),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_counts_once_and_from_whom_was_asked() {
        let (mut asks, b, ask) = asked();
        let reply = Ask { what: AskPart::Reply(Bytes::from_static(b"!")), ..ask };
        assert!(!asks.answered(at(1), &NodeId::new("c").unwrap(), reply.clone(), PAUSE));
        assert!(asks.answered(at(1), &b, reply.clone(), PAUSE));
        assert!(!asks.answered(at(2), &b, reply, PAUSE));
        assert_eq!(outcome(&mut asks), Some(AskOutcome::Answered { from: b, body: Bytes::from_static(b"!") }));
        assert_eq!((outcome(&mut asks), asks.held), (None, 0));
    }

    #[test]
    fn what_may_have_been_given_is_not_given_to_another() {
        let (mut asks, b, ask) = asked();
        asks.failed(at(1), (&b, &ask), Undelivered::Left, true, PAUSE);
        assert_eq!(outcome(&mut asks), Some(AskOutcome::Unknown(b)));
        let (mut asks, b, ask) = asked();
        asks.failed(at(1), (&b, &ask), Undelivered::Left, false, PAUSE);
        assert_eq!((outcome(&mut asks), asks.due(at(11)).len()), (None, 1), "it goes to another one");
        asks.sent(ask.number, &b, Some(Incarnation(9))).unwrap();
        asks.expire(at(12), |id, incarnation| *id == b && incarnation == Incarnation(9));
        assert_eq!(outcome(&mut asks), Some(AskOutcome::Unknown(b)), "who was given it has left");
    }

    #[test]
    fn who_left_asks_nothing_any_more() {
        let (mut asks, b, _) = asked();
        let wanted = Capabilities::new();
        for (ask, as_) in [(1, 5), (2, 6), (3, 6)] {
            assert!(asks.arrived(&b, ask, Incarnation(as_), wanted.clone(), Bytes::from_static(b"?")));
        }
        asks.sender_left(&NodeId::new("c").unwrap(), Incarnation(9));
        asks.sender_left(&b, Incarnation(5));
        assert!(matches!(asks.poll_asked(), Some(Event::Asked { number: 2, .. })));
        asks.sender_left(&b, Incarnation(6));
        assert!(asks.poll_asked().is_none() && asks.waiting_bytes == 0);
    }

    #[test]
    fn another_incarnation_asks_what_nobody_has_yet() {
        let (mut asks, b, _) = asked();
        assert!(asks.ask(at(0), Incarnation(5), 78, Capabilities::new(), Bytes::new()));
        asks.renew(Incarnation(6));
        assert_eq!(outcome(&mut asks), Some(AskOutcome::Unknown(b.clone())), "that one isn't told any more");
        let last = asks.asked;
        assert_eq!(asks.sent(last, &b, None).unwrap().incarnation, Incarnation(6));
    }

    #[test]
    fn each_ends_in_time() {
        let (mut asks, b, ask) = asked();
        assert_eq!(asks.deadline(), at(1_000));
        asks.expire(at(1_000), |_, _| false);
        assert_eq!(outcome(&mut asks), Some(AskOutcome::Unknown(b)));
        let (mut asks, b, ask2) = asked();
        assert_eq!(ask, ask2);
        for n in 1..MAX_TRIES {
            asks.failed(at(n.into()), (&b, &ask), Undelivered::Unreachable, false, PAUSE);
            asks.sent(ask.number, &b, None).unwrap();
        }
        asks.failed(at(20), (&b, &ask), Undelivered::Unreachable, false, PAUSE);
        assert!(matches!(outcome(&mut asks), Some(AskOutcome::Undelivered(Undelivered::Unreachable, _))));
    }
}
