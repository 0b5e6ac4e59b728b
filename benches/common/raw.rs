//! What sockets alone can do with the same bytes.

use super::BODY;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// A message with its length in front.
const FRAMED: usize = BODY + 4;

/// Both ends of a connection.
pub fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let two = listener.accept().unwrap().0;
    for stream in [&one, &two] {
        stream.set_nodelay(true).unwrap();
    }
    (one, two)
}

/// Reads and counts messages as long as `goes_on` says so to what came.
pub fn count(mut stream: TcpStream, mut goes_on: impl FnMut(u64) -> bool) {
    let (mut buffer, mut left) = (vec![0; 64 << 10], 0_usize);
    while let Ok(n) = stream.read(&mut buffer) {
        left += n;
        if n == 0 || !goes_on((left / FRAMED) as u64) {
            return;
        }
        left %= FRAMED;
    }
}

/// Writes 64 messages with each writev, as long as `goes_on` says so and there is somebody to read them.
pub fn pour(mut stream: TcpStream, mut goes_on: impl FnMut() -> bool) {
    let mut framed = (BODY as u32).to_be_bytes().to_vec();
    framed.resize(FRAMED, 7);
    while goes_on() {
        let mut slices = [IoSlice::new(&framed); 64];
        let mut slices = &mut slices[..];
        while !slices.is_empty() {
            let Ok(n) = stream.write_vectored(slices) else { return };
            IoSlice::advance_slices(&mut slices, n);
        }
    }
}

/// One end of an echo by epoll: reads until a whole message is there.
struct End {
    poll: Poll,
    events: Events,
    stream: mio::net::TcpStream,
}

impl End {
    fn new(stream: TcpStream) -> Self {
        stream.set_nonblocking(true).unwrap();
        let (poll, mut stream) = (Poll::new().unwrap(), mio::net::TcpStream::from_std(stream));
        poll.registry().register(&mut stream, Token(0), Interest::READABLE).unwrap();
        Self { poll, events: Events::with_capacity(8), stream }
    }

    /// False at the end.
    fn read(&mut self) -> bool {
        let (mut buffer, mut come) = ([0; FRAMED], 0);
        while come < buffer.len() {
            match self.stream.read(&mut buffer[come..]) {
                Ok(0) => return false,
                Ok(n) => come += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.poll.poll(&mut self.events, None).unwrap(),
                Err(_) => return false,
            }
        }
        true
    }
}

/// Sends back what comes, until the end.
pub fn echo(stream: TcpStream) {
    let mut end = End::new(stream);
    while end.read() {
        end.stream.write_all(&[7; FRAMED]).unwrap();
    }
}

/// How long one message after the other took there and back.
pub fn ping(stream: TcpStream, rounds: usize) -> Vec<Duration> {
    let mut end = End::new(stream);
    let mut round = || {
        let start = Instant::now();
        end.stream.write_all(&[7; FRAMED]).unwrap();
        assert!(end.read());
        start.elapsed()
    };
    (0..rounds).map(|_| round()).collect()
}
