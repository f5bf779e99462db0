//! The network under the links: TCP, or whatever a test puts there.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use async_trait::async_trait;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

/// A connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Gives connections to addresses (`host:port`), and takes them at one.
#[async_trait]
pub trait Network: Send + Sync + 'static {
    /// A connection to this address.
    ///
    /// # Errors
    /// There is none. `ConnectionRefused` is taken as said by the host: no process listens at this address.
    async fn dial(&self, address: &str) -> io::Result<Box<dyn Stream>>;
    /// Listens at this address.
    ///
    /// # Errors
    /// It cannot.
    async fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>>;
}

/// Where connections are taken.
#[async_trait]
pub trait Listener: Send + 'static {
    /// The next connection, and the host it comes from.
    ///
    /// # Errors
    /// This one failed; the next may not.
    async fn accept(&mut self) -> io::Result<(Box<dyn Stream>, IpAddr)>;
    /// Where it listens: with the port that it got, if it asked for any.
    fn address(&self) -> String;
}

/// TCP, without waiting for more to send (Nagle): batches are made above.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

struct TcpDoor(TcpListener, SocketAddr);

#[async_trait]
impl Network for Tcp {
    async fn dial(&self, address: &str) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
    async fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Box::new(TcpDoor(listener, address)))
    }
}

#[async_trait]
impl Listener for TcpDoor {
    async fn accept(&mut self) -> io::Result<(Box<dyn Stream>, IpAddr)> {
        let (stream, from) = self.0.accept().await?;
        stream.set_nodelay(true)?;
        Ok((Box::new(stream), from.ip()))
    }
    fn address(&self) -> String {
        self.1.to_string()
    }
}
