//! Hands: what takes what comes over the links.

use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use cluster::{
    directory::raft::RaftDirectory,
    link::{Class, Declined, Event, Frame, Handler, Request},
};
use tokio::sync::watch;

use super::{
    lines::{DIRECTORY, LEAVE},
    liveness::Liveness,
};
use crate::{intake::Intake, routing::peers::Kind};

/// See the file's head.
pub(super) struct Hands {
    pub(super) intake: Intake,
    pub(super) liveness: Arc<Liveness>,
    /// Who answers for the directory, if the nodes are it.
    pub(super) directory: OnceLock<Weak<RaftDirectory>>,
    /// Whether this life is over.
    pub(super) fallen: watch::Sender<bool>,
    /// Whether this node is to leave.
    pub(super) leave: watch::Sender<bool>,
    /// Something of the peers changed.
    pub(super) changed: watch::Sender<()>,
}

#[async_trait]
impl Handler for Hands {
    fn frame(&self, frame: Frame) {
        match (frame.class, Kind::of(frame.kind)) {
            // Its credit is given back when it is taken in: what it asks for counts where it goes on.
            (Class::Data, Some(kind)) => self.intake.frame(frame.from, kind, &frame.body),
            _ => tracing::warn!(node = frame.from.0, kind = frame.kind, "an unknown frame"),
        }
    }

    async fn request(&self, request: Request) -> Result<Bytes, Declined> {
        if request.kind == LEAVE {
            self.leave.send_replace(true);
            return Ok(Bytes::new());
        }
        let directory = self.directory.get().and_then(Weak::upgrade);
        match directory {
            Some(directory) if request.kind == DIRECTORY => {
                Ok(directory.handle(request.from, request.body).await)
            }
            _ => Err(Declined),
        }
    }

    fn event(&self, event: Event) {
        match &event {
            Event::Up(node) => tracing::debug!(node = node.0, "a link is up"),
            Event::Disowned(by) => {
                // It forgets nobody but whom the directory declared down; a node that leaves is, and says so itself.
                tracing::info!(by = by.0, "this life of the node was declared over");
                self.fallen.send_replace(true);
            }
            event => tracing::info!(?event, "links"),
        }
        self.liveness.hear(&event);
        self.changed.send_replace(());
    }
}
