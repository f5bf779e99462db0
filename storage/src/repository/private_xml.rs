//! Private XML (XEP-0049): elements that only their owner reads, by name and namespace.
//!
//! Stored: `core` `U#domain#local` / `PX#namespace#name`; a large body is a blob with a pointer.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use xmpp::BareJid;

use super::{
    paging,
    record::{corrupt, repeat_on_conflict},
    value::{Loaded, Values},
};
use crate::{
    error::{Error, ErrorKind, Result},
    key,
    shape::{Batch, Blobs, Consistency, Query, Space, Table},
};

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
    /// An element. One cached get, and a blob if it is large.
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

/// Bounds of private XML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrivateXmlLimits {
    /// Longest element in bytes.
    pub max_bytes: usize,
    /// How many elements an account may have. Puts at the same moment may pass it by their number.
    pub max_elements: usize,
}

impl Default for PrivateXmlLimits {
    fn default() -> Self {
        Self {
            max_bytes: 256 << 10,
            max_elements: 128,
        }
    }
}

/// Longest namespace and name together, so that a sort key always says them.
const MAX_NAME: usize = 900;
/// How often a put begins again when another was faster.
const MAX_ATTEMPTS: usize = 16;

/// The implementation over a table and blobs.
pub struct TablePrivateXml {
    values: Values,
    limits: PrivateXmlLimits,
}

impl TablePrivateXml {
    /// Private XML in this table; what is larger than `inline_max` bytes in these blobs.
    pub fn new(
        table: Arc<dyn Table>,
        blobs: Arc<dyn Blobs>,
        inline_max: usize,
        limits: PrivateXmlLimits,
    ) -> Self {
        Self {
            values: Values::new(table, blobs, inline_max),
            limits,
        }
    }

    async fn put_once(&self, owner: &BareJid, sort: Bytes, xml: &[u8]) -> Result<u64> {
        let key = key::of_account(owner, sort);
        let seen = self
            .values
            .table
            .get(&key, Consistency::Strong)
            .await?
            .map_or(0, |found| found.version);
        if seen == 0 && self.list(owner).await?.len() >= self.limits.max_elements {
            return Err(too_large("too many elements of private XML"));
        }
        self.values.store(owner, key, xml, seen, Batch::new()).await
    }

    async fn remove_once(&self, owner: &BareJid, sort: Bytes) -> Result<()> {
        let key = key::of_account(owner, sort);
        match self.values.load(&key).await? {
            Some(found) => self.values.remove(key, found, Batch::new()).await,
            None => Ok(()),
        }
    }
}

fn too_large(what: &str) -> Error {
    Error::new(ErrorKind::TooLarge, what)
}

#[async_trait]
impl PrivateXmlRepository for TablePrivateXml {
    async fn get(
        &self,
        owner: &BareJid,
        namespace: &str,
        name: &str,
    ) -> Result<Option<PrivateXml>> {
        let key = key::of_account(owner, key::private_xml(namespace, name));
        let found = self.values.load_cached(&key).await?;
        Ok(found.map(|Loaded { body, version, .. }| PrivateXml {
            xml: body.into(),
            version,
        }))
    }

    async fn put(&self, owner: &BareJid, namespace: &str, name: &str, xml: Bytes) -> Result<u64> {
        if xml.len() > self.limits.max_bytes || namespace.len() + name.len() > MAX_NAME {
            return Err(too_large("private XML that is too long"));
        }
        let sort = key::private_xml(namespace, name);
        repeat_on_conflict(MAX_ATTEMPTS, || self.put_once(owner, sort.clone(), &xml)).await
    }

    async fn remove(&self, owner: &BareJid, namespace: &str, name: &str) -> Result<()> {
        let sort = key::private_xml(namespace, name);
        repeat_on_conflict(MAX_ATTEMPTS, || self.remove_once(owner, sort.clone())).await
    }

    async fn list(&self, owner: &BareJid) -> Result<Vec<(String, String)>> {
        let query = Query {
            space: Space::Core,
            partition: key::account(owner),
            from: Some(key::PRIVATE_XML.into()),
            until: key::prefix_end(key::PRIVATE_XML),
            reverse: false,
            limit: 1,
            consistency: Consistency::Strong,
        };
        let found = paging::collect(
            &*self.values.table,
            query,
            self.limits.max_elements.saturating_mul(2),
        )
        .await?;
        found
            .iter()
            .map(|record| {
                key::read_private_xml(&record.sort)
                    .ok_or_else(|| corrupt("private XML without name"))
            })
            .collect()
    }
}
