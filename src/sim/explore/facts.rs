//! What was seen along one way through the states, and what must hold of it.
//!
//! The checkers of the whole runs see the same properties; these are small enough to be copied with each state and to
//! be a part of its fingerprint: two ways that led to the same nodes by different histories are different states.

use super::print::Printer;
use crate::proto::{Node, Role};
use crate::types::{Index, Lineage, Term, Time};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A run of a node: which host, which start of it.
pub(super) type Who = (u32, u32);

/// What was committed where: the entry's term and digest, and who showed it first.
type Committed = BTreeMap<(Lineage, Index), (Term, u64, Who)>;

/// What is wrong: the number of the property, and a sentence.
pub(super) type Broken = (u8, String);

#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    leaders: Rc<BTreeMap<(Lineage, Term), (Who, bool)>>,
    committed: Rc<Committed>,
    /// By host: the run, its lineage, term and commit index, and whether it led, when it was seen last.
    nodes: BTreeMap<u32, (u32, Lineage, Term, Index, bool)>,
}

impl Facts {
    /// Takes what a node shows after an input at `now`.
    pub(super) fn see(&mut self, now: Time, who: Who, node: &Node) -> Result<(), Broken> {
        let (lineage, term, commit) = (node.lineage(), node.term(), node.commit_index());
        let leads = node.role() == Role::Leader;
        if leads && node.lease_until().is_some_and(|until| until <= now) {
            return Err((1, format!("{} leads on, though its lease has ended", name(who))));
        }
        let before = self.nodes.insert(who.0, (who.1, lineage, term, commit, leads)).filter(|n| n.0 == who.1);
        if before == Some((who.1, lineage, term, commit, leads)) {
            return Ok(());
        }
        if before.is_some_and(|(_, l, t, ..)| l == lineage && term < t) {
            return Err((2, format!("{} went back to term {term}", name(who))));
        }
        let known = before.filter(|(_, l, ..)| *l == lineage).map_or(Index::ZERO, |(.., c, _)| c);
        self.commits(who, node, known)?;
        let led = before.filter(|(.., led)| *led).map(|(_, l, t, ..)| (l, t));
        let now_leads = leads.then_some((lineage, term));
        if led != now_leads {
            if let Some((_, over)) = led.and_then(|at| Rc::make_mut(&mut self.leaders).get_mut(&at)) {
                *over = true;
            }
            if leads {
                self.leads(who, node)?;
            }
        }
        Ok(())
    }

    /// A run ended; its leadership with it.
    pub(super) fn ended(&mut self, host: u32) {
        if let Some((_, lineage, term, _, true)) = self.nodes.remove(&host)
            && let Some((_, over)) = Rc::make_mut(&mut self.leaders).get_mut(&(lineage, term))
        {
            *over = true;
        }
    }

    fn leads(&mut self, who: Who, node: &Node) -> Result<(), Broken> {
        let at = (node.lineage(), node.term());
        let (first, over) = *Rc::make_mut(&mut self.leaders).entry(at).or_insert((who, false));
        if first != who || over {
            return Err((1, format!("two leaders in term {}: {} and {}", at.1, name(first), name(who))));
        }
        let committed = self.committed.range((at.0, Index::ZERO)..=(at.0, Index(u64::MAX)));
        for ((_, index), (term, digest, by)) in committed {
            let held = node.entry_digest(*index);
            // What lies under the snapshot was committed when that was made.
            let lacks = *index > node.position().index || held.is_some_and(|h| h != (*term, *digest));
            if lacks {
                let (who, by) = (name(who), name(*by));
                return Err((3, format!("{who} leads in term {} without entry {index}, which {by} committed", at.1)));
            }
        }
        Ok(())
    }

    fn commits(&mut self, who: Who, node: &Node, known: Index) -> Result<(), Broken> {
        let lineage = node.lineage();
        let mut index = node.commit_index();
        while index > known {
            let Some((term, digest)) = node.entry_digest(index) else { break };
            let committed = Rc::make_mut(&mut self.committed);
            let (t, d, by) = *committed.entry((lineage, index)).or_insert((term, digest, who));
            if (t, d) != (term, digest) {
                let (who, by) = (name(who), name(by));
                return Err((3, format!("entry {index}: {by} committed one of term {t}, {who} one of term {term}")));
            }
            index = Index(index.0 - 1);
        }
        Ok(())
    }

    pub(super) fn print(&self, printer: &mut Printer) {
        printer.debug(&(&self.leaders, &self.committed, &self.nodes));
    }
}

/// How a run of a node is called.
pub(super) fn name((host, run): Who) -> String {
    if run == 1 { format!("n{host}") } else { format!("n{host} (start {run})") }
}
