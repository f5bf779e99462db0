//! Routes: from a path, a query and a body to the request that they are. What is wrong is named by its field.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::reply::Problem;
use crate::admin::{
    Request,
    operations::{self, MAX_TEXT, OPERATIONS, Operation, Parameter, Place},
};

/// What a path is.
pub(super) enum Found {
    /// This operation, with what stands for its parameters.
    Operation(&'static Operation, Vec<(&'static str, String)>),
    /// Other methods are known there.
    Other(String),
    /// Nothing.
    Nothing,
}

/// What `path` is, behind the base of the API.
pub(super) fn find(method: &str, path: &str) -> Found {
    let mut allowed: Vec<&str> = Vec::new();
    for operation in OPERATIONS {
        let Some(http) = operation.http else { continue };
        let Some(segments) = matches(http.path, path) else {
            continue;
        };
        if http.method == method || (method, http.method) == ("HEAD", "GET") {
            return Found::Operation(operation, segments);
        }
        allowed.push(http.method);
        // RFC 9110 §9.3.2: what a GET would answer, without its content.
        allowed.extend((http.method == "GET").then_some("HEAD"));
    }
    match allowed.is_empty() {
        true => Found::Nothing,
        false => Found::Other(allowed.join(", ")),
    }
}

fn matches(template: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let (mut of_template, mut of_path) = (template.split('/'), path.split('/'));
    let mut found = Vec::new();
    loop {
        match (of_template.next(), of_path.next()) {
            (None, None) => return Some(found),
            (Some(template), Some(segment)) => {
                let name = template.strip_prefix('{');
                match name.and_then(|name| name.strip_suffix('}')) {
                    Some(name) if !segment.is_empty() => {
                        found.push((name, decoded(segment, false)?))
                    }
                    None if template == segment => {}
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
}

/// Takes percent-encoding away (RFC 3986 §2.1), and in a query what forms make of a space; `None`: it is none, or no text.
pub(super) fn decoded(text: &str, is_query: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' if is_query => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Encodes what stands in a segment of a path.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' => {
                out.push(char::from(byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// What was asked.
pub(super) struct Asked<'a> {
    pub(super) segments: &'a [(&'static str, String)],
    pub(super) query: &'a str,
    pub(super) body: &'a [u8],
    /// Whether the body says that it is JSON.
    pub(super) is_json: bool,
}

impl Asked<'_> {
    /// As a request.
    pub(super) fn request(&self, operation: &Operation) -> Result<Request, Problem> {
        let query = self.query()?;
        let mut body = self.body(operation)?;
        let known = |name: &str, place| {
            let mut parameters = operation.parameters.iter();
            parameters.any(|it| it.name == name && it.place == place)
        };
        for (index, (name, _)) in query.iter().enumerate() {
            if !known(name, Place::Query) {
                return Err(Problem::field(name, "there is no such parameter"));
            }
            if query[..index].iter().any(|(other, _)| other == name) {
                return Err(Problem::field(name, "it is there twice"));
            }
        }
        if let Some((name, _)) = body.iter().find(|(name, _)| !known(name, Place::Body)) {
            return Err(Problem::field(name, "there is no such field"));
        }
        for (index, (name, _)) in body.iter().enumerate() {
            // RFC 8259 §4: nobody knows which of them counts.
            if body[..index].iter().any(|(other, _)| other == name) {
                return Err(Problem::field(name, "it is there twice"));
            }
        }
        let mut fields = Map::new();
        fields.insert("do".to_owned(), operation.name.into());
        for parameter in operation.parameters {
            let name = parameter.name;
            let value = match parameter.place {
                Place::Path => {
                    let mut segments = self.segments.iter();
                    let found = segments.find(|(it, _)| *it == name);
                    let found = found.map(|(_, text)| of_text(parameter, text));
                    found.transpose()?
                }
                Place::Query => {
                    let found = query.iter().find(|(it, _)| it == name);
                    let found = found.map(|(_, text)| of_text(parameter, text));
                    found.transpose()?
                }
                Place::Body => match body.iter_mut().find(|(it, _)| it == name) {
                    None | Some((_, Value::Null)) => None,
                    Some((_, value)) => Some(of_json(parameter, value.take())?),
                },
            };
            let value = match (value, parameter.default) {
                (Some(value), _) => value,
                (None, Some(default)) => serde_json::from_str(default).unwrap_or(Value::Null),
                (None, None) => return Err(Problem::field(name, "it is missing")),
            };
            fields.insert(name.to_owned(), value);
        }
        let request = serde_json::from_value(Value::Object(fields));
        request.map_err(|_| Problem::broken())
    }

    fn query(&self) -> Result<Vec<(String, String)>, Problem> {
        let pairs = self.query.split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name, true)?;
            Some((name, decoded(value, true)?))
        };
        let all: Option<Vec<_>> = pairs.map(pair).collect();
        all.ok_or_else(|| Problem::wrong("the query is no text that was encoded"))
    }

    fn body(&self, operation: &Operation) -> Result<Vec<(String, Value)>, Problem> {
        let wants = |it: &Parameter| it.place == Place::Body;
        if self.body.is_empty() || !operation.parameters.iter().any(wants) {
            return Ok(Vec::new());
        }
        if !self.is_json {
            return Err(Problem::not_json());
        }
        match serde_json::from_slice(self.body) {
            Ok(Fields(fields)) => Ok(fields),
            Err(error) if error.is_data() => Err(Problem::wrong("the body is JSON, but no object")),
            // The error may quote what was sent.
            Err(error) => Err(Problem::wrong(&format!(
                "the body is no JSON: line {}, column {}",
                error.line(),
                error.column()
            ))),
        }
    }
}

/// The fields of an object, each as often as it is there.
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

fn of_text(parameter: &Parameter, text: &str) -> Result<Value, Problem> {
    let wrong = |reason: &str| Err(Problem::field(parameter.name, reason));
    match parameter.value {
        operations::Value::Text | operations::Value::Secret => {
            of_json(parameter, Value::String(text.to_owned()))
        }
        operations::Value::Whole(_) | operations::Value::Count(_) => match text.parse::<u64>() {
            Ok(number) => of_json(parameter, number.into()),
            Err(_) => wrong("it is a whole number"),
        },
        operations::Value::Flag => match text {
            "true" => Ok(true.into()),
            "false" => Ok(false.into()),
            _ => wrong("it is true or false"),
        },
    }
}

fn of_json(parameter: &Parameter, value: Value) -> Result<Value, Problem> {
    let wrong = |reason: String| Err(Problem::field(parameter.name, &reason));
    match (parameter.value, &value) {
        (operations::Value::Text | operations::Value::Secret, Value::String(text)) => {
            match text.len() {
                0 => wrong("it is empty".to_owned()),
                1..=MAX_TEXT => Ok(value),
                _ => wrong(format!("it has more than {MAX_TEXT} bytes")),
            }
        }
        (operations::Value::Text | operations::Value::Secret, _) => wrong("it is text".to_owned()),
        (operations::Value::Whole(most), _) => match value.as_u64() {
            Some(number) if number <= most => Ok(value),
            _ => wrong(format!("it is a whole number up to {most}")),
        },
        (operations::Value::Count(most), _) => match value.as_u64() {
            Some(number) if (1..=most).contains(&number) => Ok(value),
            _ => wrong(format!("it is a whole number from 1 to {most}")),
        },
        (operations::Value::Flag, Value::Bool(_)) => Ok(value),
        (operations::Value::Flag, _) => wrong("it is true or false".to_owned()),
    }
}
