//! Accounts: SCRAM keys (RFC 5802), FAST tokens (XEP-0484), the list of a domain's users.
//!
//! Why here: authentication reads nothing else, so one strong read decides a login.
//! Stored: `core` `U#domain#local` / `ACC` and `FAST#agent`; `idx` `L#domain` / localpart, written in the same batch;
//! `idx` `E#domain` / localpart, from the removal of an account until nothing of it is left.
//! Plain passwords are never stored.

mod capabilities;
mod shadowed;
mod table;

use std::fmt;

use async_trait::async_trait;
use minicbor::{Decode, Encode};
use xmpp::BareJid;

use crate::error::{Error, ErrorKind, Result};

pub use capabilities::{AccountCapabilities, PasswordVerdict, ScramHashes};
pub use shadowed::ShadowedAccounts;
pub use table::TableAccounts;
pub(crate) use table::mark_key;

/// The hash of a SCRAM mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum ScramHash {
    /// RFC 5802.
    #[n(1)]
    Sha1,
    /// RFC 7677.
    #[n(2)]
    Sha256,
    /// draft-melnikov-scram-sha-512.
    #[n(3)]
    Sha512,
}

impl ScramHash {
    /// The name as mechanisms spell it: `SHA-1`, `SHA-256`, `SHA-512`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
            Self::Sha512 => "SHA-512",
        }
    }
    /// The hash of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sha1, Self::Sha256, Self::Sha512]
            .into_iter()
            .find(|hash| hash.name() == name)
    }
}

/// What a server keeps to verify SCRAM (RFC 5802 §3). Prints nothing secret.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StoredScram {
    /// For which mechanism.
    #[n(0)]
    pub hash: ScramHash,
    /// Rounds of PBKDF2.
    #[n(1)]
    pub iterations: u32,
    /// The salt.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub salt: Vec<u8>,
    /// `H(ClientKey)`.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub stored_key: Vec<u8>,
    /// `HMAC(SaltedPassword, "Server Key")`.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub server_key: Vec<u8>,
}

impl fmt::Debug for StoredScram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredScram")
            .field("hash", &self.hash)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// How an account proves who it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Credentials {
    /// One set of keys per hash.
    #[n(0)]
    pub scram: Vec<StoredScram>,
}

impl Credentials {
    /// The keys for this hash.
    pub fn scram(&self, hash: ScramHash) -> Option<&StoredScram> {
        self.scram.iter().find(|keys| keys.hash == hash)
    }
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Account {
    /// How it proves who it is.
    #[n(0)]
    pub credentials: Credentials,
    /// When it was created, in milliseconds since 1970.
    #[n(1)]
    pub created_ms: u64,
    /// Whether it may not log in.
    #[n(2)]
    pub disabled: bool,
    /// The version that changes must name.
    #[cbor(skip)]
    pub version: u64,
}

/// One FAST token (XEP-0484 §3). Prints nothing secret.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct FastToken {
    /// The mechanism it is for, as `HT-SHA-256-EXPR`.
    #[n(0)]
    pub mechanism: String,
    /// The token.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub secret: Vec<u8>,
    /// When it was issued, in milliseconds since 1970.
    #[n(2)]
    pub issued_ms: u64,
    /// Until when it is valid, in milliseconds since 1970.
    #[n(3)]
    pub expires_ms: u64,
    /// The highest `count` seen with it (XEP-0484 §3.5): a replay does not exceed it.
    #[n(4)]
    pub count: u64,
}

impl fmt::Debug for FastToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FastToken")
            .field("mechanism", &self.mechanism)
            .field("expires_ms", &self.expires_ms)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

/// The tokens of one user agent: the new one, and the old one until the new one was used.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AgentTokens {
    /// Newest.
    #[n(0)]
    pub current: FastToken,
    /// The one before, still valid while the client may not have received `current`.
    #[n(1)]
    pub previous: Option<FastToken>,
    /// The version that changes must name.
    #[cbor(skip)]
    pub version: u64,
}

impl AgentTokens {
    /// User agents of an account that have tokens.
    pub const MAX_AGENTS: usize = 64;
}

/// The contract. Every read is strong: a login never sees a password or token that was changed before.
#[async_trait]
pub trait AccountRepository: Send + Sync + 'static {
    /// What it can do for the accounts of a domain; costs nothing. By default everything, with keys for every hash.
    fn capabilities(&self, _domain: &str) -> AccountCapabilities {
        AccountCapabilities::ALL
    }
    /// Whether this is the password of an account: for a repository that has no keys to verify it by
    /// ([`AccountCapabilities::verifies_passwords`]). What is absent is `Wrong`; everything but `Wrong` says that the
    /// password was right.
    ///
    /// # Errors
    /// `Unavailable` or `Throttled` when nobody could tell: never `Wrong`. `NotAllowed`: verify it by its keys.
    async fn check_password(&self, _account: &BareJid, _password: &str) -> Result<PasswordVerdict> {
        Err(Error::new(
            ErrorKind::NotAllowed,
            "this repository has keys to verify passwords by",
        ))
    }
    /// An account. One strong get.
    async fn load(&self, account: &BareJid) -> Result<Option<Account>>;
    /// Creates an account with its row in the list, and takes away the mark of an erasure: one batch.
    /// `Stores::create` erases before what a former owner left.
    ///
    /// # Errors
    /// `Conflict` if it exists; of two racing creations one wins. `NotAllowed` for an address without localpart.
    async fn create(&self, account: &BareJid, credentials: Credentials, now_ms: u64) -> Result<()>;
    /// Changes how an account proves who it is; returns the new version. One get, one conditional write.
    ///
    /// # Errors
    /// `Conflict` if the version is not `seen` or the account is gone.
    async fn set_credentials(
        &self,
        account: &BareJid,
        credentials: Credentials,
        seen: u64,
    ) -> Result<u64>;
    /// Locks or unlocks an account; returns the new version. One get, one conditional write.
    ///
    /// # Errors
    /// `Conflict` if the version is not `seen` or the account is gone.
    async fn set_disabled(&self, account: &BareJid, disabled: bool, seen: u64) -> Result<u64>;
    /// Removes the account and its row in the list, and marks its name as being erased; whether it was there. One get,
    /// one batch. From then on nothing is written for it. `Stores::erase` goes on with everything else that it has.
    async fn remove(&self, account: &BareJid) -> Result<bool>;
    /// Marks the name of no account as being erased, for what is left of a former owner. One batch.
    ///
    /// # Errors
    /// `Conflict` if there is such an account.
    async fn begin_erasure(&self, account: &BareJid) -> Result<()>;
    /// Takes the mark of a name away. One write.
    async fn end_erasure(&self, account: &BareJid) -> Result<()>;
    /// Whether an account of this name was removed and is still being erased. One strong get.
    async fn is_being_removed(&self, account: &BareJid) -> Result<bool>;
    /// The localparts of those in a domain, as [`AccountRepository::list`].
    async fn removals(
        &self,
        domain: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>>;
    /// Localparts of a domain in byte order, beyond `after`. One eventual query a page; fewer than `limit` only at the
    /// end.
    async fn list(&self, domain: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>>;
    /// The FAST tokens of a user agent (XEP-0484). One strong get.
    async fn tokens(&self, account: &BareJid, agent: &str) -> Result<Option<AgentTokens>>;
    /// Stores the tokens of a user agent (`tokens.version` is ignored); `seen` is 0 for the first. Returns the new
    /// version. One batch that also checks that the account exists; for a new agent a query before, and beyond
    /// [`AgentTokens::MAX_AGENTS`] those go whose token is the oldest. What has been out of date for a week vanishes.
    ///
    /// # Errors
    /// `Conflict` if the version is not `seen` or the account is gone.
    async fn put_tokens(
        &self,
        account: &BareJid,
        agent: &str,
        tokens: &AgentTokens,
        seen: u64,
    ) -> Result<u64>;
    /// Forgets the tokens of a user agent; absent is fine.
    async fn remove_tokens(&self, account: &BareJid, agent: &str) -> Result<()>;
    /// Forgets every token of an account, as a change of password must. One query a page and one batch.
    async fn remove_all_tokens(&self, account: &BareJid) -> Result<()>;
}
