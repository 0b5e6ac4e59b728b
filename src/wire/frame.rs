//! The header and the checksum that all frames have, on datagrams and on streams.

use super::checksum::crc32;
use super::codec::{Body, FixedOut, Sink};
use super::reject::Reject;

/// The most bytes of a datagram's payload, checksum included: fits IPv6's least MTU.
pub const MAX_DATAGRAM: usize = 1_200;

/// The most bytes that may follow the length in front of a stream's frame: header, body, checksum.
pub const MAX_FRAME: usize = 128 * 1_024;

/// The most bytes of an image, or of records, that one frame may carry.
pub const MAX_PIECE: usize = 60 * 1_024;

/// The version of the layout that this crate writes and reads, 1 to 15.
pub const VERSION: u8 = 1;

/// The high half of the first byte of each frame.
pub(super) const MAGIC: u8 = 0xC0;
/// The bytes before the body.
pub(super) const HEADER: usize = 8;
/// The bytes after the body.
pub(super) const CHECKSUM: usize = 4;
/// The flag of a frame that is closed by a key's tag in place of the checksum.
pub(super) const KEYED: u8 = 1;

/// Writes the header and the fixed part.
#[inline]
pub(super) fn begin<S: Sink, const N: usize>(sink: &mut S, kind: u8, tag: u32, fixed: FixedOut<N>) {
    let [a, b, c, d] = tag.to_be_bytes();
    sink.put(&[MAGIC | VERSION, kind, 0, FixedOut::<N>::WORDS, a, b, c, d]);
    sink.put(&fixed.done());
}

/// The checksum of what was written of a frame, as it is appended.
#[inline]
pub(super) fn checksum(written: &[u8]) -> [u8; CHECKSUM] {
    crc32(written).to_be_bytes()
}

/// Checks all of a frame but its meaning: the kind and the body.
#[inline]
pub(super) fn open(bytes: &[u8], tag: u32) -> Result<(u8, Body<'_>), Reject> {
    if bytes.len() < HEADER + CHECKSUM {
        return Err(Reject::Truncated);
    }
    let (frame, check) = bytes.split_last_chunk::<CHECKSUM>().ok_or(Reject::Truncated)?;
    let (header, body) = frame.split_first_chunk::<HEADER>().ok_or(Reject::Truncated)?;
    let [first, kind, flags, words, a, b, c, d] = *header;
    if first & 0xF0 != MAGIC {
        return Err(Reject::NotOurs);
    }
    if first & 0x0F != VERSION {
        return Err(Reject::OtherVersion(first & 0x0F));
    }
    if flags & KEYED != 0 {
        return Err(Reject::Keyed);
    }
    if u32::from_be_bytes([a, b, c, d]) != tag {
        return Err(Reject::OtherConvention);
    }
    if crc32(frame) != u32::from_be_bytes(*check) {
        return Err(Reject::Checksum);
    }
    Ok((kind, Body::split(body, words)?))
}
