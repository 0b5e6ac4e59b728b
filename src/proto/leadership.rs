//! What a leader keeps: its lease, and how far each follower's roll matches.
//!
//! Properties: the lease counts from the sending of the newest heartbeat that a majority of the line in force
//! acknowledged by its exact (lineage, term, number), and a lease once lost is never held again in that term; an entry
//! is committed only once a majority holds it durably and it is of the leader's own term (or lies before such a one).

use super::planted::{Bug, Planted};
use crate::types::{ConnId, Identity, Index, Line, Position, Term, Time};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Heartbeats whose time of sending is remembered.
const REMEMBERED: usize = 128;

/// How far one follower is.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    /// The connection that this goes through.
    pub(super) conn: ConnId,
    /// Matches up to here.
    pub(super) matched: Index,
    /// Where the next append begins: right behind this index.
    pub(super) next: Index,
    /// An append or a piece of a snapshot is under way since then.
    pub(super) in_flight: Option<Time>,
    /// A snapshot is under way.
    pub(super) snapshot: Option<Sending>,
    /// The commit index that it was told last.
    pub(super) told_commit: Index,
}

/// A snapshot under way.
#[derive(Debug, Clone)]
pub(super) struct Sending {
    pub(super) position: Position,
    pub(super) image: Bytes,
    pub(super) offset: u32,
}

impl Progress {
    pub(super) fn new(conn: ConnId, next: Index) -> Self {
        Self { conn, matched: Index::ZERO, next, in_flight: None, snapshot: None, told_commit: Index::ZERO }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Leadership {
    pub(super) term: Term,
    pub(super) since: Time,
    /// The entry that began this leadership: nothing is decided before it is committed.
    pub(super) first: Index,
    /// The number of the newest heartbeat.
    pub(super) number: u32,
    pub(super) next_heartbeat: Time,
    /// Heartbeats in quick succession at the beginning, so that a lost one costs no interval.
    pub(super) burst: u32,
    sent: VecDeque<(u32, Time)>,
    acked: BTreeMap<Identity, Time>,
    lease_until: Option<Time>,
    lease: Duration,
    pub(super) progress: BTreeMap<Identity, Progress>,
    /// Since when the oldest uncommitted entry waits.
    pub(super) uncommitted_since: Option<Time>,
    /// A founding leads for others only once it is committed.
    pub(super) founding: bool,
    pub(super) bug: Planted,
}

impl Leadership {
    pub(super) fn new(term: Term, now: Time, first: Index, lease: Duration) -> Self {
        Self {
            term,
            since: now,
            first,
            number: 0,
            next_heartbeat: now,
            burst: 3,
            sent: VecDeque::with_capacity(REMEMBERED),
            acked: BTreeMap::new(),
            lease_until: None,
            lease,
            progress: BTreeMap::new(),
            uncommitted_since: Some(now),
            founding: false,
            bug: Planted::default(),
        }
    }

    /// The next heartbeat's number.
    pub(super) fn beat(&mut self, now: Time) -> u32 {
        self.number = self.number.saturating_add(1);
        if self.sent.len() == REMEMBERED {
            self.sent.pop_front();
        }
        self.sent.push_back((self.number, now));
        self.number
    }

    /// Takes an acknowledgement that echoes this lineage and term; false where it echoes no heartbeat of it.
    pub(super) fn acknowledged(&mut self, now: Time, me: Identity, line: &Line, from: Identity, number: u32) -> bool {
        let sent = match self.sent.iter().find(|(n, _)| *n == number) {
            _ if self.bug.has(Bug::LeaseFromReceipt) => now,
            Some((_, at)) => *at,
            None => return false,
        };
        if line.by_identity(from).is_none() && !self.bug.has(Bug::RetiredCounts) {
            // A learner's word renews nothing.
            return true;
        }
        let newest = self.acked.entry(from).or_insert(sent);
        *newest = (*newest).max(sent);
        self.renew(now, me, line);
        true
    }

    /// Recomputes the lease: after an acknowledgement, and after a change of the line.
    pub(super) fn renew(&mut self, now: Time, me: Identity, line: &Line) {
        let base = line.reached_by_majority(|s| {
            if s.identity == me { now } else { *self.acked.get(&s.identity).unwrap_or(&Time::ZERO) }
        });
        let base = if self.bug.has(Bug::RetiredCounts) { self.base_by_all(me, line, now) } else { base };
        let Some(base) = base.filter(|b| *b > Time::ZERO) else { return };
        let until = base + self.lease;
        // A lease is never shortened by a later look, and an expired one is found before this is called.
        self.lease_until = Some(self.lease_until.map_or(until, |old| old.max(until)));
    }

    /// When the newest heartbeat was sent that this voter acknowledged.
    pub(super) fn acked_at(&self, voter: Identity) -> Option<Time> {
        self.acked.get(&voter).copied()
    }

    /// The planted way: the word of any majority's number of voters, on the line or not.
    fn base_by_all(&self, me: Identity, line: &Line, now: Time) -> Option<Time> {
        let mut all: Vec<Time> = self.acked.iter().filter(|(i, _)| **i != me).map(|(_, at)| *at).collect();
        all.push(now);
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.get(line.majority() - 1).copied()
    }

    pub(super) fn lease_until(&self) -> Option<Time> {
        self.lease_until
    }

    /// True where the lease is lost: it ended, or none was won within the time for it.
    pub(super) fn expired(&self, now: Time) -> bool {
        if self.bug.has(Bug::LeaseNotExpired) {
            return false;
        }
        now >= self.lease_until.unwrap_or(self.since + self.lease)
    }

    pub(super) fn expires_at(&self) -> Time {
        self.lease_until.unwrap_or(self.since + self.lease)
    }

    /// True while it holds a lease that a majority acknowledged.
    pub(super) fn has_lease(&self, now: Time) -> bool {
        self.lease_until.is_some_and(|until| now < until) || self.bug.has(Bug::LeaseNotExpired)
    }

    /// How far the roll may be committed: `mine` is the leader's own durable index, `term_at` its log.
    pub(super) fn committable(
        &self,
        me: Identity,
        line: &Line,
        mine: Index,
        term_at: impl Fn(Index) -> Option<Term>,
    ) -> Option<Index> {
        let index = line.reached_by_majority(|s| {
            if s.identity == me { mine } else { self.progress.get(&s.identity).map_or(Index::ZERO, |p| p.matched) }
        })?;
        let own_term = term_at(index) == Some(self.term) || self.bug.has(Bug::CommitOldTerm);
        own_term.then_some(index)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::types::{Incarnation, NodeId, Seat, Slot};

    fn line(n: u64) -> Line {
        let seat = |i: u64| Seat {
            id: NodeId::new(&format!("n{i}")).unwrap(),
            identity: Identity(i),
            incarnation: Incarnation(1),
            priority: 0,
            admitted: i as u32,
            witness: false,
            durable: false,
            voting: true,
            slot: Slot(i as u32),
            addrs: vec![],
        };
        Line::new(1, (1..=n).map(seat).collect())
    }

    fn ms(n: u64) -> Time {
        Time::from_micros(n * 1_000)
    }

    #[test]
    fn the_lease_counts_from_the_sending_of_what_a_majority_acknowledged() {
        let mut l = Leadership::new(Term(1), ms(0), Index(1), Duration::from_millis(100));
        let line = line(5);
        let first = l.beat(ms(10));
        let second = l.beat(ms(20));
        assert!(l.acknowledged(ms(30), Identity(1), &line, Identity(2), second));
        assert_eq!(l.lease_until(), None, "two of five are no majority");
        assert!(l.acknowledged(ms(31), Identity(1), &line, Identity(3), first));
        assert_eq!(l.lease_until(), Some(ms(110)));
        assert!(l.acknowledged(ms(32), Identity(1), &line, Identity(4), second));
        assert_eq!(l.lease_until(), Some(ms(120)));
        assert!(!l.acknowledged(ms(33), Identity(1), &line, Identity(5), 99), "an unknown number proves nothing");
        assert!(!l.expired(ms(119)));
        assert!(l.expired(ms(120)));
    }

    #[test]
    fn entries_of_older_terms_are_not_committed_by_counting() {
        let mut l = Leadership::new(Term(3), ms(0), Index(8), Duration::from_millis(100));
        for i in 2..=3 {
            l.progress.insert(Identity(i), Progress { matched: Index(7), ..Progress::new(ConnId(i), Index(7)) });
        }
        let terms = |i: Index| Some(if i.0 <= 7 { Term(2) } else { Term(3) });
        assert_eq!(l.committable(Identity(1), &line(5), Index(8), terms), None);
        for p in l.progress.values_mut() {
            p.matched = Index(8);
        }
        assert_eq!(l.committable(Identity(1), &line(5), Index(8), terms), Some(Index(8)));
    }
}
