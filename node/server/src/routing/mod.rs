//! Routing: which way a stanza leaves: to a session, to a home, to a service of ours, to another domain.
//!
//! [`Router`] is what a stanza may need on its way; it is built once, in `app`.

pub mod acting;
mod assertions;
pub mod census;
mod elsewhere;
pub mod mailbox;
mod outlet;
pub mod peers;
mod prune;
mod said;
pub mod sessions;
pub(crate) mod spread;

use std::{
    future::Future,
    sync::{Arc, OnceLock, atomic::Ordering},
    time::Duration,
};

use cluster::{
    NodeId,
    directory::{Entry, Local},
};
use storage::{Clock, Stores, repository::PrivacyData};
use tokio::time::Instant;
use xmpp::{
    BareJid, Jid, Kind, Stanza, StanzaError, StanzaErrorCondition as Condition, StreamError,
};

pub use mailbox::{Delivery, Letter, Mailbox, Order, Posted, Shared};
pub use peers::{Asked, Asker, Peers, Waiter};
pub use said::Said;
pub use sessions::{SessionHandle, Sessions};
pub use spread::addressed;

use crate::{
    c2s::stream_management::Ticket,
    config::Config,
    home::{CopyTo, Doubt, Homes, Parcel},
    metrics::Metrics,
    module::{Context, Outcome, Receipt, Registry},
    modules::{
        blocking::Judge,
        groups::Groups,
        pubsub::{Interests, Nodes, pep::LastItems},
        register::Accounts,
        roster::Rosters,
    },
    pipeline::{inbound, iq},
    shutdown::Tasks,
};

/// What a session asked for, as the directory carries it.
pub mod flags {
    /// Carbons (XEP-0280).
    pub const CARBONS: u16 = 1;
    /// It requested the roster: it gets roster pushes (RFC 6121 §2.1.6).
    pub const INTERESTED: u16 = 1 << 1;
    /// It requested the block list: it gets pushes of changes (XEP-0191 §3.3).
    pub const BLOCK_LIST: u16 = 1 << 2;
    /// It is administered by an anonymous user (XEP-0175).
    pub const ANONYMOUS: u16 = 1 << 3;
}

/// How long what must be delivered waits when its node cannot be asked.
const UNREACHABLE_DELAY: Duration = Duration::from_millis(200);
/// How often a presence or an IQ waits for a home that moves.
const MAX_PUT_OFF: u8 = 4;

/// Who waits for the outcome of a stanza.
#[derive(Clone)]
pub enum Origin {
    /// A session.
    Session {
        /// Which.
        handle: Arc<SessionHandle>,
        /// Its ticket for the stanza.
        ticket: Ticket,
    },
    /// Another node, where the one who waits is.
    Node(Asker),
    /// A task of ours.
    Task(Waiter),
}

impl Origin {
    /// Whether it is a session that is no longer here. It may have begun its stanza anew where it is.
    pub fn has_left(&self) -> bool {
        matches!(self, Self::Session { handle, .. } if handle.mailbox.is_closed())
    }

    /// The effects are committed.
    pub fn done(self) {
        match self {
            Self::Session { handle, ticket } => {
                handle.mailbox.post(Letter::Done(ticket));
            }
            Self::Node(asker) => asker.answer(false),
            Self::Task(waiter) => waiter.done(),
        }
    }
}

/// Whether a stanza's effects are committed already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// They are, or it was answered.
    Done,
    /// The origin will be told.
    Pending,
}

/// What a stanza may need on its way.
pub struct Router {
    /// This life of this node.
    pub node: NodeId,
    /// What was configured.
    pub config: Arc<Config>,
    /// The repositories.
    pub stores: Stores,
    /// The other nodes.
    pub peers: Arc<Peers>,
    /// Who is connected, of the accounts whose home is here.
    pub directory: Local,
    /// The sessions of this node.
    pub sessions: Sessions,
    /// The homes in memory.
    pub homes: Homes,
    /// Rosters.
    pub rosters: Arc<Rosters>,
    /// Shared groups.
    pub groups: Arc<Groups>,
    /// Pubsub nodes.
    pub nodes: Arc<Nodes>,
    /// What is told of them to who comes.
    pub last_items: LastItems,
    /// What clients are interested in.
    pub interests: Interests,
    /// What the modules registered; set once, when all are built.
    pub registry: OnceLock<Registry>,
    /// Sessions whose connection broke and that wait to be resumed.
    pub parked: crate::c2s::Parking,
    /// Clients' connections to this node whose sessions are at others.
    pub fronts: crate::c2s::Fronts,
    /// What is told to other nodes of sessions here, and what is known of theirs.
    pub replicas: crate::c2s::replica::Replicas,
    /// What negotiation keeps from one connection to the next.
    pub gate: crate::c2s::gate::Gate,
    /// The privacy lists that sessions made their own (XEP-0016).
    pub active_lists: Arc<crate::modules::blocking::ActiveLists>,
    /// Counters and gauges.
    pub metrics: Metrics,
    /// What is asked of domains and accounts.
    pub requests: iq::Requests,
    /// Running tasks.
    pub tasks: Tasks,
    /// When the node started.
    pub started: Instant,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl Router {
    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.now().as_millis()).unwrap_or(u64::MAX)
    }

    /// Seconds since the node started.
    pub fn uptime(&self) -> u32 {
        self.started.elapsed().as_secs() as u32
    }

    /// A random number.
    pub fn random(&self) -> u64 {
        crate::random::number()
    }

    /// Runs a task that is waited for at shutdown; a panic in it is counted and logged.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Whether we serve this domain's accounts.
    pub fn serves(&self, domain: &str) -> bool {
        self.config.domains.iter().any(|d| d == domain)
    }

    /// Whether what has an address at this domain is served at its place: our accounts, and what our services serve.
    pub fn places(&self, domain: &str) -> bool {
        self.serves(domain) || self.registry().service_of(domain).is_some()
    }

    /// The accounts, to be made, changed and removed.
    pub fn accounts(&self) -> Accounts {
        Accounts::new(
            self.stores.clone(),
            self.rosters.clone(),
            self.gate.keys.clone(),
        )
    }

    /// What modules are given.
    pub fn context(self: &Arc<Self>) -> Context {
        Context::new(self.clone())
    }

    /// The modules' registrations.
    pub fn registry(&self) -> &Registry {
        self.registry
            .get()
            .expect("modules are registered before the first listener opens")
    }

    /// What an account's privacy lists say of what comes and goes.
    pub fn judge<'a>(&'a self, owner: &'a BareJid, lists: &'a PrivacyData) -> Judge<'a> {
        Judge {
            owner,
            lists,
            active: &self.active_lists,
            rosters: &self.rosters,
        }
    }

    /// Posts to a session.
    pub fn post(&self, entry: &Entry, letter: Letter) -> Posted {
        match self.sessions.get(entry.session.number) {
            Some(handle) => handle.mailbox.post(letter),
            None => Posted::Closed,
        }
    }

    /// Sends a stanza whose `from` is stamped and whose sender's own policy is done.
    pub fn route(self: &Arc<Self>, stanza: Stanza, origin: Option<Origin>) -> Progress {
        self.route_doubted(stanza, origin, None)
    }

    /// The same for a stanza that may have been routed before.
    pub fn route_doubted(
        self: &Arc<Self>,
        stanza: Stanza,
        origin: Option<Origin>,
        doubt: Option<Doubt>,
    ) -> Progress {
        let Some(to) = stanza.to() else {
            return Progress::Done;
        };
        let is_placed = || {
            let service = self.registry().service_of(to.domain());
            service.is_some_and(|service| service.is_placed())
        };
        let has_place = to.local().is_some() && self.places(to.domain()) || is_placed();
        let is_message = stanza.kind() == Kind::Message;
        let copy = is_message.then(|| self.copy_home(&stanza, to)).flatten();
        let parcel = Parcel {
            copy: copy.map(CopyTo::Home),
            doubt: doubt.filter(|_| is_message),
            ..Parcel::new(stanza, origin)
        };
        match has_place {
            true => self.deliver(parcel),
            false => self.route_out(parcel),
        }
    }

    /// The other node that serves this account of ours, if one does.
    pub fn elsewhere(&self, account: &Jid) -> Option<NodeId> {
        let node = self.peers.elsewhere(account.bare_str())?;
        let is_theirs = !self.is_here(account.bare_str()) && self.places(account.domain());
        is_theirs.then_some(node)
    }

    /// Whether an account is served here whatever the view says: what is here is served here until it is handed over.
    fn is_here(&self, account: &str) -> bool {
        self.peers.is_moving() && self.homes.is_loaded(account)
    }

    /// Whether a service here is about something that came before a stanza.
    fn is_busy_before(&self, stanza: &Stanza) -> bool {
        let service = stanza
            .to()
            .and_then(|to| self.registry().service_of(to.domain()));
        service.is_some_and(|service| service.is_busy_before(stanza))
    }

    /// The other node where a client of this account is to go on, if one serves it or is about to.
    pub fn served_elsewhere(&self, account: &BareJid) -> Option<NodeId> {
        let is_leaving = || {
            let home = self.homes.loaded(account.as_str());
            home.is_some_and(|home| home.is_leaving())
        };
        match self.elsewhere(account.as_jid()) {
            None if self.peers.is_moving() && is_leaving() => {
                self.peers.elsewhere(account.as_str())
            }
            node => node,
        }
    }

    /// Keeps what other nodes left behind of an account and this one knows, for its home.
    pub fn take_left_behind(&self, account: &BareJid) {
        let now_ms = self.now_ms();
        for session in self
            .replicas
            .take(&self.peers, account.as_str(), None, now_ms)
        {
            self.peers.keep_moved(account, session, None);
        }
    }

    /// Delivers to an account of ours, wherever it is served.
    pub fn deliver(self: &Arc<Self>, parcel: Parcel) -> Progress {
        if self.peers.is_alone() {
            return self.deliver_here(parcel);
        }
        let is_behind = self.peers.is_moving() && self.is_busy_before(&parcel.stanza);
        let is_here = |account: &str| is_behind || self.is_here(account);
        let address = parcel.address();
        let parcel = match address.is_none_or(|address| is_here(address.bare_str())) {
            true => parcel,
            false => match self.peers.give_back(parcel) {
                Some(parcel) => parcel,
                None => return Progress::Pending,
            },
        };
        let asked = self.peers.ask(parcel, self.now_ms(), is_here);
        self.asked(asked)
    }

    /// Delivers to an account that is served here.
    fn deliver_here(self: &Arc<Self>, mut parcel: Parcel) -> Progress {
        let Some(account) = parcel.account() else {
            return Progress::Done;
        };
        if parcel.sent {
            return self.homes.get(self, &account).sent(self, parcel);
        }
        if !self.serves(account.domain()) {
            return self.serve(parcel);
        }
        let kind = parcel.stanza.kind();
        if kind == Kind::Message {
            self.metrics.messages.inc();
            return self.homes.get(self, &account).receive(self, parcel);
        }
        // Its sessions may be on their way.
        if self.peers.is_settling() && parcel.hops < MAX_PUT_OFF {
            parcel.hops += 1;
            match self.homes.get(self, &account).put_off(parcel) {
                Ok(()) => return Progress::Pending,
                Err(back) => parcel = *back,
            }
        }
        let Parcel { stanza, origin, .. } = parcel;
        let Some(to) = stanza.to().cloned() else {
            return Progress::Done;
        };
        match kind {
            Kind::Presence => inbound::presence(self, stanza, &to, origin),
            Kind::Iq | Kind::Message => iq::for_account(self, stanza, &to, origin),
        }
    }

    /// Gives a stanza to the service that has its address. Who waits for it is told when the service is done.
    fn serve(self: &Arc<Self>, mut parcel: Parcel) -> Progress {
        let service = parcel
            .stanza
            .to()
            .and_then(|to| self.registry().service_of(to.domain()));
        let Some(service) = service else {
            return Progress::Done;
        };
        if parcel.stanza.kind() == Kind::Message {
            self.metrics.messages.inc();
        }
        let class = parcel.class;
        if !class.archived() && !class.copied_when_sent() {
            parcel.copy = None;
        }
        let (router, stanza) = (self.clone(), parcel.stanza.clone());
        let doubted = parcel.doubt.is_some();
        let mut receipt = Receipt::new(move |outcome| match outcome {
            Outcome::Done => crate::home::delivered(&router, parcel, true),
            Outcome::Refused => crate::home::delivered(&router, parcel, false),
            Outcome::Elsewhere { doubted: false } => router.pass_on(parcel),
            Outcome::Elsewhere { doubted: true } => {
                let now_ms = router.now_ms();
                router.pass_on(parcel.may_be_repeated(now_ms));
            }
        });
        receipt.doubted = doubted;
        service.take(stanza, receipt, &self.context());
        Progress::Pending
    }

    /// Routes what is for no account of ours.
    fn route_out(self: &Arc<Self>, parcel: Parcel) -> Progress {
        let Parcel { stanza, origin, .. } = parcel;
        let Some(to) = stanza.to().cloned() else {
            return Progress::Done;
        };
        if !self.serves(to.domain()) {
            return self.abroad(&stanza, &to);
        }
        match stanza.kind() {
            Kind::Iq => iq::for_server(self, stanza, origin),
            Kind::Message => {
                // RFC 6120 §10.5.3: the server itself reads no messages.
                self.refuse(&stanza, &Condition::ServiceUnavailable.into());
                Progress::Done
            }
            Kind::Presence => Progress::Done,
        }
    }

    /// Routes a stanza, and waits until its effects are committed, wherever that is. False: nobody will ever say whether they
    /// are, because this node ends.
    pub async fn routed(self: &Arc<Self>, stanza: Stanza) -> bool {
        let (waiter, done) = Waiter::new();
        match self.route(stanza, Some(Origin::Task(waiter))) {
            Progress::Done => true,
            Progress::Pending => done.await.is_ok(),
        }
    }

    /// Where the sender's copy goes: its home, if it is an account of ours and not the addressee.
    fn copy_home(self: &Arc<Self>, stanza: &Stanza, to: &Jid) -> Option<Arc<crate::home::Home>> {
        let from = stanza.from()?;
        let ours = from.local().is_some() && self.serves(from.domain());
        let here = ours && self.elsewhere(from).is_none();
        (here && from.bare_str() != to.bare_str()).then(|| self.homes.get(self, &from.to_bare()))
    }

    /// A stanza for a domain that is not ours.
    fn abroad(self: &Arc<Self>, stanza: &Stanza, to: &Jid) -> Progress {
        if let Some(service) = self.registry().service_of(to.domain()) {
            service.receive(stanza, &self.context());
            return Progress::Done;
        }
        // No federation yet: nobody else is there.
        self.refuse(stanza, &Condition::RemoteServerNotFound.into());
        Progress::Done
    }

    /// Answers a stanza with an error, where an answer is allowed.
    pub fn refuse(self: &Arc<Self>, stanza: &Stanza, error: &StanzaError) {
        if let Some(reply) = stanza.error_reply(error) {
            self.metrics.errors_sent.inc();
            let _ = self.route(Stanza::from_element(&reply), None);
        }
    }

    /// The sessions of an account.
    pub fn entries(&self, account: &str) -> Arc<[Entry]> {
        self.directory
            .lookup(account)
            .unwrap_or_else(|| Arc::from([]))
    }

    /// Changes the flags of a session in the directory.
    pub fn set_flags(&self, handle: &SessionHandle, set: u16, clear: u16) -> bool {
        let account = handle.jid.bare_str();
        let entries = self.entries(account);
        let Some(entry) = entries.iter().find(|e| e.session == handle.session) else {
            return false;
        };
        let flags = (entry.flags | set) & !clear;
        flags == entry.flags
            || self
                .directory
                .update(account, handle.session, entry.priority, flags)
    }

    /// Changes the priority of a session in the directory.
    pub fn set_priority(&self, handle: &SessionHandle, priority: Option<i8>) -> bool {
        let account = handle.jid.bare_str();
        let entries = self.entries(account);
        let Some(entry) = entries.iter().find(|e| e.session == handle.session) else {
            return false;
        };
        self.directory
            .update(account, handle.session, priority, entry.flags)
    }

    /// Ends a session once it has sent what was posted until now. It hears and does nothing more, and nobody reaches it.
    pub fn end_behind(&self, handle: &Arc<SessionHandle>, error: StreamError) {
        // Of two reasons the first counts.
        let _ = handle.ending.set(Box::new(error));
        self.directory.unbind(handle.jid.bare_str(), handle.session);
    }

    /// A sign of life of a client.
    pub fn heard(&self, handle: &SessionHandle) {
        handle.heard.store(self.uptime(), Ordering::Relaxed);
    }
}
