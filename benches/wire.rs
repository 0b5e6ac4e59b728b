//! Times on the path of a heartbeat, against the checksum of the same bytes as what can't be saved.
//!
//! Times on shared machines drift; the ratios within one run hold.
//!
//! ```sh
//! cargo bench --bench wire
//! ```

use convoke::types::{Generation, Identity, Index, Lineage, Position, Slot, Term, VoterTag};
use convoke::wire::{Ack, Beat, Datagram, DatagramView, Heartbeat, encode_datagram};
use std::hint::black_box;
use std::time::Instant;

const TAG: u32 = 7;
const TURNS: u32 = 200_000;
const ROUNDS: u32 = 15;

/// Nanoseconds of one turn: the best of some rounds, which is the one that was disturbed least.
fn best(mut turn: impl FnMut()) -> f64 {
    (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            (0..TURNS).for_each(|_| turn());
            start.elapsed().as_secs_f64() * 1e9 / f64::from(TURNS)
        })
        .fold(f64::INFINITY, f64::min)
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

fn main() {
    let heartbeat = Heartbeat {
        lineage: Lineage(1),
        term: Term(2),
        number: 3,
        commit: Index(4),
        leader: VoterTag(5),
        line_version: 6,
        said: Position { term: Term(7), index: Index(8) },
    };
    let frames = [
        ("beat", Datagram::Beat(Beat { slot: Slot(1), generation: Generation(2), lineage: 3, heard: 4 })),
        ("ack", Datagram::Ack(Ack { lineage: Lineage(1), term: Term(2), number: 3, identity: Identity(4) })),
        ("heartbeat", Datagram::Heartbeat(heartbeat)),
    ];
    println!(
        "{:<10} {:>5} {:>10} {:>12} {:>7} {:>10}",
        "frame", "bytes", "read ns", "crc32fast ns", "ratio", "write ns"
    );
    for (name, datagram) in frames {
        let mut buf = Vec::with_capacity(convoke::wire::MAX_DATAGRAM);
        encode_datagram(&datagram, TAG, &mut buf);
        let bytes = buf.clone();
        let read = best(|| {
            read(black_box(&bytes), black_box(TAG));
        });
        let limit = best(|| {
            black_box(crc32fast::hash(black_box(&bytes[..bytes.len() - 4])));
        });
        let write = best(|| encode_datagram(black_box(&datagram), TAG, &mut buf));
        println!("{name:<10} {:>5} {read:>10.1} {limit:>12.1} {:>7.2} {write:>10.1}", bytes.len(), read / limit);
    }
}
