//! Links over TCP, on several threads, through proxies that fail as they are told.
//!
//! What [`cluster::link`] promises is tested in detail in paused time beside it; here is what only sockets do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cluster::{
    NodeId,
    link::{
        Class, Config, Declined, Event, Frame, Gone, Handler, Limits, Links, PROTOCOLS, Request,
        Secret, Tcp,
    },
};
use parking_lot::Mutex;
use services::{Way, Ways, Wire, WireProxy};
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{Duration, sleep, timeout},
};

const MS: fn(u64) -> Duration = Duration::from_millis;
/// For what must happen, on a machine that others use too.
const EVER: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Heard {
    numbers: [Vec<u64>; 3],
    events: Vec<Event>,
}

struct Recorder {
    heard: Mutex<Heard>,
    changed: watch::Sender<()>,
}

#[async_trait]
impl Handler for Recorder {
    fn frame(&self, frame: Frame) {
        let number = u64::from_be_bytes(frame.body[..8].try_into().unwrap());
        self.heard.lock().numbers[frame.class as usize].push(number);
        self.changed.send_replace(());
    }
    async fn request(&self, request: Request) -> Result<Bytes, Declined> {
        Ok(request.body)
    }
    fn event(&self, event: Event) {
        self.heard.lock().events.push(event);
        self.changed.send_replace(());
    }
}

/// A node behind a proxy: others know it by the proxy's address.
struct Node {
    id: NodeId,
    links: Arc<Links>,
    recorder: Arc<Recorder>,
    proxy: WireProxy,
}

impl Node {
    async fn start(id: u64) -> Self {
        // The proxy must know where the node listens, and the node what the proxy's address is.
        let port = services::free_port().unwrap();
        let (listen, door) = (
            format!("127.0.0.1:{port}"),
            TcpListener::bind("127.0.0.1:0"),
        );
        let proxy = WireProxy::on(door.await.unwrap(), &listen, id).unwrap();
        let recorder = Arc::new(Recorder {
            heard: Mutex::default(),
            changed: watch::Sender::default(),
        });
        let config = Config {
            node: NodeId(id),
            name: format!("node {id}"),
            cluster: "test".to_owned(),
            listen,
            advertised: Some(proxy.address().to_string()),
            secrets: vec![Secret::new(b"a secret of the cluster").unwrap()],
            facts: Bytes::from_static(b"facts"),
            protocols: PROTOCOLS,
            limits: Limits::default(),
            network: Arc::new(Tcp),
        };
        let links = Links::start(config, recorder.clone()).await.unwrap();
        Self {
            id: NodeId(id),
            links: Arc::new(links),
            recorder,
            proxy,
        }
    }
    async fn hears(&self, mut is_so: impl FnMut(&Heard) -> bool) {
        let mut changed = self.recorder.changed.subscribe();
        let heard = async {
            while !is_so(&self.recorder.heard.lock()) {
                changed.changed().await.unwrap();
            }
        };
        let heard = timeout(EVER, heard).await;
        heard.unwrap_or_else(|_| panic!("{:?}", self.recorder.heard.lock().events));
    }
    async fn told(&self, event: Event) {
        self.hears(|heard| heard.events.contains(&event)).await;
    }
}

async fn pair() -> (Node, Node) {
    let (a, b) = (Node::start(1).await, Node::start(2).await);
    a.links.connect(&b.proxy.address().to_string());
    a.told(Event::Up(b.id)).await;
    b.told(Event::Up(a.id)).await;
    (a, b)
}

fn body(number: u64) -> Bytes {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(
        if number.is_multiple_of(97) {
            50_000
        } else {
            60
        },
        0,
    );
    body.into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_message_arrives_once_in_order_however_often_connections_break() {
    const COUNT: u64 = 3_000;
    let (a, b) = pair().await;
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let way = Way {
        jitter: MS(3),
        skew: MS(2),
        stall: 10,
        again: MS(50),
        reset: 2,
        ..Way::default()
    };
    let wires: [&Wire; 2] = [&a.proxy.wire, &b.proxy.wire];
    for wire in wires {
        wire.set(Ways::both(&way));
    }
    let send = |from: &Node, to: NodeId, class: Class| {
        let links = from.links.clone();
        tokio::spawn(async move {
            for number in 0..COUNT {
                links.send(to, class, 0, body(number)).await.unwrap();
                if number % 20 == 0 {
                    sleep(MS(5)).await;
                }
            }
        })
    };
    let sending: Vec<_> = Class::ALL
        .into_iter()
        .flat_map(|class| [send(&a, b.id, class), send(&b, a.id, class)])
        .collect();
    for round in 0..20 {
        sleep(MS(10 + (seed + round * 31) % 60)).await;
        wires[(round % 2) as usize].cut();
    }
    for sending in sending {
        timeout(EVER, sending).await.unwrap().unwrap();
    }
    assert!(a.links.settled(EVER).await && b.links.settled(EVER).await);
    let all: Vec<_> = (0..COUNT).collect();
    for node in [&a, &b] {
        for numbers in &node.recorder.heard.lock().numbers {
            assert_eq!(numbers, &all);
        }
    }
    let made = wires.map(Wire::connections);
    assert!(made.iter().sum::<u64>() > 12, "{made:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_one_way_cut_is_silence_on_one_side_and_ends() {
    let (a, b) = pair().await;
    let hold = |there, back| {
        let way = |hold| Way {
            hold,
            ..Way::default()
        };
        Ways {
            there: way(there),
            back: way(back),
            refuse: false,
        }
    };
    // What b says, whoever dialled.
    b.proxy.wire.set(hold(false, true));
    a.proxy.wire.set(hold(true, false));
    a.hears(|heard| matches!(heard.events.last(), Some(Event::Silent(node, _)) if *node == b.id))
        .await;
    let echo = a
        .links
        .request(b.id, Class::Data, 0, body(1), MS(200))
        .await;
    assert_eq!(echo, Err(cluster::link::LinkError::Silent));
    b.proxy.wire.set(Ways::default());
    a.proxy.wire.set(Ways::default());
    a.told(Event::Again(b.id)).await;
    let echo = a.links.request(b.id, Class::Data, 0, body(1), EVER).await;
    assert_eq!(echo, Ok(body(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_port_tells_that_the_process_is_gone() {
    let (a, b) = pair().await;
    let peers = a.links.peers();
    assert_eq!(
        (peers[0].protocol, &peers[0].facts[..]),
        (*PROTOCOLS.end(), &b"facts"[..])
    );
    let (old, address) = (b.id, b.proxy.address());
    b.proxy.wire.change(|ways| ways.refuse = true);
    a.proxy.wire.cut();
    a.told(Event::Gone(old, Gone::Refused)).await;
    // It was the proxy's port only: the node behind it is alive.
    b.proxy.wire.change(|ways| ways.refuse = false);
    a.told(Event::Again(old)).await;
    assert_eq!(a.links.peers()[0].address, address.to_string());
}
