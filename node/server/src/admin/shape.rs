//! Shapes: what an answer looks like, said once beside what writes it; the OpenAPI document is made of them.
//!
//! Every field is always there; what may be missing is `null`.

use serde_json::{Map, Value, json};

/// The shape of a value.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Text.
    Text,
    /// A whole number that is not negative.
    Whole,
    /// A whole number of either sign.
    Signed,
    /// Any number, or `null` for one that JSON cannot say.
    Number,
    /// Yes or no.
    Flag,
    /// Milliseconds since 1970.
    Time,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Any number of these.
    List(&'static Shape),
    /// That, or `null`.
    Maybe(&'static Shape),
    /// Names that are not known before, each with such a value.
    Named(&'static Shape),
    /// These fields.
    Object(&'static Object),
}

/// Fields under a name.
#[derive(Debug)]
pub struct Object {
    /// The name of the shape.
    pub name: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
}

/// A field.
#[derive(Debug, Clone, Copy)]
pub struct Field(pub &'static str, pub Shape, pub &'static str);

impl Shape {
    /// As JSON Schema; objects are named, and put among `named`.
    pub fn schema(&self, named: &mut Map<String, Value>) -> Value {
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::Whole => json!({ "type": "integer", "minimum": 0 }),
            Self::Signed => json!({ "type": "integer" }),
            Self::Number => json!({ "type": ["number", "null"] }),
            Self::Flag => json!({ "type": "boolean" }),
            Self::Time => json!({
                "type": "integer", "minimum": 0, "description": "milliseconds since 1970"
            }),
            Self::OneOf(words) => json!({ "type": "string", "enum": words }),
            Self::List(of) => json!({ "type": "array", "items": of.schema(named) }),
            Self::Maybe(of) => json!({ "anyOf": [of.schema(named), { "type": "null" }] }),
            Self::Named(of) => {
                json!({ "type": "object", "additionalProperties": of.schema(named) })
            }
            Self::Object(object) => {
                if !named.contains_key(object.name) {
                    // It may hold itself.
                    named.insert(object.name.to_owned(), Value::Null);
                    let schema = object.schema(named);
                    named.insert(object.name.to_owned(), schema);
                }
                json!({ "$ref": format!("#/components/schemas/{}", object.name) })
            }
        }
    }
}

impl Object {
    fn schema(&self, named: &mut Map<String, Value>) -> Value {
        let mut properties = Map::new();
        for Field(name, shape, summary) in self.fields {
            let mut schema = shape.schema(named);
            if let Some(schema) = schema.as_object_mut()
                && !schema.contains_key("$ref")
            {
                schema.insert("description".to_owned(), (*summary).into());
            }
            properties.insert((*name).to_owned(), schema);
        }
        let required: Vec<&str> = self.fields.iter().map(|field| field.0).collect();
        json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    }
}

/// A page of these.
macro_rules! page {
    ($name:literal, $of:expr) => {
        Shape::Object(&Object {
            name: $name,
            fields: &[
                Field("items", Shape::List(&$of), "In order."),
                Field(
                    "next",
                    Shape::Maybe(&Shape::Text),
                    "What the next page is asked for with; null: there is none.",
                ),
            ],
        })
    };
}
pub(super) use page;
