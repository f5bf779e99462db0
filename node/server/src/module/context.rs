//! What a handler may do to the world.

use std::{collections::BTreeSet, ops::Deref, pin::Pin, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use cluster::directory::{Entry, SessionRef};
use storage::repository::{ArchivePreferences, PrivacyData};
use xmpp::{BareJid, FullJid, Jid, Stanza, StanzaError, StreamError};

use super::{Administer, Administered, Registry};
use crate::{
    modules::{roster::subscription::Sharing, vcard::Photo},
    routing::{
        SessionHandle,
        census::{Announcement, Census, Counted, Everywhere},
    },
};

/// Something that goes on by itself.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Something that the clients of certain accounts are told, if they are interested (XEP-0060 §9.2).
#[derive(Debug, Clone)]
pub struct Notice {
    /// What they have to be interested in.
    pub node: String,
    /// The accounts, of ours.
    pub contacts: Vec<BareJid>,
    /// What they are told, without `to`.
    pub stanza: Stanza,
}

/// When the last resource of an account went away (milliseconds since 1970; 0: never there), and what it said.
pub type LastActivity = (u64, Option<String>);

/// What stands behind a [`Context`]: the router, or a recorder in tests.
#[async_trait]
pub trait Outlet: Send + Sync {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;
    /// Seconds since the server started.
    fn uptime(&self) -> u32;
    /// What the modules registered.
    fn registry(&self) -> &Registry;
    /// Sends a stanza that has `from` and `to`.
    fn route(&self, stanza: Stanza);
    /// The same; done when its effects are committed, or it was answered. False: nobody will ever say.
    async fn routed(&self, stanza: Stanza) -> bool;
    /// Sends a stanza that lacks only its `to` to sessions, each in the order of what it is sent like this. Those that are not
    /// there.
    fn spread(&self, stanza: &Stanza, to: &[Arc<FullJid>]) -> Vec<Arc<FullJid>>;
    /// Whether another node serves what has this address.
    fn is_elsewhere(&self, address: &BareJid) -> bool;
    /// Does what need not wait at once; what does goes on as a task.
    fn run(&self, work: Work);
    /// The pubsub nodes of this address were changed here: if another node serves them, what it knows of them counts no longer.
    fn nodes_changed(&self, address: &BareJid);
    /// Those of some addresses that an account tells nothing (XEP-0191, XEP-0016).
    async fn kept_out(&self, account: &BareJid, of: BTreeSet<BareJid>) -> BTreeSet<BareJid>;
    /// Tells those of the named accounts' available sessions whose clients are interested, wherever they are served.
    fn notify(&self, notice: Notice);
    /// The sessions of an account.
    fn entries(&self, account: &BareJid) -> Arc<[Entry]>;
    /// Visits every session of this node.
    fn sessions(&self, visit: &mut dyn FnMut(&SessionHandle));
    /// What a contact sees of an account's presence begins or ends.
    fn share(&self, account: &BareJid, contact: &BareJid, sharing: Sharing);
    /// Sends finished bytes to one session.
    fn push(&self, session: SessionRef, bytes: Bytes);
    /// Ends a session with a stream error; whether it was there.
    fn end_session(&self, session: SessionRef, error: StreamError) -> bool;
    /// The presence of every available session of an account, as its client sent it.
    fn presences(&self, account: &BareJid) -> Vec<Stanza>;
    /// Changes what a session asked for (`routing::flags`).
    fn set_flags(&self, session: SessionRef, set: u16, clear: u16);
    /// The account's photo changed: what its sessions say of it is said again.
    fn photo_changed(&self, account: &BareJid, photo: Photo);
    /// The account was made or removed.
    fn forget(&self, account: &BareJid);
    /// Shared groups of a domain were changed here: whoever is given other contacts now is told, at all nodes.
    async fn groups_changed(&self, domain: &str);
    /// The account is being removed: ends its sessions with an error, all but `spared`, waits until they are gone and
    /// nothing is written for them any more, and forgets it, at the node that serves it. The full addresses that contacts still
    /// see.
    ///
    /// # Errors
    /// They do not end within a moment, or that node does not answer.
    async fn retire(
        &self,
        account: &BareJid,
        spared: Option<SessionRef>,
        error: &StreamError,
    ) -> Result<Vec<FullJid>, StanzaError>;
    /// Ends the sessions of an account that another node serves, or the one of this resource; how many. 0 if it is served
    /// here: then [`Outlet::entries`] has them.
    ///
    /// # Errors
    /// That node does not answer: to be tried again.
    async fn end_elsewhere(
        &self,
        account: &BareJid,
        resource: Option<&str>,
        error: &StreamError,
    ) -> Result<usize, StanzaError>;
    /// The account's privacy lists changed, and are stored: in force when this is done, wherever the account is served by then.
    ///
    /// # Errors
    /// The node to which the account has just gone does not answer: to be repeated.
    async fn lists_changed(
        &self,
        account: &BareJid,
        lists: Arc<PrivacyData>,
    ) -> Result<(), StanzaError>;
    /// The account's archive preferences changed: in force from now on.
    fn preferences_changed(&self, account: &BareJid, preferences: Arc<ArchivePreferences>);
    /// Whether there is such an account.
    async fn exists(&self, account: &BareJid) -> Result<bool, StanzaError>;
    /// When an account was last there; `None` if there is no such account.
    async fn last_activity(&self, account: &BareJid) -> Result<Option<LastActivity>, StanzaError>;
    /// How many messages wait for an account's clients.
    async fn waiting(&self, account: &BareJid) -> Result<usize, StanzaError>;
    /// The resources of an account's sessions, wherever it is served.
    async fn resources(&self, account: &BareJid) -> Result<Vec<String>, StanzaError>;
    /// Who is there, on all nodes.
    async fn census(&self, census: &Census) -> Everywhere<Counted>;
    /// Tells the available sessions of a domain, on all nodes; how many.
    async fn announce(&self, announcement: Announcement) -> Everywhere<u64>;
    /// Does something for an administrator to what a service of ours has at this address, on the node that serves it.
    ///
    /// # Errors
    /// The store or that node does not answer: to be tried again.
    async fn administer(
        &self,
        address: &BareJid,
        what: Administer,
    ) -> Result<Administered, StanzaError>;
}

/// What a handler may do to the world.
#[derive(Clone)]
pub struct Context(Arc<dyn Outlet>);

impl Context {
    /// Over an outlet.
    pub fn new(outlet: impl Outlet + 'static) -> Self {
        Self(Arc::new(outlet))
    }

    /// Sends a stanza with a `to` to that session, in the order of [`Outlet::spread`]. Back comes what is for none.
    pub fn spread_one(&self, stanza: Stanza) -> Option<Stanza> {
        let Some(to) = stanza.to().and_then(Jid::to_full) else {
            return Some(stanza);
        };
        let missing = self.spread(&stanza, &[Arc::new(to)]);
        (!missing.is_empty()).then_some(stanza)
    }

    /// Sends finished bytes to every session of an account that has all of `flags`.
    pub fn push_to(&self, account: &BareJid, flags: u16, mut render: impl FnMut(&Entry) -> Bytes) {
        for entry in self
            .entries(account)
            .iter()
            .filter(|e| e.flags & flags == flags)
        {
            self.push(entry.session, render(entry));
        }
    }
}

impl Deref for Context {
    type Target = dyn Outlet;
    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}
