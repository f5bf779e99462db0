//! What every store of blobs must do.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::{
    error::ErrorKind,
    shape::{Blobs, PutIf},
};

/// The longest segment of a key that a store must take.
const LONGEST_SEGMENT: usize = 500;

/// Examines a store; all keys start with `run`, which nobody else uses.
pub async fn blobs(store: Arc<dyn Blobs>, run: &str) {
    blobs_with_segments(store, run, LONGEST_SEGMENT).await;
}

/// The same for a store whose segments may only be as long as this, by a limit of the server behind it.
pub async fn blobs_with_segments(store: Arc<dyn Blobs>, run: &str, longest: usize) {
    conditions(&*store, run).await;
    ranges(&*store, run).await;
    lists(&*store, run).await;
    keys(&*store, run, longest).await;
    races(store, run).await;
}

async fn conditions(store: &dyn Blobs, run: &str) {
    let key = format!("{run}/conditions/a");
    let put = |bytes: &'static str, condition: PutIf| store.put(&key, bytes.into(), condition);
    assert_eq!(store.get(&key).await.expect("get"), None);
    assert_eq!(store.get_range(&key, 0..10).await.expect("get_range"), None);
    store
        .remove(&key)
        .await
        .expect("removing what is absent is fine");
    let refused = |result: crate::Result<String>| {
        assert_eq!(result.expect_err("refused").kind(), ErrorKind::Conflict)
    };
    refused(put("one", PutIf::Match("no such tag".into())).await);
    let one = put("one", PutIf::Absent).await.expect("put");
    refused(put("two", PutIf::Absent).await);
    let found = store.get(&key).await.expect("get").expect("an object");
    assert_eq!((&found.bytes[..], &found.tag), (&b"one"[..], &one));
    let two = put("two", PutIf::Match(one.clone())).await.expect("put");
    assert_ne!(one, two, "a tag changes with the bytes");
    refused(put("three", PutIf::Match(one)).await);
    assert_eq!(
        store
            .get(&key)
            .await
            .expect("get")
            .expect("an object")
            .bytes,
        "two"
    );
    put("", PutIf::Any).await.expect("put");
    assert_eq!(
        store
            .get(&key)
            .await
            .expect("get")
            .expect("an object")
            .bytes,
        ""
    );
    store.remove(&key).await.expect("remove");
    assert_eq!(store.get(&key).await.expect("get"), None);
    put("again", PutIf::Absent).await.expect("put");
}

async fn ranges(store: &dyn Blobs, run: &str) {
    let key = format!("{run}/ranges");
    let bytes = Bytes::from(
        (0..100_000u32)
            .map(|at| (at % 251) as u8)
            .collect::<Vec<_>>(),
    );
    store
        .put(&key, bytes.clone(), PutIf::Any)
        .await
        .expect("put");
    for (start, end) in [
        (0, 0),
        (0, 1),
        (5, 10),
        (99_990, 100_000),
        (99_990, 100_010),
        (100_000, 100_001),
        (200_000, 300_000),
    ] {
        let found = store
            .get_range(&key, start..end)
            .await
            .expect("get_range")
            .expect("an object");
        let cut = |at: u64| (at as usize).min(bytes.len());
        assert!(found == bytes[cut(start)..cut(end)], "{start}..{end}");
    }
}

async fn lists(store: &dyn Blobs, run: &str) {
    let mut keys: Vec<String> = [
        "a", "a/b", "a/b/c", "a-b", "a.b", "ab/x", "b", "a/é", "a/Z", "a/ %", "a%2Fb",
    ]
    .iter()
    .map(|name| format!("{run}/lists/{name}x"))
    .collect();
    keys.sort();
    for key in &keys {
        store
            .put(key, key.clone().into(), PutIf::Absent)
            .await
            .expect("put");
    }
    for prefix in ["", "a", "a/", "a/b", "a/b/", "ab", "b", "c"] {
        let prefix = format!("{run}/lists/{prefix}");
        let expected: Vec<&String> = keys.iter().filter(|key| key.starts_with(&prefix)).collect();
        for limit in [1, 3, 100] {
            let mut found: Vec<String> = Vec::new();
            loop {
                let page = store
                    .list(&prefix, found.last().map(String::as_str), limit)
                    .await
                    .expect("list");
                assert!(page.len() <= limit);
                if page.is_empty() {
                    break;
                }
                found.extend(page);
            }
            // The order is the backend's own; only each one's being there once counts.
            found.sort();
            assert!(
                found.iter().eq(expected.iter().copied()),
                "{prefix} by {limit}: {found:?}"
            );
        }
    }
    for key in &keys {
        assert_eq!(
            store.get(key).await.expect("get").expect("an object").bytes,
            key.as_bytes()
        );
        store.remove(key).await.expect("remove");
    }
    assert_eq!(
        store
            .list(&format!("{run}/lists/"), None, 100)
            .await
            .expect("list"),
        Vec::<String>::new()
    );
}

async fn keys(store: &dyn Blobs, run: &str, longest: usize) {
    for bad in [
        "",
        "/",
        "..",
        "../x",
        "/x",
        "x/",
        "x//y",
        "x/./y",
        "x/../../y",
        "x/\0",
        "x/\n",
    ] {
        let key = if bad.is_empty() {
            String::new()
        } else {
            format!("{run}/{bad}")
        };
        let refused = store
            .put(&key, "x".into(), PutIf::Any)
            .await
            .expect_err(bad);
        assert_eq!(refused.kind(), ErrorKind::NotAllowed, "{bad:?}");
        assert_eq!(
            store.get(&key).await.expect_err(bad).kind(),
            ErrorKind::NotAllowed,
            "{bad:?}"
        );
    }
    for good in [
        "...",
        ".x",
        "x.",
        "~",
        "a\\b",
        "CON",
        "x:y",
        "%2e%2e",
        &"l".repeat(longest),
    ] {
        let key = format!("{run}/keys/{good}");
        store
            .put(&key, key.clone().into(), PutIf::Absent)
            .await
            .expect(good);
        assert_eq!(
            store.get(&key).await.expect(good).expect(good).bytes,
            key.as_bytes()
        );
    }
}

async fn races(store: Arc<dyn Blobs>, run: &str) {
    for round in 0..4 {
        let key = format!("{run}/races/{round}");
        let mut rivals = JoinSet::new();
        for rival in 0..16 {
            let (store, key) = (store.clone(), key.clone());
            rivals.spawn(async move {
                (
                    rival,
                    store
                        .put(&key, format!("{rival}").into(), PutIf::Absent)
                        .await,
                )
            });
        }
        let outcomes = rivals.join_all().await;
        let winners: Vec<_> = outcomes
            .iter()
            .filter(|(_, result)| result.is_ok())
            .map(|(rival, _)| *rival)
            .collect();
        let [winner] = winners[..] else {
            panic!("{winners:?} all won")
        };
        assert_eq!(
            store
                .get(&key)
                .await
                .expect("get")
                .expect("an object")
                .bytes,
            format!("{winner}")
        );
    }
}
