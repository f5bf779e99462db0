//! Starts ejabberd privately: no node name, so it needs no port mapper and listens nowhere but where it is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Context as _, Result};

use super::{Certificate, DOMAIN, Product, Target, accepts, free_port, spawn, wait_until};

pub(super) fn start(directory: &Path, certificate: &Certificate) -> Result<(Child, Target)> {
    let (c2s, c2s_tls) = (free_port()?, free_port()?);
    let config = directory.join("ejabberd.yml");
    fs::write(
        &config,
        configuration(certificate, c2s.port(), c2s_tls.port()),
    )?;
    let data = directory.join("data");
    fs::create_dir(&data)?;
    let mut command = Command::new("erl");
    command
        .args(["-noinput", "-pa"])
        .arg(beams()?)
        .args(["-mnesia", "dir"])
        .arg(format!("{:?}", data.display().to_string()))
        .args(["-s", "ejabberd"])
        .env("HOME", directory)
        .env("EJABBERD_CONFIG_PATH", &config)
        .env("EJABBERD_LOG_PATH", directory.join("server.log"));
    let mut child = spawn(&mut command, directory)?;
    wait_until(&mut child, directory, || accepts(c2s))?;
    let target = Target {
        product: Product::Ejabberd,
        c2s,
        c2s_tls: Some(c2s_tls),
        http: None,
        domain: DOMAIN.to_owned(),
        authority: certificate.authority.clone(),
    };
    Ok((child, target))
}

/// Where Debian's package put the compiled modules.
fn beams() -> Result<PathBuf> {
    for root in [
        "/usr/lib",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib/erlang/lib",
    ] {
        for entry in fs::read_dir(root).into_iter().flatten() {
            let path = entry?.path().join("ebin");
            if path.join("ejabberd.beam").is_file() {
                return Ok(path);
            }
        }
    }
    Err(anyhow::anyhow!("ejabberd is not installed")).context("tests/install installs it")
}

fn configuration(certificate: &Certificate, c2s: u16, c2s_tls: u16) -> String {
    format!(
        r#"hosts: ["{DOMAIN}"]
loglevel: info
certfiles: ["{both}"]
auth_password_format: scram
registration_timeout: infinity
resource_conflict: closeold
listen:
  - {{port: {c2s}, ip: "127.0.0.1", module: ejabberd_c2s, starttls: true, starttls_required: true, shaper: none, access: all, max_stanza_size: 262144}}
  - {{port: {c2s_tls}, ip: "127.0.0.1", module: ejabberd_c2s, tls: true, shaper: none, access: all, max_stanza_size: 262144}}
acl:
  admin: {{user: ["admin@{DOMAIN}"]}}
access_rules:
  configure: {{allow: admin}}
  announce: {{allow: admin}}
modules:
  mod_adhoc: {{}}
  mod_announce: {{access: announce}}
  mod_blocking: {{}}
  mod_caps: {{}}
  mod_carboncopy: {{}}
  mod_client_state: {{}}
  mod_configure: {{}}
  mod_disco: {{}}
  mod_last: {{}}
  mod_mam: {{default: always, assume_mam_usage: false}}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_privacy: {{}}
  mod_private: {{}}
  mod_pubsub: {{plugins: [flat, pep]}}
  mod_register: {{ip_access: all, access: all}}
  mod_roster: {{versioning: true}}
  mod_stream_mgmt: {{resend_on_timeout: if_offline}}
  mod_time: {{}}
  mod_vcard: {{search: true, host: "search.{DOMAIN}"}}
  mod_vcard_xupdate: {{}}
  mod_version: {{}}
"#,
        both = certificate.both.display(),
    )
}
