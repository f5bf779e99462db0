//! Forms to elements and back.

use super::{Field, FieldOption, FieldType, Form, FormType};
use crate::{Element, StanzaError, StanzaErrorCondition, ns};

impl Form {
    /// `<x/>`.
    pub fn to_element(&self) -> Element {
        let text = |name: &'static str| {
            move |text: &String| Element::new(name, ns::DATA_FORMS).with_text(text.clone())
        };
        let row = |name: &'static str, fields: &[Field]| {
            Element::new(name, ns::DATA_FORMS).with_children(fields.iter().map(Field::to_element))
        };
        Element::new("x", ns::DATA_FORMS)
            .with_attr("type", self.form_type.as_str())
            .with_children(self.title.iter().map(text("title")))
            .with_children(self.instructions.iter().map(text("instructions")))
            .with_children(self.fields.iter().map(Field::to_element))
            .with_children((!self.reported.is_empty()).then(|| row("reported", &self.reported)))
            .with_children(self.items.iter().map(|fields| row("item", fields)))
    }

    /// Reads `<x/>`.
    ///
    /// # Errors
    /// `bad-request` if it is no form, its type is unknown, or a field has no name and is not `fixed`.
    pub fn parse(element: &Element) -> Result<Self, StanzaError> {
        let bad = |why: &str| StanzaError::new(StanzaErrorCondition::BadRequest, why);
        if !element.is("x", ns::DATA_FORMS) {
            return Err(bad("a data form is expected"));
        }
        let written = element.attr("type");
        let form_type = FormType::ALL
            .into_iter()
            .find(|known| Some(known.as_str()) == written);
        let mut form = Self::new(form_type.ok_or_else(|| bad("a data form of unknown type"))?);
        for child in element
            .children()
            .filter(|child| child.ns() == ns::DATA_FORMS)
        {
            match child.name() {
                "title" => form.title = Some(child.text()),
                "instructions" => form.instructions.push(child.text()),
                "field" => form.fields.push(Field::parse(child)),
                "reported" => form.reported = row(child),
                "item" => form.items.push(row(child)),
                _ => {}
            }
        }
        let nameless =
            |field: &Field| field.var.is_none() && field.field_type != Some(FieldType::Fixed);
        if form.fields.iter().any(nameless) {
            return Err(bad("a field without a name"));
        }
        Ok(form)
    }

    /// Reads the form that is a child of `parent`. `Ok(None)`: there is none.
    ///
    /// # Errors
    /// As [`Form::parse`].
    pub fn child_of(parent: &Element) -> Result<Option<Self>, StanzaError> {
        parent
            .child("x", ns::DATA_FORMS)
            .map(Self::parse)
            .transpose()
    }
}

fn row(element: &Element) -> Vec<Field> {
    element
        .children()
        .filter(|child| child.is("field", ns::DATA_FORMS))
        .map(Field::parse)
        .collect()
}

impl Field {
    fn to_element(&self) -> Element {
        let value = |text: &String| Element::new("value", ns::DATA_FORMS).with_text(text.clone());
        let option = |option: &FieldOption| {
            Element::new("option", ns::DATA_FORMS)
                .with_attr_opt("label", option.label.as_ref())
                .with_child(value(&option.value))
        };
        Element::new("field", ns::DATA_FORMS)
            .with_attr_opt("var", self.var.as_ref())
            .with_attr_opt("type", self.field_type.map(FieldType::as_str))
            .with_attr_opt("label", self.label.as_ref())
            .with_children(
                self.desc
                    .iter()
                    .map(|text| Element::new("desc", ns::DATA_FORMS).with_text(text.clone())),
            )
            .with_children(
                self.required
                    .then(|| Element::new("required", ns::DATA_FORMS)),
            )
            .with_children(self.values.iter().map(value))
            .with_children(self.options.iter().map(option))
    }

    fn parse(element: &Element) -> Self {
        let known = |written: &str| {
            FieldType::ALL
                .into_iter()
                .find(|known| known.as_str() == written)
        };
        let mut field = Self {
            var: element.attr("var").map(Into::into),
            // XEP-0004 §3.3: a type that is not understood is text-single.
            field_type: element
                .attr("type")
                .map(|written| known(written).unwrap_or(FieldType::TextSingle)),
            label: element.attr("label").map(Into::into),
            ..Self::default()
        };
        for child in element
            .children()
            .filter(|child| child.ns() == ns::DATA_FORMS)
        {
            match child.name() {
                "desc" => field.desc = Some(child.text()),
                "required" => field.required = true,
                "value" => field.values.push(child.text()),
                "option" => field.options.push(FieldOption {
                    label: child.attr("label").map(Into::into),
                    value: child.child_text("value").unwrap_or_default(),
                }),
                _ => {}
            }
        }
        field
    }
}
