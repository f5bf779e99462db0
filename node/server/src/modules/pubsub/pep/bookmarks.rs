//! Bookmarks: the same wherever a client keeps them.
//!
//! Source: XEP-0402 v1.2.0 §5.1 (`#compat`), XEP-0048, XEP-0049.
//! Why so: the items of the native node are the truth as soon as there is one. What a client of old reads from private XML is
//! made of them, and what it writes there becomes changes of them. What private XML has from before becomes items when
//! the node is first asked for. What is no bookmark of a room stays in private XML alone. What a client keeps there is for the
//! account alone (XEP-0049 §1), and so is the node from the moment when something of it comes in (XEP-0402 §4).

use xmpp::{BareJid, Element, StanzaError, ns};

use super::Pep;
use crate::module::Context;

/// How the node is made (XEP-0402 §4).
const CONFIG: &[(&str, &str)] = &[
    ("pubsub#access_model", "whitelist"),
    ("pubsub#persist_items", "1"),
    ("pubsub#max_items", "max"),
    ("pubsub#send_last_published_item", "never"),
];
/// Rooms that private XML may bring along.
const MAX_ROOMS: usize = 500;

/// A bookmark of old as an item: its id and payload. What a former item had besides is kept.
fn native(old: &Element, former: Option<&Element>) -> Option<(String, Element)> {
    let room = BareJid::parse(old.attr("jid")?).ok()?;
    let mut new = Element::new("conference", ns::BOOKMARKS)
        .with_attr_opt("name", old.attr("name"))
        .with_attr_opt("autojoin", old.attr("autojoin"));
    for name in ["nick", "password"] {
        let text = old.child_text(name).filter(|text| !text.is_empty());
        new = new.with_children(text.map(|text| Element::new(name, ns::BOOKMARKS).with_text(text)));
    }
    let kept = former.and_then(|former| former.child("extensions", ns::BOOKMARKS));
    Some((room.as_str().to_owned(), new.with_children(kept.cloned())))
}

/// An item as a bookmark of old.
fn legacy(room: &str, item: &Element) -> Element {
    let mut old = Element::new("conference", ns::STORAGE_BOOKMARKS)
        .with_attr("jid", room)
        .with_attr_opt("name", item.attr("name"))
        .with_attr_opt("autojoin", item.attr("autojoin"));
    for name in ["nick", "password"] {
        let text = item.child_text(name);
        let child = text.map(|text| Element::new(name, ns::STORAGE_BOOKMARKS).with_text(text));
        old = old.with_children(child);
    }
    old
}

fn is_room(element: &Element) -> bool {
    element.is("conference", ns::STORAGE_BOOKMARKS)
}

/// What is to be done so that the items are what a client of old says: items to be published, ids to be retracted.
fn changes(
    items: &[(String, Element)],
    storage: &Element,
) -> (Vec<(String, Element)>, Vec<String>) {
    let former = |room: &str| {
        items
            .iter()
            .find(|(id, _)| id == room)
            .map(|(_, item)| item)
    };
    let rooms = storage.children().filter(|it| is_room(it)).take(MAX_ROOMS);
    let wanted: Vec<_> = rooms
        .filter_map(|old| {
            let room = BareJid::parse(old.attr("jid")?).ok()?;
            native(old, former(room.as_str()))
        })
        .collect();
    let gone = items.iter().map(|(id, _)| id);
    let gone = gone.filter(|id| wanted.iter().all(|(room, _)| room != *id));
    let gone = gone.cloned().collect();
    // Told as a client of old tells it, nothing else is a difference.
    let is_same = |room: &str, new: &Element| {
        former(room).is_some_and(|former| legacy(room, former) == legacy(room, new))
    };
    let changed = wanted.into_iter().filter(|(room, new)| !is_same(room, new));
    (changed.collect(), gone)
}

impl Pep {
    /// What a client of old is given: what it kept, with the rooms that are bookmarked now.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn legacy_bookmarks(
        &self,
        account: &BareJid,
        kept: Element,
    ) -> Result<Element, StanzaError> {
        let Some(items) = self.items_own(account, ns::BOOKMARKS).await? else {
            return Ok(kept);
        };
        let mut storage = kept;
        storage.retain_children(|child| !is_room(child));
        let rooms = items.iter().map(|(room, item)| legacy(room, item));
        Ok(storage.with_children(rooms))
    }

    /// A client of old says which rooms are bookmarked.
    ///
    /// # Errors
    /// The store did not answer; some may have been changed until then, and the same may be asked for again.
    pub async fn set_legacy_bookmarks(
        &self,
        account: &BareJid,
        storage: &Element,
        cx: &Context,
    ) -> Result<(), StanzaError> {
        let items = self.items_own(account, ns::BOOKMARKS).await?;
        let (changed, gone) = changes(&items.unwrap_or_default(), storage);
        if !changed.is_empty() {
            self.close(account, ns::BOOKMARKS, cx).await?;
        }
        for (room, item) in changed {
            let item = (room.as_str(), item);
            self.publish_own(account, ns::BOOKMARKS, item, CONFIG, cx)
                .await?;
        }
        for room in gone {
            self.retract_own(account, ns::BOOKMARKS, &room, cx).await?;
        }
        Ok(())
    }

    /// Makes items of what private XML has from before, if there is no node yet.
    ///
    /// # Errors
    /// The store did not answer.
    pub(super) async fn bring_bookmarks(
        &self,
        account: &BareJid,
        cx: &Context,
    ) -> Result<(), StanzaError> {
        let policy = self.policies.of(account);
        if self.nodes.load(&policy, ns::BOOKMARKS).await?.is_some() {
            return Ok(());
        }
        let kept = self.private.get(account, ns::STORAGE_BOOKMARKS, "storage");
        let Some(kept) = kept.await? else {
            return Ok(());
        };
        match Element::parse(&kept.xml, "") {
            Ok(storage) => self.set_legacy_bookmarks(account, &storage, cx).await,
            Err(error) => {
                tracing::warn!(%account, %error, "bookmarks of old cannot be read");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage(children: &str) -> Element {
        let text = format!("<storage xmlns='storage:bookmarks'>{children}</storage>");
        Element::parse(text.as_bytes(), "").unwrap()
    }

    fn item(attrs: &str, children: &str) -> Element {
        let text =
            format!("<conference xmlns='urn:xmpp:bookmarks:1'{attrs}>{children}</conference>");
        Element::parse(text.as_bytes(), "").unwrap()
    }

    #[test]
    fn what_a_client_of_old_writes_becomes_changes() {
        let extensions = "<extensions><x xmlns='y'/></extensions>";
        let before = [
            (
                "a@muc".to_owned(),
                item(
                    " name='A' autojoin='true'",
                    &format!("<nick>me</nick>{extensions}"),
                ),
            ),
            ("b@muc".to_owned(), item("", "")),
        ];
        let check = |children: &str, expected: &[&str], gone: &[&str]| {
            let (changed, removed) = changes(&before, &storage(children));
            let shown: Vec<String> = changed
                .iter()
                .map(|(room, it)| {
                    format!(
                        "{room} {}",
                        String::from_utf8(it.to_bytes(ns::BOOKMARKS)).unwrap()
                    )
                })
                .collect();
            assert_eq!(shown, expected, "{children}");
            assert_eq!(removed, gone, "{children}");
        };
        let (a, b) = (
            "<conference jid='a@muc' name='A' autojoin='true'><nick>me</nick></conference>",
            "<conference jid='b@muc'/>",
        );
        check(&format!("{a}{b}"), &[], &[]);
        check(b, &[], &["a@muc"]);
        check("", &[], &["a@muc", "b@muc"]);
        // The address is compared as an address, and what only the item has stays.
        let renamed = "<conference jid='A@muc' name='New'><password>p</password></conference>";
        let native =
            format!("a@muc <conference name='New'><password>p</password>{extensions}</conference>");
        check(&format!("{renamed}{b}"), &[&native], &[]);
        check(
            &format!("{a}{b}<conference jid='c@muc'/><url url='u'/>"),
            &["c@muc <conference/>"],
            &[],
        );
        check(
            &format!("{a}{b}<conference jid='@'/><conference/>"),
            &[],
            &[],
        );
    }
}
