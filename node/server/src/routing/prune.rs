//! What a detached session need not keep: presence that later presence replaces, and chat states.
//!
//! Why here: its client may be away for hours while its contacts come and go. What is dropped was never sent, so no counter
//! of XEP-0198 knows of it; what the client gets when it comes back is the same as if it had been inactive (XEP-0352 §3.2).

use std::collections::{HashSet, VecDeque};

use xmpp::{Jid, Stanza};

use super::mailbox::Letter;
use crate::pipeline::archive_rule::{Importance, classify};

/// Drops from the letters what is out of date; returns how many bytes went.
pub(super) fn prune(letters: &mut VecDeque<Letter>) -> usize {
    let mut newer: HashSet<Jid> = HashSet::new();
    let mut kept = VecDeque::with_capacity(letters.len());
    let mut freed = 0;
    for letter in std::mem::take(letters).into_iter().rev() {
        if let Letter::Stanza(delivery) = &letter
            && delivery.number == 0
            && is_outdated(&delivery.bytes, &mut newer)
        {
            freed += delivery.bytes.len();
        } else {
            kept.push_front(letter);
        }
    }
    kept.shrink_to_fit();
    *letters = kept;
    freed
}

/// Whether a stanza says nothing that is worth keeping, `newer` being the addresses whose later presence is kept.
fn is_outdated(bytes: &bytes::Bytes, newer: &mut HashSet<Jid>) -> bool {
    let Ok(stanza) = Stanza::parse(bytes.clone()) else {
        return false;
    };
    match (classify(&stanza).importance(), stanza.from()) {
        (Importance::LatestPresence, Some(from)) => !newer.insert(from.clone()),
        (Importance::Never, _) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::Delivery;

    #[test]
    fn the_last_word_of_each_address_stays() {
        let presence = |from: &str, rest: &str| format!("<presence from='{from}'{rest}");
        let typing = "<message from='c@d/e' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>";
        let [first, second, gone, asks, other] = [
            presence("a@d/x", "/>"),
            presence("a@d/x", "><show>away</show></presence>"),
            presence("a@d/x", " type='unavailable'/>"),
            presence("a@d", " type='subscribe'/>"),
            presence("a@d/y", "/>"),
        ];
        let body = "<message from='c@d/e' type='chat'><body>hi</body></message>";
        let check = |before: &[&str], after: &[&str]| {
            let letter = |text: &&str| Letter::Stanza(Delivery::passing(text.to_string().into()));
            let mut letters: VecDeque<_> = before.iter().map(letter).collect();
            let freed = prune(&mut letters);
            let left: Vec<_> = letters
                .iter()
                .map(|letter| match letter {
                    Letter::Stanza(delivery) => std::str::from_utf8(&delivery.bytes).unwrap(),
                    _ => "",
                })
                .collect();
            assert_eq!(left, after);
            let sum = |texts: &[&str]| texts.iter().map(|text| text.len()).sum::<usize>();
            assert_eq!(freed, sum(before) - sum(after));
        };
        check(&[&first, &other, &second], &[&other, &second]);
        check(&[&first, body, &gone, typing], &[body, &gone]);
        check(&[&asks, &gone, &asks], &[&asks, &gone, &asks]);
    }
}
