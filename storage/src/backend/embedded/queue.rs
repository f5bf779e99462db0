//! Queue: batches on their way to the writer, taken all at once.

use std::{mem, time::Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{
    error::{Error, ErrorKind, Result},
    shape::{self, Batch},
};

/// This many batches do not wait for more.
const FULL: usize = 512;

/// How the answer to a batch goes back.
pub(super) enum Done {
    /// To a future.
    Future(oneshot::Sender<Result<()>>),
    /// To a function, called on the writer's thread.
    Call(shape::Done),
}

impl Done {
    pub(super) fn answer(self, result: Result<()>) {
        match self {
            // A caller that no longer waits has given its answer up.
            Self::Future(sender) => drop(sender.send(result)),
            Self::Call(call) => call(result),
        }
    }
}

/// A batch that waits for its turn.
pub(super) struct Submission {
    pub(super) batch: Batch,
    /// About how many bytes it will be.
    pub(super) size: usize,
    pub(super) done: Done,
    /// Its part of what may wait at the same time.
    pub(super) permit: OwnedSemaphorePermit,
}

/// Whether more may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It may.
    Open,
    /// That was all.
    Closed,
}

#[derive(Default)]
struct Waiting {
    submissions: Vec<Submission>,
    /// The writer sleeps until there are this many.
    wake_at: Option<usize>,
    closed: bool,
}

/// The batches that wait; bounded by the permits that they hold.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Queue {
    /// Adds a batch.
    pub(super) fn push(&self, submission: Submission) {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            drop(waiting);
            submission.done.answer(Err(Error::new(
                ErrorKind::Unavailable,
                "the store is closed",
            )));
            return;
        }
        waiting.submissions.push(submission);
        if waiting
            .wake_at
            .is_some_and(|count| waiting.submissions.len() >= count)
        {
            waiting.wake_at = None;
            self.changed.notify_one();
        }
    }

    /// Takes no more; what waits is still committed.
    pub(super) fn close(&self) {
        self.waiting.lock().closed = true;
        self.changed.notify_one();
    }

    /// Takes no more and drops what waits; for futures that is `Unavailable`, functions are never called.
    pub(super) fn abandon(&self) {
        self.close();
        let abandoned = mem::take(&mut self.waiting.lock().submissions);
        drop(abandoned);
    }

    /// Takes all that waits, in exchange for an empty list; nothing if nothing comes until `wake`, and when it is closed
    /// and empty.
    pub(super) fn take(
        &self,
        list: &mut Vec<Submission>,
        gather_until: Option<Instant>,
        wake: Option<Instant>,
    ) -> Taken {
        let mut waiting = self.waiting.lock();
        while waiting.submissions.is_empty() && !waiting.closed {
            waiting.wake_at = Some(1);
            match wake {
                None => self.changed.wait(&mut waiting),
                Some(wake) => {
                    if self.changed.wait_until(&mut waiting, wake).timed_out() {
                        break;
                    }
                }
            }
        }
        if let Some(until) = gather_until {
            while waiting.submissions.len() < FULL && !waiting.closed {
                waiting.wake_at = Some(FULL);
                if self.changed.wait_until(&mut waiting, until).timed_out() {
                    break;
                }
            }
        }
        waiting.wake_at = None;
        mem::swap(&mut waiting.submissions, list);
        match list.is_empty() {
            true if waiting.closed => Taken::Closed,
            _ => Taken::Open,
        }
    }
}
