//! Header: whether we speak to whoever opens a stream, and what our own header says.
//!
//! Source: RFC 6120 §4.7, §4.8 and §4.9.3; XEP-0388 v1.0 §2 (`from`). Pure; what is no stream at all the decoder refuses.

use xmpp::{BareJid, StreamError, StreamErrorCondition as Condition, codec::StreamHeader, ns};

/// The language of all the text that we write.
pub(super) const LANGUAGE: &str = "en";

/// What a client's stream header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Greeting {
    /// The domain of ours that it speaks to, in normal form.
    pub(super) domain: String,
    /// Who it says it is: nothing is proven.
    pub(super) from: Option<BareJid>,
    /// The language of what it will send (RFC 6120 §4.7.4), if it names one.
    pub(super) lang: Option<Box<str>>,
}

/// Checks a client's stream header.
///
/// # Errors
/// The stream error to answer with.
pub(super) fn check(
    header: &StreamHeader,
    serves: impl Fn(&str) -> bool,
) -> Result<Greeting, StreamError> {
    if header.content_ns != ns::CLIENT {
        return Err(StreamError::new(
            Condition::InvalidNamespace,
            "this is a stream for clients",
        ));
    }
    let domain = domain(header.to.as_deref(), serves)?;
    // RFC 6120 §4.7.5: no version is version 0.9, which knows no features. A higher one answers to ours.
    let major = header
        .version
        .as_deref()
        .and_then(|version| version.split_once('.'))
        .map(|(major, _)| major.parse::<u32>());
    if !matches!(major, Some(Ok(1..))) {
        return Err(Condition::UnsupportedVersion.into());
    }
    // RFC 6120 §4.7.1 wants a bare address; a resource says no more. What is no address at all is as good as none.
    let from = header
        .from
        .as_deref()
        .and_then(|from| xmpp::Jid::parse(from).ok())
        .map(|from| from.to_bare());
    if from.as_ref().is_some_and(|from| from.domain() != domain) {
        return Err(StreamError::new(
            Condition::InvalidFrom,
            "an account of another domain",
        ));
    }
    let lang = header.lang.as_deref().filter(|lang| is_language(lang));
    Ok(Greeting {
        domain,
        from,
        lang: lang.map(Into::into),
    })
}

/// Whether this may be a language tag (RFC 5646 §2.1, roughly); what is none is as good as not there. It is written on
/// every stanza of the session, hence the bound (RFC 5646 §4.4.1 wants 35 characters to be enough).
fn is_language(tag: &str) -> bool {
    let subtag =
        |it: &str| (1..=8).contains(&it.len()) && it.bytes().all(|b| b.is_ascii_alphanumeric());
    tag.len() <= 35 && tag.split('-').all(subtag)
}

fn domain(to: Option<&str>, serves: impl Fn(&str) -> bool) -> Result<String, StreamError> {
    let Some(to) = to else {
        // RFC 6120 §4.7.2: the client must say which of our domains it means.
        return Err(StreamError::new(
            Condition::ImproperAddressing,
            "a stream header needs a 'to'",
        ));
    };
    let domain = BareJid::parse(to).ok().filter(|to| to.local().is_none());
    let domain = domain.ok_or_else(|| StreamError::from(Condition::ImproperAddressing))?;
    if serves(domain.domain()) {
        Ok(domain.domain().to_owned())
    } else {
        Err(Condition::HostUnknown.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(
        to: Option<&str>,
        from: Option<&str>,
        version: Option<&str>,
        content_ns: &str,
    ) -> StreamHeader {
        StreamHeader {
            to: to.map(Into::into),
            from: from.map(Into::into),
            version: version.map(Into::into),
            content_ns: content_ns.to_owned(),
            ..StreamHeader::default()
        }
    }

    #[test]
    fn a_language_is_a_tag_of_bounded_length() {
        let check = |lang: &str, expected: Option<&str>| {
            let header = StreamHeader {
                lang: Some(lang.into()),
                ..header(Some("example.org"), None, Some("1.0"), ns::CLIENT)
            };
            let found = check(&header, |_| true).unwrap().lang;
            assert_eq!(found.as_deref(), expected, "{lang}");
        };
        check("de", Some("de"));
        check("zh-Hant-TW", Some("zh-Hant-TW"));
        for none in ["", "-", "de-", "d e", "de_DE", "ninechars", "\u{e4}"] {
            check(none, None);
        }
        check(&"abcdefgh-".repeat(4), None);
        check(
            "abcdefgh-abcdefgh-abcdefgh-abcdefgh",
            Some("abcdefgh-abcdefgh-abcdefgh-abcdefgh"),
        );
        check("abcdefgh-abcdefgh-abcdefgh-abcdefgh-a", None);
    }

    #[test]
    fn header_is_checked_in_the_order_of_the_rfc() {
        let check = |to, from, version, content_ns, expected: Result<Option<&str>, Condition>| {
            let found = check(&header(to, from, version, content_ns), |domain| {
                domain == "example.org"
            });
            let found = found
                .map(|it| it.from.map(|from| from.to_string()))
                .map_err(|error| error.condition);
            assert_eq!(
                found,
                expected.map(|it| it.map(str::to_owned)),
                "{to:?} {from:?} {version:?} {content_ns}"
            );
        };
        let (ours, v1) = (Some("example.org"), Some("1.0"));
        check(ours, None, v1, ns::CLIENT, Ok(None));
        check(Some("EXAMPLE.org"), None, v1, ns::CLIENT, Ok(None));
        check(
            ours,
            Some("Juliet@example.org"),
            v1,
            ns::CLIENT,
            Ok(Some("juliet@example.org")),
        );
        check(
            ours,
            Some("juliet@example.org/balcony"),
            v1,
            ns::CLIENT,
            Ok(Some("juliet@example.org")),
        );
        check(ours, Some("@"), v1, ns::CLIENT, Ok(None));
        check(ours, None, Some("1.1"), ns::CLIENT, Ok(None));
        check(ours, None, Some("2.0"), ns::CLIENT, Ok(None));
        check(
            Some("example.net"),
            None,
            None,
            ns::SERVER,
            Err(Condition::InvalidNamespace),
        );
        check(ours, None, v1, "", Err(Condition::InvalidNamespace));
        check(
            None,
            None,
            None,
            ns::CLIENT,
            Err(Condition::ImproperAddressing),
        );
        check(
            Some(""),
            None,
            v1,
            ns::CLIENT,
            Err(Condition::ImproperAddressing),
        );
        check(
            Some("juliet@example.org"),
            None,
            v1,
            ns::CLIENT,
            Err(Condition::ImproperAddressing),
        );
        check(
            Some("example.net"),
            None,
            None,
            ns::CLIENT,
            Err(Condition::HostUnknown),
        );
        check(
            ours,
            Some("juliet@example.net"),
            None,
            ns::CLIENT,
            Err(Condition::UnsupportedVersion),
        );
        for version in ["0.9", "1", "", "x.0", "-1.0"] {
            check(
                ours,
                None,
                Some(version),
                ns::CLIENT,
                Err(Condition::UnsupportedVersion),
            );
        }
        check(
            ours,
            Some("juliet@example.net"),
            v1,
            ns::CLIENT,
            Err(Condition::InvalidFrom),
        );
    }
}
