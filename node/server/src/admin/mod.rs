//! Administration of accounts, of shared groups ([`groups`]) and of the cluster: a few requests. Those about accounts are done on the stores of a node that
//! is down or inside one that runs, those about the cluster ([`cluster`]) only inside one that runs.
//!
//! Why here: `starling user` must work either way, and an embedded store opens once. A running node answers on a socket
//! in its directory ([`socket`]); the command asks there first ([`client`]).
//! Left out: rooms and messages (XEP-0133 is for clients).

pub mod client;
pub mod cluster;
pub mod groups;
mod live;
pub mod socket;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xmpp::{BareJid, StanzaError, StanzaErrorCondition as Condition};
use zeroize::Zeroizing;

pub use cluster::{Alone, ClusterControl, Declined, Desk};
pub use live::Live;

use crate::{
    module::Context,
    modules::register::{Accounts, Way},
    status::Facts,
};

/// Most users of one page.
pub const MAX_PAGE: usize = 1_000;

/// What may be asked, one JSON object a line.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Whether anybody is there.
    Ping,
    /// Makes an account.
    Add {
        /// Bare address.
        account: String,
        /// Its password.
        password: String,
    },
    /// Changes a password; tokens for fast reconnection fall with the old one, and sessions end.
    Password {
        /// Bare address.
        account: String,
        /// The new password.
        password: String,
    },
    /// Removes an account with all it has; its sessions end.
    Remove {
        /// Bare address.
        account: String,
    },
    /// Locks an account: its sessions end, nobody logs in, nothing is lost.
    Disable {
        /// Bare address.
        account: String,
    },
    /// Unlocks an account.
    Enable {
        /// Bare address.
        account: String,
    },
    /// A domain's accounts in order, beyond `after`, at most [`MAX_PAGE`].
    List {
        /// The domain.
        domain: String,
        /// The last name of the page before.
        after: Option<String>,
        /// How many.
        limit: usize,
        /// Whether it is asked since when they are and were last there.
        times: bool,
    },
    /// Ends the sessions of an account.
    Kick {
        /// Bare address.
        account: String,
    },
    /// Something of a domain's shared groups.
    Group {
        /// The domain.
        domain: String,
        /// What.
        act: groups::GroupAct,
    },
    /// What is to be told of the node and of its cluster.
    ClusterStatus,
    /// The same, from who watches a life leave: the last word of it is awaited.
    Departure {
        /// The life.
        node: String,
    },
    /// Lets a member hand over what it has, and go.
    Drain {
        /// Its life, its name or its address; `None`: the node that is asked.
        node: Option<String>,
    },
    /// Declares the life of a member over.
    Fence {
        /// Its life, its name or its address.
        node: String,
    },
    /// Begins to replace the secret of the cluster.
    RotateSecret,
}

/// What is answered, one JSON object a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// It is done.
    Done,
    /// Accounts. Fewer than asked for: there are no more.
    Users(Vec<User>),
    /// So many sessions end.
    Ended(usize),
    /// Shared groups.
    Groups(Vec<groups::Group>),
    /// What is to be told of the node and of its cluster.
    Cluster(Box<Facts>),
    /// It has begun.
    Begun {
        /// The life that it is about.
        node: String,
    },
    /// It is not done.
    Refused {
        /// What kind of refusal.
        why: Why,
        /// In words.
        reason: String,
    },
}

/// An account in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its localpart.
    pub name: String,
    /// Whether it is locked.
    pub disabled: bool,
    /// Since when it is and was last there, if that was asked.
    pub times: Option<Times>,
}

/// When an account was what, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// When it was made.
    pub created_ms: u64,
    /// When it was last there; 0: never.
    pub last_active_ms: u64,
}

/// Why something was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The request makes no sense.
    Invalid,
    /// The account exists.
    Exists,
    /// There is no such account.
    Absent,
    /// Only a running node can do that.
    NotRunning,
    /// Another system has the accounts: it is done there.
    Elsewhere,
    /// The store, or who orders changes in the cluster, says no.
    Store,
    /// There is no cluster.
    Alone,
    /// The like is under way.
    Busy,
}

fn refused(why: Why, reason: impl Into<String>) -> Response {
    Response::Refused {
        why,
        reason: reason.into(),
    }
}

fn absent(account: &BareJid) -> Response {
    refused(Why::Absent, format!("there is no account {account}"))
}

/// A refusal in the words of this interface.
fn told(error: &StanzaError, account: &BareJid) -> Response {
    let text = error.text.as_deref().unwrap_or("the node's log says why");
    match error.condition {
        Condition::Conflict => refused(Why::Exists, format!("{account} exists already")),
        Condition::ItemNotFound => absent(account),
        Condition::NotAcceptable => refused(Why::Invalid, text),
        Condition::NotAllowed => {
            let domain = account.domain();
            let reason = format!(
                "another system has the accounts of {domain}: make, change and remove them there"
            );
            refused(Why::Elsewhere, reason)
        }
        condition => refused(
            Why::Store,
            format!("the store says: {} ({text})", condition.as_str()),
        ),
    }
}

impl From<storage::Error> for Response {
    fn from(error: storage::Error) -> Self {
        let cause = std::error::Error::source(&error)
            .map(|cause| format!(" ({cause})"))
            .unwrap_or_default();
        refused(Why::Store, format!("the store says: {error}{cause}"))
    }
}

/// Who does what is asked.
pub struct Administrator {
    /// The accounts.
    pub accounts: Accounts,
    /// Domains whose accounts may be made.
    pub domains: Vec<String>,
    /// The node, if it runs.
    pub live: Option<Arc<dyn Live>>,
    /// What there is to operate it, if it runs.
    pub desk: Option<Desk>,
}

impl Administrator {
    /// Does what is asked.
    pub async fn perform(&self, request: Request) -> Response {
        let outcome = match request {
            Request::Ping => Ok(Response::Done),
            Request::Add { account, password } => {
                self.add(&account, Zeroizing::new(password)).await
            }
            Request::Password { account, password } => {
                self.password(&account, Zeroizing::new(password)).await
            }
            Request::Remove { account } => self.remove(&account).await,
            Request::Disable { account } => self.set_disabled(&account, true).await,
            Request::Enable { account } => self.set_disabled(&account, false).await,
            Request::List {
                domain,
                after,
                limit,
                times,
            } => self.list(&domain, after.as_deref(), limit, times).await,
            Request::Kick { account } => self.kick(&account).await,
            Request::Group { domain, act } => self.group(&domain, act).await,
            Request::ClusterStatus | Request::Departure { .. } => self
                .desk()
                .map(|desk| Response::Cluster(Box::new((desk.look)()))),
            Request::Drain { node } => match self.desk() {
                Ok(desk) => desk.drain(node.as_deref()).await,
                Err(refusal) => Err(refusal),
            },
            Request::Fence { node } => match self.desk() {
                Ok(desk) => desk.fence(&node).await,
                Err(refusal) => Err(refusal),
            },
            Request::RotateSecret => match self.desk() {
                Ok(desk) => desk.rotate_secret().await,
                Err(refusal) => Err(refusal),
            },
        };
        outcome.unwrap_or_else(|refusal| refusal)
    }

    fn desk(&self) -> Result<&Desk, Response> {
        let down = || refused(Why::NotRunning, "the node does not run");
        self.desk.as_ref().ok_or_else(down)
    }

    fn account(&self, text: &str) -> Result<BareJid, Response> {
        let account = BareJid::parse(text)
            .map_err(|error| refused(Why::Invalid, format!("\"{text}\" is no address: {error}")))?;
        if account.local().is_none() {
            return Err(refused(
                Why::Invalid,
                format!("\"{text}\" has no name before the @"),
            ));
        }
        if !self.domains.iter().any(|domain| domain == account.domain()) {
            let served = self.domains.join(", ");
            return Err(refused(
                Why::Invalid,
                format!("{} is not served here; served: {served}", account.domain()),
            ));
        }
        Ok(account)
    }

    async fn add(&self, account: &str, password: Zeroizing<String>) -> Result<Response, Response> {
        let account = self.account(account)?;
        let cx = self.live.as_ref().map(|live| live.context());
        let made = self.accounts.create(&account, &password, self.way(&cx));
        made.await.map_err(|error| told(&error, &account))?;
        Ok(Response::Done)
    }

    /// How what is asked for an account reaches who is concerned.
    fn way<'a>(&'a self, cx: &'a Option<Context>) -> Way<'a> {
        match cx {
            Some(cx) => Way::Running(cx),
            None => Way::Down(&self.domains),
        }
    }

    async fn password(
        &self,
        account: &str,
        password: Zeroizing<String>,
    ) -> Result<Response, Response> {
        let account = self.account(account)?;
        let changed = self.accounts.set_password(&account, &password).await;
        changed.map_err(|error| told(&error, &account))?;
        if let Some(live) = &self.live {
            let ended = live.end_sessions(&account, "the password was changed");
            ended.await.map_err(|error| told(&error, &account))?;
        }
        Ok(Response::Done)
    }

    async fn remove(&self, account: &str) -> Result<Response, Response> {
        let account = self.account(account)?;
        let cx = self.live.as_ref().map(|live| live.context());
        let removed = self.accounts.remove(&account, None, self.way(&cx)).await;
        removed.map_err(|error| told(&error, &account))?;
        Ok(Response::Done)
    }

    async fn set_disabled(&self, account: &str, disabled: bool) -> Result<Response, Response> {
        let account = self.account(account)?;
        let found = self.accounts.stores.accounts.load(&account).await?;
        let found = found.ok_or_else(|| absent(&account))?;
        if found.disabled != disabled {
            self.accounts
                .stores
                .accounts
                .set_disabled(&account, disabled, found.version)
                .await?;
        }
        if let Some(live) = self.live.as_ref().filter(|_| disabled) {
            let ended = live.end_sessions(&account, "the account is disabled");
            ended.await.map_err(|error| told(&error, &account))?;
        }
        Ok(Response::Done)
    }

    async fn list(
        &self,
        domain: &str,
        after: Option<&str>,
        limit: usize,
        times: bool,
    ) -> Result<Response, Response> {
        let limit = limit.clamp(1, MAX_PAGE);
        let names = self
            .accounts
            .stores
            .accounts
            .list(domain, after, limit)
            .await?;
        let mut users = Vec::with_capacity(names.len());
        for name in names {
            users.push(self.user(domain, name, times).await?);
        }
        Ok(Response::Users(users))
    }

    /// One that was removed since the list was read is in it all the same: a short page would end the list.
    async fn user(&self, domain: &str, name: String, times: bool) -> Result<User, Response> {
        let mut user = User {
            name,
            disabled: false,
            times: None,
        };
        let Ok(account) = BareJid::from_parts(Some(&user.name), domain) else {
            return Ok(user);
        };
        let Some(found) = self.accounts.stores.accounts.load(&account).await? else {
            return Ok(user);
        };
        user.disabled = found.disabled;
        if times {
            user.times = Some(Times {
                created_ms: found.created_ms,
                last_active_ms: self
                    .accounts
                    .stores
                    .mailboxes
                    .load(&account)
                    .await?
                    .last_active_ms,
            });
        }
        Ok(user)
    }

    async fn kick(&self, account: &str) -> Result<Response, Response> {
        let account = self.account(account)?;
        let ended = match &self.live {
            Some(live) => {
                let ended = live.end_sessions(&account, "ended by the administrator");
                Some(ended.await.map_err(|error| told(&error, &account))?)
            }
            None => None,
        };
        match ended {
            // Somebody without an account was there: an anonymous user.
            Some(ended @ 1..) => Ok(Response::Ended(ended)),
            _ if self
                .accounts
                .stores
                .accounts
                .load(&account)
                .await?
                .is_none() =>
            {
                Err(absent(&account))
            }
            Some(ended) => Ok(Response::Ended(ended)),
            None => Err(refused(
                Why::NotRunning,
                "the node does not run, so nobody is connected",
            )),
        }
    }
}
