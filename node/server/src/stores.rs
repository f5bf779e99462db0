//! Stores: opened as the configuration says. The one place that knows where a node keeps what.
//!
//! In the directory of an embedded store: `table` is the embedded table, `blobs` the large values. Backends of the cloud
//! are features of the build, so that a node for one machine needs none of their libraries.

#[cfg_attr(not(feature = "sql"), path = "stores/no_sql.rs")]
mod sql;

use std::{path::Path, sync::Arc};

use storage::{
    Error, ErrorKind, Result, Stores,
    backend::{
        directory::DirectoryBlobs,
        embedded::{Embedded, EmbeddedOptions},
        memory::{MemoryBlobs, MemoryTable},
    },
    layer::{Measured, Observer},
    shape::{Blobs, Table},
};

use crate::config::{Config, Storage, Store};

/// What a configuration opens.
pub struct Opened {
    /// The repositories.
    pub stores: Stores,
    /// The main table, which keeps what is the node's own as well.
    pub table: Arc<dyn Table>,
}

/// One store.
pub struct Place {
    /// Its records.
    pub table: Arc<dyn Table>,
    /// Its large values.
    pub blobs: Arc<dyn Blobs>,
}

/// Opens what is configured, measured by `observer` if there is one. May take long: an embedded store replays its logs.
///
/// # Errors
/// `Unavailable` if a store cannot be reached or another process has it open, `Corrupt` if what is there is damaged,
/// `NotAllowed` if this build does not know its backend.
pub async fn open(config: &Config, observer: Option<Arc<dyn Observer>>) -> Result<Opened> {
    let main = place(&config.storage.main, observer.as_ref()).await?;
    let table: Arc<dyn Table> = match observer {
        Some(observer) => Arc::new(Measured::new(main.table, observer)),
        None => main.table,
    };
    Ok(Opened {
        stores: Stores::over(table.clone(), main.blobs),
        table,
    })
}

/// Makes what stores of the cloud need before they are used: tables, buckets. May be repeated, also while nodes run. Says
/// what it did, a line for each.
///
/// # Errors
/// As [`open`].
pub async fn init(storage: &Storage) -> Result<Vec<String>> {
    let mut said = Vec::new();
    let others = storage
        .others
        .iter()
        .map(|(name, store)| (name.as_str(), store));
    for (name, store) in [("main", &storage.main)].into_iter().chain(others) {
        let lines = match store {
            Store::Memory | Store::Embedded { .. } => {
                vec!["makes itself when it is opened".to_owned()]
            }
            Store::DynamoDb { .. } => return Err(unknown("DynamoDB", "aws")),
            Store::Sql(sql) => sql::init(sql).await?,
        };
        said.extend(lines.into_iter().map(|line| format!("{name}: {line}")));
    }
    Ok(said)
}

/// Opens one store.
///
/// # Errors
/// As [`open`].
pub async fn place(store: &Store, observer: Option<&Arc<dyn Observer>>) -> Result<Place> {
    match store {
        Store::Memory => Ok(Place {
            table: Arc::new(MemoryTable::new()),
            blobs: Arc::new(MemoryBlobs::new()),
        }),
        Store::Embedded {
            path,
            sync,
            cache_bytes,
        } => {
            let options = EmbeddedOptions {
                sync: *sync,
                cache_bytes: *cache_bytes,
                ..EmbeddedOptions::default()
            };
            let (path, observer) = (path.clone(), observer.cloned());
            let open = move || embedded(&path, options, observer.as_deref());
            let opened = tokio::task::spawn_blocking(open).await;
            opened.unwrap_or_else(|panic| {
                let context = format!("opening the store: {panic}");
                Err(Error::new(ErrorKind::Corrupt, context))
            })
        }
        Store::DynamoDb { .. } => Err(unknown("DynamoDB", "aws")),
        Store::Sql(sql) => sql::open(sql).await,
    }
}

fn embedded(
    path: &Path,
    options: EmbeddedOptions,
    observer: Option<&dyn Observer>,
) -> Result<Place> {
    private_directory(path)?;
    let table = Embedded::open(path.join("table"), options)?;
    if let Some(observer) = observer {
        observer.lost(table.lost().bytes);
    }
    Ok(Place {
        table: Arc::new(table),
        blobs: Arc::new(DirectoryBlobs::open(path.join("blobs"))?),
    })
}

fn unknown(backend: &str, feature: &str) -> Error {
    let context =
        format!("this starling was built without {backend}; build it with `--features {feature}`");
    Error::new(ErrorKind::NotAllowed, context)
}

/// Makes a directory that only its owner may read, if it is not there: keys and messages will be in it.
///
/// # Errors
/// `Unavailable` if it cannot be made.
pub fn private_directory(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| {
            let context = format!("cannot make the directory {}", path.display());
            Error::new(ErrorKind::Unavailable, context).with_source(error)
        })
}
