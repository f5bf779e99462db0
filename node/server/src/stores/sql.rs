//! Stores in PostgreSQL, MySQL, MariaDB and SQLite.

use std::sync::Arc;

use storage::{Place, Result};
use storage_sql::{DatabaseUrl, Sql, SqlOptions};

use crate::config::{Dialect, SqlStore};

fn database(store: &SqlStore) -> Result<Sql> {
    let url = |secret: &crate::config::Secret| DatabaseUrl::new(secret.expose());
    Sql::open(SqlOptions {
        replica: store.replica.as_ref().map(url),
        prefix: store.table_prefix.clone(),
        connections: store.connections,
        ..SqlOptions::new(url(&store.url))
    })
}

pub(super) async fn open(store: &SqlStore) -> Result<Place> {
    let sql = database(store)?;
    if store.dialect == Dialect::Sqlite {
        // A file of this machine, as an embedded store is: nobody else could make it.
        sql.init().await?;
    }
    for warning in sql.check().await? {
        tracing::warn!("{warning}");
    }
    Ok(Place {
        expire: Some(Arc::new(sql.table())),
        ..Place::new(Arc::new(sql.table()), Arc::new(sql.blobs()))
    })
}

pub(super) async fn init(store: &SqlStore) -> Result<Vec<String>> {
    database(store)?.init().await
}
