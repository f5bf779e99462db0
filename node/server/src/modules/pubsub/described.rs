//! Described: what discovery tells of a node.
//!
//! Source: XEP-0060 §5.3 to §5.5.

use xmpp::{
    Element, ns,
    payload::{
        delay::stamp,
        form::{Field, FieldType},
    },
};

use super::rules::{Node, Policy};
use crate::module::identity;

/// Items of a node that discovery shows.
const MAX_SHOWN: usize = 500;

/// What a node says of itself (§5.3, §5.4).
pub fn node_info(node: &Node, policy: &Policy) -> Element {
    let mut form = node.config.meta_data();
    let head = &node.stored.head;
    let created = i64::try_from(head.created_ms).unwrap_or(i64::MAX);
    let subscribers = node.stored.subscriptions.len().to_string();
    form.fields.extend([
        Field::new(FieldType::JidSingle, "pubsub#creator").with_value(head.creator.as_str()),
        Field::new(FieldType::TextSingle, "pubsub#creation_date").with_value(stamp(created)),
        Field::new(FieldType::JidMulti, "pubsub#owner")
            .with_values(node.owners(policy).map(|jid| jid.as_str())),
        Field::new(FieldType::TextSingle, "pubsub#num_subscribers").with_value(subscribers),
    ]);
    let feature = Element::new("feature", ns::DISCO_INFO).with_attr("var", ns::PUBSUB);
    Element::new("query", ns::DISCO_INFO)
        .with_child(identity("pubsub", "leaf"))
        .with_child(feature)
        .with_child(form.to_element())
}

/// The items of a node (§5.5), the newest of them.
pub fn node_items(node: &Node, policy: &Policy, now_ms: u64) -> Element {
    let items = node.items(now_ms);
    let shown = &items[items.len().saturating_sub(MAX_SHOWN)..];
    let item = |id: &str| {
        Element::new("item", ns::DISCO_ITEMS)
            .with_attr("jid", policy.address.as_str())
            .with_attr("name", id)
    };
    Element::new("query", ns::DISCO_ITEMS).with_children(shown.iter().map(|it| item(&it.id)))
}
