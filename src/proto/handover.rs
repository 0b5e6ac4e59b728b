//! Handing the leadership over: how far it has come, and when an earlier candidate preempts.
//!
//! Properties: the successor has answered, after the handover began, that it could lead; from then on the leader decides
//! nothing more, and is succeeded only by one whose roll equals its own, all of it committed; the blessing ends its
//! leadership for good before anybody hears of it; each handover that begins ends within a bound, done or aborted; one
//! that preempts was in sync without a break, and no two tries follow each other sooner than that, nor, after failures,
//! than twice the last pause.

use crate::types::{Identity, NodeId, Term, Time};
use std::time::Duration;

/// After so many failures in a row the pause between two preemptions grows no longer.
const MOST_DOUBLINGS: u32 = 6;

/// How far a handover has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The leader waits until the successor has answered what was asked when it began; it decides as before.
    Asking,
    /// The successor could not lead now.
    Declined,
    /// It decides nothing more, and waits until the successor's roll equals its own.
    Levelling,
    /// The leader leads no more, and waits for its successor to.
    Blessed,
}

/// A handover under way.
#[derive(Debug, Clone)]
pub(super) struct Handover {
    pub(super) heir: NodeId,
    pub(super) identity: Identity,
    /// The term that ends by it.
    pub(super) term: Term,
    /// The number of the invitation.
    pub(super) round: u32,
    /// When it began.
    pub(super) since: Time,
    pub(super) phase: Phase,
    /// When this phase has lasted too long.
    pub(super) until: Time,
    /// A blessed successor is waited for although nothing came of it yet: its messages may be slow.
    pub(super) patient: bool,
}

/// Whether, and when, an earlier candidate takes over from this leader.
#[derive(Debug, Clone)]
pub(super) struct Preemption {
    after: Option<Duration>,
    /// The earliest candidate before this leader that is in sync, in which of its terms, and since when.
    seen: Option<(Term, Identity, Time)>,
    failures: u32,
    not_before: Time,
}

impl Preemption {
    pub(super) fn new(after: Option<Duration>) -> Self {
        Self { after, seen: None, failures: 0, not_before: Time::ZERO }
    }

    pub(super) fn is_on(&self) -> bool {
        self.after.is_some()
    }

    /// In this term's leadership, this candidate is the earliest before the leader that is in sync now; true where it
    /// has been for long enough.
    pub(super) fn due(&mut self, now: Time, term: Term, earliest: Option<Identity>) -> bool {
        let (Some(after), Some(earliest)) = (self.after, earliest) else {
            self.seen = None;
            return false;
        };
        match self.seen {
            Some((t, who, since)) if (t, who) == (term, earliest) => now - since >= after && now >= self.not_before,
            _ => {
                self.seen = Some((term, earliest, now));
                false
            }
        }
    }

    /// A handover ended.
    pub(super) fn ended(&mut self, now: Time, done: bool) {
        self.seen = None;
        if done {
            self.failures = 0;
        } else if let Some(after) = self.after {
            self.not_before = now + after * (1 << self.failures.min(MOST_DOUBLINGS));
            self.failures = self.failures.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(n: u64) -> Time {
        Time::from_micros(n * 1_000_000)
    }

    #[test]
    fn preemption_takes_an_unbroken_time_in_sync() {
        let mut never = Preemption::new(None);
        assert!(!never.is_on() && !never.due(s(0), Term(1), Some(Identity(1))));
        assert!(!never.due(s(1_000), Term(1), Some(Identity(1))));
        let mut p = Preemption::new(Some(Duration::from_secs(10)));
        assert!(!p.due(s(0), Term(1), Some(Identity(1))));
        assert!(!p.due(s(9), Term(1), Some(Identity(1))));
        assert!(p.due(s(10), Term(1), Some(Identity(1))));
        assert!(!p.due(s(11), Term(1), None), "out of sync for a moment");
        assert!(!p.due(s(12), Term(1), Some(Identity(1))));
        assert!(p.due(s(22), Term(1), Some(Identity(1))));
        assert!(!p.due(s(22), Term(1), Some(Identity(2))), "another one");
        assert!(!p.due(s(50), Term(3), Some(Identity(2))), "another leadership");
    }

    #[test]
    fn after_a_failure_it_waits_longer_each_time() {
        let mut p = Preemption::new(Some(Duration::from_secs(10)));
        let mut tries = Vec::new();
        for at in 0..200 {
            if p.due(s(at), Term(1), Some(Identity(1))) {
                tries.push(at);
                p.ended(s(at), false);
            }
        }
        assert_eq!(tries, [10, 21, 41, 81, 161]);
        p.ended(s(200), true);
        assert!(!p.due(s(500), Term(1), Some(Identity(1))));
        assert!(p.due(s(510), Term(1), Some(Identity(1))));
    }
}
