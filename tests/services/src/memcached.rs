//! memcached (Debian's package).

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::{free_port, process::Process};

/// A running server.
pub struct Memcached {
    process: Process,
    address: SocketAddr,
    /// Holds its log.
    _directory: TempDir,
}

impl Memcached {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// It cannot be started or does not get ready.
    pub fn start() -> io::Result<Self> {
        Self::start_at(free_port()?)
    }

    /// Starts one on this port: in the place of one that has ended.
    ///
    /// # Errors
    /// It cannot be started or does not get ready.
    pub fn start_at(port: u16) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut command = Command::new("memcached");
        command.args(["-l", "127.0.0.1", "-U", "0", "-m", "64", "-t", "1"]);
        command.args(["-p", &port.to_string()]);
        // As root it refuses to run without a user to become.
        command.args(["-u", "nobody"]);
        let mut ready =
            || request(address, "version\r\n").is_ok_and(|said| said.starts_with("VERSION"));
        let process = Process::start("memcached", command, directory.path(), &mut ready)?;
        Ok(Self {
            process,
            address,
            _directory: directory,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// It does not answer.
    pub fn flush(&self) -> io::Result<()> {
        request(self.address, "flush_all\r\n").map(drop)
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

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

/// The first line of what it says.
fn request(address: SocketAddr, line: &str) -> io::Result<String> {
    let patience = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(line.as_bytes())?;
    let mut answer = [0; 256];
    let length = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}
