//! Pool: connections to the servers of a directory.
//!
//! Order: a server that answered is kept; the others are asked in turn, backups when no server answers. Whoever fails is
//! left alone for a while (`breaker`); when all are, the answer is `Unavailable` at once.
//! Bounds: so many connections; who finds none free within the time of an answer is `Throttled`. An idle connection is
//! closed after a while, before a server or a firewall does it unseen.
//! A connection that anything went wrong on is not used again: an answer that came too late would be taken for the next.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings};
use parking_lot::Mutex;
use storage::{Error, Result};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::options::{LdapEncrypt, LdapOptions};
use crate::{Secret, breaker::Breaker, throttled, unavailable};

/// For how long a connection may lie unused.
const MAX_IDLE: Duration = Duration::from_secs(60);
/// The result code of success (RFC 4511 App. A).
const SUCCESS: u32 = 0;

/// A server.
struct Server {
    url: String,
    is_backup: bool,
    breaker: Mutex<Breaker>,
}

struct Idle {
    ldap: Ldap,
    server: usize,
    since: Instant,
}

/// Who a connection is made for.
#[derive(Clone)]
struct Identity {
    dn: String,
    password: Secret,
}

pub(super) struct Pool {
    servers: Vec<Server>,
    /// The server that is asked first.
    preferred: AtomicUsize,
    settings: LdapConnSettings,
    /// Who we say we are on each connection; `None`: each use says that anew.
    identity: Option<Identity>,
    connect_timeout: Duration,
    pub(super) timeout: Duration,
    permits: Arc<Semaphore>,
    /// As many as there are permits, at most.
    idle: Mutex<Vec<Idle>>,
}

/// A connection that nobody else uses.
pub(super) struct Lease<'a> {
    pub(super) ldap: Ldap,
    pool: &'a Pool,
    server: usize,
    /// It was used before: that it is broken says nothing of its server.
    pub(super) is_old: bool,
    _permit: OwnedSemaphorePermit,
}

impl Lease<'_> {
    /// It answered, and can be used again.
    pub(super) fn give_back(self) {
        self.pool.servers[self.server].breaker.lock().succeeded();
        self.pool.preferred.store(self.server, Ordering::Relaxed);
        self.pool.idle.lock().push(Idle {
            ldap: self.ldap,
            server: self.server,
            since: Instant::now(),
        });
    }

    /// It did not answer. Connections of its age to the same server are not better.
    pub(super) fn failed(self, error: &Error) {
        let mut idle = self.pool.idle.lock();
        idle.retain(|other| other.server != self.server);
        drop(idle);
        if !self.is_old {
            self.pool.server_failed(self.server, error);
        }
    }
}

/// A host with a port of its own, or with this one.
fn with_port(host: &str, port: u16) -> String {
    let own = host.split_once(':').map(|(_, own)| own.parse::<u16>());
    match own {
        Some(Ok(_)) => host.to_owned(),
        _ => format!("{host}:{port}"),
    }
}

impl Pool {
    /// For searches, as the identity of the options, or for verifying passwords.
    pub(super) fn new(options: &LdapOptions, is_for_search: bool) -> Result<Self> {
        let mut settings = LdapConnSettings::new().set_conn_timeout(options.connect_timeout);
        let scheme = match options.encrypt {
            LdapEncrypt::Tls => "ldaps",
            LdapEncrypt::None | LdapEncrypt::StartTls => "ldap",
        };
        if options.encrypt != LdapEncrypt::None {
            let starttls = options.encrypt == LdapEncrypt::StartTls;
            settings = settings
                .set_config(options.tls.config()?)
                .set_no_tls_verify(!options.tls.verify)
                .set_starttls(starttls);
        }
        let port = options.port.unwrap_or(match options.encrypt {
            LdapEncrypt::Tls => 636,
            LdapEncrypt::None | LdapEncrypt::StartTls => 389,
        });
        let of = |hosts: &[String], is_backup| {
            let server = |host: &String| Server {
                url: format!("{scheme}://{}", with_port(host, port)),
                is_backup,
                breaker: Mutex::new(Breaker::new(1)),
            };
            hosts.iter().map(server).collect::<Vec<_>>()
        };
        let mut servers = of(&options.servers, false);
        servers.extend(of(&options.backups, true));
        let identity = (is_for_search && !options.root_dn.is_empty()).then(|| Identity {
            dn: options.root_dn.clone(),
            password: options.password.clone(),
        });
        Ok(Self {
            servers,
            preferred: AtomicUsize::new(0),
            settings,
            identity,
            connect_timeout: options.connect_timeout,
            timeout: options.timeout,
            permits: Arc::new(Semaphore::new(options.connections)),
            idle: Mutex::default(),
        })
    }

    /// A connection, kept or new.
    pub(super) async fn get(&self, may_be_old: bool) -> Result<Lease<'_>> {
        let waiting = timeout(self.timeout, self.permits.clone().acquire_owned());
        let Ok(permit) = waiting.await else {
            return Err(throttled("every connection to the directory is in use"));
        };
        let permit = permit.expect("the semaphore is never closed");
        if let Some(kept) = self.kept().filter(|_| may_be_old) {
            return Ok(Lease {
                ldap: kept.ldap,
                pool: self,
                server: kept.server,
                is_old: true,
                _permit: permit,
            });
        }
        let (ldap, server) = self.connect().await?;
        Ok(Lease {
            ldap,
            pool: self,
            server,
            is_old: false,
            _permit: permit,
        })
    }

    /// The connection that was used last.
    fn kept(&self) -> Option<Idle> {
        let now = Instant::now();
        let mut idle = self.idle.lock();
        idle.retain(|it| now.duration_since(it.since) < MAX_IDLE);
        loop {
            let mut it = idle.pop()?;
            if !it.ldap.is_closed() {
                return Some(it);
            }
        }
    }

    async fn connect(&self) -> Result<(Ldap, usize)> {
        let mut last = None;
        for server in self.in_turn() {
            let trial = self.connect_timeout + self.timeout;
            let allowed = self.servers[server]
                .breaker
                .lock()
                .allows(Instant::now(), trial);
            if !allowed {
                continue;
            }
            match self.connect_to(server).await {
                Ok(ldap) => return Ok((ldap, server)),
                Err(error) => {
                    self.server_failed(server, &error);
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| unavailable("no server of the directory answers")))
    }

    /// The one that answered last, the others behind it, backups at the end.
    fn in_turn(&self) -> Vec<usize> {
        let (count, first) = (self.servers.len(), self.preferred.load(Ordering::Relaxed));
        let mut order: Vec<_> = (0..count).map(|n| (first + n) % count).collect();
        order.sort_by_key(|server| self.servers[*server].is_backup);
        order
    }

    async fn connect_to(&self, server: usize) -> Result<Ldap> {
        let url = &self.servers[server].url;
        let connecting = LdapConnAsync::with_settings(self.settings.clone(), url);
        let (connection, mut ldap) = connecting
            .await
            .map_err(|error| unavailable(format!("{url}: {error}")).with_source(error))?;
        // Ends with the last handle.
        tokio::spawn(async move {
            if let Err(error) = connection.drive().await {
                tracing::debug!(%error, "connection to the directory broken");
            }
        });
        if let Some(Identity { dn, password }) = &self.identity {
            let bind = ldap.simple_bind(dn, password.expose());
            let answer = match timeout(self.timeout, bind).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => {
                    return Err(unavailable(format!("{url}: {error}")).with_source(error));
                }
                Err(_) => return Err(unavailable(format!("{url} does not answer"))),
            };
            if answer.rc != SUCCESS {
                // Not a word of any user's password: it is ours that is wrong.
                let context = format!("{url} refuses us as {dn:?}: {}", super::told(&answer));
                return Err(unavailable(context));
            }
        }
        Ok(ldap)
    }

    fn server_failed(&self, server: usize, error: &Error) {
        let Server { url, breaker, .. } = &self.servers[server];
        if breaker.lock().failed(Instant::now()) {
            tracing::warn!(%error, server = url, "a directory does not answer");
        }
    }
}
