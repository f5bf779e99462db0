//! Front: the client's side of a session that is served at another node. It holds the socket and carries bytes.
//!
//! Why here: a session moves with its account's home, its socket cannot. So this side goes on with the same connection over
//! another pipe, and the client notices nothing:
//!
//! 1. the former home says `Hold`: what the client sends is kept here from then on, and `Held` is answered behind the rest;
//! 2. when what was begun is finished, the session goes to the new home with what it had read and not begun, and
//!    `Elsewhere` comes here behind the last byte that it wrote;
//! 3. this side asks the new home to attach the connection, which waits until the session has come.
//!
//! If any of it fails, the client loses its connection as if the node of its socket had died: it resumes, or logs in again.
//! Stored: nothing. Bounds: what one side has not taken of the other's, see [`CONGESTED`].

use std::{net::SocketAddr, sync::Arc, time::Duration};

use minicbor::{Decode, Encode};
use tokio::time::{Instant, sleep, timeout_at};
use xmpp::BareJid;

use super::{
    carried::{Claimed, Connection, attach, claim},
    fronts::Closing,
    moving::farewell,
    stream::finish,
};
use crate::{
    net::{Notice, Permit, Pipe, Read, Transport},
    routing::{
        Router,
        peers::{Kind, frame},
    },
};

/// Unsent bytes of one side beyond which the other is not read.
const CONGESTED: usize = 64 << 10;
/// How long the last words of one side may take to the other.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// How long a session that went elsewhere is sought.
const SEEKING: Duration = Duration::from_secs(15);
/// How long a node waits for a session that somebody seeks there.
const COMING: Duration = Duration::from_secs(10);
/// How often it is sought again where nodes know different views.
const AGAIN: Duration = Duration::from_millis(50);

/// How a session is found that went elsewhere. No `Debug`: it holds the id by which that is resumed.
#[derive(Encode, Decode)]
pub(super) struct Sought {
    #[n(0)]
    pub(super) id: String,
    /// Of the view by which it went.
    #[n(1)]
    pub(super) epoch: u64,
    /// Its client can resume it.
    #[n(2)]
    pub(super) is_resumable: bool,
    /// What its client has not got of what was written.
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    pub(super) unsent: Vec<u8>,
    /// What its client sent and nobody has read. It is known where the socket is, and goes nowhere.
    #[n(4)]
    #[cbor(with = "minicbor::bytes")]
    pub(super) ahead: Vec<u8>,
}

/// A client whose session has moved, for its home. No `Debug`, as above.
#[derive(Encode, Decode)]
pub struct Attach {
    #[n(0)]
    account: String,
    #[n(1)]
    id: String,
    /// Where the client is.
    #[n(2)]
    peer: String,
    /// Of the view by which its home was found.
    #[n(3)]
    epoch: u64,
}

/// A client's connection to this node.
pub(super) struct Front {
    pub(super) router: Arc<Router>,
    pub(super) account: BareJid,
    pub(super) client: Transport,
    pub(super) peer: SocketAddr,
    /// Lasts as long as the connection.
    pub(super) permit: Option<Permit>,
}

/// Where a session was found.
enum Found {
    /// At the other end of this pipe.
    There(Transport),
    /// Here.
    Here(Box<super::SessionCore>),
    Nowhere,
}

/// What a node says to one that seeks a session.
enum Answer {
    Attached,
    Unknown,
    /// It knows another view, or is gone.
    Again,
}

impl Front {
    /// Carries bytes over a pipe until either side ends, wherever the session goes.
    pub(super) async fn carry(mut self, home: Transport) {
        let mut closing = self.router.fronts.enter();
        let peers = self.router.peers.clone();
        let carried = between(&mut self.client, home, &mut closing, || peers.other_host());
        if let Some(sought) = carried.await {
            self.follow(sought, closing).await;
        }
    }

    /// Goes on with a session that has just left this node, or another.
    pub(super) async fn go_on(self, sought: Sought) {
        let closing = self.router.fronts.enter();
        self.follow(sought, closing).await;
    }

    async fn follow(mut self, mut sought: Sought, mut closing: Closing) {
        let router = self.router.clone();
        loop {
            if self.client.write(&sought.unsent).is_err() {
                return;
            }
            let found = tokio::select! {
                biased;
                // A client that cannot resume its session is told why it loses it.
                () = closing.told() => return self.part(sought.is_resumable).await,
                found = self.seek(&sought) => found,
            };
            let mut home = match found {
                Found::There(home) => home,
                Found::Here(core) => return self.attach(core, sought.ahead),
                Found::Nowhere => {
                    tracing::debug!(account = %self.account, "a session that moved was not found");
                    let moved = &router.metrics.moved_sessions;
                    moved.with_label_values(&["not_found"]).inc();
                    return self.part(sought.is_resumable).await;
                }
            };
            if home.write(&sought.ahead).is_err() {
                return;
            }
            let other = || router.peers.other_host();
            match between(&mut self.client, home, &mut closing, other).await {
                Some(next) => sought = next,
                None => return,
            }
        }
    }

    /// The session is served here: its client's connection becomes its own.
    fn attach(self, core: Box<super::SessionCore>, ahead: Vec<u8>) {
        let connection = Connection {
            transport: self.client,
            peer: self.peer,
            permit: self.permit,
            ahead,
        };
        attach(core, connection);
    }

    /// The connection does not go on with its session: the client resumes that where it can, or is told that its stream has ended.
    async fn part(self, is_resumable: bool) {
        if !is_resumable {
            let goodbye = self.router.peers.goodbye(farewell());
            let last = [&goodbye.to_bytes()[..], b"</stream:stream>"].concat();
            finish(self.client, last).await;
        }
    }

    /// Finds the session, by the views as they come.
    async fn seek(&mut self, sought: &Sought) -> Found {
        let until = Instant::now() + SEEKING;
        let router = self.router.clone();
        router.peers.reached(sought.epoch).await;
        loop {
            let view = router.peers.view().clone();
            let home = view.home(self.account.as_str());
            match home.filter(|node| *node != router.node) {
                Some(node) => {
                    let attach = Attach {
                        account: self.account.as_str().to_owned(),
                        id: sought.id.clone(),
                        peer: self.peer.to_string(),
                        epoch: view.epoch,
                    };
                    let (pipe, number) = router.peers.open(node);
                    let encoded = minicbor::to_vec(&attach).unwrap_or_default();
                    let body = frame::numbered(number, &encoded);
                    let mut home = Transport::piped(pipe, self.peer);
                    if router.peers.send(node, Kind::Attach, body) {
                        let answer = timeout_at(until, self.answer(&mut home)).await;
                        match answer.unwrap_or(Answer::Unknown) {
                            Answer::Attached => return Found::There(home),
                            Answer::Unknown => return Found::Nowhere,
                            Answer::Again => {}
                        }
                    }
                }
                None => match claim(&router, &self.account, &sought.id, until).await {
                    Claimed::Session(core) => return Found::Here(core),
                    Claimed::Unknown => return Found::Nowhere,
                    Claimed::Elsewhere => {}
                },
            }
            if Instant::now() >= until {
                return Found::Nowhere;
            }
            sleep(AGAIN).await;
        }
    }

    /// Waits for the first word of whoever is to have the session: it says that it has, or speaks for it already.
    async fn answer(&mut self, home: &mut Transport) -> Answer {
        loop {
            if home.readable().await.is_err() {
                return Answer::Again;
            }
            if home.take_notice().is_some() {
                return Answer::Attached;
            }
            let mut written = Ok(());
            let read = home.try_read_with(|bytes| {
                if written.is_ok() {
                    written = self.client.write(bytes);
                }
            });
            match read {
                Ok(Read::Data(_)) => return Answer::Attached,
                Ok(Read::WouldBlock) => {}
                Ok(Read::Closed { .. }) => return Answer::Unknown,
                Err(_) => return Answer::Again,
            }
        }
    }
}

/// Another node holds the socket of a client whose session came here, or comes.
pub async fn receive(router: Arc<Router>, sought: Attach, pipe: Pipe) {
    let until = Instant::now() + COMING;
    let peer = sought.peer.parse::<SocketAddr>();
    let (Ok(account), Ok(peer)) = (BareJid::parse(&sought.account), peer) else {
        return tracing::warn!("a client to be gone on with in a way that is not understood");
    };
    let mut transport = Transport::piped(pipe, peer);
    if router.served_elsewhere(&account).is_some() {
        // Who sent it may know a later view.
        router.peers.reached(sought.epoch).await;
    }
    match claim(&router, &account, &sought.id, until).await {
        Claimed::Session(core) => {
            // If it is not heard, the session sees that its connection is gone.
            transport.notify(Notice::Attached);
            let connection = Connection {
                transport,
                peer,
                permit: None,
                ahead: Vec::new(),
            };
            attach(core, connection);
        }
        // Broken: it is to be sought again.
        Claimed::Elsewhere => drop(transport),
        Claimed::Unknown => {
            transport.start_close();
            let _ = transport.try_flush();
        }
    }
}

/// What moving bytes came to.
enum Moved {
    On,
    /// One side has said its last.
    Ended,
    /// The connection to the client is broken.
    Broken,
    /// The session is elsewhere.
    Away(Box<Sought>),
}

/// The side that is read is lost, or the other.
enum Lost {
    Read,
    Written,
}

/// Moves bytes from either side to the other until one has ended and the other has had the rest (`None`), or until the
/// session is elsewhere.
async fn between(
    client: &mut Transport,
    mut home: Transport,
    closing: &mut Closing,
    other_host: impl Fn() -> Option<String>,
) -> Option<Sought> {
    // What the client sent and its home is not to get any more, once that has said so.
    let mut kept: Option<Vec<u8>> = None;
    loop {
        let to_home = kept.is_none() && home.pending_bytes() < CONGESTED;
        let to_client = client.pending_bytes() < CONGESTED;
        let moved = tokio::select! {
            biased;
            () = closing.told() => {
                // A client that cannot resume its session is told why it loses it.
                home.notify(Notice::Close(other_host()));
                conclude(client, home).await;
                return None;
            }
            ready = client.writable(), if client.pending_bytes() > 0 => {
                match ready.and_then(|()| client.try_flush()) {
                    Ok(_) => Moved::On,
                    Err(_) => Moved::Broken,
                }
            }
            ready = home.writable(), if home.pending_bytes() > 0 => {
                match ready.and_then(|()| home.try_flush()) {
                    Ok(_) => Moved::On,
                    Err(_) => Moved::Ended,
                }
            }
            _ = home.readable(), if to_client => match home.take_notice() {
                Some(notice) => heed(notice, &mut home, &mut kept),
                None => match pass(&mut home, client) {
                    Ok(true) => Moved::On,
                    // Its last words are for the client, whatever became of it.
                    Ok(false) | Err(Lost::Read) => Moved::Ended,
                    Err(Lost::Written) => Moved::Broken,
                },
            },
            _ = client.readable(), if to_home => match pass(client, &mut home) {
                Ok(true) => Moved::On,
                Ok(false) | Err(Lost::Written) => Moved::Ended,
                Err(Lost::Read) => Moved::Broken,
            },
        };
        match moved {
            Moved::On => {}
            // What was said goes out.
            Moved::Ended => {
                conclude(client, home).await;
                return None;
            }
            // The home learns of it as of an end that was none.
            Moved::Broken => {
                tracing::debug!("connection broken");
                return None;
            }
            Moved::Away(sought) => return Some(*sought),
        }
    }
}

/// What the home says of the pipe.
fn heed(notice: Notice, home: &mut Transport, kept: &mut Option<Vec<u8>>) -> Moved {
    match notice {
        Notice::Hold => {
            kept.get_or_insert_with(|| home.take_pending());
            // If it is not heard, the home is gone, which is seen next.
            home.notify(Notice::Held);
            Moved::On
        }
        Notice::Elsewhere(how) => match minicbor::decode::<Sought>(&how) {
            Ok(sought) => {
                let ahead = kept.take().unwrap_or_else(|| home.take_pending());
                Moved::Away(Box::new(Sought { ahead, ..sought }))
            }
            Err(error) => {
                tracing::warn!(%error, "a session that is elsewhere in a way that is not understood");
                Moved::Ended
            }
        },
        Notice::Held | Notice::Attached | Notice::Close(_) => Moved::On,
    }
}

/// Reads one side once and writes it to the other. False: the side has ended.
fn pass(from: &mut Transport, to: &mut Transport) -> Result<bool, Lost> {
    let mut written = Ok(());
    let read = from.try_read_with(|bytes| {
        if written.is_ok() {
            written = to.write(bytes);
        }
    });
    written.map_err(|_| Lost::Written)?;
    match read.map_err(|_| Lost::Read)? {
        Read::Closed { clean: true } => {
            to.start_close();
            Ok(false)
        }
        Read::Closed { clean: false } => Err(Lost::Read),
        Read::Data(_) | Read::WouldBlock => Ok(true),
    }
}

/// One side has said its last: the other gets it, and may still answer for a moment.
async fn conclude(client: &mut Transport, mut home: Transport) {
    let (mut client_speaks, mut home_listens) = (true, true);
    let rest = async {
        loop {
            let to_client = client.pending_bytes() > 0;
            let to_home = home_listens && home.pending_bytes() > 0;
            let from_client = client_speaks && home_listens && !to_home;
            tokio::select! {
                ready = client.writable(), if to_client => {
                    if ready.and_then(|()| client.try_flush()).is_err() {
                        break;
                    }
                }
                ready = home.writable(), if to_home => {
                    home_listens = ready.and_then(|()| home.try_flush()).is_ok();
                }
                ready = home.readable(), if !to_client => {
                    // What else it says comes too late.
                    let _ = home.take_notice();
                    if ready.is_err() || !matches!(pass(&mut home, client), Ok(true)) {
                        break;
                    }
                }
                ready = client.readable(), if from_client => {
                    client_speaks = ready.is_ok() && matches!(pass(client, &mut home), Ok(true));
                }
            }
        }
        let _ = (client.flush().await, home.flush().await);
    };
    let _ = tokio::time::timeout(LAST_WORDS, Box::pin(rest)).await;
}

#[cfg(test)]
mod tests;
