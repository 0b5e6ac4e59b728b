//! A plain member that follows the whole roll: what it asks, and what it tells.

use super::super::border::{Dest, StreamInput};
use super::super::event::Event;
use super::super::log::Log;
use super::super::roll::Applied;
use super::super::subscriber::{Ask, Told};
use super::Node;
use super::following::outcome;
use crate::types::{ConnId, Lineage, MemberInfo, Time, VoterTag};
use crate::wire::{Datagram, Follow, Message, Missed, News};
use std::net::SocketAddr;

impl Node {
    /// The roll as far as this node may show it: a voter's, or a subscriber's.
    pub(super) fn held(&self) -> &Log {
        let followed = self.subscriber.log();
        let follows = !self.me.standing.votes() && followed.lineage() == self.lineage();
        if follows { followed } else { &self.log }
    }

    fn subscribes(&self) -> bool {
        self.config.subscribe && !self.me.standing.votes()
    }

    /// True while it asks for what it lacks.
    pub(super) fn follows_now(&self) -> bool {
        let lineage = self.lineage();
        self.subscribes() && !self.is_going() && self.follower.registration.is_some_and(|r| r.lineage == lineage)
    }

    /// True where this node holds the roll, or a prefix of it.
    #[must_use]
    pub fn holds_roll(&self) -> bool {
        !self.held().is_empty()
    }

    fn patience(&self) -> std::time::Duration {
        self.config.detection().max(std::time::Duration::from_secs(1))
    }

    /// Called after each input: what is due is asked, wherever it belongs by now.
    pub(super) fn tick_subscription(&mut self, now: Time) {
        if !self.config.subscribe {
            return;
        }
        let lineage = self.lineage();
        if !self.follows_now() {
            return self.subscriber.rest(&mut self.out);
        }
        if self.subscribed != lineage {
            let available = self.is_available();
            // A child that died out with its voters may have a sibling: that is told as what came of it.
            let parents = self.subscriber.log().parents();
            let near = |from: &Lineage| self.descends(lineage, *from);
            let kin =
                self.subscribed != Lineage::ZERO && (available || near(&self.subscribed) || parents.iter().any(near));
            // Of the one in between nothing was told: it goes on where it was.
            let back = self.subscriber.comes_back_to(lineage);
            let kin = kin && !back;
            self.merging.crossed.take_if(|_| back);
            let passes = Some((self.subscribed, lineage));
            self.merging.parts = (self.merging.parted == passes).then_some(lineage);
            if kin && available && self.merging.parts.is_none() {
                self.merging.crossed = passes;
            }
            self.subscribed = lineage;
            let known = self.abandoned.take_if(|log| log.lineage() == lineage && !kin);
            self.subscriber.enter(now, lineage, known.filter(|_| !self.told.anew), kin);
            let other = self.abandoned.take_if(|log| available && log.lineage() != lineage);
            if let Some(log) = other.filter(|_| !self.told.anew) {
                self.merging.crossed = Some((log.lineage(), lineage));
                self.subscriber.inherit(log);
            }
        }
        let patience = self.patience();
        match self.subscriber.due(now, patience, &mut self.out) {
            None => {}
            Some(ask) => {
                let (tries, draw) = (self.subscriber.tries(), self.subscriber.draw());
                match self.supporter(tries, draw) {
                    None => self.subscriber.failed(now),
                    Some(addr) => self.ask(addr, ask),
                }
            }
        }
    }

    fn ask(&mut self, addr: SocketAddr, ask: Ask) {
        let Some(r) = self.follower.registration else { return };
        self.out.stats.repairs += 1;
        match ask {
            Ask::Datagram(nonce) => {
                let after = self.subscriber.log().committed();
                let missed = Missed { nonce, lineage: r.lineage, after, slot: r.slot, generation: r.generation };
                self.out.datagram(Dest::Addr(addr), Datagram::Missed(missed));
            }
            Ask::Stream => {
                let conn = self.peers.new_conn();
                self.subscriber.dials(conn);
                self.out.connect(conn, addr);
            }
        }
    }

    /// Whom to ask: one of the supporters, and the leader where there is none, or where they don't answer.
    pub(super) fn supporter(&self, tries: u32, draw: u64) -> Option<SocketAddr> {
        let leader = self.follower.bond().map(|b| b.leader);
        let (held, view) = (self.subscriber.log(), self.follower.view.as_ref());
        let line = held.roll().line();
        // The line of a roll that lags may have addresses that are of no use any more.
        let view =
            view.filter(|v| v.lineage != held.lineage() || v.line_version.wrapping_sub(line.version()) as i32 >= 0);
        let mut known = line.voters().filter_map(|s| Some((s.identity.tag(), *s.addrs.first()?)));
        let others = |seats: &mut dyn Iterator<Item = (VoterTag, SocketAddr)>| -> Vec<SocketAddr> {
            seats.filter(|(voter, _)| Some(*voter) != leader).map(|(_, addr)| addr).collect()
        };
        let addrs = match view {
            // Where it names nobody but the leader there is nobody else to ask, whatever an older line says.
            Some(v) => others(&mut v.line.iter().filter(|s| s.voting).map(|s| (s.voter, s.addr))),
            None => others(&mut known),
        };
        let leader = self.follower.addressee().map(|(addr, _)| addr);
        if addrs.is_empty() || tries % 4 == 3 {
            return leader.or_else(|| addrs.first().copied());
        }
        addrs.get((draw % addrs.len() as u64) as usize).copied()
    }

    fn follow(&mut self, conn: ConnId) {
        let Some(r) = self.follower.registration else { return };
        let follow = Follow {
            convention: self.config.convention().as_str().into(),
            lineage: r.lineage,
            incarnation: self.me.incarnation,
            after: self.subscriber.log().committed(),
            slot: r.slot,
            generation: r.generation,
        };
        self.out.send(conn, Message::Follow(follow));
    }

    /// What happened to the connection that the subscriber asks over.
    pub(super) fn subscription_stream(&mut self, now: Time, conn: ConnId, input: StreamInput<'_>) {
        match input {
            StreamInput::Connected => self.follow(conn),
            StreamInput::Bytes(bytes) => {
                for message in self.subscriber.read(bytes, &mut self.out) {
                    if self.subscriber.owns(conn) {
                        self.subscription_message(now, conn, &message);
                    }
                }
            }
            StreamInput::Refused | StreamInput::Failed | StreamInput::Closed => self.subscriber.unlinked(now),
            StreamInput::Accepted(_) | StreamInput::Written(_) => {}
        }
    }

    fn subscription_message(&mut self, now: Time, conn: ConnId, message: &Message) {
        let (lineage, patience, mut told) = (self.lineage(), self.patience(), Vec::new());
        match message {
            Message::Append(append) => {
                if self.subscriber.append(now, append, patience, &mut self.out, &mut told) {
                    self.follow(conn);
                }
            }
            Message::Snapshot(piece) => match self.subscriber.piece(now, lineage, piece, patience, &mut told) {
                Some(Some(reply)) => self.out.send(conn, Message::SnapshotReply(reply)),
                Some(None) => self.follow(conn),
                None => {
                    self.out.stats.dropped_unexpected += 1;
                    self.subscriber.rest(&mut self.out);
                    self.subscriber.failed(now);
                }
            },
            _ => {
                self.subscriber.rest(&mut self.out);
                self.subscriber.failed(now);
            }
        }
        self.tell_followed(now, told);
    }

    pub(super) fn on_news(&mut self, now: Time, from: SocketAddr, news: &News) {
        if !self.subscribes() {
            return;
        }
        let by_leader = news.nonce != 0
            || self.follower.bond().is_some_and(|b| b.lineage == news.lineage && b.term == news.term && b.addr == from);
        if news.lineage != self.lineage() || news.lineage == Lineage::ZERO || !by_leader {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        if self.subscriber.log().lineage() != news.lineage {
            return;
        }
        self.out.stats.news_in += 1;
        let mut told = Vec::new();
        self.subscriber.news(now, news, &mut self.out, &mut told);
        self.tell_followed(now, told);
    }

    fn tell_followed(&mut self, now: Time, told: Vec<Told>) {
        for told in told {
            match told {
                Told::Replaced(old) => {
                    self.hear_before(&old);
                    let roll = self.subscriber.log().roll().clone();
                    match self.merging.crossed.take_if(|(_, into)| *into == self.subscribed) {
                        Some((from, _)) => self.tell_crossing(now, from, &old, &roll),
                        None if self.merging.parts.take_if(|into| *into == self.subscribed).is_some() => {
                            let (lineage, log) = (self.subscribed, self.subscriber.log());
                            let parent = log.parents().first().copied().unwrap_or_default();
                            let here = |s: &&crate::types::Seat| !log.line().votes(s.identity);
                            let without = old.line().voters().filter(here).map(|s| s.id.clone()).collect();
                            self.out.event(Event::Parted { lineage, parent, without, kept: log.commit() });
                            self.tell_other_roll(now, &old, &roll);
                        }
                        None => {
                            self.tell_changes(now, outcome(&old, &roll));
                            self.tell_missed_mergers(&old);
                        }
                    }
                }
                Told::Change(applied) => self.tell_applied(now, applied),
            }
        }
    }

    fn tell_applied(&mut self, now: Time, applied: Applied) {
        match applied {
            Applied::Joined { slot, info, .. } => self.tell_joined(now, slot, info),
            Applied::Updated { slot, info } | Applied::Restood { slot, info, .. } => {
                let MemberInfo { id, incarnation, standing, capabilities, .. } = info;
                self.out.event(Event::Updated { id, incarnation, slot, standing, capabilities });
            }
            Applied::Left { id, incarnation, reason, names, .. } => {
                names.into_iter().for_each(|name| self.out.event(Event::Name { name, owner: None }));
                self.sender_left(now, &id, incarnation);
                self.out.event(Event::Left { id, incarnation, reason });
            }
            Applied::Claim(claimed) if claimed.changed => {
                self.out.event(Event::Name { name: claimed.name, owner: claimed.owner });
            }
            Applied::Said { prev, said } => self.said_committed(prev, &said),
            Applied::Absorbed(merger) => self.tell_absorbed(&merger),
            Applied::Conflict(_, conflict) => self.merging.conflict(conflict),
            Applied::Claim(_) | Applied::Nothing | Applied::Line(_) | Applied::Begun { .. } | Applied::Over(_) => {}
        }
    }
}
