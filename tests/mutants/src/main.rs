//! Mutants of the core, all of them in one build: each changes one thing, and some test has to notice.
//!
//! `cargo mutants` builds the crate once for each mutant, which takes a night. This tool writes a copy of the crate in which
//! every mutant is there and sleeps; the number in `CONVOKE_MUTANT` wakes one of them. So there is one build, and a mutant costs
//! what the first test takes that catches it (mutant schemata: Untch, Offutt, Harrold 1993).
//!
//! ```sh
//! cd tests/mutants && cargo run --release            # all of FILES
//! cargo run --release -- src/proto/voter.rs          # of this file
//! cargo run --release -- --list src/proto/voter.rs   # what there is
//! cargo run --release -- --only=3,7 src/proto/voter.rs   # of these alone, by their numbers
//! ```
//!
//! What is changed: a comparison, `&&` and `||`, `!`, a sum or a difference, the guard of a match, and what a function returns
//! (nothing done, yes, no, none, the first or the last time). What counts how often something happened is left alone.

// The core must not; a tool may.
#![allow(clippy::disallowed_methods)]

use proc_macro2::Span;
use quote::ToTokens;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{BinOp, Expr, ImplItemFn, Item, ItemFn, ReturnType, Stmt, Type, UnOp, parse_quote};

/// Election, line, roll and detector.
const FILES: [&str; 6] = [
    "src/proto/campaign.rs",
    "src/proto/voter.rs",
    "src/proto/node/electing.rs",
    "src/proto/succession.rs",
    "src/proto/roll.rs",
    "src/proto/detector.rs",
];

/// The quick ones first.
const TESTS: [&str; 13] = [
    "transcripts",
    "attacks",
    "line",
    "founding",
    "handover",
    "slow",
    "recovery",
    "partitions",
    "requests",
    "regressions",
    "sides",
    "model",
    "sim",
];

/// No test takes longer by far.
const PATIENCE: Duration = Duration::from_secs(240);

#[derive(Debug, Clone)]
struct Mutant {
    place: String,
    what: String,
}

struct Mutator {
    file: String,
    all: Vec<Mutant>,
    within: Vec<String>,
}

impl Mutator {
    fn add(&mut self, span: Span, what: String) -> u32 {
        let place = format!("{}:{} ({})", self.file, span.start().line, self.within.join("::"));
        self.all.push(Mutant { place, what });
        u32::try_from(self.all.len()).expect("few mutants")
    }

    /// The expression as it is, or as one of these where that mutant is awake.
    fn either(&mut self, span: Span, is: &Expr, others: Vec<(Expr, String)>) -> Expr {
        let mut chain: Expr = is.clone();
        for (other, what) in others.into_iter().rev() {
            let n = self.add(span, what);
            chain = parse_quote!((if crate::mutant::on(#n) { #other } else { #chain }));
        }
        chain
    }

    fn function(&mut self, attributes: &[syn::Attribute], signature: &syn::Signature, block: &mut syn::Block) {
        if is_left_out(attributes) || signature.constness.is_some() {
            return;
        }
        self.within.push(signature.ident.to_string());
        visit_mut::visit_block_mut(self, block);
        self.returns(&signature.output, block, signature.ident.span());
        self.within.pop();
    }

    /// It returns at once.
    fn returns(&mut self, output: &ReturnType, block: &mut syn::Block, span: Span) {
        let text = match output {
            ReturnType::Default => String::new(),
            ReturnType::Type(_, of) => of.to_token_stream().to_string(),
        };
        let values: Vec<(Option<Expr>, &str)> = match text.as_str() {
            "" => vec![(None, "does nothing")],
            "bool" => vec![(Some(parse_quote!(true)), "true"), (Some(parse_quote!(false)), "false")],
            "usize" | "u32" | "u64" => vec![(Some(parse_quote!(0)), "0"), (Some(parse_quote!(1)), "1")],
            "Time" => vec![
                (Some(parse_quote!(crate::types::Time::ZERO)), "the first time"),
                (Some(parse_quote!(crate::types::Time::NEVER)), "never"),
            ],
            text if text.starts_with("Option <") => vec![(Some(parse_quote!(None)), "none")],
            text if text.starts_with("Vec <") => vec![(Some(parse_quote!(Vec::new())), "nothing in it")],
            _ => vec![],
        };
        for (value, what) in values {
            let n = self.add(span, format!("returns at once: {what}"));
            let stmt: Stmt = parse_quote!(if crate::mutant::on(#n) { return #value; });
            block.stmts.insert(0, stmt);
        }
    }
}

fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(b) => has_let(&b.left) || has_let(&b.right),
        Expr::Paren(p) => has_let(&p.expr),
        _ => false,
    }
}

fn short(expr: &impl ToTokens) -> String {
    let text = expr.to_token_stream().to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().take(70).collect()
}

fn is_left_out(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|a| a.path().is_ident("cfg"))
}

impl VisitMut for Mutator {
    fn visit_item_mut(&mut self, item: &mut Item) {
        match item {
            Item::Mod(m) if is_left_out(&m.attrs) => {}
            Item::Const(_) | Item::Static(_) => {}
            Item::Impl(i)
                if i.trait_.as_ref().is_some_and(|(_, path, _)| {
                    path.segments.last().is_some_and(|s| s.ident == "Debug" || s.ident == "Display")
                }) => {}
            _ => visit_mut::visit_item_mut(self, item),
        }
    }

    fn visit_item_fn_mut(&mut self, f: &mut ItemFn) {
        self.function(&f.attrs, &f.sig, &mut f.block);
    }

    fn visit_impl_item_fn_mut(&mut self, f: &mut ImplItemFn) {
        self.function(&f.attrs, &f.sig, &mut f.block);
    }

    fn visit_arm_mut(&mut self, arm: &mut syn::Arm) {
        visit_mut::visit_arm_mut(self, arm);
        if let Some((_, guard)) = &mut arm.guard
            && !has_let(guard)
        {
            let (span, text) = (guard.span(), short(guard));
            let others = vec![
                (parse_quote!(true), format!("the guard `{text}` holds")),
                (parse_quote!(false), format!("the guard `{text}` doesn't hold")),
            ];
            let is = (**guard).clone();
            **guard = self.either(span, &is, others);
        }
    }

    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        // Patterns of `matches!` and the like stay as they are: what is in a macro isn't parsed.
        if matches!(expr, Expr::Binary(b) if b.left.to_token_stream().to_string().contains("stats")) {
            return;
        }
        // As it was written: what is within is changed first.
        let (span, text) = (expr.span(), short(expr));
        visit_mut::visit_expr_mut(self, expr);
        match expr {
            Expr::Binary(b) if !has_let(&Expr::Binary(b.clone())) => {
                let others: Vec<BinOp> = match b.op {
                    BinOp::Eq(_) => vec![parse_quote!(!=)],
                    BinOp::Ne(_) => vec![parse_quote!(==)],
                    BinOp::Lt(_) => vec![parse_quote!(>=), parse_quote!(<=)],
                    BinOp::Le(_) => vec![parse_quote!(>), parse_quote!(<)],
                    BinOp::Gt(_) => vec![parse_quote!(<=), parse_quote!(>=)],
                    BinOp::Ge(_) => vec![parse_quote!(<), parse_quote!(>)],
                    BinOp::And(_) => vec![parse_quote!(||)],
                    BinOp::Or(_) => vec![parse_quote!(&&)],
                    BinOp::Add(_) => vec![parse_quote!(-)],
                    // A difference of times is none that could be added.
                    BinOp::Sub(_) if matches!(*b.right, Expr::Lit(_)) => vec![parse_quote!(+)],
                    BinOp::AddAssign(_) => vec![parse_quote!(-=)],
                    BinOp::SubAssign(_) => vec![parse_quote!(+=)],
                    _ => return,
                };
                let others = others
                    .into_iter()
                    .map(|op| {
                        let what = format!("`{text}` with {}", op.to_token_stream());
                        (Expr::Binary(syn::ExprBinary { op, ..b.clone() }), what)
                    })
                    .collect();
                let is = Expr::Binary(b.clone());
                *expr = self.either(span, &is, others);
            }
            Expr::Unary(u) if matches!(u.op, UnOp::Not(_)) && !has_let(&u.expr) => {
                let what = format!("`{text}` without !");
                let (is, other) = (Expr::Unary(u.clone()), (*u.expr).clone());
                *expr = self.either(span, &is, vec![(other, what)]);
            }
            _ => {}
        }
    }

    // Lengths of arrays and the like have to be constants.
    fn visit_type_mut(&mut self, _: &mut Type) {}
    fn visit_pat_mut(&mut self, _: &mut syn::Pat) {}
}

/// What hasn't changed isn't built again.
fn write(path: &Path, text: &[u8]) {
    if fs::read(path).ok().as_deref() != Some(text) {
        fs::write(path, text).expect("write a file");
    }
}

fn copy(from: &Path, to: &Path, but: &[PathBuf]) {
    fs::create_dir_all(to).expect("make a directory");
    for entry in fs::read_dir(from).expect("read a directory").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let skipped = ["target", ".git", "fuzz", "benches/peers", "tests/mutants"];
        if skipped.iter().any(|s| path.ends_with(s)) {
            continue;
        }
        let copied = to.join(&name);
        if path.is_dir() {
            copy(&path, &copied, but);
        } else if !but.contains(&path) {
            write(&copied, &fs::read(&path).expect("read a file"));
        }
    }
}

const SWITCH: &str = "\
use std::sync::LazyLock;
static AWAKE: LazyLock<u32> =
    LazyLock::new(|| std::env::var(\"CONVOKE_MUTANT\").ok().and_then(|n| n.parse().ok()).unwrap_or(0));
pub(crate) fn on(n: u32) -> bool {
    *AWAKE == n
}
";

/// Builds all tests of the copy: their programs, in the order of [`TESTS`].
fn build(at: &Path) -> Vec<(String, PathBuf)> {
    let mut args: Vec<String> = ["test", "--profile", "mutants", "--features", "sim,planted-bugs", "--no-run", "--lib"]
        .map(String::from)
        .to_vec();
    args.extend(TESTS.iter().map(|t| format!("--test={t}")));
    let out = Command::new("cargo").args(&args).current_dir(at).stdin(Stdio::null()).output().expect("run cargo");
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    if !out.status.success() {
        let from = text.find("\nerror").unwrap_or(0);
        panic!("it doesn't build: {}", text[from..].chars().take(4_000).collect::<String>());
    }
    let programs: BTreeMap<String, PathBuf> = text
        .lines()
        .filter_map(|line| {
            let (what, path) = line.trim().strip_prefix("Executable ")?.rsplit_once(" (")?;
            let source = Path::new(what);
            let stem = source.file_stem()?.to_str()?;
            // A test may be a directory.
            let stem = if stem == "main" { source.parent()?.file_name()?.to_str()? } else { stem };
            let name = if what.contains("unittests") { "lib" } else { stem };
            Some((name.to_owned(), at.join(path.trim_end_matches(')'))))
        })
        .collect();
    let order = std::iter::once("lib").chain(TESTS);
    order.map(|name| (name.to_owned(), programs.get(name).expect("all tests are built").clone())).collect()
}

/// The first test program that fails, or takes too long, with this mutant.
fn caught(at: &Path, programs: &[(String, PathBuf)], n: usize) -> Option<String> {
    programs.iter().find(|(_, program)| !passes(at, program, n)).map(|(name, _)| name.clone())
}

fn passes(at: &Path, program: &Path, n: usize) -> bool {
    let mut child = Command::new(program)
        .arg("--test-threads=1")
        .env("CONVOKE_MUTANT", n.to_string())
        .env("RUST_BACKTRACE", "0")
        .current_dir(at)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("run a test");
    let began = Instant::now();
    loop {
        match child.try_wait().expect("wait for a test") {
            Some(status) => return status.success(),
            None if began.elapsed() > PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn main() {
    let (options, files): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|a| a.starts_with("--"));
    let files = if files.is_empty() { FILES.map(String::from).to_vec() } else { files };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let at = root.join("target/mutants");
    let mut mutator = Mutator { file: String::new(), all: Vec::new(), within: Vec::new() };
    let mut changed = Vec::new();
    for file in &files {
        let text = fs::read_to_string(root.join(file)).expect("the file is there");
        let mut tree = syn::parse_file(&text).expect("it is Rust");
        mutator.file.clone_from(file);
        mutator.visit_file_mut(&mut tree);
        changed.push((file, prettyplease::unparse(&tree)));
    }
    let all = mutator.all;
    if options.iter().any(|o| o == "--list") {
        let list = all.iter().enumerate().fold(String::new(), |mut list, (n, m)| {
            let _ = writeln!(list, "{} {}: {}", n + 1, m.place, m.what);
            list
        });
        print!("{list}");
        return;
    }
    let but: Vec<PathBuf> = files.iter().map(|file| root.join(file)).chain([root.join("src/lib.rs")]).collect();
    copy(&root, &at, &but);
    for (file, text) in changed {
        write(&at.join(file), text.as_bytes());
    }
    write(&at.join("src/mutant.rs"), SWITCH.as_bytes());
    let lib = fs::read_to_string(root.join("src/lib.rs")).expect("read a file");
    write(&at.join("src/lib.rs"), format!("{lib}\nmod mutant;\n").as_bytes());
    let programs = build(&at);
    let began = Instant::now();
    if let Some(test) = caught(&at, &programs, 0) {
        panic!("{test} fails without any mutant");
    }
    println!("{} mutants; all tests take {:.1} s", all.len(), began.elapsed().as_secs_f64());
    let only = options.iter().find_map(|o| o.strip_prefix("--only="));
    let only: Option<Vec<usize>> = only.map(|o| o.split(',').map(|n| n.parse().expect("a number")).collect());
    let (next, survivors) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(mutant) = all.get(n) else { return };
                    if only.as_ref().is_some_and(|only| !only.contains(&(n + 1))) {
                        continue;
                    }
                    let by = caught(&at, &programs, n + 1);
                    let how = by.as_ref().map_or("SURVIVES".to_owned(), |test| format!("caught by {test}"));
                    println!("{} {}: {}: {how}", n + 1, mutant.place, mutant.what);
                    if by.is_none() {
                        survivors.lock().expect("nobody panics").push(n);
                    }
                }
            });
        }
    });
    let survivors = survivors.into_inner().expect("nobody panics").len();
    let tried = only.map_or(all.len(), |only| only.len());
    let share = 100.0 * (tried - survivors) as f64 / tried.max(1) as f64;
    println!("{} of {tried} mutants are caught: {share:.1} %", tried - survivors);
}
