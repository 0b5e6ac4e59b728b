//! The core's events as lines.

use crate::notices;
use crate::report::{Line, Reporter};
use convoke::proto::{ClaimOutcome, Conflict, Event, LinePlace, Role, StopReason};
use convoke::types::{Capabilities, Lineage, MemberInfo, Name, NodeId, Slot};
use serde_json::{Map, Value, json};

/// The lines for an event. The reporter learns the term first: it stands on the line that brings it.
pub(crate) fn report(reporter: &mut Reporter, event: &Event) {
    let line = match event {
        Event::Role { role, term } => {
            if term.0 > 0 {
                reporter.set_term(*term);
            }
            if *role == Role::Stopped {
                // The event of its own that follows says why.
                return;
            }
            let word = role.as_str();
            Line::new("role", word).with("role", word)
        }
        Event::Isolated { lost } => {
            let reason = "no leader is heard and no majority of the line is found";
            Line::new("isolated", format!("{reason}; not reached: {}", names(lost)))
                .with("reason", reason)
                .with("lost", list(lost))
        }
        Event::Leader { leader, term, lineage } => {
            reporter.set_term(*term);
            let (text, id) = match leader {
                Some(id) => (format!("{id} leads in term {term}"), Value::from(id.as_str())),
                None => (format!("none (the last term was {term})"), Value::Null),
            };
            Line::new("leader", text).with("leader", id).with("lineage", format!("{:016x}", lineage.0))
        }
        Event::Registered { slot, generation, incarnation, leader, term } => {
            reporter.set_term(*term);
            Line::new("registered", format!("in slot {slot} by {leader} in term {term}"))
                .with("slot", slot.0)
                .with("generation", generation.0)
                .with("incarnation", incarnation.0)
                .with("leader", leader.as_str())
        }
        Event::Line { version, line } => places(*version, line),
        Event::Joined { info, slot } => member("joined", info, *slot),
        Event::Updated { id, incarnation, slot, standing, capabilities } => {
            let text = format!("{id}: {}", shown(capabilities));
            Line::new("updated", text)
                .with("member", id.as_str())
                .with("incarnation", incarnation.0)
                .with("slot", slot.0)
                .with("candidate", standing.votes())
                .with("capabilities", object(capabilities))
        }
        Event::Left { id, incarnation, reason } => Line::new("left", format!("{id}: {}", reason.as_str()))
            .with("member", id.as_str())
            .with("incarnation", incarnation.0)
            .with("reason", reason.as_str()),
        Event::Name { name, owner } => {
            let text = owner.as_ref().map_or(format!("{name}: nobody's"), |id| format!("{name}: {id}"));
            Line::new("name", text).with("name", name.as_str()).with("owner", id_or_null(owner.as_ref()))
        }
        Event::Found { members, total, .. } => found(members, *total),
        Event::Claimed { name, outcome } => claimed(name, outcome),
        // Who types has no more to say than there is room for.
        Event::Writable { .. } => return,
        Event::Network(notice) => notices::core(notice),
        // Told by `stopped`, once the driver has stopped as well.
        Event::Stopped(_) => return,
        other => rarer(other),
    };
    reporter.print(&line);
}

/// What ends an old state of things, and messages.
fn rarer(event: &Event) -> Line {
    match event {
        Event::Moved { left, incarnation } => {
            let from = if left.0 == 0 { "nowhere".into() } else { format!("lineage {:016x}", left.0) };
            notices::line("moved", format!("begins anew at another address, as incarnation {incarnation}; from {from}"))
                .with("incarnation", incarnation.0)
                .with("left", format!("{:016x}", left.0))
        }
        Event::Merged { lineage, absorbed, gained, lost, conflicts } => {
            merged(*lineage, *absorbed, (gained, lost), conflicts)
        }
        Event::Parted { lineage, parent, without, kept } => {
            let text = format!("no majority is here: a child lineage goes on without {}", names(without));
            Line::new("parted", text)
                .with("without", list(without))
                .with("kept", kept.0)
                .with("lineage", format!("{:016x}", lineage.0))
                .with("parent", format!("{:016x}", parent.0))
        }
        Event::Recovered { lineage, parent, lost, kept } => {
            let ids: Vec<&str> = lost.iter().map(|id| id.as_str()).collect();
            let text = format!(
                "too few voters were left: a child lineage goes on without {}; what they alone held is lost",
                ids.join(", ")
            );
            Line::new("recovered", text)
                .with("lost", ids)
                .with("kept", kept.0)
                .with("lineage", format!("{:016x}", lineage.0))
                .with("parent", format!("{:016x}", parent.0))
        }
        Event::Message { from, incarnation, body, lane } => {
            let text = String::from_utf8_lossy(body);
            Line::new("message", format!("from {from} by {}: {text}", lane.as_str()))
                .with("from", from.as_str())
                .with("incarnation", incarnation.0)
                .with("body", text.as_ref())
                .with("lane", lane.as_str())
        }
        Event::Undeliverable { to, body, lane, reason, uncertain } => {
            let (text, why) = (String::from_utf8_lossy(body), reason.as_str());
            let perhaps = if *uncertain { ", perhaps delivered" } else { "" };
            Line::new("undeliverable", format!("to {to} ({why}{perhaps}): {text}"))
                .with("to", to.as_str())
                .with("body", text.as_ref())
                .with("lane", lane.as_str())
                .with("reason", why)
                .with("uncertain", *uncertain)
        }
        other => Line::new("network", format!("{other:?}")).with("kind", "other").with("detail", format!("{other:?}")),
    }
}

/// Two sides are one again.
fn merged(
    lineage: Lineage,
    absorbed: Option<Lineage>,
    (gained, lost): (&[NodeId], &[NodeId]),
    conflicts: &[Conflict],
) -> Line {
    let hex = |l: Lineage| format!("{:016x}", l.0);
    let what = absorbed.map_or("back again".into(), |l| format!("lineage {} is now part of {}", hex(l), hex(lineage)));
    let told: Vec<String> = conflicts.iter().map(Conflict::to_string).collect();
    let apart = if told.is_empty() { String::new() } else { format!("; conflicts: {}", told.join(", ")) };
    Line::new("merged", format!("{what}; gained: {}; lost: {}{apart}", names(gained), names(lost)))
        .with("gained", list(gained))
        .with("lost", list(lost))
        .with("conflicts", conflicts.iter().map(conflict).collect::<Vec<_>>())
        .with("lineage", hex(lineage))
        .with("absorbed", absorbed.map_or(Value::Null, |l| Value::from(hex(l))))
}

fn conflict(conflict: &Conflict) -> Value {
    match conflict {
        Conflict::Name { name, kept, lost } => {
            json!({ "name": name.as_str(), "kept": kept.as_str(), "lost": lost.as_str() })
        }
        other => json!({ "other": other.to_string() }),
    }
}

/// The leader's answer to `find`, for a member that doesn't hold the roll: names only.
fn found(ids: &[NodeId], total: usize) -> Line {
    let list: Vec<Value> = ids.iter().map(|id| json!({ "member": id.as_str() })).collect();
    let more = if total > ids.len() { ", …" } else { "" };
    Line::new("find", format!("{total}: {}{more}", names(ids))).with("count", total).with("members", list)
}

fn id_or_null(id: Option<&NodeId>) -> Value {
    id.map_or(Value::Null, |id| Value::from(id.as_str()))
}

fn claimed(name: &Name, outcome: &ClaimOutcome) -> Line {
    let (word, text) = match outcome {
        ClaimOutcome::Yours => ("yours", "is this node's own".into()),
        ClaimOutcome::Released => ("released", "is given up".into()),
        ClaimOutcome::Taken(owner) => ("taken", format!("is {owner}'s")),
        ClaimOutcome::TooMany => ("too_many", "is one too many".into()),
        ClaimOutcome::Unknown => ("unknown", "was asked for in vain: this node had to register anew".into()),
        ClaimOutcome::Lost => ("lost", "is this node's own no more: it had to register anew".into()),
        other => ("other", format!("{other:?}")),
    };
    let line = Line::new("claimed", format!("{name} {text}")).with("name", name.as_str()).with("outcome", word);
    match outcome {
        ClaimOutcome::Taken(owner) => line.with("owner", owner.as_str()),
        _ => line,
    }
}

fn names(ids: &[NodeId]) -> String {
    ids.iter().map(NodeId::as_str).collect::<Vec<_>>().join(" ")
}

fn list(ids: &[NodeId]) -> Vec<&str> {
    ids.iter().map(NodeId::as_str).collect()
}

/// The line `stopped`.
pub(crate) fn stopped(reason: Option<StopReason>) -> Line {
    let (word, text) = match reason {
        Some(StopReason::Left) => ("left", "left in order".into()),
        Some(StopReason::Superseded(by)) => ("superseded", format!("incarnation {by} of this id took its place")),
        Some(StopReason::Store) => ("store", "the store can't be written".into()),
        None => ("quit", "stopped without a word to the others".into()),
    };
    Line::new("stopped", text).with("reason", word)
}

/// The line of succession.
pub(crate) fn places(version: u32, line: &[LinePlace]) -> Line {
    let text: Vec<String> =
        line.iter().map(|p| if p.active { p.id.to_string() } else { format!("({})", p.id) }).collect();
    let list: Vec<Value> = line
        .iter()
        .enumerate()
        .map(|(index, p)| {
            json!({
                "id": p.id.as_str(),
                "incarnation": p.incarnation.0,
                "priority": p.priority,
                "active": p.active,
                "index": index,
            })
        })
        .collect();
    Line::new("line", text.join(" > ")).with("line", list).with("version", version)
}

fn member(event: &'static str, info: &MemberInfo, slot: Slot) -> Line {
    Line::new(event, entry_text(info, slot))
        .with("member", info.id.as_str())
        .with("incarnation", info.incarnation.0)
        .with("slot", slot.0)
        .with("candidate", info.standing.votes())
        .with("capabilities", object(&info.capabilities))
}

fn entry_text(info: &MemberInfo, slot: Slot) -> String {
    let what = if info.standing.votes() { "candidate" } else { "member" };
    let capabilities = shown(&info.capabilities);
    let gap = if capabilities.is_empty() { "" } else { ", " };
    format!("{} ({what}, slot {slot}{gap}{capabilities})", info.id)
}

/// A part of the roll, as the answer to `members` and `find`.
pub(crate) fn members(event: &'static str, entries: &[(Slot, MemberInfo)]) -> Line {
    let text: Vec<String> = entries.iter().map(|(slot, info)| entry_text(info, *slot)).collect();
    let list: Vec<Value> = entries
        .iter()
        .map(|(slot, info)| {
            json!({
                "member": info.id.as_str(),
                "incarnation": info.incarnation.0,
                "slot": slot.0,
                "candidate": info.standing.votes(),
                "capabilities": object(&info.capabilities),
            })
        })
        .collect();
    Line::new(event, format!("{}: {}", entries.len(), text.join(", ")))
        .with("count", entries.len())
        .with("members", list)
}

fn object(capabilities: &Capabilities) -> Value {
    Value::Object(capabilities.iter().map(|(k, v)| (k.to_owned(), Value::from(v))).collect::<Map<_, _>>())
}

fn shown(capabilities: &Capabilities) -> String {
    capabilities.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use convoke::types::{Incarnation, NodeId};

    #[test]
    fn the_line_is_told_in_order() {
        let place = |id: &str, active| LinePlace {
            id: NodeId::new(id).unwrap(),
            incarnation: Incarnation(3),
            priority: 0,
            active,
        };
        let line = places(4, &[place("a", true), place("b", false)]);
        assert_eq!(line.text, "a > (b)");
        let (name, value) = &line.fields[0];
        assert_eq!(*name, "line");
        assert_eq!(value[1], json!({"id": "b", "incarnation": 3, "priority": 0, "active": false, "index": 1}));
    }
}
