//! The path of a heartbeat doesn't allocate.

#![allow(clippy::unwrap_used)]

use convoke::proto::{Config, Founding, Lane, Node, Role, Start};
use convoke::types::{
    Capabilities, ConventionId, Generation, Identity, Incarnation, Index, Lineage, MemberInfo, NodeId, Position, Slot,
    Standing, Term, Time, VoterTag,
};
use convoke::wire::{Ack, Beat, Datagram, DatagramView, Heartbeat, Join, MAX_DATAGRAM, encode_datagram};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

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
            said: Position { term: Term(7), index: Index(8) },
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

fn drain(node: &mut Node, buf: &mut Vec<u8>) -> Vec<Datagram> {
    let tag = node.config().convention().tag();
    let mut sent = Vec::new();
    while node.poll_transmit(buf).is_some() {
        sent.push(DatagramView::parse(buf, tag).unwrap().meaning().unwrap());
    }
    while node.poll_event().is_some() {}
    sent
}

/// A leader with some members on its roll, and a member's address, slot and generation.
fn leader(members: u8) -> (Node, Time, Vec<(SocketAddr, Slot, Generation)>) {
    let id = |name: &str| NodeId::new(name).unwrap();
    let builder = Config::builder(ConventionId::new("site").unwrap(), id("leader"));
    let config = builder.candidate().found(Founding::Alone).build().unwrap();
    let tag = config.convention().tag();
    let addrs = vec![SocketAddr::from(([127, 0, 0, 1], 1))];
    let start = Start { seed: 1, wall_clock_us: 1, addrs, durable: false, restored: None };
    let mut node = Node::new(config, start, Time::ZERO);
    let (mut now, mut buf) = (Time::ZERO, Vec::new());
    while node.role() != Role::Leader {
        now = node.poll_timeout().unwrap();
        node.handle_timeout(now);
        drain(&mut node, &mut buf);
    }
    let mut places = Vec::new();
    for n in 1..=members {
        let addr = SocketAddr::from(([127, 0, 0, 1], 100 + u16::from(n)));
        let info = MemberInfo {
            id: id(&format!("m{n}")),
            incarnation: Incarnation(1),
            identity: Identity(n.into()),
            standing: Standing::Member,
            priority: 0,
            durable: false,
            multicast: true,
            provable: true,
            follows: false,
            addrs: vec![addr],
            revision: 0,
            capabilities: Capabilities::new(),
        };
        encode_datagram(&Datagram::Join(Join { nonce: 1, lineage: Lineage(0), heard: 0, info }), tag, &mut buf);
        let join = buf.clone();
        // The answer may take a turn.
        let registered = (0..10).find_map(|_| {
            node.handle_datagram(now, addr, Lane::Unicast, &join);
            now = now + Duration::from_millis(10);
            node.handle_timeout(now);
            drain(&mut node, &mut buf).into_iter().find_map(|d| match d {
                Datagram::Registered(r) => Some((r.slot, r.generation)),
                _ => None,
            })
        });
        let (slot, generation) = registered.unwrap();
        places.push((addr, slot, generation));
    }
    (node, now, places)
}

#[test]
fn a_leader_takes_beats_without_allocating() {
    let (mut node, now, members) = leader(50);
    let (tag, lineage) = (node.config().convention().tag(), node.lineage().0 as u32);
    let mut buf = Vec::with_capacity(MAX_DATAGRAM);
    let taken = node.stats().beats_in;
    let mut count = 0;
    for turn in 0..20_u64 {
        // Within one interval, so that no timer of its own is due.
        let now = now + Duration::from_millis(turn);
        for (addr, slot, generation) in &members {
            let beat = Beat { slot: *slot, generation: *generation, lineage, heard: 1 };
            encode_datagram(&Datagram::Beat(beat), tag, &mut buf);
            count += allocations(|| node.handle_datagram(now, *addr, Lane::Unicast, &buf));
        }
    }
    assert_eq!(node.stats().beats_in - taken, 1_000, "the beats were taken");
    assert_eq!(count, 0);
}
