//! What time brings: ways are found, connections made, and what can't be delivered comes back within a bound.

use super::super::outbox::Outbox;
use super::super::planted::Bug;
use super::super::rng::Rng;
use super::circuits::Keeper;
use super::partner::{Phase, Place};
use super::{Lanes, MAX_PARTNERS, SendError, Undelivered};
use crate::types::{ConnId, Incarnation, NodeId, Time};
use crate::wire::{Message, WhereIs};
use std::net::SocketAddr;
use std::time::Duration;

/// Somebody whose way is to be found.
#[derive(Debug, Clone)]
pub(in crate::proto) struct Need {
    pub(super) at: usize,
    pub(in crate::proto) id: NodeId,
    /// How often it was looked for in vain.
    pub(in crate::proto) attempts: u16,
}

/// What the node knows about a way.
#[derive(Debug, Clone)]
pub(in crate::proto) enum Answer {
    /// A connection between candidates stands.
    Lent(ConnId, Incarnation, Vec<SocketAddr>),
    /// It is there. `paired`: both are candidates, and a connection is being made anyway.
    At { incarnation: Incarnation, addrs: Vec<SocketAddr>, paired: bool },
    /// It is there, and can't be connected to: one of these may have its connection.
    Via { incarnation: Incarnation, addrs: Vec<SocketAddr>, keepers: Vec<Keeper> },
    /// This one may know.
    Ask(SocketAddr),
    /// Nobody can say yet.
    Wait,
    /// It is not on the roll.
    Nobody,
}

impl Lanes {
    pub(in crate::proto) fn deadline(&self) -> Time {
        self.care_at.min(self.news_at).min(self.scan_at).min(self.circuits_at)
    }

    pub(super) fn look_after(&mut self, now: Time, at: usize) {
        let pause = self.pause();
        let Some(p) = self.get(at) else { return };
        if !std::mem::replace(&mut p.busy, true) {
            self.busy.insert(at);
            self.care_at = self.care_at.min(now + pause);
        }
    }

    fn pause(&self) -> Duration {
        (self.step * 2).min(self.patience / 4)
    }

    /// Does what is due.
    pub(in crate::proto) fn tick(&mut self, now: Time, out: &mut Outbox) {
        self.now = self.now.max(now);
        if now >= self.news_at {
            self.tell_news(true, out);
        }
        self.scan(now, out);
        self.tick_circuits(now, out);
        self.circuits_at = self.relay.tick(now).min(self.circuits_due());
        if now < self.care_at {
            return;
        }
        for at in self.busy.iter().copied().collect::<Vec<_>>() {
            self.care(now, at, out);
        }
        self.care_at = if self.busy.is_empty() { Time::NEVER } else { now + self.pause() };
        if !self.crowded.is_empty() && (self.by_id.len() < MAX_PARTNERS || self.forget_one()) {
            self.writable.extend(std::mem::take(&mut self.crowded));
        }
        self.make_writable();
    }

    /// All partners have something under way: who was refused hears when one hasn't.
    pub(super) fn no_place(&mut self, to: &NodeId, tell: bool) -> SendError {
        if tell && self.crowded.len() < MAX_PARTNERS {
            self.crowded.insert(to.clone());
        }
        SendError::Full
    }

    fn care(&mut self, now: Time, at: usize, out: &mut Outbox) {
        let patience = self.patience;
        let pool = &mut self.pool;
        let Some(p) = self.partners.get_mut(at).and_then(Option::as_mut) else {
            self.busy.remove(&at);
            return;
        };
        if !p.needs_care() {
            p.busy = false;
            self.busy.remove(&at);
            return;
        }
        if p.intake.has_partial()
            && now >= p.intake.last + patience
            && let (Some(line), Some(declined)) = (p.line, p.intake.give_up(pool))
        {
            out.send(line.conn, Message::Declined(declined));
        }
        // It may have taken this node for gone when it was asked; or since, over a connection that isn't the lanes' to close.
        let unanswered = p.phase == Phase::Opening && now >= p.asked + self.interval;
        let unheard = p.phase == Phase::Flowing && now >= p.heard.max(p.asked) + patience && p.is_lent();
        if (unanswered || unheard) && !self.bug.has(Bug::AskOnceHowFar) {
            p.phase = Phase::Idle;
            self.open(at, out);
        }
        let Some(p) = self.get(at) else { return };
        let waits = p.wants_way() || p.phase == Phase::Opening;
        if waits && now >= p.since + patience {
            let known = p.place.is_some() || p.courier.bound.is_some();
            self.give_up(at, if known { Undelivered::Unreachable } else { Undelivered::NoSuchMember });
            return;
        }
        if p.wants_way() && p.dialing.is_none() && now >= p.next_try {
            self.wants.push(at);
        }
        let own = self.partners.get(at).and_then(Option::as_ref).and_then(|p| p.line).filter(|line| !line.lent);
        let heard = own.and_then(|line| self.links.get(&line.conn)).map(|link| link.last_in());
        if let Some(p) = self.get(at) {
            p.doubted.take_if(|since| heard.is_none_or(|heard| heard > *since));
        }
        if let Some(line) = own
            && self.probe(now, line.conn, out)
        {
            out.stats.streams_cut_silent += 1;
            self.cut(now, line.conn, out);
        }
    }

    /// The next one whose way is to be found now.
    pub(in crate::proto) fn next_need(&mut self, now: Time, out: &mut Outbox) -> Option<Need> {
        while let Some(at) = self.wants.pop() {
            let fresh = self.silence * 3;
            let Some(p) = self.get(at) else { continue };
            if let (Some(_), Phase::Idle, false) = (p.line, p.phase, p.courier.is_empty()) {
                self.open(at, out);
            }
            let Some(p) = self.get(at) else { continue };
            let placed = p.place.as_ref().is_some_and(|place| {
                p.line.is_some_and(|line| line.incarnation == place.incarnation) || now < place.since + fresh
            });
            if placed && !p.notes.is_empty() {
                self.flush_notes(at, out);
            }
            let Some(p) = self.get(at) else { continue };
            if p.wants_way() && p.dialing.is_none() && now >= p.next_try {
                return Some(Need { at, id: p.id.clone(), attempts: p.attempts });
            }
        }
        None
    }

    /// Takes what the node knows. A question that is to be asked is given back.
    pub(in crate::proto) fn answer(
        &mut self,
        now: Time,
        need: &Need,
        answer: Answer,
        out: &mut Outbox,
    ) -> Option<(SocketAddr, WhereIs)> {
        let (step, interval, lineage) = (self.step, self.interval, self.hello.lineage);
        let at = need.at;
        // Not to be guessed by who doesn't hear what this node says.
        self.next_nonce += 1;
        let nonce = Rng::new(self.hello.info.identity.0 ^ self.next_nonce).nonzero();
        let p = self.get(at)?;
        match answer {
            Answer::Lent(conn, incarnation, addrs) => {
                p.place = Some(Place { incarnation, addrs, outbound: false, since: now });
                p.next_try = now + step * 2;
                self.lend(now, at, conn, incarnation, out);
                self.flush_notes(at, out);
            }
            Answer::At { incarnation, addrs, paired } => {
                p.stands_as(incarnation);
                if p.gone.is_some_and(|gone| gone >= incarnation) {
                    // Whoever said so knows less than this node: the next time another one is asked.
                    p.attempts = p.attempts.saturating_add(1);
                    p.next_try = now + step * 2;
                    return None;
                }
                let turn = usize::from(p.attempts) % addrs.len().max(1);
                let addr = addrs.get(turn).copied();
                p.place = Some(Place { incarnation, addrs, outbound: false, since: now });
                p.next_try = now + step * 2;
                let dials = !paired && p.line.is_none() && !p.courier.is_empty() && p.dialing.is_none();
                self.flush_notes(at, out);
                if let Some(addr) = addr.filter(|_| dials) {
                    self.dial(now, at, addr, out);
                }
            }
            Answer::Via { incarnation, addrs, keepers } => {
                p.stands_as(incarnation);
                p.next_try = now + step * 2;
                if p.gone.is_some_and(|gone| gone >= incarnation) {
                    p.attempts = p.attempts.saturating_add(1);
                    return None;
                }
                p.place = Some(Place { incarnation, addrs, outbound: true, since: now });
                if p.line.is_some() {
                    self.flush_notes(at, out);
                } else if p.dialing.is_none() && p.wants_way() {
                    self.call(now, at, &keepers, out);
                }
            }
            Answer::Ask(addr) => {
                p.nonce = nonce;
                p.attempts = p.attempts.saturating_add(1);
                p.backoff = (p.backoff * 2).clamp(step, interval.max(step));
                p.next_try = now + p.backoff;
                return Some((addr, WhereIs { nonce, lineage, id: need.id.clone() }));
            }
            Answer::Wait => p.next_try = now + step * 2,
            Answer::Nobody => {
                let known = p.courier.bound.is_some();
                self.give_up(at, if known { Undelivered::Left } else { Undelivered::NoSuchMember });
            }
        }
        None
    }

    /// The answer to a question came from elsewhere.
    pub(in crate::proto) fn is_asked(&mut self, id: &NodeId, nonce: u64) -> Option<Need> {
        let at = self.by_id.get(id).copied()?;
        let p = self.get(at).filter(|p| p.nonce == nonce && p.wants_way())?;
        p.nonce = 0;
        Some(Need { at, id: id.clone(), attempts: p.attempts })
    }
}
