//! The CRC-32 of frames.

use crc32fast::Hasher;
use std::sync::LazyLock;

/// Made once: which instructions the processor has is asked at each making, and that costs a third of the checksum of
/// a heartbeat.
static HASHER: LazyLock<Hasher> = LazyLock::new(Hasher::new);

/// The CRC-32 (the one of Ethernet and zip) of these bytes.
#[inline]
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let mut hasher = HASHER.clone();
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_crc_of_the_check_value_each_time() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
