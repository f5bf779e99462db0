//! Operations: each one's name, who may have it done, what it needs, what it answers.
//!
//! Source of the socket's requests, of the paths of the HTTP API and of its OpenAPI document (RFC 9110; OpenAPI 3.1), so
//! that they cannot differ: a test holds this table to [`Request`](super::Request) field by field.

mod table;

pub use table::OPERATIONS;

use crate::shape::Shape;

/// What a token may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// See metrics and the state of the cluster, and nothing of a user.
    Metrics,
    /// See everything: accounts, rosters, sessions, rooms, what is published.
    Read,
    /// Make, change and remove accounts.
    Accounts,
    /// Do to the accounts of administrators what another scope allows to be done to accounts.
    Administrators,
    /// End sessions.
    Sessions,
    /// Destroy rooms.
    Rooms,
    /// Drain and fence nodes, replace the secret of the cluster.
    Cluster,
    /// Read the audit log.
    Audit,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Metrics,
        Self::Read,
        Self::Accounts,
        Self::Administrators,
        Self::Sessions,
        Self::Rooms,
        Self::Cluster,
        Self::Audit,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Read => "read",
            Self::Accounts => "accounts",
            Self::Administrators => "administrators",
            Self::Sessions => "sessions",
            Self::Rooms => "rooms",
            Self::Cluster => "cluster",
            Self::Audit => "audit",
        }
    }

    /// What it is for, for people.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Metrics => "see metrics and the state of the cluster, and nothing of a user",
            Self::Read => "see everything but the audit log",
            Self::Accounts => "make, change and remove accounts, those of administrators apart",
            Self::Administrators => "with accounts: the same with the accounts of administrators",
            Self::Sessions => "end sessions",
            Self::Rooms => "destroy rooms",
            Self::Cluster => "drain and fence nodes, replace the secret of the cluster",
            Self::Audit => "read the audit log",
        }
    }

    /// By its name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// How an operation is asked for over HTTP.
#[derive(Debug, Clone, Copy)]
pub struct Http {
    /// The method.
    pub method: &'static str,
    /// Behind `/api/v1`; `{name}` is a parameter.
    pub path: &'static str,
    /// The status when it is done.
    pub status: u16,
}

/// Whether an operation changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It looks.
    Look,
    /// It changes what is stored: nothing is done that the audit log did not take first.
    Change,
    /// It must work while the store does not: the audit log is told if it takes it.
    Rescue,
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the path.
    Path,
    /// Behind `?`.
    Query,
    /// In the JSON of the body.
    Body,
}

/// What a parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// Text of at most [`MAX_TEXT`] bytes.
    Text,
    /// The same, and never shown.
    Secret,
    /// A number from 0 to this.
    Whole(u64),
    /// A number from 1 to this.
    Count(u64),
    /// `true` or `false`.
    Flag,
}

/// Longest text of a parameter, in bytes: beyond the longest address (RFC 7622 §3.1).
pub const MAX_TEXT: usize = 4_096;

/// A parameter.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name, that of the field.
    pub name: &'static str,
    /// Where.
    pub place: Place,
    /// What.
    pub value: Value,
    /// What is taken if it is not there, as JSON; `None`: it must be there.
    pub default: Option<&'static str>,
    /// For people.
    pub summary: &'static str,
}

/// An operation.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Its name, as it stands in `do`.
    pub name: &'static str,
    /// For people.
    pub summary: &'static str,
    /// Any of these is enough; none: any token is.
    pub scopes: &'static [Scope],
    /// Whether it changes anything.
    pub kind: Kind,
    /// `None`: only at the socket, on the machine of the node.
    pub http: Option<Http>,
    /// What it needs.
    pub parameters: &'static [Parameter],
    /// What it answers; `None`: nothing.
    pub answer: Option<Shape>,
}

/// By its name.
pub fn operation(name: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|operation| operation.name == name)
}
