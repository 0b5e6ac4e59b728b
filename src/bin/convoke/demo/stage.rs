//! How the demo tells its story: for people, or as objects.

use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::time::Instant;

/// Where the story is told.
pub(super) struct Stage {
    json: bool,
    colour: bool,
    pub(super) started: Instant,
    act: u32,
}

impl Stage {
    pub(super) fn new(json: bool) -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { json, colour, started: Instant::now(), act: 0 }
    }

    fn put(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        // Where nobody reads any more the demo still runs to its end: its exit status is worth something too.
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into() }
    }

    pub(super) fn title(&self, text: &str, more: &str) {
        if !self.json {
            self.put(&format!("{}\n{more}", self.paint("1", text)));
        }
    }

    /// A new part of the story.
    pub(super) fn act(&mut self, text: &str) {
        self.act += 1;
        if !self.json {
            self.put(&format!("\n {}  {}", self.act, self.paint("1;36", text)));
        }
    }

    /// A line of the story, with the time since the start.
    pub(super) fn say(&self, text: &str) {
        if !self.json {
            let at = format!("{:8.3} s", self.started.elapsed().as_secs_f64());
            self.put(&format!("  {}  {text}", self.paint("2", &at)));
        }
    }

    /// A line below another.
    pub(super) fn more(&self, text: &str) {
        if !self.json {
            self.put(&format!("              {text}"));
        }
    }

    /// Names and times, as bars.
    pub(super) fn bars(&self, times_ms: &[(String, f64)]) {
        const WIDTH: f64 = 40.0;
        let most = times_ms.iter().map(|(_, t)| *t).fold(f64::EPSILON, f64::max);
        let name = times_ms.iter().map(|(n, _)| n.chars().count()).max().unwrap_or(0);
        for (who, ms) in times_ms {
            let bar = "▪".repeat(((ms / most * WIDTH) as usize).max(1));
            self.more(&format!("{who:<name$}  {ms:9.2} ms  {}", self.paint("32", &bar)));
        }
    }

    /// A step that happened, for machines.
    pub(super) fn step(&self, name: &str, mut fields: Value) {
        if self.json {
            fields["event"] = json!("step");
            fields["step"] = json!(name);
            fields["elapsed_ms"] = json!(self.started.elapsed().as_millis() as u64);
            self.put(&fields.to_string());
        }
    }

    /// The end.
    pub(super) fn end(&self, ok: bool, text: &str, mut fields: Value) {
        if self.json {
            fields["event"] = json!("summary");
            fields["ok"] = json!(ok);
            fields["elapsed_ms"] = json!(self.started.elapsed().as_millis() as u64);
            self.put(&fields.to_string());
        } else {
            self.put(&format!("\n{}", self.paint(if ok { "1;32" } else { "1;31" }, text)));
        }
    }
}
