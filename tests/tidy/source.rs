//! Source files, and just enough of Rust's grammar to find imports, modules and functions in them.

use std::collections::BTreeMap;
use std::path::Path;

/// Files by their path from the crate's root, with `/` between the parts.
pub(crate) struct Tree(pub(crate) BTreeMap<String, String>);

impl Tree {
    /// The text files of this crate.
    pub(crate) fn of_this_crate() -> Self {
        // At run time, so that a tree elsewhere can be looked at.
        let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
        let mut tree = Self(BTreeMap::new());
        tree.walk(Path::new(&root), "");
        assert!(tree.0.contains_key("src/lib.rs"), "no sources in {root}");
        tree
    }

    fn walk(&mut self, dir: &Path, prefix: &str) {
        for entry in std::fs::read_dir(dir).expect("a readable directory") {
            let entry = entry.expect("a readable entry");
            let name = entry.file_name().into_string().expect("a name in UTF-8");
            let path = format!("{prefix}{name}");
            let text = [".rs", ".toml", ".md", ".yml", ".sh"].iter().any(|end| name.ends_with(end));
            if entry.file_type().expect("a type").is_dir() {
                if ![".git", "target", "corpus", "artifacts", "coverage"].contains(&&*name) {
                    self.walk(&entry.path(), &format!("{path}/"));
                }
            } else if text {
                self.0.insert(path, std::fs::read_to_string(entry.path()).expect("text"));
            }
        }
    }

    /// The Rust files of the library that are not tests, with their tokens.
    pub(crate) fn library(&self) -> impl Iterator<Item = File<'_>> {
        let is_test = |path: &str| path.split('/').any(|part| part == "tests" || part == "tests.rs");
        self.0
            .iter()
            .filter(move |(path, _)| {
                path.starts_with("src/") && path.ends_with(".rs") && !path.starts_with("src/bin/") && !is_test(path)
            })
            .map(|(path, text)| File::new(path, text))
    }
}

/// A word or a sign, and the line that it stands in, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// A file of the library.
pub(crate) struct File<'a> {
    pub(crate) path: &'a str,
    /// Without comments, without the content of strings, without test modules.
    pub(crate) tokens: Vec<Token>,
    /// How many lines it has besides its test modules.
    pub(crate) lines: usize,
}

impl<'a> File<'a> {
    pub(crate) fn new(path: &'a str, text: &str) -> Self {
        let (tokens, test_lines) = without_tests(tokens(text));
        Self { path, tokens, lines: text.lines().count() - test_lines }
    }

    /// The module path from the crate's root: `src/wire/codec.rs` is `[wire, codec]`.
    pub(crate) fn module(&self) -> Vec<String> {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let mut parts: Vec<String> = inner.split('/').map(Into::into).collect();
        if matches!(parts.last().map(String::as_str), Some("mod" | "lib")) {
            parts.pop();
        }
        parts
    }
}

/// The tokens of a text: words, numbers, and signs of one character, but `::` as one. Comments are left out; a string
/// or a character becomes the token `""`.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
    while at < chars.len() {
        let start = at;
        let (end, token) = next_token(&chars, at);
        at = end.max(at + 1);
        if let Some(text) = token {
            tokens.push(Token { text, line });
        }
        line += chars[start..at.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

/// Where the token at `at` ends, and what it is.
fn next_token(chars: &[char], at: usize) -> (usize, Option<String>) {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let rest = &chars[at..];
    let find =
        |from: usize, stop: &dyn Fn(usize) -> bool| (from..chars.len()).find(|i| stop(*i)).unwrap_or(chars.len());
    let string = Some("\"\"".to_owned());
    match rest {
        [c, ..] if c.is_whitespace() => (at + 1, None),
        ['/', '/', ..] => (find(at, &|i| chars[i] == '\n'), None),
        ['/', '*', ..] => (block_comment(chars, at), None),
        ['"', ..] => (closing_quote(chars, at + 1, '"'), string),
        ['b', '"', ..] => (closing_quote(chars, at + 2, '"'), string),
        ['b', '\'', ..] => (closing_quote(chars, at + 2, '\''), string),
        ['r', '"' | '#', ..] | ['b', 'r', '"' | '#', ..] if raw_string(chars, at).is_some() => {
            (raw_string(chars, at).unwrap_or(at + 1), string)
        }
        // A lifetime has no closing quote right behind one character.
        ['\'', c, ..] if *c == '\\' || rest.get(2) == Some(&'\'') => (closing_quote(chars, at + 1, '\''), string),
        ['\'', ..] => (at + 1, None),
        [c, ..] if word(*c) => {
            let end = find(at, &|i| !word(chars[i]));
            (end, Some(chars[at..end].iter().collect()))
        }
        [':', ':', ..] => (at + 2, Some("::".into())),
        [c, ..] => (at + 1, Some(c.to_string())),
        [] => (at, None),
    }
}

fn block_comment(chars: &[char], at: usize) -> usize {
    let (mut depth, mut at) = (0, at);
    while at < chars.len() {
        match chars[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn closing_quote(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn raw_string(chars: &[char], at: usize) -> Option<usize> {
    let start = chars[at..].iter().position(|c| *c == '#' || *c == '"')? + at;
    let hashes = chars[start..].iter().take_while(|c| **c == '#').count();
    if chars.get(start + hashes) != Some(&'"') {
        return None;
    }
    let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    (start + hashes + 1..chars.len()).find(|i| chars[*i..].starts_with(&close)).map(|i| i + close.len())
}

/// Where the bracket that opens at `at` closes.
pub(crate) fn closing(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0_usize;
    for (i, token) in tokens.iter().enumerate().skip(at) {
        match &*token.text {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return i;
        }
    }
    tokens.len().saturating_sub(1)
}

pub(crate) fn texts(tokens: &[Token]) -> Vec<&str> {
    tokens.iter().map(|t| &*t.text).collect()
}

/// Leaves out `#[cfg(test)]` items, and says how many lines those are.
fn without_tests(tokens: Vec<Token>) -> (Vec<Token>, usize) {
    let (mut kept, mut lines, mut at) = (Vec::new(), 0, 0);
    while at < tokens.len() {
        let is_test = texts(&tokens[at..tokens.len().min(at + 7)]) == ["#", "[", "cfg", "(", "test", ")", "]"];
        if is_test {
            // To the end of the item: its body's closing brace, or a semicolon before any.
            let end = tokens[at + 7..]
                .iter()
                .position(|t| t.text == "{" || t.text == ";")
                .map_or(tokens.len() - 1, |i| i + at + 7);
            let end = if tokens[end].text == "{" { closing(&tokens, end) } else { end };
            lines += tokens[end].line - tokens[at].line + 1;
            at = end + 1;
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    (kept, lines)
}
