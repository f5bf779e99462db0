//! Result sets: which page is asked for, which page is answered.
//!
//! Source: XEP-0059. `<before/>` without text asks for the last page (§2.5), `<max>0</max>` for the count alone (§2.7).
//! A request with both `after` and `before` asks for what lies between; which end is cut is for the feature to say.

use crate::{Element, StanzaError, StanzaErrorCondition, ns};

/// What a client asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// At most so many items; 0: only the count.
    pub max: Option<u32>,
    /// Items after this one.
    pub after: Option<String>,
    /// Items before this one; the last page if it is empty.
    pub before: Option<String>,
    /// Items from this position on.
    pub index: Option<u32>,
}

impl PageRequest {
    /// Reads the `<set/>` that is a child of `query`. `Ok(None)`: there is none.
    ///
    /// # Errors
    /// `bad-request` if `max` or `index` is no number.
    pub fn parse(query: &Element) -> Result<Option<Self>, StanzaError> {
        let Some(set) = query.child("set", ns::RSM) else {
            return Ok(None);
        };
        let number = |name: &str| {
            let text = set.child_text(name);
            text.map(|text| text.trim().parse::<u32>())
                .transpose()
                .map_err(|_| StanzaErrorCondition::BadRequest)
        };
        Ok(Some(Self {
            max: number("max")?,
            // An empty `<after/>` names no item: from the start.
            after: set.child_text("after").filter(|id| !id.is_empty()),
            before: set.child_text("before"),
            index: number("index")?,
        }))
    }

    /// How many items to return, `limit` being the most that we return at once.
    pub fn limit(&self, limit: u32) -> u32 {
        self.max.map_or(limit, |max| max.min(limit))
    }

    /// Whether the page is taken from the end of what is asked for.
    pub fn is_backwards(&self) -> bool {
        self.before.is_some()
    }
}

/// What is answered beside the items.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageReply {
    /// Id of the first item of the page; absent from an empty page.
    pub first: Option<String>,
    /// Position of that item in the whole set.
    pub index: Option<u32>,
    /// Id of the last item of the page.
    pub last: Option<String>,
    /// Size of the whole set.
    pub count: Option<u32>,
}

impl PageReply {
    /// `<set/>`.
    pub fn to_element(&self) -> Element {
        let child = |name: &'static str, text: &Option<String>| {
            text.as_ref()
                .map(|text| Element::new(name, ns::RSM).with_text(text.clone()))
        };
        let first = child("first", &self.first)
            .map(|first| first.with_attr_opt("index", self.index.map(|index| index.to_string())));
        let count = child("count", &self.count.map(|count| count.to_string()));
        Element::new("set", ns::RSM).with_children(
            [first, child("last", &self.last), count]
                .into_iter()
                .flatten(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(set: &str) -> Result<Option<PageRequest>, StanzaError> {
        let query = format!("<query xmlns='urn:xmpp:mam:2'>{set}</query>");
        PageRequest::parse(&Element::parse(query.as_bytes(), ns::CLIENT).unwrap())
    }

    #[test]
    fn requests_of_the_xep() {
        let check = |children: &str, expected: PageRequest| {
            assert_eq!(
                request(&format!(
                    "<set xmlns='http://jabber.org/protocol/rsm'>{children}</set>"
                )),
                Ok(Some(expected))
            );
        };
        let page = PageRequest::default;
        check("", page());
        check(
            "<max>10</max>",
            PageRequest {
                max: Some(10),
                ..page()
            },
        );
        check(
            "<max>0</max>",
            PageRequest {
                max: Some(0),
                ..page()
            },
        );
        check(
            "<max>10</max><after>peter@pan</after>",
            PageRequest {
                max: Some(10),
                after: Some("peter@pan".into()),
                ..page()
            },
        );
        check(
            "<before/>",
            PageRequest {
                before: Some(String::new()),
                ..page()
            },
        );
        check("<after/>", page());
        check(
            "<before>x</before>",
            PageRequest {
                before: Some("x".into()),
                ..page()
            },
        );
        check(
            "<index> 371 </index>",
            PageRequest {
                index: Some(371),
                ..page()
            },
        );
        assert_eq!(request(""), Ok(None));
        for wrong in [
            "<max/>",
            "<max>-1</max>",
            "<max>many</max>",
            "<max>4294967296</max>",
            "<index>x</index>",
        ] {
            let set = format!("<set xmlns='http://jabber.org/protocol/rsm'>{wrong}</set>");
            assert_eq!(
                request(&set).unwrap_err().condition,
                StanzaErrorCondition::BadRequest,
                "{wrong}"
            );
        }
    }

    #[test]
    fn limit_is_the_smaller_of_both() {
        let check = |max, expected| {
            assert_eq!(
                PageRequest {
                    max,
                    ..Default::default()
                }
                .limit(50),
                expected
            )
        };
        check(None, 50);
        check(Some(0), 0);
        check(Some(20), 20);
        check(Some(1000), 50);
    }

    #[test]
    fn replies_of_the_xep() {
        let check = |reply: PageReply, children: &str| {
            let expected = match children {
                "" => "<set xmlns='http://jabber.org/protocol/rsm'/>".to_owned(),
                _ => format!("<set xmlns='http://jabber.org/protocol/rsm'>{children}</set>"),
            };
            assert_eq!(
                String::from_utf8(reply.to_element().to_bytes(ns::CLIENT)).unwrap(),
                expected
            );
        };
        check(PageReply::default(), "");
        check(
            PageReply {
                count: Some(790),
                ..Default::default()
            },
            "<count>790</count>",
        );
        let full = PageReply {
            first: Some("a".into()),
            index: Some(0),
            last: Some("b".into()),
            count: Some(800),
        };
        check(
            full,
            "<first index='0'>a</first><last>b</last><count>800</count>",
        );
        let bare = PageReply {
            first: Some("a".into()),
            last: Some("a".into()),
            ..Default::default()
        };
        check(bare, "<first>a</first><last>a</last>");
    }
}
