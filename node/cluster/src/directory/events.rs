//! What happens in the directory, in its order, for any number of listeners who may be slow.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::{Event, View};

/// How many notices a listener may be behind before it is told [`Notice::Resync`] instead.
pub const NOTICES_MAX: usize = 8_192;

/// What a listener hears.
#[derive(Debug, Clone)]
pub enum Notice {
    /// What one command brought about.
    Happened(Arc<[Event]>),
    /// Members came, went or moved on.
    View(Arc<View>),
    /// A new generation began and knows nobody yet: say again what this node holds, in chunks, once it is a member of
    /// the view.
    Replaced,
    /// This life was declared down: nothing it says counts any more. Begin a new one, and say again what it holds.
    Fallen,
    /// Notices were missed, by a slow listener or because the replica was behind by more than the log holds: look at
    /// everything anew, also whether the sessions that this node holds are still there.
    Resync,
}

/// Tells listeners.
#[derive(Debug, Clone)]
pub struct Hub(broadcast::Sender<Notice>);

impl Default for Hub {
    fn default() -> Self {
        Self(broadcast::Sender::new(NOTICES_MAX))
    }
}

impl Hub {
    /// Tells all listeners; nobody is waited for.
    pub fn tell(&self, notice: Notice) {
        // Without listeners there is nobody to be told.
        let _ = self.0.send(notice);
    }

    /// Listens from now on.
    pub fn listen(&self) -> Events {
        Events(self.0.subscribe())
    }
}

/// A stream of notices.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Notice>);

impl Events {
    /// The next notice; `None` when the directory is gone.
    ///
    /// # Cancel safety
    /// Nothing is lost if it is dropped.
    pub async fn next(&mut self) -> Option<Notice> {
        match self.0.recv().await {
            Ok(notice) => Some(notice),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Notice::Resync),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_too_slow_is_told_so_and_goes_on_in_order() {
        let hub = Hub::default();
        let mut events = hub.listen();
        for _ in 0..NOTICES_MAX + 1 {
            hub.tell(Notice::Replaced);
        }
        assert!(matches!(events.next().await, Some(Notice::Resync)));
        for _ in 0..NOTICES_MAX {
            assert!(matches!(events.next().await, Some(Notice::Replaced)));
        }
        drop(hub);
        assert!(events.next().await.is_none());
    }
}
