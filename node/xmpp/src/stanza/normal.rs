//! Normal form: a stanza from any stream becomes one in `jabber:client` without an `xmlns` of its own.
//!
//! Source: RFC 6120 §4.8.2 (content namespaces), §4.8.5 (prefixes), RFC 7395 §3.3.3 (WebSocket clients declare
//! `jabber:client` on each stanza), XEP-0114 §3 (components). A stanza that relies on its stream's declaration, which is
//! nearly every one, passes untouched.

use super::{Kind, edit};
use crate::{Element, Fragment, element::Child, ns};

/// Content namespace of component streams (XEP-0114).
const COMPONENT: &str = "jabber:component:accept";

/// Which stanza it is, if it is one in the content namespace of its stream.
pub(super) fn kind(fragment: &Fragment) -> Option<Kind> {
    let root = fragment.root();
    let content = fragment.default_ns();
    if !matches!(content, ns::CLIENT | ns::SERVER | COMPONENT) || root.ns() != content {
        return None;
    }
    Kind::parse(root.name())
}

/// The stanza in normal form.
pub(super) fn in_client_namespace(fragment: Fragment) -> Fragment {
    let root = fragment.root();
    let content = fragment.default_ns();
    let entry = root.entry();
    let prefixed = entry.name != entry.start + 1;
    match root.attr_entry("xmlns") {
        None if !prefixed => fragment.with_default_ns(ns::CLIENT),
        Some(xmlns) if !prefixed => {
            edit::without_attribute(&fragment, &xmlns).with_default_ns(ns::CLIENT)
        }
        _ => {
            let mut element = fragment.to_element();
            rename(&mut element, content);
            Fragment::parse(element.to_bytes(ns::CLIENT).into(), ns::CLIENT).unwrap_or(fragment)
        }
    }
}

/// Moves the stanza and those of its descendants that are in `from` to `jabber:client`.
fn rename(element: &mut Element, from: &str) {
    if element.ns() == from {
        element.set_ns(ns::CLIENT);
    }
    for child in element.nodes_mut() {
        if let Child::Element(child) = child {
            rename(child, from);
        }
    }
}
