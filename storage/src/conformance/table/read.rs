//! Ranges, pages, keys, partitions.

use bytes::Bytes;

use super::{Subject, assert_kind};
use crate::{
    backend::rule,
    error::ErrorKind,
    shape::{Batch, Condition, Consistency, Query, Record, Space},
};

fn sorts(records: &[Record]) -> Vec<&str> {
    records
        .iter()
        .map(|record| std::str::from_utf8(&record.sort).expect("text"))
        .collect()
}

/// From is inclusive, until is exclusive, either way.
pub(super) async fn ranges(subject: &Subject) {
    for sort in ["b", "bb", "c", "d", "da"] {
        subject.put(&subject.key("ranges", sort), sort).await;
    }
    let cases: [(Option<&'static str>, Option<&'static str>, &[&str]); 12] = [
        (None, None, &["b", "bb", "c", "d", "da"]),
        (Some("bb"), None, &["bb", "c", "d", "da"]),
        (Some("bba"), None, &["c", "d", "da"]),
        (None, Some("d"), &["b", "bb", "c"]),
        (None, Some("d0"), &["b", "bb", "c", "d"]),
        (Some("bb"), Some("d"), &["bb", "c"]),
        (Some("a"), Some("z"), &["b", "bb", "c", "d", "da"]),
        (Some("b"), Some("ba"), &["b"]),
        (Some("c"), Some("c"), &[]),
        (Some("d"), Some("c"), &[]),
        (Some("e"), None, &[]),
        (None, Some("b"), &[]),
    ];
    for (from, until, expected) in cases {
        for reverse in [false, true] {
            for limit in [1, 2, 3, 5, 100] {
                let bound = |bound: Option<&'static str>| bound.map(Bytes::from);
                let query = Query {
                    from: bound(from),
                    until: bound(until),
                    reverse,
                    limit,
                    ..subject.query("ranges")
                };
                let mut expected = expected.to_vec();
                if reverse {
                    expected.reverse();
                }
                let found = subject.all(query).await;
                assert_eq!(
                    sorts(&found),
                    expected,
                    "{from:?}..{until:?} reverse {reverse} limit {limit}"
                );
                assert!(
                    found
                        .iter()
                        .all(|record| record.sort == record.value && record.version == 1)
                );
            }
        }
    }
}

/// Pages of any size add up, also while what they hold is replaced and removed.
pub(super) async fn pages(subject: &Subject) {
    const RECORDS: u64 = 500;
    for first in (0..RECORDS).step_by(Batch::MAX) {
        let batch = (first..first + Batch::MAX as u64).fold(Batch::new(), |batch, n| {
            batch.put(
                subject.key("pages", n.to_be_bytes()),
                n.to_string(),
                Condition::Absent,
            )
        });
        subject.table.write(batch).await.expect("put");
    }
    for n in (0..RECORDS).step_by(3) {
        let delete = Batch::new().delete(subject.key("pages", n.to_be_bytes()), Condition::Exists);
        subject.table.write(delete).await.expect("delete");
    }
    for n in (1..RECORDS).step_by(3) {
        subject
            .put(&subject.key("pages", n.to_be_bytes()), "changed")
            .await;
    }
    let expected: Vec<u64> = (0..RECORDS).filter(|n| n % 3 != 0).collect();
    for limit in [
        1,
        7,
        128,
        expected.len() - 1,
        expected.len(),
        expected.len() + 1,
    ] {
        for reverse in [false, true] {
            let found = subject
                .all(Query {
                    limit,
                    reverse,
                    ..subject.query("pages")
                })
                .await;
            let mut found: Vec<(u64, Bytes)> = found
                .into_iter()
                .map(|record| {
                    (
                        u64::from_be_bytes(record.sort[..].try_into().expect("a number")),
                        record.value,
                    )
                })
                .collect();
            if reverse {
                found.reverse();
            }
            assert!(
                found.iter().map(|(n, _)| n).eq(&expected),
                "limit {limit} reverse {reverse}: {found:?}"
            );
            let value = |n: u64| {
                if n % 3 == 1 {
                    "changed".into()
                } else {
                    n.to_string()
                }
            };
            assert!(found.iter().all(|(n, found)| *found == value(*n)));
        }
    }
}

/// Keys are bytes and compare as bytes; no partition runs into another.
pub(super) async fn binary_keys(subject: &Subject) {
    let mut parts: Vec<Vec<u8>> = vec![];
    for a in [0u8, 1, 2, 0x7f, 0xfe, 0xff] {
        parts.push(vec![a]);
        for b in [0u8, 1, 2, 0xff] {
            parts.push(vec![a, b]);
            parts.push(vec![a, b, 0]);
        }
    }
    parts.sort();
    for partition in &parts {
        let name = [b"binary", &partition[..]].concat();
        let batch = parts.iter().fold(Batch::new(), |batch, sort| {
            let value = [&partition[..], b"/", sort].concat();
            batch.put(
                subject.key_in(Space::Idx, &name, sort),
                value,
                Condition::Absent,
            )
        });
        subject.table.write(batch).await.expect("put");
    }
    for partition in &parts {
        let name = [b"binary", &partition[..]].concat();
        let query = |reverse: bool| Query {
            space: Space::Idx,
            partition: subject.partition(&name),
            reverse,
            limit: 7,
            ..subject.query("")
        };
        let found = subject.all(query(false)).await;
        assert!(
            found
                .iter()
                .map(|record| &record.sort[..])
                .eq(parts.iter().map(|sort| &sort[..])),
            "{partition:?}"
        );
        assert!(
            found
                .iter()
                .all(|record| record.value == [&partition[..], b"/", &record.sort].concat())
        );
        let mut backwards = subject.all(query(true)).await;
        backwards.reverse();
        assert_eq!(backwards, found);
    }
}

/// `bob` is not a part of `bobby`, and spaces share nothing.
pub(super) async fn isolation(subject: &Subject) {
    for (space, partition) in [
        (Space::Core, "bob"),
        (Space::Core, "bobby"),
        (Space::Log, "bob"),
        (Space::Ctl, "bob"),
        (Space::Core, "bo"),
    ] {
        let key = subject.key_in(space, partition.as_bytes(), b"by");
        let value = format!("{space:?} {partition}");
        subject
            .table
            .write(Batch::new().put(key, value, Condition::Absent))
            .await
            .expect("keys of their own");
    }
    subject
        .table
        .write(Batch::new().delete(subject.key("bob", "by"), Condition::Exists))
        .await
        .expect("delete");
    assert_eq!(subject.all(subject.query("bob")).await, []);
    let log = Query {
        space: Space::Log,
        ..subject.query("bob")
    };
    for (query, expected) in [
        (subject.query("bobby"), "Core bobby"),
        (subject.query("bo"), "Core bo"),
        (log, "Log bob"),
    ] {
        let found = subject.all(query).await;
        assert_eq!(
            found
                .iter()
                .map(|record| &record.value[..])
                .collect::<Vec<_>>(),
            [expected.as_bytes()]
        );
    }
}

/// The largest values that there may be come back, alone and in a page, and larger ones are refused as such.
pub(super) async fn big_values(subject: &Subject) {
    let size = subject.largest;
    let value = |n: u8| Bytes::from((0..size).map(|at| (at % 251) as u8 ^ n).collect::<Vec<_>>());
    for n in 0..4 {
        subject.put(&subject.key("big", [n]), value(n)).await;
    }
    subject.put(&subject.key("big", "empty"), "").await;
    let found = subject.all(subject.query("big")).await;
    assert_eq!(found.len(), 5);
    for (n, record) in (0..4).zip(&found) {
        assert!(record.value == value(n), "value {n} came back changed");
    }
    let first = subject
        .table
        .get(&subject.key("big", [0]), Consistency::Eventual)
        .await
        .expect("get");
    assert!(first.is_some_and(|record| record.value == value(0)));
    let too_large = Bytes::from(vec![0; rule::MAX_VALUE + 1]);
    let put = Batch::new().put(subject.key("big", "too"), too_large, Condition::Any);
    assert_kind(subject.table.write(put).await, ErrorKind::TooLarge);
    assert_eq!(
        subject.value(&subject.key("big", "empty")).await,
        Some((Bytes::new(), 1))
    );
}

/// All partitions that hold something, once each, in pages.
pub(super) async fn partitions(subject: &Subject) {
    let name = |n: u32| format!("listed {n:03}");
    for n in 0..30 {
        for sort in ["a", "b", "c"] {
            let key = subject.key_in(Space::Ctl, name(n).as_bytes(), sort.as_bytes());
            subject
                .table
                .write(Batch::new().put(key, "", Condition::Any))
                .await
                .expect("put");
        }
    }
    for sort in ["a", "b", "c"] {
        let key = subject.key_in(Space::Ctl, name(7).as_bytes(), sort.as_bytes());
        subject
            .table
            .write(Batch::new().delete(key, Condition::Exists))
            .await
            .expect("delete");
    }
    let expected: Vec<Bytes> = (0..30)
        .filter(|&n| n != 7)
        .map(|n| subject.partition(name(n).as_bytes()))
        .collect();
    for limit in [1, 4, 100] {
        // The order is the backend's own; only each one's being there once counts.
        let mut found: Vec<Bytes> = Vec::new();
        loop {
            let page = subject
                .table
                .partitions(Space::Ctl, found.last().map(|last| &last[..]), limit)
                .await;
            let page = page.expect("partitions");
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        found.sort();
        found.retain(|partition| partition.starts_with(&subject.partition(b"listed ")));
        assert_eq!(found, expected, "limit {limit}");
    }
}
