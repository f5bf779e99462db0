//! Configuration: how a node behaves.
//!
//! Source: XEP-0060 §8.2 and §16.4.4, XEP-0163 §5 (defaults of accounts). Left out: transformations (XSLT), digests,
//! collections (XEP-0248), `tempsub`, `presence_based_delivery`, `purge_offline`.
//! Kept: as fields of its form, those that differ from the defaults of the service.

use std::fmt;

/// Declares an enum whose values are words of a form.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal, $label:literal);* $(;)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),* }
        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// The value in a form.
            pub fn as_str(self) -> &'static str { match self { $(Self::$variant => $text),* } }
            /// For people.
            pub fn label(self) -> &'static str { match self { $(Self::$variant => $label),* } }
            /// From a value in a form.
            pub fn parse(text: &str) -> Option<Self> { Self::ALL.iter().copied().find(|known| known.as_str() == text) }
        }
        impl fmt::Display for $name { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) } }
    };
}

words! {
    /// Who may subscribe and retrieve (§4.5).
    AccessModel {
        /// Everybody.
        Open = "open", "Anyone may subscribe and retrieve items";
        /// Who sees the owner's presence.
        Presence = "presence", "Anyone with a presence subscription may subscribe and retrieve items";
        /// Contacts in certain groups.
        Roster = "roster", "Anyone in the specified roster groups may subscribe and retrieve items";
        /// Subscribers that an owner approved.
        Authorize = "authorize", "Subscriptions must be approved, and only subscribers may retrieve items";
        /// Who has an affiliation that says so.
        Whitelist = "whitelist", "Only those on a list may subscribe and retrieve items";
    }
}

words! {
    /// Who may publish.
    PublishModel {
        /// Owners and publishers.
        Publishers = "publishers", "Only publishers may publish";
        /// Subscribers too.
        Subscribers = "subscribers", "Subscribers may publish";
        /// Everybody.
        Open = "open", "Anyone may publish";
    }
}

words! {
    /// When the item published last is sent.
    SendLast {
        /// Never.
        Never = "never", "Never";
        /// To a new subscriber.
        OnSub = "on_sub", "When a new subscription is processed";
        /// To a new subscriber, and to one who comes.
        OnSubAndPresence = "on_sub_and_presence", "When a new subscription is processed and whenever a subscriber comes online";
    }
}

words! {
    /// What happens when one more item comes than there may be (§7.1.2).
    WhenFull {
        /// The oldest goes, as if it had been retracted.
        RetractOldest = "retract-oldest", "Retract the oldest item";
        /// The oldest goes.
        DiscardOldest = "discard-oldest", "Discard the oldest item";
        /// The new one is refused.
        Reject = "reject", "Reject the new item";
    }
}

words! {
    /// The type of messages that tell of events.
    NotificationType {
        /// They wait for nobody.
        Headline = "headline", "Messages of type headline";
        /// They are kept for who is away.
        Normal = "normal", "Messages of type normal";
    }
}

/// How many, or as many as the service permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Most {
    /// So many.
    Exactly(u64),
    /// As many as the service permits (`max`).
    Max,
}

impl Most {
    /// At most so many, the service permitting `limit`.
    pub fn within(self, limit: usize) -> usize {
        match self {
            Self::Exactly(count) => usize::try_from(count).map_or(limit, |count| count.min(limit)),
            Self::Max => limit,
        }
    }

    /// From a value in a form.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "max" => Some(Self::Max),
            text => text.parse().ok().map(Self::Exactly),
        }
    }
}

impl fmt::Display for Most {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(count) => count.fmt(f),
            Self::Max => f.write_str("max"),
        }
    }
}

/// How a node behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What people call it.
    pub title: String,
    /// What it is about.
    pub description: String,
    /// Its language.
    pub language: String,
    /// The namespace of its payloads; empty: any.
    pub payload_type: String,
    /// Whom to ask.
    pub contact: Vec<String>,
    /// Who may subscribe and retrieve.
    pub access: AccessModel,
    /// The groups of `AccessModel::Roster`.
    pub groups: Vec<String>,
    /// Who may publish.
    pub publish: PublishModel,
    /// Whether items are kept.
    pub persist: bool,
    /// How many.
    pub max_items: Most,
    /// For how many seconds.
    pub item_expire: Most,
    /// When there is one too many.
    pub when_full: WhenFull,
    /// Longest payload in bytes, as far as the service permits it.
    pub max_payload: Most,
    /// Whether subscribers are told of items at all.
    pub deliver: bool,
    /// Whether they are given payloads.
    pub deliver_payloads: bool,
    /// Whether they are told of a new configuration.
    pub notify_config: bool,
    /// Whether they are told that the node is deleted.
    pub notify_delete: bool,
    /// Whether they are told of items that go.
    pub notify_retract: bool,
    /// Whether owners are told of subscriptions.
    pub notify_sub: bool,
    /// What they are told by.
    pub notification_type: NotificationType,
    /// When the last item is sent.
    pub send_last: SendLast,
    /// Whether anybody may subscribe.
    pub subscribe: bool,
}

impl Config {
    /// Of a node of an account (XEP-0163 §5): one item, for who sees the account's presence.
    pub fn of_account() -> Self {
        Self {
            access: AccessModel::Presence,
            max_items: Most::Exactly(1),
            send_last: SendLast::OnSubAndPresence,
            ..Self::of_service()
        }
    }

    /// Of a node of a service.
    pub fn of_service() -> Self {
        Self {
            title: String::new(),
            description: String::new(),
            language: String::new(),
            payload_type: String::new(),
            contact: Vec::new(),
            access: AccessModel::Open,
            groups: Vec::new(),
            publish: PublishModel::Publishers,
            persist: true,
            max_items: Most::Max,
            item_expire: Most::Max,
            when_full: WhenFull::RetractOldest,
            max_payload: Most::Max,
            deliver: true,
            deliver_payloads: true,
            notify_config: false,
            notify_delete: true,
            notify_retract: true,
            notify_sub: false,
            notification_type: NotificationType::Headline,
            send_last: SendLast::OnSub,
            subscribe: true,
        }
    }
}
