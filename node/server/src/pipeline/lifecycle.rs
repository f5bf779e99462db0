//! What follows when a session becomes available, changes its presence, or goes (RFC 6121 §4.2 to §4.6).

use std::sync::Arc;

use cluster::directory::{Entry, SessionRef};
use storage::repository::Roster;
use xmpp::{FullJid, Jid, Stanza, StanzaError, StanzaErrorCondition as Condition, ns};

use super::{delivery::PresenceType, events, inbound, probe};
use crate::{
    home::Home,
    modules::{
        blocking::Passing,
        presence_rules::{self, Directed},
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
    home.exists().await?;
    // Before anything is said: a presence that is refused is as if it had not been.
    let roster = router.rosters.load(account).await?;
    let stamped = stamped(router, home, presence).await;
    let presence = stamped.as_ref().unwrap_or(presence);
    if !router.set_priority(handle, Some(priority)) {
        // The session ended while its roster was read.
        return Ok(());
    }
    let number = handle.session.number;
    home.set_presence(number, Some(presence.clone()));
    let is_there = entry(router, handle).is_some();
    if !is_there {
        // It ended just now, and took no notice of what was only now written.
        home.set_presence(number, None);
    }
    let told = is_there.then(|| (number, presence.clone()));
    let farewell = inbound::unavailable(&handle.jid, None);
    tell(router, home, handle, &roster, told, &farewell);
    if is_there && before.is_none() {
        welcome(router, home, handle, &roster).await;
    }
    if is_there {
        events::available(router, handle, presence);
    }
    if presence_rules::may_take_messages(before, priority) {
        home.drain(handle);
    }
    Ok(())
}

/// What a session that has just come is told: what the others of its account say, then its contacts, and who asks to see
/// it. That may be much more than a mailbox holds: it comes as fast as the client takes it.
async fn welcome(router: &Arc<Router>, home: &Home, handle: &SessionHandle, roster: &Roster) {
    let lists = home.privacy().unwrap_or_default();
    let judge = router.judge(&home.account, &lists);
    for (number, other) in home.presences() {
        if number != handle.session.number && handle.mailbox.room().await {
            let stanza = other.readdressed(None, Some(handle.jid.as_jid()));
            handle.mailbox.post(stanza.raw().clone().into());
        }
    }
    for contact in presence_rules::subscriptions(&roster.items) {
        if !handle.mailbox.room().await {
            return;
        }
        // XEP-0016 §2.13: nothing goes to whom it denies everything.
        if !judge.denies(handle.session, Passing::Other, contact.as_jid()) {
            probe(router, contact.as_jid(), handle).await;
        }
    }
    // §3.1.3: until it is answered, a request is shown at each initial presence.
    for item in roster.items.iter() {
        if let Some(request) = &item.pending_in
            && !judge.denies(handle.session, Passing::Other, item.jid.as_jid())
            && handle.mailbox.room().await
        {
            handle.mailbox.post(request.clone().into());
        }
    }
}

/// A session says it is unavailable, or ends. `presence` carries its full address; `directed` are those who were told
/// directly that it is there (§4.6.3).
pub async fn unavailable(
    router: &Arc<Router>,
    home: &Arc<Home>,
    handle: &Arc<SessionHandle>,
    presence: &Stanza,
    mut directed: Directed,
) -> Result<(), StanzaError> {
    let account = &home.account;
    router.set_priority(handle, None);
    router.interests.forget(handle.session.number);
    let was_available = home.set_presence(handle.session.number, None);
    let roster = router.rosters.load(account).await;
    if was_available {
        match &roster {
            // A session that took over the address has said, or will say, what is so.
            Ok(_) if home.presence_of(&handle.jid).is_some() => {}
            Ok(roster) => tell(router, home, handle, roster, None, presence),
            Err(_) => broadcast(
                router,
                presence,
                account.as_jid(),
                PresenceType::Unavailable,
            ),
        }
        // §4.5.2: the resource hears itself as well while it is connected; it has no priority any more.
        let echo = presence.readdressed(None, Some(account.as_jid()));
        handle.mailbox.post(echo.raw().clone().into());
    }
    let items = roster.as_ref().map_or(&[][..], |roster| &roster.items);
    for jid in directed.take_all(was_available, items) {
        let _ = router.route(presence.readdressed(None, Some(&jid)), None);
    }
    if was_available
        && router
            .entries(account.as_str())
            .iter()
            .all(|e| e.priority.is_none())
    {
        let status = presence
            .child("status", ns::CLIENT)
            .map(|s| s.text().into());
        home.last_seen(router.now_ms(), status);
    }
    roster.map(drop)
}

/// Tells what a session's full address is: what it says, or (`None`) that it is gone, in the words of `farewell`. Others may
/// be telling of the same address, because its session ends, or another takes it over: who is done last looks whether
/// what it told is what is so.
fn tell(
    router: &Arc<Router>,
    home: &Home,
    handle: &SessionHandle,
    roster: &Roster,
    mut told: Option<(u64, Stanza)>,
    farewell: &Stanza,
) {
    loop {
        match &told {
            Some((number, presence)) => {
                let session = SessionRef {
                    node: router.node,
                    number: *number,
                };
                tell_all(
                    router,
                    home,
                    session,
                    roster,
                    presence,
                    PresenceType::Available,
                );
            }
            None => tell_all(
                router,
                home,
                handle.session,
                roster,
                farewell,
                PresenceType::Unavailable,
            ),
        }
        let now = home.presence_of(&handle.jid);
        let said = |of: &Option<(u64, Stanza)>| of.as_ref().map(|(n, p)| (*n, p.raw().clone()));
        if said(&now) == said(&told) {
            return;
        }
        told = now;
    }
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
    let (account, lists) = (&home.account, home.privacy().unwrap_or_default());
    let judge = router.judge(account, &lists);
    for contact in presence_rules::subscribers(&roster.items) {
        if !judge.denies(session, Passing::PresenceOut, contact.as_jid()) {
            broadcast(router, presence, contact.as_jid(), kind);
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
        let Some(handle) = router.sessions.get(session) else {
            continue;
        };
        let farewell = inbound::unavailable(&handle.jid, None);
        let told = Some((session, presence));
        tell(router, home, &handle, &roster, told, &farewell);
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
    let is_ours = router.serves(to.domain()) && to.local().is_some();
    if is_ours && router.elsewhere(to).is_none() && !router.peers.is_settling() {
        if router.directory.lookup(to.bare_str()).is_some() {
            router.metrics.presences.inc();
            inbound::notify(router, &presence.readdressed(None, Some(to)), to, kind);
        }
        return;
    }
    let _ = router.route(presence.readdressed(None, Some(to)), None);
}

async fn probe(router: &Arc<Router>, contact: &Jid, handle: &SessionHandle) {
    if let Some(node) = router.elsewhere(contact) {
        router.peers.look(node, handle.jid.as_jid(), contact);
        return;
    }
    if router.serves(contact.domain()) && contact.local().is_some() {
        match probe::look(router, handle.jid.as_jid(), contact).await {
            Ok(presences) => {
                for presence in presences {
                    if handle.mailbox.room().await {
                        let _ = router.route(presence, None);
                    }
                }
            }
            Err(error) => tracing::debug!(%contact, %error, "probe not answered"),
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
