//! Recorder: an outlet for tests that writes down, a line each, what a module did to the world.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use cluster::{
    NodeId,
    directory::{Entry, SessionRef},
};
use parking_lot::Mutex;
use storage::{
    Stores,
    backend::memory::{MemoryBlobs, MemoryTable},
    repository::{ArchivePreferences, PrivacyData},
};
use xmpp::{
    BareJid, Element, FullJid, Jid, Stanza, StanzaError, StanzaErrorCondition, StreamError, ns,
};

use crate::{
    module::{
        Administer, Administered, Context, Follower, IqHandler, IqRequest, LastActivity, Notice,
        Outlet, Registry, Work,
    },
    modules::{roster::subscription::Sharing, vcard::Photo},
    pipeline::delivery::IqType,
    routing::{
        Mailbox, SessionHandle,
        census::{self, Announcement, Census, Counted, Everywhere},
    },
};

/// 2024-01-01T00:00:00.000Z
pub(crate) const NOW_MS: u64 = 1_704_067_200_000;

/// Everything a test sets up and looks at.
#[derive(Default)]
pub(crate) struct World {
    /// What was done, in order.
    pub(crate) log: Mutex<Vec<String>>,
    entries: Mutex<BTreeMap<BareJid, Vec<Entry>>>,
    handles: Mutex<Vec<Arc<SessionHandle>>>,
    presences: Mutex<BTreeMap<BareJid, Vec<Stanza>>>,
    accounts: Mutex<BTreeSet<BareJid>>,
    pub(crate) activity: Mutex<BTreeMap<BareJid, LastActivity>>,
    registry: Registry,
    later_ms: AtomicU64,
    /// Whether another node serves what is asked for.
    elsewhere: AtomicBool,
}

/// A world with a handle that can be given away.
#[derive(Clone, Default)]
pub(crate) struct Recorder(pub(crate) Arc<World>);

pub(crate) fn stores() -> Stores {
    // A module's tests need not make the accounts that own what it stores.
    Stores::over(Arc::new(MemoryTable::new()), Arc::new(MemoryBlobs::new())).unguarded()
}

pub(crate) fn bare(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

pub(crate) fn xml(text: &str) -> Element {
    Element::parse(text.as_bytes(), ns::CLIENT).unwrap()
}

impl Recorder {
    /// So much later is it from now on.
    pub(crate) fn advance(&self, ms: u64) {
        self.0.later_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Another node serves everything from now on, or none does any more.
    pub(crate) fn serve_elsewhere(&self, elsewhere: bool) {
        self.0.elsewhere.store(elsewhere, Ordering::Relaxed);
    }

    pub(crate) fn context(&self) -> Context {
        Context::new(self.clone())
    }

    /// A session of an account, with flags as given; numbers count from 1.
    pub(crate) fn session(&self, jid: &str, flags: u16) -> Arc<SessionHandle> {
        let jid = FullJid::parse(jid).unwrap();
        let mut handles = self.0.handles.lock();
        let session = SessionRef {
            node: NodeId(1),
            number: handles.len() as u64 + 1,
        };
        let entry = Entry {
            session,
            resource: jid.resource().into(),
            priority: Some(0),
            flags,
        };
        self.0
            .entries
            .lock()
            .entry(jid.to_bare())
            .or_default()
            .push(entry);
        self.0.accounts.lock().insert(jid.to_bare());
        let handle = SessionHandle {
            sm_id: OnceLock::new(),
            session,
            jid,
            mailbox: Mailbox::default(),
            heard: AtomicU32::new(0),
            ending: OnceLock::new(),
            directed: Default::default(),
        };
        handles.push(Arc::new(handle));
        handles[handles.len() - 1].clone()
    }

    /// The session's presence becomes known.
    pub(crate) fn presence(&self, handle: &SessionHandle) {
        let presence = Stanza::from_element(
            &Element::new("presence", ns::CLIENT).with_attr("from", handle.jid.as_str()),
        );
        self.0
            .presences
            .lock()
            .entry(handle.jid.to_bare())
            .or_default()
            .push(presence);
    }

    /// What was done since the last look, joined by new lines.
    pub(crate) fn take(&self) -> String {
        std::mem::take(&mut *self.0.log.lock()).join("\n")
    }

    fn note(&self, line: String) {
        self.0.log.lock().push(line);
    }

    fn name(&self, session: SessionRef) -> String {
        let handles = self.0.handles.lock();
        handles
            .iter()
            .find(|h| h.session == session)
            .map_or_else(|| "?".into(), |h| h.jid.resource().into())
    }
}

/// A request of a session to its own account, or to `to`.
pub(crate) fn request(
    handle: &Arc<SessionHandle>,
    to: Option<&str>,
    kind: IqType,
    payload: &str,
) -> IqRequest {
    IqRequest {
        kind,
        from: handle.jid.as_jid().clone(),
        to: to.map_or_else(|| handle.jid.to_bare(), bare),
        session: Some(handle.clone()),
        payload: xml(payload),
        followers: Default::default(),
    }
}

/// A request of somebody who has no session here.
pub(crate) fn foreign(from: &str, to: &str, kind: IqType, payload: &str) -> IqRequest {
    IqRequest {
        kind,
        from: Jid::parse(from).unwrap(),
        to: bare(to),
        session: None,
        payload: xml(payload),
        followers: Default::default(),
    }
}

/// The payload of the answer as text (empty: none), or the condition.
pub(crate) async fn answer(
    handler: &dyn IqHandler,
    iq: &IqRequest,
    cx: &Context,
) -> Result<String, StanzaErrorCondition> {
    match handler.handle(iq, cx).await {
        Ok(payload) => Ok(payload.map_or_else(String::new, |it| {
            String::from_utf8(it.to_bytes(ns::CLIENT)).unwrap()
        })),
        Err(error) => Err(error.condition),
    }
}

/// What follows the reply to a request, a line each.
pub(crate) fn followers(iq: &IqRequest) -> String {
    let line = |follower: Follower| match follower {
        Follower::Send(element) => Some(format!("send {}", text(&element.to_bytes(ns::CLIENT)))),
        Follower::End(error) => Some(format!("end {}", error.condition)),
        Follower::Release(_) => None,
    };
    let lines: Vec<String> = iq.followers.lock().drain(..).filter_map(line).collect();
    lines.join("\n")
}

/// Random ids of what we push read `?`.
fn text(bytes: &[u8]) -> String {
    let mut element = Element::parse(bytes, ns::CLIENT).unwrap();
    if element.attr("type") == Some("set") && element.attr("id").is_some() {
        element.set_attr("id", "?");
    }
    String::from_utf8(element.to_bytes(ns::CLIENT)).unwrap()
}

#[async_trait]
impl Outlet for Recorder {
    fn now_ms(&self) -> u64 {
        NOW_MS + self.0.later_ms.load(Ordering::Relaxed)
    }
    fn uptime(&self) -> u32 {
        3_600
    }
    fn registry(&self) -> &Registry {
        &self.0.registry
    }
    fn route(&self, stanza: Stanza) {
        self.note(format!("route {}", text(stanza.raw())));
    }
    async fn routed(&self, stanza: Stanza) -> bool {
        self.note(format!("routed {}", text(stanza.raw())));
        true
    }
    fn nodes_changed(&self, _address: &BareJid) {}
    fn spread(&self, stanza: &Stanza, to: &[Arc<FullJid>]) -> Vec<Arc<FullJid>> {
        let to: Vec<&str> = to.iter().map(|to| to.as_str()).collect();
        self.note(format!("spread {} to {}", text(stanza.raw()), to.join(" ")));
        Vec::new()
    }
    fn is_elsewhere(&self, _address: &BareJid) -> bool {
        self.0.elsewhere.load(Ordering::Relaxed)
    }
    fn run(&self, work: Work) {
        tokio::spawn(work);
    }
    async fn groups_changed(&self, domain: &str) {
        self.note(format!("groups changed {domain}"));
    }

    fn notify(&self, notice: Notice) {
        let to: Vec<&str> = notice.contacts.iter().map(BareJid::as_str).collect();
        self.note(format!(
            "notify {} {} {}",
            notice.node,
            to.join(","),
            text(notice.stanza.raw())
        ));
    }
    fn entries(&self, account: &BareJid) -> Arc<[Entry]> {
        self.0
            .entries
            .lock()
            .get(account)
            .map_or_else(|| Arc::from([]), |entries| entries.clone().into())
    }
    fn sessions(&self, visit: &mut dyn FnMut(&SessionHandle)) {
        let handles = self.0.handles.lock().clone();
        handles.iter().for_each(|handle| visit(handle));
    }
    fn share(&self, account: &BareJid, contact: &BareJid, sharing: Sharing) {
        self.note(format!("share {account} {contact} {sharing:?}"));
    }
    fn push(&self, session: SessionRef, bytes: Bytes) {
        self.note(format!("push {} {}", self.name(session), text(&bytes)));
    }
    fn end_session(&self, session: SessionRef, error: StreamError) -> bool {
        self.note(format!("end {} {}", self.name(session), error.condition));
        true
    }
    fn presences(&self, account: &BareJid) -> Vec<Stanza> {
        self.0
            .presences
            .lock()
            .get(account)
            .cloned()
            .unwrap_or_default()
    }
    fn set_flags(&self, session: SessionRef, set: u16, clear: u16) {
        for entry in self
            .0
            .entries
            .lock()
            .values_mut()
            .flatten()
            .filter(|entry| entry.session == session)
        {
            entry.flags = (entry.flags | set) & !clear;
        }
        self.note(format!("flags {} +{set} -{clear}", self.name(session)));
    }
    fn photo_changed(&self, account: &BareJid, photo: Photo) {
        self.note(format!("photo {account} version {}", photo.version));
    }
    fn forget(&self, account: &BareJid) {
        self.note(format!("forget {account}"));
    }
    async fn retire(
        &self,
        account: &BareJid,
        spared: Option<SessionRef>,
        error: &StreamError,
    ) -> Result<Vec<FullJid>, StanzaError> {
        for entry in self.entries(account).iter() {
            if Some(entry.session) != spared {
                self.end_session(entry.session, error.clone());
            }
        }
        self.note(format!("retire {account}"));
        let presences = self.presences(account);
        let seen = presences.iter().filter_map(Stanza::from);
        Ok(seen.filter_map(|jid| jid.to_full()).collect())
    }
    async fn end_elsewhere(
        &self,
        _account: &BareJid,
        _resource: Option<&str>,
        _error: &StreamError,
    ) -> Result<usize, StanzaError> {
        Ok(0)
    }
    async fn lists_changed(
        &self,
        account: &BareJid,
        lists: Arc<PrivacyData>,
    ) -> Result<(), StanzaError> {
        self.note(format!("lists {account} version {}", lists.version));
        Ok(())
    }
    fn preferences_changed(&self, account: &BareJid, preferences: Arc<ArchivePreferences>) {
        self.note(format!(
            "preferences {account} {:?} version {}",
            preferences.default, preferences.version
        ));
    }
    async fn kept_out(&self, _: &BareJid, _: BTreeSet<BareJid>) -> BTreeSet<BareJid> {
        BTreeSet::new()
    }
    async fn exists(&self, account: &BareJid) -> Result<bool, StanzaError> {
        Ok(self.0.accounts.lock().contains(account))
    }
    async fn last_activity(&self, account: &BareJid) -> Result<Option<LastActivity>, StanzaError> {
        Ok(self.0.activity.lock().get(account).cloned())
    }
    async fn waiting(&self, _account: &BareJid) -> Result<usize, StanzaError> {
        Ok(0)
    }
    async fn resources(&self, account: &BareJid) -> Result<Vec<String>, StanzaError> {
        let entries = self.entries(account);
        Ok(entries
            .iter()
            .map(|entry| (*entry.resource).to_owned())
            .collect())
    }
    async fn census(&self, wanted: &Census) -> Everywhere<Counted> {
        Everywhere {
            all: census::count(self, wanted),
            silent: Vec::new(),
        }
    }
    async fn announce(&self, announcement: Announcement) -> Everywhere<u64> {
        Everywhere {
            all: census::announce(self, &announcement),
            silent: Vec::new(),
        }
    }

    async fn administer(
        &self,
        address: &BareJid,
        what: Administer,
    ) -> Result<Administered, StanzaError> {
        let service = self.0.registry.service_of(address.domain()).cloned();
        let service = service.ok_or(StanzaErrorCondition::ItemNotFound)?;
        service.administer(address, what, &self.context()).await
    }
}
