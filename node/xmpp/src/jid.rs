//! Addresses (RFC 7622).
//!
//! Source: RFC 7622; RFC 8264 and 8265 (PRECIS) for localpart and resourcepart; RFC 5890-5893 (IDNA2008) over UTS #46
//! for the domainpart. XEP-0106 escapes are ordinary characters here.
//! One shared string and two offsets: a clone is a counter, a comparison is a byte comparison. `parse` has the
//! fast way for ASCII and the full way; `domain` the domainpart; `profile` the two PRECIS profiles; `precis` the
//! string classes; `context` the rules that look at neighbours.

mod context;
mod domain;
mod parse;
mod precis;
pub(crate) mod profile;
#[cfg(test)]
mod tests;

pub use self::profile::nickname_key;

use std::{
    borrow::Borrow,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
    sync::Arc,
};

/// Why a string is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JidError {
    /// A part is empty where it must not be.
    #[error("address with an empty part")]
    Empty,
    /// A part is longer than 1,023 bytes (RFC 7622 §3.1).
    #[error("address part longer than 1023 bytes")]
    TooLong,
    /// The domainpart is no host name, IDN or IP literal.
    #[error("malformed domainpart")]
    Domain,
    /// The localpart has a character that UsernameCaseMapped or RFC 7622 §3.3.1 excludes.
    #[error("malformed localpart")]
    Local,
    /// The resourcepart has a character that OpaqueString excludes.
    #[error("malformed resourcepart")]
    Resource,
    /// A bare address was wanted and there is a resourcepart, or the other way round.
    #[error("address of the wrong kind")]
    Kind,
}

/// Any address: `domain`, `local@domain`, either with `/resource`. Normalised; equality is of bytes.
#[derive(Clone)]
pub struct Jid {
    text: Arc<str>,
    /// Length of the localpart; 0: there is none.
    local: u16,
    /// Offset of the slash; equal to `text.len()`: there is none.
    slash: u16,
}

/// `domain` or `local@domain`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BareJid(Jid);

/// An address with a resourcepart.
///
/// ```
/// let jid = xmpp::FullJid::parse("juliet@example.com/balcony").expect("a full address");
/// assert_eq!((jid.bare_str(), jid.resource()), ("juliet@example.com", "balcony"));
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FullJid(Jid);

impl Jid {
    /// Parses and normalises (RFC 7622 §3).
    ///
    /// # Errors
    /// Says which part is malformed, empty or too long.
    ///
    /// ```
    /// let jid = xmpp::Jid::parse("Juliet@Example.COM/Balcony").expect("a well-formed address");
    /// assert_eq!(jid.as_str(), "juliet@example.com/Balcony");
    /// ```
    pub fn parse(text: &str) -> Result<Self, JidError> {
        parse::jid(text)
    }
    /// Builds an address from parts, each normalised.
    ///
    /// # Errors
    /// Says which part is malformed, empty or too long.
    pub fn from_parts(
        local: Option<&str>,
        domain: &str,
        resource: Option<&str>,
    ) -> Result<Self, JidError> {
        parse::parts(local, domain, resource)
    }
    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// The localpart.
    pub fn local(&self) -> Option<&str> {
        (self.local > 0).then(|| &self.text[..self.local as usize])
    }
    /// The domainpart.
    pub fn domain(&self) -> &str {
        let start = if self.local > 0 {
            self.local as usize + 1
        } else {
            0
        };
        &self.text[start..self.slash as usize]
    }
    /// The resourcepart.
    pub fn resource(&self) -> Option<&str> {
        self.text.get(self.slash as usize + 1..)
    }
    /// The address without its resourcepart, as text.
    pub fn bare_str(&self) -> &str {
        &self.text[..self.slash as usize]
    }
    /// The address without its resourcepart; no copy if there is none.
    pub fn to_bare(&self) -> BareJid {
        if self.is_full() {
            BareJid(Jid {
                text: Arc::from(self.bare_str()),
                local: self.local,
                slash: self.slash,
            })
        } else {
            BareJid(self.clone())
        }
    }
    /// Whether there is a resourcepart.
    pub fn is_full(&self) -> bool {
        (self.slash as usize) < self.text.len()
    }
    /// As a full address, if it is one.
    pub fn to_full(&self) -> Option<FullJid> {
        self.is_full().then(|| FullJid(self.clone()))
    }
}

impl BareJid {
    /// Parses and normalises.
    ///
    /// # Errors
    /// As [`Jid::parse`]; `Kind` if the resourcepart is there that must not be, or missing.
    pub fn parse(text: &str) -> Result<Self, JidError> {
        let jid = Jid::parse(text)?;
        if jid.is_full() {
            Err(JidError::Kind)
        } else {
            Ok(Self(jid))
        }
    }
    /// Builds an address from parts, each normalised.
    ///
    /// # Errors
    /// As [`Jid::from_parts`].
    pub fn from_parts(local: Option<&str>, domain: &str) -> Result<Self, JidError> {
        Jid::from_parts(local, domain, None).map(Self)
    }
    /// The whole address.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
    /// The localpart.
    pub fn local(&self) -> Option<&str> {
        self.0.local()
    }
    /// The domainpart.
    pub fn domain(&self) -> &str {
        self.0.domain()
    }
    /// This address with a resourcepart, which is normalised.
    ///
    /// # Errors
    /// `Empty`, `TooLong` or `Resource`.
    ///
    /// ```
    /// let romeo = xmpp::BareJid::parse("romeo@example.net").expect("a well-formed address");
    /// assert_eq!(romeo.with_resource("orchard").expect("a well-formed resource").as_str(), "romeo@example.net/orchard");
    /// ```
    pub fn with_resource(&self, resource: &str) -> Result<FullJid, JidError> {
        parse::with_resource(&self.0, resource).map(FullJid)
    }
    /// As any address; no copy.
    pub fn as_jid(&self) -> &Jid {
        &self.0
    }
}

impl FullJid {
    /// Parses and normalises.
    ///
    /// # Errors
    /// As [`Jid::parse`]; `Kind` if the resourcepart is there that must not be, or missing.
    pub fn parse(text: &str) -> Result<Self, JidError> {
        Jid::parse(text)?.to_full().ok_or(JidError::Kind)
    }
    /// The whole address.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
    /// The resourcepart.
    pub fn resource(&self) -> &str {
        self.0.resource().unwrap_or_default()
    }
    /// The address without its resourcepart (copies).
    pub fn to_bare(&self) -> BareJid {
        self.0.to_bare()
    }
    /// The address without its resourcepart, as text.
    pub fn bare_str(&self) -> &str {
        self.0.bare_str()
    }
    /// The localpart.
    pub fn local(&self) -> Option<&str> {
        self.0.local()
    }
    /// The domainpart.
    pub fn domain(&self) -> &str {
        self.0.domain()
    }
    /// As any address; no copy.
    pub fn as_jid(&self) -> &Jid {
        &self.0
    }
}

impl PartialEq for Jid {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
impl Eq for Jid {}
impl PartialOrd for Jid {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Jid {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}
impl Hash for Jid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}
impl Borrow<str> for BareJid {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}
impl Borrow<str> for FullJid {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

macro_rules! text_traits { ($($t:ty),*) => { $(
    impl fmt::Display for $t { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) } }
    impl fmt::Debug for $t { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Debug::fmt(self.as_str(), f) } }
    impl FromStr for $t { type Err = JidError; fn from_str(text: &str) -> Result<Self, JidError> { Self::parse(text) } }
)* } }
text_traits!(Jid, BareJid, FullJid);
impl From<BareJid> for Jid {
    fn from(jid: BareJid) -> Self {
        jid.0
    }
}
impl From<FullJid> for Jid {
    fn from(jid: FullJid) -> Self {
        jid.0
    }
}
