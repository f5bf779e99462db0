//! Archive preferences on the wire.
//!
//! Source: XEP-0441 v0.2.0 §2.1.

use storage::repository::{ArchiveDefault, ArchivePreferences};
use xmpp::{Element, Jid, StanzaError, StanzaErrorCondition as Condition, ns};

/// How many addresses a list may have.
const MAX_LISTED: usize = 1_000;

const DEFAULTS: [(ArchiveDefault, &str); 3] = [
    (ArchiveDefault::Always, "always"),
    (ArchiveDefault::Never, "never"),
    (ArchiveDefault::Roster, "roster"),
];

/// What holds for an account that said nothing.
pub fn unsaid() -> ArchivePreferences {
    ArchivePreferences {
        default: ArchiveDefault::Always,
        always: Vec::new(),
        never: Vec::new(),
        version: 0,
    }
}

/// `<prefs/>`.
pub fn prefs_element(preferences: &ArchivePreferences) -> Element {
    let jid = |jid: &String| Element::new("jid", ns::MAM).with_text(jid.clone());
    let list = |name: &'static str, jids: &[String]| {
        Element::new(name, ns::MAM).with_children(jids.iter().map(jid))
    };
    let default = DEFAULTS
        .into_iter()
        .find(|(default, _)| *default == preferences.default)
        .map(|(_, name)| name);
    Element::new("prefs", ns::MAM)
        .with_attr_opt("default", default)
        .with_child(list("always", &preferences.always))
        .with_child(list("never", &preferences.never))
}

/// Reads `<prefs/>`; a list that is left out is empty.
///
/// # Errors
/// `bad-request` if the default is none of the three, `jid-malformed`, `policy-violation` for a list that is too long.
pub fn parse_prefs(prefs: &Element) -> Result<ArchivePreferences, StanzaError> {
    let written = prefs.attr("default");
    let default = DEFAULTS
        .into_iter()
        .find(|(_, name)| Some(*name) == written)
        .map(|(default, _)| default);
    let Some(default) = default else {
        return Err(StanzaError::new(
            Condition::BadRequest,
            "the default is always, never or roster",
        ));
    };
    Ok(ArchivePreferences {
        default,
        always: list(prefs, "always")?,
        never: list(prefs, "never")?,
        version: 0,
    })
}

fn list(prefs: &Element, name: &str) -> Result<Vec<String>, StanzaError> {
    let jids = prefs
        .child(name, ns::MAM)
        .into_iter()
        .flat_map(Element::children)
        .filter(|child| child.is("jid", ns::MAM));
    let mut parsed = Vec::new();
    for jid in jids {
        let jid = Jid::parse(jid.text().trim())
            .map_err(|_| StanzaError::from(Condition::JidMalformed))?;
        if !parsed.iter().any(|known| known == jid.as_str()) {
            parsed.push(jid.as_str().to_owned());
        }
        if parsed.len() > MAX_LISTED {
            return Err(StanzaError::new(
                Condition::PolicyViolation,
                "too many addresses",
            ));
        }
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_read_back_and_mistakes_are_told() {
        let check = |text: &str, expected: Result<&str, Condition>| {
            let read = parse_prefs(&Element::parse(text.as_bytes(), ns::CLIENT).unwrap());
            let read =
                read.map(|it| String::from_utf8(prefs_element(&it).to_bytes(ns::MAM)).unwrap());
            assert_eq!(
                read.as_deref().map_err(|error| error.condition),
                expected,
                "{text}"
            );
        };
        let empty = "<prefs default='roster'><always/><never/></prefs>";
        check(
            "<prefs xmlns='urn:xmpp:mam:2' default='roster'/>",
            Ok(empty),
        );
        check(
            "<prefs xmlns='urn:xmpp:mam:2' default='never'><always><jid>Romeo@Montague.lit</jid><jid>romeo@montague.lit</jid>\
             </always><never><jid>a@b/C</jid></never></prefs>",
            Ok(
                "<prefs default='never'><always><jid>romeo@montague.lit</jid></always><never><jid>a@b/C</jid></never></prefs>",
            ),
        );
        check(
            "<prefs xmlns='urn:xmpp:mam:2'/>",
            Err(Condition::BadRequest),
        );
        check(
            "<prefs xmlns='urn:xmpp:mam:2' default='often'/>",
            Err(Condition::BadRequest),
        );
        check(
            "<prefs xmlns='urn:xmpp:mam:2' default='never'><never><jid/></never></prefs>",
            Err(Condition::JidMalformed),
        );
        let many: String = (0..=MAX_LISTED)
            .map(|n| format!("<jid>{n}@b</jid>"))
            .collect();
        let many =
            format!("<prefs xmlns='urn:xmpp:mam:2' default='never'><never>{many}</never></prefs>");
        check(&many, Err(Condition::PolicyViolation));
    }
}
