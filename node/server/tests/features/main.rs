//! Features of the server as clients see them: a node in memory, clients that speak XML by hand.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod disco;
mod info;
mod peer;
mod search;
mod specs;
mod vcard;

use std::{net::SocketAddr, time::SystemTime};

use starling::{
    app::App,
    config::{Config, ListenerConfig, Security, Store},
    net::certificate::self_signed,
};

use crate::peer::Peer;

/// A node that serves `example.org`, with the accounts `juliet`, `romeo` and `tybalt`. Juliet and Romeo see each other.
pub struct Node {
    app: App,
}

impl Node {
    /// Starts it.
    pub async fn start() -> Self {
        let mut config = Config::development("unused".into());
        config.domains = vec!["example.org".to_owned()];
        config.storage.main = Store::Memory;
        config.http = None;
        config.auth.plain_without_tls = true;
        config.auth.scram_iterations = 1;
        config.contacts = vec![(
            "abuse".to_owned(),
            vec!["mailto:abuse@example.org".to_owned()],
        )];
        config.listeners = vec![ListenerConfig {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            security: Security::StartTls { required: false },
            proxies: Vec::new(),
        }];
        let directory = tempfile::tempdir().unwrap();
        let certificate = self_signed(directory.path(), &config.domains, SystemTime::now());
        config.certificates = vec![certificate.unwrap()];
        let app = Box::pin(App::start(config)).await.unwrap();
        for name in ["juliet", "romeo", "tybalt"] {
            Peer::register(app.addresses[0].1, name).await;
        }
        let node = Self { app };
        let (mut juliet, mut romeo) = (
            node.login("juliet", "setup").await,
            node.login("romeo", "setup").await,
        );
        for (from, to) in [(&mut juliet, "romeo"), (&mut romeo, "juliet")] {
            from.send(&format!(
                "<presence to='{to}@example.org' type='subscribe'/>"
            ))
            .await;
            from.send(&format!(
                "<presence to='{to}@example.org' type='subscribed'/>"
            ))
            .await;
            from.settle().await;
        }
        juliet.close().await;
        romeo.close().await;
        node
    }

    /// A session of an account, not available yet.
    pub async fn login(&self, name: &str, resource: &str) -> Peer {
        Peer::login(self.app.addresses[0].1, name, resource).await
    }

    /// A session of an account, available.
    pub async fn available(&self, name: &str, resource: &str) -> Peer {
        let mut peer = self.login(name, resource).await;
        peer.send("<presence/>").await;
        peer.settle().await;
        peer
    }
}
