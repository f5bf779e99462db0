//! vCards from a directory (XEP-0054), and the search over them (XEP-0055).
//!
//! Which attributes make which field is an option; the defaults are those that ejabberd has, over `inetOrgPerson`
//! (RFC 2798) and `organizationalPerson` (RFC 4519). The version of a vCard follows from what is in it.
//! Bounds: a photo, a search. A search finds words of values, as one over our own index does.

mod map;

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use ldap3::ldap_escape;
use storage::{
    Error, Result,
    repository::{Vcard, VcardField, VcardPage, VcardPhoto, VcardRepository},
};
use xmpp::{BareJid, Element, ns};

pub use self::map::{LdapVcardField, LdapVcardOptions};
use self::map::{PLACES, SEARCHED, field_of};
use super::{Ldap, directory::Search, entry::Entry, template, users::User};
use crate::not_allowed;

/// Longest photo in bytes; a longer one is left out.
const MAX_PHOTO: usize = 512 << 10;
/// Longest text in bytes; a longer one is cut.
const MAX_TEXT: usize = 4 << 10;
/// Entries that a search looks at.
const MAX_FOUND: usize = 2_000;

/// The vCards of a directory.
pub struct LdapVcards {
    ldap: Ldap,
    options: LdapVcardOptions,
    attributes: Vec<String>,
}

impl LdapVcards {
    /// Of this directory.
    pub fn new(ldap: &Ldap, options: LdapVcardOptions) -> Self {
        let mut attributes: Vec<_> = options
            .map
            .iter()
            .flat_map(|it| it.attributes.iter().cloned())
            .collect();
        attributes.sort_unstable();
        attributes.dedup();
        Self {
            ldap: ldap.clone(),
            options,
            attributes,
        }
    }

    async fn load(&self, owner: &BareJid) -> Result<Option<Vcard>> {
        let others: Vec<_> = self.attributes.iter().map(String::as_str).collect();
        let found = self.ldap.users.find(owner, &others).await?;
        Ok(found.map(|user| self.vcard(&user)))
    }

    /// The value of a field.
    fn value(&self, user: &User, field: &str) -> Option<String> {
        let sources = self.options.map.iter().filter(|it| it.field == field);
        let texts = sources.filter_map(|it| {
            let of = |name: &String| user.entry.text(name).unwrap_or_default();
            let attributes: Vec<_> = it.attributes.iter().map(of).collect();
            template::text(
                &it.pattern,
                &user.name,
                &self.ldap.users.domain,
                &attributes,
            )
        });
        let text = texts.map(|mut text| {
            text.truncate(text.floor_char_boundary(MAX_TEXT));
            text.retain(|c| !c.is_control() || matches!(c, '\n' | '\t'));
            text
        });
        text.into_iter().find(|text| !text.is_empty())
    }

    fn photo_of<'a>(&self, entry: &'a Entry) -> Option<&'a [u8]> {
        let sources = self.options.map.iter().filter(|it| it.field == "PHOTO");
        let names = sources.flat_map(|it| it.attributes.iter());
        let mut values = names.filter_map(|name| entry.values(name).next());
        values.find(|photo| !photo.is_empty() && photo.len() <= MAX_PHOTO)
    }

    fn vcard(&self, user: &User) -> Vcard {
        let mut vcard = Element::new("vCard", ns::VCARD);
        let mut group: Option<(&str, Element)> = None;
        let photo = self.photo_of(&user.entry);
        for (field, outer, inner) in PLACES {
            if group.as_ref().is_some_and(|(open, _)| *open != outer)
                && let Some((_, whole)) = group.take()
            {
                vcard.push(whole);
            }
            if field == "PHOTO" {
                if let Some(photo) = photo {
                    vcard.push(photo_element(photo));
                }
                continue;
            }
            let Some(text) = self.value(user, field) else {
                continue;
            };
            if inner.is_empty() {
                vcard.push(Element::new(outer, ns::VCARD).with_text(text));
            } else {
                let (_, whole) =
                    group.get_or_insert_with(|| (outer, Element::new(outer, ns::VCARD)));
                whole.push(Element::new(inner, ns::VCARD).with_text(text));
            }
        }
        if let Some((_, whole)) = group {
            vcard.push(whole);
        }
        let xml: Bytes = vcard.to_bytes(ns::CLIENT).into();
        let searchable = SEARCHED.into_iter().filter_map(|field| {
            let text = self.value(user, field_of(field))?;
            Some((field, text))
        });
        Vcard {
            photo_sha1: photo.map(sha1),
            searchable: searchable.collect(),
            version: version(&xml),
            xml,
        }
    }
}

fn photo_element(photo: &[u8]) -> Element {
    let kind = match photo {
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [b'G', b'I', b'F', b'8', ..] => "image/gif",
        _ => "image/jpeg",
    };
    let child = |name: &'static str, text: String| Element::new(name, ns::VCARD).with_text(text);
    Element::new("PHOTO", ns::VCARD)
        .with_child(child("TYPE", kind.into()))
        .with_child(child("BINVAL", STANDARD.encode(photo)))
}

fn sha1(bytes: &[u8]) -> String {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes);
    hash.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A number that is another when the content is; never 0, which is "none".
fn version(xml: &[u8]) -> u64 {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, xml);
    let first = hash.as_ref().first_chunk().copied().unwrap_or_default();
    u64::from_be_bytes(first) >> 1 | 1
}

fn read_only() -> Error {
    not_allowed("vCards of this domain are kept in a directory")
}

/// Words as a search compares them: lowercase, cut at white space and commas.
fn words(text: &str) -> impl Iterator<Item = String> {
    let parts = text.split(|c: char| c.is_whitespace() || c == ',');
    parts.filter(|word| !word.is_empty()).map(str::to_lowercase)
}

#[async_trait]
impl VcardRepository for LdapVcards {
    fn is_writable(&self, _: &str) -> bool {
        false
    }

    async fn get(&self, owner: &BareJid) -> Result<Option<Vcard>> {
        self.load(owner).await
    }

    /// As much as the whole vCard: a directory does not tell the hash of an attribute.
    async fn photo(&self, owner: &BareJid) -> Result<Option<VcardPhoto>> {
        let found = self.load(owner).await?;
        Ok(found.map(|vcard| VcardPhoto {
            sha1: vcard.photo_sha1,
            version: vcard.version,
        }))
    }

    async fn put(&self, _: &BareJid, _: &Vcard, _: u64) -> Result<u64> {
        Err(read_only())
    }

    async fn remove(&self, _: &BareJid) -> Result<()> {
        Err(read_only())
    }

    /// One search a page, for everybody with such a word: two thousand at most, beyond which a search is `TooLarge`.
    async fn search(
        &self,
        domain: &str,
        field: VcardField,
        prefix: &str,
        after: Option<&Bytes>,
        limit: usize,
    ) -> Result<VcardPage> {
        let attribute = self
            .options
            .search
            .iter()
            .find(|(known, _)| *known == field);
        let Some((_, attribute)) = attribute.filter(|_| domain == self.ldap.users.domain) else {
            return Ok(VcardPage::default());
        };
        let prefix = prefix.to_lowercase();
        let text = ldap_escape(prefix.as_str());
        // A word begins the value, or follows a space or a comma.
        let matching = match prefix.is_empty() {
            true => format!("({attribute}=*)"),
            false => {
                format!("(|({attribute}={text}*)({attribute}=* {text}*)({attribute}=*,{text}*))")
            }
        };
        let everybody = self.ldap.users.filter(template::Value::Any);
        let search = Search {
            entry: None,
            filter: format!("(&{matching}{everybody})"),
            attributes: self.ldap.users.attributes(&[attribute]),
            limit: MAX_FOUND,
        };
        let entries = self.ldap.directory.search(&search).await?;
        let users = entries
            .into_iter()
            .filter_map(|entry| self.ldap.users.user_of(entry));
        let mut found: Vec<(String, BareJid)> = users
            .filter_map(|user| {
                let words = user.entry.texts(attribute).flat_map(words);
                let word = words.filter(|word| word.starts_with(&prefix)).min()?;
                Some((format!("{word}\0{}", user.account.as_str()), user.account))
            })
            .collect();
        found.sort_unstable();
        let from = after.map_or(0, |after| {
            found.partition_point(|(key, _)| key.as_bytes() <= &after[..])
        });
        let mut page = found.split_off(from);
        let more = page.len() > limit;
        page.truncate(limit);
        Ok(VcardPage {
            next: page
                .last()
                .filter(|_| more)
                .map(|(key, _)| Bytes::from(key.clone())),
            owners: page.into_iter().map(|(_, owner)| owner).collect(),
        })
    }
}
