//! What links are told at their start.

use std::{fmt, io, ops::RangeInclusive, sync::Arc};

use bytes::Bytes;

use super::{Class, Limit, MAX_SECRETS, Network, Refusal, Secret};
use crate::NodeId;

/// For each class: what may be queued to a peer, and what it may have sent that this node's caller still holds. Frames in the
/// sender's queue count 64 bytes more than their body.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of [`Class::Control`].
    pub control: Limit,
    /// Of [`Class::Data`].
    pub data: Limit,
    /// Of [`Class::Bulk`].
    pub bulk: Limit,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u32 = 1024 * 1024;
        let limit = |frames, bytes| Limit { frames, bytes };
        Self {
            control: limit(8_192, 4 * MIB),
            data: limit(32_768, 8 * MIB),
            bulk: limit(1_024, 8 * MIB),
        }
    }
}

impl Limits {
    pub(super) fn of(&self, class: Class) -> Limit {
        match class {
            Class::Control => self.control,
            Class::Data => self.data,
            Class::Bulk => self.bulk,
        }
    }
}

/// What links need to know.
#[derive(Clone)]
pub struct Config {
    /// This life of this node: random, and never used before.
    pub node: NodeId,
    /// The node's name, for people.
    pub name: String,
    /// The cluster's name: others are refused.
    pub cluster: String,
    /// Where to listen, `host:port`.
    pub listen: String,
    /// Where others reach this node; where it listens, if absent. Others take a refused connection there as the end of this
    /// process.
    pub advertised: Option<String>,
    /// The cluster's secrets, the current one first.
    pub secrets: Vec<Secret>,
    /// What this node tells others of itself; at most [`super::MAX_FACTS`] bytes.
    pub facts: Bytes,
    /// The protocols to speak: [`super::PROTOCOLS`].
    pub protocols: RangeInclusive<u16>,
    /// Bounds.
    pub limits: Limits,
    /// The network.
    pub network: Arc<dyn Network>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Config({:?} {:?} of {:?})",
            self.node, self.name, self.cluster
        )
    }
}

/// Why links do not start.
#[derive(Debug, thiserror::Error)]
pub enum LinkStartError {
    /// Nobody could prove anything: none, or more than [`MAX_SECRETS`].
    #[error("there must be a cluster secret, and at most {MAX_SECRETS}")]
    Secrets,
    /// Names are too long, facts too many, or there is no protocol.
    #[error("this node's own hello would be refused: {0}")]
    Hello(Refusal),
    /// No key.
    #[error("cannot make a key: {0}")]
    Key(String),
    /// No TLS.
    #[error("cannot use TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// It cannot listen.
    #[error("cannot listen at {0:?}: {1}")]
    Listen(String, #[source] io::Error),
}
