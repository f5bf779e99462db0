//! Telling: who gets an event of an account's node.
//!
//! Source: XEP-0163 §4, XEP-0060 §9.1.
//! Why so: who is interested without a subscription is known where its sessions are, so contacts are named and their homes
//! look whose client wants to know. Who subscribed explicitly is told at the address that it gave, and not twice.

use std::collections::BTreeSet;

use storage::repository::{Roster, Subscription};
use xmpp::{BareJid, Jid};

use super::{Pep, standing};
use crate::{
    module::{Context, Notice},
    modules::{
        pubsub::{
            rules::{Actor, Audience, Event, Node, Policy, Standing},
            telling::{addressed, message},
        },
        roster::rosters::item,
    },
};

impl Pep {
    pub(super) async fn tell_all(
        &self,
        policy: &Policy,
        node: &Node,
        events: Vec<Event>,
        cx: &Context,
    ) {
        if events.is_empty() {
            return;
        }
        // What is published is published: who cannot be told because the roster cannot be read finds it there later.
        let roster = match self.rosters.load(&policy.address).await {
            Ok(roster) => roster,
            Err(error) => {
                let account = &policy.address;
                tracing::warn!(%account, %error, "an event is told to its account alone");
                Default::default()
            }
        };
        let subscribers = node.stored.subscriptions.iter().map(|it| it.jid.to_bare());
        let mut contacts: Vec<BareJid> = interested(policy, node, &roster).cloned().collect();
        let all = subscribers.chain(contacts.iter().cloned()).collect();
        let kept_out = cx.kept_out(&policy.address, all).await;
        contacts.retain(|jid| !kept_out.contains(jid));
        let listeners = Listeners {
            roster: &roster,
            contacts,
            kept_out,
        };
        for event in &events {
            tell(policy, node, event, &listeners, cx);
        }
    }
}

/// Who may be told of what happens to a node.
struct Listeners<'a> {
    /// Of the node's account.
    roster: &'a Roster,
    /// Whose clients look whether they want to know.
    contacts: Vec<BareJid>,
    /// Whom the account tells nothing (XEP-0163 §4.3.3).
    kept_out: BTreeSet<BareJid>,
}

fn tell(policy: &Policy, node: &Node, event: &Event, listeners: &Listeners<'_>, cx: &Context) {
    let stanza = message(policy, event);
    let mut told: BTreeSet<&str> = BTreeSet::new();
    for jid in addressed(node, policy, event) {
        let is_told = match event.to {
            Audience::Subscribers => may_know(policy, node, listeners.roster, jid),
            _ => true,
        };
        if is_told && !listeners.kept_out.contains(jid.bare_str()) {
            told.insert(jid.bare_str());
            cx.route(stanza.readdressed(None, Some(jid)));
        }
    }
    if !matches!(event.to, Audience::Subscribers | Audience::Everybody) {
        return;
    }
    let contacts = listeners.contacts.iter();
    let contacts = contacts.filter(|jid| !told.contains(jid.as_str()));
    cx.notify(Notice {
        node: node.name().to_owned(),
        contacts: contacts.cloned().collect(),
        stanza: stanza.clone(),
    });
}

/// XEP-0163 §7.1: who may not know any more is not told any more.
fn may_know(policy: &Policy, node: &Node, roster: &Roster, jid: &Jid) -> bool {
    let known = item(roster, jid.bare_str());
    let standing = match jid.bare_str() == policy.address.as_str() {
        true => Standing {
            sees_presence: true,
            ..Standing::default()
        },
        false => known.map_or_else(Standing::default, standing::of),
    };
    node.readable(policy, &Actor { jid, standing }).is_ok()
}

/// The account itself, and its contacts that see its presence and may read the node (XEP-0060 §9.1).
fn interested<'a>(
    policy: &'a Policy,
    node: &'a Node,
    roster: &'a Roster,
) -> impl Iterator<Item = &'a BareJid> {
    let contacts = roster.items.iter().filter(move |item| {
        let sees = matches!(item.subscription, Subscription::From | Subscription::Both);
        sees && {
            let (jid, standing) = (item.jid.as_jid(), standing::of(item));
            node.readable(policy, &Actor { jid, standing }).is_ok()
        }
    });
    let own = std::iter::once(&policy.address);
    own.chain(contacts.map(|item| &item.jid))
}
