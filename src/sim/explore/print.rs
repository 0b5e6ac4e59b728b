//! Fingerprints of states: 128 bits over what `Debug` says of them.

use std::fmt::{self, Write};

/// Two streams of 64 bits, multiplied and folded. Not against an enemy: among a million states two share a fingerprint
/// by chance once in 10^26 explorations.
#[derive(Debug, Clone)]
pub(super) struct Printer(u64, u64);

impl Printer {
    pub(super) fn new() -> Self {
        Self(0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F)
    }

    pub(super) fn number(&mut self, n: u64) {
        let fold = |a: u64, b: u64| {
            let wide = u128::from(a) * u128::from(b);
            (wide as u64) ^ (wide >> 64) as u64
        };
        self.0 = fold(self.0 ^ n, 0xA076_1D64_78BD_642F).wrapping_add(0x632B_E59B_D9B4_E019);
        self.1 = fold(self.1.rotate_left(23) ^ n, 0xE703_7ED1_A0B4_28DB).wrapping_add(n | 1);
    }

    pub(super) fn wide(&mut self, n: u128) {
        self.number(n as u64);
        self.number((n >> 64) as u64);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            let mut eight = [0; 8];
            eight.copy_from_slice(word);
            self.number(u64::from_le_bytes(eight));
        }
        let mut last = [0; 8];
        last[..words.remainder().len()].copy_from_slice(words.remainder());
        self.number(u64::from_le_bytes(last));
        self.number(bytes.len() as u64);
    }

    /// Takes a value by what `Debug` says of it, without allocating.
    pub(super) fn debug(&mut self, value: &impl fmt::Debug) {
        // Writing to the printer never fails.
        let _ = write!(self, "{value:?}");
    }

    pub(super) fn print(&self) -> u128 {
        u128::from(self.0) << 64 | u128::from(self.1)
    }
}

impl Write for Printer {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.bytes(s.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_sees_each_byte_and_the_order() {
        let print = |parts: &[&[u8]]| {
            let mut p = Printer::new();
            parts.iter().for_each(|part| p.bytes(part));
            p.print()
        };
        assert_eq!(print(&[b"abcdefghij"]), print(&[b"abcdefghij"]));
        assert_ne!(print(&[b"abcdefghij"]), print(&[b"abcdefghik"]));
        assert_ne!(print(&[b"a", b"b"]), print(&[b"b", b"a"]));
        assert_ne!(print(&[b"a\0"]), print(&[b"a"]));
    }
}
