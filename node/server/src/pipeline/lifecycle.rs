//! What follows when a session becomes available, changes its presence, or goes (RFC 6121 §4.2 to §4.6).

use std::sync::Arc;

use cluster::directory::{Entry, SessionRef};
use storage::repository::{Roster, Subscription};
use xmpp::{FullJid, Jid, Stanza, StanzaError, StanzaErrorCondition as Condition, ns};

use super::{delivery::PresenceType, inbound};
use crate::{
    home::Home,
    modules::{
        blocking::{self, Passing},
        vcard::Photo,
    },
    routing::{Router, SessionHandle},
};

/// The priority a presence states (RFC 6121 §4.7.2.3).
///
/// # Errors
/// `bad-request`: it is no number from -128 to 127.
pub fn priority(presence: &Stanza) -> Result<i8, StanzaError> {
    match presence.child("priority", ns::CLIENT) {
        None => Ok(0),
        Some(node) => node.text().trim().parse().map_err(|_| {
            StanzaError::new(
                Condition::BadRequest,
                "priority is a number from -128 to 127",
            )
        }),
    }
}

/// A session says it is available, for the first time or again.
///
/// # Errors
/// `bad-request` for a priority that is none; the store did not answer.
pub async fn available(
    router: &Arc<Router>,
    home: &Arc<Home>,
    handle: &Arc<SessionHandle>,
    presence: &Stanza,
) -> Result<(), StanzaError> {
    let account = &home.account;
    let priority = priority(presence)?;
    let before = entry(router, handle).and_then(|entry| entry.priority);
    home.exists(router).await?;
    // Before anything is said: a presence that is refused is as if it had not been.
    let roster = router.rosters.load(account).await?;
    let stamped = stamped(router, home, presence).await;
    let presence = stamped.as_ref().unwrap_or(presence);
    home.set_presence(handle.session.number, Some(presence.clone()));
    if !router.set_priority(handle, Some(priority)) {
        // The session ended while its roster was read.
        home.set_presence(handle.session.number, None);
        return Ok(());
    }
    tell_all(
        router,
        home,
        handle.session,
        &roster,
        presence,
        PresenceType::Available,
    );
    if before.is_none() {
        // §4.3: what the others have to say.
        for (number, other) in home.presences() {
            if number != handle.session.number {
                let bytes = other
                    .readdressed(None, Some(handle.jid.as_jid()))
                    .raw()
                    .clone();
                handle.mailbox.post(bytes.into());
            }
        }
        for item in &roster.items {
            if matches!(item.subscription, Subscription::To | Subscription::Both) {
                probe(router, item.jid.as_jid(), handle).await;
            }
            // §3.1.3: until it is answered, a request is shown at each initial presence.
            if let Some(request) = &item.pending_in {
                handle.mailbox.post(request.clone().into());
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
    router: &Arc<Router>,
    home: &Arc<Home>,
    handle: &Arc<SessionHandle>,
    presence: &Stanza,
    directed: &[Jid],
) -> Result<(), StanzaError> {
    let account = &home.account;
    router.set_priority(handle, None);
    let was_available = home.set_presence(handle.session.number, None);
    let told = |roster: &Roster, jid: &Jid| {
        was_available
            && crate::modules::roster::rosters::item(roster, jid.bare_str())
                .is_some_and(|i| matches!(i.subscription, Subscription::From | Subscription::Both))
    };
    let roster = router.rosters.load(account).await;
    if was_available {
        match &roster {
            Ok(roster) => tell_all(
                router,
                home,
                handle.session,
                roster,
                presence,
                PresenceType::Unavailable,
            ),
            Err(_) => broadcast(
                router,
                presence,
                account.as_jid(),
                PresenceType::Unavailable,
            ),
        }
        // §4.5.2: the session that went away hears it as well while it is connected; it has no priority any more.
    }
    for jid in directed {
        if !roster.as_ref().is_ok_and(|roster| told(roster, jid)) {
            let _ = router.route(presence.readdressed(None, Some(jid)), None);
        }
    }
    if was_available
        && router
            .entries(account.as_str())
            .iter()
            .all(|e| e.priority.is_none())
    {
        let status = presence
            .child("status", ns::CLIENT)
            .map(|s| s.text().into_owned());
        home.last_seen(router, status);
    }
    roster.map(drop)
}

/// §4.2.2, §4.4.2, §4.5.2: to contacts with a subscription, and to one's own available resources, oneself included.
fn tell_all(
    router: &Arc<Router>,
    home: &Home,
    session: SessionRef,
    roster: &Roster,
    presence: &Stanza,
    kind: PresenceType,
) {
    let (account, lists, active) = (
        &home.account,
        home.privacy(),
        router.active_lists.get(session),
    );
    let denied = |contact: &Jid| {
        lists.as_ref().is_some_and(|lists| {
            blocking::denies_for(
                lists,
                active.as_deref(),
                Passing::PresenceOut,
                account,
                contact,
                Some(roster),
            )
        })
    };
    for item in &roster.items {
        if matches!(item.subscription, Subscription::From | Subscription::Both)
            && !denied(item.jid.as_jid())
        {
            broadcast(router, presence, item.jid.as_jid(), kind);
        }
    }
    broadcast(router, presence, account.as_jid(), kind);
}

/// An available presence with the hash of the account's photo (XEP-0153); `None`: it stays as it is. Presence does not
/// fail because a photo cannot be looked up.
async fn stamped(router: &Router, home: &Home, presence: &Stanza) -> Option<Stanza> {
    let photo = match home.photo() {
        Some(photo) => photo,
        None => match router.stores.vcards.photo(&home.account).await {
            Ok(photo) => home.set_photo(Photo::of(photo.as_ref())),
            Err(error) => {
                tracing::debug!(account = %home.account, %error, "photo not looked up");
                return None;
            }
        },
    };
    photo.stamp(presence)
}

/// The account's photo changed: its available sessions tell so.
pub async fn photo_changed(router: &Arc<Router>, home: &Arc<Home>) {
    let roster = match router.rosters.load(&home.account).await {
        Ok(roster) => roster,
        Err(error) => {
            tracing::debug!(account = %home.account, %error, "new photo not told");
            return;
        }
    };
    // Of two changes the second may be here first: both tell of the newest.
    let Some(photo) = home.photo() else { return };
    for (session, presence) in home.change_presences(|presence| photo.restamp(presence)) {
        let this = SessionRef {
            node: router.node,
            number: session,
        };
        tell_all(
            router,
            home,
            this,
            &roster,
            &presence,
            PresenceType::Available,
        );
        // It may have gone meanwhile; then what was just said must not be the last word.
        let gone = !home
            .presences()
            .iter()
            .any(|(number, _)| *number == session);
        if let Some(from) = presence.from().filter(|_| gone).and_then(Jid::to_full) {
            let gone = inbound::unavailable(&from, None);
            tell_all(
                router,
                home,
                this,
                &roster,
                &gone,
                PresenceType::Unavailable,
            );
        }
    }
}

fn entry(router: &Router, handle: &SessionHandle) -> Option<Entry> {
    router
        .entries(handle.jid.bare_str())
        .iter()
        .find(|e| e.session == handle.session)
        .cloned()
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
        if let Err(error) =
            inbound::probe(router, &contact.to_bare(), handle.jid.as_jid(), false).await
        {
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
