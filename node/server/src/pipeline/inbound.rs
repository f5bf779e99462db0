//! What a presence stanza passes at the home of the account it is for, in order (RFC 6121 §3, §4, §8.5).
//!
//! Messages are the home's own business: `home::Home::receive`; IQs that of [`super::iq`].

use std::sync::Arc;

use cluster::directory::{Entry, SessionRef};
use storage::repository::Roster;
use xmpp::{BareJid, Element, FullJid, Jid, Stanza, StanzaError, ns};

use super::{
    delivery::{self, Action, Addressee, PresenceType, Resource},
    probe::probe,
};
use crate::{
    modules::{
        blocking::Passing,
        roster::{
            self,
            request::{self, MAX_WAITING},
            rosters::item_mut,
            subscription::{self, Sharing, Standing, SubscriptionType},
        },
    },
    poll_once,
    routing::{Origin, Progress, Router, flags, spread::says_entered},
};

/// A presence for an account of ours.
pub fn presence(
    router: &Arc<Router>,
    stanza: Stanza,
    to: &Jid,
    origin: Option<Origin>,
) -> Progress {
    router.metrics.presences.inc();
    let Some(kind) = PresenceType::parse(stanza.type_attr().as_deref()) else {
        return Progress::Done;
    };
    match kind {
        PresenceType::Subscribe | PresenceType::OtherSubscription => {
            let own = router.clone();
            let task = async move { subscription_here(&own, &stanza).await };
            poll_once::now_or_tell(router, task, origin)
        }
        PresenceType::Probe => {
            let (own, to) = (router.clone(), to.clone());
            let Some(from) = stanza.from().cloned() else {
                return Progress::Done;
            };
            let task = async move {
                if let Err(error) = probe(&own, &stanza, &from, &to).await {
                    tracing::debug!(%to, %error, "probe not answered");
                }
            };
            poll_once::now_or_tell(router, task, origin)
        }
        PresenceType::Available | PresenceType::Unavailable | PresenceType::Error => {
            notify(router, &stanza, to, kind);
            Progress::Done
        }
    }
}

/// Hands a presence to the account's resources.
pub fn notify(router: &Arc<Router>, stanza: &Stanza, to: &Jid, kind: PresenceType) {
    let Some(entries) = router.directory.lookup(to.bare_str()) else {
        return;
    };
    let account = to.to_bare();
    if let (Some(from), PresenceType::Available | PresenceType::Unavailable) = (stanza.from(), kind)
        && let Some(roster) = router
            .rosters
            .heard(&account, from, kind == PresenceType::Available)
    {
        roster::push(&router.context(), &account, &roster, &from.to_bare());
    }
    let home = router.homes.loaded(to.bare_str());
    let lists = home.and_then(|home| home.privacy()).unwrap_or_default();
    let judge = router.judge(&account, &lists);
    let denied = |session| {
        let from = stanza.from();
        from.is_some_and(|from| judge.denies(session, Passing::PresenceIn, from))
    };
    let resources: smallvec::SmallVec<[Resource<'_>; 4]> = entries
        .iter()
        .map(|e| Resource {
            name: &e.resource,
            priority: e.priority,
        })
        .collect();
    let addressee = Addressee {
        exists: true,
        resources: &resources,
        resource: to.resource(),
    };
    let action = delivery::presence(kind, addressee);
    for entry in entries.iter() {
        let reached = match action {
            Action::ToResource => Some(&*entry.resource) == to.resource(),
            Action::ToAvailable => entry.priority.is_some(),
            _ => false,
        };
        if reached && !denied(entry.session) {
            if kind == PresenceType::Unavailable {
                forget_directed(router, entry, stanza);
            } else if kind == PresenceType::Available && is_in_room(router, stanza) {
                note_entered(router, entry, stanza);
            }
            router.post(entry, stanza.raw().clone().into());
        }
    }
}

/// RFC 6121 §4.6.1: who has gone need not be told any more that the session goes.
fn forget_directed(router: &Router, entry: &Entry, stanza: &Stanza) {
    if let Some(from) = stanza.from()
        && let Some(handle) = router.sessions.get(entry.session.number)
    {
        handle.directed.lock().heard_unavailable(from);
    }
}

/// Whether a room of ours says that the one whom it tells is in it.
fn is_in_room(router: &Router, stanza: &Stanza) -> bool {
    let from = stanza.from();
    from.is_some_and(|from| router.registry().service_of(from.domain()).is_some())
        && says_entered(stanza)
}

fn note_entered(router: &Router, entry: &Entry, stanza: &Stanza) {
    if let Some(from) = stanza.from()
        && let Some(handle) = router.sessions.get(entry.session.number)
    {
        handle.directed.lock().has_entered(from);
    }
}

/// A subscription stanza for an account of ours, until its effects are committed or it is answered with an error.
pub async fn subscription(router: &Arc<Router>, stanza: &Stanza) {
    if stanza.to().is_some_and(|to| router.elsewhere(to).is_some()) {
        router.routed(stanza.clone()).await;
        return;
    }
    subscription_here(router, stanza).await;
}

/// The same at the account's home.
async fn subscription_here(router: &Arc<Router>, stanza: &Stanza) {
    if let Err(error) = subscription_for(router, stanza).await {
        router.refuse(stanza, &error);
    }
}

/// RFC 6121 §A.3.
async fn subscription_for(router: &Arc<Router>, stanza: &Stanza) -> Result<(), StanzaError> {
    let (Some(from), Some(to)) = (stanza.from(), stanza.to()) else {
        return Ok(());
    };
    let (account, contact) = (to.to_bare(), from.to_bare());
    let kind = stanza
        .type_attr()
        .as_deref()
        .and_then(SubscriptionType::parse);
    let Some(kind) = kind else { return Ok(()) };
    let home = router.homes.get(router, &account);
    if !home.exists().await? {
        // RFC 6121 §3.1.3: so that nobody can tell who has an account.
        if kind == SubscriptionType::Subscribe {
            unsubscribed(router, &account, &contact).await;
        }
        return Ok(());
    }
    let lists = home.privacy().unwrap_or_default();
    let judge = router.judge(&account, &lists);
    let sessions = router.entries(account.as_str());
    if judge.denies_all(sessions.iter().map(|e| e.session), Passing::Other, from) {
        return Ok(());
    }
    let asked = stanza.readdressed(Some(contact.as_jid()), Some(account.as_jid()));
    if kind == SubscriptionType::Subscribe {
        let given = router.rosters.given(&account).await?;
        if given.get(&contact).is_some_and(|given| given.is_told) {
            // By a shared group it has what it asks for.
            answer(router, &account, &contact, SubscriptionType::Subscribed).await;
            return Ok(());
        }
    }
    let limit = router.config.limits.roster_items;
    let mut outcome = None;
    let mut refused = false;
    let turn = router.rosters.turn(&account).await;
    let pushed = turn
        .change(|roster, revision| {
            let before = roster::rosters::item(roster, contact.as_str())
                .map(Standing::from)
                .unwrap_or_default();
            let after = subscription::inbound(before, kind);
            outcome = Some(after);
            if after.standing == before {
                return Ok(None);
            }
            let known = roster::rosters::item(roster, contact.as_str()).is_some();
            // A stranger's request is the only thing that makes an item here.
            refused = !known && (roster.items.len() >= limit || waiting(roster) >= MAX_WAITING);
            if refused {
                return Ok(None);
            }
            let item = item_mut(roster, &contact);
            after.standing.apply(item, Some(&request::kept(&asked)));
            if after.push && item.in_roster {
                item.revision = revision;
            }
            let item = item.clone();
            if !item.in_roster && !after.standing.is_waiting() {
                roster.items.retain(|i| i.jid != contact);
            }
            Ok(Some(item))
        })
        .await?;
    let Some(after) = outcome else { return Ok(()) };
    if refused {
        drop(turn);
        unsubscribed(router, &account, &contact).await;
        return Ok(());
    }
    if after.deliver {
        let flag = if kind == SubscriptionType::Subscribe {
            0
        } else {
            flags::INTERESTED
        };
        for entry in router.entries(account.as_str()).iter() {
            let reached = if flag == 0 {
                entry.priority.is_some()
            } else {
                entry.flags & flag != 0
            };
            if reached && !judge.denies(entry.session, Passing::Other, from) {
                router.post(entry, asked.raw().clone().into());
            }
        }
    }
    if pushed.is_some_and(|item| after.push && item.in_roster) {
        let roster = router.rosters.load(&account).await?;
        roster::push(&router.context(), &account, &roster, &contact);
    }
    drop(turn);
    if let Some(reply) = after.auto_reply {
        // §3.1.5: presence comes behind it.
        answer(router, &account, &contact, reply).await;
    }
    share(router, &account, &contact, after.sharing);
    Ok(())
}

/// How many strangers' requests wait.
fn waiting(roster: &Roster) -> usize {
    roster.items.iter().filter(|item| !item.in_roster).count()
}

/// A request that is not taken is declined in the account's name, as one to nobody is (RFC 6121 §3.1.3): its sender need
/// not wait, and does not learn whether there is an account.
async fn unsubscribed(router: &Arc<Router>, account: &BareJid, contact: &BareJid) {
    answer(router, account, contact, SubscriptionType::Unsubscribed).await;
}

/// Answers a request in the account's name; done when its effects are, so that what follows comes behind it. It is
/// answered by nothing, so this goes no deeper.
async fn answer(
    router: &Arc<Router>,
    account: &BareJid,
    contact: &BareJid,
    kind: SubscriptionType,
) {
    let reply = Stanza::from_element(&subscription_element(account, contact, kind));
    if router.serves(contact.domain()) {
        Box::pin(subscription(router, &reply)).await;
    } else {
        let _ = router.route(reply, None);
    }
}

/// A subscription stanza from bare to bare address.
pub fn subscription_element(from: &BareJid, to: &BareJid, kind: SubscriptionType) -> Element {
    Element::new("presence", ns::CLIENT)
        .with_attr("from", from.as_str())
        .with_attr("to", to.as_str())
        .with_attr("type", kind.as_str())
}

/// What a contact sees of an account begins or ends.
pub fn share(router: &Arc<Router>, account: &BareJid, contact: &BareJid, sharing: Sharing) {
    let Some(home) = router.homes.loaded(account.as_str()) else {
        return;
    };
    let is_told = || {
        let roster = router.rosters.cached(account);
        let item = roster.as_ref().and_then(|roster| roster.get(contact));
        item.is_some_and(|item| Standing::from(item).state.is_seen())
    };
    if sharing == Sharing::Ends && is_told() {
        // By a shared group it goes on.
        return;
    }
    let lists = home.privacy().unwrap_or_default();
    let judge = router.judge(account, &lists);
    for (number, presence) in home.presences() {
        let session = SessionRef {
            node: router.node,
            number,
        };
        if judge.denies(session, Passing::PresenceOut, contact.as_jid()) {
            continue;
        }
        let stanza = match sharing {
            Sharing::Unchanged => return,
            Sharing::Begins => presence.readdressed(None, Some(contact.as_jid())),
            Sharing::Ends => {
                let Some(from) = presence.from().and_then(Jid::to_full) else {
                    continue;
                };
                unavailable(&from, Some(contact.as_jid()))
            }
        };
        let _ = router.route(stanza, None);
    }
}

/// `<presence type='unavailable'/>` of a session.
pub fn unavailable(from: &FullJid, to: Option<&Jid>) -> Stanza {
    let element = Element::new("presence", ns::CLIENT)
        .with_attr("from", from.as_str())
        .with_attr_opt("to", to.map(Jid::as_str))
        .with_attr("type", "unavailable");
    Stanza::from_element(&element)
}
