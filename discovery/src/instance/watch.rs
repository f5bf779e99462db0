//! Tells what the platform is about to do with the instance, as soon as it can be known.

use std::time::{Duration, SystemTime};

use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use tracing::{debug, warn};

use super::{Instance, LifecycleState, SpotNotice};
use crate::{Error, Result};

/// What is planned. Each is told once, and again if it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Its group lets the instance go: drain, then complete the lifecycle action.
    Terminating(LifecycleState),
    /// A spot instance is interrupted then.
    Spot(SpotNotice),
    /// The interruption of a spot instance has become likely, since then.
    Rebalance(SystemTime),
}

/// Notices as they come. Watching ends when this is dropped.
pub struct Notices {
    notices: mpsc::Receiver<Notice>,
    task: JoinHandle<()>,
}

/// How often AWS says to look for spot notices.
pub const EVERY: Duration = Duration::from_secs(5);

/// There are three kinds, and each is told again only if it changes.
const WAITING: usize = 8;

/// Looks every so often ([`EVERY`], say) what is planned for the instance. What cannot be read is logged and read again.
pub fn watch(instance: Instance, every: Duration) -> Notices {
    let (sender, notices) = mpsc::channel(WAITING);
    let task = tokio::spawn(run(instance, every, sender));
    Notices { notices, task }
}

impl Notices {
    /// The next notice. `None`: watching has ended, which only a bug of ours can do.
    ///
    /// # Cancel safety
    /// No notice is lost.
    pub async fn next(&mut self) -> Option<Notice> {
        self.notices.recv().await
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The last of each kind.
#[derive(Default)]
struct Told {
    leaving: Option<LifecycleState>,
    spot: Option<SpotNotice>,
    rebalance: Option<SystemTime>,
    fails: bool,
}

async fn run(instance: Instance, every: Duration, sender: mpsc::Sender<Notice>) {
    let mut told = Told::default();
    let mut next = Instant::now();
    loop {
        for notice in told.look(&instance).await {
            if sender.send(notice).await.is_err() {
                return;
            }
        }
        // Rounds that took too long are not made up for.
        next = (next + every).max(Instant::now());
        sleep_until(next).await;
    }
}

impl Told {
    /// What is new.
    async fn look(&mut self, instance: &Instance) -> Vec<Notice> {
        let mut new = Vec::new();
        let state = instance.target_lifecycle_state().await;
        let leaving = state.map(|state| state.filter(LifecycleState::is_leaving));
        let spot = instance.spot_notice().await;
        let rebalance = instance.rebalance_recommendation().await;
        let error = [
            leaving.as_ref().err(),
            spot.as_ref().err(),
            rebalance.as_ref().err(),
        ];
        self.log(error.into_iter().flatten().next());
        changed(&mut self.leaving, leaving, &mut new, Notice::Terminating);
        changed(&mut self.spot, spot, &mut new, Notice::Spot);
        changed(&mut self.rebalance, rebalance, &mut new, Notice::Rebalance);
        new
    }

    fn log(&mut self, error: Option<&Error>) {
        match error {
            Some(error) if !self.fails => {
                warn!(
                    error = error.chain(),
                    "what is planned for the instance cannot be read"
                );
            }
            Some(error) => debug!(
                error = error.chain(),
                "what is planned still cannot be read"
            ),
            None => {}
        }
        self.fails = error.is_some();
    }
}

fn changed<T: Clone + PartialEq>(
    told: &mut Option<T>,
    now: Result<Option<T>>,
    new: &mut Vec<Notice>,
    notice: impl FnOnce(T) -> Notice,
) {
    if let Ok(now) = now
        && *told != now
    {
        new.extend(now.clone().map(notice));
        *told = now;
    }
}
