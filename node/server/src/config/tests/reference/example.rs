//! The example, read as documentation: what it says of each key, and with which value it shows it.
//!
//! A key's text is the comment above it, which counts for the keys that follow at once, or behind it. What is indented in a
//! comment is a variant: another backend, a section that most do without.

use std::collections::BTreeMap;

/// What the example says of a key.
#[derive(Debug, Clone, Default)]
pub(super) struct Documented {
    /// What it is for.
    pub(super) what: String,
    /// The value that it shows.
    pub(super) value: String,
}

/// What the example says.
#[derive(Debug, Default)]
pub(super) struct Example {
    /// Of each key, by its name on the page.
    pub(super) keys: BTreeMap<String, Documented>,
    /// Sections and what stands above their first line, in order.
    pub(super) sections: Vec<(String, String)>,
}

#[derive(Default)]
struct Reading {
    found: Example,
    /// The section of keys at the margin.
    section: String,
    /// That of indented ones, and the kind of its store.
    variant: String,
    kind: Option<&'static str>,
    comment: String,
    comment_is_used: bool,
    last: Option<String>,
}

pub(super) fn documented(text: &str) -> Example {
    let mut reading = Reading::default();
    reading.enter("");
    for line in text.lines() {
        reading.line(line);
    }
    reading.found
}

/// A key with its value, and what stands behind it.
fn pair(line: &str) -> Option<(&str, &str, &str)> {
    let (key, rest) = line.split_once(" = ")?;
    let is_key = key
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let comment = rest
        .match_indices(" #")
        .find(|(at, _)| rest[..*at].matches('"').count() % 2 == 0);
    let (value, what) = match comment {
        Some((at, _)) => (&rest[..at], rest[at + 2..].trim()),
        None => (rest, ""),
    };
    is_key.then_some((key, value.trim(), what))
}

/// A section's name on the page.
fn section(line: &str) -> Option<String> {
    let inner = line.strip_prefix('[')?.strip_suffix(']')?;
    if let Some(list) = inner.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
        return Some(format!("{list}[]"));
    }
    let stored = inner.starts_with("storage.stores.") || inner.starts_with("storage.domains.");
    Some(if stored { "storage" } else { inner }.to_owned())
}

/// An indented section, and what stands behind it.
fn variant(line: &str) -> Option<(String, String)> {
    let (name, what) = line.split_once(" # ").unwrap_or((line, ""));
    Some((section(name.trim())?, what.trim().to_owned()))
}

fn kind(backend: &str) -> Option<&'static str> {
    Some(match backend.trim_matches('"') {
        "dynamodb" => "dynamodb",
        "postgresql" | "mysql" | "sqlite" => "sql",
        "ldap" => "ldap",
        "https" => "https",
        _ => return None,
    })
}

impl Reading {
    fn enter(&mut self, name: &str) {
        self.section = name.to_owned();
        let known = |(it, _): &(String, String)| it == name;
        if !self.found.sections.iter().any(known) {
            let above = match self.comment_is_used || name.is_empty() {
                true => String::new(),
                false => std::mem::take(&mut self.comment),
            };
            self.found.sections.push((name.to_owned(), above));
        }
        self.paragraph();
    }

    fn paragraph(&mut self) {
        self.comment.clear();
        self.comment_is_used = false;
        self.variant.clone_from(&self.section);
        self.kind = None;
        self.last = None;
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() || line == "#" {
            return self.paragraph();
        }
        let (is_comment, bare) = match line.strip_prefix('#') {
            Some(bare) => (true, bare),
            None => (false, line),
        };
        if let Some(name) = section(bare) {
            return self.enter(&name);
        }
        if let Some((key, value, what)) = pair(bare) {
            let what = match what.is_empty() {
                true => self.comment.clone(),
                false => what.to_owned(),
            };
            self.comment_is_used = true;
            let embedded = self.section == "storage" && key != "backend";
            let kind = embedded.then_some("embedded");
            let section = self.section.clone();
            return self.key(&section, kind, key, value, what);
        }
        assert!(is_comment, "the example is not understood: {line}");
        let Some(indented) = bare.strip_prefix("   ") else {
            if std::mem::take(&mut self.comment_is_used) {
                self.comment.clear();
            }
            self.comment = format!("{} {}", self.comment, bare.trim())
                .trim()
                .to_owned();
            return;
        };
        if self.found.keys.is_empty() {
            // How variables of the environment look.
            return;
        }
        if let Some(more) = indented.trim_start().strip_prefix("# ") {
            let last = self.last.as_ref().expect("there is a key to go on about");
            let what = &mut self.found.keys.get_mut(last).expect("it was noted").what;
            what.push(' ');
            what.push_str(more);
        } else if let Some((name, what)) = variant(indented) {
            self.variant = name;
            self.kind = None;
            if self.variant != "storage" {
                let variant = self.variant.clone();
                self.found.sections.push((variant, what));
            }
        } else {
            let (key, value, what) = pair(indented).unwrap_or_else(|| panic!("no key: {line}"));
            if key == "backend" {
                self.kind = kind(value);
            }
            let (section, kind) = (self.variant.clone(), self.kind);
            self.key(&section, kind, key, value, what.to_owned());
        }
    }

    fn key(&mut self, section: &str, kind: Option<&str>, key: &str, value: &str, what: String) {
        let kind = kind.filter(|_| section == "storage" && key != "backend");
        let name = match (section, kind) {
            ("", _) => key.to_owned(),
            (_, Some(kind)) => format!("storage({kind}).{key}"),
            (section, None) => format!("{section}.{key}"),
        };
        self.last = Some(name.clone());
        let value = value.to_owned();
        let known = self.found.keys.entry(name).or_default();
        // What was said first counts, once something is said.
        if known.what.is_empty() {
            *known = Documented { what, value };
        }
    }
}
