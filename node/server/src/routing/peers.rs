//! Peers: the other nodes, as routing sees them: which of them serves an account, what they were asked and have not
//! answered, and the pipes between clients' sockets and their sessions.
//!
//! An account has one home, which every node computes from the members of the view. What is for an account is sent to its
//! home's node and answered when its effects are committed there. A node that goes takes its answers with it: what it was
//! asked is asked of whoever serves the account then.
//! Stored: nothing. Bounds: those of [`asked`]; a pipe holds its window.

pub mod acts;
mod asked;
pub mod events;
pub mod frame;
mod hosts;
mod later;
mod moves;
mod pipes;
mod view;

use std::{
    mem,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use cluster::{NodeId, place::first_two};
use parking_lot::Mutex;
use tokio::{sync::oneshot, time::Instant};
use xmpp::{BareJid, Jid, Kind as StanzaKind};

use self::{
    acts::Acts,
    asked::{Asking, Turn},
    hosts::Hosts,
    later::Later,
    moves::Moves,
    pipes::Pipes,
    view::Views,
};
pub use self::{
    frame::Kind,
    moves::{Came, Giver, Piece, given_name},
    view::View,
};
use super::Origin;
use crate::home::Parcel;

/// Nodes that a stanza may come over. More only happens to one that nodes pass to and fro.
const MAX_HOPS: u8 = 24;

/// How far one node may be behind another that knows of a view.
const BEHIND: Duration = Duration::from_secs(5);

/// The way to other nodes.
pub trait Carrier: Send + Sync {
    /// Puts a frame on the ordered way to a node.
    fn send(&self, to: NodeId, kind: Kind, body: Bytes) -> Carried;

    /// Whether a node knows frames of this kind: it may be of an earlier version.
    fn is_known_to(&self, to: NodeId, kind: Kind) -> bool;
}

/// Whether a frame is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Carried {
    /// It is.
    Yes,
    /// There is no room for one that may be refused ([`Kind::may_be_refused`]).
    Full,
    /// There is no such node: it is gone, or not known yet.
    Gone,
}

/// What became of a stanza for an account.
pub enum Asked {
    /// Another node was asked, or it waits for its turn.
    Pending,
    /// It is for this node.
    Here(Parcel),
    /// It was not asked yet and is noted as if it had been: what the node was asked goes on in order when that is gone. Until
    /// then it is to be asked again ([`Peers::ask_again`]).
    Noted(Question),
    /// The node cannot be asked now.
    Unreachable(Box<Parcel>),
}

/// A stanza that a node is to be asked to deliver, and could not be.
pub struct Question {
    number: u64,
    node: NodeId,
    body: Bytes,
    /// How often it is asked again although the node is no member.
    left: u8,
}

impl Question {
    fn new(number: u64, node: NodeId, body: Bytes) -> Self {
        Self {
            number,
            node,
            body,
            left: 10,
        }
    }
}

/// The other nodes.
#[derive(Default)]
pub struct Peers {
    me: OnceLock<NodeId>,
    carrier: OnceLock<Arc<dyn Carrier>>,
    views: Views,
    next: AtomicU64,
    asking: Asking,
    pipes: Pipes,
    moves: Moves,
    later: Later,
    acts: Acts,
    hosts: Hosts,
}

impl Peers {
    /// Joins this node to others.
    pub fn join(&self, me: NodeId, carrier: Arc<dyn Carrier>) {
        // The first counts: a life of a node joins once.
        let _ = (self.me.set(me), self.carrier.set(carrier));
    }

    /// These serve accounts from now on. What was under way to others keeps its order. False: a later view counts already.
    /// What was put off is taken with [`Peers::due`] in any case, until there is no more.
    pub fn set_view(&self, view: View) -> bool {
        self.later.begin();
        let known = view.clone();
        let home = |account: &str| known.home(account);
        self.asking
            .change(known.epoch, || self.views.set(view), home)
    }

    /// How many views there were: 0 on a node that is alone and always was.
    pub fn generation(&self) -> u64 {
        self.views.generation()
    }

    /// The node that serves an account of ours when this one is gone; `None`: there is no other, or it is not ours. One that
    /// leaves is none: it would only be told what it is about to forget.
    pub fn second(&self, account: &str) -> Option<NodeId> {
        let view = self.view();
        let [first, second] = first_two(account.as_bytes(), &view.members);
        let stays = |node: &NodeId| {
            view.members
                .iter()
                .any(|it| it.node == *node && it.weight > 0.0)
        };
        second.filter(|node| first.as_ref() == self.me.get() && stays(node))
    }

    /// Why a session of an account of ours may not be here: what became of the nodes that served the account a while ago.
    pub fn missing(&self, account: &str) -> &'static str {
        let me = self.me.get().copied();
        let mut cause = "unknown";
        for node in self.views.homes(account).filter(|node| Some(*node) != me) {
            match self.has_left(node) {
                true => return "left_behind",
                false => cause = "moved",
            }
        }
        cause
    }

    /// Whether a node served accounts a while ago and does no longer.
    pub fn has_left(&self, node: NodeId) -> bool {
        self.views.has_left(node)
    }

    /// Who serves accounts.
    pub fn view(&self) -> arc_swap::Guard<Arc<View>> {
        self.views.current()
    }

    /// Waits until this node knows the view of this epoch, or for [`BEHIND`].
    pub async fn reached(&self, epoch: u64) {
        let _ = tokio::time::timeout(BEHIND, self.views.reached(epoch)).await;
    }

    /// Whether this node serves accounts only until others have taken them over.
    pub fn is_leaving(&self) -> bool {
        let (view, me) = (self.view(), self.me.get());
        let mut staying = view.members.iter().filter(|it| it.weight > 0.0).peekable();
        staying.peek().is_some() && staying.all(|it| Some(&it.node) != me)
    }

    /// Whether accounts may be where they were in an earlier view.
    pub fn is_moving(&self) -> bool {
        self.views.is_moving()
    }

    /// Whether a home here that is not in memory may have sessions that are on their way.
    pub fn is_settling(&self) -> bool {
        self.views.is_settling()
    }

    /// Whether there are homes here that belong elsewhere.
    pub fn set_misplaced(&self, misplaced: bool) {
        self.views.set_misplaced(misplaced);
    }

    /// The other nodes where an account may still be.
    fn former(&self, account: &BareJid) -> Vec<NodeId> {
        self.views.former(account.as_str(), self.me.get().copied())
    }

    /// A number that was not used before.
    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether no other node is known.
    pub fn is_alone(&self) -> bool {
        self.view().members.is_empty()
    }

    /// The other node that serves an account, if one does.
    pub fn elsewhere(&self, account: &str) -> Option<NodeId> {
        let view = self.view();
        view.home(account)
            .filter(|node| Some(node) != self.me.get())
    }

    /// Sends a frame; whether it is on its way.
    pub fn send(&self, to: NodeId, kind: Kind, body: Bytes) -> bool {
        self.carry(to, kind, body) == Carried::Yes
    }

    fn carry(&self, to: NodeId, kind: Kind, body: Bytes) -> Carried {
        let carrier = self.carrier.get();
        carrier.map_or(Carried::Gone, |carrier| carrier.send(to, kind, body))
    }

    /// Whether a node knows frames of this kind. A node that is not there knows none.
    pub fn is_known_to(&self, to: NodeId, kind: Kind) -> bool {
        let carrier = self.carrier.get();
        carrier.is_some_and(|carrier| carrier.is_known_to(to, kind))
    }

    /// Asks the node that serves an account to deliver a stanza, behind what it or another was asked before; `is_here` says
    /// whether this node serves it although the view has another.
    pub fn ask(&self, mut parcel: Parcel, at_ms: u64, is_here: impl Fn(&str) -> bool) -> Asked {
        loop {
            // Before its turn is asked for: a view that changes behind that decides anew.
            let decision = self.views.decision();
            let turn = match self.asking.turn(parcel, at_ms) {
                Turn::Now(turn) => turn,
                Turn::Waits => return Asked::Pending,
                Turn::Full(parcel) => return Asked::Unreachable(parcel),
            };
            match self.ask_of(decision, turn, at_ms, &is_here) {
                Ok(asked) => return asked,
                Err(back) => parcel = *back,
            }
        }
    }

    /// The same for what [`Peers::next_of`] gave: before what came later.
    pub fn ask_first(
        &self,
        mut parcel: Parcel,
        at_ms: u64,
        is_here: impl Fn(&str) -> bool,
    ) -> Asked {
        loop {
            let decision = self.views.decision();
            let Some(turn) = self.asking.turn_again(parcel) else {
                return Asked::Pending;
            };
            match self.ask_of(decision, turn, at_ms, &is_here) {
                Ok(asked) => return asked,
                Err(back) => parcel = *back,
            }
        }
    }

    /// # Errors
    /// The parcel: the view has changed, which decides anew.
    fn ask_of(
        &self,
        decision: u64,
        parcel: Parcel,
        at_ms: u64,
        is_here: &impl Fn(&str) -> bool,
    ) -> Result<Asked, Box<Parcel>> {
        let view = self.view();
        // Where its session is now it may have been begun anew, since it was to leave first.
        let (has_waited, since_ms) = match parcel.since_ms {
            0 => (false, at_ms),
            since_ms => (true, since_ms),
        };
        let parcel = match has_waited && parcel.origin.as_ref().is_some_and(Origin::has_left) {
            true => parcel.may_be_repeated(since_ms),
            false => parcel,
        };
        let Some(account) = parcel.address() else {
            return Ok(Asked::Here(parcel));
        };
        let home = view.home(account.bare_str());
        let home = home.filter(|node| Some(node) != self.me.get());
        let node = match home {
            Some(node) if !is_here(account.bare_str()) => node,
            // It may have had its turn before others that another node was asked.
            _ if decision != self.views.decision() => return Err(Box::new(parcel)),
            _ => return Ok(Asked::Here(parcel)),
        };
        if parcel.hops >= MAX_HOPS {
            tracing::warn!(
                account = account.bare_str(),
                "nodes pass a stanza to and fro"
            );
            return Ok(Asked::Unreachable(Box::new(parcel)));
        }
        let number = self.number();
        let parcel = match parcel.origin.as_ref().is_some_and(Origin::has_left) {
            true => parcel.may_be_repeated(since_ms),
            false => parcel,
        };
        let body = frame::route(number, view.epoch, &parcel);
        // Who is told that these were not delivered might be told a lie.
        let stays = parcel.doubt.is_some() || parcel.sent;
        let is_message = parcel.stanza.kind() == StanzaKind::Message;
        // Before the frame leaves: its answer may be fast.
        if let Err(parcel) = self.asking.insert(number, node, at_ms, parcel) {
            return Ok(Asked::Unreachable(parcel));
        }
        if decision == self.views.decision() {
            match self.carry(node, Kind::Route, body.clone()) {
                Carried::Yes => return Ok(Asked::Pending),
                // Everybody is about to learn who serves its accounts now.
                Carried::Gone if stays || is_message => {
                    return Ok(self.note(Question::new(number, node, body)));
                }
                Carried::Full if stays => {
                    return Ok(self.note(Question::new(number, node, body)));
                }
                Carried::Full | Carried::Gone => {}
            }
            return Ok(match self.asking.remove(number, node) {
                Some(parcel) => Asked::Unreachable(Box::new(parcel)),
                // Answered although it could not be sent: by the end of the node, which routed it anew.
                None => Asked::Pending,
            });
        }
        // Whoever changed the view may have missed it.
        match self.asking.remove(number, node) {
            Some(back) => Err(Box::new(back)),
            None => Ok(Asked::Pending),
        }
    }

    /// What follows waits behind it.
    fn note(&self, question: Question) -> Asked {
        self.asking.hold(question.number, question.node);
        Asked::Noted(question)
    }

    /// Asks what was noted. `Pending`: it is on its way, was answered, or came back because the node is no member any more; `Noted`: not yet.
    pub fn ask_again(&self, question: Question) -> Asked {
        let (number, node) = (question.number, question.node);
        if !self.asking.has_asked(number, node) {
            return Asked::Pending;
        }
        match self.carry(node, Kind::Route, question.body.clone()) {
            Carried::Yes => Asked::Pending,
            Carried::Gone if !self.view().has(node) && question.left == 0 => {
                // It never left.
                self.came_back(node, number, 0, None);
                Asked::Pending
            }
            Carried::Full => Asked::Noted(question),
            // It is about to be told that the node is gone: then all that it was asked goes on in order.
            Carried::Gone => Asked::Noted(Question {
                left: question
                    .left
                    .saturating_sub(u8::from(!self.view().has(node))),
                ..question
            }),
        }
    }

    /// How many stanzas other nodes were asked to deliver and have not answered, and how many wait behind them.
    pub fn unanswered(&self) -> usize {
        self.asking.len()
    }

    /// What was asked under this number is answered.
    pub fn answered(&self, by: NodeId, number: u64) -> Option<Parcel> {
        self.asking.remove(number, by)
    }

    /// A node does not serve the account of what it was asked under this number, in the view of this epoch; since when that may be
    /// in the log, if it may.
    pub fn came_back(&self, by: NodeId, number: u64, epoch: u64, since_ms: Option<u64>) {
        let halt_all = || self.views.decide_anew();
        self.asking.back(number, by, (epoch, since_ms), halt_all);
    }

    /// Gives a stanza back that another node asked to be delivered to an account which is not served here. It is returned if it
    /// cannot be.
    pub fn give_back(&self, parcel: Parcel) -> Option<Parcel> {
        let Some(Origin::Node(asker)) = &parcel.origin else {
            return Some(parcel);
        };
        let view = self.view();
        let home = parcel.address().and_then(|it| view.home(it.bare_str()));
        let is_theirs = home.is_some_and(|home| Some(&home) != self.me.get());
        if !is_theirs || !self.is_known_to(asker.node, Kind::Back) {
            return Some(parcel);
        }
        let body = frame::back(asker.number, view.epoch, parcel.doubt);
        let went = self.send(asker.node, Kind::Back, body);
        (!went).then_some(parcel)
    }

    /// A node is gone: its pipes end, and nobody waits for it.
    pub fn gone(&self, node: NodeId) {
        self.pipes.gone(node);
        self.later.gone(node);
        self.moves.gone(node);
        self.acts.gone(node);
        self.asking.gone(node);
    }

    /// What waits for answers that were due long ago waits no longer.
    pub fn lose_patience(&self) {
        match self.asking.lose_patience(Instant::now()) {
            0 => {}
            stanzas => tracing::warn!(stanzas, "a node does not answer what it was asked"),
        }
    }

    /// Takes the accounts whose stanzas waited and may go on: each is let with [`Peers::next_of`], by who took it.
    pub fn free(&self) -> Vec<BareJid> {
        self.asking.free()
    }

    /// The next stanza that waits for an account; with `None` what comes goes on as usual.
    pub fn next_of(&self, account: &BareJid) -> Option<Parcel> {
        self.asking.next(account)
    }

    /// Puts off what is about a view that this node does not know yet; `waited`: it was put off before. `None`: it knows it;
    /// false: there is no room.
    pub fn put_off(&self, epoch: u64, frame: (NodeId, Kind, &Bytes), waited: bool) -> Option<bool> {
        self.later.put_off(self.view().epoch, epoch, frame, waited)
    }

    /// What was put off, to be looked at again; empty when all was.
    pub fn due(&self) -> Vec<(NodeId, Kind, Bytes)> {
        self.later.due()
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
        let view = self.view();
        let home = view.home(account.as_str());
        if let Some(node) = home.filter(|node| Some(node) != self.me.get()) {
            let body = frame::numbered(view.epoch, account.as_str().as_bytes());
            self.send(node, Kind::Nudge, body);
        }
    }

    fn tell_home(&self, account: &BareJid, kind: Kind) {
        if let Some(node) = self.elsewhere(account.as_str()) {
            let body = Bytes::copy_from_slice(account.as_str().as_bytes());
            self.send(node, kind, body);
        }
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
