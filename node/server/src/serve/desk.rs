//! What there is to operate a node by, whichever life it is in.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use cluster::NodeId;
use storage::{repository::Rotation, shape::Table};

use super::trouble;
use crate::{
    admin::{ClusterControl, Declined, Desk, Why},
    config::Config,
    http::Health,
    membership::{Board, Membership, Refusal, Status},
    routing::Router,
    status::{Facts, Look, SecretStatus},
};

/// The life that the node is in.
struct Life {
    router: Arc<Router>,
    membership: Option<Membership>,
}

/// See the file's head.
pub(super) struct Present {
    domains: Vec<String>,
    health: Health,
    table: Arc<dyn Table>,
    board: Board,
    life: ArcSwapOption<Life>,
}

impl fmt::Debug for Present {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Present").field(&self.facts()).finish()
    }
}

impl Present {
    /// Of a node that does not live yet.
    pub(super) fn new(
        config: &Config,
        health: Health,
        table: Arc<dyn Table>,
        board: Board,
    ) -> Arc<Self> {
        Arc::new(Self {
            domains: config.domains.clone(),
            health,
            table,
            board,
            life: ArcSwapOption::empty(),
        })
    }

    /// A life has begun.
    pub(super) fn begin(&self, router: &Arc<Router>, membership: Option<Membership>) {
        let router = router.clone();
        self.life.store(Some(Arc::new(Life { router, membership })));
    }

    /// What is to be told.
    pub(super) fn look(self: &Arc<Self>) -> Look {
        let present = self.clone();
        Arc::new(move || present.facts())
    }

    pub(super) fn desk(self: &Arc<Self>) -> Desk {
        Desk {
            look: self.look(),
            control: Arc::new(Control(self.clone())),
        }
    }

    fn facts(&self) -> Facts {
        let life = self.life.load();
        let router = life.as_ref().map(|life| &life.router);
        let count = |of: fn(&Router) -> usize| router.map_or(0, |router| of(router));
        Facts {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            domains: self.domains.clone(),
            uptime_s: router.map_or(0, |router| router.started.elapsed().as_secs()),
            not_ready: self.health.reasons().into_iter().map(Into::into).collect(),
            store_trouble: trouble(&*self.table),
            accounts: count(|router| router.directory.accounts()),
            sessions: count(|router| router.sessions.len()),
            parked: count(|router| router.parked.len()),
            homes: count(|router| router.homes.len()),
            secret: self.secret(),
            cluster: self.board.status(),
        }
    }

    fn membership(&self) -> Option<Membership> {
        self.life.load().as_ref()?.membership.clone()
    }

    fn secret(&self) -> Option<SecretStatus> {
        let (rotation, since) = self.membership()?.secret()?;
        let rotation = match rotation {
            Rotation::Settled => "settled",
            Rotation::Announced => "announced",
            Rotation::Proving => "proving",
        };
        Some(SecretStatus {
            rotation: rotation.to_owned(),
            since,
        })
    }
}

/// Tells the cluster what an operator wants.
struct Control(Arc<Present>);

impl Control {
    fn membership(&self) -> Result<Membership, Declined> {
        let alone = || Declined::new(Why::Alone, "this node is alone: no cluster is configured");
        self.0.membership().ok_or_else(alone)
    }
}

fn declined(refusal: Refusal) -> Declined {
    let why = match refusal {
        Refusal::Over => Why::Absent,
        Refusal::Busy => Why::Busy,
        Refusal::Written => Why::Elsewhere,
        Refusal::OutOfReach(_) => Why::Store,
    };
    Declined::new(why, refusal.to_string())
}

#[async_trait]
impl ClusterControl for Control {
    fn status(&self) -> Option<Status> {
        self.0.board.status()
    }

    fn secret(&self) -> Option<SecretStatus> {
        self.0.secret()
    }

    async fn drain(&self, node: NodeId) -> Result<(), Declined> {
        self.membership()?.drain(node).await.map_err(declined)
    }

    async fn fence(&self, node: NodeId) -> Result<(), Declined> {
        self.membership()?.fence(node).await.map_err(declined)
    }

    async fn rotate_secret(&self) -> Result<(), Declined> {
        self.membership()?.rotate_secret().await.map_err(declined)
    }
}
