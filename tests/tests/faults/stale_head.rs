//! No home appends behind a head that it learned of long ago: what was compacted meanwhile is no more in the table, where
//! it would stand in the way.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use storage::layer::Call;
use storage::layer::faulty::{Fault, Target, When};
use storage::maintenance::{Maintenance, MaintenanceOptions};
use storage::repository::{Compaction, EntryFlags, LogRange, Mailbox, NewEntry};
use storage::shape::Space;
use storage::{Clock, ErrorKind, ManualClock, SystemClock, key};
use tests::faults::client::{Client, PATIENCE, attr, message};
use tests::faults::node::{DOMAIN, Local, account};
use tests::faults::settings::Settings;
use xmpp::Jid;

const WEEK: Duration = Duration::from_secs(8 * 86_400);

/// A node under a clock of its own; alice and bob are there, and each has a message in the log.
struct Stage {
    node: Local,
    clock: ManualClock,
    alice: Client,
    bob: Client,
}

async fn stage() -> Stage {
    let clock = ManualClock::at(SystemClock.seconds());
    let settings = Settings::default();
    let node = Local::start_at(&settings, Arc::new(clock.clone()), |_| {});
    let node = node.await.unwrap();
    node.accounts(["alice", "bob"]).await.unwrap();
    let bob = Client::online(node.address(), "bob", "phone");
    let bob = bob.await.unwrap();
    let alice = Client::managed(node.address(), "alice", "phone");
    let alice = alice.await.unwrap();
    let mut stage = Stage {
        node,
        clock,
        alice,
        bob,
    };
    stage.say("first").await;
    stage
}

impl Stage {
    /// Alice writes to bob, until it is in both logs.
    async fn say(&mut self, id: &str) {
        self.alice
            .send(&message("bob@localhost", id, "hello"))
            .await
            .unwrap();
        self.alice.handled().await.unwrap();
    }

    /// What another node does that takes itself for bob's home: it appends up to a number, and marks all as handed over.
    async fn elsewhere(&self, up_to: u64) {
        let (bob, stores) = (account("bob"), &self.node.stores);
        let mut head = stores.logs.head(&bob).await.unwrap();
        while head < up_to {
            let entry = NewEntry {
                time_ms: self.clock.now().as_millis() as u64,
                flags: EntryFlags::ARCHIVED,
                peer: Jid::parse("carol@localhost/x").unwrap(),
                stanza: Bytes::from(format!("<message xmlns='jabber:client' id='e{head}'/>")),
            };
            stores
                .logs
                .append(&bob, head, head + 1, &[entry])
                .await
                .unwrap();
            head += 1;
        }
        let seen = stores.mailboxes.load(&bob).await.unwrap();
        let mailbox = Mailbox {
            acked: head,
            ..seen.clone()
        };
        stores
            .mailboxes
            .store(&bob, &mailbox, seen.version)
            .await
            .unwrap();
    }

    fn maintenance(&self) -> Maintenance {
        let options = MaintenanceOptions {
            compaction: Some(Compaction {
                tail_entries: 1,
                segment_entries: 4,
                min_age: Duration::from_secs(86_400),
                ..Compaction::default()
            }),
            segments_per_account: 100,
            ..MaintenanceOptions::default()
        };
        self.node.stores.maintenance(DOMAIN, &[], options).unwrap()
    }

    /// Compacts bob's log, once it is old.
    async fn compact(&self) {
        let work = self.maintenance();
        let done = work.look_after_one(&account("bob"), self.clock.now()).await;
        assert!(done.unwrap().segments > 0);
        let extent = work.extent(&account("bob")).await.unwrap();
        assert!(extent.segment_entries > 4, "{extent:?}");
    }

    /// The ids in bob's log, which is sound and has this many entries.
    async fn ids(&self, entries: u64) -> Vec<String> {
        let now = self.clock.now();
        let report = self
            .maintenance()
            .verify(&account("bob"), now, &mut |_| {})
            .await;
        let report = report.unwrap();
        assert!(report.is_sound(), "{report}: {:?}", report.problems);
        let logs = &self.node.stores.logs;
        let found = logs
            .read(&account("bob"), LogRange::ALL, false, 1_000)
            .await
            .unwrap();
        let numbers: Vec<u64> = found.iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, (1..=entries).collect::<Vec<_>>());
        let id = |stanza: &Bytes| attr(&String::from_utf8_lossy(stanza), "id").map(str::to_owned);
        found.iter().filter_map(|entry| id(&entry.stanza)).collect()
    }
}

/// Calls about bob's log.
fn of_bob(wanted: impl Fn(Call) -> bool + Send) -> impl Fn(&Target<'_>) -> bool + Send {
    let log = key::log(&account("bob"));
    move |target| wanted(target.call) && target.space == Some(Space::Log) && target.name == &log[..]
}

#[tokio::test]
async fn a_head_of_last_week_is_read_again() {
    let mut stage = stage().await;
    stage.elsewhere(21).await;
    stage.clock.advance(WEEK);
    stage.compact().await;
    stage.say("second").await;
    let ids = stage.ids(22).await;
    assert_eq!((&*ids[0], &*ids[21]), ("first", "second"));
    let got = stage.bob.until(|text| attr(text, "id") == Some("second"));
    got.await.unwrap();
}

#[tokio::test]
async fn a_head_is_read_again_after_an_hour_and_not_before() {
    let mut stage = stage().await;
    let faults = stage.node.switchboard.clone();
    faults.add(
        of_bob(|call| call == Call::Query),
        When::Always,
        Fault::Delay(Duration::ZERO),
    );
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    for (number, (passed, reads)) in [(0, 0), (59, 0), (59, 0), (61, 1), (1, 1), (60 * 24, 2)]
        .into_iter()
        .enumerate()
    {
        stage.clock.advance(minutes(passed));
        stage.say(&format!("m{number}")).await;
        assert_eq!(faults.hits(), reads, "{number}: {passed} minutes later");
    }
    assert_eq!(stage.ids(7).await.len(), 7);
}

/// The answer to an append was lost, and for a week the store did not say whether it was done. It was, and meanwhile it
/// was compacted.
#[tokio::test]
async fn an_append_whose_answer_was_lost_long_ago_is_recognised() {
    let mut stage = stage().await;
    let faults = stage.node.switchboard.clone();
    faults.add(of_bob(Call::is_write), When::Always, Fault::LoseAnswer);
    stage
        .alice
        .send(&message("bob@localhost", "second", "hello"))
        .await
        .unwrap();
    let stored = async {
        while stage.node.stores.logs.head(&account("bob")).await.unwrap() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, stored).await.unwrap();
    faults.add(
        of_bob(|_| true),
        When::Always,
        Fault::Fail(ErrorKind::Unavailable),
    );
    stage.clock.advance(WEEK);
    stage.elsewhere(21).await;
    stage.clock.advance(WEEK);
    stage.compact().await;
    faults.clear();
    stage.alice.handled().await.unwrap();
    stage.say("third").await;
    let ids = stage.ids(22).await;
    assert_eq!(
        (&*ids[0], &*ids[1], &*ids[21]),
        ("first", "second", "third")
    );
    let again = ids.iter().filter(|id| *id == "second").count();
    assert_eq!(again, 1, "{ids:?}");
}
