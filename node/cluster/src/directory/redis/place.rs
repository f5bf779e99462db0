//! Where Redis is: one server, what Sentinel names, or the master of a slot in cluster mode.
//!
//! All keys have one hash tag, so in cluster mode one master has all of them; it is looked up here and spoken to directly. So
//! all three ways end in one plain connection, which is made again, with a new look-up, whenever it breaks.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    RedisError, RedisResult, TlsCertificates, aio::MultiplexedConnection, io::tcp::TcpSettings,
};

/// Where Redis is. Addresses are URLs: `redis://` or `rediss://`, with user and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// One server.
    Server(String),
    /// Whoever the first Sentinel that answers calls the master of this name. `server` says how it is spoken to; its host and
    /// port do not count.
    Sentinel {
        /// The Sentinels.
        sentinels: Vec<String>,
        /// What the master is called.
        name: String,
        /// TLS, user, password and database of the server.
        server: String,
    },
    /// The master of the directory's slot, as the first of these that answers says.
    Cluster(Vec<String>),
}

/// Where, and whom to trust.
#[derive(Clone)]
pub(super) struct Way {
    place: Place,
    /// PEM; the system's roots without it.
    roots: Option<Vec<u8>>,
    key: String,
}

const CONNECT: Duration = Duration::from_secs(1);
/// A server that does not answer for so long is left. Above the time that a read blocks.
const ANSWER: Duration = Duration::from_millis(1_500);

fn wrong(what: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Io, what))
}

impl Way {
    pub(super) fn new(place: Place, roots: Option<Vec<u8>>, key: String) -> Self {
        Self { place, roots, key }
    }

    /// A connection to the server that has the directory now.
    pub(super) async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        match &self.place {
            Place::Server(url) => self.open(info(url)?).await,
            Place::Sentinel {
                sentinels,
                name,
                server,
            } => {
                let mut last = wrong("no Sentinel is configured");
                for sentinel in sentinels {
                    match self.named(sentinel, name).await {
                        Ok((host, port)) => {
                            return self.open(moved(info(server)?, host, port)).await;
                        }
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
            Place::Cluster(seeds) => {
                let mut last = wrong("no server is configured");
                for seed in seeds {
                    match self.owner(seed).await {
                        Ok((host, port)) => return self.open(moved(info(seed)?, host, port)).await,
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    async fn open(&self, info: ConnectionInfo) -> RedisResult<MultiplexedConnection> {
        let secure = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        let client = if secure && self.roots.is_some() {
            let certificates = TlsCertificates {
                client_tls: None,
                root_cert: self.roots.clone(),
            };
            Client::build_with_tls(info, certificates)?
        } else {
            Client::open(info)?
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    async fn named(&self, sentinel: &str, name: &str) -> RedisResult<(String, u16)> {
        let mut connection = self.open(info(sentinel)?).await?;
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        let found: Option<(String, u16)> = ask.query_async(&mut connection).await?;
        found.ok_or_else(|| wrong("Sentinel knows no such master"))
    }

    async fn owner(&self, seed: &str) -> RedisResult<(String, u16)> {
        let seed = info(seed)?;
        let mut connection = self.open(seed.clone()).await?;
        let mut ask = redis::cmd("CLUSTER");
        ask.arg("KEYSLOT").arg(&self.key);
        let slot: i64 = ask.query_async(&mut connection).await?;
        let ranges: redis::Value = redis::cmd("CLUSTER")
            .arg("SLOTS")
            .query_async(&mut connection)
            .await?;
        let ranges: Vec<Vec<redis::Value>> = redis::from_redis_value(ranges)?;
        for range in ranges {
            let mut fields = range.into_iter();
            let (Some(from), Some(to), Some(master)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let (from, to): (i64, i64) =
                (redis::from_redis_value(from)?, redis::from_redis_value(to)?);
            if !(from..=to).contains(&slot) {
                continue;
            }
            let master: Vec<redis::Value> = redis::from_redis_value(master)?;
            let mut master = master.into_iter();
            let (Some(host), Some(port)) = (master.next(), master.next()) else {
                continue;
            };
            let host: Option<String> = redis::from_redis_value(host)?;
            // Empty: the host that was asked.
            let host = host.filter(|h| !h.is_empty());
            return Ok((
                host.unwrap_or_else(|| host_of(&seed)),
                redis::from_redis_value(port)?,
            ));
        }
        Err(wrong("no server has the directory's slot"))
    }
}

fn info(url: &str) -> RedisResult<ConnectionInfo> {
    let info = url.into_connection_info()?;
    // Off by default in this version of the library; every change waits for its answer.
    Ok(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

fn host_of(info: &ConnectionInfo) -> String {
    match info.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        _ => "localhost".to_owned(),
    }
}

fn moved(info: ConnectionInfo, host: String, port: u16) -> ConnectionInfo {
    let address = match info.addr().clone() {
        ConnectionAddr::TcpTls {
            insecure,
            tls_params,
            ..
        } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure,
            tls_params,
        },
        _ => ConnectionAddr::Tcp(host, port),
    };
    info.set_addr(address)
}
