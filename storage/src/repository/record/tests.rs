//! Records: what comes back, what is refused.

use proptest::prelude::*;

use super::*;

#[derive(Encode, Decode, Debug, PartialEq)]
#[cbor(map)]
struct Old {
    #[n(0)]
    name: String,
}

#[derive(Encode, Decode, Debug, PartialEq)]
#[cbor(map)]
struct New {
    #[n(0)]
    name: String,
    #[n(1)]
    size: Option<u64>,
}

fn record(value: Vec<u8>) -> Record {
    Record {
        sort: Bytes::new(),
        value: value.into(),
        version: 1,
        expires: None,
    }
}

use bytes::Bytes;

#[test]
fn unknown_keys_are_ignored_and_missing_ones_absent() {
    let new = New {
        name: "n".into(),
        size: Some(7),
    };
    assert_eq!(
        decode::<Old>(&record(seal(&to_cbor(&new), 1).unwrap())).unwrap(),
        Old { name: "n".into() }
    );
    let old = Old { name: "o".into() };
    assert_eq!(
        decode::<New>(&record(seal(&to_cbor(&old), 1).unwrap())).unwrap(),
        New {
            name: "o".into(),
            size: None
        }
    );
}

#[test]
fn damage_is_corrupt() {
    let sealed = seal(&[b'x'; 4096], 7).unwrap();
    assert!(sealed.len() < 1000, "compressed");
    let check = |value: Vec<u8>| {
        let found = open(&value).and_then(|opened| match opened {
            Opened::Body(body) => from_cbor::<String>(&body).map(|_| ()),
            Opened::Pointer(pointer) => from_cbor::<String>(pointer).map(|_| ()),
        });
        assert_eq!(
            found.err().map(|error| error.kind()),
            Some(ErrorKind::Corrupt),
            "{value:?}"
        );
    };
    check(vec![]);
    check(vec![1, 0, 0]);
    check([&[2, 0], &sealed[2..]].concat());
    check([&[1, 9], &sealed[2..]].concat());
    check(sealed[..sealed.len() - 3].to_vec());
    check([&[1, 1, 0, 0, 0, 0, 0, 0, 0, 0], &[0xff; 8][..]].concat());
    check(seal(&[0xff], 1).unwrap());
    check(seal_pointer(&[0xff], 1));
}

proptest! {
    #[test]
    fn bodies_come_back(body in prop::collection::vec(any::<u8>(), 0..2000), id: u64) {
        let sealed = seal(&body, id).unwrap();
        prop_assert_eq!(write_id_of(&sealed), Some(id));
        match open(&sealed).unwrap() {
            Opened::Body(found) => prop_assert_eq!(&found[..], &body[..]),
            Opened::Pointer(_) => prop_assert!(false),
        }
    }

    #[test]
    fn anything_opens_or_is_refused(value in prop::collection::vec(prop_oneof![0_u8..4, any::<u8>()], 0..64)) {
        let _ = open(&value);
    }
}
