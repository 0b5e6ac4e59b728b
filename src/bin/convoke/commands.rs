//! What may be said on stdin, a line each.

use crate::args::pair;
use convoke::types::NodeId;

/// An order to a running node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Set(String, String),
    Unset(String),
    Find(String, String),
    Members,
    Line,
    Stats,
    Recover(Vec<NodeId>),
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
        "stats" => alone(word, rest, Command::Stats)?,
        "leave" => alone(word, rest, Command::Leave)?,
        "quit" => alone(word, rest, Command::Quit)?,
        "send" | "datagram" | "broadcast" | "request" | "claim" | "release" | "handover" | "retire" => {
            return Err(format!("not yet: {word}"));
        }
        other => {
            return Err(format!(
                "there is no command {other:?}: set, unset, find, members, line, stats, recover, leave, quit"
            ));
        }
    };
    Ok(Some(command))
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
        assert_eq!(parse("leave"), Ok(Some(Command::Leave)));
        for (bad, part) in [
            ("set a", "KEY=VALUE"),
            ("set =b", "KEY=VALUE"),
            ("unset", "KEY"),
            ("recover", "which IDs"),
            ("leave now", "nothing after"),
            ("jump", "no command"),
        ] {
            assert!(parse(bad).unwrap_err().contains(part), "{bad}");
        }
        for later in
            ["send a b", "datagram a b", "broadcast b", "request b", "claim n", "release n", "handover", "retire a"]
        {
            assert!(parse(later).unwrap_err().contains("not yet"), "{later}");
        }
    }
}
