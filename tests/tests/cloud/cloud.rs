//! DynamoDB, S3 and memcached for one test, proxies before the first two, and nodes over them.

use std::net::SocketAddr;
use std::sync::Arc;

use services::{Dynoxide, Faults, Memcached, SeaweedFs};
use starling::app::App;
use starling::config::{Config, Security};
use starling::stores::{self, Opened, Watching};
use storage::Stores;
use storage::layer::{CacheEvent, CacheObserver, Cacheable};
use tempfile::TempDir;
use tests::backend;
use tests::faults::actor::Story;
use tests::faults::node::create_accounts;
use tests::faults::settings::Settings;

/// The servers.
pub struct Cloud {
    pub tables: Dynoxide,
    pub objects: SeaweedFs,
    pub cache: Memcached,
    /// What happens to requests for DynamoDB.
    pub to_tables: Faults,
    /// What happens to requests for S3.
    pub to_objects: Faults,
}

impl Cloud {
    /// Starts them and makes tables, bucket and accounts.
    pub async fn start(accounts: impl IntoIterator<Item = String>) -> Self {
        let start = || (Dynoxide::start(), SeaweedFs::start(), Memcached::start());
        let (tables, objects, cache) = tokio::task::block_in_place(start);
        let (tables, objects) = (tables.unwrap(), objects.unwrap());
        let cloud = Self {
            to_tables: Faults::start(&tables.url()).await.unwrap(),
            to_objects: Faults::start(&objects.url()).await.unwrap(),
            cache: cache.unwrap(),
            tables,
            objects,
        };
        let storage = backend::parse(&cloud.lines()).unwrap();
        stores::init(&storage, &|_| ()).await.unwrap();
        create_accounts(&cloud.stores().await, accounts)
            .await
            .unwrap();
        cloud
    }

    /// What a node writes under `[storage]`.
    pub fn lines(&self) -> String {
        let cache = format!(
            "[storage.memcached]\nservers = [\"{}\"]\n",
            self.cache.address()
        );
        self.through(&self.to_tables.url(), &self.to_objects.url()) + &cache
    }

    fn through(&self, tables: &str, objects: &str) -> String {
        format!(
            r#"backend = "dynamodb"
table_prefix = "storms-"
region = "eu-west-1"
endpoint = "{tables}"
credentials = "{}"
bucket = "storms-of-starling"
bucket_endpoint = "{objects}"
bucket_credentials = "{}"
path_style = true
"#,
            self.tables.credentials().display(),
            self.objects.credentials().display(),
        )
    }

    /// What is stored, past proxies and cache.
    pub async fn stores(&self) -> Stores {
        let lines = self.through(&self.tables.url(), &self.objects.url());
        open(&lines, Arc::new(())).await.stores
    }

    /// The stores of another node.
    pub async fn stores_of_a_node(&self) -> Stores {
        open(&self.lines(), Arc::new(())).await.stores
    }

    /// A node in this process.
    pub async fn node(&self, settings: &Settings) -> Node {
        let directory = tempfile::tempdir().unwrap();
        let mut config = settings.config(directory.path());
        config.storage = backend::parse(&self.lines()).unwrap();
        let seen = Arc::new(Seen::default());
        let Opened { stores, table } = opened(&config, seen.clone()).await;
        let app = App::start_with(config, stores, table).await.unwrap();
        Node {
            app,
            seen,
            _directory: directory,
        }
    }
}

async fn open(lines: &str, cache: Arc<dyn CacheObserver>) -> Opened {
    let mut config = Config::development("nowhere".into());
    config.storage = backend::parse(lines).unwrap();
    opened(&config, cache).await
}

async fn opened(config: &Config, cache: Arc<dyn CacheObserver>) -> Opened {
    let calls = Arc::new(starling::metrics::StoreMetrics::default());
    let watching = Watching { calls, cache };
    stores::open(config, Some(watching)).await.unwrap()
}

/// A node in this process.
pub struct Node {
    pub app: App,
    /// What its cache was good for.
    pub seen: Arc<Seen>,
    _directory: TempDir,
}

impl Node {
    /// Where clients without TLS connect.
    pub fn address(&self) -> SocketAddr {
        let plain = |(security, _): &&(Security, _)| matches!(security, Security::StartTls { .. });
        self.app.addresses.iter().find(plain).unwrap().1
    }
}

/// What the cache layer told.
#[derive(Default)]
pub struct Seen {
    events: parking_lot::Mutex<std::collections::BTreeMap<&'static str, u64>>,
}

impl Seen {
    /// How often each thing happened.
    pub fn counts(&self) -> std::collections::BTreeMap<&'static str, u64> {
        self.events.lock().clone()
    }
}

impl CacheObserver for Seen {
    fn observe(&self, _: Cacheable, event: CacheEvent) {
        *self.events.lock().entry(event.name()).or_default() += 1;
    }
}

/// Nobody was told anything but what is allowed: `words` that what happened to actors may begin with.
pub fn assert_told_only(story: &Story, words: &[&str]) {
    let told = [
        "message refused",
        "presence refused",
        "stream error",
        "resumption failed",
        "turned away",
        "lost",
    ];
    let wrong: Vec<_> = story
        .iter()
        .filter(|(what, _)| told.iter().any(|told| what.starts_with(told)))
        .filter(|(what, _)| !words.iter().any(|word| what.starts_with(word)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?} in {story:?}");
}
