//! Stores: opened as the configuration says. The one place that knows where a node keeps what.
//!
//! In the directory of `[storage] path`: `table` is the embedded table, `blobs` the large values.

use std::{path::Path, sync::Arc};

use storage::{
    Result, Stores,
    backend::{
        directory::DirectoryBlobs,
        embedded::{Embedded, EmbeddedOptions},
        memory::{MemoryBlobs, MemoryTable},
    },
    layer::{Measured, Observer},
    shape::{Blobs, Table},
};

use crate::config::{Config, Storage};

/// Opens the stores and the table under them, measured by `observer` if there is one. May replay logs: not for the runtime's threads.
///
/// # Errors
/// `Unavailable` if the directory cannot be used or another process has it open, `Corrupt` if what is there is damaged.
pub fn open(
    config: &Config,
    observer: Option<Arc<dyn Observer>>,
) -> Result<(Stores, Arc<dyn Table>)> {
    let (table, blobs): (Arc<dyn Table>, Arc<dyn Blobs>) = match &config.storage {
        Storage::Memory => (Arc::new(MemoryTable::new()), Arc::new(MemoryBlobs::new())),
        Storage::Embedded {
            path,
            sync,
            cache_bytes,
        } => {
            private_directory(path)?;
            let options = EmbeddedOptions {
                sync: *sync,
                cache_bytes: *cache_bytes,
                ..EmbeddedOptions::default()
            };
            let table = Embedded::open(path.join("table"), options)?;
            if let Some(observer) = &observer {
                observer.lost(table.lost().bytes);
            }
            (
                Arc::new(table),
                Arc::new(DirectoryBlobs::open(path.join("blobs"))?),
            )
        }
    };
    let table: Arc<dyn Table> = match observer {
        Some(observer) => Arc::new(Measured::new(table, observer)),
        None => table,
    };
    Ok((Stores::over(table.clone(), blobs), table))
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
            storage::Error::new(storage::ErrorKind::Unavailable, context).with_source(error)
        })
}
