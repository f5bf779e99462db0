//! Intake: what other nodes send to this one, and what a change of the view asks of it.
//!
//! Why here: frames are the business of routing, sessions and homes, which do not know each other's insides.
//! Stored: nothing.

use std::sync::Arc;

use bytes::Bytes;
use cluster::NodeId;
use tokio::time::Instant;
use xmpp::{BareJid, Jid, Kind as StanzaKind, Stanza};

use crate::{
    c2s::{
        front::{self, Attach},
        moving,
        passage::{self, Passage},
        replica,
    },
    home::{self, CopyTo, Parcel},
    pipeline::{events, groups, probe},
    routing::{
        Asker, Origin, Progress, Router, acting,
        peers::{
            Kind, Piece, View,
            acts::{Outcome, Question},
            frame,
        },
    },
    shutdown::Stopping,
};

/// What takes what other nodes send, and what the directory says of them.
#[derive(Clone)]
pub struct Intake {
    router: Arc<Router>,
    stopping: Stopping,
}

impl Intake {
    /// Of this node.
    pub fn new(router: Arc<Router>, stopping: Stopping) -> Self {
        Self { router, stopping }
    }

    /// Takes a frame. Frames of a node come in order, and nothing here waits.
    pub fn frame(&self, from: NodeId, kind: Kind, body: &Bytes) {
        self.router.replicas.hear(&self.router);
        self.from(from, false).take(kind, body);
    }

    fn from(&self, from: NodeId, waited: bool) -> Taking<'_> {
        Taking {
            router: &self.router,
            stopping: &self.stopping,
            from,
            waited,
        }
    }

    /// The view has changed, and these nodes are gone: what they were asked and have not answered goes to whoever serves the
    /// accounts now, before anything that came later. The new homes of accounts that have sessions here are told. Nothing can
    /// be sent to who is gone when this is called.
    pub fn view_changed(&self, view: View, gone: &[NodeId]) {
        let router = &self.router;
        router.expect_assertions(&view);
        let former = router.peers.view().clone();
        let missed = view.epoch > former.epoch + 1;
        let counts = router.peers.set_view(view);
        if counts {
            // Before anything else that the new homes of rooms get from here.
            router.assert_all(&former);
        }
        // What others serve or served they change.
        let was_here = |account: &str| former.home(account).is_none_or(|home| home == router.node);
        let is_here = |account: &str| router.peers.elsewhere(account).is_none();
        router
            .nodes
            .retain(|account| !missed && was_here(account.as_str()) && is_here(account.as_str()));
        for &node in gone {
            router.peers.gone(node);
        }
        router.go_on();
        loop {
            let due = router.peers.due();
            if due.is_empty() {
                break;
            }
            for (from, kind, body) in due {
                self.from(from, true).take(kind, &body);
            }
        }
        if counts {
            nudge(router);
            replica::view_changed(router);
        }
    }
}

/// Asks again for what should have happened: homes that are to leave are asked for, and what waits for nobody is routed anew.
pub fn sweep(router: &Arc<Router>) {
    for (account, session) in router.peers.expired_moved() {
        moving::give_up(router, &account, &session);
    }
    nudge(router);
    router.peers.lose_patience();
    router.go_on();
}

/// The homes of accounts that have sessions here are at other nodes: these are told, and ask for them.
pub fn nudge(router: &Arc<Router>) {
    if router.peers.is_alone() {
        return;
    }
    let moves = |account: &BareJid| router.peers.elsewhere(account.as_str()).is_some();
    let misplaced = router.homes.of(moves);
    router.peers.set_misplaced(!misplaced.is_empty());
    for home in misplaced {
        if router.directory.lookup(home.account.as_str()).is_some() {
            router.peers.nudge(&home.account);
        }
    }
}

/// A frame that is being taken.
struct Taking<'a> {
    router: &'a Arc<Router>,
    stopping: &'a Stopping,
    from: NodeId,
    /// It was put off before.
    waited: bool,
}

impl Taking<'_> {
    fn take(&self, kind: Kind, body: &Bytes) {
        let (router, from) = (self.router, self.from);
        match kind {
            Kind::Bytes | Kind::Credit | Kind::Notice | Kind::End => {
                router.peers.piped(from, kind, body)
            }
            Kind::Look => look(router, body),
            Kind::Forget => forget(router, body),
            Kind::Spread => router.spread_here(body),
            Kind::Happened => events::happened(router, body),
            Kind::Came => events::came(router, body),
            Kind::Changed => {
                if let Some(address) = account(body) {
                    router.nodes.forget(&address);
                }
            }
            Kind::Groups => {
                let (router, body) = (router.clone(), body.clone());
                router.clone().spawn(async move {
                    let domain = String::from_utf8_lossy(&body);
                    groups::renew_or_doubt(&router, &domain).await;
                });
            }
            Kind::Replica => replica::taken(router, from, body),
            Kind::Replicated => replica::confirmed(router, from, body),
            Kind::Passage
            | Kind::Attach
            | Kind::Route
            | Kind::Done
            | Kind::Back
            | Kind::Yield
            | Kind::Yielded
            | Kind::Nudge
            | Kind::Act
            | Kind::Acted
            | Kind::Assert => {
                let Some((number, rest)) = frame::split(body) else {
                    return tracing::warn!(node = from.0, "a frame without a number");
                };
                match kind {
                    Kind::Passage => self.passage(number, &rest),
                    Kind::Attach => self.attach(number, &rest),
                    Kind::Route => self.route(number, &rest, body),
                    Kind::Yield => self.yield_to(number, &rest, body),
                    Kind::Nudge => self.nudge(number, &rest, body),
                    Kind::Act => self.act(number, &rest, body),
                    Kind::Assert => {
                        if !self.is_put_off(number, kind, body) {
                            router.asserted(from, number, &rest);
                        }
                    }
                    Kind::Acted => router.peers.acted(from, number, &rest),
                    Kind::Yielded => yielded(router, from, number, &rest),
                    Kind::Back => came_back(router, from, number, &rest),
                    _ => done(router, from, number, rest.first() == Some(&1)),
                }
            }
        }
    }

    /// Whether a frame waits for the view of this epoch, which this node may not know yet.
    fn is_put_off(&self, epoch: u64, kind: Kind, body: &Bytes) -> bool {
        let peers = &self.router.peers;
        peers.put_off(epoch, (self.from, kind, body), self.waited) == Some(true)
    }

    /// The epoch that matters for an account: none if it is served here anyway.
    fn epoch_for(&self, account: &Jid, epoch: u64) -> u64 {
        match self.router.elsewhere(account) {
            Some(_) => epoch,
            None => 0,
        }
    }

    fn passage(&self, number: u64, rest: &[u8]) {
        // Dropped, it tells the other end that there is nobody. What the client says comes right behind.
        let pipe = self.router.peers.accept(self.from, number);
        match minicbor::decode::<Passage>(rest) {
            Ok(passage) => {
                let (router, stopping) = (self.router.clone(), self.stopping.clone());
                let task = passage::receive(router, stopping, passage, pipe);
                self.router.spawn(Box::pin(task));
            }
            Err(error) => {
                tracing::warn!(node = self.from.0, %error, "a client that cannot be taken over");
            }
        }
    }

    fn attach(&self, number: u64, rest: &[u8]) {
        let pipe = self.router.peers.accept(self.from, number);
        match minicbor::decode::<Attach>(rest) {
            Ok(attach) => {
                let task = front::receive(self.router.clone(), attach, pipe);
                self.router.spawn(Box::pin(task));
            }
            Err(error) => {
                tracing::warn!(node = self.from.0, %error, "a client that cannot be gone on with");
            }
        }
    }

    fn route(&self, number: u64, rest: &Bytes, body: &Bytes) {
        let router = self.router;
        let asker = Asker {
            peers: router.peers.clone(),
            node: self.from,
            number,
        };
        let parsed = frame::routed(rest).map(|routed| {
            let stanza = Stanza::parse(routed.stanza.clone());
            (routed, stanza)
        });
        let Some((routed, Ok(stanza))) = parsed else {
            tracing::warn!(node = self.from.0, "a stanza that is none");
            return asker.answer(false);
        };
        let is_copied = stanza.kind() == StanzaKind::Message && !routed.sent;
        let parcel = Parcel {
            copy: is_copied.then(|| CopyTo::Asker(asker.clone())),
            doubt: routed.doubt,
            sent: routed.sent,
            hops: routed.hops + 1,
            ..Parcel::new(stanza, Some(Origin::Node(asker.clone())))
        };
        let account = parcel.address();
        let epoch = account.map_or(0, |account| self.epoch_for(account, routed.epoch));
        if self.is_put_off(epoch, Kind::Route, body) {
            return;
        }
        // Its home may have moved on while the stanza was on its way.
        if router.deliver(parcel) == Progress::Done {
            asker.answer(false);
        }
    }

    /// The home of an account is at another node now.
    fn yield_to(&self, number: u64, rest: &Bytes, body: &Bytes) {
        let Some((epoch, name)) = frame::split(rest) else {
            return;
        };
        if self.is_put_off(epoch, Kind::Yield, body) {
            return;
        }
        let (router, to) = (self.router.clone(), self.from);
        let Some(account) = account(&name) else {
            return;
        };
        // This node knows a later view, which the other is about to learn of.
        if router.peers.elsewhere(account.as_str()) != Some(to) {
            return router.peers.give_up(to, number, &account, Piece::Refused);
        }
        router.clone().spawn(Box::pin(async move {
            leave(&router, to, number, &account).await
        }));
    }

    /// Something is to be done to an account that is served here.
    fn act(&self, number: u64, rest: &[u8], body: &Bytes) {
        let (router, from) = (self.router.clone(), self.from);
        let question = minicbor::decode::<Question>(rest).ok();
        if let Some(question) = &question
            && let Some(outcome) = acting::act_on_node(&router, &question.act)
        {
            return router.peers.answer_act(from, number, &outcome);
        }
        let Some((question, account)) = question.and_then(|it| {
            BareJid::parse(&it.account)
                .ok()
                .map(|account| (it, account))
        }) else {
            tracing::warn!(node = from.0, "something to be done that is none");
            return router.peers.answer_act(from, number, &Outcome::Refused);
        };
        let epoch = self.epoch_for(account.as_jid(), question.epoch);
        if self.is_put_off(epoch, Kind::Act, body) {
            return;
        }
        router.clone().spawn(async move {
            let outcome = acting::act(&router, &account, question.act).await;
            router.peers.answer_act(from, number, &outcome);
        });
    }

    /// Sessions are to come here: they are asked for when their home is loaded.
    fn nudge(&self, epoch: u64, name: &Bytes, body: &Bytes) {
        let Some(account) = account(name) else { return };
        let epoch = self.epoch_for(account.as_jid(), epoch);
        if self.is_put_off(epoch, Kind::Nudge, body) {
            return;
        }
        let (router, from) = (self.router.clone(), self.from);
        if router.peers.elsewhere(account.as_str()).is_none() {
            router
                .clone()
                .spawn(async move { fetch(&router, from, &account).await });
        }
    }
}

/// Fetches what another node has of an account that is served here.
async fn fetch(router: &Arc<Router>, from: NodeId, account: &BareJid) {
    let home = router.homes.get(router, account);
    // Its load asks whom it knows of; what came while it was loaded, or from where it was longer ago, is asked for then.
    if home.exists().await.is_ok()
        && let Some(answer) = router.peers.ask_to_yield(from, account)
    {
        let _ = answer.await;
        home.adopt_late(router);
    }
}

/// Hands an account over, with its sessions, and is no longer its home.
async fn leave(router: &Arc<Router>, to: NodeId, number: u64, account: &BareJid) {
    let began = Instant::now();
    let mut giving = replica::Giving::new(router, to, number, account);
    if let Some(home) = router.homes.loaded(account.as_str()) {
        // While it loads nothing can be taken from it.
        let _ = home.exists().await;
        // Asked again, its sessions are on their way.
        if home.set_leaving() {
            moving::take_away(router, &home, |leaving| giving.give(leaving)).await;
        }
        let sessions = began.elapsed();
        if !home.leave(router).await {
            tracing::warn!(%account, "handed over before all was written");
        }
        let (sessions_ms, all_ms) = (sessions.as_millis(), began.elapsed().as_millis());
        let sessions = giving.given();
        tracing::debug!(%account, node = to.0, sessions, sessions_ms, all_ms, "an account was handed over");
        router.homes.drop_gone(&home);
        router.rosters.forget(&home.account);
        router.nodes.forget(&home.account);
        router.peers.nodes_changed(&home.account);
    }
    // What came here for a home that never was.
    let came = router.peers.take_moved(account);
    let mut givers = Vec::new();
    for came in came {
        giving.give(came.session.into());
        givers.extend(came.giver);
    }
    router.replicas.thank(router, givers);
    for session in replica::give_up(router, to, account).await {
        giving.give(session.into());
    }
    router.peers.give_up(to, number, account, Piece::Done);
    if router.peers.elsewhere(account.as_str()) != Some(to) {
        replica::load_left(router, account);
    }
}

/// A piece of an account that is handed over.
fn yielded(router: &Arc<Router>, from: NodeId, number: u64, rest: &Bytes) {
    // Nobody waits for it any more: its home is here, or will be.
    if let Some(account) = router.peers.yielded(from, number, rest)
        && let Some(home) = router.homes.loaded(account.as_str())
    {
        home.adopt_late(router);
    }
}

fn done(router: &Arc<Router>, from: NodeId, number: u64, copy: bool) {
    if let Some(parcel) = router.peers.answered(from, number) {
        home::delivered(router, parcel, copy);
    }
    router.go_on();
}

/// Another node does not serve the account of what it was asked.
fn came_back(router: &Arc<Router>, from: NodeId, number: u64, rest: &Bytes) {
    match frame::came_back(rest) {
        Some((epoch, since_ms)) => router.peers.came_back(from, number, epoch, since_ms),
        None => tracing::warn!(node = from.0, "a stanza that comes back with no reason"),
    }
    router.go_on();
}

/// Somebody has just come, and looks who of its contacts is there.
fn look(router: &Arc<Router>, body: &Bytes) {
    let parsed = std::str::from_utf8(body)
        .ok()
        .and_then(|text| text.split_once('\n'))
        .and_then(|(from, contact)| Some((Jid::parse(from).ok()?, Jid::parse(contact).ok()?)));
    let Some((from, contact)) = parsed else {
        return;
    };
    let router = router.clone();
    router.clone().spawn(async move {
        if router.peers.is_settling() {
            // Its sessions may be on their way.
            let _ = router.homes.get(&router, &contact.to_bare()).exists().await;
        }
        match probe::look(&router, &from, &contact).await {
            Ok(presences) => {
                for presence in presences {
                    let _ = router.route(presence, None);
                }
            }
            Err(error) => tracing::debug!(%contact, %error, "probe not answered"),
        }
    });
}

fn forget(router: &Arc<Router>, body: &Bytes) {
    // Here alone: other nodes are told by who knows.
    if let Some(account) = account(body) {
        router.rosters.forget(&account);
        router.nodes.forget(&account);
        router.homes.forget(router, account.as_str());
        router.groups.account_changed(&account);
    }
}

fn account(body: &[u8]) -> Option<BareJid> {
    BareJid::parse(std::str::from_utf8(body).ok()?).ok()
}
