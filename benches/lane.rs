//! Messages over loopback, through real drivers on two threads, against what sockets alone can do in the same run.
//!
//! - one way: messages of 128 bytes, as many as go, against a loop that writes 64 framed ones with each writev and one
//!   that reads and counts them;
//! - there and back: one message at a time, against two loops of epoll that echo as many bytes;
//! - what is urgent: a change of the roll, which takes a frame each way between two candidates, while a transfer fills the
//!   same connection.
//!
//! `cargo bench --bench lane` (`-- --test` is a short one; `-- oneway`, `echo`, `urgent` is that part alone). The same
//! between two processes, and beside other libraries: `benches/peers`.
#![allow(clippy::unwrap_used)]

mod common;

use bytes::Bytes;
use common::args::Args;
use common::{BODY, nodes, part, raw};
use convoke::driver::DriverEvent;
use convoke::proto::{Command, Event};
use convoke::types::Capabilities;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Messages a second of a loop that writes 64 framed ones at a time.
fn raw_one_way(time: Duration) -> f64 {
    let (one, two) = raw::pair();
    let reader = thread::spawn(move || {
        let mut count = 0;
        raw::count(two, |n| {
            count += n;
            true
        });
        count
    });
    let start = Instant::now();
    raw::pour(one, || start.elapsed() < time);
    let count = reader.join().unwrap();
    count as f64 / start.elapsed().as_secs_f64()
}

/// Messages a second through two drivers.
fn lane_one_way(time: Duration, port: u16) -> f64 {
    let (mut one, mut two) = nodes::pair("m", port);
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (stopped, counted) = (stop.clone(), count.clone());
    let to = two.driver.node().config().id().clone();
    let reader = thread::spawn(move || {
        nodes::count(&mut two, |n| {
            counted.fetch_add(n, Ordering::Relaxed);
            !stopped.load(Ordering::Relaxed)
        });
    });
    let (mut start, mut before, mut warm) = (Instant::now(), 0, false);
    nodes::pour(&mut one, &to, || {
        if !warm && start.elapsed() > time / 4 {
            (warm, start, before) = (true, Instant::now(), count.load(Ordering::Relaxed));
        }
        !warm || start.elapsed() < time
    });
    let rate = (count.load(Ordering::Relaxed) - before) as f64 / start.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    reader.join().unwrap();
    rate
}

fn raw_echo(rounds: usize) -> Vec<Duration> {
    let (one, two) = raw::pair();
    let echo = thread::spawn(move || raw::echo(two));
    let took = raw::ping(one, rounds);
    echo.join().unwrap();
    took
}

fn lane_echo(rounds: usize, port: u16) -> Vec<Duration> {
    let (mut one, mut two) = nodes::pair("m", port);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let to = two.driver.node().config().id().clone();
    let echo = thread::spawn(move || nodes::echo(&mut two, || !stopped.load(Ordering::Relaxed)));
    let took = nodes::ping(&mut one, &to, rounds);
    stop.store(true, Ordering::Relaxed);
    echo.join().unwrap();
    took
}

/// How long changes of the roll take while a transfer fills the same connection; and the transfer's bytes a second.
fn urgent(rounds: usize, port: u16, bulk: bool) -> (Vec<Duration>, f64) {
    let (mut one, mut two) = nodes::pair("b", port);
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, taken) = (stop.clone(), Arc::new(AtomicU64::new(0)));
    let counted = taken.clone();
    let to = two.driver.node().config().id().clone();
    let reader = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            two.turn(true);
            while let Some(event) = two.driver.poll_event() {
                if let DriverEvent::Node(Event::Message { body, .. }) = event {
                    counted.fetch_add(body.len() as u64, Ordering::Relaxed);
                }
            }
        }
    });
    let body = Bytes::from(vec![7; 1 << 20]);
    let (mut took, begun) = (Vec::new(), Instant::now());
    let mut asked: Option<Instant> = None;
    let mut at = Instant::now() + Duration::from_millis(200);
    while took.len() < rounds {
        if bulk {
            while one.driver.send(&to, body.clone()).is_ok() {}
        }
        if asked.is_none() && Instant::now() >= at {
            let mut capabilities = Capabilities::new();
            capabilities.set("n", &took.len().to_string()).unwrap();
            one.driver.command(Command::SetCapabilities(capabilities)).unwrap();
            asked = Some(Instant::now());
        }
        one.turn(bulk || asked.is_some());
        while let Some(event) = one.driver.poll_event() {
            if let DriverEvent::Node(Event::Updated { .. }) = event
                && let Some(start) = asked.take()
            {
                took.push(start.elapsed());
                at = Instant::now() + Duration::from_millis(2);
            }
        }
    }
    let rate = taken.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    reader.join().unwrap();
    (took, rate)
}

fn main() {
    let args = Args::read();
    let (time, rounds) = args.pick((Duration::from_millis(400), 500), (Duration::from_secs(3), 20_000));
    let (port, parts) = (nodes::port(), ["oneway", "echo", "urgent"]);
    if args.runs("oneway", &parts) {
        for round in 0..args.pick(1, 3) {
            let (raw, lane) = (raw_one_way(time), lane_one_way(time, port + round));
            println!(
                "one way, {BODY} bytes: raw {:.2}, lane {:.2} million messages a second: {:.0} % of raw",
                raw / 1e6,
                lane / 1e6,
                lane / raw * 100.0
            );
        }
    }
    if args.runs("echo", &parts) {
        echo(rounds, port + 4);
    }
    if args.runs("urgent", &parts) {
        beside(args.pick(50, 1_000), port + 6);
    }
}

fn echo(rounds: usize, port: u16) {
    let (mut raw, mut lane) = (raw_echo(rounds), lane_echo(rounds, port));
    let ratio = part(&mut lane, 500).as_secs_f64() / part(&mut raw, 500).as_secs_f64();
    println!(
        "there and back: raw {:?} (p99 {:?}), lane {:?} (p99 {:?}) in the median: {ratio:.2} times raw",
        part(&mut raw, 500),
        part(&mut raw, 990),
        part(&mut lane, 500),
        part(&mut lane, 990),
    );
}

fn beside(rounds: usize, port: u16) {
    let (mut alone, _) = urgent(rounds, port, false);
    let (mut beside, rate) = urgent(rounds, port + 2, true);
    println!(
        "a change of the roll: alone {:?} (p99 {:?}), beside a transfer of {:.0} MB a second {:?} (p99 {:?})",
        part(&mut alone, 500),
        part(&mut alone, 990),
        rate / 1e6,
        part(&mut beside, 500),
        part(&mut beside, 990),
    );
}
