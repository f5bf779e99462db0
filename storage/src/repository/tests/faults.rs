//! An outage is an error, never an absence; a writer that dies leaves the old value or the new one.

use std::sync::Arc;

use bytes::Bytes;
use xmpp::BareJid;

use super::{Fault, Unruly, memory};
use crate::{
    error::{ErrorKind, Result},
    repository::{Credentials, LogRange, Vcard, VcardField},
    stores::Stores,
};

fn bob() -> BareJid {
    BareJid::parse("bob@example.org").unwrap()
}

#[tokio::test]
async fn an_outage_never_reads_as_absence() {
    #[track_caller]
    fn check<T>(result: Result<T>) {
        assert_eq!(
            result.err().map(|error| error.kind()),
            Some(ErrorKind::Unavailable)
        );
    }
    let (table, blobs) = memory();
    let dead = Arc::new(Unruly::over(table, blobs).with_fault(Fault::DieBefore(0)));
    let stores = Stores::over(dead.clone(), dead);
    let bob = bob();
    check(stores.accounts.load(&bob).await);
    check(
        stores
            .accounts
            .create(&bob, Credentials::default(), 0)
            .await,
    );
    check(stores.accounts.set_disabled(&bob, true, 1).await);
    check(stores.accounts.remove(&bob).await);
    check(stores.accounts.list("example.org", None, 1).await);
    check(stores.accounts.tokens(&bob, "phone").await);
    check(stores.rosters.load(&bob).await);
    check(stores.logs.head(&bob).await);
    check(stores.logs.read(&bob, LogRange::ALL, false, 1).await);
    check(stores.logs.read(&bob, LogRange::ALL, true, 1).await);
    check(stores.logs.first_since(&bob, 0).await);
    check(stores.logs.rewrite(&bob, 1, &|_| None).await);
    check(stores.logs.truncate(&bob, 1).await);
    check(stores.logs.erase(&bob).await);
    check(stores.mailboxes.load(&bob).await);
    check(stores.privacy.load(&bob).await);
    check(stores.private.get(&bob, "a", "b").await);
    check(stores.private.list(&bob).await);
    check(stores.private.remove(&bob, "a", "b").await);
    check(stores.vcards.get(&bob).await);
    check(stores.vcards.remove(&bob).await);
    check(
        stores
            .vcards
            .search("example.org", VcardField::FullName, "b", None, 1)
            .await,
    );
    check(stores.archive_preferences.load(&bob).await);
    check(stores.erase(&bob).await);
    check(stores.create(&bob, Credentials::default(), 0).await);
    check(stores.accounts.removals("example.org", None, 1).await);
    check(stores.accounts.is_being_removed(&bob).await);
}

#[tokio::test]
async fn a_writer_that_dies_leaves_the_old_value_or_the_new_one() {
    let large = |seed: u32| -> Bytes {
        (0..20_000)
            .map(|n| ((n * seed) >> 7) as u8 ^ (n >> 3) as u8)
            .collect::<Vec<_>>()
            .into()
    };
    let vcard = |seed, name: &str| Vcard {
        xml: large(seed),
        searchable: vec![(VcardField::FullName, name.to_owned())],
        ..Vcard::default()
    };
    let (old, new) = (vcard(7_919, "old"), vcard(104_729, "new"));
    let mut seen = [0, 0];
    for at in 0..20 {
        for fault in [Fault::DieBefore(at), Fault::DieAfter(at)] {
            let (table, blobs) = memory();
            let healthy = Stores::over(table.clone(), blobs.clone()).unguarded();
            healthy.vcards.put(&bob(), &old, 0).await.unwrap();
            let dying = Arc::new(Unruly::over(table, blobs).with_fault(fault));
            let result = Stores::over(dying.clone(), dying)
                .unguarded()
                .vcards
                .put(&bob(), &new, 1)
                .await;

            let found = healthy
                .vcards
                .get(&bob())
                .await
                .unwrap()
                .expect("there all the time");
            let expected = if found.version == 2 { &new } else { &old };
            assert_eq!(found.xml, expected.xml);
            assert!(
                result.is_err() || found.version == 2,
                "what was answered holds"
            );
            for (word, there) in [("old", found.version == 1), ("new", found.version == 2)] {
                let page = healthy
                    .vcards
                    .search("example.org", VcardField::FullName, word, None, 9)
                    .await
                    .unwrap();
                assert_eq!(page.owners.len(), usize::from(there), "{word}");
            }
            seen[usize::from(found.version == 2)] += 1;
        }
    }
    assert!(
        seen.iter().all(|count| *count > 2),
        "both ends were met: {seen:?}"
    );
}
