//! The archive of a room (XEP-0313 §7): the room's log, for those who may enter.
//!
//! Real addresses are shown to whom the room shows them. Reading does not keep the room from its work.

use std::sync::Arc;

use storage::repository::LogEntry;
use xmpp::{BareJid, Element, Jid, Stanza, StanzaError, StanzaErrorCondition as Condition};

use super::{
    Muc,
    log::without_address,
    room::{Role, Room},
    sending,
};
use crate::{
    module::Context,
    modules::archive::{metadata, query, query::Query, scan::Scan, xml},
};

/// Answers a request that the room's rules let pass.
pub(super) fn answer(muc: &Arc<Muc>, room: &Room, stanza: &Stanza, cx: &Context) {
    let Some(from) = stanza.from().cloned() else {
        return;
    };
    let sees = room.record.config.non_anonymous || room.role(&from) == Role::Moderator;
    let (muc, via, stanza) = (muc.clone(), cx.clone(), stanza.clone());
    let address = room.address.clone();
    cx.run(Box::pin(async move {
        let answered = muc
            .answer_archive(&address, &from, &stanza, sees, &via)
            .await;
        let reply = match answered {
            Ok(payload) => Some(stanza.result_reply(Some(payload))),
            Err(error) => stanza.error_reply(&error),
        };
        reply.iter().for_each(|reply| sending::reply(reply, &via));
    }));
}

impl Muc {
    async fn answer_archive(
        &self,
        room: &BareJid,
        from: &Jid,
        stanza: &Stanza,
        sees: bool,
        cx: &Context,
    ) -> Result<Element, StanzaError> {
        let payload = stanza.root().children().next();
        let payload = payload.ok_or(Condition::BadRequest)?.to_element();
        let is_set = stanza.type_attr().as_deref() == Some("set");
        match (payload.name(), is_set) {
            ("query", false) => return Ok(query::fields_element()),
            ("metadata", _) => return metadata(&*self.archives, room).await,
            _ => {}
        }
        let query = Query {
            // All that is here is of a group chat.
            without_groupchat: false,
            ..Query::parse(&payload)?
        };
        let scan = Scan {
            logs: &*self.archives,
            archive: room,
            query: &query,
        };
        let page = scan.page(self.options.page).await?;
        let send = |entry: &LogEntry| {
            let shown = match sees {
                true => entry.clone(),
                false => hidden(entry),
            };
            let bytes = xml::result(&shown, room, from.as_str(), query.queryid.as_deref());
            if let Ok(result) = Stanza::parse(bytes)
                && let Some(left) = cx.spread_one(result)
            {
                cx.route(left);
            }
        };
        match query.flipped {
            true => page.entries.iter().rev().for_each(send),
            false => page.entries.iter().for_each(send),
        }
        Ok(xml::fin_element(&page))
    }
}

/// An entry without the real address behind it.
fn hidden(entry: &LogEntry) -> LogEntry {
    let stanza = Stanza::parse(entry.stanza.clone());
    let bytes = stanza.map_or_else(|_| entry.stanza.clone(), |it| without_address(&it));
    LogEntry {
        stanza: bytes,
        ..entry.clone()
    }
}
