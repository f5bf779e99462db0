//! Rosters.

use bytes::Bytes;
use serde_json::{Value, json};
use storage::repository::{Roster, RosterItem, Subscription};
use xmpp::BareJid;

use crate::{
    reply::{Answered, Asked, Reply, list, number, text},
    server::Kept,
};

const SUBSCRIPTIONS: [(Subscription, &str); 4] = [
    (Subscription::None, "none"),
    (Subscription::To, "to"),
    (Subscription::From, "from"),
    (Subscription::Both, "both"),
];

fn item(value: &Value) -> Result<RosterItem, Reply> {
    let named = text(value, "subscription")?;
    let known = SUBSCRIPTIONS.iter().find(|(_, name)| *name == named);
    let groups = value["groups"].as_array();
    let groups = groups.map(|all| all.iter().filter_map(Value::as_str));
    let flag = |name| value[name].as_bool().unwrap_or_default();
    let optional = |name| value[name].as_str().map(str::to_owned);
    Ok(RosterItem {
        jid: BareJid::parse(text(value, "jid")?).map_err(|_| Reply::bad("jid"))?,
        in_roster: value["in_roster"]
            .as_bool()
            .ok_or_else(|| Reply::bad("in_roster"))?,
        name: optional("name"),
        groups: groups.into_iter().flatten().map(str::to_owned).collect(),
        subscription: known.ok_or_else(|| Reply::bad("subscription"))?.0,
        ask: flag("ask"),
        approved: flag("approved"),
        pending_in: optional("pending_in").map(Bytes::from),
        revision: value["revision"].as_u64().unwrap_or_default(),
    })
}

fn item_json(item: &RosterItem) -> Value {
    let known = SUBSCRIPTIONS
        .iter()
        .find(|(of, _)| *of == item.subscription);
    let mut value = json!({
        "jid": item.jid.as_str(),
        "in_roster": item.in_roster,
        "groups": item.groups,
        "subscription": known.map_or("none", |(_, name)| name),
        "ask": item.ask,
        "approved": item.approved,
        "revision": item.revision,
    });
    if let Some(name) = &item.name {
        value["name"] = json!(name);
    }
    if let Some(stanza) = &item.pending_in {
        value["pending_in"] = json!(String::from_utf8_lossy(stanza));
    }
    value
}

pub(crate) async fn get(kept: &Kept, asked: &Asked) -> Answered {
    let found = kept.rosters.load(&asked.jid(1)?).await?;
    if found.version == 0 {
        return Err(Reply::absent());
    }
    let removed = found.removed.iter();
    let removed = removed.map(|(jid, revision)| json!({ "jid": jid, "revision": revision }));
    Ok(Reply::ok(json!({
        "items": found.items.iter().map(item_json).collect::<Value>(),
        "removed": removed.collect::<Value>(),
        "floor": found.floor,
        "version": found.version,
    })))
}

pub(crate) async fn put(kept: &Kept, asked: &Asked) -> Answered {
    let (body, seen) = (asked.json()?, asked.must_seen()?);
    let items = list(&body, "items")?.iter().map(item);
    let removed = body["removed"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| Ok((text(it, "jid")?.to_owned(), number(it, "revision")?)));
    let roster = Roster {
        version: 0,
        items: items.collect::<Result<_, Reply>>()?,
        removed: removed.collect::<Result<_, Reply>>()?,
        floor: body["floor"].as_u64().unwrap_or_default(),
        given: 0,
    };
    let version = kept.rosters.store(&asked.jid(1)?, &roster, seen).await?;
    Ok(Reply::ok(json!({ "version": version })))
}
