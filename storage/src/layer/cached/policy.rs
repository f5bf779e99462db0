//! What may be cached, by key: the only place that says so. What is not named here passes through.
//!
//! | record | cached | why |
//! |---|---|---|
//! | roster, vCard, private XML | yes | read at every login, changed seldom, by compare-and-set |
//! | credentials, FAST tokens | never | a changed password or a revoked token must hold at once, everywhere |
//! | privacy and block lists | never | who was blocked must not get through for another minute |
//! | mailbox (claims, acknowledged numbers) | never | two readers of an old one would drain twice |
//! | archive preferences | never | read with the mailbox, no gain |
//! | logs: heads, segments, long stanzas | never | an append goes to the head that is, and the log is the truth |
//! | marks of names being erased, lists of accounts, indexes | never | decisions are taken by them; lists are paged |
//! | rooms, pubsub nodes | never | their home has them in memory |
//! | `ctl`: the directory, membership, claims | never | who owns what is never a matter of a minute ago |
//! | blobs of values | by name | a name is used once: what it names cannot change |

use crate::{
    key,
    repository::object::{self, Kind},
    shape::{Key, Space},
};

/// What is cached, for observers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cacheable {
    /// A roster.
    Roster,
    /// A vCard.
    Vcard,
    /// Private XML.
    PrivateXml,
    /// A large value.
    Blob,
}

impl Cacheable {
    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Roster => "roster",
            Self::Vcard => "vcard",
            Self::PrivateXml => "private_xml",
            Self::Blob => "blob",
        }
    }
}

/// What a record is, if it may be cached.
pub fn record(key: &Key) -> Option<Cacheable> {
    if key.space != Space::Core || !key::is_of_account(&key.partition) {
        return None;
    }
    match &key.sort[..] {
        sort if *sort == key::ROSTER[..] => Some(Cacheable::Roster),
        sort if *sort == key::VCARD[..] => Some(Cacheable::Vcard),
        sort if sort.starts_with(key::PRIVATE_XML) => Some(Cacheable::PrivateXml),
        _ => None,
    }
}

/// Whether a blob may be cached: those of values of accounts, each of which is written once. What logs keep in blobs is
/// as little cached as what they keep in tables.
pub fn blob(name: &str) -> Option<Cacheable> {
    object::read_name(name)
        .filter(|name| name.kind == Kind::Value)
        .map(|_| Cacheable::Blob)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use xmpp::BareJid;

    use super::*;
    use crate::{
        clock::{Clock, SystemClock},
        repository::object::Draft,
    };

    #[test]
    fn only_what_is_named_is_cached() {
        let check = |space, partition: Bytes, sort: Bytes, expected| {
            let key = Key {
                space,
                partition,
                sort,
            };
            assert_eq!(record(&key), expected, "{key:?}");
        };
        let bob = BareJid::parse("bob@example.org").unwrap();
        let core = |sort, expected| check(Space::Core, key::account(&bob), sort, expected);
        core(key::ROSTER, Some(Cacheable::Roster));
        core(key::VCARD, Some(Cacheable::Vcard));
        core(key::private_xml("a", "b"), Some(Cacheable::PrivateXml));
        for never in [
            key::ACCOUNT,
            key::MAILBOX,
            key::PRIVACY,
            key::ARCHIVE_PREFERENCES,
            key::pep_node("n"),
            key::tokens("phone"),
            Bytes::from_static(b"VC2"),
            Bytes::from_static(b""),
        ] {
            core(never, None);
        }
        for space in [Space::Log, Space::Idx, Space::Ctl] {
            check(space, key::account(&bob), key::ROSTER, None);
        }
        for partition in [
            key::room(&bob),
            key::groups("example.org"),
            key::pubsub_node(&bob, "n"),
            key::log(&bob),
            key::erasures("example.org"),
            key::account_list("example.org"),
        ] {
            check(Space::Core, partition, key::ROSTER, None);
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        for (kind, expected) in [
            (Kind::Value, Some(Cacheable::Blob)),
            (Kind::Segment, None),
            (Kind::Stanza, None),
        ] {
            assert_eq!(blob(&Draft::new(&bob, kind, 1, &clock).name), expected);
        }
        for never in [
            key::account_blobs(&bob),
            format!("{}0123456789abcdef", key::account_blobs(&bob)),
            "segments/u/1".to_owned(),
        ] {
            assert_eq!(blob(&never), None, "{never}");
        }
    }
}
