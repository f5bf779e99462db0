//! Privacy lists in an export (XEP-0227 §4.7): the words of XEP-0016. The block list is one of them (XEP-0191 §5).

use storage::repository::{
    PrivacyAction, PrivacyData, PrivacyItem, PrivacyMatch, StanzaKinds, Subscription,
};
use xmpp::{Element, ns};

const KINDS: [(&str, StanzaKinds); 4] = [
    ("message", StanzaKinds::MESSAGE),
    ("iq", StanzaKinds::IQ),
    ("presence-in", StanzaKinds::PRESENCE_IN),
    ("presence-out", StanzaKinds::PRESENCE_OUT),
];
const SUBSCRIPTIONS: [(&str, Subscription); 4] = [
    ("none", Subscription::None),
    ("to", Subscription::To),
    ("from", Subscription::From),
    ("both", Subscription::Both),
];

/// `<query/>` with all lists; `None` if there is none.
pub(super) fn privacy_element(data: &PrivacyData) -> Option<Element> {
    if data.lists.is_empty() {
        return None;
    }
    let named = |element: &'static str, name: &str| {
        Element::new(element, ns::PRIVACY).with_attr("name", name)
    };
    let default = data.default.as_deref().map(|name| named("default", name));
    let lists = data
        .lists
        .iter()
        .map(|(name, items)| named("list", name).with_children(items.iter().map(item_element)));
    Some(
        Element::new("query", ns::PRIVACY)
            .with_children(default)
            .with_children(lists),
    )
}

fn item_element(item: &PrivacyItem) -> Element {
    let (kind, value) = match &item.matches {
        PrivacyMatch::All => (None, None),
        PrivacyMatch::Jid(jid) => (Some("jid"), Some(jid.clone())),
        PrivacyMatch::Group(group) => (Some("group"), Some(group.clone())),
        PrivacyMatch::Subscription(wanted) => {
            let name = SUBSCRIPTIONS
                .iter()
                .find(|(_, it)| it == wanted)
                .map(|(name, _)| (*name).to_owned());
            (Some("subscription"), name)
        }
    };
    let action = match item.action {
        PrivacyAction::Allow => "allow",
        PrivacyAction::Deny => "deny",
    };
    let kinds = KINDS
        .iter()
        .filter(|(_, kind)| item.stanzas != StanzaKinds::ALL && item.stanzas.contains(*kind));
    Element::new("item", ns::PRIVACY)
        .with_attr_opt("type", kind)
        .with_attr_opt("value", value)
        .with_attr("action", action)
        .with_attr("order", item.order.to_string())
        .with_children(kinds.map(|(name, _)| Element::new(*name, ns::PRIVACY)))
}

/// Reads `<query/>`; with how many rules make no sense. A rule that is left out could let through what it was to stop, so
/// a list with one is told.
pub(super) fn parse_privacy(query: &Element) -> (PrivacyData, usize) {
    let mut data = PrivacyData::default();
    let mut wrong = 0;
    for list in query
        .children()
        .filter(|child| child.is("list", ns::PRIVACY))
    {
        let Some(name) = list.attr("name") else {
            wrong += 1;
            continue;
        };
        let mut items = Vec::new();
        for element in list
            .children()
            .filter(|child| child.is("item", ns::PRIVACY))
        {
            match parse_item(element) {
                Some(item) => items.push(item),
                None => wrong += 1,
            }
        }
        items.sort_by_key(|item: &PrivacyItem| item.order);
        let before = items.len();
        items.dedup_by_key(|item| item.order);
        wrong += before - items.len();
        data.lists.insert(name.to_owned(), items);
    }
    let default = query
        .child("default", ns::PRIVACY)
        .and_then(|it| it.attr("name"));
    data.default = default
        .filter(|name| data.lists.contains_key(*name))
        .map(str::to_owned);
    (data, wrong)
}

fn parse_item(element: &Element) -> Option<PrivacyItem> {
    let value = || element.attr("value").map(str::to_owned);
    let matches = match element.attr("type") {
        None | Some("" | "none") => PrivacyMatch::All,
        Some("jid") => PrivacyMatch::Jid(xmpp::Jid::parse(&value()?).ok()?.as_str().to_owned()),
        Some("group") => PrivacyMatch::Group(value()?),
        Some("subscription") => {
            let wanted = value()?;
            PrivacyMatch::Subscription(SUBSCRIPTIONS.iter().find(|(name, _)| *name == wanted)?.1)
        }
        Some(_) => return None,
    };
    let named = KINDS
        .iter()
        .filter(|(name, _)| element.child(name, ns::PRIVACY).is_some());
    let stanzas = named.fold(StanzaKinds::NONE, |all, (_, kind)| all | *kind);
    Some(PrivacyItem {
        order: element.attr("order")?.parse().ok()?,
        action: match element.attr("action")? {
            "allow" => PrivacyAction::Allow,
            "deny" => PrivacyAction::Deny,
            _ => return None,
        },
        matches,
        stanzas: if stanzas.is_empty() {
            StanzaKinds::ALL
        } else {
            stanzas
        },
    })
}
