//! A connection that carries a lane: one task that reads and writes at once.

use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    task::yield_now,
    time::{Duration, Instant, sleep_until},
};
use tokio_rustls::TlsStream;

use super::{
    Class, Frame, LinkError, Request,
    admission::Metered,
    frame::{Ack, Beat, HEADER, Header, MAX_BODY, NotAFrame, What, split_id},
    inbound::Credit,
    inner::Inner,
    lane::Attached,
    outbound::Letter,
    peer::Peer,
};

type Tls = TlsStream<Metered>;

/// How long an acknowledgement waits for others, or for frames to go with.
const ACK_DELAY: Duration = Duration::from_millis(10);
/// How often a beat is sent on the control connection.
const BEATS: Duration = Duration::from_millis(200);
/// What is encrypted in one turn, so that a large frame does not keep the thread from the others'.
const TURN: usize = 64 * 1024;
const READ: usize = 64 * 1024;
/// From this size on a body stays where it was read. Smaller ones are copied out, so that a caller who keeps one does not
/// keep the others that came with it.
const SHARED: usize = 32 * 1024;
/// A buffer for writing that grew beyond this is given back.
const MOST_KEPT: usize = 256 * 1024;

/// Carries a lane until the connection ends, or another one carries it.
pub(super) struct Carrier {
    pub(super) inner: Arc<Inner>,
    pub(super) peer: Arc<Peer>,
    pub(super) attached: Attached,
}

/// Ends the record of a request when its task does, however that is.
struct Served(Arc<Peer>, u64);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.serving.done(self.1);
    }
}

impl Carrier {
    /// Runs; `first` is written before any frame.
    pub(super) async fn run(self, stream: Tls, first: Vec<u8>) {
        let (reader, writer) = tokio::io::split(stream);
        let ended = tokio::select! {
            ended = self.read(reader) => ended,
            ended = self.write(writer, first) => ended,
        };
        let (class, peer) = (self.attached.lane.class, &self.peer.name);
        match ended {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::error!(?class, peer, %error, "connection ended by a mistake of the peer");
            }
            Err(error) => tracing::info!(?class, peer, %error, "connection ended"),
            Ok(()) => tracing::debug!(?class, peer, "connection replaced"),
        }
    }

    async fn read(&self, mut half: ReadHalf<Tls>) -> io::Result<()> {
        let mut buffer = BytesMut::with_capacity(READ);
        loop {
            let taken = self.take_in(&mut buffer);
            let taken = taken.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let Some(missing) = taken else { return Ok(()) };
            buffer.reserve(missing.max(READ / 4));
            if half.read_buf(&mut buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match self.attached.lane.class {
                Class::Control => self.peer.hears(Instant::now()),
                Class::Data => {}
                Class::Bulk => yield_now().await,
            }
        }
    }

    /// Handles all frames that are there; how many bytes the next one misses at least. `None`: this connection is replaced.
    fn take_in(&self, buffer: &mut BytesMut) -> Result<Option<usize>, NotAFrame> {
        let lane = &self.attached.lane;
        let mut inbound = lane.inbound.lock();
        let mut is_due = false;
        let missing = loop {
            if inbound.generation != self.attached.generation || self.peer.is_over.load(Relaxed) {
                return Ok(None);
            }
            let Some(header) = buffer.first_chunk::<HEADER>() else {
                break HEADER - buffer.len();
            };
            let header = Header::read(header)?;
            let total = HEADER + header.length;
            if buffer.len() < total {
                break total - buffer.len();
            }
            let is_new = if header.what.is_sequenced() {
                is_due = true;
                inbound.accept(&header, lane.grants.told())?
            } else {
                true
            };
            let body = take_body(buffer, &header, is_new);
            if is_new {
                self.handle(&header, body)?;
            }
        };
        drop(inbound);
        if is_due {
            lane.ack_is_due(false);
        }
        Ok(Some(missing))
    }

    fn handle(&self, header: &Header, body: Bytes) -> Result<(), NotAFrame> {
        let (peer, lane) = (&self.peer, &self.attached.lane);
        match header.what {
            What::Message => {
                let frame = Frame {
                    from: peer.node,
                    class: lane.class,
                    kind: header.kind,
                    credit: Credit::new(lane.clone(), body.len()),
                    body,
                };
                self.inner.handler.frame(frame);
            }
            What::Request => {
                let (id, body) = split_id(body)?;
                self.serve(header.kind, id, body);
            }
            What::Reply => {
                let (id, body) = split_id(body)?;
                peer.pending.resolve(id, Ok(body));
            }
            What::Declined => peer
                .pending
                .resolve(split_id(body)?.0, Err(LinkError::Refused)),
            What::Cancel => peer.serving.cancel(split_id(body)?.0),
            What::Ack => lane.acknowledged(Ack::read(&body)?, Instant::now())?,
            What::Beat => peer.beats(Beat::read(&body)?, Instant::now()),
        }
        Ok(())
    }

    /// Begins to work on a request. Its credit is given back when its answer has arrived, so that neither the work nor the
    /// answers are more than the credit.
    fn serve(&self, kind: u8, id: u64, body: Bytes) {
        let (peer, lane) = (self.peer.clone(), self.attached.lane.clone());
        let (inner, credit) = (self.inner.clone(), Credit::new(lane.clone(), body.len()));
        let request = Request {
            from: peer.node,
            class: lane.class,
            kind,
            body,
        };
        let served = Served(peer.clone(), id);
        let handler = inner.handler.clone();
        let work = async move {
            let answer = handler.request(request).await;
            let (what, body) = match answer {
                Ok(body) if body.len() <= MAX_BODY => (What::Reply, body),
                Ok(body) => {
                    tracing::error!(kind, size_bytes = body.len(), "answer is too large");
                    (What::Declined, Bytes::new())
                }
                Err(super::Declined) => (What::Declined, Bytes::new()),
            };
            let held = Some(credit);
            // Where it is closed nobody waits for the answer.
            let _ = lane.push(Letter {
                what,
                kind,
                id,
                body,
                held,
            });
            drop(served);
        };
        self.peer.serving.begin(id, || inner.spawn(work));
    }

    async fn write(&self, mut half: WriteHalf<Tls>, first: Vec<u8>) -> io::Result<()> {
        let lane = &self.attached.lane;
        // What was said on the connection before this one may be lost with it.
        lane.ack_is_due(true);
        let mut out = first;
        let mut ack_at = None;
        let mut beat_at = (lane.class == Class::Control).then(Instant::now);
        loop {
            let now = Instant::now();
            if !self.gather(&mut out, now) {
                return Ok(());
            }
            let (is_due, is_urgent) = lane.due();
            if is_due && (is_urgent || !out.is_empty() || ack_at.is_some_and(|at| at <= now)) {
                lane.ack().write(&mut out);
                ack_at = None;
            } else {
                ack_at = is_due.then(|| ack_at.unwrap_or(now + ACK_DELAY));
            }
            if beat_at.is_some_and(|at| at <= now) {
                self.peer.beat(now).write(&mut out);
                beat_at = Some(now + BEATS);
            }
            if out.is_empty() {
                let until = [ack_at, beat_at].into_iter().flatten().min();
                wait(&lane.wake, until).await;
                continue;
            }
            for (part, bytes) in out.chunks(TURN).enumerate() {
                if part > 0 {
                    yield_now().await;
                }
                half.write_all(bytes).await?;
            }
            half.flush().await?;
            out.clear();
            out.shrink_to(MOST_KEPT);
        }
    }

    /// Gathers what may be written; `false`: this connection is replaced.
    fn gather(&self, out: &mut Vec<u8>, now: Instant) -> bool {
        let (lane, pending) = (&self.attached.lane, &self.peer.pending);
        let mut outbound = lane.outbound.lock();
        if outbound.generation != self.attached.generation || outbound.is_closed {
            return false;
        }
        let freed = outbound.fill(out, now, |id| pending.writes(id));
        drop(outbound);
        lane.room.add_permits(freed);
        true
    }
}

async fn wait(wake: &tokio::sync::Notify, until: Option<Instant>) {
    match until {
        None => wake.notified().await,
        Some(until) => tokio::select! {
            () = wake.notified() => {}
            () = sleep_until(until) => {}
        },
    }
}

/// The body of the frame in front, which is taken off.
fn take_body(buffer: &mut BytesMut, header: &Header, is_wanted: bool) -> Bytes {
    let total = HEADER + header.length;
    if is_wanted && header.length >= SHARED {
        return buffer.split_to(total).freeze().slice(HEADER..);
    }
    let body = if is_wanted {
        Bytes::copy_from_slice(&buffer[HEADER..total])
    } else {
        Bytes::new()
    };
    buffer.advance(total);
    body
}
