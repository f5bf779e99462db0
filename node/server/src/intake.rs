//! Intake: what other nodes send to this one.
//!
//! TODO(#4): before links carry frames: a session that begins where its account no longer is (`bind` and `resume` ask no view);
//! homes loaded at the wrong node while the view changes; a yield that is late, longer than a frame, or not asked for again;
//! answers that a full way drops; presence and IQs that come while a home moves; the epoch in `Route` and `Yield`.
//!
//! Why here: frames are the business of routing, sessions and homes, which do not know each other's insides.
//! Stored: nothing.

use std::sync::Arc;

use bytes::Bytes;
use cluster::NodeId;
use xmpp::{BareJid, Jid, Kind as StanzaKind, Stanza};

use crate::{
    c2s::{
        moving,
        passage::{self, Passage},
    },
    home::{self, CopyTo, Parcel},
    pipeline::probe,
    routing::{
        Asker, Origin, Progress, Router,
        peers::{Kind, frame},
    },
    shutdown::Stopping,
};

/// Takes a frame. Frames of a node come in order, and nothing here waits.
pub fn frame(router: &Arc<Router>, stopping: &Stopping, from: NodeId, kind: Kind, body: &Bytes) {
    match kind {
        Kind::Bytes | Kind::Credit | Kind::End => router.peers.piped(from, kind, body),
        Kind::Look => look(router, body),
        Kind::Forget => forget(router, body),
        Kind::Nudge => nudge(router, body),
        Kind::Passage | Kind::Route | Kind::Done | Kind::Yield | Kind::Yielded => {
            let Some((number, rest)) = frame::split(body) else {
                return tracing::warn!(node = from.0, "a frame without a number");
            };
            match kind {
                Kind::Passage => passage(router, stopping, from, number, &rest),
                Kind::Route => route(router, from, number, &rest),
                Kind::Yield => yield_to(router, from, number, &rest),
                Kind::Yielded => router.peers.yielded(from, number, rest),
                _ => done(router, from, number, rest.first() == Some(&1)),
            }
        }
    }
}

/// A node is gone: messages that it was asked to deliver are given to whoever serves their accounts now, and so is what
/// may be done twice. The others are answered as what is lost on the way is.
pub fn gone(router: &Arc<Router>, node: NodeId) {
    for parcel in router.peers.gone(node) {
        let origin = parcel.origin.clone();
        if again(router, parcel) == Progress::Done
            && let Some(origin) = origin
        {
            origin.done();
        }
    }
}

fn again(router: &Arc<Router>, parcel: Parcel) -> Progress {
    let kind = parcel.stanza.type_attr();
    let is_kept = parcel.class.archived() || parcel.class.stored_offline();
    let repeats = match parcel.stanza.kind() {
        StanzaKind::Message => is_kept,
        StanzaKind::Presence => kind
            .as_deref()
            .is_some_and(|kind| kind.contains("subscribe")),
        StanzaKind::Iq => false,
    };
    if !repeats {
        let text = "the node that served the account is gone";
        router.refuse(&parcel.stanza, &home::wait(text));
        return Progress::Done;
    }
    match parcel.stanza.to().and_then(|to| router.elsewhere(to)) {
        Some(node) => router.ask(node, parcel),
        None => router.route_here(parcel),
    }
}

fn passage(router: &Arc<Router>, stopping: &Stopping, from: NodeId, number: u64, rest: &[u8]) {
    // Dropped, it tells the other end that there is nobody.
    let pipe = router.peers.accept(from, number);
    match minicbor::decode::<Passage>(rest) {
        Ok(passage) => {
            let task = passage::receive(router.clone(), stopping.clone(), passage, pipe);
            router.spawn(Box::pin(task));
        }
        Err(error) => tracing::warn!(node = from.0, %error, "a client that cannot be taken over"),
    }
}

fn route(router: &Arc<Router>, from: NodeId, number: u64, rest: &Bytes) {
    let asker = Asker {
        peers: router.peers.clone(),
        node: from,
        number,
    };
    let parsed = frame::routed(rest).map(|(doubt, bytes)| (doubt, Stanza::parse(bytes)));
    let Some((doubt, Ok(stanza))) = parsed else {
        tracing::warn!(node = from.0, "a stanza that is none");
        return asker.answer(false);
    };
    let is_message = stanza.kind() == StanzaKind::Message;
    let parcel = Parcel {
        copy: is_message.then(|| CopyTo::Asker(asker.clone())),
        doubt,
        ..Parcel::new(stanza, Some(Origin::Node(asker.clone())))
    };
    // Its home may have moved on while the stanza was on its way.
    let progress = match parcel.stanza.to().and_then(|to| router.elsewhere(to)) {
        Some(node) => router.ask(node, parcel),
        None => router.route_here(parcel),
    };
    if progress == Progress::Done {
        asker.answer(false);
    }
}

fn done(router: &Arc<Router>, from: NodeId, number: u64, copy: bool) {
    if let Some(parcel) = router.peers.answered(from, number) {
        home::delivered(router, parcel, copy);
    }
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
        router.homes.forget(router, account.as_str());
    }
}

fn account(body: &[u8]) -> Option<BareJid> {
    BareJid::parse(std::str::from_utf8(body).ok()?).ok()
}

/// Sessions are to come here: they come when their home is loaded.
fn nudge(router: &Arc<Router>, body: &Bytes) {
    if let Some(account) = account(body)
        && router.peers.elsewhere(account.as_str()).is_none()
    {
        router.homes.get(router, &account);
    }
}

/// The home of an account is at another node now.
fn yield_to(router: &Arc<Router>, to: NodeId, number: u64, body: &Bytes) {
    let account = account(body);
    let router = router.clone();
    router.clone().spawn(Box::pin(async move {
        let home = account.and_then(|account| router.homes.loaded(account.as_str()));
        let mut sessions = Vec::new();
        if let Some(home) = home {
            // While it loads nothing can be taken from it.
            let _ = home.exists().await;
            home.set_leaving();
            sessions = moving::take_away(&router, &home).await;
            if !home.leave(&router).await {
                tracing::warn!(account = %home.account, "handed over before all was written");
            }
            router.homes.drop_gone(&home);
            router.rosters.forget(&home.account);
        }
        router.peers.give_up(to, number, sessions);
    }));
}

/// The view has changed: the new homes of accounts that have sessions here are told, and ask for them.
pub fn view_changed(router: &Arc<Router>) {
    let moves = |account: &BareJid| router.peers.elsewhere(account.as_str()).is_some();
    for home in router.homes.of(moves) {
        if router.directory.lookup(home.account.as_str()).is_some() {
            router.peers.nudge(&home.account);
        }
    }
}
