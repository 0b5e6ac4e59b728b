//! What can be seen of a node, for embedders that ask instead of following events, and for checkers.

use super::Node;
use crate::proto::border::{LeaderView, Stats};
use crate::proto::config::Config;
use crate::proto::event::Role;
use crate::types::{
    Capabilities, Generation, Identity, Incarnation, Index, Line, Lineage, MemberInfo, NodeId, Position, Slot, Term,
    Time,
};

impl Node {
    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What it is at present.
    #[must_use]
    pub fn role(&self) -> Role {
        self.told.role
    }

    /// Which start of it this is (larger after it was taken off the roll while alive).
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.me.incarnation
    }

    /// The random number that votes for it.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.voter.identity()
    }

    /// The lineage that it belongs to; zero where it knows none.
    #[must_use]
    pub fn lineage(&self) -> Lineage {
        if self.me.standing.votes() { self.voter.promise.lineage } else { self.follower.home }
    }

    /// What its lineage was founded out of, the nearest first. (Candidates and witnesses only.)
    #[must_use]
    pub fn parents(&self) -> &[Lineage] {
        self.log.parents()
    }

    /// The highest term that it has told. Compared within a lineage only.
    #[must_use]
    pub fn term(&self) -> Term {
        self.told.term
    }

    /// Whom it believes to lead, as it was told last.
    #[must_use]
    pub fn leader(&self) -> Option<LeaderView> {
        let id = self.told.leader.clone()?;
        let addr = if id == self.me.id { self.me.addrs.first().copied() } else { self.follower.bond().map(|b| b.addr) };
        Some(LeaderView { id, addr })
    }

    /// Until when it holds, as a leader, a lease that a majority acknowledged. Nothing where it doesn't lead.
    #[must_use]
    pub fn lease_until(&self) -> Option<Time> {
        self.lead.as_ref().and_then(|l| l.leadership.lease_until())
    }

    /// The committed line. (Those who hold the roll; other members know it by events.)
    #[must_use]
    pub fn line(&self) -> &Line {
        self.held().roll().line()
    }

    /// The line in force: with the change, if any, that is not committed yet.
    #[must_use]
    pub fn line_in_force(&self) -> &Line {
        self.log.line()
    }

    /// The committed members. (Those who hold the roll only: candidates, witnesses, subscribers.)
    pub fn members(&self) -> impl Iterator<Item = (Slot, Generation, &MemberInfo)> {
        self.held().roll().members()
    }

    /// What this node says of itself.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.me.capabilities
    }

    /// A member of the committed roll by its name. (Those who hold the roll only.)
    #[must_use]
    pub fn member(&self, id: &NodeId) -> Option<(Slot, Generation, &MemberInfo)> {
        self.held().roll().find(id)
    }

    /// How far its roll is committed, as far as it knows.
    #[must_use]
    pub fn commit_index(&self) -> Index {
        self.held().commit()
    }

    /// The last entry of its roll, committed or not.
    #[must_use]
    pub fn position(&self) -> Position {
        self.held().last()
    }

    /// The term and a digest of an entry that is in its log, not yet in the snapshot. Of what is about requests the digest says
    /// only that it is.
    #[must_use]
    pub fn entry_digest(&self, index: Index) -> Option<(Term, u64)> {
        self.held().get(index).map(|e| (e.term, crate::wire::entry_digest(&e.condensed())))
    }

    /// A digest of the committed roll, without what it keeps of requests. Costs time in proportion to its size.
    #[must_use]
    pub fn roll_digest(&self) -> u64 {
        crate::wire::image_digest(&self.held().public_image())
    }

    /// How many requests the committed roll keeps that are begun, and how many that are over. (Candidates and witnesses only.)
    #[must_use]
    pub fn requests_kept(&self) -> (usize, usize) {
        self.log.roll().requests().counts()
    }

    /// A digest of what the committed roll keeps of requests. (Candidates and witnesses only.)
    #[must_use]
    pub fn requests_digest(&self) -> u64 {
        crate::wire::ledgers_digest(&self.log.roll().requests().ledgers())
    }

    /// What the committed roll keeps of requests that are over: whose, and what came of them.
    #[cfg(feature = "sim")]
    pub(crate) fn requests_over_now(&self) -> Vec<(NodeId, Incarnation, u64, crate::wire::Outcome)> {
        let mut all = Vec::new();
        for ledger in self.log.roll().requests().ledgers() {
            let Some((_, info)) = self.log.roll().get(ledger.slot) else { continue };
            for (number, stage) in ledger.requests {
                if let crate::wire::Stage::Done(outcome) = stage {
                    all.push((info.id.clone(), info.incarnation, number, outcome));
                }
            }
        }
        all
    }

    /// The name that it claims, or gives up (true), by itself, and in which lineage.
    #[cfg(feature = "sim")]
    pub(crate) fn claims_itself(&self) -> Option<(Lineage, &crate::types::Name, bool)> {
        let (name, release) = self.claimant.asks_itself()?;
        Some((self.follower.registration.as_ref()?.lineage, name, release))
    }

    /// True where it told who is there in its lineage, or has something to tell.
    #[cfg(feature = "sim")]
    pub(crate) fn tells_roll(&self) -> bool {
        self.told.roll || !self.me.standing.votes() || self.out.has_event()
    }

    /// True where it stepped down in a lineage that its store knows of, and founds no other.
    #[cfg(feature = "sim")]
    pub(crate) fn knows_another(&self) -> bool {
        self.voter.knows_another()
    }

    /// The answers that an entry of its log puts on the roll.
    #[cfg(feature = "sim")]
    pub(crate) fn answers_at(&self, index: Index) -> Vec<(NodeId, u64, bytes::Bytes)> {
        let Some(crate::wire::Change::Answered(closed)) = self.log.get(index).map(|e| &e.change) else {
            return Vec::new();
        };
        let answer = |c: &crate::wire::Closed| match &c.outcome {
            crate::wire::Outcome::Answered(body) => {
                Some((self.log.roll().get(c.slot)?.1.id.clone(), c.number, body.clone()))
            }
            crate::wire::Outcome::Unknown(_) => None,
        };
        closed.iter().filter_map(answer).collect()
    }

    /// Its own registration, where it is committed.
    #[must_use]
    pub fn registration(&self) -> Option<(Slot, Generation)> {
        self.follower.registration.map(|r| (r.slot, r.generation))
    }

    /// All counters.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.out.stats
    }
}
