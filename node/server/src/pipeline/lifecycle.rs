//! What follows when a session becomes available, changes its presence, or goes (RFC 6121 §4.2 to §4.6).

use std::sync::Arc;

use cluster::directory::Entry;
use storage::repository::Subscription;
use xmpp::{FullJid, Jid, Stanza, StanzaError, StanzaErrorCondition as Condition, ns};

use super::{archive_rule::Class, delivery::PresenceType, inbound};
use crate::{
    home::Home,
    modules::blocking::{self, Passing},
    routing::{Delivery, Letter, Router, SessionHandle},
};

/// The priority a presence states (RFC 6121 §4.7.2.3).
///
/// # Errors
/// `bad-request`: it is no number from -128 to 127.
pub fn priority(presence: &Stanza) -> Result<i8, StanzaError> {
    match presence.child("priority", ns::CLIENT) {
        None => Ok(0),
        Some(node) => node
            .text()
            .trim()
            .parse()
            .map_err(|_| StanzaError::new(Condition::BadRequest, "priority is a number from -128 to 127")),
    }
}

/// A session says it is available, for the first time or again.
///
/// # Errors
/// `bad-request` for a priority that is none; the store did not answer.
pub async fn available(
    router: &Arc<Router>, home: &Arc<Home>, handle: &Arc<SessionHandle>, presence: &Stanza,
) -> Result<(), StanzaError> {
    let account = &home.account;
    let priority = priority(presence)?;
    let before = entry(router, handle).and_then(|entry| entry.priority);
    home.exists(router).await?;
    // Before anything is said: a presence that is refused is as if it had not been.
    let roster = router.rosters.load(account).await?;
    home.set_presence(handle.session.number, Some(presence.clone()));
    if !router.set_priority(handle, Some(priority)) {
        // The session ended while its roster was read.
        home.set_presence(handle.session.number, None);
        return Ok(());
    }
    let (lists, active) = (home.privacy(), router.active_lists.get(handle.session));
    let may_see = |contact: &Jid| {
        !lists.as_ref().is_some_and(|lists| {
            blocking::denies_for(lists, active.as_deref(), Passing::PresenceOut, account, contact, Some(&roster))
        })
    };
    // §4.2.2, §4.4.2: to contacts with a subscription, and to one's own available resources, oneself included.
    for item in &roster.items {
        if matches!(item.subscription, Subscription::From | Subscription::Both) && may_see(item.jid.as_jid()) {
            broadcast(router, presence, item.jid.as_jid(), PresenceType::Available);
        }
    }
    broadcast(router, presence, account.as_jid(), PresenceType::Available);
    if before.is_none() {
        // §4.3: what the others have to say.
        for (number, other) in home.presences() {
            if number != handle.session.number {
                let bytes = other.readdressed(None, Some(handle.jid.as_jid())).raw().clone();
                handle.mailbox.post(Letter::Stanza(Delivery { bytes, number: 0, class: Class::default() }));
            }
        }
        for item in &roster.items {
            if matches!(item.subscription, Subscription::To | Subscription::Both) {
                probe(router, item.jid.as_jid(), handle).await;
            }
            // §3.1.3: until it is answered, a request is shown at each initial presence.
            if let Some(request) = &item.pending_in {
                let delivery = Delivery { bytes: request.clone(), number: 0, class: Class::default() };
                handle.mailbox.post(Letter::Stanza(delivery));
            }
        }
    }
    if priority >= 0 && before.is_none_or(|before| before < 0) {
        home.drain(handle);
    }
    Ok(())
}

/// A session says it is unavailable, or ends. `presence` carries its full address; `directed` are those who were told
/// directly that it is there (§4.6.3).
pub async fn unavailable(
    router: &Arc<Router>, home: &Arc<Home>, handle: &Arc<SessionHandle>, presence: &Stanza, directed: &[Jid],
) -> Result<(), StanzaError> {
    let account = &home.account;
    router.set_priority(handle, None);
    let was_available = home.set_presence(handle.session.number, None);
    let told = |roster: &storage::repository::Roster, jid: &Jid| {
        was_available
            && crate::modules::roster::rosters::item(roster, jid.bare_str())
                .is_some_and(|i| matches!(i.subscription, Subscription::From | Subscription::Both))
    };
    let roster = router.rosters.load(account).await;
    if was_available {
        if let Ok(roster) = &roster {
            let lists = home.privacy();
            for item in &roster.items {
                let denied = || {
                    lists
                        .as_ref()
                        .is_some_and(|lists| blocking::denies(lists, Passing::PresenceOut, account, item.jid.as_jid(), Some(roster)))
                };
                if matches!(item.subscription, Subscription::From | Subscription::Both) && !denied() {
                    broadcast(router, presence, item.jid.as_jid(), PresenceType::Unavailable);
                }
            }
        }
        broadcast(router, presence, account.as_jid(), PresenceType::Unavailable);
        // §4.5.2: the session that went away hears it as well while it is connected; it has no priority any more.
    }
    for jid in directed {
        if !roster.as_ref().is_ok_and(|roster| told(roster, jid)) {
            let _ = router.route(presence.readdressed(None, Some(jid)), None);
        }
    }
    if was_available && router.entries(account.as_str()).iter().all(|e| e.priority.is_none()) {
        let status = presence.child("status", ns::CLIENT).map(|s| s.text().into_owned());
        home.last_seen(router, status);
    }
    roster.map(drop)
}

fn entry(router: &Router, handle: &SessionHandle) -> Option<Entry> {
    router.entries(handle.jid.bare_str()).iter().find(|e| e.session == handle.session).cloned()
}

/// A presence to one contact: those nobody of whom is here cost one look-up.
fn broadcast(router: &Arc<Router>, presence: &Stanza, to: &Jid, kind: PresenceType) {
    if router.serves(to.domain()) && to.local().is_some() {
        if router.directory.lookup(to.bare_str()).is_some() {
            router.metrics.presences.inc();
            inbound::notify(router, &presence.readdressed(None, Some(to)), to, kind);
        }
        return;
    }
    let _ = router.route(presence.readdressed(None, Some(to)), None);
}

async fn probe(router: &Arc<Router>, contact: &Jid, handle: &SessionHandle) {
    if router.serves(contact.domain()) && contact.local().is_some() {
        if let Err(error) = inbound::probe(router, &contact.to_bare(), handle.jid.as_jid(), false).await {
            tracing::debug!(%contact, %error, "probe not answered");
        }
        return;
    }
    let _ = router.route(probe_stanza(&handle.jid, contact), None);
}

fn probe_stanza(from: &FullJid, to: &Jid) -> Stanza {
    let element = xmpp::Element::new("presence", ns::CLIENT)
        .with_attr("from", from.as_str())
        .with_attr("to", to.as_str())
        .with_attr("type", "probe");
    Stanza::from_element(&element)
}
