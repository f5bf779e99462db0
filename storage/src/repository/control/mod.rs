//! What the nodes of a cluster say to one another through the store that they share.
//!
//! Stored: `ctl` `C#cluster`: one partition, so several clusters may share a table.
//!
//! | sort | what | file |
//! |---|---|---|
//! | `FOUNDER` | which directory is the one that counts | `founder` |
//! | `SECRETS` | what nodes of this cluster prove that they belong | `secrets` |
//! | `NODE#` node | where a node is to be dialled; expires | `nodes` |
//!
//! Nothing here is read or written for a message: a row changes when a node starts, and every few seconds or minutes.

mod founder;
mod nodes;
mod secrets;

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::record::Records;
use crate::{
    key,
    shape::{Key, Space, Table},
};

pub use founder::FounderRow;
pub use nodes::NodeRow;
pub use secrets::{ClusterSecret, ClusterSecrets, Rotation};

/// The rows of one cluster.
pub struct Control {
    records: Records,
    cluster: Box<str>,
    /// The founder's row as this node saw it last, with its version.
    founder: Mutex<Option<(FounderRow, u64)>>,
}

impl Control {
    /// Rows that a cluster may have of nodes, those that died without a word and have not expired among them.
    pub const MAX_NODES: usize = 4096;

    /// The rows of the cluster of this name.
    pub fn new(table: Arc<dyn Table>, cluster: &str) -> Self {
        Self {
            records: Records { table },
            cluster: cluster.into(),
            founder: Mutex::default(),
        }
    }

    fn key(&self, sort: Bytes) -> Key {
        Key {
            space: Space::Ctl,
            partition: key::cluster(&self.cluster),
            sort,
        }
    }
}

#[cfg(test)]
mod tests;
