//! Access: may somebody read a node, subscribe to it, publish at it?
//!
//! Source: XEP-0060 §4.1, §4.5, §6.1.3, §6.5.9, §7.1.3.

use storage::repository::{PubsubAffiliation as Affiliation, PubsubState};
use xmpp::{Jid, StanzaError, StanzaErrorCondition as Condition};

use super::{
    affiliation::Rights,
    config::{AccessModel, PublishModel},
    error::error,
    node::{Node, Policy},
};

/// What somebody is to the one whose service it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// It administers the service: an owner of every node.
    pub administers: bool,
    /// It sees the account's presence.
    pub sees_presence: bool,
    /// Groups of the account's roster that it is in.
    pub groups: Vec<String>,
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Actor<'a> {
    /// Its address.
    pub jid: &'a Jid,
    /// What it is to the account or the service.
    pub standing: Standing,
}

impl Node {
    /// What somebody may do here.
    pub fn rights(&self, policy: &Policy, actor: &Actor<'_>) -> Option<Affiliation> {
        match actor.standing.administers {
            true => Some(Affiliation::Owner),
            false => self.affiliation(policy, actor.jid.bare_str()),
        }
    }

    /// That somebody owns this node.
    ///
    /// # Errors
    /// `forbidden` (§8.2.3.2, §8.4.3.1, §8.5.3.2, §8.8, §8.9).
    pub fn owned(&self, policy: &Policy, actor: &Actor<'_>) -> Result<(), StanzaError> {
        match self.rights(policy, actor).owns() {
            true => Ok(()),
            false => Err(Condition::Forbidden.into()),
        }
    }

    /// That somebody may read items.
    ///
    /// # Errors
    /// By model (§6.5.9).
    pub fn readable(&self, policy: &Policy, actor: &Actor<'_>) -> Result<(), StanzaError> {
        let rights = self.rights(policy, actor);
        match self.config.access {
            AccessModel::Authorize if rights.may_read() && !rights.is_listed() => {
                match self.is_subscribed(actor.jid) {
                    true => Ok(()),
                    false => Err(error(Condition::NotAuthorized, "not-subscribed")),
                }
            }
            _ => self.open_to(rights, &actor.standing),
        }
    }

    /// That somebody may subscribe; how far that goes at once.
    ///
    /// # Errors
    /// By model (§6.1.3).
    pub fn subscribable(
        &self,
        policy: &Policy,
        actor: &Actor<'_>,
    ) -> Result<PubsubState, StanzaError> {
        let rights = self.rights(policy, actor);
        self.open_to(rights, &actor.standing)?;
        let waits = self.config.access == AccessModel::Authorize && !rights.is_listed();
        Ok(match waits {
            true => PubsubState::Pending,
            false => PubsubState::Subscribed,
        })
    }

    /// Whether somebody with this standing may know what is published here.
    fn open_to(&self, rights: Option<Affiliation>, standing: &Standing) -> Result<(), StanzaError> {
        if !rights.may_read() {
            return Err(Condition::Forbidden.into());
        }
        if matches!(
            rights,
            Some(Affiliation::Owner | Affiliation::Publisher | Affiliation::Member)
        ) {
            return Ok(());
        }
        match self.config.access {
            AccessModel::Open | AccessModel::Authorize => Ok(()),
            AccessModel::Presence if standing.sees_presence => Ok(()),
            AccessModel::Presence => Err(error(
                Condition::NotAuthorized,
                "presence-subscription-required",
            )),
            AccessModel::Roster if self.is_in_group(standing) => Ok(()),
            AccessModel::Roster => Err(error(Condition::NotAuthorized, "not-in-roster-group")),
            AccessModel::Whitelist => Err(error(Condition::NotAllowed, "closed-node")),
        }
    }

    fn is_in_group(&self, standing: &Standing) -> bool {
        let groups = &self.config.groups;
        standing.sees_presence && standing.groups.iter().any(|group| groups.contains(group))
    }

    /// That somebody may publish.
    ///
    /// # Errors
    /// `forbidden` (§7.1.3.1).
    pub fn publishable(&self, policy: &Policy, actor: &Actor<'_>) -> Result<(), StanzaError> {
        let rights = self.rights(policy, actor);
        let may = rights.publishes()
            || !rights.is_outcast()
                && match self.config.publish {
                    PublishModel::Publishers => false,
                    PublishModel::Subscribers => self.is_subscribed(actor.jid),
                    PublishModel::Open => true,
                };
        match may {
            true => Ok(()),
            false => Err(Condition::Forbidden.into()),
        }
    }
}
