//! Bytes to frames and back.
//!
//! A frame is read in two steps: first it is checked ([`DatagramView::parse`]), then it is given its meaning
//! ([`DatagramView::meaning`]). Neither panics, and neither allocates by a length that was only claimed. What is dropped
//! says why ([`Reject`]).
//!
//! # The layout
//!
//! All numbers are big-endian. A datagram is one frame, of at most [`MAX_DATAGRAM`] bytes; on a stream each frame has
//! the length of what follows in front of it, 4 bytes, at most [`MAX_FRAME`].
//!
//! | bytes | of a frame |
//! | --- | --- |
//! | 0 | `0xC0` with the layout's [`VERSION`] in the lower half |
//! | 1 | kind |
//! | 2 | flags. Bit 0: *keyed*, closed by a tag of 16 bytes in place of the checksum; this version rejects such frames. The others are zero |
//! | 3 | length of the fixed part in words of 4 bytes |
//! | 4–7 | tag of the convention |
//! | 8– | the fixed part |
//! | | fields, to the end of the body |
//! | last 4 | CRC-32 of everything before it |
//!
//! A **field** is a tag (1 byte), a length (2 bytes) and that many bytes. The tag 0 ends the fields: what follows is
//! padding. A field whose content is called a *body* below begins with the length of its own fixed part in words
//! (1 byte); then come the fixed part and its fields.
//!
//! What a newer version may do, and this one reads: lengthen a fixed part (the surplus is skipped), use bytes that are
//! *spare* (written as zero, not looked at), add fields with new tags (skipped), add kinds of frames (counted and
//! dropped; a stream goes on after them) and of changes (kept and passed on unread). What it may not do without a new
//! version number: shorten or reorder anything. A fixed part shorter than stands here is malformed, and so are a field
//! twice that may stand once, a name that [`crate::types::NodeId`] refuses, and a number out of its bounds. Terms,
//! indexes and incarnations are at most 2^63 - 1, so that no sum with them overflows.
//!
//! ## Datagrams
//!
//! | kind | frame | fixed part: bytes of each number | fields | whole |
//! | --- | --- | --- | --- | --- |
//! | 1 | heartbeat | lineage 8, term 8, number 4, commit 8, leader's tag 4, line version 2, spare 2, broadcast's place 16 | | 64 |
//! | 2 | beat | slot 4, generation 2, heard 2, lineage 4 | | 24 |
//! | 3 | ack | lineage 8, term 8, number 4, identity 8 | | 40 |
//! | 4 | seek | nonce 8, lineage 8, term 8, attempt 2, spare 2 | *sender* | 1,200 |
//! | 5 | announce | nonce 8 | *sender*, *place* where the asker comes from another lineage and has one, *view* | ≤ 1,200 |
//! | 6 | join | nonce 8, lineage 8, heard 2, spare 2 | *member* | 1,200 |
//! | 7 | registered | nonce 8, incarnation 8, slot 4, generation 2, spare 2, revision 4 | *since* where anything was broadcast before, *view* | ≤ 1,200 |
//! | 8 | refused | nonce 8, lineage 8, incarnation 8, retry in ms 4, reason 1, spare 3 | | 44 |
//! | 9, 10 | probe, its reply | slot 4, generation 2, token 2, lineage 4 | | 24 |
//! | 11 | stranger | slot 4, generation 2, spare 2, lineage 4 | | 24 |
//! | 12, 13 | leave, gone | lineage 8, incarnation 8, slot 4, generation 2, spare 2 | | 36 |
//! | 14 | resigned | lineage 8, term 8, identity 8 | | 36 |
//! | 20 | claim | lineage 8, term 8, incarnation 8, number 4, slot 4, generation 2, flags 1 (1 given up), spare 1 | *name* | 128 |
//! | 21 | claim's reply | lineage 8, term 8, incarnation 8, number 4, answer 1, spare 3 | *id* of the owner, where taken | ≤ 110 |
//! | 22 | news | nonce 8, lineage 8, term 8, position before 16, commit 8 | *entry*, as many as fit | ≤ 1,200 |
//! | 23 | missed | nonce 8, lineage 8, position 16, slot 4, generation 2, spare 2 | | 1,200 |
//! | 24 | find | nonce 8, lineage 8 | *capabilities*, one pair | 1,200 |
//! | 25 | found | nonce 8, lineage 8, how many 4 | *id*, as many as fit | ≤ 1,200 |
//! | 30 | note | lineage 8, incarnation 8, the receiver's incarnation 8 | *id* of the sender, *data* up to [`MAX_NOTE`] | ≤ 1,130 |
//! | 31 | where is | nonce 8, lineage 8 | *id* | 320 |
//! | 32 | whereabouts | nonce 8, lineage 8, flags 1 (1 a leader says so), spare 3 | *id*, *sender* where it is on the roll | ≤ 320 |
//! | 33 | absorbed | lineage that ends 8, its term 8, place of the last broadcast there 16, generation 2, spare 2 | *runs*, *view* of the one that goes on | ≤ 1,200 |
//! | 50 | broadcast | nonce 8, lineage 8, term 8, place before 16, newest place 16 | *said*, as many as fit | ≤ 1,200 |
//! | 51 | unheard | nonce 8, lineage 8, place 16, slot 4, generation 2, spare 2, offset 4 | | 1,200 |
//!
//! A seek, a join, a missed, a find or an unheard that isn't padded to exactly 1,200 bytes is malformed, and so are a claim of less than
//! 128 and a *where is* of less than 320: no answer is larger than its question. Where
//! the line doesn't fit an announcement or a registration, seats are left out from its end; the leader's stays.
//! Reasons of a refusal: 1 superseded, 2 departed, 3 full, 4 busy. Answers to a claim: 1 yours, 2 released, 3 taken, 4 too
//! many.
//!
//! ## Streams
//!
//! | kind | frame | fixed part: bytes of each number | fields |
//! | --- | --- | --- | --- |
//! | 64 | hello | lineage 8, term 8 | *convention*, *lineages* where there are parents, *member* |
//! | 65 | propose | lineage 8, term 8, round 4 | *seat*, up to 15 |
//! | 66 | its reply | lineage 8, term 8, round 4, flags 1 (1 accepted, 2 durable), spare 3 | |
//! | 67 | release | lineage 8 | |
//! | 68 | canvass | lineage 8, term 8, position 16, line version 4, round 4 | |
//! | 69 | its reply | lineage 8, term 8, position 16, wait in µs 8, round 4, flags 1 (1 granted), spare 3 | |
//! | 70 | bid | lineage 8, term 8, position 16, blessed term 8, flags 1 (1 blessed), spare 3 | |
//! | 71 | its reply | lineage 8, term 8, promised 8, position 16, flags 1 (1 granted), spare 3 | |
//! | 72 | fetch | lineage 8, term 8, position 16 | |
//! | 73 | append | lineage 8, term 8, position before 16, commit 8, flags 1 (1 fetched), spare 3 | *entry*, up to [`MAX_ENTRIES`] |
//! | 74 | snapshot | lineage 8, term 8, position 16, offset 4, total 4, flags 1 (1 fetched), spare 3 | *data*, up to [`MAX_PIECE`] |
//! | 75 | append's reply | lineage 8, term 8, identity 8, index 8, flags 1 (1 matched), spare 3 | |
//! | 76 | overruled | lineage 8, term 8 | |
//! | 77 | resigned | lineage 8, term 8, identity 8 | |
//! | 78, 79 | probe for, its result | slot 4, generation 2, spare 2 | *address* |
//! | 80, 81 | ping, pong | number 8 | |
//! | 82 | snapshot's reply | lineage 8, term 8, position 16, offset 4 | |
//! | 83 | bless | lineage 8, term 8, identity 8, heir's identity 8 | |
//! | 84 | invite | lineage 8, term 8, round 4 | |
//! | 85 | its reply | lineage 8, term 8, round 4, flags 1 (1 able), spare 3 | |
//! | 90 | muster | lineage 8, term 8, position 16, flags 1 (1 sealed), spare 3 | *seat*, up to [`MAX_VOTERS`] (one id may stand more than once), *gone* |
//! | 91 | recover | lineage 8, parent 8, term 8 | *voters*, *gone* |
//! | 92 | its reply | lineage 8, term 8, seen 8, position 16, flags 1 (1 granted), spare 3 | |
//! | 93 | elsewhere | as a hello | as a hello |
//! | 94 | offer | lineage 8, term 8, candidates 4, number 4, flags 1 (1 the sender asks to be absorbed), spare 3 | |
//! | 95 | bequest | lineage 8, into 8, term 8, position 16, number 4, candidates 4, offset 4, total 4 | *data*, up to [`MAX_PIECE`] |
//! | 96 | its reply | lineage 8, into 8, number 4, offset 4, flags 1 (1 void), spare 3 | |
//! | 97 | ended | lineage 8, into 8, term 8, place of the last broadcast there 16, how far the roll was that was handed over 16, leader's tag 4, line version 4, number 4, slot 4, generation 2, spare 2 | *lineages* where there are parents, *seat*, up to 15 |
//! | 100 | follow | lineage 8, incarnation 8, position 16, slot 4, generation 2, spare 2 | *convention* |
//! | 101 | turned away | lineage 8 | |
//! | 120 | open | the sender's incarnation 8, the receiver's 8, base 8 | |
//! | 121 | resume | that incarnation 8, have 8, credit 8 | |
//! | 122 | data | number 8, offset 4, spare 4 | *data*, 1 byte to [`MAX_PIECE`] |
//! | 123 | taken | number 8, credit 8 | |
//! | 124 | declined | number 8, reason 1 (1 too large, 2 stalled), spare 3 | |
//! | 150 | call | number 8, lineage 8 | *id* of who is called |
//! | 151 | ring | number 8, lineage 8, credit 8 | *sender*: who calls |
//! | 152 | answered | number 8, credit 8, outcome 1, flags 1 (1 the relay says so), spare 2 | |
//! | 153 | carried | number 8, flags 1 (1 by the relay), spare 3 | *data*, 1 byte to [`MAX_PIECE`] |
//! | 154 | more | number 8, credit 8 | |
//! | 155 | hang up | number 8, flags 1 (1 the relay says so), spare 3 | |
//! | 156 | leads | | *view* |
//! | 157 | note | as the datagram | as the datagram |
//!
//! A position is a term and an index, a place one of a broadcast and how many there were with it. A data frame's *data* are
//! records: what it is for 4 bits (0 message, 1 request, 2 answer, 3 broadcast, 4 ask), length 28 bits, body; the first may
//! be the rest of one that began in the frame before, the last may go on in the next. Records are numbered from 1; numbers
//! may be left out.
//!
//! Outcomes of a call: 1 taken, 2 dialled back, 3 not here, 4 busy, 5 refused. An ask's record is a body: number 8, the
//! asker's incarnation 8, what it is 1 (1 question, 2 reply, 3 not mine, 4 busy), spare 3; *capabilities*, one pair, of a
//! question; padding of one byte; then what the embedder says.
//!
//! A record for broadcasts is a body: what 1 (1 say, 2 heard), spare 3, the sender's incarnation 8, number 8, and the number
//! before 8 or that which is refused 8; *data* in a say, up to [`MAX_BROADCAST`].
//!
//! | record | content |
//! | --- | --- |
//! | request | body: lineage 8, the sender's incarnation 8, number 8 (0: there is no request), below 8, flags 1 (1 may run twice), spare 3; no fields yet, a zero, then what it says, to the end |
//! | answer | body: lineage 8, the sender's incarnation 8, number 8, slot 4, generation 2, outcome 1 (0: offer it again), flags 1 (1 late: to the leader, about the request of the member in that slot); no fields yet, a zero, then what it says, to the end |
//!
//! Outcomes of a request: 1 answered; unknown, since 2 its giver is gone, 3 it was forgotten, 4 it was not given, 5 nothing is
//! kept of it. Those above are unknown for a reason that this version doesn't know.
//!
//! ## Fields
//!
//! | tag | field | content |
//! | --- | --- | --- |
//! | 1 | id | 1 to 63 bytes of UTF-8 |
//! | 2 | address | IPv4 (4) or IPv6 (16), then port 2; an IPv6 scope doesn't travel |
//! | 3 | capabilities | in the order of the keys: length of the key 1, key, length of the value 1, value |
//! | 4 | sender | body: incarnation 8, identity 8, priority 4, standing 1, flags 1 (1 durable, 16 outbound only), spare 2; *id*, 1 to 4 *addresses* |
//! | 5 | member | body: incarnation 8, identity 8, priority 4, standing 1, flags 1 (1 durable, 2 multicast, 4 its death can't be proven by refusal, 8 follows the roll, 16 outbound only), spare 2, revision 4; *id*, 1 to 4 *addresses*, *capabilities* where there are any |
//! | 6 | view | body: lineage 8, term 8, leader's tag 4, line version 4, flags 1 (1 there is a leader), spare 3; *lineages* where there are parents, *seat reference*, up to 15 |
//! | 7 | seat reference | body: incarnation 8, voter's tag 4, priority 4, flags 1 (2 voting), spare 3; *id*, *address* |
//! | 8 | seat | body: identity 8, incarnation 8, priority 4, admitted 4, slot 4, flags 1 (1 witness, 2 voting), spare 3; *id*, 1 to 4 *addresses* |
//! | 9 | convention | the full name, 1 to 63 bytes of UTF-8 |
//! | 10 | entry | index 8, term 8, kind of change 1, then the change |
//! | 11 | data | a piece of an image |
//! | 12 | slot | body: generation 2, spare 2; *member* where it is taken, *since* where anything was broadcast before |
//! | 13 | departed | body: incarnation 8; *id* |
//! | 16 | retired | body: no fixed part; *id* |
//! | 17 | ranked | body: priority 4; *id* |
//! | 20 | lineages | the parents of a lineage, the nearest first: 8 each, up to [`MAX_PARENTS`] |
//! | 23 | place | body: slot 4, generation 2, spare 2, revision 4 |
//! | 21, 22 | voters, gone | identities: 8 each, up to [`MAX_VOTERS`] |
//! | 25 | name | 1 to 63 bytes of UTF-8 |
//! | 26 | named | body: slot 4; *name* |
//! | 30 | opened | body: slot 4, generation 2, spare 2, below 8 (not 0); *numbers* where there are any |
//! | 31 | numbers | of requests: how far above *below*, 2 each, ascending, less than [`REQUEST_WINDOW`] |
//! | 32 | closed | body: slot 4, generation 2, outcome 1, spare 1, number 8; *data* up to [`MAX_ANSWER`] where it was answered |
//! | 33 | ledger | body: slot 4, below 8 |
//! | 34 | stage | of a request of the ledger before it. Body: number 8, its giver's slot 4 and generation 2 while it is begun, outcome 1 (0 begun), spare 1; *data* where it was answered |
//! | 35 | since | the place of the last broadcast before: 16 |
//! | 36 | said | body: place 16, the sender's incarnation 8, number 8, offset 4, total 4; *id*, *data* |
//! | 37 | speaker | body: slot 4, spare 4, number of its last broadcast 8 |
//! | 40 | loser | an id, as 1 |
//! | 41 | absorbed | body: lineage 8, term 8, place of the last broadcast before 16, how far its roll was 16, slot 4, generation 2, spare 2, count 4 |
//! | 42 | runs | slots in a row: the first of the old ones 4, how many 4, the first of the new ones 4, generation of the old ones 2; up to [`MAX_RUNS`] |
//!
//! Standing: 0 member, 1 candidate, 2 witness.
//!
//! ## The roll
//!
//! | change | content |
//! | --- | --- |
//! | 1 led | body: identity 8 |
//! | 2 joined | body: slot 4, generation 2, spare 2; *member* |
//! | 3 updated | body: slot 4, generation 2, spare 2, revision 4; *capabilities* |
//! | 4 left | body: slot 4, generation 2, reason 1 (1 left, 2 crashed, 3 silent, 4 replaced), spare 1 |
//! | 5 seated | the body of a *seat* |
//! | 6 unseated | body: identity 8, flags 1 (1 the place is kept), spare 3; *id* |
//! | 10 retired | body: no fixed part; *id* |
//! | 11 ranked | body: priority 4; *id* |
//! | 12 restood | body: slot 4, generation 2, standing 1, spare 1, revision 4, identity 8 |
//! | 20 claimed | body: slot 4, generation 2, spare 2; *name* |
//! | 21 released | body: slot 4, generation 2, spare 2; *name* |
//! | 40 said | body: slot 4, generation 2, spare 2, number 8; *data* up to [`MAX_BROADCAST`] |
//! | 50 | absorbed | the body of an *absorbed* |
//! | 51 | conflict | body: lineage 8; *name*, *id* of who has it, *loser* |
//! | others | kept as they are |
//!
//! An image is a body: lineage 8, position 16, line version 4; *lineages* where there are parents, *seat*, up to 15, then
//! *slot* for each slot from 0 on, then *departed*, *retired*, *ranked*, *named*, *absorbed*, *since* before the oldest broadcast
//! that is kept, *said*, each whole, *speaker*, and *ledger*, each with its *stages*. A store's record is its kind (1 byte) and its
//! content: 1 promise, a body (identity 8, incarnation 8, lineage 8, term 8, granted to 8, seen 8, flags 1 (1 granted,
//! 2 sealed), spare 3; *founder* and each *seat* of the founding that it is bound to, *lineages*: the one that it stepped down in); 2 an entry; 3 an image.

mod asking;
mod asking_codec;
mod broadcast;
mod broadcast_codec;
mod checksum;
mod circuit;
mod circuit_codec;
mod codec;
mod datagram;
mod datagram_codec;
mod frame;
mod merger;
mod merger_codec;
mod message;
mod message_codec;
mod parts;
mod reject;
mod request;
mod request_codec;
mod roll;
mod roll_codec;
mod stream;

pub use asking::*;
pub use asking_codec::{decode_answer, decode_request, encode_answer, encode_request};
pub use broadcast::*;
pub use broadcast_codec::{MAX_SAID_BYTES, decode_broadcast_record, encode_broadcast_record, said_len};
pub use circuit::*;
pub use circuit_codec::{ASK_COST, decode_ask, encode_ask};
pub use datagram::*;
pub use datagram_codec::{DatagramView, MAX_NOTE, encode_datagram};
pub use frame::{MAX_DATAGRAM, MAX_FRAME, MAX_PIECE, VERSION};
pub use merger::{Bequest, BequestReply, Ended, MAX_ABSORBED, MAX_RUNS, Merger, Offer, Run};
pub use message::*;
pub use message_codec::{DataWriter, MAX_ENTRIES, MAX_ENTRY_BYTES, encode_message};
pub use reject::Reject;
pub use request::{Claim, ClaimAnswer, ClaimReply, Find, Found, Missed, News};
pub use request_codec::MAX_NEWS_BYTES;
pub use roll::*;
pub use roll_codec::{
    decode_entry, decode_image, decode_record, digest, encode_entry, encode_image, encode_record, entry_digest,
    entry_len, image_digest, ledgers_digest,
};
pub use stream::FrameReader;

#[cfg(test)]
mod tests;
