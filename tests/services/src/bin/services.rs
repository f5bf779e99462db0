//! Runs a command while real servers run for it: `services BACKEND COMMAND...`.
//!
//! The command finds in `STARLING_TEST_STORAGE` what servers under test write under `[storage]`; `{prefix}` and
//! `{directory}` there are of each such server. `BACKEND` is `memory`, `embedded`, `sqlite`, `postgresql`, `mariadb`, or
//! `cloud`: DynamoDB, S3 and memcached.

use std::{
    env, io,
    process::{Command, ExitCode},
};

use services::{Dynoxide, MariaDb, Memcached, Postgres, SeaweedFs};

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let (Some(backend), command) = (arguments.next(), arguments.collect::<Vec<_>>()) else {
        return usage();
    };
    let [program, rest @ ..] = &command[..] else {
        return usage();
    };
    match run(&backend, program, rest) {
        Ok(Some(code)) => ExitCode::from(code),
        Ok(None) => usage(),
        Err(error) => {
            say(&format!("services: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    say("usage: services memory|embedded|sqlite|postgresql|mariadb|cloud COMMAND...");
    ExitCode::from(2)
}

/// How the command ended; `None`: there is no such backend.
fn run(backend: &str, program: &str, arguments: &[String]) -> io::Result<Option<u8>> {
    let run = |storage: &str| {
        let status = Command::new(program)
            .args(arguments)
            .env("STARLING_TEST_STORAGE", storage)
            .status()?;
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Ok(Some(code.unwrap_or(1)))
    };
    let sql = |backend: &str, url: &str| {
        format!(
            "backend = \"{backend}\"\nurl = \"{url}\"\ntable_prefix = \"{{prefix}}\"\nconnections = 8\n"
        )
    };
    // Each server lives until its command has ended.
    match backend {
        "memory" => run("backend = \"memory\"\n"),
        "embedded" => run("path = \"{directory}/store\"\nsync = false\n"),
        "sqlite" => run(&sql("sqlite", "sqlite://{directory}/starling.db")),
        "postgresql" => {
            let server = Postgres::start(&["max_connections=500"])?;
            run(&sql("postgresql", &server.url()))
        }
        "mariadb" => {
            let server = MariaDb::start(&["max-connections=500"])?;
            run(&sql("mysql", &server.url()))
        }
        "cloud" => {
            let (tables, objects, cache) =
                (Dynoxide::start()?, SeaweedFs::start()?, Memcached::start()?);
            run(&cloud(&tables, &objects, &cache))
        }
        _ => Ok(None),
    }
}

fn cloud(tables: &Dynoxide, objects: &SeaweedFs, cache: &Memcached) -> String {
    format!(
        r#"backend = "dynamodb"
table_prefix = "{{prefix}}"
region = "eu-west-1"
endpoint = "{}"
credentials = "{}"
bucket = "{{bucket}}"
bucket_endpoint = "{}"
bucket_credentials = "{}"
path_style = true
[storage.memcached]
servers = ["{}"]
namespace = "{{prefix}}"
"#,
        tables.url(),
        tables.credentials().display(),
        objects.url(),
        objects.credentials().display(),
        cache.address(),
    )
}

#[expect(
    clippy::print_stderr,
    reason = "a command tells people on standard error"
)]
fn say(text: &str) {
    eprintln!("{text}");
}
