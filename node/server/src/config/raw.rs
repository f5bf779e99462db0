//! What was written: a tree of values that know their place; file, environment and flags are laid over each other.
//!
//! Why a tree and not structs by serde: serde stops at the first mistake and forgets where a value stood once it is in
//! the environment. Here each value keeps its place until `meaning` has looked at it.

use std::{collections::BTreeMap, path::Path};

use toml::de::{DeTable, DeValue};

use super::mistake::{Mistake, Place};

/// A table: keys with the place of the key and what they hold.
pub(super) type Table = BTreeMap<String, Entry>;

/// A key's place and value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key_place: Place,
    pub(super) node: Node,
}

/// A value with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// What can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Text; also what TOML calls a float or a date, which no key takes.
    Text(String),
    /// A number.
    Integer(i64),
    /// `true` or `false`.
    Boolean(bool),
    /// A list.
    Array(Vec<Node>),
    /// A table.
    Table(Table),
}

impl Value {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "a number",
            Self::Boolean(_) => "true or false",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// Reads a file's text. What is no TOML is a mistake, the first of each line: what follows on it is a consequence.
pub(super) fn from_toml(path: &Path, text: &str) -> (Table, Vec<Mistake>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let source = Source { path, text };
    let mut mistakes: Vec<Mistake> = errors
        .iter()
        .map(|error| Mistake {
            place: source.place(error.span().map_or(0, |span| span.start)),
            key: String::new(),
            wrong: error.message().replace('\n', ", "),
            remedy: "correct the TOML (https://toml.io)".to_owned(),
        })
        .collect();
    mistakes.sort_by(|a, b| a.place.cmp(&b.place));
    mistakes.dedup_by(|later, first| later.place.is_on_line_of(&first.place));
    (source.table(document.get_ref()), mistakes)
}

/// A value of the environment or an argument: TOML if it is some, else text.
pub(super) fn from_text(place: &Place, text: &str) -> Node {
    let value = match DeValue::parse(text) {
        Ok(parsed) => everywhere(place, parsed.get_ref()),
        Err(_) => Value::Text(text.to_owned()),
    };
    Node {
        place: place.clone(),
        value,
    }
}

/// Puts a value at a dotted path, over what stands there; a table is merged into a table.
pub(super) fn overlay(table: &mut Table, path: &[String], node: Node) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    let place = node.place.clone();
    if rest.is_empty() {
        match (
            table.get_mut(first).map(|entry| &mut entry.node.value),
            node.value,
        ) {
            (Some(Value::Table(old)), Value::Table(new)) => {
                for (key, entry) in new {
                    overlay(old, &[key], entry.node);
                }
            }
            (_, value) => {
                let entry = Entry {
                    key_place: place.clone(),
                    node: Node { place, value },
                };
                table.insert(first.clone(), entry);
            }
        }
        return;
    }
    let entry = table.entry(first.clone()).or_insert_with(|| Entry {
        key_place: place.clone(),
        node: Node {
            place: place.clone(),
            value: Value::Table(Table::new()),
        },
    });
    if !matches!(entry.node.value, Value::Table(_)) {
        entry.node.value = Value::Table(Table::new());
    }
    if let Value::Table(inner) = &mut entry.node.value {
        overlay(inner, rest, node);
    }
}

struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Place::File {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    fn table(&self, table: &DeTable<'_>) -> Table {
        let entries = table.iter().map(|(key, value)| {
            let entry = Entry {
                key_place: self.place(key.span().start),
                node: self.node(value.span().start, value.get_ref()),
            };
            (key.get_ref().to_string(), entry)
        });
        entries.collect()
    }

    fn node(&self, offset: usize, value: &DeValue<'_>) -> Node {
        let value = match value {
            DeValue::Array(items) => Value::Array(
                items
                    .iter()
                    .map(|item| self.node(item.span().start, item.get_ref()))
                    .collect(),
            ),
            DeValue::Table(table) => Value::Table(self.table(table)),
            other => scalar(other),
        };
        Node {
            place: self.place(offset),
            value,
        }
    }
}

fn scalar(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::Text(number.as_str().to_owned()), Value::Integer),
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Float(number) => Value::Text(number.as_str().to_owned()),
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => {
            unreachable!("containers are read by their owners")
        }
    }
}

/// A value whose parts all stand at one place.
fn everywhere(place: &Place, value: &DeValue<'_>) -> Value {
    let node = |value: &DeValue<'_>| Node {
        place: place.clone(),
        value: everywhere(place, value),
    };
    match value {
        DeValue::Array(items) => {
            Value::Array(items.iter().map(|item| node(item.get_ref())).collect())
        }
        DeValue::Table(table) => Value::Table(
            table
                .iter()
                .map(|(key, value)| {
                    let entry = Entry {
                        key_place: place.clone(),
                        node: node(value.get_ref()),
                    };
                    (key.get_ref().to_string(), entry)
                })
                .collect(),
        ),
        other => scalar(other),
    }
}
