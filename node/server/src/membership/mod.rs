//! Membership: this process as one of several nodes over one store.
//!
//! Discovery gives addresses, links are kept to whoever is there, the directory says who is a member and how far, and what
//! it says becomes who serves which account. Nothing is decided here but the order of things: a life that is over is
//! forgotten by the links first, then nothing is placed on it any more, and then what it was asked goes elsewhere.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | [`Membership`]: joins, and keeps this node's place |
//! | `follow` | from what the directory says to what the router knows |
//! | `serving` | who serves, from one view to the next; pure |
//! | `leaving`, `operating` | how a node goes; what an operator has nodes do |
//! | `seat` | the directory, over Raft or Redis |
//! | `lines`, `post`, `hands`, `liveness` | links: requests, frames out, what comes in, whom they cannot reach |
//! | `sources`, `whereabouts` | where others are, and where this node is |
//! | `facts` | what nodes tell each other when they meet |
//! | `rows`, `secrets` | what nodes say to one another through the store |
//! | `status`, `report` | what is to be told of all this |
//!
//! Stored: the rows of `storage::repository::control`. A life of a node joins once: one that was declared over ends
//! ([`Membership::abandon`]), and the process begins a new one.

mod facts;
mod follow;
mod hands;
mod leaving;
mod lines;
mod liveness;
mod operating;
mod post;
mod report;
mod rows;
mod seat;
mod secrets;
mod serving;
mod sources;
pub mod status;
mod whereabouts;

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use anyhow::Context as _;
use cluster::{
    NodeId,
    directory::Member,
    link::{Config as LinkConfig, Limit, Limits, Links, PROTOCOLS, Tcp},
};
use discovery::{Registry, Watcher, watcher};
use parking_lot::Mutex;
use storage::{
    repository::{ClusterSecrets, Control},
    shape::Table,
};
use tokio::{runtime::Handle, sync::watch, task::JoinSet};

pub use operating::Refusal;
pub use status::{Board, Phase, Status};

use crate::{config::cluster::Cluster, intake::Intake, routing::Router};
use facts::Facts;
use follow::Followed;
use hands::Hands;
use leaving::Progress;
use lines::Lines;
use liveness::Liveness;
use post::{Carrying, Post};
use rows::Rows;
use seat::Seat;
use whereabouts::Whereabouts;

/// Bytes and frames of stanzas that may wait for a node: as much as some thousands of its clients' pipes hold.
const DATA: Limit = Limit {
    frames: 262_144,
    bytes: 64 << 20,
};

/// This node's place in the cluster. Clones share it.
#[derive(Clone)]
pub struct Membership(Arc<Inner>);

struct Inner {
    router: Arc<Router>,
    intake: Intake,
    cluster: Cluster,
    member: Member,
    lines: Arc<Lines>,
    liveness: Arc<Liveness>,
    seat: OnceLock<Seat>,
    registry: Option<Arc<Registry>>,
    watcher: OnceLock<Watcher>,
    followed: Mutex<Followed>,
    phase: watch::Sender<Phase>,
    fallen: watch::Receiver<bool>,
    leave: watch::Sender<bool>,
    control: Arc<Control>,
    /// The secrets that the store keeps, if it does.
    secrets: Arc<Mutex<Option<ClusterSecrets>>>,
    leaving: Progress,
    tasks: Mutex<JoinSet<()>>,
}

impl Membership {
    /// Listens for other nodes, looks for them, and is to become a member: see [`Membership::joined`].
    ///
    /// # Errors
    /// What is configured cannot be used, the store cannot be read, the address is not to be had.
    pub async fn start(
        cluster: &Cluster,
        router: &Arc<Router>,
        intake: Intake,
        table: Arc<dyn Table>,
    ) -> anyhow::Result<Self> {
        let whereabouts = Whereabouts::find(cluster).await?;
        let control = Arc::new(Control::new(table, &cluster.name));
        let (secrets, stored) = secrets::load(cluster, &control).await?;
        let (lines, liveness) = (Arc::new(Lines::default()), Arc::new(Liveness::default()));
        // Before anything can come: what comes may want an answer.
        let post = Post::new(lines.clone(), Handle::current());
        router.peers.join(router.node, Arc::new(Carrying(post)));
        let (fell, fallen) = watch::channel(false);
        let leave = watch::Sender::new(false);
        let hands = Arc::new(Hands {
            intake: intake.clone(),
            liveness: liveness.clone(),
            directory: OnceLock::new(),
            fallen: fell,
            leave: leave.clone(),
            changed: watch::Sender::new(()),
        });
        let config = links(cluster, router.node, &whereabouts, secrets);
        let opened = Links::start(config, hands.clone()).await;
        lines.open(opened.context("linking this node to others")?);
        let address: SocketAddr = lines
            .address()
            .parse()
            .context("the address of this node")?;
        let rows = || Rows(control.clone());
        let sources = Arc::new(rows());
        let sources = sources::open(cluster, router.node, address, &whereabouts, sources).await?;
        let inner = Arc::new(Inner {
            router: router.clone(),
            intake,
            cluster: cluster.clone(),
            member: member(cluster, router.node, address, &whereabouts),
            lines,
            liveness,
            seat: OnceLock::new(),
            registry: sources.registry,
            watcher: OnceLock::new(),
            followed: Mutex::default(),
            phase: watch::Sender::new(Phase::Joining),
            fallen,
            leave,
            control: control.clone(),
            secrets: Arc::new(Mutex::new(stored)),
            leaving: Progress::default(),
            tasks: Mutex::default(),
        });
        inner.watch(sources.all, address);
        let seat = Seat::take(
            cluster,
            inner.member.clone(),
            &inner.lines,
            &inner.liveness,
            rows(),
        )?;
        if let Seat::Raft(directory) = &seat {
            // It is set once.
            let _ = hands.directory.set(Arc::downgrade(directory));
        }
        let _ = inner.seat.set(seat);
        inner.spawn(follow::run(inner.clone(), hands.clone()));
        inner.spawn(follow::keep_stage(inner.clone()));
        let secrets = inner.secrets.clone();
        inner.spawn(secrets::follow(control, inner.lines.clone(), secrets));
        let member = &inner.member;
        tracing::info!(cluster = %cluster.name, node = %status::hex(member.node), name = %member.name, %address, "looking for other nodes");
        Ok(Self(inner))
    }

    /// Waits until this node serves what is placed on it; false: its life is over before.
    pub async fn joined(&self) -> bool {
        let mut phase = self.0.phase.subscribe();
        let reached = phase.wait_for(|phase| *phase != Phase::Joining).await;
        reached.is_ok_and(|phase| *phase == Phase::Serving)
    }

    /// Waits until this life is over.
    pub async fn fallen(&self) {
        let mut phase = self.0.phase.subscribe();
        // An error means that nobody will say so any more.
        let _ = phase.wait_for(|phase| *phase == Phase::Fallen).await;
    }

    /// Where its status is told.
    pub fn tell(&self, board: &Board) {
        board.set(self.0.clone());
    }

    /// Where other nodes reach this one.
    pub fn address(&self) -> String {
        self.0.lines.address()
    }

    /// This life is over: nothing is said any more in its name. What it served is others' already.
    pub async fn abandon(self) {
        self.0.close().await;
    }
}

impl Inner {
    fn me(&self) -> NodeId {
        self.member.node
    }

    fn seat(&self) -> Option<&Seat> {
        self.seat.get()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().spawn(task);
    }

    /// Dials whoever the sources name.
    fn watch(self: &Arc<Self>, source: Arc<dyn discovery::Discovery>, own: SocketAddr) {
        let options = watcher::Options {
            own: BTreeSet::from([own]),
            ..watcher::Options::default()
        };
        let (watcher, mut events) = Watcher::start(source, options, Arc::new(()));
        let _ = self.watcher.set(watcher);
        let lines = self.lines.clone();
        self.spawn(async move {
            while let Some(event) = events.recv().await {
                match event {
                    watcher::Event::Found(found) => lines.connect(&found.address.to_string()),
                    watcher::Event::Gone(gone) => lines.disconnect(&gone.address.to_string()),
                    watcher::Event::Trouble(error) => {
                        tracing::warn!(%error, "looking for other nodes");
                    }
                }
            }
        });
    }

    /// Says nothing to other nodes any more, and hears nothing of them.
    fn hang_up(&self) {
        self.tasks.lock().abort_all();
        self.lines.close();
    }

    async fn close(&self) {
        self.hang_up();
        if let Some(seat) = self.seat() {
            seat.stop().await;
        }
    }
}

fn member(
    cluster: &Cluster,
    node: NodeId,
    address: SocketAddr,
    whereabouts: &Whereabouts,
) -> Member {
    Member {
        node,
        name: whereabouts.name.as_str().into(),
        links: vec![address.to_string().into()],
        weight: cluster.weight,
        zone: whereabouts.zone.as_str().into(),
        protocol_min: u32::from(*PROTOCOLS.start()),
        protocol_max: u32::from(*PROTOCOLS.end()),
        version: env!("CARGO_PKG_VERSION").into(),
    }
}

fn links(
    cluster: &Cluster,
    node: NodeId,
    whereabouts: &Whereabouts,
    secrets: Vec<cluster::link::Secret>,
) -> LinkConfig {
    let facts = Facts {
        client_address: cluster.client_address.clone(),
    };
    LinkConfig {
        node,
        name: whereabouts.name.clone(),
        cluster: cluster.name.clone(),
        listen: cluster.listen.to_string(),
        advertised: whereabouts.address.map(|address| address.to_string()),
        secrets,
        facts: facts.to_bytes(),
        protocols: PROTOCOLS,
        limits: Limits {
            data: DATA,
            ..Limits::default()
        },
        network: Arc::new(Tcp),
    }
}
