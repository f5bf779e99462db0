//! User data: what an instance of EC2 was given at its launch, as a configuration. A domain and nothing else, the text of a
//! configuration file, or either in a cloud-config under the key `starling`.
//!
//! Source: Amazon EC2 User Guide, "Run commands when you launch an EC2 instance with user data input"; cloud-init, "User
//! data formats". Of YAML only what holds one text is read: a scalar in one line, or a literal block (`|`).
//!
//! What the instance says of itself fills what is not written, see [`defaults`]: a node that was given a domain is one of
//! several over tables of DynamoDB in its region.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use xmpp::BareJid;

use super::{
    mistake::{Mistake, Place},
    raw::{self, Node, Table, Value},
};

/// What messages call it, with line and column behind.
const NAME: &str = "user-data";
/// The key of a cloud-config that is ours.
const KEY: &str = "starling";
/// Stores that several nodes share.
const SHARED: [&str; 3] = ["dynamodb", "postgresql", "mysql"];
/// Keys of `cluster` that say where other nodes are.
const SOURCES: [&str; 4] = ["nodes", "dns", "registry", "ec2.tags"];
/// Where a node behind a load balancer serves `/ready`: the health check of `terraform/` asks there.
const HTTP: &str = "0.0.0.0:5280";
/// The tag of an instance that names its cluster.
pub const CLUSTER_TAG: &str = "starling-cluster";

/// What an instance of EC2 says of itself and of what it was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launched {
    /// The user data; `None`: there are none.
    pub data: Option<Vec<u8>>,
    /// Its region: `eu-west-1`.
    pub region: String,
    /// The account that it belongs to.
    pub account: Option<String>,
    /// Its tag [`CLUSTER_TAG`], where it may read its tags.
    pub cluster: Option<String>,
}

/// What user data are.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// A configuration, with as many lines before it as it had.
    Text(String),
    /// Something for others: what it is.
    Foreign(&'static str),
    /// Ours, and not to be understood: in which line, why, what to do.
    Wrong(usize, &'static str, &'static str),
}

/// The tree that user data are.
///
/// # Errors
/// They are for somebody else, or wrong.
pub(super) fn read(data: &[u8]) -> Result<Table, Unread> {
    match said(data) {
        Said::Foreign(what) => Err(Unread::Foreign(Foreign(what))),
        Said::Wrong(line, wrong, remedy) => {
            let mistake = mistake(place(line), wrong, remedy);
            Err(Unread::Mistakes(vec![mistake]))
        }
        Said::Text(text) => table(&text),
    }
}

/// Where they begin: for what is missing in them.
pub(super) fn start() -> Place {
    place(1)
}

/// Why there is no tree.
#[derive(Debug)]
pub(super) enum Unread {
    /// They are for somebody else.
    Foreign(Foreign),
    /// They are ours and wrong.
    Mistakes(Vec<Mistake>),
}

/// What they are for somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Foreign(&'static str);

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NAME}: {}: left alone", self.0)
    }
}

impl Foreign {
    /// The mistake that it is where nothing else says what to serve.
    pub(super) fn mistakes(self) -> Vec<Mistake> {
        let wrong = format!("{}, and nothing says which domains to serve", self.0);
        let remedy = "give the instance a domain, a configuration in TOML, or a cloud-config with one of these under \
                      `starling: |`; or name a file by --config";
        vec![mistake(place(1), &wrong, remedy)]
    }
}

fn table(text: &str) -> Result<Table, Unread> {
    let bare = text.trim();
    let line = 1 + text[..text.len() - text.trim_start().len()]
        .matches('\n')
        .count();
    let place = place(line);
    // No TOML is one word: a key without a value is none.
    if !bare.contains(|c: char| c.is_whitespace() || matches!(c, '=' | '[' | '#')) {
        if BareJid::from_parts(None, bare).is_err() {
            let wrong = "this is no domain and no configuration";
            let remedy = "write one such as example.org, or a configuration in TOML";
            return Err(Unread::Mistakes(vec![mistake(place, wrong, remedy)]));
        }
        let mut table = Table::new();
        let value = Value::Text(bare.to_owned());
        raw::overlay(&mut table, &["domains".to_owned()], Node { place, value });
        return Ok(table);
    }
    let (table, mistakes) = raw::from_toml(Path::new(NAME), text);
    match mistakes.is_empty() {
        true => Ok(table),
        false => Err(Unread::Mistakes(mistakes)),
    }
}

fn place(line: usize) -> Place {
    Place::File {
        path: PathBuf::from(NAME),
        line,
        column: 1,
    }
}

fn mistake(place: Place, wrong: &str, remedy: &str) -> Mistake {
    Mistake {
        place,
        key: String::new(),
        wrong: wrong.to_owned(),
        remedy: remedy.to_owned(),
    }
}

fn said(data: &[u8]) -> Said {
    if data.starts_with(&[0x1f, 0x8b]) {
        return Said::Foreign("these are compressed");
    }
    let Ok(text) = str::from_utf8(data) else {
        return Said::Foreign("these are no text");
    };
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let first = text.lines().find(|line| !line.trim().is_empty());
    match first.map(str::trim) {
        None => Said::Foreign("they are empty"),
        Some("#cloud-config") => cloud_config(&text),
        Some(line) if line.starts_with("#!") => Said::Foreign("this is a script"),
        Some(line) if line.starts_with("#include") || line.starts_with("#cloud-") => {
            Said::Foreign("this is for cloud-init")
        }
        Some(line) if line.starts_with("Content-Type:") || line.starts_with("MIME-Version:") => {
            Said::Foreign("these are several parts for cloud-init")
        }
        Some("## template: jinja") => Said::Foreign("this is a template"),
        Some(_) => Said::Text(text),
    }
}

/// The text under our key of a cloud-config.
fn cloud_config(text: &str) -> Said {
    let lines: Vec<&str> = text.lines().collect();
    let ours = |line: &&str| line.strip_prefix(KEY).is_some_and(|it| it.starts_with(':'));
    let Some(at) = lines.iter().position(ours) else {
        return Said::Foreign("this is a cloud-config without the key `starling`");
    };
    let value = lines[at][KEY.len() + 1..].trim();
    let within = block(&lines[at + 1..]);
    match value.chars().next() {
        Some('|') => literal(at, within),
        Some('>') => Said::Wrong(
            at + 1,
            "a folded block joins its lines, and TOML needs them",
            "write `starling: |`",
        ),
        None | Some('#') => Said::Wrong(
            at + 1,
            "there is no text behind the key",
            "write `starling: example.org`, or `starling: |` and TOML in the lines below, indented",
        ),
        Some(_) => scalar(at, value),
    }
}

/// A text in one line, in quotes or without.
fn scalar(at: usize, value: &str) -> Said {
    let before = "\n".repeat(at);
    let quoted = ['"', '\''].into_iter().find_map(|quote| {
        let (inner, rest) = value.strip_prefix(quote)?.split_once(quote)?;
        Some((inner, rest))
    });
    let (text, rest) = match quoted {
        Some(found) => found,
        None => value.split_once(" #").unwrap_or((value, "")),
    };
    let rest = rest.trim();
    if quoted.is_some() && !rest.is_empty() && !rest.starts_with('#') || text.contains('\\') {
        return Said::Wrong(
            at + 1,
            "this text is not understood",
            "write a domain, or `starling: |` and TOML in the lines below, indented",
        );
    }
    Said::Text(format!("{before}{}", text.trim()))
}

/// The lines that belong to a key: indented, or empty.
fn block<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let belongs = |line: &&&str| line.trim().is_empty() || line.starts_with(' ');
    lines.iter().take_while(belongs).copied().collect()
}

/// A literal block without its indentation, in the lines where it was.
fn literal(at: usize, lines: Vec<&str>) -> Said {
    let first = lines.iter().find(|line| !line.trim().is_empty());
    let indent = first.map_or(0, |line| line.len() - line.trim_start_matches(' ').len());
    let mut text = "\n".repeat(at + 1);
    for (number, line) in lines.iter().enumerate() {
        match line.split_at_checked(indent) {
            Some((before, rest)) if before.trim().is_empty() => text.push_str(rest),
            _ if line.trim().is_empty() => {}
            _ => {
                return Said::Wrong(
                    at + 2 + number,
                    "this line is indented less than the first one of its block",
                    "indent all lines of the block alike",
                );
            }
        }
        text.push('\n');
    }
    match text.trim().is_empty() {
        true => Said::Wrong(
            at + 1,
            "the block is empty",
            "write a domain or TOML in the lines below, indented",
        ),
        false => Said::Text(text),
    }
}

/// Fills what is not written: the store is DynamoDB in the instance's region and a bucket of its account; where the store is
/// one that nodes share, the node is one of several, which are found in the store and by the instance's tag, and it tells the
/// load balancer before them whether it is ready.
pub(super) fn defaults(table: &mut Table, launched: &Launched) {
    let text = |text: &str| Value::Text(text.to_owned());
    fill(table, &["storage", "backend"], text("dynamodb"));
    let backend = match at(table, &["storage", "backend"]) {
        Some(Value::Text(backend)) => backend.clone(),
        _ => String::new(),
    };
    if backend == "dynamodb" {
        if at(table, &["storage", "profile"]).is_none() {
            fill(table, &["storage", "region"], text(&launched.region));
        }
        if let Some(account) = &launched.account {
            let bucket = format!("starling-{account}-{}", launched.region);
            fill(table, &["storage", "bucket"], text(&bucket));
        }
    }
    if !SHARED.contains(&backend.as_str()) {
        return;
    }
    fill(table, &["http"], text(HTTP));
    fill(table, &["cluster"], Value::Table(Table::new()));
    let is_found = SOURCES.iter().any(|source| {
        let path: Vec<_> = ["cluster"].into_iter().chain(source.split('.')).collect();
        at(table, &path).is_some()
    }) || is_list_of_tags(table);
    if let Some(cluster) = &launched.cluster {
        fill(table, &["cluster", "name"], text(cluster));
        if !is_found {
            let tag = text(&format!("{CLUSTER_TAG}={cluster}"));
            fill(table, &["cluster", "ec2", "tags"], tag);
            fill(table, &["cluster", "registry"], Value::Boolean(true));
        }
    }
    if !is_list_of_tags(table) {
        fill(table, &["cluster", "ec2", "notices"], Value::Boolean(true));
    }
}

/// Whether `cluster.ec2` is no section: then it is the tags, and says all by itself.
fn is_list_of_tags(table: &Table) -> bool {
    let found = at(table, &["cluster", "ec2"]);
    !matches!(found, None | Some(Value::Table(_)))
}

/// What stands at a dotted path.
fn at<'a>(table: &'a Table, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let value = &table.get(*first)?.node.value;
    match (rest, value) {
        ([], value) => Some(value),
        (rest, Value::Table(inner)) => at(inner, rest),
        _ => None,
    }
}

/// Puts a value where nothing stands.
fn fill(table: &mut Table, path: &[&str], value: Value) {
    if at(table, path).is_none() {
        let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
        let place = Place::Instance;
        raw::overlay(table, &path, Node { place, value });
    }
}

#[cfg(test)]
mod tests;
