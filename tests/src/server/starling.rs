//! Starts the server of this repository.
//!
//! The binary is `STARLING_BIN`, or the one beside the running test. It writes its ports to `--ready-file` once it
//! accepts clients, so no port is guessed.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::{Certificate, DOMAIN, Product, Target, spawn, wait_until};
use crate::backend;

/// What `--ready-file` holds.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Ready {
    /// Client port with STARTTLS.
    pub c2s: u16,
    /// Client port with direct TLS.
    pub c2s_tls: Option<u16>,
    /// HTTP port.
    pub http: Option<u16>,
}

/// The configuration in the directory of a server.
const CONFIGURATION: &str = "starling.toml";

pub(super) fn start(directory: &Path, certificate: &Certificate) -> Result<(Child, Target)> {
    let storage = backend::lines(directory).unwrap_or_else(|| "backend = \"memory\"".to_owned());
    let started = start_over(directory, certificate, &[DOMAIN], &storage)?;
    add_administrator(&directory.join(CONFIGURATION))?;
    Ok(started)
}

/// For these domains, the first of which is the target's, with these lines of `[storage]`; nobody has an account.
pub(super) fn start_over(
    directory: &Path,
    certificate: &Certificate,
    domains: &[&str],
    storage: &str,
) -> Result<(Child, Target)> {
    let config = directory.join(CONFIGURATION);
    fs::write(
        &config,
        configuration(directory, certificate, domains, storage),
    )?;
    run(&["init", "--config"], &config).context("making the store")?;
    let ready = directory.join("ready.json");
    let mut command = Command::new(binary()?);
    command
        .arg("serve")
        .arg("--config")
        .arg(&config)
        .arg("--ready-file")
        .arg(&ready);
    super::without_variables_of_tests(&mut command);
    let mut child = spawn(&mut command, directory)?;
    let ports = wait_until(&mut child, directory, || {
        // A file half written is not JSON yet.
        serde_json::from_slice::<Ready>(&fs::read(&ready).ok()?).ok()
    })?;
    let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let target = Target {
        product: Product::Starling,
        c2s: at(ports.c2s),
        c2s_tls: ports.c2s_tls.map(at),
        http: ports.http.map(at),
        domain: domains[0].to_owned(),
        authority: certificate.authority.clone(),
    };
    Ok((child, target))
}

/// The account of the configured administrator, which nobody can register in band.
fn add_administrator(config: &Path) -> Result<()> {
    let admin = format!("admin@{DOMAIN}");
    run(&["user", "add", &admin, "pencil", "--config"], config).context("no administrator")
}

/// Runs a command of the server in a directory to its end.
pub(super) fn command(arguments: &[&str], directory: &Path) -> Result<Output> {
    let mut command = Command::new(binary()?);
    super::without_variables_of_tests(&mut command);
    let config = directory.join(CONFIGURATION);
    Ok(command
        .args(arguments)
        .arg("--config")
        .arg(config)
        .output()?)
}

/// Runs a command of the server to its end.
fn run(arguments: &[&str], config: &Path) -> Result<()> {
    let mut command = Command::new(binary()?);
    super::without_variables_of_tests(&mut command);
    let done = command.args(arguments).arg(config).output()?;
    ensure!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(())
}

/// The binary under test.
///
/// # Errors
/// If it was not built.
pub fn binary() -> Result<PathBuf> {
    let path = match std::env::var_os("STARLING_BIN") {
        Some(path) => PathBuf::from(path),
        // target/<profile>/deps/<test> stands beside target/<profile>/starling.
        None => std::env::current_exe()?
            .parent()
            .and_then(Path::parent)
            .context("the test has no directory")?
            .join(format!("starling{}", std::env::consts::EXE_SUFFIX)),
    };
    ensure!(
        path.is_file(),
        "no server at {}: build it with `cargo build --workspace`",
        path.display()
    );
    Ok(path)
}

fn configuration(
    directory: &Path,
    certificate: &Certificate,
    domains: &[&str],
    storage: &str,
) -> String {
    let quoted = |path: &Path| toml_string(&path.display().to_string());
    // Nothing is throttled: all clients come from one address, and each script makes accounts.
    format!(
        r#"domains = {domains:?}
data = {data}
http = "127.0.0.1:0"
admins = ["admin@{domain}"]

[storage]
{storage}

[[listeners]]
address = "127.0.0.1:0"

[[listeners]]
address = "127.0.0.1:0"
security = "direct"

[[certificates]]
chain = {chain}
key = {key}

[auth]
attempts = 1000000

[registration]
enabled = true
per_hour = 1000000

[limits.connections]
per_second = 1000000
burst = 1000000
"#,
        domain = domains[0],
        data = quoted(&directory.join("data")),
        chain = quoted(&certificate.chain),
        key = quoted(&certificate.key),
    )
}

/// A TOML basic string. JSON's escapes are a subset of TOML's.
fn toml_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
