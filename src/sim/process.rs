//! A running node, and where wanted its twin: a second one that gets the same inputs and has to give the same outputs.

use crate::proto::{
    AnswerError, Command, CommandError, Config, Dest, Event, Lane, Node, RequestError, SendError, Start, StoreWrite,
    StreamInput, StreamOutput,
};
use crate::types::{ConnId, Incarnation, NodeId, Time};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The bug that each node of a host is given right after its start; always nothing without the feature `planted-bugs`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Plant(#[cfg(feature = "planted-bugs")] pub(super) Option<crate::proto::Bug>);

impl Plant {
    #[cfg(feature = "planted-bugs")]
    pub(super) fn put_in(self, node: &mut Node) {
        if let Some(bug) = self.0 {
            node.plant(bug);
        }
    }

    #[cfg(not(feature = "planted-bugs"))]
    #[allow(clippy::unused_self)]
    pub(super) fn put_in(self, _: &mut Node) {}
}

/// A request that an embedder was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Who asks.
    pub from: NodeId,
    /// The incarnation that asks.
    pub incarnation: Incarnation,
    /// Its number of the request.
    pub number: u64,
    /// What it says.
    pub body: Bytes,
}

/// An input to a node.
#[derive(Debug, Clone, Copy)]
pub(super) enum Input<'a> {
    Datagram(SocketAddr, Lane, &'a [u8]),
    Stream(ConnId, &'a Arrived),
    Timeout,
    Stored(u64),
    StoreFailed,
}

/// A [`StreamInput`] that can wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Arrived {
    Accepted(SocketAddr),
    Connected,
    Refused,
    Failed,
    Bytes(Bytes),
    Written(usize),
    Closed,
}

impl Arrived {
    pub(super) fn input(&self) -> StreamInput<'_> {
        match self {
            Self::Accepted(from) => StreamInput::Accepted(*from),
            Self::Connected => StreamInput::Connected,
            Self::Refused => StreamInput::Refused,
            Self::Failed => StreamInput::Failed,
            Self::Bytes(bytes) => StreamInput::Bytes(bytes),
            Self::Written(n) => StreamInput::Written(*n),
            Self::Closed => StreamInput::Closed,
        }
    }
}

/// One run of one node.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) node: Node,
    twin: Option<(Node, Vec<u8>)>,
    /// The first difference between the node and its twin.
    pub(super) diverged: Option<String>,
    pub(super) run: u32,
    /// The streams by the names that the node knows, and where the world keeps them.
    pub(super) conns: BTreeMap<ConnId, u32>,
    accepted: u64,
    /// How often it was woken in the present second: a node that asks for a time that has passed spins.
    pub(super) wakes: u32,
    /// The second in which these are counted.
    pub(super) second: u64,
    /// It was asked to leave: soon it is gone.
    pub(super) leaving: bool,
    /// Before the last input it had told who is there, or had that to tell.
    pub(super) tells: bool,
    /// In tests of the world itself: what the node would have got, while it is kept out of it.
    #[cfg(test)]
    pub(super) instead: Option<Vec<(Time, String)>>,
}

impl Process {
    pub(super) fn new(config: Config, start: Start, now: Time, run: u32, with_twin: bool, plant: Plant) -> Self {
        let mut twin = with_twin.then(|| (Node::new(config.clone(), start.clone(), now), Vec::new()));
        let mut node = Node::new(config, start, now);
        plant.put_in(&mut node);
        if let Some((twin, _)) = &mut twin {
            plant.put_in(twin);
        }
        Self {
            node,
            twin,
            diverged: None,
            run,
            conns: BTreeMap::new(),
            accepted: 0,
            wakes: 0,
            second: 0,
            leaving: false,
            tells: false,
            #[cfg(test)]
            instead: None,
        }
    }

    /// True where the node is kept out of it.
    fn is_mute(&self) -> bool {
        #[cfg(test)]
        return self.instead.is_some();
        #[cfg(not(test))]
        false
    }

    /// A name for a stream that was accepted.
    pub(super) fn next_accepted(&mut self) -> ConnId {
        self.accepted += 1;
        ConnId(self.accepted * 2 - 1)
    }

    pub(super) fn handle(&mut self, now: Time, input: Input<'_>) {
        #[cfg(test)]
        if let Some(log) = &mut self.instead {
            log.push((now, format!("{input:?}")));
            return;
        }
        self.tells = self.node.tells_roll();
        give(&mut self.node, now, input);
        if let Some((twin, _)) = &mut self.twin {
            give(twin, now, input);
        }
    }

    pub(super) fn command(&mut self, now: Time, command: Command) -> Result<(), CommandError> {
        let twin = self.twin.as_mut().map(|(t, _)| t.handle_command(now, command.clone()));
        let result = self.node.handle_command(now, command);
        if let Some(twin) = twin {
            self.compare("command", &result, &twin);
        }
        result
    }

    pub(super) fn poll_transmit(&mut self, buf: &mut Vec<u8>) -> Option<Dest> {
        if self.is_mute() {
            return None;
        }
        let dest = self.node.poll_transmit(buf);
        if let Some((twin, twin_buf)) = &mut self.twin {
            let twin_dest = twin.poll_transmit(twin_buf);
            let same = dest == twin_dest && (dest.is_none() || buf == twin_buf);
            if !same && self.diverged.is_none() {
                self.diverged = Some(format!("transmit: {dest:?} {buf:02x?}, the twin {twin_dest:?} {twin_buf:02x?}"));
            }
        }
        dest
    }

    pub(super) fn poll_move(&mut self) -> bool {
        let moved = self.node.poll_move();
        if let Some(twin) = self.twin.as_mut().map(|(t, _)| t.poll_move()) {
            self.compare("move", &moved, &twin);
        }
        moved
    }

    pub(super) fn poll_stream(&mut self) -> Option<StreamOutput> {
        if self.is_mute() {
            return None;
        }
        let out = self.node.poll_stream();
        if let Some(twin) = self.twin.as_mut().map(|(t, _)| t.poll_stream()) {
            self.compare("stream", &out, &twin);
        }
        out
    }

    pub(super) fn poll_store(&mut self) -> Option<StoreWrite> {
        if self.is_mute() {
            return None;
        }
        let out = self.node.poll_store();
        if let Some(twin) = self.twin.as_mut().map(|(t, _)| t.poll_store()) {
            self.compare("store", &out, &twin);
        }
        out
    }

    pub(super) fn send(&mut self, now: Time, to: &NodeId, body: Bytes, stream: bool) -> Result<(), SendError> {
        let give = |node: &mut Node, body| {
            if stream { node.send(now, to, body) } else { node.send_datagram(now, to, body) }
        };
        let twin = self.twin.as_mut().map(|(t, _)| give(t, body.clone()));
        let result = give(&mut self.node, body);
        if let Some(twin) = twin {
            self.compare("send", &result, &twin);
        }
        result
    }

    pub(super) fn broadcast(&mut self, now: Time, body: Bytes) -> Result<u64, SendError> {
        let twin = self.twin.as_mut().map(|(t, _)| t.broadcast(now, body.clone()));
        let result = self.node.broadcast(now, body);
        if let Some(twin) = twin {
            self.compare("broadcast", &result, &twin);
        }
        result
    }

    pub(super) fn request(&mut self, now: Time, body: Bytes, again: bool) -> Result<u64, RequestError> {
        let twin = self.twin.as_mut().map(|(t, _)| t.request(now, body.clone(), again));
        let result = self.node.request(now, body, again);
        if let Some(twin) = twin {
            self.compare("request", &result, &twin);
        }
        result
    }

    /// Without an answer: it is forgotten.
    pub(super) fn answer(&mut self, now: Time, whose: &Asked, answer: Option<Bytes>) -> Result<(), AnswerError> {
        let (from, incarnation, number) = (&whose.from, whose.incarnation, whose.number);
        let say = |node: &mut Node| match &answer {
            Some(body) => node.answer(now, from, incarnation, number, body.clone()),
            None => node.forget(now, from, incarnation, number),
        };
        let twin = self.twin.as_mut().map(|(t, _)| say(t));
        let result = say(&mut self.node);
        if let Some(twin) = twin {
            self.compare("answer", &result, &twin);
        }
        result
    }

    /// `lazy`: messages stay where they are.
    pub(super) fn poll_event(&mut self, lazy: bool) -> Option<Event> {
        if self.is_mute() {
            return None;
        }
        let poll = |node: &mut Node| if lazy { node.poll_notice() } else { node.poll_event() };
        let out = poll(&mut self.node);
        if let Some(twin) = self.twin.as_mut().map(|(t, _)| poll(t)) {
            self.compare("event", &out, &twin);
        }
        out
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Time> {
        if self.is_mute() {
            return None;
        }
        let out = self.node.poll_timeout();
        if let Some(twin) = self.twin.as_mut().map(|(t, _)| t.poll_timeout()) {
            self.compare("timeout", &out, &twin);
        }
        out
    }

    fn compare<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, node: &T, twin: &T) {
        if node != twin && self.diverged.is_none() {
            self.diverged = Some(format!("{what}: {node:?}, the twin {twin:?}"));
        }
    }
}

fn give(node: &mut Node, now: Time, input: Input<'_>) {
    match input {
        Input::Datagram(from, lane, bytes) => node.handle_datagram(now, from, lane, bytes),
        Input::Stream(conn, arrived) => node.handle_stream(now, conn, arrived.input()),
        Input::Timeout => node.handle_timeout(now),
        Input::Stored(seq) => node.handle_stored(now, seq),
        Input::StoreFailed => node.handle_store_failed(now),
    }
}

/// What a question begins with that is to be answered; what else is asked never is.
pub(super) const ANSWER: &str = "answer";

/// What an embedder of a simulated node says to a question.
pub(super) fn reply(event: &Event) -> Option<Command> {
    let Event::Asked { from, incarnation, number, body, .. } = event else { return None };
    let (to, incarnation, number, body) = (from.clone(), *incarnation, *number, body.clone());
    body.starts_with(ANSWER.as_bytes()).then_some(Command::Reply { to, incarnation, number, body })
}
