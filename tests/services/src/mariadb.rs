//! MariaDB (Debian package `mariadb-server`): a server of its own on loopback, with one user who has a password.
//!
//! It reads no configuration of the system. The log is flushed by the kernel unless a test asks for more, which `SIGKILL`
//! does not take away.

use std::{
    io,
    path::Path,
    process::{Command, Output},
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    account::{self, Account},
    free_port,
    process::Process,
};

const USER: &str = "starling";
/// The password of the one user.
pub const PASSWORD: &str = "open-sesame";

/// A running server; ended when dropped.
pub struct MariaDb {
    process: Option<Process>,
    account: Account,
    settings: Vec<String>,
    port: u16,
    directory: TempDir,
}

impl MariaDb {
    /// Starts a server of its own. `settings` are options of `mariadbd` without their dashes.
    ///
    /// # Errors
    /// It is not installed or does not start.
    pub fn start(settings: &[&str]) -> io::Result<Self> {
        let account = Account::of("mysql")?;
        let directory = TempDir::with_prefix("starling-mariadb-")?;
        account.give(directory.path())?;
        let mut install = account.command("/usr/bin/mariadb-install-db");
        install
            .current_dir(directory.path())
            .arg("--no-defaults")
            .arg(format!(
                "--datadir={}",
                directory.path().join("data").display()
            ))
            // Two that share one for their temporary tables take them from each other.
            .arg(format!("--tmpdir={}", directory.path().display()))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        account::run(install)?;
        let mut server = Self {
            process: None,
            account,
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            port: free_port()?,
            directory,
        };
        server.restart()?;
        server.sql(&format!(
            "CREATE DATABASE starling; \
             CREATE USER {USER} IDENTIFIED BY '{PASSWORD}'; \
             GRANT ALL ON *.* TO {USER}"
        ))?;
        Ok(server)
    }

    /// Starts it again with the data that it has, at the same port.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart(&mut self) -> io::Result<()> {
        self.kill();
        let path = self.directory.path();
        let mut command = self.account.command("/usr/sbin/mariadbd");
        command
            .current_dir(path)
            .arg("--no-defaults")
            .arg(format!("--datadir={}", path.join("data").display()))
            .arg(format!("--socket={}", path.join("socket").display()))
            .arg(format!("--pid-file={}", path.join("pid").display()))
            .arg(format!("--tmpdir={}", path.display()))
            .arg(format!("--port={}", self.port))
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve"])
            .args(self.settings.iter().map(|setting| format!("--{setting}")));
        let flush = "innodb-flush-log-at-trx-commit";
        if !self
            .settings
            .iter()
            .any(|setting| setting.starts_with(flush))
        {
            command.arg(format!("--{flush}=2"));
        }
        let ready = || self.sql("SELECT 1").is_ok();
        self.process = Some(Process::start("mariadb", command, path, &mut { ready })?);
        Ok(())
    }

    /// Runs SQL as the administrator; what it printed, by tabs.
    ///
    /// # Errors
    /// The server refuses it: with what it said.
    pub fn sql(&self, sql: &str) -> io::Result<String> {
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new("mariadb")
            .args([
                "--no-defaults",
                "-u",
                "root",
                "-N",
                "-B",
                "--connect-timeout=10",
            ])
            .arg(format!(
                "--socket={}",
                self.directory.path().join("socket").display()
            ))
            .args(["-e", sql])
            .output()?;
        if status.success() {
            Ok(String::from_utf8_lossy(&stdout).into_owned())
        } else {
            Err(io::Error::other(
                String::from_utf8_lossy(&stderr).into_owned(),
            ))
        }
    }

    /// Its URL over TCP.
    pub fn url(&self) -> String {
        format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{}/starling", self.port)
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

    /// Freezes it.
    ///
    /// # Errors
    /// It has ended.
    pub fn freeze(&self) -> io::Result<()> {
        self.running()?.freeze()
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// It has ended.
    pub fn thaw(&self) -> io::Result<()> {
        self.running()?.signal(Signal::CONT)
    }

    fn running(&self) -> io::Result<&Process> {
        Ok(self.process.as_ref().ok_or(io::ErrorKind::NotFound)?)
    }
}
