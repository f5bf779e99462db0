//! What a stranger may cost before it has proven that it knows the secret: connections and bytes. Its time is bounded by the
//! handshake's deadline.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::network::Stream;

/// Connections of strangers at once; more are closed.
pub(super) const STRANGERS: usize = 128;
/// Of them from one host, so that one alone cannot keep the others out.
pub(super) const STRANGERS_OF_A_HOST: usize = 32;
/// What a stranger may send: a TLS handshake has about 1 KiB, the proofs at most 129 bytes.
pub(super) const STRANGER_BYTES: u64 = 16 * 1024;

/// Who is being looked at.
#[derive(Debug, Default)]
pub(super) struct Door {
    strangers: Mutex<HashMap<IpAddr, usize>>,
}

/// A place among the strangers, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    door: Arc<Door>,
    host: IpAddr,
}

impl Door {
    /// A place for one from this host; `None`: there are too many.
    pub(super) fn enter(self: &Arc<Self>, host: IpAddr) -> Option<Place> {
        let mut strangers = self.strangers.lock();
        let all: usize = strangers.values().sum();
        let own = strangers.get(&host).copied().unwrap_or(0);
        if all >= STRANGERS || own >= STRANGERS_OF_A_HOST {
            return None;
        }
        strangers.insert(host, own + 1);
        Some(Place {
            door: self.clone(),
            host,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut strangers = self.door.strangers.lock();
        if let Some(own) = strangers.get_mut(&self.host) {
            *own -= 1;
            if *own == 0 {
                strangers.remove(&self.host);
            }
        }
    }
}

/// A stream that ends with an error when more is read from it than a stranger may send.
pub(super) struct Metered {
    stream: Box<dyn Stream>,
    left: u64,
}

impl Metered {
    /// Of a stranger.
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            left: STRANGER_BYTES,
        }
    }
    /// No stranger any more.
    pub(super) fn trust(&mut self) {
        self.left = u64::MAX;
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let read = (buffer.filled().len() - before) as u64;
        if read > self.left {
            return Poll::Ready(Err(io::Error::other("too much before authentication")));
        }
        if self.left != u64::MAX {
            self.left -= read;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_does_not_keep_the_others_out() {
        let door = Arc::new(Door::default());
        let host = |n: u8| IpAddr::from([192, 0, 2, n]);
        let mut kept: Vec<_> = (0..STRANGERS_OF_A_HOST)
            .map(|_| door.enter(host(1)).unwrap())
            .collect();
        assert!(door.enter(host(1)).is_none());
        kept.push(door.enter(host(2)).unwrap());
        kept.clear();
        assert!(door.enter(host(1)).is_some());
        assert!(door.strangers.lock().is_empty());
    }

    #[test]
    fn strangers_are_bounded_over_all_hosts() {
        let door = Arc::new(Door::default());
        let kept: Vec<_> = (0..=255)
            .filter_map(|n| door.enter(IpAddr::from([192, 0, 2, n])))
            .collect();
        assert_eq!(kept.len(), STRANGERS);
        // Who is turned away is not remembered.
        assert_eq!(door.strangers.lock().len(), STRANGERS);
    }
}
