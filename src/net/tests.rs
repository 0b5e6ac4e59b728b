#![allow(clippy::unwrap_used)]

use super::testing::{free_port, wait_until};
use super::*;
use crate::types::Time;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

fn now() -> Time {
    Time::from_micros(sys::clock_us())
}

fn group() -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(239, 192, 67, 82).into(), free_port())
}

fn bind(builder: NetConfigBuilder, bench: bool) -> Net {
    Net::bind(builder.build().unwrap(), bench, true, now()).unwrap()
}

/// All that waits at a node: the way, the sender, and the bytes.
fn heard(net: &mut Net) -> Vec<(Way, SocketAddr, Vec<u8>)> {
    let mut all = Vec::new();
    net.poll(Some(Duration::ZERO)).unwrap();
    while net.receive(now(), |from, way, bytes| all.push((way, from, bytes.to_vec()))).is_some() {}
    all
}

/// Waits until something came in.
fn next(net: &mut Net) -> Vec<(Way, SocketAddr, Vec<u8>)> {
    let mut all = Vec::new();
    wait_until(|| {
        all.extend(heard(net));
        !all.is_empty()
    });
    all
}

#[test]
fn each_way_is_told_and_the_sender_does_not_hear_itself() {
    let group = group();
    let config = || NetConfig::builder().multicast(group);
    let (mut a, mut b, mut member) = (bind(config(), true), bind(config(), true), bind(config(), false));
    a.send_floor(b"floor");
    assert_eq!(next(&mut b), [(Way::Floor, a.local_addr(), b"floor".to_vec())]);
    assert_eq!(next(&mut member).len(), 1);
    a.send_bench(b"bench");
    assert_eq!(next(&mut b), [(Way::Bench, a.local_addr(), b"bench".to_vec())]);
    a.send_to(member.local_addr(), b"one");
    assert_eq!(next(&mut member), [(Way::Own, a.local_addr(), b"one".to_vec())], "members don't hear the bench");
    wait_until(|| {
        assert_eq!(heard(&mut a), []);
        a.stats().datagrams_own == 2
    });
    assert_eq!(a.stats().datagrams_out, 3);
    assert_eq!(a.stats().send_errors, 0);
}

#[test]
fn broadcast_reaches_the_bench_of_others() {
    let group = group();
    let config = || NetConfig::builder().multicast(group).broadcast(true);
    let (mut a, mut b) = (bind(config(), true), bind(config(), true));
    a.send_broadcast(b"all");
    if a.stats().send_errors > 0 {
        eprintln!("SKIPPED: no limited broadcast on loopback");
        return;
    }
    let mut heard = next(&mut b);
    // Where a socket can't be bound to a group it hears broadcasts too: the same one twice.
    heard.dedup();
    assert_eq!(heard, [(Way::Bench, a.local_addr(), b"all".to_vec())]);
}

#[test]
fn seeds_are_resolved_and_the_node_itself_is_left_out() {
    let mut b = bind(NetConfig::builder().no_multicast(), false);
    let port = b.local_addr().port();
    let admin = format!("127.0.0.1:{}", free_port());
    let seeds = |n: NetConfigBuilder| {
        n.seed(&admin).seed(&format!("localhost:{port}")).seed(&format!("127.0.0.1:{port}")).seed("no\0name:1")
    };
    let mut a = bind(seeds(NetConfig::builder().no_multicast().admin(&admin)), false);
    a.send_seeds(now(), b"seek");
    let mut all = Vec::new();
    wait_until(|| {
        a.poll(Some(Duration::ZERO)).unwrap();
        a.handle_timeout(now());
        all.extend(heard(&mut b));
        all.len() == 2
    });
    assert_eq!(heard(&mut a), [], "nobody seeks at himself");
    let mut told = Vec::new();
    wait_until(|| {
        a.handle_timeout(now());
        told.extend(std::iter::from_fn(|| a.poll_notice()));
        told.iter().any(|n| matches!(n, NetNotice::SeedUnresolved(seed, _) if seed == "no\0name:1"))
    });
}

#[test]
fn what_stands_in_the_way_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let cases = [
        (NetConfig::builder().interface("nosuch0"), "nosuch0"),
        (NetConfig::builder().interface("lo*").interface("203.0.113.0/24"), "203.0.113.0/24"),
        (NetConfig::builder().admin(&addr), &addr),
        (NetConfig::builder().admin(&udp.local_addr().unwrap().to_string()), "in use"),
        (NetConfig::builder().admin("0.0.0.0:0"), "advertise"),
        (NetConfig::builder().advertise("no\0name:5"), "resolve"),
        (NetConfig::builder().interface("127.0.0.0/8").multicast("[ff15::1]:6779".parse().unwrap()), "IPv6"),
    ];
    for (builder, part) in cases {
        let error = Net::bind(builder.build().unwrap(), false, false, now()).unwrap_err().to_string();
        assert!(error.contains(part), "{error:?} should say {part:?}");
    }
}

#[test]
fn what_others_are_told_may_differ() {
    let net = bind(NetConfig::builder().multicast(group()).advertise("203.0.113.9:0"), false);
    assert_eq!(net.advertised(), SocketAddr::new([203, 0, 113, 9].into(), net.local_addr().port()));
    assert!(net.local_addr().ip().is_loopback());
    let net = bind(NetConfig::builder().multicast(group()).admin("0.0.0.0:0").advertise("127.0.0.1:0"), false);
    assert_eq!(net.links.len(), 1, "one socket serves the interfaces that were chosen, and only they are joined");
    assert_eq!(net.links[0].own, net.own);
}

#[test]
fn the_timer_wakes_the_descriptor_in_time() {
    let mut net = bind(NetConfig::builder().multicast(group()), false);
    if net.timer.is_none() {
        eprintln!("SKIPPED: no fine timer on this system");
        return;
    }
    while net.next_stream(now(), |_, _| ()) {}
    heard(&mut net);
    let start = now();
    let at = start + Duration::from_micros(2_300);
    net.arm(start, at);
    net.poll(Some(Duration::from_millis(500))).unwrap();
    let late = now() - at;
    assert!(now() >= at && late < Duration::from_millis(100), "it was late by {late:?}");
    // Again, although the last alarm was never read.
    net.arm(now(), now() + Duration::from_millis(3));
    let before = now();
    net.poll(Some(Duration::from_millis(500))).unwrap();
    assert!(now() - before < Duration::from_millis(100));
}

#[test]
fn a_link_that_goes_is_told_and_joined_again_when_it_comes() {
    let mut net = bind(NetConfig::builder().multicast(group()), true);
    let addr = net.local_addr();
    let notices = |net: &mut Net| std::iter::from_fn(|| net.poll_notice()).collect::<Vec<_>>();
    let up = NetNotice::InterfaceUp("lo".into(), addr);
    assert!(notices(&mut net).contains(&up));
    // As if another address had been there before.
    net.links[0].iface.ip = [127, 9, 9, 9].into();
    net.handle_timeout(now() + Duration::from_secs(2));
    let told = notices(&mut net);
    assert!(matches!(&told[..], [NetNotice::InterfaceDown(name, _), u] if name == "lo" && *u == up), "{told:?}");
    assert_eq!(net.udps.iter().flatten().count(), 3, "own, floor and bench: none is left over");
    // And it still hears.
    let mut other = bind(NetConfig::builder().multicast(net.config.multicast.unwrap()), false);
    other.send_floor(b"x");
    assert_eq!(next(&mut net).len(), 1);
}
