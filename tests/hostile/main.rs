//! Sessions of operations from random bytes: what the fuzzer does, for a moment, at each test run.
//!
//! `CONVOKE_SESSIONS=100000` runs more of them, `CONVOKE_SESSIONS=17..18` one, and `CONVOKE_TRACE=1` tells its datagrams.

#![allow(clippy::expect_used)]

mod session;

use session::{Reached, cuts, run};

/// A sequence of numbers that is the same each time (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }
}

/// Which seeds to run.
fn seeds() -> std::ops::Range<u64> {
    let asked = std::env::var("CONVOKE_SESSIONS").unwrap_or_else(|_| "1000".into());
    let (from, to) = asked.split_once("..").unwrap_or(("0", &asked));
    from.parse().expect("a number")..to.parse().expect("a number")
}

#[test]
fn random_sessions_do_no_harm() {
    let mut all = Reached::default();
    for seed in seeds() {
        let mut numbers = Numbers(seed);
        let length = 200 + numbers.next() % 3_000;
        let bytes = numbers.bytes(length as usize);
        let reached = std::panic::catch_unwind(|| run(&bytes)).unwrap_or_else(|panic| {
            eprintln!("the session of seed {seed}");
            std::panic::resume_unwind(panic)
        });
        all.led |= reached.led;
        all.supported |= reached.supported;
        all.member |= reached.member;
        all.shook_hands = all.shook_hands.max(reached.shook_hands);
        all.committed = all.committed.max(reached.committed);
    }
    // Many sessions are worth something only where some get somewhere.
    assert!(
        seeds().count() < 1_000 || all.led && all.supported && all.member && all.shook_hands > 2 && all.committed > 3,
        "{all:?}"
    );
}

#[test]
fn however_a_stream_is_cut_the_node_does_the_same() {
    let (mut long, mut fruitful) = (0, 0);
    for seed in seeds() {
        let mut numbers = Numbers(seed ^ 0xc075);
        let length = 200 + numbers.next() % 2_000;
        let bytes = numbers.bytes(length as usize);
        let compared = std::panic::catch_unwind(|| cuts::run(&bytes)).unwrap_or_else(|panic| {
            eprintln!("the session of seed {seed}");
            std::panic::resume_unwind(panic)
        });
        long += usize::from(compared.bytes > 200);
        fruitful += usize::from(compared.outputs > 0);
    }
    assert!(seeds().count() < 1_000 || long > 300 && fruitful > 100, "{long} long ones, {fruitful} with outputs");
}
