//! Keys: what aliases, how they sort.

use proptest::prelude::*;

use super::*;

fn key(tag: &[u8], parts: &[Vec<u8>], limit: usize) -> Bytes {
    let (last, first) = parts.split_last().expect("at least one part");
    first
        .iter()
        .fold(Builder::new(tag, 0), |key, part| key.part(part))
        .last(last)
        .within(limit)
}

fn part() -> impl Strategy<Value = Vec<u8>> {
    // Mostly the bytes that the encoding itself uses.
    prop::collection::vec(
        prop_oneof![
            Just(0),
            Just(1),
            Just(2),
            Just(0xff),
            Just(b'#'),
            Just(b'b'),
            any::<u8>()
        ],
        0..6,
    )
}

fn parts() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(part(), 1..4)
}

proptest! {
    #[test]
    fn keys_alias_only_if_their_parts_are_equal(a in parts(), b in parts(), limit in prop_oneof![Just(4_usize), Just(12), Just(2048)]) {
        prop_assert_eq!(key(b"U#", &a, limit) == key(b"U#", &b, limit), a == b);
    }

    #[test]
    fn keys_with_as_many_parts_sort_like_their_parts(a in prop::collection::vec(part(), 3), b in prop::collection::vec(part(), 3)) {
        prop_assert_eq!(key(b"", &a, 2048).cmp(&key(b"", &b, 2048)), a.cmp(&b));
    }

    #[test]
    fn no_key_passes_its_limit(domain in ".{0,600}", local in ".{0,600}") {
        prop_assert!(partition(b"U#", &domain, &local).len() <= MAX_PARTITION);
        prop_assert!(vcard_word(&domain, &local).len() <= MAX_SORT);
    }

    #[test]
    fn a_prefix_range_holds_just_what_begins_with_it(prefix in part(), key in part()) {
        let within = key >= prefix && prefix_end(&prefix).is_none_or(|end| key < end);
        prop_assert_eq!(within, key.starts_with(&prefix));
    }

    #[test]
    fn numbers_sort_as_numbers(a: u64, b: u64) {
        prop_assert_eq!(number(a).cmp(&number(b)), a.cmp(&b));
        prop_assert_eq!(read_number(&number(a)), Some(a));
    }
}

#[test]
fn no_name_is_the_beginning_of_another() {
    let of = |local: &str, domain: &str| partition(b"U#", domain, local);
    let all = [
        of("bob", "a.example"),
        of("bobby", "a.example"),
        of("bob", "a.exampl"),
        of("", "a.example"),
        of("", "a.examplebob"),
    ];
    for (i, a) in all.iter().enumerate() {
        for b in &all[i + 1..] {
            assert_ne!(a, b);
        }
    }
    assert_ne!(log_text("bob@a"), log_text("bobby@a"));
    assert_ne!(vcard_words("a", 1), vcard_words("a", 2));
}

fn log_text(archive: &str) -> Bytes {
    partition_of_one(b"A#", archive)
}

#[test]
fn hexadecimal() {
    assert_eq!(hex(&[0, 0x1f, 0xff]), "001fff");
}
