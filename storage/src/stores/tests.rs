//! Features of a domain in several places: each where it belongs, and nothing left behind anywhere.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use xmpp::{BareJid, Jid};

use super::*;
use crate::{
    backend::memory::{MemoryBlobs, MemoryTable},
    layer::{
        Faulty, Switchboard,
        faulty::{Fault, Target, When},
    },
    repository::{EntryFlags, LogRange, NewEntry, PrivacyData, Roster, RosterItem, Vcard},
    shape::Space,
};

fn place() -> Place {
    Place::new(Arc::new(MemoryTable::new()), Arc::new(MemoryBlobs::new()))
}

fn jid(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

fn entry() -> NewEntry {
    NewEntry {
        time_ms: 1,
        flags: EntryFlags::ARCHIVED,
        peer: Jid::parse("x@y").unwrap(),
        stanza: Bytes::from_static(b"<message/>"),
    }
}

/// Accounts in one place, rosters and vCards in a second, messages in a third.
fn apart(places: &[Place; 3]) -> Layout {
    let [accounts, contacts, messages] = places;
    Layout {
        rosters: Kept::In(contacts.clone()),
        vcards: Kept::In(contacts.clone()),
        groups: Kept::In(contacts.clone()),
        messages: Kept::In(messages.clone()),
        mailboxes: messages.clone(),
        ..Layout::all_in(accounts.clone())
    }
}

async fn is_empty(place: &Place) -> bool {
    for space in [Space::Core, Space::Log, Space::Idx] {
        if !place
            .table
            .partitions(space, None, 10)
            .await
            .unwrap()
            .is_empty()
        {
            return false;
        }
    }
    place.blobs.list("", None, 1).await.unwrap().is_empty()
}

async fn fill(stores: &Stores, owner: &BareJid) -> Result<()> {
    let large = Bytes::from(format!("<vCard>{}</vCard>", "x".repeat(20_000)));
    let vcard = Vcard {
        xml: large,
        ..Vcard::default()
    };
    stores.rosters.store(owner, &Roster::default(), 0).await?;
    stores.vcards.put(owner, &vcard, 0).await?;
    stores
        .privacy
        .store(owner, &PrivacyData::default(), 0)
        .await?;
    stores
        .mailboxes
        .store(owner, &Default::default(), 0)
        .await?;
    stores.logs.append(owner, 0, 1, &[entry()]).await
}

#[tokio::test]
async fn each_feature_is_where_it_belongs_and_is_erased_there() {
    let (places, other) = ([place(), place(), place()], place());
    let some = HashMap::from([("b.example".to_owned(), Layout::all_in(other.clone()))]);
    let stores = Stores::new(apart(&places), some);
    let (ann, bob) = (jid("ann@a.example"), jid("bob@b.example"));
    for owner in [&ann, &bob] {
        stores
            .create(owner, Credentials::default(), 1)
            .await
            .unwrap();
        fill(&stores, owner).await.unwrap();
    }
    for place in places.iter().chain([&other]) {
        assert!(!is_empty(place).await);
    }
    assert_eq!(
        stores.accounts.list("a.example", None, 9).await.unwrap(),
        ["ann"]
    );
    assert_eq!(
        stores.accounts.list("b.example", None, 9).await.unwrap(),
        ["bob"]
    );
    stores.erase(&ann).await.unwrap();
    for place in &places {
        assert!(is_empty(place).await, "something of ann's is left");
    }
    let kept = stores
        .logs
        .read(&bob, LogRange::ALL, false, 9)
        .await
        .unwrap();
    assert_eq!(kept.len(), 1, "bob's is another's");
}

#[tokio::test]
async fn an_erasure_that_dies_anywhere_is_finished_before_the_name_is_given_away() {
    let ann = jid("ann@a.example");
    let mut deaths = 0;
    for survived in 0.. {
        let places = [place(), place(), place()];
        let stores = Stores::new(apart(&places), HashMap::new());
        stores
            .create(&ann, Credentials::default(), 1)
            .await
            .unwrap();
        fill(&stores, &ann).await.unwrap();
        // All places go at once, after so many calls.
        let switchboard = Switchboard::new(1);
        let dying = places.clone().map(|place| Place {
            table: Arc::new(Faulty::new(place.table.clone(), switchboard.clone())),
            ..place
        });
        let left = AtomicU64::new(survived);
        let cut = move |_: &Target<'_>| {
            let spend = |left: u64| left.checked_sub(1);
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend)
                .is_err()
        };
        switchboard.add(cut, When::Always, Fault::Fail(ErrorKind::Unavailable));
        let erased = Stores::new(apart(&dying), HashMap::new()).erase(&ann).await;
        if erased.is_ok() {
            break;
        }
        let again = stores.create(&ann, Credentials::default(), 2).await;
        if let Err(error) = again {
            assert_eq!(
                error.kind(),
                ErrorKind::Conflict,
                "the account is still there"
            );
            continue;
        }
        deaths += 1;
        assert_eq!(stores.rosters.load(&ann).await.unwrap(), Roster::default());
        assert_eq!(stores.vcards.get(&ann).await.unwrap(), None);
        assert_eq!(stores.logs.tip(&ann).await.unwrap().head, 0);
        fill(&stores, &ann)
            .await
            .expect("no mark is left in its way");
    }
    assert!(deaths > 10, "{deaths}");
}

#[tokio::test]
async fn nothing_is_written_for_a_name_that_is_being_erased() {
    let places = [place(), place(), place()];
    let stores = Stores::new(apart(&places), HashMap::new());
    let ann = jid("ann@a.example");
    let mark = crate::layer::guarded::erasure_mark(crate::key::account(&ann));
    let batch = crate::shape::Batch::new().put(mark, "", crate::shape::Condition::Any);
    places[1].table.write(batch).await.unwrap();
    let refused = stores.rosters.store(&ann, &Roster::default(), 0).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotAllowed);
}

#[tokio::test]
async fn what_another_system_keeps_is_erased_as_well() {
    let elsewhere = Stores::over(Arc::new(MemoryTable::new()), Arc::new(MemoryBlobs::new()));
    let elsewhere = elsewhere.unguarded();
    let layout = Layout {
        messages: Kept::By(elsewhere.logs.clone()),
        rosters: Kept::By(elsewhere.rosters.clone()),
        ..Layout::all_in(place())
    };
    let stores = Stores::new(layout, HashMap::new());
    let ann = jid("ann@a.example");
    stores
        .create(&ann, Credentials::default(), 1)
        .await
        .unwrap();
    fill(&stores, &ann).await.unwrap();
    let contacts = Roster {
        items: vec![RosterItem::new(jid("bob@b.example"))],
        ..Roster::default()
    };
    stores.rosters.store(&ann, &contacts, 1).await.unwrap();
    stores.erase(&ann).await.unwrap();
    assert_eq!(stores.logs.tip(&ann).await.unwrap().head, 0);
    assert!(stores.rosters.load(&ann).await.unwrap().items.is_empty());
    // A log that was there before is no new owner's either.
    stores.logs.append(&ann, 0, 1, &[entry()]).await.unwrap();
    stores
        .create(&ann, Credentials::default(), 2)
        .await
        .unwrap();
    assert_eq!(stores.logs.tip(&ann).await.unwrap().head, 0);
}

#[tokio::test]
async fn a_removal_stays_known_until_it_is_finished() {
    let stores = Stores::new(Layout::all_in(place()), HashMap::new());
    let ann = jid("ann@a.example");
    stores
        .create(&ann, Credentials::default(), 1)
        .await
        .unwrap();
    assert!(stores.accounts.remove(&ann).await.unwrap());
    // As an erasure does that finds the account removed.
    stores.accounts.begin_erasure(&ann).await.unwrap();
    assert!(stores.accounts.is_being_removed(&ann).await.unwrap());
    let known = stores
        .accounts
        .removals("a.example", None, 9)
        .await
        .unwrap();
    assert_eq!(known, ["ann"]);
    stores.erase(&ann).await.unwrap();
    assert!(!stores.accounts.is_being_removed(&ann).await.unwrap());
}
