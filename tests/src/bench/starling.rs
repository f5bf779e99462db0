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

/// One place for every key, to be changed with the server's `config/meaning.rs`: one domain, one client port on loopback
/// with STARTTLS offered and not demanded, registration and rooms open and without limits, the embedded store with its default of
/// waiting for the disk (which neither rival's default store does), the archive as asked.
// TODO: follow the server's configuration when its keys are final; nothing else here knows them.
fn configuration(setting: &Setting) -> String {
    let directory = setting.directory.display();
    format!(
        "domains = [\"{DOMAIN}\"]
data = \"{directory}/data\"
http = false

[storage]
backend = \"embedded\"
path = \"{directory}/data\"

[[listeners]]
address = \"127.0.0.1:{port}\"
security = \"starttls\"
starttls_required = false

[[certificates]]
chain = \"{certificate}\"
key = \"{key}\"

[auth]
attempts = 1000000

[registration]
enabled = true
per_hour = 1000000

[limits.connections]
total = 100000
per_address = 100000
per_second = 100000
burst = 100000

[rooms]
lock = false
messages_per_second = 0

[archive]
enabled = {archive}

[log]
filter = \"warn\"
",
        archive = setting.archive,
        port = setting.port,
        certificate = setting.certificate.display(),
        key = setting.key.display(),
    )
}
