//! Administration of accounts, shared groups, rooms and of the cluster: one set of [`operations`], behind the socket of a node ([`socket`]),
//! which the command asks ([`client`]), and behind its HTTP API (`api`). What is about accounts and tokens can be done on the
//! stores of a node that is down as well.
//!
//! | file | what |
//! |---|---|
//! | `operations`, `request`, `answers` | what may be asked, by whom, and what is answered; described |
//! | `caller` | who asks, and how a token proves it |
//! | `audit` | what was changed is written down before it is done |
//! | `accounts`, `groups`, `sessions`, `rooms`, `pubsub`, `cluster`, `metrics`, `tokens`, `looking` | what is done |
//!
//! Left out: messages (XEP-0133 is for clients).

mod accounts;
pub mod answers;
mod audit;
pub mod caller;
pub mod client;
pub mod cluster;
pub mod groups;
mod live;
mod looking;
mod metrics;
pub mod operations;
mod pubsub;
mod request;
mod rooms;
mod sessions;
pub mod socket;
#[cfg(test)]
mod tests;
mod tokens;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use storage::repository::Operators;
use xmpp::{BareJid, StanzaError, StanzaErrorCondition as Condition};
use zeroize::Zeroizing;

pub use answers::{Times, User};
pub use caller::{Caller, Who};
pub use cluster::{Alone, ClusterControl, Declined, Desk};
pub use live::Live;
pub use request::Request;

use self::answers::{
    AccountFacts, AuditLine, Contact, Family, Online, Page, PubsubFacts, RoomFacts, RoomLine,
    SessionFacts, TokenFacts, Waiting, Whoami,
};
use crate::{
    metrics::Metrics,
    modules::{muc::Muc, register::Accounts},
    status::Facts,
};

/// Most entries of one page.
pub const MAX_PAGE: usize = 1_000;

/// What is answered, one JSON object a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// It is done.
    Done,
    /// Who asks.
    Whoami(Box<Whoami>),
    /// Accounts. Fewer than asked for: there are no more.
    Users(Vec<User>),
    /// What is known of an account.
    Account(AccountFacts),
    /// Contacts.
    Roster(Page<Contact>),
    /// Messages that wait.
    Queue(Page<Waiting>),
    /// Sessions of an account.
    Sessions(Page<SessionFacts>),
    /// Who is there.
    Online(Online),
    /// So many sessions end.
    Ended(usize),
    /// Shared groups.
    Groups(Vec<groups::Group>),
    /// Rooms.
    Rooms(Page<RoomLine>),
    /// What is known of a room.
    Room(RoomFacts),
    /// Pubsub nodes.
    Pubsub(Page<String>),
    /// What is known of a pubsub node.
    PubsubNode(Box<PubsubFacts>),
    /// What is to be told of the node and of its cluster.
    Cluster(Box<Facts>),
    /// It has begun.
    Begun {
        /// The life that it is about.
        node: String,
    },
    /// Metrics.
    Metrics(Page<Family>),
    /// What was changed by whom.
    Audit(Page<AuditLine>),
    /// A new token, which is shown once.
    Token {
        /// The token itself.
        token: String,
        /// By which it is revoked.
        id: String,
    },
    /// The tokens.
    Tokens(Vec<TokenFacts>),
    /// It is not done.
    Refused {
        /// What kind of refusal.
        why: Why,
        /// In words.
        reason: String,
        /// The field that is wrong.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        field: Option<String>,
    },
}

/// Why something was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The request makes no sense.
    Invalid,
    /// The account exists.
    Exists,
    /// There is no such account, room, node, token.
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
    /// Who asks may not.
    Denied,
}

impl Why {
    /// Its name, as it is serialised.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Exists => "exists",
            Self::Absent => "absent",
            Self::NotRunning => "not_running",
            Self::Elsewhere => "elsewhere",
            Self::Store => "store",
            Self::Alone => "alone",
            Self::Busy => "busy",
            Self::Denied => "denied",
        }
    }
}

fn refused(why: Why, reason: impl Into<String>) -> Response {
    Response::Refused {
        why,
        reason: reason.into(),
        field: None,
    }
}

/// What there is of a node only while it runs.
fn running<T>(part: Option<T>) -> Result<T, Response> {
    part.ok_or_else(|| refused(Why::NotRunning, "the node does not run"))
}

/// The address of an account, of any domain.
fn address(field: &str, text: &str) -> Result<BareJid, Response> {
    let none = |error| invalid(field, format!("\"{text}\" is no address: {error}"));
    let address = BareJid::parse(text).map_err(none)?;
    match address.local() {
        Some(_) => Ok(address),
        None => Err(invalid(
            field,
            format!("\"{text}\" has no name before the @"),
        )),
    }
}

fn invalid(field: &str, reason: impl Into<String>) -> Response {
    Response::Refused {
        why: Why::Invalid,
        reason: reason.into(),
        field: Some(field.to_owned()),
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
        Condition::NotAcceptable => invalid("password", text),
        Condition::NotAllowed => {
            let domain = account.domain();
            let reason = format!(
                "another system has the accounts of {domain}: make, change and remove them there"
            );
            refused(Why::Elsewhere, reason)
        }
        _ => waits(error),
    }
}

/// What is to be tried again.
fn waits(error: &StanzaError) -> Response {
    let text = error.text.as_deref().unwrap_or("the node's log says why");
    let condition = error.condition.as_str();
    refused(Why::Store, format!("the store says: {condition} ({text})"))
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
    /// Whose accounts administer the server.
    pub admins: Vec<BareJid>,
    /// Tokens, and the audit log.
    pub operators: Operators,
    /// The rooms, if there are any and the node runs.
    pub rooms: Option<Arc<Muc>>,
    /// The services for publishing.
    pub pubsub: Vec<String>,
    /// The metrics, if the node runs.
    pub metrics: Option<Metrics>,
    /// The node, if it runs.
    pub live: Option<Arc<dyn Live>>,
    /// What there is to operate it, if it runs.
    pub desk: Option<Desk>,
}

impl Administrator {
    /// Does what somebody asks, if they may. What changes anything is in the audit log before it is done.
    pub async fn ask(&self, caller: &Caller, request: Request) -> Response {
        let request = request.normalised();
        let may = caller.may(&request);
        if let Err(refusal) = may.and_then(|()| caller.may_change(&request, &self.admins)) {
            return refusal;
        }
        match self.begin(caller, &request).await {
            Err(refusal) => refusal,
            Ok(None) => self.perform(caller, request).await,
            Ok(Some(entry)) => {
                let response = self.perform(caller, request).await;
                self.end(entry, &response).await;
                response
            }
        }
    }

    async fn perform(&self, caller: &Caller, request: Request) -> Response {
        let outcome = match request {
            Request::Ping => Ok(Response::Done),
            Request::Whoami => Ok(self.whoami(caller)),
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
            Request::Account { account } => self.look(&account).await,
            Request::Roster {
                account,
                after,
                limit,
            } => self.roster(&account, after.as_deref(), limit).await,
            Request::Queue {
                account,
                after,
                limit,
            } => self.queue(&account, after, limit).await,
            Request::Sessions { account } => self.sessions(&account).await,
            Request::Kick { account } => self.kick(&account).await,
            Request::End { account, resource } => self.end_one(&account, &resource).await,
            Request::Online { after, limit } => self.online(after, limit).await,
            Request::Rooms {
                service,
                after,
                limit,
            } => self.list_rooms(&service, after.as_deref(), limit).await,
            Request::Room { room } => self.room(&room).await,
            Request::DestroyRoom { room, reason } => self.destroy_room(&room, reason).await,
            Request::Pubsub {
                service,
                after,
                limit,
            } => self.list_pubsub(&service, after.as_deref(), limit).await,
            Request::PubsubNode { service, node } => self.pubsub_node(&service, &node).await,
            Request::Groups { domain } => self.groups(&domain).await,
            Request::Group { domain, group } => self.show_group(&domain, &group).await,
            Request::GroupCreate {
                domain,
                group,
                change,
            } => self.create_group(&domain, group, &change).await,
            Request::GroupChange {
                domain,
                group,
                change,
            } => self.change_group(&domain, &group, &change).await,
            Request::GroupRemove { domain, group } => self.remove_group(&domain, &group).await,
            Request::GroupAdd {
                domain,
                group,
                members,
            } => self.add_members(&domain, &group, members).await,
            Request::GroupTakeOut {
                domain,
                group,
                members,
            } => self.take_out(&domain, &group, &members).await,
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
            Request::Metrics => self.all_metrics(),
            Request::Audit { before, limit } => self.audit(before, limit).await,
            Request::TokenCreate {
                name,
                scopes,
                lifetime_s,
            } => self.create_token(name, scopes, lifetime_s).await,
            Request::Tokens => self.list_tokens().await,
            Request::TokenRevoke { id } => self.revoke_token(&id).await,
        };
        outcome.unwrap_or_else(|refusal| refusal)
    }

    fn desk(&self) -> Result<&Desk, Response> {
        running(self.desk.as_ref())
    }

    fn live(&self) -> Result<&Arc<dyn Live>, Response> {
        running(self.live.as_ref())
    }
}
