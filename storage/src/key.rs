//! Keys of records and blobs: bytes that can never alias and that sort like their parts.
//!
//! A key is a tag (`U#`) and parts. Each part but the last ends with `00 01`, and a `00` within a part is written
//! `00 FF`: no part can pretend to end or to go on, so `bob` never reaches `bobby`, whatever a name holds. A key beyond
//! DynamoDB's limits keeps its tag and becomes `00 02` and a SHA-256, which no other key can spell.
//!
//! | partition | what |
//! |---|---|
//! | `core` `U#` domain, localpart | an account |
//! | `core` `G#` domain | shared groups |
//! | `core` `R#` service, room | a room |
//! | `core` `P#` service, node | a pubsub node |
//! | `idx` `N#` service | its pubsub nodes; sort: node |
//! | `idx` `B#` service, address | pubsub nodes where somebody has a subscription or an affiliation; sort: node |
//! | `log` `A#` archive | a log; sort: number |
//! | `log` `S#` archive | log segments; sort: first number, and beyond all numbers who works on the log |
//! | `idx` `L#` domain | accounts; sort: localpart |
//! | `idx` `R#` service | rooms; sort: localpart |
//! | `idx` `O#` domain, localpart | rooms that an account made; sort: address |
//! | `idx` `T#` domain, localpart | rooms that an account subscribes to; sort: address |
//! | `idx` `E#` domain | names whose former owner is being erased; sort: localpart |
//! | `idx` `U#` domain, localpart | the mark of an account that is being erased, where the account itself is not |
//! | `idx` `W#` archive | contacts in a log; sort: block of numbers |
//! | `idx` `V#` domain, field | words of vCards; sort: word, localpart |
//! | `ctl` `C#` cluster | what the nodes of a cluster share; sort: what, or a node |
//! | `ctl` `M#` domain | how far the maintenance of a domain is |
//! | `ctl` `O#tokens`, `O#audit` | tokens of operators; what they did |

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use xmpp::BareJid;

use crate::shape::{Key, Space};

/// DynamoDB's limit on a partition key.
const MAX_PARTITION: usize = 2048;
/// DynamoDB's limit on a sort key.
const MAX_SORT: usize = 1024;
const ESCAPED_ZERO: [u8; 2] = [0, 0xff];
const END: [u8; 2] = [0, 1];
const HASHED: [u8; 2] = [0, 2];
/// What a hashed part and a generation need beside what stands before them.
const HASH_ROOM: usize = 64;

/// Sort key of an account's credentials.
pub const ACCOUNT: Bytes = Bytes::from_static(b"ACC");
/// Sort key of a mailbox.
pub const MAILBOX: Bytes = Bytes::from_static(b"META");
/// Sort key of a roster.
pub const ROSTER: Bytes = Bytes::from_static(b"ROST");
/// Sort key of privacy and block lists.
pub const PRIVACY: Bytes = Bytes::from_static(b"PRIV");
/// Sort key of a vCard.
pub const VCARD: Bytes = Bytes::from_static(b"VC");
/// Sort key of a room's record.
pub const ROOM: Bytes = Bytes::from_static(b"ROOM");
/// What sort keys of those affiliated with a room begin with.
pub const ROOM_MEMBERS: &[u8] = b"M#";
/// Sort key of archive preferences.
pub const ARCHIVE_PREFERENCES: Bytes = Bytes::from_static(b"MAMP");
/// Sort key of how far a maintenance is.
pub const MAINTENANCE: Bytes = Bytes::from_static(b"AT");
/// Sort key of the row that says which directory counts.
pub const FOUNDER: Bytes = Bytes::from_static(b"FOUNDER");
/// Sort key of a cluster's secrets.
pub const SECRETS: Bytes = Bytes::from_static(b"SECRETS");
/// Sort key of how many entries the audit log ever had.
pub const AUDIT_HEAD: Bytes = Bytes::from_static(b"HEAD");
/// What sort keys of entries of the audit log begin with.
const AUDIT_SLOTS: &[u8] = b"E#";
/// What sort keys of nodes begin with.
pub const CLUSTER_NODES: &[u8] = b"NODE#";
/// What sort keys of those who work on a log begin with: beyond every number.
pub const LOG_CLAIMS: &[u8] = &[0xff; 8];
/// Sort key of the mark that an account is being erased, where the account itself is not.
pub const ERASED: Bytes = Bytes::from_static(b"GONE");
/// What sort keys of FAST tokens begin with.
pub const TOKENS: &[u8] = b"FAST#";
/// What sort keys of private XML begin with.
pub const PRIVATE_XML: &[u8] = b"PX#";

/// Sort key of the head of a service's node.
pub const PUBSUB_HEAD: Bytes = Bytes::from_static(b"CFG");
/// What sort keys of subscriptions to a service's node begin with.
pub const PUBSUB_SUBSCRIPTIONS: &[u8] = b"SUB#";
/// What sort keys of items of a service's node begin with.
pub const PUBSUB_ITEMS: &[u8] = b"I#";
/// What sort keys of heads of an account's nodes begin with.
pub const PEP_NODES: &[u8] = b"PEP#";
/// What sort keys of subscriptions to an account's nodes begin with.
pub const PEP_SUBSCRIPTIONS: &[u8] = b"PEPS#";
/// What sort keys of items of an account's nodes begin with.
pub const PEP_ITEMS: &[u8] = b"PEPI#";

/// Builds one key in one allocation.
struct Builder {
    bytes: Vec<u8>,
    tag: usize,
}

impl Builder {
    fn new(tag: &[u8], expected: usize) -> Self {
        let mut bytes = Vec::with_capacity(tag.len() + expected + END.len());
        bytes.extend_from_slice(tag);
        Self {
            bytes,
            tag: tag.len(),
        }
    }
    /// A part that others follow.
    fn part(self, part: &[u8]) -> Self {
        let mut this = self.last(part);
        this.bytes.extend_from_slice(&END);
        this
    }
    /// The last part, or the beginning of a part to search for.
    fn last(mut self, part: &[u8]) -> Self {
        let mut rest = part;
        while let Some(at) = rest.iter().position(|byte| *byte == 0) {
            self.bytes.extend_from_slice(&rest[..at]);
            self.bytes.extend_from_slice(&ESCAPED_ZERO);
            rest = &rest[at + 1..];
        }
        self.bytes.extend_from_slice(rest);
        self
    }
    fn within(mut self, limit: usize) -> Bytes {
        if self.bytes.len() > limit {
            let hash = digest(&SHA256, &self.bytes);
            self.bytes.truncate(self.tag);
            self.bytes.extend_from_slice(&HASHED);
            self.bytes.extend_from_slice(hash.as_ref());
        }
        Bytes::from(self.bytes)
    }
}

fn partition(tag: &[u8; 2], first: &str, last: &str) -> Bytes {
    Builder::new(tag, first.len() + last.len())
        .part(first.as_bytes())
        .last(last.as_bytes())
        .within(MAX_PARTITION)
}

fn partition_of_one(tag: &[u8; 2], only: &str) -> Bytes {
    Builder::new(tag, only.len())
        .last(only.as_bytes())
        .within(MAX_PARTITION)
}

/// Partition of an account.
pub fn account(account: &BareJid) -> Bytes {
    partition(b"U#", account.domain(), account.local().unwrap_or_default())
}

/// Partition of a domain's shared groups.
pub fn groups(domain: &str) -> Bytes {
    partition_of_one(b"G#", domain)
}

/// Partition of a room.
pub fn room(room: &BareJid) -> Bytes {
    partition(b"R#", room.domain(), room.local().unwrap_or_default())
}

/// Sort key of somebody affiliated with a room.
pub fn room_member(member: &BareJid) -> Bytes {
    Builder::new(ROOM_MEMBERS, member.as_str().len())
        .last(member.as_str().as_bytes())
        .within(MAX_SORT)
}

/// Partition of the list of a service's rooms.
pub fn room_list(service: &str) -> Bytes {
    partition_of_one(b"R#", service)
}

/// Partition of the rooms that somebody made.
pub fn rooms_made(account: &BareJid) -> Bytes {
    partition(b"O#", account.domain(), account.local().unwrap_or_default())
}

/// Sort key of one of them.
pub fn room_made(room: &BareJid) -> Bytes {
    Builder::new(b"", room.as_str().len())
        .last(room.as_str().as_bytes())
        .within(MAX_SORT)
}

/// Partition of the rooms that somebody subscribes to.
pub fn rooms_subscribed(account: &BareJid) -> Bytes {
    partition(b"T#", account.domain(), account.local().unwrap_or_default())
}

/// Partition of a pubsub node.
pub fn pubsub_node(service: &BareJid, node: &str) -> Bytes {
    partition(b"P#", service.as_str(), node)
}

/// Partition of the list of a service's pubsub nodes.
pub fn pubsub_list(service: &BareJid) -> Bytes {
    partition_of_one(b"N#", service.as_str())
}

/// Partition of the nodes of a service that an address has to do with.
pub fn pubsub_concerned(service: &BareJid, address: &BareJid) -> Bytes {
    partition(b"B#", service.as_str(), address.as_str())
}

/// Sort key of the head of an account's node.
pub fn pep_node(node: &str) -> Bytes {
    Builder::new(PEP_NODES, node.len())
        .last(node.as_bytes())
        .within(MAX_SORT)
}

/// What sort keys of subscriptions to an account's node begin with.
pub fn pep_subscriptions(node: &str) -> Bytes {
    Builder::new(PEP_SUBSCRIPTIONS, node.len())
        .part(node.as_bytes())
        .within(MAX_SORT - HASH_ROOM)
}

/// What sort keys of items of an account's node begin with.
pub fn pep_items(node: &str) -> Bytes {
    Builder::new(PEP_ITEMS, node.len())
        .part(node.as_bytes())
        .within(MAX_SORT - HASH_ROOM)
}

/// Sort key of a subscription, behind what those of its node begin with.
pub fn pubsub_subscription(prefix: &[u8], jid: &str, id: &str) -> Bytes {
    Builder::new(prefix, jid.len() + id.len())
        .part(jid.as_bytes())
        .last(id.as_bytes())
        .within(MAX_SORT)
}

/// Sort key of an item, behind what those of its node and generation begin with.
pub fn pubsub_item(prefix: &[u8], id: &str) -> Bytes {
    Builder::new(prefix, id.len())
        .last(id.as_bytes())
        .within(MAX_SORT)
}

/// Partition of a log.
pub fn log(archive: &BareJid) -> Bytes {
    partition_of_one(b"A#", archive.as_str())
}

/// Partition of the contacts in a log.
pub fn log_contacts(archive: &BareJid) -> Bytes {
    partition_of_one(b"W#", archive.as_str())
}

/// Partition of a log's segments.
pub fn log_segments(archive: &BareJid) -> Bytes {
    partition_of_one(b"S#", archive.as_str())
}

/// Sort key of one who works on a log.
pub fn log_claim(id: u64) -> Bytes {
    [LOG_CLAIMS, &id.to_be_bytes()].concat().into()
}

/// Partition of how far the maintenance of a domain is.
pub fn maintenance(domain: &str) -> Bytes {
    partition_of_one(b"M#", domain)
}

/// Partition of what the nodes of a cluster share.
pub fn cluster(name: &str) -> Bytes {
    partition_of_one(b"C#", name)
}

/// Sort key of a node of a cluster.
pub fn cluster_node(node: &str) -> Bytes {
    Builder::new(CLUSTER_NODES, node.len())
        .last(node.as_bytes())
        .within(MAX_SORT)
}

/// Partition of the tokens of operators.
pub fn api_tokens() -> Bytes {
    partition_of_one(b"O#", "tokens")
}

/// Sort key of a token.
pub fn api_token(id: &str) -> Bytes {
    Builder::new(b"", id.len())
        .last(id.as_bytes())
        .within(MAX_SORT)
}

/// Partition of what operators did.
pub fn audit() -> Bytes {
    partition_of_one(b"O#", "audit")
}

/// Sort key of an entry of the audit log.
pub fn audit_slot(slot: u64) -> Bytes {
    [AUDIT_SLOTS, &slot.to_be_bytes()].concat().into()
}

/// Whether this is the partition of an account.
pub(crate) fn is_of_account(partition: &[u8]) -> bool {
    partition.starts_with(b"U#")
}

/// Partition of the names of a domain whose former owners are being erased.
pub fn erasures(domain: &str) -> Bytes {
    partition_of_one(b"E#", domain)
}

/// Partition of the list of a domain's accounts.
pub fn account_list(domain: &str) -> Bytes {
    partition_of_one(b"L#", domain)
}

/// Partition of the words of a field in a domain's vCards.
pub fn vcard_words(domain: &str, field: u8) -> Bytes {
    Builder::new(b"V#", domain.len() + 3)
        .part(domain.as_bytes())
        .last(&[field])
        .within(MAX_PARTITION)
}

/// A record of an account.
pub fn of_account(account: &BareJid, sort: Bytes) -> Key {
    Key {
        space: Space::Core,
        partition: self::account(account),
        sort,
    }
}

/// Sort key of a number: big-endian, so that it sorts as a number.
pub fn number(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// The number of a sort key.
pub fn read_number(sort: &[u8]) -> Option<u64> {
    sort.try_into().ok().map(u64::from_be_bytes)
}

/// Sort key of a localpart in a list.
pub fn localpart(local: &str) -> Bytes {
    Builder::new(b"", local.len())
        .last(local.as_bytes())
        .within(MAX_SORT)
}

/// Sort key of a user agent's tokens.
pub fn tokens(agent: &str) -> Bytes {
    Builder::new(TOKENS, agent.len())
        .last(agent.as_bytes())
        .within(MAX_SORT)
}

/// Sort key of private XML.
pub fn private_xml(namespace: &str, name: &str) -> Bytes {
    Builder::new(PRIVATE_XML, namespace.len() + name.len())
        .part(namespace.as_bytes())
        .last(name.as_bytes())
        .within(MAX_SORT)
}

/// Namespace and name of a sort key of private XML.
pub fn read_private_xml(sort: &[u8]) -> Option<(String, String)> {
    let (namespace, name) = read_part(sort.strip_prefix(PRIVATE_XML)?)?;
    Some((text(&namespace)?, text(name)?))
}

/// A part that others follow, and what follows.
fn read_part(key: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut part = Vec::new();
    let mut rest = key;
    loop {
        let at = rest.iter().position(|byte| *byte == 0)?;
        part.extend_from_slice(&rest[..at]);
        match (rest.get(at + 1)?, &rest[at + 2..]) {
            (1, rest) => return Some((part, rest)),
            (0xff, beyond) => {
                part.push(0);
                rest = beyond;
            }
            _ => return None,
        }
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    // XML has no U+0000, so the last part holds no escape.
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// Sort key of a word in a vCard.
pub fn vcard_word(word: &str, local: &str) -> Bytes {
    Builder::new(b"", word.len() + local.len())
        .part(word.as_bytes())
        .last(local.as_bytes())
        .within(MAX_SORT)
}

/// What the sort keys of all words with this beginning begin with.
pub fn vcard_word_prefix(prefix: &str) -> Bytes {
    Builder::new(b"", prefix.len())
        .last(prefix.as_bytes())
        .within(MAX_SORT)
}

/// What a record is, in words: for reports of what a store was asked for. Of a query the beginning of its range.
pub fn record_name(space: Space, partition: &[u8], sort: &[u8]) -> &'static str {
    match (space, partition.get(..2).unwrap_or_default()) {
        (Space::Core, b"U#") => account_record_name(sort),
        (Space::Idx, b"U#") => "erasure mark",
        (_, b"A#") => "log",
        (_, b"S#") => "segments",
        (_, b"W#") => "log contacts",
        (_, b"L#") => "account list",
        (_, b"E#") => "erasures",
        (_, b"V#") => "vcard words",
        (_, b"M#") => "maintenance",
        (Space::Ctl, b"C#") => "cluster",
        (Space::Ctl, b"O#") => "operators",
        (_, b"G#") => "groups",
        (Space::Idx, b"R#") => "room list",
        (_, b"T#") => "rooms subscribed",
        (_, b"O#") => "rooms made",
        (_, b"R#") => "room",
        (_, b"P#" | b"N#" | b"B#") => "pubsub node",
        _ => "other",
    }
}

fn account_record_name(sort: &[u8]) -> &'static str {
    match sort {
        sort if *sort == ACCOUNT[..] => "account",
        sort if *sort == MAILBOX[..] => "mailbox",
        sort if *sort == ROSTER[..] => "roster",
        sort if *sort == PRIVACY[..] => "privacy lists",
        sort if *sort == VCARD[..] => "vcard",
        sort if *sort == ARCHIVE_PREFERENCES[..] => "archive preferences",
        sort if sort.starts_with(TOKENS) => "tokens",
        sort if sort.starts_with(PRIVATE_XML) => "private xml",
        sort if sort.starts_with(b"PEP") => "pep node",
        _ => "other",
    }
}

/// The lowest key beyond all keys that begin with `prefix`; `None`: there is none.
pub fn prefix_end(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(Bytes::from(end))
}

/// The lowest key beyond `key`.
pub fn successor(key: &[u8]) -> Bytes {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    Bytes::from(next)
}

/// What the blob keys of all accounts begin with. Each is written once, under a name never used before.
pub(crate) const ACCOUNT_BLOBS: &str = "u/";

/// What the blob keys of an account begin with. A hash, because an address may be longer than a segment of a path and
/// may hold what a path may not.
pub fn account_blobs(account: &BareJid) -> String {
    format!(
        "{ACCOUNT_BLOBS}{}/",
        hex(digest(&SHA256, account.as_str().as_bytes()).as_ref())
    )
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
mod tests;
