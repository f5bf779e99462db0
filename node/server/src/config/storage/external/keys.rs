//! Keys: those of an outside system. Where each stands is remembered, for what is wrong with several together.

use storage_external::{Mistake, TlsOptions};

use super::super::super::{
    meaning::path,
    mistake::Place,
    raw::{Node, Table, Value},
    reader::{Section, Wrong, boolean, text},
};

pub(super) struct Keys<'s, 'm> {
    section: &'s mut Section<'m>,
    places: Vec<(&'static str, Place)>,
}

impl<'s, 'm> Keys<'s, 'm> {
    pub(super) fn new(section: &'s mut Section<'m>) -> Self {
        Self {
            section,
            places: Vec::new(),
        }
    }

    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        into: &mut T,
        parse: impl FnOnce(&Node) -> Result<T, Wrong>,
    ) {
        let place = self.section.read(key, into, parse);
        self.places.extend(place.map(|place| (key, place)));
    }

    pub(super) fn texts(&mut self, key: &'static str, into: &mut Vec<String>) {
        if let Some(texts) = self.section.list(key, text) {
            *into = texts;
        }
    }

    /// `ca_file`, `verify`, `certificate`, `key`. Without encryption nobody would look at them.
    pub(super) fn tls(&mut self, tls: &mut TlsOptions, is_encrypted: bool) {
        let some = |node: &Node| path(node).map(Some);
        self.read("ca_file", &mut tls.ca_file, some);
        self.read("verify", &mut tls.verify, boolean);
        self.read("certificate", &mut tls.certificate, some);
        self.read("key", &mut tls.key, some);
        if tls.key.is_some() && tls.certificate.is_none() {
            let remedy = "set certificate as well, or leave it out";
            self.tell(
                "key",
                Wrong::new("this is the key of no certificate", remedy),
            );
        }
        let keys = ["ca_file", "verify", "certificate", "key"];
        for key in keys.into_iter().filter(|_| !is_encrypted) {
            if self.place(key).is_some() {
                let remedy = "write encrypt = \"starttls\" or \"tls\", or leave it out";
                self.tell(key, Wrong::new("the connection is not encrypted", remedy));
            }
        }
    }

    fn place(&self, key: &str) -> Option<&Place> {
        let found = self.places.iter().find(|(known, _)| *known == key);
        found.map(|(_, place)| place)
    }

    pub(super) fn tell(&self, key: &str, wrong: Wrong) {
        self.section.mistake(self.place(key), key, wrong);
    }

    /// Tells what is wrong with options, but for keys of which something is told already.
    pub(super) fn tell_all(&self, mistakes: Vec<Mistake>, remedy: impl Fn(&str) -> &'static str) {
        let key = |mistake: &Mistake| mistake.option.trim_start_matches("ldap_");
        let mut mistakes = mistakes;
        mistakes.retain(|mistake| self.section.is_good(key(mistake)));
        for mistake in mistakes {
            let key = key(&mistake);
            self.tell(key, Wrong::new(mistake.what, remedy(key)));
        }
    }
}

/// Text, or a list of it.
pub(super) fn texts(node: &Node) -> Result<Vec<String>, Wrong> {
    match &node.value {
        Value::Array(items) => items.iter().map(text).collect(),
        _ => text(node).map(|text| vec![text]),
    }
}

/// A table.
pub(super) fn table<'a>(node: &'a Node, example: &str) -> Result<&'a Table, Wrong> {
    match &node.value {
        Value::Table(table) => Ok(table),
        other => {
            let wrong = format!("this is {}", other.kind());
            Err(Wrong::new(
                wrong,
                format!("write a table such as {example}"),
            ))
        }
    }
}
