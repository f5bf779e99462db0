//! Links: one ordered, acknowledged, credit-limited way to each peer.
//!
//! A pair of nodes has three connections, one for each [`Class`], so that nothing large stands in the way of a heartbeat.
//! Each is TLS 1.3 between keys that processes make for themselves; the cluster secret, proven over keying material that TLS
//! exports, says who belongs ([`Secret`]). What is sent is kept until the other side acknowledged it, and written again on the next
//! connection; the other side drops what it has seen. So between two living processes every message arrives exactly once and
//! in order for each class, however often connections break.
//!
//! A [`NodeId`] is one life of a node. Whether a life is over is not for links to decide: they tell that a peer is silent or
//! its process gone ([`Event`]), and [`Links::forget`] ends it, gives back what was not acknowledged, and refuses that life from
//! then on. A new life is a new peer and gets nothing that was meant for an old one.
//!
//! Nothing here persists: acknowledged means that the other process handed it to its [`Handler`].

mod admission;
mod connection;
mod dial;
mod frame;
mod handshake;
mod hello;
mod inbound;
mod inner;
mod lane;
mod monitor;
mod network;
mod outbound;
mod peer;
mod request;
mod secret;
mod tls;

#[cfg(test)]
mod tests;

use std::{fmt, io, ops::RangeInclusive, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Duration, Instant};

pub use dial::TargetInfo;
pub use frame::MAX_BODY;
pub use hello::{MAX_FACTS, PROTOCOLS, Refusal};
pub use inbound::{Credit, Limit};
use inner::Inner;
pub use monitor::{LaneInfo, PeerInfo, PeerState};
pub use network::{Listener, Network, Stream, Tcp};
use outbound::Letter;
pub use outbound::Unacknowledged;
pub use secret::{MAX_SECRETS, Secret, TooShort};

use crate::NodeId;

/// What a connection is for. Order is kept within a class, not between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// The cluster's own affairs: heartbeats, directory.
    Control = 0,
    /// Stanzas and what belongs to them.
    Data = 1,
    /// Long transfers: snapshots, hand-overs.
    Bulk = 2,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Control, Self::Data, Self::Bulk];
    fn of(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }
}

/// For each class: what may be queued to a peer, and what it may have sent that this node's caller still holds. Frames in the
/// sender's queue count 64 bytes more than their body.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of [`Class::Control`].
    pub control: Limit,
    /// Of [`Class::Data`].
    pub data: Limit,
    /// Of [`Class::Bulk`].
    pub bulk: Limit,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u32 = 1024 * 1024;
        let limit = |frames, bytes| Limit { frames, bytes };
        Self {
            control: limit(8_192, 4 * MIB),
            data: limit(32_768, 8 * MIB),
            bulk: limit(1_024, 8 * MIB),
        }
    }
}

impl Limits {
    fn of(&self, class: Class) -> Limit {
        match class {
            Class::Control => self.control,
            Class::Data => self.data,
            Class::Bulk => self.bulk,
        }
    }
}

/// What links need to know.
#[derive(Clone)]
pub struct Config {
    /// This life of this node: random, and never used before.
    pub node: NodeId,
    /// The node's name, for people.
    pub name: String,
    /// The cluster's name: others are refused.
    pub cluster: String,
    /// Where to listen, `host:port`.
    pub listen: String,
    /// Where others reach this node; where it listens, if absent. Others take a refused connection there as the end of this
    /// process.
    pub advertised: Option<String>,
    /// The cluster's secrets, the current one first.
    pub secrets: Vec<Secret>,
    /// What this node tells others of itself; at most [`MAX_FACTS`] bytes.
    pub facts: Bytes,
    /// The protocols to speak: [`PROTOCOLS`].
    pub protocols: RangeInclusive<u16>,
    /// Bounds.
    pub limits: Limits,
    /// The network.
    pub network: Arc<dyn Network>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Config({:?} {:?} of {:?})",
            self.node, self.name, self.cluster
        )
    }
}

/// A message from a peer.
#[derive(Debug)]
pub struct Frame {
    /// From whom.
    pub from: NodeId,
    /// In which class.
    pub class: Class,
    /// The sender's kind.
    pub kind: u8,
    /// As it was sent; an allocation of its own, or one that it mostly fills.
    pub body: Bytes,
    /// What it takes of its sender's credit until this is dropped.
    pub credit: Credit,
}

/// A request from a peer. It takes of the peer's credit until its answer has arrived.
#[derive(Debug)]
pub struct Request {
    /// From whom.
    pub from: NodeId,
    /// In which class.
    pub class: Class,
    /// The sender's kind.
    pub kind: u8,
    /// As it was sent.
    pub body: Bytes,
}

/// A request is not done, nor was any part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declined;

/// Why a peer's process is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// Its host refuses connections to its address.
    Refused,
    /// Another life answers there.
    Replaced(NodeId),
}

/// What became of a peer. Told one by one, and a state that lasts is always told; one that came and went meanwhile may not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A new peer.
    Up(NodeId),
    /// Nothing was heard of it since then, which is more than 600 ms ago by this node's monotonic clock.
    Silent(NodeId, Instant),
    /// Its process is gone.
    Gone(NodeId, Gone),
    /// It is heard again after it was silent or gone.
    Again(NodeId),
    /// This peer declared this node's life over and will not talk to it again. Repeated as long as it is dialled.
    Disowned(NodeId),
    /// This process did not run for so long, so silence is measured anew: others may have declared it over meanwhile.
    Stalled(Duration),
}

/// What takes what comes.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Takes a message. Called one by one for each peer and class, in order. Must not block: the connection waits for it. A
    /// message counts as delivered when this begins.
    fn frame(&self, frame: Frame);
    /// Answers a request; requests run beside each other and messages do not wait for them. Dropped if the peer gives up.
    ///
    /// # Errors
    /// It will not, and did nothing.
    async fn request(&self, request: Request) -> Result<Bytes, Declined>;
    /// Hears what became of peers. Called one by one. Must not block.
    fn event(&self, event: Event);
}

/// Why something was not sent, or not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// There is no such peer, or its life is over. Nothing was sent.
    #[error("no such peer")]
    Unknown,
    /// The peer declined: nothing was done.
    #[error("the peer declined")]
    Refused,
    /// No answer in time. It may have been done.
    #[error("no answer in time")]
    Silent,
    /// The peer's life was declared over meanwhile. A request may have been done.
    #[error("the peer's life is over")]
    Closed,
    /// As much as may be waits for this peer. Nothing was sent.
    #[error("too much waits for this peer")]
    Full,
    /// The body is larger than [`MAX_BODY`], or than the class' limit. Nothing was sent.
    #[error("the body is too large")]
    TooLarge,
}

/// Why links do not start.
#[derive(Debug, thiserror::Error)]
pub enum LinkStartError {
    /// Nobody could prove anything: none, or more than [`MAX_SECRETS`].
    #[error("there must be a cluster secret, and at most {MAX_SECRETS}")]
    Secrets,
    /// Names are too long, facts too many, or there is no protocol.
    #[error("this node's own hello would be refused: {0}")]
    Hello(Refusal),
    /// No key.
    #[error("cannot make a key: {0}")]
    Key(String),
    /// No TLS.
    #[error("cannot use TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// It cannot listen.
    #[error("cannot listen at {0:?}: {1}")]
    Listen(String, #[source] io::Error),
}

/// The links of this node. They end when this is dropped, without a word to anybody.
pub struct Links {
    inner: Arc<Inner>,
}

impl Links {
    /// Listens, and dials nobody yet.
    ///
    /// # Errors
    /// See [`LinkStartError`].
    pub async fn start(config: Config, handler: Arc<dyn Handler>) -> Result<Self, LinkStartError> {
        let inner = Inner::start(config, handler).await?;
        Ok(Self { inner })
    }

    /// Where others reach this node.
    pub fn address(&self) -> &str {
        &self.inner.advertised
    }

    /// Dials this address and keeps a link to whoever is there, until told to stop. Repeats do nothing. At most 1,024
    /// addresses are kept; more are left out with an error in the log.
    pub fn connect(&self, address: &str) {
        self.inner.connect(address);
    }
    /// Stops dialling what [`Self::connect`] was told to. A peer that is known stays, at the address that it advertises.
    pub fn disconnect(&self, address: &str) {
        self.inner.disconnect(address);
    }

    /// Sends a message, if there is room. It is queued also while there is no connection.
    ///
    /// # Errors
    /// `Unknown`, `Closed`, `Full`, `TooLarge`: nothing was sent.
    pub fn try_send(
        &self,
        to: NodeId,
        class: Class,
        kind: u8,
        body: Bytes,
    ) -> Result<(), LinkError> {
        let peer = self.inner.peer(to).ok_or(LinkError::Unknown)?;
        peer.lane(class).try_send(message(kind, body))
    }
    /// Sends a message once there is room.
    ///
    /// # Errors
    /// `Unknown`, `Closed`, `TooLarge`: nothing was sent.
    ///
    /// # Cancel safety
    /// It is sent or it is not.
    pub async fn send(
        &self,
        to: NodeId,
        class: Class,
        kind: u8,
        body: Bytes,
    ) -> Result<(), LinkError> {
        let peer = self.inner.peer(to).ok_or(LinkError::Unknown)?;
        peer.lane(class).send(message(kind, body)).await
    }

    /// Asks, and waits for the answer. If the caller goes, the work is cancelled, or never begun.
    /// Requests are ordered among messages; answers come as they are ready and may overtake messages.
    ///
    /// # Errors
    /// `Silent` and `Closed`: it may have been done; the others: it was not. At most 8,192 wait for answers of a peer, more
    /// are `Full`.
    pub async fn request(
        &self,
        to: NodeId,
        class: Class,
        kind: u8,
        body: Bytes,
        within: Duration,
    ) -> Result<Bytes, LinkError> {
        let peer = self.inner.peer(to).ok_or(LinkError::Unknown)?;
        let asked = peer.ask(class, kind, body);
        let answered = tokio::time::timeout(within, asked).await;
        answered.unwrap_or(Err(LinkError::Silent))
    }

    /// Ends a peer's life: its connections close, that life is refused from now on, and what it did not acknowledge comes back
    /// in order for each class. Requests are not given back; who waits for them gets `Closed`. A handler may be inside of
    /// one last message of this peer when this returns.
    pub fn forget(&self, node: NodeId) -> Vec<Unacknowledged> {
        self.inner.forget(node)
    }

    /// The peers, and how they are.
    pub fn peers(&self) -> Vec<PeerInfo> {
        self.inner.peer_infos()
    }
    /// The addresses that are dialled, and what was wrong at last.
    pub fn targets(&self) -> Vec<TargetInfo> {
        self.inner.targets()
    }

    /// Replaces the secrets for connections to come; those that are, stay.
    ///
    /// # Errors
    /// [`LinkStartError::Secrets`].
    pub fn set_secrets(&self, secrets: Vec<Secret>) -> Result<(), LinkStartError> {
        self.inner.set_secrets(secrets)
    }

    /// Whether all that was sent was acknowledged within this time.
    pub async fn settled(&self, within: Duration) -> bool {
        let settled = async {
            while self.inner.has_unacknowledged() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(within, settled).await.is_ok()
    }
}

fn message(kind: u8, body: Bytes) -> Letter {
    Letter {
        what: frame::What::Message,
        kind,
        id: 0,
        body,
        held: None,
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.inner.stop();
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Links({:?})", self.inner.config.node)
    }
}
