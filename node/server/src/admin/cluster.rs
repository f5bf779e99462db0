//! Administration of a cluster: what a node is told to do with itself and with others.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use cluster::NodeId;

use super::{Response, Why, refused};
use crate::{
    membership::status::{MemberStatus, Status},
    status::{Look, SecretStatus},
};

/// How many digits of a life are enough to name it.
const SHORTEST_PREFIX: usize = 4;

/// Why something was not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declined {
    /// What kind of refusal.
    pub why: Why,
    /// In words.
    pub reason: String,
}

impl Declined {
    /// A refusal.
    pub fn new(why: Why, reason: impl Into<String>) -> Self {
        Self {
            why,
            reason: reason.into(),
        }
    }

    fn alone() -> Self {
        Self::new(Why::Alone, "this node is alone: no cluster is configured")
    }
}

impl From<Declined> for Response {
    fn from(declined: Declined) -> Self {
        refused(declined.why, declined.reason)
    }
}

/// The cluster as one of its nodes reaches it. What is told here was asked for by the operator, so nothing of it is
/// answered before it has begun; how far it is then, is told by the status.
#[async_trait]
pub trait ClusterControl: Send + Sync {
    /// This node's place, as it is now; `None`: it is alone. Quick, and does not wait.
    fn status(&self) -> Option<Status>;

    /// How far a rotation of the secret is; `None`: the store does not keep it. Quick, and does not wait.
    fn secret(&self) -> Option<SecretStatus> {
        None
    }

    /// Lets a member, this node too, hand over what it has and go. Answers once that has begun. One that drains already
    /// goes on.
    ///
    /// # Errors
    /// `Alone`; `Absent` if that life is over; `Store` if the member cannot be told.
    async fn drain(&self, node: NodeId) -> Result<(), Declined>;

    /// Declares the life of a member over without asking it: others take over what it has, now. Answers once that is
    /// ordered. A node that does not know it yet stops serving when it hears of it, or has no contact for a moment.
    ///
    /// # Errors
    /// `Alone`; `Absent` if that life is over; `Store` if nobody orders changes now: it may happen all the same.
    async fn fence(&self, node: NodeId) -> Result<(), Declined>;

    /// Begins to replace the secret of the cluster.
    ///
    /// # Errors
    /// `Alone`; `Busy` if a rotation is under way; `Elsewhere` if the configuration says the secret; `Store`.
    async fn rotate_secret(&self) -> Result<(), Declined>;
}

/// A node that is alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

#[async_trait]
impl ClusterControl for Alone {
    fn status(&self) -> Option<Status> {
        None
    }
    async fn drain(&self, _: NodeId) -> Result<(), Declined> {
        Err(Declined::alone())
    }
    async fn fence(&self, _: NodeId) -> Result<(), Declined> {
        Err(Declined::alone())
    }
    async fn rotate_secret(&self) -> Result<(), Declined> {
        Err(Declined::alone())
    }
}

/// What a running node has for those who operate it.
#[derive(Clone)]
pub struct Desk {
    /// What is to be told of the node.
    pub look: Look,
    /// Its cluster.
    pub control: Arc<dyn ClusterControl>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Desk").field(&(self.look)()).finish()
    }
}

impl Desk {
    pub(super) async fn drain(&self, name: Option<&str>) -> Result<Response, Response> {
        let (id, node) = self.find(name)?;
        self.control.drain(id).await?;
        Ok(Response::Begun { node })
    }

    pub(super) async fn fence(&self, name: &str) -> Result<Response, Response> {
        let (id, node) = self.find(Some(name))?;
        self.control.fence(id).await?;
        Ok(Response::Begun { node })
    }

    pub(super) async fn rotate_secret(&self) -> Result<Response, Response> {
        self.control.rotate_secret().await?;
        Ok(Response::Done)
    }

    /// The member of that name, or this node: its life, and that as people write it.
    fn find(&self, name: Option<&str>) -> Result<(NodeId, String), Response> {
        let status = self.control.status().ok_or_else(Declined::alone)?;
        let node = match name {
            None => status.node,
            Some(name) => member(&status.members, name)?.node.clone(),
        };
        let id = u64::from_str_radix(&node, 16);
        let id = id.map_err(|_| Declined::new(Why::Store, format!("{node} is no node's id")))?;
        Ok((NodeId(id), node))
    }
}

/// The member that is called so: by its life or the beginning of it, its name, or its address.
///
/// # Errors
/// `Absent`; `Invalid` if there are several: a node and its next life have one name.
pub fn member<'a>(members: &'a [MemberStatus], name: &str) -> Result<&'a MemberStatus, Declined> {
    let by = |is: &dyn Fn(&MemberStatus) -> bool| -> Vec<&'a MemberStatus> {
        members.iter().filter(|member| is(member)).collect()
    };
    let is_prefix = name.len() >= SHORTEST_PREFIX;
    let found = [
        by(&|member| member.node == name),
        by(&|member| member.name == name),
        by(&|member| member.address == name),
        by(&|member| is_prefix && member.node.starts_with(name)),
    ];
    match found.into_iter().find(|found| !found.is_empty()).as_deref() {
        None => Err(Declined::new(
            Why::Absent,
            format!("no member is called {name}"),
        )),
        Some([member]) => Ok(member),
        Some(several) => {
            let lives: Vec<_> = several.iter().map(|member| member.node.as_str()).collect();
            let lives = lives.join(", ");
            let reason = format!("several members are called {name}; name one of {lives}");
            Err(Declined::new(Why::Invalid, reason))
        }
    }
}
