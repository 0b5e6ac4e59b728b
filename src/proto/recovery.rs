//! Recovery of the diskless: so many voters restarted as others that their line can never reach its majority again.
//!
//! Those that are left found a *child lineage* out of the old one. Properties:
//!
//! 1. It is founded only where every voter that any of those left knows of, by what is committed and by what may be, is
//!    either left itself, is there, and has promised (stored, before it said so) never to act in the parent again; or is
//!    gone. Gone is who had no store (or whose id has a store of another voter's now), where another voter answers to its
//!    id, and one of those left saw every address of the old one refuse, or the new one answer there; and whose own process
//!    says that it is a plain member now, for it gave its vote up for good before it said so, by a line without it that one
//!    of those left holds (where none of them does, a newer line is in force, and may live). An operator may name
//!    others. Whoever answers to an id that has a seat, though it doesn't vote, is heard as well: those that are gone may
//!    have let it in again.
//! 2. It is founded only where none of those left can win an election: of the line in force by its own roll, too many are
//!    gone or have promised. Then nobody leads the parent any more: not those who promised, nor those who are no more,
//!    nor both together.
//! 3. Of one parent no two children live. A founder needs the promise of *all* that are left, its own among them, for its
//!    own term, and a voter gives a term to one only: whoever promised a later founding can't complete an earlier one,
//!    and whoever belongs to a child already promises nothing. A child whose founder died before anybody else belonged to
//!    it died with it.
//! 4. The first term lies above every one that those left, or anybody that they hear (who restarted, who seeks), has
//!    seen: terms go up along a lineage and its children.
//! 5. The child begins with the roll of the one among those left that is furthest, with all its entries: it holds all
//!    that any of them knows to be committed (as in an election, by the order of positions). What was committed by the
//!    gone alone, after that, is lost; nobody can know whether there was anything, so the event always says so.
//!
//! Who founds is by preference one that may lead the child. Where every voter that they know of is gone or holds nothing, it is one that
//! came in place of one of these and was given the roll since. Who was taken off the line for good, and is off it, is not put
//! back: it founds for others, as a witness does.
//!
//! What none of those left can know: a voter of an id without a seat, that was admitted after the last entry that any of
//! them holds, by a majority of which none is left. No rule of theirs finds it out: wherever a line is dead those that are
//! gone could have made such a majority together with one newcomer, so to be sure of its absence would be to wait for
//! ever. One alone can't lead without any of those who promised; but what it alone holds is lost as well. Several, admitted
//! while those that are left were out of reach, by voters that all died since, may be a majority and lead the parent on: then
//! what they decided is lost once they meet the child. Voters with a store rule it out, for they never count as gone.

use super::campaign::patience;
use super::planted::{Bug, Planted};
use crate::types::{Identity, Lineage, NodeId, Position, Seat, Term, Time};
use crate::wire::{MAX_VOTERS, Muster, Recover, RecoverReply};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a voter that is left has told.
#[derive(Debug, Clone)]
struct Account {
    at: Time,
    muster: Muster,
}

/// How it stands with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outlook {
    /// One of those that are left may win: elections go on.
    Alive,
    /// The line is dead, but these are not there, and may not be gone.
    Waits(Vec<NodeId>),
    /// All are accounted for.
    Ready {
        /// Those that are left.
        voters: Vec<Identity>,
        /// Those that are no more.
        gone: Vec<Identity>,
        /// Who is to found.
        founder: Identity,
    },
}

/// A founding that this node asks the others for.
#[derive(Debug, Clone)]
struct Call {
    order: Recover,
    grants: BTreeMap<Identity, Position>,
    until: Time,
    fetching: Option<Identity>,
    /// The write after which the own promise is durable.
    ticket: u64,
}

/// What the call wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask this voter for what it has more.
    Fetch(Identity, Term),
    /// Found.
    Found(Recover),
}

#[derive(Debug, Clone)]
pub(super) struct Recovery {
    accounts: BTreeMap<Identity, Account>,
    /// Whom an operator named.
    pub(super) ordered: BTreeSet<NodeId>,
    /// Who is missing, where the line is dead.
    pub(super) waits: Vec<NodeId>,
    /// Nobody is missing but a candidate that could lead what this node founds.
    pub(super) lacks_heir: bool,
    call: Option<Call>,
    next: Time,
    /// No call before this.
    not_before: Time,
    /// How many calls came to nothing.
    tries: u32,
    pub(super) highest: Term,
    interval: Duration,
    detection: Duration,
    pub(super) bug: Planted,
}

impl Recovery {
    pub(super) fn new(now: Time, interval: Duration, detection: Duration) -> Self {
        Self {
            accounts: BTreeMap::new(),
            ordered: BTreeSet::new(),
            waits: Vec::new(),
            lacks_heir: false,
            call: None,
            next: now,
            not_before: now,
            tries: 0,
            highest: Term::ZERO,
            interval,
            detection,
            bug: Planted::default(),
        }
    }

    /// There is a leader, or another lineage: all of it is void.
    pub(super) fn reset(&mut self) {
        self.accounts.clear();
        self.ordered.clear();
        self.waits.clear();
        self.lacks_heir = false;
        self.call = None;
        self.tries = 0;
    }

    /// True where it is time to look at it again and to tell the others.
    pub(super) fn is_due(&mut self, now: Time) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + (self.interval / 2).max(Duration::from_millis(5));
        }
        due
    }

    /// Looks at it again at once.
    pub(super) fn hurry(&mut self, now: Time) {
        self.next = self.next.min(now);
    }

    pub(super) fn deadline(&self) -> Time {
        self.call.as_ref().map_or(self.next, |c| self.next.min(c.until))
    }

    pub(super) fn told(&mut self, now: Time, from: Identity, muster: Muster) {
        if self.accounts.len() < MAX_VOTERS || self.accounts.contains_key(&from) {
            let others = self.accounts.iter().filter(|(who, _)| **who != from);
            let furthest = others.map(|(_, a)| a.muster.position).max();
            let before = self.accounts.get(&from).map(|a| a.muster.position);
            if furthest.is_some_and(|p| p < muster.position && before.is_none_or(|b| b <= p)) {
                // It may know voters better than those before it, who say again who is gone once they have heard it.
                self.accounts.values_mut().for_each(|a| a.muster.gone.clear());
            }
            self.highest = self.highest.max(muster.term);
            self.accounts.insert(from, Account { at: now, muster });
        }
    }

    /// Who told of itself lately, as long as `present` holds for it.
    pub(super) fn forget(&mut self, now: Time, present: impl Fn(Identity) -> bool) {
        let patience = self.detection;
        self.accounts.retain(|who, a| present(*who) && now - a.at <= patience);
    }

    /// True where this one told of itself lately.
    pub(super) fn has_told(&self, who: Identity) -> bool {
        self.accounts.contains_key(&who)
    }

    /// True where this one has told that it holds some of the roll.
    pub(super) fn holds_something(&self, who: Identity) -> bool {
        self.accounts.get(&who).is_some_and(|a| a.muster.position > Position::default())
    }

    /// True where one that holds more than this knows of this voter.
    pub(super) fn is_known_beyond(&self, who: Identity, position: Position) -> bool {
        let knows = |m: &Muster| m.position > position && m.voters.iter().any(|s| s.identity == who);
        self.accounts.values().any(|a| knows(&a.muster))
    }

    /// The voters that others named.
    pub(super) fn named(&self) -> impl Iterator<Item = &Seat> {
        self.accounts.values().flat_map(|a| &a.muster.voters)
    }

    /// How it stands, by what this node knows itself (`own`) and was told. `hollow` tells of a voter that is there and
    /// holds nothing of the lineage, `here` of an id that somebody answers to.
    pub(super) fn outlook(
        &self,
        me: Identity,
        own: &Muster,
        hollow: impl Fn(Identity) -> bool,
        here: impl Fn(&NodeId) -> bool,
    ) -> Outlook {
        let all = || std::iter::once((me, own)).chain(self.accounts.iter().map(|(who, a)| (*who, &a.muster)));
        let mut gone: BTreeSet<Identity> = all().flat_map(|(_, m)| m.gone.iter().copied()).collect();
        // Who speaks is not gone, whatever others claim.
        gone.retain(|g| all().all(|(who, _)| who != *g));
        let mut voters: BTreeMap<Identity, &Seat> = BTreeMap::new();
        for seat in all().flat_map(|(_, m)| &m.voters).filter(|s| s.identity != Identity::ZERO) {
            voters.entry(seat.identity).or_insert(seat);
        }
        let present = |who: Identity| who == me || self.accounts.contains_key(&who);
        if self.bug.has(Bug::RecoverWithoutAll) {
            gone.extend(voters.keys().filter(|who| !present(**who)));
        }
        let left: BTreeMap<Identity, &Seat> =
            voters.iter().filter(|(i, _)| !gone.contains(i)).map(|(i, s)| (*i, *s)).collect();
        let Some((_, newest)) = all().max_by_key(|(_, m)| m.position) else { return Outlook::Alive };
        let sealed: BTreeSet<Identity> = all().filter(|(_, m)| m.sealed).map(|(who, _)| who).collect();
        let grants = |s: &&Seat| left.contains_key(&s.identity) && !sealed.contains(&s.identity);
        let wins = |(who, m): (Identity, &Muster)| {
            let line = || m.voters.iter().filter(|s| s.voting);
            let leads = !m.sealed && line().any(|s| s.identity == who && !s.witness);
            leads && line().filter(grants).count() > line().count() / 2
        };
        if all().any(wins) {
            return Outlook::Alive;
        }
        let mut absent: BTreeSet<NodeId> =
            left.iter().filter(|(i, _)| !present(**i) && !hollow(**i)).map(|(_, s)| s.id.clone()).collect();
        // Those that are gone may have let it in again.
        let unseated = all().flat_map(|(_, m)| &m.voters).filter(|s| s.identity == Identity::ZERO);
        absent.extend(unseated.filter(|s| !here(&s.id)).map(|s| s.id.clone()));
        let rank = |who: Identity| newest.voters.iter().position(|s| s.identity == who).unwrap_or(usize::MAX);
        // Who may lead the child founds it. Where only witnesses are left one of them does, and gives the roll to a candidate
        // that restarted.
        // Where no voter of theirs is left that holds anything, one that came in place of its former self and was given the
        // roll since does.
        let holds = |(_, m): &(Identity, &Muster)| m.position > Position::default();
        let kept = all().filter(holds).any(|(who, _)| left.contains_key(&who));
        let may_found = |one: &(Identity, &Muster)| holds(one) && (left.contains_key(&one.0) || !kept);
        let founder = all().filter(may_found).min_by_key(|(who, m)| {
            let seat = newest.voters.iter().find(|s| s.identity == *who);
            // Whether it is a candidate it knows best itself.
            let witness = |s: &Seat| s.witness || m.voters.iter().any(|mine| mine.identity == *who && mine.witness);
            let leads = seat.is_some_and(|s| s.voting && !witness(s));
            (!leads, left.get(who).is_none_or(|s| witness(s)), Reverse(m.position), rank(*who), *who)
        });
        // Who holds the roll and votes by nobody's promises as well: the others can't know that it doesn't.
        let lax = self.bug.has(Bug::RecoverWithoutUnseated);
        let holders = all().map(|(who, _)| who).filter(|_| !lax);
        let promise: BTreeSet<Identity> = left.keys().copied().chain(holders).collect();
        match founder {
            Some((founder, _)) if absent.is_empty() && promise.len() <= MAX_VOTERS && gone.len() <= MAX_VOTERS => {
                let gone = voters.keys().filter(|who| gone.contains(who)).copied().collect();
                Outlook::Ready { voters: promise.into_iter().collect(), gone, founder }
            }
            _ => Outlook::Waits(absent.into_iter().collect()),
        }
    }

    /// True where this node asks for a founding, or has to wait until it asks again.
    pub(super) fn is_calling(&self, now: Time) -> bool {
        self.call.is_some() || now < self.not_before
    }

    /// The term of the founding that this node asks for.
    pub(super) fn called(&self) -> Option<Term> {
        self.call.as_ref().map(|c| c.order.term)
    }

    /// Begins to ask. The own promise is given already, durable after `ticket`.
    pub(super) fn call(&mut self, order: Recover, until: Time, ticket: u64) {
        self.highest = self.highest.max(order.term);
        self.call = Some(Call { order, grants: BTreeMap::new(), until, fetching: None, ticket });
    }

    /// Gives up what didn't come about in time; true where it did.
    pub(super) fn expire(&mut self, now: Time, pause: Duration) -> bool {
        let late = self.call.take_if(|c| now >= c.until).is_some();
        if late {
            self.not_before = now + pause;
            self.tries = self.tries.saturating_add(1);
        }
        late
    }

    /// How long a call waits for answers that take two rounds at most, where nothing is slow.
    pub(super) fn patience(&self, rounds: Duration) -> Duration {
        patience(rounds, self.tries, self.detection)
    }

    /// Another one's founding was accepted, or a source is gone.
    pub(super) fn withdraw(&mut self, now: Time, pause: Duration) {
        self.call = None;
        self.not_before = self.not_before.max(now + pause);
    }

    /// Takes an answer.
    pub(super) fn answered(&mut self, from: Identity, reply: &RecoverReply) {
        self.highest = self.highest.max(reply.seen);
        let Some(call) = &mut self.call else { return };
        if reply.granted && (reply.lineage, reply.term) == (call.order.lineage, call.order.term) {
            call.grants.insert(from, reply.position);
        }
    }

    /// What was fetched moved this node's roll on: the rest has time too.
    pub(super) fn progressed(&mut self, until: Time) {
        if let Some(call) = self.call.as_mut().filter(|c| c.fetching.is_some()) {
            call.until = until;
        }
    }

    /// Whether to found or to fetch: after an answer, after something was fetched, after the own promise is durable.
    pub(super) fn decide(&mut self, me: Identity, position: Position, durable: u64) -> Option<Step> {
        let skip = self.bug.has(Bug::RecoverWithoutFetching);
        let call = self.call.as_mut()?;
        let all = call.order.voters.iter().all(|who| *who == me || call.grants.contains_key(who));
        if !all || call.ticket > durable {
            return None;
        }
        let ahead = call.grants.iter().filter(|(_, p)| **p > position && !skip).max_by_key(|(_, p)| **p);
        match ahead {
            None => self.call.take().map(|c| Step::Found(c.order)),
            Some((source, _)) if call.fetching != Some(*source) => {
                call.fetching = Some(*source);
                Some(Step::Fetch(*source, call.order.term))
            }
            Some(_) => None,
        }
    }
}

/// Whether an order names everybody that this voter knows of: as left, or as gone.
pub(super) fn names_all(order: &Recover, voters: &[Seat]) -> bool {
    let named = |who: Identity| order.voters.contains(&who) || order.gone.contains(&who);
    voters.iter().all(|s| s.identity == Identity::ZERO || named(s.identity))
}

/// A child of a lineage with these parents has these.
pub(super) fn parents_of_child(parent: Lineage, parents: &[Lineage]) -> Vec<Lineage> {
    std::iter::once(parent).chain(parents.iter().copied()).take(crate::wire::MAX_PARENTS).collect()
}
