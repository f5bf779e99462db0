//! Operating: what an operator has a node do with itself, with other members, with the secret.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use cluster::{
    NodeId,
    directory::{Command, Reply, Stage},
    link::{Class, LinkError},
};
use storage::{ErrorKind, repository::Rotation};

use tokio::time::{sleep, timeout};

use super::{Membership, lines::LEAVE, rows::seconds};

/// How long another node may take to hear what it is to do.
const WITHIN: Duration = Duration::from_secs(5);
/// How often is looked whether it does it.
const LOOK: Duration = Duration::from_millis(20);

/// Why something was not begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such member.
    #[error("that life of a node is over")]
    Over,
    /// The like is under way.
    #[error("a rotation of the cluster's secret is under way")]
    Busy,
    /// It is not the cluster's to change.
    #[error("the configuration says the secret: change it there")]
    Written,
    /// Whoever is needed for it does not answer.
    #[error("{0}")]
    OutOfReach(String),
}

impl Membership {
    /// Lets a member hand over what it has and go; begun when this returns.
    ///
    /// # Errors
    /// `Over`, `OutOfReach`.
    pub async fn drain(&self, node: NodeId) -> Result<(), Refusal> {
        if node == self.0.me() {
            self.0.leave.send_replace(true);
        } else {
            let links = self.0.lines.links().ok_or(Refusal::Over)?;
            let asked = links.request(node, Class::Control, LEAVE, Bytes::new(), WITHIN);
            asked.await.map_err(|error| match error {
                LinkError::Unknown | LinkError::Closed => Refusal::Over,
                error => Refusal::OutOfReach(error.to_string()),
            })?;
        }
        let begun = timeout(WITHIN, async {
            while self.stays(node) {
                sleep(LOOK).await;
            }
        });
        let silent = "the node was told, and has not begun yet";
        begun
            .await
            .map_err(|_| Refusal::OutOfReach(silent.to_owned()))
    }

    /// Whether a member does not leave.
    fn stays(&self, node: NodeId) -> bool {
        let view = self.0.seat().map(|seat| seat.directory().view());
        let stage = view.and_then(|view| Some(view.seat(node)?.stage));
        stage.is_some_and(|stage| stage != Stage::Draining)
    }

    /// Declares a member's life over without asking it; ordered when this returns.
    ///
    /// # Errors
    /// `Over`; `OutOfReach`: it may be done all the same.
    pub async fn fence(&self, node: NodeId) -> Result<(), Refusal> {
        let seat = self.0.seat().ok_or(Refusal::Over)?;
        let down = seat.directory().submit(Command::NodeDown(node)).await;
        match down {
            Ok(Reply::Stale) => Err(Refusal::Over),
            Ok(_) => Ok(()),
            Err(error) => Err(Refusal::OutOfReach(error.to_string())),
        }
    }

    /// Begins to replace the secret that the store keeps.
    ///
    /// # Errors
    /// `Busy`, `Written`, `OutOfReach`.
    pub async fn rotate_secret(&self) -> Result<(), Refusal> {
        if self.0.secrets.lock().is_none() {
            return Err(Refusal::Written);
        }
        let now = seconds(SystemTime::now());
        match self.0.control.rotate_secret(now).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::Conflict => Err(Refusal::Busy),
            Err(error) => Err(Refusal::OutOfReach(error.to_string())),
        }
    }

    /// How far a rotation of the secret is, and since when; `None`: the store does not keep it.
    pub fn secret(&self) -> Option<(Rotation, u64)> {
        let secrets = self.0.secrets.lock();
        secrets.as_ref().map(|it| (it.rotation, it.since))
    }

    /// Waits until somebody has this node leave.
    pub async fn asked_to_leave(&self) {
        let mut leave = self.0.leave.subscribe();
        // An error means that nobody will say so any more.
        let _ = leave.wait_for(|leave| *leave).await;
    }
}
