//! The instance of EC2 that the node runs on, where it goes by what EC2 says: when it is to go, the node leaves as by
//! SIGTERM, and its group is told when that is done.
//!
//! Source: Amazon EC2 User Guide, "Spot Instance interruption notices"; Amazon EC2 Auto Scaling User Guide, "Retrieve the
//! target lifecycle state through instance metadata", "Amazon EC2 Auto Scaling lifecycle hooks".
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | [`Watched`]: waits for the word, and says what became of it |
//! | `hooks` | the group: held while the node drains, told when it is in service and when it has gone |
//! | `launched` | what it was given at its launch, in place of a configuration file |
//! | `time` | what the steps of leaving get of the time that is left; pure |
//!
//! Why here: it outlives the lives of the node. A life may fall and begin again while the group waits.

#[cfg_attr(not(feature = "aws"), path = "no_hooks.rs")]
mod hooks;
mod launched;
pub mod time;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use discovery::instance::{
    EVERY, Instance, Notice, Notices, Options, SpotNotice, watch as notices,
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};

pub use launched::launched;

use crate::config::cluster::{Cluster, Ec2};
use hooks::Hooks;

/// How long is waited for a last look at what the group wants.
const LAST_LOOK: Duration = Duration::from_secs(2);
/// A spot instance has so long from its notice at the most: a clock that is behind gives no more.
const SPOT: Duration = Duration::from_secs(120);
/// And so long is tried at the least: a clock that is ahead takes no more.
const LEAST: Duration = Duration::from_secs(20);

/// That the instance is to go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Going {
    /// Its group lets it go, and may wait for the node.
    by_group: bool,
    /// It is interrupted then.
    until: Option<Instant>,
}

impl Going {
    fn is_going(self) -> bool {
        self.by_group || self.until.is_some()
    }
}

/// The instance, watched.
pub struct Watched {
    instance: Instance,
    hooks: Arc<Hooks>,
    going: watch::Receiver<Going>,
    task: JoinHandle<()>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watched {
    /// Begins to watch, where the configuration says so; `None`: it does not, or this is no instance of EC2.
    ///
    /// # Errors
    /// This is one, and what it is cannot be read.
    pub async fn begin(cluster: &Cluster) -> anyhow::Result<Option<Self>> {
        if !cluster.ec2.notices {
            return Ok(None);
        }
        let options = Options::from_environment(|name| std::env::var(name).ok());
        let found = Instance::detect(options).await;
        let doubt =
            "asking the instance metadata service; write cluster.ec2.notices = false to do without";
        let Some(instance) = found.context(doubt)? else {
            tracing::warn!("this is no instance of EC2: nobody says when it is to go");
            return Ok(None);
        };
        Ok(Some(Self::over(instance, &cluster.ec2).await?))
    }

    async fn over(instance: Instance, configured: &Ec2) -> anyhow::Result<Self> {
        let hooks = Arc::new(Hooks::open(&instance, configured).await?);
        let (sender, going) = watch::channel(Going::default());
        let task = tokio::spawn(follow(notices(instance.clone(), EVERY), sender));
        Ok(Self {
            instance,
            hooks,
            going,
            task,
        })
    }

    /// Waits until the instance is to go.
    ///
    /// # Cancel safety
    /// May be given up at any time.
    pub async fn goes(&self) {
        let mut going = self.going.clone();
        if going.wait_for(|going| going.is_going()).await.is_err() {
            // Nobody watches any more, which only a bug of ours can do.
            std::future::pending().await
        }
    }

    /// Until when the node is to be gone, if that is said; after `known`, waits for what is new.
    pub async fn limit(&self, known: Option<Instant>) -> Instant {
        let mut going = self.going.clone();
        let new = |going: &Going| going.until.is_some() && going.until != known;
        match going.wait_for(new).await.map(|going| going.until) {
            Ok(Some(until)) => until,
            _ => std::future::pending().await,
        }
    }

    /// Tells the group that the node serves: a launch that waits for it is over. Takes its time in the background.
    pub fn in_service(&self) {
        let (hooks, instance) = (self.hooks.clone(), self.instance.clone());
        tokio::spawn(async move { hooks.in_service(&instance).await });
    }

    /// Leaves, while the group waits if it lets the instance go, from before or from meanwhile; and tells it then.
    pub async fn see_off<T>(&self, leaving: impl Future<Output = T>) -> T {
        let mut going = self.going.clone();
        let hold = async {
            match going.wait_for(|going| going.by_group).await.is_ok() {
                true => self.hooks.hold(&self.instance).await,
                false => std::future::pending().await,
            }
        };
        let done = tokio::select! {
            done = leaving => done,
            never = hold => match never {},
        };
        if self.is_let_go().await {
            self.hooks.has_gone(&self.instance).await;
        }
        done
    }

    /// Whether the group lets the instance go: as it was said, or is said by now.
    async fn is_let_go(&self) -> bool {
        if self.going.borrow().by_group {
            return true;
        }
        let look = timeout(LAST_LOOK, self.instance.target_lifecycle_state());
        matches!(look.await, Ok(Ok(Some(state))) if state.is_leaving())
    }
}

/// Says what comes, as long as somebody wants to know.
async fn follow(mut notices: Notices, going: watch::Sender<Going>) {
    while let Some(notice) = notices.next().await {
        match notice {
            Notice::Terminating(state) => {
                tracing::warn!(?state, "the group of this instance lets it go");
                going.send_modify(|going| going.by_group = true);
            }
            Notice::Spot(notice) => {
                let left = left(&notice, SystemTime::now());
                tracing::warn!(action = %notice.action, left_s = left.as_secs(), "this spot instance is interrupted");
                going.send_modify(|going| going.until = Some(Instant::now() + left));
            }
            Notice::Rebalance(_) => {
                tracing::info!("an interruption of this spot instance has become likely");
            }
        }
    }
}

/// How much time a notice leaves, whatever the clock says.
fn left(notice: &SpotNotice, now: SystemTime) -> Duration {
    let said = notice.at.duration_since(now).unwrap_or_default();
    said.clamp(LEAST, SPOT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_wrong_costs_no_drain() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let check = |at: SystemTime, seconds: u64| {
            let action = "terminate".into();
            let left = left(&SpotNotice { action, at }, now);
            assert_eq!(left, Duration::from_secs(seconds));
        };
        check(now + Duration::from_secs(118), 118);
        check(now + Duration::from_secs(50), 50);
        check(now + Duration::from_secs(700), 120);
        check(now + Duration::from_secs(3), 20);
        check(now - Duration::from_secs(600), 20);
    }
}
