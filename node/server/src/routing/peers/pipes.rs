//! Pipes between nodes: one end is where the client's socket is, the other at its session.
//!
//! Stored: a pipe holds its window.

use std::sync::Arc;

use bytes::Bytes;
use cluster::NodeId;
use hashbrown::HashMap;
use parking_lot::Mutex;

use super::{Kind, Peers, frame};
use crate::net::{Far, Notice, Pipe, PipeHandle};

/// The pipes that end here, by the other node and their number for this end.
#[derive(Default)]
pub(super) struct Pipes(Mutex<HashMap<(NodeId, u64), PipeHandle>>);

impl Pipes {
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// A node is gone: nothing comes from it any more.
    pub(super) fn gone(&self, node: NodeId) {
        let ended: Vec<_> = self.0.lock().extract_if(|(of, _), _| *of == node).collect();
        for (_, handle) in ended {
            handle.end(false);
        }
    }
}

impl Peers {
    /// A new pipe to a node, and its number.
    pub fn open(self: &Arc<Self>, node: NodeId) -> (Pipe, u64) {
        let number = self.number();
        (self.pipe(node, number), number)
    }

    /// The other end of a pipe that a node opened under this number.
    pub fn accept(self: &Arc<Self>, node: NodeId, number: u64) -> Pipe {
        self.pipe(node, number | frame::TO_FRONT)
    }

    /// What comes back has the number of this end.
    fn pipe(self: &Arc<Self>, node: NodeId, number: u64) -> Pipe {
        let key = (node, number ^ frame::TO_FRONT);
        let (pipe, handle) = Pipe::new(FarNode {
            peers: self.clone(),
            node,
            number,
            key,
        });
        self.pipes.0.lock().insert(key, handle);
        pipe
    }

    /// Bytes of a pipe, credit for it, what is said of it, or its end.
    pub fn piped(&self, from: NodeId, kind: Kind, body: &Bytes) {
        let Some((number, rest)) = frame::split(body) else {
            return;
        };
        let pipe = self.pipes.0.lock().get(&(from, number)).cloned();
        let Some(pipe) = pipe else {
            // Its end has crossed this on the way.
            return;
        };
        let taken = match kind {
            Kind::Credit => {
                pipe.credit(frame::count(&rest));
                true
            }
            Kind::End => {
                pipe.end(rest.first() == Some(&1));
                true
            }
            Kind::Notice => frame::noticed(&rest).is_some_and(|notice| pipe.notice(notice)),
            _ => pipe.data(&rest),
        };
        if !taken {
            // More than it has room for, or nonsense: whoever sends that is not to be trusted with it.
            pipe.end(false);
        }
    }

    /// How many pipes end here.
    pub fn pipes(&self) -> usize {
        self.pipes.len()
    }
}

/// The other end of a pipe, on its node.
struct FarNode {
    peers: Arc<Peers>,
    node: NodeId,
    number: u64,
    key: (NodeId, u64),
}

impl Far for FarNode {
    fn data(&self, bytes: Bytes) -> bool {
        let body = frame::numbered(self.number, &bytes);
        self.peers.send(self.node, Kind::Bytes, body)
    }

    fn credit(&self, bytes: usize) {
        let body = frame::numbered(self.number, &(bytes as u64).to_be_bytes());
        self.peers.send(self.node, Kind::Credit, body);
    }

    fn notice(&self, notice: Notice) -> bool {
        let body = frame::notice(self.number, &notice);
        self.peers.is_known_to(self.node, Kind::Notice)
            && self.peers.send(self.node, Kind::Notice, body)
    }

    fn end(&self, clean: bool) {
        let body = frame::numbered(self.number, &[u8::from(clean)]);
        self.peers.send(self.node, Kind::End, body);
    }
}

impl Drop for FarNode {
    fn drop(&mut self) {
        self.peers.pipes.0.lock().remove(&self.key);
    }
}
