//! Runs a future to its end at once if it never has to wait, else as a task.
//!
//! Most look-ups are answered from memory; a task for each would cost more than the work.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use crate::routing::{Origin, Progress};

/// Polls once; what is not ready then becomes a task that tells the origin when it is done.
pub fn now_or_spawn(task: impl Future<Output = ()> + Send + 'static, origin: Option<Origin>) -> Progress {
    let mut task = Box::pin(task);
    if let Poll::Ready(()) = pin!(&mut task).poll(&mut Context::from_waker(Waker::noop())) {
        return Progress::Done;
    }
    tokio::spawn(async move {
        task.await;
        if let Some(origin) = origin {
            origin.done();
        }
    });
    Progress::Pending
}
