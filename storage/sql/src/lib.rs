//! PostgreSQL, MySQL, MariaDB and SQLite as a table and as blobs.
//!
//! One implementation speaks all three dialects: what differs stands in `dialect` (how rows are named, locked, inserted) and
//! in `schema` (column types). `connection` is the narrow waist over sqlx, `pool` owns the connections, `error` says what an
//! error means for what was being done.
//!
//! | file | what |
//! |---|---|
//! | `options` | what is configured; the URL, which never prints its password |
//! | `target` | a URL -> what sqlx connects to: TLS, time-outs, settings of the session |
//! | `connection`, `statement` | one connection of any dialect; SQL with its arguments |
//! | `pool` | bounded connections, deadlines, which of them may be used again |
//! | `dialect` | what the three say differently |
//! | `schema` | tables, versions of the schema, `init` and `check` |
//! | `table` | [`Table`](storage::shape::Table): reads, writes that gather, sweeping |
//! | `blobs` | [`Blobs`](storage::shape::Blobs): a row for each object and one for each part of it |

mod blobs;
mod connection;
mod dialect;
mod error;
mod name;
mod options;
mod pool;
mod schema;
mod statement;
mod stored;
mod table;
mod target;

use std::sync::Arc;

use storage::{Clock, Result, SystemClock};

pub use blobs::SqlBlobs;
pub use options::{DatabaseUrl, SqlOptions};
pub use table::SqlTable;

use self::{name::Names, pool::Pool, target::Target};

/// A database, and what is kept in it.
#[derive(Clone)]
pub struct Sql {
    inner: Arc<Inner>,
    table: SqlTable,
    blobs: SqlBlobs,
}

/// What table, blobs and schema share.
struct Inner {
    options: SqlOptions,
    names: Names,
    clock: Arc<dyn Clock>,
    /// For reads.
    readers: Pool,
    /// For writes: SQLite has one.
    writers: Pool,
    /// For reads that may be a little behind.
    replica: Option<Pool>,
}

impl Sql {
    /// A database under the machine's clock. Nothing is connected yet: ask [`Sql::check`] before it is used.
    ///
    /// # Errors
    /// `NotAllowed` for a URL or a prefix that cannot be; the sentence names what, never a password.
    pub fn open(options: SqlOptions) -> Result<Self> {
        Self::with_clock(options, Arc::new(SystemClock))
    }

    /// The same under this clock, which decides what has expired.
    ///
    /// # Errors
    /// As [`Sql::open`].
    pub fn with_clock(options: SqlOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let names = Names::new(&options.prefix)?;
        let target = Target::new(&options.url, &options)?;
        let writers = match target {
            Target::Sqlite(_) => 1,
            _ => options.writers.max(1),
        };
        let readers = options.connections.saturating_sub(writers).max(1);
        let replica = match &options.replica {
            Some(url) => Some(Pool::new(Target::new(url, &options)?, readers, &options)),
            None => None,
        };
        let inner = Arc::new(Inner {
            names,
            clock,
            readers: Pool::new(target.clone(), readers, &options),
            writers: Pool::new(target, writers, &options),
            replica,
            options,
        });
        Ok(Self {
            table: SqlTable::new(inner.clone()),
            blobs: SqlBlobs::new(inner.clone()),
            inner,
        })
    }

    /// Makes what is missing: the file of SQLite, tables, changes of newer versions. May be repeated and may run on several
    /// nodes at once. Says what it did, a line for each.
    ///
    /// # Errors
    /// `Unavailable` with a sentence for an operator.
    pub async fn init(&self) -> Result<Vec<String>> {
        schema::init(&self.inner).await
    }

    /// Looks whether everything is there, in the version that this program knows, and may be written. Says what an operator
    /// should know besides: settings of the server with which it may forget what it acknowledged.
    ///
    /// # Errors
    /// `Unavailable` with a sentence for an operator.
    pub async fn check(&self) -> Result<Vec<String>> {
        schema::check(&self.inner).await
    }

    /// Its table; clones are the same.
    pub fn table(&self) -> SqlTable {
        self.table.clone()
    }

    /// Its blobs; clones are the same.
    pub fn blobs(&self) -> SqlBlobs {
        self.blobs.clone()
    }
}
