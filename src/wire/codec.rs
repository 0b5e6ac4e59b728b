//! Reading and writing numbers, fixed parts and fields. The rules against panics and against allocation by a claimed
//! length hold here, once, for all frames.

use super::reject::Reject;
use bytes::BytesMut;

/// Ends the fields before the end of the body: what follows is padding.
pub(super) const PADDING: u8 = 0;

/// The largest term, index or incarnation that is read. Nobody counts so far; a number beyond it is an attempt to make
/// the next sum overflow.
pub(super) const MAX_COUNT: u64 = u64::MAX / 2;

/// Where bytes are written to.
pub(super) trait Sink {
    /// How many bytes there are.
    fn at(&self) -> usize;
    /// Writes bytes at the end.
    fn put(&mut self, bytes: &[u8]);
    /// Writes over what is at `at`.
    fn patch(&mut self, at: usize, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn at(&self) -> usize {
        self.len()
    }
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
    fn patch(&mut self, at: usize, bytes: &[u8]) {
        self[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

impl Sink for BytesMut {
    fn at(&self) -> usize {
        self.len()
    }
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
    fn patch(&mut self, at: usize, bytes: &[u8]) {
        self[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// Counts what would be written.
#[derive(Default)]
pub(super) struct Counter(pub(super) usize);

impl Sink for Counter {
    fn at(&self) -> usize {
        self.0
    }
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
    fn patch(&mut self, _: usize, _: &[u8]) {}
}

/// Writes a field: `content` writes what stands in it.
pub(super) fn put_field<S: Sink>(sink: &mut S, tag: u8, content: impl FnOnce(&mut S)) {
    sink.put(&[tag, 0, 0]);
    let start = sink.at();
    content(sink);
    let len = sink.at() - start;
    debug_assert!(len <= usize::from(u16::MAX), "field {tag} has {len} bytes");
    sink.patch(start - 2, &(len as u16).to_be_bytes());
}

/// The fixed part of a body while it is written: `N` bytes.
///
/// Its length is known in advance, so that the writer and the layout can't drift apart unseen.
pub(super) struct FixedOut<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> FixedOut<N> {
    /// Its length in 4-byte words.
    pub(super) const WORDS: u8 = {
        assert!(N.is_multiple_of(4) && N <= 1_020, "a fixed part is counted in 4-byte words, 255 at most");
        (N / 4) as u8
    };

    #[inline]
    pub(super) fn new() -> Self {
        Self { bytes: [0; N], at: 0 }
    }

    #[inline]
    fn array<const M: usize>(mut self, value: [u8; M]) -> Self {
        debug_assert!(self.at + M <= N, "the fixed part has {N} bytes");
        if let Some(place) = self.bytes.get_mut(self.at..self.at + M) {
            place.copy_from_slice(&value);
        }
        self.at += M;
        self
    }
    #[inline]
    pub(super) fn u8(self, v: u8) -> Self {
        self.array([v])
    }
    #[inline]
    pub(super) fn u16(self, v: u16) -> Self {
        self.array(v.to_be_bytes())
    }
    #[inline]
    pub(super) fn u32(self, v: u32) -> Self {
        self.array(v.to_be_bytes())
    }
    #[inline]
    pub(super) fn u64(self, v: u64) -> Self {
        self.array(v.to_be_bytes())
    }
    #[inline]
    pub(super) fn i32(self, v: i32) -> Self {
        self.array(v.to_be_bytes())
    }
    /// Bytes that this version leaves zero.
    #[inline]
    pub(super) fn spare(mut self, n: usize) -> Self {
        self.at += n;
        self
    }
    /// The bytes; all of them have been given.
    #[inline]
    pub(super) fn done(self) -> [u8; N] {
        debug_assert_eq!(self.at, N, "the fixed part has {N} bytes");
        self.bytes
    }
}

/// Writes a nested body: the length of its fixed part in words, then the fixed part. Its fields follow.
pub(super) fn put_body<S: Sink, const N: usize>(sink: &mut S, fixed: FixedOut<N>) {
    sink.put(&[FixedOut::<N>::WORDS]);
    sink.put(&fixed.done());
}

/// Takes numbers off the front of bytes.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Reject> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Reject::Malformed)?;
        self.0 = rest;
        Ok(*head)
    }
    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, Reject> {
        Ok(u8::from_be_bytes(self.array()?))
    }
    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16, Reject> {
        Ok(u16::from_be_bytes(self.array()?))
    }
    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, Reject> {
        Ok(u32::from_be_bytes(self.array()?))
    }
    #[inline]
    pub(super) fn u64(&mut self) -> Result<u64, Reject> {
        Ok(u64::from_be_bytes(self.array()?))
    }
    /// A number that grows by counting: at most [`MAX_COUNT`].
    #[inline]
    pub(super) fn count(&mut self) -> Result<u64, Reject> {
        let n = self.u64()?;
        if n <= MAX_COUNT { Ok(n) } else { Err(Reject::Malformed) }
    }
    #[inline]
    pub(super) fn i32(&mut self) -> Result<i32, Reject> {
        Ok(i32::from_be_bytes(self.array()?))
    }
    pub(super) fn bytes(&mut self, n: usize) -> Result<&'a [u8], Reject> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(Reject::Malformed)?;
        self.0 = rest;
        Ok(head)
    }
}

/// The fields of a body.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(Cursor<'a>);

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(Cursor(bytes))
    }

    /// The next field's tag and content; nothing at the end or where padding begins.
    pub(super) fn next(&mut self) -> Result<Option<(u8, &'a [u8])>, Reject> {
        match self.0.0.first() {
            None | Some(&PADDING) => Ok(None),
            Some(_) => {
                let tag = self.0.u8()?;
                let len = usize::from(self.0.u16()?);
                Ok(Some((tag, self.0.bytes(len)?)))
            }
        }
    }

    /// What follows the byte that ended the fields; nothing where they went on to the end.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.0.0.get(1..).unwrap_or_default()
    }
}

/// A body: a fixed part, which a newer version may have lengthened, and fields, of which it may have added some.
#[derive(Clone, Copy)]
pub(super) struct Body<'a> {
    fixed: &'a [u8],
    fields: &'a [u8],
}

impl<'a> Body<'a> {
    /// Splits bytes behind `words` words.
    #[inline]
    pub(super) fn split(bytes: &'a [u8], words: u8) -> Result<Self, Reject> {
        let (fixed, fields) = bytes.split_at_checked(usize::from(words) * 4).ok_or(Reject::Malformed)?;
        Ok(Self { fixed, fields })
    }

    /// A nested body, which begins with the length of its fixed part.
    pub(super) fn nested(bytes: &'a [u8]) -> Result<Self, Reject> {
        let (words, rest) = bytes.split_first().ok_or(Reject::Malformed)?;
        Self::split(rest, *words)
    }

    /// The fixed part, of which this version knows `N` bytes.
    #[inline]
    pub(super) fn fixed<const N: usize>(&self) -> Result<Cursor<'a>, Reject> {
        Ok(Cursor(self.fixed.first_chunk::<N>().ok_or(Reject::Malformed)?))
    }

    /// The fields.
    pub(super) fn fields(&self) -> Fields<'a> {
        Fields::new(self.fields)
    }
}

/// Takes a field that may stand only once.
pub(super) fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Reject> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Reject::Malformed),
    }
}

/// Adds to a list that may have `max` elements.
pub(super) fn push_bounded<T>(list: &mut Vec<T>, value: T, max: usize) -> Result<(), Reject> {
    if list.len() >= max {
        return Err(Reject::Malformed);
    }
    list.push(value);
    Ok(())
}

/// A field that has to be there.
pub(super) fn required<T>(value: Option<T>) -> Result<T, Reject> {
    value.ok_or(Reject::Malformed)
}
