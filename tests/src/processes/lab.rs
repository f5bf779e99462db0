//! A network of its own for each node: namespaces on one bridge, where packets are really lost.
//!
//! Each node is in a namespace with an address; the tests are at the bridge, and so is a way to the store. What is cut: the cable
//! of a node (its link goes down: no FIN, no reset, the store and its clients are away as well), what it says or what it hears
//! (a queue that takes nothing drops every packet), or the route between two nodes. Needs root and `ip` (Debian: iproute2).
//! Source: ip-netns(8), tc-pfifo(8), ip-route(8).

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Where nodes are, by number from 1 on.
#[derive(Debug, Clone)]
pub struct Seats {
    name: String,
    net: [u8; 3],
    /// How the database is reached from here, and from there.
    store: (String, String),
}

impl Seats {
    /// What a node writes under `[storage]`, its address and its namespace.
    pub(super) fn of(&self, number: usize, lines: &str) -> (String, (Ipv4Addr, Option<String>)) {
        let storage = lines.replace(&self.store.0, &self.store.1);
        (
            storage,
            (self.address(number), Some(self.namespace(number))),
        )
    }

    fn address(&self, number: usize) -> Ipv4Addr {
        let [a, b, c] = self.net;
        let last = u8::try_from(number).expect("a lab has few nodes");
        Ipv4Addr::new(a, b, c, last)
    }

    fn namespace(&self, number: usize) -> String {
        format!("{}-{number}", self.name)
    }

    /// The bridge's end of a node's cable.
    fn port(&self, number: usize) -> String {
        format!("{}p{number}", self.name)
    }
}

/// The network; dropped, it is gone.
pub struct Lab {
    /// Where its nodes are.
    pub seats: Seats,
    nodes: usize,
    // Ends the tasks.
    _forwards: JoinSet<()>,
}

/// The bridge's own address in its network.
const BRIDGE: u8 = 254;

fn run(line: &str) -> Result<()> {
    let mut words = line.split(' ');
    let program = words.next().context("a program")?;
    let done = Command::new(program).args(words).output();
    let done = done.with_context(|| format!("{program} is not there; run tests/install"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{line}: {said}");
    Ok(())
}

impl Lab {
    /// Whether this machine lets us make namespaces, and if not, why.
    ///
    /// # Errors
    /// Why not.
    pub fn is_possible() -> Result<()> {
        let name = format!("starling-{}", std::process::id());
        run(&format!("ip netns add {name}"))?;
        run(&format!("ip netns del {name}"))
    }

    /// Makes one for so many nodes, whose database is here.
    ///
    /// # Errors
    /// What the system says.
    pub async fn start(nodes: usize, store: SocketAddr) -> Result<Self> {
        // Tests run at once: each has another name and another network.
        let id = std::process::id();
        let [.., high, low] = id.to_be_bytes();
        let net = [10, high, low];
        let seats = Seats {
            // Names of interfaces have 15 letters.
            name: format!("st{id}"),
            net,
            store: (String::new(), String::new()),
        };
        let mut lab = Self {
            seats,
            nodes,
            _forwards: JoinSet::new(),
        };
        let (bridge, [a, b, c]) = (lab.seats.name.clone(), net);
        run(&format!("ip link add {bridge} type bridge"))?;
        run(&format!(
            "ip address add {a}.{b}.{c}.{BRIDGE}/24 dev {bridge}"
        ))?;
        run(&format!("ip link set {bridge} up"))?;
        for number in 1..=nodes {
            lab.plug(number)?;
        }
        let listener = TcpListener::bind((Ipv4Addr::new(a, b, c, BRIDGE), 0)).await?;
        let way = listener.local_addr()?;
        // Only on loopback it goes without saying that there is no TLS.
        let way = format!("{way}/postgres?sslmode=disable");
        lab.seats.store = (format!("{store}/postgres"), way);
        lab._forwards.spawn(forward(listener, store));
        Ok(lab)
    }

    /// A namespace with a cable to the bridge.
    fn plug(&self, number: usize) -> Result<()> {
        let (bridge, seats) = (&self.seats.name, &self.seats);
        let (inside, port) = (seats.namespace(number), seats.port(number));
        let address = seats.address(number);
        run(&format!("ip netns add {inside}"))?;
        run(&format!(
            "ip link add {port} type veth peer name eth0 netns {inside}"
        ))?;
        run(&format!("ip link set {port} master {bridge} up"))?;
        run(&format!("ip -n {inside} address add {address}/24 dev eth0"))?;
        run(&format!("ip -n {inside} link set lo up"))?;
        run(&format!("ip -n {inside} link set eth0 up"))
    }

    /// Pulls a node's cable, or puts it back.
    ///
    /// # Errors
    /// What the system says.
    pub fn pull(&self, number: usize, is_out: bool) -> Result<()> {
        let state = if is_out { "down" } else { "up" };
        run(&format!("ip link set {} {state}", self.seats.port(number)))
    }

    /// Loses every packet that a node sends, or no longer.
    ///
    /// # Errors
    /// What the system says.
    pub fn mute(&self, number: usize, is_mute: bool) -> Result<()> {
        let inside = self.seats.namespace(number);
        drop_all(&format!("tc -n {inside}"), "eth0", is_mute)
    }

    /// Loses every packet for a node, or no longer.
    ///
    /// # Errors
    /// What the system says.
    pub fn deafen(&self, number: usize, is_deaf: bool) -> Result<()> {
        drop_all("tc", &self.seats.port(number), is_deaf)
    }

    /// Takes the route between two nodes away, or puts it back. Both still reach all others.
    ///
    /// # Errors
    /// What the system says.
    pub fn part(&self, one: usize, other: usize, are_apart: bool) -> Result<()> {
        let verb = if are_apart { "add" } else { "del" };
        for (from, to) in [(one, other), (other, one)] {
            let (inside, to) = (self.seats.namespace(from), self.seats.address(to));
            run(&format!("ip -n {inside} route {verb} blackhole {to}/32"))?;
        }
        Ok(())
    }
}

/// A queue of no packets takes none.
fn drop_all(tc: &str, device: &str, all: bool) -> Result<()> {
    match all {
        true => run(&format!("{tc} qdisc add dev {device} root pfifo limit 0")),
        false => run(&format!("{tc} qdisc del dev {device} root")),
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // As far as it was made.
        for number in 1..=self.nodes {
            let _ = run(&format!("ip link del {}", self.seats.port(number)));
            let _ = run(&format!("ip netns del {}", self.seats.namespace(number)));
        }
        let _ = run(&format!("ip link del {}", self.seats.name));
    }
}

/// Carries what comes here to the store.
async fn forward(listener: TcpListener, store: SocketAddr) {
    let mut carried = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((mut node, _)) = accepted else { continue };
                carried.spawn(async move {
                    let Ok(mut store) = TcpStream::connect(store).await else { return };
                    let _ = (node.set_nodelay(true), store.set_nodelay(true));
                    let _ = copy_bidirectional(&mut node, &mut store).await;
                });
            }
            Some(_) = carried.join_next() => {}
        }
    }
}
