//! Helpers for tests with real sockets on loopback.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

/// Calls `f` until it is true; panics after five seconds.
pub(crate) fn wait_until(mut f: impl FnMut() -> bool) {
    let start = Instant::now();
    while !f() {
        assert!(start.elapsed() < Duration::from_secs(5), "it didn't happen within 5 s");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A port that was free a moment ago, with the one above it: for groups that no other test uses.
pub(crate) fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Tests of one process count up from a place that its number chooses.
    let base = 12_000 + (std::process::id() % 400) as u16 * 40;
    base + NEXT.fetch_add(2, Ordering::Relaxed) % 40
}
