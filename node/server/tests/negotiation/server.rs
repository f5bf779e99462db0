//! A server with one listener and stores in memory.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

use starling::{
    app::App,
    c2s::register::create_account,
    config::{Config, ListenerConfig, Security},
    net::certificate::self_signed,
    routing::Router,
};
use storage::{Stores, repository::Account};
use tempfile::TempDir;
use xmpp::BareJid;

use crate::{
    peer::Peer,
    stores::{Fault, stores},
};

/// A running server.
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What it is made of.
    pub(crate) router: Arc<Router>,
    /// To stop it.
    pub(crate) app: App,
    /// Makes its store of accounts fail.
    pub(crate) fault: Fault,
    _certificates: TempDir,
}

impl Server {
    /// STARTTLS required, an account `juliet` with the password `r0m30`.
    pub(crate) async fn start() -> Self {
        Self::with(Security::StartTls { required: true }, |_| {}).await
    }

    /// The same, configured further.
    pub(crate) async fn with(security: Security, change: impl FnOnce(&mut Config)) -> Self {
        Self::with_stores(security, change, |_| {}).await
    }

    /// The same, with other stores.
    pub(crate) async fn with_stores(
        security: Security,
        change: impl FnOnce(&mut Config),
        replace: impl FnOnce(&mut Stores),
    ) -> Self {
        let mut config = Config::development("unused".into());
        config.domains = vec!["example.org".to_owned(), "example.net".to_owned()];
        config.auth.scram_iterations = 4_096;
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        config.listeners = vec![ListenerConfig {
            address,
            security,
            proxies: Vec::new(),
        }];
        let directory = tempfile::tempdir().unwrap();
        config.certificates =
            vec![self_signed(directory.path(), &config.domains, SystemTime::now()).unwrap()];
        change(&mut config);
        let (mut stores, table, fault) = stores();
        replace(&mut stores);
        let app = App::start_with(config, stores, table).await.unwrap();
        let router = app.router.clone();
        create_account(&router, "juliet", "example.org", "r0m30")
            .await
            .unwrap();
        Self {
            address: app.addresses[0].1,
            router,
            app,
            fault,
            _certificates: directory,
        }
    }

    /// A client behind STARTTLS, with the features it is offered.
    pub(crate) async fn secured(&self) -> (Peer, xmpp::Element) {
        let mut peer = Peer::starttls(self.address, None).await;
        let features = peer.open().await;
        (peer, features)
    }

    /// An account as it is stored.
    pub(crate) async fn account(&self, account: &str) -> Option<Account> {
        self.router
            .stores
            .accounts
            .load(&BareJid::parse(account).unwrap())
            .await
            .unwrap()
    }

    /// How many logins had this outcome.
    pub(crate) fn logins(&self, outcome: &str) -> u64 {
        self.router
            .metrics
            .logins
            .with_label_values(&[outcome])
            .get()
    }
}
