//! The connections to one database: at most so many, each statement with a deadline.
//!
//! Why not sqlx's own pool: it answers "timed out" for a database that is full, gone or frozen alike and tries to connect
//! for as long as one may wait, where we must say `Throttled` or `Unavailable`, and at once. And a connection goes back only
//! if what was asked of it was answered: a caller that went away in the middle takes its connection along.

mod lease;

use std::{
    pin::pin,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use storage::{Error, ErrorKind, Result};
use tokio::{
    sync::{Notify, Semaphore},
    time::{timeout, timeout_at},
};

pub(crate) use self::lease::Lease;
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
/// Connections that are made at once. Each costs the database a process and both sides a proof of the password, so that
/// sixteen at once take longer than to wait for one that is given back.
const AT_ONCE: usize = 4;

/// The connections.
pub(crate) struct Pool {
    target: Target,
    /// At most as many as there are permits.
    idle: Mutex<Vec<Idle>>,
    permits: Semaphore,
    connecting: Semaphore,
    /// One was given back.
    returned: Notify,
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

impl Pool {
    pub(crate) fn new(target: Target, size: usize, options: &SqlOptions) -> Self {
        Self {
            target,
            idle: Mutex::default(),
            permits: Semaphore::new(size),
            connecting: Semaphore::new(AT_ONCE),
            returned: Notify::new(),
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
        let until = tokio::time::Instant::now() + self.acquire;
        let permit = match timeout_at(until, self.permits.acquire()).await {
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
        loop {
            let mut returned = pin!(self.returned.notified());
            // What is given back from now on is heard of.
            returned.as_mut().enable();
            if let Some(idle) = self.usable().await {
                return Ok(lease(idle.connection, idle.made, true));
            }
            let turn = tokio::select! {
                turn = timeout_at(until, self.connecting.acquire()) => turn,
                () = returned => continue,
            };
            let Ok(_turn) = turn else {
                return Err(self.too_late());
            };
            if let Some(idle) = self.usable().await {
                return Ok(lease(idle.connection, idle.made, true));
            }
            let connection = self.connect().await?;
            return Ok(lease(connection, Instant::now(), false));
        }
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
