//! message-io, by its framed TCP.

use crate::common::BODY;
use crate::far::{Far, Meter, say};
use message_io::network::{Endpoint, NetEvent, SendStatus, Transport};
use message_io::node::{self, NodeHandler, NodeListener};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

const TRANSPORT: Transport = Transport::FramedTcp;

fn listen() -> (NodeHandler<()>, NodeListener<()>) {
    let (handler, listener) = node::split::<()>();
    let (_, addr) = handler.network().listen(TRANSPORT, "127.0.0.1:0").unwrap();
    say(addr);
    (handler, listener)
}

/// Connected, with what does something for each message.
fn connect(
    far: &mut Far,
    mut on_message: impl FnMut() + Send + 'static,
) -> (NodeHandler<()>, Endpoint, node::NodeTask) {
    let (handler, listener) = node::split::<()>();
    let addr = far.line();
    let (endpoint, _) = handler.network().connect(TRANSPORT, addr.as_str()).unwrap();
    let (teller, connected) = channel();
    let task = listener.for_each_async(move |event| match event.network() {
        NetEvent::Connected(..) => {
            let _ = teller.send(());
        }
        NetEvent::Message(..) => on_message(),
        _ => {}
    });
    connected.recv_timeout(Duration::from_secs(20)).unwrap();
    (handler, endpoint, task)
}

pub fn receive(meter: &mut Meter, _: u16) {
    let (handler, listener) = listen();
    let mut fresh = 0;
    listener.for_each(|event| {
        if let NetEvent::Message(_, body) = event.network() {
            assert_eq!(body.len(), BODY);
            fresh += 1;
            if fresh == 256 && !meter.goes_on(std::mem::take(&mut fresh)) {
                handler.stop();
            }
        }
    });
}

pub fn send(far: &mut Far) {
    let (handler, endpoint, _task) = connect(far, || {});
    while !far.is_over() {
        for _ in 0..256 {
            if handler.network().send(endpoint, &[7; BODY]) != SendStatus::Sent {
                break;
            }
        }
    }
    handler.stop();
}

pub fn echo(_: u16) {
    let (handler, listener) = listen();
    listener.for_each(|event| {
        if let NetEvent::Message(endpoint, body) = event.network() {
            handler.network().send(endpoint, body);
        }
    });
}

pub fn ping(far: &mut Far, rounds: usize) -> Vec<Duration> {
    let (teller, came) = channel();
    let (handler, endpoint, _task) = connect(far, move || {
        let _ = teller.send(());
    });
    let round = || {
        let start = Instant::now();
        handler.network().send(endpoint, &[7; BODY]);
        came.recv_timeout(Duration::from_secs(20)).unwrap();
        start.elapsed()
    };
    // It takes 90 ms for each: some are enough.
    let took = (0..rounds.min(20)).map(|_| round()).collect();
    handler.stop();
    took
}
