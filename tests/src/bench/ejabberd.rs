//! ejabberd's configuration, data and start.
//!
//! Source: the package's own `ejabberd.yml` and `ejabberdctl`. What differs, and why: shapers, registration limits and
//! fail2ban are off, because a load test is what they are for; components that are not measured (MQTT, HTTP, STUN,
//! s2s) are not loaded, which only saves ejabberd memory; STARTTLS is offered and not demanded, to weigh plain sessions
//! too; the schedulers do not spin when idle (`+sbwt none`), which lowers the process time that ejabberd is charged.
//! The node has no name, so there is neither distribution nor epmd. Storage is Mnesia, the package's default; with
//! SQLite the archive was slower by far.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::provision::{self, DOMAIN, Provision, ROUNDS, SALT};
use super::server::Setting;

/// Writes configuration and records; returns the command.
///
/// # Errors
/// What the file system says.
pub fn prepare(setting: &Setting) -> io::Result<Command> {
    let directory = &setting.directory;
    let bundle = directory.join("certificate.pem");
    fs::write(
        &bundle,
        [fs::read(&setting.certificate)?, fs::read(&setting.key)?].concat(),
    )?;
    let config = directory.join("ejabberd.yml");
    fs::write(&config, configuration(setting, &bundle))?;
    if setting.ready.exists() {
        fs::remove_file(&setting.ready)?;
    }

    // The records go straight into Mnesia at the first start, then the marker says so. What reading them leaves in
    // memory would hide what sessions take, so a first start is never measured: see `Running::start`.
    let marker = setting.ready.display();
    let load = if provisioned(setting) {
        format!("ok = file:write_file(\"{marker}\", <<>>).")
    } else {
        let records = directory.join("records.erl");
        fs::write(&records, terms(&setting.provision))?;
        format!(
            "{{ok, Records}} = file:consult(\"{}\"), lists:foreach(fun mnesia:dirty_write/1, Records), \
             ok = file:write_file(\"{marker}\", <<>>).",
            records.display()
        )
    };
    let mut command = Command::new("erl");
    command.env(
        "ERL_LIBS",
        "/usr/lib/x86_64-linux-gnu:/usr/lib/aarch64-linux-gnu",
    );
    command.env("EJABBERD_CONFIG_PATH", &config);
    command.env("EJABBERD_LOG_PATH", directory.join("ejabberd.log"));
    command
        .env("ERL_CRASH_DUMP_BYTES", "0")
        .env("ERL_MAX_PORTS", "32000")
        .env("HOME", directory);
    command.args(["-noinput", "+K", "true", "+P", "250000"]);
    command.args(["+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"]);
    command.args([
        "-mnesia",
        "dir",
        &format!("\"{}\"", directory.join("mnesia").display()),
    ]);
    command.args(["-s", "ejabberd", "-eval", &load]);
    Ok(command)
}

/// True once a start has put the accounts into the database.
#[must_use]
pub fn provisioned(setting: &Setting) -> bool {
    setting.directory.join("mnesia").exists()
}

fn configuration(setting: &Setting, bundle: &Path) -> String {
    let archive = if setting.archive {
        "  mod_mam: {default: always, db_type: mnesia}\n"
    } else {
        ""
    };
    format!(
        "loglevel: error
hosts: [{DOMAIN}]
certfiles: [\"{bundle}\"]
c2s_protocol_options: [no_sslv3, no_tlsv1, no_tlsv1_1, no_compression]
listen:
  - {{port: {port}, ip: \"127.0.0.1\", module: ejabberd_c2s, max_stanza_size: 262144, starttls: true, backlog: 1024}}
auth_method: [internal]
auth_password_format: scram
registration_timeout: infinity
acl: {{local: {{user_regexp: \"\"}}}}
access_rules: {{local: {{allow: local}}, c2s: {{allow: all}}, register: {{allow: all}}}}
shaper_rules: {{max_user_sessions: 100, max_user_offline_messages: 1000000}}
modules:
  mod_blocking: {{}}
  mod_caps: {{}}
  mod_carboncopy: {{}}
  mod_client_state: {{}}
  mod_disco: {{}}
  mod_last: {{}}
{archive}  mod_muc: {{max_users: 20000, max_user_conferences: 1000}}
  mod_offline: {{access_max_user_messages: max_user_offline_messages}}
  mod_ping: {{}}
  mod_privacy: {{}}
  mod_private: {{}}
  mod_pubsub: {{plugins: [flat, pep]}}
  mod_register: {{ip_access: all, access: register, password_strength: 0}}
  mod_roster: {{versioning: true}}
  mod_stream_mgmt: {{resend_on_timeout: if_offline}}
  mod_vcard: {{search: false}}
  mod_version: {{}}
",
        bundle = bundle.display(),
        port = setting.port,
    )
}

/// The accounts and rosters as Erlang terms, one Mnesia record each (`ejabberd:include/mod_roster.hrl`).
fn terms(provision: &Provision) -> String {
    let (stored, server) = provision::keys();
    let (stored, server, salt) = (
        BASE64.encode(stored),
        BASE64.encode(server),
        BASE64.encode(SALT),
    );
    let mut terms = String::new();
    // A String takes every write.
    for user in provision.localparts() {
        let _ = writeln!(
            terms,
            "{{passwd,{{<<\"{user}\">>,<<\"{DOMAIN}\">>}},\
             {{scram,<<\"{stored}\">>,<<\"{server}\">>,<<\"{salt}\">>,sha,{ROUNDS}}}}}."
        );
    }
    for (owner, contacts) in provision.rosters() {
        for contact in contacts {
            let jid = format!("{{<<\"{contact}\">>,<<\"{DOMAIN}\">>,<<>>}}");
            let us = format!("<<\"{owner}\">>,<<\"{DOMAIN}\">>");
            let _ = writeln!(
                terms,
                "{{roster,{{{us},{jid}}},{{{us}}},{jid},<<>>,both,none,[],<<>>,[]}}."
            );
        }
    }
    terms
}
