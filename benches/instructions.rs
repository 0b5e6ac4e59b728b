//! Instructions on the path of a heartbeat: the same on a busy machine as on an idle one, unlike times.
//!
//! The bench runs itself under `valgrind --tool=callgrind` with two numbers of turns; the difference divided by the
//! turns is what one turn costs, without what the start costs. More than the bound is a failure.
//!
//! ```sh
//! cargo bench --bench instructions
//! ```

#[path = "common/args.rs"]
mod args;

use args::Args;
use convoke::types::{Generation, Identity, Index, Lineage, Position, Slot, Term, VoterTag};
use convoke::wire::{Ack, Beat, Datagram, DatagramView, Heartbeat, encode_datagram};
use std::hint::black_box;
use std::process::{Command, ExitCode};

/// The most instructions that checking and reading one frame may take, its checksum included: what a leader gets from each
/// member, and the heartbeat of 64 bytes, of which a member gets one an interval.
const MOST: [(&str, u64); 3] = [("beat", 200), ("ack", 200), ("heartbeat", 230)];
const TAG: u32 = 7;
const FEW: u64 = 1_000;
const MANY: u64 = 21_000;

fn frame(name: &str) -> Vec<u8> {
    let datagram = match name {
        "beat" => Datagram::Beat(Beat { slot: Slot(1), generation: Generation(2), lineage: 3, heard: 4 }),
        "ack" => Datagram::Ack(Ack { lineage: Lineage(1), term: Term(2), number: 3, identity: Identity(4) }),
        _ => Datagram::Heartbeat(Heartbeat {
            lineage: Lineage(1),
            term: Term(2),
            number: 3,
            commit: Index(4),
            leader: VoterTag(5),
            line_version: 6,
            said: Position { term: Term(7), index: Index(8) },
        }),
    };
    let mut buf = Vec::new();
    encode_datagram(&datagram, TAG, &mut buf);
    buf
}

/// Checks and reads a frame as a node does: the frequent kinds first.
fn read(bytes: &[u8], tag: u32) {
    let Ok(view) = DatagramView::parse(bytes, tag) else { return };
    if let Some(beat) = view.as_beat() {
        black_box(beat);
    } else if let Some(heartbeat) = view.as_heartbeat() {
        black_box(heartbeat);
    } else if let Some(ack) = view.as_ack() {
        black_box(ack);
    } else {
        let _ = black_box(view.meaning());
    }
}

/// What is measured.
fn work(name: &str, turns: u64) {
    let bytes = frame(name);
    for _ in 0..turns {
        read(black_box(&bytes), black_box(TAG));
    }
}

/// The instructions of a whole run, by callgrind; nothing where there is no valgrind.
fn instructions(name: &str, turns: u64) -> Option<u64> {
    let me = std::env::current_exe().ok()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(me)
        .args(["--work", name, &turns.to_string()])
        .output()
        .ok()?;
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = log.lines().find_map(|line| line.split_once("Collected :"))?;
    line.1.trim().parse().ok()
}

fn main() -> ExitCode {
    let args = Args::read();
    if let Some([name, turns, ..]) = args.after("--work") {
        work(name, turns.parse().unwrap_or(0));
        return ExitCode::SUCCESS;
    }
    let mut exceeded = false;
    println!("instructions to check and read one frame, and how many it may take:");
    for (name, most) in MOST {
        let (Some(few), Some(many)) = (instructions(name, FEW), instructions(name, MANY)) else {
            println!("NOT MEASURED: valgrind is missing or doesn't run here. Install it to count instructions.");
            return ExitCode::SUCCESS;
        };
        let each = many.saturating_sub(few) / (MANY - FEW);
        let verdict = if each <= most { "ok" } else { "TOO MANY" };
        exceeded |= each > most;
        println!("  {name:<10} {:>3} bytes {each:>5} of {most}  {verdict}", frame(name).len());
    }
    if exceeded { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
