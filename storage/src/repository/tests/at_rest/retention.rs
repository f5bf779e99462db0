//! What is too old or too much goes, whoever dies at it; what waits stays.

use super::*;
use crate::{
    clock::ManualClock,
    key,
    repository::{Credentials, Mailbox, Retention},
    shape::{Consistency, Query, Space},
    stores::Stores,
};

struct Kept {
    table: Arc<MemoryTable>,
    blobs: Arc<MemoryBlobs>,
    stores: Stores,
    logs: TableLogs,
    bob: BareJid,
}

impl Kept {
    /// 3,000 entries, a second apart; of the first 2,500 segments of 400. All but the newest was handed over up to there.
    async fn new(acked: u64) -> Self {
        // A clock that says what the tests do: claims must not be over before they began.
        let clock = Arc::new(ManualClock::at(30));
        let table = Arc::new(MemoryTable::with_clock(clock));
        let blobs = Arc::new(MemoryBlobs::new());
        let stores = Stores::over(table.clone(), blobs.clone());
        let (logs, bob) = (logs(&table, &blobs), archive());
        stores
            .create(&bob, Credentials::default(), 1)
            .await
            .unwrap();
        append_up_to(&logs, &bob, 3_000, 25).await;
        let when = Compaction {
            tail_entries: 500,
            ..eager(400)
        };
        assert_eq!(compact_all(&logs, &bob, &when).await, 7);
        let mailbox = Mailbox {
            acked,
            ..Mailbox::default()
        };
        stores.mailboxes.store(&bob, &mailbox, 0).await.unwrap();
        // All rows of contacts.
        let nobody = BareJid::parse("nobody@example.org").unwrap();
        let none = logs.read_with(&bob, &nobody, LogRange::ALL, false, 1).await;
        assert_eq!(none.unwrap(), []);
        Self {
            table,
            blobs,
            stores,
            logs,
            bob,
        }
    }

    fn keeping(&self, now: Duration) -> Keeping<'_> {
        Keeping::of_account(&self.bob, &*self.stores.mailboxes, now)
    }

    async fn first(&self) -> u64 {
        let found = self.logs.read(&self.bob, LogRange::ALL, false, 1).await;
        found.unwrap()[0].number
    }

    async fn rows(&self) -> usize {
        let query = Query {
            space: Space::Idx,
            partition: key::log_contacts(&self.bob),
            from: None,
            until: None,
            reverse: false,
            limit: 100,
            consistency: Consistency::Strong,
        };
        Table::query(&*self.table, &query)
            .await
            .unwrap()
            .records
            .len()
    }
}

fn keep(max_age: Option<u64>, max_entries: Option<u64>) -> Retention {
    Retention {
        max_age: max_age.map(Duration::from_millis),
        max_entries,
    }
}

#[tokio::test]
async fn what_is_beyond_a_bound_goes() {
    // Entry n is of 10 n ms.
    let now = Duration::from_millis(30_000);
    let check = async |acked, retention: Retention, first: u64, objects: usize, rows: usize| {
        let kept = Kept::new(acked).await;
        let before = all(&kept.logs, &kept.bob).await;
        let keeping = kept.keeping(now);
        let dropped = kept.logs.retain(&keeping, &retention).await.unwrap();
        assert_eq!(dropped, Some(first - 1), "{retention:?}");
        assert_eq!(kept.first().await, first);
        let left = all(&kept.logs, &kept.bob).await;
        assert_eq!(left, before[first as usize - 1..]);
        let names = kept.blobs.list("", None, 99).await.unwrap();
        assert_eq!((names.len(), kept.rows().await), (objects, rows));
        let again = kept.logs.retain(&keeping, &retention).await.unwrap();
        assert_eq!(again, Some(0), "nothing is left to do");
        let report = kept.logs.verify(&keeping, &mut |_| {}).await.unwrap();
        assert_eq!(report.problems, []);
    };
    check(3_000, keep(None, None), 1, 7, 2).await;
    check(3_000, keep(None, Some(2_900)), 101, 7, 2).await;
    check(3_000, keep(None, Some(2_600)), 401, 6, 2).await;
    check(3_000, keep(None, Some(1_800)), 1_201, 4, 1).await;
    // An item goes as a whole.
    check(3_000, keep(None, Some(110)), 2_876, 0, 0).await;
    check(3_000, keep(None, Some(0)), 2_976, 0, 0).await;
    check(3_000, keep(Some(20_000), None), 1_000, 5, 2).await;
    check(3_000, keep(Some(20_000), Some(2_600)), 1_000, 5, 2).await;
    check(3_000, keep(Some(60_000), None), 1, 7, 2).await;
    // What may wait stays, wherever it is.
    check(700, keep(None, Some(110)), 701, 6, 2).await;
    check(0, keep(Some(1), None), 1, 7, 2).await;
    check(2_890, keep(None, Some(0)), 2_876, 0, 0).await;
}

#[tokio::test]
async fn who_dies_at_it_leaves_a_log_that_reads_and_another_goes_on() {
    let (now, retention) = (Duration::from_millis(30_000), keep(None, Some(950)));
    let mut deaths = 0;
    for at in 0.. {
        let mut died = false;
        for fault in [Fault::DieBefore(at), Fault::DieAfter(at)] {
            let kept = Kept::new(3_000).await;
            let before = all(&kept.logs, &kept.bob).await;
            let unruly = Unruly::over(kept.table.clone(), kept.blobs.clone());
            let dying = over(&Arc::new(unruly.with_fault(fault)));
            if dying.retain(&kept.keeping(now), &retention).await.is_err() {
                (died, deaths) = (true, deaths + 1);
            }
            let first = kept.first().await;
            let left = all(&kept.logs, &kept.bob).await;
            assert_eq!(left, before[first as usize - 1..], "died at {at}");
            end_claims(&*kept.table, &kept.bob).await;
            let gone = kept.logs.retain(&kept.keeping(now), &retention).await;
            assert_eq!(gone.unwrap(), Some(2_051 - first));
            assert_eq!(kept.first().await, 2_051);
        }
        if !died {
            break;
        }
    }
    assert!(deaths > 30, "{deaths}");
}
