//! Wire: what stands in requests and answers, as `docs/backends/http-api.yaml` has it.
//!
//! Numbers stay below 2^53, which every reader of JSON understands; what is drawn at random is text. Bytes are base64,
//! but stanzas, which are text.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use storage::{
    Result,
    repository::{
        Account, AgentTokens, Credentials, EntryFlags, FastToken, LogEntry, NewEntry, Roster,
        RosterItem, ScramHash, StoredScram, Subscription,
    },
};
use xmpp::{BareJid, Jid};

use crate::corrupt;

/// The largest number that is the same everywhere (RFC 8259 §6).
pub(super) const MAX_NUMBER: u64 = (1 << 53) - 1;

fn wrong(what: &str) -> storage::Error {
    corrupt(format!("the service answers what cannot be: {what}"))
}

fn bytes_of(text: &str, what: &str) -> Result<Vec<u8>> {
    STANDARD.decode(text).map_err(|_| wrong(what))
}

fn text_of(bytes: &Bytes) -> Result<String> {
    let text = String::from_utf8(bytes.to_vec());
    text.map_err(|error| corrupt("a stanza that is no text").with_source(error))
}

/// Why something was refused.
#[derive(Deserialize)]
pub(super) struct Refusal {
    pub(super) error: String,
    pub(super) detail: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Version {
    pub(super) version: u64,
}

#[derive(Deserialize)]
pub(super) struct Names {
    pub(super) names: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Removed {
    pub(super) removed: bool,
}

#[derive(Deserialize)]
pub(super) struct Removing {
    pub(super) removing: bool,
}

#[derive(Serialize)]
pub(super) struct Password<'a> {
    pub(super) password: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Right,
    Wrong,
    Disabled,
    Expired,
}

#[derive(Deserialize)]
pub(super) struct Checked {
    pub(super) verdict: Verdict,
}

#[derive(Serialize)]
pub(super) struct Disabled {
    pub(super) disabled: bool,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Scram {
    hash: String,
    iterations: u32,
    salt: String,
    stored_key: String,
    server_key: String,
}

#[derive(Serialize)]
pub(super) struct NewAccount {
    pub(super) created_ms: u64,
    pub(super) scram: Vec<Scram>,
}

#[derive(Serialize)]
pub(super) struct Keys {
    pub(super) scram: Vec<Scram>,
}

#[derive(Deserialize)]
pub(super) struct AccountOf {
    #[serde(default)]
    scram: Vec<Scram>,
    #[serde(default)]
    created_ms: u64,
    disabled: bool,
    version: u64,
}

pub(super) fn scram_of(credentials: &Credentials) -> Vec<Scram> {
    let of = |keys: &StoredScram| Scram {
        hash: keys.hash.name().to_owned(),
        iterations: keys.iterations,
        salt: STANDARD.encode(&keys.salt),
        stored_key: STANDARD.encode(&keys.stored_key),
        server_key: STANDARD.encode(&keys.server_key),
    };
    credentials.scram.iter().map(of).collect()
}

impl AccountOf {
    pub(super) fn account(self) -> Result<Account> {
        let keys = |it: Scram| {
            Ok(StoredScram {
                hash: ScramHash::from_name(&it.hash).ok_or_else(|| wrong("a hash"))?,
                iterations: it.iterations,
                salt: bytes_of(&it.salt, "a salt")?,
                stored_key: bytes_of(&it.stored_key, "a key")?,
                server_key: bytes_of(&it.server_key, "a key")?,
            })
        };
        let scram = self.scram.into_iter().map(keys).collect::<Result<_>>()?;
        Ok(Account {
            credentials: Credentials { scram },
            created_ms: self.created_ms,
            disabled: self.disabled,
            version: self.version,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Token {
    mechanism: String,
    secret: String,
    issued_ms: u64,
    expires_ms: u64,
    count: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Tokens {
    current: Token,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<Token>,
    #[serde(default, skip_serializing)]
    version: u64,
}

impl Token {
    fn of(token: &FastToken) -> Self {
        Self {
            mechanism: token.mechanism.clone(),
            secret: STANDARD.encode(&token.secret),
            issued_ms: token.issued_ms.min(MAX_NUMBER),
            expires_ms: token.expires_ms.min(MAX_NUMBER),
            count: token.count.min(MAX_NUMBER),
        }
    }

    fn token(self) -> Result<FastToken> {
        Ok(FastToken {
            mechanism: self.mechanism,
            secret: bytes_of(&self.secret, "a token")?,
            issued_ms: self.issued_ms,
            expires_ms: self.expires_ms,
            count: self.count,
        })
    }
}

impl Tokens {
    pub(super) fn of(tokens: &AgentTokens) -> Self {
        Self {
            current: Token::of(&tokens.current),
            previous: tokens.previous.as_ref().map(Token::of),
            version: 0,
        }
    }

    pub(super) fn tokens(self) -> Result<AgentTokens> {
        Ok(AgentTokens {
            current: self.current.token()?,
            previous: self.previous.map(Token::token).transpose()?,
            version: self.version,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Item {
    jid: String,
    in_roster: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    subscription: String,
    #[serde(default)]
    ask: bool,
    #[serde(default)]
    approved: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending_in: Option<String>,
    #[serde(default)]
    revision: u64,
}

#[derive(Serialize, Deserialize)]
struct RemovedItem {
    jid: String,
    revision: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RosterOf {
    items: Vec<Item>,
    #[serde(default)]
    removed: Vec<RemovedItem>,
    #[serde(default)]
    floor: u64,
    #[serde(default, skip_serializing)]
    version: u64,
}

const SUBSCRIPTIONS: [(Subscription, &str); 4] = [
    (Subscription::None, "none"),
    (Subscription::To, "to"),
    (Subscription::From, "from"),
    (Subscription::Both, "both"),
];

impl RosterOf {
    pub(super) fn of(roster: &Roster) -> Result<Self> {
        let item = |it: &RosterItem| {
            let known = SUBSCRIPTIONS.iter().find(|(of, _)| *of == it.subscription);
            Ok(Item {
                jid: it.jid.as_str().to_owned(),
                in_roster: it.in_roster,
                name: it.name.clone(),
                groups: it.groups.clone(),
                subscription: known.map_or("none", |(_, name)| name).to_owned(),
                ask: it.ask,
                approved: it.approved,
                pending_in: it.pending_in.as_ref().map(text_of).transpose()?,
                revision: it.revision,
            })
        };
        let removed = roster.removed.iter().map(|(jid, revision)| RemovedItem {
            jid: jid.clone(),
            revision: *revision,
        });
        Ok(Self {
            items: roster.items.iter().map(item).collect::<Result<_>>()?,
            removed: removed.collect(),
            floor: roster.floor,
            version: 0,
        })
    }

    pub(super) fn roster(self) -> Result<Roster> {
        let item = |it: Item| {
            let known = SUBSCRIPTIONS
                .iter()
                .find(|(_, name)| *name == it.subscription);
            let (subscription, _) = known.ok_or_else(|| wrong("a subscription"))?;
            Ok(RosterItem {
                jid: BareJid::parse(&it.jid).map_err(|_| wrong("an address"))?,
                in_roster: it.in_roster,
                name: it.name,
                groups: it.groups,
                subscription: *subscription,
                ask: it.ask,
                approved: it.approved,
                pending_in: it.pending_in.map(Bytes::from),
                revision: it.revision,
            })
        };
        let mut items: Vec<RosterItem> = self.items.into_iter().map(item).collect::<Result<_>>()?;
        // Sorted is what a roster is, whoever kept it.
        items.sort_by(|a, b| a.jid.cmp(&b.jid));
        if items.windows(2).any(|pair| pair[0].jid == pair[1].jid) {
            return Err(wrong("a contact that is there twice"));
        }
        let removed = self.removed.into_iter();
        Ok(Roster {
            version: self.version,
            items,
            removed: removed.map(|it| (it.jid, it.revision)).collect(),
            floor: self.floor,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct Entry {
    #[serde(default, skip_serializing)]
    number: u64,
    time_ms: u64,
    flags: u16,
    peer: String,
    stanza: String,
}

#[derive(Serialize)]
pub(super) struct Append {
    pub(super) head: u64,
    pub(super) write_id: String,
    pub(super) entries: Vec<Entry>,
}

#[derive(Deserialize)]
pub(super) struct TipOf {
    pub(super) head: u64,
    pub(super) time_ms: u64,
}

#[derive(Deserialize)]
pub(super) struct Page {
    pub(super) entries: Vec<Entry>,
    pub(super) more: bool,
}

#[derive(Deserialize)]
pub(super) struct Number {
    pub(super) number: u64,
}

#[derive(Serialize)]
pub(super) struct Truncate {
    pub(super) before: u64,
    pub(super) keep_archived: bool,
}

#[derive(Serialize)]
pub(super) struct Numbers<'a> {
    pub(super) numbers: &'a [u64],
}

#[derive(Deserialize)]
pub(super) struct OneEntry {
    pub(super) entry: Entry,
    pub(super) version: u64,
}

impl Entry {
    pub(super) fn of(entry: &NewEntry) -> Result<Self> {
        Ok(Self {
            number: 0,
            time_ms: entry.time_ms.min(MAX_NUMBER),
            flags: entry.flags.bits(),
            peer: entry.peer.as_str().to_owned(),
            stanza: text_of(&entry.stanza)?,
        })
    }

    pub(super) fn entry(self) -> Result<LogEntry> {
        Ok(LogEntry {
            number: self.number,
            time_ms: self.time_ms,
            flags: EntryFlags::from_bits(self.flags),
            peer: Jid::parse(&self.peer).map_err(|_| wrong("an address"))?,
            stanza: self.stanza.into(),
        })
    }
}
