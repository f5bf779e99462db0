//! What a presence stanza passes at the home of the account it is for, in order (RFC 6121 §3, §4, §8.5).
//!
//! Messages are the home's own business: `home::Home::receive`; IQs that of [`super::iq`].

use std::sync::Arc;

use xmpp::{BareJid, Element, FullJid, Jid, Stanza, StanzaError, ns};

use super::delivery::{self, Action, Addressee, PresenceType, Resource};
use crate::{
    modules::{
        blocking::{self, Passing},
        roster::{
            self,
            rosters::item_mut,
            subscription::{self, Sharing, Standing, SubscriptionType},
        },
    },
    poll_once,
    routing::{Origin, Progress, Router, flags},
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
            let task = async move { subscription(&own, &stanza).await };
            poll_once::now_or_tell(router, task, origin)
        }
        PresenceType::Probe => {
            let (own, account) = (router.clone(), to.to_bare());
            let Some(from) = stanza.from().cloned() else {
                return Progress::Done;
            };
            let task = async move {
                if let Err(error) = probe(&own, &account, &from, true).await {
                    tracing::debug!(%account, %error, "probe not answered");
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
    if let Some(from) = stanza.from()
        && from.bare_str() != to.bare_str()
        && let Some(home) = router.homes.loaded(to.bare_str())
        && let Some(lists) = home.privacy()
        && blocking::denies(
            &lists,
            Passing::PresenceIn,
            &home.account,
            from,
            router.rosters.cached(&home.account).as_deref(),
        )
    {
        return;
    }
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
        if reached {
            router.post(entry, stanza.raw().clone().into());
        }
    }
}

/// A subscription stanza for an account of ours, until its effects are committed or it is answered with an error.
pub async fn subscription(router: &Arc<Router>, stanza: &Stanza) {
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
    if !home.exists(router).await? {
        // RFC 6121 §3.1.3: so that nobody can tell who has an account.
        if kind == SubscriptionType::Subscribe {
            let reply = subscription_element(&account, &contact, SubscriptionType::Unsubscribed);
            let _ = router.route(Stanza::from_element(&reply), None);
        }
        return Ok(());
    }
    let roster = router.rosters.load(&account).await?;
    if home.privacy().is_some_and(|lists| {
        blocking::denies(&lists, Passing::Other, &account, from, Some(&roster))
    }) {
        return Ok(());
    }
    let request = stanza.readdressed(Some(contact.as_jid()), Some(account.as_jid()));
    let limit = router.config.limits.roster_items;
    let mut outcome = None;
    let turn = router.rosters.turn(&account).await;
    let pushed = turn
        .change(|roster, revision| {
            let full = roster.items.len() >= limit;
            let before = roster::rosters::item(roster, contact.as_str())
                .map(Standing::from)
                .unwrap_or_default();
            let after = subscription::inbound(before, kind);
            outcome = Some(after);
            if after.standing == before {
                return Ok(None);
            }
            let known = roster::rosters::item(roster, contact.as_str()).is_some();
            if full && !known {
                // A stranger's request is the only thing that makes an item here.
                return Ok(None);
            }
            let item = item_mut(roster, &contact);
            after.standing.apply(item, Some(request.raw()));
            if after.push && item.in_roster {
                item.revision = revision;
            }
            let item = item.clone();
            if !item.in_roster && !after.standing.is_waiting() {
                roster.items.retain(|i| i.jid != contact);
            }
            Ok(Some((item, revision)))
        })
        .await?;
    let Some(after) = outcome else { return Ok(()) };
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
            if reached {
                router.post(entry, request.raw().clone().into());
            }
        }
    }
    if let Some((item, version)) = pushed.filter(|(item, _)| after.push && item.in_roster) {
        roster::push(&router.context(), &account, &item, version);
    }
    drop(turn);
    if let Some(reply) = after.auto_reply {
        let reply = subscription_element(&account, &contact, reply);
        let _ = router.route(Stanza::from_element(&reply), None);
    }
    share(router, &account, &contact, after.sharing);
    Ok(())
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
    for (_, presence) in home.presences() {
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

/// Answers a probe (RFC 6121 §4.3.2). `explicit`: somebody asked, so nobody there is an answer as well; a session's
/// own first look-round is not answered for those who are away.
pub async fn probe(
    router: &Arc<Router>,
    account: &BareJid,
    from: &Jid,
    explicit: bool,
) -> Result<(), StanzaError> {
    if !explicit && router.directory.lookup(account.as_str()).is_none() {
        return Ok(());
    }
    let home = router.homes.get(router, account);
    let prober = from.to_bare();
    let allowed = home.exists(router).await? && {
        let roster = router.rosters.load(account).await?;
        let denied = home.privacy().is_some_and(|lists| {
            blocking::denies(&lists, Passing::PresenceOut, account, from, Some(&roster))
        });
        if denied {
            return Ok(());
        }
        prober == *account
            || roster::rosters::item(&roster, prober.as_str())
                .is_some_and(|i| Standing::from(i).state.is_seen())
    };
    if !allowed {
        if explicit {
            let reply = subscription_element(account, &prober, SubscriptionType::Unsubscribed);
            let _ = router.route(Stanza::from_element(&reply), None);
        }
        return Ok(());
    }
    let presences = home.presences();
    for (_, presence) in &presences {
        let _ = router.route(presence.readdressed(None, Some(from)), None);
    }
    if presences.is_empty() && explicit {
        let reply = Element::new("presence", ns::CLIENT)
            .with_attr("from", account.as_str())
            .with_attr("to", from.as_str())
            .with_attr("type", "unavailable");
        let _ = router.route(Stanza::from_element(&reply), None);
    }
    Ok(())
}
