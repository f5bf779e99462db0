//! Stores: opened as the configuration says. The one place that knows where a node keeps what.
//!
//! In the directory of an embedded store: `table` is the embedded table, `blobs` the large values. Backends of the cloud
//! are features of the build, so that a node for one machine needs none of their libraries.

#[cfg_attr(not(feature = "aws"), path = "stores/no_aws.rs")]
mod aws;
mod cache;
#[cfg_attr(not(feature = "external"), path = "stores/no_external.rs")]
mod external;
#[cfg_attr(not(feature = "sql"), path = "stores/no_sql.rs")]
mod sql;

use std::{collections::HashMap, path::Path, sync::Arc};

use storage::{
    Error, ErrorKind, Kept, Layout, Place, Result, Stores,
    backend::{
        directory::DirectoryBlobs,
        embedded::{Embedded, EmbeddedOptions},
        memory::{MemoryBlobs, MemoryTable},
    },
    layer::{CacheObserver, Measured, Observer},
    shape::Table,
};

use crate::config::{Config, Feature, Storage, Store};

/// What a configuration opens.
pub struct Opened {
    /// The repositories.
    pub stores: Stores,
    /// The main table, which keeps what is the node's own as well.
    pub table: Arc<dyn Table>,
}

/// Who wants to know what stores do.
#[derive(Clone)]
pub struct Watching {
    /// Calls, and what they cost.
    pub calls: Arc<dyn Observer>,
    /// What became of reads and writes at the cache.
    pub cache: Arc<dyn CacheObserver>,
}

/// Opens what is configured. May take long: an embedded store replays its logs.
///
/// # Errors
/// `Unavailable` if a store cannot be reached, lacks its tables, or another process has it open, `Corrupt` if what is
/// there is damaged, `NotAllowed` if this build does not know its backend.
pub async fn open(config: &Config, watching: Option<Watching>) -> Result<Opened> {
    let storage = &config.storage;
    let main = main_place(storage, watching.as_ref()).await?;
    let table = main.table.clone();
    let mut places = HashMap::from([("main", main)]);
    for (name, store) in &storage.others {
        if !matches!(store, Store::External(_)) {
            places.insert(name, place(store, watching.as_ref()).await?);
        }
    }
    let mut systems = external::Systems::default();
    let mut layouts = HashMap::new();
    for domain in &config.domains {
        let mut layout = layout(storage, domain, &places);
        systems.lay_out(&mut layout, storage, domain)?;
        layouts.insert(domain.clone(), layout);
    }
    Ok(Opened {
        // Domains that are not served, which a command may name, have theirs where every domain has it.
        stores: Stores::new(layout(storage, "", &places), layouts),
        table,
    })
}

/// Where what of a domain is kept. What another system keeps has the main store for what stands beside it: the shadows of
/// accounts, how far logs were handed over.
fn layout(storage: &Storage, domain: &str, places: &HashMap<&str, Place>) -> Layout {
    let of = |feature| {
        let name = storage.kept_in(feature, domain).unwrap_or("main");
        let name = match storage.kept_by(feature, domain) {
            Some(_) => "main",
            None => name,
        };
        let place = places.get(name).expect("the configuration was checked");
        place.clone()
    };
    let messages = of(Feature::Messages);
    Layout {
        accounts: of(Feature::Accounts),
        authority: None,
        rosters: Kept::In(of(Feature::Rosters)),
        mailboxes: messages.clone(),
        messages: Kept::In(messages),
        privacy: of(Feature::Privacy),
        private_xml: of(Feature::PrivateXml),
        vcards: Kept::In(of(Feature::Vcards)),
        groups: Kept::In(of(Feature::Groups)),
    }
}

/// Who is told what is done, a line at a time.
pub type Tell<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Makes what stores of the cloud need before they are used: tables, buckets. May be repeated, also while nodes run. Tells
/// each step when it is done.
///
/// # Errors
/// As [`open`]. What was done before was told.
pub async fn init(storage: &Storage, tell: Tell<'_>) -> Result<()> {
    let others = storage.others.iter();
    let others = others.map(|(name, store)| (name.as_str(), store));
    for (name, store) in [("main", &storage.main)].into_iter().chain(others) {
        let tell = |line: &str| tell(&format!("{name}: {line}"));
        match store {
            Store::Memory | Store::Embedded { .. } => tell("makes itself when it is opened"),
            Store::DynamoDb(store) => aws::init(store, &tell).await?,
            Store::Sql(store) => {
                let lines = sql::init(store).await?;
                lines.iter().for_each(|line| tell(line));
            }
            Store::External(_) => tell("is another system, which makes itself"),
        }
    }
    Ok(())
}

/// Opens the main store with the cache in front of it.
///
/// # Errors
/// As [`open`].
pub async fn main_place(storage: &Storage, watching: Option<&Watching>) -> Result<Place> {
    let main = place(&storage.main, watching).await?;
    let Some(memcached) = &storage.memcached else {
        return Ok(main);
    };
    let observer = watching.map(|watching| watching.cache.clone());
    cache::before(main, memcached, observer.unwrap_or_else(|| Arc::new(())))
}

async fn place(store: &Store, watching: Option<&Watching>) -> Result<Place> {
    let mut place = match store {
        Store::Memory => Place::new(Arc::new(MemoryTable::new()), Arc::new(MemoryBlobs::new())),
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
            let (path, watching) = (path.clone(), watching.cloned());
            let open = move || embedded(&path, options, watching.as_ref());
            let opened = tokio::task::spawn_blocking(open).await;
            opened.unwrap_or_else(|panic| {
                let context = format!("opening the store: {panic}");
                Err(Error::new(ErrorKind::Corrupt, context))
            })?
        }
        Store::DynamoDb(store) => aws::open(store, watching).await?,
        Store::Sql(store) => sql::open(store).await?,
        Store::External(_) => {
            let context = "another system keeps no records of a node's own";
            return Err(Error::new(ErrorKind::NotAllowed, context));
        }
    };
    if let Some(watching) = watching {
        place.table = Arc::new(Measured::new(place.table, watching.calls.clone()));
    }
    Ok(place)
}

fn embedded(path: &Path, options: EmbeddedOptions, watching: Option<&Watching>) -> Result<Place> {
    private_directory(path)?;
    let table = Embedded::open(path.join("table"), options)?;
    if let Some(watching) = watching {
        watching.calls.lost(table.lost().bytes);
    }
    let blobs = DirectoryBlobs::open(path.join("blobs"))?;
    Ok(Place::new(Arc::new(table), Arc::new(blobs)))
}

#[cfg(not(all(feature = "aws", feature = "sql")))]
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
