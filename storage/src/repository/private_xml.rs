//! Private XML (XEP-0049): elements that only their owner reads, by name and namespace.
//!
//! Stored: `core` `U#domain#local` / `PX#namespace#name`; a large body is a blob with a pointer.

use async_trait::async_trait;
use bytes::Bytes;
use xmpp::BareJid;

use crate::error::Result;

/// A stored element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateXml {
    /// The element, serialised.
    pub xml: Bytes,
    /// One more with each put.
    pub version: u64,
}

/// The contract.
#[async_trait]
pub trait PrivateXmlRepository: Send + Sync + 'static {
    /// An element. One strong get, and a blob if it is large.
    async fn get(&self, owner: &BareJid, namespace: &str, name: &str)
    -> Result<Option<PrivateXml>>;
    /// Stores an element, the last writer wins; returns its version. One get and one conditional write, repeated on
    /// conflict; one query of keys more if the element is new.
    ///
    /// # Errors
    /// `TooLarge` if the element or the number of elements passes its bound.
    async fn put(&self, owner: &BareJid, namespace: &str, name: &str, xml: Bytes) -> Result<u64>;
    /// Removes an element; absent is fine.
    async fn remove(&self, owner: &BareJid, namespace: &str, name: &str) -> Result<()>;
    /// Namespaces and names of all elements: the number is bounded. One query a page.
    async fn list(&self, owner: &BareJid) -> Result<Vec<(String, String)>>;
}
