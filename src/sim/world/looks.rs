//! What can be seen of a world.

use super::super::check::{Listed, Observer, RollView, Standpoint};
use super::super::host::HostId;
use super::World;
use super::observe::Checked;
use crate::proto::Role;
use crate::types::{Line, Lineage, MemberInfo, Slot};

impl World {
    /// How often which property was checked so far.
    #[must_use]
    pub fn checked(&self) -> Checked {
        self.watch.as_ref().map(|w| w.checked).unwrap_or_default()
    }

    /// How many leaderships there were.
    #[must_use]
    pub fn leaderships(&self) -> usize {
        self.watch.as_ref().map_or(0, |w| w.leaders.leaderships())
    }

    /// How many lineages were founded out of others.
    #[must_use]
    pub fn recoveries(&self) -> usize {
        self.watch.as_ref().map_or(0, |w| w.recovered.len())
    }

    /// The last committed line of a lineage that any node ever showed.
    #[must_use]
    pub fn last_line(&self, lineage: Lineage) -> Option<&Line> {
        self.watch.as_ref()?.lines.get(&lineage).map(|(_, line)| line)
    }

    /// The lineages in which something was committed.
    pub fn lineages(&self) -> impl Iterator<Item = Lineage> {
        self.watch.iter().flat_map(|w| w.lines.keys().copied())
    }

    /// True where a lineage was founded out of another, or of a child of it, or is it.
    #[must_use]
    pub fn descends(&self, lineage: Lineage, from: Lineage) -> bool {
        lineage == from || self.watch.as_ref().is_some_and(|w| w.family.descends(lineage, from))
    }

    /// What a running node believes.
    #[must_use]
    pub fn standpoint(&self, host: HostId) -> Option<Standpoint> {
        let node = self.node(host)?;
        let votes = node.standing().votes();
        let subscribes = !votes && node.config().subscribes();
        let roll = (votes || subscribes).then(|| RollView {
            commit: node.commit_index(),
            digest: node.roll_digest(),
            line: node.line().seats().iter().map(|s| (s.id.clone(), s.voting)).collect(),
            members: node.members().map(|(slot, _, info)| listed(slot, info)).collect(),
        });
        Some(Standpoint {
            id: node.config().id().clone(),
            incarnation: node.incarnation(),
            leads: node.role() == Role::Leader,
            lineage: node.lineage(),
            term: node.term(),
            leader: node.leader().map(|l| l.id),
            slot: node.registration().map(|(slot, _)| slot),
            votes,
            capabilities: node.capabilities().clone(),
            roll,
        })
    }

    /// Whether all that was told to those who hold the roll adds up to what they hold.
    ///
    /// # Errors
    /// The sentence that says what differs.
    pub fn adds_up(&self) -> Result<(), String> {
        let Some(watch) = &self.watch else { return Ok(()) };
        for (h, p) in (0..).zip(&self.hosts).filter_map(|(h, host)| Some((h, host.process.as_ref()?))) {
            let (who, node) = (Observer { node: h, run: p.run }, &p.node);
            if node.holds_roll() {
                let members = node.members().map(|(_, _, info)| (&info.id, info.incarnation));
                watch.events.adds_up(who, watch.history(node.lineage(), node), members, node.names())?;
            }
        }
        Ok(())
    }

    /// The first thing that the running nodes don't agree about; nothing where they agree.
    #[must_use]
    pub fn disagreement(&self) -> Option<String> {
        self.disagreement_among(self.hosts())
    }

    /// The first thing that the running nodes of these hosts, a convention of their own, don't agree about.
    #[must_use]
    pub fn disagreement_among(&self, hosts: impl IntoIterator<Item = HostId>) -> Option<String> {
        let nodes: Vec<_> = hosts.into_iter().filter_map(|h| self.standpoint(h)).collect();
        super::super::check::disagreement(&nodes)
    }
}

fn listed(slot: Slot, info: &MemberInfo) -> Listed {
    let MemberInfo { id, incarnation, capabilities, .. } = info.clone();
    Listed { slot, id, incarnation, capabilities }
}
