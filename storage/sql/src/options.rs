//! What is configured: where the database is, how many connections, how long to wait.
//!
//! Why the URL has a type: it holds the password, and what prints options prints it.

use std::{fmt, time::Duration};

/// A URL of a database: `postgres://user:password@host:5432/database?sslmode=verify-full`,
/// `mysql://user:password@host:3306/database?ssl-mode=VERIFY_IDENTITY`, `sqlite:///path/to/file`.
///
/// Printing it leaves out the password and all parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// A URL; whether it makes sense is looked at when the database is opened.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else {
            // It cannot be told what is a password in it.
            return f.write_str(self.0.split_once(':').map_or("", |(scheme, _)| scheme));
        };
        let path = rest.split(['?', '#']).next().unwrap_or_default();
        // A password may hold what should have been escaped: only what is after the last `@` is not of it.
        match path.rsplit_once('@') {
            Some((_, host)) => {
                let user = rest.split([':', '@']).next().unwrap_or_default();
                write!(f, "{scheme}://{user}@{host}")
            }
            None if rest.contains('@') => write!(f, "{scheme}://..."),
            None => write!(f, "{scheme}://{path}"),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// How a database is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlOptions {
    /// Where it is.
    pub url: DatabaseUrl,
    /// Where reads go that may be a little behind. When it does not answer they go to the database itself.
    pub replica: Option<DatabaseUrl>,
    /// What the names of all tables start with: lower-case letters, digits, `_`; at most 32.
    pub prefix: String,
    /// At most this many connections to the database, and as many without the writers' to the replica.
    pub connections: usize,
    /// So many of them are for writes, each a transaction at a time. SQLite has one.
    pub writers: usize,
    /// At most this many batches share a transaction. They gather only while all writers are at work; 1: never.
    pub gather: usize,
    /// At most this many batches wait for a writer; more are `Throttled`.
    pub waiting: usize,
    /// At most this many bytes of values wait for a writer; more are `Throttled`.
    pub waiting_bytes: usize,
    /// How long to wait for a free connection. Then the answer is `Throttled`, as nothing was asked of the database; or
    /// `Unavailable` if the database is the reason, because the last call that ended got no answer from it. Longer than
    /// `timeout`, so that this is known by then.
    pub acquire: Duration,
    /// How long connecting may take.
    pub connect: Duration,
    /// How long a statement may take, here and, by a setting of the session, at the server. Waiting for a lock may take half
    /// of it.
    pub timeout: Duration,
}

impl SqlOptions {
    /// The defaults for this database.
    pub fn new(url: DatabaseUrl) -> Self {
        Self {
            url,
            replica: None,
            prefix: "starling_".into(),
            connections: 16,
            writers: 4,
            gather: 64,
            waiting: 4096,
            waiting_bytes: 64 << 20,
            acquire: Duration::from_secs(6),
            connect: Duration::from_secs(3),
            timeout: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &str) {
        let url = DatabaseUrl::new(url);
        assert_eq!(url.to_string(), expected);
        let options = format!("{:?}", SqlOptions::new(url));
        assert!(!options.contains("secret"), "{options}");
    }

    #[test]
    fn a_url_does_not_print_its_password() {
        check(
            "postgres://u:secret@h:1/d?sslmode=require",
            "postgres://u@h:1/d",
        );
        check("postgres://h/d?user=u&password=secret", "postgres://h/d");
        check("mysql://u:sec@ret:secret@h/d", "mysql://u@h/d");
        check("mysql://u@h/d", "mysql://u@h/d");
        check("sqlite:///var/lib/x", "sqlite:///var/lib/x");
        check("postgres:u:secret@h/d", "postgres");
        check("postgres://u:se?secret@h/d", "postgres://...");
        check("secret", "");
    }
}
