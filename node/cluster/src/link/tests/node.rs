//! A node that writes down what its handler hears.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Duration, timeout},
};

use super::network::Net;
use crate::{
    NodeId,
    link::{
        Class, Config, Credit, Declined, Event, Frame, Handler, Limits, Links, PROTOCOLS, Request,
        Secret, Tcp,
    },
};

/// A node's configuration.
pub(in crate::link) fn config(node: u64) -> Config {
    Config {
        node: NodeId(node),
        name: format!("node {node}"),
        cluster: "test".to_owned(),
        listen: "127.0.0.1:0".to_owned(),
        advertised: None,
        secrets: vec![Secret::new(b"a secret of the cluster").unwrap()],
        facts: Bytes::new(),
        protocols: PROTOCOLS,
        limits: Limits::default(),
        network: Arc::new(Tcp),
    }
}

/// What was heard.
#[derive(Default)]
pub(in crate::link) struct Heard {
    pub(in crate::link) frames: Vec<(NodeId, Class, u8, Bytes)>,
    pub(in crate::link) events: Vec<Event>,
    /// Kept if the node is told to keep them.
    pub(in crate::link) credits: Vec<Credit>,
    /// Requests that were begun, and that were dropped before their end.
    pub(in crate::link) begun: usize,
    pub(in crate::link) dropped: usize,
    pub(in crate::link) keeps: bool,
}

pub(in crate::link) struct Recorder {
    heard: Mutex<Heard>,
    changed: watch::Sender<u64>,
}

impl Recorder {
    pub(in crate::link) fn note<T>(&self, note: impl FnOnce(&mut Heard) -> T) -> T {
        let noted = note(&mut self.heard.lock());
        self.changed.send_modify(|changes| *changes += 1);
        noted
    }
}

/// The kind of a message that its handler does not survive.
pub(in crate::link) const PANIC: u8 = 99;
/// Kinds of requests, and what is done with them.
pub(in crate::link) const ECHO: u8 = 1;
pub(in crate::link) const DECLINE: u8 = 2;
pub(in crate::link) const NEVER: u8 = 3;

struct Dropped<'a>(&'a Recorder);
impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.note(|heard| heard.dropped += 1);
    }
}

#[async_trait]
impl Handler for Recorder {
    fn frame(&self, frame: Frame) {
        assert_ne!(frame.kind, PANIC, "as it was told");
        self.note(|heard| {
            let (from, class, kind) = (frame.from, frame.class, frame.kind);
            heard.frames.push((from, class, kind, frame.body));
            if heard.keeps {
                heard.credits.push(frame.credit);
            }
        });
    }
    async fn request(&self, request: Request) -> Result<Bytes, Declined> {
        self.note(|heard| heard.begun += 1);
        match request.kind {
            ECHO => Ok(request.body),
            DECLINE => Err(Declined),
            _ => {
                let _dropped = Dropped(self);
                std::future::pending().await
            }
        }
    }
    fn event(&self, event: Event) {
        self.note(|heard| heard.events.push(event));
    }
}

/// A node.
pub(in crate::link) struct Node {
    pub(in crate::link) id: NodeId,
    pub(in crate::link) links: Links,
    pub(in crate::link) recorder: Arc<Recorder>,
}

impl Node {
    pub(in crate::link) async fn start(config: Config) -> Self {
        let recorder = Arc::new(Recorder {
            heard: Mutex::default(),
            changed: watch::Sender::default(),
        });
        let id = config.node;
        let links = Links::start(config, recorder.clone()).await.unwrap();
        Self {
            id,
            links,
            recorder,
        }
    }
    /// On the host of this name.
    pub(in crate::link) async fn on(net: &Net, host: &str, node: u64) -> Self {
        Self::with(net, host, node, |_| ()).await
    }
    pub(in crate::link) async fn with(
        net: &Net,
        host: &str,
        node: u64,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = config(node);
        config.network = net.host(host);
        change(&mut config);
        Self::start(config).await
    }
    /// Waits until this was heard; panics after two minutes (which take no time).
    pub(in crate::link) async fn hears(&self, mut is_so: impl FnMut(&Heard) -> bool) {
        let mut changed = self.recorder.changed.subscribe();
        let heard = async {
            while !is_so(&self.recorder.heard.lock()) {
                changed.changed().await.unwrap();
            }
        };
        let heard = timeout(Duration::from_secs(120), heard).await;
        heard.unwrap_or_else(|_| panic!("{:?} hears: {:?}", self.id, self.events()));
    }
    /// Waits until this was told.
    pub(in crate::link) async fn told(&self, event: &Event) {
        self.hears(|heard| heard.events.contains(event)).await;
    }
    /// Waits until this peer has all its connections.
    pub(in crate::link) async fn connected(&self, node: NodeId) {
        let connected = async {
            while !self.is_connected(node) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let connected = timeout(Duration::from_secs(120), connected).await;
        connected.unwrap_or_else(|_| panic!("{:?}", self.links.peers()));
    }
    pub(in crate::link) fn is_connected(&self, node: NodeId) -> bool {
        let peers = self.links.peers();
        let mut found = peers.iter().filter(|peer| peer.node == node);
        found.any(|peer| peer.lanes.iter().all(|lane| lane.is_connected))
    }
    pub(in crate::link) fn events(&self) -> Vec<Event> {
        self.recorder.note(|heard| heard.events.clone())
    }
    /// Bodies of this class, as numbers.
    pub(in crate::link) fn numbers(&self, from: NodeId, class: Class) -> Vec<u64> {
        self.recorder.note(|heard| {
            let of = heard.frames.iter().filter(|f| f.0 == from && f.1 == class);
            of.map(|f| u64::from_be_bytes(f.3[..8].try_into().unwrap()))
                .collect()
        })
    }
}

/// A body that says its number.
pub(in crate::link) fn body(number: u64, length: usize) -> Bytes {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(length.max(8), 0);
    body.into()
}

/// Two nodes that are linked.
pub(super) async fn pair(net: &Net) -> (Node, Node) {
    let (a, b) = (Node::on(net, "a", 1).await, Node::on(net, "b", 2).await);
    a.links.connect("b");
    a.connected(b.id).await;
    b.connected(a.id).await;
    (a, b)
}
