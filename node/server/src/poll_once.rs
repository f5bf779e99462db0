//! Runs a future to its end at once if it never has to wait, else as a task.
//!
//! Most look-ups are answered from memory; a task for each would cost more than the work.

use std::{
    future::Future,
    task::{Context, Poll, Waker},
};

use crate::routing::{Origin, Progress, Router};

/// Polls once; what is not ready then becomes a task that calls `after` when it is done.
pub(crate) fn now_or_run(
    router: &Router,
    task: impl Future<Output = ()> + Send + 'static,
    after: impl FnOnce() + Send + 'static,
) -> Progress {
    let mut task = Box::pin(task);
    if let Poll::Ready(()) = task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return Progress::Done;
    }
    router.spawn(async move {
        task.await;
        after();
    });
    Progress::Pending
}

/// The same, telling the origin of a stanza.
pub(crate) fn now_or_tell(
    router: &Router,
    task: impl Future<Output = ()> + Send + 'static,
    origin: Option<Origin>,
) -> Progress {
    now_or_run(router, task, move || {
        if let Some(origin) = origin {
            origin.done();
        }
    })
}
