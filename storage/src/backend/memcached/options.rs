//! Where the servers are and how they are reached, and what of that cannot be.

use std::time::Duration;

use super::breaker::BreakerPolicy;
use crate::error::{Error, ErrorKind, Result};

/// Where the servers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Servers {
    /// These: `host:port` and weight. All nodes need the same.
    Fixed(Vec<(String, u32)>),
    /// Those that the configuration endpoint (`host:port`) of an ElastiCache cluster names.
    Cluster(String),
}

/// How servers are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemcachedOptions {
    /// What keys begin with, at most 64 bytes: clusters that share servers need different ones.
    pub namespace: String,
    /// How long finding a name, connecting, and waiting for a connection may take.
    pub connect_timeout: Duration,
    /// How long an exchange may take.
    pub operation_timeout: Duration,
    /// Connections to each server, at most.
    pub connections: usize,
    /// When a server is not asked.
    pub breaker: BreakerPolicy,
    /// How often a configuration endpoint is asked.
    pub poll: Duration,
    /// Longest value in bytes.
    pub max_value: usize,
}

impl Default for MemcachedOptions {
    fn default() -> Self {
        Self {
            namespace: "starling".to_owned(),
            connect_timeout: Duration::from_millis(250),
            operation_timeout: Duration::from_millis(250),
            connections: 16,
            breaker: BreakerPolicy::default(),
            poll: Duration::from_secs(10),
            max_value: 1_000_000,
        }
    }
}

fn refused(what: String) -> Error {
    Error::new(ErrorKind::NotAllowed, what)
}

/// Refuses a namespace that no key can begin with.
pub(super) fn check_namespace(namespace: &str) -> Result<()> {
    if namespace.len() <= 64 && namespace.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(refused(format!(
        "not a namespace for cache keys: {namespace:?}"
    )))
}

/// Refuses what is not `host:port`.
pub(super) fn check_address(address: &str) -> Result<()> {
    let parts = address.rsplit_once(':');
    let sound = parts.is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if sound {
        return Ok(());
    }
    Err(refused(format!(
        "not the address of a cache server: {address:?}"
    )))
}

/// Refuses a list that no ring can be made of.
pub(super) fn check_list(list: &[(String, u32)]) -> Result<()> {
    if list.iter().all(|(_, weight)| *weight == 0) {
        return Err(refused("no cache servers".to_owned()));
    }
    for (at, (name, _)) in list.iter().enumerate() {
        check_address(name)?;
        if list[..at].iter().any(|(other, _)| other == name) {
            return Err(refused(format!("cache server {name} is named twice")));
        }
    }
    Ok(())
}
