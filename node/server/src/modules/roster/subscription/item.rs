//! A standing in a roster item, and back: the item keeps no "Pending In" but the request itself.

use bytes::Bytes;
use storage::repository::roster::{RosterItem, Subscription};

use super::{Half, Standing, State, is_shown_differently};

impl From<&RosterItem> for Standing {
    fn from(item: &RosterItem) -> Self {
        let half = |granted, pending| match (granted, pending) {
            (true, _) => Half::Granted,
            (false, true) => Half::Pending,
            (false, false) => Half::Absent,
        };
        let (to, from) = match item.subscription {
            Subscription::None => (false, false),
            Subscription::To => (true, false),
            Subscription::From => (false, true),
            Subscription::Both => (true, true),
        };
        Self {
            state: State {
                mine: half(to, item.ask),
                theirs: half(from, item.pending_in.is_some()),
            },
            approved: item.approved,
        }
    }
}

impl Standing {
    /// Writes it into an item. `request` is the contact's `subscribe`, kept while it waits for an answer. A stranger
    /// comes into the roster once there is something to show, not by asking (RFC 6121 §A.1, state 3).
    pub fn apply(self, item: &mut RosterItem, request: Option<&Bytes>) {
        item.subscription = match (self.state.sees(), self.state.is_seen()) {
            (false, false) => Subscription::None,
            (true, false) => Subscription::To,
            (false, true) => Subscription::From,
            (true, true) => Subscription::Both,
        };
        item.ask = self.state.mine == Half::Pending;
        item.approved = self.approved;
        item.pending_in = match self.state.theirs {
            Half::Pending => item
                .pending_in
                .take()
                .or_else(|| Some(request.cloned().unwrap_or_default())),
            Half::Absent | Half::Granted => None,
        };
        item.in_roster |= is_shown_differently(Self::default(), self);
    }
    /// Whether an item of this standing that is not in the roster is worth keeping: a request waits.
    pub fn is_waiting(self) -> bool {
        self.state.theirs == Half::Pending
    }
}
