//! Serve: one node from its configuration to its end.
//!
//! In order: directory, stores, first start, pages for operators, node, its place among others, listeners, administration
//! socket, ready file; then it waits for SIGTERM or SIGINT and stops in reverse: `/ready` turns red, the node drains, the
//! pages go last. A second signal ends the process at once. A member of a cluster whose life is declared over begins
//! another one, in the same process.

mod desk;
mod life;

use std::{sync::Arc, time::Instant};

use anyhow::Context as _;
use storage::shape::Table;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{
    config::{Config, Store},
    first_start::first_start,
    gauges,
    http::{self, Health},
    instance::Watched,
    membership::{Board, Phase},
    metrics::{Metrics, StoreMetrics},
    shutdown,
    stores::{self, Opened, Watching},
};

use desk::Present;
use life::{End, Node};

/// Runs a node until it is told to stop; how many accounts it had not handed over in time then.
///
/// # Errors
/// It cannot start; what went wrong and where.
pub async fn serve(config: Config) -> anyhow::Result<usize> {
    let mut signals = Signals::new().context("listening for signals")?;
    let began = Instant::now();
    stores::private_directory(&config.data)?;
    if let Store::Embedded { path, .. } = &config.storage.main {
        tracing::info!(path = %path.display(), "opening the store");
    }
    let calls = Arc::new(StoreMetrics::default());
    let watching = Watching {
        calls: calls.clone(),
        cache: calls.clone(),
    };
    let Opened { stores, table } = Box::pin(stores::open(&config, Some(watching)))
        .await
        .context("opening the stores")?;
    let mut welcome = first_start(&stores, &config)
        .await
        .context("making the first account")?;

    let health = Health::default();
    watch_store(&health, table.clone());
    let (metrics, board) = (Metrics::default(), Board::default());
    watch_cluster(&health, &board);
    calls.register(metrics.registry());
    gauges::watch_store(&metrics, table.clone());
    if config.cluster.is_some() {
        gauges::watch_cluster(&metrics, &board);
    }
    let present = Present::new(&config, health.clone(), table.clone(), board.clone());

    // The pages outlive the node: they tell that it stops.
    let (last, stopped) = shutdown::signal();
    let mut http_port = None;
    let mut pages = None;
    let published = config
        .rooms
        .publish_path
        .clone()
        .map(|path| http::Published {
            path,
            pages: stores.pages.clone(),
        });
    if let Some(address) = config.http {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("serving metrics on {address}"))?;
        http_port = Some(listener.local_addr()?.port());
        pages = Some(tokio::spawn(http::serve(
            listener,
            metrics.clone(),
            health.clone(),
            present.look(),
            published,
            stopped,
        )));
    }
    let instance = match &config.cluster {
        Some(cluster) => Box::pin(Watched::begin(cluster)).await?,
        None => None,
    };
    let node = Node {
        config,
        instance,
        stores,
        table,
        metrics,
        health,
        board,
        present,
        http_port,
        began,
    };
    let lives = async {
        // A node that is alone has one life.
        loop {
            match node.live(&mut signals, welcome.take()).await? {
                End::Fallen => tracing::warn!("a new life of the node begins"),
                End::Stopped { left } => return anyhow::Ok(left),
            }
        }
    };
    let left = match &node.instance {
        Some(instance) => Box::pin(instance.see_off(lives)).await?,
        None => lives.await?,
    };
    last.stop();
    if let Some(pages) = pages {
        let _ = pages.await;
    }
    if let Some(path) = &node.config.ready_file {
        // It tells of a node that is gone; nobody misses it if somebody else removed it.
        let _ = std::fs::remove_file(path);
    }
    tracing::info!("stopped");
    Ok(left)
}

/// While a member of a cluster does not serve it is not to be sent clients.
fn watch_cluster(health: &Health, board: &Board) {
    let board = board.clone();
    health.watch(move || match board.phase()? {
        Phase::Serving => None,
        phase => Some(format!("member of the cluster: {}", phase.name())),
    });
}

/// While nothing can be stored here the node is not to be sent clients.
fn watch_store(health: &Health, table: Arc<dyn Table>) {
    health.watch(move || trouble(&*table));
}

/// What keeps a store from taking writes, in words.
fn trouble(table: &dyn Table) -> Option<String> {
    let error = table.trouble()?;
    Some(match std::error::Error::source(&error) {
        Some(cause) => format!("{error} ({cause})"),
        None => error.to_string(),
    })
}

#[cfg(test)]
mod tests;

#[expect(
    clippy::print_stdout,
    reason = "the welcome is what the command answers; it never goes to a log"
)]
fn print(text: &str) {
    println!("{text}");
}

/// What tells a node to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for a signal.
    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for a signal, or for the word of EC2 that the instance is to go.
    async fn told(&mut self, instance: Option<&Watched>) {
        let goes = async {
            match instance {
                Some(instance) => instance.goes().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.wait() => {}
            () = goes => {}
        }
    }
}
