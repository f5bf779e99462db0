//! Telling: an event as messages.
//!
//! Source: XEP-0060 §7.1.2, §12. An event is written once; each copy gets another start tag.

use storage::repository::PubsubState;
use xmpp::{BareJid, Jid, Stanza};

use super::rules::{Audience, Event, Node, Policy, event, options};
use crate::random;

/// Messages that tell of events to addresses, the parts of an audience that need no presence.
pub fn addressed<'a>(node: &'a Node, policy: &'a Policy, event: &'a Event) -> Vec<&'a Jid> {
    let all = node.stored.subscriptions.iter();
    match &event.to {
        Audience::One(jid) => vec![jid],
        Audience::Owners => node.owners(policy).map(BareJid::as_jid).collect(),
        Audience::Everybody => all.map(|it| &it.jid).collect(),
        Audience::Subscribers => {
            let told =
                all.filter(|it| it.state == PubsubState::Subscribed && options::delivers(it));
            told.map(|it| &it.jid).collect()
        }
    }
}

/// A message that tells of an event, to be addressed.
pub fn message(policy: &Policy, event: &Event) -> Stanza {
    event::message(&policy.address, event, &random::token())
}
