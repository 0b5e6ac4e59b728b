//! How long a broadcast takes to the last of all members: three candidates and some members, each with a driver and sockets
//! on a thread of its own, over loopback; against one multicast datagram to as many sockets that threads wait at, in the same
//! run. What lies between the two is the way to the leader, the supporters' word, and the wakings of both.
//!
//! `cargo bench --bench broadcast` (`-- --members N`, `-- --runs N`; `-- --test` is a short one).
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use convoke::driver::{DriverEvent, Handle, Setup};
use convoke::net::NetConfig;
use convoke::proto::{Config, Event, Founding, MessageLane};
use convoke::types::{ConventionId, NodeId};
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 192, 67, 93);
const BODY: usize = 128;
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let short = args.iter().any(|a| a == "--test") || !args.iter().any(|a| a == "--bench");
    let number = |name: &str, default: usize| {
        args.iter().position(|a| a == name).and_then(|at| args.get(at + 1)?.parse().ok()).unwrap_or(default)
    };
    let members = number("--members", if short { 5 } else { 50 });
    let runs = number("--runs", if short { 5 } else { 200 });
    let port = 41_000 + (std::process::id() % 4_000) as u16 * 4;
    let (heard, times) = channel();
    let nodes = site(members, port, &heard);
    let sender = nodes.last().unwrap();
    let mut broadcasts: Vec<f64> = Vec::new();
    for run in 0..runs {
        let begun = Instant::now();
        sender.broadcast(body(run)).unwrap();
        broadcasts.push(last(&times, nodes.len(), run, begun));
    }
    let frames: u64 = nodes.iter().map(|n| n.inspect(|n| n.stats().said_multicast).unwrap()).sum();
    let unicast: u64 = nodes.iter().map(|n| n.inspect(|n| n.stats().said_unicast).unwrap()).sum();
    let raw_sender = raw(nodes.len(), port + 3, &heard);
    let mut raw: Vec<f64> = Vec::new();
    for run in 0..runs {
        let begun = Instant::now();
        raw_sender.send_to(&body(run), SocketAddrV4::new(GROUP, port + 3)).unwrap();
        raw.push(last(&times, nodes.len(), run, begun));
    }
    println!("a broadcast of {BODY} bytes to the last of {} nodes on one host, {runs} runs:", nodes.len());
    let (b, r) = (show("broadcast", &mut broadcasts), show("one multicast datagram", &mut raw));
    println!("  {:.2} times as long; {frames} multicast datagrams, {unicast} unicast", b / r);
}

fn body(run: usize) -> Bytes {
    let mut body = vec![0; BODY];
    body[..8].copy_from_slice(&(run as u64).to_be_bytes());
    body.into()
}

/// Milliseconds until all have told that they were given the one of this run.
fn last(times: &Receiver<(u64, Instant)>, nodes: usize, run: usize, begun: Instant) -> f64 {
    let (mut count, mut last) = (0, begun);
    while count < nodes {
        let (number, at) = times.recv_timeout(PATIENCE).unwrap();
        if number == run as u64 {
            count += 1;
            last = last.max(at);
        }
    }
    (last - begun).as_secs_f64() * 1e3
}

fn show(what: &str, times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    println!("  {what:<24} median {:8.3} ms, p90 {:8.3}, max {:8.3}", at(0.5), at(0.9), at(1.0));
    at(0.5)
}

/// All nodes, the last one a plain member; each has a thread that tells what it was given and when.
fn site(members: usize, port: u16, heard: &Sender<(u64, Instant)>) -> Vec<Arc<Handle>> {
    let spawn = |n: usize| {
        let id = NodeId::new(&format!("n{n}")).unwrap();
        let mut config = Config::builder(ConventionId::new("bench").unwrap(), id);
        if n < 3 {
            config = config.candidate().found(Founding::Expect(3));
        }
        let net = NetConfig::builder().multicast(SocketAddr::new(GROUP.into(), port)).build().unwrap();
        Arc::new(Handle::spawn(Setup { config: config.build().unwrap(), net, store: None }).unwrap())
    };
    let nodes: Vec<_> = (0..members + 3).map(spawn).collect();
    let begun = Instant::now();
    while nodes.iter().any(|n| n.inspect(|n| n.registration().is_none()).unwrap()) {
        assert!(begun.elapsed() < PATIENCE, "they don't register");
        thread::sleep(Duration::from_millis(20));
    }
    for node in &nodes {
        let (node, heard) = (Arc::clone(node), heard.clone());
        thread::spawn(move || {
            while let Ok(event) = node.recv() {
                if let DriverEvent::Node(Event::Message { body, lane: MessageLane::Broadcast, .. }) = event
                    && let Some(number) = body.first_chunk::<8>()
                    && heard.send((u64::from_be_bytes(*number), Instant::now())).is_err()
                {
                    return;
                }
            }
        });
    }
    nodes
}

/// As many sockets in a group, each with a thread; returned is one that sends to it.
fn raw(receivers: usize, port: u16, heard: &Sender<(u64, Instant)>) -> UdpSocket {
    for _ in 0..receivers {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddrV4::new(GROUP, port).into()).unwrap();
        socket.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST).unwrap();
        let (socket, heard): (UdpSocket, _) = (socket.into(), heard.clone());
        thread::spawn(move || {
            let mut buf = [0; 2_048];
            while let Ok(len) = socket.recv(&mut buf) {
                let at = Instant::now();
                let Some(number) = buf[..len].first_chunk::<8>() else { continue };
                if heard.send((u64::from_be_bytes(*number), at)).is_err() {
                    return;
                }
            }
        });
    }
    let sender = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    sender.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    sender.set_multicast_loop_v4(true).unwrap();
    sender.bind(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    sender.into()
}
