//! The core's events as lines.

use crate::notices;
use crate::report::{Line, Reporter};
use convoke::proto::{AskOutcome, ClaimOutcome, Conflict, Event, LinePlace, Path, RequestOutcome, Role, StopReason};
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
        Event::Writable { .. } | Event::BroadcastWritable => return,
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
        Event::Request { from, incarnation, number, again, body, .. } => {
            let text = String::from_utf8_lossy(body);
            Line::new("request", format!("{number} from {from}: {text}"))
                .with("from", from.as_str())
                .with("incarnation", incarnation.0)
                .with("number", *number)
                .with("again", *again)
                .with("body", text.as_ref())
        }
        Event::Answer { number, outcome } => match outcome {
            RequestOutcome::Answered(body) => {
                let text = String::from_utf8_lossy(body);
                Line::new("answer", format!("to {number}: {text}")).with("number", *number).with("body", text.as_ref())
            }
            RequestOutcome::Unknown(reason) => unknown(*number, reason.as_str()),
            _ => unknown(*number, "other"),
        },
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
        Event::BroadcastCommitted { number } => {
            Line::new("broadcast", format!("number {number} is committed")).with("number", *number)
        }
        Event::BroadcastFailed { number, body, reason, uncertain } => {
            let (text, why) = (String::from_utf8_lossy(body), reason.as_str());
            let perhaps = if *uncertain { ", perhaps sent" } else { "" };
            Line::new("undeliverable", format!("to all ({why}{perhaps}): {text}"))
                .with("to", Value::Null)
                .with("number", *number)
                .with("body", text.as_ref())
                .with("lane", "broadcast")
                .with("reason", why)
                .with("uncertain", *uncertain)
        }
        Event::BroadcastsMissed { count } => {
            Line::new("missed", format!("{count} broadcasts were for this node and will never reach it"))
                .with("count", *count)
        }
        Event::Asked { from, incarnation, number, key, value, body } => {
            let text = String::from_utf8_lossy(body);
            Line::new("asked", format!("by {from}, whoever has {key}={value}: {text}"))
                .with("from", from.as_str())
                .with("incarnation", incarnation.0)
                .with("number", *number)
                .with("key", key.as_str())
                .with("value", value.as_str())
                .with("body", text.as_ref())
        }
        Event::Reply { number, outcome } => reply(*number, outcome),
        other => Line::new("network", format!("{other:?}")).with("kind", "other").with("detail", format!("{other:?}")),
    }
}

/// What came of a question by capability.
fn reply(number: u64, outcome: &AskOutcome) -> Line {
    match outcome {
        AskOutcome::Answered { from, body } => {
            let text = String::from_utf8_lossy(body);
            let line = Line::new("reply", format!("to {number}, by {from}: {text}")).with("number", number);
            line.with("from", from.as_str()).with("body", text.as_ref())
        }
        AskOutcome::Unknown(from) => Line::new("reply", format!("to {number}: unknown, {from} may have been asked"))
            .with("number", number)
            .with("from", from.as_str())
            .with("unknown", true),
        AskOutcome::Undelivered(why, body) => {
            let text = String::from_utf8_lossy(body);
            Line::new("reply", format!("to {number}: nobody was asked ({}): {text}", why.as_str()))
                .with("number", number)
                .with("undelivered", true)
                .with("reason", why.as_str())
                .with("body", text.as_ref())
        }
        other => Line::new("reply", format!("to {number}: {other:?}")).with("number", number),
    }
}

/// The word for a way, and through whom it goes.
fn way(path: Option<&Path>) -> (&'static str, Option<&NodeId>) {
    match path {
        None => ("none", None),
        Some(Path::Direct) => ("direct", None),
        Some(Path::DialledBack) => ("dialled_back", None),
        Some(Path::Relayed(via)) => ("relayed", Some(via)),
        Some(_) => ("other", None),
    }
}

/// The answer to `path`.
pub(crate) fn path(id: &NodeId, path: Option<&Path>) -> Line {
    let (word, via) = way(path);
    let through = via.map_or(String::new(), |via| format!(" through {via}"));
    Line::new("path", format!("{id}: {word}{through}"))
        .with("member", id.as_str())
        .with("path", word)
        .with("via", id_or_null(via))
}

/// A member of the roll, as it is listed, with the way to it.
pub(crate) type Entry = (Slot, MemberInfo, Option<Path>);

/// Nobody knows what came of a request.
fn unknown(number: u64, reason: &'static str) -> Line {
    let line = Line::new("answer", format!("to {number}: nobody knows what came of it ({reason})"));
    line.with("number", number).with("unknown", true).with("reason", reason)
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
        .with("outbound_only", info.outbound)
}

fn entry_text(info: &MemberInfo, slot: Slot) -> String {
    let what = match (info.standing.votes(), info.outbound) {
        (true, _) => "candidate",
        (false, false) => "member",
        (false, true) => "member, outbound only",
    };
    let capabilities = shown(&info.capabilities);
    let gap = if capabilities.is_empty() { "" } else { ", " };
    format!("{} ({what}, slot {slot}{gap}{capabilities})", info.id)
}

/// A part of the roll, as the answer to `members` and `find`.
pub(crate) fn members(event: &'static str, entries: &[Entry]) -> Line {
    let text: Vec<String> = entries.iter().map(|(slot, info, _)| entry_text(info, *slot)).collect();
    let list: Vec<Value> = entries
        .iter()
        .map(|(slot, info, path)| {
            json!({
                "member": info.id.as_str(),
                "incarnation": info.incarnation.0,
                "slot": slot.0,
                "candidate": info.standing.votes(),
                "capabilities": object(&info.capabilities),
                "outbound_only": info.outbound,
                "path": way(path.as_ref()).0,
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
