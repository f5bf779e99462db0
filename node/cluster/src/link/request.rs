//! Requests: who waits for which answer, and which of the other side's are being worked on.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{sync::oneshot, task::AbortHandle};

use super::{Class, LinkError, frame::What, outbound::Letter, peer::Peer};

/// Requests to one peer that wait for an answer at once.
pub(super) const MAX_PENDING: usize = 8 * 1024;

type Answer = Result<Bytes, LinkError>;

struct Waiting {
    answer: oneshot::Sender<Answer>,
    is_written: bool,
}

/// Requests that wait for their answers; `None` once there will be none.
pub(super) struct Pending {
    next: AtomicU64,
    waiting: Mutex<Option<HashMap<u64, Waiting>>>,
}

impl Pending {
    pub(super) fn new() -> Self {
        let waiting = Mutex::new(Some(HashMap::new()));
        Self {
            next: AtomicU64::new(0),
            waiting,
        }
    }
    /// A request's id, and where its answer will come.
    pub(super) fn open(&self) -> Result<(u64, oneshot::Receiver<Answer>), LinkError> {
        let mut waiting = self.waiting.lock();
        let waiting = waiting.as_mut().ok_or(LinkError::Closed)?;
        if waiting.len() >= MAX_PENDING {
            return Err(LinkError::Full);
        }
        let id = self.next.fetch_add(1, Relaxed) + 1;
        let (answer, receiver) = oneshot::channel();
        let is_written = false;
        waiting.insert(id, Waiting { answer, is_written });
        Ok((id, receiver))
    }
    /// Whether somebody waits for it, as it is about to be written.
    pub(super) fn writes(&self, id: u64) -> bool {
        let mut waiting = self.waiting.lock();
        let found = waiting.as_mut().and_then(|waiting| waiting.get_mut(&id));
        found.is_some_and(|waiting| {
            waiting.is_written = true;
            true
        })
    }
    /// Nobody waits for it. Whether the other side must be told.
    pub(super) fn give_up(&self, id: u64) -> bool {
        let mut waiting = self.waiting.lock();
        let found = waiting.as_mut().and_then(|waiting| waiting.remove(&id));
        found.is_some_and(|waiting| waiting.is_written)
    }
    /// The answer came.
    pub(super) fn resolve(&self, id: u64, answer: Answer) {
        let mut waiting = self.waiting.lock();
        let found = waiting.as_mut().and_then(|waiting| waiting.remove(&id));
        drop(waiting);
        if let Some(waiting) = found {
            // Who asked may have gone this moment.
            let _ = waiting.answer.send(answer);
        }
    }
    /// There will be no more answers.
    pub(super) fn close(&self) {
        // Their senders are dropped, which the receivers take for `Closed`.
        *self.waiting.lock() = None;
    }
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.waiting.lock().as_ref().map_or(0, HashMap::len)
    }
}

/// The other side's requests that are being worked on; as many as its credit allows.
#[derive(Default)]
pub(super) struct Serving(Mutex<HashMap<u64, AbortHandle>>);

impl Serving {
    /// Begins one; `start` gives its task, which calls [`Self::done`] as its last.
    pub(super) fn begin(&self, id: u64, start: impl FnOnce() -> Option<AbortHandle>) {
        let mut serving = self.0.lock();
        if let Some(task) = start() {
            serving.insert(id, task);
        }
    }
    pub(super) fn done(&self, id: u64) {
        self.0.lock().remove(&id);
    }
    /// Its caller is gone.
    pub(super) fn cancel(&self, id: u64) {
        if let Some(task) = self.0.lock().remove(&id) {
            task.abort();
        }
    }
    /// All callers are.
    pub(super) fn cancel_all(&self) {
        self.0.lock().drain().for_each(|(_, task)| task.abort());
    }
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.lock().len()
    }
}

impl Peer {
    /// Asks, and waits for the answer for as long as the caller does.
    pub(super) async fn ask(&self, class: Class, kind: u8, body: Bytes) -> Answer {
        let (id, answer) = self.pending.open()?;
        let lane = self.lane(class);
        // Whichever way this ends, the table forgets it; if it was written and not answered the other side is told.
        let _asking = Asking {
            peer: self,
            class,
            id,
        };
        let what = What::Request;
        let letter = Letter {
            what,
            kind,
            id,
            body,
            held: None,
        };
        lane.send(letter).await?;
        answer.await.unwrap_or(Err(LinkError::Closed))
    }
}

struct Asking<'a> {
    peer: &'a Peer,
    class: Class,
    id: u64,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if !self.peer.pending.give_up(self.id) {
            return;
        }
        // Where it is closed the work was cancelled with all the others.
        let _ = self.peer.lane(self.class).push(Letter {
            what: What::Cancel,
            kind: 0,
            id: self.id,
            body: Bytes::new(),
            held: None,
        });
    }
}
