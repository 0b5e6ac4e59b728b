//! Interfaces that come, go and change, and IPv6 multicast: in network namespaces that end with the test. Without the
//! privilege to make them the tests are skipped, and say so.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use convoke::net::{Net, NetConfig, NetConfigBuilder, NetNotice, Way};
use convoke::types::Time;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

/// Runs this test again inside a network namespace of its own; true there.
fn inside(test: &str) -> bool {
    if std::env::var_os("CONVOKE_NETNS").is_some() {
        ip("link set lo up");
        return true;
    }
    let exe = std::env::current_exe().unwrap();
    let works = Command::new("unshare").args(["-n", "ip", "link", "add", "v0", "type", "veth"]).output();
    if !works.is_ok_and(|o| o.status.success()) {
        eprintln!("SKIPPED {test}: no privilege (or no unshare, ip, veth) for network namespaces");
        return false;
    }
    let args = ["--exact", test, "--nocapture"];
    let status = Command::new("unshare").arg("-n").arg(exe).args(args).env("CONVOKE_NETNS", "1").status().unwrap();
    assert!(status.success(), "it failed inside the namespace");
    false
}

fn ip(args: &str) {
    let status = Command::new("ip").args(args.split(' ')).status().unwrap();
    assert!(status.success(), "ip {args}");
}

/// A pair of interfaces, up, v0 with these addresses.
fn veth(addrs: &[&str]) {
    ip("link add v0 type veth peer name v1");
    for addr in addrs {
        let nodad = if addr.contains(':') { " nodad" } else { "" };
        ip(&format!("addr add {addr} dev v0{nodad}"));
    }
    ip("link set v0 up");
    ip("link set v1 up");
    // Carrier and routes take a moment.
    std::thread::sleep(Duration::from_millis(100));
}

fn now() -> Time {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    Time::from_micros(1_000_000 + START.get_or_init(Instant::now).elapsed().as_micros() as u64)
}

fn bind(builder: NetConfigBuilder) -> Net {
    Net::bind(builder.refresh(Duration::from_millis(10)).build().unwrap(), true, false, now()).unwrap()
}

fn group(ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), 6_779)
}

fn heard(net: &mut Net) -> Vec<(Way, SocketAddr, Vec<u8>)> {
    let mut all = Vec::new();
    net.poll(Some(Duration::ZERO)).unwrap();
    while net.receive(now(), |from, way, bytes| all.push((way, from, bytes.to_vec()))).is_some() {}
    all
}

fn wait_until(mut f: impl FnMut() -> bool) {
    let start = Instant::now();
    while !f() {
        assert!(start.elapsed() < Duration::from_secs(5), "it didn't happen within 5 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for this notice.
fn told(net: &mut Net, wanted: impl Fn(&NetNotice) -> bool) {
    let mut all = Vec::new();
    let start = Instant::now();
    loop {
        net.handle_timeout(now());
        all.extend(std::iter::from_fn(|| net.poll_notice()));
        if all.iter().any(&wanted) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(5), "only {all:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn ipv6_multicast_of_every_scope() {
    if !inside("ipv6_multicast_of_every_scope") {
        return;
    }
    veth(&["fe80::9/64", "fd09::1/64"]);
    for ip in ["ff15::6779", "ff12::6779", "ff02::6779"] {
        let config = || NetConfig::builder().interface("v0").multicast(group(ip));
        let (mut a, mut b) = (bind(config()), bind(config()));
        assert_eq!(a.local_addr().ip().to_string(), "fd09::1", "not the link-local one");
        a.send_floor(b"floor");
        a.send_bench(b"bench");
        let mut all = Vec::new();
        wait_until(|| {
            all.extend(heard(&mut b));
            all.len() == 2
        });
        assert!(all.contains(&(Way::Floor, a.local_addr(), b"floor".to_vec())), "{all:?}");
        assert!(all.contains(&(Way::Bench, a.local_addr(), b"bench".to_vec())), "{all:?}");
        assert_eq!(heard(&mut a), []);
        // Only a link-local address: it works with its scope.
        let mut c = bind(NetConfig::builder().interface("fe80::9").multicast(group(ip)));
        c.send_floor(b"local");
        wait_until(|| heard(&mut b).iter().any(|(_, _, bytes)| bytes == b"local"));
    }
}

#[test]
fn each_interface_has_its_own_copy_and_source() {
    if !inside("each_interface_has_its_own_copy_and_source") {
        return;
    }
    veth(&["10.9.0.1/24"]);
    ip("addr add 10.9.1.1/24 dev v1");
    let group = group("239.1.2.3");
    let only = |name: &str| bind(NetConfig::builder().interface(name).multicast(group).broadcast(true));
    let mut both = bind(NetConfig::builder().interface("v*").multicast(group).broadcast(true));
    let (mut left, mut right) = (only("v0"), only("v1"));
    let mut lo = bind(NetConfig::builder().multicast(group).broadcast(true));
    both.send_floor(b"x");
    std::thread::sleep(Duration::from_millis(100));
    let port = both.local_addr().port();
    let from = |ip: [u8; 4]| vec![(Way::Floor, SocketAddr::new(ip.into(), port), b"x".to_vec())];
    let names: Vec<_> = std::iter::from_fn(|| both.poll_notice()).collect();
    let (first, second) = (heard(&mut left), heard(&mut right));
    assert_eq!((first, second), (from([10, 9, 0, 1]), from([10, 9, 1, 1])), "{names:?}");
    assert_eq!(heard(&mut lo), [], "what wasn't chosen hears nothing");
    // Limited broadcasts leave by each interface with its address, and others' networks are left out.
    left.send_broadcast(b"b");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(heard(&mut both).len(), 1);
    assert_eq!((heard(&mut right).len(), heard(&mut lo).len()), (0, 0));
    // Unicast goes out from the interface in whose network the other is.
    both.send_to(right.local_addr(), b"u");
    wait_until(|| heard(&mut right) == [(Way::Own, SocketAddr::new([10, 9, 1, 1].into(), port), b"u".to_vec())]);
}

#[test]
fn an_interface_goes_and_comes_back() {
    if !inside("an_interface_goes_and_comes_back") {
        return;
    }
    veth(&["10.9.0.1/24"]);
    let config = || NetConfig::builder().interface("v0").multicast(group("239.1.2.3"));
    let (mut a, mut b) = (bind(config()), bind(config()));
    let (addr, name) = (a.local_addr(), "v0".to_string());
    for gone in ["link set v0 down", "link set v1 down", "link del v0"] {
        ip(gone);
        told(&mut a, |n| *n == NetNotice::InterfaceDown(name.clone(), addr));
        // Sending to nowhere does no harm.
        a.send_floor(b"lost");
        a.send_to("10.9.0.7:1".parse().unwrap(), b"lost");
        match gone {
            "link set v0 down" => ip("link set v0 up"),
            "link set v1 down" => ip("link set v1 up"),
            _ => veth(&["10.9.0.1/24"]),
        }
        told(&mut a, |n| *n == NetNotice::InterfaceUp(name.clone(), addr));
        wait_until(|| {
            b.handle_timeout(now());
            b.send_floor(b"again");
            heard(&mut a).iter().any(|(_, _, bytes)| bytes == b"again")
        });
        assert_eq!(a.local_addr(), addr, "it kept its address");
    }
}

#[test]
fn a_changed_address_is_followed() {
    if !inside("a_changed_address_is_followed") {
        return;
    }
    veth(&["10.9.0.1/24"]);
    let config = || NetConfig::builder().interface("v0").multicast(group("239.1.2.3"));
    let mut a = bind(config());
    let mut named = bind(config().admin("10.9.0.1:0"));
    let old = a.local_addr();
    ip("addr del 10.9.0.1/24 dev v0");
    ip("addr add 10.9.0.2/24 dev v0");
    let new = SocketAddr::new([10, 9, 0, 2].into(), old.port());
    told(&mut a, |n| *n == NetNotice::AddressChanged(old, new));
    assert_eq!((a.local_addr(), a.advertised()), (new, new));
    // It listens there, by both.
    let stream = std::net::TcpStream::connect(new).unwrap();
    let mut accepted = false;
    wait_until(|| {
        a.poll(Some(Duration::ZERO)).unwrap();
        while a.next_stream(now(), |_, _| accepted = true) {}
        accepted
    });
    drop(stream);
    std::net::UdpSocket::bind("10.9.0.2:0").unwrap().send_to(b"u", new).unwrap();
    wait_until(|| heard(&mut a).iter().any(|(way, ..)| *way == Way::Own));
    // An address that was named is not left.
    let at = named.local_addr();
    told(&mut named, |n| matches!(n, NetNotice::InterfaceUp(_, addr) if addr.ip() == new.ip()));
    assert_eq!(named.local_addr(), at);
    let mut b = bind(config());
    named.send_floor(b"n");
    wait_until(|| heard(&mut b).iter().any(|(_, _, bytes)| bytes == b"n"));
}

/// A cable that is plugged in again is no reason to listen elsewhere; one that stays away is, at the same port, and nobody is
/// refused at the former address at once: that would count as a proof that the process died.
#[test]
fn an_interface_that_is_down_for_long_hands_its_role_to_another_one() {
    if !inside("an_interface_that_is_down_for_long_hands_its_role_to_another_one") {
        return;
    }
    veth(&["10.9.0.1/24"]);
    ip("link add w0 type veth peer name w1");
    ip("addr add 10.9.2.1/24 dev w0");
    ip("link set w0 up");
    ip("link set w1 up");
    std::thread::sleep(Duration::from_millis(100));
    let config = NetConfig::builder().interface("v0").interface("w0").multicast(group("239.1.2.3"));
    let config = config.refresh(Duration::from_millis(500)).build().unwrap();
    let mut a = Net::bind(config, true, false, now()).unwrap();
    let old = a.local_addr();
    assert_eq!(old.ip().to_string(), "10.9.0.1");
    for (down, up) in [("link set v1 down", "link set v1 up"), ("link set v0 down", "link set v0 up")] {
        ip(down);
        told(&mut a, |n| matches!(n, NetNotice::InterfaceDown(name, _) if name == "v0"));
        ip(up);
        told(&mut a, |n| matches!(n, NetNotice::InterfaceUp(name, _) if name == "v0"));
        assert_eq!(a.local_addr(), old);
    }
    ip("link set v1 down");
    let new = SocketAddr::new([10, 9, 2, 1].into(), old.port());
    told(&mut a, |n| *n == NetNotice::AddressChanged(old, new));
    assert!(std::net::TcpStream::connect(old).is_ok(), "nothing there proves a death yet");
    assert!(std::net::TcpStream::connect(new).is_ok());
    wait_until(|| {
        a.handle_timeout(now());
        std::net::TcpStream::connect(old).is_err()
    });
}
