//! A URL -> what sqlx connects to.
//!
//! Stricter than sqlx: a parameter that is not known is refused instead of being logged with its value, and a database on
//! another machine is spoken to over TLS with a verified certificate unless the URL says otherwise.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use sqlx::{
    ConnectOptions,
    mysql::{MySqlConnectOptions, MySqlSslMode},
    postgres::{PgConnectOptions, PgSslMode},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use storage::{Error, ErrorKind, Result};

use crate::{
    dialect::Dialect,
    options::{DatabaseUrl, SqlOptions},
};

/// Statements that a connection keeps prepared. Those of MySQL and SQLite differ by the number of rows.
const PREPARED: usize = 256;
/// So that a row of a stanza or two stays on its page.
const SQLITE_PAGE: u32 = 8192;
const POSTGRES_PARAMETERS: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
];
const MYSQL_PARAMETERS: &[&str] = &[
    "sslmode", "ssl-mode", "sslca", "ssl-ca", "sslcert", "ssl-cert", "sslkey", "ssl-key", "socket",
];

/// What to connect to.
#[derive(Clone)]
pub(crate) enum Target {
    Postgres(Arc<PgConnectOptions>),
    MySql(Arc<MySql>),
    Sqlite(Arc<Sqlite>),
}

/// What to connect to, and what to say first.
pub(crate) struct MySql {
    pub(crate) options: MySqlConnectOptions,
    pub(crate) session: String,
}

/// What to open, and where it is.
pub(crate) struct Sqlite {
    pub(crate) options: SqliteConnectOptions,
    pub(crate) path: PathBuf,
}

impl Target {
    /// # Errors
    /// `NotAllowed` for a URL that cannot be.
    pub(crate) fn new(url: &DatabaseUrl, options: &SqlOptions) -> Result<Self> {
        let text = url.reveal();
        match text.split(':').next() {
            Some("postgres" | "postgresql") => postgres(url, text, options),
            Some("mysql" | "mariadb") => mysql(url, text, options),
            Some("sqlite") => sqlite(url, text, options),
            _ => Err(refused(url, "it starts with postgres:, mysql: or sqlite:")),
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::MySql(_) => Dialect::MySql,
            Self::Sqlite(_) => Dialect::Sqlite,
        }
    }
}

fn refused(url: &DatabaseUrl, why: &str) -> Error {
    Error::new(
        ErrorKind::NotAllowed,
        format!("not a URL of a database: {url}: {why}"),
    )
}

/// What sqlx reads of a URL whose parameters are all known. Its errors do not repeat what they are about.
fn parse<T: FromStr<Err = sqlx::Error>>(
    url: &DatabaseUrl,
    text: &str,
    known: &[&str],
) -> Result<T> {
    let parameters = text
        .split_once('?')
        .map_or("", |(_, parameters)| parameters);
    for parameter in parameters
        .split('&')
        .filter(|parameter| !parameter.is_empty())
    {
        let name = parameter.split('=').next().unwrap_or_default();
        if !known.contains(&name) {
            return Err(refused(
                url,
                &format!("the parameter {name:?} is not known"),
            ));
        }
    }
    text.parse()
        .map_err(|_| refused(url, "an address, a port or a parameter is malformed"))
}

fn says_tls(text: &str) -> bool {
    let parameters = text
        .split_once('?')
        .map_or("", |(_, parameters)| parameters);
    parameters
        .split('&')
        .any(|parameter| parameter.starts_with("sslmode=") || parameter.starts_with("ssl-mode="))
}

fn is_here(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn postgres(url: &DatabaseUrl, text: &str, options: &SqlOptions) -> Result<Target> {
    let mut target: PgConnectOptions = parse(url, text, POSTGRES_PARAMETERS)?;
    if !says_tls(text) && target.get_socket().is_none() && !is_here(target.get_host()) {
        target = target.ssl_mode(PgSslMode::VerifyFull);
    }
    if target.get_application_name().is_none() {
        target = target.application_name("starling");
    }
    let (statement, lock) = (millis(options.timeout), millis(options.timeout / 2));
    let settings = [
        ("statement_timeout", statement.as_str()),
        ("lock_timeout", &lock),
        ("idle_in_transaction_session_timeout", &statement),
        ("default_transaction_isolation", "read\\ committed"),
        // Every statement of ours goes by a primary key; a plan made while a table was small must not be another one.
        ("enable_seqscan", "off"),
        ("enable_bitmapscan", "off"),
        ("plan_cache_mode", "force_generic_plan"),
        ("jit", "off"),
    ];
    Ok(Target::Postgres(Arc::new(
        target
            .options(settings.map(|(name, value)| (name, value.replace("\\ ", " "))))
            .disable_statement_logging(),
    )))
}

fn mysql(url: &DatabaseUrl, text: &str, options: &SqlOptions) -> Result<Target> {
    let text = text.replacen("mariadb:", "mysql:", 1);
    let mut target: MySqlConnectOptions = parse(url, &text, MYSQL_PARAMETERS)?;
    if !says_tls(&text) {
        let here = target.get_socket().is_some() || is_here(target.get_host());
        target = target.ssl_mode(if here {
            MySqlSslMode::Preferred
        } else {
            MySqlSslMode::VerifyIdentity
        });
    }
    let lock = (options.timeout / 2).as_secs().max(1);
    // Gaps are not locked, so that two insertions at the end of a log do not wait for each other. What does not fit is
    // refused instead of cut. The comment is MariaDB's alone.
    let session = format!(
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
         SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), SESSION autocommit = 1, \
         SESSION innodb_lock_wait_timeout = {lock} /*M!100100 , SESSION max_statement_time = {} */",
        options.timeout.as_secs_f64(),
    );
    Ok(Target::MySql(Arc::new(MySql {
        options: target
            .statement_cache_capacity(PREPARED)
            .disable_statement_logging(),
        session,
    })))
}

fn sqlite(url: &DatabaseUrl, text: &str, options: &SqlOptions) -> Result<Target> {
    let path = text
        .strip_prefix("sqlite://")
        .or_else(|| text.strip_prefix("sqlite:"))
        .unwrap_or_default();
    if path.is_empty() || path.contains(['?', '#', '%']) || path.starts_with(":memory:") {
        return Err(refused(
            url,
            "it names a file, as it is, without parameters",
        ));
    }
    Ok(Target::Sqlite(Arc::new(Sqlite {
        path: Path::new(path).to_owned(),
        options: SqliteConnectOptions::new()
            .filename(path)
            .page_size(SQLITE_PAGE)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit is on the disk when it was answered.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(options.timeout / 2)
            .statement_cache_capacity(PREPARED)
            .disable_statement_logging(),
    })))
}

fn millis(duration: Duration) -> String {
    duration.as_millis().max(1).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: Result<&str, &str>) {
        let options = SqlOptions::new(DatabaseUrl::new(url));
        let found = Target::new(&options.url, &options);
        let found = match &found {
            Ok(Target::Postgres(options)) => Ok(format!("{:?}", options.get_ssl_mode())),
            Ok(Target::MySql(target)) => Ok(format!("{:?}", target.options.get_ssl_mode())),
            Ok(Target::Sqlite(target)) => Ok(target.path.display().to_string()),
            Err(error) => Err(error.to_string()),
        };
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(error), Err(expected)) => {
                assert!(error.contains(expected), "{error}");
                assert!(!error.contains("secret"), "{error}");
            }
            (found, _) => panic!("{found:?} of {url}"),
        }
    }

    #[test]
    fn tls_is_verified_unless_the_url_says_otherwise() {
        check("postgres://u:secret@db.example/d", Ok("VerifyFull"));
        check(
            "postgres://u:secret@db.example/d?sslmode=require",
            Ok("Require"),
        );
        check("postgres://u:secret@127.0.0.1/d", Ok("Prefer"));
        check("postgres://u:secret@[::1]/d", Ok("Prefer"));
        check("postgres://u@x/d?host=/run/postgresql", Ok("Prefer"));
        check("mysql://u:secret@db.example/d", Ok("VerifyIdentity"));
        check(
            "mariadb://u:secret@db.example/d?ssl-mode=REQUIRED",
            Ok("Required"),
        );
        check("mysql://u:secret@localhost/d", Ok("Preferred"));
    }

    #[test]
    fn urls_that_cannot_be_are_refused_without_their_passwords() {
        check("redis://u:secret@h/d", Err("starts with"));
        check(
            "postgres://u:secret@h/d?passwd=secret",
            Err("\"passwd\" is not known"),
        );
        check("postgres://u:secret@h:x/d", Err("malformed"));
        check(
            "mysql://u:secret@h/d?charset=latin1",
            Err("\"charset\" is not known"),
        );
        check("postgres://u:secret@h/d?sslmode=secret", Err("malformed"));
        check("sqlite::memory:", Err("a file"));
        check("sqlite:", Err("a file"));
        check("sqlite:///var/x?mode=ro", Err("a file"));
        check("sqlite:///var/lib/starling.db", Ok("/var/lib/starling.db"));
        check("sqlite:starling.db", Ok("starling.db"));
    }
}
