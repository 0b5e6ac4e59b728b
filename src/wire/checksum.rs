//! The CRC-32 of frames, fast for the short ones too.

/// Below this length the tables are faster than crc32fast, which takes such short inputs byte by byte.
const SHORT: usize = 64;

/// `TABLES[n][b]` is the checksum's state after the byte `b` and `n` zero bytes.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0_u32; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut state = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            state = if state & 1 == 1 { (state >> 1) ^ 0xedb8_8320 } else { state >> 1 };
            bit += 1;
        }
        tables[0][byte] = state;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[zeros - 1][byte];
            tables[zeros][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

/// The CRC-32 (the one of Ethernet and zip) of these bytes.
#[inline]
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    if bytes.len() < SHORT { short(bytes) } else { crc32fast::hash(bytes) }
}

/// Eight bytes in a step. Instead of a shift through each bit, each byte is looked up in the table of its place.
#[inline]
fn short(mut bytes: &[u8]) -> u32 {
    let mut state = u32::MAX;
    while let Some((eight, rest)) = bytes.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*eight) ^ u64::from(state);
        let [a, b, c, d, e, f, g, h] = word.to_le_bytes().map(usize::from);
        state = TABLES[7][a]
            ^ TABLES[6][b]
            ^ TABLES[5][c]
            ^ TABLES[4][d]
            ^ TABLES[3][e]
            ^ TABLES[2][f]
            ^ TABLES[1][g]
            ^ TABLES[0][h];
        bytes = rest;
    }
    if let Some((four, rest)) = bytes.split_first_chunk::<4>() {
        let [a, b, c, d] = (u32::from_le_bytes(*four) ^ state).to_le_bytes().map(usize::from);
        state = TABLES[3][a] ^ TABLES[2][b] ^ TABLES[1][c] ^ TABLES[0][d];
        bytes = rest;
    }
    for byte in bytes {
        state = (state >> 8) ^ TABLES[0][usize::from(state as u8 ^ byte)];
    }
    !state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_crc_of_the_check_value() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn short_inputs_agree_with_crc32fast() {
        let bytes: Vec<u8> = (0..200_u32).map(|i| (i * 73 + (i >> 3)) as u8).collect();
        for from in 0..8 {
            for to in from..bytes.len() {
                let part = &bytes[from..to];
                assert_eq!(short(part), crc32fast::hash(part), "{} bytes", part.len());
                assert_eq!(crc32(part), crc32fast::hash(part));
            }
        }
    }
}
