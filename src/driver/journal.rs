//! The format of a store's file, and its reading.
//!
//! All numbers are big-endian. First the header:
//!
//! | bytes | |
//! | --- | --- |
//! | 8 | `convoke` and a newline |
//! | 2 | [`FORMAT`] |
//! | 1, 1 | how long the convention's name and the node's id are |
//! | | the convention's name, the node's id |
//! | 4 | CRC-32 of all that |
//!
//! Then a *unit* for each write, which was made durable before the next began:
//!
//! | bytes | |
//! | --- | --- |
//! | 4 | how long its content is |
//! | 4 | CRC-32 of its content |
//! | 4 | CRC-32 of these eight bytes |
//! | | content: records, each with its length (4) in front |
//!
//! Since only the last unit can be half written, a bad unit with a good one behind it is damage, never a crash. The head
//! has a checksum of its own, so that a damaged length isn't taken for the end of the file.

use super::store::StoreError;
use crate::proto::Restored;
use crate::types::{ConventionId, NodeId};
use crate::wire::{Record, decode_record, encode_record};
use bytes::{BufMut, BytesMut};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The version of the format.
const FORMAT: u16 = 1;
const MAGIC: &[u8; 8] = b"convoke\n";
/// What the header has besides the names.
const HEADER: usize = 8 + 2 + 2 + 4;
/// The head of a unit.
const HEAD: usize = 12;

/// A file's header.
pub(super) fn header(convention: &ConventionId, id: &NodeId) -> Vec<u8> {
    let (convention, id) = (convention.as_str().as_bytes(), id.as_str().as_bytes());
    let mut bytes = MAGIC.to_vec();
    bytes.extend(FORMAT.to_be_bytes());
    // Names have at most 63 bytes.
    bytes.extend([convention.len() as u8, id.len() as u8]);
    bytes.extend(convention);
    bytes.extend(id);
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

/// Records that take effect as a whole where they are appended to a file.
///
/// # Errors
/// The number of bytes, where a unit's length can't be written down.
pub(super) fn unit(records: &[Record]) -> Result<BytesMut, usize> {
    let mut buf = BytesMut::new();
    if !records.is_empty() {
        put_unit(&mut buf, records)?;
    }
    Ok(buf)
}

/// Records that begin a new file, which takes effect as a whole anyway: each is a unit, so that there may be many.
///
/// # Errors
/// As for [`unit`].
pub(super) fn units(records: &[Record]) -> Result<BytesMut, usize> {
    let mut buf = BytesMut::new();
    for record in records {
        put_unit(&mut buf, std::slice::from_ref(record))?;
    }
    Ok(buf)
}

fn put_unit(buf: &mut BytesMut, records: &[Record]) -> Result<(), usize> {
    let start = buf.len();
    buf.put_bytes(0, HEAD);
    for record in records {
        let at = buf.len();
        buf.put_u32(0);
        encode_record(record, buf);
        let len = buf.len() - at - 4;
        buf[at..at + 4].copy_from_slice(&u32::try_from(len).map_err(|_| len)?.to_be_bytes());
    }
    let len = buf.len() - start - HEAD;
    let head = head(u32::try_from(len).map_err(|_| len)?, crc32fast::hash(&buf[start + HEAD..]));
    buf[start..start + HEAD].copy_from_slice(&head);
    Ok(())
}

fn head(len: u32, check: u32) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&len.to_be_bytes());
    head[4..8].copy_from_slice(&check.to_be_bytes());
    let own = crc32fast::hash(&head[..8]);
    head[8..].copy_from_slice(&own.to_be_bytes());
    head
}

/// The length and the checksum of the content, where this is a unit's head.
fn read_head(bytes: &[u8; HEAD]) -> Option<(u32, u32)> {
    let [a, b, c, d, e, f, g, h, ..] = *bytes;
    let (len, check) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
    (len > 0 && head(len, check) == *bytes).then_some((len, check))
}

/// Reads a file from its beginning.
pub(super) struct Journal {
    path: PathBuf,
    file: BufReader<File>,
    /// How long the file is.
    len: u64,
    /// Where the next unit begins.
    offset: u64,
    convention: String,
    id: String,
}

impl Journal {
    /// Opens a file and reads its header.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let io_error = |e| StoreError::io(path, "read", e);
        let file = File::open(path).map_err(io_error)?;
        let len = file.metadata().map_err(io_error)?.len();
        let mut file = BufReader::new(file);
        let mut bytes = Vec::new();
        // As much as a header can have.
        let most = (HEADER + 2 * usize::from(u8::MAX)) as u64;
        file.by_ref().take(most).read_to_end(&mut bytes).map_err(io_error)?;
        let (convention, id) = read_header(path, &bytes)?;
        let offset = (HEADER + convention.len() + id.len()) as u64;
        file.seek(SeekFrom::Start(offset)).map_err(io_error)?;
        Ok(Self { path: path.into(), file, len, offset, convention, id })
    }

    /// Checks whose file it is.
    pub(super) fn belongs_to(&self, convention: &ConventionId, id: &NodeId) -> Result<(), StoreError> {
        let file = || self.path.clone();
        if self.convention != convention.as_str() {
            let (theirs, ours) = (self.convention.clone(), convention.as_str().into());
            return Err(StoreError::OtherConvention { file: file(), theirs, ours });
        }
        if self.id != id.as_str() {
            return Err(StoreError::OtherId { file: file(), theirs: self.id.clone(), ours: id.as_str().into() });
        }
        Ok(())
    }

    /// The next unit's content; nothing at the end.
    pub(super) fn next_unit(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let rest = self.len - self.offset;
        if rest == 0 {
            return Ok(None);
        }
        let torn = StoreError::Torn { file: self.path.clone(), offset: self.offset, bytes: rest };
        let damaged = StoreError::Damaged { file: self.path.clone(), offset: self.offset };
        if rest < HEAD as u64 {
            return Err(torn);
        }
        let mut bytes = [0; HEAD];
        self.file.read_exact(&mut bytes).map_err(|e| StoreError::io(&self.path, "read", e))?;
        let Some((len, check)) = read_head(&bytes) else {
            let follows =
                good_unit_behind(&self.path, self.offset).map_err(|e| StoreError::io(&self.path, "read", e))?;
            return Err(if follows { damaged } else { torn });
        };
        let end = HEAD as u64 + u64::from(len);
        if end > rest {
            return Err(torn);
        }
        // No more than the file holds.
        let mut content = vec![0; len as usize];
        self.file.read_exact(&mut content).map_err(|e| StoreError::io(&self.path, "read", e))?;
        if crc32fast::hash(&content) != check {
            return Err(if end == rest { torn } else { damaged });
        }
        self.offset += end;
        Ok(Some(content))
    }

    /// Replays all units; nothing where there are none.
    pub(super) fn replay(&mut self) -> Result<Option<Restored>, StoreError> {
        let mut restored = None::<Restored>;
        loop {
            let offset = self.offset;
            let Some(content) = self.next_unit()? else { return Ok(restored) };
            let state = restored.get_or_insert_default();
            let mut rest = &content[..];
            while !rest.is_empty() {
                let damaged = || StoreError::Damaged { file: self.path.clone(), offset };
                let (len, behind) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
                let (bytes, behind) = behind.split_at_checked(u32::from_be_bytes(*len) as usize).ok_or_else(damaged)?;
                let record = decode_record(bytes).map_err(|reject| StoreError::Unreadable {
                    file: self.path.clone(),
                    offset,
                    reject,
                })?;
                state.replay(record).map_err(|_| StoreError::Gap { file: self.path.clone(), offset })?;
                rest = behind;
            }
        }
    }
}

fn read_header(path: &Path, bytes: &[u8]) -> Result<(String, String), StoreError> {
    let file = || path.to_owned();
    let damaged = || StoreError::Damaged { file: file(), offset: 0 };
    let Some((magic, rest)) = bytes.split_first_chunk::<8>() else { return Err(damaged()) };
    if magic != MAGIC {
        return Err(StoreError::NotAStore { file: file() });
    }
    let Some((format, rest)) = rest.split_first_chunk::<2>() else { return Err(damaged()) };
    let format = u16::from_be_bytes(*format);
    if format != FORMAT {
        return Err(StoreError::OtherFormat { file: file(), theirs: format, ours: FORMAT });
    }
    let Some(([convention, id], rest)) = rest.split_first_chunk::<2>() else { return Err(damaged()) };
    let (convention, id) = (usize::from(*convention), usize::from(*id));
    let names = rest.get(..convention + id).ok_or_else(damaged)?;
    let check = rest.get(convention + id..).and_then(|r| r.first_chunk::<4>()).ok_or_else(damaged)?;
    if crc32fast::hash(&bytes[..HEADER - 4 + names.len()]) != u32::from_be_bytes(*check) {
        return Err(damaged());
    }
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| damaged());
    Ok((text(&names[..convention])?, text(&names[convention..])?))
}

/// True where a whole unit with right checksums begins anywhere behind `offset`.
fn good_unit_behind(path: &Path, offset: u64) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut window = Vec::new();
    let mut at = offset + 1;
    while at + (HEAD as u64) < len {
        file.seek(SeekFrom::Start(at))?;
        window.clear();
        file.by_ref().take(64 * 1_024).read_to_end(&mut window)?;
        for (start, bytes) in (at..).zip(window.windows(HEAD)) {
            let Some((unit, check)) = bytes.first_chunk().and_then(read_head) else { continue };
            let content = start + HEAD as u64;
            if content + u64::from(unit) <= len && checksum(&mut file, content, u64::from(unit))? == check {
                return Ok(true);
            }
        }
        // The last bytes of this window are the first of the next: a head may lie across.
        at += (window.len().saturating_sub(HEAD - 1)).max(1) as u64;
    }
    Ok(false)
}

/// The CRC-32 of a part of a file.
fn checksum(file: &mut File, from: u64, len: u64) -> io::Result<u32> {
    file.seek(SeekFrom::Start(from))?;
    let mut hasher = crc32fast::Hasher::new();
    let mut part = file.take(len);
    let mut buf = [0; 16 * 1_024];
    loop {
        match part.read(&mut buf)? {
            0 => return Ok(hasher.finalize()),
            n => hasher.update(&buf[..n]),
        }
    }
}
