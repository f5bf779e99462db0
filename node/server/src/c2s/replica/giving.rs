//! Sessions that are given to another node: a copy is kept until that node has taken them in.
//!
//! Why: it may die before. Whoever gave a session is then asked for it again, or is the home once more. A copy is of use only as
//! long as the session has not gone on: who takes it in says so as soon as the next node is told of it.
//! The node that knew a session before it left keeps that for as long: this node may die before what it gave has gone out.
//! Stored: nothing. Bound: as `store`, for [`KEPT`].

use std::{sync::Arc, time::Duration};

use cluster::NodeId;
use tokio::time::Instant;
use xmpp::BareJid;

use super::{
    Replicas,
    state::Delta,
    store::{Name, Update},
};
use crate::{
    c2s::moving::{Leaving, Moved},
    routing::{
        Router,
        peers::{Giver, Kind, frame, given_name},
    },
};

/// How long a node may take to say that it has taken a session in; one of an earlier version never does.
const KEPT: Duration = Duration::from_secs(10);

/// An account that is being given to another node.
pub struct Giving<'a> {
    router: &'a Arc<Router>,
    to: NodeId,
    /// Under which it was asked for.
    number: u64,
    account: &'a BareJid,
    given: u64,
}

impl<'a> Giving<'a> {
    /// Nothing is given yet.
    pub fn new(router: &'a Arc<Router>, to: NodeId, number: u64, account: &'a BareJid) -> Self {
        Self {
            router,
            to,
            number,
            account,
            given: 0,
        }
    }

    /// How many sessions were given.
    pub fn given(&self) -> u64 {
        self.given
    }

    /// Gives a session. Who knows it besides this node does so for as long as the copy is kept.
    pub fn give(&mut self, leaving: Leaving) {
        let (router, Leaving { session, known }) = (self.router, leaving);
        if let Some(name) = given_name(self.number, self.given)
            && let Ok(copy) = minicbor::decode::<Moved>(&session)
        {
            let of = (self.account.as_str(), router.now_ms());
            let (name, lapses) = ((self.to, name), Instant::now() + KEPT);
            let replicas = &router.replicas;
            replicas.store.lock().keep(name, of, copy, lapses);
            if let Some(known) = known {
                replicas.leaving.lock().insert(name, (lapses, known));
            }
        }
        self.given += 1;
        router.peers.give_session(self.to, self.number, &session);
    }
}

impl Replicas {
    /// A session that was given is known to its home, and to the next node: who knew it before it left need not any more.
    pub(super) fn has_arrived(&self, name: Name) {
        let known = self.leaving.lock().remove(&name);
        // Not while the lock is held: it tells that node.
        drop(known);
    }

    /// Who knew sessions that left need not know them for longer than copies are kept, nor who was told early.
    pub(super) fn forget_left(&self, now: Instant) {
        let (left, early): (Vec<_>, Vec<_>) = {
            let (mut left, mut early) = (self.leaving.lock(), self.early.lock());
            let left = left.extract_if(|_, (lapses, _)| *lapses <= now);
            let early = early.extract_if(|_, early| early.until <= now);
            (left.collect(), early.collect())
        };
        drop((left, early));
    }

    /// Sessions that came are known to their home, and to the next node: whoever gave them need not keep them.
    pub fn thank(&self, router: &Router, givers: impl IntoIterator<Item = Giver>) {
        for (node, name) in givers {
            let update = Update {
                number: 0,
                of: None,
                deltas: vec![Delta::Closed],
            };
            let closed = minicbor::to_vec(&update).unwrap_or_default();
            let body = frame::numbered(name, &closed);
            router.peers.send(node, Kind::Replica, body);
        }
    }
}
