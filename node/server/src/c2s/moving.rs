//! Moving: a session goes to another node, because its account's home does.
//!
//! Why here: it goes as it waits to be resumed, settled and without a connection, so what goes is what parking keeps. Its
//! connection follows it ([`super::front`]); where that cannot be, the client comes back through any node and finds its
//! session at the new home.
//! Source: XEP-0198 §5. Stored: nothing; between two nodes it is in the frame that carries it.

use std::{
    sync::{Arc, OnceLock, atomic::AtomicU32},
    time::Duration,
};

use bytes::Bytes;
use cluster::directory::{Entry, SessionRef};
use hashbrown::HashMap;
use minicbor::{Decode, Encode, bytes::ByteVec};
use parking_lot::Mutex;
use tokio::time::Instant;
use xmpp::{BareJid, Jid, Stanza, StreamError, StreamErrorCondition as Condition};

use super::{
    carried::{Carried, UNATTENDED},
    managed::{Managed, Sent},
    parking::Parking,
    replica::{Following, Stream, standing},
    session::SessionCore,
    stream_management::{AckPolicy, Handled, Limits, Unacked},
};
use crate::{
    home::{Home, pending::Handed},
    modules::presence_rules::Directed,
    pipeline::archive_rule::{Class, classify},
    routing::{Delivery, Letter, Mailbox, Order, Posted, Router, SessionHandle, Shared},
};

/// How long the sessions of an account that moves may take to hand themselves over.
const SETTLING: Duration = Duration::from_secs(5);

/// How often a session is told to come that somebody else has just taken.
const AGAIN: Duration = Duration::from_millis(20);

/// A session on its way.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(super) struct Moved {
    #[n(0)]
    pub(super) resource: String,
    #[n(1)]
    pub(super) sm_id: String,
    /// How long it may be resumed, in milliseconds.
    #[n(2)]
    pub(super) resume_ms: u64,
    /// How many stanzas of its client are handled.
    #[n(3)]
    pub(super) h: u32,
    #[n(4)]
    pub(super) lang: Option<String>,
    #[n(5)]
    pub(super) priority: Option<i8>,
    #[n(6)]
    pub(super) flags: u16,
    /// Its presence while it is available.
    #[n(7)]
    pub(super) presence: Option<ByteVec>,
    /// Who was told directly that it is there.
    #[n(8)]
    pub(super) directed: Vec<String>,
    /// The privacy list that it made its own.
    #[n(9)]
    pub(super) active_list: Option<String>,
    /// How many stanzas its client has acknowledged.
    #[n(10)]
    pub(super) acked: u64,
    /// What it has not, and what was not sent yet.
    #[n(11)]
    pub(super) unacked: Vec<Kept>,
    #[n(12)]
    pub(super) waiting: Vec<Kept>,
    /// Its home died at about this time, and may have done more for its client than is known: see [`super::replica`].
    #[n(13)]
    pub(super) doubt_since_ms: Option<u64>,
    /// Numbers that its client has acknowledged, which the account's record may not say yet.
    #[n(14)]
    pub(super) done: Vec<u64>,
    /// When its home began to tell of it, in milliseconds since 1970, if it comes from who was told.
    #[n(15)]
    pub(super) began_ms: Option<u64>,
    /// How far the account's log was handed over when its home told of it, if it comes from who was told. (16 is free.)
    #[n(17)]
    pub(super) handed: Option<Handed>,
    /// What goes along of its connection, if that follows it.
    #[n(18)]
    pub(super) carried: Option<Carried>,
    /// The newest message that it was given of each room that it is in. Nodes of before do not tell.
    #[n(19)]
    pub(super) heard: Option<Vec<(String, u64)>>,
}

/// Something for the client.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(super) enum Kept {
    /// In the log, under this number.
    #[n(0)]
    Logged(#[n(0)] u64),
    /// In no log.
    #[n(1)]
    Stanza(#[n(0)] ByteVec),
    /// What waits in the log and nobody holds comes in this place.
    #[n(2)]
    Waiting,
    /// In no log, and in the hands of so many sessions; the number is the same in all of them.
    #[n(3)]
    Shared(#[n(0)] ByteVec, #[n(1)] u64, #[n(2)] u32),
}

/// What several sessions of an account have that came together.
type Sharing = HashMap<u64, Shared>;

impl Kept {
    pub(super) fn of_sent(sent: &Sent) -> Self {
        match sent {
            Sent::Logged(number) => Self::Logged(*number),
            Sent::Message(delivery) => Self::delivery(delivery),
            Sent::Other(bytes) => Self::stanza(bytes),
        }
    }

    pub(super) fn of_letter(letter: &Letter) -> Option<Self> {
        match letter {
            Letter::Logged(number) => Some(Self::Logged(*number)),
            Letter::Stanza(delivery) if delivery.number != 0 => Some(Self::Logged(delivery.number)),
            Letter::Stanza(delivery) => Some(Self::delivery(delivery)),
            Letter::Waiting => Some(Self::Waiting),
            Letter::Done(_) | Letter::LaneDone => None,
        }
    }

    fn delivery(delivery: &Delivery) -> Self {
        match &delivery.shared {
            None => Self::stanza(&delivery.bytes),
            Some(shared) => {
                let bytes = delivery.bytes.to_vec().into();
                Self::Shared(bytes, shared.identity(), shared.holders())
            }
        }
    }

    fn stanza(bytes: &Bytes) -> Self {
        Self::Stanza(bytes.to_vec().into())
    }

    fn into_sent(self, sharing: &mut Sharing) -> Option<(Sent, usize)> {
        match self.into_letter(sharing) {
            Letter::Logged(number) => Some((Sent::Logged(number), 0)),
            Letter::Stanza(delivery) => {
                let size = delivery.bytes.len();
                let sent = match delivery.class.stored_offline() {
                    true => Sent::Message(delivery),
                    false => Sent::Other(delivery.bytes),
                };
                Some((sent, size))
            }
            Letter::Waiting | Letter::Done(_) | Letter::LaneDone => None,
        }
    }

    fn into_letter(self, sharing: &mut Sharing) -> Letter {
        match self {
            Self::Logged(number) => Letter::Logged(number),
            Self::Stanza(bytes) => Letter::Stanza(delivery(bytes)),
            Self::Waiting => Letter::Waiting,
            Self::Shared(bytes, identity, holders) => {
                let shared = sharing.entry(identity);
                let shared = shared.or_insert_with(|| Shared::new(holders)).clone();
                Letter::Stanza(Delivery {
                    shared: Some(shared),
                    ..delivery(bytes)
                })
            }
        }
    }

    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Self::Logged(number) => Some(*number),
            Self::Stanza(_) | Self::Shared(..) | Self::Waiting => None,
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

/// A session that leaves.
pub struct Leaving {
    /// It.
    pub session: Vec<u8>,
    /// What another node knows of it; dropped, that is forgotten there.
    pub(super) known: Option<Stream>,
}

impl From<Vec<u8>> for Leaving {
    /// One of which nobody else knows.
    fn from(session: Vec<u8>) -> Self {
        Self {
            session,
            known: None,
        }
    }
}

/// Takes the sessions of an account away from here, each as soon as it is settled. Those whose connection cannot follow and
/// that cannot be resumed end, and so do those that do not settle in time; all are gone when this is done.
pub async fn take_away(router: &Arc<Router>, home: &Arc<Home>, mut give: impl FnMut(Leaving)) {
    let entries = router.entries(home.account.as_str());
    let handles = entries.iter().filter_map(|entry| {
        let handle = router.sessions.get(entry.session.number)?;
        // All are told before the first is waited for.
        let moving = router.parked.order_to_move(&handle);
        Some((entry, handle, moving))
    });
    let until = Instant::now() + SETTLING;
    for (entry, handle, moving) in handles.collect::<Vec<_>>() {
        let mut came = moving.session(until).await;
        while came.is_none() && is_there(router, home, entry) && Instant::now() < until {
            // Its client has just resumed it here: it is told once more.
            tokio::time::sleep(AGAIN).await;
            came = router.parked.order_to_move(&handle).session(until).await;
        }
        match came {
            Some(core) => {
                if let Some(session) = core.leave() {
                    give(session);
                }
            }
            // It has ended, or it would never settle.
            None => {
                let goodbye = router.peers.goodbye(farewell());
                handle.mailbox.order(Order::End(goodbye));
            }
        }
    }
}

fn is_there(router: &Router, home: &Home, entry: &Entry) -> bool {
    let entries = router.entries(home.account.as_str());
    entries.iter().any(|it| it.session == entry.session)
}

impl SessionCore {
    /// The session is no longer here, and nobody is told that it ended. `None`: it cannot go, and has ended.
    fn leave(mut self: Box<Self>) -> Option<Leaving> {
        let carried = self.carried.take();
        let resume = self.managed.as_ref().and_then(|managed| managed.resume);
        let sm_id = self.handle.sm_id.get().cloned();
        let count = |outcome| {
            let moved = &self.router.metrics.moved_sessions;
            moved.with_label_values(&[outcome]).inc();
        };
        // As it is now that all is done which its client had begun.
        let standing = standing(&self.home, &self.handle, &self.router);
        let (sm_id, standing) = match (sm_id, standing, resume.is_some(), &carried) {
            (Some(sm_id), Some(standing), _, Some(_)) => {
                count("with_connection");
                (sm_id, standing)
            }
            (Some(sm_id), Some(standing), true, None) => {
                count("without_connection");
                (sm_id, standing)
            }
            _ => {
                count("ended");
                self.end(None);
                return None;
            }
        };
        // What its client sent and is not finished it sends again; it may be done by then.
        let unfinished = (self.inbound.in_flight() > 0).then(|| self.router.now_ms());
        self.set_active();
        let Self {
            handle,
            home,
            router,
            lang,
            inbound,
            managed,
            backlog,
            replica,
            ..
        } = *self;
        let outbound = managed.map(|managed| managed.outbound);
        let letters = handle.mailbox.close();
        router.parked.remove(&handle);
        router
            .directory
            .unbind(home.account.as_str(), handle.session);
        router.sessions.remove(handle.session.number);
        router.active_lists.ended(handle.session);
        let mut replica = replica;
        let known = replica.as_mut().and_then(|replica| replica.leave());
        let heard = heard(&handle);
        let moved = Moved {
            resource: handle.jid.resource().to_owned(),
            sm_id: sm_id.to_string(),
            resume_ms: resume.map_or(0, |it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX)),
            h: inbound.h(),
            lang: lang.map(Into::into),
            priority: standing.priority,
            flags: standing.flags,
            presence: standing.presence,
            directed: standing.directed,
            active_list: standing.active_list,
            acked: outbound.as_ref().map_or(0, Unacked::acked),
            unacked: outbound
                .iter()
                .flat_map(Unacked::iter)
                .map(Kept::of_sent)
                .collect(),
            waiting: backlog
                .iter()
                .chain(&letters)
                .filter_map(Kept::of_letter)
                .collect(),
            doubt_since_ms: replica
                .and_then(|replica| replica.doubt_since_ms())
                .or(unfinished),
            done: Vec::new(),
            began_ms: None,
            handed: None,
            carried: carried.map(|carried| *carried),
            heard: Some(heard),
        };
        let session = minicbor::to_vec(&moved).ok()?;
        Some(Leaving { session, known })
    }
}

/// The newest message that a session was given of each room that it is in.
pub(super) fn heard(handle: &SessionHandle) -> Vec<(String, u64)> {
    let directed = handle.directed.lock();
    let heard = directed.heard();
    heard
        .map(|(room, number)| (room.to_owned(), number))
        .collect()
}

/// What a home is to know of a session that came.
pub struct Adopted {
    /// Its number here.
    pub number: u64,
    /// Its presence while it is available.
    pub presence: Option<Bytes>,
    /// The entries of the log that it holds.
    pub held: Vec<u64>,
    /// Those that its client has acknowledged.
    pub done: Vec<u64>,
    /// How far the log was handed over, as its home knew.
    pub handed: Option<Handed>,
}

impl Parking {
    /// Takes in sessions that came from another node: they wait for their clients. One that is not understood, or whose name
    /// is taken, is not among them: what it held waits for others. Nor is one that came before: of two nodes that kept it
    /// the other may be late.
    pub fn adopt(
        &self,
        router: &Arc<Router>,
        home: &Arc<Home>,
        sessions: &[Vec<u8>],
    ) -> Vec<Adopted> {
        let mut sharing = Sharing::default();
        let is_only = sessions.len() == 1 && router.entries(home.account.as_str()).is_empty();
        let adopted = sessions.iter().filter_map(|bytes| {
            let mut moved = decoded(&home.account, bytes)?;
            if is_only && moved.began_ms.is_some() {
                // It may not have known of all that waits: it gets that from the log, in its order.
                moved.waiting.retain(|kept| kept.number().is_none());
            }
            self.adopt_one(router, home, moved, &mut sharing)
        });
        let adopted = adopted.collect();
        self.have_come();
        adopted
    }

    fn adopt_one(
        &self,
        router: &Arc<Router>,
        home: &Arc<Home>,
        moved: Moved,
        sharing: &mut Sharing,
    ) -> Option<Adopted> {
        if self.has_had(&moved.sm_id) {
            tracing::debug!(account = %home.account, "a session came that is here, or was");
            return None;
        }
        let jid = home.account.with_resource(&moved.resource).ok()?;
        let (h, left) = (moved.h, moved.began_ms.is_some());
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
        let held = moved.unacked.iter().chain(&moved.waiting);
        let held = held.filter_map(Kept::number).collect();
        let sm_id: Arc<str> = moved.sm_id.into();
        let directed = moved.directed.iter().filter_map(|jid| Jid::parse(jid).ok());
        let mut directed = Directed::from_iter(directed);
        for (room, number) in moved.heard.iter().flatten() {
            directed.hears(room, *number);
        }
        let handle = Arc::new(SessionHandle {
            session,
            jid,
            mailbox: Mailbox::default(),
            heard: AtomicU32::new(router.uptime()),
            ending: OnceLock::new(),
            directed: Mutex::new(directed),
            sm_id: OnceLock::from(sm_id.clone()),
        });
        handle.mailbox.detach();
        for kept in moved.waiting {
            if handle.mailbox.post(kept.into_letter(sharing)) == Posted::Closed {
                tracing::warn!(jid = %handle.jid, "more waits for a session than it may have");
            }
        }
        let mut core = SessionCore::new(router.clone(), handle.clone(), home.clone(), false);
        let resume = Duration::from_millis(moved.resume_ms);
        core.lang = moved.lang.map(Into::into);
        core.inbound = Handled::resumed(moved.h);
        core.settled = moved.h;
        let limits = Limits {
            stanzas: router.config.stream_management.queue,
            ..Limits::default()
        };
        let mut outbound = Unacked::resumed(moved.acked, limits, AckPolicy::default());
        for kept in moved.unacked {
            if let Some((sent, bytes)) = kept.into_sent(sharing) {
                outbound.push_anyway(sent, bytes);
            }
        }
        let carried = moved.carried.as_ref();
        let is_resumable = carried.is_none_or(|carried| carried.is_resumable);
        if carried.is_none_or(|carried| carried.is_managed) {
            let mut managed = Managed::waiting(resume, outbound, moved.h);
            managed.resume = is_resumable.then_some(resume);
            core.managed = Some(Box::new(managed));
        }
        let stays = if is_resumable { resume } else { UNATTENDED };
        core.carried = moved.carried.map(Box::new);
        core.replica = Following::adopted(moved.doubt_since_ms);
        // It can be found, and goes on where it was, before anybody sees it.
        router
            .active_lists
            .set(session, moved.active_list.as_deref());
        router.sessions.insert(handle.clone());
        self.insert_parked(sm_id.clone(), Box::new(core), Instant::now() + stays);
        if !router.directory.take_in(home.account.as_str(), entry) {
            self.abandon(router, &sm_id);
            return None;
        }
        let presence = moved.presence.as_ref();
        let presence = presence.map_or_else(Bytes::new, |it| Bytes::copy_from_slice(it));
        let directed = handle.directed.lock().clone();
        router.assert_session(&handle.jid, &directed, &presence);
        tracing::debug!(jid = %handle.jid, number = session.number, h, left, "a session is taken in");
        Some(Adopted {
            number: session.number,
            presence: moved.presence.map(|bytes| Vec::from(bytes).into()),
            held,
            done: moved.done,
            handed: moved.handed,
        })
    }

    /// Nobody goes on with a session that came: its name is another's by now. What it has and no log has is routed anew.
    fn abandon(&self, router: &Arc<Router>, sm_id: &str) {
        let Some(core) = self.take_by_id(sm_id) else {
            return;
        };
        let SessionCore {
            handle, managed, ..
        } = *core;
        let unacked = managed.into_iter().flat_map(|it| it.outbound.into_items());
        let unacked = unacked.map(|sent| match sent {
            Sent::Message(delivery) => Letter::Stanza(delivery),
            Sent::Logged(number) => Letter::Logged(number),
            Sent::Other(bytes) => bytes.into(),
        });
        router.sessions.remove(handle.session.number);
        router.active_lists.ended(handle.session);
        route_anew(router, unacked.chain(handle.mailbox.close()));
    }
}

/// A session that came, for which no home was loaded for long: what it has and no log has is routed anew.
pub fn give_up(router: &Arc<Router>, account: &BareJid, bytes: &[u8]) {
    if let Some(moved) = decoded(account, bytes) {
        let mut sharing = Sharing::default();
        let kept = moved.unacked.into_iter().chain(moved.waiting);
        route_anew(router, kept.map(|kept| kept.into_letter(&mut sharing)));
    }
}

fn route_anew(router: &Arc<Router>, letters: impl Iterator<Item = Letter>) {
    let unlogged = letters.filter_map(|letter| match letter {
        Letter::Stanza(delivery) if delivery.number == 0 => delivery.give_up(),
        _ => None,
    });
    let stanzas: Vec<Bytes> = unlogged.collect();
    let router = router.clone();
    // As a task: whoever takes sessions in holds the lock of their home.
    router.clone().spawn(async move {
        for stanza in stanzas.into_iter().flat_map(Stanza::parse) {
            let _ = router.route(stanza, None);
        }
    });
}

fn decoded(account: &BareJid, bytes: &[u8]) -> Option<Moved> {
    let moved = minicbor::decode(bytes);
    if let Err(error) = &moved {
        tracing::warn!(%account, %error, "a session that cannot be taken in");
    }
    moved.ok()
}

#[cfg(test)]
mod tests {
    use super::{Kept, Moved};
    use crate::versions::{check, check_short, check_variant};

    #[test]
    fn an_earlier_version_reads_it_and_is_read() {
        check::<Moved>(
            "906570686f6e6562736d1a000927c00562656e20034b3c70726573656e63652f3e81656140622f63646c6973741828848200\
         8107820181443c6d2f3e820280820383443c6d2f3e090281820081081b0000018bcfe568008201021b0000018bcfe567ff",
        );
        // Without what may be absent.
        check_short::<Moved>("8f6570686f6e6562736d1a000927c005f6f603f680f618288080f680");
        for kept in [
            "82008107",
            "820181443c6d2f3e",
            "820280",
            "820383443c6d2f3e0902",
        ] {
            check_variant::<Kept>(kept);
        }
    }
}
