//! Rows: what nodes say to one another through the store, as founder, discovery and links want it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use cluster::{
    NodeId,
    directory::raft::{Founder, OutOfReach, Record},
};
use discovery::{Error, ErrorKind, RegistryRows, Result, Row};
use storage::repository::{Control, FounderRow, NodeRow};

/// Over the rows of a cluster.
pub(super) struct Rows(pub(super) Arc<Control>);

fn row(record: Record) -> FounderRow {
    FounderRow {
        generation: record.generation,
        founder: record.founder.0,
        beat: record.beat,
    }
}

fn out_of_reach(error: &storage::Error) -> OutOfReach {
    tracing::warn!(%error, "the record of the directory's generation");
    OutOfReach
}

#[async_trait]
impl Founder for Rows {
    async fn read(&self) -> std::result::Result<Option<Record>, OutOfReach> {
        let found = self.0.founder().await;
        let found = found.map_err(|error| out_of_reach(&error))?;
        Ok(found.map(|row| Record {
            generation: row.generation,
            founder: NodeId(row.founder),
            beat: row.beat,
        }))
    }

    async fn swap(
        &self,
        seen: Option<Record>,
        next: Record,
    ) -> std::result::Result<bool, OutOfReach> {
        let swapped = self.0.swap_founder(seen.map(row), row(next)).await;
        swapped.map_err(|error| out_of_reach(&error))
    }
}

/// A failure of the store, as discovery tells them apart.
fn failure(error: storage::Error) -> Error {
    let kind = match error.kind() {
        storage::ErrorKind::Throttled => ErrorKind::Throttled,
        storage::ErrorKind::NotAllowed => ErrorKind::Denied,
        storage::ErrorKind::Corrupt | storage::ErrorKind::TooLarge => ErrorKind::Malformed,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, "registry", "the rows of the nodes").with_source(error)
}

#[async_trait]
impl RegistryRows for Rows {
    async fn list(&self) -> Result<Vec<Row>> {
        let found = self.0.nodes().await.map_err(failure)?;
        let read = |row: NodeRow| Row {
            node: row.node.into(),
            address: row.address,
            instance: row.instance.map(Into::into),
            zone: row.zone.map(Into::into),
            expires: UNIX_EPOCH + Duration::from_secs(row.expires),
        };
        Ok(found.into_iter().map(read).collect())
    }

    async fn put(&self, row: &Row) -> Result<()> {
        let row = NodeRow {
            node: row.node.clone().into(),
            address: row.address,
            instance: row.instance.clone().map(Into::into),
            zone: row.zone.clone().map(Into::into),
            expires: seconds(row.expires),
        };
        self.0.put_node(&row).await.map_err(failure)
    }

    async fn remove(&self, node: &str) -> Result<()> {
        self.0.remove_node(node).await.map_err(failure)
    }
}

/// Since 1970.
pub(super) fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
