//! Entries: what a directory tells of one.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ldap3::{ResultEntry, SearchEntry};
use storage::Result;

use crate::corrupt;

/// An entry.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) dn: String,
    attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl Entry {
    fn parse(found: SearchEntry) -> Self {
        let SearchEntry {
            dn,
            attrs,
            bin_attrs,
        } = found;
        let texts = attrs.into_iter().map(|(name, values)| {
            let values = values.into_iter().map(String::into_bytes).collect();
            (name, values)
        });
        Self {
            dn,
            attributes: texts.chain(bin_attrs).collect(),
        }
    }

    /// The values of an attribute; names are the same in either case.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let of = self.attributes.iter();
        of.filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .flat_map(|(_, values)| values.iter().map(Vec::as_slice))
    }

    /// Those that are texts, none of them empty.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values(name)
            .filter_map(|value| std::str::from_utf8(value).ok())
            .filter(|text| !text.is_empty())
    }

    /// The first text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.texts(name).next()
    }

    /// Where a directory has cut the values of an attribute (Active Directory: `member;range=0-1499`): the number of
    /// the first one that is missing.
    pub(super) fn cut_at(&self, name: &str) -> Option<u64> {
        self.attributes.iter().find_map(|(known, _)| {
            let (of, range) = known.split_once(";range=")?;
            let end = range.split_once('-')?.1;
            let end: u64 = of.eq_ignore_ascii_case(name).then(|| end.parse().ok())??;
            Some(end + 1)
        })
    }

    /// Adds the values of such a part under the name of the whole.
    pub(super) fn with_part(mut self, name: &str) -> Self {
        for (known, _) in &mut self.attributes {
            let is_part = known
                .split_once(";range=")
                .is_some_and(|(of, _)| of.eq_ignore_ascii_case(name));
            if is_part {
                name.clone_into(known);
            }
        }
        self
    }

    pub(super) fn append(&mut self, other: Self) {
        self.attributes.extend(other.attributes);
    }
}

/// The library panics on what is no entry; one broken answer is not worth a session.
pub(super) fn parse(entry: ResultEntry) -> Result<Entry> {
    catch_unwind(AssertUnwindSafe(|| SearchEntry::construct(entry)))
        .map(Entry::parse)
        .map_err(|_| corrupt("the directory sent what is no entry"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_long_attribute_are_known() {
        let entry = |name: &str| Entry {
            dn: "cn=all".into(),
            attributes: vec![(name.into(), vec![b"cn=a".to_vec()])],
        };
        assert_eq!(entry("member").cut_at("member"), None);
        assert_eq!(entry("member;range=0-*").cut_at("member"), None);
        assert_eq!(entry("other;range=0-9").cut_at("member"), None);
        let cut = entry("Member;range=0-1499");
        assert_eq!(cut.cut_at("member"), Some(1500));
        assert_eq!(
            cut.with_part("member").texts("MEMBER").collect::<Vec<_>>(),
            ["cn=a"]
        );
    }
}
