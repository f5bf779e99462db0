//! Peers: the other nodes, as routing sees them: which of them serves an account, what they were asked and have not
//! answered, and the pipes between clients' sockets and their sessions.
//!
//! An account has one home, which every node computes from the members of the view. What is for an account is sent to its
//! home's node and answered when its effects are committed there. A node that goes takes its answers with it: what it was
//! asked is asked of whoever serves the account then.
//! Stored: nothing. Bounds: [`MAX_ASKED`]; a pipe holds its window.

pub mod frame;

use std::{
    mem,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use cluster::{
    NodeId,
    place::{Member, place},
};
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use xmpp::{BareJid, Jid};

pub use frame::Kind;

use crate::{
    home::{Doubt, Parcel},
    net::{Far, Pipe, PipeHandle},
};

/// Stanzas that other nodes were asked to deliver and have not answered. Sessions have windows; this is what all together
/// may have under way.
const MAX_ASKED: usize = 1 << 20;
const SHARDS: usize = 16;
/// How long after a change of the view an account may still be where it was before.
const MOVING: Duration = Duration::from_secs(60);
/// Earlier views that are remembered.
const MAX_FORMER: usize = 16;
/// How long a node may take to hand an account over. Whoever waits longer goes on with what the store has.
const YIELDING: Duration = Duration::from_secs(15);

/// The way to other nodes.
pub trait Carrier: Send + Sync {
    /// Puts a frame on the ordered way to a node; false: there is none, or it is full.
    fn send(&self, to: NodeId, kind: Kind, body: Bytes) -> bool;
}

/// What a node was asked.
struct Asked {
    node: NodeId,
    /// When, in milliseconds since 1970.
    at_ms: u64,
    parcel: Parcel,
}

/// The other nodes.
#[derive(Default)]
pub struct Peers {
    me: OnceLock<NodeId>,
    carrier: OnceLock<Arc<dyn Carrier>>,
    /// Those that serve accounts, this node among them; empty while there is no other.
    members: ArcSwap<Vec<Member>>,
    next: AtomicU64,
    asked: [Mutex<HashMap<u64, Asked>>; SHARDS],
    pipes: Mutex<HashMap<(NodeId, u64), PipeHandle>>,
    /// Views of before, and until when an account may still be where it was in them.
    former: Mutex<Vec<(Instant, Arc<Vec<Member>>)>>,
    /// Whether there are any.
    moving: AtomicBool,
    yields: Mutex<HashMap<u64, (NodeId, oneshot::Sender<Bytes>)>>,
    /// Sessions that came and whose home is not loaded yet.
    moved: Mutex<HashMap<BareJid, Vec<Vec<u8>>>>,
}

impl Peers {
    /// Joins this node to others.
    pub fn join(&self, me: NodeId, carrier: Arc<dyn Carrier>) {
        // The first counts: a life of a node joins once.
        let _ = (self.me.set(me), self.carrier.set(carrier));
    }

    /// These serve accounts from now on.
    pub fn set_members(&self, members: Vec<Member>) {
        let mut former = self.former.lock();
        let before = self.members.swap(Arc::new(members));
        let now = Instant::now();
        former.retain(|(until, _)| *until > now);
        if former.len() == MAX_FORMER {
            former.remove(0);
        }
        if !before.is_empty() {
            former.push((now + MOVING, before));
        }
        self.moving.store(!former.is_empty(), Ordering::Release);
    }

    /// Whether accounts may be where they were in an earlier view.
    pub fn is_moving(&self) -> bool {
        self.moving.load(Ordering::Acquire)
    }

    /// The nodes where an account may still be, its home being here: those that served it a while ago, the last first.
    fn former(&self, account: &str) -> Vec<NodeId> {
        if !self.is_moving() {
            return Vec::new();
        }
        let now = Instant::now();
        let mut former = self.former.lock();
        former.retain(|(until, _)| *until > now);
        self.moving.store(!former.is_empty(), Ordering::Release);
        let members = self.members.load();
        let mut nodes = Vec::new();
        for (_, view) in former.iter().rev() {
            let Some(node) = place(account.as_bytes(), view) else {
                continue;
            };
            let lives = members.iter().any(|member| member.node == node);
            if lives && Some(&node) != self.me.get() && !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        nodes
    }

    /// Fetches what is of an account where it was served before, and keeps it for its home.
    pub async fn take_over(&self, account: &BareJid) {
        for node in self.former(account.as_str()) {
            let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
            let (sender, answer) = oneshot::channel();
            self.yields.lock().insert(number, (node, sender));
            let body = frame::numbered(number, account.as_str().as_bytes());
            let sent = self.send(node, Kind::Yield, body);
            let answer = match sent {
                true => tokio::time::timeout(YIELDING, answer).await,
                false => Ok(Ok(Bytes::new())),
            };
            self.yields.lock().remove(&number);
            match answer {
                Ok(Ok(sessions)) => self.keep_moved(account, &sessions),
                // It died: there is nothing to wait for.
                Ok(Err(_)) => {}
                Err(_) => tracing::warn!(%account, node = node.0, "an account was not handed over"),
            }
        }
    }

    fn keep_moved(&self, account: &BareJid, encoded: &[u8]) {
        let Ok(sessions) = minicbor::decode::<Vec<minicbor::bytes::ByteVec>>(encoded) else {
            return;
        };
        if !sessions.is_empty() {
            let mut moved = self.moved.lock();
            let kept = moved.entry(account.clone()).or_default();
            kept.extend(sessions.into_iter().map(Vec::from));
        }
    }

    /// The sessions that came for an account.
    pub fn take_moved(&self, account: &BareJid) -> Vec<Vec<u8>> {
        self.moved.lock().remove(account).unwrap_or_default()
    }

    /// A node has answered that it yields.
    pub fn yielded(&self, by: NodeId, number: u64, sessions: Bytes) {
        let mut yields = self.yields.lock();
        if yields.get(&number).is_some_and(|(node, _)| *node == by)
            && let Some((_, sender)) = yields.remove(&number)
        {
            let _ = sender.send(sessions);
        }
    }

    /// Answers that an account is given up here, with its sessions.
    pub fn give_up(&self, to: NodeId, number: u64, sessions: Vec<Vec<u8>>) {
        let sessions: Vec<minicbor::bytes::ByteVec> =
            sessions.into_iter().map(Into::into).collect();
        let encoded = minicbor::to_vec(&sessions).unwrap_or_default();
        self.send(to, Kind::Yielded, frame::numbered(number, &encoded));
    }

    /// The other node that serves an account, if one does.
    pub fn elsewhere(&self, account: &str) -> Option<NodeId> {
        let members = self.members.load();
        if members.is_empty() {
            return None;
        }
        place(account.as_bytes(), &members).filter(|node| Some(node) != self.me.get())
    }

    /// Sends a frame; whether it is on its way.
    pub fn send(&self, to: NodeId, kind: Kind, body: Bytes) -> bool {
        let carrier = self.carrier.get();
        carrier.is_some_and(|carrier| carrier.send(to, kind, body))
    }

    /// Asks a node to deliver a stanza.
    ///
    /// # Errors
    /// The parcel: the node cannot be reached, or too much is under way.
    pub fn ask(&self, node: NodeId, parcel: Parcel, at_ms: u64) -> Result<(), Box<Parcel>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let body = frame::route(number, parcel.doubt, parcel.stanza.raw());
        let shard = &self.asked[number as usize % SHARDS];
        {
            let mut asked = shard.lock();
            if asked.len() >= MAX_ASKED / SHARDS {
                return Err(Box::new(parcel));
            }
            // Before the frame leaves: its answer may be fast.
            asked.insert(
                number,
                Asked {
                    node,
                    at_ms,
                    parcel,
                },
            );
        }
        if self.send(node, Kind::Route, body) {
            return Ok(());
        }
        match shard.lock().remove(&number) {
            Some(asked) => Err(Box::new(asked.parcel)),
            // Answered although it could not be sent: by the end of the node, which routed it anew.
            None => Ok(()),
        }
    }

    /// Asks the home of an account to show its presence to who has just come.
    pub fn look(&self, node: NodeId, from: &Jid, contact: &Jid) {
        let body = format!("{from}\n{contact}");
        self.send(node, Kind::Look, body.into());
    }

    /// Tells the home of an account that it was made.
    pub fn forget(&self, account: &BareJid) {
        self.tell_home(account, Kind::Forget);
    }

    /// Tells the new home of an account that there are sessions of it here.
    pub fn nudge(&self, account: &BareJid) {
        self.tell_home(account, Kind::Nudge);
    }

    fn tell_home(&self, account: &BareJid, kind: Kind) {
        if let Some(node) = self.elsewhere(account.as_str()) {
            let body = Bytes::copy_from_slice(account.as_str().as_bytes());
            self.send(node, kind, body);
        }
    }

    /// What was asked under this number is answered.
    pub fn answered(&self, by: NodeId, number: u64) -> Option<Parcel> {
        let mut asked = self.asked[number as usize % SHARDS].lock();
        if asked.get(&number)?.node != by {
            return None;
        }
        asked.remove(&number).map(|asked| asked.parcel)
    }

    /// A node is gone: its pipes end. What it was asked and has not answered, in the order in which it was asked.
    pub fn gone(&self, node: NodeId) -> Vec<Parcel> {
        let mut ended = Vec::new();
        self.pipes.lock().retain(|(of, _), handle| {
            if *of == node {
                ended.push(handle.clone());
            }
            *of != node
        });
        ended.iter().for_each(|handle| handle.end(false));
        self.yields.lock().retain(|_, (of, _)| *of != node);
        let mut left = Vec::new();
        for shard in &self.asked {
            let mut shard = shard.lock();
            let numbers: Vec<u64> = shard
                .iter()
                .filter(|(_, asked)| asked.node == node)
                .map(|(number, _)| *number)
                .collect();
            left.extend(
                numbers
                    .into_iter()
                    .filter_map(|number| shard.remove_entry(&number)),
            );
        }
        left.sort_unstable_by_key(|(number, _)| *number);
        let in_doubt = |asked: Asked| Parcel {
            doubt: Some(Doubt {
                since_ms: asked.parcel.doubt.map_or(asked.at_ms, |it| it.since_ms),
                looked: false,
            }),
            ..asked.parcel
        };
        left.into_iter().map(|(_, asked)| in_doubt(asked)).collect()
    }

    /// A new pipe to a node, and its number.
    pub fn open(self: &Arc<Self>, node: NodeId) -> (Pipe, u64) {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        (self.pipe(node, number), number)
    }

    /// The other end of a pipe that a node opened under this number.
    pub fn accept(self: &Arc<Self>, node: NodeId, number: u64) -> Pipe {
        self.pipe(node, number | frame::TO_FRONT)
    }

    /// What comes back has the number of this end.
    fn pipe(self: &Arc<Self>, node: NodeId, number: u64) -> Pipe {
        let key = (node, number ^ frame::TO_FRONT);
        let (pipe, handle) = Pipe::new(FarNode {
            peers: self.clone(),
            node,
            number,
            key,
        });
        self.pipes.lock().insert(key, handle);
        pipe
    }

    fn pipe_of(&self, from: NodeId, number: u64) -> Option<PipeHandle> {
        self.pipes.lock().get(&(from, number)).cloned()
    }

    /// Bytes of a pipe, credit for it, or its end.
    pub fn piped(&self, from: NodeId, kind: Kind, body: &Bytes) {
        let Some((number, rest)) = frame::split(body) else {
            return;
        };
        let Some(pipe) = self.pipe_of(from, number) else {
            // Its end has crossed this on the way.
            return;
        };
        match kind {
            Kind::Credit => pipe.credit(frame::count(&rest)),
            Kind::End => pipe.end(rest.first() == Some(&1)),
            // More than it has room for: whoever sends that is not to be trusted with it.
            _ if !pipe.data(rest) => pipe.end(false),
            _ => {}
        }
    }

    /// How many pipes end here.
    pub fn pipes(&self) -> usize {
        self.pipes.lock().len()
    }
}

/// The other end of a pipe, on its node.
struct FarNode {
    peers: Arc<Peers>,
    node: NodeId,
    number: u64,
    key: (NodeId, u64),
}

impl Far for FarNode {
    fn data(&self, bytes: Bytes) -> bool {
        let body = frame::numbered(self.number, &bytes);
        self.peers.send(self.node, Kind::Bytes, body)
    }

    fn credit(&self, bytes: usize) {
        let body = frame::numbered(self.number, &(bytes as u64).to_be_bytes());
        self.peers.send(self.node, Kind::Credit, body);
    }

    fn end(&self, clean: bool) {
        let body = frame::numbered(self.number, &[u8::from(clean)]);
        self.peers.send(self.node, Kind::End, body);
    }
}

impl Drop for FarNode {
    fn drop(&mut self) {
        self.peers.pipes.lock().remove(&self.key);
    }
}

/// The node that asked to deliver a stanza, and the number that it gave that.
#[derive(Clone)]
pub struct Asker {
    /// Where the answer goes.
    pub peers: Arc<Peers>,
    /// Who.
    pub node: NodeId,
    /// Its number.
    pub number: u64,
}

impl Asker {
    /// Its effects are committed, or it was answered with an error. `copy`: the sender's side is to follow.
    pub fn answer(self, copy: bool) {
        let body = frame::numbered(self.number, &[u8::from(copy)]);
        self.peers.send(self.node, Kind::Done, body);
    }
}

/// A task that waits for the outcome of a stanza.
#[derive(Clone)]
pub struct Waiter(Arc<Mutex<Option<oneshot::Sender<()>>>>);

impl Waiter {
    /// One, and what it waits on.
    pub fn new() -> (Self, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(sender)))), receiver)
    }

    pub(super) fn done(self) {
        if let Some(sender) = mem::take(&mut *self.0.lock()) {
            let _ = sender.send(());
        }
    }
}
