//! The barrier: after a change of the view a room that is loaded waits until every other node has told who is in it.
//!
//! Why: a message that is said before would not be heard by those who are told of later. A node that is silent is waited for
//! no longer than [`PATIENCE`].

use std::{collections::HashSet, time::Duration};

use cluster::NodeId;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// How long nodes may take to tell.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who has not told yet.
#[derive(Default)]
pub(super) struct Barrier {
    expected: Mutex<Expected>,
    told: Notify,
}

#[derive(Default)]
struct Expected {
    epoch: u64,
    nodes: HashSet<NodeId>,
}

impl Barrier {
    /// These are to tell, for the view of this epoch.
    pub(super) fn expect(&self, epoch: u64, nodes: &[NodeId]) {
        let mut expected = self.expected.lock();
        if epoch >= expected.epoch {
            *expected = Expected {
                epoch,
                nodes: nodes.iter().copied().collect(),
            };
        }
        drop(expected);
        self.told.notify_waiters();
    }

    /// One has told all, for the view of this epoch or a later one.
    pub(super) fn told(&self, epoch: u64, by: NodeId) {
        let mut expected = self.expected.lock();
        if epoch >= expected.epoch {
            expected.nodes.remove(&by);
        }
        drop(expected);
        self.told.notify_waiters();
    }

    /// Waits until all have told.
    pub(super) async fn wait(&self) {
        let all = async {
            loop {
                let told = self.told.notified();
                if self.expected.lock().nodes.is_empty() {
                    return;
                }
                told.await;
            }
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            let mut expected = self.expected.lock();
            tracing::warn!(
                nodes = expected.nodes.len(),
                "nodes did not tell who is in rooms"
            );
            expected.nodes.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Waker},
    };

    use super::*;

    /// Whether it is ready.
    fn poll(future: &mut Pin<Box<impl Future<Output = ()>>>) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        future.as_mut().poll(&mut cx).is_ready()
    }

    #[tokio::test(start_paused = true)]
    async fn all_are_waited_for_but_not_for_ever() {
        let barrier = Barrier::default();
        barrier.wait().await;
        let (one, two) = (NodeId(1), NodeId(2));
        barrier.expect(5, &[one, two]);
        barrier.told(5, one);
        // Of an earlier view.
        barrier.told(4, two);
        let mut waiting = Box::pin(barrier.wait());
        assert!(!poll(&mut waiting));
        barrier.told(6, two);
        assert!(poll(&mut waiting));
        barrier.expect(7, &[one]);
        barrier.wait().await;
        // Nobody waits for who was silent once more.
        assert!(poll(&mut Box::pin(barrier.wait())));
    }
}
