//! Lines: the links as all parts of the room hold them, so that they can be closed while others still hold this.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use bytes::Bytes;
use cluster::{
    NodeId,
    directory::raft::{self, CallError},
    link::{Class, LaneInfo, LinkError, Links, PeerInfo, PeerState, TargetInfo, Unacknowledged},
};

/// What requests of the directory are called among requests.
pub(super) const DIRECTORY: u8 = 1;
/// What the request is called that has a node leave.
pub(super) const LEAVE: u8 = 2;
/// Requests beyond this are long transfers.
const LONG: usize = 64 << 10;

/// The links, until they are closed.
#[derive(Default)]
pub(super) struct Lines(ArcSwapOption<Links>);

impl Lines {
    /// From now on these are the links.
    pub(super) fn open(&self, links: Links) {
        self.0.store(Some(Arc::new(links)));
    }

    /// Ends them without a word.
    pub(super) fn close(&self) {
        self.0.store(None);
    }

    pub(super) fn links(&self) -> Option<Arc<Links>> {
        self.0.load_full()
    }

    /// Where others reach this node.
    pub(super) fn address(&self) -> String {
        let links = self.links();
        links.map_or_else(String::new, |links| links.address().to_owned())
    }

    pub(super) fn peers(&self) -> Vec<PeerInfo> {
        self.links().map_or_else(Vec::new, |links| links.peers())
    }

    pub(super) fn targets(&self) -> Vec<TargetInfo> {
        self.links().map_or_else(Vec::new, |links| links.targets())
    }

    pub(super) fn connect(&self, address: &str) {
        if let Some(links) = self.links() {
            links.connect(address);
        }
    }

    pub(super) fn disconnect(&self, address: &str) {
        if let Some(links) = self.links() {
            links.disconnect(address);
        }
    }

    /// Whether a node that is heard has not acknowledged all frames about accounts and clients. What the directory says goes on
    /// as long as it runs.
    pub(super) fn owes(&self) -> bool {
        let peers = self.peers();
        let mut heard = peers.iter().filter(|peer| peer.state == PeerState::Up);
        heard.any(|peer| {
            let data = |lane: &LaneInfo| lane.class == Class::Data && lane.queued_frames > 0;
            peer.lanes.iter().any(data)
        })
    }

    /// Ends a life: nothing comes from it any more. What it had not acknowledged.
    pub(super) fn forget(&self, node: NodeId) -> Vec<Unacknowledged> {
        let links = self.links();
        links.map_or_else(Vec::new, |links| links.forget(node))
    }
}

#[async_trait]
impl raft::Peers for Lines {
    fn known(&self) -> Vec<NodeId> {
        self.peers().into_iter().map(|peer| peer.node).collect()
    }

    async fn call(&self, to: NodeId, body: Bytes, within: Duration) -> Result<Bytes, CallError> {
        let links = self.links().ok_or(CallError::NotSent)?;
        let class = match body.len() > LONG {
            true => Class::Bulk,
            false => Class::Control,
        };
        let asked = links.request(to, class, DIRECTORY, body, within).await;
        asked.map_err(|error| match error {
            LinkError::Silent | LinkError::Closed => CallError::Unknown,
            _ => CallError::NotSent,
        })
    }
}
