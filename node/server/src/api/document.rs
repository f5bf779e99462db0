//! The OpenAPI document (3.1), made of `admin::operations`: what is served is what is described.

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use super::reply::CODES;
use crate::{
    admin::operations::{self, MAX_TEXT, OPERATIONS, Operation, Parameter, Place, Scope},
    shape::Shape,
};

/// What every path begins with.
pub const BASE: &str = "/api/v1";

/// The document as JSON.
pub fn text() -> String {
    static TEXT: OnceLock<String> = OnceLock::new();
    let make = || format!("{:#}\n", document());
    TEXT.get_or_init(make).clone()
}

fn document() -> Value {
    let mut schemas = Map::new();
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let Some(http) = operation.http else { continue };
        let path = paths.entry(http.path).or_insert_with(|| json!({}));
        path[http.method.to_lowercase()] = described(operation, http.status, &mut schemas);
    }
    schemas.insert("Problem".to_owned(), problem());
    let scopes: Vec<String> = Scope::ALL
        .iter()
        .map(|scope| format!("- `{}`: {}", scope.as_str(), scope.summary()))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Starling, administration",
            "version": "1",
            "description": format!(
                "Administration of a node and of its cluster. Fields are added, never changed.\n\nScopes of tokens:\n\n{}",
                scopes.join("\n")
            ),
        },
        "servers": [{ "url": BASE }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`starling token create` makes one.",
                },
            },
            "schemas": schemas,
        },
    })
}

fn described(operation: &Operation, status: u16, schemas: &mut Map<String, Value>) -> Value {
    let in_url = operation.parameters.iter();
    let in_url = in_url.filter(|parameter| parameter.place != Place::Body);
    let parameters: Vec<Value> = in_url.map(in_address).collect();
    let mut described = json!({
        "operationId": operation.name,
        "summary": operation.summary,
        "description": needed(operation),
        "responses": responses(operation, status, schemas),
    });
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if let Some(body) = body(operation) {
        described["requestBody"] = body;
    }
    described
}

fn needed(operation: &Operation) -> String {
    let scopes: Vec<String> = operation
        .scopes
        .iter()
        .map(|scope| format!("`{}`", scope.as_str()))
        .collect();
    match scopes.is_empty() {
        true => "Any token.".to_owned(),
        false => format!("Scope {}.", scopes.join(" or ")),
    }
}

fn in_address(parameter: &Parameter) -> Value {
    let is_path = parameter.place == Place::Path;
    let mut schema = schema(parameter);
    let default = parameter
        .default
        .and_then(|text| serde_json::from_str(text).ok());
    if let Some(default) = default.filter(|it: &Value| !it.is_null()) {
        schema["default"] = default;
    }
    json!({
        "name": parameter.name,
        "in": if is_path { "path" } else { "query" },
        "required": is_path || parameter.default.is_none(),
        "description": parameter.summary,
        "schema": schema,
    })
}

fn schema(parameter: &Parameter) -> Value {
    match parameter.value {
        operations::Value::Text => {
            json!({ "type": "string", "minLength": 1, "maxLength": MAX_TEXT })
        }
        operations::Value::Secret => json!({
            "type": "string", "format": "password", "minLength": 1, "maxLength": MAX_TEXT
        }),
        operations::Value::Whole(u64::MAX) => json!({ "type": "integer", "minimum": 0 }),
        operations::Value::Whole(most) => {
            json!({ "type": "integer", "minimum": 0, "maximum": most })
        }
        operations::Value::Count(most) => {
            json!({ "type": "integer", "minimum": 1, "maximum": most })
        }
        operations::Value::Flag => json!({ "type": "boolean" }),
    }
}

fn body(operation: &Operation) -> Option<Value> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for parameter in operation.parameters {
        if parameter.place == Place::Body {
            let mut schema = schema(parameter);
            schema["description"] = parameter.summary.into();
            properties.insert(parameter.name.to_owned(), schema);
            if parameter.default.is_none() {
                required.push(parameter.name);
            }
        }
    }
    (!properties.is_empty()).then(|| {
        json!({
            "required": true,
            "content": { "application/json": { "schema": {
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": false,
            } } },
        })
    })
}

fn responses(operation: &Operation, status: u16, schemas: &mut Map<String, Value>) -> Value {
    let mut responses = Map::new();
    let mut done = json!({ "description": "Done." });
    if let Some(shape) = &operation.answer {
        let schema = Shape::schema(shape, schemas);
        done["content"] = json!({ "application/json": { "schema": schema } });
    }
    responses.insert(status.to_string(), done);
    let is_about = |place| operation.parameters.iter().any(|it| it.place == place);
    let has = operation.parameters;
    let mut told = vec![
        (401, "No token, or one that is none."),
        (403, "The token has not the scope."),
        (429, "Too many wrong tokens came from the address."),
        (
            503,
            "Something that is needed does not answer; `Retry-After` says when to come again.",
        ),
    ];
    if !has.is_empty() {
        told.push((400, "A parameter makes no sense: `field` names it."));
    }
    if is_about(Place::Path) || has.iter().any(|it| it.name == "service") {
        told.push((404, "There is no such thing."));
    }
    if operation.kind != operations::Kind::Look {
        told.push((
            409,
            "It is there already, is under way, or cannot be done here.",
        ));
    }
    if is_about(Place::Body) {
        told.push((413, "The body is too large."));
        told.push((415, "The body is no JSON."));
    }
    told.sort_unstable();
    for (status, description) in told {
        let content = json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
        let response = json!({
            "description": description,
            "content": { "application/problem+json": content },
        });
        responses.insert(status.to_string(), response);
    }
    responses.into()
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "What went wrong (RFC 9457).",
        "properties": {
            "status": { "type": "integer", "description": "The status." },
            "title": { "type": "string", "description": "The status in words." },
            "code": { "type": "string", "enum": CODES, "description": "In a word, for programs." },
            "detail": { "type": "string", "description": "In words, for people." },
            "field": { "type": "string", "description": "The field that makes no sense." },
        },
        "required": ["status", "title", "code", "detail"],
        "additionalProperties": false,
    })
}
