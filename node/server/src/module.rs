//! The contract of a feature: a module registers what it answers for; its handlers are given a [`Context`].
//!
//! Registrations are data. Only what has no order is registered (IQ namespaces, features, services with an address of
//! their own); what has order is a line in `pipeline`. Two owners of one namespace stop the start.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use bytes::Bytes;
use cluster::{
    NodeId,
    directory::{Entry, SessionRef},
};
use minicbor::{Decode, Encode};
use parking_lot::Mutex;
use storage::repository::{ArchivePreferences, PrivacyData};
use xmpp::{
    BareJid, Element, FullJid, Jid, Stanza, StanzaError, StanzaErrorCondition as Condition,
    StreamError, ns,
};

use crate::{
    modules::{roster::subscription::Sharing, vcard::Photo},
    pipeline::delivery::IqType,
    routing::{
        SessionHandle,
        census::{Announcement, Census, Counted, Everywhere},
    },
};

/// A feature. Said once, at the start.
pub trait Module: Send + Sync {
    /// Says what this module answers for.
    fn register(self: Arc<Self>, registry: &mut Registry);
}

/// Whose IQs a handler answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// Those to a domain of ours.
    Server,
    /// Those to the bare address of an account of ours, or without an address.
    Account,
}

/// An IQ that asks for something.
pub struct IqRequest {
    /// `get` or `set`.
    pub kind: IqType,
    /// Who asks; a full address if it is a session.
    pub from: Jid,
    /// Whom: a domain of ours or the bare address of an account.
    pub to: BareJid,
    /// The sender's session, if it is one of ours.
    pub session: Option<Arc<SessionHandle>>,
    /// What is asked.
    pub payload: Element,
    /// What follows the reply.
    pub followers: Followers,
}

/// What follows a reply, in order.
pub type Followers = Mutex<Vec<Follower>>;

/// Something that follows the reply to a session's request.
pub enum Follower {
    /// Sent to the session.
    Send(Element),
    /// Ends the session, once it has sent all that comes before.
    End(StreamError),
    /// Kept until then, and let go: a turn that others wait for.
    Release(Box<dyn Send>),
}

impl IqRequest {
    /// Sends to the session that asks, behind the reply.
    pub fn send_after_reply(&self, element: Element) {
        self.followers.lock().push(Follower::Send(element));
    }

    /// Ends the session that asks, behind the reply.
    pub fn end_after_reply(&self, error: StreamError) {
        self.followers.lock().push(Follower::End(error));
    }

    /// Keeps something until the reply and what follows it are on their way.
    pub fn release_after_reply(&self, kept: impl Send + 'static) {
        let kept = Box::new(kept);
        self.followers.lock().push(Follower::Release(kept));
    }

    /// Whether this session asks.
    pub fn is_of(&self, session: SessionRef) -> bool {
        let own = self.session.as_ref();
        own.is_some_and(|own| own.session == session)
    }

    /// Whether it changes something.
    pub fn is_set(&self) -> bool {
        self.kind == IqType::Set
    }

    /// Whether an account asks for itself.
    pub fn is_own(&self) -> bool {
        self.from.bare_str() == self.to.as_str()
    }

    /// Checks that this is a request for the payload `name`, which can only be read.
    ///
    /// # Errors
    /// `bad-request`: another payload. `not-allowed`: it wants to change something.
    pub fn only_get(&self, name: &str) -> Result<(), StanzaError> {
        match (self.payload.name() == name, self.kind) {
            (false, _) => Err(Condition::BadRequest.into()),
            (true, IqType::Set) => Err(Condition::NotAllowed.into()),
            (true, _) => Ok(()),
        }
    }
}

/// Answers IQs of one namespace.
#[async_trait]
pub trait IqHandler: Send + Sync {
    /// The payload of the result, or the error.
    async fn handle(&self, iq: &IqRequest, cx: &Context) -> Result<Option<Element>, StanzaError>;

    /// Whether only the account itself may ask (then others get `forbidden` before the handler is asked).
    fn own_only(&self) -> bool {
        false
    }

    /// What is answered in the name of an account that does not exist: what a namespace that nobody handles is answered
    /// with (RFC 6120 §10.5.3.1), unless a stranger could tell that from the answer in the name of one that does.
    fn absent(&self, _iq: &IqRequest) -> Result<Option<Element>, StanzaError> {
        Err(Condition::ServiceUnavailable.into())
    }
}

/// Something with a domain of its own, beside the accounts'.
#[async_trait]
pub trait Service: Send + Sync {
    /// Takes any stanza for the service itself.
    fn receive(&self, stanza: &Stanza, cx: &Context);
    /// Takes a stanza for an address of the service with a localpart, which is served on this node.
    fn take(&self, stanza: Stanza, receipt: Receipt, cx: &Context) {
        self.receive(&stanza, cx);
        receipt.done();
    }
    /// A view is about to count: these nodes will tell which of their sessions are in rooms that come here.
    fn expect(&self, _epoch: u64, _nodes: &[NodeId]) {}
    /// The view has changed.
    fn view_changed(&self, _cx: &Context) {}
    /// These sessions are in rooms that are served here.
    fn assert(&self, _assertions: Vec<Assertion>, _cx: &Context) {}
    /// A node has told all that it had to.
    fn all_asserted(&self, _epoch: u64, _by: NodeId) {}
    /// Whether the service as a whole is at one place, which its address names.
    fn is_placed(&self) -> bool {
        false
    }
    /// Whether something that this address sent is being done here: what follows waits behind it, also when the service has
    /// just moved.
    fn is_busy_with(&self, _from: &Jid) -> bool {
        false
    }
    /// Does something for an administrator to what is at this address, which is served on this node.
    ///
    /// # Errors
    /// The store did not answer, or there is nothing that could be done.
    async fn administer(
        &self,
        _address: &BareJid,
        _what: Administer,
        _cx: &Context,
    ) -> Result<Administered, StanzaError> {
        Err(Condition::FeatureNotImplemented.into())
    }
}

/// What an administrator wants of something that a service has at one of its addresses, such as a room.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Administer {
    /// To know of it.
    #[n(0)]
    Inspect,
    /// Its end.
    #[n(1)]
    Destroy {
        /// Why.
        #[n(0)]
        reason: Option<String>,
    },
}

/// What became of that.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Administered {
    /// There is nothing at this address.
    #[n(0)]
    Absent,
    /// What is known, by name and value.
    #[n(1)]
    Known(#[n(0)] Vec<(String, String)>),
    /// It is no more.
    #[n(2)]
    Destroyed,
}

/// A session that is in a room, as its node tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// The room and the nick.
    pub occupant: Jid,
    /// The session.
    pub real: FullJid,
    /// Its presence; empty: it has none.
    pub presence: Bytes,
    /// The room said that it is in; else it may still have asked only.
    pub entered: bool,
    /// The newest message of the room that it was given; 0: nobody knows.
    pub heard: u64,
}

/// Who waits for what becomes of a stanza. One that is dropped says nothing: the stanza stays unacknowledged.
pub struct Receipt {
    tell: Box<dyn FnOnce(bool) + Send>,
    /// The stanza may have taken effect already, at a node that is gone.
    pub doubted: bool,
}

impl Receipt {
    /// `tell` is told whether the stanza took effect.
    pub fn new(tell: impl FnOnce(bool) + Send + 'static) -> Self {
        Self {
            tell: Box::new(tell),
            doubted: false,
        }
    }

    /// The effects are committed.
    pub fn done(self) {
        (self.tell)(true);
    }

    /// It was answered with an error.
    pub fn refused(self) {
        (self.tell)(false);
    }
}

/// Something that goes on by itself.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Answers service discovery for what a module knows (XEP-0030): a `<query/>`, `None` if it does not know the node. For
/// an account it is asked only in the name of those who see the account's presence.
#[async_trait]
pub trait DiscoNode: Send + Sync {
    /// disco#info of a node.
    async fn info(
        &self,
        iq: &IqRequest,
        node: &str,
        cx: &Context,
    ) -> Result<Option<Element>, StanzaError>;
    /// disco#items of a node.
    async fn items(
        &self,
        iq: &IqRequest,
        node: &str,
        cx: &Context,
    ) -> Result<Option<Element>, StanzaError>;
    /// Items of the server or of the account itself, beside those that are registered.
    async fn top(&self, _iq: &IqRequest, _cx: &Context) -> Result<Vec<Element>, StanzaError> {
        Ok(Vec::new())
    }
}

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

/// How much of a specification is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// All that concerns a server.
    Complete,
    /// What the text beside it says.
    Partial(&'static str),
}

/// A specification that a module implements; the table of them prints itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// Its number in the XEP series.
    pub xep: u16,
    /// The version it was built from.
    pub version: &'static str,
    /// How much of it.
    pub status: Status,
}

/// `<identity/>` (XEP-0030 §3.1).
pub fn identity(category: &'static str, kind: &'static str) -> Element {
    Element::new("identity", ns::DISCO_INFO)
        .with_attr("category", category)
        .with_attr("type", kind)
}

/// What the modules registered.
#[derive(Default)]
pub struct Registry {
    handlers: BTreeMap<(Target, &'static str), Arc<dyn IqHandler>>,
    identities: Vec<(Target, Element)>,
    features: BTreeMap<Target, Vec<&'static str>>,
    nodes: Vec<Arc<dyn DiscoNode>>,
    items: Vec<(Target, Element)>,
    forms: Vec<Element>,
    services: BTreeMap<String, Arc<dyn Service>>,
    specs: Vec<Spec>,
    mistakes: Vec<String>,
    verification: OnceLock<String>,
    hidden: BTreeMap<String, Hidden>,
}

/// What one domain cannot do.
#[derive(Default)]
struct Hidden {
    features: Vec<&'static str>,
    verification: OnceLock<String>,
}

impl Registry {
    /// Answers IQs of a namespace.
    pub fn iq(&mut self, target: Target, ns: &'static str, handler: Arc<dyn IqHandler>) {
        if self.handlers.insert((target, ns), handler).is_some() {
            self.mistakes
                .push(format!("two modules answer IQs of {ns} for {target:?}"));
        }
    }

    /// Announces what a target is beside a server or an account (XEP-0030), by a category and a type of the registrar's.
    pub fn disco_identity(&mut self, target: Target, category: &'static str, kind: &'static str) {
        self.identities.push((target, identity(category, kind)));
    }

    /// Announces a feature (XEP-0030).
    pub fn disco(&mut self, target: Target, feature: &'static str) {
        let features = self.features.entry(target).or_default();
        if let Err(index) = features.binary_search(&feature) {
            features.insert(index, feature);
        }
    }

    /// Keeps a feature of the server from being announced for one domain, whose accounts are another system's.
    pub fn hide(&mut self, domain: &str, feature: &'static str) {
        let hidden = self.hidden.entry(domain.to_owned()).or_default();
        hidden.features.push(feature);
    }

    /// Answers service discovery of nodes.
    pub fn disco_node(&mut self, node: Arc<dyn DiscoNode>) {
        self.nodes.push(node);
    }

    /// An item of the server or of an account (disco#items without a node). One without `jid` is at the address that is
    /// asked.
    pub fn disco_item(&mut self, target: Target, item: Element) {
        self.items.push((target, item));
    }

    /// A form in the server's disco#info (XEP-0128).
    pub fn disco_form(&mut self, form: Element) {
        self.forms.push(form);
    }

    /// Serves a domain.
    pub fn service(&mut self, domain: String, service: Arc<dyn Service>) {
        if self.services.insert(domain.clone(), service).is_some() {
            self.mistakes.push(format!("two modules serve {domain}"));
        }
    }

    /// Names a specification.
    pub fn spec(&mut self, spec: Spec) {
        self.specs.push(spec);
    }

    /// What two modules both claimed; the start fails if there is any.
    pub fn mistakes(&self) -> &[String] {
        &self.mistakes
    }

    /// Who answers a namespace.
    pub fn handler(&self, target: Target, ns: &str) -> Option<&Arc<dyn IqHandler>> {
        // The map's keys live for ever, ours need not: a scan of the range is a look-up.
        self.handlers
            .iter()
            .find(|((t, n), _)| *t == target && *n == ns)
            .map(|(_, h)| h)
    }

    /// What a target is, beside a server or an account.
    pub fn identities(&self, target: Target) -> impl Iterator<Item = &Element> {
        self.identities
            .iter()
            .filter(move |(t, _)| *t == target)
            .map(|(_, identity)| identity)
    }

    /// The verification string of the server's capabilities (XEP-0115) for a domain, computed once.
    pub fn verification(&self, domain: &str, compute: impl FnOnce() -> String) -> &str {
        let hidden = self.hidden.get(domain).map(|it| &it.verification);
        hidden.unwrap_or(&self.verification).get_or_init(compute)
    }

    /// Whether a feature of the server is none of this domain's.
    pub fn is_hidden(&self, domain: &str, feature: &str) -> bool {
        let hidden = self.hidden.get(domain);
        hidden.is_some_and(|it| it.features.contains(&feature))
    }

    /// The features of a target, sorted.
    pub fn features(&self, target: Target) -> &[&'static str] {
        self.features.get(&target).map_or(&[], Vec::as_slice)
    }

    /// Who may know nodes.
    pub fn nodes(&self) -> &[Arc<dyn DiscoNode>] {
        &self.nodes
    }

    /// The items of a target.
    pub fn items(&self, target: Target) -> impl Iterator<Item = &Element> {
        self.items
            .iter()
            .filter(move |(t, _)| *t == target)
            .map(|(_, item)| item)
    }

    /// The server's forms.
    pub fn forms(&self) -> &[Element] {
        &self.forms
    }

    /// Every service.
    pub fn services(&self) -> impl Iterator<Item = &Arc<dyn Service>> {
        self.services.values()
    }

    /// Who serves a domain.
    pub fn service_of(&self, domain: &str) -> Option<&Arc<dyn Service>> {
        self.services.get(domain)
    }

    /// What is implemented.
    pub fn specs(&self) -> &[Spec] {
        &self.specs
    }
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
    /// The same; done when its effects are committed, or it was answered.
    async fn routed(&self, stanza: Stanza);
    /// Sends a stanza that lacks only its `to` to sessions, each in the order of what it is sent like this. Those that are not
    /// there.
    fn spread(&self, stanza: &Stanza, to: &[Arc<FullJid>]) -> Vec<Arc<FullJid>>;
    /// Whether another node serves what has this address.
    fn is_elsewhere(&self, address: &BareJid) -> bool;
    /// Does what need not wait at once; what does goes on as a task.
    fn run(&self, work: Work);
    /// The pubsub nodes of this address were changed here: if another node serves them, what it knows of them counts no longer.
    fn nodes_changed(&self, address: &BareJid);
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

impl std::ops::Deref for Context {
    type Target = dyn Outlet;
    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}
