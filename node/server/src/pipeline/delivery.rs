//! Delivery: where a stanza for an account of ours goes.
//!
//! Source: RFC 6121 §8.5, whose Table 1 the tests spell out; XEP-0160 §3 for what is kept for later.
//! Where the RFC leaves a choice, this is ours:
//! - *M/A* is A: a message to the bare address goes to every resource of non-negative priority, chat included. The
//!   RFC asks clients to opt in to that; a client that sets a non-negative priority on a server that announces
//!   carbons (XEP-0280) expects all messages, and the client with the highest priority is seldom the one in use.
//! - *D/A* is D: the other resources get carbons.
//! - *O/E* is O, unless the message may not be kept: then E, or S if nobody would miss it ([`WhenAway`]).
//! - *S/E* is E, so that no message vanishes, except for headlines (S): nobody waits for them, and an error to a bot
//!   is noise.
//!
//! Pure: the home of the account names the resources, this names the action, the home acts. In no case is `to`
//! rewritten (§8.5.2.1.1).

/// The `type` of a message (RFC 6121 §5.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MessageType {
    /// One message outside a conversation; also what no type, or an unknown one, means.
    #[default]
    Normal,
    /// Part of a conversation.
    Chat,
    /// Part of a conversation in a room.
    Groupchat,
    /// An alert or notification without reply.
    Headline,
    /// What became of an earlier message.
    Error,
}

impl MessageType {
    /// From the attribute. RFC 6121 §5.2.2: an unknown value is `normal`.
    pub fn parse(text: Option<&str>) -> Self {
        match text {
            Some("chat") => Self::Chat,
            Some("groupchat") => Self::Groupchat,
            Some("headline") => Self::Headline,
            Some("error") => Self::Error,
            _ => Self::Normal,
        }
    }
}

/// The `type` of a presence, as far as delivery goes (RFC 6121 §4.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PresenceType {
    /// No type: available.
    Available,
    /// `unavailable`
    Unavailable,
    /// `subscribe`
    Subscribe,
    /// `subscribed`, `unsubscribe` or `unsubscribed`.
    OtherSubscription,
    /// `probe`
    Probe,
    /// `error`
    Error,
}

impl PresenceType {
    /// From the attribute; `None` for an unknown value, which is a `bad-request` (RFC 6121 §4.7.1).
    pub fn parse(text: Option<&str>) -> Option<Self> {
        Some(match text {
            None => Self::Available,
            Some("unavailable") => Self::Unavailable,
            Some("subscribe") => Self::Subscribe,
            Some("subscribed" | "unsubscribe" | "unsubscribed") => Self::OtherSubscription,
            Some("probe") => Self::Probe,
            Some("error") => Self::Error,
            Some(_) => return None,
        })
    }
}

/// The `type` of an IQ (RFC 6120 §8.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IqType {
    /// Asks.
    Get,
    /// Asks for a change.
    Set,
    /// Answers.
    Result,
    /// Answers that it failed.
    Error,
}

impl IqType {
    /// From the attribute; `None` for none or an unknown value, which is a `bad-request`.
    pub fn parse(text: Option<&str>) -> Option<Self> {
        Some(match text? {
            "get" => Self::Get,
            "set" => Self::Set,
            "result" => Self::Result,
            "error" => Self::Error,
            _ => return None,
        })
    }
    /// Whether an answer is due.
    pub fn is_request(self) -> bool {
        matches!(self, Self::Get | Self::Set)
    }
}

/// What to do with a message if no resource may have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WhenAway {
    /// Keep it for later.
    #[default]
    Store,
    /// It may not be kept (`no-store`, a full store, a service without one): the sender learns it.
    Bounce,
    /// Nobody misses it: a chat state alone.
    Drop,
}

/// One resource of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource<'a> {
    /// The resourcepart.
    pub name: &'a str,
    /// The priority if it is available; `None` if it is only connected.
    pub priority: Option<i8>,
}

impl Resource<'_> {
    fn is_non_negative(&self) -> bool {
        self.priority.is_some_and(|priority| priority >= 0)
    }
}

/// What delivery needs to know of the addressee.
#[derive(Debug, Clone, Copy)]
pub struct Addressee<'a> {
    /// Whether there is such an account.
    pub exists: bool,
    /// Its resources, connected ones included.
    pub resources: &'a [Resource<'a>],
    /// The resourcepart of `to`; `None` for a bare address.
    pub resource: Option<&'a str>,
}

/// Who among the addressee RFC 6121 §8.5.4 distinguishes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Bare,
    Match,
    NoMatch,
}

impl Addressee<'_> {
    fn to(&self) -> To {
        match self.resource {
            None => To::Bare,
            Some(name) if self.resources.iter().any(|r| r.name == name) => To::Match,
            Some(_) => To::NoMatch,
        }
    }
    fn any_non_negative(&self) -> bool {
        self.resources.iter().any(Resource::is_non_negative)
    }
    fn any_available(&self) -> bool {
        self.resources.iter().any(|r| r.priority.is_some())
    }
}

/// What happens to the stanza. RFC 6121 §8.5.4 names the letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// D: the resource in `to`.
    ToResource,
    /// A: every resource of non-negative priority; there is one.
    ToNonNegative,
    /// Every available resource whatever its priority (presence); there is one.
    ToAvailable,
    /// O: keep it.
    Store,
    /// E: `service-unavailable` to the sender.
    Bounce,
    /// S: nothing.
    Ignore,
    /// The server answers in the account's name: an IQ (§8.5.2.1.3), a subscription (§3), a probe (§4.3.2).
    Serve,
}

impl Action {
    /// Which of the resources get the stanza.
    pub fn recipients<'a>(self, to: Addressee<'a>) -> impl Iterator<Item = &'a Resource<'a>> {
        to.resources.iter().filter(move |resource| match self {
            Self::ToResource => Some(resource.name) == to.resource,
            Self::ToNonNegative => resource.is_non_negative(),
            Self::ToAvailable => resource.priority.is_some(),
            Self::Store | Self::Bounce | Self::Ignore | Self::Serve => false,
        })
    }
}

/// Which of some resources is the most available: the place of the highest priority that is not negative, the last
/// of equals. For what goes to one resource only: messages that waited (XEP-0160 §2), or that another resource left
/// unacknowledged.
pub fn most_available(priorities: impl IntoIterator<Item = Option<i8>>) -> Option<usize> {
    let able = priorities
        .into_iter()
        .enumerate()
        .filter_map(|(place, priority)| Some((priority.filter(|p| *p >= 0)?, place)));
    able.max().map(|(_, place)| place)
}

/// A message for an account (RFC 6121 §8.5.1 to §8.5.4).
pub fn message(kind: MessageType, away: WhenAway, to: Addressee<'_>) -> Action {
    use MessageType as T;
    if !to.exists {
        return match kind {
            T::Normal | T::Chat | T::Groupchat => Action::Bounce,
            T::Headline | T::Error => Action::Ignore,
        };
    }
    let store = || match away {
        WhenAway::Store => Action::Store,
        WhenAway::Bounce => Action::Bounce,
        WhenAway::Drop => Action::Ignore,
    };
    match (to.to(), kind) {
        // §8.5.3.1: whatever its priority, and even if it is only connected.
        (To::Match, _) => Action::ToResource,
        (_, T::Error) => Action::Ignore,
        (To::Bare, T::Groupchat) => Action::Bounce,
        (To::Bare, T::Headline) if to.any_non_negative() => Action::ToNonNegative,
        (_, T::Headline) => Action::Ignore,
        // §8.5.2.1.1 and, for chat, §8.5.3.2.1: the resource left, the conversation goes on with the others.
        (To::Bare, T::Normal) | (To::Bare | To::NoMatch, T::Chat) => {
            if to.any_non_negative() {
                Action::ToNonNegative
            } else {
                store()
            }
        }
        (To::NoMatch, T::Normal | T::Groupchat) => match away {
            WhenAway::Drop => Action::Ignore,
            WhenAway::Store | WhenAway::Bounce => Action::Bounce,
        },
    }
}

/// A presence for an account.
pub fn presence(kind: PresenceType, to: Addressee<'_>) -> Action {
    use PresenceType as T;
    let known = match kind {
        // §4.3.2 rule 1: `unsubscribed`, also for an account that does not exist, so that nobody can tell.
        T::Probe => return Action::Serve,
        _ if !to.exists => return Action::Ignore,
        T::Available | T::Unavailable => to.to(),
        // §8.5.3.2.2: the resource being gone matters to the answers, not to the question.
        T::Subscribe => return Action::Serve,
        T::OtherSubscription if to.to() == To::NoMatch => return Action::Ignore,
        T::OtherSubscription => return Action::Serve,
        // Not in the RFC: an error to the bare address answers a subscription stanza, which left from there.
        T::Error => to.to(),
    };
    match known {
        To::Match => Action::ToResource,
        To::Bare if to.any_available() => Action::ToAvailable,
        To::Bare | To::NoMatch => Action::Ignore,
    }
}

/// An IQ for an account. `sees_presence`: the sender sees the resource's presence by a subscription ("From" or
/// "Both"), by directed presence, or because it is the same account.
pub fn iq(kind: IqType, sees_presence: bool, to: Addressee<'_>) -> Action {
    match (to.to(), kind.is_request()) {
        (_, true) if !to.exists => Action::Bounce,
        // RFC 6120 §8.3.1: what is itself an answer is not answered.
        (_, false) if !to.exists => Action::Ignore,
        (To::Bare, _) => Action::Serve,
        (To::Match, false) => Action::ToResource,
        // §8.5.3.1: else the answer would tell that the resource is there.
        (To::Match, true) if sees_presence => Action::ToResource,
        (To::Match | To::NoMatch, true) => Action::Bounce,
        (To::NoMatch, false) => Action::Ignore,
    }
}

#[cfg(test)]
mod tests;
