//! What a client asks of its archive, typed.
//!
//! Source: XEP-0313 v1.1.3 §4.1 (fields), §4.2 (pages). A field that we do not know is refused
//! (`feature-not-implemented`), because ignoring a filter would answer another question.

use xmpp::{
    Element, Jid, StanzaError, StanzaErrorCondition as Condition, ns,
    payload::{
        delay::parse_stamp,
        form::{FORM_TYPE, Field, FieldType, Form, FormType},
        rsm::PageRequest,
    },
};

/// How many ids one query may name.
const MAX_IDS: usize = 1_000;

/// A query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// The client's name for it, repeated in each result.
    pub queryid: Option<String>,
    /// Only messages from or to this address.
    pub with: Option<Jid>,
    /// Only messages of this time or later, in milliseconds since 1970.
    pub start_ms: Option<u64>,
    /// Only messages of this time or earlier.
    pub end_ms: Option<u64>,
    /// Only messages before this one.
    pub before_id: Option<u64>,
    /// Only messages after this one.
    pub after_id: Option<u64>,
    /// Only these messages, ascending.
    pub ids: Option<Vec<u64>>,
    /// Without messages of group chats.
    pub without_groupchat: bool,
    /// At most so many, the last of them if `backwards`.
    pub max: Option<u32>,
    /// The page begins behind this message.
    pub page_after: Option<u64>,
    /// The page ends ahead of this message.
    pub page_before: Option<u64>,
    /// The page is taken from the end.
    pub backwards: bool,
    /// The page is sent newest first.
    pub flipped: bool,
}

impl Query {
    /// Reads `<query/>`.
    ///
    /// # Errors
    /// `feature-not-implemented` for a field we do not know, `bad-request` or `jid-malformed` for a value that is none,
    /// `item-not-found` for an id that no archive of ours ever gave, `policy-violation` for too many ids.
    pub fn parse(query: &Element) -> Result<Self, StanzaError> {
        if query.attr("node").is_some() {
            // §6.1.3: archives of pubsub nodes.
            return Err(Condition::ItemNotFound.into());
        }
        let mut parsed = Self {
            queryid: query.attr("queryid").map(Into::into),
            flipped: query.child("flip-page", ns::MAM).is_some(),
            ..Self::default()
        };
        if let Some(form) = Form::child_of(query)? {
            if form.form_type != FormType::Submit || form.namespace() != Some(ns::MAM) {
                return Err(bad(
                    "a submitted form of the archive's own type is expected",
                ));
            }
            let mut seen = Vec::new();
            for field in &form.fields {
                // Those that nobody knows are refused at once: there are never many.
                if seen.contains(&field.var.as_deref()) {
                    return Err(bad("a field is there twice"));
                }
                seen.extend(field.var.is_some().then_some(field.var.as_deref()));
                parsed.apply(field)?;
            }
        }
        if let Some(page) = PageRequest::parse(query)? {
            if page.index.is_some() {
                return Err(StanzaError::new(
                    Condition::FeatureNotImplemented,
                    "pages by position",
                ));
            }
            parsed.max = page.max;
            parsed.backwards = page.is_backwards();
            parsed.page_after = page.after.as_deref().map(id).transpose()?;
            parsed.page_before = page
                .before
                .as_deref()
                .filter(|id| !id.is_empty())
                .map(id)
                .transpose()?;
        }
        Ok(parsed)
    }

    fn apply(&mut self, field: &Field) -> Result<(), StanzaError> {
        if field.values.len() > 1 && !matches!(field.var.as_deref(), Some("ids") | None) {
            return Err(bad("a field has two values"));
        }
        // An empty field is one that was left out.
        let value = field.value().filter(|value| !value.is_empty());
        match field.var.as_deref() {
            Some(FORM_TYPE) | None => {}
            Some("with") => {
                let malformed = |_| StanzaError::from(Condition::JidMalformed);
                self.with = value.map(Jid::parse).transpose().map_err(malformed)?;
            }
            Some("start") => self.start_ms = value.map(time).transpose()?,
            Some("end") => self.end_ms = value.map(time).transpose()?,
            Some("before-id") => self.before_id = value.map(id).transpose()?,
            Some("after-id") => self.after_id = value.map(id).transpose()?,
            Some("ids") => self.ids = ids(field)?,
            Some("include-groupchat") => self.without_groupchat = field.bool() == Some(false),
            Some(_) => {
                return Err(StanzaError::new(
                    Condition::FeatureNotImplemented,
                    "unknown field",
                ));
            }
        }
        Ok(())
    }

    /// The ids that must be in the archive (§4.1.3, §4.2.2).
    pub fn named(&self) -> impl Iterator<Item = u64> {
        [
            self.before_id,
            self.after_id,
            self.page_after,
            self.page_before,
        ]
        .into_iter()
        .flatten()
    }
}

fn bad(text: &str) -> StanzaError {
    StanzaError::new(Condition::BadRequest, text)
}

/// Times before 1970 are before everything.
fn time(text: &str) -> Result<u64, StanzaError> {
    let ms = parse_stamp(text.trim()).ok_or_else(|| bad("a time is written as in XEP-0082"))?;
    Ok(u64::try_from(ms).unwrap_or(0))
}

/// An id as we write it: a number from 1 without leading zeros. Anything else is in no archive of ours.
fn id(text: &str) -> Result<u64, StanzaError> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let number = canonical.then(|| text.parse().ok()).flatten();
    number
        .filter(|number| *number < u64::MAX)
        .ok_or_else(|| Condition::ItemNotFound.into())
}

fn ids(field: &Field) -> Result<Option<Vec<u64>>, StanzaError> {
    let written: Vec<&String> = field
        .values
        .iter()
        .filter(|value| !value.is_empty())
        .collect();
    if written.is_empty() {
        return Ok(None);
    }
    if written.len() > MAX_IDS {
        return Err(StanzaError::new(Condition::PolicyViolation, "too many ids"));
    }
    let mut ids = written
        .into_iter()
        .map(|text| id(text))
        .collect::<Result<Vec<_>, _>>()?;
    ids.sort_unstable();
    ids.dedup();
    Ok(Some(ids))
}

/// The fields that a query may have (§4.1.5).
pub fn fields_element() -> Element {
    let field = |kind, var: &str| Field::new(kind, var);
    let form = Form::of(FormType::Form, ns::MAM)
        .with_field(field(FieldType::JidSingle, "with"))
        .with_field(field(FieldType::TextSingle, "start"))
        .with_field(field(FieldType::TextSingle, "end"))
        .with_field(field(FieldType::TextSingle, "before-id"))
        .with_field(field(FieldType::TextSingle, "after-id"))
        .with_field(field(FieldType::ListMulti, "ids"))
        .with_field(field(FieldType::Boolean, "include-groupchat"))
        .to_element();
    // §4.1.5: the list of ids is open (XEP-0122).
    let open = Element::new("validate", ns::DATA_VALIDATE)
        .with_attr("datatype", "xs:string")
        .with_child(Element::new("open", ns::DATA_VALIDATE));
    let opened = |field: Element| {
        if field.attr("var") == Some("ids") {
            field.with_child(open.clone())
        } else {
            field
        }
    };
    let x = Element::new("x", ns::DATA_FORMS).with_attr("type", "form");
    Element::new("query", ns::MAM).with_child(x.with_children(form.into_children().map(opened)))
}

#[cfg(test)]
mod tests;
