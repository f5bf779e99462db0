//! Running tasks, and the signal to stop.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::sync::{Notify, watch};

/// Tasks that are waited for at the stop.
#[derive(Debug, Clone, Default)]
pub struct Tasks(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    running: std::sync::atomic::AtomicUsize,
    idle: Notify,
}

struct Running(Arc<Inner>);

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The panic itself was logged by the hook; the session or request it served is over.
            tracing::error!("a task panicked");
        }
        if self
            .0
            .running
            .fetch_sub(1, std::sync::atomic::Ordering::AcqRel)
            == 1
        {
            self.0.idle.notify_waiters();
        }
    }
}

pin_project_lite::pin_project! {
    /// A task that is counted. No `async` block around it: that would hold the task twice, before and after its start.
    struct Counted<F> {
        #[pin]
        task: F,
        _running: Running,
    }
}

impl<F: Future<Output = ()>> Future for Counted<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().task.poll(cx)
    }
}

impl Tasks {
    /// Runs a task.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0
            .running
            .fetch_add(1, std::sync::atomic::Ordering::AcqRel);
        tokio::spawn(Counted {
            task,
            _running: Running(self.0.clone()),
        });
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.0.running.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Waits until none runs, at most for `grace`; how many still do.
    pub async fn finish(&self, grace: Duration) -> usize {
        let idle = async {
            loop {
                let notified = self.0.idle.notified();
                if self.running() == 0 {
                    return;
                }
                notified.await;
            }
        };
        let _ = tokio::time::timeout(grace, idle).await;
        self.running()
    }
}

/// The signal to stop, as those who wait for it hold it.
#[derive(Debug, Clone)]
pub struct Stopping(watch::Receiver<bool>);

/// The signal to stop, as the one who gives it holds it.
#[derive(Debug)]
pub struct Stop(watch::Sender<bool>);

/// A signal that was not given yet.
pub fn signal() -> (Stop, Stopping) {
    let (sender, receiver) = watch::channel(false);
    (Stop(sender), Stopping(receiver))
}

impl Stop {
    /// Gives the signal.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stopping {
    /// Waits for the signal. Cancel safe.
    pub async fn wait(&mut self) {
        // An error means that the one who gives the signal is gone: that is a stop too.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// Whether it was given.
    pub fn is_stopping(&self) -> bool {
        *self.0.borrow()
    }
}
