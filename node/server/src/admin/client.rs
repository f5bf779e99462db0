//! The command's side of the administration socket. Blocking: a command does one thing.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    time::Duration,
};

use socket2::{Domain, SockAddr, Socket, Type};
use zeroize::Zeroizing;

use super::{Request, Response};

/// How long a node may take to take a connection, or to answer.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// How long a node may take to remove all that an account has.
pub const LONG_PATIENCE: Duration = Duration::from_secs(120);

/// A connection to a running node.
#[derive(Debug)]
pub struct AdminClient {
    read: BufReader<UnixStream>,
    write: UnixStream,
}

impl AdminClient {
    /// Connects; `None` if no node answers there. Nothing, this included, waits longer than `patience`.
    ///
    /// # Errors
    /// There is a socket that may not be opened; `TimedOut` if the node takes no connection.
    pub fn connect(path: &Path, patience: Duration) -> io::Result<Option<Self>> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // What sending may take holds for connecting, too: to a queue that is full.
        socket.set_write_timeout(Some(patience))?;
        socket.set_read_timeout(Some(patience))?;
        match socket.connect(&SockAddr::unix(path)?) {
            Ok(()) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(late(error)),
        }
        let write = UnixStream::from(OwnedFd::from(socket));
        Ok(Some(Self {
            read: BufReader::new(write.try_clone()?),
            write,
        }))
    }

    /// Asks.
    ///
    /// # Errors
    /// The node went away, or answers what is no response; `TimedOut` if it does not answer: it may still do what it was
    /// asked.
    pub fn ask(&mut self, request: &Request) -> io::Result<Response> {
        let mut line = Zeroizing::new(serde_json::to_vec(request)?);
        line.push(b'\n');
        self.write.write_all(&line).map_err(late)?;
        let mut answer = String::new();
        if self.read.read_line(&mut answer).map_err(late)? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the node closed the connection",
            ));
        }
        Ok(serde_json::from_str(&answer)?)
    }
}

/// A time limit of a socket shows as an operation that would block.
fn late(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(
            io::ErrorKind::TimedOut,
            "the node does not answer; it may be very busy, and do what it was asked later",
        ),
        _ => error,
    }
}
