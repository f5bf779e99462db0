//! What a stanza passes at its sender's session, in order: its own policy, then the way out.

use std::sync::Arc;

use bytes::Bytes;
use xmpp::{BareJid, Element, Jid, Kind, Stanza, StanzaError, StanzaErrorCondition as Condition};

use super::{
    delivery::{IqType, PresenceType},
    events,
    inbound::{self, subscription_element},
    iq, lifecycle,
};
use crate::{
    c2s::SessionCore,
    home::Home,
    module::{Follower, Target},
    modules::{
        blocking::{Passing, rules},
        roster::{
            self,
            rosters::item_mut,
            subscription::{self, Standing, SubscriptionType},
        },
    },
    poll_once,
    routing::{Letter, Origin, Progress, Router, SessionHandle},
};

/// Which way an IQ of a client goes.
pub enum Way {
    /// Answered here, in the order in which it came.
    Lane,
    /// To somebody else.
    Route,
    /// An answer to a request of the server's: it was heard, and that is all.
    Nowhere,
}

/// Which way an IQ goes.
pub fn iq_way(core: &SessionCore, stanza: &Stanza) -> Way {
    let Some(to) = stanza.to() else {
        return Way::Lane;
    };
    let ours = core.router.serves(to.domain());
    let own = to.as_str() == core.home.account.as_str();
    let server = ours && to.local().is_none() && to.resource().is_none();
    let request = IqType::parse(stanza.type_attr().as_deref()).is_none_or(IqType::is_request);
    match (own || server, request) {
        (true, true) => Way::Lane,
        (true, false) => Way::Nowhere,
        (false, _) => Way::Route,
    }
}

/// An answer of a client to the server.
pub fn heard(core: &SessionCore, answer: &Stanza) {
    events::answered(&core.router, &core.home, &core.handle, answer);
}

/// A message of a client.
pub fn message(core: &mut SessionCore, stanza: Stanza, origin: Origin) -> Progress {
    if let Some(error) = blocked(&core.home, &core.router, &core.handle, &stanza) {
        answer(&core.handle, &stanza, &error);
        return Progress::Done;
    }
    let doubt = core.doubt();
    core.router.route_doubted(stanza, Some(origin), doubt)
}

/// An IQ of a client to somebody else.
pub fn iq(core: &mut SessionCore, stanza: Stanza, origin: Origin) -> Progress {
    let request = IqType::parse(stanza.type_attr().as_deref()).is_none_or(IqType::is_request);
    if request && let Some(error) = blocked(&core.home, &core.router, &core.handle, &stanza) {
        answer(&core.handle, &stanza, &error);
        return Progress::Done;
    }
    core.router.route(stanza, Some(origin))
}

/// XEP-0191 §3.3: who blocks somebody cannot write to it.
fn blocked(
    home: &Home,
    router: &Router,
    handle: &SessionHandle,
    stanza: &Stanza,
) -> Option<StanzaError> {
    let (to, lists) = (stanza.to()?, home.privacy()?);
    if to.bare_str() == home.account.as_str() {
        return None;
    }
    let judge = router.judge(&home.account, &lists);
    judge
        .denies(handle.session, Passing::Other, to)
        .then(rules::outgoing_error)
}

fn answer(handle: &SessionHandle, stanza: &Stanza, error: &StanzaError) {
    if let Some(reply) = stanza.error_reply(error) {
        handle.mailbox.post(Letter::refusal(&reply));
    }
}

fn post(handle: &SessionHandle, element: &Element) {
    let bytes = Bytes::from(element.to_bytes(xmpp::ns::CLIENT));
    handle.mailbox.post(bytes.into());
}

/// A request that is answered in order: an IQ to the server or the own account, or any presence.
pub fn ordered(core: &mut SessionCore, stanza: Stanza) -> Progress {
    let (router, home, handle) = (core.router.clone(), core.home.clone(), core.handle.clone());
    match stanza.kind() {
        Kind::Presence => presence(core, stanza),
        Kind::Iq | Kind::Message => {
            let own = stanza.to().is_none_or(|to| to.local().is_some());
            let target = if own { Target::Account } else { Target::Server };
            let task = async move {
                let answer = iq::answer(&router, &stanza, target, Some(handle.clone()));
                let (reply, followers) = answer.await;
                if let Some(reply) = reply {
                    post(&handle, &reply);
                }
                // After its reply, and in the order in which the handler said it.
                for follower in followers {
                    match follower {
                        Follower::Send(element) => post(&handle, &element),
                        Follower::End(error) => router.end_behind(&handle, error),
                        Follower::Release(kept) => drop(kept),
                    }
                }
                drop(home);
            };
            in_lane(&core.router, &core.handle, task)
        }
    }
}

/// Runs a task of the lane; a session whose task has to wait is told when it is done.
fn in_lane(
    router: &Router,
    handle: &Arc<SessionHandle>,
    task: impl Future<Output = ()> + Send + 'static,
) -> Progress {
    let handle = handle.clone();
    poll_once::now_or_run(router, task, move || {
        handle.mailbox.post(Letter::LaneDone);
    })
}

/// A presence of a client (RFC 6121 §3, §4).
fn presence(core: &mut SessionCore, stanza: Stanza) -> Progress {
    let Some(kind) = PresenceType::parse(stanza.type_attr().as_deref()) else {
        answer(&core.handle, &stanza, &Condition::BadRequest.into());
        return Progress::Done;
    };
    let (router, home, handle) = (core.router.clone(), core.home.clone(), core.handle.clone());
    let Some(to) = stanza.to().cloned() else {
        return match kind {
            PresenceType::Available => in_lane(&core.router, &core.handle, async move {
                if let Err(error) = lifecycle::available(&router, &home, &handle, &stanza).await {
                    answer(&handle, &stanza, &error);
                }
            }),
            PresenceType::Unavailable => {
                let directed = std::mem::take(&mut *core.handle.directed.lock());
                in_lane(&core.router, &core.handle, async move {
                    let ended =
                        lifecycle::unavailable(&router, &home, &handle, &stanza, directed).await;
                    if let Err(error) = ended {
                        answer(&handle, &stanza, &error);
                    }
                })
            }
            // RFC 6121 §4.7.1: the other types need an addressee.
            _ => {
                answer(&core.handle, &stanza, &Condition::BadRequest.into());
                Progress::Done
            }
        };
    };
    match kind {
        PresenceType::Subscribe | PresenceType::OtherSubscription => {
            in_lane(&core.router, &core.handle, async move {
                if let Err(error) =
                    subscription_from(&router, &home, &handle, &stanza, &to.to_bare()).await
                {
                    answer(&handle, &stanza, &error);
                }
            })
        }
        PresenceType::Available | PresenceType::Unavailable => {
            if denied(&home, &router, &handle, &to) {
                answer(&core.handle, &stanza, &rules::outgoing_error());
                return Progress::Done;
            }
            let available = kind == PresenceType::Available;
            if let Err(error) = note_directed(core, &to, available) {
                answer(&core.handle, &stanza, &error);
                return Progress::Done;
            }
            // XEP-0398 §5: a room is told of the photo like everybody else.
            let photo = home.photo().filter(|_| available);
            let stamped = photo.and_then(|photo| photo.stamp(&stanza));
            let _ = core.router.route(stamped.unwrap_or(stanza), None);
            Progress::Done
        }
        // RFC 6121 §4.3: clients do not probe; it does no harm, and what it may learn is checked at the home.
        PresenceType::Probe | PresenceType::Error => {
            let _ = core.router.route(stanza, None);
            Progress::Done
        }
    }
}

fn denied(home: &Home, router: &Router, handle: &SessionHandle, to: &Jid) -> bool {
    let lists = home.privacy().unwrap_or_default();
    let judge = router.judge(&home.account, &lists);
    judge.denies(handle.session, Passing::PresenceOut, to)
}

/// Remembers who is told directly that a session is there, or is not (RFC 6121 §4.6).
fn note_directed(core: &SessionCore, to: &Jid, available: bool) -> Result<(), StanzaError> {
    let mut directed = core.handle.directed.lock();
    if !available {
        directed.sent_unavailable(to);
        return Ok(());
    }
    let session = core.handle.session;
    let entries = core.router.entries(core.home.account.as_str());
    let is_available = entries
        .iter()
        .any(|entry| entry.session == session && entry.priority.is_some());
    let roster = core.router.rosters.cached(&core.home.account);
    let items = roster.as_ref().map_or(&[][..], |roster| &roster.items);
    if to.is_full() && core.router.registry().service_of(to.domain()).is_some() {
        directed.asks_to_enter(to);
    }
    directed
        .sent_available(to, is_available, items)
        .map_err(|error| StanzaError::new(Condition::ResourceConstraint, error.to_string()))
}

/// A subscription stanza of a client (RFC 6121 §A.2).
async fn subscription_from(
    router: &Arc<Router>,
    home: &Arc<Home>,
    handle: &SessionHandle,
    stanza: &Stanza,
    contact: &BareJid,
) -> Result<(), StanzaError> {
    let account = &home.account;
    let kind = stanza
        .type_attr()
        .as_deref()
        .and_then(SubscriptionType::parse);
    let Some(kind) = kind else { return Ok(()) };
    if contact == account {
        return Err(StanzaError::new(
            Condition::NotAllowed,
            "an account sees its own presence without a subscription",
        ));
    }
    if let Some(error) = blocked(home, router, handle, stanza) {
        return Err(error);
    }
    if kind == SubscriptionType::Subscribe {
        let given = router.rosters.given(account).await?;
        if given.get(contact).is_some_and(|given| given.sees) {
            // A shared group gives what it asks for.
            return Ok(());
        }
    }
    let limit = router.config.limits.roster_items;
    let mut outcome = None;
    let turn = router.rosters.turn(account).await;
    let changed = turn
        .change(|roster, revision| {
            let known = roster::rosters::item(roster, contact.as_str());
            let (before, present) = (
                known.map(Standing::from).unwrap_or_default(),
                known.is_some(),
            );
            let after = subscription::outbound(before, kind);
            outcome = Some(after);
            if after.standing == before {
                return Ok(None);
            }
            if !present && roster.items.len() >= limit {
                return Err(StanzaError::new(
                    Condition::NotAllowed,
                    "the roster is full",
                ));
            }
            let item = item_mut(roster, contact);
            after.standing.apply(item, None);
            item.revision = revision;
            let item = item.clone();
            if !item.in_roster && !after.standing.is_waiting() {
                roster.items.retain(|i| i.jid != *contact);
            }
            Ok(Some(item))
        })
        .await?;
    let Some(after) = outcome else { return Ok(()) };
    if changed.is_some_and(|item| after.push && item.in_roster) {
        let roster = router.rosters.load(account).await?;
        roster::push(&router.context(), account, &roster, contact);
    }
    drop(turn);
    if after.route {
        let stamped = stanza.readdressed(Some(account.as_jid()), Some(contact.as_jid()));
        if router.serves(contact.domain()) && contact.local().is_some() {
            // The client's acknowledgement covers what becomes of it at the contact's side as well.
            inbound::subscription(router, &stamped).await;
        } else {
            let _ = router.route(stamped, None);
        }
    }
    inbound::share(router, account, contact, after.sharing);
    Ok(())
}

/// An unsubscription that the server sends in the name of an account that goes away.
pub fn farewell(account: &BareJid, contact: &BareJid) -> [Stanza; 2] {
    [
        SubscriptionType::Unsubscribe,
        SubscriptionType::Unsubscribed,
    ]
    .map(|kind| Stanza::from_element(&subscription_element(account, contact, kind)))
}
