//! What may be said on stdin, a line each.

use crate::args::pair;
use convoke::types::{Lineage, Name, NodeId, Standing};
use std::net::SocketAddr;

/// An order to a running node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Set(String, String),
    Unset(String),
    Find(String, String),
    Members,
    Line,
    Send(NodeId, String),
    /// A capability, and what is asked of whoever has it.
    Ask(String, String, String),
    Path(NodeId),
    Datagram(NodeId, String),
    Broadcast(String),
    Request(String),
    Claim(Name),
    Release(Name),
    Retire(NodeId),
    Priority(NodeId, i32),
    Stand(Standing),
    /// The group (nothing: as it is; the inner nothing: none), and the seeds.
    Move(Option<Option<SocketAddr>>, Vec<String>),
    Stats,
    Recover(Vec<NodeId>),
    Yield(Lineage),
    /// To this candidate, or to the next that is in sync.
    Handover(Option<String>),
    Leave,
    Quit,
}

/// Parses a line: nothing where it is empty, a sentence where it can't be carried out.
pub(crate) fn parse(line: &str) -> Result<Option<Command>, String> {
    let line = line.trim();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim_start();
    let command = match word {
        "" => return Ok(None),
        "set" => with_pair(word, rest, Command::Set)?,
        "find" => with_pair(word, rest, Command::Find)?,
        "unset" if rest.is_empty() => return Err("unset: say which KEY".into()),
        "unset" => Command::Unset(rest.into()),
        "members" => alone(word, rest, Command::Members)?,
        "line" => alone(word, rest, Command::Line)?,
        "recover" => Command::Recover(ids(rest)?),
        "yield" => match u64::from_str_radix(rest, 16) {
            Ok(n) => Command::Yield(Lineage(n)),
            Err(_) => return Err("yield: say the LINEAGE that shall take this one in, as events tell it".into()),
        },
        "send" => with_text(word, rest, Command::Send)?,
        "ask" => {
            let (wanted, text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let (key, value) = pair(wanted).ok_or("ask: say KEY=VALUE TEXT")?;
            Command::Ask(key.into(), value.into(), text.trim_start().into())
        }
        "path" => Command::Path(node(word, rest)?),
        "datagram" => with_text(word, rest, Command::Datagram)?,
        "request" => Command::Request(rest.into()),
        "claim" => Command::Claim(name(word, rest)?),
        "release" => Command::Release(name(word, rest)?),
        "retire" => Command::Retire(node(word, rest)?),
        "priority" => {
            let (id, n) = rest.split_once(char::is_whitespace).ok_or("priority: say ID N")?;
            let n = n.trim().parse().map_err(|_| format!("priority: {:?} is no number", n.trim()))?;
            Command::Priority(node(word, id)?, n)
        }
        "promote" if rest == "witness" => Command::Stand(Standing::Witness),
        "promote" => alone(word, rest, Command::Stand(Standing::Candidate))?,
        "demote" => alone(word, rest, Command::Stand(Standing::Member))?,
        "move" => destination(rest)?,
        "stats" => alone(word, rest, Command::Stats)?,
        "handover" if rest.is_empty() => Command::Handover(None),
        "handover" => Command::Handover(Some(rest.into())),
        "leave" => alone(word, rest, Command::Leave)?,
        "quit" => alone(word, rest, Command::Quit)?,
        "broadcast" => Command::Broadcast(rest.into()),
        other => {
            return Err(format!(
                "there is no command {other:?}: send, datagram, broadcast, request, ask, path, set, unset, find, members, line, \
                 claim, release, retire, priority, promote, demote, move, handover, stats, recover, yield, leave, quit"
            ));
        }
    };
    Ok(Some(command))
}

/// What follows `move`.
fn destination(rest: &str) -> Result<Command, String> {
    let (mut group, mut seeds) = (None, Vec::new());
    let mut words = rest.split_whitespace();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("move: {word} lacks its value"));
        let named = match word {
            "--seed" => {
                seeds.push(value()?.into());
                continue;
            }
            "--no-multicast" => None,
            "--multicast" => {
                let text = value()?;
                let parsed = text.parse().map_err(|_| format!("move: --multicast {text:?} isn't ADDR:PORT"))?;
                Some(parsed)
            }
            other => {
                return Err(format!(
                    "move: there is no {other:?}: say --multicast ADDR:PORT, --no-multicast, --seed HOST:PORT"
                ));
            }
        };
        if group.replace(named).is_some() {
            return Err("move: say one group, or --no-multicast".into());
        }
    }
    if group.is_none() && seeds.is_empty() {
        return Err("move: say where: --multicast ADDR:PORT, --no-multicast, --seed HOST:PORT".into());
    }
    Ok(Command::Move(group, seeds))
}

/// Whom to give up.
fn ids(rest: &str) -> Result<Vec<NodeId>, String> {
    if rest.is_empty() {
        return Err("recover: say which IDs to give up".into());
    }
    rest.split_whitespace().map(|id| id.parse().map_err(|e| format!("recover: {e}"))).collect()
}

fn with_pair(word: &str, rest: &str, make: fn(String, String) -> Command) -> Result<Command, String> {
    match pair(rest) {
        Some((key, value)) => Ok(make(key.into(), value.into())),
        None => Err(format!("{word}: say KEY=VALUE")),
    }
}

/// An ID, and all that follows the white space after it.
fn with_text(word: &str, rest: &str, make: fn(NodeId, String) -> Command) -> Result<Command, String> {
    let (id, text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    Ok(make(node(word, id)?, text.trim_start().into()))
}

fn node(word: &str, id: &str) -> Result<NodeId, String> {
    NodeId::new(id).map_err(|e| format!("{word}: say which ID: {e}"))
}

fn name(word: &str, name: &str) -> Result<Name, String> {
    Name::new(name).map_err(|e| format!("{word}: say which NAME: {e}"))
}

fn alone(word: &str, rest: &str, command: Command) -> Result<Command, String> {
    if rest.is_empty() { Ok(command) } else { Err(format!("{word} takes nothing after it, and {rest:?} is there")) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines() {
        assert_eq!(parse("  "), Ok(None));
        assert_eq!(parse("set a=b c=d\n"), Ok(Some(Command::Set("a".into(), "b c=d".into()))));
        assert_eq!(parse("find a="), Ok(Some(Command::Find("a".into(), String::new()))));
        let a = NodeId::new("a").unwrap();
        assert_eq!(parse("send a  b c"), Ok(Some(Command::Send(a.clone(), "b c".into()))));
        assert_eq!(parse("broadcast  b c"), Ok(Some(Command::Broadcast("b c".into()))));
        assert_eq!(parse("datagram a"), Ok(Some(Command::Datagram(a.clone(), String::new()))));
        let asked = Command::Ask("k".into(), "v=w".into(), "who?  x".into());
        assert_eq!(parse("ask k=v=w  who?  x"), Ok(Some(asked)));
        assert_eq!(parse("path a"), Ok(Some(Command::Path(a.clone()))));
        assert_eq!(parse("retire a"), Ok(Some(Command::Retire(a.clone()))));
        assert_eq!(parse("priority a -2"), Ok(Some(Command::Priority(a, -2))));
        assert_eq!(parse("promote witness"), Ok(Some(Command::Stand(Standing::Witness))));
        let group = Some("239.1.2.3:4567".parse().unwrap());
        assert_eq!(parse("move --multicast 239.1.2.3:4567"), Ok(Some(Command::Move(Some(group), vec![]))));
        let seeds = vec!["h:1".into(), "[::1]:2".into()];
        assert_eq!(
            parse("move --seed h:1 --no-multicast --seed [::1]:2"),
            Ok(Some(Command::Move(Some(None), seeds.clone())))
        );
        assert_eq!(parse("move --seed h:1 --seed [::1]:2"), Ok(Some(Command::Move(None, seeds))));
        assert_eq!(parse("leave"), Ok(Some(Command::Leave)));
        assert_eq!(parse("claim n"), Ok(Some(Command::Claim(Name::new("n").unwrap()))));
        assert_eq!(parse("release n"), Ok(Some(Command::Release(Name::new("n").unwrap()))));
        assert_eq!(parse("handover"), Ok(Some(Command::Handover(None))));
        assert_eq!(parse("handover b"), Ok(Some(Command::Handover(Some("b".into())))));
        for (bad, part) in [
            ("set a", "KEY=VALUE"),
            ("set =b", "KEY=VALUE"),
            ("unset", "KEY"),
            ("recover", "which IDs"),
            ("claim", "which NAME"),
            ("release a b", "white space"),
            ("leave now", "nothing after"),
            ("jump", "no command"),
            ("retire", "which ID"),
            ("ask who?", "KEY=VALUE"),
            ("path", "which ID"),
            ("send", "which ID"),
            ("priority a", "ID N"),
            ("priority a x", "no number"),
            ("promote me", "nothing after"),
            ("move", "say where"),
            ("move there", "there is no"),
            ("move --seed", "lacks"),
            ("move --multicast 239.1.2.3", "ADDR:PORT"),
            ("move --multicast 239.1.2.3:4 --no-multicast", "one group"),
        ] {
            assert!(parse(bad).unwrap_err().contains(part), "{bad}");
        }
        assert_eq!(parse("request b  c"), Ok(Some(Command::Request("b  c".into()))));
    }
}
