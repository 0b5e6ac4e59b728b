//! The memory that all senders together may fill at this node.
//!
//! Property: what was promised and not given back never exceeds the limit. Half of it is for windows, half for messages
//! that are larger than a window: those are promised whole or not at all, so that each that is begun can end.

use super::super::planted::Planted;

/// Less credit than this isn't worth a frame.
const CRUMB: usize = 512;

#[derive(Debug, Clone)]
pub(super) struct Pool {
    limit: usize,
    windows: usize,
    large: usize,
    pub(super) bug: Planted,
}

impl Pool {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, windows: 0, large: 0, bug: Planted::default() }
    }

    /// Promises up to `want` bytes, and never more than an eighth of what is left: the last one asking gets something too. But no
    /// crumbs, for each costs a frame that tells of it, and brings small pieces in (the silly window syndrome, RFC 813).
    pub(super) fn some(&mut self, want: usize) -> usize {
        let free = (self.limit / 2).saturating_sub(self.windows);
        let given = want.min(free / 8);
        if given < want.min(CRUMB) {
            return 0;
        }
        self.windows += given;
        given
    }

    /// Promises all of this, or nothing.
    pub(super) fn all(&mut self, want: usize) -> bool {
        let fits = want <= (self.limit / 2).saturating_sub(self.large);
        if fits {
            self.large += want;
        }
        fits
    }

    pub(super) fn give_back(&mut self, windows: usize, large: usize) {
        self.windows = self.windows.saturating_sub(windows);
        self.large = self.large.saturating_sub(large);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_not_given_in_crumbs() {
        let mut pool = Pool::new(100_000);
        let given: Vec<usize> = std::iter::repeat_with(|| pool.some(40_000)).take_while(|n| *n > 0).collect();
        assert!(given.len() > 10 && given.iter().all(|n| *n >= CRUMB), "{given:?}");
        pool.give_back(100, 0);
        assert_eq!(pool.some(40_000), 0);
        pool.give_back(CRUMB * 8, 0);
        assert!(pool.some(40_000) >= CRUMB);
        assert_eq!(pool.some(100), 100, "who lacks no more gets it");
    }
}
