//! TLS: settings, certificates by domain, and their replacement while the server runs.
//!
//! Source: RFC 6120 §5, §13.7; RFC 7590 and RFC 9325 (use of TLS); XEP-0368 v1.1 (ALPN); RFC 6066 §3 (SNI).
//! Left out: early data (replays), session ids (tickets serve); ticket keys shared by the cluster.
//! Why here: the one place that configures rustls. Suites and groups are the provider's defaults: forward secrecy and
//! authenticated encryption only.
//! Stored: nothing. Ticket keys live and die with a certificate, so that a resumed session never shows another
//! `tls-server-end-point` than its certificate's.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use ::aws_lc_rs::digest;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::binding::Witness;
use super::certificate::{Facts, Identity};
use super::error::TlsError;
use super::held::Held;
use super::peer_certificate::AnyCertificate;

/// The ALPN name of client streams on a direct TLS port (XEP-0368 §5).
pub const ALPN_CLIENT: &[u8] = b"xmpp-client";
/// The ALPN name of server streams on a direct TLS port (XEP-0368 §5).
pub const ALPN_SERVER: &[u8] = b"xmpp-server";

/// A certificate chain and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The domains it is shown for, also `*.example.org`. Empty: the DNS names in the certificate.
    pub domains: Vec<String>,
    /// The chain, leaf first.
    pub chain: PathBuf,
    /// The private key of the leaf.
    pub key: PathBuf,
}

/// How a listener speaks TLS.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// The certificates. The first is shown where no other fits.
    pub certificates: Vec<CertificateFiles>,
    /// Certificates that somebody else keeps, behind those.
    pub held: Vec<Held>,
    /// Protocols to agree on: [`ALPN_CLIENT`] or [`ALPN_SERVER`] on a direct TLS port, nothing for STARTTLS. A client that
    /// names only others is refused.
    pub alpn: Vec<Vec<u8>>,
    /// Ask the peer for a certificate (SASL EXTERNAL). It may decline; what it shows is proven to be its own, no more.
    pub request_client_certificate: bool,
    /// Refuse TLS 1.2.
    pub only_tls13: bool,
    /// Handshake steps that may be computed at once, so that a storm of them leaves processor time to those connected.
    pub concurrent_handshakes: usize,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            held: Vec::new(),
            alpn: Vec::new(),
            request_client_certificate: false,
            only_tls13: false,
            concurrent_handshakes: 2 * std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// What a look at the certificate files came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// The files are those in use.
    Unchanged,
    /// New connections use the new files.
    Replaced,
}

/// The TLS side of a listener: what every handshake needs, replaceable while in use.
#[derive(Debug)]
pub struct Acceptor {
    settings: TlsSettings,
    current: ArcSwap<Context>,
    turns: Semaphore,
}

impl Acceptor {
    /// Reads the certificates.
    ///
    /// # Errors
    /// There are none, or one of them is of no use.
    pub fn new(settings: TlsSettings) -> Result<Self, TlsError> {
        Ok(Self {
            current: ArcSwap::from_pointee(Context::load(&settings)?),
            turns: Semaphore::new(settings.concurrent_handshakes.max(1)),
            settings,
        })
    }

    /// Looks whether a certificate file has changed or a held one is another, and if so uses the new ones for the connections
    /// to come. Blocks for some file reads: call it from a timer, now and then.
    ///
    /// # Errors
    /// The new files are of no use: what was there before stays in use, and the next call tries again.
    pub fn check_reload(&self) -> Result<Reload, TlsError> {
        if Stamps::of(&self.settings)? == self.current.load().stamps {
            return Ok(Reload::Unchanged);
        }
        self.current.store(Arc::new(Context::load(&self.settings)?));
        Ok(Reload::Replaced)
    }

    /// What the certificates in use say of themselves, in the order of the settings, files first.
    pub fn certificates(&self) -> Vec<Facts> {
        let current = self.current.load();
        current
            .certificates
            .all
            .iter()
            .map(|identity| identity.facts.clone())
            .collect()
    }

    /// The configuration in use, for what speaks TLS by other means (HTTPS).
    pub fn rustls_config(&self) -> Arc<ServerConfig> {
        Arc::new(self.current.load().config.clone())
    }

    pub(super) fn current(&self) -> Arc<Context> {
        self.current.load_full()
    }

    /// Waits for the right to compute one step of a handshake.
    pub(super) async fn turn(&self) -> SemaphorePermit<'_> {
        self.turns
            .acquire()
            .await
            .expect("the semaphore is never closed")
    }
}

/// One reading of the certificate files.
#[derive(Debug)]
pub(super) struct Context {
    config: ServerConfig,
    pub(super) certificates: Arc<Certificates>,
    stamps: Stamps,
}

impl Context {
    fn load(settings: &TlsSettings) -> Result<Self, TlsError> {
        // Before reading: what changes meanwhile is seen by the next check.
        let stamps = Stamps::of(settings)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certificates = Arc::new(Certificates::load(settings, &provider)?);
        let versions: &[_] = if settings.only_tls13 {
            &[&rustls::version::TLS13]
        } else {
            rustls::ALL_VERSIONS
        };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)?;
        let builder = if settings.request_client_certificate {
            builder.with_client_cert_verifier(Arc::new(AnyCertificate(
                provider.signature_verification_algorithms,
            )))
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_cert_resolver(certificates.clone());
        config.alpn_protocols.clone_from(&settings.alpn);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.send_tls13_tickets = 1;
        Ok(Self {
            config,
            certificates,
            stamps,
        })
    }

    /// The configuration of one connection: the common one, watched. 240 bytes, gone after the handshake.
    pub(super) fn config_for(&self, witness: &Arc<Witness>) -> Arc<ServerConfig> {
        let mut config = self.config.clone();
        config.key_log = witness.clone();
        config.cert_resolver = witness.clone();
        Arc::new(config)
    }
}

/// Which certificate for which domain.
#[derive(Debug)]
pub(super) struct Certificates {
    all: Vec<Identity>,
    by_domain: HashMap<String, usize>,
}

impl Certificates {
    fn load(settings: &TlsSettings, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let mut all = Vec::new();
        let mut by_domain = HashMap::new();
        let files = settings.certificates.iter();
        let files = files.map(|it| (&it.domains, Identity::load(it, provider)));
        let held = settings.held.iter();
        let held = held.map(|it| (&it.domains, Identity::held(it, provider)));
        for (domains, identity) in files.chain(held) {
            let identity = identity?;
            let domains = if domains.is_empty() {
                &identity.facts.names
            } else {
                domains
            };
            for domain in domains {
                // Who comes first is preferred.
                by_domain
                    .entry(domain.to_ascii_lowercase())
                    .or_insert(all.len());
            }
            all.push(identity);
        }
        if all.is_empty() {
            return Err(TlsError::Unconfigured);
        }
        Ok(Self { all, by_domain })
    }

    /// The certificate for a domain (lower case), else the first: its owner will tell the user more than a refusal would.
    pub(super) fn choose(&self, domain: Option<&str>) -> &Identity {
        let exact = |domain: &str| self.by_domain.get(domain).copied();
        let wildcard = |domain: &str| exact(&format!("*.{}", domain.split_once('.')?.1));
        let found = domain.and_then(|domain| exact(domain).or_else(|| wildcard(domain)));
        &self.all[found.unwrap_or(0)]
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        Some(self.choose(name.as_deref()).key.clone())
    }
}

/// How another reading is recognised.
#[derive(Debug, PartialEq, Eq)]
struct Stamps {
    files: Vec<Stamp>,
    /// SHA-256 of each that is held.
    held: Vec<Vec<u8>>,
}

impl Stamps {
    fn of(settings: &TlsSettings) -> Result<Self, TlsError> {
        let held = settings.held.iter();
        let held = held.map(|it| digest::digest(&digest::SHA256, &it.pem()).as_ref().to_vec());
        Ok(Self {
            files: stamps(settings)?,
            held: held.collect(),
        })
    }
}

/// How a changed file is recognised, a replaced link included.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    size: u64,
    inode: u64,
}

fn stamps(settings: &TlsSettings) -> Result<Vec<Stamp>, TlsError> {
    let stamp = |path: &Path| {
        let metadata = path.metadata()?;
        Ok(Stamp {
            modified: metadata.modified()?,
            size: metadata.len(),
            inode: metadata.ino(),
        })
    };
    let paths = settings
        .certificates
        .iter()
        .flat_map(|files| [&files.chain, &files.key]);
    paths
        .map(|path| {
            stamp(path).map_err(|source| TlsError::Read {
                path: path.clone(),
                source,
            })
        })
        .collect()
}
