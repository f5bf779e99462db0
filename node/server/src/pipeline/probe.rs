//! Probes: what an account answers to somebody who asks whether it is there (RFC 6121 §4.3.2).
//!
//! [`presence_rules::answer_probe`] decides; here its question is put together and its answer written. A session whose
//! privacy list lets no presence out to the one who asks is not there for it (XEP-0016 §2.11); to whom every list denies
//! everything, nothing is answered at all (§2.14).

use std::sync::Arc;

use xmpp::{Element, Jid, Stanza, StanzaError, ns};

use super::inbound::subscription_element;
use crate::{
    modules::{
        blocking::Passing,
        presence_rules::{self, ProbeAnswer, Session},
        roster::subscription::SubscriptionType,
    },
    routing::Router,
};

/// Answers a probe.
///
/// # Errors
/// The store did not answer.
pub async fn probe(
    router: &Arc<Router>,
    stanza: &Stanza,
    from: &Jid,
    to: &Jid,
) -> Result<(), StanzaError> {
    let account = to.to_bare();
    let reply = |element: Element| {
        let element = element.with_attr_opt("id", stanza.id());
        let _ = router.route(Stanza::from_element(&element), None);
    };
    match answer(router, from, to).await? {
        Answer::Silence => {}
        Answer::Presence(presences) => presences.into_iter().for_each(|presence| {
            let _ = router.route(presence, None);
        }),
        Answer::Unavailable => reply(
            Element::new("presence", ns::CLIENT)
                .with_attr("from", to.as_str())
                .with_attr("to", from.as_str())
                .with_attr("type", "unavailable"),
        ),
        Answer::Unsubscribed => reply(subscription_element(
            &account,
            &from.to_bare(),
            SubscriptionType::Unsubscribed,
        )),
    }
    Ok(())
}

/// What a session that has just come sees of an account of ours: nobody there is no answer then.
///
/// # Errors
/// The store did not answer.
pub async fn look(
    router: &Arc<Router>,
    from: &Jid,
    contact: &Jid,
) -> Result<Vec<Stanza>, StanzaError> {
    if router.directory.lookup(contact.bare_str()).is_none() {
        return Ok(Vec::new());
    }
    Ok(match answer(router, from, contact).await? {
        Answer::Presence(presences) => presences,
        Answer::Silence | Answer::Unavailable | Answer::Unsubscribed => Vec::new(),
    })
}

enum Answer {
    Silence,
    Presence(Vec<Stanza>),
    Unavailable,
    Unsubscribed,
}

async fn answer(router: &Arc<Router>, from: &Jid, to: &Jid) -> Result<Answer, StanzaError> {
    let account = to.to_bare();
    let home = router.homes.get(router, &account);
    if !home.exists().await? {
        return Ok(Answer::Unsubscribed);
    }
    let roster = router.rosters.load(&account).await?;
    let entries = router.entries(account.as_str());
    let lists = home.privacy().unwrap_or_default();
    let judge = router.judge(&account, &lists);
    if judge.denies_all(entries.iter().map(|e| e.session), Passing::Other, from) {
        return Ok(Answer::Silence);
    }
    let told_directly = |number| {
        let handle = router.sessions.get(number);
        handle.is_some_and(|handle| handle.directed.lock().reaches(from))
    };
    let sessions: Vec<Session<'_>> = entries
        .iter()
        .filter(|entry| !judge.denies(entry.session, Passing::PresenceOut, from))
        .map(|entry| Session {
            resource: &entry.resource,
            available: entry.priority.is_some(),
            told_directly: told_directly(entry.session.number),
        })
        .collect();
    let answer = presence_rules::answer_probe(
        &account,
        to.resource(),
        from,
        &roster.items,
        Some(&sessions),
    );
    Ok(match answer {
        ProbeAnswer::Unsubscribed => Answer::Unsubscribed,
        ProbeAnswer::Unavailable => Answer::Unavailable,
        ProbeAnswer::Presence(resources) => Answer::Presence(
            home.presences()
                .into_iter()
                .filter(|(_, presence)| {
                    let resource = presence.from().and_then(Jid::resource);
                    resource.is_some_and(|resource| resources.contains(&resource))
                })
                .map(|(_, presence)| presence.readdressed(None, Some(from)))
                .collect(),
        ),
        ProbeAnswer::Bare(resources) => Answer::Presence(
            resources
                .into_iter()
                .map(|resource| {
                    let element = Element::new("presence", ns::CLIENT)
                        .with_attr("from", format!("{account}/{resource}"))
                        .with_attr("to", from.as_str());
                    Stanza::from_element(&element)
                })
                .collect(),
        ),
    })
}
