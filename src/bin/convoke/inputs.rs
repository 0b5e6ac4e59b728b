//! What reaches a running node from outside: lines on stdin, and signals.

use crate::Failure;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::{BufRead, Read};
use std::os::unix::net::UnixStream;
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

/// Begins to listen. Its threads are detached: a read from a terminal can't be broken off, and the end of the process
/// ends them.
pub(crate) fn start() -> Result<Receiver<Input>, Failure> {
    let (sender, inputs) = channel();
    let (signals, writer) = UnixStream::pair().map_err(Failure::failed)?;
    for signal in [SIGTERM, SIGINT] {
        let writer = writer.try_clone().map_err(Failure::failed)?;
        signal_hook::low_level::pipe::register(signal, writer).map_err(Failure::failed)?;
    }
    let lines = sender.clone();
    spawn("signals", move || follow_signals(signals, &sender))?;
    spawn("stdin", move || follow_stdin(&lines))?;
    Ok(inputs)
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    thread::Builder::new().name(name.into()).spawn(run).map(drop).map_err(Failure::failed)
}

fn follow_signals(mut signals: UnixStream, to: &Sender<Input>) {
    let mut byte = [0];
    while signals.read_exact(&mut byte).is_ok() && to.send(Input::Signal).is_ok() {}
}

fn follow_stdin(to: &Sender<Input>) {
    for line in std::io::stdin().lock().split(b'\n') {
        let Ok(line) = line else { break };
        // What is no UTF-8 is an unknown command, not the end of the input.
        if to.send(Input::Line(String::from_utf8_lossy(&line).into_owned())).is_err() {
            return;
        }
    }
    // An error means that nobody listens any more.
    let _ = to.send(Input::End);
}
