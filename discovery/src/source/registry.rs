//! Rows that nodes write about themselves, in a store that all of them reach.
//!
//! Why: where no platform lists the nodes, the store that they share does. A row dies by itself when its node does.
//! The store's own table `ctl` implements [`RegistryRows`] in the server; [`MemoryRows`] is for tests and one process.
//! Cost for each node: a read of all rows in each round, a write in every third of a row's lifetime.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Discovery;
use crate::{Answer, Candidate, Result};

/// What a node writes about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The node's id: the key of the row. A restarted node has another.
    pub node: Box<str>,
    /// Where it is to be dialled.
    pub address: SocketAddr,
    /// Its instance.
    pub instance: Option<Box<str>>,
    /// Its availability zone.
    pub zone: Option<Box<str>>,
    /// Until when the row is good. Clocks of machines differ: that makes a candidate come or go earlier or later, which is
    /// why it is long, and no more than that, as members are not decided here.
    pub expires: SystemTime,
}

/// Where rows are kept.
#[async_trait]
pub trait RegistryRows: Send + Sync + 'static {
    /// All rows; expired ones may be among them. A consistent read is not needed.
    ///
    /// # Errors
    /// The store's, its kind told apart.
    async fn list(&self) -> Result<Vec<Row>>;

    /// Writes a row, in the place of one with the same node.
    ///
    /// # Errors
    /// The store's; it may have been written.
    async fn put(&self, row: &Row) -> Result<()>;

    /// Removes a node's row; it is no error if there is none.
    ///
    /// # Errors
    /// The store's; it may have been removed.
    async fn remove(&self, node: &str) -> Result<()>;
}

/// What this node writes about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Me {
    /// Its id.
    pub node: Box<str>,
    /// Where it is to be dialled.
    pub address: SocketAddr,
    /// Its instance.
    pub instance: Option<Box<str>>,
    /// Its availability zone.
    pub zone: Option<Box<str>>,
}

/// The wall clock.
pub type Now = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The registry. Asking it renews this node's own row, which is not among the candidates.
pub struct Registry {
    rows: Arc<dyn RegistryRows>,
    me: Me,
    lifetime: Duration,
    now: Now,
    state: Mutex<State>,
}

/// Of this node's own row.
#[derive(Default)]
struct State {
    written: Option<Instant>,
    withdrawn: bool,
}

impl Registry {
    /// How long a row is good by default.
    pub const LIFETIME: Duration = Duration::from_secs(15 * 60);

    /// A registry in which this node says where it is; each row is good for `lifetime` by the clock `now`.
    pub fn new(rows: Arc<dyn RegistryRows>, me: Me, lifetime: Duration, now: Now) -> Self {
        Self {
            rows,
            me,
            lifetime,
            now,
            state: Mutex::default(),
        }
    }

    /// Removes this node's row, and writes it no more.
    ///
    /// # Errors
    /// The store's: then the row goes when it expires.
    pub async fn withdraw(&self) -> Result<()> {
        self.state.lock().withdrawn = true;
        self.rows.remove(&self.me.node).await
    }

    /// Writes this node's row if a third of its lifetime has passed.
    async fn renew(&self) -> Result<()> {
        let is_due = {
            let state = self.state.lock();
            let age = state.written.map(|written| written.elapsed());
            !state.withdrawn && age.is_none_or(|age| age >= self.lifetime / 3)
        };
        if !is_due {
            return Ok(());
        }
        let at = Instant::now();
        let me = self.me.clone();
        let row = Row {
            node: me.node,
            address: me.address,
            instance: me.instance,
            zone: me.zone,
            expires: (self.now)() + self.lifetime,
        };
        self.rows.put(&row).await?;
        let withdrawn = {
            let mut state = self.state.lock();
            state.written = Some(at);
            state.withdrawn
        };
        if withdrawn {
            // It was withdrawn while the row was on its way.
            return self.rows.remove(&self.me.node).await;
        }
        Ok(())
    }
}

#[async_trait]
impl Discovery for Registry {
    fn name(&self) -> &'static str {
        "registry"
    }

    async fn candidates(&self) -> Result<Answer> {
        let renewed = self.renew().await;
        let rows = self.rows.list().await?;
        let now = (self.now)();
        let others = rows
            .into_iter()
            .filter(|row| row.node != self.me.node && row.expires > now);
        let candidates = others.map(|row| Candidate {
            instance: row.instance,
            zone: row.zone,
            ..Candidate::at(row.address).named(row.node)
        });
        let mut answer = Answer::of(candidates.collect());
        answer.troubles.extend(renewed.err());
        Ok(answer)
    }
}

/// Rows in memory. Clones share them. Holds as many as there are nodes.
#[derive(Debug, Clone, Default)]
pub struct MemoryRows(Arc<Mutex<BTreeMap<Box<str>, Row>>>);

#[async_trait]
impl RegistryRows for MemoryRows {
    async fn list(&self) -> Result<Vec<Row>> {
        Ok(self.0.lock().values().cloned().collect())
    }
    async fn put(&self, row: &Row) -> Result<()> {
        self.0.lock().insert(row.node.clone(), row.clone());
        Ok(())
    }
    async fn remove(&self, node: &str) -> Result<()> {
        self.0.lock().remove(node);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
