//! Subscription states: what one of the four subscription stanzas changes, and what follows from it.
//!
//! Source: RFC 6121 Appendix A (nine states, tables 2 to 9), §3.4 (pre-approval), §2.5.2 (removal).
//! The nine states are the product of two independent halves of three: my subscription to the contact and the
//! contact's subscription to me, each absent, asked for, or granted. Each stanza moves one half only, so eight short
//! rules stand for the 72 cells, which the tests spell out.
//! Pure: the caller loads the item, applies the outcome, saves it by compare-and-set, and sends.

mod item;

/// One direction of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Half {
    /// Neither granted nor asked for.
    #[default]
    Absent,
    /// Asked for, not answered.
    Pending,
    /// Granted.
    Granted,
}

/// One of the nine states of RFC 6121 §A.1, seen by the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct State {
    /// The user's subscription to the contact: "To", or "Pending Out".
    pub mine: Half,
    /// The contact's subscription to the user: "From", or "Pending In".
    pub theirs: Half,
}

impl State {
    /// "None", also that of a contact who is not in the roster.
    pub const NONE: Self = Self::of(Half::Absent, Half::Absent);
    /// "None + Pending Out"
    pub const NONE_PENDING_OUT: Self = Self::of(Half::Pending, Half::Absent);
    /// "None + Pending In"
    pub const NONE_PENDING_IN: Self = Self::of(Half::Absent, Half::Pending);
    /// "None + Pending Out+In"
    pub const NONE_PENDING_OUT_IN: Self = Self::of(Half::Pending, Half::Pending);
    /// "To"
    pub const TO: Self = Self::of(Half::Granted, Half::Absent);
    /// "To + Pending In"
    pub const TO_PENDING_IN: Self = Self::of(Half::Granted, Half::Pending);
    /// "From"
    pub const FROM: Self = Self::of(Half::Absent, Half::Granted);
    /// "From + Pending Out"
    pub const FROM_PENDING_OUT: Self = Self::of(Half::Pending, Half::Granted);
    /// "Both"
    pub const BOTH: Self = Self::of(Half::Granted, Half::Granted);
    /// All nine, in the order of §A.1.
    pub const ALL: [Self; 9] = [
        Self::NONE,
        Self::NONE_PENDING_OUT,
        Self::NONE_PENDING_IN,
        Self::NONE_PENDING_OUT_IN,
        Self::TO,
        Self::TO_PENDING_IN,
        Self::FROM,
        Self::FROM_PENDING_OUT,
        Self::BOTH,
    ];

    const fn of(mine: Half, theirs: Half) -> Self {
        Self { mine, theirs }
    }
    /// The user sees the contact's presence ("To" or "Both").
    pub fn sees(self) -> bool {
        self.mine == Half::Granted
    }
    /// The contact sees the user's presence ("From", "From + Pending Out" or "Both").
    pub fn is_seen(self) -> bool {
        self.theirs == Half::Granted
    }
    /// What a roster item shows: `subscription` has no word for "Pending In".
    fn shown(self) -> (Half, bool) {
        (self.mine, self.is_seen())
    }
}

/// The four presence types that manage subscriptions (RFC 6121 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SubscriptionType {
    /// The sender asks to see the recipient's presence.
    Subscribe,
    /// The sender lets the recipient see its presence.
    Subscribed,
    /// The sender wants to see no longer.
    Unsubscribe,
    /// The sender refuses, or grants no longer.
    Unsubscribed,
}

impl SubscriptionType {
    /// All four.
    pub const ALL: [Self; 4] = [
        Self::Subscribe,
        Self::Subscribed,
        Self::Unsubscribe,
        Self::Unsubscribed,
    ];
    /// From the `type` attribute of a presence; `None` for every other type.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
    /// The `type` attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Subscribed => "subscribed",
            Self::Unsubscribe => "unsubscribe",
            Self::Unsubscribed => "unsubscribed",
        }
    }
}

/// What an account keeps about a contact: the state, and whether a request is approved in advance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Standing {
    /// The subscription state.
    pub state: State,
    /// `approved='true'`: a request of the contact is granted without asking (RFC 6121 §3.4). Kept after it was
    /// used, until the user sends `unsubscribed` or removes the contact.
    pub approved: bool,
}

impl From<State> for Standing {
    fn from(state: State) -> Self {
        Self {
            state,
            approved: false,
        }
    }
}

/// What happens to the presence that the contact may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Sharing {
    /// Nothing.
    #[default]
    Unchanged,
    /// Send the current presence of every available resource to the contact (RFC 6121 §3.1.5).
    Begins,
    /// Send `unavailable` from every available resource to the contact (RFC 6121 §3.2.2, §3.3.3).
    Ends,
}

/// What follows from a subscription stanza that the user sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outbound {
    /// What to keep; differs from before only if something is to be saved.
    pub standing: Standing,
    /// Whether the stanza goes to the contact, stamped with the user's bare address.
    pub route: bool,
    /// Whether the item, created if it is not in the roster yet, is pushed to the interested resources.
    pub push: bool,
    /// What to do about the user's presence, after the stanza was routed.
    pub sharing: Sharing,
}

/// What follows from a subscription stanza that the contact sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inbound {
    /// What to keep; differs from before only if something is to be saved. A pending request is kept without
    /// creating a roster item (RFC 6121 §A.1, state 3).
    pub standing: Standing,
    /// Whether the user hears of it: `subscribe` at all available resources, and again at each initial presence
    /// until it is answered (§3.1.3); the other three at all interested resources (§3.1.6, §3.2.3, §3.3.3).
    pub deliver: bool,
    /// Whether the item is pushed to the interested resources.
    pub push: bool,
    /// What the server answers in the user's name, from bare address to bare address.
    pub auto_reply: Option<SubscriptionType>,
    /// What to do about the user's presence, after the automatic reply.
    pub sharing: Sharing,
}

/// The user sends `kind` to a contact (RFC 6121 §A.2).
pub fn outbound(before: Standing, kind: SubscriptionType) -> Outbound {
    let mut after = before;
    let mut route = true;
    let mut sharing = Sharing::Unchanged;
    match (kind, before.state.theirs) {
        // Table 2. Routed even without a change, so that states out of step find each other again.
        (SubscriptionType::Subscribe, _) => {
            if before.state.mine == Half::Absent {
                after.state.mine = Half::Pending;
            }
        }
        // Table 3.
        (SubscriptionType::Unsubscribe, _) => after.state.mine = Half::Absent,
        // Table 4.
        (SubscriptionType::Subscribed, Half::Pending) => {
            after.state.theirs = Half::Granted;
            sharing = Sharing::Begins;
        }
        (SubscriptionType::Subscribed, Half::Absent) => {
            // RFC 6121 §3.4.2: nobody asked yet, so this is noted and told to nobody.
            after.approved = true;
            route = false;
        }
        (SubscriptionType::Subscribed, Half::Granted) => route = false,
        // Table 5.
        (SubscriptionType::Unsubscribed, theirs) => {
            after.state.theirs = Half::Absent;
            after.approved = false;
            route = theirs != Half::Absent;
            if theirs == Half::Granted {
                sharing = Sharing::Ends;
            }
        }
    }
    Outbound {
        standing: after,
        route,
        push: is_shown_differently(before, after),
        sharing,
    }
}

/// The contact sends `kind` to the user (RFC 6121 §A.3).
pub fn inbound(before: Standing, kind: SubscriptionType) -> Inbound {
    let mut after = before;
    let mut auto_reply = None;
    let mut deliver = false;
    let mut sharing = Sharing::Unchanged;
    match (kind, before.state.theirs, before.state.mine) {
        // Table 6. A contact who sees the user already and asks again has lost that knowledge: tell it, and show.
        (SubscriptionType::Subscribe, Half::Granted, _) => {
            auto_reply = Some(SubscriptionType::Subscribed);
            sharing = Sharing::Begins;
        }
        // RFC 6121 §3.4.2: approved in advance, so it MUST NOT be delivered and MUST be answered.
        (SubscriptionType::Subscribe, _, _) if before.approved => {
            after.state.theirs = Half::Granted;
            auto_reply = Some(SubscriptionType::Subscribed);
            sharing = Sharing::Begins;
        }
        (SubscriptionType::Subscribe, Half::Absent, _) => {
            after.state.theirs = Half::Pending;
            deliver = true;
        }
        (SubscriptionType::Subscribe, Half::Pending, _) => {}
        // Table 7.
        (SubscriptionType::Unsubscribe, Half::Absent, _) => {}
        (SubscriptionType::Unsubscribe, theirs, _) => {
            after.state.theirs = Half::Absent;
            deliver = true;
            auto_reply = Some(SubscriptionType::Unsubscribed);
            if theirs == Half::Granted {
                sharing = Sharing::Ends;
            }
        }
        // Table 8: what was not asked for is not taken.
        (SubscriptionType::Subscribed, _, Half::Pending) => {
            after.state.mine = Half::Granted;
            deliver = true;
        }
        (SubscriptionType::Subscribed, ..) => {}
        // Table 9.
        (SubscriptionType::Unsubscribed, _, Half::Absent) => {}
        (SubscriptionType::Unsubscribed, ..) => {
            after.state.mine = Half::Absent;
            deliver = true;
        }
    }
    Inbound {
        standing: after,
        deliver,
        push: is_shown_differently(before, after),
        auto_reply,
        sharing,
    }
}

/// What the server sends to a contact whom the user removes from the roster (RFC 6121 §2.5.2), in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removal {
    /// `unsubscribe`: the user saw the contact, or had asked to.
    pub unsubscribe: bool,
    /// `unsubscribed`: the contact saw the user, or had asked to.
    pub unsubscribed: bool,
    /// What to do about the user's presence.
    pub sharing: Sharing,
}

/// The user removes the contact from the roster. Afterwards nothing is kept about it, not even a request or an
/// approval, so requests that wait are answered too: no later answer could find its state.
pub fn removal(state: State) -> Removal {
    Removal {
        unsubscribe: state.mine != Half::Absent,
        unsubscribed: state.theirs != Half::Absent,
        sharing: if state.is_seen() {
            Sharing::Ends
        } else {
            Sharing::Unchanged
        },
    }
}

fn is_shown_differently(before: Standing, after: Standing) -> bool {
    (before.state.shown(), before.approved) != (after.state.shown(), after.approved)
}

#[cfg(test)]
mod tests;
