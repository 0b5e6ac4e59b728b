//! What a node prints on stdout: one JSON object a line, or readable lines.

use convoke::types::{NodeId, Term};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::Write;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// One event on its way to stdout, in both forms.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    /// The event's name.
    pub(crate) event: &'static str,
    /// What it carries beyond `event`, `id`, `unix_us` and `term`.
    pub(crate) fields: Vec<(&'static str, Value)>,
    /// The same for people.
    pub(crate) text: String,
}

impl Line {
    pub(crate) fn new(event: &'static str, text: impl Into<String>) -> Self {
        Self { event, fields: Vec::new(), text: text.into() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// A stdin command that could not be carried out.
    pub(crate) fn error(message: impl Into<String>) -> Self {
        let message = message.into();
        Self::new("error", message.clone()).with("message", message)
    }

    /// The object, with `event` first: people read these lines too.
    fn json(&self, id: &NodeId, unix_us: u64, term: Option<Term>) -> String {
        let mut out = format!("{{\"event\":\"{}\",\"id\":{},\"unix_us\":{unix_us}", self.event, quoted(id.as_str()));
        if let Some(term) = term {
            // Writing to a string can't fail.
            let _ = write!(out, ",\"term\":{term}");
        }
        for (name, value) in &self.fields {
            let _ = write!(out, ",\"{name}\":{value}");
        }
        out.push('}');
        out
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Microseconds since 1970.
pub(crate) fn unix_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

/// Where the lines go.
pub(crate) struct Reporter {
    id: NodeId,
    json: bool,
    started: Instant,
    term: Option<Term>,
    broken: bool,
}

impl Reporter {
    pub(crate) fn new(id: NodeId, json: bool) -> Self {
        Self { id, json, started: Instant::now(), term: None, broken: false }
    }

    /// What is known of the term from now on.
    pub(crate) fn set_term(&mut self, term: Term) {
        self.term = Some(term);
    }

    /// True once nobody reads any more.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Prints a line, and flushes it: whoever reads shall see it when it happens.
    pub(crate) fn print(&mut self, line: &Line) {
        let mut text = if self.json {
            line.json(&self.id, unix_us(), self.term)
        } else {
            format!("{:9.3} s  {:<10} {}", self.started.elapsed().as_secs_f64(), line.event, line.text)
        };
        text.push('\n');
        let mut out = std::io::stdout().lock();
        self.broken |= out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_object_is_one_line_of_json() {
        let id = NodeId::new("a\"b").unwrap();
        let line = Line::new("leader", "").with("leader", Value::Null).with("note", "two\nlines");
        let text = line.json(&id, 5, Some(Term(7)));
        assert!(!text.contains('\n'));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["event"], &value["id"], &value["term"]), (&"leader".into(), &"a\"b".into(), &7.into()));
        assert_eq!((&value["unix_us"], &value["leader"]), (&5.into(), &Value::Null));
        assert!(serde_json::from_str::<Value>(&line.json(&id, 5, None)).unwrap().get("term").is_none());
    }
}
