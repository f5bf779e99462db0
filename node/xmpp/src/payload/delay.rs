//! Delayed delivery and the time stamps of XMPP.
//!
//! Source: XEP-0203, XEP-0082 (profile DateTime). Time is a number of milliseconds since 1970 in UTC; finer fractions
//! of a second are dropped.

use time::{
    Duration, OffsetDateTime, UtcDateTime, UtcOffset, format_description::well_known::Rfc3339,
};

use crate::{Element, Node, ns};

/// `2002-09-10T23:08:25.000Z`, always with milliseconds, so that stamps sort as text.
/// Times beyond the years -9999 and 9999, which no clock of ours tells, are held there.
pub fn stamp(unix_ms: i64) -> String {
    let at = UtcDateTime::UNIX_EPOCH.saturating_add(Duration::milliseconds(unix_ms));
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.millisecond()
    )
}

/// Milliseconds since 1970 from a DateTime with any offset. `None`: it is none.
pub fn parse_stamp(text: &str) -> Option<i64> {
    let at = OffsetDateTime::parse(text, &Rfc3339)
        .ok()?
        .to_offset(UtcOffset::UTC);
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

/// `<delay/>`: `from` had the stanza since `unix_ms`.
pub fn delay_element(from: Option<&str>, unix_ms: i64) -> Element {
    Element::new("delay", ns::DELAY)
        .with_attr_opt("from", from)
        .with_attr("stamp", stamp(unix_ms))
}

/// What `<delay/>` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delay {
    /// Who says so, as written.
    pub from: Option<String>,
    /// Since when, in milliseconds since 1970.
    pub unix_ms: i64,
}

/// Reads `<delay/>`. `None`: it is something else or its stamp is malformed.
pub fn parse_delay(node: Node<'_>) -> Option<Delay> {
    let stamp = node
        .is("delay", ns::DELAY)
        .then(|| node.attr("stamp"))
        .flatten()?;
    Some(Delay {
        from: node.attr("from").map(Into::into),
        unix_ms: parse_stamp(&stamp)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fragment;

    #[test]
    fn stamps_read_back() {
        let check = |unix_ms, text: &str| {
            assert_eq!(stamp(unix_ms), text);
            assert_eq!(parse_stamp(text), Some(unix_ms));
        };
        check(0, "1970-01-01T00:00:00.000Z");
        check(1_031_699_305_000, "2002-09-10T23:08:25.000Z");
        check(1_031_699_305_007, "2002-09-10T23:08:25.007Z");
        check(-14_159_024_001, "1969-07-21T02:56:15.999Z");
        check(253_402_300_799_999, "9999-12-31T23:59:59.999Z");
        check(951_782_400_000, "2000-02-29T00:00:00.000Z");
    }

    #[test]
    fn any_datetime_of_xep_0082_is_read() {
        let check = |text, expected| assert_eq!(parse_stamp(text), expected, "{text}");
        check("1969-07-21T02:56:15Z", Some(-14_159_025_000));
        check("1969-07-20T21:56:15-05:00", Some(-14_159_025_000));
        check("1970-01-01T00:00:00.5Z", Some(500));
        check("1970-01-01T00:00:00.1239999Z", Some(123));
        check("1970-01-01T07:00:00+07:00", Some(0));
        check("1969-12-31T23:59:59.9999Z", Some(-1));
        for wrong in [
            "",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-02-30T00:00:00Z",
            "19700101T00:00:00",
            "1970-01-01T25:00:00Z",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn delay_reads_back() {
        let element = delay_element(Some("capulet.com"), 1_031_699_305_000);
        let fragment = Fragment::parse(element.to_bytes(ns::CLIENT).into(), ns::CLIENT).unwrap();
        assert_eq!(
            parse_delay(fragment.root()),
            Some(Delay {
                from: Some("capulet.com".into()),
                unix_ms: 1_031_699_305_000
            })
        );
        let stampless =
            Fragment::parse("<delay xmlns='urn:xmpp:delay'/>".into(), ns::CLIENT).unwrap();
        assert_eq!(parse_delay(stampless.root()), None);
    }
}
