//! A server under test: how it is started, found ready, and ended by its process id.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use super::provision::{DOMAIN, Provision};
use super::{ejabberd, prosody, starling};

/// Longest wait for a server to come or go.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// This project, from the given binary.
    Starling(PathBuf),
    /// ejabberd from the distribution's package.
    Ejabberd,
    /// Prosody from the distribution's package.
    Prosody,
    /// The bare relay, from the given binary.
    Relay(PathBuf),
}

impl Kind {
    /// The name in reports.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Starling(_) => "starling",
            Self::Ejabberd => "ejabberd",
            Self::Prosody => "prosody",
            Self::Relay(_) => "relay",
        }
    }

    /// True if the accounts are written as data before the start; else they are registered in band after it.
    #[must_use]
    pub fn provisioned(&self) -> bool {
        matches!(self, Self::Ejabberd | Self::Prosody)
    }

    /// Writes configuration and data; returns the command that runs the server in the foreground.
    fn prepare(&self, setting: &Setting) -> io::Result<Command> {
        match self {
            Self::Starling(binary) => starling::prepare(binary, setting),
            Self::Ejabberd => ejabberd::prepare(setting),
            Self::Prosody => prosody::prepare(setting),
            Self::Relay(binary) => {
                let mut command = Command::new(binary);
                command.args(["--listen", &format!("127.0.0.1:{}", setting.port)]);
                command
                    .arg("--certificate")
                    .arg(&setting.certificate)
                    .arg("--key")
                    .arg(&setting.key);
                Ok(command)
            }
        }
    }
}

/// What a configuration is written from.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The server's own directory: configuration, data, log.
    pub directory: PathBuf,
    /// Port for clients on 127.0.0.1: plain, STARTTLS offered and not demanded.
    pub port: u16,
    /// Certificate in PEM.
    pub certificate: PathBuf,
    /// Its key in PEM.
    pub key: PathBuf,
    /// Keep an archive of all messages (XEP-0313).
    pub archive: bool,
    /// Accounts and rosters that shall exist.
    pub provision: Provision,
    /// A file that the server's start-up writes when its data is in, for servers that load it after listening.
    pub ready: PathBuf,
}

impl Setting {
    /// A directory below `parent` and a free port; the certificate is made if there is none yet.
    ///
    /// # Errors
    /// What the file system says.
    pub fn new(parent: &Path, name: &str, archive: bool, provision: Provision) -> io::Result<Self> {
        let directory = parent.join(name);
        fs::create_dir_all(&directory)?;
        let (certificate, key) = (parent.join("certificate.pem"), parent.join("key.pem"));
        if !certificate.exists() {
            make_certificate(&certificate, &key)?;
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let ready = directory.join("ready");
        Ok(Self {
            directory,
            port,
            certificate,
            key,
            archive,
            provision,
            ready,
        })
    }
}

/// ECDSA over P-256, what public authorities issue by default today, valid from last year to the end of the next one:
/// ejabberd sets a timer on the end and fails if that is too far away.
fn make_certificate(certificate: &Path, key: &Path) -> io::Result<()> {
    const SECONDS_PER_YEAR: u64 = 31_556_952;
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_err(io::Error::other)?;
    let year =
        1970 + i32::try_from(since.as_secs() / SECONDS_PER_YEAR).map_err(io::Error::other)?;
    let pair = rcgen::KeyPair::generate().map_err(io::Error::other)?;
    let names = [DOMAIN.to_owned(), format!("pubsub.{DOMAIN}")];
    let mut parameters = rcgen::CertificateParams::new(names).map_err(io::Error::other)?;
    parameters.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(year + 1, 12, 31);
    let made = parameters.self_signed(&pair).map_err(io::Error::other)?;
    fs::write(certificate, made.pem())?;
    fs::write(key, pair.serialize_pem())
}

/// A server that runs; it ends with this value.
pub struct Running {
    child: Child,
    /// Where it listens.
    pub port: u16,
}

impl Running {
    /// Starts a server on core 0 and waits until it takes connections.
    ///
    /// # Errors
    /// If it ends at once or is not ready in time; its output is in the setting's directory.
    pub fn start(kind: &Kind, setting: &Setting) -> io::Result<Self> {
        if *kind == Kind::Ejabberd && !ejabberd::provisioned(setting) {
            drop(Self::launch(kind, setting)?);
        }
        Self::launch(kind, setting)
    }

    fn launch(kind: &Kind, setting: &Setting) -> io::Result<Self> {
        let command = kind.prepare(setting)?;
        let output = File::create(setting.directory.join("output.log"))?;
        let mut pinned = Command::new("taskset");
        pinned
            .args(["-c", "0"])
            .arg(command.get_program())
            .args(command.get_args());
        crate::server::without_variables_of_tests(&mut pinned);
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                pinned.env(name, value);
            }
        }
        pinned.current_dir(&setting.directory).stdin(Stdio::null());
        let child = pinned.stdout(output.try_clone()?).stderr(output).spawn()?;
        let mut running = Self {
            child,
            port: setting.port,
        };
        running.wait_ready(kind, setting)?;
        Ok(running)
    }

    /// The server's process, root of its tree: `taskset` becomes the server.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_ready(&mut self, kind: &Kind, setting: &Setting) -> io::Result<()> {
        let address: SocketAddr = (Ipv4Addr::LOCALHOST, self.port).into();
        let deadline = Instant::now() + PATIENCE;
        let shown = || {
            format!(
                "{}: see {}",
                kind.name(),
                setting.directory.join("output.log").display()
            )
        };
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("{status}, {}", shown())));
            }
            let loaded = *kind != Kind::Ejabberd || setting.ready.exists();
            if loaded && TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
                return Ok(());
            }
            sleep(Duration::from_millis(50));
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, shown()))
    }

    fn terminate(&mut self) -> io::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        Command::new("kill")
            .args(["-TERM", &self.pid().to_string()])
            .status()?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            sleep(Duration::from_millis(20));
        }
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A server that cannot be ended is not measured again: the next one has its own port.
        let _ = self.terminate();
    }
}
