//! A server with one listener and stores in memory.

use std::{net::SocketAddr, sync::Arc};

use starling::{
    c2s::{
        negotiation::{ListenerContext, serve},
        register::create_account,
    },
    config::{Config, Security},
    net::{Acceptor, Listener, ListenerSettings, TlsSettings, certificate::self_signed},
    routing::Router,
    shutdown::{self, Stop},
};
use storage::repository::Account;
use xmpp::BareJid;

use crate::{
    peer::Peer,
    router::{Fault, router},
};

/// A running server.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it is made of.
    pub router: Arc<Router>,
    /// Stops it.
    pub stop: Stop,
    /// Makes its store of accounts fail.
    pub fault: Fault,
}

impl Server {
    /// STARTTLS required, an account `juliet` with the password `r0m30`.
    pub async fn start() -> Self {
        Self::with(Security::StartTls { required: true }, |_| {}).await
    }

    /// The same, configured further.
    pub async fn with(security: Security, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::development("unused".into());
        config.domains = vec!["example.org".to_owned(), "example.net".to_owned()];
        config.auth.scram_iterations = 4_096;
        change(&mut config);
        let directory = tempfile::tempdir().unwrap();
        let certificate = self_signed(directory.path(), &config.domains, std::time::SystemTime::now()).unwrap();
        let request_client_certificate = config.auth.client_ca.is_some();
        let settings = TlsSettings { certificates: vec![certificate], request_client_certificate, ..TlsSettings::default() };
        let acceptor = Arc::new(Acceptor::new(settings).unwrap());
        let context = ListenerContext { security, starttls: Some(acceptor.clone()), direct: Some(acceptor) };
        let (router, fault) = router(config).await;
        create_account(&router, "juliet", "example.org", "r0m30").await.unwrap();
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), ListenerSettings::default()).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = shutdown::signal();
        let (accepting, context) = (router.clone(), Arc::new(context));
        tokio::spawn(async move {
            loop {
                let accepted = listener.accept().await;
                tokio::spawn(Box::pin(serve(accepting.clone(), accepted, context.clone(), stopping.clone())));
            }
        });
        Self { address, router, stop, fault }
    }

    /// A client behind STARTTLS, with the features it is offered.
    pub async fn secured(&self) -> (Peer, xmpp::Element) {
        let mut peer = Peer::starttls(self.address, None).await;
        let features = peer.open().await;
        (peer, features)
    }

    /// An account as it is stored.
    pub async fn account(&self, account: &str) -> Option<Account> {
        self.router.stores.accounts.load(&BareJid::parse(account).unwrap()).await.unwrap()
    }

    /// How many logins had this outcome.
    pub fn logins(&self, outcome: &str) -> u64 {
        self.router.metrics.logins.with_label_values(&[outcome]).get()
    }
}
