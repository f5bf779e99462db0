//! A cluster in this process: nodes over the same stores, joined by queues instead of links, each on a runtime of its own so
//! that it can die with everything it was at. Each learns of a new view in its own time, and its way to others takes no larger
//! frames than a link does.
//!
//! Why: what nodes do for each other is tested without what carries their words, which has tests of its own. Clients come
//! through a [`Balancer`], as through that of a cloud: each connection to another node.

mod balancer;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use cluster::NodeId;
use cluster::place::Member;
use starling::app::App;
use starling::config::Security;
use starling::intake::Intake;
use starling::routing::peers::{Carried, Carrier, Kind, View};
use storage::Stores;
use storage::backend::memory::{MemoryBlobs, MemoryTable};
use storage::shape::{Blobs, Table};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

pub use balancer::Balancer;

use crate::faults::dice::{Dice, seed};
use crate::faults::node::account;
use crate::faults::settings::Settings;

/// What a link takes.
const MAX_FRAME: usize = 1 << 20;
/// How much later than others a node may learn of a view.
const MAX_LAG_MS: u64 = 150;

/// A view, and who is gone by it.
type News = (View, Vec<NodeId>);
type Frame = (NodeId, Kind, Bytes);

/// The queues to all nodes that live.
#[derive(Default)]
struct Bus {
    queues: Mutex<HashMap<NodeId, UnboundedSender<Frame>>>,
    /// One in so many clients is not passed on; 0: none. (A message that is refused and sent again comes after others.)
    refuses: AtomicU64,
    sent: AtomicU64,
    /// Frames that nobody gets.
    lost: Mutex<Option<Kind>>,
}

impl Bus {
    fn queues(&self) -> MutexGuard<'_, HashMap<NodeId, UnboundedSender<Frame>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuses(&self, kind: Kind) -> bool {
        let one_in = self.refuses.load(Ordering::Relaxed);
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        one_in > 0 && matches!(kind, Kind::Passage | Kind::Attach) && number.is_multiple_of(one_in)
    }

    fn lost(&self) -> MutexGuard<'_, Option<Kind>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A node's way to the others.
struct Way {
    me: NodeId,
    bus: Arc<Bus>,
}

impl Carrier for Way {
    fn send(&self, to: NodeId, kind: Kind, body: Bytes) -> Carried {
        assert!(body.len() <= MAX_FRAME, "{kind:?} of {} bytes", body.len());
        if self.bus.refuses(kind) {
            return Carried::Full;
        }
        let queues = self.bus.queues();
        if *self.bus.lost() == Some(kind) {
            return Carried::Yes;
        }
        // What is dead says nothing more.
        let is_sent = queues.contains_key(&self.me)
            && queues
                .get(&to)
                .is_some_and(|queue| queue.send((self.me, kind, body)).is_ok());
        match is_sent {
            true => Carried::Yes,
            false => Carried::Gone,
        }
    }

    fn is_known_to(&self, to: NodeId, _: Kind) -> bool {
        self.bus.queues().contains_key(&to)
    }
}

/// A node.
struct Node {
    app: App,
    runtime: Runtime,
    news: UnboundedSender<News>,
    /// Nothing is placed on it any more.
    leaves: bool,
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

/// Tells a node of views, some time after they came to be.
async fn follow(intake: Intake, mut views: UnboundedReceiver<News>, lag: Duration) {
    while let Some((view, gone)) = views.recv().await {
        tokio::time::sleep(lag).await;
        intake.view_changed(view, &gone);
    }
}

/// The cluster.
pub struct Cluster {
    nodes: Vec<Node>,
    bus: Arc<Bus>,
    table: Arc<dyn Table>,
    blobs: Arc<dyn Blobs>,
    settings: Settings,
    epoch: u64,
    dice: Dice,
    /// Where clients connect.
    pub balancer: Balancer,
}

impl Cluster {
    /// So many nodes over a store in memory.
    ///
    /// # Errors
    /// What a start says.
    pub async fn start(nodes: usize, settings: Settings) -> Result<Self> {
        Self::start_over(nodes, settings, Arc::new(MemoryTable::new())).await
    }

    /// So many nodes over this table.
    ///
    /// # Errors
    /// What a start says.
    pub async fn start_over(
        nodes: usize,
        settings: Settings,
        table: Arc<dyn Table>,
    ) -> Result<Self> {
        let mut cluster = Self {
            nodes: Vec::new(),
            bus: Arc::default(),
            table,
            blobs: Arc::new(MemoryBlobs::new()),
            settings,
            epoch: 0,
            dice: Dice::new(seed(), MAX_LAG_MS),
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
                intake.frame(from, kind, &body);
            }
        });
        let (news, views) = mpsc::unbounded_channel();
        runtime.spawn(follow(
            app.intake(),
            views,
            self.dice.between_ms(0, MAX_LAG_MS),
        ));
        // It followed the cluster before it became one of those that serve.
        app.intake().view_changed(self.view(), &[]);
        self.nodes.push(Node {
            app,
            runtime,
            news,
            leaves: false,
            _directory: directory,
        });
        self.agree(&[]);
        Ok(())
    }

    /// From now on frames of this kind are lost on their way, and only those.
    pub fn lose(&self, kind: Option<Kind>) {
        *self.bus.lost() = kind;
    }

    /// A node is to leave: its accounts go to the others, its clients' sockets stay.
    pub fn leave(&mut self, at: usize) {
        self.nodes[at].leaves = true;
        self.agree(&[]);
    }

    /// The opposite of [`Cluster::leave`].
    pub fn come_back(&mut self, at: usize) {
        self.nodes[at].leaves = false;
        self.agree(&[]);
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
        // The others know it of one that does nothing any more.
        let runtime = node.runtime;
        let dies = std::thread::spawn(|| runtime.shutdown_timeout(Duration::from_secs(5)));
        anyhow::ensure!(dies.join().is_ok(), "a node that does not die");
        drop(node.app);
        self.agree(&[dead]);
        Ok(())
    }

    /// From now on one in so many clients is not passed on, as if the way were full; with 0 none.
    pub fn refuse_one_in(&self, frames: u64) {
        self.bus.refuses.store(frames, Ordering::Relaxed);
    }

    fn view(&self) -> View {
        View {
            epoch: self.epoch,
            members: self.members(),
        }
    }

    fn members(&self) -> Vec<Member> {
        let member = |node: &Node| Member {
            node: node.id(),
            weight: if node.leaves { 0.0 } else { 1.0 },
        };
        self.nodes.iter().map(member).collect()
    }

    /// All nodes learn of all, each in its time.
    fn agree(&mut self, gone: &[NodeId]) {
        self.epoch += 1;
        let view = self.view();
        for node in &self.nodes {
            let _ = node.news.send((view.clone(), gone.to_vec()));
        }
        let addresses = self.nodes.iter().filter_map(Node::address).collect();
        self.balancer.set(addresses);
    }

    /// Waits until all nodes know the same view.
    pub async fn agreed(&self) {
        let knows = |node: &Node| node.app.router.peers.view().epoch == self.epoch;
        while !self.nodes.iter().all(knows) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The place of the node where an account's home is.
    ///
    /// # Errors
    /// There is no node.
    pub fn home_of(&self, account: &str) -> Result<usize> {
        let home = self.view().home(account).context("no nodes")?;
        let place = self.nodes.iter().position(|node| node.id() == home);
        place.context("a home at no node")
    }

    /// The name of an account whose home is at this place.
    ///
    /// # Errors
    /// There is no such node.
    pub fn name_at(&self, place: usize, letter: char) -> Result<String> {
        for number in 0..1_000 {
            let name = format!("{letter}{number}");
            if self.home_of(account(&name).as_str())? == place {
                return Ok(name);
            }
        }
        bail!("no account has its home at {place}")
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
