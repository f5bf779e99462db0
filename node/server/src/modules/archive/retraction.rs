//! Retractions: a message that its sender takes back leaves a tombstone in the archive.
//!
//! Source: XEP-0424 v0.4.2 §4 (tombstones), §5 (who may retract what), §5.1 (which id). Only one-to-one: in a group chat
//! the archive of the room decides. The retraction itself is archived like any message.
//! Why a search: entries have no index by message id. A retraction follows soon after what it retracts, so the newest
//! [`SEARCHED`] entries of the log are enough; what is older stays as it is, and clients still hear of the retraction.

use storage::{
    Result,
    repository::{EntryFlags, LogEntry, LogRange, LogRepository, NewEntry},
};
use xmpp::{
    BareJid, Element, Jid, Kind, Stanza, ns,
    payload::{delay, sid},
};

/// How many entries before the retraction are looked at.
pub const SEARCHED: u64 = 2_048;
const READ_AT_ONCE: usize = 256;

/// What a logged stanza takes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retraction {
    /// The id of the message that is taken back.
    pub of: String,
    /// The id of the retraction, by which clients match the tombstone.
    pub id: Option<String>,
}

/// The retraction in a stanza, if it is one that an account's archive obeys.
pub fn retraction(stanza: &Stanza) -> Option<Retraction> {
    if stanza.kind() != Kind::Message
        || matches!(stanza.type_attr().as_deref(), Some("groupchat" | "error"))
    {
        return None;
    }
    let of = stanza
        .child("retract", ns::RETRACT)?
        .attr("id")
        .filter(|id| !id.is_empty())?
        .into_owned();
    Some(Retraction {
        of,
        id: stanza.id().map(Into::into),
    })
}

/// A retraction that was logged, with what decides whom it may touch.
struct Logged<'a> {
    retraction: &'a Retraction,
    /// The account sent it, so it takes back what the account sent.
    sent: bool,
    /// The other side: of the conversation, and the sender if it was received.
    peer: &'a Jid,
    time_ms: u64,
}

impl Logged<'_> {
    /// §5: both came from the same bare address; and they belong to the same conversation.
    fn hits(&self, entry: &LogEntry) -> bool {
        let exempt = EntryFlags::TOMBSTONE | EntryFlags::GROUPCHAT;
        entry.flags.contains(EntryFlags::SENT) == self.sent
            && entry.flags.bits() & exempt.bits() == 0
            && entry.peer.bare_str() == self.peer.bare_str()
            && Stanza::parse(entry.stanza.clone()).is_ok_and(|stanza| {
                let named = |id: Option<&str>| id == Some(self.retraction.of.as_str());
                // §5.1: the message's id; the origin's for clients that still name that. What was itself a retraction
                // stays: it must be stored (§5).
                stanza.child("retract", ns::RETRACT).is_none()
                    && (named(stanza.id().as_deref())
                        || named(sid::origin_id(stanza.root()).as_deref()))
            })
    }

    /// The entry without what was said: number, time, peer and the stanza's own attributes stay (XEP-0313 §3.2).
    fn tombstone(&self, entry: &LogEntry) -> Option<NewEntry> {
        let stanza = Stanza::parse(entry.stanza.clone()).ok()?;
        let mut stone = Element::new("message", ns::CLIENT);
        for name in ["from", "to", "type", "id", "xml:lang"] {
            if let Some(value) = stanza.root().attr(name) {
                stone.set_attr(name, value);
            }
        }
        let stamp = delay::stamp(i64::try_from(self.time_ms).unwrap_or(i64::MAX));
        let retracted = Element::new("retracted", ns::RETRACT)
            .with_attr_opt("id", self.retraction.id.as_ref())
            .with_attr("stamp", stamp);
        Some(NewEntry {
            time_ms: entry.time_ms,
            flags: entry.flags | EntryFlags::TOMBSTONE,
            peer: entry.peer.clone(),
            stanza: stone.with_child(retracted).to_bytes(ns::CLIENT).into(),
        })
    }
}

/// Obeys a retraction that the log of `archive` has as entry `number`: call it after the commit. Returns the number of
/// the entry that became a tombstone.
///
/// # Errors
/// The store did not answer; calling again is safe.
pub async fn apply_retraction(
    logs: &dyn LogRepository,
    archive: &BareJid,
    number: u64,
    retraction: &Retraction,
) -> Result<Option<u64>> {
    let at = LogRange {
        from: number,
        to: number,
    };
    let Some(own) = logs.read(archive, at, false, 1).await?.pop() else {
        return Ok(None);
    };
    let sent = own.flags.contains(EntryFlags::SENT);
    let logged = Logged {
        retraction,
        sent,
        peer: &own.peer,
        time_ms: own.time_ms,
    };
    let mut range = LogRange {
        from: number.saturating_sub(SEARCHED).max(1),
        to: number - 1,
    };
    while range.from <= range.to {
        let page = logs.read(archive, range, true, READ_AT_ONCE).await?;
        if let Some(hit) = page.iter().find(|entry| logged.hits(entry)) {
            let change = |entry: &LogEntry| {
                logged
                    .hits(entry)
                    .then(|| logged.tombstone(entry))
                    .flatten()
            };
            return Ok(logs
                .rewrite(archive, hit.number, &change)
                .await?
                .then_some(hit.number));
        }
        let Some(last) = page.last().filter(|_| page.len() == READ_AT_ONCE) else {
            break;
        };
        range.to = last.number - 1;
        tokio::task::yield_now().await;
    }
    Ok(None)
}
