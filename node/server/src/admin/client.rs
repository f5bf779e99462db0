//! The command's side of the administration socket. Blocking: a command does one thing.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use zeroize::Zeroizing;

use super::{Request, Response};

/// A removal may take a while.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A connection to a running node.
#[derive(Debug)]
pub struct AdminClient {
    read: BufReader<UnixStream>,
    write: UnixStream,
}

impl AdminClient {
    /// Connects; `None` if no node answers there.
    ///
    /// # Errors
    /// There is a socket that may not be opened.
    pub fn connect(path: &Path) -> io::Result<Option<Self>> {
        let write = match UnixStream::connect(path) {
            Ok(socket) => socket,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        write.set_read_timeout(Some(TIMEOUT))?;
        Ok(Some(Self {
            read: BufReader::new(write.try_clone()?),
            write,
        }))
    }

    /// Asks.
    ///
    /// # Errors
    /// The node went away, or answers what is no response.
    pub fn ask(&mut self, request: &Request) -> io::Result<Response> {
        let mut line = Zeroizing::new(serde_json::to_vec(request)?);
        line.push(b'\n');
        self.write.write_all(&line)?;
        let mut answer = String::new();
        if self.read.read_line(&mut answer)? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the node closed the connection",
            ));
        }
        Ok(serde_json::from_str(&answer)?)
    }
}
