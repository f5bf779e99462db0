//! Requests: what may be asked, whichever door it comes through. What each needs and answers stands in [`operations`](super::operations).

use serde::{Deserialize, Serialize};
use xmpp::BareJid;

use super::groups::GroupChange;

/// What may be asked, one JSON object a line.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Whether anybody is there.
    Ping,
    /// Who asks, and what there is to be administered.
    Whoami,
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
    /// A domain's accounts in order, beyond `after`, at most [`MAX_PAGE`](super::MAX_PAGE).
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
    /// What is known of an account.
    Account {
        /// Bare address.
        account: String,
    },
    /// Its contacts in order, beyond `after`.
    Roster {
        /// Bare address.
        account: String,
        /// The last contact of the page before.
        after: Option<String>,
        /// How many.
        limit: usize,
    },
    /// What waits for its clients, without what it says.
    Queue {
        /// Bare address.
        account: String,
        /// The last number of the page before.
        after: Option<u64>,
        /// How many.
        limit: usize,
    },
    /// Its sessions.
    Sessions {
        /// Bare address.
        account: String,
    },
    /// Ends the sessions of an account.
    Kick {
        /// Bare address.
        account: String,
    },
    /// Ends one session of an account.
    End {
        /// Bare address.
        account: String,
        /// Which.
        resource: String,
    },
    /// Accounts with sessions, on all nodes.
    Online {
        /// The last account of the page before.
        after: Option<String>,
        /// How many.
        limit: usize,
    },
    /// The rooms of a service in order, beyond `after`.
    Rooms {
        /// The service.
        service: String,
        /// The last name of the page before.
        after: Option<String>,
        /// How many.
        limit: usize,
    },
    /// What is known of a room.
    Room {
        /// Its address.
        room: String,
    },
    /// Destroys a room; its occupants are told why.
    DestroyRoom {
        /// Its address.
        room: String,
        /// Why.
        reason: Option<String>,
    },
    /// The pubsub nodes of a service in order, beyond `after`.
    Pubsub {
        /// The service: a domain of one, or an account.
        service: String,
        /// The last name of the page before.
        after: Option<String>,
        /// How many.
        limit: usize,
    },
    /// What is known of a pubsub node.
    PubsubNode {
        /// The service.
        service: String,
        /// Its name.
        node: String,
    },
    /// The shared groups of a domain, without their members.
    Groups {
        /// The domain.
        domain: String,
    },
    /// One, with its members.
    Group {
        /// The domain.
        domain: String,
        /// Its id.
        group: String,
    },
    /// Makes a group.
    GroupCreate {
        /// The domain.
        domain: String,
        /// Its id.
        group: String,
        /// How it differs from one whose members are listed, and see each other.
        change: GroupChange,
    },
    /// A group becomes another.
    GroupChange {
        /// The domain.
        domain: String,
        /// Its id.
        group: String,
        /// What becomes of it.
        change: GroupChange,
    },
    /// Removes a group.
    GroupRemove {
        /// The domain.
        domain: String,
        /// Its id.
        group: String,
    },
    /// Adds members, or calls them something else.
    GroupAdd {
        /// The domain.
        domain: String,
        /// The id of the group.
        group: String,
        /// Their addresses, and how they are called.
        members: Vec<(String, Option<String>)>,
    },
    /// Takes members out.
    GroupTakeOut {
        /// The domain.
        domain: String,
        /// The id of the group.
        group: String,
        /// Their addresses.
        members: Vec<String>,
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
    /// The metrics of this node.
    Metrics,
    /// What was changed by whom, the newest first, ahead of `before`.
    Audit {
        /// The last number of the page before.
        before: Option<u64>,
        /// How many.
        limit: usize,
    },
    /// Makes a token.
    TokenCreate {
        /// What people call it.
        name: String,
        /// What it may.
        scopes: Vec<String>,
        /// For how long it is good, in seconds; `None`: until it is revoked.
        lifetime_s: Option<u64>,
    },
    /// The tokens.
    Tokens,
    /// Revokes a token.
    TokenRevoke {
        /// Its id.
        id: String,
    },
}

impl Request {
    /// The name of its operation, as it stands in `do`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Whoami => "whoami",
            Self::Add { .. } => "add",
            Self::Password { .. } => "password",
            Self::Remove { .. } => "remove",
            Self::Disable { .. } => "disable",
            Self::Enable { .. } => "enable",
            Self::List { .. } => "list",
            Self::Account { .. } => "account",
            Self::Roster { .. } => "roster",
            Self::Queue { .. } => "queue",
            Self::Sessions { .. } => "sessions",
            Self::Kick { .. } => "kick",
            Self::End { .. } => "end",
            Self::Online { .. } => "online",
            Self::Rooms { .. } => "rooms",
            Self::Room { .. } => "room",
            Self::DestroyRoom { .. } => "destroy_room",
            Self::Pubsub { .. } => "pubsub",
            Self::PubsubNode { .. } => "pubsub_node",
            Self::Groups { .. } => "groups",
            Self::Group { .. } => "group",
            Self::GroupCreate { .. } => "group_create",
            Self::GroupChange { .. } => "group_change",
            Self::GroupRemove { .. } => "group_remove",
            Self::GroupAdd { .. } => "group_add",
            Self::GroupTakeOut { .. } => "group_take_out",
            Self::ClusterStatus => "cluster_status",
            Self::Departure { .. } => "departure",
            Self::Drain { .. } => "drain",
            Self::Fence { .. } => "fence",
            Self::RotateSecret => "rotate_secret",
            Self::Metrics => "metrics",
            Self::Audit { .. } => "audit",
            Self::TokenCreate { .. } => "token_create",
            Self::Tokens => "tokens",
            Self::TokenRevoke { .. } => "token_revoke",
        }
    }

    /// The same with the domain that it names as addresses have it (RFC 7622 §3.2). What is no domain stays as it is.
    #[must_use]
    pub(super) fn normalised(mut self) -> Self {
        let domain = match &mut self {
            Self::List { domain, .. }
            | Self::Groups { domain }
            | Self::Group { domain, .. }
            | Self::GroupCreate { domain, .. }
            | Self::GroupChange { domain, .. }
            | Self::GroupRemove { domain, .. }
            | Self::GroupAdd { domain, .. }
            | Self::GroupTakeOut { domain, .. } => domain,
            Self::Rooms { service, .. }
            | Self::Pubsub { service, .. }
            | Self::PubsubNode { service, .. } => service,
            _ => return self,
        };
        if let Ok(known) = BareJid::from_parts(None, domain) {
            *domain = known.as_str().to_owned();
        }
        self
    }

    /// To what it is done, for the audit log: an address, a node, the name of a token. Never a secret.
    pub fn target(&self) -> Option<String> {
        match self {
            Self::Add { account, .. }
            | Self::Password { account, .. }
            | Self::Remove { account }
            | Self::Disable { account }
            | Self::Enable { account }
            | Self::Account { account }
            | Self::Roster { account, .. }
            | Self::Queue { account, .. }
            | Self::Sessions { account }
            | Self::Kick { account } => Some(account.clone()),
            Self::End { account, resource } => Some(format!("{account}/{resource}")),
            Self::Room { room } | Self::DestroyRoom { room, .. } => Some(room.clone()),
            Self::Drain { node } => node.clone(),
            Self::Fence { node } | Self::Departure { node } => Some(node.clone()),
            Self::TokenCreate { name, scopes, .. } => Some(format!("{name}: {}", scopes.join(" "))),
            Self::TokenRevoke { id } => Some(id.clone()),
            Self::Rooms { service, .. }
            | Self::Pubsub { service, .. }
            | Self::PubsubNode { service, .. } => Some(service.clone()),
            Self::List { domain, .. } | Self::Groups { domain } => Some(domain.clone()),
            Self::Group { domain, group }
            | Self::GroupCreate { domain, group, .. }
            | Self::GroupChange { domain, group, .. }
            | Self::GroupRemove { domain, group } => Some(format!("{domain}: {group}")),
            Self::GroupAdd {
                domain,
                group,
                members,
            } => {
                let members: Vec<&str> = members.iter().map(|(jid, _)| jid.as_str()).collect();
                Some(format!("{domain}: {group}: {}", members.join(" ")))
            }
            Self::GroupTakeOut {
                domain,
                group,
                members,
            } => Some(format!("{domain}: {group}: {}", members.join(" "))),
            Self::Ping
            | Self::Whoami
            | Self::Online { .. }
            | Self::ClusterStatus
            | Self::RotateSecret
            | Self::Metrics
            | Self::Audit { .. }
            | Self::Tokens => None,
        }
    }
}
