//! Who can do what: answered by whoever holds the roll, and asked of the leader by the others.

use super::super::border::{CommandError, Dest};
use super::super::event::{Event, LinePlace};
use super::{Node, members};
use crate::types::{Capabilities, MemberInfo, Slot, Time};
use crate::wire::{Datagram, Find, Found};
use std::net::SocketAddr;

/// The ids that a question is answered with at most; the frame holds as many or fewer.
const MAX_FOUND: usize = 400;

/// The capability that nobody sets and the leader has: `leader=yes`.
const LEADER: (&str, &str) = ("leader", "yes");

impl Node {
    /// The members with this capability, in the order of their slots. Empty where this node doesn't hold the roll
    /// ([`Node::holds_roll`]): then the leader knows ([`crate::proto::Command::Find`]).
    ///
    /// Who leads has `leader=yes`, as far as this node knows: that key is derived, whatever a member says of itself.
    pub fn find<'a>(&'a self, key: &'a str, value: &'a str) -> impl Iterator<Item = (Slot, &'a MemberInfo)> {
        let has = move |info: &MemberInfo| match key {
            _ if key == LEADER.0 => value == LEADER.1 && self.told.leader.as_ref() == Some(&info.id),
            _ => info.capabilities.get(key) == Some(value),
        };
        self.members().filter(move |(_, _, info)| has(info)).map(|(slot, _, info)| (slot, info))
    }

    /// The line of succession with its version, by the roll or as this node was told it.
    #[must_use]
    pub fn line_places(&self) -> (u32, Vec<LinePlace>) {
        let line = self.held().roll().line();
        match &self.follower.view {
            Some(view) if self.log.is_empty() && (view.line_version.wrapping_sub(line.version()) as i32) > 0 => {
                (view.line_version, view.line.iter().map(members::place_ref).collect())
            }
            _ => (line.version(), members::places(line)),
        }
    }

    pub(super) fn find_for(&mut self, number: u64, key: &str, value: &str) -> Result<(), CommandError> {
        let mut wanted = Capabilities::new();
        wanted.set(key, value).map_err(CommandError::BadCapability)?;
        if !self.questions.ask(number, wanted) {
            return Err(CommandError::TooMany);
        }
        Ok(())
    }

    /// How many have a capability, and who, as many as are told.
    fn who_has(&self, wanted: &Capabilities) -> (u32, Vec<crate::types::NodeId>) {
        let (mut total, mut ids) = (0, Vec::new());
        for (key, value) in wanted.iter() {
            for (_, info) in self.find(key, value) {
                total += 1;
                if ids.len() < MAX_FOUND {
                    ids.push(info.id.clone());
                }
            }
        }
        (total, ids)
    }

    /// Called after each input: answers what it knows itself, and asks the leader for the rest.
    pub(super) fn tick_questions(&mut self, now: Time) {
        if self.questions.is_idle() {
            return;
        }
        if self.holds_roll() {
            for (number, wanted) in self.questions.drain() {
                let (total, members) = self.who_has(&wanted);
                self.out.event(Event::Found { number, members, total: total as usize });
            }
            return;
        }
        let Some((addr, _)) = self.follower.addressee() else { return };
        while let Some((nonce, wanted)) = self.questions.due(now) {
            let find = Find { nonce, lineage: self.lineage(), wanted };
            self.out.datagram(Dest::Addr(addr), Datagram::Find(find));
        }
    }

    pub(super) fn on_find(&mut self, now: Time, from: SocketAddr, find: &Find) {
        if !self.is_ready() || find.lineage != self.voter.promise.lineage {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        let (at, step) = ((find.lineage, self.log.commit()), self.config.step());
        let mut findings = std::mem::take(&mut self.findings);
        let found = findings.find(now, step, at, &find.wanted, || self.who_has(&find.wanted));
        self.findings = findings;
        let Some((total, members)) = found else {
            self.out.stats.finds_dropped += 1;
            return;
        };
        let found = Found { nonce: find.nonce, lineage: find.lineage, total, members };
        self.out.datagram(Dest::Addr(from), Datagram::Found(found));
    }

    pub(super) fn on_found(&mut self, now: Time, found: Found) {
        let ours = found.lineage == self.lineage();
        if ours && self.on_chosen(now, &found) {
            return;
        }
        match if ours { self.questions.answered(found.nonce) } else { None } {
            Some(number) => {
                self.out.event(Event::Found { number, members: found.members, total: found.total as usize });
            }
            None => self.out.stats.dropped_unexpected += 1,
        }
    }
}
