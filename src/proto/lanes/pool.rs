//! The memory that all senders together may fill at this node.
//!
//! Property: what was promised and not given back never exceeds the limit. Half of it is for windows, half for messages
//! that are larger than a window: those are promised whole or not at all, so that each that is begun can end.

use super::super::planted::Planted;

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

    /// Promises up to `want` bytes, and never more than an eighth of what is left: the last one asking gets something too.
    pub(super) fn some(&mut self, want: usize) -> usize {
        let free = (self.limit / 2).saturating_sub(self.windows);
        let given = want.min(free / 8);
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
