//! What the three dialects say differently about rows.
//!
//! PostgreSQL takes lists as arrays, so a statement has the same text for any number of rows, and a lateral join walks them
//! in our order. MySQL, MariaDB and SQLite take them written out. Whoever names several rows sorted them: locks are taken in
//! that order.

use bytes::Bytes;

use crate::{
    statement::{Argument, Statement},
    stored::{Row, StoredKey},
};

/// A dialect of SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Postgres,
    /// And MariaDB.
    MySql,
    Sqlite,
}

/// What is to be done with rows that are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    /// They are only read.
    None,
    /// Nobody else changes them until the transaction ends.
    Rows,
}

const ROW: &str = "(p, s, whole, value, version, expires, w)";
const ROW_ARRAYS: &str = "::bytea[], ";

impl Dialect {
    /// What begins a transaction that will write.
    pub(crate) fn begin(self) -> &'static str {
        match self {
            Self::Postgres => "BEGIN",
            Self::MySql => "START TRANSACTION",
            // Who begins reading and then writes may find that somebody else wrote meanwhile.
            Self::Sqlite => "BEGIN IMMEDIATE",
        }
    }

    /// What locks the rows that a SELECT finds. SQLite has one writer.
    pub(crate) fn for_update(self) -> &'static str {
        match self {
            Self::Postgres | Self::MySql => " FOR UPDATE",
            Self::Sqlite => "",
        }
    }

    /// Whether an insertion can pass over rows that are there and name those that were not.
    pub(crate) fn inserts_what_is_absent(self) -> bool {
        !matches!(self, Self::MySql)
    }

    /// These columns of the rows with these keys, which are of one table.
    pub(crate) fn select(
        self,
        table: &str,
        columns: &str,
        keys: &[&StoredKey],
        lock: Lock,
    ) -> Statement {
        let lock = match lock {
            Lock::None => "",
            Lock::Rows => self.for_update(),
        };
        match self {
            Self::Postgres => Statement::new(self, format!("SELECT {columns} FROM "))
                .arrays(keys)
                .then(&format!(
                    " AS k (kp, ks) CROSS JOIN LATERAL (SELECT * FROM {table} \
                     WHERE p = k.kp AND s = k.ks{lock}) AS found"
                )),
            Self::MySql => Statement::new(
                self,
                format!("SELECT {columns} FROM {table} FORCE INDEX (PRIMARY) WHERE "),
            )
            .any_of(keys)
            .then(" ORDER BY p, s")
            .then(lock),
            Self::Sqlite => Statement::new(self, format!("SELECT {columns} FROM {table} WHERE "))
                .any_of(keys)
                .then(" ORDER BY p, s"),
        }
    }

    /// Removes the rows with these keys, which are of one table; only those that have expired by then, if that is said.
    pub(crate) fn delete(
        self,
        table: &str,
        keys: &[&StoredKey],
        expired: Option<i64>,
    ) -> Statement {
        let mut statement = match self {
            Self::Postgres => Statement::new(self, format!("DELETE FROM {table} AS t USING "))
                .arrays(keys)
                .then(" AS k (kp, ks) WHERE t.p = k.kp AND t.s = k.ks"),
            Self::MySql | Self::Sqlite => {
                Statement::new(self, format!("DELETE FROM {table} WHERE ("))
                    .any_of(keys)
                    .then(")")
            }
        };
        if let Some(now) = expired {
            statement = statement.then(" AND expires <= ").int(now);
        }
        statement
    }

    /// Inserts rows of one table. Where one is there already PostgreSQL and SQLite pass over it and return the keys of the
    /// others; MySQL refuses them all.
    pub(crate) fn insert(self, table: &str, rows: &[&Row], write_id: i64) -> Statement {
        let statement = self.rows(table, rows, write_id);
        if self.inserts_what_is_absent() {
            statement.then(" ON CONFLICT (p, s) DO NOTHING RETURNING p, s")
        } else {
            statement
        }
    }

    /// Replaces rows of one table that are there and locked.
    pub(crate) fn replace(self, table: &str, rows: &[&Row], write_id: i64) -> Statement {
        let new = |column: &str| match self {
            Self::MySql => format!("{column} = VALUES({column})"),
            Self::Postgres | Self::Sqlite => format!("{column} = excluded.{column}"),
        };
        let columns = ["value", "version", "expires", "w"].map(new).join(", ");
        self.rows(table, rows, write_id)
            .then(self.on_conflict())
            .then(&columns)
    }

    /// Writes a row, whatever is there; its version goes on from that of a row that has not expired.
    pub(crate) fn upsert(self, table: &str, row: &Row, write_id: i64, now: i64) -> Statement {
        let (old, new) = match self {
            Self::MySql => ("", ["VALUES(value)", "VALUES(expires)", "VALUES(w)"]),
            Self::Postgres | Self::Sqlite => {
                ("t.", ["excluded.value", "excluded.expires", "excluded.w"])
            }
        };
        let alias = if self == Self::MySql { "" } else { " AS t" };
        // MySQL sets one after the other, so the version is first: it looks at the old row.
        self.rows(&format!("{table}{alias}"), &[row], write_id)
            .then(self.on_conflict())
            .then(&format!("version = CASE WHEN {old}expires <= "))
            .int(now)
            .then(&format!(
                " THEN 1 ELSE {old}version + 1 END, value = {}, expires = {}, w = {}",
                new[0], new[1], new[2]
            ))
    }

    fn on_conflict(self) -> &'static str {
        match self {
            Self::MySql => " ON DUPLICATE KEY UPDATE ",
            Self::Postgres | Self::Sqlite => " ON CONFLICT (p, s) DO UPDATE SET ",
        }
    }

    fn rows(self, table: &str, rows: &[&Row], write_id: i64) -> Statement {
        let statement = Statement::new(self, format!("INSERT INTO {table} {ROW} "));
        if self != Self::Postgres {
            return statement.then("VALUES ").list(rows, ", ", |list, row| {
                list.then("(")
                    .bytes(&row.key.partition)
                    .then(", ")
                    .bytes(&row.key.sort)
                    .then(", ")
                    .maybe_bytes(row.whole.as_ref())
                    .then(", ")
                    .bytes(&row.value)
                    .then(", ")
                    .int(row.version)
                    .then(", ")
                    .maybe_int(row.expires)
                    .then(", ")
                    .int(write_id)
                    .then(")")
            });
        }
        let bytes = |of: &dyn Fn(&Row) -> Option<Bytes>| {
            Argument::ManyBytes(rows.iter().map(|row| of(row)).collect())
        };
        let ints = |of: &dyn Fn(&Row) -> Option<i64>| {
            Argument::ManyInts(rows.iter().map(|row| of(row)).collect())
        };
        statement
            .then("SELECT n.*, ")
            .int(write_id)
            .then("::bigint FROM unnest(")
            .argument(bytes(&|row| Some(row.key.partition.clone())))
            .then(ROW_ARRAYS)
            .argument(bytes(&|row| Some(row.key.sort.clone())))
            .then(ROW_ARRAYS)
            .argument(bytes(&|row| row.whole.clone()))
            .then(ROW_ARRAYS)
            .argument(bytes(&|row| Some(row.value.clone())))
            .then(ROW_ARRAYS)
            .argument(ints(&|row| Some(row.version)))
            .then("::bigint[], ")
            .argument(ints(&|row| row.expires))
            .then("::bigint[]) AS n")
    }
}

impl Statement {
    /// The keys as arrays side by side.
    fn arrays(self, keys: &[&StoredKey]) -> Self {
        let partitions = keys.iter().map(|key| Some(key.partition.clone()));
        let sorts = keys.iter().map(|key| Some(key.sort.clone()));
        self.then("unnest(")
            .argument(Argument::ManyBytes(partitions.collect()))
            .then(ROW_ARRAYS)
            .argument(Argument::ManyBytes(sorts.collect()))
            .then("::bytea[])")
    }

    /// The keys written out.
    fn any_of(self, keys: &[&StoredKey]) -> Self {
        self.list(keys, " OR ", |list, key| list.then("(").is(key).then(")"))
    }

    /// One key.
    #[must_use]
    pub(crate) fn is(self, key: &StoredKey) -> Self {
        self.then("p = ")
            .bytes(&key.partition)
            .then(" AND s = ")
            .bytes(&key.sort)
    }
}
