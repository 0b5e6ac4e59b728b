#![no_main]

use convoke::wire::{Datagram, DatagramView, MAX_DATAGRAM, encode_datagram};
use convoke_fuzz::{TAG, put_right};
use libfuzzer_sys::fuzz_target;

fn check(bytes: &[u8]) {
    let Ok(view) = DatagramView::parse(bytes, TAG) else { return };
    let short = [
        view.as_beat().map(Datagram::Beat),
        view.as_heartbeat().map(Datagram::Heartbeat),
        view.as_ack().map(Datagram::Ack),
    ];
    let meaning = view.meaning();
    if let Some(short) = short.into_iter().flatten().next() {
        assert_eq!(meaning.as_ref(), Ok(&short));
    }
    let Ok(meaning) = meaning else { return };
    let mut again = Vec::new();
    encode_datagram(&meaning, TAG, &mut again);
    assert!(again.len() <= MAX_DATAGRAM);
    assert_eq!(DatagramView::parse(&again, TAG).and_then(|v| v.meaning()), Ok(meaning));
}

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    let mut frame = bytes.to_vec();
    // Seeks and joins are padded: short inputs stand for them.
    if matches!(frame.get(1), Some(4 | 6)) && frame.len() < MAX_DATAGRAM {
        frame.resize(MAX_DATAGRAM, 0);
    }
    if put_right(&mut frame) {
        check(&frame);
    }
});
