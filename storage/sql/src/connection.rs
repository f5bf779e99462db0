//! One connection of any dialect: the narrow waist over sqlx.
//!
//! Everything above speaks of [`Statement`]s and of cells by their number; this file alone knows three drivers.

use std::{future::poll_fn, pin::Pin};

use bytes::Bytes;
use futures_core::Stream;
use sqlx::{
    AssertSqlSafe, Connection as _, Executor, MySqlConnection, PgConnection, Row, SqliteConnection,
    mysql::{MySqlArguments, MySqlRow},
    postgres::{PgArguments, PgRow},
    sqlite::{SqliteArguments, SqliteRow},
};

use crate::{
    statement::{Argument, Statement},
    target::Target,
};

/// A connection.
pub(crate) enum Connection {
    Postgres(Box<PgConnection>),
    MySql(Box<MySqlConnection>),
    Sqlite(Box<SqliteConnection>),
}

/// A row as it came.
pub(crate) trait Cells {
    fn maybe_bytes(&self, at: usize) -> sqlx::Result<Option<Bytes>>;
    fn maybe_int(&self, at: usize) -> sqlx::Result<Option<i64>>;
    fn bytes(&self, at: usize) -> sqlx::Result<Bytes> {
        self.maybe_bytes(at)?.ok_or_else(null)
    }
    fn int(&self, at: usize) -> sqlx::Result<i64> {
        self.maybe_int(at)?.ok_or_else(null)
    }
}

fn null() -> sqlx::Error {
    sqlx::Error::Decode(Box::new(sqlx::error::UnexpectedNullError))
}

/// Rows that were read.
pub(crate) struct Rows<T> {
    pub(crate) rows: Vec<T>,
    /// Reading stopped before their end: the connection is of no more use.
    pub(crate) cut: bool,
}

/// Evaluates the same for the connection of each dialect.
macro_rules! with {
    ($connection:expr, $name:ident, $arguments:ident => $body:expr) => {
        match $connection {
            Connection::Postgres($name) => {
                type $arguments = PgArguments;
                $body
            }
            Connection::MySql($name) => {
                type $arguments = MySqlArguments;
                $body
            }
            Connection::Sqlite($name) => {
                type $arguments = SqliteArguments;
                $body
            }
        }
    };
    ($connection:expr, $name:ident => $body:expr) => {
        match $connection {
            Connection::Postgres($name) => $body,
            Connection::MySql($name) => $body,
            Connection::Sqlite($name) => $body,
        }
    };
}

macro_rules! cells {
    ($($row:ty),*) => {$(
        impl Cells for $row {
            fn maybe_bytes(&self, at: usize) -> sqlx::Result<Option<Bytes>> {
                let bytes: Option<&[u8]> = self.try_get(at)?;
                Ok(bytes.map(Bytes::copy_from_slice))
            }
            fn maybe_int(&self, at: usize) -> sqlx::Result<Option<i64>> {
                self.try_get(at)
            }
        }
    )*};
}
cells!(PgRow, MySqlRow, SqliteRow);

/// Arguments as a driver takes them.
trait Add: Default {
    fn add(&mut self, argument: &Argument) -> Result<(), sqlx::error::BoxDynError>;

    fn all(arguments: &[Argument]) -> sqlx::Result<Self> {
        let mut all = Self::default();
        for argument in arguments {
            all.add(argument).map_err(sqlx::Error::Encode)?;
        }
        Ok(all)
    }
}

macro_rules! add {
    ($($arguments:ty),*) => {$(
        impl Add for $arguments {
            fn add(&mut self, argument: &Argument) -> Result<(), sqlx::error::BoxDynError> {
                match argument {
                    Argument::Bytes(bytes) => sqlx::Arguments::add(self, bytes.as_deref()),
                    Argument::Int(int) => sqlx::Arguments::add(self, *int),
                    Argument::ManyBytes(_) | Argument::ManyInts(_) => {
                        unreachable!("only PostgreSQL is given arrays")
                    }
                }
            }
        }
    )*};
}
add!(MySqlArguments, SqliteArguments);

impl Add for PgArguments {
    fn add(&mut self, argument: &Argument) -> Result<(), sqlx::error::BoxDynError> {
        match argument {
            Argument::Bytes(bytes) => sqlx::Arguments::add(self, bytes.as_deref()),
            Argument::Int(int) => sqlx::Arguments::add(self, *int),
            Argument::ManyBytes(list) => {
                let list: Vec<Option<&[u8]>> = list.iter().map(Option::as_deref).collect();
                sqlx::Arguments::add(self, list)
            }
            Argument::ManyInts(list) => sqlx::Arguments::add(self, list.as_slice()),
        }
    }
}

impl Connection {
    /// Connects and prepares the session.
    pub(crate) async fn connect(target: &Target) -> sqlx::Result<Self> {
        use sqlx::ConnectOptions;
        Ok(match target {
            Target::Postgres(options) => Self::Postgres(Box::new(options.connect().await?)),
            Target::MySql(target) => {
                let mut connection = target.options.connect().await?;
                let session = AssertSqlSafe(target.session.clone());
                connection.execute(sqlx::raw_sql(session)).await?;
                Self::MySql(Box::new(connection))
            }
            Target::Sqlite(target) => Self::Sqlite(Box::new(target.options.connect().await?)),
        })
    }

    /// How many bytes a statement may have. MySQL closes the connection over one that is longer, so it must not be sent.
    pub(crate) async fn longest_statement(&mut self) -> sqlx::Result<usize> {
        let Self::MySql(connection) = self else {
            return Ok(usize::MAX);
        };
        let select = sqlx::query_scalar("SELECT CAST(@@max_allowed_packet AS SIGNED)");
        let bytes: i64 = select.fetch_one(&mut **connection).await?;
        Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// Whether somebody answers.
    pub(crate) async fn ping(&mut self) -> sqlx::Result<()> {
        with!(self, connection => connection.ping().await)
    }

    /// SQL without arguments, maybe several statements.
    pub(crate) async fn raw(&mut self, sql: String) -> sqlx::Result<()> {
        let sql = AssertSqlSafe(sql);
        with!(self, connection => {
            connection.execute(sqlx::raw_sql(sql)).await?;
        });
        Ok(())
    }

    /// A statement that returns nothing; how many rows it touched. MySQL counts those that it found.
    pub(crate) async fn execute(&mut self, statement: Statement) -> sqlx::Result<u64> {
        let text = AssertSqlSafe(statement.text);
        with!(self, connection, Arguments => {
            let arguments = Arguments::all(&statement.arguments)?;
            let done = connection.execute(sqlx::query_with(text, arguments)).await?;
            Ok(done.rows_affected())
        })
    }

    /// The rows of a statement, up to the first of which `read` says that it is enough.
    pub(crate) async fn rows<T>(
        &mut self,
        statement: Statement,
        mut read: impl FnMut(&dyn Cells) -> sqlx::Result<(T, bool)>,
    ) -> sqlx::Result<Rows<T>> {
        let text = AssertSqlSafe(statement.text);
        let mut rows = Vec::new();
        with!(self, connection, Arguments => {
            let arguments = Arguments::all(&statement.arguments)?;
            let mut found = connection.fetch(sqlx::query_with(text, arguments));
            while let Some(row) = next(found.as_mut()).await {
                let (row, enough) = read(&row?)?;
                rows.push(row);
                if enough {
                    return Ok(Rows { rows, cut: true });
                }
            }
        });
        Ok(Rows { rows, cut: false })
    }
}

async fn next<S: Stream + ?Sized>(mut stream: Pin<&mut S>) -> Option<S::Item> {
    poll_fn(|context| stream.as_mut().poll_next(context)).await
}
