//! DNS: the SRV records of a service, or the addresses of a name.
//!
//! Source: RFC 2782. Priorities and weights are handed on; who dials honours them. A target of `.` means that there is no
//! such service. Left out: addresses from the additional section, since resolvers may not fill it.

use std::{collections::HashSet, time::Duration};

use async_trait::async_trait;

use super::{
    Discovery, Resolver,
    parts::{Parts, if_answered},
    resolver::Family,
};
use crate::{Answer, Candidate, Result};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// SRV: `_starling._tcp.example.org`.
    Service(Box<str>),
    /// A and AAAA, dialled at this port.
    Name(Box<str>, u16),
}

/// Targets that are looked at in one answer; a service with more is not ours.
const MOST_TARGETS: usize = 1000;

const NAME: &str = "dns";

/// The source.
pub struct Dns {
    query: Query,
    resolver: Resolver,
    floor: Duration,
    parts: Parts<Part>,
    /// The targets of the last good answer to a question for SRV.
    services: parking_lot::Mutex<Option<Vec<Target>>>,
}

/// A host to resolve.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Target {
    host: Box<str>,
    port: u16,
    priority: u16,
    weight: u16,
}

type Part = (Target, Family);

impl Dns {
    /// However short a record's TTL is, it is taken to be good for this long.
    pub const FLOOR: Duration = Duration::from_secs(5);

    /// A source that asks this.
    pub fn new(query: Query, resolver: Resolver) -> Self {
        Self {
            query,
            resolver,
            floor: Self::FLOOR,
            parts: Parts::default(),
            services: parking_lot::Mutex::default(),
        }
    }

    /// With another floor than [`Dns::FLOOR`].
    #[must_use]
    pub fn with_floor(mut self, floor: Duration) -> Self {
        self.floor = floor;
        self
    }

    /// The hosts to resolve; of SRV records that are not answered, those of the last time.
    async fn targets(&self, answer: &mut Answer) -> Result<Vec<Target>> {
        let service = match &self.query {
            Query::Service(service) => service,
            Query::Name(host, port) => {
                return Ok(vec![Target {
                    host: host.clone(),
                    port: *port,
                    priority: 0,
                    weight: 0,
                }]);
            }
        };
        let found = self.resolver.services(NAME, service).await;
        let mut last = self.services.lock();
        match found {
            Ok((records, ttl)) => {
                answer.is_fresh_for(Some(ttl));
                let offered = records.into_iter().filter(|srv| !srv.target.is_root());
                let targets = offered.take(MOST_TARGETS).map(|srv| Target {
                    host: srv.target.to_utf8().into(),
                    port: srv.port,
                    priority: srv.priority,
                    weight: srv.weight,
                });
                *last = Some(targets.collect());
            }
            Err(trouble) if trouble.kind() == crate::ErrorKind::Absent => {
                answer.troubles.push(trouble);
                *last = Some(Vec::new());
            }
            // The addresses behind known targets may change while their list cannot be had.
            Err(trouble) if last.is_some() => answer.troubles.push(trouble),
            Err(trouble) => return Err(trouble),
        }
        Ok(last.clone().unwrap_or_default())
    }
}

#[async_trait]
impl Discovery for Dns {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn candidates(&self) -> Result<Answer> {
        let mut answer = Answer::default();
        let targets = self.targets(&mut answer).await?;
        // An answer without targets is one too.
        let mut answered = targets.is_empty();
        let hosts = targets.iter().map(|target| &*target.host);
        let found = self.resolver.all_addresses(NAME, hosts).await;
        for (target, found) in targets.iter().zip(found) {
            answer.is_fresh_for(found.fresh_for);
            for (family, addresses) in found.families {
                let candidate = |ip| Candidate {
                    priority: target.priority,
                    weight: target.weight,
                    ..Candidate::at((ip, target.port).into())
                        .named(target.host.trim_end_matches('.'))
                };
                let found = addresses.map(|all| all.into_iter().map(candidate).collect());
                let part = (target.clone(), family);
                answered |= self.parts.settle(part, found, &mut answer);
            }
        }
        let targets: HashSet<&Target> = targets.iter().collect();
        self.parts.retain(|(target, _)| targets.contains(target));
        answer.fresh_for = answer.fresh_for.map(|ttl| ttl.max(self.floor));
        if_answered(answered, answer)
    }
}
