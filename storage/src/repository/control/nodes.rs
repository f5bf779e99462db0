//! Where nodes are to be dialled, as each says of itself. A row goes by itself when its node does.
//!
//! Stored: `ctl` `C#cluster` / `NODE#` node.

use std::net::SocketAddr;

use minicbor::{Decode, Encode};

use super::Control;
use crate::{
    error::{Error, ErrorKind, Result},
    key,
    repository::{
        paging,
        record::{self, corrupt},
    },
    shape::{Batch, Condition, Consistency, Query, Space},
};

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// The node's id: the key of the row.
    pub node: String,
    /// Where it is to be dialled.
    pub address: SocketAddr,
    /// Its instance.
    pub instance: Option<String>,
    /// Its availability zone.
    pub zone: Option<String>,
    /// Until when it is good, in seconds since 1970.
    pub expires: u64,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Stored {
    #[n(0)]
    node: String,
    #[n(1)]
    address: String,
    #[n(2)]
    instance: Option<String>,
    #[n(3)]
    zone: Option<String>,
}

impl Control {
    /// Writes a node's row in the place of the one that it had. One write.
    pub async fn put_node(&self, row: &NodeRow) -> Result<()> {
        let stored = Stored {
            node: row.node.clone(),
            address: row.address.to_string(),
            instance: row.instance.clone(),
            zone: row.zone.clone(),
        };
        let value = record::seal(&record::to_cbor(&stored), record::fresh_id())?;
        let key = self.key(key::cluster_node(&row.node));
        let batch = Batch::new().put_until(key, value, Condition::Any, row.expires);
        self.records.table.write(batch).await
    }

    /// The rows of all nodes that have not expired, in the order of their ids; may be a little behind. One query a page.
    ///
    /// # Errors
    /// `TooLarge` beyond [`Control::MAX_NODES`]: some of them would be taken for all.
    pub async fn nodes(&self) -> Result<Vec<NodeRow>> {
        let query = Query {
            space: Space::Ctl,
            partition: key::cluster(&self.cluster),
            from: Some(key::CLUSTER_NODES.into()),
            until: key::prefix_end(key::CLUSTER_NODES),
            reverse: false,
            limit: 1,
            consistency: Consistency::Eventual,
        };
        let found = paging::collect(&*self.records.table, query, Self::MAX_NODES + 1).await?;
        if found.len() > Self::MAX_NODES {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "the cluster has rows of more than {} nodes",
                    Self::MAX_NODES
                ),
            ));
        }
        found.iter().map(read).collect()
    }

    /// Removes a node's row; absent is fine. One write.
    pub async fn remove_node(&self, node: &str) -> Result<()> {
        let key = self.key(key::cluster_node(node));
        let batch = Batch::new().delete(key, Condition::Any);
        self.records.table.write(batch).await
    }
}

fn read(found: &crate::shape::Record) -> Result<NodeRow> {
    let stored: Stored = record::decode(found)?;
    let address = stored.address.parse();
    Ok(NodeRow {
        node: stored.node,
        address: address.map_err(|e| corrupt("a node without an address").with_source(e))?,
        instance: stored.instance,
        zone: stored.zone,
        expires: found.expires.unwrap_or(u64::MAX),
    })
}
