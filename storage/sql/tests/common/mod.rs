//! A database of each kind, on a server of its own.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use services::{MariaDb, Postgres};
use storage::{
    Clock, ManualClock,
    shape::{Batch, Condition, Key, Space},
};
use storage_sql::{DatabaseUrl, Sql, SqlOptions};
use tempfile::TempDir;

pub(crate) const NOW: u64 = 1_800_000_000;

/// What the tests run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    MariaDb,
    Sqlite,
}

/// A running server, or a directory with a file.
pub(crate) enum Database {
    Postgres(Postgres),
    MariaDb(MariaDb),
    Sqlite(TempDir),
}

impl Database {
    pub(crate) fn start(kind: Kind) -> Self {
        Self::with_settings(kind, &[])
    }

    pub(crate) fn with_settings(kind: Kind, settings: &[&str]) -> Self {
        match kind {
            Kind::Postgres => Self::Postgres(Postgres::start(settings).unwrap()),
            Kind::MariaDb => Self::MariaDb(MariaDb::start(settings).unwrap()),
            Kind::Sqlite => Self::Sqlite(tempfile::tempdir().unwrap()),
        }
    }

    pub(crate) fn url(&self) -> DatabaseUrl {
        DatabaseUrl::new(match self {
            Self::Postgres(server) => server.url(),
            Self::MariaDb(server) => server.url(),
            Self::Sqlite(directory) => {
                format!("sqlite://{}/starling.db", directory.path().display())
            }
        })
    }

    pub(crate) fn options(&self) -> SqlOptions {
        let mut options = SqlOptions::new(self.url());
        // A password costs an unoptimised build a tenth of a second for each connection, and more on a busy machine.
        options.connect = Duration::from_secs(60);
        options.timeout = Duration::from_secs(60);
        options.acquire = Duration::from_secs(120);
        options
    }

    /// With its tables, under this clock.
    pub(crate) async fn open_with(&self, options: SqlOptions, clock: Arc<dyn Clock>) -> Sql {
        let sql = Sql::with_clock(options, clock).unwrap();
        sql.init().await.unwrap();
        sql
    }

    pub(crate) async fn open(&self) -> Sql {
        self.open_with(self.options(), Arc::new(ManualClock::at(NOW)))
            .await
    }

    /// Ends the server at once and starts it again. A file has no server.
    pub(crate) fn kill(&mut self) {
        match self {
            Self::Postgres(server) => server.kill(),
            Self::MariaDb(server) => server.kill(),
            Self::Sqlite(_) => {}
        }
    }

    pub(crate) fn restart(&mut self) {
        match self {
            Self::Postgres(server) => server.restart().unwrap(),
            Self::MariaDb(server) => server.restart().unwrap(),
            Self::Sqlite(_) => {}
        }
    }

    pub(crate) fn freeze(&self) {
        match self {
            Self::Postgres(server) => server.freeze().unwrap(),
            Self::MariaDb(server) => server.freeze().unwrap(),
            Self::Sqlite(_) => {}
        }
    }

    pub(crate) fn thaw(&self) {
        match self {
            Self::Postgres(server) => server.thaw().unwrap(),
            Self::MariaDb(server) => server.thaw().unwrap(),
            Self::Sqlite(_) => {}
        }
    }
}

/// A key in a table.
pub(crate) fn key(space: Space, partition: &str, sort: impl AsRef<[u8]>) -> Key {
    Key {
        space,
        partition: Bytes::copy_from_slice(partition.as_bytes()),
        sort: Bytes::copy_from_slice(sort.as_ref()),
    }
}

/// A put alone.
pub(crate) fn put(key: &Key, value: impl Into<Bytes>, condition: Condition) -> Batch {
    Batch::new().put(key.clone(), value, condition)
}

/// The same test on each kind of database.
#[macro_export]
macro_rules! on_each {
    ($($test:ident),* $(,)?) => {
        $crate::on_each!(@kind postgres, Postgres, $($test),*);
        $crate::on_each!(@kind mariadb, MariaDb, $($test),*);
        $crate::on_each!(@kind sqlite, Sqlite, $($test),*);
    };
    (@kind $module:ident, $kind:ident, $($test:ident),*) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test($crate::common::Kind::$kind).await;
                }
            )*
        }
    };
}
