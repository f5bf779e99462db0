//! A life of a node: it joins the others, where there are any, serves, and ends.

use std::{convert::Infallible, sync::Arc};

use anyhow::Context as _;
use storage::{Stores, SystemClock, repository::Operators, shape::Table};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{Signals, desk::Present};
use crate::{
    admin::{Administrator, socket::AdminSocket},
    api::{Api, door},
    app::App,
    config::{Config, Security},
    first_start::Welcome,
    gauges,
    http::Health,
    instance::{Watched, time},
    membership::{Board, Membership},
    metrics::Metrics,
    net::Listener,
    ready_file::{Ready, write_ready_file},
    shutdown::{self, Stopping},
};

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The process was told to stop.
    Stopped {
        /// Accounts that were not handed over in time.
        left: usize,
    },
    /// The other nodes declared it over.
    Fallen,
}

const STOPPED: End = End::Stopped { left: 0 };

/// What all lives of a node share.
pub(super) struct Node {
    pub(super) config: Config,
    pub(super) instance: Option<Watched>,
    pub(super) stores: Stores,
    pub(super) table: Arc<dyn Table>,
    pub(super) metrics: Metrics,
    pub(super) health: Health,
    pub(super) board: Board,
    pub(super) present: Arc<Present>,
    pub(super) http_port: Option<u16>,
    pub(super) began: std::time::Instant,
}

impl Node {
    /// One life: from joining the others, where there are any, to its end.
    pub(super) async fn live(
        &self,
        signals: &mut Signals,
        welcome: Option<Welcome>,
    ) -> anyhow::Result<End> {
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
                self.present.begin(&router, Some(membership.clone()));
                let joined = tokio::select! {
                    joined = membership.joined() => Some(joined),
                    () = signals.told(self.instance.as_ref()) => None,
                };
                match joined {
                    Some(true) => {}
                    Some(false) => return Ok(self.give_up(app, membership).await),
                    None => {
                        self.health.stopping();
                        membership.sign_off().await;
                        app.shutdown().await;
                        return Ok(STOPPED);
                    }
                }
                Some(membership)
            }
            None => {
                self.present.begin(&router, None);
                None
            }
        };
        app.open()?;
        let (stop, stopped) = shutdown::signal();
        let administration = self.administer(&app, stopped.clone())?;
        let (api_port, api) = self.open_api(&app, stopped)?.unzip();
        self.tell(&app, api_port, welcome)?;
        if let Some(instance) = &self.instance {
            instance.in_service();
        }
        let end = tokio::select! {
            () = signals.told(self.instance.as_ref()) => STOPPED,
            end = told_by_others(membership.as_ref()) => end,
        };
        let end = match (end, membership) {
            (End::Fallen, Some(membership)) => self.give_up(app, membership).await,
            (_, membership) => {
                tracing::info!(
                    grace_ms = self.config.shutdown_grace.as_millis() as u64,
                    "stopping"
                );
                self.health.stopping();
                let here = app.router.clone();
                let left = tokio::select! {
                    left = self.leave(app, membership) => left,
                    () = signals.wait() => {
                        tracing::warn!("told to stop twice: stopping at once");
                        // On a node that is alone nothing is handed over.
                        self.config.cluster.as_ref().map_or(0, |_| here.directory.accounts())
                    }
                };
                End::Stopped { left }
            }
        };
        stop.stop();
        let _ = administration.await;
        if let Some(api) = api {
            // The next life listens at the same port.
            let _ = api.await;
        }
        Ok(end)
    }

    async fn join(&self, app: &App) -> anyhow::Result<Option<Membership>> {
        let Some(cluster) = &self.config.cluster else {
            return Ok(None);
        };
        let joining = Membership::start(cluster, &app.router, app.intake(), self.table.clone());
        Ok(Some(Box::pin(joining).await?))
    }

    /// Ends a life that others declared over: nothing is said in its name, and its clients come again.
    async fn give_up(&self, app: App, membership: Membership) -> End {
        membership.abandon().await;
        app.shutdown().await;
        End::Fallen
    }

    /// Stops a node that serves: what it has goes to the others first, if there are any. The time that EC2 leaves bounds it.
    /// How many accounts did not go.
    async fn leave(&self, app: App, membership: Option<Membership>) -> usize {
        let grace = self.config.shutdown_grace;
        let (mut known, mut accounts) = (None, 0);
        if let Some(membership) = &membership {
            let left = tokio::select! {
                left = membership.hand_over() => left,
                never = self.hurry(membership, &mut known) => match never {},
            };
            if left > 0 {
                tracing::warn!(accounts = left, "not handed over");
            }
            accounts = left;
            tokio::select! {
                () = app.let_go(membership.close_per_second()) => {}
                () = self.out_of_time(&mut known) => {}
            }
        }
        let left = |until: Instant| until.saturating_duration_since(Instant::now());
        let closing = known.map_or(grace, |until| time::closing(left(until), grace));
        app.shutdown_within(closing).await;
        if let Some(membership) = membership {
            membership.sign_off().await;
        }
        accounts
    }

    /// Has a member hand over no longer than the instance lives, as soon as that is known.
    async fn hurry(&self, membership: &Membership, known: &mut Option<Instant>) -> Infallible {
        let Some(instance) = &self.instance else {
            return std::future::pending().await;
        };
        loop {
            let until = instance.limit(*known).await;
            *known = Some(until);
            let now = Instant::now();
            let left = until.saturating_duration_since(now);
            membership.hurry(now + time::hand_over(left, self.config.shutdown_grace));
        }
    }

    /// Waits until what the instance leaves for handing over is used up.
    async fn out_of_time(&self, known: &mut Option<Instant>) {
        let Some(instance) = &self.instance else {
            return std::future::pending().await;
        };
        loop {
            let now = Instant::now();
            let over = known.map(|until| {
                let left = until.saturating_duration_since(now);
                now + time::hand_over(left, self.config.shutdown_grace)
            });
            tokio::select! {
                () = sleep_until(over.unwrap_or(now)), if over.is_some() => return,
                until = instance.limit(*known) => *known = Some(until),
            }
        }
    }

    fn administer(&self, app: &App, stopped: Stopping) -> anyhow::Result<JoinHandle<()>> {
        let path = self.config.admin_socket();
        let socket =
            AdminSocket::bind(&path).with_context(|| format!("opening {}", path.display()))?;
        Ok(tokio::spawn(socket.serve(self.administrator(app), stopped)))
    }

    fn administrator(&self, app: &App) -> Administrator {
        Administrator {
            accounts: app.router.accounts(),
            domains: self.config.domains.clone(),
            admins: self.config.admins.clone(),
            operators: Operators::new(self.table.clone()),
            rooms: app.rooms.clone(),
            pubsub: self.config.pubsub_services(),
            metrics: Some(self.metrics.clone()),
            live: Some(Arc::new(app.router.clone())),
            desk: Some(self.present.desk()),
        }
    }

    /// Opens the API, where one is configured; at which port.
    fn open_api(
        &self,
        app: &App,
        stopped: Stopping,
    ) -> anyhow::Result<Option<(u16, JoinHandle<()>)>> {
        let api = &self.config.api;
        let Some(address) = api.listen else {
            return Ok(None);
        };
        let listener = Listener::bind(address, door::settings(api.proxies.clone()))
            .with_context(|| format!("serving the API on {address}"))?;
        let at = listener.local_addr()?;
        let tls = api.tls.then(|| app.acceptor(vec![b"http/1.1".to_vec()]));
        let served = Arc::new(Api::new(self.administrator(app), api.console));
        tracing::info!(address = %at, tls = api.tls, console = api.console, "serving the API");
        let serve = door::serve(listener, tls.transpose()?, served, stopped);
        Ok(Some((at.port(), tokio::spawn(serve))))
    }

    /// Tells that the node listens, and where.
    fn tell(&self, app: &App, api: Option<u16>, welcome: Option<Welcome>) -> anyhow::Result<()> {
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
            api,
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
            super::print(&listening.to_string());
        }
        Ok(())
    }
}

/// That the other nodes declare this life over, or an operator at one of them has this node go.
async fn told_by_others(membership: Option<&Membership>) -> End {
    let Some(membership) = membership else {
        return std::future::pending().await;
    };
    tokio::select! {
        () = membership.fallen() => End::Fallen,
        () = membership.asked_to_leave() => {
            tracing::info!("asked to leave the cluster");
            STOPPED
        }
    }
}
