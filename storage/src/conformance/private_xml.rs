//! Private XML: small and large, bounded, listed.

use bytes::Bytes;

use super::{done, jid, refused};
use crate::{error::ErrorKind, repository::PrivateXmlRepository};

/// Runs all of it; under the default limits.
pub async fn private_xml(repo: &dyn PrivateXmlRepository) {
    let owner = jid("bob@private.example");
    assert_eq!(
        done(repo.get(&owner, "storage:bookmarks", "storage").await),
        None
    );
    assert_eq!(done(repo.list(&owner).await), []);
    let noise: Vec<u8> = (0..40_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let sizes = [0, 10, 40_000, 30_000, 20];
    for (version, size) in (1..).zip(sizes) {
        let xml = Bytes::copy_from_slice(&noise[..size]);
        assert_eq!(
            done(
                repo.put(&owner, "storage:bookmarks", "storage", xml.clone())
                    .await
            ),
            version
        );
        let found = done(repo.get(&owner, "storage:bookmarks", "storage").await).expect("just put");
        assert_eq!((found.xml, found.version), (xml, version));
    }
    assert_eq!(
        done(repo.get(&owner, "storage:bookmark", "sstorage").await),
        None
    );
    done(
        repo.put(&owner, "a", "b", Bytes::from_static(b"<b xmlns='a'/>"))
            .await,
    );
    let names = [("a", "b"), ("storage:bookmarks", "storage")]
        .map(|(ns, name)| (ns.to_owned(), name.to_owned()));
    assert_eq!(done(repo.list(&owner).await), names);
    for _ in 0..2 {
        done(repo.remove(&owner, "a", "b").await);
        assert_eq!(done(repo.get(&owner, "a", "b").await), None);
    }

    let (first, second) = (Bytes::from_static(b"first"), Bytes::from_static(b"second"));
    let (a, b) = tokio::join!(
        repo.put(&owner, "n", "x", first.clone()),
        repo.put(&owner, "n", "x", second.clone())
    );
    assert_eq!(done(a) + done(b), 3, "each writer gets through");

    refused(
        repo.put(&owner, "n", "huge", vec![b'x'; 1 << 20].into())
            .await,
        ErrorKind::TooLarge,
    );
    refused(
        repo.put(&owner, &"n".repeat(1000), "x", first.clone())
            .await,
        ErrorKind::TooLarge,
    );
    for n in done(repo.list(&owner).await).len()..128 {
        done(
            repo.put(&owner, "many", &format!("e{n}"), first.clone())
                .await,
        );
    }
    refused(
        repo.put(&owner, "many", "one-more", first.clone()).await,
        ErrorKind::TooLarge,
    );
    done(repo.put(&owner, "many", "e127", second).await);
    assert_eq!(done(repo.list(&owner).await).len(), 128);
}
