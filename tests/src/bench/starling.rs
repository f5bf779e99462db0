//! Starling's configuration and start.
//!
//! The accounts are registered in band after the start, rosters by the real handshake: the load program does both.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use super::provision::DOMAIN;
use super::server::Setting;

/// Writes the configuration; returns the command.
///
/// # Errors
/// What the file system says.
pub fn prepare(binary: &Path, setting: &Setting) -> io::Result<Command> {
    let config = setting.directory.join("starling.toml");
    fs::write(&config, configuration(setting))?;
    let mut command = Command::new(binary);
    command.arg("serve").arg("--config").arg(config);
    Ok(command)
}

/// One place for every key, to be changed with the server's `config.rs`: one domain, one client port on loopback with
/// STARTTLS offered and not demanded, registration open and without limits, the embedded store, the archive as asked.
fn configuration(setting: &Setting) -> String {
    let directory = setting.directory.display();
    format!(
        "[[domain]]
name = \"{DOMAIN}\"
registration = true
archive = {archive}

[listener.c2s]
address = \"127.0.0.1:{port}\"
require_tls = false

[tls]
certificate = \"{certificate}\"
key = \"{key}\"

[storage]
backend = \"embedded\"
path = \"{directory}/data\"

[log]
level = \"warn\"
",
        archive = setting.archive,
        port = setting.port,
        certificate = setting.certificate.display(),
        key = setting.key.display(),
    )
}
