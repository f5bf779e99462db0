//! Records: one step of rustls' unbuffered interface, and ciphertext on its way out.
//!
//! Source: RFC 8446 §5.1 (records); the states of `rustls::unbuffered`.
//! Why here: the same for servers and clients, for reading, writing and closing.
//! Stored: nothing.

use std::io;

use rustls::unbuffered::{ConnectionState, UnbufferedStatus, WriteTraffic};

use super::scratch;
use super::wire::Wire;

/// Plaintext of one TLS record (RFC 8446 §5.1).
const RECORD: usize = 16 * 1024;

/// A record with all that may be added to it (RFC 5246 §6.2.3: up to 2,048 bytes), and a key update before it.
const RECORD_WIRE: usize = RECORD + 2048 + 256;

/// What to send as soon as rustls lets us.
pub(super) enum Errand<'a> {
    Nothing,
    Send(&'a [&'a [u8]]),
    CloseNotify,
}

/// Whether to ask rustls once more.
#[derive(PartialEq, Eq)]
pub(super) enum Next {
    Again,
    Idle,
    PeerClosed,
    Sent,
}

/// Does what one state of rustls asks for.
pub(super) fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    errand: &Errand<'_>,
    out: &mut Out<'_>,
    data: &mut dyn FnMut(&[u8]),
) -> (usize, io::Result<Next>) {
    let UnbufferedStatus { mut discard, state } = status;
    let next = (|| match state.map_err(invalid)? {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                let record = record.map_err(invalid)?;
                discard += record.discard;
                data(record.payload);
            }
            Ok(Next::Again)
        }
        ConnectionState::EncodeTlsData(mut message) => {
            out.used += message.encode(out.room()?).map_err(invalid)?;
            Ok(Next::Again)
        }
        ConnectionState::TransmitTlsData(message) => {
            out.flush()?;
            message.done();
            Ok(Next::Again)
        }
        ConnectionState::PeerClosed => Ok(Next::PeerClosed),
        ConnectionState::WriteTraffic(traffic) => match errand {
            Errand::Nothing => Ok(Next::Idle),
            Errand::Send(parts) => encrypt(traffic, parts, out).map(|()| Next::Sent),
            Errand::CloseNotify => close_notify(traffic, out).map(|()| Next::Sent),
        },
        ConnectionState::BlockedHandshake | ConnectionState::Closed => match errand {
            Errand::Send(_) => Err(io::ErrorKind::NotConnected.into()),
            Errand::Nothing | Errand::CloseNotify => Ok(Next::Idle),
        },
        // Early data is never offered (`max_early_data_size` is 0), and no other state is known to this version.
        state => Err(invalid(format!("unexpected TLS state {state:?}"))),
    })();
    (discard, next)
}

fn encrypt<Data>(
    mut traffic: WriteTraffic<'_, Data>,
    parts: &[&[u8]],
    out: &mut Out<'_>,
) -> io::Result<()> {
    let mut send = |record: &[u8]| {
        out.used += traffic.encrypt(record, out.room()?).map_err(invalid)?;
        Ok(())
    };
    match parts {
        [only] => only.chunks(RECORD).try_for_each(send),
        many => scratch::with(|gather| each_record(many, &mut gather[..RECORD], &mut send)),
    }
}

/// Calls `send` with the parts joined into as few records as possible; copies only what has to be joined.
fn each_record(
    parts: &[&[u8]],
    gather: &mut [u8],
    send: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut filled = 0;
    for mut part in parts.iter().copied() {
        while !part.is_empty() {
            if filled == 0 && part.len() >= gather.len() {
                send(&part[..gather.len()])?;
                part = &part[gather.len()..];
                continue;
            }
            let n = part.len().min(gather.len() - filled);
            gather[filled..filled + n].copy_from_slice(&part[..n]);
            part = &part[n..];
            filled += n;
            if filled == gather.len() {
                send(gather)?;
                filled = 0;
            }
        }
    }
    if filled > 0 {
        send(&gather[..filled])
    } else {
        Ok(())
    }
}

fn close_notify<Data>(mut traffic: WriteTraffic<'_, Data>, out: &mut Out<'_>) -> io::Result<()> {
    out.used += traffic.queue_close_notify(out.room()?).map_err(invalid)?;
    Ok(())
}

/// Ciphertext on its way out: collected in scratch, so that several records leave in one system call.
pub(super) struct Out<'a> {
    buffer: &'a mut [u8],
    used: usize,
    wire: &'a mut Wire,
}

impl<'a> Out<'a> {
    pub(super) fn new(buffer: &'a mut [u8], wire: &'a mut Wire) -> Self {
        Self {
            buffer,
            used: 0,
            wire,
        }
    }

    /// Room for one more record.
    fn room(&mut self) -> io::Result<&mut [u8]> {
        if self.buffer.len() - self.used < RECORD_WIRE {
            self.flush()?;
        }
        Ok(&mut self.buffer[self.used..])
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        let used = std::mem::take(&mut self.used);
        self.wire.send(&self.buffer[..used])
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
