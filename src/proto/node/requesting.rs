//! Requests to whoever leads, on their way between a sender, the leader, the roll and the embedder that answers.
//! The rules stand in [`super::super::requests`].

use super::super::border::{AnswerError, RequestError};
use super::super::event::{Event, Undelivered, UnknownReason};
use super::super::lanes::{Arrived, Failed, Record};
use super::super::planted::Bug;
use super::super::requests::asker::{Addressee, Asker};
use super::super::requests::bearer::Bearer;
use super::super::requests::desk::Offer;
use super::super::requests::table::Over;
use super::super::requests::{Key, Place};
use super::Node;
use crate::types::{Incarnation, NodeId, Slot, Term, Time};
use crate::wire::{self, Answer, Lost, MAX_ANSWER, Outcome, RecordKind, Request, Response, Stage};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;

/// What is kept free in a record for its head.
const HEAD: usize = 64;
/// So many answers wait for room in the lanes; their senders ask again for those beyond.
const MAX_OWED: usize = 4_096;
/// So many late answers wait until this leader is ready.
const MAX_EARLY: usize = 4_096;

/// The bytes of what an answer says.
fn size(answer: &Answer) -> usize {
    if let Response::Done(Outcome::Answered(body)) = &answer.said { body.len() } else { 0 }
}

/// What a node has to do with requests, whatever it is.
#[derive(Debug, Clone)]
pub(super) struct Requesting {
    asker: Asker,
    bearer: Bearer,
    /// Answers for which the lanes had no room, or that were lost on the way.
    owed: VecDeque<(NodeId, Answer)>,
    owed_bytes: usize,
    retry: Time,
    /// The leader is sent no answers before this, as it took none.
    held_until: Time,
    /// What came before this leader was ready, of those who led before.
    early: VecDeque<(NodeId, Incarnation, Answer)>,
    interval: Duration,
    /// In which term the answers of this node's embedder were sent on last.
    term: Term,
    led: bool,
}

impl Requesting {
    pub(super) fn new(interval: Duration, patience: Option<Duration>) -> Self {
        Self {
            asker: Asker::new(interval, patience),
            bearer: Bearer::default(),
            owed: VecDeque::new(),
            owed_bytes: 0,
            retry: Time::NEVER,
            held_until: Time::ZERO,
            early: VecDeque::new(),
            interval,
            term: Term::ZERO,
            led: false,
        }
    }

    /// The node began anew elsewhere: what was open is told to be unknown.
    pub(super) fn go_on_after(&mut self, before: &mut Self) {
        self.asker.go_on_after(&mut before.asker);
    }

    fn hold(&mut self, now: Time) {
        self.held_until = now + self.interval / 8;
        self.retry = self.retry.min(self.held_until);
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.bearer.poll_event().or_else(|| self.asker.poll_event())
    }

    pub(super) fn has_event(&self) -> bool {
        self.bearer.has_event() || self.asker.has_event()
    }
}

impl Node {
    /// Asks whoever leads: its embedder is given this once ([`Event::Request`]) and answers it, or nobody knows. What came of
    /// it is told by [`Event::Answer`] with the number that this returns, exactly once for each, in whatever order. It waits
    /// while nobody leads, and is offered to each leader that comes. This node may itself be the leader.
    ///
    /// `again`: it may run twice. It costs the supporters nothing then, and is given to each next leader's embedder until one
    /// has answered. Otherwise it is given at most once, whatever fails.
    ///
    /// 256 requests of one node are under way at a time; others wait for the oldest of these. Of all nodes together no more
    /// than [`super::super::MessageLimits::requests`] are, where they may not run twice: others begin as those are answered.
    ///
    /// # Errors
    /// [`RequestError`]; nothing changed then.
    pub fn request(&mut self, now: Time, body: Bytes, again: bool) -> Result<u64, RequestError> {
        if self.out.is_moving() || !self.begin(now) {
            return Err(RequestError::Stopped);
        }
        let limits = &self.config.messages;
        let (most, bytes) = (limits.message.saturating_sub(HEAD), limits.queue);
        if body.len() > most {
            return Err(RequestError::TooLarge(most));
        }
        let number = self.requesting.asker.accept(now, body, again, bytes).ok_or(RequestError::Full)?;
        self.out.stats.requests_out += 1;
        self.settle(now);
        Ok(number)
    }

    /// Answers a request that this node's embedder was given ([`Event::Request`]): with at most
    /// [`crate::wire::MAX_ANSWER`] bytes, or [`super::super::MessageLimits::message`] less 64 where it may run twice. The answer goes
    /// out once it is committed, by this leader or by the next.
    ///
    /// # Errors
    /// [`AnswerError`]; nothing changed then.
    pub fn answer(
        &mut self,
        now: Time,
        from: &NodeId,
        incarnation: Incarnation,
        number: u64,
        body: Bytes,
    ) -> Result<(), AnswerError> {
        self.close_request(now, Key { from: from.clone(), incarnation, number }, Outcome::Answered(body))
    }

    /// Gives up a request that this node's embedder was given: its sender is told that nobody knows what came of it.
    ///
    /// # Errors
    /// [`AnswerError::NotOpen`], [`AnswerError::Stopped`]; nothing changed then.
    pub fn forget(
        &mut self,
        now: Time,
        from: &NodeId,
        incarnation: Incarnation,
        number: u64,
    ) -> Result<(), AnswerError> {
        self.close_request(now, Key { from: from.clone(), incarnation, number }, Outcome::Unknown(Lost::Forgotten))
    }

    fn close_request(&mut self, now: Time, key: Key, outcome: Outcome) -> Result<(), AnswerError> {
        if !self.begin(now) {
            return Err(AnswerError::Stopped);
        }
        let place = self.requesting.bearer.find(&key).ok_or(AnswerError::NotOpen)?.place;
        let most = self.config.messages.message.saturating_sub(HEAD);
        let most = if place.is_some() { most.min(MAX_ANSWER) } else { most };
        if let Outcome::Answered(body) = &outcome
            && body.len() > most
        {
            return Err(AnswerError::TooLarge(most));
        }
        self.requesting.bearer.take(&key);
        match place {
            Some(place) => {
                if self.bug.has(Bug::AnswerBeforeCommit) {
                    self.say(now, &key, Response::Done(outcome.clone()));
                }
                self.requesting.bearer.answer(key, place, outcome);
            }
            None => self.say(now, &key, Response::Done(outcome)),
        }
        self.settle(now);
        Ok(())
    }

    /// All that are open end with this node.
    pub(super) fn end_requests(&mut self) {
        self.requesting.asker.end_all(UnknownReason::Stopped);
        while let Some(event) = self.requesting.asker.poll_event() {
            self.out.event(event);
        }
        // What its embedder hasn't taken it is not given any more.
        self.requesting.bearer = Bearer::default();
    }

    // ---- Time ----

    pub(super) fn requests_deadline(&self) -> Time {
        let r = &self.requesting;
        let led = self.asked_leader().is_some();
        let prunes = |l: &&super::Lead| l.desk.deadline() != Time::NEVER && !l.desk.is_under_way();
        let desk = self.lead.as_ref().filter(prunes).filter(|_| self.decides() && self.my_place().is_some());
        let desk = desk.map_or(Time::NEVER, |l| l.desk.deadline());
        r.asker.deadline(led).min(r.retry).min(desk)
    }

    /// Does what is due. Called after each input, so it looks before it works.
    pub(super) fn tick_requests(&mut self, now: Time) {
        self.requesting.asker.expire(now);
        self.requesting.asker.renew(self.me.incarnation, UnknownReason::Renewed);
        self.mind_the_unsaid();
        if now >= self.requesting.retry {
            self.pay_owed(now);
        }
        let busy = !(self.requesting.asker.is_idle() && self.requesting.bearer.answering.is_empty());
        if busy && let Some((leader, term)) = self.asked_leader().map(|(id, term)| (id.clone(), term)) {
            self.pass_answers(now, &leader, term);
            self.offer_requests(now, &leader, term);
        }
        // A voter that is alone commits at once what it proposes.
        for _ in 0..4 {
            if !self.work_desk(now) {
                return;
            }
        }
    }

    /// Who leads, and in which term, as far as this node is a part of it.
    fn asked_leader(&self) -> Option<(&NodeId, Term)> {
        if let Some(lead) = &self.lead {
            return Some((&self.me.id, lead.leadership.term));
        }
        self.follower.registration?;
        let leader = self.told.leader.as_ref().filter(|id| **id != self.me.id)?;
        Some((leader, self.told.term))
    }

    fn offer_requests(&mut self, now: Time, leader: &NodeId, term: Term) {
        if self.requesting.asker.is_idle() {
            return;
        }
        let to = Addressee { leader, term, lineage: self.lineage(), incarnation: self.me.incarnation };
        let mut own = Vec::new();
        let (lanes, me) = (&mut self.lanes, &self.me.id);
        self.requesting.asker.tick(now, to, |request| {
            if leader == me {
                own.push(request.clone());
                return true;
            }
            lanes.send_record(now, leader, Asker::record(request)).is_ok()
        });
        let me = self.me.id.clone();
        own.into_iter().for_each(|request| self.take_request(now, &me, request));
    }

    // ---- The leader ----

    pub(super) fn on_request(&mut self, now: Time, arrived: &Arrived) {
        let Ok(request) = wire::decode_request(&arrived.record.body) else {
            self.out.stats.dropped_malformed += 1;
            return;
        };
        if request.incarnation != arrived.incarnation {
            self.out.stats.dropped_stale += 1;
            return;
        }
        self.out.stats.requests_in += 1;
        self.take_request(now, &arrived.from, request);
    }

    fn take_request(&mut self, now: Time, from: &NodeId, request: Request) {
        let Request { lineage, incarnation, number, below, again, body } = request;
        let key = Key { from: from.clone(), incarnation, number };
        let ready = self.is_ready();
        let home = lineage == self.voter.promise.lineage || self.bug.has(Bug::ParentForgotten);
        let member = self.log.roll().find(from).filter(|(_, _, i)| i.incarnation == incarnation);
        let place = member.map(|(slot, generation, _)| (slot, generation));
        let (Some(lead), Some(place)) = (&mut self.lead, place) else {
            return if number == 0 { self.out.stats.dropped_stale += 1 } else { self.say(now, &key, Response::Later) };
        };
        // An offer that waits for room says it as well: what others are done with is the room that it waits for.
        if below > self.log.roll().requests().below(place.0).max(1) {
            lead.desk.knows(place, below, now + self.requesting.interval);
        }
        if number == 0 {
            return;
        }
        let waits = lead.desk.bytes() + self.requesting.bearer.bytes();
        let full = waits + body.len() > self.config.messages.windows;
        let term = lead.leadership.term;
        if full || again && (!ready || self.requesting.bearer.is_full()) {
            self.out.stats.requests_delayed += 1;
            return self.say(now, &key, Response::Later);
        }
        if !again {
            lead.desk.offer(place.0, Offer { key, generation: place.1, below, home, body });
        } else if self.requesting.bearer.find(&key).is_none() {
            self.requesting.bearer.give(key, None, term, body);
        }
    }

    /// This node's place on the roll, as the incarnation that it is.
    fn my_place(&self) -> Option<Place> {
        let (slot, generation, info) = self.log.roll().find(&self.me.id)?;
        (info.incarnation == self.me.incarnation).then_some((slot, generation))
    }

    /// Puts a batch on the roll, where none is under way; true where it did.
    fn work_desk(&mut self, now: Time) -> bool {
        let Some(lead) = &self.lead else { return false };
        let idle = lead.desk.is_idle() && self.requesting.early.is_empty();
        if idle && !lead.desk.is_under_way() || !self.decides() {
            return false;
        }
        let Some(me) = self.my_place() else { return false };
        let commit = self.log.commit();
        if !self.lead.as_mut().is_some_and(|l| l.desk.committed(commit)) {
            return false;
        }
        for (from, incarnation, answer) in std::mem::take(&mut self.requesting.early) {
            self.take_late(&from, incarnation, answer);
        }
        while let Some((slot, offer)) = self.lead.as_mut().and_then(|l| l.desk.next_fresh()) {
            self.judge_offer(now, me, slot, offer);
        }
        // Who is off the line begins nothing: that it answers no more was told with its seat.
        let begins = self.log.line().votes(self.voter.identity());
        let room = if begins { self.log.roll().requests().room(self.config.messages.requests) } else { 0 };
        let last = self.log.last().index;
        let Some(lead) = &mut self.lead else { return false };
        let changes = lead.desk.batch(now, last, me, room);
        if changes.is_empty() {
            return false;
        }
        self.out.stats.request_batches += 1;
        self.propose(now, changes);
        true
    }

    /// What the committed roll says of a request that is offered.
    fn judge_offer(&mut self, now: Time, me: Place, slot: Slot, offer: Offer) {
        let Some(term) = self.lead.as_ref().map(|l| l.leadership.term) else { return };
        let roll = self.log.roll();
        let same = |(g, i): &(_, &crate::types::MemberInfo)| {
            *g == offer.generation && i.id == offer.key.from && i.incarnation == offer.key.incarnation
        };
        if !roll.get(slot).is_some_and(|m| same(&m)) {
            return;
        }
        let number = offer.key.number;
        let below = roll.requests().below(slot);
        match roll.requests().stage(slot, number).cloned() {
            Some(Stage::Done(outcome)) => self.say(now, &offer.key, Response::Done(outcome)),
            Some(Stage::Begun(slot_of, generation)) => {
                let mine = (slot_of, generation) == me && !self.requesting.bearer.has(&offer.key);
                if mine || self.bug.has(Bug::BeginAgain) && (slot_of, generation) != me {
                    // Begun when this node led before, and only now is it here to be given.
                    self.requesting.bearer.give(offer.key, Some((slot, offer.generation)), term, offer.body);
                }
            }
            None if number < below => self.say(now, &offer.key, Response::Done(Outcome::Unknown(Lost::NotGiven))),
            None if !offer.home => self.say(now, &offer.key, Response::Done(Outcome::Unknown(Lost::NotKept))),
            None => {
                if self.bug.has(Bug::GiveBeforeBegun) && !self.requesting.bearer.has(&offer.key) {
                    let place = Some((slot, offer.generation));
                    self.requesting.bearer.give(offer.key.clone(), place, term, offer.body.clone());
                }
                if let Some(lead) = &mut self.lead {
                    lead.desk.admit(slot, offer);
                }
            }
        }
    }

    /// True where the roll, with all that was committed meanwhile, still keeps this of this sender.
    fn still(&self, slot: Slot, key: &Key, stage: impl Fn(&Stage) -> bool) -> bool {
        let roll = self.log.roll();
        roll.key(slot, key.number).as_ref() == Some(key) && roll.requests().stage(slot, key.number).is_some_and(stage)
    }

    /// The roll says that these are begun by the node in this place.
    pub(super) fn requests_begun(&mut self, giver: Place, opened: Vec<(Slot, u64)>, dropped: &[Key]) {
        dropped.iter().for_each(|key| self.requesting.bearer.over(key));
        if self.my_place() != Some(giver) {
            return;
        }
        for (slot, number) in opened {
            let Some(lead) = &mut self.lead else {
                self.requesting.bearer.unsure = true;
                return;
            };
            let term = lead.leadership.term;
            let Some(offer) = lead.desk.take((slot, number)) else { continue };
            let mine = Stage::Begun(giver.0, giver.1);
            if !self.requesting.bearer.has(&offer.key) && self.still(slot, &offer.key, |stage| *stage == mine) {
                self.requesting.bearer.give(offer.key, Some((slot, offer.generation)), term, offer.body);
            }
        }
    }

    /// The roll says that these are over: their senders are told, by whoever leads.
    pub(super) fn requests_over(&mut self, now: Time, over: Vec<Over>) {
        for Over { slot, key, outcome } in over {
            if !self.bug.has(Bug::AnswerOfTheGone) {
                self.requesting.bearer.over(&key);
            }
            // One that begins to lead may commit what was long ago.
            if self.lead.is_none() || !self.still(slot, &key, |stage| matches!(stage, Stage::Done(_))) {
                continue;
            }
            if let Some(lead) = &mut self.lead {
                lead.desk.over((slot, key.number));
                let _ = lead.desk.take((slot, key.number));
            }
            self.say(now, &key, Response::Done(outcome));
        }
    }

    /// A member is off the roll, and nobody waits for answers to its requests.
    pub(super) fn requests_of_gone(&mut self, slot: Slot, id: &NodeId, incarnation: Incarnation) {
        let present = self.log.roll().get(slot).map(|(generation, _)| generation);
        if let Some(lead) = &mut self.lead {
            lead.desk.gone(slot, present);
        }
        if !self.requesting.bearer.is_empty() {
            self.requesting.bearer.sender_left(|key| key.from == *id && key.incarnation <= incarnation);
        }
        let r = &mut self.requesting;
        r.owed.retain(|(to, answer)| to != id || answer.incarnation > incarnation);
        r.owed_bytes = r.owed.iter().map(|(_, answer)| size(answer)).sum();
    }

    /// Who is here now waits for nothing that it asked as an earlier incarnation.
    pub(super) fn requests_before(&mut self, id: &NodeId, incarnation: Incarnation) {
        if !self.requesting.bearer.is_empty() {
            self.requesting.bearer.sender_left(|key| key.from == *id && key.incarnation < incarnation);
        }
    }

    /// This node holds no roll any more: what it had begun is unknown by that.
    pub(super) fn requests_of_voter_end(&mut self) {
        self.requesting.bearer.keep(|_, _| false);
    }

    /// Another roll is in place of the one that was: what it doesn't say to be begun by this node is none of its business.
    pub(super) fn requests_of_roll(&mut self) {
        if self.bug.has(Bug::AnswerOfTheGone) {
            return;
        }
        let (me, roll) = (self.my_place(), self.log.roll());
        if !self.requesting.bearer.is_empty() {
            self.requesting.bearer.keep(|key, slot| {
                let same = roll.get(slot).is_some_and(|(_, i)| i.id == key.from && i.incarnation == key.incarnation);
                let begun = roll.requests().stage(slot, key.number);
                same && me.is_some_and(|(slot, generation)| begun == Some(&Stage::Begun(slot, generation)))
            });
        }
        // Begun by this node as well, and not with its embedder: it may have been, and what came of it may be lost.
        if !self.bug.has(Bug::DisownNothing) {
            self.disown_begun(Lost::NotKept);
        }
        self.requesting.bearer.hand_anew();
    }

    /// What this node began by the roll, and doesn't know of, is given by nobody any more.
    fn disown_begun(&mut self, lost: Lost) {
        let Some(me) = self.my_place() else { return };
        for (slot, number) in self.log.roll().requests().begun_by(me) {
            let Some(key) = self.log.roll().key(slot, number) else { continue };
            let Some((generation, _)) = self.log.roll().get(slot) else { continue };
            if !self.requesting.bearer.has(&key) {
                self.requesting.bearer.answer(key, (slot, generation), Outcome::Unknown(lost));
            }
        }
    }

    // ---- Answers ----

    /// Says something to the sender of a request.
    fn say(&mut self, now: Time, key: &Key, said: Response) {
        let answer = Answer {
            lineage: self.voter.promise.lineage,
            incarnation: key.incarnation,
            number: key.number,
            late: None,
            said,
        };
        if key.from == self.me.id {
            let me = self.me.id.clone();
            self.requesting.asker.answered(now, &me, answer);
        } else {
            self.send_answer(now, key.from.clone(), answer);
        }
    }

    fn send_answer(&mut self, now: Time, to: NodeId, answer: Answer) {
        let record = Record { kind: RecordKind::Answer, body: wire::encode_answer(&answer) };
        if self.lanes.send_record(now, &to, record).is_err() {
            self.owe(now, to, answer);
        }
    }

    fn owe(&mut self, now: Time, to: NodeId, answer: Answer) {
        let bytes = self.requesting.owed_bytes + size(&answer);
        if self.requesting.owed.len() >= MAX_OWED || bytes > self.config.messages.queues {
            // Its sender offers it again.
            self.out.stats.answers_dropped += 1;
            return;
        }
        self.requesting.owed_bytes = bytes;
        self.requesting.owed.push_back((to, answer));
        self.requesting.retry = self.requesting.retry.min(now + self.requesting.interval / 8);
    }

    fn pay_owed(&mut self, now: Time) {
        (self.requesting.retry, self.requesting.owed_bytes) = (Time::NEVER, 0);
        for (to, answer) in std::mem::take(&mut self.requesting.owed) {
            self.send_answer(now, to, answer);
        }
    }

    pub(super) fn on_answer(&mut self, now: Time, arrived: &Arrived) {
        let Ok(answer) = wire::decode_answer(&arrived.record.body) else {
            self.out.stats.dropped_malformed += 1;
            return;
        };
        if answer.late.is_none() {
            if !self.requesting.asker.answered(now, &arrived.from, answer) {
                self.out.stats.dropped_stale += 1;
            }
            return;
        }
        if self.lead.is_some() && !self.is_ready() && self.requesting.early.len() < MAX_EARLY {
            self.requesting.early.push_back((arrived.from.clone(), arrived.incarnation, answer));
        } else {
            self.take_late(&arrived.from, arrived.incarnation, answer);
        }
    }

    /// What the embedder of one that led before says: only of what the roll says that it began.
    fn take_late(&mut self, from: &NodeId, incarnation: Incarnation, answer: Answer) {
        let roll = self.log.roll();
        let giver = roll.find(from).filter(|(_, _, i)| i.incarnation == incarnation);
        let giver = giver.map(|(slot, generation, _)| Stage::Begun(slot, generation));
        let sender = answer.late.filter(|(slot, generation)| roll.get(*slot).is_some_and(|(g, _)| g == *generation));
        let begun = sender.and_then(|(slot, _)| roll.requests().stage(slot, answer.number));
        let ours = answer.lineage == self.voter.promise.lineage;
        let right = ours && giver.is_some() && begun == giver.as_ref() || self.bug.has(Bug::AnswerOfTheGone);
        match (&mut self.lead, sender, answer.said) {
            (Some(lead), Some(place), Response::Done(outcome)) if right => {
                lead.desk.answer(place, answer.number, outcome)
            }
            _ => self.out.stats.dropped_stale += 1,
        }
    }

    /// What this node's embedder has answered goes to the leader, which may be this node.
    fn pass_answers(&mut self, now: Time, leader: &NodeId, term: Term) {
        let r = &mut self.requesting;
        let waits = r.term == term && (!r.bearer.unsent || now < r.held_until);
        if r.bearer.answering.is_empty() || waits {
            return;
        }
        (r.term, r.bearer.unsent) = (term, false);
        let lineage = self.voter.promise.lineage;
        for (key, answering) in &mut r.bearer.answering {
            if answering.sent == Some(term) {
                continue;
            }
            if let Some(lead) = &mut self.lead {
                lead.desk.answer(answering.place, key.number, answering.outcome.clone());
                answering.sent = Some(term);
                continue;
            }
            let (late, said) = (Some(answering.place), Response::Done(answering.outcome.clone()));
            let answer = Answer { lineage, incarnation: key.incarnation, number: key.number, late, said };
            let record = Record { kind: RecordKind::Answer, body: wire::encode_answer(&answer) };
            if self.lanes.send_record(now, leader, record).is_err() {
                r.bearer.unsent = true;
                r.hold(now);
                return;
            }
            answering.sent = Some(term);
        }
    }

    /// One that leads no longer may have begun what it never gave: nobody else can know that.
    fn mind_the_unsaid(&mut self) {
        if self.lead.is_some() {
            self.requesting.led = true;
            return;
        }
        let unsure = std::mem::take(&mut self.requesting.bearer.unsure);
        if !(std::mem::take(&mut self.requesting.led) || unsure) {
            return;
        }
        self.requesting.early.clear();
        self.disown_begun(Lost::NotGiven);
    }

    // ---- What didn't get there ----

    pub(super) fn request_failed(&mut self, now: Time, failed: &Failed) {
        let Ok(request) = wire::decode_request(&failed.record.body) else { return };
        if failed.reason == Undelivered::TooLarge {
            let lost = Response::Done(Outcome::Unknown(Lost::NotGiven));
            let (incarnation, number) = (request.incarnation, request.number);
            let answer = Answer { lineage: request.lineage, incarnation, number, late: None, said: lost };
            self.requesting.asker.answered(now, &failed.to, answer);
            return;
        }
        self.requesting.asker.failed(now, &failed.to, &request, failed.uncertain);
    }

    pub(super) fn answer_failed(&mut self, now: Time, failed: &Failed) {
        let Ok(answer) = wire::decode_answer(&failed.record.body) else { return };
        if let Some(place) = answer.late {
            // The leader takes none of this size, nor ever will: its sender hears at least that nobody knows.
            let outcome = (failed.reason == Undelivered::TooLarge).then_some(Outcome::Unknown(Lost::Forgotten));
            self.requesting.bearer.failed(answer.number, place, outcome);
            self.requesting.hold(now);
            return;
        }
        match failed.reason {
            Undelivered::TooLarge => {
                let key = Key { from: failed.to.clone(), incarnation: answer.incarnation, number: answer.number };
                self.say(now, &key, Response::Done(Outcome::Unknown(Lost::Forgotten)));
            }
            Undelivered::Unreachable | Undelivered::ConnectionLost | Undelivered::Renewed | Undelivered::Stalled => {
                self.owe(now, failed.to.clone(), answer)
            }
            // Whoever asked is gone.
            _ => {}
        }
    }
}
