//! Pubsub nodes (XEP-0060) of services and of accounts (XEP-0163): configuration, affiliations, subscriptions, items.
//!
//! One record is the head of a node, and every change names the version of it that it was made on: of two who create a node,
//! or change it without knowing of each other, one is told `Conflict` and looks again. Items carry the generation of their
//! node, so that a purge is one small write, and a node that is made again has nothing of the one before.
//! Stored: of an account in its own partition, so that it is guarded by the account and erased with it, `core`
//! `U#domain#local` / `PEP#node`, `PEPS#node#subscriber#id`, `PEPI#node#generation#item`; of a service `core`
//! `P#service#node` / `CFG`, `SUB#subscriber#id`, `I#generation#item`, and `idx` `N#service` / node (its list) and
//! `B#service#address` / node (who has to do with which). A large payload is a blob with a pointer.

mod codec;
mod keys;
mod model;
mod table;

use async_trait::async_trait;
use xmpp::BareJid;

use crate::error::Result;

pub use model::{
    PubsubAffiliation, PubsubChange, PubsubField, PubsubHead, PubsubItem, PubsubItemHead,
    PubsubNode, PubsubState, PubsubSubscription,
};
pub use table::TablePubsub;

/// The contract. A service is an account's bare address, or the domain of a service.
#[async_trait]
pub trait PubsubRepository: Send + Sync + 'static {
    /// The heads of all nodes of an account, `limit` at most. One strong query a page.
    async fn heads(&self, account: &BareJid, limit: usize) -> Result<Vec<PubsubHead>>;
    /// Names of a service's nodes in order, those beyond `after`. One eventual query.
    async fn names(
        &self,
        service: &BareJid,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>>;
    /// Names of a service's nodes where an address has a subscription or an affiliation. One strong query a page.
    async fn names_of(
        &self,
        service: &BareJid,
        address: &BareJid,
        limit: usize,
    ) -> Result<Vec<String>>;
    /// A node. One strong get, one query a page of its subscriptions and of its items each.
    async fn load(&self, service: &BareJid, node: &str) -> Result<Option<PubsubNode>>;
    /// An item of a node. One strong get, and a blob if it is large.
    async fn item(
        &self,
        service: &BareJid,
        head: &PubsubHead,
        id: &str,
    ) -> Result<Option<PubsubItem>>;
    /// Items of a node in the order of publication, `limit` at most. One strong query a page, and the blobs of large ones.
    async fn items(
        &self,
        service: &BareJid,
        head: &PubsubHead,
        limit: usize,
    ) -> Result<Vec<PubsubItem>>;
    /// Stores a head and what changes with it, if the version stored is still `head.version` (0: none is). The new version.
    /// One batch, and a blob if the item is large; what exceeds a batch of removals is removed behind it.
    ///
    /// # Errors
    /// `Conflict` if it is another version. `NotAllowed` if there is no such account.
    async fn store(
        &self,
        service: &BareJid,
        head: &PubsubHead,
        change: &PubsubChange,
    ) -> Result<u64>;
    /// Removes a node with all it has, if the version stored is still that; absent is fine. One batch, and its rest behind it.
    ///
    /// # Errors
    /// `Conflict` if it is another version.
    async fn remove(&self, service: &BareJid, node: &PubsubNode) -> Result<()>;
}
