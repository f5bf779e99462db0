//! The suites that every backend must pass, on real servers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::sync::Arc;

use storage::{
    ManualClock, Stores,
    conformance::{self, Subject},
};

use common::{Database, Kind, NOW};

async fn table(kind: Kind) {
    let (database, clock) = (Database::start(kind), ManualClock::at(NOW));
    let sql = database
        .open_with(database.options(), Arc::new(clock.clone()))
        .await;
    conformance::table(Subject::new(sql.table(), clock)).await;
}

/// One batch a transaction, one connection for it.
async fn table_without_gathering(kind: Kind) {
    let (database, clock) = (Database::start(kind), ManualClock::at(NOW));
    let mut options = database.options();
    (options.gather, options.writers, options.connections) = (1, 1, 2);
    let sql = database.open_with(options, Arc::new(clock.clone())).await;
    conformance::table(Subject::new(sql.table(), clock)).await;
}

async fn blobs(kind: Kind) {
    let database = Database::start(kind);
    let sql = database.open().await;
    conformance::blobs(Arc::new(sql.blobs()), "run").await;
}

async fn stores(kind: Kind) {
    let database = Database::start(kind);
    let sql = database.open().await;
    let stores = Stores::over(Arc::new(sql.table()), Arc::new(sql.blobs()));
    conformance::stores(&stores).await;
}

async fn what_clusters_share(kind: Kind) {
    let (database, clock) = (Database::start(kind), ManualClock::at(NOW));
    let its = Arc::new(clock.clone());
    let sql = database.open_with(database.options(), its).await;
    conformance::control(Arc::new(sql.table()), clock).await;
}

on_each!(
    table,
    table_without_gathering,
    blobs,
    stores,
    what_clusters_share
);
