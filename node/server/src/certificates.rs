//! Certificates of a running node: those of files are read again when the files change, those of the store when there is
//! another one, both for the connections to come and without a restart.
//!
//! Why here: TLS reads what it is given and waits for nobody, and the store is asked by who may wait. A node that cannot have
//! one that is configured does not start; one that runs goes on with what it has.
//! Cost: a request for each certificate of the store in [`STORE_LOOK`], whatever the number of listeners.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use parking_lot::Mutex;
use storage::repository::CertificateRepository;
use tokio::time::Instant;

use crate::{
    config::Config,
    net::{Acceptor, Held, Reload},
    shutdown::Stopping,
};

/// How often files are looked at.
const FILE_LOOK: Duration = Duration::from_secs(10);
/// How often the store is asked.
const STORE_LOOK: Duration = Duration::from_secs(60);

/// The certificates, and who shows them.
pub struct Certificates {
    held: Vec<Held>,
    store: Arc<dyn CertificateRepository>,
    acceptors: Mutex<Vec<Arc<Acceptor>>>,
}

impl Certificates {
    /// Reads those of the store.
    ///
    /// # Errors
    /// One of them is not there, or the store cannot be read.
    pub async fn load(
        config: &Config,
        store: Arc<dyn CertificateRepository>,
    ) -> anyhow::Result<Self> {
        let mut held = Vec::new();
        for stored in &config.stored_certificates {
            let name = &stored.name;
            let found = store.load(name).await;
            let found = found
                .with_context(|| format!("reading the certificate \"{name}\" of the store"))?;
            let pem = found.with_context(|| {
                format!(
                    "the store has no certificate \"{name}\": put it there by \
                     `starling certificate put {name} --chain FILE --key FILE`"
                )
            })?;
            held.push(Held::new(name.as_str(), stored.domains.clone(), pem.0));
        }
        Ok(Self {
            held,
            store,
            acceptors: Mutex::default(),
        })
    }

    /// Those of the store, as they are now.
    pub fn held(&self) -> Vec<Held> {
        self.held.clone()
    }

    /// Has this one use what changes.
    pub fn serve(&self, acceptor: Arc<Acceptor>) {
        self.acceptors.lock().push(acceptor);
    }

    /// Asks the store for others.
    pub async fn look_at_store(&self) {
        for held in &self.held {
            let name = storage::repository::CertificateName::new(held.name())
                .expect("the configuration was checked");
            match self.store.load(&name).await {
                Ok(Some(pem)) => {
                    if held.replace(pem.0) {
                        tracing::info!(%name, "the store has another certificate");
                    }
                }
                Ok(None) => {
                    tracing::warn!(%name, "a certificate is gone from the store; the last one stays in use");
                }
                Err(error) => {
                    tracing::warn!(%name, %error, "a certificate cannot be read from the store");
                }
            }
        }
    }

    /// Has all use what is new.
    pub async fn reload(&self) {
        let acceptors = self.acceptors.lock().clone();
        for acceptor in acceptors {
            // Files are read.
            match tokio::task::spawn_blocking(move || acceptor.check_reload()).await {
                Ok(Ok(Reload::Unchanged)) | Err(_) => {}
                Ok(Ok(Reload::Replaced)) => tracing::info!("certificates reloaded"),
                Ok(Err(error)) => tracing::error!(%error, "new certificates cannot be used"),
            }
        }
    }

    /// Looks now and then, until the node stops.
    pub async fn follow(self: Arc<Self>, mut stop: Stopping) {
        let mut asked = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(FILE_LOOK) => {}
                () = stop.wait() => return,
            }
            if asked.elapsed() >= STORE_LOOK {
                asked = Instant::now();
                self.look_at_store().await;
            }
            self.reload().await;
        }
    }
}
