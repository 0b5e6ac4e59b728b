//! Conventions of real processes on hosts of their own, in network namespaces. Needs root, `ip` and `nft`; where they
//! are missing each test says so on stderr and passes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Options, Site};
use std::time::Duration;

/// More than any single step takes, also on a busy machine.
const LONG: Duration = Duration::from_secs(20);

#[test]
fn five_hosts_find_each_other_and_agree() {
    let Some(mut site) = Site::founded("five_hosts", Options::default()) else { return };
    let (leader, term) = site.leader();
    let all = site.everywhere().len();
    for host in site.candidates() {
        site.say(host, "members");
        site.say(host, "line");
        site.wait("the roll is whole", LONG, |s| s.view(host).last("members").is_some_and(|m| m["count"] == all));
        assert_eq!(site.view(host).role, if host == leader { "leader" } else { "supporter" });
    }
    let member = site.members().start;
    assert_eq!(site.view(member).role, "member");
    site.say(member, "members");
    site.wait("a member has no roll", LONG, |s| s.view(member).last("error").is_some());
    site.say(member, "set colour=blue");
    site.wait("capabilities reach all candidates", LONG, |s| {
        s.candidates().all(|h| s.view(h).last("updated").is_some_and(|u| u["capabilities"]["colour"] == "blue"))
    });
    site.say(leader, "find colour=blue");
    site.wait("it is found", LONG, |s| s.view(leader).last("find").is_some_and(|f| f["count"] == 1));
    site.pass(10 * site.options.detection());
    assert_eq!(site.leader(), (leader, term), "in peace nothing changes");
    site.close();
}

#[test]
fn a_killed_leader_is_replaced_without_waiting_for_its_silence() {
    let options = Options { heartbeat_ms: 1_000, ..Options::default() };
    let Some(mut site) = Site::founded("killed_leader", options) else { return };
    let (leader, term) = site.leader();
    let killed_us = site.kill(leader);
    let times = site.successor(term, killed_us, LONG);
    let last = times.last().copied().unwrap();
    assert!(last < 500.0, "the refused connection is evidence, D is 3 s: {times:?} ms");
    let (successor, next) = site.leader();
    let name = site.id(leader).to_owned();
    site.wait("it is off the roll", LONG, |s| s.present_candidates().all(|h| s.view(h).left_reason(&name).is_some()));
    assert_eq!(site.view(successor).left_reason(&name), Some("crashed"));
    site.start(leader, &[]);
    assert_eq!(site.settle("it comes back", LONG), (successor, next), "who returns disturbs nobody");
    site.close();
}

#[test]
fn a_leader_told_to_leave_is_replaced_and_ends_well() {
    let Some(mut site) = Site::founded("leave", Options::default()) else { return };
    let (leader, term) = site.leader();
    site.set_present(leader, false);
    site.signal(leader, "TERM");
    let status = site.ended(leader, LONG);
    assert_eq!(status.code(), Some(0));
    site.wait("a successor", LONG, |s| s.agreed().is_some_and(|(_, t)| t > term));
    site.wait("its last word", LONG, |s| s.view(leader).stopped);
    assert_eq!(site.view(leader).last("stopped").unwrap()["reason"], "left");
    let member = site.members().start;
    site.say(member, "leave");
    assert_eq!(site.ended(member, LONG).code(), Some(0));
    let name = site.id(member).to_owned();
    site.wait("it is known to have left", LONG, |s| {
        s.present_candidates().all(|h| s.view(h).left_reason(&name) == Some("left"))
    });
    site.close();
}

#[test]
fn a_leader_whose_host_is_cut_off_is_replaced_and_steps_down() {
    let Some(mut site) = Site::founded("cut_leader", Options::default()) else { return };
    let (leader, term) = site.leader();
    site.set_present(leader, false);
    site.hosts().cut(leader);
    site.wait("a successor", LONG, |s| s.agreed().is_some_and(|(_, t)| t > term));
    site.wait("the one cut off no longer leads", LONG, |s| s.view(leader).role != "leader");
    site.pass(5 * site.options.detection());
    assert!(site.view(leader).beliefs.iter().all(|b| b.leader.as_deref() != Some(site.id(leader)) || b.term == term));
    let (successor, next) = site.leader();
    site.hosts().heal(leader);
    site.set_present(leader, true);
    assert_eq!(site.settle("it finds back", LONG), (successor, next), "who returns deposes nobody");
    site.close();
}

#[test]
fn all_killed_at_once_and_restarted_with_their_stores_go_on() {
    let options = Options { stores: true, ..Options::default() };
    let Some(mut site) = Site::founded("all_restarted", options) else { return };
    let (_, term) = site.leader();
    let lineage = site.view(0).last("leader").unwrap()["lineage"].clone();
    for host in site.everywhere() {
        site.kill(host);
    }
    for host in site.everywhere() {
        site.start(host, &[]);
    }
    let (_, next) = site.settle("all find each other again", LONG);
    assert!(next > term, "the terms go on: {term}, then {next}");
    assert_eq!(site.view(0).last("leader").unwrap()["lineage"], lineage, "it is the same convention");
    site.close();
}

#[test]
fn two_leaders_whose_hosts_die_in_a_row_are_replaced() {
    let Some(mut site) = Site::founded("two_in_a_row", Options::default()) else { return };
    for _ in 0..2 {
        let (leader, term) = site.leader();
        // A dead host refuses no connection and says nothing.
        site.hosts().cut(leader);
        site.kill(leader);
        site.wait("a successor", LONG, |s| s.agreed().is_some_and(|(_, t)| t > term));
    }
    site.pass(3 * site.options.detection());
    site.leader();
    assert_eq!(site.present_candidates().count(), 3);
    site.close();
}

#[test]
fn a_frozen_candidate_wakes_without_harm() {
    let Some(mut site) = Site::founded("frozen", Options::default()) else { return };
    let (leader, term) = site.leader();
    let follower = site.candidates().find(|h| *h != leader).unwrap();
    let freeze = 6 * site.options.detection();
    site.set_present(follower, false);
    site.signal(follower, "STOP");
    site.pass(freeze);
    assert_eq!(site.leader(), (leader, term), "a follower's silence costs no leadership");
    site.signal(follower, "CONT");
    site.set_present(follower, true);
    assert_eq!(site.settle("the follower is back", LONG), (leader, term), "who wakes deposes nobody");

    site.set_present(leader, false);
    site.signal(leader, "STOP");
    site.wait("a successor", LONG, |s| s.agreed().is_some_and(|(_, t)| t > term));
    site.pass(freeze);
    let (successor, next) = site.leader();
    site.signal(leader, "CONT");
    site.set_present(leader, true);
    assert_eq!(site.settle("the old leader is back", LONG), (successor, next), "who wakes deposes nobody");
    site.close();
}

#[test]
fn a_host_without_multicast_registers_by_a_seed_and_is_kept() {
    let Some(mut site) = Site::open("no_multicast", Options::default()) else { return };
    let deaf = site.members().start;
    site.hosts().drop_multicast(deaf);
    let seed = format!("{}:6800", site.hosts().addr(0));
    for host in site.everywhere() {
        match host {
            0 => site.start(host, &["--admin", &seed]),
            _ if host == deaf => site.start(host, &["--seed", &seed]),
            _ => site.start(host, &[]),
        }
    }
    let (leader, term) = site.settle("all find each other", LONG);
    site.pass(10 * site.options.detection());
    assert_eq!(site.leader(), (leader, term));
    let name = site.id(deaf).to_owned();
    assert_eq!(site.view(deaf).registered, 1, "it was registered once and never lost");
    assert!(site.candidates().all(|h| site.view(h).left_reason(&name).is_none()));
    // It follows a failover as well, though no multicast tells it.
    site.kill(leader);
    site.wait("a successor", LONG, |s| s.agreed().is_some_and(|(_, t)| t > term));
    site.pass(5 * site.options.detection());
    assert!(site.present_candidates().all(|h| site.view(h).left_reason(&name).is_none()));
    site.close();
}

/// Who is deaf to multicast gets it too; all get the same, in one order, across a failover.
#[test]
fn a_broadcast_reaches_all_once_also_who_is_deaf_to_multicast() {
    let Some(mut site) = Site::founded("broadcast", Options::default()) else { return };
    let (deaf, sender) = (site.members().start, site.members().start + 1);
    site.hosts().drop_multicast(deaf);
    site.pass(4 * site.options.detection());
    let texts = |s: &Site, host: usize| -> Vec<String> {
        let events = s.view(host).events.iter().filter(|e| e["event"] == "message" && e["lane"] == "broadcast");
        events.map(|e| format!("{}:{}", e["from"].as_str().unwrap(), e["body"].as_str().unwrap())).collect()
    };
    let (leader, _) = site.leader();
    let senders = [sender, leader, deaf];
    for n in 0..10 {
        for from in senders {
            site.say(from, &format!("broadcast number {n}"));
        }
    }
    site.say(sender, &format!("broadcast {}", "x".repeat(20_000)));
    site.wait("all have all of it", LONG, |s| s.everywhere().all(|h| texts(s, h).len() == 31));
    let first = texts(&site, leader);
    for host in site.everywhere() {
        assert_eq!(texts(&site, host), first, "{}", site.id(host));
    }
    for from in senders {
        let own: Vec<&String> = first.iter().filter(|t| t.starts_with(site.id(from))).collect();
        assert!((0..10).all(|n| own[n].ends_with(&format!(":number {n}"))), "in the sender's order: {own:?}");
    }
    site.wait("the sender knows", LONG, |s| {
        s.view(sender).events.iter().filter(|e| e["event"] == "broadcast").count() == 11
    });
    // Handed to a leader that dies, and to the next one.
    site.kill(leader);
    for n in 0..5 {
        site.say(sender, &format!("broadcast after {n}"));
    }
    let others = |s: &Site| s.everywhere().filter(|h| *h != leader).collect::<Vec<_>>();
    site.wait("all others have the rest", LONG, |s| others(s).iter().all(|h| texts(s, *h).len() == 36));
    let first = texts(&site, sender);
    assert!(others(&site).iter().all(|h| texts(&site, *h) == first));
    assert!(site.everywhere().all(|h| site.view(h).last("missed").is_none()));
    site.close();
}

#[test]
fn an_interface_that_goes_and_comes_is_joined_again() {
    let Some(mut site) = Site::founded("interface", Options::default()) else { return };
    let (leader, term) = site.leader();
    let candidate = site.candidates().find(|h| *h != leader).unwrap();
    let member = site.members().start;
    for host in [candidate, member] {
        site.set_present(host, false);
        site.hosts().link(host, false);
    }
    site.pass(6 * site.options.detection());
    for host in [candidate, member] {
        site.hosts().link(host, true);
        site.set_present(host, true);
    }
    assert_eq!(site.settle("both are back", LONG), (leader, term), "who returns deposes nobody");
    let names = [candidate, member].map(|h| site.id(h).to_owned());
    site.wait("both are on the roll", LONG, |s| {
        s.view(leader).events.iter().rev().find(|e| e["event"] == "joined" && e["member"] == *names[1]).is_some()
    });
    site.pass(5 * site.options.detection());
    // The multicast group was joined again: whoever leads next is known to all.
    let killed_us = site.kill(leader);
    site.successor(term, killed_us, LONG);
    site.close();
}

/// Policy available: both sides of a partition go on, and are one again when it heals; a name that both claimed is told.
#[test]
fn two_sides_go_on_and_become_one() {
    let more = ["--policy", "available"].map(String::from).to_vec();
    let Some(mut site) = Site::founded("two_sides", Options { members: 4, more, ..Options::default() }) else { return };
    let leader = site.leader().0;
    let others: Vec<usize> = site.candidates().filter(|h| *h != leader).collect();
    let members: Vec<usize> = site.members().collect();
    let side = [others[0], others[1], members[0], members[1]];
    site.hosts().part(&side);
    let leads = |s: &Site, h: usize| s.view(h).role == "leader";
    site.wait("both sides have a leader", LONG, |s| side.iter().any(|h| leads(s, *h)) && leads(s, leader));
    site.pass(site.options.detection() * 5);
    for member in [members[0], members[2]] {
        site.say(member, "claim printer");
        site.wait("it has the name", LONG, |s| s.view(member).last("claimed").is_some_and(|c| c["outcome"] == "yours"));
    }
    let registered: Vec<usize> = members.iter().map(|m| site.view(*m).registered).collect();
    site.hosts().unite(&side);
    site.settle("all are one again", LONG);
    site.wait("the conflict is told on both sides", LONG, |s| {
        let told = |h: usize| s.view(h).last("merged").is_some_and(|m| m["conflicts"][0]["name"] == "printer");
        s.candidates().all(told)
    });
    site.wait("one of the two lost it", LONG, |s| {
        let lost = |h: &&usize| s.view(**h).last("claimed").is_some_and(|c| c["outcome"] == "lost");
        members.iter().filter(lost).count() == 1
    });
    for (member, before) in members.iter().zip(registered) {
        assert!(site.view(*member).registered <= before + 1, "who is taken in has one new place");
    }
    site.close();
}
