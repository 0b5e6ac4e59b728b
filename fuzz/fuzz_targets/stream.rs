#![no_main]

use bytes::BytesMut;
use convoke::wire::encode_message;
use convoke_fuzz::{TAG, put_right, read_stream};
use libfuzzer_sys::fuzz_target;

/// Puts each frame right whose length is believable.
fn put_all_right(mut stream: &mut [u8]) {
    while let Some((length, rest)) = stream.split_first_chunk_mut::<4>() {
        // Short lengths are the likely ones.
        length[0] = 0;
        length[1] &= 1;
        let len = (u32::from_be_bytes(*length) as usize).clamp(0, rest.len());
        *length = (len as u32).to_be_bytes();
        let (frame, behind) = rest.split_at_mut(len);
        if !put_right(frame) {
            return;
        }
        stream = behind;
    }
}

fn check(stream: &[u8], cuts: &[u8]) {
    let whole = read_stream(stream, || stream.len());
    let mut turn = cuts.iter().cycle();
    let cut = read_stream(stream, || turn.next().map_or(1, |n| usize::from(*n)));
    assert_eq!(cut, whole);
    for message in whole.0 {
        let mut again = BytesMut::new();
        encode_message(&message, TAG, &mut again);
        assert_eq!(read_stream(&again, || usize::MAX), (vec![message], 0, None));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((cuts, stream)) = bytes.split_first_chunk::<4>() else { return };
    check(stream, cuts);
    let mut stream = stream.to_vec();
    put_all_right(&mut stream);
    check(&stream, cuts);
});
