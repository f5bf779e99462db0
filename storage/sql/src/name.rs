//! Names of tables.

use storage::{Error, ErrorKind, Result, shape::Space};

/// PostgreSQL cuts names after 63 bytes; this leaves room for ours.
const MAX_PREFIX: usize = 32;

/// The names of all tables.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    prefix: String,
    spaces: [String; 4],
    /// A row for each object.
    pub(crate) blobs: String,
    /// A row for each part of an object.
    pub(crate) parts: String,
    /// One row: the version of all the others.
    pub(crate) schema: String,
}

/// The four, in the order in which their rows are locked.
pub(crate) const SPACES: [Space; 4] = [Space::Core, Space::Log, Space::Idx, Space::Ctl];

impl Names {
    /// # Errors
    /// `NotAllowed` for a prefix that is more than letters, digits and `_`: names are written into SQL as they are.
    pub(crate) fn new(prefix: &str) -> Result<Self> {
        let sound = prefix.len() <= MAX_PREFIX
            && !prefix.starts_with(|first: char| first.is_ascii_digit())
            && prefix
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if !sound {
            return Err(Error::new(
                ErrorKind::NotAllowed,
                format!(
                    "not a prefix for tables: {prefix:?}; it may have {MAX_PREFIX} lower-case letters, digits and _, \
                     and does not start with a digit"
                ),
            ));
        }
        Ok(Self {
            prefix: prefix.to_owned(),
            spaces: ["core", "log", "idx", "ctl"].map(|name| format!("{prefix}{name}")),
            blobs: format!("{prefix}blobs"),
            parts: format!("{prefix}blob_parts"),
            schema: format!("{prefix}schema"),
        })
    }

    /// The table of a space.
    pub(crate) fn of(&self, space: Space) -> &str {
        &self.spaces[space as usize]
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_name() {
        for (prefix, expected) in [
            ("", Some("log")),
            ("starling_", Some("starling_log")),
            ("a1", Some("a1log")),
            ("1a", None),
            ("a b", None),
            ("a\"", None),
            ("A", None),
            ("é", None),
            (&"a".repeat(33), None),
        ] {
            let names = Names::new(prefix);
            let found = names.as_ref().ok().map(|names| names.of(Space::Log));
            assert_eq!(found, expected, "{prefix:?}");
        }
    }
}
