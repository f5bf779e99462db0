//! The address of a service itself: what it is, which rooms there are (XEP-0045 §6.1 to §6.3, XEP-0059, XEP-0433).

use storage::repository::{ListFrom, ListedRoom, RoomRepository};
use xmpp::{
    BareJid, Element, StanzaError, StanzaErrorCondition as Condition, ns,
    payload::{
        form::{Field, FieldType, Form, FormType},
        rsm::{PageReply, PageRequest},
    },
};

use super::{Muc, room::subscribe::subscription_element};
use crate::modules::answering::{Answers, Request};

/// Subscriptions of one account that are listed.
const MAX_SUBSCRIPTIONS: usize = 1_000;
/// Rooms of one page at most.
const MAX_PAGE: u32 = 100;
/// Lines of the list that are read for one page.
const READ_AT_ONCE: usize = 200;
const MAX_READ: usize = 4_000;
/// Where channels are searched for (XEP-0433 §3).
const SEARCH: &str = "urn:xmpp:channel-search:0:search";
const SEARCH_PARAMS: &str = "urn:xmpp:channel-search:0:search-params";
const SEARCH_ORDER: &str = "{urn:xmpp:channel-search:0:order}address";

/// What a page of the list is asked for.
struct Asked {
    page: PageRequest,
    /// Every word must be in the name, the description or the address.
    words: Vec<String>,
}

/// What is found.
struct Found {
    rooms: Vec<ListedRoom>,
    /// There are no more in the direction of the paging.
    complete: bool,
}

impl Answers for Muc {
    async fn answer(&self, request: &Request<'_>) -> Result<Option<Element>, StanzaError> {
        let (service, payload) = (request.to.domain(), &request.payload);
        match (payload.ns(), payload.name(), request.is_set) {
            (ns::DISCO_INFO | ns::DISCO_ITEMS, "query", false) if request.has_node() => {
                Err(Condition::ItemNotFound.into())
            }
            (ns::DISCO_INFO, "query", false) => Ok(Some(info_element())),
            (ns::DISCO_ITEMS, "query", false) => self.items(service, payload).await.map(Some),
            (SEARCH, "search", false) => self.search(service, payload).await.map(Some),
            (ns::PING, "ping", false) => Ok(None),
            (ns::MUCSUB, "subscriptions", false) => {
                let account = request.from.to_bare();
                self.subscriptions(service, &account).await.map(Some)
            }
            // XEP-0045 has no list of one's own nicks: registration is with a room.
            _ => Err(Condition::ServiceUnavailable.into()),
        }
    }
}

impl Muc {
    /// §6.3
    async fn items(&self, service: &str, query: &Element) -> Result<Element, StanzaError> {
        let page = PageRequest::parse(query)?;
        let is_paged = page.is_some();
        let asked = Asked {
            page: page.unwrap_or_default(),
            words: Vec::new(),
        };
        let found = self.find(service, &asked).await?;
        let items = found.rooms.iter().map(|room| {
            Element::new("item", ns::DISCO_ITEMS)
                .with_attr("jid", room.room.as_str())
                .with_attr("name", name(room))
        });
        let set = (is_paged || !found.complete).then(|| set_element(&found));
        Ok(Element::new("query", ns::DISCO_ITEMS)
            .with_children(items)
            .with_children(set))
    }

    /// MUC/Sub: what somebody subscribes to.
    async fn subscriptions(
        &self,
        service: &str,
        account: &BareJid,
    ) -> Result<Element, StanzaError> {
        let found = self
            .repository
            .subscriptions(account, service, MAX_SUBSCRIPTIONS);
        let found = found.await?;
        let each = found.iter().map(|(room, subscription)| {
            subscription_element("subscription", subscription).with_attr("jid", room.as_str())
        });
        Ok(Element::new("subscriptions", ns::MUCSUB).with_children(each))
    }

    /// XEP-0433 §4: by words, in the order of the addresses.
    async fn search(&self, service: &str, query: &Element) -> Result<Element, StanzaError> {
        let Some(form) = Form::child_of(query)? else {
            let element = Element::new("search", SEARCH);
            return Ok(element.with_child(search_form().to_element()));
        };
        if form.form_type != FormType::Submit || form.namespace() != Some(SEARCH_PARAMS) {
            return Err(Condition::BadRequest.into());
        }
        let order = form.value("key").unwrap_or(SEARCH_ORDER);
        let all = form.field("all").and_then(Field::bool) == Some(true);
        let words = form.value("q").unwrap_or_default();
        let words: Vec<String> = words.split_whitespace().map(xmpp::folded).collect();
        if order != SEARCH_ORDER {
            return Err(Condition::FeatureNotImplemented.into());
        }
        if words.is_empty() != all {
            return Err(StanzaError::new(
                Condition::BadRequest,
                "search for words or for all",
            ));
        }
        let asked = Asked {
            page: PageRequest::parse(query)?.unwrap_or_default(),
            words,
        };
        let found = self.find(service, &asked).await?;
        let items = found.rooms.iter().map(item_element);
        Ok(Element::new("result", SEARCH)
            .with_children(items)
            .with_child(set_element(&found)))
    }

    async fn find(&self, service: &str, asked: &Asked) -> Result<Found, StanzaError> {
        let limit = asked.page.limit(MAX_PAGE) as usize;
        if asked.page.index.is_some() {
            return Err(StanzaError::new(
                Condition::FeatureNotImplemented,
                "pages by position",
            ));
        }
        let backwards = asked.page.is_backwards();
        let named = match &asked.page.before {
            Some(before) => Some(before.clone()).filter(|it| !it.is_empty()),
            None => asked.page.after.clone(),
        };
        let local = |address: String| {
            let known = BareJid::parse(&address).ok();
            let known = known.filter(|it| it.domain() == service);
            known.and_then(|it| it.local().map(str::to_owned))
        };
        let mut at = match named {
            Some(address) => Some(local(address).ok_or(Condition::ItemNotFound)?),
            None => None,
        };
        let (mut rooms, mut read) = (Vec::new(), 0);
        let complete = loop {
            let from = match (&at, backwards) {
                (Some(local), true) => ListFrom::Before(local),
                (Some(local), false) => ListFrom::After(local),
                (None, true) => ListFrom::End,
                (None, false) => ListFrom::Start,
            };
            let lines = self.repository.list(service, from, READ_AT_ONCE).await?;
            let (count, last) = (lines.len(), lines.last().and_then(|it| it.room.local()));
            let last = last.map(str::to_owned);
            for line in lines {
                if line.public && matches(&line, &asked.words) {
                    if rooms.len() == limit {
                        return Ok(found(rooms, false, backwards));
                    }
                    rooms.push(line);
                }
            }
            read += count;
            if count < READ_AT_ONCE {
                break true;
            }
            if read >= MAX_READ && !rooms.is_empty() {
                break false;
            }
            at = last;
        };
        Ok(found(rooms, complete, backwards))
    }
}

fn found(mut rooms: Vec<ListedRoom>, complete: bool, backwards: bool) -> Found {
    if backwards {
        rooms.reverse();
    }
    Found { rooms, complete }
}

fn matches(room: &ListedRoom, words: &[String]) -> bool {
    let text = format!("{} {} {}", room.name, room.description, room.room);
    let text = xmpp::folded(&text);
    words.iter().all(|word| text.contains(word))
}

fn name(room: &ListedRoom) -> &str {
    match room.name.as_str() {
        "" => room.room.local().unwrap_or_default(),
        name => name,
    }
}

fn set_element(found: &Found) -> Element {
    let address = |room: Option<&ListedRoom>| room.map(|room| room.room.as_str().to_owned());
    let reply = PageReply {
        first: address(found.rooms.first()),
        index: None,
        last: address(found.rooms.last()),
        count: None,
    };
    reply.to_element()
}

fn info_element() -> Element {
    let features = [
        ns::DISCO_INFO,
        ns::DISCO_ITEMS,
        ns::MUC,
        ns::MUC_STABLE_ID,
        ns::MUC_SELF_PING,
        ns::OCCUPANT_ID,
        ns::MODERATE,
        ns::RSM,
        ns::PING,
        ns::VCARD,
        ns::MAM,
        ns::MAM_EXTENDED,
        SEARCH,
        ns::MUCSUB,
    ];
    let feature = |var: &'static str| Element::new("feature", ns::DISCO_INFO).with_attr("var", var);
    Element::new("query", ns::DISCO_INFO)
        .with_child(
            Element::new("identity", ns::DISCO_INFO)
                .with_attr("category", "conference")
                .with_attr("type", "text")
                .with_attr("name", "Rooms"),
        )
        .with_children(features.map(feature))
}

fn search_form() -> Form {
    Form::of(FormType::Form, SEARCH_PARAMS)
        .with_field(Field::new(FieldType::TextSingle, "q").with_label("Words"))
        .with_field(Field::new(FieldType::Boolean, "all").with_label("All rooms"))
        .with_field(
            Field::new(FieldType::ListSingle, "key")
                .with_label("Order")
                .with_value(SEARCH_ORDER)
                .with_option("Address", SEARCH_ORDER),
        )
}

fn item_element(room: &ListedRoom) -> Element {
    let text = |name: &'static str, text: &str| {
        (!text.is_empty()).then(|| Element::new(name, SEARCH).with_text(text))
    };
    Element::new("item", SEARCH)
        .with_attr("address", room.room.as_str())
        .with_children(text("name", name(room)))
        .with_children(text("description", &room.description))
        .with_children(text("language", &room.lang))
        .with_child(Element::new("service-type", SEARCH).with_text("xep-0045"))
        .with_children(room.open.then(|| Element::new("is-open", SEARCH)))
}

/// What administrators ask for: rooms behind one, listed or not.
pub(super) async fn all(
    repository: &dyn RoomRepository,
    service: &str,
    after: Option<&str>,
    limit: usize,
) -> storage::Result<Vec<ListedRoom>> {
    let from = after.map_or(ListFrom::Start, ListFrom::After);
    repository.list(service, from, limit).await
}
