//! Maintenance: a round gets through everything, by one node or by several at once, over failures.

use super::*;
use crate::{
    clock::{Clock, SystemClock},
    layer::{
        Faulty, FaultyBlobs, Switchboard,
        faulty::{Fault as Broken, When},
    },
    maintenance::{MaintenanceOptions, Step, Work},
    repository::{Credentials, Mailbox, Retention, RoomRecord, log::verify::Report},
    stores::Stores,
};

const ACCOUNTS: u64 = 23;

fn options() -> MaintenanceOptions {
    MaintenanceOptions {
        compaction: Some(Compaction {
            tail_entries: 50,
            ..eager(40)
        }),
        retention: Retention {
            max_age: None,
            max_entries: Some(150),
        },
        accounts_per_step: 4,
        segments_per_account: 2,
        objects_per_step: 9,
        ..MaintenanceOptions::default()
    }
}

fn account(n: u64) -> BareJid {
    BareJid::parse(&format!("user{n:02}@example.org")).unwrap()
}

async fn fill(stores: &Stores, logs: &TableLogs) {
    for n in 0..ACCOUNTS {
        let account = account(n);
        stores
            .create(&account, Credentials::default(), 1)
            .await
            .unwrap();
        append_up_to(logs, &account, 200, 10).await;
        // Some have read it all, some half, some nothing.
        let mailbox = Mailbox {
            acked: 100 * (n % 3),
            ..Mailbox::default()
        };
        stores.mailboxes.store(&account, &mailbox, 0).await.unwrap();
    }
}

/// When every object of now is old.
fn in_three_days() -> Duration {
    Duration::from_secs(SystemClock.seconds() + 3 * 86_400)
}

/// Steps until the round is over.
async fn round(stores: &Stores, now: Duration) -> Work {
    let maintenance = stores
        .maintenance("example.org", &["example.org"], options())
        .unwrap();
    let mut all = Work::default();
    for _ in 0..1_000 {
        match maintenance.step(now).await.unwrap() {
            Step::Worked(work) => all += work,
            Step::Taken => {}
            Step::Idle { until } => {
                assert_eq!(until, now + options().interval);
                return all;
            }
        }
        tokio::task::yield_now().await;
    }
    panic!("a round without end");
}

async fn check(logs: &TableLogs) {
    for n in 0..ACCOUNTS {
        let found = all(logs, &account(n)).await;
        let first = if n % 3 == 0 { 1 } else { 51 };
        let numbers: Vec<_> = found.iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, (first..=200).collect::<Vec<_>>(), "{n}");
    }
}

#[tokio::test]
async fn a_round_gets_through_everything() {
    let (table, blobs) = memory();
    let stores = Stores::over(table.clone(), blobs.clone());
    let logs = logs(&table, &blobs);
    fill(&stores, &logs).await;
    let now = in_three_days();
    let done = round(&stores, now).await;
    // Of 23 accounts 8 have read 100, from which 50 were dropped, and 7 have read 200: of these 150 may go, 100 did.
    assert_eq!(done.accounts, ACCOUNTS);
    assert_eq!(done.dropped, 15 * 50);
    assert_eq!(
        (done.segments, done.entries),
        (8 * 2 + 7 * 2, 8 * 50 + 7 * 80)
    );
    assert_eq!((done.failed, done.raced, done.swept), (0, 0, 0));
    check(&logs).await;
    // The next round waits, and then takes what is left.
    let maintenance = stores.maintenance("example.org", &[], options()).unwrap();
    let later = now + options().interval;
    let early = maintenance
        .step(later - Duration::from_millis(1))
        .await
        .unwrap();
    assert_eq!(early, Step::Idle { until: later });
    let done = round(&stores, later).await;
    assert_eq!((done.segments, done.entries), (7, 7 * 20));
    check(&logs).await;
    let mut after = None;
    let mut reports = 0;
    loop {
        let mut quiet = |_: &Report| {};
        let page = maintenance.verify_page(after.as_deref(), 5, later, &mut quiet);
        let (page, next) = page.await.unwrap();
        for report in &page {
            assert_eq!(report.problems, []);
        }
        reports += page.len() as u64;
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(reports, ACCOUNTS);
}

#[tokio::test(start_paused = true)]
async fn several_nodes_share_a_round() {
    for seed in 0..20 {
        let (table, blobs) = memory();
        let healthy = Stores::over(table.clone(), blobs.clone());
        let logs = logs(&table, &blobs);
        fill(&healthy, &logs).await;
        let switchboard = Switchboard::new(seed);
        for millis in [1, 7, 30] {
            let delay = Broken::Delay(Duration::from_millis(millis));
            switchboard.add(|_| true, When::Probability(0.4), delay);
        }
        let table = Arc::new(Faulty::new(table, switchboard.clone()));
        let blobs = Arc::new(FaultyBlobs::new(blobs, switchboard));
        let stores = Stores::over(table, blobs);
        let now = Duration::from_secs(5_000_000_000);
        let done = tokio::join!(
            round(&stores, now),
            round(&stores, now),
            round(&stores, now)
        );
        let mut all = Work::default();
        for work in [done.0, done.1, done.2] {
            all += work;
        }
        assert_eq!(all.accounts, ACCOUNTS, "each once");
        assert_eq!(all.dropped, 15 * 50);
        assert_eq!((all.segments, all.failed), (30, 0));
        check(&logs).await;
    }
}

#[tokio::test]
async fn failures_cost_a_round_and_nothing_else() {
    let (table, blobs) = memory();
    let healthy = Stores::over(table.clone(), blobs.clone());
    let logs = logs(&table, &blobs);
    fill(&healthy, &logs).await;
    let switchboard = Switchboard::new(5);
    let fail = Broken::Fail(ErrorKind::Unavailable);
    switchboard.add(|_| true, When::Probability(0.03), fail);
    switchboard.add(|_| true, When::Probability(0.03), Broken::LoseAnswer);
    let stores = Stores::over(
        Arc::new(Faulty::new(table.clone(), switchboard.clone())),
        Arc::new(FaultyBlobs::new(blobs.clone(), switchboard)),
    );
    let mut now = in_three_days();
    let mut all = Work::default();
    for _ in 0..6 {
        let maintenance = stores
            .maintenance("example.org", &["example.org"], options())
            .unwrap();
        for _ in 0..1_000 {
            match maintenance.step(now).await {
                Ok(Step::Worked(work)) => all += work,
                Ok(Step::Idle { .. }) => break,
                Ok(Step::Taken) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable),
            }
        }
        now += options().interval;
    }
    assert!(all.failed > 5, "{all:?}");
    for n in 0..ACCOUNTS {
        end_claims(&*table, &account(n)).await;
    }
    round(&healthy, now).await;
    check(&logs).await;
    for n in 0..ACCOUNTS {
        let account = account(n);
        let keeping = Keeping::of_account(&account, &*healthy.mailboxes, now);
        let report = logs.verify(&keeping, &mut |_| {}).await.unwrap();
        assert_eq!(report.problems, [], "{n}");
    }
}

#[tokio::test]
async fn logs_of_rooms_are_compacted_unless_they_are_being_destroyed() {
    let (table, blobs) = memory();
    let stores = Stores::over(table.clone(), blobs.clone());
    let logs = logs(&table, &blobs);
    let room = |name: &str| BareJid::parse(&format!("{name}@rooms.example")).unwrap();
    let record = RoomRecord::default();
    let gone = RoomRecord {
        gone: true,
        ..RoomRecord::default()
    };
    for (name, record) in [("cave", &record), ("ruin", &gone)] {
        stores.rooms.create(&room(name), record, &[]).await.unwrap();
        append_up_to(&logs, &room(name), 200, 10).await;
    }
    let options = MaintenanceOptions {
        retention: Retention::default(),
        ..options()
    };
    let maintenance = stores.room_maintenance("rooms.example", &["rooms.example"], options);
    let maintenance = maintenance.unwrap();
    let mut all = Work::default();
    while let Step::Worked(work) = maintenance.step(in_three_days()).await.unwrap() {
        all += work;
    }
    assert_eq!((all.accounts, all.failed), (2, 0));
    assert!(all.segments > 0);
    for (name, is_compacted) in [("cave", true), ("ruin", false)] {
        let extent = maintenance.extent(&room(name)).await.unwrap();
        assert_eq!(extent.segments > 0, is_compacted, "{name}");
        let numbers = self::all(&logs, &room(name)).await;
        assert_eq!(numbers.len(), 200, "{name}");
    }
}
