//! Options of a subscription.
//!
//! Source: XEP-0060 §6.3, §6.4, §16.4.2. There is one that means something here: whether anything is delivered.

use storage::repository::{PubsubField, PubsubSubscription};
use xmpp::{
    StanzaError, ns,
    payload::form::{Field, FieldType, Form, FormType},
};

use super::error::bad;

const DELIVER: &str = "pubsub#deliver";

/// Whether a subscription wants to be told of anything.
pub fn delivers(subscription: &PubsubSubscription) -> bool {
    let mut options = subscription.options.iter();
    !options.any(|(var, values)| var == DELIVER && values.first().is_some_and(|it| it == "0"))
}

/// The form, with what is chosen now.
pub fn form(form_type: FormType, subscription: Option<&PubsubSubscription>) -> Form {
    let delivered = subscription.is_none_or(delivers);
    Form::of(form_type, ns::PUBSUB_SUBSCRIBE_OPTIONS).with_field(
        Field::new(FieldType::Boolean, DELIVER)
            .with_label("Whether to be notified")
            .with_bool(delivered),
    )
}

/// What a form says, to be kept.
///
/// # Errors
/// `bad-request` with `invalid-options` (§6.3.7.2).
pub fn read(form: &Form) -> Result<Vec<PubsubField>, StanzaError> {
    let known = form
        .namespace()
        .is_none_or(|it| it == ns::PUBSUB_SUBSCRIBE_OPTIONS);
    let delivered = match form.field(DELIVER) {
        Some(field) => field.bool(),
        None => Some(true),
    };
    match delivered.filter(|_| known) {
        Some(true) => Ok(Vec::new()),
        Some(false) => Ok(vec![(DELIVER.to_owned(), vec!["0".to_owned()])]),
        None => Err(bad("invalid-options")),
    }
}
