//! Data forms, typed.
//!
//! Source: XEP-0004 §3, XEP-0068 (`FORM_TYPE`). Reading is lenient where the XEP asks it: an unknown field type is
//! `text-single` (§3.3), an absent one stays absent, what is not understood is ignored. Left out: media elements.

mod element;
#[cfg(test)]
mod tests;

/// What a form is for (§3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FormType {
    /// To be filled in.
    Form,
    /// Filled in.
    Submit,
    /// The filling in was given up.
    Cancel,
    /// Data returned.
    Result,
}

impl FormType {
    const ALL: [Self; 4] = [Self::Form, Self::Submit, Self::Cancel, Self::Result];

    /// The attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Submit => "submit",
            Self::Cancel => "cancel",
            Self::Result => "result",
        }
    }
}

/// What a field holds (§3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// `boolean`
    Boolean,
    /// `fixed`
    Fixed,
    /// `hidden`
    Hidden,
    /// `jid-multi`
    JidMulti,
    /// `jid-single`
    JidSingle,
    /// `list-multi`
    ListMulti,
    /// `list-single`
    ListSingle,
    /// `text-multi`
    TextMulti,
    /// `text-private`
    TextPrivate,
    /// `text-single`
    TextSingle,
}

impl FieldType {
    const ALL: [Self; 10] = [
        Self::Boolean,
        Self::Fixed,
        Self::Hidden,
        Self::JidMulti,
        Self::JidSingle,
        Self::ListMulti,
        Self::ListSingle,
        Self::TextMulti,
        Self::TextPrivate,
        Self::TextSingle,
    ];

    /// The attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Fixed => "fixed",
            Self::Hidden => "hidden",
            Self::JidMulti => "jid-multi",
            Self::JidSingle => "jid-single",
            Self::ListMulti => "list-multi",
            Self::ListSingle => "list-single",
            Self::TextMulti => "text-multi",
            Self::TextPrivate => "text-private",
            Self::TextSingle => "text-single",
        }
    }
}

/// One of the choices of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldOption {
    /// For people.
    pub label: Option<String>,
    /// What is submitted.
    pub value: String,
}

/// A field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Field {
    /// Its name; only a fixed field may have none.
    pub var: Option<String>,
    /// Its type, if written.
    pub field_type: Option<FieldType>,
    /// For people.
    pub label: Option<String>,
    /// For people, longer.
    pub desc: Option<String>,
    /// Whether it must be filled in.
    pub required: bool,
    /// Its values.
    pub values: Vec<String>,
    /// What may be chosen.
    pub options: Vec<FieldOption>,
}

impl Field {
    /// A field of this type and name.
    pub fn new(field_type: FieldType, var: impl Into<String>) -> Self {
        Self {
            var: Some(var.into()),
            field_type: Some(field_type),
            ..Self::default()
        }
    }

    /// A line of text between fields.
    pub fn fixed(text: impl Into<String>) -> Self {
        Self {
            field_type: Some(FieldType::Fixed),
            values: vec![text.into()],
            ..Self::default()
        }
    }

    /// A field of a submitted form or a result: name and value, no type.
    pub fn untyped(var: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            var: Some(var.into()),
            values: vec![value.into()],
            ..Self::default()
        }
    }

    /// Builder: sets the label.
    #[must_use]
    pub fn with_label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Builder: sets the description.
    #[must_use]
    pub fn with_desc(mut self, desc: impl Into<String>) -> Self {
        self.desc = Some(desc.into());
        self
    }

    /// Builder: appends a value.
    #[must_use]
    pub fn with_value(mut self, value: impl Into<String>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Builder: appends values.
    #[must_use]
    pub fn with_values<V: Into<String>>(mut self, values: impl IntoIterator<Item = V>) -> Self {
        self.values.extend(values.into_iter().map(Into::into));
        self
    }

    /// Builder: sets the value of a boolean.
    #[must_use]
    pub fn with_bool(self, value: bool) -> Self {
        self.with_value(if value { "1" } else { "0" })
    }

    /// Builder: appends a choice.
    #[must_use]
    pub fn with_option(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.push(FieldOption {
            label: Some(label.into()),
            value: value.into(),
        });
        self
    }

    /// Builder: marks it as required.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The first value.
    pub fn value(&self) -> Option<&str> {
        self.values.first().map(String::as_str)
    }

    /// The value as a boolean, in the forms of XML Schema: `true`, `1`, `false`, `0`.
    pub fn bool(&self) -> Option<bool> {
        match self.value()?.trim() {
            "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => None,
        }
    }

    /// The values as one text, a line each (`text-multi`).
    pub fn text(&self) -> String {
        self.values.join("\n")
    }
}

/// A form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// What it is for.
    pub form_type: FormType,
    /// For people.
    pub title: Option<String>,
    /// For people, a paragraph each.
    pub instructions: Vec<String>,
    /// The fields in order.
    pub fields: Vec<Field>,
    /// The columns of a result with many items (§3.4).
    pub reported: Vec<Field>,
    /// The items of such a result.
    pub items: Vec<Vec<Field>>,
}

impl Form {
    /// An empty form.
    pub fn new(form_type: FormType) -> Self {
        Self {
            form_type,
            title: None,
            instructions: Vec::new(),
            fields: Vec::new(),
            reported: Vec::new(),
            items: Vec::new(),
        }
    }

    /// A form whose first field is the hidden `FORM_TYPE` (XEP-0068).
    pub fn of(form_type: FormType, namespace: impl Into<String>) -> Self {
        Self::new(form_type)
            .with_field(Field::new(FieldType::Hidden, FORM_TYPE).with_value(namespace))
    }

    /// Builder: sets the title.
    #[must_use]
    pub fn with_title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Builder: appends a paragraph of instructions.
    #[must_use]
    pub fn with_instructions(mut self, text: impl Into<String>) -> Self {
        self.instructions.push(text.into());
        self
    }

    /// Builder: appends a field.
    #[must_use]
    pub fn with_field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// The field of this name.
    pub fn field(&self, var: &str) -> Option<&Field> {
        self.fields
            .iter()
            .find(|field| field.var.as_deref() == Some(var))
    }

    /// The first value of the field of this name.
    pub fn value(&self, var: &str) -> Option<&str> {
        self.field(var)?.value()
    }

    /// The value of `FORM_TYPE`.
    pub fn namespace(&self) -> Option<&str> {
        self.value(FORM_TYPE)
    }
}

/// The hidden field that says what the others mean (XEP-0068).
pub const FORM_TYPE: &str = "FORM_TYPE";
