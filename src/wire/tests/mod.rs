//! The codecs against themselves, against fixed bytes, and against what isn't a frame.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod asking;
mod broadcast;
mod future;
mod golden;
mod hostile;
mod limits;
mod round_trip;
mod sample;
mod stream;

use super::*;
use crate::types::*;

/// The tag of the convention of all these tests.
const TAG: u32 = 0xA1B2_C3D4;

fn encode(datagram: &Datagram) -> Vec<u8> {
    let mut buf = Vec::new();
    encode_datagram(datagram, TAG, &mut buf);
    buf
}

fn decode(bytes: &[u8]) -> Result<Datagram, Reject> {
    DatagramView::parse(bytes, TAG)?.meaning()
}

/// A message with its length in front.
fn encode_stream(message: &Message) -> Vec<u8> {
    let mut buf = bytes::BytesMut::new();
    encode_message(message, TAG, &mut buf);
    buf.to_vec()
}

/// All messages of whole frames, or the error.
fn decode_stream(bytes: &[u8]) -> Result<Vec<Message>, Reject> {
    let mut reader = FrameReader::new();
    reader.push(bytes);
    let mut messages = Vec::new();
    while let Some(message) = reader.next(TAG)? {
        messages.push(message);
    }
    Ok(messages)
}

/// Puts the right checksum in the place of the last four bytes of a frame.
fn fix_checksum(frame: &mut [u8]) {
    let end = frame.len() - 4;
    let check = crc32fast::hash(&frame[..end]).to_be_bytes();
    frame[end..].copy_from_slice(&check);
}

/// The bytes of a whole datagram with this kind, fixed part and fields, and the right checksum.
fn frame(kind: u8, fixed: &[u8], fields: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xC1, kind, 0, (fixed.len() / 4) as u8];
    bytes.extend(TAG.to_be_bytes());
    bytes.extend(fixed);
    bytes.extend(fields);
    bytes.extend([0; 4]);
    fix_checksum(&mut bytes);
    bytes
}
