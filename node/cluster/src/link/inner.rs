//! What the tasks of the links share: configuration, secrets, peers, addresses to dial.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    future::Future,
    sync::Arc,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
};

use super::{
    Class, Config, Gone, Handler, LinkStartError, MAX_SECRETS, Secret,
    dial::Target,
    handshake::Introduced,
    hello::{Hello, Refusal},
    outbound::Unacknowledged,
    peer::Peer,
    tls::Tls,
};
use crate::NodeId;

/// Peers at once.
const MAX_PEERS: usize = 1_024;
/// Lives that are over and remembered as such. One that is older than these is known by the memory that it has of this node.
const MAX_OVER: usize = 16 * 1024;

type Peers = HashMap<NodeId, Arc<Peer>>;

/// Lives that are over, oldest first.
#[derive(Default)]
struct Over {
    lives: HashSet<NodeId>,
    order: VecDeque<NodeId>,
}

/// See the file's head.
pub(super) struct Inner {
    pub(super) config: Config,
    pub(super) advertised: String,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) tls: Tls,
    pub(super) secrets: ArcSwap<Vec<Secret>>,
    pub(super) targets: Mutex<HashMap<String, Target>>,
    /// Something of the peers changed: who dials and who watches look again.
    pub(super) changed: watch::Sender<()>,
    peers: ArcSwap<Peers>,
    over: Mutex<Over>,
    /// By whom this life was declared over, since it was told last; [`MAX_PEERS`] at most.
    pub(super) disowned: Mutex<HashSet<NodeId>>,
    /// `None` once they are stopped.
    tasks: Mutex<Option<JoinSet<()>>>,
}

/// Secrets, if they are as many as may be.
fn checked(secrets: Vec<Secret>) -> Result<Vec<Secret>, LinkStartError> {
    if secrets.is_empty() || secrets.len() > MAX_SECRETS {
        return Err(LinkStartError::Secrets);
    }
    Ok(secrets)
}

/// A random number.
fn number() -> u64 {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    u64::from_ne_bytes(bytes)
}

impl Inner {
    pub(super) async fn start(
        config: Config,
        handler: Arc<dyn Handler>,
    ) -> Result<Arc<Self>, LinkStartError> {
        let secrets = ArcSwap::from_pointee(checked(config.secrets.clone())?);
        let tls = Tls::new()?;
        let listening = config.network.listen(&config.listen).await;
        let listener =
            listening.map_err(|error| LinkStartError::Listen(config.listen.clone(), error))?;
        let advertised = config
            .advertised
            .clone()
            .unwrap_or_else(|| listener.address());
        match Hello::of(&config, &advertised, Class::Control).judge(&config) {
            Err(Refusal::Myself) => {}
            Err(refusal) => return Err(LinkStartError::Hello(refusal)),
            Ok(_) => unreachable!("it is its own"),
        }
        let inner = Arc::new(Self {
            config,
            advertised,
            handler,
            tls,
            secrets,
            targets: Mutex::default(),
            changed: watch::Sender::new(()),
            peers: ArcSwap::default(),
            over: Mutex::default(),
            disowned: Mutex::default(),
            tasks: Mutex::new(Some(JoinSet::new())),
        });
        inner.spawn(inner.clone().accept(listener));
        inner.spawn(super::monitor::run(inner.clone()));
        Ok(inner)
    }

    /// Runs a task until it ends or the links are stopped; `None`: they are.
    pub(super) fn spawn(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Option<AbortHandle> {
        let mut tasks = self.tasks.lock();
        let tasks = tasks.as_mut()?;
        while let Some(ended) = tasks.try_join_next() {
            if ended.is_err_and(|error| error.is_panic()) {
                tracing::error!("a task of a link panicked");
            }
        }
        Some(tasks.spawn(task))
    }

    pub(super) fn stop(&self) {
        let tasks = self.tasks.lock().take();
        drop(tasks);
        self.peers.load().values().for_each(|peer| {
            peer.end();
        });
    }

    pub(super) fn set_secrets(&self, secrets: Vec<Secret>) -> Result<(), LinkStartError> {
        self.secrets.store(Arc::new(checked(secrets)?));
        Ok(())
    }

    pub(super) fn peer(&self, node: NodeId) -> Option<Arc<Peer>> {
        self.peers.load().get(&node).cloned()
    }
    pub(super) fn peers(&self) -> Arc<Peers> {
        self.peers.load_full()
    }
    pub(super) fn has_unacknowledged(&self) -> bool {
        let peers = self.peers();
        let mut lanes = peers.values().flat_map(|peer| peer.lanes());
        lanes.any(|lane| lane.outbound.lock().queued().0 > 0)
    }

    pub(super) fn hello(&self, class: Class) -> Hello {
        Hello::of(&self.config, &self.advertised, class)
    }
    /// The protocol to speak with the sender of this hello.
    pub(super) fn judge(&self, hello: &Hello) -> Result<u16, Refusal> {
        let protocol = hello.judge(&self.config)?;
        if self.over.lock().lives.contains(&hello.node()) {
            return Err(Refusal::Over);
        }
        let peers = self.peers.load();
        if peers.len() >= MAX_PEERS && !peers.contains_key(&hello.node()) {
            return Err(Refusal::TooMany);
        }
        Ok(protocol)
    }

    /// The peer of this hello: known, or new.
    pub(super) fn meet(self: &Arc<Self>, introduced: &Introduced) -> Result<Arc<Peer>, Refusal> {
        let hello = &introduced.hello;
        let over = self.over.lock();
        if over.lives.contains(&hello.node()) {
            return Err(Refusal::Over);
        }
        if let Some(peer) = self.peer(hello.node()) {
            return Ok(peer);
        }
        let mut peers = Peers::clone(&self.peers.load());
        if peers.len() >= MAX_PEERS {
            return Err(Refusal::TooMany);
        }
        let (limits, dialled) = (&self.config.limits, introduced.is_dialler);
        let peer = Arc::new(Peer::new(
            hello,
            introduced.protocol,
            limits,
            dialled,
            number(),
        ));
        peers.insert(peer.node, peer.clone());
        self.peers.store(Arc::new(peers));
        drop(over);
        self.dial_peer(&peer);
        Ok(peer)
    }

    pub(super) fn forget(&self, node: NodeId) -> Vec<Unacknowledged> {
        let mut over = self.over.lock();
        if over.lives.insert(node) {
            over.order.push_back(node);
        }
        if over.order.len() > MAX_OVER
            && let Some(oldest) = over.order.pop_front()
        {
            over.lives.remove(&oldest);
        }
        let mut peers = Peers::clone(&self.peers.load());
        let peer = peers.remove(&node);
        self.peers.store(Arc::new(peers));
        drop(over);
        let left = peer.map(|peer| peer.end()).unwrap_or_default();
        self.changed.send_replace(());
        left
    }

    /// A peer declared this life over, which the monitor tells.
    pub(super) fn is_disowned_by(&self, node: NodeId) {
        let mut disowned = self.disowned.lock();
        if disowned.len() < MAX_PEERS {
            disowned.insert(node);
        }
        drop(disowned);
        self.changed.send_replace(());
    }

    /// Others that were at this address before are gone.
    pub(super) fn gone_from(&self, address: &str, gone: Gone) {
        for peer in self.peers.load().values() {
            let is_gone = match gone {
                Gone::Refused => peer.lane(Class::Control).dial_from().is_some(),
                Gone::Replaced(node) => peer.node != node,
            };
            if peer.address == address && is_gone {
                *peer.gone.lock() = Some(gone);
            }
        }
        self.changed.send_replace(());
    }
}
