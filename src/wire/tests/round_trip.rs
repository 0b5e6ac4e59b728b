//! What is written is read back, and what was read is written as it was.

use super::*;
use bytes::BytesMut;
use proptest::prelude::*;

fn record_bytes(record: &Record) -> Vec<u8> {
    let mut buf = BytesMut::new();
    encode_record(record, &mut buf);
    buf.to_vec()
}

#[test]
fn one_of_each_comes_back() {
    for datagram in sample::datagrams() {
        assert_eq!(decode(&encode(&datagram)), Ok(datagram));
    }
    for message in sample::messages() {
        assert_eq!(decode_stream(&encode_stream(&message)), Ok(vec![message]));
    }
    for record in sample::records() {
        assert_eq!(decode_record(&record_bytes(&record)), Ok(record));
    }
    for entry in sample::entries(1) {
        let mut buf = BytesMut::new();
        encode_entry(&entry, &mut buf);
        assert_eq!(decode_entry(&buf), Ok(entry));
    }
}

#[test]
fn the_short_ways_agree_with_the_meaning() {
    for datagram in sample::datagrams() {
        let bytes = encode(&datagram);
        let view = DatagramView::parse(&bytes, TAG).unwrap();
        let short = [
            view.as_beat().map(Datagram::Beat),
            view.as_heartbeat().map(Datagram::Heartbeat),
            view.as_ack().map(Datagram::Ack),
        ];
        let short: Vec<Datagram> = short.into_iter().flatten().collect();
        match view.kind() {
            1..=3 => assert_eq!(short, [datagram]),
            _ => assert_eq!(short, []),
        }
    }
}

#[test]
fn a_change_of_the_future_is_passed_on_byte_for_byte() {
    let mut bytes = vec![0; 16];
    bytes.extend([99, 1, 2, 3, 0xFF]);
    let entry = decode_entry(&bytes).unwrap();
    assert!(matches!(&entry.change, Change::Other { kind: 99, body } if body[..] == [1, 2, 3, 0xFF]));
    let mut again = BytesMut::new();
    encode_entry(&entry, &mut again);
    assert_eq!(again, bytes);
}

#[test]
fn digests_tell_apart() {
    let mut digests: Vec<u64> = sample::entries(1).iter().chain(&sample::entries(2)).map(entry_digest).collect();
    digests.push(image_digest(&sample::image()));
    digests.push(image_digest(&Image::default()));
    digests.extend([digest(b""), digest(b"\0"), digest(b"\0\0"), digest(&[0; 8]), digest(&[0; 16])]);
    let n = digests.len();
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), n);
    assert_eq!(digest(b"the same on every machine"), 10_150_132_407_911_451_884);
}

proptest! {
    #[test]
    fn datagrams(datagram in sample::any_datagram()) {
        let bytes = encode(&datagram);
        prop_assert!(bytes.len() <= MAX_DATAGRAM);
        prop_assert_eq!(decode(&bytes), Ok(datagram));
    }

    #[test]
    fn messages(message in sample::any_message()) {
        let bytes = encode_stream(&message);
        prop_assert!(bytes.len() <= 4 + MAX_FRAME);
        prop_assert_eq!(decode_stream(&bytes), Ok(vec![message]));
    }

    #[test]
    fn records(record in sample::any_record()) {
        prop_assert_eq!(decode_record(&record_bytes(&record)), Ok(record));
    }

    #[test]
    fn images(image in sample::any_image()) {
        prop_assert_eq!(decode_image(&encode_image(&image)), Ok(image));
    }

    #[test]
    fn entries_have_the_length_that_is_told(entry in sample::any_entry()) {
        let mut buf = BytesMut::new();
        encode_entry(&entry, &mut buf);
        prop_assert_eq!(entry_len(&entry), 3 + buf.len());
        prop_assert_eq!(decode_entry(&buf), Ok(entry));
    }
}
