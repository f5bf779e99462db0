//! Erasing leaves nothing, wherever it dies, once it is repeated; and touches nobody else.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use xmpp::{BareJid, Jid};

use super::{Fault, Unruly, memory};
use crate::{
    backend::memory::{MemoryBlobs, MemoryTable},
    error::ErrorKind,
    key,
    repository::{
        AgentTokens, ArchiveDefault, ArchivePreferences, Compaction, Credentials, EntryFlags,
        FastToken, Keeping, LogRange, Mailbox, NewEntry, PrivacyData, Roster, RosterItem,
        TableLogs, Vcard, VcardField,
    },
    shape::{Blobs, Consistency, Query, Space, Table},
    stores::Stores,
};

async fn fill(table: &Arc<MemoryTable>, blobs: &Arc<MemoryBlobs>, owner: &BareJid) {
    let stores = Stores::over(table.clone(), blobs.clone());
    let large: Bytes = (0..20_000_u32)
        .map(|n| ((n * 7_919) >> 7) as u8 ^ (n >> 3) as u8)
        .collect::<Vec<_>>()
        .into();
    stores
        .accounts
        .create(owner, Credentials::default(), 0)
        .await
        .unwrap();
    let current = FastToken {
        mechanism: "HT".into(),
        secret: vec![1],
        issued_ms: 0,
        expires_ms: 4_102_444_800_000,
        count: 0,
    };
    let tokens = AgentTokens {
        current,
        previous: None,
        version: 0,
    };
    stores
        .accounts
        .put_tokens(owner, "phone", &tokens, 0)
        .await
        .unwrap();
    let mut roster = Roster::default();
    roster.put(RosterItem::new(BareJid::parse("ann@example.org").unwrap()));
    stores.rosters.store(owner, &roster, 0).await.unwrap();
    let entry = NewEntry {
        time_ms: 1,
        flags: EntryFlags::SENT,
        peer: Jid::parse("ann@example.org").unwrap(),
        stanza: large.slice(..100),
    };
    for n in 0..20 {
        stores
            .logs
            .append(owner, n * 60, n, &vec![entry.clone(); 60])
            .await
            .unwrap();
    }
    // Old entries in segments, one of a dead compaction in both places, one that is too long for an item.
    let compaction = Compaction {
        tail_entries: 100,
        min_age: Duration::ZERO,
        segment_entries: 400,
        ..Compaction::default()
    };
    let keeping = Keeping {
        archive: owner,
        guard: None,
        mailboxes: None,
        now: Duration::from_secs(2_000_000_000),
    };
    for deaths in [None, Some(10)] {
        let fault = deaths.map_or(Fault::None, Fault::DieBefore);
        let dying = Arc::new(Unruly::over(table.clone(), blobs.clone()).with_fault(fault));
        let logs = TableLogs::new(dying.clone(), dying, usize::MAX);
        let compacted = logs.compact(&keeping, &compaction).await;
        assert_eq!(compacted.is_err(), deaths.is_some());
    }
    let long = NewEntry {
        stanza: large.repeat(20).into(),
        ..entry
    };
    stores.logs.append(owner, 1_200, 99, &[long]).await.unwrap();
    let prefix = key::account_blobs(owner);
    let objects = blobs.list(&prefix, None, 99).await.unwrap();
    for (kind, expected) in [("s/", 2), ("m/", 1)] {
        let kind = format!("{prefix}{kind}");
        let found = objects.iter().filter(|name| name.starts_with(&kind));
        assert_eq!(found.count(), expected, "{objects:?}");
    }
    let logs = TableLogs::new(table.clone(), blobs.clone(), usize::MAX);
    let report = logs.verify(&keeping, &mut |_| {}).await.unwrap();
    assert_eq!((report.problems, report.overlapping_items), (vec![], 6));
    let contact = BareJid::parse("nobody@example.org").unwrap();
    let none = stores
        .logs
        .read_with(owner, &contact, LogRange::ALL, false, 1);
    assert_eq!(none.await.unwrap(), []);
    stores
        .mailboxes
        .store(owner, &Mailbox::default(), 0)
        .await
        .unwrap();
    stores
        .privacy
        .store(owner, &PrivacyData::default(), 0)
        .await
        .unwrap();
    stores
        .private
        .put(owner, "a", "small", large.slice(..10))
        .await
        .unwrap();
    stores
        .private
        .put(owner, "a", "large", large.clone())
        .await
        .unwrap();
    let searchable = vec![(VcardField::FullName, "Bob Smith".to_owned())];
    stores
        .vcards
        .put(
            owner,
            &Vcard {
                xml: large,
                searchable,
                ..Vcard::default()
            },
            0,
        )
        .await
        .unwrap();
    let preferences = ArchivePreferences {
        default: ArchiveDefault::Never,
        always: vec![],
        never: vec![],
        version: 0,
    };
    stores
        .archive_preferences
        .store(owner, &preferences, 0)
        .await
        .unwrap();
}

/// Every record and blob there is.
async fn contents(table: &dyn Table, blobs: &dyn Blobs) -> Vec<String> {
    let mut all = blobs.list("", None, 10_000).await.unwrap();
    for name in &mut all {
        let bytes = blobs.get(name).await.unwrap().unwrap().bytes;
        *name = format!("{name} {:08x}", crc32fast::hash(&bytes));
    }
    for space in [Space::Core, Space::Log, Space::Idx, Space::Ctl] {
        for partition in table.partitions(space, None, 10_000).await.unwrap() {
            let (from, until, reverse, consistency) = (None, None, false, Consistency::Strong);
            let query = Query {
                space,
                partition: partition.clone(),
                from,
                until,
                reverse,
                limit: 10_000,
                consistency,
            };
            let page = table.query(&query).await.unwrap();
            assert!(!page.more);
            all.extend(
                page.records
                    .iter()
                    .map(|record| format!("{space:?} {partition:?} {record:?}")),
            );
        }
    }
    all
}

#[tokio::test]
async fn erasing_leaves_nothing_wherever_it_dies() {
    let (bob, bobby) = (
        BareJid::parse("bob@example.org").unwrap(),
        BareJid::parse("bobby@example.org").unwrap(),
    );
    let mut deaths = 0;
    for at in 0.. {
        let mut died = false;
        for fault in [Fault::DieBefore(at), Fault::DieAfter(at)] {
            let (table, blobs) = memory();
            let healthy = Stores::over(table.clone(), blobs.clone());
            fill(&table, &blobs, &bobby).await;
            let before = contents(&*table, &*blobs).await;
            fill(&table, &blobs, &bob).await;
            assert!(contents(&*table, &*blobs).await.len() > before.len() + 14);

            let dying = Arc::new(
                Unruly::over(table.clone(), blobs.clone())
                    .with_page(2)
                    .with_fault(fault),
            );
            if Stores::over(dying.clone(), dying)
                .erase(&bob)
                .await
                .is_err()
            {
                died = true;
                deaths += 1;
            }
            healthy.erase(&bob).await.unwrap();
            assert_eq!(
                contents(&*table, &*blobs).await,
                before,
                "after death at operation {at}"
            );
            healthy
                .accounts
                .create(&bob, Credentials::default(), 1)
                .await
                .unwrap();
        }
        if !died {
            break;
        }
    }
    assert!(deaths > 20, "died {deaths} times");
}

/// What a name has that nobody had before.
async fn fresh(bob: &BareJid) -> Vec<String> {
    let (table, blobs) = memory();
    let stores = Stores::over(table.clone(), blobs.clone());
    stores.create(bob, Credentials::default(), 1).await.unwrap();
    without_ids(contents(&*table, &*blobs).await)
}

/// Values hold write ids, which are random: where they stand is what counts.
fn without_ids(contents: Vec<String>) -> Vec<String> {
    let place = |line: &String| line.split(", value").next().unwrap_or_default().to_owned();
    contents.iter().map(place).collect()
}

#[tokio::test]
async fn the_next_owner_of_a_name_inherits_nothing_wherever_the_erasure_died() {
    let bob = BareJid::parse("bob@example.org").unwrap();
    let expected = fresh(&bob).await;
    let mut deaths = 0;
    for at in 0.. {
        let mut died = false;
        for fault in [Fault::DieBefore(at), Fault::DieAfter(at)] {
            let (table, blobs) = memory();
            let healthy = Stores::over(table.clone(), blobs.clone());
            fill(&table, &blobs, &bob).await;
            let dying = Arc::new(
                Unruly::over(table.clone(), blobs.clone())
                    .with_page(2)
                    .with_fault(fault),
            );
            let result = Stores::over(dying.clone(), dying).erase(&bob).await;
            if result.is_err() {
                (died, deaths) = (true, deaths + 1);
            }
            let made = healthy.create(&bob, Credentials::default(), 1).await;
            if healthy
                .accounts
                .load(&bob)
                .await
                .unwrap()
                .unwrap()
                .created_ms
                == 0
            {
                assert_eq!(made.unwrap_err().kind(), ErrorKind::Conflict);
                continue;
            }
            made.unwrap();
            let left = without_ids(contents(&*table, &*blobs).await);
            assert_eq!(left, expected, "after death at operation {at}");
        }
        if !died {
            break;
        }
    }
    assert!(deaths > 20, "died {deaths} times");
}

#[tokio::test]
async fn what_was_planted_behind_an_erasure_goes_with_the_next_creation() {
    let bob = BareJid::parse("bob@example.org").unwrap();
    let (table, blobs) = memory();
    let stores = Stores::over(table.clone(), blobs.clone());
    fill(&table, &blobs, &bob).await;
    stores.erase(&bob).await.unwrap();
    // Nothing that asks for the account can be written; a log that somebody still holds can.
    let refused = stores.rosters.store(&bob, &Roster::default(), 0).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotAllowed);
    let refused = stores.mailboxes.store(&bob, &Mailbox::default(), 0).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotAllowed);
    let refused = stores
        .private
        .put(&bob, "a", "b", vec![b'x'; 20_000].into())
        .await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotAllowed);
    assert_eq!(contents(&*table, &*blobs).await, [""; 0]);
    let entry = NewEntry {
        time_ms: 1,
        flags: EntryFlags::DELIVER,
        peer: Jid::parse("ann@example.org").unwrap(),
        stanza: Bytes::from_static(b"<message/>"),
    };
    stores.logs.append(&bob, 180, 1, &[entry]).await.unwrap();
    stores
        .create(&bob, Credentials::default(), 1)
        .await
        .unwrap();
    assert_eq!(stores.logs.head(&bob).await.unwrap(), 0);
    let left = without_ids(contents(&*table, &*blobs).await);
    assert_eq!(left, fresh(&bob).await);
}

#[tokio::test]
async fn an_eraser_that_comes_late_touches_nothing_of_the_next_owner() {
    let bob = BareJid::parse("bob@example.org").unwrap();
    let (table, blobs) = memory();
    let stores = Stores::over(table.clone(), blobs.clone());
    fill(&table, &blobs, &bob).await;
    let before = contents(&*table, &*blobs).await;
    // It found the name marked, and slept until that was long over.
    stores.erase_rest(&bob).await.unwrap();
    assert_eq!(contents(&*table, &*blobs).await, before);
    let conflict = stores.begin_import(&bob).await.unwrap_err();
    assert_eq!(conflict.kind(), ErrorKind::Conflict);
    assert_eq!(contents(&*table, &*blobs).await, before);
}
