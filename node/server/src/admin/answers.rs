//! Answers: what is told of accounts, sessions, rooms and the rest, and the shape of each for the OpenAPI document.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::shape::{Field, Object, Shape, Shaped, shaped};

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// In order.
    pub items: Vec<T>,
    /// What the next page is asked for with; `None`: there is none.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Of what was found where one more than `limit` was looked for.
    pub fn of(mut items: Vec<T>, limit: usize, name: impl Fn(&T) -> String) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(name);
        Self { items, next }
    }
}

shaped! {
    /// Who asks.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Whoami as "Self" {
        /// The token's name.
        pub name: String,
        /// What it may.
        pub scopes: Vec<String>,
        /// Of the program.
        pub version: String,
        /// The node that is asked, where there are several.
        pub node: Option<String>,
        /// The domains of accounts.
        pub domains: Vec<String>,
        /// The services of rooms.
        pub rooms: Vec<String>,
        /// The services for publishing.
        pub pubsub: Vec<String>,
    }

    /// An account in a list.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct User as "AccountLine" {
        /// Its localpart.
        pub name: String,
        /// Whether it is locked.
        pub disabled: bool,
        /// If that was asked.
        pub times: Option<Times>,
    }

    /// When an account was what, in milliseconds since 1970.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Times as "Times" {
        /// When it was made, in milliseconds since 1970.
        pub created_ms: u64 as Shape::Time,
        /// When its last session ended, in milliseconds since 1970; 0: never.
        pub last_active_ms: u64 as Shape::Time,
    }

    /// What is known of an account.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct AccountFacts as "Account" {
        /// Its bare address.
        pub account: String,
        /// Whether it is locked.
        pub disabled: bool,
        /// When it was made, in milliseconds since 1970.
        pub created_ms: u64 as Shape::Time,
        /// When its last session ended, in milliseconds since 1970; 0: never.
        pub last_active_ms: u64 as Shape::Time,
        /// Its sessions.
        pub sessions: usize,
        /// Messages that wait for its clients.
        pub waiting: u64,
        /// Its contacts.
        pub contacts: usize,
    }

    /// A contact (RFC 6121 §2.1.2).
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Contact as "Contact" {
        /// Its bare address.
        pub jid: String,
        /// What the account calls it.
        pub name: Option<String>,
        /// Where the account puts it.
        pub groups: Vec<String>,
        /// Who sees whose presence.
        pub subscription: String as Shape::OneOf(&["none", "to", "from", "both"]),
        /// The account asked, and waits.
        pub ask: bool,
    }

    /// A message that waits for an account's clients, without what it says.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Waiting as "WaitingMessage" {
        /// Its number in the log, which is its id in the archive.
        pub number: u64,
        /// When it came, in milliseconds since 1970.
        pub time_ms: u64 as Shape::Time,
        /// From whom.
        pub from: String,
        /// How long it is.
        pub bytes: usize,
    }

    /// A session.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct SessionFacts as "Session" {
        /// Its resource.
        pub resource: String,
    }

    /// Who is there.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Online as "Online" {
        /// Accounts that have sessions.
        pub accounts: u64,
        /// Their sessions.
        pub sessions: u64,
        /// Nodes that did not answer: who is there is not counted.
        pub silent: Vec<String>,
        /// Accounts, in order.
        pub items: Vec<String>,
        /// What the next page is asked for with; null: there is none.
        pub next: Option<String>,
    }

    /// A room in a list.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct RoomLine as "RoomLine" {
        /// Its address.
        pub room: String,
        /// What it is called.
        pub name: String,
        /// Whether everybody may see that there is it.
        pub public: bool,
        /// Whether everybody may enter.
        pub open: bool,
    }

    /// What is known of a room.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct RoomFacts as "Room" {
        /// Its address.
        pub room: String,
        /// By name: `occupants`, `created`, `owner` and others.
        pub facts: BTreeMap<String, String>,
    }

    /// What is known of a pubsub node.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct PubsubFacts as "PubsubNode" {
        /// Where it is.
        pub service: String,
        /// Its name.
        pub node: String,
        /// When it was made, in milliseconds since 1970.
        pub created_ms: u64 as Shape::Time,
        /// Who made it.
        pub creator: String,
        /// Items that it has.
        pub items: usize,
        /// Subscriptions.
        pub subscriptions: usize,
        /// Who may do what, by address.
        pub affiliations: BTreeMap<String, String>,
        /// Its configuration, as far as it is not the usual one.
        pub config: BTreeMap<String, Vec<String>>,
    }

    /// A metric with all its values.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub struct Family as "Metric" {
        /// Its name.
        pub name: String,
        /// What it tells.
        pub help: String,
        /// How it is to be read.
        pub kind: String as Shape::OneOf(&["counter", "gauge", "histogram"]),
        /// Its values.
        pub samples: Vec<Sample>,
    }

    /// A value of a metric.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub struct Sample as "Sample" {
        /// Its labels.
        pub labels: BTreeMap<String, String>,
        /// Of a histogram the sum of what was observed.
        pub value: f64,
        /// Of a histogram how often something was.
        pub count: Option<u64>,
    }

    /// A line of the audit log.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct AuditLine as "AuditLine" {
        /// Its number, from 1 on.
        pub number: u64,
        /// When it was begun, in milliseconds since 1970.
        pub at_ms: u64 as Shape::Time,
        /// `token` with its id and its name, `socket`, or `command` while the node was down.
        pub who: String,
        /// From where, if that was over a network.
        pub peer: Option<String>,
        /// Through which node, where there are several.
        pub node: Option<String>,
        /// What.
        pub operation: String,
        /// To what.
        pub target: Option<String>,
        /// `done`, why not in a word, or `unknown` if the node did not live to tell.
        pub outcome: String,
    }
}

pub(in crate::admin) const ENDED: Object = Object {
    name: "Ended",
    fields: &[Field("sessions", usize::SHAPE, "How many sessions end.")],
};

pub(in crate::admin) const BEGUN: Object = Object {
    name: "Begun",
    fields: &[Field("node", String::SHAPE, "The life that it is about.")],
};

/// A token, without what is secret of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFacts {
    /// By which it is revoked.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it may.
    pub scopes: Vec<String>,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Until when it is good; `None`: until it is revoked.
    pub expires_ms: Option<u64>,
}
