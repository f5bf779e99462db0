//! A node as operators run it: the program `starling` with a configuration file, in a directory of its own.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use services::Process;
use tempfile::TempDir;
use tests::faults::node::DOMAIN;
use tests::server::{Files, serve, starling_binary, write_certificate};

/// What an operator provides: configuration, certificate, credentials. No node writes here.
pub struct Provided {
    directory: TempDir,
}

impl Provided {
    /// With these lines of `[storage]`.
    pub fn new(storage: &str) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        write_certificate(directory.path(), DOMAIN).map_err(io::Error::other)?;
        let file = directory.path().join("starling.toml");
        std::fs::write(file, configuration(storage))?;
        Ok(Self { directory })
    }

    fn configuration(&self) -> PathBuf {
        self.directory.path().join("starling.toml")
    }
}

/// What a node may write to, empty at its start: its directory, one for temporary files, a home, where it stands.
pub struct Room {
    directory: TempDir,
}

impl Room {
    /// Four empty directories.
    pub fn new() -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        for name in ["data", "tmp", "home", "work", "run"] {
            std::fs::create_dir(directory.path().join(name))?;
        }
        Ok(Self { directory })
    }

    /// Where they are.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Whether everything but its room is read-only for a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    AsItIs,
    /// In a mount namespace of its own, where the root is mounted read-only.
    ReadOnly,
}

/// In a namespace of its own: the room is a mount of its own, the root becomes read-only, the rest is the program.
const SEAL: &str = r#"mount --bind "$1" "$1" && mount -o remount,bind,ro / && shift && exec "$@""#;

/// Whether this machine lets us seal a root.
pub fn can_seal(room: &Room) -> bool {
    let status = sealed(room).arg("true").output();
    status.is_ok_and(|output| output.status.success())
}

fn sealed(room: &Room) -> Command {
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            SEAL,
            "sh",
        ])
        .arg(room.path());
    command
}

/// A running node; killed when dropped.
pub struct Serving {
    pub process: Process,
    pub plain: SocketAddr,
    log: TempDir,
}

impl Serving {
    /// Starts a node and waits until it listens.
    pub fn start(provided: &Provided, room: &Room, root: Root) -> io::Result<Self> {
        let binary = starling_binary().map_err(io::Error::other)?;
        let mut command = match root {
            Root::AsItIs => Command::new(&binary),
            Root::ReadOnly => {
                let mut command = sealed(room);
                command.arg(&binary);
                command
            }
        };
        command
            .current_dir(room.path().join("work"))
            .env("TMPDIR", room.path().join("tmp"))
            .env("HOME", room.path().join("home"))
            .env_remove("XDG_DATA_HOME");
        let log = tempfile::tempdir()?;
        let files = Files {
            configuration: Some(&provided.configuration()),
            data: &room.path().join("data"),
            ready: &room.path().join("run/ready.json"),
            log: log.path(),
        };
        let (process, ports) = serve(command, &files)?;
        Ok(Self {
            process,
            plain: (Ipv4Addr::LOCALHOST, ports.c2s).into(),
            log,
        })
    }

    /// Stops it as an operator does.
    pub fn stop(mut self) -> io::Result<()> {
        let status = self.process.terminate()?;
        if status.success() {
            return Ok(());
        }
        Err(io::Error::other(status.to_string()))
    }

    /// Where it logs.
    pub fn log_file(&self) -> PathBuf {
        self.log.path().join("starling.log")
    }
}

fn configuration(storage: &str) -> String {
    format!(
        r#"domains = ["{DOMAIN}"]
http = "127.0.0.1:0"
shutdown_grace = "5s"

[storage]
{storage}

[[listeners]]
address = "127.0.0.1:0"
starttls_required = false

[[listeners]]
address = "127.0.0.1:0"
security = "direct"

[[certificates]]
chain = "chain.pem"
key = "key.pem"

[auth]
plain_without_tls = true
attempts = 1000000

[registration]
enabled = true
per_hour = 1000000

[limits.connections]
per_address = 100000
per_second = 1000000
burst = 1000000

[stream_management]
queue = 2000
"#
    )
}
