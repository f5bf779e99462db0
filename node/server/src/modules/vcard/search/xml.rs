//! What a search asks and answers, with a form and without.

use storage::repository::VcardField;
use xmpp::{
    BareJid, Element, StanzaError, StanzaErrorCondition as Condition, ns,
    payload::form::{FORM_TYPE, Field, FieldType, Form, FormType},
};

use super::{Criterion, Named, SearchModule, Told, words};

/// Words that one search may ask for.
const MAX_WORDS: usize = 16;
const INSTRUCTIONS: &str =
    "Fill in one or more fields to search for people; the beginning of a word is enough.";

/// The fields; the first [`LEGACY`] are all that the protocol has without a form.
pub(super) const FIELDS: [Named; 11] = [
    (VcardField::Given, "first", "Given name"),
    (VcardField::Family, "last", "Family name"),
    (VcardField::Nickname, "nick", "Nickname"),
    (VcardField::Email, "email", "E-mail address"),
    (VcardField::FullName, "fn", "Full name"),
    (VcardField::Middle, "middle", "Middle name"),
    (VcardField::Locality, "locality", "City"),
    (VcardField::Country, "ctry", "Country"),
    (VcardField::Organisation, "orgname", "Organisation"),
    (VcardField::Unit, "orgunit", "Unit"),
    (VcardField::Birthday, "bday", "Birthday"),
];
const LEGACY: usize = 4;

impl SearchModule {
    /// What is asked for.
    ///
    /// # Errors
    /// `bad-request`: a form for something else. `not-acceptable`: nothing is asked for, or too much.
    pub(super) fn criteria(
        &self,
        query: &Element,
        form: Option<&Form>,
    ) -> Result<Vec<Criterion>, StanzaError> {
        let foreign = |form: &Form| {
            form.form_type != FormType::Submit
                || form.namespace().is_some_and(|it| it != ns::SEARCH)
        };
        if form.is_some_and(foreign) {
            return Err(StanzaError::new(
                Condition::BadRequest,
                "a submitted form for a search is expected",
            ));
        }
        let value = |var: &str| match form {
            Some(form) => form.value(var).map(str::to_owned),
            None if is_legacy(var) => query.child_text(var),
            None => None,
        };
        let mut criteria = Vec::new();
        for (field, var, _) in &self.fields {
            let text = value(var).unwrap_or_default();
            // Who is used to it writes a star where a word may go on; here it always may.
            let prefixes = words(&text).map(|word| word.trim_end_matches('*').to_owned());
            criteria.extend(
                prefixes
                    .filter(|word| !word.is_empty())
                    .map(|word| (*field, word)),
            );
        }
        match criteria.len() {
            0 => Err(StanzaError::new(
                Condition::NotAcceptable,
                "fill in at least one field",
            )),
            1..=MAX_WORDS => Ok(criteria),
            _ => Err(StanzaError::new(Condition::NotAcceptable, "too many words")),
        }
    }

    /// What can be asked for, in both ways.
    pub(super) fn fields_element(&self) -> Element {
        let mut form = Form::of(FormType::Form, ns::SEARCH)
            .with_title("Search for people")
            .with_instructions(INSTRUCTIONS);
        form.fields.extend(self.form_fields());
        let legacy = self.fields.iter().filter(|(_, var, _)| is_legacy(var));
        let legacy = legacy.map(|(_, var, _)| Element::new(*var, ns::SEARCH));
        Element::new("query", ns::SEARCH)
            .with_child(Element::new("instructions", ns::SEARCH).with_text(INSTRUCTIONS))
            .with_children(legacy)
            .with_child(form.to_element())
    }

    /// What was found, in the way in which it was asked; nothing at all is an empty `<query/>` either way.
    pub(super) fn result_element(&self, found: &[(BareJid, Told)], in_form: bool) -> Element {
        let query = Element::new("query", ns::SEARCH);
        let value = |told: &Told, field: VcardField| {
            let mut of = told.iter().filter(|(known, _)| *known == field);
            of.next().map(|(_, text)| text.clone()).unwrap_or_default()
        };
        if found.is_empty() {
            return query;
        }
        if !in_form {
            let item = |(jid, told): &(BareJid, Told)| {
                let child = |(field, var, _): &Named| {
                    Element::new(*var, ns::SEARCH).with_text(value(told, *field))
                };
                let item = Element::new("item", ns::SEARCH).with_attr("jid", jid.as_str());
                let legacy = self.fields.iter().filter(|(_, var, _)| is_legacy(var));
                item.with_children(legacy.map(child))
            };
            return query.with_children(found.iter().map(item));
        }
        let mut form = Form::new(FormType::Result)
            .with_field(Field::new(FieldType::Hidden, FORM_TYPE).with_value(ns::SEARCH));
        form.reported = vec![Field::new(FieldType::JidSingle, "jid").with_label("Address")];
        form.reported.extend(self.form_fields());
        form.items.extend(found.iter().map(|(jid, told)| {
            let jid = Field::untyped("jid", jid.as_str());
            let field = |(field, var, _): &Named| Field::untyped(*var, value(told, *field));
            let fields = self.fields.iter().map(field);
            [jid].into_iter().chain(fields).collect()
        }));
        query.with_child(form.to_element())
    }

    fn form_fields(&self) -> impl Iterator<Item = Field> {
        let field =
            |(_, var, label): &Named| Field::new(FieldType::TextSingle, *var).with_label(*label);
        self.fields.iter().map(field)
    }
}

fn is_legacy(var: &str) -> bool {
    FIELDS[..LEGACY].iter().any(|(_, known, _)| *known == var)
}
