//! At the end of a run, when all agree and nothing fails any more: whoever can't be connected to is reached by all kinds
//! of others all the same, and reaches them.

use super::host::HostId;
use super::scenario::Scenario;
use super::world::World;
use bytes::Bytes;
use std::time::Duration;

/// How many of the pairs are tried.
const PAIRS: usize = 24;
/// How many messages each pair sends, so that one follows the other over the same way.
const EACH: usize = 6;

/// Sends messages between those who can't be connected to, and between them and others: all of them have to get there.
pub(super) fn check(world: &mut World, scenario: &Scenario) {
    let closed = |h: &HostId| world.hosts[h.at()].config.outbound_only();
    let (inside, outside): (Vec<_>, Vec<_>) = world.hosts().partition(closed);
    let mut pairs: Vec<(HostId, HostId)> = Vec::new();
    for (n, a) in inside.iter().enumerate() {
        let other = outside.get(n % outside.len().max(1)).copied();
        pairs.extend(other.into_iter().flat_map(|o| [(o, *a), (*a, o)]));
        pairs.extend(inside.iter().filter(|b| *b != a).map(|b| (*a, *b)));
    }
    pairs.truncate(PAIRS);
    // Where the other end was replaced since a pair talked last, the first message tells so by coming back.
    round(world, &pairs, 0);
    world.run_for(scenario.patience());
    let mark = world.messages_sent();
    for n in 1..EACH {
        round(world, &pairs, n);
        world.run_for(Duration::from_millis(50));
    }
    world.run_for(scenario.patience() + Duration::from_secs(2));
    if let Some(why) = world.undelivered(mark) {
        world.violated(7, format!("all are there, and yet {why}"));
    }
}

/// A message of each pair.
fn round(world: &mut World, pairs: &[(HostId, HostId)], n: usize) {
    for (from, to) in pairs {
        let mut body = format!("{n} {from:?} to {to:?}").into_bytes();
        // Small ones, and some that take several pieces.
        body.resize([200, 2_000, 40_000][n % 3], n as u8);
        let to = world.name(*to).clone();
        let _ = world.send(*from, &to, Bytes::from(body));
    }
}
