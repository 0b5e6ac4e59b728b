//! Who imports whom.

use super::LAYERS;
use super::source::{File, Token, Tree, closing};
use std::collections::{BTreeMap, BTreeSet};

/// A path that a file names, from the crate's root, and the line where it does.
struct Named {
    path: Vec<String>,
    line: usize,
    /// It is handed on by `pub use` only.
    re_export: bool,
}

/// All paths of a file that begin with `crate`, `super` or `self`, with groups in braces taken apart; in the file of
/// a layer's front (`mod.rs`) also those of its `use` items that begin with a child's name.
fn named(file: &File<'_>) -> Vec<Named> {
    let tokens = &file.tokens;
    let mut module = file.module();
    // Inline modules: where each ends.
    let mut inline: Vec<usize> = Vec::new();
    let mut use_until = 0;
    let mut re_export = false;
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        while inline.last().is_some_and(|end| at > *end) {
            inline.pop();
            module.pop();
        }
        if at >= use_until {
            re_export = false;
        }
        let after = |n: usize| tokens.get(at + n).map_or("", |t| &*t.text);
        let before = |n: usize| at.checked_sub(n).map_or("", |i| &*tokens[i].text);
        match &*token.text {
            "mod" if after(2) == "{" => {
                inline.push(closing(tokens, at + 2));
                module.push(after(1).into());
            }
            "use" => {
                use_until = tokens[at..].iter().position(|t| t.text == ";").map_or(tokens.len(), |n| n + at);
                re_export = before(1) == "pub" || before(1) == ")";
                if !["crate", "super", "self", "std", "::"].contains(&after(1)) {
                    // `use child::Name` in a front.
                    expand(tokens, at + 1, module.clone(), re_export, &mut found);
                }
            }
            "crate" if after(1) == "::" && before(1) != "(" => expand(tokens, at + 2, vec![], re_export, &mut found),
            "super" | "self" if after(1) == "::" && before(1) != "::" => {
                let (mut base, mut i) = (module.clone(), at);
                while tokens[i].text == "super" || tokens[i].text == "self" {
                    if tokens[i].text == "super" {
                        base.pop();
                    }
                    i += 2;
                }
                expand(tokens, i, base, re_export, &mut found);
            }
            _ => {}
        }
    }
    found
}

/// Reads a path from `at` on, behind `base`; `{a::b, c}` gives a path for each.
fn expand(tokens: &[Token], at: usize, mut base: Vec<String>, re_export: bool, found: &mut Vec<Named>) {
    let mut i = at;
    while let Some(token) = tokens.get(i) {
        if token.text == "{" {
            let end = closing(tokens, i);
            let mut part = i + 1;
            while part < end {
                expand(tokens, part, base.clone(), re_export, found);
                // The next part begins behind the next comma of this level.
                let mut next = part;
                while next < end && tokens[next].text != "," {
                    next = if tokens[next].text == "{" { closing(tokens, next) + 1 } else { next + 1 };
                }
                part = next + 1;
            }
            return;
        }
        base.push(token.text.clone());
        if tokens.get(i + 1).is_none_or(|t| t.text != "::") {
            found.push(Named { path: base, line: token.line, re_export });
            return;
        }
        i += 2;
    }
}

/// Findings: a layer that names one it may not, and paths through re-exports of the crate's root.
pub(crate) fn layers(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.library() {
        let module = file.module();
        let Some(layer) = module.first() else { continue };
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| name == layer) else {
            findings.push(format!("{}: {layer} has no place in the table of layers", file.path));
            continue;
        };
        for Named { path, line, .. } in named(&file) {
            let Some(first) = path.first() else { continue };
            let place = format!("{}:{line}", file.path);
            if !LAYERS.iter().any(|(name, _)| name == first) {
                findings.push(format!("{place}: {} is no module: import it by its own path", path.join("::")));
            } else if first != layer && !allowed.contains(&&**first) {
                findings.push(format!("{place}: {layer} must not import {}", path.join("::")));
            }
        }
    }
    for (path, text) in tree.0.iter().filter(|(path, _)| path.starts_with("src/bin/") && path.ends_with(".rs")) {
        let bad = |t: &&Token| t.text == "include" || t.text == "path";
        let file = File::new(path, text);
        findings.extend(file.tokens.windows(2).filter(|w| bad(&&w[0]) && (w[1].text == "!" || w[1].text == "=")).map(
            |w| format!("{path}:{}: the command uses the public API only, no other way to the sources", w[0].line),
        ));
    }
    findings
}

/// A layer's modules, the items that each declares, and the items that its front hands on.
struct Layer {
    modules: BTreeSet<String>,
    /// The name of an item that the front re-exports or that a module behind a glob declares: in which module it is.
    homes: BTreeMap<String, String>,
}

fn layer_of(tree: &Tree, layer: &str) -> Layer {
    let files: Vec<File<'_>> = tree.library().filter(|f| f.module().first().is_some_and(|l| l == layer)).collect();
    let modules: BTreeSet<String> = files.iter().filter_map(|f| f.module().get(1).cloned()).collect();
    let mut homes = BTreeMap::new();
    for front in files.iter().filter(|f| f.module().len() == 1) {
        for Named { path, re_export, .. } in named(front) {
            let [_, module, .., item] = &path[..] else { continue };
            if re_export && item == "*" {
                for file in files.iter().filter(|f| f.module().get(1) == Some(module)) {
                    homes.extend(declared(file).into_iter().map(|name| (name, module.clone())));
                }
            } else if re_export {
                homes.insert(item.clone(), module.clone());
            }
        }
    }
    Layer { modules, homes }
}

/// The names of the public items of a file.
fn declared(file: &File<'_>) -> Vec<String> {
    let keywords = ["struct", "enum", "fn", "const", "static", "type", "trait"];
    let of = |w: &[Token]| (w[0].text == "pub" && keywords.contains(&&*w[1].text)).then(|| w[2].text.clone());
    file.tokens.windows(3).filter_map(of).collect()
}

/// True where a front not only hands an item on but names it elsewhere too.
fn used_too(file: &File<'_>, item: Option<&String>) -> bool {
    file.tokens.iter().filter(|t| Some(&t.text) == item).count() > 1
}

/// Findings: cycles between the modules of one layer. What the layer's front hands on counts as an import of the
/// module where it is; handing on is no import itself.
pub(crate) fn cycles(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (layer, _) in LAYERS {
        let known = layer_of(tree, layer);
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for file in tree.library() {
            let module = file.module();
            if module.first().is_none_or(|l| l != layer) {
                continue;
            }
            let from = module.get(1).cloned().unwrap_or_else(|| "mod".into());
            for Named { path, re_export, .. } in named(&file) {
                let [first, name, ..] = &path[..] else { continue };
                let handed_on = re_export && module.len() == 1 && !used_too(&file, path.last());
                if first != layer || handed_on {
                    continue;
                }
                let to = if known.modules.contains(name) { name } else { known.homes.get(name).map_or("mod", |v| v) };
                if *to != from {
                    edges.entry(from.clone()).or_default().insert(to.into());
                }
            }
        }
        while let Some(cycle) = find_cycle(&edges) {
            findings.push(format!("src/{layer}: {}", cycle.join(" → ")));
            // Without one of its edges, to find the others.
            edges.get_mut(&cycle[0]).expect("a module of the cycle").remove(&cycle[1]);
        }
    }
    findings
}

/// A cycle, where there is one: its modules in order, the first again at the end.
fn find_cycle(edges: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    // Modules that import nothing that is left can't be in a cycle; what remains has one.
    let mut left = edges.clone();
    loop {
        let names: BTreeSet<String> = left.keys().cloned().collect();
        left.values_mut().for_each(|to| to.retain(|name| names.contains(name)));
        let before = left.len();
        left.retain(|_, to| !to.is_empty());
        if left.len() == before {
            break;
        }
    }
    let mut cycle = vec![left.keys().next()?.clone()];
    loop {
        let next = left.get(cycle.last()?)?.iter().next()?.clone();
        if let Some(at) = cycle.iter().position(|name| *name == next) {
            cycle.drain(..at);
            cycle.push(next);
            return Some(cycle);
        }
        cycle.push(next);
    }
}
