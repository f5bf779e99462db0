//! What an error of the database means for what was being done.
//!
//! Sources: PostgreSQL's appendix A (SQLSTATE), MariaDB's error codes, SQLite's result codes. The question is always the
//! same: was it surely not done, and may the connection be used again?

use sqlx::{
    error::DatabaseError, mysql::MySqlDatabaseError, postgres::PgDatabaseError, sqlite::SqliteError,
};
use storage::{Error, ErrorKind};

/// How a statement failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was not done, and may well be if it is tried again: the server broke a deadlock, or somebody was faster.
    Again(Error),
    /// It was not done: a row with that key is there.
    Taken(Error),
    /// It was not done, says the server.
    Refused(Error),
    /// There was no answer. If the statement commits it may have been done, or be done later.
    Lost {
        /// The same for a caller.
        error: Error,
        /// Nobody answered in time; otherwise the connection broke.
        late: bool,
    },
}

impl Failure {
    /// The same for a caller.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Again(error)
            | Self::Taken(error)
            | Self::Refused(error)
            | Self::Lost { error, .. } => error,
        }
    }

    pub(crate) fn late(what: &str) -> Self {
        Self::Lost {
            error: Error::new(Unavailable, format!("the database does not answer: {what}")),
            late: true,
        }
    }
}

/// What a code stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Again,
    Taken,
    /// Refused, of this kind.
    Refused(ErrorKind),
    /// Refused, and what is to be done about it.
    Operator(&'static str),
    /// The server goes away, or cannot tell whether it was done.
    Lost,
}

use ErrorKind::{Corrupt, Throttled, TooLarge, Unavailable};
use Meaning::{Again, Lost, Operator, Refused, Taken};

const NO_TABLES: &str = "the tables are missing; run `starling init`";
const NOT_PERMITTED: &str = "the user of the database is not permitted to do that";
const READ_ONLY: &str = "the database takes no writes; is this a replica?";
const FULL: &str = "the database has no room left";

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        let (meaning, sentence) = match &error {
            E::Database(database) => (meaning_of(&**database), database.message().to_owned()),
            E::Io(io) => (Lost, format!("the connection broke: {io}")),
            E::Tls(tls) => (Lost, format!("TLS: {tls}")),
            E::ColumnDecode { .. } | E::Decode(_) | E::ColumnIndexOutOfBounds { .. } => (
                Refused(Corrupt),
                "a row that cannot be understood".to_owned(),
            ),
            E::Encode(_) => (Refused(TooLarge), error.to_string()),
            _ => (Lost, error.to_string()),
        };
        let describe = |kind, sentence: &str| Error::new(kind, format!("the database: {sentence}"));
        match meaning {
            Again => Self::Again(describe(Throttled, &sentence).with_source(error)),
            Taken => Self::Taken(describe(ErrorKind::Conflict, &sentence).with_source(error)),
            Refused(kind) => Self::Refused(describe(kind, &sentence).with_source(error)),
            Operator(FULL) => Self::Refused(
                describe(Throttled, &format!("{FULL}: {sentence}")).with_source(error),
            ),
            Operator(remedy) => Self::Refused(
                describe(Unavailable, &format!("{remedy}: {sentence}")).with_source(error),
            ),
            Lost => Self::Lost {
                error: describe(Unavailable, &sentence).with_source(error),
                late: false,
            },
        }
    }
}

fn meaning_of(error: &dyn DatabaseError) -> Meaning {
    if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
        return of_postgres(error.code());
    }
    if let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() {
        return of_mysql(error.number());
    }
    if error.try_downcast_ref::<SqliteError>().is_some() {
        let code = error.code().and_then(|code| code.parse().ok());
        return of_sqlite(code.unwrap_or_default(), error.message());
    }
    Refused(Unavailable)
}

fn of_postgres(code: &str) -> Meaning {
    match code {
        "40001" | "40P01" => Again,
        "23505" => Taken,
        // Too many connections; out of memory; a limit of the configuration.
        "53300" | "53200" | "53400" => Refused(Throttled),
        "53100" => Operator(FULL),
        // A lock, or the statement, took too long. The server ends such a statement before it commits.
        "55P03" | "57014" => Refused(Throttled),
        "54000" => Refused(TooLarge),
        "42501" | "28000" | "28P01" => Operator(NOT_PERMITTED),
        "42P01" | "3F000" => Operator(NO_TABLES),
        "25006" => Operator(READ_ONLY),
        "XX001" | "XX002" => Refused(Corrupt),
        // Shutting down, crashed, starting; idle for too long; an error of the disk.
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "58030" => Lost,
        _ if code.starts_with("08") => Lost,
        _ => Refused(Unavailable),
    }
}

fn of_mysql(number: u16) -> Meaning {
    match number {
        1213 | 1020 => Again,
        1062 => Taken,
        // Too many connections, of all or of the user; out of memory; a lock or the statement took too long.
        1040 | 1203 | 1226 | 1037 | 1038 | 1041 | 1205 | 1969 | 3024 => Refused(Throttled),
        1021 | 1114 => Operator(FULL),
        1153 | 1301 | 1406 => Refused(TooLarge),
        1044 | 1045 | 1142 | 1143 | 1227 | 1698 => Operator(NOT_PERMITTED),
        1146 | 1049 => Operator(NO_TABLES),
        1290 | 1792 | 1836 => Operator(READ_ONLY),
        1034 | 1194 | 1712 | 1877 => Refused(Corrupt),
        // Killed, shutting down, an error of the disk or while committing.
        1053 | 1077 | 1080 | 1152 | 1158..=1161 | 1180 | 1317 | 1927 | 1026 | 1030 => Lost,
        _ => Refused(Unavailable),
    }
}

fn of_sqlite(code: i32, message: &str) -> Meaning {
    match code & 0xff {
        // Busy, locked, out of memory.
        5..=7 => Refused(Throttled),
        13 => Operator(FULL),
        18 => Refused(TooLarge),
        11 | 26 => Refused(Corrupt),
        8 => Operator(READ_ONLY),
        3 | 14 | 23 => Operator("the file cannot be opened"),
        19 if matches!(code, 1555 | 2067) => Taken,
        1 if message.starts_with("no such table") => Operator(NO_TABLES),
        // An error of the disk.
        10 => Lost,
        _ => Refused(Unavailable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_whether_it_was_done() {
        for (code, expected) in [
            ("40P01", Again),
            ("23505", Taken),
            ("53300", Refused(Throttled)),
            ("57014", Refused(Throttled)),
            ("57P01", Lost),
            ("08006", Lost),
            ("42P01", Operator(NO_TABLES)),
            ("22000", Refused(Unavailable)),
        ] {
            assert_eq!(of_postgres(code), expected, "{code}");
        }
        for (number, expected) in [
            (1213, Again),
            (1062, Taken),
            (1040, Refused(Throttled)),
            (1114, Operator(FULL)),
            (1927, Lost),
            (1064, Refused(Unavailable)),
        ] {
            assert_eq!(of_mysql(number), expected, "{number}");
        }
        for (code, expected) in [
            (5, Refused(Throttled)),
            (261, Refused(Throttled)),
            (1555, Taken),
            (13, Operator(FULL)),
            (778, Lost),
            (11, Refused(Corrupt)),
        ] {
            assert_eq!(of_sqlite(code, ""), expected, "{code}");
        }
    }
}
