//! What must not stand in the sources, and how long they may be.

use super::source::{File, Tree, closing, texts};
use super::{FILE_LINES, FUNCTION_LINES, PURE};

/// Words that the pure layers must not use, and why.
const IMPURE: &[(&str, &str)] = &[
    ("Instant", "time is an argument"),
    ("SystemTime", "time is an argument"),
    ("thread", "the core has no threads"),
    ("sleep", "the core never waits"),
    ("rand", "the seed is an argument"),
    ("getrandom", "the seed is an argument"),
    ("RandomState", "the seed is an argument"),
    ("HashMap", "its order differs from run to run"),
    ("HashSet", "its order differs from run to run"),
    ("UdpSocket", "the core has no sockets"),
    ("TcpStream", "the core has no sockets"),
    ("TcpListener", "the core has no sockets"),
    ("ToSocketAddrs", "the core resolves no names"),
    ("mio", "the core has no sockets"),
    ("socket2", "the core has no sockets"),
    ("env", "the core reads no environment"),
    ("fs", "the core reads no files"),
];

/// Findings: clocks, chance, sockets and unordered iteration in the pure layers.
pub(crate) fn pure(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.library() {
        if !file.module().first().is_some_and(|layer| PURE.contains(&&**layer)) {
            continue;
        }
        for (at, token) in file.tokens.iter().enumerate() {
            let Some((word, why)) = IMPURE.iter().find(|(word, _)| *word == token.text) else { continue };
            // A field or a variable may have such a name; a path or a type is meant.
            let next = file.tokens.get(at + 1).map_or("", |t| &*t.text);
            let before = at.checked_sub(1).map_or("", |i| &*file.tokens[i].text);
            if word.starts_with(char::is_uppercase) || next == "::" || before == "::" || before == "use" {
                findings.push(format!("{}:{}: {word}: {why}", file.path, token.line));
            }
        }
    }
    findings
}

/// Findings: files and functions that are too long.
pub(crate) fn lengths(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.library().chain(commands(tree)) {
        if file.lines > FILE_LINES {
            findings.push(format!("{}: {} lines, {FILE_LINES} are the most", file.path, file.lines));
        }
        for (at, token) in file.tokens.iter().enumerate() {
            if token.text != "fn" {
                continue;
            }
            let name = file.tokens.get(at + 1).map_or("", |t| &*t.text);
            let Some(body) = body_of(&file, at) else { continue };
            let lines = file.tokens[closing(&file.tokens, body)].line - token.line + 1;
            if lines > FUNCTION_LINES {
                let place = format!("{}:{}", file.path, token.line);
                findings.push(format!("{place}: {name} has {lines} lines, {FUNCTION_LINES} are the most"));
            }
        }
    }
    findings
}

fn commands(tree: &Tree) -> impl Iterator<Item = File<'_>> {
    let command = |path: &str| path.starts_with("src/bin/") && path.ends_with(".rs") && !path.contains("tests");
    tree.0.iter().filter(move |(path, _)| command(path)).map(|(path, text)| File::new(path, text))
}

/// Where the body of the function at `at` opens; nothing for one without a body, or for a function's type.
fn body_of(file: &File<'_>, at: usize) -> Option<usize> {
    let mut i = at + 1;
    loop {
        match &*file.tokens.get(i)?.text {
            "{" => return Some(i),
            ";" | "," | "=" | "}" => return None,
            "(" | "[" => i = closing(&file.tokens, i),
            _ => {}
        }
        i += 1;
    }
}

/// Findings: notes to oneself, prints in the library, paths of somebody's machine.
pub(crate) fn leftovers(tree: &Tree) -> Vec<String> {
    // Written in parts, so that this file isn't found.
    let notes = [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X")];
    let paths = [
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/Us", "ers/"),
        concat!("/wo", "rk/"),
        concat!("C:", "\\"),
    ];
    let mut findings = Vec::new();
    for (path, text) in &tree.0 {
        for (number, line) in (1..).zip(text.lines()) {
            let bad = notes.iter().chain(&paths).find(|bad| line.contains(**bad));
            findings.extend(bad.map(|bad| format!("{path}:{number}: {bad}")));
        }
    }
    let macros = ["todo", "unimplemented", "dbg", "println", "eprintln", "print", "eprint"];
    for file in tree.library() {
        for window in file.tokens.windows(2) {
            if window[1].text == "!" && macros.contains(&&*window[0].text) {
                findings.push(format!("{}:{}: {}!", file.path, window[0].line, window[0].text));
            }
        }
        let allow = ["allow", "(", "unsafe_code", ")"];
        for window in file.tokens.windows(4).filter(|w| texts(w) == allow) {
            findings.push(format!("{}:{}: unsafe code", file.path, window[0].line));
        }
    }
    findings
}
