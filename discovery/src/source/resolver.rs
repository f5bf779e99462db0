//! Names to records, as the system is configured (`/etc/resolv.conf`, `/etc/hosts`), without a cache: who asks decides how
//! often, and the answer says for how long the records are good.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_resolver::{
    Resolver as Hickory, TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RData, Record, RecordType, rdata::SRV},
    system_conf::read_system_conf,
};

use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

use crate::{Error, ErrorKind, Result};

/// A resolver. Clones share its connections.
#[derive(Clone)]
pub struct Resolver {
    hickory: TokioResolver,
    /// What is put behind a name that is not complete (`search` of resolv.conf).
    search: Vec<Name>,
    /// A name with fewer dots is tried with them first.
    dots: usize,
}

/// Which addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Family {
    /// A records.
    V4,
    /// AAAA records.
    V6,
}

/// The addresses of a name.
pub(super) struct Addresses {
    /// By family: one may fail without the other.
    pub(super) families: Vec<(Family, Result<Vec<IpAddr>>)>,
    /// The shortest TTL.
    pub(super) fresh_for: Option<Duration>,
}

/// For so long a question is under way, whatever the names that it may mean and the servers that do not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// So many names are resolved at the same time.
const AT_ONCE: usize = 32;

/// Records and their shortest TTL.
type Records<T> = (Vec<T>, Duration);

impl Resolver {
    /// The system's resolver.
    ///
    /// # Errors
    /// The system's configuration cannot be read.
    pub fn system() -> Result<Self> {
        let (config, options) = read_system_conf().map_err(|error| configuration(&error))?;
        Self::with(config, options)
    }

    /// A resolver that asks these servers alone, over UDP, and over TCP what is too long for it.
    ///
    /// # Errors
    /// None of them can be used.
    pub fn of_servers(servers: &[SocketAddr]) -> Result<Self> {
        let server = |address: &SocketAddr| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            let connections = connections.map(|mut connection| {
                connection.port = address.port();
                connection
            });
            NameServerConfig::new(address.ip(), true, connections.into())
        };
        let servers = servers.iter().map(server).collect();
        let config = ResolverConfig::from_name_servers(servers);
        Self::with(config, ResolverOpts::default())
    }

    fn with(config: ResolverConfig, mut options: ResolverOpts) -> Result<Self> {
        let mut search: Vec<_> = config.domain().cloned().into_iter().collect();
        search.extend(config.search().iter().cloned());
        search.dedup();
        options.cache_size = 0;
        // Together less than the watcher gives a round.
        options.timeout = options.timeout.min(Duration::from_secs(2));
        options.attempts = options.attempts.min(2);
        let dots = options.ndots;
        let hickory = Hickory::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
            .map_err(|error| configuration(&error))?;
        Ok(Self {
            hickory,
            search,
            dots,
        })
    }

    /// The complete names that a name may mean, in the order of trying (resolv.conf(5): search, ndots).
    fn complete(&self, asked: &'static str, name: &str) -> Result<Vec<Name>> {
        let wrong = |error| {
            let sentence = format!("`{name}` is not a name");
            Error::new(ErrorKind::Malformed, asked, sentence).with_source(error)
        };
        let name = Name::from_utf8(name).map_err(wrong)?;
        if name.is_fqdn() {
            return Ok(vec![name]);
        }
        let below = |domain: &Name| name.clone().append_domain(domain).ok();
        let mut names: Vec<_> = self.search.iter().filter_map(below).collect();
        let mut alone = name.clone();
        alone.set_fqdn(true);
        let first = usize::from(name.num_labels()) > self.dots;
        names.insert(if first { 0 } else { names.len() }, alone);
        Ok(names)
    }

    /// All records of a type, or that they are not answered in time.
    async fn records<T>(
        &self,
        asked: &'static str,
        name: &str,
        kind: RecordType,
        wanted: impl Fn(&RData) -> Option<T>,
    ) -> Result<Records<T>> {
        let answered = timeout(PATIENCE, self.ask(asked, name, kind, wanted)).await;
        answered.unwrap_or_else(|_| {
            let sentence = format!("asked for {kind} of `{name}`: no answer in time");
            Err(Error::new(ErrorKind::Unavailable, asked, sentence))
        })
    }

    /// A name that may mean several does not exist if none of them does; an outage of one is not
    /// hidden by another that does not exist.
    async fn ask<T>(
        &self,
        asked: &'static str,
        name: &str,
        kind: RecordType,
        wanted: impl Fn(&RData) -> Option<T>,
    ) -> Result<Records<T>> {
        let (mut absent, mut failed) = (None, None);
        for complete in self.complete(asked, name)? {
            self.hickory.clear_lookup_cache(complete.clone(), kind);
            match self.hickory.lookup(complete, kind).await {
                Ok(lookup) => {
                    let records = lookup.answers().iter();
                    let found = |r: &Record| Some((wanted(&r.data)?, r.ttl));
                    let (records, ttls): (Vec<_>, Vec<_>) = records.filter_map(found).unzip();
                    if let Some(ttl) = ttls.into_iter().min() {
                        return Ok((records, Duration::from_secs(ttl.into())));
                    }
                }
                Err(error) if error.is_no_records_found() => absent = Some(error),
                Err(error) => failed = Some(error),
            }
        }
        let (kind_of_error, sentence, error) = match (failed, absent) {
            (Some(error), _) => (ErrorKind::Unavailable, "is not answered", Some(error)),
            (None, absent) => (ErrorKind::Absent, "has none", absent),
        };
        let sentence = format!("asked for {kind} of `{name}`: {sentence}");
        let told = Error::new(kind_of_error, asked, sentence);
        Err(match error {
            Some(error) => told.with_source(error),
            None => told,
        })
    }

    /// The SRV records of a name (RFC 2782).
    pub(super) async fn services(&self, asked: &'static str, name: &str) -> Result<Records<SRV>> {
        let srv = |data: &RData| match data {
            RData::SRV(srv) => Some(srv.clone()),
            _ => None,
        };
        self.records(asked, name, RecordType::SRV, srv).await
    }

    /// The addresses of these names, in their order.
    pub(super) async fn all_addresses<'a>(
        &self,
        asked: &'static str,
        names: impl Iterator<Item = &'a str>,
    ) -> Vec<Addresses> {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let mut asking = JoinSet::new();
        for (index, name) in names.map(str::to_owned).enumerate() {
            let (resolver, turns) = (self.clone(), turns.clone());
            asking.spawn(async move {
                let _turn = turns.acquire().await;
                (index, resolver.addresses(asked, &name).await)
            });
        }
        let mut all = asking.join_all().await;
        all.sort_by_key(|(index, _)| *index);
        all.into_iter().map(|(_, addresses)| addresses).collect()
    }

    /// The addresses of a name. That it has none of one family is no trouble if it has of the other.
    async fn addresses(&self, asked: &'static str, name: &str) -> Addresses {
        let of = |kind| self.records(asked, name, kind, RData::ip_addr);
        let (v4, v6) = tokio::join!(of(RecordType::A), of(RecordType::AAAA));
        let ttls = [&v4, &v6].map(|found| found.as_ref().ok().map(|(_, ttl)| *ttl));
        let fresh_for = ttls.into_iter().flatten().min();
        let (mut v4, mut v6) = (v4.map(|(v4, _)| v4), v6.map(|(v6, _)| v6));
        let is_absent = |found: &Result<Vec<IpAddr>>| matches!(found, Err(error) if error.kind() == ErrorKind::Absent);
        // One trouble is enough where both are absent.
        if is_absent(&v6) && (v4.is_ok() || is_absent(&v4)) {
            v6 = Ok(Vec::new());
        } else if is_absent(&v4) && v6.is_ok() {
            v4 = Ok(Vec::new());
        }
        Addresses {
            families: vec![(Family::V4, v4), (Family::V6, v6)],
            fresh_for,
        }
    }
}

fn configuration(error: &NetError) -> Error {
    let sentence = "the resolver's configuration cannot be used";
    Error::new(ErrorKind::Malformed, "dns", sentence).with_source(error.clone())
}
