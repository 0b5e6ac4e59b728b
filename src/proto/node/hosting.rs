//! What a candidate gives to subscribers: committed entries, by multicast and on demand, and the roll's image.

use super::super::border::Dest;
use super::super::leadership::Sending;
use super::super::peers::GuestSays;
use super::Node;
use super::leading::piece;
use crate::types::{ConnId, Index, Position, Slot, Term, Time};
use crate::wire::{
    self, Append, Datagram, Entry, Follow, MAX_ENTRIES, MAX_NEWS_BYTES, Message, Missed, News, TurnedAway,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// Bytes of entries in one append to a subscriber.
const APPEND_BUDGET: usize = 64 * 1024;
/// Datagrams of changes in one burst; what remains comes with the next one.
const BURST: usize = 16;
/// So many who are deaf to multicast are told changes by unicast, each burst; others ask.
const MAX_DEAF: usize = 256;

/// What a leader keeps to tell changes.
#[derive(Debug, Clone)]
pub(super) struct Telling {
    /// Up to here all is told.
    upto: Index,
    /// When what is new is told: a little later, so that many changes go together.
    at: Time,
    /// The plain members that follow the roll.
    pub(super) followers: BTreeSet<Slot>,
}

impl Telling {
    pub(super) fn new(upto: Index, followers: BTreeSet<Slot>) -> Self {
        Self { upto, at: Time::NEVER, followers }
    }

    pub(super) fn deadline(&self) -> Time {
        self.at
    }
}

/// The images that are being sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Hosting {
    /// The newest one, for whoever asks next: made once for many.
    print: Option<Sending>,
    guests: BTreeMap<ConnId, Sending>,
}

impl Node {
    pub(super) fn guest_says(&mut self, conn: ConnId, says: GuestSays) {
        match says {
            GuestSays::Follow(follow) => self.on_follow(conn, &follow),
            GuestSays::Received(reply) => {
                let sending = self.hosting.guests.get_mut(&conn).filter(|s| s.position == reply.position);
                let Some(sending) = sending.filter(|s| (reply.offset as usize) < s.image.len()) else {
                    return self.turn_away(conn);
                };
                sending.offset = reply.offset;
                let piece = piece(sending, reply.lineage, Term::ZERO, true);
                self.out.send(conn, Message::Snapshot(piece));
            }
            GuestSays::Gone => {
                self.hosting.guests.remove(&conn);
                if self.hosting.guests.is_empty() {
                    self.hosting.print = None;
                }
            }
        }
    }

    fn turn_away(&mut self, conn: ConnId) {
        self.out.send(conn, Message::TurnedAway(TurnedAway { lineage: self.log.lineage() }));
    }

    /// Gives a subscriber what follows its position, as far as it is committed.
    fn on_follow(&mut self, conn: ConnId, follow: &Follow) {
        let known = self
            .log
            .roll()
            .get(follow.slot)
            .is_some_and(|(g, info)| g == follow.generation && info.incarnation == follow.incarnation);
        let ours = !self.log.is_empty()
            && follow.lineage == self.log.lineage()
            && follow.convention == self.config.convention().as_str();
        let ahead = follow.after.index > self.log.commit();
        if !known || !ours || ahead {
            return self.turn_away(conn);
        }
        self.hosting.guests.remove(&conn);
        if self.log.has(follow.after) && follow.after != Position::default() {
            let (commit, prev) = (self.log.commit(), follow.after);
            let entries = self.committed_after(prev.index, APPEND_BUDGET);
            let (lineage, term) = (follow.lineage, Term::ZERO);
            let append = Append { lineage, term, prev, commit, fetched: true, entries };
            return self.out.send(conn, Message::Append(append));
        }
        let sending = self.print();
        let first = piece(&sending, follow.lineage, Term::ZERO, true);
        self.hosting.guests.insert(conn, sending);
        self.out.send(conn, Message::Snapshot(first));
    }

    /// The image to send: one that is a little old is as good, as long as what followed it is still in the log.
    fn print(&mut self) -> Sending {
        let good = |s: &Sending| self.log.has(s.position);
        if let Some(print) = self.hosting.print.clone().filter(good) {
            return print;
        }
        let image = wire::encode_image(&self.log.public_image());
        let print = Sending { position: self.log.committed(), image, offset: 0 };
        self.hosting.print = Some(print.clone());
        print
    }

    /// As plain members are told them.
    fn committed_after(&self, index: Index, budget: usize) -> Vec<Entry> {
        let commit = self.log.commit();
        self.log.condensed_after(index, budget, MAX_ENTRIES, commit)
    }

    /// As many as fit one datagram: none where the first alone doesn't, which no entry of this version is.
    fn news_after(&self, nonce: u64, prev: Position) -> News {
        let mut entries = self.committed_after(prev.index, MAX_NEWS_BYTES);
        if entries.iter().map(wire::entry_len).sum::<usize>() > MAX_NEWS_BYTES {
            entries.clear();
        }
        let term = self.lead.as_ref().map_or(self.voter.promise.term, |l| l.leadership.term);
        News { nonce, lineage: self.log.lineage(), term, prev, commit: self.log.commit(), entries }
    }

    /// A subscriber asks by a datagram, which is answered by one.
    pub(super) fn on_missed(&mut self, from: SocketAddr, missed: Missed) {
        let known = self.log.roll().get(missed.slot).is_some_and(|(g, _)| g == missed.generation);
        if self.log.is_empty() || missed.lineage != self.log.lineage() || !known || missed.nonce == 0 {
            self.out.stats.dropped_unexpected += 1;
            return;
        }
        let holds = self.log.has(missed.after) && missed.after.index <= self.log.commit();
        let mut news = self.news_after(missed.nonce, missed.after);
        if !holds {
            news.entries.clear();
        }
        self.out.stats.news_out += 1;
        self.out.datagram(Dest::Addr(from), Datagram::News(news));
    }

    fn telling_pause(&self) -> Duration {
        (self.config.heartbeat() / 64).clamp(Duration::from_millis(1), Duration::from_millis(50))
    }

    /// Something was committed: subscribers are told soon.
    pub(super) fn note_news(&mut self, now: Time) {
        let (commit, pause) = (self.log.commit(), self.telling_pause());
        let Some(lead) = &mut self.lead else { return };
        if lead.telling.followers.is_empty() {
            lead.telling.upto = commit;
        } else if lead.telling.at == Time::NEVER && lead.telling.upto < commit {
            lead.telling.at = now + pause;
        }
    }

    /// Tells what was committed since, in a bounded burst.
    pub(super) fn tick_telling(&mut self, now: Time) {
        let Some(lead) = self.lead.as_mut().filter(|l| now >= l.telling.at) else { return };
        lead.telling.at = Time::NEVER;
        let mut upto = lead.telling.upto;
        let deaf: Vec<SocketAddr> = (lead.telling.followers.iter())
            .filter(|slot| lead.detector.needs_unicast(**slot))
            .filter_map(|slot| self.log.roll().get(*slot)?.1.addrs.first().copied())
            .take(MAX_DEAF)
            .collect();
        for _ in 0..BURST {
            let Some(term) = self.log.term_at(upto).filter(|_| upto < self.log.commit()) else {
                // Told, or no longer in the log: who lacks it asks.
                upto = self.log.commit();
                break;
            };
            let news = self.news_after(0, Position { term, index: upto });
            upto = news.entries.last().map_or(Index(upto.0 + 1), |e| e.index);
            self.out.stats.news_out += 1;
            for addr in &deaf {
                self.out.datagram(Dest::Addr(*addr), Datagram::News(news.clone()));
            }
            if self.config.multicast {
                self.out.datagram(Dest::Floor, Datagram::News(news));
            }
        }
        if let Some(lead) = &mut self.lead {
            lead.telling.upto = upto;
        }
        self.note_news(now);
    }
}
