//! Lists: loads and changes what an account blocks, puts it in force, and lets contacts see of it what they may.
//!
//! Source: XEP-0191 v1.3 §3.3, §3.4 and XEP-0016 v1.7 §2.11: whoever may not see presence any more is sent `unavailable`,
//! whoever may again is sent the current presence, both only to those with a subscription.
//! Order: stored, in force, then contacts; the result of the request comes last.
//! Left out: `unavailable` in the name of contacts whose presence is no longer let in (XEP-0016 §2.10, a should): what
//! contacts of other servers said last is known to nobody here.

use std::{collections::BTreeSet, sync::Arc};

use cluster::directory::Entry;
use storage::{
    ErrorKind,
    repository::{
        PrivacyData, PrivacyItem, PrivacyMatch, PrivacyRepository, Roster, RosterItem, Subscription,
    },
};
use xmpp::{BareJid, Element, Jid, StanzaError, ns};

use super::{
    active::ActiveLists,
    rules::{self, Passing, Verdict},
};
use crate::{module::Context, modules::roster::Rosters, pipeline::inbound, routing::flags};

/// Attempts of a change against others.
const MAX_ATTEMPTS: usize = 8;

/// The lists of all accounts.
pub struct Lists {
    repository: Arc<dyn PrivacyRepository>,
    rosters: Arc<Rosters>,
    active: Arc<ActiveLists>,
}

/// The lists before and after a change.
pub struct Change {
    /// Before.
    pub before: PrivacyData,
    /// After.
    pub after: Arc<PrivacyData>,
}

impl Lists {
    /// Over a repository; `rosters` and `active` are those that deliveries are judged by.
    pub fn new(
        repository: Arc<dyn PrivacyRepository>,
        rosters: Arc<Rosters>,
        active: Arc<ActiveLists>,
    ) -> Self {
        Self {
            repository,
            rosters,
            active,
        }
    }

    /// The active lists.
    pub fn active(&self) -> &ActiveLists {
        &self.active
    }

    /// The lists of an account.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn load(&self, owner: &BareJid) -> Result<PrivacyData, StanzaError> {
        Ok(self.repository.load(owner).await?)
    }

    /// The roster of an account.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn roster(&self, owner: &BareJid) -> Result<Arc<Roster>, StanzaError> {
        self.rosters.load(owner).await
    }

    /// Changes the lists of an account and puts them in force. `edit` may be called again if somebody else was first;
    /// where it changes nothing, nothing happens.
    ///
    /// # Errors
    /// That of `edit`; `resource-constraint` if others kept being first; the store did not answer.
    pub async fn change(
        &self,
        owner: &BareJid,
        cx: &Context,
        mut edit: impl FnMut(&mut PrivacyData) -> Result<(), StanzaError> + Send,
    ) -> Result<Option<Change>, StanzaError> {
        for _ in 0..MAX_ATTEMPTS {
            let before = self.load(owner).await?;
            let mut after = before.clone();
            edit(&mut after)?;
            if after == before {
                return Ok(None);
            }
            if rules::need_roster(&after) {
                self.rosters.pin(owner).await?;
            }
            match self.repository.store(owner, &after, before.version).await {
                Ok(version) => {
                    after.version = version;
                    let after = Arc::new(after);
                    cx.lists_changed(owner, after.clone()).await?;
                    return Ok(Some(Change { before, after }));
                }
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(crate::home::wait("the lists are being changed by others"))
    }

    /// Lets contacts see what a change of the lists means for them.
    ///
    /// # Errors
    /// The roster cannot be read.
    pub async fn show(
        &self,
        owner: &BareJid,
        change: &Change,
        cx: &Context,
    ) -> Result<(), StanzaError> {
        let roster = self.rosters.load(owner).await?;
        for session in self.available(owner, cx) {
            let active = self.active.get(session.entry.session);
            let list = |data| rules::list_for(data, active.as_deref());
            session.show(
                owner,
                &roster,
                list(&change.before),
                list(&change.after),
                cx,
            );
        }
        Ok(())
    }

    /// Sets or declines the active list of a session, and lets contacts see it.
    ///
    /// # Errors
    /// The roster cannot be read: nothing was changed.
    pub async fn activate(
        &self,
        owner: &BareJid,
        entry: &Entry,
        name: Option<&str>,
        data: &PrivacyData,
        cx: &Context,
    ) -> Result<(), StanzaError> {
        let roster = self.rosters.load(owner).await?;
        let before = self.active.get(entry.session);
        self.active.set(entry.session, name);
        let (before, after) = (
            rules::list_for(data, before.as_deref()),
            rules::list_for(data, name),
        );
        for session in self
            .available(owner, cx)
            .into_iter()
            .filter(|session| session.entry.session == entry.session)
        {
            session.show(owner, &roster, before, after, cx);
        }
        Ok(())
    }

    /// The sessions that told contacts of their presence.
    fn available(&self, owner: &BareJid, cx: &Context) -> Vec<Available> {
        let entries = cx.entries(owner);
        let with_entry = |presence: xmpp::Stanza| {
            let resource = presence.from()?.resource()?;
            let entry = entries
                .iter()
                .find(|entry| &*entry.resource == resource)?
                .clone();
            Some(Available { entry, presence })
        };
        cx.presences(owner)
            .into_iter()
            .filter_map(with_entry)
            .collect()
    }
}

struct Available {
    entry: Entry,
    presence: xmpp::Stanza,
}

impl Available {
    /// Tells those for whom this session appears or disappears when `after` holds instead of `before`.
    fn show(
        &self,
        owner: &BareJid,
        roster: &Roster,
        before: &[PrivacyItem],
        after: &[PrivacyItem],
        cx: &Context,
    ) {
        if before == after {
            return;
        }
        let sees = |list, jid, item| {
            rules::evaluate(list, Passing::PresenceOut, owner, jid, Some(item)) == Verdict::Allow
        };
        let fulls = full_addresses(before.iter().chain(after));
        for item in roster.items.iter().filter(|item| is_subscriber(item)) {
            let bare = item.jid.as_jid();
            let changed = (sees(before, bare, item), sees(after, bare, item));
            if changed.0 != changed.1 {
                self.tell(bare, changed.1, cx);
                continue;
            }
            // A rule about one resource of the contact.
            for full in fulls.iter().filter(|full| full.bare_str() == bare.as_str()) {
                let changed = (sees(before, full, item), sees(after, full, item));
                if changed.0 != changed.1 {
                    self.tell(full, changed.1, cx);
                }
            }
        }
    }

    fn tell(&self, to: &Jid, sees: bool, cx: &Context) {
        if sees {
            cx.route(self.presence.readdressed(None, Some(to)));
        } else if let Some(from) = self.presence.from().and_then(Jid::to_full) {
            cx.route(inbound::unavailable(&from, Some(to)));
        }
    }
}

fn is_subscriber(item: &RosterItem) -> bool {
    matches!(item.subscription, Subscription::From | Subscription::Both)
}

fn full_addresses<'a>(items: impl Iterator<Item = &'a PrivacyItem>) -> BTreeSet<Jid> {
    let jid = |item: &PrivacyItem| match &item.matches {
        PrivacyMatch::Jid(jid) => Jid::parse(jid).ok().filter(Jid::is_full),
        _ => None,
    };
    items.filter_map(jid).collect()
}

/// Tells the sessions that requested the block list what is blocked now (XEP-0191 §3.3) or no longer (§3.4); no address
/// with `unblock` means all.
pub fn push_blocks<'a>(
    cx: &Context,
    owner: &BareJid,
    name: &'static str,
    jids: impl IntoIterator<Item = &'a str>,
) {
    let item = |jid: &str| Element::new("item", ns::BLOCKING).with_attr("jid", jid);
    let payload = Element::new(name, ns::BLOCKING).with_children(jids.into_iter().map(item));
    cx.push_to(owner, flags::BLOCK_LIST, |entry| {
        push_iq(owner, entry, payload.clone())
    });
}

/// A request of the server's to a session.
pub fn push_iq(owner: &BareJid, entry: &Entry, payload: Element) -> bytes::Bytes {
    let iq = Element::new("iq", ns::CLIENT)
        .with_attr("type", "set")
        .with_attr("id", crate::random::token())
        .with_attr("to", format!("{owner}/{}", entry.resource));
    iq.with_child(payload).to_bytes(ns::CLIENT).into()
}
