//! Objects that nobody points at go, and no others; whoever writes meanwhile.

use super::*;
use crate::{
    clock::{Clock, ManualClock, SystemClock},
    key,
    repository::{Credentials, Vcard},
    shape::{Batch, Condition, Key, PutIf, Space},
    stores::Stores,
    sweep::Sweep,
};

const DAY: Duration = Duration::from_secs(86_400);

fn sweep(table: &Arc<MemoryTable>, blobs: &Arc<MemoryBlobs>) -> Sweep {
    let domains = vec!["example.org".to_owned()];
    Sweep::new(table.clone(), blobs.clone(), domains, DAY)
}

/// Sweeps everything, page by page; how many went.
async fn sweep_all(sweep: &Sweep, page: usize, now: Duration) -> u64 {
    let (mut after, mut removed) = (None, 0);
    loop {
        let swept = sweep.page(after.as_deref(), page, now).await.unwrap();
        removed += swept.removed;
        after = match swept.next {
            Some(next) => Some(next),
            None => return removed,
        };
    }
}

async fn names(blobs: &MemoryBlobs) -> Vec<String> {
    blobs.list("", None, 10_000).await.unwrap()
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

async fn fill(table: &Arc<MemoryTable>, blobs: &Arc<MemoryBlobs>, owner: &BareJid) {
    let stores = Stores::over(table.clone(), blobs.clone());
    stores
        .create(owner, Credentials::default(), 1)
        .await
        .unwrap();
    let logs = TableLogs::new(table.clone(), blobs.clone(), 1_000);
    append_up_to(&logs, owner, 100, 7).await;
    let long = NewEntry {
        stanza: noise(7, 3_000).into(),
        ..entry(101, "")
    };
    logs.append(owner, 100, 1, &[long.clone(), long])
        .await
        .unwrap();
    append_up_to(&logs, owner, 200, 7).await;
    compact_all(&logs, owner, &eager(60)).await;
    let vcard = Vcard {
        xml: noise(3, 20_000).into(),
        ..Vcard::default()
    };
    stores.vcards.put(owner, &vcard, 0).await.unwrap();
    stores
        .private
        .put(owner, "a", "b", noise(5, 20_000).into())
        .await
        .unwrap();
}

#[tokio::test]
async fn only_what_nobody_points_at_goes_and_not_too_soon() {
    let (table, blobs) = memory();
    let now = SystemClock.now();
    let (bob, bobby) = (archive(), BareJid::parse("bobby@example.org").unwrap());
    let stranger = BareJid::parse("bob@elsewhere.example").unwrap();
    for owner in [&bob, &bobby, &stranger] {
        fill(&table, &blobs, owner).await;
    }
    let kept = names(&blobs).await;
    // What dead writers leave: objects of each kind, of those who are there and of one who is no more.
    let gone = BareJid::parse("gone@example.org").unwrap();
    let mut orphans = Vec::new();
    for owner in [&bob, &gone, &stranger] {
        let (other, scratch) = memory();
        fill(&other, &scratch, owner).await;
        for name in names(&scratch).await {
            let bytes = scratch.get(&name).await.unwrap().unwrap().bytes;
            blobs.put(&name, bytes, PutIf::Absent).await.unwrap();
            orphans.push((name, owner));
        }
    }
    // One that says it is another's, and one of before names had a time.
    let mut odd = Vec::new();
    for name in [
        "u/abc/s/000000000001-0000000000000001-0000000000000001",
        "u/abc/0123456789abcdef",
    ] {
        blobs
            .put(name, Bytes::from_static(b"\x02\x01\x00a"), PutIf::Absent)
            .await
            .unwrap();
        odd.push(name.to_owned());
    }
    let sweep = sweep(&table, &blobs);
    assert_eq!(
        sweep_all(&sweep, 7, now + Duration::from_secs(60)).await,
        0,
        "too young"
    );
    let ours = orphans
        .iter()
        .filter(|(_, owner)| **owner != stranger)
        .count();
    assert!(ours > 10);
    assert_eq!(sweep_all(&sweep, 7, now + DAY * 2).await, ours as u64);
    let mut expected: Vec<_> = kept.iter().cloned().chain(odd).collect();
    let theirs = orphans.iter().filter(|(_, owner)| **owner == stranger);
    expected.extend(theirs.map(|(name, _)| name.clone()));
    expected.sort();
    assert_eq!(names(&blobs).await, expected);
    assert_eq!(sweep_all(&sweep, 1, now + DAY * 2).await, 0);
    let logs = logs(&table, &blobs);
    assert_eq!(all(&logs, &bob).await.len(), 200);
}

#[tokio::test]
async fn logs_alone_can_be_swept() {
    let (table, blobs) = memory();
    let bob = archive();
    fill(&table, &blobs, &bob).await;
    let other = Arc::new(MemoryTable::new());
    // Nothing of it is in this table, as it seems: the values are in another.
    let sweep = sweep(&other, &blobs).of_logs();
    sweep_all(&sweep, 5, SystemClock.now() + DAY * 2).await;
    let left = names(&blobs).await;
    assert_eq!(left.len(), 2);
    assert!(left.iter().all(|name| name.contains("/v/")), "{left:?}");
}

/// A record that cannot be read may point at anything: of its owner no value goes, and the others are swept as ever.
#[tokio::test]
async fn a_record_that_cannot_be_read_keeps_the_values_of_its_owner_only() {
    let (table, blobs) = memory();
    let (bob, bobby) = (archive(), BareJid::parse("bobby@example.org").unwrap());
    for owner in [&bob, &bobby] {
        fill(&table, &blobs, owner).await;
    }
    let mut kept = names(&blobs).await;
    for owner in [&bob, &bobby] {
        let (other, scratch) = memory();
        fill(&other, &scratch, owner).await;
        for name in names(&scratch).await {
            let bytes = scratch.get(&name).await.unwrap().unwrap().bytes;
            blobs.put(&name, bytes, PutIf::Absent).await.unwrap();
            if owner == &bob && name.contains("/v/") {
                kept.push(name);
            }
        }
    }
    kept.sort();
    let unreadable = Key {
        space: Space::Core,
        partition: key::account(&bob),
        sort: key::private_xml("x", "y"),
    };
    let batch = Batch::new().put(unreadable, vec![0xff; 9], Condition::Absent);
    table.write(batch).await.unwrap();
    let sweep = sweep(&table, &blobs);
    assert!(sweep_all(&sweep, 5, SystemClock.now() + DAY * 2).await > 5);
    assert_eq!(names(&blobs).await, kept);
}

/// A compaction and an append of a long stanza die at any operation: what a sweep removes then is nobody's.
#[tokio::test]
async fn what_the_dead_leave_is_swept_and_nothing_is_missed() {
    let (bob, mut swept) = (archive(), 0);
    for at in 0.. {
        let mut died = false;
        for fault in [Fault::DieBefore(at), Fault::DieAfter(at)] {
            let (table, blobs) = memory();
            let healthy = TableLogs::new(table.clone(), blobs.clone(), 1_000);
            append_up_to(&healthy, &bob, 100, 7).await;
            let long = NewEntry {
                stanza: noise(7, 3_000).into(),
                ..entry(101, "")
            };
            let unruly = Arc::new(Unruly::over(table.clone(), blobs.clone()).with_fault(fault));
            let dying = TableLogs::new(unruly.clone(), unruly, 1_000);
            let appended = dying.append(&bob, 100, 1, &[long]).await;
            let compacted = dying.compact(&keeping(&bob), &eager(60)).await;
            died |= appended.is_err() || compacted.is_err();
            let before = all(&healthy, &bob).await;
            swept += sweep_all(&sweep(&table, &blobs), 3, SystemClock.now() + DAY * 2).await;
            assert_eq!(all(&healthy, &bob).await, before, "died at {at}");
            end_claims(&*table, &bob).await;
            compact_all(&healthy, &bob, &eager(60)).await;
            assert_eq!(all(&healthy, &bob).await, before);
            sweep_all(&sweep(&table, &blobs), 3, SystemClock.now() + DAY * 2).await;
            assert_eq!(all(&healthy, &bob).await, before);
            let later = Keeping {
                now: SystemClock.now() + DAY * 2,
                ..keeping(&bob)
            };
            let report = healthy.verify(&later, &mut |_| {}).await.unwrap();
            assert_eq!(report.problems, []);
        }
        if !died {
            break;
        }
    }
    assert!(swept >= 4, "{swept}");
}

/// A writer that slept after it had made a name comes back when its object was swept.
#[tokio::test]
async fn who_slept_too_long_does_not_point_at_what_was_swept() {
    let bob = archive();
    let long = |number: u64| NewEntry {
        stanza: noise(number, 3_000).into(),
        ..entry(number, "")
    };
    for (at, pause) in [(0, DAY * 3), (1, DAY * 3), (1, Duration::from_secs(600))] {
        let (table, blobs) = memory();
        let clock = ManualClock::at(1_800_000_000);
        let sleeper = Arc::new(Unruly::over(table.clone(), blobs.clone()).with_pause(at));
        let logs = TableLogs::new(sleeper.clone(), sleeper.clone(), 1_000)
            .with_clock(Arc::new(clock.clone()));
        let new = [long(1), long(2)];
        let append = logs.append(&bob, 0, 7, &new);
        let wake = async {
            sleeper.sleeps().await;
            clock.advance(pause);
            let swept = sweep_all(&sweep(&table, &blobs), 3, clock.now()).await;
            sleeper.wake();
            swept
        };
        let (result, swept) = tokio::join!(append, wake);
        let healthy = TableLogs::new(table.clone(), blobs.clone(), 1_000);
        let found = all(&healthy, &bob).await;
        if pause > DAY {
            assert_eq!(swept, at as u64);
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Unavailable);
            assert_eq!(found, []);
        } else {
            result.unwrap();
            assert_eq!((swept, found.len()), (0, 2));
        }
    }
}
