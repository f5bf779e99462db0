//! Cases that are easier to read one by one.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use xmpp::BareJid;

use crate::{
    backend::memory::{MemoryBlobs, MemoryCache, MemoryTable},
    clock::{Clock, ManualClock},
    error::ErrorKind,
    key,
    layer::{
        CacheEvent, CacheLimits, CacheObserver, Cacheable, Cached, CachedBlobs, Faulty,
        FaultyBlobs, Switchboard,
        faulty::{Fault, When},
    },
    repository::{
        Roster, RosterItem, Vcard,
        object::{self, Kind},
    },
    shape::{Batch, Blobs, Cache, Condition, Consistency, Key, PutIf, Table},
    stores::Stores,
};

#[derive(Default)]
struct Notes(Mutex<Vec<CacheEvent>>);

impl CacheObserver for Notes {
    fn observe(&self, _: Cacheable, event: CacheEvent) {
        self.0.lock().push(event);
    }
}

/// Nodes over one store and one cache.
struct Bench {
    clock: ManualClock,
    table: Arc<MemoryTable>,
    cache: Arc<MemoryCache>,
    notes: Arc<Notes>,
}

impl Bench {
    fn new() -> Self {
        let clock = ManualClock::at(1_800_000_000);
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        Self {
            table: Arc::new(MemoryTable::with_clock(shared.clone())),
            cache: Arc::new(MemoryCache::with_clock(8 << 20, shared)),
            notes: Arc::default(),
            clock,
        }
    }
    fn node(&self) -> Cached {
        self.node_over(self.table.clone())
    }
    fn node_over(&self, table: Arc<dyn Table>) -> Cached {
        let clock = Arc::new(self.clock.clone());
        let limits = CacheLimits::default();
        Cached::new(table, self.cache.clone(), limits, clock, self.notes.clone())
    }
    /// What was told since this was asked before.
    fn told(&self) -> Vec<CacheEvent> {
        std::mem::take(&mut self.notes.0.lock())
    }
}

fn bob() -> BareJid {
    BareJid::parse("bob@example.org").unwrap()
}

fn vcard() -> Key {
    key::of_account(&bob(), key::VCARD)
}

fn put(value: impl Into<Bytes>, condition: Condition) -> Batch {
    Batch::new().put(vcard(), value, condition)
}

async fn read(table: &Cached, key: &Key) -> Option<Bytes> {
    let found = table.get(key, Consistency::Cached).await.unwrap();
    found.map(|record| record.value)
}

#[tokio::test]
async fn a_read_is_filled_once_and_a_write_is_published() {
    use CacheEvent::{Filled, Hit, HitAbsent, Miss, Published};
    let bench = Bench::new();
    let (one, other) = (bench.node(), bench.node());
    assert_eq!(read(&one, &vcard()).await, None);
    assert_eq!(bench.told(), [Miss, Filled]);
    assert_eq!(read(&other, &vcard()).await, None);
    assert_eq!(bench.told(), [HitAbsent]);
    one.write(put("new", Condition::Absent)).await.unwrap();
    assert_eq!(bench.told(), [Published]);
    for node in [&one, &other] {
        assert_eq!(read(node, &vcard()).await, Some("new".into()));
        assert_eq!(bench.told(), [Hit]);
    }
    let delete = Batch::new().delete(vcard(), Condition::Version(1));
    other.write(delete).await.unwrap();
    assert_eq!(bench.told(), [Published]);
    assert_eq!(read(&other, &vcard()).await, None);
    assert_eq!(bench.told(), [HitAbsent]);
}

#[tokio::test]
async fn what_is_not_named_or_not_asked_for_passes() {
    let bench = Bench::new();
    let node = bench.node();
    let account = key::of_account(&bob(), key::ACCOUNT);
    for consistency in [Consistency::Cached, Consistency::Strong] {
        node.get(&account, consistency).await.unwrap();
    }
    let batch = Batch::new().put(account, "x", Condition::Any);
    node.write(batch.check(vcard(), Condition::Absent))
        .await
        .unwrap();
    for consistency in [Consistency::Eventual, Consistency::Strong] {
        node.get(&vcard(), consistency).await.unwrap();
    }
    assert_eq!(bench.told(), []);
}

#[tokio::test]
async fn entries_are_believed_for_their_time_only() {
    use CacheEvent::{Filled, Hit, HitAbsent, Miss};
    let bench = Bench::new();
    let node = bench.node();
    let limits = CacheLimits::default();
    let second = Duration::from_secs(1);
    read(&node, &vcard()).await;
    bench.clock.advance(limits.absent - second);
    read(&node, &vcard()).await;
    bench.clock.advance(second);
    read(&node, &vcard()).await;
    assert_eq!(bench.told(), [Miss, Filled, HitAbsent, Miss, Filled]);
    bench.table.write(put("x", Condition::Any)).await.unwrap();
    bench.clock.advance(limits.absent);
    assert_eq!(read(&node, &vcard()).await, Some("x".into()));
    bench.clock.advance(limits.present - second);
    read(&node, &vcard()).await;
    bench.clock.advance(second);
    read(&node, &vcard()).await;
    assert_eq!(bench.told(), [Miss, Filled, Hit, Miss, Filled]);
    let soon = bench.clock.seconds() + 5;
    let short = Batch::new().put_until(vcard(), "short", Condition::Any, soon);
    node.write(short).await.unwrap();
    assert_eq!(read(&node, &vcard()).await, Some("short".into()));
    bench.clock.advance(second * 5);
    assert_eq!(read(&node, &vcard()).await, None);
}

#[tokio::test]
async fn what_is_too_large_is_not_cached_and_not_tried_again() {
    use CacheEvent::{Busy, Closed, Filled, Miss};
    let bench = Bench::new();
    let node = bench.node();
    let large = vec![b'x'; CacheLimits::default().max_value];
    node.write(put(large.clone(), Condition::Absent))
        .await
        .unwrap();
    assert_eq!(bench.told(), [Closed]);
    bench.clock.advance(CacheLimits::default().longest());
    for told in [&[Miss, Filled][..], &[Busy], &[Busy]] {
        assert_eq!(read(&node, &vcard()).await, Some(large.clone().into()));
        assert_eq!(bench.told(), told);
    }
}

#[tokio::test]
async fn after_a_conflict_the_next_read_is_of_the_store() {
    let bench = Bench::new();
    let (table, key) = (bench.node(), vcard());
    bench.table.write(put("1", Condition::Any)).await.unwrap();
    read(&table, &key).await;
    // Somebody who does not know of the cache.
    bench.table.write(put("2", Condition::Any)).await.unwrap();
    assert_eq!(read(&table, &key).await, Some("1".into()));
    let refused = table.write(put("3", Condition::Version(1))).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(read(&table, &key).await, Some("2".into()));
    table.write(put("3", Condition::Version(2))).await.unwrap();
}

#[tokio::test]
async fn a_vcard_that_is_old_in_the_cache_is_changed_at_the_second_try() {
    let bench = Bench::new();
    let node = Arc::new(bench.node());
    let blobs: Arc<dyn Blobs> = Arc::new(MemoryBlobs::new());
    let stores = Stores::over(node, blobs.clone()).unguarded();
    let behind = Stores::over(bench.table.clone(), blobs).unguarded();
    let card = Vcard::default();
    stores.vcards.put(&bob(), &card, 0).await.unwrap();
    bench.clock.advance(CacheLimits::default().longest());
    assert_eq!(
        stores.vcards.photo(&bob()).await.unwrap().unwrap().version,
        1
    );
    behind.vcards.put(&bob(), &card, 1).await.unwrap();
    let seen = stores.vcards.photo(&bob()).await.unwrap().unwrap().version;
    assert_eq!(seen, 1, "the cache was not told");
    let refused = stores.vcards.put(&bob(), &card, seen).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    let seen = stores.vcards.photo(&bob()).await.unwrap().unwrap().version;
    assert_eq!(stores.vcards.put(&bob(), &card, seen).await.unwrap(), 3);
}

#[tokio::test]
async fn a_pointer_to_a_blob_that_is_gone_is_read_again() {
    let bench = Bench::new();
    let blobs: Arc<dyn Blobs> = Arc::new(MemoryBlobs::new());
    let node = Arc::new(bench.node());
    let stores = Stores::over(node, blobs.clone()).unguarded();
    let behind = Stores::over(bench.table.clone(), blobs).unguarded();
    let noise = |seed: u32| -> Bytes {
        let byte = |n: u32| ((n * seed) >> 7) as u8 ^ (n >> 3) as u8;
        (0..20_000).map(byte).collect()
    };
    let put = async |stores: &Stores, seed| {
        let xml = noise(seed);
        stores.private.put(&bob(), "a", "b", xml).await.unwrap();
    };
    put(&stores, 7_919).await;
    bench.clock.advance(CacheLimits::default().longest());
    stores.private.get(&bob(), "a", "b").await.unwrap();
    put(&behind, 104_729).await;
    let found = stores.private.get(&bob(), "a", "b").await.unwrap();
    assert!(found.unwrap().xml == noise(104_729));
}

#[tokio::test]
async fn a_cache_of_nonsense_is_replaced() {
    use CacheEvent::{Filled, Hit, Stale};
    let bench = Bench::new();
    let node = bench.node();
    bench.table.write(put("x", Condition::Any)).await.unwrap();
    let name = super::super::name_of(&vcard());
    let set = async |value: &'static [u8]| {
        let expires = Duration::from_secs(60);
        bench.cache.set(&name, value.into(), expires).await.unwrap();
    };
    set(b"\x01nonsense").await;
    assert_eq!(read(&node, &vcard()).await, Some("x".into()));
    assert_eq!(read(&node, &vcard()).await, Some("x".into()));
    assert_eq!(bench.told(), [Stale, Filled, Hit]);
    set(b"\x02of a later version").await;
    for _ in 0..2 {
        assert_eq!(read(&node, &vcard()).await, Some("x".into()));
        assert_eq!(bench.told(), [CacheEvent::Unreadable]);
    }
}

#[tokio::test]
async fn an_outage_of_the_store_is_told_and_not_cached() {
    let bench = Bench::new();
    let switchboard = Switchboard::new(1);
    let faulty = Faulty::new(bench.table.clone(), switchboard.clone());
    let node = bench.node_over(Arc::new(faulty));
    switchboard.add(|_| true, When::Always, Fault::Fail(ErrorKind::Unavailable));
    let failed = node.get(&vcard(), Consistency::Cached).await;
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Unavailable);
    let failed = node.write(put("x", Condition::Any)).await;
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Unavailable);
    switchboard.switch(false);
    bench.table.write(put("x", Condition::Any)).await.unwrap();
    assert_eq!(read(&node, &vcard()).await, Some("x".into()));
}

#[tokio::test]
async fn blobs_are_cached_by_names_that_are_used_once() {
    use CacheEvent::{Filled, Hit, Miss};
    let bench = Bench::new();
    let switchboard = Switchboard::new(1);
    let inner = FaultyBlobs::new(Arc::new(MemoryBlobs::new()), switchboard.clone());
    let clock = Arc::new(bench.clock.clone());
    let limits = CacheLimits::default();
    let blobs = CachedBlobs::new(
        Arc::new(inner),
        bench.cache.clone(),
        limits,
        clock,
        bench.notes.clone(),
    );
    let name = format!("{}1-2-3", object::prefix(&bob(), Kind::Value));
    let again = blobs.put(&name, "x".into(), PutIf::Any).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::NotAllowed);
    assert_eq!(blobs.get(&name).await.unwrap(), None);
    assert_eq!(bench.told(), [Miss]);
    let tag = blobs.put(&name, "x".into(), PutIf::Absent).await.unwrap();
    let found = blobs.get(&name).await.unwrap().unwrap();
    assert_eq!((&found.bytes[..], &found.tag), (&b"x"[..], &tag));
    assert_eq!(bench.told(), [Miss, Filled]);
    switchboard.add(|_| true, When::Always, Fault::Fail(ErrorKind::Unavailable));
    assert_eq!(blobs.get(&name).await.unwrap(), Some(found));
    assert_eq!(bench.told(), [Hit]);
    switchboard.switch(false);
    blobs.remove(&name).await.unwrap();
    assert_eq!(blobs.get(&name).await.unwrap(), None);
    let of_log = |kind| format!("{}1-2-3", object::prefix(&bob(), kind));
    for other in [
        "segments/1".to_owned(),
        of_log(Kind::Segment),
        of_log(Kind::Stanza),
    ] {
        blobs.put(&other, "x".into(), PutIf::Any).await.unwrap();
        bench.told();
        blobs.get(&other).await.unwrap();
        assert_eq!(bench.told(), [], "{other}");
    }
}

/// Every history is explainable: as many changes as were answered, none lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_two_writers_on_one_roster_lose_nothing() {
    let bench = Bench::new();
    let blobs: Arc<dyn Blobs> = Arc::new(MemoryBlobs::new());
    let nodes = [bench.node(), bench.node()]
        .map(|node| Stores::over(Arc::new(node), blobs.clone()).unguarded());
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..32 {
        let rosters = nodes[n % 2].rosters.clone();
        writers.spawn(async move {
            let contact = BareJid::parse(&format!("c{n}@example.org")).unwrap();
            for _ in 0..1000 {
                let mut roster = rosters.load(&bob()).await.unwrap();
                assert!(roster.get(&contact).is_none());
                roster.put(RosterItem::new(contact.clone()));
                let seen = roster.version;
                match rosters.store(&bob(), &roster, seen).await {
                    Ok(version) => {
                        let found = rosters.load(&bob()).await.unwrap();
                        assert!(found.version >= version && found.get(&contact).is_some());
                        return;
                    }
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict),
                }
                tokio::task::yield_now().await;
            }
            panic!("{contact} never got in");
        });
    }
    writers.join_all().await;
    for node in &nodes {
        let Roster { version, items, .. } = node.rosters.load(&bob()).await.unwrap();
        assert_eq!((version, items.len()), (32, 32));
    }
}
