//! Shapes: what an answer looks like, said once by the type that is written; the OpenAPI document is made of them.
//!
//! Every field is always there; what may be missing is `null`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// What has a shape.
pub trait Shaped {
    /// Its shape.
    const SHAPE: Shape;
}

/// The shape of a value.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Text.
    Text,
    /// A whole number that is not negative.
    Whole,
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

/// A field: its name, its shape, what it is.
#[derive(Debug, Clone, Copy)]
pub struct Field(pub &'static str, pub Shape, pub &'static str);

impl Shape {
    /// As JSON Schema; objects are named, and put among `named`.
    pub fn schema(&self, named: &mut Map<String, Value>) -> Value {
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::Whole => json!({ "type": "integer", "minimum": 0 }),
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
                schema.insert("description".to_owned(), summary.trim_start().into());
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

macro_rules! simple {
    ($($type:ty => $shape:expr),* $(,)?) => {
        $(impl Shaped for $type {
            const SHAPE: Shape = $shape;
        })*
    };
}
simple! {
    String => Shape::Text,
    bool => Shape::Flag,
    u32 => Shape::Whole,
    u64 => Shape::Whole,
    usize => Shape::Whole,
    f64 => Shape::Number,
}

impl<T: Shaped> Shaped for Option<T> {
    const SHAPE: Shape = Shape::Maybe(&T::SHAPE);
}

impl<T: Shaped> Shaped for Vec<T> {
    const SHAPE: Shape = Shape::List(&T::SHAPE);
}

impl<T: Shaped> Shaped for BTreeMap<String, T> {
    const SHAPE: Shape = Shape::Named(&T::SHAPE);
}

/// Declares structs together with their shapes, under the names behind `as`. What is said of a field is said in the
/// document, too; its type is its shape, unless another one follows it behind `as`.
macro_rules! shaped {
    ($(
        $(#[$meta:meta])*
        pub struct $type:ident as $name:literal {
            $(
                $(#[doc = $summary:literal])+
                $(#[serde($($serde:tt)*)])?
                pub $field:ident: $of:ty $(as $shape:expr)?,
            )*
        }
    )*) => {$(
        $(#[$meta])*
        pub struct $type {
            $(
                $(#[doc = $summary])+
                $(#[serde($($serde)*)])?
                pub $field: $of,
            )*
        }

        impl $crate::shape::Shaped for $type {
            const SHAPE: $crate::shape::Shape = $crate::shape::Shape::Object(&$crate::shape::Object {
                name: $name,
                fields: &[$($crate::shape::Field(
                    stringify!($field),
                    $crate::shape::shaped!(@of $of $(, $shape)?),
                    concat!($($summary),+),
                )),*],
            });
        }
    )*};
    (@of $of:ty) => { <$of as $crate::shape::Shaped>::SHAPE };
    (@of $of:ty, $shape:expr) => { $shape };
}
pub(crate) use shaped;

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
pub(crate) use page;
