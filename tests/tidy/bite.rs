//! The checks are fed what they are to find.

use super::source::{Tree, tokens};
use super::{graph, style};

/// A tree of these files, with a harmless front for each layer that they are in.
fn tree(files: &[(&str, &str)]) -> Tree {
    Tree(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
}

#[track_caller]
fn finds(findings: &[String], parts: &[&str]) {
    assert_eq!(findings.len(), parts.len(), "{findings:#?}");
    for part in parts {
        assert!(findings.iter().any(|f| f.contains(part)), "{part:?} in {findings:#?}");
    }
}

#[test]
fn imports_upwards_are_found() {
    let files = [
        ("src/types/a.rs", "use crate::wire::Frame;"),
        ("src/wire/b.rs", "fn f() { let x = crate::proto::node::Node::new(); }"),
        ("src/net/c.rs", "use crate::{\n    types::Slot,\n    wire::{A, B},\n};"),
        ("src/wire/d.rs", "use super::super::driver::Driver;"),
        ("src/proto/e.rs", "mod inner { use super::super::super::sim::Net; }"),
    ];
    finds(
        &graph::layers(&tree(&files)),
        &[
            "types/a.rs:1",
            "wire/b.rs:1: wire must not import proto",
            "net/c.rs:3",
            "::B",
            "wire/d.rs:1",
            "proto/e.rs:1",
        ],
    );
}

#[test]
fn re_exports_of_the_root_and_unknown_layers_are_found() {
    let files = [("src/wire/a.rs", "use crate::NodeId;"), ("src/extra/b.rs", "")];
    finds(&graph::layers(&tree(&files)), &["NodeId is no module", "extra has no place"]);
}

#[test]
fn the_command_goes_by_the_public_api() {
    let files = [("src/bin/convoke/main.rs", "#[path = \"../../wire/mod.rs\"]\nmod wire;\nuse convoke::wire::Frame;")];
    finds(&graph::layers(&tree(&files)), &["main.rs:1"]);
}

#[test]
fn what_is_allowed_is_not_found() {
    let files = [
        (
            "src/types/mod.rs",
            "mod a;\npub use a::A;\n#[cfg(test)]\nmod tests { use crate::sim::X; use std::time::Instant; }",
        ),
        ("src/types/a.rs", "//! crate::sim::X\npub struct A; const S: &str = \"crate::sim::X\"; /* crate::sim */"),
        ("src/wire/b.rs", "use crate::types::A;\npub(crate) fn f<'a>(c: char) -> bool { c == '\"' || c == '{' }"),
        ("src/wire/tests/c.rs", "use crate::sim::X;"),
        ("src/driver/d.rs", "use crate::wire::b; use std::time::Instant;"),
    ];
    let tree = tree(&files);
    finds(&graph::layers(&tree), &[]);
    finds(&graph::cycles(&tree), &[]);
    finds(&style::pure(&tree), &[]);
    finds(&style::lengths(&tree), &[]);
    finds(&style::leftovers(&tree), &[]);
}

#[test]
fn cycles_are_found() {
    let by_path = [("src/proto/a.rs", "use super::b::B;"), ("src/proto/b.rs", "use crate::proto::a::A;")];
    finds(&graph::cycles(&tree(&by_path)), &["src/proto: a → b → a"]);
    let front = "mod a;\nmod b;\npub use a::{A, other};\npub use b::*;";
    let by_re_export = [
        ("src/proto/mod.rs", front),
        ("src/proto/a.rs", "use super::B; pub struct A;"),
        ("src/proto/b.rs", "use super::A; pub struct B;"),
    ];
    finds(&graph::cycles(&tree(&by_re_export)), &["src/proto: a → b → a"]);
    let through_the_front = [
        ("src/wire/mod.rs", "mod a;\npub use a::A;\npub struct B(A);"),
        ("src/wire/a.rs", "use super::B;\npub struct A;"),
    ];
    finds(&graph::cycles(&tree(&through_the_front)), &["src/wire: a → mod → a"]);
    let deep = [
        ("src/sim/a/inner.rs", "use super::super::b::B;"),
        ("src/sim/b.rs", "fn f() { super::c::g() }"),
        ("src/sim/c.rs", "use crate::sim::{a::inner::X, b};"),
    ];
    finds(&graph::cycles(&tree(&deep)), &["src/sim: a → b → c → a", "src/sim: b → c → b"]);
    let none = [
        ("src/proto/mod.rs", front),
        ("src/proto/a.rs", "use super::B; pub struct A;"),
        ("src/proto/b.rs", "pub struct B;"),
    ];
    finds(&graph::cycles(&tree(&none)), &[]);
}

#[test]
fn clocks_chance_and_sockets_are_found() {
    let bad = "use std::time::{Duration, Instant};\nlet m = std::collections::HashMap::new();\nlet s = std::net::UdpSocket::bind(a);\nlet r = rand::random();\nlet rand = 1; let x = self.fs;";
    finds(
        &style::pure(&tree(&[("src/proto/a.rs", bad)])),
        &["a.rs:1: Instant", "a.rs:2: HashMap", "a.rs:3: UdpSocket", "a.rs:4: rand"],
    );
}

#[test]
fn long_files_and_functions_are_found() {
    let file = "//\n".repeat(701);
    let function = format!("impl X {{\n    fn long(&self) -> [u8; 2] {{\n{}    }}\n}}", "        x();\n".repeat(99));
    let short = format!("fn short() {{\n{}}}\nfn declared();", "    x();\n".repeat(98));
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}", "    x();\n".repeat(900));
    let files =
        [("src/net/a.rs", &*file), ("src/net/b.rs", &function), ("src/net/c.rs", &short), ("src/net/d.rs", &tests)];
    finds(&style::lengths(&tree(&files)), &["a.rs: 701 lines", "b.rs:2: long has 101 lines"]);
}

#[test]
fn leftovers_are_found() {
    let note = format!("// {}: later\nfn f() {{ println!(\"x\"); todo!() }}", concat!("FIX", "ME"));
    let path = format!("See {}somebody/convoke.", concat!("/ho", "me/"));
    let allow = "#![allow(unsafe_code)]";
    let files = [("src/wire/a.rs", &*note), ("README.md", &path), ("src/net/b.rs", allow)];
    finds(&style::leftovers(&tree(&files)), &["a.rs:1", "println!", "todo!", "README.md:1", "unsafe code"]);
}

#[test]
fn the_tokens_are_right() {
    let text = "a::b // c\n\"d \\\" e\" r#\"f\"# 'g' 'h: b'i' /* j /* k */ l */ m\n!";
    let expected = [
        ("a", 1),
        ("::", 1),
        ("b", 1),
        ("\"\"", 2),
        ("\"\"", 2),
        ("\"\"", 2),
        ("h", 2),
        (":", 2),
        ("\"\"", 2),
        ("m", 2),
        ("!", 3),
    ];
    let found = tokens(text);
    let found: Vec<(&str, usize)> = found.iter().map(|t| (&*t.text, t.line)).collect();
    assert_eq!(found, expected);
}
