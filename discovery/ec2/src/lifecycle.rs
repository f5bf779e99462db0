//! The group of this instance, and its drain told to the group.
//!
//! Source: Amazon EC2 Auto Scaling API Reference (2011-01-01): DescribeAutoScalingInstances, DescribeLifecycleHooks,
//! CompleteLifecycleAction, RecordLifecycleActionHeartbeat. A hook holds the instance until its action is completed or its
//! heartbeats stop. Actions are named by group, hook and instance; no token of a notification is needed.

use std::{convert::Infallible, time::Duration};

use aws_sdk_autoscaling::Client;
use discovery::{Error, Instance, Result, bucket::Bucket};
use tokio::time::sleep;
use tracing::warn;

use crate::{
    Access,
    failure::{failure, persist},
};

const NAME: &str = "autoscaling";

/// A bucket of its own: it stands in front of an account's.
const BURST: u32 = 10;
const EACH: Duration = Duration::from_millis(500);

/// What a hook holds an instance for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// `autoscaling:EC2_INSTANCE_LAUNCHING`.
    Launching,
    /// `autoscaling:EC2_INSTANCE_TERMINATING`.
    Terminating,
}

impl Transition {
    fn text(self) -> &'static str {
        match self {
            Self::Launching => "autoscaling:EC2_INSTANCE_LAUNCHING",
            Self::Terminating => "autoscaling:EC2_INSTANCE_TERMINATING",
        }
    }
}

/// How an action ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on: into service, or, after all other hooks, to its end.
    Continue,
    /// A launch failed, and the instance is terminated; a termination goes on at once, without waiting for other hooks.
    Abandon,
}

/// A hook of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its group.
    pub group: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// What it holds for.
    pub transition: Transition,
    /// For how long it holds without a heartbeat.
    pub patience: Duration,
}

/// Whether the hook held this instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It did, and the request was done.
    Yes,
    /// It does not: the action was completed, ran out, or never began. A completion whose answer was lost ends so.
    No,
}

/// The Auto Scaling API, about one instance.
pub struct Lifecycle {
    client: Client,
    instance: Box<str>,
    bucket: Bucket,
}

impl Lifecycle {
    /// About this instance (`i-...`). Asks nothing of the network.
    pub async fn open(access: &Access, instance: &str) -> Self {
        Self {
            client: Client::new(&access.load().await),
            instance: instance.into(),
            bucket: Bucket::full(BURST, EACH),
        }
    }

    /// The instance's group: by its tag `aws:autoscaling:groupName` where metadata has tags, else by the API. `None`: it is
    /// in none.
    ///
    /// # Errors
    /// The API's; metadata that fails is gone without.
    pub async fn group(&self, metadata: Option<&Instance>) -> Result<Option<Box<str>>> {
        if let Some(metadata) = metadata
            && let Ok(Some(group)) = metadata.tag("aws:autoscaling:groupName").await
        {
            return Ok(Some(group.into()));
        }
        let answer = persist(&self.bucket, || async {
            let request = self.client.describe_auto_scaling_instances();
            let asked = Box::pin(request.instance_ids(&*self.instance).send()).await;
            asked.map_err(|error| failure(NAME, error))
        });
        let members = answer.await?.auto_scaling_instances.unwrap_or_default();
        let mut members = members.into_iter();
        let member = members.find(|one| one.instance_id() == Some(&*self.instance));
        Ok(member.and_then(|one| one.auto_scaling_group_name.map(Into::into)))
    }

    /// The hooks of a group for a transition. A group has 50 at most.
    ///
    /// # Errors
    /// The API's.
    pub async fn hooks(&self, group: &str, transition: Transition) -> Result<Vec<Hook>> {
        let answer = persist(&self.bucket, || async {
            let request = self.client.describe_lifecycle_hooks();
            let asked = Box::pin(request.auto_scaling_group_name(group).send()).await;
            asked.map_err(|error| failure(NAME, error))
        });
        let hooks = answer.await?.lifecycle_hooks.unwrap_or_default();
        let mine = hooks
            .into_iter()
            .filter(|hook| hook.lifecycle_transition() == Some(transition.text()));
        let hook = |hook: aws_sdk_autoscaling::types::LifecycleHook| {
            let seconds = hook.heartbeat_timeout().unwrap_or(3600).max(1);
            Some(Hook {
                group: group.into(),
                name: hook.lifecycle_hook_name?.into(),
                transition,
                patience: Duration::from_secs(seconds.unsigned_abs().into()),
            })
        };
        Ok(mine.filter_map(hook).collect())
    }

    /// Completes the action of a hook (CompleteLifecycleAction). May be repeated.
    ///
    /// # Errors
    /// The API's. That nothing is held is none.
    pub async fn complete(&self, hook: &Hook, outcome: Outcome) -> Result<Held> {
        let result = match outcome {
            Outcome::Continue => "CONTINUE",
            Outcome::Abandon => "ABANDON",
        };
        let done = persist(&self.bucket, || async {
            let request = self
                .client
                .complete_lifecycle_action()
                .auto_scaling_group_name(&*hook.group)
                .lifecycle_hook_name(&*hook.name)
                .instance_id(&*self.instance)
                .lifecycle_action_result(result);
            let asked = Box::pin(request.send()).await;
            asked.map_err(|error| failure(NAME, error))
        });
        held(done.await.map(drop))
    }

    /// Says that the action of a hook goes on (RecordLifecycleActionHeartbeat): the hook's [patience](Hook::patience)
    /// begins again. An action ends all the same after 100 times its patience, or 48 hours.
    ///
    /// # Errors
    /// The API's. That nothing is held is none.
    pub async fn heartbeat(&self, hook: &Hook) -> Result<Held> {
        let done = persist(&self.bucket, || async {
            let request = self
                .client
                .record_lifecycle_action_heartbeat()
                .auto_scaling_group_name(&*hook.group)
                .lifecycle_hook_name(&*hook.name)
                .instance_id(&*self.instance);
            let asked = Box::pin(request.send()).await;
            asked.map_err(|error| failure(NAME, error))
        });
        held(done.await.map(drop))
    }

    /// Does some work, a drain say, while these hooks hold the instance: three heartbeats in each patience. One that fails
    /// is logged, and the next comes all the same.
    pub async fn hold_while<T>(&self, hooks: &[Hook], work: impl Future<Output = T>) -> T {
        let beats = async {
            let Some(patience) = hooks.iter().map(|hook| hook.patience).min() else {
                return std::future::pending::<Infallible>().await;
            };
            loop {
                sleep(patience / 3).await;
                for hook in hooks {
                    if let Err(error) = self.heartbeat(hook).await {
                        let (hook, error) = (&*hook.name, error.chain());
                        warn!(hook, error, "a heartbeat of the lifecycle action failed");
                    }
                }
            }
        };
        tokio::select! {
            done = work => done,
            never = beats => match never {},
        }
    }
}

/// The API has no code of its own for an action that is not there.
fn held(done: Result<()>) -> Result<Held> {
    let is_over = |error: &Error| error.chain().contains("No active Lifecycle Action found");
    match done {
        Ok(()) => Ok(Held::Yes),
        Err(error) if is_over(&error) => Ok(Held::No),
        Err(error) => Err(error),
    }
}
