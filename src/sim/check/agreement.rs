//! Property 7: in the end all agree.

use crate::types::{Capabilities, Incarnation, Index, Lineage, NodeId, Slot, Term};

/// What one running node believes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standpoint {
    /// Who.
    pub id: NodeId,
    /// Which start of it.
    pub incarnation: Incarnation,
    /// True where it leads.
    pub leads: bool,
    /// Its lineage.
    pub lineage: Lineage,
    /// Its term.
    pub term: Term,
    /// Whom it believes to lead.
    pub leader: Option<NodeId>,
    /// The slot of its committed registration.
    pub slot: Option<Slot>,
    /// True where it votes.
    pub votes: bool,
    /// What it says of itself.
    pub capabilities: Capabilities,
    /// What it holds of the roll; nothing for plain members that don't follow it.
    pub roll: Option<RollView>,
}

/// What a candidate, a witness or a subscriber holds of the roll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollView {
    /// How far it is committed.
    pub commit: Index,
    /// Its digest.
    pub digest: u64,
    /// The line: ids in order, and whether each counts.
    pub line: Vec<(NodeId, bool)>,
    /// The members.
    pub members: Vec<Listed>,
}

/// A member as a roll has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its slot.
    pub slot: Slot,
    /// Who.
    pub id: NodeId,
    /// Which start of it.
    pub incarnation: Incarnation,
    /// What it said of itself.
    pub capabilities: Capabilities,
}

/// The first thing that the running nodes don't agree about; nothing where they agree.
///
/// Agreement is: one leads; all hold it for the leader, in its term and lineage; those that hold the roll hold the same
/// one; it names exactly the running nodes, each with its present incarnation, what it says of itself and the slot that it
/// knows; each
/// running candidate and witness counts in the line, and nobody else has a vote.
#[must_use]
pub fn disagreement(nodes: &[Standpoint]) -> Option<String> {
    let mut leaders = nodes.iter().filter(|n| n.leads);
    let Some(leader) = leaders.next() else { return Some("nobody leads".into()) };
    if let Some(other) = leaders.next() {
        return Some(format!("{} and {} both lead", leader.id, other.id));
    }
    let Some(roll) = &leader.roll else { return Some(format!("the leader {} holds no roll", leader.id)) };
    nodes
        .iter()
        .find_map(|n| beliefs(leader, roll, n))
        .or_else(|| seats(roll, nodes))
        .or_else(|| strangers(roll, nodes))
}

fn beliefs(leader: &Standpoint, roll: &RollView, n: &Standpoint) -> Option<String> {
    let id = &n.id;
    if n.leader.as_ref() != Some(&leader.id) {
        return Some(format!("{id} holds {:?} for the leader, not {}", n.leader, leader.id));
    }
    if (n.lineage, n.term) != (leader.lineage, leader.term) {
        return Some(format!(
            "{id} is in term {} of lineage {}, the leader in term {} of {}",
            n.term, n.lineage, leader.term, leader.lineage
        ));
    }
    if let Some(own) = &n.roll {
        if own.line != roll.line {
            return Some(format!("{id} holds the line {:?}, the leader {:?}", own.line, roll.line));
        }
        if own.commit != roll.commit {
            return Some(format!("{id} holds the roll up to {}, the leader up to {}", own.commit, roll.commit));
        }
        if own.digest != roll.digest {
            return Some(format!("{id} holds another roll than the leader at {}", own.commit));
        }
    }
    let Some(listed) = roll.members.iter().find(|m| m.id == *id) else {
        return Some(format!("{id} runs and is not on the roll"));
    };
    let (incarnation, slot) = (listed.incarnation, listed.slot);
    if incarnation != n.incarnation {
        return Some(format!(
            "the roll has incarnation {incarnation} of {id}, which is in incarnation {}",
            n.incarnation
        ));
    }
    if n.slot != Some(slot) {
        return Some(format!("the roll has {id} in slot {slot}, it believes {:?}", n.slot));
    }
    if listed.capabilities != n.capabilities {
        return Some(format!("{id} says {:?} of itself, the roll {:?}", n.capabilities, listed.capabilities));
    }
    None
}

fn seats(roll: &RollView, nodes: &[Standpoint]) -> Option<String> {
    let voter = nodes.iter().filter(|n| n.votes).find(|n| !roll.line.contains(&(n.id.clone(), true)));
    if let Some(n) = voter {
        return Some(format!("{} runs and has no vote in the line {:?}", n.id, roll.line));
    }
    None
}

fn strangers(roll: &RollView, nodes: &[Standpoint]) -> Option<String> {
    let gone = roll.members.iter().find(|m| nodes.iter().all(|n| n.id != m.id));
    gone.map(|m| format!("{} incarnation {} is on the roll and doesn't run", m.id, m.incarnation))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn id(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    /// Candidates a and b, member m; a leads.
    fn agreed() -> Vec<Standpoint> {
        let listed = |(name, slot): (&&str, u32)| Listed {
            slot: Slot(slot),
            id: id(name),
            incarnation: Incarnation(4),
            capabilities: Capabilities::new(),
        };
        let roll = RollView {
            commit: Index(9),
            digest: 1,
            line: vec![(id("a"), true), (id("b"), true)],
            members: ["a", "b", "m"].iter().zip(0..).map(listed).collect(),
        };
        ["a", "b", "m"]
            .iter()
            .zip(0..)
            .map(|(n, s)| Standpoint {
                id: id(n),
                incarnation: Incarnation(4),
                leads: *n == "a",
                lineage: Lineage(7),
                term: Term(3),
                leader: Some(id("a")),
                slot: Some(Slot(s)),
                votes: *n != "m",
                capabilities: Capabilities::new(),
                roll: Some(roll.clone()),
            })
            .collect()
    }

    #[test]
    fn every_kind_of_disagreement_is_seen() {
        assert_eq!(disagreement(&agreed()), None);
        type Breakage = fn(&mut Vec<Standpoint>);
        let cases: &[(&str, Breakage)] = &[
            ("nobody leads", |n| n[0].leads = false),
            ("both lead", |n| n[1].leads = true),
            ("for the leader", |n| n[2].leader = None),
            ("for the leader", |n| n[1].leader = Some(n[1].id.clone())),
            ("in term", |n| n[2].term = Term(2)),
            ("of lineage", |n| n[1].lineage = Lineage(8)),
            ("holds the line", |n| n[1].roll.as_mut().unwrap().line.reverse()),
            ("up to 8", |n| n[1].roll.as_mut().unwrap().commit = Index(8)),
            ("m holds the roll up to 8", |n| n[2].roll.as_mut().unwrap().commit = Index(8)),
            ("another roll", |n| n[1].roll.as_mut().unwrap().digest = 2),
            ("which is in incarnation", |n| n[2].incarnation = Incarnation(5)),
            ("it believes", |n| n[2].slot = None),
            ("of itself", |n| n[2].capabilities.set("load", "1").unwrap()),
            ("doesn't run", |n| drop(n.pop())),
            ("is not on the roll", |n| {
                n[..2].iter_mut().for_each(|n| drop(n.roll.as_mut().unwrap().members.pop()));
            }),
            ("has no vote", |n| n.iter_mut().for_each(|n| n.roll.as_mut().unwrap().line[1].1 = false)),
        ];
        for (part, breakage) in cases {
            let mut nodes = agreed();
            breakage(&mut nodes);
            let text = disagreement(&nodes).unwrap_or_default();
            assert!(text.contains(part), "{text:?} should say {part:?}");
        }
    }
}
