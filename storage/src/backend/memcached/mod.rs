//! memcached as a cache: servers on a ketama ring (`ketama`), each with a breaker and a generation (`server`), from a
//! list or from ElastiCache (`discovery`).
//!
//! On the wire a key is `namespace:generation:key`, hashed if that is longer than memcached takes. Expiry is in whole
//! seconds, rounded up.
//!
//! When the servers change, the keys of a new one come from others, and the keys of one that is gone go to others, who
//! may hold what was there before it came. Whoever gains keys is distrusted once by each node that learns of it, so that
//! nothing of before is read once all know: a new server is emptied a few times more while the nodes learn of it, and
//! when one goes all are. A node that changed something before it knew any server distrusts all that it learns of. As
//! long as nodes do not agree, they do not see each other's changes of the keys that moved; no longer than an entry
//! lives. So the list is asked for often, and is not changed often.

mod breaker;
mod discovery;
mod ketama;
mod options;
mod server;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use memcache::exp::{Delete, Op, OpResult, Set};
use parking_lot::Mutex;

pub use breaker::BreakerPolicy;
pub use options::{MemcachedOptions, Servers};

use self::{
    discovery::{List, Listed},
    ketama::Ketama,
    options::{check_address, check_list, check_namespace},
    server::{Server, get},
};
use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Result},
    join::join_all,
    shape::{Cache, Cached},
};

/// memcached's limit on a key.
const MAX_KEY: usize = 250;
/// How often [`Memcached::run`] looks after the servers.
const ROUND: Duration = Duration::from_secs(1);
/// memcached takes more seconds for a time since 1970.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// How a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerStatus {
    /// Its name on the ring.
    pub name: String,
    /// Whether it is asked; not while its breaker is open.
    pub is_asked: bool,
    /// Whether what it holds may be read; not until it has a new generation.
    pub is_trusted: bool,
}

#[derive(Default)]
struct Ring {
    version: Option<u64>,
    servers: Vec<Arc<Server>>,
    ketama: Ketama,
}

impl Ring {
    fn of(version: Option<u64>, servers: Vec<Arc<Server>>) -> Self {
        let named: Vec<_> = servers
            .iter()
            .map(|server| (server.name.as_str(), server.weight))
            .collect();
        let ketama = Ketama::new(&named);
        Self {
            version,
            servers,
            ketama,
        }
    }
}

/// The cache.
pub struct Memcached {
    options: MemcachedOptions,
    /// The configuration endpoint, if there is one, and when it is to be asked next.
    endpoint: Option<(String, Mutex<Duration>)>,
    ring: ArcSwap<Ring>,
    /// Something was to be distrusted while no server was known. Held by who puts the first ones on the ring.
    missed: Mutex<bool>,
    clock: Arc<dyn Clock>,
}

impl Memcached {
    /// A cache on these servers. Nothing is asked yet: a cache that is gone keeps nobody from starting. Servers of a
    /// cluster are known from the first round of [`Memcached::run`] or [`Memcached::maintain`] on.
    ///
    /// # Errors
    /// `NotAllowed` for a list that is empty or names a server twice or without port, and for a namespace that is too
    /// long or not plain.
    pub fn new(servers: Servers, options: MemcachedOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        check_namespace(&options.namespace)?;
        let (endpoint, ring) = match servers {
            Servers::Cluster(endpoint) => {
                check_address(&endpoint)?;
                let due = Mutex::new(Duration::ZERO);
                (Some((endpoint, due)), Ring::default())
            }
            Servers::Fixed(list) => {
                check_list(&list)?;
                let server = |(name, weight): (String, u32)| {
                    let address = name.clone();
                    Arc::new(Server::new(name, address, weight, &options, clock.clone()))
                };
                (None, Ring::of(None, list.into_iter().map(server).collect()))
            }
        };
        Ok(Self {
            options,
            endpoint,
            ring: ArcSwap::from_pointee(ring),
            missed: Mutex::new(false),
            clock,
        })
    }

    /// Looks after the servers until it is dropped: asks for the list, gives new generations to those distrusted.
    pub async fn run(self: Arc<Self>) {
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            self.maintain().await;
        }
    }

    /// One round of that.
    pub async fn maintain(&self) {
        if let Some((endpoint, due)) = &self.endpoint {
            let now = self.clock.now();
            let is_due = *due.lock() <= now;
            if is_due {
                *due.lock() = now + self.options.poll;
                self.poll(endpoint).await;
            }
        }
        let ring = self.ring.load_full();
        let distrusted = ring.servers.iter().filter(|server| !server.is_trusted());
        // Those that cannot be reached have their turn in the next round.
        join_all(distrusted.map(|server| server.agree())).await;
    }

    async fn poll(&self, endpoint: &str) {
        match discovery::ask(endpoint, self.options.connect_timeout * 4).await {
            Ok(list) => self.follow(list),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "list of cache servers not known");
            }
        }
    }

    /// Takes over a list that is newer than the one there is. Called by one at a time.
    fn follow(&self, list: List) {
        let old = self.ring.load_full();
        if old.version.is_some_and(|version| version >= list.version) {
            return;
        }
        let is_first = old.version.is_none();
        let mut servers = Vec::new();
        for listed in &list.servers {
            let same = |server: &&Arc<Server>| is_same(server, listed);
            if let Some(known) = old.servers.iter().find(same) {
                servers.push(known.clone());
                continue;
            }
            let Listed { name, address } = listed.clone();
            let server = Server::new(name, address, 1, &self.options, self.clock.clone());
            if !is_first {
                server.distrust();
            }
            servers.push(Arc::new(server));
        }
        let stays =
            |server: &Arc<Server>| list.servers.iter().any(|listed| is_same(server, listed));
        let mut missed = self.missed.lock();
        // Whichever server it was about: it was not told.
        let missed_one = !servers.is_empty() && std::mem::take(&mut *missed);
        if missed_one || !old.servers.iter().all(stays) {
            servers.iter().for_each(|server| server.distrust());
        }
        tracing::info!(
            version = list.version,
            servers = servers.len(),
            "cache servers known"
        );
        self.ring
            .store(Arc::new(Ring::of(Some(list.version), servers)));
    }

    /// How the servers are, for metrics.
    pub fn status(&self) -> Vec<ServerStatus> {
        let ring = self.ring.load();
        let status = |server: &Arc<Server>| ServerStatus {
            name: server.name.clone(),
            is_asked: server.is_asked(),
            is_trusted: server.is_trusted(),
        };
        ring.servers.iter().map(status).collect()
    }

    fn server_of(&self, key: &str) -> Result<Arc<Server>> {
        let ring = self.ring.load();
        let index = ring.ketama.server_of(key.as_bytes());
        let index = index.ok_or_else(|| Error::new(ErrorKind::Unavailable, "no cache servers"))?;
        Ok(ring.servers[index].clone())
    }

    fn wire(&self, generation: u64, key: &str) -> String {
        let prefix = format!("{}:{generation:016x}:", self.options.namespace);
        if prefix.len() + key.len() <= MAX_KEY {
            return prefix + key;
        }
        let hash = digest(&SHA256, key.as_bytes());
        format!("{prefix}#{}", BASE64_URL_SAFE_NO_PAD.encode(hash))
    }

    /// Does one operation at the server of a key.
    async fn run_one(
        &self,
        key: &str,
        build: impl Fn(u64, String) -> Option<Op>,
    ) -> Result<Option<(u64, OpResult)>> {
        let server = self.server_of(key)?;
        let one = |generation| {
            let operation = build(generation, self.wire(generation, key));
            Ok(operation.into_iter().collect())
        };
        let (generation, mut results) = server.run(one).await?;
        let result = results.pop().transpose()?;
        Ok(result.map(|result| (generation, result)))
    }

    /// Does a change; the token of what is there then, if it was made.
    async fn change(
        &self,
        key: &str,
        build: impl Fn(u64, String) -> Option<Op>,
    ) -> Result<Option<u64>> {
        let Some((generation, result)) = self.run_one(key, build).await? else {
            return Ok(None);
        };
        let result = result.as_mutation().filter(|result| result.applied());
        Ok(result.map(|result| result.cas.unwrap_or_default() ^ generation))
    }

    fn setting(&self, key: String, value: &Bytes, expires: Duration) -> Set {
        let seconds = expires.min(LONGEST).max(Duration::from_secs(1));
        Set::new(key, value).ttl(seconds).return_cas()
    }

    fn check_size(&self, value: &Bytes) -> Result<()> {
        if value.len() <= self.options.max_value {
            return Ok(());
        }
        let what = format!("a value of {} bytes is not cached", value.len());
        Err(Error::new(ErrorKind::TooLarge, what))
    }
}

fn is_same(server: &Server, listed: &Listed) -> bool {
    server.name == listed.name && server.address == listed.address
}

/// What was read, under the generation it was read in.
fn cached(generation: u64, result: Result<OpResult>) -> Result<Option<Cached>> {
    let OpResult::Get(mut found) = result? else {
        return Ok(None);
    };
    let (Some(value), Some(cas)) = (found.value.take(), found.item.cas) else {
        return Ok(None);
    };
    Ok(Some(Cached {
        value: value.into(),
        token: cas ^ generation,
    }))
}

#[async_trait]
impl Cache for Memcached {
    async fn get_many(&self, keys: &[&str]) -> Vec<Result<Option<Cached>>> {
        let mut groups: Vec<(Arc<Server>, Vec<usize>)> = Vec::new();
        let mut answers: Vec<Result<Option<Cached>>> = keys.iter().map(|_| Ok(None)).collect();
        for (index, key) in keys.iter().enumerate() {
            match self.server_of(key) {
                Err(error) => answers[index] = Err(error),
                Ok(server) => {
                    let same = |group: &&mut (Arc<Server>, _)| Arc::ptr_eq(&group.0, &server);
                    match groups.iter_mut().find(same) {
                        Some((_, indexes)) => indexes.push(index),
                        None => groups.push((server, vec![index])),
                    }
                }
            }
        }
        let exchanges = join_all(groups.iter().map(|(server, indexes)| {
            let wire = |generation, index: &usize| get(&self.wire(generation, keys[*index]));
            server.run(move |generation| {
                Ok(indexes
                    .iter()
                    .map(|index| wire(generation, index))
                    .collect())
            })
        }))
        .await;
        for ((_, indexes), exchanged) in groups.iter().zip(exchanges) {
            match exchanged {
                Ok((generation, results)) => {
                    for (index, result) in indexes.iter().zip(results) {
                        answers[*index] = cached(generation, result);
                    }
                }
                Err(error) => {
                    for index in indexes {
                        answers[*index] = Err(error.clone());
                    }
                }
            }
        }
        answers
    }

    async fn set(&self, key: &str, value: Bytes, expires: Duration) -> Result<()> {
        self.check_size(&value)?;
        let set = |_, key| Some(self.setting(key, &value, expires).into());
        self.change(key, set).await.map(drop)
    }

    async fn add(&self, key: &str, value: Bytes, expires: Duration) -> Result<Option<u64>> {
        self.check_size(&value)?;
        let add = |_, key| Some(self.setting(key, &value, expires).add().into());
        self.change(key, add).await
    }

    async fn compare_and_set(
        &self,
        key: &str,
        token: u64,
        value: Bytes,
        expires: Duration,
    ) -> Result<Option<u64>> {
        self.check_size(&value)?;
        let swap = |generation: u64, key| {
            // A zero would mean that nothing is compared; the server gives none.
            let cas = Some(token ^ generation).filter(|cas| *cas != 0)?;
            let set = self.setting(key, &value, expires).compare_cas(cas);
            Some(set.into())
        };
        self.change(key, swap).await
    }

    async fn remove(&self, key: &str) -> Result<()> {
        let remove = |_, key: String| Some(Delete::new(key).into());
        self.change(key, remove).await.map(drop)
    }

    fn distrust(&self, key: &str) {
        if let Ok(server) = self.server_of(key) {
            return server.distrust();
        }
        let mut missed = self.missed.lock();
        match self.server_of(key) {
            Ok(server) => server.distrust(),
            Err(_) => *missed = true,
        }
    }
}

#[cfg(test)]
mod tests;
