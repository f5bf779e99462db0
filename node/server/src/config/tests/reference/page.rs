//! The page itself.

use std::{fmt::Write as _, path::Path};

use super::{Documented, Keys, example::Example, is_default};

const HEAD: &str = "\
# Configuration reference

Written from the code by a test; do not edit. It asks the program which keys it knows and what they take, and
[the example](starling.example.toml) what they are for.

A key may stand in the file, in the environment (`limits.connections.total` is `STARLING_LIMITS__CONNECTIONS__TOTAL`), and some are
arguments of [the command](commands.md); arguments go before the environment, the environment before the file. `starling config` prints what
is written and where, `starling check-config` every mistake. Times are written `\"90s\"`, `\"1h30m\"`, `\"21d\"`; sizes `\"64KiB\"`, `\"1MiB\"`, or a
number of bytes. A value behind *e.g.* is an example; without that it is what holds if the key is left out.
";

/// Kinds of stores by what one writes for them.
const KINDS: [(&str, &str); 5] = [
    (
        "embedded",
        "`backend = \"embedded\"`: a directory of this machine",
    ),
    ("dynamodb", "`backend = \"dynamodb\"`: DynamoDB and S3"),
    (
        "sql",
        "`backend = \"postgresql\"`, `\"mysql\"` or `\"sqlite\"`: a database",
    ),
    ("ldap", "`backend = \"ldap\"`: a directory of users"),
    ("https", "`backend = \"https\"`: a service of your own"),
];

/// Writes it.
pub(super) fn write(keys: &Keys, example: &Example) -> String {
    let mut out = HEAD.to_owned();
    for (section, above) in &example.sections {
        let title = match (section.as_str(), section.strip_suffix("[]")) {
            ("", _) => "Outside of all sections".to_owned(),
            (_, Some(list)) => format!("`[[{list}]]`"),
            (section, None) => format!("`[{section}]`"),
        };
        let _ = write!(out, "\n## {title}\n\n");
        if !above.is_empty() {
            let _ = write!(out, "{above}\n\n");
        }
        let prefix = match section.as_str() {
            "" => String::new(),
            section => format!("{section}."),
        };
        table(&mut out, keys, example, &prefix);
        if section == "storage" {
            out.push_str(
                "\nThe keys below say more of a store. They stand in `[storage]`, which is the main store, or in `[storage.stores.NAME]`, which is \
                 another one; what it keeps is said in `[storage]` for all domains, or in `[storage.domains.\"DOMAIN\"]` for one.\n",
            );
            for (kind, title) in KINDS {
                let _ = write!(out, "\n### {title}\n\n");
                table(&mut out, keys, example, &format!("storage({kind})."));
            }
        }
    }
    out
}

fn table(out: &mut String, keys: &Keys, example: &Example, prefix: &str) {
    let mut rows: Vec<(&str, &Documented, String)> = Vec::new();
    for (name, known) in keys {
        let Some(key) = name.strip_prefix(prefix).filter(|key| !key.contains('.')) else {
            continue;
        };
        let documented = &example.keys[name];
        let value = match (
            documented.value.as_str(),
            is_default(known, &documented.value),
        ) {
            (value, true) => format!("`{value}`"),
            (value, false) => format!("*e.g.* `{value}`"),
        };
        rows.push((key, documented, format!("{} | {value}", cell(&known.takes))));
    }
    if rows.is_empty() {
        return;
    }
    out.push_str("| key | takes | without it | what |\n|---|---|---|---|\n");
    for (key, documented, middle) in rows {
        let _ = writeln!(out, "| `{key}` | {middle} | {} |", cell(&documented.what));
    }
}

/// Text in a table; what could be taken for a tag is shown as it is.
fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|").replace('<', "&lt;")
}

/// Holds the page against the one that is there, or writes it if it is asked to.
pub(super) fn hold(page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, page).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == page,
        "docs/configuration.md is out of date: run this test with UPDATE_DOCS=1"
    );
}
