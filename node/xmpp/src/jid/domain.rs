//! The domainpart: host name, internationalised name in U-labels, or IP literal (RFC 7622 §3.2).
//!
//! Source: RFC 7622 §3.2, RFC 5891 §4.2, RFC 5892; UTS #46 does the mapping (case, width, NFC, A-label to U-label).
//! Why more than UTS #46: it lets symbols through, IDNA2008 does not, and two names for one server are one too many.

use std::{borrow::Cow, net::Ipv6Addr};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::{context, parse, precis};

/// Most bytes of a label on the wire (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;

/// The normal form of a domainpart, or `None` if it is none.
pub(super) fn normalise(text: &str) -> Option<Cow<'_, str>> {
    if let Some(literal) = text.strip_prefix('[') {
        let address: Ipv6Addr = literal.strip_suffix(']')?.parse().ok()?;
        return Some(Cow::Owned(format!("[{address}]")));
    }
    // RFC 7622 §3.2: a final dot is removed.
    let host = text.strip_suffix('.').unwrap_or(text);
    if parse::is_host_class(host.as_bytes()) && parse::is_host_name(host.as_bytes()) {
        let normal = !host.bytes().any(|byte| byte.is_ascii_uppercase());
        return Some(if normal {
            Cow::Borrowed(host)
        } else {
            Cow::Owned(host.to_ascii_lowercase())
        });
    }
    international(text).map(Cow::Owned)
}

fn international(text: &str) -> Option<String> {
    let unicode = to_unicode(text)?;
    // Here also for the ideographic full stop, which has become a dot.
    let unicode = unicode.strip_suffix('.').unwrap_or(&unicode);
    let ascii = Uts46::new()
        .to_ascii(
            unicode.as_bytes(),
            AsciiDenyList::STD3,
            Hyphens::CheckFirstLast,
            DnsLength::Ignore,
        )
        .ok()?;
    let fits = ascii
        .split('.')
        .all(|label| (1..=MAX_LABEL).contains(&label.len()));
    let well_formed = unicode.split('.').all(is_label);
    let stable = to_unicode(unicode).is_some_and(|again| again == unicode);
    (fits && well_formed && stable).then(|| unicode.to_owned())
}

fn to_unicode(text: &str) -> Option<Cow<'_, str>> {
    let (unicode, result) = Uts46::new().to_unicode(
        text.as_bytes(),
        AsciiDenyList::STD3,
        Hyphens::CheckFirstLast,
    );
    result.ok().map(|()| unicode)
}

/// RFC 5891 §4.2.3 for a U-label; UTS #46 has checked combining marks, joiners and direction.
fn is_label(label: &str) -> bool {
    if label.is_ascii() {
        return true;
    }
    let chars: Vec<char> = label.chars().collect();
    // What PRECIS allows in identifiers is what IDNA2008 allows in labels once UTS #46 has mapped (RFC 8264 §9).
    chars.get(2..4) != Some(&['-', '-'])
        && chars.iter().all(|c| precis::in_identifier_class(*c))
        && context::holds(&chars)
}
