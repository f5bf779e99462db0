//! What is kept of a request that waits for an answer.
//!
//! Source: RFC 6121 §3.1.3, which has the complete stanza kept. That anybody may send it and it is shown at each login is
//! a way to fill a roster and to drown its owner, so what is longer than [`MAX_BYTES`] is kept without what it can do
//! without: the sender's status and nickname (XEP-0172 §4.2) stay as far as they fit.

use bytes::Bytes;
use xmpp::{Stanza, ns};

use super::subscription::SubscriptionType;

/// Bytes of a request that are kept; only addresses that are longer by themselves pass it.
pub const MAX_BYTES: usize = 1 << 10;
/// How many strangers' requests may wait for an account.
pub const MAX_WAITING: usize = 1_000;

/// A request, from bare to bare address, as it is kept.
pub fn kept(request: &Stanza) -> Bytes {
    if request.raw().len() <= MAX_BYTES {
        return request.raw().clone();
    }
    let whole = request.to_element();
    let mut kept = xmpp::Element::new("presence", ns::CLIENT)
        .with_attr_opt("from", whole.attr("from"))
        .with_attr_opt("to", whole.attr("to"))
        .with_attr("type", SubscriptionType::Subscribe.as_str());
    let wanted =
        |child: &&xmpp::Element| child.is("status", ns::CLIENT) || child.is("nick", ns::NICK);
    let with_id = kept.clone().with_attr_opt("id", whole.attr("id"));
    let more = whole.children().filter(wanted).cloned();
    for larger in std::iter::once(None).chain(more.map(Some)) {
        let larger = match larger {
            None => with_id.clone(),
            Some(child) => kept.clone().with_child(child),
        };
        if larger.to_bytes(ns::CLIENT).len() <= MAX_BYTES {
            kept = larger;
        }
    }
    kept.to_bytes(ns::CLIENT).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: &str = "romeo@example.net";

    fn request(from: &str, id: &str, children: &str) -> Stanza {
        let text = format!(
            "<presence from='{from}' to='juliet@example.com' type='subscribe' id='{id}'>{children}</presence>"
        );
        Stanza::parse(text.into()).unwrap()
    }

    /// Which parts are kept of a request.
    fn check(from: &str, id: &str, children: &str, expected: &[&str]) {
        let bytes = kept(&request(from, id, children));
        assert!(
            bytes.len() <= MAX_BYTES.max(from.len() + 100),
            "{}",
            bytes.len()
        );
        let kept = Stanza::parse(bytes).expect("what is kept is a stanza");
        assert_eq!(kept.type_attr().as_deref(), Some("subscribe"));
        assert_eq!(kept.from().map(|from| from.as_str()), Some(from));
        assert_eq!(kept.to().map(|to| to.as_str()), Some("juliet@example.com"));
        let mut parts: Vec<String> = kept.id().map(|id| format!("id {id}")).into_iter().collect();
        parts.extend(
            kept.root()
                .children()
                .map(|child| format!("{} {}", child.name(), child.text())),
        );
        assert_eq!(parts, expected, "{from} {} {}", id.len(), children.len());
    }

    #[test]
    fn a_request_is_kept_within_its_bound() {
        let (long, longer) = ("x".repeat(700), "x".repeat(500_000));
        let status = "<status>Hello</status>";
        let nick = "<nick xmlns='http://jabber.org/protocol/nick'>Romeo</nick>";
        let both = format!("{status}{nick}");
        let (status_kept, nick_kept) = ("status Hello", "nick Romeo");
        let junk = |text: &str| format!("<junk xmlns='urn:x'>{text}</junk>");
        check(FROM, "1", "", &["id 1"]);
        check(FROM, "1", &both, &["id 1", status_kept, nick_kept]);
        check(FROM, "1", &junk("a"), &["id 1", "junk a"]);
        check(
            FROM,
            "1",
            &(junk(&longer) + &both),
            &["id 1", status_kept, nick_kept],
        );
        check(FROM, &longer, &both, &[status_kept, nick_kept]);
        check(
            FROM,
            "1",
            &format!("<status>{longer}</status>{nick}"),
            &["id 1", nick_kept],
        );
        let two = format!("<status>{long}</status><status xml:lang='de'>{long}</status>{nick}");
        check(
            FROM,
            "1",
            &two,
            &["id 1", &format!("status {long}"), nick_kept],
        );
        let far = format!("{}@{}.example", "r".repeat(1_000), "d".repeat(60));
        check(&far, "1", &both, &[]);
    }
}
