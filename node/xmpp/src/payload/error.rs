//! Stanza errors as they are read.
//!
//! Source: RFC 6120 §8.3.2. A condition or type that we do not know reads as `undefined-condition` or as the
//! condition's own type (§8.3.3.21 asks the first): an error stays an error. Building is [`StanzaError::to_element`].

use crate::{ErrorType, Node, StanzaError, StanzaErrorCondition, ns};

/// Reads the `<error/>` of a stanza. `None`: the node is no `<error/>`.
pub fn parse_error(node: Node<'_>) -> Option<StanzaError> {
    if node.name() != "error" || !matches!(node.ns(), ns::CLIENT | ns::SERVER) {
        return None;
    }
    let mut error = StanzaError::from(StanzaErrorCondition::UndefinedCondition);
    for child in node.children() {
        if child.ns() != ns::STANZA_ERRORS {
            error
                .application
                .get_or_insert_with(|| Box::new(child.to_element()));
        } else if child.name() == "text" {
            error.text.get_or_insert_with(|| child.text().into_owned());
        } else if let Some(condition) = StanzaErrorCondition::parse(child.name()) {
            error.condition = condition;
            error.error_type = condition.default_type();
        }
    }
    if let Some(written) = node.attr("type").and_then(|text| parse_type(&text)) {
        error.error_type = written;
    }
    Some(error)
}

fn parse_type(text: &str) -> Option<ErrorType> {
    use ErrorType as T;
    [T::Auth, T::Cancel, T::Continue, T::Modify, T::Wait]
        .into_iter()
        .find(|known| known.as_str() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Element, Fragment};

    #[test]
    fn every_error_reads_back() {
        for &condition in StanzaErrorCondition::ALL {
            for error_type in [
                ErrorType::Auth,
                ErrorType::Cancel,
                ErrorType::Continue,
                ErrorType::Modify,
                ErrorType::Wait,
            ] {
                let error = StanzaError::new(condition, "why <not>")
                    .with_type(error_type)
                    .with_application(Element::new("blocked", ns::BLOCKING_ERRORS));
                let raw = error.to_element().to_bytes(ns::CLIENT);
                let fragment = Fragment::parse(raw.into(), ns::CLIENT).unwrap();
                assert_eq!(parse_error(fragment.root()), Some(error));
            }
        }
    }

    #[test]
    fn an_error_nobody_knows_is_still_an_error() {
        let check = |raw: &'static str, condition, error_type| {
            let fragment = Fragment::parse(raw.into(), ns::CLIENT).unwrap();
            let error = parse_error(fragment.root()).unwrap();
            assert_eq!(
                (error.condition, error.error_type),
                (condition, error_type),
                "{raw}"
            );
        };
        use StanzaErrorCondition as C;
        check("<error/>", C::UndefinedCondition, ErrorType::Cancel);
        check(
            "<error type='what'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
            C::Gone,
            ErrorType::Cancel,
        );
        check(
            "<error type='wait'><new xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
            C::UndefinedCondition,
            ErrorType::Wait,
        );
        check(
            "<error><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
            C::Forbidden,
            ErrorType::Auth,
        );
        let other = Fragment::parse("<failure/>".into(), ns::CLIENT).unwrap();
        assert_eq!(parse_error(other.root()), None);
    }
}
