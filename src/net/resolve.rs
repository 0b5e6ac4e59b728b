//! Names to addresses, on a thread of its own: a slow name server must not stop the loop.

use mio::Waker;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// The most addresses of a name that are used.
pub(crate) const MAX_RESOLVED: usize = 16;

/// What became of a name: which (the asker's number), and its addresses or why there are none.
pub(crate) type Resolved = (usize, Result<Vec<SocketAddr>, String>);

/// The thread, and the way to it. The asker bounds how many questions wait: one for each seed.
#[derive(Debug)]
pub(crate) struct Resolver {
    // The thread ends when this is dropped; it isn't waited for, since a name server may keep it for minutes.
    questions: Sender<(usize, String, u16)>,
    answers: Receiver<Resolved>,
}

impl Resolver {
    /// Starts the thread. It wakes the poll when an answer is there.
    pub(crate) fn start(waker: Arc<Waker>) -> std::io::Result<Self> {
        let (questions, asked) = channel::<(usize, String, u16)>();
        let (told, answers) = channel();
        std::thread::Builder::new().name("convoke-resolve".into()).spawn(move || {
            while let Ok((number, host, port)) = asked.recv() {
                let found = (host.as_str(), port).to_socket_addrs();
                let found = found.map(|a| a.take(MAX_RESOLVED).collect()).map_err(|e| e.to_string());
                if told.send((number, found)).is_err() || waker.wake().is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { questions, answers })
    }

    /// Asks for a name; false where the thread is gone.
    pub(crate) fn ask(&self, number: usize, host: &str, port: u16) -> bool {
        self.questions.send((number, host.into(), port)).is_ok()
    }

    /// The next answer.
    pub(crate) fn answer(&self) -> Option<Resolved> {
        self.answers.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::net::testing::wait_until;

    #[test]
    fn names_are_resolved_and_failures_told() {
        let poll = mio::Poll::new().unwrap();
        let resolver = Resolver::start(Arc::new(Waker::new(poll.registry(), mio::Token(0)).unwrap())).unwrap();
        // Neither of them ever leaves the machine: no name has a zero in it.
        assert!(resolver.ask(0, "localhost", 7) && resolver.ask(1, "no\0name", 7));
        let mut answers = Vec::new();
        wait_until(|| {
            answers.extend(resolver.answer());
            answers.len() == 2
        });
        let found = answers[0].1.as_ref().unwrap();
        assert!(found.iter().all(|a| a.ip().is_loopback() && a.port() == 7) && !found.is_empty());
        assert!(answers[1].1.is_err());
    }
}
