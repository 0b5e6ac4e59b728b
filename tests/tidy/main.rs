//! The architecture and the style of the sources, as tests.
//!
//! Each check takes a tree of files and returns what it finds, a sentence each; the last tests feed it broken trees.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bite;
mod graph;
mod source;
mod style;

use source::Tree;

/// Who may import whom: a layer, and the layers that it may name. Arrows run downwards only.
const LAYERS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("wire", &["types"]),
    ("proto", &["wire", "types"]),
    ("net", &["types"]),
    ("driver", &["net", "proto", "wire", "types"]),
    ("sim", &["proto", "wire", "types"]),
];

/// Layers whose outputs depend on their inputs and on nothing else.
const PURE: &[&str] = &["types", "wire", "proto"];

/// The most lines of a file, its tests not counted.
const FILE_LINES: usize = 700;

/// The most lines of a function.
const FUNCTION_LINES: usize = 100;

/// Places that a check may pass over: the path, what is found there (a part of the sentence), and why it has to be so.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

fn assert_tidy(findings: Vec<String>) {
    let excepted =
        |finding: &String| EXCEPTIONS.iter().any(|(path, what, _)| finding.starts_with(path) && finding.contains(what));
    let left: Vec<String> = findings.into_iter().filter(|f| !excepted(f)).collect();
    assert!(left.is_empty(), "\n{}\n", left.join("\n"));
}

#[test]
fn layers_import_downwards_only() {
    assert_tidy(graph::layers(&Tree::of_this_crate()));
}

#[test]
fn modules_of_a_layer_have_no_cycles() {
    assert_tidy(graph::cycles(&Tree::of_this_crate()));
}

#[test]
fn the_pure_layers_have_no_clock_no_chance_and_no_socket() {
    assert_tidy(style::pure(&Tree::of_this_crate()));
}

#[test]
fn files_and_functions_are_short() {
    assert_tidy(style::lengths(&Tree::of_this_crate()));
}

#[test]
fn nothing_is_left_over() {
    assert_tidy(style::leftovers(&Tree::of_this_crate()));
}

#[test]
fn exceptions_have_reasons_and_are_needed() {
    let tree = Tree::of_this_crate();
    let all = [
        graph::layers(&tree),
        graph::cycles(&tree),
        style::pure(&tree),
        style::lengths(&tree),
        style::leftovers(&tree),
    ];
    for (path, what, why) in EXCEPTIONS {
        assert!(!why.is_empty(), "{path} needs a reason");
        assert!(all.iter().flatten().any(|f| f.starts_with(path) && f.contains(what)), "{path}: {what} is gone");
    }
}
