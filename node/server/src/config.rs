//! Configuration as it is meant: types for what was written.
//!
//! | file | what |
//! |---|---|
//! | `raw` | what was written, with the place where it stands: file, environment, flags laid over each other |
//! | `values` | durations, sizes, addresses: text to value |
//! | `reader` | takes a section apart; what nobody asked for is unknown |
//! | `meaning` | every key: from what was written to [`Config`] |
//! | `storage`, `cluster`, `api`, `maintenance`, `pubsub`, `rooms`, `search`, `shared_groups`, `listeners`, `certificates`, `filter` | sections with rules of their own |
//! | `mistake`, `origin` | what is wrong, where, and what to do; what was written, and where |
//! | `user_data` | what an instance of EC2 was given in place of a file |
//! | `load` | finds the file, reads the environment, reports every mistake at once |
//!
//! Every key with its default stands in `docs/starling.example.toml`, which the tests hold to this code.

mod api;
mod certificates;
pub mod cluster;
mod filter;
mod listeners;
pub mod load;
mod maintenance;
mod meaning;
mod mistake;
mod origin;
mod pubsub;
mod raw;
mod reader;
mod rooms;
mod search;
mod secret;
mod services;
mod shared_groups;
mod storage;
pub mod user_data;
mod values;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use ::cluster::directory::Conflict;
use xmpp::{BareJid, codec::Limits, sasl::Mechanism};

use crate::net::{AdmissionLimits, CertificateFiles, Network};

pub use self::{api::Api, cluster::Cluster};
/// A time as configuration and commands write it: `90s`, `1h30m`, `21d`.
///
/// # Errors
/// It is none.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is no time; write one such as 90s, 1h30m, 21d");
    values::parse_duration(text).ok_or_else(wrong)
}

pub use certificates::StoredCertificate;
pub use load::{Loaded, Overrides, Sources, load};
pub use maintenance::Maintenance;
pub use mistake::{Mistake, Mistakes};
pub use origin::Origin;
pub use pubsub::Pubsub;
pub use rooms::{Rooms, RoomsPublish};
pub use search::{FIELDS as SEARCH_FIELDS, Search};
pub use secret::Secret;
pub use services::Circle;
pub use shared_groups::SharedGroups;
pub use storage::{
    Aws, Bucket, Dialect, DynamoDbStore, External, Feature, Memcached, SqlStore, Storage, Store,
    Uses,
};
#[cfg(feature = "external")]
pub use storage::{HttpsStore, LdapStore};
pub use user_data::Launched;

/// Everything that can be configured.
#[derive(Debug, Clone)]
pub struct Config {
    /// The domains whose accounts we host; the first is the main one.
    pub domains: Vec<String>,
    /// The directory of this node: the certificate made here, the administration socket, the embedded store by default.
    pub data: PathBuf,
    /// Where state is kept.
    pub storage: Storage,
    /// This node as one of several; `None`: it is alone.
    pub cluster: Option<Cluster>,
    /// Where clients connect.
    pub listeners: Vec<ListenerConfig>,
    /// Where metrics and health are served; `None`: nowhere.
    pub http: Option<SocketAddr>,
    /// Administration over HTTP.
    pub api: Api,
    /// Certificates in files. None here and none in the store: one is made and kept beside the data.
    pub certificates: Vec<CertificateFiles>,
    /// Certificates in the store.
    pub stored_certificates: Vec<StoredCertificate>,
    /// Who may log in, and how.
    pub auth: Auth,
    /// In-band registration (XEP-0077).
    pub registration: Registration,
    /// What one client may use.
    pub limits: ClientLimits,
    /// Stream management (XEP-0198).
    pub stream_management: StreamManagement,
    /// The archive (XEP-0313).
    pub archive: Archive,
    /// What is done for stores in the background.
    pub maintenance: Maintenance,
    /// Messages for accounts with nobody available (XEP-0160).
    pub offline: Offline,
    /// Multi-user chat (XEP-0045).
    pub rooms: Rooms,
    /// Services for publishing (XEP-0060).
    pub pubsub: Pubsub,
    /// Shared groups.
    pub shared_groups: SharedGroups,
    /// The search for people (XEP-0055).
    pub search: Search,
    /// Addresses of people (XEP-0157), by field: `abuse`, `admin`, `support` and the like; URIs.
    pub contacts: Vec<(String, Vec<String>)>,
    /// Who may use service administration (XEP-0133).
    pub admins: Vec<BareJid>,
    /// How logs are written.
    pub log: Log,
    /// How long a graceful stop may take.
    pub shutdown_grace: Duration,
    /// Whether this is a development node: accounts may be made in band.
    pub development: bool,
    /// Written once the node listens, see [`crate::ready_file`].
    pub ready_file: Option<PathBuf>,
}

/// How a listener begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Plain, TLS by STARTTLS (RFC 6120 §5).
    StartTls {
        /// Whether nothing but STARTTLS is offered before it.
        required: bool,
    },
    /// TLS from the first byte (XEP-0368).
    Direct,
}

/// One place where clients connect.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// Address and port.
    pub address: SocketAddr,
    /// How it begins.
    pub security: Security,
    /// Load balancers that send a PROXY header.
    pub proxies: Vec<Network>,
}

/// Who may log in, and how.
#[derive(Debug, Clone)]
pub struct Auth {
    /// What is offered, by preference.
    pub mechanisms: Vec<Mechanism>,
    /// Whether PLAIN is offered without TLS: for tests behind a tunnel only.
    pub plain_without_tls: bool,
    /// Iterations of SCRAM for new passwords.
    pub scram_iterations: u32,
    /// Certificate authorities for SASL EXTERNAL (XEP-0178), PEM; `None`: EXTERNAL is off.
    pub client_ca: Option<PathBuf>,
    /// How long a FAST token lives (XEP-0484).
    pub fast_lifetime: Duration,
    /// Failed attempts of one address in ten minutes before it must wait.
    pub attempts: u32,
    /// Time for everything between connect and a bound session.
    pub negotiation_timeout: Duration,
}

/// In-band registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registration {
    /// Whether strangers may make accounts.
    pub enabled: bool,
    /// Accounts that one address may make in an hour.
    pub per_hour: u32,
}

/// How fast logins come to the store, on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginLimits {
    /// Logins in a second; 0: as they come.
    pub per_second: u32,
    /// How long one may wait for its turn.
    pub wait: Duration,
}

/// What one client may use.
#[derive(Debug, Clone)]
pub struct ClientLimits {
    /// Of a stream before authentication.
    pub before_auth: Limits,
    /// Of a stream after it.
    pub after_auth: Limits,
    /// Connections.
    pub admission: AdmissionLimits,
    /// Logins.
    pub logins: LoginLimits,
    /// Sessions of one account.
    pub sessions_per_account: usize,
    /// Contacts in one roster.
    pub roster_items: usize,
    /// What to do when a resource is taken.
    pub resource_conflict: Conflict,
    /// Silence after which the client is asked for a sign of life.
    pub idle_ping: Duration,
    /// Time to answer that.
    pub ping_timeout: Duration,
    /// Bytes that one session may send in a second, on the average; 0: as many as it can.
    pub session_bytes_per_second: u64,
}

/// Stream management.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamManagement {
    /// How long a broken session may be resumed.
    pub resume: Duration,
    /// Stanzas that may wait for an acknowledgement.
    pub queue: usize,
    /// Whether another node knows each session that can be resumed, so that it outlives the node where it is.
    pub replicas: bool,
}

/// The archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Archive {
    /// Whether messages are archived.
    pub enabled: bool,
    /// Messages of one page at most.
    pub page: usize,
    /// How long messages are kept; `None`: until they are retracted or the account is removed.
    pub retention: Option<Duration>,
    /// How many messages are kept of one account, the newest; `None`: all.
    pub max_messages: Option<u64>,
}

/// Offline messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offline {
    /// Messages that may wait for one account.
    pub quota: usize,
    /// Bytes that they may have.
    pub quota_bytes: u64,
}

/// Logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Which, as `tracing` filters say it.
    pub filter: String,
    /// JSON lines instead of text.
    pub json: bool,
}

impl Config {
    /// A development node: domain `localhost`, default ports on loopback, accounts may be made in band.
    pub fn development(path: PathBuf) -> Self {
        use xmpp::sasl::Hash;
        let scram = |plus| {
            [Hash::Sha512, Hash::Sha256, Hash::Sha1].map(|hash| Mechanism::Scram { hash, plus })
        };
        let listener = |port, security| ListenerConfig {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            security,
            proxies: Vec::new(),
        };
        Self {
            domains: vec!["localhost".to_owned()],
            storage: Storage::only(Store::Embedded {
                path: path.clone(),
                sync: true,
                cache_bytes: 32 << 20,
            }),
            data: path,
            cluster: None,
            listeners: vec![
                listener(5222, Security::StartTls { required: true }),
                listener(5223, Security::Direct),
            ],
            http: Some(SocketAddr::from(([127, 0, 0, 1], 5280))),
            api: Api::default(),
            certificates: Vec::new(),
            stored_certificates: Vec::new(),
            auth: Auth {
                mechanisms: scram(true)
                    .into_iter()
                    .chain(scram(false))
                    .chain([Mechanism::Plain])
                    .collect(),
                plain_without_tls: false,
                scram_iterations: 10_000,
                client_ca: None,
                fast_lifetime: Duration::from_secs(21 * 86_400),
                attempts: 30,
                negotiation_timeout: Duration::from_secs(60),
            },
            registration: Registration {
                enabled: true,
                per_hour: 1_000,
            },
            limits: ClientLimits {
                before_auth: Limits {
                    stanza_bytes: 16 << 10,
                    depth: 16,
                    attributes: 32,
                },
                after_auth: Limits {
                    stanza_bytes: 512 << 10,
                    depth: 64,
                    attributes: 128,
                },
                admission: AdmissionLimits::default(),
                logins: LoginLimits {
                    per_second: 1_000,
                    wait: Duration::from_secs(5),
                },
                sessions_per_account: 64,
                roster_items: 20_000,
                resource_conflict: Conflict::Replace,
                idle_ping: Duration::from_secs(300),
                ping_timeout: Duration::from_secs(60),
                session_bytes_per_second: 0,
            },
            stream_management: StreamManagement {
                resume: Duration::from_secs(3_600),
                queue: 2_000,
                replicas: true,
            },
            archive: Archive {
                enabled: true,
                page: 250,
                retention: None,
                max_messages: None,
            },
            maintenance: Maintenance::default(),
            offline: Offline {
                quota: 10_000,
                quota_bytes: 64 << 20,
            },
            rooms: Rooms::default(),
            pubsub: Pubsub::default(),
            shared_groups: SharedGroups::default(),
            search: Search::default(),
            contacts: Vec::new(),
            admins: Vec::new(),
            log: Log {
                filter: "info".to_owned(),
                json: false,
            },
            shutdown_grace: Duration::from_secs(10),
            development: true,
            ready_file: None,
        }
    }

    /// What holds for the keys that a configuration file leaves out: as a development node, but reachable from
    /// everywhere, and strangers may not make accounts.
    pub fn served(path: PathBuf) -> Self {
        let mut config = Self::development(path);
        for listener in &mut config.listeners {
            listener
                .address
                .set_ip(std::net::Ipv6Addr::UNSPECIFIED.into());
        }
        config.registration = Registration {
            enabled: false,
            per_hour: 10,
        };
        config.development = false;
        config
    }

    /// Where the node answers `starling user`.
    pub fn admin_socket(&self) -> PathBuf {
        admin_socket(&self.data)
    }
}

/// Where a node with this directory answers `starling user`.
pub fn admin_socket(data: &Path) -> PathBuf {
    data.join("admin.sock")
}

#[cfg(test)]
mod tests;
