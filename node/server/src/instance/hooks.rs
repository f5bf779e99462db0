//! The Auto Scaling group of the instance. Nothing is abandoned: an action is completed with `CONTINUE`, or what keeps it
//! from that is logged, and the group goes on by itself when the hook's time is over.

use std::{convert::Infallible, time::Duration};

use anyhow::Context as _;
use discovery::{Instance, Result};
use discovery_ec2::{Access, Held, Hook, Lifecycle, Outcome, Transition};
use tokio::time::sleep;

use crate::config::cluster::Ec2;

/// How often the hooks are looked for again that were not to be had.
const AGAIN: Duration = Duration::from_secs(5);
/// How often a completion is tried, each time with repeats of its own.
const ROUNDS: usize = 3;

/// See the file's head.
pub(super) struct Hooks(Lifecycle);

impl Hooks {
    /// Asks nothing of the group.
    pub(super) async fn open(instance: &Instance, configured: &Ec2) -> anyhow::Result<Self> {
        let identity = instance.identity().await;
        let identity = identity.context("reading which instance of EC2 this is")?;
        let configured = configured.clone();
        let access = Access {
            endpoint: configured.autoscaling,
            region: configured.access.region.or(Some(identity.region.into())),
            profile: configured.access.profile,
            credentials_file: configured.access.credentials,
        };
        Ok(Self(Lifecycle::open(&access, &identity.instance).await))
    }

    /// Lets a launch go on, and says at once whether a group waits when the instance is to go, and whether it may be told.
    pub(super) async fn in_service(&self, instance: &Instance) {
        match instance.target_lifecycle_state().await {
            // An instance of no group, or a question for later.
            Ok(None) | Err(_) => return,
            Ok(Some(_)) => {}
        }
        match self.find(instance, Transition::Launching).await {
            Ok(hooks) => self.complete(&hooks).await,
            Err(error) => {
                tracing::warn!(
                    error = error.chain(),
                    "whether a launch waits for this node is not known"
                );
            }
        }
        match self.find(instance, Transition::Terminating).await {
            Ok(hooks) if hooks.is_empty() => {
                tracing::info!("no lifecycle hook: the group does not wait for this node to leave");
            }
            Ok(hooks) => {
                let names: Vec<_> = hooks.iter().map(|hook| &*hook.name).collect();
                tracing::info!(
                    hooks = names.join(","),
                    "the group waits for this node to leave"
                );
            }
            Err(error) => {
                tracing::warn!(
                    error = error.chain(),
                    "whether the group waits for this node to leave is not known"
                );
            }
        }
    }

    /// Keeps the group waiting until it is dropped.
    pub(super) async fn hold(&self, instance: &Instance) -> Infallible {
        let hooks = loop {
            match self.find(instance, Transition::Terminating).await {
                Ok(hooks) => break hooks,
                Err(error) => {
                    tracing::warn!(
                        error = error.chain(),
                        "the group cannot be told that this node still drains"
                    );
                }
            }
            sleep(AGAIN).await;
        };
        let never = self.0.hold_while(&hooks, std::future::pending());
        never.await
    }

    /// The node has left: the group may go on.
    pub(super) async fn has_gone(&self, instance: &Instance) {
        for round in 1.. {
            match self.find(instance, Transition::Terminating).await {
                Ok(hooks) => return self.complete(&hooks).await,
                Err(error) if round == ROUNDS => {
                    tracing::error!(
                        error = error.chain(),
                        "the group is not told that this node has left, and waits until its hook's time is over"
                    );
                    return;
                }
                Err(_) => sleep(AGAIN).await,
            }
        }
    }

    async fn find(&self, instance: &Instance, transition: Transition) -> Result<Vec<Hook>> {
        match self.0.group(Some(instance)).await? {
            Some(group) => self.0.hooks(&group, transition).await,
            None => Ok(Vec::new()),
        }
    }

    async fn complete(&self, hooks: &[Hook]) {
        for hook in hooks {
            let (name, transition) = (&*hook.name, hook.transition);
            match self.persist(hook).await {
                Ok(Held::Yes) => {
                    tracing::info!(hook = name, ?transition, "the group may go on");
                }
                Ok(Held::No) => {
                    tracing::debug!(hook = name, ?transition, "the group does not wait");
                }
                Err(error) => {
                    let wait_s = hook.patience.as_secs();
                    tracing::error!(
                        hook = name,
                        ?transition,
                        wait_s,
                        error = error.chain(),
                        "the group is not told that it may go on, and waits until the hook's time is over"
                    );
                }
            }
        }
    }

    async fn persist(&self, hook: &Hook) -> Result<Held> {
        let mut round = 1;
        loop {
            match self.0.complete(hook, Outcome::Continue).await {
                Err(_) if round < ROUNDS => sleep(AGAIN).await,
                done => return done,
            }
            round += 1;
        }
    }
}
