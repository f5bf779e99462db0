//! Moves: an account is handed over from the node that served it to the one that does now.
//!
//! The new home asks (`Yield`); the old one gives session after session, in pieces that fit a frame, and says when all of the
//! account is written (`Yielded`). Whoever asks waits for so long; a session that comes later is taken in when it comes.
//! Stored: nothing. Bounds: [`MAX_SESSION`], [`KEPT`].

use std::time::Duration;

use bytes::Bytes;
use cluster::NodeId;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::{sync::oneshot, time::Instant};
use xmpp::BareJid;

use super::{Kind, Peers, frame};

/// How long a node may take to hand an account over. Whoever waits longer goes on with what the store has.
const YIELDING: Duration = Duration::from_secs(15);
/// A session on its way, in bytes: its mailbox is bounded, and so is what its client has not acknowledged.
const MAX_SESSION: usize = 16 << 20;
/// A piece of one. Links take frames of 1 MiB.
const PIECE: usize = 256 << 10;
/// How long a session that came waits for its home to be loaded, which fails while the store does.
const KEPT: Duration = Duration::from_secs(600);

/// Nodes that are asked for one account.
const MAX_NODES: usize = 64;

/// What a piece of a hand-over is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Piece {
    /// More of the session comes.
    More = 0,
    /// A session is complete.
    Session = 1,
    /// All of the account is given up, and written. Behind it: the nodes where it may have been before.
    Done = 2,
    /// Not the one who asked serves the account, as far as this node knows: it knows a later view.
    Refused = 3,
}

impl Piece {
    fn of(number: u8) -> Option<Self> {
        [Self::More, Self::Session, Self::Done, Self::Refused]
            .into_iter()
            .find(|piece| *piece as u8 == number)
    }
}

/// An account that was asked for.
struct Asked {
    node: NodeId,
    account: BareJid,
    /// Of a session that has not come in full.
    part: Vec<u8>,
    /// Sessions that have.
    came: u64,
    /// Who waits, if they still do.
    waits: oneshot::Sender<Option<Vec<NodeId>>>,
}

/// By which a node that gave a session knows it: see [`given_name`].
pub type Giver = (NodeId, u64);

/// A session that came.
pub struct Came {
    at: Instant,
    /// As bytes.
    pub session: Vec<u8>,
    /// Who keeps a copy until it is taken in.
    pub giver: Option<Giver>,
}

/// What both sides call a session that was given under a number of [`Kind::Yield`], by its place among those: unlike anything
/// that a home tells of its sessions. `None`: of so many no copy is kept.
pub fn given_name(number: u64, place: u64) -> Option<u64> {
    (place < 1 << 8).then_some(1 << 63 | number << 8 | place)
}

/// Hand-overs that are under way.
#[derive(Default)]
pub(super) struct Moves {
    asked: Mutex<HashMap<u64, Asked>>,
    /// Sessions that came and whose home is not loaded yet.
    came: Mutex<HashMap<BareJid, Vec<Came>>>,
}

impl Moves {
    /// A node is gone: there is nothing to wait for.
    pub(super) fn gone(&self, node: NodeId) {
        self.asked.lock().retain(|_, asked| asked.node != node);
    }
}

impl Peers {
    /// Fetches what is of an account where it was served before, and keeps it for its home. False: it is not served here, as
    /// another node knows.
    pub async fn take_over(&self, account: &BareJid) -> bool {
        let until = Instant::now() + YIELDING;
        let mut nodes = self.former(account);
        let mut next = 0;
        while let Some(&node) = nodes.get(next) {
            next += 1;
            let Some(answer) = self.ask_to_yield(node, account) else {
                continue;
            };
            match tokio::time::timeout_at(until, answer).await {
                // It may never have loaded what came to it in a view that this node has not seen.
                Ok(Ok(Some(before))) => {
                    for node in before {
                        if nodes.len() < MAX_NODES
                            && !nodes.contains(&node)
                            && Some(&node) != self.me.get()
                        {
                            nodes.push(node);
                        }
                    }
                }
                Ok(Ok(None)) => return false,
                // It died.
                Ok(Err(_)) => {}
                Err(_) => {
                    tracing::warn!(%account, node = node.0, "an account was not handed over in time")
                }
            }
        }
        true
    }

    /// Asks a node for what it has of an account, if it can be asked.
    /// The answer: the nodes where it may have been before; `None`: it is not served here.
    pub fn ask_to_yield(
        &self,
        node: NodeId,
        account: &BareJid,
    ) -> Option<oneshot::Receiver<Option<Vec<NodeId>>>> {
        let (number, epoch) = (self.number(), self.view().epoch);
        let (sender, answer) = oneshot::channel();
        let asked = Asked {
            node,
            account: account.clone(),
            part: Vec::new(),
            came: 0,
            waits: sender,
        };
        self.moves.asked.lock().insert(number, asked);
        let body = frame::yields(number, epoch, account);
        if self.send(node, Kind::Yield, body) {
            return Some(answer);
        }
        self.moves.asked.lock().remove(&number);
        None
    }

    /// A piece of what a node gives up. The account, and its session, if that came too late to be waited for.
    pub fn yielded(&self, by: NodeId, number: u64, rest: &Bytes) -> Option<BareJid> {
        let (&kind, bytes) = rest.split_first()?;
        let kind = Piece::of(kind)?;
        let mut all = self.moves.asked.lock();
        let asked = all.get_mut(&number).filter(|asked| asked.node == by)?;
        match kind {
            Piece::More | Piece::Session => {
                if asked.part.len() + bytes.len() > MAX_SESSION {
                    tracing::warn!(account = %asked.account, "a session that is too large to come");
                    asked.part = Vec::new();
                    return None;
                }
                asked.part.extend_from_slice(bytes);
                if kind == Piece::More {
                    return None;
                }
                let session = std::mem::take(&mut asked.part);
                let late = asked.waits.is_closed();
                let account = asked.account.clone();
                let giver = given_name(number, asked.came).map(|name| (by, name));
                asked.came += 1;
                self.keep_moved(&account, session, giver);
                late.then_some(account)
            }
            Piece::Done | Piece::Refused => {
                let asked = all.remove(&number)?;
                let node = |bytes: &[u8; 8]| NodeId(u64::from_be_bytes(*bytes));
                let before = || bytes.as_chunks().0.iter().map(node).collect();
                let _ = asked.waits.send((kind == Piece::Done).then(before));
                None
            }
        }
    }

    /// Keeps a session for its home.
    pub fn keep_moved(&self, account: &BareJid, session: Vec<u8>, giver: Option<Giver>) {
        let mut came = self.moves.came.lock();
        let kept = came.entry(account.clone()).or_default();
        kept.push(Came {
            at: Instant::now(),
            session,
            giver,
        });
    }

    /// The sessions that came for an account.
    pub fn take_moved(&self, account: &BareJid) -> Vec<Came> {
        let came = self.moves.came.lock().remove(account);
        came.unwrap_or_default()
    }

    /// Takes out the sessions that came so long ago that nobody will come for them.
    pub fn expired_moved(&self) -> Vec<(BareJid, Vec<u8>)> {
        let mut expired = Vec::new();
        self.moves.came.lock().retain(|account, sessions| {
            let old = sessions.extract_if(.., |came| came.at.elapsed() >= KEPT);
            expired.extend(old.map(|came| (account.clone(), came.session)));
            !sessions.is_empty()
        });
        expired
    }

    /// Gives a session to the node that asked for its account.
    pub fn give_session(&self, to: NodeId, number: u64, session: &[u8]) {
        let mut pieces = session.chunks(PIECE).peekable();
        while let Some(piece) = pieces.next() {
            let kind = match pieces.peek() {
                Some(_) => Piece::More,
                None => Piece::Session,
            };
            self.send(to, Kind::Yielded, frame::yielded(number, kind, piece));
        }
    }

    /// Answers that all of an account is given up, or that it is not.
    pub fn give_up(&self, to: NodeId, number: u64, account: &BareJid, outcome: Piece) {
        let former = self.former(account).into_iter();
        let before: Vec<u8> = former.flat_map(|node| node.0.to_be_bytes()).collect();
        self.send(to, Kind::Yielded, frame::yielded(number, outcome, &before));
    }
}
