//! Feeds the checker of requests with what the nodes show and tell.

use super::super::check::Observer;
use super::super::host::HostId;
use super::super::process::{Asked, Process};
use super::World;
use super::observe::Watch;
use crate::proto::Node;
use crate::types::{Index, Lineage};

impl Watch {
    /// Answers that are on the roll by now, and what is over.
    pub(super) fn requests_committed(
        &mut self,
        who: Observer,
        node: &Node,
        lineage: Lineage,
        known: Index,
        upto: Index,
        all: bool,
    ) -> Result<(), (u8, String)> {
        if !self.requests.any() {
            return Ok(());
        }
        let mut index = upto;
        while index > known && node.entry_digest(index).is_some() {
            for (from, number, answer) in node.answers_at(index) {
                self.requests.committed(&from, number, &answer);
            }
            index.0 -= 1;
        }
        if known == Index::ZERO {
            node.answers_founded
                .iter()
                .for_each(|(from, number, answer)| self.requests.committed(from, *number, answer));
        }
        // Where others have shown the same it was looked at.
        if all && self.requests.table(who, lineage, upto, node.requests_digest()).map_err(|e| (3, e))? {
            for (from, incarnation, number, outcome) in node.requests_over_now() {
                if let crate::wire::Outcome::Answered(answer) = &outcome {
                    // In a child's image, say: by its founding what was uncommitted in the parent is committed.
                    self.requests.committed(&from, number, answer);
                }
                self.requests.over(lineage, (&from, incarnation, number), &outcome).map_err(|e| (6, e))?;
            }
        }
        Ok(())
    }
}

impl World {
    /// A node accepted a request of its embedder.
    pub(super) fn asked(&mut self, host: HostId, p: &Process, number: u64, body: &[u8], again: bool) {
        self.trace.bytes(body);
        if let Some(watch) = &mut self.watch {
            let who = Observer { node: host.0, run: p.run };
            if let Err(what) = watch.requests.asked(who, p.node.config().id(), number, again, body) {
                self.violated(6, what);
            }
        }
    }

    /// A node took the answer of its embedder.
    pub(super) fn answered(&mut self, whose: &Asked, answer: &[u8]) {
        self.trace.bytes(answer);
        if let Some(watch) = &mut self.watch {
            watch.requests.answered(&whose.from, &whose.body, answer);
        }
    }

    /// A request of a process that runs has no outcome.
    #[must_use]
    pub fn open_request(&self) -> Option<String> {
        let watch = self.watch.as_ref()?;
        let runs = self.hosts.iter().zip(0..).filter_map(|(h, node)| Some((node, h.process.as_ref()?)));
        runs.map(|(node, p)| Observer { node, run: p.run }).find_map(|who| watch.requests.open(who))
    }

    /// How many requests were asked, given, answered, and of how many the outcome was told to be unknown.
    #[must_use]
    pub fn requests(&self) -> [u64; 4] {
        self.watch.as_ref().map_or([0; 4], |w| w.requests.counts())
    }
}
