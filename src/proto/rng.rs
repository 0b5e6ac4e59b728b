//! The core's only source of chance: a seeded generator (SplitMix64, Steele, Lea and Flood 2014). It spreads load and
//! breaks ties; it protects nothing.

use std::time::Duration;

#[derive(Debug, Clone)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number that is never zero: for lineages, identities and nonces, where zero means none.
    pub(super) fn nonzero(&mut self) -> u64 {
        self.next().max(1)
    }

    /// A duration from zero up to (not including) `max`, in whole microseconds.
    pub(super) fn up_to(&mut self, max: Duration) -> Duration {
        let us = max.as_micros() as u64;
        Duration::from_micros(if us == 0 { 0 } else { self.next() % us })
    }
}
