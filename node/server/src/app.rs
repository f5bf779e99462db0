//! Builds every part by hand, in order; stops them in reverse.

mod registered;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use cluster::{NodeId, directory::Local};
use storage::{Clock, Stores, SystemClock, repository::Operators, shape::Table};
use tokio::time::Instant;

use crate::{
    c2s::{
        Fronts, Parking,
        gate::{Gate, load_secret},
        negotiation::{self, ListenerContext},
        replica::Replicas,
    },
    certificates::Certificates,
    config::{Config, Security},
    home::Homes,
    intake::Intake,
    maintenance,
    metrics::Metrics,
    modules::{self, muc::Muc},
    net::{
        ALPN_CLIENT, Acceptor, CertificateFiles, Held, Listener, ListenerSettings, Pipe,
        TlsSettings, certificate,
    },
    routing::{Order, Router, Sessions},
    shutdown::{Stop, Stopping, Tasks, signal},
    stores::{self, Opened},
    sweep,
};

/// A running node.
pub struct App {
    /// What its parts share.
    pub router: Arc<Router>,
    /// Where it listens.
    pub addresses: Vec<(Security, SocketAddr)>,
    /// What it shows there.
    pub certificates: Arc<Certificates>,
    /// The rooms, if there are any.
    pub rooms: Option<Arc<Muc>>,
    stop: Stop,
    stopping: Stopping,
}

impl App {
    /// Opens the stores that are configured and builds a node over them.
    ///
    /// # Errors
    /// A store is not to be had, or as [`App::start_with`].
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let Opened { stores, table } = Box::pin(stores::open(&config, None)).await?;
        Self::start_with(config, stores, table).await
    }

    /// Builds a node over its stores and opens its listeners. `table` keeps what is the node's own.
    ///
    /// # Errors
    /// A certificate or a port is not to be had; two modules claim the same.
    pub async fn start_with(
        config: Config,
        stores: Stores,
        table: Arc<dyn Table>,
    ) -> anyhow::Result<Self> {
        Self::start_at(config, stores, table, Arc::new(SystemClock)).await
    }

    /// The same under this clock.
    ///
    /// # Errors
    /// As [`App::start_with`].
    pub async fn start_at(
        config: Config,
        stores: Stores,
        table: Arc<dyn Table>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let mut app = Self::build(config, stores, table, clock, Metrics::default()).await?;
        app.open()?;
        Ok(app)
    }

    /// Builds a node that nobody can connect to yet: a member of a cluster takes clients once it is one.
    ///
    /// # Errors
    /// The store cannot be read; two modules claim the same.
    pub async fn build(
        config: Config,
        stores: Stores,
        table: Arc<dyn Table>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> anyhow::Result<Self> {
        let node = NodeId(crate::random::number());
        Self::build_as(node, config, stores, table, clock, metrics).await
    }

    /// The same for this life of a node, which was never used before.
    ///
    /// # Errors
    /// As [`App::build`].
    pub async fn build_as(
        node: NodeId,
        config: Config,
        stores: Stores,
        table: Arc<dyn Table>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> anyhow::Result<Self> {
        let config = Arc::new(config);
        let (stop, stopping) = signal();
        let secret = load_secret(&*table)
            .await
            .context("reading the node's secret")?;
        let gate = Gate::new(&config, secret)
            .context("reading the authorities for client certificates")?;
        let groups = Arc::new(modules::groups::Groups::new(
            stores.groups.clone(),
            stores.accounts.clone(),
            modules::groups::Options {
                domains: config.shared_groups.domains(&config.domains),
                contacts: config.shared_groups.contacts,
            },
        ));
        let rosters = Arc::new(modules::roster::Rosters::with_groups(
            stores.rosters.clone(),
            groups.clone(),
        ));
        let nodes = Arc::new(modules::pubsub::Nodes::new(stores.pubsub.clone()));
        let router = Arc::new(Router {
            node,
            last_items: modules::pubsub::pep::LastItems::new(nodes.clone(), rosters.clone()),
            interests: modules::pubsub::Interests::default(),
            rosters,
            groups,
            nodes,
            config: config.clone(),
            stores,
            peers: Arc::default(),
            directory: Local::default(),
            sessions: Sessions::default(),
            homes: Homes::default(),
            registry: OnceLock::new(),
            parked: Parking::default(),
            fronts: Fronts::default(),
            replicas: Replicas::default(),
            active_lists: Arc::default(),
            gate,
            metrics,
            requests: Default::default(),
            tasks: Tasks::default(),
            started: Instant::now(),
            clock,
        });
        let certificates = router.stores.certificates.clone();
        let certificates = Arc::new(Certificates::load(&config, certificates).await?);
        let rooms = registered::rooms(&router);
        let registry = registered::registry(&router, rooms.as_ref(), Operators::new(table))?;
        router
            .registry
            .set(registry)
            .map_err(|_| anyhow::anyhow!("modules are registered once"))?;
        let app = Self {
            router,
            addresses: Vec::new(),
            certificates,
            rooms,
            stop,
            stopping,
        };
        let sweep = sweep::run(app.router.clone(), app.stopping.clone());
        app.router.spawn(sweep);
        Ok(app)
    }

    /// Opens the listeners, and begins what is done in the background.
    ///
    /// # Errors
    /// A certificate or a port is not to be had.
    pub fn open(&mut self) -> anyhow::Result<()> {
        self.finish_removals();
        self.listen()?;
        let maintenance = maintenance::run(self.router.clone(), self.stopping.clone());
        self.router.spawn(Box::pin(maintenance));
        Ok(())
    }

    fn listen(&mut self) -> anyhow::Result<()> {
        let config = self.router.config.clone();
        let (certificates, held) = self.shown()?;
        let mut counts = Vec::new();
        let mut acceptors: HashMap<bool, Arc<Acceptor>> = HashMap::new();
        for listener in &config.listeners {
            let direct = listener.security == Security::Direct;
            let acceptor = match acceptors.get(&direct) {
                Some(acceptor) => acceptor.clone(),
                None => {
                    let settings = TlsSettings {
                        certificates: certificates.clone(),
                        held: held.clone(),
                        alpn: if direct {
                            vec![ALPN_CLIENT.to_vec()]
                        } else {
                            Vec::new()
                        },
                        request_client_certificate: config.auth.client_ca.is_some(),
                        ..TlsSettings::default()
                    };
                    let acceptor =
                        Arc::new(Acceptor::new(settings).context("reading the certificates")?);
                    self.certificates.serve(acceptor.clone());
                    crate::gauges::watch_certificates(&self.router.metrics, &acceptor);
                    acceptors.insert(direct, acceptor.clone());
                    acceptor
                }
            };
            let settings = ListenerSettings {
                limits: config.limits.admission.clone(),
                trusted_proxies: listener.proxies.clone(),
                ..ListenerSettings::default()
            };
            let socket = Listener::bind(listener.address, settings)
                .with_context(|| format!("listening on {}", listener.address))?;
            self.addresses
                .push((listener.security, socket.local_addr()?));
            counts.push((listener.security, socket.counts()));
            let context = Arc::new(ListenerContext {
                security: listener.security,
                starttls: (!direct).then(|| acceptor.clone()),
                direct: direct.then_some(acceptor),
            });
            self.accept(socket, context);
        }
        let follow = self.certificates.clone().follow(self.stopping.clone());
        self.router.spawn(follow);
        crate::gauges::watch_listeners(&self.router.metrics, counts);
        Ok(())
    }

    /// The node's certificates for what speaks TLS beside XMPP, with the protocols that it agrees on; they are reloaded as
    /// those of the listeners are.
    ///
    /// # Errors
    /// A certificate is not to be had.
    pub fn acceptor(&self, alpn: Vec<Vec<u8>>) -> anyhow::Result<Arc<Acceptor>> {
        let (certificates, held) = self.shown()?;
        let settings = TlsSettings {
            certificates,
            held,
            alpn,
            ..TlsSettings::default()
        };
        let acceptor = Arc::new(Acceptor::new(settings).context("reading the certificates")?);
        self.certificates.serve(acceptor.clone());
        Ok(acceptor)
    }

    /// The certificates that are shown: those in files and in the store, or one that is made and kept beside the data.
    fn shown(&self) -> anyhow::Result<(Vec<CertificateFiles>, Vec<Held>)> {
        let (config, held) = (&self.router.config, self.certificates.held());
        let files = match &config.certificates[..] {
            [] if held.is_empty() => {
                let now = SystemTime::now();
                vec![certificate::self_signed(
                    &config.data,
                    &config.domains,
                    now,
                )?]
            }
            files => files.to_vec(),
        };
        Ok((files, held))
    }

    /// Serves a client whose connection another task holds, as one that comes to a port without TLS.
    pub fn serve_pipe(&self, pipe: Pipe, peer: SocketAddr) {
        let (router, stopping) = (self.router.clone(), self.stopping.clone());
        self.router.spawn(Box::pin(negotiation::serve_pipe(
            router, pipe, peer, stopping,
        )));
    }

    fn accept(&self, socket: Listener, context: Arc<ListenerContext>) {
        let (router, stopping) = (self.router.clone(), self.stopping.clone());
        let mut stop = self.stopping.clone();
        self.router.spawn(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = socket.accept() => accepted,
                    () = stop.wait() => return,
                    () = router.fronts.closing() => return,
                };
                let serve =
                    negotiation::serve(router.clone(), accepted, context.clone(), stopping.clone());
                router.spawn(Box::pin(serve));
            }
        });
    }

    /// Goes on with what the last life of the node did not live to remove.
    fn finish_removals(&self) {
        let router = self.router.clone();
        self.router.spawn(async move {
            let (accounts, cx) = (router.accounts(), router.context());
            for domain in &router.config.domains {
                if let Err(error) = accounts.finish_removals(domain, &cx).await {
                    tracing::warn!(%domain, %error, "removed accounts are not erased yet");
                }
            }
        });
    }

    /// What takes what other nodes send to this one.
    pub fn intake(&self) -> Intake {
        Intake::new(self.router.clone(), self.stopping.clone())
    }

    /// Has no more clients come in, and lets go of those that other nodes serve, so many a second: they come back there, and
    /// not all at once. Waits until they are gone.
    pub async fn let_go(&self, per_second: u32) {
        let fronts = &self.router.fronts;
        let over = fronts.pace(per_second);
        fronts.close(over);
        let gone = async {
            while !fronts.is_empty() {
                tokio::time::sleep(LET_GO_LOOK).await;
            }
        };
        if tokio::time::timeout(over + LET_GO_SLACK, gone)
            .await
            .is_err()
        {
            tracing::warn!(
                clients = fronts.len(),
                "clients that are not let go in time"
            );
        }
    }

    /// Stops: nobody new comes in, every session is told, and what is under way may finish within the grace period.
    pub async fn shutdown(self) {
        let grace = self.router.config.shutdown_grace;
        self.shutdown_within(grace).await;
    }

    /// The same with another grace period.
    pub async fn shutdown_within(self, grace: Duration) {
        self.stop.stop();
        let router = self.router;
        router.fronts.close(Duration::ZERO);
        for handle in handles(&router) {
            handle.mailbox.order(Order::Shutdown);
        }
        router.parked.sweep(true);
        let left = router.tasks.finish(grace).await;
        router.homes.sweep(&router);
        let unsaved = router.tasks.finish(Duration::from_secs(2)).await;
        if left > 0 || unsaved > 0 {
            tracing::warn!(tasks = left, "stopped before everything had finished");
        }
    }
}

/// How often it is looked whether all clients are let go.
const LET_GO_LOOK: Duration = Duration::from_millis(20);
/// How long the last words to a client may take, and those of one that is just logging in.
const LET_GO_SLACK: Duration = Duration::from_secs(4);

fn handles(router: &Router) -> Vec<Arc<crate::routing::SessionHandle>> {
    let mut all = Vec::new();
    let mut shard = 0;
    while let Some(handles) = router.sessions.shard_snapshot(shard) {
        all.extend(handles);
        shard += 1;
    }
    all
}
