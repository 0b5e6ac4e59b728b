//! The model check: all states near a prepared one, of the real core.
//!
//! What is bounded here takes seconds without optimisation; with `CONVOKE_MODEL=deep` (and optimised) the same walks go
//! deeper (that takes minutes and gigabytes). On two shared cores, optimised: 7,000 to 18,000 states a second; every
//! order of an election to 10 steps 63,830 states; one deviation of any kind within three seconds 13,872 states, to ways
//! of 199 steps; the deep walks of the handover 268,089 (any two deviations within a second), 1,325,095 (any two faults
//! within three) and 1,158,686 states (every order to 11 steps), in six minutes. The figures are printed: `cargo test --release --features sim,planted-bugs --test model -- --nocapture`.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use convoke::proto::Command;
use convoke::sim::explore::{Block, Budget, Depth, Explored, Explorer, Stage};
use convoke::types::NodeId;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
/// Any order of arrivals.
const ANY_ORDER: Budget =
    Budget { reorders: u8::MAX, crashes: 0, starts: 0, cuts: 0, parts: 0, losses: 0, lates: 0, orders: 0 };
/// A little of everything.
const ANYTHING: Budget =
    Budget { reorders: u8::MAX, crashes: 1, starts: 2, cuts: 1, parts: 2, losses: 2, lates: 1, orders: 0 };

fn deep() -> bool {
    std::env::var_os("CONVOKE_MODEL").is_some_and(|v| v == "deep")
}

/// The depth: without optimisation, with it, and the deep one.
fn depth(make: fn(u32) -> Depth, debug: u32, release: u32, deepest: u32) -> Depth {
    make(if deep() {
        deepest
    } else if cfg!(debug_assertions) {
        debug
    } else {
        release
    })
}

fn walk(what: &str, explorer: &Explorer) -> Explored {
    let began = Instant::now();
    let seen = explorer.explore();
    println!("{what}: {seen}, {:.1} s", began.elapsed().as_secs_f64());
    seen
}

#[track_caller]
fn clean(what: &str, explorer: &Explorer) {
    let seen = walk(what, explorer);
    assert!(seen.found.is_none(), "{what}");
    assert!(seen.complete, "{what}");
    assert!(seen.states > 30, "{what}: {} states are few", seen.states);
}

/// The leader was killed; nobody knows yet.
fn leader_dead(stores: bool) -> Stage {
    let mut stage = Stage::founded(3, stores);
    stage.crash(0);
    stage
}

/// A supporter was killed and is there again.
fn supporter_restarted(stores: bool) -> Stage {
    let mut stage = Stage::founded(3, stores);
    stage.crash(2);
    stage.start(2);
    stage
}

#[test]
fn every_order_of_an_election() {
    let depth = depth(Depth::Steps, 6, 10, 12);
    for stores in [false, true] {
        let explorer = Explorer::new(leader_dead(stores)).budget(ANY_ORDER).depth(depth);
        clean("election, steps", &explorer);
    }
}

#[test]
fn an_election_with_faults() {
    let explorer = Explorer::new(leader_dead(false)).budget(ANYTHING).horizon(SECOND * 3);
    clean("election, deviations", &explorer.depth(depth(Depth::Deviations, 0, 1, 2)));
    let faults = Budget { reorders: 0, ..ANYTHING };
    let explorer = Explorer::new(leader_dead(true)).budget(faults).horizon(SECOND * 4);
    clean("election, faults", &explorer.depth(depth(Depth::Deviations, 1, 1, 2)));
}

/// A diskless voter is taken off the line, then its successor is put on it.
#[test]
fn a_readmission_with_faults() {
    let explorer = Explorer::new(supporter_restarted(false)).budget(ANYTHING).horizon(SECOND * 2);
    clean("readmission, deviations", &explorer.depth(depth(Depth::Deviations, 0, 1, 2)));
    let faults = Budget { reorders: 0, ..ANYTHING };
    let explorer = Explorer::new(supporter_restarted(false)).budget(faults).horizon(SECOND * 3);
    clean("readmission, faults", &explorer.depth(depth(Depth::Deviations, 0, 1, 2)));
    let explorer = Explorer::new(supporter_restarted(true)).budget(faults).horizon(SECOND * 3);
    clean("return with a store, faults", &explorer.depth(depth(Depth::Deviations, 0, 1, 2)));
}

/// A leader that is cut off loses its lease, and another one takes over.
#[test]
fn a_lost_lease_with_faults() {
    let mut stage = Stage::founded(3, true);
    stage.part(0, 1, true);
    stage.part(0, 2, true);
    let faults = Budget { reorders: 0, ..ANYTHING };
    let explorer = Explorer::new(stage).budget(faults).horizon(SECOND * 4);
    clean("lost lease, faults", &explorer.depth(depth(Depth::Deviations, 1, 1, 2)));
}

/// The leadership is handed over at any time, and anything goes wrong meanwhile.
#[test]
fn a_handover_with_faults() {
    let depth = |debug, release, deepest| depth(Depth::Deviations, debug, release, deepest);
    let handover = |faults: Budget, horizon: Duration| {
        let explorer = Explorer::new(Stage::founded(3, true)).budget(Budget { orders: 1, ..faults }).horizon(horizon);
        explorer.order(0, Command::Handover(None)).order(0, Command::Handover(Some(NodeId::new("n2").unwrap())))
    };
    clean("handover, deviations", &handover(ANYTHING, SECOND).depth(depth(1, 1, 2)));
    let faults = Budget { reorders: 0, ..ANYTHING };
    clean("handover, faults", &handover(faults, SECOND * 3).depth(depth(1, 1, 2)));
    let mut stage = Stage::founded(3, false);
    stage.command(0, Command::Handover(None));
    let explorer = Explorer::new(stage).budget(ANY_ORDER).depth(self::depth(Depth::Steps, 6, 9, 11));
    clean("handover, steps", &explorer);
}

#[test]
fn the_same_walk_sees_the_same() {
    let explorer = Explorer::new(leader_dead(true)).budget(ANYTHING).depth(Depth::Steps(3));
    assert_eq!(explorer.explore(), explorer.explore());
}

#[cfg(feature = "planted-bugs")]
mod planted {
    use super::*;
    use convoke::proto::Bug;
    use convoke::types::Capabilities;

    /// The walk from this stage finds the bug, and without the bug nothing.
    fn found(bug: Bug, property: u8, stage: impl Fn(Option<Bug>) -> Stage, walk_it: impl Fn(Explorer) -> Explorer) {
        if !cfg!(debug_assertions) {
            clean(&format!("without {bug:?}"), &walk_it(Explorer::new(stage(None))));
        }
        let seen = walk(&format!("{bug:?}"), &walk_it(Explorer::new(stage(Some(bug)))));
        let found = seen.found.unwrap_or_else(|| panic!("{bug:?} is not found"));
        assert_eq!(found.property, property, "{}", found.what);
    }

    fn capabilities() -> Command {
        let mut capabilities = Capabilities::new();
        capabilities.set("k", "v").unwrap();
        Command::SetCapabilities(capabilities)
    }

    /// The leader lost its lease; the other two don't see each other, and both ask it for the next term.
    #[test]
    fn two_grants_in_a_term() {
        let stage = |bug| {
            let mut s = Stage::founded_with(3, false, bug);
            s.part(1, 2, true);
            s.block(1, 0, Some(Block::Datagrams));
            s.block(2, 0, Some(Block::Datagrams));
            s.until("the lease is lost", |s| !s.leads(0));
            s
        };
        let budget = Budget { reorders: 3, ..Budget::default() };
        found(Bug::GrantTwice, 1, stage, |e| e.budget(budget).depth(Depth::Deviations(3)).horizon(SECOND));
    }

    /// A voter granted and is killed; it and the former leader come back while the new leader is cut off.
    #[test]
    fn a_promise_that_is_not_stored() {
        let stage = |bug| {
            let mut s = Stage::founded_with(3, true, bug);
            s.crash(0);
            s.until("n1 leads", |s| s.leads(1));
            s.part(1, 0, true);
            s.part(1, 2, true);
            s.crash(2);
            s
        };
        let budget = Budget { starts: 2, ..Budget::default() };
        found(Bug::PromiseNotStored, 1, stage, |e| e.budget(budget).depth(Depth::Deviations(2)).horizon(SECOND * 3));
    }

    /// A replacement of n2 is started elsewhere while n2 lives beyond a partition.
    #[test]
    fn a_voter_swapped_for_another() {
        let stage = |bug| {
            let mut s = Stage::founded_with(3, false, bug);
            s.part(0, 2, true);
            let replacement = s.add("n2", 3, false);
            s.part(replacement, 1, true);
            s.part(replacement, 2, true);
            let version = |s: &Stage| s.node(0).unwrap().line_in_force().version();
            let before = version(&s);
            s.start(replacement);
            s.until("the line changes", |s| version(s) != before);
            s
        };
        let budget = Budget { parts: 1, ..Budget::default() };
        found(Bug::ReadmitBySwap, 1, stage, |e| e.budget(budget).depth(Depth::Deviations(1)).horizon(SECOND * 6));
    }

    /// An entry is on its way to two voters; one gets it, which is a majority.
    #[test]
    fn a_leader_that_fetched_nothing() {
        let stage = |bug| {
            let mut s = Stage::founded_with(3, false, bug);
            s.command(0, capabilities());
            s
        };
        let budget = Budget { cuts: 1, crashes: 1, ..Budget::default() };
        found(Bug::LeadWithoutFetching, 3, stage, |e| e.budget(budget).depth(Depth::Deviations(2)).horizon(SECOND));
    }
}
