//! What comes out of links: messages, requests, events; and why something does not go in.

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Duration, Instant};

use super::{Class, Credit};
use crate::NodeId;

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
    /// The body is larger than [`super::MAX_BODY`], or than the class' limit. Nothing was sent.
    #[error("the body is too large")]
    TooLarge,
}
