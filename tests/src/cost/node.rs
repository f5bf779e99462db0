//! A node over the cloud's servers, whose every request is entered in a ledger.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use starling::{
    app::App,
    config::Security,
    stores::{self, Watching},
};
use storage::Stores;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::{cloud::Cloud, ledger::Ledger};
use crate::{
    backend,
    faults::{node::DOMAIN, settings::Settings},
};

/// How long a node may take to have nothing to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether it has.
const TICK: Duration = Duration::from_millis(2);

/// The node.
pub struct Node {
    app: App,
    /// Its repositories, to lay something out; that is entered as well.
    pub stores: Stores,
    /// What was asked of the store.
    pub ledger: Arc<Ledger>,
    _directory: TempDir,
}

impl Node {
    /// Starts one with new tables and a new bucket.
    ///
    /// # Errors
    /// What the start says.
    pub async fn start(cloud: &Cloud, cached: bool) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut config = Settings::default().config(directory.path());
        config.storage = backend::parse(&cloud.storage(cached))?;
        // What is asked now and then is none of what is counted.
        config.shared_groups.refresh = Duration::from_secs(86_400);
        stores::init(&config.storage, &|_| ()).await?;
        let ledger = Arc::new(Ledger::default());
        let watching = Watching {
            calls: ledger.clone(),
            cache: ledger.clone(),
        };
        let opened = stores::open(&config, Some(watching)).await?;
        let stores = opened.stores.clone();
        let app = App::start_with(config, opened.stores, opened.table).await?;
        Ok(Self {
            app,
            stores,
            ledger,
            _directory: directory,
        })
    }

    /// Where clients connect with TLS.
    ///
    /// # Errors
    /// There is no such listener.
    pub fn address(&self) -> Result<SocketAddr> {
        let mut listeners = self.app.addresses.iter();
        let direct = listeners.find(|(security, _)| matches!(security, Security::Direct));
        Ok(direct.context("no listener for direct TLS")?.1)
    }

    /// Waits until the node has forgotten these accounts, all of them offline, as its sweep makes it every quarter of a
    /// minute: what was unsaved is saved, and who comes next finds nothing in memory.
    ///
    /// # Errors
    /// It does not come to that.
    pub async fn settle(&self, accounts: &[&str]) -> Result<()> {
        let router = &self.app.router;
        let names: Vec<_> = accounts
            .iter()
            .map(|name| format!("{name}@{DOMAIN}"))
            .collect();
        let until = Instant::now() + PATIENCE;
        loop {
            router.homes.sweep(router);
            let online = |name: &str| router.directory.lookup(name).is_some();
            let known = |name: &String| online(name) || router.homes.loaded(name).is_some();
            if !names.iter().any(known) {
                // Last: whose home is gone does nothing more that would ask for its roster.
                router.rosters.retain(|account| online(account.as_str()));
                return Ok(());
            }
            ensure!(Instant::now() < until, "the node does not forget {names:?}");
            sleep(TICK).await;
        }
    }

    /// Stops it.
    pub async fn stop(self) {
        self.app.shutdown().await;
    }
}
