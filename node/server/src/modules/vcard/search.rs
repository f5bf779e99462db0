//! Search: people by what their vCards say.
//!
//! | file | concern |
//! |---|---|
//! | here | what is asked for, and who is found |
//! | `xml` | questions and answers, with a form and without |
//! | [`service`] | the address of a search of its own |
//!
//! Source: XEP-0055 v1.3, XEP-0059 v1.0 (pages; only forwards, and nobody counts).
//! Why here: each text asked for must begin a word of its field or, if it has three characters, stand in it. The longest one is
//! looked up in the index (first where it begins a word, then where it is inside of one), the rest is checked on what the
//! record says. Who may search, what may be asked for and is told, is configured: nobody harvests addresses from outside.
//! Stored: the index of the repository. Bounds: [`MAX_LOOKED_AT`], the words of a question, and the page.

pub mod service;
mod xml;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use storage::repository::{VcardField, VcardRepository, vcard::MIN_INSIDE};
use xmpp::{
    BareJid, Element, Jid, StanzaError, StanzaErrorCondition as Condition, ns,
    payload::{
        form::Form,
        rsm::{PageReply, PageRequest},
    },
};

use self::xml::FIELDS;
use crate::{
    config::Circle,
    module::{Context, IqHandler, IqRequest, Module, Registry, Spec, Status, Target},
};

/// People that one request looks at.
const MAX_LOOKED_AT: usize = 2_000;
/// A field with its name and label.
type Named = (VcardField, &'static str, &'static str);

/// How people are searched for.
#[derive(Debug, Clone)]
pub struct SearchOptions {
    /// Addresses of their own, each with the domain whose people are found there.
    pub services: Vec<(String, String)>,
    /// Whether the domains answer themselves.
    pub at_domains: bool,
    /// The domains whose accounts may search.
    pub domains: Vec<String>,
    /// The administrators.
    pub admins: Vec<BareJid>,
    /// Who may search.
    pub who: Circle,
    /// Names of what may be asked for and is told.
    pub fields: Vec<String>,
    /// Whether a text is found within words.
    pub contains: bool,
    /// People on one page.
    pub page: usize,
}

/// A text that a field must have, in lowercase.
type Criterion = (VcardField, String);

/// What a vCard says.
type Told = Vec<(VcardField, String)>;

/// The module.
pub struct SearchModule {
    vcards: Arc<dyn VcardRepository>,
    options: SearchOptions,
    fields: Vec<Named>,
}

/// People who were found.
struct Found {
    people: Vec<(BareJid, Told)>,
    /// Where the next page goes on; `None`: there is none.
    next: Option<Cursor>,
}

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cursor {
    /// Among those with a word in which the text stands behind its beginning.
    inside: bool,
    /// Behind this entry of the index.
    after: Option<Bytes>,
}

impl Cursor {
    const START: Self = Self {
        inside: false,
        after: None,
    };

    fn parse(text: &str) -> Result<Self, StanzaError> {
        let unknown = || StanzaError::new(Condition::ItemNotFound, "there is no such page");
        let (kind, digits) = text.split_at_checked(1).ok_or_else(unknown)?;
        let inside = match kind {
            "p" => false,
            "i" => true,
            _ => return Err(unknown()),
        };
        let digit = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(digit).collect();
        let bytes = bytes
            .filter(|_| digits.len() % 2 == 0)
            .ok_or_else(unknown)?;
        let after = (!bytes.is_empty()).then(|| bytes.into());
        Ok(Self { inside, after })
    }

    fn text(&self) -> String {
        let after = self.after.as_deref().unwrap_or_default();
        let digits: String = after.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}{digits}", if self.inside { "i" } else { "p" })
    }
}

impl SearchModule {
    /// Over a repository.
    pub fn new(vcards: Arc<dyn VcardRepository>, options: SearchOptions) -> Self {
        let is_asked = |(_, var, _): &Named| options.fields.iter().any(|known| known == var);
        Self {
            vcards,
            fields: FIELDS.into_iter().filter(is_asked).collect(),
            options,
        }
    }

    fn may_search(&self, who: &Jid) -> bool {
        let SearchOptions {
            domains, admins, ..
        } = &self.options;
        self.options.who.has(who, domains, admins)
    }

    /// Answers somebody who searches for people of a domain.
    async fn answer(
        &self,
        from: &Jid,
        domain: &str,
        is_set: bool,
        query: &Element,
    ) -> Result<Element, StanzaError> {
        if query.name() != "query" {
            return Err(Condition::BadRequest.into());
        }
        if !self.may_search(from) {
            return Err(Condition::Forbidden.into());
        }
        if !is_set {
            return Ok(self.fields_element());
        }
        let form = Form::child_of(query)?;
        let criteria = self.criteria(query, form.as_ref())?;
        let page = PageRequest::parse(query)?;
        if page
            .as_ref()
            .is_some_and(|it| it.before.is_some() || it.index.is_some())
        {
            let text = "pages follow one another here: ask for what comes after one";
            return Err(StanzaError::new(Condition::FeatureNotImplemented, text));
        }
        let asked = page.clone().unwrap_or_default();
        let begins = match &asked.after {
            Some(after) => Cursor::parse(after)?,
            None => Cursor::START,
        };
        let most = u32::try_from(self.options.page).unwrap_or(u32::MAX);
        let most = asked.limit(most) as usize;
        let first = begins.text();
        let found = match most {
            0 => Found {
                people: Vec::new(),
                next: None,
            },
            most => self.search(domain, &criteria, begins, most).await?,
        };
        let mut result = self.result_element(&found.people, form.is_some());
        if page.is_some() {
            // Without a next page the last one of this is beyond all.
            let end = Cursor {
                inside: true,
                after: Some(Bytes::from_static(&[0xff])),
            };
            let last = found.next.unwrap_or(end).text();
            let some = (!found.people.is_empty()).then_some((first, last));
            let (first, last) = some.unzip();
            let reply = PageReply {
                first,
                last,
                ..PageReply::default()
            };
            result = result.with_child(reply.to_element());
        }
        Ok(result)
    }

    async fn search(
        &self,
        domain: &str,
        criteria: &[Criterion],
        begins: Cursor,
        most: usize,
    ) -> Result<Found, StanzaError> {
        let mut found = Found {
            people: Vec::new(),
            next: Some(begins),
        };
        let Some((field, word)) = criteria.iter().max_by_key(|(_, word)| word.len()) else {
            return Ok(found);
        };
        let goes_inside = self.options.contains && word.chars().count() >= MIN_INSIDE;
        let mut looked_at = 0;
        while let Some(Cursor { inside, after }) = found.next.clone() {
            let limit = most - found.people.len();
            if limit == 0 {
                return Ok(found);
            }
            if looked_at >= MAX_LOOKED_AT {
                if found.people.is_empty() {
                    let text = "too many match a part of this: ask for longer words";
                    return Err(StanzaError::new(Condition::NotAcceptable, text));
                }
                return Ok(found);
            }
            let (vcards, after) = (&self.vcards, after.as_ref());
            let page = match inside {
                false => vcards.search(domain, *field, word, after, limit).await?,
                true => vcards.search_inside(domain, word, after, limit).await?,
            };
            looked_at += page.owners.len().max(1);
            for owner in page.owners {
                let Some(told) = self.vcards.told(&owner).await? else {
                    continue;
                };
                // Who has a word that begins so was told before.
                let is_new = !inside || !words_of(&told, *field).any(|it| it.starts_with(word));
                if is_new
                    && criteria
                        .iter()
                        .all(|criterion| self.matches(&told, criterion))
                {
                    found.people.push((owner, told));
                }
            }
            found.next = match (page.next, inside) {
                (Some(next), inside) => Some(Cursor {
                    inside,
                    after: Some(next),
                }),
                (None, false) if goes_inside => Some(Cursor {
                    inside: true,
                    after: None,
                }),
                (None, _) => None,
            };
        }
        Ok(found)
    }

    fn matches(&self, told: &Told, (field, text): &Criterion) -> bool {
        let inside = self.options.contains && text.chars().count() >= MIN_INSIDE;
        words_of(told, *field).any(|word| match inside {
            true => word.contains(text.as_str()),
            false => word.starts_with(text.as_str()),
        })
    }
}

impl Module for SearchModule {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        if self.options.at_domains {
            registry.iq(Target::Server, ns::SEARCH, self.clone());
            registry.disco(Target::Server, ns::SEARCH);
            registry.disco_identity(Target::Server, "directory", "user");
        }
        service::register(&self, registry);
        registry.spec(Spec {
            xep: 55,
            version: "1.3",
            status: Status::Partial("pages only forwards, and nobody counts"),
        });
    }
}

#[async_trait]
impl IqHandler for SearchModule {
    async fn handle(&self, iq: &IqRequest, _: &Context) -> Result<Option<Element>, StanzaError> {
        let answer = self.answer(&iq.from, iq.to.domain(), iq.is_set(), &iq.payload);
        answer.await.map(Some)
    }
}

/// Words of a field, as the index has them.
fn words_of(told: &Told, field: VcardField) -> impl Iterator<Item = String> {
    let of = told.iter().filter(move |(known, _)| *known == field);
    of.flat_map(|(_, text)| words(text))
}

/// A text as the index has it: folded, cut at white space and commas.
fn words(text: &str) -> impl Iterator<Item = String> {
    let parts = text.split(|c: char| c.is_whitespace() || c == ',');
    parts.filter(|word| !word.is_empty()).map(xmpp::folded)
}

#[cfg(test)]
mod tests;
