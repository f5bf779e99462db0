//! `docs/configuration.md`, from what the reader knows and what the example says of it. A key that stands in only one of
//! the two fails the test, and so does a page that is not as it would be written: run it with `UPDATE_DOCS=1`.
//!
//! The reader is asked as operators ask it, by mistakes: to a key that there is not it answers which there are, to a value
//! that is none what it takes. So nothing has to be declared twice, and nothing here knows a key.

mod example;
mod page;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use example::{Documented, documented};

/// A key that there is not, and that is near to none.
const NOBODY: &str = "0";
/// Values that few keys take, from what tells most of what is wanted to what tells least.
const PROBES: [&str; 3] = ["\"\"", "\"?\"", "true"];
/// A kind of store: its name, its backends, keys that must be there with their values.
type Kind = (
    &'static str,
    &'static [&'static str],
    &'static [(&'static str, &'static str)],
);
/// Kinds of stores: backends that read the same keys, and what they cannot do without.
const STORES: [Kind; 6] = [
    ("memory", &["memory"], &[]),
    ("embedded", &["embedded"], &[]),
    ("dynamodb", &["dynamodb"], &[("bucket", "\"example\"")]),
    (
        "sql",
        &["postgresql", "mysql", "sqlite"],
        &[("url", "\"postgresql://a@b/c\"")],
    ),
    (
        "ldap",
        &["ldap"],
        &[
            ("servers", "[\"a.example\"]"),
            ("base", "\"dc=example\""),
            ("encrypt", "\"starttls\""),
        ],
    ),
    ("https", &["https"], &[("url", "\"https://a.example/\"")]),
];

/// A place in a configuration where keys stand.
#[derive(Debug, Clone)]
enum At {
    /// A table, dotted; the outermost is empty.
    Table(String),
    /// The tables of a list.
    Row(&'static str),
}

/// What a configuration is asked over: keys with values as TOML has them.
type Base = Vec<(String, String)>;

/// A key that the reader knows.
#[derive(Debug, Clone)]
struct Known {
    /// What it takes.
    takes: String,
    /// Whether the page's default for it may be tried: by what, and where it stands.
    base: Base,
    at: At,
    key: String,
}

/// The page names keys by these: `limits.connections.total`, `listeners[].address`, `storage(sql).url`.
type Keys = BTreeMap<String, Known>;

fn base(entries: &[(&str, &str)]) -> Base {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    std::iter::once(&("domains", "[\"a.example\"]"))
        .chain(entries)
        .map(own)
        .collect()
}

/// A key as mistakes name it.
fn named(at: &At, key: &str) -> String {
    match at {
        At::Table(path) if path.is_empty() => key.to_owned(),
        At::Table(path) => format!("{}.{key}", path.replace('"', "")),
        At::Row(path) => format!("{path}[0].{key}"),
    }
}

/// A configuration with one more line.
fn text(base: &Base, at: &At, key: &str, value: &str) -> String {
    let dotted = match at {
        At::Table(path) if path.is_empty() => key.to_owned(),
        At::Table(path) => format!("{path}.{key}"),
        At::Row(path) => (*path).to_owned(),
    };
    let line = match at {
        At::Table(_) => format!("{dotted} = {value}"),
        At::Row("listeners") if key != "address" => {
            format!("{dotted} = [{{ address = \"127.0.0.1:1\", {key} = {value} }}]")
        }
        At::Row(_) => format!("{dotted} = [{{ {key} = {value} }}]"),
    };
    let inside = format!("{dotted}.");
    let others = base
        .iter()
        .filter(|(known, _)| *known != dotted && !known.starts_with(&inside))
        .map(|(known, value)| format!("{known} = {value}"));
    others.chain([line]).collect::<Vec<_>>().join("\n")
}

fn read(text: &str) -> Result<Config, Vec<Mistake>> {
    let (sources, _kept) = sources(Some(text), &[]);
    match load(&sources) {
        Ok(loaded) => Ok(loaded.config),
        Err(mistakes) => Err(mistakes.0),
    }
}

/// What is told about a key when it has this value.
fn told(base: &Base, at: &At, key: &str, value: &str) -> Vec<Mistake> {
    let name = named(at, key);
    let mut mistakes = read(&text(base, at, key, value)).err().unwrap_or_default();
    mistakes.retain(|it| it.key == name || it.key.starts_with(&format!("{name}[")));
    mistakes
}

/// The keys that there are at a place; `None`: it is no place for keys.
fn known(base: &Base, at: &At) -> Option<BTreeSet<String>> {
    let mistakes = told(base, at, NOBODY, "1");
    let list = mistakes
        .iter()
        .find_map(|it| it.remedy.strip_prefix("known here are "))?;
    Some(list.split(", ").map(str::to_owned).collect())
}

/// What a key takes, in the reader's words.
fn takes(base: &Base, at: &At, key: &str) -> String {
    let name = named(at, key);
    for value in PROBES {
        let mistakes = told(base, at, key, value);
        let Some(mistake) = mistakes.first() else {
            continue;
        };
        let said = mistake.remedy.trim_start_matches("write ");
        let said = match said {
            it if it.starts_with("describe it in") => "the NAME of a store, or `main`".to_owned(),
            it if it.starts_with("it, or leave") => {
                "text; without it, as AWS's own tools find it".to_owned()
            }
            it => it
                .trim_start_matches("name ")
                .replace("known are", "any of"),
        };
        return match mistake.key == name {
            true => said,
            false => format!("a list; {said}"),
        };
    }
    panic!("{name} takes everything");
}

/// Adds all keys from a place on.
fn explore(base: &Base, at: &At, prefix: &str, skip: &[String], keys: &mut Keys) {
    let here = known(base, at).unwrap_or_else(|| panic!("{at:?} is no place for keys"));
    for key in here {
        let name = match prefix {
            "" => key.clone(),
            prefix => format!("{prefix}.{key}"),
        };
        if skip.contains(&name) {
            continue;
        }
        let inner = match at {
            At::Table(path) if path.is_empty() => Some(At::Table(key.clone())),
            At::Table(path) => Some(At::Table(format!("{path}.{key}"))),
            At::Row(_) => None,
        };
        if let Some(inner) = inner.filter(|inner| known(base, inner).is_some()) {
            explore(base, &inner, &name, skip, keys);
            // Some are a table or a value.
            if takes(base, at, &key).starts_with("a table: [") {
                continue;
            }
        }
        let row = ["listeners", "certificates"].into_iter();
        let mut row = row.filter(|row| *row == name).map(At::Row);
        if let Some(row) = row.find(|row| known(base, row).is_some()) {
            explore(base, &row, &format!("{name}[]"), skip, keys);
            continue;
        }
        let takes = takes(base, at, &key);
        let known = Known {
            takes,
            base: base.clone(),
            at: at.clone(),
            key,
        };
        assert!(keys.insert(name.clone(), known).is_none(), "{name}: twice");
    }
}

/// All keys that the reader knows.
fn all() -> Keys {
    let mut keys = Keys::new();
    let root = At::Table(String::new());
    let apart = ["storage", "cluster"].map(str::to_owned);
    explore(&base(&[]), &root, "", &apart, &mut keys);

    // Keys of every store, then those that each kind has beside them.
    let main = At::Table("storage".to_owned());
    let named = At::Table("storage.stores.x".to_owned());
    let in_memory = base(&[("storage.backend", "\"memory\"")]);
    let by_name = ["stores", "domains"].map(|it| format!("storage.{it}"));
    explore(&in_memory, &main, "storage", &by_name, &mut keys);
    let general: Vec<String> = known(&in_memory, &main).unwrap().into_iter().collect();
    for (kind, backends, needs) in STORES {
        for (index, backend) in backends.iter().enumerate() {
            let is_main = !matches!(kind, "ldap" | "https");
            let (at, path) = match is_main {
                true => (&main, "storage"),
                false => (&named, "storage.stores.x"),
            };
            let mut entries = base(&[]);
            entries.push((format!("{path}.backend"), format!("{backend:?}")));
            for (key, value) in needs {
                entries.push((format!("{path}.{key}"), (*value).to_owned()));
            }
            let prefix = format!("storage({kind})");
            let skip: Vec<String> = general
                .iter()
                .map(|key| format!("{prefix}.{key}"))
                .collect();
            let mut found = Keys::new();
            explore(&entries, at, &prefix, &skip, &mut found);
            if index == 0 {
                keys.extend(found);
            } else {
                assert!(found.keys().all(|key| keys.contains_key(key)), "{backend}");
            }
            // A store that has a name has the same keys.
            let elsewhere: Base = entries
                .iter()
                .map(|(key, value)| (key.replace("storage.", "storage.stores.x."), value.clone()))
                .collect();
            if is_main {
                let same = known(&elsewhere, &named).unwrap();
                let own = known(&entries, &main).unwrap();
                let own: BTreeSet<String> = own
                    .into_iter()
                    .filter(|key| key == "backend" || !general.contains(key))
                    .collect();
                assert_eq!(same, own, "{backend}");
            }
        }
    }
    // What domains may have elsewhere is what stores may be named for.
    let domain = At::Table("storage.domains.\"a.example\"".to_owned());
    for feature in known(&in_memory, &domain).unwrap() {
        assert!(
            keys.contains_key(&format!("storage.{feature}")),
            "{feature}"
        );
    }

    let shared = base(&[
        ("storage.backend", "\"postgresql\""),
        ("storage.url", "\"postgresql://a@b/c\""),
        ("cluster.directory", "\"redis\""),
        ("cluster.redis.url", "\"redis://a.example\""),
    ]);
    let cluster = At::Table("cluster".to_owned());
    explore(&shared, &cluster, "cluster", &[], &mut keys);
    keys
}

/// Whether a value is what holds without it. Of secrets nobody can tell.
fn is_default(known: &Known, value: &str) -> bool {
    if ["secret", "password", "token"]
        .iter()
        .any(|it| known.key.contains(it))
    {
        return false;
    }
    let with = read(&text(&known.base, &known.at, &known.key, value));
    // The line of a key that nobody knows the value of is left out by taking another one's place.
    let same = known.base.first().expect("domains are there");
    let without = match known.at {
        At::Row(_) => read(&text(&known.base, &known.at, "address", "\"127.0.0.1:1\"")),
        At::Table(_) => read(&text(
            &known.base,
            &At::Table(String::new()),
            &same.0,
            &same.1,
        )),
    };
    let is_written = known
        .base
        .iter()
        .any(|(key, _)| *key == named(&known.at, &known.key));
    match (with, without) {
        (Ok(with), Ok(without)) => !is_written && format!("{with:?}") == format!("{without:?}"),
        _ => false,
    }
}

#[test]
fn every_key_is_documented_and_every_documented_key_is_known() {
    let keys = all();
    let documented = documented(EXAMPLE);
    let known: BTreeSet<&String> = keys.keys().collect();
    let told: BTreeSet<&String> = documented.keys.keys().collect();
    let undocumented: Vec<_> = known.difference(&told).collect();
    assert!(
        undocumented.is_empty(),
        "not in the example: {undocumented:?}"
    );
    let unknown: Vec<_> = told.difference(&known).collect();
    assert!(
        unknown.is_empty(),
        "the reader knows no such key: {unknown:?}"
    );
    let silent: Vec<_> = documented
        .keys
        .iter()
        .filter(|(_, it)| it.what.is_empty())
        .map(|(key, _)| key)
        .collect();
    assert!(
        silent.is_empty(),
        "the example says nothing about {silent:?}"
    );
    // Whatever may stand in a file may stand in the environment.
    let first = |key: &String| key.split(['.', '(', '[']).next().unwrap_or(key).to_owned();
    let firsts: BTreeSet<String> = keys.keys().map(first).collect();
    let of_environment = BTreeSet::from(load::KEYS.map(str::to_owned));
    assert_eq!(firsts, of_environment);
    page::hold(&page::write(&keys, &documented));
}

#[test]
fn a_key_that_only_one_of_them_has_is_found() {
    let text = "domains = [\"example.org\"]\n# What it does.\n#nothing = 1\n";
    let keys = documented(text).keys;
    assert!(keys.contains_key("nothing") && !all().contains_key("nothing"));
    assert!(all().contains_key("log.filter") && !keys.contains_key("log.filter"));
}
