//! The section `cluster`: this node as one of several over one store. Without the section it is alone.
//!
//! What is not said is found when the node starts: where others reach it, who the others are, the secret that they share.

mod ec2;
mod reading;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use discovery::source::{Host, Query};

use super::{Aws, Secret};

pub(super) use reading::cluster;

/// Where nodes listen for each other unless they are told.
pub const PORT: u16 = 7269;

/// This node as one of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// The cluster's name: nodes of another one are refused.
    pub name: String,
    /// The cluster's secrets; the first one proves, all are accepted. None: those that the shared store keeps.
    pub secrets: Vec<Secret>,
    /// A file of secrets, one a line, in place of them.
    pub secret_file: Option<PathBuf>,
    /// Where to listen for other nodes.
    pub listen: SocketAddr,
    /// Where others reach this node; `None`: it is found.
    pub advertise: Option<SocketAddr>,
    /// Where clients reach this node and no other, `host` or `host:port`: they are sent there by nodes that leave.
    pub client_address: Option<String>,
    /// Its share of the accounts, relative to the others.
    pub weight: u32,
    /// What fails together with this node; `None`: the availability zone, if there is one.
    pub zone: Option<String>,
    /// Where the addresses of the others come from, at least one source.
    pub sources: Vec<Source>,
    /// Who is asked for names; empty: whom the system asks.
    pub dns_servers: Vec<SocketAddr>,
    /// Who orders changes of members.
    pub directory: Directory,
    /// How long this node may take to hand over what it has when it leaves.
    pub hand_over: Duration,
    /// How many connections of clients it closes in a second then.
    pub close_per_second: u32,
    /// What there is to EC2.
    pub ec2: Ec2,
}

/// How EC2 is asked, and whether the node does what it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ec2 {
    /// Whether the node leaves when its instance is to go: a spot notice, the lifecycle state that its group wants.
    pub notices: bool,
    /// Where and as whom EC2 is asked.
    pub access: Aws,
    /// Another address of Auto Scaling than the service's.
    pub autoscaling: Option<String>,
}

/// A source of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A list.
    Nodes(Vec<Host>),
    /// A name in DNS.
    Dns(Query),
    /// Rows in the shared store.
    Registry,
    /// Instances of EC2 with these tags.
    Ec2(Vec<(String, String)>),
}

/// Who orders changes of members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Directory {
    /// The nodes themselves.
    Raft,
    /// Redis.
    Redis(Redis),
}

/// How Redis is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redis {
    /// Where it is.
    pub place: RedisPlace,
    /// As whom.
    pub user: Option<String>,
    /// With what.
    pub password: Option<Secret>,
    /// A file that holds the password.
    pub password_file: Option<PathBuf>,
    /// Whom to trust with TLS, PEM; `None`: whom the system trusts.
    pub ca_file: Option<PathBuf>,
}

/// Where Redis is. Addresses are `redis://host:port` or, with TLS, `rediss://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisPlace {
    /// One server.
    Server(String),
    /// Whom Sentinels call the master of this name, spoken to as they are.
    Sentinel {
        /// The Sentinels.
        sentinels: Vec<String>,
        /// What the master is called.
        master: String,
    },
    /// A cluster of servers, found through these.
    Cluster(Vec<String>),
}
