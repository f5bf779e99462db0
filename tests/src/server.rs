//! A server for tests: Starling, or one of its peers, started on loopback ports of its own and ended with the test.
//!
//! Why peers: a dialogue that Prosody and ejabberd also pass tests the standard and not our habits. Which one is named
//! by `DIALOGUE_SERVER` (`starling`, `prosody`, `ejabberd`). With `STARLING_TEST_NODES` ours is several nodes behind a balancer
//! ([`crate::backend`]). Stored: a temporary directory, removed at the end.

mod cluster;
mod ejabberd;
mod prosody;
mod starling;

pub use starling::{Files, Ready, binary as starling_binary, serve};

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail};
use services::Haproxy;
use tempfile::TempDir;

use crate::backend;

/// The domain that every test server serves.
pub const DOMAIN: &str = "localhost";
/// Another one, which certificates name as well.
pub const OTHER_DOMAIN: &str = "other.localhost";
/// How long a server may take to start. It is a bound, not an expectation.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// The server of this repository.
    Starling,
    /// A peer.
    Prosody,
    /// A peer.
    Ejabberd,
}

impl Product {
    /// The one named by `DIALOGUE_SERVER`, Starling if it is not set.
    ///
    /// # Errors
    /// If the name is unknown.
    pub fn from_env() -> Result<Self> {
        match std::env::var("DIALOGUE_SERVER").as_deref() {
            Err(_) | Ok("" | "starling") => Ok(Self::Starling),
            Ok("prosody") => Ok(Self::Prosody),
            Ok("ejabberd") => Ok(Self::Ejabberd),
            Ok(other) => bail!("DIALOGUE_SERVER={other}: know starling, prosody, ejabberd"),
        }
    }

    /// Its name in scripts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starling => "starling",
            Self::Prosody => "prosody",
            Self::Ejabberd => "ejabberd",
        }
    }
}

/// Where a server is reached.
#[derive(Debug, Clone)]
pub struct Target {
    /// Which program it is.
    pub product: Product,
    /// Client port with STARTTLS.
    pub c2s: SocketAddr,
    /// Client port with direct TLS.
    pub c2s_tls: Option<SocketAddr>,
    /// HTTP port.
    pub http: Option<SocketAddr>,
    /// The domain served.
    pub domain: String,
    /// PEM file of the authority that signed the server's certificate.
    pub authority: PathBuf,
}

/// A running server; dropping it ends it.
pub struct Server {
    /// Where it is.
    pub target: Target,
    /// The process, or those of all nodes.
    children: Vec<Child>,
    /// What is in front of several nodes.
    _balancer: Option<Haproxy>,
    directory: TempDir,
}

impl Server {
    /// Starts a server and waits until it can be used.
    ///
    /// # Errors
    /// If it cannot be started; the message holds its log.
    pub fn start(product: Product) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("starling-test-")
            .tempdir()?;
        let certificate = Certificate::write(directory.path())?;
        let nodes = backend::nodes()?;
        if product == Product::Starling && nodes > 1 {
            let started = cluster::start(directory.path(), &certificate, nodes)?;
            return Ok(Self {
                target: started.target,
                children: started.children,
                _balancer: Some(started.balancer),
                directory,
            });
        }
        let start = match product {
            Product::Starling => starling::start,
            Product::Prosody => prosody::start,
            Product::Ejabberd => ejabberd::start,
        };
        let (child, target) = start(directory.path(), &certificate)?;
        Ok(Self::one(child, target, directory))
    }

    fn one(child: Child, target: Target, directory: TempDir) -> Self {
        Self {
            target,
            children: vec![child],
            _balancer: None,
            directory,
        }
    }

    /// Starts our own server for these domains with these lines of `[storage]`: nobody has an account.
    ///
    /// # Errors
    /// If it cannot be started; the message holds its log.
    pub fn over(domains: &[&str], storage: &str) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("starling-test-")
            .tempdir()?;
        let certificate = Certificate::write(directory.path())?;
        let (child, target) =
            starling::start_over(directory.path(), &certificate, domains, storage)?;
        Ok(Self::one(child, target, directory))
    }

    /// Runs a command of our own server with this one's configuration.
    ///
    /// # Errors
    /// It cannot be run; that it fails is no error.
    pub fn command(&self, arguments: &[&str]) -> Result<Output> {
        starling::command(arguments, self.directory())
    }

    /// Ends it at once, and waits until it is gone.
    ///
    /// # Errors
    /// What the system says.
    pub fn kill(&mut self) -> Result<()> {
        let end = |child: &mut Child| child.kill().and_then(|()| child.wait());
        // All of them, whatever becomes of one.
        let ends: Vec<_> = self.children.iter_mut().map(end).collect();
        for end in ends {
            end?;
        }
        Ok(())
    }

    /// The directory of its data, configuration and log.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The last lines that it logged.
    #[must_use]
    pub fn log(&self) -> String {
        let directory = self.directory.path();
        let nodes = (1..=self.children.len()).map(|number| cluster::room(directory, number));
        let logs = nodes.map(|room| read_log(&room));
        read_log(directory) + &logs.collect::<String>()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // They may have ended already; there is nothing to do about a failure here.
        let _ = self.kill();
    }
}

/// A certificate for [`DOMAIN`] and the authority behind it, as PEM files.
struct Certificate {
    authority: PathBuf,
    chain: PathBuf,
    key: PathBuf,
    /// Both in one file, as ejabberd wants them.
    both: PathBuf,
}

impl Certificate {
    fn write(directory: &Path) -> Result<Self> {
        use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::new(Vec::<String>::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority
            .distinguished_name
            .push(DnType::CommonName, "Starling test authority");
        authority.not_after = (SystemTime::now() + Duration::from_hours(30 * 24)).into();
        let authority_certificate = authority.self_signed(&authority_key)?;
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate()?;
        let mut params =
            CertificateParams::new([DOMAIN, OTHER_DOMAIN, "127.0.0.1"].map(str::to_owned))?;
        params.distinguished_name.push(DnType::CommonName, DOMAIN);
        // ejabberd sets a timer for the end, and Erlang's timers reach 49 days.
        params.not_after = (SystemTime::now() + Duration::from_hours(30 * 24)).into();
        let certificate = params.signed_by(&key, &issuer)?;
        let file = |name: &str, text: &str| -> Result<PathBuf> {
            let path = directory.join(name);
            fs::write(&path, text)?;
            Ok(path)
        };
        Ok(Self {
            authority: file("authority.pem", &authority_certificate.pem())?,
            chain: file("certificate.pem", &certificate.pem())?,
            key: file("key.pem", &key.serialize_pem())?,
            both: file(
                "both.pem",
                &format!("{}{}", certificate.pem(), key.serialize_pem()),
            )?,
        })
    }
}

/// Starts a program whose output goes to the log.
fn spawn(command: &mut Command, directory: &Path) -> Result<Child> {
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(directory.join("output.log"))?;
    command
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))
}

/// A loopback port that was free a moment ago; for programs that cannot choose one and tell.
fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Asks `ready` again and again until it has an answer, the program ends, or the limit is over.
fn wait_until<T>(
    child: &mut Child,
    directory: &Path,
    mut ready: impl FnMut() -> Option<T>,
) -> Result<T> {
    let limit = Instant::now() + START_LIMIT;
    loop {
        if let Some(answer) = ready() {
            return Ok(answer);
        }
        if let Some(status) = child.try_wait()? {
            bail!(
                "the server ended at start: {status}\n{}",
                read_log(directory)
            );
        }
        if Instant::now() > limit {
            // The error says more than a failure to end the process would.
            let _ = child.kill();
            bail!(
                "the server is not ready after {START_LIMIT:?}\n{}",
                read_log(directory)
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn accepts(address: SocketAddr) -> Option<()> {
    TcpStream::connect(address).ok().map(drop)
}

fn read_log(directory: &Path) -> String {
    const LINES: usize = 80;
    let mut all = String::new();
    for name in ["output.log", "server.log"] {
        let Ok(bytes) = fs::read(directory.join(name)) else {
            continue;
        };
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        // Infallible: writing to a String.
        let _ = writeln!(
            all,
            "--- {name}\n{}",
            lines[lines.len().saturating_sub(LINES)..].join("\n")
        );
    }
    all
}

/// How long a node may take to answer for one of its pages.
const PAGE_LIMIT: Duration = Duration::from_secs(10);

/// A page that a server has: status line, header and text.
///
/// # Errors
/// It does not answer.
pub fn page(server: SocketAddr, path: &str) -> io::Result<String> {
    let mut socket = TcpStream::connect(server)?;
    socket.set_read_timeout(Some(PAGE_LIMIT))?;
    write!(
        socket,
        "GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Whether a node takes clients and has so many members in its view that do.
#[must_use]
pub fn knows_all(pages: SocketAddr, nodes: usize) -> bool {
    let says = |path: &str, text: &str| page(pages, path).is_ok_and(|page| page.contains(text));
    let members = format!("\nxmpp_cluster_members{{stage=\"ready\"}} {nodes}\n");
    says("/metrics", &members) && says("/ready", "HTTP/1.1 200")
}

/// Writes a certificate for this domain that nobody signed: `chain.pem` and `key.pem`.
///
/// # Errors
/// It cannot be made or written.
pub fn write_certificate(directory: &Path, domain: &str) -> Result<()> {
    let key = rcgen::generate_simple_self_signed([domain.to_owned()])?;
    fs::write(directory.join("chain.pem"), key.cert.pem())?;
    fs::write(directory.join("key.pem"), key.signing_key.serialize_pem())?;
    Ok(())
}

/// Takes from a command what is meant for the tests: a server refuses variables of its prefix that are no keys. Keys of
/// its sections (`STARLING_LOG__FILTER`) reach it.
pub fn without_variables_of_tests(command: &mut Command) {
    let of_tests = |(name, _): &(std::ffi::OsString, _)| {
        name.to_str()
            .is_some_and(|name| name.starts_with("STARLING_") && !name.contains("__"))
    };
    for (name, _) in std::env::vars_os().filter(of_tests) {
        command.env_remove(name);
    }
}
