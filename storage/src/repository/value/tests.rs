//! Values beyond what can be read back, and heads without their blobs.

use super::*;
use crate::{
    backend::memory::{MemoryBlobs, MemoryTable},
    error::ErrorKind,
    key,
    repository::record::MAX_BODY,
};

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
