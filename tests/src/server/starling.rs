//! Starts the server of this repository.
//!
//! The binary is `STARLING_BIN`, or the one beside the running test. It writes its ports to `--ready-file` once it
//! accepts clients, so no port is guessed.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use services::Process;

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
    /// Port of the API.
    #[serde(default)]
    pub api: Option<u16>,
}

/// The configuration in the directory of a server.
const CONFIGURATION: &str = "starling.toml";
/// Where it writes its ports.
const READY: &str = "ready.json";

pub(super) fn start(directory: &Path, certificate: &Certificate) -> Result<(Child, Target)> {
    let storage = backend::lines(directory).unwrap_or_else(|| "backend = \"memory\"".to_owned());
    let started = start_over(directory, certificate, &[DOMAIN], &storage)?;
    add_administrator(directory)?;
    Ok(started)
}

/// For these domains, the first of which is the target's, with these lines of `[storage]`; nobody has an account.
pub(super) fn start_over(
    directory: &Path,
    certificate: &Certificate,
    domains: &[&str],
    storage: &str,
) -> Result<(Child, Target)> {
    configure(directory, certificate, domains, storage)?;
    init(directory)?;
    let mut child = launch(directory)?;
    let ports = listening(&mut child, directory)?;
    let target = target(certificate, domains[0], ports);
    Ok((child, target))
}

/// Writes the configuration of a server with this directory.
pub(super) fn configure(
    directory: &Path,
    certificate: &Certificate,
    domains: &[&str],
    storage: &str,
) -> Result<()> {
    let text = configuration(directory, certificate, domains, storage);
    Ok(fs::write(directory.join(CONFIGURATION), text)?)
}

/// Makes the store.
pub(super) fn init(directory: &Path) -> Result<()> {
    run(&["init"], directory).context("making the store")
}

/// Starts the server and does not wait for it.
pub(super) fn launch(directory: &Path) -> Result<Child> {
    let mut command = Command::new(binary()?);
    command
        .arg("serve")
        .arg("--config")
        .arg(directory.join(CONFIGURATION))
        .arg("--ready-file")
        .arg(directory.join(READY));
    super::without_variables_of_tests(&mut command);
    spawn(&mut command, directory)
}

/// Waits until it takes clients.
pub(super) fn listening(child: &mut Child, directory: &Path) -> Result<Ready> {
    wait_until(child, directory, || ready(&directory.join(READY)))
}

/// Where it listens, once it does.
fn ready(file: &Path) -> Option<Ready> {
    // A file half written is not JSON yet.
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

/// What a process of our server reads and writes.
pub struct Files<'a> {
    /// Its configuration, if it has a file.
    pub configuration: Option<&'a Path>,
    /// The directory of its data.
    pub data: &'a Path,
    /// Where it tells its ports.
    pub ready: &'a Path,
    /// The directory of its log, `starling.log`.
    pub log: &'a Path,
}

/// Starts our server as operators do and waits until it takes clients. The command is the program, or something around it.
///
/// # Errors
/// It does not start; with the end of its log.
pub fn serve(mut command: Command, files: &Files<'_>) -> io::Result<(Process, Ready)> {
    super::without_variables_of_tests(&mut command);
    command
        .arg("serve")
        .args(
            files
                .configuration
                .iter()
                .flat_map(|file| [Path::new("--config"), *file]),
        )
        .arg("--data")
        .arg(files.data)
        .arg("--ready-file")
        .arg(files.ready);
    let mut is_ready = || ready(files.ready).is_some();
    let process = Process::start("starling", command, files.log, &mut is_ready)?;
    let ports = ready(files.ready).ok_or(io::ErrorKind::NotFound)?;
    Ok((process, ports))
}

/// Where a server with these ports is reached.
pub(super) fn target(certificate: &Certificate, domain: &str, ports: Ready) -> Target {
    let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Target {
        product: Product::Starling,
        c2s: at(ports.c2s),
        c2s_tls: ports.c2s_tls.map(at),
        http: ports.http.map(at),
        domain: domain.to_owned(),
        authority: certificate.authority.clone(),
    }
}

/// The account of the configured administrator, which nobody can register in band.
pub(super) fn add_administrator(directory: &Path) -> Result<()> {
    let admin = format!("admin@{DOMAIN}");
    run(&["user", "add", &admin, "pencil"], directory).context("no administrator")
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

/// The same, and it must not fail.
fn run(arguments: &[&str], directory: &Path) -> Result<()> {
    let done = command(arguments, directory)?;
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

[rooms]
publish = "open"

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
