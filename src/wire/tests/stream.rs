//! The frame reader: cuts, bounds, errors.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// What comes out where the bytes come in by these cuts.
fn in_cuts(bytes: &[u8], cuts: &[usize]) -> (Vec<Message>, u64, Option<Reject>) {
    let mut reader = FrameReader::new();
    let mut messages = Vec::new();
    let mut rest = bytes;
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let at = cuts.next().map_or(rest.len(), |n| (*n).clamp(1, rest.len()));
        reader.push(&rest[..at]);
        assert!(reader.buffered() <= 4 + MAX_FRAME + at);
        rest = &rest[at..];
        loop {
            match reader.next(TAG) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(reject) => {
                    assert_eq!(reader.next(TAG), Err(reject), "the error stays");
                    reader.push(&[0; 1_000]);
                    assert_eq!((reader.next(TAG), reader.buffered()), (Err(reject), 0));
                    return (messages, reader.skipped(), Some(reject));
                }
            }
        }
    }
    (messages, reader.skipped(), None)
}

#[test]
fn all_kinds_one_byte_at_a_time() {
    let messages = sample::messages();
    let bytes: Vec<u8> = messages.iter().flat_map(encode_stream).collect();
    assert_eq!(in_cuts(&bytes, &[1]), (messages, 0, None));
}

#[test]
fn a_long_claim_is_refused_at_once() {
    let mut reader = FrameReader::new();
    reader.push(&(MAX_FRAME as u32 + 1).to_be_bytes());
    assert_eq!(reader.next(TAG), Err(Reject::Oversized));
    let mut reader = FrameReader::new();
    reader.push(&u32::MAX.to_be_bytes());
    assert_eq!(reader.next(TAG), Err(Reject::Oversized));
    let mut reader = FrameReader::new();
    reader.push(&11_u32.to_be_bytes());
    assert_eq!(reader.next(TAG), Err(Reject::Truncated));
}

#[test]
fn unknown_kinds_are_skipped_and_counted() {
    let unknown = frame(255, &[0; 8], b"");
    let mut bytes = (unknown.len() as u32).to_be_bytes().to_vec();
    bytes.extend(&unknown);
    bytes.extend(encode_stream(&Message::Ping(1)));
    assert_eq!(in_cuts(&bytes, &[bytes.len()]), (vec![Message::Ping(1)], 1, None));
    assert_eq!(in_cuts(&bytes, &[3]), (vec![Message::Ping(1)], 1, None));
}

#[test]
fn a_datagram_is_no_message_and_a_message_no_datagram() {
    let beat = encode(&sample::datagrams()[1]);
    let mut bytes = (beat.len() as u32).to_be_bytes().to_vec();
    bytes.extend(&beat);
    assert_eq!(in_cuts(&bytes, &[]), (vec![], 1, None));
    assert_eq!(decode(&encode_stream(&Message::Ping(1))[4..]), Err(Reject::UnknownKind(80)));
}

#[test]
fn another_convention_ends_the_stream() {
    let mut buf = bytes::BytesMut::new();
    encode_message(&Message::Ping(1), TAG + 1, &mut buf);
    assert_eq!(in_cuts(&buf, &[]), (vec![], 0, Some(Reject::OtherConvention)));
}

proptest! {
    #[test]
    fn cuts_make_no_difference(
        messages in vec(sample::any_message(), 0..6),
        cuts in vec(1..200_usize, 1..40),
        damage in proptest::option::of(any::<(u16, u8)>()),
    ) {
        let mut bytes: Vec<u8> = messages.iter().flat_map(encode_stream).collect();
        if let (Some((at, value)), false) = (damage, bytes.is_empty()) {
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
        }
        let whole = in_cuts(&bytes, &[bytes.len().max(1)]);
        prop_assert_eq!(in_cuts(&bytes, &cuts), whole.clone());
        if damage.is_none() {
            prop_assert_eq!(whole, (messages, 0, None));
        }
    }
}
