#![no_main]

use bytes::BytesMut;
use convoke::wire::{
    decode_broadcast_record, decode_entry, decode_image, decode_record, encode_broadcast_record, encode_entry,
    encode_image, encode_record, entry_len,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = decode_record(bytes) {
        let mut again = BytesMut::new();
        encode_record(&record, &mut again);
        assert_eq!(decode_record(&again), Ok(record));
    }
    if let Ok(record) = decode_broadcast_record(bytes) {
        assert_eq!(decode_broadcast_record(&encode_broadcast_record(&record)), Ok(record));
    }
    if let Ok(image) = decode_image(bytes) {
        assert_eq!(decode_image(&encode_image(&image)), Ok(image));
    }
    if let Ok(entry) = decode_entry(bytes) {
        let mut again = BytesMut::new();
        encode_entry(&entry, &mut again);
        assert_eq!(again.len() + 3, entry_len(&entry));
        assert_eq!(decode_entry(&again), Ok(entry));
    }
});
