//! Sessions that a node left behind: their way to the new home, and to the next node that is to know them.

use std::{sync::Arc, time::Duration};

use cluster::NodeId;
use tokio::time::Instant;
use xmpp::BareJid;

use super::{
    following,
    line::Stream,
    snapshot::{given, tell_whole},
};
use crate::{
    c2s::{Parking, SessionCore, moving::Moved},
    home::Home,
    routing::{Order, Router, SessionHandle},
};

/// How long somebody who asks for the sessions of an account waits until this node sees that their home is gone, too.
const AGREEING: Duration = Duration::from_secs(3);
/// Homes that are loaded at once because another node died.
const LOADING: usize = 32;
/// Accounts whose sessions are told to another node before anything else is done.
const TELLING: usize = 64;
/// How long the next node knows a session whose home is not loaded.
const EARLY: Duration = Duration::from_secs(60);

/// The sessions of an account that are known here, for its new home. Their home may not be known to be gone yet. What the new
/// home itself has told is for who comes after it.
pub async fn give_up(router: &Router, to: NodeId, account: &BareJid) -> Vec<Vec<u8>> {
    const ROUND: Duration = Duration::from_millis(20);
    let until = Instant::now() + AGREEING;
    let (replicas, name) = (&router.replicas, account.as_str());
    let mut given = Vec::new();
    loop {
        given.extend(replicas.take(&router.peers, name, Some(to), router.now_ms()));
        let is_over = Instant::now() >= until
            // Whoever asked is not its home any more.
            || router.peers.elsewhere(name) != Some(to);
        if is_over || !replicas.store.lock().knows(name, to) {
            return given;
        }
        tokio::time::sleep(ROUND).await;
    }
}

/// The view has changed: sessions are told to another node where that is another now, and the homes of those that a node
/// left behind are loaded, so that they are there for their clients, or end.
pub fn view_changed(router: &Arc<Router>) {
    if !router.config.stream_management.replicas {
        return;
    }
    let left = |node| router.peers.has_left(node);
    let orphans = router
        .replicas
        .store
        .lock()
        .orphans(left, router.now_ms(), Instant::now());
    let told = router.clone();
    router.spawn(async move {
        let mut shard = 0;
        while let Some(handles) = told.sessions.shard_snapshot(shard) {
            for handle in handles.iter().filter(|it| it.sm_id.get().is_some()) {
                handle.mailbox.order(Order::Replicated);
            }
            shard += 1;
            tokio::task::yield_now().await;
        }
        told.parked.look_after_all(&told);
    });
    let router = router.clone();
    router.clone().spawn(async move {
        tell_next(&router, &orphans).await;
        load(&router, orphans).await;
    });
}

/// A session that was left behind and whose home, here, is not loaded: what the next node is told of it meanwhile.
pub(super) struct Early {
    account: Box<str>,
    session: Moved,
    pub(super) stream: Stream,
    /// Until when the home is waited for.
    pub(super) until: Instant,
}

/// Sessions that were left behind and are served here now are told to the next node at once: their homes wait for the store
/// before they can do so, and this node may die meanwhile. So are those that were told to another, which is no longer next.
async fn tell_next(router: &Arc<Router>, accounts: &[Box<str>]) {
    let replicas = &router.replicas;
    let is_next =
        |early: &Early| Some(early.stream.line.node) == router.peers.second(&early.account);
    let moved: Vec<_> = {
        let mut early = replicas.early.lock();
        early.extract_if(|_, it| !is_next(it)).collect()
    };
    for (_, early) in moved {
        tell_early(router, &early.account, early.session, Some(early.stream));
    }
    for accounts in accounts.chunks(TELLING) {
        for account in accounts {
            let left = replicas.store.lock().left_behind(account);
            for session in left {
                tell_early(router, account, session, None);
            }
        }
        tokio::task::yield_now().await;
    }
}

fn tell_early(router: &Arc<Router>, account: &str, session: Moved, former: Option<Stream>) {
    let replicas = &router.replicas;
    let second = router.peers.second(account);
    let Some(node) = second.filter(|node| !replicas.is_silent(*node)) else {
        return;
    };
    let stream = Stream::new(router, None, node, former);
    if tell_whole(account, &stream, session.clone()) {
        let id = session.sm_id.clone();
        let early = Early {
            account: account.into(),
            session,
            stream,
            until: Instant::now() + EARLY,
        };
        let before = replicas.early.lock().insert(id, early);
        drop(before);
    }
}

/// The node to which an account was given is not its home any more: who is now gets to know what it may not have taken in.
pub fn load_left(router: &Arc<Router>, account: &BareJid) {
    let (router, account) = (router.clone(), Box::from(account.as_str()));
    router
        .clone()
        .spawn(async move { load(&router, vec![account]).await });
}

async fn load(router: &Arc<Router>, accounts: Vec<Box<str>>) {
    for accounts in accounts.chunks(LOADING) {
        let mut homes = Vec::new();
        for account in accounts.iter().filter_map(|it| BareJid::parse(it).ok()) {
            match router.peers.elsewhere(account.as_str()) {
                Some(_) => router.peers.nudge(&account),
                None => homes.push(router.homes.get(router, &account)),
            }
        }
        for home in homes {
            // A home that cannot be loaded now is loaded by who comes.
            let _ = home.exists().await;
        }
    }
}

/// A session without connection of which another node does not know all.
type Outdated = (Arc<Home>, Arc<SessionHandle>);

fn outdated(core: &SessionCore) -> Option<Outdated> {
    following::is_outdated(core).then(|| (core.home.clone(), core.handle.clone()))
}

impl Parking {
    /// The sessions of an account that came for its home are to be known to another node at once.
    pub fn look_after(&self, router: &Arc<Router>, account: &BareJid) {
        if router.peers.generation() == 0 {
            return;
        }
        for entry in router.entries(account.as_str()).iter() {
            let handle = router.sessions.get(entry.session.number);
            let id = handle.and_then(|handle| handle.sm_id.get().cloned());
            let mut found = None;
            if let Some(id) = id {
                self.look_at(&id, |core| found = outdated(core));
            }
            self.tell_all(router, found);
        }
    }

    /// What has changed for sessions without connection is told to the nodes that are to know of them.
    pub fn look_after_all(&self, router: &Arc<Router>) {
        let mut found = Vec::new();
        self.each_parked(|core| found.extend(outdated(core)));
        self.tell_all(router, found);
    }

    /// A home takes sessions in while it is locked, so none is looked at while the parked ones are.
    fn tell_all(&self, router: &Arc<Router>, found: impl IntoIterator<Item = Outdated>) {
        for (home, handle) in found {
            // While its home loads it does not know all of it.
            if home.privacy().is_none() {
                continue;
            }
            home.save(router);
            if let Some(given) = given(&home, &handle, router)
                && let Some(id) = handle.sm_id.get()
            {
                self.look_at(id, |core| following::tell_parked(core, Some(given)));
            }
        }
    }

    /// Of sessions that came for a home, each once: as the home knew it that began to tell of it last. One that comes from
    /// its home itself comes first.
    pub fn newest(&self, sessions: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        if sessions.len() < 2 {
            return sessions;
        }
        let known = sessions.into_iter().filter_map(|bytes| {
            let session = minicbor::decode::<Moved>(&bytes).ok()?;
            Some((session.sm_id, session.began_ms, bytes))
        });
        let mut newest: Vec<(String, Option<u64>, Vec<u8>)> = Vec::new();
        for session in known {
            let before = newest.iter_mut().find(|(id, ..)| *id == session.0);
            // Without a time: it comes from its home.
            let rank = |began: Option<u64>| began.unwrap_or(u64::MAX);
            match before {
                Some(before) if rank(before.1) < rank(session.1) => *before = session,
                Some(_) => {}
                None => newest.push(session),
            }
        }
        newest.into_iter().map(|(.., bytes)| bytes).collect()
    }
}
