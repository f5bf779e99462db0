//! Search: people by what their vCards say.
//!
//! Source: XEP-0055 v1.3. The directory is at the address of the server itself. Left out: paging (XEP-0059); a search
//! that finds too much answers with its first results.
//! Why here: each word asked for must begin a word of its field. The longest one is looked up in the index, the rest is
//! checked on the vCards. Only accounts of ours may search, so nobody harvests addresses from outside.

use std::sync::Arc;

use async_trait::async_trait;
use storage::repository::{VcardField, VcardRepository};
use xmpp::{
    BareJid, Element, StanzaError, StanzaErrorCondition as Condition, ns,
    payload::form::{FORM_TYPE, Field, FieldType, Form, FormType},
};

use super::{parse, xml};
use crate::module::{Context, IqHandler, IqRequest, Module, Registry, Spec, Status, Target};

/// Results of one search.
const MAX_FOUND: usize = 50;
/// vCards that one search looks at.
const MAX_LOOKED_AT: usize = 200;
/// Words that one search may ask for.
const MAX_WORDS: usize = 16;
const INSTRUCTIONS: &str =
    "Fill in one or more fields to search for people; the beginning of a word is enough.";

/// The fields with their names and labels; the first [`LEGACY`] are all that the protocol has without a form.
const FIELDS: [(VcardField, &str, &str); 11] = [
    (VcardField::Given, "first", "Given name"),
    (VcardField::Family, "last", "Family name"),
    (VcardField::Nickname, "nick", "Nickname"),
    (VcardField::Email, "email", "E-mail address"),
    (VcardField::FullName, "fn", "Full name"),
    (VcardField::Middle, "middle", "Middle name"),
    (VcardField::Locality, "locality", "City"),
    (VcardField::Country, "ctry", "Country"),
    (VcardField::Organisation, "orgname", "Organisation"),
    (VcardField::Unit, "orgunit", "Unit"),
    (VcardField::Birthday, "bday", "Birthday"),
];
const LEGACY: usize = 4;

/// A word that a field must have, by its beginning, in lowercase.
type Criterion = (VcardField, String);

/// The module.
pub struct SearchModule {
    vcards: Arc<dyn VcardRepository>,
    domains: Vec<String>,
}

impl SearchModule {
    /// Over a repository; accounts of `domains` may search.
    pub fn new(vcards: Arc<dyn VcardRepository>, domains: Vec<String>) -> Self {
        Self { vcards, domains }
    }
}

impl Module for SearchModule {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.iq(Target::Server, ns::SEARCH, self);
        registry.disco(Target::Server, ns::SEARCH);
        registry.disco_identity(Target::Server, "directory", "user");
        registry.spec(Spec {
            xep: 55,
            version: "1.3",
            status: Status::Partial("no paging of results"),
        });
    }
}

#[async_trait]
impl IqHandler for SearchModule {
    async fn handle(&self, iq: &IqRequest, _: &Context) -> Result<Option<Element>, StanzaError> {
        if iq.payload.name() != "query" {
            return Err(Condition::BadRequest.into());
        }
        if !self.domains.iter().any(|domain| domain == iq.from.domain()) {
            return Err(Condition::Forbidden.into());
        }
        if !iq.is_set() {
            return Ok(Some(fields_element()));
        }
        let form = Form::child_of(&iq.payload)?;
        let criteria = criteria(&iq.payload, form.as_ref())?;
        let found = self.search(iq.to.domain(), &criteria).await?;
        Ok(Some(result_element(&found, form.is_some())))
    }
}

impl SearchModule {
    async fn search(
        &self,
        domain: &str,
        criteria: &[Criterion],
    ) -> Result<Vec<(BareJid, Element)>, StanzaError> {
        let mut found = Vec::new();
        let Some((field, word)) = criteria.iter().max_by_key(|(_, word)| word.len()) else {
            return Ok(found);
        };
        let (mut after, mut looked_at) = (None, 0);
        while looked_at < MAX_LOOKED_AT {
            let page = self
                .vcards
                .search(domain, *field, word, after.as_ref(), MAX_FOUND)
                .await?;
            for owner in page.owners {
                looked_at += 1;
                let Some(vcard) = self.vcards.get(&owner).await? else {
                    continue;
                };
                let vcard = parse(&vcard)?;
                if criteria.iter().all(|criterion| matches(&vcard, criterion)) {
                    found.push((owner, vcard));
                    if found.len() == MAX_FOUND {
                        return Ok(found);
                    }
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(found)
    }
}

fn matches(vcard: &Element, (field, prefix): &Criterion) -> bool {
    xml::values(vcard, *field).any(|text| words(&text).any(|word| word.starts_with(prefix)))
}

/// A text as the index has it: lowercase, cut at white space and commas.
fn words(text: &str) -> impl Iterator<Item = String> {
    let parts = text.split(|c: char| c.is_whitespace() || c == ',');
    parts.filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// What is asked for.
///
/// # Errors
/// `bad-request`: a form for something else. `not-acceptable`: nothing is asked for, or too much.
fn criteria(query: &Element, form: Option<&Form>) -> Result<Vec<Criterion>, StanzaError> {
    let foreign = |form: &Form| {
        form.form_type != FormType::Submit || form.namespace().is_some_and(|it| it != ns::SEARCH)
    };
    if form.is_some_and(foreign) {
        return Err(StanzaError::new(
            Condition::BadRequest,
            "a submitted form for a search is expected",
        ));
    }
    let value = |index: usize, var: &str| match form {
        Some(form) => form.value(var).map(str::to_owned),
        None if index < LEGACY => query.child_text(var),
        None => None,
    };
    let mut criteria = Vec::new();
    for (index, (field, var, _)) in FIELDS.iter().enumerate() {
        let text = value(index, var).unwrap_or_default();
        // Who is used to it writes a star where a word may go on; here it always may.
        let prefixes = words(&text).map(|word| word.trim_end_matches('*').to_owned());
        criteria.extend(
            prefixes
                .filter(|word| !word.is_empty())
                .map(|word| (*field, word)),
        );
    }
    match criteria.len() {
        0 => Err(StanzaError::new(
            Condition::NotAcceptable,
            "fill in at least one field",
        )),
        1..=MAX_WORDS => Ok(criteria),
        _ => Err(StanzaError::new(Condition::NotAcceptable, "too many words")),
    }
}

/// What can be asked for, in both ways.
fn fields_element() -> Element {
    let mut form = Form::of(FormType::Form, ns::SEARCH)
        .with_title("Search for people")
        .with_instructions(INSTRUCTIONS);
    form.fields.extend(
        FIELDS.map(|(_, var, label)| Field::new(FieldType::TextSingle, var).with_label(label)),
    );
    let legacy = FIELDS[..LEGACY]
        .iter()
        .map(|(_, var, _)| Element::new(*var, ns::SEARCH));
    Element::new("query", ns::SEARCH)
        .with_child(Element::new("instructions", ns::SEARCH).with_text(INSTRUCTIONS))
        .with_children(legacy)
        .with_child(form.to_element())
}

/// What was found, in the way in which it was asked; nothing at all is an empty `<query/>` either way.
fn result_element(found: &[(BareJid, Element)], in_form: bool) -> Element {
    let query = Element::new("query", ns::SEARCH);
    let value = |vcard: &Element, field| xml::values(vcard, field).next().unwrap_or_default();
    if found.is_empty() {
        return query;
    }
    if !in_form {
        let item = |(jid, vcard): &(BareJid, Element)| {
            let child = |(field, var, _): &(VcardField, &'static str, &str)| {
                Element::new(*var, ns::SEARCH).with_text(value(vcard, *field))
            };
            let item = Element::new("item", ns::SEARCH).with_attr("jid", jid.as_str());
            item.with_children(FIELDS[..LEGACY].iter().map(child))
        };
        return query.with_children(found.iter().map(item));
    }
    let mut form = Form::new(FormType::Result)
        .with_field(Field::new(FieldType::Hidden, FORM_TYPE).with_value(ns::SEARCH));
    form.reported = vec![Field::new(FieldType::JidSingle, "jid").with_label("Address")];
    form.reported.extend(
        FIELDS.map(|(_, var, label)| Field::new(FieldType::TextSingle, var).with_label(label)),
    );
    form.items.extend(found.iter().map(|(jid, vcard)| {
        let jid = Field::untyped("jid", jid.as_str());
        let fields = FIELDS.map(|(field, var, _)| Field::untyped(var, value(vcard, field)));
        [jid].into_iter().chain(fields).collect()
    }));
    query.with_child(form.to_element())
}
