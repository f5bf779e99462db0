//! Repeats: what a client sends again, once it is back, while it is still under way from before.
//!
//! Why here: a session that another connection takes over may not be done with what its client had sent: that may wait for
//! another account, whose home is being found anew. Its client need not wait as well. It is told how far all is handled and
//! sends the rest again, in its order; what comes is what is under way, and nothing is done twice. A client that does not send
//! all of it again counts otherwise from there on: it waits until what is under way is done, and what it sends for a while is
//! in doubt.
//! Source: XEP-0198 §5. Stored: nothing. Bounds: the window.

use bytes::Bytes;
use xmpp::{Fragment, Stanza, ns};

use super::SessionCore;

/// What a client has sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    New,
    /// What it had sent before it came back.
    Again,
    /// Neither can be said before what is under way is done.
    TooEarly,
}

impl SessionCore {
    /// Its client is back, and was told how far all is handled.
    pub(in crate::c2s) fn awaits_repeats(&mut self) {
        self.strays = false;
        self.inbound.awaits_repeats();
    }

    /// Whether this is a stanza that is under way.
    pub(super) fn heed(&mut self, fragment: &Fragment) -> Sent {
        let repeats = self.inbound.repeats() as usize;
        if repeats == 0 || !is_counted(fragment) {
            return Sent::New;
        }
        let next = self.begun.len() - repeats;
        if !self.strays && is_same(&self.begun[next].1, fragment) {
            self.inbound.repeated();
            self.pass_begun();
            return Sent::Again;
        }
        self.strays = true;
        if !self.is_settled() {
            return Sent::TooEarly;
        }
        self.strays = false;
        self.inbound.forget_repeats();
        self.begun.truncate(next);
        self.pass_begun();
        let since_ms = self.router.now_ms();
        self.replica.get_or_insert_default().doubts(since_ms);
        Sent::New
    }
}

/// Whether it counts as a stanza (XEP-0198 §4).
fn is_counted(fragment: &Fragment) -> bool {
    let root = fragment.root();
    root.ns() == ns::CLIENT && matches!(root.name(), "message" | "presence" | "iq")
}

/// Whether a stanza is the one that was sent before: by its bytes, or by its id, since a client may add when that was.
fn is_same(before: &Bytes, again: &Fragment) -> bool {
    if before == again.raw() {
        return true;
    }
    let Ok(before) = Stanza::parse(before.clone()) else {
        return false;
    };
    let (before, again) = (before.root(), again.root());
    let is_equal = |name| before.attr(name) == again.attr(name);
    before.name() == again.name()
        && again.attr("id").is_some()
        && ["id", "to", "type"].into_iter().all(is_equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_it_again_may_add_when_it_was_sent_first() {
        let check = |before: &str, again: &str, expected: bool| {
            let again =
                Fragment::parse(Bytes::copy_from_slice(again.as_bytes()), ns::CLIENT).unwrap();
            let before = Bytes::copy_from_slice(before.as_bytes());
            assert_eq!(is_same(&before, &again), expected, "{before:?}");
        };
        let message = "<message xmlns='jabber:client' to='b@e' id='1'><body>hi</body></message>";
        let delayed = "<message xmlns='jabber:client' to='b@e' id='1'><body>hi</body>\
                       <delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/></message>";
        check(message, message, true);
        check(message, delayed, true);
        check(message, &delayed.replace("id='1'", "id='2'"), false);
        check(message, &delayed.replace("b@e", "c@e"), false);
        check(message, &delayed.replace("message", "iq"), false);
        let presence = "<presence xmlns='jabber:client'/>";
        check(presence, presence, true);
        check(
            presence,
            "<presence xmlns='jabber:client'><show>away</show></presence>",
            false,
        );
        check(message, presence, false);
    }
}
