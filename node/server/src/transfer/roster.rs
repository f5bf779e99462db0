//! Rosters and pending requests in an export (XEP-0227 §4.3, §4.8): the words of RFC 6121 §2.

use storage::repository::{Roster, RosterItem, Subscription};
use xmpp::{BareJid, Element, ns};

/// `<query/>` with everybody in the roster proper; `None` if nobody is.
pub(super) fn roster_element(roster: &Roster) -> Option<Element> {
    let items: Vec<Element> = roster
        .items
        .iter()
        .filter(|item| item.in_roster)
        .map(item_element)
        .collect();
    (!items.is_empty()).then(|| Element::new("query", ns::ROSTER).with_children(items))
}

fn item_element(item: &RosterItem) -> Element {
    let subscription = match item.subscription {
        Subscription::None => "none",
        Subscription::To => "to",
        Subscription::From => "from",
        Subscription::Both => "both",
    };
    let mut element = Element::new("item", ns::ROSTER)
        .with_attr("jid", item.jid.as_str())
        .with_attr_opt("name", item.name.clone())
        .with_attr("subscription", subscription);
    if item.ask {
        element.set_attr("ask", "subscribe");
    }
    if item.approved {
        element.set_attr("approved", "true");
    }
    element.with_children(
        item.groups
            .iter()
            .map(|group| Element::new("group", ns::ROSTER).with_text(group.clone())),
    )
}

/// Requests of strangers and contacts that wait for an answer.
pub(super) fn pending_elements(roster: &Roster) -> impl Iterator<Item = Element> {
    roster.items.iter().filter_map(|item| {
        let bytes = item.pending_in.as_ref()?;
        let bare = || Element::new("presence", ns::CLIENT).with_attr("type", "subscribe");
        let mut element = Element::parse(bytes, ns::CLIENT).unwrap_or_else(|_| bare());
        element.set_attr("from", item.jid.as_str());
        Some(element)
    })
}

/// Takes `<query/>` over; how many contacts make no sense.
pub(super) fn add_items(roster: &mut Roster, query: &Element) -> usize {
    let mut wrong = 0;
    for element in query
        .children()
        .filter(|child| child.is("item", ns::ROSTER))
    {
        match parse_item(element) {
            Some(item) => {
                let pending_in = roster
                    .get(&item.jid)
                    .and_then(|known| known.pending_in.clone());
                roster.put(RosterItem { pending_in, ..item });
            }
            None => wrong += 1,
        }
    }
    wrong
}

fn parse_item(element: &Element) -> Option<RosterItem> {
    let jid = BareJid::parse(element.attr("jid")?).ok()?;
    let mut groups: Vec<String> = element
        .children()
        .filter(|child| child.is("group", ns::ROSTER))
        .map(Element::text)
        .filter(|group| !group.is_empty())
        .collect();
    let mut seen = std::collections::HashSet::new();
    groups.retain(|group| seen.insert(group.clone()));
    Some(RosterItem {
        name: element
            .attr("name")
            .filter(|name| !name.is_empty())
            .map(str::to_owned),
        groups,
        subscription: match element.attr("subscription") {
            None | Some("none" | "") => Subscription::None,
            Some("to") => Subscription::To,
            Some("from") => Subscription::From,
            Some("both") => Subscription::Both,
            Some(_) => return None,
        },
        ask: element.attr("ask") == Some("subscribe"),
        approved: matches!(element.attr("approved"), Some("true" | "1")),
        ..RosterItem::new(jid)
    })
}

/// Takes a `<presence type='subscribe'/>` over; whether it was one.
///
/// COMPAT: Prosody 0.12 writes it without a namespace of its own.
pub(super) fn add_pending(roster: &mut Roster, presence: &Element, owner: &BareJid) -> bool {
    let from = presence
        .attr("from")
        .and_then(|from| BareJid::parse(from).ok());
    let (Some("subscribe"), Some(from)) = (presence.attr("type"), from) else {
        return false;
    };
    let mut stanza = match presence.ns() {
        ns::CLIENT => presence.clone(),
        _ => Element::new("presence", ns::CLIENT).with_attr("type", "subscribe"),
    };
    stanza.set_attr("from", from.as_str());
    stanza.set_attr("to", owner.as_str());
    let stranger = || RosterItem {
        in_roster: false,
        ..RosterItem::new(from.clone())
    };
    let item = roster.get(&from).cloned().unwrap_or_else(stranger);
    roster.put(RosterItem {
        pending_in: Some(stanza.to_bytes(ns::CLIENT).into()),
        ..item
    });
    true
}
