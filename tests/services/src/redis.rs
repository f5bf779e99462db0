//! Redis and its Sentinel (Debian: `redis-server`, `redis-tools`): alone, as a replica, in cluster mode, with TLS and a
//! user of its own.

use std::{
    fs,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{Certificate, free_port, process::Process};

/// A running server; ended when dropped.
pub struct Redis {
    process: Process,
    /// Without TLS, for whoever may come in.
    pub port: u16,
    /// With TLS; 0 without a certificate.
    pub tls_port: u16,
    options: Vec<String>,
    directory: TempDir,
}

impl Redis {
    /// The user that [`Redis::start_secure`] makes.
    pub const USER: &str = "starling";
    /// Its password.
    pub const PASSWORD: &str = "in-order";

    /// Starts one that keeps everything in memory.
    ///
    /// # Errors
    /// It is not installed, or does not get ready.
    pub fn start() -> io::Result<Self> {
        Self::start_with(free_port()?, 0, Vec::new(), tempfile::tempdir()?)
    }

    /// Starts a replica of another.
    ///
    /// # Errors
    /// It does not get ready.
    pub fn replica_of(master: u16) -> io::Result<Self> {
        let options = vec!["--replicaof".into(), format!("127.0.0.1 {master}")];
        let redis = Self::start_with(free_port()?, 0, options, tempfile::tempdir()?)?;
        let up = || {
            request(redis.port, "INFO replication")
                .is_ok_and(|s| s.contains("master_link_status:up"))
        };
        until(up)?;
        Ok(redis)
    }

    /// Starts one that asks for TLS and for [`Redis::USER`], who may do what is in `rules` (Redis ACL).
    ///
    /// # Errors
    /// It does not get ready.
    pub fn start_secure(tls: &Certificate<'_>, rules: &str) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = directory.path();
        fs::write(path.join("tls.pem"), tls.certificate)?;
        fs::write(path.join("tls.key"), tls.key)?;
        let acl = format!(
            "user default on nopass -@all +ping +info +shutdown\nuser {} on >{} {rules}\n",
            Self::USER,
            Self::PASSWORD
        );
        fs::write(path.join("users.acl"), acl)?;
        let tls_port = free_port()?;
        let file = |name: &str| path.join(name).to_string_lossy().into_owned();
        let options = [
            ("--tls-port", tls_port.to_string()),
            ("--tls-cert-file", file("tls.pem")),
            ("--tls-key-file", file("tls.key")),
            ("--tls-auth-clients", "no".into()),
            ("--aclfile", file("users.acl")),
        ];
        let options = options.into_iter().flat_map(|(k, v)| [k.to_owned(), v]);
        Self::start_with(free_port()?, tls_port, options.collect(), directory)
    }

    /// Starts a cluster of so many masters, which share the slots.
    ///
    /// # Errors
    /// It does not get ready.
    pub fn start_cluster(masters: u32) -> io::Result<Vec<Self>> {
        let mut nodes = Vec::new();
        for _ in 0..masters {
            let options = vec![
                "--cluster-enabled".into(),
                "yes".into(),
                "--cluster-port".into(),
                free_port()?.to_string(),
            ];
            nodes.push(Self::start_with(
                free_port()?,
                0,
                options,
                tempfile::tempdir()?,
            )?);
        }
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]);
        create.args(nodes.iter().map(|n| format!("127.0.0.1:{}", n.port)));
        create.args(["--cluster-replicas", "0", "--cluster-yes"]);
        let made = create.output()?;
        if !made.status.success() {
            let said = String::from_utf8_lossy(&made.stdout).into_owned();
            return Err(io::Error::other(format!("redis-cli: {said}")));
        }
        for node in &nodes {
            until(|| {
                request(node.port, "CLUSTER INFO").is_ok_and(|s| s.contains("cluster_state:ok"))
            })?;
        }
        Ok(nodes)
    }

    fn start_with(
        port: u16,
        tls_port: u16,
        options: Vec<String>,
        directory: TempDir,
    ) -> io::Result<Self> {
        let process = run(port, &options, &directory)?;
        Ok(Self {
            process,
            port,
            tls_port,
            options,
            directory,
        })
    }

    /// Where it listens without TLS.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Where it listens with TLS, as [`Redis::USER`].
    pub fn secure_url(&self) -> String {
        let (user, password) = (Self::USER, Self::PASSWORD);
        format!("rediss://{user}:{password}@localhost:{}", self.tls_port)
    }

    /// What it says to an inline command.
    ///
    /// # Errors
    /// It does not answer.
    pub fn ask(&self, command: &str) -> io::Result<String> {
        request(self.port, command)
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on its port: empty.
    ///
    /// # Errors
    /// It does not get ready.
    pub fn restart(&mut self) -> io::Result<()> {
        self.process.kill();
        self.process = run(self.port, &self.options, &self.directory)?;
        Ok(())
    }

    /// Stops it where it is, as a machine that hangs.
    ///
    /// # Errors
    /// It has ended.
    pub fn freeze(&self) -> io::Result<()> {
        self.process.freeze()
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// It has ended.
    pub fn thaw(&self) -> io::Result<()> {
        self.process.thaw()
    }
}

fn run(port: u16, options: &[String], directory: &TempDir) -> io::Result<Process> {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    command.args(["--save", "", "--appendonly", "no"]);
    command.args(["--dir".as_ref(), directory.path().as_os_str()]);
    command.args(["--repl-diskless-sync-delay", "0", "--repl-timeout", "5"]);
    command.args(options);
    let mut ready = || request(port, "PING").is_ok_and(|said| said.starts_with("+PONG"));
    Process::start("redis-server", command, directory.path(), &mut ready)
}

/// A Sentinel that watches one master alone; ended when dropped.
pub struct Sentinel {
    _process: Process,
    /// Where it listens.
    pub port: u16,
    _directory: TempDir,
}

impl Sentinel {
    /// The name of the master.
    pub const NAME: &str = "directory";

    /// Starts one. It makes a replica the master when the master has been silent for half a second.
    ///
    /// # Errors
    /// It does not get ready.
    pub fn start(master: u16) -> io::Result<Self> {
        let (directory, port, name) = (tempfile::tempdir()?, free_port()?, Self::NAME);
        let file = directory.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {name} 127.0.0.1 {master} 1\n\
             sentinel down-after-milliseconds {name} 500\nsentinel failover-timeout {name} 5000\n",
            directory.path().display()
        );
        fs::write(&file, text)?;
        let mut command = Command::new("redis-server");
        command.arg(&file).arg("--sentinel");
        let mut ready = || request(port, "PING").is_ok_and(|said| said.starts_with("+PONG"));
        let process = Process::start("redis-sentinel", command, directory.path(), &mut ready)?;
        let sentinel = Self {
            _process: process,
            port,
            _directory: directory,
        };
        until(|| {
            request(port, &format!("SENTINEL REPLICAS {name}")).is_ok_and(|s| s.starts_with("*1"))
        })?;
        Ok(sentinel)
    }

    /// What it says to an inline command.
    ///
    /// # Errors
    /// It does not answer.
    pub fn ask(&self, command: &str) -> io::Result<String> {
        request(self.port, command)
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

fn until(mut is_so: impl FnMut() -> bool) -> io::Result<()> {
    let begun = Instant::now();
    while !is_so() {
        if begun.elapsed() > Duration::from_secs(30) {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "redis does not get ready",
            ));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The beginning of what it says to an inline command.
fn request(port: u16, line: &str) -> io::Result<String> {
    let patience = Duration::from_secs(5);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(format!("{line}\r\n").as_bytes())?;
    let mut answer = [0; 4096];
    let length = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}
