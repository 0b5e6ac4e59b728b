//! libzmq: PUSH to PULL, and REQ to REP.

use crate::common::BODY;
use crate::far::{Far, Meter, say};
use std::time::{Duration, Instant};

/// Messages that it may keep on each side: more than its default of 1,000, with which it is slower.
const KEPT: i32 = 100_000;

fn listen(kind: zmq::SocketType) -> zmq::Socket {
    let socket = zmq::Context::new().socket(kind).unwrap();
    socket.set_rcvhwm(KEPT).unwrap();
    socket.bind("tcp://127.0.0.1:*").unwrap();
    say(socket.get_last_endpoint().unwrap().unwrap());
    socket
}

fn connect(kind: zmq::SocketType, far: &mut Far) -> zmq::Socket {
    let socket = zmq::Context::new().socket(kind).unwrap();
    socket.set_sndhwm(KEPT).unwrap();
    socket.set_linger(0).unwrap();
    socket.connect(&far.line()).unwrap();
    socket
}

pub fn receive(meter: &mut Meter, _: u16) {
    let (socket, mut message) = (listen(zmq::PULL), zmq::Message::new());
    loop {
        // A look at the clock for each would cost as much as the message.
        for _ in 0..256 {
            socket.recv(&mut message, 0).unwrap();
            assert_eq!(message.len(), BODY);
        }
        if !meter.goes_on(256) {
            return;
        }
    }
}

pub fn send(far: &mut Far) {
    let socket = connect(zmq::PUSH, far);
    socket.set_sndtimeo(1_000).unwrap();
    while !far.is_over() {
        for _ in 0..256 {
            if socket.send(&[7; BODY][..], 0).is_err() {
                break;
            }
        }
    }
}

pub fn echo(_: u16) {
    let (socket, mut message) = (listen(zmq::REP), zmq::Message::new());
    while socket.recv(&mut message, 0).is_ok() {
        socket.send(&*message, 0).unwrap();
    }
}

pub fn ping(far: &mut Far, rounds: usize) -> Vec<Duration> {
    let (socket, mut message) = (connect(zmq::REQ, far), zmq::Message::new());
    let mut round = || {
        let start = Instant::now();
        socket.send(&[7; BODY][..], 0).unwrap();
        socket.recv(&mut message, 0).unwrap();
        start.elapsed()
    };
    (0..rounds + 100).map(|_| round()).skip(100).collect()
}
