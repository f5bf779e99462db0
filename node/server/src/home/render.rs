//! Stanzas as a client of the account gets them: with the archive's id, a delay, inside a carbon.

use std::fmt::Write as _;

use bytes::Bytes;
use storage::repository::{EntryFlags, LogEntry};
use xmpp::{BareJid, Node, Stanza, element::escape_into, ns, payload};

use crate::{pipeline::archive_rule::classify, routing::Delivery};

fn stanza_id(account: &BareJid, number: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    out.extend_from_slice(b"<stanza-id xmlns='urn:xmpp:sid:0' by='");
    escape_into(&mut out, account.as_str());
    let mut text = String::with_capacity(24);
    let _ = write!(text, "' id='{number}'/>");
    out.extend_from_slice(text.as_bytes());
    out
}

/// A message as it goes out live: without forged ids; with ours if it is in the log.
pub fn live(stanza: &Stanza, account: &BareJid, number: u64) -> Bytes {
    if number == 0 {
        return stanza.raw().clone();
    }
    stanza.spliced(|_| false, &stanza_id(account, number))
}

/// The stanza without ids that claim to be ours: nobody else may speak for our archive, and one who does is believed where
/// the message is not in it (XEP-0359 §3, rule 2). The same if there is none.
pub fn without_forged_ids(stanza: Stanza, account: &BareJid) -> Stanza {
    let strip = |child: Node<'_>| payload::sid::claims_to_be_by(child, account);
    if !stanza.root().children().any(&strip) {
        return stanza;
    }
    let bytes = stanza.spliced(strip, b"");
    // What was valid stays valid when whole children are left out.
    Stanza::parse(bytes).unwrap_or(stanza)
}

/// A message from the log, delivered late (XEP-0203, XEP-0160).
pub fn delayed(entry: &LogEntry, account: &BareJid) -> Option<Delivery> {
    let stanza = Stanza::parse(entry.stanza.clone()).ok()?;
    let archived = entry.flags.contains(EntryFlags::ARCHIVED);
    let mut children = if archived {
        stanza_id(account, entry.number)
    } else {
        Vec::new()
    };
    payload::delay::delay_element(Some(account.domain()), entry.time_ms as i64)
        .write_to(&mut children, ns::CLIENT);
    let bytes = stanza.spliced(|_| false, &children);
    Some(Delivery {
        bytes,
        number: entry.number,
        class: classify(&stanza),
        shared: None,
    })
}

/// Which way a carbon went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Another resource sent it.
    Sent,
    /// Another resource received it.
    Received,
}

/// A carbon for one resource (XEP-0280 §7, §8).
pub fn carbon(
    direction: Direction,
    stanza: &[u8],
    kind: Option<&str>,
    account: &BareJid,
    resource: &str,
) -> Bytes {
    let name: &[u8] = match direction {
        Direction::Sent => b"sent",
        Direction::Received => b"received",
    };
    let mut out = Vec::with_capacity(stanza.len() + 256);
    out.extend_from_slice(b"<message from='");
    escape_into(&mut out, account.as_str());
    out.extend_from_slice(b"' to='");
    escape_into(&mut out, account.as_str());
    out.push(b'/');
    escape_into(&mut out, resource);
    if let Some(kind) = kind {
        out.extend_from_slice(b"' type='");
        escape_into(&mut out, kind);
    }
    out.extend_from_slice(b"'><");
    out.extend_from_slice(name);
    out.extend_from_slice(b" xmlns='urn:xmpp:carbons:2'>");
    payload::forward::forwarded(None, stanza, &mut out);
    out.extend_from_slice(b"</");
    out.extend_from_slice(name);
    out.extend_from_slice(b"></message>");
    out.into()
}
