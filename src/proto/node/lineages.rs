//! Child lineages: following a child of one's own lineage, and what is told of it.

use super::super::border::Lane;
use super::super::event::Event;
use super::super::follower::Registration;
use super::super::leadership::Sending;
use super::super::log::Log;
use super::super::peers::Peer;
use super::super::planted::Bug;
use super::super::roll::Roll;
use super::Node;
use super::leading::piece;
use crate::types::{ConnId, Identity, Index, Lineage, NodeId, Position, Seat, Term, Time};
use crate::wire::{self, Change, Entry, Image, Message, Overruled, Place, Seek, View};

/// Who has asked so often in vain hears nobody of its own lineage.
const ASTRAY: u16 = 3;
/// No leader bids further above its term because somebody unknown asks: terms must not be used up.
const MAX_LEAP_ASKED: u64 = 1 << 16;

/// A lineage with what it was founded out of; nobody, where there is none.
pub(super) fn family(lineage: Lineage, parents: &[Lineage]) -> Vec<Lineage> {
    std::iter::once(&lineage).chain(parents).copied().filter(|l| *l != Lineage::ZERO).collect()
}

impl Node {
    pub(super) fn belong_to_child(&mut self, now: Time, child: Lineage, term: Term, granted: Option<Identity>) {
        // The terms go on: nothing is forgotten of them.
        self.told.lineage = child;
        if self.bug.has(Bug::RecoveryTermTooLow) {
            self.told.term = Term::ZERO;
        }
        self.voter.enter(child, term, granted, &mut self.out);
        if self.is_available() {
            self.claimant.pass_over();
        }
        self.recovery.reset();
        self.merging.heir = None;
        self.campaign.idle();
        self.follower.unbind(now);
        self.follower.move_to(child);
        self.find_place(now);
        if let (Some(told), Some(r)) = (&mut self.told.registered, self.follower.registration) {
            *told = (r.lineage, r.slot, r.generation);
        }
        self.incoming = None;
        self.serving = None;
        self.abandoned = None;
        self.leaderless_since = now;
        self.lineage_seen = now;
        self.introduce();
    }

    /// This node's place is what the child's roll says. What brought it onto the parent's may be lost: then its place may be
    /// another's in the child, and who was told of this incarnation was told that it left.
    fn find_place(&mut self, now: Time) {
        let mine = self.log.roll().find(&self.me.id).map(|(slot, generation, i)| (slot, generation, i.incarnation));
        let known = mine.map(|(.., incarnation)| incarnation);
        let holds = |r: Registration| mine == Some((r.slot, r.generation, self.me.incarnation));
        if known != Some(self.me.incarnation) && self.told.registered.is_some() {
            self.renew_incarnation(now, known.unwrap_or_default());
        } else if !self.follower.registration.is_some_and(holds) {
            self.follower.unregister(now);
        }
    }

    /// True where a lineage is known as a child of this node's, or as what its own was founded out of.
    pub(super) fn is_kin(&self, lineage: Lineage) -> bool {
        let ours = self.lineage();
        let child = |p: &Peer| p.lineage == lineage && p.parents.contains(&ours);
        self.log.parents().contains(&lineage) || self.peers.ready().any(|(p, _)| child(p))
    }

    /// True where this node knows that one lineage was founded out of another.
    pub(super) fn descends(&self, lineage: Lineage, from: Lineage) -> bool {
        let by_roll = self.log.lineage() == lineage && self.log.parents().contains(&from);
        let by_view = self.follower.view.as_ref().is_some_and(|v| v.lineage == lineage && v.parents.contains(&from));
        by_roll || by_view || self.peers.ready().any(|(p, _)| p.lineage == lineage && p.parents.contains(&from))
    }

    /// A lineage that this node is in, with what it was founded out of.
    pub(super) fn family_of(&self, lineage: Lineage) -> Vec<Lineage> {
        let view = self.follower.view.as_ref().filter(|v| v.lineage == lineage);
        let by_roll = (self.log.lineage() == lineage).then(|| self.log.parents());
        family(lineage, by_roll.or(view.map(|v| &v.parents[..])).unwrap_or_default())
    }

    /// True where this node's lineage has nothing to do with the one that it was on the roll of last: it was founded anew.
    pub(super) fn is_among_strangers(&self) -> bool {
        let lineage = self.lineage();
        // Asked at each turn: it mostly is where it was.
        let elsewhere = lineage != Lineage::ZERO && !self.family.contains(&lineage);
        elsewhere && !self.family_of(lineage).iter().any(|l| self.family.contains(l))
    }

    /// True where this node's lineage had nothing to do with the one that it was on the roll of before.
    pub(super) fn begins_anew(&self) -> bool {
        if self.family.first() == Some(&self.lineage()) { self.came_anew } else { self.is_among_strangers() }
    }

    /// True where a lineage that somebody told of has something to do with the one that it was on the roll of last.
    fn is_related(&self, view: &View) -> bool {
        std::iter::once(&view.lineage).chain(&view.parents).any(|l| self.family.contains(l))
    }

    /// True where this node may not go to a lineage yet: in one that has something to do with its own it was in a later term.
    /// Where sides go on by themselves and meet again, terms go up wherever a node goes.
    pub(super) fn would_go_back(&self, view: &View) -> bool {
        view.term < self.told.term
            && (self.is_available() || view.lineage != self.told.lineage && self.is_related(view))
    }

    /// It is on the roll here.
    pub(super) fn settle_down(&mut self) {
        if self.family.first() != Some(&self.lineage()) {
            self.came_anew = self.is_among_strangers();
            self.family = self.family_of(self.lineage());
        }
    }

    /// True where a peer belongs to a child of this voter's lineage, `lineage`, and this voter may follow it there: its own
    /// has no leader any more.
    pub(super) fn may_follow_to(&self, now: Time, peer: &NodeId, lineage: Lineage) -> bool {
        let ours = self.voter.promise.lineage;
        let child = ours != Lineage::ZERO
            && ours != lineage
            && (self.is_heir(lineage)
                || self.peers.get(peer).is_some_and(|p| p.lineage == lineage && p.parents.contains(&ours)));
        let quiet = self.voter.promise.sealed || !self.follower.hears(now, self.config.detection());
        child && self.lead.is_none() && self.voter.followed().is_none() && quiet && !self.out.store_failed
    }

    /// The whole roll of a child of this voter's lineage has come: from here on it belongs there. True where it does.
    pub(super) fn adopt_child(&mut self, now: Time, image: &Image) -> bool {
        let merged = self.is_absorbed_by(image);
        // Where sides go on by themselves, a child has no more of the parent than those had who founded it.
        let founded = !self.is_available() || image.line.votes(self.voter.identity());
        let child = image.parents.contains(&self.voter.promise.lineage) && founded && !self.is_heir(image.lineage);
        if !(merged || child) || image.lineage == Lineage::ZERO {
            self.out.stats.dropped_unexpected += 1;
            return false;
        }
        let (parent, seen) = (self.voter.promise.lineage, self.voter.promise.seen);
        let mut before = std::mem::replace(&mut self.log, Log::empty());
        let told = std::mem::replace(&mut self.told.roll, true);
        let old = match self.inherited.take() {
            _ if told => before.roll().clone(),
            Some((parent, Some(log))) => {
                before = parent;
                log.roll().clone()
            }
            _ => match self.told_before(image) {
                Some(log) => {
                    before = log;
                    before.roll().clone()
                }
                None => Roll::default(),
            },
        };
        if merged {
            self.listener.ended(before.lineage(), old.said().last());
            self.be_reborn(image.lineage);
            self.follower.unregister(now);
            self.told.registered = None;
        }
        self.install(image);
        self.belong_to_child(now, image.lineage, seen, None);
        if merged {
            self.told.apart = None;
            let new = self.log.roll().clone();
            self.tell_crossing(now, parent, &old, &new);
            self.tell_all_ended();
        } else {
            self.tell_inheritance(now, parent, &before, &old);
        }
        self.line_changed(now);
        true
    }

    /// What was told of an image's lineage, or of those that it comes from, by a node that ceased to hold that roll. Where sides
    /// go on by themselves all that was told counts.
    pub(super) fn told_before(&mut self, image: &Image) -> Option<Log> {
        let available = self.is_available();
        self.abandoned.take().filter(|log| available || log.is_before(image)).filter(|_| !self.told.anew)
    }

    /// What the child's roll says otherwise than what was told, and what the recovery may have cost.
    fn tell_inheritance(&mut self, now: Time, parent: Lineage, before: &Log, old: &Roll) {
        let still = |s: &&Seat| !self.log.line().votes(s.identity);
        let lost: Vec<NodeId> = before.line().voters().filter(still).map(|s| s.id.clone()).collect();
        let lineage = self.log.lineage();
        let kept = before.last().index;
        if self.is_available() {
            // It is isolated no longer: it goes on.
            self.told.apart = None;
            self.out.event(Event::Parted { lineage, parent, without: lost, kept });
            let new = self.log.roll().clone();
            return self.tell_other_roll(now, old, &new);
        }
        self.out.event(Event::Recovered { lineage, parent, lost, kept });
        self.tell_outcome(now, old);
    }

    /// The first entry of a child that this node founded is committed: now it is told.
    pub(super) fn tell_inherited(&mut self, now: Time) {
        let Some((before, old)) = self.inherited.take() else { return };
        self.told.roll = true;
        self.tell_inheritance(now, before.lineage(), &before, &old.map(|log| log.roll().clone()).unwrap_or_default());
    }

    /// A founder that stopped before the first entry of its child was committed told nobody what the founding may have cost, and
    /// its store doesn't say whether it did: it says so once more, as far as the child's roll tells.
    pub(super) fn tell_founding_again(&mut self) {
        let (at, promise) = (self.log.committed(), &self.voter.promise);
        let Some(parent) = self.log.parents().first().copied() else { return };
        let founded = match at.index.next().and_then(|first| self.log.get(first)) {
            Some(Entry { term, change: Change::Led { identity }, .. }) => {
                *term == at.term && *identity == promise.identity
            }
            Some(_) => false,
            None => promise.term == at.term && promise.granted == Some(promise.identity),
        };
        if !founded {
            return;
        }
        let without = self.log.line().seats().iter().filter(|s| !s.voting).map(|s| s.id.clone()).collect();
        let (lineage, kept) = (self.log.lineage(), Index(at.index.0.saturating_sub(1)));
        self.out.event(if self.is_available() {
            Event::Parted { lineage, parent, without, kept }
        } else {
            Event::Recovered { lineage, parent, lost: without, kept }
        });
    }

    /// A plain member hears of a child of its lineage: it moves there with its place on the roll.
    pub(super) fn follow_child(&mut self, now: Time, view: &View, place: Option<Place>) -> bool {
        if self.me.standing.votes()
            || !view.parents.contains(&self.follower.home)
            || view.term < self.told.term
            || self.follower.hears(now, self.config.detection())
        {
            return false;
        }
        if self.is_available() {
            self.claimant.pass_over();
        }
        self.told.lineage = view.lineage;
        let home = self.follower.home;
        self.merging.parted = self.is_available().then_some((home, view.lineage));
        if let Some(log) = &mut self.abandoned {
            log.goes_on(home, view.lineage);
        }
        self.follower.unbind(now);
        self.follower.move_to(view.lineage);
        match place {
            // What the parent gave may be lost, and given to another in the child: only its own word counts.
            Some(Place { slot, generation, revision }) => {
                // What is broadcast is heard from where it was heard last.
                let since = Position::default();
                let registration = Registration { lineage: view.lineage, slot, generation, revision, since };
                self.follower.registered(now, registration);
            }
            // The entry that brought it here is lost in the child: there it has left, and comes as another incarnation.
            None => self.renew_incarnation(now, self.me.incarnation),
        }
        if let (Some(told), Some(r)) = (&mut self.told.registered, self.follower.registration)
            && (told.1, told.2) == (r.slot, r.generation)
        {
            told.0 = r.lineage;
        }
        true
    }

    /// A seeker of a parent lineage has seen a higher term than this leader's: it could never follow. Terms go up. A voter that
    /// is asked by name tells its leader, which may not be reached by who asks.
    pub(super) fn outgrow(&mut self, now: Time, lane: Lane, seek: &Seek) {
        let (lineage, seen) = (seek.lineage, seek.term);
        // Or one of another lineage that hears nobody: it asks again and again. Or one of none any more. Where nobody goes on
        // without a majority it may be one of another child of the same parent.
        let related = self.is_available() || !self.log.parents().is_empty();
        let astray = lineage == Lineage::ZERO || related && seek.attempt >= ASTRAY;
        if self.is_available() && !astray || !self.merging.is_idle() {
            // Leaders that look for each other ask once; they get above each other's terms when they become one.
            return;
        }
        let term = self.lead.as_ref().map_or(self.voter.promise.term, |l| l.leadership.term);
        let ours = astray || self.log.parents().contains(&lineage);
        if !ours || seen <= term || seen.0 - term.0 > MAX_LEAP_ASKED {
            return;
        }
        if let Some(since) = self.lead.as_ref().map(|l| l.leadership.since) {
            if self.is_ready() && now - since > self.config.detection() {
                self.bid_above(now, seen);
            }
            return;
        }
        let leader = self.voter.followed().and_then(|f| f.leader.clone());
        let conn = leader.and_then(|(id, identity)| self.peers.conn_of(&id, identity));
        if let Some(conn) = conn.filter(|_| lane == Lane::Unicast && self.follower.pleads(now)) {
            let overruled = Overruled { lineage: self.voter.promise.lineage, term: seen };
            self.out.send_durably(conn, Message::Overruled(overruled));
        }
    }

    /// A roll goes in pieces to whoever holds nothing of this lineage, or belongs to one that it was founded out of.
    pub(super) fn offer_to(&mut self, to: Identity, conn: ConnId) {
        let sending =
            Sending { position: self.log.committed(), image: wire::encode_image(&self.log.image()), offset: 0 };
        let first = piece(&sending, self.voter.promise.lineage, Term::ZERO, true);
        self.serving = Some((to, sending));
        self.out.send_durably(conn, Message::Snapshot(first));
    }
}
