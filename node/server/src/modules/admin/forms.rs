//! What the forms of service administration have in common.
//!
//! Source: XEP-0133 v1.3.1 §4, §8.2.

use xmpp::{
    BareJid, Jid, StanzaError, ns,
    payload::form::{Field, FieldType, Form, FormType},
};

use super::command::bad_payload;

/// How many addresses one form may name.
const MAX_JIDS: usize = 1_000;
/// What may be chosen as the most to show.
const SHOWN: [&str; 6] = ["25", "50", "75", "100", "150", "200"];
/// The most that is ever shown: a reply is one stanza.
pub const MAX_SHOWN: usize = 5_000;

/// A form to be filled in.
pub fn form(title: &str, instructions: &str) -> Form {
    Form::of(FormType::Form, ns::ADMIN)
        .with_title(title)
        .with_instructions(instructions)
}

/// A result.
pub fn result() -> Form {
    Form::of(FormType::Result, ns::ADMIN)
}

/// Asks for one account.
pub fn account_field(label: &str) -> Field {
    Field::new(FieldType::JidSingle, "accountjid")
        .with_label(label)
        .required()
}

/// Asks for accounts.
pub fn accounts_field(label: &str) -> Field {
    Field::new(FieldType::JidMulti, "accountjids")
        .with_label(label)
        .required()
}

/// Asks for the most to show.
pub fn max_items_field() -> Field {
    let field = Field::new(FieldType::ListSingle, "max_items")
        .with_label("Maximum number of items to show");
    SHOWN
        .into_iter()
        .fold(field, |field, shown| field.with_option(shown, shown))
        .with_option("None", "none")
}

/// The last form submitted, if it is one of service administration; `None` if none was yet.
///
/// # Errors
/// `bad-payload`
pub fn submitted(forms: &[Form]) -> Result<Option<&Form>, StanzaError> {
    let Some(form) = forms.last() else {
        return Ok(None);
    };
    if form.namespace() != Some(ns::ADMIN) {
        return Err(bad_payload("a form of service administration is expected"));
    }
    Ok(Some(form))
}

/// The value of a field that has one; `None` if it was left out.
///
/// # Errors
/// `bad-payload` if there are two: whoever wrote them meant either.
pub fn single<'a>(form: &'a Form, var: &str) -> Result<Option<&'a str>, StanzaError> {
    let named = |field: &&Field| field.var.as_deref() == Some(var);
    let mut values = form.fields.iter().filter(named).flat_map(|it| &it.values);
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(String::as_str)),
        _ => Err(bad_payload(&format!("{var} has two values"))),
    }
}

/// The account a form names.
///
/// # Errors
/// `bad-payload` if it names none, two, or none that is a user's.
pub fn account(form: &Form) -> Result<BareJid, StanzaError> {
    let jid = single(form, "accountjid")?.and_then(|text| BareJid::parse(text.trim()).ok());
    jid.filter(|jid| jid.local().is_some())
        .ok_or_else(|| bad_payload("accountjid is the address of an account"))
}

/// The addresses a form names.
///
/// # Errors
/// `bad-payload` if it names none, too many, or none that is a user's.
pub fn jids(form: &Form) -> Result<Vec<Jid>, StanzaError> {
    let values = form
        .field("accountjids")
        .map(|field| field.values.as_slice())
        .unwrap_or_default();
    let jid = |text: &String| {
        Jid::parse(text.trim())
            .ok()
            .filter(|jid| jid.local().is_some())
    };
    let jids: Option<Vec<Jid>> = values.iter().map(jid).collect();
    jids.filter(|jids| (1..=MAX_JIDS).contains(&jids.len()))
        .ok_or_else(|| bad_payload("accountjids are the addresses of accounts"))
}

/// The accounts a form names.
///
/// # Errors
/// As [`jids`]; `bad-payload` for an address with a resource.
pub fn accounts(form: &Form) -> Result<Vec<BareJid>, StanzaError> {
    let bare = |jid: &Jid| (!jid.is_full()).then(|| jid.to_bare());
    let accounts: Option<Vec<BareJid>> = jids(form)?.iter().map(bare).collect();
    accounts.ok_or_else(|| bad_payload("an account is an address without a resource"))
}

/// How many a form wants to be shown at most.
///
/// # Errors
/// `bad-payload` if it is no number.
pub fn max_items(form: &Form) -> Result<usize, StanzaError> {
    match single(form, "max_items")?.filter(|text| !text.is_empty()) {
        None | Some("none") => Ok(MAX_SHOWN),
        Some(text) => {
            let max = text
                .parse::<usize>()
                .map_err(|_| bad_payload("max_items is a number or none"))?;
            Ok(max.min(MAX_SHOWN))
        }
    }
}
