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

mod accept;
mod admission;
mod config;
mod connection;
mod dial;
mod frame;
mod handler;
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

use std::{fmt, sync::Arc};

use bytes::Bytes;
use tokio::time::Duration;

pub use config::{Config, Limits, LinkStartError};
pub use dial::TargetInfo;
pub use frame::MAX_BODY;
pub use handler::{Declined, Event, Frame, Gone, Handler, LinkError, Request};
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

    /// The protocol that is spoken with a node, while it is known.
    pub fn protocol(&self, node: NodeId) -> Option<u16> {
        self.inner.peer(node).map(|peer| peer.protocol)
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
