//! Values beyond what can be read back, and heads without their blobs.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::{
    backend::memory::{MemoryBlobs, MemoryTable},
    error::ErrorKind,
    key,
    layer::{Call, Measured, Observer, measured::Observation},
    repository::record::MAX_BODY,
};

/// Counts gets.
#[derive(Default)]
struct Gets(AtomicUsize);

impl Observer for Gets {
    fn observe(&self, observation: &Observation) {
        let is_get = observation.call == Call::Get;
        self.0.fetch_add(usize::from(is_get), Ordering::Relaxed);
    }
}

fn values() -> Values {
    let (table, blobs) = (MemoryTable::new(), MemoryBlobs::new());
    Values::new(Arc::new(table), Arc::new(blobs), 100)
}

fn owner() -> BareJid {
    BareJid::parse("a@b").unwrap()
}

fn key() -> Key {
    key::of_account(&owner(), key::VCARD)
}

/// Bytes that no compression makes shorter.
fn noise(length: usize) -> Vec<u8> {
    let byte = |n: usize| (n.wrapping_mul(2_654_435_761) >> 13) as u8;
    (0..length).map(byte).collect()
}

#[tokio::test]
async fn what_could_not_be_read_back_is_refused() {
    let values = values();
    let put = async |length: usize, seen| {
        let body = vec![b'x'; length];
        values
            .store(&owner(), key(), &body, seen, Batch::new())
            .await
    };
    let error = put(MAX_BODY + 1, 0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("67108865 bytes"), "{error}");
    assert!(values.load(&key()).await.unwrap().is_none());
    assert_eq!(values.blobs.list("", None, 9).await.unwrap(), [""; 0]);
    assert_eq!(put(MAX_BODY, 0).await.unwrap(), 1);
    let found = values.load(&key()).await.unwrap().expect("just put");
    assert_eq!(found.body.len(), MAX_BODY);
}

#[tokio::test]
async fn a_head_is_read_without_the_blob() {
    let check = async |body: &[u8], head: Option<&[u8]>, expected: Option<&[u8]>| {
        let values = values();
        let head = head.map(<[u8]>::to_vec);
        let owner = owner();
        let stored = values.store_with_head(&owner, key(), body, head, 0, Batch::new());
        assert_eq!(stored.await.unwrap(), 1);
        if expected.is_some() {
            for blob in values.blobs.list("", None, 9).await.unwrap() {
                values.blobs.remove(&blob).await.unwrap();
            }
        }
        let (found, version) = values.head(&key()).await.unwrap().expect("just put");
        assert_eq!(version, 1);
        match found {
            Head::Kept(head) => assert_eq!(Some(&head[..]), expected),
            Head::Body(found) => assert_eq!((&found[..], None), (body, expected)),
        }
    };
    check(b"small", Some(b"head"), None).await;
    check(&noise(500), Some(b"head"), Some(b"head")).await;
    check(&noise(500), None, None).await;
    assert!(values().head(&key()).await.unwrap().is_none());
}

/// Who knows that what it replaces has no blob asks no more; who does not know looks, and leaves no blob behind.
#[tokio::test]
async fn the_value_before_is_looked_up_only_if_it_may_have_a_blob() {
    let (table, blobs) = (Arc::new(MemoryTable::new()), Arc::new(MemoryBlobs::new()));
    let gets = Arc::new(Gets::default());
    let node = || {
        let table = Arc::new(Measured::new(table.clone(), gets.clone()));
        Values::new(table, blobs.clone(), 100)
    };
    let (one, two) = (node(), node());
    let (owner, small, large) = (owner(), b"small".to_vec(), noise(500));
    let check = async |values: &Values, body: &[u8], seen: u64, looks: usize, left: usize| {
        let before = gets.0.load(Ordering::Relaxed);
        let stored = values.store(&owner, key(), body, seen, Batch::new());
        assert_eq!(stored.await.unwrap(), seen + 1);
        assert_eq!(gets.0.load(Ordering::Relaxed) - before, looks, "{seen}");
        let kept = blobs.list("", None, 9).await.unwrap();
        assert_eq!(kept.len(), left, "{seen}");
    };
    check(&one, &small, 0, 0, 0).await;
    check(&one, &small, 1, 0, 0).await;
    // Another node knows nothing of it until it has read it.
    check(&two, &small, 2, 1, 0).await;
    check(&two, &large, 3, 0, 1).await;
    // What the first knows of an earlier version says nothing of this one.
    check(&one, &large, 4, 1, 1).await;
    check(&one, &small, 5, 1, 0).await;
    assert_eq!(two.load(&key()).await.unwrap().unwrap().version, 6);
    check(&two, &large, 6, 0, 1).await;
    assert!(one.load(&key()).await.unwrap().is_some());
    check(&one, &small, 7, 1, 0).await;
    assert!(two.load_cached(&key()).await.unwrap().is_some());
    check(&two, &small, 8, 0, 0).await;
    assert!(one.head(&key()).await.unwrap().is_some());
    check(&one, &small, 9, 0, 0).await;
}
