//! What a node of an earlier version says, and what it understands: the bytes of frames, kept as they were.
//!
//! Why here: during an upgrade old and new nodes are one cluster, so each must read what the other writes. Fields are added at
//! the end and may be absent; a new variant is sent only to who knows it. Bytes stay as they are until no node says them any
//! more; what is new gets bytes of its own. The tests are beside what they are about.

use minicbor::{Decode, Encode};

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn read<T: for<'b> Decode<'b, ()>>(bytes: &[u8]) -> T {
    minicbor::decode(bytes).unwrap_or_else(|error| panic!("{bytes:02x?} is not read: {error}"))
}

/// How many an array of less than two dozen holds, and what.
fn held(array: &[u8]) -> (usize, &[u8]) {
    assert!((0x80..0x97).contains(&array[0]), "{:02x}", array[0]);
    (usize::from(array[0] - 0x80), &array[1..])
}

/// Bytes that a node of an earlier version wrote are read; what is written now begins with the same, so that it reads it; and
/// what a later version adds at the end is passed over.
#[track_caller]
pub(crate) fn check<T: Encode<()> + for<'b> Decode<'b, ()>>(hex: &str) {
    check_at::<T>(hex, 0);
}

/// The same for a variant of an enum: an array of its number and of its fields.
#[track_caller]
pub(crate) fn check_variant<T: Encode<()> + for<'b> Decode<'b, ()>>(hex: &str) {
    assert!(hex.starts_with("82"), "{hex}");
    check_at::<T>(hex, 2);
}

fn check_at<T: Encode<()> + for<'b> Decode<'b, ()>>(hex: &str, fields: usize) {
    check_same::<T>(&bytes(hex), fields);
    // One more field: text.
    let mut later = bytes(hex);
    later[fields] += 1;
    later.extend(b"\x63new");
    let passed_over = minicbor::to_vec(read::<T>(&later)).unwrap();
    let known = minicbor::to_vec(read::<T>(&bytes(hex))).unwrap();
    assert_eq!(passed_over, known, "a field too many");
}

/// Bytes that lack fields at the end, which may be absent, are read.
#[track_caller]
pub(crate) fn check_short<T: Encode<()> + for<'b> Decode<'b, ()>>(hex: &str) {
    read::<T>(&bytes(hex));
}

fn check_same<T: Encode<()> + for<'b> Decode<'b, ()>>(old: &[u8], fields: usize) {
    let new = minicbor::to_vec(read::<T>(old)).unwrap();
    assert_eq!(old[..fields], new[..fields]);
    let ((before, fields_before), (now, fields_now)) = (held(&old[fields..]), held(&new[fields..]));
    assert!(now >= before, "fields were taken away: {new:02x?}");
    assert!(
        fields_now.starts_with(fields_before),
        "another form than {old:02x?}: {new:02x?}"
    );
}
