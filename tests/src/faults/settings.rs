//! How a server under test is configured: the few things that tests change, over the development configuration.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use starling::config::{Config, Security, Store};

use crate::backend;

/// What tests change. Passed to a server process as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// Whether every commit waits for the disk.
    pub sync: bool,
    /// Whether messages are archived.
    pub archive: bool,
    /// How long a broken session may be resumed.
    pub resume_s: u64,
    /// Stanzas that may wait for an acknowledgement.
    pub queue: usize,
    /// Whether another node knows each session that can be resumed.
    pub replicas: bool,
    /// Time for everything between connect and a bound session, in milliseconds.
    pub negotiation_ms: u64,
    /// Time to answer a ping, in milliseconds.
    pub ping_ms: u64,
    /// Messages that may wait for one account.
    pub offline: usize,
    /// Bytes that they may have.
    pub offline_bytes: u64,
    /// Bytes that a session may send in a second; 0: no limit.
    pub session_bytes: u64,
    /// Messages of one page of the archive.
    pub page: usize,
    /// Connections of one address.
    pub per_address: usize,
    /// Worker threads of a server process.
    pub workers: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sync: false,
            archive: true,
            resume_s: 300,
            queue: 2_000,
            replicas: true,
            negotiation_ms: 60_000,
            ping_ms: 30_000,
            offline: 10_000,
            offline_bytes: 64 << 20,
            session_bytes: 0,
            page: 250,
            per_address: 100_000,
            workers: 2,
        }
    }
}

impl Settings {
    /// The configuration, over a directory: two listeners on loopback, at ports that the kernel chooses; without TLS where
    /// the client does not ask for it, and with TLS from the first byte.
    #[must_use]
    pub fn config(&self, directory: &Path) -> Config {
        let mut config = Config::development(directory.to_owned());
        config.storage.main = Store::Embedded {
            path: directory.to_owned(),
            sync: self.sync,
            cache_bytes: 16 << 20,
        };
        let elsewhere = backend::storage(directory).expect("the environment names a store");
        if let Some(storage) = elsewhere {
            config.storage = storage;
        }
        for listener in &mut config.listeners {
            listener.address = SocketAddr::from(([127, 0, 0, 1], 0));
            if let Security::StartTls { required } = &mut listener.security {
                *required = false;
            }
        }
        config.http = None;
        config.auth.plain_without_tls = true;
        config.auth.attempts = 1_000_000;
        config.auth.scram_iterations = 1;
        config.auth.negotiation_timeout = Duration::from_millis(self.negotiation_ms);
        config.limits.ping_timeout = Duration::from_millis(self.ping_ms);
        config.registration.per_hour = 1_000_000;
        config.limits.admission.per_address = self.per_address;
        config.limits.admission.per_second = 1_000_000;
        config.limits.admission.burst = 1_000_000;
        config.stream_management.resume = Duration::from_secs(self.resume_s);
        config.stream_management.queue = self.queue;
        config.stream_management.replicas = self.replicas;
        config.archive.enabled = self.archive;
        config.archive.page = self.page;
        config.offline.quota = self.offline;
        config.offline.quota_bytes = self.offline_bytes;
        config.limits.session_bytes_per_second = self.session_bytes;
        config.shutdown_grace = Duration::from_secs(5);
        config
    }
}
