//! The items published last, for who has just come.
//!
//! Source: XEP-0163 §4.3.3, §4.3.4. Stored: nothing.

use std::sync::Arc;

use storage::repository::{PubsubHead, PubsubItem, PubsubNode};
use xmpp::{BareJid, Jid, Stanza, StanzaError};

use super::{Policies, standing};
use crate::{
    module::Context,
    modules::{
        pubsub::{
            interest::Interest,
            nodes::Nodes,
            rules::{Actor, Event, Node, Policy, Standing, config::SendLast, event},
            telling::message,
        },
        roster::{Rosters, rosters::item},
    },
};

/// Looks for them.
pub struct LastItems {
    /// The nodes of accounts.
    pub nodes: Arc<Nodes>,
    /// Who may see what.
    pub rosters: Arc<Rosters>,
    policies: Policies,
}

impl LastItems {
    /// Over nodes and rosters.
    pub fn new(nodes: Arc<Nodes>, rosters: Arc<Rosters>) -> Self {
        Self {
            nodes,
            rosters,
            policies: Policies::default(),
        }
    }

    /// What a client that has just come is to be told of an account, as messages to it.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn of(
        &self,
        account: &BareJid,
        to: &Jid,
        interest: &Interest,
        cx: &Context,
    ) -> Result<Vec<Stanza>, StanzaError> {
        let policy = self.policies.of(account);
        let heads = self.nodes.heads(&policy).await?;
        let wanted = heads.iter().filter(|head| interest.has(&head.node));
        // Nothing has been published there since it was made or purged.
        let wanted: Vec<&PubsubHead> = wanted.filter(|head| head.sequence > 1).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let standing = match to.bare_str() == account.as_str() {
            true => Standing {
                sees_presence: true,
                ..Standing::default()
            },
            false => {
                let roster = self.rosters.load(account).await?;
                item(&roster, to.bare_str()).map_or_else(Standing::default, standing::of)
            }
        };
        // XEP-0163 §4: it is presence that makes one interested.
        if !standing.sees_presence {
            return Ok(Vec::new());
        }
        let actor = Actor { jid: to, standing };
        let mut messages = Vec::new();
        for head in wanted {
            if let Some(event) = self.last(&policy, head, &actor, cx).await? {
                messages.push(message(&policy, &event).readdressed(None, Some(to)));
            }
        }
        Ok(messages)
    }

    async fn last(
        &self,
        policy: &Policy,
        head: &PubsubHead,
        actor: &Actor<'_>,
        cx: &Context,
    ) -> Result<Option<Event>, StanzaError> {
        let alone = PubsubNode {
            head: head.clone(),
            subscriptions: Arc::default(),
            items: Arc::default(),
        };
        let node = Node::of(alone, policy);
        let sends = node.config.send_last == SendLast::OnSubAndPresence && node.config.deliver;
        if !sends || node.readable(policy, actor).is_err() {
            return Ok(None);
        }
        let last = match &head.last {
            Some(last) => Some(last.clone()),
            None => self.newest(policy, head, cx).await?,
        };
        Ok(last.map(|last| Event {
            delayed_ms: Some(last.head.published_ms),
            ..Event::to_one(&node, actor.jid, event::published(policy, &node, &last))
        }))
    }

    /// One that is too long for the node's head, or one that became the newest because others went.
    async fn newest(
        &self,
        policy: &Policy,
        head: &PubsubHead,
        cx: &Context,
    ) -> Result<Option<PubsubItem>, StanzaError> {
        let Some(node) = self.nodes.load(policy, &head.node).await? else {
            return Ok(None);
        };
        let Some(newest) = node.items(cx.now_ms()).last().cloned() else {
            return Ok(None);
        };
        Ok(self.nodes.items(policy, &node, &[newest]).await?.pop())
    }
}
