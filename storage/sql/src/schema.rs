//! The tables, their versions, `init` and `check`.
//!
//! `<prefix>schema` has one row: the version of all other tables. Each version is a list of steps that lead to it from the
//! one before; `init` takes those that are missing, one node at a time. Every step may be repeated, because MySQL commits
//! each by itself and may die between two.

mod check;

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, Instant},
};

use storage::{Error, ErrorKind, Result};
use tokio::time::sleep;

pub(crate) use self::check::check;
use crate::{
    Inner,
    dialect::Dialect,
    error::Failure,
    name::{Names, SPACES},
    pool::Lease,
    statement::Statement,
    stored,
    target::Target,
};

/// The version that this program knows.
const VERSION: i64 = 1;
/// How long a step may take: an index over a large table is built in one.
const STEP: Duration = Duration::from_secs(3600);

/// A change of the schema.
struct Step {
    what: String,
    sql: String,
}

/// What leads to a version from the one before.
fn steps(version: i64, dialect: Dialect, names: &Names) -> Vec<Step> {
    match version {
        1 => SPACES
            .iter()
            .flat_map(|&space| table_of_records(dialect, names.of(space)))
            .chain(tables_of_blobs(dialect, names))
            .collect(),
        _ => Vec::new(),
    }
}

/// Types of columns: a key of so many bytes, a value, a number.
fn types(
    dialect: Dialect,
) -> (
    fn(usize) -> String,
    &'static str,
    &'static str,
    &'static str,
) {
    match dialect {
        Dialect::Postgres => (|_| "BYTEA".into(), "BYTEA", "BIGINT", ""),
        Dialect::MySql => (
            |bytes| format!("VARBINARY({bytes})"),
            "LONGBLOB",
            "BIGINT",
            " ENGINE=InnoDB ROW_FORMAT=DYNAMIC",
        ),
        Dialect::Sqlite => (|_| "BLOB".into(), "BLOB", "INTEGER", " WITHOUT ROWID"),
    }
}

fn table_of_records(dialect: Dialect, table: &str) -> Vec<Step> {
    let (key, value, number, end) = types(dialect);
    let (partition, sort) = (key(stored::MAX_PARTITION), key(stored::MAX_SORT));
    let whole = key(2048);
    let index = format!("{table}_expires");
    // MySQL has no partial indexes and makes this one with the table.
    let (within, after) = match dialect {
        Dialect::MySql => (format!(", KEY {index} (expires)"), None),
        Dialect::Postgres | Dialect::Sqlite => (
            String::new(),
            Some(Step {
                what: format!("index {index}"),
                sql: format!(
                    "CREATE INDEX IF NOT EXISTS {index} ON {table} (expires) WHERE expires IS NOT NULL"
                ),
            }),
        ),
    };
    let create = Step {
        what: format!("table {table}"),
        sql: format!(
            "CREATE TABLE IF NOT EXISTS {table} (p {partition} NOT NULL, s {sort} NOT NULL, whole {whole}, \
             value {value} NOT NULL, version {number} NOT NULL, expires {number}, w {number} NOT NULL, \
             PRIMARY KEY (p, s){within}){end}"
        ),
    };
    [create]
        .into_iter()
        .chain(uncompressed(dialect, table, "value"))
        .chain(after)
        .collect()
}

fn tables_of_blobs(dialect: Dialect, Names { blobs, parts, .. }: &Names) -> Vec<Step> {
    let (key, value, number, end) = types(dialect);
    let objects = Step {
        what: format!("table {blobs}"),
        sql: format!(
            "CREATE TABLE IF NOT EXISTS {blobs} (k {} NOT NULL, id {number} NOT NULL, size {number} NOT NULL, \
             tag {} NOT NULL, PRIMARY KEY (k)){end}",
            key(1024),
            key(64),
        ),
    };
    let pieces = Step {
        what: format!("table {parts}"),
        sql: format!(
            "CREATE TABLE IF NOT EXISTS {parts} (id {number} NOT NULL, n {number} NOT NULL, \
             bytes {value} NOT NULL, PRIMARY KEY (id, n)){end}"
        ),
    };
    [objects, pieces]
        .into_iter()
        .chain(uncompressed(dialect, parts, "bytes"))
        .collect()
}

/// What is large was compressed by us, or cannot be.
fn uncompressed(dialect: Dialect, table: &str, column: &str) -> Option<Step> {
    (dialect == Dialect::Postgres).then(|| Step {
        what: format!("storage of {table}.{column}"),
        sql: format!("ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL"),
    })
}

/// Makes what is missing.
pub(crate) async fn init(database: &Inner) -> Result<Vec<String>> {
    let mut report = Vec::new();
    if let Target::Sqlite(target) = database.writers.target()
        && create_private(&target.path).map_err(|error| cannot_create(&target.path, error))?
    {
        report.push(format!("created the file {}", target.path.display()));
    }
    let mut lease = first_lease(database).await?;
    let result = init_with(&mut lease, &database.names, VERSION, steps, &mut report).await;
    // What was set for the steps must not stay, and a transaction that failed neither.
    lease.close();
    result.map_err(Failure::into_error)?;
    Ok(report)
}

/// A connection to a file that somebody else may just be making: SQLite refuses then and does not wait.
async fn first_lease(database: &Inner) -> Result<Lease<'_>> {
    let until = Instant::now() + database.options.acquire;
    loop {
        match database.writers.lease().await {
            Err(error) if error.kind() == ErrorKind::Throttled && Instant::now() < until => {
                sleep(Duration::from_millis(20)).await;
            }
            result => return result,
        }
    }
}

/// Leads to a version, by these steps.
async fn init_with(
    lease: &mut Lease<'_>,
    names: &Names,
    version: i64,
    steps: impl Fn(i64, Dialect, &Names) -> Vec<Step>,
    report: &mut Vec<String>,
) -> Result<(), Failure> {
    let dialect = lease.dialect();
    lease.limit(STEP);
    alone(lease, names).await?;
    let schema = &names.schema;
    let number = types(dialect).2;
    lease
        .raw(format!(
            "CREATE TABLE IF NOT EXISTS {schema} (id {number} NOT NULL, version {number} NOT NULL, PRIMARY KEY (id))"
        ))
        .await?;
    let found = found_version(lease, names).await?.unwrap_or(0);
    if found > version {
        return Err(Failure::Refused(newer(found)));
    }
    for next in found + 1..=version {
        for step in steps(next, dialect, names) {
            lease.raw(step.sql).await?;
            report.push(format!("version {next}: {}", step.what));
        }
        let row = format!("INSERT INTO {schema} (id, version) VALUES (1, {next})");
        let update = match dialect {
            Dialect::MySql => "ON DUPLICATE KEY UPDATE version = VALUES(version)",
            _ => "ON CONFLICT (id) DO UPDATE SET version = excluded.version",
        };
        lease.raw(format!("{row} {update}")).await?;
    }
    if dialect != Dialect::MySql {
        lease.commit().await?;
    }
    report.push(format!(
        "the tables {}* have version {version}",
        names.prefix()
    ));
    Ok(())
}

/// Waits until no other node does the same. Ends with the transaction or, in MySQL, with the connection.
async fn alone(lease: &mut Lease<'_>, names: &Names) -> Result<(), Failure> {
    match lease.dialect() {
        Dialect::Postgres => {
            lease.begin().await?;
            lease
                .raw(format!(
                    "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
                     SELECT pg_advisory_xact_lock(hashtext('{}'))",
                    names.schema
                ))
                .await
        }
        Dialect::MySql => {
            lease
                .raw(format!(
                    "SET SESSION innodb_lock_wait_timeout = 3600 /*M!100100 , SESSION max_statement_time = 0 */; \
                     DO GET_LOCK('{}', 3600)",
                    names.schema
                ))
                .await
        }
        Dialect::Sqlite => lease.begin().await,
    }
}

async fn found_version(lease: &mut Lease<'_>, names: &Names) -> Result<Option<i64>, Failure> {
    let select = format!("SELECT version FROM {} WHERE id = 1", names.schema);
    let statement = Statement::new(lease.dialect(), select);
    let found = lease.all(statement, |row| row.int(0)).await?;
    Ok(found.first().copied())
}

fn newer(found: i64) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!(
            "the tables have version {found}; this program knows {VERSION}: it is too old for them"
        ),
    )
}

/// Makes a file that others cannot read, if there is none; what SQLite puts beside it gets the same mode.
fn create_private(path: &Path) -> io::Result<bool> {
    let mut options = OpenOptions::new();
    match options.write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file.sync_all()?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error),
    }
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(true)
}

fn cannot_create(path: &Path, error: io::Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("the file {} cannot be created: {error}", path.display()),
    )
    .with_source(error)
}

#[cfg(test)]
mod tests;
