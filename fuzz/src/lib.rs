//! What the targets share.

use convoke::wire::{FrameReader, Message, Reject};

/// The sessions of the crate's own tests.
#[path = "../../tests/hostile/session.rs"]
pub mod session;

/// The tag of the convention that all frames have here.
pub const TAG: u32 = 0x0102_0304;

/// Puts the version, the tag and the checksum of a frame right. False where it is too short for them.
pub fn put_right(frame: &mut [u8]) -> bool {
    let Some(end) = frame.len().checked_sub(4).filter(|end| *end >= 8) else { return false };
    frame[0] = 0xC1;
    frame[2] &= !1;
    frame[4..8].copy_from_slice(&TAG.to_be_bytes());
    let check = crc32fast::hash(&frame[..end]).to_be_bytes();
    frame[end..].copy_from_slice(&check);
    true
}

/// What comes out of a stream that comes in by these cuts, and by which error it ended.
pub fn read_stream(bytes: &[u8], mut cut: impl FnMut() -> usize) -> (Vec<Message>, u64, Option<Reject>) {
    let (mut reader, mut messages, mut rest) = (FrameReader::new(), Vec::new(), bytes);
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(cut().clamp(1, rest.len()));
        rest = behind;
        reader.push(piece);
        loop {
            match reader.next(TAG) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(reject) => return (messages, reader.skipped(), Some(reject)),
            }
        }
        assert!(reader.buffered() <= 4 + convoke::wire::MAX_FRAME, "no more than a frame is kept");
    }
    (messages, reader.skipped(), None)
}
