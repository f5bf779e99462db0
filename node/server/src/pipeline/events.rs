//! Events: what is published reaches the clients that are interested, and who comes is told what is there.
//!
//! Source: XEP-0163 §4, XEP-0060 §9.2, XEP-0115 §6.2.
//! Why here: which client wants what is known where its session is, so the publisher's home names its contacts and theirs look.
//! An event is written once; each client gets it under its own address. It is told at most once, as presence is.
//! Stored: nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use cluster::NodeId;
use xmpp::{BareJid, Jid, Stanza, ns};

use crate::{
    home::Home,
    module::Notice,
    modules::{
        blocking::Passing,
        presence_rules,
        pubsub::{Interest, Interests, interest::Told},
    },
    poll_once,
    routing::{
        Router, SessionHandle, addressed,
        peers::events::{self, Came, Happened},
    },
};

/// Tells the clients of contacts, wherever they are served.
pub fn notify(router: &Arc<Router>, notice: &Notice) {
    let Notice {
        node,
        contacts,
        stanza,
    } = notice;
    let mut away: BTreeMap<NodeId, Vec<&BareJid>> = BTreeMap::new();
    for contact in contacts
        .iter()
        .filter(|contact| router.serves(contact.domain()))
    {
        match router.elsewhere(contact.as_jid()) {
            Some(peer) => away.entry(peer).or_default().push(contact),
            None => notify_here(router, node, contact, stanza),
        }
    }
    for (peer, contacts) in away {
        for contacts in contacts.chunks(events::MAX_CONTACTS) {
            router
                .peers
                .happened(peer, &Happened::new(node, contacts, stanza));
        }
    }
}

/// Tells the clients of a contact that is served here.
pub fn notify_here(router: &Arc<Router>, node: &str, contact: &BareJid, stanza: &Stanza) {
    let Some(home) = router.homes.loaded(contact.as_str()) else {
        return;
    };
    let Some(entries) = router.directory.lookup(contact.as_str()) else {
        return;
    };
    let lists = home.privacy().unwrap_or_default();
    let judge = router.judge(contact, &lists);
    for entry in entries.iter().filter(|entry| entry.priority.is_some()) {
        let Some(handle) = router.sessions.get(entry.session.number) else {
            continue;
        };
        let wants = interest(router, &home, &handle).is_some_and(|interest| interest.has(node));
        let denied = || {
            let from = stanza
                .from()
                .filter(|from| from.bare_str() != contact.as_str());
            from.is_some_and(|from| judge.denies(entry.session, Passing::Message, from))
        };
        if wants && !denied() {
            let told = addressed(stanza, &handle.jid);
            handle.mailbox.post(told.into());
        }
    }
}

/// What a session is interested in, by its last presence. Where that has to be asked for it is, and nothing is known yet.
fn interest(router: &Router, home: &Home, handle: &SessionHandle) -> Option<Arc<Interest>> {
    let number = handle.session.number;
    let presence = home.presence_bytes(number)?;
    if let Some(interest) = router.interests.of_session(number, &presence) {
        return Some(interest);
    }
    match told(router, handle, &Stanza::parse(presence).ok()?) {
        Told::Interest(interest) => Some(interest),
        Told::Ask(_) | Told::Nothing => None,
    }
}

/// What a presence tells of interest; asks the client if it has to be asked.
fn told(router: &Router, handle: &SessionHandle, presence: &Stanza) -> Told {
    let (client, account) = (handle.jid.as_jid(), handle.jid.bare_str());
    let number = handle.session.number;
    let told = router.interests.told(number, client, account, presence);
    if let Told::Ask(question) = &told {
        let bytes = Bytes::from(question.to_bytes(ns::CLIENT));
        handle.mailbox.post(bytes.into());
    }
    told
}

/// A session says that it is available: what it is interested in from now on and was not before it is told.
pub fn available(router: &Arc<Router>, handle: &Arc<SessionHandle>, presence: &Stanza) {
    let before = router.interests.last(handle.session.number);
    if let Told::Interest(interest) = told(router, handle, presence) {
        let is_new = |name: &&str| before.as_ref().is_none_or(|before| !before.has(name));
        let new = Interest::new(interest.names().filter(is_new));
        if !new.is_empty() {
            let (own, handle) = (router.clone(), handle.clone());
            let task = async move { tell_last(&own, &handle, &new).await };
            // At once if nothing has to be read: before what the client publishes next.
            let _ = poll_once::now_or_run(router, task, || {});
        }
    }
}

/// A client answers something that the server asked.
pub fn answered(router: &Arc<Router>, home: &Home, handle: &Arc<SessionHandle>, answer: &Stanza) {
    if !answer.id().is_some_and(|id| Interests::may_be_asked(&id)) {
        return;
    }
    let number = handle.session.number;
    let known = router
        .interests
        .answered(number, handle.jid.as_jid(), answer);
    let presence = home.presence_bytes(number).filter(|_| known);
    if let Some(Ok(presence)) = presence.map(Stanza::parse) {
        available(router, handle, &presence);
    }
}

/// What its account and its contacts published last, for a client that has just come.
async fn tell_last(router: &Arc<Router>, handle: &SessionHandle, interest: &Interest) {
    let account = handle.jid.to_bare();
    let roster = match router.rosters.load(&account).await {
        Ok(roster) => roster,
        Err(error) => return tracing::debug!(%account, %error, "last items are not told"),
    };
    let contacts = presence_rules::subscriptions(&roster.items);
    let mut away: BTreeMap<NodeId, Vec<&BareJid>> = BTreeMap::new();
    for contact in std::iter::once(&account).chain(contacts) {
        if !router.serves(contact.domain()) {
            continue;
        }
        match router.elsewhere(contact.as_jid()) {
            Some(peer) => away.entry(peer).or_default().push(contact),
            None => {
                for message in last_of(router, contact, handle.jid.as_jid(), interest).await {
                    if !handle.mailbox.room().await {
                        return;
                    }
                    let _ = router.route(message, None);
                }
            }
        }
    }
    for (peer, contacts) in away {
        for contacts in contacts.chunks(events::MAX_CONTACTS) {
            let came = Came::new(handle.jid.as_jid(), contacts, interest.names());
            router.peers.came(peer, &came);
        }
    }
}

/// What an account that is served here published last, for a client that has just come somewhere.
pub async fn last_of(
    router: &Arc<Router>,
    contact: &BareJid,
    to: &Jid,
    interest: &Interest,
) -> Vec<Stanza> {
    let context = router.context();
    match router.last_items.of(contact, to, interest, &context).await {
        Ok(messages) if messages.is_empty() || !is_blocked(router, contact, to).await => messages,
        Ok(_) => Vec::new(),
        Err(error) => {
            tracing::debug!(%contact, %error, "last items are not told");
            Vec::new()
        }
    }
}

/// XEP-0163 §4.3.3: whom an account has blocked it tells nothing. What cannot be looked up blocks.
async fn is_blocked(router: &Arc<Router>, account: &BareJid, other: &Jid) -> bool {
    let others = BTreeSet::from([other.to_bare()]);
    !kept_out(router, account, others).await.is_empty()
}

/// The same of many.
pub async fn kept_out(
    router: &Arc<Router>,
    account: &BareJid,
    mut others: BTreeSet<BareJid>,
) -> BTreeSet<BareJid> {
    others.remove(account);
    let loaded = router.homes.loaded(account.as_str());
    let lists = match loaded.and_then(|home| home.privacy()) {
        Some(lists) => lists,
        None => match router.stores.privacy.load(account).await {
            Ok(lists) => Arc::new(lists),
            Err(_) => return others,
        },
    };
    let entries = router.entries(account.as_str());
    let judge = router.judge(account, &lists);
    others.retain(|other| {
        let sessions = entries.iter().map(|entry| entry.session);
        judge.denies_all(sessions, Passing::Other, other.as_jid())
    });
    others
}

/// Another node tells what happened to contacts that are served here.
pub fn happened(router: &Arc<Router>, body: &[u8]) {
    let Some((node, contacts, stanza)) = events::read_happened(body) else {
        return tracing::warn!("an event that is none");
    };
    for contact in contacts {
        if router.elsewhere(contact.as_jid()).is_none() {
            notify_here(router, &node, &contact, &stanza);
        }
    }
}

/// A client has come to another node, and is interested in what contacts published that are served here.
pub fn came(router: &Arc<Router>, body: &[u8]) {
    let Some((client, contacts, interest)) = events::read_came(body) else {
        return tracing::warn!("one who came that is none");
    };
    let interest = Interest::new(interest.iter().map(String::as_str));
    let router = router.clone();
    router.clone().spawn(async move {
        for contact in contacts {
            if router.elsewhere(contact.as_jid()).is_none() {
                for message in last_of(&router, &contact, &client, &interest).await {
                    let _ = router.route(message, None);
                }
            }
        }
    });
}
