//! Reader: takes a section apart key by key. What nobody asked for is unknown, and named with its nearest neighbour.

use std::{cell::RefCell, time::Duration};

use super::{
    mistake::{Mistake, Place},
    raw::{Entry, Node, Table, Value},
    values::{nearest, parse_duration, parse_size},
};

/// Why a value is none, and what to do.
pub(super) struct Wrong {
    wrong: String,
    remedy: String,
}

impl Wrong {
    pub(super) fn new(wrong: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            wrong: wrong.into(),
            remedy: remedy.into(),
        }
    }

    fn kind(node: &Node, wanted: &str) -> Self {
        Self::new(
            format!("this is {}", node.value.kind()),
            format!("write {wanted}"),
        )
    }
}

type Parsed<T> = Result<T, Wrong>;

/// An entry of a list.
pub(super) struct Item<T> {
    /// The list's key with the index.
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) value: T,
}

/// One table of the configuration.
pub(super) struct Section<'m> {
    table: Table,
    path: String,
    pub(super) place: Place,
    known: Vec<&'static str>,
    mistakes: &'m RefCell<Vec<Mistake>>,
}

impl<'m> Section<'m> {
    /// The outermost table; what is missing is missing at this place.
    pub(super) fn root(table: Table, place: Place, mistakes: &'m RefCell<Vec<Mistake>>) -> Self {
        Self {
            table,
            path: String::new(),
            place,
            known: Vec::new(),
            mistakes,
        }
    }

    fn key(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    /// Notes a mistake about a key of this section, or about the section if `key` is empty.
    pub(super) fn mistake(&self, place: Option<&Place>, key: &str, wrong: Wrong) {
        self.mistakes.borrow_mut().push(Mistake {
            place: place.unwrap_or(&self.place).clone(),
            key: if key.is_empty() {
                self.path.clone()
            } else {
                self.key(key)
            },
            wrong: wrong.wrong,
            remedy: wrong.remedy,
        });
    }

    /// Whether a key is there.
    pub(super) fn has(&mut self, key: &'static str) -> bool {
        self.known.push(key);
        self.table.contains_key(key)
    }

    /// Whether a key is there and holds a table.
    pub(super) fn is_table(&self, key: &str) -> bool {
        let entry = self.table.get(key);
        entry.is_some_and(|entry| matches!(entry.node.value, Value::Table(_)))
    }

    /// Takes a value out.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        self.table.remove(key).map(|entry| entry.node)
    }

    /// Takes a value out that does not belong here: nobody who misspells a key shall be led to this one.
    pub(super) fn stray(&mut self, key: &str) -> Option<Node> {
        self.table.remove(key).map(|entry| entry.node)
    }

    /// Takes all that is left and looks at nothing of it.
    #[cfg_attr(
        feature = "external",
        expect(dead_code, reason = "for what a build does not know")
    )]
    pub(super) fn ignore_rest(&mut self) {
        self.table.clear();
    }

    /// Takes a value and reads it; where it stands. A mistake leaves `into` as it is.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        into: &mut T,
        parse: impl FnOnce(&Node) -> Parsed<T>,
    ) -> Option<Place> {
        let node = self.take(key)?;
        match parse(&node) {
            Ok(value) => *into = value,
            Err(wrong) => self.mistake(Some(&node.place), key, wrong),
        }
        Some(node.place)
    }

    /// A table in this one; empty if it is not there.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'m> {
        let path = self.key(key);
        let node = self.take(key);
        let place = node
            .as_ref()
            .map_or(Place::Nowhere, |node| node.place.clone());
        let table = match node.map(|node| (node.place.clone(), node)) {
            None => Table::new(),
            Some((
                _,
                Node {
                    value: Value::Table(table),
                    ..
                },
            )) => table,
            Some((place, node)) => {
                self.mistake(
                    Some(&place),
                    key,
                    Wrong::kind(&node, &format!("a table: [{path}]")),
                );
                Table::new()
            }
        };
        Section {
            table,
            path,
            place,
            known: Vec::new(),
            mistakes: self.mistakes,
        }
    }

    /// The entries of a list: each is read, and the good ones are kept. `None`: the key is not there.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        parse: impl FnMut(&Node) -> Parsed<T>,
    ) -> Option<Vec<T>> {
        let items = self.items(key, parse)?;
        Some(items.into_iter().map(|item| item.value).collect())
    }

    /// As [`Self::list`], with the places of the entries.
    pub(super) fn items<T>(
        &mut self,
        key: &'static str,
        mut parse: impl FnMut(&Node) -> Parsed<T>,
    ) -> Option<Vec<Item<T>>> {
        let node = self.take(key)?;
        let items = list_items(node);
        let mut out = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match parse(item) {
                Ok(value) => out.push(Item {
                    key: format!("{key}[{index}]"),
                    place: item.place.clone(),
                    value,
                }),
                Err(wrong) => self.mistake(Some(&item.place), &format!("{key}[{index}]"), wrong),
            }
        }
        Some(out)
    }

    /// Notes every entry that is there twice.
    pub(super) fn once<T: PartialEq>(&self, items: &[Item<T>], name: impl Fn(&T) -> String) {
        for (index, item) in items.iter().enumerate() {
            if items[..index].iter().any(|it| it.value == item.value) {
                let wrong = format!("{} is there twice", name(&item.value));
                let wrong = Wrong::new(wrong, "leave one of them out");
                self.mistake(Some(&item.place), &item.key, wrong);
            }
        }
    }

    /// Whether nothing wrong was found so far with a key or what is in it.
    pub(super) fn is_good(&self, key: &str) -> bool {
        let key = self.key(key);
        let about = |mistake: &Mistake| mistake.key.starts_with(&key);
        !self.mistakes.borrow().iter().any(about)
    }

    /// The tables of a list. `None`: the key is not there.
    pub(super) fn tables(&mut self, key: &'static str) -> Option<Vec<Result<Section<'m>, Node>>> {
        let node = self.take(key)?;
        let path = self.key(key);
        let sections = list_items(node)
            .into_iter()
            .enumerate()
            .map(|(index, node)| match node {
                Node {
                    place,
                    value: Value::Table(table),
                } => Ok(Section {
                    table,
                    path: format!("{path}[{index}]"),
                    place,
                    known: Vec::new(),
                    mistakes: self.mistakes,
                }),
                other => Err(other),
            });
        Some(sections.collect())
    }

    /// The tables of a table whose keys are names.
    pub(super) fn named(&mut self, key: &'static str) -> Vec<(String, Section<'m>)> {
        let within = self.section(key);
        let path = within.path;
        let one = |(name, entry): (String, Entry)| {
            let path = format!("{path}.{name}");
            let section = Section {
                table: Table::new(),
                path,
                place: entry.node.place.clone(),
                known: Vec::new(),
                mistakes: self.mistakes,
            };
            match entry.node.value {
                Value::Table(table) => Some((name, Section { table, ..section })),
                _ => {
                    section.mistake(None, "", Wrong::kind(&entry.node, "a table"));
                    None
                }
            }
        };
        within.table.into_iter().filter_map(one).collect()
    }

    /// The section is read: what is left is unknown.
    pub(super) fn finish(self) {
        for (key, entry) in &self.table {
            let remedy = match nearest(key, self.known.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("known here are {}", self.known.join(", ")),
            };
            self.mistake(
                Some(&entry.key_place),
                key,
                Wrong::new("no such key", remedy),
            );
        }
    }
}

/// A list, or one value in place of a list; text outside of files is split at commas.
fn list_items(node: Node) -> Vec<Node> {
    match node {
        Node {
            value: Value::Array(items),
            ..
        } => items,
        Node {
            value: Value::Text(text),
            place,
        } if !matches!(place, Place::File { .. }) => text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| Node {
                place: place.clone(),
                value: Value::Text(part.to_owned()),
            })
            .collect(),
        single => vec![single],
    }
}

pub(super) fn boolean(node: &Node) -> Parsed<bool> {
    match &node.value {
        Value::Boolean(value) => Ok(*value),
        _ => Err(Wrong::kind(node, "true or false")),
    }
}

pub(super) fn text(node: &Node) -> Parsed<String> {
    match &node.value {
        Value::Text(text) => Ok(text.clone()),
        _ => Err(Wrong::kind(node, "text in quotes")),
    }
}

/// A number from `least` to `most`.
pub(super) fn number<T: TryFrom<i64>>(least: i64, most: i64) -> impl Fn(&Node) -> Parsed<T> {
    move |node| {
        let wanted = || format!("write a number from {least} to {most}");
        let Value::Integer(number) = node.value else {
            return Err(Wrong::new(
                format!("this is {}", node.value.kind()),
                wanted(),
            ));
        };
        let inside = (least..=most).contains(&number);
        let value = inside.then(|| T::try_from(number).ok()).flatten();
        value.ok_or_else(|| Wrong::new(format!("{number} is out of range"), wanted()))
    }
}

/// A time from `least` to `most`, both as they are written.
pub(super) fn duration(
    least: &'static str,
    most: &'static str,
) -> impl Fn(&Node) -> Parsed<Duration> {
    move |node| {
        let wanted =
            || format!("write a time from {least} to {most}, such as \"90s\" or \"1h30m\"");
        let Value::Text(text) = &node.value else {
            return Err(Wrong::new(
                format!("this is {}", node.value.kind()),
                wanted(),
            ));
        };
        let bound = |text| parse_duration(text).expect("bounds are durations");
        match parse_duration(text) {
            Some(value) if value >= bound(least) && value <= bound(most) => Ok(value),
            Some(_) => Err(Wrong::new(format!("{text} is out of range"), wanted())),
            None => Err(Wrong::new(format!("\"{text}\" is no time"), wanted())),
        }
    }
}

/// A size from `least` to `most` bytes, both as they are written.
pub(super) fn size(least: &'static str, most: &'static str) -> impl Fn(&Node) -> Parsed<u64> {
    move |node| {
        let wanted = || {
            format!("write a size from {least} to {most}, such as \"64KiB\" or a number of bytes")
        };
        let parsed = match &node.value {
            Value::Text(text) => parse_size(text),
            Value::Integer(number) => u64::try_from(*number).ok(),
            _ => {
                return Err(Wrong::new(
                    format!("this is {}", node.value.kind()),
                    wanted(),
                ));
            }
        };
        let bound = |text| parse_size(text).expect("bounds are sizes");
        match parsed {
            Some(value) if value >= bound(least) && value <= bound(most) => Ok(value),
            Some(value) => Err(Wrong::new(
                format!("{value} bytes are out of range"),
                wanted(),
            )),
            None => Err(Wrong::new("this is no size", wanted())),
        }
    }
}

/// One of some words.
pub(super) fn choice<T: Copy>(
    choices: &'static [(&'static str, T)],
) -> impl Fn(&Node) -> Parsed<T> {
    move |node| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let written = text(node)?;
        let found = choices.iter().find(|(name, _)| *name == written);
        found.map(|(_, value)| *value).ok_or_else(|| {
            Wrong::new(
                format!("\"{written}\" is none of the choices"),
                format!("write one of {}", names.join(", ")),
            )
        })
    }
}
