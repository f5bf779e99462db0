//! Answers: what is told of accounts, sessions, rooms and the rest, and the shape of each for the OpenAPI document.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::shape::{Field, Object, Shape};

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

const TEXT: Shape = Shape::Text;
const WHOLE: Shape = Shape::Whole;
const FLAG: Shape = Shape::Flag;
const TEXTS: Shape = Shape::List(&Shape::Text);
const MAYBE_TEXT: Shape = Shape::Maybe(&Shape::Text);
const MAYBE_WHOLE: Shape = Shape::Maybe(&Shape::Whole);

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whoami {
    /// A token's name, `socket` or `command`.
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

pub(super) const WHOAMI: Object = Object {
    name: "Self",
    fields: &[
        Field("name", TEXT, "The token's name."),
        Field("scopes", TEXTS, "What it may."),
        Field("version", TEXT, "Of the program."),
        Field(
            "node",
            MAYBE_TEXT,
            "The node that is asked, where there are several.",
        ),
        Field("domains", TEXTS, "The domains of accounts."),
        Field("rooms", TEXTS, "The services of rooms."),
        Field("pubsub", TEXTS, "The services for publishing."),
    ],
};

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

const CREATED: Field = Field(
    "created_ms",
    Shape::Time,
    "When it was made, in milliseconds since 1970.",
);
const LAST_ACTIVE: Field = Field(
    "last_active_ms",
    Shape::Time,
    "When its last session ended, in milliseconds since 1970; 0: never.",
);
const DISABLED: Field = Field("disabled", FLAG, "Whether it is locked.");

pub(super) const USER: Object = Object {
    name: "AccountLine",
    fields: &[
        Field("name", TEXT, "Its localpart."),
        DISABLED,
        Field(
            "times",
            Shape::Maybe(&Shape::Object(&Object {
                name: "Times",
                fields: &[CREATED, LAST_ACTIVE],
            })),
            "If that was asked.",
        ),
    ],
};

/// What is known of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountFacts {
    /// Its bare address.
    pub account: String,
    /// Whether it is locked.
    pub disabled: bool,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it was last there; 0: never.
    pub last_active_ms: u64,
    /// Its sessions.
    pub sessions: usize,
    /// Messages that wait for its clients.
    pub waiting: u64,
    /// Its contacts.
    pub contacts: usize,
}

pub(super) const ACCOUNT: Object = Object {
    name: "Account",
    fields: &[
        Field("account", TEXT, "Its bare address."),
        DISABLED,
        CREATED,
        LAST_ACTIVE,
        Field("sessions", WHOLE, "Its sessions."),
        Field("waiting", WHOLE, "Messages that wait for its clients."),
        Field("contacts", WHOLE, "Its contacts."),
    ],
};

/// A contact (RFC 6121 §2.1.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Its bare address.
    pub jid: String,
    /// What the account calls it.
    pub name: Option<String>,
    /// Where the account puts it.
    pub groups: Vec<String>,
    /// `none`, `to`, `from`, `both`.
    pub subscription: String,
    /// The account asked, and waits.
    pub ask: bool,
}

pub(super) const CONTACT: Object = Object {
    name: "Contact",
    fields: &[
        Field("jid", TEXT, "Its bare address."),
        Field("name", MAYBE_TEXT, "What the account calls it."),
        Field("groups", TEXTS, "Where the account puts it."),
        Field(
            "subscription",
            Shape::OneOf(&["none", "to", "from", "both"]),
            "Who sees whose presence.",
        ),
        Field("ask", FLAG, "The account asked, and waits."),
    ],
};

/// A message that waits for an account's clients, without what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Its number in the log, which is its id in the archive.
    pub number: u64,
    /// When it came, in milliseconds since 1970.
    pub time_ms: u64,
    /// From whom.
    pub from: String,
    /// How long it is.
    pub bytes: usize,
}

pub(super) const WAITING: Object = Object {
    name: "WaitingMessage",
    fields: &[
        Field(
            "number",
            WHOLE,
            "Its number in the log, which is its id in the archive.",
        ),
        Field(
            "time_ms",
            Shape::Time,
            "When it came, in milliseconds since 1970.",
        ),
        Field("from", TEXT, "From whom."),
        Field("bytes", WHOLE, "How long it is."),
    ],
};

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionFacts {
    /// Its resource.
    pub resource: String,
}

pub(super) const SESSION: Object = Object {
    name: "Session",
    fields: &[Field("resource", TEXT, "Its resource.")],
};

/// Who is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Online {
    /// Accounts that have sessions.
    pub accounts: u64,
    /// Their sessions.
    pub sessions: u64,
    /// Nodes that did not answer: who is there is not counted.
    pub silent: Vec<String>,
    /// Accounts, in order.
    pub items: Vec<String>,
    /// What the next page is asked for with.
    pub next: Option<String>,
}

pub(super) const ONLINE: Object = Object {
    name: "Online",
    fields: &[
        Field("accounts", WHOLE, "Accounts that have sessions."),
        Field("sessions", WHOLE, "Their sessions."),
        Field(
            "silent",
            TEXTS,
            "Nodes that did not answer: who is there is not counted.",
        ),
        Field("items", TEXTS, "Accounts, in order."),
        Field(
            "next",
            MAYBE_TEXT,
            "What the next page is asked for with; null: there is none.",
        ),
    ],
};

pub(super) const ENDED: Object = Object {
    name: "Ended",
    fields: &[Field("sessions", WHOLE, "How many sessions end.")],
};

pub(super) const BEGUN: Object = Object {
    name: "Begun",
    fields: &[Field("node", TEXT, "The life that it is about.")],
};

/// A room in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomLine {
    /// Its address.
    pub room: String,
    /// What it is called.
    pub name: String,
    /// Whether everybody may see that there is it.
    pub public: bool,
    /// Whether everybody may enter.
    pub open: bool,
}

pub(super) const ROOM_LINE: Object = Object {
    name: "RoomLine",
    fields: &[
        Field("room", TEXT, "Its address."),
        Field("name", TEXT, "What it is called."),
        Field(
            "public",
            FLAG,
            "Whether everybody may see that there is it.",
        ),
        Field("open", FLAG, "Whether everybody may enter."),
    ],
};

/// What is known of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomFacts {
    /// Its address.
    pub room: String,
    /// By name: `occupants`, `created`, `owner` and others.
    pub facts: BTreeMap<String, String>,
}

pub(super) const ROOM: Object = Object {
    name: "Room",
    fields: &[
        Field("room", TEXT, "Its address."),
        Field(
            "facts",
            Shape::Named(&Shape::Text),
            "By name: `occupants`, `created`, `owner` and others.",
        ),
    ],
};

/// What is known of a pubsub node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PubsubFacts {
    /// Where it is.
    pub service: String,
    /// Its name.
    pub node: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
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

pub(super) const PUBSUB_NODE: Object = Object {
    name: "PubsubNode",
    fields: &[
        Field("service", TEXT, "Where it is."),
        Field("node", TEXT, "Its name."),
        CREATED,
        Field("creator", TEXT, "Who made it."),
        Field("items", WHOLE, "Items that it has."),
        Field("subscriptions", WHOLE, "Subscriptions."),
        Field(
            "affiliations",
            Shape::Named(&Shape::Text),
            "Who may do what, by address.",
        ),
        Field(
            "config",
            Shape::Named(&TEXTS),
            "Its configuration, as far as it is not the usual one.",
        ),
    ],
};

/// A metric with all its values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// What it tells.
    pub help: String,
    /// `counter`, `gauge`, `histogram`.
    pub kind: String,
    /// Its values.
    pub samples: Vec<Sample>,
}

/// A value of a metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Of a histogram the sum of what was observed.
    pub value: f64,
    /// Of a histogram how often something was.
    pub count: Option<u64>,
}

pub(super) const FAMILY: Object = Object {
    name: "Metric",
    fields: &[
        Field("name", TEXT, "Its name."),
        Field("help", TEXT, "What it tells."),
        Field(
            "kind",
            Shape::OneOf(&["counter", "gauge", "histogram"]),
            "How it is to be read.",
        ),
        Field(
            "samples",
            Shape::List(&Shape::Object(&Object {
                name: "Sample",
                fields: &[
                    Field("labels", Shape::Named(&Shape::Text), "Its labels."),
                    Field(
                        "value",
                        Shape::Number,
                        "Of a histogram the sum of what was observed.",
                    ),
                    Field(
                        "count",
                        MAYBE_WHOLE,
                        "Of a histogram how often something was.",
                    ),
                ],
            })),
            "Its values.",
        ),
    ],
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

/// A line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// Its number.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who.
    pub who: String,
    /// From where.
    pub peer: Option<String>,
    /// Through which node.
    pub node: Option<String>,
    /// What.
    pub operation: String,
    /// To what.
    pub target: Option<String>,
    /// `done`, why not in a word, or `unknown`.
    pub outcome: String,
}

pub(super) const AUDIT: Object = Object {
    name: "AuditLine",
    fields: &[
        Field("number", WHOLE, "Its number, from 1 on."),
        Field(
            "at_ms",
            Shape::Time,
            "When it was begun, in milliseconds since 1970.",
        ),
        Field(
            "who",
            TEXT,
            "`token` with its id and its name, `socket`, or `command` while the node was down.",
        ),
        Field(
            "peer",
            MAYBE_TEXT,
            "From where, if that was over a network.",
        ),
        Field(
            "node",
            MAYBE_TEXT,
            "Through which node, where there are several.",
        ),
        Field("operation", TEXT, "What."),
        Field("target", MAYBE_TEXT, "To what."),
        Field(
            "outcome",
            TEXT,
            "`done`, why not in a word, or `unknown` if the node did not live to tell.",
        ),
    ],
};

const LINK: Object = Object {
    name: "Link",
    fields: &[
        Field("node", TEXT, "The other node's life."),
        Field("name", TEXT, "What people call it."),
        Field("address", TEXT, "Where it is reached."),
        Field("state", TEXT, "`up`, `silent`, `gone`."),
        Field(
            "latency_us",
            MAYBE_WHOLE,
            "There and back, in microseconds, once it was measured.",
        ),
        Field("queued_frames", WHOLE, "Frames that were not acknowledged."),
        Field("queued_bytes", WHOLE, "Their bytes."),
    ],
};

const MEMBER: Object = Object {
    name: "Member",
    fields: &[
        Field("node", TEXT, "Its life."),
        Field("name", TEXT, "What people call it."),
        Field("address", TEXT, "Where other nodes reach it."),
        Field("state", TEXT, "`up`, `ready`, `draining`."),
        Field(
            "weight",
            WHOLE,
            "Its share of the accounts, relative to the others.",
        ),
        Field("zone", TEXT, "What fails together with it."),
        Field("version", TEXT, "Of its program."),
        Field("since", WHOLE, "The epoch in which it came."),
        Field("is_me", FLAG, "Whether it is the node that is asked."),
    ],
};

const CLUSTER: Object = Object {
    name: "Cluster",
    fields: &[
        Field("cluster", TEXT, "The cluster's name."),
        Field("node", TEXT, "This life of this node."),
        Field("name", TEXT, "What people call it."),
        Field("address", TEXT, "Where other nodes reach it."),
        Field("zone", TEXT, "What fails together with it."),
        Field("version", TEXT, "Of its program."),
        Field(
            "phase",
            Shape::OneOf(&["joining", "serving", "fenced", "leaving", "fallen"]),
            "How far this node is.",
        ),
        Field("epoch", WHOLE, "The epoch of the view by which it serves."),
        Field("generation", WHOLE, "The generation of the directory."),
        Field(
            "directory",
            Shape::Object(&Object {
                name: "Directory",
                fields: &[
                    Field("kind", TEXT, "`raft` or `redis`."),
                    Field(
                        "role",
                        TEXT,
                        "`alone`, `leader`, `voter`, `observer`, `joining`.",
                    ),
                    Field("leader", MAYBE_TEXT, "The life that leads, where one does."),
                    Field(
                        "lag",
                        WHOLE,
                        "Entries that are known of and not applied yet.",
                    ),
                    Field(
                        "silence_ms",
                        MAYBE_WHOLE,
                        "How long ago those who order changes were heard of.",
                    ),
                    Field("fenced", FLAG, "It takes no changes, because of that."),
                ],
            }),
            "The directory of members.",
        ),
        Field(
            "members",
            Shape::List(&Shape::Object(&MEMBER)),
            "The members.",
        ),
        Field(
            "links",
            Shape::List(&Shape::Object(&LINK)),
            "The links to other nodes.",
        ),
        Field(
            "dialled",
            Shape::List(&Shape::Object(&Object {
                name: "Dialled",
                fields: &[
                    Field("address", TEXT, "The address."),
                    Field("node", MAYBE_TEXT, "Who answered there last."),
                    Field("trouble", MAYBE_TEXT, "What was wrong the last time."),
                ],
            })),
            "Addresses that are dialled.",
        ),
        Field("homes", WHOLE, "Homes in memory here."),
        Field(
            "sessions",
            WHOLE,
            "Sessions here, those that wait to be resumed included.",
        ),
        Field(
            "pipes",
            WHOLE,
            "Clients whose session is at another node, and the other way round.",
        ),
        Field(
            "leaving",
            Shape::Maybe(&Shape::Object(&Object {
                name: "Leaving",
                fields: &[
                    Field(
                        "step",
                        Shape::OneOf(&["told", "handing_over", "closing", "signing_off", "gone"]),
                        "What it does now.",
                    ),
                    Field(
                        "accounts",
                        WHOLE,
                        "Accounts with sessions that were here when it began.",
                    ),
                    Field("left", WHOLE, "Those that are still here."),
                    Field("elapsed_ms", WHOLE, "Since when, in milliseconds."),
                    Field(
                        "given_up",
                        WHOLE,
                        "Those that were not handed over in time.",
                    ),
                ],
            })),
            "How far leaving is; null: it stays.",
        ),
    ],
};

/// Of [`crate::status::Facts`].
pub(super) const FACTS: Object = Object {
    name: "Status",
    fields: &[
        Field("version", TEXT, "Of the program."),
        Field("domains", TEXTS, "What is served."),
        Field(
            "uptime_s",
            WHOLE,
            "For how long this life runs, in seconds.",
        ),
        Field(
            "not_ready",
            TEXTS,
            "Why the node is not to be sent clients; empty: it is.",
        ),
        Field(
            "store_trouble",
            MAYBE_TEXT,
            "What keeps the store from taking writes on this node.",
        ),
        Field("accounts", WHOLE, "Accounts that have sessions here."),
        Field("sessions", WHOLE, "Sessions here."),
        Field("parked", WHOLE, "Sessions that wait to be resumed."),
        Field("homes", WHOLE, "Homes in memory here."),
        Field(
            "secret",
            Shape::Maybe(&Shape::Object(&Object {
                name: "SecretRotation",
                fields: &[
                    Field("rotation", TEXT, "`settled`, `announced`, `proving`."),
                    Field("since", WHOLE, "Since when, in seconds since 1970."),
                ],
            })),
            "How far a rotation of the cluster's secret is, where the store keeps it.",
        ),
        Field(
            "cluster",
            Shape::Maybe(&Shape::Object(&CLUSTER)),
            "Its place in the cluster; null: the node is alone.",
        ),
    ],
};
