//! Cables: connections between clients and nodes. The node's end is a [`Pipe`], the client's end is read and written like a
//! socket; what is between them takes its time.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes, BytesMut};
use cluster::NodeId;
use parking_lot::Mutex;
use starling::net::{Far, Notice, Pipe, PipeHandle, WINDOW};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::{Net, State};
use crate::story;

/// What goes over a cable.
enum What {
    Bytes(Bytes),
    /// So many of the other side's bytes were read.
    Credit(usize),
    /// Nothing more comes.
    End(bool),
}

/// One direction, in order.
#[derive(Default)]
struct Direction {
    under_way: VecDeque<(u64, What)>,
    last_ms: u64,
}

impl Direction {
    fn send(&mut self, due_ms: u64, what: What) {
        self.last_ms = self.last_ms.max(due_ms);
        self.under_way.push_back((self.last_ms, what));
    }

    fn arrived(&mut self, now_ms: u64) -> Vec<What> {
        let is_due = |(due, _): &(u64, What)| *due <= now_ms;
        let count = self.under_way.iter().take_while(|it| is_due(it)).count();
        self.under_way
            .drain(..count)
            .map(|(_, what)| what)
            .collect()
    }
}

struct Cable {
    node: NodeId,
    server: PipeHandle,
    client: Arc<Mutex<End>>,
    to_server: Direction,
    to_client: Direction,
    /// Nobody tells the node that the client is gone.
    half_open: bool,
}

/// What the client's end holds.
#[derive(Default)]
struct End {
    incoming: BytesMut,
    ended: Option<bool>,
    outstanding: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// All cables, and those that nodes have not taken yet.
#[derive(Default)]
pub struct Cables {
    made: u64,
    all: BTreeMap<u64, Cable>,
    knocking: Vec<(NodeId, Pipe, SocketAddr)>,
}

impl Cables {
    /// Clients that have come to a node.
    pub fn knocking_at(&mut self, node: NodeId) -> Vec<(Pipe, SocketAddr)> {
        let at = self.knocking.extract_if(.., |(at, ..)| *at == node);
        at.map(|(_, pipe, peer)| (pipe, peer)).collect()
    }
}

impl State {
    /// Both ends of a node's cables are told that it is no more; of what it had said some arrives.
    pub fn cut_cables(&mut self, node: NodeId) {
        self.cables.knocking.retain(|(at, ..)| *at != node);
        let ids: Vec<u64> = self.cables.all.keys().copied().collect();
        for id in ids {
            let (latency, kept) = (self.latency_ms(), self.dice.number());
            let Some(cable) = self.cables.all.get_mut(&id) else {
                continue;
            };
            if cable.node == node {
                let under_way = &mut cable.to_client.under_way;
                under_way.truncate((kept % (under_way.len() as u64 + 1)) as usize);
                cable
                    .to_client
                    .send(self.now_ms + latency, What::End(false));
            }
        }
    }

    /// The clients of a node give up their connections, each at a time of its own within so long; the node does not hear of it.
    pub fn lose_clients(&mut self, node: NodeId, within_ms: u64) {
        for cable in self.cables.all.values_mut() {
            if cable.node == node {
                cable.half_open = true;
                let due = self.now_ms + self.dice.below(within_ms);
                cable.to_client.under_way.clear();
                cable.to_client.send(due, What::End(false));
            }
        }
    }

    fn send_to_server(&mut self, id: u64, what: What) {
        let due = self.now_ms + self.latency_ms();
        let Some(cable) = self.cables.all.get_mut(&id) else {
            return;
        };
        if !(cable.half_open && matches!(what, What::End(_))) {
            cable.to_server.send(due, what);
        }
    }

    fn send_to_client(&mut self, id: u64, what: What) -> bool {
        let due = self.now_ms + self.latency_ms();
        let cable = self.cables.all.get_mut(&id);
        cable.is_some_and(|cable| {
            cable.to_client.send(due, what);
            true
        })
    }
}

impl Net {
    /// A client comes in, at a node of the dice's choice.
    pub fn dial(self: &Arc<Self>) -> io::Result<Line> {
        let mut state = self.0.lock();
        let count = state.doors.len() as u64;
        let door = state.dice.below(count) as usize;
        let Some(&node) = state.doors.get(door) else {
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        state.cables.made += 1;
        let id = state.cables.made;
        let far = FarClient {
            net: self.clone(),
            id,
        };
        let (pipe, server) = Pipe::new(far);
        let client = Arc::new(Mutex::new(End::default()));
        let cable = Cable {
            node,
            server,
            client: client.clone(),
            to_server: Direction::default(),
            to_client: Direction::default(),
            // That a client is gone is not always heard.
            half_open: state.dice.once_in(4),
        };
        state.cables.all.insert(id, cable);
        let peer = SocketAddr::from(([192, 0, 2, 1], (id % 60_000) as u16 + 1));
        state.cables.knocking.push((node, pipe, peer));
        drop(state);
        Ok(Line {
            net: self.clone(),
            id,
            end: client,
        })
    }

    /// What has arrived at either end of the cables is there.
    pub fn deliver(&self) {
        let mut arrived = Vec::new();
        {
            let mut state = self.0.lock();
            let now = state.now_ms;
            state.cables.all.retain(|_, cable| {
                let (server, client) = (cable.to_server.arrived(now), cable.to_client.arrived(now));
                if !server.is_empty() || !client.is_empty() {
                    arrived.push((cable.server.clone(), server, cable.client.clone(), client));
                }
                // Its client has let it go, and the node knows or never will.
                let is_held = Arc::strong_count(&cable.client) > 1 || cable.half_open;
                is_held || !cable.to_server.under_way.is_empty()
            });
        }
        for (pipe, to_server, end, to_client) in arrived {
            for what in to_server {
                match what {
                    What::Bytes(bytes) => _ = pipe.data(&bytes),
                    What::Credit(bytes) => pipe.credit(bytes),
                    What::End(clean) => pipe.end(clean),
                }
            }
            end.lock().take(to_client);
        }
    }
}

impl End {
    fn take(&mut self, arrived: Vec<What>) {
        for what in arrived {
            match what {
                What::Bytes(bytes) if self.ended.is_none() => {
                    self.incoming.extend_from_slice(&bytes);
                }
                What::Bytes(_) => {}
                What::Credit(bytes) => self.outstanding = self.outstanding.saturating_sub(bytes),
                What::End(clean) => _ = self.ended.get_or_insert(clean),
            }
            let wakers = [self.reader.take(), self.writer.take()];
            wakers.into_iter().flatten().for_each(Waker::wake);
        }
    }
}

/// Where the node's end sends to.
struct FarClient {
    net: Arc<Net>,
    id: u64,
}

impl Far for FarClient {
    fn data(&self, bytes: Bytes) -> bool {
        self.net
            .0
            .lock()
            .send_to_client(self.id, What::Bytes(bytes))
    }

    fn credit(&self, bytes: usize) {
        self.net
            .0
            .lock()
            .send_to_client(self.id, What::Credit(bytes));
    }

    fn end(&self, clean: bool) {
        // A pipe that nobody took is dropped with the list of them, under the lock.
        if let Some(mut state) = self.net.0.try_lock() {
            state.send_to_client(self.id, What::End(clean));
        }
    }

    fn notice(&self, _: Notice) -> bool {
        // A client knows its connection and nothing behind it.
        false
    }
}

/// The client's end.
pub struct Line {
    net: Arc<Net>,
    id: u64,
    end: Arc<Mutex<End>>,
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut end = self.end.lock();
        let count = end.incoming.len().min(buffer.remaining());
        if count == 0 {
            return match end.ended {
                Some(true) => Poll::Ready(Ok(())),
                Some(false) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                None => {
                    end.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        }
        buffer.put_slice(&end.incoming[..count]);
        story::wire(self.id, "<-", &end.incoming[..count]);
        end.incoming.advance(count);
        drop(end);
        let mut state = self.net.0.lock();
        state.send_to_server(self.id, What::Credit(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut end = self.end.lock();
        if end.ended.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let count = bytes.len().min(WINDOW - end.outstanding.min(WINDOW));
        if count == 0 {
            end.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        end.outstanding += count;
        drop(end);
        let bytes = Bytes::copy_from_slice(&bytes[..count]);
        story::wire(self.id, "->", &bytes);
        self.net
            .0
            .lock()
            .send_to_server(self.id, What::Bytes(bytes));
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut state = self.net.0.lock();
        let clean = state.dice.once_in(2);
        state.send_to_server(self.id, What::End(clean));
    }
}
