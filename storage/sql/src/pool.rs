//! The connections to one database: at most so many, each statement with a deadline.
//!
//! Why not sqlx's own pool: it answers "timed out" for a database that is full, gone or frozen alike and tries to connect
//! for as long as one may wait, where we must say `Throttled` or `Unavailable`, and at once. And a connection goes back only
//! if what was asked of it was answered: a caller that went away in the middle takes its connection along.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use storage::{Error, ErrorKind, Result};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{error::Elapsed, timeout},
};

use crate::{
    connection::{Cells, Connection, Rows},
    dialect::Dialect,
    error::Failure,
    options::SqlOptions,
    statement::Statement,
    target::Target,
};

/// A connection that was idle for so long is asked whether it is still one.
const ASK_AFTER: Duration = Duration::from_secs(10);
/// A connection is not used for longer, so that a changed address of the database is noticed.
const LIFETIME: Duration = Duration::from_secs(30 * 60);

/// The connections.
pub(crate) struct Pool {
    target: Target,
    /// At most as many as there are permits.
    idle: Mutex<Vec<Idle>>,
    permits: Semaphore,
    size: usize,
    acquire: Duration,
    connect: Duration,
    timeout: Duration,
    /// Whether the last call that ended got no answer.
    down: AtomicBool,
    /// Bytes of a statement that the server takes, as the last connection was told.
    longest: AtomicUsize,
}

struct Idle {
    connection: Connection,
    made: Instant,
    used: Instant,
}

/// A connection that somebody uses.
pub(crate) struct Lease<'a> {
    pool: &'a Pool,
    _permit: SemaphorePermit<'a>,
    /// `None`: it broke.
    connection: Option<Connection>,
    made: Instant,
    /// It had been used before, so it may have broken meanwhile.
    reused: bool,
    /// Something was asked and not answered.
    asking: bool,
    /// A transaction is open.
    transaction: bool,
    limit: Duration,
}

impl Pool {
    pub(crate) fn new(target: Target, size: usize, options: &SqlOptions) -> Self {
        Self {
            target,
            idle: Mutex::default(),
            permits: Semaphore::new(size),
            size,
            acquire: options.acquire,
            connect: options.connect,
            timeout: options.timeout,
            down: AtomicBool::new(false),
            longest: AtomicUsize::new(usize::MAX),
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.target.dialect()
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// At most so many connections.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// What is said to who waited in vain. Nothing was done.
    pub(crate) fn too_late(&self) -> Error {
        if self.down.load(Ordering::Relaxed) {
            let sentence = "the database does not answer; all connections wait for it";
            Error::new(ErrorKind::Unavailable, sentence)
        } else {
            let sentence = format!("all {} connections to the database are in use", self.size);
            Error::new(ErrorKind::Throttled, sentence)
        }
    }

    /// A connection.
    ///
    /// # Errors
    /// `Throttled` if all are in use, `Unavailable` if they are because the database does not answer or if none can be
    /// made; `Throttled` as well if the server has too many. Nothing was done.
    pub(crate) async fn lease(&self) -> Result<Lease<'_>> {
        let permit = match timeout(self.acquire, self.permits.acquire()).await {
            Ok(permit) => permit.expect("the pool is not closed"),
            Err(_) => return Err(self.too_late()),
        };
        let lease = |connection, made, reused| Lease {
            pool: self,
            _permit: permit,
            connection: Some(connection),
            made,
            reused,
            asking: false,
            transaction: false,
            limit: self.timeout,
        };
        if let Some(idle) = self.usable().await {
            return Ok(lease(idle.connection, idle.made, true));
        }
        let connection = self.connect().await?;
        Ok(lease(connection, Instant::now(), false))
    }

    /// The idle connection that was used last, if it still is one.
    async fn usable(&self) -> Option<Idle> {
        loop {
            let mut idle = self.idle.lock().pop()?;
            if idle.made.elapsed() > LIFETIME {
                continue;
            }
            if idle.used.elapsed() < ASK_AFTER {
                return Some(idle);
            }
            if matches!(
                timeout(self.connect, idle.connection.ping()).await,
                Ok(Ok(()))
            ) {
                return Some(idle);
            }
            self.forget_idle();
        }
    }

    async fn connect(&self) -> Result<Connection> {
        let connect = async {
            let mut connection = Connection::connect(&self.target).await?;
            let longest = connection.longest_statement().await?;
            self.longest.store(longest, Ordering::Relaxed);
            Ok::<_, sqlx::Error>(connection)
        };
        let failure = match timeout(self.connect, connect).await {
            Ok(Ok(connection)) => {
                self.down.store(false, Ordering::Relaxed);
                return Ok(connection);
            }
            Ok(Err(error)) => Failure::from(error),
            Err(_) => Failure::late("no connection in time"),
        };
        if matches!(failure, Failure::Lost { .. }) {
            self.down.store(true, Ordering::Relaxed);
        }
        Err(failure.into_error())
    }

    /// Those that wait were connected to what broke.
    fn forget_idle(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        drop(idle);
    }

    /// The rows of a statement that changes nothing, on a connection of its own; `read` says of each whether it is enough.
    ///
    /// # Errors
    /// As [`Pool::lease`], and what the statement fails with.
    pub(crate) async fn read<T>(
        &self,
        statement: Statement,
        mut read: impl FnMut(&dyn Cells) -> sqlx::Result<(T, bool)>,
    ) -> Result<Rows<T>> {
        let mut lease = self.lease().await?;
        match lease.rows(statement.clone(), &mut read).await {
            // It broke while nobody used it: that says nothing about the database.
            Err(Failure::Lost { late: false, .. }) if lease.reused => {
                drop(lease);
                let mut lease = self.lease().await?;
                lease.rows(statement, &mut read).await
            }
            result => result,
        }
        .map_err(Failure::into_error)
    }
}

impl Lease<'_> {
    pub(crate) fn dialect(&self) -> Dialect {
        self.pool.dialect()
    }

    /// How long each statement may take from now on.
    pub(crate) fn limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// A statement that returns nothing; how many rows it touched.
    pub(crate) async fn execute(&mut self, statement: Statement) -> Result<u64, Failure> {
        let (size, longest) = (statement.size(), self.pool.longest.load(Ordering::Relaxed));
        if size >= longest {
            return Err(Failure::Refused(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "a statement of {size} bytes; the server takes {longest} (max_allowed_packet)"
                ),
            )));
        }
        let (connection, limit) = self.ask()?;
        let result = timeout(limit, connection.execute(statement)).await;
        self.answered(result)
    }

    /// The rows of a statement.
    pub(crate) async fn rows<T>(
        &mut self,
        statement: Statement,
        read: impl FnMut(&dyn Cells) -> sqlx::Result<(T, bool)>,
    ) -> Result<Rows<T>, Failure> {
        let (connection, limit) = self.ask()?;
        let result = timeout(limit, connection.rows(statement, read)).await;
        let rows = self.answered(result)?;
        if rows.cut {
            self.connection = None;
        }
        Ok(rows)
    }

    /// All rows of a statement.
    pub(crate) async fn all<T>(
        &mut self,
        statement: Statement,
        read: impl Fn(&dyn Cells) -> sqlx::Result<T>,
    ) -> Result<Vec<T>, Failure> {
        let rows = self.rows(statement, |cells| Ok((read(cells)?, false)));
        Ok(rows.await?.rows)
    }

    /// SQL without arguments and results.
    pub(crate) async fn raw(&mut self, sql: impl Into<String>) -> Result<(), Failure> {
        let (connection, limit) = self.ask()?;
        let result = timeout(limit, connection.raw(sql.into())).await;
        self.answered(result)
    }

    /// Begins a transaction that will write. A lease that is dropped before it ends closes the connection, and with it the
    /// transaction.
    pub(crate) async fn begin(&mut self) -> Result<(), Failure> {
        self.raw(self.dialect().begin()).await?;
        self.transaction = true;
        Ok(())
    }

    /// Ends it. After `Lost` it may have been committed.
    pub(crate) async fn commit(&mut self) -> Result<(), Failure> {
        self.raw("COMMIT").await?;
        self.transaction = false;
        Ok(())
    }

    /// Undoes it. If that fails the connection is closed, which undoes it as well.
    pub(crate) async fn rollback(&mut self) {
        if self.connection.is_some() && self.raw("ROLLBACK").await.is_ok() {
            self.transaction = false;
        } else {
            self.connection = None;
        }
    }

    /// Closes the connection, whatever was set for it.
    pub(crate) fn close(&mut self) {
        self.connection = None;
    }

    fn ask(&mut self) -> Result<(&mut Connection, Duration), Failure> {
        self.asking = true;
        match &mut self.connection {
            Some(connection) => Ok((connection, self.limit)),
            None => Err(Failure::Lost {
                error: Error::new(ErrorKind::Unavailable, "the connection broke before"),
                late: false,
            }),
        }
    }

    fn answered<T>(&mut self, result: Result<sqlx::Result<T>, Elapsed>) -> Result<T, Failure> {
        let (failure, usable) = match result {
            Ok(Ok(answer)) => {
                self.asking = false;
                self.pool.down.store(false, Ordering::Relaxed);
                return Ok(answer);
            }
            Ok(Err(error)) => {
                // What was not said by the server may have left its answer half read.
                let usable = error.as_database_error().is_some();
                (Failure::from(error), usable)
            }
            Err(_) => (Failure::late("no answer in time"), false),
        };
        let lost = matches!(failure, Failure::Lost { .. });
        self.pool.down.store(lost, Ordering::Relaxed);
        if lost {
            self.pool.forget_idle();
        }
        if lost || !usable {
            self.connection = None;
        }
        self.asking = false;
        Err(failure)
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && !self.asking
            && !self.transaction
        {
            self.pool.idle.lock().push(Idle {
                connection,
                made: self.made,
                used: Instant::now(),
            });
        }
    }
}
