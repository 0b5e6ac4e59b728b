//! What the benches share: how they are told what to do, and both sides of what they compare.
//!
//! | part | what |
//! | --- | --- |
//! | [`args`] | the words that a bench was started with |
//! | [`heap`] | memory in use |
//! | [`raw`] | what sockets alone can do |
//! | [`nodes`] | nodes in polls of their own, and messages between them |

#![allow(dead_code)] // Each bench uses its own part of this.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(unreachable_pub, missing_docs)]

pub mod args;
pub mod heap;
pub mod nodes;
pub mod raw;

use std::time::Duration;

/// The bytes of a message's body.
pub const BODY: usize = 128;

/// The part of the times that is given in thousandths; sorts them.
pub fn part(took: &mut [Duration], thousandths: usize) -> Duration {
    took.sort_unstable();
    took[(took.len() * thousandths / 1_000).min(took.len() - 1)]
}

/// The one in the middle; sorts them.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
