//! SeaweedFS: S3's API, with signatures that are looked at. Installed by `tests/install` in a virtual environment.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use crate::{
    Process,
    dynoxide::{credentials_file, write},
    free_port,
};

/// The running server.
pub struct SeaweedFs {
    process: Process,
    port: u16,
    credentials: tempfile::TempDir,
    _directory: tempfile::TempDir,
}

const KEY: &str = "starling";
const SECRET: &str = "starling-secret";

/// Where `tests/install` puts what is not a package of the system.
pub fn cache() -> PathBuf {
    std::env::var_os("STARLING_TEST_CACHE").map_or_else(
        || {
            let home = std::env::var_os("HOME").unwrap_or_default();
            PathBuf::from(home).join(".cache/starling-tests")
        },
        PathBuf::from,
    )
}

impl SeaweedFs {
    /// Starts a server without buckets.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn start() -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let (data, at) = (directory.path().join("data"), directory.path());
        std::fs::create_dir(&data)?;
        let identity = format!(
            r#"{{"identities":[{{"name":"admin","credentials":[{{"accessKey":"{KEY}","secretKey":"{SECRET}"}}],
            "actions":["Admin","Read","Write","List","Tagging"]}}]}}"#
        );
        write(at, "s3.json", &identity)?;
        let port = free_port()?;
        let mut command = Command::new(cache().join("weed/bin/weed"));
        command
            .current_dir(at)
            .arg("mini")
            .arg(format!("-dir={}", data.display()))
            .args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1"])
            .arg(format!("-s3.port={port}"))
            .arg(format!("-s3.config={}", at.join("s3.json").display()))
            .args([
                "-admin.ui=false",
                "-webdav=false",
                "-master.telemetry=false",
            ])
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0"]);
        for server in ["master", "volume", "filer", "admin"] {
            command.arg(format!("-{server}.port={}", free_port()?));
        }
        // Left alone these are ten thousand above, where the system takes the ports of clients from.
        for server in ["master", "volume", "filer", "admin", "s3"] {
            command.arg(format!("-{server}.port.grpc={}", free_port()?));
        }
        // Its ports answer before there is a place to write to: the status of the whole says when there is.
        let process = Process::start("seaweedfs", command, at, &mut || is_healthy(port))?;
        Ok(Self {
            process,
            port,
            credentials: credentials_file(KEY, SECRET)?,
            _directory: directory,
        })
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A file of the credentials that it accepts.
    pub fn credentials(&self) -> PathBuf {
        self.credentials.path().join("credentials")
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn is_healthy(port: u16) -> bool {
    let ask = || -> io::Result<String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let patience = Duration::from_secs(2);
        let mut stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.") && answer.contains(" 200 "))
}
