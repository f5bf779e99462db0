//! Origin: what was written, key by key, and where. Secrets are not shown.

use std::fmt;

use super::{
    mistake::Place,
    raw::{Node, Table, Value},
};

/// In place of a secret.
const HIDDEN: &str = "\"(hidden)\"";

/// A key that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The key, dotted.
    pub key: String,
    /// Its value, as TOML has it.
    pub value: String,
    /// Where.
    pub place: Place,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}  # {}", self.key, self.value, self.place)
    }
}

/// All that was written, by key.
pub(super) fn origins(table: &Table) -> Vec<Origin> {
    let mut out = Vec::new();
    tables("", table, &mut out);
    out
}

fn tables(path: &str, table: &Table, out: &mut Vec<Origin>) {
    for (key, entry) in table {
        let key = match path {
            "" => name(key),
            path => format!("{path}.{}", name(key)),
        };
        value(key, &entry.node, out);
    }
}

fn value(key: String, node: &Node, out: &mut Vec<Origin>) {
    match &node.value {
        Value::Table(inner) if !inner.is_empty() => tables(&key, inner, out),
        Value::Array(items)
            if items
                .iter()
                .any(|item| matches!(item.value, Value::Table(_))) =>
        {
            for (index, item) in items.iter().enumerate() {
                value(format!("{key}[{index}]"), item, out);
            }
        }
        written => {
            let value = match is_secret(&key) {
                true => HIDDEN.to_owned(),
                false => shown(written),
            };
            let place = node.place.clone();
            out.push(Origin { key, value, place });
        }
    }
}

/// Whether a key holds a secret itself, and not the name of a file with one.
fn is_secret(key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or(key);
    let hides = ["secret", "password", "token"];
    !last.ends_with("_file") && hides.iter().any(|word| last.contains(word))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(&without_password(text)),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(is) => is.to_string(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| shown(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(_) => "{}".to_owned(),
    }
}

/// An address without the password in it (RFC 3986 §3.2.1). One in its query is hidden with all of that.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, _)) => (rest, "?(hidden)"),
        None => (rest, ""),
    };
    // A password may hold what ends an authority.
    let shown = match rest.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:(hidden)@{host}"),
            None => rest.to_owned(),
        },
        None => rest.to_owned(),
    };
    format!("{scheme}://{shown}{query}")
}

/// A TOML key: bare where it can be.
fn name(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    match !key.is_empty() && key.chars().all(is_bare) {
        true => key.to_owned(),
        false => quoted(key),
    }
}

/// A basic string of TOML. JSON's escapes are among its own.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::raw;

    #[test]
    fn what_was_written_is_shown_with_its_place_and_without_secrets() {
        let text = r#"domains = ["example.org"]
[storage]
backend = "postgresql"
url = "postgresql://me:p@ss@db.example.org/s?sslpassword=x"
[storage.domains."example.org"]
rosters = "main"
[cluster]
secret = "0123456789abcdef"
secret_file = "kept"
[[listeners]]
address = ":5222"
starttls_required = true
"#;
        let (table, mistakes) = raw::from_toml(Path::new("s.toml"), text);
        assert!(mistakes.is_empty());
        let lines: Vec<_> = origins(&table).iter().map(Origin::to_string).collect();
        let expected = [
            r#"cluster.secret = "(hidden)"  # s.toml:8:10"#,
            r#"cluster.secret_file = "kept"  # s.toml:9:15"#,
            r#"domains = ["example.org"]  # s.toml:1:11"#,
            r#"listeners[0].address = ":5222"  # s.toml:11:11"#,
            r#"listeners[0].starttls_required = true  # s.toml:12:21"#,
            r#"storage.backend = "postgresql"  # s.toml:3:11"#,
            r#"storage.domains."example.org".rosters = "main"  # s.toml:6:11"#,
            r#"storage.url = "postgresql://me:(hidden)@db.example.org/s?(hidden)"  # s.toml:4:7"#,
        ];
        assert_eq!(lines, expected);
    }
}
