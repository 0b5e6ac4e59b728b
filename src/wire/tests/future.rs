//! What a newer version may add is read by this one.

use super::*;

/// Puts an unknown field in at `at`.
fn with_field(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut longer = bytes[..at].to_vec();
    longer.extend([250, 0, 3, 1, 2, 3]);
    longer.extend(&bytes[at..]);
    longer
}

#[test]
fn longer_fixed_parts_and_unknown_fields_of_datagrams_are_skipped() {
    for datagram in sample::datagrams() {
        let bytes = encode(&datagram);
        let fields = 8 + usize::from(bytes[3]) * 4;
        let mut longer = bytes[..fields].to_vec();
        longer[3] += 2;
        longer.extend([0xEE; 8]);
        longer.extend(&bytes[fields..]);
        let mut longer = with_field(&longer, fields + 8);
        // Padding gives way, as it would with a newer sender.
        if bytes.len() == MAX_DATAGRAM {
            longer.truncate(MAX_DATAGRAM);
        }
        fix_checksum(&mut longer);
        assert_eq!(decode(&longer), Ok(datagram));
    }
}

#[test]
fn longer_fixed_parts_and_unknown_fields_of_messages_are_skipped() {
    for message in sample::messages() {
        let bytes = &encode_stream(&message)[4..];
        let fields = 8 + usize::from(bytes[3]) * 4;
        let mut longer = bytes[..fields].to_vec();
        longer[3] += 1;
        longer.extend([0xEE; 4]);
        longer.extend(&bytes[fields..]);
        let mut longer = with_field(&longer, fields + 4);
        fix_checksum(&mut longer);
        let mut stream = (longer.len() as u32).to_be_bytes().to_vec();
        stream.extend(longer);
        assert_eq!(decode_stream(&stream), Ok(vec![message]));
    }
}

#[test]
fn nested_bodies_grow_too() {
    let image = sample::image();
    let bytes = encode_image(&image);
    let fixed = 1 + usize::from(bytes[0]) * 4;
    let mut longer = bytes[..fixed].to_vec();
    longer[0] += 1;
    longer.extend([0xEE; 4]);
    longer.extend(&bytes[fixed..]);
    assert_eq!(decode_image(&with_field(&longer, fixed + 4)), Ok(image));

    // A beat's worth of a registration: the view's body with an unknown field at its end.
    let view = [
        &[7][..], // words
        &[0; 28],
        &[250, 0, 1, 9],
    ]
    .concat();
    let field = [&[6, 0, view.len() as u8][..], &view].concat();
    let read = decode(&frame(7, &[0; 28], &field));
    assert!(matches!(read, Ok(Datagram::Registered(r)) if r.view.line.is_empty()));
}

#[test]
fn reserved_flags_and_spare_bytes_are_not_looked_at() {
    let mut bytes = encode(&sample::datagrams()[0]);
    bytes[2] = 0x80;
    bytes[42] = 7;
    fix_checksum(&mut bytes);
    assert_eq!(decode(&bytes), Ok(sample::datagrams().remove(0)));
}
