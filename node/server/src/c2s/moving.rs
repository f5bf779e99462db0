//! Moving: a session goes to another node, because its account's home does.
//!
//! Why here: it goes as it waits to be resumed, settled and without a connection, so what goes is what parking keeps. The
//! client loses its connection, comes back through any node and finds its session at the new home.
//! Source: XEP-0198 §5. Stored: nothing; between two nodes it is in the frame that carries it.

use std::{
    sync::{Arc, OnceLock, atomic::AtomicU32},
    time::{Duration, Instant},
};

use bytes::Bytes;
use cluster::directory::{Entry, SessionRef};
use minicbor::{Decode, Encode, bytes::ByteVec};
use parking_lot::Mutex;
use xmpp::{Jid, Stanza, StreamError, StreamErrorCondition as Condition};

use super::{
    managed::{Managed, Sent},
    parking::Parking,
    session::SessionCore,
    stream_management::{AckPolicy, Handled, Limits, Unacked},
};
use crate::{
    home::Home,
    modules::presence_rules::Directed,
    pipeline::archive_rule::{Class, classify},
    routing::{Delivery, Letter, Mailbox, Posted, Router, SessionHandle},
};

/// A session on its way.
#[derive(Debug, Encode, Decode)]
struct Moved {
    #[n(0)]
    resource: String,
    #[n(1)]
    sm_id: String,
    /// How long it may be resumed, in milliseconds.
    #[n(2)]
    resume_ms: u64,
    /// How many stanzas of its client are handled.
    #[n(3)]
    h: u32,
    #[n(4)]
    lang: Option<String>,
    #[n(5)]
    priority: Option<i8>,
    #[n(6)]
    flags: u16,
    /// Its presence while it is available.
    #[n(7)]
    presence: Option<ByteVec>,
    /// Who was told directly that it is there.
    #[n(8)]
    directed: Vec<String>,
    /// The privacy list that it made its own.
    #[n(9)]
    active_list: Option<String>,
    /// How many stanzas its client has acknowledged.
    #[n(10)]
    acked: u64,
    /// What it has not, and what was not sent yet.
    #[n(11)]
    unacked: Vec<Kept>,
    #[n(12)]
    waiting: Vec<Kept>,
}

/// Something for the client.
#[derive(Debug, Clone, Encode, Decode)]
enum Kept {
    /// In the log, under this number.
    #[n(0)]
    Logged(#[n(0)] u64),
    /// In no log.
    #[n(1)]
    Stanza(#[n(0)] ByteVec),
    /// What waits in the log and nobody holds comes in this place.
    #[n(2)]
    Waiting,
}

impl Kept {
    fn of_sent(sent: Sent) -> Self {
        match sent {
            Sent::Logged(number) => Self::Logged(number),
            Sent::Message(delivery) => Self::stanza(&delivery.bytes),
            Sent::Other(bytes) => Self::stanza(&bytes),
        }
    }

    fn of_letter(letter: Letter) -> Option<Self> {
        match letter {
            Letter::Logged(number) => Some(Self::Logged(number)),
            Letter::Stanza(delivery) if delivery.number != 0 => Some(Self::Logged(delivery.number)),
            Letter::Stanza(delivery) => Some(Self::stanza(&delivery.bytes)),
            Letter::Waiting => Some(Self::Waiting),
            Letter::Done(_) | Letter::LaneDone => None,
        }
    }

    fn stanza(bytes: &Bytes) -> Self {
        Self::Stanza(bytes.to_vec().into())
    }

    fn into_sent(self) -> Option<(Sent, usize)> {
        match self {
            Self::Logged(number) => Some((Sent::Logged(number), 0)),
            Self::Stanza(bytes) => {
                let delivery = delivery(bytes);
                let size = delivery.bytes.len();
                let sent = match delivery.class.stored_offline() {
                    true => Sent::Message(delivery),
                    false => Sent::Other(delivery.bytes),
                };
                Some((sent, size))
            }
            Self::Waiting => None,
        }
    }

    fn into_letter(self) -> Letter {
        match self {
            Self::Logged(number) => Letter::Logged(number),
            Self::Stanza(bytes) => Letter::Stanza(delivery(bytes)),
            Self::Waiting => Letter::Waiting,
        }
    }

    fn number(&self) -> Option<u64> {
        match self {
            Self::Logged(number) => Some(*number),
            Self::Stanza(_) | Self::Waiting => None,
        }
    }
}

fn delivery(bytes: ByteVec) -> Delivery {
    let bytes = Bytes::from(Vec::from(bytes));
    let class = Stanza::parse(bytes.clone()).map_or(Class::default(), |stanza| classify(&stanza));
    Delivery {
        class,
        ..Delivery::passing(bytes)
    }
}

/// The stream error for a session that cannot go along.
pub(super) fn farewell() -> StreamError {
    StreamError::new(
        Condition::SystemShutdown,
        "the account is served by another node now",
    )
}

/// Takes the sessions of an account away from here, as bytes for its new home. Those that cannot be resumed end.
pub async fn take_away(router: &Arc<Router>, home: &Arc<Home>) -> Vec<Vec<u8>> {
    let mut taken = Vec::new();
    for entry in router.entries(home.account.as_str()).iter() {
        let Some(handle) = router.sessions.get(entry.session.number) else {
            continue;
        };
        if let Some(core) = router.parked.take_to_move(&handle).await {
            taken.extend(core.leave(entry));
        }
    }
    taken
}

impl SessionCore {
    /// The session is no longer here, and nobody is told that it ended. `None`: it cannot be resumed, and has ended.
    fn leave(mut self: Box<Self>, entry: &Entry) -> Option<Vec<u8>> {
        let resumable = self.managed.as_ref().and_then(|managed| managed.resume);
        let (Some(resume), Some(sm_id)) = (resumable, self.handle.sm_id.get().cloned()) else {
            self.end(None);
            return None;
        };
        self.set_active();
        let Self {
            handle,
            home,
            router,
            lang,
            inbound,
            managed,
            backlog,
            ..
        } = *self;
        let managed = managed?;
        let letters = handle.mailbox.close();
        router.parked.remove(&handle);
        router
            .directory
            .unbind(home.account.as_str(), handle.session);
        router.sessions.remove(handle.session.number);
        let active_list = router.active_lists.get(handle.session);
        router.active_lists.ended(handle.session);
        let presences = home.presences().into_iter();
        let mut own = presences.filter(|(number, _)| *number == handle.session.number);
        let moved = Moved {
            resource: handle.jid.resource().to_owned(),
            sm_id: sm_id.to_string(),
            resume_ms: u64::try_from(resume.as_millis()).unwrap_or(u64::MAX),
            h: inbound.h(),
            lang: lang.map(Into::into),
            priority: entry.priority,
            flags: entry.flags,
            presence: own.next().map(|(_, it)| it.raw().to_vec().into()),
            directed: handle.directed.lock().iter().map(Jid::to_string).collect(),
            active_list: active_list.map(|name| name.to_string()),
            acked: managed.outbound.acked(),
            unacked: managed.outbound.into_items().map(Kept::of_sent).collect(),
            waiting: backlog
                .into_iter()
                .chain(letters)
                .filter_map(Kept::of_letter)
                .collect(),
        };
        minicbor::to_vec(&moved).ok()
    }
}

/// What a home is to know of a session that came.
pub struct Adopted {
    /// Its number here.
    pub number: u64,
    /// Its presence while it is available.
    pub presence: Option<Bytes>,
    /// The entries of the log that it holds.
    pub held: Vec<u64>,
}

impl Parking {
    /// Takes in a session that came from another node: it waits for its client. `None`: its name is taken, or it is not
    /// understood; what it held waits for others.
    pub fn adopt(&self, router: &Arc<Router>, home: &Arc<Home>, bytes: &[u8]) -> Option<Adopted> {
        let moved: Moved = match minicbor::decode(bytes) {
            Ok(moved) => moved,
            Err(error) => {
                tracing::warn!(account = %home.account, %error, "a session that cannot be taken in");
                return None;
            }
        };
        let jid = home.account.with_resource(&moved.resource).ok()?;
        let session = SessionRef {
            node: router.node,
            number: router.sessions.next_number(),
        };
        let entry = Entry {
            session,
            resource: moved.resource.as_str().into(),
            priority: moved.priority,
            flags: moved.flags,
        };
        if !router.directory.take_in(home.account.as_str(), entry) {
            return None;
        }
        let held = moved.unacked.iter().chain(&moved.waiting);
        let held = held.filter_map(Kept::number).collect();
        let sm_id: Arc<str> = moved.sm_id.into();
        let directed = moved.directed.iter().filter_map(|jid| Jid::parse(jid).ok());
        let handle = Arc::new(SessionHandle {
            session,
            jid,
            mailbox: Mailbox::default(),
            heard: AtomicU32::new(router.uptime()),
            ending: OnceLock::new(),
            directed: Mutex::new(Directed::from_iter(directed)),
            sm_id: OnceLock::from(sm_id.clone()),
        });
        router
            .active_lists
            .set(session, moved.active_list.as_deref());
        router.sessions.insert(handle.clone());
        handle.mailbox.detach();
        for kept in moved.waiting {
            if handle.mailbox.post(kept.into_letter()) == Posted::Closed {
                tracing::warn!(jid = %handle.jid, "more waits for a session than it may have");
            }
        }
        let mut core = SessionCore::new(router.clone(), handle, home.clone(), false);
        let resume = Duration::from_millis(moved.resume_ms);
        core.lang = moved.lang.map(Into::into);
        core.inbound = Handled::resumed(moved.h);
        core.settled = moved.h;
        let limits = Limits {
            stanzas: router.config.stream_management.queue,
            ..Limits::default()
        };
        let mut outbound = Unacked::resumed(moved.acked, limits, AckPolicy::default());
        for (sent, bytes) in moved.unacked.into_iter().filter_map(Kept::into_sent) {
            outbound.push_anyway(sent, bytes);
        }
        core.managed = Some(Box::new(Managed::waiting(resume, outbound, moved.h)));
        self.insert_parked(sm_id, Box::new(core), Instant::now() + resume);
        Some(Adopted {
            number: session.number,
            presence: moved.presence.map(|bytes| Vec::from(bytes).into()),
            held,
        })
    }
}
