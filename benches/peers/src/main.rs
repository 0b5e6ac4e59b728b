//! Messages between two processes over loopback, beside those of other libraries in the same run.
//!
//! - one way: messages of 128 bytes, as many as go. The receiver counts, after a warm-up;
//! - there and back: one message at a time, each process on a core of its own, and once more wherever the scheduler puts
//!   them: where both share a core, nobody sleeps, and what a message costs counts instead of what waking costs.
//!
//! Both processes are this program: the second one is told by its arguments what it is to receive. The ways to send take
//! turns, so that all of them meet the same disturbances of a shared machine, and what is compared is the median.
#![allow(clippy::unwrap_used)]

#[path = "../../common/mod.rs"]
mod common;
mod far;
mod message_io;
mod zeromq;

use common::args::Args;
use common::nodes::{self, Side};
use common::{BODY, median, part, raw};
use far::{Far, Meter};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// What is promised: of what the raw loop and libzmq do.
const LEAST_OF_RAW: f64 = 0.6;
const LEAST_OF_ZMQ: f64 = 2.5;
const MOST_OF_RAW_ECHO: f64 = 1.15;

/// One way to send.
struct Peer {
    name: &'static str,
    /// Receives in the other process.
    receive: fn(&mut Meter, port: u16),
    /// Sends to it until it has counted enough.
    send: fn(&mut Far),
    echo: fn(port: u16),
    ping: fn(&mut Far, rounds: usize) -> Vec<Duration>,
}

const PEERS: [Peer; 4] = [
    Peer { name: "raw", receive: raw_receive, send: raw_send, echo: raw_echo, ping: raw_ping },
    Peer { name: "convoke", receive: node_receive, send: node_send, echo: node_echo, ping: node_ping },
    Peer { name: "libzmq", receive: zeromq::receive, send: zeromq::send, echo: zeromq::echo, ping: zeromq::ping },
    Peer {
        name: "message-io",
        receive: message_io::receive,
        send: message_io::send,
        echo: message_io::echo,
        ping: message_io::ping,
    },
];

// ---- Sockets alone ----

fn accept() -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    far::say(listener.local_addr().unwrap());
    let stream = listener.accept().unwrap().0;
    stream.set_nodelay(true).unwrap();
    stream
}

fn connect(far: &mut Far) -> TcpStream {
    let stream = TcpStream::connect(far.line()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn raw_receive(meter: &mut Meter, _: u16) {
    raw::count(accept(), |n| meter.goes_on(n));
}

fn raw_send(far: &mut Far) {
    let stream = connect(far);
    raw::pour(stream, || !far.is_over());
}

fn raw_echo(_: u16) {
    raw::echo(accept());
}

fn raw_ping(far: &mut Far, rounds: usize) -> Vec<Duration> {
    raw::ping(connect(far), rounds)
}

// ---- convoke ----

/// A member in the other process, by multicast on loopback.
fn member(port: u16) -> Side {
    let mut side = Side::loopback("m", None, nodes::group(port));
    side.until("it is registered", |driver| driver.node().registration().is_some());
    far::say("registered");
    side
}

/// The leader in this one.
fn leader(far: &mut Far) -> Side {
    let mut side = Side::loopback("a", Some(1), nodes::group(far.port));
    side.until("the other one has joined", |driver| driver.node().member(&nodes::id("m")).is_some());
    far.line();
    side
}

fn node_receive(meter: &mut Meter, port: u16) {
    nodes::count(&mut member(port), |n| meter.goes_on(n));
}

fn node_send(far: &mut Far) {
    let mut side = leader(far);
    nodes::pour(&mut side, &nodes::id("m"), || !far.is_over());
}

fn node_echo(port: u16) {
    nodes::echo(&mut member(port), || true);
}

fn node_ping(far: &mut Far, rounds: usize) -> Vec<Duration> {
    nodes::ping(&mut leader(far), &nodes::id("m"), rounds)
}

// ---- Together ----

fn one_way(time: Duration, turns: usize) {
    let mut rates = PEERS.each_ref().map(|_| Vec::new());
    for _ in 0..turns {
        for (peer, rates) in PEERS.iter().zip(&mut rates) {
            let mut far = Far::start("receive", peer.name, time);
            (peer.send)(&mut far);
            rates.push(far.outcome());
        }
    }
    let rates = rates.map(|mut rates| median(&mut rates));
    println!("one way, {BODY} bytes, million messages a second, median of {turns}:");
    for (peer, rate) in PEERS.iter().zip(rates) {
        println!("  {:<10} {:7.3}   {:5.1} % of raw", peer.name, rate / 1e6, rate / rates[0] * 100.0);
    }
    let (of_raw, of_zmq) = (rates[1] / rates[0], rates[1] / rates[2]);
    println!("  convoke: {of_raw:.2} of raw (wanted {LEAST_OF_RAW}), {of_zmq:.1} times libzmq (wanted {LEAST_OF_ZMQ})");
    if of_raw < LEAST_OF_RAW || of_zmq < LEAST_OF_ZMQ {
        println!("  MISSED");
    }
}

/// Stays on this core from now on.
fn pin(core: usize) {
    let mut set = nix::sched::CpuSet::new();
    set.set(core).unwrap();
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set).unwrap();
}

fn there_and_back(rounds: usize, turns: usize, apart: bool) {
    let mut medians = PEERS.each_ref().map(|_| (Vec::new(), Vec::new()));
    for _ in 0..turns {
        for (peer, medians) in PEERS.iter().zip(&mut medians) {
            let mut far = Far::start(if apart { "apart" } else { "echo" }, peer.name, Duration::ZERO);
            let mut took = (peer.ping)(&mut far, rounds);
            medians.0.push(part(&mut took, 500).as_secs_f64() * 1e6);
            medians.1.push(part(&mut took, 990).as_secs_f64() * 1e6);
        }
    }
    let medians = medians.map(|mut m| (median(&mut m.0), median(&mut m.1)));
    let placed = if apart { "each on a core of its own" } else { "wherever the scheduler puts them" };
    println!("there and back, {placed}, {BODY} bytes, microseconds, median of {turns} medians:");
    for (peer, (took, p99)) in PEERS.iter().zip(medians) {
        println!("  {:<10} {took:7.1} (p99 {p99:7.1})   {:5.2} times raw", peer.name, took / medians[0].0);
    }
    let ratio = medians[1].0 / medians[0].0;
    println!("  convoke: {ratio:.2} times raw (wanted {MOST_OF_RAW_ECHO})");
    if ratio > MOST_OF_RAW_ECHO {
        println!("  MISSED");
    }
}

fn main() {
    let args = Args::read();
    if let Some([what, name, port, ms, ..]) = args.after("--far") {
        let peer = PEERS.iter().find(|p| p.name == name).unwrap();
        let port = port.parse().unwrap();
        match what.as_str() {
            "receive" => {
                let mut meter = Meter::new(Duration::from_millis(ms.parse().unwrap()));
                (peer.receive)(&mut meter, port);
            }
            what => {
                if what == "apart" {
                    pin(1);
                }
                (peer.echo)(port);
            }
        }
        return;
    }
    // `cargo run`, not `cargo bench`: it is long unless it is said to be short.
    let short = std::env::args().any(|a| a == "--test");
    let (time, rounds, turns) =
        if short { (Duration::from_millis(200), 300, 1) } else { (Duration::from_secs(2), 2_000, 5) };
    let parts = ["oneway", "echo"];
    if args.runs("oneway", &parts) {
        one_way(time, turns);
    }
    if args.runs("echo", &parts) {
        there_and_back(rounds, turns, false);
        if std::thread::available_parallelism().is_ok_and(|n| n.get() > 1) {
            // To the end: it is the last part.
            pin(0);
            there_and_back(rounds, turns, true);
        } else {
            println!("NOT MEASURED on cores of their own: there is one");
        }
    }
}
