//! Questions for whoever has a capability: who is chosen, and what goes between the lanes and the embedder.
//!
//! Of those that have a capability the one in the lowest slot is chosen, so that all who ask choose the same, by the roll
//! where it is held, else by the leader's answer; who was chosen stays it as long as it has the capability, as far as the
//! asker knows: by the roll at once, else for a detection time at a time.

use super::super::border::{CommandError, Dest, SendError};
use super::super::lanes::{Arrived, Failed, Record};
use super::Node;
use crate::types::{Capabilities, Incarnation, NodeId, Time};
use crate::wire::{Ask, AskPart, Datagram, Find, Found, RecordKind, decode_ask, encode_ask};
use bytes::Bytes;

impl Node {
    pub(super) fn ask_by_capability(
        &mut self,
        now: Time,
        number: u64,
        (key, value): (&str, &str),
        body: Bytes,
    ) -> Result<(), CommandError> {
        let mut wanted = Capabilities::new();
        wanted.set(key, value).map_err(CommandError::BadCapability)?;
        self.fits_ask(&body)?;
        if !self.asks.ask(now, self.me.incarnation, number, wanted, body) {
            return Err(CommandError::TooMany);
        }
        Ok(())
    }

    fn fits_ask(&self, body: &Bytes) -> Result<(), CommandError> {
        let most = self.config.messages.message.saturating_sub(crate::wire::ASK_COST);
        if body.len() > most { Err(CommandError::NotSent(SendError::TooLarge(most))) } else { Ok(()) }
    }

    pub(super) fn reply_to(
        &mut self,
        now: Time,
        to: &NodeId,
        (incarnation, number): (Incarnation, u64),
        body: Bytes,
    ) -> Result<(), CommandError> {
        self.fits_ask(&body)?;
        self.send_ask(now, to, Ask { number, incarnation, what: AskPart::Reply(body) }).map_err(CommandError::NotSent)
    }

    fn send_ask(&mut self, now: Time, to: &NodeId, ask: Ask) -> Result<(), SendError> {
        if *to == self.me.id {
            self.take_ask(now, &self.me.id.clone(), ask);
            return Ok(());
        }
        self.lanes.send_record(now, to, Record { kind: RecordKind::Ask, body: encode_ask(&ask) })
    }

    /// What came over a lane.
    pub(super) fn on_ask(&mut self, now: Time, arrived: &Arrived) {
        if self.is_gone(&arrived.from, arrived.incarnation) {
            self.out.stats.dropped_stale += 1;
            return;
        }
        match decode_ask(&arrived.record.body) {
            // Asked by an incarnation that it is no more: that one was told so.
            Ok(ask) if matches!(ask.what, AskPart::Question(..)) && ask.incarnation != arrived.incarnation => {
                self.out.stats.dropped_stale += 1;
            }
            Ok(ask) => self.take_ask(now, &arrived.from, ask),
            Err(reject) => self.out.stats.reject(reject),
        }
    }

    fn take_ask(&mut self, now: Time, from: &NodeId, ask: Ask) {
        let Ask { number, incarnation, what } = ask;
        let AskPart::Question(wanted, body) = what else {
            let pause = self.config.step();
            if !self.asks.answered(now, from, Ask { number, incarnation, what }, pause) {
                self.out.stats.dropped_stale += 1;
            }
            return;
        };
        let what = if !self.has_capability(&wanted) {
            AskPart::NotMine
        } else if !self.asks.arrived(from, number, incarnation, wanted, body) {
            AskPart::Busy
        } else {
            return;
        };
        if self.send_ask(now, from, Ask { number, incarnation, what }).is_err() {
            // Who asked hears of it in time: nobody was given it, but that can't be told now.
            self.out.stats.messages_dropped += 1;
        }
    }

    fn has_capability(&self, wanted: &Capabilities) -> bool {
        wanted.iter().all(|(key, value)| match key {
            "leader" => value == "yes" && self.lead.is_some(),
            _ => self.me.capabilities.get(key) == Some(value),
        })
    }

    /// What was sent over a lane won't get there.
    pub(super) fn on_ask_failed(&mut self, now: Time, failed: &Failed) {
        let pause = self.config.step();
        match decode_ask(&failed.record.body) {
            Ok(ask) if matches!(ask.what, AskPart::Question(..)) => {
                self.asks.failed(now, (&failed.to, &ask), failed.reason, failed.uncertain, pause);
            }
            // Who asked is gone, or hears in time that the outcome isn't known.
            _ => self.out.stats.messages_dropped += 1,
        }
    }

    /// Called after each input: sends what waits to who is chosen for it, and ends what is over.
    pub(super) fn tick_asks(&mut self, now: Time) {
        self.asks.renew(self.me.incarnation);
        if self.asks.is_idle() {
            if !self.seeking.is_empty() {
                // What was asked of the leader for questions that are over.
                self.seeking.clear();
                drop(self.seekers.drain());
            }
            return;
        }
        let holds = self.holds_roll();
        let roll = self.held().roll();
        let gone = |(id, incarnation): &(NodeId, Incarnation)| {
            holds && roll.find(id).is_none_or(|(_, _, info)| info.incarnation != *incarnation)
        };
        let gone: Vec<_> = self.asks.with_whom().filter(gone).collect();
        self.asks.expire(now, |id, incarnation| gone.iter().any(|(g, i)| g == id && *i == incarnation));
        for (ask, wanted) in self.asks.due(now) {
            if holds {
                self.choose_by_roll(now, ask, &wanted);
            } else if let Some(id) = self.asks.chosen(now, &wanted).cloned() {
                self.send_to_chosen(now, ask, &id, None);
            } else if !self.seeking.iter().any(|(_, w)| *w == wanted) {
                self.seek_chosen(now, ask, wanted);
            } else {
                self.asks.later(ask, now + self.config.heartbeat());
            }
        }
        self.ask_leader(now);
    }

    fn choose_by_roll(&mut self, now: Time, ask: u64, wanted: &Capabilities) {
        let before = self.asks.chosen(now, wanted).cloned();
        let Some((key, value)) = wanted.iter().next() else { return };
        let mut having = self.find(key, value).map(|(_, info)| (&info.id, info.incarnation));
        let first = having.next();
        let sticks = having.chain(first).find(|(id, _)| before.as_ref() == Some(id));
        let chosen = sticks.or(first).map(|(id, incarnation)| (id.clone(), incarnation));
        match chosen {
            Some((id, incarnation)) => {
                self.asks.choose(wanted, id.clone(), Time::NEVER);
                self.send_to_chosen(now, ask, &id, Some(incarnation));
            }
            // What isn't known yet may be there: only who is on the roll can say that nobody has it.
            None if self.follower.registration.is_some() || self.is_ready() => self.asks.nobody(ask),
            None => self.asks.later(ask, now + self.config.heartbeat()),
        }
    }

    fn send_to_chosen(&mut self, now: Time, ask: u64, id: &NodeId, incarnation: Option<Incarnation>) {
        let Some(question) = self.asks.sent(ask, id, incarnation) else { return };
        if self.send_ask(now, id, question).is_err() {
            self.asks.later(ask, now + self.config.step());
        }
    }

    fn seek_chosen(&mut self, now: Time, ask: u64, wanted: Capabilities) {
        // One question for all that want the same.
        if self.seekers.ask(ask, wanted.clone()) {
            self.seeking.push((ask, wanted));
        }
        self.asks.later(ask, now + self.config.heartbeat());
    }

    fn ask_leader(&mut self, now: Time) {
        let Some((addr, _)) = self.follower.addressee().filter(|_| !self.seeking.is_empty()) else { return };
        while let Some((nonce, wanted)) = self.seekers.due(now) {
            let find = Find { nonce, lineage: self.lineage(), wanted };
            self.out.datagram(Dest::Addr(addr), Datagram::Find(find));
        }
    }

    /// The leader's answer; false where it isn't one to this.
    pub(super) fn on_chosen(&mut self, now: Time, found: &Found) -> bool {
        let Some(number) = self.seekers.answered(found.nonce) else { return false };
        let Some(at) = self.seeking.iter().position(|(ask, _)| *ask == number) else { return true };
        let (_, wanted) = self.seeking.remove(at);
        let until = now + self.config.detection();
        let first = found.members.first().cloned();
        if let Some(id) = &first {
            self.asks.choose(&wanted, id.clone(), until);
        }
        for (ask, _) in self.asks.due(Time::NEVER).into_iter().filter(|(_, w)| *w == wanted) {
            match &first {
                Some(id) => self.send_to_chosen(now, ask, id, None),
                None => self.asks.nobody(ask),
            }
        }
        true
    }

    pub(super) fn asks_deadline(&self) -> Time {
        let at = self.asks.deadline();
        let leader = self.follower.addressee().is_some() && !self.seeking.is_empty();
        if leader { at.min(self.seekers.deadline()) } else { at }
    }
}
