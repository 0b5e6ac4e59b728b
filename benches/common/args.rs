//! The words that a bench was started with.
//!
//! `cargo bench` says `--bench`; `-- --test`, or a start by `cargo test`, asks for a run that is short and only shows that
//! it works.

#![allow(dead_code)] // Each bench uses its own part of this.
#![allow(unreachable_pub, missing_docs)]

use std::str::FromStr;

/// The words.
#[derive(Debug, Clone)]
pub struct Args(Vec<String>);

impl Args {
    pub fn read() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    fn has(&self, word: &str) -> bool {
        self.0.iter().any(|a| a == word)
    }

    /// True for a run that only shows that it works.
    pub fn is_short(&self) -> bool {
        self.has("--test") || !self.has("--bench")
    }

    /// One of two, the first for a short run.
    pub fn pick<T>(&self, short: T, long: T) -> T {
        if self.is_short() { short } else { long }
    }

    /// The value of an option; nothing where it isn't there, or isn't one.
    pub fn value<T: FromStr>(&self, option: &str) -> Option<T> {
        let at = self.0.iter().position(|a| a == option)?;
        self.0.get(at + 1)?.parse().ok()
    }

    /// The words that follow this one, where it is there: what a bench tells itself in another process.
    pub fn after(&self, word: &str) -> Option<&[String]> {
        let at = self.0.iter().position(|a| a == word)?;
        Some(&self.0[at + 1..])
    }

    /// Whether this one of the parts runs: where none of them is named, all do.
    pub fn runs(&self, part: &str, parts: &[&str]) -> bool {
        self.has(part) || !parts.iter().any(|p| self.has(p))
    }
}
