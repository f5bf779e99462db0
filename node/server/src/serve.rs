//! Serve: one node from its configuration to its end.
//!
//! In order: directory, stores, first start, node, pages for operators, administration socket, ready file; then it waits
//! for SIGTERM or SIGINT and stops in reverse: `/ready` turns red, the node drains, the pages go last. A second signal
//! ends the process at once.

use std::{sync::Arc, time::Instant};

use anyhow::Context as _;
use storage::shape::Table;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{
    admin::{Administrator, Alone, ClusterControl, Desk, socket::AdminSocket},
    app::App,
    config::{Config, Security, Store},
    first_start::first_start,
    gauges,
    http::{self, Health},
    metrics::StoreMetrics,
    ready_file::{Ready, write_ready_file},
    shutdown,
    status::Facts,
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
    let app = App::start_with(config.clone(), stores, table.clone()).await?;
    let router = app.router.clone();
    calls.register(router.metrics.registry());
    gauges::watch_router(&router.metrics, &router);
    gauges::watch_store(&router.metrics, table.clone());
    let desk = desk(&app, &health, table, Arc::new(Alone));

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
            router.metrics.clone(),
            health.clone(),
            desk.look.clone(),
            stopped.clone(),
        )));
    }
    let socket = AdminSocket::bind(&config.admin_socket())
        .with_context(|| format!("opening {}", config.admin_socket().display()))?;
    let administrator = Administrator {
        accounts: router.accounts(),
        domains: config.domains.clone(),
        live: Some(Arc::new(router.clone())),
        desk: Some(desk),
    };
    let administration = tokio::spawn(socket.serve(administrator, stopped));

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
        http: http_port,
        pid: std::process::id(),
    };
    if let Some(path) = &config.ready_file {
        write_ready_file(path, &ready).with_context(|| format!("writing {}", path.display()))?;
    }
    health.started();
    for (security, address) in &app.addresses {
        tracing::info!(%address, ?security, "listening");
    }
    tracing::info!(elapsed_ms = began.elapsed().as_millis() as u64, domains = %config.domains.join(","), "ready");
    if let Some(welcome) = welcome {
        print(
            &welcome
                .listening(app.addresses.clone(), &config)
                .to_string(),
        );
    }

    signals.wait().await;
    tracing::info!(
        grace_ms = config.shutdown_grace.as_millis() as u64,
        "stopping"
    );
    health.stopping();
    tokio::select! {
        () = app.shutdown() => {}
        () = signals.wait() => tracing::warn!("told to stop twice: stopping at once"),
    }
    last.stop();
    let _ = administration.await;
    if let Some(pages) = pages {
        let _ = pages.await;
    }
    if let Some(path) = &config.ready_file {
        // It tells of a node that is gone; nobody misses it if somebody else removed it.
        let _ = std::fs::remove_file(path);
    }
    tracing::info!("stopped");
    Ok(())
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

/// What there is to operate a node by.
fn desk(
    app: &App,
    health: &Health,
    table: Arc<dyn Table>,
    control: Arc<dyn ClusterControl>,
) -> Desk {
    let (router, health, asked) = (app.router.clone(), health.clone(), control.clone());
    let look = move || Facts {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        domains: router.config.domains.clone(),
        uptime_s: router.started.elapsed().as_secs(),
        not_ready: health.reasons().into_iter().map(Into::into).collect(),
        store_trouble: trouble(&*table),
        accounts: router.directory.accounts(),
        sessions: router.sessions.len(),
        parked: router.parked.len(),
        homes: router.homes.len(),
        secret: asked.secret(),
        cluster: asked.status(),
    };
    Desk {
        look: Arc::new(look),
        control,
    }
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
