//! Work on a log whose account is erased meanwhile, and whose name has another owner when it goes on.

use super::*;
use crate::{
    repository::{Credentials, Mailbox, Retention, TableMailboxes},
    stores::Stores,
};

/// What was read of a log that was erased meanwhile must not come back, nor touch the log of the next owner.
#[tokio::test]
async fn who_works_over_an_erasure_touches_nothing_of_the_next_owner() {
    let retention = Retention {
        max_age: None,
        max_entries: Some(5),
    };
    for retains in [false, true] {
        let mut met = 0;
        for at in 0.. {
            let slept = sleep_over_an_erasure(at, |logs, keeping| async move {
                if retains {
                    logs.retain(&keeping, &retention).await.map(drop)
                } else {
                    logs.compact(&keeping, &eager(30)).await.map(drop)
                }
            });
            if !slept.await {
                break;
            }
            met += 1;
        }
        assert!(met > 10, "{met} operations");
    }
}

/// Works on the log of an account that is replaced before the operation `at`; whether there was such an operation.
async fn sleep_over_an_erasure<F: Future<Output = Result<()>>>(
    at: usize,
    work: impl FnOnce(Arc<TableLogs>, Keeping<'static>) -> F,
) -> bool {
    let (table, blobs) = memory();
    let stores = Stores::over(table.clone(), blobs.clone());
    let (logs, bob) = (logs(&table, &blobs), archive());
    let owner = async |words: &str| {
        stores
            .create(&bob, Credentials::default(), 1)
            .await
            .unwrap();
        for n in 0..5 {
            let new: Vec<_> = (n * 10 + 1..=n * 10 + 10)
                .map(|n| entry(n, words))
                .collect();
            logs.append(&bob, n * 10, n, &new).await.unwrap();
        }
    };
    owner("old").await;
    let mailbox = Mailbox {
        acked: 50,
        ..Mailbox::default()
    };
    stores.mailboxes.store(&bob, &mailbox, 0).await.unwrap();
    let sleeper = Arc::new(Unruly::over(table.clone(), blobs.clone()).with_pause(at));
    // They live as long as the test.
    let mailboxes: &'static TableMailboxes =
        Box::leak(Box::new(TableMailboxes::new(sleeper.clone())));
    let owner_of: &'static BareJid = Box::leak(Box::new(bob.clone()));
    let keeping = Keeping::of_account(owner_of, mailboxes, LATER);
    let work = work(Arc::new(over(&sleeper)), keeping);
    tokio::pin!(work);
    let slept = tokio::select! {
        biased;
        () = sleeper.sleeps() => true,
        done = &mut work => {
            done.unwrap();
            false
        }
    };
    if !slept {
        return false;
    }
    stores.erase(&bob).await.unwrap();
    // The same numbers, the same versions, other words; and nothing of it was handed over.
    owner("new").await;
    sleeper.wake();
    work.await.unwrap();
    let found = all(&logs, &bob).await;
    let expected: Vec<_> = (1..=50).map(|n| entry(n, "new").stanza).collect();
    let found: Vec<_> = found.into_iter().map(|it| it.stanza).collect();
    assert_eq!(found, expected, "replaced before operation {at}");
    // Nothing points at what the old owner had.
    let after = super::keeping(&bob);
    let report = logs.verify(&after, &mut |_| {}).await.unwrap();
    assert_eq!(
        (report.segments, report.in_table),
        (0, 50),
        "operation {at}"
    );
    true
}
