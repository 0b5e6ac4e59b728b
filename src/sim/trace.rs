//! What happened: always as a hash, on demand as lines.

use super::process::Arrived;
use super::rng::mix;
use crate::proto::{Event, StoreWrite};
use crate::wire::{DatagramView, FrameReader, encode_record};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::fmt::{self, Write};

/// How much of a run is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Detail {
    /// Nothing: the fastest.
    #[default]
    Nothing,
    /// What a reader wants to know: faults, roles, leaders, the line, members that come and go.
    Story,
    /// Every datagram, every stream's bytes, every wake-up.
    Everything,
}

/// The record of a run.
#[derive(Debug, Default)]
pub(super) struct Trace {
    hash: u64,
    detail: Detail,
    lines: VecDeque<String>,
    keep: usize,
    scratch: BytesMut,
}

impl Trace {
    pub(super) fn new(detail: Detail, keep: usize) -> Self {
        Self { hash: 0, detail, lines: VecDeque::new(), keep, scratch: BytesMut::new() }
    }

    pub(super) fn hash(&self) -> u64 {
        mix(self.hash)
    }

    pub(super) fn set_detail(&mut self, detail: Detail) {
        self.detail = detail;
    }

    pub(super) fn tells(&self, detail: Detail) -> bool {
        self.detail >= detail
    }

    /// Takes a number into the hash.
    pub(super) fn number(&mut self, n: u64) {
        self.hash = (self.hash.rotate_left(5) ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    /// Takes bytes into the hash.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.number(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.number(u64::from_le_bytes(last));
        self.number(bytes.len() as u64);
    }

    /// Takes an event into the hash. Bodies as they are: written out by `Debug` they took half of a run's time.
    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::Message { from, incarnation, body, lane, .. } => {
                self.bytes(from.as_str().as_bytes());
                self.number(incarnation.0);
                self.bytes(body);
                self.debug(lane);
            }
            Event::Undeliverable { to, body, reason, lane, uncertain, .. } => {
                self.bytes(to.as_str().as_bytes());
                self.bytes(body);
                self.debug(&(reason, lane, uncertain));
            }
            other => self.debug(other),
        }
    }

    /// Takes a write of a store into the hash, by the bytes that a store would keep.
    pub(super) fn write(&mut self, write: &StoreWrite) {
        self.number(write.seq);
        self.number(u64::from(write.replace));
        let mut scratch = std::mem::take(&mut self.scratch);
        for record in &write.records {
            scratch.clear();
            encode_record(record, &mut scratch);
            self.bytes(&scratch);
        }
        self.scratch = scratch;
    }

    /// Takes a value into the hash by what `Debug` says of it, without allocating.
    pub(super) fn debug(&mut self, value: &impl fmt::Debug) {
        struct Sink<'a>(&'a mut Trace);
        impl Write for Sink<'_> {
            fn write_str(&mut self, s: &str) -> fmt::Result {
                self.0.bytes(s.as_bytes());
                Ok(())
            }
        }
        // Writing to the sink never fails.
        let _ = write!(Sink(self), "{value:?}");
    }

    /// Writes a line down, where this much detail is wanted.
    pub(super) fn line(&mut self, detail: Detail, now: u64, who: &str, what: fmt::Arguments<'_>) {
        if self.detail < detail {
            return;
        }
        if self.lines.len() >= self.keep.max(1) {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{:>5}.{:06}  {who:<8} {what}", now / 1_000_000, now % 1_000_000));
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    pub(super) fn take_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines).into()
    }
}

/// What a datagram says, for a line of the trace.
pub(super) struct Meaning<'a>(pub(super) &'a [u8], pub(super) u32);

impl fmt::Display for Meaning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DatagramView::parse(self.0, self.1).and_then(|view| view.meaning()) {
            Ok(datagram) => write!(f, "{datagram:?}"),
            Err(why) => write!(f, "{} bytes ({why:?})", self.0.len()),
        }
    }
}

/// What arrived on a stream, for a line of the trace: the frames, where the bytes are whole frames.
pub(super) struct Frames<'a>(pub(super) &'a Arrived, pub(super) u32);

impl fmt::Display for Frames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Arrived::Bytes(bytes) = self.0 else { return write!(f, "{:?}", self.0) };
        let mut reader = FrameReader::new();
        reader.push(bytes);
        write!(f, "{} bytes", bytes.len())?;
        while let Ok(Some(message)) = reader.next(self.1) {
            write!(f, ", {message:?}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_sees_each_byte_and_the_order() {
        let hash = |parts: &[&[u8]]| {
            let mut t = Trace::default();
            parts.iter().for_each(|p| t.bytes(p));
            t.hash()
        };
        assert_eq!(hash(&[b"abcdefghij"]), hash(&[b"abcdefghij"]));
        assert_ne!(hash(&[b"abcdefghij"]), hash(&[b"abcdefghik"]));
        assert_ne!(hash(&[b"a", b"b"]), hash(&[b"b", b"a"]));
        assert_ne!(hash(&[b"a\0"]), hash(&[b"a"]));
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let mut t = Trace::new(Detail::Story, 2);
        for i in 0..5 {
            t.line(Detail::Story, i * 1_500_000, "a", format_args!("line {i}"));
            t.line(Detail::Everything, 0, "a", format_args!("too much"));
        }
        assert_eq!(t.take_lines(), ["    4.500000  a        line 3", "    6.000000  a        line 4"]);
    }
}
