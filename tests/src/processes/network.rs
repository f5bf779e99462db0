//! The network between processes: what goes from one node to another can be held up, in one direction or in both.
//!
//! Each node listens at 127.0.0.n and advertises 127.0.1.n, where a proxy is. Which node dials is seen by the process that
//! the other end of the connection belongs to: Linux tells it in `/proc`.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io};

use services::{Wire, free_port};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Node;

/// A wire for each process that dialled and each node, counted from 0, that it dialled.
#[derive(Debug, Clone, Default)]
struct Wires(Arc<Mutex<HashMap<(u32, usize), Wire>>>);

impl Wires {
    fn get(&self, dialler: u32, listener: usize) -> Wire {
        let mut wires = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seed = || Wire::new(u64::from(dialler));
        wires
            .entry((dialler, listener))
            .or_insert_with(seed)
            .clone()
    }
}

/// The network; dropped, it carries nothing.
pub struct Network {
    wires: Wires,
    port: u16,
    // Ends the tasks.
    _tasks: JoinSet<()>,
}

impl Network {
    /// One for so many nodes.
    ///
    /// # Errors
    /// No port.
    pub async fn start(nodes: u8) -> io::Result<Self> {
        let (port, wires, mut tasks) = (free_port()?, Wires::default(), JoinSet::new());
        for number in 1..=nodes {
            let at = |network| SocketAddrV4::new(Ipv4Addr::new(127, 0, network, number), port);
            let listener = TcpListener::bind(at(1)).await?;
            let listening = usize::from(number) - 1;
            tasks.spawn(serve(listener, at(1), at(0), listening, wires.clone()));
        }
        Ok(Self {
            wires,
            port,
            _tasks: tasks,
        })
    }

    /// What nodes write under `[cluster]`.
    #[must_use]
    pub fn lines(&self) -> String {
        let port = self.port;
        format!(
            "listen = \"127.0.0.{{number}}:{port}\"\nadvertise = \"127.0.1.{{number}}:{port}\"\n"
        )
    }

    /// Whether what a node sends to another is held up from now on. It arrives when it is no more, as with TCP over a network
    /// that was cut.
    pub fn hold(&self, from: &Node, to: &Node, is_held: bool) {
        let dialled = self.wires.get(from.process().id(), to.number - 1);
        dialled.change(|ways| ways.there.hold = is_held);
        let accepted = self.wires.get(to.process().id(), from.number - 1);
        accepted.change(|ways| ways.back.hold = is_held);
    }
}

async fn serve(
    listener: TcpListener,
    at: SocketAddrV4,
    node: SocketAddrV4,
    number: usize,
    wires: Wires,
) {
    let mut carried = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((dialler, std::net::SocketAddr::V4(from))) = accepted else { continue };
                let wires = wires.clone();
                carried.spawn(async move {
                    let Some(process) = dialled_by(from, at) else { return };
                    // Who does not run takes no connections: the dialler's ends.
                    let Ok(listener) = TcpStream::connect(node).await else { return };
                    let _ = (dialler.set_nodelay(true), listener.set_nodelay(true));
                    wires.get(process, number).carry(dialler, listener).await;
                });
            }
            Some(_) = carried.join_next() => {}
        }
    }
}

/// The process of this program that has the end of a connection; `None`: it has gone.
fn dialled_by(local: SocketAddrV4, remote: SocketAddrV4) -> Option<u32> {
    let hex = |address: SocketAddrV4| {
        let ip = u32::from_ne_bytes(address.ip().octets());
        format!("{ip:08X}:{:04X}", address.port())
    };
    let (local, remote) = (hex(local), hex(remote));
    // "sl local remote state queues timer retransmissions user timeout inode ..."
    let connections = fs::read_to_string("/proc/net/tcp").ok()?;
    let inode = connections.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_it = words.get(1) == Some(&&*local) && words.get(2) == Some(&&*remote);
        is_it.then(|| words.get(9).copied()).flatten()
    })?;
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let owner = processes
        .filter(|process| is_node(&process.path()))
        .find(|process| has_open(&process.path(), &socket))?;
    owner.file_name().to_str()?.parse().ok()
}

fn is_node(process: &Path) -> bool {
    fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim_end() == "starling")
}

fn has_open(process: &Path, file: &str) -> bool {
    let Ok(open) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    open.flatten()
        .any(|entry| fs::read_link(entry.path()).is_ok_and(|it| it == Path::new(file)))
}
