//! Frames out of a stream's bytes.

use super::frame::{CHECKSUM, HEADER, MAX_FRAME};
use super::message::Message;
use super::message_codec::decode_message;
use super::reject::Reject;
use bytes::{Buf, BytesMut};

/// The bytes in front of a frame: the length of what follows.
const LENGTH: usize = 4;

/// Cuts one connection's bytes into frames. However the bytes are cut when they come in, the same frames come out.
///
/// It keeps at most one unfinished frame and what was pushed since the last [`FrameReader::next`]. After the first
/// error the stream can't be followed any more: all bytes are dropped and the error stays.
///
/// ```
/// use bytes::BytesMut;
/// use convoke::wire::{FrameReader, Message, encode_message};
/// let (mut reader, mut buf) = (FrameReader::new(), BytesMut::new());
/// encode_message(&Message::Ping(7), 1, &mut buf);
/// reader.push(&buf[..9]);
/// assert_eq!(reader.next(1), Ok(None));
/// reader.push(&buf[9..]);
/// assert_eq!(reader.next(1), Ok(Some(Message::Ping(7))));
/// ```
#[derive(Debug, Clone, Default)]
pub struct FrameReader {
    buf: BytesMut,
    skipped: u64,
    failed: Option<Reject>,
}

impl FrameReader {
    /// A reader that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes that came in. Call [`FrameReader::next`] afterwards until it has nothing more.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.buf.extend_from_slice(bytes);
        }
    }

    /// The next message; nothing where the bytes end before the end of a frame. Frames of kinds that this version
    /// doesn't know are skipped and counted.
    ///
    /// # Errors
    /// [`Reject`], from the first bad frame on, for ever: the connection is to be cut.
    pub fn next(&mut self, tag: u32) -> Result<Option<Message>, Reject> {
        if let Some(reject) = self.failed {
            return Err(reject);
        }
        self.advance(tag).inspect_err(|reject| {
            self.failed = Some(*reject);
            self.buf = BytesMut::new();
        })
    }

    fn advance(&mut self, tag: u32) -> Result<Option<Message>, Reject> {
        // Each turn takes a whole frame out of the buffer, so the loop ends with it.
        while let Some(length) = self.buf.first_chunk::<LENGTH>() {
            let len = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Reject::Oversized)?;
            if len > MAX_FRAME {
                return Err(Reject::Oversized);
            }
            if len < HEADER + CHECKSUM {
                return Err(Reject::Truncated);
            }
            if self.buf.len() < LENGTH + len {
                return Ok(None);
            }
            self.buf.advance(LENGTH);
            let frame = self.buf.split_to(len).freeze();
            match decode_message(&frame, tag) {
                Ok(message) => return Ok(Some(message)),
                Err(Reject::UnknownKind(_)) => self.skipped += 1,
                Err(reject) => return Err(reject),
            }
        }
        if self.buf.is_empty() {
            // Most connections are idle most of the time: they shall hold no memory meanwhile.
            self.buf = BytesMut::new();
        }
        Ok(None)
    }

    /// How many frames of unknown kinds were skipped.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// How many bytes wait for the rest of their frame.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buf.len()
    }
}
