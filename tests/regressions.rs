//! What once went wrong in the core, distilled to the shortest way there: each test names the rule that was missing.
//!
//! Where the way there is long the seed stands for it, with the faults of its run.
//!
//! All checkers run in each world; a test that says nothing else only wants them to be silent.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use convoke::proto::{Command, Config, Founding, Policy, Role};
use convoke::sim::{Conditions, Faults, HostId, NodeOptions, Options, Run, World};
use convoke::types::{ConventionId, NodeId};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn builder(name: &str) -> convoke::proto::ConfigBuilder {
    Config::builder(ConventionId::new("site").unwrap(), NodeId::new(name).unwrap())
}

/// A node that told who had left, and then gave up its roll, handed on what that one said afterwards.
#[test]
fn who_left_stays_silent_for_one_who_has_no_roll_any_more() {
    let options = Options { faults: Faults::all(), policy: Some(Policy::Quorum), ..Options::default() };
    let report = Run::seed(383).options(options).execute();
    assert!(report.is_clean(), "{report}");
}

/// The simulator demanded agreement of one that is left and rightly waits: an entry of its log that isn't known to be committed
/// makes a plain member a voter, those that are gone may have committed it, and that member restarted as one.
#[test]
fn who_may_have_been_promoted_by_those_that_are_gone_is_waited_for() {
    let faults = "move,partition,restart,line,crash,oneway,pause,leave,clock".parse().unwrap();
    let options = Options { faults, duration: Some(SECOND * 8), policy: Some(Policy::Quorum), ..Options::default() };
    let report = Run::seed(3_000_927).options(options).execute();
    assert!(report.is_clean(), "{report}");
}

/// A convention of candidates that agrees; the first one leads. Heartbeats each second, gone after three.
fn site(names: &[&str], store: bool) -> (World, Vec<HostId>) {
    let mut world = World::builder(7).twins(true).keep_events(false).build();
    let options = NodeOptions { store, ..NodeOptions::default() };
    let founding = Founding::Expect(names.len());
    let hosts: Vec<_> = names
        .iter()
        .map(|n| world.add_node(builder(n).candidate().found(founding.clone()).build().unwrap(), options.clone()))
        .collect();
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    assert!(leads(hosts[0])(&world));
    (world, hosts)
}

fn leads(host: HostId) -> impl Fn(&World) -> bool {
    move |w| w.node(host).is_some_and(|n| n.role() == Role::Leader)
}

fn until(world: &mut World, what: &str, done: impl FnMut(&World) -> bool) {
    let came = world.run_until(SECOND * 30, done);
    assert!(world.violations().is_empty(), "{}", world.violations()[0]);
    assert!(came, "{what}: not until {:?}", world.now());
}

fn position(world: &World, host: HostId) -> u64 {
    world.node(host).unwrap().position().index.0
}

fn member(world: &mut World, name: &str) -> HostId {
    world.add_node(builder(name).build().unwrap(), NodeOptions::default())
}

/// Five with stores that name each other in a list; the first and the last aren't started yet.
fn list_of_five() -> (World, Vec<HostId>) {
    let mut world = World::builder(7).twins(true).keep_events(false).build();
    let ids: Vec<_> = ["a", "b", "c", "d", "e"].iter().map(|n| NodeId::new(n).unwrap()).collect();
    let hosts: Vec<_> = ids
        .iter()
        .map(|id| {
            let config = builder(id.as_str()).candidate().found(Founding::List(ids.clone())).build().unwrap();
            let stopped = ["a", "e"].contains(&id.as_str());
            world.add_node(config, NodeOptions { store: true, stopped, ..NodeOptions::default() })
        })
        .collect();
    (world, hosts)
}

/// A snapshot of what a follower's log holds anyway takes nothing away from it: what it acknowledged stays.
#[test]
fn a_snapshot_of_a_prefix_discards_nothing() {
    let (mut world, hosts) = site(&["a", "b", "c"], true);
    let [a, b, c] = hosts[..] else { unreachable!() };
    // c gets its roll by a snapshot, so its own begins later than b's.
    world.kill(c);
    world.wipe(c);
    world.start(c);
    until(&mut world, "c is back", |w| w.disagreement().is_none());
    member(&mut world, "m");
    until(&mut world, "m is on the roll", |w| w.disagreement().is_none());
    // An entry more at a and c than at b.
    world.cut(a, b);
    let held = position(&world, b);
    let m = member(&mut world, "n");
    until(&mut world, "n is on the roll", |w| w.node(m).unwrap().registration().is_some());
    world.power_off(a);
    world.restart(b);
    world.restart(c);
    until(&mut world, "c leads", leads(c));
    until(&mut world, "b follows", |w| {
        assert!(position(w, b) >= held, "b has the roll up to {} and had it up to {held}", position(w, b));
        position(w, b) == position(w, c)
    });
}

/// An acceptance that binds beyond restarts is let go even where the release of it was lost: the acceptor reminds its
/// proposer of it.
#[test]
fn a_lost_release_binds_nobody_for_ever() {
    let (mut world, hosts) = list_of_five();
    let [a, b, c, d, e] = hosts[..] else { unreachable!() };
    // Three of the five have met. After three seconds b proposes to the others; their answers are lost, as is its release.
    world.run_for(SECOND * 29 / 10);
    world.cut_one_way(c, b, convoke::sim::Cut::All);
    world.cut_one_way(d, b, convoke::sim::Cut::All);
    world.run_for(SECOND * 10);
    assert_eq!(world.leaders().count(), 0, "nothing was to be founded yet");
    // Now the first of the list is there, and proposes.
    world.cut(b, c);
    world.cut(b, d);
    world.run_for(SECOND * 10);
    world.heal();
    world.start(a);
    world.start(e);
    until(&mut world, "agreement", |w| w.disagreement().is_none() && w.leaders().count() == 1);
}

/// A part of a list has founded, and one of it has nothing but its word: that word must not make another part a majority
/// while the first one is away.
#[test]
fn two_parts_of_a_list_don_t_both_found() {
    let (mut world, hosts) = list_of_five();
    let [a, b, c, d, e] = hosts[..] else { unreachable!() };
    // b founds with c and d, and leads by c's word before d gets the roll.
    let slow = Conditions { delay: Duration::from_millis(50), ..Conditions::default() };
    world.set_link(b, d, Some(slow));
    until(&mut world, "b leads", leads(b));
    world.cut(b, d);
    world.power_off(b);
    world.power_off(c);
    world.start(a);
    world.start(e);
    for _ in 0..2 {
        world.run_for(SECOND * 60);
        assert_eq!(world.leaders().count(), 0, "d is bound to what b founded");
        world.restart(d);
    }
    world.heal();
    for host in [b, c] {
        world.power_on(host);
        world.start(host);
    }
    until(&mut world, "agreement", |w| w.disagreement().is_none() && w.leaders().count() == 1);
}

/// The run of a seed has to be clean.
fn clean(seed: u64, faults: &str) {
    let options = Options { faults: faults.parse().unwrap(), policy: Some(Policy::Quorum), ..Options::default() };
    let report = Run::seed(seed).options(options).execute();
    assert!(report.is_clean(), "{report}");
    assert!(report.recoverable, "{report}");
}

/// The same, with all drawn from the seed.
fn drawn(seed: u64) {
    let report = Run::seed(seed).execute();
    assert!(report.is_clean(), "{report}");
}

/// The same, where the faults act for so long.
fn clean_for(duration: Duration, seed: u64, faults: &str) {
    let (faults, policy) = (faults.parse().unwrap(), Some(Policy::Quorum));
    let options = Options { faults, duration: Some(duration), policy, ..Options::default() };
    let report = Run::seed(seed).options(options).execute();
    assert!(report.is_clean(), "{report}");
}

/// Who was a voter, was demoted and promoted again goes on from what it told as a voter, in a child of that lineage too.
#[test]
fn who_is_a_voter_again_in_a_child_tells_nothing_twice() {
    clean(9570, "all");
}

/// A leader that hears a beat of its own says that it knows nobody there; once it leads no longer it must not believe that.
#[test]
fn a_leader_s_word_to_itself_is_nothing() {
    clean(9660, "all");
}

/// That the former voter of its own id is no more a node has to find out itself where nobody else is left to tell.
#[test]
fn a_node_proves_that_the_former_voter_of_its_id_is_gone() {
    clean(273, "crash,restart,power,partition,hole,pause,clock");
}

/// Kills these, which have no stores, and starts them again.
fn replace(world: &mut World, hosts: &[HostId]) {
    hosts.iter().for_each(|h| world.kill(*h));
    hosts.iter().for_each(|h| world.start(*h));
}

/// An id that has a seat and didn't vote when those that are left heard last may have been let in again by those that are
/// gone: it is heard before a child is founded. (All seed 5434.)
#[test]
fn who_was_off_the_line_is_heard_before_a_child_is_founded() {
    let (mut world, hosts) = site(&["a", "b", "c", "d", "e"], false);
    let [a, b, c, d, e] = hosts[..] else { unreachable!() };
    let voters = |w: &World, at| w.node(at).unwrap().line().voters().count();
    world.command(b, Command::Leave).unwrap();
    until(&mut world, "b has left", |w| w.node(b).is_none() && voters(w, c) == 4);
    world.run_for(SECOND * 3);
    // c misses that b is let in again.
    [a, b, d, e].into_iter().for_each(|h| world.cut(h, c));
    world.start(b);
    until(&mut world, "b is let in again", |w| voters(w, a) == 5 && voters(w, b) == 5);
    assert_eq!(voters(&world, c), 4);
    replace(&mut world, &[a, d, e]);
    [a, d, e].into_iter().for_each(|h| world.mend(h, c));
    world.run_for(SECOND * 30);
    assert!(world.violations().is_empty(), "{}", world.violations()[0]);
    assert_eq!(world.leaders().count(), 0, "c knows nothing of what b holds");
    world.mend(b, c);
    until(&mut world, "agreement", |w| w.disagreement().is_none());
}

/// What was told before a child that came to nothing is not told again when another one is founded out of it. (All seed
/// 7228.)
#[test]
fn what_was_told_before_a_child_that_came_to_nothing_counts() {
    let (mut world, hosts) = site(&["a", "b", "c", "d", "e"], false);
    let [a, b, c, d, e] = hosts[..] else { unreachable!() };
    let parent = world.node(d).unwrap().lineage();
    replace(&mut world, &[a, b, c]);
    until(&mut world, "d founds a child", |w| w.node(d).unwrap().lineage() != parent);
    // e, which promised, is the other half of its line.
    replace(&mut world, &[e]);
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    assert!(world.node(d).unwrap().parents().len() > 1, "d founded a second time");
}

/// Who belongs to a child doesn't go back to the parent for that somebody of it answers: its terms would go back as well.
/// (All seed 9760.)
#[test]
fn nobody_goes_back_to_a_parent() {
    let (mut world, hosts) = site(&["a", "b", "c", "d", "e", "f", "g"], false);
    let m = member(&mut world, "m");
    until(&mut world, "m is on the roll", |w| w.disagreement().is_none());
    let [a, b, c, d, e, f, g] = hosts[..] else { unreachable!() };
    let parent = world.node(e).unwrap().lineage();
    replace(&mut world, &[a, b, c, d]);
    // g promised, and gets nothing of the child.
    until(&mut world, "a child is founded", |w| [e, f, g].iter().any(|h| w.node(*h).unwrap().lineage() != parent));
    [a, b, c, d, e, f, m].into_iter().for_each(|h| world.cut(h, g));
    assert_eq!(world.node(g).unwrap().lineage(), parent);
    until(&mut world, "m follows", |w| w.node(m).is_some_and(|n| n.lineage() != parent && n.leader().is_some()));
    let child = world.node(m).unwrap().lineage();
    // Nobody is left to m but g.
    [a, b, c, d, e, f].into_iter().for_each(|h| world.cut(h, m));
    world.mend(m, g);
    world.run_for(SECOND * 30);
    assert!(world.violations().is_empty(), "{}", world.violations()[0]);
    assert_eq!(world.node(m).unwrap().lineage(), child);
    world.heal();
    until(&mut world, "agreement", |w| w.disagreement().is_none());
}

/// A follower whose registration the child had lost came back in it as the incarnation that it had told to have left.
/// (All, 60 s, seed 100261.)
#[test]
fn who_is_lost_in_a_child_comes_as_another_incarnation() {
    let (mut world, hosts) = site(&["a", "b", "c"], false);
    let [a, b, c] = hosts[..] else { unreachable!() };
    [a, b].into_iter().for_each(|h| world.cut(h, c));
    let m = world.add_node(builder("m").subscribe(true).build().unwrap(), NodeOptions::default());
    let follows = |w: &World| w.node(m).is_some_and(|n| n.member(&NodeId::new("m").unwrap()).is_some());
    until(&mut world, "m is on the roll, and holds it", follows);
    let before = world.node(m).unwrap().incarnation();
    world.cut(c, m);
    replace(&mut world, &[a, b]);
    world.heal();
    until(&mut world, "agreement", |w| w.disagreement().is_none());
    assert!(world.recoveries() > 0 && world.node(m).unwrap().incarnation() > before);
}

/// Who asked in between, where a member behind a wall is, skipped every second of those who may keep it.
#[test]
fn each_voter_is_called_that_may_keep_a_member() {
    clean_for(15 * SECOND, 124, "handover,line,names,follow,outbound");
}

/// What the leader had been asked for questions that were over was due for ever.
#[test]
fn questions_that_are_over_wake_nobody() {
    clean_for(15 * SECOND, 123, "partition,crash,leave,flap,asks");
}

/// A leader that commits what its process before it broadcast told its own embedder of it, by a number that meant another one.
/// (All seed 2, when broadcasts were new.)
#[test]
fn what_an_earlier_incarnation_broadcast_confirms_nothing() {
    let (mut world, hosts) = site(&["a"], true);
    world.broadcast(hosts[0], "one".into()).unwrap();
    world.run_for(SECOND);
    world.restart(hosts[0]);
    world.broadcast(hosts[0], "two".into()).unwrap();
    world.run_for(SECOND * 10);
    assert!(world.violations().is_empty(), "{}", world.violations()[0]);
    assert_eq!(world.open_broadcast(), None);
}

/// A proposer that was away for longer than its acceptances last founded by them, with voters that had founded another
/// lineage meanwhile. (All, 60 s, seed 215.)
#[test]
fn what_was_accepted_long_ago_founds_nothing() {
    clean_for(SECOND * 60, 215, "all");
}

/// What a node was given before it moved, and is told once its store has the move, was for the place that it had. (All, 60 s,
/// seed 2.)
#[test]
fn what_is_told_after_a_move_was_given_before_it() {
    clean_for(SECOND * 60, 2, "all");
}

/// What is told behind a broadcast that its embedder doesn't take waits with it, also when all agree. (All, 2 s,
/// seed 1000165.)
#[test]
fn who_takes_no_messages_is_told_the_rest_once_it_does() {
    clean_for(SECOND * 2, 1_000_165, "all");
}

/// Where a broadcast is given the moment that a child is founded, what it was founded out of counts. (All, seed 1000359.)
#[test]
fn a_broadcast_of_the_parent_that_the_child_commits_is_known() {
    clean(1_000_359, "all");
}

/// A retired candidate that comes back with an old store calls the leader where the answer to its registration says, not where
/// its own old line does. (All, seed 1001199.)
#[test]
fn who_comes_back_with_an_old_line_learns_the_addresses_anew() {
    clean(1_001_199, "all");
}

/// A subscriber that lags, and whose supporter has moved meanwhile, asks it where its leader says that it is. (All,
/// seed 1001443.)
#[test]
fn a_subscriber_that_lags_asks_at_the_address_of_now() {
    clean(1_001_443, "all");
}

/// What was broadcast in a lineage that came to nothing, and again in the one that came after it, is given once. (All,
/// seed 2001172.)
#[test]
fn what_was_given_in_an_earlier_lineage_is_not_given_again() {
    clean(2_001_172, "all");
}

/// A child that lost the departure of its own leader is led by one whom others held for gone: they hear it again. (All,
/// seed 2000855.)
#[test]
fn who_left_in_what_a_child_lost_is_heard_again() {
    clean(2_000_855, "all");
}

/// Who has a circuit to the keeper of the one that it wants to reach, and no connection, makes one: circuits carry no circuits.
/// (All, seed 2011397.)
#[test]
fn a_circuit_to_a_keeper_is_no_way_through_it() {
    clean(2_011_397, "all");
}

/// The same node led in the same term in the lineage after: what was to be asked of it there was taken for asked. (All,
/// seed 2013702.)
#[test]
fn a_request_is_offered_anew_where_the_same_node_leads_in_another_lineage() {
    clean(2_013_702, "all");
}

/// Senders that said nothing held all the credit that there was, and another one never got any. (All, seed 2103376.)
#[test]
fn a_message_gets_through_where_others_hold_all_the_credit() {
    clean(2_103_376, "all");
}

/// Who relays ended what it had carried for a node that registered anew over the same connection, and told one end only: the
/// other end took the circuit for its way, and refused every other one.
#[test]
fn both_ends_of_a_circuit_hear_that_it_ended() {
    clean(2_105_395, "all");
}

/// The line named an incarnation of the leader that was known to be gone: nobody else was ever asked where it is.
#[test]
fn another_one_is_asked_where_somebody_is_who_is_not_what_the_line_says() {
    clean(2_106_608, "all");
}

/// A line of one names nobody but the leader: subscribers asked those of an older line, who hold no roll any more. (All, seed
/// 2111445.)
#[test]
fn where_nobody_else_is_in_the_line_the_leader_is_asked() {
    clean(2_111_445, "all");
}

/// All the voters that those left knew of were gone, and the only one with some of the roll had come in place of one of them:
/// it founded nothing, for it had no seat yet. (All, seed 2133467.)
#[test]
fn who_came_in_place_of_its_former_self_founds_where_nobody_else_is_left() {
    drawn(2_133_467);
}

/// Who was retired dials nobody, so those that waited for it never heard that it votes no more. (All, seed 2169197.)
#[test]
fn who_steps_down_holds_up_no_recovery() {
    drawn(2_169_197);
}

/// Who was retired gets no more of the roll: it took the registration in its own copy, which was older, for that of the
/// leader, and went on taking part. (All, seed 2166327.)
#[test]
fn who_was_retired_steps_down_however_old_its_roll_is() {
    drawn(2_166_327);
}

/// A leader committed its own retirement together with broadcasts, and had no roll any more when the checker looked. (All, seed
/// 2300528.)
#[test]
fn broadcasts_that_a_leader_commits_with_its_own_retirement_are_committed() {
    drawn(2_300_528);
}

/// A claim that nobody answered goes along into another lineage: the checker knew nothing of it there. (All, seed 2141901.)
#[test]
fn a_claim_goes_along_into_another_lineage() {
    drawn(2_141_901);
}

/// Both candidates of a child died, and another child of the same parent took their place: subscribers of the first were told
/// of everybody anew, as if nobody had been there. (All, seed 2163806.)
#[test]
fn a_sibling_of_a_child_that_died_out_is_told_as_what_came_of_it() {
    drawn(2_163_806);
}

/// Its lineage was taken into one that was itself taken into another, and went on: it kept to its promise for ever. (All, seed
/// 2144965.)
#[test]
fn who_waits_for_an_heir_that_never_comes_goes_back_to_those_that_live() {
    drawn(2_144_965);
}

/// Who was retired and asked for a vote anew took the older roll's word for it that it has none. (Available, all, seed 82412.)
#[test]
fn who_asks_for_a_vote_again_is_another_voter_than_was_retired() {
    let report = Run::seed(82_412).options(Options { policy: Some(Policy::Available), ..Options::default() }).execute();
    assert!(report.is_clean(), "{report}");
}

/// Of a line of three the two without a store restarted, and the third founded a child: a candidate that had been demoted held
/// more, as any subscriber may, and the checker demanded it. (All, seed 2429164.)
#[test]
fn what_only_a_demoted_candidate_still_holds_may_be_lost() {
    drawn(2_429_164);
}

/// The only voter restarted; two that were to become voters held nothing yet, and the third, which held the roll, had come back as
/// another one: nobody was to found. (Available, all, seed 3000063.)
#[test]
fn who_holds_the_roll_founds_where_those_of_the_line_hold_nothing() {
    drawn(3_000_063);
}

/// Where others held nearly all windows each of some hundred small messages that was taken gave its sender a few bytes of credit, and
/// told of them at once. (Available, all, seed 3011360.)
#[test]
fn credit_is_not_given_in_crumbs() {
    drawn(3_011_360);
}

/// Who moves away, finds nobody and moves home again has to take its former lineage's word there, also while nobody leads that and no
/// heartbeat pardons it. (Quorum, all, seed 3036919; it failed where a second move kept what the first one had shunned.)
#[test]
fn who_comes_home_by_a_second_move_shuns_its_lineage_no_more() {
    drawn(3_036_919);
}

/// The only voter restarted without a store, and again, while a member was on its way to what it had founded: that one was
/// registered in the second founding, whose terms were lower than what it had told, and never followed it. (Available, all, seed
/// 3032147.)
#[test]
fn who_belongs_nowhere_any_more_goes_to_no_lower_term_either() {
    drawn(3_032_147);
}

/// What was committed last was too large for a datagram: a subscriber that was told so was to ask for it when it next would have
/// asked anyway, which may be long. (Quorum, all, seed 3032520.)
#[test]
fn what_is_too_large_for_a_datagram_is_asked_for_soon() {
    drawn(3_032_520);
}

/// Who founded a child crashed before that was in its store: it had promised never to act in the parent, and was there again,
/// where the checker wanted nobody. (Available, all, seed 3032483.)
#[test]
fn who_crashed_before_a_child_was_stored_is_in_the_parent_and_does_nothing_there() {
    drawn(3_032_483);
}

/// A claim was asked again by the next incarnation of its asker, and took effect after that process had been killed: the checker
/// took it for one of the incarnation that had asked first, which was off the roll. (Quorum, all, seed 3044792.)
#[test]
fn a_claim_goes_along_into_the_next_incarnation() {
    drawn(3_044_792);
}

/// A copy of an older incarnation's broadcast was taken for that of a process whose wall clock had been set back. (Available, all,
/// 60 s, seed 130.)
#[test]
fn a_copy_of_an_older_incarnations_broadcast_is_dropped() {
    let report = Run::seed(130).options(Options { duration: Some(SECOND * 60), ..Options::default() }).execute();
    assert!(report.is_clean(), "{report}");
}

/// A leader that was off the line already began requests, and stepped down: they were begun by one that answers nothing any more,
/// and nobody said so.
#[test]
fn who_is_off_the_line_begins_no_requests() {
    let faults = "late,partition,line,crash,names,requests,follow".parse().unwrap();
    let options = Options { faults, policy: Some(Policy::Quorum), ..Options::default() };
    let report = Run::seed(4_201_893).options(options).execute();
    assert!(report.is_clean(), "{report}");
}

/// The one other candidate became a witness while the leader was on its way off the line: by its seat it could lead, so the leader
/// resigned for it, had to lead again, and resigned again, for ever.
#[test]
fn a_leader_on_its_way_off_the_line_stays_where_the_rest_are_witnesses_by_now() {
    for seed in [4_301_110, 4_302_758] {
        let faults = "late,partition,line,crash,loss,oneway,handover".parse().unwrap();
        let options = Options { faults, policy: Some(Policy::Quorum), ..Options::default() };
        let report = Run::seed(seed).options(options).execute();
        assert!(report.is_clean(), "{report}");
    }
}

/// A subscriber went to another lineage and came back before it was told anything there: it took an older roll than the one that
/// it had told.
#[test]
fn who_comes_back_goes_on_where_it_was() {
    drawn(3_073_708);
}

/// That a voter which asked for it is off the line was committed by a new leader, to which it has no connection, since who is off the
/// line dials nobody: it never learnt that, and held its old roll and its vote for ever.
#[test]
fn who_is_off_the_line_learns_it_from_a_new_leader_too() {
    let faults = "late,partition,line,leave,pause,restart,power,clock".parse().unwrap();
    let options = Options { faults, policy: Some(Policy::Quorum), ..Options::default() };
    let report = Run::seed(4_504_956).options(options).execute();
    assert!(report.is_clean(), "{report}");
}
