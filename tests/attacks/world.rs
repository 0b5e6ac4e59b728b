use convoke::proto::*;
use convoke::sim::*;
use convoke::types::*;
use std::time::Duration;
fn s(n: u64) -> Duration {
    Duration::from_millis(n)
}
fn cfg(id: &str, f: Founding) -> Config {
    Config::builder(ConventionId::new("site").unwrap(), NodeId::new(id).unwrap())
        .candidate()
        .found(f)
        .heartbeat(s(100))
        .build()
        .unwrap()
}
fn memb(id: &str) -> Config {
    Config::builder(ConventionId::new("site").unwrap(), NodeId::new(id).unwrap()).heartbeat(s(100)).build().unwrap()
}
fn show(w: &World, hosts: &[HostId]) {
    for h in hosts {
        if let Some(n) = w.node(*h) {
            println!(
                "  {} {:?} role {:?} lineage {:x} told term {} leader {:?} pos {:?} commit {} reg {:?} id {:x}",
                w.name(*h),
                w.now(),
                n.role(),
                n.lineage().0,
                n.term(),
                n.leader().map(|l| l.id),
                n.position(),
                n.commit_index(),
                n.registration(),
                n.identity().0
            );
        } else {
            println!("  {} down", w.name(*h));
        }
    }
    for v in w.violations() {
        println!("  VIOLATION {v:?}");
    }
}
fn events(w: &mut World, hs: &[HostId]) {
    for (t, h, e) in w.take_events() {
        if hs.contains(&h) {
            println!("    {t:?} {} {e:?}", w.name(h));
        }
    }
}

/// A second process of the leader's id is started elsewhere: two leases?
#[test]
fn namesake() {
    let mut w = World::builder(3).build();
    let hs: Vec<_> =
        ["a", "b", "c"].iter().map(|n| w.add_node(cfg(n, Founding::Expect(3)), NodeOptions::default())).collect();
    w.run_for(s(10_000));
    show(&w, &hs);
    let l = w.leaders().next().unwrap();
    let name = w.name(l).as_str().to_string();
    let _ = w.take_events();
    let x = w.add_node(cfg(&name, Founding::Expect(3)), NodeOptions::default());
    w.run_for(s(3_000));
    let mut all = hs.clone();
    all.push(x);
    show(&w, &all);
    events(&mut w, &all);
    assert!(w.violations().is_empty());
}

/// A site's power comes back while a stray lineage of the same name is there.
#[test]
fn power_cycle_with_stray_lineage() {
    let mut w = World::builder(5).build();
    let st = || NodeOptions { store: true, ..Default::default() };
    let hs: Vec<_> = ["a", "b", "c"].iter().map(|n| w.add_node(cfg(n, Founding::Expect(3)), st())).collect();
    let ms: Vec<_> = (0..20).map(|i| w.add_node(memb(&format!("m{i}")), NodeOptions::default())).collect();
    w.run_for(s(10_000));
    show(&w, &hs);
    for h in hs.iter().chain(&ms) {
        w.power_off(*h);
    }
    let x = w.add_node(cfg("x", Founding::Alone), st());
    w.run_for(s(5_000));
    for h in &hs {
        w.power_on(*h);
        w.start(*h);
    }
    w.run_for(s(10_000));
    let mut all = hs.clone();
    all.push(x);
    show(&w, &all);
    let ids: std::collections::BTreeSet<_> = hs.iter().map(|h| w.node(*h).unwrap().lineage()).collect();
    println!("{ids:?}");
    assert_ne!(w.node(hs[0]).unwrap().lineage(), w.node(x).unwrap().lineage(), "the stored roll was thrown away");
}

/// A member alone: its lineage dies with a higher term; it joins another with a lower one.
#[test]
fn member_moves_to_lower_terms() {
    let mut w = World::builder(11).build();
    let hs1: Vec<_> =
        ["p", "q", "r"].iter().map(|n| w.add_node(cfg(n, Founding::Expect(3)), NodeOptions::default())).collect();
    let m = w.add_node(memb("m"), NodeOptions::default());
    w.run_for(s(8_000));
    for _ in 0..4 {
        let l = w.leaders().next().unwrap();
        w.kill(l);
        w.run_for(s(1_000));
        w.start(l);
        w.run_for(s(6_000));
    }
    let mut g: Vec<_> = hs1.clone();
    g.push(m);
    w.partition(&g);
    show(&w, &g);
    let hs2: Vec<_> =
        ["a", "b", "c"].iter().map(|n| w.add_node(cfg(n, Founding::Expect(3)), NodeOptions::default())).collect();
    w.partition(&g);
    w.run_for(s(10_000));
    show(&w, &hs2);
    for h in &hs1 {
        w.power_off(*h);
    }
    w.run_for(s(2_000));
    w.heal();
    let _ = w.take_events();
    w.run_for(s(60_000));
    let mut all = hs2.clone();
    all.push(m);
    show(&w, &all);
    events(&mut w, &[m]);
    println!("{:?}", w.disagreement());
    assert!(w.disagreement().is_none());
}

/// The same, but the two of one id don't hear each other: an orchestrator started a replacement elsewhere.
#[test]
fn namesake_apart() {
    for seed in 0..5 {
        let mut w = World::builder(seed).build();
        let hs: Vec<_> =
            ["a", "b", "c"].iter().map(|n| w.add_node(cfg(n, Founding::Expect(3)), NodeOptions::default())).collect();
        w.run_for(s(10_000));
        let l = w.leaders().next().unwrap();
        let name = w.name(l).as_str().to_string();
        let _ = w.take_events();
        let x = w.add_node(cfg(&name, Founding::Expect(3)), NodeOptions { stopped: true, ..Default::default() });
        w.cut(l, x);
        w.start(x);
        w.run_for(s(3_000));
        let mut all = hs.clone();
        all.push(x);
        show(&w, &all);
        events(&mut w, &all);
        assert!(w.violations().is_empty());
    }
}

/// list of 5 with stores: c accepts a's founding {a,b,c}, then is cut off with d, e.
#[test]
fn list_majority_forks() {
    let mut forks = 0;
    for seed in 0..40u64 {
        let list: Vec<_> = ["a", "b", "c", "d", "e"].iter().map(|n| NodeId::new(n).unwrap()).collect();
        let mut w = World::builder(seed).fsync(s(2)).build();
        let hs: Vec<_> = ["a", "b", "c", "d", "e"]
            .iter()
            .map(|n| {
                w.add_node(
                    cfg(n, Founding::List(list.clone())),
                    NodeOptions { store: true, stopped: *n > "c", ..Default::default() },
                )
            })
            .collect();
        // a, b, c are there; then c goes over to d, e right when it accepted
        let c = hs[2];
        let mut n = 0;
        let at = 300 + seed % 20;
        w.run_until(s(20_000), |w| {
            n += 1;
            let _ = n;
            w.node(hs[0]).is_some_and(|n| n.lineage() != Lineage(0)) || w.now() > Time::from_micros(at * 1_000_000)
        });
        if w.node(c).unwrap().lineage() != Lineage(0) {
            continue;
        }
        w.cut(hs[0], c);
        w.cut(hs[1], c);
        for o in [hs[3], hs[4]] {
            w.cut(hs[0], o);
            w.cut(hs[1], o);
        }
        w.start(hs[3]);
        w.start(hs[4]);
        w.run_for(s(20_000));
        let ls: Vec<_> = w.leaders().collect();
        let com: Vec<_> = hs
            .iter()
            .map(|h| (w.node(*h).unwrap().lineage().0 & 0xffff, w.node(*h).unwrap().commit_index().0))
            .collect();
        if ls.len() > 1 {
            forks += 1;
            if forks == 1 {
                println!("seed {seed} leaders {ls:?} {com:?}");
                show(&w, &hs);
                w.heal();
                w.run_for(s(60_000));
                println!("healed, a minute later:");
                show(&w, &hs);
            }
        }
    }
    println!("forks {forks}");
    assert_eq!(forks, 0);
}

/// Networks without multicast: the replacement asks its seeds.
#[test]
fn namesake_seeds() {
    let mut bad = 0;
    for seed in 0..60 {
        let c = |n: &str| {
            Config::builder(ConventionId::new("site").unwrap(), NodeId::new(n).unwrap())
                .candidate()
                .found(Founding::Expect(3))
                .heartbeat(s(100))
                .multicast(false)
                .seeds(true)
                .build()
                .unwrap()
        };
        let mut w = World::builder(seed)
            .conditions(Conditions { jitter: Duration::from_micros(400), ..Conditions::default() })
            .build();
        let seeds = vec![HostId(0), HostId(1), HostId(2)];
        let hs: Vec<_> = ["a", "b", "c"]
            .iter()
            .map(|n| w.add_node(c(n), NodeOptions { seeds: seeds.clone(), ..Default::default() }))
            .collect();
        w.run_for(s(10_000));
        let l = w.leaders().next().unwrap();
        let name = w.name(l).as_str().to_string();
        let _ = w.take_events();
        let x = w.add_node(c(&name), NodeOptions { seeds: seeds.clone(), ..Default::default() });
        w.run_for(s(10_000));
        let mut all = hs.clone();
        all.push(x);
        if !w.violations().is_empty() {
            bad += 1;
            if bad == 1 {
                println!("seed {seed}");
                show(&w, &all);
                events(&mut w, &all);
            }
        }
    }
    println!("bad {bad} of 10");
    assert_eq!(bad, 0);
}
#[test]
fn old_namesake_learns() {
    let c = |n: &str| {
        Config::builder(ConventionId::new("site").unwrap(), NodeId::new(n).unwrap())
            .candidate()
            .found(Founding::Expect(3))
            .heartbeat(s(100))
            .multicast(false)
            .seeds(true)
            .death_evidence(false)
            .build()
            .unwrap()
    };
    let mut w = World::builder(0)
        .conditions(Conditions { jitter: Duration::from_micros(400), ..Conditions::default() })
        .build();
    let seeds = vec![HostId(0), HostId(1), HostId(2)];
    let hs: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|n| w.add_node(c(n), NodeOptions { seeds: seeds.clone(), ..Default::default() }))
        .collect();
    w.run_for(s(10_000));
    let x = w.add_node(c("a"), NodeOptions { seeds: seeds.clone(), ..Default::default() });
    w.run_for(s(60_000));
    let mut all = hs.clone();
    all.push(x);
    println!("violations {}", w.violations().len());
    for v in w.violations().iter().filter(|v| v.property != 1) {
        println!("{v:?}");
    }
    let n = w.node(hs[0]);
    println!("{:?}", n.map(|n| (n.role(), *n.stats())));
    for _ in 0..3 {
        w.run_for(s(1000));
        println!(
            "{:?}",
            w.node(hs[0]).map(|n| (
                n.role(),
                n.stats().datagrams_out,
                n.stats().datagrams_in,
                n.stats().streams_cut,
                n.poll_timeout(),
                w.now()
            ))
        );
    }
}
/// A voter is evicted; then datagrams pass again, streams don't (a firewall, a path-MTU hole).
#[test]
fn evicted_voter_without_streams() {
    let mut w = World::builder(1).build();
    let hs: Vec<_> =
        ["a", "b", "c"].iter().map(|n| w.add_node(cfg(n, Founding::Expect(3)), NodeOptions::default())).collect();
    w.run_for(s(10_000));
    let l = w.leaders().next().unwrap();
    let v = *hs.iter().rev().find(|h| **h != l).unwrap();
    w.isolate(v);
    w.run_for(s(5_000));
    w.heal();
    for o in &hs {
        if *o != v {
            w.cut_one_way(v, *o, Cut::Streams);
            w.cut_one_way(*o, v, Cut::Streams);
        }
    }
    let b = *w.node(v).unwrap().stats();
    w.run_for(s(10_000));
    let a = *w.node(v).unwrap().stats();
    println!("out in 10 s: {}", a.datagrams_out - b.datagrams_out);
    show(&w, &hs);
    assert!(a.datagrams_out - b.datagrams_out < 1000);
}
/// f2 as a whole run: three voters with stores; committed entries lost.
#[test]
fn commits_lost_by_snapshot() {
    let st = || NodeOptions { store: true, ..Default::default() };
    let mut hits = 0;
    for seed in 0..40u64 {
        let mut w = World::builder(seed).build();
        let c4 = |n: &str| cfg(n, Founding::Expect(2));
        // c is admitted late: its base is a snapshot's position.
        let a = w.add_node(c4("a"), st());
        let b = w.add_node(c4("b"), st());
        let ms: Vec<_> = (0..10).map(|i| w.add_node(memb(&format!("m{i}")), NodeOptions::default())).collect();
        w.run_for(s(8_000));
        let c = w.add_node(c4("c"), st());
        w.run_for(s(5_000));
        // a is away while more is committed on b and c
        w.power_off(a);
        w.run_for(s(4_000));
        for i in 0..5 {
            w.add_node(memb(&format!("k{i}")), NodeOptions::default());
        }
        w.run_for(s(2_000 + seed * 37));
        let Some(l) = w.leaders().next() else { continue };
        let _ = l;
        let _ = &ms;
        let committed = w.node(b).unwrap().commit_index().max(w.node(c).unwrap().commit_index());
        // c alone gets one more entry: b is cut off, somebody registers at c
        let mut n = 0;
        while w.leaders().next() != Some(c) && n < 20 {
            n += 1;
            w.pause(b, s(600));
            w.run_for(s(3_000));
        }
        if w.leaders().next() != Some(c) {
            if seed < 2 {
                show(&w, &[a, b, c]);
            }
            continue;
        }
        w.cut(b, c);
        w.add_node(memb("late"), NodeOptions::default());
        w.run_for(s(150));
        let pc = w.node(c).unwrap().position();
        let pb = w.node(b).unwrap().position();
        w.power_off(b);
        w.power_off(c);
        w.heal();
        w.power_on(b);
        w.start(b);
        w.power_on(c);
        w.start(c);
        // until b has taken the snapshot
        if seed < 2 {
            show(&w, &[a, b, c]);
        }
        let cut = w.run_until(s(5_000), |w| w.node(b).is_some_and(|n| n.position().index < pb.index));
        println!("seed {seed} committed {committed} b {pb:?} c {pc:?} truncated {cut}");
        if cut {
            w.power_off(c);
            w.power_on(a);
            w.start(a);
            w.run_for(s(20_000));
            show(&w, &[a, b, c]);
            if !w.violations().is_empty() {
                hits += 1;
                break;
            }
        }
    }
    println!("hits {hits}");
    assert_eq!(hits, 0);
}

/// Told to become a witness in the middle of a bid.
#[test]
fn witness_by_order_while_bidding() {
    for seed in 0..20 {
        let mut w =
            World::builder(seed).conditions(Conditions { delay: s(3), jitter: s(3), ..Conditions::default() }).build();
        let hs: Vec<_> =
            ["a", "b", "c"].iter().map(|n| w.add_node(cfg(n, Founding::Expect(3)), NodeOptions::default())).collect();
        w.run_for(s(10_000));
        w.kill(hs[0]);
        let before = [1, 2].map(|n| w.node(hs[n]).unwrap().stats().bids);
        assert!(w.run_until(s(5_000), |w| (1..3).any(|n| w.node(hs[n]).unwrap().stats().bids > before[n - 1])));
        let who = if w.node(hs[1]).unwrap().stats().bids > before[0] { hs[1] } else { hs[2] };
        let order = w.command(who, Command::SetStanding(Standing::Witness));
        w.run_for(s(10_000));
        let n = w.node(who).unwrap();
        assert!(
            n.standing() != Standing::Witness || n.role() != Role::Leader,
            "seed {seed}: {order:?}, a witness leads"
        );
        assert!(w.violations().is_empty(), "{}", w.violations()[0]);
        assert_eq!(w.leaders().count(), 1);
    }
}

fn list(names: &[&str]) -> Founding {
    Founding::List(names.iter().map(|n| NodeId::new(n).unwrap()).collect())
}

/// Who was bound to the founding of a part of a list moves, once that is long its convention.
#[test]
fn who_was_bound_to_a_part_of_a_list_moves() {
    let mut w = World::builder(1).build();
    let st = |stopped| NodeOptions { store: true, stopped, ..Default::default() };
    let hs: Vec<_> =
        ["a", "b", "c"].iter().map(|n| w.add_node(cfg(n, list(&["a", "b", "c"])), st(*n == "c"))).collect();
    w.run_for(s(20_000));
    assert_eq!(w.leaders().count(), 1);
    w.start(hs[2]);
    w.run_for(s(20_000));
    show(&w, &hs);
    assert_eq!(w.move_to(hs[1], 2, Vec::new()), Ok(()));
    assert_eq!(w.move_to(hs[2], 2, Vec::new()), Ok(()));
}

/// A plain member with a store is promoted, restarts as the member that it is configured to be, and is promoted once more.
#[test]
fn a_promoted_member_restarts() {
    let mut w = World::builder(1).twins(true).build();
    let hs: Vec<_> =
        ["a", "b", "c"].iter().map(|n| w.add_node(cfg(n, Founding::Expect(3)), NodeOptions::default())).collect();
    let m = w.add_node(memb("m"), NodeOptions { store: true, ..Default::default() });
    w.run_for(s(10_000));
    w.command(m, Command::SetStanding(Standing::Candidate)).unwrap();
    w.run_for(s(10_000));
    let voter = w.node(m).unwrap().identity();
    assert!(w.node(hs[0]).unwrap().line().votes(voter));
    w.take_events();
    w.restart(m);
    w.run_for(s(10_000));
    let n = w.node(m).unwrap();
    assert_eq!(n.role(), Role::Member);
    assert!(!w.node(hs[0]).unwrap().line().votes(voter));
    assert_eq!(n.members().count(), 0, "it holds a roll that nobody keeps up");
    // All others go, and come back as another lineage.
    for h in &hs {
        w.kill(*h);
    }
    for h in &hs {
        w.start(*h);
    }
    w.run_for(s(20_000));
    w.command(m, Command::SetStanding(Standing::Candidate)).unwrap();
    w.run_for(s(10_000));
    show(&w, &[hs[0], m]);
    assert!(w.violations().is_empty(), "{}", w.violations()[0]);
    assert_ne!(w.node(m).unwrap().identity(), voter, "whoever is promoted was never there before");
    assert_eq!(w.node(m).unwrap().roll_digest(), w.node(hs[0]).unwrap().roll_digest());
}

/// Three of five are retired, which empties their stores. Then the site restarts, and those three are there before the line is.
#[test]
fn the_retired_found_nothing_anew() {
    let all = ["a", "b", "c", "d", "e"];
    let mut w = World::builder(1).build();
    let st = || NodeOptions { store: true, ..Default::default() };
    let hs: Vec<_> = all.iter().map(|n| w.add_node(cfg(n, list(&all)), st())).collect();
    w.run_for(s(10_000));
    let leader = w.leaders().next().unwrap();
    assert_eq!(leader, hs[0]);
    for n in ["c", "d", "e"] {
        w.command(leader, Command::Retire(NodeId::new(n).unwrap())).unwrap();
        w.run_for(s(5_000));
    }
    let lineage = w.node(leader).unwrap().lineage();
    assert_eq!(w.node(leader).unwrap().line().voters().count(), 2);
    for h in &hs {
        w.kill(*h);
    }
    for h in &hs[2..] {
        w.start(*h);
    }
    w.run_for(s(20_000));
    show(&w, &hs);
    assert!(w.leaders().next().is_none(), "they founded {:?} beside {lineage:?}", w.lineages().collect::<Vec<_>>());
}

/// The proposer of a part of a list dies with its disk, once another one has accepted.
#[test]
fn a_proposer_is_gone_with_its_disk() {
    let mut w = World::builder(1).fsync(s(2)).build();
    let st = |stopped| NodeOptions { store: true, stopped, ..Default::default() };
    let hs: Vec<_> =
        ["a", "b", "c"].iter().map(|n| w.add_node(cfg(n, list(&["a", "b", "c"])), st(*n == "c"))).collect();
    assert!(w.run_until(s(20_000), |w| w.node(hs[0]).is_some_and(|n| n.lineage() != Lineage(0))));
    assert_eq!(w.node(hs[1]).unwrap().lineage(), Lineage(0));
    w.kill(hs[0]);
    w.wipe(hs[0]);
    w.start(hs[0]);
    w.start(hs[2]);
    let came = w.run_until(s(120_000), |w| w.leaders().next().is_some());
    show(&w, &hs);
    events(&mut w, &hs);
    assert!(came, "nobody ever founds");
}

/// It is retired while its admission is due: that it is level is known before the decision is committed.
#[test]
fn who_is_retired_before_its_admission_is_never_seated() {
    use convoke::sim::explore::{Block, Stage};
    let newcomer = NodeId::new("n3").unwrap();
    let seated = |s: &Stage| s.node(0).unwrap().line_in_force().seat(&newcomer).is_some();
    let mut stage = Stage::founded(3, false);
    let host = stage.add("n3", 3, false);
    stage.start(host);
    stage.until("n3 is on the roll", |s| s.node(0).unwrap().members().any(|(_, _, i)| i.id == newcomer));
    let mut tried = 0;
    while !seated(&stage) {
        let mut s = stage.clone();
        // Nothing is committed for a while.
        (1..3).for_each(|n| s.block(n, 0, Some(Block::All)));
        s.command(0, Command::Retire(newcomer.clone()));
        s.pass(Duration::from_millis(100));
        (1..3).for_each(|n| s.block(n, 0, None));
        for _ in 0..300 {
            assert!(!seated(&s), "it was retired after {tried} steps");
            s.step();
        }
        assert_eq!(s.broken(), None);
        tried += 1;
        stage.step();
    }
    assert!(tried > 0);
}
