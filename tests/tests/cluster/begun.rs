//! What a client has begun when its account moves, and is done while its session gets ready to go.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use storage::backend::memory::MemoryTable;
use storage::shape::{Batch, Consistency, Key, Page, Query, Record, Space, Table};
use storage::{Error, Result, key};
use tests::cluster::Cluster;
use tests::faults::client::{Client, attr, message, name};
use tests::faults::node::{account, create_accounts};
use tests::faults::settings::Settings;

/// How many accounts move.
const ROUNDS: usize = 8;

/// A table that answers some reads when it is told to.
struct Gate {
    inner: MemoryTable,
    shut: Mutex<BTreeSet<Key>>,
}

impl Gate {
    async fn pass(&self, key: &Key) {
        while self.shut.lock().contains(key) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[async_trait]
impl Table for Gate {
    async fn get(&self, key: &Key, consistency: Consistency) -> Result<Option<Record>> {
        self.pass(key).await;
        self.inner.get(key, consistency).await
    }

    async fn query(&self, query: &Query) -> Result<Page> {
        self.inner.query(query).await
    }

    async fn write(&self, batch: Batch) -> Result<()> {
        self.inner.write(batch).await
    }

    fn trouble(&self) -> Option<Error> {
        self.inner.trouble()
    }

    async fn partitions(
        &self,
        space: Space,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Bytes>> {
        self.inner.partitions(space, after, limit).await
    }
}

/// The presence of a resource waits for its roster while its account is asked for: whatever moment it is done in, the
/// resource is available where its session goes on, and gets messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_moves_with_the_presence_that_it_was_about_to_get() {
    let gate = Arc::new(Gate {
        inner: MemoryTable::new(),
        shut: Mutex::default(),
    });
    let mut cluster = Cluster::start_over(2, Settings::default(), gate.clone())
        .await
        .unwrap();
    cluster.agreed().await;
    let names: Vec<String> = (0..ROUNDS).map(|round| format!("user{round}")).collect();
    let all = names.iter().cloned().chain(["mary".to_owned()]);
    create_accounts(&cluster.stores(), all).await.unwrap();
    for user in &names {
        let jid = account(user);
        let home = cluster.home_of(jid.as_str()).unwrap();
        let next = 1 - home;
        let mut client = Client::login(cluster.address(next), user, "desk")
            .await
            .unwrap();
        client.enable().await.unwrap();
        let roster = key::of_account(&jid, key::ROSTER);
        gate.shut.lock().insert(roster.clone());
        client.send("<presence/>").await.unwrap();
        cluster.leave(home);
        cluster.agreed().await;
        // It is asked for by now, or about to be.
        let next_homes = &cluster.app(next).router.homes;
        while next_homes.loaded(jid.as_str()).is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        gate.shut.lock().remove(&roster);
        client.until(|text| name(text) == "presence").await.unwrap();
        let mut mary = Client::managed(cluster.address(next), "mary", "phone")
            .await
            .unwrap();
        mary.send(&message(jid.as_str(), user, "are you there?"))
            .await
            .unwrap();
        client
            .until(|text| name(text) == "message" && attr(text, "id") == Some(user))
            .await
            .unwrap();
        cluster.come_back(home);
        cluster.agreed().await;
    }
    cluster.stop().await;
}
