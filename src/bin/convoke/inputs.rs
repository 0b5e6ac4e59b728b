//! What reaches a running node from outside: lines on stdin, and signals.

use crate::Failure;
use mio::Waker;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::{BufRead, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// One input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    Line(String),
    /// The end of stdin; told once.
    End,
    /// SIGTERM or SIGINT.
    Signal,
}

/// Where the threads put what they hear: the queue, then the bell.
#[derive(Clone)]
struct Ears {
    queue: Sender<Input>,
    bell: Arc<Waker>,
}

impl Ears {
    /// False once nobody listens any more.
    fn hear(&self, input: Input) -> bool {
        self.queue.send(input).is_ok() && self.bell.wake().is_ok()
    }
}

/// Begins to listen; the waker tells when something waits. Its threads are detached: a read from a terminal can't be broken off, and the end of the process
/// ends them.
pub(crate) fn start(bell: Waker) -> Result<Receiver<Input>, Failure> {
    let (queue, inputs) = channel();
    let ears = Ears { queue, bell: Arc::new(bell) };
    let (signals, writer) = UnixStream::pair().map_err(Failure::failed)?;
    for signal in [SIGTERM, SIGINT] {
        let writer = writer.try_clone().map_err(Failure::failed)?;
        signal_hook::low_level::pipe::register(signal, writer).map_err(Failure::failed)?;
    }
    let lines = ears.clone();
    spawn("signals", move || follow_signals(signals, &ears))?;
    spawn("stdin", move || follow_stdin(&lines))?;
    Ok(inputs)
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    thread::Builder::new().name(name.into()).spawn(run).map(drop).map_err(Failure::failed)
}

fn follow_signals(mut signals: UnixStream, ears: &Ears) {
    let mut byte = [0];
    while signals.read_exact(&mut byte).is_ok() && ears.hear(Input::Signal) {}
}

fn follow_stdin(ears: &Ears) {
    for line in std::io::stdin().lock().split(b'\n') {
        let Ok(line) = line else { break };
        // What is no UTF-8 is an unknown command, not the end of the input.
        if !ears.hear(Input::Line(String::from_utf8_lossy(&line).into_owned())) {
            return;
        }
    }
    ears.hear(Input::End);
}
