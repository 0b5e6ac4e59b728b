//! Tells the story of what nodes tell.

use super::World;
use crate::proto::{Event, HandoverStep, Notice, RequestOutcome};
use crate::types::Incarnation;

/// Incarnations are times: the story counts them from the world's beginning.
fn short(incarnation: Incarnation) -> u64 {
    incarnation.0.checked_sub(super::control::EPOCH_US).unwrap_or(incarnation.0)
}

impl World {
    pub(super) fn narrate(&mut self, h: u32, event: &Event) {
        match event {
            Event::Message { from, body, lane, .. } => {
                self.say(h, format_args!("is given {} bytes of {from} by {}", body.len(), lane.as_str()));
            }
            Event::Undeliverable { to, body, reason, uncertain, .. } => {
                let reason = reason.as_str();
                self.say(h, format_args!("gets {} bytes to {to} back: {reason}, uncertain {uncertain}", body.len()));
            }
            Event::Request { from, number, again, .. } => {
                self.say(h, format_args!("is given request {number} of {from}, again {again}"));
            }
            Event::Answer { number, outcome: RequestOutcome::Answered(_) } => {
                self.say(h, format_args!("is answered request {number}"));
            }
            Event::Answer { number, outcome } => self.say(h, format_args!("hears of request {number}: {outcome:?}")),
            Event::Role { role, term } => self.say(h, format_args!("is now {} (term {term})", role.as_str())),
            Event::Leader { leader: Some(leader), term, .. } => {
                self.say(h, format_args!("follows {leader} in term {term}"));
            }
            Event::Leader { leader: None, term, .. } => self.say(h, format_args!("knows no leader (term {term})")),
            Event::Registered { slot, incarnation, leader, .. } => {
                let n = short(*incarnation);
                self.say(h, format_args!("is registered by {leader}: slot {slot}, incarnation {n}"));
            }
            Event::Line { version, line } => {
                let mut text = String::new();
                for place in line {
                    text += if place.active { " " } else { " -" };
                    text += place.id.as_str();
                }
                self.say(h, format_args!("line {version}:{text}"));
            }
            Event::Joined { info, slot } => {
                let n = short(info.incarnation);
                self.say(h, format_args!("sees {} join: slot {slot}, incarnation {n}", info.id));
            }
            Event::Left { id, incarnation, reason } => {
                let n = short(*incarnation);
                self.say(h, format_args!("sees {id} incarnation {n} leave: {}", reason.as_str()));
            }
            Event::Network(Notice::Handover(heir, step)) => match step {
                HandoverStep::Begun => self.say(h, format_args!("begins to hand over to {heir}")),
                HandoverStep::Blessed(_, at) => self.say(h, format_args!("blesses {heir}, level at {at:?}")),
                HandoverStep::Done(term) => self.say(h, format_args!("has handed over to {heir} (term {term})")),
                HandoverStep::Aborted(why) => self.say(h, format_args!("doesn't hand over to {heir}: {why}")),
            },
            other => self.say(h, format_args!("{other:?}")),
        }
    }
}
