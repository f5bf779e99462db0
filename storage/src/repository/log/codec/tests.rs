//! Log items: what comes back, what is refused.

use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;

fn entry() -> impl Strategy<Value = NewEntry> {
    let peer = prop_oneof![
        Just("a.example"),
        Just("bob@example.org"),
        Just("bob@example.org/phone")
    ];
    let time = prop_oneof![any::<u64>(), 1_700_000_000_000_u64..1_700_000_100_000];
    (
        time,
        any::<u16>(),
        peer,
        prop::collection::vec(any::<u8>(), 0..300),
    )
        .prop_map(|(time_ms, flags, peer, stanza)| NewEntry {
            time_ms,
            flags: EntryFlags::from_bits(flags),
            peer: Jid::parse(peer).unwrap(),
            stanza: stanza.into(),
        })
}

fn numbered(number: u64, new: &NewEntry) -> LogEntry {
    let NewEntry {
        time_ms,
        flags,
        peer,
        stanza,
    } = new.clone();
    LogEntry {
        number,
        time_ms,
        flags,
        peer,
        stanza,
    }
}

fn encode(write_id: u64, entries: &[NewEntry]) -> Bytes {
    super::encode(write_id, entries, |_| PLAIN)
}

fn decoded(item: &Item) -> Result<Vec<LogEntry>> {
    item.raw_entries(0, u64::MAX)
        .map(|(number, raw)| Ok(item.entry(number, raw?)?.entry))
        .collect()
}

fn all(item: &Item) -> Vec<LogEntry> {
    decoded(item).unwrap()
}

proptest! {
    #[test]
    fn items_come_back(entries in prop::collection::vec(entry(), 1..=MAX_ENTRIES), id: u64) {
        let bytes = encode(id, &entries);
        prop_assert_eq!(write_id_of(&bytes), Some(id));
        let item = Item::parse(100, bytes).unwrap();
        let expected: Vec<_> = (100..).zip(&entries).map(|(number, new)| numbered(number, new)).collect();
        prop_assert_eq!(all(&item), expected);
        prop_assert_eq!(item.last(), 99 + entries.len() as u64);
        let times: Vec<_> = item.times().collect::<Result<_>>().unwrap();
        prop_assert_eq!(times, entries.iter().map(|entry| entry.time_ms).collect::<Vec<_>>());
    }

    #[test]
    fn a_rewrite_changes_one_entry(entries in prop::collection::vec(entry(), 1..6), new in entry(), at in 0_usize..6) {
        let at = at % entries.len();
        let item = Item::parse(1, encode(9, &entries)).unwrap();
        let bytes = item.with_entry(at as u64 + 1, &new, PLAIN).unwrap();
        let mut expected = all(&item);
        expected[at] = numbered(at as u64 + 1, &new);
        prop_assert_eq!(write_id_of(&bytes), Some(9));
        prop_assert_eq!(all(&Item::parse(1, bytes).unwrap()), expected);
    }

    #[test]
    fn damage_is_an_error(entries in prop::collection::vec(entry(), 1..4), cut in any::<prop::sample::Index>(), noise in prop::collection::vec(any::<u8>(), 0..80)) {
        let bytes = encode(1, &entries);
        let cut = bytes.slice(..cut.index(bytes.len()));
        let read = |bytes: Bytes| Item::parse(1, bytes).and_then(|item| decoded(&item));
        prop_assert_eq!(read(cut).err().map(|error| error.kind()), Some(ErrorKind::Corrupt));
        let _ = read([&[FORMAT, 3][..], &noise].concat().into());
    }
}

#[test]
fn unknown_extensions_are_skipped_and_survive() {
    let new = |text: &'static str| NewEntry {
        time_ms: 5,
        flags: EntryFlags::SENT,
        peer: Jid::parse("a.example").unwrap(),
        stanza: Bytes::from_static(text.as_bytes()),
    };
    // An item of a later version: an extension of the item, and one of each entry.
    let plain = encode(7, &[new("one"), new("two")]);
    let extension = [200, 1, 3, b'e', b'x', b't'];
    let mut later = plain[..HEADER].to_vec();
    put_prefixed(&mut later, &extension);
    for raw in Item::parse(1, plain).unwrap().raw() {
        put_prefixed(&mut later, &[raw.unwrap(), &extension].concat());
    }
    let item = Item::parse(1, later.into()).unwrap();
    let expected = vec![numbered(1, &new("one")), numbered(2, &new("two"))];
    assert_eq!(all(&item), expected);
    let rewritten = Item::parse(1, item.with_entry(1, &new("new"), PLAIN).unwrap()).unwrap();
    assert_eq!(
        all(&rewritten),
        [numbered(1, &new("new")), numbered(2, &new("two"))]
    );
    assert!(
        rewritten
            .raw()
            .nth(1)
            .unwrap()
            .unwrap()
            .ends_with(&extension)
    );
    assert!(rewritten.bytes[HEADER..].starts_with(&[6, 200]));
}

#[test]
fn stanzas_share_the_bytes_of_their_item() {
    let new = NewEntry {
        time_ms: 5,
        flags: EntryFlags::NONE,
        peer: Jid::parse("a.example").unwrap(),
        stanza: vec![b'x'; 500].into(),
    };
    let bytes = encode(1, std::slice::from_ref(&new));
    let item = Item::parse(1, bytes.clone()).unwrap();
    assert!(
        bytes
            .as_ptr_range()
            .contains(&all(&item)[0].stanza.as_ptr())
    );
    assert!(bytes.len() < 500 + 9 + HEADER + 10, "{} bytes", bytes.len());
}

#[test]
fn numbers_of_every_length_come_back() {
    for value in (0..64)
        .flat_map(|bit| [1_u64 << bit, (1 << bit) - 1])
        .chain([u64::MAX])
    {
        let mut out = Vec::new();
        put_varint(&mut out, value);
        assert_eq!(out.len(), varint_len(value), "{value}");
        assert_eq!(Cursor { bytes: &out }.varint().unwrap(), value);
        assert_eq!(zigzag(unzigzag(value)), value);
    }
    assert!(Cursor { bytes: &[0xff; 11] }.varint().is_err());
}

proptest! {
    #[test]
    fn what_is_gathered_reads_as_before(lists in prop::collection::vec(prop::collection::vec(entry(), 1..9), 1..7)) {
        let mut first = 1;
        let mut items = Vec::new();
        for list in &lists {
            items.push(Item::parse(first, encode(first, list)).unwrap());
            first += list.len() as u64;
        }
        let base = lists[0][0].time_ms;
        let mut gathered = Gathered::new(base);
        for item in &items {
            for (_, raw) in item.raw_entries(0, u64::MAX) {
                gathered.push(item, raw.unwrap()).unwrap();
            }
        }
        let whole = Item::parse(1, gathered.finish()).unwrap();
        let expected: Vec<_> = items.iter().flat_map(all).collect();
        prop_assert_eq!(all(&whole), expected);
        prop_assert_eq!(write_id_of(&whole.bytes), Some(0));
    }
}

#[test]
fn a_pointer_takes_the_place_of_a_stanza() {
    let new = |text: &'static str| NewEntry {
        time_ms: 5,
        flags: EntryFlags::SENT,
        peer: Jid::parse("a.example").unwrap(),
        stanza: Bytes::from_static(text.as_bytes()),
    };
    let extension = large_extension(b"where it is");
    let extensions = |at| if at == 1 { &extension[..] } else { PLAIN };
    let bytes = super::encode(7, &[new("one"), new("two"), new("three")], extensions);
    let item = Item::parse(1, bytes).unwrap();
    let expected = [new("one"), new(""), new("three")];
    let expected: Vec<_> = (1..)
        .zip(&expected)
        .map(|(n, new)| numbered(n, new))
        .collect();
    assert_eq!(all(&item), expected);
    let pointers: Vec<_> = item
        .raw()
        .map(|raw| item.pointer(raw.unwrap()).unwrap())
        .collect();
    let there = Some(Bytes::from_static(b"where it is"));
    assert_eq!(pointers, [None, there, None]);
    // It goes with the entry that replaces it.
    let item = Item::parse(1, item.with_entry(2, &new("new"), PLAIN).unwrap()).unwrap();
    assert_eq!(
        item.pointer(item.raw().nth(1).unwrap().unwrap()).unwrap(),
        None
    );
}
