//! The core's front: a stub of the border.

use super::{
    Command, CommandError, Config, Dest, Event, Lane, LeaderView, Role, Start, Stats, StoreWrite, StreamInput,
    StreamOutput,
};
use crate::types::{ConnId, Identity, Incarnation, Index, Line, Lineage, MemberInfo, Position, Slot, Term, Time};
use std::net::SocketAddr;

/// One node of a convention.
#[derive(Debug)]
pub struct Node {
    config: Config,
    line: Line,
}

#[allow(missing_docs, unused_variables)]
impl Node {
    pub fn new(config: Config, start: Start, now: Time) -> Self {
        Self { config, line: Line::default() }
    }
    pub fn handle_datagram(&mut self, now: Time, from: SocketAddr, lane: Lane, bytes: &[u8]) {}
    pub fn handle_stream(&mut self, now: Time, conn: ConnId, input: StreamInput<'_>) {}
    pub fn handle_timeout(&mut self, now: Time) {}
    pub fn handle_stored(&mut self, now: Time, seq: u64) {}
    pub fn handle_store_failed(&mut self, now: Time) {}
    pub fn handle_command(&mut self, now: Time, command: Command) -> Result<(), CommandError> {
        Ok(())
    }
    /// Clears `buf` and writes the datagram into it.
    pub fn poll_transmit(&mut self, buf: &mut Vec<u8>) -> Option<Dest> {
        None
    }
    pub fn poll_stream(&mut self) -> Option<StreamOutput> {
        None
    }
    pub fn poll_store(&mut self) -> Option<StoreWrite> {
        None
    }
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    pub fn config(&self) -> &Config {
        &self.config
    }
    pub fn role(&self) -> Role {
        Role::Seeking
    }
    pub fn incarnation(&self) -> Incarnation {
        Incarnation(0)
    }
    pub fn identity(&self) -> Identity {
        Identity(0)
    }
    pub fn lineage(&self) -> Lineage {
        Lineage(0)
    }
    /// The highest term that this node has reported or adopted.
    pub fn term(&self) -> Term {
        Term(0)
    }
    pub fn leader(&self) -> Option<LeaderView> {
        None
    }
    /// Until when this node, as a leader, holds a lease that a majority acknowledged.
    pub fn lease_until(&self) -> Option<Time> {
        None
    }
    /// The committed line.
    pub fn line(&self) -> &Line {
        &self.line
    }
    /// The committed members. (Candidates and witnesses only.)
    pub fn members(&self) -> impl Iterator<Item = (Slot, &MemberInfo)> {
        std::iter::empty()
    }
    pub fn commit_index(&self) -> Index {
        Index(0)
    }
    /// The last entry of its roll, committed or not.
    pub fn position(&self) -> Position {
        Position::default()
    }
    /// The term and a digest of the change of a committed entry that is still in the log (not yet in the snapshot).
    pub fn entry_digest(&self, index: Index) -> Option<(Term, u64)> {
        None
    }
    /// A digest of the committed roll (line, members, generations).
    pub fn roll_digest(&self) -> u64 {
        0
    }
    /// This node's own registration, where it is committed.
    pub fn registration(&self) -> Option<(Slot, crate::types::Generation)> {
        None
    }
    pub fn stats(&self) -> &Stats {
        unimplemented!()
    }
}
