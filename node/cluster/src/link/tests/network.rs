//! A network in memory: hosts with names, and between any two of them a wire for each direction of dialling.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use services::{Way, Ways, Wire};
use tokio::{io::DuplexStream, sync::mpsc};

use crate::link::{Listener, Network, Stream};

/// What a connection holds in each direction between an end and the wire, as sockets do.
const SOCKET: usize = 64 * 1024;

#[derive(Default)]
struct State {
    doors: HashMap<String, mpsc::Sender<(DuplexStream, IpAddr)>>,
    /// By who dials and who is dialled.
    wires: HashMap<(String, String), Wire>,
}

/// The network.
#[derive(Clone, Default)]
pub(in crate::link) struct Net {
    seed: u64,
    state: Arc<Mutex<State>>,
}

impl Net {
    pub(in crate::link) fn new(seed: u64) -> Self {
        let state = Arc::default();
        Self { seed, state }
    }
    /// The host of this name: its address.
    pub(in crate::link) fn host(&self, name: &str) -> Arc<dyn Network> {
        Arc::new(Host(self.clone(), name.to_owned()))
    }
    /// What carries the connections that one host dials to another.
    pub(in crate::link) fn wire(&self, from: &str, to: &str) -> Wire {
        let mut state = self.state.lock();
        let seed = self
            .seed
            .wrapping_mul(31)
            .wrapping_add(state.wires.len() as u64);
        let wire = state.wires.entry((from.to_owned(), to.to_owned()));
        wire.or_insert_with(|| Wire::new(seed)).clone()
    }
    /// Sets what goes from one host to another, whoever dialled, and what goes back.
    pub(in crate::link) fn set(&self, one: &str, two: &str, there: &Way, back: &Way) {
        let ways = |there: &Way, back: &Way| Ways {
            there: there.clone(),
            back: back.clone(),
            refuse: false,
        };
        self.wire(one, two).set(ways(there, back));
        self.wire(two, one).set(ways(back, there));
    }
    /// Ends all connections between two hosts.
    pub(in crate::link) fn cut(&self, one: &str, two: &str) {
        self.wire(one, two).cut();
        self.wire(two, one).cut();
    }
    /// How many connections there were between two hosts.
    pub(in crate::link) fn connections(&self, one: &str, two: &str) -> u64 {
        self.wire(one, two).connections() + self.wire(two, one).connections()
    }
}

struct Host(Net, String);

struct Door {
    state: Weak<Mutex<State>>,
    name: String,
    accepted: mpsc::Receiver<(DuplexStream, IpAddr)>,
}

/// An address of the host of this name.
fn ip(name: &str) -> IpAddr {
    IpAddr::from([192, 0, 2, name.bytes().fold(0, u8::wrapping_add)])
}

#[async_trait]
impl Network for Host {
    async fn dial(&self, address: &str) -> io::Result<Box<dyn Stream>> {
        let door = self.0.state.lock().doors.get(address).cloned();
        let door = door.ok_or(io::ErrorKind::ConnectionRefused)?;
        let wire = self.0.wire(&self.1, address);
        let ((dialler, one), (two, listener)) =
            (tokio::io::duplex(SOCKET), tokio::io::duplex(SOCKET));
        let sent = door.send((listener, ip(&self.1))).await;
        sent.map_err(|_| io::ErrorKind::ConnectionRefused)?;
        tokio::spawn(async move { wire.carry(one, two).await });
        Ok(Box::new(dialler))
    }
    async fn listen(&self, _: &str) -> io::Result<Box<dyn Listener>> {
        let (sender, accepted) = mpsc::channel(128);
        self.0.state.lock().doors.insert(self.1.clone(), sender);
        Ok(Box::new(Door {
            state: Arc::downgrade(&self.0.state),
            name: self.1.clone(),
            accepted,
        }))
    }
}

#[async_trait]
impl Listener for Door {
    async fn accept(&mut self) -> io::Result<(Box<dyn Stream>, IpAddr)> {
        let (stream, host) = self
            .accepted
            .recv()
            .await
            .ok_or(io::ErrorKind::NotConnected)?;
        Ok((Box::new(stream), host))
    }
    fn address(&self) -> String {
        self.name.clone()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.accepted.close();
        if let Some(state) = self.state.upgrade() {
            let mut state = state.lock();
            // Another life may listen there by now.
            if state
                .doors
                .get(&self.name)
                .is_some_and(mpsc::Sender::is_closed)
            {
                state.doors.remove(&self.name);
            }
        }
    }
}
