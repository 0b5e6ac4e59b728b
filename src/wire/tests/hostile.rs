//! What isn't a frame is refused for the right reason, and nothing panics.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

#[test]
fn each_reason_has_its_check() {
    let good = encode(&sample::datagrams()[1]);
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        fix_checksum(&mut bytes);
        decode(&bytes)
    };
    assert_eq!(decode(b""), Err(Reject::Truncated));
    assert_eq!(decode(&good[..11]), Err(Reject::Truncated));
    assert_eq!(decode(&[0xC1; MAX_DATAGRAM + 1]), Err(Reject::Oversized));
    assert_eq!(with(0, 0xB1), Err(Reject::NotOurs));
    assert_eq!(with(0, 0xC2), Err(Reject::OtherVersion(2)));
    assert_eq!(with(1, 0), Err(Reject::UnknownKind(0)));
    assert_eq!(with(1, 99), Err(Reject::UnknownKind(99)));
    assert_eq!(with(2, 1), Err(Reject::Keyed));
    assert_eq!(with(3, 2), Err(Reject::Malformed), "a fixed part that is too short");
    assert_eq!(with(3, 200), Err(Reject::Malformed), "a fixed part beyond the end");
    assert_eq!(with(7, 0), Err(Reject::OtherConvention));
    let mut bytes = good.clone();
    bytes[12] ^= 1;
    assert_eq!(decode(&bytes), Err(Reject::Checksum));
}

/// Both with the frame's own last bytes as the checksum, and with a right one.
#[test]
fn every_truncation_is_an_error() {
    for datagram in sample::datagrams() {
        let whole = encode(&datagram);
        for n in 0..whole.len() {
            assert!(decode(&whole[..n]).is_err(), "{n} bytes of {datagram:?}");
        }
        // Short of padding and of whole fields at the end, even a fixed checksum doesn't help.
        let content = whole.len() - 4 - whole[..whole.len() - 4].iter().rev().take_while(|b| **b == 0).count();
        for n in 12..content.min(40) {
            let mut cut = whole[..n].to_vec();
            fix_checksum(&mut cut);
            let fixed = 8 + usize::from(whole[3]) * 4;
            if n < fixed + 4 {
                assert_eq!(decode(&cut), Err(Reject::Malformed), "{n} bytes of {datagram:?}");
            } else {
                let _ = decode(&cut);
            }
        }
    }
    for message in sample::messages() {
        let whole = encode_stream(&message);
        for n in 0..whole.len() {
            assert_eq!(decode_stream(&whole[..n]), Ok(vec![]), "{n} bytes of {message:?} are not enough");
        }
        for n in 12..whole.len() - 4 {
            let mut cut = (n as u32).to_be_bytes().to_vec();
            cut.extend(&whole[4..4 + n]);
            assert_eq!(decode_stream(&cut), Err(Reject::Checksum), "{n} bytes of {message:?}");
            fix_checksum(&mut cut[4..]);
            let _ = decode_stream(&cut);
        }
    }
    for record in sample::records() {
        let mut buf = bytes::BytesMut::new();
        encode_record(&record, &mut buf);
        for n in 0..buf.len() {
            // A cut between two fields may leave a shorter record; the journal's checksum tells that.
            assert_ne!(decode_record(&buf[..n]), Ok(record.clone()), "{n} bytes of {record:?}");
        }
    }
}

#[test]
fn every_flipped_bit_is_seen() {
    let one_of_each = sample::datagrams().iter().map(encode).collect::<Vec<_>>();
    for mut bytes in one_of_each {
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(decode(&bytes).is_ok());
    }
    for message in sample::messages() {
        let mut bytes = encode_stream(&message);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            // A longer length only waits for more bytes.
            assert!(!matches!(decode_stream(&bytes), Ok(m) if !m.is_empty()), "bit {bit} of {message:?}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

/// Each byte of each frame in turn takes some values, under a right checksum: whatever is read is also written again.
#[test]
fn changed_bytes_under_a_right_checksum_do_no_harm() {
    for datagram in sample::datagrams() {
        let good = encode(&datagram);
        for at in 0..good.len().min(400) {
            for value in [0, 1, 2, 63, 64, 127, 128, 255, good[at] ^ 1, good[at].wrapping_add(1)] {
                let mut bytes = good.clone();
                bytes[at] = value;
                fix_checksum(&mut bytes);
                if let Ok(meaning) = decode(&bytes) {
                    assert_eq!(decode(&encode(&meaning)), Ok(meaning));
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_do_not_panic(bytes in vec(any::<u8>(), 0..1_300)) {
        let _ = decode(&bytes);
        let _ = decode_stream(&bytes);
        let _ = decode_record(&bytes);
        let _ = decode_image(&bytes);
        let _ = decode_entry(&bytes);
    }

    #[test]
    fn random_bodies_do_not_panic(kind in 0..90_u8, words in 0..16_u8, mut bytes in vec(any::<u8>(), 12..1_200)) {
        bytes[..4].copy_from_slice(&[0xC1, kind, 0, words]);
        bytes[4..8].copy_from_slice(&TAG.to_be_bytes());
        fix_checksum(&mut bytes);
        if let Ok(meaning) = decode(&bytes) {
            prop_assert_eq!(decode(&encode(&meaning)), Ok(meaning));
        }
        let mut stream = (bytes.len() as u32).to_be_bytes().to_vec();
        stream.extend(&bytes);
        if let Ok(messages) = decode_stream(&stream) {
            for message in messages {
                prop_assert_eq!(decode_stream(&encode_stream(&message)), Ok(vec![message]));
            }
        }
    }

    #[test]
    fn changed_records_do_not_panic(
        record in sample::any_record(),
        changes in vec(any::<(u16, u8)>(), 1..4),
    ) {
        let mut buf = bytes::BytesMut::new();
        encode_record(&record, &mut buf);
        for (at, value) in changes {
            let at = usize::from(at) % buf.len();
            buf[at] = value;
        }
        if let Ok(read) = decode_record(&buf) {
            let mut again = bytes::BytesMut::new();
            encode_record(&read, &mut again);
            prop_assert_eq!(decode_record(&again), Ok(read));
        }
    }
}
