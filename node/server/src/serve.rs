//! Serve: one node from its configuration to its end.
//!
//! In order: directory, stores, first start, pages for operators, node, its place among others, listeners, administration
//! socket, ready file; then it waits for SIGTERM or SIGINT and stops in reverse: `/ready` turns red, the node drains, the
//! pages go last. A second signal ends the process at once. A member of a cluster whose life is declared over begins
//! another one, in the same process.

use std::{sync::Arc, time::Instant};

use anyhow::Context as _;
use storage::{Stores, SystemClock, shape::Table};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};

use crate::{
    admin::{Administrator, socket::AdminSocket},
    app::App,
    config::{Config, Security, Store},
    first_start::{Welcome, first_start},
    gauges,
    http::{self, Health},
    membership::{Board, Intake, Membership, Phase},
    metrics::{Metrics, StoreMetrics},
    ready_file::{Ready, write_ready_file},
    shutdown::{self, Stopping},
    stores::{self, Opened, Watching},
};

/// Runs a node until it is told to stop.
///
/// # Errors
/// It cannot start; what went wrong and where.
pub async fn serve(config: Config) -> anyhow::Result<()> {
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
    let welcome = first_start(&stores, &config)
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
    let mut welcome = welcome;

    // The pages outlive the node: they tell that it stops.
    let (last, stopped) = shutdown::signal();
    let mut http_port = None;
    let mut pages = None;
    if let Some(address) = config.http {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("serving metrics on {address}"))?;
        http_port = Some(listener.local_addr()?.port());
        pages = Some(tokio::spawn(http::serve(
            listener,
            metrics.clone(),
            health.clone(),
            stopped,
        )));
    }
    let node = Node {
        config,
        stores,
        table,
        metrics,
        health,
        board,
        http_port,
        began,
    };
    // A node that is alone has one life.
    while node.live(&mut signals, welcome.take()).await? == End::Fallen {
        tracing::warn!("a new life of the node begins");
    }
    last.stop();
    if let Some(pages) = pages {
        let _ = pages.await;
    }
    if let Some(path) = &node.config.ready_file {
        // It tells of a node that is gone; nobody misses it if somebody else removed it.
        let _ = std::fs::remove_file(path);
    }
    tracing::info!("stopped");
    Ok(())
}

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The process was told to stop.
    Stopped,
    /// The other nodes declared it over.
    Fallen,
}

/// What all lives of a node share.
struct Node {
    config: Config,
    stores: Stores,
    table: Arc<dyn Table>,
    metrics: Metrics,
    health: Health,
    board: Board,
    http_port: Option<u16>,
    began: Instant,
}

impl Node {
    /// One life: from joining the others, where there are any, to its end.
    async fn live(&self, signals: &mut Signals, welcome: Option<Welcome>) -> anyhow::Result<End> {
        let mut app = Box::pin(App::build(
            self.config.clone(),
            self.stores.clone(),
            self.table.clone(),
            Arc::new(SystemClock),
            self.metrics.clone(),
        ))
        .await?;
        let router = app.router.clone();
        gauges::watch_router(&self.metrics, &router);
        let membership = match self.join(&app).await? {
            Some(membership) => {
                membership.tell(&self.board);
                let joined = tokio::select! {
                    joined = membership.joined() => Some(joined),
                    () = signals.wait() => None,
                };
                match joined {
                    Some(true) => {}
                    Some(false) => return Ok(self.give_up(app, membership).await),
                    None => {
                        self.health.stopping();
                        membership.sign_off().await;
                        app.shutdown().await;
                        return Ok(End::Stopped);
                    }
                }
                Some(membership)
            }
            None => None,
        };
        app.open()?;
        let (stop, stopped) = shutdown::signal();
        let administration = self.administer(&app, stopped)?;
        self.tell(&app, welcome)?;
        let fallen = async {
            match &membership {
                Some(membership) => membership.fallen().await,
                None => std::future::pending().await,
            }
        };
        let end = tokio::select! {
            () = signals.wait() => End::Stopped,
            () = fallen => End::Fallen,
        };
        let end = match (end, membership) {
            (End::Fallen, Some(membership)) => self.give_up(app, membership).await,
            (_, membership) => {
                tracing::info!(
                    grace_ms = self.config.shutdown_grace.as_millis() as u64,
                    "stopping"
                );
                self.health.stopping();
                tokio::select! {
                    () = leave(app, membership) => {}
                    () = signals.wait() => tracing::warn!("told to stop twice: stopping at once"),
                }
                End::Stopped
            }
        };
        stop.stop();
        let _ = administration.await;
        Ok(end)
    }

    async fn join(&self, app: &App) -> anyhow::Result<Option<Membership>> {
        let Some(cluster) = &self.config.cluster else {
            return Ok(None);
        };
        let intake: Intake = Box::new(app.intake());
        let joining = Membership::start(cluster, &app.router, intake, self.table.clone());
        Ok(Some(Box::pin(joining).await?))
    }

    /// Ends a life that others declared over: nothing is said in its name, and its clients come again.
    async fn give_up(&self, app: App, membership: Membership) -> End {
        membership.abandon().await;
        app.shutdown().await;
        End::Fallen
    }

    fn administer(&self, app: &App, stopped: Stopping) -> anyhow::Result<JoinHandle<()>> {
        let path = self.config.admin_socket();
        let socket =
            AdminSocket::bind(&path).with_context(|| format!("opening {}", path.display()))?;
        let administrator = Administrator {
            accounts: app.router.accounts(),
            domains: self.config.domains.clone(),
            live: Some(Arc::new(app.router.clone())),
        };
        Ok(tokio::spawn(socket.serve(administrator, stopped)))
    }

    /// Tells that the node listens, and where.
    fn tell(&self, app: &App, welcome: Option<Welcome>) -> anyhow::Result<()> {
        let port = |direct: bool| {
            let found = app
                .addresses
                .iter()
                .find(|(security, _)| (*security == Security::Direct) == direct);
            found.map(|(_, address)| address.port())
        };
        let ready = Ready {
            c2s: port(false),
            c2s_tls: port(true),
            http: self.http_port,
            pid: std::process::id(),
        };
        if let Some(path) = &self.config.ready_file {
            write_ready_file(path, &ready)
                .with_context(|| format!("writing {}", path.display()))?;
        }
        self.health.started();
        for (security, address) in &app.addresses {
            tracing::info!(%address, ?security, "listening");
        }
        tracing::info!(elapsed_ms = self.began.elapsed().as_millis() as u64, domains = %self.config.domains.join(","), "ready");
        if let Some(welcome) = welcome {
            let listening = welcome.listening(app.addresses.clone(), &self.config);
            print(&listening.to_string());
        }
        Ok(())
    }
}

/// Stops a node that serves: what it has goes to the others first, if there are any.
async fn leave(app: App, membership: Option<Membership>) {
    if let Some(membership) = &membership {
        let left = membership.hand_over().await;
        if left > 0 {
            tracing::warn!(accounts = left, "not handed over");
        }
    }
    app.shutdown().await;
    if let Some(membership) = membership {
        membership.sign_off().await;
    }
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
    health.watch(move || {
        let error = table.trouble()?;
        Some(match std::error::Error::source(&error) {
            Some(cause) => format!("{error} ({cause})"),
            None => error.to_string(),
        })
    });
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

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
