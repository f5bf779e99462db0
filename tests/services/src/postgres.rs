//! PostgreSQL (Debian package `postgresql`): a cluster of its own on loopback, without TLS, with a password.
//!
//! `fsync` is off unless a test asks for it: what a killed server had written is in the kernel's hands, so `SIGKILL` loses
//! nothing. The server is a process for each connection, so stopping it means stopping them all.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    account::{self, Account},
    free_port,
    process::{Process, stands_still},
};

const USER: &str = "starling";
/// The password of the one user.
pub const PASSWORD: &str = "open sesame";
/// How long the processes of a killed server may take to notice.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; ended when dropped.
pub struct Postgres {
    process: Option<Process>,
    account: Account,
    programs: PathBuf,
    settings: Vec<String>,
    port: u16,
    directory: TempDir,
}

impl Postgres {
    /// Starts a server of its own. `settings` are `name=value` of `postgresql.conf`.
    ///
    /// # Errors
    /// It is not installed or does not start.
    pub fn start(settings: &[&str]) -> io::Result<Self> {
        let account = Account::of("postgres")?;
        let directory = TempDir::with_prefix("starling-postgres-")?;
        account.give(directory.path())?;
        let programs = programs()?;
        let password = directory.path().join("password");
        fs::write(&password, PASSWORD)?;
        account.give(&password)?;
        let mut initdb = account.command(programs.join("initdb"));
        initdb
            .current_dir(directory.path())
            .arg("-D")
            .arg(directory.path().join("data"))
            .args(["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8"])
            .args(["--locale=C", "--username", USER, "--pwfile"])
            .arg(&password);
        account::run(initdb)?;
        let mut server = Self {
            process: None,
            account,
            programs,
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            port: free_port()?,
            directory,
        };
        server.restart()?;
        Ok(server)
    }

    /// Starts it again with the data that it has, at the same port.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart(&mut self) -> io::Result<()> {
        self.kill();
        // The processes of a killed server hold its memory until they notice, and as long the new one refuses to start.
        let until = Instant::now() + PATIENCE;
        loop {
            match self.try_start() {
                Err(error)
                    if error.to_string().contains("shared memory block")
                        && Instant::now() < until =>
                {
                    std::thread::sleep(Duration::from_millis(50));
                }
                started => {
                    self.process = Some(started?);
                    return Ok(());
                }
            }
        }
    }

    fn try_start(&self) -> io::Result<Process> {
        let path = self.directory.path();
        let mut command = self.account.command(self.programs.join("postgres"));
        command.current_dir(path).arg("-D").arg(path.join("data"));
        let own = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", self.port),
            format!("unix_socket_directories={}", path.display()),
            "logging_collector=off".to_owned(),
        ];
        for setting in own.iter().chain(&self.settings) {
            command.args(["-c", setting]);
        }
        if !self
            .settings
            .iter()
            .any(|setting| setting.starts_with("fsync"))
        {
            command.args(["-c", "fsync=off"]);
        }
        Process::start("postgres", command, path, &mut || {
            self.sql_in("postgres", "SELECT 1").is_ok()
        })
    }

    /// Runs SQL as the administrator; what it printed, unaligned.
    ///
    /// # Errors
    /// The server refuses it: with what it said.
    pub fn sql(&self, sql: &str) -> io::Result<String> {
        self.sql_in("postgres", sql)
    }

    /// The same in a database.
    ///
    /// # Errors
    /// The server refuses it: with what it said.
    pub fn sql_in(&self, database: &str, sql: &str) -> io::Result<String> {
        let output = Command::new(self.programs.join("psql"))
            .env("PGPASSWORD", PASSWORD)
            .env("PGCONNECT_TIMEOUT", "10")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", USER])
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                database,
            ])
            .args(["-c", sql])
            .output()?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(io::Error::other(
                String::from_utf8_lossy(&output.stderr).into_owned(),
            ))
        }
    }

    /// Its URL over TCP. Spaces of the password are escaped as URLs want it.
    pub fn url(&self) -> String {
        let password = PASSWORD.replace(' ', "%20");
        format!(
            "postgres://{USER}:{password}@127.0.0.1:{}/postgres",
            self.port
        )
    }

    /// Its URL over the socket in its directory.
    pub fn socket_url(&self) -> String {
        let password = PASSWORD.replace(' ', "%20");
        let socket = self.directory.path().display();
        format!(
            "postgres://{USER}:{password}@localhost:{}/postgres?host={socket}",
            self.port
        )
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its directory; `data` in it is the server's own.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Freezes the server and all its connections.
    ///
    /// # Errors
    /// It has ended.
    pub fn freeze(&self) -> io::Result<()> {
        let process = self.running()?;
        process.freeze()?;
        // It makes no others any more.
        for child in children(process.id())? {
            // A connection may have ended meanwhile.
            if kill_process(child, Signal::STOP).is_ok() {
                let id = child.as_raw_nonzero().get().unsigned_abs();
                stands_still(id).or_else(|error| match error.kind() {
                    io::ErrorKind::NotFound => Ok(()),
                    _ => Err(error),
                })?;
            }
        }
        Ok(())
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// It has ended.
    pub fn thaw(&self) -> io::Result<()> {
        let process = self.running()?;
        for child in children(process.id())? {
            // A connection may have ended meanwhile.
            let _ = kill_process(child, Signal::CONT);
        }
        process.signal(Signal::CONT)
    }

    fn running(&self) -> io::Result<&Process> {
        Ok(self.process.as_ref().ok_or(io::ErrorKind::NotFound)?)
    }
}

/// The processes whose parent this is.
fn children(parent: u32) -> io::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(id) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // "pid (name) state ppid ...", and a name may hold anything.
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ppid = after_name.split_whitespace().nth(1);
        if ppid.and_then(|ppid| ppid.parse().ok()) == Some(parent) {
            found.extend(Pid::from_raw(id));
        }
    }
    Ok(found)
}

/// Where the newest installed version has its programs: Debian keeps them apart.
fn programs() -> io::Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("postgresql: {error}; run tests/install"),
        )
    })?;
    let version = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.parse::<u32>().ok())
    };
    versions
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("bin/initdb").exists())
        .max_by_key(version)
        .map(|path| path.join("bin"))
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "postgresql; run tests/install"))
}
