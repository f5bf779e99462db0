//! Whether the tables are there, of the right version, and may be written.

use storage::{Error, ErrorKind, Result};

use super::{VERSION, found_version, newer};
use crate::{
    Inner,
    dialect::Dialect,
    error::Failure,
    name::{Names, SPACES},
    pool::Lease,
    statement::Statement,
};

/// Looks whether everything is as it should be.
pub(crate) async fn check(database: &Inner) -> Result<Vec<String>> {
    let mut lease = database.writers.lease().await?;
    let names = &database.names;
    match found_version(&mut lease, names)
        .await
        .map_err(Failure::into_error)?
    {
        Some(VERSION) => {}
        Some(found) if found > VERSION => return Err(newer(found)),
        found => {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "the tables {}* have version {}, this program needs {VERSION}; run `starling init`",
                    names.prefix(),
                    found.unwrap_or(0),
                ),
            ));
        }
    }
    lease.begin().await.map_err(Failure::into_error)?;
    let permitted = may_write(&mut lease, names).await;
    lease.rollback().await;
    permitted.map_err(Failure::into_error)?;
    remarks(&mut lease).await.map_err(Failure::into_error)
}

/// Whether rows may be written, changed and removed; in a transaction that is undone.
async fn may_write(lease: &mut Lease<'_>, names: &Names) -> Result<(), Failure> {
    for space in SPACES {
        let table = names.of(space);
        for sql in [
            format!("INSERT INTO {table} (p, s, value, version, w) VALUES ('', 'may I', '', 0, 0)"),
            format!("UPDATE {table} SET version = 0 WHERE p = '' AND s = 'may I'"),
            format!("DELETE FROM {table} WHERE p = '' AND s = 'may I'"),
        ] {
            lease.raw(sql).await?;
        }
    }
    let Names { blobs, parts, .. } = names;
    for sql in [
        format!("INSERT INTO {blobs} (k, id, size, tag) VALUES ('', 0, 0, '')"),
        format!("UPDATE {blobs} SET size = 0 WHERE k = ''"),
        format!("DELETE FROM {blobs} WHERE k = ''"),
        format!("INSERT INTO {parts} (id, n, bytes) VALUES (0, -1, '')"),
        format!("DELETE FROM {parts} WHERE id = 0 AND n = -1"),
    ] {
        lease.raw(sql).await?;
    }
    Ok(())
}

/// Settings with which the server may forget what it has acknowledged.
async fn remarks(lease: &mut Lease<'_>) -> Result<Vec<String>, Failure> {
    let (sql, sound): (_, &[(&str, &[&str])]) = match lease.dialect() {
        Dialect::Postgres => (
            "SELECT convert_to(name, 'UTF8'), convert_to(setting, 'UTF8') FROM pg_settings \
             WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit')",
            &[
                ("fsync", &["on"]),
                ("full_page_writes", &["on"]),
                ("synchronous_commit", &["on", "remote_apply"]),
            ],
        ),
        Dialect::MySql => (
            "SELECT CAST('innodb_flush_log_at_trx_commit' AS BINARY), \
             CAST(@@innodb_flush_log_at_trx_commit AS BINARY)",
            &[("innodb_flush_log_at_trx_commit", &["1"])],
        ),
        // What matters is set by us.
        Dialect::Sqlite => return Ok(Vec::new()),
    };
    let statement = Statement::new(lease.dialect(), sql);
    let found = lease
        .all(statement, |row| Ok((row.bytes(0)?, row.bytes(1)?)))
        .await?;
    let mut remarks = Vec::new();
    for (name, setting) in found {
        let (name, setting) = (
            String::from_utf8_lossy(&name),
            String::from_utf8_lossy(&setting),
        );
        let sound = sound.iter().find(|(sound, _)| *sound == name);
        if sound.is_some_and(|(_, values)| !values.contains(&&*setting)) {
            remarks.push(format!(
                "{name} is {setting}: after a power failure the database may have lost what it acknowledged"
            ));
        }
    }
    Ok(remarks)
}
