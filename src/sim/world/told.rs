//! Feeds the checkers with what the nodes tell.

use super::super::check::{Answer, Observer, Verdict};
use super::observe::Watch;
use crate::proto::{ClaimOutcome, Conflict, Event, MessageLane, Node, Notice, Policy, RequestOutcome, Undelivered};
use crate::types::{Incarnation, Lineage, Name, NodeId};

impl Watch {
    /// Who leads a child has said what that may have cost, once nothing waits to be told.
    pub(super) fn cost_is_said(&mut self, who: Observer, node: &Node) -> Result<(), String> {
        if self.unsaid.is_empty() || node.has_event() {
            return Ok(());
        }
        let Some(lineage) = self.unsaid.remove(&who) else { return Ok(()) };
        let available = node.config().policy() == Policy::Available;
        let whole = available || self.kept.get(&lineage).copied().unwrap_or(true);
        if self.recovered.get(&lineage).is_none_or(|lost| !lost && !whole) {
            return Err(format!("{who} leads lineage {lineage}, a child, and nobody said what it may have cost"));
        }
        Ok(())
    }

    pub(super) fn told(
        &mut self,
        who: Observer,
        lineage: Lineage,
        node: &Node,
        event: &Event,
        now: u64,
    ) -> Result<(), (u8, String)> {
        self.family.names(node.lineage(), node.parents());
        let told = self.history(lineage, node);
        if let Event::Name { name, .. } = event {
            self.mergers.named(lineage, name);
        }
        let departs = matches!(event, Event::Left { .. } | Event::Name { owner: None, .. });
        if let Some(crosser) = self.crossing.take_if(|c| *c != who || !departs) {
            let lineage = self.told_in.get(&crosser).copied().unwrap_or_default();
            self.events.settled(crosser, self.history(lineage, node));
        }
        let verdict = self.told_apart(who, (lineage, told), node, event, now);
        if matches!(event, Event::Joined { .. } | Event::Left { .. } | Event::Name { .. } | Event::Parted { .. }) {
            self.told_in.insert(who, lineage);
        }
        verdict
    }

    /// Of what history of the members an event about this lineage is part: where each side goes on by itself each has its
    /// own, and else the children go on with that of the first.
    pub(super) fn history(&self, lineage: Lineage, node: &Node) -> Lineage {
        if node.config().policy() == Policy::Available { lineage } else { self.family.root(lineage) }
    }

    /// Of a child that lost what was committed in its parent: that this one had left there may be what was lost.
    fn may_be_back(
        &mut self,
        who: Observer,
        (lineage, history): (Lineage, Lineage),
        node: &Node,
        (id, incarnation): (&NodeId, Incarnation),
    ) {
        if [lineage].iter().chain(node.parents()).any(|l| self.kept.get(l) == Some(&false)) {
            self.events.revived(who, history, id, incarnation);
        }
    }

    /// Two lineages became one: either this node went over, and tells so first, or others came.
    fn merged(
        &mut self,
        who: Observer,
        (into, absorbed): (Lineage, Lineage),
        node: &Node,
        conflicts: &[Conflict],
    ) -> Result<(), (u8, String)> {
        self.claims.merged(into);
        let before = self.told_in.insert(who, into).unwrap_or(into);
        if before == into {
            if self.led.get(&into) == Some(&who) {
                self.mergers.won(into, absorbed, conflicts, node.commit_index());
            }
            return Ok(());
        }
        let (from, to) = (self.history(before, node), self.history(into, node));
        let led = (self.led.get(&absorbed) == Some(&who)).then_some(node.crossed_at);
        let names = self.events.names(who, from);
        // What was claimed since it went over is no conflict.
        let settled = node.commit_index() == node.crossed_at;
        let owner = |name: &Name| node.owner(name).filter(|_| settled);
        self.mergers.lost(who, (into, absorbed), conflicts, names, owner, led).map_err(|e| (4, e))?;
        self.events.crossed(who, from, to);
        self.crossing = Some(who);
        Ok(())
    }

    fn told_apart(
        &mut self,
        who: Observer,
        (lineage, history): (Lineage, Lineage),
        node: &Node,
        event: &Event,
        now: u64,
    ) -> Result<(), (u8, String)> {
        let family = self.family.root(lineage);
        let fifth = |v: Verdict| v.map_err(|e| (5, e));
        match event {
            Event::Joined { info, .. } => {
                self.checked[5] += 1;
                self.may_be_back(who, (lineage, history), node, (&info.id, info.incarnation));
                fifth(self.events.joined(who, history, &info.id, info.incarnation))
            }
            Event::Updated { id, incarnation, .. } => {
                self.checked[5] += 1;
                fifth(self.events.updated(who, history, id, *incarnation))
            }
            Event::Left { id, incarnation, .. } => {
                self.checked[5] += 1;
                if lineage == family {
                    self.claims.departed(lineage, id, *incarnation).map_err(|e| (4, e))?;
                }
                fifth(self.events.left(who, history, id, *incarnation))
            }
            Event::Name { name, owner } => {
                self.checked[4] += 1;
                self.events.name(who, history, name, owner.as_ref()).map_err(|e| (4, e))
            }
            Event::Claimed { name, outcome } => {
                self.checked[4] += 1;
                let answer = match outcome {
                    ClaimOutcome::Lost => return Ok(()),
                    ClaimOutcome::Yours => Some(Answer::Yours),
                    ClaimOutcome::Released => Some(Answer::Released),
                    ClaimOutcome::Taken(owner) => Some(Answer::Taken(owner.clone())),
                    _ => None,
                };
                // A child may have lost what its parent confirmed: it is known only to say so.
                let answer = answer.filter(|_| lineage == family);
                let asker = (who, node.config().id());
                self.claims.answered(lineage, asker, name, answer).map_err(|e| (4, e))
            }
            Event::Found { number, members, total } => {
                self.checked[4] += 1;
                self.findings.answered(who, *number, members, *total).map_err(|e| (4, e))
            }
            Event::Role { term, .. } => self.terms.tells(who, family, *term).map_err(|e| (2, e)),
            Event::Leader { term, lineage, .. } => {
                self.terms.tells(who, self.family.root(*lineage), *term).map_err(|e| (2, e))
            }
            Event::Merged { absorbed: Some(absorbed), conflicts, .. } => {
                self.checked[4] += 1;
                self.merged(who, (lineage, *absorbed), node, conflicts)
            }
            Event::Parted { lineage, without, .. } => {
                *self.recovered.entry(*lineage).or_default() |= !without.is_empty();
                let before = self.told_in.get(&who).copied().unwrap_or(*lineage);
                self.events.crossed(who, self.history(before, node), history);
                self.crossing = Some(who);
                Ok(())
            }
            Event::Recovered { lineage, lost, .. } => {
                *self.recovered.entry(*lineage).or_default() |= !lost.is_empty();
                Ok(())
            }
            Event::Network(Notice::RecoveryOrdered(without)) => {
                self.given_up.extend(without.iter().cloned());
                Ok(())
            }
            Event::Registered { slot, generation, incarnation, term, .. } => {
                self.checked[4] += 1;
                let id = node.config().id();
                self.slots.registered(lineage, *slot, *generation, id, *incarnation).map_err(|e| (4, e))?;
                self.terms.tells(who, family, *term).map_err(|e| (2, e))
            }
            Event::BroadcastCommitted { .. } | Event::BroadcastFailed { .. } | Event::BroadcastsMissed { .. } => {
                self.told_of_broadcasts(who, node, event).map_err(|e| (6, e))
            }
            Event::Message { from, incarnation, body, lane } => {
                self.checked[5] += 1;
                self.checked[6] += 1;
                self.may_be_back(who, (lineage, history), node, (from, *incarnation));
                fifth(self.events.message(who, history, from, *incarnation))?;
                let me = node.config().id();
                let verdict = match lane {
                    MessageLane::Stream => self.messages.delivered(who, me, from, body),
                    MessageLane::Datagram => self.messages.note_delivered(me, from, body),
                    MessageLane::Broadcast => self.given_to_all(who, node, (from, *incarnation), body),
                };
                verdict.map_err(|e| (6, e))
            }
            Event::Request { from, incarnation, number, again, body, .. } => {
                self.checked[5] += 1;
                self.checked[6] += 1;
                fifth(self.events.message(who, history, from, *incarnation))?;
                self.requests.given(who, from, *number, *again, body).map_err(|e| (6, e))
            }
            Event::Answer { number, outcome } => {
                self.checked[6] += 1;
                let answer = if let RequestOutcome::Answered(body) = outcome { Some(&body[..]) } else { None };
                self.requests.outcome(who, *number, answer, now).map_err(|e| (6, e))
            }
            Event::Asked { from, incarnation, body, .. } => {
                self.checked[5] += 1;
                self.checked[6] += 1;
                fifth(self.events.message(who, history, from, *incarnation))?;
                self.asks.given(who, body).map_err(|e| (6, e))
            }
            Event::Reply { number, outcome } => {
                self.checked[6] += 1;
                self.asks.ended(who, *number, outcome).map_err(|e| (6, e))
            }
            Event::Undeliverable { to, body, lane: MessageLane::Stream, reason, uncertain } => {
                self.checked[6] += 1;
                let me = node.config().id();
                self.messages.returned(who, me, to, body, *uncertain).map_err(|e| (6, e))?;
                if *reason == Undelivered::TooLarge {
                    self.messages.too_large(who, me, to, body);
                }
                Ok(())
            }
            Event::Moved { .. } => {
                self.events.moved(who);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
