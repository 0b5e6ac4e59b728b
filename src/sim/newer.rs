//! A newer version of the same layout, as [`crate::wire`] allows it: longer fixed parts, fields and kinds of frames that
//! nobody knows yet. What a node of this version writes is rewritten on its way out, so that old and new run side by
//! side, as in a rolling upgrade.

use crate::wire::MAX_DATAGRAM;
use bytes::{BufMut as _, Bytes, BytesMut};

/// What a frame begins with, before its fixed part.
const HEADER: usize = 8;
const CHECKSUM: usize = 4;
/// What a fixed part is longer by, and what it holds there.
const SURPLUS: [u8; 4] = [0xa5; 4];
/// A field of a later version: its tag, its length, and something.
const FIELD: [u8; 8] = [250, 0, 5, 1, 2, 3, 4, 5];
/// Kinds of frames of a later version, on datagrams and on streams.
const KINDS: [u8; 2] = [60, 200];
/// Each so many frames there is one of them.
const ONE_IN: u64 = 16;

/// A datagram as a newer node writes it; as it is where there is no room for more.
pub(super) fn datagram(bytes: &mut Vec<u8>) {
    if let Some(frame) = frame(bytes) {
        *bytes = frame;
    }
}

/// A frame of a kind that nobody knows yet, after the n-th one of a node, where it is time for one.
pub(super) fn unknown(sent: u64, like: &[u8], stream: bool) -> Option<Vec<u8>> {
    let header = like.get(..HEADER).filter(|_| sent.is_multiple_of(ONE_IN))?;
    let mut frame = header.to_vec();
    (frame[1], frame[3]) = (KINDS[usize::from(stream)], 1);
    frame.extend_from_slice(&SURPLUS);
    frame.extend_from_slice(&FIELD);
    Some(closed(frame))
}

/// Frames on a stream, each with its length in front, as a newer node writes them.
pub(super) fn stream(bytes: &Bytes, sent: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(bytes.len() + 64);
    let mut rest = &bytes[..];
    let mut count = sent;
    while let Some((len, tail)) = rest.split_first_chunk::<4>() {
        let len = u32::from_be_bytes(*len) as usize;
        let Some((old, tail)) = tail.split_at_checked(len) else { break };
        let mut put = |frame: &[u8]| {
            out.put_u32(frame.len() as u32);
            out.put_slice(frame);
        };
        put(&grown(old).unwrap_or_else(|| old.to_vec()));
        if let Some(frame) = unknown(count, old, true) {
            put(&frame);
        }
        count += 1;
        rest = tail;
    }
    out.put_slice(rest);
    out.freeze()
}

/// The frame with what is new, as long as the old one where that was padded, and nothing where it doesn't fit.
fn frame(old: &[u8]) -> Option<Vec<u8>> {
    let more = SURPLUS.len() + FIELD.len();
    if old.len() + more <= MAX_DATAGRAM {
        return grown(old);
    }
    // A question is as large as its answer may be: what is new takes the place of padding.
    let end = old.len() - CHECKSUM;
    let padded = old.len() == MAX_DATAGRAM && old[end - more..end].iter().all(|b| *b == 0);
    let fields = field_end(old)?;
    (padded && fields + more < end).then(|| {
        let mut new = with_surplus(&old[..fields]);
        new.extend_from_slice(&FIELD);
        new.resize(end, 0);
        closed(new)
    })
}

fn grown(old: &[u8]) -> Option<Vec<u8>> {
    let fields = field_end(old)?;
    let end = old.len() - CHECKSUM;
    let mut new = with_surplus(&old[..fields]);
    new.extend_from_slice(&FIELD);
    new.extend_from_slice(&old[fields..end]);
    Some(closed(new))
}

/// Up to the end of the fields, with a longer fixed part.
fn with_surplus(old: &[u8]) -> Vec<u8> {
    let fixed = HEADER + usize::from(old[3]) * 4;
    let mut new = Vec::with_capacity(old.len() + 32);
    new.extend_from_slice(&old[..fixed]);
    new[3] += 1;
    new.extend_from_slice(&SURPLUS);
    new.extend_from_slice(&old[fixed..]);
    new
}

/// Where the fields end, and padding or the checksum begins.
fn field_end(frame: &[u8]) -> Option<usize> {
    let end = frame.len().checked_sub(CHECKSUM)?;
    let mut at = HEADER + usize::from(*frame.get(3)?) * 4;
    while at < end && frame[at] != 0 {
        let len = frame.get(at + 1..at + 3)?;
        at += 3 + usize::from(u16::from_be_bytes([len[0], len[1]]));
    }
    (at <= end).then_some(at)
}

fn closed(mut frame: Vec<u8>) -> Vec<u8> {
    let checksum = crc32fast::hash(&frame).to_be_bytes();
    frame.extend_from_slice(&checksum);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Generation, Identity, Lineage, Slot, Term};
    use crate::wire::{Beat, Datagram, DatagramView, Message, Resigned, encode_datagram, encode_message};

    #[test]
    fn a_newer_frame_means_the_same() {
        let beat = Datagram::Beat(Beat { slot: Slot(3), generation: Generation(1), lineage: 7, heard: 9 });
        let resigned = Resigned { lineage: Lineage(1), term: Term(2), identity: Identity(3) };
        for sample in [beat, Datagram::Resigned(resigned)] {
            let mut bytes = Vec::new();
            encode_datagram(&sample, 5, &mut bytes);
            let len = bytes.len();
            datagram(&mut bytes);
            assert_eq!(bytes.len(), len + 12);
            assert_eq!(DatagramView::parse(&bytes, 5).and_then(|v| v.meaning()), Ok(sample));
        }
    }

    #[test]
    fn what_is_cut_off_is_left_alone() {
        for len in 0..40 {
            let mut bytes = vec![0xC1; len];
            datagram(&mut bytes);
            let _ = stream(&Bytes::from(bytes), 1);
        }
        let mut buf = BytesMut::new();
        encode_message(&Message::Ping(4), 5, &mut buf);
        let whole = stream(&buf.freeze(), 16);
        let mut reader = crate::wire::FrameReader::default();
        reader.push(&whole);
        assert_eq!(reader.next(5), Ok(Some(Message::Ping(4))));
        assert_eq!(reader.next(5), Ok(None));
        assert_eq!(reader.skipped(), 1);
    }
}
