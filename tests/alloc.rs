//! The path of a heartbeat doesn't allocate.

#![allow(clippy::unwrap_used)]

use convoke::types::{Generation, Identity, Index, Lineage, Slot, Term, VoterTag};
use convoke::wire::{Ack, Beat, Datagram, DatagramView, Heartbeat, MAX_DATAGRAM, encode_datagram};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts the allocations of each thread: the test harness has threads of its own.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: all is passed on to the system's allocator; counting allocates nothing, the counter being const and plain.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many allocations `work` makes on this thread.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = COUNT.with(Cell::get);
    work();
    COUNT.with(Cell::get) - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1_u8]))), 1);
    assert_eq!(allocations(|| {}), 0);
}

#[test]
fn the_frames_of_liveness_are_read_and_written_without_allocating() {
    let datagrams = [
        Datagram::Heartbeat(Heartbeat {
            lineage: Lineage(1),
            term: Term(2),
            number: 3,
            commit: Index(4),
            leader: VoterTag(5),
            line_version: 6,
        }),
        Datagram::Beat(Beat { slot: Slot(1), generation: Generation(2), lineage: 3, heard: 4 }),
        Datagram::Ack(Ack { lineage: Lineage(1), term: Term(2), number: 3, identity: Identity(4) }),
    ];
    let mut buf = Vec::with_capacity(MAX_DATAGRAM);
    for datagram in datagrams {
        let count = allocations(|| {
            for _ in 0..100 {
                encode_datagram(&datagram, 7, &mut buf);
                assert_eq!(DatagramView::parse(&buf, 7).unwrap().meaning().as_ref(), Ok(&datagram));
                // What is refused costs no more.
                assert!(DatagramView::parse(&buf, 8).is_err());
                assert!(DatagramView::parse(&buf[1..], 7).is_err());
            }
        });
        assert_eq!(count, 0, "{datagram:?}");
    }
}
