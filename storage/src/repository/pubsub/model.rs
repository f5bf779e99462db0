//! What is kept of a pubsub node, in the words of XEP-0060.
//!
//! Configuration and options are kept as fields of a form: the store need not know what they mean, and a field that a later
//! version adds reads back as it was written.

use std::sync::Arc;

use bytes::Bytes;
use xmpp::{BareJid, Jid};

/// A field of a form by its name, with its values.
pub type PubsubField = (String, Vec<String>);

/// What somebody may do at a node (XEP-0060 §4.1). Who has none is not in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PubsubAffiliation {
    /// Everything.
    Owner,
    /// Publish, subscribe, retrieve.
    Publisher,
    /// Publish alone.
    PublishOnly,
    /// Subscribe and retrieve where that is not for everybody.
    Member,
    /// Nothing.
    Outcast,
}

impl PubsubAffiliation {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Owner,
        Self::Publisher,
        Self::PublishOnly,
        Self::Member,
        Self::Outcast,
    ];

    /// The attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Publisher => "publisher",
            Self::PublishOnly => "publish-only",
            Self::Member => "member",
            Self::Outcast => "outcast",
        }
    }

    /// From an attribute's value.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }
}

/// How far a subscription is (XEP-0060 §4.2). Who has none is not in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PubsubState {
    /// An owner has to approve it.
    Pending,
    /// Its options have not been configured.
    Unconfigured,
    /// It gets what is published.
    Subscribed,
}

impl PubsubState {
    /// The attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Unconfigured => "unconfigured",
            Self::Subscribed => "subscribed",
        }
    }

    /// From an attribute's value.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Unconfigured, Self::Subscribed]
            .into_iter()
            .find(|known| known.as_str() == text)
    }
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PubsubSubscription {
    /// Who is told: the address as it was given.
    pub jid: Jid,
    /// Tells those of one address apart.
    pub id: Arc<str>,
    /// How far it is.
    pub state: PubsubState,
    /// Its options, as far as they are not the usual ones.
    pub options: Vec<PubsubField>,
}

/// An item without its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PubsubItemHead {
    /// Its name at its node.
    pub id: Arc<str>,
    /// Items are in the order of these.
    pub sequence: u64,
    /// When it was published, in milliseconds since 1970.
    pub published_ms: u64,
    /// By whom.
    pub publisher: Arc<str>,
    /// How long its payload is.
    pub bytes: u32,
    /// Where a large payload is; the store's own business.
    pub(crate) blob: Option<Arc<str>>,
}

/// An item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PubsubItem {
    /// What it is called, when it came, from whom.
    pub head: PubsubItemHead,
    /// Its payload as an element that says its namespace itself; empty: it has none.
    pub payload: Bytes,
}

impl PubsubItemHead {
    /// One that was not stored yet.
    pub fn new(id: &str, sequence: u64, published_ms: u64, publisher: &str, bytes: u32) -> Self {
        Self {
            bytes,
            id: id.into(),
            sequence,
            published_ms,
            publisher: publisher.into(),
            blob: None,
        }
    }
}

/// A node without its subscriptions and items: what is read to know what an account has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PubsubHead {
    /// Its name.
    pub node: String,
    /// The version that changes must name; 0: nothing is stored yet.
    pub version: u64,
    /// Drawn when the node is made, one more when it is purged: items of another one are none of its.
    pub generation: u64,
    /// That of the next item.
    pub sequence: u64,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Who made it.
    pub creator: BareJid,
    /// Its configuration, as far as it is not the usual one.
    pub config: Vec<PubsubField>,
    /// Who may do what, sorted by address.
    pub affiliations: Vec<(BareJid, PubsubAffiliation)>,
    /// The item published last, if it is there and small ([`PubsubHead::MAX_LAST`]).
    pub last: Option<PubsubItem>,
}

impl PubsubHead {
    /// Longest payload that stands in the head, so that telling of it costs no other read.
    pub const MAX_LAST: usize = 2 << 10;
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PubsubNode {
    /// All but what follows.
    pub head: PubsubHead,
    /// By address and id.
    pub subscriptions: Arc<Vec<PubsubSubscription>>,
    /// In the order of publication.
    pub items: Arc<Vec<PubsubItemHead>>,
}

/// What changes with a head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PubsubChange {
    /// An item that is published. It takes the place of one of the same id.
    pub put: Option<PubsubItem>,
    /// Items that go: of those that were there, all that are not any more, but not the one that `put` replaces.
    pub removed: Vec<PubsubItemHead>,
    /// The item that `put` replaces.
    pub replaced: Option<PubsubItemHead>,
    /// Subscriptions that come or change.
    pub subscribed: Vec<PubsubSubscription>,
    /// Subscriptions that go.
    pub unsubscribed: Vec<PubsubSubscription>,
    /// Who has a subscription or an affiliation here from now on, or has none any more.
    pub concerned: Vec<(BareJid, bool)>,
    /// All items go: the head has a new generation.
    pub purged: Vec<PubsubItemHead>,
}
