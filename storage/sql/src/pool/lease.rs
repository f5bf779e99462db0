//! A connection that somebody uses: statements with a deadline, transactions, and whether it may be used again.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use storage::{Error, ErrorKind};
use tokio::{
    sync::SemaphorePermit,
    time::{error::Elapsed, timeout},
};

use super::{Idle, Pool};
use crate::{
    connection::{Cells, Connection, Rows},
    dialect::Dialect,
    error::Failure,
    statement::Statement,
};

/// A connection that somebody uses.
pub(crate) struct Lease<'a> {
    pub(super) pool: &'a Pool,
    pub(super) _permit: SemaphorePermit<'a>,
    /// `None`: it broke.
    pub(super) connection: Option<Connection>,
    pub(super) made: Instant,
    /// It had been used before, so it may have broken meanwhile.
    pub(super) reused: bool,
    /// Something was asked and not answered.
    pub(super) asking: bool,
    /// A transaction is open.
    pub(super) transaction: bool,
    pub(super) limit: Duration,
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
            self.pool.returned.notify_one();
        }
    }
}
