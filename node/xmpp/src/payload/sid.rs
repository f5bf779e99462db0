//! Stanza ids: who gave a message which stable id.
//!
//! Source: XEP-0359. An entity that assigns ids removes what claims to be its own (§3, rule 2): [`claims_to_be_by`] is
//! the test for [`crate::Stanza::spliced`].

use crate::{BareJid, Element, Jid, Node, ns};

/// `<stanza-id/>`: `by` gave the message this id.
pub fn stanza_id_element(id: &str, by: &BareJid) -> Element {
    Element::new("stanza-id", ns::SID)
        .with_attr("id", id)
        .with_attr("by", by.as_str())
}

/// `<origin-id/>`: the client gave the message this id.
pub fn origin_id_element(id: &str) -> Element {
    Element::new("origin-id", ns::SID).with_attr("id", id)
}

/// The id that `by` gave the stanza, which is the root of its fragment.
pub fn stanza_id(stanza: Node<'_>, by: &BareJid) -> Option<String> {
    let own = stanza
        .children()
        .find(|child| claims_to_be_by(*child, by))?;
    own.attr("id").filter(|id| !id.is_empty()).map(Into::into)
}

/// The id that the sender's client gave the stanza.
pub fn origin_id(stanza: Node<'_>) -> Option<String> {
    stanza
        .child("origin-id", ns::SID)?
        .attr("id")
        .filter(|id| !id.is_empty())
        .map(Into::into)
}

/// Whether a child of a stanza is a `<stanza-id/>` in the name of `by`. Addresses are compared normalised (rule 7), so
/// that other letters cannot hide a forged one.
pub fn claims_to_be_by(child: Node<'_>, by: &BareJid) -> bool {
    child.is("stanza-id", ns::SID)
        && child.attr("by").is_some_and(|written| {
            written == by.as_str()
                || Jid::parse(&written).is_ok_and(|written| written.as_str() == by.as_str())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stanza;

    #[test]
    fn ids_read_back_and_forged_ones_are_known() {
        let room = BareJid::parse("room@muc.example.com").unwrap();
        let other = BareJid::parse("juliet@example.com").unwrap();
        let message = Element::new("message", ns::CLIENT)
            .with_child(Element::new("stanza-id", ns::SID).with_attr("id", "0"))
            .with_child(stanza_id_element("2", &other))
            .with_child(
                Element::new("stanza-id", ns::SID)
                    .with_attr("id", "1")
                    .with_attr("by", "Room@MUC.example.com"),
            )
            .with_child(origin_id_element("o"));
        let stanza = Stanza::from_element(&message);
        assert_eq!(stanza_id(stanza.root(), &room).as_deref(), Some("1"));
        assert_eq!(stanza_id(stanza.root(), &other).as_deref(), Some("2"));
        assert_eq!(origin_id(stanza.root()).as_deref(), Some("o"));
        let clean =
            Stanza::parse(stanza.spliced(|child| claims_to_be_by(child, &room), b"")).unwrap();
        assert_eq!(stanza_id(clean.root(), &room), None);
        assert_eq!(stanza_id(clean.root(), &other).as_deref(), Some("2"));
        assert_eq!(clean.root().children().count(), 3);
    }
}
