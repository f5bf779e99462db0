//! Prosody's configuration, data and start.
//!
//! Source: the package's own `prosody.cfg.lua`. What differs, and why: `limits` is off, because a load test is what it
//! is for; modules that are not measured (s2s, HTTP, invitations, administration) are not loaded; STARTTLS is offered
//! and not demanded, to weigh plain sessions too; the first account is an administrator, as only those make nodes. `epoll` is the default and the faster network backend. Storage is
//! `internal`, the package's default, one file per account and store; with SQLite the archive was slower by far.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::process::Command;

use super::provision::{self, DOMAIN, Provision, ROUNDS, SALT};
use super::server::Setting;

/// Writes configuration and data; returns the command.
///
/// # Errors
/// What the file system says.
pub fn prepare(setting: &Setting) -> io::Result<Command> {
    let config = setting.directory.join("prosody.cfg.lua");
    fs::write(&config, configuration(setting))?;
    write_data(setting, &setting.provision)?;
    let mut command = Command::new("prosody");
    command.arg("-F").arg("--config").arg(config);
    Ok(command)
}

fn configuration(setting: &Setting) -> String {
    let directory = setting.directory.display();
    let archive = if setting.archive { "\"mam\"; " } else { "" };
    format!(
        "run_as_root = true
pidfile = \"{directory}/prosody.pid\"
data_path = \"{directory}/data\"
certificates = \"{directory}\"
network_backend = \"epoll\"
network_settings = {{ tcp_backlog = 1024 }}
modules_enabled = {{ \"disco\"; \"roster\"; \"saslauth\"; \"tls\"; \"blocklist\"; \"bookmarks\"; \"carbons\"; \"pep\";
  \"private\"; \"smacks\"; \"vcard4\"; \"vcard_legacy\"; \"csi_simple\"; \"register\"; \"register_ibr\"; \"ping\"; \"time\";
  \"uptime\"; \"version\"; \"offline\"; {archive}}}
modules_disabled = {{ \"s2s\" }}
allow_registration = true
authentication = \"internal_hashed\"
storage = \"internal\"
default_archive_policy = true
archive_expires_after = \"1w\"
c2s_require_encryption = false
interfaces = {{ \"127.0.0.1\" }}
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{ }}
ssl = {{ certificate = \"{certificate}\"; key = \"{key}\" }}
log = {{ error = \"{directory}/prosody.log\" }}
admins = {{ \"user00000@{DOMAIN}\" }}
VirtualHost \"{DOMAIN}\"
Component \"conference.{DOMAIN}\" \"muc\"
  muc_room_locking = false
Component \"pubsub.{DOMAIN}\" \"pubsub\"
",
        port = setting.port,
        certificate = setting.certificate.display(),
        key = setting.key.display(),
    )
}

/// One file per account and store, as `util.datamanager` reads them.
fn write_data(setting: &Setting, provision: &Provision) -> io::Result<()> {
    let host = setting.directory.join("data").join(DOMAIN);
    fs::create_dir_all(host.join("accounts"))?;
    fs::create_dir_all(host.join("roster"))?;
    let (stored, server) = provision::keys();
    let account = format!(
        "return {{ [\"stored_key\"] = \"{}\"; [\"server_key\"] = \"{}\"; [\"salt\"] = \"{SALT}\"; \
         [\"iteration_count\"] = {ROUNDS}; }};\n",
        hex(&stored),
        hex(&server)
    );
    for user in provision.localparts() {
        fs::write(host.join("accounts").join(format!("{user}.dat")), &account)?;
    }
    for (owner, contacts) in provision.rosters() {
        let mut roster = "return { [false] = { [\"version\"] = 1; };\n".to_owned();
        for contact in contacts {
            // A String takes every write.
            let _ = writeln!(
                roster,
                "[\"{contact}@{DOMAIN}\"] = {{ [\"subscription\"] = \"both\"; [\"groups\"] = {{ }}; }};"
            );
        }
        roster.push_str("};\n");
        fs::write(host.join("roster").join(format!("{owner}.dat")), roster)?;
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A String takes every write.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
