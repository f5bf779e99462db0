//! Carried: what of a connection goes along when its session moves to another node, so that the client notices nothing.
//!
//! Why here: a session that waits to be resumed is told by its client what that got, and sends the rest again. Here nobody
//! asks the client: what was written counts as sent, what was read and not handled is read again, and the counters go on.
//! Source: XEP-0198 §4, XEP-0352 §5.1. Stored: nothing. Bounds: what a client may send ahead, twice a pipe's window.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use minicbor::{Decode, Encode};
use tokio::time::{Instant, timeout_at};
use xmpp::BareJid;

use super::{
    pace::Pace,
    session::{self, SessionCore},
    stream::Stream,
};
use crate::{
    net::{Permit, Transport},
    routing::Router,
};

/// How long a session that came without a right to be resumed waits for its connection.
pub(super) const UNATTENDED: Duration = Duration::from_secs(10);
/// How often it is looked whether a session that is sought is to come at all.
const LOOK: Duration = Duration::from_millis(200);

/// What goes along with a session whose client keeps its connection.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct Carried {
    /// What its client sent and is not begun: the bytes that bring a new decoder to where the former one was.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub(super) tail: Vec<u8>,
    /// Its stanzas are counted.
    #[n(1)]
    pub(super) is_managed: bool,
    /// It may be resumed as well.
    #[n(2)]
    pub(super) is_resumable: bool,
    /// `h` as the client may be told.
    #[n(3)]
    pub(super) tellable: u32,
    /// The client waits for an answer to `<r/>`.
    #[n(4)]
    pub(super) owes_ack: bool,
    /// The client was asked for an acknowledgement and has not answered; a message was sent since.
    #[n(5)]
    pub(super) asked: bool,
    #[n(6)]
    pub(super) unasked: bool,
    /// The client is inactive.
    #[n(7)]
    pub(super) is_inactive: bool,
    /// What the client has used up of its time to send, in milliseconds.
    #[n(8)]
    pub(super) spent_ms: u64,
}

impl SessionCore {
    /// What goes along with it, besides the session itself.
    pub(super) fn carried(&self, tail: Vec<u8>, pace: Pace) -> Carried {
        let managed = self.managed.as_ref();
        let state = self.client_state.as_ref();
        Carried {
            tail,
            is_managed: managed.is_some(),
            is_resumable: self.is_resumable(),
            tellable: managed.map_or(0, |managed| managed.tellable),
            owes_ack: managed.is_some_and(|managed| managed.ack_owed.is_some()),
            asked: managed.is_some_and(|managed| managed.asked),
            unasked: managed.is_some_and(|managed| managed.unasked),
            is_inactive: state.is_some_and(|state| state.is_inactive()),
            spent_ms: pace.spent_ms(Instant::now),
        }
    }
}

/// A connection that goes on with a session that came.
pub(super) struct Connection {
    pub(super) transport: Transport,
    /// Where the client is.
    pub(super) peer: SocketAddr,
    pub(super) permit: Option<Permit>,
    /// What its client sent and nobody else has.
    pub(super) ahead: Vec<u8>,
}

/// The session goes on over the connection that its client has had all the time.
pub(super) fn attach(mut core: Box<SessionCore>, connection: Connection) {
    let Connection {
        transport,
        peer,
        permit,
        ahead,
    } = connection;
    let Some(carried) = core.carried.take() else {
        return core.end(None);
    };
    let router = core.router.clone();
    let replay = [&carried.tail[..], &ahead].concat();
    let limits = router.config.limits.after_auth;
    let mut stream = Stream::replayed(transport, peer, limits, &replay, true);
    if let Some(managed) = &mut core.managed {
        managed.tellable = carried.tellable;
        managed.ack_owed = carried.owes_ack.then(|| core.inbound.received());
        (managed.asked, managed.unasked) = (carried.asked, carried.unasked);
    }
    if carried.is_inactive {
        core.set_inactive();
    }
    core.settled = carried.tellable;
    core.handle.mailbox.attach();
    if carried.is_resumable {
        router.parked.insert_live(&core.handle);
    }
    router.heard(&core.handle);
    core.hold_back(&mut stream.transport);
    let moved = &router.metrics.moved_sessions;
    moved.with_label_values(&["attached"]).inc();
    let pace = Pace::spent(Instant::now, carried.spent_ms);
    session::go_on(router, stream, permit, core, pace);
}

/// What became of a session that came, or is to come.
pub(super) enum Claimed {
    /// Here it is.
    Session(Box<SessionCore>),
    /// Its home is at another node.
    Elsewhere,
    /// It is not here, or its client has found it another way.
    Unknown,
}

/// Takes the session of this id out, as soon as it has come.
pub(super) async fn claim(
    router: &Arc<Router>,
    account: &BareJid,
    id: &str,
    until: Instant,
) -> Claimed {
    loop {
        if router.served_elsewhere(account).is_some() {
            return Claimed::Elsewhere;
        }
        // A session is known when the home that it came for is loaded.
        let home = router.homes.get(router, account);
        let _ = timeout_at(until, home.exists()).await;
        let came = router.parked.came();
        match router.parked.take_carried(id, account) {
            Ok(Some(core)) => return Claimed::Session(core),
            Ok(None) => {}
            Err(_) => return Claimed::Unknown,
        }
        let now = Instant::now();
        if now >= until {
            return Claimed::Unknown;
        }
        let _ = timeout_at(until.min(now + LOOK), came).await;
    }
}
