//! A hash over what was offered, signed with the exchange, so that nobody shortens the list on the way.
//!
//! Source: XEP-0474 §5.1. The server puts it into its challenge as the attribute `h`; the client compares.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{BindingOffer, Hash};

/// The value of `h`: the offered mechanisms of the profile in use (SASL or SASL2, not both) and, if XEP-0440 was used,
/// the channel-binding types. `hash` is the one of the SCRAM mechanism in use.
///
/// ```
/// use xmpp::sasl::{BindingOffer, Hash, downgrade_hash};
/// let offer = BindingOffer { exporter: true, server_end_point: true };
/// let hash = downgrade_hash(Hash::Sha1, ["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"], offer);
/// assert_eq!(hash, "G6k/rBLDqgOhRRaCuuatSDFkJ08=");
/// ```
pub fn downgrade_hash<'a>(
    hash: Hash,
    mechanisms: impl IntoIterator<Item = &'a str>,
    offered: BindingOffer,
) -> String {
    let mut input = sorted(mechanisms);
    if !offered.is_empty() {
        input.push('\x1F');
        input.push_str(&sorted(offered.types().map(|binding| binding.as_str())));
    }
    STANDARD.encode(hash.digest(input.as_bytes()))
}

/// Sorted by octets, joined by the record separator.
fn sorted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_unstable();
    names.join("\x1E")
}
