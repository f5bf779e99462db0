//! Post: frames on their way to other nodes, all in the class where order is kept.
//!
//! Why a queue of its own: what asks for something may be refused when the way is full, and whoever asks knows what to do
//! then. An answer may not: who waits for it would wait for ever. So answers wait here until there is room, and nothing
//! overtakes them.
//! Bound: [`MAX_LATE`] for each node; what was asked has bounds of its own.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use cluster::{
    NodeId,
    link::{Class, LinkError},
};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::lines::Lines;
use crate::routing::peers::{Carried, Carrier, Kind};

/// Frames that wait for room on the way to one node: answers, and the bytes of pipes, which have windows.
const MAX_LATE: usize = 1 << 20;

type Late = HashMap<NodeId, VecDeque<(Kind, Bytes)>>;

/// See the file's head.
pub(super) struct Post {
    lines: Arc<Lines>,
    runtime: Handle,
    late: Mutex<Late>,
    /// Nodes in `late`.
    full: AtomicUsize,
}

/// Whether a frame waits for room: nobody would notice that it was refused.
fn waits(kind: Kind) -> bool {
    !kind.may_be_refused()
}

impl Post {
    /// Over these links; what waits is sent by tasks of this runtime.
    pub(super) fn new(lines: Arc<Lines>, runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            lines,
            runtime,
            late: Mutex::default(),
            full: AtomicUsize::new(0),
        })
    }

    fn try_send(&self, to: NodeId, kind: Kind, body: &Bytes) -> Result<(), LinkError> {
        let links = self.lines.links().ok_or(LinkError::Closed)?;
        links.try_send(to, Class::Data, kind as u8, body.clone())
    }

    /// Behind what waits, if something does; `None`: nothing waits for this node.
    fn behind(&self, to: NodeId, kind: Kind, body: &Bytes) -> Option<bool> {
        let mut late = self.late.lock();
        let queue = late.get_mut(&to)?;
        let takes = waits(kind) && queue.len() < MAX_LATE;
        if takes {
            queue.push_back((kind, body.clone()));
        }
        Some(takes)
    }

    /// Sends what waits, until nothing does.
    async fn send_late(self: Arc<Self>, to: NodeId) {
        loop {
            let first = {
                let mut late = self.late.lock();
                let first = late.get_mut(&to).and_then(VecDeque::pop_front);
                if first.is_none() && late.remove(&to).is_some() {
                    self.full.fetch_sub(1, Ordering::Release);
                }
                first
            };
            let Some((kind, body)) = first else { return };
            let Some(links) = self.lines.links() else {
                continue;
            };
            // To a node that is gone nothing is sent: its queue empties itself.
            let _ = links.send(to, Class::Data, kind as u8, body).await;
        }
    }
}

/// The carrier, which needs to hand itself to tasks.
pub(super) struct Carrying(pub(super) Arc<Post>);

impl Carrier for Carrying {
    fn send(&self, to: NodeId, kind: Kind, body: Bytes) -> Carried {
        let post = &self.0;
        if post.full.load(Ordering::Acquire) > 0
            && let Some(taken) = post.behind(to, kind, &body)
        {
            return if taken { Carried::Yes } else { Carried::Full };
        }
        match post.try_send(to, kind, &body) {
            Ok(()) => Carried::Yes,
            Err(LinkError::Full) if waits(kind) => {
                let mut late = post.late.lock();
                let is_new = !late.contains_key(&to);
                late.entry(to).or_default().push_back((kind, body));
                if is_new {
                    post.full.fetch_add(1, Ordering::Release);
                    post.runtime.spawn(post.clone().send_late(to));
                }
                Carried::Yes
            }
            Err(LinkError::Unknown | LinkError::Closed) => Carried::Gone,
            Err(_) => Carried::Full,
        }
    }

    fn is_known_to(&self, to: NodeId, kind: Kind) -> bool {
        let links = self.0.lines.links();
        let protocol = links.and_then(|links| links.protocol(to));
        protocol.is_some_and(|protocol| protocol >= kind.since())
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use cluster::link::{
        Config, Declined, Event, Frame, Handler, Limit, Limits, Links, PROTOCOLS, Request, Secret,
        Tcp,
    };
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

    use super::*;

    type Came = (Option<Kind>, Bytes);

    struct Keeps(UnboundedSender<Came>);

    #[async_trait]
    impl Handler for Keeps {
        fn frame(&self, frame: Frame) {
            self.0.send((Kind::of(frame.kind), frame.body)).unwrap();
        }
        async fn request(&self, _: Request) -> Result<Bytes, Declined> {
            Err(Declined)
        }
        fn event(&self, _: Event) {}
    }

    /// Links with little room, and what comes over them.
    async fn end(node: u64) -> (Arc<Lines>, UnboundedReceiver<Came>) {
        let (came, comes) = unbounded_channel();
        let (frames, bytes) = (8, 1_024);
        let config = Config {
            node: NodeId(node),
            name: "n".to_owned(),
            cluster: "tests".to_owned(),
            listen: "127.0.0.1:0".to_owned(),
            advertised: None,
            secrets: vec![Secret::new(b"sixteen bytes...").unwrap()],
            facts: Bytes::new(),
            protocols: PROTOCOLS,
            limits: Limits {
                data: Limit { frames, bytes },
                ..Limits::default()
            },
            network: Arc::new(Tcp),
        };
        let lines = Arc::new(Lines::default());
        lines.open(Links::start(config, Arc::new(Keeps(came))).await.unwrap());
        (lines, comes)
    }

    #[tokio::test]
    async fn answers_wait_for_room_in_their_order_and_what_asks_is_refused() {
        let ((one, _kept), (two, mut comes)) = (end(1).await, end(2).await);
        one.connect(&two.address());
        while one.peers().is_empty() {
            tokio::task::yield_now().await;
        }
        let post = Post::new(one.clone(), Handle::current());
        let carrier = Carrying(post.clone());
        let body = |number: u32| Bytes::copy_from_slice(&number.to_be_bytes());
        for number in 0..1_000 {
            assert_eq!(
                carrier.send(NodeId(2), Kind::Done, body(number)),
                Carried::Yes
            );
        }
        // Nothing was written yet: this task has not rested.
        assert_eq!(carrier.send(NodeId(2), Kind::Route, body(0)), Carried::Full);
        for number in 0..1_000 {
            assert_eq!(comes.recv().await, Some((Some(Kind::Done), body(number))));
        }
        while post.full.load(Ordering::Acquire) > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(carrier.send(NodeId(2), Kind::Route, body(7)), Carried::Yes);
        assert_eq!(comes.recv().await, Some((Some(Kind::Route), body(7))));
        assert_eq!(carrier.send(NodeId(3), Kind::Done, body(0)), Carried::Gone);
    }
}
