//! Broadcasts: what one member tells all, in one order for the whole lineage.
//!
//! What is guaranteed: a broadcast that was accepted is committed as an entry of the roll, so a majority of the voters has
//! it before it goes out, and every later leader knows it; or its sender is told that it wasn't sent, or perhaps wasn't.
//! Each member that is on the roll when it is committed is given it once, in the order of the roll, or is told how many it
//! missed. Of an incarnation that was told to have left nothing is given any more.
//!
//! | part | concern |
//! | --- | --- |
//! | [`kept`] | what the roll keeps of them: the newest ones, for repair, and the last number of each sender |
//! | [`speaker`] | what was accepted from this node's embedder, until a leader has it committed |
//! | [`sayings`] | at the leader: what it takes, and what goes out when |
//! | [`listener`] | at a member: order, what is missing, asking for it |
//!
//! A sender hands a broadcast to the leader over its lane, and again to the next leader until it is confirmed; the roll
//! takes each number once. What is committed goes out once by multicast, in pieces where it is large, and by unicast to
//! those who are deaf to that. Each leader heartbeat says how far they went out, so that a gap shows, and is asked for at a
//! supporter, which has it in its roll. Who holds the roll has them from there.

mod kept;
mod listener;
mod sayings;
mod speaker;

pub(super) use kept::Kept;
pub(super) use listener::{Heard, Home, Listener};
pub(super) use sayings::{Sayings, Taking};
pub(super) use speaker::{Say, Speaker};

/// What a broadcast counts in a queue, besides its body.
const COST: usize = 128;

/// What a broadcast of so many bytes counts.
pub(super) fn cost(body: usize) -> usize {
    body + COST
}

#[cfg(test)]
mod tests;
