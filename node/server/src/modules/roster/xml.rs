//! Roster payloads: a set taken apart, items, pushes and results put together.
//!
//! Source: RFC 6121 §2.1 (syntax), §2.3.3 (errors), §2.5 (removal), §2.6 (versions).

use storage::repository::roster::{Roster, RosterItem, Subscription};
use xmpp::{BareJid, Element, JidError, StanzaError, StanzaErrorCondition as Condition, ns};

/// What a client may store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a name.
    pub name: usize,
    /// Bytes of a group's name.
    pub group: usize,
    /// Groups of one item.
    pub groups: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            name: 1_023,
            group: 1_023,
            groups: 64,
        }
    }
}

/// What a client asks for. What it says of `subscription`, `ask` and `approved` is the server's and ignored, except
/// for `remove` (RFC 6121 §2.1.2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RosterSet {
    /// Add the contact, or replace its name and groups.
    Put {
        /// The contact.
        jid: BareJid,
        /// What to call it; empty and absent are the same.
        name: Option<String>,
        /// Where to put it.
        groups: Vec<String>,
    },
    /// Remove the contact and the subscriptions with it.
    Remove(BareJid),
}

/// Takes the `<query/>` of a roster set apart. That the sender may change this roster is the caller's to check
/// (`forbidden`).
///
/// # Errors
/// - `bad-request`: not one item; no `jid`, or a full one; duplicate groups.
/// - `jid-malformed`: `jid` is no address.
/// - `not-allowed`: the contact is the owner.
/// - `not-acceptable`: a name or group is too long, a group is empty, the groups are too many.
pub fn parse_set(
    query: &Element,
    owner: &BareJid,
    limits: Limits,
) -> Result<RosterSet, StanzaError> {
    let mut items = query
        .children()
        .filter(|child| child.is("item", ns::ROSTER));
    let (Some(item), None) = (items.next(), items.next()) else {
        return Err(StanzaError::new(
            Condition::BadRequest,
            "one item at a time",
        ));
    };
    let jid = item.attr("jid").ok_or(Condition::BadRequest)?;
    let jid = BareJid::parse(jid).map_err(|error| match error {
        JidError::Kind => StanzaError::new(Condition::BadRequest, "a contact has no resource"),
        _ => Condition::JidMalformed.into(),
    })?;
    if item.attr("subscription") == Some("remove") {
        return Ok(RosterSet::Remove(jid));
    }
    if jid == *owner {
        return Err(Condition::NotAllowed.into());
    }
    let name = item.attr("name").filter(|name| !name.is_empty());
    if name.is_some_and(|name| name.len() > limits.name) {
        return Err(StanzaError::new(Condition::NotAcceptable, "name too long"));
    }
    Ok(RosterSet::Put {
        jid,
        name: name.map(Into::into),
        groups: parse_groups(item, limits)?,
    })
}

fn parse_groups(item: &Element, limits: Limits) -> Result<Vec<String>, StanzaError> {
    let refuse = |text| Err(StanzaError::new(Condition::NotAcceptable, text));
    let mut groups = Vec::new();
    for group in item
        .children()
        .filter(|child| child.is("group", ns::ROSTER))
    {
        let group = group.text();
        if groups.contains(&group) {
            return Err(StanzaError::new(Condition::BadRequest, "duplicate group"));
        }
        if group.is_empty() {
            return refuse("group without a name");
        }
        if group.len() > limits.group {
            return refuse("group name too long");
        }
        // Checked as we go: the search above is quadratic.
        if groups.len() == limits.groups {
            return refuse("too many groups");
        }
        groups.push(group);
    }
    Ok(groups)
}

/// The word for a subscription.
pub fn subscription_str(subscription: Subscription) -> &'static str {
    match subscription {
        Subscription::None => "none",
        Subscription::To => "to",
        Subscription::From => "from",
        Subscription::Both => "both",
    }
}

/// `<item/>` as a roster shows it.
pub fn item_element(item: &RosterItem) -> Element {
    let groups = item.groups.iter();
    Element::new("item", ns::ROSTER)
        .with_attr("jid", item.jid.as_str())
        .with_attr_opt("name", item.name.as_deref())
        .with_attr("subscription", subscription_str(item.subscription))
        .with_attr_opt("ask", item.ask.then_some("subscribe"))
        .with_attr_opt("approved", item.approved.then_some("true"))
        .with_children(groups.map(|group| Element::new("group", ns::ROSTER).with_text(group)))
}

/// `<item/>` of a contact who was removed.
pub fn removed_element(jid: &str) -> Element {
    Element::new("item", ns::ROSTER)
        .with_attr("jid", jid)
        .with_attr("subscription", "remove")
}

/// The version of a roster as clients are told it: its own, and what its owner was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// How often its owner changed it.
    pub own: u64,
    /// What is in it besides, see [`Roster::given`].
    pub given: u64,
}

impl Version {
    /// Of this roster.
    pub fn of(roster: &Roster) -> Self {
        Self {
            own: roster.version,
            given: roster.given,
        }
    }

    /// `None`: no version of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let (own, given) = match text.split_once('-') {
            Some((own, given)) => (own, u64::from_str_radix(given, 16).ok()?),
            None => (text, 0),
        };
        let own = own.parse().ok()?;
        Some(Self { own, given })
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.given {
            0 => write!(f, "{}", self.own),
            given => write!(f, "{}-{given:x}", self.own),
        }
    }
}

/// `<query/>` with items, and a version for clients that know versions.
pub fn query_element(items: impl IntoIterator<Item = Element>, ver: Option<Version>) -> Element {
    Element::new("query", ns::ROSTER)
        .with_attr_opt("ver", ver.map(|ver| ver.to_string()))
        .with_children(items)
}

/// The payload of a push about one item (RFC 6121 §2.1.6).
pub fn push_element(item: Element, ver: Version) -> Element {
    query_element([item], Some(ver))
}

/// A contact as a roster shows it, or that it shows none.
pub fn contact_element(roster: &Roster, contact: &BareJid) -> Element {
    match roster.get(contact).filter(|item| item.in_roster) {
        Some(item) => item_element(item),
        None => removed_element(contact.as_str()),
    }
}

/// The answer to a roster get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RosterAnswer {
    /// A result with all of it.
    Full(Element),
    /// An empty result, then these pushes, oldest change first; none, if the client is up to date (RFC 6121 §2.6.3).
    Changes(Vec<Element>),
}

/// Answers a roster get; `ver` as the client wrote it, `None` if it knows no versions, empty if it has no roster yet.
pub fn answer_get(roster: &Roster, ver: Option<&str>) -> RosterAnswer {
    let known = ver.and_then(Version::parse);
    let known = known.filter(|known| known.given == roster.given);
    let known = known.map(|known| known.own);
    let changes = known.and_then(|known| changes_since(roster, known));
    match changes {
        Some(changes) => RosterAnswer::Changes(changes),
        None => {
            let items = roster.items.iter().filter(|item| item.in_roster);
            let ver = ver.map(|_| Version::of(roster));
            RosterAnswer::Full(query_element(items.map(item_element), ver))
        }
    }
}

/// `None`: not completely known, not from this roster, or not fewer than the whole.
fn changes_since(roster: &Roster, known: u64) -> Option<Vec<Element>> {
    if known < roster.floor || known > roster.version {
        return None;
    }
    let changed = roster
        .items
        .iter()
        .filter(|item| item.in_roster && item.revision > known);
    let removed = roster
        .removed
        .iter()
        .filter(|(_, version)| *version > known);
    let mut changes: Vec<_> = changed
        .map(|item| (item.revision, item_element(item)))
        .chain(removed.map(|(jid, version)| (*version, removed_element(jid))))
        .collect();
    if !changes.is_empty() && changes.len() >= roster.items.len() {
        return None;
    }
    changes.sort_by_key(|(version, _)| *version);
    // The version of a push is what the client has once it has seen it, so the last must say the newest.
    if let Some((version, _)) = changes.last_mut() {
        *version = roster.version;
    }
    let now = Version::of(roster);
    Some(
        changes
            .into_iter()
            .map(|(own, item)| push_element(item, Version { own, ..now }))
            .collect(),
    )
}

#[cfg(test)]
mod tests;
