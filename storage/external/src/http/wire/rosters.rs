//! Rosters.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use storage::{
    Result,
    repository::{Roster, RosterItem, Subscription},
};
use xmpp::BareJid;

use super::{text_of, wrong};

#[derive(Serialize, Deserialize)]
struct Item {
    jid: String,
    in_roster: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    subscription: String,
    #[serde(default)]
    ask: bool,
    #[serde(default)]
    approved: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending_in: Option<String>,
    #[serde(default)]
    revision: u64,
}

#[derive(Serialize, Deserialize)]
struct RemovedItem {
    jid: String,
    revision: u64,
}

#[derive(Serialize, Deserialize)]
pub(in crate::http) struct RosterOf {
    items: Vec<Item>,
    #[serde(default)]
    removed: Vec<RemovedItem>,
    #[serde(default)]
    floor: u64,
    #[serde(default, skip_serializing)]
    version: u64,
}

const SUBSCRIPTIONS: [(Subscription, &str); 4] = [
    (Subscription::None, "none"),
    (Subscription::To, "to"),
    (Subscription::From, "from"),
    (Subscription::Both, "both"),
];

impl RosterOf {
    pub(in crate::http) fn of(roster: &Roster) -> Result<Self> {
        let item = |it: &RosterItem| {
            let known = SUBSCRIPTIONS.iter().find(|(of, _)| *of == it.subscription);
            Ok(Item {
                jid: it.jid.as_str().to_owned(),
                in_roster: it.in_roster,
                name: it.name.clone(),
                groups: it.groups.clone(),
                subscription: known.map_or("none", |(_, name)| name).to_owned(),
                ask: it.ask,
                approved: it.approved,
                pending_in: it.pending_in.as_ref().map(text_of).transpose()?,
                revision: it.revision,
            })
        };
        let removed = roster.removed.iter().map(|(jid, revision)| RemovedItem {
            jid: jid.clone(),
            revision: *revision,
        });
        Ok(Self {
            items: roster.items.iter().map(item).collect::<Result<_>>()?,
            removed: removed.collect(),
            floor: roster.floor,
            version: 0,
        })
    }

    pub(in crate::http) fn roster(self) -> Result<Roster> {
        let item = |it: Item| {
            let known = SUBSCRIPTIONS
                .iter()
                .find(|(_, name)| *name == it.subscription);
            let (subscription, _) = known.ok_or_else(|| wrong("a subscription"))?;
            Ok(RosterItem {
                jid: BareJid::parse(&it.jid).map_err(|_| wrong("an address"))?,
                in_roster: it.in_roster,
                name: it.name,
                groups: it.groups,
                subscription: *subscription,
                ask: it.ask,
                approved: it.approved,
                pending_in: it.pending_in.map(Bytes::from),
                revision: it.revision,
            })
        };
        let mut items: Vec<RosterItem> = self.items.into_iter().map(item).collect::<Result<_>>()?;
        // Sorted is what a roster is, whoever kept it.
        items.sort_by(|a, b| a.jid.cmp(&b.jid));
        if items.windows(2).any(|pair| pair[0].jid == pair[1].jid) {
            return Err(wrong("a contact that is there twice"));
        }
        let removed = self.removed.into_iter();
        Ok(Roster {
            version: self.version,
            items,
            removed: removed.map(|it| (it.jid, it.revision)).collect(),
            floor: self.floor,
            given: 0,
        })
    }
}
