//! A cluster in this process: nodes over the same stores, joined by queues instead of links, each on a runtime of its own so
//! that it can die with everything it was at.
//!
//! Why: what nodes do for each other is tested without what carries their words, which has tests of its own. Clients come
//! through a [`Balancer`], as through that of a cloud: each connection to another node.

mod balancer;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use cluster::NodeId;
use cluster::place::Member;
use starling::app::App;
use starling::config::Security;
use starling::intake;
use starling::routing::peers::{Carrier, Kind};
use storage::Stores;
use storage::backend::memory::{MemoryBlobs, MemoryTable};
use storage::shape::{Blobs, Table};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{self, UnboundedSender};

pub use balancer::Balancer;

use crate::faults::settings::Settings;

type Frame = (NodeId, Kind, Bytes);

/// The queues to all nodes that live.
#[derive(Default)]
struct Bus(Mutex<HashMap<NodeId, UnboundedSender<Frame>>>);

impl Bus {
    fn queues(&self) -> MutexGuard<'_, HashMap<NodeId, UnboundedSender<Frame>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A node's way to the others.
struct Way {
    me: NodeId,
    bus: Arc<Bus>,
}

impl Carrier for Way {
    fn send(&self, to: NodeId, kind: Kind, body: Bytes) -> bool {
        let queues = self.bus.queues();
        // What is dead says nothing more.
        queues.contains_key(&self.me)
            && queues
                .get(&to)
                .is_some_and(|queue| queue.send((self.me, kind, body)).is_ok())
    }
}

/// A node.
struct Node {
    app: App,
    runtime: Runtime,
    _directory: TempDir,
}

impl Node {
    fn id(&self) -> NodeId {
        self.app.router.node
    }

    fn address(&self) -> Option<SocketAddr> {
        let mut listeners = self.app.addresses.iter();
        let plain = listeners.find(|(security, _)| matches!(security, Security::StartTls { .. }));
        plain.map(|(_, address)| *address)
    }
}

/// The cluster.
pub struct Cluster {
    nodes: Vec<Node>,
    bus: Arc<Bus>,
    table: Arc<dyn Table>,
    blobs: Arc<dyn Blobs>,
    settings: Settings,
    /// Where clients connect.
    pub balancer: Balancer,
}

impl Cluster {
    /// So many nodes over a store in memory.
    ///
    /// # Errors
    /// What a start says.
    pub async fn start(nodes: usize, settings: Settings) -> Result<Self> {
        let mut cluster = Self {
            nodes: Vec::new(),
            bus: Arc::default(),
            table: Arc::new(MemoryTable::new()),
            blobs: Arc::new(MemoryBlobs::new()),
            settings,
            balancer: Balancer::start().await?,
        };
        for _ in 0..nodes {
            cluster.launch().await?;
        }
        Ok(cluster)
    }

    /// The stores that all nodes share.
    #[must_use]
    pub fn stores(&self) -> Stores {
        Stores::over(self.table.clone(), self.blobs.clone())
    }

    /// How many nodes live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether none does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The parts of a node.
    #[must_use]
    pub fn app(&self, at: usize) -> &App {
        &self.nodes[at].app
    }

    /// One more node.
    ///
    /// # Errors
    /// What its start says.
    pub async fn launch(&mut self) -> Result<()> {
        let directory = tempfile::tempdir()?;
        let config = self.settings.config(directory.path());
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let (stores, table) = (self.stores(), self.table.clone());
        let app = runtime
            .spawn(Box::pin(App::start_with(config, stores, table)))
            .await??;
        let (queue, mut frames) = mpsc::unbounded_channel();
        let me = app.router.node;
        self.bus.queues().insert(me, queue);
        let way = Way {
            me,
            bus: self.bus.clone(),
        };
        app.router.peers.join(me, Arc::new(way));
        let intake = app.intake();
        runtime.spawn(async move {
            while let Some((from, kind, body)) = frames.recv().await {
                intake(from, kind, &body);
            }
        });
        // It followed the cluster before it became one of those that serve.
        app.router.peers.set_members(self.members());
        self.nodes.push(Node {
            app,
            runtime,
            _directory: directory,
        });
        self.agree();
        Ok(())
    }

    /// A node dies as by `kill -9`: with its connections and all that it had in memory. The others know at once.
    ///
    /// # Errors
    /// There is no such node.
    pub fn kill(&mut self, at: usize) -> Result<()> {
        anyhow::ensure!(at < self.nodes.len(), "no node {at}");
        let node = self.nodes.remove(at);
        let dead = node.id();
        self.bus.queues().remove(&dead);
        node.runtime.shutdown_background();
        drop(node.app);
        self.agree();
        for node in &self.nodes {
            let _on = node.runtime.enter();
            intake::gone(&node.app.router, dead);
        }
        Ok(())
    }

    fn members(&self) -> Vec<Member> {
        let member = |node: &Node| Member {
            node: node.id(),
            weight: 1.0,
        };
        self.nodes.iter().map(member).collect()
    }

    /// All nodes learn of all.
    fn agree(&self) {
        let members = self.members();
        for node in &self.nodes {
            node.app.router.peers.set_members(members.clone());
        }
        for node in &self.nodes {
            // On its own runtime, as its own doing.
            let _on = node.runtime.enter();
            intake::view_changed(&node.app.router);
        }
        let addresses = self.nodes.iter().filter_map(Node::address).collect();
        self.balancer.set(addresses);
    }

    /// The place of the node where an account's home is.
    ///
    /// # Errors
    /// There is no node.
    pub fn home_of(&self, account: &str) -> Result<usize> {
        let first = self.nodes.first().context("no nodes")?;
        let home = first.app.router.peers.elsewhere(account);
        let home = home.unwrap_or(first.id());
        let place = self.nodes.iter().position(|node| node.id() == home);
        place.context("a home at no node")
    }

    /// Where clients reach a node itself.
    #[must_use]
    pub fn address(&self, at: usize) -> SocketAddr {
        self.nodes[at]
            .address()
            .expect("the settings have such a listener")
    }

    /// Ends all nodes as an operator does.
    pub async fn stop(mut self) {
        for node in self.nodes.drain(..) {
            let Node { app, runtime, .. } = node;
            let _ = runtime.spawn(app.shutdown()).await;
            runtime.shutdown_background();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in self.nodes.drain(..) {
            node.runtime.shutdown_background();
        }
    }
}
