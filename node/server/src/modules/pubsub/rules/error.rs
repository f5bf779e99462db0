//! Errors with conditions of pubsub's own beside those of stanzas.
//!
//! Source: XEP-0060 §6 to §8, by section at each use; the types of errors are those of its examples.

use xmpp::{Element, ErrorType, StanzaError, StanzaErrorCondition as Condition, ns};

/// A condition of stanzas with one of pubsub's.
pub fn error(condition: Condition, specific: &'static str) -> StanzaError {
    let error = StanzaError::from(condition);
    let error = match condition {
        // RFC 6120 §8.3.3 has others in mind; XEP-0060 §6.2.3.2, §6.1.3.9.
        Condition::UnexpectedRequest => error.with_type(ErrorType::Cancel),
        Condition::PolicyViolation => error.with_type(ErrorType::Wait),
        _ => error,
    };
    error.with_application(Element::new(specific, ns::PUBSUB_ERRORS))
}

/// What the service, or this node, does not do.
pub fn unsupported(feature: &'static str) -> StanzaError {
    let element = Element::new("unsupported", ns::PUBSUB_ERRORS).with_attr("feature", feature);
    StanzaError::from(Condition::FeatureNotImplemented).with_application(element)
}

/// `bad-request` with a condition of pubsub's.
pub fn bad(specific: &'static str) -> StanzaError {
    error(Condition::BadRequest, specific)
}
